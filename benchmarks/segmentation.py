"""Score a segmenter on every available set of masks, and make contact sheets of its outlines.

    python benchmarks/segmentation.py --data DIR --out DIR [--dataset2 DIR] [--segmenter NAME]

DIR contains `segwbc_d1`, `bccd`, `pbc_dev` and `cnmc_sample` (missing sets are skipped);
--dataset2 is the folder "Dataset 2" of segmentation_WBC. Drawn cells on every background, single
and in fields, are scored as well: no threshold was tuned on them. With --lamp every image is also
segmented under several kinds of uneven light, and the shares of lost cells and of failed outlines
are reported for each.

The output folder receives `scores.csv` (one row per set), `cells.csv` (one row per true cell), and
contact sheets of every class of PBC, the worst cells of each set with masks, and all of C-NMC.
Predicted outlines are green and yellow (red where a failure is suspected), true ones blue. With
--lamp only `lamps.csv` (one row per set and lamp) is written.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from hemafeat import datasets, images, segment
from hemafeat.segment import Masks, read_masks

Sample = tuple[str, str, np.ndarray, Masks, float]
"""Name, label, image, true masks, seconds to read the image (NaN for drawn cells)."""


def read(path: object) -> tuple[np.ndarray, float]:
    start = time.perf_counter()
    image = images.read(path)
    return image, time.perf_counter() - start


def with_masks(listed: pd.DataFrame, step: int) -> Iterator[Sample]:
    for row in listed.iloc[::step].itertuples():
        image, seconds = read(row.image)
        yield Path(str(row.image)).stem, str(row.label), image, read_masks(row.mask), seconds


def drawn_cells(background: str, n: int) -> Iterator[Sample]:
    for i in range(n):
        rng = np.random.default_rng([1, i])
        stain = datasets.Stain.draw(rng, background)
        for kind in datasets.KINDS:
            cell = datasets.draw_cell(kind, stain=stain, random_state=rng)
            yield f"{kind}_{i}", kind, cell.image, Masks(cell.cell, cell.nucleus), np.nan


def drawn_fields(background: str, n: int) -> Iterator[Sample]:
    white = [kind for kind in datasets.KINDS if kind != "platelet"]
    for i in range(n):
        rng = np.random.default_rng([2, i])
        kinds = [str(kind) for kind in rng.choice(white, size=int(rng.integers(1, 4)))]
        stain = datasets.Stain.draw(rng, background)
        field = datasets.draw_field(kinds, stain=stain, random_state=rng)
        masks = Masks(field.cell, field.nucleus)
        yield f"field_{i}", " ".join(kinds), field.image, masks, np.nan


def sets(args: argparse.Namespace) -> Iterator[tuple[str, Iterator[Sample]]]:
    data = Path(args.data) if args.data else None
    if data and (data / "segwbc_d1").is_dir():
        yield "segwbc_d1", with_masks(datasets.segwbc(data / "segwbc_d1"), args.step)
    if args.dataset2:
        yield "segwbc_d2", with_masks(datasets.segwbc(args.dataset2), args.step)
    if data and (data / "bccd").is_dir():
        listed = datasets.bccd(data / "bccd")
        yield "bccd", with_masks(listed[listed["mask"].notna()], args.step)
    for background in datasets.BACKGROUNDS:
        yield f"drawn {background}", drawn_cells(background, args.drawn)
    for background in datasets.BACKGROUNDS:
        if background != "black":
            yield f"fields {background}", drawn_fields(background, 2 * args.drawn)


def measure(name: str, samples: Iterator[Sample], find, out: Path) -> tuple[dict, pd.DataFrame]:
    tables, durations, read_durations, n_spurious, pictures = [], [], [], 0, []
    for number, (stem, label, image, truth, seconds) in enumerate(samples):
        if number == 0:
            find(image)
        start = time.perf_counter()
        masks = find(image)
        durations.append(time.perf_counter() - start)
        read_durations.append(seconds)
        table = segment.score(masks, truth)
        n_spurious += table.attrs["n_spurious"]
        table.insert(0, "image", stem)
        table.insert(1, "label", label)
        tables.append(table)
        worst = table[["dice_cell", "dice_nucleus"]].min().min() if len(table) else np.nan
        pictures.append((worst, stem, overlay(image, masks, truth)))
        pictures = sorted(pictures, key=lambda p: p[0])[:40]
    cells = pd.concat(tables, ignore_index=True)
    cells.insert(0, "set", name)
    sheet([f"{stem} {worst:.2f}" for worst, stem, _ in pictures], [p[2] for p in pictures]).save(
        out / f"worst_{name.replace(' ', '_')}.png"
    )
    found = cells[cells["found"]]
    detection = segment.failure_detection(cells)
    row: dict[str, object] = {
        "set": name,
        "n": len(cells),
        "found": len(found),
        "spurious": n_spurious,
    }
    for part in ("nucleus", "cell"):
        values = found[f"dice_{part}"].dropna()
        row[f"{part}_mean"] = values.mean()
        row[f"{part}_p5"] = values.quantile(0.05)
        row[f"{part}_median"] = values.median()
    row |= {key: detection[key] for key in ("failed", "flagged", "precision", "recall")}
    row["ms"] = 1000 * float(np.median(durations))
    row["decodes"] = (
        float(np.median(durations) / np.median(read_durations))
        if np.isfinite(read_durations).all()
        else None
    )
    return row, cells


def overlay(image: np.ndarray, masks: Masks, truth: Masks | None = None) -> np.ndarray:
    drawn = segment.outline(image, masks)
    for labels in () if truth is None else (truth.cell, truth.nucleus):
        for number in range(1, truth.n_cells + 1):
            part = (labels == number).astype(np.uint8)
            lines, _ = cv2.findContours(part, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(drawn, lines, -1, (0, 60, 255), 1)
    return drawn


class Sheet:
    """A contact sheet of tiles of one size."""

    def __init__(self, rows: list[np.ndarray]) -> None:
        self.image = np.vstack(rows) if rows else np.zeros((1, 1, 3), np.uint8)

    def save(self, path: Path) -> None:
        encoded, data = cv2.imencode(".png", cv2.cvtColor(self.image, cv2.COLOR_RGB2BGR))
        if not encoded:
            raise OSError(f"{path} could not be encoded")
        path.write_bytes(data.tobytes())


def sheet(titles: list[str], pictures: list[np.ndarray], side: int = 240, across: int = 8) -> Sheet:
    tiles = []
    for title, picture in zip(titles, pictures, strict=True):
        scale = side / max(picture.shape[:2])
        size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
        tile = np.full((side, side, 3), 128, np.uint8)
        tile[: size[1], : size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        cv2.putText(tile, title[-34:], (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (200, 0, 0), 1)
        tiles.append(tile)
    tiles += [np.full((side, side, 3), 128, np.uint8)] * (-len(tiles) % across)
    return Sheet([np.hstack(tiles[i : i + across]) for i in range(0, len(tiles), across)])


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


def score_lamps(args: argparse.Namespace, find) -> pd.DataFrame:
    """Compute the shares of lost cells and of failed outlines for each set and lamp."""
    rows = []
    for name, samples in sets(args):
        if "black" in name:
            continue
        tables: dict[str, list[pd.DataFrame]] = {lamp: [] for lamp in LAMPS}
        for _, _, image, truth, _ in samples:
            for lamp, scores in tables.items():
                scores.append(segment.score(find(relight(image, lamp, args.lamp)), truth))
        for lamp, scores in tables.items():
            cells = pd.concat(scores, ignore_index=True)
            found = cells[cells["found"]]
            rows.append(
                {
                    "set": name,
                    "lamp": lamp,
                    "least": 1.0 if lamp == "even" else args.lamp,
                    "n": len(cells),
                    "lost": 1.0 - len(found) / len(cells),
                    "failed": found["failed"].astype(float).mean(),
                    "spurious": sum(table.attrs["n_spurious"] for table in scores),
                    "nucleus_mean": found["dice_nucleus"].mean(),
                    "cell_mean": found["dice_cell"].mean(),
                }
            )
        print(pd.DataFrame(rows[-len(LAMPS) :]).round(3).to_string(index=False), flush=True)
    return pd.DataFrame(rows)


def save_sheets(args: argparse.Namespace, find, out: Path) -> None:
    """Save contact sheets of the sets without masks."""
    data = Path(args.data)
    if (data / "pbc_dev").is_dir():
        listed = datasets.pbc(data / "pbc_dev")
        for label, group in listed.groupby("label", sort=True):
            chosen = group.iloc[:: max(1, len(group) // args.sheet)].iloc[: args.sheet]
            tiles = [overlay(image, find(image)) for image in map(images.read, chosen["image"])]
            names = [Path(str(path)).stem for path in chosen["image"]]
            sheet(names, tiles, side=300).save(out / f"pbc_{label}.png")
    if (data / "cnmc_sample").is_dir():
        paths = list(datasets.cnmc(data / "cnmc_sample")["image"])
        tiles = [overlay(image, find(image)) for image in map(images.read, paths)]
        sheet([Path(str(p)).stem for p in paths], tiles, side=300, across=5).save(out / "cnmc.png")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of data sets of real cells")
    parser.add_argument("--dataset2", help="folder 'Dataset 2' of segmentation_WBC")
    parser.add_argument("--out", required=True, help="folder for scores and contact sheets")
    parser.add_argument(
        "--segmenter", default="contours", help="name of the segmenter (default: contours)"
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
    find = segment.segmenter(args.segmenter)
    if args.lamp is not None:
        if not 0.0 < args.lamp <= 1.0:
            parser.error("--lamp must be above 0 and at most 1")
        score_lamps(args, find).to_csv(out / "lamps.csv", index=False)
        return
    rows, cells = [], []
    for name, samples in sets(args):
        row, table = measure(name, samples, find, out)
        rows.append(row)
        cells.append(table)
        print(pd.DataFrame([row]).round(3).to_string(index=False, header=len(rows) == 1))
    pd.DataFrame(rows).to_csv(out / "scores.csv", index=False)
    pd.concat(cells, ignore_index=True).to_csv(out / "cells.csv", index=False)
    if args.data:
        save_sheets(args, find, out)
    print()
    print(pd.DataFrame(rows).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
