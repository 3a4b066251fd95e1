"""One white cell on a patch of its own: stain densities and exact masks."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat.datasets._drawn.cell_types import LOOKS, Look
from hemafeat.datasets._drawn.shapes import (
    Body,
    branch,
    depth,
    fill,
    grains,
    lobed,
    noise,
    outline,
    packed,
    smoothstep,
    spine,
)
from hemafeat.datasets._drawn.stain import AZURE, BLUE, EOSIN, HAEM


@dataclass(slots=True)
class Painted:
    """A cell on its patch.

    Attributes
    ----------
    planes : (4, h, w) ndarray of float32
        Stain densities; meaningful inside `cell` only.
    cell, nucleus : (h, w) ndarray of uint8
        0 or 1.
    spokes : (72,) ndarray of float64
        Distance, in px, from the patch's centre to the outline in each direction.
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


def paint(rng: np.random.Generator, kind: str, px: float) -> Painted:
    """Draw one cell of `kind` at `px` pixels per micrometre."""
    look = LOOKS[kind](rng)
    points = px * outline(
        rng, look.radius, stretch=look.stretch, rough=look.rough, fringe=look.fringe
    )
    half = int(np.ceil(np.abs(points).max())) + 2
    shape = (2 * half + 1, 2 * half + 1)
    points += half
    cell = fill(shape, points)
    inner = depth(cell)
    body = _nucleus(branch(rng), look, shape, cell, inner, px)
    planes = _cytoplasm(branch(rng), look, cell, inner, body.mask, px)
    n_vacuoles = _vacuoles(branch(rng), look, planes, inner, body, px)
    n_nucleoli = _chromatin(branch(rng), look, planes, body, px) if look.shape != "none" else 0
    n_granules = _granules(branch(rng), look, planes, cell, inner, body.mask, px)
    away = points - half
    turn = np.arctan2(away[:, 1], away[:, 0])
    order = np.argsort(turn)
    directions = np.arange(72) * (2 * np.pi / 72) - np.pi
    spokes = np.interp(
        directions, turn[order], np.hypot(away[:, 0], away[:, 1])[order], period=2 * np.pi
    )
    return Painted(
        kind, planes, cell, body.mask, spokes, body.n_lobes, n_granules, n_vacuoles, n_nucleoli
    )


def _nucleus(
    rng: np.random.Generator,
    look: Look,
    shape: tuple[int, int],
    cell: np.ndarray,
    inner: np.ndarray,
    px: float,
) -> Body:
    if look.shape == "none":
        empty = np.zeros(shape, np.uint8)
        return Body(empty, empty, 0)
    room = float(inner.max())
    middle = np.array(np.unravel_index(int(inner.argmax()), shape)[::-1], float)
    area = look.fraction * float(cell.sum()) / px**2
    direction = rng.uniform(0, 2 * np.pi)
    away = np.array([np.cos(direction), np.sin(direction)]) * look.off
    if look.shape == "round":
        radius = np.sqrt(area / np.pi)
        stretch = 1 + abs(rng.normal(0, 0.09))
        slack = max(0.0, room / px - radius * np.sqrt(stretch) - 0.1)
        points = outline(rng, radius, stretch=stretch, rough=0.015 + 0.03 * look.edge)
        mask = fill(shape, px * points + middle + px * slack * away)
        body = Body(mask, np.zeros(shape, np.uint8), 1)
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
            # The more lobes, the more the string of them has to curl up to fit.
            turn = np.clip(length / (room / px) * rng.uniform(1.1, 1.7), 0.8, 5.4)
        curve = spine(rng, length, turn, wander=0.15 if bent else 0.3, s=look.flip)
        reach = np.hypot(curve[:, 0], curve[:, 1]).max() + widths.max()
        limit = 0.97 * room / px
        if reach > limit:
            curve *= max(0.5, (limit - widths.max()) / max(reach - widths.max(), 1e-6))
            reach = limit
        gap = 0.0 if bent else float(rng.uniform(0.05, 0.32))
        centre = middle + px * (limit - reach) * away
        body = lobed(rng, shape, centre, px, curve, widths, gap, look.edge)
    # A membrane lies between nucleus and field, however thin.
    body.mask &= (inner > 0.18 * px).astype(np.uint8)
    body.crease &= body.mask
    return body


