"""Lymphocytosis: bags of lymphocytes and a few facts per patient, reactive or malignant."""

from __future__ import annotations

import math
import os
import re
import warnings
from pathlib import Path

import pandas as pd

from hemafeat.datasets._catalogue import wrong_folder
from hemafeat.datasets._loaders.layout import (
    birth_year,
    columns_of,
    finished,
    number,
    sex,
    table_of,
)
from hemafeat.datasets._schema import DatasetError, DatasetWarning, folder, text, walk

LYMPHOCYTOSIS_LABELS: dict[str, str | None] = {"0": "reactive", "1": "malignant", "-1": None}
"""What the table says of a patient, and the label it becomes; -1 is not told."""

REFERENCE_YEAR = 2024
"""Ages are counted to this year."""

_COLUMNS = ("ID", "LABEL", "GENDER", "DOB", "LYMPH_COUNT")
_TABLES = ("clinical_annotation.csv", "trainset_true.csv", "testset_data.csv")
_PATIENT = re.compile(r"P\d+", re.IGNORECASE)


def lymphocytosis(
    root: str | os.PathLike[str],
    *,
    reference_year: int = REFERENCE_YEAR,
    dates: bool = False,
) -> pd.DataFrame:
    """List the lymphocytosis cohort: 16,711 lymphocytes of 205 patients.

    Parameters
    ----------
    root : path
        The folder unpacked, or any cohort laid out like it: ``trainset/P1/000000.jpg``,
        ``testset/P2/...``, and ``clinical_annotation.csv`` for all patients or
        ``trainset_true.csv`` and ``testset_data.csv`` for those of each part.
    reference_year : int
        Ages are this year minus the year of birth.
    dates : bool
        Whether to keep the date of birth as it is written, in the attribute ``dob``. It is for an
        audit: two formats are in use, and the format alone predicts the label.

    Returns
    -------
    DataFrame
        An image table (see `as_table`). ``label`` is that of the patient (``reactive`` or
        ``malignant``), missing in the test part; ``patient`` is the ``group``; ``split`` is
        ``train`` or ``test``, as the folder says. Attributes: ``sex``; ``age`` (float64, whole
        years, from the year of birth alone, so that no date tells how it was written);
        ``lymphocyte_count`` (float64, 10^9 per litre).

        The number of images of a patient, the count and the age each predict the label: compare
        any model with these.

    Warns
    -----
    DatasetWarning
        Patients of the tables have no images, or a date of birth cannot be read.

    Raises
    ------
    DatasetError
        No such folder, no table, a wrong header, two tables that contradict each other, or images
        of a patient no table lists.

    Notes
    -----
    Source: the competition dlmi-lymphocytosis-classification at Kaggle (login; the licence of the
    images is unclear, so do not pass them on). 163 patients to train, 50 reactive and 113
    malignant, with 16 to 198 images of 224 x 224 px each; 42 to test. Everyone has more than
    4 x 10^9 lymphocytes per litre. The edition of 2021 has 142 and 42.
    """
    root = folder(root)
    places = [
        (file, patient) for file in walk(root) if (patient := _patient(file, root)) is not None
    ]
    if not places:
        raise wrong_folder(
            "lymphocytosis", root, "trainset/P1/000000.jpg and clinical_annotation.csv"
        )
    facts = _facts(root)
    lost = sorted({patient for _, patient in places} - set(facts.index))
    if lost:
        raise DatasetError(f"{root}: no table lists {lost[0]}, of whom there are images")
    empty = sorted(set(facts.index) - {patient for _, patient in places})
    if empty:
        _warn(f"{root}: {len(empty)} patient(s) of the tables have no images, {empty[0]} for one")
    ids = [patient for _, patient in places]
    rows = facts.loc[ids]
    table = pd.DataFrame(
        {
            "image": text(str(file) for file, _ in places),
            "label": text(LYMPHOCYTOSIS_LABELS[value] for value in rows["LABEL"]),
            "label_raw": text(rows["LABEL"]),
            "patient": text(ids),
            "split": text(_split(file, root) for file, _ in places),
            "dataset": text("lymphocytosis" for _ in places),
            "sex": text(sex(value) for value in rows["GENDER"]),
            "age": [reference_year - birth_year(value) for value in rows["DOB"]],
            "lymphocyte_count": [number(value) for value in rows["LYMPH_COUNT"]],
        }
    )
    unread = facts.index[[bool(dob) and math.isnan(birth_year(dob)) for dob in facts["DOB"]]]
    if len(unread):
        _warn(
            f"{root}: {len(unread)} date(s) of birth cannot be read, that of {unread[0]} for one, "
            f"{facts.loc[unread[0], 'DOB']!r}; their age is missing"
        )
    names = ["sex"]
    if dates:
        table["dob"] = text(value or None for value in rows["DOB"])
        names.append("dob")
    return finished(table, root, names)


