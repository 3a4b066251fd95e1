"""`segment.contours`: invariances, odd images, scenes of known truth, real cells."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets
from hemafeat.segment import Masks, best, contours, dice, read_masks, score, unet
from hemafeat.segment._contours.frame import light_gain, measure_frame

# Densities of R, G, B. Haemoglobin takes blue light, the dyes of white cells hardly any.
NUCLEUS = (0.55, 0.85, 0.18)
CYTOPLASM = (0.16, 0.22, 0.08)
GRANULAR = (0.06, 0.28, 0.13)
RED = (0.09, 0.16, 0.11)

WHITES = {
    "white": (245, 244, 246),
    "cream": (254, 229, 204),
    "pink": (246, 222, 232),
    "yellow": (252, 240, 158),
    "dim": (176, 178, 170),
}


class Scene:
    """Ellipses of dye on a bright field, with their masks."""

    def __init__(self, shape=(220, 240), white="white"):
        self.density = np.zeros((*shape, 3), np.float32)
        self.white = np.array(WHITES[white], np.float32)
        self.cell = np.zeros(shape, np.int32)
        self.nucleus = np.zeros(shape, np.int32)

    def ellipse(self, centre, axes, angle=0.0):
        mask = np.zeros(self.cell.shape, np.uint8)
        cv2.ellipse(mask, (centre, (2 * axes[0], 2 * axes[1]), angle), 1, cv2.FILLED)
        return mask > 0

    def red(self, *centres, radius=34):
        for centre in centres:
            disc = self.ellipse(centre, (radius, radius))
            hollow = self.ellipse(centre, (radius * 0.35, radius * 0.35))
            self.density[disc & ~hollow] = RED
            self.density[hollow] = np.array(RED) * 0.45
        return self

    def white_cell(self, centre, axes, lobes, angle=0.0, cytoplasm=CYTOPLASM):
        number = int(self.cell.max()) + 1
        mask = self.ellipse(centre, axes, angle) & (self.cell == 0)
        self.density[mask] = cytoplasm
        self.cell[mask] = number
        for dx, dy, a, b in lobes:
            lobe = self.ellipse((centre[0] + dx, centre[1] + dy), (a, b)) & mask
            self.density[lobe] = NUCLEUS
            self.nucleus[lobe] = number
        return self

    def image(self, seed=0, noise=2.0):
        density = cv2.GaussianBlur(self.density, (0, 0), 1.0)
        light = self.white * 10.0**-density
        light += np.random.default_rng(seed).normal(0, noise, light.shape)
        return np.clip(np.rint(light), 0, 255).astype(np.uint8)

    @property
    def masks(self):
        return Masks(self.cell, self.nucleus)


ROUND = [(4, -3, 24, 22)]
LOBED = [(-20, -12, 14, 12), (14, -14, 14, 11), (4, 18, 15, 11)]


def crop(white="white", lobes=ROUND, cytoplasm=CYTOPLASM):
    scene = Scene(white=white).red((40, 40), (200, 40), (45, 180), (205, 175))
    # One red cell overlaps the edge of the white one, another touches it.
    scene.red((165, 62), (62, 118))
    return scene.white_cell((122, 112), (42, 38), lobes, 20.0, cytoplasm)


def agree(a: Masks, b: Masks) -> float:
    """Return the least Dice of two segmentations with the same number of cells."""
    assert a.n_cells == b.n_cells
    return float(score(a, b)[["dice_cell", "dice_nucleus"]].min().min())


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("white", WHITES)
@pytest.mark.parametrize(
    ("lobes", "cytoplasm"),
    [(ROUND, CYTOPLASM), (LOBED, CYTOPLASM), (LOBED, GRANULAR), ([(0, 0, 36, 33)], CYTOPLASM)],
    ids=["round", "lobed", "granular", "little_cytoplasm"],
)
def test_a_cell_touched_by_red_cells_on_any_background(white, lobes, cytoplasm):
    scene = crop(white, lobes, cytoplasm)
    masks = contours(scene.image())
    result = score(masks, scene.masks)
    assert masks.n_cells == 1
    assert result["dice_cell"][0] >= 0.95
    assert result["dice_nucleus"][0] >= 0.9
    assert not masks.quality["suspected_failure"][0]


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("white", WHITES)
def test_two_cells_side_by_side_are_two(white):
    scene = Scene((240, 320), white).red((50, 50), (280, 60), (60, 200), (270, 200))
    scene.white_cell((125, 120), (40, 40), [(0, 0, 24, 24)])
    scene.white_cell((202, 122), (40, 38), [(0, 0, 24, 22)])
    masks = contours(scene.image())
    assert masks.n_cells == 2
    assert score(masks, scene.masks)["dice_cell"].min() >= 0.92


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("number", [6, 9, 12, 14, 15, 25])
def test_touching_cells_with_red_ones_in_the_gap_are_separated(number):
    rng = np.random.default_rng([77, number])
    white = [kind for kind in datasets.KINDS if kind != "platelet"]
    kinds = [str(kind) for kind in rng.choice(white, size=int(rng.integers(1, 4)))]
    stain = datasets.Stain.draw(rng, "white")
    field = datasets.draw_field(kinds, stain=stain, random_state=rng)
    masks = contours(field.image)
    assert masks.n_cells == len(kinds)
    assert score(masks, Masks(field.cell, field.nucleus))["dice_cell"].min() >= 0.9


@pytest.mark.slow_without_jit
def test_a_field_with_platelets_and_cut_cells():
    scene = Scene((480, 640), "dim")
    rng = np.random.default_rng(3)
    for _ in range(40):
        scene.red(tuple(rng.uniform((0, 0), (640, 480))), radius=30)
    for centre in [(60, 300), (420, 60), (330, 420)]:
        scene.density[scene.ellipse(centre, (9, 8))] = np.array(NUCLEUS) * 0.7
    scene.white_cell((200, 200), (52, 48), [(0, 0, 34, 30)])
    scene.white_cell((628, 300), (50, 52), [(-10, 4, 30, 30)])
    scene.white_cell((450, 230), (55, 52), LOBED)
    masks = contours(scene.image())
    assert masks.n_cells == 3
    assert score(masks, scene.masks)["dice_cell"].min() >= 0.9
    at_border = [number for number in (1, 2, 3) if (masks.cell[:, -1] == number).any()]
    assert masks.quality["touches_border"].tolist() == [n in at_border for n in (1, 2, 3)]
    assert len(at_border) == 1


@pytest.mark.slow_without_jit
def test_largest_cell_comes_first():
    scene = Scene((200, 360)).white_cell((80, 100), (30, 30), [(0, 0, 18, 18)])
    scene.white_cell((250, 100), (45, 44), [(0, 0, 28, 26)])
    masks = contours(scene.image())
    areas = np.bincount(masks.cell.ravel())[1:]
    assert areas.tolist() == sorted(areas, reverse=True)
    assert masks.n_cells == 2


# --- Invariances ----------------------------------------------------------------------------------


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_quarter_turn_turns_the_masks(turns):
    image = crop(lobes=LOBED).image()
    still = contours(image)
    turned = contours(np.rot90(image, turns))
    back = Masks(np.rot90(turned.cell, -turns), np.rot90(turned.nucleus, -turns))
    assert agree(back, still) >= 0.97


@pytest.mark.slow_without_jit
def test_a_mirror_image_mirrors_the_masks():
    image = crop(lobes=LOBED).image()
    flipped = contours(image[:, ::-1])
    assert agree(Masks(flipped.cell[:, ::-1], flipped.nucleus[:, ::-1]), contours(image)) >= 0.97


@pytest.mark.slow_without_jit
def test_more_background_changes_little():
    scene = crop(lobes=LOBED)
    wide = Scene((260, 300)).image()
    image = scene.image()
    wide[17 : 17 + 220, 40 : 40 + 240] = image
    masks = contours(wide)
    moved = Masks(masks.cell[17:237, 40:280], masks.nucleus[17:237, 40:280])
    assert agree(moved, contours(image)) >= 0.96


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("factor", [0.7, 0.85])
def test_a_dimmer_lamp_changes_little(factor):
    image = crop().image()
    dimmed = np.rint(image * factor).astype(np.uint8)
    assert agree(contours(dimmed), contours(image)) >= 0.97


def lamp(shape, kind, most=1.05, least=0.6):
    """Return a brightness that falls from `most` to `least`, to a corner or from the centre."""
    y, x = np.mgrid[0 : 1 : shape[0] * 1j, 0 : 1 : shape[1] * 1j]
    fall = {"ramp": (x + y) / 2, "vignette": 2 * ((x - 0.45) ** 2 + (y - 0.55) ** 2)}[kind]
    return most - (most - least) * fall / fall.max()


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("white", ["white", "pink", "yellow", "dim"])
@pytest.mark.parametrize("kind", ["ramp", "vignette"])
def test_an_uneven_lamp_changes_little(kind, white):
    scene = crop(white, lobes=LOBED)
    image = scene.image()
    light = image * lamp(image.shape[:2], kind)[..., None]
    masks = contours(np.clip(np.rint(light), 0, 255).astype(np.uint8))
    result = score(masks, scene.masks)
    assert masks.n_cells == 1
    assert result["dice_cell"][0] >= 0.94
    assert result["dice_nucleus"][0] >= 0.9


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("kind", ["ramp", "vignette"])
def test_an_uneven_lamp_makes_no_white_cells(kind):
    scene = Scene().red((40, 40), (120, 60), (80, 130), (180, 140), (205, 60))
    light = scene.image() * lamp(scene.cell.shape, kind, 1.1, 0.55)[..., None]
    assert contours(np.clip(light, 0, 255).astype(np.uint8)).n_cells == 0


@pytest.mark.slow_without_jit
def test_even_light_is_left_alone():
    for white in WHITES:
        frame = measure_frame(crop(white).image())
        assert not frame.uneven
        assert light_gain(frame.rgb, frame.white) is None
    # Without background: a cell that fills the image, paler to one side.
    tight = crop().image()[92:132, 100:144]
    assert not measure_frame(tight).uneven


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_other_magnifications(factor):
    scene = crop(lobes=LOBED)
    image = scene.image()
    size = (round(240 * factor), round(220 * factor))
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    masks = contours(scaled)
    assert masks.n_cells == 1
    truth = cv2.resize(scene.cell.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    assert dice(masks.cell, truth) >= 0.95


@pytest.mark.slow_without_jit
def test_the_same_image_gives_the_same_masks_and_stays_as_it_was():
    image = crop().image()
    image.setflags(write=False)
    first, second = contours(image), contours(image)
    assert np.array_equal(first.cell, second.cell)
    assert np.array_equal(first.nucleus, second.nucleus)
    assert first.quality["confidence"].tolist() == second.quality["confidence"].tolist()


@pytest.mark.slow_without_jit
def test_a_cut_cell_gives_the_same_masks_whatever_ran_before():
    image = crop().image()[:150, :140]
    results = set()
    for fill in range(12):
        masks = contours(image)
        results.add((masks.cell.tobytes(), masks.nucleus.tobytes(), *masks.quality["confidence"]))
        # Leaves arbitrary values in the memory that the next call may reuse.
        junk = [np.full(n, 37 * fill % 256, np.uint8) for n in (3840, 12288) * 20]
        del junk
    assert len(results) == 1


# --- Cells on black -------------------------------------------------------------------------------


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("ringing", [0, 9])
def test_a_black_surround_is_the_mask(ringing):
    scene = crop()
    image = scene.image()
    image[scene.cell == 0] = 0
    if ringing:
        noise = np.random.default_rng(0).integers(0, ringing, image.shape, np.uint8)
        image = np.where((scene.cell == 0)[..., None], noise, image)
    masks = contours(image)
    assert masks.n_cells == 1
    assert dice(masks.cell, scene.cell) >= 0.99
    assert dice(masks.nucleus, scene.nucleus) >= 0.9


# --- Fields in a black surround ------------------------------------------------------------------


def _stop(image, radius, centre=(0, 0), edge=1.0, level=0, noise=0.0):
    """Lay the round stop of an eyepiece over an image; `radius` is relative to its width."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(y - height / 2 - centre[0], x - width / 2 - centre[1])
    share = np.clip((radius * width / 2 - distance) / edge, 0, 1)[..., None]
    dark = level + np.random.default_rng(0).normal(0, noise, image.shape)
    return np.clip(np.rint(image * share + dark * (1 - share)), 0, 255).astype(np.uint8)


