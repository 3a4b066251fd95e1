"""Compare the accuracy of feature families with their cost.

    python benchmarks/families.py --data FOLDER --out DIR [--model svc]

FOLDER is anything `hemafeat.datasets.as_table` takes, with labels; without it cells are drawn.
Every family of the whole catalogue is timed on some of the images (one thread, warm, median per
image), and scored by grouped cross-validation, as `hemafeat compare` does it:

- alone;
- left out of the default set, or added to it where it is not part of it;
- added one after the other, in the order of their accuracy alone per millisecond;
- as the sets fast, default and all, and the default set of version 0.1.

Written to --out: `families.csv`, `sets.csv`, `path.csv`, `families.png`, and the cells table.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from hemafeat import datasets, evaluate, extract, images, segment
from hemafeat.extract._family import SETS, choose
from hemafeat.extract._measure import measure_window

FIRST = ("shape", "relation", "colour", "density", "intensity", "glcm", "lbp", "dct")
"""The default families of version 0.1."""


def costs(image_table: pd.DataFrame, names: list[str], n_images: int) -> dict[str, float]:
    """Measure the median ms of each family on a cell whose masks and shared planes are computed."""
    functions = choose(names)
    contours = segment.segmenter("contours")
    seconds: dict[str, list[float]] = defaultdict(list)
    sample = image_table.sample(min(n_images, len(image_table)), random_state=0)
    for number, path in enumerate([sample["image"].iloc[0], *sample["image"]]):
        image = images.read(path)
        masks = contours(image)
        if masks.n_cells == 0:
            continue
        prepared, inside = extract.Prepared(image, masks).window(masks, 0)
        for name, function in functions.items():
            start = time.perf_counter()
            measure_window(prepared, inside, {name: function})
            if number:  # the first image is repeated: its first visit compiles
                seconds[name].append(time.perf_counter() - start)
    return {name: 1e3 * float(np.median(values)) for name, values in seconds.items()}


class Scores:
    """Accuracy of one model by selection of families; each selection is scored once."""

    def __init__(self, table: pd.DataFrame, model: str, n_splits: int, seed: int) -> None:
        self.table, self.model, self.n_splits, self.seed = table, model, n_splits, seed
        self.scores: dict[frozenset[str], tuple[float, float, float]] = {}

    def __call__(self, names: list[str]) -> tuple[float, float, float]:
        """Return the accuracy of a list of families and its interval."""
        key = frozenset(names)
        if key not in self.scores:
            columns = [c for c in extract.columns(sorted(key)) if c in self.table]
            comparison = evaluate.compare(
                self.model, self.table, columns=columns, n_splits=self.n_splits,
                importance=False, progress=False, random_state=self.seed,
            )  # fmt: skip
            rows = comparison.results
            row = rows[
                (rows["model"] == self.model)
                & (rows["fold"] == "all")
                & (rows["metric"] == "accuracy")
            ].iloc[0]
            self.scores[key] = float(row["value"]), float(row["low"]), float(row["high"])
        return self.scores[key]


def label_dots(axes: Any, single: pd.DataFrame) -> None:
    """Write each family beside its dot, where it covers as little as possible of the others."""
    axes.figure.canvas.draw()
    dots = axes.transData.transform(single[["ms", "alone"]].to_numpy())
    point = axes.figure.dpi / 72
    taken: list[np.ndarray] = [np.array([*dot - 4 * point, *dot + 4 * point]) for dot in dots]
    for (x, y), name in zip(dots, single["family"], strict=True):
        wide, high = 5.0 * len(name) * point, 9.0 * point
        tries = []
        for across in (8 * point, -8 * point - wide, -wide / 2):
            for up in (0.0, high, -high, 2 * high, -2 * high):
                box = np.array(
                    [x + across, y + up - high / 2, x + across + wide, y + up + high / 2]
                )
                over = [
                    max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
                    * max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
                    for other in taken
                ]
                tries.append((sum(over), len(tries), box))
        box = min(tries, key=lambda attempt: attempt[:2])[2]
        taken.append(box)
        axes.annotate(
            name,
            axes.transData.inverted().transform((x, y)),
            xytext=((box[0] - x) / point, (box[1] + high / 2 - y) / point),
            textcoords="offset points",
            fontsize=8,
            va="center",
        )


def draw(single: pd.DataFrame, sets: pd.DataFrame, path: pd.DataFrame, to: Path) -> None:
    """Draw accuracy against ms, for each family alone and for families added one by one."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.0, 6.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for default, colour, label in ((True, "#4c78a8", "default"), (False, "#bab0ac", "off")):
        part = single[single["default"] == default]
        left.scatter(part["ms"], part["alone"], color=colour, label=label, zorder=3)
    left.set_xscale("log")
    left.set_xlim(0.7 * single["ms"].min(), 3.0 * single["ms"].max())
    left.set_ylim(top=left.get_ylim()[1] + 0.02)
    label_dots(left, single)
    left.set_xlabel("ms a cell")
    left.set_ylabel("accuracy")
    left.set_title("each family alone")
    left.legend(frameon=False, loc="lower right")
    names = [f"+ {name}" for name in path["family"]]
    for rows, first, colour in ((path, 0, "#4c78a8"), (sets, len(path) + 0.5, "#e45756")):
        at = first + np.arange(len(rows))
        right.hlines(at, rows["low"], rows["high"], color=colour, alpha=0.35, lw=3)
        right.plot(rows["accuracy"], at, "o", color=colour, markersize=4)
        for y, ms in zip(at, rows["ms"], strict=True):
            right.annotate(f"{ms:.2f} ms", (1.01, y), xycoords=("axes fraction", "data"),
                           fontsize=8, va="center", color=colour)  # fmt: skip
    right.set_yticks(
        [*range(len(path)), *(len(path) + 0.5 + np.arange(len(sets)))],
        [*names, *sets["set"]],
        fontsize=8,
    )
    right.invert_yaxis()
    right.grid(axis="x", alpha=0.3)
    right.set_xlabel("accuracy")
    right.set_title("families added one by one, and the named sets")
    figure.savefig(to, dpi=150)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="folder of labelled cells; drawn cells by default")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="svc", help="name of a model of hemafeat.pipelines")
    parser.add_argument("--families", nargs="+", default=["all"])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--timed", type=int, default=200, help="number of images to time on")
    parser.add_argument("--drawn", type=int, default=360, help="cells to draw without --data")
    parser.add_argument("--seed", type=int, default=0, help="seed of the folds")
    parser.add_argument("--no-path", action="store_true", help="leave out the cumulative path")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        if args.data:
            image_table = datasets.as_table(args.data)
        else:
            image_table = datasets.drawn(f"{scratch}/drawn", n_images=args.drawn, random_state=0)
        names = list(choose(args.families))
        cv2.setNumThreads(1)
        ms = costs(image_table, names, args.timed)
        table = extract.table(image_table, families=names)
    table.to_parquet(args.out / "cells.parquet")
    score = Scores(table, args.model, args.folds, args.seed)
    default = [name for name in choose("default") if name in names]
    whole = score(default)[0]
    rows = []
    for name, function in choose(names).items():
        inside = name in default
        other = [n for n in default if n != name] if inside else [*default, name]
        alone = score([name])[0]
        with_it, without = (whole, score(other)[0]) if inside else (score(other)[0], whole)
        rows.append(
            {
                "family": name,
                "columns": function.facts.width,
                "default": inside,
                "ms": ms[name],
                "alone": alone,
                "gain": with_it - without,
                "gain_per_ms": (with_it - without) / ms[name],
            }
        )
    single = pd.DataFrame(rows)
    members_of = {f"{name} set": list(choose(name)) for name in SETS}
    members_of["version 0.1"] = list(FIRST)
    sets = pd.DataFrame(
        [
            {
                "set": label,
                "columns": len(extract.columns(members)),
                "ms": sum(ms[name] for name in members),
                **dict(zip(("accuracy", "low", "high"), score(members), strict=True)),
            }
            for label, members in members_of.items()
            if members and set(members) <= set(names)
        ]
    )
    # Accuracy of a family alone, above guessing, per ms.
    guessing = float(table["label"].value_counts(normalize=True).max())
    order = (single["alone"] - guessing).div(single["ms"]).sort_values(ascending=False).index
    path, added = [], []
    for name in single.loc[order, "family"] if not args.no_path else []:
        added.append(name)
        path.append(
            {
                "family": name,
                "ms": sum(ms[n] for n in added),
                **dict(zip(("accuracy", "low", "high"), score(added), strict=True)),
            }
        )
    tables = {"single": single, "sets": sets, "path": pd.DataFrame(path)}
    for name, frame in tables.items():
        if len(frame):
            print(f"\n{name}\n{frame.round(4).to_string(index=False)}", flush=True)
    single.to_csv(args.out / "families.csv", index=False)
    sets.to_csv(args.out / "sets.csv", index=False)
    if path:
        tables["path"].to_csv(args.out / "path.csv", index=False)
        draw(single, sets, tables["path"], args.out / "families.png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
