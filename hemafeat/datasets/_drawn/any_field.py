"""Draw smear fields as any laboratory may have taken them, with what spoils such images."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from hemafeat.datasets._drawn.cell_types import KINDS
from hemafeat.datasets._drawn.field import DrawnField, check_kinds, place_cells
from hemafeat.datasets._drawn.paint import PaintedCell, paint_cell
from hemafeat.datasets._drawn.scene import RedCells, Scene, compose
from hemafeat.datasets._drawn.shapes import branch, noise
from hemafeat.datasets._drawn.stain import AZURE, BLUE, HAEM, Light, Stain, render

FINEST = 0.2
"""Largest pixel, in um, at which a field is painted; coarser images are reduced from it."""

WHITE_KINDS = tuple(kind for kind in KINDS if kind != "platelet")

PEN = ((0, 0, 0), (255, 255, 255), (0, 160, 0), (20, 20, 140), (255, 230, 0), (150, 0, 0))
"""Colours of marks on an image."""

Rng = np.random.Generator


def draw_any_field(
    kinds: Sequence[str] | None = None,
    *,
    shape: tuple[int, int] = (480, 640),
    um_per_px: float = 0.15,
    clump: bool = False,
    spoiled: bool = True,
    stain: Stain | None = None,
    random_state: int | np.random.Generator | None = None,
) -> DrawnField:
    """Draw a smear field as any laboratory may have taken it.

    Where `draw_field` draws good smears, this function varies what a method meets on the images of
    others: backgrounds from white to blue, green and yellow, red cells from pink to purple and
    blue-grey, elliptocytes and target cells, clumps of white cells, groups of platelets, smudges,
    fields without any white cell, blur and JPEG.

    Parameters
    ----------
    kinds : sequence of str, optional
        Types of the white cells, each from `KINDS`; may be empty. By default 0 to 4 random ones.
    shape : (H, W)
        Size of the image, in px.
    um_per_px : float
        Scale, in um per pixel.
    clump : bool
        Place all white cells in one clump, in which neighbours overlap a little.
    spoiled : bool
        Add, at random, smudges, scale bars, text, pointers, dirt and the black surround of a round
        field (default).
    stain : Stain, optional
        Stain of the smear. By default that of `Stain.draw_wide`.
    random_state : int, Generator or None
        Seed or generator of the random numbers.

    Returns
    -------
    DrawnField
        Image, label images and parameters of the field. Nothing has a label under a surround, and
        everything keeps its label under a mark.

    Raises
    ------
    ValueError
        Raised if a kind is unknown, or the field is too small for the cells.

    Examples
    --------
    >>> from hemafeat import datasets
    >>> field = datasets.draw_any_field(["lymphoblast"] * 8, clump=True, random_state=0)
    >>> field.image.shape, int(field.cell.max())
    ((480, 640, 3), 8)
    """
    if um_per_px <= 0 or min(shape) < 48:
        raise ValueError(
            f"cannot draw a field of {shape} px at {um_per_px} um per px; expected sides of at "
            "least 48 px and a positive scale"
        )
    rng = np.random.default_rng(random_state)
    if kinds is None:
        n = int(rng.choice(5, p=[0.3, 0.3, 0.2, 0.1, 0.1]))
        kinds = [str(kind) for kind in rng.choice(WHITE_KINDS, size=n)]
    check_kinds(kinds)
    stain = Stain.draw_wide(rng) if stain is None else stain
    light = _light(rng, um_per_px)
    fine = min(um_per_px, FINEST)
    px = 1.0 / fine
    size = round(shape[0] * um_per_px / fine), round(shape[1] * um_per_px / fine)
    cells = [paint_cell(branch(rng), kind, px) for kind in kinds]
    place = _place_clump if clump else place_cells
    centres = place(rng, size, cells, float(rng.choice([0.2, 0.9])))
    crowding = float(rng.choice([rng.uniform(0.05, 0.4), rng.uniform(0.3, 0.95)]))
    platelets = float(rng.choice([0.3, 1.0, 2.5, 6.0], p=[0.3, 0.4, 0.2, 0.1]))
    red = RedCells.draw_wide(rng)
    scene = compose(branch(rng), size, px, cells, centres, red, crowding, platelets)
    smudge = np.zeros(size, np.uint8)
    if spoiled:
        _add_shadows(branch(rng), scene, px)
        if rng.random() < 0.12:
            _add_smudge(branch(rng), scene, smudge, px)
    image = render(scene.planes, stain, light, fine, branch(rng))
    labels = [scene.cell, scene.nucleus, scene.red, scene.platelet, smudge]
    if size != tuple(shape):
        image = cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA)
        labels = [cv2.resize(part, shape[::-1], interpolation=cv2.INTER_NEAREST) for part in labels]
    if spoiled:
        hidden = np.zeros(shape, np.uint8)
        if rng.random() < 0.12:
            _add_surround(branch(rng), image, hidden)
            for part in labels:
                part[hidden > 0] = 0
        _add_marks(branch(rng), image, hidden)
    image = _expose(branch(rng), image)
    return DrawnField(
        image=image,
        cell=labels[0],
        nucleus=labels[1],
        red=labels[2],
        platelet=labels[3],
        smudge=labels[4] > 0,
        kinds=tuple(str(kind) for kind in kinds),
        um_per_px=um_per_px,
        n_lobes=tuple(cell.n_lobes for cell in cells),
        n_red=scene.n_red,
        n_touching=scene.n_touching,
        stain=stain,
        light=light,
    )


def _light(rng: Rng, um_per_px: float) -> Light:
    return Light(
        slope=float(abs(rng.normal(0.0, 0.06))),
        angle=float(rng.uniform(0.0, 2 * np.pi)),
        vignette=float(abs(rng.normal(0.0, 0.1))),
        # No lens is sharper than its camera needs, and many are not focused.
        blur_um=float(max(0.1, 0.5 * um_per_px) * np.exp(abs(rng.normal(0.0, 0.6)))),
        glare=float(rng.uniform(0.0, 0.12)),
        noise=float(rng.uniform(0.4, 2.5)),
    )


def _place_clump(
    rng: Rng, shape: tuple[int, int], cells: Sequence[PaintedCell], _: float
) -> np.ndarray:
    """Choose (n, 2) int centres, (x, y), of cells that touch and hardly overlap."""
    height, width = shape
    radii = np.array([float(np.median(cell.spokes)) for cell in cells])
    low, high = radii[:, None] + 1, np.array([width, height]) - radii[:, None] - 2
    if (low > high).any():
        raise ValueError(f"a cell does not fit into a field of {height} x {width} px")
    centres: list[np.ndarray] = []
    for number, painted in enumerate(cells):
        if not centres:
            middle = np.array([width, height]) / 2 + rng.normal(0.0, 0.06, 2) * [width, height]
            centres.append(np.clip(middle, low[0], high[0]))
            continue
        placed = np.array(centres)
        others = rng.integers(number, size=120)
        angles = rng.uniform(0, 2 * np.pi, 120)
        sectors = np.rint((angles + np.pi) / (2 * np.pi) * 72).astype(int) % 72
        reach = np.array([cells[o].spokes[s] for o, s in zip(others, sectors, strict=True)])
        reach = reach + painted.spokes[(sectors + 36) % 72]
        reach *= rng.uniform(0.88, 1.0, 120)
        tried = placed[others] + reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
        gaps = np.hypot(*(tried[:, None] - placed[None]).transpose(2, 0, 1))
        free = (gaps > 0.84 * (radii[:number] + radii[number])).all(axis=1)
        free &= (tried >= low[number]).all(axis=1) & (tried <= high[number]).all(axis=1)
        if not free.any():
            raise ValueError(
                f"no room for cell {number + 1} of {len(cells)} in a field of {height} x {width} px"
            )
        away = np.hypot(*(tried - placed.mean(axis=0)).T) * rng.uniform(0.7, 1.3, 120)
        centres.append(tried[np.argmin(np.where(free, away, np.inf))])
    return np.rint(np.array(centres).reshape(-1, 2)).astype(int)


def _add_shadows(rng: Rng, scene: Scene, px: float) -> None:
    """Add what is out of focus, and uneven plasma."""
    height, width = scene.cell.shape
    for _ in range(int(rng.poisson(0.8))):
        small = np.zeros((height // 4 + 1, width // 4 + 1), np.float32)
        centre = (int(rng.integers(small.shape[1])), int(rng.integers(small.shape[0])))
        radius = max(1, round(rng.uniform(0.5, 4.0) * px / 4))
        cv2.circle(small, centre, radius, float(rng.uniform(0.05, 0.4)), cv2.FILLED)
        small = cv2.GaussianBlur(small, (0, 0), float(rng.uniform(0.3, 2.0)) * px / 4 + 0.3)
        plane = int(rng.choice([AZURE, BLUE, HAEM]))
        scene.planes[plane] += cv2.resize(small, (width, height)) * (scene.cell == 0)
    if rng.random() < 0.3:
        veil = noise(rng, (height // 8 + 1, width // 8 + 1), rng.uniform(5.0, 25.0) * px / 8)
        veil = np.float32(rng.uniform(0.005, 0.03)) * np.maximum(veil, 0.0)
        scene.planes[BLUE] += cv2.resize(veil, (width, height)) * (scene.cell == 0)


def _add_smudge(rng: Rng, scene: Scene, smudge: np.ndarray, px: float) -> None:
    """Add the smeared nucleus of a broken cell, without an outline."""
    height, width = scene.cell.shape
    radius = rng.uniform(4.0, 8.0) * px
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    down, across = np.mgrid[:height, :width].astype(np.float32)
    away = np.hypot(down - np.float32(y), (across - np.float32(x)) * rng.uniform(0.7, 1.4))
    ragged = noise(rng, (height, width), 6.0 * px) + 0.4 * noise(rng, (height, width), 1.5 * px)
    body = np.clip(2.0 - 1.7 * away / np.float32(radius) + 0.4 * ragged, 0.0, 1.0)
    body *= scene.cell == 0
    scene.planes[AZURE] += np.float32(rng.uniform(0.3, 0.8)) * body * (1 + 0.15 * ragged).clip(0.3)
    smudge[body > 0.1] = 1


def _add_surround(rng: Rng, image: np.ndarray, hidden: np.ndarray) -> None:
    """Lay the black around a round field, or black bars, on an image."""
    height, width = image.shape[:2]
    field = np.zeros((height, width), np.uint8)
    if rng.random() < 0.75:
        centre = (
            width / 2 + rng.normal(0, 0.15) * width,
            height / 2 + rng.normal(0, 0.15) * height,
        )
        radius = rng.uniform(0.45, 0.65) * np.hypot(height, width)
        cv2.circle(field, (round(centre[0]), round(centre[1])), round(radius), 255, cv2.FILLED)
    else:
        bars = rng.integers(0, max(2, min(height, width) // 5), 4) * (rng.random(4) < 0.5)
        field[bars[0] : height - bars[1], bars[2] : width - bars[3]] = 255
    soft = cv2.GaussianBlur(field, (0, 0), float(rng.uniform(0.4, 4.0))).astype(np.float32) / 255
    level = rng.uniform(0, 30) + rng.uniform(-3, 3, 3)
    image[:] = np.clip(image * soft[:, :, None] + level * (1 - soft[:, :, None]), 0, 255)
    hidden[soft < 0.5] = 1


def _add_marks(rng: Rng, image: np.ndarray, hidden: np.ndarray) -> None:
    """Draw bars, text, pointers and dirt on an image, but not on its surround."""
    height, width = image.shape[:2]
    unit = max(height, width) / 640
    side = min(height, width)

    def spot() -> tuple[int, int]:
        return int(rng.integers(width)), int(rng.integers(height))

    def shade() -> tuple[int, ...]:
        return PEN[int(rng.integers(len(PEN)))]

    shapes = np.zeros_like(hidden)
    before = image.copy()
    if rng.random() < 0.3:
        (x, y), length = spot(), round(rng.uniform(0.06, 0.2) * side)
        colour, thick = shade(), max(1, round(rng.uniform(0.6, 3) * unit))
        for target, value in ((image, colour), (shapes, 1)):
            cv2.line(target, (x, y), (x + length, y), value, thick)
            for end in (x, x + length):
                cv2.line(target, (end, y - 3 * thick), (end, y + 3 * thick), value, thick)
            cv2.putText(
                target, "10 um", (x, y - 5 * thick), cv2.FONT_HERSHEY_SIMPLEX, 0.4 * unit, value, 1
            )
    if rng.random() < 0.12:
        text = "".join(chr(c) for c in rng.integers(48, 91, int(rng.integers(3, 14))))
        size, colour, at = float(rng.uniform(0.3, 0.9)) * unit, shade(), spot()
        for target, value in ((image, colour), (shapes, 1)):
            cv2.putText(target, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, value, 1, cv2.LINE_8)
    if rng.random() < 0.15:
        # A pointer in the eyepiece, or an arrow drawn on the image.
        (x, y), angle = spot(), rng.uniform(0, 2 * np.pi)
        length = rng.uniform(0.06, 0.5) * side
        end = (round(x + length * np.cos(angle)), round(y + length * np.sin(angle)))
        colour = tuple([int(rng.integers(0, 50))] * 3) if rng.random() < 0.6 else shade()
        thick = max(1, round(rng.uniform(1, 8) * unit))
        for target, value in ((image, colour), (shapes, 1)):
            cv2.arrowedLine(target, (x, y), end, value, thick, tipLength=0.2)
        blurred = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 3.0)) * unit)
        near = cv2.dilate(shapes, np.ones((3, 3), np.uint8), iterations=max(1, round(3 * unit)))
        image[near > 0] = blurred[near > 0]
    for _ in range(int(rng.poisson(0.7))):
        at, axes = spot(), tuple(max(1, round(v)) for v in rng.uniform(0.002, 0.025, 2) * side)
        grey = int(rng.integers(0, 90))
        colour = tuple(int(v) for v in np.clip(grey + rng.integers(-25, 26, 3), 0, 255))
        for target, value in ((image, colour), (shapes, 1)):
            cv2.ellipse(target, at, axes, float(at[0]), 0, 360, value, cv2.FILLED)
    dark = hidden > 0
    image[dark] = before[dark]


def _expose(rng: Rng, image: np.ndarray) -> np.ndarray:
    """Change contrast and sharpness as cameras, programs and files do."""
    levels = np.arange(256) / 255.0
    if rng.random() < 0.6:
        levels = levels ** np.exp(rng.normal(0.0, 0.2))
    if rng.random() < 0.4:
        levels = rng.uniform(0.0, 0.15) + levels * rng.uniform(0.7, 1.0)
    table = np.clip(np.rint(levels * 255), 0, 255).astype(np.uint8)
    out = cv2.LUT(image, table)
    chance = rng.random()
    if chance < 0.25:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.4, 1.8)))
    elif chance < 0.4:
        soft = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.8, 2.0)))
        gain = float(rng.uniform(0.3, 1.5))
        out = cv2.addWeighted(out, 1.0 + gain, soft, -gain, 0.0)
    if rng.random() < 0.6:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 96))]
        out = cv2.imdecode(cv2.imencode(".jpg", out, quality)[1], cv2.IMREAD_COLOR)
    return out
