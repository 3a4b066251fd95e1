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
from hemafeat.images import MAX_PIXELS, ImageError, name_of, path_of, read_labels
from hemafeat.segment._formats.annotations import coco_sources, read_annotations
from hemafeat.segment._formats.cellpose import read_seg
from hemafeat.segment._formats.imagej import read_rois
from hemafeat.segment._formats.polygons import Outline, fill
from hemafeat.segment._kinds import MASK_KINDS
from hemafeat.segment._mask_kinds import components, foreground, split_classes
from hemafeat.segment._masks import MaskError, Masks, check_labels, misfit


@public
class MaskWarning(UserWarning):
    """Issued if the values of a mask may mean something else than they were taken for."""


def read_masks(
    source: Any,
    nucleus: Any = None,
    *,
    kind: str = "auto",
    shape: tuple[int, int] | None = None,
) -> Masks:
    """Read masks from files or arrays.

    Parameters
    ----------
    source : path, array, `Masks`, pair of these, or None
        An image file of any depth, a ``.npy`` file (also a ``_seg.npy`` of Cellpose), outlines
        (``.geojson`` of QuPath, ``.json`` of LabelMe or COCO, ``.roi`` or ``.zip`` of ImageJ), or
        an (H, W) array, laid on the image as `hemafeat.images.read` returns it, which is turned as
        its metadata (EXIF) state. A pair is (cell, nucleus), of which one may be None. `Masks` are
        returned unchanged.
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
            A binary mask, not 0 inside; connected components are cells. Nuclei may be numbered.
        ``"auto"``
            ``"cells"`` for boolean arrays and for a single value besides 0: 1, 255, or any one
            above 60 in 8 bit. ``"trimap"`` for noisy values up to 255, for values near 128 (or 155)
            and 255 where the latter lie inside the former, and for two values in 8 bit of which one
            lies inside the other. Else ``"labels"``.
    shape : tuple of int, optional
        Height and width of the image. Outlines are filled to this size; it is only needed if their
        file does not state it. A pixel belongs to the outline that its centre lies in. What is
        named or classified "nucleus" is one, and "cytoplasm" is a cell with a hole.

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
    masks = as_masks(source if nucleus is None else (source, nucleus), kind, shape)
    if masks.note and not isinstance(source, Masks):
        warnings.warn(f"{name_of(source)}: {masks.note}", MaskWarning, stacklevel=2)
    return masks


def as_masks(source: Any, kind: str = "auto", shape: tuple[int, ...] | None = None) -> Masks:
    """Convert an item of a list of masks to `Masks`, as `read_masks` does but without warnings.

    Parameters
    ----------
    source : `Masks`, path, array, pair of these, or MaskError
        A pair is (cell, nucleus), of which one may be None.
    kind : {"auto", "trimap", "labels", "cells", "nuclei"}
        Meaning of the values, see `read_masks`.
    shape : tuple of int, optional
        Shape of the image, of which the first two axes count; outlines are filled to this size.

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
    size = None if shape is None else (int(shape[0]), int(shape[1]))
    nucleus = None
    if isinstance(source, (tuple, list)) and len(source) == 2:
        source, nucleus = source
        if source is None:
            source, nucleus = nucleus, None
            kind = "numbered nuclei" if kind == "labels" else "nuclei"
    name = name_of(source)
    found = _load(source, name, size)
    try:
        if nucleus is not None:
            name = f"{name} with {name_of(nucleus)}"
            inner = _load(nucleus, name_of(nucleus), size)
            # Of two files of outlines each shows what it is given for.
            cells = _outlined(found, "cell") if isinstance(found, Masks) else found
            nuclei = _outlined(inner, "nucleus") if isinstance(inner, Masks) else inner
            return _join(cells, nuclei, kind)
        if isinstance(found, Masks):
            if "nuclei" in kind and not found.nucleus.any():
                return Masks(found.nucleus, found.cell, note=found.note)
            return found
        if kind == "numbered nuclei":
            return Masks(np.zeros(found.shape, np.int32), found)
        cell, nuclei, note = split_classes(found, kind)
        return Masks(cell, nuclei, note=note)
    except MaskError as error:
        raise MaskError(f"{name}: {error}") from None


def _outlined(masks: Masks, part: str) -> np.ndarray:
    """Return the labels of a part, or of the other one where only that was outlined."""
    labels: np.ndarray = getattr(masks, part)
    return labels if labels.any() else np.maximum(masks.cell, masks.nucleus)


OUTLINES = (".geojson", ".json", ".roi", ".zip")
"""Suffixes of files of outlines."""


def _load(source: Any, name: str, size: tuple[int, int] | None = None) -> np.ndarray | Masks:
    """Return the values of a mask, or the masks if the file says what is a cell."""
    try:
        if isinstance(source, str | os.PathLike):
            suffix = os.path.splitext(path_of(source))[1].lower()
            if suffix == ".npy":
                return check_labels(_load_npy(os.fsdecode(source)), "stored", keep_bool=True)
            if suffix in OUTLINES:
                return _filled(os.fsdecode(source), suffix, size)
        if isinstance(source, np.ndarray):
            return check_labels(source, "given", keep_bool=True)
        return check_labels(read_labels(source), "stored", keep_bool=True)
    except ImageError as error:
        raise MaskError(f"{name}: {error.reason}") from None
    except FileNotFoundError:
        raise MaskError(f"{name}: does not exist") from None
    # NumPy raises many kinds of exceptions for damaged files.
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise MaskError(f"{name}: {reason}") from None


