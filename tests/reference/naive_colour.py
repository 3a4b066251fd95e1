"""Families that measure colour, from their definitions: plain, slow, independent of hemafeat."""

from __future__ import annotations

import math

import numpy as np

from reference.naive_geometry import crofton, hull_of


def _descale(values, bits):
    return np.floor(values / 2**bits + 0.5).astype(int)


def opencv_codes(rgb):
    """Convert (N, 3) levels to R, G, B, H, S, V, L, a, b, Y, Cr, Cb in 8 bits, as OpenCV does."""
    r, g, b = rgb.T.astype(int)
    high, low = rgb.max(axis=1).astype(int), rgb.min(axis=1).astype(int)
    chroma = high - low
    saturation = _descale(chroma * np.rint(255 * 4096 / np.maximum(high, 1)), 12)
    side = np.where(high == r, g - b, np.where(high == g, b - r + 2 * chroma, r - g + 4 * chroma))
    hue = _descale(side * np.rint(30 * 4096 / np.maximum(chroma, 1)), 12)
    hue = np.where(hue < 0, hue + 180, hue)

    share = np.arange(256) / 255
    gamma = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    linear = np.rint(gamma * 255 * 8)[rgb]
    to_xyz = np.array(
        [
            [0.412453 / 0.950456, 0.357580 / 0.950456, 0.180423 / 0.950456],
            [0.212671, 0.715160, 0.072169],
            [0.019334 / 1.088754, 0.119193 / 1.088754, 0.950227 / 1.088754],
        ]
    )
    relative = _descale(linear @ np.rint(to_xyz * 4096).T, 12) / (255 * 8)
    root = np.where(
        relative < (6 / 29) ** 3, relative * (29 / 6) ** 2 / 3 + 4 / 29, np.cbrt(relative)
    )
    x, y, z = np.rint(root * 2**15).T
    lab = [
        _descale(296 * y - math.floor((16 * 255 * 2**15 + 50) / 100), 15),
        _descale(500 * (x - y), 15) + 128,
        _descale(200 * (y - z), 15) + 128,
    ]

    luma = _descale(r * 4899 + g * 9617 + b * 1868, 14)
    red = _descale((r - luma) * 11682, 14) + 128
    blue = _descale((b - luma) * 9241, 14) + 128
    return np.clip([r, g, b, hue, saturation, high, *lab, luma, red, blue], 0, 255)


def tavakoli(image, cell, nucleus, n_cells, white):
    gain = np.mean(white) / np.asarray(white)
    balanced = np.minimum(np.rint(image * gain), 255).astype(np.uint8)
    rows = np.full((n_cells, 51), np.nan)
    for k in range(n_cells):
        inside, whole = nucleus == k + 1, cell == k + 1
        if not inside.any() or not whole.any():
            continue
        hull = hull_of(inside)[2]
        perimeter, area = crofton(inside), inside.sum()
        row = [area / hull.sum(), crofton(hull) / perimeter, perimeter**2 / (4 * math.pi * area)]
        around = hull & whole & ~inside
        parts = [opencv_codes(balanced[part]) for part in (inside, around)]
        both = np.concatenate(parts, axis=1)
        for channel in range(12):
            for statistic in (np.mean, np.std):
                divisor = statistic(both[channel])
                for part in parts:
                    defined = part.shape[1] and divisor > 0
                    row.append(statistic(part[channel]) / divisor if defined else math.nan)
        rows[k] = row
    return rows


GIEMSA = np.array([[0.834750233, 0.513556283, 0.196330403], [0.092789, 0.954111, 0.283111]])


def macenko_vectors(density):
    """Return two unit vectors from the (N, 3) densities of a cell, more red first, or None."""
    usable = density[np.linalg.norm(density, axis=1) > 0.15]
    if len(usable) < 2:
        return None
    _, strength, main = np.linalg.svd(usable, full_matrices=False)
    if strength[1] ** 2 <= 1e-9 * strength[0] ** 2:
        return None
    direction = main[0] * np.sign(main[0].sum())
    x, y = usable @ direction, usable @ main[1]
    if (x > 0).sum() < 2:
        return None
    angles = np.percentile(np.arctan2(y, x)[x > 0], [1, 99])
    vectors = [math.cos(a) * direction + math.sin(a) * main[1] for a in angles]
    return np.array(sorted(vectors, key=lambda v: -v[0]))


