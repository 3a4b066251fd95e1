"""Measure the effect of stain normalisation and matched scale on scores across data sets.

    python benchmarks/cross.py --out DIR                # drawn sets only
    python benchmarks/cross.py --out DIR --data DATA    # also segwbc_d1, pbc_dev and bccd

One model is trained on one set and scored on another, on the classes that both have, in every
direction: with lengths in px and in um, with images resampled to one scale, and with each
normaliser, whose target is taken from the training set only. Drawn sets differ only in background
and stain. Each row has the balanced accuracy with its interval (bootstrap over groups) and the
paired difference to the plain images at the same scale. The table is written to `cross.csv` in the
folder of --out.

The scale of no real set is published. The size of a pixel is assumed to be 0.100 um in PBC and
0.077 um in BCCD, from the median diameter of single red cells (73 px, 95 px) and 7.3 um; segwbc_d1
shows no whole red cell: with 0.175 um the nuclei of its neutrophils (48 px) lie between those of
BCCD and PBC at these scales (7.9 um, 8.9 um). All three may be off by a tenth.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from hemafeat import datasets, evaluate, extract
from hemafeat.datasets import DatasetWarning
from hemafeat.evaluate._studies.paired import paired_differences
from hemafeat.images import NORMALISERS, normaliser

CLASSES = ("neutrophil", "eosinophil", "lymphocyte", "monocyte")
UM_PER_PX = {"segwbc_d1": 0.175, "pbc_dev": 0.100, "bccd": 0.077}
GRID_UM = 0.1
"""Size of a pixel to which images are resampled."""

Tables = dict[str, pd.DataFrame]
"""Tables of images or cells by the name of the set."""


def drawn(folder: Path, n: int) -> Tables:
    """Draw three sets with different backgrounds, stains and patients."""
    return {
        background: datasets.drawn(
            folder / background,
            n,
            kinds=CLASSES,
            size=240,
            background=background,
            random_state=seed,
            progress=False,
        )
        for seed, background in enumerate(("cream", "pink", "yellow"))
    }


def real(data: Path, per_class: int) -> Tables:
    """Load the real sets that exist, with their scales and the classes they share."""
    loaders = {"segwbc_d1": datasets.segwbc, "pbc_dev": datasets.pbc, "bccd": datasets.bccd}
    sets = {}
    for name, load in loaders.items():
        if (data / name).is_dir():
            table = load(data / name)
            table = table[table["label"].isin(CLASSES)]
            table = table.groupby("label").head(per_class).reset_index(drop=True)
            sets[name] = table.assign(um_per_px=UM_PER_PX[name])
    return sets


class Tabulator:
    """Tables of cells, each measured once."""

    def __init__(self, sets: Tables, families: Sequence[str] | str, jobs: int | None) -> None:
        self.sets, self.families, self.jobs = sets, families, jobs
        self.tables: dict[tuple[str, str, str], pd.DataFrame] = {}

    def __call__(self, name: str, scale: str, stain: str, target: str) -> pd.DataFrame:
        """Return the cells of set `name` at `scale`, with the stain of set `target`."""
        reference = target if stain in ("reinhard", "macenko") else ""
        key = (name, scale, f"{stain} {reference}")
        if key not in self.tables:
            images = self.sets[name].assign(dataset=name)
            if scale == "px":
                images["um_per_px"] = float("nan")
            normalise = None
            if stain != "plain":
                normalise = normaliser(stain, self.sets[target]["image"])
            self.tables[key] = extract.table(
                images,
                families=self.families,
                cells="central",
                normalise=normalise,
                to_um_per_px=GRID_UM if scale == "grid" else None,
                n_jobs=self.jobs,
                progress=False,
            )
        return self.tables[key]


def compare_sets(
    tabulate: Tabulator, kind: str, model: str, n_boot: int, stains: Sequence[str]
) -> Iterator[dict[str, object]]:
    """Yield a row per direction, scale and stain."""
    conditions = [("px", "plain"), ("um", "plain"), *(("grid", s) for s in ("plain", *stains))]
    names = list(tabulate.sets)
    for train in names:
        for test in names:
            if train == test:
                continue
            plain = None
            for scale, stain in conditions:
                both = [tabulate(name, scale, stain, train) for name in (train, test)]
                with warnings.catch_warnings():
                    # Sets differ in their class shares; the scores are balanced.
                    warnings.simplefilter("ignore", DatasetWarning)
                    merged = datasets.merge(both)
                comparison = evaluate.compare(
                    model,
                    merged,
                    protocol=evaluate.protocol("cross-dataset", train=train, test=test),
                    n_boot=n_boot,
                    importance=False,
                )
                score = comparison.results.query(
                    "model == @model and fold == 'all' and metric == 'balanced_accuracy'"
                ).iloc[0]
                row = {
                    "sets": kind,
                    "train": train,
                    "test": test,
                    "scale": scale,
                    "stain": stain,
                    "cells": len(comparison.predictions) // len(comparison.models),
                    "errors": len(extract.errors(merged)),
                    **score[["value", "low", "high"]],
                    "protocol": score["protocol"],
                    "leaky": score["leaky"],
                }
                if scale == "grid" and stain == "plain":
                    plain = comparison
                against = plain if scale == "grid" and stain != "plain" else None
                if against is not None:
                    gap = paired_differences([comparison], [against], n_boot, 0)
                    gap = gap.query("model == @model and metric == 'balanced_accuracy'").iloc[0]
                    row |= {
                        "difference": gap["difference"],
                        "gap_low": gap["low"],
                        "gap_high": gap["high"],
                    }
                yield row


def format_rows(table: pd.DataFrame) -> str:
    """Format the table for printing."""
    shown = table[["sets", "train", "test", "scale", "stain", "cells"]].copy()
    shown["balanced accuracy"] = [
        f"{v:.3f} [{low:.3f}, {high:.3f}]"
        for v, low, high in zip(table["value"], table["low"], table["high"], strict=True)
    ]
    shown["minus plain"] = [
        "" if v != v else f"{v:+.3f} [{low:+.3f}, {high:+.3f}]"
        for v, low, high in zip(
            table["difference"], table["gap_low"], table["gap_high"], strict=True
        )
    ]
    return shown.to_string(index=False)


def format_means(table: pd.DataFrame) -> str:
    """Format means over all directions, and how often a normaliser was better or worse."""
    table = table.assign(
        better=table["gap_low"] > 0,
        worse=table["gap_high"] < 0,
    )
    summary = table.groupby(["sets", "scale", "stain"], sort=False).agg(
        directions=("value", "size"), mean=("value", "mean"), better=("better", "sum"),
        worse=("worse", "sum"),
    )  # fmt: skip
    return summary.round(3).to_string()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument("--data", metavar="DIR", help="folder of real sets")
    parser.add_argument(
        "--drawn", type=int, default=160, help="images of each drawn set; 0 for none"
    )
    parser.add_argument("--per-class", type=int, default=150, help="images of each real class")
    parser.add_argument("--families", nargs="+", default=["default"])
    parser.add_argument("--model", default="svc")
    parser.add_argument("--stains", nargs="+", default=list(NORMALISERS))
    parser.add_argument("--boot", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=None)
    args = parser.parse_args(arguments)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    families = args.families[0] if args.families in (["default"], ["all"]) else args.families
    with tempfile.TemporaryDirectory() as folder:
        kinds = {"drawn": drawn(Path(folder), args.drawn)} if args.drawn else {}
        if args.data:
            kinds["real"] = real(Path(args.data), args.per_class)
        rows: list[dict[str, object]] = []
        empty = dict.fromkeys(("difference", "gap_low", "gap_high"), float("nan"))
        for kind, sets in kinds.items():
            tabulate = Tabulator(sets, families, args.jobs)
            for row in compare_sets(tabulate, kind, args.model, args.boot, args.stains):
                rows.append(empty | row)
                table = pd.DataFrame(rows)
                table.to_csv(out / "cross.csv", index=False)
                print(f"  {row['train']} to {row['test']}, {row['scale']}, {row['stain']}: "
                      f"{row['value']:.3f}", flush=True)  # fmt: skip
    print(f"\n{format_rows(table)}\n\n{format_means(table)}")


if __name__ == "__main__":
    main()
