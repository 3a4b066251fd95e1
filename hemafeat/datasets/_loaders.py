"""Data sets by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pandas as pd

from hemafeat.datasets._all_idb import all_idb1, all_idb2
from hemafeat.datasets._aml_hehr import aml_hehr
from hemafeat.datasets._aml_lmu import aml_lmu
from hemafeat.datasets._apl import apl
from hemafeat.datasets._bccd import bccd
from hemafeat.datasets._bloodmnist import bloodmnist
from hemafeat.datasets._cnmc import cnmc
from hemafeat.datasets._lisc import lisc
from hemafeat.datasets._lymphocytosis import lymphocytosis
from hemafeat.datasets._mll23 import mll23
from hemafeat.datasets._pbc import pbc
from hemafeat.datasets._raabin import raabin
from hemafeat.datasets._segwbc import segwbc
from hemafeat.datasets._table import DatasetError, from_folder

LOADERS: dict[str, Callable[..., pd.DataFrame]] = {
    "folder": from_folder,
    "all_idb1": all_idb1,
    "all_idb2": all_idb2,
    "aml_hehr": aml_hehr,
    "aml_lmu": aml_lmu,
    "apl": apl,
    "bccd": bccd,
    "bloodmnist": bloodmnist,
    "cnmc": cnmc,
    "lisc": lisc,
    "lymphocytosis": lymphocytosis,
    "mll23": mll23,
    "pbc": pbc,
    "raabin": raabin,
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
