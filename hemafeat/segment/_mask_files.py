"""Masks that were drawn or computed elsewhere: files or arrays to `Masks`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from hemafeat.images import ImageError, name_of, read_labels
from hemafeat.segment._masks import MaskError, Masks

# The pair that `hemafeat.datasets` exports for the same files; segment lies above datasets, but a
# mask must be readable without loading its loaders.
CYTOPLASM, NUCLEUS = 60, 200

STRAY = 0.01
"""Components below this share of the largest one are specks, not cells."""

KINDS = ("auto", "trimap", "labels", "cells", "nuclei")


def read_masks(source: Any, nucleus: Any = None, *, kind: str = "auto") -> Masks:
    """Read masks from files or arrays.

    Parameters
    ----------
    source : path, array, `Masks`, or pair of these
        An image file of any depth, a ``.npy`` file, or an (H, W) array. A pair is (cell, nucleus).
        `Masks` are returned as they are.
    nucleus : path or array, optional
        The nuclei, when `source` holds the cells only. Labels or a binary mask; each nucleus takes
        the id of the cell it lies in, and what sticks out of that cell is cut off. A nucleus
        outside every cell is a cell of which no more is known.
    kind : {"auto", "trimap", "labels", "cells", "nuclei"}
        How to read `source`:

        ``"trimap"``
            0 background, 128 cytoplasm, 255 nucleus, with any noise that leaves cytoplasm above 60
            and nucleus above 200. Connected components are cells.
        ``"labels"``
            0 background, each other value one cell.
        ``"cells"``, ``"nuclei"``
            A binary mask, anything but 0; connected components are cells.
        ``"auto"``
            Boolean arrays, and values 0 and one other above 60, are ``"cells"``; of the rest, what
            has values above 60 (none above 255) and most of its foreground on at most three of
            them, or neighbours that mostly differ, is a ``"trimap"``; all else is ``"labels"``.

    Returns
    -------
    Masks
        Cells of a trimap or binary mask are numbered by their first pixel in reading order.
        Components of less than 1 % of the largest one are left out as specks.

    Raises
    ------
    MaskError
        With the name of the file: not readable, not two-dimensional, cell and nucleus of different
        shapes.
    ValueError
        An unknown `kind`.

    Examples
    --------
    >>> import numpy as np
    >>> trimap = np.zeros((40, 40), np.uint8)
    >>> trimap[5:25, 5:25] = 128
    >>> trimap[10:20, 10:20] = 255
    >>> masks = read_masks(trimap)
    >>> masks.n_cells, int((masks.nucleus == 1).sum())
    (1, 100)
    """
    if kind not in KINDS:
        raise ValueError(f"kind is one of {', '.join(KINDS)}, not {kind!r}")
    if isinstance(source, Masks):
        return source
    if nucleus is None and isinstance(source, tuple | list) and len(source) == 2:
        source, nucleus = source
    name = name_of(source)
    values = _values(source, name)
    try:
        cell, inner = _read(values, kind)
        if nucleus is None:
            return Masks(cell, inner)
        name = f"{name} with {name_of(nucleus)}"
        return _paired(cell, _values(nucleus, name_of(nucleus)))
    except MaskError as error:
        raise MaskError(f"{name}: {error}") from None


def _values(source: Any, name: str) -> np.ndarray:
    try:
        if isinstance(source, str | os.PathLike) and os.fsdecode(source).lower().endswith(".npy"):
            return _two_dimensional(np.load(source, allow_pickle=False))
        if isinstance(source, np.ndarray) and source.dtype == bool:
            return _two_dimensional(source)
        return _two_dimensional(read_labels(source))
    except ImageError as error:
        raise MaskError(f"{name}: {error.reason}") from None
    except FileNotFoundError:
        raise MaskError(f"{name}: does not exist") from None
    except (OSError, ValueError) as error:
        raise MaskError(f"{name}: {error}") from None


def _two_dimensional(values: np.ndarray) -> np.ndarray:
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"has shape {values.shape}, expected (height, width)")
    if values.dtype == bool:
        return values
    if values.dtype.kind == "f" and np.array_equal(values, np.floor(values)):
        values = values.astype(np.int64)
    if values.dtype.kind not in "iu":
        raise ValueError("holds values that are not whole numbers")
    if values.dtype.kind == "i" and values.min() < 0:
        raise ValueError("holds negative labels")
    return values


def _read(values: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    kind = _kind(values) if kind == "auto" else kind
    none = np.zeros(values.shape, np.int32)
    if kind == "labels":
        return values, none
    if kind == "cells":
        return _components(values > 0), none
    if kind == "nuclei":
        return none, _components(values > 0)
    cell = _components(values > CYTOPLASM)
    return cell, np.where(values > NUCLEUS, cell, 0)


def _kind(values: np.ndarray) -> str:
    if values.dtype == bool:
        return "cells"
    top = int(values.max())
    if top <= CYTOPLASM or top > 255:
        return "labels"
    counts = np.bincount(values.ravel(), minlength=2)
    counts[0] = 0
    if np.count_nonzero(counts) == 1:
        return "cells"
    # A noisy trimap has every grey at its edges, but its area on two of them; labels have no such
    # preference unless there are hardly any cells, and then they are small numbers.
    if np.sort(counts)[-3:].sum() >= 0.5 * counts.sum():
        return "trimap"
    # Noise all over: neighbours then differ, which within a label they never do.
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
    keep = area >= STRAY * area.max()
    renumber = np.concatenate([[0], np.where(keep, np.cumsum(keep), 0)]).astype(np.int32)
    return renumber[labels]


def _paired(cell: np.ndarray, nucleus: np.ndarray) -> Masks:
    if cell.shape != nucleus.shape:
        raise MaskError(f"the cells are {cell.shape} and the nuclei {nucleus.shape}")
    cell = cell.astype(np.int64)
    given = nucleus > 0
    inside = np.where(given, cell, 0)
    # Pieces that no cell holds are nuclei whose cell was not outlined.
    pieces = _components(given)
    touching = np.zeros(int(pieces.max()) + 1, bool)
    touching[np.unique(pieces[inside > 0])] = True
    lone = (pieces > 0) & ~touching[pieces]
    alone = _components(lone)
    inside[lone] = alone[lone] + (int(cell.max()) if cell.size else 0)
    return Masks(cell, inside)


MaskSource = Callable[[pd.DataFrame, int], list[Any]]
"""Rows of the image table and the place of the first: for each a mask, or why there is none."""


def mask_source(masks: Any, listed: pd.DataFrame) -> MaskSource | None:
    """What gives the masks of the images of `listed`; None when they are to be computed."""
    if masks is None:
        return None
    if isinstance(masks, str) and masks == "given":
        return _from_column(listed)
    if isinstance(masks, (str, os.PathLike)):
        return _from_folder(Path(masks))
    given = [masks] if isinstance(masks, Masks) else list(masks)
    if len(given) != len(listed):
        raise ValueError(f"{len(given)} masks were given for {len(listed)} images")
    return lambda rows, start: given[start : start + len(rows)]


def as_masks(given: Any) -> Masks:
    """Masks from `Masks`, a (cell, nucleus) pair of label images, one trimap, or a file.

    Raises
    ------
    MaskError
        It is no mask; a `MaskError` in its place is raised as it is.
    """
    if isinstance(given, MaskError):
        raise given
    if isinstance(given, Masks):
        return given
    if isinstance(given, (tuple, list)) and len(given) == 2:
        return Masks(np.asarray(given[0]), np.asarray(given[1]))
    return read_masks(given)


def _from_column(listed: pd.DataFrame) -> MaskSource:
    if not listed["mask"].notna().any():
        raise ValueError('masks="given", but no image of the table names a mask file')

    def find(rows: pd.DataFrame, start: int) -> list[Any]:
        none = "the image table names no mask for this image"
        return [MaskError(none) if pd.isna(mask) else mask for mask in rows["mask"]]

    return find


def _from_folder(folder: Path) -> MaskSource:
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder of masks")
    by_stem: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*"), key=Path.as_posix):
        if path.is_file() and not path.name.startswith("."):
            by_stem.setdefault(path.stem, []).append(str(path))

    def one(image: Path) -> str | MaskError:
        found = by_stem.get(image.stem, [])
        if len(found) > 1:
            # Class folders may repeat a name: the mask then lies in a folder called the same.
            found = [path for path in found if Path(path).parent.name == image.parent.name]
        if len(found) != 1:
            return MaskError(f"{len(found)} files in {folder} are named {image.stem}")
        return found[0]

    return lambda rows, start: [one(Path(str(image))) for image in rows["image"]]
