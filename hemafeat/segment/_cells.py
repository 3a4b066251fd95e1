"""Cells before they become masks: their boxes, the confidence in them, and label images of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from hemafeat.segment._kernels.fill import draw_cell
from hemafeat.segment._masks import Masks

MIN_CONFIDENCE = 0.5
"""Confidence below which a failure is suspected."""

KIND_WHITE, KIND_PLATELET = "white cell", "platelet"
"""Kinds of cells."""

OVERSIZED = "larger than a white cell: dirt, or several cells"
"""Reason to suspect a region many times as large as the cells of its image."""

# Log-odds of a failure (Dice of cell or nucleus below 0.8) for each kind of doubt, fitted by
# logistic regression on one half of two data sets with masks, with blurred, paled, noisy and badly
# lit copies, then shifted so that as many cells are flagged as fail.
_INTERCEPT = -3.0
_DOUBTS: tuple[tuple[str, float, str], ...] = (
    ("rim", 3.5, "no clear border round the cell"),
    ("limit", 2.0, "the cell seems larger than could be searched"),
    ("odds", 1.7, "the colours of the cell occur all over the image"),
    ("agreement", 2.0, "two searches for the outline disagree"),
    ("separation", 2.0, "nucleus and cytoplasm hardly differ"),
    ("nucleus", 2.0, "the nucleus is a very small part of the cell"),
    ("concave", 1.0, "the outline is deeply dented"),
    ("border", 0.8, "the cell is cut by the border of the image"),
    ("size", 6.0, OVERSIZED),
)


@dataclass(slots=True)
class Record:
    """Quality record of one cell; see `hemafeat.segment.contours` for its entries."""

    touches_border: bool
    confidence: float
    suspected_failure: bool
    failure_reason: str
    kind: str = KIND_WHITE


@dataclass(slots=True)
class Cell:
    """Masks of a cell within its box of the image.

    Attributes
    ----------
    left, top : int
        Position of the box in the image.
    cell, nucleus : (h, w) ndarray of uint8
        1 on the cell and on its nucleus.
    area : int
        Number of pixels of the cell.
    """

    left: int
    top: int
    cell: np.ndarray
    nucleus: np.ndarray
    area: int

    def touches_border(self, shape: tuple[int, int], surround: np.ndarray | None = None) -> bool:
        """Return True if the box reaches the border of an image, or the cell its surround."""
        height, width = self.cell.shape
        if surround is not None:
            beside = surround[self.top : self.top + height, self.left : self.left + width]
            if (self.cell & (beside > 0)).any():
                return True
        return (
            self.top == 0
            or self.left == 0
            or self.top + height == shape[0]
            or self.left + width == shape[1]
        )


C = TypeVar("C", bound=Cell)


def assemble(
    cells: Sequence[C],
    shape: tuple[int, int],
    rate: Callable[[C, bool], Record],
    surround: np.ndarray | None = None,
) -> Masks:
    """Draw cells into label images, largest first, and rate those that are kept.

    A cell of which less than half is free is left out: it is a second outline of another one.

    Parameters
    ----------
    cells : sequence of Cell
        Cells, in any order.
    shape : (int, int)
        Height and width of the image.
    rate : callable
        ``rate(cell, touches_border)`` returns the `Record` of a cell.
    surround : (H, W) ndarray of uint8, optional
        Not 0 on the black surround of a field, which cuts cells as the border of an image does.

    Returns
    -------
    Masks
        Cells in order of area, largest first.
    """
    labels, nuclei = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    records: list[Record] = []
    for cell in sorted(cells, key=lambda cell: (-cell.area, cell.top, cell.left)):
        number, half = len(records) + 1, 0.5 * cell.area
        if draw_cell(labels, nuclei, number, cell.cell, cell.nucleus, cell.left, cell.top, half):
            records.append(rate(cell, cell.touches_border(shape, surround)))
    return Masks.known(labels, nuclei, len(records), _columns(records))


def _columns(records: list[Record]) -> dict[str, np.ndarray]:
    return {
        "touches_border": np.array([r.touches_border for r in records], bool),
        "confidence": np.array([r.confidence for r in records], np.float64),
        "suspected_failure": np.array([r.suspected_failure for r in records], bool),
        "failure_reason": np.array([r.failure_reason for r in records], object),
        "kind": np.array([r.kind for r in records], object),
    }


def rate_outline(
    *,
    touches_border: bool,
    rim: float,
    limit: float,
    odds: float,
    agreement: float,
    separation: float,
    nucleus_share: float,
    solidity: float,
    oversized: float = 0.0,
) -> Record:
    """Compute the quality record of a cell found by `contours` from the evidence for it.

    Parameters
    ----------
    touches_border : bool
        True if the border of the image cuts the cell.
    rim, limit, odds, agreement : float
        See `hemafeat.segment._contours.cell.Outline`.
    separation : float
        Difference of the mean levels of nucleus and cytoplasm in standard deviations.
    nucleus_share : float
        Area of the nucleus over that of the cell; 0 for a cell without a nucleus.
    solidity : float
        Area of the cell over that of its convex hull.
    oversized : float
        1 if the region is many times as large as the cells of its image. Default 0.

    Returns
    -------
    Record
    """
    has_nucleus = nucleus_share > 0.0
    doubts = {
        "rim": 1.0 - rim,
        "limit": limit,
        "odds": max(0.0, 1.5 - odds),
        "agreement": 1.0 - agreement,
        "separation": max(0.0, 4.0 - separation) if has_nucleus else 0.0,
        "nucleus": max(0.0, 0.25 - nucleus_share) * 4.0 if has_nucleus else 0.0,
        "concave": max(0.0, 0.95 - solidity) * 10.0,
        "border": float(touches_border),
        "size": oversized,
    }
    parts = [weight * doubts[name] for name, weight, _ in _DOUBTS]
    confidence = float(1.0 / (1.0 + np.exp(_INTERCEPT + sum(parts))))
    suspected = confidence < MIN_CONFIDENCE
    reason = _DOUBTS[int(np.argmax(parts))][2] if suspected else ""
    kind = KIND_WHITE if has_nucleus else KIND_PLATELET
    return Record(touches_border, confidence, suspected, reason, kind)
