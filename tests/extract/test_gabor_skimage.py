"""Oracle: scikit-image's Gabor filters, and pictures of one wave."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.filters import gabor

from hemafeat import extract

WHITE = (255.0, 255.0, 255.0)


def measured(image: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    prepared = extract.Prepared(image, white=WHITE)
    row = extract.gabor(prepared, np.ascontiguousarray(labels, dtype=np.int32))[0]
    return dict(zip(extract.gabor.facts.columns, row, strict=True))


def grey(density: np.ndarray) -> np.ndarray:
    level = np.rint(256 * 10**-density - 1).clip(0, 255)
    return np.repeat(level[:, :, None], 3, axis=2).astype(np.uint8)


def disk(side: int) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.hypot(y, x) <= side / 2 - 2


def test_responses_are_scikit_images() -> None:
    rng = np.random.default_rng(0)
    image = grey(rng.uniform(0.1, 1.2, (50, 61)))
    labels = disk(61)[3:53]
    labels[20:25, 30:] = False
    density = np.log10(256 / (image[:, :, 1] + 1.0))
    plane = np.where(labels, density - density[labels].mean(), 0)
    found = measured(image, labels)
    for wave in (3, 5, 8, 12):
        means, sds = [], []
        for angle in range(0, 180, 30):
            real, imaginary = gabor(
                plane, 1 / wave, np.deg2rad(angle), bandwidth=1, mode="constant", cval=0
            )
            size = np.hypot(real, imaginary)[labels]
            assert found[f"mean_{wave}_{angle:03d}"] == pytest.approx(size.mean(), rel=1e-10)
            assert found[f"sd_{wave}_{angle:03d}"] == pytest.approx(size.std(), rel=1e-8)
            means.append(size.mean())
            sds.append(size.std())
        assert found[f"mean_{wave}"] == pytest.approx(np.mean(means), rel=1e-10)
        assert found[f"sd_{wave}"] == pytest.approx(np.mean(sds), rel=1e-8)
        assert found[f"anisotropy_{wave}"] == pytest.approx(np.ptp(means) / np.mean(means))


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("wave", [3, 5, 8, 12])
@pytest.mark.parametrize("angle", [0, 30, 60, 90, 120, 150])
def test_a_wave_answers_to_its_own_filter(wave: int, angle: int) -> None:
    """Half the amplitude, but for the edge."""
    y, x = np.mgrid[:161, :161]
    theta = np.deg2rad(angle)
    phase = 2 * np.pi / wave * (x * np.cos(theta) + y * np.sin(theta))
    found = measured(grey(0.5 + 0.3 * np.cos(phase)), disk(161))
    own = found[f"mean_{wave}_{angle:03d}"]
    # A ring as wide as the filter, of 80 pixels in radius, sees part of the wave alone.
    assert own == pytest.approx(0.15, rel=0.012 * wave)
    others = [value for name, value in found.items() if name.startswith("mean_")]
    assert own == max(others)
    assert found[f"anisotropy_{wave}"] > 1.5


def test_turning_moves_the_angles() -> None:
    rng = np.random.default_rng(1)
    image, labels = grey(rng.uniform(0.1, 1.2, (24, 31))), disk(31)[3:27]
    first = measured(image, labels)
    turned = measured(np.rot90(image), np.rot90(labels))
    mirrored = measured(image[:, ::-1], labels[:, ::-1])
    for wave in (3, 5, 8, 12):
        for name in (f"mean_{wave}", f"sd_{wave}", f"anisotropy_{wave}"):
            assert turned[name] == pytest.approx(first[name], rel=1e-9)
            assert mirrored[name] == pytest.approx(first[name], rel=1e-9)
        for kind in ("mean", "sd"):
            for angle in range(0, 180, 30):
                expected = first[f"{kind}_{wave}_{angle:03d}"]
                quarter, negative = (angle + 90) % 180, -angle % 180
                assert turned[f"{kind}_{wave}_{quarter:03d}"] == pytest.approx(expected, rel=1e-9)
                assert mirrored[f"{kind}_{wave}_{negative:03d}"] == pytest.approx(
                    expected, rel=1e-9
                )


def test_flat() -> None:
    found = measured(np.full((30, 30, 3), 77, np.uint8), disk(30))
    for name, value in found.items():
        assert np.isnan(value) if name.startswith("anisotropy") else value == 0, name
