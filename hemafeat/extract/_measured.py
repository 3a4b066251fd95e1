"""How the cells of a table were measured, as far as the table knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

MEASURED = "measured"
"""Key of the options in the attributes of a table, and in the manifest of a result."""


def measured(table: pd.DataFrame) -> dict[str, str]:
    """Return the options with which the cells of a table were measured.

    Two tables can only be compared, and a model can only be applied to a table, if their cells
    were chosen and measured alike. `hemafeat.pipelines.save` keeps the options with a model.

    Parameters
    ----------
    table : DataFrame
        Table of cells as returned by `table` or `load`.

    Returns
    -------
    dict of str to str
        ``cells`` (``"central"``: one cell of each image; ``"all"``: every cell; ``"auto"``: one of
        labelled and all of unlabelled images, as in tables of earlier versions), ``segmenter``,
        ``normalise`` and ``to_um_per_px`` (``"none"`` if colours or size were not changed). An
        option that is not known is left out. If the table does not hold the options, as one read
        from a CSV file, ``cells`` is derived from its rows and ``quality__n_cells``, where these
        decide it.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cells = datasets.drawn("cells", 2, size=120, random_state=0)
    >>> extract.measured(extract.table(cells, families=["shape"]))["cells"]
    'central'
    """
    options = as_options(table.attrs.get(MEASURED))
    if "cells" not in options and (cells := _cells_of_rows(table)):
        options = {"cells": cells, **options}
    return options


def as_options(stored: Any) -> dict[str, str]:
    """Return options that were stored in a file, without anything that is not text."""
    if not isinstance(stored, Mapping):
        return {}
    return {
        name: value
        for name, value in stored.items()
        if isinstance(name, str) and isinstance(value, str)
    }


def n_left_out(table: pd.DataFrame) -> int:
    """Return the number of cells that were found beside the central ones of the images."""
    found = table.get("quality__n_cells")
    return 0 if found is None else int(found.sum()) - len(table)


FIELD = 5
"""Cells found in an image from which it is a field of many cells, not a crop of one."""


def n_fields(table: pd.DataFrame) -> int:
    """Return the number of images of many cells of which only the central one is in the table."""
    found = table.get("quality__n_cells")
    return 0 if found is None else int((found >= FIELD).sum())


def n_without_nucleus(table: pd.DataFrame) -> int:
    """Return the number of cells of which no column of the nucleus has a value."""
    names = [name for name in table.columns if str(name).startswith("nucleus__")]
    return int(table[names].isna().all(axis=1).sum()) if names else 0


def _cells_of_rows(table: pd.DataFrame) -> str | None:
    """Return which cells of the images the rows are, or None if either could be true."""
    if "image" not in table.columns or not len(table):
        return None
    several = table["image"].map(str).duplicated(keep=False).to_numpy(bool)
    found = pd.to_numeric(table.get("quality__n_cells", pd.Series(1, table.index)), "coerce")
    reduced = (found > 1).to_numpy(bool) & ~several
    if several.any() and reduced.any() and "label" in table.columns:
        labelled = table["label"].notna().to_numpy(bool)
        if labelled[reduced].all() and not labelled[several].any():
            return "auto"
    if several.any():
        return "all"
    return "central" if reduced.any() else None
