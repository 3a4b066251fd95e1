"""What is learnt of an image before any cell is outlined, against OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hemafeat.segment._contours import light as _light
from hemafeat.segment._contours.frame import MIN_DENSITY, frame
from hemafeat.segment._kernels import levels, nuclei, survey
from support.made_images import cell_image

SHAPES = [(40, 51), (17, 9), (2, 3)]


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("factor", [1, 2, 3, 5])
def test_images_are_reduced_as_by_opencv(factor):
    image = noise((43, 52, 3))
    rows, columns = 43 // factor, 52 // factor
    found = survey.reduced(image.reshape(43, -1), rows, columns, factor)
    part = image[: rows * factor, : columns * factor]
    known = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
    assert np.array_equal(found.reshape(rows, columns, 3), known)


@pytest.mark.parametrize("shape", SHAPES)
def test_small_blurs_are_those_of_opencv(shape):
    image = noise((*shape, 3), 1)
    found = survey.averaged(image.reshape(shape[0], -1)).reshape(image.shape)
    assert np.array_equal(found, cv2.blur(image, (3, 3)))
    plane = image[:, :, 0].copy()
    assert np.array_equal(survey.softened(plane), cv2.GaussianBlur(plane, (3, 3), 0))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.3, 0.9, 1.0])
def test_a_mask_is_opened_by_a_cross(shape, share):
    mask = (np.random.default_rng(2).random(shape) < share).astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    assert np.array_equal(survey.opened(mask), cv2.morphologyEx(mask, cv2.MORPH_OPEN, cross))


def test_a_survey_is_the_sum_of_its_parts():
    image = cell_image((90, 110), 3)
    view = frame(image)
    assert view.scale == 1.0
    assert view.black is None
    assert np.array_equal(view.white, levels.white_level(cv2.blur(image, (3, 3))))
    table, coded, dark, bins, violet, spread = levels.planes(image, view.white)
    assert np.array_equal(view.dark, dark)
    assert np.array_equal(view.bins, bins)
    assert np.array_equal(view.coded, coded)
    assert view.faint == min(max(1.0 + spread, 2.5), 4.0)
    soft = cv2.GaussianBlur(violet, (3, 3), 0)
    found, any_found = nuclei.spots(soft, image, table, dark, view.faint, MIN_DENSITY)
    cross = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    assert np.array_equal(view.nuclei, cv2.morphologyEx(found, cv2.MORPH_OPEN, cross))
    assert view.any_nuclei == any_found
    assert not view.uneven


def test_uneven_light_is_seen_and_evened():
    image = cell_image((160, 180), 4, (235, 232, 230)).astype(float)
    lamp = np.linspace(0.7, 1.0, 180)[:, None]
    view = frame((image * lamp).astype(np.uint8))
    assert view.uneven
    factor = _light.gain(view.rgb, view.white)
    assert factor is not None
    # As much as the lamp lacked, as far as background is seen.
    assert factor.min() == pytest.approx(1.0, abs=0.03)
    assert factor.max() == pytest.approx(1 / 0.7, abs=0.08)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 2), (3, 5), (400, 2)])
def test_no_image_is_too_small(shape):
    view = frame(noise((*shape, 3), 5))
    assert view.dark.shape == view.nuclei.shape == view.bins.shape
