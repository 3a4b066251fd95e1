"""Cells of patients with acute promyelocytic or other acute myeloid leukaemia (Sidhom 2021)."""

from __future__ import annotations

import os
import re
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from hemafeat.datasets._loaders.layout import (
    class_table,
    columns_of,
    finished,
    number,
    parts_of,
    sex,
    table_of,
)
from hemafeat.datasets._schema import DatasetError, DatasetWarning, text, walk

APL_MERGE: dict[str, str | None] = {
    "Lymphocyte": "lymphocyte",
    "Blast, no lineage spec": "blast",
    "Smudge cells": "smudge cell",
    "Segmented neutrophils": "neutrophil",
    "Monocyte": "monocyte",
    "Promyelocyte": "immature granulocyte",
    "Myelocyte": "immature granulocyte",
    "Metamyelocyte": "immature granulocyte",
    "Prolymphocyte": "lymphocyte",
    "Erythroblast": "erythroblast",
    "Eosinophils": "eosinophil",
    "Giant thrombocyte": "platelet",
    "Basophil": "basophil",
    "Lymphocyte, variant": None,
    "Band neutrophils": None,
    "Promonocyte": None,
    "Plasma cells": None,
    "Arifact": None,
    "Unidentified": None,
    "Thrombocyte aggregation": None,
}
"""The twenty class folders, as they are spelt, and the ten labels they become; None is no label.

The merge is the one in use, but for the one prolymphocyte, a lymphoid cell, that it counts among
the immature granulocytes.
"""

_PATIENT = re.compile(r"patient[_ ]?(\d+)", re.IGNORECASE)
_SPLITS = {"discovery": "train", "validation": "test"}
_COLUMNS = ("Patient_ID", "Diagnosis", "Cohort", "Age at Diagnosis", "Gender")
_ATTRIBUTES = ("preclass", "diagnosis", "sex")


def apl(
    root: str | os.PathLike[str], *, merge: str = "corrected", unsigned: bool = False
) -> pd.DataFrame:
    """List the Kaggle APL set: 25,915 cells of 106 patients, 15,517 of them in 20 classes.

    Parameters
    ----------
    root : path
        The folder unpacked, or any part of it: ``master.csv`` and
        ``All/All/Patient_00/Signed slides/{class}/*.jpg``, with a folder more here and there.
    merge : {"corrected", "original", "none"}
        What becomes of the classes. ``"corrected"``: see `APL_MERGE`; a cell filed under two labels
        has none, and both in ``label_raw``. ``"original"`` repeats what was published: the
        prolymphocyte is an immature granulocyte, and of files of one name the first stays, with its
        label. ``"none"``: the twenty names of the folders.
    unsigned : bool
        Whether to list the cells below ``Unsigned slides``, which nobody has named.

    Returns
    -------
    DataFrame
        An image table (see `as_table`). ``patient`` (``Patient_00``) is the ``group``; ``split`` is
        ``train`` for the discovery and ``test`` for the validation cohort. Attributes:
        ``diagnosis`` (``AML`` or ``APL``, the label of the patient), ``age`` (float64, years),
        ``sex``, and ``preclass``, the prefix of the file name: what the analyser took the cell for
        before anybody looked, which differs from the folder for some seventeen cells. The folder
        counts. Without ``master.csv`` what it says is missing.

        "Platelet" is giant thrombocytes only and "neutrophil" has no band forms, unlike in `pbc`;
        blasts and smudge cells are in no other set with these names, so that in a merged table the
        data set tells the class.

    Warns
    -----
    DatasetWarning
        Cells are filed under two labels, or ``master.csv`` is not there.

    Raises
    ------
    DatasetError
        No class folder with images, a patient whom ``master.csv`` does not list, or a wrong header.

    Notes
    -----
    Source: Kaggle, eugeneshenderov/acute-promyelocytic-leukemia-apl (login). 106 patients, 72 AML
    and 34 APL. CellaVision; most cells are 363 x 360 px, some odd; the scale is not published. Some
    JPEGs cannot be decoded: reading them says so.

    References
    ----------
    .. [1] J.-W. Sidhom et al., "Deep learning for diagnosis of acute promyelocytic leukemia via
       recognition of genomically imprinted morphologic features", npj Precision Oncology 5, 38,
       2021.
    """
    if merge not in ("corrected", "original", "none"):
        raise DatasetError(f"merge is {merge!r}, expected 'corrected', 'original' or 'none'")
    labels = dict(APL_MERGE)
    if merge == "original":
        labels["Prolymphocyte"] = "immature granulocyte"
    if merge == "none":
        labels = {name: name for name in labels}
    # Unsigned cells lie in no class folder.
    known = {**labels, "Unsigned slides": None} if unsigned else labels
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*in no class folder", DatasetWarning)
        table, cells, root = class_table(
            "apl", root, known, "Patient_00/Signed slides/Lymphocyte/*.jpg and master.csv"
        )
    files = [cell.file for cell in cells]
    table["patient"] = text(_patient(file, root) for file in files)
    table["preclass"] = text(
        file.stem.split("_")[0].upper() if "_" in file.stem else None for file in files
    )
    table.loc[[cell.known == "Unsigned slides" for cell in cells], "label_raw"] = np.nan
    _add_patients(table, root)
    if merge == "original":
        first = ~pd.Series([file.name for file in files]).duplicated()
        table = table[first].reset_index(drop=True)
    else:
        _unlabel_contradictions(table, files, root)
    return finished(table, root, _ATTRIBUTES)


