"""Train the model of white cells that comes with the package, and write its card.

    python benchmarks/train_leukocytes.py --data DATA --out DIR [--ship]

DATA holds `pbc_dev` (CC BY 4.0) and `bccd` (MIT), to train on, and `segwbc_d1`, only scored.
Cells are measured at 0.175 um per px, each with two redrawn copies; those of pbc_dev in outlines of
`segment.contours`, those of the others in the masks that come with them. Every second field of bccd
is held back. Tables of cells are kept in the folder of --out, which receives `leukocytes.hemafeat`
and the card `leukocytes.md`; with --ship both are copied into the package. The scores within PBC
are those of models fitted anew without a third of its groups.
"""

from __future__ import annotations

import argparse
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from laboratories import GRID_UM, UM_PER_PX
from sklearn.metrics import recall_score

from hemafeat import datasets, extract, pipelines
from hemafeat.pipelines import GroupedFolds, SelectiveClassifier

MODEL, FAMILIES = "logistic", "default"
"""Of `logistic` and `svc` on both sets of columns this had the best accuracy of the cells answered,
on cells of the seen half of bccd that were left out for it."""
COPIES = 2
FEW = 5
"""Number of cells of a class from which it counts in a balanced accuracy."""

NOTE = (
    "types of peripheral blood, trained on PBC (CC BY 4.0) and BCCD (MIT); for research only, "
    "no diagnosis"
)
LARGEST = 8_000_000
"""Bytes that the model may take."""

SHIPPED = Path(pipelines.__file__).parent / "_shipped"


def cells(data: Path, name: str, out: Path, jobs: int | None) -> pd.DataFrame:
    """Return the table of cells of a set, measured once, in an order that is always the same."""
    path = out / f"{name}.parquet"
    if not path.exists():
        print(f"measuring {name} ...", flush=True)
        load = {"pbc_dev": datasets.pbc, "bccd": datasets.bccd, "segwbc_d1": datasets.segwbc}[name]
        table = load(data / name)
        # A label describes one cell.
        table = table[table["n_wbc"] == 1] if name == "bccd" else table
        table = table[table["label"].notna()].reset_index(drop=True)
        extract.table(
            table.assign(um_per_px=UM_PER_PX.get(name), dataset=name),
            masks=None if name == "pbc_dev" else "given",
            cells="central",
            to_um_per_px=GRID_UM,
            augment=0 if name == "segwbc_d1" else COPIES,
            n_jobs=jobs,
            processes=False,
            progress=False,
            out=path,
        )
    table = extract.load(path)
    if "redrawn" not in table:
        table["redrawn"] = 0
    attributes = table.attrs
    table = table.sort_values(["redrawn", "image"]).reset_index(drop=True)
    table.attrs = attributes
    return table


def fitted(table: pd.DataFrame, columns: Sequence[str]) -> SelectiveClassifier:
    """Return the model, fitted to all cells of a table."""
    model = SelectiveClassifier(pipelines.make(MODEL), n_splits=3)
    return model.fit(table[[*columns, "group"]], table["label"].to_numpy(str))


