"""Tell trimaps, label images and binary masks apart, and split them into cells and nuclei."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from hemafeat.datasets import TRIMAP_CYTOPLASM, TRIMAP_NUCLEUS

SPECK = 0.01
"""Area of a component, relative to the largest one, below which it is a speck, not a cell."""

_TRIMAP_LEVELS = ({127, 128, 155, 32767, 32768}, {255, 65535})
"""Exact levels that programs give cytoplasm and nucleus."""

_CYTOPLASM, _NUCLEUS = (110, 170), 245
"""Levels near those of a trimap: from and to for cytoplasm, and from for the nucleus."""

_INSIDE = 0.5
"""Share of the edge of a region, along another one, from which it lies inside of that one."""

_BESIDE = 0.25
"""Share of the edge that two cells side by side hardly exceed."""

_INVERTED = 0.55
"""Share of the edge of cytoplasm along the nucleus that suggests that the two are exchanged."""

_DOMINANT = 0.95
"""Share of the pixels of cytoplasm, or of nuclei, from which a level is that of a trimap."""

_ROUGH = 0.005
"""Share of pixels that equal none of their neighbours from which values are noisy."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the values of a mask mean.

    Attributes
    ----------
    kind : str
        One of `MASK_KINDS` without ``"auto"``.
    note : str
        What else the values could mean, if that is not clear.
    noisy : bool or None
        Whether neighbouring values differ by noise; None if this was not looked at.
    """

    kind: str
    note: str = ""
    noisy: bool | None = None


def split_classes(values: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Return labels of cells, labels of nuclei, and a note on the kind if that was guessed.

    Parameters
    ----------
    values : (H, W) ndarray of bool or int
        Mask, without negative values.
    kind : str
        One of `MASK_KINDS`.
    """
    meaning = infer_kind(values) if kind == "auto" else Meaning(kind)
    empty = np.zeros(values.shape, np.int32)
    if meaning.kind == "labels":
        return values, empty, meaning.note
    if meaning.kind == "cells":
        return components(foreground(values, meaning.noisy)), empty, meaning.note
    if meaning.kind == "nuclei":
        numbered = values.dtype != bool and infer_kind(values).kind == "labels"
        return empty, values if numbered else components(foreground(values)), meaning.note
    whole, inner = _trimap(values)
    cell = components(whole)
    return cell, np.where(inner, cell, 0), meaning.note


