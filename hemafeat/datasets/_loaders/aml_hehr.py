"""Bags of single cells of patients with four kinds of AML and of healthy donors (Hehr 2023)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from hemafeat.datasets._catalogue import wrong_folder
from hemafeat.datasets._loaders.layout import columns_of, finished, number, parts_of, sex, table_of
from hemafeat.datasets._schema import DatasetError, folder, text, walk

AML_HEHR_LABELS = ("CBFB::MYH11", "NPM1", "PML::RARA", "RUNX1::RUNX1T1", "control")
"""What a patient may have; the names of folders have another sign for ``::`` at times."""

_SEXES = {1.0: "female", 2.0: "male"}


def aml_hehr(root: str | os.PathLike[str]) -> pd.DataFrame:
    """List AML-Cytomorphology_MLL_Helmholtz: 101,949 cells of 189 patients, in bags.

    Parameters
    ----------
    root : path
        The folder with ``metadata.csv`` and ``data/{bag_label}/{patient_id}/*.tif``, or one above.

    Returns
    -------
    DataFrame
        An image table (see `as_table`). ``label`` is that of the patient, ``bag_label`` of the
        metadata; ``patient`` is the ``group``. Attributes: ``sex``, ``age`` (float64, years,
        missing where the metadata have none), and the shares of cells a laboratory counted,
        ``pb_myeloblast`` and so on (float64). The scale is not published.

    Raises
    ------
    DatasetError
        No ``metadata.csv`` with the columns ``patient_id`` and ``bag_label``, no image of any of
        its patients, or images of a patient it does not list.

    Notes
    -----
    Source: The Cancer Imaging Archive, doi:10.7937/6ppe-4020. The authors leave out patients with
    AML of whose cells fewer than 20 % are blasts or alike; nobody is left out here.

    References
    ----------
    .. [1] M. Hehr et al., "Explainable AI identifies diagnostic cells of genetic AML subtypes",
       PLOS Digital Health 2, e0000187, 2023.
    """
    root = folder(root)
    tables = walk(root, ("metadata.csv",)) or [root.parent / "metadata.csv"]
    files = walk(root, (".tif", ".tiff"))
    if not tables[0].is_file() or not files:
        raise wrong_folder("aml_hehr", root, "metadata.csv and data/NPM1/ABC/image_0.tif")
    facts = _metadata(tables[0])
    ids = [_patient(file, root, facts, tables[0]) for file in files]
    rows = facts.loc[ids]
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
    return finished(table, root, ("sex",))


def _patient(file: Path, root: Path, facts: pd.DataFrame, metadata: Path) -> str:
    for part in reversed(parts_of(file, root)):
        if part in facts.index:
            return part
    raise DatasetError(f"{metadata} lists no patient of the folders of {file}")


def _metadata(path: Path) -> pd.DataFrame:
    table = table_of(path)
    names = columns_of(path, table, ("patient_id", "bag_label"))
    ids = table[names["patient_id"]]
    if not ids.is_unique:
        raise DatasetError(f"{path} lists {ids[ids.duplicated()].iloc[0]} more than once")
    facts = pd.DataFrame(index=pd.Index(ids, dtype=object))
    facts["bag_label"] = [value or None for value in table[names["bag_label"]]]
    written = table.get("sex_1f_2m")
    facts["sex"] = [None] * len(table) if written is None else [_sex(value) for value in written]
    age = table.get("age", pd.Series([""] * len(table)))
    facts["age"] = np.array([number(value) for value in age])
    for column in table.columns:
        if column.startswith("pb_"):
            facts[column] = np.array([number(value) for value in table[column]])
    return facts


def _sex(value: str) -> str | None:
    return _SEXES.get(number(value), sex(value))
