"""Loader of the APL data set: cells of acute promyelocytic and other acute myeloid leukaemia."""

from __future__ import annotations

import os
import re
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from hemafeat.datasets._finish import finish
from hemafeat.datasets._loaders.layout import (
    class_table,
    folder_names,
    match_columns,
    parse_number,
    parse_sex,
    read_text_table,
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
"""Label of each of the twenty class folders, as they are spelt; None means no label.

The merge into ten labels is the published one, except for the prolymphocyte, a lymphoid cell, which
was published as an immature granulocyte.
"""

_PATIENT = re.compile(r"patient[_ ]?(\d+)", re.IGNORECASE)
_SPLITS = {"discovery": "train", "validation": "test"}
_COLUMNS = ("Patient_ID", "Diagnosis", "Cohort", "Age at Diagnosis", "Gender")
_ATTRIBUTES = ("preclass", "diagnosis", "sex")


def apl(
    root: str | os.PathLike[str], *, merge: str = "corrected", unsigned: bool = False
) -> pd.DataFrame:
    r"""List the Kaggle APL set: 25,915 cells of 106 patients, 15,517 of them in 20 classes.

    Parameters
    ----------
    root : path
        Unpacked folder, or any part of it: ``master.csv`` and
        ``All/All/Patient_00/Signed slides/{class}/*.jpg``, with any further nesting.
    merge : {"corrected", "original", "none"}
        How classes are merged. ``"corrected"`` uses `APL_MERGE`; a cell that is filed under two
        labels has no label, and both in ``label_raw``. ``"original"`` reproduces the publication:
        the prolymphocyte is an immature granulocyte, and the first of several files of the same
        name is kept with its label. ``"none"`` keeps the twenty names of the folders.
    unsigned : bool
        If True, list the unlabelled cells below ``Unsigned slides`` too.

    Returns
    -------
    DataFrame
        An image table (see `as_table`). ``patient`` (``Patient_00``) is the ``group``; ``split`` is
        ``train`` for the discovery and ``test`` for the validation cohort. Attributes:
        ``diagnosis`` (``AML`` or ``APL``, the label of the patient), ``age`` (float64, years),
        ``sex``, and ``preclass``, the prefix of the file name. It is the class that the analyser
        proposed, which differs from the folder for some seventeen cells; ``label`` follows the
        folder. Attributes from ``master.csv`` are missing without this file.

        "Platelet" stands for giant thrombocytes only and "neutrophil" has no band forms, unlike in
        `pbc`. No other data set has blasts and smudge cells under these names, so that in a merged
        table the data set predicts the class.

    Warns
    -----
    DatasetWarning
        Issued if cells are filed under two labels, or if ``master.csv`` is missing.

    Raises
    ------
    DatasetError
        Raised if there is no class folder with images, or if ``master.csv`` has another header or
        does not list a patient.

    Notes
    -----
    Source: Kaggle, eugeneshenderov/acute-promyelocytic-leukemia-apl (login). 106 patients, 72 AML
    and 34 APL. CellaVision; most cells are 363 x 360 px; the scale is not published. Some JPEG
    files are damaged and raise an error when they are read.

    References
    ----------
    .. [1] J.-W. Sidhom et al., "Deep learning for diagnosis of acute promyelocytic leukemia via
       recognition of genomically imprinted morphologic features", npj Precision Oncology 5, 38,
       2021.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hemafeat import datasets
    >>> Path("Patient_00/Signed slides/Smudge cells").mkdir(parents=True)
    >>> Path("Patient_00/Signed slides/Smudge cells/BA_1.jpg").touch()  # in place of an image
    >>> header = "Patient_ID,Diagnosis,Cohort,Age at Diagnosis,Gender\n"
    >>> Path("master.csv").write_text(header + "Patient_00,APL,Discovery,37,F\n") > 0
    True
    >>> datasets.apl(".")[["label", "patient", "split", "diagnosis"]]
             label     patient  split diagnosis
    0  smudge cell  Patient_00  train       APL
    """
    if merge not in ("corrected", "original", "none"):
        raise DatasetError(f"merge is {merge!r}; expected 'corrected', 'original' or 'none'")
    labels = dict(APL_MERGE)
    if merge == "original":
        labels["Prolymphocyte"] = "immature granulocyte"
    if merge == "none":
        labels = {name: name for name in labels}
    # Unsigned cells do not lie in class folders.
    classes = {**labels, "Unsigned slides": None} if unsigned else labels
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*not in a class folder", DatasetWarning)
        table, cells, root = class_table(
            "apl", root, classes, "Patient_00/Signed slides/Lymphocyte/*.jpg and master.csv"
        )
    files = [cell.file for cell in cells]
    table["patient"] = text(_patient(file, root) for file in files)
    table["preclass"] = text(
        file.stem.split("_")[0].upper() if "_" in file.stem else None for file in files
    )
    table.loc[[cell.class_name == "Unsigned slides" for cell in cells], "label_raw"] = np.nan
    _add_patients(table, root)
    if merge == "original":
        first = ~pd.Series([file.name for file in files]).duplicated()
        table = table[first].reset_index(drop=True)
    else:
        _unlabel_contradictions(table, files, root)
    return finish(table, root, _ATTRIBUTES)


def _patient(file: Path, root: Path) -> str | None:
    for part in folder_names(file, root):
        match = _PATIENT.fullmatch(part)
        if match:
            return f"Patient_{int(match.group(1)):02d}"
    return None


def _add_patients(table: pd.DataFrame, root: Path) -> None:
    files = walk(root, ("master.csv",)) or [root.parent / "master.csv"]
    if not files[0].is_file():
        warnings.warn(
            f"{root} has no master.csv, so diagnosis, cohort, age and sex are missing",
            DatasetWarning,
            stacklevel=4,
        )
        patients = pd.DataFrame(columns=[*_COLUMNS])
        patients.index = pd.Index([], dtype=object)
    else:
        patients = _read_patients(files[0])
        unlisted = set(table["patient"].dropna()) - set(patients.index)
        if unlisted:
            raise DatasetError(f"{files[0]} does not list {min(unlisted)}, who has images")
    rows = patients.reindex(table["patient"])
    table["split"] = text(_SPLITS.get(str(value).lower()) for value in rows["Cohort"])
    table["diagnosis"] = text(
        value.upper() if isinstance(value, str) and value else None for value in rows["Diagnosis"]
    )
    table["age"] = [parse_number(value) for value in rows["Age at Diagnosis"]]
    table["sex"] = text(parse_sex(value) for value in rows["Gender"])


def _read_patients(path: Path) -> pd.DataFrame:
    table = read_text_table(path)
    names = match_columns(path, table, _COLUMNS)
    table = table.rename(columns={name: column for column, name in names.items()})
    ids = []
    for name in table["Patient_ID"]:
        match = _PATIENT.fullmatch(name)
        ids.append(f"Patient_{int(match.group(1)):02d}" if match else name)
    table.index = pd.Index(ids, dtype=object)
    if not table.index.is_unique:
        raise DatasetError(
            f"{path} lists {table.index[table.index.duplicated()][0]} more than once"
        )
    return table


def _unlabel_contradictions(table: pd.DataFrame, files: list[Path], root: Path) -> None:
    """Remove the label of each cell that is filed in folders of different labels."""
    copies: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, (file, patient) in enumerate(zip(files, table["patient"], strict=True)):
        copies[(str(patient), file.name.lower())].append(row)
    labels = [label if isinstance(label, str) else None for label in table["label"]]
    conflicts = [rows for rows in copies.values() if len({labels[row] for row in rows}) > 1]
    if not conflicts:
        return
    first, second = (files[row].relative_to(root).as_posix() for row in conflicts[0][:2])
    warnings.warn(
        f"{root}: {len(conflicts)} cell(s) are filed under two labels, so their label is removed, "
        f"for example {first} and {second}",
        DatasetWarning,
        stacklevel=4,
    )
    for rows in conflicts:
        table.loc[rows, "label_raw"] = " or ".join(sorted(set(table.loc[rows, "label_raw"])))
        table.loc[rows, "label"] = np.nan
