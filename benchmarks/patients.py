"""What models of patients find in drawn cohorts, with intervals over seeds.

    python benchmarks/patients.py                 # cohorts of features, minutes
    python benchmarks/patients.py --seeds 10 --deep
    python benchmarks/patients.py --seeds 3 --images      # end to end on drawn images, alone

Three tables. Every model on a cohort with a signal, on one where one abnormal cell is enough, and
on one with nothing in it; each score is the area under the ROC curve on patients of another draw,
and the interval is that of the mean over seeds (Student). Then cohorts in which something beside
the cells gives the label away, and which model sees it. Last, one model of cells scored on cells of
patients it has seen, as reports often do, and on patients it has not.
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
    "one is enough": {
        "abnormal": (0.0, 0.4),
        "effect": 4.0,
        "patient_spread": 0.2,
        "attribute_signal": 0.5,
    },
    "nothing": {"abnormal": (0.2, 0.2)},
}
LEAKS: dict[str, dict[str, Any]] = {
    "bag size": {"leak_size": 0.6},
    "date format": {"leak_format": 0.8},
    "stain": {"leak_stain": 0.8},
}
IMAGES: dict[str, Any] = {"size": 64, "cells": (6, 14), "abnormal": (0.0, 0.7)}
SMALL: dict[str, Any] = {"size": 40, "epochs": 30, "patience": 10, "max_cells": 12}
SHOWN = ("bag_size", "metadata", "date_format", "table_means", "table_logistic", "vote_mean")


@cache
def drawn(n: int, seed: int, **params: Any) -> pd.DataFrame:
    """Patients with their bags."""
    table = datasets.drawn_bags(n, random_state=seed, **params)
    return pipelines.bags(table, attributes=ATTRIBUTES)


def auroc(name: str, seed: int, n: int, **params: Any) -> float:
    """Area under the ROC curve on 200 patients of another draw."""
    train, test = drawn(n, 2 * seed, **params), drawn(200, 2 * seed + 1, **params)
    model = pipelines.make_patient(name, random_state=seed).fit(train, train["label"])
    place = list(model.classes_).index("malignant")
    return float(roc_auc_score(test["label"] == "malignant", model.predict_proba(test)[:, place]))


def told(values: Sequence[float]) -> str:
    """Mean and its 95 % interval over seeds."""
    found = np.asarray(values)
    half = t.ppf(0.975, len(found) - 1) * found.std(ddof=1) / np.sqrt(len(found))
    return f"{found.mean():.3f} [{found.mean() - half:.3f}, {found.mean() + half:.3f}]"


def scores(
    names: Iterable[str], cohorts: dict[str, dict[str, Any]], seeds: int, n: int
) -> pd.DataFrame:
    """A row per model, a column per cohort."""
    rows = {}
    for name in names:
        rows[name] = {
            cohort: told([auroc(name, seed, n, **params) for seed in range(seeds)])
            for cohort, params in cohorts.items()
        }
        print(f"  {name}: {rows[name]}", flush=True)
    return pd.DataFrame(rows).T


def leaky_and_honest(seeds: int, n: int, **params: Any) -> pd.DataFrame:
    """Balanced accuracy on cells, cells divided at random or patients kept whole."""
    found: dict[str, list[float]] = {"cells at random (leaky)": [], "patients (honest)": []}
    for seed in range(seeds):
        table = datasets.drawn_bags(n, random_state=seed, **params)
        values, label = table[extract.feature_columns(table)], table["label"].to_numpy()
        model = pipelines.make("random_forest", n_estimators=100, random_state=seed)
        plans = {
            "cells at random (leaky)": StratifiedKFold(5, shuffle=True, random_state=seed),
            "patients (honest)": StratifiedGroupKFold(5, shuffle=True, random_state=seed),
        }
        whose = {"patients (honest)": table["patient"], "cells at random (leaky)": None}
        for how, folds in plans.items():
            pairs = list(folds.split(values, label, whose[how]))
            said = cross_val_predict(model, values, label, cv=pairs)
            found[how].append(float(balanced_accuracy_score(label, said)))
    found["difference"] = list(
        np.subtract(found["cells at random (leaky)"], found["patients (honest)"])
    )
    return pd.DataFrame({how: [told(values)] for how, values in found.items()})


def end_to_end(seeds: int, n: int, names: Sequence[str]) -> pd.DataFrame:
    """Networks of bags of images on drawn cohorts: area under the ROC curve, less that of size."""
    found: dict[str, list[float]] = {name: [] for name in ("bag_size", *names)}
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            parts = [
                datasets.drawn_cohort(
                    Path(folder) / part, n, random_state=2 * seed + k, **IMAGES, n_jobs=1
                )
                for k, part in enumerate(("learned", "judged"))
            ]
            train, test = (pipelines.bags(part, columns=[]) for part in parts)
            for name, scores in found.items():
                model = pipelines.make_patient(name, random_state=seed)
                if name != "bag_size":
                    model.set_params(**SMALL)
                chance = model.fit(train, train["label"]).predict_proba(test)
                place = list(model.classes_).index("malignant")
                scores.append(roc_auc_score(test["label"] == "malignant", chance[:, place]))
                print(f"  seed {seed}, {name}: {scores[-1]:.3f}", flush=True)
    rows = {
        name: {
            "area": told(scores),
            "minus bag size": told(list(np.subtract(scores, found["bag_size"]))),
        }
        for name, scores in found.items()
    }
    return pd.DataFrame(rows).T


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--patients", type=int, default=80, help="to learn from")
    parser.add_argument("--models", nargs="+", help="all by default")
    parser.add_argument("--deep", action="store_true", help="networks too; needs Keras")
    parser.add_argument(
        "--images", action="store_true", help="only networks of images; needs Keras"
    )
    args = parser.parse_args(argv)
    if args.seeds < 2:
        parser.error("an interval needs two seeds")
    if args.images:
        deep = [name for name in pipelines.patient_names(images=True) if name.startswith("image_")]
        n = min(args.patients, 40)
        print(f"end to end from images, {n} patients to learn from, {n} judged, {args.seeds} seeds")
        print(end_to_end(args.seeds, n, args.models or deep).to_string())
        return
    names = args.models or [
        *pipelines.patient_names(attributes=True, deep=args.deep)[1:],
        "date_format",
    ]
    with pd.option_context("display.width", None, "display.max_columns", None):
        print(f"area under the ROC curve, {args.patients} patients, {args.seeds} seeds")
        print(scores(names, COHORTS, args.seeds, args.patients).to_string(), "\n")
        print("no signal in the cells, a leak beside them")
        nothing = {name: {**COHORTS["nothing"], **leak} for name, leak in LEAKS.items()}
        shown = [name for name in SHOWN if args.models is None or name in names]
        print(scores(shown, nothing, args.seeds, args.patients).to_string(), "\n")
        print("a forest on cells that carry their patient's label: balanced accuracy of cells")
        for cohort, params in COHORTS.items():
            # Patients as different from each other as their stains make them.
            alike = {**params, "patient_spread": 1.0}
            table = leaky_and_honest(args.seeds, args.patients, **alike)
            print(f"{cohort}\n{table.to_string(index=False)}")


if __name__ == "__main__":
    main()
