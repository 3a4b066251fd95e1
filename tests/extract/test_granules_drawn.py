"""Dark spots, vacuoles, dark parts and pale spots of cells drawn with a known number of each."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from hemafeat import extract
from hemafeat.segment import Masks
from reference import naive_granules

WHITE = (255.0, 255.0, 255.0)
SHAPE = (130, 140)


def disk(row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def draw_flat_cell() -> tuple[np.ndarray, Masks]:
    """Draw a flat cell with a flat nucleus in its lower half."""
    cell, nucleus = disk(65, 70, 60), disk(85, 70, 30)
    image = np.full((*SHAPE, 3), 255, np.uint8)
    image[cell] = 150
    image[nucleus] = 60
    return image, Masks(cell.astype(np.int32), nucleus.astype(np.int32))


def granules(image: np.ndarray, masks: Masks) -> dict[str, float]:
    row = extract.granules(extract.Prepared(image, masks, white=WHITE), masks)[0]
    return dict(zip(extract.granules.facts.columns, row, strict=True))


def chromatin(image: np.ndarray, masks: Masks) -> dict[str, float]:
    row = extract.chromatin(extract.Prepared(image, masks, white=WHITE), masks.nucleus)[0]
    return dict(zip(extract.chromatin.facts.columns, row, strict=True))


CENTRES = [(25, 70), (35, 50), (35, 90), (50, 40), (50, 100), (40, 70)]


def test_flat_cell_has_no_spots() -> None:
    image, masks = draw_flat_cell()
    values = granules(image, masks)
    assert (
        values["dark_spot_count"] == values["dark_spot_cover"] == values["cell__vacuole_count"] == 0
    )
    assert values["cell__vacuole_area_max"] == values["cell__vacuole_area_fraction"] == 0
    assert math.isnan(values["dark_spot_diameter_mean"])
    assert math.isnan(values["dark_spot_red_to_green"])
    values = chromatin(image, masks)
    assert (
        values["fraction_above_mean_plus_sd"]
        == values["fraction_above_mean_plus_1_5_sd"]
        == values["dark_part_count"]
        == 0
    )
    assert math.isnan(values["dark_part_area_mean"])
    assert values["heterogeneity"] == values["heterogeneity_relative"] == 0
    assert values["pale_spot_count"] == values["pale_spot_area_max"] == 0


@pytest.mark.parametrize(
    ("colour", "red", "dark"),
    [((200, 60, 90), 1, 0), ((60, 60, 60), 0, 1), ((120, 60, 90), 0, 0)],
)
def test_count_of_dark_spots(colour: tuple[int, int, int], red: int, dark: int) -> None:
    image, masks = draw_flat_cell()
    area = disk(*CENTRES[0], 2).sum()
    for centre in CENTRES:
        image[disk(*centre, 2)] = colour
    image[disk(100, 70, 2)] = 10  # over the nucleus
    image[60, 30] = image[60, 31] = 20  # two pixels are too few
    values = granules(image, masks)
    assert values["dark_spot_count"] == 6
    assert values["cell__dark_spot_count"] == 7
    cytoplasm = masks.cytoplasm.astype(bool).sum()
    assert values["dark_spot_count_per_area"] == pytest.approx(6 / cytoplasm)
    assert values["dark_spot_cover"] == pytest.approx(6 * area / cytoplasm)
    assert values["dark_spot_diameter_mean"] == pytest.approx(math.sqrt(4 * area / math.pi))
    assert values["dark_spot_diameter_sd"] == pytest.approx(0, abs=1e-12)
    assert values["dark_spot_reddish_share"] == red
    assert values["dark_spot_bluish_share"] == dark
    density = -np.log10((np.array(colour) + 1) / 256)
    assert values["dark_spot_red_to_green"] == pytest.approx(density[0] / density[1])
    assert values["dark_spot_blue_to_green"] == pytest.approx(density[2] / density[1])
    # Two bins of 1.5 / 256 are rounded down.
    contrast = density[1] + math.log10(151 / 256)
    assert values["dark_spot_od_rise_mean"] == pytest.approx(contrast, abs=1.5 / 256)


@pytest.mark.parametrize("contrast", [40, 60, 90])
@pytest.mark.parametrize("noise", [0, 3, 6, 9])
def test_noise_is_not_counted(noise: float, contrast: float) -> None:
    """Twelve spots of radius 2.5 px on a disc with noise; grains of the noise are no spots."""
    rng = np.random.default_rng(int(noise + contrast))
    cell, nucleus = disk(65, 70, 60), disk(65, 70, 20)
    plane = np.where(nucleus, 60.0, np.where(cell, 180.0, 255.0))
    for k in range(12):
        angle = k * math.pi / 6
        plane[disk(65 + 42 * math.sin(angle), 70 + 42 * math.cos(angle), 2.5)] -= contrast
    plane = plane[:, :, None] + rng.normal(0, noise, (*SHAPE, 3))
    image = np.clip(np.rint(plane), 0, 255).astype(np.uint8)
    masks = Masks(cell.astype(np.int32), nucleus.astype(np.int32))
    values = granules(image, masks)
    assert values["dark_spot_count"] == pytest.approx(12, abs=1)
    assert values["dark_spot_diameter_mean"] == pytest.approx(5.1, abs=0.6)
    expected = naive_granules.granules(image, masks.cell, masks.nucleus, 1, WHITE)[0]
    np.testing.assert_allclose(list(values.values()), expected, rtol=1e-9)


def test_count_of_vacuoles() -> None:
    image, masks = draw_flat_cell()
    radii = [3, 4, 5, 6, 3, 9]
    total = 0
    for centre, radius in zip(CENTRES, radii, strict=True):
        hole = disk(*centre, radius)
        image[hole] = 250
        total += hole.sum()
    image[disk(90, 75, 4)] = 250  # over the nucleus
    total += disk(90, 75, 4).sum()
    image[disk(65, 11, 5)] = 250  # open to the outside
    image[60:63, 20:45] = 250  # a cleft
    image[disk(70, 115, 2)] = 250  # 13 pixels
    image[disk(85, 115, 4)] = 170  # pale, not empty
    values = granules(image, masks)
    assert values["cell__vacuole_count"] == 7
    assert values["cell__vacuole_area_max"] == disk(*CENTRES[5], 9).sum()
    assert values["cell__vacuole_area_fraction"] == pytest.approx(
        total / masks.cell.astype(bool).sum()
    )


def test_count_of_dark_parts() -> None:
    image, masks = draw_flat_cell()
    centres = [(75, 60), (75, 80), (95, 60), (95, 80)]
    for centre in centres:
        image[disk(*centre, 3)] = 30
    image[85, 70] = 30  # too small
    values = chromatin(image, masks)
    area = masks.nucleus.astype(bool).sum()
    clump = disk(*centres[0], 3).sum()
    assert values["dark_part_count"] == 4
    assert values["dark_part_count_per_area"] == pytest.approx(4 / area)
    assert values["dark_part_area_mean"] == clump
    assert values["fraction_above_mean_plus_sd"] == pytest.approx((4 * clump + 1) / area)
    assert values["fraction_above_mean_plus_1_5_sd"] == values["fraction_above_mean_plus_sd"]


def test_count_of_pale_spots() -> None:
    image, masks = draw_flat_cell()
    image[disk(75, 65, 5)] = 90
    image[disk(95, 75, 4)] = 90
    image[disk(85, 90, 2)] = 90  # too small
    image[84:87, 55:80] = 90  # a cleft
    values = chromatin(image, masks)
    areas = disk(75, 65, 5).sum(), disk(95, 75, 4).sum()
    assert values["pale_spot_count"] == 2
    assert values["pale_spot_area_max"] == areas[0]
    assert values["pale_spot_area_fraction"] == pytest.approx(
        sum(areas) / masks.nucleus.astype(bool).sum()
    )


def grainy(seed: int) -> tuple[np.ndarray, Masks]:
    """Draw smooth noise with spots of every kind, some of them near the edges."""
    rng = np.random.default_rng(seed)
    image, masks = draw_flat_cell()
    rough = ndimage.gaussian_filter(rng.normal(0, 1, (*SHAPE, 3)), (1.3, 1.3, 0.5)) * 60
    plane = image + rough
    inside = np.argwhere(masks.cell > 0)
    for k in range(24):
        spot = disk(*inside[rng.integers(len(inside))], rng.uniform(1, 7))
        plane[spot] = (245, 30, 100)[k % 3] + rng.normal(0, 8, 3)
    return np.clip(np.rint(plane), 0, 255).astype(np.uint8), masks


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_spots_of_every_kind_agree_with_the_twins(seed: int) -> None:
    image, masks = grainy(seed)
    values = granules(image, masks)
    expected = naive_granules.granules(image, masks.cell, masks.nucleus, 1, WHITE)[0]
    np.testing.assert_allclose(list(values.values()), expected, rtol=1e-9)
    assert values["dark_spot_count"] > 10
    assert values["cell__vacuole_count"] > 0
    values = chromatin(image, masks)
    expected = naive_granules.chromatin(image, masks.nucleus, 1, WHITE)[0]
    np.testing.assert_allclose(list(values.values()), expected, rtol=1e-9)
    assert values["dark_part_count"] > 3


def test_turning_changes_nothing() -> None:
    image, masks = grainy(3)
    first = granules(image, masks) | chromatin(image, masks)
    for turns in range(4):
        for step in (1, -1):
            turned = [np.rot90(a, turns)[::step] for a in (image, masks.cell, masks.nucleus)]
            again = Masks(turned[1], turned[2])
            values = granules(turned[0], again) | chromatin(turned[0], again)
            # Sums of floats in another order.
            assert values == pytest.approx(first, rel=1e-12)


@pytest.mark.slow_without_jit
def test_experts_agree_on_vacuoles(real_data: Path) -> None:
    """The area of vacuoles separates monocytes by the attribute cytoplasm_vacuole of WBCAtt."""
    import pandas as pd

    from hemafeat import images, segment

    table = pd.read_csv(real_data / "pbc_dev" / "wbcatt_attributes.csv")
    where = pd.read_csv(real_data / "pbc_dev" / "manifest.csv")["path"]
    where.index = where.str.rsplit("/", n=1).str[-1]
    table = table[(table["label"] == "Monocyte") & (table["split"] == "val")].head(30)
    share, truth = [], []
    for name, answer in zip(table["img_name"], table["cytoplasm_vacuole"], strict=True):
        image = images.read(real_data / "pbc_dev" / where[name])
        masks = segment.contours(image)
        values = extract.measure(image, masks, families=["granules", "shape"])
        if len(values):
            central = values["cell__shape__area"].argmax()
            share.append(values["cell__granules__vacuole_area_fraction"].iloc[central])
            truth.append(answer == "yes")
    yes, no = np.array(share)[truth], np.array(share)[~np.array(truth)]
    auroc = np.mean((yes[:, None] > no) + 0.5 * (yes[:, None] == no))
    assert auroc > 0.85
