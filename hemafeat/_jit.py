"""Compile kernels, name the columns they fill, and find the roots of joined sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from numba import njit


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` without the interpreter lock, using the cache on disk if there is one.

    Kernels are serial: threads run over images, so nothing inside a kernel may start its own.
    ``error_model="numpy"`` lets loops with a division vectorise; kernels therefore guard every
    division whose divisor can be zero, which also keeps them right when the JIT is switched off.
    """
    # Kernels are not called by C code, and compile faster without the wrapper for that.
    options = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:
        # Numba cannot write its cache anywhere (read-only install and home).
        return njit(**options)(function)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` into the one kernel that calls it, not by itself.

    It is compiled once then, and can still be called, and tested, alone.
    """
    return njit(nogil=True, error_model="numpy", inline="always")(function)


def indices(names: Sequence[str]) -> Any:
    """Return the index of each name as attributes of one object, which kernels read as constants.

    ``AT = indices(("area", "perimeter"))`` lets a kernel write ``row[AT.perimeter]``. The object is
    a module, whose attributes numba replaces by their values one by one; of a named tuple it would
    build all fields for each.
    """
    out = ModuleType("indices")
    for index, name in enumerate(names):
        setattr(out, name, index)
    return out


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
