"""Another image of the same cells: turned, resized, stained, lit and crowded anew."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

STEPS = 100.0
"""Steps of density per unit in a scene."""

DENSEST = 2.55
RED_AREA = (250.0, 3000.0)
"""Area of a red cell, in pixels of a scene."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """An image with masks, kept small.

    Attributes
    ----------
    density : (H, W, 3) ndarray of uint8
        Optical density, in steps of 1/100.
    cell : (H, W) ndarray of uint16
        Labels.
    nucleus : (H, W) ndarray of uint8
        1 on nuclei.
    zoom : float
        Pixels of the network per pixel of this scene.
    """

    density: np.ndarray
    cell: np.ndarray
    nucleus: np.ndarray
    zoom: float


def augmented(
    scene: Scene,
    other: Scene | None,
    side: int,
    rng: np.random.Generator,
    *,
    plain: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A square of a scene.

    Parameters
    ----------
    scene : Scene
    other : Scene, optional
        Where red cells are taken from that are laid against the white ones.
    side : int
        Height and width of the square.
    rng : numpy.random.Generator
    plain : bool
        Cut and resize only.

    Returns
    -------
    density : (side, side, 3) ndarray of float32
    cell : (side, side) ndarray of int32
        Labels, 1..n.
    nucleus : (side, side) ndarray of uint8
    """
    matrix = _placed(scene, side, rng, plain)
    # Beyond the border there is bare background, as `segment.unet` pads it.
    density = cv2.warpAffine(scene.density, matrix, (side, side), flags=cv2.INTER_LINEAR)
    density = density.astype(np.float32) / STEPS
    labels = [
        cv2.warpAffine(part, matrix, (side, side), flags=cv2.INTER_NEAREST)
        for part in (scene.cell, scene.nucleus)
    ]
    cell, nucleus = _components(labels[0]), labels[1]
    if plain:
        return density, cell, nucleus
    if other is not None and cell.any():
        density = _crowded(density, cell, other, rng)
    return _seen(_tinted(density, cell, nucleus, rng), rng), cell, nucleus


def _placed(scene: Scene, side: int, rng: np.random.Generator, plain: bool) -> np.ndarray:
    """(2, 3) float64: from the scene to the square."""
    height, width = scene.cell.shape
    labels = np.unique(scene.cell)
    labels = labels[labels > 0]
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    if labels.size and (plain or rng.random() < 0.85):
        ys, xs = np.nonzero(scene.cell == (labels[0] if plain else rng.choice(labels)))
        middle = np.array([xs.mean(), ys.mean()])
    elif not plain:
        middle = rng.uniform([0, 0], [width - 1, height - 1])
    zoom, turn, mirror, shift = scene.zoom, 0.0, 1.0, np.zeros(2)
    if not plain:
        zoom *= float(np.exp(rng.uniform(np.log(0.65), np.log(1.5))))
        turn = rng.uniform(0, 2 * np.pi)
        mirror = rng.choice([-1.0, 1.0])
        shift = rng.uniform(-0.25, 0.25, 2) * side
    cos, sin = np.cos(turn), np.sin(turn)
    linear = zoom * np.array([[cos, -sin], [sin, cos]]) @ np.diag([mirror, 1.0])
    place = (side - 1) / 2 + shift - linear @ middle
    return np.column_stack([linear, place])


def _components(cell: np.ndarray) -> np.ndarray:
    """Labels 1..n of what hangs together: the border may cut a cell in two."""
    out = np.zeros(cell.shape, np.int32)
    n = 0
    for label in np.unique(cell):
        if label:
            found, parts = cv2.connectedComponents((cell == label).astype(np.uint8))
            out[parts > 0] = parts[parts > 0] + n
            n += found - 1
    return out


