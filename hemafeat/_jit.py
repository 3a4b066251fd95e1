"""The one decorator of every kernel."""

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
