"""Find copies of images by their content and keep them together in groups."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import defaultdict
from collections.abc import Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd

from hemafeat._machine import n_workers
from hemafeat.datasets._copies.clusters import component_labels, near_clusters
from hemafeat.datasets._copies.survey import part_of
from hemafeat.datasets._schema import DatasetError, DatasetWarning, text
from hemafeat.images import ImageError, name_of, path_of, read

_THREADS = min(8, n_workers() + 2)
_CHUNK = 64


def group_duplicates(table: pd.DataFrame, *, by: str = "bytes") -> pd.DataFrame:
    """Assign groups such that copies of an image, and images of a patient, are never split.

    Parameters
    ----------
    table : DataFrame
        An image table; see `as_table`.
    by : {"bytes", "pixels", "near"}
        Criterion for copies: ``"bytes"`` compares files; ``"pixels"`` compares decoded images,
        which also finds copies in another format but reads every image; ``"near"`` also finds
        images of the same cell that were rotated, mirrored, cropped, brightened or saved again (see
        `near_duplicates`).

    Returns
    -------
    DataFrame
        A copy of the table. ``group`` is the existing group, else the patient, else the name of the
        image, or of the first of its copies. If copies belong to several groups or patients, these
        are merged under the name that sorts first. A file that cannot be read has its own group.

    Warns
    -----
    DatasetWarning
        Issued if an image has two labels; `duplicates` lists such images.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import datasets
    >>> cell = datasets.draw_cell("monocyte", random_state=0).image
    >>> table = datasets.as_table([cell, 255 - cell, cell.copy()])
    >>> datasets.group_duplicates(table)["group"].nunique()
    2
    """
    clusters = _clusters(table["image"], by)
    names = [name_of(image) for image in table["image"]]
    base = table["group"].where(table["group"].notna(), table["patient"])
    # Existing groups sort before names of images, so that merged groups keep their names. Arrays
    # of one shape have the same name, so the row is added.
    nodes: list[tuple[bool, str]] = [
        (False, str(group))
        if has_group
        else (True, name if isinstance(image, str) else f"{name} {row + 1}")
        for row, (group, has_group, name, image) in enumerate(
            zip(base, base.notna(), names, table["image"], strict=True)
        )
    ]
    unique = sorted(set(nodes))
    index = {node: k for k, node in enumerate(unique)}
    links = [(index[nodes[rows[0]]], index[nodes[row]]) for rows in clusters for row in rows[1:]]
    component = component_labels(links, len(unique))
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    groups = [unique[first[k]][1] for k in inverse]
    table = table.copy()
    table["group"] = text(groups[index[node]] for node in nodes).set_axis(table.index)
    _warn_of_conflicts(table, clusters, names)
    return table


def duplicates(table: pd.DataFrame, *, by: str = "bytes") -> pd.DataFrame:
    """List the images of a table that occur more than once.

    Parameters
    ----------
    table : DataFrame
        An image table; see `as_table`.
    by : {"bytes", "pixels", "near"}
        Criterion for copies; see `group_duplicates`.

    Returns
    -------
    DataFrame
        One row per image that has copies: ``cluster``, the number of its set of copies from 1;
        ``image``, its name; ``label``; ``patient``; ``conflict``, True if the copies have several
        labels. Empty if all images differ.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import datasets
    >>> cell = datasets.draw_cell("monocyte", random_state=0, size=64).image
    >>> table = datasets.as_table([cell, 255 - cell, cell.copy()])
    >>> datasets.duplicates(table)[["cluster", "image", "conflict"]]
       cluster                      image  conflict
    0        1  <array 64 x 64 x 3 uint8>     False
    1        1  <array 64 x 64 x 3 uint8>     False
    """
    rows: list[dict[str, Any]] = []
    for number, cluster in enumerate(_clusters(table["image"], by), start=1):
        labels = table["label"].iloc[cluster]
        for row in cluster:
            rows.append(
                {
                    "cluster": number,
                    "image": name_of(table["image"].iloc[row]),
                    "label": labels.loc[table.index[row]],
                    "patient": table["patient"].iloc[row],
                    "conflict": _has_conflict(labels),
                }
            )
    return pd.DataFrame(rows, columns=["cluster", "image", "label", "patient", "conflict"])


def _has_conflict(labels: pd.Series) -> bool:
    return len(labels.dropna().unique()) > 1


def _warn_of_conflicts(table: pd.DataFrame, clusters: list[list[int]], names: list[str]) -> None:
    conflicts = [rows for rows in clusters if _has_conflict(table["label"].iloc[rows])]
    if not conflicts:
        return
    example = " and ".join(f"{names[row]} ({table['label'].iloc[row]})" for row in conflicts[0][:2])
    warnings.warn(
        f"{len(conflicts)} image(s) have two labels, for example {example}; "
        "hemafeat.datasets.duplicates lists them",
        DatasetWarning,
        stacklevel=3,
    )


def _clusters(images: Iterable[Any], by: str) -> list[list[int]]:
    """Return the rows of copies, for every image that occurs more than once."""
    items = list(images)
    if by == "bytes":
        # Only files of the same size can be equal, so most files are never opened.
        candidates = [rows for rows in _sets_by(_size, items, range(len(items))) if len(rows) > 1]
        key = _digest
    elif by == "pixels":
        candidates, key = [list(range(len(items)))], _pixel_digest
    elif by == "near":
        return near_clusters(items)
    else:
        raise DatasetError(f"by is {by!r}; expected 'bytes', 'pixels' or 'near'")
    rows = [row for candidate in candidates for row in candidate]
    return sorted(copies for copies in _sets_by(key, items, rows) if len(copies) > 1)


def _sets_by(key: Any, items: list[Any], rows: Iterable[int]) -> list[list[int]]:
    """Divide rows into sets of the same key; rows whose key is None are omitted."""
    rows = list(rows)
    # One task per file would cost more than its work.
    chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    with ThreadPoolExecutor(_THREADS) as pool:
        results = pool.map(lambda chunk: [key(items[row]) for row in chunk], chunks)
        keys = [value for chunk in results for value in chunk]
    sets: dict[Hashable, list[int]] = defaultdict(list)
    for row, value in zip(rows, keys, strict=True):
        if value is not None:
            sets[value].append(row)
    return [sorted(members) for members in sets.values()]


def _size(image: Any) -> Hashable:
    if not isinstance(image, str):
        return np.shape(image), str(getattr(image, "dtype", type(image)))
    if _in_archive(image):
        return "#image="
    try:
        state = os.stat(path_of(image))
    except (OSError, ValueError):
        return None
    # Empty files are equal but not the same image.
    return state.st_size or None


def _digest(image: Any) -> Hashable:
    if not isinstance(image, str):
        return _array_digest(np.asarray(image))
    if _in_archive(image):
        # All images of an archive share one file.
        return _pixel_digest(image)
    path = path_of(image)
    try:
        with open(path, "rb") as file:
            # Two windows of a file are different images.
            return hashlib.file_digest(file, "sha256").digest() + part_of(image).encode()
    except (OSError, ValueError):
        return None


def _in_archive(image: str) -> bool:
    return part_of(image).startswith("#image=")


def _pixel_digest(image: Any) -> Hashable:
    try:
        return _array_digest(read(image))
    except ImageError:
        return None


def _array_digest(array: np.ndarray) -> bytes:
    digest = hashlib.sha256(f"{array.shape} {array.dtype}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.digest()
