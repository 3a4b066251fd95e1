"""Arrays that many kernels need, each compiled once for all of them.

What NumPy offers for these is compiled anew in every process, and linked into every kernel.
"""

from __future__ import annotations

import numpy as np

from hemafeat._jit import kernel


@kernel
def separate(n):
    """Return a forest of n disjoint sets, each its own representative; see ``_jit.find_root``."""
    parents = np.empty(n, np.int64)
    for k in range(n):
        parents[k] = k
    return parents


@kernel
def total(values):
    """Return the sum of a float64 array, added up from its first value on."""
    result = 0.0
    for k in range(values.size):
        result += values[k]
    return result


@kernel
def mean_and_sd(values):
    """Return the mean and the population standard deviation of a float64 array."""
    mean = total(values) / values.size
    squares = 0.0
    for k in range(values.size):
        squares += (values[k] - mean) * (values[k] - mean)
    return mean, (squares / values.size) ** 0.5


@kernel
def smallest(values, rank):
    """Return the value at place `rank`, from 0, of the ascending values, which are reordered.

    Values before this place are not larger afterwards, and those behind it not smaller (Hoare
    1961).
    """
    low, high = np.int64(0), np.int64(values.size - 1)
    while low < high:
        pivot = values[(low + high) // 2]
        left, right = low, high
        while left <= right:
            while values[left] < pivot:
                left += 1
            while values[right] > pivot:
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                left += 1
                right -= 1
        if rank <= right:
            high = right
        elif rank >= left:
            low = left
        else:
            break
    return values[rank]
