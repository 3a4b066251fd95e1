"""Cosine transforms of the 8x8 blocks of a cell, many side by side."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel

BLOCK = 8
LANES = 32
"""Blocks transformed side by side."""

NOTHING = 1e-9
"""Energy (grey levels squared) below which a spectrum is rounding noise."""

# Constants, not arguments: the compiler then knows that no two of the rows it writes overlap.
_DOWN = BLOCK * LANES
_C0 = math.sqrt(1 / 8)
_C1, _C2, _C3, _C4, _C5, _C6, _C7 = (0.5 * math.cos(math.pi * k / 16) for k in range(1, 8))


@kernel
def down(x):
    """Transform of 8 rows, a block row apart, of LANES blocks in place; `x` starts at the first."""
    for k in range(LANES):
        a, b = x[k] + x[k + 7 * _DOWN], x[k + _DOWN] + x[k + 6 * _DOWN]
        c, d = x[k + 2 * _DOWN] + x[k + 5 * _DOWN], x[k + 3 * _DOWN] + x[k + 4 * _DOWN]
        e, f = x[k] - x[k + 7 * _DOWN], x[k + _DOWN] - x[k + 6 * _DOWN]
        g, h = x[k + 2 * _DOWN] - x[k + 5 * _DOWN], x[k + 3 * _DOWN] - x[k + 4 * _DOWN]
        x[k] = _C0 * ((a + d) + (b + c))
        x[k + 4 * _DOWN] = _C0 * ((a + d) - (b + c))
        x[k + 2 * _DOWN] = _C2 * (a - d) + _C6 * (b - c)
        x[k + 6 * _DOWN] = _C6 * (a - d) - _C2 * (b - c)
        x[k + _DOWN] = _C1 * e + _C3 * f + _C5 * g + _C7 * h
        x[k + 3 * _DOWN] = _C3 * e - _C7 * f - _C1 * g - _C5 * h
        x[k + 5 * _DOWN] = _C5 * e - _C1 * f + _C7 * g + _C3 * h
        x[k + 7 * _DOWN] = _C7 * e - _C5 * f + _C3 * g - _C1 * h


@kernel
def along(x):
    """As `down`, along a row: the 8 values lie LANES apart."""
    for k in range(LANES):
        a, b = x[k] + x[k + 7 * LANES], x[k + LANES] + x[k + 6 * LANES]
        c, d = x[k + 2 * LANES] + x[k + 5 * LANES], x[k + 3 * LANES] + x[k + 4 * LANES]
        e, f = x[k] - x[k + 7 * LANES], x[k + LANES] - x[k + 6 * LANES]
        g, h = x[k + 2 * LANES] - x[k + 5 * LANES], x[k + 3 * LANES] - x[k + 4 * LANES]
        x[k] = _C0 * ((a + d) + (b + c))
        x[k + 4 * LANES] = _C0 * ((a + d) - (b + c))
        x[k + 2 * LANES] = _C2 * (a - d) + _C6 * (b - c)
        x[k + 6 * LANES] = _C6 * (a - d) - _C2 * (b - c)
        x[k + LANES] = _C1 * e + _C3 * f + _C5 * g + _C7 * h
        x[k + 3 * LANES] = _C3 * e - _C7 * f - _C1 * g - _C5 * h
        x[k + 5 * LANES] = _C5 * e - _C1 * f + _C7 * g + _C3 * h
        x[k + 7 * LANES] = _C7 * e - _C5 * f + _C3 * g - _C1 * h


@kernel
def transform(x):
    """Cosine transforms of LANES blocks in place; `x` is a flat (8, 8, LANES) float64 array."""
    for j in range(BLOCK):
        down(x[j * LANES :])
    for i in range(BLOCK):
        along(x[i * _DOWN :])


@kernel
def gather(plane, corners, count, out):
    """Pixels of `count` blocks, 0 for the lanes beyond, as a flat (8, 8, LANES) array.

    A sum and a difference of equal pixels are exact: a flat block gives exactly 0 but for its mean.
    """
    if count < LANES:
        out[:] = 0.0
    for lane in range(count):
        row, column = corners[lane, 0], corners[lane, 1]
        into = out[lane:]
        for i in range(BLOCK):
            line = plane[row + i, column : column + BLOCK]
            for j in range(BLOCK):
                into[(i * BLOCK + j) * LANES] = line[j]


@kernel
def whole_blocks(runs, box, corners):
    """Corners of the 8x8 blocks that lie wholly inside one cell; returns how many.

    Parameters
    ----------
    runs : (M, 3) int64 array
        The cell's pixels: row, first column, column after the last one.
    box : (4,) int64 array
        Row start, row stop, column start, column stop of the cell. The grid of blocks lies in its
        middle: what is left over goes to both sides, so that a mirrored cell has nearly the same.
    corners : (K, 2) int64 array
        Filled: first row and first column of each block.
    """
    n_wide = (box[3] - box[2]) // BLOCK
    n_high = (box[1] - box[0]) // BLOCK
    top = box[0] + (box[1] - box[0]) % BLOCK // 2
    left = box[2] + (box[3] - box[2]) % BLOCK // 2
    # Rows of a block that lie in the cell from its left to its right edge.
    covered = np.zeros((n_high, n_wide), np.int64)
    for run in range(runs.shape[0]):
        high = (runs[run, 0] - top) // BLOCK
        first = max((runs[run, 1] - left + BLOCK - 1) // BLOCK, 0)
        stop = min((runs[run, 2] - left) // BLOCK, n_wide)
        if 0 <= high < n_high:
            for wide in range(first, stop):
                covered[high, wide] += 1
    count = 0
    for high in range(n_high):
        for wide in range(n_wide):
            if covered[high, wide] == BLOCK:
                corners[count, 0] = top + BLOCK * high
                corners[count, 1] = left + BLOCK * wide
                count += 1
    return count


@kernel
def energies(plane, run_starts, runs, boxes, group):
    """How the energy of the blocks inside each cell is shared out.

    Parameters
    ----------
    plane : (H, W) uint8 array
        Grey levels.
    run_starts, runs, boxes
        As ``regions.find_runs`` and ``regions.pixels`` give them.
    group : (8, 8) int64 array
        Low, middle or high frequency (0, 1, 2) of each coefficient; -1 for the mean.

    Returns
    -------
    (n_cells, 3) float64 array
        Shares of the three groups; NaN where no block is inside or all are flat.
    """
    out = np.full((boxes.shape[0], 3), np.nan)
    x = np.empty(BLOCK * BLOCK * LANES)
    for cell in range(boxes.shape[0]):
        own = runs[run_starts[cell] : run_starts[cell + 1]]
        corners = np.empty((own.shape[0] * plane.shape[1] // BLOCK**2 + 1, 2), np.int64)
        count = whole_blocks(own, boxes[cell], corners)
        lanes = np.zeros((3, LANES))
        for first in range(0, count, LANES):
            gather(plane, corners[first:], min(LANES, count - first), x)
            transform(x)
            for place in range(1, BLOCK * BLOCK):
                line = x[place * LANES : (place + 1) * LANES]
                sums = lanes[group[place // BLOCK, place % BLOCK]]
                for k in range(LANES):
                    sums[k] += line[k] * line[k]
        groups = np.array([lanes[0].sum(), lanes[1].sum(), lanes[2].sum()])
        total = groups.sum()
        if total >= NOTHING:
            for k in range(3):
                out[cell, k] = groups[k] / total
    return out


@kernel
def mean_logs(plane, run_starts, runs, boxes, zigzag):
    """Mean over the blocks inside each cell of log10(1 + |X_k|).

    Parameters
    ----------
    plane, run_starts, runs, boxes
        As for `energies`.
    zigzag : (K, 2) int64 array
        Rows and columns of the coefficients to report.

    Returns
    -------
    (n_cells, K) float64 array
        NaN where no block is inside.
    """
    n_coefficients = zigzag.shape[0]
    out = np.full((boxes.shape[0], n_coefficients), np.nan)
    x = np.empty(BLOCK * BLOCK * LANES)
    product = np.empty(LANES)
    for cell in range(boxes.shape[0]):
        own = runs[run_starts[cell] : run_starts[cell + 1]]
        corners = np.empty((own.shape[0] * plane.shape[1] // BLOCK**2 + 1, 2), np.int64)
        count = whole_blocks(own, boxes[cell], corners)
        logs = np.zeros(n_coefficients)
        for first in range(0, count, LANES):
            gather(plane, corners[first:], min(LANES, count - first), x)
            transform(x)
            for k in range(n_coefficients):
                place = zigzag[k, 0] * BLOCK + zigzag[k, 1]
                line = x[place * LANES : (place + 1) * LANES]
                for lane in range(LANES):
                    product[lane] = 1.0 + abs(line[lane])
                # The logarithm of a product is far cheaper than a sum of logarithms. A factor is
                # at most 1 + 8 * 255, and 32 of them stay far below the largest float.
                logs[k] += math.log10(np.prod(product))
        if count > 0:
            for k in range(n_coefficients):
                out[cell, k] = logs[k] / count
    return out
