"""Shape, outline and rim from their definitions, in plain NumPy: slow, independent of hemafeat."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage, spatial, stats
from skimage import measure

EIGHT = np.ones((3, 3), int)


def per_cell(labels, n_cells, n_columns, function):
    """Call `function(inside)` for every cell; cells without a pixel get a row of NaN."""
    rows = np.full((n_cells, n_columns), np.nan)
    for cell in range(n_cells):
        inside = labels == cell + 1
        if inside.any():
            rows[cell] = function(inside)
    return rows


# ---------------------------------------------------------------------------------------- shape


def crofton(inside):
    """Return the Crofton perimeter: how often lines in four directions enter or leave the mask."""
    padded = np.pad(inside, 1)
    crossings = [
        (padded[:, 1:] != padded[:, :-1]).sum(),
        (padded[1:] != padded[:-1]).sum(),
        (padded[1:, 1:] != padded[:-1, :-1]).sum() / math.sqrt(2),
        (padded[1:, :-1] != padded[:-1, 1:]).sum() / math.sqrt(2),
    ]
    return math.pi / 8 * sum(crossings)


def edge_midpoints(inside):
    """Return (row, column) of the midpoint of each edge between a pixel inside and one outside."""
    padded = np.pad(inside, 1)
    vertical = np.argwhere(padded[:, 1:] != padded[:, :-1]) - (1, 0.5)
    horizontal = np.argwhere(padded[1:] != padded[:-1]) - (0.5, 1)
    return np.concatenate([vertical, horizontal])


def hull_of(inside):
    """Return the vertices, facets and pixels of the convex hull of the edge midpoints."""
    hull = spatial.ConvexHull(edge_midpoints(inside))
    vertices = hull.points[hull.vertices]
    # Qhull may keep a point in the middle of a side; coordinates are multiples of a half, so this
    # test is exact.
    before, after = vertices - np.roll(vertices, 1, 0), np.roll(vertices, -1, 0) - vertices
    vertices = vertices[before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0] != 0]
    pixels = np.argwhere(np.ones_like(inside))
    within = (pixels @ hull.equations[:, :2].T + hull.equations[:, 2] <= 1e-9).all(axis=1)
    return vertices, hull.equations, within.reshape(inside.shape)


def distance_to_segment(points, start, stop):
    """Return the distance of each point to a segment."""
    along = np.clip((points - start) @ (stop - start) / ((stop - start) ** 2).sum(), 0, 1)
    return np.linalg.norm(points - start - along[:, None] * (stop - start), axis=1)


def bay_depths(inside, vertices, filled):
    """Return the depth of each bay: a part of the hull outside the mask that opens to its edge."""
    depths = []
    bays, n_bays = ndimage.label(filled & ~inside)
    for bay in range(1, n_bays + 1):
        points = np.argwhere(bays == bay).astype(float)
        distances = [
            distance_to_segment(points, start, stop)
            for start, stop in zip(vertices, np.roll(vertices, -1, 0), strict=True)
        ]
        lids = [distance for distance in distances if distance.min() <= 1 + 1e-9]
        if lids:
            depths.append(np.min(lids, axis=0).max() + 0.5)
    return np.array(depths)


def covariance_of(inside):
    """Return the centroid and the 2x2 covariance of the pixel centres."""
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

    vertices, _, filled = hull_of(inside)
    outer, facets, _ = hull_of(filled)
    widths = -(outer @ facets[:, :2].T + facets[:, 2]).min(axis=0)
    lengths = np.ptp(outer @ np.stack([-facets[:, 1], facets[:, 0]]), axis=0)
    feret = spatial.distance.pdist(outer).max()

    midpoints = edge_midpoints(inside)
    r = np.linalg.norm(midpoints - centre, axis=1)
    constant = r.std() <= 1e-12 * r.mean()
    ellipse = math.nan
    if minor > 0:
        d = np.sqrt(
            np.einsum(
                "ki,ij,kj->k", midpoints - centre, np.linalg.inv(covariance), midpoints - centre
            )
        )
        ellipse = d.std() / d.mean()

    parts, n_parts = ndimage.label(inside, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel())[1:]
    # Holes are the parts of the background that are not connected to the surroundings.
    n_holes = ndimage.label(np.pad(~inside, 1, constant_values=True))[1] - 1
    depths = bay_depths(inside, vertices, filled)
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


# ------------------------------------------------------------------------------------- boundary


def outline_of(inside):
    """Return the closed contour of the largest part as complex numbers, clockwise on screen."""
    parts, _ = ndimage.label(inside, EIGHT)
    largest = np.argmax(np.bincount(parts.ravel())[1:]) + 1
    whole = ndimage.binary_fill_holes(np.pad(parts == largest, 1))
    contours = measure.find_contours(whole.astype(float), 0.5, fully_connected="high")
    contour = max(contours, key=len)[:-1]
    z = contour[:, 1] + 1j * contour[:, 0]
    return z if np.imag(np.conj(z) * np.roll(z, -1)).sum() > 0 else z[::-1]


def harmonic(z, k):
    """Return the Fourier coefficient k of a closed polygon at constant speed, side by side."""
    sides = np.roll(z, -1) - z
    ends = np.concatenate([[0], np.cumsum(abs(sides))])
    length = ends[-1]
    total = 0
    w = -2j * math.pi * k / length
    for start, side, a, b in zip(z, sides, ends[:-1], ends[1:], strict=True):
        slope = side / (b - a)
        # The antiderivative of (start + slope (s - a)) exp(w s).
        upper = (start + side) / w - slope / w**2
        lower = start / w - slope / w**2
        total += upper * np.exp(w * b) - lower * np.exp(w * a)
    return total / length


def curvatures(z):
    """Return the curvatures of circles through each point and those L / 16 away, and L."""
    ends = np.concatenate([[0], np.cumsum(abs(np.roll(z, -1) - z))])
    length, closed = ends[-1], np.append(z, z[0])

    def point_at(s):
        return np.interp(s % length, ends, closed.real) + 1j * np.interp(
            s % length, ends, closed.imag
        )

    before, after = point_at(ends[:-1] - length / 16), point_at(ends[:-1] + length / 16)
    cross = np.imag(np.conj(z - before) * (after - z))
    return 2 * cross / (abs(z - before) * abs(after - z) * abs(after - before)), length


def mean_boxes(inside, size):
    """Return the mean number of boxes with a pixel of the inner edge, over four corners."""
    plus = ndimage.generate_binary_structure(2, 1)
    edge = inside & ~ndimage.binary_erosion(inside, plus)
    rows, columns = np.nonzero(edge)
    rows, columns = rows - rows.min(), columns - columns.min()
    return np.mean(
        [
            len(set(zip(r // size, c // size, strict=True)))
            for r in (rows, rows.max() - rows)
            for c in (columns, columns.max() - columns)
        ]
    )


def hu_logs(inside):
    """Return sign times log10 of the size of the invariants of Hu, exactly; NaN where one is 0."""
    points = np.argwhere(inside)
    area = len(points)
    rows, columns = ((area * axis - axis.sum()).astype(object) for axis in points.T)

    def moment(p, q):
        # A moment of the order p + q has been multiplied by area^(p + q).
        return (rows**p * columns**q).sum()

    n20, n02, n11 = moment(2, 0), moment(0, 2), moment(1, 1)
    n30, n03, n21, n12 = moment(3, 0), moment(0, 3), moment(2, 1), moment(1, 2)
    t0, t1, u0, u1 = n30 + n12, n21 + n03, n30 - 3 * n12, 3 * n21 - n03
    invariants = [
        (n20 + n02, 4),
        ((n20 - n02) ** 2 + 4 * n11**2, 8),
        (u0**2 + u1**2, 11),
        (t0**2 + t1**2, 11),
        (u0 * t0 * (t0**2 - 3 * t1**2) + u1 * t1 * (3 * t0**2 - t1**2), 22),
        ((n20 - n02) * (t0**2 - t1**2) + 4 * n11 * t0 * t1, 15),
        (u1 * t0 * (t0**2 - 3 * t1**2) - u0 * t1 * (3 * t0**2 - t1**2), 22),
    ]
    return [
        math.copysign(1, h) * (math.log10(abs(h)) - power * math.log10(area)) if h else math.nan
        for h, power in invariants
    ]


def boundary(image, labels, n_cells):
    def measure_outline(inside):
        z = outline_of(inside)
        first = abs(harmonic(z, 1))
        k, length = curvatures(z)
        relative = k * length / (2 * math.pi)
        start = int(np.argmax(k))
        turned = np.roll(relative, -start)
        negative, n_negative = ndimage.label(turned < -1e-6)
        deep = sum(turned[negative == i + 1].min() < -0.5 for i in range(n_negative))
        rows, columns = np.nonzero(inside)
        sizes = np.array([2, 4, 8, 16])
        wide = max(np.ptp(rows), np.ptp(columns)) + 1 >= 16
        return [
            *[abs(harmonic(z, m)) / first for m in (2, 3, 4, 5, 6, 7, -1, -2, -3, -4, -5)],
            (k**2).mean(),
            (relative**2).mean(),
            deep,
            (relative < -0.5).mean(),
            relative.min(),
            relative.max(),
            *hu_logs(inside),
            -np.polyfit(np.log(sizes), np.log([mean_boxes(inside, s) for s in sizes]), 1)[0]
            if wide
            else math.nan,
        ]

    return per_cell(labels, n_cells, 25, measure_outline)


# ------------------------------------------------------------------------------------------ rim


def last_crossing(inside, centre, angle):
    """Return the distance along a ray to the last pixel edge between inside and outside."""
    direction = np.array([math.sin(angle), math.cos(angle)])
    last = math.nan
    for midpoint in edge_midpoints(inside):
        # An edge with a half in its row is horizontal, and the ray crosses it at that row.
        axis = 0 if midpoint[0] % 1 else 1
        distance = (midpoint[axis] - centre[axis]) / direction[axis]
        aside = centre[1 - axis] + distance * direction[1 - axis] - midpoint[1 - axis]
        if distance > 0 and abs(aside) <= 0.5:
            last = np.nanmax([last, distance])
    return last


def contact_share(nucleus, cell):
    """Return the share of boundary pixels of the nucleus within 2 px of the outside of the cell."""
    plus = ndimage.generate_binary_structure(2, 1)
    border = nucleus & ~ndimage.binary_erosion(nucleus, plus)
    rows, columns = np.mgrid[-2:3, -2:3]
    # Eroding by a disc of radius 2 removes pixels within 2 px of the outside.
    deep = ndimage.binary_erosion(cell, rows**2 + columns**2 <= 4)
    return (border & ~deep).sum() / border.sum()


def axis_angle(a, b):
    """Return the degrees between the first principal axes of two covariances."""
    directions = []
    for matrix in (a, b):
        values, vectors = np.linalg.eigh(matrix)
        if values[1] - values[0] <= 1e-10 * values.sum():
            return math.nan
        directions.append(vectors[:, 1])
    cross = directions[0][0] * directions[1][1] - directions[0][1] * directions[1][0]
    return math.degrees(math.atan2(abs(cross), abs(directions[0] @ directions[1])))


def widest_gap(points, centre):
    """Return the widest angle between neighbouring directions of points, in degrees."""
    angles = np.sort(np.arctan2(*(points - centre).T))
    return math.degrees(np.diff(angles, append=angles[0] + 2 * math.pi).max())


def open_by_octagon(inside, radius):
    """Open a mask by steps of a plus and a square in turn."""
    padded = np.pad(inside, radius + 1)
    plus = ndimage.generate_binary_structure(2, 1)
    octagon = np.zeros((2 * radius + 1, 2 * radius + 1), bool)
    octagon[radius, radius] = True
    for step in range(radius):
        octagon = ndimage.binary_dilation(octagon, EIGHT if step % 2 else plus)
    return ndimage.binary_opening(padded, octagon)[
        radius + 1 : -radius - 1, radius + 1 : -radius - 1
    ]


def rim(image, cell, nucleus, n_cells):
    rows = np.full((n_cells, 13), np.nan)
    for k in range(n_cells):
        inner, outer = nucleus == k + 1, cell == k + 1
        if not (inner.any() and outer.any()):
            continue
        centre = covariance_of(inner)[0]
        angles = np.radians(np.arange(2.5, 360, 5))
        through = np.array(
            [last_crossing(outer, centre, a) - last_crossing(inner, centre, a) for a in angles]
        )
        met = np.isfinite(through)
        by_direction = [math.nan] * 8
        if met.any():
            bare, n_bare = ndimage.label(np.tile(through <= 1, 2))
            widest = max([(bare == i + 1).sum() for i in range(n_bare)], default=0)
            t, a = through[met], angles[met]
            by_direction = [
                *np.percentile(t, [10, 50, 90]),
                (t <= 1).mean(),
                5 * min(widest, 72),
                *[
                    abs((t * np.exp(1j * m * a)).sum()) / t.sum() if t.sum() > 0 else math.nan
                    for m in (1, 2, 3)
                ],
            ]
        area = outer.sum()
        radius = max(round(0.1 * math.sqrt(area / math.pi)), 1)
        kept = open_by_octagon(outer, radius)
        parts, _ = ndimage.label(outer & ~kept, EIGHT)
        sizes = np.bincount(parts.ravel())[1:]
        sizes = sizes[2 * sizes >= radius**2]
        rows[k] = [
            *by_direction,
            widest_gap(edge_midpoints(inner), covariance_of(outer)[0]),
            crofton(outer) / crofton(kept) - 1 if kept.any() else math.nan,
            sizes.size,
            sizes.sum() / area,
            sizes.max(initial=0) / area,
        ]
    return rows
