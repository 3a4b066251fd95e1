"""Grey-level runs along four directions."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.extents import N_STATISTICS, statistics
from hemafeat.extract._kernels.patches import origin, patch_size

N_ANGLES = 4


@kernel
def reached(patch, runs, box, n_levels):
    """Pixels by the length their run has reached, coming from the left or from above.

    Every run of length n passes each of 1..n once, so the difference of neighbouring lengths is
    the number of runs: no pixel needs to know whether its run goes on.

    Parameters
    ----------
    patch, box
        Of the cell; see ``patches``.
    runs : (M, 3) int64 array
        The cell's pixels: row, first column, column after the last one.
    n_levels : int
        Number of grey levels.

    Returns
    -------
    (longest possible, n_levels, 4) int32 array
        Pixels whose run has reached length k + 1 at 0, 45, 90 and 135 degrees, rows counting
        downwards: from the left, from above left, from above, from above right.
    """
    height, width = box[1] - box[0], box[3] - box[2]
    corner, stride = origin(box)
    # Lengths are kept multiplied by the places that one length takes in the histogram.
    step = n_levels * N_ANGLES
    found = np.zeros((max(height, width) + 1) * step, np.int32)
    upright = np.zeros(width, np.int32)
    falling = np.zeros(width + 1, np.int32)
    rising = np.zeros(width + 1, np.int32)
    falling_before = np.zeros(width + 1, np.int32)
    rising_before = np.zeros(width + 1, np.int32)
    run = 0
    for row in range(height):
        start = corner + row * stride
        here = patch[start : start + width]
        above = patch[start - stride : start - stride + width]
        left_above = patch[start - stride - 1 : start - stride - 1 + width]
        right_above = patch[start - stride + 1 : start - stride + 1 + width]
        falling, falling_before = falling_before, falling
        rising, rising_before = rising_before, rising
        # Length at column k: falling[k + 1], rising[k]; what lies beyond the ends stays 0.
        falling_here = falling[1:]
        rising_above = rising_before[1:]
        for k in range(width):
            upright[k] = (upright[k] if here[k] == above[k] else 0) + step
        for k in range(width):
            falling_here[k] = (falling_before[k] if here[k] == left_above[k] else 0) + step
        for k in range(width):
            rising[k] = (rising_above[k] if here[k] == right_above[k] else 0) + step
        while run < runs.shape[0] and runs[run, 0] - box[0] == row:
            first, stop = runs[run, 1] - box[2], runs[run, 2] - box[2]
            n = stop - first
            levels = here[first:stop]
            down_right, down = falling_here[first:stop], upright[first:stop]
            down_left = rising[first:stop]
            previous = np.uint64(n_levels)
            across = np.uint64(0)
            for k in range(n):
                level = np.uint64(levels[k])
                across = (across if level == previous else np.uint64(0)) + np.uint64(step)
                previous = level
                base = level * np.uint64(N_ANGLES)
                found[base + across] += 1
                found[base + np.uint64(down_right[k]) + np.uint64(1)] += 1
                found[base + np.uint64(down[k]) + np.uint64(2)] += 1
                found[base + np.uint64(down_left[k]) + np.uint64(3)] += 1
            run += 1
    return found.reshape(-1, n_levels, N_ANGLES)[1:]


@kernel
def lengths(found, angle):
    """(longest run, n_levels) int64: runs of each length and level, of what `reached` returns."""
    longest = 0
    while longest < found.shape[0] and found[longest, :, angle].sum() > 0:
        longest += 1
    counts = np.empty((longest, found.shape[1]), np.int64)
    for k in range(longest):
        for level in range(found.shape[1]):
            beyond = found[k + 1, level, angle] if k + 1 < longest else 0
            counts[k, level] = found[k, level, angle] - beyond
    return counts


@kernel
def run_matrices(patches, run_starts, runs, boxes, n_levels):
    """Runs by angle, grey level and length, for every cell.

    Parameters
    ----------
    patches, run_starts, runs, boxes, n_levels
        As for ``patches.patches``, and what it returns.

    Returns
    -------
    (n_cells, 4, n_levels, longest run) int64 array
    """
    n_cells = boxes.shape[0]
    wide = 0
    for cell in range(n_cells):
        wide = max(wide, boxes[cell, 1] - boxes[cell, 0], boxes[cell, 3] - boxes[cell, 2])
    out = np.zeros((n_cells, N_ANGLES, n_levels, wide), np.int64)
    longest = 1
    place = 0
    for cell in range(n_cells):
        own = runs[run_starts[cell] : run_starts[cell + 1]]
        if own.shape[0] == 0:
            continue
        found = reached(patches[place:], own, boxes[cell], n_levels)
        place += patch_size(boxes[cell])
        for angle in range(N_ANGLES):
            counts = lengths(found, angle)
            longest = max(longest, counts.shape[0])
            for k in range(counts.shape[0]):
                out[cell, angle, :, k] = counts[k]
    return out[:, :, :, :longest].copy()


@kernel
def measure(patches, run_starts, runs, boxes, n_levels, table):
    """Statistics of every cell, each the mean over the angles.

    Parameters
    ----------
    patches, run_starts, runs, boxes, n_levels
        As for `run_matrices`.
    table
        As for ``extents.statistics``.

    Returns
    -------
    (n_cells, 16) float64 array
    """
    n_cells = boxes.shape[0]
    out = np.full((n_cells, N_STATISTICS - 1), np.nan)
    values = np.empty((N_ANGLES, N_STATISTICS))
    place = 0
    for cell in range(n_cells):
        own = runs[run_starts[cell] : run_starts[cell + 1]]
        if own.shape[0] == 0:
            continue
        found = reached(patches[place:], own, boxes[cell], n_levels)
        place += patch_size(boxes[cell])
        for angle in range(N_ANGLES):
            counts = lengths(found, angle)
            statistics(counts, np.arange(1, counts.shape[0] + 1), table, values[angle])
        for k in range(out.shape[1]):
            # In this order a turn by 90 degrees, which swaps 0 with 2 and 1 with 3, changes no bit.
            out[cell, k] = ((values[0, k] + values[2, k]) + (values[1, k] + values[3, k])) / 4.0
    return out
