"""Contributions of single cells to the prediction for their patient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp, softmax
from sklearn.ensemble._forest import BaseForest
from sklearn.pipeline import Pipeline

from hemafeat import networks
from hemafeat.pipelines._inspect import looks_at
from hemafeat.pipelines._patients.bags import (
    Bag,
    as_bags,
    positive_place,
    select_columns,
    split_bags,
)
from hemafeat.pipelines._patients.fusion import DecisionRule, PatientStack
from hemafeat.pipelines._patients.mil import BagClassifier
from hemafeat.pipelines._patients.table import PatientTable
from hemafeat.pipelines._patients.vote import CellVote
from hemafeat.pipelines._steps.missing import FillMissing
from hemafeat.pipelines._steps.scale import ClippedScaler

_ALIKE = 0.0005
"""Difference of contributions below which they are printed as the same number."""

_N_BAGS = 400  # number of bags that are classified in one call when cells are left out in turn,
_BYTES = 64e6  # and what they may take of memory


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

        All are on the scale of the log-odds of the class:

        * ``"network"``: weight times logit of the cell in a network of bags that pools logits. They
          sum to the logit of the patient, or the mean of those of several bags of fixed size.
        * ``"linear"``: part of the cell in the log-odds of a linear model of means. With the
          intercept they sum to the log-odds of the patient.
        * ``"vote"``: log-odds of the vote of all cells of a `CellVote` minus that without this one.
          For the majority they are those of the numbers of votes plus one half, also for a mean of
          labels; for the extremes those of the probabilities, also for an extreme of labels.
        * ``"left out"``: log-odds with all cells minus the log-odds without this one, for every
          other model. A `PatientStack` gets the log-odds of its members without their limits.
        * ``"cells only"``: the same for the model of the cells inside a combination with other
          models, where the combination does not depend on any single cell.

        The last three have no meaningful sum, and are NaN for the only cell of a patient. Equal
        values say that all cells count alike.

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
    >>> bool(cells["contribution"].notna().all())
    True
    """
    position = positive_place(np.asarray(model.classes_), positive)
    bags = as_bags(patients)
    if isinstance(model, BagClassifier):
        parts = model.contributions(patients, position)
        of_vectors = model.pooling in networks.VECTOR_POOLINGS
        methods = ["left out" if of_vectors else "network"] * len(bags)
    elif isinstance(model, CellVote):
        parts, methods = _of_vote(model, bags, position), ["vote"] * len(bags)
    else:
        parts, methods = [], []
        linear = _is_linear(model)
        for row, bag in enumerate(bags):
            exact = _of_linear(model, bag, position) if linear else None
            if exact is None:
                part, method = _by_leaving_out(model, patients.iloc[[row]], bag, position)
            else:
                part, method = exact, "linear"
            parts.append(part)
            methods.append(method)
    sizes = [len(bag) for bag in bags]
    return pd.DataFrame(
        {
            "patient": np.repeat(patients.index.to_numpy(dtype=object), sizes),
            "row": np.concatenate([bag.rows for bag in bags]),
            "contribution": np.concatenate(parts),
            "method": np.repeat(np.asarray(methods, dtype=object), sizes),
        }
    )


def _of_vote(model: CellVote, bags: list[Bag], position: int) -> list[np.ndarray]:
    """Return the change of the log-odds of each vote when each cell in turn is left out."""
    frame = model.cells_table(select_columns(bags, model.columns_))
    bag_numbers = np.repeat(np.arange(len(bags)), [len(bag) for bag in bags])
    n = len(model.classes_)
    majority = model.aggregate == "majority" or (
        model.aggregate == "mean" and model.labels == "hard"
    )
    if majority:
        votes = np.asarray(model.model_.predict_proba(frame)).argmax(axis=1) == position
        odds = np.where(votes, np.inf, -np.inf)
    else:
        odds = log_odds(model.model_, frame, position)
    parts = []
    for part in split_bags(odds, bag_numbers, len(bags)):
        if len(part) == 1:
            parts.append(np.array([np.nan]))
        elif majority:
            k, others = np.sum(part > 0), len(part)
            whole = np.log((k + 0.5) / (others - k + 0.5))
            left = np.where(
                part > 0,
                np.log((k - 0.5) / (others - k + 0.5)) if k else 0.0,
                np.log((k + 0.5) / (others - k - 0.5)) if k < others else 0.0,
            )
            parts.append(whole - left)
        elif model.aggregate == "mean":
            # The same constant, the number of cells, divides both sums.
            yes, no = -np.logaddexp(0, -part), -np.logaddexp(0, part)
            whole = np.logaddexp.reduce(yes) - np.logaddexp.reduce(no)
            parts.append(whole - (_others(np.logaddexp, yes) - _others(np.logaddexp, no)))
        else:
            # The extreme of the probability of the positive class.
            own = positive_place(model.classes_, model.positive) == position
            highest = (model.aggregate == "max") == own
            extreme = np.maximum if n == 2 and highest else np.minimum
            parts.append(extreme.reduce(part) - _others(extreme, part))
    return parts


