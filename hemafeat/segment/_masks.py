"""`Masks`: label images of cells and nuclei, returned by segmenters and measured by families."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from hemafeat._public import public

QUALITY: dict[str, Any] = {
    "touches_border": False,
    "confidence": np.nan,
    "suspected_failure": False,
    "failure_reason": "",
}
"""Entries of the quality record of a cell, with the values used if a segmenter gives none."""


@public
class MaskError(ValueError):
    """Masks that contradict each other or the image."""


@public
@dataclass(frozen=True, eq=False)
class Masks:
    """Two label images with shared ids: the whole cell and its nucleus.

    Labels are checked and renumbered 1..n once, so that all other code may rely on them. The
    arrays passed in are never modified.

    Parameters
    ----------
    cell : (H, W) ndarray of int or bool
        Labels of whole cells; 0 is background. A boolean mask is one cell.
    nucleus : (H, W) ndarray of int or bool
        Labels of the nuclei, under the ids of `cell`. A cell may have none (a platelet, an
        erythrocyte), and an id that occurs only here is a cell of which only the nucleus is known.
    quality : mapping of str to sequence, optional
        One value per cell, in the order of the ids: ``touches_border``, ``confidence`` (0 to 1),
        ``suspected_failure``, ``failure_reason``, and any other entry of a segmenter. It is
        reported beside the features, never among them. By default ``touches_border`` is computed,
        and the other entries say that nothing is known.

    Attributes
    ----------
    cell, nucleus, cytoplasm : (H, W) ndarray of int32
        Labels 1..n_cells; ``cytoplasm`` is the cell without its nucleus.
    n_cells : int
        Number of cells.
    ids : (n_cells,) ndarray of int64
        The original ids, in ascending order.

    Raises
    ------
    MaskError
        Labels are not whole numbers, are negative, differ in shape or are not two-dimensional, or
        a nucleus lies outside its own cell.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat.segment import Masks
    >>> cell = np.zeros((6, 8), int)
    >>> cell[1:5, 1:4], cell[2:6, 5:8] = 3, 7
    >>> masks = Masks(cell, np.where(cell == 3, cell, 0))
    >>> masks
    Masks(2 cells, 6 x 8)
    >>> masks.ids.tolist(), masks.quality["touches_border"].tolist()
    ([3, 7], [False, True])
    """

    cell: np.ndarray
    nucleus: np.ndarray
    quality: Mapping[str, Any] = field(default_factory=dict)
    n_cells: int = field(init=False)
    ids: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        cell, nucleus = _check_labels(self.cell, "cell"), _check_labels(self.nucleus, "nucleus")
        if cell.shape != nucleus.shape:
            raise MaskError(f"the cell mask is {cell.shape} and the nucleus mask {nucleus.shape}")
        cell_ids, nucleus_ids = _ids(cell), _ids(nucleus)
        ids = np.union1d(cell_ids, nucleus_ids)
        if np.isin(nucleus_ids, cell_ids).any():
            stray = (nucleus != 0) & (cell != nucleus)
            if stray.any():
                outside = np.intersect1d(np.unique(nucleus[stray]), cell_ids)
                if outside.size:
                    raise MaskError(f"nucleus {int(outside[0])} lies outside its own cell")
        object.__setattr__(self, "cell", _renumber(cell, ids))
        object.__setattr__(self, "nucleus", _renumber(nucleus, ids))
        object.__setattr__(self, "ids", ids)
        object.__setattr__(self, "n_cells", int(ids.size))
        object.__setattr__(self, "quality", self._complete_quality(dict(self.quality)))

    @classmethod
    def known(
        cls,
        cell: np.ndarray,
        nucleus: np.ndarray,
        n_cells: int,
        quality: dict[str, np.ndarray] | None = None,
        cytoplasm: np.ndarray | None = None,
    ) -> Masks:
        """Make masks from valid, consecutive labels, without checks or copies.

        Parameters
        ----------
        cell, nucleus : (H, W) ndarray of int32
            Labels 1..n_cells, every nucleus inside its own cell (or a nucleus without a cell).
        n_cells : int
            Number of cells.
        quality : dict of str to (n_cells,) ndarray, optional
            Quality record with every entry. By default it is empty.
        cytoplasm : (H, W) ndarray of int32, optional
            Labels of the cells without their nuclei. By default they are computed when needed.

        Returns
        -------
        Masks
        """
        masks = object.__new__(cls)
        for name, value in (
            ("cell", cell),
            ("nucleus", nucleus),
            ("quality", {} if quality is None else quality),
            ("n_cells", n_cells),
            ("ids", np.arange(1, n_cells + 1)),
        ):
            object.__setattr__(masks, name, value)
        if cytoplasm is not None:
            masks.__dict__["cytoplasm"] = cytoplasm
        return masks

    def _complete_quality(self, quality: dict[str, Any]) -> dict[str, np.ndarray]:
        if "touches_border" not in quality:
            both = np.maximum(self.cell, self.nucleus)
            edge = np.concatenate([both[0], both[-1], both[:, 0], both[:, -1]])
            quality["touches_border"] = np.isin(np.arange(1, self.n_cells + 1), edge)
        for name, missing in QUALITY.items():
            quality.setdefault(name, [missing] * self.n_cells)
        for name, values in quality.items():
            array = np.asarray(values, dtype=object if isinstance(QUALITY.get(name), str) else None)
            if array.shape != (self.n_cells,):
                raise MaskError(
                    f"quality {name!r} has shape {array.shape}, expected ({self.n_cells},)"
                )
            quality[name] = array
        return quality

    @cached_property
    def cytoplasm(self) -> np.ndarray:
        """Labels of the cells without their nuclei, an (H, W) array of int32."""
        # Where only the nucleus of a cell is known, `cell` is 0.
        return np.where(self.nucleus == 0, self.cell, 0).astype(np.int32, copy=False)

    @property
    def trimap(self) -> np.ndarray:
        """Image of the classes, (H, W) uint8: 0 background, 128 cytoplasm, 255 nucleus."""
        cell = np.where(self.cell > 0, np.uint8(128), np.uint8(0))
        return np.where(self.nucleus > 0, np.uint8(255), cell)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.cell.shape[0], self.cell.shape[1]

    def __repr__(self) -> str:
        height, width = self.shape
        return f"Masks({self.n_cells} cells, {height} x {width})"

    def select(self, rows: Any) -> Masks:
        """Select cells by 0-based positions or a boolean array, renumbered in that order."""
        chosen = np.arange(self.n_cells)[np.asarray(rows)]
        lut = np.zeros(self.n_cells + 1, np.int32)
        lut[chosen + 1] = np.arange(1, chosen.size + 1)
        quality = {name: values[chosen] for name, values in self.quality.items()}
        return Masks(lut[self.cell], lut[self.nucleus], quality)


def _check_labels(mask: Any, name: str) -> np.ndarray:
    array = np.asarray(mask)
    if array.ndim != 2 or array.size == 0:
        raise MaskError(f"the {name} mask has shape {array.shape}, expected (height, width)")
    if array.dtype == bool:
        return array.astype(np.int32)
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or (array != np.floor(array)).any():
            raise MaskError(f"the {name} mask contains values that are not whole numbers")
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise MaskError(f"the {name} mask has dtype {array.dtype}, expected integers")
    if array.dtype.kind == "i" and array.min() < 0:
        raise MaskError(f"the {name} mask contains negative labels")
    return array


def _ids(labels: np.ndarray) -> np.ndarray:
    # Labels are nearly always 1..n: a histogram is then far cheaper than sorting pixels.
    top = int(labels.max())
    if top <= 8:
        # For a few cells, one comparison each is cheaper still.
        ids = np.array([i for i in range(1, top + 1) if (labels == i).any()], np.int64)
    elif top <= max(65535, labels.size):
        ids = np.flatnonzero(np.bincount(labels.ravel(), minlength=1))
    else:
        ids = np.unique(labels)
    return ids[ids > 0].astype(np.int64)


def _renumber(labels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    if ids.size == 0 or (ids[-1] == ids.size):
        return labels.astype(np.int32, copy=True)
    return np.where(labels > 0, np.searchsorted(ids, labels) + 1, 0).astype(np.int32)