def _filled(path: str, suffix: str, size: tuple[int, int] | None) -> Masks:
    """Return the masks of a file of outlines."""
    outlines: list[Outline]
    if suffix in (".roi", ".zip"):
        stated = None
        outlines, notes = read_rois(path)
    else:
        outlines, stated, notes = read_annotations(path)
    if size is not None and stated is not None and size != stated:
        raise MaskError(misfit("outlined image", stated, "image", size))
    size = size or stated
    if size is None:
        raise MaskError("does not state the size of its image: pass shape=(height, width)")
    if not 0 < size[0] * size[1] <= MAX_PIXELS:
        raise MaskError(f"states an image of {size[0]} x {size[1]} pixels")
    cells = [one for one in outlines if not one.nucleus]
    cell = fill(cells, size)
    # In cells, the parts of a nucleus are put together.
    nucleus = fill([one for one in outlines if one.nucleus], size, apart=not cells)
    note = "; ".join(notes)
    if not cells:
        return Masks(cell, nucleus, note=note)
    joined = _join(cell, nucleus > 0, "labels")
    return Masks(joined.cell, joined.nucleus, note=note)


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
                return read_seg(path, file)
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
        ``"given"`` uses the files named in the columns ``mask`` and, if there is one,
        ``nucleus_mask``; a folder, the files in it with the same names as the images, see
        `hemafeat.datasets.mask_finder`; a pair of folders, those of cells and of nuclei, one of
        which may be None; a file, the masks of the only image, or of all if COCO wrote it; a
        sequence, its items, one per image. None means that masks are to be computed.
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
        if len(table) > 1 and os.path.isfile(masks):
            return _items(coco_sources(os.fsdecode(masks), list(table["image"])))
        return _items([masks]) if os.path.isfile(masks) else _from_folders([masks], table)
    if isinstance(masks, (tuple, list)) and len(masks) == 2:
        folders = [part for part in masks if part is not None]
        if folders and all(map(_is_folder, folders)):
            return _from_folders(list(masks), table)
        if len(table) == 1:
            return _items([tuple(masks)])
    items = [masks] if isinstance(masks, Masks) else list(masks)
    if len(items) != len(table):
        raise ValueError(f"{len(items)} masks were given for {len(table)} images")
    return _items(items)


def _items(items: list[Any]) -> MaskSource:
    return lambda rows, start: items[start : start + len(rows)]


def _from_column(table: pd.DataFrame) -> MaskSource:
    names = [name for name in ("mask", "nucleus_mask") if name in table]
    if not table[names].notna().any(axis=None):
        raise ValueError('masks="given", but the column "mask" of the image table is empty')
    missing = MaskError("the image table names no mask for this image")

    def known(mask: Any) -> Any:
        return None if pd.api.types.is_scalar(mask) and pd.isna(mask) else mask

    def find(rows: pd.DataFrame, start: int) -> list[Any]:
        masks = [known(mask) for mask in rows["mask"]]
        if "nucleus_mask" not in rows:
            return [missing if mask is None else mask for mask in masks]
        nuclei = [known(mask) for mask in rows["nucleus_mask"]]
        return [
            missing if cell is nucleus is None else cell if nucleus is None else (cell, nucleus)
            for cell, nucleus in zip(masks, nuclei, strict=True)
        ]

    return find


def _is_folder(source: Any) -> bool:
    return isinstance(source, (str, os.PathLike)) and os.path.isdir(source)


def _from_folders(folders: list[Any], table: pd.DataFrame) -> MaskSource:
    """Find masks in one folder, or cells and nuclei in two, of which one may be None."""
    if len(folders) == 1 and _last_name(folders[0]) in _NUCLEI:
        folders = [None, *folders]
    text = _one_of_two(*(folder for folder in folders if folder is not None))
    try:
        finders = [
            None if folder is None else mask_finder(folder, table["image"]) for folder in folders
        ]
    except DatasetError as error:
        raise ValueError(str(error)) from None
    if text:
        warnings.warn(text, MaskWarning, stacklevel=4)

    def mask_of(image: Any) -> Any:
        try:
            paths = tuple(None if find is None else find(image) for find in finders)
        except DatasetError as error:
            return MaskError(str(error))
        return paths if len(paths) == 2 else paths[0]

    return lambda rows, start: [mask_of(image) for image in rows["image"]]


_CELLS, _NUCLEI = ("cell", "cells"), ("nucleus", "nuclei")


def _last_name(folder: str | os.PathLike[str]) -> str:
    return os.path.basename(os.path.normpath(os.fsdecode(folder))).casefold()


def _one_of_two(*folders: Any) -> str:
    """Return a line on a folder of cells, or of nuclei, beside which the other one lies."""
    if len(folders) != 1 or (name := _last_name(folders[0])) not in (*_CELLS, *_NUCLEI):
        return ""
    here, there = ("cells", _NUCLEI) if name in _CELLS else ("nuclei", _CELLS)
    parent = os.path.dirname(os.path.normpath(os.fsdecode(folders[0]))) or os.curdir
    beside = next((other for other in there if os.path.isdir(os.path.join(parent, other))), None)
    empty = "nucleus" if here == "cells" else "cell and the cytoplasm"
    advice = "" if beside is None else f"; {beside} lies beside it: give {parent} to use both"
    return f"{folders[0]} holds {here} only, so that columns of the {empty} are empty{advice}"
