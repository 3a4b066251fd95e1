"""Every family once more, from its definition: plain, slow, and importing nothing of hemafeat.

A function has the name of its family and gives (n_cells, k) in the same order of columns; families
that depend on the background take its white level as well.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage, spatial, stats

from reference.naive_colour import profile as profile, stain as stain, tavakoli as tavakoli
from reference.naive_frequency import gabor as gabor, zernike as zernike
from reference.naive_geometry import boundary as boundary, lobes as lobes, rim as rim
from reference.naive_granules import (
    chromatin as chromatin,
    granules as granules,
    granulometry as granulometry,
)
from reference.naive_lobulation import lobulation as lobulation
from reference.naive_matrices import gldm as gldm, glrlm as glrlm, glszm as glszm, ngtdm as ngtdm
from reference.naive_texture import dct as dct, dct_zigzag as dct_zigzag, glcm as glcm, lbp as lbp


def per_cell(labels, n_cells, n_columns, function):
    """`function(inside)` for every cell; a row of NaN for a cell that has no pixel."""
    rows = np.full((n_cells, n_columns), np.nan)
    for cell in range(n_cells):
        inside = labels == cell + 1
        if inside.any():
            rows[cell] = function(inside)
    return rows


# ------------------------------------------------------------------------------------ intensity


def skewness_and_kurtosis(x):
    if np.ptp(x) == 0:
        return math.nan, math.nan
    return stats.skew(x), stats.kurtosis(x)


def first_order(x, levels):
    """The 21 statistics of values x; `levels` are the same values cut into bins."""
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
    """CIELAB of (N, 3) sRGB values 0..255, D65."""
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
    """Hue of each pixel that has one, in radians."""
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


# ---------------------------------------------------------------------------------------- shape


def crofton(inside):
    """Every line of pixels in four directions: how often does it enter or leave the mask?"""
    padded = np.pad(inside, 1)
    crossings = [
        (padded[:, 1:] != padded[:, :-1]).sum(),
        (padded[1:] != padded[:-1]).sum(),
        (padded[1:, 1:] != padded[:-1, :-1]).sum() / math.sqrt(2),
        (padded[1:, :-1] != padded[:-1, 1:]).sum() / math.sqrt(2),
    ]
    return math.pi / 8 * sum(crossings)


def edge_middles(inside):
    """(row, column) of the middle of each edge between a pixel inside and one outside."""
    padded = np.pad(inside, 1)
    upright = np.argwhere(padded[:, 1:] != padded[:, :-1]) - (1, 0.5)
    level = np.argwhere(padded[1:] != padded[:-1]) - (0.5, 1)
    return np.concatenate([upright, level])


def hull_of(inside):
    """Convex hull of the edge middles: its corners in order, its facets, its pixels."""
    hull = spatial.ConvexHull(edge_middles(inside))
    corners = hull.points[hull.vertices]
    # Qhull may keep a point in the middle of a side; doubled coordinates are whole numbers.
    before, after = corners - np.roll(corners, 1, 0), np.roll(corners, -1, 0) - corners
    corners = corners[before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0] != 0]
    pixels = np.argwhere(np.ones_like(inside))
    within = (pixels @ hull.equations[:, :2].T + hull.equations[:, 2] <= 1e-9).all(axis=1)
    return corners, hull.equations, within.reshape(inside.shape)


def to_segment(points, start, stop):
    """Distance of each point to a segment."""
    along = np.clip((points - start) @ (stop - start) / ((stop - start) ** 2).sum(), 0, 1)
    return np.linalg.norm(points - start - along[:, None] * (stop - start), axis=1)


def bay_depths(inside, corners, filled):
    """Depth of each bay: a part of the hull outside the mask that opens to its edge."""
    depths = []
    bays, n_bays = ndimage.label(filled & ~inside)
    for bay in range(1, n_bays + 1):
        points = np.argwhere(bays == bay).astype(float)
        away = [
            to_segment(points, start, stop)
            for start, stop in zip(corners, np.roll(corners, -1, 0), strict=True)
        ]
        lids = [distance for distance in away if distance.min() <= 1 + 1e-9]
        if lids:
            depths.append(np.min(lids, axis=0).max() + 0.5)
    return np.array(depths)


def covariance_of(inside):
    """Centroid and 2x2 covariance of pixel centres."""
    points = np.argwhere(inside).astype(float)
    centre = points.mean(axis=0)
    return centre, (points - centre).T @ (points - centre) / len(points)


def ratio(a, b):
    return a / b if b > 0 else math.nan


def geometry(inside):
    area = inside.sum()
    perimeter = crofton(inside)
    diameter = 2 * math.sqrt(area / math.pi)
    centre, covariance = covariance_of(inside)
    low, high = np.linalg.eigvalsh(covariance)
    low = low if low > 1e-10 * high else 0.0
    major, minor = 4 * math.sqrt(max(high, 0)), 4 * math.sqrt(low)
    rows, columns = np.nonzero(inside)
    box = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)

    corners, _, filled = hull_of(inside)
    outer, facets, _ = hull_of(filled)
    widths = -(outer @ facets[:, :2].T + facets[:, 2]).min(axis=0)
    lengths = np.ptp(outer @ np.stack([-facets[:, 1], facets[:, 0]]), axis=0)
    feret = spatial.distance.pdist(outer).max()

    middles = edge_middles(inside)
    r = np.linalg.norm(middles - centre, axis=1)
    constant = r.std() <= 1e-12 * r.mean()
    ellipse = math.nan
    if minor > 0:
        d = np.sqrt(
            np.einsum("ki,ij,kj->k", middles - centre, np.linalg.inv(covariance), middles - centre)
        )
        ellipse = d.std() / d.mean()

    parts, n_parts = ndimage.label(inside, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel())[1:]
    # Holes are the background parts that do not reach the surroundings.
    n_holes = ndimage.label(np.pad(~inside, 1, constant_values=True))[1] - 1
    depths = bay_depths(inside, corners, filled)
    deepest = depths.max() if depths.size else 0.0
    return [
        area,
        perimeter,
        diameter,
        major,
        minor,
        ratio(major, minor),
        math.sqrt(1 - low / high) if high > 0 else math.nan,
        1 - minor / major if major > 0 else math.nan,
        4 * math.pi * area / perimeter**2,
        area / box,
        filled.sum(),
        area / filled.sum(),
        crofton(filled),
        crofton(filled) / perimeter,
        feret,
        widths.min(),
        widths.min() / feret,
        area / (widths * lengths).min() if minor > 0 else math.nan,
        r.mean(),
        r.std(),
        r.min(),
        r.max(),
        r.std() / r.mean(),
        math.nan if constant else stats.skew(r),
        math.nan if constant else stats.kurtosis(r),
        ellipse,
        (sizes > 0.05 * area).sum(),
        n_parts - n_holes,
        n_holes,
        deepest,
        deepest / diameter,
        (depths > 0.1 * diameter).sum(),
    ]


def shape(image, labels, n_cells):
    return per_cell(labels, n_cells, 32, geometry)


# ------------------------------------------------------------------------------------- relation


def last_crossing(inside, centre, angle):
    """How far along a ray the last pixel edge between inside and outside lies."""
    direction = np.array([math.sin(angle), math.cos(angle)])
    far = math.nan
    for middle in edge_middles(inside):
        # An edge with a half in its row runs along the row, and is crossed at that row.
        axis = 0 if middle[0] % 1 else 1
        distance = (middle[axis] - centre[axis]) / direction[axis]
        aside = centre[1 - axis] + distance * direction[1 - axis] - middle[1 - axis]
        if distance > 0 and abs(aside) <= 0.5:
            far = np.nanmax([far, distance])
    return far


def contact_share(nucleus, cell):
    plus = ndimage.generate_binary_structure(2, 1)
    border = nucleus & ~ndimage.binary_erosion(nucleus, plus)
    rows, columns = np.mgrid[-2:3, -2:3]
    # Eroding by a disc of radius 2 removes what is within 2 px of the outside.
    deep = ndimage.binary_erosion(cell, rows**2 + columns**2 <= 4)
    return (border & ~deep).sum() / border.sum()


def axis_angle(a, b):
    """Degrees between the first principal axes of two covariances."""
    directions = []
    for matrix in (a, b):
        values, vectors = np.linalg.eigh(matrix)
        if values[1] - values[0] <= 1e-10 * values.sum():
            return math.nan
        directions.append(vectors[:, 1])
    cross = directions[0][0] * directions[1][1] - directions[0][1] * directions[1][0]
    return math.degrees(math.atan2(abs(cross), abs(directions[0] @ directions[1])))


def relation(image, cell, nucleus, n_cells, white):
    rows = np.full((n_cells, 17), np.nan)
    for k in range(n_cells):
        inner, outer = nucleus == k + 1, cell == k + 1
        if not (inner.any() and outer.any()):
            continue
        around = outer & ~inner
        n, c, y = inner.sum(), outer.sum(), around.sum()
        hull_n, hull_c = hull_of(inner)[2].sum(), hull_of(outer)[2].sum()
        centre_n, covariance_n = covariance_of(inner)
        centre_c, covariance_c = covariance_of(outer)
        through = []
        for angle in np.radians(np.arange(2.5, 360, 5)):
            thickness = last_crossing(outer, centre_n, angle) - last_crossing(
                inner, centre_n, angle
            )
            if not math.isnan(thickness):
                through.append(thickness)
        lab_n = lab(image[inner]).mean(axis=0)
        lab_y = lab(image[around]).mean(axis=0) if y else np.full(3, np.nan)
        mean = np.mean(through) if through else math.nan
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
            np.min(through) if through else math.nan,
            np.max(through) if through else math.nan,
            np.std(through) / mean if through and mean > 0 else math.nan,
            math.dist(lab_n, lab_y),
            math.dist(lab_y, lab([white])[0]),
        ]
    return rows


# ------------------------------------------------------------------------------------- outlines


def best_path(gain, rows, cost):
    """Position in each row of the path of largest gain less the cost of its steps."""
    m, turn = gain.shape[1], cost.size // 2
    padded = np.full((rows.size, m + 2 * turn), -np.inf, np.float32)
    padded[0, turn:-turn] = gain[rows[0]]
    for i in range(1, rows.size):
        windows = np.lib.stride_tricks.sliding_window_view(padded[i - 1], m)
        padded[i, turn:-turn] = (windows - cost[:, None]).max(axis=0) + gain[rows[i]]
    path = np.empty(rows.size, np.int64)
    place = path[-1] = int(padded[-1].argmax()) - turn
    for i in range(rows.size - 1, 0, -1):
        place += int((padded[i - 1, place : place + 2 * turn + 1] - cost).argmax()) - turn
        path[i - 1] = place
    return path
