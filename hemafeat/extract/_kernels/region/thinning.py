"""Thinning by the algorithm of Guo and Hall, on regions packed into bits."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel


@kernel
def thin_column(before, centre, after, into, second, first_row, last_row):
    """Do half a step of Guo and Hall on one column of words, as `skimage.morphology.thin` does.

    Parameters
    ----------
    before, centre, after : (height + 2,) uint64 arrays
        Columns of words to the west, in the middle and to the east.
    into : (height + 2,) uint64 array
        Filled with the middle column after the step.
    second : int
        0 for the first half of the step, 1 for the second.
    first_row, last_row : int
        Rows to look at, without the last.

    Returns
    -------
    uint64
        Bits that were removed, of all rows together.
    """
    n = last_row - first_row
    one, top = np.uint64(1), np.uint64(63)
    up, mid, down = centre[first_row - 1 :], centre[first_row:], centre[first_row + 1 :]
    up_w, mid_w, down_w = before[first_row - 1 :], before[first_row:], before[first_row + 1 :]
    up_e, mid_e, down_e = after[first_row - 1 :], after[first_row:], after[first_row + 1 :]
    out = into[first_row:]
    removed = np.uint64(0)
    for r in range(n):
        north, south, middle = up[r], down[r], mid[r]
        north_east = (north >> one) | (up_e[r] << top)
        east = (middle >> one) | (mid_e[r] << top)
        south_east = (south >> one) | (down_e[r] << top)
        north_west = (north << one) | (up_w[r] >> top)
        west = (middle << one) | (mid_w[r] >> top)
        south_west = (south << one) | (down_w[r] >> top)
        # Exactly one arc of neighbours: a missing straight one followed by one that is present.
        once = ~east & (north_east | north)
        step = ~north & (north_west | west)
        repeated = once & step
        once |= step
        step = ~west & (south_west | south)
        repeated |= once & step
        once |= step
        step = ~south & (south_east | east)
        repeated |= once & step
        once |= step
        # Two or three of the four pairs of neighbours are occupied, paired either way around.
        a, b, c, d = east | north_east, north | north_west, west | south_west, south | south_east
        two = ((a | b) & (c | d)) | (a & b) | (c & d)
        four = a & b & c & d
        a, b, c, d = north_east | north, north_west | west, south_west | south, south_east | east
        two &= ((a | b) & (c | d)) | (a & b) | (c & d)
        four &= a & b & c & d
        if second:
            keep = (south_west | south | ~north_west) & west
        else:
            keep = (north_east | north | ~south_east) & east
        remove = middle & once & ~repeated & two & ~four & ~keep
        out[r] = middle & ~remove
        removed |= remove
    return removed


@kernel
def thin(bits):
    """Return the skeleton of a packed region by the thinning of Guo and Hall, packed as well.

    A step only visits rows next to those that the last step changed, in the same column of words or
    beside it.
    """
    n_columns, n_rows = bits.shape
    current, other = bits.copy(), bits.copy()
    first = np.empty(n_columns, np.int64)
    first[:] = 1
    last = np.empty(n_columns, np.int64)
    last[:] = n_rows - 1
    low, high = np.empty(n_columns, np.int64), np.empty(n_columns, np.int64)
    busy = True
    while busy:
        low[:] = n_rows
        high[:] = 0
        for half in range(2):
            for w in range(1, n_columns - 1):
                a, b = first[w], last[w]
                if a >= b:
                    continue
                column, into = current[w], other[w]
                if thin_column(current[w - 1], column, current[w + 1], into, half, a, b) != 0:
                    while column[a] == into[a]:
                        a += 1
                    while column[b - 1] == into[b - 1]:
                        b -= 1
                    low[w] = min(low[w], a)
                    high[w] = max(high[w], b)
            current, other = other, current
        busy = False
        for w in range(1, n_columns - 1):
            a = min(low[w - 1], low[w], low[w + 1]) - 1
            b = max(high[w - 1], high[w], high[w + 1]) + 1
            first[w], last[w] = max(a, 1), min(b, n_rows - 1)
            busy |= first[w] < last[w]
    return current
