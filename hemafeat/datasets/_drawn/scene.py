"""Compose a smear field of white cells, red cells and platelets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat.datasets._drawn.paint import PaintedCell, paint_cell
from hemafeat.datasets._drawn.shapes import branch, depth, fill, noise, outlines
from hemafeat.datasets._drawn.stain import AZURE, BLUE, EOSIN, HAEM


@dataclass(slots=True)
class Scene:
    """Stain densities (4, H, W) and label images (H, W) of a field, and numbers of red cells."""

    planes: np.ndarray
    cell: np.ndarray
    nucleus: np.ndarray
    red: np.ndarray
    platelet: np.ndarray
    n_red: int
    n_touching: int


@dataclass(frozen=True, slots=True)
class RedCells:
    """Mean properties of the red cells of a smear, and how much they vary; lengths in um.

    `pallor_edge` tells how sharp the border of the pale centre is, `stretch` is the typical excess
    of length over width, `spread` the relative deviation of the radius, `mix` that of the density,
    and `target` the share of target cells.
    """

    radius: float
    density: float
    pallor: float
    pallor_width: float
    rough: float
    pallor_edge: float = 3.0
    stretch: float = 0.1
    spread: float = 0.05
    mix: float = 0.06
    target: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> RedCells:
        """Draw the properties of a patient at random."""
        return cls(
            radius=float(rng.normal(3.65, 0.18)),
            density=float(rng.normal(0.155, 0.018)),
            pallor=float(rng.uniform(0.25, 0.95)),
            pallor_width=float(rng.uniform(0.22, 0.5)),
            rough=float(rng.uniform(0.01, 0.03)),
        )

    @classmethod
    def draw_wide(cls, rng: np.random.Generator) -> RedCells:
        """Draw the properties of any patient: anaemias, elliptocytes, cells without a pale centre.

        The density varies with the stain, see `Stain.draw_wide`.
        """
        return cls(
            radius=float(np.clip(rng.normal(3.6, 0.3), 2.9, 4.4)),
            density=0.2,
            pallor=float(rng.choice([0.0, rng.uniform(0.3, 0.97)], p=[0.15, 0.85])),
            pallor_width=float(rng.uniform(0.25, 0.85)),
            rough=float(rng.uniform(0.01, 0.06)),
            pallor_edge=float(rng.uniform(2.0, 8.0)),
            stretch=float(rng.choice([0.08, 0.25, 0.8], p=[0.6, 0.25, 0.15])),
            spread=float(rng.uniform(0.04, 0.18)),
            mix=float(rng.uniform(0.04, 0.25)),
            target=float(rng.choice([0.0, rng.uniform(0.05, 0.5)], p=[0.7, 0.3])),
        )


def compose(
    rng: np.random.Generator,
    shape: tuple[int, int],
    px: float,
    cells: Sequence[PaintedCell],
    centres: np.ndarray,
    red: RedCells,
    crowding: float,
    platelets: float = 1.0,
) -> Scene:
    """Place white cells on a field and surround them with red cells and platelets.

    Parameters
    ----------
    rng : numpy.random.Generator
        Generator of the random numbers.
    shape : (H, W)
        Size of the field, in px.
    px : float
        Pixels per um.
    cells : sequence of PaintedCell
        White cells.
    centres : (n, 2) ndarray of int
        Centre (x, y) of each cell, in px. A later cell covers earlier ones.
    red : RedCells
        Properties of the red cells.
    crowding : float
        Fraction of the field that red cells would cover if they did not overlap. With 0 there are
        neither red cells nor platelets.
    platelets : float
        Number of platelets relative to that of a normal smear; from 2 on some lie in groups.

    Returns
    -------
    Scene
        Stain densities and label images.
    """
    planes = np.zeros((4, *shape), np.float32)
    _paint_background(branch(rng), planes, px)
    cell = np.zeros(shape, np.int32)
    nucleus = np.zeros(shape, np.int32)
    white = np.zeros(shape, np.uint8)
    windows = []
    for painted, (x, y) in zip(cells, centres, strict=True):
        window = _window(shape, painted.cell.shape, int(x), int(y))
        windows.append(window)
        field, patch = window
        white[field] |= painted.cell[patch]
    red_centres = _place_red_cells(branch(rng), shape, px, cells, centres, red.radius, crowding)
    red_labels, n_touching = _paint_red_cells(branch(rng), planes, white, red_centres, px, red)
    platelet = np.zeros(shape, np.int32)
    if crowding > 0:
        platelet = _paint_platelets(branch(rng), planes, white, px, platelets)
    for number, (painted, (field, patch)) in enumerate(zip(cells, windows, strict=True), 1):
        inside = painted.cell[patch] > 0
        view = planes[:, field[0], field[1]]
        np.copyto(view, painted.planes[:, patch[0], patch[1]], where=inside)
        cell[field][inside] = number
        nucleus[field][inside] = painted.nucleus[patch][inside].astype(np.int32) * number
    red_labels[(cell > 0) | (platelet > 0)] = 0
    platelet[cell > 0] = 0
    return Scene(planes, cell, nucleus, red_labels, platelet, len(red_centres), n_touching)


def _window(
    shape: tuple[int, int], patch: tuple[int, ...], x: int, y: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the slices of a field and of a patch centred at (x, y) where the two overlap."""
    field, part = [], []
    for size, side, middle in zip(shape, patch, (y, x), strict=True):
        start = middle - side // 2
        low, high = max(0, start), max(0, min(size, start + side))
        field.append(slice(low, high))
        part.append(slice(low - start, max(low, high) - start))
    return (field[0], field[1]), (part[0], part[1])


