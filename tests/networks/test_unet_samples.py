"""Training samples: masks stay aligned with their image in augmentation."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from hemafeat import datasets, images, networks, segment
from hemafeat.networks._segmentation import augment as augment, samples as data
from hemafeat.networks._segmentation.loss import (
    BACKGROUND,
    CYTOPLASM,
    NO_WHITE_CELL,
    NUCLEUS,
    PLATELET,
    RED_CELL,
    UNKNOWN,
)
from hemafeat.segment import UNET_UM_PER_PX
from hemafeat.segment._contours.frame import measure_frame
from hemafeat.segment._unet.scale import (
    MAX_GAIN,
    MAX_ZOOM,
    STAINED,
    UNET_RADIUS,
    multiply_density,
    nuclear_radii,
    stain_gain,
    zoom_for_radii,
)


def make_scene(drawn, um_per_px=None):
    """Make a scene of a drawn image, of which nothing is known outside the cells."""
    other = np.full(drawn.cell.shape, NO_WHITE_CELL, np.uint8)
    return data.make_scene(drawn.image, drawn.cell, drawn.nucleus, other, um_per_px)


def plain_disc(side=200, centre=(90, 110), radius=40, inner=20):
    """Make a scene whose density gives the classes: 0, 0.5 in the cell, 1.5 in the nucleus."""
    cell = np.zeros((side, side), np.uint16)
    nucleus = np.zeros((side, side), np.uint8)
    cv2.circle(cell, centre, radius, 1, cv2.FILLED)
    cv2.circle(nucleus, centre, inner, 1, cv2.FILLED)
    density = np.repeat((50 * (cell > 0) + 100 * nucleus)[:, :, None], 3, axis=2)
    other = np.full((side, side), NO_WHITE_CELL, np.uint8)
    return augment.Scene(density.astype(np.uint8), cell, nucleus, other, 1.0)


@pytest.mark.parametrize("seed", range(8))
def test_the_mask_follows_the_image(seed, monkeypatch):
    # Without files of poor quality and marks, which have tests of their own.
    monkeypatch.setattr(augment, "_through_file", lambda light, rng: light)
    monkeypatch.setattr(augment, "_cover", lambda *args: None)
    rng = np.random.default_rng(seed)
    density, cell, classes = augment.augment(plain_disc(), None, 128, rng)
    nucleus = classes == NUCLEUS
    green = density[:, :, 1]
    # Whatever the stain, three levels are left, in the same order, each within its own mask.
    inner = ndimage.binary_erosion(nucleus > 0, iterations=3)
    ring = (cell > 0) & ~ndimage.binary_dilation(nucleus > 0, iterations=3)
    ring = ring & ndimage.binary_erosion(cell > 0, iterations=3)
    outside = ~ndimage.binary_dilation(cell > 0, iterations=3)
    for darker, paler in ((inner, ring), (ring, outside)):
        if darker.any() and paler.any():
            assert np.percentile(green[darker], 2) > np.percentile(green[paler], 98)


def test_a_drawn_cell_is_where_its_mask_is(monkeypatch):
    monkeypatch.setattr(augment, "_cover", lambda *args: None)
    one = datasets.draw_cell("lymphocyte", neighbours=0.0, random_state=5)
    scene = make_scene(one)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        density, cell, classes = augment.augment(scene, None, 192, rng)
        nucleus = (classes == NUCLEUS).astype(np.uint8)
        # Nothing else is in view: dark is what Otsu finds, the nucleus.
        level = np.clip(100 * density[:, :, 1], 0, 255).astype(np.uint8)
        dark = cv2.threshold(level, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1]
        if np.count_nonzero(nucleus) > 300:
            assert segment.dice(dark, nucleus) > 0.9
        assert not (nucleus.astype(bool) & (cell == 0)).any()


def test_sizes_are_those_asked_for():
    areas = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        scene = plain_disc(side=400, centre=(200, 200))
        _, cell, classes = augment.augment(scene, None, 300, rng)
        nucleus = classes == NUCLEUS
        # Whole cells only; the border may cut others.
        edge = np.concatenate([cell[0], cell[-1], cell[:, 0], cell[:, -1]])
        if cell.any() and not edge.any():
            areas.append(np.count_nonzero(nucleus))
    zoom = np.sqrt(np.array(areas) / (np.pi * 20**2))
    assert len(areas) > 20
    low, high = augment.ZOOMS
    assert 0.95 * low < zoom.min() < 1.4 * low
    assert 0.7 * high < zoom.max() < 1.05 * high


@pytest.mark.parametrize("um_per_px", [0.06, 0.1, 0.2])
def test_the_scale_of_the_microscope_goes_away(um_per_px):
    shape = tuple(int(48 / um_per_px) for _ in range(2))
    field = datasets.draw_field(
        ["lymphocyte", "monocyte"], shape=shape, um_per_px=um_per_px, random_state=2
    )
    scene = make_scene(field)
    _, _, classes = augment.augment(scene, None, 192, np.random.default_rng(0), plain=True)
    zoom = zoom_for_radii(nuclear_radii(field.nucleus))
    assert scene.zoom * scene.cell.shape[0] / shape[0] == pytest.approx(zoom, rel=0.01)
    # The median of two radii is between them.
    radius = np.sqrt(np.count_nonzero(scene.nucleus) / 2 / np.pi) * scene.zoom
    assert radius == pytest.approx(UNET_RADIUS, rel=0.1)
    assert (classes == NUCLEUS).any()
    # A scale that is known counts more than nuclei.
    scene = make_scene(field, um_per_px)
    side = scene.cell.shape[0] * scene.zoom
    assert side == pytest.approx(shape[0] * um_per_px / UNET_UM_PER_PX, rel=0.01)


@pytest.mark.parametrize("white", [True, False])
@pytest.mark.parametrize("strength", [0.9, 1.0, 1.6])
def test_the_strength_of_the_stain_goes_away(strength, white):
    kinds = ["lymphocyte"] if white else []
    field = datasets.draw_field(kinds, shape=(240, 240), um_per_px=0.2, random_state=3)
    # Densities times `strength`, by Beer and Lambert, with or without a white cell.
    image = np.rint(255 * (field.image / 255) ** strength).astype(np.uint8)
    other = np.zeros(field.cell.shape, np.uint8)
    scene = data.make_scene(image, field.cell, field.nucleus, other)
    dark = (scene.density[:, :, 1] / 200 + scene.density.max(axis=2) / 200)[field.red > 0]
    assert np.median(dark) == pytest.approx(STAINED, rel=0.25)


def test_what_is_hardly_stained_is_not_made_darker_without_end():
    image = np.full((80, 80, 3), 240, np.uint8)
    assert stain_gain(measure_frame(image)) == 1.0
    for level, gain in ((200, MAX_GAIN), (5, 1 / MAX_GAIN)):
        cv2.circle(image, (40, 40), 20, (level,) * 3, cv2.FILLED)
        assert stain_gain(measure_frame(image)) == pytest.approx(gain)
    cv2.circle(image, (40, 40), 20, (135,) * 3, cv2.FILLED)
    assert stain_gain(measure_frame(image)) == pytest.approx(1.0, abs=0.05)
    density = np.full((8, 8, 3), 5, np.uint8)
    np.testing.assert_array_equal(multiply_density(density, 2.5), np.full((8, 8, 3), 12, np.uint8))
    assert multiply_density(50 * density, 3.0).max() == 255


def test_files_of_poor_quality_keep_the_image_where_it_is():
    light = np.ones((96, 96, 3), np.float32)
    cv2.circle(light, (40, 50), 20, (0.3, 0.2, 0.4), cv2.FILLED)
    for seed in range(8):
        out = augment._through_file(light, np.random.default_rng(seed))
        assert out.shape == light.shape
        assert segment.dice(out[..., 1] < 0.6, light[..., 1] < 0.6) > 0.95


def test_what_is_covered_is_no_cell():
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        density = np.zeros((96, 96, 3), np.float32)
        cell, classes = np.ones((96, 96), np.int32), np.full((96, 96), CYTOPLASM, np.uint8)
        augment._cover(density, cell, classes, rng)
        hidden = cell == 0
        assert np.isin(classes[hidden], [BACKGROUND, UNKNOWN]).all()
        assert (classes[~hidden] == CYTOPLASM).all()
        covered += bool(hidden.any())
    assert 1 <= covered <= 15


def test_drawn_fields_tell_what_is_not_a_white_cell():
    seen = set()
    for seed in range(12):
        scene = data.drawn_scene(np.random.default_rng(seed))
        seen |= set(np.unique(scene.other).tolist())
        assert not (scene.nucleus[scene.cell == 0] > 0).any()
    assert {BACKGROUND, RED_CELL, PLATELET} <= seen <= data.OUTSIDE


def test_small_nuclei_are_not_enlarged_without_end():
    assert zoom_for_radii(np.array([2.0])) == MAX_ZOOM
    assert zoom_for_radii(np.array([0.0])) is None


def test_depth_is_the_distance_of_scipy_cell_by_cell():
    field = datasets.draw_field(
        ["neutrophil"] * 3, shape=(240, 300), um_per_px=0.15, touching=1.0, random_state=4
    )
    depth = data.depth_of(field.cell)
    for number in (1, 2, 3):
        mask = field.cell == number
        reach = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        np.testing.assert_allclose(depth[mask], reach[mask] / reach.max(), atol=1e-5)
    assert not depth[field.cell == 0].any()


def test_red_cells_are_laid_beside_the_white_one_only():
    donor_image = datasets.draw_field(
        ["lymphocyte"], shape=(300, 400), um_per_px=0.15, neighbours=0.25, random_state=1
    )
    donor = make_scene(donor_image)
    reds = augment.red_cells(donor)
    assert len(reds) >= 3
    for patch, mask in reds:
        # Haemoglobin absorbs blue; thiazine dyes hardly do.
        assert patch[mask > 0][:, 2].mean() > 0.4 * patch[mask > 0][:, 1].mean()
    scene = plain_disc()
    density, cell = scene.density / np.float32(100), scene.cell.astype(np.int32)
    touched = 0
    for seed in range(12):
        crowded = augment._add_red_cells(density, cell, donor, np.random.default_rng(seed))
        added = crowded - density
        assert added.min() > -1e-6
        deep = ndimage.binary_erosion(cell > 0, iterations=4)
        assert np.abs(added[deep]).max() < 1e-3
        near = ndimage.binary_dilation(cell > 0, iterations=4) & (cell == 0)
        touched += bool((added[near].max(axis=1) > 0.05).any())
    assert touched >= 4


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return datasets.drawn(tmp_path_factory.mktemp("cells") / "drawn", 6, size=180)


def test_a_sample_depends_on_seed_and_number_only(table):
    one = networks.SegmentationSamples(table, random_state=7)
    two = networks.SegmentationSamples(table, random_state=7)
    other = networks.SegmentationSamples(table, random_state=8)
    for i in (5, 0, 3):
        np.testing.assert_array_equal(one[i].density, two[i].density)
        assert not np.array_equal(one[i].density, other[i].density)
    density, truth = one.batch([3, 5])
    np.testing.assert_array_equal(density[1], one[5].density)
    np.testing.assert_array_equal(truth["depth"][0], one[3].depth)
    assert density.dtype == np.float32
    assert density.min() >= 0.0
    assert density.max() <= 2.55


def test_nuclei_may_have_files_of_their_own(table, tmp_path):
    pairs = table.head(2).copy()
    for row, path in pairs["mask"].items():
        masks = segment.read_masks(path)
        for column, labels in (("mask", masks.cell), ("nucleus_mask", masks.nucleus)):
            name = tmp_path / f"{column}{row}.png"
            cv2.imwrite(str(name), labels.astype(np.uint16))
            pairs.loc[row, column] = str(name)
    options = {"drawn": 0.0, "augment": False}
    one = networks.SegmentationSamples(table.head(2), **options)[1]
    other = networks.SegmentationSamples(pairs, **options)[1]
    np.testing.assert_array_equal(one.classes, other.classes)
    assert (other.classes == NUCLEUS).any()


def test_the_kind_of_masks_can_be_stated(table, tmp_path):
    """Values 1 and 2 may be two cells or a cell and its nucleus."""
    path = str(tmp_path / "a.png")
    masks = segment.read_masks(table["mask"].iloc[0])
    cv2.imwrite(path, (masks.cell > 0).astype(np.uint8) + (masks.nucleus > 0))
    rows = table.head(1).assign(mask=path)
    found = {}
    for kind in ("trimap", "labels"):
        samples = networks.SegmentationSamples(rows, drawn=0.0, augment=False, mask_kind=kind)
        found[kind] = bool((samples[0].classes == NUCLEUS).any())
    assert found == {"trimap": True, "labels": False}
    with pytest.raises(ValueError, match="not one of auto"):
        networks.SegmentationSamples(table, mask_kind="label")


def test_plain_samples_are_the_images_in_turn(table):
    samples = networks.SegmentationSamples(table, drawn=0.0, augment=False)
    for i in (0, 4, 10):
        row = table.iloc[i % 6]
        truth = segment.read_masks(row["mask"])
        zoom = row["um_per_px"] / UNET_UM_PER_PX
        got = np.count_nonzero(samples[i].classes == NUCLEUS)
        assert got == pytest.approx(np.count_nonzero(truth.nucleus) * zoom**2, rel=0.05, abs=2)


def test_a_sheet_shows_each_sample_over_its_depth(table):
    samples = networks.SegmentationSamples(table, side=64)
    sheet = networks.sample_sheet(samples, 5, across=3)
    assert sheet.shape == (2 * 128, 3 * 64, 3)
    np.testing.assert_array_equal(
        sheet[64:128, 64:128, 0], (255 * samples[1].depth).astype(np.uint8)
    )


def test_a_table_tells_more_about_pixels_outside_the_cells(table, tmp_path):
    plain = networks.SegmentationSamples(table, drawn=0.0, augment=False)
    # Beyond the image there is background.
    assert set(np.unique(plain[0].classes)) <= {BACKGROUND, NO_WHITE_CELL, CYTOPLASM, NUCLEUS}
    other = np.full((180, 180), RED_CELL, np.uint8)
    cv2.imwrite(str(tmp_path / "other.png"), other)
    more = table.assign(other=str(tmp_path / "other.png"))
    told = networks.SegmentationSamples(more, drawn=0.0, augment=False)
    np.testing.assert_array_equal(told[0].classes == RED_CELL, plain[0].classes == NO_WHITE_CELL)
    cv2.imwrite(str(tmp_path / "other.png"), np.full((180, 180), CYTOPLASM, np.uint8))
    with pytest.raises(ValueError, match=r"other\.png: expected .* classes"):
        networks.SegmentationSamples(more, drawn=0.0, augment=False)[0]


def test_shares_and_tables_that_cannot_be_are_refused(table, tmp_path):
    with pytest.raises(ValueError, match="between 0 and 1"):
        networks.SegmentationSamples(table, drawn=1.5)
    with pytest.raises(ValueError, match="all samples are drawn"):
        networks.SegmentationSamples(drawn=0.5)
    small = tmp_path / "small.png"
    cv2.imwrite(str(small), np.zeros((20, 20), np.uint8))
    wrong = pd.DataFrame({"image": [table["image"][0]], "mask": [str(small)]})
    with pytest.raises(ValueError, match=r"small\.png: the mask is 20 x 20 and the image"):
        networks.SegmentationSamples(wrong, drawn=0.0)[0]


@pytest.mark.realdata
def test_real_fields_make_samples(real_data):
    listed = datasets.bccd(real_data / "bccd").iloc[:6]
    samples = networks.SegmentationSamples(listed, drawn=0.0, augment=False)
    for i in range(6):
        one = samples[i]
        truth = segment.read_masks(listed["mask"].iloc[i])
        assert images.read(listed["image"].iloc[i]).shape[:2] == truth.shape
        # The nucleus is darker than the cytoplasm and than what is around.
        levels = (NO_WHITE_CELL, CYTOPLASM, NUCLEUS)
        means = [one.density[one.classes == level][:, 1].mean() for level in levels]
        assert max(means[:2]) < means[2]
