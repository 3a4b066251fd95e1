"""`Masks`: label images of cells and nuclei, returned by segmenters and measured by families."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from hemafeat._public import public

QUALITY: dict[str, Any] = {
    "touches_border": False,
    "confidence": np.nan,
    "suspected_failure": False,
    "failure_reason": "",
}
"""Entries of the quality record of a cell, with the values used if a segmenter gives none."""


POSITION = ("mask_label", "x", "y", "left", "top", "right", "bottom", "area_px")
"""What says where a cell lies, in the order of `Masks.positions`."""

_LARGEST_FLOAT = 2.0**53
_LARGEST_INT = 2**63 - 1


_WIDEST = 600
"""Greatest width or height of the picture of masks in a notebook, in px."""

_PALETTE = [(86, 180, 233), (230, 159, 0), (0, 158, 115), (204, 121, 167), (240, 228, 66)]
"""Colours of cells in it, of Okabe and Ito (2008)."""


@public
class MaskError(ValueError):
    """Masks that contradict each other or the image."""


@public
@dataclass(frozen=True, eq=False)
class Masks:
    """Two label images with shared ids: the whole cell and its nucleus.

    Labels are checked and renumbered 1..n once, so that all other code may rely on them. The
    arrays passed in are never modified. Masks are laid on the image as `hemafeat.images.read`
    returns it, which is turned as its metadata (EXIF) state.

    Parameters
    ----------
    cell : (H, W) ndarray of int or bool
        Labels of whole cells; 0 is background. A boolean mask is one cell.
    nucleus : (H, W) ndarray of int or bool, optional
        Labels of the nuclei, under the ids of `cell`. A cell may have none (a platelet, an
        erythrocyte), and an id that occurs only here, outside all cells, is a cell of which only
        the nucleus is known. `read_masks` takes nuclei with any numbers. By default no cell has
        one.
    quality : mapping of str to sequence, optional
        One value per cell, in the order of the ids: ``touches_border``, ``confidence`` (0 to 1),
        ``suspected_failure``, ``failure_reason``, and any other entry of a segmenter. It is
        reported beside the features, never among them. By default ``touches_border`` is computed,
        and the other entries say that nothing is known.
    note : str, optional
        What is ambiguous in the source of the masks, and how to settle it. `read_masks` writes it,
        and `hemafeat.extract.table` reports it. By default it is empty.

    Attributes
    ----------
    cell, nucleus, cytoplasm : (H, W) ndarray of int32
        Labels 1..n_cells; ``cytoplasm`` is the cell without its nucleus.
    n_cells : int
        Number of cells.
    ids : (n_cells,) ndarray of int64
        The original ids, in ascending order; uint64 if one of them exceeds the range of int64.

    Raises
    ------
    MaskError
        Labels are not whole numbers, are negative, differ in shape or are not two-dimensional, or
        a nucleus lies outside its own cell or in another one.

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
    nucleus: np.ndarray = None  # type: ignore[assignment]  # an array once it is made
    quality: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    n_cells: int = field(init=False)
    ids: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        cell = check_labels(self.cell, "cell")
        given: np.ndarray | None = self.nucleus
        nucleus = np.zeros_like(cell) if given is None else check_labels(given, "nucleus")
        if cell.shape != nucleus.shape:
            raise MaskError(misfit("cell mask", cell.shape, "nucleus mask", nucleus.shape))
        if np.uint64 in (cell.dtype, nucleus.dtype) and cell.dtype != nucleus.dtype:
            # NumPy would compare int64 and uint64 as floats, to which large ids are equal.
            cell, nucleus = cell.astype(np.uint64), nucleus.astype(np.uint64)
        cell_ids, nucleus_ids = _ids(cell), _ids(nucleus)
        if cell_ids.dtype != nucleus_ids.dtype:
            cell_ids, nucleus_ids = cell_ids.astype(np.uint64), nucleus_ids.astype(np.uint64)
        ids = np.union1d(cell_ids, nucleus_ids)
        stray = (nucleus != 0) & (cell != nucleus)
        # A nucleus outside every cell is allowed, unless its cell is elsewhere.
        if stray.any() and (cell_ids.size and nucleus_ids.size):
            _check_strays(cell[stray], nucleus[stray], cell_ids)
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

    def positions(self, rows: Sequence[int] | np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Return where each cell lies, in px of the image.

        Parameters
        ----------
        rows : sequence of int, optional
            0-based positions of the cells. By default all cells.

        Returns
        -------
        dict of str to (n,) ndarray
            ``mask_label``, the original id (of `ids`); ``x`` and ``y``, the centroid, where the
            middle of the upper left pixel is (0, 0); ``left, top, right, bottom``, the bounding
            box, whose last two are one beyond the last pixel; and ``area_px``, the number of
            pixels. Of a cell of which only the nucleus is known, these are those of the nucleus.

        Examples
        --------
        >>> import numpy as np
        >>> from hemafeat.segment import Masks
        >>> cell = np.zeros((6, 8), int)
        >>> cell[1:5, 2:4] = 7
        >>> {key: values.item() for key, values in Masks(cell, 0 * cell).positions().items()}
        {'mask_label': 7, 'x': 2.5, 'y': 2.5, 'left': 2, 'top': 1, 'right': 4, 'bottom': 5, \
'area_px': 8}
        """
        chosen = np.arange(self.n_cells) if rows is None else np.asarray(rows, np.intp)
        # Both are equal where both are above 0.
        both = np.maximum(self.cell, self.nucleus)
        boxes = _boxes(both, chosen)
        where: dict[str, np.ndarray] = {
            "mask_label": self.ids[chosen],
            **{name: np.full(chosen.size, np.nan) for name in ("x", "y")},
            **{name: np.zeros(chosen.size, np.int64) for name in POSITION[3:]},
        }
        for n, (row, (ys, xs)) in enumerate(zip(chosen.tolist(), boxes, strict=True)):
            inside = both[ys, xs] == row + 1
            if not inside.any():
                continue
            of_columns, of_rows = np.count_nonzero(inside, axis=0), np.count_nonzero(inside, axis=1)
            area = int(of_rows.sum())
            where["x"][n] = xs.start + of_columns @ np.arange(of_columns.size) / area
            where["y"][n] = ys.start + of_rows @ np.arange(of_rows.size) / area
            box = (xs.start, ys.start, xs.stop, ys.stop, area)
            for name, value in zip(POSITION[3:], box, strict=True):
                where[name][n] = value
        return where

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.cell.shape[0], self.cell.shape[1]

    def check_fit(self, shape: tuple[int, ...]) -> None:
        """Raise a `MaskError` unless the masks can be laid on an image of this shape.

        All that measures, scores or draws calls it before labels and pixels meet.

        Parameters
        ----------
        shape : tuple of int
            Height and width of the image; further axes do not matter.

        Raises
        ------
        MaskError
            The masks have another size, or their labels were changed since they were checked.
        """
        if self.shape != tuple(shape[:2]) or self.nucleus.shape != self.cell.shape:
            raise MaskError(misfit("mask", self.shape, "image", shape))
        for labels in (self.cell, self.nucleus):
            # A negative label is a large one without its sign.
            if labels.dtype != np.int32 or int(labels.view(np.uint32).max()) > self.n_cells:
                raise MaskError(
                    f"labels of the masks lie outside 0 to {self.n_cells}, the number of cells: "
                    "they were changed after the masks were made"
                )

    def __repr__(self) -> str:
        height, width = self.shape
        return f"Masks({self.n_cells} cells, {height} x {width})"

    def _repr_png_(self) -> bytes:
        """Return a picture for a notebook: each cell in a colour, its nucleus in a darker one."""
        import cv2

        cell, nucleus = self.cell, self.nucleus
        step = max(1, max(self.shape) // _WIDEST)
        cell, nucleus = cell[::step, ::step], nucleus[::step, ::step]
        picture = np.full((*cell.shape, 3), 255, np.uint8)
        palette = np.array(_PALETTE, np.uint8)
        for labels, shade in ((cell, 1.0), (nucleus, 0.55)):
            inside = labels > 0
            picture[inside] = (palette[labels[inside] % len(palette)] * shade).astype(np.uint8)
        # A line of the ground between cells that touch.
        apart = np.zeros(cell.shape, bool)
        for a, b in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
            apart[a] |= (cell[a] != cell[b]) & (cell[a] > 0) & (cell[b] > 0)
        picture[apart] = 255
        return bytes(cv2.imencode(".png", picture[..., ::-1])[1])

    def select(self, rows: Any) -> Masks:
        """Select cells by 0-based positions or a boolean array, renumbered in that order."""
        chosen = np.arange(self.n_cells)[np.asarray(rows)]
        lut = np.zeros(self.n_cells + 1, np.int32)
        lut[chosen + 1] = np.arange(1, chosen.size + 1)
        quality = {name: values[chosen] for name, values in self.quality.items()}
        return Masks(lut[self.cell], lut[self.nucleus], quality, self.note)


def misfit(this: str, shape: tuple[int, ...], that: str, other: tuple[int, ...]) -> str:
    """Say that two arrays differ in size, each as height x width.

    Parameters
    ----------
    this : str
        What the first one is, such as ``"mask"``.
    shape : tuple of int
        Its shape, of which the first two axes are named.
    that : str
        What the other one is, such as ``"image"``.
    other : tuple of int
        Its shape.

    Returns
    -------
    str
        Message of an error.

    Examples
    --------
    >>> from hemafeat import segment
    >>> segment.misfit("mask", (240, 200), "image", (120, 100, 3))
    'the mask is 240 x 200 and the image 120 x 100 (height x width)'
    """
    sizes = [" x ".join(map(str, size[:2])) for size in (shape, other)]
    text = f"the {this} is {sizes[0]} and the {that} {sizes[1]} (height x width)"
    if shape[0] != shape[1] and tuple(shape[:2]) == tuple(other[1::-1]):
        text += "; height and width are swapped, so one of them is turned by 90 degrees"
    return text


def check_labels(mask: Any, name: str, *, keep_bool: bool = False) -> np.ndarray:
    """Return labels as a two-dimensional array of int or uint, or raise a `MaskError`.

    Parameters
    ----------
    mask : (H, W) array of int, bool, or floats that are whole numbers
        Labels; a boolean mask becomes label 1.
    name : str
        What the mask shows, for the message.
    keep_bool : bool
        Return a boolean mask as it is. Default False.

    Returns
    -------
    (H, W) ndarray of int or uint
        Labels of at least 0, in the byte order of the machine.

    Raises
    ------
    MaskError
        The array is not two-dimensional, is empty, or holds anything else.

    Examples
    --------
    >>> from hemafeat import segment
    >>> segment.check_labels([[0.0, 2.0]], "cell")
    array([[0, 2]])
    """
    array = np.asarray(mask)
    if array.ndim != 2 or array.size == 0:
        raise MaskError(f"the {name} mask has shape {array.shape}, expected (height, width)")
    if array.dtype == bool:
        return array if keep_bool else array.astype(np.int32)
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or (array != np.floor(array)).any():
            raise MaskError(f"the {name} mask contains values that are not whole numbers")
        if array.size and np.abs(array).max() > _LARGEST_FLOAT:
            raise MaskError(
                f"the {name} mask holds floats above 2 ** 53, between which whole numbers are "
                "missing: save labels as integers"
            )
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise MaskError(f"the {name} mask has dtype {array.dtype}, expected integers")
    if array.dtype.kind == "i" and array.min() < 0:
        raise MaskError(f"the {name} mask contains negative labels")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _boxes(labels: np.ndarray, rows: np.ndarray) -> list[tuple[slice, slice]]:
    """Return the box of each of some labels, counted from 0; an empty one if it is nowhere."""
    if rows.size > 4:
        from scipy.ndimage import find_objects

        found = find_objects(labels)
        nowhere = (slice(0, 0), slice(0, 0))
        return [(found[row] if row < len(found) else None) or nowhere for row in rows.tolist()]
    boxes = []
    for row in rows.tolist():
        # For a few cells this is several times as fast.
        x, y, width, height = cv2.boundingRect((labels == row + 1).view(np.uint8))
        boxes.append((slice(y, y + height), slice(x, x + width)))
    return boxes


def _ids(labels: np.ndarray) -> np.ndarray:
    # Labels are nearly always 1..n: a histogram is then far cheaper than sorting pixels.
    top = int(labels.max())
    if top <= 8:
        # For a few cells, one comparison each is cheaper still.
        ids = np.array([i for i in range(1, top + 1) if (labels == i).any()], np.int64)
    elif top <= max(65535, labels.size):
        ids = np.flatnonzero(np.bincount(labels.ravel().astype(np.int64, copy=False), minlength=1))
    else:
        ids = np.unique(labels)
    return ids[ids > 0].astype(np.int64 if top <= _LARGEST_INT else np.uint64)


def _check_strays(cells: np.ndarray, nuclei: np.ndarray, cell_ids: np.ndarray) -> None:
    """Raise an error if pixels of nuclei that lie in no cell of their own number contradict it."""
    elsewhere = cells != 0
    if elsewhere.any():
        nucleus, cell = int(nuclei[elsewhere][0]), int(cells[elsewhere][0])
        raise MaskError(
            f"nucleus {nucleus} lies outside its own cell, in cell {cell}; a nucleus has the "
            "number of its cell, which hemafeat.segment.read_masks(cell, nucleus) gives it"
        )
    outside = np.intersect1d(np.unique(nuclei), cell_ids)
    if outside.size:
        raise MaskError(f"nucleus {int(outside[0])} lies outside its own cell")


def _renumber(labels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    if ids.size == 0 or (ids[-1] == ids.size):
        return np.array(labels, np.int32, order="C")
    # In the type of the ids: of two types NumPy would make floats, to which large ids are equal.
    positions = np.searchsorted(ids, labels.astype(ids.dtype, copy=False)) + 1
    return np.ascontiguousarray(np.where(labels > 0, positions, 0), dtype=np.int32)