def red_cells(scene: Scene, limit: int = 12) -> list[tuple[np.ndarray, np.ndarray]]:
    """Red cells that lie by themselves: (density, mask) of each, in a box with a margin."""
    near = cv2.dilate((scene.cell > 0).astype(np.uint8), np.ones((9, 9), np.uint8))
    green, blue = scene.density[:, :, 1], scene.density[:, :, 2]
    stained = ((green > 6) & (near == 0)).astype(np.uint8)
    lines, _ = cv2.findContours(stained, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    height, width = stained.shape
    found = []
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
        # Platelets and stain absorb little blue.
        if blue[box][mask > 0].mean() < 0.4 * green[box][mask > 0].mean():
            continue
        found.append((scene.density[box].astype(np.float32) / STEPS, mask))
        if len(found) == limit:
            break
    return found


def _crowded(
    density: np.ndarray, cell: np.ndarray, other: Scene, rng: np.random.Generator
) -> np.ndarray:
    """Red cells laid against white ones; light passes through both where cells overlap."""
    n = int(rng.choice([0, 1, 2, 3, 5], p=[0.35, 0.2, 0.2, 0.15, 0.1]))
    reds = red_cells(other) if n else []
    if not reds:
        return density
    side = cell.shape[0]
    # The white cell lies on top: nothing shines through it, and its rim stays as soft as it was.
    free = 1.0 - cv2.GaussianBlur((cell > 0).astype(np.float32), (0, 0), 0.8)
    edge = (cell > 0) & (cv2.erode((cell > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    ys, xs = np.nonzero(edge)
    inner = cv2.distanceTransform((cell == 0).astype(np.uint8), cv2.DIST_L2, 3)
    down, across = np.gradient(cv2.GaussianBlur(inner, (0, 0), 3.0))
    out = density.copy()
    for _ in range(n):
        patch, mask = reds[int(rng.integers(len(reds)))]
        turned = int(rng.integers(4))
        zoom = other.zoom * float(np.exp(rng.uniform(-0.2, 0.2)))
        patch = cv2.resize(np.rot90(patch, turned).copy(), None, fx=zoom, fy=zoom)
        mask = cv2.resize(np.rot90(mask, turned).astype(np.float32), None, fx=zoom, fy=zoom)
        at = int(rng.integers(len(ys)))
        away = np.array([across[ys[at], xs[at]], down[ys[at], xs[at]]])
        length = float(np.hypot(*away))
        if length < 1e-3:
            continue
        reach = 0.25 * (mask.shape[0] + mask.shape[1]) * rng.uniform(0.55, 1.0)
        x, y = np.rint(np.array([xs[at], ys[at]]) + away / length * reach).astype(int)
        top, left = y - mask.shape[0] // 2, x - mask.shape[1] // 2
        y0, x0 = max(top, 0), max(left, 0)
        y1, x1 = min(top + mask.shape[0], side), min(left + mask.shape[1], side)
        if y0 >= y1 or x0 >= x1:
            continue
        part = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
        there = (mask[part] * free[y0:y1, x0:x1])[:, :, None]
        out[y0:y1, x0:x1] += there * patch[part]
    return out


def _mixed(rng: np.random.Generator) -> np.ndarray:
    """(3, 3) float64: each new channel from the old ones, mostly but not always from its own.

    Under a yellow lamp or another dye it is not the colour that tells a cell from what is round it.
    """
    if rng.random() < 0.5:
        return np.eye(3) + rng.normal(0.0, 0.05, (3, 3))
    shares = rng.dirichlet([0.7, 0.7, 0.7], 3).T
    own = rng.uniform(0.0, 0.8)
    return own * np.eye(3) + (1.0 - own) * shares


def _tinted(
    density: np.ndarray, cell: np.ndarray, nucleus: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Red cells, cytoplasm and nuclei, each paler, darker or of another colour than they were.

    Fixing, buffer and dye decide on that, and red cells may be gone: only place and texture tell.
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
        if rng.random() < tint:
            gain *= np.exp(rng.normal(0.0, 0.35, 3))
        if (gain != 1.0).any():
            there = cv2.GaussianBlur(part.astype(np.float32), (0, 0), 0.8)
            density = density * (1.0 + there[:, :, None] * (gain - 1.0).astype(np.float32))
    if rng.random() < 0.4 and not bare.all():
        # Chromatin is smooth in one smear and coarse, or much denser in its middle, in another.
        mean = density[~bare].mean(axis=0)
        ratio = np.maximum(density / np.maximum(mean, 0.01), 0.0)
        power = np.float32(np.exp(rng.uniform(-0.2, 0.6)))
        there = cv2.GaussianBlur((~bare).astype(np.float32), (0, 0), 0.8)[:, :, None]
        density = density + there * (mean * ratio**power - density)
    return density


def _seen(density: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Under another stain, lamp, lens and camera."""
    side = density.shape[0]
    if rng.random() < 0.9:
        gain = np.exp(rng.normal(0.0, 0.2) + rng.normal(0.0, 0.2, 3))
        density = density @ (_mixed(rng) * gain).astype(np.float32)
        density = np.maximum(density, 0.0) ** np.float32(np.exp(rng.normal(0.0, 0.15)))
    else:
        density = density.copy()
    if rng.random() < 0.3:
        density = cv2.GaussianBlur(density, (0, 0), rng.uniform(0.4, 1.6))
    # A white that was taken too bright or too dark, and a lamp that is not centred.
    density += rng.normal(0.0, 0.012, 3).astype(np.float32) + np.float32(rng.normal(0.0, 0.012))
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
    return np.clip(-np.log10(np.maximum(light, 0.003)), 0.0, DENSEST).astype(np.float32)
