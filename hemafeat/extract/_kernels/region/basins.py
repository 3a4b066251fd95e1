"""Lobes of a region: the maxima of depth, and the saddles that part them.

Depth is the distance to the nearest pixel outside, squared, as ``distance.depths`` gives it. Pixels
are in one order: the deeper first, among equals the one before in the image. A pixel's upper
neighbours are those of its 8 before it in this order. Where they lie in one arc around it, nothing
happens to the parts above; a pixel without any is a peak, one with several arcs may join parts.
"""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel
from hemafeat.extract._kernels.region.contour import root

AROUND = np.array(
    [(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)], dtype=np.int64
)
"""The 8 neighbours on the way around; bit k of a pixel's `upper` is neighbour k."""


@kernel
def upper_neighbours(depth):
    """(H, W) uint8: which neighbours of a pixel come before it, a bit each; 0 outside too.

    `depth` has an edge of zeros.
    """
    height, width = depth.shape
    upper = np.zeros((height, width), np.uint8)
    n = width - 2
    for row in range(1, height - 1):
        up, mid, down = depth[row - 1], depth[row], depth[row + 1]
        up_w, up_n, up_e = up[:n], up[1 : n + 1], up[2 : n + 2]
        west, here, east = mid[:n], mid[1 : n + 1], mid[2 : n + 2]
        down_w, down_s, down_e = down[:n], down[1 : n + 1], down[2 : n + 2]
        out = upper[row, 1 : n + 1]
        for k in range(n):
            v = here[k]
            bits = np.int32(east[k] > v) + np.int32(2) * np.int32(up_e[k] >= v)
            bits += np.int32(4) * np.int32(up_n[k] >= v) + np.int32(8) * np.int32(up_w[k] >= v)
            bits += np.int32(16) * np.int32(west[k] >= v) + np.int32(32) * np.int32(down_w[k] > v)
            bits += np.int32(64) * np.int32(down_s[k] > v) + np.int32(128) * np.int32(down_e[k] > v)
            out[k] = bits if v > 0 else np.int32(0)
    return upper


def _arcs() -> np.ndarray:
    """(256,) int64: arcs of set bits around a pixel.

    Diagonal neighbours next to a straight one touch it; two straight ones next to each other touch
    at a corner, whatever lies between them.
    """
    table = np.zeros(256, np.int64)
    for bits in range(256):
        for k in range(8):
            previous = bits >> (k + 7) % 8 & 1
            # A straight neighbour also touches the straight one before the corner.
            before = bits >> (k + 6) % 8 & 1 if k % 2 == 0 else 0
            table[bits] += bits >> k & 1 and not previous and not before
    return np.maximum(table, np.arange(256) > 0)


ARCS = _arcs()


@kernel
def climb(depth, upper, row, column):
    """The peak above a pixel, by the first of its upper neighbours each time."""
    bits = upper[row, column]
    while bits != 0:
        best = -1
        at_row = at_column = 0
        for k in range(8):
            if bits >> k & 1:
                r, c = row + AROUND[k, 0], column + AROUND[k, 1]
                v = depth[r, c]
                if v > best or (v == best and (r < at_row or (r == at_row and c < at_column))):
                    best = v
                    at_row, at_column = r, c
        row, column = at_row, at_column
        bits = upper[row, column]
    return row, column


@kernel
def merges(depth, upper):
    """How the parts of the region above a depth join as the depth sinks.

    Returns
    -------
    peaks : (P, 3) int64 array
        Row, column and squared depth of every peak, in raster order.
    saddle : (P,) int64 array
        Squared depth at which the part of each peak joins one with an earlier peak; 0 where it
        never does.
    beside : (P,) int64 array
        The peak that the saddle leads to on the other side; -1 where there is none.
    """
    height, width = depth.shape
    peaks = np.empty((depth.size, 3), np.int64)
    saddles = np.empty((depth.size, 3), np.int64)
    number = np.empty((height, width), np.int32)
    n_peaks = n_saddles = 0
    for row in range(1, height - 1):
        line, above = depth[row], upper[row]
        for column in range(1, width - 1):
            n = ARCS[above[column]]
            if n == 1 or line[column] == 0:
                continue
            if n == 0:
                peaks[n_peaks] = row, column, np.int64(line[column])
                number[row, column] = n_peaks
                n_peaks += 1
            else:
                saddles[n_saddles] = row, column, np.int64(line[column])
                n_saddles += 1
    peaks, saddles = peaks[:n_peaks], saddles[:n_saddles]
    parent = np.arange(n_peaks)
    saddle = np.zeros(n_peaks, np.int64)
    beside = np.full(n_peaks, -1, np.int64)
    for k in deepest_first(saddles):
        row, column = saddles[k, 0], saddles[k, 1]
        bits = upper[row, column]
        first = -1
        for j in range(8):
            if bits >> j & 1:
                r, c = climb(depth, upper, row + AROUND[j, 0], column + AROUND[j, 1])
                peak = np.int64(number[r, c])
                if first < 0:
                    first = peak
                    continue
                one, two = root(parent, first), root(parent, peak)
                if one == two:
                    continue
                lower, other = two, first
                if peaks[two, 2] > peaks[one, 2] or (peaks[two, 2] == peaks[one, 2] and two < one):
                    lower, other = one, peak
                parent[lower] = one + two - lower
                saddle[lower] = saddles[k, 2]
                beside[lower] = other
    return peaks, saddle, beside


@kernel
def deepest_first(pixels):
    """Order of (row, column, squared depth), the deepest first, equals as they come."""
    n = pixels.shape[0]
    most = 0
    for k in range(n):
        most = max(most, pixels[k, 2])
    place = np.zeros(most + 2, np.int64)
    for k in range(n):
        place[most - pixels[k, 2] + 1] += 1
    for depth in range(most + 1):
        place[depth + 1] += place[depth]
    order = np.empty(n, np.int64)
    for k in range(n):
        slot = most - pixels[k, 2]
        order[place[slot]] = k
        place[slot] += 1
    return order


@kernel
def basins(depth, peaks, home):
    """Pixels of each lobe.

    A pixel belongs to the lobe of its first upper neighbour, and so on up to a peak; ``home`` is
    the lobe of each peak.
    """
    height, width = depth.shape
    owner = np.full((height, width), -1, np.int32)
    for peak in range(peaks.shape[0]):
        owner[peaks[peak, 0], peaks[peak, 1]] = home[peak]
    sizes = np.zeros(home.max() + 1, np.int64)
    path = np.empty((depth.size, 2), np.int64)
    for row in range(1, height - 1):
        for column in range(1, width - 1):
            if depth[row, column] == 0:
                continue
            n = 0
            r, c = row, column
            while owner[r, c] < 0:
                path[n, 0] = r
                path[n, 1] = c
                n += 1
                best = -1
                at_row = at_column = 0
                # In raster order, so that of equals the first one stays.
                for y in range(r - 1, r + 2):
                    for x in range(c - 1, c + 2):
                        if depth[y, x] > best and (y != r or x != c):
                            best = depth[y, x]
                            at_row, at_column = y, x
                r, c = at_row, at_column
            lobe = owner[r, c]
            for k in range(n):
                owner[path[k, 0], path[k, 1]] = lobe
            sizes[lobe] += 1
    return sizes
