"""Grey-level run lengths: counts of runs along four directions."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.patches import MARGIN, origin, patch_size

N_ANGLES = 4


@kernel
def run_matrices(patches, run_starts, runs, boxes, n_levels):
    """Count the runs of every cell by angle, length and grey level.

    Each pixel is counted by the length that its run has reached there, coming from the left or from
    above. A run of length n passes each of 1..n once, so the difference of the counts of
    neighbouring lengths is the number of runs, and no pixel needs to know whether its run goes on.

    Parameters
    ----------
    patches, run_starts, runs, boxes, n_levels
        Patches of the cells and the arguments of ``patches.patches`` they were cut with.

    Returns
    -------
    (n_cells, 4, longest run, n_levels) int64 array
        Counts at 0, 45, 90 and 135 degrees, rows counting downwards: runs that come from the left,
        from above left, from above, from above right.
    """
    n_cells = boxes.shape[0]
    widest = longest = 1
    for cell in range(n_cells):
        widest = max(widest, boxes[cell, 3] - boxes[cell, 2])
        longest = max(longest, boxes[cell, 1] - boxes[cell, 0], boxes[cell, 3] - boxes[cell, 2])
    # Lengths are stored multiplied by the number of bins that one length takes in the histogram.
    step = n_levels * N_ANGLES
    reached = np.zeros((n_cells, (longest + 1) * step), np.int32)
    upright = np.empty(widest, np.int32)
    falling = np.empty(widest + 1, np.int32)
    rising = np.empty(widest + 1, np.int32)
    falling_before = np.empty(widest + 1, np.int32)
    rising_before = np.empty(widest + 1, np.int32)
    offset = 0
    for cell in range(n_cells):
        run, end = run_starts[cell], run_starts[cell + 1]
        if end == run:
            continue
        histogram = reached[cell]
        box = boxes[cell]
        width = box[3] - box[2]
        corner, stride = origin(box, MARGIN)
        for k in range(width):
            upright[k] = 0
        for k in range(width + 1):
            falling[k] = rising[k] = falling_before[k] = rising_before[k] = 0
        for row in range(box[1] - box[0]):
            start = offset + corner + row * stride
            centre = patches[start : start + width]
            above = patches[start - stride : start - stride + width]
            left_above = patches[start - stride - 1 : start - stride - 1 + width]
            right_above = patches[start - stride + 1 : start - stride + 1 + width]
            falling, falling_before = falling_before, falling
            rising, rising_before = rising_before, rising
            # The length at column k is falling[k + 1] and rising[k]; beyond the ends it stays 0.
            falling_here = falling[1:]
            rising_above = rising_before[1:]
            for k in range(width):
                upright[k] = (upright[k] if centre[k] == above[k] else 0) + step
            for k in range(width):
                falling_here[k] = (falling_before[k] if centre[k] == left_above[k] else 0) + step
            for k in range(width):
                rising[k] = (rising_above[k] if centre[k] == right_above[k] else 0) + step
            while run < end and runs[run, 0] - box[0] == row:
                first, stop = runs[run, 1] - box[2], runs[run, 2] - box[2]
                levels = centre[first:stop]
                down_right, down = falling_here[first:stop], upright[first:stop]
                down_left = rising[first:stop]
                previous = np.uint64(n_levels)
                across = np.uint64(0)
                for k in range(stop - first):
                    level = np.uint64(levels[k])
                    across = (across if level == previous else np.uint64(0)) + np.uint64(step)
                    previous = level
                    base = level * np.uint64(N_ANGLES)
                    histogram[base + across] += 1
                    histogram[base + np.uint64(down_right[k]) + np.uint64(1)] += 1
                    histogram[base + np.uint64(down[k]) + np.uint64(2)] += 1
                    histogram[base + np.uint64(down_left[k]) + np.uint64(3)] += 1
                run += 1
        offset += patch_size(box, MARGIN)
    # A length that is reached implies every shorter one.
    n_lengths = 0
    for cell in range(n_cells):
        n_reached = 1
        while n_lengths < longest and n_reached > 0:
            n_reached = 0
            for k in range((n_lengths + 1) * step, (n_lengths + 2) * step):
                n_reached += reached[cell, k]
            n_lengths += n_reached > 0
    out = np.empty((n_cells, N_ANGLES, n_lengths, n_levels), np.int64)
    for cell in range(n_cells):
        for length in range(n_lengths):
            for level in range(n_levels):
                for angle in range(N_ANGLES):
                    k = (length + 1) * step + level * N_ANGLES + angle
                    longer = reached[cell, k + step] if length + 1 < n_lengths else 0
                    out[cell, angle, length, level] = reached[cell, k] - longer
    return out
