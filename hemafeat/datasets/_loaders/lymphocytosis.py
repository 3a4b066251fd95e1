"""Loader of the lymphocytosis cohort: bags of lymphocytes and attributes of patients."""

from __future__ import annotations

import math
import os
import re
import warnings
from pathlib import Path

import pandas as pd

from hemafeat.datasets._catalogue import wrong_folder
from hemafeat.datasets._finish import finish
from hemafeat.datasets._loaders.layout import (
    folder_names,
    match_columns,
    parse_birth_year,
    parse_number,
    parse_sex,
    read_text_table,
)
from hemafeat.datasets._schema import DatasetError, DatasetWarning, folder, text, walk

LYMPHOCYTOSIS_LABELS: dict[str, str | None] = {"0": "reactive", "1": "malignant", "-1": None}
"""Label of a patient by the number in the tables; -1 stands for a hidden label."""

REFERENCE_YEAR = 2024
"""Year at which the age of patients is computed."""

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
        Unpacked folder, or any cohort of the same layout: ``trainset/P1/000000.jpg``,
        ``testset/P2/...``, and ``clinical_annotation.csv`` for all patients or
        ``trainset_true.csv`` and ``testset_data.csv`` for those of each part.
    reference_year : int
        Year from which the year of birth is subtracted to compute the age.
    dates : bool
        If True, keep the date of birth as it is written in the attribute ``dob``, for an audit: the
        tables use two formats, and the format alone predicts the label.

    Returns
    -------
    DataFrame
        An image table (see `as_table`). ``label`` is the label of the patient (``reactive`` or
        ``malignant``), missing in the test part; ``patient`` is the ``group``; ``split`` is
        ``train`` or ``test``, according to the folder. Attributes: ``sex``; ``age`` (float64, whole
        years, from the year of birth only, so that it does not reveal the format of the date);
        ``lymphocyte_count`` (float64, 10^9 per litre).

        The number of images of a patient, the count and the age each predict the label; compare
        any model with these.

    Warns
    -----
    DatasetWarning
        Issued if patients in the tables have no images, or if a date of birth cannot be parsed.

    Raises
    ------
    DatasetError
        Raised if there are no images or no table, if a table has another header, if two tables
        contradict each other, or if no table lists the patient of an image.

    Notes
    -----
    Source: the competition dlmi-lymphocytosis-classification at Kaggle (login; the licence of the
    images is unclear, so do not redistribute them). 163 training patients, 50 reactive and 113
    malignant, with 16 to 198 images of 224 x 224 px each; 42 test patients. All have more than
    4 x 10^9 lymphocytes per litre. The edition of 2021 has 142 and 42.

    Examples
    --------
    >>> from hemafeat import datasets
    >>> cohort = datasets.drawn_cohort("cohort", 4, cells=(2, 3), size=64)
    >>> table = datasets.lymphocytosis("cohort")
    >>> sorted(set(table["label"]))
    ['malignant', 'reactive']
    """
    root = folder(root)
    images = [
        (file, patient) for file in walk(root) if (patient := _patient(file, root)) is not None
    ]
    if not images:
        raise wrong_folder(
            "lymphocytosis", root, "trainset/P1/000000.jpg and clinical_annotation.csv"
        )
    patients = _read_patients(root)
    ids = [patient for _, patient in images]
    unlisted = sorted(set(ids) - set(patients.index))
    if unlisted:
        raise DatasetError(f"no table of {root} lists {unlisted[0]}, who has images")
    empty = sorted(set(patients.index) - set(ids))
    if empty:
        _warn(f"{root}: {len(empty)} listed patient(s) have no images, for example {empty[0]}")
    rows = patients.loc[ids]
    table = pd.DataFrame(
        {
            "image": text(str(file) for file, _ in images),
            "label": text(LYMPHOCYTOSIS_LABELS[value] for value in rows["LABEL"]),
            "label_raw": text(rows["LABEL"]),
            "patient": text(ids),
            "split": text(_split(file, root) for file, _ in images),
            "dataset": text("lymphocytosis" for _ in images),
            "sex": text(parse_sex(value) for value in rows["GENDER"]),
            "age": [reference_year - parse_birth_year(value) for value in rows["DOB"]],
            "lymphocyte_count": [parse_number(value) for value in rows["LYMPH_COUNT"]],
        }
    )
    dob = patients["DOB"]
    invalid = dob[[bool(date) and math.isnan(parse_birth_year(date)) for date in dob]]
    if len(invalid):
        _warn(
            f"{root}: {len(invalid)} date(s) of birth cannot be parsed and the age is missing, for "
            f"example {invalid.iloc[0]!r} of {invalid.index[0]}"
        )
    text_columns = ["sex"]
    if dates:
        table["dob"] = text(value or None for value in rows["DOB"])
        text_columns.append("dob")
    return finish(table, root, text_columns)


def _warn(message: str) -> None:
    warnings.warn(message, DatasetWarning, stacklevel=3)


def _patient(file: Path, root: Path) -> str | None:
    """Return the name of the innermost folder that is named like a patient."""
    for part in reversed(folder_names(file, root)):
        if _PATIENT.fullmatch(part):
            return part.upper()
    return None


def _split(file: Path, root: Path) -> str | None:
    for part in reversed(folder_names(file, root)):
        if part.lower() in ("trainset", "train"):
            return "train"
        if part.lower() in ("testset", "test"):
            return "test"
    return None


def _read_patients(root: Path) -> pd.DataFrame:
    """Combine the tables to one row per patient."""
    files = [file for file in walk(root, (".csv",)) if file.name.lower() in _TABLES]
    if not files:
        files = [root.parent / name for name in _TABLES if (root.parent / name).is_file()]
    if not files:
        raise DatasetError(
            f"none of {', '.join(_TABLES)} lies in the folder {root}; expected one beside the "
            "images"
        )
    # The order fixes the message; a hidden label never replaces a label of another table.
    files.sort(key=lambda file: (_TABLES.index(file.name.lower()), file.as_posix()))
    tables = [_read_table(file) for file in files]
    rows: dict[str, dict[str, str]] = {}
    for file, table in zip(files, tables, strict=True):
        for patient, row in table.iterrows():
            merged = rows.setdefault(str(patient), dict.fromkeys(_COLUMNS[1:], ""))
            for column in _COLUMNS[1:]:
                old, new = merged[column], str(row[column])
                if column == "LABEL" and "-1" in (old, new):
                    merged[column] = next((v for v in (old, new) if v in ("0", "1")), "-1")
                elif old and new and _differ(column, old, new):
                    raise DatasetError(
                        f"{file} lists {column} {new!r} for {patient}, another table {old!r}"
                    )
                else:
                    merged[column] = old or new
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(_COLUMNS[1:]))


def _differ(column: str, old: str, new: str) -> bool:
    if old == new:
        return False
    if column == "GENDER":
        return parse_sex(old) != parse_sex(new)
    if column == "DOB":
        return parse_birth_year(old) != parse_birth_year(new)
    return column == "LABEL" or parse_number(old) != parse_number(new)


def _read_table(path: Path) -> pd.DataFrame:
    table = read_text_table(path)
    names = match_columns(path, table, _COLUMNS)
    table = table.rename(columns={name: column for column, name in names.items()})
    table = table[table["ID"] != ""]
    index = table["ID"].str.upper()
    if not index.is_unique:
        raise DatasetError(f"{path} lists {index[index.duplicated()].iloc[0]} more than once")
    table = table.set_index(pd.Index(index, dtype=object))[list(_COLUMNS[1:])]
    labels = []
    for patient, value in table["LABEL"].items():
        label = parse_number(value) if value else -1.0
        if label not in (0.0, 1.0, -1.0):
            raise DatasetError(f"{path}: LABEL of {patient} is {value!r}; expected 0, 1 or -1")
        labels.append(str(int(label)))
    table["LABEL"] = labels
    return table
