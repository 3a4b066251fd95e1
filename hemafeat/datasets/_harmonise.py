"""Map the class names of data sets to shared names."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from hemafeat.datasets._loaders.apl import APL_MERGE
from hemafeat.datasets._loaders.pbc import PBC_LABELS
from hemafeat.datasets._schema import DatasetError, text

FINE = (
    "basophil",
    "eosinophil",
    "erythroblast",
    "lymphocyte",
    "metamyelocyte",
    "monocyte",
    "myeloblast",
    "myelocyte",
    "neutrophil_band",
    "neutrophil_segmented",
    "promyelocyte",
)

COARSE = (*PBC_LABELS.values(), "blast", "smudge cell")

_PLAIN = ("basophil", "eosinophil", "lymphocyte", "monocyte")

_ACEVEDO = {
    **{name: name for name in (*_PLAIN, "erythroblast")},
    "SNE": "neutrophil_segmented",
    "BNE": "neutrophil_band",
    "MY": "myelocyte",
    "MMY": "metamyelocyte",
    "PMY": "promyelocyte",
}

_FINE: dict[str, dict[str, str]] = {
    # These three are in the published map.
    "mll23": {name: name for name in FINE if name != "erythroblast"}
    | {"normoblast": "erythroblast"},
    "aml_lmu": {
        "BAS": "basophil",
        "EBO": "erythroblast",
        "EOS": "eosinophil",
        "LYT": "lymphocyte",
        "MMZ": "metamyelocyte",
        "MON": "monocyte",
        "MYB": "myelocyte",
        "MYO": "myeloblast",
        "NGB": "neutrophil_band",
        "NGS": "neutrophil_segmented",
        "PMO": "promyelocyte",
    },
    "pbc": _ACEVEDO,
    # The others follow the same terms; a class without a finer name (neutrophil) is omitted.
    "apl": {
        "Band neutrophils": "neutrophil_band",
        "Basophil": "basophil",
        "Eosinophils": "eosinophil",
        "Erythroblast": "erythroblast",
        "Lymphocyte": "lymphocyte",
        "Metamyelocyte": "metamyelocyte",
        "Monocyte": "monocyte",
        "Myelocyte": "myelocyte",
        "Promyelocyte": "promyelocyte",
        "Segmented neutrophils": "neutrophil_segmented",
    },
    "bloodmnist": {
        str(number): name
        for number, name in enumerate(PBC_LABELS)
        if name in (*_PLAIN, "erythroblast")
    },
    "raabin": {name: name for name in _PLAIN},
    "lisc": {
        "Baso": "basophil",
        "eosi": "eosinophil",
        "lymp": "lymphocyte",
        "mono": "monocyte",
    },
    "bccd": {name: name for name in _PLAIN},
    "segwbc_d1": {"2": "lymphocyte", "3": "monocyte", "4": "eosinophil", "5": "basophil"},
}
_FINE["segwbc_d2"] = _FINE["segwbc_d1"]

_COARSER = {
    "metamyelocyte": "immature granulocyte",
    "myelocyte": "immature granulocyte",
    "promyelocyte": "immature granulocyte",
    "neutrophil_band": "neutrophil",
    "neutrophil_segmented": "neutrophil",
    "myeloblast": "blast",
}

_ONLY_COARSE: dict[str, dict[str, str]] = {
    "mll23": {"smudge_cell": "smudge cell"},
    "aml_lmu": {"KSC": "smudge cell", "MOB": "blast"},
    "pbc": {
        "neutrophil": "neutrophil",
        "ig": "immature granulocyte",
        "platelet": "platelet",
    },
    "apl": {raw: label for raw, label in APL_MERGE.items() if label is not None},
    "bloodmnist": {str(number): label for number, label in enumerate(PBC_LABELS.values())},
    "raabin": {"neutrophil": "neutrophil"},
    "lisc": {"neut": "neutrophil"},
    "bccd": {"neutrophil": "neutrophil"},
    "segwbc_d1": {"1": "neutrophil"},
    "segwbc_d2": {"1": "neutrophil"},
}


def _coarse(name: str) -> dict[str, str]:
    finer = {raw: _COARSER.get(label, label) for raw, label in _FINE[name].items()}
    return finer | _ONLY_COARSE[name]


LABEL_MAPS: dict[str, dict[str, dict[str, str]]] = {
    "fine": _FINE,
    "coarse": {name: _coarse(name) for name in _FINE},
}
"""Shared name by level (``fine`` or ``coarse``), data set and original name."""


def harmonise(
    table: pd.DataFrame,
    level: str = "coarse",
    *,
    maps: Mapping[str, Mapping[str, str]] | None = None,
    drop: bool = True,
) -> pd.DataFrame:
    """Replace the labels of several data sets by shared names.

    Parameters
    ----------
    table : DataFrame
        An image table (see `as_table`) or a table of cells, with ``label_raw`` and ``dataset``.
    level : {"coarse", "fine"}
        ``"fine"`` uses the eleven names that MLL23, AML-Cytomorphology_LMU and PBC share according
        to the map published with MLL23 [1]_, applied to further data sets by the same terms.
        ``"coarse"`` uses the eight classes of `pbc`, where band and segmented forms are
        ``neutrophil`` and promyelocytes, myelocytes and metamyelocytes are ``immature
        granulocyte``, and in addition ``blast`` and ``smudge cell``.
    maps : mapping of str to mapping of str to str, optional
        Shared names by original name (of ``label_raw`` or the attribute ``sublabel``) for each
        further data set, or for one whose map is to be replaced.
    drop : bool
        If True, omit cells without a shared name; otherwise their label is missing.

    Returns
    -------
    DataFrame
        A copy with a new ``label``; ``label_raw`` is unchanged. Names are looked up in the order
        ``sublabel`` (which distinguishes the band forms of `pbc`), ``label_raw``, ``label``.

    Raises
    ------
    DatasetError
        Raised if the level is unknown, a data set has no map, or no cell has a shared name.

    Notes
    -----
    Data sets differ not only in names. At the coarse level, ``neutrophil`` includes the band forms
    of `apl`, which `apl` itself omits, and its ``platelet`` stands for giant thrombocytes only.
    Atypical, neoplastic and reactive lymphocytes, plasma and hairy cells, and atypical
    promyelocytes have no shared name.

    References
    ----------
    .. [1] MLL23, labels_harmonised.csv, github.com/marrlab/MLL23, 2025.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import datasets
    >>> cells = {"image": ["1.jpg", "2.jpg"], "label": ["SNE", "MYO"]}
    >>> table = datasets.as_table(pd.DataFrame({**cells, "dataset": ["pbc", "aml_lmu"]}))
    >>> datasets.harmonise(table)["label"].tolist()
    ['neutrophil', 'blast']
    """
    maps = {**_level(level), **(maps or {})}
    missing = sorted(set(table["dataset"].dropna()) - set(maps))
    if missing:
        raise DatasetError(
            f"no map for the data set {missing[0]!r}; add it with maps=, or use one of "
            f"{', '.join(maps)}"
        )
    if table["dataset"].isna().any():
        raise DatasetError("the data set of some cells is missing in the column 'dataset'")
    folded = {
        name: {_fold(raw): label for raw, label in names.items()} for name, names in maps.items()
    }
    sublabel = table["sublabel"] if "sublabel" in table else pd.Series([None] * len(table))
    labels = []
    columns = (table["dataset"], sublabel, table["label_raw"], table["label"])
    for name, *words in zip(*columns, strict=True):
        candidates = (folded[name].get(_fold(word)) for word in words)
        labels.append(next((label for label in candidates if label is not None), None))
    harmonised = table.assign(label=text(labels).to_numpy())
    harmonised["label"] = harmonised["label"].astype(table["label"].dtype)
    has_label = harmonised["label"].notna()
    if not has_label.any():
        raise DatasetError(f"none of the {len(table)} cells has a shared name")
    return harmonised[has_label].reset_index(drop=True) if drop else harmonised


def label_map(level: str = "coarse") -> pd.DataFrame:
    """Return the map that `harmonise` uses as a table.

    Parameters
    ----------
    level : {"coarse", "fine"}
        Level of detail; see `harmonise`.

    Returns
    -------
    DataFrame
        One row per original name: ``dataset``, ``label_raw``, ``label``.

    Examples
    --------
    >>> from hemafeat import datasets
    >>> table = datasets.label_map("fine")
    >>> table[table["dataset"] == "lisc"].reset_index(drop=True)
      dataset label_raw       label
    0    lisc      Baso    basophil
    1    lisc      eosi  eosinophil
    2    lisc      lymp  lymphocyte
    3    lisc      mono    monocyte
    """
    rows = [
        (name, raw, label)
        for name, labels in _level(level).items()
        for raw, label in labels.items()
    ]
    return pd.DataFrame(rows, columns=["dataset", "label_raw", "label"])


def _level(level: str) -> dict[str, dict[str, str]]:
    if level not in LABEL_MAPS:
        raise DatasetError(f"level is {level!r}; expected 'coarse' or 'fine'")
    return LABEL_MAPS[level]


def _fold(name: object) -> str | None:
    return " ".join(name.lower().split()) if isinstance(name, str) else None
