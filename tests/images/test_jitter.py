"""Images redrawn as another laboratory might have taken them."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from hemafeat import datasets, images
from hemafeat.images import StainJitter

STILL = StainJitter(strength=0.0, blur=0.0, quality=100)


@pytest.fixture(scope="module")
def cell():
    return datasets.draw_cell("neutrophil", size=160, random_state=0)


def _density(image, white):
    return np.log((np.asarray(white) + 1) / (image + 1.0))


def test_an_image_and_a_seed_give_one_result(cell):
    jitter = StainJitter(3)
    first = jitter(cell.image)
    assert first.dtype == np.uint8
    assert first.shape == cell.image.shape
    assert np.array_equal(first, pickle.loads(pickle.dumps(jitter))(cell.image.copy()))
    assert not np.array_equal(first, StainJitter(4)(cell.image))


def test_without_strength_only_the_light_changes(cell):
    """The density relative to the background is that of the image, but for whole levels."""
    redrawn = STILL(cell.image)
    before = _density(cell.image, np.percentile(cell.image, 99, axis=(0, 1)))
    after = _density(redrawn, np.percentile(redrawn, 99, axis=(0, 1)))
    bright = (redrawn > 30).all(axis=2) & (redrawn < 250).all(axis=2)
    # A level at 30 of 200 is a density of 1/30; the new white is rounded and may be clipped.
    assert np.abs(before - after)[bright].max() < 0.1
    assert np.abs(redrawn.astype(int) - cell.image).max() > 5


def test_outlines_stay_where_they_are(cell):
    """The nucleus stays darker than its surroundings in every channel that a dye absorbs."""
    for seed in range(10):
        redrawn = StainJitter(seed)(cell.image).astype(float)
        inside = redrawn[cell.nucleus > 0].mean(axis=0)
        outside = redrawn[cell.cell == 0].mean(axis=0)
        assert (inside[:2] < outside[:2] - 20).all(), seed


def test_laboratories_differ_in_stain_light_and_sharpness(cell):
    redrawn = [StainJitter(seed)(cell.image) for seed in range(20)]
    whites = np.array([np.percentile(one, 99, axis=(0, 1)) for one in redrawn])
    assert (whites.std(axis=0) > 8).all()
    sharpness = [np.abs(np.diff(one.astype(float), axis=0)).mean() for one in redrawn]
    assert max(sharpness) > 1.5 * min(sharpness)
    weak = [replace(STILL, random_state=seed)(cell.image) for seed in range(20)]
    ratio = [_ratio_of_dyes(one, cell) for one in redrawn]
    assert np.std(ratio) > 3 * np.std([_ratio_of_dyes(one, cell) for one in weak])


def _ratio_of_dyes(image, cell):
    density = _density(image, np.percentile(image, 99, axis=(0, 1)))[cell.nucleus > 0].mean(axis=0)
    return density[0] / density[1]


def test_black_stays_black(cell):
    image = np.where((cell.cell > 0)[..., None], np.maximum(cell.image, 1), 0).astype(np.uint8)
    redrawn = StainJitter(1)(image)
    assert not redrawn[cell.cell == 0].any()
    assert redrawn[cell.cell > 0].any(axis=1).all()


def test_jpeg_and_blur_can_be_switched_off(cell):
    blocks = [np.array_equal(STILL(cell.image), replace(STILL, quality=50)(cell.image))]
    blocks += [
        np.array_equal(
            replace(STILL, random_state=seed)(cell.image),
            replace(STILL, random_state=seed, quality=50)(cell.image),
        )
        for seed in range(1, 20)
    ]
    assert 0 < sum(blocks) < len(blocks)  # every second image, about
    assert images.StainJitter is StainJitter
