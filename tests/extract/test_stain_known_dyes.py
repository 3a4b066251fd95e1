"""Stains of cells painted with known amounts of two dyes, and scikit-image's deconvolution."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from skimage import color

from hemafeat import extract
from hemafeat.extract._families.stain import VECTORS
from hemafeat.extract._kernels.stain import eigenvectors, unmixing
from hemafeat.segment import Masks
from reference import naive

NAMES = list(extract.stain.facts.columns)
WHITE = (254.0, 254.0, 254.0)
AZURE = np.array([0.62, 0.74, 0.26])
EOSIN = np.array([0.20, 0.90, 0.39])


def paint(azure: np.ndarray, eosin: np.ndarray, dyes=(AZURE, EOSIN)) -> np.ndarray:
    """Draw the 8-bit image of these amounts of two dyes."""
    unit = [dye / np.linalg.norm(dye) for dye in dyes]
    density = azure[..., None] * unit[0] + eosin[..., None] * unit[1]
    return np.clip(np.rint(255 * 10**-density - 1), 0, 255).astype(np.uint8)


def cell(size: int = 60) -> tuple[np.ndarray, np.ndarray, Masks]:
    """Return amounts of azure and eosin: azure in the nucleus, eosin and some azure around it."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:size, :size]
    distance = np.hypot(rows - size / 2, columns - size / 2) / size
    inside, nucleus = distance < 0.45, distance < 0.25
    azure, eosin = np.zeros((size, size)), np.zeros((size, size))
    azure[nucleus] = rng.uniform(0.5, 0.9, int(nucleus.sum()))
    cytoplasm = inside & ~nucleus
    eosin[cytoplasm] = rng.uniform(0.25, 0.5, int(cytoplasm.sum()))
    azure[cytoplasm & (columns > size / 2)] = 0.1
    return azure, eosin, Masks(inside, nucleus)


def measure(image: np.ndarray, masks: Masks) -> dict[str, float]:
    prepared = extract.Prepared(image, masks, WHITE)
    return dict(zip(NAMES, extract.stain(prepared, masks)[0], strict=True))


def test_finds_the_dyes_of_the_cell() -> None:
    azure, eosin, masks = cell()
    values = measure(paint(azure, eosin), masks)
    for dye, name in ((AZURE, "bluer"), (EOSIN, "redder")):
        expected = dye / np.linalg.norm(dye)
        vector = [values[f"macenko_{name}_{c}"] for c in "rgb"]
        # Levels are integers, and half a level is 0.004 OD at level 60.
        np.testing.assert_allclose(vector, expected, atol=0.01)
        assert np.linalg.norm(vector) == pytest.approx(1, rel=1e-12)
    cosine = AZURE @ EOSIN / np.linalg.norm(AZURE) / np.linalg.norm(EOSIN)
    assert values["macenko_angle"] == pytest.approx(math.degrees(math.acos(cosine)), abs=1)
    for part, inside in (("nucleus", masks.nucleus > 0), ("cytoplasm", masks.cytoplasm > 0)):
        for name, amount in (("bluer", azure), ("redder", eosin)):
            mean, sd = amount[inside].mean(), amount[inside].std()
            assert values[f"{part}__macenko_{name}_mean"] == pytest.approx(mean, abs=0.015)
            assert values[f"{part}__macenko_{name}_sd"] == pytest.approx(sd, abs=0.01)
        assert values[f"{part}__macenko_residual_mean"] == pytest.approx(0, abs=0.003)
    share = eosin[masks.cytoplasm > 0].sum() / (azure + eosin)[masks.cytoplasm > 0].sum()
    assert values["cytoplasm__macenko_redder_share"] == pytest.approx(share, abs=0.02)


def test_amounts_of_the_known_dyes() -> None:
    azure, eosin, masks = cell()
    values = measure(paint(azure, eosin, VECTORS), masks)
    for part, inside in (("nucleus", masks.nucleus > 0), ("cytoplasm", masks.cytoplasm > 0)):
        for name, amount in (("azure", azure), ("eosin", eosin)):
            # Half a level of 255 in the mean of many pixels.
            assert values[f"{part}__{name}_mean"] == pytest.approx(amount[inside].mean(), abs=2e-3)
            assert values[f"{part}__{name}_sd"] == pytest.approx(amount[inside].std(), abs=2e-3)
    share = eosin[masks.cytoplasm > 0].sum() / (azure + eosin)[masks.cytoplasm > 0].sum()
    assert values["cytoplasm__eosin_share"] == pytest.approx(share, abs=5e-3)


