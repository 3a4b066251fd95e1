"""Oracle: cosine transform of SciPy, and spectra known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft

from hemafeat import extract
from hemafeat.extract._families import dct as family
from hemafeat.extract._kernels import dct as kernel
from reference import naive_texture

FAMILIES = (extract.dct, extract.dct_zigzag)


def measure(grey: np.ndarray, labels: np.ndarray | None = None) -> dict[str, float]:
    grey = np.asarray(grey, dtype=np.uint8)
    labels = np.ones(grey.shape, np.int32) if labels is None else labels
    image = np.repeat(grey[:, :, None], 3, axis=2)
    values = {}
    for function in FAMILIES:
        values |= dict(zip(function.facts.columns, function(image, labels)[0], strict=True))
    return values


def cosine(u: int, v: int, size: int = 64, contrast: float = 100) -> np.ndarray:
    """Draw one basis function of the transform in 8 bits."""
    y, x = np.mgrid[:size, :size] + 0.5
    return np.rint(128 + contrast * np.cos(np.pi * u * y / size) * np.cos(np.pi * v * x / size))


def test_whole_spectrum_is_scipys() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (64, 64))
    expected = scipy.fft.dctn(grey.astype(float), norm="ortho")
    values = measure(grey)
    order = naive_texture.zigzag(64, 64)
    for k, position in enumerate(order, start=1):
        # The same orthonormal transform by another algorithm: a few roundings of 1e4.
        assert values[f"whole_{k:02d}"] == pytest.approx(
            np.log10(1 + abs(expected[position])), rel=1e-10
        )
    assert order[:9] == [(0, 1), (1, 0), (2, 0), (1, 1), (0, 2), (0, 3), (1, 2), (2, 1), (3, 0)]
    assert [tuple(position) for position in family._ZIGZAG] == order


def test_blocks_are_scipys() -> None:
    grey = np.random.default_rng(1).integers(0, 256, (32, 24))
    blocks = grey.reshape(4, 8, 3, 8).swapaxes(1, 2).reshape(-1, 8, 8).astype(float)
    expected = scipy.fft.dctn(blocks, axes=(1, 2), norm="ortho")
    values = measure(grey)
    for k, (u, v) in enumerate(naive_texture.zigzag(8, 9), start=1):
        assert values[f"block_{k}"] == pytest.approx(
            np.log10(1 + abs(expected[:, u, v])).mean(), rel=1e-10
        )
    assert values["block_low"] + values["block_mid"] + values["block_high"] == pytest.approx(1)


def test_parseval() -> None:
    """An orthonormal transform keeps the energy of the resampled box."""
    rng = np.random.default_rng(2)
    grey = rng.integers(0, 256, (83, 47)).astype(np.uint8)
    rows, columns = np.mgrid[:83, :47]
    labels = (((rows - 40) / 38) ** 2 + ((columns - 22) / 20) ** 2 < 1).astype(np.int32)
    prepared = extract.prepare(np.repeat(grey[:, :, None], 3, axis=2))
    regions = prepared.regions(labels, 1)
    box = kernel.resample(grey, regions.run_starts, regions.runs, regions.boxes, 64)[0].T
    expected = naive_texture.resampled_box(grey.astype(int), labels == 1)
    # Averages of at most a few hundred grey levels.
    np.testing.assert_allclose(box, expected, atol=1e-11)
    spectrum = scipy.fft.dctn(box, norm="ortho")
    assert (spectrum**2).sum() == pytest.approx((box**2).sum(), rel=1e-12)
    assert spectrum[0, 0] == pytest.approx(0, abs=1e-9)  # the mean was subtracted
    values = measure(grey, labels)
    shares = [values[f"band_energy_{b}"] for b in range(1, 9)]
    assert sum(shares) == pytest.approx(1, rel=1e-12)
    radius = np.hypot(*np.mgrid[:64, :64])
    first = (spectrum**2)[(radius > 0) & (radius < 64 ** (1 / 8))].sum() / (box**2).sum()
    assert shares[0] == pytest.approx(first, rel=1e-10)


@pytest.mark.parametrize(
    ("u", "v", "band"), [(0, 1, 1), (1, 1, 1), (2, 2, 3), (3, 0, 3), (0, 8, 5), (20, 12, 7)]
)
def test_one_cosine_lies_in_one_band(u: int, v: int, band: int) -> None:
    """A ring begins at 64^((b - 1) / 8): 1, 1.68, 2.83, 4.76, 8, 13.5, 22.6, 38.1."""
    values = measure(cosine(u, v))
    # Rounding to 8 bits is noise of variance 1/12 against 100^2 / 4.
    assert values[f"band_energy_{band}"] == pytest.approx(1, abs=1e-3)
    assert values["spectral_centroid"] == pytest.approx(np.hypot(u, v), abs=0.05)


def test_a_resampled_cosine_stays_where_it_is() -> None:
    """Three half-cycles per box stay in their band, whatever the size of the box."""
    for size in (40, 128, 200):
        values = measure(cosine(0, 3, size))
        assert values["band_energy_3"] == pytest.approx(1, abs=5e-3), size


def test_fine_and_coarse_blocks() -> None:
    rows, columns = np.mgrid[:32, :32]
    assert measure(128 + 60 * (-1.0) ** (rows + columns))["block_high"] > 0.7
    assert measure(2 * rows + columns)["block_low"] > 0.95


def test_slope_of_a_power_law() -> None:
    """Magnitudes that fall as 1/r have powers that fall as r^-2."""
    rng = np.random.default_rng(3)
    radius = np.hypot(*np.mgrid[:64, :64])
    radius[0, 0] = np.inf
    spectrum = rng.choice([-1.0, 1.0], (64, 64)) * 400 / radius
    grey = 128 + scipy.fft.idctn(spectrum, norm="ortho")
    assert grey.min() > 0
    assert grey.max() < 255
    # Mean power and mean radius of a wide ring are not exactly on the line, and levels are rounded.
    assert measure(np.rint(grey))["slope"] == pytest.approx(-2, abs=0.1)


def test_flat_is_undefined_but_not_noise() -> None:
    values = measure(np.full((30, 41), 143))
    for name, value in values.items():
        if name in extract.dct_zigzag.facts.columns:
            assert value == 0, name
        else:
            assert np.isnan(value), name


def test_no_whole_block() -> None:
    values = measure(np.random.default_rng(4).integers(0, 256, (7, 40)))
    for name, value in values.items():
        assert np.isnan(value) == name.startswith("block_"), name
