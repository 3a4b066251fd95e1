"""Oracle: OpenCV's own conversions of 8-bit images, on a nucleus with a bay."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from scipy import spatial

from hemafeat import extract
from hemafeat.extract._kernels.tavakoli import CODES, white_balance
from hemafeat.segment import Masks

NAMES = list(extract.tavakoli.facts.columns)


def horseshoe(seed: int, grey: bool = False) -> tuple[np.ndarray, Masks]:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:60, :64]
    away = np.hypot(rows - 30, columns - 32)
    cell = away < 27
    nucleus = (away < 17) & ~((abs(columns - 32) < 6) & (rows < 33))
    image = np.full((60, 64, 3), 240, np.uint8)
    image[cell] = rng.integers(120, 230, (int(cell.sum()), 3))
    image[nucleus] = rng.integers(20, 170, (int(nucleus.sum()), 3))
    if grey:
        image[:] = image[:, :, :1]
    return image, Masks(cell, nucleus)


def measure(image: np.ndarray, masks: Masks, white=(240.0, 240.0, 240.0)) -> dict[str, float]:
    prepared = extract.Prepared(image, masks, white)
    return dict(zip(NAMES, extract.tavakoli(prepared, masks)[0], strict=True))


def hull_of(mask: np.ndarray) -> np.ndarray:
    points = np.argwhere(mask)
    steps = ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))
    sides = spatial.ConvexHull(np.concatenate([points + step for step in steps])).equations
    pixels = np.argwhere(np.ones_like(mask))
    return (pixels @ sides[:, :2].T + sides[:, 2] <= 1e-9).all(axis=1).reshape(mask.shape)


def test_names_and_number() -> None:
    assert len(NAMES) == 51
    assert NAMES[:3] == ["solidity", "convexity", "circularity_inverse"]
    assert set(NAMES[3:]) == {
        f"{code}_{statistic}_{part}_to_hull"
        for code in CODES
        for statistic in ("mean", "sd")
        for part in ("nucleus", "rest")
    }


@pytest.mark.parametrize("seed", range(3))
def test_ratios_are_those_of_opencv(seed: int) -> None:
    image, masks = horseshoe(seed)
    values = measure(image, masks)
    hull, nucleus = hull_of(masks.nucleus > 0), masks.nucleus > 0
    planes = [
        image if code is None else cv2.cvtColor(image, code)
        for code in (None, cv2.COLOR_RGB2HSV, cv2.COLOR_RGB2LAB, cv2.COLOR_RGB2YCrCb)
    ]
    stack = np.concatenate(planes, axis=2).astype(float)
    assert (hull & ~nucleus).sum() > 100
    for channel, code in enumerate(CODES):
        x = stack[:, :, channel]
        # OpenCV computes its CIELAB tables in single precision, so that a or b of a few pixels in
        # 100,000 differs by 1. All else is equal.
        rel = 1e-4 if code.startswith("lab") else 1e-12
        for part, mask in (("nucleus", nucleus), ("rest", hull & ~nucleus)):
            for name, statistic in (("mean", np.mean), ("sd", np.std)):
                expected = statistic(x[mask]) / statistic(x[hull])
                assert values[f"{code}_{name}_{part}_to_hull"] == pytest.approx(
                    expected, rel=rel
                ), code


def test_shape_of_a_square() -> None:
    image, _ = horseshoe(0)
    cell, nucleus = np.zeros((60, 64), bool), np.zeros((60, 64), bool)
    cell[5:50, 5:50] = nucleus[15:35, 15:35] = True
    values = measure(image, Masks(cell, nucleus))
    row = dict(zip(extract.shape.facts.columns, extract.shape(image, nucleus * 1)[0], strict=True))
    assert values["solidity"] == values["convexity"] == 1
    assert values["circularity_inverse"] == pytest.approx(1 / row["circularity"], rel=1e-12)
    # The hull is the nucleus: nothing is left of it, and still there are 51 columns.
    for name in NAMES[3:]:
        if "_rest_" in name:
            assert math.isnan(values[name]), name
        else:
            assert values[name] == 1, name


def test_hull_ends_at_the_cell() -> None:
    """Pixels of the hull outside the cell change nothing."""
    image, masks = horseshoe(1)
    cell = masks.cell.copy()
    cell[10:20, 30:34] = 0
    cut = Masks(cell, masks.nucleus)
    before = measure(image, cut)
    image[cell == 0] = (3, 250, 100)
    assert measure(image, cut) == before
    assert before != measure(image, masks)


def test_grey_image_has_no_hue() -> None:
    values = measure(*horseshoe(2, grey=True))
    for name in (
        "h_mean_nucleus_to_hull",
        "s_sd_rest_to_hull",
        "lab_a_sd_nucleus_to_hull",
        "cb_sd_rest_to_hull",
    ):
        assert math.isnan(values[name]), name
    assert values["cb_mean_nucleus_to_hull"] == 1


def test_background_becomes_grey() -> None:
    balance = white_balance(np.array([250.0, 225.0, 200.0]))
    np.testing.assert_array_equal(balance[[0, 1, 2], [250, 225, 200]], 225)
    assert balance.max() == 255
    assert (np.diff(balance, axis=1) >= 0).all()


def test_balance_undoes_a_cast() -> None:
    """Halving the blue light changes the ratios by no more than rounding does."""
    image, masks = horseshoe(3)
    yellow = image.copy()
    yellow[:, :, 2] //= 2
    plain, cast = measure(image, masks), measure(yellow, masks, (240.0, 240.0, 120.0))
    for name in NAMES:
        if name.startswith(("b_", "v_", "y_", "lab_l")):
            assert cast[name] == pytest.approx(plain[name], rel=0.02), name
