"""Around the cosine transform: a cell resampled, and its spectrum summarised."""

from __future__ import annotations

import math

import numpy as np

from hemafeat._jit import kernel

NOTHING = 1e-9
"""Energy (grey levels squared) below which a spectrum is rounding noise."""


@kernel
def mean_level(plane, runs):
    """Mean grey level of one cell."""
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
    """One cell less its mean, 0 outside, averaged onto `size` rows; one row per column of the box.

    Lengths are whole numbers of 1/size of a pixel: pixel p covers [size p, size (p + 1)), and new
    row i covers [i height, (i + 1) height).
    """
    mean = mean_level(plane, runs)
    height, width = box[1] - box[0], box[3] - box[2]
    across = np.empty(width)
    first = 0
    for i in range(size):
        across[:] = 0.0
        while first < runs.shape[0] and size * (runs[first, 0] - box[0] + 1) <= i * height:
            first += 1
        run = first
        while run < runs.shape[0] and size * (runs[run, 0] - box[0]) < (i + 1) * height:
            top = size * (runs[run, 0] - box[0])
            weight = (min(top + size, (i + 1) * height) - max(top, i * height)) / height
            line = plane[runs[run, 0], runs[run, 1] : runs[run, 2]]
            target = across[runs[run, 1] - box[2] : runs[run, 2] - box[2]]
            for k in range(line.size):
                target[k] += weight * (line[k] - mean)
            run += 1
        for k in range(width):
            out[k, i] = across[k]


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
        In grey levels, columns first (the square on its side); NaN where a cell has no pixel.
    """
    n_cells = boxes.shape[0]
    out = np.full((n_cells, size, size), np.nan)
    # A few columns to spare, so that the rows of a column do not compete for one line of the cache.
    tall = np.empty((plane.shape[1], size + 3))
    for cell in range(n_cells):
        own = runs[run_starts[cell] : run_starts[cell + 1]]
        if own.shape[0] == 0:
            continue
        squeeze_rows(plane, own, boxes[cell], size, tall)
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
def summarise(spectra, edges, radius, counts, reach):
    """Shares of energy by radius, slope and centroid of whole spectra.

    Parameters
    ----------
    spectra : (n_cells, N, N) float64 array
        Orthonormal cosine transforms.
    edges : (N, B + 1) int64 array
        Where in each row each of the B bands begins, and where the last one ends.
    radius : (N, N) float64 array
        Distance of each coefficient from the mean.
    counts, reach : (B,) float64 array
        Coefficients in each band, and log10 of their mean distance.

    Returns
    -------
    (n_cells, B + 2) float64 array
        Shares, slope of log10 mean power on log10 mean radius over the bands, centroid; NaN
        without energy.
    """
    n = spectra.shape[1]
    n_bands = edges.shape[1] - 1
    out = np.full((spectra.shape[0], n_bands + 2), np.nan)
    for cell in range(spectra.shape[0]):
        x = spectra[cell]
        if np.isnan(x[0, 0]):
            continue
        # Sums of every column first: no sum waits for the one before.
        columns = np.zeros((n_bands, n))
        moments = np.zeros(n)
        for u in range(n):
            line, away = x[u], radius[u]
            for v in range(n):
                moments[v] += away[v] * (line[v] * line[v])
            for b in range(n_bands):
                sums = columns[b]
                for v in range(edges[u, b], edges[u, b + 1]):
                    sums[v] += line[v] * line[v]
        energy = np.empty(n_bands)
        for b in range(n_bands):
            energy[b] = columns[b].sum()
        total = energy.sum()
        if total < NOTHING:
            continue
        for b in range(n_bands):
            out[cell, b] = energy[b] / total
        out[cell, n_bands + 1] = moments.sum() / total
        if energy.min() < NOTHING:
            continue
        mean_x = reach.sum() / n_bands
        across = 0.0
        along = 0.0
        for b in range(n_bands):
            away = reach[b] - mean_x
            across += away * math.log10(energy[b] / counts[b])
            along += away * away
        out[cell, n_bands] = across / along
    return out
