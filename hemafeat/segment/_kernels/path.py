"""The path of largest gain through a table, open or closed, by dynamic programming."""

from __future__ import annotations

from functools import cache

import numpy as np

from hemafeat._jit import inlined

BEND = 0.6
"""Cost of a step of one position from one angle to the next; it grows with the square."""

TURN = 2
"""Largest step from one angle to the next."""

COST = (BEND * np.arange(-TURN, TURN + 1) ** 2).astype(np.float32)
"""Cost of each step."""


@inlined
def follow_gain(gain, rows, cost, score, path):
    """Find the path with the largest gain less the cost of its steps.

    Parameters
    ----------
    gain : (n, m) ndarray of float32
        Gain of each position in each row.
    rows : (k,) ndarray of int64
        Rows of `gain` in the order in which the path visits them; a row may be repeated.
    cost : (2 t + 1,) ndarray of float32
        Cost of a step of -t..t positions from one row to the next. Of equally good steps the
        first one is taken.
    score : (k, m + 2 t) ndarray of float32
        Working memory.
    path : (k,) ndarray of int64
        Filled with the position in each row.
    """
    m = gain.shape[1]
    k, turn = rows.size, cost.size // 2
    # A margin of -inf on either side keeps the path inside the table.
    for i in range(k):
        line = score[i]
        for j in range(line.size):
            line[j] = -np.inf
    for j in range(m):
        score[0, turn + j] = gain[rows[0], j]
    for i in range(1, k):
        before, here, own = score[i - 1], score[i][turn : turn + m], gain[rows[i]]
        for step in range(cost.size):
            price = cost[step]
            for j in range(m):
                here[j] = max(here[j], before[step + j] - price)
        for j in range(m):
            here[j] += own[j]
    position = 0
    for j in range(1, m):
        if score[k - 1, turn + j] > score[k - 1, turn + position]:
            position = j
    path[k - 1] = position
    for i in range(k - 1, 0, -1):
        before = score[i - 1]
        best_step, largest = 0, before[position] - cost[0]
        for step in range(1, cost.size):
            value = before[position + step] - cost[step]
            if value > largest:
                best_step, largest = step, value
        position += best_step - turn
        path[i - 1] = position


@cache
def closed_rows(n):
    """Return the n rows of a closed path in the order in which it is searched.

    The path runs a quarter more than once round; its middle does not depend on where it began.
    """
    return np.arange(n + n // 4) % n


@inlined
def follow_round(gain, rows, cost, score, paths):
    """Find the path of largest gain that closes on itself, one position per row.

    Parameters
    ----------
    gain : (n, m) ndarray of float32
        Gain of each position in each row; the last row is followed by the first.
    rows : (k,) ndarray of int64
        See `closed_rows`.
    cost, score
        See `follow_gain`.
    paths : (2, k) ndarray of int64
        Filled with the path as it was searched, and with the position in each of the n rows.
    """
    n = gain.shape[0]
    follow_gain(gain, rows, cost, score, paths[0])
    for i in range(n // 8, n // 8 + n):
        paths[1, rows[i]] = paths[0, i]
