"""Scores as scikit-learn has them, intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from hemafeat._resample import draw, interval
from hemafeat.evaluate._scores import METRICS, resampled, scores


@pytest.mark.parametrize("seed", [0, 1])
def test_scores_match_sklearn(seed):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, 200)
    # Rounded, so that there are ties.
    chances = np.round(rng.dirichlet(np.ones(4), 200), 2) + 0.01
    chances[np.arange(200), truth] += 0.2
    chances /= chances.sum(axis=1, keepdims=True)
    predicted = chances.argmax(axis=1)
    found = {k: v[0] for k, v in scores(truth, predicted, chances, np.ones((1, 200))).items()}
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert found["balanced_accuracy"] == pytest.approx(
        metrics.balanced_accuracy_score(truth, predicted)
    )
    for name in ("macro", "weighted"):
        expected = metrics.f1_score(truth, predicted, average=name)
        assert found[f"{name}_f1"] == pytest.approx(expected)
    expected = metrics.roc_auc_score(truth, chances, multi_class="ovr", average="macro")
    assert found["auroc"] == pytest.approx(expected, rel=1e-12)
    assert found["log_loss"] == pytest.approx(metrics.log_loss(truth, chances))


def test_calibration_error_by_its_definition():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 200)
    chances = rng.dirichlet(np.ones(4), 200)
    chances[0] = [1, 0, 0, 0]
    predicted, top = chances.argmax(axis=1), chances.max(axis=1)
    naive = 0.0
    for low in np.arange(15) / 15:
        inside = (top > low) & (top <= low + 1 / 15 + 1e-12)
        if inside.any():
            gap = abs((predicted == truth)[inside].mean() - top[inside].mean())
            naive += inside.mean() * gap
    found = scores(truth, predicted, chances, np.ones((1, 200)))
    assert found["calibration_error"][0] == pytest.approx(naive)


def test_weights_are_repeated_rows():
    """A row that counts twice gives the same scores as the row written twice."""
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 3, 60)
    chances = rng.dirichlet(np.ones(3), 60)
    predicted = chances.argmax(axis=1)
    fold = rng.integers(0, 2, 60)
    weights = rng.integers(0, 4, (5, 60))
    found = scores(truth, predicted, chances, weights, fold)
    for place, times in enumerate(weights):
        rows = np.repeat(np.arange(60), times)
        one = np.ones((1, len(rows)))
        plain = scores(truth[rows], predicted[rows], chances[rows], one, fold[rows])
        for name in METRICS:
            assert found[name][place] == pytest.approx(plain[name][0], rel=1e-12), name


def test_class_missing_from_a_fold():
    truth = np.array([0, 0, 1, 1])
    predicted = np.array([0, 2, 1, 1])
    chances = np.array([[0.8, 0.1, 0.1], [0.3, 0.1, 0.6], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1]])
    found = {k: v[0] for k, v in scores(truth, predicted, chances, np.ones((1, 4))).items()}
    assert found["balanced_accuracy"] == 0.75
    expected = metrics.f1_score(truth, predicted, labels=[0, 1], average="macro")
    assert found["macro_f1"] == pytest.approx(expected)
    assert found["auroc"] == 1.0
    assert np.isfinite(found["log_loss"])


def test_auroc_ranks_within_folds():
    """Two folds, each in perfect order, on scales that do not compare."""
    truth = np.array([0, 1, 0, 1])
    chances = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]])
    one = np.ones((1, 4))
    fold = np.array([0, 0, 1, 1])
    assert scores(truth, truth, chances, one, fold)["auroc"][0] == 1.0
    assert scores(truth, truth, chances, one)["auroc"][0] == 0.75


def test_no_probabilities_no_such_scores():
    found = scores(np.array([0, 1]), np.array([0, 1]), None, np.ones((1, 2)))
    assert found["accuracy"][0] == 1
    assert np.isnan(found["auroc"][0])


def test_bootstrap_draws_whole_groups():
    ids = np.array(["x", "y", "x", "z"])
    counts, member = draw(ids, 400, random_state=0)
    assert (counts.sum(axis=1) == 3).all()
    assert member[0] == member[2]
    assert counts.mean() == pytest.approx(1)
    again, _ = draw(ids, 400, random_state=0)
    np.testing.assert_array_equal(counts, again)
    assert (draw(ids, 400, random_state=1)[0] != counts).any()


def test_interval_covers_the_truth():
    """Cells of one patient share their luck; only resampling patients gives honest intervals."""
    rng = np.random.default_rng(0)
    n_groups, per_group, true = 40, 10, 0.8
    covered = {"groups": 0, "rows": 0}
    for _ in range(120):
        # Half the patients are easy, half are hard: .8 correct on average.
        skill = np.where(rng.random(n_groups) < 0.5, 0.98, 0.62)
        right = rng.random((n_groups, per_group)) < skill[:, None]
        truth = np.zeros(n_groups * per_group, dtype=int)
        predicted = np.where(right.ravel(), 0, 1)
        ids = np.repeat(np.arange(n_groups), per_group)
        for name, which in (("groups", ids), ("rows", np.arange(len(ids)))):
            counts, member = draw(which, 100, random_state=1)
            values = resampled(truth, predicted, None, None, counts, member)["accuracy"]
            low, high = interval(values)
            covered[name] += low <= true <= high
    # 95 % wanted; 3 standard errors of 120 trials are 6 points.
    assert covered["groups"] / 120 > 0.89
    assert covered["rows"] / 120 < 0.80


def test_interval_of_nothing():
    assert np.isnan(interval(np.array([np.nan, np.nan]))).all()


def test_interval_holds_its_value():
    assert interval(np.array([0.2, 0.3]), 0.5) == (pytest.approx(0.2025), 0.5)
    assert interval(np.array([0.2, 0.3]), 0.1) == (0.1, pytest.approx(0.2975))


@pytest.mark.parametrize("recall_of_rare", [0, 1])
def test_a_class_of_one_cell_does_not_move_the_interval(recall_of_rare):
    """Left out of a third of the resamples, it would shift the means over classes."""
    rng = np.random.default_rng(4)
    truth = np.repeat([0, 1, 2], [60, 60, 1])
    chances = rng.dirichlet(np.ones(3), 121)
    chances[np.arange(120), truth[:120]] += 0.6
    chances[120] = [0.1, 0.1, 0.8] if recall_of_rare else [0.8, 0.15, 0.05]
    chances /= chances.sum(axis=1, keepdims=True)
    predicted = chances.argmax(axis=1)
    fold = np.zeros(121, dtype=int)
    counts, member = draw(np.arange(121), 2000, 0)
    plain = scores(truth, predicted, chances, np.ones((1, 121)), fold)
    values = resampled(truth, predicted, chances, fold, counts, member)
    for name in METRICS:
        low, high = interval(values[name], plain[name][0])
        value, spread = plain[name][0], values[name].std()
        assert low < value < high, name
        assert abs(values[name].mean() - value) < 0.5 * spread, name
    lacks = counts[:, 120] == 0
    assert lacks.any()
    alone = scores(truth[:120], predicted[:120], None, counts[lacks][:, :120])
    expected = (2 * alone["balanced_accuracy"] + recall_of_rare) / 3
    np.testing.assert_allclose(values["balanced_accuracy"][lacks], expected)


def test_repeated_rows_do_not_raise_the_calibration_error():
    rng = np.random.default_rng(0)
    chances = rng.dirichlet(np.ones(2) * 2, 80)
    truth = (rng.random(80) < chances[:, 1]).astype(int)
    counts, member = draw(np.arange(80), 500, 0)
    plain = scores(truth, chances.argmax(axis=1), chances, np.ones((1, 80)))["calibration_error"][0]
    values = resampled(truth, chances.argmax(axis=1), chances, None, counts, member)
    low, high = interval(values["calibration_error"])
    assert low < plain < high
    assert values["calibration_error"].mean() == pytest.approx(plain, abs=0.005)
