"""The more trusted of two segmentations, cell by cell."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from hemafeat.segment._cells import MIN_CONFIDENCE
from hemafeat.segment._contours.contours import segment_by_contours
from hemafeat.segment._contours.surround import prepare
from hemafeat.segment._masks import Masks
from hemafeat.segment._unet.tiles import weights_file
from hemafeat.segment._unet.unet import segment_by_network
from hemafeat.segment._unet.watershed import SOLID, mask_solidity

CLUMP = 0.5
"""Share of an outline that several cells fill, from which it encloses a clump of them."""

MIN_LONE_CONFIDENCE = 0.8
"""Confidence from which a cell that only one segmenter has found is kept."""

SAME_CELL = 0.5
"""Dice of two outlines from which they are of the same cell."""


def best(image: np.ndarray, *, weights: str | os.PathLike[str] | None = None) -> Masks:
    """Segment white cells by `contours` and by `unet`, and keep the more trusted outline of each.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image.
    weights : path, optional
        Weights of the network; see `unet`. By default they are those of the package.

    Returns
    -------
    Masks
        Cells in order of area, largest first. Quality as in `contours`, and ``segmenter``, the
        name of the segmenter of each outline.

    Raises
    ------
    FileNotFoundError
        The file of weights does not exist.
    ValueError
        `image` is not an (H, W, 3) uint8 array, or the weights are not those of such a network.

    Notes
    -----
    An outline around two or more cells that the other segmenter separates with confidence is left
    out. Two outlines with a Dice of at least 0.5 are of the same cell, and the one with the higher
    confidence is kept. A cell that only one segmenter has found is kept if its confidence is at
    least 0.8, or if the other one found nothing at all.

    Examples
    --------
    >>> from hemafeat import datasets, segment
    >>> drawn = datasets.draw_cell("monocyte", random_state=0)
    >>> masks = segment.best(drawn.image)
    >>> masks.n_cells
    1
    >>> masks.quality["segmenter"][0] in ("contours", "unet")
    True
    """
    path = weights_file(weights)
    image, frame = prepare(image)
    return combine(
        {
            "contours": segment_by_contours(image, frame),
            "unet": segment_by_network(image, frame, path),
        }
    )


def combine(segmentations: dict[str, Masks]) -> Masks:
    """Keep the more trusted outline of each cell of two segmentations of one image."""
    (first_name, first), (second_name, second) = segmentations.items()
    first, second = _drop_clumps(first, second), _drop_clumps(second, first)
    segmentations = {first_name: first, second_name: second}
    pairs = _match(first, second)
    chosen: list[tuple[str, int]] = []
    for i, j in pairs.items():
        use_first = first.quality["confidence"][i] >= second.quality["confidence"][j]
        chosen.append((first_name, i) if use_first else (second_name, j))
    lone = [(first_name, i) for i in range(first.n_cells) if i not in pairs]
    lone += [(second_name, j) for j in range(second.n_cells) if j not in pairs.values()]
    either_empty = not first.n_cells or not second.n_cells
    chosen += [
        (name, i)
        for name, i in lone
        if either_empty or segmentations[name].quality["confidence"][i] >= MIN_LONE_CONFIDENCE
    ]
    return _draw(segmentations, chosen, first.shape)


def _drop_clumps(masks: Masks, other: Masks) -> Masks:
    """Drop the outlines around several cells that another segmentation separates with confidence.

    Pieces of one cell are not such cells: they are ragged, or fill little of the outline.
    """
    whole = [
        j
        for j in range(1, other.n_cells + 1)
        if other.quality["confidence"][j - 1] >= MIN_CONFIDENCE
        and mask_solidity(other.cell == j) >= SOLID
    ]
    overlaps = _overlaps(masks, other)
    areas, enclosed = overlaps.sum(axis=1), overlaps[:, whole]
    enclosed = np.where(enclosed > 0.5 * overlaps.sum(axis=0)[whole], enclosed, 0)
    kept = [
        i
        for i in range(1, masks.n_cells + 1)
        if np.count_nonzero(enclosed[i]) < 2 or enclosed[i].sum() < CLUMP * areas[i]
    ]
    return masks if len(kept) == masks.n_cells else masks.select(np.array(kept, np.intp) - 1)


def _overlaps(first: Masks, second: Masks) -> np.ndarray:
    """Count the pixels of each pair of labels, 0 included: an (n + 1, m + 1) array."""
    width = second.n_cells + 1
    flat = first.cell.astype(np.int64) * width + second.cell
    return np.bincount(flat.ravel(), minlength=width * (first.n_cells + 1)).reshape(-1, width)


def _match(first: Masks, second: Masks) -> dict[int, int]:
    """Pair the cells of both, by position, best Dice first; each cell is used once."""
    overlaps = _overlaps(first, second)
    areas, other_areas = overlaps.sum(axis=1), overlaps.sum(axis=0)
    dice = 2.0 * overlaps[1:, 1:] / np.maximum(areas[1:, None] + other_areas[None, 1:], 1)
    pairs: dict[int, int] = {}
    for index in np.argsort(-dice, axis=None, kind="stable"):
        i, j = divmod(int(index), max(second.n_cells, 1))
        if dice[i, j] < SAME_CELL:
            break
        if i not in pairs and j not in pairs.values():
            pairs[i] = j
    return pairs


def _draw(
    segmentations: dict[str, Masks], chosen: list[tuple[str, int]], shape: tuple[int, int]
) -> Masks:
    parts = []
    for name, i in chosen:
        mask = segmentations[name].cell == i + 1
        parts.append((int(np.count_nonzero(mask)), name, i, mask))
    parts.sort(key=lambda part: (-part[0], part[1], part[2]))
    cell, nucleus = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    kept: list[tuple[str, int]] = []
    for area, name, i, mask in parts:
        free = mask & (cell == 0)
        # A mask of which less than half is free is a second outline of another cell.
        if np.count_nonzero(free) < 0.5 * area:
            continue
        kept.append((name, i))
        cell[free] = len(kept)
        nucleus[free & (segmentations[name].nucleus == i + 1)] = len(kept)
    quality: dict[str, Any] = {
        entry: [segmentations[name].quality[entry][i] for name, i in kept]
        for entry in ("touches_border", "confidence", "suspected_failure", "failure_reason", "kind")
    }
    quality["segmenter"] = np.array([name for name, _ in kept], object)
    return Masks(cell, nucleus, quality)