def _others(combine: np.ufunc, values: np.ndarray) -> np.ndarray:
    """Return what `combine` makes of all values but one, for each of them left out."""
    before, after = combine.accumulate(values), combine.accumulate(values[::-1])[::-1]
    return np.concatenate([after[1:2], combine(before[:-2], after[2:]), before[-2:-1]])


def log_odds(model: Any, X: Any, position: int) -> np.ndarray:
    """Return the log-odds of one class for each row.

    They are those of the decision values where these are the log-odds, and have no limit. Else they
    are those of the probabilities, which are drawn towards one half as little as their resolution
    allows: by half a tree in a forest, and by 1e-9 in other models.

    Parameters
    ----------
    model : estimator
        Fitted classifier.
    X : DataFrame or array
        Rows, as the model takes them.
    position : int
        Position of the class.

    Returns
    -------
    (n_rows,) ndarray of float64
    """
    probability = np.asarray(model.predict_proba(X), dtype=np.float64)
    if hasattr(model, "decision_function"):
        scores = np.asarray(model.decision_function(X), dtype=np.float64)
        if scores.ndim == 1:
            scores = np.column_stack([np.zeros(len(scores)), scores])
        if scores.shape == probability.shape and np.allclose(
            softmax(scores, axis=1), probability, rtol=0, atol=1e-6
        ):
            others = np.delete(scores, position, axis=1)
            return np.asarray(scores[:, position] - logsumexp(others, axis=1))
    last = model.steps[-1][1] if isinstance(model, Pipeline) else model
    n_trees = len(last.estimators_) if isinstance(last, BaseForest) else 0
    share = 1 / (n_trees + 1) if n_trees else 1e-9
    yes = probability[:, position]
    no = np.delete(probability, position, axis=1).sum(axis=1)
    return np.log((1 - share) * yes + share / 2) - np.log((1 - share) * no + share / 2)


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


def _by_leaving_out(
    model: Any, patient: pd.DataFrame, bag: Bag, position: int
) -> tuple[np.ndarray, str]:
    """Return the change of the log-odds when each cell in turn is left out, and the method."""
    n = len(bag)
    if n == 1:
        return np.array([np.nan]), "left out"
    kept = np.vstack([np.ones(n, dtype=bool), ~np.eye(n, dtype=bool)])
    odds = np.empty(n + 1)
    members = np.empty(n + 1)
    cells = _model_of_cells(model)
    n_bags = int(min(_N_BAGS, max(1, _BYTES // max(1, bag.features.nbytes))))
    for start in range(0, n + 1, n_bags):
        batch = [bag.cells(chosen) for chosen in kept[start : start + n_bags]]
        rows = patient.iloc[np.zeros(len(batch), dtype=int)].reset_index(drop=True)
        rows = rows.assign(cells=pd.Series(batch, dtype=object))
        stop = start + len(batch)
        odds[start:stop] = _odds_of_patients(model, rows, position)
        if cells is not None:
            members[start:stop] = _odds_of_patients(cells, rows, position)
    left_out = odds[0] - odds[1:]
    if cells is not None and np.ptp(left_out) < _ALIKE:
        return members[0] - members[1:], "cells only"
    return left_out, "left out"


def _model_of_cells(model: Any) -> Any:
    """Return the first model of the cells in a combination with others, None if there is none."""
    if not isinstance(model, DecisionRule | PatientStack):
        return None
    members = [member for member in model.estimators_ if "features" in looks_at(member)]
    same = members and np.array_equal(members[0].classes_, model.classes_)
    return members[0] if same else None


def _odds_of_patients(model: Any, rows: pd.DataFrame, position: int) -> np.ndarray:
    """Return the log-odds of a class for patients, without the limits that a stack sets."""
    if isinstance(model, PatientStack) and len(model.classes_) == 2:
        members = [_member_odds(member, rows, model.classes_) for member in model.estimators_]
        odds = np.asarray(model.stack_.decision_function(np.column_stack(members)))
        return odds if position == 1 else -odds
    if isinstance(model, CellVote) and (model.aggregate, model.labels) == ("mean", "soft"):
        parts = [_votes(model, bag, position) for bag in as_bags(rows)]
        return np.array(parts)
    return log_odds(model, rows, position)


def _member_odds(member: Any, rows: pd.DataFrame, classes: np.ndarray) -> np.ndarray:
    if np.array_equal(member.classes_, classes):
        return _odds_of_patients(member, rows, 1)
    return np.zeros(len(rows))


def _votes(model: CellVote, bag: Bag, position: int) -> float:
    """Return the log-odds of the mean vote of one patient."""
    frame = model.cells_table(select_columns([bag], model.columns_))
    odds = log_odds(model.model_, frame, position)
    yes, no = -np.logaddexp(0, -odds), -np.logaddexp(0, odds)
    return float(np.logaddexp.reduce(yes) - np.logaddexp.reduce(no))
