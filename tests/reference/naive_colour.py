"""Twins of the families that measure colour: plain, slow, importing nothing of hemafeat."""

from __future__ import annotations

import math

import numpy as np

from reference.naive_geometry import crofton, hull_of


def _descale(values, bits):
    return np.floor(values / 2**bits + 0.5).astype(int)


def opencv_codes(rgb):
    """(12, N): R, G, B, H, S, V, L, a, b, Y, Cr, Cb of (N, 3) levels, as OpenCV codes 8 bits."""
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
    light = _descale(linear @ np.rint(to_xyz * 4096).T, 12) / (255 * 8)
    root = np.where(light < (6 / 29) ** 3, light * (29 / 6) ** 2 / 3 + 4 / 29, np.cbrt(light))
    x, y, z = np.rint(root * 2**15).T
    star = [
        _descale(296 * y - math.floor((16 * 255 * 2**15 + 50) / 100), 15),
        _descale(500 * (x - y), 15) + 128,
        _descale(200 * (y - z), 15) + 128,
    ]

    luma = _descale(r * 4899 + g * 9617 + b * 1868, 14)
    red = _descale((r - luma) * 11682, 14) + 128
    blue = _descale((b - luma) * 9241, 14) + 128
    return np.clip([r, g, b, hue, saturation, high, *star, luma, red, blue], 0, 255)


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


def macenko(density):
    """Two unit vectors from the (N, 3) densities of a cell, more red first; or None."""
    kept = density[np.linalg.norm(density, axis=1) > 0.15]
    if len(kept) < 2:
        return None
    _, strength, main = np.linalg.svd(kept, full_matrices=False)
    if strength[1] ** 2 <= 1e-9 * strength[0] ** 2:
        return None
    along = main[0] * np.sign(main[0].sum())
    x, y = kept @ along, kept @ main[1]
    if (x > 0).sum() < 2:
        return None
    angles = np.percentile(np.arctan2(y, x)[x > 0], [1, 99])
    found = [math.cos(a) * along + math.sin(a) * main[1] for a in angles]
    return np.array(sorted(found, key=lambda v: -v[0]))


