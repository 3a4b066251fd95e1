"""The columns before anything runs: names, units, formulas, sources."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from hemafeat.extract._family import MASKS, Family, chosen, column_facts, families as all_families

if TYPE_CHECKING:
    import pandas as pd

Families = str | Iterable[str | Callable[..., Any]]

RENAMED = {
    "nucleus__tavakoli__circularity": "nucleus__tavakoli__circularity_inverse",
    **{
        f"nucleus__lobulation__roundness_at_{share}": f"nucleus__lobulation__circularity_at_{share}"
        for share in (20, 35, 50, 65, 80)
    },
}
"""Current name of each column that was renamed, by its former name."""

_LENGTH = re.compile(r"(?<!\S)px(?:\^(-?\d+))?(?!\S)")


def columns(families: Families = "default") -> list[str]:
    """Names of the feature columns, in the order of the table.

    Parameters
    ----------
    families : {"fast", "default", "all"} or list of names or functions
        Which families.

    Returns
    -------
    list of str
        ``mask__family__feature`` or ``mask__family__feature__plane``.
    """
    return [column for name, f in chosen(families).items() for column in column_facts(name, f)]


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


def describe(families: Families = "default", *, um_per_px: bool = False) -> pd.DataFrame:
    """What each feature column is.

    Parameters
    ----------
    families : {"fast", "default", "all"} or list of names or functions
        Which families.
    um_per_px : bool
        True gives the units of a table whose scale is known (um instead of px).

    Returns
    -------
    DataFrame
        One row per column: ``column, mask, family, feature, plane, unit, formula, source,
        reference``.
    """
    import pandas as pd

    rows = []
    for name, function in chosen(families).items():
        for full, (mask, plane, column) in column_facts(name, function).items():
            rows.append(
                {
                    "column": full,
                    "mask": mask,
                    "family": name,
                    "feature": full.split("__")[2],
                    "plane": plane or "__".join(full.split("__")[3:]),
                    "unit": in_um(column.unit) if um_per_px else column.unit,
                    "formula": column.formula,
                    "source": column.source,
                    "reference": function.facts.reference,
                }
            )
    return pd.DataFrame(rows)


def feature_columns(table: pd.DataFrame) -> list[str]:
    """The columns of `table` that are features, in its order.

    They are the ones named ``mask__family__feature``; identifiers, labels, attributes and the
    quality record are not among them.
    """
    return [
        name
        for name in map(str, table.columns)
        if name.count("__") >= 2 and name.split("__", 1)[0] in MASKS
    ]


def units(table: pd.DataFrame) -> dict[str, str]:
    """Unit of each feature column of `table`: what the table says, else what the families say."""
    found = dict(table.attrs.get("units", {}))
    missing = [name for name in feature_columns(table) if name not in found]
    if missing:
        scaled = "um_per_px" in table and bool(table["um_per_px"].notna().any())
        known = family_units(all_families(), scaled)
        found.update({name: known[name] for name in missing if name in known})
    return {name: found[name] for name in feature_columns(table) if name in found}


def family_units(which: dict[str, Family], scaled: bool) -> dict[str, str]:
    """Unit of each column of the families given, in table order; `scaled` puts um for px."""
    return {
        full: in_um(column.unit) if scaled else column.unit
        for name, function in which.items()
        for full, (_, _, column) in column_facts(name, function).items()
    }


def length_power(unit: str) -> int:
    """The power of px in a unit such as ``"OD px^2"``; 0 where lengths do not occur."""
    return sum(int(found.group(1) or 1) for found in _LENGTH.finditer(unit))


def in_um(unit: str) -> str:
    """`unit` with um in the place of px."""
    return _LENGTH.sub(lambda found: found.group(0).replace("px", "um"), unit)


def length_powers(which: dict[str, Family]) -> np.ndarray:
    """(k,) int64 power of px of each column, in table order."""
    return np.array(
        [
            length_power(column.unit)
            for name, function in which.items()
            for _, _, column in column_facts(name, function).values()
        ],
        dtype=np.int64,
    )
