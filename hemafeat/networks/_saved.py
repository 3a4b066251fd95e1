"""Networks from files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ._keras import need_keras


def load_network(path: str | os.PathLike[str]) -> Any:
    """Read a network that was saved as a ``.keras`` file.

    Parameters
    ----------
    path : path-like
        Written by ``model.save("name.keras")``, with the layers of Keras and of this package.

    Returns
    -------
    keras.Model
        Not compiled.

    Raises
    ------
    ImportError
        Keras is not installed.
    ValueError
        No such file, or not a ``.keras`` file. Older formats, which can hold code, are not read.
    """
    keras = need_keras("a network on images")
    from . import _layers  # noqa: F401 - makes its layers known to Keras

    path = Path(path)
    if path.suffix != ".keras":
        raise ValueError(f"{path}: networks are read from .keras files")
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    return keras.saving.load_model(path, compile=False, safe_mode=True)