def _paint_background(rng: np.random.Generator, planes: np.ndarray, px: float) -> None:
    shape = (planes.shape[1], planes.shape[2])
    # Dried plasma stains faintly with eosin and blue and sometimes has specks of precipitate.
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


def _place_red_cells(
    rng: np.random.Generator,
    shape: tuple[int, int],
    px: float,
    cells: Sequence[PaintedCell],
    centres: np.ndarray,
    radius: float,
    crowding: float,
) -> np.ndarray:
    """Choose (n, 2) centres on a jittered hexagonal lattice with gaps, outside of white cells."""
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
    for painted, centre in zip(cells, np.asarray(centres, float), strict=True):
        # About half of the white cells have red cells that touch them or lie partly under them.
        low, high = (0.72, 1.05) if rng.random() < 0.55 else (1.2, 1.5)
        offset = grid - centre
        distance = np.hypot(offset[:, 0], offset[:, 1])
        sector = np.rint((np.arctan2(offset[:, 1], offset[:, 0]) + np.pi) / (2 * np.pi) * 72)
        border = painted.spokes[sector.astype(int) % 72]
        # Red cells well inside the white cell are removed; those at its edge are moved outwards.
        inside = distance < 0.55 * border
        contact = border + r * rng.uniform(low, high, len(grid))
        moved = np.maximum(distance, contact)
        grid = centre + offset * (moved / np.maximum(distance, 1.0))[:, None]
        grid = grid[~inside]
    in_view = (grid > -r).all(1) & (grid < np.array([shape[1], shape[0]]) + r).all(1)
    return grid[in_view]


