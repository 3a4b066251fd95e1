"""Read masks that were drawn or computed elsewhere, from files or arrays."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from hemafeat.datasets import TRIMAP_CYTOPLASM, TRIMAP_NUCLEUS
from hemafeat.images import ImageError, name_of, read_labels
from hemafeat.segment._masks import MaskError, Masks

SPECK = 0.01
"""Area of a component, relative to the largest one, below which it is a speck, not a cell."""

KINDS = ("auto", "trimap", "labels", "cells", "nuclei")


def read_masks(source: Any, nucleus: Any = None, *, kind: str = "auto") -> Masks:
    """Read masks from files or arrays.

    Parameters
    ----------
    source : path, array, `Masks`, or pair of these
        An image file of any depth, a ``.npy`` file, or an (H, W) array. A pair is (cell, nucleus).
        `Masks` are returned unchanged.
    nucleus : path or array, optional
        Nuclei of the cells of `source`, as labels or a binary mask. Each nucleus takes the id of
        the cell it lies in, and its part outside that cell is cut off. A nucleus outside every cell
        is a cell of which only the nucleus is known. By default `source` contains the nuclei, or
        there are none.
    kind : {"auto", "trimap", "labels", "cells", "nuclei"}
        Meaning of the values of `source`. By default it is inferred from them:

        ``"trimap"``
            0 background, 128 cytoplasm, 255 nucleus, with any noise that leaves cytoplasm above 60
            and nucleus above 200. Connected components are cells.
        ``"labels"``
            0 background; each other value is one cell.
        ``"cells"``, ``"nuclei"``
            A binary mask, not 0 inside; connected components are cells.
        ``"auto"``
            ``"cells"`` for boolean arrays and for one value above 60 besides 0; ``"trimap"`` for
            values above 60 (none above 255) if most of the foreground has at most three of them, or
            most neighbours differ; else ``"labels"``.

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
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}; choose one of {', '.join(KINDS)}")
    if isinstance(source, Masks):
        return source
    if nucleus is None and isinstance(source, tuple | list) and len(source) == 2:
        source, nucleus = source
    name = name_of(source)
    values = _load(source, name)
    try:
        cell, inner = _split_classes(values, kind)
        if nucleus is None:
            return Masks(cell, inner)
        name = f"{name} with {name_of(nucleus)}"
        return _join_nuclei(cell, _load(nucleus, name_of(nucleus)))
    except MaskError as error:
        raise MaskError(f"{name}: {error}") from None


def _load(source: Any, name: str) -> np.ndarray:
    try:
        if isinstance(source, str | os.PathLike) and os.fsdecode(source).lower().endswith(".npy"):
            return _check_values(np.load(source, allow_pickle=False))
        if isinstance(source, np.ndarray) and source.dtype == bool:
            return _check_values(source)
        return _check_values(read_labels(source))
    except ImageError as error:
        raise MaskError(f"{name}: {error.reason}") from None
    except FileNotFoundError:
        raise MaskError(f"{name}: does not exist") from None
    except (OSError, ValueError) as error:
        raise MaskError(f"{name}: {error}") from None


def _check_values(values: np.ndarray) -> np.ndarray:
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"has shape {values.shape}, expected (height, width)")
    if values.dtype == bool:
        return values
    if values.dtype.kind == "f" and np.array_equal(values, np.floor(values)):
        values = values.astype(np.int64)
    if values.dtype.kind not in "iu":
        raise ValueError("contains values that are not whole numbers")
    if values.dtype.kind == "i" and values.min() < 0:
        raise ValueError("contains negative labels")
    return values


