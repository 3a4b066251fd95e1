"""Magnitudes of Gabor filters within a mask, by convolutions along rows and columns."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel

N_ANGLES = 6
TAPS = 4
"""Taps added at once: sums are then read and written a quarter as often."""


@kernel
def wave(sigma, frequency, reach):
    """Cosine and sine under a Gaussian of sum about 1, over -reach..reach, and zeros to fill up."""
    size = (2 * reach + TAPS) // TAPS * TAPS
    even, odd = np.zeros(size), np.zeros(size)
    for k in range(2 * reach + 1):
        x = k - reach
        bell = math.exp(-0.5 * (x / sigma) ** 2) / (math.sqrt(2.0 * math.pi) * sigma)
        even[k] = bell * math.cos(2.0 * math.pi * frequency * x)
        odd[k] = bell * math.sin(2.0 * math.pi * frequency * x)
    return even, odd


@kernel
def convolve_rows(plane, first, taps, out):
    """Sum of the rows from `first` on, times the taps."""
    out[:] = 0.0
    for t in range(0, taps.size, TAPS):
        a, b, c, d = taps[t], taps[t + 1], taps[t + 2], taps[t + 3]
        one, two = plane[first + t], plane[first + t + 1]
        three, four = plane[first + t + 2], plane[first + t + 3]
        for k in range(out.size):
            out[k] += (a * one[k] + b * two[k]) + (c * three[k] + d * four[k])


@kernel
def convolve_rows_twice(plane, first, even, odd, out, other):
    """As `convolve_rows`, with two sets of taps at once."""
    out[:] = 0.0
    other[:] = 0.0
    for t in range(0, even.size, TAPS):
        a, b, c, d = even[t], even[t + 1], even[t + 2], even[t + 3]
        e, f, g, h = odd[t], odd[t + 1], odd[t + 2], odd[t + 3]
        one, two = plane[first + t], plane[first + t + 1]
        three, four = plane[first + t + 2], plane[first + t + 3]
        for k in range(out.size):
            out[k] += (a * one[k] + b * two[k]) + (c * three[k] + d * four[k])
            other[k] += (e * one[k] + f * two[k]) + (g * three[k] + h * four[k])


@kernel
def convolve_along(line, first, taps, out):
    """Sum of the values of one row from `first` on, times the taps."""
    out[:] = 0.0
    n = out.size
    for t in range(0, taps.size, TAPS):
        a, b, c, d = taps[t], taps[t + 1], taps[t + 2], taps[t + 3]
        here = line[first + t : first + t + n + TAPS]
        one, two, three = here[1:], here[2:], here[3:]
        for k in range(n):
            out[k] += (a * here[k] + b * one[k]) + (c * two[k] + d * three[k])


@kernel
def convolve_along_twice(line, first, even, odd, out, other):
    """As `convolve_along`, with two sets of taps at once."""
    out[:] = 0.0
    other[:] = 0.0
    n = out.size
    for t in range(0, even.size, TAPS):
        a, b, c, d = even[t], even[t + 1], even[t + 2], even[t + 3]
        e, f, g, h = odd[t], odd[t + 1], odd[t + 2], odd[t + 3]
        here = line[first + t : first + t + n + TAPS]
        one, two, three = here[1:], here[2:], here[3:]
        for k in range(n):
            out[k] += (a * here[k] + b * one[k]) + (c * two[k] + d * three[k])
            other[k] += (e * here[k] + f * one[k]) + (g * two[k] + h * three[k])


@kernel
def add_magnitudes(real, imaginary, squares, sums):
    """Add magnitudes and their squares, pixel by pixel of a row."""
    for k in range(real.size):
        power = real[k] * real[k] + imaginary[k] * imaginary[k]
        squares[k] += power
        sums[k] += math.sqrt(power)


@kernel
def respond(plane, runs, box, margin, wavelength, sums, squares):
    """Sums of the magnitudes of six filters of one wavelength, and of their squares.

    Parameters
    ----------
    plane : (h + 2 margin + 4, w + 2 margin + 4) float64 array
        One cell without its mean, 0 outside, from (margin, margin) on.
    runs, box
        Its pixels and bounding box in the image.
    margin : int
        At least the reach of the filters.
    wavelength : float
        In pixels.
    sums, squares : (6, w) float64 array
        Of each column at 0, 30 ... 150 degrees; added to.
    """
    # One octave wide at half its height, as scikit-image has it.
    sigma = math.sqrt(math.log(2.0) / 2.0) / math.pi * 3.0 * wavelength
    f = 1.0 / wavelength
    far = math.ceil(3.0 * sigma)
    near = math.ceil(3.0 * sigma * math.cos(math.pi / 6.0))
    slow, fast = 0.5 * f, math.cos(math.pi / 6.0) * f
    bell, _ = wave(sigma, 0.0, far)
    even, odd = wave(sigma, f, far)
    even_slow, odd_slow = wave(sigma, slow, near)
    even_fast, odd_fast = wave(sigma, fast, near)
    width = plane.shape[1]
    lines = np.empty((7, width))
    columns = np.empty((4, width))
    row = -1
    for run in range(runs.shape[0]):
        if runs[run, 0] != row:
            row = runs[run, 0]
            middle = row - box[0] + margin
            convolve_rows(plane, middle - far, bell, lines[0])
            start = middle - far
            convolve_rows_twice(plane, start, even, odd, lines[1], lines[2])
            start = middle - near
            convolve_rows_twice(plane, start, even_slow, odd_slow, lines[3], lines[4])
            convolve_rows_twice(plane, start, even_fast, odd_fast, lines[5], lines[6])
        start, stop = runs[run, 1] - box[2], runs[run, 2] - box[2]
        n = stop - start
        a, b, c, d = columns[0, :n], columns[1, :n], columns[2, :n], columns[3, :n]
        first = start + margin - far
        convolve_along_twice(lines[0], first, even, odd, a, b)
        add_magnitudes(a, b, squares[0, start:stop], sums[0, start:stop])
        convolve_along(lines[1], first, bell, a)
        convolve_along(lines[2], first, bell, b)
        add_magnitudes(a, b, squares[3, start:stop], sums[3, start:stop])
        first = start + margin - near
        for steep in range(2):
            # Along x fast and along y slow is 30 degrees, the other way 60.
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
    """Mean and sd of the magnitudes within every cell, and what is left of them over all angles.

    Parameters
    ----------
    levels : (H, W) uint8 array
        Grey levels.
    density : (256,) float64 array
        Value of each grey level.
    run_starts, runs, boxes
        As ``regions.find_runs`` and ``regions.pixels`` give them.
    wavelengths : (S,) float64 array
        In pixels.

    Returns
    -------
    (n_cells, S, 15) float64 array
        For each wavelength the means at 0, 30 ... 150 degrees, the standard deviations, the means
        of both, and the range of the means over their mean. NaN where there is no pixel.
    """
    n_cells = boxes.shape[0]
    n_scales = wavelengths.size
    out = np.full((n_cells, n_scales, 2 * N_ANGLES + 3), np.nan)
    margin = math.ceil(3.0 * 0.57 * wavelengths.max())
    for cell in range(n_cells):
        own = runs[run_starts[cell] : run_starts[cell + 1]]
        if own.shape[0] == 0:
            continue
        box = boxes[cell]
        height, width = box[1] - box[0], box[3] - box[2]
        plane = np.zeros((height + 2 * margin + TAPS, width + 2 * margin + 2 * TAPS))
        area = 0
        total = 0.0
        for run in range(own.shape[0]):
            line = levels[own[run, 0], own[run, 1] : own[run, 2]]
            area += line.size
            for k in range(line.size):
                total += density[line[k]]
        mean = total / area
        lowest, highest = 255, 0
        for run in range(own.shape[0]):
            line = levels[own[run, 0], own[run, 1] : own[run, 2]]
            start = own[run, 1] - box[2] + margin
            into = plane[own[run, 0] - box[0] + margin, start : start + line.size]
            for k in range(line.size):
                into[k] = density[line[k]] - mean
                lowest, highest = min(lowest, line[k]), max(highest, line[k])
        if lowest == highest:
            # What is left beside the mean is rounding.
            plane[:] = 0.0
        for scale in range(n_scales):
            sums, squares = np.zeros((N_ANGLES, width)), np.zeros((N_ANGLES, width))
            respond(plane, own, box, margin, wavelengths[scale], sums, squares)
            row = out[cell, scale]
            for angle in range(N_ANGLES):
                average = sums[angle].sum() / area
                row[angle] = average
                spread = squares[angle].sum() / area - average * average
                row[N_ANGLES + angle] = math.sqrt(max(spread, 0.0))
            row[2 * N_ANGLES] = row[:N_ANGLES].mean()
            row[2 * N_ANGLES + 1] = row[N_ANGLES : 2 * N_ANGLES].mean()
            if lowest < highest:
                extent = row[:N_ANGLES].max() - row[:N_ANGLES].min()
                row[2 * N_ANGLES + 2] = extent / row[2 * N_ANGLES]
    return out
