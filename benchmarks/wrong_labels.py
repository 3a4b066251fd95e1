"""Plant wrong labels among the cells of pbc_dev, and measure how many of them are found.

    python benchmarks/wrong_labels.py --table pbc_dev.parquet

TABLE is that of `hemafeat extract pbc_dev/images`. In each repetition 2 % of the labels are
changed, to another class at random or, with ``--to similar``, to that of the most similar cell of
another class, as people err, and `evaluate.suspected_labels` ranks all cells. Printed are, over the
repetitions, the mean average precision, the largest recall at a precision of .5 or more, and the
precision and recall of the labels that are marked as suspected. Cells whose own label may be wrong
count as false alarms, so that the precision is a lower bound.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors

from hemafeat import evaluate, extract, pipelines


def similar(table: pd.DataFrame, labels: np.ndarray) -> np.ndarray:
    """Return the label of the most similar cell of another class, for each cell."""
    values = table[extract.feature_columns(table)].to_numpy(float)
    values = pipelines.FillMissing(flags=False).fit_transform(values)
    values = pipelines.ClippedScaler().fit_transform(values)
    out = labels.copy()
    for label in np.unique(labels):
        own, others = np.flatnonzero(labels == label), np.flatnonzero(labels != label)
        near = NearestNeighbors(n_neighbors=1).fit(values[others])
        out[own] = labels[others[near.kneighbors(values[own], return_distance=False)[:, 0]]]
    return out


def planted(
    labels: np.ndarray, others: np.ndarray | None, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of which a share is wrong, and where."""
    rng = np.random.default_rng(seed)
    classes = np.unique(labels)
    wrong = np.zeros(len(labels), bool)
    wrong[rng.choice(len(labels), round(share * len(labels)), replace=False)] = True
    changed = labels.copy()
    if others is not None:
        changed[wrong] = others[wrong]
        return changed, wrong
    changed[wrong] = [rng.choice(classes[classes != label]) for label in labels[wrong]]
    return changed, wrong


def scores(found: pd.DataFrame, wrong: np.ndarray) -> dict[str, float]:
    hits = wrong[found["row"].to_numpy()]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    recall = np.cumsum(hits) / wrong.sum()
    suspected = found["suspected"].to_numpy()
    return {
        "average precision": (precision * hits).sum() / wrong.sum(),
        "recall at precision .5": recall[precision >= 0.5].max(initial=0.0),
        "suspected": suspected.mean(),
        "precision of suspected": hits[suspected].mean(),
        "recall of suspected": hits[suspected].sum() / wrong.sum(),
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", required=True)
    parser.add_argument("--models", nargs="+", default=["logistic", "svc"])
    parser.add_argument("--share", type=float, default=0.02)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--to", choices=("random", "similar"), default="random")
    parser.add_argument(
        "--half", choices=("all", "first", "second"), default="all", help="use half of the cells"
    )
    args = parser.parse_args(argv)
    table = extract.load(args.table)
    if args.half != "all":
        first = np.random.default_rng(1).permutation(len(table)) < len(table) // 2
        table = table[first if args.half == "first" else ~first]
    table = table.reset_index(drop=True)
    labels = table["label"].to_numpy(str)
    others = similar(table, labels) if args.to == "similar" else None
    rows = []
    for model in args.models:
        for seed in range(args.repeats):
            changed, wrong = planted(labels, others, args.share, seed)
            found = evaluate.suspected_labels(table.assign(label=changed), model, random_state=seed)
            rows.append({"model": model, **scores(found, wrong)})
    print(f"{len(table)} cells, {round(args.share * len(table))} wrong labels, means of", end=" ")
    print(f"{args.repeats} repetitions")
    print(pd.DataFrame(rows).groupby("model", sort=False).mean().round(3).T.to_string())


if __name__ == "__main__":
    main()
