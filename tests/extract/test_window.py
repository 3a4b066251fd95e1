"""The window around the cells has the pixels and the quality of the whole image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hemafeat import datasets, extract
from hemafeat.extract import _windows
from hemafeat.extract._family import choose
from hemafeat.extract._kernels import window
from hemafeat.extract._measure import image_quality, measure_cells
from hemafeat.extract._table.image import measure_image
from hemafeat.segment import Masks


def field(seed: int, shape: tuple[int, int] = (37, 48)) -> tuple[np.ndarray, Masks]:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    cell = np.zeros(shape, np.int32)
    cell[4:14, 3:17] = 2
    cell[20:33, 28:44] = 1
    cell[30:36, 2:8] = 3
    nucleus = np.zeros(shape, np.int32)
    nucleus[6:11, 5:12] = 2
    nucleus[22:30, 30:38] = 1
    return image, Masks(cell, nucleus)


@pytest.mark.parametrize("keep", [None, 0, 1, 2])
def test_window_is_the_cell_and_two_pixels(keep: int | None) -> None:
    image, masks = field(0)
    part, inside = extract.Prepared(image, masks).window(masks, keep)
    kept = masks if keep is None else masks.select([keep])
    rows, columns = np.nonzero(kept.cell)
    top, left = max(rows.min() - 2, 0), max(columns.min() - 2, 0)
    box = np.s_[top : rows.max() + 3, left : columns.max() + 3]
    np.testing.assert_array_equal(part.rgb, image[box])
    for name in ("cell", "nucleus", "cytoplasm"):
        np.testing.assert_array_equal(getattr(inside, name), getattr(kept, name)[box])
        assert getattr(inside, name).dtype == np.int32
    assert inside.n_cells == kept.n_cells
    np.testing.assert_array_equal(part.white(), extract.background_white(image, masks.cell))


def test_window_without_cells_is_the_image() -> None:
    image, _ = field(0)
    no_cells = Masks(np.zeros(image.shape[:2], int), np.zeros(image.shape[:2], int))
    part, inside = extract.Prepared(image, no_cells).window(no_cells)
    assert part.rgb.shape == image.shape
    assert inside.n_cells == 0


def test_quality_is_that_of_opencv() -> None:
    image, masks = field(1)
    prepared = extract.Prepared(image, masks)
    quality = image_quality(prepared, masks)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    for row in range(masks.n_cells):
        inside = masks.cell == row + 1
        rows, columns = np.nonzero(inside)
        box = grey[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        # A contiguous copy: in a view OpenCV may use pixels beyond the box.
        focus = cv2.Laplacian(box.copy(), cv2.CV_16S).astype(np.float64).var()
        assert quality["focus"][row] == pytest.approx(focus, rel=1e-12)
        pixels = image[inside]
        clipped = ((pixels == 0) | (pixels == 255)).any(axis=1).mean()
        assert quality["clipped"][row] == pytest.approx(clipped, rel=1e-12)
    assert list(quality["n_cells"]) == [3, 3, 3]


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (5, 1), (2, 2), (3, 7)])
def test_sharpness_of_thin_boxes(shape: tuple[int, int]) -> None:
    grey = np.random.default_rng(2).integers(0, 256, shape).astype(np.uint8)
    focus = window.sharpness(grey, np.array([[0, shape[0], 0, shape[1]], [0, 0, 0, 0]]))
    assert focus[0] == pytest.approx(cv2.Laplacian(grey, cv2.CV_16S).astype(float).var())
    assert np.isnan(focus[1])


@pytest.mark.parametrize("seed", range(6))
def test_central_cell_is_the_nearest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(5, 20, 2))
    cell = np.where(rng.random(shape) < 0.06, rng.integers(1, 5, shape), 0)
    cell[0, 0] = 1
    masks = Masks(cell, np.zeros_like(cell))
    rows, columns = np.nonzero(masks.cell)
    distance = (rows - (shape[0] - 1) / 2) ** 2 + (columns - (shape[1] - 1) / 2) ** 2
    nearest = int(np.argmin(distance))
    assert extract.central_cell(masks) == masks.cell[rows[nearest], columns[nearest]] - 1


def test_outside_histogram() -> None:
    image, masks = field(3)
    image[::7, ::5], image[::5, ::7] = 0, 255
    histogram, n_black, n_saturated = window.outside_histogram(image, masks.cell)
    pixels = image[masks.cell == 0]
    for channel in range(3):
        expected = np.bincount(pixels[:, channel], minlength=256)
        np.testing.assert_array_equal(histogram[channel], expected)
    assert n_black == np.count_nonzero((pixels == 0).all(axis=1)) > 0
    assert n_saturated == np.count_nonzero((pixels == 255).all(axis=1)) > 0


def test_cells_of_a_large_image_are_measured_in_several_windows(monkeypatch):
    """Rows, flags and values are those of one window, but for rounding."""
    drawn = datasets.draw_field(
        ["neutrophil", "lymphocyte", "monocyte", "eosinophil"],
        shape=(420, 560),
        touching=0.7,
        random_state=2,
    )
    nucleus = drawn.nucleus.copy()
    # A cell without a nucleus, and a nucleus without a cell.
    nucleus[drawn.cell == 1] = 0
    cell = np.where(drawn.cell == 2, 0, drawn.cell)
    masks = Masks(cell, nucleus)
    assert masks.n_cells == 4
    families = choose(["shape", "colour", "density", "relation", "glcm"])

    def measure():
        result = measure_image(drawn.image, "field", masks, families, None, None, central=False)
        assert not result.errors
        direct, failures = measure_cells(extract.Prepared(drawn.image, masks), masks, families)
        np.testing.assert_array_equal(direct, result.features)
        assert not failures
        return result

    whole = measure()
    monkeypatch.setattr(_windows, "LARGE", 1)
    monkeypatch.setattr(_windows, "SIDE", 200)
    prepared = extract.Prepared(drawn.image, masks)
    found = list(_windows.windows(prepared, masks))
    assert len(found) > 1
    assert sorted(np.concatenate([rows for rows, _, _ in found])) == [0, 1, 2, 3]
    for _, part, part_masks in found:
        (top, left), (height, width) = part.origin, part_masks.shape
        box = np.s_[top : top + height, left : left + width]
        np.testing.assert_array_equal(part.rgb, drawn.image[box])
        assert not part_masks.cell[cell[box] == 0].any()
    parts = measure()
    np.testing.assert_allclose(parts.features, whole.features, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(parts.cell, [1, 2, 3, 4])
    for name, values in whole.quality.items():
        np.testing.assert_array_equal(parts.quality[name], values)
