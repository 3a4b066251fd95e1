"""Compare the scale by red cells with what is known of it, image by image and pooled.

    python benchmarks/red_cells.py --out DIR                # drawn fields only
    python benchmarks/red_cells.py --out DIR --data DATA    # also the real sets below

The scale is known of drawn fields whose red cells are 7.2 um wide on average, and of the fields of
Chula RBC-12 with a scale bar (20 um on 104 px). Of draaslan and BCCD the boxes around red cells are
known: sides of those that are nearly square and not cut by the border, taken for 7.2 um, tell
whether the outlines are right, not the size of the cells of these patients. Of PBC the diameter of
single red cells is known (73 px by hand). Images without red cells (segmentation_WBC) should be
refused. For each set the table has the share of images that are refused, the median and the ninth
decile of the error of the others, the error of the pooled estimate, milliseconds per image, and by
which factors a wrong scale must be off for the pooled red cells to tell it. It is written to
`red_cells.csv` in the folder of --out, and the images to `images.csv`.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd

from hemafeat import datasets
from hemafeat.datasets._drawn import field
from hemafeat.images import RED_CELL_UM, read, scale

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


def boxes(table: pd.DataFrame, shape: tuple[int, int]) -> dict[str, float]:
    """Return the um per px by the boxes of each image that has at least five usable ones."""
    width, height = (table[f"{axis}max"] - table[f"{axis}min"] for axis in "xy")
    inside = (table[["xmin", "ymin"]].min(axis=1) > 2) & (table["ymax"] < shape[0] - 3)
    usable = inside & (table["xmax"] < shape[1] - 3) & (width / height).between(0.8, 1.25)
    side = ((width + height) / 2)[usable].groupby(table["file"])
    return (RED_CELL_UM / side.median()[side.size() >= 5]).to_dict()


def real(data: Path, half: int | None) -> Iterator[tuple[str, Images]]:
    """Yield the real sets that exist, whole or one half of each."""
    for name, stated in (
        ("chula_rbc", lambda file: np.nan if int(file.stem) in WITHOUT_BAR else 20 / 104),
        ("draaslan", None),
        ("bccd", None),
        ("pbc_dev", lambda file: RED_CELL_UM / 73),
        ("segwbc_d1", lambda file: np.nan),
    ):
        files = sorted((data / name / "images").rglob("*.*"))
        if name == "draaslan" and files:
            table = pd.read_csv(data / name / "boxes.csv").query("label == 'rbc'")
            known = boxes(
                table.assign(file=table["path"].map(lambda path: Path(path).name)), (256, 256)
            )
        elif name == "bccd" and files:
            table = datasets.bccd_boxes(data / name).query("name == 'RBC' and xmax > xmin + 5")
            known = boxes(
                table.assign(file=table["image"].map(lambda path: Path(path).name)), (480, 640)
            )
        if half is not None:
            files = files[half::2]
        files = files[:: max(1, len(files) // 200)]
        if files:
            yield (
                name,
                [
                    (
                        file.name,
                        read(file),
                        stated(file) if stated else known.get(file.name, np.nan),
                    )
                    for file in files
                ],
            )


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
                max_images=8,
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