def _paint_red_cells(
    rng: np.random.Generator,
    planes: np.ndarray,
    white: np.ndarray,
    centres: np.ndarray,
    px: float,
    red: RedCells,
) -> tuple[np.ndarray, int]:
    """Add red cells to `planes`; return their labels and how many of them touch a white cell."""
    n = len(centres)
    labels = np.zeros(white.shape, np.int32)
    radii = red.radius * px * np.exp(rng.normal(0, red.spread, n))
    stretch = 1 + abs(rng.normal(0, red.stretch, n))
    shapes = outlines(rng, radii, stretch, red.rough, np.zeros((1, 60)), orders=5)
    # Thickness of each disc from its edge (rho 1) to its centre (rho 0).
    rho = 1.0 - np.arange(256) / 255.0
    width = red.pallor_width * np.exp(rng.normal(0, 0.15, (n, 1)))
    pallor = np.clip(red.pallor * rng.uniform(0.6, 1.15, (n, 1)), 0, 0.97)
    profiles = 1.0 - pallor * np.exp(-0.7 * (rho / width) ** red.pallor_edge)
    profiles *= 0.72 + 0.28 * np.clip((1 - rho) / 0.16, 0, 1)
    profiles *= red.density * np.exp(rng.normal(0, red.mix, (n, 1)))
    if red.target > 0:
        targets = rng.random((n, 1)) < red.target
        profiles += targets * 0.7 * red.density * np.exp(-((rho / 0.25) ** 2))
    # Reticulocytes contain RNA.
    reticulocyte = rng.random(n) < 0.04
    near = cv2.dilate(white, np.ones((3, 3), np.uint8))
    n_touching = 0
    for number, (points, profile, (x, y), has_rna) in enumerate(
        zip(shapes, profiles.astype(np.float32), centres, reticulocyte, strict=True), 1
    ):
        half = int(np.ceil(np.abs(points).max())) + 2
        shape = (2 * half + 1, 2 * half + 1)
        field, patch = _window((planes.shape[1], planes.shape[2]), shape, round(x), round(y))
        if field[0].start >= field[0].stop or field[1].start >= field[1].stop:
            continue
        mask = fill(shape, points + half)
        inner = cv2.GaussianBlur(depth(mask), (0, 0), 0.25 * px)
        level = cv2.convertScaleAbs(inner, alpha=255.0 / max(float(inner.max()), 1.0))
        thickness = cv2.LUT(level, profile)
        thickness *= mask
        planes[HAEM][field] += thickness[patch]
        if has_rna:
            planes[BLUE][field] += 0.35 * thickness[patch]
        labels[field][mask[patch] > 0] = number
        n_touching += int((near[field] & mask[patch]).any())
    return labels, n_touching


def _paint_platelets(
    rng: np.random.Generator, planes: np.ndarray, white: np.ndarray, px: float, number: float
) -> np.ndarray:
    """Add platelets to `planes` and return their labels."""
    shape = (planes.shape[1], planes.shape[2])
    labels = np.zeros(shape, np.int32)
    area = shape[0] * shape[1] / px**2
    centres: list[tuple[int, int]] = []
    for i in range(int(rng.poisson(2.2 * number * area / 1300.0))):
        x, y = int(rng.integers(0, shape[1])), int(rng.integers(0, shape[0]))
        if number >= 2.0 and centres and rng.random() < 0.6:
            # In a group each lies beside another one.
            near, away = centres[int(rng.integers(len(centres)))], rng.normal(0.0, 2.5 * px, 2)
            x = int(np.clip(near[0] + away[0], 0, shape[1] - 1))
            y = int(np.clip(near[1] + away[1], 0, shape[0] - 1))
        reach = int(4.0 * px)
        field, _ = _window(shape, (2 * reach + 1, 2 * reach + 1), x, y)
        # Most platelets lie between red cells, a few on top of one.
        haemoglobin = planes[HAEM, max(0, y - reach // 4) : y + reach // 4 + 1, x]
        on_red_cell = float(haemoglobin.max()) > 0.03
        if white[field].any() or (on_red_cell and rng.random() < 0.75):
            continue
        painted = paint_cell(branch(rng), "platelet", px * float(rng.uniform(0.6, 1.0)))
        field, patch = _window(shape, painted.cell.shape, x, y)
        inside = painted.cell[patch] > 0
        strength = np.float32(rng.uniform(0.6, 1.0))
        planes[:, field[0], field[1]] += np.where(
            inside, painted.planes[:, patch[0], patch[1]] * strength, 0
        )
        labels[field][inside] = i + 1
        centres.append((x, y))
    return labels
