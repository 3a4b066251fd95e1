"""Families of geometry from their definitions, in plain NumPy and loops: slow, and on their own."""

from __future__ import annotations

import itertools
import math

import numpy as np
from scipy import ndimage, sparse
from skimage import measure, morphology

EIGHT = np.ones((3, 3), int)


def whole_image():
    """The module of the other twins; it imports this one, so it cannot be imported above."""
    from reference import naive

    return naive


# ---------------------------------------------------------------------------------------- lobes


def depth_of(inside):
    """Distance of the middle of each pixel to the middle of the nearest one outside."""
    return ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]


def neighbours(place, shape):
    """The up to 8 pixels around one."""
    for step in itertools.product((-1, 0, 1), repeat=2):
        r, c = place[0] + step[0], place[1] + step[1]
        if step != (0, 0) and 0 <= r < shape[0] and 0 <= c < shape[1]:
            yield r, c


def flooded(inside):
    """Flood from the deepest pixel down: peaks, saddles, and which peak each pixel rises to.

    Returns, for every peak, [place, squared depth, squared depth at which it joins a higher one,
    peak on the other side of the saddle]; and the peak of every pixel.
    """
    squared = np.rint(depth_of(inside) ** 2).astype(int)
    order = sorted(map(tuple, np.argwhere(inside)), key=lambda p: (-squared[p], p))
    rank = {place: i for i, place in enumerate(order)}
    rises_to, part, peaks = {}, {}, {}
    for place in order:
        before = sorted((p for p in neighbours(place, inside.shape) if p in part), key=rank.get)
        if not before:
            peaks[place] = [place, squared[place], 0, None]
            rises_to[place] = part[place] = place
            continue
        rises_to[place] = rises_to[before[0]]
        parts = sorted({part[p] for p in before}, key=rank.get)
        for lost in parts[1:]:
            across = next(p for p in before if part[p] != lost)
            peaks[lost][2:] = [squared[place], rises_to[across]]
            part.update({p: parts[0] for p, of in part.items() if of == lost})
        part[place] = parts[0]
    return list(peaks.values()), rises_to


def lobe_numbers(inside, area):
    peaks, rises_to = flooded(inside)
    radius = math.sqrt(area / math.pi)
    chief = min(peaks, key=lambda p: (-p[1], p[0]))[0]
    counted = [p for p in peaks if p[0] == chief or math.pi * p[1] >= 0.02 * area]
    deep = {p[0]: math.sqrt(p[1]) - 0.5 for p in counted}
    link = {p[0]: max(math.sqrt(p[2]) - 0.5, 0) for p in counted}
    ratios = sorted(link[p] / deep[p] for p in deep if p != chief)
    kept = {p for p in deep if p == chief or link[p] < 0.75 * deep[p]}
    beside = {p[0]: p[3] for p in peaks}
    sizes = dict.fromkeys(kept, 0)
    for peak in rises_to.values():
        while peak not in kept and peak is not None:
            peak = beside[peak]
        if peak is not None:
            sizes[peak] += 1
    areas = np.sort(list(sizes.values()))[::-1] if len(kept) > 1 else np.array([area, 0])
    cores = [
        sum((math.sqrt(p[2]) - 0.5) <= bound * radius < deep[p[0]] for p in counted)
        for bound in (0.2, 0.4)
    ]
    return (
        [
            len(kept),
            sum(p == chief or link[p] < deep[p] / 3 for p in deep),
            areas.std() / areas.mean() if len(kept) > 1 else 0,
            areas[0] / area,
            areas[1] / area,
            *[*ratios, 1, 1, 1][:3],
        ],
        cores,
    )


def skeleton_graph(skeleton):
    """Lengths of the links between the pixels of a skeleton."""
    points = np.argwhere(skeleton)
    number = {tuple(p): i for i, p in enumerate(points)}
    graph = sparse.lil_matrix((len(points), len(points)))
    for (r, c), i in number.items():
        for other in neighbours((r, c), skeleton.shape):
            corner = (r, other[1]) in number or (other[0], c) in number
            if other in number and (r == other[0] or c == other[1] or not corner):
                graph[i, number[other]] = math.dist((r, c), other)
    return points, graph.tocsr()


