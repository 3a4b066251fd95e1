"""Check the size of a pixel wherever it comes in."""

from __future__ import annotations

import math
from typing import Any

SMALLEST, LARGEST = 0.02, 2.0
"""um per pixel between which no microscope image of single cells is out of the ordinary.

Immersion objectives with 100 x and small pixels reach 0.03, slides scanned with 10 x about 1.
"""

WIDEST = 100.0
"""Diameter in um that no cell of blood or bone marrow exceeds; megakaryocytes come near it."""


def check_scale(value: Any, name: str = "um_per_px") -> float:
    """Return `value` as a float.

    Raises
    ------
    ValueError
        It is not a number, or not positive and finite; the message calls it `name`.
    """
    try:
        if isinstance(value, str | bytes | bool):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} must be a positive number, not {repr(value)[:60]}") from None
    if not 0 < number < math.inf:
        raise ValueError(f"{name} must be positive, not {number:g}")
    return number


def doubt_scale(value: float, name: str = "um_per_px") -> str | None:
    """Return what is strange about a size of a pixel in um, None if it is plausible."""
    if SMALLEST <= value <= LARGEST:
        return None
    width = f"{100 * value:,.0f}" if value >= 1 else f"{100 * value:.3g}"
    return (
        f"{name} = {value:g} makes a cell of 100 px {width} um wide, and white cells are 7 to 25 "
        "um: the value is the side of a pixel in um, not px per um or nm per px"
    )


def doubt_width(width: float, um_per_px: float) -> str | None:
    """Return what is strange about the width of a cell in um, None if it is plausible."""
    if not width > WIDEST:
        return None
    return (
        f"a cell is {width:,.0f} um wide with um_per_px = {um_per_px:g}, and white cells are 7 to "
        "25 um: the scale or the outline is wrong"
    )
