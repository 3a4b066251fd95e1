"""Calibration and thresholds against closed forms and drawn cells of known probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import softmax

from hemafeat.pipelines._selective.conformal import (
    class_thresholds,
    enough,
    odd_thresholds,
    rough_threshold,
    temperature,
    threshold,
    with_temperature,
)


@pytest.mark.parametrize("n", [19, 20, 57, 400])
@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
def test_threshold_of_single_rows(n, level):
    """The usual quantile of split conformal prediction: the ceil((n + 1) level)-th least score."""
    scores = np.random.default_rng(n).normal(size=n)
    rank = math.ceil((n + 1) * level - 1e-9)
    expected = np.sort(scores)[rank - 1] if rank <= n else np.inf
    assert threshold(scores, np.arange(n), level) == expected
    assert np.isfinite(expected) == (n >= enough(level))


def test_a_large_group_counts_as_one():
    # Groups of 1, 1 and 98 rows: K + 1 = 4, so that each holds a quarter of the weight.
    scores = np.r_[1.0, 2.0, np.linspace(3, 4, 98)]
    groups = np.r_[0, 1, np.full(98, 2)]
    assert threshold(scores, groups, 0.5) == 2.0
    assert threshold(scores, groups, 0.25) == 1.0
    assert threshold(scores, groups, 0.76) == np.inf
    # Half of the large group, then, is at 5 / 8.
    assert threshold(scores, groups, 0.625) == scores[2 + 48]
    # Without the group that may come, each holds a third.
    assert rough_threshold(scores, groups, 0.6) == 2.0
    assert rough_threshold(scores, groups, 1.0) == 4.0


def test_coverage_of_new_groups():
    """Cells of a group share half of their variance; the coverage of new groups is as stated."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        shift = rng.normal(size=31)
        sizes = rng.integers(1, 30, 31)
        group = np.repeat(np.arange(31), sizes)
        scores = shift[group] + rng.normal(size=len(group))
        new = group == 30
        limit = threshold(scores[~new], group[~new], 0.9)
        covered.append((scores[new] <= limit).mean())
    # 400 groups scored, whose shares differ by about .22: three standard errors are 3 points.
    assert np.mean(covered) == pytest.approx(0.9, abs=0.035)


def test_a_rare_class_has_the_threshold_of_all():
    rng = np.random.default_rng(1)
    codes = np.r_[np.zeros(100, int), np.ones(45, int), np.full(44, 2)]
    oddness = np.r_[rng.uniform(0, 0.1, 100), rng.uniform(0, 0.5, 45), rng.uniform(0.8, 0.9, 44)]
    rows = np.arange(189)
    found = class_thresholds(oddness, codes, rows, 3, 0.9)
    assert found[0] == np.sort(oddness[:100])[math.ceil(101 * 0.9) - 1]
    assert found[1] == np.sort(oddness[100:145])[math.ceil(46 * 0.9) - 1]
    # 45 is five times the 9 groups that a level of .9 needs.
    assert found[2] == np.sort(oddness)[math.ceil(190 * 0.9) - 1]


@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
def test_temperature_is_found(true):
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 3, (4000, 4))
    right = softmax(logits / true, axis=1)
    codes = (right.cumsum(axis=1) < rng.uniform(size=(4000, 1))).sum(axis=1)
    given = softmax(logits, axis=1)
    found = temperature(given, codes)
    # A standard error of about 3 %.
    assert found == pytest.approx(true, rel=0.1)
    assert (found == 1.0) == (true == 1.0)
    np.testing.assert_allclose(with_temperature(given, true), right, rtol=1e-9)


def test_a_model_without_an_error_is_not_made_infinitely_sure():
    codes = np.repeat([0, 1], 50)
    given = np.full((100, 2), 0.2)
    given[np.arange(100), codes] = 0.8
    top = with_temperature(given, temperature(given, codes)).max()
    # As if one of 102 cells were of the other class.
    assert top == pytest.approx(1 - 1 / 102, abs=1e-3)


def test_the_oddest_cells_have_thresholds_of_their_own():
    rng = np.random.default_rng(2)
    n = 4000
    oddness = rng.permutation(n) / n
    # The oddest twentieth is three times as hard, the oddest hundredth seven times.
    hard = np.select([oddness > 0.99, oddness > 0.95], [7.0, 3.0], 1.0)
    scores = 0.1 * hard * rng.uniform(size=n)
    edges, least = odd_thresholds(scores, oddness, np.arange(n), 0.8)
    assert edges == pytest.approx([0.5, 0.8, 0.95, 0.99], abs=1e-3)
    assert least == pytest.approx([0.0, 0.08, 0.08, 0.24, 0.56], abs=0.05)
    for low, high, limit in ((edges[2], edges[3], least[3]), (edges[3], np.inf, least[4])):
        rows = (oddness > low) & (oddness <= high)
        assert limit == threshold(scores[rows], np.arange(rows.sum()), 0.8)
    # 200 cells of the oddest twentieth do for .8 and .95 (10 and 38 are needed), 198 for .99.
    assert len(odd_thresholds(scores, oddness, np.arange(n), 0.95)[0]) == 4
    assert len(odd_thresholds(scores, oddness, np.arange(n), 0.99)[0]) == 3
    # Few groups promise nothing: the thresholds of the classes hold for all cells.
    edges, least = odd_thresholds(scores, oddness, np.arange(n) % 7, 0.8)
    assert (edges.tolist(), least.tolist()) == ([], [0.0])
