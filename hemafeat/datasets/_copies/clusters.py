"""Clusters of images that show the same cell."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from hemafeat.datasets._copies.near_duplicates import near_pairs
from hemafeat.datasets._copies.survey import survey
from hemafeat.images import read


def near_clusters(images: list[Any]) -> list[list[int]]:
    """Rows of images that show one cell, for every cell shown more than once."""
    table = pd.DataFrame({"image": pd.Series(images, dtype=object)})
    seen, thumbnails = survey(table)
    equal = equal_sets(seen)
    pairs = all_near_pairs(table["image"], seen, thumbnails, equal, turned=True)
    same = [(rows[0], row) for rows in equal for row in rows[1:]]
    return joined_sets([*same, *zip(pairs["a"], pairs["b"], strict=True)], len(table))


PAIR_COLUMNS = ["a", "b", "similarity", "turn", "mirrored", "scale"]


def equal_sets(seen: pd.DataFrame) -> list[list[int]]:
    known = seen["pixels"].dropna()
    clusters = known.groupby(known).groups.values()
    return sorted(sorted(map(int, rows)) for rows in clusters if len(rows) > 1)


def all_near_pairs(
    images: pd.Series,
    seen: pd.DataFrame,
    thumbnails: np.ndarray,
    equal: list[list[int]],
    turned: bool,
) -> pd.DataFrame:
    left_out = {row for rows in equal for row in rows[1:]}
    # By name, so that which of two images comes first does not depend on the order of the table.
    first = sorted(set(np.flatnonzero(seen["problem"].isna())) - left_out)
    places = np.array(sorted(first, key=lambda row: seen["image"].iloc[row]), dtype=np.int64)
    pairs = near_pairs(thumbnails[places], lambda i: read(images.iloc[places[i]]), turned=turned)
    pairs["a"], pairs["b"] = places[pairs["a"]], places[pairs["b"]]
    return pairs


def joined_sets(pairs: Iterable[tuple[Any, Any]], n: int) -> list[list[int]]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
    if not len(ends):
        return []
    links = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(n, n))
    _, member = connected_components(links, directed=False)
    found = pd.Series(member).groupby(member).groups.values()
    return sorted(sorted(map(int, rows)) for rows in found if len(rows) > 1)
