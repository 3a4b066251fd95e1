"""Paint a white cell on a patch: stain densities and exact masks."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat.datasets._drawn.cell_types import LOOKS, Look
from hemafeat.datasets._drawn.shapes import (
    Nucleus,
    branch,
    depth,
    draw_lobes,
    fill,
    noise,
    outline,
    pack_grains,
    scatter_grains,
    smoothstep,
    spine,
)
from hemafeat.datasets._drawn.stain import AZURE, BLUE, EOSIN, HAEM


@dataclass(slots=True)
class PaintedCell:
    """A cell on its patch.

    Attributes
    ----------
    kind : str
        Type of cell.
    planes : (4, h, w) ndarray of float32
        Stain densities; defined only inside `cell`.
    cell, nucleus : (h, w) ndarray of uint8
        Masks, 0 or 1.
    spokes : (72,) ndarray of float64
        Distance, in px, from the centre of the patch to the outline in each direction.
    n_lobes, n_granules, n_vacuoles, n_nucleoli : int
        Numbers of structures.
    """

    kind: str
    planes: np.ndarray
    cell: np.ndarray
    nucleus: np.ndarray
    spokes: np.ndarray
    n_lobes: int
    n_granules: int
    n_vacuoles: int
    n_nucleoli: int


def paint_cell(rng: np.random.Generator, kind: str, px: float) -> PaintedCell:
    """Paint a cell of `kind` at `px` pixels per um."""
    look = LOOKS[kind](rng)
    points = px * outline(
        rng, look.radius, stretch=look.stretch, rough=look.rough, fringe=look.fringe
    )
    half = int(np.ceil(np.abs(points).max())) + 2
    shape = (2 * half + 1, 2 * half + 1)
    points += half
    cell = fill(shape, points)
    inner = depth(cell)
    nucleus = _draw_nucleus(branch(rng), look, shape, cell, inner, px)
    planes = _paint_cytoplasm(branch(rng), look, cell, inner, nucleus.mask, px)
    n_vacuoles = _paint_vacuoles(branch(rng), look, planes, inner, nucleus, px)
    n_nucleoli = 0
    if look.shape != "none":
        n_nucleoli = _paint_chromatin(branch(rng), look, planes, nucleus, px)
    n_granules = _paint_granules(branch(rng), look, planes, cell, inner, nucleus.mask, px)
    x, y = (points - half).T
    angle = np.arctan2(y, x)
    order = np.argsort(angle)
    directions = np.arange(72) * (2 * np.pi / 72) - np.pi
    spokes = np.interp(directions, angle[order], np.hypot(x, y)[order], period=2 * np.pi)
    return PaintedCell(
        kind,
        planes,
        cell,
        nucleus.mask,
        spokes,
        nucleus.n_lobes,
        n_granules,
        n_vacuoles,
        n_nucleoli,
    )


def _draw_nucleus(
    rng: np.random.Generator,
    look: Look,
    shape: tuple[int, int],
    cell: np.ndarray,
    inner: np.ndarray,
    px: float,
) -> Nucleus:
    if look.shape == "none":
        empty = np.zeros(shape, np.uint8)
        return Nucleus(empty, empty, 0)
    space = float(inner.max())
    middle = np.array(np.unravel_index(int(inner.argmax()), shape)[::-1], float)
    area = look.fraction * float(cell.sum()) / px**2
    direction = rng.uniform(0, 2 * np.pi)
    offset = np.array([np.cos(direction), np.sin(direction)]) * look.off
    if look.shape == "round":
        radius = np.sqrt(area / np.pi)
        stretch = 1 + abs(rng.normal(0, 0.09))
        slack = max(0.0, space / px - radius * np.sqrt(stretch) - 0.1)
        points = outline(rng, radius, stretch=stretch, rough=0.015 + 0.03 * look.edge)
        mask = fill(shape, px * points + middle + px * slack * offset)
        nucleus = Nucleus(mask, np.zeros(shape, np.uint8), 1)
    else:
        bent = look.shape == "bent"
        n_lobes = 1 if bent else look.n_lobes
        if bent:
            width = np.sqrt(area / (1.75 * look.aspect + 2.9))
            length, widths = look.aspect * width, np.array([width])
        else:
            sizes = np.exp(rng.normal(0, 0.16, n_lobes))
            widths = sizes * np.sqrt(area / (sizes**2).sum() / (2.95 * look.aspect))
            length = float((2 * look.aspect * widths).sum())
        turn = look.turn
        if not bent:
            # A longer chain of lobes has to curl up more to fit into the cell.
            turn = np.clip(length / (space / px) * rng.uniform(1.1, 1.7), 0.8, 5.4)
        curve = spine(rng, length, turn, wander=0.15 if bent else 0.3, s=look.flip)
        reach = np.hypot(curve[:, 0], curve[:, 1]).max() + widths.max()
        limit = 0.97 * space / px
        if reach > limit:
            curve *= max(0.5, (limit - widths.max()) / max(reach - widths.max(), 1e-6))
            reach = limit
        gap = 0.0 if bent else float(rng.uniform(0.05, 0.32))
        centre = middle + px * (limit - reach) * offset
        nucleus = draw_lobes(rng, shape, centre, px, curve, widths, gap, look.edge)
    # A thin rim of cytoplasm always surrounds the nucleus.
    nucleus.mask &= (inner > 0.18 * px).astype(np.uint8)
    nucleus.crease &= nucleus.mask
    return nucleus


def _paint_cytoplasm(
    rng: np.random.Generator,
    look: Look,
    cell: np.ndarray,
    inner: np.ndarray,
    nucleus: np.ndarray,
    px: float,
) -> np.ndarray:
    shape = cell.shape
    fine = noise(rng, shape, 0.5 * px)
    broad = noise(rng, shape, 2.2 * px)
    vary = 1.0 + look.mottle * (0.45 * fine + 0.4 * broad)
    vary += look.rim * np.exp(-inner / (0.5 * px))
    if look.hof and nucleus.any():
        gap = cv2.distanceTransform(1 - nucleus, cv2.DIST_L2, 3)
        vary -= look.hof * np.exp(-gap / (0.7 * px))
    # Cytoplasm is thinner at the edge of the cell.
    vary *= 0.55 + 0.45 * smoothstep(inner, 0.0, 0.45 * px)
    np.clip(vary, 0.1, 2.5, out=vary)
    planes = np.empty((4, *shape), np.float32)
    shift = np.float32(0.35 * look.mottle) * broad
    planes[AZURE] = look.azure * vary
    planes[BLUE] = look.blue * vary * (1 - shift)
    planes[EOSIN] = look.eosin * vary * (1 + shift)
    planes[HAEM] = look.haem * vary
    return planes


def _paint_vacuoles(
    rng: np.random.Generator,
    look: Look,
    planes: np.ndarray,
    inner: np.ndarray,
    nucleus: Nucleus,
    px: float,
) -> int:
    """Add vacuoles to `planes` and return their number."""
    if not look.n_vacuoles:
        return 0
    cytoplasm = ((inner > 0) & (nucleus.mask == 0)).astype(np.uint8)
    distance = cv2.distanceTransform(cytoplasm, cv2.DIST_L2, 3)
    pixels = np.flatnonzero(distance > 0.3 * px)
    if pixels.size == 0:
        return 0
    # Vacuoles are clustered around the first one.
    first = pixels[int(rng.random() * pixels.size)]
    row, column = np.unravel_index(pixels, inner.shape)
    away = np.hypot(row - first // inner.shape[1], column - first % inner.shape[1]) / px
    weight = np.exp(-away / 2.0)
    centres = rng.choice(pixels, size=look.n_vacuoles, p=weight / weight.sum())
    pale = np.zeros(inner.shape, np.float32)
    for centre in centres:
        y, x = divmod(int(centre), inner.shape[1])
        r = min(look.vacuole * np.exp(rng.normal(0, 0.3)) * px, float(distance.flat[centre]) * 1.1)
        cv2.circle(pale, (x * 16, y * 16), round(r * 16), 1.0, -1, cv2.LINE_8, 4)
    # Overlapping vacuoles count as one.
    n_vacuoles = cv2.connectedComponents(pale.astype(np.uint8))[0] - 1
    pale = cv2.GaussianBlur(pale, (0, 0), 0.08 * px)
    planes *= 1.0 - 0.9 * pale * (nucleus.mask == 0)
    return n_vacuoles


def _paint_chromatin(
    rng: np.random.Generator, look: Look, planes: np.ndarray, nucleus: Nucleus, px: float
) -> int:
    """Add chromatin to `planes` and return the number of nucleoli."""
    mask = nucleus.mask
    shape = (mask.shape[0], mask.shape[1])
    inner = depth(mask)
    # With a single scale, open chromatin would consist of strands of one width.
    fine = 0.85 * noise(rng, shape, look.grain * px) + 0.53 * noise(
        rng, shape, 0.5 * look.grain * px
    )
    broad = noise(rng, shape, 3.2 * look.grain * px)
    rim = np.exp(-inner / (0.22 * px))
    opening = smoothstep(fine + 0.45 * broad - 1.6 * rim, look.opened - 0.35, look.opened + 0.55)
    azure = look.density * (1.0 + look.clump * broad + 0.10 * fine + 0.10 * rim)
    azure *= 1.0 - look.contrast * opening
    azure *= 1.0 - 0.38 * nucleus.crease
    azure *= 0.75 + 0.25 * smoothstep(inner, 0.0, 0.3 * px)
    blue = np.full(shape, 0.04 * look.density, np.float32) * (1.0 - 0.7 * opening)
    n_nucleoli = 0
    if look.n_nucleoli:
        deep = np.flatnonzero(inner > 1.1 * px)
        spots = np.zeros(shape, np.uint8)
        for _ in range(look.n_nucleoli if deep.size else 0):
            y, x = divmod(int(deep[int(rng.random() * deep.size)]), shape[1])
            r = rng.uniform(0.5, 1.05) * px
            axes = (round(r * 16), round(r * 16 * rng.uniform(0.75, 1.0)))
            tilt = float(rng.uniform(0, 180))
            cv2.ellipse(spots, (x * 16, y * 16), axes, tilt, 0, 360, 1, -1, cv2.LINE_8, 4)
        n_nucleoli = cv2.connectedComponents(spots)[0] - 1
        soft = cv2.GaussianBlur(spots.astype(np.float32), (0, 0), 0.14 * px)
        ring = soft * (1 - soft) * 4
        azure *= 1.0 - 0.42 * soft + 0.16 * ring
        blue += 0.10 * soft
    inside = mask > 0
    planes[AZURE][inside] = np.clip(azure, 0.2, 2.4)[inside]
    planes[BLUE][inside] = blue[inside]
    planes[EOSIN][inside] = (0.03 + 0.10 * opening)[inside]
    planes[HAEM][inside] = 0.0
    return n_nucleoli


def _paint_granules(
    rng: np.random.Generator,
    look: Look,
    planes: np.ndarray,
    cell: np.ndarray,
    inner: np.ndarray,
    nucleus: np.ndarray,
    px: float,
) -> int:
    """Add granules to `planes` and return their number."""
    total = 0
    for grain in look.grains:
        mask = (inner > 0.8 * grain.sigma * px).astype(np.uint8)
        if not grain.over_nucleus:
            mask &= 1 - nucleus
        if grain.spacing > 0:
            heights, n = pack_grains(branch(rng), mask, grain.spacing * px, grain.sigma * px)
        else:
            if look.shape == "none":
                # Granules of a platelet lie in its centre.
                centre = inner > rng.uniform(0.25, 0.4) * float(inner.max())
                mask &= centre.astype(np.uint8)
                number = grain.number
            else:
                # The number refers to a cytoplasm of 75 square um.
                number = round(grain.number * float(mask.sum()) / (75.0 * px * px))
            heights, n = scatter_grains(branch(rng), mask, number, grain.sigma * px)
        density = 1.0 - np.exp(-1.4 * heights)
        if not grain.over_nucleus:
            density *= 1 - 0.85 * nucleus
        planes[AZURE] += np.float32(grain.azure) * density
        planes[EOSIN] += np.float32(grain.eosin) * density
        total += n
    return total