def u_star(rgb):
    share = rgb / 255
    linear = np.where(share > 0.04045, ((share + 0.055) / 1.055) ** 2.4, share / 12.92)
    matrix = [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
    x, y, z = np.array(matrix) @ linear.T
    lightness = np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 116 * 7.787 * y)
    weight = np.where(x + y + z > 0, x + 15 * y + 3 * z, 1)
    white = 4 * 0.95047 / (0.95047 + 15 + 3 * 1.08883)
    return 13 * lightness * (4 * x / weight - white)


def dye_amounts(density, mean, vectors):
    """Return mean and standard deviation of each dye and of the residual."""
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    third = np.cross(*vectors)
    inverse = np.linalg.inv([*vectors, third / np.linalg.norm(third)])
    return np.stack([mean @ inverse, (density @ inverse).std(axis=0)], axis=1).ravel()


def stain(image, cell, nucleus, n_cells, white):
    from scipy import stats

    density = np.log10((np.asarray(white) + 1) / (image.astype(float) + 1))
    rows = np.full((n_cells, 34), np.nan)
    for k in range(n_cells):
        inside_cell = cell == k + 1
        if not inside_cell.any():
            continue
        own = macenko_vectors(density[inside_cell])
        angle = math.nan
        if own is not None:
            angle = 2 * math.degrees(math.asin(np.linalg.norm(own[0] - own[1]) / 2))
            rows[k, 26] = angle
            rows[k, 27:33] = own.ravel()
        for part, inside in enumerate([nucleus == k + 1, inside_cell & (nucleus == 0)]):
            if not inside.any():
                continue
            values, mean = density[inside], density[inside].mean(axis=0)
            rows[k, 6 * part :][:6] = dye_amounts(values, mean, GIEMSA)
            if angle >= 1:
                rows[k, 12 + 6 * part :][:6] = dye_amounts(values, mean, own)
            if part == 1:
                u = u_star(image[inside])
                rows[k, 33] = stats.skew(u) if np.ptp(u) > 0 else math.nan
        for index in range(2):
            azure, eosin = rows[k, 12 * index + 6], rows[k, 12 * index + 8]
            if azure + eosin > 0:
                rows[k, 24 + index] = eosin / (azure + eosin)
    return rows


def squared_depth(inside):
    """Return the exact squared distance of every pixel to the nearest one outside."""
    from scipy import ndimage

    padded = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    return np.rint(padded**2).astype(int)


def band_gradient(density, first, first_position, second, second_position):
    if not first.any() or not second.any():
        return math.nan
    distance = first_position[first].mean() - second_position[second].mean()
    return (density[first].mean() - density[second].mean()) / distance


def shell_means(density, inside):
    squared = squared_depth(inside)
    radius = 1 - np.sqrt(squared / squared.max())
    # A radius on the border of two shells is exact or larger by a rounding error.
    shell = np.floor(8 * radius + 1e-12).astype(int)
    shells = [density[inside & (shell == k)] for k in range(8)]
    means = np.array([x.mean() if x.size else math.nan for x in shells])
    position, valid = (np.arange(8) + 0.5) / 8, ~np.isnan(means)
    if valid.sum() < 2:
        return [*means, math.nan, math.nan]
    mean = means[valid].mean()
    cv = means[valid].std() / mean if mean > 0 else math.nan
    return [*means, cv, np.polyfit(position[valid], means[valid], 1)[0]]


