"""Loader of AML-Cytomorphology_MLL_Helmholtz: bags of cells of patients with four types of AML."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from hemafeat.datasets._catalogue import wrong_folder
from hemafeat.datasets._finish import finish
from hemafeat.datasets._loaders.layout import (
    folder_names,
    match_columns,
    parse_number,
    parse_sex,
    read_text_table,
)
from hemafeat.datasets._schema import DatasetError, folder, text, walk

_SEXES = {1.0: "female", 2.0: "male"}


def aml_hehr(root: str | os.PathLike[str]) -> pd.DataFrame:
    r"""List AML-Cytomorphology_MLL_Helmholtz: 101,949 cells of 189 patients, in bags.

    Parameters
    ----------
    root : path
        Folder with ``metadata.csv`` and ``data/{bag_label}/{patient_id}/*.tif``, or one above it.

    Returns
    -------
    DataFrame
        An image table (see `as_table`). ``label`` is the label of the patient, ``bag_label`` of the
        metadata; ``patient`` is the ``group``. Attributes: ``sex``, ``age`` (float64, years,
        missing if the metadata have none), and the percentages of a manual differential count,
        ``pb_myeloblast`` and so on (float64). The scale is not published.

    Raises
    ------
    DatasetError
        Raised if there is no ``metadata.csv`` with the columns ``patient_id`` and ``bag_label``, if
        there are no images, or if it does not list the patient of an image.

    Notes
    -----
    Source: The Cancer Imaging Archive, doi:10.7937/6ppe-4020. The authors exclude patients with AML
    and fewer than 20 % of myeloblasts and similar cells; this loader lists all patients.

    References
    ----------
    .. [1] M. Hehr et al., "Explainable AI identifies diagnostic cells of genetic AML subtypes",
       PLOS Digital Health 2, e0000187, 2023.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hemafeat import datasets
    >>> Path("data/NPM1/ABC").mkdir(parents=True)
    >>> Path("data/NPM1/ABC/image_0.tif").touch()  # an empty file in place of an image
    >>> Path("metadata.csv").write_text("patient_id,bag_label,sex_1f_2m,age\nABC,NPM1,1,61\n") > 0
    True
    >>> datasets.aml_hehr(".")[["label", "patient", "sex", "age"]]
      label patient     sex   age
    0  NPM1     ABC  female  61.0
    """
    root = folder(root)
    tables = walk(root, ("metadata.csv",)) or [root.parent / "metadata.csv"]
    files = walk(root, (".tif", ".tiff"))
    if not tables[0].is_file() or not files:
        raise wrong_folder("aml_hehr", root, "metadata.csv and data/NPM1/ABC/image_0.tif")
    patients = _read_metadata(tables[0])
    ids = [_patient(file, root, patients, tables[0]) for file in files]
    rows = patients.loc[ids]
    table = pd.DataFrame(
        {
            "image": text(str(file) for file in files),
            "label": text(rows["bag_label"]),
            "patient": text(ids),
            "dataset": text("aml_hehr" for _ in files),
        }
    )
    for column in rows.columns.difference(["bag_label"], sort=False):
        table[column] = rows[column].to_numpy()
    return finish(table, root, ("sex",))


def _patient(file: Path, root: Path, patients: pd.DataFrame, metadata: Path) -> str:
    for part in reversed(folder_names(file, root)):
        if part in patients.index:
            return part
    raise DatasetError(f"{metadata} does not list the patient of {file}")


def _read_metadata(path: Path) -> pd.DataFrame:
    table = read_text_table(path)
    names = match_columns(path, table, ("patient_id", "bag_label"))
    ids = table[names["patient_id"]]
    if not ids.is_unique:
        raise DatasetError(f"{path} lists {ids[ids.duplicated()].iloc[0]} more than once")
    patients = pd.DataFrame(index=pd.Index(ids, dtype=object))
    patients["bag_label"] = [value or None for value in table[names["bag_label"]]]
    sexes = table.get("sex_1f_2m")
    patients["sex"] = [None] * len(table) if sexes is None else [_sex(value) for value in sexes]
    age = table.get("age", pd.Series([""] * len(table)))
    patients["age"] = np.array([parse_number(value) for value in age])
    for column in table.columns:
        if column.startswith("pb_"):
            patients[column] = np.array([parse_number(value) for value in table[column]])
    return patients


def _sex(value: str) -> str | None:
    return _SEXES.get(parse_number(value), parse_sex(value))
