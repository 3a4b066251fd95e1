"""The cells that everybody measures, and what is made ready for everybody outside the clock."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from hemafeat import datasets, extract, images, segment
from hemafeat.extract import central_cell

LEVELS = 32
QUALITY = 95
MARGIN = 2


@dataclass(frozen=True, eq=False)
class Cell:
    """One image of one cell.

    `crop`, `inside`, `grey` and `levels` are cut to the box of the nucleus: peers are given them
    outside the clock, since a user of theirs would do well to cut too.
    """

    path: Path
    data: np.ndarray
    rgb: np.ndarray
    masks: segment.Masks
    kept: int

    @cached_property
    def nucleus(self) -> np.ndarray:
        """(H, W) int32: 1 in the nucleus of the cell."""
        return np.ascontiguousarray(self.masks.nucleus == self.kept + 1, dtype=np.int32)

    @cached_property
    def cell(self) -> np.ndarray:
        """(H, W) int32: 1 in the cell."""
        return np.ascontiguousarray(self.masks.cell == self.kept + 1, dtype=np.int32)

    @cached_property
    def box(self) -> tuple[slice, slice]:
        """Box of the nucleus with a margin."""
        rows, columns = np.nonzero(self.nucleus)
        height, width = self.nucleus.shape
        return (
            slice(max(rows.min() - MARGIN, 0), min(rows.max() + MARGIN + 1, height)),
            slice(max(columns.min() - MARGIN, 0), min(columns.max() + MARGIN + 1, width)),
        )

    @cached_property
    def crop(self) -> np.ndarray:
        """(h, w, 3) uint8 RGB of the box."""
        return np.ascontiguousarray(self.rgb[self.box])

    @cached_property
    def inside(self) -> np.ndarray:
        """(h, w) int32: 1 in the nucleus."""
        return np.ascontiguousarray(self.nucleus[self.box])

    @cached_property
    def whole_grey(self) -> np.ndarray:
        """(H, W) uint8."""
        return cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY)

    @cached_property
    def grey(self) -> np.ndarray:
        """(h, w) uint8 grey levels of the box."""
        return np.ascontiguousarray(self.whole_grey[self.box])

    @cached_property
    def white(self) -> np.ndarray:
        """(3,) white of the background, which the whole image tells."""
        return extract.background_white(self.rgb, self.masks.cell)

    @cached_property
    def density(self) -> np.ndarray:
        """(h, w) float64 optical density of green."""
        return extract.optical_density(self.crop, self.white)[:, :, 1].copy()

    @cached_property
    def levels(self) -> np.ndarray:
        """(h, w) uint8 grey levels 0, 1, ... of the density of green, 0 the lowest of the nucleus.

        The lowest occurring is 0, because several peers count from there whatever they are given.
        """
        prepared = extract.Prepared(self.crop, white=self.white)
        levels = prepared.levels("od_g", LEVELS)
        return np.where(self.inside > 0, levels - levels[self.inside > 0].min(), 0).astype(np.uint8)

    @cached_property
    def numbered(self) -> np.ndarray:
        """(h, w) int64 grey levels 1 .. LEVELS inside, 0 outside."""
        return np.where(self.inside > 0, self.levels.astype(np.int64) + 1, 0)

    def prepared(self) -> extract.Prepared:
        """The box, of which nothing has been computed yet."""
        return extract.Prepared(self.crop, white=self.white)


def read(path: str | Path) -> Cell | None:
    """The cell of an image file as JPEG; None where segmentation finds none."""
    data = np.fromfile(path, np.uint8)
    if Path(path).suffix.lower() not in (".jpg", ".jpeg"):
        bgr = cv2.cvtColor(images.read(path), cv2.COLOR_RGB2BGR)
        data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].ravel()
    rgb = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    masks = segment.segmenter("contours")(rgb)
    if masks.n_cells == 0:
        return None
    cell = Cell(Path(path), data, rgb, masks, central_cell(masks) if masks.n_cells > 1 else 0)
    return cell if cell.nucleus.any() else None


def listed(data: str | None, scratch: str, n_images: int, size: int) -> pd.DataFrame:
    """Table of the images: of a folder, or drawn."""
    if data is None:
        return datasets.drawn(f"{scratch}/drawn", n_images=n_images, size=size, format="jpg")
    table = datasets.as_table(data)
    some = table.sample(min(n_images, len(table)), random_state=0)
    return some.sort_index().reset_index(drop=True)
