"""Every family from its definition: plain, slow, and independent of hemafeat.

A function has the name of its family and returns (n_cells, k) in the same order of columns;
families that depend on the background take its white level as well.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from reference.naive_colour import profile as profile, stain as stain, tavakoli as tavakoli
from reference.naive_frequency import gabor as gabor, zernike as zernike
from reference.naive_geometry import (
    axis_angle,
    boundary as boundary,
    contact_share,
    covariance_of,
    crofton,
    hull_of,
    last_crossing,
    per_cell,
    ratio,
    rim as rim,
    shape as shape,
)
from reference.naive_granules import (
    chromatin as chromatin,
    granules as granules,
    granulometry as granulometry,
)
from reference.naive_lobes import lobes as lobes, lobulation as lobulation
from reference.naive_matrices import gldm as gldm, glrlm as glrlm, glszm as glszm, ngtdm as ngtdm
from reference.naive_texture import (
    dct as dct,
    dct_zigzag as dct_zigzag,
    glcm as glcm,
    lbp as lbp,
    lbp256 as lbp256,
)

# ------------------------------------------------------------------------------------ intensity


def skewness_and_kurtosis(x):
    if np.ptp(x) == 0:
        return math.nan, math.nan
    return stats.skew(x), stats.kurtosis(x)


def first_order(x, levels):
    """Return the 21 statistics of values x; `levels` are the same values cut into bins."""
    mean, median = x.mean(), np.median(x)
    p10, p25, p75, p90 = np.percentile(x, [10, 25, 75, 90])
    robust = x[(x >= p10) & (x <= p90)]
    skewness, kurtosis = skewness_and_kurtosis(x)
    p = np.unique(levels, return_counts=True)[1] / levels.size
    return [
        mean,
        x.var(),
        x.std(),
        skewness,
        kurtosis,
        median,
        x.min(),
        p10,
        p90,
        x.max(),
        p75 - p25,
        x.max() - x.min(),
        abs(x - mean).mean(),
        abs(robust - robust.mean()).mean() if robust.size else math.nan,
        abs(x - median).mean(),
        x.std() / mean if mean != 0 else math.nan,
        (p75 - p25) / (p75 + p25) if p75 + p25 != 0 else math.nan,
        (x**2).sum(),
        math.sqrt((x**2).mean()),
        -(p * np.log2(p)).sum(),
        (p**2).sum(),
    ]


def intensity(image, labels, n_cells, white):
    blocks = []
    for channel in range(3):
        density = np.log10((white[channel] + 1) / (image[:, :, channel].astype(float) + 1))
        levels = np.clip(np.floor(density / 1.5 * 32), 0, 31)

        def measure(inside, density=density, levels=levels):
            return first_order(density[inside], levels[inside])

        blocks.append(per_cell(labels, n_cells, 21, measure))
    return np.concatenate(blocks, axis=1)


# -------------------------------------------------------------------------------------- density


def _density(image, labels, n_cells, white, logarithm):
    def measure(inside):
        row = []
        for channel in range(3):
            x = logarithm((white[channel] + 1) / (image[inside][:, channel].astype(float) + 1))
            skewness, _ = skewness_and_kurtosis(x)
            row += [x.mean(), x.std(), skewness, *np.percentile(x, [10, 90]), x.sum()]
        return row

    return per_cell(labels, n_cells, 18, measure)


def density(image, labels, n_cells, white):
    return _density(image, labels, n_cells, white, np.log10)


def density_natural(image, labels, n_cells, white):
    return _density(image, labels, n_cells, white, np.log)


# --------------------------------------------------------------------------------------- colour


def lab(rgb):
    """Convert (N, 3) sRGB values 0..255 to CIELAB under D65."""
    share = np.asarray(rgb, float) / 255
    linear = np.where(share > 0.04045, ((share + 0.055) / 1.055) ** 2.4, share / 12.92)
    matrix = np.array(
        [
            [0.412453, 0.357580, 0.180423],
            [0.212671, 0.715160, 0.072169],
            [0.019334, 0.119193, 0.950227],
        ]
    )
    t = linear @ matrix.T / [0.95047, 1.0, 1.08883]
    f = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    x, y, z = f.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def hue_angles(rgb):
    """Return the hue in radians of each pixel that has one."""
    angles = []
    for r, g, b in rgb.astype(float):
        top, chroma = max(r, g, b), max(r, g, b) - min(r, g, b)
        if chroma == 0:
            continue
        if top == r:
            sixth = (g - b) / chroma
        elif top == g:
            sixth = 2 + (b - r) / chroma
        else:
            sixth = 4 + (r - g) / chroma
        angles.append(sixth * math.pi / 3)
    return np.array(angles)


def colour(image, labels, n_cells):
    def measure(inside):
        rgb = image[inside].astype(float)
        mean = rgb.mean(axis=0)
        star = lab(rgb)
        top = rgb.max(axis=1)
        saturation = np.where(top > 0, (top - rgb.min(axis=1)) / np.where(top > 0, top, 1), 0)
        angles = hue_angles(rgb)
        cosine = np.cos(angles).mean() if angles.size else math.nan
        sine = np.sin(angles).mean() if angles.size else math.nan
        return [
            *mean,
            *rgb.std(axis=0),
            *star.mean(axis=0),
            *star.std(axis=0),
            saturation.mean(),
            saturation.std(),
            (top / 255).mean(),
            (top / 255).std(),
            cosine,
            sine,
            math.hypot(cosine, sine),
            mean[0] / mean[2] if mean[2] > 0 else math.nan,
            mean[1] / mean[2] if mean[2] > 0 else math.nan,
        ]

    return per_cell(labels, n_cells, 21, measure)


# ------------------------------------------------------------------------------------- relation


def relation(image, cell, nucleus, n_cells, white):
    rows = np.full((n_cells, 17), np.nan)
    for k in range(n_cells):
        inner, outer = nucleus == k + 1, cell == k + 1
        if not (inner.any() and outer.any()):
            continue
        cytoplasm = outer & ~inner
        n, c, y = inner.sum(), outer.sum(), cytoplasm.sum()
        hull_n, hull_c = hull_of(inner)[2].sum(), hull_of(outer)[2].sum()
        centre_n, covariance_n = covariance_of(inner)
        centre_c, covariance_c = covariance_of(outer)
        thickness = []
        for angle in np.radians(np.arange(2.5, 360, 5)):
            start, stop = (last_crossing(mask, centre_n, angle) for mask in (inner, outer))
            if not math.isnan(stop - start):
                thickness.append(stop - start)
        lab_n = lab(image[inner]).mean(axis=0)
        lab_y = lab(image[cytoplasm]).mean(axis=0) if y else np.full(3, np.nan)
        mean = np.mean(thickness) if thickness else math.nan
        rows[k] = [
            n / c,
            ratio(n, y),
            math.sqrt(n / c),
            y,
            math.dist(centre_n, centre_c) / math.sqrt(c / math.pi),
            contact_share(inner, outer),
            crofton(inner) / crofton(outer),
            axis_angle(covariance_n, covariance_c),
            n / hull_c,
            (hull_n - n) / hull_n,
            y / ((crofton(inner) + crofton(outer)) / 2),
            mean,
            np.min(thickness) if thickness else math.nan,
            np.max(thickness) if thickness else math.nan,
            np.std(thickness) / mean if thickness and mean > 0 else math.nan,
            math.dist(lab_n, lab_y),
            math.dist(lab_y, lab([white])[0]),
        ]
    return rows


# ------------------------------------------------------------------------------------- outlines


def best_path(gain, rows, cost):
    """Return the column in each row of the path of largest gain minus the cost of its steps."""
    m, turn = gain.shape[1], cost.size // 2
    padded = np.full((rows.size, m + 2 * turn), -np.inf, np.float32)
    padded[0, turn:-turn] = gain[rows[0]]
    for i in range(1, rows.size):
        windows = np.lib.stride_tricks.sliding_window_view(padded[i - 1], m)
        padded[i, turn:-turn] = (windows - cost[:, None]).max(axis=0) + gain[rows[i]]
    path = np.empty(rows.size, np.int64)
    column = path[-1] = int(padded[-1].argmax()) - turn
    for i in range(rows.size - 1, 0, -1):
        column += int((padded[i - 1, column : column + 2 * turn + 1] - cost).argmax()) - turn
        path[i - 1] = column
    return path
