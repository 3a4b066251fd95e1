"""``hemafeat count``: a differential count of the white cells of smear fields."""

from __future__ import annotations

import argparse
import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat._files import write_table, write_whole
from hemafeat._words import no_column, plural
from hemafeat.cli import _arguments, _deep, _inputs, _output
from hemafeat.cli._errors import Failure, Usage
from hemafeat.cli._segment import png, writer

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from hemafeat.pipelines import Model
    from hemafeat.segment import Masks

DESCRIPTION = """\
Count the white cells of blood smear fields by type: find them, measure them, and classify
them with the model that comes with the package (types of peripheral blood), or one of
hemafeat compare --selective. Writes counts.csv (each image and each slide, with 95 %
intervals), a table of the cells, numbered overlays and count.html. Cells that the model
refuses, or whose outline is doubtful, are "not sure" and never a type; platelets that were
taken for cells are counted apart. For research only: no count is a diagnosis."""

EXAMPLES = """\
  hemafeat count fields/ --out count/
      the scale by the red cells, pooled over all images; a slide is a folder of images
  hemafeat count slide.svs --out count/
      a large image, in tiles: a slide by itself; slide.svs#level=1 is its second level
  hemafeat count fields/ --out count/ --um-per-px 0.1
      the side of a pixel in micrometres, where it is known
  hemafeat count fields.csv --out count/ --by patient
      a CSV with a column "image"; one differential per patient
  hemafeat count fields/ --out count/ --model mine.hemafeat
      with a model of your own, by hemafeat compare --selective --save-model"""

MARKS = ("counts.csv", "count.html")


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.add_command(
        commands, "count", run, "count white cells by type", DESCRIPTION, EXAMPLES
    )
    parser.add_argument(
        "input", nargs="+", metavar="FIELDS", help="a folder, a CSV or Parquet file, or images"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write")
    _arguments.add_dataset(parser)
    parser.add_argument(
        "--model",
        default="leukocytes",
        metavar="MODEL",
        help="leukocytes (default, comes with the package), or a file of hemafeat compare "
        "--selective --save-model",
    )
    parser.add_argument(
        "--um-per-px",
        type=_arguments.number_or_auto,
        default="auto",
        metavar="X",
        help="side of a pixel in micrometres; auto (default): as the images state it, else by the "
        "red cells of all images together",
    )
    parser.add_argument(
        "--by",
        metavar="COLUMN",
        help="column of the image table that names the slide or the patient of each image; "
        "default: the patient if known, else the folder of the image, or the file of a large one",
    )
    _arguments.add_segmenter(parser, default="best")
    parser.add_argument("--title", metavar="TEXT", help="heading of the page")
    _arguments.add_restart(parser, "count")
    _arguments.add_jobs(parser)


def run(args: argparse.Namespace) -> None:
    """Find, measure, classify and count the cells, and write tables, overlays and page."""
    import pandas as pd

    from hemafeat import evaluate, extract, report
    from hemafeat.images import tile_of

    out = _output.result_folder(args.out, "count", MARKS, args.input)
    settings = _output.settings(args)
    if any((out / name).exists() for name in MARKS):
        _output.keep_earlier(out, "count", args, same=False)
        shutil.rmtree(out / "overlay", ignore_errors=True)
    keeper = _Keeper(_inputs.segmenter(args))
    um_per_px = _inputs.um_per_px(args)
    listed = _inputs.images(args.input, args.dataset)
    by, slides = _slides(listed, args.by)
    model, options = _model(args)
    if um_per_px is None:
        listed = _with_scale(listed, args)
    names = [extract.image_name(image, row) for row, image in enumerate(listed["image"])]
    table = extract.table(
        listed,
        segmenter=keeper,
        cells="all",
        um_per_px=um_per_px,
        n_jobs=_arguments.jobs(args),
        processes=False,
        progress=_arguments.progress(args),
        **options,
    )
    errors = extract.errors(table)
    # A field without white cells is no error, but a count of 0.
    errors = errors[errors["error"] != "NoCellFound"].reset_index(drop=True)
    unread = set(errors.loc[errors["stage"].isin(["read", "segment"]), "image"]) - set(
        table.get("image", ())
    )
    out.mkdir(parents=True, exist_ok=True)
    if len(unread) == len(set(names)):
        write_table(errors, out / "errors.csv")
        first = errors.iloc[0]
        raise Failure(f"no image could be counted: {first['image']}: {first['message']}")
    slide_of = dict(zip(names, slides, strict=True))
    cells = classified(model, table, by, slide_of)
    read = [name for name in dict.fromkeys(names) if name not in unread]
    # The tiles of a large image are counted together.
    whole = {name: tile.path if (tile := tile_of(name)) else name for name in read}
    by_image = pd.Categorical(cells["image"].map(whole), list(dict.fromkeys(whole.values())))
    cells["image"] = pd.Categorical(cells["image"], categories=read)
    seen = list(dict.fromkeys(slide_of[name] for name in read))
    cells[by] = pd.Categorical(cells[by], categories=seen)
    # Segmenters do not search for platelets, so that none found does not mean that there are none.
    classes = [str(name) for name in model.classes if name != "platelet"]
    per_image = evaluate.differential(cells.assign(image=by_image), "image", classes=classes)
    per_slide = evaluate.differential(cells, by, classes=classes)
    counts = pd.concat(
        [
            frame.rename(columns={column: "name"}).assign(per=column)
            for frame, column in ((per_slide, by), (per_image, "image"))
        ],
        ignore_index=True,
    )
    order = ["per", "name", "class", "n", "share", "low", "high"]
    overlays, failures = _overlays(out, listed, names, cells, keeper)
    errors = pd.concat([errors, failures], ignore_index=True)
    write_table(errors, out / "errors.csv")
    cells = cells.astype({"image": str, by: str})
    write_table(cells, out / "cells.csv")
    write_table(counts[order].astype({"name": str}), out / "counts.csv")
    page = report.count_page(
        per_slide,
        cells,
        out / "count.html",
        per_image=per_image,
        overlays=overlays,
        errors=errors,
        title=args.title or f"White cells of {Path(args.input[0]).name or args.input[0]}",
        model=f"{model.name}: {model.note}" if model.note else model.name,
        um_per_px=sorted(set(table["um_per_px"].dropna())) if len(table) else (),
        command=_output.typed_command(args),
    )
    _output.save_settings(out, settings)
    _say(per_slide, by, cells, _inputs.how_many(listed[~listed["image"].isin(unread)]), errors)
    print(page)


def classified(model: Model, table: pd.DataFrame, by: str, slides: dict[str, str]) -> pd.DataFrame:
    """Return the cells with what each is counted as, and why it is not sure.

    Parameters
    ----------
    model : Model
        Model that refuses cells.
    table : DataFrame
        Measured cells.
    by : str
        Column to write the slides into.
    slides : dict of str to str
        Slide of each image.

    Returns
    -------
    DataFrame
        ``image``, `by`, ``cell``, ``counted``, ``reason``, then where the cell lies, the answers
        of the model and the quality of the outlines.
    """
    import numpy as np
    import pandas as pd

    from hemafeat.evaluate import NOT_SURE

    first = ["image", by, "cell", "counted", "reason"]
    if table.empty:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in first})
    answers = model.answers(table)
    quality = table.filter(regex="^quality__").reset_index(drop=True)
    doubted = quality["quality__suspected_failure"].astype("boolean").fillna(False).astype(bool)
    doubts = quality["quality__failure_reason"].fillna("").astype(str)
    platelet = np.zeros(len(quality), bool)
    if "quality__kind" in quality:
        platelet = (quality["quality__kind"] == "platelet").to_numpy(bool)
    reason = np.where(doubted, "outline: " + doubts, answers["refused"].astype(str))
    reason = np.where(platelet, "", reason)
    counted = np.where(reason == "", answers["predicted"].astype(str), NOT_SURE)
    counted = np.where(platelet, "platelet", counted)
    images = table["image"].astype(str).to_numpy()
    found = {
        "image": images,
        by: [slides[name] for name in images],
        "cell": table["cell"].to_numpy(),
        "counted": counted,
        "reason": reason,
    }
    answers = answers.drop(columns=["refused", *answers.filter(regex="^uncalibrated__")])
    where = table.filter(regex="^where__").reset_index(drop=True)
    return pd.concat([pd.DataFrame(found), where, answers.reset_index(drop=True), quality], axis=1)


