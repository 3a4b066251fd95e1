"""Data sets of patients: dates, sexes and counts as tables write them, and who is who."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets
from hemafeat.datasets import DatasetError, DatasetWarning
from support import trees
from support.image_trees import check


def test_aml_hehr(tmp_path):
    root = trees.aml_hehr(tmp_path)
    table = datasets.aml_hehr(root)
    people = table.drop_duplicates("patient").set_index("patient")
    assert people["label"].to_dict() == {"AEC": "NPM1", "QQQ": "PML::RARA", "SXA": "control"}
    assert people["sex"].fillna("?").to_dict() == {"AEC": "female", "QQQ": "?", "SXA": "male"}
    np.testing.assert_array_equal(people.loc[["AEC", "QQQ", "SXA"], "age"], [61, 44, np.nan])
    assert people.loc["AEC", "pb_myeloblast"] == 87.5
    assert (table["group"] == table["patient"]).all()
    trees.image(root / "data" / "NPM1" / "NEW" / "image_0.tif")
    with pytest.raises(DatasetError, match="does not list the patient of"):
        datasets.aml_hehr(root)


def test_lymphocytosis(tmp_path):
    root = trees.lymphocytosis(tmp_path)
    table = datasets.lymphocytosis(root)
    people = table.drop_duplicates("patient").set_index("patient")
    assert people["label"].fillna("?").to_dict() == {
        "P1": "malignant",
        "P2": "reactive",
        "P10": "malignant",
        "P3": "?",
    }
    assert people["split"].to_dict() == {"P1": "train", "P2": "train", "P10": "train", "P3": "test"}
    assert people["sex"].to_dict() == {"P1": "female", "P2": "female", "P10": "male", "P3": "male"}
    assert people["lymphocyte_count"].to_dict() == {"P1": 23.8, "P2": 5.1, "P10": 12.0, "P3": 8.25}
    assert people["age"].to_dict() == {"P1": 84.0, "P2": 36.0, "P10": 36.0, "P3": 74.0}
    # Neither a column nor a value reveals the format of a date.
    assert not any("dob" in column.lower() for column in table)
    assert people.loc["P2", "age"] == people.loc["P10", "age"]
    later = datasets.lymphocytosis(root, reference_year=2030)
    assert (later["age"] - table["age"] == 6).all()
    kept = datasets.lymphocytosis(root, dates=True).drop_duplicates("patient")
    assert set(kept["dob"]) == {"11/17/1940", "02-03-1988", "2/3/1988", "7/21/1950"}


@pytest.mark.parametrize(
    "dob", ["1/31/1950", "31-01-1950", "1950-01-31", "31.01.1950", "31/1/1950", "1950-01-31T00:00"]
)
def test_lymphocytosis_dates_in_any_format(tmp_path, dob):
    root = trees.lymphocytosis(tmp_path)
    for file in [*root.rglob("*.csv")]:
        file.write_text(file.read_text().replace("11/17/1940", dob))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = datasets.lymphocytosis(root)
    assert set(table.loc[table["patient"] == "P1", "age"]) == {74.0}


@pytest.mark.parametrize("dob", ["17 Nov 1940", "40/50/1940", "11/17/40", "?"])
def test_lymphocytosis_dates_that_cannot_be_read(tmp_path, dob):
    root = trees.lymphocytosis(tmp_path)
    for file in [*root.rglob("*.csv")]:
        file.write_text(file.read_text().replace("11/17/1940", dob))
    with pytest.warns(
        DatasetWarning,
        match=r"1 date\(s\) of birth cannot be parsed .* of P1",
    ):
        table = datasets.lymphocytosis(root)
    assert table.loc[table["patient"] == "P1", "age"].isna().all()


def test_lymphocytosis_with_one_table_of_all(tmp_path):
    """Another cohort may have a single table, a single part and headers in another case."""
    root = trees.lymphocytosis(tmp_path)
    expected = datasets.lymphocytosis(root)
    (root / "trainset" / "trainset_true.csv").unlink()
    (root / "testset" / "testset_data.csv").unlink()
    annotation = root / "clinical_annotation.csv"
    pd.testing.assert_frame_equal(datasets.lymphocytosis(root), expected)
    with pytest.warns(DatasetWarning, match=r"listed patient\(s\) have no images, .* P3"):
        part = datasets.lymphocytosis(root / "trainset")
    assert set(part["split"]) == {"train"}
    assert part["label"].notna().all()
    annotation.write_text(
        annotation.read_text()
        .replace(",ID,LABEL,GENDER,DOB,LYMPH_COUNT", "#;id;Label;Gender;dob;Lymph_count")
        .replace(",", ";")
        .replace("23.8", "23,8")
        .replace("P10;1;M", "p10;1.0;Male"),
        encoding="utf-8-sig",
    )
    table = datasets.lymphocytosis(root)
    pd.testing.assert_frame_equal(table, expected)


def test_lymphocytosis_part_of_it(tmp_path):
    root = trees.lymphocytosis(tmp_path)
    (root / "testset" / "P3" / "000000.jpg").unlink()
    with pytest.warns(DatasetWarning, match=r"1 listed patient\(s\) have no images"):
        table = datasets.lymphocytosis(root)
    assert set(table["split"]) == {"train"}
    check(table)


def test_lymphocytosis_contradictions(tmp_path):
    root = trees.lymphocytosis(tmp_path)
    annotation = root / "clinical_annotation.csv"
    text = annotation.read_text()
    for wrong, words in {
        text.replace("P2,0", "P2,1"): "LABEL '0' for P2, another table '1'",
        text.replace("02-03-1988", "02-03-1989"): "DOB '02-03-1988' for P2",
        text.replace("P2,0", "P2,7"): "LABEL of P2 is '7'; expected 0, 1 or -1",
        text.replace("P2,", "P1,"): "lists P1 more than once",
        text.replace("LYMPH_COUNT", "COUNT"): "no column 'LYMPH_COUNT'",
    }.items():
        annotation.write_text(wrong)
        with pytest.raises(DatasetError, match=words):
            datasets.lymphocytosis(root)
    # Another spelling is not a contradiction.
    annotation.write_text(text.replace("P2,0,f,02-03-1988,5.1", "P2,0,F,3/2/1988,5.10"))
    check(datasets.lymphocytosis(root))
    for file in root.rglob("*.csv"):
        file.write_text(file.read_text().replace("P2,", "P22,"))
    with pytest.raises(DatasetError, match=r"no table of .* lists P2, who has images"):
        datasets.lymphocytosis(root)
    annotation.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"annotation\.csv cannot be read as a table"):
        datasets.lymphocytosis(root)
    for file in [*root.rglob("*.csv")]:
        file.unlink()
    with pytest.raises(DatasetError, match=r"none of clinical_annotation\.csv"):
        datasets.lymphocytosis(root)
