"""Read masks that were drawn or computed elsewhere, from files or arrays."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from hemafeat._public import public
from hemafeat.datasets import DatasetError, mask_finder
from hemafeat.images import MAX_PIXELS, ImageError, name_of, read_labels
from hemafeat.segment._kinds import MASK_KINDS
from hemafeat.segment._mask_kinds import components, foreground, split_classes
from hemafeat.segment._masks import MaskError, Masks, check_labels, misfit


@public
class MaskWarning(UserWarning):
    """Issued if the values of a mask may mean something else than they were taken for."""


def read_masks(source: Any, nucleus: Any = None, *, kind: str = "auto") -> Masks:
    """Read masks from files or arrays.

    Parameters
    ----------
    source : path, array, `Masks`, or pair of these
        An image file of any depth, a ``.npy`` file, or an (H, W) array, laid on the image as
        `hemafeat.images.read` returns it, which is turned as its metadata (EXIF) state. A pair is
        (cell, nucleus). `Masks` are returned unchanged.
    nucleus : path or array, optional
        Nuclei of the cells of `source`. Labels that agree with the cells are kept. Of any others,
        and of a binary mask, each nucleus takes the id of the cell it lies in, and its part outside
        that cell is cut off; a nucleus outside every cell is a cell of which only the nucleus is
        known. By default `source` contains the nuclei, or there are none.
    kind : {"auto", "trimap", "labels", "cells", "nuclei"}
        Meaning of the values of `source`. By default it is inferred from them:

        ``"trimap"``
            0 background, 128 cytoplasm, 255 nucleus, with any noise that leaves cytoplasm above 60
            and nucleus above 200; or any two values, such as 1 and 2, the larger of which is the
            nucleus unless it encloses the other one. Connected components are cells.
        ``"labels"``
            0 background; each other value is one cell.
        ``"cells"``, ``"nuclei"``
            A binary mask, not 0 inside; connected components are cells.
        ``"auto"``
            ``"cells"`` for boolean arrays and for a single value besides 0: 1, 255, or any one
            above 60 in 8 bit. ``"trimap"`` for noisy values up to 255, for values near 128 (or 155)
            and 255 where the latter lie inside the former, and for two values in 8 bit of which one
            lies inside the other. Else ``"labels"``.

    Returns
    -------
    Masks
        Cells of a trimap or binary mask are numbered by their first pixel in reading order.
        Components of less than 1 % of the largest one are left out as specks.

    Raises
    ------
    MaskError
        The file cannot be read, the array is not two-dimensional, or cells and nuclei differ in
        shape. The message names the file.
    ValueError
        `kind` is unknown.

    Warns
    -----
    MaskWarning
        The kind was inferred, and the values could mean something else; `Masks.note` says what.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import segment
    >>> trimap = np.zeros((40, 40), np.uint8)
    >>> trimap[5:25, 5:25] = 128
    >>> trimap[10:20, 10:20] = 255
    >>> masks = segment.read_masks(trimap)
    >>> masks.n_cells, int((masks.nucleus == 1).sum())
    (1, 100)
    """
    masks = as_masks(source if nucleus is None else (source, nucleus), kind)
    if masks.note and not isinstance(source, Masks):
        warnings.warn(f"{name_of(source)}: {masks.note}", MaskWarning, stacklevel=2)
    return masks


def as_masks(source: Any, kind: str = "auto") -> Masks:
    """Convert an item of a list of masks to `Masks`, as `read_masks` does but without warnings.

    Parameters
    ----------
    source : `Masks`, path, array, pair of these, or MaskError
        A pair is (cell, nucleus).
    kind : {"auto", "trimap", "labels", "cells", "nuclei"}
        Meaning of the values, see `read_masks`.

    Returns
    -------
    Masks
        Their ``note`` says what is ambiguous.

    Raises
    ------
    MaskError
        `source` cannot be read as masks, or is itself a `MaskError`.
    ValueError
        `kind` is unknown.

    Examples
    --------
    >>> from hemafeat import datasets, segment
    >>> drawn = datasets.draw_field(["neutrophil", "monocyte"], random_state=0)
    >>> segment.as_masks((drawn.cell, drawn.nucleus)).n_cells
    2
    """
    if kind not in MASK_KINDS:
        raise ValueError(f"unknown kind {kind!r}; choose one of {', '.join(MASK_KINDS)}")
    if isinstance(source, MaskError):
        raise source
    if isinstance(source, Masks):
        return source
    nucleus = None
    if isinstance(source, (tuple, list)) and len(source) == 2:
        source, nucleus = source
    name = name_of(source)
    values = _load(source, name)
    try:
        if nucleus is None:
            cell, inner, note = split_classes(values, kind)
            return Masks(cell, inner, note=note)
        name = f"{name} with {name_of(nucleus)}"
        return _join(values, _load(nucleus, name_of(nucleus)), kind)
    except MaskError as error:
        raise MaskError(f"{name}: {error}") from None


def _load(source: Any, name: str) -> np.ndarray:
    try:
        if isinstance(source, str | os.PathLike) and os.fsdecode(source).lower().endswith(".npy"):
            return check_labels(_load_npy(os.fsdecode(source)), "stored", keep_bool=True)
        if isinstance(source, np.ndarray):
            return check_labels(source, "given", keep_bool=True)
        return check_labels(read_labels(source), "stored", keep_bool=True)
    except ImageError as error:
        raise MaskError(f"{name}: {error.reason}") from None
    except FileNotFoundError:
        raise MaskError(f"{name}: does not exist") from None
    # NumPy raises many kinds of exceptions for damaged files.
    except Exception as error:
        raise MaskError(f"{name}: {error or type(error).__name__}") from None


def _load_npy(path: str) -> np.ndarray:
    headers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    with open(path, "rb") as file:
        try:
            shape, _, dtype = headers[np.lib.format.read_magic(file)](file)
        # A damaged header may raise any exception of the parser.
        except Exception:
            raise MaskError("is not an array in a .npy file, or is damaged") from None
    if dtype.hasobject:
        if path.lower().endswith("_seg.npy"):
            raise MaskError(
                "is a file of Cellpose, which holds Python objects and is never opened; export the "
                "masks as an image (in Cellpose: File > Save masks as PNG/tif, or --save_png)"
            )
        raise MaskError("holds Python objects, which are never opened; save a numeric array")
    if len(shape) != 2:
        raise MaskError(f"has shape {shape}, expected (height, width)")
    if shape[0] * shape[1] > MAX_PIXELS:
        raise MaskError(f"holds {shape[0]} x {shape[1]} pixels, more than {MAX_PIXELS}")
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except ValueError:
        raise MaskError("is a truncated or damaged .npy file") from None


def _join(values: np.ndarray, nuclei: np.ndarray, kind: str) -> Masks:
    """Return the masks of cells and of nuclei in a file, or array, of its own."""
    if values.shape != nuclei.shape:
        raise MaskError(misfit("cell mask", values.shape, "nucleus mask", nuclei.shape))
    # Labels that agree are taken as they are, unless they may be binary masks of several cells.
    if not ((nuclei != 0) & (nuclei != values)).any() and (
        kind == "labels" or (kind == "auto" and _numbers_cells(values))
    ):
        return Masks(values, nuclei)
    cell, _, note = split_classes(values, kind)
    cell = cell.astype(np.uint64 if cell.dtype == np.uint64 else np.int64)
    mask = foreground(nuclei)
    inside = np.where(mask, cell, 0)
    # Pieces outside every cell are nuclei whose cell was not outlined.
    pieces = components(mask)
    touching = np.zeros(int(pieces.max()) + 1, bool)
    touching[np.unique(pieces[inside > 0])] = True
    lone = (pieces > 0) & ~touching[pieces]
    if lone.any():
        if cell.max() > 2**62:
            cell = Masks(cell, np.zeros_like(cell)).cell
            inside = np.where(mask, cell, 0)
        inside[lone] = components(lone)[lone] + cell.max()
    return Masks(cell, inside, note=note)


def _numbers_cells(values: np.ndarray) -> bool:
    if values.dtype == bool or values.max() in (255, 65535):
        return False
    return bool(values.max() > 1 or components(values > 0).max() <= 1)


MaskSource = Callable[[pd.DataFrame, int], list[Any]]
"""``(rows, start)`` to a list with, for each row, a source of masks or a `MaskError`."""


def mask_source(masks: Any, table: pd.DataFrame) -> MaskSource | None:
    """Find the masks of the images of a table, as the argument ``masks`` of `extract.table` does.

    Parameters
    ----------
    masks : None, "given", path, pair of paths, `Masks` or sequence
        ``"given"`` uses the files named in the column ``mask``; a folder, the files in it with the
        same names as the images, see `hemafeat.datasets.mask_finder`; a pair of folders, those of
        cells and of nuclei; a sequence, its items, one per image. None means that masks are to be
        computed.
    table : DataFrame
        Image table with the columns ``image`` and ``mask``.

    Returns
    -------
    callable or None
        ``find(rows, start)`` returns a list with one item for each of the `rows` of the table, of
        which the first has the position `start`. `as_masks` turns an item into `Masks`; an item is
        a `MaskError` if the image has no mask. None if `masks` is None.

    Raises
    ------
    ValueError
        The column is empty, the folder does not exist, or the number of masks is not that of the
        images.

    Examples
    --------
    >>> from hemafeat import datasets, segment
    >>> table = datasets.drawn("cells", n_images=4, random_state=0)
    >>> find = segment.mask_source("given", table)
    >>> [segment.as_masks(mask).n_cells for mask in find(table.iloc[2:], 2)]
    [1, 1]
    """
    if masks is None:
        return None
    if isinstance(masks, str) and masks == "given":
        return _from_column(table)
    if isinstance(masks, (str, os.PathLike)):
        return _from_folders([masks], table)
    if isinstance(masks, (tuple, list)) and len(masks) == 2 and all(map(_is_folder, masks)):
        return _from_folders(list(masks), table)
    items = [masks] if isinstance(masks, Masks) else list(masks)
    if len(items) != len(table):
        raise ValueError(f"{len(items)} masks were given for {len(table)} images")
    return lambda rows, start: items[start : start + len(rows)]


def _from_column(table: pd.DataFrame) -> MaskSource:
    if not table["mask"].notna().any():
        raise ValueError('masks="given", but the column "mask" of the image table is empty')

    def find(rows: pd.DataFrame, start: int) -> list[Any]:
        message = "the image table names no mask for this image"
        return [
            MaskError(message) if pd.api.types.is_scalar(mask) and pd.isna(mask) else mask
            for mask in rows["mask"]
        ]

    return find


def _is_folder(source: Any) -> bool:
    return isinstance(source, (str, os.PathLike)) and os.path.isdir(source)


def _from_folders(folders: list[Any], table: pd.DataFrame) -> MaskSource:
    """Find masks in one folder, or cells and nuclei in two."""
    try:
        finders = [mask_finder(folder, table["image"]) for folder in folders]
    except DatasetError as error:
        raise ValueError(str(error)) from None

    def mask_of(image: Any) -> Any:
        try:
            paths = tuple(find(image) for find in finders)
        except DatasetError as error:
            return MaskError(str(error))
        return paths if len(paths) == 2 else paths[0]

    return lambda rows, start: [mask_of(image) for image in rows["image"]]
