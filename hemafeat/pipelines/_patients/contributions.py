"""Which cells made the verdict on a patient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from hemafeat.pipelines._patients.bags import Bag, as_bags, as_column, positive_place, taken
from hemafeat.pipelines._patients.mil import BagClassifier
from hemafeat.pipelines._patients.table import PatientTable
from hemafeat.pipelines._patients.vote import CellVote
from hemafeat.pipelines._steps.missing import FillMissing
from hemafeat.pipelines._steps.scale import ClippedScaler

_AT_ONCE = 400  # bags judged in one call when cells are left out in turn


def cell_contributions(model: Any, patients: pd.DataFrame, *, positive: Any = None) -> pd.DataFrame:
    """How much each cell spoke for the positive class in the verdict on its patient.

    Parameters
    ----------
    model : estimator
        A fitted model of patients for two classes, or with several the one `positive`.
    patients : DataFrame
        Rows of `bags`.
    positive : str, optional
        The class; by default the one beside a label such as ``reactive`` or ``normal``, else the
        last.

    Returns
    -------
    DataFrame
        One row per cell: ``patient``; ``row``, the cell's position in the table of the bags;
        ``contribution``; and ``method``:

        * ``"network"``: weight times logit of the cell in a network of bags. They sum to the
          patient's logit.
        * ``"vote"``: the cell's probability, or vote, over the number of cells in a `CellVote` by
          mean or majority. They sum to the patient's probability.
        * ``"linear"``: the cell's part in the log-odds of a linear model of means. With the
          intercept they sum to the patient's log-odds.
        * ``"left out"``: log-odds with all cells less log-odds without this one; for every other
          model. NaN for the only cell of a patient. These do not sum to anything.

    Raises
    ------
    ValueError
        The model does not know the class, or does not look at cells.
    """
    place = positive_place(np.asarray(model.classes_), positive)
    found = as_bags(patients)
    if isinstance(model, BagClassifier):
        parts, method = _network(model, patients, place), ["network"] * len(found)
    elif isinstance(model, CellVote) and model.aggregate in ("mean", "majority"):
        parts, method = _vote(model, patients, place), ["vote"] * len(found)
    else:
        parts, method = [], []
        linear = _is_linear(model)
        for row, bag in enumerate(found):
            exact = _linear(model, bag, place) if linear else None
            method.append("left out" if exact is None else "linear")
            parts.append(
                _left_out(model, patients.iloc[[row]], bag, place) if exact is None else exact
            )
    sizes = [len(bag) for bag in found]
    return pd.DataFrame(
        {
            "patient": np.repeat(patients.index.to_numpy(dtype=object), sizes),
            "row": np.concatenate([bag.rows for bag in found]),
            "contribution": np.concatenate(parts),
            "method": np.repeat(np.asarray(method, dtype=object), sizes),
        }
    )


def _network(model: BagClassifier, patients: pd.DataFrame, place: int) -> list[np.ndarray]:
    parts = []
    for told in model.judged(patients):
        each = told["weights"] * told["cell_logits"]
        if each.shape[1] == 1:
            parts.append(each[:, 0] if place == model.place_ else -each[:, 0])
        else:
            parts.append(each[:, place])
    return parts


def _vote(model: CellVote, patients: pd.DataFrame, place: int) -> list[np.ndarray]:
    parts = []
    for chance in model.cell_proba(patients):
        each = chance[:, place]
        if model.aggregate == "majority":
            each = (chance.argmax(axis=1) == place).astype(np.float64)
        parts.append(each / len(each))
    return parts


def _is_linear(model: Any) -> bool:
    """Means, filled, scaled, and a linear model of two classes: nothing else."""
    if not isinstance(model, Pipeline) or len(model.steps) != 4:
        return False
    table, fill, scale, last = (step for _, step in model.steps)
    inner = getattr(last, "model_", last)
    return (
        isinstance(table, PatientTable)
        and table.statistics_ == ["mean"]
        and isinstance(fill, FillMissing)
        and isinstance(scale, ClippedScaler)
        and np.shape(getattr(inner, "coef_", ()))[:1] == (1,)
    )


def _linear(model: Pipeline, bag: Bag, place: int) -> np.ndarray | None:
    """The exact parts; None where filling or clipping bends the model at this patient."""
    table, fill, scale, last = (step for _, step in model.steps)
    coefficients = getattr(last, "model_", last).coef_[0]
    (bag,) = taken([bag], table.columns_)
    cells = bag.features[:, fill.kept_]
    if np.isnan(cells).any() or fill.flagged_.size:
        return None
    scaled = (cells - scale.mean_) / scale.scale_
    if (np.abs(scaled.mean(axis=0)) > scale.limit).any():
        return None
    each = scaled @ coefficients / len(cells)
    return each if place == 1 else -each


def _left_out(model: Any, patient: pd.DataFrame, bag: Bag, place: int) -> np.ndarray:
    n = len(bag)
    if n == 1:
        return np.array([np.nan])
    keep = ~np.eye(n, dtype=bool)
    versions = [bag, *(bag.cells(k) for k in keep)]
    odds = np.empty(n + 1)
    for start in range(0, n + 1, _AT_ONCE):
        few = versions[start : start + _AT_ONCE]
        frame = patient.iloc[np.zeros(len(few), dtype=int)].reset_index(drop=True)
        frame = frame.assign(cells=as_column(few))
        chance = np.asarray(model.predict_proba(frame))[:, place]
        chance = np.clip(chance, 1e-6, 1 - 1e-6)
        odds[start : start + len(few)] = np.log(chance / (1 - chance))
    return odds[0] - odds[1:]
