"""The smear around the white cells: red cells, platelets, and all of it laid on one field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat.datasets._drawn.paint import Painted, paint
from hemafeat.datasets._drawn.shapes import branch, depth, fill, noise, outlines
from hemafeat.datasets._drawn.stain import AZURE, BLUE, EOSIN, HAEM


@dataclass(slots=True)
class Scene:
    """Stain densities and labels of a whole field."""

    planes: np.ndarray
    cell: np.ndarray
    nucleus: np.ndarray
    n_red: int
    n_touching: int


@dataclass(frozen=True, slots=True)
class RedCells:
    """What the red cells of one smear have in common."""

    radius: float
    density: float
    pallor: float
    pallor_width: float
    rough: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> RedCells:
        """One patient's red cells."""
        return cls(
            radius=float(rng.normal(3.65, 0.18)),
            density=float(rng.normal(0.155, 0.018)),
            pallor=float(rng.uniform(0.25, 0.95)),
            pallor_width=float(rng.uniform(0.22, 0.5)),
            rough=float(rng.uniform(0.01, 0.03)),
        )


def compose(
    rng: np.random.Generator,
    shape: tuple[int, int],
    px: float,
    cells: Sequence[Painted],
    places: np.ndarray,
    red: RedCells,
    crowding: float,
) -> Scene:
    """Lay white cells on a field and surround them.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : (H, W)
    px : float
        Pixels per micrometre.
    cells : sequence of Painted
    places : (n, 2) ndarray of int
        Centre of each cell, (x, y) px. A later cell lies on top of an earlier one.
    red : RedCells
    crowding : float
        Part of the field red cells would cover if they did not overlap. 0: neither red cells nor
        platelets are drawn around the white cells.
    """
    planes = np.zeros((4, *shape), np.float32)
    _ground(branch(rng), planes, px)
    cell = np.zeros(shape, np.int32)
    nucleus = np.zeros(shape, np.int32)
    white = np.zeros(shape, np.uint8)
    windows = []
    for painted, (x, y) in zip(cells, places, strict=True):
        window = _window(shape, painted.cell.shape, int(x), int(y))
        windows.append(window)
        field, patch = window
        white[field] |= painted.cell[patch]
    centres = _red_places(branch(rng), shape, px, cells, places, red.radius, crowding)
    n_touching = _red_cells(branch(rng), planes, white, centres, px, red)
    if crowding > 0:
        _platelets(branch(rng), planes, white, px)
    for number, (painted, (field, patch)) in enumerate(zip(cells, windows, strict=True), 1):
        inside = painted.cell[patch] > 0
        view = planes[:, field[0], field[1]]
        np.copyto(view, painted.planes[:, patch[0], patch[1]], where=inside)
        cell[field][inside] = number
        nucleus[field][inside] = painted.nucleus[patch][inside].astype(np.int32) * number
    return Scene(planes, cell, nucleus, len(centres), n_touching)


