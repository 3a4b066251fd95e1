"""The more trusted of two segmentations, cell by cell."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from hemafeat.segment._contours.contours import contours
from hemafeat.segment._masks import Masks
from hemafeat.segment._quality import LEAST
from hemafeat.segment._unet.unet import unet
from hemafeat.segment._unet.watershed import SOLID, solidity

FILLED = 0.5
"""Share of an outline that several cells fill, from which it is one round a clump of them."""

ALONE = 0.8
"""Confidence from which a cell that one of them alone has found is taken."""

SAME = 0.5
"""Dice of two outlines from which they are of the same cell."""


def best(image: np.ndarray, *, weights: str | os.PathLike[str] | None = None) -> Masks:
    """White cells by `contours` and by `unet`: of each cell the outline that is trusted more.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB.
    weights : path, optional
        See `unet`.

    Returns
    -------
    Masks
        Cells in order of area, largest first. Quality as in `contours`, and ``segmenter``, the
        name of the one the outline is from.

    Raises
    ------
    FileNotFoundError
        No weights.
    ValueError
        `image` is not an (H, W, 3) uint8 array, or the weights are no such network.

    Notes
    -----
    An outline round two or more cells that the other segmenter is sure to tell apart is left out.
    Two outlines with a Dice of 0.5 are of the same cell, and that of higher confidence is taken. A
    cell that one of them alone has found is taken from a confidence of 0.8 on, or where the other
    one found nothing at all.
    """
    return chosen({"contours": contours(image), "unet": unet(image, weights=weights)})


def chosen(found: dict[str, Masks]) -> Masks:
    """The more trusted outline of each cell of two segmentations of one image."""
    (one_name, one), (other_name, other) = found.items()
    one, other = _without_clumps(one, other), _without_clumps(other, one)
    found = {one_name: one, other_name: other}
    pairs = _pairs(one, other)
    taken: list[tuple[str, int]] = []
    for i, j in pairs.items():
        first = one.quality["confidence"][i] >= other.quality["confidence"][j]
        taken.append((one_name, i) if first else (other_name, j))
    alone = [(one_name, i) for i in range(one.n_cells) if i not in pairs]
    alone += [(other_name, j) for j in range(other.n_cells) if j not in pairs.values()]
    either_empty = not one.n_cells or not other.n_cells
    taken += [
        (name, i)
        for name, i in alone
        if either_empty or found[name].quality["confidence"][i] >= ALONE
    ]
    return _together(found, taken, one.shape)


def _without_clumps(one: Masks, other: Masks) -> Masks:
    """Without the outlines round several cells that the other segmentation is sure to tell apart.

    Pieces of a cell that fell to bits are not such cells: they are ragged, or fill little of it.
    """
    whole = [
        j
        for j in range(1, other.n_cells + 1)
        if other.quality["confidence"][j - 1] >= LEAST and solidity(other.cell == j) >= SOLID
    ]
    shared = _shared(one, other)
    areas, held = shared.sum(axis=1), shared[:, whole]
    held = np.where(held > 0.5 * shared.sum(axis=0)[whole], held, 0)
    kept = [
        i
        for i in range(1, one.n_cells + 1)
        if np.count_nonzero(held[i]) < 2 or held[i].sum() < FILLED * areas[i]
    ]
    if len(kept) == one.n_cells:
        return one
    numbers = np.zeros(one.n_cells + 1, np.int32)
    numbers[kept] = np.arange(1, len(kept) + 1)
    rows = np.array(kept, np.intp) - 1
    quality = {name: np.asarray(values)[rows] for name, values in one.quality.items()}
    return Masks(numbers[one.cell], numbers[one.nucleus], quality)


def _shared(one: Masks, other: Masks) -> np.ndarray:
    """(n + 1, m + 1): pixels of each label of the one, 0 among them, that have one of the other."""
    width = other.n_cells + 1
    flat = one.cell.astype(np.int64) * width + other.cell
    return np.bincount(flat.ravel(), minlength=width * (one.n_cells + 1)).reshape(-1, width)


def _pairs(one: Masks, other: Masks) -> dict[int, int]:
    """Cells of both, by position, with a Dice of `SAME` at least: no cell can be in two pairs."""
    shared = _shared(one, other)
    areas, others = shared.sum(axis=1), shared.sum(axis=0)
    dice = 2.0 * shared[1:, 1:] / np.maximum(areas[1:, None] + others[None, 1:], 1)
    pairs: dict[int, int] = {}
    for place in np.argsort(-dice, axis=None, kind="stable"):
        i, j = divmod(int(place), max(other.n_cells, 1))
        if dice[i, j] < SAME:
            break
        if i not in pairs and j not in pairs.values():
            pairs[i] = j
    return pairs


def _together(
    found: dict[str, Masks], taken: list[tuple[str, int]], shape: tuple[int, int]
) -> Masks:
    parts = []
    for name, i in taken:
        mask = found[name].cell == i + 1
        parts.append((int(np.count_nonzero(mask)), name, i, mask))
    parts.sort(key=lambda part: (-part[0], part[1], part[2]))
    cell, nucleus = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    kept: list[tuple[str, int]] = []
    for area, name, i, mask in parts:
        free = mask & (cell == 0)
        # Where most of it is another cell already there are two outlines of one cell.
        if np.count_nonzero(free) < 0.5 * area:
            continue
        kept.append((name, i))
        cell[free] = len(kept)
        nucleus[free & (found[name].nucleus == i + 1)] = len(kept)
    quality: dict[str, Any] = {
        entry: [found[name].quality[entry][i] for name, i in kept]
        for entry in ("touches_border", "confidence", "suspected_failure", "failure_reason")
    }
    quality["segmenter"] = np.array([name for name, _ in kept], object)
    return Masks(cell, nucleus, quality)
