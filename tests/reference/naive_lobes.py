"""Lobes and lobulation from their definitions, in plain NumPy: slow, independent of hemafeat."""

from __future__ import annotations

import itertools
import math

import numpy as np
from scipy import ndimage, sparse
from skimage import morphology

from reference.naive_geometry import (
    EIGHT,
    covariance_of,
    crofton,
    edge_midpoints,
    hull_of,
    per_cell,
    widest_gap,
)

SHARES = (20, 35, 50, 65, 80)

# ---------------------------------------------------------------------------------------- lobes


def depth_of(inside):
    """Return the distance of the centre of each pixel to that of the nearest one outside."""
    return ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]


def neighbours(pixel, shape):
    """Yield the up to 8 pixels around one."""
    for step in itertools.product((-1, 0, 1), repeat=2):
        r, c = pixel[0] + step[0], pixel[1] + step[1]
        if step != (0, 0) and 0 <= r < shape[0] and 0 <= c < shape[1]:
            yield r, c


def merge_tree(inside):
    """Add the pixels from the deepest down, and join the parts they connect.

    Returns, for every peak, [pixel, squared depth, squared depth at which it joins a higher one,
    peak on the other side of the saddle]; and the peak that each pixel rises to.
    """
    squared = np.rint(depth_of(inside) ** 2).astype(int)
    order = sorted(map(tuple, np.argwhere(inside)), key=lambda p: (-squared[p], p))
    rank = {pixel: i for i, pixel in enumerate(order)}
    rises_to, part, peaks = {}, {}, {}
    for pixel in order:
        before = sorted((p for p in neighbours(pixel, inside.shape) if p in part), key=rank.get)
        if not before:
            peaks[pixel] = [pixel, squared[pixel], 0, None]
            rises_to[pixel] = part[pixel] = pixel
            continue
        rises_to[pixel] = rises_to[before[0]]
        parts = sorted({part[p] for p in before}, key=rank.get)
        for lost in parts[1:]:
            across = next(p for p in before if part[p] != lost)
            peaks[lost][2:] = [squared[pixel], rises_to[across]]
            part.update({p: parts[0] for p, of in part.items() if of == lost})
        part[pixel] = parts[0]
    return list(peaks.values()), rises_to


def lobe_values(inside, area):
    peaks, rises_to = merge_tree(inside)
    radius = math.sqrt(area / math.pi)
    chief = min(peaks, key=lambda p: (-p[1], p[0]))[0]
    counted = [
        p for p in peaks if p[0] == chief or math.pi * (math.sqrt(p[1]) - 0.5) ** 2 >= 0.02 * area
    ]
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
    """Return the pixels of a skeleton, and the lengths of the links between them as a graph."""
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
    """Return the pixel farthest from `start`, its distance, and the pixel before each one."""
    away, before = sparse.csgraph.dijkstra(graph, indices=start, return_predecessors=True)
    away[~np.isfinite(away)] = -1
    end = int(np.argmax(away > away.max() - 1e-9))
    return end, away[end], before


def skeleton_values(inside):
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
    """Return the overlap with the mirror image in the line through `centre` along `axis`."""
    pixels = {tuple(p) for p in np.argwhere(inside)}
    from_centre = np.array(sorted(pixels)) - centre
    mirrored = centre + 2 * np.outer(from_centre @ axis, axis) - from_centre
    overlap = sum(tuple(p) in pixels for p in np.floor(mirrored + 0.5).astype(int))
    return overlap / (2 * len(pixels) - overlap)


