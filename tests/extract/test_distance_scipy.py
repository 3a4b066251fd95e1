"""Oracle: the exact Euclidean distance transform of SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from hemafeat.extract import Prepared
from hemafeat.extract._prepared import squared_depths


def scipy_squared_distance(labels: np.ndarray) -> np.ndarray:
    out = np.zeros(labels.shape, int)
    for cell in range(1, labels.max() + 1):
        # A frame of background: pixels beyond the image are outside.
        distance = ndimage.distance_transform_edt(np.pad(labels == cell, 1))[1:-1, 1:-1]
        out += np.rint(distance**2).astype(int)
    return out


def squared_distance(labels: np.ndarray) -> np.ndarray:
    image = Prepared(np.zeros((*labels.shape, 3), np.uint8))
    return squared_depths(image, labels, int(labels.max()))


@pytest.mark.parametrize("seed", range(4))
def test_rough_regions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=(37, 53)), 1.0 + seed)
    high, low = np.quantile(field, [0.6, 0.25])
    labels = np.where(field > high, 1, np.where(field < low, 2, 0)).astype(np.int32)
    np.testing.assert_array_equal(squared_distance(labels), scipy_squared_distance(labels))


def test_disc() -> None:
    rows, columns = np.mgrid[:41, :45]
    labels = ((rows - 20) ** 2 + (columns - 22) ** 2 <= 18**2).astype(np.int32)
    distance = squared_distance(labels)
    np.testing.assert_array_equal(distance, scipy_squared_distance(labels))
    assert np.unravel_index(distance.argmax(), distance.shape) == (20, 22)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (7, 8)])
def test_mask_fills_the_image(shape: tuple[int, int]) -> None:
    labels = np.ones(shape, np.int32)
    np.testing.assert_array_equal(squared_distance(labels), scipy_squared_distance(labels))


def test_scattered_pixels() -> None:
    labels = np.zeros((6, 9), np.int32)
    labels[0, 0] = labels[5, 8] = labels[2, 3:6] = 1
    labels[4, 1] = 3  # there is no cell 2
    np.testing.assert_array_equal(squared_distance(labels), scipy_squared_distance(labels))
