"""Masks are found by the names that programs give them, and nothing else is taken for one."""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest

from hemafeat import datasets, segment
from hemafeat.datasets import DatasetError, from_folder, mask_finder


def tree(root: Path, *names: str) -> None:
    """Write a small picture under each name; a name of a table or note becomes a text."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() in (".txt", ".json", ".xml", ".csv", ".geojson", ".zip"):
            path.write_text("{}")
        elif path.suffix.lower() == ".npy":
            np.save(path, np.eye(8, dtype=np.uint8))
        else:
            ok, data = cv2.imencode(path.suffix or ".png", np.full((8, 8, 3), 200, np.uint8))
            assert ok
            path.write_bytes(data.tobytes())


@pytest.mark.parametrize(
    "mask",
    [
        *("a.png", "a.PNG", "a.npy", "a.jpg", "a.tif", "A.png", "a.jpeg.png", "deep/er/a.bmp"),
        *("a_cp_masks.png", "a_mask.png", "a_masks.tif", "a-mask.png", "a_seg.npy", "a_label.png"),
        *("a_Mask.PNG", "a_segmentation.png", "a_expert.bmp"),
    ],
)
def test_names_of_masks(tmp_path, mask):
    notes = ("a.txt", "a.json", "a.xml", "ab.png", "a_mask.txt")
    tree(tmp_path / "masks", mask, *notes)
    assert mask_finder(tmp_path / "masks")("images/a.jpeg") == str(tmp_path / "masks" / mask)


def test_the_nearest_name_is_taken(tmp_path):
    tree(tmp_path, "a.png", "a_mask.png", "a_seg.npy", "a_cp_masks.png", "b_seg.npy", "b_masks.tif")
    find = mask_finder(tmp_path)
    assert find("a.jpg") == str(tmp_path / "a.png")
    assert find("b.jpg") == str(tmp_path / "b_masks.tif")


@pytest.mark.parametrize(("of_image", "of_mask"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_are_written_in_either_way(tmp_path, of_image, of_mask):
    tree(tmp_path, unicodedata.normalize(of_mask, "für.png"))
    found = mask_finder(tmp_path)(unicodedata.normalize(of_image, "für.jpg"))
    assert Path(found).is_file()


def test_messages_count_masks_only(tmp_path):
    tree(tmp_path / "masks", "a.png", "a.tif", "a.txt", "b.txt", "x/c.png", "y/c.png")
    find = mask_finder(tmp_path / "masks", ["i/c.jpg"])
    with pytest.raises(DatasetError, match=r"2 masks in .*masks are named a: a\.png, a\.tif"):
        find("a.jpg")
    with pytest.raises(DatasetError, match=r"no mask in .*masks is named b \(or b_mask"):
        find("b.jpg")
    with pytest.raises(DatasetError, match="2 masks"):
        find("i/c.jpg")
    assert find("y/c.jpg") == str(tmp_path / "masks" / "y" / "c.png")
    with pytest.raises(DatasetError, match="has no name"):
        find(np.zeros((4, 4)))
    with pytest.raises(DatasetError, match="nowhere is not a folder"):
        mask_finder(tmp_path / "nowhere")


def test_one_mask_is_not_given_to_two_images(tmp_path):
    tree(tmp_path / "masks", "p/1.png", "2.png", "3.jpg.png", "3.png.png")
    images = ["in/p/1.jpg", "in/q/1.jpg", "in/q/2.jpg", "in/p/3.jpg", "in/p/3.png"]
    find = mask_finder(tmp_path / "masks", images)
    assert find(images[0]).endswith("1.png")
    with pytest.raises(DatasetError, match="images in 2 folders are named 1"):
        find(images[1])
    assert find(images[2]).endswith("2.png")
    assert [Path(find(image)).name for image in images[3:]] == ["3.jpg.png", "3.png.png"]


@pytest.mark.parametrize("cells", ["cell", "Cells"])
def test_folders_of_cells_and_nuclei(tmp_path, cells):
    tree(tmp_path, f"{cells}/k/a.png", "nucleus/k/a.png", "overlay/k/a.png", "quality.csv")
    expected = (str(tmp_path / cells / "k" / "a.png"), str(tmp_path / "nucleus" / "k" / "a.png"))
    assert mask_finder(tmp_path)("fields/k/a.jpg") == expected
    shutil.rmtree(tmp_path / cells)
    tree(tmp_path, "trimap/k/a.png")
    assert mask_finder(tmp_path)("a.jpg") == str(tmp_path / "trimap" / "k" / "a.png")


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".npy", ".jpg"])
@pytest.mark.parametrize(
    ("images", "masks"),
    [
        *(("images", "masks"), ("Images", "Masks"), ("image", "mask"), ("images", "labels")),
        ("IMG", "MASK"),
    ],
)
def test_folders_of_images_and_masks(tmp_path, images, masks, suffix):
    names = [f"{images}/a.png", f"{images}/b.png", f"{masks}/a{suffix}", f"{masks}/a.txt"]
    tree(tmp_path, *names)
    for root in (tmp_path, tmp_path / images):
        table = from_folder(root)
        assert [Path(image).name for image in table["image"]] == ["a.png", "b.png"]
        assert table["mask"].fillna("").tolist() == [str(tmp_path / masks / f"a{suffix}"), ""]
        assert table["label"].isna().all()


def test_classes_of_images_and_masks(tmp_path):
    names = [f"{folder}/{kind}/1.png" for folder in ("images", "masks") for kind in ("eo", "ly")]
    tree(tmp_path, *names)
    table = from_folder(tmp_path)
    assert table["label"].tolist() == ["eo", "ly"]
    assert table["mask"].tolist() == [str(tmp_path / "masks" / k / "1.png") for k in ("eo", "ly")]


@pytest.mark.parametrize("folder", ["", "eo/"])
def test_a_folder_of_masks_among_the_images(tmp_path, folder):
    tree(tmp_path, "eo/1.png", "ly/2.png", f"{folder}Masks/1_mask.png", f"{folder}Masks/1.json")
    table = from_folder(tmp_path)
    assert table["label"].tolist() == ["eo", "ly"]
    masks = [str(tmp_path / f"{folder}Masks" / "1_mask.png"), ""]
    assert table["mask"].fillna("").tolist() == masks


def test_masks_beside_their_images(tmp_path):
    tree(tmp_path, "a.png", "a_cp_masks.png", "b.tif", "b-mask.png", "c_mask.png", "a.txt")
    table = from_folder(tmp_path)
    assert [Path(image).name for image in table["image"]] == ["a.png", "b.tif", "c_mask.png"]
    masks = [str(tmp_path / "a_cp_masks.png"), str(tmp_path / "b-mask.png"), ""]
    assert table["mask"].fillna("").tolist() == masks


@pytest.mark.parametrize("place", ["", "masks/"])
def test_pairs_of_masks_beside_the_images(tmp_path, place):
    parts = ("cell", "nucleus", "overlay")
    tree(tmp_path, "fields/a.png", *(f"{place}{part}/fields/a.png" for part in parts))
    table = from_folder(tmp_path)
    assert [Path(image).name for image in table["image"]] == ["a.png"]
    assert Path(table["mask"].iloc[0]).parts[-3:] == ("cell", "fields", "a.png")
    assert Path(table["nucleus_mask"].iloc[0]).parts[-3:] == ("nucleus", "fields", "a.png")
    assert table["label"].isna().all()


def test_a_folder_of_masks_is_not_one_of_images(tmp_path):
    tree(tmp_path, "cell/a.png", "nucleus/a.png", "trimap/a.png")
    with pytest.raises(datasets.DatasetError, match="holds masks, not images"):
        from_folder(tmp_path)
    # Classes of these names have files of their own.
    tree(tmp_path / "other", "cell/a.png", "nucleus/b.png")
    assert from_folder(tmp_path / "other")["label"].tolist() == ["cell", "nucleus"]


@pytest.mark.parametrize("mask", ["a_seg.npy", "a.json", "a.geojson", "a_masks.tif"])
def test_masks_among_the_images_are_found_there(tmp_path, mask):
    tree(tmp_path, "a.png", mask)
    image = str(tmp_path / "a.png")
    assert mask_finder(tmp_path, [image])(image) == str(tmp_path / mask)


def test_outlines_count_where_there_is_no_picture_of_a_mask(tmp_path):
    tree(tmp_path, "a.json", "a_cp_masks.png", "b.json", "b.geojson", "c.zip")
    find = mask_finder(tmp_path)
    found = [Path(find(f"{name}.jpg")).name for name in "abc"]
    assert found == ["a_cp_masks.png", "b.geojson", "c.zip"]


def test_a_class_called_labels_stays_a_class(tmp_path):
    tree(tmp_path, "labels/a.png", "other/b.png")
    assert from_folder(tmp_path)["label"].tolist() == ["labels", "other"]


def test_masks_of_a_table_in_two_folders(tmp_path):
    table = datasets.drawn(tmp_path / "cells", n_images=2, random_state=0)
    expected = [segment.read_masks(path) for path in table["mask"]]
    for part in ("cell", "nucleus"):
        (tmp_path / part).mkdir()
        for image, masks in zip(table["image"], expected, strict=True):
            labels = getattr(masks, part).astype(np.uint16)
            cv2.imwrite(str(tmp_path / part / (Path(image).stem + ".png")), labels)
    folders = (tmp_path / "cell", tmp_path / "nucleus")
    for given in (folders, list(map(str, folders)), tmp_path):
        found = segment.mask_source(given, table)(table, 0)
        for item, truth in zip(found, expected, strict=True):
            np.testing.assert_array_equal(segment.as_masks(item).cell, truth.cell)
            np.testing.assert_array_equal(segment.as_masks(item).nucleus, truth.nucleus)
