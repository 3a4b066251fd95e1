"""Oracle: first-order values of the IBSI-1 digital phantom, and of distributions known exactly.

The values are those of Zwanenburg et al., Radiology 295:328 (2020), arXiv:1612.07003, published to
3 significant figures. Ours are rounded to 3 and must then be equal.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hemafeat import extract
from hemafeat.extract._kernels.intensity import first_order
from reference.ibsi_phantom import INSIDE, SLICES

REFERENCE = {
    "mean": 2.15,
    "variance": 3.05,
    "skewness": 1.08,
    "kurtosis": -0.355,
    "median": 1.0,
    "minimum": 1.0,
    "percentile_10": 1.0,
    "percentile_90": 4.0,
    "maximum": 6.0,
    "interquartile_range": 3.0,
    "range": 5.0,
    "mean_absolute_deviation": 1.55,
    "robust_mean_absolute_deviation": 1.11,
    "median_absolute_deviation": 1.15,
    "coefficient_of_variation": 0.812,
    "quartile_coefficient_of_dispersion": 0.6,
    "energy": 567.0,
    "root_mean_square": 2.77,
    # Values of the intensity histogram, with the grey levels as its levels.
    "entropy": 1.27,
    "uniformity": 0.512,
}

COLUMNS = list(extract.intensity.facts.columns)
NAMES = [name.removesuffix("__od_g") for name in COLUMNS if name.endswith("__od_g")]


def statistics_of(x: np.ndarray) -> dict[str, float]:
    """Compute the statistics of integers, each of which is a level."""
    levels = np.arange(x.max() + 1)
    counts = np.bincount(x, minlength=levels.size)
    channel = levels[None].astype(float)
    row = first_order(channel, counts[None, None], float(levels.size), levels.size)[0, 0]
    assert row[-1] == pytest.approx(x.sum(), rel=1e-12)
    return dict(zip(NAMES, row[:-1], strict=True))


@pytest.mark.parametrize("name", REFERENCE)
def test_phantom(name: str) -> None:
    value = statistics_of(SLICES[INSIDE == 1])[name]
    assert float(f"{value:.3g}") == REFERENCE[name]


def test_every_column_has_a_reference_value() -> None:
    # The standard deviation is the root of a variance that has one.
    assert set(NAMES) == {*REFERENCE, "sd"}


@pytest.mark.parametrize("seed", range(5))
def test_percentiles_are_numpys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.poisson(rng.uniform(0.5, 40), rng.integers(1, 60))
    values = statistics_of(x)
    p10, p25, p50, p75, p90 = np.percentile(x, [10, 25, 50, 75, 90])
    # The same interpolation between the same two values, up to rounding.
    assert values["percentile_10"] == pytest.approx(p10, rel=1e-12, abs=1e-12)
    assert values["median"] == pytest.approx(p50, rel=1e-12, abs=1e-12)
    assert values["percentile_90"] == pytest.approx(p90, rel=1e-12, abs=1e-12)
    assert values["interquartile_range"] == pytest.approx(p75 - p25, rel=1e-12, abs=1e-12)


def test_moments_are_scipys() -> None:
    x = np.random.default_rng(0).poisson(9, 500)
    values = statistics_of(x)
    # Population moments, summed in another order.
    assert values["skewness"] == pytest.approx(stats.skew(x), rel=1e-12)
    assert values["kurtosis"] == pytest.approx(stats.kurtosis(x), rel=1e-12)


def test_flat_region() -> None:
    values = statistics_of(np.full(40, 7))
    assert (values["variance"], values["entropy"], values["uniformity"]) == (0, 0, 1)
    assert (values["mean"], values["root_mean_square"], values["range"]) == (7, 7, 0)
    assert math.isnan(values["skewness"])
    assert math.isnan(values["kurtosis"])


def test_two_equal_halves() -> None:
    values = statistics_of(np.array([2, 10] * 50))
    assert (values["entropy"], values["uniformity"], values["mean"]) == (1, 0.5, 6)
    assert (values["sd"], values["skewness"], values["kurtosis"]) == (4, 0, -2)


def test_levels_have_fixed_width_in_every_image() -> None:
    """A cell with a wider range of values must not change the levels of another cell."""
    rng = np.random.default_rng(0)
    image = np.full((40, 40, 3), 250, np.uint8)
    labels = np.zeros((40, 40), np.int32)
    labels[5:15, 5:15] = 1
    image[5:15, 5:15] = rng.integers(100, 140, (10, 10, 3))
    before = extract.intensity(image, labels)
    image[20:35, 20:35] = rng.integers(0, 255, (15, 15, 3))
    labels[20:35, 20:35] = 2
    after = extract.intensity(extract.Prepared(image, white=(250, 250, 250)), labels)
    np.testing.assert_array_equal(before[0], after[0])
    # 32 levels over 1.5 OD: one level is 0.047 OD, so entropy cannot exceed log2 of the levels
    # spanned.
    row = dict(zip(COLUMNS, before[0], strict=True))
    spanned = (
        math.floor(row["maximum__od_g"] / 1.5 * 32)
        - math.floor(row["minimum__od_g"] / 1.5 * 32)
        + 1
    )
    assert 0 < row["entropy__od_g"] <= math.log2(spanned)
