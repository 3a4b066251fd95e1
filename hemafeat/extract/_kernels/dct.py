"""Cosine transforms: a cell resampled to a square, its spectrum, and its 8x8 blocks."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import indices, kernel
from hemafeat.extract._kernels.arrays import total

SUMMARY = ("slope", "spectral_centroid")
"""Statistics of a whole spectrum, after the shares of energy in its bands."""
N_SUMMARY = len(SUMMARY)

AT = indices(SUMMARY)

NOISE = 1e-9
"""Energy (grey levels squared) below which a spectrum is rounding noise."""

BLOCK = 8
"""Side of a block in pixels."""

LANES = 32
"""Number of blocks transformed side by side."""

# Constants rather than arguments, so that the compiler knows that rows do not overlap.
_DOWN = BLOCK * LANES
_C0 = math.sqrt(1 / 8)
_C1, _C2, _C3, _C4, _C5, _C6, _C7 = (0.5 * math.cos(math.pi * k / 16) for k in range(1, 8))


@kernel
def mean_level(plane, runs):
    """Return the mean grey level of one cell."""
    area = 0
    total = 0
    for run in range(runs.shape[0]):
        line = plane[runs[run, 0], runs[run, 1] : runs[run, 2]]
        area += line.size
        part = np.int32(0)
        for k in range(line.size):
            part = np.int32(part + np.int32(line[k]))
        total += part
    return total / area


@kernel
def squeeze_rows(plane, runs, box, size, out):
    """Average one cell less its mean, 0 outside, onto `size` rows; `out` is transposed.

    Lengths are in units of 1/size of a pixel, so that they are integers: pixel p covers
    [size p, size (p + 1)), and new row i covers [i height, (i + 1) height).
    """
    mean = mean_level(plane, runs)
    height, width = box[1] - box[0], box[3] - box[2]
    line_sums = np.empty(width, np.float64)
    first = 0
    for i in range(size):
        line_sums[:] = 0.0
        while first < runs.shape[0] and size * (runs[first, 0] - box[0] + 1) <= i * height:
            first += 1
        run = first
        while run < runs.shape[0] and size * (runs[run, 0] - box[0]) < (i + 1) * height:
            top = size * (runs[run, 0] - box[0])
            weight = (min(top + size, (i + 1) * height) - max(top, i * height)) / height
            line = plane[runs[run, 0], runs[run, 1] : runs[run, 2]]
            target = line_sums[runs[run, 1] - box[2] : runs[run, 2] - box[2]]
            for k in range(line.size):
                target[k] += weight * (line[k] - mean)
            run += 1
        for k in range(width):
            out[k, i] = line_sums[k]


@kernel
def resample(plane, run_starts, runs, boxes, size):
    """Resample the box of every cell, less its mean and 0 outside its mask, to a square.

    Pixels are squares, and each new pixel is the average over the area it covers, whether the box
    is reduced or enlarged.

    Parameters
    ----------
    plane : (H, W) uint8 array
        Grey levels.
    run_starts, runs, boxes
        Pixel runs and bounding boxes of the cells, as returned by the kernels of ``region.runs``.
    size : int
        Side of the square in pixels.

    Returns
    -------
    (n_cells, size, size) float64 array
        Transposed squares (columns first) in grey levels; NaN where a cell has no pixel.
    """
    n_cells = boxes.shape[0]
    out = np.empty((n_cells, size, size), np.float64)
    out[:] = np.nan
    # Rows are padded, so that a column does not map to a single line of the cache.
    tall = np.empty((plane.shape[1], size + 3), np.float64)
    for cell in range(n_cells):
        cell_runs = runs[run_starts[cell] : run_starts[cell + 1]]
        if cell_runs.shape[0] == 0:
            continue
        squeeze_rows(plane, cell_runs, boxes[cell], size, tall)
        width = boxes[cell, 3] - boxes[cell, 2]
        for j in range(size):
            line = out[cell, j]
            line[:] = 0.0
            for p in range(j * width // size, ((j + 1) * width - 1) // size + 1):
                overlap = min(size * (p + 1), (j + 1) * width) - max(size * p, j * width)
                weight = overlap / width
                column = tall[p]
                for i in range(size):
                    line[i] += weight * column[i]
    return out


@kernel
def summarise(spectra, edges, radius, counts, log_radius):
    """Compute shares of energy by radius, slope and centroid of whole spectra.

    Parameters
    ----------
    spectra : (n_cells, N, N) float64 array
        Orthonormal cosine transforms.
    edges : (N, B + 1) int64 array
        Index in each row at which each of the B bands begins, and at which the last one ends.
    radius : (N, N) float64 array
        Distance of each coefficient from that of the mean.
    counts, log_radius : (B,) float64 array
        Number of coefficients in each band, and log10 of their mean radius.

    Returns
    -------
    (n_cells, B + 2) float64 array
        Shares of the bands, then the `SUMMARY`: slope of log10 mean power on log10 mean radius over
        the bands, and centroid. NaN where there is no energy.
    """
    n = spectra.shape[1]
    n_bands = edges.shape[1] - 1
    out = np.empty((spectra.shape[0], n_bands + N_SUMMARY), np.float64)
    out[:] = np.nan
    for cell in range(spectra.shape[0]):
        x = spectra[cell]
        if np.isnan(x[0, 0]):
            continue
        # One sum for each column, as independent additions vectorise.
        columns = np.zeros((n_bands, n), np.float64)
        moments = np.zeros(n, np.float64)
        for u in range(n):
            line, distance = x[u], radius[u]
            for v in range(n):
                moments[v] += distance[v] * (line[v] * line[v])
            for b in range(n_bands):
                sums = columns[b]
                for v in range(edges[u, b], edges[u, b + 1]):
                    sums[v] += line[v] * line[v]
        energy = np.empty(n_bands, np.float64)
        for b in range(n_bands):
            energy[b] = total(columns[b])
        whole = total(energy)
        if whole < NOISE:
            continue
        for b in range(n_bands):
            out[cell, b] = energy[b] / whole
        out[cell, n_bands + AT.spectral_centroid] = total(moments) / whole
        least = energy[0]
        for b in range(n_bands):
            least = min(least, energy[b])
        if least < NOISE:
            continue
        mean_x = total(log_radius) / n_bands
        covariance = 0.0
        variance = 0.0
        for b in range(n_bands):
            distance = log_radius[b] - mean_x
            covariance += distance * math.log10(energy[b] / counts[b])
            variance += distance * distance
        out[cell, n_bands + AT.slope] = covariance / variance
    return out


@kernel
def transform_columns(x):
    """Transform LANES blocks along their columns in place; `x` begins at the first row."""
    for k in range(LANES):
        a, b = x[k] + x[k + 7 * _DOWN], x[k + _DOWN] + x[k + 6 * _DOWN]
        c, d = x[k + 2 * _DOWN] + x[k + 5 * _DOWN], x[k + 3 * _DOWN] + x[k + 4 * _DOWN]
        e, f = x[k] - x[k + 7 * _DOWN], x[k + _DOWN] - x[k + 6 * _DOWN]
        g, h = x[k + 2 * _DOWN] - x[k + 5 * _DOWN], x[k + 3 * _DOWN] - x[k + 4 * _DOWN]
        x[k] = _C0 * ((a + d) + (b + c))
        x[k + 4 * _DOWN] = _C0 * ((a + d) - (b + c))
        x[k + 2 * _DOWN] = _C2 * (a - d) + _C6 * (b - c)
        x[k + 6 * _DOWN] = _C6 * (a - d) - _C2 * (b - c)
        x[k + _DOWN] = _C1 * e + _C3 * f + _C5 * g + _C7 * h
        x[k + 3 * _DOWN] = _C3 * e - _C7 * f - _C1 * g - _C5 * h
        x[k + 5 * _DOWN] = _C5 * e - _C1 * f + _C7 * g + _C3 * h
        x[k + 7 * _DOWN] = _C7 * e - _C5 * f + _C3 * g - _C1 * h


@kernel
def transform_rows(x):
    """Transform LANES blocks along their rows in place, where the 8 values lie LANES apart."""
    for k in range(LANES):
        a, b = x[k] + x[k + 7 * LANES], x[k + LANES] + x[k + 6 * LANES]
        c, d = x[k + 2 * LANES] + x[k + 5 * LANES], x[k + 3 * LANES] + x[k + 4 * LANES]
        e, f = x[k] - x[k + 7 * LANES], x[k + LANES] - x[k + 6 * LANES]
        g, h = x[k + 2 * LANES] - x[k + 5 * LANES], x[k + 3 * LANES] - x[k + 4 * LANES]
        x[k] = _C0 * ((a + d) + (b + c))
        x[k + 4 * LANES] = _C0 * ((a + d) - (b + c))
        x[k + 2 * LANES] = _C2 * (a - d) + _C6 * (b - c)
        x[k + 6 * LANES] = _C6 * (a - d) - _C2 * (b - c)
        x[k + LANES] = _C1 * e + _C3 * f + _C5 * g + _C7 * h
        x[k + 3 * LANES] = _C3 * e - _C7 * f - _C1 * g - _C5 * h
        x[k + 5 * LANES] = _C5 * e - _C1 * f + _C7 * g + _C3 * h
        x[k + 7 * LANES] = _C7 * e - _C5 * f + _C3 * g - _C1 * h


@kernel
def transform(x):
    """Transform LANES blocks in place; `x` is a flat (8, 8, LANES) float64 array."""
    for j in range(BLOCK):
        transform_columns(x[j * LANES :])
    for i in range(BLOCK):
        transform_rows(x[i * _DOWN :])


@kernel
def gather(plane, corners, count, out):
    """Copy the pixels of `count` blocks to a flat (8, 8, LANES) array; other lanes are 0.

    Sums and differences of equal pixels are exact, so that the transform of a flat block is exactly
    0 except for the mean.
    """
    if count < LANES:
        out[:] = 0.0
    for lane in range(count):
        row, column = corners[lane, 0], corners[lane, 1]
        target = out[lane:]
        for i in range(BLOCK):
            line = plane[row + i, column : column + BLOCK]
            for j in range(BLOCK):
                target[(i * BLOCK + j) * LANES] = line[j]


@kernel
def line_sum(plane, runs, line, along):
    """Return the sum of the levels of one row (`along` 0) or column (1) of a cell, plus 1 each."""
    total = 0
    for run in range(runs.shape[0]):
        row, a, b = runs[run, 0], runs[run, 1], runs[run, 2]
        if along == 1:
            if a <= line < b:
                total += np.int64(plane[row, line]) + 1
        elif row == line:
            for column in range(a, b):
                total += np.int64(plane[row, column]) + 1
    return total


@kernel
def first_line(plane, runs, first, stop, along):
    """Return the first row (`along` 0) or column (1) of the grid of blocks of a cell.

    The grid is centred in ``first .. stop - 1``. Where that leaves an odd number of lines, it lies
    nearer to the side whose outermost line has the larger sum of levels, plus 1 for each pixel, or
    the next line that differs, so that it moves with the cell when that is mirrored.
    """
    rest = (stop - first) % BLOCK
    offset = rest // 2
    if rest % 2 == 1:
        for k in range((stop - first) // 2):
            near = line_sum(plane, runs, first + k, along)
            far = line_sum(plane, runs, stop - 1 - k, along)
            if near != far:
                return first + offset + (1 if near < far else 0)
    return first + offset


@kernel
def find_blocks(plane, runs, box, corners):
    """Find the 8x8 blocks that lie entirely inside one cell, and return their number.

    Parameters
    ----------
    plane : (H, W) uint8 array
        Grey levels, which decide where the grid of blocks begins, see `first_line`.
    runs : (M, 3) int64 array
        Pixel runs of the cell: row, first column, column after the last one.
    box : (4,) int64 array
        Row start, row stop, column start, column stop of the cell.
    corners : (K, 2) int64 array
        Filled with the first row and first column of each block.
    """
    n_wide = (box[3] - box[2]) // BLOCK
    n_high = (box[1] - box[0]) // BLOCK
    top = first_line(plane, runs, box[0], box[1], np.int64(0))
    left = first_line(plane, runs, box[2], box[3], np.int64(1))
    # Number of rows of each block that lie entirely in the cell.
    covered = np.zeros((n_high, n_wide), np.int64)
    for run in range(runs.shape[0]):
        high = (runs[run, 0] - top) // BLOCK
        first = max((runs[run, 1] - left + BLOCK - 1) // BLOCK, 0)
        stop = min((runs[run, 2] - left) // BLOCK, n_wide)
        if 0 <= high < n_high:
            for wide in range(first, stop):
                covered[high, wide] += 1
    count = 0
    for high in range(n_high):
        for wide in range(n_wide):
            if covered[high, wide] == BLOCK:
                corners[count, 0] = top + BLOCK * high
                corners[count, 1] = left + BLOCK * wide
                count += 1
    return count


@kernel
def block_shares(plane, run_starts, runs, boxes, group):
    """Compute the shares of low, middle and high frequencies in the energy of the blocks.

    Parameters
    ----------
    plane : (H, W) uint8 array
        Grey levels.
    run_starts, runs, boxes
        Pixel runs and bounding boxes of the cells, as returned by the kernels of ``region.runs``.
    group : (8, 8) int64 array
        Group of each coefficient: 0 for low, 1 for middle, 2 for high; -1 for the mean.

    Returns
    -------
    (n_cells, 3) float64 array
        Shares of the three groups; NaN where no block lies inside or all blocks are flat.
    """
    out = np.empty((boxes.shape[0], 3), np.float64)
    out[:] = np.nan
    x = np.empty(BLOCK * BLOCK * LANES, np.float64)
    for cell in range(boxes.shape[0]):
        cell_runs = runs[run_starts[cell] : run_starts[cell + 1]]
        corners = np.empty((cell_runs.shape[0] * plane.shape[1] // BLOCK**2 + 1, 2), np.int64)
        count = find_blocks(plane, cell_runs, boxes[cell], corners)
        lanes = np.zeros((3, LANES), np.float64)
        for first in range(0, count, LANES):
            gather(plane, corners[first:], min(LANES, count - first), x)
            transform(x)
            for position in range(1, BLOCK * BLOCK):
                line = x[position * LANES : (position + 1) * LANES]
                sums = lanes[group[position // BLOCK, position % BLOCK]]
                for k in range(LANES):
                    sums[k] += line[k] * line[k]
        low, middle, high = total(lanes[0]), total(lanes[1]), total(lanes[2])
        whole = low + middle + high
        if whole >= NOISE:
            out[cell, 0], out[cell, 1], out[cell, 2] = low / whole, middle / whole, high / whole
    return out


@kernel
def block_mean_logs(plane, run_starts, runs, boxes, zigzag):
    """Compute the mean of log10(1 + |X_k|) over the blocks inside each cell.

    Parameters
    ----------
    plane, run_starts, runs, boxes
        Plane and cells, as for `block_shares`.
    zigzag : (K, 2) int64 array
        Rows and columns of the coefficients to report.

    Returns
    -------
    (n_cells, K) float64 array
        Means; NaN where no block lies inside.
    """
    n_coefficients = zigzag.shape[0]
    out = np.empty((boxes.shape[0], n_coefficients), np.float64)
    out[:] = np.nan
    x = np.empty(BLOCK * BLOCK * LANES, np.float64)
    for cell in range(boxes.shape[0]):
        cell_runs = runs[run_starts[cell] : run_starts[cell + 1]]
        corners = np.empty((cell_runs.shape[0] * plane.shape[1] // BLOCK**2 + 1, 2), np.int64)
        count = find_blocks(plane, cell_runs, boxes[cell], corners)
        logs = np.zeros(n_coefficients, np.float64)
        for first in range(0, count, LANES):
            gather(plane, corners[first:], min(LANES, count - first), x)
            transform(x)
            for k in range(n_coefficients):
                position = zigzag[k, 0] * BLOCK + zigzag[k, 1]
                line = x[position * LANES : (position + 1) * LANES]
                factors = 1.0
                for lane in range(LANES):
                    factors *= 1.0 + abs(line[lane])
                # The logarithm of a product is far cheaper than a sum of logarithms. A factor is
                # at most 1 + 8 * 255, and the product of 32 is far below the largest float.
                logs[k] += math.log10(factors)
        if count > 0:
            for k in range(n_coefficients):
                out[cell, k] = logs[k] / count
    return out
