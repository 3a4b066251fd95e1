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


def test_failure_detection_by_hand():
    import pandas as pd

    scores = pd.DataFrame(
        {
            "found": [True, True, True, True, False],
            "failed": [True, True, False, False, True],
            "suspected_failure": [True, False, True, False, False],
        }
    )
    result = failure_detection(scores)
    assert result == {"n": 4, "failed": 0.5, "flagged": 0.5, "precision": 0.5, "recall": 0.5}
    good = failure_detection(scores[3:4])
    assert np.isnan(good["precision"])
    assert np.isnan(good["recall"])
