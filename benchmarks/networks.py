"""Compare features, networks and embeddings on the same cells under one protocol.

    python benchmarks/networks.py --data FOLDER --out DIR [--weights imagenet|random|FILE]

FOLDER is anything that `hemafeat.datasets.as_table` takes, with labels; without it cells are drawn.
These models are compared in the same folds, which never divide a group:

- support vectors on features of morphology, on embeddings of the cell, and on both;
- the embedding of the whole image with each of the heads in `--heads`;
- published networks, trained from random weights (`--networks`).

The command runs with or without an accelerator, on any backend of Keras. Written to --out: the
comparison (`hemafeat report` makes a page of it), `networks.csv` with accuracies, intervals and
minutes, and `networks.png`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from hemafeat import datasets, evaluate, extract, networks, pipelines


def on_columns(columns: list[str], name: str) -> Any:
    """Make a pipeline on some columns."""
    return pipelines.make(name).set_params(columns__columns=columns)


def models(family: networks.EmbeddingFamily, args: argparse.Namespace) -> dict[str, Any]:
    """Return the models to compare, by name."""
    features, embedding = extract.columns(args.families), extract.columns([family])
    network = f"{args.backbone} ({args.weights})"
    pipelines_by_name = {
        "features + svc": on_columns(features, "svc"),
        f"{network}, cell + svc": on_columns(embedding, "svc"),
        f"features, {network} + svc": on_columns([*features, *embedding], "svc"),
    }
    for head in args.heads:
        name = f"embedding:{args.backbone}+{head}@{args.weights}"
        pipelines_by_name[f"{network}, image + {head}"] = pipelines.make(name)
    for name in args.networks:
        pipelines_by_name[name] = pipelines.make(
            name, size=args.size, crop=args.crop, epochs=args.epochs, random_state=args.seed
        )
    return pipelines_by_name


def plot(rows: pd.DataFrame, path: Path) -> None:
    """Save a figure of the accuracies with their intervals, and of the minutes of training."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 1.2 + 0.36 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for y, row in enumerate(rows.itertuples()):
        axes.hlines(y, row.low, row.high, color="#4c78a8", alpha=0.4, lw=4)
        axes.plot(row.accuracy, y, "o", color="#4c78a8")
        axes.annotate(f"{row.minutes:.1f} min", (1.01, y), va="center", fontsize=9,
                      xycoords=("axes fraction", "data"))  # fmt: skip
    axes.set_yticks(range(len(rows)), rows["model"])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("accuracy on held-out groups; minutes of training, all folds")
    figure.savefig(path, dpi=150)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="a folder of labelled cells; drawn cells by default")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--backbone", default="EfficientNetLite0")
    parser.add_argument("--weights", default="imagenet", help="imagenet, random or a file")
    parser.add_argument("--heads", nargs="*", default=["xgboost", "svc"])
    parser.add_argument("--networks", nargs="*", default=["lenet5"])
    parser.add_argument("--size", type=int, help="side of images of the networks")
    parser.add_argument("--crop", default="cell", help="part of the image that networks see")
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
            images = datasets.as_table(args.data)
        else:
            images = datasets.drawn(f"{scratch}/drawn", n_images=args.drawn, random_state=0)
        weights = None if args.weights == "random" else args.weights
        family = networks.embedding_family(args.backbone, weights, random_state=args.seed)
        table = extract.table(images, families=[*args.families, family])
        comparison = evaluate.compare(
            models(family, args),
            table,
            n_splits=args.folds,
            n_boot=args.boot,
            importance=False,
            random_state=args.seed,
            progress=True,
        )
    comparison.save(args.out)
    scores = comparison.results.query("fold == 'all' and metric == 'accuracy'").set_index("model")
    minutes = comparison.seconds.set_index("model")["fit"] / 60
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
    plot(rows, args.out / "networks.png")
    print(rows.round(4).to_string(index=False))


if __name__ == "__main__":
    main()
