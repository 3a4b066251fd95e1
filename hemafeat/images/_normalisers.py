"""Normalisers of stain by name; importing this module loads no heavy package."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

_CLASSES = {"grey-world": "GreyWorld", "reinhard": "Reinhard", "macenko": "Macenko"}

NORMALISERS = tuple(_CLASSES)
"""Names that `normaliser` and the command line accept."""


def normaliser(name: str, reference: Iterable[Any] | None = None) -> Any:
    """Return a normaliser of stain by its name.

    Parameters
    ----------
    name : {"grey-world", "reinhard", "macenko"}
        Method of normalisation: `GreyWorld`, `Reinhard` or `Macenko`.
    reference : iterable of paths or (H, W, 3) arrays, optional
        Images to fit the target to. Use training images only, otherwise the target contains
        information about the test set. By default the target is fixed, and each image is
        normalised by itself.

    Returns
    -------
    GreyWorld, Reinhard or Macenko
        A callable that takes and returns an (H, W, 3) uint8 RGB image;
        `hemafeat.extract.table` takes it as `normalise`.

    Raises
    ------
    ValueError
        Raised if the name is unknown or there is no image to fit the target to.

    Examples
    --------
    >>> from hemafeat import images
    >>> images.normaliser("grey-world")
    GreyWorld()
    """
    if name not in _CLASSES:
        raise ValueError(f"unknown normaliser {name!r}; available: {', '.join(NORMALISERS)}")
    method = getattr(import_module("hemafeat.images._stain"), _CLASSES[name])()
    return method if reference is None else method.fit(reference)
