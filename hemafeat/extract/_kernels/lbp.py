"""Local binary patterns: the bits of every pixel, their bins, and histograms inside a mask.

A sample on the circle lies at (y, x) from its pixel, both rounded to 5 decimals, so the bilinear
weights are whole multiples of 1e-10. Multiplied by 1e10 every product and sum of them with an 8-bit
grey level stays a whole number below 2**53, and float64 holds it exactly: whether a sample reaches
its centre is decided without rounding, the same at every place of an image and on every machine.
"""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel

ONE = 100_000
"""A pixel in the units of sample positions."""


@kernel
def row_bits(plane, row, first, stop, radius, heights, points, lines, centre, code):
    """Bits of the pixels of one row.

    Parameters
    ----------
    plane : (H, W) uint8 array
        Grey levels. `radius` pixels on each side of the stretch must exist.
    row, first, stop : int
        Pixels ``plane[row, first:stop]``.
    radius : int
        Radius of the circle in pixels.
    heights : (D, 2) int64 array
        Distinct heights of samples: whole rows (rounded down), and the rest in units of 1/`ONE`.
    points : (P, 3) int64 array
        Samples: which height, whole columns (rounded down), and the rest in units of 1/`ONE`.
    lines : (D, >= stop - first + 2 * radius) float64 array
        Work space.
    centre : (>= stop - first,) float64 array
        Work space.
    code : (>= stop - first,) uint64 array
        Filled: bit i is set where sample i is at least as bright as the centre.
    """
    n = stop - first
    wide = n + 2 * radius
    # Samples of one height share the interpolation between rows.
    for which in range(heights.shape[0]):
        above = row + heights[which, 0]
        line = lines[which, :wide]
        upper = plane[above, first - radius : first - radius + wide]
        low = float(heights[which, 1])
        high = float(ONE) - low
        if heights[which, 1] == 0:
            for k in range(wide):
                line[k] = high * upper[k]
        else:
            lower = plane[above + 1, first - radius : first - radius + wide]
            for k in range(wide):
                line[k] = high * upper[k] + low * lower[k]
    middle = plane[row, first:stop]
    target = centre[:n]
    bits = code[:n]
    for k in range(n):
        target[k] = float(ONE) * float(ONE) * middle[k]
        bits[k] = np.uint64(0)
    for point in range(points.shape[0]):
        start = radius + points[point, 1]
        line = lines[points[point, 0]]
        left = line[start : start + n]
        far = float(points[point, 2])
        near = float(ONE) - far
        bit = np.uint64(1) << np.uint64(point)
        if points[point, 2] == 0:
            for k in range(n):
                bits[k] |= bit if near * left[k] >= target[k] else np.uint64(0)
        else:
            right = line[start + 1 : start + 1 + n]
            for k in range(n):
                reached = near * left[k] + far * right[k] >= target[k]
                bits[k] |= bit if reached else np.uint64(0)


@kernel
def count_bits(x):
    """Set bits of a uint64 below 2**32."""
    x = x - ((x >> np.uint64(1)) & np.uint64(0x55555555))
    x = (x & np.uint64(0x33333333)) + ((x >> np.uint64(2)) & np.uint64(0x33333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F)
    x = x + (x >> np.uint64(8))
    return (x + (x >> np.uint64(16))) & np.uint64(0x3F)


@kernel
def rotation_invariant(code, n_points, bins):
    """Ones of each uniform pattern, n_points + 1 for the others (riu2)."""
    other = np.uint64(n_points + 1)
    shift = np.uint64(n_points - 1)
    for k in range(bins.size):
        x = code[k]
        turned = (x >> np.uint64(1)) | ((x & np.uint64(1)) << shift)
        bins[k] = count_bits(x) if count_bits(x ^ turned) <= np.uint64(2) else other


@kernel
def bin_plane(plane, run_starts, runs, boxes, radius, heights, points, table, out):
    """Bin of every pixel whose circle may lie inside its cell.

    Parameters
    ----------
    plane, radius, heights, points
        As for `row_bits`.
    run_starts, runs, boxes
        As ``regions.find_runs`` and ``regions.pixels`` give them.
    table : (2**P,) uint8 array
        Bin of each code; when empty, bins are rotation invariant.
    out : (H, W) uint8 array
        Filled where a cell reaches `radius` pixels to the left and right, above and below.
    """
    n_points = points.shape[0]
    width = plane.shape[1]
    lines = np.empty((heights.shape[0], width + 2 * radius))
    centre = np.empty(width)
    code = np.empty(width, np.uint64)
    for cell in range(boxes.shape[0]):
        run = run_starts[cell]
        end = run_starts[cell + 1]
        while run < end:
            row = runs[run, 0]
            first = runs[run, 1] + radius
            while run < end and runs[run, 0] == row:
                stop = runs[run, 2] - radius
                run += 1
            inner = boxes[cell, 0] + radius <= row < boxes[cell, 1] - radius
            if not inner or stop <= first:
                continue
            row_bits(plane, row, first, stop, radius, heights, points, lines, centre, code)
            bins = out[row, first:stop]
            if table.size > 0:
                for k in range(stop - first):
                    bins[k] = table[code[k]]
            else:
                rotation_invariant(code, n_points, bins)


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
        counts = np.zeros(59, np.int64)
        counts_8 = np.zeros(10, np.int64)
        counts_16 = np.zeros(18, np.int64)
        counts_24 = np.zeros(26, np.int64)
        top, left = boxes[cell, 0], boxes[cell, 2]
        deep = depth(own, boxes[cell], 3)
        for run in range(own.shape[0]):
            row = own[run, 0]
            line = deep[row - top]
            for column in range(own[run, 1], own[run, 2]):
                far = line[column - left]
                if far > 1:
                    counts[fine[row, column]] += 1
                    if far > 2:
                        counts_16[middle[row, column]] += 1
                        if far > 3:
                            counts_24[coarse[row, column]] += 1
        for k in range(59):
            counts_8[invariant[k]] += counts[k]
        shares(counts, out[cell, :59])
        shares(counts_8, out[cell, 59:69])
        shares(counts_16, out[cell, 69:87])
        shares(counts_24, out[cell, 87:113])
        out[cell, 113] = entropy(out[cell, 59:69])
        out[cell, 114] = entropy(out[cell, 69:87])
        out[cell, 115] = entropy(out[cell, 87:113])
        out[cell, 116] = 1.0 - out[cell, 68]
        out[cell, 117] = 1.0 - out[cell, 86]
        out[cell, 118] = 1.0 - out[cell, 112]
    return out
