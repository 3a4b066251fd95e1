"""Peculiarities of each public data set: merging of classes, splits and patients."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets, images
from hemafeat.datasets import DatasetError, DatasetWarning
from support import trees
from support.image_trees import check


def by_name(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_index(table["image"].map(lambda image: Path(image).name))


# --- APL --------------------------------------------------------------------------------------

# Number of cells in each folder, and the published merge.
APL_COUNTS = {
    "Lymphocyte": 3406,
    "Blast, no lineage spec": 3300,
    "Smudge cells": 2914,
    "Segmented neutrophils": 2078,
    "Monocyte": 1309,
    "Promyelocyte": 674,
    "Myelocyte": 173,
    "Metamyelocyte": 78,
    "Prolymphocyte": 1,
    "Erythroblast": 518,
    "Eosinophils": 108,
    "Giant thrombocyte": 66,
    "Basophil": 53,
    "Lymphocyte, variant": 470,
    "Band neutrophils": 169,
    "Promonocyte": 71,
    "Plasma cells": 58,
    "Arifact": 25,
    "Unidentified": 24,
    "Thrombocyte aggregation": 22,
}


def test_apl_merge_of_twenty_classes_into_ten():
    assert list(datasets.APL_MERGE) == list(APL_COUNTS)
    assert sum(APL_COUNTS.values()) == 15517
    merged = pd.Series(APL_COUNTS).groupby(pd.Series(datasets.APL_MERGE)).sum()
    assert merged.sum() == 14678
    assert merged.to_dict() == {
        "lymphocyte": 3407,
        "blast": 3300,
        "smudge cell": 2914,
        "neutrophil": 2078,
        "monocyte": 1309,
        "immature granulocyte": 925,
        "erythroblast": 518,
        "eosinophil": 108,
        "platelet": 66,
        "basophil": 53,
    }


def test_apl(tmp_path):
    root = trees.apl(tmp_path)
    with pytest.warns(DatasetWarning, match=r"1 cell\(s\) are filed under two labels"):
        table = datasets.apl(root)
    rows = by_name(table)
    assert rows.loc["LY_1.jpg", "label"] == "lymphocyte"
    # The label follows the folder, not the prefix.
    assert rows.loc["MO_2.jpg", "label"] == "blast"
    assert rows.loc["MO_2.jpg", "preclass"] == "MO"
    assert rows.loc["LY_3.jpg", "label"] == "lymphocyte"
    assert rows.loc["GT_6.jpg", "label"] == "platelet"
    assert rows.loc[["ART_4.jpg", "VLY_7.jpg"], "label"].isna().all()
    assert rows.loc["VLY_7.jpg", "label_raw"] == "Lymphocyte, variant"
    # A cell with two labels has none; a cell in two folders of a label has that label.
    assert rows.loc["MO_9.jpg", "label"].isna().all()
    assert set(rows.loc["MO_9.jpg", "label_raw"]) == {"Lymphocyte or Monocyte"}
    assert set(rows.loc["MY_10.jpg", "label"]) == {"immature granulocyte"}
    assert "LY_8.jpg" not in rows.index
    first, second = rows.loc["LY_1.jpg"], rows.loc["PMY_5.jpg"]
    assert tuple(first[["patient", "split", "diagnosis", "age", "sex"]]) == (
        *("Patient_00", "train", "AML", 51.0, "male"),
    )
    assert tuple(second[["patient", "split", "diagnosis", "sex"]]) == (
        *("Patient_07", "test", "APL", "female"),
    )
    assert np.isnan(second["age"])
    assert set(table["group"]) == {"Patient_00", "Patient_07"}


def test_apl_as_published(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = by_name(datasets.apl(trees.apl(tmp_path), merge="original"))
    assert rows.loc["LY_3.jpg", "label"] == "immature granulocyte"
    # One row per name, with the label of the first folder.
    assert rows.index.is_unique
    assert rows.loc["MO_9.jpg", "label"] == "lymphocyte"


def test_apl_other_ways(tmp_path):
    root = trees.apl(tmp_path)
    with pytest.warns(DatasetWarning, match=r"2 cell\(s\) are filed under two labels"):
        named = by_name(datasets.apl(root, merge="none"))
    assert named.loc["ART_4.jpg", "label"] == "Arifact"
    with pytest.warns(DatasetWarning):
        table = by_name(datasets.apl(root, unsigned=True))
    check(table.reset_index(drop=True))
    assert table.loc["LY_8.jpg", ["label", "label_raw"]].isna().all()
    assert table.loc["LY_8.jpg", "patient"] == "Patient_07"
    with pytest.raises(DatasetError, match="expected 'corrected', 'original' or 'none'"):
        datasets.apl(root, merge="both")


def test_apl_master(tmp_path):
    root = trees.apl(tmp_path)
    master = root / "master.csv"
    master.write_text("Patient_ID,Diagnosis,Cohort,Age at Diagnosis,Gender\nPatient_00,AML,,,\n")
    with pytest.raises(DatasetError, match="does not list Patient_07"):
        datasets.apl(root)
    master.write_text("Patient,Diagnosis\nPatient_00,AML\n")
    with pytest.raises(DatasetError, match=r"no column 'Patient_ID'.*found Patient, Diagnosis"):
        datasets.apl(root)
    master.unlink()
    with pytest.warns(DatasetWarning, match=r"has no master\.csv"):
        table = datasets.apl(root, merge="original")
    check(table)
    assert table[["split", "diagnosis", "age", "sex"]].isna().all(axis=None)
    assert table["patient"].notna().all()


# --- Class folders ----------------------------------------------------------------------------


def test_aml_lmu(tmp_path):
    root = trees.aml_lmu(tmp_path)
    table = datasets.aml_lmu(root)
    rows = by_name(table)
    # MYB and MYO are easily swapped.
    assert rows.loc["MYB_0001.tiff", "label"] == "myelocyte"
    assert rows.loc["MYO_0001.tiff", "label"] == "myeloblast"
    assert rows.loc["MYO_0001.tiff", "label_raw"] == "MYO"
    assert rows.loc["MYO_0001.tiff", ["second_label", "third_label"]].tolist() == [
        *("myeloblast", "monoblast"),
    ]
    assert rows.loc["LYT_0002.tiff", "second_label"] == "lymphocyte_atypical"
    assert rows.loc["MYB_0001.tiff", ["second_label", "third_label"]].isna().all()
    assert images.read(rows.loc["MYO_0002.tiff", "image"]).shape == (9, 9, 3)
    assert table["um_per_px"].isna().all()
    (root / "annotations.dat").write_text("MYO/MYO_0001.tiff MYO XYZ nan\n")
    with pytest.raises(DatasetError, match="names the unknown class 'XYZ'"):
        datasets.aml_lmu(root)
    assert len(datasets.aml_lmu(root / "AML-Cytomorphology" / "MYO")) == 2


def test_mll23(tmp_path):
    root = trees.mll23(tmp_path)
    trees.image(root / "unsorted" / "5.tif")
    with pytest.warns(DatasetWarning, match=r"1 image\(s\) .* class folder.*unsorted/5\.tif"):
        table = datasets.mll23(root)
    assert dict(zip(table["label_raw"], table["label"], strict=True)) == {
        "basophil": "basophil",
        "hairy_cell": "hairy_cell",
        "neutrophil_band": "neutrophil_band",
        "normoblast": "erythroblast",
        "promyelocyte_atypical": "promyelocyte_atypical",
    }
    np.testing.assert_allclose(table["um_per_px"], 1 / 11.52)


def test_raabin(tmp_path):
    table = datasets.raabin(trees.raabin(tmp_path / "train of thought"))
    assert sorted(zip(table["label"], table["split"], strict=True)) == [
        ("basophil", "train"),
        ("lymphocyte", "test_b"),
        ("neutrophil", "test"),
        ("neutrophil", "train"),
    ]
    assert datasets.raabin(tmp_path / "train of thought" / "Raabin" / "TestA")[
        "split"
    ].tolist() == ["test"]


def test_lisc(tmp_path):
    root = trees.lisc(tmp_path)
    table = datasets.lisc(root)
    positions = [Path(image).relative_to(root).as_posix() for image in table["image"]]
    assert not any("Segmentation" in position for position in positions)
    assert dict(zip(positions, table["label"].fillna("?"), strict=True)) == {
        "Main Dataset/Baso/1.bmp": "basophil",
        "Main Dataset/Baso/12.bmp": "basophil",
        "Main Dataset/eosi/1.bmp": "eosinophil",
        "Main Dataset/mixt/3.bmp": "?",
        "Main Dataset/neut/2.bmp": "neutrophil",
        "More Dataset without Ground Truth/alll/7.bmp": "?",
    }
    assert table["mask"].isna().all()
    for position in (root, root / "Main Dataset"):
        masked = datasets.lisc(position, masks=True)
        masks = {
            Path(row.image).name: row.mask for row in masked.itertuples() if row.mask == row.mask
        }
        assert set(masks) == {"1.bmp", "2.bmp"}
        assert masks["1.bmp"].endswith("1_expert.bmp")
        # The eosinophil of the same number has no mask.
        assert masked["mask"].notna().sum() == 2
    with pytest.raises(DatasetError, match="is not LISC"):
        datasets.lisc(root / "Ground Truth Segmentation")


def test_all_idb(tmp_path):
    trees.all_idb1(tmp_path)
    trees.all_idb2(tmp_path)
    trees.image(tmp_path / "ALL_IDB1" / "im" / "Im009.jpg")
    with pytest.warns(DatasetWarning, match=r"im/Im009\.jpg"):
        table = datasets.all_idb1(tmp_path)
    assert list(table["label"]) == ["all", "all", "healthy"]
    assert list(table["label_raw"]) == ["1", "1", "0"]
    np.testing.assert_array_equal(table["n_blasts"], [2, np.nan, 0])
    with pytest.warns(DatasetWarning):
        blasts = datasets.all_idb1_blasts(tmp_path)
    assert list(blasts["x"]) == [10, 7]
    assert list(blasts["y"]) == [4, 8]
    assert set(blasts["image"]) == {table["image"].iloc[0]}
    cells = datasets.all_idb2(tmp_path)
    assert list(cells["label"]) == ["lymphoblast", "lymphoblast", "healthy"]
    (tmp_path / "ALL_IDB1" / "im" / "Im009.jpg").unlink()
    (tmp_path / "ALL_IDB1" / "xyc" / "Im001_1.xyc").write_text("1 2 3\n")
    with pytest.raises(DatasetError, match="must have two numbers on each line"):
        datasets.all_idb1_blasts(tmp_path)


# --- BloodMNIST -------------------------------------------------------------------------------


def test_bloodmnist(tmp_path):
    path = trees.bloodmnist(tmp_path)
    table = datasets.bloodmnist(path)
    assert list(table["image"])[:2] == [f"{path}#image=train_images,{n}" for n in (0, 1)]
    assert table["split"].value_counts().to_dict() == {"train": 8, "val": 3, "test": 4}
    assert list(table["label"])[:8] == [
        *("basophil", "eosinophil", "erythroblast", "immature granulocyte"),
        *("lymphocyte", "monocyte", "neutrophil", "platelet"),
    ]
    assert list(table["label_raw"])[8:11] == ["0", "1", "2"]
    with np.load(path) as arrays:
        np.testing.assert_array_equal(
            images.read(table["image"].iloc[-1]), arrays["test_images"][-1]
        )
    # An image that is in both the training and the test part.
    pairs = table.groupby("group").filter(lambda same: len(same) > 1)
    assert list(pairs["split"]) == ["train", "test"]


def test_bloodmnist_sizes(tmp_path):
    for size in (28, 64):
        trees.bloodmnist(tmp_path, size, "bloodmnist.npz" if size == 28 else "bloodmnist_64.npz")
    np.savez(tmp_path / "pathmnist.npz", a=np.zeros(3))
    with pytest.raises(DatasetError, match=r"holds bloodmnist.npz, bloodmnist_64.npz; choose one"):
        datasets.bloodmnist(tmp_path)
    table = datasets.bloodmnist(tmp_path, size=64)
    assert images.read(table["image"].iloc[0]).shape == (64, 64, 3)
    with pytest.raises(DatasetError, match=r"expected bloodmnist_224\.npz"):
        datasets.bloodmnist(tmp_path, size=224)
    with pytest.raises(DatasetError, match="holds images of 28 px, not of 64"):
        datasets.bloodmnist(tmp_path / "bloodmnist.npz", size=64)
    with pytest.raises(DatasetError, match="expected one of"):
        datasets.bloodmnist(tmp_path, size=32)
    with pytest.raises(DatasetError, match="expected arrays train_images"):
        datasets.bloodmnist(tmp_path / "pathmnist.npz")


def test_bloodmnist_arrays_that_do_not_fit(tmp_path):
    path = tmp_path / "bloodmnist.npz"
    cells = np.zeros((2, 28, 28, 3), np.uint8)
    for arrays, words in (
        ({"train_images": cells, "train_labels": [[1]]}, "2 images but 1 labels"),
        ({"train_images": cells, "train_labels": [[1], [8]]}, "holds 8, expected 0 to 7"),
        ({"train_images": cells[:, :20], "train_labels": [[1], [2]]}, r"expected \(cells, side"),
        ({"train_images": cells}, "has no array 'train_labels'"),
    ):
        np.savez(path, **{key: np.asarray(value) for key, value in arrays.items()})
        with pytest.raises(DatasetError, match=words):
            datasets.bloodmnist(path)