def around_nucleus(density, inside, cytoplasm):
    """Return the gradient at the edge of the nucleus, the halo and the pale zone."""
    from scipy import ndimage

    inner, outer = np.sqrt(squared_depth(inside)), ndimage.distance_transform_edt(~inside)
    edge = band_gradient(
        density, inside & (inner <= 2), inner - 0.5, cytoplasm & (outer <= 2), 0.5 - outer
    )
    radius = math.sqrt(inside.sum() / math.pi)
    near = cytoplasm & (outer <= 0.1 * radius)
    far = cytoplasm & (outer > 0.2 * radius) & (outer <= 0.3 * radius)
    halo = density[near].mean() - density[far].mean() if near.any() and far.any() else math.nan
    ring = cytoplasm & (outer <= 0.3 * radius)
    if not ring.any():
        return [edge, halo, math.nan]
    nucleus = np.argwhere(inside)
    dy, dx = (len(nucleus) * np.argwhere(ring) - nucleus.sum(axis=0)).T
    within = np.array(
        [
            (down * dy >= 0) & (right * dx >= 0) & (steep * (abs(dy) - abs(dx)) >= 0)
            for down in (1, -1)
            for right in (1, -1)
            for steep in (1, -1)
        ]
    )
    # A pixel between octants belongs to each of them in equal shares.
    weights, values = within / within.sum(axis=0), density[ring]
    palest = min(
        w @ values / w.sum() for w in weights if w.sum() > 0 and 32 * w.sum() >= len(values)
    )
    return [edge, halo, values.mean() - palest]


def axis_lines(density, whole):
    points = np.argwhere(whole).astype(float)
    centre = points.mean(axis=0)
    (rr, rc), (_, cc) = (points - centre).T @ (points - centre) / len(points)
    if math.hypot(cc - rr, 2 * rc) <= 1e-10 * (rr + cc):
        return [math.nan] * 8
    angle = math.atan2(2 * rc, cc - rr) / 2
    row = []
    for direction in (angle, angle - math.pi / 2):
        steps = np.arange(-sum(whole.shape), sum(whole.shape) + 1)
        points_on_line = centre + steps[:, None] * (math.sin(direction), math.cos(direction))
        x = []
        for point in points_on_line:
            rows, columns = (
                {math.floor(at + 0.5 - 1e-9), math.floor(at + 0.5 + 1e-9)} for at in point
            )
            near = [
                density[r, c]
                for r in rows
                for c in columns
                if 0 <= r < len(whole) and 0 <= c < len(whole[0]) and whole[r, c]
            ]
            x += [np.mean(near)] if near else []
        x = np.array(x)
        if x.size == 0:
            row += [math.nan] * 4
            continue
        variation = abs(np.diff(x)).sum() / np.ptp(x) if np.ptp(x) > 0 else math.nan
        row += [x.std(), x.min(), x.max(), variation]
    return row


def displacements(image, inside):
    points = np.argwhere(inside)
    rgb = image[inside].astype(float)
    row = []
    for weight in (*rgb.T, rgb.sum(axis=1)):
        if weight.sum() == 0:
            row.append(math.nan)
            continue
        offset = (points * weight[:, None]).sum(axis=0) / weight.sum() - points.mean(axis=0)
        row.append(np.linalg.norm(offset) / (2 * math.sqrt(len(points) / math.pi)))
    return row


def profile(image, cell, nucleus, n_cells, white):
    density = np.log10((white[1] + 1) / (image[:, :, 1].astype(float) + 1))
    rows = np.full((n_cells, 30), np.nan)
    for k in range(n_cells):
        whole, inside = cell == k + 1, nucleus == k + 1
        if not whole.any():
            continue
        if inside.any():
            rows[k, :10] = shell_means(density, inside)
            rows[k, [10, 12, 13]] = around_nucleus(density, inside, whole & (nucleus == 0))
            rows[k, 22:26] = displacements(image, inside)
        depth = np.sqrt(squared_depth(whole))
        rows[k, 11] = band_gradient(
            density, whole & (depth > 2) & (depth <= 4), depth, whole & (depth <= 2), depth
        )
        rows[k, 14:22] = axis_lines(density, whole)
        rows[k, 26:] = displacements(image, whole)
    return rows
