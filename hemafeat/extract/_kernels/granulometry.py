"""Openings by growing squares, and how much of a cell each of them takes away."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel


@kernel
def highest(given, step, out):
    """out[k] is the largest of three values of `given` that lie `step` apart, k the first.

    All are flat uint8 arrays. Of windows of w values it makes windows of w + 2 step, step <= w.
    """
    n = given.size - 2 * step
    here, there, beyond = given[:n], given[step : step + n], given[2 * step : 2 * step + n]
    into = out[:n]
    for k in range(n):
        into[k] = max(max(here[k], there[k]), beyond[k])


@kernel
def widen(plane, spare, start, stop, stride):
    """Make largest values of squares of side `stop` out of those of side `start`, in place.

    Parameters
    ----------
    plane : (N,) uint8 array
        A flat plane, `stride` pixels to a row. Value k belongs to the square whose first pixel is
        k, not its middle.
    spare : (N,) uint8 array
        Overwritten.
    start, stop : int
        Odd numbers, ``start <= stop``.
    stride : int
        Length of a row.
    """
    side = start
    while side < stop:
        step = min(side, (stop - side) // 2)
        highest(plane, step, spare)
        highest(spare, step * stride, plane)
        side += 2 * step


@kernel
def fill(plane, runs, box, stride, margin, flip, level, inside):
    """Lay one cell into a flat plane of zeros with a margin, its levels XOR `flip`."""
    level[:] = 0
    inside[:] = 0
    for run in range(runs.shape[0]):
        row, first, stop = runs[run, 0], runs[run, 1], runs[run, 2]
        start = (row - box[0] + margin) * stride + margin - box[2]
        line = plane[row, first:stop]
        into, within = level[start + first : start + stop], inside[start + first : start + stop]
        for k in range(line.size):
            into[k] = line[k] ^ flip
            within[k] = 255


@kernel
def volume(level, stride):
    """Sum of a flat plane, row upon row in 16 bits, 256 rows at a time."""
    total = 0
    sums = np.zeros(stride, np.uint16)
    n_rows = level.size // stride
    for row in range(n_rows):
        line = level[row * stride : (row + 1) * stride]
        for k in range(stride):
            sums[k] += line[k]
        if row % 256 == 255 or row + 1 == n_rows:
            for k in range(stride):
                total += np.int64(sums[k])
            sums[:] = 0
    return total


@kernel
def open_by(radius, eroded, opened, spare, level, inside, stride):
    """Take the opening by a square of one radius off `level`, where it is lower.

    Parameters
    ----------
    radius : int
        The square has the side 2 radius + 1.
    eroded : (N,) uint8 array
        255 less the lowest level of the square whose first pixel is k.
    opened, spare : (N,) uint8 array
        Overwritten.
    level : (N,) uint8 array
        Changed.
    inside : (N,) uint8 array
        255 in the cell, 0 outside.
    stride : int
        Length of a row.
    """
    # From the first pixel of a square to its middle.
    shift = radius * (stride + 1)
    n = level.size - shift
    within, kept = inside[shift:], opened[shift:]
    opened[:shift] = 0
    for k in range(n):
        kept[k] = within[k] & ~eroded[k]
    widen(opened, spare, np.int64(1), 2 * radius + 1, stride)
    values = level[shift:]
    for k in range(n):
        values[k] = min(values[k], opened[k] & within[k])


@kernel
def volumes(plane, run_starts, runs, boxes, radii):
    """Volume of every cell after openings and closings by squares of growing radius.

    An opening is the upper envelope of all flat squares that fit under the levels. It is taken
    over the pixels of the cell alone: squares are centred in the cell and cut to it. Near a bay
    such a square can keep what a smaller one does not; the lowest of the openings so far counts,
    so that volumes only fall. A closing is the opening of the complement.

    Parameters
    ----------
    plane : (H, W) uint8 array
        Levels.
    run_starts, runs, boxes
        As ``regions.find_runs`` and ``regions.pixels`` give them.
    radii : (R,) int64 array
        Growing.

    Returns
    -------
    (n_cells, 2, R + 1) int64 array
        Sum of the levels before and after each opening, and of their complements before and after
        each closing.
    """
    n_cells = boxes.shape[0]
    out = np.zeros((n_cells, 2, radii.size + 1), np.int64)
    margin = radii.max()
    for cell in range(n_cells):
        own = runs[run_starts[cell] : run_starts[cell + 1]]
        if own.shape[0] == 0:
            continue
        # One margin between rows serves the right end of a row and the left end of the next.
        stride = boxes[cell, 3] - boxes[cell, 2] + margin
        size = (boxes[cell, 1] - boxes[cell, 0] + 2 * margin + 1) * stride
        level, inside = np.empty(size, np.uint8), np.empty(size, np.uint8)
        eroded, opened = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
        spare = np.zeros(size, np.uint8)
        for sign in range(2):
            fill(plane, own, boxes[cell], stride, margin, np.uint8(255 * sign), level, inside)
            out[cell, sign, 0] = volume(level, stride)
            for k in range(size):
                eroded[k] = inside[k] & ~level[k]
            side = np.int64(1)
            for place in range(radii.size):
                widen(eroded, spare, side, 2 * radii[place] + 1, stride)
                side = 2 * radii[place] + 1
                open_by(radii[place], eroded, opened, spare, level, inside, stride)
                out[cell, sign, place + 1] = volume(level, stride)
    return out


@kernel
def spectra(given, radii, area):
    """Pattern spectra, with mean, sd, skewness and entropy of each.

    Parameters
    ----------
    given : (n_cells, 2, R + 1) int64 array
        As `volumes` gives them.
    radii : (R,) int64 array
        Their radii.
    area : (n_cells,) int64 array
        Pixels of each cell.

    Returns
    -------
    (n_cells, 2 (R + 4)) float64 array
        What each opening takes away, over the volume of the levels; then the moments of the radius
        under it and its entropy in bits; the same for closings, over the same volume.
    """
    n_radii = radii.size
    out = np.full((given.shape[0], 2 * (n_radii + 4)), np.nan)
    for cell in range(given.shape[0]):
        whole = given[cell, 0, 0]
        if area[cell] == 0 or whole == 0:
            continue
        for sign in range(2):
            into = out[cell, sign * (n_radii + 4) : (sign + 1) * (n_radii + 4)]
            lost = given[cell, sign, :-1] - given[cell, sign, 1:]
            for k in range(n_radii):
                into[k] = lost[k] / whole
            total = lost.sum()
            if total == 0:
                continue
            mean = 0.0
            entropy = 0.0
            for k in range(n_radii):
                p = lost[k] / total
                mean += p * radii[k]
                entropy -= p * math.log2(p) if p > 0.0 else 0.0
            second = 0.0
            third = 0.0
            for k in range(n_radii):
                away = radii[k] - mean
                second += lost[k] / total * away**2
                third += lost[k] / total * away**3
            into[n_radii] = mean
            into[n_radii + 1] = math.sqrt(second)
            if lost.max() < total:
                into[n_radii + 2] = third / second**1.5
            # Adding zero turns the -0.0 of a spectrum of one size into 0.0.
            into[n_radii + 3] = entropy + 0.0
    return out