def _window(
    shape: tuple[int, int], patch: tuple[int, ...], x: int, y: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where a patch centred at (x, y) falls on the field, and which part of it does."""
    field, part = [], []
    for size, side, middle in zip(shape, patch, (y, x), strict=True):
        start = middle - side // 2
        low, high = max(0, start), max(0, min(size, start + side))
        field.append(slice(low, high))
        part.append(slice(low - start, max(low, high) - start))
    return (field[0], field[1]), (part[0], part[1])


def _ground(rng: np.random.Generator, planes: np.ndarray, px: float) -> None:
    shape = (planes.shape[1], planes.shape[2])
    # Dried plasma: a breath of eosin and blue, and now and then a speck of precipitate.
    veil = noise(rng, (shape[0] // 8 + 1, shape[1] // 8 + 1), 9.0 * px / 8)
    veil = np.float32(abs(rng.normal(0.0, 0.006))) * np.maximum(0.0, 1.0 + 0.5 * veil)
    planes[EOSIN] = cv2.resize(veil, shape[::-1])
    planes[BLUE] = 0.5 * planes[EOSIN]
    for _ in range(int(rng.poisson(0.5))):
        x, y = rng.integers(0, shape[1]), rng.integers(0, shape[0])
        r = rng.uniform(0.12, 0.4) * px
        value = float(rng.uniform(0.4, 1.4))
        speck = planes[AZURE]
        cv2.circle(speck, (int(x), int(y)), max(1, round(r)), value, -1)


def _red_places(
    rng: np.random.Generator,
    shape: tuple[int, int],
    px: float,
    cells: Sequence[Painted],
    places: np.ndarray,
    radius: float,
    crowding: float,
) -> np.ndarray:
    """(n, 2) centres: a shaken hexagonal lattice with holes, pushed off the white cells."""
    if crowding <= 0:
        return np.zeros((0, 2))
    r = radius * px
    keep = float(rng.uniform(0.6, 0.95))
    spacing = np.sqrt(keep * np.pi * r * r / crowding / 0.866)
    reach = 0.5 * np.hypot(*shape) + 2 * r
    steps = np.arange(-int(reach / spacing) - 1, int(reach / spacing) + 2)
    x, y = np.meshgrid(steps * spacing, steps * spacing * 0.866)
    x = x + 0.5 * spacing * (np.arange(len(steps)) % 2)[:, None]
    grid = np.stack([x.ravel(), y.ravel()], 1) + rng.uniform(-0.5, 0.5, 2) * spacing
    grid = grid[rng.random(len(grid)) < keep]
    grid += rng.normal(0.0, 0.19 * spacing, grid.shape)
    tilt = rng.uniform(0, np.pi / 3)
    turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    grid = grid @ turn.T + np.array([shape[1] / 2, shape[0] / 2])
    for painted, place in zip(cells, np.asarray(places, float), strict=True):
        # Every other white cell lies free, the rest have red cells against or partly under them.
        low, high = (0.72, 1.05) if rng.random() < 0.55 else (1.2, 1.5)
        away = grid - place
        distance = np.hypot(away[:, 0], away[:, 1])
        sector = np.rint((np.arctan2(away[:, 1], away[:, 0]) + np.pi) / (2 * np.pi) * 72)
        border = painted.spokes[sector.astype(int) % 72]
        # Those well under the white cell were never there; those at its edge it pushed aside.
        inside = distance < 0.55 * border
        contact = border + r * rng.uniform(low, high, len(grid))
        pushed = np.maximum(distance, contact)
        grid = place + away * (pushed / np.maximum(distance, 1.0))[:, None]
        grid = grid[~inside]
    seen = (grid > -r).all(1) & (grid < np.array([shape[1], shape[0]]) + r).all(1)
    return grid[seen]


def _red_cells(
    rng: np.random.Generator,
    planes: np.ndarray,
    white: np.ndarray,
    centres: np.ndarray,
    px: float,
    red: RedCells,
) -> int:
    """Add the red cells to `planes`; the number of them that touch a white cell."""
    n = len(centres)
    radii = red.radius * px * np.exp(rng.normal(0, 0.05, n))
    stretch = 1 + abs(rng.normal(0, 0.1, n))
    shapes = outlines(rng, radii, stretch, red.rough, np.zeros((1, 60)), orders=5)
    # Thickness of each disc from its edge (rho 1) to its middle (rho 0).
    rho = 1.0 - np.arange(256) / 255.0
    width = red.pallor_width * np.exp(rng.normal(0, 0.15, (n, 1)))
    pallor = np.clip(red.pallor * rng.uniform(0.6, 1.15, (n, 1)), 0, 0.97)
    profiles = 1.0 - pallor * np.exp(-0.7 * (rho / width) ** 3)
    profiles *= 0.72 + 0.28 * np.clip((1 - rho) / 0.16, 0, 1)
    profiles *= red.density * np.exp(rng.normal(0, 0.06, (n, 1)))
    # A reticulocyte still holds RNA.
    young = rng.random(n) < 0.04
    near = cv2.dilate(white, np.ones((3, 3), np.uint8))
    n_touching = 0
    for points, profile, (x, y), rna in zip(
        shapes, profiles.astype(np.float32), centres, young, strict=True
    ):
        half = int(np.ceil(np.abs(points).max())) + 2
        shape = (2 * half + 1, 2 * half + 1)
        field, patch = _window((planes.shape[1], planes.shape[2]), shape, round(x), round(y))
        if field[0].start >= field[0].stop or field[1].start >= field[1].stop:
            continue
        mask = fill(shape, points + half)
        inner = cv2.GaussianBlur(depth(mask), (0, 0), 0.25 * px)
        level = cv2.convertScaleAbs(inner, alpha=255.0 / max(float(inner.max()), 1.0))
        thick = cv2.LUT(level, profile)
        thick *= mask
        planes[HAEM][field] += thick[patch]
        if rna:
            planes[BLUE][field] += 0.35 * thick[patch]
        n_touching += int((near[field] & mask[patch]).any())
    return n_touching


def _platelets(rng: np.random.Generator, planes: np.ndarray, white: np.ndarray, px: float) -> None:
    shape = (planes.shape[1], planes.shape[2])
    area = shape[0] * shape[1] / px**2
    for _ in range(int(rng.poisson(2.2 * area / 1300.0))):
        x, y = int(rng.integers(0, shape[1])), int(rng.integers(0, shape[0]))
        reach = int(4.0 * px)
        field, _ = _window(shape, (2 * reach + 1, 2 * reach + 1), x, y)
        # Most lie between the red cells; a few lie on one.
        middle = planes[HAEM, max(0, y - reach // 4) : y + reach // 4 + 1, x]
        crowded = float(middle.max()) > 0.03
        if white[field].any() or (crowded and rng.random() < 0.75):
            continue
        painted = paint(branch(rng), "platelet", px * float(rng.uniform(0.6, 1.0)))
        field, patch = _window(shape, painted.cell.shape, x, y)
        inside = painted.cell[patch] > 0
        strength = np.float32(rng.uniform(0.6, 1.0))
        planes[:, field[0], field[1]] += np.where(
            inside, painted.planes[:, patch[0], patch[1]] * strength, 0
        )
