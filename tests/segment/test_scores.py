"""Scores of masks against the truth, on shapes with known scores."""

from __future__ import annotations

import numpy as np
import pytest

from hemafeat.segment import (
    MaskError,
    Masks,
    boundary_distance,
    dice,
    failure_detection,
    iou,
    score,
)


def square(top: int, left: int, side: int, shape: tuple[int, int] = (60, 60)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_dice_and_iou_by_hand():
    a, b = square(10, 10, 20), square(10, 20, 20)
    assert dice(a, b) == pytest.approx(0.5)
    assert iou(a, b) == pytest.approx(1 / 3)
    assert dice(a, a) == iou(a, a) == 1.0
    empty = np.zeros_like(a)
    assert dice(empty, empty) == iou(empty, empty) == 1.0
    assert dice(a, empty) == iou(a, empty) == 0.0
    with pytest.raises(MaskError, match="the true mask"):
        dice(a, b[1:])


def test_dice_and_iou_determine_each_other():
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.random((2, 9, 11)) < 0.5
        j = iou(a, b)
        assert dice(a, b) == pytest.approx(2 * j / (1 + j))


def test_boundary_distance_by_hand():
    a = square(10, 10, 20)
    assert boundary_distance(a, a) == (0.0, 0.0)
    # A square enlarged by 3 px on each side: every border pixel of the inner one is 3 px away, the
    # corners of the outer one 3 sqrt 2.
    mean, worst = boundary_distance(square(7, 7, 26), a)
    assert 3.0 <= mean < 3.1
    assert 3.0 <= worst <= 3 * np.sqrt(2) + 1e-6
    assert np.isnan(boundary_distance(a, np.zeros_like(a))).all()


def test_boundary_distance_agrees_with_pairwise_distances():
    rng = np.random.default_rng(1)
    for _ in range(5):
        a, b = rng.random((2, 15, 17)) < 0.4
        borders = []
        for mask in (a, b):
            padded = np.pad(mask, 1)
            inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
            borders.append(np.argwhere(mask & ~inner).astype(float))
        distances = np.linalg.norm(borders[0][:, None] - borders[1][None], axis=2)
        expected = np.concatenate([distances.min(axis=1), distances.min(axis=0)])
        mean, worst = boundary_distance(a, b)
        assert mean == pytest.approx(expected.mean(), rel=1e-5)
        assert worst == pytest.approx(np.percentile(expected, 95), rel=1e-5)


def test_score_matches_by_overlap_and_counts_spurious_cells():
    true = np.zeros((60, 60), int)
    true[square(2, 2, 20)], true[square(2, 30, 20)], true[square(35, 35, 10)] = 1, 2, 3
    inner = np.zeros_like(true)
    inner[square(7, 7, 10)], inner[square(7, 35, 10)] = 1, 2
    guess = np.zeros_like(true)
    # In reverse order, one shifted; the third true cell is missing, and there is a spurious one.
    guess[square(2, 2, 20)], guess[square(2, 32, 20)], guess[square(45, 5, 10)] = 2, 1, 3
    table = score(Masks(guess, np.where(guess == 2, inner * 2, 0)), Masks(true, inner))
    assert table["predicted"].tolist() == [2, 1, 0]
    assert table["found"].tolist() == [True, True, False]
    assert table["dice_cell"].tolist() == pytest.approx([1.0, 0.9, 0.0])
    assert table["dice_nucleus"].tolist()[:2] == [1.0, 0.0]
    assert np.isnan(table["dice_nucleus"][2])
    assert table["failed"].tolist() == [False, True, True]
    assert table.attrs["n_spurious"] == 1


def test_each_prediction_is_used_once():
    true = np.zeros((60, 60), int)
    true[square(2, 2, 20)], true[square(2, 22, 20)] = 1, 2
    merged = Masks(true > 0, np.zeros_like(true))
    table = score(merged, Masks(true, np.zeros_like(true)))
    assert sorted(table["predicted"]) == [0, 1]


def test_a_true_cell_of_which_only_the_nucleus_is_known():
    nucleus = square(10, 10, 10).astype(int)
    empty = np.zeros_like(nucleus)
    table = score(Masks(square(5, 5, 20), nucleus), Masks(empty, nucleus))
    assert np.isnan(table["dice_cell"][0])
    assert table["dice_nucleus"][0] == 1.0
    assert bool(table["found"][0])
    assert not bool(table["failed"][0])


def test_no_cells_at_all():
    empty = Masks(np.zeros((5, 5), int), np.zeros((5, 5), int))
    assert len(score(empty, empty)) == 0
    assert score(empty, empty).attrs["n_spurious"] == 0
    with pytest.raises(MaskError, match="the true mask"):
        score(empty, Masks(np.zeros((5, 6), int), np.zeros((5, 6), int)))


def test_an_outline_that_hardly_shares_a_cell_is_spurious_and_the_cell_missed():
    true = np.where(square(5, 5, 10), 1, 0)
    guess = np.where(square(5, 5, 40), 1, 0)
    none = np.zeros_like(true)
    flagged = Masks(guess, none, {"suspected_failure": [True], "failure_reason": ["too large"]})
    table = score(flagged, Masks(true, none))
    assert table["predicted"].tolist() == [1]
    assert not table["found"][0]
    assert table["failed"][0]
    assert table["failure_reason"][0] == "too large"
    assert table.attrs["n_spurious"] == 1


def test_least_dice_of_an_outline_that_has_not_failed():
    true, guess = (np.where(square(10, left, 20), 1, 0) for left in (10, 13))
    none = np.zeros_like(true)
    for min_dice, failed in ((0.8, False), (0.9, True)):
        table = score(Masks(guess, none), Masks(true, none), min_dice=min_dice)
        assert table["dice_cell"].tolist() == pytest.approx([0.85])
        assert table["failed"].tolist() == [failed]


def test_what_a_segmenter_calls_a_platelet_is_no_spurious_cell():
    labels = np.where(square(2, 2, 6), 1, np.where(square(30, 30, 20), 2, 0))
    none = np.zeros_like(labels)
    masks = Masks(labels, none, {"kind": ["platelet", "cell"]})
    assert score(masks, np.empty((0, 4))).attrs["n_spurious"] == 1
    # Nor the outline of a white cell that it touches; but of a true platelet it is.
    table = score(masks, Masks(np.where(square(2, 2, 25), 1, 0), none))
    assert table["predicted"].tolist() == [0]
    assert table.attrs["n_spurious"] == 1
    table = score(masks, Masks(np.where(square(2, 2, 7), 1, 0), none))
    assert table["found"].tolist() == [True]


def test_cells_cut_by_the_border():
    cut = np.where(square(20, 0, 10), 1, np.where(square(20, 1, 10), 2, 0))
    true = np.where(square(20, 20, 10), 1, 0) + 2 * square(50, 50, 10)
    none = np.zeros_like(true)
    table = score(Masks(cut, none), Masks(true, none))
    assert table["touches_border"].tolist() == [False, True]
    table = score(Masks(cut, none), np.array([[0, 5, 9, 9], [1, 5, 59, 9], [30, 30, 30, 30]]))
    assert table["touches_border"].tolist() == [True, False, False]


def test_boxes_are_found_by_the_box_around_an_outline():
    labels = np.where(square(10, 10, 10), 1, np.where(square(40, 30, 10), 2, 0))
    masks = Masks(labels, np.zeros_like(labels))
    # The box itself; one of twice the width, of Dice 2 * 100 / 300; one that is not outlined.
    boxes = np.array([[30, 40, 40, 50], [10, 10, 30, 20], [45, 5, 55, 15]])
    table = score(masks, boxes)
    assert table["predicted"].tolist() == [2, 1, 0]
    assert table["found"].tolist() == [True, True, False]
    assert table["dice_box"].tolist() == pytest.approx([1.0, 2 / 3, 0.0])
    assert table["dice_cell"].isna().all()
    assert table["failed"].tolist() == [False, False, True]
    assert table.attrs["n_spurious"] == 0
    assert score(masks, boxes[2:]).attrs["n_spurious"] == 2
    # Dice 2 * 50 / 300: the outline is not that cell.
    table = score(masks, np.array([[15, 10, 35, 20]]))
    assert table["dice_box"].tolist() == pytest.approx([1 / 3])
    assert table["found"].tolist() == [False]
    assert table.attrs["n_spurious"] == 2


def test_points_are_found_by_the_outline_they_lie_in():
    labels = np.where(square(10, 10, 20), 1, np.where(square(40, 35, 10), 2, 0))
    masks = Masks(labels, np.zeros_like(labels))
    # Two in one outline, of which the more central one has it; one beside all; one at the edge.
    table = score(masks, np.array([[12, 12], [19, 21], [50, 5], [44.9, 49.9]]))
    assert table["found"].tolist() == [False, True, False, True]
    assert table["predicted"].tolist() == [0, 1, 0, 2]
    assert table["dice_box"].isna().all()


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        (np.zeros((2, 3)), "expected masks"),
        (np.array([[5.0, np.nan]]), "not a number"),
        (np.array([[9.0, 9.0, 3.0, 12.0]]), "ends before it begins"),
        (np.array([[70.0, 10.0]]), "x = 70, y = 10 lies outside the image, which is 60 wide"),
    ],
)
def test_boxes_and_points_that_cannot_be_right(objects, said):
    empty = np.zeros((60, 60), int)
    with pytest.raises(MaskError, match=said):
        score(Masks(empty, empty), objects)


def test_failure_detection_by_hand():
    import pandas as pd

    scores = pd.DataFrame(
        {
            "predicted": [1, 2, 3, 4, 0],
            "failed": [True, True, False, False, True],
            "suspected_failure": [True, False, True, False, False],
        }
    )
    result = failure_detection(scores)
    assert result == {
        "n": 5,
        "failed": 0.6,
        "flagged": 0.4,
        "precision": 0.5,
        "recall": pytest.approx(1 / 3),
        "recall_outlined": 0.5,
    }
    good = failure_detection(scores[3:4])
    assert np.isnan(good["precision"])
    assert np.isnan(good["recall"])
