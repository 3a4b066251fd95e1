"""List the public data sets, and report folders that do not hold one."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from hemafeat.datasets._registry import DATASETS
from hemafeat.datasets._schema import DatasetError, contents


def catalogue() -> pd.DataFrame:
    """Return the public data sets as a table.

    Returns
    -------
    DataFrame
        One row per data set: ``name``, as `load` and `download` accept it; ``title``; ``images``
        and ``classes`` (int64, as published); ``patients``; ``licence``; ``download``, True if it
        can be downloaded without a login; ``where``, the page of its authors. ``wbcatt`` has no
        images of its own; its files are the ``attributes`` of `pbc`.

    See Also
    --------
    download : Download one of them.

    Examples
    --------
    >>> from hemafeat import datasets
    >>> table = datasets.catalogue().set_index("name")
    >>> table.loc[["mll23", "pbc"], ["images", "classes", "licence"]]
           images  classes         licence
    name
    mll23   41621       18  see its record
    pbc     17092        8       CC BY 4.0
    """
    columns = ("title", "images", "classes", "patients", "licence", "downloadable", "where")
    rows = [
        {"name": name, **{column: getattr(entry, column) for column in columns}}
        for name, entry in DATASETS.items()
    ]
    return pd.DataFrame(rows).rename(columns={"downloadable": "download"})


def wrong_folder(name: str, root: str | os.PathLike[str], expected: str) -> DatasetError:
    """Return the error for a folder that does not hold the data set `name`."""
    entry = DATASETS[name]
    path = Path(root)
    content = contents(path) if path.is_dir() else path.name
    advice = f"hemafeat download {name}" if entry.downloadable else entry.how
    return DatasetError(
        f"{path} is not {entry.title}: expected {expected}, found {content}. It is available at "
        f"{entry.where} ({entry.licence}); {advice}"
    )
