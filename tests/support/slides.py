"""Large images with known cells, and a segmenter for them that takes no time."""

from __future__ import annotations

import cv2
import numpy as np
import tifffile

from hemafeat import datasets
from hemafeat.segment import Masks

SHAPE = (900, 1300)
UM_PER_PX = 0.2
TILE = {"size": 330, "margin": 110}


def draw_slide(random_state=0):
    """Return a drawn field whose cells lie everywhere, also where tiles meet."""
    kinds = [datasets.KINDS[n % len(datasets.KINDS)] for n in range(30)]
    return datasets.draw_field(
        kinds, shape=SHAPE, um_per_px=UM_PER_PX, touching=0, random_state=random_state
    )


def write_slide(path, image, levels=1, **options):
    """Write a tiled OME-TIFF with its scale and levels in sub-directories."""
    options = {"tile": (256, 256), "compression": "zlib", "photometric": "rgb"} | options
    sizes = {f"PhysicalSize{axis}": UM_PER_PX for axis in "XY"}
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(image, subifds=levels - 1, metadata={"axes": "YXS"} | sizes, **options)
        for number in range(1, levels):
            small = np.ascontiguousarray(image[:: 2**number, :: 2**number])
            file.write(small, subfiletype=1, metadata=None, **options)


def dark_cells(image):
    """Return the dark nuclei of an image as cells: what a pixel is depends on it alone."""
    dark = (image[:, :, 1] < 90).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(dark)
    large = stats[:, cv2.CC_STAT_AREA] >= 120
    large[0] = False
    labels = np.where(large[labels], labels, 0)
    return Masks(labels, labels)


def unsteady_cells(image):
    """Return dark cells whose outline depends on the size and the content of the tile."""
    masks = dark_cells(image)
    seed = int(image[::37, ::41].sum()) + image.shape[0]
    rng = np.random.default_rng(seed)
    cell = masks.cell.copy()
    for number in range(1, masks.n_cells + 1):
        shift = tuple(rng.integers(-4, 5, 2).tolist())
        moved = np.roll(masks.cell == number, shift, (0, 1))
        cell[moved & (cell == 0)] = number
    return Masks(cell, masks.nucleus)
