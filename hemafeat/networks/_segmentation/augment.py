"""Augmentation of images of cells with masks: geometry, stain, light, files and added red cells."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat.networks._segmentation.loss import (
    BACKGROUND,
    CYTOPLASM,
    NUCLEUS,
    PLATELET,
    UNKNOWN,
)

STEPS = 100.0
"""Steps per unit of optical density in a scene."""

MAX_DENSITY = 2.55
"""Largest optical density of a sample."""

RED_AREA = (250.0, 3000.0)
"""Smallest and largest area of a red cell, in px of the network."""

AT_CELL = 0.7
"""Share of squares with a white cell near the centre, where there is one."""

AT_PLATELET = 0.5
"""Share of the other squares with a platelet near the centre, where there is one."""

ZOOMS = (0.6, 1.7)
"""Smallest and largest change of the scale."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """An image with masks, in a compact form.

    Attributes
    ----------
    density : (H, W, 3) ndarray of uint8
        Optical density, in steps of 1/100.
    cell : (H, W) ndarray of uint16
        Labels of the cells.
    nucleus : (H, W) ndarray of uint8
        1 in nuclei, 0 elsewhere.
    other : (H, W) ndarray of uint8
        What lies outside the cells; see the classes of `segmentation_loss`.
    zoom : float
        Number of pixels of the network per pixel of the scene.
    """

    density: np.ndarray
    cell: np.ndarray
    nucleus: np.ndarray
    other: np.ndarray
    zoom: float


def augment(
    scene: Scene,
    other: Scene | None,
    side: int,
    rng: np.random.Generator,
    *,
    plain: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut a square from a scene and change it at random.

    Parameters
    ----------
    scene : Scene
        Scene to cut from.
    other : Scene, optional
        Scene whose red cells are placed next to the white cells. By default none are added.
    side : int
        Height and width of the square, in px.
    rng : numpy.random.Generator
        Source of the random changes.
    plain : bool
        Cut and resize only, without random changes.

    Returns
    -------
    density : (side, side, 3) ndarray of float32
        Optical density.
    cell : (side, side) ndarray of int32
        Labels of the cells, 1..n.
    classes : (side, side) ndarray of uint8
        Class of each pixel; see `segmentation_loss`.
    """
    matrix = _transform(scene, side, rng, plain)
    # Outside the image there is empty background, as in the padding of `segment.unet`.
    density = cv2.warpAffine(scene.density, matrix, (side, side), flags=cv2.INTER_LINEAR)
    density = density.astype(np.float32) / STEPS
    labels, nucleus, classes = (
        cv2.warpAffine(part, matrix, (side, side), flags=cv2.INTER_NEAREST)
        for part in (scene.cell, scene.nucleus, scene.other)
    )
    cell = _components(labels)
    classes[cell > 0] = CYTOPLASM
    classes[nucleus > 0] = NUCLEUS
    if plain:
        return density, cell, classes
    if other is not None and cell.any():
        density = _add_red_cells(density, cell, other, rng)
    density = _change_stains(density, cell, nucleus, rng)
    density = _change_acquisition(density, rng)
    _cover(density, cell, classes, rng)
    return density, cell, classes


def _transform(scene: Scene, side: int, rng: np.random.Generator, plain: bool) -> np.ndarray:
    """Return the affine transform from the scene to the square, (2, 3) float64."""
    height, width = scene.cell.shape
    labels = np.unique(scene.cell)
    labels = labels[labels > 0]
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    if labels.size and (plain or rng.random() < AT_CELL):
        ys, xs = np.nonzero(scene.cell == (labels[0] if plain else rng.choice(labels)))
        centre = np.array([xs.mean(), ys.mean()])
    elif not plain:
        platelets = np.flatnonzero(scene.other == PLATELET)
        if platelets.size and rng.random() < AT_PLATELET:
            centre = np.array(divmod(int(rng.choice(platelets)), width)[::-1], float)
        else:
            centre = rng.uniform([0, 0], [width - 1, height - 1])
    zoom, turn, mirror, shift = scene.zoom, 0.0, 1.0, np.zeros(2)
    if not plain:
        zoom *= float(np.exp(rng.uniform(*np.log(ZOOMS))))
        turn = rng.uniform(0, 2 * np.pi)
        mirror = rng.choice([-1.0, 1.0])
        shift = rng.uniform(-0.25, 0.25, 2) * side
    cos, sin = np.cos(turn), np.sin(turn)
    linear = zoom * np.array([[cos, -sin], [sin, cos]]) @ np.diag([mirror, 1.0])
    offset = (side - 1) / 2 + shift - linear @ centre
    return np.column_stack([linear, offset])


def _components(cell: np.ndarray) -> np.ndarray:
    """Label connected components 1..n, because the border may cut a cell in two."""
    out = np.zeros(cell.shape, np.int32)
    n = 0
    for label in np.unique(cell):
        if label:
            n_parts, parts = cv2.connectedComponents((cell == label).astype(np.uint8))
            out[parts > 0] = parts[parts > 0] + n
            n += n_parts - 1
    return out