def upright(inside):
    """Return the box of a mask in the orientation that comes first as a word of 0 and 1."""
    rows, columns = np.nonzero(inside)
    box = inside[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    ways = [np.rot90(mirrored, k) for mirrored in (box, box[::-1]) for k in range(4)]
    return min(ways, key=lambda way: (len(way), way.ravel().tolist()))


def lobes(image, labels, n_cells):
    def measure_lobes(mask):
        inside = upright(mask)
        area = inside.sum()
        radius = math.sqrt(area / math.pi)
        depth = depth_of(inside)
        under = depth[inside] - 0.5
        values, cores = lobe_values(inside, area)
        centre, covariance = covariance_of(inside)
        variances, axes = np.linalg.eigh(covariance)
        isotropic = variances[1] - variances[0] <= 1e-10 * variances.sum()
        filled = np.argwhere(hull_of(inside)[2])
        hull_centre = filled.mean(axis=0)
        gaps = np.maximum(abs(np.argwhere(inside) - centre) - 0.5, 0)
        central = ndimage.map_coordinates(
            np.maximum(depth - 0.5, 0), np.transpose([centre, hull_centre]), order=1
        )
        return [
            *values,
            under.max(),
            under.max() / radius,
            under.mean() / radius,
            under.std() / under.mean(),
            *[(under > share * radius).mean() for share in (0.2, 0.3, 0.4, 0.5, 0.6)],
            *cores,
            *skeleton_values(inside),
            *[
                math.nan if isotropic else mirror_overlap(inside, centre, axes[:, k])
                for k in (1, 0)
            ],
            widest_gap(edge_midpoints(inside), hull_centre),
            *(central / under.max()),
            np.linalg.norm(gaps, axis=1).min() / radius,
        ]

    return per_cell(labels, n_cells, 37, measure_lobes)


# ----------------------------------------------------------------------------------- lobulation


def lower_median(levels):
    """Return the lower median; 0 without a level."""
    return int(np.sort(levels)[(len(levels) - 1) // 2]) if len(levels) else 0


def dense_regions(levels, cell, nucleus):
    """Return region and number of holes above each share, in blocks, and the pixels per block."""
    low, high = lower_median(levels[cell & ~nucleus]), lower_median(levels[nucleus])
    if high <= low:
        return [], 0
    rows, columns = np.nonzero(cell)
    box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    step = max(1, math.isqrt(nucleus.sum() // 512))

    def sum_blocks(plane):
        # Each pixel as 2 x 2 quarters, so that blocks centred on the box cut none of them.
        quarters = np.repeat(np.repeat(plane, 2, axis=0), 2, axis=1)
        quarters = np.pad(quarters, [(-length % step,) * 2 for length in plane.shape])
        height, width = (length // (2 * step) for length in quarters.shape)
        return quarters.reshape(height, 2 * step, width, 2 * step).sum(axis=(1, 3)) / 4

    number, total = sum_blocks(cell[box].astype(int)), sum_blocks(levels[box] * cell[box])
    regions = []
    for share in SHARES:
        bound = 100 * low + share * (high - low)
        region = (100 * total > number * bound) & (2 * number >= step**2)
        parts, n = ndimage.label(region)
        for part in range(1, n + 1):
            if 50 * (parts == part).sum() * step**2 < nucleus.sum():
                region[parts == part] = False
        framed = np.pad(region, 1)
        parts, n = ndimage.label(~framed, EIGHT)
        n_holes = 0
        for part in set(range(1, n + 1)) - {parts[0, 0]}:
            if 100 * (parts == part).sum() * step**2 < nucleus.sum():
                framed[parts == part] = True
            else:
                n_holes += 1
        regions.append((framed[1:-1, 1:-1], n_holes))
    return regions, step**2


def lobulation(image, cell, nucleus, n_cells, white):
    density = np.log10((white[0] + 1) / (image[..., 0] + 1.0))
    levels = np.clip(np.floor(density * (256 / 1.5)), 0, 255).astype(int)
    rows = np.full((n_cells, 5, 19), np.nan)
    for k in range(n_cells):
        inner, outer = nucleus == k + 1, cell == k + 1
        if not (inner.any() and outer.any()):
            continue
        regions, block = dense_regions(levels, outer, inner)
        for row, (inside, n_holes) in zip(rows[k], regions, strict=False):
            area = inside.sum()
            if area == 0:
                continue
            radius = math.sqrt(area / math.pi)
            under = depth_of(inside)[inside] - 0.5
            values, cores = lobe_values(inside, area)
            row[:] = [
                *values[:2],
                *values[5:],
                under.max() / radius,
                under.mean() / radius,
                under.std() / under.mean(),
                *[(under > share * radius).mean() for share in (0.2, 0.3, 0.4, 0.5, 0.6)],
                *cores,
                area * block / inner.sum(),
                area / hull_of(inside)[2].sum(),
                4 * math.pi * area / crofton(inside) ** 2,
                n_holes,
            ]
    return rows.reshape(n_cells, 95)
