"""Texture families from their definitions, in plain NumPy: slow, independent of hemafeat."""

from __future__ import annotations

import itertools
import math

import numpy as np
import scipy.fft


def density_levels(image, white, n_levels):
    """Cut the optical density of green into `n_levels` bins of equal width over [0, 1.5]."""
    green = image[:, :, 1].astype(float)
    density = np.log10((white[1] + 1.0) / (green + 1.0))
    return np.clip(np.floor(density * (n_levels / 1.5)), 0, n_levels - 1).astype(int)


def co_occurrence(levels, inside, step, n_levels):
    """Return the symmetric counts of pixel pairs that are `step` = (rows, columns) apart."""
    counts = np.zeros((n_levels, n_levels))
    height, width = levels.shape
    for row, column in np.argwhere(inside):
        second = row + step[0], column + step[1]
        if 0 <= second[0] < height and 0 <= second[1] < width and inside[second]:
            counts[levels[row, column], levels[second]] += 1
            counts[levels[second], levels[row, column]] += 1
    return counts


def _entropy(p):
    p = p[p > 0]
    return -(p * np.log2(p)).sum()


def haralick(counts):
    """Compute the 25 statistics of IBSI 3.6, in its order, by double sums over the matrix."""
    if counts.sum() == 0:
        return [np.nan] * 25
    p = counts / counts.sum()
    n = len(p)
    i, j = np.mgrid[1 : n + 1, 1 : n + 1]
    p_x = p.sum(axis=1)
    p_plus = np.array([p[i + j == k].sum() for k in range(2, 2 * n + 1)])
    p_minus = np.array([p[abs(i - j) == k].sum() for k in range(n)])
    mu = (i * p).sum()
    variance = ((i - mu) ** 2 * p).sum()
    k_plus, k_minus = np.arange(2, 2 * n + 1), np.arange(n)
    sum_average = (k_plus * p_plus).sum()
    difference_average = (k_minus * p_minus).sum()
    h_x, h_xy = _entropy(p_x), _entropy(p)
    outer = np.outer(p_x, p_x)
    occurs = outer > 0
    h_xy1 = -(p[occurs] * np.log2(outer[occurs])).sum()
    h_xy2 = -(outer[occurs] * np.log2(outer[occurs])).sum()
    several = (p_x > 0).sum() > 1
    differ = i != j
    return [
        p.max(),
        mu,
        variance,
        h_xy,
        difference_average,
        ((k_minus - difference_average) ** 2 * p_minus).sum(),
        _entropy(p_minus),
        sum_average,
        ((k_plus - sum_average) ** 2 * p_plus).sum(),
        _entropy(p_plus),
        (p**2).sum(),
        ((i - j) ** 2 * p).sum(),
        (abs(i - j) * p).sum(),
        (p / (1 + abs(i - j))).sum(),
        (p / (1 + abs(i - j) / n)).sum(),
        (p / (1 + (i - j) ** 2)).sum(),
        (p / (1 + (i - j) ** 2 / n**2)).sum(),
        (p[differ] / (i - j)[differ] ** 2).sum(),
        ((i - mu) * (j - mu) * p).sum() / variance if several else np.nan,
        (i * j * p).sum(),
        ((i + j - 2 * mu) ** 2 * p).sum(),
        ((i + j - 2 * mu) ** 3 * p).sum(),
        ((i + j - 2 * mu) ** 4 * p).sum(),
        (h_xy - h_xy1) / h_x if several else np.nan,
        math.sqrt(max(0.0, 1 - math.exp(-2 * (h_xy2 - h_xy)))),
    ]


def glcm(image, labels, n_cells, white):
    levels = density_levels(image, white, 32)
    rows = []
    for cell in range(1, n_cells + 1):
        inside = labels == cell
        row = []
        for d in (1, 2, 4):
            steps = [(0, d), (d, d), (d, 0), (d, -d)]
            angles = np.array([haralick(co_occurrence(levels, inside, s, 32)) for s in steps])
            for values in angles.T:
                values = values[~np.isnan(values)]
                row.append(values.mean() if values.size else np.nan)
            # Angular second moment, contrast, correlation, inverse difference moment, entropy.
            for values in angles.T[[10, 11, 18, 15, 3]]:
                values = values[~np.isnan(values)]
                row.append(values.max() - values.min() if values.size else np.nan)
        rows.append(row)
    return np.array(rows)


