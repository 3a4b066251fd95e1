"""Histograms of local binary patterns inside each cell."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel


@kernel
def depth(runs, box, deepest):
    """How far each pixel lies inside its cell.

    Parameters
    ----------
    runs : (M, 3) int64 array
        Row, first column and column after the last one.
    box : (4,) int64 array
        Row start, row stop, column start, column stop of the cell.
    deepest : int
        Where to stop counting.

    Returns
    -------
    (height, width) uint8 array
        Of the box. 0 outside; k + 1 where the square of 2 k + 1 pixels around lies in the cell.
    """
    height, width = box[1] - box[0], box[3] - box[2]
    inside = np.zeros((height, width), np.uint8)
    for run in range(runs.shape[0]):
        first, stop = runs[run, 1] - box[2], runs[run, 2] - box[2]
        inside[runs[run, 0] - box[0], first:stop] = 1
    total = inside.copy()
    across = np.zeros((height, width), np.uint8)
    for step in range(1, deepest + 1):
        if height <= 2 * step or width <= 2 * step:
            break
        for row in range(height):
            left, here, right = inside[row, :-2], inside[row, 1:-1], inside[row, 2:]
            line = across[row, 1:-1]
            for k in range(width - 2):
                line[k] = left[k] & here[k] & right[k]
        inside = np.zeros((height, width), np.uint8)
        for row in range(1, height - 1):
            above, here, below = across[row - 1], across[row], across[row + 1]
            line, sum_line = inside[row], total[row]
            for k in range(width):
                line[k] = above[k] & here[k] & below[k]
                sum_line[k] += line[k]
    return total


@kernel
def shares(counts, out):
    """Counts to shares of their sum; NaN where that is 0."""
    total = counts.sum()
    for k in range(counts.size):
        out[k] = counts[k] / total if total > 0 else np.nan


@kernel
def entropy(p):
    """Entropy of shares in bits; NaN where they are."""
    found = 0.0
    for k in range(p.size):
        if np.isnan(p[k]):
            return np.nan
        if p[k] > 0.0:
            found -= p[k] * math.log2(p[k])
    return found + 0.0


@kernel
def histograms(fine, middle, coarse, run_starts, runs, boxes, invariant):
    """Shares of patterns, their entropies and the share of uniform ones, for every cell.

    Parameters
    ----------
    fine : (H, W) uint8 array
        Bins 0..58 of 8 points at radius 1.
    middle, coarse : (H, W) uint8 array
        Bins 0..17 of 16 points at radius 2; bins 0..25 of 24 points at radius 3.
    run_starts, runs, boxes
        As ``regions.find_runs`` and ``regions.pixels`` give them.
    invariant : (59,) int64 array
        Rotation-invariant bin 0..9 of each bin of `fine`.

    Returns
    -------
    (n_cells, 59 + 10 + 18 + 26 + 3 + 3) float64 array
        In that order: ``u2``, ``riu2`` of 8, 16 and 24 points, entropies, uniform shares.
    """
    n_cells = boxes.shape[0]
    out = np.full((n_cells, 119), np.nan)
    for cell in range(n_cells):
        own = runs[run_starts[cell] : run_starts[cell + 1]]
        if own.shape[0] == 0:
            continue
        # Two histograms of each in turn: equal neighbours then wait on two chains, not on one. The
        # last bin takes the pixels that do not lie deep enough.
        counts = np.zeros((2, 60), np.int64)
        counts_16 = np.zeros((2, 19), np.int64)
        counts_24 = np.zeros((2, 27), np.int64)
        counts_8 = np.zeros(10, np.int64)
        top, left = boxes[cell, 0], boxes[cell, 2]
        deep = depth(own, boxes[cell], 3)
        for run in range(own.shape[0]):
            row, first, stop = own[run, 0], own[run, 1], own[run, 2]
            n = stop - first
            far = deep[row - top][first - left : stop - left]
            bins, bins_16 = fine[row][first:stop], middle[row][first:stop]
            bins_24 = coarse[row][first:stop]
            for k in range(n):
                odd = k & 1
                counts[odd, bins[k] if far[k] > 1 else 59] += 1
                counts_16[odd, bins_16[k] if far[k] > 2 else 18] += 1
                counts_24[odd, bins_24[k] if far[k] > 3 else 26] += 1
        for k in range(60):
            counts[0, k] += counts[1, k]
        for k in range(19):
            counts_16[0, k] += counts_16[1, k]
        for k in range(27):
            counts_24[0, k] += counts_24[1, k]
        for k in range(59):
            counts_8[invariant[k]] += counts[0, k]
        shares(counts[0, :59], out[cell, :59])
        shares(counts_8, out[cell, 59:69])
        shares(counts_16[0, :18], out[cell, 69:87])
        shares(counts_24[0, :26], out[cell, 87:113])
        out[cell, 113] = entropy(out[cell, 59:69])
        out[cell, 114] = entropy(out[cell, 69:87])
        out[cell, 115] = entropy(out[cell, 87:113])
        out[cell, 116] = 1.0 - out[cell, 68]
        out[cell, 117] = 1.0 - out[cell, 86]
        out[cell, 118] = 1.0 - out[cell, 112]
    return out