def _patient(file: Path, root: Path) -> str | None:
    for part in parts_of(file, root):
        found = _PATIENT.fullmatch(part)
        if found:
            return f"Patient_{int(found.group(1)):02d}"
    return None


def _add_patients(table: pd.DataFrame, root: Path) -> None:
    masters = walk(root, ("master.csv",)) or [root.parent / "master.csv"]
    if not masters[0].is_file():
        warnings.warn(
            f"{root}: there is no master.csv, so diagnosis, cohort, age and sex are not known",
            DatasetWarning,
            stacklevel=4,
        )
        facts = pd.DataFrame(columns=[*_COLUMNS])
        facts.index = pd.Index([], dtype=object)
    else:
        facts = _master(masters[0])
        lost = set(table["patient"].dropna()) - set(facts.index)
        if lost:
            raise DatasetError(f"{masters[0]} does not list {min(lost)}, of whom there are images")
    rows = facts.reindex(table["patient"])
    table["split"] = text(_SPLITS.get(str(value).lower()) for value in rows["Cohort"])
    table["diagnosis"] = text(
        value.upper() if isinstance(value, str) and value else None for value in rows["Diagnosis"]
    )
    table["age"] = [number(value) for value in rows["Age at Diagnosis"]]
    table["sex"] = text(sex(value) for value in rows["Gender"])


def _master(path: Path) -> pd.DataFrame:
    table = table_of(path)
    names = columns_of(path, table, _COLUMNS)
    table = table.rename(columns={found: wanted for wanted, found in names.items()})
    ids = []
    for written in table["Patient_ID"]:
        found = _PATIENT.fullmatch(written)
        ids.append(f"Patient_{int(found.group(1)):02d}" if found else written)
    table.index = pd.Index(ids, dtype=object)
    if not table.index.is_unique:
        raise DatasetError(f"{path} lists {table.index[table.index.duplicated()][0]} twice")
    return table


def _unlabel_contradictions(table: pd.DataFrame, files: list[Path], root: Path) -> None:
    """Take the label from cells of a patient that lie, under one name, in folders of two labels."""
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, (file, patient) in enumerate(zip(files, table["patient"], strict=True)):
        places[(str(patient), file.name.lower())].append(row)
    labels = [label if isinstance(label, str) else None for label in table["label"]]
    torn = [rows for rows in places.values() if len({labels[row] for row in rows}) > 1]
    if not torn:
        return
    one, other = (files[row].relative_to(root).as_posix() for row in torn[0][:2])
    warnings.warn(
        f"{root}: {len(torn)} cell(s) are filed under two labels and have none here, {one} and "
        f"{other} for one",
        DatasetWarning,
        stacklevel=4,
    )
    for rows in torn:
        table.loc[rows, "label_raw"] = " or ".join(sorted(set(table.loc[rows, "label_raw"])))
        table.loc[rows, "label"] = np.nan
