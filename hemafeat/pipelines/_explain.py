"""Why a model says what it says of a cell: Shapley values in plain words."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from hemafeat import extract
from hemafeat._frames import need_frame
from hemafeat._machine import how_to_install
from hemafeat.pipelines._inspect import ModelError
from hemafeat.pipelines._model import Model, PatientModel
from hemafeat.pipelines._steps.boosted import BoostedTrees

_ALIKE = 0.9
"""Rank correlation from which columns are said to go along with another one."""

_N_BACKGROUND = 10
"""Reference cells against which any other model is explained."""

_READ_BY_EYE = ("relation", "shape", "lobes", "granules", "stain", "density", "colour")
"""Families whose columns are named first, of several that go along with each other."""

_FAMILIAR = ("area", "nucleus_to_cell_area_ratio", "n_lobes", "solidity")
"""Features of them that are named before all others."""

_FLAG = "missing__"


def explain(
    model: Any,
    cells: pd.DataFrame,
    reference: pd.DataFrame,
    *,
    label: str = "label",
    n_top: int = 3,
    random_state: int = 0,
) -> pd.DataFrame:
    """Say which features of a cell speak for and against the class that a model predicts.

    Parameters
    ----------
    model : estimator or Model
        Fitted classifier of cells that reads feature columns.
    cells : DataFrame
        Table of the cells to explain.
    reference : DataFrame
        Table of labelled cells to compare with, such as those that the model was fitted on,
        measured in the same way.
    label : str
        Column of `reference` with the labels.
    n_top : int
        Number of reasons for each cell.
    random_state : int
        Seed of the reference cells that are drawn, and of the order of columns, for models that are
        neither linear nor of trees.

    Returns
    -------
    DataFrame
        `n_top` rows for each cell, the strongest reason first: ``row`` (position in `cells`),
        ``image, cell`` if the table has them, ``predicted, second`` (the next likely class),
        ``column, value, unit``; ``contribution``, the Shapley value of the column and of those that
        go along with it, above 0 if it speaks for the class predicted; ``n_alike``, the number of
        these; ``above_predicted, above_second``, the share of the reference cells of the two
        classes with a lower value; ``reason``, all this in words; and ``meaning``.

    Raises
    ------
    ImportError
        The package shap is not installed.
    ModelError
        The model reads no features, or the tables do not fit it.
    ValueError
        The reference has no cells of the classes of the model.

    Notes
    -----
    A Shapley value is the mean difference that a column makes to the output of the model over all
    orders in which columns are made known [1]_. Values are exact for a logistic regression (log
    odds, against the mean of the reference) and for trees (of a forest: probability; boosted: log
    odds; in both against the cells trained on) [2]_; for any other model they are estimated from
    permutations of the columns (probability, against 10 reference cells), which takes seconds for
    each cell. Columns whose rank correlation with a strong one is above 0.9 among the reference
    cells count with it, since the model could have used any of them; the one that is most easily
    read off a smear is named. A reason says what the model used, not what made the cell what it is.

    References
    ----------
    .. [1] S. M. Lundberg and S.-I. Lee, "A unified approach to interpreting model predictions",
       NeurIPS 2017.
    .. [2] S. M. Lundberg et al., "From local explanations to global understanding with explainable
       AI for trees", Nature Machine Intelligence 2, 56-67, 2020.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> ratio = "cell__relation__nucleus_to_cell_area_ratio"
    >>> table = pd.DataFrame({ratio: [0.8, 0.9, 0.85, 0.4, 0.3, 0.35]})
    >>> table["label"] = ["lymphocyte"] * 3 + ["monocyte"] * 3
    >>> model = pipelines.logistic().fit(table, table["label"])
    >>> reasons = pipelines.explain(model, table[:1], table)
    >>> reasons["reason"][0]
    'for lymphocyte: nucleus to cell area ratio 0.8, higher than 100 % of monocyte cells'
    """
    shap = _need_shap()
    if isinstance(model, PatientModel):
        raise ModelError("models of patients are explained by pipelines.cell_contributions")
    pipeline = model.pipeline if isinstance(model, Model) else model
    cells, reference = need_frame(cells, "explain"), need_frame(reference, "explain")
    if label not in reference:
        raise ValueError(f"the reference has no column {label!r} of labels")
    reference = reference[reference[label].notna()]
    classes = [str(name) for name in pipeline.classes_]
    labels = reference[label].astype(str).to_numpy()
    if not set(labels) & set(classes):
        raise ValueError(f"the reference has no cell of the classes of the model: {classes}")
    if isinstance(model, Model):
        model.check(cells)
        model.check(reference)
        columns = model.columns
    else:
        columns = _columns(pipeline)
    if not columns or columns == ["image"]:
        raise ModelError("the model reads no feature columns, and cannot be explained by them")
    inside, names = _values_of(pipeline, cells, reference, columns, shap, random_state)
    chances = np.asarray(pipeline.predict_proba(cells), dtype=np.float64)
    order = np.argsort(-chances, axis=1, kind="stable")
    first, second = order[:, 0], order[:, min(1, len(classes) - 1)]
    known = reference[columns].to_numpy(np.float64, na_value=np.nan)
    values = cells[columns].to_numpy(np.float64, na_value=np.nan)
    contributions = _by_column(inside, names, columns, first)
    alike = _rank_correlations(known) > _ALIKE
    ease = np.array([_ease(name) for name in columns])
    described = extract.describe(reference[_with_scale(reference, columns)])
    about_column = described.set_index("column")[["name", "unit", "meaning"]].to_dict("index")
    rows = []
    for n in range(len(cells)):
        about = {key: cells[key].iloc[n] for key in ("image", "cell") if key in cells}
        pair = classes[first[n]], classes[second[n]]
        for k, total, n_alike in _strongest(contributions[n], alike, ease, n_top):
            shares = [_share_below(known[labels == name, k], values[n, k]) for name in pair]
            row = about_column[columns[k]]
            rows.append(
                {
                    "row": n,
                    **about,
                    "predicted": pair[0],
                    "second": pair[1],
                    "column": columns[k],
                    "value": values[n, k],
                    "unit": row["unit"],
                    "contribution": total,
                    "n_alike": n_alike,
                    "above_predicted": shares[0],
                    "above_second": shares[1],
                    "reason": _in_words(row, values[n, k], total, pair, shares),
                    "meaning": row["meaning"],
                }
            )
    return pd.DataFrame(rows)


def _ease(column: str) -> int:
    """Return the rank by which a column is named, the most familiar first."""
    _, family, feature, *_ = column.split("__")
    if family not in _READ_BY_EYE:
        return len(_READ_BY_EYE)
    return -1 if feature in _FAMILIAR else _READ_BY_EYE.index(family)


def _need_shap() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import shap
    except ImportError as error:
        raise ImportError(
            f"explanations need shap: {how_to_install('shap', 'shap')} ({error})"
        ) from None
    return shap


def _columns(pipeline: Any) -> list[str]:
    from hemafeat.pipelines._inspect import needs

    return needs(pipeline).columns


def _with_scale(table: pd.DataFrame, columns: list[str]) -> list[str]:
    return [*columns, *(["um_per_px"] if "um_per_px" in table else [])]


def _values_of(
    pipeline: Any,
    cells: pd.DataFrame,
    reference: pd.DataFrame,
    columns: list[str],
    shap: Any,
    random_state: int,
) -> tuple[np.ndarray, list[str]]:
    """Return Shapley values (n_cells, n_inputs, n_classes) and the names of the inputs."""
    steps = getattr(pipeline, "steps", None)
    last = steps[-1][1] if steps else pipeline
    if steps and len(steps) > 1 and hasattr(pipeline[:-1], "get_feature_names_out"):
        try:
            names = [str(name) for name in pipeline[:-1].get_feature_names_out()]
        except (AttributeError, ValueError):
            names = []
        # A step that mixes columns has other names.
        if set(names) <= {*columns, *(_FLAG + name for name in columns)} and names:
            given = np.asarray(pipeline[:-1].transform(cells), dtype=np.float64)
            found = _exact(last, given, lambda: pipeline[:-1].transform(reference), shap)
            if found is not None:
                return found, names
    rng = np.random.default_rng(random_state)
    drawn = rng.choice(len(reference), min(_N_BACKGROUND, len(reference)), replace=False)
    background = reference[columns].iloc[np.sort(drawn)].to_numpy(np.float64, na_value=np.nan)

    def chances(matrix: np.ndarray) -> np.ndarray:
        frame = pd.DataFrame(np.atleast_2d(matrix), columns=columns)
        return np.asarray(pipeline.predict_proba(frame), dtype=np.float64)

    explainer = shap.PermutationExplainer(
        chances, shap.maskers.Independent(background, len(background)), seed=random_state
    )
    given = cells[columns].to_numpy(np.float64, na_value=np.nan)
    found = explainer(given, max_evals=2 * len(columns) + 1, silent=True)
    return np.asarray(found.values).reshape(len(cells), len(columns), -1), columns


def _exact(model: Any, given: np.ndarray, background: Any, shap: Any) -> np.ndarray | None:
    """Return the exact values of a linear model or of trees, None for any other."""
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.tree import DecisionTreeClassifier

    if isinstance(model, LogisticRegression):
        matrix = np.asarray(background(), dtype=np.float64)
        values = np.asarray(shap.LinearExplainer(model, matrix).shap_values(given))
        if values.ndim == 2:  # of two classes, the second
            values = np.stack([-values, values], axis=2)
        return values
    if isinstance(model, (RandomForestClassifier, ExtraTreesClassifier, DecisionTreeClassifier)):
        return np.asarray(shap.TreeExplainer(model).shap_values(given))
    if isinstance(model, BoostedTrees):
        values = np.asarray(shap.TreeExplainer(model.booster_).shap_values(given))
        if values.ndim == 2:
            values = np.stack([-values, values], axis=2)
        return values
    return None


def _by_column(
    values: np.ndarray, names: list[str], columns: list[str], shown: np.ndarray
) -> np.ndarray:
    """Return the values of the class shown of each cell: (n_cells, n_columns) float64.

    That a column is missing counts with the column.
    """
    of_class = values[np.arange(len(values)), :, shown]
    place = {name: k for k, name in enumerate(columns)}
    found = np.zeros((len(values), len(columns)))
    for k, name in enumerate(names):
        found[:, place[name.removeprefix(_FLAG)]] += of_class[:, k]
    return found


def _rank_correlations(values: np.ndarray) -> np.ndarray:
    """Return the absolute rank correlations of columns, 0 where one is not known."""
    ranks = pd.DataFrame(values).rank()
    filled = ranks.fillna(ranks.mean()).to_numpy(np.float64)
    filled = np.nan_to_num(filled - np.nan_to_num(filled).mean(axis=0))
    length = np.sqrt((filled**2).sum(axis=0))
    scaled = np.divide(filled, length, out=np.zeros_like(filled), where=length > 0)
    return np.abs(scaled.T @ scaled)


def _strongest(
    contributions: np.ndarray, alike: np.ndarray, ease: np.ndarray, n_top: int
) -> list[tuple[int, float, int]]:
    """Return the columns with the greatest contributions, with those that go along with them.

    `ease` is the rank by which a column of several is chosen to be named.
    """
    left = np.ones(len(contributions), dtype=bool)
    found = []
    for k in np.argsort(-np.abs(contributions), kind="stable"):
        if not left[k]:
            continue
        together = left & alike[k]
        together[k] = True
        left &= ~together
        members = np.flatnonzero(together)
        named = members[np.lexsort((-np.abs(contributions[members]), ease[members]))[0]]
        found.append((int(named), float(contributions[members].sum()), len(members) - 1))
        # Columns that come later may count more together, but a few are enough to see that.
        if len(found) == 5 * n_top:
            break
    found.sort(key=lambda item: -abs(item[1]))
    return found[:n_top]


def _share_below(known: np.ndarray, value: float) -> float:
    """Return the share of values below one, of equal ones the half; NaN if there are none."""
    known = known[np.isfinite(known)]
    if not known.size or not np.isfinite(value):
        return np.nan
    return float(((known < value).sum() + 0.5 * (known == value).sum()) / known.size)


def _in_words(
    row: dict[Any, Any],
    value: float,
    contribution: float,
    pair: tuple[str, str],
    shares: list[float],
) -> str:
    lead = f"{'for' if contribution >= 0 else 'against'} {pair[0]}: {row['name']}"
    if not np.isfinite(value):
        return f"{lead} is not defined"
    unit = "" if row["unit"] in ("", "1") else f" {row['unit']}"
    text = f"{lead} {_number(value)}{unit}"
    # The class from which the cell is told apart says most; the other one only if it is extreme.
    against = (1, 0) if contribution >= 0 else (0, 1)
    said = ""
    for k in against:
        share = shares[k]
        if np.isfinite(share) and (k == against[0] or abs(share - 0.5) > 0.45):
            side, part = ("higher", share) if share >= 0.5 else ("lower", 1 - share)
            than = "" if side == said else f"{side} than "
            text += f"{' and ' if said else ', '}{than}{100 * part:.0f} % of {pair[k]} cells"
            said = side
    return text


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
