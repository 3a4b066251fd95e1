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
    score = np.full((k, m + 2 * turn), -np.inf, np.float32)
    score[0, turn : turn + m] = gain[rows[0]]
    for i in range(1, k):
        before = score[i - 1]
        best = before[:m] - cost[0]
        for step in range(1, cost.size):
            best = np.maximum(best, before[step : step + m] - cost[step])
        score[i, turn : turn + m] = best + gain[rows[i]]
    path = np.empty(k, np.int64)
    place = score[k - 1].argmax() - turn
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
