"""How far a segmentation is to be trusted, from evidence in the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST = 0.5
"""Confidence below which a failure is suspected."""

# Log-odds of failure (Dice of cell or nucleus below 0.8) for each kind of doubt, fitted by logistic
# regression on one half of two data sets with masks, blurred, paled, noisy and badly lit copies
# included, then moved so that as many cells are flagged as fail.
_CALM = -3.0
_DOUBTS: tuple[tuple[str, float, str], ...] = (
    ("rim", 3.5, "no clear border round the cell"),
    ("limit", 2.0, "the cell seems larger than could be searched"),
    ("odds", 1.7, "the colours of the cell occur all over the image"),
    ("agreement", 2.0, "two searches for the outline disagree"),
    ("separation", 2.0, "nucleus and cytoplasm hardly differ"),
    ("nucleus", 2.0, "the nucleus is a very small part of the cell"),
    ("concave", 1.0, "the outline is deeply dented"),
    ("border", 0.8, "the cell is cut by the border of the image"),
)


@dataclass(slots=True)
class Record:
    """What is said about one cell; see `contours` for the meaning of each entry."""

    touches_border: bool
    confidence: float
    suspected_failure: bool
    failure_reason: str


def record(
    *,
    touches_border: bool,
    rim: float,
    limit: float,
    odds: float,
    agreement: float,
    separation: float,
    nucleus_share: float,
    solidity: float,
) -> Record:
    """The quality record of a cell from its evidence.

    Parameters
    ----------
    touches_border : bool
        The cell is cut by the border of the image.
    rim, limit, odds, agreement : float
        As in `hemafeat.segment._contours.cell.Outline`.
    separation : float
        Distance of the mean levels of nucleus and cytoplasm in standard deviations.
    nucleus_share : float
        Area of the nucleus over that of the cell; 0 for a cell that has none.
    solidity : float
        Area of the cell over that of its convex hull.
    """
    small = max(0.0, 0.25 - nucleus_share) * 4.0 if nucleus_share > 0.0 else 0.0
    doubts = {
        "rim": 1.0 - rim,
        "limit": limit,
        "odds": max(0.0, 1.5 - odds),
        "agreement": 1.0 - agreement,
        "separation": max(0.0, 4.0 - separation) if nucleus_share > 0.0 else 0.0,
        "nucleus": small,
        "concave": max(0.0, 0.95 - solidity) * 10.0,
        "border": float(touches_border),
    }
    parts = [weight * doubts[name] for name, weight, _ in _DOUBTS]
    confidence = float(1.0 / (1.0 + np.exp(_CALM + sum(parts))))
    suspected = confidence < LEAST
    reason = _DOUBTS[int(np.argmax(parts))][2] if suspected else ""
    return Record(touches_border, confidence, suspected, reason)


def gathered(records: list[Record]) -> dict[str, np.ndarray]:
    """The records of all cells as columns for `Masks`."""
    return {
        "touches_border": np.array([r.touches_border for r in records], bool),
        "confidence": np.array([r.confidence for r in records], np.float64),
        "suspected_failure": np.array([r.suspected_failure for r in records], bool),
        "failure_reason": np.array([r.failure_reason for r in records], object),
    }
