"""`segment.unet` and `segment.best`: given what a perfect network says, the masks are the truth."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hemafeat import datasets, segment
from hemafeat.cli import main
from hemafeat.segment import Masks, _best
from hemafeat.segment._unet import (
    refine as _sharpened,
    tiles as _tiles,
    unet as _unet,
    watershed as _summits,
)
from hemafeat.segment._unet.scale import SIDE


def perfect(cell, nucleus, shape, certainty=6.0):
    """(4, h, w) logits at another size that say what the masks are."""
    out = np.full((4, *shape), -certainty, np.float32)
    size = shape[::-1]
    depth = np.zeros(cell.shape, np.float32)
    for number in range(1, int(cell.max()) + 1):
        mask = np.pad((cell == number).astype(np.uint8), 1)
        reach = cv2.distanceTransform(mask, cv2.DIST_L2, 5)[1:-1, 1:-1]
        depth += reach / max(reach.max(), 1)
    shares = [
        cv2.resize(part.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        for part in (cell == 0, (cell > 0) & (nucleus == 0), nucleus > 0)
    ]
    out[:3] = np.log(np.maximum(shares, np.exp(-certainty)))
    depth = np.clip(cv2.resize(depth, size, interpolation=cv2.INTER_AREA), 0.002, 0.998)
    out[3] = np.log(depth / (1 - depth))
    return out


@pytest.fixture
def oracle(monkeypatch, tmp_path):
    """Make `unet` see a network that knows the truth."""

    def use(cell, nucleus, **more):
        def scores(density, path, near=None):
            return perfect(cell, nucleus, density.shape[:2], **more)

        monkeypatch.setattr(_unet, "scores", scores)

    weights = tmp_path / "unet.onnx"
    weights.touch()
    monkeypatch.setenv(_tiles.PLACE, str(weights))
    return use


@pytest.mark.parametrize("um_per_px", [0.08, 0.12, 0.2])
def test_what_the_network_says_comes_out_at_full_size(oracle, um_per_px):
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


@pytest.mark.parametrize("seed", range(4))
def test_cells_that_touch_are_parted(oracle, seed):
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


def test_lobes_of_a_round_cell_are_joined_and_cells_that_touch_are_not():
    y, x = np.mgrid[:80, :140]
    sector = 1 + (np.arctan2(y - 40, x - 40) + np.pi) // (2 * np.pi / 3 + 1e-9)
    parts = np.where(np.hypot(y - 40, x - 40) < 30, sector, 0).astype(np.int32)
    assert parts.max() == 3
    np.testing.assert_array_equal(_summits._joined(parts), parts > 0)
    # Another cell of the same size laid against it stays one of its own.
    parts[np.hypot(y - 40, x - 99) < 29.5] = 4
    joined = _summits._joined(parts)
    assert joined.max() == 2
    np.testing.assert_array_equal(joined > 0, parts > 0)
    assert len(np.unique(joined[parts == 4])) == 1


def stained(nucleus, rng):
    """Densities of a cell whose nucleus differs in two channels, with noise."""
    density = np.where(nucleus[..., None] > 0, [60, 90, 50], [35, 40, 50])
    return np.clip(density + rng.normal(0, 6, density.shape), 0, 255).astype(np.uint8)


def test_colours_of_the_cell_mend_the_border_of_its_nucleus():
    y, x = np.mgrid[:90, :90]
    cell = (np.hypot(y - 45, x - 45) < 40).astype(np.uint8)
    nucleus = (np.hypot(y - 45, x - 45) < 20).astype(np.uint8)
    # The network has it two pixels too small, and is soft there.
    chance = 1 / (1 + np.exp((np.hypot(y - 45, x - 45) - 18) / 1.5))
    chance = (chance * cell).astype(np.float32)
    density = stained(nucleus, np.random.default_rng(0))
    before = segment.dice((chance > 0.5) & (cell > 0), nucleus)
    after = segment.dice(_sharpened.sharpened(chance, cell, density), nucleus)
    assert before < 0.95
    assert after > 0.98


def test_the_colours_are_weighed_as_scikit_learn_does(monkeypatch):
    discriminant_analysis = pytest.importorskip("sklearn.discriminant_analysis")
    rng = np.random.default_rng(1)
    nucleus = np.zeros((40, 60), np.uint8)
    nucleus[:, :30] = 1
    density, cell = stained(nucleus, rng), np.ones_like(nucleus)
    chance = np.where(nucleus > 0, 0.95, 0.05).astype(np.float32)
    chance[:, 25:35] = 0.5  # left to the colours alone
    monkeypatch.setattr(_sharpened, "SOFT", 0.01)
    monkeypatch.setattr(_sharpened, "RIDGE", 0.0)
    monkeypatch.setattr(_sharpened, "TRUST", 1.0)
    oracle = discriminant_analysis.LinearDiscriminantAnalysis(solver="lsqr", priors=[0.5, 0.5])
    known = (chance > 0.9) | (chance < 0.1)
    oracle.fit(density[known] / 100.0, nucleus[known])
    odds = oracle.decision_function(density[:, 25:35].reshape(-1, 3) / 100.0).reshape(40, 10)
    # The odds of the two means are this far apart.
    apart = float(np.diff(oracle.decision_function(oracle.means_))[0])
    for rim in (0.5, 0.35):
        monkeypatch.setattr(_sharpened, "RIM", rim)
        got = _sharpened.sharpened(chance, cell, density)
        np.testing.assert_array_equal(got[:, 25:35], odds + (0.5 - rim) * apart > 0)


def test_a_nucleus_that_is_thin_at_its_rim_is_whole():
    y, x = np.mgrid[:90, :90]
    away = np.hypot(y - 45, x - 45)
    cell, nucleus = (away < 40).astype(np.uint8), (away < 20).astype(np.uint8)
    # As thick as a flattened drop, on a cytoplasm of one density.
    thickness = np.sqrt(np.clip(1 - (away / 20) ** 2, 0, None))
    density = np.repeat((15 + 60 * thickness)[:, :, None], 3, axis=2).astype(np.uint8)
    chance = (1 / (1 + np.exp((away - 18.5) / 1.5)) * cell).astype(np.float32)
    got = _sharpened.sharpened(chance, cell, density)
    assert segment.dice(got, nucleus) > segment.dice(chance > 0.5, nucleus) + 0.01


def test_where_network_and_threshold_differ_the_threshold_has_the_nucleus(oracle):
    one = datasets.draw_cell("neutrophil", random_state=4)
    y, x = np.nonzero(one.cell)
    wrong = np.zeros_like(one.nucleus)
    cv2.circle(wrong, (int(x.mean()), int(y.mean())), 14, 1, cv2.FILLED)
    wrong[one.cell == 0] = 0
    oracle(one.cell, wrong)
    found = segment.unet(one.image)
    assert segment.dice(wrong, one.nucleus) < 0.7
    assert segment.dice(found.nucleus, one.nucleus) > 0.9
    oracle(one.cell, one.nucleus)
    assert found.quality["confidence"][0] < segment.unet(one.image).quality["confidence"][0]


def test_a_nucleus_of_too_few_sure_pixels_is_what_the_network_says():
    chance = np.full((20, 20), 0.6, np.float32)
    chance[:10] = 0.4
    got = _sharpened.sharpened(chance, np.ones((20, 20), np.uint8), np.zeros((20, 20, 3), np.uint8))
    np.testing.assert_array_equal(got, chance > 0.5)


@pytest.mark.parametrize(("sure", "looks"), [([6.0], 1), ([1.2, 6.0], 2), ([1.2, 1.0, 2.0], 3)])
def test_where_it_is_not_sure_it_looks_again_and_keeps_the_surer(oracle, monkeypatch, sure, looks):
    one = datasets.draw_cell("lymphocyte", random_state=1)
    alone = []
    for certainty in sure:
        monkeypatch.setattr(_unet, "SURE", 0.0)
        oracle(one.cell, one.nucleus, certainty=certainty)
        alone.append(segment.unet(one.image).quality["confidence"][0])
    monkeypatch.undo()
    monkeypatch.setenv(_tiles.PLACE, __file__)
    seen = []

    def scores(density, path, near=None):
        seen.append(density.shape)
        certainty = sure[len(seen) - 1]
        return perfect(one.cell, one.nucleus, density.shape[:2], certainty=certainty)

    monkeypatch.setattr(_unet, "scores", scores)
    found = segment.unet(one.image)
    assert len(seen) == looks
    sizes = [shape[0] / seen[0][0] for shape in seen[1:]]
    assert sizes == pytest.approx(_unet.OTHER_SIZES[: len(sizes)], rel=0.02)
    assert found.n_cells == 1
    assert found.quality["confidence"][0] == pytest.approx(max(alone), abs=0.05)


def test_doubt_lowers_confidence_and_is_told(oracle):
    one = datasets.draw_cell("lymphocyte", random_state=1)
    before = 1.0
    for certainty in (6.0, 3.0, 1.2):
        oracle(one.cell, one.nucleus, certainty=certainty)
        found = segment.unet(one.image)
        assert found.n_cells == 1
        assert found.quality["confidence"][0] < before
        before = found.quality["confidence"][0]
    assert found.quality["suspected_failure"][0]
    assert "the network is not sure" in found.quality["failure_reason"][0]


def test_the_expected_dice_is_that_of_truths_drawn_at_random():
    rng = np.random.default_rng(0)
    chance = cv2.GaussianBlur(rng.random((60, 60)), (0, 0), 6)
    chance = (chance - chance.min()) / (chance.max() - chance.min())
    mask = chance > 0.5
    drawn = [segment.dice(mask, rng.random(chance.shape) < chance) for _ in range(300)]
    assert _unet._expected_dice(chance) == pytest.approx(np.mean(drawn), abs=0.005)


def test_a_cell_without_a_nucleus_is_none(oracle):
    one = datasets.draw_cell("lymphocyte", random_state=1)
    oracle(one.cell, np.zeros_like(one.nucleus))
    assert segment.unet(one.image).n_cells == 0


def test_a_cell_cut_out_is_left_to_contours(oracle):
    one = datasets.draw_cell("monocyte", stain=datasets.Stain.preset("black"), random_state=1)
    oracle(np.zeros_like(one.cell), one.nucleus)
    got, want = segment.unet(one.image), segment.contours(one.image)
    np.testing.assert_array_equal(got.cell, want.cell)


@pytest.mark.parametrize("length", [1, 100, SIDE, SIDE + 1, 300, 1000])
def test_squares_cover_an_image_and_overlap(length):
    starts = _tiles._starts(length)
    seen = np.zeros(max(length, SIDE), int)
    for start in starts:
        assert start + SIDE <= seen.size
        seen[start : start + SIDE] += 1
    assert seen.min() >= 1
    steps = np.diff(starts)
    assert (steps <= SIDE - _tiles.OVERLAP + 1).all()


def test_squares_without_anything_are_left_out(monkeypatch, tmp_path):
    looked = []

    def square(density, path, side=None):
        looked.append(density.shape)
        return np.ones((4, SIDE, SIDE), np.float32)

    monkeypatch.setattr(_tiles, "_square", square)
    near = np.zeros((40, 80), np.uint8)
    near[5, 5] = 1
    out = _tiles.scores(np.zeros((400, 800, 3), np.uint8), tmp_path, near)
    assert len(looked) == 1
    assert out.shape == (4, 400, 800)
    np.testing.assert_allclose(out[:, 10, 10], 1.0)
    np.testing.assert_allclose(out[:, 399, 799], _tiles.BACKGROUND)
    looked.clear()
    np.testing.assert_allclose(_tiles.scores(np.zeros((400, 800, 3), np.uint8), tmp_path), 1.0)
    assert len(looked) > 8


@pytest.mark.parametrize(
    ("shape", "side"), [((40, 90), 96), ((96, 96), 96), ((97, 20), 128), ((100, 192), 192)]
)
def test_a_small_image_is_seen_in_a_small_square(monkeypatch, tmp_path, shape, side):
    class Net:
        def setInput(self, blob):
            self.blob = blob

        def forward(self):
            return np.concatenate([self.blob, self.blob[:, :1]], axis=1)

    asked = []
    monkeypatch.setattr(_tiles, "network", lambda path, side: asked.append(side) or Net())
    density = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    out = _tiles.scores(density, tmp_path)
    assert asked == [side]
    np.testing.assert_allclose(out[:3], density.transpose(2, 0, 1) / 100, rtol=1e-6)


def test_without_weights_it_is_said_how_to_get_them(monkeypatch, tmp_path):
    monkeypatch.delenv(_tiles.PLACE, raising=False)
    monkeypatch.setattr(_tiles, "SHIPPED", tmp_path / "none.onnx")
    image = np.full((40, 40, 3), 240, np.uint8)
    for find in (segment.unet, segment.best):
        with pytest.raises(FileNotFoundError, match="HEMAFEAT_UNET=PATH"):
            find(image)
    with pytest.raises(segment.SegmenterError, match="unet:PATH"):
        segment.segmenter("unet")
    with pytest.raises(segment.SegmenterError, match=r"nowhere\.onnx: no such file"):
        segment.segmenter("best:nowhere.onnx")


def test_a_file_that_is_no_network_is_named(tmp_path):
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no network at all")
    with pytest.raises(ValueError, match=r"bad\.onnx is no network"):
        segment.unet(np.full((40, 40, 3), 240, np.uint8) // 2 + 60, weights=bad)
    with pytest.raises(segment.SegmenterError, match=r"bad\.onnx is no network"):
        segment.segmenter(f"unet:{bad}")


def test_the_command_line_names_what_is_wrong(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((60, 60, 3), 240, np.uint8))
    code = main(
        ["segment", str(tmp_path), "--segmenter", "unet:gone.onnx", "--out", str(tmp_path / "o")]
    )
    assert code != 0
    assert "gone.onnx: no such file of weights" in capsys.readouterr().err


def some(cells, shape=(60, 80), confidence=None):
    """Masks of discs (x, y, radius), with nuclei of half the radius."""
    cell, nucleus = (np.zeros(shape, np.int32) for _ in range(2))
    for number, (x, y, radius) in enumerate(cells, 1):
        cv2.circle(cell, (x, y), radius, number, cv2.FILLED)
        cv2.circle(nucleus, (x, y), radius // 2, number, cv2.FILLED)
    confidence = np.array([0.9] * len(cells) if confidence is None else confidence)
    suspected = confidence < 0.5
    return Masks(cell, nucleus, {"confidence": confidence, "suspected_failure": suspected})


def test_of_two_outlines_the_more_trusted_is_taken():
    one = some([(20, 20, 10), (60, 40, 14)], confidence=[0.9, 0.6])
    two = some([(21, 20, 11), (60, 40, 12)], confidence=[0.8, 0.7])
    got = _best.chosen({"contours": one, "unet": two})
    assert got.n_cells == 2
    assert list(got.quality["segmenter"]) == ["unet", "contours"]
    np.testing.assert_array_equal(got.cell == 1, two.cell == 2)
    np.testing.assert_array_equal(got.nucleus == 2, one.nucleus == 1)


def test_a_cell_one_alone_has_found_needs_to_be_trusted():
    one = some([(20, 20, 10)])
    two = some([(20, 20, 9), (60, 40, 12), (60, 12, 8)], confidence=[0.3, 0.8, 0.7])
    got = _best.chosen({"contours": one, "unet": two})
    assert list(got.quality["segmenter"]) == ["unet", "contours"]
    assert got.cell[12, 60] == 0
    none = some([])
    assert _best.chosen({"contours": none, "unet": two}).n_cells == 3
    assert _best.chosen({"contours": none, "unet": none}).n_cells == 0


def test_an_outline_round_two_cells_gives_way_to_two():
    one = some([(40, 30, 24)], confidence=[0.4])
    two = some([(28, 30, 11), (52, 30, 11)])
    got = _best.chosen({"contours": one, "unet": two})
    assert got.n_cells == 2
    assert set(got.quality["segmenter"]) == {"unet"}


def test_an_outline_round_a_clump_goes_whatever_its_confidence():
    clump = some([(40, 30, 29)], confidence=[0.99])
    two = some([(25, 30, 15), (56, 30, 15)], confidence=[0.7, 0.7])
    together = _best.chosen({"contours": clump, "unet": two})
    assert together.n_cells == 2
    assert set(together.quality["segmenter"]) == {"unet"}
    # Small or ragged pieces of one cell, and cells the other is not sure of, are no clump.
    for pieces in (
        some([(27, 30, 7), (54, 30, 7)], confidence=[0.7, 0.7]),
        some([(25, 30, 15), (56, 30, 15)], confidence=[0.4, 0.4]),
    ):
        together = _best.chosen({"contours": clump, "unet": pieces})
        assert together.n_cells == 1
        assert set(together.quality["segmenter"]) == {"contours"}


def test_best_takes_what_unet_knows_better(oracle):
    field = datasets.draw_field(
        ["monocyte", "lymphocyte"], shape=(360, 360), um_per_px=0.12, random_state=6
    )
    oracle(field.cell, field.nucleus)
    scores = segment.score(segment.best(field.image), Masks(field.cell, field.nucleus))
    assert scores["found"].all()
    assert scores["dice_cell"].min() > 0.9
