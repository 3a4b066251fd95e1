"""Write small trees in the layout of each public data set, with the clutter of real downloads.

Each function takes a folder, writes the data set below it and returns the folder (or file) to load.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile

from support.bad_files import encoded, picture

_KINDS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP"}


def image(path: Path, height: int = 9, width: int = 9) -> Path:
    """Write an image whose pixels depend on its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(ord(character) * 31**path_ for path_, character in enumerate(path.as_posix()[-40:]))
    pixels = picture(height, width, seed % 2**32)
    if path.suffix.lower() in (".tif", ".tiff"):
        tifffile.imwrite(path, pixels, photometric="rgb")
    else:
        path.write_bytes(encoded(pixels, _KINDS[path.suffix.lower()]))
    return path


def litter(folder: Path, suffix: str = ".jpg") -> None:
    """Write files that operating systems leave in folders; none of them is an image."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (folder / f"._left{suffix}").write_bytes(b"\0\5\26\7")
    image(folder / "__MACOSX" / f"copy{suffix}")


def all_idb1(to: Path) -> Path:
    root = to / "ALL_IDB1"
    for name in ("Im001_1.jpg", "Im002_1.JPG", "Im034_0.jpg"):
        image(root / "im" / name, 12, 16)
    (root / "xyc").mkdir()
    (root / "xyc" / "Im001_1.xyc").write_text("10 4\r\n 7\t8 \r\n\r\n")
    (root / "xyc" / "Im034_0.xyc").write_text("")
    litter(root / "im")
    return root


def all_idb2(to: Path) -> Path:
    root = to / "ALL_IDB2"
    for name in ("Im001_1.tif", "Im002_1.tif", "Im131_0.tif"):
        image(root / "img" / name, 11, 11)
    litter(root / "img", ".tif")
    return root


def aml_hehr(to: Path) -> Path:
    root = to / "AML_Hehr"
    for name in (
        "NPM1/AEC/image_0.tif",
        "NPM1/AEC/image_1.tif",
        "control/SXA/image_0.tif",
        "PML_RARA/QQQ/image_0.tif",
    ):
        image(root / "data" / name)
    np.save(root / "data" / "NPM1" / "AEC" / "fnl34_bn_features_layer_7.npy", np.zeros(3))
    (root / "metadata.csv").write_text(
        "patient_id,bag_label,sex_1f_2m,age,pb_myeloblast,pb_other\n"
        "AEC,NPM1,1,61,87.5,\nSXA,control,2,,0,1\nQQQ,PML::RARA,,44.0,12,3\nZZZ,control,1,30,,\n"
    )
    litter(root / "data" / "control", ".tif")
    return root


def aml_lmu(to: Path) -> Path:
    root = to / "PKG - AML-Cytomorphology_LMU"
    for name in ("MYO/MYO_0001.tiff", "MYB/MYB_0001.tiff", "LYT/LYT_0002.tiff", "KSC/KSC_0001.tif"):
        image(root / "AML-Cytomorphology" / name)
    rgba = np.dstack([picture(9, 9, 3), np.full((9, 9), 255, np.uint8)])
    tifffile.imwrite(
        root / "AML-Cytomorphology" / "MYO" / "MYO_0002.tiff",
        rgba,
        photometric="rgb",
        extrasamples=["unassalpha"],
    )
    (root / "annotations.dat").write_text(
        "MYO/MYO_0001.tiff MYO MYO MOB\nMYB/MYB_0001.tiff MYB nan nan\nLYT/LYT_0002.tiff LYT LYA\n"
    )
    litter(root / "AML-Cytomorphology" / "LYT", ".tiff")
    return root


def apl(to: Path) -> Path:
    root = to / "apl"
    cells = root / "All" / "All"
    for name in (
        "Patient_00/Signed slides/Lymphocyte/LY_1.jpg",
        "Patient_00/Signed slides/Blast, no lineage spec/MO_2.jpg",
        "Patient_00/Signed slides/Prolymphocyte/LY_3.jpg",
        "Patient_00/Signed slides/Arifact/ART_4.jpg",
        "Patient_07/slide 1/Signed slides/Promyelocyte/PMY_5.jpg",
        "Patient_07/slide 1/Signed slides/Giant thrombocyte/GT_6.jpg",
        "Patient_07/slide 1/Signed slides/Lymphocyte, variant/VLY_7.jpg",
        "Patient_07/slide 1/Unsigned slides/LY_8.jpg",
    ):
        image(cells / name, *((12, 10) if "PMY" in name else (9, 9)))
    # A cell under two labels, and a cell in two folders of the same label.
    for first, second, name in (
        ("Monocyte", "Lymphocyte", "MO_9.jpg"),
        ("Myelocyte", "Metamyelocyte", "MY_10.jpg"),
    ):
        data = image(cells / "Patient_07" / "Signed slides" / first / name).read_bytes()
        copy = cells / "Patient_07" / "Signed slides" / second / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(data)
    (root / "master.csv").write_text(
        "Patient_ID,Diagnosis,Cohort,Age at Diagnosis,Gender\n"
        "Patient_00,AML,Discovery,51,male\nPatient_07,APL,Validation,,Female\n"
        "Patient_99,APL,Validation,33,female\n"
    )
    litter(cells / "Patient_00" / "Signed slides" / "Lymphocyte")
    return root


def bccd(to: Path) -> Path:
    root = to / "BCCD_Dataset-master"
    for number in range(3):
        image(root / "BCCD" / "JPEGImages" / f"BloodImage_0000{number}.jpg", 12, 16)
    (root / "labels.csv").write_text(",Image,Category\n0,0,NEUTROPHIL\n1,1,EOSINOPHIL\n")
    litter(root / "BCCD" / "JPEGImages")
    return root


def bloodmnist(to: Path, size: int = 28, name: str = "bloodmnist.npz") -> Path:
    rng = np.random.default_rng(size)
    parts = {}
    for part, n in (("train", 8), ("val", 3), ("test", 4)):
        parts[f"{part}_images"] = rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8)
        parts[f"{part}_labels"] = (np.arange(n, dtype=np.uint8) % 8)[:, None]
    # Cropped and downsampled, two cells of different parts became identical.
    parts["test_images"][1] = parts["train_images"][1]
    to.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(to / name, **parts)
    return to / name


def cnmc(to: Path) -> Path:
    root = to / "C-NMC_Leukemia"
    train = root / "C-NMC_training_data"
    for name in ("fold_0/all/UID_1_2_3_all.bmp", "fold_1/fold_1/hem/UID_H10_1_1_hem.bmp"):
        image(train / name)
    litter(train / "fold_0" / "all", ".bmp")
    return root


def lisc(to: Path) -> Path:
    root = to / "LISC Database"
    for name in ("Baso/1.bmp", "Baso/12.bmp", "eosi/1.bmp", "mixt/3.bmp", "neut/2.bmp"):
        image(root / "Main Dataset" / name, 10, 12)
    for name in ("Baso/areaforexpert1/1_expert.bmp", "neut/areaforexpert1/2_expert.bmp"):
        image(root / "Ground Truth Segmentation" / name, 10, 12)
    image(root / "More Dataset without Ground Truth" / "alll" / "7.bmp", 10, 12)
    litter(root / "Main Dataset" / "eosi", ".bmp")
    return root


def lymphocytosis(to: Path) -> Path:
    root = to / "dlmi-lymphocytosis-classification"
    for name in (
        "trainset/P1/000000.jpg",
        "trainset/P1/000001.jpg",
        "trainset/P2/000000.jpg",
        "trainset/P10/000000.jpg",
        "testset/P3/000000.jpg",
    ):
        image(root / name)
    head = "ID,LABEL,GENDER,DOB,LYMPH_COUNT\n"
    rows = {
        "P1": "P1,1,F,11/17/1940,23.8\n",
        "P2": "P2,0,f,02-03-1988,5.1\n",
        "P10": "P10,1,M,2/3/1988,12\n",
        "P3": "P3,-1,m,7/21/1950,8.25\n",
    }
    (root / "trainset" / "trainset_true.csv").write_text(head + "".join(list(rows.values())[:3]))
    (root / "testset" / "testset_data.csv").write_text(head + rows["P3"])
    (root / "clinical_annotation.csv").write_text(
        "," + head + "".join(f"{n},{row}" for n, row in enumerate(rows.values()))
    )
    (root / "sample_submission.csv").write_text("ID,LABEL\nP3,1\n")
    litter(root / "trainset" / "P1")
    return root


def mll23(to: Path) -> Path:
    root = to / "MLL23"
    for name in (
        "basophil/1.tif",
        "normoblast/1.tif",
        "neutrophil_band/neutrophil_band/4.tif",
        "hairy_cell/2.TIF",
        "promyelocyte_atypical/9.tif",
    ):
        image(root / name)
    (root / "labels_MLL23.csv").write_text("Labels, count\nbasophil, 616\n")
    litter(root / "basophil", ".tif")
    return root


def pbc(to: Path) -> Path:
    root = to / "PBC_dataset_normal_DIB"
    for name in (
        "neutrophil/SNE_1.jpg",
        "neutrophil/BNE_2.jpg",
        "neutrophil/NEUTROPHIL_3.jpg",
        "ig/MY_4.jpg",
        "ig/IG_5.jpg",
        "platelet/PLATELET_6.jpg",
        "monocyte/MO_7.jpg",
    ):
        image(root / name, *((10, 9) if "MO" in name else (9, 9)))
    litter(root / "ig")
    return root


def raabin(to: Path) -> Path:
    root = to / "Raabin"
    for name in (
        "Train/Basophil/95-5-1-1_1.jpg",
        "Train/Neutrophil/95-5-1-1_2.jpg",
        "TestA/TestA/Neutrophil/a.jpg",
        "Test-B/Lymphocyte/b.png",
    ):
        image(root / name)
    litter(root / "Train" / "Basophil")
    return root


def segwbc(to: Path) -> Path:
    root = to / "segmentation_WBC-master"
    for number, size in ((1, 12), (2, 20)):
        for cell in (1, 2):
            image(root / f"Dataset {number}" / f"{cell:03d}.bmp", size, size)
            image(root / f"Dataset {number}" / f"{cell:03d}.png", size, size)
    (root / "Class Labels of Dataset 1.csv").write_text("image ID,class label\n1,2\n2,1\n")
    (root / "Class Labels of Dataset 2.csv").write_text("image ID,class\n1,3\n2,4\n")
    litter(root / "Dataset 1", ".bmp")
    return root


TREES: dict[str, Callable[[Path], Path]] = {
    make.__name__: make
    for make in (
        all_idb1,
        all_idb2,
        aml_hehr,
        aml_lmu,
        apl,
        bccd,
        bloodmnist,
        cnmc,
        lisc,
        lymphocytosis,
        mll23,
        pbc,
        raabin,
        segwbc,
    )
}
"""Function that writes the tree of each data set."""