def _turn(image, degrees):
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_CUBIC)


def _bars(image, *widths):
    return cv2.copyMakeBorder(image, *widths, cv2.BORDER_CONSTANT, value=(0, 0, 0))


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("segmenter", [contours, unet])
@pytest.mark.parametrize(
    "darken",
    [
        lambda image: _stop(image, 1.0),
        lambda image: _stop(image, 1.1, edge=20),
        lambda image: _stop(image, 1.0, level=20, noise=4),
        lambda image: _stop(image, 1.05, centre=(20, -30), edge=5),
        lambda image: _bars(image, 60, 60, 60, 60),
        lambda image: _bars(image, 0, 0, 50, 50),
        lambda image: _bars(image, 400, 400, 400, 400),
        lambda image: _turn(image, 20),
    ],
    ids=["round", "blurred", "grey", "off centre", "framed", "bars", "far away", "turned"],
)
def test_a_black_surround_of_a_field_is_not_a_cell(darken, segmenter):
    drawn = datasets.draw_field(["neutrophil", "monocyte"], random_state=3)
    image = darken(drawn.image)
    truths = [
        darken(np.repeat(255 * np.uint8(drawn.cell == i)[..., None], 3, axis=2)).min(axis=2) > 127
        for i in (1, 2)
    ]
    masks = segmenter(image)
    assert masks.n_cells == 2
    for number in (1, 2):
        assert max(dice(masks.cell == number, truth) for truth in truths) >= 0.9


