"""Labels that look wrong: what a model and the neighbours of a cell say against its label."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from hemafeat import extract, pipelines
from hemafeat._frames import need_frame
from hemafeat._words import no_column
from hemafeat.evaluate._compare import compare
from hemafeat.evaluate._comparison import Comparison
from hemafeat.evaluate._rows import CompareError

N_COMPONENTS = 50
"""Number of principal components in which neighbours are sought."""

_LEAST_P, _LEAST_SHARE = 1e-3, 0.05
"""Added to a probability and to a share of neighbours, so that neither alone decides."""


def suspected_labels(
    table: pd.DataFrame,
    model: Any = "logistic",
    *,
    label: str = "label",
    groups: str | None = "group",
    n_splits: int = 5,
    n_neighbours: int = 15,
    random_state: int = 0,
    n_jobs: int = 1,
) -> pd.DataFrame:
    r"""Rank the labels of cells by what speaks against them.

    Parameters
    ----------
    table : DataFrame
        One row per cell, with labels and features, as returned by `extract.table`.
    model : str, estimator or Comparison, default="logistic"
        What predicts each cell after it was trained on others: a name of `hemafeat.pipelines`, a
        classifier with probabilities, or a comparison of this table, of which the best model with
        probabilities is taken.
    label, groups : str
        Columns of the labels, and of the groups that are never on both sides, as in `compare`. A
        comparison has groups of its own.
    n_splits : int, default=5
        Number of folds. Classes with fewer groups are left out.
    n_neighbours : int, default=15
        Number of neighbours that are asked, among the cells of the other folds.
    random_state : int, default=0
        Seed of folds and model.
    n_jobs : int, default=1
        Number of processes.

    Returns
    -------
    DataFrame
        One row per cell that was predicted, the most suspicious first: ``row`` (its place in
        `table`), ``image, cell, label, suggested, p_label, p_suggested`` (probabilities by the
        model), ``neighbours_label, neighbours_suggested`` (shares of the neighbours with these
        labels; NaN if the table has no features), ``score`` and ``suspected``.

    Raises
    ------
    CompareError
        If the table cannot be compared, or the model gives no probabilities; if a comparison is not
        one of this table, or predicts a cell more than once.

    Notes
    -----
    For each class :math:`j`, the probability :math:`p_j` of a model trained on other groups and the
    share :math:`k_j` of the neighbours among them are multiplied,
    :math:`q_j \propto (p_j + 0.001)(k_j + 0.05)`. The score is the logarithm of
    :math:`q_\text{suggested} / q_\text{label}`, where the suggested class is the most probable of
    the others. A label is suspected by the rule of confident learning [1]_: the class with the
    largest :math:`q_j`, among those that reach the mean :math:`q_j` of the cells labelled so, is
    another one.

    Rare forms of a class are suspected, too, and wrong labels that a whole group shares are not
    found. A person has to look: `hemafeat.report.explore` shows the cells, and writes what was
    decided to a file that `hemafeat.datasets.edited` applies.

    References
    ----------
    .. [1] C. Northcutt, L. Jiang and I. Chuang, "Confident learning: estimating uncertainty in
       dataset labels", Journal of Artificial Intelligence Research 70, 2021.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from hemafeat import evaluate
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"image": [f"{k}.png" for k in range(60)], "cell": 1})
    >>> table["label"] = ["monocyte", "lymphocyte"] * 30
    >>> for name in ("cell__shape__area", "nucleus__shape__area"):
    ...     table[name] = rng.normal(10, 1, 60) + 9 * (table["label"] == "monocyte")
    >>> table.loc[7, "label"] = "monocyte"
    >>> found = evaluate.suspected_labels(table)
    >>> found.loc[found["suspected"], ["image", "label", "suggested"]]
       image     label   suggested
    0  7.png  monocyte  lymphocyte
    """
    table = need_frame(table, "a search for wrong labels", CompareError)
    if isinstance(model, Comparison):
        comparison = model
    else:
        name = model if isinstance(model, str) else "model"
        comparison = compare(
            name if isinstance(model, str) else {name: model},
            table,
            label=label,
            groups=groups,
            n_splits=n_splits,
            rare="drop",
            n_boot=2,
            random_state=random_state,
            importance=False,
            n_jobs=n_jobs,
        )
    rows = _predicted(comparison, table, label)
    classes = np.array(comparison.classes, dtype=object)
    p = rows[[f"p__{name}" for name in classes]].to_numpy(np.float64)
    code = pd.Categorical(rows["truth"].astype(str), categories=list(classes)).codes.astype(int)
    k = _shares(table, rows, code, len(classes), n_neighbours)
    known = p if k is None else (p + _LEAST_P) * (k + _LEAST_SHARE)
    q = (known + 1e-12) / (known + 1e-12).sum(axis=1, keepdims=True)
    every = np.arange(len(rows))
    others = q.copy()
    others[every, code] = -1.0
    suggested = others.argmax(axis=1)
    found = pd.DataFrame(
        {
            "row": rows["row"].to_numpy(int),
            "image": rows["image"].to_numpy(object),
            "cell": rows["cell"].to_numpy(object),
            "label": classes[code],
            "suggested": classes[suggested],
            "p_label": p[every, code],
            "p_suggested": p[every, suggested],
            "neighbours_label": np.nan if k is None else k[every, code],
            "neighbours_suggested": np.nan if k is None else k[every, suggested],
            "score": np.log(q[every, suggested] / q[every, code]),
            "suspected": _confident(q, code) != code,
        }
    )
    return found.sort_values("score", ascending=False, kind="stable", ignore_index=True)


def _predicted(comparison: Comparison, table: pd.DataFrame, label: str) -> pd.DataFrame:
    """Return the predictions of the best model with probabilities, one row per cell."""
    names = [f"p__{name}" for name in comparison.classes]
    if label not in table.columns:
        raise CompareError(no_column(label, table.columns))
    if comparison.unit != "cell":
        raise CompareError("labels of cells are judged by a comparison of cells, not of patients")
    for model in comparison.ranked():
        rows = comparison.predictions[comparison.predictions["model"] == model]
        rows = rows.reset_index(drop=True)
        if len(rows) and not rows[names].isna().any(axis=None):
            break
    else:
        raise CompareError("no model that looks at the cells gives probabilities")
    if rows["row"].duplicated().any():
        raise CompareError("the comparison predicts some cells more than once")
    rows["row"] = _places(rows, table)
    # The labels are those of the table, which may have been edited since the comparison.
    rows["truth"] = table[label].iloc[rows["row"]].to_numpy(object)
    known = rows["truth"].map(str).isin(comparison.classes) & rows["truth"].notna()
    if not known.any():
        raise CompareError(f"no label in column {label!r} is a class of the comparison")
    return rows[known.to_numpy(bool)].reset_index(drop=True)


def _places(rows: pd.DataFrame, table: pd.DataFrame) -> np.ndarray:
    """Return the place in the table of each predicted cell: by its name, or else as compared."""
    places = rows["row"].to_numpy(int)
    if {"image", "cell"} <= set(table.columns):
        names, wanted = (pd.MultiIndex.from_frame(t[["image", "cell"]]) for t in (table, rows))
        if names.is_unique:
            places = names.get_indexer(wanted)
    if places.min(initial=0) < 0 or places.max(initial=0) >= len(table):
        raise CompareError("the comparison is not one of this table")
    return places


def _shares(
    table: pd.DataFrame, rows: pd.DataFrame, code: np.ndarray, n_classes: int, n_neighbours: int
) -> np.ndarray | None:
    """Return the shares of the classes among the neighbours of each cell, in the other folds."""
    from sklearn.decomposition import PCA
    from sklearn.neighbors import NearestNeighbors

    columns = extract.feature_columns(table)
    if not columns:
        return None
    values = table[columns].iloc[rows["row"]].to_numpy(np.float64, na_value=np.nan)
    values = pipelines.FillMissing(flags=False).fit_transform(values)
    values = np.asarray(pipelines.ClippedScaler().fit_transform(values))
    n_components = min(N_COMPONENTS, *values.shape)
    with np.errstate(invalid="ignore"):  # all rows may be equal
        values = PCA(n_components, random_state=0).fit_transform(values)
    shares = np.zeros((len(values), n_classes))
    folds = rows["fold"].to_numpy()
    for fold in pd.unique(folds):
        inside = folds == fold
        outside = np.flatnonzero(~inside)
        if not len(outside):
            return None
        search = NearestNeighbors(n_neighbors=min(n_neighbours, len(outside)))
        near = search.fit(values[outside]).kneighbors(values[inside], return_distance=False)
        votes = code[outside][near]
        shares[inside] = (votes[:, :, None] == np.arange(n_classes)).mean(axis=1)
    return shares


def _confident(q: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Return the class of each row that confident learning holds for true, or else its label.

    Parameters
    ----------
    q : (n_rows, n_classes) ndarray of float64
        Probabilities from a model that did not see the row.
    code : (n_rows,) ndarray of int
        Labels.
    """
    n_classes = q.shape[1]
    means = [q[code == j, j].mean() if (code == j).any() else np.inf for j in range(n_classes)]
    reached = np.where(q >= np.array(means), q, -1.0)
    best = reached.argmax(axis=1)
    return np.where(reached.max(axis=1) >= 0, best, code)
