"""Group images that show the same cell."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from hemafeat.datasets._copies.near_duplicates import find_near_pairs
from hemafeat.datasets._copies.survey import survey_with_thumbnails
from hemafeat.images import read


def near_clusters(images: list[Any]) -> list[list[int]]:
    """Group the rows of images that show the same cell."""
    table = pd.DataFrame({"image": pd.Series(images, dtype=object)})
    properties, thumbnails = survey_with_thumbnails(table)
    equal = equal_sets(properties)
    pairs = find_all_near_pairs(table["image"], properties, thumbnails, equal, turned=True)
    copies = [(rows[0], row) for rows in equal for row in rows[1:]]
    return linked_sets([*copies, *zip(pairs["a"], pairs["b"], strict=True)], len(table))


def equal_sets(properties: pd.DataFrame) -> list[list[int]]:
    """Return the rows of images with identical pixels, for all images that occur repeatedly."""
    return _sets_of_rows(properties["pixels"].dropna())


def find_all_near_pairs(
    images: pd.Series,
    properties: pd.DataFrame,
    thumbnails: np.ndarray,
    equal: list[list[int]],
    turned: bool,
) -> pd.DataFrame:
    """Find the pairs of near copies among readable images, with one image of each equal set."""
    skipped = {row for rows in equal for row in rows[1:]}
    candidates = set(np.flatnonzero(properties["problem"].isna())) - skipped
    # Sorted by name, so that the result does not depend on the order of the table.
    names = properties["image"]
    rows = np.array(sorted(sorted(candidates), key=lambda row: names.iloc[row]), dtype=np.int64)
    pairs = find_near_pairs(thumbnails[rows], lambda i: read(images.iloc[rows[i]]), turned=turned)
    pairs["a"], pairs["b"] = rows[pairs["a"]], rows[pairs["b"]]
    return pairs


def component_labels(pairs: Iterable[tuple[int, int]], n: int) -> np.ndarray:
    """Label the connected components of `n` nodes that are linked by `pairs`."""
    links = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
    if not len(links):
        return np.arange(n)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1])


def linked_sets(pairs: Iterable[tuple[int, int]], n: int) -> list[list[int]]:
    """Return the rows of each set of at least two rows that are linked by `pairs`."""
    return _sets_of_rows(pd.Series(component_labels(pairs, n)))


def _sets_of_rows(keys: pd.Series) -> list[list[int]]:
    sets = keys.groupby(keys).groups.values()
    return sorted(sorted(map(int, rows)) for rows in sets if len(rows) > 1)
