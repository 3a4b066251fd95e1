"""Shape against scikit-image, on random blobs with holes and several parts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import find_contours, label, perimeter_crofton, regionprops

from hemafeat import extract
from hemafeat.extract._kernels.region.contour import boundary_points
from hemafeat.extract._kernels.region.runs import local_runs
from hemafeat.extract._prepared import Prepared

NAMES = list(extract.shape.facts.columns)


def blob(seed: int) -> np.ndarray:
    """Draw a mask of one or more parts, some with holes, that may touch the edge of the image."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=(34, 40)), rng.uniform(1.5, 6))
    return (field > np.quantile(field, rng.uniform(0.4, 0.9))).astype(np.int32)


def measure(mask: np.ndarray) -> dict[str, float]:
    row = extract.shape(np.zeros((*mask.shape, 3), np.uint8), mask)
    assert row.shape == (1, len(NAMES))
    return dict(zip(NAMES, row[0], strict=True))


@pytest.mark.parametrize("seed", range(12))
def test_agrees_with_regionprops(seed: int) -> None:
    mask = blob(seed)
    values = measure(mask)
    (region,) = regionprops(mask)
    # The same definitions in floating point, sums in another order: 1e-10 is a million roundings.
    for name in (
        "area",
        "equivalent_diameter_area",
        "axis_major_length",
        "axis_minor_length",
        "eccentricity",
        "extent",
        "area_convex",
        "solidity",
        "feret_diameter_max",
        "euler_number",
    ):
        assert values[name] == pytest.approx(region[name], rel=1e-10), name
    assert values["perimeter_crofton"] == pytest.approx(perimeter_crofton(mask, 4), rel=1e-10)
    assert values["perimeter_convex"] == pytest.approx(
        perimeter_crofton(region.image_convex, 4), rel=1e-10
    )
    sizes = np.bincount(label(mask, connectivity=2).ravel())[1:]
    assert values["n_components"] == (sizes > 0.05 * mask.sum()).sum()
    assert values["n_holes"] == sizes.size - region.euler_number


@pytest.mark.parametrize("seed", range(12))
def test_boundary_is_the_contour_of_marching_squares(seed: int) -> None:
    mask = blob(seed)
    regions = Prepared(np.zeros((*mask.shape, 3), np.uint8)).regions(mask, 1)
    top, bottom, left, _ = regions.boxes[0]
    points = boundary_points(*local_runs(regions.runs, top, left, bottom - top)) / 2 + (top, left)
    contours = find_contours(np.pad(mask, 1), 0.5)
    # A closed contour repeats its first point.
    expected = np.concatenate([contour[:-1] for contour in contours]) - 1
    # Midpoints of edges are exact in binary, so the two sets are equal to the last bit.
    assert sorted(map(tuple, points)) == sorted(map(tuple, expected))


def test_many_labels_at_once_equal_each_alone() -> None:
    labels = label(blob(3) ^ blob(5) ^ blob(6), connectivity=1).astype(np.int32)
    n_cells = int(labels.max())
    assert n_cells > 3
    together = extract.shape(np.zeros((*labels.shape, 3), np.uint8), labels)
    for cell in range(n_cells):
        alone = extract.shape(
            np.zeros((*labels.shape, 3), np.uint8), (labels == cell + 1).astype(np.int32)
        )
        np.testing.assert_array_equal(together[cell], alone[0])
