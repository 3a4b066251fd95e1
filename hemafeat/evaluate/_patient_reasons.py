"""Reasons for the verdicts of the best model of patients: contributions of cells and columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from hemafeat import extract, pipelines
from hemafeat._fits import fit_once
from hemafeat.evaluate._comparison import Comparison, PatientComparison
from hemafeat.evaluate._fit import validation_of
from hemafeat.evaluate._importance import column_sets, spend
from hemafeat.evaluate._patients import PatientSetup
from hemafeat.evaluate._scores import balanced_accuracy
from hemafeat.evaluate._tables import importance_table

MAX_CELLS = 800
"""Number of held-out cells per fold used for importances."""


def add_reasons(
    comparison: Comparison,
    setup: PatientSetup,
    *,
    verdicts: bool,
    budget: int,
    positive: str | None,
) -> PatientComparison:
    """Add patients, contributions of cells and importances of columns to a comparison.

    Parameters
    ----------
    comparison : Comparison
        Scores of the models of `setup`.
    setup : PatientSetup
        What was compared.
    verdicts, positive
        As in `compare_patients`.
    budget : int
        Number of predictions for the importances; 0 for none.

    Returns
    -------
    PatientComparison
        Its best model that looks at cells was fitted once more on each fold, if one was needed and
        the comparison does not hold it.
    """
    best = next(iter(comparison.ranked()), None) if verdicts or budget else None
    cells, columns = pd.DataFrame(), importance_table({}, [])
    if best is not None:
        # One thread, as for the scores, so that these are the same fits.
        with threadpool_limits(1):
            fitted = comparison.fitted.get(best) or _fit_folds(setup, best)
            if verdicts:
                cells = _contributions(setup, best, fitted, positive)
            if budget:
                columns = _importances(setup, best, fitted, budget)
    fields = vars(comparison) | {"importances": columns}
    return PatientComparison(**fields, patients=setup.patients, verdicts=cells)


def _fit_folds(setup: PatientSetup, name: str) -> list[Any]:
    """Fit a model to the training patients of each fold."""
    from sklearn.base import clone

    return [
        fit_once(
            clone(task.estimator),
            task.inputs.iloc[task.train],
            task.truth[task.train],
            validation=validation_of(task),
        )
        for task in setup.tasks()
        if task.model == name
    ]


def _contributions(
    setup: PatientSetup, name: str, fitted: Sequence[Any], positive: str | None
) -> pd.DataFrame:
    """Tabulate the contributions of the cells of held-out patients; see `PatientComparison`."""
    classes = np.unique(setup.truth)
    label = str(classes[pipelines.positive_place(classes, positive)])
    inputs, cells = setup.inputs[name], setup.cells
    parts = []
    for model, (_, test) in zip(fitted, setup.plan.pairs, strict=True):
        if not hasattr(model, "predict_proba"):
            return pd.DataFrame()
        parts.append(pipelines.cell_contributions(model, inputs.iloc[test], positive=label))
    table = pd.concat(parts, ignore_index=True)
    rows = table["row"].to_numpy()
    image = cells["image"].astype(str) if "image" in cells.columns else cells.index.map(str)
    cell = cells["cell"] if "cell" in cells.columns else pd.Series(1, index=cells.index)
    table.insert(0, "model", name)
    table.insert(2, "image", np.asarray(image, dtype=object)[rows])
    table.insert(3, "cell", np.asarray(cell)[rows])
    table["positive"] = label
    table["rank"] = (
        table.groupby("patient")["contribution"]
        .rank(ascending=False, method="min", na_option="bottom")
        .astype(int)
    )
    if "quality__suspected_failure" in cells.columns:
        table["suspected_failure"] = extract.suspected(cells).fillna("").to_numpy(object)[rows]
    return table.drop(columns="row").sort_values(["patient", "rank"], ignore_index=True)


def _importances(
    setup: PatientSetup, name: str, fitted: Sequence[Any], budget: int
) -> pd.DataFrame:
    """Average over the folds the balanced accuracy lost when columns are permuted."""
    inputs, truth = setup.inputs[name], setup.truth
    columns = inputs["cells"].iloc[0].columns
    sets = {}
    if columns:
        means = pipelines.PatientTable(["mean"]).fit(inputs).transform(inputs)
        sets = column_sets(pd.DataFrame(means, columns=list(columns)), truth)
    losses = [
        _permutation_losses(
            model,
            inputs.iloc[test],
            truth[test],
            sets,
            setup.attributes,
            [setup.random_state, fold],
            budget // len(fitted),
        )
        for fold, (model, (_, test)) in enumerate(zip(fitted, setup.plan.pairs, strict=True))
    ]
    return importance_table({name: losses}, [*sets, *setup.attributes])


def _permutation_losses(
    model: Any,
    patients: pd.DataFrame,
    truth: np.ndarray,
    sets: Mapping[str, Sequence[str]],
    attributes: Sequence[str],
    seed: Sequence[int],
    budget: int,
) -> dict[str, float]:
    """Permute columns among all cells, and attributes among patients, and compute the losses."""
    if budget < len(patients):
        return {}
    rng = np.random.default_rng(list(seed))
    n_each = max(1, MAX_CELLS // len(patients))
    bags = [
        bag.cells(np.sort(rng.permutation(len(bag))[:n_each])) for bag in patients["cells"].tolist()
    ]
    patients = patients.assign(cells=bags)
    intact = balanced_accuracy(truth, model.predict(patients))
    values = np.concatenate([bag.features for bag in bags])
    ends = np.cumsum([len(bag) for bag in bags])[:-1]
    index = {name: j for j, name in enumerate(bags[0].columns)}
    places = {name: number for number, name in enumerate([*sets, *attributes])}

    def losses_of(names: list[str], repeat: int) -> Iterator[float]:
        for name in names:
            draw = np.random.default_rng([*seed, places[name], repeat])
            if name in sets:
                numbers = [index[column] for column in sets[name]]
                permuted = values.copy()
                permuted[:, numbers] = values[draw.permutation(len(values))][:, numbers]
                parts = np.split(permuted, ends)
                mixed = [replace(bag, features=part) for bag, part in zip(bags, parts, strict=True)]
                changed = patients.assign(cells=mixed)
            else:
                column = patients[name].to_numpy()[draw.permutation(len(patients))]
                changed = patients.assign(**{name: column})
            yield intact - balanced_accuracy(truth, model.predict(changed))

    blocks = [name for name in sets if name.endswith("__*")]
    order = [*attributes, *blocks, *(name for name in sets if name not in blocks)]
    return spend(order, len(patients), budget, losses_of)
