"""Grey-level co-occurrence: counting the pairs, and what the counts say."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.extents import weighted_log
from hemafeat.extract._kernels.haralick import N_STATISTICS, finish
from hemafeat.extract._kernels.patches import MARGIN, origin, patch_size

N_ANGLES = 4


@kernel
def pairs(patch, runs, box, n_levels, distance, margin, counts):
    """Count the pairs of grey levels of one cell at one distance and every angle.

    Parameters
    ----------
    patch, box, margin
        Of the cell; see ``patches``.
    runs : (M, 3) int64 array
        The cell's pixels: row, first column, column after the last one. A pair counts when both of
        its pixels are among them.
    n_levels : int
        Number of grey levels.
    distance : int
        Chebyshev distance in pixels, at most the margin.
    counts : ((n_levels + 1)**2 * 4,) int32 array
        Filled: ordered pairs (first pixel, second pixel), first-level major, of each the number at
        0, 45, 90 and 135 degrees, rows counting downwards as in scikit-image: the second pixel
        lies to the right, below right, below, below left. The last level stands for "outside the
        cell", so that the loop needs no test for the second pixel.
    """
    corner, stride = origin(box, margin)
    n_bins = n_levels + 1
    down = distance * stride
    for k in range(counts.size):
        counts[k] = 0
    for run in range(runs.shape[0]):
        length = runs[run, 2] - runs[run, 1]
        start = corner + (runs[run, 0] - box[0]) * stride + runs[run, 1] - box[2]
        below = start + down
        # Slices that start where the run does: the index is then known to be in range.
        here = patch[start : start + length]
        beside = patch[start + distance : start + distance + length]
        left_below = patch[below - distance : below - distance + length]
        straight_below = patch[below : below + length]
        right_below = patch[below + distance : below + distance + length]
        # Four histograms in one: they need one address, and a run of equal pixels waits on four
        # chains, not on one.
        for k in range(length):
            base = np.uint64(here[k]) * np.uint64(n_bins * N_ANGLES)
            counts[base + np.uint64(beside[k]) * np.uint64(N_ANGLES)] += 1
            counts[base + np.uint64(right_below[k]) * np.uint64(N_ANGLES) + np.uint64(1)] += 1
            counts[base + np.uint64(straight_below[k]) * np.uint64(N_ANGLES) + np.uint64(2)] += 1
            counts[base + np.uint64(left_below[k]) * np.uint64(N_ANGLES) + np.uint64(3)] += 1


@kernel
def level_range(patch, runs, box):
    """Lowest and highest grey level of a cell."""
    corner, stride = origin(box, MARGIN)
    low, high = np.uint8(255), np.uint8(0)
    for run in range(runs.shape[0]):
        start = corner + (runs[run, 0] - box[0]) * stride - box[2]
        here = patch[start + runs[run, 1] : start + runs[run, 2]]
        for k in range(here.size):
            low = min(low, here[k])
            high = max(high, here[k])
    return np.int64(low), np.int64(high)


@kernel
def entropy_of(counts, total, table):
    """Entropy in bits of whole numbers with the sum `total`; `table` as for `weighted_log`."""
    found = 0.0
    for k in range(counts.size):
        if counts[k] == total:  # also where both are 0
            return 0.0
        found += weighted_log(counts[k], table)
    return math.log2(total) - found / total


@kernel
def count_statistics(counts, angle, n_levels, low, high, table, out):
    """The statistics of one angle of what `pairs` counted, every pair taken in both orders.

    Parameters
    ----------
    counts, n_levels
        As for `pairs`.
    angle : int
        Which of the four.
    low, high : int
        Lowest and highest level that occur.
    table : (T,) float64 array
        ``n log2 n`` for n below T.
    out : (25,) float64 array
        Filled as by `statistics`.
    """
    n = high - low + 1
    marginal = np.zeros(n, np.int64)
    sums = np.zeros(2 * n - 1, np.int64)
    differences = np.zeros(n, np.int64)
    most = 0
    squares = 0
    logs = 0.0
    n_bins = n_levels + 1
    for i in range(n):
        across = ((low + i) * n_bins + low) * N_ANGLES + angle
        down = (low * n_bins + low + i) * N_ANGLES + angle
        both = 2 * np.int64(counts[across + i * N_ANGLES])
        most = max(most, both)
        squares += both * both
        logs += weighted_log(both, table)
        marginal[i] += both
        sums[2 * i] += both
        differences[0] += both
        for j in range(i + 1, n):
            both = np.int64(counts[across + j * N_ANGLES]) + np.int64(
                counts[down + j * n_bins * N_ANGLES]
            )
            if both > 0:
                most = max(most, both)
                squares += 2 * both * both
                logs += 2.0 * weighted_log(both, table)
                marginal[i] += both
                marginal[j] += both
                sums[i + j] += 2 * both
                differences[j - i] += 2 * both
    total = 0
    for i in range(n):
        total += marginal[i]
    finish(
        marginal,
        sums,
        differences,
        total,
        low,
        n_levels,
        most,
        squares,
        0.0 if most == total else math.log2(total) - logs / total,
        entropy_of(marginal, total, table),
        entropy_of(sums, total, table),
        entropy_of(differences, total, table),
        out,
    )


@kernel
def over_angles(values, ranged, out):
    """Mean over the angles of every statistic, then the range of those listed in `ranged`.

    Parameters
    ----------
    values : (4, 25) float64 array
        Statistics at 0, 45, 90 and 135 degrees. A NaN is left out; all NaN gives NaN.
    ranged : (M,) int64 array
        Which statistics to give a range for.
    out : (25 + M,) float64 array
        Filled.
    """
    kept = np.empty(N_ANGLES)
    for k in range(N_STATISTICS):
        count = 0
        for angle in range(N_ANGLES):
            value = values[angle, k]
            kept[angle] = 0.0 if np.isnan(value) else value
            count += 0 if np.isnan(value) else 1
        out[k] = np.nan
        if count > 0:
            # A quarter turn swaps 0 with 90 degrees and 45 with 135: in this order the sum of the
            # turned image is the same to the last bit.
            out[k] = ((kept[0] + kept[2]) + (kept[1] + kept[3])) / count
    for place in range(ranged.size):
        low, high = np.inf, -np.inf
        for angle in range(N_ANGLES):
            value = values[angle, ranged[place]]
            if not np.isnan(value):
                low = min(low, value)
                high = max(high, value)
        out[N_STATISTICS + place] = high - low if high >= low else np.nan


@kernel
def matrices(patches, run_starts, runs, boxes, n_levels, distance, margin):
    """Symmetric counts of every cell: (n_cells, 4, n_levels, n_levels) float64.

    Parameters
    ----------
    patches, run_starts, runs, boxes, n_levels, margin
        As for ``patches.patches``, and what it returns.
    distance : int
        Chebyshev distance in pixels, at most the margin.
    """
    n_cells = boxes.shape[0]
    n_bins = n_levels + 1
    out = np.zeros((n_cells, N_ANGLES, n_levels, n_levels))
    counts = np.empty(n_bins * n_bins * N_ANGLES, np.int32)
    place = 0
    for cell in range(n_cells):
        own = runs[run_starts[cell] : run_starts[cell + 1]]
        if own.shape[0] == 0:
            continue
        pairs(patches[place:], own, boxes[cell], n_levels, distance, margin, counts)
        place += patch_size(boxes[cell], margin)
        ordered = counts.reshape(n_bins, n_bins, N_ANGLES)
        for i in range(n_levels):
            for j in range(n_levels):
                for angle in range(N_ANGLES):
                    out[cell, angle, i, j] = ordered[i, j, angle] + ordered[j, i, angle]
    return out


@kernel
def measure(patches, run_starts, runs, boxes, n_levels, distances, ranged, table):
    """Statistics of every cell and distance, over the angles.

    Parameters
    ----------
    patches, run_starts, runs, boxes, n_levels
        As for ``patches.patches``, and what it returns.
    distances : (D,) int64 array
        Chebyshev distances in pixels.
    ranged
        As for `over_angles`.
    table
        As for `count_statistics`.

    Returns
    -------
    (n_cells, D, 25 + M) float64 array
        NaN where there is no pair.
    """
    n_cells = boxes.shape[0]
    out = np.empty((n_cells, distances.size, N_STATISTICS + ranged.size))
    values = np.empty((N_ANGLES, N_STATISTICS))
    counts = np.empty((n_levels + 1) * (n_levels + 1) * N_ANGLES, np.int32)
    place = 0
    for cell in range(n_cells):
        own = runs[run_starts[cell] : run_starts[cell + 1]]
        if own.shape[0] == 0:
            for which in range(distances.size):
                for k in range(out.shape[2]):
                    out[cell, which, k] = np.nan
            continue
        patch, box = patches[place:], boxes[cell]
        place += patch_size(box, MARGIN)
        low, high = level_range(patch, own, box)
        for which in range(distances.size):
            pairs(patch, own, box, n_levels, distances[which], MARGIN, counts)
            for angle in range(N_ANGLES):
                count_statistics(counts, angle, n_levels, low, high, table, values[angle])
            over_angles(values, ranged, out[cell, which])
    return out
