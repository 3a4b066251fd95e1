"""Single drawn cells and drawn smear fields, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat._public import public
from hemafeat.datasets._drawn.cell_types import KINDS
from hemafeat.datasets._drawn.paint import Painted, paint
from hemafeat.datasets._drawn.scene import RedCells, Scene, compose
from hemafeat.datasets._drawn.shapes import branch
from hemafeat.datasets._drawn.stain import Light, Stain, render

VIEW_UM = 36.0
"""Side of the view of a single cell, micrometres."""


@public
@dataclass(frozen=True, slots=True, eq=False)
class DrawnCell:
    """A drawn white cell and the truth about it.

    Attributes
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB.
    cell, nucleus : (H, W) ndarray of int32
        0 background, 1 the cell (or its nucleus): the region drawn, before the lens blurs it. The
        nucleus of a platelet is empty.
    kind : str
        One of `KINDS`.
    um_per_px : float
    n_lobes : int
        Lobes of the nucleus; 1 where it is in one piece, 0 without a nucleus.
    n_granules, n_vacuoles, n_nucleoli : int
        Granules drawn (visible or not), vacuoles and nucleoli.
    n_red : int
        Red cells in view.
    n_touching : int
        Those that touch the white cell or lie partly under it.
    stain : Stain
    light : Light
    """

    image: np.ndarray
    cell: np.ndarray
    nucleus: np.ndarray
    kind: str
    um_per_px: float
    n_lobes: int
    n_granules: int
    n_vacuoles: int
    n_nucleoli: int
    n_red: int
    n_touching: int
    stain: Stain
    light: Light


@public
@dataclass(frozen=True, slots=True, eq=False)
class DrawnField:
    """A drawn smear field with several white cells.

    Attributes
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB.
    cell, nucleus : (H, W) ndarray of int32
        Labels with shared ids: cell ``i`` is of kind ``kinds[i - 1]``. A cell that lies on another
        hides part of it.
    kinds : tuple of str
    um_per_px : float
    n_lobes : tuple of int
        Per cell, as in `DrawnCell`.
    n_red, n_touching : int
        As in `DrawnCell`.
    stain : Stain
    light : Light
    """

    image: np.ndarray
    cell: np.ndarray
    nucleus: np.ndarray
    kinds: tuple[str, ...]
    um_per_px: float
    n_lobes: tuple[int, ...]
    n_red: int
    n_touching: int
    stain: Stain
    light: Light


def draw_cell(
    kind: str,
    *,
    size: int = 360,
    stain: Stain | None = None,
    light: Light | None = None,
    neighbours: float | None = None,
    random_state: int | np.random.Generator | None = None,
) -> DrawnCell:
    """Draw one Romanowsky-stained cell in the middle of a view of 36 micrometres.

    Stains are drawn as densities that add and absorb light by Beer-Lambert; the lens then blurs the
    light, the lamp is uneven and the camera noisy.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    size : int
        Side of the square image, px; one pixel is ``36 / size`` micrometres.
    stain : Stain, optional
        The patient's stain; drawn when not given.
    light : Light, optional
        Lamp, lens and camera; drawn when not given.
    neighbours : float, optional
        Part of the field that red cells would cover if they did not overlap, 0 to 1. Drawn between
        0.2 and 0.6 when not given; 0 leaves the cell alone, without platelets too.
    random_state : int, Generator or None
        Seed: the same one gives the same cell, to the byte under the same version of OpenCV.

    Returns
    -------
    DrawnCell

    Raises
    ------
    ValueError
        Unknown kind, a size below 48, or a crowding outside 0..1.

    Examples
    --------
    >>> from hemafeat import datasets
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> cell.image.shape, bool((cell.cell[cell.nucleus > 0] == 1).all())
    ((360, 360, 3), True)
    """
    check_kinds([kind])
    if size < 48:
        raise ValueError(f"size is {size} px; a cell needs at least 48")
    _check_crowding(neighbours)
    rng = np.random.default_rng(random_state)
    stain = Stain.draw(rng) if stain is None else stain
    light = Light.draw(rng) if light is None else light
    return draw_with(rng, kind, size, stain, light, RedCells.draw(rng), neighbours)


def draw_with(
    rng: np.random.Generator,
    kind: str,
    size: int,
    stain: Stain,
    light: Light,
    red: RedCells,
    neighbours: float | None,
) -> DrawnCell:
    """One cell of a patient whose stain, microscope and red cells are known."""
    um_per_px = VIEW_UM / size
    painted = paint(branch(rng), kind, 1.0 / um_per_px)
    place = np.rint(size / 2 + rng.normal(0.0, 0.02, 2) * size).astype(int)
    crowding = float(rng.uniform(0.2, 0.6)) if neighbours is None else float(neighbours)
    shape = (size, size)
    scene = compose(branch(rng), shape, 1.0 / um_per_px, [painted], place[None], red, crowding)
    image = _expose(branch(rng), scene, stain, light, um_per_px)
    return DrawnCell(
        image=image,
        cell=scene.cell,
        nucleus=scene.nucleus,
        kind=kind,
        um_per_px=um_per_px,
        n_lobes=painted.n_lobes,
        n_granules=painted.n_granules,
        n_vacuoles=painted.n_vacuoles,
        n_nucleoli=painted.n_nucleoli,
        n_red=scene.n_red,
        n_touching=scene.n_touching,
        stain=stain,
        light=light,
    )


def draw_field(
    kinds: Sequence[str],
    *,
    shape: tuple[int, int] = (480, 640),
    um_per_px: float = 0.1,
    stain: Stain | None = None,
    light: Light | None = None,
    neighbours: float | None = None,
    touching: float = 0.3,
    random_state: int | np.random.Generator | None = None,
) -> DrawnField:
    """Draw a smear field with one white cell for each entry of `kinds`.

    Parameters
    ----------
    kinds : sequence of str
        Kinds of the white cells, each one of `KINDS`; may be empty.
    shape : (H, W)
        Size of the image, px.
    um_per_px : float
        Scale, micrometres per pixel.
    stain, light, neighbours
        As in `draw_cell`.
    touching : float
        Chance, for each cell after the first, of being laid against one that is there already.
    random_state : int, Generator or None
        Seed: the same one gives the same field.

    Returns
    -------
    DrawnField

    Raises
    ------
    ValueError
        Unknown kind, a chance or crowding outside 0..1, or a field with no room for the cells.
    """
    check_kinds(kinds)
    _check_crowding(neighbours)
    if not 0 <= touching <= 1:
        raise ValueError(f"touching is {touching}, expected a chance between 0 and 1")
    if um_per_px <= 0 or min(shape) < 48:
        raise ValueError(f"a field of {shape} px at {um_per_px} um per px cannot be drawn")
    rng = np.random.default_rng(random_state)
    stain = Stain.draw(rng) if stain is None else stain
    light = Light.draw(rng) if light is None else light
    red = RedCells.draw(rng)
    cells = [paint(branch(rng), kind, 1.0 / um_per_px) for kind in kinds]
    places = _places(rng, shape, cells, touching)
    crowding = float(rng.uniform(0.2, 0.6)) if neighbours is None else float(neighbours)
    scene = compose(branch(rng), shape, 1.0 / um_per_px, cells, places, red, crowding)
    image = _expose(branch(rng), scene, stain, light, um_per_px)
    return DrawnField(
        image=image,
        cell=scene.cell,
        nucleus=scene.nucleus,
        kinds=tuple(str(kind) for kind in kinds),
        um_per_px=um_per_px,
        n_lobes=tuple(cell.n_lobes for cell in cells),
        n_red=scene.n_red,
        n_touching=scene.n_touching,
        stain=stain,
        light=light,
    )


def check_kinds(kinds: Sequence[str]) -> None:
    """Refuse kinds that cannot be drawn, by name."""
    unknown = [str(kind) for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"no kind {', '.join(unknown)}; there are: {', '.join(KINDS)}")


def _check_crowding(neighbours: float | None) -> None:
    if neighbours is not None and not 0 <= neighbours <= 1:
        raise ValueError(f"neighbours is {neighbours}, expected a part of the field, 0 to 1")


def _expose(
    rng: np.random.Generator, scene: Scene, stain: Stain, light: Light, um_per_px: float
) -> np.ndarray:
    image = render(scene.planes, stain, light, um_per_px, rng)
    if stain.background == "black":
        cv2.copyTo(np.zeros_like(image), (scene.cell == 0).astype(np.uint8), image)
    return image


def _places(
    rng: np.random.Generator, shape: tuple[int, int], cells: Sequence[Painted], touching: float
) -> np.ndarray:
    """(n, 2) int centres, (x, y), of cells that do not lie on one another by more than a rim."""
    height, width = shape
    placed: list[np.ndarray] = []
    for number, painted in enumerate(cells):
        radius = float(painted.spokes.max())
        low, high = np.full(2, radius + 1), np.array([width, height]) - radius - 2
        if (low > high).any():
            raise ValueError(f"a {painted.kind} does not fit into a field of {height} x {width} px")
        against = placed and rng.random() < touching
        for attempt in range(400):
            if against and attempt < 60:
                other = int(rng.integers(len(placed)))
                turn = rng.uniform(0, 2 * np.pi)
                sector = round((turn + np.pi) / (2 * np.pi) * 72) % 72
                reach = cells[other].spokes[sector] + painted.spokes[(sector + 36) % 72]
                spot = placed[other] + (reach - 1.5) * np.array([np.cos(turn), np.sin(turn)])
                free = [i for i in range(len(placed)) if i != other]
            else:
                spot = rng.uniform(low, high)
                free = list(range(len(placed)))
            apart = all(
                np.hypot(*(spot - placed[i])) > radius + float(cells[i].spokes.max()) + 2
                for i in free
            )
            if apart and (spot >= low).all() and (spot <= high).all():
                placed.append(spot)
                break
        else:
            raise ValueError(
                f"no room for cell {number + 1} of {len(cells)} in a field of {height} x {width} px"
            )
    return np.rint(np.array(placed).reshape(-1, 2)).astype(int)
