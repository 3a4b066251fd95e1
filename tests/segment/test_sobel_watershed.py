"""The segmenter of a report: its steps, its error, and its contract."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy import ndimage

from hemafeat import segment, testing


def picture(*discs, side=100):
    """Draw dark discs (row, column, radius) on a light background."""
    rows, columns = np.mgrid[:side, :side]
    inside = np.zeros((side, side), bool)
    for row, column, radius in discs:
        inside |= (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    return np.where(inside[..., None], np.uint8(110), np.uint8(230)).repeat(3, axis=2), inside


def test_a_disc_with_a_light_and_a_dark_spot_is_filled():
    image, disc = picture((50, 50, 25))
    cv2.circle(image, (50, 40), 4, (220, 220, 220), -1)  # a hole
    cv2.circle(image, (50, 60), 6, (20, 20, 20), -1)  # a nucleus below the lower level
    masks = segment.sobel_watershed(image)
    assert masks.n_cells == 1
    assert not masks.nucleus.any()
    assert segment.dice(masks.cell, disc) > 0.97


def test_a_cell_is_cut_off_only_without_the_error():
    image, _ = picture((50, 50, 22), (50, 87, 14))  # they touch in a narrow neck
    cut = segment.sobel_watershed(image).cell > 0
    grown = segment.sobel_watershed(image, inverted=True).cell > 0
    alone, disc = picture((50, 50, 22))
    assert segment.dice(cut, disc) > 0.95
    assert not cut[:, 80:].any()
    assert grown[50, 87]
    # Two dilations by a square of 9 x 9 are one by 17 x 17 of everything that hangs together.
    both = ndimage.binary_fill_holes(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) < 196)
    expected = cv2.dilate(both.astype(np.uint8), np.ones((17, 17), np.uint8)) > 0
    assert segment.dice(grown, expected) > 0.97
    plain = segment.sobel_watershed(alone).cell > 0
    wide = segment.sobel_watershed(alone, inverted=True).cell > 0
    assert 16 <= np.ptp(np.nonzero(wide)[0]) - np.ptp(np.nonzero(plain)[0]) <= 20


def test_an_empty_middle_is_no_cell():
    image, _ = picture((20, 20, 12))
    for inverted in (False, True):
        assert segment.sobel_watershed(image, inverted=inverted).n_cells == 0


def test_red_and_blue_are_exchanged_as_in_the_report():
    """0.114 R + 0.587 G + 0.299 B: of two discs, the yellow one is dark enough, not the blue."""
    image, _ = picture((50, 50, 25))
    for colour, found in (((230, 230, 90), 1), ((90, 230, 230), 0)):
        image[image[..., 0] == 110] = colour
        assert segment.sobel_watershed(image).n_cells == found
        image[(image == colour).all(axis=2)] = 110


@pytest.mark.parametrize("name", ["sobel_watershed", "sobel_watershed:inverted"])
def test_it_is_registered_and_keeps_the_contract(name):
    testing.check_segmenter(name)
    image, _ = picture((50, 50, 25))
    masks = segment.segmenter(name)(image)
    again = segment.sobel_watershed(image, inverted=name.endswith("inverted"))
    np.testing.assert_array_equal(masks.cell, again.cell)


def test_other_arrays_are_refused():
    with pytest.raises(ValueError, match="uint8"):
        segment.sobel_watershed(np.zeros((5, 5, 3)))
    with pytest.raises(segment.SegmenterError, match="sobel_watershed"):
        segment.segmenter("sobel_watersheds")