class _Keeper:
    """Segmenter that keeps the masks of each image, compressed, for the overlays."""

    def __init__(self, name: str) -> None:
        from hemafeat import segment

        self.name = name
        self._segment = segment.segmenter(name)
        self._kept: dict[bytes, tuple[bytes, bytes]] = {}

    def __call__(self, image: np.ndarray) -> Masks:
        masks = self._segment(image)
        if 0 < masks.n_cells < 65536:  # as many as a PNG file can number
            self._kept[_digest(image)] = png(masks.cell), png(masks.nucleus)
        return masks

    def masks(self, image: np.ndarray) -> Masks:
        """Return the masks of an image that was segmented before and has cells."""
        from hemafeat.segment import Masks

        digest = _digest(image)
        if digest not in self._kept:
            raise ValueError("the image has changed since its cells were found")
        cell, nucleus = map(_labels, self._kept[digest])
        return Masks(cell, nucleus)


def _labels(data: bytes) -> np.ndarray:
    import cv2
    import numpy as np

    labels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if labels is None:
        raise ValueError("the masks could not be read back")
    return labels.astype(np.int32)


def _digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.tobytes() + str(image.shape).encode(), digest_size=16).digest()


def _model(args: argparse.Namespace) -> tuple[Model, dict[str, Any]]:
    """Return the model, and the options of measuring that it needs."""
    from hemafeat import extract, pipelines

    if args.model not in pipelines.SHIPPED and not Path(args.model).is_file():
        raise Usage(
            f"--model: {args.model}: no such file; the model of the package is "
            f"{' or '.join(pipelines.SHIPPED)}"
        )
    model = pipelines.load(args.model)
    if isinstance(model, pipelines.PatientModel) or not hasattr(model.pipeline, "answers"):
        raise Usage(
            f"--model: {model.name} refuses no cells, and would name any blot a cell; count needs "
            "a model of hemafeat compare --selective"
        )
    if model.columns == ["image"]:
        raise Usage(f"--model: {model.name} is a model of images; count needs one of features")
    families = _deep.families_of(model.columns, argparse.Namespace())
    if missing := sorted(set(families) - set(extract.families())):
        raise Usage(f"--model: {model.name} needs families not installed: {', '.join(missing)}")
    zoom = model.measured.get("to_um_per_px", "none")
    normalise = model.measured.get("normalise", "none")
    if " " in normalise:
        raise Usage(f"--model: {model.name} needs colours normalised by {normalise}")
    # Fields are measured cell by cell, whatever crops the model was fitted on.
    model.measured = {}
    return model, {
        "families": families,
        "to_um_per_px": None if zoom == "none" else float(zoom),
        "normalise": None if normalise == "none" else normalise,
    }


