"""Compare the scale by red cells with what is known of it, image by image and pooled.

    python benchmarks/red_cells.py --out DIR                # drawn fields only
    python benchmarks/red_cells.py --out DIR --data DATA    # also the real sets below

The scale is known of drawn fields whose red cells are 7.2 um wide on average, and of the fields of
Chula RBC-12 with a scale bar (20 um on 104 px). Of draaslan and BCCD the boxes around red cells are
known: the sides of those that are nearly square and not cut by the border, taken for 7.2 um, tell
whether the outlines are right, not how large the red cells of these patients are. Of PBC the
diameter of single red cells is known (73 px by hand). Images without red cells (segmentation_WBC)
should be refused. For each set the table has the share of images that are refused, the median and
the ninth decile of the error of the others, the error of the pooled estimate, milliseconds per
image, and which factors between a wrong scale and the right one a warning tells. It is written to
`red_cells.csv` in the folder of --out, and the images to `images.csv`.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd

from hemafeat import datasets
from hemafeat.datasets._drawn import field
from hemafeat.images import RED_CELL_UM, read, scale

LOOSE = {"bccd": 1.10, "draaslan": 1.0}
"""How much wider boxes are than cells. Those around the white cells of BCCD are 1.10 times as wide
as the masks, which other people drew (median of the 241 that lie alone in a field)."""

WITHOUT_BAR = (5, 6, 10, 33, 34, 38, 43, 679, 681, 688, 693, 700, 707, 719, 735, 736)
"""Fields of Chula RBC-12 without a scale bar, or with one in another unit."""

FACTORS = (0.1, 0.5, 0.67, 1.5, 2.0, 10.0)

Images = list[tuple[str, np.ndarray, float]]
"""Name, pixels and um per px of each image; NaN if it is not known."""


def drawn(n: int) -> Images:
    """Draw fields of any scale whose red cells are 7.2 um wide on average."""
    rng = np.random.default_rng(0)
    draw = field.RedCells.draw
    usual = lambda rng: dataclasses.replace(draw(rng), radius=RED_CELL_UM / 2)  # noqa: E731
    found = []
    with patch.object(field.RedCells, "draw", usual):
        for k in range(n):
            um_per_px = float(np.exp(rng.uniform(np.log(0.06), np.log(0.4))))
            kinds = rng.choice(["neutrophil", "lymphocyte", "platelet"], rng.integers(0, 3))
            drawn = datasets.draw_field(
                list(kinds), um_per_px=um_per_px, neighbours=rng.uniform(0.15, 0.6), random_state=k
            )
            found.append((f"drawn {k}", drawn.image, um_per_px))
    return found


def by_boxes(name: str, table: pd.DataFrame, shape: tuple[int, int]) -> dict[str, float]:
    """Return the um per px of each image with at least five usable boxes around red cells."""
    width, height = (table[f"{axis}max"] - table[f"{axis}min"] for axis in "xy")
    inside = (table[["xmin", "ymin"]].min(axis=1) > 2) & (table["ymax"] < shape[0] - 3)
    usable = inside & (table["xmax"] < shape[1] - 3) & (width / height).between(0.8, 1.25)
    side = ((width + height) / 2 / LOOSE[name])[usable].groupby(
        table["image"].map(os.path.basename)
    )
    return (RED_CELL_UM / side.median()[side.size() >= 5]).to_dict()


def known_scale(data: Path, name: str, files: Sequence[Path]) -> dict[str, float]:
    """Return the um per px of the images of a set, as far as it is known."""
    if name == "chula_rbc":
        return {file.name: 20 / 104 for file in files if int(file.stem) not in WITHOUT_BAR}
    if name == "pbc_dev":
        return {file.name: RED_CELL_UM / 73 for file in files}
    if name == "draaslan":
        table = pd.read_csv(data / name / "boxes.csv").rename(columns={"path": "image"})
        return by_boxes(name, table.query("label == 'rbc'"), (256, 256))
    if name == "bccd":
        table = datasets.bccd_boxes(data / name)
        return by_boxes(name, table.query("name == 'RBC' and xmax > xmin + 5"), (480, 640))
    return {}


def real(data: Path, half: int | None) -> Iterator[tuple[str, Images]]:
    """Yield the real sets that exist, whole or one half of each, of at most 200 images or so."""
    for name in ("chula_rbc", "draaslan", "bccd", "pbc_dev", "segwbc_d1"):
        files = sorted((data / name / "images").rglob("*.*"))
        known = known_scale(data, name, files) if files else {}
        files = files if half is None else files[half::2]
        files = files[:: max(1, len(files) // 200)]
        if files:
            yield name, [(file.name, read(file), known.get(file.name, np.nan)) for file in files]


def measure(name: str, images: Images) -> tuple[dict[str, object], pd.DataFrame]:
    """Return the row of a set, and the row of each of its images."""
    rows = []
    for file, pixels, known in images:
        began = time.perf_counter()
        found = scale(pixels)
        ms = 1000 * (time.perf_counter() - began)
        rows.append(
            (name, file, known, found.um_per_px, found.spread, found.n_cells, ms, found.reason)
        )
    columns = ["set", "image", "known", "um_per_px", "spread", "n_cells", "ms", "reason"]
    table = pd.DataFrame(rows, columns=columns)
    error = (table["um_per_px"] / table["known"] - 1).abs()
    row = {
        "set": name,
        "images": len(table),
        "refused": table["um_per_px"].isna().mean(),
        "error": error.median(),
        "error_p90": error.quantile(0.9),
        "ms": table["ms"].median(),
    }
    if name != "drawn":
        pooled = scale([pixels for _, pixels, _ in images])
        row |= {
            "pooled": pooled.um_per_px,
            "pooled_error": pooled.um_per_px / table["known"].median() - 1,
            "spread": pooled.spread,
            "n_cells": pooled.n_cells,
        }
        stated = [pooled.um_per_px * factor for factor in FACTORS]
        told = [
            factor
            for factor, um_per_px in zip(FACTORS, stated, strict=True)
            if um_per_px == um_per_px
            and datasets.scales(
                pd.DataFrame({"image": [p for _, p, _ in images], "um_per_px": um_per_px}),
                max_images=24,
                enough=36,
            )["problem"].item()[:9]
            == "um_per_px"
        ]
        row["told"] = " ".join(map(str, told))
    return row, table


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument("--data", metavar="DIR", help="folder of real sets")
    parser.add_argument("--drawn", type=int, default=40, help="number of drawn fields")
    parser.add_argument("--half", type=int, choices=(0, 1), help="one half of each real set only")
    args = parser.parse_args(arguments)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    rows, tables = [], []
    sets = [("drawn", drawn(args.drawn))] if args.drawn else []
    for name, images in [*sets, *(real(Path(args.data), args.half) if args.data else ())]:
        row, table = measure(name, images)
        rows.append(row)
        tables.append(table)
    pd.concat(tables, ignore_index=True).to_csv(out / "images.csv", index=False)
    result = pd.DataFrame(rows)
    result.to_csv(out / "red_cells.csv", index=False)
    print(result.round(4).to_string(index=False))


if __name__ == "__main__":
    main()
