"""The best way through a table of gains, row by row."""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel


@kernel
def best_path(gain, rows, cost):
    """Position in each row of the path of largest gain less what its steps cost.

    Parameters
    ----------
    gain : (n, m) ndarray of float32
    rows : (k,) ndarray of int64
        Rows of `gain` in the order in which they are passed; any may come twice.
    cost : (2 t + 1,) ndarray of float32
        Of a step of -t..t positions from one row to the next. Of steps worth the same, the first.

    Returns
    -------
    (k,) ndarray of int64
    """
    m = gain.shape[1]
    k, turn = rows.size, cost.size // 2
    # A margin of -inf on either side stands for positions that are none.
    score = np.empty((k, m + 2 * turn), np.float32)
    for i in range(k):
        line = score[i]
        for j in range(m + 2 * turn):
            line[j] = -np.inf
    for j in range(m):
        score[0, turn + j] = gain[rows[0], j]
    for i in range(1, k):
        before, here, own = score[i - 1], score[i, turn : turn + m], gain[rows[i]]
        for step in range(cost.size):
            price = cost[step]
            for j in range(m):
                here[j] = max(here[j], before[step + j] - price)
        for j in range(m):
            here[j] += own[j]
    path = np.empty(k, np.int64)
    place = 0
    for j in range(1, m):
        if score[k - 1, turn + j] > score[k - 1, turn + place]:
            place = j
    path[k - 1] = place
    for i in range(k - 1, 0, -1):
        before = score[i - 1]
        chosen, most = 0, before[place] - cost[0]
        for step in range(1, cost.size):
            worth = before[place + step] - cost[step]
            if worth > most:
                chosen, most = step, worth
        place += chosen - turn
        path[i - 1] = place
    return path
