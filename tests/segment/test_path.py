"""The search for the best closed curve, against its definition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hemafeat.segment._kernels.path import COST, closed_rows, follow_gain, follow_round
from reference import naive


def gains(kind, shape, seed):
    gain = np.random.default_rng(seed).normal(0, 2, shape)
    gain = {"noise": gain, "ties": np.rint(gain), "summed": np.cumsum(gain, axis=1)}[kind]
    return gain.astype(np.float32)


def best_path(gain, rows, cost):
    score = np.empty((rows.size, gain.shape[1] + cost.size - 1), np.float32)
    path = np.empty(rows.size, np.int64)
    follow_gain(gain, rows, cost, score, path)
    return path


def closed_path(gain):
    n, m = gain.shape
    rows = closed_rows(n)
    score = np.empty((rows.size, m + COST.size - 1), np.float32)
    paths = np.empty((2, rows.size), np.int64)
    follow_round(gain, rows, COST, score, paths)
    return paths[1, :n]


@pytest.mark.parametrize("shape", [(64, 64), (32, 40), (9, 5), (4, 1)])
@pytest.mark.parametrize("kind", ["noise", "ties", "summed"])
@pytest.mark.parametrize("turn", [1, 2])
def test_path_is_that_of_the_plain_search(kind, shape, turn):
    cost = np.float32(0.6) * np.arange(-turn, turn + 1, dtype=np.float32) ** 2
    for seed in range(5):
        gain = gains(kind, shape, seed)
        rows = np.concatenate([np.arange(shape[0]), np.arange(shape[0] // 4)])
        assert np.array_equal(best_path(gain, rows, cost), naive.best_path(gain, rows, cost))


def test_path_is_the_best_of_all_paths():
    cost = np.array([1.0, 0.0, 1.0], np.float32)
    rows = np.arange(5)
    for seed in range(10):
        gain = gains("summed", (5, 4), seed)

        def total(path, gain=gain):
            steps = np.abs(np.diff(path))
            return gain[rows, path].sum() - cost[1 + steps].sum() if steps.max() < 2 else -np.inf

        best = max(total(np.array(path)) for path in itertools.product(range(4), repeat=5))
        assert total(best_path(gain, rows, cost)) == pytest.approx(best, rel=1e-5)


def test_closed_path_follows_a_ridge_and_closes():
    n, m = 48, 30
    ridge = np.rint(15 + 6 * np.sin(2 * np.pi * np.arange(n) / n)).astype(int)
    gain = np.zeros((n, m), np.float32)
    gain[np.arange(n), ridge] = 50.0
    path = closed_path(gain)
    assert path.tolist() == ridge.tolist()
    # Rotating the gains rotates the path.
    assert closed_path(np.roll(gain, 17, axis=0)).tolist() == np.roll(ridge, 17).tolist()
