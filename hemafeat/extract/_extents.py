"""What matrices of run lengths, zone sizes and dependences share: their statistics and the door."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from hemafeat.extract._family import Column
from hemafeat.extract._kernels import extents as _kernel

STATISTICS = (
    "sum r_ij / j^2 / N",
    "sum r_ij j^2 / N",
    "sum r_ij / i^2 / N, levels from 1",
    "sum r_ij i^2 / N, levels from 1",
    "sum r_ij / (i^2 j^2) / N",
    "sum r_ij i^2 / j^2 / N",
    "sum r_ij j^2 / i^2 / N",
    "sum r_ij i^2 j^2 / N",
    "sum_i (sum_j r_ij)^2 / N",
    "sum_i (sum_j r_ij)^2 / N^2",
    "sum_j (sum_i r_ij)^2 / N",
    "sum_j (sum_i r_ij)^2 / N^2",
    "N / number of pixels",
    "variance of i over the N",
    "variance of j over the N",
    "-sum p_ij log2 p_ij, p_ij = r_ij / N",
    "sum p_ij^2, p_ij = r_ij / N",
)
"""Formulas in order: r_ij counts grey level i and extent j, and N is the sum of r_ij."""


def columns(names: Sequence[str], codes: str, what: str) -> dict[str, Column]:
    """Declarations of the statistics under the names and IBSI codes of one matrix."""
    return {
        name: Column("1", f"{formula}; {what}", f"IBSI {code}")
        for name, formula, code in zip(names, STATISTICS, codes.split(), strict=False)
    }


@cache
def weighted_logs() -> np.ndarray:
    """(2048,) float64 ``n log2 n``."""
    n = np.arange(2048.0)
    n[1:] *= np.log2(n[1:])
    return n


def statistics(
    counts: np.ndarray, extents: np.ndarray, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """The statistics of whole-number matrices (..., L, K) by name, each (...).

    Raises
    ------
    ValueError
        A matrix that has fewer than two dimensions, or entries that do not count.
    """
    given = np.asarray(counts)
    if given.ndim < 2 or given.shape[-1] != extents.size:
        raise ValueError(
            f"matrix has shape {given.shape}, expected (..., levels, {extents.size or 'extents'})"
        )
    whole = given.astype(np.int64)
    if given.size and (whole.min() < 0 or not np.array_equal(whole, given)):
        raise ValueError("matrix must hold counts: whole numbers of at least 0")
    # An empty matrix has no size from which NumPy could tell how many there are.
    n = math.prod(given.shape[:-2])
    flat = np.ascontiguousarray(np.swapaxes(whole.reshape(n, *given.shape[-2:]), 1, 2))
    values = _kernel.each_statistics(flat, extents, weighted_logs())
    return {name: values[:, k].reshape(given.shape[:-2]) for k, name in enumerate(names)}
