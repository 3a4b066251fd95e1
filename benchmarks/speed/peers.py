"""Register what is timed: a function for each tool and group.

A peer is a function ``f(cell) -> Work``. The function itself prepares, untimed; the call of its
`Work` is timed. To add a peer, write one decorated function in ``shape.py``, ``texture.py`` or
``intensity.py``. If a tool is not installed, its function raises ImportError, which is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import numpy as np
from cells import Cell

GROUPS = {
    "segmentation": "Nucleus and cell of a 360 x 360 image",
    "geometry": "Geometry of the nucleus",
    "lbp_8": "LBP, P = 8, uniform, whole image",
    "lbp_16": "LBP, P = 16, uniform, whole image",
    "lbp_24": "LBP, P = 24, uniform, whole image",
    "lbp_box": "LBP, P = 8, 16, 24, histograms of the nucleus",
    "glcm": "GLCM, 32 levels, masked, with statistics",
    "glrlm": "GLRLM, 32 levels, masked, with statistics",
    "glszm": "GLSZM, 32 levels, masked, with statistics",
    "gldm": "GLDM (NGLDM), 32 levels, masked, with statistics",
    "ngtdm": "NGTDM, 32 levels, masked, with statistics",
    "first_order": "First order, one channel",
    "density": "Optical density, statistics of R, G, B",
    "colour": "Colour, mean and sd of RGB, Lab, HSV",
    "dct": "Discrete cosine transform",
    "gabor": "Gabor filters",
    "zernike": "Zernike moments, degree 9",
    "everything": "All that a tool has, of one image and its nucleus",
}
"""Titles of the groups, in the order of the tables."""

LEFT_OUT = {
    "histomicstk": "not among the peers: its installation needs a Java machine (javabridge)",
    "emfet": "not among the peers: it needs NumPy 1, and cannot be installed beside NumPy 2",
}

CLOSE = 1e-6
"""Relative difference up to which values count as equal: some peers compute in 32-bit floats."""

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Work:
    """A timed call, and how to read its result.

    Attributes
    ----------
    call : function
        The call that is timed.
    columns : int or function of the result
        Number of values per cell.
    values : function of the result
        Values by name. Names that ours have too are compared, the others are not.
    """

    call: Callable[[], Any]
    columns: int | Callable[[Any], int]
    values: Callable[[Any], Values] = field(default=lambda result: {})

    def width(self, result: Any) -> int:
        return self.columns(result) if callable(self.columns) else self.columns


Prepare = Callable[[Cell], Work]


@dataclass(frozen=True)
class Peer:
    """A tool in a group; `note` says more about it, such as another definition."""

    group: str
    tool: str
    prepare: Prepare
    variant: str = ""
    note: str = ""

    @property
    def name(self) -> str:
        return f"{self.tool} {self.variant}".strip()

    @property
    def ours(self) -> bool:
        return self.tool == "hemafeat"


REGISTER: list[Peer] = []


def peer(
    *groups: str, tool: str, variant: str = "", note: str = ""
) -> Callable[[Callable[..., Work]], Callable[..., Work]]:
    """Register a function; with several groups it takes the group as its second argument."""

    def register(function: Callable[..., Work]) -> Callable[..., Work]:
        for group in groups:
            if group not in GROUPS:
                raise KeyError(f"there is no group {group!r}")
            if len(groups) == 1:
                prepare: Prepare = function
            else:
                prepare = lambda cell, group=group: function(cell, group)  # noqa: E731
            REGISTER.append(Peer(group, tool, prepare, variant, note))
        return function

    return register


def reason(error: BaseException) -> str:
    """Describe in one line why a tool could not be timed."""
    text = " ".join(str(error).split())[:120]
    if isinstance(error, ModuleNotFoundError):
        return f"not installed (no module {error.name})"
    if isinstance(error, ImportError):
        return f"fails to import: {text}"
    return f"raised {type(error).__name__}: {text}"


def versions(tools: list[str]) -> dict[str, str]:
    """Return the version of each tool that is installed."""
    names = {"cv2": ["opencv-python", "opencv-python-headless"]}
    by_tool = {}
    for tool in tools:
        for name in names.get(tool, [tool]):
            try:
                by_tool[tool] = metadata.version(name)
                break
            except metadata.PackageNotFoundError:
                continue
    return by_tool


def agreement(ours: Values, theirs: Values) -> str:
    """Describe how the values of a peer agree with ours, over the names both have."""
    shared = [name for name in theirs if name in ours]
    if not shared:
        return "other definition"
    apart = {name: _apart(ours[name], theirs[name]) for name in shared}
    worst = max(apart, key=lambda name: apart[name])
    n = len(shared)
    if apart[worst] == 0:
        return f"equal ({n})"
    same = sum(value <= CLOSE for value in apart.values())
    if same == n:
        return f"equal to {apart[worst]:.0e} ({n})"
    return f"{same} of {n} equal; {worst} differs by {_share(apart[worst])}"


def _share(value: float) -> str:
    return f"{100 * value:.2g} %" if value < 10 else "more than its size"


def _apart(ours: Any, theirs: Any) -> float:
    """Return the relative difference; for whole numbers the share of unequal ones."""
    a, b = np.asarray(ours), np.asarray(theirs)
    if a.shape != b.shape:
        return float("inf")
    if a.dtype.kind in "iub" or b.dtype.kind in "iub":
        return float(np.mean(a != b))
    a, b = a.astype(float), b.astype(float)
    if np.array_equal(a, b, equal_nan=True):
        return 0.0
    scale = np.maximum(np.abs(a).max(), np.abs(b).max())
    gap = np.abs(a - b).max() / scale if scale > 0 else 0.0
    return float("inf") if np.isnan(gap) else float(gap)