def foreground(values: np.ndarray, noisy: bool | None = None) -> np.ndarray:
    """Return the inside of a binary mask, which may be noisy: (H, W) bool."""
    if noisy is None:
        may_be = values.dtype != bool and values.max() > TRIMAP_CYTOPLASM
        noisy = bool(may_be and roughness(values) > _ROUGH)
    if noisy:
        return np.asarray(values > values.max() // 2)
    return values > 0


def components(mask: np.ndarray) -> np.ndarray:
    """Label the connected components of a mask, without specks, in reading order."""
    n, labels, stats, _ = cv2.connectedComponentsWithStats(
        np.ascontiguousarray(mask, dtype=np.uint8), connectivity=8
    )
    if n <= 1:
        return labels
    area = stats[1:, cv2.CC_STAT_AREA]
    keep = area >= SPECK * area.max()
    renumber = np.concatenate([[0], np.where(keep, np.cumsum(keep), 0)]).astype(np.int32)
    return renumber[labels]


def infer_kind(values: np.ndarray) -> Meaning:
    """Infer what the values of a mask mean."""
    if values.dtype == bool:
        return Meaning("cells")
    top = int(values.max())
    noisy = roughness(values) > _ROUGH if TRIMAP_CYTOPLASM < top <= 255 else None
    if noisy:
        return replace(_of_noisy(values), noisy=True)
    present = _present(values, top)
    if len(present) == 1:
        meaning = _of_one(values, present[0])
    elif len(present) == 2:
        meaning = _of_two(values, *present)
    else:
        meaning = _of_several(values, present)
    if top and values.min() > 0:
        border = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
        kept, counts = np.unique(border, return_counts=True)
        if counts.max() > 0.5 * border.size:
            note = (
                f"no pixel is 0, the value of the background, which may be the cell of value "
                f"{kept[counts.argmax()]}"
            )
            return Meaning(meaning.kind, note, noisy)
    return replace(meaning, noisy=noisy)


def roughness(values: np.ndarray) -> float:
    """Return the share of pixels that equal no neighbour, among those beside other foreground."""
    inside = values > 0
    beside, equal = np.zeros(values.shape, bool), np.zeros(values.shape, bool)
    for first, second in (
        (np.s_[:-1, :], np.s_[1:, :]),
        (np.s_[:, :-1], np.s_[:, 1:]),
    ):
        both = inside[first] & inside[second]
        same = both & (values[first] == values[second])
        for part in (first, second):
            beside[part] |= both
            equal[part] |= same
    n_beside = np.count_nonzero(beside)
    return np.count_nonzero(beside & ~equal) / n_beside if n_beside else 0.0


def _present(values: np.ndarray, top: int) -> list[int]:
    """Return the values above 0, without those of a few stray pixels."""
    if top <= 65535:
        counts = np.bincount(values.ravel().astype(np.int64, copy=False), minlength=1)
        counts[0] = 0
        kept = np.flatnonzero(counts)
        counts = counts[kept]
    else:
        kept, counts = np.unique(values[values > 0], return_counts=True)
    if 2 < kept.size <= 32:
        kept = kept[counts >= 0.002 * counts.sum()]
    return [int(value) for value in kept]


def _restate(*kinds: str) -> str:
    return f"if not, state the kind of the masks ({' or '.join(kinds)})"


def _of_one(values: np.ndarray, value: int) -> Meaning:
    if value in (255, 65535):
        # However many pieces there are.
        return Meaning("cells")
    pieces = components(values > 0)
    n_pieces = int(pieces.max())
    wide = values.dtype.itemsize > 1
    binary = value in (1, *_TRIMAP_LEVELS[0])
    if n_pieces <= 1:
        return Meaning("labels" if wide and value != 1 else "cells")
    if binary or (value > TRIMAP_CYTOPLASM and not wide):
        note = (
            f"the only value is {value}, taken for a binary mask of {n_pieces} cells; "
            f"{_restate('labels: one cell in pieces')}"
        )
        return Meaning("cells", note)
    areas = np.bincount(pieces.ravel())[1:]
    if np.count_nonzero(areas >= 0.1 * areas.max()) < 2:
        return Meaning("labels")
    note = f"the only value is {value}, taken for one cell in {n_pieces} pieces"
    return Meaning("labels", f"{note}; {_restate('cells')}")


def _of_two(values: np.ndarray, low: int, high: int) -> Meaning:
    along_high, along_low = _edge_shares(values, low, high)
    exact = low in _TRIMAP_LEVELS[0] and high in _TRIMAP_LEVELS[1]
    near = _CYTOPLASM[0] <= low <= _CYTOPLASM[1] and _NUCLEUS <= high <= 255
    wide = values.dtype.itemsize > 1
    inner = _inner(along_high, along_low)
    if exact and inner == "low":
        return Meaning("trimap", _swapped(low, high))
    # The outer edge of cytoplasm is longer than that along a nucleus that it does not enclose.
    doubt = ""
    if along_low > max(along_high, _INVERTED):
        doubt = f"{high} was taken for the nucleus, though {low} may lie in it; exchange them if so"
    if (exact or (near and not wide)) and inner == "high":
        return Meaning("trimap", doubt)
    if exact and (not wide or max(along_high, along_low) >= _BESIDE):
        if min(along_high, along_low) >= _BESIDE:
            return Meaning("trimap", doubt)
        note = f"{low} and {high} were taken for cytoplasm and nucleus, though no nucleus lies "
        return Meaning("trimap", f"{note}in cytoplasm; {_restate('labels')}")
    classes = not wide or (low, high) == (1, 2)
    if inner and classes:
        note = (
            f"{low} and {high} were taken for cytoplasm and nucleus, because {high} lies in {low}; "
            f"{_restate('labels')}"
        )
        return Meaning("trimap", note if inner == "high" else _swapped(low, high))
    if max(along_high, along_low) >= _BESIDE:
        note = f"{low} and {high} were taken for two cells, though one may lie in the other"
        return Meaning("labels", f"{note}; {_restate('trimap')}")
    return Meaning("labels")


def _swapped(low: int, high: int) -> str:
    return (
        f"{low} was taken for the nucleus and {high} for the cytoplasm, because {low} lies in "
        f"{high}; {_restate('labels')}"
    )


def _of_several(values: np.ndarray, present: list[int]) -> Meaning:
    cytoplasm = [value for value in present if _CYTOPLASM[0] <= value <= _CYTOPLASM[1]]
    nucleus = [value for value in present if _NUCLEUS <= value <= 255]
    if cytoplasm and nucleus and len(cytoplasm) + len(nucleus) == len(present):
        classes = np.where(values >= _NUCLEUS, 2, np.where(values >= _CYTOPLASM[0], 1, 0))
        levels = all(_has_level(values, part) for part in (cytoplasm, nucleus))
        if levels and _inner(*_edge_shares(classes, 1, 2)) == "high":
            return Meaning("trimap")
    if 2 < len(present) <= 8:
        for value in present:
            for other in present:
                if other != value and _edge_shares(values, other, value)[0] >= 0.7:
                    note = f"each value was taken for a cell, though {value} lies in {other}"
                    return Meaning("labels", f"{note}; {_restate('trimap')}")
    return Meaning("labels")


def _has_level(values: np.ndarray, present: list[int]) -> bool:
    """Return whether one of these values is that of nearly all of their pixels."""
    counts = [np.count_nonzero(values == value) for value in present]
    return bool(max(counts) >= _DOMINANT * sum(counts))


def _inner(along_high: float, along_low: float) -> str:
    """Return which of two values lies inside the other one: ``"high"``, ``"low"`` or ``""``."""
    if along_high >= _INSIDE and along_high - along_low >= 0.1:
        return "high"
    if along_low >= 0.75 and along_high < _INSIDE:
        return "low"
    # Cytoplasm on one side of a nucleus only: two cells do not share so much of their edges.
    return "high" if min(along_high, along_low) >= 0.35 else ""


def _edge_shares(values: np.ndarray, low: int, high: int) -> tuple[float, float]:
    """Return the share of the edge of `high` that lies along `low`, and the reverse.

    The border of the image counts as background.
    """
    # Beyond the border lies a value that is neither.
    is_low, is_high = np.pad(values == low, 1), np.pad(values == high, 1)
    shared = edge_low = edge_high = 0
    for first, second in ((np.s_[:-1, :], np.s_[1:, :]), (np.s_[:, :-1], np.s_[:, 1:])):
        edge_low += int(np.count_nonzero(is_low[first] != is_low[second]))
        edge_high += int(np.count_nonzero(is_high[first] != is_high[second]))
        shared += int(np.count_nonzero(is_low[first] & is_high[second]))
        shared += int(np.count_nonzero(is_high[first] & is_low[second]))
    return shared / max(edge_high, 1), shared / max(edge_low, 1)


def _of_noisy(values: np.ndarray) -> Meaning:
    """Tell a noisy trimap from a noisy binary mask: values of a JPEG, or with smooth edges."""
    square = np.ones((3, 3), np.uint8)
    middle = (values > TRIMAP_CYTOPLASM) & (values <= TRIMAP_NUCLEUS)
    upper = values > TRIMAP_NUCLEUS
    n_middle, n_upper = np.count_nonzero(middle), np.count_nonzero(upper)
    deep = cv2.erode(middle.astype(np.uint8), square, borderValue=0) > 0
    levels = values[middle]
    # Cytoplasm has an inside or a level; the edge of a smooth binary mask has neither.
    typical = np.count_nonzero(np.abs(levels - np.median(levels)) <= 12) if n_middle else 0
    few = n_middle <= 0.05 * n_upper or typical < 0.4 * n_middle
    no_cytoplasm = few and np.count_nonzero(deep) <= 0.02 * n_middle
    if no_cytoplasm and n_middle < 0.5 * n_upper:
        return Meaning("cells")
    inside = values[cv2.erode((middle | upper).astype(np.uint8), square, borderValue=0) > 0]
    if inside.size and np.subtract(*np.percentile(inside.astype(np.float64), [99.5, 0.5])) < 60:
        return Meaning("cells")
    interior = values[deep]
    if interior.size >= 50:
        spread = np.subtract(*np.percentile(interior.astype(np.float64), [90, 10]))
        if spread > 80:
            note = (
                "its values are noisy and not those of a trimap, for which it was taken (a mask "
                f"saved as JPEG loses its labels); {_restate('labels')}"
            )
            return Meaning("trimap", note)
    return Meaning("trimap")


def _trimap(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells and the nuclei of a trimap: two (H, W) arrays of bool."""
    present = _present(values, int(values.max()))
    if len(present) == 2:
        low, high = present
        swapped = _inner(*_edge_shares(values, low, high)) == "low"
        if swapped or not TRIMAP_CYTOPLASM < low <= TRIMAP_NUCLEUS < high <= 255:
            return (values == low) | (values == high), values == (low if swapped else high)
    if len(present) == 1 and present[0] <= TRIMAP_CYTOPLASM:
        return values > 0, (values > 1)
    return values > TRIMAP_CYTOPLASM, values > TRIMAP_NUCLEUS
