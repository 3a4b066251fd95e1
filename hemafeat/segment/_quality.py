"""How far a segmentation is to be trusted, from evidence in the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST = 0.5
"""Confidence below which a failure is suspected."""


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
    rough: float,
    odds: float,
    agreement: float,
    separation: float,
    nucleus_share: float,
    solidity: float,
) -> Record:
    """The quality record of a cell from its evidence."""
    return Record(touches_border, 1.0, False, "")


def gathered(records: list[Record]) -> dict[str, np.ndarray]:
    """The records of all cells as columns for `Masks`."""
    return {
        "touches_border": np.array([r.touches_border for r in records], bool),
        "confidence": np.array([r.confidence for r in records], np.float64),
        "suspected_failure": np.array([r.suspected_failure for r in records], bool),
        "failure_reason": np.array([r.failure_reason for r in records], object),
    }