def _split_classes(values: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    kind = _infer_kind(values) if kind == "auto" else kind
    empty = np.zeros(values.shape, np.int32)
    if kind == "labels":
        return values, empty
    if kind == "cells":
        return _components(values > 0), empty
    if kind == "nuclei":
        return empty, _components(values > 0)
    cell = _components(values > TRIMAP_CYTOPLASM)
    return cell, np.where(values > TRIMAP_NUCLEUS, cell, 0)


def _infer_kind(values: np.ndarray) -> str:
    if values.dtype == bool:
        return "cells"
    top = int(values.max())
    if top <= TRIMAP_CYTOPLASM or top > 255:
        return "labels"
    counts = np.bincount(values.ravel(), minlength=2)
    counts[0] = 0
    if np.count_nonzero(counts) == 1:
        return "cells"
    # A noisy trimap has every grey level at its edges, but two of them cover its area; labels have
    # no such preference unless there are few cells, and then they are small numbers.
    if np.sort(counts)[-3:].sum() >= 0.5 * counts.sum():
        return "trimap"
    # With noise all over, neighbours differ; within a label they never do.
    pairs = (values[:, 1:] > 0) & (values[:, :-1] > 0)
    equal = np.count_nonzero(pairs & (values[:, 1:] == values[:, :-1]))
    return "trimap" if equal < 0.5 * np.count_nonzero(pairs) else "labels"


def _components(mask: np.ndarray) -> np.ndarray:
    n, labels, stats, _ = cv2.connectedComponentsWithStats(
        np.ascontiguousarray(mask, dtype=np.uint8), connectivity=8
    )
    if n <= 1:
        return labels
    area = stats[1:, cv2.CC_STAT_AREA]
    keep = area >= SPECK * area.max()
    renumber = np.concatenate([[0], np.where(keep, np.cumsum(keep), 0)]).astype(np.int32)
    return renumber[labels]


def _join_nuclei(cell: np.ndarray, nucleus: np.ndarray) -> Masks:
    if cell.shape != nucleus.shape:
        raise MaskError(f"the cells are {cell.shape} and the nuclei {nucleus.shape}")
    cell = cell.astype(np.int64)
    mask = nucleus > 0
    inside = np.where(mask, cell, 0)
    # Pieces outside every cell are nuclei whose cell was not outlined.
    pieces = _components(mask)
    touching = np.zeros(int(pieces.max()) + 1, bool)
    touching[np.unique(pieces[inside > 0])] = True
    lone = (pieces > 0) & ~touching[pieces]
    inside[lone] = _components(lone)[lone] + (int(cell.max()) if cell.size else 0)
    return Masks(cell, inside)


MaskSource = Callable[[pd.DataFrame, int], list[Any]]
"""``(rows, start)`` to a list with, for each row, a source of masks or a `MaskError`."""


def mask_source(masks: Any, table: pd.DataFrame) -> MaskSource | None:
    """Find the masks of the images of a table, as the argument ``masks`` of `extract.table` does.

    Parameters
    ----------
    masks : None, "given", path, `Masks` or sequence
        ``"given"`` uses the files named in the column ``mask``; a folder, the files in it with the
        same names as the images; a sequence, its items, one per image. None means that masks are
        to be computed.
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
        return _from_folder(Path(masks))
    items = [masks] if isinstance(masks, Masks) else list(masks)
    if len(items) != len(table):
        raise ValueError(f"{len(items)} masks were given for {len(table)} images")
    return lambda rows, start: items[start : start + len(rows)]


def as_masks(source: Any) -> Masks:
    """Convert an item of a list of masks to `Masks`.

    Parameters
    ----------
    source : `Masks`, pair of arrays, array, path or MaskError
        A pair is taken as the label images of `Masks`; a single array or file is read by
        `read_masks`.

    Returns
    -------
    Masks

    Raises
    ------
    MaskError
        `source` cannot be read as masks, or is itself a `MaskError`.

    Examples
    --------
    >>> from hemafeat import datasets, segment
    >>> drawn = datasets.draw_field(["neutrophil", "monocyte"], random_state=0)
    >>> segment.as_masks((drawn.cell, drawn.nucleus)).n_cells
    2
    """
    if isinstance(source, MaskError):
        raise source
    if isinstance(source, Masks):
        return source
    if isinstance(source, (tuple, list)) and len(source) == 2:
        return Masks(np.asarray(source[0]), np.asarray(source[1]))
    return read_masks(source)


def _from_column(table: pd.DataFrame) -> MaskSource:
    if not table["mask"].notna().any():
        raise ValueError('masks="given", but the column "mask" of the image table is empty')

    def find(rows: pd.DataFrame, start: int) -> list[Any]:
        message = "the image table names no mask for this image"
        return [MaskError(message) if pd.isna(mask) else mask for mask in rows["mask"]]

    return find


def _from_folder(folder: Path) -> MaskSource:
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder of masks")
    by_stem: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*"), key=Path.as_posix):
        if path.is_file() and not path.name.startswith("."):
            by_stem.setdefault(path.stem, []).append(str(path))

    def mask_of(image: Path) -> str | MaskError:
        paths = by_stem.get(image.stem, [])
        if len(paths) > 1:
            # Class folders may repeat a name: the mask then lies in a folder of the same name.
            paths = [path for path in paths if Path(path).parent.name == image.parent.name]
        if len(paths) != 1:
            return MaskError(f"{len(paths)} files in {folder} are named {image.stem}")
        return paths[0]

    return lambda rows, start: [mask_of(Path(str(image))) for image in rows["image"]]
