"""Openings by squares of increasing size, and the volume of a cell that each of them removes."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import indices, kernel

MOMENTS = ("mean", "sd", "skewness", "entropy")
"""Moments of the radius under a pattern spectrum, and its entropy in bits."""
N_MOMENTS = len(MOMENTS)

AT = indices(MOMENTS)


@kernel
def highest(values, step, out):
    """Set out[k] to the largest of the values k, k + step and k + 2 step.

    Both are flat uint8 arrays. Applied to maxima of windows of w values it gives those of windows
    of w + 2 step, where step <= w.
    """
    n = values.size - 2 * step
    first, second = values[:n], values[step : step + n]
    third = values[2 * step : 2 * step + n]
    target = out[:n]
    for k in range(n):
        target[k] = max(max(first[k], second[k]), third[k])


@kernel
def widen(plane, spare, start, stop, stride):
    """Turn the maxima of squares of side `start` into those of side `stop`, in place.

    Parameters
    ----------
    plane : (N,) uint8 array
        A flat plane with rows of `stride` pixels. Value k belongs to the square whose first pixel,
        not its middle, is k.
    spare : (N,) uint8 array
        Work space, overwritten.
    start, stop : int
        Sides of the squares: odd numbers, ``start <= stop``.
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
    """Copy one cell, its levels XOR `flip`, into a flat plane of zeros with a margin."""
    level[:] = 0
    inside[:] = 0
    for run in range(runs.shape[0]):
        row, first, stop = runs[run, 0], runs[run, 1], runs[run, 2]
        start = (row - box[0] + margin) * stride + margin - box[2]
        line = plane[row, first:stop]
        levels, within = level[start + first : start + stop], inside[start + first : start + stop]
        for k in range(line.size):
            levels[k] = line[k] ^ flip
            within[k] = 255


@kernel
def volume(level, stride):
    """Return the sum of a flat plane; up to 256 rows are added up in 16 bits."""
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
    """Replace `level` by its opening by a square of one radius, where that is lower.

    Parameters
    ----------
    radius : int
        Radius of the square, which has the side 2 radius + 1.
    eroded : (N,) uint8 array
        255 less the lowest level of the square whose first pixel is k.
    opened, spare : (N,) uint8 array
        Work space, overwritten.
    level : (N,) uint8 array
        Levels, changed in place.
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
    """Compute the volume of every cell after openings and closings by squares.

    An opening is the upper envelope of all flat squares that fit under the levels. It is computed
    from the pixels of the cell alone: squares are centred in the cell and clipped to it. Near a bay
    such a square can keep what a smaller one removes; the lowest opening so far counts, so that
    volumes never increase. A closing is the opening of the complement.

    Parameters
    ----------
    plane : (H, W) uint8 array
        Levels.
    run_starts, runs, boxes
        Pixel runs and bounding boxes of the cells, as returned by the kernels of ``region.runs``.
    radii : (R,) int64 array
        Radii of the squares in pixels, ascending.

    Returns
    -------
    (n_cells, 2, R + 1) int64 array
        Sum of the levels before and after each opening, and of their complements before and after
        each closing.
    """
    n_cells = boxes.shape[0]
    out = np.zeros((n_cells, 2, radii.size + 1), np.int64)
    margin = np.int64(0)
    for index in range(radii.size):
        margin = max(margin, radii[index])
    for cell in range(n_cells):
        cell_runs = runs[run_starts[cell] : run_starts[cell + 1]]
        if cell_runs.shape[0] == 0:
            continue
        # The margin between two rows serves the end of the first and the beginning of the second.
        stride = boxes[cell, 3] - boxes[cell, 2] + margin
        size = (boxes[cell, 1] - boxes[cell, 0] + 2 * margin + 1) * stride
        level, inside = np.empty(size, np.uint8), np.empty(size, np.uint8)
        eroded, opened = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
        spare = np.zeros(size, np.uint8)
        for sign in range(2):
            fill(plane, cell_runs, boxes[cell], stride, margin, np.uint8(255 * sign), level, inside)
            out[cell, sign, 0] = volume(level, stride)
            for k in range(size):
                eroded[k] = inside[k] & ~level[k]
            side = np.int64(1)
            for index in range(radii.size):
                widen(eroded, spare, side, 2 * radii[index] + 1, stride)
                side = 2 * radii[index] + 1
                open_by(radii[index], eroded, opened, spare, level, inside, stride)
                out[cell, sign, index + 1] = volume(level, stride)
    return out


@kernel
def spectra(cell_volumes, radii, area):
    """Compute pattern spectra with their moments and entropy.

    Parameters
    ----------
    cell_volumes : (n_cells, 2, R + 1) int64 array
        Volumes as returned by `volumes`.
    radii : (R,) int64 array
        Radii of the squares in pixels.
    area : (n_cells,) int64 array
        Number of pixels of each cell.

    Returns
    -------
    (n_cells, 2 (R + 4)) float64 array
        Volume that each opening removes, as a share of the volume of the levels, then the `MOMENTS`
        of this spectrum; the same for closings, as a share of the same volume. NaN where a cell has
        no pixel or no volume.
    """
    n_radii = radii.size
    n_columns = n_radii + N_MOMENTS
    removed = np.empty(n_radii, np.int64)
    out = np.empty((cell_volumes.shape[0], 2 * n_columns), np.float64)
    out[:] = np.nan
    for cell in range(cell_volumes.shape[0]):
        whole = cell_volumes[cell, 0, 0]
        if area[cell] == 0 or whole == 0:
            continue
        for sign in range(2):
            row = out[cell, sign * n_columns : (sign + 1) * n_columns]
            moments = row[n_radii:]
            largest = total = 0
            for k in range(n_radii):
                removed[k] = cell_volumes[cell, sign, k] - cell_volumes[cell, sign, k + 1]
                row[k] = removed[k] / whole
                largest = max(largest, removed[k])
                total += removed[k]
            if total == 0:
                continue
            mean = 0.0
            entropy = 0.0
            for k in range(n_radii):
                p = removed[k] / total
                mean += p * radii[k]
                entropy -= p * math.log2(p) if p > 0.0 else 0.0
            second = 0.0
            third = 0.0
            for k in range(n_radii):
                deviation = radii[k] - mean
                second += removed[k] / total * deviation**2
                third += removed[k] / total * deviation**3
            moments[AT.mean] = mean
            moments[AT.sd] = math.sqrt(second)
            if largest < total:
                moments[AT.skewness] = third / second**1.5
            # Adding zero turns the -0.0 of a spectrum of one size into 0.0.
            moments[AT.entropy] = entropy + 0.0
    return out
