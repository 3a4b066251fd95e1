"""Score models of patients on drawn cohorts, with intervals over seeds.

    python benchmarks/patients.py                 # cohorts of features, minutes
    python benchmarks/patients.py --seeds 10 --deep
    python benchmarks/patients.py --seeds 3 --images      # only networks of drawn images

Prints three tables. The first scores every model on a cohort with a signal, on one where a single
abnormal cell is enough, and on one without any signal. A score is the area under the ROC curve on
patients of another draw, and its interval is that of the mean over seeds (Student). The second
scores models on cohorts with a leak, in which something else than the cells reveals the label. The
third scores a model of cells on cells of the training patients, as reports often do, and on cells
of other patients.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict

from hemafeat import datasets, extract, pipelines

ATTRIBUTES = ["sex", "dob", "lymphocyte_count"]
COHORTS: dict[str, dict[str, Any]] = {
    "signal": {"attribute_signal": 0.5},
    "one abnormal cell": {
        "abnormal": (0.0, 0.4),
        "effect": 4.0,
        "patient_spread": 0.2,
        "attribute_signal": 0.5,
    },
    "no signal": {"abnormal": (0.2, 0.2)},
}
LEAKS: dict[str, dict[str, Any]] = {
    "bag size": {"leak_size": 0.6},
    "date format": {"leak_format": 0.8},
    "stain": {"leak_stain": 0.8},
}
DRAWN_IMAGES: dict[str, Any] = {"size": 64, "cells": (6, 14), "abnormal": (0.0, 0.7)}
SMALL_NETWORK: dict[str, Any] = {"size": 40, "epochs": 30, "patience": 10, "max_cells": 12}
ON_LEAKS = ("bag_size", "metadata", "date_format", "table_means", "table_logistic", "vote_mean")


@cache
def draw_patients(n: int, seed: int, **params: Any) -> pd.DataFrame:
    """Draw a cohort and return one row per patient."""
    table = datasets.drawn_bags(n, random_state=seed, **params)
    return pipelines.bags(table, attributes=ATTRIBUTES)


def auroc(name: str, seed: int, n: int, **params: Any) -> float:
    """Return the area under the ROC curve on 200 patients of another draw."""
    train, test = draw_patients(n, 2 * seed, **params), draw_patients(200, 2 * seed + 1, **params)
    model = pipelines.make(name, unit="patient", random_state=seed).fit(train, train["label"])
    return malignant_auroc(model, test)


def malignant_auroc(model: Any, patients: pd.DataFrame) -> float:
    """Return the area under the ROC curve of the class "malignant"."""
    probability = model.predict_proba(patients)[:, list(model.classes_).index("malignant")]
    return float(roc_auc_score(patients["label"] == "malignant", probability))


def mean_with_interval(scores: Sequence[float]) -> str:
    """Format the mean over seeds with its 95 % interval."""
    values = np.asarray(scores)
    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.3f} [{values.mean() - half:.3f}, {values.mean() + half:.3f}]"


def score_table(
    names: Iterable[str], cohorts: dict[str, dict[str, Any]], seeds: int, n: int
) -> pd.DataFrame:
    """Return a table of scores, one row per model and one column per cohort."""
    rows = {}
    for name in names:
        rows[name] = {
            cohort: mean_with_interval([auroc(name, seed, n, **params) for seed in range(seeds)])
            for cohort, params in cohorts.items()
        }
        print(f"  {name}: {rows[name]}", flush=True)
    return pd.DataFrame(rows).T


def leaky_and_honest(seeds: int, n: int, **params: Any) -> pd.DataFrame:
    """Return the balanced accuracy on cells if cells, or patients, are split at random."""
    scores: dict[str, list[float]] = {"cells at random (leaky)": [], "patients (honest)": []}
    for seed in range(seeds):
        table = datasets.drawn_bags(n, random_state=seed, **params)
        values, label = table[extract.feature_columns(table)], table["label"].to_numpy()
        model = pipelines.make("random_forest", n_estimators=100, random_state=seed)
        protocols = {
            "cells at random (leaky)": StratifiedKFold(5, shuffle=True, random_state=seed),
            "patients (honest)": StratifiedGroupKFold(5, shuffle=True, random_state=seed),
        }
        groups = {"patients (honest)": table["patient"], "cells at random (leaky)": None}
        for name, folds in protocols.items():
            pairs = list(folds.split(values, label, groups[name]))
            predicted = cross_val_predict(model, values, label, cv=pairs)
            scores[name].append(float(balanced_accuracy_score(label, predicted)))
    scores["difference"] = list(
        np.subtract(scores["cells at random (leaky)"], scores["patients (honest)"])
    )
    return pd.DataFrame({name: [mean_with_interval(values)] for name, values in scores.items()})


def end_to_end(seeds: int, n: int, names: Sequence[str]) -> pd.DataFrame:
    """Score networks of bags of drawn images, and their difference to the bag size alone."""
    scores: dict[str, list[float]] = {name: [] for name in ("bag_size", *names)}
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            parts = [
                datasets.drawn_cohort(
                    Path(folder) / part, n, random_state=2 * seed + k, **DRAWN_IMAGES, n_jobs=1
                )
                for k, part in enumerate(("train", "test"))
            ]
            train, test = (pipelines.bags(part, columns=[]) for part in parts)
            for name, values in scores.items():
                model = pipelines.make(name, unit="patient", random_state=seed)
                if name != "bag_size":
                    model.set_params(**SMALL_NETWORK)
                values.append(malignant_auroc(model.fit(train, train["label"]), test))
                print(f"  seed {seed}, {name}: {values[-1]:.3f}", flush=True)
    rows = {
        name: {
            "area": mean_with_interval(values),
            "minus bag size": mean_with_interval(list(np.subtract(values, scores["bag_size"]))),
        }
        for name, values in scores.items()
    }
    return pd.DataFrame(rows).T


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--patients", type=int, default=80, help="number of training patients")
    parser.add_argument("--models", nargs="+", help="names of the models; all by default")
    parser.add_argument("--deep", action="store_true", help="include networks of bags; needs Keras")
    parser.add_argument(
        "--images", action="store_true", help="score networks of images only; needs Keras"
    )
    args = parser.parse_args(argv)
    if args.seeds < 2:
        parser.error("--seeds must be at least 2 for an interval")
    if args.images:
        deep = [
            name
            for name in pipelines.names(unit="patient", images=True)
            if name.startswith("image_")
        ]
        n = min(args.patients, 40)
        print(f"end to end on images, {n} training and {n} test patients, {args.seeds} seeds")
        print(end_to_end(args.seeds, n, args.models or deep).to_string())
        return
    names = args.models or [
        *pipelines.names(unit="patient", attributes=True, deep=args.deep)[1:],
        "date_format",
    ]
    with pd.option_context("display.width", None, "display.max_columns", None):
        print(f"area under the ROC curve, {args.patients} patients, {args.seeds} seeds")
        print(score_table(names, COHORTS, args.seeds, args.patients).to_string(), "\n")
        print("cohorts with a leak and no signal in the cells")
        leaky = {name: {**COHORTS["no signal"], **leak} for name, leak in LEAKS.items()}
        names = [name for name in ON_LEAKS if args.models is None or name in names]
        print(score_table(names, leaky, args.seeds, args.patients).to_string(), "\n")
        print("balanced accuracy of a random forest of cells with the labels of their patients")
        for cohort, params in COHORTS.items():
            # The spread between patients is large, as stains would make it.
            table = leaky_and_honest(args.seeds, args.patients, **{**params, "patient_spread": 1.0})
            print(f"{cohort}\n{table.to_string(index=False)}")


if __name__ == "__main__":
    main()
