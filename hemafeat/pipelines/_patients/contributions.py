"""Contributions of single cells to the prediction for their patient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from hemafeat.pipelines._patients.bags import Bag, as_bags, positive_place, select_columns
from hemafeat.pipelines._patients.mil import BagClassifier
from hemafeat.pipelines._patients.table import PatientTable
from hemafeat.pipelines._patients.vote import CellVote
from hemafeat.pipelines._steps.missing import FillMissing
from hemafeat.pipelines._steps.scale import ClippedScaler

_N_BAGS = 400  # number of bags that are classified in one call when cells are left out in turn


def cell_contributions(model: Any, patients: pd.DataFrame, *, positive: Any = None) -> pd.DataFrame:
    """Compute the contribution of each cell to the prediction for its patient.

    Parameters
    ----------
    model : estimator
        Fitted classifier of patients.
    patients : DataFrame
        Rows of `bags`.
    positive : str, optional
        Class to which the cells contribute. By default, of two, the one beside a label such as
        ``reactive`` or ``normal``, else the last, see `positive_place`.

    Returns
    -------
    DataFrame
        One row per cell: ``patient``; ``row``, the position of the cell in the table from which the
        bags were made; ``contribution``; and ``method``:

        * ``"network"``: weight times logit of the cell in a network of bags. They sum to the logit
          of the patient.
        * ``"vote"``: probability, or vote, of the cell over the number of cells, in a `CellVote` by
          mean or majority. They sum to the probability of the patient.
        * ``"linear"``: part of the cell in the log-odds of a linear model of means. With the
          intercept they sum to the log-odds of the patient.
        * ``"left out"``: log-odds with all cells minus the log-odds without this one, for every
          other model. NaN for the only cell of a patient. They have no meaningful sum.

    Raises
    ------
    ValueError
        If `positive` is not one of the classes, or the model takes no bags.

    Examples
    --------
    >>> from hemafeat import datasets, pipelines
    >>> rows = pipelines.bags(datasets.drawn_bags(10, random_state=0))
    >>> model = pipelines.cell_vote("logistic", "mean").fit(rows, rows["label"])
    >>> cells = pipelines.cell_contributions(model, rows)
    >>> cells.columns.tolist()
    ['patient', 'row', 'contribution', 'method']
    >>> sums = cells.groupby("patient")["contribution"].sum()
    >>> bool(abs(sums - model.predict_proba(rows)[:, 0]).max() < 1e-9)
    True
    """
    position = positive_place(np.asarray(model.classes_), positive)
    bags = as_bags(patients)
    if isinstance(model, BagClassifier):
        parts, methods = _of_network(model, patients, position), ["network"] * len(bags)
    elif isinstance(model, CellVote) and model.aggregate in ("mean", "majority"):
        parts, methods = _of_vote(model, patients, position), ["vote"] * len(bags)
    else:
        parts, methods = [], []
        linear = _is_linear(model)
        for row, bag in enumerate(bags):
            exact = _of_linear(model, bag, position) if linear else None
            methods.append("left out" if exact is None else "linear")
            parts.append(
                _by_leaving_out(model, patients.iloc[[row]], bag, position)
                if exact is None
                else exact
            )
    sizes = [len(bag) for bag in bags]
    return pd.DataFrame(
        {
            "patient": np.repeat(patients.index.to_numpy(dtype=object), sizes),
            "row": np.concatenate([bag.rows for bag in bags]),
            "contribution": np.concatenate(parts),
            "method": np.repeat(np.asarray(methods, dtype=object), sizes),
        }
    )


def _of_network(model: BagClassifier, patients: pd.DataFrame, position: int) -> list[np.ndarray]:
    parts = []
    for output in model.judged(patients):
        logits = output["weights"] * output["cell_logits"]
        if logits.shape[1] == 1:
            parts.append(logits[:, 0] if position == model.place_ else -logits[:, 0])
        else:
            parts.append(logits[:, position])
    return parts


def _of_vote(model: CellVote, patients: pd.DataFrame, position: int) -> list[np.ndarray]:
    parts = []
    for probabilities in model.cell_proba(patients):
        votes = probabilities[:, position]
        if model.aggregate == "majority":
            votes = (probabilities.argmax(axis=1) == position).astype(np.float64)
        parts.append(votes / len(votes))
    return parts


def _is_linear(model: Any) -> bool:
    """Return whether the model is a linear one of two classes on filled and scaled means."""
    if not isinstance(model, Pipeline) or len(model.steps) != 4:
        return False
    table, fill, scale, last = (step for _, step in model.steps)
    classifier = getattr(last, "model_", last)
    return (
        isinstance(table, PatientTable)
        and table.statistics_ == ["mean"]
        and isinstance(fill, FillMissing)
        and isinstance(scale, ClippedScaler)
        and np.shape(getattr(classifier, "coef_", ()))[:1] == (1,)
    )


def _of_linear(model: Pipeline, bag: Bag, position: int) -> np.ndarray | None:
    """Return the exact parts, None if imputation or clipping makes the model nonlinear here."""
    table, fill, scale, last = (step for _, step in model.steps)
    coefficients = getattr(last, "model_", last).coef_[0]
    (bag,) = select_columns([bag], table.columns_)
    cells = bag.features[:, fill.kept_]
    if np.isnan(cells).any() or fill.flagged_.size:
        return None
    scaled = (cells - scale.mean_) / scale.scale_
    if (np.abs(scaled.mean(axis=0)) > scale.limit).any():
        return None
    parts = scaled @ coefficients / len(cells)
    return parts if position == 1 else -parts


def _by_leaving_out(model: Any, patient: pd.DataFrame, bag: Bag, position: int) -> np.ndarray:
    """Return the change of the log-odds when each cell in turn is left out."""
    n = len(bag)
    if n == 1:
        return np.array([np.nan])
    versions = [bag, *(bag.cells(kept) for kept in ~np.eye(n, dtype=bool))]
    odds = np.empty(n + 1)
    for start in range(0, n + 1, _N_BAGS):
        batch = versions[start : start + _N_BAGS]
        rows = patient.iloc[np.zeros(len(batch), dtype=int)].reset_index(drop=True)
        rows = rows.assign(cells=pd.Series(batch, dtype=object))
        probability = np.asarray(model.predict_proba(rows))[:, position]
        probability = np.clip(probability, 1e-6, 1 - 1e-6)
        odds[start : start + len(batch)] = np.log(probability / (1 - probability))
    return odds[0] - odds[1:]
