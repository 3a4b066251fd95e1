"""Grey-level runs along four directions."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.patches import MARGIN, origin, patch_size

N_ANGLES = 4


@kernel
def run_matrices(patches, run_starts, runs, boxes, n_levels):
    """Runs by angle, length and grey level, for every cell.

    Each pixel is counted by the length that its run has reached there, coming from the left or from
    above. A run of length n passes each of 1..n once, so the difference of neighbouring lengths is
    the number of runs: no pixel needs to know whether its run goes on.

    Parameters
    ----------
    patches, run_starts, runs, boxes, n_levels
        As for ``patches.patches``, and what it returns.

    Returns
    -------
    (n_cells, 4, longest run, n_levels) int64 array
        At 0, 45, 90 and 135 degrees, rows counting downwards: from the left, from above left, from
        above, from above right.
    """
    n_cells = boxes.shape[0]
    wide = longest = 1
    for cell in range(n_cells):
        wide = max(wide, boxes[cell, 3] - boxes[cell, 2])
        longest = max(longest, boxes[cell, 1] - boxes[cell, 0], boxes[cell, 3] - boxes[cell, 2])
    # Lengths are kept multiplied by the places that one length takes in the histogram.
    step = n_levels * N_ANGLES
    reached = np.zeros((n_cells, (longest + 1) * step), np.int32)
    upright = np.empty(wide, np.int32)
    falling = np.empty(wide + 1, np.int32)
    rising = np.empty(wide + 1, np.int32)
    falling_before = np.empty(wide + 1, np.int32)
    rising_before = np.empty(wide + 1, np.int32)
    place = 0
    for cell in range(n_cells):
        run, end = run_starts[cell], run_starts[cell + 1]
        if end == run:
            continue
        found = reached[cell]
        box = boxes[cell]
        width = box[3] - box[2]
        corner, stride = origin(box, MARGIN)
        for k in range(width):
            upright[k] = 0
        for k in range(width + 1):
            falling[k] = rising[k] = falling_before[k] = rising_before[k] = 0
        for row in range(box[1] - box[0]):
            start = place + corner + row * stride
            here = patches[start : start + width]
            above = patches[start - stride : start - stride + width]
            left_above = patches[start - stride - 1 : start - stride - 1 + width]
            right_above = patches[start - stride + 1 : start - stride + 1 + width]
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
            while run < end and runs[run, 0] - box[0] == row:
                first, stop = runs[run, 1] - box[2], runs[run, 2] - box[2]
                levels = here[first:stop]
                down_right, down = falling_here[first:stop], upright[first:stop]
                down_left = rising[first:stop]
                previous = np.uint64(n_levels)
                across = np.uint64(0)
                for k in range(stop - first):
                    level = np.uint64(levels[k])
                    across = (across if level == previous else np.uint64(0)) + np.uint64(step)
                    previous = level
                    base = level * np.uint64(N_ANGLES)
                    found[base + across] += 1
                    found[base + np.uint64(down_right[k]) + np.uint64(1)] += 1
                    found[base + np.uint64(down[k]) + np.uint64(2)] += 1
                    found[base + np.uint64(down_left[k]) + np.uint64(3)] += 1
                run += 1
        place += patch_size(box, MARGIN)
    # Where a length is reached, so is every shorter one.
    used = 0
    for cell in range(n_cells):
        some = 1
        while used < longest and some > 0:
            some = 0
            for k in range((used + 1) * step, (used + 2) * step):
                some += reached[cell, k]
            used += some > 0
    out = np.empty((n_cells, N_ANGLES, used, n_levels), np.int64)
    for cell in range(n_cells):
        for length in range(used):
            for level in range(n_levels):
                for angle in range(N_ANGLES):
                    k = (length + 1) * step + level * N_ANGLES + angle
                    beyond = reached[cell, k + step] if length + 1 < used else 0
                    out[cell, angle, length, level] = reached[cell, k] - beyond
    return out
