"""Compare the accuracy of feature families with their cost.

    python benchmarks/families.py --data FOLDER --out DIR [--model svc]

FOLDER is anything `hemafeat.datasets.as_table` takes, with labels; without it cells are drawn.
Every family of the whole catalogue is timed on some of the images (one thread, warm, median per
image), and scored by grouped cross-validation, as `hemafeat compare` does it:

- alone;
- left out of the default set, or added to it where it is not part of it;
- added one after the other, in the order of their accuracy alone per millisecond;
- as the sets fast, default and all, and the former ones, with the paired differences from the set
  default and their intervals.

A family alone, or added, gives all its columns; in the sets fast and default it gives those that
these hold.

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

from hemafeat import datasets, evaluate, extract, images, pipelines, segment
from hemafeat.extract._family import SETS, choose
from hemafeat.extract._former import FORMER_SETS
from hemafeat.extract._measure import measure_window

FIRST = ("shape", "relation", "colour", "density", "intensity", "glcm", "lbp", "dct")
"""The default families of version 0.1."""

SELECTIONS = {
    **{name: [name] for name in SETS},
    **{f"former {name}": list(names) for name, names in FORMER_SETS.items()},
    "version 0.1": list(FIRST),
}
"""The sets that are compared."""


def costs(image_table: pd.DataFrame, names: list[str], n_images: int) -> dict[str, float]:
    """Measure the median ms of each family and set on a cell whose shared planes are computed."""
    work = {name: {name: function} for name, function in choose(names).items()}
    for set_name, selection in SELECTIONS.items():
        chosen = choose(selection).items()
        work[set_name] = {name: function for name, function in chosen if name in names}
    contours = segment.segmenter("contours")
    seconds: dict[str, list[float]] = defaultdict(list)
    sample = image_table.sample(min(n_images, len(image_table)), random_state=0)
    for number, path in enumerate([sample["image"].iloc[0], *sample["image"]]):
        image = images.read(path)
        masks = contours(image)
        if masks.n_cells == 0:
            continue
        prepared, inside = extract.Prepared(image, masks).window(masks, 0)
        for name, functions in work.items():
            start = time.perf_counter()
            measure_window(prepared, inside, functions)
            if number:  # the first image is repeated: its first visit compiles
                seconds[name].append(time.perf_counter() - start)
    return {name: 1e3 * float(np.median(values)) for name, values in seconds.items()}


class Scores:
    """Accuracy of one model by its columns; each choice of columns is scored once."""

    def __init__(self, table: pd.DataFrame, model: str, n_splits: int, seed: int) -> None:
        self.table, self.model, self.n_splits, self.seed = table, model, n_splits, seed
        self.scores: dict[frozenset[str], tuple[float, float, float]] = {}

    def compare(self, columns: dict[str, list[str]]) -> evaluate.Comparison:
        """Compare models that differ only in the columns they are given."""
        models = {
            name: pipelines.make(self.model).set_params(columns__columns=chosen)
            for name, chosen in columns.items()
        }
        return evaluate.compare(
            models, self.table, n_splits=self.n_splits,
            importance=False, progress=False, random_state=self.seed,
        )  # fmt: skip

    def __call__(self, columns: list[str]) -> tuple[float, float, float]:
        """Return the accuracy of a choice of columns and its interval."""
        key = frozenset(columns)
        if key not in self.scores:
            results = self.compare({"model": columns}).results
            row = pooled(results, "model", "accuracy")
            self.scores[key] = float(row["value"]), float(row["low"]), float(row["high"])
        return self.scores[key]

    def sets(self, columns: dict[str, list[str]], against: str) -> pd.DataFrame:
        """Compare choices of columns, and each in pairs with the one called `against`."""
        comparison = self.compare(columns)
        rows = []
        for name in columns:
            row: dict[str, Any] = {"set": name, "columns": len(columns[name])}
            for metric in ("accuracy", "macro_f1"):
                found = pooled(comparison.results, name, metric)
                row |= {metric: found["value"], f"{metric}_low": found["low"]}
                row |= {f"{metric}_high": found["high"]}
                row |= difference(comparison.differences, name, against, metric)
            rows.append(row)
        return pd.DataFrame(rows)


def pooled(results: pd.DataFrame, model: str, metric: str) -> pd.Series:
    """Return the row of the score over all folds."""
    rows = results[(results["model"] == model) & (results["fold"] == "all")]
    return rows[rows["metric"] == metric].iloc[0]


def difference(differences: pd.DataFrame, name: str, against: str, metric: str) -> dict[str, Any]:
    """Return the difference in a metric of a model from another, and its interval."""
    rows = differences[differences["metric"] == metric]
    for first, second, sign in ((name, against, 1), (against, name, -1)):
        row = rows[(rows["model_a"] == first) & (rows["model_b"] == second)]
        if len(row):
            value, *ends = (sign * row[["difference", "low", "high"]].to_numpy(float)[0]).tolist()
            low, high = sorted(ends)
            return {f"{metric}_less_{against}": f"{value:+.4f} [{low:+.4f}, {high:+.4f}]"}
    return {f"{metric}_less_{against}": ""}


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
        part = single[(single["default"] > 0) == default]
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
        right.hlines(
            at, rows["accuracy_low"], rows["accuracy_high"], color=colour, alpha=0.35, lw=3
        )
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
    parser.add_argument("--sets", action="store_true", help="compare the sets only")
    parser.add_argument("--no-path", action="store_true", help="leave out the cumulative path")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        if args.data:
            image_table = datasets.as_table(args.data)
        else:
            image_table = datasets.drawn(f"{scratch}/drawn", n_images=args.drawn, random_state=0)
        cv2.setNumThreads(1)
        names = list(choose(args.families))
        ms = costs(image_table, names, args.timed)
        table = extract.table(image_table, families=names)
    table.to_parquet(args.out / "cells.parquet")
    score = Scores(table, args.model, args.folds, args.seed)
    columns = {
        name: [column for column in extract.columns(selection) if column in table]
        for name, selection in SELECTIONS.items()
    }
    sets = score.sets(columns, "default")
    sets.insert(2, "ms", [ms[name] for name in SELECTIONS])
    print(f"\nsets\n{sets.round(4).to_string(index=False)}", flush=True)
    sets.to_csv(args.out / "sets.csv", index=False)
    if args.sets:
        return 0
    default = columns["default"]
    whole = score(default)[0]
    rows = []
    for name in names:
        alone = score(extract.columns([name]))[0]
        rest = [column for column in default if column.split("__")[1] != name]
        inside = len(default) - len(rest)
        other = score(rest if inside else [*default, *extract.columns([name])])[0]
        gain = whole - other if inside else other - whole
        rows.append(
            {
                "family": name,
                "columns": len(extract.columns([name])),
                "default": inside,
                "ms": ms[name],
                "alone": alone,
                "gain": gain,
                "gain_per_ms": gain / ms[name],
            }
        )
    single = pd.DataFrame(rows)
    # Accuracy of a family alone, above guessing, per ms.
    guessing = float(table["label"].value_counts(normalize=True).max())
    order = (single["alone"] - guessing).div(single["ms"]).sort_values(ascending=False).index
    path, added = [], []
    for name in single.loc[order, "family"] if not args.no_path else []:
        added.append(name)
        value, low, high = score(extract.columns(added))
        row = {"family": name, "ms": sum(ms[n] for n in added)}
        path.append(row | {"accuracy": value, "accuracy_low": low, "accuracy_high": high})
    tables = {"families": single, "path": pd.DataFrame(path)}
    for name, frame in tables.items():
        if len(frame):
            print(f"\n{name}\n{frame.round(4).to_string(index=False)}", flush=True)
            frame.to_csv(args.out / f"{name}.csv", index=False)
    if path:
        draw(single, sets, tables["path"], args.out / "families.png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