def _slides(listed: pd.DataFrame, column: str | None) -> tuple[str, list[str]]:
    """Return the column that names the slides, and the slide of each image."""
    from hemafeat.images import is_uri, tile_of

    if column is not None:
        if column not in listed:
            raise Usage(f"--by: {no_column(column, listed.columns)}")
        if column in ("image", "mask"):
            raise Usage("--by: every image is counted by itself already; name a slide or patient")
        return column, listed[column].astype("object").fillna("unknown").map(str).to_list()
    if listed["patient"].notna().any():
        return "patient", listed["patient"].astype("object").fillna("unknown").map(str).to_list()
    folders = [
        tile.path
        if (tile := tile_of(image))
        else "all"
        if not isinstance(image, str | Path) or is_uri(image)
        else Path(image).parent.name
        for image in listed["image"]
    ]
    return "slide", folders


def _with_scale(listed: pd.DataFrame, args: argparse.Namespace) -> pd.DataFrame:
    from hemafeat import datasets

    listed = listed.assign(dataset=listed["dataset"].astype("object"))
    try:
        return datasets.with_scale(
            listed, notify=lambda text: _arguments.say(args, f"scale: {text}")
        )
    except datasets.DatasetError as error:
        text = str(error).replace(
            "State um_per_px as a number, or measure in px",
            "Pass --um-per-px X, the side of a pixel in micrometres: the model compares sizes",
        )
        raise Usage(f"--um-per-px auto: {text}") from None


def _overlays(
    out: Path, listed: pd.DataFrame, names: list[str], cells: pd.DataFrame, keeper: _Keeper
) -> tuple[dict[str, Path], pd.DataFrame]:
    """Write the images with numbered outlines; return the file of each, and what failed."""
    import pandas as pd

    from hemafeat import extract, segment
    from hemafeat.datasets import mask_names
    from hemafeat.images import read

    files: dict[str, Path] = {}
    failures = []
    of_image = dict(list(cells.groupby("image", observed=True)))
    paths = mask_names([str(image) for image in listed["image"]])
    for name, image, path in zip(names, listed["image"], paths, strict=True):
        if name not in of_image or name in files:
            continue
        rows = of_image[name].sort_values("cell")
        texts = [
            f"{number} {counted}"
            for number, counted in zip(rows["cell"], rows["counted"], strict=True)
        ]
        try:
            pixels = read(image)
            found = segment.find_cells(keeper.masks, pixels, image)
            suspected = {"suspected_failure": (rows["reason"] != "").to_numpy()}
            masks = segment.Masks(found.cell, found.nucleus, suspected)
            picture = png(segment.outline(pixels, masks, texts=texts)[..., ::-1])
        except Exception as error:
            # A picture that cannot be drawn, of an image changed since, must not cost the counts.
            failures.append(extract.error_row(name, "overlay", error))
            continue
        file = out / "overlay" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, writer(picture))
        files[name] = file
    return files, pd.DataFrame(failures, columns=list(extract.ERROR_COLUMNS))


def _say(
    per_slide: pd.DataFrame,
    by: str,
    cells: pd.DataFrame,
    read: str,
    errors: pd.DataFrame,
) -> None:
    """Print the counts."""
    from hemafeat.evaluate import NOT_SURE

    n_unsure = int((cells["counted"] == NOT_SURE).sum())
    print(
        f"{read}, {plural(len(cells), 'cell')}, {n_unsure} not sure, {plural(len(errors), 'error')}"
    )
    for name, rows in per_slide.groupby(by, sort=False):
        print(f"{by} {name}:" + ("" if rows["n"].any() else " no white cell"))
        for row in rows[rows["n"] > 0].to_dict("records"):
            share = ""
            if row["share"] == row["share"]:
                low, share, high = (100 * row[name] for name in ("low", "share", "high"))
                share = f"{share:6.1f} % [{low:.1f}, {high:.1f}]"
            print(f"  {row['class']:<22} {row['n']:>6} {share}".rstrip())
    print("for research only; shares of the classified white cells, with 95 % intervals")
