"""Draw single cells and smear fields in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat._public import brief, public
from hemafeat.datasets._drawn.cell_types import KINDS
from hemafeat.datasets._drawn.paint import PaintedCell, paint_cell
from hemafeat.datasets._drawn.scene import RedCells, Scene, compose
from hemafeat.datasets._drawn.shapes import branch
from hemafeat.datasets._drawn.stain import Light, Stain, render


def _png(image: np.ndarray) -> bytes:
    """Return an RGB image as the file that a notebook shows."""
    return bytes(cv2.imencode(".png", image[..., ::-1])[1])


VIEW_UM = 36.0
"""Side of the view of a single cell, in um."""


@public
@brief
@dataclass(frozen=True, slots=True, eq=False)
class DrawnCell:
    """Image of a drawn white cell and its ground truth.

    Attributes
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image.
    cell, nucleus : (H, W) ndarray of int32
        Masks, 0 or 1, of the cell and its nucleus as drawn, before blurring by the lens. The
        nucleus of a platelet is empty.
    kind : str
        Type of cell, one of `KINDS`.
    um_per_px : float
        Scale, in um per pixel.
    n_lobes : int
        Number of lobes of the nucleus; 1 if it is not lobed, 0 without a nucleus.
    n_granules, n_vacuoles, n_nucleoli : int
        Numbers of granules (visible or not), vacuoles and nucleoli.
    n_red : int
        Number of red cells in view.
    n_touching : int
        Number of red cells that touch the white cell or lie partly under it.
    stain : Stain
        Stain of the smear.
    light : Light
        Lamp, lens and camera.

    Examples
    --------
    >>> from hemafeat import datasets
    >>> cell = datasets.draw_cell("platelet", size=64, random_state=0)
    >>> cell.kind, cell.n_lobes, cell.um_per_px
    ('platelet', 0, 0.5625)
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

    def _repr_png_(self) -> bytes:
        return _png(self.image)


@public
@brief
@dataclass(frozen=True, slots=True, eq=False)
class DrawnField:
    """Image of a drawn smear field with white cells and its ground truth.

    Attributes
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image.
    cell, nucleus : (H, W) ndarray of int32
        Label images of cells and nuclei: cell ``i`` is of kind ``kinds[i - 1]``. A cell that lies
        on another one hides part of it.
    red, platelet : (H, W) ndarray of int32
        Label images of the red cells and of the platelets between the cells of `kinds`, where
        nothing lies on them.
    smudge : (H, W) ndarray of bool
        True on the remains of broken cells; see `draw_any_field`.
    kinds : tuple of str
        Type of each cell, from `KINDS`.
    um_per_px : float
        Scale, in um per pixel.
    n_lobes : tuple of int
        Number of lobes of the nucleus of each cell.
    n_red, n_touching : int
        Numbers of red cells in view, and of those that touch a white cell.
    stain : Stain
        Stain of the smear.
    light : Light
        Lamp, lens and camera.

    Examples
    --------
    >>> from hemafeat import datasets
    >>> field = datasets.draw_field(["monocyte", "platelet"], shape=(300, 400), random_state=0)
    >>> field.kinds
    ('monocyte', 'platelet')
    """

    image: np.ndarray
    cell: np.ndarray
    nucleus: np.ndarray
    red: np.ndarray
    platelet: np.ndarray
    smudge: np.ndarray
    kinds: tuple[str, ...]
    um_per_px: float
    n_lobes: tuple[int, ...]
    n_red: int
    n_touching: int
    stain: Stain
    light: Light

    def _repr_png_(self) -> bytes:
        return _png(self.image)


