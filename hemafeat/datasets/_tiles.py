"""Cut large images into tiles, which are images of their own."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from hemafeat.datasets._schema import DatasetError, text
from hemafeat.images import (
    ImageError,
    Level,
    Tile,
    is_large,
    is_uri,
    open_slide,
    path_of,
)

SIZE = 1536
"""Side of the core of a tile, in px."""

MARGIN_UM = 30.0
"""Margin around the core: the diameter of the largest cells of the blood and of the marrow."""

MARGIN_PX = 256
"""Margin where the scale is unknown."""


def tiles(
    path: str | os.PathLike[str],
    *,
    level: int = 0,
    size: int = SIZE,
    margin: int | None = None,
    um_per_px: float | None = None,
) -> pd.DataFrame:
    """Cut a large image into tiles that overlap, an image table with a row for each.

    `as_table` does this by itself for images that are too large to be read whole (`is_large`). A
    tile owns the cells whose darkest point lies in its core, and the cores cover the image without
    overlap, so that `hemafeat.extract.table` measures each cell once.

    Parameters
    ----------
    path : path
        Large image that `hemafeat.images.open_slide` opens, of any size.
    level : int
        Level of its pyramid that is measured; 0, the default, is the full size.
    size : int
        Side of the core of a tile, in px of the level.
    margin : int, optional
        Width of what is read around the core, in px. The default is 30 um, which is the diameter of
        the largest cells, or 256 px if the scale is unknown.
    um_per_px : float, optional
        Side of a pixel of the level in um. The default is what the file states.

    Returns
    -------
    DataFrame
        An image table. The names of the tiles say where they lie (`hemafeat.images.Tile`), and
        their ``group`` is the path of the large image.

    Raises
    ------
    DatasetError
        Raised if the image cannot be read or has no such level, or if a size is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> import tifffile
    >>> from hemafeat import datasets
    >>> glass = np.full((600, 1000, 3), 235, np.uint8)
    >>> tifffile.imwrite("slide.ome.tif", glass, tile=(256, 256), photometric="rgb")
    >>> cut = datasets.tiles("slide.ome.tif", size=512, margin=64)
    >>> len(cut), cut["image"].iloc[1]
    (4, 'slide.ome.tif#level=0&xywh=500,0,500,300&margin=64')
    """
    from hemafeat.datasets._finish import finish

    if size < 1 or (margin is not None and margin < 0):
        raise DatasetError(
            f"tiles of {size} px with a margin of {margin}: expected at least 1 and 0"
        )
    path = os.fspath(path)
    try:
        levels = open_slide(path).levels
    except ImageError as problem:
        raise DatasetError(str(problem)) from None
    chosen = _level(path, levels, level)
    scale = chosen.um_per_px if um_per_px is None else um_per_px
    names = [str(tile) for tile in _cut(path, level, chosen, scale, size, margin)]
    table = pd.DataFrame({"image": text(names), "group": path, "um_per_px": scale})
    return finish(table, path)


def _level(path: str, levels: tuple[Level, ...], number: int) -> Level:
    """Return a level of a large image."""
    if not 0 <= number < len(levels):
        raise DatasetError(f"{path} has the levels 0 to {len(levels) - 1}, not {number}")
    return levels[number]


def _cut(
    path: str, number: int, level: Level, um_per_px: float, size: int, margin: int | None
) -> Iterator[Tile]:
    """Yield the tiles of a level, row by row, of nearly equal sizes."""
    if margin is None:
        margin = MARGIN_PX if math.isnan(um_per_px) else math.ceil(MARGIN_UM / um_per_px)
    columns, rows = (
        np.linspace(0, side, max(1, math.ceil(side / size)) + 1).round().astype(int).tolist()
        for side in (level.width, level.height)
    )
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            yield Tile(path, number, left, top, right - left, bottom - top, margin)


def with_tiles(table: pd.DataFrame) -> pd.DataFrame:
    """Replace the large images of an image table by their tiles; other rows stay as they are.

    An image that cannot be opened stays one row, whose reading fails with the reason.
    """
    numbers = [_level_of(image) for image in table["image"]]
    if all(number is None for number in numbers):
        return table
    cut: list[tuple[int, str, float]] = []
    scales = table["um_per_px"].to_numpy(np.float64)
    for row, (image, number, stated) in enumerate(
        zip(table["image"], numbers, scales.tolist(), strict=True)
    ):
        if number is None:
            cut.append((row, image, stated))
            continue
        path = path_of(image)
        try:
            levels = open_slide(path).levels
        except ImageError:
            cut.append((row, f"{path}#level={number}", stated))
            continue
        chosen = _level(path, levels, number)
        scale = chosen.um_per_px if math.isnan(stated) else stated
        found = _cut(path, number, chosen, scale, SIZE, None)
        cut += [(row, str(tile), scale) for tile in found]
    result = table.iloc[[row for row, _, _ in cut]].reset_index(drop=True)
    result["image"] = pd.Series([image for _, image, _ in cut], dtype=table["image"].dtype)
    # The group of an image without a patient is its name, here without the level.
    result["group"] = result["group"].map(lambda name: path_of(name) if "#level=" in name else name)
    result["um_per_px"] = [scale for _, _, scale in cut]
    return result


def _level_of(image: Any) -> int | None:
    """Return which level of a large image a name means, None for other images and for tiles."""
    if not isinstance(image, str):
        return None
    if "#level=" not in image:
        return 0 if is_large(image) and not is_uri(image) else None
    path, _, number = image.rpartition("#level=")
    return int(number) if path and number.isdecimal() and path_of(path) == path else None
