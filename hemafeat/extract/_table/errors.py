"""The table of errors: its columns, its rows, and the name of an image in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hemafeat.images import ImageError, tile_of

ERROR_COLUMNS = ("image", "stage", "error", "message")
"""Columns of the table of errors, in order."""

ErrorRow = dict[str, str]


def image_name(image: Any, index: int) -> str:
    """Return the name of an image in the tables.

    Parameters
    ----------
    image : path or array
        Entry of the column ``image`` of an image table.
    index : int
        Position of the image in its table, from 0 on. It names an array.

    Returns
    -------
    str
        The path or URI as it was given, or ``array[index]``.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import extract
    >>> extract.image_name("cells/a.png", 3)
    'cells/a.png'
    >>> extract.image_name(np.zeros((8, 8, 3), np.uint8), 3)
    'array[3]'
    """
    return str(image) if isinstance(image, (str, Path)) else f"array[{index}]"


def error_row(image: str, stage: str, error: Exception | str, message: str = "") -> ErrorRow:
    """Return one row of the table of errors.

    Parameters
    ----------
    image : str
        Name of the image, see `image_name`.
    stage : str
        Step that failed, such as ``"read"`` or ``"segment"``.
    error : Exception or str
        The exception, or the name of an error that was not raised.
    message : str, optional
        Description of the error. By default it is taken from the exception.

    Returns
    -------
    dict of str to str
        ``image``, ``stage``, ``error`` and ``message``.

    Examples
    --------
    >>> from hemafeat import extract
    >>> extract.error_row("a.png", "segment", ValueError("no weights"))
    {'image': 'a.png', 'stage': 'segment', 'error': 'ValueError', 'message': 'no weights'}
    """
    if isinstance(error, Exception):
        # The text of an ImageError begins with the image, which has a column of its own.
        message = message or (error.reason if isinstance(error, ImageError) else str(error))
        error = type(error).__name__
    # A message may hold a file name that is not UTF-8, and no file can hold that.
    message = message.encode("utf-8", "backslashreplace").decode()
    return dict(zip(ERROR_COLUMNS, (image, stage, error, message), strict=True))


def mask_warning(rows: Sequence[ErrorRow]) -> str:
    """Return a line on the masks whose kind is uncertain, by the rows of errors; "" if none is."""
    uncertain = [row for row in rows if row["error"] == "MaskWarning"]
    if not uncertain:
        return ""
    masks = "1 mask" if len(uncertain) == 1 else f"{len(uncertain)} masks"
    first = uncertain[0]
    return (
        f"{masks} may mean something else; the first is that of {first['image']}: "
        + (first["message"])
    )


def no_nuclei_warning(n_cells: int, n_without_nucleus: int) -> str:
    """Return a line on masks that hold cells, but no nucleus at all; "" if there are nuclei."""
    if not n_cells or n_without_nucleus < n_cells:
        return ""
    return (
        "the masks hold no nuclei: columns of the nucleus are empty, and the cytoplasm is the "
        "whole cell. Nuclei come with trimaps, or with a folder of masks that holds the folders "
        "cell and nucleus"
    )


def scale_warning(rows: Sequence[ErrorRow]) -> str:
    """Return a line on cells wider than any, by the rows of errors; "" if there are none."""
    wide = [row for row in rows if row["error"] == "ScaleWarning"]
    if not wide:
        return ""
    images = "1 image" if len(wide) == 1 else f"{len(wide)} images"
    return f"{images}, the first is {wide[0]['image']}: " + wide[0]["message"]


def errors(table: pd.DataFrame) -> pd.DataFrame:
    """Return the images and families that could not be measured.

    Parameters
    ----------
    table : DataFrame
        Table of cells as returned by `table` or `load`.

    Returns
    -------
    DataFrame
        One row per failure, with the columns ``image, stage, error, message``. ``stage`` is
        ``read``, ``mask``, ``segment``, ``normalise``, ``extract`` or ``extract:`` and the name of
        a family; ``worker`` if the workers of a cluster died over the image.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import extract
    >>> empty = np.full((40, 40, 3), 235, np.uint8)
    >>> extract.errors(extract.table([empty], families="fast"))[["image", "stage", "error"]]
          image    stage        error
    0  array[0]  segment  NoCellFound
    """
    # Tables of other libraries, which have no attributes, keep no errors.
    attrs = getattr(table, "attrs", {})
    return pd.DataFrame(attrs.get("errors", []), columns=list(ERROR_COLUMNS))


def suspected(table: pd.DataFrame) -> pd.Series:
    """Return why the outline of each cell is suspected to be wrong.

    Parameters
    ----------
    table : DataFrame
        Table of cells as returned by `table` or `load`.

    Returns
    -------
    Series of str
        With the index of the table; empty for a cell whose outline is not suspected, and missing
        where the table does not tell.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cells = datasets.drawn("cells", 2, size=120, random_state=0)
    >>> extract.suspected(extract.table(cells, families=["shape"])).tolist()
    ['', '']
    """
    if "quality__suspected_failure" not in table:
        return pd.Series(pd.NA, index=table.index, dtype="string")
    flags = table["quality__suspected_failure"].astype("boolean")
    reasons = table.get("quality__failure_reason", pd.Series("", index=table.index))
    reasons = reasons.astype("string").fillna("").replace("", "suspected failure")
    return reasons.where(flags.fillna(False), "").mask(flags.isna())


def counts(table: pd.DataFrame) -> pd.DataFrame:
    """Count the cells of each image, also of images without any.

    Parameters
    ----------
    table : DataFrame
        Table of cells as returned by `table` or `load`.

    Returns
    -------
    DataFrame
        One row per image, those with cells first, and one for all tiles of a large image that has
        cells: ``image``; ``n_cells``, the cells found;
        ``n_measured``, the rows of the table, which are fewer where only the central cells were
        kept; and of these ``n_touching_border`` and ``n_suspected``, the outlines that may be
        wrong. All are 0 for an image in which no cell was found, and missing for one that could not
        be read, segmented or measured (see `errors`).

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import datasets, extract
    >>> field = datasets.draw_field(["neutrophil", "monocyte"], random_state=0).image
    >>> empty = np.full((40, 40, 3), 235, np.uint8)
    >>> cells = extract.table([field, empty, "absent.png"], families="fast")
    >>> extract.counts(cells)[["image", "n_cells", "n_suspected"]].values.tolist()
    [['array[0]', 2, 0], ['array[1]', 0, 0], ['absent.png', <NA>, <NA>]]
    """
    measured = table.groupby("image", sort=False)
    found = pd.DataFrame({"n_measured": measured.size()})
    n_cells = found["n_measured"]
    if "quality__n_cells" in table:
        n_cells = measured["quality__n_cells"].first().fillna(n_cells)
    found.insert(0, "n_cells", n_cells)
    flags = {"n_touching_border": "touches_border", "n_suspected": "suspected_failure"}
    for name, flag in flags.items():
        values = table.get(f"quality__{flag}", pd.Series(pd.NA, table.index)).astype("boolean")
        found[name] = values.groupby(table["image"], sort=False).sum(min_count=1)
    without = errors(table)
    without = without[~without["image"].isin(found.index)].drop_duplicates("image")
    count = (without["error"] == "NoCellFound").map({True: 0, False: pd.NA}).to_numpy()
    empty = pd.DataFrame(dict.fromkeys(found.columns, count), index=without["image"])
    joined = pd.concat([found.astype("Int64"), empty.astype("Int64")])
    tiles = [tile_of(name) for name in joined.index]
    if any(tiles):
        names = [
            name if tile is None else tile.path
            for name, tile in zip(joined.index, tiles, strict=True)
        ]
        joined = joined.groupby(names, sort=False).sum(min_count=1)
    return joined.rename_axis("image").reset_index()