def grey_of(image):
    """Return the 8-bit luma as OpenCV computes it: ITU-R BT.601 in 15-bit fixed point, rounded."""
    red, green, blue = np.moveaxis(image.astype(np.int64), 2, 0)
    return (9798 * red + 19235 * green + 3735 * blue + (1 << 14)) >> 15


def pattern(grey, row, column, n_points, radius):
    """Return the bits of one pixel, compared in integer arithmetic."""
    bits = []
    for point in range(n_points):
        angle = 2 * math.pi * point / n_points
        y = round(round(-radius * math.sin(angle), 5) * 100_000)
        x = round(round(radius * math.cos(angle), 5) * 100_000)
        (up, low), (left, far) = divmod(y, 100_000), divmod(x, 100_000)
        value = 0
        for step, weight in ((0, 100_000 - low), (1, low)):
            for side, share in ((0, 100_000 - far), (1, far)):
                if weight * share:
                    value += weight * share * int(grey[row + up + step, column + left + side])
        bits.append(int(value >= 10**10 * int(grey[row, column])))
    return bits


def uniform_number(bits):
    """Return (u2, riu2) of a pattern, as defined by Ojala 2002 and numbered by scikit-image."""
    p, ones = len(bits), sum(bits)
    n_changes = sum(bits[i] != bits[i - 1] for i in range(p))
    if n_changes > 2:
        return p * (p - 1) + 2, p + 1
    if ones in (0, p):
        return (0, 0) if ones == 0 else (p * (p - 1) + 1, p)
    # The rotation of the ones from those of the first pattern, at points 0, 1, ...
    last = next(i for i in range(p) if bits[i] and not bits[(i + 1) % p])
    return 1 + (ones - 1) * p + (ones - 1 - last) % p, ones


def deep_inside(inside, row, column, radius):
    square = [
        (row + i, column + j)
        for i in range(-radius, radius + 1)
        for j in range(-radius, radius + 1)
    ]
    height, width = inside.shape
    return all(0 <= y < height and 0 <= x < width and inside[y, x] for y, x in square)


def lbp(image, labels, n_cells):
    grey = grey_of(image)
    rows = []
    for cell in range(1, n_cells + 1):
        inside = labels == cell
        fine, invariant = None, []
        for n_points, radius in ((8, 1), (16, 2), (24, 3)):
            numbers = [
                uniform_number(pattern(grey, row, column, n_points, radius))
                for row, column in np.argwhere(inside)
                if deep_inside(inside, row, column, radius)
            ]
            bins = np.array(numbers, dtype=int).reshape(-1, 2).T
            n = bins.shape[1]
            if radius == 1:
                fine = np.bincount(bins[0], minlength=59) / n if n else np.full(59, np.nan)
            shares = np.bincount(bins[1], minlength=n_points + 2) / n if n else None
            invariant.append(np.full(n_points + 2, np.nan) if shares is None else shares)
        entropies = [np.nan if np.isnan(p[0]) else _entropy(p) for p in invariant]
        rows.append(
            np.concatenate([fine, *invariant, entropies, [p[:-1].sum() for p in invariant]])
        )
    return np.array(rows)


def lbp256(image, labels, n_cells):
    grey = grey_of(image)
    rows = []
    for cell in range(1, n_cells + 1):
        inside = labels == cell
        codes = [
            sum(bit << i for i, bit in enumerate(pattern(grey, row, column, 8, 1)))
            for row, column in np.argwhere(inside)
            if deep_inside(inside, row, column, 1)
        ]
        rows.append([codes.count(code) / len(codes) if codes else np.nan for code in range(256)])
    return np.array(rows)


def area_average(n, size):
    """Return (size, n) weights: new pixel i is the average over [i n / size, (i + 1) n / size)."""
    weights = np.zeros((size, n))
    for i in range(size):
        for p in range(n):
            overlap = min((i + 1) * n, (p + 1) * size) - max(i * n, p * size)
            weights[i, p] = max(overlap, 0) / n
    return weights


