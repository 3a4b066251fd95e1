"""Score segmenters on every available set of cells, and make contact sheets of their outlines.

    python benchmarks/segmentation.py --data DIR --out DIR [--dataset2 DIR] [--segmenter NAME ...]

DIR contains `segwbc_d1`, `bccd`, `draaslan` (boxes), `chula_rbc` (fields of red cells), `pbc_dev`
and `cnmc_sample` (missing sets are skipped); --dataset2 is the folder "Dataset 2" of
segmentation_WBC. Drawn cells on every background, single and in fields, are scored as well: no
threshold was tuned on them. With --lamp every image is also segmented under several kinds of uneven
light.

The output folder receives `scores.csv` (one row per set and segmenter), `cells.csv` (one row per
true cell and spurious outline), sheets of the worst cells of each set (see
`hemafeat.segment.Scores`), and contact sheets of every class of PBC and of all of C-NMC. With
--lamp only `lamps.csv` (one row per set and lamp) is written.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd

from hemafeat import datasets, images, segment
from hemafeat.segment import Masks


class Set(NamedTuple):
    """Images and their truth, as `segment.score_images` takes them."""

    name: str
    images: pd.DataFrame
    truth: Any = "given"


def drawn_cells(background: str, n: int) -> Set:
    cells, labels = [], []
    for i in range(n):
        rng = np.random.default_rng([1, i])
        stain = datasets.Stain.draw(rng, background)
        for kind in datasets.KINDS:
            cells.append(datasets.draw_cell(kind, stain=stain, random_state=rng))
            labels.append(kind)
    return drawn(f"drawn {background}", cells, labels)


def drawn_fields(background: str, n: int) -> Set:
    white = [kind for kind in datasets.KINDS if kind != "platelet"]
    fields, labels = [], []
    for i in range(n):
        rng = np.random.default_rng([2, i])
        kinds = [str(kind) for kind in rng.choice(white, size=int(rng.integers(1, 4)))]
        stain = datasets.Stain.draw(rng, background)
        fields.append(datasets.draw_field(kinds, stain=stain, random_state=rng))
        labels.append(" ".join(kinds))
    return drawn(f"fields {background}", fields, labels)


def drawn(name: str, pictures: list[Any], labels: list[str]) -> Set:
    table = pd.DataFrame({"image": [one.image for one in pictures], "label": labels})
    return Set(name, table, [Masks(one.cell, one.nucleus) for one in pictures])


def sets(args: argparse.Namespace) -> Iterator[Set]:
    data = Path(args.data) if args.data else Path("/nowhere")
    if (data / "segwbc_d1").is_dir():
        yield Set("segwbc_d1", datasets.segwbc(data / "segwbc_d1"))
    if args.dataset2:
        yield Set("segwbc_d2", datasets.segwbc(args.dataset2))
    if (data / "bccd").is_dir():
        listed = datasets.bccd(data / "bccd")
        yield Set("bccd", listed[listed["mask"].notna()])
    for name, truth in (("draaslan", data / "draaslan" / "boxes.csv"), ("chula_rbc", "none")):
        if (data / name).is_dir():
            yield Set(name, datasets.as_table(data / name / "images"), truth)
    for background in datasets.BACKGROUNDS:
        yield drawn_cells(background, args.drawn)
    for background in datasets.BACKGROUNDS:
        if background != "black":
            yield drawn_fields(background, 2 * args.drawn)


def score(one: Set, segmenters: Any, step: int) -> segment.Scores:
    """Score segmenters on a set, or on every n-th image of one of files."""
    listed, truth = one.images, one.truth
    if not isinstance(truth, list):
        listed = listed.iloc[::step]
    listed = listed.assign(dataset=one.name)
    return segment.score_images(listed, truth, segmenters)


LAMPS = ("even", "to one side", "to a corner", "vignette")


def relight(image: np.ndarray, lamp: str, least: float) -> np.ndarray:
    """Return the image under light that falls from 1 to `least` of its brightness."""
    height, width = image.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    fall = {
        "even": np.zeros_like(x),
        "to one side": (x + 1) / 2,
        "to a corner": (x + y + 2) / 4,
        "vignette": (x * x + y * y) / 2,
    }[lamp]
    light = 1.0 - (1.0 - least) * fall
    return np.rint(image * light[:, :, None]).astype(np.uint8)


def under(find: Callable[[np.ndarray], Masks], lamp: str, least: float) -> Any:
    """Return a segmenter that sees each image under a lamp."""
    return lambda image: find(relight(image, lamp, least))


def save(picture: np.ndarray, path: Path) -> None:
    encoded, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise OSError(f"{path} could not be encoded")
    path.write_bytes(data.tobytes())


def sheet(
    titles: list[str], pictures: list[np.ndarray], across: int, side: int = 300
) -> np.ndarray:
    tiles = []
    for title, picture in zip(titles, pictures, strict=True):
        scale = side / max(picture.shape[:2])
        size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
        tile = np.full((side, side, 3), 128, np.uint8)
        tile[: size[1], : size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        cv2.putText(tile, title[-34:], (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (200, 0, 0), 1)
        tiles.append(tile)
    tiles += [np.full((side, side, 3), 128, np.uint8)] * (-len(tiles) % across)
    return np.vstack([np.hstack(tiles[i : i + across]) for i in range(0, len(tiles), across)])


def save_sheets(data: Path, n: int, name: str, out: Path) -> None:
    """Save contact sheets of the sets without masks."""
    find = segment.segmenter(name)

    def outlined(paths: pd.Series, across: int) -> np.ndarray:
        pictures = [segment.outline(image, find(image)) for image in map(images.read, paths)]
        return sheet([Path(str(path)).stem for path in paths], pictures, across)

    name = name.partition(":")[0]
    if (data / "pbc_dev").is_dir():
        listed = datasets.pbc(data / "pbc_dev")
        for label, group in listed.groupby("label", sort=True):
            chosen = group["image"].iloc[:: max(1, len(group) // n)].iloc[:n]
            save(outlined(chosen, 8), out / f"pbc_{label}_{name}.png")
    if (data / "cnmc_sample").is_dir():
        listed = datasets.cnmc(data / "cnmc_sample")
        save(outlined(listed["image"], 5), out / f"cnmc_{name}.png")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of data sets of real cells")
    parser.add_argument("--dataset2", help="folder 'Dataset 2' of segmentation_WBC")
    parser.add_argument("--out", required=True, help="folder for scores and contact sheets")
    parser.add_argument(
        "--segmenter", nargs="+", default=["contours"], help="names (default: contours)"
    )
    parser.add_argument("--step", type=int, default=1, help="use every n-th image of a set")
    parser.add_argument("--drawn", type=int, default=12, help="number of drawn cells of each kind")
    parser.add_argument(
        "--sheet", type=int, default=64, help="number of cells of each class on its sheet"
    )
    parser.add_argument(
        "--lamp",
        type=float,
        nargs="?",
        const=0.7,
        help="only score under uneven light that falls to this share (0.7 without a value)",
    )
    args = parser.parse_args(argv)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    if args.lamp is not None:
        if not 0.0 < args.lamp <= 1.0:
            parser.error("--lamp must be above 0 and at most 1")
        find = segment.segmenter(args.segmenter[0])
        lamps = {lamp: under(find, lamp, args.lamp) for lamp in LAMPS}
        rows = [
            score(one, lamps, args.step).summary for one in sets(args) if "black" not in one.name
        ]
        table = pd.concat(rows, ignore_index=True).rename(columns={"segmenter": "lamp"})
        table.insert(2, "least", np.where(table["lamp"] == "even", 1.0, args.lamp))
        table.to_csv(out / "lamps.csv", index=False)
        print(table[["set", "lamp", "cells", "found", "spurious", "failures"]].to_string())
        return
    summaries, cells = [], []
    for one in sets(args):
        scores = score(one, args.segmenter, args.step)
        summaries.append(scores.summary)
        cells.append(scores.cells)
        for name in scores.segmenters:
            file = f"worst_{one.name}_{name.partition(':')[0]}.png".replace(" ", "_")
            save(scores.sheet(name), out / file)
        print(scores, end="\n\n", flush=True)
    pd.concat(summaries, ignore_index=True).to_csv(out / "scores.csv", index=False)
    pd.concat(cells, ignore_index=True).to_csv(out / "cells.csv", index=False)
    for name in args.segmenter if args.data else []:
        save_sheets(Path(args.data), args.sheet, name, out)


if __name__ == "__main__":
    main()
