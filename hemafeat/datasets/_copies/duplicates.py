"""Images that are the same image: found by content, kept together by their group."""

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

from hemafeat.datasets._copies.clusters import near_clusters
from hemafeat.datasets._schema import DatasetError, DatasetWarning, text
from hemafeat.images import ImageError, name_of, path_of, read

_THREADS = min(8, (os.cpu_count() or 1) + 2)
_PART = 64


def group_duplicates(table: pd.DataFrame, *, by: str = "bytes") -> pd.DataFrame:
    """Fill ``group`` so that identical images, and those of one patient, are never split.

    Parameters
    ----------
    table : DataFrame
        An image table, see `as_table`.
    by : {"bytes", "pixels", "near"}
        What makes two images the same: the bytes of their files; their decoded pixels, which also
        finds one that was saved twice but takes as long as reading everything; or that they show
        one cell, turned, mirrored, cropped, brightened or saved anew (see `near_duplicates`).

    Returns
    -------
    DataFrame
        A copy. ``group`` is the group given, else the patient, else the name of the first image of
        a cluster of identical ones (its own name where there is none). Where a cluster joins
        several groups or patients they become one, under the name that sorts first. A file that
        cannot be read stands alone.

    Warns
    -----
    DatasetWarning
        One image stands under two labels; `duplicates` lists them.
    """
    clusters = _clusters(table["image"], by)
    names = [name_of(image) for image in table["image"]]
    arrays = [not isinstance(image, str) for image in table["image"]]
    base = table["group"].where(table["group"].notna(), table["patient"])
    # Arrays share their description: rows tell them apart.
    nodes: list[tuple[bool, str]] = [
        (False, str(group)) if known else (True, f"{name} {row + 1}" if array else name)
        for row, (group, known, name, array) in enumerate(
            zip(base, base.notna(), names, arrays, strict=True)
        )
    ]
    parent = {node: node for node in nodes}

    def top(node: tuple[bool, str]) -> tuple[bool, str]:
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node

    for rows in clusters:
        for row in rows[1:]:
            one, other = top(nodes[rows[0]]), top(nodes[row])
            # Groups that were given sort before names of images, so that they win.
            parent[max(one, other)] = min(one, other)
    table = table.copy()
    table["group"] = text(top(node)[1] for node in nodes).set_axis(table.index)
    _warn_of_conflicts(table, clusters, names)
    return table


def duplicates(table: pd.DataFrame, *, by: str = "bytes") -> pd.DataFrame:
    """List the images of a table that occur more than once.

    Parameters
    ----------
    table : DataFrame
        An image table, see `as_table`.
    by : {"bytes", "pixels", "near"}
        As for `group_duplicates`.

    Returns
    -------
    DataFrame
        One row per such image: ``cluster`` (1, 2, ...), ``image`` (its name), ``label``,
        ``patient``, and ``conflict``, whether the cluster stands under several labels. Empty where
        all images differ.
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
                    "conflict": _differ(labels),
                }
            )
    return pd.DataFrame(rows, columns=["cluster", "image", "label", "patient", "conflict"])


def _differ(labels: pd.Series) -> bool:
    return len(labels.dropna().unique()) > 1


def _warn_of_conflicts(table: pd.DataFrame, clusters: list[list[int]], names: list[str]) -> None:
    torn = [rows for rows in clusters if _differ(table["label"].iloc[rows])]
    if not torn:
        return
    one = " and ".join(f"{names[row]} ({table['label'].iloc[row]})" for row in torn[0][:2])
    warnings.warn(
        f"{len(torn)} image(s) stand under two labels, {one} for one; "
        "hemafeat.datasets.duplicates lists them",
        DatasetWarning,
        stacklevel=3,
    )


def _clusters(images: Iterable[Any], by: str) -> list[list[int]]:
    """Rows of identical images, for every image that occurs more than once."""
    items = list(images)
    if by == "bytes":
        # Only files of one size can be equal, so most are never opened.
        candidates = [rows for rows in _alike(_size, items, range(len(items))) if len(rows) > 1]
        keys = _digest
    elif by == "pixels":
        candidates, keys = [list(range(len(items)))], _pixel_digest
    elif by == "near":
        return near_clusters(items)
    else:
        raise DatasetError(f"by is {by!r}, expected 'bytes', 'pixels' or 'near'")
    rows = [row for candidate in candidates for row in candidate]
    return sorted(same for same in _alike(keys, items, rows) if len(same) > 1)


def _alike(key: Any, items: list[Any], rows: Iterable[int]) -> list[list[int]]:
    rows = list(rows)
    # A task for each file would cost more than asking for its size.
    parts = [rows[start : start + _PART] for start in range(0, len(rows), _PART)]
    with ThreadPoolExecutor(_THREADS) as pool:
        found_keys = pool.map(lambda part: [key(items[row]) for row in part], parts)
        keys = [value for part in found_keys for value in part]
    found: dict[Hashable, list[int]] = defaultdict(list)
    for row, value in zip(rows, keys, strict=True):
        if value is not None:
            found[value].append(row)
    return [sorted(same) for same in found.values()]


def _size(image: Any) -> Hashable:
    if not isinstance(image, str):
        return np.shape(image), str(getattr(image, "dtype", type(image)))
    if _in_archive(image):
        return "#image="
    try:
        state = os.stat(path_of(image))
    except (OSError, ValueError):
        return None
    # Empty files are equal without being the same image.
    return state.st_size or None


def _digest(image: Any) -> Hashable:
    if not isinstance(image, str):
        return _array_digest(np.asarray(image))
    if _in_archive(image):
        # The file is the same for all of them.
        return _pixel_digest(image)
    path = path_of(image)
    try:
        with open(path, "rb") as file:
            # Two windows of one file are two images.
            return hashlib.file_digest(file, "sha256").digest() + image[len(path) :].encode()
    except (OSError, ValueError):
        return None


def _in_archive(image: str) -> bool:
    return image[len(path_of(image)) :].startswith("#image=")


def _pixel_digest(image: Any) -> Hashable:
    try:
        return _array_digest(read(image))
    except ImageError:
        return None


def _array_digest(array: np.ndarray) -> bytes:
    digest = hashlib.sha256(f"{array.shape} {array.dtype}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.digest()
