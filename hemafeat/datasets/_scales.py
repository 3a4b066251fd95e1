"""Compare the scale that is stated for a data set with the size of its red cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np
import pandas as pd

from hemafeat._words import plural
from hemafeat.datasets._schema import DatasetError
from hemafeat.datasets._table import as_table
from hemafeat.images import RED_CELL_UM, scale

_CONTRADICTION = 1.35
"""Ratio of two scales from which disease does not explain it: means of the red cells of a patient
differ by up to a quarter from the usual 7.2 um."""

_SURE = 20
"""Number of red cells from which they are believed more than a stated scale."""

_MOST_SCALES = 4
"""Number of stated scales of a data set that are checked: some state one for each image."""

_COLUMNS = ("dataset", "stated", "um_per_px", "spread", "n_cells", "n_images", "problem")


def scales(images: Any, *, max_images: int = 200, enough: int = 300) -> pd.DataFrame:
    """Estimate the scale of each data set from its red cells, beside the scale that is stated.

    Parameters
    ----------
    images : DataFrame, path, sequence
        An image table, or anything that `as_table` accepts.
    max_images, enough : int
        Numbers of images of a data set, and of red cells, after which no further image is read, as
        in `hemafeat.images.scale`.

    Returns
    -------
    DataFrame
        One row for each data set (column ``dataset`` of the table; missing for images of none), or
        for each of the four most frequent scales that are stated in it: ``dataset``; ``stated``,
        the um per pixel in the table, NaN if there is none; ``um_per_px``, ``spread``, ``n_cells``,
        ``n_images`` as in `hemafeat.images.Scale`; ``problem``, why there is no estimate, or how it
        contradicts what is stated; empty if neither.

    Raises
    ------
    DatasetError
        Raised if `as_table` raises it. Images that cannot be read are passed over.

    Notes
    -----
    A stated scale is contradicted if at least 20 red cells make it 1.35 times too large or too
    small. Microcytic and macrocytic red cells differ less from the usual size, see
    `hemafeat.images.scale`.

    Examples
    --------
    >>> from hemafeat import datasets
    >>> table = datasets.drawn("cells", 8, size=360, random_state=0)
    >>> found = datasets.scales(table.assign(um_per_px=1.0))
    >>> found["problem"].item()[:56]
    'um_per_px = 1 makes the red cells of drawn 76 um wide (m'
    """
    table = as_table(images)
    rows = []
    for dataset, stated, members in _groups(table):
        found = scale(list(members["image"]), max_images=max_images, enough=enough)
        problem = found.reason
        ratio = stated / found.um_per_px
        if found.n_cells >= _SURE and abs(math.log(ratio)) > math.log(_CONTRADICTION):
            width = float(f"{ratio * RED_CELL_UM:.2g}")
            problem = (
                f"um_per_px = {stated:g} makes the red cells{_of(dataset)} {width:,g} um wide "
                f"(median of {found.n_cells} in {plural(found.n_images, 'image')}), and red cells "
                f"are 6.5 to 8 um: by their size it is about {found.um_per_px:.2g}"
            )
        rows.append((dataset, stated, *astuple(found)[:-1], problem))
    return scale_table(rows)


def scale_table(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """Return rows as `scales` does."""
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def with_scale(images: Any, *, notify: Callable[[str], object] | None = None) -> pd.DataFrame:
    """Fill in the scale of images from the red cells of their data set, where none is stated.

    The estimate is pooled over all images of a data set that state no scale, and is the same for
    all of them: one image holds few red cells, and the red cells of one patient may be small or
    large, which must not change the size of the white cells.

    Parameters
    ----------
    images : DataFrame, path, sequence
        An image table, or anything that `as_table` accepts.
    notify : callable, optional
        Called with a line of text for each data set: its scale, and from how many cells it is.

    Returns
    -------
    DataFrame
        The image table, with ``um_per_px`` in every row.

    Raises
    ------
    DatasetError
        Raised if `as_table` raises it, or if the red cells of a data set are too few or disagree;
        the message says which.

    See Also
    --------
    scales : Compare the estimates with what is stated.

    Examples
    --------
    >>> from hemafeat import datasets
    >>> table = datasets.drawn("cells", 8, size=360, random_state=0)
    >>> filled = datasets.with_scale(table.drop(columns="um_per_px"))
    >>> round((filled["um_per_px"] / table["um_per_px"]).mean().item(), 1)
    0.9
    """
    table = as_table(images)
    unknown = table["um_per_px"].isna().to_numpy()
    values = table["um_per_px"].to_numpy(np.float64, copy=True)
    names = table["dataset"].fillna("").to_numpy()
    for found in scales(table[unknown]).to_dict("records") if unknown.any() else ():
        name = found["dataset"] if isinstance(found["dataset"], str) else ""
        if math.isnan(found["um_per_px"]):
            raise DatasetError(
                f"the scale{_of(name)} cannot be estimated: {found['problem']}. State um_per_px "
                "as a number, or measure in px"
            )
        values[unknown & (names == name)] = found["um_per_px"]
        if notify is not None:
            notify(describe(found))
    return table.assign(um_per_px=values)


def describe(found: Mapping[Any, Any]) -> str:
    """Return the estimate of a row of `scales` as a line of text."""
    return (
        f"{found['um_per_px']:.4g} um per px{_of(found['dataset'])}, by {found['n_cells']} red "
        f"cells in {plural(found['n_images'], 'image')} (spread {100 * found['spread']:.0f} %)"
    )


def _groups(table: pd.DataFrame) -> Iterator[tuple[Any, float, pd.DataFrame]]:
    for dataset, members in table.groupby(table["dataset"].fillna(""), sort=False):
        counts = members["um_per_px"].value_counts(dropna=False)
        for stated in counts.index[:_MOST_SCALES].to_list():
            same = (
                members["um_per_px"].isna() if stated != stated else members["um_per_px"] == stated
            )
            yield dataset or None, stated, members[same]


def _of(dataset: Any) -> str:
    return f" of {dataset}" if isinstance(dataset, str) and dataset else ""
