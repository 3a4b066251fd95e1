"""Invariants of the texture families: translation, rotation, flat and thin masks."""

from __future__ import annotations

import numpy as np
import pytest

from hemafeat import extract
from hemafeat.extract._families import dct as _dct
from hemafeat.segment import Masks

MATRICES = ("glcm", "glrlm", "glszm", "gldm", "ngtdm")
FAMILIES = {name: extract.families()[name] for name in (*MATRICES, "lbp", "dct", "dct_zigzag")}
WHITE = (240.0, 236.0, 228.0)

# Values of a cell of one level, whatever its shape.
FLAT = {
    "glrlm": {"grey_level_variance": 0, "normalised_grey_level_non_uniformity": 1},
    "glszm": {
        "grey_level_variance": 0,
        "normalised_grey_level_non_uniformity": 1,
        "normalised_zone_size_non_uniformity": 1,
        "zone_size_variance": 0,
        "zone_size_entropy": 0,
    },
    "gldm": {"grey_level_variance": 0, "normalised_grey_level_non_uniformity": 1},
    "ngtdm": {
        "coarseness": np.nan,
        "contrast": np.nan,
        "busyness": np.nan,
        "complexity": 0,
        "strength": np.nan,
    },
}

TURNS = {
    "quarter turn": lambda a: np.rot90(a),
    "half turn": lambda a: np.rot90(a, 2),
    "left to right": lambda a: a[:, ::-1],
    "top to bottom": lambda a: a[::-1],
}


def scene(shape: tuple[int, int] = (46, 52)) -> tuple[np.ndarray, np.ndarray]:
    """Draw a grainy ellipse of odd size with a bay, on a bright background."""
    rng = np.random.default_rng(11)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    inside = ((rows - 22) / 18) ** 2 + ((columns - 25) / 21) ** 2 < 1
    inside &= np.hypot(rows - 5, columns - 30) > 7
    image = rng.integers(200, 256, (*shape, 3))
    wave = 25 * np.sin(rows / 3)[:, :, None] + rng.integers(-30, 31, (*shape, 3))
    image[inside] = (np.array([130, 90, 150]) + wave)[inside]
    return image.astype(np.uint8), inside.astype(np.int32)


