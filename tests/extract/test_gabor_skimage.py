"""Oracle: Gabor filters of scikit-image, and images of a single wave."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.filters import gabor

from hemafeat import extract

WHITE = (255.0, 255.0, 255.0)


def measure(image: np.ndarray, labels: np.ndarray) -> dict[str, float]:
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
    values = measure(image, labels)
    for wave in (3, 5, 8, 12):
        means, sds = [], []
        for angle in range(0, 180, 30):
            real, imaginary = gabor(
                plane, 1 / wave, np.deg2rad(angle), bandwidth=1, mode="constant", cval=0
            )
            magnitude = np.hypot(real, imaginary)[labels]
            assert values[f"mean_{wave}_{angle:03d}"] == pytest.approx(magnitude.mean(), rel=1e-10)
            assert values[f"sd_{wave}_{angle:03d}"] == pytest.approx(magnitude.std(), rel=1e-8)
            means.append(magnitude.mean())
            sds.append(magnitude.std())
        assert values[f"mean_{wave}"] == pytest.approx(np.mean(means), rel=1e-10)
        assert values[f"sd_{wave}"] == pytest.approx(np.mean(sds), rel=1e-8)
        assert values[f"anisotropy_{wave}"] == pytest.approx(np.ptp(means) / np.mean(means))


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("wave", [3, 5, 8, 12])
@pytest.mark.parametrize("angle", [0, 30, 60, 90, 120, 150])
def test_a_wave_answers_to_its_own_filter(wave: int, angle: int) -> None:
    """The magnitude is half the amplitude, except near the edge."""
    y, x = np.mgrid[:161, :161]
    theta = np.deg2rad(angle)
    phase = 2 * np.pi / wave * (x * np.cos(theta) + y * np.sin(theta))
    values = measure(grey(0.5 + 0.3 * np.cos(phase)), disk(161))
    own = values[f"mean_{wave}_{angle:03d}"]
    # In a ring as wide as the filter, of radius 80 px, the filter covers only part of the wave.
    assert own == pytest.approx(0.15, rel=0.012 * wave)
    means = [value for name, value in values.items() if name.startswith("mean_")]
    assert own == max(means)
    assert values[f"anisotropy_{wave}"] > 1.5


def test_turning_moves_the_angles() -> None:
    rng = np.random.default_rng(1)
    image, labels = grey(rng.uniform(0.1, 1.2, (24, 31))), disk(31)[3:27]
    first = measure(image, labels)
    rotated = measure(np.rot90(image), np.rot90(labels))
    mirrored = measure(image[:, ::-1], labels[:, ::-1])
    for wave in (3, 5, 8, 12):
        for name in (f"mean_{wave}", f"sd_{wave}", f"anisotropy_{wave}"):
            assert rotated[name] == pytest.approx(first[name], rel=1e-9)
            assert mirrored[name] == pytest.approx(first[name], rel=1e-9)
        for kind in ("mean", "sd"):
            for angle in range(0, 180, 30):
                expected = first[f"{kind}_{wave}_{angle:03d}"]
                quarter, negative = (angle + 90) % 180, -angle % 180
                assert rotated[f"{kind}_{wave}_{quarter:03d}"] == pytest.approx(expected, rel=1e-9)
                assert mirrored[f"{kind}_{wave}_{negative:03d}"] == pytest.approx(
                    expected, rel=1e-9
                )


def test_flat() -> None:
    values = measure(np.full((30, 30, 3), 77, np.uint8), disk(30))
    for name, value in values.items():
        assert np.isnan(value) if name.startswith("anisotropy") else value == 0, name