def red_cells(scene: Scene, limit: int = 12) -> list[tuple[np.ndarray, np.ndarray]]:
    """Find isolated red cells; return (density, mask) of each in its box with a margin."""
    near = cv2.dilate((scene.cell > 0).astype(np.uint8), np.ones((9, 9), np.uint8))
    green, blue = scene.density[:, :, 1], scene.density[:, :, 2]
    stained = ((green > 6) & (near == 0)).astype(np.uint8)
    lines, _ = cv2.findContours(stained, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    height, width = stained.shape
    cells = []
    for line in lines:
        area = cv2.contourArea(line) * scene.zoom**2
        left, top, w, h = cv2.boundingRect(line)
        at_border = left < 3 or top < 3 or left + w > width - 3 or top + h > height - 3
        if at_border or not RED_AREA[0] < area < RED_AREA[1]:
            continue
        if cv2.contourArea(cv2.convexHull(line)) * scene.zoom**2 > 1.12 * area:
            continue
        box = np.s_[top - 2 : top + h + 2, left - 2 : left + w + 2]
        mask = np.zeros((h + 4, w + 4), np.uint8)
        cv2.drawContours(mask, [line], 0, 1, cv2.FILLED, offset=(2 - left, 2 - top))
        # Platelets and stain precipitates absorb little blue.
        if blue[box][mask > 0].mean() < 0.4 * green[box][mask > 0].mean():
            continue
        cells.append((scene.density[box].astype(np.float32) / STEPS, mask))
        if len(cells) == limit:
            break
    return cells


def _add_red_cells(
    density: np.ndarray, cell: np.ndarray, other: Scene, rng: np.random.Generator
) -> np.ndarray:
    """Place red cells next to white cells; densities add up where they overlap."""
    n = int(rng.choice([0, 1, 2, 3, 5], p=[0.35, 0.2, 0.2, 0.15, 0.1]))
    reds = red_cells(other) if n else []
    if not reds:
        return density
    side = cell.shape[0]
    # Red cells lie behind white cells; blurring keeps the edge of the white cell soft.
    free = 1.0 - cv2.GaussianBlur((cell > 0).astype(np.float32), (0, 0), 0.8)
    edge = (cell > 0) & (cv2.erode((cell > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    ys, xs = np.nonzero(edge)
    inner = cv2.distanceTransform((cell == 0).astype(np.uint8), cv2.DIST_L2, 3)
    down, across = np.gradient(cv2.GaussianBlur(inner, (0, 0), 3.0))
    out = density.copy()
    for _ in range(n):
        patch, mask = reds[int(rng.integers(len(reds)))]
        n_turns = int(rng.integers(4))
        zoom = other.zoom * float(np.exp(rng.uniform(-0.2, 0.2)))
        patch = cv2.resize(np.rot90(patch, n_turns).copy(), None, fx=zoom, fy=zoom)
        mask = cv2.resize(np.rot90(mask, n_turns).astype(np.float32), None, fx=zoom, fy=zoom)
        at = int(rng.integers(len(ys)))
        outward = np.array([across[ys[at], xs[at]], down[ys[at], xs[at]]])
        length = float(np.hypot(*outward))
        if length < 1e-3:
            continue
        reach = 0.25 * (mask.shape[0] + mask.shape[1]) * rng.uniform(0.55, 1.0)
        x, y = np.rint(np.array([xs[at], ys[at]]) + outward / length * reach).astype(int)
        top, left = y - mask.shape[0] // 2, x - mask.shape[1] // 2
        y0, x0 = max(top, 0), max(left, 0)
        y1, x1 = min(top + mask.shape[0], side), min(left + mask.shape[1], side)
        if y0 >= y1 or x0 >= x1:
            continue
        part = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
        opacity = (mask[part] * free[y0:y1, x0:x1])[:, :, None]
        out[y0:y1, x0:x1] += opacity * patch[part]
    return out


def _channel_mixture(rng: np.random.Generator) -> np.ndarray:
    """Draw the shares of the old channels in each new one, (3, 3) float64.

    Under a yellow lamp or with another dye, cells and background do not differ in hue.
    """
    if rng.random() < 0.6:
        return np.eye(3) + rng.normal(0.0, 0.05, (3, 3))
    shares = rng.dirichlet([0.7, 0.7, 0.7], 3).T
    own_share = rng.uniform(0.0, 0.8)
    return own_share * np.eye(3) + (1.0 - own_share) * shares


def _change_stains(
    density: np.ndarray, cell: np.ndarray, nucleus: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Change density and hue of red cells, cytoplasm and nuclei separately.

    They depend on fixation, buffer and dye. Red cells may even become invisible.
    """
    bare = nucleus == 0
    for part, pale, low, high, tint in (
        ((cell == 0) & bare, 0.4, 0.05, 1.3, 0.5),
        ((cell > 0) & bare, 0.4, 0.4, 1.5, 0.5),
        (~bare, 0.3, 0.7, 1.2, 0.3),
    ):
        gain = np.ones(3)
        if rng.random() < pale:
            gain *= rng.uniform(low, high)
        elif high < 1.5 and rng.random() < 0.25:
            # Red cells and nuclei of an old or long stained smear.
            gain *= rng.uniform(1.0, 2.2)
        if rng.random() < tint:
            gain *= np.exp(rng.normal(0.0, 0.35, 3))
        if (gain != 1.0).any():
            soft = cv2.GaussianBlur(part.astype(np.float32), (0, 0), 0.8)
            density = density * (1.0 + soft[:, :, None] * (gain - 1.0).astype(np.float32))
    if rng.random() < 0.4 and not bare.all():
        # Chromatin is smooth in some smears and coarse, or denser in the centre, in others.
        mean = density[~bare].mean(axis=0)
        ratio = np.maximum(density / np.maximum(mean, 0.01), 0.0)
        power = np.float32(np.exp(rng.uniform(-0.2, 0.6)))
        soft = cv2.GaussianBlur((~bare).astype(np.float32), (0, 0), 0.8)[:, :, None]
        density = density + soft * (mean * ratio**power - density)
    return density


def _change_acquisition(density: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Simulate another stain, lamp, lens, camera and file."""
    side = density.shape[0]
    if rng.random() < 0.9:
        gain = np.exp(rng.normal(0.0, 0.3) + rng.normal(0.0, 0.2, 3))
        density = density @ (_channel_mixture(rng) * gain).astype(np.float32)
        density = np.maximum(density, 0.0) ** np.float32(np.exp(rng.normal(0.0, 0.15)))
    else:
        density = density.copy()
    if rng.random() < 0.3:
        density = cv2.GaussianBlur(density, (0, 0), rng.uniform(0.4, 2.0))
    # Simulate an error of the white of the background and a lamp that is not centred.
    error = 0.012 if rng.random() < 0.85 else 0.04
    density += rng.normal(0.0, error, 3).astype(np.float32) + np.float32(rng.normal(0.0, error))
    if rng.random() < 0.5:
        y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j].astype(np.float32)
        slope = rng.normal(0.0, 0.03, 2)
        bend = abs(rng.normal(0.0, 0.02))
        density += (slope[0] * x + slope[1] * y + bend * (x * x + y * y)).astype(np.float32)[
            :, :, None
        ]
    light = 10.0**-density
    light += rng.normal(0.0, 1.0, density.shape).astype(np.float32) * np.float32(
        rng.uniform(0.0, 0.012)
    )
    if rng.random() < 0.35:
        light = _through_file(light, rng)
    return np.clip(-np.log10(np.maximum(light, 0.003)), 0.0, MAX_DENSITY).astype(np.float32)


def _through_file(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Reduce and enlarge an image, sharpen it, or write it as JPEG, as it happens on the way."""
    white = rng.uniform(150.0, 250.0)
    image = np.clip(light * white, 0, 255).astype(np.uint8)
    side = image.shape[0]
    if rng.random() < 0.5:
        small = round(side / rng.uniform(1.2, 3.0))
        image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
    elif rng.random() < 0.4:
        gain = float(rng.uniform(0.3, 1.5))
        soft = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.8, 2.0)))
        image = cv2.addWeighted(image, 1.0 + gain, soft, -gain, 0.0)
    if rng.random() < 0.7:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 96))]
        data = cv2.imencode(".jpg", image, quality)[1]
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    if image.shape[0] != side:
        image = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
    return image.astype(np.float32) / np.float32(white)


def _cover(
    density: np.ndarray, cell: np.ndarray, classes: np.ndarray, rng: np.random.Generator
) -> None:
    """Lay the black around a field, or a pointer, on a few squares."""
    if rng.random() > 0.07:
        return
    side = density.shape[0]
    shape = np.zeros((side, side), np.uint8)
    middle, angle = rng.uniform(0, side, 2), rng.uniform(0, 2 * np.pi)
    along = np.array([np.cos(angle), np.sin(angle)])
    black = rng.random() < 0.6
    if black:
        radius = rng.uniform(1.0, 6.0) * side
        centre = np.array([side / 2, side / 2]) - along * (radius - rng.uniform(0.0, 0.5) * side)
        shape[:] = 1
        cv2.circle(shape, tuple(np.rint(centre).astype(int).tolist()), round(radius), 0, -1)
    else:
        ends = [np.rint(middle + t * along * side).astype(int).tolist() for t in (0.0, 0.6)]
        cv2.line(shape, ends[0], ends[1], 1, int(rng.integers(1, 10)))
    level = rng.uniform(0.8, MAX_DENSITY) if black else rng.uniform(0.0, MAX_DENSITY)
    soft = cv2.GaussianBlur(shape.astype(np.float32), (0, 0), float(rng.uniform(0.3, 2.0)))
    density += soft[:, :, None] * (np.float32(level) - density)
    cell[shape > 0] = 0
    classes[shape > 0] = BACKGROUND if black else UNKNOWN
