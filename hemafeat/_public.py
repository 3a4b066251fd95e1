"""Public classes, named after the package they are imported from."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T", bound=type)


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
