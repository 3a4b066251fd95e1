"""How far each column moves when a cell is imaged or outlined otherwise, as measured beforehand."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

CHANGES = ("stain", "scale", "jpeg", "focus", "mask")
"""Kinds of change that ``benchmarks/stability.py`` has measured."""

ROBUST_ICC = 0.75
"""Intraclass correlation from which agreement is good (Koo and Li, J Chiropr Med 15:155, 2016)."""


@cache
def stability() -> dict[str, dict[str, float]]:
    """Return the ICC of each column of this package under each kind of change; NaN if unknown."""
    text = files("hemafeat.extract").joinpath("_stability.csv").read_text(encoding="utf-8")
    return {
        row["column"]: {change: float(row[change] or "nan") for change in CHANGES}
        for row in csv.DictReader(text.splitlines())
    }


@cache
def robust_columns() -> frozenset[str]:
    """Return the columns whose ICC is known and at least `ROBUST_ICC` under each kind of change."""
    return frozenset(
        column for column, icc in stability().items() if min(icc.values()) >= ROBUST_ICC
    )