@pytest.mark.slow_without_jit
def test_a_cell_cut_by_the_surround_touches_the_border():
    drawn = datasets.draw_field(["monocyte"], random_state=0)
    y, x = (int(v.mean()) for v in np.nonzero(drawn.cell))
    height, width = drawn.cell.shape
    reach = 0.5 * width
    # A circle whose edge passes through the middle of the cell.
    angle = np.arctan2(y - height / 2, x - width / 2)
    centre = (y - reach * np.sin(angle) - height / 2, x - reach * np.cos(angle) - width / 2)
    masks = contours(_stop(drawn.image, 1.0, centre))
    assert masks.n_cells == 1
    assert masks.quality["touches_border"].all()
    assert not contours(drawn.image).quality["touches_border"].any()


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("kind", ["lymphocyte", "monocyte", "eosinophil"])
def test_a_cell_on_black_is_not_a_field(kind):
    drawn = datasets.draw_cell(kind, random_state=1)
    image = drawn.image.copy()
    image[drawn.cell == 0] = 0
    ys, xs = np.nonzero(drawn.cell)
    tight = np.s_[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    for window in (np.s_[:, :], tight):
        masks = contours(np.ascontiguousarray(image[window]))
        assert masks.n_cells == 1
        assert dice(masks.cell, drawn.cell[window]) >= 0.99


# --- Large regions --------------------------------------------------------------------------------


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("segmenter", [contours, unet, best])
@pytest.mark.parametrize("colour", [(110, 60, 150), (60, 40, 110)], ids=["pale", "dark"])
@pytest.mark.parametrize("centre", [(639, 240), (0, 0)])
def test_a_huge_region_leaves_the_cells_and_is_no_cell(segmenter, colour, centre):
    drawn = datasets.draw_field(["neutrophil", "lymphocyte", "monocyte"], random_state=2)
    image, blot = drawn.image.copy(), np.zeros(drawn.cell.shape, np.uint8)
    cv2.ellipse(blot, centre, (260, 190), 20, 0, 360, 1, cv2.FILLED)
    image[blot > 0] = colour
    image = cv2.GaussianBlur(image, (0, 0), 1.0)
    whole = [
        number
        for number in range(1, drawn.cell.max() + 1)
        if not blot[cv2.dilate((drawn.cell == number).astype(np.uint8), np.ones((9, 9))) > 0].any()
    ]
    masks = segmenter(image)
    assert len(whole) >= 2
    for number in whole:
        assert (
            max(dice(masks.cell == i + 1, drawn.cell == number) for i in range(masks.n_cells)) > 0.9
        )
    blots = [i for i in range(masks.n_cells) if dice(masks.cell == i + 1, blot > 0) > 0.8]
    if segmenter is contours:
        assert len(blots) == 1
        assert "larger than a white cell" in masks.quality["failure_reason"][blots[0]]
    # A network need not take it for anything.
    assert masks.quality["suspected_failure"][blots].all()


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("seed", [1, 2, 5])
def test_a_nucleus_within_a_ring_is_not_divided(seed):
    rng = np.random.default_rng(seed)
    image = np.full((240, 240, 3), (235, 230, 238), np.uint8)
    x, y, radius = (int(rng.integers(low, high)) for low, high in ((90, 150), (90, 150), (45, 70)))
    thickness, gap = int(rng.integers(8, 18)), int(rng.integers(30, 90))
    cv2.circle(image, (x, y), radius + 14, (215, 190, 220), cv2.FILLED)
    cv2.ellipse(image, (x, y), (radius, radius), 0, gap, 360, (110, 60, 150), thickness)
    cv2.circle(image, (x + 3, y - 2), radius - thickness - 10, (100, 50, 140), cv2.FILLED)
    assert contours(cv2.GaussianBlur(image, (0, 0), 1.0)).n_cells == 1


# --- Empty and tiny images -----------------------------------------------------------------------


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("level", [0, 1, 64, 128, 250, 255])
def test_a_uniform_image_holds_no_cell(level):
    assert contours(np.full((90, 120, 3), level, np.uint8)).n_cells == 0


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("white", WHITES)
def test_red_cells_alone_are_no_white_cells(white):
    scene = Scene(white=white).red((40, 40), (120, 60), (80, 130), (180, 140), (205, 60))
    assert contours(scene.image()).n_cells == 0


@pytest.mark.slow_without_jit
def test_an_empty_bright_field_holds_no_cell():
    assert contours(Scene().image()).n_cells == 0


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 9), (2, 2), (3, 3), (5, 5), (5, 300), (8, 8), (16, 16), (31, 7)]
)
def test_tiny_images_raise_nothing(shape):
    rng = np.random.default_rng(0)
    for image in (
        rng.integers(0, 256, (*shape, 3), np.uint8),
        np.zeros((*shape, 3), np.uint8),
        np.full((*shape, 3), 255, np.uint8),
    ):
        masks = contours(image)
        assert masks.shape == shape


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("seed", range(12))
def test_noise_raises_nothing(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(20, 260, 2))
    image = rng.integers(0, 256, (*shape, 3), np.uint8)
    if seed % 2:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(1, 9)))
    masks = contours(image)
    assert masks.shape == shape
    assert np.isfinite(masks.quality["confidence"].astype(float)).all()


