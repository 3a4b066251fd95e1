"""``hemafeat segment``: write the masks of cells and nuclei."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat._files import write_table, write_whole
from hemafeat._machine import progress_bar
from hemafeat._words import plural
from hemafeat.cli import _arguments, _inputs, _output
from hemafeat.cli._errors import Failure, Usage

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from hemafeat.segment import Masks

DESCRIPTION = """\
Find cells and nuclei and write their masks as PNG: 16-bit label images (a cell and its
nucleus have the same number), or trimaps. quality.csv has one row per cell with its
position, counts.csv one per image, errors.csv one per failure."""

EXAMPLES = """\
  hemafeat segment cells/ --out masks/ --overlay
      masks/cell/, masks/nucleus/ (labels), masks/overlay/ (outlines and numbers drawn);
      to measure with them, corrected or not:
  hemafeat extract cells/ --masks masks/ --out features/
  hemafeat segment fields/ --out masks/ --method unet
      with the bundled U-Net, for fields in which cells touch
  hemafeat segment cells/ --out masks/ --trimap
      masks/trimap/: 0 background, 128 cytoplasm, 255 nucleus
  hemafeat segment fields/ --out masks/ --geojson
      masks/geojson/: outlines to correct in QuPath; with what it exports there:
  hemafeat extract fields/ --masks masks/geojson --out features/"""


MARKS = (
    *("quality.csv", "counts.csv", "errors.csv"),
    *("cell", "nucleus", "trimap", "overlay", "geojson"),
)


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.add_command(
        commands, "segment", run, "write the masks of cells and nuclei", DESCRIPTION, EXAMPLES
    )
    parser.add_argument(
        "input", nargs="+", metavar="IMAGES", help="a folder, a CSV or Parquet file, or images"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write")
    _arguments.add_dataset(parser)
    _arguments.add_segmenter(parser)
    parser.add_argument(
        "--overlay",
        action="store_true",
        help="also write the images with outlines drawn, and the number of each cell of several",
    )
    parser.add_argument(
        "--geojson", action="store_true", help="also write the outlines as GeoJSON, for QuPath"
    )
    parser.add_argument(
        "--trimap", action="store_true", help="write one trimap instead of two label images"
    )
    parser.add_argument(
        "--restart", action="store_true", help="write over the masks that the folder holds"
    )
    _arguments.add_jobs(parser)


def run(args: argparse.Namespace) -> None:
    """Segment the images, and write the masks and the tables."""
    import pandas as pd

    from hemafeat import extract, segment
    from hemafeat.datasets import mask_names
    from hemafeat.images import read, tile_of

    out = _output.result_folder(args.out, "segmentation", MARKS, args.input)
    if any((out / name).exists() for name in MARKS) and not args.restart:
        raise Usage(
            f"--out: {out} holds masks already, perhaps corrected by hand; choose another folder, "
            "or pass --restart to write over them"
        )
    segmenter = segment.segmenter(_inputs.segmenter(args))
    listed = _inputs.images(args.input, args.dataset)
    names = mask_names([str(image) for image in listed["image"]])
    folders = ["trimap"] if args.trimap else ["cell", "nucleus"]
    for folder in [*folders, *(name for name in ("overlay", "geojson") if getattr(args, name))]:
        for parent in {Path(name).parent for name in names}:
            (out / folder / parent).mkdir(parents=True, exist_ok=True)

    def segment_one(row: int) -> tuple[pd.DataFrame | None, dict[str, str] | None]:
        name = extract.image_name(listed["image"].iloc[row], row)
        stage = "read"
        try:
            source = listed["image"].iloc[row]
            tile = tile_of(source)
            image = read(source)
            stage = "segment"
            masks = segment.find_cells(segmenter, image, source)
            if masks.n_cells == 0 and tile is not None:
                return None, None
            stage = "write"
            corner = (0, 0) if tile is None else (tile.left, tile.top)
            _write(out, names[row], image, masks, args, corner)
        except Exception as error:
            # One bad image, or a plug-in that fails on it, must not stop the run.
            return None, extract.error_row(name, stage, error)
        if masks.n_cells == 0:
            message = "no cell was found in the image"
            return None, extract.error_row(name, stage, "NoCellFound", message)
        position = masks.positions()
        return _quality(name, masks, position if tile is None else tile.on_slide(position)), None

    outcomes = []
    with (
        ThreadPoolExecutor(_arguments.jobs(args)) as pool,
        progress_bar(len(listed), "segment", progress=_arguments.progress(args)) as bar,
    ):
        for outcome in pool.map(segment_one, range(len(listed))):
            outcomes.append(outcome)
            bar.update()
    quality = [frame for frame, _ in outcomes if frame is not None]
    rows = [error for _, error in outcomes if error is not None]
    rows += _slides_without_cells(list(map(str, listed["image"])), quality, rows)
    errors = pd.DataFrame(rows, columns=list(extract.ERROR_COLUMNS))
    write_table(errors, out / "errors.csv")
    if not quality:
        blank = {"image": args.input[0], "message": "it shows none"}
        first = errors.iloc[0] if len(errors) else blank
        raise Failure(f"no cell was found: {first['image']}: {first['message']}")
    table = pd.concat(quality, ignore_index=True)
    write_table(table, out / "quality.csv")
    flags = {name: f"quality__{name}" for name in ("touches_border", "suspected_failure")}
    cells = table.rename(columns=flags)
    cells.attrs["errors"] = rows
    write_table(extract.counts(cells), out / "counts.csv")
    suspect = int(table["suspected_failure"].astype(bool).sum())
    print(
        f"{_inputs.how_many(listed)}, {plural(len(table), 'cell')}, "
        f"{plural(suspect, 'suspected failure')}, {plural(len(errors), 'error')}"
    )
    print(out)


def _slides_without_cells(
    names: list[str], quality: list[pd.DataFrame], errors: list[dict[str, str]]
) -> list[dict[str, str]]:
    """Return a row of errors for each large image in no tile of which a cell was found."""
    from hemafeat import extract
    from hemafeat.images import tile_of

    # A tile that failed might have shown some.
    other = {frame["image"].iloc[0] for frame in quality} | {row["image"] for row in errors}
    tiles = {name: tile for name in names if (tile := tile_of(name)) is not None}
    busy = {tile.path for name, tile in tiles.items() if name in other}
    empty = dict.fromkeys(tile.path for tile in tiles.values() if tile.path not in busy)
    message = "no cell was found in the image"
    return [extract.error_row(path, "segment", "NoCellFound", message) for path in empty]


def _write(
    out: Path,
    name: str,
    image: np.ndarray,
    masks: Masks,
    args: argparse.Namespace,
    corner: tuple[int, int],
) -> None:
    import cv2

    from hemafeat import segment

    pictures: dict[str, np.ndarray] = {}
    if args.trimap:
        pictures["trimap"] = masks.trimap
    else:
        segment.write_masks(masks, out, name)
    if args.overlay:
        numbers = [str(number) for number in range(1, masks.n_cells + 1)]
        drawn = segment.outline(image, masks, texts=numbers if masks.n_cells > 1 else None)
        pictures["overlay"] = cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR)
    for folder, picture in pictures.items():
        write_whole(out / folder / name, writer(png(picture)))
    if args.geojson:
        file = (out / "geojson" / name).with_suffix(".geojson")
        segment.write_geojson(masks, file, corner=corner)


def png(picture: np.ndarray) -> bytes:
    """Encode labels, as 16-bit numbers, or a picture in BGR as a PNG file."""
    import cv2
    import numpy as np

    picture = picture.astype(np.uint16) if picture.dtype == np.int32 else picture
    encoded, data = cv2.imencode(".png", picture)
    if not encoded:
        raise ValueError("the picture could not be encoded")
    return data.tobytes()


def writer(data: bytes) -> Callable[[Path], object]:
    return lambda part: part.write_bytes(data)


def _quality(image: str, masks: Masks, position: dict[str, np.ndarray]) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    numbers = np.arange(1, masks.n_cells + 1)
    size = masks.n_cells + 1
    return pd.DataFrame(
        {
            "image": image,
            "cell": numbers,
            **{f"where__{name}": values for name, values in position.items()},
            "cell_area_px": np.bincount(masks.cell.ravel(), minlength=size)[1:],
            "nucleus_area_px": np.bincount(masks.nucleus.ravel(), minlength=size)[1:],
            **dict(masks.quality),
        }
    )
