"""Regions packed into bits, so that 64 pixels of a row are handled at a time."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import inlined, kernel

EVERY_OTHER = np.uint64(0x5555555555555555)
PAIRS = np.uint64(0x3333333333333333)
NIBBLES = np.uint64(0x0F0F0F0F0F0F0F0F)


@kernel
def pack(runs, rows, width):
    """Pack a region into words of 64 pixels, from its runs.

    Parameters
    ----------
    runs, rows
        Runs of the region, see ``runs.local_runs``.
    width : int
        Width of its box.

    Returns
    -------
    (words + 2, height + 2) uint64 array
        Bit j of ``[w + 1, r + 1]`` is column 64 w + j of row r; the border is zero. Words of one
        column are contiguous, so that a loop over rows reads memory in order.
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


@inlined
def unpack_pixels(bits):
    """Return the (row, column) of every pixel of a packed region, (K, 2) int64 in raster order."""
    n_columns, n_rows = bits.shape
    one = np.uint64(1)
    n = 0
    for w in range(1, n_columns - 1):
        for r in range(1, n_rows - 1):
            left = bits[w, r]
            while left != 0:
                left &= left - one
                n += 1
    pixels = np.empty((n, 2), np.int64)
    n = 0
    for r in range(1, n_rows - 1):
        for w in range(1, n_columns - 1):
            left = bits[w, r]
            if left == 0:
                continue
            for j in range(64):
                if (left >> np.uint64(j)) & one:
                    pixels[n, 0] = r - 1
                    pixels[n, 1] = 64 * (w - 1) + j
                    n += 1
    return pixels


@kernel
def unpack_runs(bits):
    """Return the runs of a packed region, indexed by row as in ``runs.local_runs``."""
    n_columns, n_rows = bits.shape
    runs = np.empty((32 * n_columns * n_rows + 1, 3), np.int64)
    rows = np.zeros(n_rows - 1, np.int64)
    one, top = np.uint64(1), np.uint64(63)
    n = 0
    for r in range(1, n_rows - 1):
        inside = False
        last = np.uint64(0)
        for w in range(1, n_columns):
            word = bits[w, r]
            changes = word ^ ((word << one) | (last >> top))
            last = word
            while changes != np.uint64(0):
                column = 64 * (w - 1) + trailing_zeros(changes)
                changes &= changes - one
                if inside:
                    runs[n, 2] = column
                    n += 1
                else:
                    runs[n, 0] = r - 1
                    runs[n, 1] = column
                inside = not inside
        rows[r] = n
    return runs[:n], rows


@inlined
def trailing_zeros(word):
    """Return the index of the lowest set bit of a word that is not 0."""
    below = (word & (~word + np.uint64(1))) - np.uint64(1)
    below -= (below >> np.uint64(1)) & EVERY_OTHER
    below = (below & PAIRS) + ((below >> np.uint64(2)) & PAIRS)
    return np.int64(sum_nibbles(below))


@kernel
def sum_nibbles(word):
    """Add up the counts of 0 to 4 that the 16 groups of 4 bits of a word hold."""
    word = (word + (word >> np.uint64(4))) & NIBBLES
    # A multiplication would need one step, but NumPy warns of its overflow without the JIT.
    word += word >> np.uint64(8)
    word += word >> np.uint64(16)
    word += word >> np.uint64(32)
    return word & np.uint64(127)
