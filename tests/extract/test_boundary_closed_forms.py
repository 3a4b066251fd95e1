"""Outlines with known descriptors: discs, ellipses, petals, squares; moments of scikit-image."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from skimage.measure import find_contours, moments_central, moments_hu, moments_normalized

from hemafeat import extract

NAMES = list(extract.boundary.facts.columns)
HARMONICS = [*range(2, 8), *range(-1, -6, -1)]
Y, X = np.mgrid[-90:91, -100:101]
ANGLE, RADIUS = np.arctan2(Y, X), np.hypot(Y, X)


def measure(mask: np.ndarray) -> dict[str, float]:
    row = extract.boundary(
        np.zeros((*mask.shape, 3), np.uint8), np.ascontiguousarray(mask, np.int32)
    )
    assert row.shape == (1, len(NAMES))
    return dict(zip(NAMES, row[0], strict=True))


def column(k: int) -> str:
    return f"fourier_{k}" if k > 0 else f"fourier_minus_{-k}"


def blob(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    edge = 50 + sum(
        rng.uniform(2, 14) * np.cos(k * ANGLE + rng.uniform(0, 6)) / k for k in range(2, 7)
    )
    return edge + rng.uniform(-1, 1, ANGLE.shape) >= RADIUS


def resample(z: np.ndarray, n: int) -> np.ndarray:
    """Return n points of a closed polygon, equally spaced along the outline."""
    closed = np.append(z, z[0])
    ends = np.concatenate([[0], np.cumsum(abs(np.diff(closed)))])
    s = np.arange(n) * ends[-1] / n
    return np.interp(s, ends, closed.real) + 1j * np.interp(s, ends, closed.imag)


def test_disc_is_its_first_harmonic() -> None:
    values = measure(RADIUS <= 60)
    for k in HARMONICS:
        # Four-fold staircases leave a trace in F_1+4n alone.
        assert values[column(k)] < (0.005 if k % 4 == 1 else 1e-12), k
    # The outline has steps of 1 and sqrt 1/2 px and is on average 5.5 % longer than the arc. The
    # tolerance covers how far steps of a pixel turn chords of 25 px.
    longer = 1.055
    assert values["bending_ratio"] == pytest.approx(longer**2, abs=0.03)
    length = 2 * math.pi * 60 * longer
    assert values["bending_energy"] == pytest.approx(
        values["bending_ratio"] * (2 * math.pi / length) ** 2, rel=0.02
    )
    assert (values["n_concave_segments"], values["concave_fraction"]) == (0, 0)
    assert 0.7 < values["curvature_min"] < 1 < values["curvature_max"] < 1.3
    assert values["box_dimension"] == pytest.approx(1, abs=0.05)
    # h_1 of a disc is 1 / 2 pi; the others are 0.
    assert values["hu_1_signed_log"] == pytest.approx(math.log10(1 / (2 * math.pi)), abs=1e-3)
    assert all(math.isnan(values[f"hu_{k}_signed_log"]) for k in range(2, 8))


@pytest.mark.parametrize(("a", "b"), [(80, 60), (80, 40)])
def test_ellipse(a: int, b: int) -> None:
    values = measure((Y / b) ** 2 + (X / a) ** 2 <= 1)
    t = np.arange(1 << 14) * 2 * math.pi / (1 << 14)
    z = resample(a * np.cos(t) + 1j * b * np.sin(t), 1 << 12)
    expected = abs(np.fft.fft(z))
    for k in HARMONICS:
        # Constant speed along the staircase is not quite that along the ellipse.
        assert values[column(k)] == pytest.approx(expected[k] / expected[1], abs=0.02), k
    second = (a * a + b * b) / (4 * math.pi * a * b)
    assert values["hu_1_signed_log"] == pytest.approx(math.log10(second), abs=2e-3)
    difference = ((a * a - b * b) / (4 * math.pi * a * b)) ** 2
    assert values["hu_2_signed_log"] == pytest.approx(math.log10(difference), abs=5e-3)
    assert values["n_concave_segments"] == 0


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_harmonics_and_bays_of_petals(n: int) -> None:
    # At its waist, the outline 1 + a cos n t has the curvature (1 - a - a n^2) / (1 - a)^2.
    a = 0.35 if n == 2 else 0.25
    values = measure(60 * (1 + a * np.cos(n * ANGLE)) >= RADIUS)
    assert values["n_concave_segments"] == n
    assert values["curvature_min"] < -0.5
    assert values["curvature_max"] > 1
    strongest = max((k for k in HARMONICS), key=lambda k: values[column(k)])
    assert strongest in (1 + n, 1 - n)
    for k in HARMONICS:
        if (k - 1) % n:
            # Only every n-th harmonic, apart from traces of the pixel grid.
            assert values[column(k)] < 0.02, k


@pytest.mark.parametrize("seed", range(4))
def test_harmonics_are_those_of_the_sampled_outline(seed: int) -> None:
    mask = blob(seed)
    contour = max(find_contours(mask.astype(float), 0.5, fully_connected="high"), key=len)[:-1]
    z = contour[:, 1] + 1j * contour[:, 0]
    if np.imag(np.conj(z) * np.roll(z, -1)).sum() < 0:
        z = z[::-1]
    expected = abs(np.fft.fft(resample(z, 1 << 16)))
    values = measure(mask)
    for k in HARMONICS:
        # Sampling a polygon of some hundred corners at 65,536 points.
        assert values[column(k)] == pytest.approx(expected[k] / expected[1], rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("seed", range(4))
def test_moments_are_those_of_scikit_image(seed: int) -> None:
    mask = blob(seed)
    moments = moments_hu(moments_normalized(moments_central(mask.astype(float))))
    values = measure(mask)
    for k, h in enumerate(moments, start=1):
        # Sums of third powers cancel, so the higher moments lose some digits.
        assert values[f"hu_{k}_signed_log"] == pytest.approx(
            np.sign(h) * math.log10(abs(h)), rel=1e-7
        ), k


def exact_moments(mask: np.ndarray) -> list[Fraction]:
    """Return the invariants of Hu as exact fractions."""
    y, x = ([int(value) for value in axis] for axis in np.nonzero(mask))
    area = len(y)
    points = [(area * a - sum(y), area * b - sum(x)) for a, b in zip(y, x, strict=True)]

    def m(p: int, q: int) -> int:
        return sum(v**p * u**q for v, u in points)

    a, b = m(3, 0) - 3 * m(1, 2), 3 * m(2, 1) - m(0, 3)
    s, t = m(3, 0) + m(1, 2), m(2, 1) + m(0, 3)
    n20, n02, n11 = m(2, 0), m(0, 2), m(1, 1)
    return [
        Fraction(n20 + n02, area**4),
        Fraction((n20 - n02) ** 2 + 4 * n11**2, area**8),
        Fraction(a * a + b * b, area**11),
        Fraction(s * s + t * t, area**11),
        Fraction(a * s * (s * s - 3 * t * t) + b * t * (3 * s * s - t * t), area**22),
        Fraction((n20 - n02) * (s * s - t * t) + 4 * n11 * s * t, area**15),
        Fraction(b * s * (s * s - 3 * t * t) - a * t * (3 * s * s - t * t), area**22),
    ]


@pytest.mark.parametrize("bump", [None, (0, 41), (17, 37), (28, 28), (0, -41)])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_moments_of_a_nearly_symmetric_outline(n: int, bump: tuple[int, int] | None) -> None:
    """A single pixel that breaks a symmetry gives moments of 1e-15, which are not 0."""
    mask = 40 * (1 + 0.1 * np.cos(n * ANGLE)) >= RADIUS
    if bump is not None:
        mask |= (bump[0] == Y) & (bump[1] == X)
    values = measure(mask)
    for k, h in enumerate(exact_moments(mask), start=1):
        if h == 0:
            assert math.isnan(values[f"hu_{k}_signed_log"]), k
        else:
            expected = math.copysign(1, h) * math.log10(abs(h))
            assert values[f"hu_{k}_signed_log"] == pytest.approx(expected, rel=1e-7), (k, float(h))


def test_box_dimension_of_a_square() -> None:
    mask = np.zeros((80, 80), bool)
    mask[5:69, 9:73] = True
    sizes = np.array([2, 4, 8, 16])
    expected = -np.polyfit(np.log(sizes), np.log(4 * (64 // sizes) - 4), 1)[0]
    assert measure(mask)["box_dimension"] == pytest.approx(expected, rel=1e-12)
    assert math.isnan(measure(mask[5:20, 9:24])["box_dimension"])


def test_only_the_largest_part_and_its_outside_count() -> None:
    whole, holed, two = (RADIUS <= 50 for _ in range(3))
    holed = holed & (RADIUS > 20)
    two = two | ((abs(Y) < 4) & (X > 60) & (X < 90))
    before = measure(whole)
    for mask in (holed, two):
        values = measure(mask)
        for name in NAMES[:17]:
            assert values[name] == pytest.approx(before[name], rel=1e-9, abs=1e-12), name


@pytest.mark.parametrize("seed", range(3))
def test_turning_and_mirroring_change_nothing(seed: int) -> None:
    mask = blob(seed)
    before = measure(mask)
    for change in (np.rot90, np.flipud, np.fliplr, np.transpose):
        after = measure(change(mask))
        for name in NAMES:
            # The seventh moment changes sign in a mirror image.
            sign = -1 if name == "hu_7_signed_log" and change is not np.rot90 else 1
            assert after[name] == pytest.approx(sign * before[name], rel=1e-8, abs=1e-10), name


def test_scale_changes_no_harmonic() -> None:
    y, x = np.mgrid[-60:61, -60:61]
    small, large = (
        (np.hypot(y, x) <= 20 * s * (1 + 0.2 * np.cos(3 * np.arctan2(y, x)))) for s in (1, 2)
    )
    first, second = measure(small), measure(large)
    for k in HARMONICS:
        assert first[column(k)] == pytest.approx(second[column(k)], abs=0.03)


def test_one_pixel() -> None:
    values = measure(np.pad([[True]], 2))
    undefined = {name for name, value in values.items() if math.isnan(value)}
    assert undefined == {*(f"hu_{k}_signed_log" for k in range(1, 8)), "box_dimension"}
    assert values["bending_ratio"] > 0


def test_the_sign_of_the_sixth_moment_tells_how_a_mask_tapers() -> None:
    row, column = np.mgrid[:120, :160]
    along = (abs(row - 60) <= (column - 10) / 4) & (column >= 10) & (column <= 150)
    across = (abs(row - 60) <= 20) & (abs(column - 80) <= 30 + 0.9 * (row - 40))
    image = np.zeros((*row.shape, 3), np.uint8)
    at = list(extract.boundary.facts.columns).index("hu_6_signed_log")
    meaning = extract.boundary.facts.columns["hu_6_signed_log"].meaning
    for mask, words in (
        (along, "negative if the mask tapers along"),
        (across, "positive if across"),
    ):
        for turned in (mask, mask[:, ::-1], mask.T):
            turned = np.ascontiguousarray(turned, np.int32)
            black = image if turned.shape == row.shape else image.transpose(1, 0, 2)
            value = extract.boundary(np.ascontiguousarray(black), turned)[0, at]
            assert ("negative" if value < 0 else "positive") in words
        assert words in meaning
