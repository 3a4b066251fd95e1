"""Shapes and textures of drawn cells: outlines, spines of nuclei, band-limited noise, grains."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_SHIFT = 4  # fractional bits of OpenCV's polygon coordinates


def branch(rng: np.random.Generator) -> np.random.Generator:
    """A stream of its own, so that what one part of a drawing uses up changes no other part.

    Versions of OpenCV differ by a pixel here and there along an outline; with one stream for all,
    such a pixel would change everything drawn after it.
    """
    return np.random.default_rng(rng.integers(0, 2**63, 2))


def noise(rng: np.random.Generator, shape: tuple[int, int], period: float) -> np.ndarray:
    """(H, W) float32 isotropic noise of mean 0 and spread 1, with most power near `period` px."""
    step = max(1.0, period / 4.0)
    height, width = (max(4, int(np.ceil(side / step)) + 2) for side in shape)
    sigma = period / step / 4.5
    white = rng.standard_normal((height, width), np.float32)
    fine = cv2.GaussianBlur(white, (0, 0), sigma)
    fine -= cv2.GaussianBlur(white, (0, 0), 1.8 * sigma)
    fine *= np.float32(1.0 / max(float(fine.std()), 1e-6))
    if step > 1.0:
        size = (int(np.ceil(width * step)), int(np.ceil(height * step)))
        fine = cv2.resize(fine, size, interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(fine[: shape[0], : shape[1]])


def outline(
    rng: np.random.Generator,
    radius: float,
    *,
    stretch: float = 1.0,
    rough: float = 0.03,
    fringe: float = 0.0,
    n_points: int = 120,
) -> np.ndarray:
    """(n_points, 2) closed outline (x, y) about 0: an ellipse with waves on it.

    `rough` is the spread of waves of 2 to 7 periods, `fringe` that of 12 to 40, both
    relative to the radius. The area stays near that of the circle.
    """
    angle = np.arange(n_points) * (2 * np.pi / n_points)
    fine = np.zeros((1, n_points))
    if fringe > 0:
        order = rng.integers(12, 41, 8)
        phase = rng.uniform(0, 2 * np.pi, 8)
        # Fringes come in stretches: much of a rim is smooth.
        where = np.clip(0.5 + np.cos(angle * rng.integers(1, 4) + phase[0]), 0.1, 1.0)
        fine += fringe * where * np.cos(order[:, None] * angle + phase[:, None]).sum(0) / 2.0
    return outlines(rng, np.array([radius]), np.array([stretch]), rough, fine)[0]


def outlines(
    rng: np.random.Generator,
    radii: np.ndarray,
    stretch: np.ndarray,
    rough: float,
    fine: np.ndarray,
    orders: int = 7,
) -> np.ndarray:
    """(n, n_points, 2) outlines at once; `fine` is (1 or n, n_points), added to the waves."""
    n, n_points = len(radii), fine.shape[1]
    angle = np.arange(n_points) * (2 * np.pi / n_points)
    order = np.arange(2, orders + 1)
    weight = rough * np.sqrt(2.0) * rng.standard_normal((n, order.size)) / (order / 2.0) ** 1.3
    phase = rng.uniform(0, 2 * np.pi, (n, order.size))
    wave = np.einsum("no,nop->np", weight, np.cos(order[:, None] * angle + phase[:, :, None]))
    spoke = radii[:, None] * np.clip(1.0 + wave + fine, 0.4, 1.8)
    tilt = rng.uniform(0, np.pi, (n, 1))
    root = np.sqrt(stretch)[:, None]
    x, y = spoke * np.cos(angle) * root, spoke * np.sin(angle) / root
    cos, sin = np.cos(tilt), np.sin(tilt)
    return np.stack([cos * x - sin * y, sin * x + cos * y], 2)


def fill(shape: tuple[int, int], points: np.ndarray) -> np.ndarray:
    """(H, W) uint8 mask (0 or 1) of a closed outline of (x, y) pixels."""
    mask = np.zeros(shape, np.uint8)
    fixed = np.rint(points * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(mask, [fixed[:, None, :]], 1, shift=_SHIFT)
    return mask


def depth(mask: np.ndarray) -> np.ndarray:
    """(H, W) float32 distance of each mask pixel to the nearest pixel outside."""
    return cv2.distanceTransform(mask, cv2.DIST_L2, 3)


def spine(
    rng: np.random.Generator, length: float, turn: float, *, wander: float = 0.15, s: float = 0.0
) -> np.ndarray:
    """(48, 2) curve of given length that turns by `turn` rad; with `s` > 0 it turns back there.

    `s` is the place, as a part of the length, where the curvature changes sign.
    """
    t = np.linspace(0.0, 1.0, 48)
    bend = np.where(t < s, -1.0, 1.0) if s > 0 else np.ones(48)
    heading = np.cumsum(bend) * (turn / 48) + wander * np.cumsum(rng.standard_normal(48)) / 3.0
    heading += rng.uniform(0, 2 * np.pi)
    step = length / 47
    points = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1) * step, 0)
    return points - (points.max(0) + points.min(0)) / 2


@dataclass(slots=True)
class Body:
    """A nucleus on its patch: mask, creases where lobes lie on one another, number of lobes."""

    mask: np.ndarray
    crease: np.ndarray
    n_lobes: int


def lobed(
    rng: np.random.Generator,
    shape: tuple[int, int],
    centre: np.ndarray,
    px: float,
    curve: np.ndarray,
    widths: np.ndarray,
    gap: float,
    edge: float,
) -> Body:
    """Lobes strung along a curve and joined by filaments.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : (H, W)
    centre : (2,) ndarray
        Where the middle of the curve lies, (x, y) px.
    px : float
        Pixels per micrometre.
    curve : (n, 2) ndarray
        See `spine`, micrometres.
    widths : (n_lobes,) ndarray
        Half width of each lobe, micrometres.
    gap : float
        Part of the curve between lobes. 0: the lobes run into one another without a waist (a band,
        a kidney).
    edge : float
        How uneven the edge is, 0 to 1.
    """
    n_lobes = widths.size
    path = centre + px * curve
    share = widths / widths.sum()
    ends = np.concatenate([[0.0], np.cumsum(share)])
    t = np.linspace(0.0, 1.0, len(path))
    mask = np.zeros(shape, np.uint8)
    crease = np.zeros(shape, np.uint8)
    uneven = noise(rng, shape, 2.6 * px)
    for lobe in range(n_lobes):
        inside = (t >= ends[lobe]) & (t <= ends[lobe + 1])
        u = (2.0 * (t[inside] - ends[lobe]) / share[lobe] - 1.0) / (1.0 - gap)
        along = path[inside][abs(u) <= 1.0]
        profile = np.sqrt(1.0 - 0.95 * u[abs(u) <= 1.0] ** 2)
        if gap == 0:
            profile = 0.86 + 0.14 * profile
        one = np.zeros(shape, np.uint8)
        for (x, y), r in zip(along, profile * widths[lobe] * px, strict=True):
            place = (round(float(x) * 16), round(float(y) * 16))
            cv2.circle(one, place, round(float(r) * 16), 1, -1, shift=_SHIFT)
        soft = cv2.GaussianBlur(one.astype(np.float32), (0, 0), 0.28 * px)
        one = ((soft + edge * 0.15 * uneven) > 0.5).astype(np.uint8)
        if gap > 0 and lobe:
            band = cv2.dilate(one, np.ones((3, 3), np.uint8), iterations=max(1, round(0.1 * px)))
            crease[(band > 0) & (mask > 0)] = 1
        crease[one > 0] = 0
        mask |= one
    if gap > 0:
        thick = max(1, round(rng.uniform(0.3, 0.65) * px))
        fixed = np.rint(path * (1 << _SHIFT)).astype(np.int32)
        cv2.polylines(mask, [fixed[:, None, :]], False, 1, thick, shift=_SHIFT)
        crease &= mask
    return Body(mask, crease, n_lobes)


def smoothstep(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((values - low) * (1.0 / (high - low)), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def grains(
    rng: np.random.Generator, where: np.ndarray, n: int, sigma: float, spread: float = 0.35
) -> tuple[np.ndarray, int]:
    """Round grains thrown on the pixels of `where`.

    Returns
    -------
    (H, W) float32
        Height 1 at the middle of a grain of average strength; overlapping grains add.
    int
        How many fell on the mask.
    """
    flat = np.flatnonzero(where)
    field = np.zeros(where.shape, np.float32)
    n = int(min(n, flat.size))
    if n == 0:
        return field, 0
    place, luck = rng.random((n, 2)).T
    chosen = flat[(place * flat.size).astype(np.int64)]
    strength = np.exp(spread * np.sqrt(12.0) * (luck - 0.5)).astype(np.float32)
    np.add.at(field.ravel(), chosen, strength * np.float32(2 * np.pi * max(sigma, 0.45) ** 2))
    return cv2.GaussianBlur(field, (0, 0), max(sigma, 0.45)), n


def packed(
    rng: np.random.Generator, where: np.ndarray, spacing: float, sigma: float, spread: float = 0.3
) -> tuple[np.ndarray, int]:
    """Round grains side by side, as on a jittered grid; arguments and result as in `grains`."""
    height, width = where.shape
    x, y = np.meshgrid(np.arange(0, width, spacing), np.arange(0, height, spacing * 0.87))
    x = x + 0.5 * spacing * (np.arange(len(x)) % 2)[:, None]
    jitter = rng.normal(0.0, 0.24 * spacing, (2, *x.shape))
    column = np.rint(x + jitter[0]).astype(np.int64).ravel()
    row = np.rint(y + jitter[1]).astype(np.int64).ravel()
    strength = np.exp(rng.normal(0.0, spread, row.size)).astype(np.float32)
    kept = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    kept[kept] = where[row[kept], column[kept]] > 0
    row, column, strength = row[kept], column[kept], strength[kept]
    field = np.zeros(where.shape, np.float32)
    np.add.at(field, (row, column), strength * np.float32(2 * np.pi * max(sigma, 0.45) ** 2))
    return cv2.GaussianBlur(field, (0, 0), max(sigma, 0.45)), int(row.size)
