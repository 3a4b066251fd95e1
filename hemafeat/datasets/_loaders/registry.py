"""Data sets by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pandas as pd

from hemafeat.datasets._loaders.all_idb import all_idb1, all_idb2
from hemafeat.datasets._loaders.aml_hehr import aml_hehr
from hemafeat.datasets._loaders.aml_lmu import aml_lmu
from hemafeat.datasets._loaders.apl import apl
from hemafeat.datasets._loaders.bccd import bccd
from hemafeat.datasets._loaders.bloodmnist import bloodmnist
from hemafeat.datasets._loaders.cnmc import cnmc
from hemafeat.datasets._loaders.lisc import lisc
from hemafeat.datasets._loaders.lymphocytosis import lymphocytosis
from hemafeat.datasets._loaders.mll23 import mll23
from hemafeat.datasets._loaders.pbc import pbc
from hemafeat.datasets._loaders.raabin import raabin
from hemafeat.datasets._loaders.segwbc import segwbc
from hemafeat.datasets._schema import DatasetError
from hemafeat.datasets._table import from_folder

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