def draw_cell(
    kind: str,
    *,
    size: int = 360,
    stain: Stain | None = None,
    light: Light | None = None,
    neighbours: float | None = None,
    random_state: int | np.random.Generator | None = None,
) -> DrawnCell:
    """Draw a Romanowsky-stained cell in the centre of a view of 36 x 36 um.

    Stains are densities that add and absorb light according to the Beer-Lambert law; the lens blurs
    the light, the lamp is uneven and the camera adds noise.

    Parameters
    ----------
    kind : str
        Type of cell, one of `KINDS`.
    size : int
        Side of the square image, in px; a pixel is ``36 / size`` um wide.
    stain : Stain, optional
        Stain of the smear. By default it is random.
    light : Light, optional
        Lamp, lens and camera. By default they are random.
    neighbours : float, optional
        Fraction of the field, 0 to 1, that red cells would cover if they did not overlap. By
        default it is random between 0.2 and 0.6; with 0 there are neither red cells nor platelets.
    random_state : int, Generator or None
        Seed or generator of the random numbers. The same seed gives the same image with the same
        version of OpenCV.

    Returns
    -------
    DrawnCell
        Image, masks and parameters of the cell.

    Raises
    ------
    ValueError
        Raised if the kind is unknown, `size` is below 48, or `neighbours` is outside 0 to 1.

    Examples
    --------
    >>> from hemafeat import datasets
    >>> cell = datasets.draw_cell("neutrophil", random_state=0)
    >>> cell.image.shape, bool((cell.cell[cell.nucleus > 0] == 1).all())
    ((360, 360, 3), True)
    """
    check_kinds([kind])
    if size < 48:
        raise ValueError(f"size is {size}; expected at least 48")
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
    """Draw a cell with the stain, microscope and red cells of a patient."""
    um_per_px = VIEW_UM / size
    painted = paint_cell(branch(rng), kind, 1.0 / um_per_px)
    centre = np.rint(size / 2 + rng.normal(0.0, 0.02, 2) * size).astype(int)
    crowding = float(rng.uniform(0.2, 0.6)) if neighbours is None else float(neighbours)
    shape = (size, size)
    scene = compose(branch(rng), shape, 1.0 / um_per_px, [painted], centre[None], red, crowding)
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
        Types of the white cells, each from `KINDS`; may be empty.
    shape : (H, W)
        Size of the image, in px.
    um_per_px : float
        Scale, in um per pixel.
    stain : Stain, optional
        Stain of the smear. By default it is random.
    light : Light, optional
        Lamp, lens and camera. By default they are random.
    neighbours : float, optional
        Fraction of the field that red cells would cover if they did not overlap; see `draw_cell`.
    touching : float
        Probability, for each cell after the first, that it touches a previous cell.
    random_state : int, Generator or None
        Seed or generator of the random numbers.

    Returns
    -------
    DrawnField
        Image, label images and parameters of the field.

    Raises
    ------
    ValueError
        Raised if a kind is unknown, `touching` or `neighbours` is outside 0 to 1, or the field is
        too small for the cells.

    Examples
    --------
    >>> from hemafeat import datasets
    >>> field = datasets.draw_field(["monocyte", "platelet"], shape=(300, 400), random_state=0)
    >>> field.image.shape, field.cell.max().item()
    ((300, 400, 3), 2)
    """
    check_kinds(kinds)
    _check_crowding(neighbours)
    if not 0 <= touching <= 1:
        raise ValueError(f"touching is {touching}; expected a probability from 0 to 1")
    if um_per_px <= 0 or min(shape) < 48:
        raise ValueError(
            f"cannot draw a field of {shape} px at {um_per_px} um per px; expected sides of at "
            "least 48 px and a positive scale"
        )
    rng = np.random.default_rng(random_state)
    stain = Stain.draw(rng) if stain is None else stain
    light = Light.draw(rng) if light is None else light
    red = RedCells.draw(rng)
    cells = [paint_cell(branch(rng), kind, 1.0 / um_per_px) for kind in kinds]
    centres = place_cells(rng, shape, cells, touching)
    crowding = float(rng.uniform(0.2, 0.6)) if neighbours is None else float(neighbours)
    scene = compose(branch(rng), shape, 1.0 / um_per_px, cells, centres, red, crowding)
    image = _expose(branch(rng), scene, stain, light, um_per_px)
    return DrawnField(
        image=image,
        cell=scene.cell,
        nucleus=scene.nucleus,
        red=scene.red,
        platelet=scene.platelet,
        smudge=np.zeros(shape, bool),
        kinds=tuple(str(kind) for kind in kinds),
        um_per_px=um_per_px,
        n_lobes=tuple(cell.n_lobes for cell in cells),
        n_red=scene.n_red,
        n_touching=scene.n_touching,
        stain=stain,
        light=light,
    )


def check_kinds(kinds: Sequence[str]) -> None:
    """Raise a ValueError if a kind is unknown."""
    unknown = [str(kind) for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"unknown kind {', '.join(unknown)}; available: {', '.join(KINDS)}")


def _check_crowding(neighbours: float | None) -> None:
    if neighbours is not None and not 0 <= neighbours <= 1:
        raise ValueError(f"neighbours is {neighbours}; expected a fraction from 0 to 1")


def _expose(
    rng: np.random.Generator, scene: Scene, stain: Stain, light: Light, um_per_px: float
) -> np.ndarray:
    image = render(scene.planes, stain, light, um_per_px, rng)
    if stain.background == "black":
        cv2.copyTo(np.zeros_like(image), (scene.cell == 0).astype(np.uint8), image)
    return image


def place_cells(
    rng: np.random.Generator,
    shape: tuple[int, int],
    cells: Sequence[PaintedCell],
    touching: float,
) -> np.ndarray:
    """Choose (n, 2) int centres, (x, y), of cells that overlap at most at their rims."""
    height, width = shape
    centres: list[np.ndarray] = []
    for number, painted in enumerate(cells):
        radius = float(painted.spokes.max())
        low, high = np.full(2, radius + 1), np.array([width, height]) - radius - 2
        if (low > high).any():
            raise ValueError(f"a {painted.kind} does not fit into a field of {height} x {width} px")
        touches = centres and rng.random() < touching
        for attempt in range(400):
            if touches and attempt < 60:
                other = int(rng.integers(len(centres)))
                angle = rng.uniform(0, 2 * np.pi)
                sector = round((angle + np.pi) / (2 * np.pi) * 72) % 72
                distance = cells[other].spokes[sector] + painted.spokes[(sector + 36) % 72]
                direction = np.array([np.cos(angle), np.sin(angle)])
                centre = centres[other] + (distance - 1.5) * direction
                others = [i for i in range(len(centres)) if i != other]
            else:
                centre = rng.uniform(low, high)
                others = list(range(len(centres)))
            is_free = all(
                np.hypot(*(centre - centres[i])) > radius + float(cells[i].spokes.max()) + 2
                for i in others
            )
            if is_free and (centre >= low).all() and (centre <= high).all():
                centres.append(centre)
                break
        else:
            raise ValueError(
                f"no room for cell {number + 1} of {len(cells)} in a field of {height} x {width} px"
            )
    return np.rint(np.array(centres).reshape(-1, 2)).astype(int)
