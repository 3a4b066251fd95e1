"""Calibration of probabilities, and thresholds with a stated coverage of new groups."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

_SMALLEST = 1e-12
"""Probability below which none is told apart, so that its logarithm is finite."""

_OWN = 5
"""How many times as many groups as `enough` a class has that has its own threshold.

With fewer, that of the oddest cell or two would count, and one mislabelled monocyte would put
monocyte into the set of every cell: with factors 1, 2 and 5, 39, 38 and 13 % of 352 cells of BCCD
were refused at a coverage of .95."""

_ODDEST = (0.5, 0.2, 0.05, 0.01)
"""Shares of the oddest cells from which on a cell has its own least threshold.

With the last two alone, .766 of the even rows of BCCD were covered by a model of PBC instead of
.842, at a coverage of .9 (aligned logistic)."""

_IN_A_BIN = 2
"""How many times as many groups as `enough` the cells of such a share must have."""


def temperature(probability: np.ndarray, codes: np.ndarray) -> float:
    """Return the temperature with which probabilities of held-out rows have the least log loss.

    Parameters
    ----------
    probability : (n_rows, n_classes) ndarray of float64
        Of each class.
    codes : (n_rows,) ndarray of int
        Number of the true class.

    Returns
    -------
    float
        Above 1 for an overconfident model; from 0.05 to 20. It is 1, and changes nothing, unless
        the loss is lower by more than two standard errors.

    References
    ----------
    .. [1] J. Platt, "Probabilistic outputs for support vector machines", 1999, for the targets.
    """
    logits = np.log(np.maximum(probability, _SMALLEST))
    n, k = logits.shape
    # As if one of n + 2 cells were of another class: otherwise a model that errs in no cell would
    # be made infinitely sure.
    wrong = 1 / (n + 2)
    target = np.full((n, k), wrong / max(k - 1, 1))
    target[np.arange(n), codes] = 1 - wrong

    def losses(log_t: float) -> np.ndarray:
        of_rows: np.ndarray = -(target * log_softmax(logits / np.exp(log_t), axis=1)).sum(axis=1)
        return of_rows

    found = minimize_scalar(lambda t: losses(t).mean(), bounds=(-3.0, 3.0), method="bounded")
    gain = losses(0.0) - losses(found.x)
    sure = gain.mean() > 2 * gain.std() / np.sqrt(n)
    return float(np.exp(found.x)) if sure else 1.0


def with_temperature(probability: np.ndarray, t: float) -> np.ndarray:
    """Return probabilities at another temperature; each row sums to 1."""
    if t == 1.0:
        return probability
    scaled: np.ndarray = softmax(np.log(np.maximum(probability, _SMALLEST)) / t, axis=1)
    return scaled


def threshold(scores: np.ndarray, groups: np.ndarray, level: float) -> float:
    """Return the value that the score of a cell of a new group stays below, at a level.

    Parameters
    ----------
    scores : (n_rows,) ndarray of float64
        Scores of held-out rows, greater for odder ones.
    groups : (n_rows,) ndarray of int
        Group of each row. Every group has the same weight, whatever its number of rows.
    level : float
        Probability with which the score of a row of a new group is not above the threshold.

    Returns
    -------
    float
        Infinite if the groups are too few to state that level, see `enough`.

    Notes
    -----
    Split conformal prediction for groups that are exchangeable, while rows of a group are alike
    [1]_: with K groups, a row of a group of n has the weight 1 / (n (K + 1)), and the missing
    1 / (K + 1) lies at infinity. If each row is a group, this is the usual quantile.

    References
    ----------
    .. [1] Y. Lee, R. F. Barber, R. Willett, "Distribution-free inference with hierarchical data",
       arXiv:2306.06342, 2023.
    """
    if not len(scores):
        return np.inf
    _, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return _quantile(scores, 1.0 / (sizes[member] * (len(sizes) + 1)), level)


def rough_threshold(scores: np.ndarray, groups: np.ndarray, level: float) -> float:
    """Return the threshold of the held-out groups themselves, which promises nothing of others."""
    _, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return _quantile(scores, 1.0 / (sizes[member] * len(sizes)), level)


def enough(level: float) -> int:
    """Return the number of groups that a threshold at a level needs."""
    return int(np.ceil(level / (1 - level) - 1e-9))


def _quantile(scores: np.ndarray, weights: np.ndarray, level: float) -> float:
    """Return the least score at which the weights of the scores up to it reach a level."""
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(weights[order]) >= level - 1e-9
    return float(scores[order][reached.argmax()]) if reached.any() else np.inf


def odd_thresholds(
    scores: np.ndarray, oddness: np.ndarray, groups: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the oddness from which on a cell has another least threshold, and these thresholds.

    A classifier errs more in cells that are unlike those trained on, and another laboratory has
    more of them: the level then holds for these cells by themselves.

    Parameters
    ----------
    scores, oddness : (n_rows,) ndarray of float64
        1 minus the probability of the true class, and oddness, of held-out rows.
    groups : (n_rows,) ndarray of int
        Group of each row.
    level : float
        Coverage.

    Returns
    -------
    edges : (n_edges,) ndarray of float64
        Ascending; none if the groups are few.
    least : (n_edges + 1,) ndarray of float64
        Threshold up to the first edge (which is 0: there that of the class holds), between edges,
        and above the last one. They ascend.
    """
    edges: list[float] = []
    for share in _ODDEST:
        edge = float(np.quantile(oddness, 1 - share))
        if len(np.unique(groups[oddness > edge])) < _IN_A_BIN * enough(level):
            break
        edges.append(edge)
    bins = np.digitize(oddness, edges, right=True)
    least = [0.0]
    for number in range(1, len(edges) + 1):
        rows = bins == number
        own = threshold(scores[rows], groups[rows], level)
        least.append(max(least[-1], own if np.isfinite(own) else 0.0))
    return np.array(edges), np.array(least)


def class_thresholds(
    scores: np.ndarray, codes: np.ndarray, groups: np.ndarray, n_classes: int, level: float
) -> np.ndarray:
    """Return a threshold for each class, that of all classes where its groups are few.

    Parameters
    ----------
    scores : (n_rows,) ndarray of float64
        1 minus the probability of the true class, of held-out rows.
    codes, groups : (n_rows,) ndarray of int
        True class and group of each row.
    n_classes : int
    level : float
        Coverage.

    Returns
    -------
    (n_classes,) ndarray of float64
    """
    of_all = threshold(scores, groups, level)
    if not np.isfinite(of_all):
        of_all = rough_threshold(scores, groups, level)
    found = np.full(n_classes, of_all)
    for k in range(n_classes):
        rows = codes == k
        if len(np.unique(groups[rows])) >= _OWN * enough(level):
            found[k] = threshold(scores[rows], groups[rows], level)
    return found
