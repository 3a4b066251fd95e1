"""Why the best model judged patients as it did: the cells that spoke, the columns it leans on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from hemafeat import pipelines
from hemafeat.evaluate._importance import balanced, blocks, candidates
from hemafeat.evaluate._protocols.splits import Folds
from hemafeat.evaluate._tables import importance_table

MAX_CELLS = 800
"""Held-out cells per fold used for importances."""


def best_looking(results: pd.DataFrame, blind: Sequence[str]) -> str | None:
    """The model with the best balanced accuracy among those that look at cells."""
    best = results[(results["fold"] == "all") & (results["metric"] == "balanced_accuracy")]
    best = best[~best["model"].isin(blind)].sort_values("value", ascending=False, kind="stable")
    return None if best.empty else str(best["model"].iloc[0])


def reasons(model: Any, inputs: pd.DataFrame, truth: np.ndarray, plan: Folds) -> Reasons:
    """Fit `model` once more on each fold, to be asked."""
    from sklearn.base import clone

    fitted = [clone(model).fit(inputs.iloc[train], truth[train]) for train, _ in plan.pairs]
    return Reasons(fitted, inputs, truth, [test for _, test in plan.pairs])


@dataclass
class Reasons:
    """A model fitted on each fold, and the patients it had not seen.

    Attributes
    ----------
    fitted : list of estimator
        One per fold.
    inputs : DataFrame
        Rows of `hemafeat.pipelines.bags`.
    truth : (n_patients,) ndarray of str
        Their labels.
    tests : list of (n,) ndarray of int
        Rows held out in each fold.
    """

    fitted: list[Any]
    inputs: pd.DataFrame
    truth: np.ndarray
    tests: list[np.ndarray]

    def verdicts(self, name: str, cells: pd.DataFrame, positive: str | None) -> pd.DataFrame:
        """Contributions of the cells; see `PatientComparison`."""
        place = pipelines.positive_place(np.unique(self.truth), positive)
        label = str(np.unique(self.truth)[place])
        parts = []
        for model, test in zip(self.fitted, self.tests, strict=True):
            if not hasattr(model, "predict_proba"):
                return pd.DataFrame()
            part = self.inputs.iloc[test]
            parts.append(pipelines.cell_contributions(model, part, positive=label))
        found = pd.concat(parts, ignore_index=True)
        place_of = found["row"].to_numpy()
        image = cells["image"].astype(str) if "image" in cells.columns else cells.index.map(str)
        cell = cells["cell"] if "cell" in cells.columns else pd.Series(1, index=cells.index)
        found.insert(0, "model", name)
        found.insert(2, "image", np.asarray(image, dtype=object)[place_of])
        found.insert(3, "cell", np.asarray(cell)[place_of])
        found["positive"] = label
        found["rank"] = (
            found.groupby("patient")["contribution"]
            .rank(ascending=False, method="first", na_option="bottom")
            .astype(int)
        )
        return found.drop(columns="row").sort_values(["patient", "rank"], ignore_index=True)

    def importances(self, name: str, attributes: Sequence[str], random_state: int) -> pd.DataFrame:
        """Balanced accuracy lost when columns are permuted, mean and spread over the folds."""
        columns = self.inputs["cells"].iloc[0].columns
        means = pipelines.PatientTable(["mean"]).fit(self.inputs).transform(self.inputs)
        sets = {f"{mask}__{family}__*": names for (mask, family), names in blocks(columns).items()}
        frame = pd.DataFrame(means, columns=list(columns))
        sets |= {column: [column] for column in candidates(frame, self.truth)}
        losses = [
            _permuted(
                model, self.inputs.iloc[test], self.truth[test], sets, attributes, [random_state, k]
            )
            for k, (model, test) in enumerate(zip(self.fitted, self.tests, strict=True))
        ]
        return importance_table({name: losses}, [*sets, *attributes])


def _permuted(
    model: Any,
    patients: pd.DataFrame,
    truth: np.ndarray,
    sets: Mapping[str, Sequence[str]],
    attributes: Sequence[str],
    seed: Sequence[int],
) -> dict[str, float]:
    """What is lost when columns are permuted among all cells, and attributes among patients."""
    rng = np.random.default_rng(list(seed))
    most = max(1, MAX_CELLS // len(patients))
    found = [
        bag.cells(np.sort(rng.permutation(len(bag))[:most])) for bag in patients["cells"].tolist()
    ]
    patients = patients.assign(cells=found)
    whole = balanced(truth, model.predict(patients))
    values = np.concatenate([bag.features for bag in found])
    ends = np.cumsum([len(bag) for bag in found])[:-1]
    place = {name: j for j, name in enumerate(found[0].columns)}
    loss = {}
    for name, columns in sets.items():
        take = [place[column] for column in columns]
        changed = values.copy()
        changed[:, take] = values[rng.permutation(len(values))][:, take]
        parts = np.split(changed, ends)
        mixed = [replace(bag, features=part) for bag, part in zip(found, parts, strict=True)]
        loss[name] = whole - balanced(truth, model.predict(patients.assign(cells=mixed)))
    for name in attributes:
        column = patients[name].to_numpy()[rng.permutation(len(patients))]
        loss[name] = whole - balanced(truth, model.predict(patients.assign(**{name: column})))
    return loss
