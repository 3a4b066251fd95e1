"""Draw outlines, nuclei, band-limited noise and granules."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_SHIFT = 4  # fractional bits of OpenCV's polygon coordinates


def branch(rng: np.random.Generator) -> np.random.Generator:
    """Return an independent generator, so that parts of a drawing do not influence each other.

    Versions of OpenCV may differ by a pixel along an outline. With a common stream of random
    numbers, such a pixel would change everything that is drawn afterwards.
    """
    return np.random.default_rng(rng.integers(0, 2**63, 2))


def noise(rng: np.random.Generator, shape: tuple[int, int], period: float) -> np.ndarray:
    """Return isotropic noise, (H, W) float32, of mean 0, SD 1 and a period of about `period` px."""
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
    """Return a closed outline, (n_points, 2) of (x, y), around 0: an ellipse with waves.

    `rough` is the amplitude of waves of 2 to 7 periods, `fringe` that of waves of 12 to 40 periods,
    both relative to the radius. The area is close to that of the circle.
    """
    angle = np.arange(n_points) * (2 * np.pi / n_points)
    fine = np.zeros((1, n_points))
    if fringe > 0:
        order = rng.integers(12, 41, 8)
        phase = rng.uniform(0, 2 * np.pi, 8)
        # Large parts of a rim are smooth.
        weight = np.clip(0.5 + np.cos(angle * rng.integers(1, 4) + phase[0]), 0.1, 1.0)
        fine += fringe * weight * np.cos(order[:, None] * angle + phase[:, None]).sum(0) / 2.0
    return outlines(rng, np.array([radius]), np.array([stretch]), rough, fine)[0]


def outlines(
    rng: np.random.Generator,
    radii: np.ndarray,
    stretch: np.ndarray,
    rough: float,
    fine: np.ndarray,
    orders: int = 7,
) -> np.ndarray:
    """Return several outlines, (n, n_points, 2); `fine`, (1 or n, n_points), adds to the waves."""
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
    """Return the mask, (H, W) uint8, 0 or 1, of a closed outline of points (x, y), in px."""
    mask = np.zeros(shape, np.uint8)
    fixed = np.rint(points * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(mask, [fixed[:, None, :]], 1, shift=_SHIFT)
    return mask


def depth(mask: np.ndarray) -> np.ndarray:
    """Return the distance, (H, W) float32, of each mask pixel to the nearest pixel outside."""
    return cv2.distanceTransform(mask, cv2.DIST_L2, 3)


def spine(
    rng: np.random.Generator, length: float, turn: float, *, wander: float = 0.15, s: float = 0.0
) -> np.ndarray:
    """Return a curve, (48, 2), of a given length that turns by `turn` rad in total.

    `s`, if positive, is the fraction of the length at which the curvature changes its sign.
    """
    t = np.linspace(0.0, 1.0, 48)
    bend = np.where(t < s, -1.0, 1.0) if s > 0 else np.ones(48)
    heading = np.cumsum(bend) * (turn / 48) + wander * np.cumsum(rng.standard_normal(48)) / 3.0
    heading += rng.uniform(0, 2 * np.pi)
    step = length / 47
    points = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1) * step, 0)
    return points - (points.max(0) + points.min(0)) / 2


@dataclass(slots=True)
class Nucleus:
    """A nucleus on its patch: its mask, creases where lobes overlap, and its number of lobes."""

    mask: np.ndarray
    crease: np.ndarray
    n_lobes: int


def draw_lobes(
    rng: np.random.Generator,
    shape: tuple[int, int],
    centre: np.ndarray,
    px: float,
    curve: np.ndarray,
    widths: np.ndarray,
    gap: float,
    edge: float,
) -> Nucleus:
    """Draw lobes along a curve, joined by filaments.

    Parameters
    ----------
    rng : numpy.random.Generator
        Generator of the random numbers.
    shape : (H, W)
        Size of the patch, in px.
    centre : (2,) ndarray
        Position (x, y) of the centre of the curve, in px.
    px : float
        Pixels per um.
    curve : (n, 2) ndarray
        Result of `spine`, in um.
    widths : (n_lobes,) ndarray
        Half width of each lobe, in um.
    gap : float
        Fraction of the curve between lobes. With 0 the lobes merge without constriction, as in a
        band or kidney-shaped nucleus.
    edge : float
        Unevenness of the edge, 0 to 1.

    Returns
    -------
    Nucleus
        Mask, creases and number of lobes.
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
        disc = np.zeros(shape, np.uint8)
        for (x, y), r in zip(along, profile * widths[lobe] * px, strict=True):
            position = (round(float(x) * 16), round(float(y) * 16))
            cv2.circle(disc, position, round(float(r) * 16), 1, -1, shift=_SHIFT)
        soft = cv2.GaussianBlur(disc.astype(np.float32), (0, 0), 0.28 * px)
        disc = ((soft + edge * 0.15 * uneven) > 0.5).astype(np.uint8)
        if gap > 0 and lobe:
            band = cv2.dilate(disc, np.ones((3, 3), np.uint8), iterations=max(1, round(0.1 * px)))
            crease[(band > 0) & (mask > 0)] = 1
        crease[disc > 0] = 0
        mask |= disc
    if gap > 0:
        thickness = max(1, round(rng.uniform(0.3, 0.65) * px))
        fixed = np.rint(path * (1 << _SHIFT)).astype(np.int32)
        cv2.polylines(mask, [fixed[:, None, :]], False, 1, thickness, shift=_SHIFT)
        crease &= mask
    return Nucleus(mask, crease, n_lobes)


