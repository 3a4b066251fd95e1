"""What there is to know of the columns of a table before any model: missing, alike, outlying."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

FAR = 5.0
"""Robust standard deviations from the median of its class beyond which a value is an outlier."""

ALIKE = 0.95
"""Absolute rank correlation from which columns repeat each other."""

_N_RANKED = 4000
"""Number of cells from which correlations are computed, at most."""


@dataclass
class Survey:
    """Findings on the columns of a table.

    Attributes
    ----------
    missing, outliers : (n_columns,) ndarray of int
        Number of cells without a value, and with a value far from those of their class.
    between : (n_columns,) ndarray of float
        Share of the variance of the ranks that lies between the classes; NaN without classes.
    partner : (n_columns,) ndarray of int
        The column most correlated with each, -1 if there is none.
    correlation : (n_columns,) ndarray of float
        Spearman's coefficient with that column.
    groups : list of list of int
        Columns that repeat each other, the largest group first.
    far : (n_cells,) ndarray of float
        Share of the columns in which a cell is an outlier.
    reasons : list of list of int
        For the cells of `outlying`, the columns in which they are farthest.
    outlying : list of int
        Cells that are outliers in the most columns, the first first.
    patterns : list of (columns, cells)
        Columns that lack the same cells, those that lack the most first.
    """

    missing: np.ndarray
    outliers: np.ndarray
    between: np.ndarray
    partner: np.ndarray
    correlation: np.ndarray
    groups: list[list[int]]
    far: np.ndarray
    outlying: list[int]
    reasons: list[list[int]]
    patterns: list[tuple[list[int], list[int]]] = field(default_factory=list)


def survey(values: np.ndarray, labels: Sequence[Any] | None = None, *, n_cells: int = 48) -> Survey:
    """Describe the columns of a table.

    Parameters
    ----------
    values : (n_cells, n_columns) ndarray of float64
        Features; NaN where there is no value.
    labels : sequence, optional
        Class of each cell; None where it is not known.
    n_cells : int
        Greatest number of outlying cells.
    """
    n, n_columns = values.shape
    codes = pd.factorize(pd.Series([None] * n if labels is None else labels), sort=True)[0]
    deviation = _deviation(values, codes)
    far = deviation > FAR
    share = far.mean(axis=1) if n_columns else np.zeros(n)
    order = [int(k) for k in np.argsort(-share, kind="stable")[:n_cells] if share[k] > 0]
    rng = np.random.default_rng(0)
    rows = np.arange(n) if n <= _N_RANKED else np.sort(rng.choice(n, _N_RANKED, replace=False))
    ranks = _ranks(values[rows])
    matrix = _correlation(ranks)
    strongest = np.abs(matrix).argmax(axis=1) if n_columns else np.empty(0, int)
    found = matrix[np.arange(n_columns), strongest]
    return Survey(
        missing=np.isnan(values).sum(axis=0),
        outliers=far.sum(axis=0),
        between=_between(ranks, codes[rows]),
        partner=np.where(found == 0, -1, strongest),
        correlation=found,
        groups=_groups(matrix),
        far=share,
        outlying=order,
        reasons=[
            [int(c) for c in np.argsort(-deviation[k], kind="stable")[:3] if far[k, c]]
            for k in order
        ],
        patterns=_patterns(values),
    )


def _deviation(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the distance of each value from the median of its class, in robust deviations.

    A class of fewer than 20 cells, or a column of which more than half of the values are equal,
    tells no deviation; it is 0 there.
    """
    out = np.zeros(values.shape, dtype=np.float32)
    for code in np.unique(codes):
        rows = codes == code
        part = values[rows]
        if len(part) < 20:
            continue
        known = ~np.isnan(part).all(axis=0)
        middle = np.zeros(part.shape[1])
        spread = np.zeros(part.shape[1])
        middle[known] = np.nanmedian(part[:, known], axis=0)
        spread[known] = 1.4826 * np.nanmedian(np.abs(part[:, known] - middle[known]), axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = np.abs(part - middle) / spread
        scaled[:, spread <= 1e-9 * np.abs(middle)] = 0.0
        out[rows] = np.nan_to_num(scaled, nan=0.0, posinf=0.0)
    return out


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks of each column, standardised; 0 where a value is missing."""
    ranks = pd.DataFrame(values).rank().to_numpy(np.float64)
    filled = pd.DataFrame(ranks)
    filled = filled.fillna(filled.mean()).fillna(0.0)
    matrix = filled.to_numpy() - filled.mean().to_numpy()
    spread = matrix.std(axis=0)
    return np.divide(matrix, spread, out=np.zeros_like(matrix), where=spread > 1e-12)


def _correlation(ranks: np.ndarray) -> np.ndarray:
    matrix = ranks.T @ ranks / max(len(ranks), 1)
    np.fill_diagonal(matrix, 0.0)
    return np.asarray(np.clip(matrix, -1.0, 1.0))


def _between(ranks: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the share of the variance of the ranks that lies between the classes."""
    known = codes >= 0
    classes = np.unique(codes[known])
    if len(classes) < 2:
        return np.full(ranks.shape[1], np.nan)
    part = ranks[known] - ranks[known].mean(axis=0)
    total = (part**2).sum(axis=0)
    between = sum(
        (codes[known] == code).sum() * part[codes[known] == code].mean(axis=0) ** 2
        for code in classes
    )
    return np.divide(between, total, out=np.full(len(total), np.nan), where=total > 1e-9)


def _groups(matrix: np.ndarray) -> list[list[int]]:
    """Return columns all of which are correlated with each other, by complete linkage."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(matrix) < 2:
        return []
    distance = 1.0 - np.abs((matrix + matrix.T) / 2)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), "complete")
    numbers = fcluster(tree, 1.0 - ALIKE, "distance")
    groups = [np.flatnonzero(numbers == k).tolist() for k in np.unique(numbers)]
    return sorted((g for g in groups if len(g) > 1), key=lambda g: (-len(g), g))


def _patterns(values: np.ndarray) -> list[tuple[list[int], list[int]]]:
    lacking = np.isnan(values)
    by_cells: dict[bytes, list[int]] = {}
    for column in np.flatnonzero(lacking.any(axis=0)):
        by_cells.setdefault(lacking[:, column].tobytes(), []).append(int(column))
    found = [
        (columns, np.flatnonzero(lacking[:, columns[0]]).tolist()) for columns in by_cells.values()
    ]
    return sorted(found, key=lambda item: (-len(item[0]) * len(item[1]), item[0]))
