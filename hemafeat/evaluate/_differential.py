"""Differential counts with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hemafeat._words import no_column

NOT_SURE = "not sure"
"""What stands for the class of a cell that is not classified."""

APART = ("erythroblast", "platelet")
"""Classes that are no white cells: they are counted, and have no share."""

_Z = 1.959964


def differential(
    cells: pd.DataFrame,
    by: str | None = None,
    *,
    column: str = "counted",
    classes: Sequence[str] = (),
    apart: Sequence[str] = APART,
) -> pd.DataFrame:
    """Count the classes of white cells, with the interval of each share.

    Parameters
    ----------
    cells : DataFrame
        One row per cell, with the columns `column`, ``image`` and `by`.
    by : str, optional
        Column of what is counted by itself: ``"image"``, ``"patient"``, a slide. Values of a
        categorical column that no cell has give rows of 0. By default all cells are counted
        together.
    column : str
        Column of the classes; ``"not sure"`` stands for a cell that is not classified.
    classes : sequence of str
        Classes of which there is a row even where no cell is of them.
    apart : sequence of str
        Classes that are no white cells.

    Returns
    -------
    DataFrame
        A row for each class of each value of `by`: `by` (or ``"all"``), ``class``, ``n``;
        ``share`` of the classified white cells, with ``low`` and ``high``, the 95 % interval. The
        share of ``not sure`` is that of all white cells, classified or not. It is NaN for
        classes counted apart, and where there are no cells.

    Raises
    ------
    ValueError
        If a column is missing.

    Notes
    -----
    The interval is that of Wilson. Cells of one image are more alike than those of several, so that
    over several images it is computed at the effective number of cells: the number divided by the
    design effect, the variance of the share between images (a ratio of totals) over that of
    independent cells, if this is above 1 [1]_. It holds for the cells that were drawn from the
    slide, as the classifier calls them; errors of the classifier are not in it.

    References
    ----------
    .. [1] C. Franco et al., "Comparative study of confidence intervals for proportions in complex
       sample surveys", Journal of Survey Statistics and Methodology 7, 2019.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import evaluate
    >>> counted = ["neutrophil"] * 6 + ["lymphocyte"] * 2 + ["not sure", "platelet"]
    >>> cells = pd.DataFrame({"image": ["a.png"] * 10, "counted": counted})
    >>> evaluate.differential(cells).round(2)
       all       class  n  share   low  high
    0  all  lymphocyte  2   0.25  0.07  0.59
    1  all  neutrophil  6   0.75  0.41  0.93
    2  all    not sure  1   0.11  0.02  0.43
    3  all    platelet  1    NaN   NaN   NaN
    """
    for name in (column, "image", *([] if by is None else [by])):
        if name not in cells:
            raise ValueError(no_column(name, cells.columns))
    called = cells[column].astype(str)
    found = sorted({*called, *classes} - {NOT_SURE, *apart})
    order = [*found, NOT_SURE, *(name for name in apart if name in {*called, *classes})]
    groups: Any = [("all", cells)]
    if by is not None:
        groups = cells.groupby(by, observed=False, sort=True, dropna=False)
    rows = []
    for name, members in groups:
        counts = pd.crosstab(members["image"].astype(str), members[column].astype(str))
        counts = counts.reindex(columns=order, fill_value=0)
        classified = counts[found].sum(axis=1).to_numpy(float)
        for one in order:
            n = counts[one].to_numpy(float)
            total = classified + n if one == NOT_SURE else classified
            bounds = (math.nan,) * 3 if one in apart else _share(n, total)
            rows.append((name, one, int(n.sum()), *bounds))
    return pd.DataFrame(rows, columns=[by or "all", "class", "n", "share", "low", "high"])


def _share(n: np.ndarray, total: np.ndarray) -> tuple[float, float, float]:
    """Return the share of cells counted in several images, and its interval."""
    n, total = n[total > 0], total[total > 0]
    whole = total.sum()
    if not whole:
        return (math.nan,) * 3
    share = n.sum() / whole
    size, images = whole, len(total)
    if images > 1 and 0 < share < 1:
        residual = n - share * total
        variance = images / (images - 1) * float((residual**2).sum()) / whole**2
        size = whole / max(1.0, variance / (share * (1 - share) / whole))
    middle = (share + _Z**2 / (2 * size)) / (1 + _Z**2 / size)
    half = _Z / (1 + _Z**2 / size) * math.sqrt(share * (1 - share) / size + (_Z / (2 * size)) ** 2)
    # Rounding must not put a share of 0 or 1 outside its interval.
    return share, min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))
