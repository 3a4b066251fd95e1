"""Predict the eleven expert attributes of WBCAtt by single columns and by a model.

    python benchmarks/attributes.py --data PBC --attributes WBCATT --out DIR
    python benchmarks/attributes.py --out DIR           # drawn cells with known attributes

PBC is the folder of the PBC data set (any part of it), WBCATT the folder of `pbc_attr_v1_train.csv`
and the other files, or CSV files with the same columns. Models are fitted on the train and
validation rows of the annotations and scored on their test rows, on which nothing is selected.

For every attribute the AUROC of one designated column is printed (for more than two values the mean
over the values, each against the rest, in whichever direction it separates them), the macro-F1 and
Cohen's kappa of a model on the whole table, with intervals over resampled cells, and the macro-F1
of the most frequent value. A ResNet-50 trained on all 7,199 rows has a mean macro-F1 of 0.9127
(Tsutsui et al., NeurIPS Datasets and Benchmarks 2023).

`attributes.csv`, `attributes.png` and the drawn cells are written to the folder of --out.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from hemafeat import datasets, evaluate, extract

PUBLISHED = 0.9127
"""Mean macro-F1 of a ResNet-50 over the eleven attributes, on all rows."""

DESIGNATED = {
    "cell_size": "cell__shape__area",
    "cell_shape": "cell__shape__ellipse_variance",
    "nucleus_shape": "nucleus__lobes__depth_mean_ratio",
    "nuclear_cytoplasmic_ratio": "cell__relation__nucleus_to_cell_area_ratio",
    "chromatin_density": "nucleus__density__mean__g",
    "cytoplasm_vacuole": "cell__granules__vacuole_area_max",
    "cytoplasm_texture": "cell__granules__dark_spot_bluish_share",
    "cytoplasm_colour": "cytoplasm__stain__eosin_share",
    "granule_type": "cytoplasm__granules__dark_spot_blue_to_green",
    "granule_colour": "cytoplasm__granules__dark_spot_blue_to_green",
    "granularity": "cytoplasm__granules__dark_spot_red_to_green",
}
"""Column that measures each attribute most directly, selected without the test rows."""

DRAWN = {
    "neutrophil": ("segmented-multilobed", "yes"),
    "eosinophil": ("segmented-bilobed", "yes"),
    "basophil": ("irregular", "yes"),
    "lymphocyte": ("unsegmented-round", "no"),
    "monocyte": ("unsegmented-indented", "no"),
}
"""Shape of the nucleus, and granularity, of the types that are drawn."""


def draw_cells(folder: Path, n_images: int) -> pd.DataFrame:
    """Draw cells and return their table of images with two attributes and a split."""
    kinds = [kind for kind in datasets.KINDS if kind in DRAWN]
    listed = datasets.drawn(folder, n_images=n_images, kinds=kinds, random_state=0)
    shape, granules = zip(*(DRAWN[label] for label in listed["label"]), strict=True)
    order = listed.groupby("label").cumcount()
    part = np.where(order % 3 == 2, "test", "train")
    return listed.assign(nucleus_shape=shape, granularity=granules, wbcatt_split=part)


def auroc(values: np.ndarray, truth: np.ndarray) -> float:
    """Return the area under the ROC curve, the mean over the values of the attribute."""
    finite = np.isfinite(values)
    classes = np.unique(truth[finite])
    if len(classes) < 2:
        return float("nan")
    classes = classes[1:] if len(classes) == 2 else classes
    areas = [roc_auc_score(truth[finite] == name, values[finite]) for name in classes]
    return float(np.mean([max(area, 1.0 - area) for area in areas]))


def score_attributes(table: pd.DataFrame, model: str, n_boot: int) -> pd.DataFrame:
    """Return a table of scores, one row per attribute."""
    table = table[table["wbcatt_split"].notna()].reset_index(drop=True)
    table["split"] = table["wbcatt_split"].replace({"val": "train"})
    test = (table["split"] == "test").to_numpy()
    rows = []
    for attribute, column in DESIGNATED.items():
        if attribute not in table:
            continue
        start = time.perf_counter()
        # Without its family the column is missing, and its score NaN.
        values = table[column].to_numpy() if column in table else np.full(len(table), np.nan)
        comparison = evaluate.compare(
            model, table, label=attribute, protocol="official", n_boot=n_boot, importance=False,
            progress=False,
        )  # fmt: skip
        pooled = comparison.results[comparison.results["fold"] == "all"].set_index(
            ["model", "metric"]
        )
        predictions = comparison.predictions[comparison.predictions["model"] == model]
        rows.append(
            {
                "attribute": attribute,
                "values": table.loc[test, attribute].nunique(),
                "column": column,
                "auroc": auroc(values[test], table.loc[test, attribute].to_numpy()),
                "macro_f1": pooled.loc[(model, "macro_f1"), "value"],
                "low": pooled.loc[(model, "macro_f1"), "low"],
                "high": pooled.loc[(model, "macro_f1"), "high"],
                "kappa": cohen_kappa_score(predictions["truth"], predictions["predicted"]),
                "baseline_f1": pooled.loc[("baseline", "macro_f1"), "value"],
                "train": int((~test & table[attribute].notna()).sum()),
                "test": int((test & table[attribute].notna()).sum()),
                "seconds": time.perf_counter() - start,
            }
        )
    return pd.DataFrame(rows)


def save_figure(scores: pd.DataFrame, model: str, path: Path) -> None:
    """Draw bars of the macro-F1 with intervals, and dots of the single columns."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 0.45 * len(scores) + 1.6), layout="constrained")
    axes = figure.add_subplot()
    positions = np.arange(len(scores))[::-1]
    error = np.abs(scores[["low", "high"]].to_numpy() - scores[["macro_f1"]].to_numpy()).T
    axes.barh(positions, scores["macro_f1"], xerr=error, color="#4c78a8", height=0.6,
              error_kw={"ecolor": "#20344c", "capsize": 2},
              label=f"macro-F1 of {model}, whole table")  # fmt: skip
    axes.plot(scores["baseline_f1"], positions, "|", color="black", markersize=12,
              label="macro-F1 of the most frequent value")  # fmt: skip
    axes.plot(scores["auroc"], positions, "o", color="#e45756", label="AUROC of the single column")
    mean = scores["macro_f1"].mean()
    axes.axvline(mean, color="#4c78a8", linestyle="--", label=f"mean macro-F1 {mean:.3f}")
    axes.axvline(PUBLISHED, color="grey", linestyle=":", label=f"ResNet-50, all rows {PUBLISHED}")
    labels = [
        f"{row.attribute.replace('_', ' ')}\n{row.column}" for row in scores.itertuples(index=False)
    ]
    axes.set_yticks(positions, labels, fontsize=8)
    axes.set_xlim(0.0, 1.02)
    axes.set_xlabel(f"on {scores['test'].max()} cells of the test part")
    figure.legend(loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    figure.savefig(path, dpi=150)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="the PBC data set; drawn cells by default")
    parser.add_argument("--attributes", type=Path, nargs="+", help="the WBCAtt folder or its files")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="soft_vote", help="name of a model, see pipelines.names")
    parser.add_argument("--families", nargs="+", default=["default"])
    parser.add_argument("--jobs", type=int, help="threads of the extraction")
    parser.add_argument("--boot", type=int, default=1000, help="resamples for the intervals")
    parser.add_argument("--drawn", type=int, default=360, help="cells to draw without --data")
    args = parser.parse_args(argv)
    if (args.data is None) != (args.attributes is None):
        parser.error("--data and --attributes go together")
    args.out.mkdir(parents=True, exist_ok=True)
    if args.data is None:
        listed = draw_cells(args.out / "drawn", args.drawn)
    else:
        listed = datasets.pbc(args.data, attributes=args.attributes)
        listed = listed[listed["wbcatt_split"].notna()]
    start = time.perf_counter()
    table = extract.table(listed, families=args.families, cells="central", n_jobs=args.jobs)
    columns = extract.feature_columns(table)
    print(
        f"{len(table)} of {len(listed)} cells measured, {len(columns)} columns, "
        f"{time.perf_counter() - start:.0f} s"
    )
    scores = score_attributes(table, args.model, args.boot)
    print(scores.drop(columns=["train", "test"]).round(3).to_string(index=False))
    print(
        f"mean macro-F1 of {args.model} over {len(scores)} attributes: "
        f"{scores['macro_f1'].mean():.4f} ({scores['train'].max()} rows to train on, "
        f"{scores['test'].max()} to test; mean of single-column AUROC {scores['auroc'].mean():.3f})"
    )
    scores.to_csv(args.out / "attributes.csv", index=False)
    save_figure(scores, args.model, args.out / "attributes.png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
