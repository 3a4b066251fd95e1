"""Zernike moments of disks, lobes and Zernike polynomials; agreement with mahotas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hemafeat import extract

WHITE = (255.0, 255.0, 255.0)


def measure(image: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    prepared = extract.Prepared(image, white=WHITE)
    row = extract.zernike(prepared, labels.astype(np.int32))[0]
    return dict(zip(extract.zernike.facts.columns, row, strict=True))


def grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return radius and angle of each pixel of a square about the disk that fits into it."""
    y, x = (np.mgrid[:side, :side] - (side - 1) / 2) / (side / 2)
    return np.hypot(y, x), np.arctan2(y, x)


def grey(density: np.ndarray) -> np.ndarray:
    level = np.rint(256 * 10**-density - 1).clip(0, 255)
    return np.repeat(level[:, :, None], 3, axis=2).astype(np.uint8)


def test_moments_of_a_disk_are_zero() -> None:
    radius, _ = grid(301)
    values = measure(grey(np.full(radius.shape, 0.5)), radius <= 1)
    for name, value in values.items():
        assert value < tolerance(name), name


def tolerance(name: str) -> float:
    """Return twice the contribution of half a pixel between the pixels and the disk."""
    return 2 * (int(name.split("_")[1]) + 1) / math.pi * (2 * 0.5 / 150)


def polynomial(n: int, m: int, radius: np.ndarray) -> np.ndarray:
    """Return the closed form in table I of Teague 1980."""
    r = radius
    return {
        (1, 1): r,
        (2, 0): 2 * r**2 - 1,
        (2, 2): r**2,
        (3, 1): 3 * r**3 - 2 * r,
        (3, 3): r**3,
        (4, 0): 6 * r**4 - 6 * r**2 + 1,
        (4, 2): 4 * r**4 - 3 * r**2,
        (5, 1): 10 * r**5 - 12 * r**3 + 3 * r,
        (6, 0): 20 * r**6 - 30 * r**4 + 12 * r**2 - 1,
        (9, 9): r**9,
    }[n, m]


@pytest.mark.parametrize(
    ("n", "m"),
    [(1, 1), (2, 0), (2, 2), (3, 1), (3, 3), (4, 0), (4, 2), (5, 1), (6, 0), (9, 9)],
)
def test_polynomials_are_orthogonal(n: int, m: int) -> None:
    """Stain a + b R_nm cos m t has only the moment (n, m).

    ``(n + 1) / pi`` times the integral of ``b R^2 cos^2`` is b, or b / 2 where m > 0; the sum of
    all stain is ``a pi``.
    """
    radius, angle = grid(301)
    stain = 0.5 + 0.4 * polynomial(n, m, radius) * np.cos(m * angle)
    values = measure(grey(stain), radius <= 1)
    expected = 0.4 / (0.5 * math.pi) / (1 if m == 0 else 2)
    for name, value in values.items():
        if name.startswith("od_"):
            right = expected if name == f"od_{n}_{m}" else 0.0
            assert value == pytest.approx(right, abs=tolerance(name)), name


@pytest.mark.parametrize("lobes", [3, 4, 5])
def test_lobes_show_in_their_repetition(lobes: int) -> None:
    radius, angle = grid(301)
    mask = radius <= 0.8 + 0.19 * np.cos(lobes * angle)
    values = measure(grey(np.full(radius.shape, 0.5)), mask)
    for name, value in values.items():
        n, m = (int(part) for part in name.split("_")[1:])
        if m % lobes:
            assert value < tolerance(name), name
        elif n == m == lobes:
            assert value > 0.1, name


def irregular(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    radius, angle = grid(81)
    labels = radius <= 0.7 + 0.2 * np.sin(3 * angle + 1) * rng.uniform(0.5, 1)
    return grey(rng.uniform(0.1, 1.2, labels.shape)), labels


def test_turning_and_enlarging() -> None:
    image, labels = irregular(0)
    first = measure(image, labels)
    for turns in range(4):
        for step in (1, -1):
            values = measure(np.rot90(image, turns)[::step], np.rot90(labels, turns)[::step])
            assert values == pytest.approx(first, rel=1e-9, abs=1e-12)
    twice = measure(*(np.repeat(np.repeat(a, 2, 0), 2, 1) for a in (image, labels)))
    for name, value in twice.items():
        assert value == pytest.approx(first[name], abs=0.02), name


def test_shade_does_not_matter() -> None:
    """Doubled densities have the same moments, since values are normalised."""
    rng = np.random.default_rng(1)
    _, labels = irregular(1)
    weak = rng.integers(0, 2, labels.shape) * (math.log10(256) / 4)
    pale, dark = measure(grey(weak), labels), measure(grey(2 * weak), labels)
    assert pale == pytest.approx(dark, rel=1e-9)


def test_no_stain() -> None:
    values = measure(np.full((9, 9, 3), 255, np.uint8), np.ones((9, 9)))
    for name, value in values.items():
        assert np.isnan(value) == name.startswith("od_"), name


def test_mahotas() -> None:
    mahotas = pytest.importorskip("mahotas")
    image, labels = irregular(2)
    rows, columns = np.nonzero(labels)
    centre = rows.mean(), columns.mean()
    radius = np.hypot(rows - centre[0], columns - centre[1]).max() + 0.5
    density = np.log10(256 / (image[:, :, 1] + 1.0))
    values = measure(image, labels)
    for prefix, weights in (("mask", labels.astype(float)), ("od", np.where(labels, density, 0))):
        moments = mahotas.features.zernike_moments(weights, radius, degree=9, cm=centre)
        orders = [(n, m) for n in range(10) for m in range(n + 1) if (n - m) % 2 == 0]
        for (n, m), expected in zip(orders, moments, strict=True):
            if f"{prefix}_{n}_{m}" in values:
                assert values[f"{prefix}_{n}_{m}"] == pytest.approx(expected, rel=1e-7, abs=1e-9)
