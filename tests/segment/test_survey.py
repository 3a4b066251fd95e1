"""The reduced image and the measurements of its background, against OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hemafeat.segment._contours.frame import MIN_DENSITY, light_gain, measure_frame
from hemafeat.segment._kernels import levels, nuclei
from support.made_images import cell_image


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5, 16])
def test_images_are_reduced_by_the_means_of_blocks(factor):
    image = noise((43, 52, 3))
    rows, columns = 43 // factor, 52 // factor
    part = image[: rows * factor, : columns * factor].astype(int)
    sums = part.reshape(rows, factor, columns, factor, 3).sum(axis=(1, 3))
    # Halves are rounded up.
    expected = (2 * sums + factor**2) // (2 * factor**2)
    assert np.array_equal(levels.block_means(image, factor), expected)


def test_a_survey_combines_its_steps():
    image = cell_image((90, 110), 3)
    frame = measure_frame(image)
    assert frame.scale == 1.0
    assert frame.black is None
    assert np.array_equal(frame.white, levels.white_level(cv2.blur(image, (3, 3))))
    table, coded, dark, bins, violet, spread = levels.colour_planes(image, frame.white)
    assert np.array_equal(frame.dark, dark)
    assert np.array_equal(frame.bins, bins)
    assert np.array_equal(frame.coded, coded)
    assert frame.faint == min(max(1.0 + spread, 2.5), 4.0)
    soft = cv2.GaussianBlur(violet, (3, 3), 0)
    mask, any_nuclei = nuclei.nuclear_mask(soft, image, table, dark, frame.faint, MIN_DENSITY)
    cross = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    assert np.array_equal(frame.nuclei, cv2.morphologyEx(mask, cv2.MORPH_OPEN, cross))
    assert frame.any_nuclei == any_nuclei
    assert not frame.uneven


def test_uneven_light_is_detected_and_corrected():
    image = cell_image((160, 180), 4, (235, 232, 230)).astype(float)
    lamp = np.linspace(0.7, 1.0, 180)[:, None]
    frame = measure_frame((image * lamp).astype(np.uint8))
    assert frame.uneven
    gain = light_gain(frame.rgb, frame.white)
    assert gain is not None
    # The range of the light that was drawn, as far as background is visible.
    assert gain.min() == pytest.approx(1.0, abs=0.03)
    assert gain.max() == pytest.approx(1 / 0.7, abs=0.08)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 2), (3, 5), (400, 2)])
def test_no_image_is_too_small(shape):
    frame = measure_frame(noise((*shape, 3), 5))
    assert frame.dark.shape == frame.nuclei.shape == frame.bins.shape
