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


def painted(azure: np.ndarray, eosin: np.ndarray, dyes=(AZURE, EOSIN)) -> np.ndarray:
    """The 8-bit image of these amounts of the two dyes."""
    unit = [dye / np.linalg.norm(dye) for dye in dyes]
    density = azure[..., None] * unit[0] + eosin[..., None] * unit[1]
    return np.clip(np.rint(255 * 10**-density - 1), 0, 255).astype(np.uint8)


def cell(size: int = 60) -> tuple[np.ndarray, np.ndarray, Masks]:
    """Amounts: a nucleus of nothing but azure, a cytoplasm of eosin with a little azure in half."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:size, :size]
    away = np.hypot(rows - size / 2, columns - size / 2) / size
    inside, nucleus = away < 0.45, away < 0.25
    azure, eosin = np.zeros((size, size)), np.zeros((size, size))
    azure[nucleus] = rng.uniform(0.5, 0.9, int(nucleus.sum()))
    around = inside & ~nucleus
    eosin[around] = rng.uniform(0.25, 0.5, int(around.sum()))
    azure[around & (columns > size / 2)] = 0.1
    return azure, eosin, Masks(inside, nucleus)


def measured(image: np.ndarray, masks: Masks) -> dict[str, float]:
    ready = extract.Prepared(image, masks, WHITE)
    return dict(zip(NAMES, extract.stain(ready, masks)[0], strict=True))


def test_finds_the_dyes_of_the_cell() -> None:
    azure, eosin, masks = cell()
    found = measured(painted(azure, eosin), masks)
    for dye, name in ((AZURE, "azure"), (EOSIN, "eosin")):
        right = dye / np.linalg.norm(dye)
        vector = [found[f"macenko_{name}_{c}"] for c in "rgb"]
        # Levels are whole numbers: at 60 and 0.4 OD half a level is 0.004 OD.
        np.testing.assert_allclose(vector, right, atol=0.01)
        assert np.linalg.norm(vector) == pytest.approx(1, rel=1e-12)
    cosine = AZURE @ EOSIN / np.linalg.norm(AZURE) / np.linalg.norm(EOSIN)
    assert found["macenko_angle"] == pytest.approx(math.degrees(math.acos(cosine)), abs=1)
    for part, inside in (("nucleus", masks.nucleus > 0), ("cytoplasm", masks.cytoplasm > 0)):
        for name, amount in (("azure", azure), ("eosin", eosin)):
            mean, sd = amount[inside].mean(), amount[inside].std()
            assert found[f"{part}_macenko_{name}_mean"] == pytest.approx(mean, abs=0.015)
            assert found[f"{part}_macenko_{name}_sd"] == pytest.approx(sd, abs=0.01)
        assert found[f"{part}_macenko_residual_mean"] == pytest.approx(0, abs=0.003)
    share = eosin[masks.cytoplasm > 0].sum() / (azure + eosin)[masks.cytoplasm > 0].sum()
    assert found["macenko_eosinophilia"] == pytest.approx(share, abs=0.02)


def test_amounts_of_the_known_dyes() -> None:
    azure, eosin, masks = cell()
    found = measured(painted(azure, eosin, VECTORS), masks)
    for part, inside in (("nucleus", masks.nucleus > 0), ("cytoplasm", masks.cytoplasm > 0)):
        for name, amount in (("azure", azure), ("eosin", eosin)):
            # Half a level of 255 in the mean of many pixels.
            assert found[f"{part}_{name}_mean"] == pytest.approx(amount[inside].mean(), abs=2e-3)
            assert found[f"{part}_{name}_sd"] == pytest.approx(amount[inside].std(), abs=2e-3)
    share = eosin[masks.cytoplasm > 0].sum() / (azure + eosin)[masks.cytoplasm > 0].sum()
    assert found["eosinophilia"] == pytest.approx(share, abs=5e-3)


def test_agrees_with_scikit_image() -> None:
    azure, eosin, masks = cell()
    image = painted(azure + 0.05, eosin + 0.05, VECTORS)
    found = measured(image, masks)
    light = (image + 1.0) / 255
    # It takes the logarithm to the base 1e-6, and its vectors are not quite of unit length.
    amount = (
        6
        * color.separate_stains(light, color.bex_from_rgb)
        * np.linalg.norm(color.rgb_from_bex, axis=1)
    )
    for part, inside in (("nucleus", masks.nucleus > 0), ("cytoplasm", masks.cytoplasm > 0)):
        for place, name in enumerate(("azure", "eosin")):
            x = amount[inside, place]
            assert x.min() > 0  # below, scikit-image cuts off
            assert found[f"{part}_{name}_mean"] == pytest.approx(x.mean(), rel=1e-6)
            assert found[f"{part}_{name}_sd"] == pytest.approx(x.std(), rel=1e-6)


def test_skewness_of_u_is_that_of_scikit_image() -> None:
    azure, eosin, masks = cell()
    image = painted(azure, eosin)
    u = color.rgb2luv(image)[..., 1][masks.cytoplasm > 0]
    # Its white is known to fewer digits, which moves every u* and hardly their skewness.
    assert measured(image, masks)["cytoplasm_u_skewness"] == pytest.approx(stats.skew(u), rel=1e-3)


def test_one_dye_has_no_second_direction() -> None:
    azure, _, masks = cell()
    one = painted(azure + 0.4 * (masks.cytoplasm > 0), np.zeros_like(azure), (np.ones(3), EOSIN))
    found = measured(one, masks)
    assert math.isnan(found["macenko_angle"]) or found["macenko_angle"] < 1
    assert math.isnan(found["nucleus_macenko_azure_mean"])
    assert math.isnan(found["macenko_eosinophilia"])
    assert math.isfinite(found["nucleus_azure_mean"])


def test_pale_cell_has_no_dyes() -> None:
    _, _, masks = cell()
    found = measured(np.full((60, 60, 3), 250, np.uint8), masks)
    for name in NAMES:
        if "macenko" in name:
            assert math.isnan(found[name]), name
    assert found["nucleus_azure_sd"] == 0
    assert math.isnan(found["cytoplasm_u_skewness"])


def test_no_nucleus() -> None:
    azure, eosin, masks = cell()
    found = measured(painted(azure, eosin), Masks(masks.cell, np.zeros_like(masks.cell)))
    for name in NAMES:
        assert math.isnan(found[name]) == name.startswith("nucleus"), name


@pytest.mark.slow_without_jit
def test_large_cells_are_sampled() -> None:
    azure, eosin, masks = cell(190)
    image = painted(azure, eosin)
    assert (masks.cytoplasm > 0).sum() > 2 * 4096
    ready = extract.Prepared(image, masks, WHITE)
    found = extract.stain(ready, masks)
    right = naive.stain(image, masks.cell, masks.nucleus, 1, WHITE)
    np.testing.assert_allclose(found, right, rtol=1e-9, atol=1e-9)
    turned = Masks(np.rot90(masks.cell), np.rot90(masks.nucleus))
    other = measured(np.rot90(image).copy(), turned)
    for name, value in zip(NAMES, found[0], strict=True):
        if name.endswith("_mean") and "macenko" not in name:
            assert other[name] == pytest.approx(value, rel=1e-12, abs=1e-12)
        elif not name.endswith("skewness"):
            # Another sample of 4,000 pixels.
            assert other[name] == pytest.approx(value, rel=0.05, abs=0.02), name


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