def original(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table without its redrawn copies."""
    return table[table["redrawn"] == 0].reset_index(drop=True)


def within(table: pd.DataFrame, columns: Sequence[str], n_splits: int) -> pd.DataFrame:
    """Return the answers for the cells of a set by models that were not trained on their groups."""
    parts = []
    for train, test in GroupedFolds(n_splits, random_state=1).split(table, table["label"]):
        seen, unseen = table.iloc[train], original(table.iloc[test])
        answers = fitted(seen, columns).answers(unseen)
        parts.append(answers.assign(label=unseen["label"].to_numpy(str)))
    return pd.concat(parts, ignore_index=True)


def scores(answers: pd.DataFrame) -> dict[str, float | int]:
    """Return the scores of answers beside the column ``label``."""
    truth, predicted = answers["label"].to_numpy(str), answers["predicted"].to_numpy(str)
    stands = (answers["refused"] == "").to_numpy()
    names, counts = np.unique(truth, return_counts=True)
    frequent = names[counts >= FEW]

    def balanced(rows: np.ndarray) -> float:
        shown = [name for name in frequent if (truth[rows] == name).any()]
        return float(
            recall_score(
                truth[rows], predicted[rows], labels=shown, average="macro", zero_division=0
            )
        )

    everything = np.ones(len(truth), bool)
    return {
        "cells": len(truth),
        "accuracy": float((truth == predicted).mean()),
        "balanced accuracy": balanced(everything),
        "not sure": float(1 - stands.mean()),
        "unlike": float((answers["anomaly"] > 1).mean()),
        "accuracy of the others": float((truth == predicted)[stands].mean())
        if stands.any()
        else np.nan,
        "balanced accuracy of the others": balanced(stands) if stands.any() else np.nan,
    }


def table_text(frame: pd.DataFrame) -> str:
    """Return a table in Markdown."""
    lines = [
        [str(frame.index.name or ""), *map(str, frame.columns)],
        ["---"] * (1 + len(frame.columns)),
    ]
    for name, row in frame.iterrows():
        lines.append([str(name), *(f"{v:.3f}" if v % 1 else f"{v:.0f}" for v in row)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def confusion(answers: pd.DataFrame) -> pd.DataFrame:
    """Return how many cells of each class were called what."""
    called = answers["predicted"].where(answers["refused"] == "", "not sure")
    return pd.crosstab(answers["label"], called).rename_axis(index="class")


def card(parts: dict[str, pd.DataFrame], model: SelectiveClassifier, n: dict[str, int]) -> str:
    """Return the model card."""
    rows = pd.DataFrame({name: scores(answers) for name, answers in parts.items()}).T
    tables = "\n\n".join(
        f"{name[0].upper()}{name[1:]}:\n\n{table_text(confusion(answers))}"
        for name, answers in parts.items()
    )
    trained = ", ".join(f"{name} {count}" for name, count in n.items() if name in model.classes_)
    return f"""\
The model `pipelines.load("leukocytes")`, which `hemafeat count` uses: a classifier of single cells of
peripheral blood in Romanowsky stain into {", ".join(model.classes_)}. It is a
`SelectiveClassifier` of `{MODEL}` on the columns of `families="{FAMILIES}"`, lengths in um, measured at
{GRID_UM} um per px. It refuses cells that are unlike those trained on, or of which more than one class is
likely. Licence: that of the package, BSD-3-Clause.

**For research only.** It is no medical device, and no count by it is a diagnosis.

**Intended use:** a first look at the types of white cells in smears, each count looked at by someone who knows
cells. **Out of scope:** patients and any decision about them; bone marrow; blasts, atypical lymphocytes, smudge
cells and all other types that are not named above (a part of them is refused, the others are given a wrong
name); other stains; images whose scale is unknown.

## Training data

| data set | cells | outlines | licence |
|---|---|---|---|
| PBC (Acevedo et al. 2020), 3,200 of 17,092 cells, CellaVision DM96, healthy donors | {n["PBC"]} | `contours` | CC BY 4.0 |
| BCCD (S. Gan; masks P. P. Banik et al.), every second field of one white cell | {n["BCCD"]} | by hand | MIT |

Cells: {trained}. Each was also measured in {COPIES} copies redrawn as other laboratories might have taken them
(`images.StainJitter`). Donors of the cells are not known, so that cells of one donor may be on both
sides of a score within PBC. BCCD labels fields, not cells, and holds few basophils
and monocytes.
Dataset 1 of segmentation_WBC is under the GPL: it was scored, never trained on.

## Scores

`not sure` is the share of refused cells, `unlike` that of cells unlike those trained on; balanced
accuracy over the classes of at least {FEW} cells. Within PBC: three folds of groups, by models fitted anew.

{table_text(rows.rename_axis(index="scored on"))}

In a laboratory that is not among those trained on, expect the last row or worse: most cells are not sure, and
of the others many are wrong. Do not believe a count of which most cells are not sure. Cells by class (rows) and answer (columns):

{tables}

Made by `python benchmarks/train_leukocytes.py --data DATA --out DIR --ship`.
"""  # noqa: E501


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, metavar="DIR", help="folder of the real sets")
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument("--ship", action="store_true", help="copy model and card into the package")
    parser.add_argument("--jobs", type=int, default=None)
    args = parser.parse_args(arguments)
    data, out = Path(args.data), Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    pbc, bccd, other = (
        cells(data, name, out, args.jobs) for name in ("pbc_dev", "bccd", "segwbc_d1")
    )
    # A label that is no class of PBC (two types in a field) is no label.
    bccd = bccd[bccd["label"].isin(set(pbc["label"]))]
    fields = sorted(set(bccd["image"]))
    seen = bccd["image"].isin(fields[::2])
    columns = list(extract.columns(FAMILIES))
    train = pd.concat([pbc, bccd[seen]], ignore_index=True)
    train.attrs = pbc.attrs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = fitted(train, columns)
        parts = {"PBC, held-out groups": within(pbc, columns, 3)}
        for name, table in (
            ("BCCD, fields held back", original(bccd[~seen])),
            ("segmentation_WBC, another laboratory", original(other)),
        ):
            answers = model.answers(table)
            parts[name] = answers.assign(label=table["label"].to_numpy(str))
    path = pipelines.save(
        model,
        out / "leukocytes.hemafeat",
        units=extract.units(pbc),
        note=NOTE,
        measured=extract.measured(pbc),
    )
    size = path.stat().st_size
    if size > LARGEST:
        raise SystemExit(f"{path} takes {size / 1e6:.1f} MB, more than {LARGEST / 1e6:.0f}")
    n = {"PBC": len(original(pbc)), "BCCD": len(original(bccd[seen]))}
    text = card(parts, model, n | original(train)["label"].value_counts().to_dict())
    (out / "leukocytes.md").write_text(text, encoding="utf-8")
    print(text, f"{path}: {size / 1e6:.2f} MB", sep="\n")
    if args.ship:
        SHIPPED.mkdir(exist_ok=True)
        for suffix in ("hemafeat", "md"):
            shutil.copyfile(out / f"leukocytes.{suffix}", SHIPPED / f"leukocytes.{suffix}")


if __name__ == "__main__":
    main()