def zigzag(size, count):
    """Return the coefficients after the mean in JPEG's order, step by step."""
    row = column = 0
    order = []
    while len(order) < count:
        if (row + column) % 2 == 0:  # going up and to the right
            if column == size - 1:
                row += 1
            elif row == 0:
                column += 1
            else:
                row, column = row - 1, column + 1
        elif row == size - 1:
            column += 1
        elif column == 0:
            row += 1
        else:
            row, column = row + 1, column - 1
        order.append((row, column))
    return order


def resampled_box(grey, inside):
    rows, columns = np.nonzero(inside)
    box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
    values = np.where(inside[box], grey[box] - grey[inside].mean(), 0.0)
    return area_average(values.shape[0], 64) @ values @ area_average(values.shape[1], 64).T


def dct(image, labels, n_cells):
    return spectra(image, labels, n_cells)[:, 64:77]


def dct_zigzag(image, labels, n_cells):
    return np.delete(spectra(image, labels, n_cells), np.s_[64:77], axis=1)


def spectra(image, labels, n_cells):
    grey = grey_of(image)
    u, v = np.mgrid[:64, :64]
    radius = np.hypot(u, v)
    edges = [2 ** (6 * b / 8) for b in range(8)] + [np.inf]
    # The radii sqrt(8) = 2**1.5, sqrt(64) = 2**3 and sqrt(512) = 2**4.5 are edges, and belong to
    # the band above.
    rings = [(radius > e - 1e-9) & (radius < f - 1e-9) for e, f in itertools.pairwise(edges)]
    result = np.full((n_cells, 86), np.nan)
    for cell in range(1, n_cells + 1):
        inside = labels == cell
        if not inside.any():
            continue
        x = scipy.fft.dctn(resampled_box(grey, inside), norm="ortho")
        power = x**2
        power[0, 0] = 0.0
        row = [math.log10(1 + abs(x[position])) for position in zigzag(64, 64)]
        if power.sum() < 1e-9:
            row += [np.nan] * 10
        else:
            row += [power[ring].sum() / power.sum() for ring in rings]
            mean_power = [power[ring].mean() for ring in rings]
            log_radius = [math.log10(radius[ring].mean()) for ring in rings]
            flat = min(power[ring].sum() for ring in rings) < 1e-9
            row.append(np.nan if flat else np.polyfit(log_radius, np.log10(mean_power), 1)[0])
            row.append((radius * power).sum() / power.sum())
        result[cell - 1, :74] = row

        rows, columns = np.nonzero(inside)
        blocks = []
        # As many whole blocks as fit, centred; an odd line remains on the side of smaller sums.
        weight = np.where(inside, grey.astype(int) + 1, 0)[
            rows.min() : rows.max() + 1, columns.min() : columns.max() + 1
        ]
        corner = []
        for sums, start in ((weight.sum(axis=1), rows.min()), (weight.sum(axis=0), columns.min())):
            rest = len(sums) % 8
            far = rest % 2 == 1 and sums.tolist() < sums[::-1].tolist()
            corner.append(start + rest // 2 + far)
        for top in range(corner[0], rows.max() - 6, 8):
            for left in range(corner[1], columns.max() - 6, 8):
                block = slice(top, top + 8), slice(left, left + 8)
                if inside[block].all():
                    blocks.append(scipy.fft.dctn(grey[block].astype(float), norm="ortho"))
        if not blocks:
            continue
        blocks = np.array(blocks)
        i, j = np.mgrid[:8, :8]
        energy = (blocks**2).sum(axis=0)
        energy[0, 0] = 0.0
        if energy.sum() >= 1e-9:
            for k, (first, last) in enumerate([(1, 2), (3, 6), (7, 14)]):
                group = (i + j >= first) & (i + j <= last)
                result[cell - 1, 74 + k] = energy[group].sum() / energy.sum()
        for k, position in enumerate(zigzag(8, 9)):
            result[cell - 1, 77 + k] = np.log10(1 + abs(blocks[:, position[0], position[1]])).mean()
    return result