def smoothstep(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return 0 below `low`, 1 above `high` and a cubic transition between them."""
    t = np.clip((values - low) * (1.0 / (high - low)), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def scatter_grains(
    rng: np.random.Generator, mask: np.ndarray, n: int, sigma: float, spread: float = 0.35
) -> tuple[np.ndarray, int]:
    """Draw round granules at random pixels of a mask.

    Returns
    -------
    heights : (H, W) ndarray of float32
        Height 1 at the centre of a granule of average strength; overlapping granules add.
    n : int
        Number of granules.
    """
    flat = np.flatnonzero(mask)
    field = np.zeros(mask.shape, np.float32)
    n = int(min(n, flat.size))
    if n == 0:
        return field, 0
    position, deviation = rng.random((n, 2)).T
    pixels = flat[(position * flat.size).astype(np.int64)]
    strength = np.exp(spread * np.sqrt(12.0) * (deviation - 0.5)).astype(np.float32)
    np.add.at(field.ravel(), pixels, strength * np.float32(2 * np.pi * max(sigma, 0.45) ** 2))
    return cv2.GaussianBlur(field, (0, 0), max(sigma, 0.45)), n


def pack_grains(
    rng: np.random.Generator, mask: np.ndarray, spacing: float, sigma: float, spread: float = 0.3
) -> tuple[np.ndarray, int]:
    """Draw round granules on a jittered grid inside a mask; see `scatter_grains`."""
    height, width = mask.shape
    x, y = np.meshgrid(np.arange(0, width, spacing), np.arange(0, height, spacing * 0.87))
    x = x + 0.5 * spacing * (np.arange(len(x)) % 2)[:, None]
    jitter = rng.normal(0.0, 0.24 * spacing, (2, *x.shape))
    column = np.rint(x + jitter[0]).astype(np.int64).ravel()
    row = np.rint(y + jitter[1]).astype(np.int64).ravel()
    strength = np.exp(rng.normal(0.0, spread, row.size)).astype(np.float32)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    inside[inside] = mask[row[inside], column[inside]] > 0
    row, column, strength = row[inside], column[inside], strength[inside]
    field = np.zeros(mask.shape, np.float32)
    np.add.at(field, (row, column), strength * np.float32(2 * np.pi * max(sigma, 0.45) ** 2))
    return cv2.GaussianBlur(field, (0, 0), max(sigma, 0.45)), int(row.size)