def every_kth(values):
    return values[:: max(1, len(values) // 4096)]


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


def amounts(density, mean, vectors):
    """Mean and deviation of each dye and of the residual."""
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    third = np.cross(*vectors)
    inverse = np.linalg.inv([*vectors, third / np.linalg.norm(third)])
    return np.stack([mean @ inverse, (density @ inverse).std(axis=0)], axis=1).ravel()


def stain(image, cell, nucleus, n_cells, white):
    from scipy import stats

    density = np.log10((np.asarray(white) + 1) / (image.astype(float) + 1))
    rows = np.full((n_cells, 34), np.nan)
    for k in range(n_cells):
        whole = cell == k + 1
        if not whole.any():
            continue
        own = macenko(every_kth(density[whole]))
        angle = math.nan
        if own is not None:
            angle = 2 * math.degrees(math.asin(np.linalg.norm(own[0] - own[1]) / 2))
            rows[k, 26] = angle
            rows[k, 27:33] = own.ravel()
        for part, inside in enumerate([nucleus == k + 1, whole & (nucleus == 0)]):
            if not inside.any():
                continue
            values, mean = every_kth(density[inside]), density[inside].mean(axis=0)
            rows[k, 6 * part :][:6] = amounts(values, mean, GIEMSA)
            if angle >= 1:
                rows[k, 12 + 6 * part :][:6] = amounts(values, mean, own)
            if part == 1:
                u = u_star(every_kth(image[inside]))
                rows[k, 33] = stats.skew(u) if np.ptp(u) > 0 else math.nan
        for which in range(2):
            azure, eosin = rows[k, 12 * which + 6], rows[k, 12 * which + 8]
            if azure + eosin > 0:
                rows[k, 24 + which] = eosin / (azure + eosin)
    return rows


def deepest_first(inside):
    """Exact squared distance of every pixel to the nearest one that is not inside."""
    from scipy import ndimage

    padded = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    return np.rint(padded**2).astype(int)


def band_gradient(density, one, one_at, other, other_at):
    if not one.any() or not other.any():
        return math.nan
    apart = one_at[one].mean() - other_at[other].mean()
    return (density[one].mean() - density[other].mean()) / apart


def shell_means(density, inside):
    squared = deepest_first(inside)
    radius = 1 - np.sqrt(squared / squared.max())
    # A radius on the border of two shells comes out exact or a rounding above it.
    shell = np.floor(8 * radius + 1e-12).astype(int)
    picked = [density[inside & (shell == k)] for k in range(8)]
    means = np.array([x.mean() if x.size else math.nan for x in picked])
    at, known = (np.arange(8) + 0.5) / 8, ~np.isnan(means)
    if known.sum() < 2:
        return [*means, math.nan, math.nan]
    mean = means[known].mean()
    cv = means[known].std() / mean if mean > 0 else math.nan
    return [*means, cv, np.polyfit(at[known], means[known], 1)[0]]


def around_nucleus(density, inside, cytoplasm):
    """Gradient at its edge, halo, pale zone."""
    from scipy import ndimage

    inner, outer = np.sqrt(deepest_first(inside)), ndimage.distance_transform_edt(~inside)
    edge = band_gradient(
        density, inside & (inner <= 2), inner - 0.5, cytoplasm & (outer <= 2), 0.5 - outer
    )
    radius = math.sqrt(inside.sum() / math.pi)
    near = cytoplasm & (outer <= 0.1 * radius)
    far = cytoplasm & (outer > 0.2 * radius) & (outer <= 0.3 * radius)
    halo = density[near].mean() - density[far].mean() if near.any() and far.any() else math.nan
    field = cytoplasm & (outer <= 0.3 * radius)
    if not field.any():
        return [edge, halo, math.nan]
    points = np.argwhere(field) - np.argwhere(inside).mean(axis=0)
    dy, dx = points.T
    octant = 4 * (dy < 0) + 2 * (dx < 0) + (abs(dx) < abs(dy))
    values = density[field]
    palest = min(
        values[octant == k].mean() for k in range(8) if 32 * (octant == k).sum() >= values.size
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
    for turn in (angle, angle - math.pi / 2):
        steps = np.arange(-sum(whole.shape), sum(whole.shape) + 1)
        at = centre + steps[:, None] * (math.sin(turn), math.cos(turn))
        pixels = np.floor(at + 0.5).astype(int)
        within = ((pixels >= 0) & (pixels < whole.shape)).all(axis=1)
        r, c = pixels[within].T
        x = density[r, c][whole[r, c]]
        if x.size == 0:
            row += [math.nan] * 4
            continue
        variation = abs(np.diff(x)).sum() / np.ptp(x) if np.ptp(x) > 0 else math.nan
        row += [x.std(), x.min(), x.max(), variation]
    return row


def displaced(image, inside):
    points = np.argwhere(inside)
    rgb = image[inside].astype(float)
    row = []
    for weight in (*rgb.T, rgb.sum(axis=1)):
        if weight.sum() == 0:
            row.append(math.nan)
            continue
        apart = (points * weight[:, None]).sum(axis=0) / weight.sum() - points.mean(axis=0)
        row.append(np.linalg.norm(apart) / (2 * math.sqrt(len(points) / math.pi)))
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
            rows[k, 22:26] = displaced(image, inside)
        depth = np.sqrt(deepest_first(whole))
        rows[k, 11] = band_gradient(
            density, whole & (depth > 2) & (depth <= 4), depth, whole & (depth <= 2), depth
        )
        rows[k, 14:22] = axis_lines(density, whole)
        rows[k, 26:] = displaced(image, whole)
    return rows
