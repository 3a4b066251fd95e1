"""Data sets by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pandas as pd

from hemafeat.datasets._bccd import bccd
from hemafeat.datasets._cnmc import cnmc
from hemafeat.datasets._pbc import pbc
from hemafeat.datasets._segwbc import segwbc
from hemafeat.datasets._table import DatasetError, from_folder

LOADERS: dict[str, Callable[..., pd.DataFrame]] = {
    "folder": from_folder,
    "bccd": bccd,
    "cnmc": cnmc,
    "pbc": pbc,
    "segwbc": segwbc,
}
"""Name of each data set that can be loaded, and the function that does."""


def load(name: str, root: str | os.PathLike[str], **options: Any) -> pd.DataFrame:
    """List the images of a data set by its name.

    Parameters
    ----------
    name : str
        A key of `LOADERS`.
    root : path
        Where it is.
    **options
        Passed to the loader.

    Returns
    -------
    DataFrame
        An image table, see `as_table`.

    Raises
    ------
    DatasetError
        No such data set is known, or it is not what is found at `root`.
    """
    if name not in LOADERS:
        raise DatasetError(f"no data set {name!r} is known; there are: {', '.join(LOADERS)}")
    return LOADERS[name](root, **options)