def measure(name: str, image: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    image = np.ascontiguousarray(image)
    labels = np.ascontiguousarray(labels)
    values = FAMILIES[name](extract.Prepared(image, white=WHITE), labels)
    assert values.shape == (1, len(FAMILIES[name].facts.columns))
    return dict(zip(FAMILIES[name].facts.columns, values[0], strict=True))


@pytest.mark.parametrize("name", FAMILIES)
def test_translation_changes_no_bit(name: str) -> None:
    image, labels = scene()
    expected = measure(name, image, labels)
    for top, left in ((13, 5), (7, 211), (64, 1)):
        moved = np.pad(image, ((top, 3), (left, 4), (0, 0)), mode="edge")
        values = measure(name, moved, np.pad(labels, ((top, 3), (left, 4))))
        assert values == expected


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("name", MATRICES)
def test_matrices_are_the_same_turned(name: str, turn: str) -> None:
    """Angles are added in an order that makes rotation invariance exact to the last bit."""
    image, labels = scene()
    values = measure(name, TURNS[turn](image), TURNS[turn](labels))
    assert values == measure(name, image, labels)


@pytest.mark.parametrize("turn", TURNS)
def test_rotation_invariant_patterns_are_the_same_turned(turn: str) -> None:
    """Shares of riu2 are the same to the last bit, while u2 codes are permuted."""
    image, labels = scene()
    expected = measure("lbp", image, labels)
    values = measure("lbp", TURNS[turn](image), TURNS[turn](labels))
    assert any(values[name] != expected[name] for name in values if name.startswith("u2_"))
    for name, value in expected.items():
        if not name.startswith("u2_"):
            assert values[name] == value, name
    for ones in range(1, 8):
        codes = [f"u2_{1 + 8 * (ones - 1) + k:02d}" for k in range(8)]
        assert sorted(values[c] for c in codes) == sorted(expected[c] for c in codes)


@pytest.mark.parametrize("turn", TURNS)
def test_spectrum_is_the_same_turned(turn: str) -> None:
    """The box is a whole number of blocks plus an even remainder, here 34 x 40 pixels."""
    image, labels = scene()
    labels[39] = labels[:, 45] = 0
    rows, columns = np.nonzero(labels)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (34, 40)
    expected, values = {}, {}
    for name in ("dct", "dct_zigzag"):
        expected |= measure(name, image, labels)
        values |= measure(name, TURNS[turn](image), TURNS[turn](labels))
    order = [tuple(int(i) for i in position) for position in _dct._ZIGZAG]
    for name, value in expected.items():
        stem, _, number = name.rpartition("_")
        if stem in ("whole", "block") and number.isdigit() and turn == "quarter turn":
            # Rows become columns: coefficient (u, v) is now (v, u).
            row, column = order[int(number) - 1]
            swapped = order.index((column, row)) + 1 if (column, row) in order else 99
            name = f"{stem}_{swapped:0{len(number)}d}"
            if name not in values:
                continue
        # Sums of 4096 products in another order.
        assert values[name] == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("name", FAMILIES)
def test_flat_cell(name: str) -> None:
    image, labels = scene()
    image[labels == 1] = (120, 77, 140)
    values = measure(name, image, labels)
    for column, value in values.items():
        stem = column.rsplit("_d", 1)[0]
        if name == "glcm":
            expected = {
                "joint_entropy": 0,
                "contrast": 0,
                "angular_second_moment": 1,
                "correlation": np.nan,
                "information_correlation_1": np.nan,
                "inverse_difference_moment": 1,
            }
            if stem in expected:
                assert value == expected[stem] or np.isnan(value) == np.isnan(expected[stem])
        elif name in FLAT:
            np.testing.assert_equal(value, FLAT[name].get(column, value))
            assert np.isfinite(value) or name == "ngtdm", column
        elif column.startswith("entropy"):
            assert value == 0
        elif column in ("u2_57", "riu2_p8_8", "riu2_p16_16", "riu2_p24_24", "uniform_share_p24"):
            assert value == 1, column


@pytest.mark.parametrize("name", FAMILIES)
def test_histograms_and_shares_sum_to_one(name: str) -> None:
    values = measure(name, *scene())
    for stem in ("u2_", "riu2_p8_", "riu2_p16_", "riu2_p24_", "band_energy_"):
        shares = [value for column, value in values.items() if column.startswith(stem)]
        if shares:
            # Up to 59 shares, each rounded once.
            assert sum(shares) == pytest.approx(1, abs=1e-14)
            assert min(shares) >= 0
    assert not np.isnan(list(values.values())).any()


def test_correlation_ignores_brightness_and_contrast() -> None:
    levels = np.random.default_rng(3).integers(0, 9, (20, 30))
    levels = np.maximum(levels, np.roll(levels, 1, axis=1))
    plain = extract.glcm_statistics(extract.glcm_matrix(levels, n_levels=32))
    mapped = extract.glcm_statistics(extract.glcm_matrix(3 * levels + 5, n_levels=32))
    for name in ("correlation", "information_correlation_1", "information_correlation_2"):
        np.testing.assert_allclose(mapped[name], plain[name], rtol=1e-12)
    np.testing.assert_allclose(mapped["contrast"], 9 * plain["contrast"], rtol=1e-12)


def patchy_levels() -> np.ndarray:
    """Draw levels 0..8 in patches of a few pixels."""
    levels = np.random.default_rng(3).integers(0, 9, (20, 30))
    return np.maximum(levels, np.roll(levels, 1, axis=1))


COUNTED = {
    "glrlm": lambda levels: extract.glrlm_statistics(extract.glrlm_matrix(levels, n_levels=32)),
    "glszm": lambda levels: extract.glszm_statistics(*extract.glszm_matrix(levels, n_levels=32)),
    "gldm": lambda levels: extract.gldm_statistics(extract.gldm_matrix(levels, n_levels=32)),
}


@pytest.mark.parametrize("name", COUNTED)
def test_counts_follow_an_affine_map_of_levels(name: str) -> None:
    """Extents do not change, and the variance of levels grows with the square of the factor."""
    plain = COUNTED[name](patchy_levels())
    mapped = COUNTED[name](3 * patchy_levels() + 5)
    for statistic, values in plain.items():
        if statistic == "grey_level_variance":
            np.testing.assert_allclose(mapped[statistic], 9 * values, rtol=1e-12)
        elif "low_grey_level" in statistic or "high_grey_level" in statistic:
            assert (mapped[statistic] != values).all()
        else:
            # The same integers, added up with more zeros between them.
            np.testing.assert_allclose(mapped[statistic], values, rtol=1e-14, err_msg=statistic)


def test_tone_differences_follow_an_affine_map_of_levels() -> None:
    levels = patchy_levels()
    plain = extract.ngtdm_statistics(extract.ngtdm_matrix(levels, n_levels=32))
    mapped = extract.ngtdm_statistics(extract.ngtdm_matrix(3 * levels + 5, n_levels=32))
    # Powers of the factor: differences s have the first power, (i - j)^2 the second.
    powers = {"coarseness": -1, "contrast": 3, "complexity": 2, "strength": 1}
    for name, power in powers.items():
        np.testing.assert_allclose(mapped[name], 3.0**power * plain[name], rtol=1e-12)


def test_thin_masks() -> None:
    """Values that a thin mask allows are computed; the others are NaN."""
    image, labels = scene()
    line = np.zeros_like(labels)
    line[20, 10:30] = 1
    values = measure("glcm", image, line)
    assert values["contrast_d1"] > 0  # from horizontal pairs only
    assert values["contrast_range_d1"] == 0
    assert np.isnan(list(measure("lbp", image, line).values())).all()
    assert measure("glrlm", image, line)["run_percentage"] > 0.75  # vertical runs have length 1
    assert measure("ngtdm", image, line)["complexity"] > 0
    dot = np.zeros_like(labels)
    dot[20, 10] = 1
    assert measure("glszm", image, dot)["zone_percentage"] == 1
    assert measure("gldm", image, dot)["high_dependence_emphasis"] == 1
    assert np.isnan(list(measure("ngtdm", image, dot).values())).all()
    square = np.zeros_like(labels)
    square[20:25, 20:25] = 1
    values = measure("lbp", image, square)
    assert sum(values[f"u2_{k:02d}"] for k in range(59)) == pytest.approx(1)
    assert values["riu2_p16_17"] in (0, 1)  # a single pixel is deep enough
    assert np.isnan(values["riu2_p24_25"])


def test_nucleus_without_its_cell() -> None:
    """Patterns are shared within a cell, and computed for a nucleus that has no cell."""
    image, labels = scene()
    masks = Masks(np.zeros_like(labels), labels)
    prepared = extract.Prepared(image, masks)
    assert np.isnan(extract.lbp(prepared, masks.cell, 1)).all()
    np.testing.assert_array_equal(
        extract.lbp(prepared, masks.nucleus, 1), extract.lbp(image, labels)
    )


def test_patterns_of_a_part_do_not_need_the_whole() -> None:
    """Patterns shared between masks are those of each mask alone."""
    image, labels = scene()
    inner = labels * (np.hypot(*(np.mgrid[:46, :52] - np.array([22, 25])[:, None, None])) < 9)
    masks = Masks(labels, inner)
    prepared = extract.Prepared(image, masks)
    for mask in (masks.nucleus, masks.cytoplasm, masks.cell):
        np.testing.assert_array_equal(extract.lbp(prepared, mask, 1), extract.lbp(image, mask, 1))