def test_agrees_with_scikit_image() -> None:
    azure, eosin, masks = cell()
    image = paint(azure + 0.05, eosin + 0.05, VECTORS)
    values = measure(image, masks)
    light = (image + 1.0) / 255
    # scikit-image uses logarithms to base 1e-6 and vectors that are not exactly of unit length.
    amount = (
        6
        * color.separate_stains(light, color.bex_from_rgb)
        * np.linalg.norm(color.rgb_from_bex, axis=1)
    )
    for part, inside in (("nucleus", masks.nucleus > 0), ("cytoplasm", masks.cytoplasm > 0)):
        for index, name in enumerate(("azure", "eosin")):
            x = amount[inside, index]
            assert x.min() > 0  # scikit-image clips negative amounts
            assert values[f"{part}__{name}_mean"] == pytest.approx(x.mean(), rel=1e-6)
            assert values[f"{part}__{name}_sd"] == pytest.approx(x.std(), rel=1e-6)


def test_skewness_of_u_is_that_of_scikit_image() -> None:
    azure, eosin, masks = cell()
    image = paint(azure, eosin)
    u = color.rgb2luv(image)[..., 1][masks.cytoplasm > 0]
    # The white of scikit-image has fewer digits, which shifts u* but hardly its skewness.
    assert measure(image, masks)["cytoplasm__u_skewness"] == pytest.approx(stats.skew(u), rel=1e-3)


def test_one_dye_has_no_second_direction() -> None:
    azure, _, masks = cell()
    image = paint(azure + 0.4 * (masks.cytoplasm > 0), np.zeros_like(azure), (np.ones(3), EOSIN))
    values = measure(image, masks)
    assert math.isnan(values["macenko_angle"]) or values["macenko_angle"] < 1
    assert math.isnan(values["nucleus__macenko_bluer_mean"])
    assert math.isnan(values["cytoplasm__macenko_redder_share"])
    assert math.isfinite(values["nucleus__azure_mean"])


def test_pale_cell_has_no_dyes() -> None:
    _, _, masks = cell()
    values = measure(np.full((60, 60, 3), 250, np.uint8), masks)
    for name in NAMES:
        if "macenko" in name:
            assert math.isnan(values[name]), name
    assert values["nucleus__azure_sd"] == 0
    assert math.isnan(values["cytoplasm__u_skewness"])


def test_no_nucleus() -> None:
    azure, eosin, masks = cell()
    values = measure(paint(azure, eosin), Masks(masks.cell, np.zeros_like(masks.cell)))
    for name in NAMES:
        assert math.isnan(values[name]) == name.startswith("nucleus"), name


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("turn", [np.rot90, np.transpose, np.flipud], ids=["rot90", "T", "flip"])
def test_large_cells_do_not_depend_on_place(turn) -> None:
    """All pixels count, in whatever order."""
    azure, eosin, masks = cell(190)
    image = paint(azure, eosin)
    assert (masks.cytoplasm > 0).sum() > 8192
    prepared = extract.Prepared(image, masks, WHITE)
    values = extract.stain(prepared, masks)
    expected = naive.stain(image, masks.cell, masks.nucleus, 1, WHITE)
    np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-9)
    turned = Masks(turn(masks.cell), turn(masks.nucleus))
    turned_image = np.stack([turn(image[:, :, c]) for c in range(3)], axis=2)
    again = extract.stain(extract.Prepared(turned_image, turned, WHITE), turned)
    # Sums over some ten thousand pixels in another order.
    np.testing.assert_allclose(again, values, rtol=1e-9, atol=1e-9)


def test_unmixing_inverts() -> None:
    first, second = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    third = np.cross(first, second)
    stains = np.array([first, second, third / np.linalg.norm(third)])
    np.testing.assert_allclose(unmixing(first, second).T @ stains, np.eye(3), atol=1e-14)


@pytest.mark.parametrize("seed", range(5))
def test_eigenvectors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(20, 3)) * (3, 1, 0.01)
    matrix = x.T @ x
    values, vectors = eigenvectors(matrix)
    np.testing.assert_allclose(np.sort(values), np.linalg.eigvalsh(matrix), rtol=1e-9)
    np.testing.assert_allclose(matrix @ vectors, vectors * values, atol=1e-11)