def _cytoplasm(
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
    # Cytoplasm thins out where the cell meets the glass.
    vary *= 0.55 + 0.45 * smoothstep(inner, 0.0, 0.45 * px)
    np.clip(vary, 0.1, 2.5, out=vary)
    planes = np.empty((4, *shape), np.float32)
    shift = np.float32(0.35 * look.mottle) * broad
    planes[AZURE] = look.azure * vary
    planes[BLUE] = look.blue * vary * (1 - shift)
    planes[EOSIN] = look.eosin * vary * (1 + shift)
    planes[HAEM] = look.haem * vary
    return planes


def _vacuoles(
    rng: np.random.Generator,
    look: Look,
    planes: np.ndarray,
    inner: np.ndarray,
    body: Body,
    px: float,
) -> int:
    if not look.n_vacuoles:
        return 0
    free = cv2.distanceTransform(((inner > 0) & (body.mask == 0)).astype(np.uint8), cv2.DIST_L2, 3)
    spots = np.flatnonzero(free > 0.3 * px)
    if spots.size == 0:
        return 0
    # Vacuoles sit together: each near the first one.
    x0 = spots[int(rng.random() * spots.size)]
    row, column = np.unravel_index(spots, inner.shape)
    away = np.hypot(row - x0 // inner.shape[1], column - x0 % inner.shape[1]) / px
    chance = np.exp(-away / 2.0)
    chosen = rng.choice(spots, size=look.n_vacuoles, p=chance / chance.sum())
    pale = np.zeros(inner.shape, np.float32)
    for place in chosen:
        y, x = divmod(int(place), inner.shape[1])
        r = min(look.vacuole * np.exp(rng.normal(0, 0.3)) * px, float(free.flat[place]) * 1.1)
        cv2.circle(pale, (x * 16, y * 16), round(r * 16), 1.0, -1, cv2.LINE_8, 4)
    # Two that overlap are one, so what is there is counted, not what was meant.
    n_seen = cv2.connectedComponents(pale.astype(np.uint8))[0] - 1
    pale = cv2.GaussianBlur(pale, (0, 0), 0.08 * px)
    planes *= 1.0 - 0.9 * pale * (body.mask == 0)
    return n_seen


def _chromatin(
    rng: np.random.Generator, look: Look, planes: np.ndarray, body: Body, px: float
) -> int:
    mask = body.mask
    shape = (mask.shape[0], mask.shape[1])
    inner = depth(mask)
    # Two scales, or the open chromatin would look like worms of one width.
    fine = 0.85 * noise(rng, shape, look.grain * px) + 0.53 * noise(
        rng, shape, 0.5 * look.grain * px
    )
    broad = noise(rng, shape, 3.2 * look.grain * px)
    rim = np.exp(-inner / (0.22 * px))
    opening = smoothstep(fine + 0.45 * broad - 1.6 * rim, look.opened - 0.35, look.opened + 0.55)
    azure = look.density * (1.0 + look.clump * broad + 0.10 * fine + 0.10 * rim)
    azure *= 1.0 - look.contrast * opening
    azure *= 1.0 - 0.38 * body.crease
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


def _granules(
    rng: np.random.Generator,
    look: Look,
    planes: np.ndarray,
    cell: np.ndarray,
    inner: np.ndarray,
    nucleus: np.ndarray,
    px: float,
) -> int:
    total = 0
    for sort in look.grains:
        where = (inner > 0.8 * sort.sigma * px).astype(np.uint8)
        if not sort.over_nucleus:
            where &= 1 - nucleus
        if sort.spacing > 0:
            heights, n = packed(branch(rng), where, sort.spacing * px, sort.sigma * px)
        else:
            if look.shape == "none":
                # A platelet's granules gather in its middle.
                deep = inner > rng.uniform(0.25, 0.4) * float(inner.max())
                where &= deep.astype(np.uint8)
                number = sort.number
            else:
                # Numbers are meant for a cell half of which is cytoplasm.
                number = round(sort.number * float(where.sum()) / (75.0 * px * px))
            heights, n = grains(branch(rng), where, number, sort.sigma * px)
        body = 1.0 - np.exp(-1.4 * heights)
        if not sort.over_nucleus:
            body *= 1 - 0.85 * nucleus
        planes[AZURE] += np.float32(sort.azure) * body
        planes[EOSIN] += np.float32(sort.eosin) * body
        total += n
    return total
