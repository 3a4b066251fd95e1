"""Public names: classes carry their package, and former names of arguments keep working."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

T = TypeVar("T", bound=type)
F = TypeVar("F", bound=Callable[..., Any])


def public(cls: T) -> T:
    """Give a class the module of its package, such as ``hemafeat.pipelines``, and not of its file.

    Saved models, pickles sent to worker processes and error messages name a class by its module.
    The package stays when files move; the file does not.

    Parameters
    ----------
    cls : type
        Exported by the stub of its package.

    Returns
    -------
    type
        The same class.
    """
    cls.__module__ = ".".join(cls.__module__.split(".")[:2])
    return cls


def brief(cls: T) -> T:
    """Give a dataclass a `repr` of a line that tells the sizes of what is long.

    Parameters
    ----------
    cls : type
        Dataclass, whose own `repr` shows every row of its tables.

    Returns
    -------
    type
        The same class.
    """

    def __repr__(self: Any) -> str:
        parts = (f"{f.name}={_size(getattr(self, f.name))}" for f in fields(self) if f.repr)
        return f"{type(self).__name__}({', '.join(parts)})"

    cls.__repr__ = __repr__  # type: ignore[assignment]
    return cls


def _size(value: Any) -> str:
    """Return the `repr` of a value, or its kind and size if that is long."""
    if hasattr(value, "columns") and hasattr(value, "shape"):
        return f"<table of {value.shape[0]} rows>"
    if hasattr(value, "get_params"):
        return f"<{type(value).__name__}>"
    if getattr(value, "ndim", 0):
        return f"<array {' x '.join(map(str, value.shape))}>"
    text = repr(value)
    if len(text) <= 80:
        return text
    return f"<{type(value).__name__}{f' of {len(value)}' if hasattr(value, '__len__') else ''}>"


def renamed_argument(old: str, new: str) -> Callable[[F], F]:
    """Let a function take an argument by its former name, with a warning.

    Parameters
    ----------
    old, new : str
        The former name of a keyword argument and the one it has now.

    Returns
    -------
    callable
        A decorator. The signature of the function shows the new name only.

    Raises
    ------
    TypeError
        Raised by the decorated function if both names are given.

    Warns
    -----
    FutureWarning
        Issued by the decorated function if the former name is given.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if old in kwargs:
                if new in kwargs:
                    raise TypeError(f"{function.__name__}() got both {old!r} and {new!r}")
                warnings.warn(
                    f"{old!r} is now called {new!r}; the former name will be removed in the next "
                    "version",
                    FutureWarning,
                    stacklevel=2,
                )
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate
