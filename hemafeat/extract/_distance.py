"""Depth of every pixel in its mask, found once for all families that ask for it."""

from __future__ import annotations

import numpy as np

from hemafeat.extract._kernels.distance import depths
from hemafeat.extract._prepared import Prepared


def squared_depths(image: Prepared, labels: np.ndarray, n_cells: int) -> np.ndarray:
    """(H, W) int32 squared distance of each pixel to the nearest one outside its cell.

    From centre to centre, so 1 along the edge; 0 where there is no cell. Beyond the image is
    outside.
    """
    height, width = labels.shape
    return image.shared(
        "distance",
        labels,
        n_cells,
        lambda found: depths(found.run_starts, found.runs, found.boxes, height, width, height),
    )
