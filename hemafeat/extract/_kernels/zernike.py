"""Zernike moments of a mask and of the stain in it, from sums of powers of x and y."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel

ROWS_AT_ONCE = 4
"""Rows added together, so that column sums are read and written a quarter as often."""


@kernel
def disk_of(runs):
    """Return the centroid of one cell and the largest distance of a pixel from it plus a half."""
    area = 0
    rows = 0
    twice_columns = 0
    for run in range(runs.shape[0]):
        row, first, stop = runs[run, 0], runs[run, 1], runs[run, 2]
        area += stop - first
        rows += row * (stop - first)
        twice_columns += (first + stop - 1) * (stop - first)
    row_0 = rows / area
    column_0 = twice_columns / (2.0 * area)
    farthest = 0.0
    for run in range(runs.shape[0]):
        high = runs[run, 0] - row_0
        wide = max(column_0 - runs[run, 1], runs[run, 2] - 1 - column_0)
        farthest = max(farthest, high * high + wide * wide)
    return row_0, column_0, math.sqrt(farthest) + 0.5


@kernel
def add_rows(values, powers, sums):
    """Add four rows of values, times powers of their ordinates, to the column sums."""
    first, second, third, fourth = values[0], values[1], values[2], values[3]
    for q in range(sums.shape[0]):
        a, b, c, d = powers[0, q], powers[1, q], powers[2, q], powers[3, q]
        into = sums[q]
        for k in range(into.size):
            into[k] += (a * first[k] + b * second[k]) + (c * third[k] + d * fourth[k])


@kernel
def magnitudes(moments, weights, out):
    """Compute the magnitudes of K Zernike moments, divided by the sum of all values.

    Parameters
    ----------
    moments : (P, P) float64 array
        Sum of value x^p y^q in row q and column p.
    weights : (P, P, 2 K) float64 array
        Weight of x^p y^q in the real parts of the moments, then in the imaginary parts.
    out : (K,) float64 array
        Filled with the magnitudes.
    """
    n_orders = out.size
    parts = np.zeros(2 * n_orders, np.float64)
    for q in range(moments.shape[0]):
        for p in range(moments.shape[0] - q):
            value = moments[q, p]
            line = weights[q, p]
            for k in range(2 * n_orders):
                parts[k] += value * line[k]
    for k in range(n_orders):
        out[k] = math.hypot(parts[k], parts[n_orders + k]) / moments[0, 0]


@kernel
def power_sums(sums, across):
    """Return the sums of value x^p y^q from column sums of value y^q and the powers of x."""
    n = sums.shape[0]
    out = np.zeros((n, n), np.float64)
    for q in range(n):
        line = out[q]
        for k in range(sums.shape[1]):
            value = sums[q, k]
            powers = across[k]
            for p in range(n):
                line[p] += value * powers[p]
    return out


@kernel
def measure(plane, density, run_starts, runs, boxes, weights):
    """Compute the Zernike moments of every cell.

    Parameters
    ----------
    plane : (H, W) uint8 array
        Grey levels.
    density : (256,) float64 array
        Value of each grey level, at least 0.
    run_starts, runs, boxes
        Runs and boxes of the cells, see ``runs.find_runs`` and ``runs.pixels``.
    weights : (P, P, 2 K) float64 array
        Weights of the powers, see `magnitudes`.

    Returns
    -------
    (n_cells, 2, K) float64 array
        Magnitudes for the mask and for the values in it. NaN where there is no pixel, and for the
        values where all are 0.
    """
    n_powers = weights.shape[0]
    n_cells = boxes.shape[0]
    out = np.empty((n_cells, 2, weights.shape[2] // 2), np.float64)
    out[:] = np.nan
    for cell in range(n_cells):
        cell_runs = runs[run_starts[cell] : run_starts[cell + 1]]
        if cell_runs.shape[0] == 0:
            continue
        row_0, column_0, radius = disk_of(cell_runs)
        left = boxes[cell, 2]
        width = boxes[cell, 3] - left
        across = np.ones((width, n_powers))
        # Cumulative sums over columns: the sum over a run is a difference of two.
        before = np.zeros((width + 1, n_powers), np.float64)
        for k in range(width):
            x = (left + k - column_0) / radius
            for p in range(1, n_powers):
                across[k, p] = across[k, p - 1] * x
            for p in range(n_powers):
                before[k + 1, p] = before[k, p] + across[k, p]
        sums = np.zeros((n_powers, width), np.float64)
        shape = np.zeros((n_powers, n_powers), np.float64)
        along = np.zeros(n_powers, np.float64)
        values = np.zeros((ROWS_AT_ONCE, width), np.float64)
        powers = np.zeros((ROWS_AT_ONCE, n_powers), np.float64)
        slot = -1
        row = -1
        for run in range(cell_runs.shape[0]):
            first, stop = cell_runs[run, 1] - left, cell_runs[run, 2] - left
            if cell_runs[run, 0] != row:
                row = cell_runs[run, 0]
                slot += 1
                if slot == ROWS_AT_ONCE:
                    add_rows(values, powers, sums)
                    values[:] = 0.0
                    powers[:] = 0.0
                    slot = 0
                powers[slot, 0] = 1.0
                y = (row - row_0) / radius
                for q in range(1, n_powers):
                    powers[slot, q] = powers[slot, q - 1] * y
            for p in range(n_powers):
                along[p] = before[stop, p] - before[first, p]
            for q in range(n_powers):
                line = shape[q]
                for p in range(n_powers):
                    line[p] += powers[slot, q] * along[p]
            line, into = plane[row, cell_runs[run, 1] : cell_runs[run, 2]], values[slot, first:stop]
            for k in range(line.size):
                into[k] = density[line[k]]
        add_rows(values, powers, sums)
        magnitudes(shape, weights, out[cell, 0])
        stain = power_sums(sums, across)
        if stain[0, 0] > 0.0:
            magnitudes(stain, weights, out[cell, 1])
    return out
