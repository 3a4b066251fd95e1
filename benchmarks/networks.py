"""Features, networks and embeddings on the same cells, under one protocol.

    python benchmarks/networks.py --data FOLDER --out DIR [--weights imagenet|random|FILE]

FOLDER is anything `hemafeat.datasets.as_table` takes, with labels; without it cells are drawn.
Compared in the same folds, which never divide a group:

- support vectors on the features of morphology, on embeddings of the cell, and on both;
- the embedding of the whole image with each of the heads asked for;
- networks of the reports, trained from random weights (`--networks`).

The same command runs with or without an accelerator, on whatever backend Keras is set to. Written
to --out: the comparison (`hemafeat report` makes a page of it), `networks.csv` with accuracies,
intervals and minutes, and `networks.png`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from hemafeat import datasets, evaluate, extract, networks, pipelines


def on(columns: list[str], name: str) -> Any:
    """A pipeline on some columns."""
    return pipelines.make(name).set_params(columns__columns=columns)


def models(family: networks.EmbeddingFamily, args: argparse.Namespace) -> dict[str, Any]:
    """What is compared, by name."""
    features, embedded = extract.columns(args.families), extract.columns([family])
    seen = f"{args.backbone} ({args.weights})"
    found = {
        "features + svc": on(features, "svc"),
        f"{seen}, cell + svc": on(embedded, "svc"),
        f"features, {seen} + svc": on([*features, *embedded], "svc"),
    }
    for head in args.heads:
        name = f"embedding:{args.backbone}+{head}@{args.weights}"
        found[f"{seen}, image + {head}"] = pipelines.make(name)
    for name in args.networks:
        found[name] = pipelines.make(
            name, size=args.size, crop=args.crop, epochs=args.epochs, random_state=args.seed
        )
    return found


def picture(rows: pd.DataFrame, to: Path) -> None:
    """Accuracy with its interval, and the minutes it took to learn."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 1.2 + 0.36 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows.itertuples()):
        axes.hlines(place, row.low, row.high, color="#4c78a8", alpha=0.4, lw=4)
        axes.plot(row.accuracy, place, "o", color="#4c78a8")
        axes.annotate(f"{row.minutes:.1f} min", (1.01, place), va="center", fontsize=9,
                      xycoords=("axes fraction", "data"))  # fmt: skip
    axes.set_yticks(range(len(rows)), rows["model"])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("accuracy on cells of groups not learned from; minutes to learn, all folds")
    figure.savefig(to, dpi=150)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="a folder of labelled cells; drawn cells by default")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--backbone", default="MobileNet")
    parser.add_argument("--weights", default="imagenet", help="imagenet, random or a file")
    parser.add_argument("--heads", nargs="*", default=["xgboost", "svc"])
    parser.add_argument("--networks", nargs="*", default=["lenet5"])
    parser.add_argument("--size", type=int, help="side of images of the networks")
    parser.add_argument("--crop", default="cell", help="what the networks are shown")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--families", nargs="+", default=["default"])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--boot", type=int, default=1000)
    parser.add_argument("--drawn", type=int, default=360, help="cells to draw without --data")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        if args.data:
            listed = datasets.as_table(args.data)
        else:
            listed = datasets.drawn(f"{scratch}/drawn", n_images=args.drawn, random_state=0)
        weights = None if args.weights == "random" else args.weights
        family = networks.embedding_family(args.backbone, weights, random_state=args.seed)
        table = extract.table(listed, families=[*args.families, family])
        found = evaluate.compare(
            models(family, args),
            table,
            n_splits=args.folds,
            n_boot=args.boot,
            importance=False,
            random_state=args.seed,
            progress=True,
        )
    found.save(args.out)
    scores = found.results.query("fold == 'all' and metric == 'accuracy'").set_index("model")
    minutes = found.seconds.set_index("model")["fit"] / 60
    rows = pd.DataFrame(
        {
            "accuracy": scores["value"],
            "low": scores["low"],
            "high": scores["high"],
            "minutes": minutes,
        }
    )
    rows = rows.rename_axis("model").reset_index().sort_values("accuracy", ascending=False)
    rows.to_csv(args.out / "networks.csv", index=False)
    picture(rows, args.out / "networks.png")
    print(rows.round(4).to_string(index=False))


if __name__ == "__main__":
    main()
