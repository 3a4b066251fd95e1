"""Rows to be embedded: which images and cells they are, and the way of their pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from hemafeat.extract import central_cell, image_name
from hemafeat.networks._embedding.cache import Cache
from hemafeat.networks._embedding.runtimes import Ready
from hemafeat.segment import MaskError


class Flow:
    """Pictures in; vectors go where they are wanted, from the cache or a batch at a time."""

    def __init__(self, net: Ready, cache: Cache, batch_size: int) -> None:
        self.net, self.cache, self.batch_size = net, cache, batch_size
        self._waiting: dict[str, tuple[np.ndarray, list[np.ndarray]]] = {}

    def add(self, picture: np.ndarray, places: list[np.ndarray]) -> None:
        """Fill each of `places`, (width,) views, now or in a moment."""
        name = self.cache.name(picture)
        if name in self._waiting:
            self._waiting[name][1].extend(places)
            return
        known = self.cache.get(name)
        if known is not None:
            for place in places:
                place[:] = known
            return
        self._waiting[name] = (picture, list(places))
        if len(self._waiting) >= self.batch_size:
            self.flush()

    def flush(self) -> None:
        """Put what waits through the network."""
        if not self._waiting:
            return
        made = self.net(np.stack([picture for picture, _ in self._waiting.values()]))
        for (name, (_, places)), vector in zip(self._waiting.items(), made, strict=True):
            self.cache.put(name, vector)
            for place in places:
                place[:] = vector
        self._waiting = {}


def which(masks: Any, cell: int | None) -> int | None:
    """The row of a cell, None where it is not there."""
    if masks.n_cells == 0:
        return None
    if cell is None:
        return central_cell(masks)
    return cell - 1 if 1 <= cell <= masks.n_cells else None


class Rows:
    """What scikit-learn passes on (tables, lists, arrays cut by a splitter) as images and cells."""

    def __init__(self, X: Any) -> None:
        self.cells: list[int | None]
        self.masks: list[Any] = []
        if isinstance(X, pd.DataFrame):
            if "image" not in X.columns:
                raise ValueError("embeddings are made of images: the table needs an 'image' column")
            self.sources = list(X["image"])
            self.cells = [int(c) for c in X["cell"]] if "cell" in X else [None] * len(X)
            self.masks = list(X["mask"]) if "mask" in X else []
            return
        if isinstance(X, np.ndarray) and X.dtype.kind in "OUT":
            X = X.ravel()
        if isinstance(X, (str, os.PathLike)):
            X = [X]
        self.sources = list(X)
        self.cells = [None] * len(self.sources)

    def __len__(self) -> int:
        return len(self.sources)

    def images(self, masks: str | None) -> Iterator[tuple[Any, str, Any, dict[Any, list[int]]]]:
        """Each image once: itself, its name, its mask, and the rows of each of its cells."""
        if masks == "given" and not self.masks:
            raise ValueError('masks="given", but the table has no column "mask"')
        wanted: dict[Any, dict[Any, list[int]]] = {}
        for row, (source, cell) in enumerate(zip(self.sources, self.cells, strict=True)):
            key = str(source) if isinstance(source, (str, os.PathLike)) else id(source)
            wanted.setdefault(key, {}).setdefault(cell, []).append(row)
        for cells in wanted.values():
            row = next(iter(cells.values()))[0]
            name = image_name(self.sources[row], row)
            mask: Any = self.masks[row] if self.masks else None
            if masks == "given" and not isinstance(mask, (np.ndarray, tuple)) and pd.isna(mask):
                mask = MaskError("the table names no mask for this image")
            yield self.sources[row], name, mask, cells
