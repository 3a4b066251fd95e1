"""Rows of a table as images and cells, and batches of pictures on their way to vectors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from hemafeat._frames import as_frame
from hemafeat.extract import central_cell, image_name
from hemafeat.networks._cell_images import image_sources
from hemafeat.networks._embedding.cache import Cache
from hemafeat.networks._embedding.runtimes import Runner
from hemafeat.segment import MaskError


class VectorFiller:
    """Fill arrays with the vectors of pictures, from the cache or computed in batches.

    Parameters
    ----------
    runner : Runner
        Network that computes vectors.
    cache : Cache
        Store of earlier vectors.
    batch_size : int
        Number of pictures that are computed together.
    """

    def __init__(self, runner: Runner, cache: Cache, batch_size: int) -> None:
        self.runner, self.cache, self.batch_size = runner, cache, batch_size
        self._pending: dict[str, tuple[np.ndarray, list[np.ndarray]]] = {}

    def add(self, picture: np.ndarray, targets: list[np.ndarray]) -> None:
        """Fill the (width,) views in `targets`, at once or with the next batch."""
        name = self.cache.name(picture)
        if name in self._pending:
            self._pending[name][1].extend(targets)
            return
        vector = self.cache.get(name)
        if vector is not None:
            for target in targets:
                target[:] = vector
            return
        self._pending[name] = (picture, list(targets))
        if len(self._pending) >= self.batch_size:
            self.flush()

    def flush(self) -> None:
        """Compute the pictures that are pending."""
        if not self._pending:
            return
        vectors = self.runner(np.stack([picture for picture, _ in self._pending.values()]))
        for (name, (_, targets)), vector in zip(self._pending.items(), vectors, strict=True):
            self.cache.put(name, vector)
            for target in targets:
                target[:] = vector
        self._pending = {}


def row_of_cell(masks: Any, cell: int | None) -> int | None:
    """Return the row of a cell in the masks, or of the central cell; None if there is none."""
    if masks.n_cells == 0:
        return None
    if cell is None:
        return central_cell(masks)
    return cell - 1 if 1 <= cell <= masks.n_cells else None


class ImageRows:
    """Images, cells and masks of the rows of a table, list or array.

    Parameters
    ----------
    X : DataFrame with a column ``image``, sequence of paths or arrays, array, or path
        Whatever scikit-learn passes to a transformer.

    Raises
    ------
    ValueError
        `X` is a table without a column ``image``.
    """

    def __init__(self, X: Any) -> None:
        self.cells: list[int | None]
        self.masks: list[Any] = []
        X = as_frame(X)
        one_path = isinstance(X, (str, os.PathLike))
        self.sources = image_sources([X] if one_path else X, "embeddings are made")
        self.cells = [None] * len(self.sources)
        if isinstance(X, pd.DataFrame):
            if "cell" in X:
                self.cells = [int(cell) for cell in X["cell"]]
            if "mask" in X:
                self.masks = list(X["mask"])

    def __len__(self) -> int:
        return len(self.sources)

    def images(self, masks: str | None) -> Iterator[tuple[Any, str, Any, dict[Any, list[int]]]]:
        """Iterate over images, each once: source, name, mask, and the rows of each cell."""
        if masks == "given" and not self.masks:
            raise ValueError('masks="given", but the table has no column "mask"')
        rows: dict[Any, dict[Any, list[int]]] = {}
        for row, (source, cell) in enumerate(zip(self.sources, self.cells, strict=True)):
            key = str(source) if isinstance(source, (str, os.PathLike)) else id(source)
            rows.setdefault(key, {}).setdefault(cell, []).append(row)
        for cells in rows.values():
            row = next(iter(cells.values()))[0]
            name = image_name(self.sources[row], row)
            mask: Any = self.masks[row] if self.masks else None
            if masks == "given" and not isinstance(mask, (np.ndarray, tuple)) and pd.isna(mask):
                mask = MaskError("the table names no mask for this image")
            yield self.sources[row], name, mask, cells
