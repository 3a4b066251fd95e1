"""Columns of the table, known before anything is measured: names, units, formulas, sources."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hemafeat._frames import as_frame, need_frame
from hemafeat.extract._family import MASKS, Family, choose, column_facts, families as all_families
from hemafeat.extract._former import current_names, current_units
from hemafeat.extract._stability import CHANGES, robust_columns, stability

if TYPE_CHECKING:
    import pandas as pd

FamilyChoice = str | Iterable[str | Callable[..., Any]]

_LENGTH = re.compile(r"(?<!\S)px(?:\^(-?\d+))?(?!\S)")


def columns(families: FamilyChoice = "default") -> list[str]:
    """Return the names of the feature columns, in the order of the table.

    Parameters
    ----------
    families : {"fast", "default", "all", "robust"} or list of names or functions
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


def describe(families: Any = "default", *, um_per_px: bool = False) -> pd.DataFrame:
    """Describe each feature column.

    Parameters
    ----------
    families : {"fast", "default", "all", "robust"}, list of names or functions, or DataFrame
        Feature families, as in `table`; or a table of cells, whose feature columns are described in
        its order and with its units. A column that no family declares, such as one of an embedding,
        has a name and no description.
    um_per_px : bool
        Give the units of a table whose scale is known, in um instead of px. Default False. Ignored
        for a table of cells, which has its units.

    Returns
    -------
    DataFrame
        One row per column: ``column, mask, family, feature, plane, unit, formula, meaning, source,
        reference``; ``name``, the column in plain words; ``icc_stain, icc_scale, icc_jpeg,
        icc_focus, icc_mask``, the agreement of the column with itself in another image or outline
        of the same cell (1 if it is not moved, 0 if it no longer tells cells apart; NaN if not
        measured), see ``benchmarks/stability.py``; and ``robust``, whether all five are at least
        0.75.

    Examples
    --------
    >>> from hemafeat import extract
    >>> extract.describe(["shape"]).loc[0, ["column", "unit"]].tolist()
    ['nucleus__shape__area', 'px^2']
    """
    import pandas as pd

    given = as_frame(families)
    if isinstance(given, pd.DataFrame):
        return _describe_table(given)
    rows = []
    measured, stable = stability(), robust_columns()
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
                    "name": in_words(name),
                    **{
                        f"icc_{change}": measured.get(name, {}).get(change, np.nan)
                        for change in CHANGES
                    },
                    "robust": name in stable,
                }
            )
    return pd.DataFrame(rows)


_SAID_BY_ITSELF = ("shape", "relation", "lobes", "rim", "granules", "chromatin", "profile", "stain")
"""Families whose features are understood without the name of the family."""

_CHANNELS = {"r": "red", "g": "green", "b": "blue"}


def in_words(column: str) -> str:
    """Return the name of a column in plain words.

    Examples
    --------
    >>> in_words("nucleus__shape__area"), in_words("cytoplasm__density__mean__r")
    ('area of the nucleus', 'density mean of the cytoplasm (red)')
    >>> in_words("cell__relation__nucleus_to_cell_area_ratio")
    'nucleus to cell area ratio'
    >>> in_words("nucleus__lobes__n_lobes")
    'number of lobes of the nucleus'
    """
    mask, family, feature, *plane = column.split("__")
    words = re.sub(r"^n ", "number of ", feature.replace("_", " "))
    if family not in _SAID_BY_ITSELF:
        words = f"{family.replace('_', ' ')} {words}"
    if not any(word in MASKS for word in feature.split("_")):
        words += f" of the {mask}"
    where = " ".join(_CHANNELS.get(part, part.replace("_", " ")) for part in plane)
    return f"{words} ({where})" if where else words


def _describe_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row of `describe` for each feature column of a table."""
    names = feature_columns(table)
    current = list(current_names(names))
    known = describe("all").set_index("column")
    described = known.reindex(current).set_axis(names, axis=0)
    for position, part in enumerate(("mask", "family", "feature")):
        described[part] = [name.split("__")[position] for name in names]
    of_table = units(table, assume_px=False)
    described["unit"] = [
        of_table.get(now, of_table.get(name)) for name, now in zip(names, current, strict=True)
    ]
    declared = known["unit"].reindex(current).to_numpy()
    described["unit"] = described["unit"].where(described["unit"].notna(), declared)
    texts = ["plane", "unit", "formula", "meaning", "source", "reference"]
    described[texts] = described[texts].astype(object).where(described[texts].notna(), "")
    described["name"] = list(map(in_words, names))
    described["robust"] = [bool(value is True) for value in described["robust"]]
    return described.rename_axis("column").reset_index()


def feature_columns(table: pd.DataFrame) -> list[str]:
    """Return the names of the columns of `table` that are features, in its order.

    Parameters
    ----------
    table : DataFrame
        Table of cells, of pandas or of any library that converts to it, such as polars.

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
        for name in map(str, need_frame(table, "a list of features").columns)
        if name.count("__") >= 2 and name.split("__", 1)[0] in MASKS
    ]


def units(table: pd.DataFrame, *, assume_px: bool = True) -> dict[str, str]:
    """Return the unit of each feature column of a table.

    Parameters
    ----------
    table : DataFrame
        Table of cells, of pandas or of any library that converts to it, such as polars.
    assume_px : bool
        Whether a table that says nothing of its scale, for lack of units and of a column
        ``um_per_px``, counts as one in px. Otherwise no units are returned for it.

    Returns
    -------
    dict of str to str
        Units stored with the table, in ``attrs["units"]``, by their current names, or else
        declared by the families: in um if the column ``um_per_px`` holds the scale, else in px.

    Raises
    ------
    ValueError
        If ``um_per_px`` is known for some rows only, so that the columns hold px and um.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import extract
    >>> table = pd.DataFrame({"um_per_px": [0.1], "nucleus__shape__area": [40.0]})
    >>> extract.units(table)
    {'nucleus__shape__area': 'um^2'}
    """
    table = need_frame(table, "a question for units")
    names = feature_columns(table)
    scaled = is_scaled(table)
    by_name = current_units(table.attrs.get("units", {}))
    missing = [name for name in names if name not in by_name]
    if missing and (assume_px or scaled is not None):
        declared = family_units(all_families(), bool(scaled))
        by_name.update({name: declared[name] for name in missing if name in declared})
    return {name: by_name[name] for name in names if name in by_name}


def is_scaled(table: pd.DataFrame) -> bool | None:
    """Return whether the scale of every row of a table is known, None without that column.

    Raises
    ------
    ValueError
        If it is known for some rows only.
    """
    import pandas as pd

    if "um_per_px" not in table or not len(table):
        return None
    known = pd.to_numeric(table["um_per_px"], errors="coerce").notna().to_numpy()
    if known.all() or not known.any():
        return bool(known.all())
    raise ValueError(
        f"um_per_px is known for {int(known.sum())} of {len(table)} rows: one column cannot hold "
        "both px and um. Measure all images with their scale, or all without it"
    )


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
