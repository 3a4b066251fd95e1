"""Shape of figures with known values: disc, ellipse, rectangle, notch, ring, single pixels."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from hemafeat import extract

NAMES = list(extract.shape.facts.columns)


def measure(mask: np.ndarray) -> dict[str, float]:
    labels = np.asarray(mask, dtype=np.int32)
    row = extract.shape(np.zeros((*labels.shape, 3), np.uint8), labels)[0]
    return dict(zip(NAMES, row, strict=True))


def ellipse(a: float, b: float, degrees: float = 0.0, room: int = 4) -> np.ndarray:
    """Draw an ellipse of half axes a (along the columns before turning) and b."""
    half = math.ceil(max(a, b)) + room
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    turn = math.radians(degrees)
    u, v = x * math.cos(turn) + y * math.sin(turn), -x * math.sin(turn) + y * math.cos(turn)
    return (u / a) ** 2 + (v / b) ** 2 <= 1


@pytest.mark.parametrize("radius", [12, 30, 75.5])
def test_disc(radius: float) -> None:
    values = measure(ellipse(radius, radius))
    # The staircase of a disc is off by a fraction of a pixel along its edge, whatever its size:
    # lengths by up to half a pixel, areas by half a pixel times the perimeter.
    assert values["area"] == pytest.approx(math.pi * radius**2, abs=math.pi * radius)
    for name in ("equivalent_diameter_area", "axis_major_length", "axis_minor_length"):
        assert values[name] == pytest.approx(2 * radius, abs=0.5), name
    # The hull goes through pixel edges, half a pixel from centres that lie up to a pixel within the
    # circle. The diameter is that of the edges of the pixels of the hull, up to half a pixel more.
    for name in ("feret_diameter_max", "feret_diameter_min"):
        assert 2 * radius - 1 <= values[name] <= 2 * radius + 2, name
    # Four directions leave the Crofton perimeter of a disc within 1 %, and a staircase of this
    # size within 2 %.
    assert values["perimeter_crofton"] == pytest.approx(2 * math.pi * radius, rel=0.02)
    assert values["circularity"] == pytest.approx(1, abs=0.04)
    assert values["radial_mean"] == pytest.approx(radius, abs=0.5)
    assert values["radial_max"] - values["radial_min"] < 1.5
    # Symmetric in rows and columns: exact.
    assert values["eccentricity"] == 0
    assert values["aspect_ratio"] == 1
    assert values["circle_variance"] < 0.5 / radius
    # The hull runs through pixel edges and includes a few pixels at the rim.
    assert 1 - 1.5 / radius <= values["solidity"] <= 1
    assert values["convexity"] == pytest.approx(1, abs=0.01)
    # A rectangle around a disc is 4/pi times as large, with sides up to a pixel longer.
    assert values["rectangularity"] == pytest.approx(math.pi / 4, abs=2 / radius)
    assert (values["n_components"], values["euler_number"], values["n_holes"]) == (1, 1, 0)
    assert values["n_indentations"] == 0
    assert values["indentation_depth"] < 1.5


@pytest.mark.parametrize("degrees", [0, 17, 45, 90])
def test_ellipse(degrees: float) -> None:
    a, b = 40.0, 22.0
    values = measure(ellipse(a, b, degrees))
    # As above: half a pixel on lengths.
    assert values["axis_major_length"] == pytest.approx(2 * a, abs=0.5)
    assert values["axis_minor_length"] == pytest.approx(2 * b, abs=0.5)
    assert values["aspect_ratio"] == pytest.approx(a / b, abs=0.03)
    assert values["elongation"] == pytest.approx(1 - b / a, abs=0.01)
    assert values["eccentricity"] == pytest.approx(math.sqrt(1 - (b / a) ** 2), abs=0.01)
    assert values["feret_diameter_max"] == pytest.approx(2 * a, abs=1.5)
    assert values["feret_diameter_min"] == pytest.approx(2 * b, abs=1.5)
    # Ramanujan's perimeter; four directions are within 3 % for any orientation.
    perimeter = math.pi * (3 * (a + b) - math.sqrt((3 * a + b) * (a + 3 * b)))
    assert values["perimeter_crofton"] == pytest.approx(perimeter, rel=0.03)
    # The boundary of an ellipse lies at Mahalanobis distance 2 everywhere, to half a pixel.
    assert values["ellipse_variance"] < 0.5 / b
    assert values["circle_variance"] > 10 * values["ellipse_variance"]


@pytest.mark.parametrize(("tall", "wide"), [(20, 35), (7, 7), (2, 9)])
def test_rectangle(tall: int, wide: int) -> None:
    values = measure(np.pad(np.ones((tall, wide)), 3))
    # Pixel squares make a rectangle exactly, up to its four cut corners.
    assert values["area"] == tall * wide
    assert values["extent"] == 1
    assert values["solidity"] == 1
    assert values["rectangularity"] == pytest.approx(1, rel=1e-12)
    assert values["feret_diameter_min"] == pytest.approx(min(tall, wide), rel=1e-12)
    assert values["feret_diameter_max"] == pytest.approx(math.hypot(tall, wide), abs=1)
    # Pixel centres: variance of 0..n-1 is (n^2 - 1) / 12.
    axes = sorted(4 * math.sqrt((side**2 - 1) / 12) for side in (tall, wide))
    assert values["axis_minor_length"] == pytest.approx(axes[0], rel=1e-12)
    assert values["axis_major_length"] == pytest.approx(axes[1], rel=1e-12)
    # Crossings: 2 per row, 2 per column, 2 on each of the (tall + wide - 1) diagonals, both ways.
    crossings = 2 * tall + 2 * wide + 4 * (tall + wide - 1) / math.sqrt(2)
    assert values["perimeter_crofton"] == pytest.approx(math.pi / 8 * crossings, rel=1e-12)
    assert values["indentation_depth"] == 0


@pytest.mark.parametrize("depth", [1, 6, 15])
def test_depth_of_a_notch(depth: int) -> None:
    mask = np.pad(np.ones((30, 50)), 3)
    mask[3 : 3 + depth, 25:28] = 0
    values = measure(mask)
    assert values["indentation_depth"] == pytest.approx(depth, rel=1e-12)
    diameter = 2 * math.sqrt(mask.sum() / math.pi)
    assert values["indentation_ratio"] == pytest.approx(depth / diameter, rel=1e-12)
    assert values["n_indentations"] == (depth > 0.1 * diameter)


def test_indentations_of_kidney_and_segments() -> None:
    y, x = np.mgrid[-34:35, -34:35]
    kidney = (np.hypot(y, x) <= 30) & (np.hypot(y, x - 34) > 20)
    values = measure(kidney)
    assert values["n_indentations"] == 1
    assert values["indentation_ratio"] > 0.15
    y, x = np.mgrid[:80, :80]
    lobes = [(20, 20), (20, 58), (56, 40)]
    segmented = np.any([np.hypot(y - r, x - c) <= 15 for r, c in lobes], axis=0)
    for (r, c), (s, d) in pairwise(lobes):
        for t in np.linspace(0, 1, 80):
            segmented |= np.hypot(y - r - t * (s - r), x - c - t * (d - c)) <= 3
    assert measure(segmented)["n_indentations"] >= 2
    assert measure(segmented)["solidity"] < measure(kidney)["solidity"] + 0.1


def test_separate_lobes_are_parts_of_one_shape() -> None:
    mask = np.zeros((40, 60))
    mask[10:30, 5:25] = 1
    mask[10:30, 35:55] = 1
    mask[2, 2] = 1  # below 5 % of the area
    values = measure(mask)
    assert values["n_components"] == 2
    assert values["euler_number"] == 3
    assert values["area"] == 801
    mask[2, 2] = 0
    values = measure(mask)
    # The gap is 10 wide and 20 deep, open at both ends: as deep as its middle.
    assert values["indentation_depth"] == pytest.approx(10, rel=1e-12)
    assert values["feret_diameter_max"] == pytest.approx(math.hypot(50, 20), abs=1)


def test_hole_of_a_ring_is_not_an_indentation() -> None:
    ring = ellipse(30, 30) & ~np.pad(ellipse(15, 15), 15)
    values = measure(ring)
    assert (values["n_components"], values["n_holes"], values["euler_number"]) == (1, 1, 0)
    assert values["indentation_depth"] < 1.5
    assert values["solidity"] == pytest.approx(0.75, abs=0.03)


def test_one_pixel() -> None:
    values = measure(np.pad([[1.0]], 2))
    undefined = {"aspect_ratio", "eccentricity", "elongation", "rectangularity"}
    undefined |= {"radial_skewness", "radial_kurtosis", "ellipse_variance"}
    assert {name for name, value in values.items() if math.isnan(value)} == undefined
    assert (values["area"], values["solidity"], values["extent"]) == (1, 1, 1)


def test_line_of_pixels_has_no_width() -> None:
    values = measure(np.pad(np.ones((1, 9)), 2))
    assert values["axis_minor_length"] == 0
    assert values["eccentricity"] == 1
    for name in ("aspect_ratio", "rectangularity", "ellipse_variance"):
        assert math.isnan(values[name]), name


@pytest.mark.parametrize("seed", range(4))
def test_turning_and_mirroring_change_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:50, :60]
    angle = np.arctan2(y - 25, x - 30)
    edge = 14 + 5 * np.sin(2 * angle + rng.uniform(0, 6)) + 3 * np.sin(5 * angle)
    mask = np.hypot(y - 25, x - 30) <= edge + rng.uniform(-1, 1, (50, 60))
    before = measure(mask)
    for change in (np.rot90, np.flipud, np.fliplr, np.transpose):
        after = measure(change(mask))
        for name in NAMES:
            # The same numbers, summed in another order.
            assert after[name] == pytest.approx(before[name], rel=1e-11, abs=1e-11), name


def test_scaling_changes_no_ratio() -> None:
    small, large = measure(ellipse(30, 18, 20)), measure(ellipse(90, 54, 20))
    lengths = {n for n, column in extract.shape.facts.columns.items() if column.unit == "px"}
    for name in ("area", "area_convex"):
        assert large[name] == pytest.approx(9 * small[name], rel=0.02)
    for name in lengths - {"indentation_depth"}:
        # A pixel of the edge is 1/30 of the small figure's half axis.
        assert large[name] == pytest.approx(3 * small[name], rel=0.05), name
    for name in ("eccentricity", "circularity", "solidity", "extent", "convexity", "feret_ratio"):
        assert large[name] == pytest.approx(small[name], rel=0.03), name
