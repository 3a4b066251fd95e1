"""`segment.unet` and `segment.best`: a perfect network gives the true masks."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from hemafeat import datasets, segment
from hemafeat.cli import main
from hemafeat.segment import Masks, _best
from hemafeat.segment._contours.nuclei import Seed
from hemafeat.segment._unet import (
    cells as _cells,
    looks as _looks,
    refine as _refine,
    tiles as _tiles,
    unet as _unet,
    watershed as _watershed,
    windows as _windows,
)


def perfect(cell, nucleus, shape, certainty=6.0, red=None, platelet=None, flat=False):
    """Return the (6, h, w) probabilities of a network that knows the truth, at another size."""
    size = shape[::-1]
    depth = np.zeros(cell.shape, np.float32)
    for number in range(1, int(cell.max()) + 1):
        mask = np.pad((cell == number).astype(np.uint8), 1)
        reach = cv2.distanceTransform(mask, cv2.DIST_L2, 5)[1:-1, 1:-1]
        depth += reach / max(reach.max(), 1)
    red, platelet = (
        np.zeros_like(cell) if part is None else np.where(cell > 0, 0, part)
        for part in (red, platelet)
    )
    shares = [
        cv2.resize(part.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        for part in (
            (cell == 0) & (red == 0) & (platelet == 0),
            red > 0,
            (platelet > 0) & (red == 0),
            (cell > 0) & (nucleus == 0),
            nucleus > 0,
        )
    ]
    chances = np.maximum(shares, 0.5 * np.exp(-certainty)).astype(np.float32)
    depth = np.clip(cv2.resize(depth, size, interpolation=cv2.INTER_AREA), 0.002, 0.998)
    if flat:
        depth = np.where(chances[3] + chances[4] > 0.5, 0.9, 0.002).astype(np.float32)
    return np.concatenate([chances / chances.sum(axis=0), depth[None]])


def size_at(labels, zoom):
    """Return height and width of a window at the scale of the network."""
    return tuple(max(1, round(length * zoom)) for length in labels.shape)


@pytest.fixture
def oracle(monkeypatch, tmp_path):
    """Replace the network of `unet` by one that knows the truth."""

    def use(cell, nucleus, certainty=6.0, flat=False, **others):
        def run_network(image, frame, window, zoom, gain, path):
            parts = {name: labels[window] for name, labels in others.items()}
            size = size_at(cell[window], zoom)
            return perfect(cell[window], nucleus[window], size, certainty, flat=flat, **parts)

        monkeypatch.setattr(_looks, "_run_network", run_network)

    weights = tmp_path / "unet.onnx"
    weights.touch()
    monkeypatch.setenv(_tiles.VARIABLE, str(weights))
    return use


@pytest.mark.parametrize(
    "um_per_px", [*(pytest.param(x, marks=pytest.mark.slow_without_jit) for x in (0.08, 0.12)), 0.2]
)
def test_masks_at_full_size_are_those_of_the_network(oracle, um_per_px):
    shape = (round(54 / um_per_px), round(70 / um_per_px))
    kinds = ["neutrophil", "lymphocyte", "monocyte"]
    field = datasets.draw_field(
        kinds, shape=shape, um_per_px=um_per_px, touching=0.0, random_state=3
    )
    oracle(field.cell, field.nucleus)
    scores = segment.score(segment.unet(field.image), Masks(field.cell, field.nucleus))
    assert scores.attrs["n_spurious"] == 0
    assert scores["dice_cell"].min() > 0.97
    assert scores["dice_nucleus"].min() > 0.94
    assert not scores["suspected_failure"].any()


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("seed", range(4))
def test_touching_cells_are_separated(oracle, seed):
    field = datasets.draw_field(
        ["monocyte", "lymphocyte", "neutrophil"],
        shape=(400, 500),
        um_per_px=0.12,
        touching=1.0,
        random_state=seed,
    )
    touching = cv2.connectedComponents((field.cell > 0).astype(np.uint8))[0] - 1
    assert touching < 3
    oracle(field.cell, field.nucleus)
    scores = segment.score(segment.unet(field.image), Masks(field.cell, field.nucleus))
    assert scores["found"].all()
    assert scores.attrs["n_spurious"] == 0
    assert scores["dice_cell"].min() > 0.94


def test_lobes_of_a_round_cell_are_joined_but_touching_cells_are_not():
    y, x = np.mgrid[:80, :140]
    sector = 1 + (np.arctan2(y - 40, x - 40) + np.pi) // (2 * np.pi / 3 + 1e-9)
    parts = np.where(np.hypot(y - 40, x - 40) < 30, sector, 0).astype(np.int32)
    assert parts.max() == 3
    depth = np.full(parts.shape, 0.8, np.float32)
    np.testing.assert_array_equal(_watershed._join_lobes(parts, depth), parts > 0)
    # A deep valley parts cells that are round together.
    border = cv2.morphologyEx(parts.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3))) > 0
    valley = np.where(border, 0.3, depth)
    np.testing.assert_array_equal(_watershed._join_lobes(parts, valley), parts)
    # Another cell of the same size beside it stays a cell of its own.
    parts[np.hypot(y - 40, x - 99) < 29.5] = 4
    joined = _watershed._join_lobes(parts, depth)
    assert joined.max() == 2
    np.testing.assert_array_equal(joined > 0, parts > 0)
    assert len(np.unique(joined[parts == 4])) == 1


def test_cores_are_flooded_up_to_the_valley_between_them():
    x = np.arange(41)
    depth = np.tile(np.maximum(1 - np.abs(x - 10) / 12, 1 - np.abs(x - 28) / 14), (9, 1))
    cores = _watershed._find_cores(depth)
    assert cores.max() == 2
    region = np.ones(depth.shape, bool)
    region[0] = False
    parts = _watershed._flood(cores, depth, region)
    assert not parts[0].any()
    # The two slopes meet where they are equally deep, within one step of the depth.
    border = np.flatnonzero(np.diff(parts[5]))
    assert border.size == 1
    assert abs(border[0] + 0.5 - 18.3) <= 1.5


@pytest.mark.parametrize("oversampling", [1.0, 1.25])
def test_the_input_of_the_network_has_its_scale_and_stain(oversampling):
    drawn = datasets.draw_field(["neutrophil", "monocyte"], um_per_px=0.08, random_state=2)
    density, cell, nucleus, zoom = segment.unet_input(
        drawn.image, drawn.cell, drawn.nucleus, oversampling=oversampling
    )
    assert density.shape[:2] == cell.shape == nucleus.shape
    assert zoom == pytest.approx(1 / oversampling)
    areas = np.bincount(cell[nucleus > 0])[1:]
    radius = zoom * np.median(np.sqrt(areas / np.pi))
    assert radius == pytest.approx(segment.UNET_RADIUS, rel=0.02)
    assert np.median(density.mean(axis=2)[density.mean(axis=2) > 8]) == pytest.approx(25, abs=8)
    with pytest.raises(ValueError, match="uint8 RGB"):
        segment.unet_input(drawn.image[:, :, 0], drawn.cell, drawn.nucleus)


def test_the_input_of_the_network_has_labels_that_fit():
    drawn = datasets.draw_cell("monocyte", random_state=2, size=100)
    cell, nucleus = drawn.cell, drawn.nucleus
    for labels in (cell[:-1], cell.repeat(2, 0), cell[:, 1:], cell[::2, ::2], cell[..., None]):
        with pytest.raises(segment.MaskError, match="height"):
            segment.unet_input(drawn.image, labels, nucleus)
        with pytest.raises(segment.MaskError, match="height"):
            segment.unet_input(drawn.image, cell, labels)
    with pytest.raises(segment.MaskError, match="above 65535"):
        segment.unet_input(drawn.image, cell.astype(np.int64) * 65537, nucleus)


def noisy_density(nucleus, rng):
    """Return the densities of a cell whose nucleus differs in two channels, with noise."""
    density = np.where(nucleus[..., None] > 0, [60, 90, 50], [35, 40, 50])
    return np.clip(density + rng.normal(0, 6, density.shape), 0, 255).astype(np.uint8)


def test_labels_of_another_size_are_refused():
    drawn = datasets.draw_cell("monocyte", random_state=0)
    with pytest.raises(segment.MaskError, match="mask is 20 x 30 and the image"):
        segment.unet_input(drawn.image, drawn.cell[:20, :30], drawn.nucleus[:20, :30])


def test_colours_of_the_cell_correct_the_border_of_its_nucleus():
    y, x = np.mgrid[:90, :90]
    cell = (np.hypot(y - 45, x - 45) < 40).astype(np.uint8)
    nucleus = (np.hypot(y - 45, x - 45) < 20).astype(np.uint8)
    # The nucleus of the network is two pixels too small, with a soft border.
    chance = 1 / (1 + np.exp((np.hypot(y - 45, x - 45) - 18) / 1.5))
    chance = (chance * cell).astype(np.float32)
    density = noisy_density(nucleus, np.random.default_rng(0))
    before = segment.dice((chance > 0.5) & (cell > 0), nucleus)
    after = segment.dice(_refine.refine_nucleus(chance, cell, density), nucleus)
    assert before < 0.95
    assert after > 0.98


def test_the_discriminant_is_that_of_scikit_learn(monkeypatch):
    discriminant_analysis = pytest.importorskip("sklearn.discriminant_analysis")
    rng = np.random.default_rng(1)
    nucleus = np.zeros((40, 60), np.uint8)
    nucleus[:, :30] = 1
    density, cell = noisy_density(nucleus, rng), np.ones_like(nucleus)
    chance = np.where(nucleus > 0, 0.95, 0.05).astype(np.float32)
    chance[:, 25:35] = 0.5  # only the colours count
    monkeypatch.setattr(_refine, "SOFT", 0.01)
    monkeypatch.setattr(_refine, "RIDGE", 0.0)
    monkeypatch.setattr(_refine, "TRUST", 1.0)
    oracle = discriminant_analysis.LinearDiscriminantAnalysis(solver="lsqr", priors=[0.5, 0.5])
    sure = (chance > 0.9) | (chance < 0.1)
    oracle.fit(density[sure] / 100.0, nucleus[sure])
    odds = oracle.decision_function(density[:, 25:35].reshape(-1, 3) / 100.0).reshape(40, 10)
    difference = float(np.diff(oracle.decision_function(oracle.means_))[0])
    for rim in (0.5, 0.35):
        monkeypatch.setattr(_refine, "RIM", rim)
        refined = _refine.refine_nucleus(chance, cell, density)
        np.testing.assert_array_equal(refined[:, 25:35], odds + (0.5 - rim) * difference > 0)


def test_a_nucleus_that_is_thin_at_its_rim_is_complete():
    y, x = np.mgrid[:90, :90]
    radius = np.hypot(y - 45, x - 45)
    cell, nucleus = (radius < 40).astype(np.uint8), (radius < 20).astype(np.uint8)
    # A flattened drop on a cytoplasm of uniform density.
    thickness = np.sqrt(np.clip(1 - (radius / 20) ** 2, 0, None))
    density = np.repeat((15 + 60 * thickness)[:, :, None], 3, axis=2).astype(np.uint8)
    chance = (1 / (1 + np.exp((radius - 18.5) / 1.5)) * cell).astype(np.float32)
    refined = _refine.refine_nucleus(chance, cell, density)
    assert segment.dice(refined, nucleus) > segment.dice(chance > 0.5, nucleus) + 0.01


@pytest.mark.slow_without_jit
def test_the_threshold_overrules_the_network_where_their_nuclei_differ(oracle):
    drawn = datasets.draw_cell("neutrophil", random_state=4)
    y, x = np.nonzero(drawn.cell)
    wrong = np.zeros_like(drawn.nucleus)
    cv2.circle(wrong, (int(x.mean()), int(y.mean())), 14, 1, cv2.FILLED)
    wrong[drawn.cell == 0] = 0
    oracle(drawn.cell, wrong)
    masks = segment.unet(drawn.image)
    assert segment.dice(wrong, drawn.nucleus) < 0.7
    assert segment.dice(masks.nucleus, drawn.nucleus) > 0.9
    oracle(drawn.cell, drawn.nucleus)
    assert masks.quality["confidence"][0] < segment.unet(drawn.image).quality["confidence"][0]


def test_a_nucleus_with_few_certain_pixels_is_that_of_the_network():
    chance = np.full((20, 20), 0.6, np.float32)
    chance[:10] = 0.4
    cell, density = np.ones((20, 20), np.uint8), np.zeros((20, 20, 3), np.uint8)
    refined = _refine.refine_nucleus(chance, cell, density)
    np.testing.assert_array_equal(refined, chance > 0.5)


@pytest.mark.slow_without_jit
@pytest.mark.parametrize(
    ("certainties", "n_runs"), [([6.0], 1), ([2.4, 6.0], 2), ([2.4, 2.2, 3.0], 3)]
)
def test_a_doubtful_image_is_seen_at_other_scales(oracle, monkeypatch, certainties, n_runs):
    drawn = datasets.draw_cell("lymphocyte", random_state=1)
    confidences = []
    for certainty in certainties:
        monkeypatch.setattr(_unet, "SURE", 0.0)
        oracle(drawn.cell, drawn.nucleus, certainty=certainty)
        confidences.append(segment.unet(drawn.image).quality["confidence"][0])
    monkeypatch.undo()
    monkeypatch.setenv(_tiles.VARIABLE, __file__)
    zooms = []

    def run_network(image, frame, window, zoom, gain, path):
        zooms.append(zoom)
        cell, nucleus = drawn.cell[window], drawn.nucleus[window]
        certainty = certainties[len(zooms) - 1]
        return perfect(cell, nucleus, size_at(cell, zoom), certainty=certainty)

    monkeypatch.setattr(_looks, "_run_network", run_network)
    masks = segment.unet(drawn.image)
    assert len(zooms) == n_runs
    scales = [zoom / zooms[0] for zoom in zooms[1:]]
    assert scales == pytest.approx(_unet.OTHER_SCALES[: len(scales)])
    assert masks.n_cells == 1
    assert masks.quality["confidence"][0] == pytest.approx(max(confidences), abs=0.05)


@pytest.mark.slow_without_jit
def test_doubt_lowers_confidence_and_is_reported(oracle):
    drawn = datasets.draw_cell("lymphocyte", random_state=1)
    before = 1.0
    for certainty in (6.0, 3.0, 1.2):
        oracle(drawn.cell, drawn.nucleus, certainty=certainty)
        masks = segment.unet(drawn.image)
        assert masks.n_cells == 1
        assert masks.quality["confidence"][0] < before
        before = masks.quality["confidence"][0]
    assert masks.quality["suspected_failure"][0]
    assert "the network is not sure" in masks.quality["failure_reason"][0]


def test_the_expected_dice_is_that_of_truths_drawn_at_random():
    rng = np.random.default_rng(0)
    chance = cv2.GaussianBlur(rng.random((60, 60)), (0, 0), 6)
    chance = (chance - chance.min()) / (chance.max() - chance.min())
    mask = chance > 0.5
    drawn = [segment.dice(mask, rng.random(chance.shape) < chance) for _ in range(300)]
    assert _cells.expected_dice(chance) == pytest.approx(np.mean(drawn), abs=0.005)


def test_a_cell_without_a_nucleus_is_left_out_in_a_field(oracle):
    field = datasets.draw_field(["lymphocyte"], shape=(500, 700), random_state=1)
    oracle(field.cell, np.zeros_like(field.nucleus), red=field.red)
    assert segment.unet(field.image).n_cells == 0


def test_a_crop_in_which_the_network_sees_nothing_has_the_cell_of_contours(oracle):
    drawn = datasets.draw_cell("lymphocyte", random_state=1)
    oracle(drawn.cell, np.zeros_like(drawn.nucleus))
    masks, expected = segment.unet(drawn.image), segment.contours(drawn.image)
    assert masks.n_cells == 1
    np.testing.assert_array_equal(masks.cell, expected.cell)
    np.testing.assert_array_equal(masks.nucleus, expected.nucleus)
    assert masks.quality["confidence"] == pytest.approx(expected.quality["confidence"], abs=1e-5)


def test_a_cell_cut_out_is_segmented_by_contours(oracle):
    drawn = datasets.draw_cell("monocyte", stain=datasets.Stain.preset("black"), random_state=1)
    oracle(np.zeros_like(drawn.cell), drawn.nucleus)
    masks, expected = segment.unet(drawn.image), segment.contours(drawn.image)
    np.testing.assert_array_equal(masks.cell, expected.cell)


@pytest.mark.parametrize("length", [1, 100, _tiles.SIDE, _tiles.SIDE + 1, 500, 1000])
def test_squares_cover_an_image_and_overlap(length):
    starts = _tiles._starts(length)
    covered = np.zeros(max(length, _tiles.SIDE), int)
    for start in starts:
        assert start + _tiles.SIDE <= covered.size
        covered[start : start + _tiles.SIDE] += 1
    assert covered.min() >= 1
    steps = np.diff(starts)
    assert (steps <= _tiles.SIDE - _tiles.OVERLAP + 1).all()


def test_squares_are_joined_without_a_seam(monkeypatch, tmp_path):
    shapes = []

    def run(density, path):
        shapes.append(density.shape)
        return np.repeat(density[None, :, :, 0].astype(np.float32), 6, axis=0)

    monkeypatch.setattr(_tiles, "_run", run)
    density = np.random.default_rng(0).integers(0, 255, (400, 800, 3), dtype=np.uint8)
    out = _tiles.predict_logits(density, tmp_path)
    assert len(shapes) == 6
    np.testing.assert_allclose(out, np.repeat(density[None, :, :, 0], 6, axis=0), rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "padded"),
    [((40, 90), (48, 96)), ((96, 96), (96, 96)), ((97, 20), (112, 32)), ((1, 192), (16, 192))],
)
def test_the_sides_of_the_input_are_whole_steps(monkeypatch, tmp_path, shape, padded):
    class Net:
        def setInput(self, blob):
            self.blob = blob

        def forward(self):
            return np.concatenate([self.blob, self.blob], axis=1)

    net = Net()
    monkeypatch.setattr(_tiles, "load_network", lambda path: net)
    density = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    out = _tiles.predict_logits(density, _tiles.UNET_WEIGHTS)
    assert net.blob.shape == (1, 3, *padded)
    # Networks of one's own may halve their input once more.
    _tiles.predict_logits(density, tmp_path)
    assert net.blob.shape == (1, 3, *(-(-side // 32) * 32 for side in shape))
    np.testing.assert_allclose(out[:3], density.transpose(2, 0, 1) / 100, rtol=1e-6)


@pytest.mark.parametrize("shape", [(32, 48), (40, 90)])
def test_logits_in_blocks_of_pixels_are_arranged(monkeypatch, tmp_path, shape):
    class Net:
        def setInput(self, blob):
            self.whole = np.concatenate([blob, -blob], axis=1)

        def forward(self):
            parts = [self.whole[:, :, dy::2, dx::2] for dy in range(2) for dx in range(2)]
            return np.stack(parts, axis=2).reshape(1, 24, *parts[0].shape[2:])

    net = Net()
    monkeypatch.setattr(_tiles, "load_network", lambda path: net)
    density = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    out = _tiles.predict_logits(density, tmp_path)
    np.testing.assert_array_equal(out, net.whole[0, :, : shape[0], : shape[1]])


def seeds_at(boxes):
    """Make seeds of the corners (left, top, right, bottom) of their hulls."""
    hulls = [np.array([(a, b), (c, b), (c, d), (a, d)], np.int32) for a, b, c, d in boxes]
    return [Seed([hull[:, None]], 1.0, hull, (0.0, 0.0), 1.0) for hull in hulls]


@pytest.mark.parametrize("zoom", [0.37, 1.0, 1.8])
def test_windows_hold_the_nuclei_do_not_overlap_and_are_whole_steps(zoom):
    rng = np.random.default_rng(0)
    shape, scale, margin = (1200, 900), 4.0, 40.0
    for n in (1, 2, 5, 12):
        corners = rng.integers(0, [210, 290], (n, 2))
        boxes = [(x, y, x + 12, y + 7) for x, y in corners.tolist()]
        windows = _windows.find_windows(seeds_at(boxes), scale, shape, zoom, margin)
        covered = np.zeros(shape, int)
        for window in windows:
            assert covered[window].shape == tuple(part.stop - part.start for part in window)
            covered[window] += 1
            for part, length in zip(window, shape, strict=True):
                side = part.stop - part.start
                steps = round(side * zoom / _tiles.STEP)
                assert side == length or abs(side * zoom - steps * _tiles.STEP) <= zoom
        assert covered.max() == 1
        for left, top, right, bottom in boxes:
            # A window that was rounded down to whole pixels may lose one.
            around = np.s_[
                max(0, math.ceil(scale * top - margin / zoom) + 1) : int(scale * (bottom + 1) + 1),
                max(0, math.ceil(scale * left - margin / zoom) + 1) : int(scale * (right + 1) + 1),
            ]
            assert covered[around].all()


def test_the_window_is_the_whole_image_without_a_nucleus_and_where_cells_are_crowded():
    assert _windows.find_windows([], 2.0, (30, 40), 1.0, 40.0) == [(slice(0, 30), slice(0, 40))]
    corners = [(x, y, x + 20, y + 20) for x in (30, 90, 150) for y in (30, 90, 150)]
    crowded = _windows.find_windows(seeds_at(corners), 2.0, (400, 400), 1.0, 60.0)
    assert crowded == [(slice(0, 400), slice(0, 400))]
    few = _windows.find_windows(seeds_at(corners[:1]), 2.0, (400, 400), 1.0, 60.0)
    assert few != crowded


def test_a_window_that_cuts_a_cell_is_enlarged(oracle, monkeypatch):
    drawn = datasets.draw_cell("neutrophil", random_state=1)
    oracle(drawn.cell, drawn.nucleus)
    monkeypatch.setattr(_looks, "MARGINS", (0.0, 60.0))
    margins = []

    def find_windows(*args):
        margins.append(args[-1])
        return _windows.find_windows(*args)

    monkeypatch.setattr(_looks, "find_windows", find_windows)
    masks = segment.unet(drawn.image)
    assert margins[:2] == [0.0, 60.0]
    assert segment.score(masks, Masks(drawn.cell, drawn.nucleus))["dice_cell"].min() > 0.95


def test_a_field_is_seen_as_a_whole_and_a_crop_around_its_nucleus(oracle, monkeypatch):
    field = datasets.draw_field(["lymphocyte"], shape=(600, 900), um_per_px=0.12, random_state=2)
    drawn = datasets.draw_cell("lymphocyte", neighbours=0.4, random_state=2)
    shares = []
    for one, others in ((field, {"red": field.red}), (drawn, {})):
        oracle(one.cell, one.nucleus, **others)
        run, seen = _looks._run_network, []

        def run_network(image, frame, window, zoom, *rest, run=run, seen=seen):
            seen.append(image[window].size / image.size)
            return run(image, frame, window, zoom, *rest)

        monkeypatch.setattr(_looks, "_run_network", run_network)
        assert segment.unet(one.image).n_cells == 1
        shares.append(seen)
    assert shares[0] == [1]
    assert max(shares[1]) < 0.6


@pytest.mark.parametrize("um_per_px", [0.08, 0.15, 0.3])
def test_red_cells_tell_the_scale(oracle, monkeypatch, um_per_px):
    shape = (round(80 / um_per_px),) * 2
    field = datasets.draw_field([], shape=shape, um_per_px=um_per_px, random_state=4)
    zooms = []
    oracle(field.cell, field.nucleus, red=field.red)
    run = _looks._run_network

    def run_network(image, frame, window, zoom, gain, path):
        zooms.append(zoom)
        return run(image, frame, window, zoom, gain, path)

    monkeypatch.setattr(_looks, "_run_network", run_network)
    assert segment.unet(field.image).n_cells == 0
    assert zooms[-1] == pytest.approx(um_per_px / segment.UNET_UM_PER_PX, rel=0.35)


def test_a_wrong_scale_is_seen_by_the_network_and_corrected(oracle, monkeypatch):
    field = datasets.draw_field(
        ["monocyte"], shape=(400, 400), um_per_px=0.15, touching=0.0, random_state=4
    )
    oracle(field.cell, field.nucleus, red=field.red)
    monkeypatch.setattr(_looks, "_zooms", lambda *_: [0.3])
    masks = segment.unet(field.image)
    assert segment.score(masks, Masks(field.cell, field.nucleus))["dice_cell"].min() > 0.95


def test_a_platelet_in_the_middle_of_a_crop_is_that_of_contours(oracle):
    drawn = datasets.draw_cell("platelet", neighbours=0.3, random_state=1)
    nothing = np.zeros_like(drawn.cell)
    oracle(nothing, nothing, platelet=drawn.cell)
    masks = segment.unet(drawn.image)
    assert masks.n_cells == 1
    assert masks.quality["kind"].tolist() == ["platelet"]
    assert not masks.nucleus.any()
    assert segment.dice(masks.cell, drawn.cell) > 0.9
    np.testing.assert_array_equal(masks.cell, segment.contours(drawn.image).cell)
    cell = datasets.draw_cell("lymphocyte", neighbours=0.3, random_state=1)
    oracle(cell.cell, cell.nucleus, platelet=np.roll(cell.cell, 130, axis=1))
    assert segment.unet(cell.image).quality["kind"].tolist() == ["white cell"]


def test_a_clump_that_cannot_be_parted_is_a_suspected_failure(oracle):
    field = datasets.draw_field(
        ["lymphoblast"] * 4, shape=(400, 400), um_per_px=0.15, touching=1.0, random_state=1
    )
    # A network that sees one cell, with one depth, where four touch.
    whole, nucleus = ((part > 0).astype(np.int32) for part in (field.cell, field.nucleus))
    oracle(whole, nucleus, flat=True)
    masks = segment.unet(field.image)
    assert masks.n_cells == 1
    assert masks.quality["suspected_failure"].tolist() == [True]
    assert "could not be parted" in masks.quality["failure_reason"][0]


def test_missing_weights_are_explained(monkeypatch, tmp_path):
    monkeypatch.delenv(_tiles.VARIABLE, raising=False)
    monkeypatch.setattr(_tiles, "UNET_WEIGHTS", tmp_path / "none.onnx")
    image = np.full((40, 40, 3), 240, np.uint8)
    for find in (segment.unet, segment.best):
        with pytest.raises(FileNotFoundError, match="HEMAFEAT_UNET=PATH"):
            find(image)
    with pytest.raises(segment.SegmenterError, match="unet:PATH"):
        segment.segmenter("unet")
    with pytest.raises(segment.SegmenterError, match=r"nowhere\.onnx: file of U-Net weights"):
        segment.segmenter("best:nowhere.onnx")


def test_a_file_that_is_not_a_network_is_named(tmp_path):
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"not a network")
    with pytest.raises(ValueError, match=r"bad\.onnx is not an ONNX network"):
        segment.unet(np.full((40, 40, 3), 240, np.uint8) // 2 + 60, weights=bad)
    with pytest.raises(segment.SegmenterError, match=r"bad\.onnx is not an ONNX network"):
        segment.segmenter(f"unet:{bad}")
    # The shipped network with the key under which ONNX names another file.
    bad.write_bytes(_tiles.UNET_WEIGHTS.read_bytes() + b"\n\x08location\x12\x10../../etc/passwd")
    with pytest.raises(segment.SegmenterError, match="keeps its weights in another"):
        segment.segmenter(f"unet:{bad}")


def test_the_command_line_names_the_missing_file(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((60, 60, 3), 240, np.uint8))
    code = main(
        ["segment", str(tmp_path), "--segmenter", "unet:gone.onnx", "--out", str(tmp_path / "o")]
    )
    assert code != 0
    assert "gone.onnx: file of U-Net weights (ONNX) not found" in capsys.readouterr().err


def discs(cells, shape=(60, 80), confidence=None):
    """Make masks of discs (x, y, radius), with nuclei of half the radius."""
    cell, nucleus = (np.zeros(shape, np.int32) for _ in range(2))
    for number, (x, y, radius) in enumerate(cells, 1):
        cv2.circle(cell, (x, y), radius, number, cv2.FILLED)
        cv2.circle(nucleus, (x, y), radius // 2, number, cv2.FILLED)
    confidence = np.array([0.9] * len(cells) if confidence is None else confidence)
    quality = {
        "confidence": confidence,
        "suspected_failure": confidence < 0.5,
        "kind": np.full(len(cells), "white cell", object),
    }
    return Masks(cell, nucleus, quality)


@pytest.fixture
def both(monkeypatch, tmp_path):
    """Let the two segmenters of `best` answer as asked; return who was asked."""
    (tmp_path / "unet.onnx").touch()
    monkeypatch.setenv(_tiles.VARIABLE, str(tmp_path / "unet.onnx"))

    def use(first, second):
        asked = []
        monkeypatch.setattr(_best, "segment_by_contours", lambda *_: first)
        monkeypatch.setattr(_best, "segment_by_network", lambda *_: asked.append(1) or second)
        masks = segment.best(np.full((*first.shape, 3), 230, np.uint8))
        return masks, len(asked)

    return use


@pytest.mark.parametrize(
    ("cells", "confidence", "n_asked"),
    [
        ([(40, 30, 14)], [0.99], 0),
        ([(40, 30, 14)], [0.8], 1),  # not sure
        ([(15, 30, 14)], [0.99], 1),  # not in the middle
        ([(40, 30, 4)], [0.99], 1),  # a field, or a platelet
        ([(20, 30, 12), (60, 30, 12)], [0.99, 0.99], 1),
        ([], [], 1),
    ],
)
def test_the_network_is_asked_unless_contours_are_sure_of_one_cell(
    both, cells, confidence, n_asked
):
    first = discs(cells, confidence=confidence)
    second = discs([(40, 31, 13), (70, 10, 5)])
    masks, asked = both(first, second)
    assert asked == n_asked
    assert set(masks.quality["segmenter"]) == {"unet" if n_asked else "contours"}
    np.testing.assert_array_equal(masks.cell, (second if n_asked else first).cell)


@pytest.mark.slow_without_jit
def test_best_is_the_unet_in_a_field(oracle):
    field = datasets.draw_field(
        ["monocyte", "lymphocyte"], shape=(360, 360), um_per_px=0.12, random_state=6
    )
    oracle(field.cell, field.nucleus)
    scores = segment.score(segment.best(field.image), Masks(field.cell, field.nucleus))
    assert scores["found"].all()
    assert scores["dice_cell"].min() > 0.9
