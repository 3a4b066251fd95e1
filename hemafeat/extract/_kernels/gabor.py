"""Magnitudes of the responses to Gabor filters, by convolutions along rows and columns."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import indices, kernel

N_ANGLES = 6
ANGLES = tuple(range(0, 180, 180 // N_ANGLES))
"""Directions across the waves in degrees, clockwise from the rows."""

COLUMNS = (
    *(f"mean_{angle:03d}" for angle in ANGLES),
    *(f"sd_{angle:03d}" for angle in ANGLES),
    "mean",
    "sd",
    "anisotropy",
)
"""Results for each wavelength."""
N_COLUMNS = len(COLUMNS)

AT = indices(COLUMNS)

TAPS = 4
"""Number of taps added at once, so that sums are read and written a quarter as often."""


@kernel
def wave(sigma, frequency, reach):
    """Return cosine and sine under a Gaussian over -reach..reach, filled up with zeros.

    The sum of the Gaussian is about 1; the length is a multiple of `TAPS`.
    """
    size = (2 * reach + TAPS) // TAPS * TAPS
    even, odd = np.zeros(size, np.float64), np.zeros(size, np.float64)
    for k in range(2 * reach + 1):
        x = k - reach
        bell = math.exp(-0.5 * (x / sigma) ** 2) / (math.sqrt(2.0 * math.pi) * sigma)
        even[k] = bell * math.cos(2.0 * math.pi * frequency * x)
        odd[k] = bell * math.sin(2.0 * math.pi * frequency * x)
    return even, odd


@kernel
def convolve_rows(plane, first, taps, out):
    """Sum up the rows from `first` on, weighted by the taps."""
    out[:] = 0.0
    for t in range(0, taps.size, TAPS):
        a, b, c, d = taps[t], taps[t + 1], taps[t + 2], taps[t + 3]
        row_a, row_b = plane[first + t], plane[first + t + 1]
        row_c, row_d = plane[first + t + 2], plane[first + t + 3]
        for k in range(out.size):
            out[k] += (a * row_a[k] + b * row_b[k]) + (c * row_c[k] + d * row_d[k])


@kernel
def convolve_rows_twice(plane, first, even, odd, out, other):
    """Do the same as `convolve_rows` with two sets of taps at once."""
    out[:] = 0.0
    other[:] = 0.0
    for t in range(0, even.size, TAPS):
        a, b, c, d = even[t], even[t + 1], even[t + 2], even[t + 3]
        e, f, g, h = odd[t], odd[t + 1], odd[t + 2], odd[t + 3]
        row_a, row_b = plane[first + t], plane[first + t + 1]
        row_c, row_d = plane[first + t + 2], plane[first + t + 3]
        for k in range(out.size):
            out[k] += (a * row_a[k] + b * row_b[k]) + (c * row_c[k] + d * row_d[k])
            other[k] += (e * row_a[k] + f * row_b[k]) + (g * row_c[k] + h * row_d[k])


@kernel
def convolve_along(line, first, taps, out):
    """Sum up the shifted values of one row from `first` on, weighted by the taps."""
    out[:] = 0.0
    n = out.size
    for t in range(0, taps.size, TAPS):
        a, b, c, d = taps[t], taps[t + 1], taps[t + 2], taps[t + 3]
        shift_a = line[first + t : first + t + n + TAPS]
        shift_b, shift_c, shift_d = shift_a[1:], shift_a[2:], shift_a[3:]
        for k in range(n):
            out[k] += (a * shift_a[k] + b * shift_b[k]) + (c * shift_c[k] + d * shift_d[k])


@kernel
def convolve_along_twice(line, first, even, odd, out, other):
    """Do the same as `convolve_along` with two sets of taps at once."""
    out[:] = 0.0
    other[:] = 0.0
    n = out.size
    for t in range(0, even.size, TAPS):
        a, b, c, d = even[t], even[t + 1], even[t + 2], even[t + 3]
        e, f, g, h = odd[t], odd[t + 1], odd[t + 2], odd[t + 3]
        shift_a = line[first + t : first + t + n + TAPS]
        shift_b, shift_c, shift_d = shift_a[1:], shift_a[2:], shift_a[3:]
        for k in range(n):
            out[k] += (a * shift_a[k] + b * shift_b[k]) + (c * shift_c[k] + d * shift_d[k])
            other[k] += (e * shift_a[k] + f * shift_b[k]) + (g * shift_c[k] + h * shift_d[k])


@kernel
def add_magnitudes(real, imaginary, squares, sums):
    """Add the magnitudes of the pixels of a row, and their squares, to the sums."""
    for k in range(real.size):
        power = real[k] * real[k] + imaginary[k] * imaginary[k]
        squares[k] += power
        sums[k] += math.sqrt(power)


@kernel
def add_responses(plane, runs, box, margin, wavelength, sums, squares):
    """Sum up the magnitudes of the responses to six filters of one wavelength, and their squares.

    Parameters
    ----------
    plane : (h + 2 margin + 4, w + 2 margin + 4) float64 array
        Values of one cell less their mean, 0 outside, beginning at (margin, margin).
    runs, box
        Pixel runs and bounding box of the cell in the image.
    margin : int
        Margin of the plane, at least the reach of the filters.
    wavelength : float
        Wavelength in pixels.
    sums, squares : (6, w) float64 array
        Sums of each column at 0, 30 ... 150 degrees, which are added to.
    """
    # The bandwidth is one octave at half height, as in scikit-image.
    sigma = math.sqrt(math.log(2.0) / 2.0) / math.pi * 3.0 * wavelength
    f = 1.0 / wavelength
    reach = math.ceil(3.0 * sigma)
    short_reach = math.ceil(3.0 * sigma * math.cos(math.pi / 6.0))
    slow, fast = 0.5 * f, math.cos(math.pi / 6.0) * f
    bell, _ = wave(sigma, 0.0, reach)
    even, odd = wave(sigma, f, reach)
    even_slow, odd_slow = wave(sigma, slow, short_reach)
    even_fast, odd_fast = wave(sigma, fast, short_reach)
    width = plane.shape[1]
    lines = np.empty((7, width), np.float64)
    columns = np.empty((4, width), np.float64)
    row = -1
    for run in range(runs.shape[0]):
        if runs[run, 0] != row:
            row = runs[run, 0]
            middle = row - box[0] + margin
            convolve_rows(plane, middle - reach, bell, lines[0])
            start = middle - reach
            convolve_rows_twice(plane, start, even, odd, lines[1], lines[2])
            start = middle - short_reach
            convolve_rows_twice(plane, start, even_slow, odd_slow, lines[3], lines[4])
            convolve_rows_twice(plane, start, even_fast, odd_fast, lines[5], lines[6])
        start, stop = runs[run, 1] - box[2], runs[run, 2] - box[2]
        n = stop - start
        a, b, c, d = columns[0, :n], columns[1, :n], columns[2, :n], columns[3, :n]
        first = start + margin - reach
        convolve_along_twice(lines[0], first, even, odd, a, b)
        add_magnitudes(a, b, squares[0, start:stop], sums[0, start:stop])
        convolve_along(lines[1], first, bell, a)
        convolve_along(lines[2], first, bell, b)
        add_magnitudes(a, b, squares[3, start:stop], sums[3, start:stop])
        first = start + margin - short_reach
        for steep in range(2):
            # Fast along x and slow along y is 30 degrees, the reverse 60.
            if steep == 0:
                convolve_along_twice(lines[3], first, even_fast, odd_fast, a, b)
                convolve_along_twice(lines[4], first, even_fast, odd_fast, c, d)
            else:
                convolve_along_twice(lines[5], first, even_slow, odd_slow, a, b)
                convolve_along_twice(lines[6], first, even_slow, odd_slow, c, d)
            for k in range(n):
                # (a + i b)(1) and (c + i d) i make up the filter and its mirror image.
                p, q, r, s = a[k], b[k], c[k], d[k]
                a[k], b[k], c[k], d[k] = p - s, q + r, p + s, r - q
            add_magnitudes(a, b, squares[1 + steep, start:stop], sums[1 + steep, start:stop])
            add_magnitudes(c, d, squares[5 - steep, start:stop], sums[5 - steep, start:stop])


@kernel
def measure(levels, density, run_starts, runs, boxes, wavelengths):
    """Compute mean and standard deviation of the magnitudes within every cell.

    Parameters
    ----------
    levels : (H, W) uint8 array
        Grey levels.
    density : (256,) float64 array
        Optical density of each grey level.
    run_starts, runs, boxes
        Pixel runs and bounding boxes of the cells, as returned by the kernels of ``region.runs``.
    wavelengths : (S,) float64 array
        Wavelengths in pixels.

    Returns
    -------
    (n_cells, S, 15) float64 array
        The `COLUMNS` of each wavelength: means and standard deviations at each angle, the mean of
        both, and the range of the means over their mean. NaN where there is no pixel.
    """
    n_cells = boxes.shape[0]
    n_scales = wavelengths.size
    out = np.empty((n_cells, n_scales, N_COLUMNS), np.float64)
    out[:] = np.nan
    margin = math.ceil(3.0 * 0.57 * wavelengths.max())
    for cell in range(n_cells):
        cell_runs = runs[run_starts[cell] : run_starts[cell + 1]]
        if cell_runs.shape[0] == 0:
            continue
        box = boxes[cell]
        height, width = box[1] - box[0], box[3] - box[2]
        plane = np.zeros((height + 2 * margin + TAPS, width + 2 * margin + 2 * TAPS), np.float64)
        area = 0
        total = 0.0
        for run in range(cell_runs.shape[0]):
            line = levels[cell_runs[run, 0], cell_runs[run, 1] : cell_runs[run, 2]]
            area += line.size
            for k in range(line.size):
                total += density[line[k]]
        mean = total / area
        lowest, highest = 255, 0
        for run in range(cell_runs.shape[0]):
            line = levels[cell_runs[run, 0], cell_runs[run, 1] : cell_runs[run, 2]]
            start = cell_runs[run, 1] - box[2] + margin
            target = plane[cell_runs[run, 0] - box[0] + margin, start : start + line.size]
            for k in range(line.size):
                target[k] = density[line[k]] - mean
                lowest, highest = min(lowest, line[k]), max(highest, line[k])
        if lowest == highest:
            # Differences from the mean are rounding errors.
            plane[:] = 0.0
        for scale in range(n_scales):
            sums, squares = (
                np.zeros((N_ANGLES, width), np.float64),
                np.zeros((N_ANGLES, width), np.float64),
            )
            add_responses(plane, cell_runs, box, margin, wavelengths[scale], sums, squares)
            row = out[cell, scale]
            for angle in range(N_ANGLES):
                average = sums[angle].sum() / area
                row[AT.mean_000 + angle] = average
                spread = squares[angle].sum() / area - average * average
                row[AT.sd_000 + angle] = math.sqrt(max(spread, 0.0))
            means = row[AT.mean_000 : AT.mean_000 + N_ANGLES]
            row[AT.mean] = means.mean()
            row[AT.sd] = row[AT.sd_000 : AT.sd_000 + N_ANGLES].mean()
            if lowest < highest:
                row[AT.anisotropy] = (means.max() - means.min()) / row[AT.mean]
    return out
