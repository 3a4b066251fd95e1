"""Opening of a region by an octagon, 64 pixels of a row at a time."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel

EVERY_OTHER = np.uint64(0x5555555555555555)
PAIRS = np.uint64(0x3333333333333333)
NIBBLES = np.uint64(0x0F0F0F0F0F0F0F0F)


@kernel
def added(word):
    """Sum of the counts of 0 to 4 in the 16 groups of 4 bits of a word."""
    word = (word + (word >> np.uint64(4))) & NIBBLES
    # Not by one multiplication, which overflows where it is not compiled.
    word += word >> np.uint64(8)
    word += word >> np.uint64(16)
    word += word >> np.uint64(32)
    return word & np.uint64(127)


@kernel
def opened(bits, radius):
    """The region without what no octagon of this radius inside it covers.

    `bits` are those of ``thinning.packed``. Steps are a plus of 5 pixels and a square of 9 in
    turn.
    """
    current, other = bits.copy(), bits.copy()
    full = ~np.uint64(0)
    for step in range(2 * radius):
        # Eroding is dilating what is outside; the edge of zeros is never written to.
        flip = full if step < radius else np.uint64(0)
        square = (step if step < radius else 2 * radius - 1 - step) % 2 == 1
        for w in range(1, bits.shape[0] - 1):
            grow(current[w - 1], current[w], current[w + 1], other[w], flip, square)
        current, other = other, current
    return current


@kernel
def grow(before, here, after, into, flip, square):
    """One step on one column of words: `flip` is 0 to grow and all ones to shrink."""
    n = here.size - 2
    one, top = np.uint64(1), np.uint64(63)
    up, mid, down = here[:n], here[1 : n + 1], here[2 : n + 2]
    out = into[1 : n + 1]
    if square:
        for r in range(n):
            # The three rows may be joined before the columns are, for a square.
            middle = (up[r] ^ flip) | (mid[r] ^ flip) | (down[r] ^ flip)
            west = (before[r] ^ flip) | (before[r + 1] ^ flip) | (before[r + 2] ^ flip)
            east = (after[r] ^ flip) | (after[r + 1] ^ flip) | (after[r + 2] ^ flip)
            out[r] = (
                middle | (middle << one) | (west >> top) | (middle >> one) | (east << top)
            ) ^ flip
    else:
        for r in range(n):
            middle = mid[r] ^ flip
            around = (up[r] ^ flip) | (down[r] ^ flip) | (middle << one) | (middle >> one)
            west, east = before[r + 1] ^ flip, after[r + 1] ^ flip
            out[r] = (middle | around | (west >> top) | (east << top)) ^ flip


@kernel
def trailing_zeros(word):
    """Place of the lowest set bit of a word that has one."""
    below = (word & (~word + np.uint64(1))) - np.uint64(1)
    below -= (below >> np.uint64(1)) & EVERY_OTHER
    below = (below & PAIRS) + ((below >> np.uint64(2)) & PAIRS)
    return np.int64(added(below))


@kernel
def runs_of(bits):
    """Runs (row, first, stop) of a region given as bits, and where each row's runs are."""
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