def _warn(message: str) -> None:
    warnings.warn(message, DatasetWarning, stacklevel=3)


def _patient(file: Path, root: Path) -> str | None:
    """The innermost folder that is called like a patient."""
    for part in reversed([root.resolve().name, *file.relative_to(root).parts[:-1]]):
        if _PATIENT.fullmatch(part):
            return part.upper()
    return None


def _split(file: Path, root: Path) -> str | None:
    for part in reversed([root.resolve().name, *file.relative_to(root).parts[:-1]]):
        if part.lower() in ("trainset", "train"):
            return "train"
        if part.lower() in ("testset", "test"):
            return "test"
    return None


def _facts(root: Path) -> pd.DataFrame:
    """One row per patient, from whatever tables there are."""
    files = [file for file in walk(root, (".csv",)) if file.name.lower() in _TABLES]
    if not files:
        files = [root.parent / name for name in _TABLES if (root.parent / name).is_file()]
    if not files:
        raise DatasetError(
            f"{root}: expected {', '.join(_TABLES[:2])} or {_TABLES[2]} beside the images, found "
            "none of them"
        )
    # The tables of one part are the later word: they hide no label that is known.
    files.sort(key=lambda file: (_TABLES.index(file.name.lower()), file.as_posix()))
    parts = [_read(file) for file in files]
    rows: dict[str, dict[str, str]] = {}
    for file, part in zip(files, parts, strict=True):
        for patient, row in part.iterrows():
            known = rows.setdefault(str(patient), dict.fromkeys(_COLUMNS[1:], ""))
            for column in _COLUMNS[1:]:
                old, new = known[column], str(row[column])
                if column == "LABEL" and "-1" in (old, new):
                    known[column] = next((one for one in (old, new) if one in ("0", "1")), "-1")
                elif old and new and _differ(column, old, new):
                    raise DatasetError(
                        f"{file} says {column} {new!r} of {patient}, another table {old!r}"
                    )
                else:
                    known[column] = old or new
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(_COLUMNS[1:]))


def _differ(column: str, one: str, other: str) -> bool:
    if one == other:
        return False
    if column == "GENDER":
        return sex(one) != sex(other)
    if column == "DOB":
        return birth_year(one) != birth_year(other)
    return column == "LABEL" or number(one) != number(other)


def _read(path: Path) -> pd.DataFrame:
    table = table_of(path)
    names = columns_of(path, table, _COLUMNS)
    table = table.rename(columns={found: wanted for wanted, found in names.items()})
    table = table[table["ID"] != ""]
    index = table["ID"].str.upper()
    if not index.is_unique:
        raise DatasetError(f"{path} lists {index[index.duplicated()].iloc[0]} more than once")
    table = table.set_index(pd.Index(index, dtype=object))[list(_COLUMNS[1:])]
    labels = []
    for patient, value in table["LABEL"].items():
        found = number(value) if value else -1.0
        if found not in (0.0, 1.0, -1.0):
            raise DatasetError(f"{path}: LABEL of {patient} is {value!r}, expected 0, 1 or -1")
        labels.append(str(int(found)))
    table["LABEL"] = labels
    return table
