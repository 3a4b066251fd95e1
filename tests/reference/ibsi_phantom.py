"""The IBSI-1 digital phantom: four slices of 4 x 5 pixels.

By the Image Biomarker Standardisation Initiative (github.com/theibsi/data_sets,
ibsi_1_digital_phantom, CC BY 4.0).
"""

from __future__ import annotations

import numpy as np

SLICES = np.array(
    [
        [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [1, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 1, 1, 1], [1, 1, 9, 1, 1], [1, 1, 6, 1, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
    ]
)
OUTSIDE = [(1, 2, 0), (2, 0, 3), (2, 0, 4), (2, 2, 2), (3, 0, 3), (3, 0, 4)]

INSIDE = np.ones(SLICES.shape, np.int32)
INSIDE[tuple(np.transpose(OUTSIDE))] = 0

# The 9 lies outside the mask, where the level must not matter.
LEVELS = np.where(INSIDE == 1, SLICES - 1, 0)
"""Grey levels of the phantom, 0 to 5."""