def farthest(graph, start):
    away, before = sparse.csgraph.dijkstra(graph, indices=start, return_predecessors=True)
    away[~np.isfinite(away)] = -1
    end = int(np.argmax(away > away.max() - 1e-9))
    return end, away[end], before


def skeleton_numbers(inside):
    skeleton = morphology.thin(np.pad(inside, 1))[1:-1, 1:-1]
    points, graph = skeleton_graph(skeleton)
    width = 2 * depth_of(inside)[skeleton] - 1
    degree = np.diff(graph.indptr)
    few = np.flatnonzero(degree <= 2)
    branches = sparse.csgraph.connected_components(graph[few][:, few])[0] if few.size else 0
    n_parts, parts = sparse.csgraph.connected_components(graph)
    path, length = [], -1.0
    for part in range(n_parts):
        start, _, _ = farthest(graph, int(np.argmax(parts == part)))
        end, reach, before = farthest(graph, start)
        if reach > length + 1e-9:
            length, path = reach, [end]
            while path[-1] != start:
                path.append(before[path[-1]])
    chord = math.dist(points[path[0]], points[path[-1]])
    on_path, m = width[path], len(path)
    turn = bend = math.nan
    if m >= 9:
        chords = np.diff(points[[path[k * (m - 1) // 8] for k in range(9)]], axis=0)
        angles = np.unwrap(np.arctan2(chords[:, 0], chords[:, 1]))
        turn, bend = abs(angles[-1] - angles[0]), abs(np.diff(angles)).sum()
    return [
        graph.sum() / 2,
        branches,
        (degree == 1).sum(),
        length,
        length / chord if chord else math.nan,
        length / on_path.mean(),
        turn,
        bend,
        width.mean(),
        width.std() / width.mean(),
        on_path.std() / on_path.mean(),
        on_path[m // 5 : m - m // 5].min() / on_path.max(),
    ]


def mirror_overlap(inside, centre, axis):
    """Overlap with the region mirrored on a line through `centre` along the unit vector `axis`."""
    here = {tuple(p) for p in np.argwhere(inside)}
    from_centre = np.array(sorted(here)) - centre
    mirrored = centre + 2 * np.outer(from_centre @ axis, axis) - from_centre
    hit = sum(tuple(p) in here for p in np.floor(mirrored + 0.5).astype(int))
    return hit / (2 * len(here) - hit)


def widest_gap(middles, centre):
    """Widest angle between neighbouring directions of points, in degrees."""
    angles = np.sort(np.arctan2(*(middles - centre).T))
    return math.degrees(np.diff(angles, append=angles[0] + 2 * math.pi).max())


def lobes(image, labels, n_cells):
    twins = whole_image()

    def measured(inside):
        area = inside.sum()
        radius = math.sqrt(area / math.pi)
        depth = depth_of(inside)
        under = depth[inside] - 0.5
        numbers, cores = lobe_numbers(inside, area)
        centre, covariance = twins.covariance_of(inside)
        values, vectors = np.linalg.eigh(covariance)
        round_ = values[1] - values[0] <= 1e-10 * values.sum()
        filled = np.argwhere(twins.hull_of(inside)[2])
        hull_centre = filled.mean(axis=0)
        gaps = np.maximum(abs(np.argwhere(inside) - centre) - 0.5, 0)
        at = ndimage.map_coordinates(depth, np.transpose([centre, hull_centre]), order=1)
        return [
            *numbers,
            under.max(),
            under.max() / radius,
            under.mean() / radius,
            under.std() / under.mean(),
            *[(under > share * radius).mean() for share in (0.2, 0.3, 0.4, 0.5, 0.6)],
            *cores,
            *skeleton_numbers(inside),
            *[
                math.nan if round_ else mirror_overlap(inside, centre, vectors[:, k])
                for k in (1, 0)
            ],
            widest_gap(twins.edge_middles(inside), hull_centre),
            *(at / depth.max()),
            np.linalg.norm(gaps, axis=1).min() / radius,
        ]

    return twins.per_cell(labels, n_cells, 37, measured)


# ------------------------------------------------------------------------------------- boundary


def outline_of(inside):
    """Closed contour of the largest part as complex numbers, clockwise on the screen."""
    parts, _ = ndimage.label(inside, EIGHT)
    largest = np.argmax(np.bincount(parts.ravel())[1:]) + 1
    whole = ndimage.binary_fill_holes(np.pad(parts == largest, 1))
    found = measure.find_contours(whole.astype(float), 0.5, fully_connected="high")
    contour = max(found, key=len)[:-1]
    z = contour[:, 1] + 1j * contour[:, 0]
    return z if np.imag(np.conj(z) * np.roll(z, -1)).sum() > 0 else z[::-1]


def harmonic(z, k):
    """Fourier coefficient of a closed polygon at constant speed, integrated side by side."""
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
    """Signed curvature of the circle through each point and those L / 16 to both sides."""
    ends = np.concatenate([[0], np.cumsum(abs(np.roll(z, -1) - z))])
    length, closed = ends[-1], np.append(z, z[0])

    def at(s):
        return np.interp(s % length, ends, closed.real) + 1j * np.interp(
            s % length, ends, closed.imag
        )

    before, after = at(ends[:-1] - length / 16), at(ends[:-1] + length / 16)
    cross = np.imag(np.conj(z - before) * (after - z))
    return 2 * cross / (abs(z - before) * abs(after - z) * abs(after - before)), length


def boxes(inside, size):
    """Mean over the four corners of the boxes that hold a pixel of the inner edge."""
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


def boundary(image, labels, n_cells):
    def measured(inside):
        z = outline_of(inside)
        first = abs(harmonic(z, 1))
        k, length = curvatures(z)
        relative = k * length / (2 * math.pi)
        start = int(np.argmax(k))
        turned = np.roll(relative, -start)
        negative, n_negative = ndimage.label(turned < -1e-6)
        deep = sum(turned[negative == i + 1].min() < -0.5 for i in range(n_negative))
        moments = measure.moments_hu(
            measure.moments_normalized(measure.moments_central(inside.astype(float)))
        )
        bounds = moments[0] ** np.array([1, 2, 3, 3, 6, 4, 6])
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
            *[
                math.log10(abs(h)) * np.sign(h) if abs(h) > 1e-13 * bound else math.nan
                for h, bound in zip(moments, bounds, strict=True)
            ],
            -np.polyfit(np.log(sizes), np.log([boxes(inside, s) for s in sizes]), 1)[0]
            if wide
            else math.nan,
        ]

    return whole_image().per_cell(labels, n_cells, 25, measured)


# ------------------------------------------------------------------------------------------ rim


def opened_by_octagon(inside, radius):
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
    twins = whole_image()
    rows = np.full((n_cells, 13), np.nan)
    for k in range(n_cells):
        inner, outer = nucleus == k + 1, cell == k + 1
        if not (inner.any() and outer.any()):
            continue
        centre = twins.covariance_of(inner)[0]
        angles = np.radians(np.arange(2.5, 360, 5))
        through = np.array(
            [
                twins.last_crossing(outer, centre, a) - twins.last_crossing(inner, centre, a)
                for a in angles
            ]
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
        kept = opened_by_octagon(outer, radius)
        parts, _ = ndimage.label(outer & ~kept, EIGHT)
        sizes = np.bincount(parts.ravel())[1:]
        rows[k] = [
            *by_direction,
            widest_gap(twins.edge_middles(inner), twins.covariance_of(outer)[0]),
            twins.crofton(outer) / twins.crofton(kept) - 1 if kept.any() else math.nan,
            (2 * sizes >= radius**2).sum(),
            sizes.sum() / area,
            sizes.max(initial=0) / area,
        ]
    return rows
