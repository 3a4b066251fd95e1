"""Columns of the table, known before anything is measured: names, units, formulas, sources."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from hemafeat.extract._family import MASKS, Family, choose, column_facts, families as all_families

if TYPE_CHECKING:
    import pandas as pd

FamilyChoice = str | Iterable[str | Callable[..., Any]]

RENAMED = {
    "nucleus__tavakoli__circularity": "nucleus__tavakoli__circularity_inverse",
    **{
        f"nucleus__lobulation__roundness_at_{share}": f"nucleus__lobulation__circularity_at_{share}"
        for share in (20, 35, 50, 65, 80)
    },
}
"""Current name of each column that was renamed, by its former name."""

FORMULAS = 2
"""Version of the values of all columns, stored with each table; 1 where it is not stored."""

CHANGED: dict[str, int] = {}
"""Value of `FORMULAS` from which on columns have other values, by a pattern of their current names.

A pattern is that of `fnmatch`: ``"*__shape__solidity"``, ``"nucleus__glcm__*"``.
"""

_LENGTH = re.compile(r"(?<!\S)px(?:\^(-?\d+))?(?!\S)")


def columns(families: FamilyChoice = "default") -> list[str]:
    """Return the names of the feature columns, in the order of the table.

    Parameters
    ----------
    families : {"fast", "default", "all"} or list of names or functions
        Feature families, as in `table`.

    Returns
    -------
    list of str
        ``mask__family__feature`` or ``mask__family__feature__plane``.

    Examples
    --------
    >>> from hemafeat import extract
    >>> extract.columns(["shape"])[:2]
    ['nucleus__shape__area', 'nucleus__shape__perimeter_crofton']
    """
    return [name for key, f in choose(families).items() for name in column_facts(key, f)]


def current_names(columns: Iterable[str]) -> list[str]:
    """Replace former names of feature columns by their current names.

    Parameters
    ----------
    columns : iterable of str
        Names of columns, such as those of a saved table or of a model fitted with an earlier
        version.

    Returns
    -------
    list of str
        The names in the same order. A name that was never changed, or is not known, is returned
        as it is.

    Examples
    --------
    >>> from hemafeat import extract
    >>> extract.current_names(["nucleus__tavakoli__circularity", "cell__shape__area", "age"])
    ['nucleus__tavakoli__circularity_inverse', 'cell__shape__area', 'age']
    """
    return [RENAMED.get(name, name) for name in columns]


def changed_columns(names: Iterable[str], formulas: int) -> list[str]:
    """Return the columns whose values were computed differently when `FORMULAS` was `formulas`."""
    patterns = [pattern for pattern, since in CHANGED.items() if since > formulas]
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def describe(families: FamilyChoice = "default", *, um_per_px: bool = False) -> pd.DataFrame:
    """Describe each feature column.

    Parameters
    ----------
    families : {"fast", "default", "all"} or list of names or functions
        Feature families, as in `table`.
    um_per_px : bool
        Give the units of a table whose scale is known, in um instead of px. Default False.

    Returns
    -------
    DataFrame
        One row per column: ``column, mask, family, feature, plane, unit, formula, meaning, source,
        reference``.

    Examples
    --------
    >>> from hemafeat import extract
    >>> extract.describe(["shape"]).loc[0, ["column", "unit"]].tolist()
    ['nucleus__shape__area', 'px^2']
    """
    import pandas as pd

    rows = []
    for family, function in choose(families).items():
        for name, (mask, plane, column) in column_facts(family, function).items():
            rows.append(
                {
                    "column": name,
                    "mask": mask,
                    "family": family,
                    "feature": name.split("__")[2],
                    "plane": plane or "__".join(name.split("__")[3:]),
                    "unit": in_um(column.unit) if um_per_px else column.unit,
                    "formula": column.formula,
                    "meaning": column.meaning,
                    "source": column.source,
                    "reference": function.facts.reference,
                }
            )
    return pd.DataFrame(rows)


def feature_columns(table: pd.DataFrame) -> list[str]:
    """Return the names of the columns of `table` that are features, in its order.

    Parameters
    ----------
    table : DataFrame
        Table of cells.

    Returns
    -------
    list of str
        Columns with a name of the form ``mask__family__feature``. Identifiers, labels, attributes
        and quality columns are not among them.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import extract
    >>> names = ["image", "quality__focus", "nucleus__shape__area"]
    >>> extract.feature_columns(pd.DataFrame(columns=names))
    ['nucleus__shape__area']
    """
    return [
        name
        for name in map(str, table.columns)
        if name.count("__") >= 2 and name.split("__", 1)[0] in MASKS
    ]


def units(table: pd.DataFrame) -> dict[str, str]:
    """Return the unit of each feature column of a table.

    Parameters
    ----------
    table : DataFrame
        Table of cells.

    Returns
    -------
    dict of str to str
        Units stored with the table, in ``attrs["units"]``, or else declared by the families.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import extract
    >>> table = pd.DataFrame({"um_per_px": [0.1], "nucleus__shape__area": [40.0]})
    >>> extract.units(table)
    {'nucleus__shape__area': 'um^2'}
    """
    names = feature_columns(table)
    by_name = dict(table.attrs.get("units", {}))
    missing = [name for name in names if name not in by_name]
    if missing:
        scaled = "um_per_px" in table and bool(table["um_per_px"].notna().any())
        declared = family_units(all_families(), scaled)
        by_name.update({name: declared[name] for name in missing if name in declared})
    return {name: by_name[name] for name in names if name in by_name}


def family_units(families: Mapping[str, Family], scaled: bool) -> dict[str, str]:
    """Return the unit of each column of families, in table order; in um if `scaled`, else in px."""
    return {
        name: in_um(column.unit) if scaled else column.unit
        for family, function in families.items()
        for name, (_, _, column) in column_facts(family, function).items()
    }


def length_power(unit: str) -> int:
    """Return the power of px in a unit such as ``"OD px^2"``; 0 for a unit without lengths."""
    return sum(int(match.group(1) or 1) for match in _LENGTH.finditer(unit))


def in_um(unit: str) -> str:
    """Replace px by um in a unit."""
    return _LENGTH.sub(lambda match: match.group(0).replace("px", "um"), unit)


def length_powers(families: Mapping[str, Family]) -> np.ndarray:
    """Return the power of px of each column, in table order: (k,) int64."""
    return np.array(
        [
            length_power(column.unit)
            for family, function in families.items()
            for _, _, column in column_facts(family, function).values()
        ],
        dtype=np.int64,
    )
