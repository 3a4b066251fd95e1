"""What normalised stain and matched scale are worth across data sets: measured, not assumed.

    python benchmarks/cross.py --out DIR                # drawn sets only
    python benchmarks/cross.py --out DIR --data DATA    # segwbc_d1, pbc_dev and bccd besides

One model is trained on one set and scored on another, on the classes both have, in every
direction: with lengths in px and in um, with images brought to one scale, and with each normaliser,
whose target is taken from the training set only. Drawn sets differ in background and stain and in
nothing else. Each line has the balanced accuracy with its interval (bootstrap over groups) and the
difference to the plain images at the same scale, resampled in pairs. Written to --out: `cross.csv`.

The scale of no real set is published. A pixel of PBC is taken for 0.100 um and one of BCCD for
0.077 um, by the median diameter of single red cells (73 px, 95 px) and 7.3 um; segwbc_d1 shows no
whole red cell: with 0.175 um the nuclei of its neutrophils (48 px) lie between those of BCCD and
PBC at these scales (7.9 um, 8.9 um). All three may be off by a tenth.
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
"""Side of a pixel that images are brought to."""

Table = dict[str, pd.DataFrame]


def drawn(folder: Path, n: int) -> Table:
    """Three sets of other backgrounds and stains, and other patients."""
    return {
        background: datasets.drawn(
            folder / background,
            n,
            kinds=CLASSES,
            size=240,
            background=background,
            random_state=place,
            progress=False,
        )
        for place, background in enumerate(("cream", "pink", "yellow"))
    }


def real(data: Path, per_class: int) -> Table:
    """The sets at hand, with a scale each and the classes they share."""
    loaders = {"segwbc_d1": datasets.segwbc, "pbc_dev": datasets.pbc, "bccd": datasets.bccd}
    found = {}
    for name, load in loaders.items():
        if (data / name).is_dir():
            listed = load(data / name)
            listed = listed[listed["label"].isin(CLASSES)]
            listed = listed.groupby("label").head(per_class).reset_index(drop=True)
            found[name] = listed.assign(um_per_px=UM_PER_PX[name])
    return found


class Measured:
    """Tables of cells, each measured once."""

    def __init__(self, sets: Table, families: Sequence[str] | str, jobs: int | None) -> None:
        self.sets, self.families, self.jobs = sets, families, jobs
        self.kept: dict[tuple[str, str, str], pd.DataFrame] = {}

    def __call__(self, name: str, scale: str, stain: str, target: str) -> pd.DataFrame:
        """Set `name` at `scale`, its stain brought to that of set `target`."""
        own = target if stain in ("reinhard", "macenko") else ""
        key = (name, scale, f"{stain} {own}")
        if key not in self.kept:
            listed = self.sets[name].assign(dataset=name)
            if scale == "px":
                listed["um_per_px"] = float("nan")
            how = None
            if stain != "plain":
                how = normaliser(stain, self.sets[target]["image"])
            self.kept[key] = extract.table(
                listed,
                families=self.families,
                cells="central",
                normalise=how,
                resample=GRID_UM if scale == "grid" else None,
                n_jobs=self.jobs,
                progress=False,
            )
        return self.kept[key]


def lines(
    measured: Measured, kind: str, model: str, n_boot: int, stains: Sequence[str]
) -> Iterator[dict[str, object]]:
    """A row per direction, scale and stain."""
    conditions = [("px", "plain"), ("um", "plain"), *(("grid", s) for s in ("plain", *stains))]
    names = list(measured.sets)
    for train in names:
        for test in names:
            if train == test:
                continue
            plain = None
            for scale, stain in conditions:
                both = [measured(name, scale, stain, train) for name in (train, test)]
                with warnings.catch_warnings():
                    # Other shares of the classes are what sets are like; scores are balanced.
                    warnings.simplefilter("ignore", DatasetWarning)
                    merged = datasets.merge(both)
                found = evaluate.compare(
                    model,
                    merged,
                    protocol=evaluate.protocol("cross-dataset", train=train, test=test),
                    n_boot=n_boot,
                    importance=False,
                )
                own = found.results.query(
                    "model == @model and fold == 'all' and metric == 'balanced_accuracy'"
                ).iloc[0]
                row = {
                    "sets": kind,
                    "train": train,
                    "test": test,
                    "scale": scale,
                    "stain": stain,
                    "cells": len(found.predictions) // len(found.models),
                    "errors": len(extract.errors(merged)),
                    **own[["value", "low", "high"]],
                    "protocol": own["protocol"],
                    "leaky": own["leaky"],
                }
                if scale == "grid" and stain == "plain":
                    plain = found
                against = plain if scale == "grid" and stain != "plain" else None
                if against is not None:
                    gap = paired_differences([found], [against], n_boot, 0)
                    gap = gap.query("model == @model and metric == 'balanced_accuracy'").iloc[0]
                    row |= {
                        "difference": gap["difference"],
                        "gap_low": gap["low"],
                        "gap_high": gap["high"],
                    }
                yield row


def told(table: pd.DataFrame) -> str:
    """The table as it is printed."""
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


def means(table: pd.DataFrame) -> str:
    """Means over all directions of a kind of sets, and how often a stain helped or hurt."""
    table = table.assign(
        helped=table["gap_low"] > 0,
        hurt=table["gap_high"] < 0,
    )
    found = table.groupby(["sets", "scale", "stain"], sort=False).agg(
        directions=("value", "size"), mean=("value", "mean"), helped=("helped", "sum"),
        hurt=("hurt", "sum"),
    )  # fmt: skip
    return found.round(3).to_string()


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
            measured = Measured(sets, families, args.jobs)
            for row in lines(measured, kind, args.model, args.boot, args.stains):
                rows.append(empty | row)
                table = pd.DataFrame(rows)
                table.to_csv(out / "cross.csv", index=False)
                print(f"  {row['train']} to {row['test']}, {row['scale']}, {row['stain']}: "
                      f"{row['value']:.3f}", flush=True)  # fmt: skip
    print(f"\n{told(table)}\n\n{means(table)}")


if __name__ == "__main__":
    main()
