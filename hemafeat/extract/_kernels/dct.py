"""Around the cosine transform: a cell resampled, its spectrum summarised, and its 8x8 blocks."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel

BLOCK = 8
NOTHING = 1e-9
"""Energy (grey levels squared) below which a spectrum is rounding noise."""


@kernel
def resample(plane, run_starts, runs, boxes, size):
    """Every cell's box, less its mean and 0 outside its mask, averaged onto a square.

    Pixels are squares and each new pixel takes the average over the area it covers, whether the
    box shrinks or grows.

    Parameters
    ----------
    plane : (H, W) uint8 array
        Grey levels.
    run_starts, runs, boxes
        As ``regions.find_runs`` and ``regions.pixels`` give them.
    size : int
        Side of the square.

    Returns
    -------
    (n_cells, size, size) float64 array
        In grey levels; NaN where a cell has no pixel.
    """
    n_cells = boxes.shape[0]
    out = np.full((n_cells, size, size), np.nan)
    for cell in range(n_cells):
        own = runs[run_starts[cell] : run_starts[cell + 1]]
        if own.shape[0] == 0:
            continue
        area = 0
        total = 0
        for run in range(own.shape[0]):
            line = plane[own[run, 0], own[run, 1] : own[run, 2]]
            area += line.size
            for k in range(line.size):
                total += int(line[k])
        mean = total / area
        height = boxes[cell, 1] - boxes[cell, 0]
        width = boxes[cell, 3] - boxes[cell, 2]
        # Lengths are whole numbers of 1/size of a pixel: pixel p covers [size p, size (p + 1)),
        # and new pixel i covers [i height, (i + 1) height).
        tall = np.zeros((size, width))
        for run in range(own.shape[0]):
            row = own[run, 0] - boxes[cell, 0]
            first = own[run, 1] - boxes[cell, 2]
            line = plane[own[run, 0], own[run, 1] : own[run, 2]]
            top, bottom = size * row, size * (row + 1)
            i = top // height
            while i < size and i * height < bottom:
                weight = (min(bottom, (i + 1) * height) - max(top, i * height)) / height
                target = tall[i, first : first + line.size]
                for k in range(line.size):
                    target[k] += weight * (line[k] - mean)
                i += 1
        square = out[cell]
        for j in range(size):
            first = j * width // size
            stop = ((j + 1) * width - 1) // size + 1
            for i in range(size):
                square[i, j] = 0.0
            for p in range(first, stop):
                overlap = min(size * (p + 1), (j + 1) * width) - max(size * p, j * width)
                weight = overlap / width
                for i in range(size):
                    square[i, j] += weight * tall[i, p]
    return out


@kernel
def summarise(spectra, zigzag, band, radius, n_bands, out):
    """Log-magnitudes, shares of energy by radius, slope and centroid of whole spectra.

    Parameters
    ----------
    spectra : (n_cells, N, N) float64 array
        Orthonormal cosine transforms.
    zigzag : (K, 2) int64 array
        Rows and columns of the coefficients to report.
    band : (N, N) int64 array
        Band of each coefficient; -1 for the mean.
    radius : (N, N) float64 array
        Distance of each coefficient from the mean.
    n_bands : int
        Number of bands.
    out : (n_cells, >= K + n_bands + 2) float64 array
        Filled from the left: log10(1 + |X_k|), shares, slope of log10 mean power on log10 mean
        radius over the bands, centroid. Without energy all but the first are NaN.
    """
    n = spectra.shape[1]
    count = np.zeros(n_bands)
    reach = np.zeros(n_bands)
    for u in range(n):
        for v in range(n):
            if band[u, v] >= 0:
                count[band[u, v]] += 1.0
                reach[band[u, v]] += radius[u, v]
    for cell in range(spectra.shape[0]):
        x = spectra[cell]
        if np.isnan(x[0, 0]):
            continue
        for k in range(zigzag.shape[0]):
            out[cell, k] = math.log10(1.0 + abs(x[zigzag[k, 0], zigzag[k, 1]]))
        energy = np.zeros(n_bands)
        moment = 0.0
        for u in range(n):
            for v in range(n):
                if band[u, v] >= 0:
                    power = x[u, v] * x[u, v]
                    energy[band[u, v]] += power
                    moment += radius[u, v] * power
        total = energy.sum()
        place = zigzag.shape[0]
        if total < NOTHING:
            continue
        for b in range(n_bands):
            out[cell, place + b] = energy[b] / total
        out[cell, place + n_bands + 1] = moment / total
        if energy.min() < NOTHING:
            continue
        mean_x = 0.0
        mean_y = 0.0
        for b in range(n_bands):
            mean_x += math.log10(reach[b] / count[b]) / n_bands
            mean_y += math.log10(energy[b] / count[b]) / n_bands
        across = 0.0
        along = 0.0
        for b in range(n_bands):
            away = math.log10(reach[b] / count[b]) - mean_x
            across += away * (math.log10(energy[b] / count[b]) - mean_y)
            along += away * away
        out[cell, place + n_bands] = across / along


@kernel
def transform(given, basis, out):
    """Cosine transform along the first of (8, n), folded: 4 products in place of 8."""
    n_rows, n = given.shape
    for u in range(n_rows):
        line = out[u]
        sign = 1.0 - 2.0 * (u % 2)
        for k in range(n):
            line[k] = 0.0
        for i in range(n_rows // 2):
            factor = basis[u, i]
            one, other = given[i], given[n_rows - 1 - i]
            for k in range(n):
                line[k] += factor * (one[k] + sign * other[k])


@kernel
def add_logs(product, logs):
    """Add log10 of each row of products to its sum, and set the products back to 1."""
    for k in range(product.shape[0]):
        for i in range(product.shape[1]):
            logs[k] += math.log10(product[k, i])
            product[k, i] = 1.0


@kernel
def blocks(plane, run_starts, runs, boxes, basis, group, zigzag, out):
    """Cosine transforms of the 8x8 blocks that lie wholly inside each cell.

    Parameters
    ----------
    plane : (H, W) uint8 array
        Grey levels.
    run_starts, runs, boxes
        As ``regions.find_runs`` and ``regions.pixels`` give them. The blocks lie in the middle of
        the box.
    basis : (8, 8) float64 array
        Orthonormal cosine transform, one basis vector per row (the first half of each is read).
    group : (8, 8) int64 array
        Low, middle or high frequency (0, 1, 2) of each coefficient; -1 for the mean.
    zigzag : (K, 2) int64 array
        Rows and columns of the coefficients to report.
    out : (n_cells, 3 + K) float64 array
        Filled: shares of the energy of all blocks in the three groups, then the mean over blocks
        of log10(1 + |X_k|). NaN where no block is inside; shares are NaN where all are flat.
    """
    # Taken from an array, so that the compiler does not unroll 64 loops for the sake of a constant.
    size = basis.shape[0]
    for cell in range(boxes.shape[0]):
        own = runs[run_starts[cell] : run_starts[cell + 1]]
        n_high = (boxes[cell, 1] - boxes[cell, 0]) // size
        n_wide = (boxes[cell, 3] - boxes[cell, 2]) // size
        # What is left over goes to both sides, so that a mirrored cell has nearly the same blocks.
        top = boxes[cell, 0] + (boxes[cell, 1] - boxes[cell, 0]) % size // 2
        left = boxes[cell, 2] + (boxes[cell, 3] - boxes[cell, 2]) % size // 2
        # Rows of a block that lie in the cell from its left to its right edge.
        covered = np.zeros((n_high, n_wide), np.int64)
        for run in range(own.shape[0]):
            high = (own[run, 0] - top) // size
            first = max((own[run, 1] - left + size - 1) // size, 0)
            stop = min((own[run, 2] - left) // size, n_wide)
            if 0 <= high < n_high and stop > first:
                covered[high, first:stop] += 1
        # The blocks of one row are transformed side by side; the last axis is the block.
        pixels = np.empty((size, size, n_wide))
        half = np.empty((size, size, n_wide))
        x = np.empty((size, size, n_wide))
        whole = np.empty(n_wide)
        energy = np.zeros((size, size, n_wide))
        logs = np.zeros(zigzag.shape[0])
        product = np.ones((zigzag.shape[0], n_wide))
        n_blocks = 0
        n_factors = 0
        for high in range(n_high):
            n_new = 0
            for wide in range(n_wide):
                whole[wide] = 1.0 if covered[high, wide] == size else 0.0
                n_new += covered[high, wide] == size
            if n_new == 0:
                continue
            n_blocks += n_new
            for i in range(size):
                line = plane[top + size * high + i]
                corner = plane[top + size * high]
                for j in range(size):
                    for wide in range(n_wide):
                        start = left + size * wide
                        # Less one of its own pixels, a flat block is exactly 0.
                        pixels[i, j, wide] = float(line[start + j]) - float(corner[start])
            transform(pixels.reshape(size, size * n_wide), basis, half.reshape(size, size * n_wide))
            for u in range(size):
                transform(half[u], basis, x[u])
            for u in range(size):
                for v in range(size):
                    for wide in range(n_wide):
                        energy[u, v, wide] += whole[wide] * x[u, v, wide] * x[u, v, wide]
            # The logarithm of a product of many is far cheaper than a sum of logarithms. A factor
            # is at most 1 + 8 * 255: 64 of them stay far below the largest float.
            for k in range(zigzag.shape[0]):
                line = x[zigzag[k, 0], zigzag[k, 1]]
                for wide in range(n_wide):
                    product[k, wide] *= 1.0 + whole[wide] * abs(line[wide])
            n_factors += 1
            if n_factors == 64:
                add_logs(product, logs)
                n_factors = 0
        if n_blocks == 0:
            continue
        add_logs(product, logs)
        groups = np.zeros(3)
        for u in range(size):
            for v in range(size):
                if group[u, v] >= 0:
                    groups[group[u, v]] += energy[u, v].sum()
        total = groups.sum()
        for k in range(3):
            out[cell, k] = groups[k] / total if total >= NOTHING else np.nan
        for k in range(zigzag.shape[0]):
            out[cell, 3 + k] = logs[k] / n_blocks
