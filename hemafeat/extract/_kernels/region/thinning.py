"""Thinning after Guo and Hall, 64 pixels of a row at a time."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel


@kernel
def packed(runs, rows, width):
    """Bits of a region from its runs (moved to the corner of the box).

    Returns
    -------
    (words + 2, height + 2) uint64 array
        Bit j of ``[w + 1, r + 1]`` is column 64 w + j of row r; zeros all around. Word after word,
        so that a loop over rows runs through memory.
    """
    height = rows.size - 1
    n_words = (width + 63) // 64
    bits = np.zeros((n_words + 2, height + 2), np.uint64)
    one = np.uint64(1)
    full = ~np.uint64(0)
    for run in range(runs.shape[0]):
        row, first, stop = runs[run, 0], runs[run, 1], runs[run, 2]
        for word in range(first // 64, (stop - 1) // 64 + 1):
            low, high = max(first - 64 * word, 0), min(stop - 64 * word, 64)
            mask = full if high - low == 64 else (one << np.uint64(high - low)) - one
            bits[word + 1, row + 1] |= mask << np.uint64(low)
    return bits


@kernel
def sweep(before, here, after, into, second, first_row, last_row):
    """One half step of Guo and Hall on one column of words; which bits went.

    The conditions are those of `skimage.morphology.thin`.

    `before` and `after` are the columns of words to the west and to the east.
    """
    n = last_row - first_row
    one, top = np.uint64(1), np.uint64(63)
    up, mid, down = here[first_row - 1 :], here[first_row:], here[first_row + 1 :]
    up_w, mid_w, down_w = before[first_row - 1 :], before[first_row:], before[first_row + 1 :]
    up_e, mid_e, down_e = after[first_row - 1 :], after[first_row:], after[first_row + 1 :]
    out = into[first_row:]
    gone = np.uint64(0)
    for r in range(n):
        north, south, middle = up[r], down[r], mid[r]
        north_east = (north >> one) | (up_e[r] << top)
        east = (middle >> one) | (mid_e[r] << top)
        south_east = (south >> one) | (down_e[r] << top)
        north_west = (north << one) | (up_w[r] >> top)
        west = (middle << one) | (mid_w[r] >> top)
        south_west = (south << one) | (down_w[r] >> top)
        # One arc of neighbours: a straight neighbour missing, and one of the next two there.
        once = ~east & (north_east | north)
        step = ~north & (north_west | west)
        more = once & step
        once |= step
        step = ~west & (south_west | south)
        more |= once & step
        once |= step
        step = ~south & (south_east | east)
        more |= once & step
        once |= step
        # Two or three of the four pairs of neighbours are there, paired either way around.
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
        remove = middle & once & ~more & two & ~four & ~keep
        out[r] = middle & ~remove
        gone |= remove
    return gone


@kernel
def thinned(bits):
    """Skeleton of a region given as `packed` bits, in the same form.

    Every step looks only at the rows of a column of words that are next to what the last one has
    changed, there or in the columns beside it.
    """
    n_columns, n_rows = bits.shape
    current, other = bits.copy(), bits.copy()
    first = np.ones(n_columns, np.int64)
    last = np.full(n_columns, n_rows - 1)
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
                here, into = current[w], other[w]
                if sweep(current[w - 1], here, current[w + 1], into, half, a, b) != 0:
                    while here[a] == into[a]:
                        a += 1
                    while here[b - 1] == into[b - 1]:
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


@kernel
def set_pixels(bits):
    """(K, 2) int64 row and column of every bit, in raster order."""
    n_columns, n_rows = bits.shape
    one = np.uint64(1)
    n = 0
    for w in range(1, n_columns - 1):
        for r in range(1, n_rows - 1):
            left = bits[w, r]
            while left != 0:
                left &= left - one
                n += 1
    found = np.empty((n, 2), np.int64)
    n = 0
    for r in range(1, n_rows - 1):
        for w in range(1, n_columns - 1):
            left = bits[w, r]
            if left == 0:
                continue
            for j in range(64):
                if (left >> np.uint64(j)) & one:
                    found[n, 0] = r - 1
                    found[n, 1] = 64 * (w - 1) + j
                    n += 1
    return found
