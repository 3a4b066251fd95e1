"""Four public data sets, every trap of theirs laid on small trees, and the real cells."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets, images
from hemafeat.datasets import DatasetError, DatasetWarning
from support.bad_files import encoded, picture
from support.image_trees import check, put


def bmp(path: Path, size: int, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(picture(size, size, seed), "BMP"))


def names(table: pd.DataFrame) -> list[str]:
    return [Path(image).name for image in table["image"]]


def test_by_name(tmp_path):
    put(tmp_path, "basophil/BA_1.jpg")
    assert len(datasets.load("pbc", tmp_path)) == 1
    with pytest.raises(DatasetError, match="unknown data set 'lips'; available: folder, all_"):
        datasets.load("lips", tmp_path)


@pytest.mark.parametrize("name", ["pbc", "segwbc", "bccd", "cnmc"])
def test_a_loader_says_what_it_expected_and_found(tmp_path, name):
    put(tmp_path, "wing/feather.png")
    with pytest.raises(DatasetError, match=r"expected .*found wing/"):
        datasets.load(name, tmp_path)
    with pytest.raises(DatasetError, match="does not exist"):
        datasets.load(name, tmp_path / "nowhere")


# --- PBC --------------------------------------------------------------------------------------


@pytest.mark.parametrize("above", ["", "PBC_dataset_normal_DIB", "a/PBC_dataset_normal_DIB"])
def test_pbc(tmp_path, above):
    root = tmp_path / above
    put(
        root,
        *("neutrophil/SNE_1.jpg", "neutrophil/BNE_2.jpg", "neutrophil/NEUTROPHIL_3.jpg"),
        *("ig/MY_4.jpg", "ig/PMY_5.jpg", "platelet/PLATELET_6.jpg", "basophil/BA_7.JPG"),
        *("neutrophil/._SNE_1.jpg", "leftover/SNE_8.jpg"),
    )
    (root / "ig" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    table = datasets.pbc(tmp_path)
    check(table)
    assert dict(zip(names(table), table["sublabel"], strict=True)) == {
        "SNE_1.jpg": "SNE",
        "BNE_2.jpg": "BNE",
        "NEUTROPHIL_3.jpg": "NEUTROPHIL",
        "MY_4.jpg": "MY",
        "PMY_5.jpg": "PMY",
        "PLATELET_6.jpg": "PLATELET",
        "BA_7.JPG": "BA",
    }
    young = table[table["label_raw"] == "ig"]
    assert set(young["label"]) == {"immature granulocyte"}
    assert table["patient"].isna().all()
    assert table["um_per_px"].isna().all()
    assert set(table["dataset"]) == {"pbc"}


def test_pbc_attributes(tmp_path):
    put(tmp_path, "monocyte/MO_1.jpg", "monocyte/MO_2.jpg")
    marks = tmp_path / "marks.csv"
    marks.write_text("img_name,label,cell_size,split\nMO_2.jpg,Monocyte,big,val\n")
    table = datasets.pbc(tmp_path, attributes=marks)
    check(table)
    assert list(table["label"]) == ["monocyte", "monocyte"]
    assert pd.isna(table["cell_size"].iloc[0])
    assert table["cell_size"].iloc[1] == "big"
    assert table["wbcatt_split"].iloc[1] == "val"
    assert table["split"].isna().all()
    for text, words in {
        "img_name,cell_size\nBA_9.jpg,big\n": "lists none of the 2 images",
        "name,cell_size\nMO_1.jpg,big\n": "no column 'img_name'",
        "img_name,cell_size\nMO_1.jpg,big\nMO_1.jpg,small\n": "more than once",
    }.items():
        marks.write_text(text)
        with pytest.raises(DatasetError, match=words):
            datasets.pbc(tmp_path, attributes=marks)


def test_pbc_attributes_as_published(tmp_path):
    """Attributes in three files, one per part of the split, as published."""
    put(tmp_path, "monocyte/MO_1.jpg", "monocyte/MO_2.jpg", "basophil/BA_3.jpg")
    folder = tmp_path / "wbcatt"
    folder.mkdir()
    head = "img_name,label,cell_size,path\n"
    (folder / "pbc_attr_v1_train.csv").write_text(
        head + "MO_1.jpg,Monocyte,big,PBC_dataset_normal_DIB/monocyte/MO_1.jpg\n"
    )
    (folder / "pbc_attr_v1_val.csv").write_text(head + "BA_3.jpg,Basophil,small,x/BA_3.jpg\n")
    (folder / "pbc_attr_v1_test.csv").write_text(head + "MO_2.jpg,Monocyte,big,x/MO_2.jpg\n")
    for source in (folder, sorted(folder.iterdir())):
        table = datasets.pbc(tmp_path, attributes=source)
        check(table)
        assert list(table["wbcatt_split"]) == ["val", "train", "test"]
        assert list(table["cell_size"]) == ["small", "big", "big"]
    with pytest.raises(DatasetError, match="has no pbc_attr"):
        datasets.pbc(tmp_path, attributes=tmp_path / "monocyte")


def test_real_pbc(real_data):
    table = datasets.pbc(real_data / "pbc_dev")
    check(table)
    assert len(table) == 3200
    assert set(table["label"].value_counts()) == {400}
    assert table["label"].nunique() == 8
    counts = table["sublabel"].value_counts()
    assert (counts["SNE"], counts["BNE"], counts["NEUTROPHIL"]) == (212, 182, 6)
    assert (counts["MY"], counts["MMY"], counts["PMY"], counts["IG"]) == (154, 144, 84, 18)
    manifest = datasets.as_table(real_data / "pbc_dev")
    assert set(manifest["image"]) == set(table["image"])
    marked = datasets.pbc(
        real_data / "pbc_dev", attributes=real_data / "pbc_dev" / "wbcatt_attributes.csv"
    )
    assert marked["cell_size"].notna().sum() == 2000


# --- segmentation_WBC -------------------------------------------------------------------------


def segwbc_tree(root: Path) -> None:
    for number, count, size in ((1, 4, 12), (2, 3, 30)):
        for cell in range(1, count + 1):
            bmp(root / f"Dataset {number}" / f"{cell:03d}.bmp", size, seed=10 * number + cell)
            mask = np.zeros((size, size), np.uint8)
            (root / f"Dataset {number}" / f"{cell:03d}.png").write_bytes(encoded(mask, "PNG"))
    shutil.copy(root / "Dataset 1" / "002.bmp", root / "Dataset 1" / "004.bmp")
    (root / "Class Labels of Dataset 1.csv").write_text(
        "image ID,class label\n1,2\n2,1\n3,5\n4,1\n"
    )
    (root / "Class Labels of Dataset 2.csv").write_text("image ID,class\n1,3\n2,4\n3,1\n")
    (root / "readme.bmp").write_bytes(encoded(picture(), "BMP"))


def test_segwbc(tmp_path):
    segwbc_tree(tmp_path)
    table = datasets.segwbc(tmp_path)
    check(table)
    assert len(table) == 7
    assert list(table["dataset"]) == ["segwbc_d1"] * 4 + ["segwbc_d2"] * 3
    assert list(table["label"]) == [
        *("lymphocyte", "neutrophil", "basophil", "neutrophil"),
        *("monocyte", "eosinophil", "neutrophil"),
    ]
    assert list(table["label_raw"])[:3] == ["2", "1", "5"]
    assert all(Path(mask).suffix == ".png" and Path(mask).exists() for mask in table["mask"])
    # An image with two numbers.
    assert table["group"].iloc[1] == table["group"].iloc[3]
    assert table["group"].nunique() == 6


def test_segwbc_one_of_two(tmp_path):
    segwbc_tree(tmp_path)
    table = datasets.segwbc(tmp_path / "Dataset 2")
    assert list(table["label"]) == ["monocyte", "eosinophil", "neutrophil"]
    assert set(table["dataset"]) == {"segwbc_d2"}
    (tmp_path / "Class Labels of Dataset 2.csv").unlink()
    (tmp_path / "Dataset 2" / "002.png").unlink()
    with pytest.warns(DatasetWarning, match="have no label"):
        table = datasets.segwbc(tmp_path / "Dataset 2")
    assert table["label"].isna().all()
    assert list(table["mask"].isna()) == [False, True, False]


def test_segwbc_labels_that_do_not_fit(tmp_path):
    segwbc_tree(tmp_path)
    labels = tmp_path / "Class Labels of Dataset 1.csv"
    labels.write_text("image ID,class label\n1,9\n")
    with pytest.raises(DatasetError, match="class label '9'; expected one of 1, 2, 3, 4, 5"):
        datasets.segwbc(tmp_path)
    labels.write_text("image ID\n1\n")
    with pytest.raises(DatasetError, match="expected 'image ID' and 'class label'"):
        datasets.segwbc(tmp_path)


def test_real_segwbc(real_data):
    table = datasets.segwbc(real_data / "segwbc_d1")
    check(table)
    counts = {"neutrophil": 176, "lymphocyte": 53, "monocyte": 48, "eosinophil": 22, "basophil": 1}
    assert table["label"].value_counts().to_dict() == counts
    twins = datasets.duplicates(table)
    assert [Path(image).name for image in twins["image"]] == ["112.bmp", "139.bmp"]
    assert table["group"].nunique() == 299
    for row in table.iloc[::30].itertuples():
        mask = images.read_labels(row.mask)
        assert mask.shape == images.read(row.image).shape[:2]
        nucleus = mask > datasets.TRIMAP_NUCLEUS
        assert 0 < nucleus.sum() <= (mask > datasets.TRIMAP_CYTOPLASM).sum() < mask.size


# --- BCCD -------------------------------------------------------------------------------------

BOX = (
    "<object><name>{name}</name><bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax>"
    "<ymax>{3}</ymax></bndbox></object>"
)


def bccd_tree(root: Path) -> None:
    put(root, *(f"BCCD/JPEGImages/BloodImage_0000{number}.jpg" for number in range(5)))
    put(root, "example.jpg")
    for number, cells in enumerate((["WBC", "RBC", "RBC"], ["WBC", "Platelets"], ["RBC"])):
        boxes = "".join(BOX.format(1, 2, 30 + at, 40, name=name) for at, name in enumerate(cells))
        # The name stated in the annotation may be wrong; the file name counts.
        file = root / "BCCD" / "Annotations" / f"BloodImage_0000{number}.xml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"<annotation><filename>x.jpg</filename>{boxes}</annotation>")
    main = root / "BCCD" / "ImageSets" / "Main"
    main.mkdir(parents=True)
    (main / "train.txt").write_text("BloodImage_00000\nBloodImage_00001\n")
    (main / "test.txt").write_text("BloodImage_00002\n\n")
    (main / "trainval.txt").write_text("BloodImage_00000\nBloodImage_00001\n")
    (root / "labels.csv").write_text(
        ',Image,Category\n0,0,NEUTROPHIL\n1,1,"NEUTROPHIL, EOSINOPHIL"\n2,2,\n'
        '3,3,"MONOCYTE, MONOCYTE"\n4,,\n'
    )


def test_bccd(tmp_path):
    bccd_tree(tmp_path)
    table = datasets.bccd(tmp_path)
    check(table)
    assert names(table) == [f"BloodImage_0000{number}.jpg" for number in range(5)]
    assert table["label"].iloc[0] == "neutrophil"
    # Two types in a field cannot be assigned to cells.
    assert pd.isna(table["label"].iloc[1])
    assert table["label_raw"].iloc[1] == "NEUTROPHIL, EOSINOPHIL"
    assert pd.isna(table["label"].iloc[2])
    assert table["label"].iloc[3] == "monocyte"
    assert list(table["split"].iloc[:3]) == ["train", "train", "test"]
    assert table["split"].iloc[3:].isna().all()
    assert list(table["n_rbc"].iloc[:3]) == [2, 0, 1]
    assert list(table["n_wbc"].iloc[:3]) == [1, 1, 0]
    assert list(table["n_platelets"].iloc[:3]) == [0, 1, 0]
    assert table["n_wbc"].iloc[3:].isna().all()


def test_bccd_boxes(tmp_path):
    bccd_tree(tmp_path)
    boxes = datasets.bccd_boxes(tmp_path)
    assert list(boxes.columns) == ["image", "name", "xmin", "ymin", "xmax", "ymax"]
    assert list(boxes["name"]) == ["WBC", "RBC", "RBC", "WBC", "Platelets", "RBC"]
    assert list(boxes["xmax"]) == [30, 31, 32, 30, 31, 30]
    assert names(boxes)[:3] == ["BloodImage_00000.jpg"] * 3
    broken = tmp_path / "BCCD" / "Annotations" / "BloodImage_00003.xml"
    for text in (
        "<annotation><object>",
        "<annotation><object><name>WBC</name></object></annotation>",
    ):
        broken.write_text(text)
        with pytest.raises(DatasetError, match=r"BloodImage_00003\.xml is not a VOC annotation"):
            datasets.bccd_boxes(tmp_path)
    with pytest.raises(DatasetError, match="has no VOC annotations"):
        datasets.bccd_boxes(tmp_path / "BCCD" / "JPEGImages")


def test_real_bccd(real_data):
    table = datasets.bccd(real_data / "bccd")
    check(table)
    assert len(table) == 364
    assert table["mask"].notna().all()
    assert table["label"].isna().sum() == 9
    assert set(table["label"].dropna()) == {
        *("neutrophil", "eosinophil", "lymphocyte", "monocyte", "basophil")
    }
    mixed = table["label"].isna() & table["label_raw"].notna()
    assert mixed.sum() == 8
    boxes = datasets.bccd_boxes(real_data / "bccd")
    assert boxes["name"].value_counts().to_dict() == {"RBC": 4155, "WBC": 372, "Platelets": 361}
    assert boxes["image"].notna().all()
    assert table["n_rbc"].sum() == 4155


def test_one_pair_of_thresholds_serves_noisy_masks_too(real_data):
    table = datasets.bccd(real_data / "bccd")
    noisy = 0
    for path in table["mask"].iloc[:60]:
        mask = images.read_labels(path)
        assert mask.shape == (480, 640)
        noisy += len(np.unique(mask)) > 3
        cell, nucleus = mask > datasets.TRIMAP_CYTOPLASM, mask > datasets.TRIMAP_NUCLEUS
        # The thresholds 50 and 205 are common too for these masks.
        assert (mask > 50).sum() <= 1.01 * cell.sum()
        assert (mask > 205).sum() >= 0.99 * nucleus.sum()
    assert noisy > 30


# --- C-NMC ------------------------------------------------------------------------------------


def cnmc_tree(root: Path) -> None:
    train = root / "C-NMC_training_data"
    cells = {
        "fold_0/all/UID_1_2_3_all.bmp": 450,
        "fold_0/fold_0/hem/UID_H10_1_1_hem.bmp": 450,
        "fold_1/hem/UID_h10_1_2_hem.bmp": 450,
        "fold_2/all/UID_10_4_2_all.bmp": 450,
    }
    for seed, (name, size) in enumerate(cells.items()):
        bmp(train / name, size, seed)
    prelim = root / "C-NMC_test_prelim_phase_data"
    bmp(prelim / "C-NMC_test_prelim_phase_data" / "1.bmp", 450, 11)
    bmp(prelim / "C-NMC_test_prelim_phase_data" / "2.bmp", 450, 12)
    (prelim / "C-NMC_test_prelim_phase_data_labels.csv").write_text(
        "Patient_ID,new_names,labels\nUID_57_29_1_all.bmp,1.bmp,1\nUID_h3_1_1_hem.bmp,2.bmp,0\n"
    )
    final = root / "C-NMC_test_final_phase_data" / "C-NMC_test_final_phase_data"
    bmp(final / "1.bmp", 600, 21)
    bmp(final / "2.bmp", 450, 22)


def test_cnmc(tmp_path):
    cnmc_tree(tmp_path / "anything")
    table = datasets.cnmc(tmp_path)
    check(table)
    rows = table.set_index(table["image"].map(lambda image: Path(images.path_of(image)).name))
    train = table[table["split"] == "train"]
    assert list(train["fold"]) == ["0", "0", "1", "2"]
    assert rows.loc["UID_1_2_3_all.bmp", "patient"] == "1"
    # H10 and h10 are the same patient, 10 is another one.
    assert rows.loc["UID_H10_1_1_hem.bmp", "group"] == "H10"
    assert rows.loc["UID_h10_1_2_hem.bmp", "group"] == "H10"
    assert rows.loc["UID_10_4_2_all.bmp", "group"] == "10"
    preliminary = table[table["split"] == "preliminary"]
    assert list(preliminary["patient"]) == ["57", "H3"]
    assert list(preliminary["label"]) == ["all", "hem"]
    assert list(preliminary["label_raw"]) == ["1", "0"]
    final = table[table["split"] == "final"]
    assert final[["label", "patient", "fold"]].isna().all(axis=None)
    assert final["group"].nunique() == 2


def test_cnmc_final_cells_are_cut_to_their_middle(tmp_path):
    cnmc_tree(tmp_path)
    final = datasets.cnmc(tmp_path)
    final = final[final["split"] == "final"]
    large, right = final["image"]
    assert large.endswith("1.bmp#xywh=75,75,450,450")
    assert right.endswith("2.bmp")
    whole = images.read(images.path_of(large))
    assert whole.shape == (600, 600, 3)
    # 76:525 in MATLAB, counted from one and inclusive.
    np.testing.assert_array_equal(images.read(large), whole[75:525, 75:525])
    assert images.read(right).shape == (450, 450, 3)


@pytest.mark.parametrize("part", ["C-NMC_training_data", "C-NMC_training_data/fold_0"])
def test_cnmc_in_part(tmp_path, part):
    cnmc_tree(tmp_path)
    table = datasets.cnmc(tmp_path / part)
    assert set(table["split"]) == {"train"}
    assert table["fold"].iloc[0] == "0"


@pytest.mark.parametrize("name", ["final_project", "training", "validation of testing"])
def test_cnmc_the_innermost_folder_names_the_phase(tmp_path, name):
    cnmc_tree(tmp_path / name)
    table = datasets.cnmc(tmp_path / name)
    assert table["split"].value_counts().to_dict() == {"train": 4, "preliminary": 2, "final": 2}


def test_cnmc_contradictions(tmp_path):
    cnmc_tree(tmp_path)
    labels = next(tmp_path.rglob("*labels.csv"))
    text = labels.read_text()
    for wrong, words in {
        text.replace("1.bmp,1", "1.bmp,0"): "lists the name 'UID_57_29_1_all.bmp' with label '0'",
        text.replace("2.bmp,0", "3.bmp,0"): r"2\.bmp is not among the 2 images",
        "a,b\n": "is unknown: expected a CSV file with the columns Patient_ID",
    }.items():
        labels.write_text(wrong)
        with pytest.raises(DatasetError, match=words):
            datasets.cnmc(tmp_path)
    labels.write_text(text)
    bmp(tmp_path / "C-NMC_training_data" / "fold_1" / "hem" / "UID_4_1_1_all.bmp", 450)
    with pytest.raises(DatasetError, match="is named 'all' but lies in the folder 'hem'"):
        datasets.cnmc(tmp_path)


def test_real_cnmc(real_data):
    table = datasets.cnmc(real_data / "cnmc_sample")
    check(table)
    assert table["label"].value_counts().to_dict() == {"all": 5, "hem": 5}
    assert set(table["group"]) == {"1", "2", "3", "53", "H10", "H2", "H3"}
    assert table["split"].isna().all()
    assert images.read(table["image"].iloc[0]).shape == (450, 450, 3)
