"""One name for one kind of cell, whatever a data set calls it."""

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
    # The three sets of the published map.
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
    # By the same words. A class without a finer name (neutrophil) has none here.
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
"""Level (``fine`` or ``coarse``), data set, and name in it to the shared name."""


def harmonise(
    table: pd.DataFrame,
    level: str = "coarse",
    *,
    maps: Mapping[str, Mapping[str, str]] | None = None,
    drop: bool = True,
) -> pd.DataFrame:
    """Give the cells of several data sets labels that mean the same.

    Parameters
    ----------
    table : DataFrame
        An image table, see `as_table`, or a table of cells with ``label_raw`` and ``dataset``.
    level : {"coarse", "fine"}
        ``"fine"``: the eleven names that MLL23, AML-Cytomorphology_LMU and PBC share by the map
        that comes with MLL23 [1]_, applied to further sets by the same words. ``"coarse"``: the
        eight classes of `pbc`, with band and segmented forms as ``neutrophil`` and pro-, meta- and
        myelocytes as ``immature granulocyte``, and ``blast`` and ``smudge cell``.
    maps : mapping of str to mapping of str to str, optional
        For each data set of your own (or one to replace): its names, as in ``label_raw`` or the
        attribute ``sublabel``, and the shared ones.
    drop : bool
        Whether to leave out cells without a shared name; else their label is missing.

    Returns
    -------
    DataFrame
        A copy with ``label`` renamed; ``label_raw`` stays. The first that has a shared name counts:
        ``sublabel``, which is how the bands of `pbc` are told, ``label_raw``, ``label``.

    Raises
    ------
    DatasetError
        An unknown level, a data set without a map, or no cell left.

    Notes
    -----
    Sets differ in more than names. "Neutrophil" of `apl` at the coarse level is joined by its band
    forms here (`apl` itself drops them), "platelet" there is giant thrombocytes only; atypical,
    neoplastic and reactive lymphocytes, plasma and hairy cells, and atypical promyelocytes have no
    shared name.

    References
    ----------
    .. [1] MLL23, labels_harmonised.csv, github.com/marrlab/MLL23, 2025.
    """
    if level not in LABEL_MAPS:
        raise DatasetError(f"level is {level!r}, expected 'coarse' or 'fine'")
    known = {**LABEL_MAPS[level], **(maps or {})}
    missing = sorted(set(table["dataset"].dropna()) - set(known))
    if missing or table["dataset"].isna().any():
        raise DatasetError(
            f"no map for the data set {missing[0]!r}; there are maps for {', '.join(known)}, and "
            "maps= takes others"
            if missing
            else "some cells have no data set"
        )
    folded = {name: {_fold(raw): to for raw, to in one.items()} for name, one in known.items()}
    sub = table["sublabel"] if "sublabel" in table else pd.Series([None] * len(table))
    labels = []
    columns = (table["dataset"], sub, table["label_raw"], table["label"])
    for name, *words in zip(*columns, strict=True):
        found = (folded[name].get(_fold(word)) for word in words)
        labels.append(next((label for label in found if label is not None), None))
    shared = table.assign(label=text(labels).to_numpy())
    shared["label"] = shared["label"].astype(table["label"].dtype)
    if shared["label"].isna().all():
        raise DatasetError(f"none of the {len(table)} cells has a shared name")
    return shared[shared["label"].notna()].reset_index(drop=True) if drop else shared


def label_map(level: str = "coarse") -> pd.DataFrame:
    """The map `harmonise` uses, as a table.

    Parameters
    ----------
    level : {"coarse", "fine"}
        As for `harmonise`.

    Returns
    -------
    DataFrame
        One row per name of a data set: ``dataset``, ``label_raw``, ``label``.
    """
    if level not in LABEL_MAPS:
        raise DatasetError(f"level is {level!r}, expected 'coarse' or 'fine'")
    rows = [
        (name, raw, label) for name, one in LABEL_MAPS[level].items() for raw, label in one.items()
    ]
    return pd.DataFrame(rows, columns=["dataset", "label_raw", "label"])


def _fold(name: object) -> str | None:
    return " ".join(name.lower().split()) if isinstance(name, str) else None
