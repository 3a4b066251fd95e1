"""The decorator of every kernel, and the kernel that several rooms share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` without the interpreter lock, from the cache on disk where there is one.

    Kernels are serial: threads run over images, so nothing inside a kernel may start its own.
    ``error_model="numpy"`` lets loops with a division vectorise; kernels therefore guard every
    division whose divisor can be zero, which also keeps them right when the JIT is switched off.
    """
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:
        # numba found no folder it may write its cache to (read-only install and home).
        return njit(**options)(function)


@kernel
def find_root(parents: Any, i: Any) -> Any:
    """Return the representative of `i` in a forest of disjoint sets, shortening the path to it.

    Parameters
    ----------
    parents : (n,) ndarray of int
        Parent of each member; a representative is its own parent. Modified.
    i : int
        Member.

    Returns
    -------
    int
        Index of the representative.
    """
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i