@pytest.mark.slow_without_jit
def test_a_grey_image_is_segmented_by_darkness():
    scene = crop()
    grey = cv2.cvtColor(scene.image(), cv2.COLOR_RGB2GRAY)
    masks = contours(np.repeat(grey[..., None], 3, axis=2))
    assert masks.n_cells >= 1
    assert score(masks, scene.masks)["dice_nucleus"][0] >= 0.85


def test_an_array_of_another_kind_is_refused():
    for image in (np.zeros((5, 5)), np.zeros((5, 5, 4), np.uint8), np.zeros((5, 5, 3))):
        with pytest.raises(ValueError, match="uint8 RGB"):
            contours(image)


# --- Real cells -----------------------------------------------------------------------------------


def scored(root: Path, step: int) -> tuple[pd.DataFrame, int]:
    listed = pd.read_csv(root / "manifest.csv")
    tables, spurious = [], 0
    for row in listed.iloc[::step].itertuples():
        image = cv2.cvtColor(cv2.imread(str(root / row.path)), cv2.COLOR_BGR2RGB)
        table = score(contours(image), read_masks(root / row.mask))
        spurious += table.attrs["n_spurious"]
        tables.append(table)
    return pd.concat(tables, ignore_index=True), spurious


@pytest.mark.slow_without_jit
@pytest.mark.realdata
def test_single_cells_in_two_stains(real_data):
    table, spurious = scored(real_data / "segwbc_d1", 2)
    found = table[table["found"]]
    assert len(found) >= 0.99 * len(table)
    assert found["dice_nucleus"].mean() >= 0.95
    assert found["dice_cell"].mean() >= 0.965
    assert table["failed"].mean() <= 0.03
    assert spurious <= 0.06 * len(table)


@pytest.mark.slow_without_jit
@pytest.mark.realdata
def test_smear_fields(real_data):
    table, spurious = scored(real_data / "bccd", 4)
    found = table[table["found"]]
    assert len(found) >= 0.9 * len(table)
    assert found["dice_nucleus"].mean() >= 0.9
    assert found["dice_cell"].mean() >= 0.93
    assert spurious <= 0.06 * len(table)


@pytest.mark.slow_without_jit
@pytest.mark.realdata
def test_cut_out_cells(real_data):
    paths = sorted((real_data / "cnmc_sample").glob("*.bmp"))
    assert paths
    for path in paths:
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        masks = contours(image)
        assert masks.n_cells == 1, path.name
        assert dice(masks.cell, image.max(axis=2) > 0) >= 0.995, path.name
        assert (masks.nucleus > 0).sum() >= 0.4 * (masks.cell > 0).sum(), path.name
