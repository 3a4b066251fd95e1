"""The cells that all tools measure, and what is prepared for them untimed."""

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

    `crop`, `inside`, `grey` and `levels` are cut to the box of the nucleus, as a careful user of
    another tool would do. Cutting is not timed.
    """

    path: Path
    data: np.ndarray
    rgb: np.ndarray
    masks: segment.Masks
    row: int

    @cached_property
    def nucleus(self) -> np.ndarray:
        """Mask of the nucleus: (H, W) int32, 1 inside."""
        return np.ascontiguousarray(self.masks.nucleus == self.row + 1, dtype=np.int32)

    @cached_property
    def cell(self) -> np.ndarray:
        """Mask of the cell: (H, W) int32, 1 inside."""
        return np.ascontiguousarray(self.masks.cell == self.row + 1, dtype=np.int32)

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
        """RGB of the box: (h, w, 3) uint8."""
        return np.ascontiguousarray(self.rgb[self.box])

    @cached_property
    def inside(self) -> np.ndarray:
        """Mask of the nucleus in the box: (h, w) int32, 1 inside."""
        return np.ascontiguousarray(self.nucleus[self.box])

    @cached_property
    def whole_grey(self) -> np.ndarray:
        """Grey levels of the image: (H, W) uint8."""
        return cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY)

    @cached_property
    def grey(self) -> np.ndarray:
        """Grey levels of the box: (h, w) uint8."""
        return np.ascontiguousarray(self.whole_grey[self.box])

    @cached_property
    def white(self) -> np.ndarray:
        """White of the background of the whole image: (3,)."""
        return extract.background_white(self.rgb, self.masks.cell)

    @cached_property
    def density(self) -> np.ndarray:
        """Optical density of green in the box: (h, w) float64."""
        return extract.optical_density(self.crop, self.white)[:, :, 1].copy()

    @cached_property
    def levels(self) -> np.ndarray:
        """Quantised density of green in the box: (h, w) uint8.

        The lowest level of the nucleus is 0, because several peers shift their input to that.
        """
        prepared = extract.Prepared(self.crop, white=self.white)
        levels = prepared.levels("od_g", LEVELS)
        return np.where(self.inside > 0, levels - levels[self.inside > 0].min(), 0).astype(np.uint8)

    @cached_property
    def numbered(self) -> np.ndarray:
        """Quantised levels, 1 to LEVELS inside and 0 outside: (h, w) int64."""
        return np.where(self.inside > 0, self.levels.astype(np.int64) + 1, 0)

    def prepared(self) -> extract.Prepared:
        """Return the box, of which nothing has been computed yet."""
        return extract.Prepared(self.crop, white=self.white)


def read(path: str | Path) -> Cell | None:
    """Read the cell of an image, as JPEG; None if no cell is segmented."""
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


def image_table(data: str | None, scratch: str, n_images: int, size: int) -> pd.DataFrame:
    """Return the table of the images: a sample of a folder, or drawn."""
    if data is None:
        return datasets.drawn(f"{scratch}/drawn", n_images=n_images, size=size, format="jpg")
    table = datasets.as_table(data)
    sample = table.sample(min(n_images, len(table)), random_state=0)
    return sample.sort_index().reset_index(drop=True)
