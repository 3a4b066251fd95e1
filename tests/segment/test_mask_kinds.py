"""What the values of a mask mean: trimap, labels or binary, from every tool that writes them."""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import pytest

from hemafeat.segment import MaskWarning, as_masks, read_masks

SHAPE = (120, 160)
CENTRES = [(30, 35, 20), (30, 74, 19), (85, 40, 22), (80, 115, 25)]
"""Row, column and radius of four cells; the first two touch."""


def field(radii=1.0) -> np.ndarray:
    """Label four discs 1 to 4."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    labels = np.zeros(SHAPE, np.int32)
    for number, (row, column, radius) in enumerate(CENTRES, start=1):
        near = (rows - row) ** 2 + (columns - column) ** 2 < (radii * radius) ** 2
        labels[near & (labels == 0)] = number
    return labels


CELLS, NUCLEI = field(), np.where(field(0.55) > 0, field(), 0)


def areas(labels) -> list[int]:
    return sorted(np.bincount(labels.ravel())[1:].tolist())


def numbered(*ids) -> np.ndarray:
    """Give the first cells these ids, and leave the others out."""
    return np.array([0, *ids, *[0] * (4 - len(ids))], np.int64)[CELLS]


def separate(labels) -> np.ndarray:
    """Cut the touching cells apart, as binary masks of several cells must be."""
    return np.where(cv2.erode((labels > 0).astype(np.uint8), np.ones((3, 3))) > 0, labels, 0)


def classes(cytoplasm, nucleus) -> np.ndarray:
    apart = CELLS.copy()
    apart[:, 54:56] = np.where(apart[:, 54:56] <= 2, 0, apart[:, 54:56])
    nuclei = (NUCLEI > 0) & (apart > 0)
    return np.where(nuclei, nucleus, np.where(apart > 0, cytoplasm, 0))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint16, np.float64])
@pytest.mark.parametrize(
    "ids",
    [
        *((87, 88), (61, 130, 201), (100, 101, 102, 103), (252, 253, 254, 255), (1, 2), (1, 2, 3)),
        *((128, 129), (127, 253, 3), (130, 252, 255), (5, 250, 251, 252), (60, 61), (200, 201)),
    ],
)
def test_ids_are_labels_whatever_they_are(ids, dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        masks = read_masks(numbered(*ids).astype(dtype))
    assert masks.ids.tolist() == sorted(ids)
    assert areas(masks.cell) == areas(CELLS * np.isin(CELLS, range(1, len(ids) + 1)))
    assert not masks.nucleus.any()


@pytest.mark.parametrize("suffix", [".png", ".npy", ".tif", ".bmp"])
def test_ids_in_files_are_labels(tmp_path, suffix):
    path, labels = tmp_path / f"a{suffix}", numbered(252, 253, 254, 255)
    if suffix == ".npy":
        np.save(path, labels)
    else:
        cv2.imwrite(str(path), labels.astype(np.uint16 if suffix == ".tif" else np.uint8))
    assert areas(read_masks(path).cell) == areas(CELLS)


@pytest.mark.parametrize(
    ("levels", "sure"),
    [
        *(((128, 255), True), ((127, 255), True), ((155, 255), True), ((130, 254), True)),
        *(((1, 2), False), ((2, 1), False), ((85, 170), False), ((50, 100), False)),
        ((255, 128), False),
    ],
)
def test_cytoplasm_and_nucleus_at_any_two_levels(levels, sure):
    values = classes(*levels).astype(np.uint8)
    masks = as_masks(values)
    np.testing.assert_array_equal(masks.nucleus > 0, values == levels[1])
    np.testing.assert_array_equal(masks.cell > 0, values > 0)
    assert masks.n_cells == 4
    assert (masks.note == "") == sure
    stated = as_masks(values, "trimap")
    assert not stated.note
    np.testing.assert_array_equal(stated.nucleus, masks.nucleus)
    assert as_masks(values, "labels").n_cells == 2
    if not sure:
        with pytest.warns(MaskWarning, match=r"<array 120 x 160 uint8>: .* state the kind"):
            read_masks(values)


@pytest.mark.parametrize("dtype", [np.int64, np.uint16, np.float32])
@pytest.mark.parametrize("levels", [(128, 255), (1, 2)])
def test_a_trimap_of_a_wide_type_is_one(levels, dtype):
    masks = as_masks(classes(*levels).astype(dtype))
    assert masks.n_cells == 4
    np.testing.assert_array_equal(masks.nucleus > 0, classes(0, 1) == 1)


@pytest.mark.parametrize("value", [1, 255, 200, 128])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64, np.int32])
def test_one_value_is_a_binary_mask_of_all_cells(value, dtype):
    if value == 200 and dtype != np.uint8:
        pytest.skip("a label of one cell in pieces, of a type that binary masks do not have")
    values = np.where(classes(1, 1) > 0, value, 0).astype(dtype)
    masks = as_masks(values)
    assert masks.n_cells == 4
    assert not masks.nucleus.any()
    assert (masks.note == "") == (value == 255)
    assert as_masks(values, "labels").n_cells == 1


def test_one_label_of_a_wide_type_is_one_cell():
    masks = as_masks(np.where(CELLS > 0, 300, 0))
    assert masks.n_cells == 1
    assert "one cell in" in masks.note


@pytest.mark.parametrize("quality", [60, 80, 95])
@pytest.mark.parametrize("level", [255, 200, 128])
def test_jpeg_of_a_binary_mask_has_no_nuclei(tmp_path, quality, level):
    path = tmp_path / "a.jpg"
    values = np.where(classes(1, 1) > 0, level, 0).astype(np.uint8)
    cv2.imwrite(str(path), values, [cv2.IMWRITE_JPEG_QUALITY, quality])
    for kind in ("auto", "cells"):
        masks = as_masks(path, kind)
        assert masks.n_cells == 4
        assert not masks.nucleus.any()
        assert np.mean((masks.cell > 0) != (values > 0)) < 0.005


@pytest.mark.parametrize("cytoplasm", [128, 155])
@pytest.mark.parametrize("quality", [60, 80, 95])
def test_jpeg_of_a_trimap_keeps_nuclei(tmp_path, quality, cytoplasm):
    path = tmp_path / "a.jpg"
    values = classes(cytoplasm, 255).astype(np.uint8)
    cv2.imwrite(str(path), values, [cv2.IMWRITE_JPEG_QUALITY, quality])
    masks = as_masks(path)
    assert masks.n_cells == 4
    assert not masks.note
    assert np.mean((masks.nucleus > 0) != (values == 255)) < 0.01


def test_jpeg_of_labels_is_noted(tmp_path):
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), numbered(70, 110, 150, 190).astype(np.uint8))
    assert "saved as JPEG" in as_masks(path).note


def test_smooth_edges_do_not_matter():
    for values in (classes(128, 255), classes(255, 255)):
        smooth = cv2.resize(values.astype(np.uint8), None, fx=2, fy=2)
        masks = as_masks(smooth)
        assert masks.n_cells == 4
        assert masks.nucleus.any() == (values == 128).any()


def test_cells_in_each_other_and_no_background_are_noted():
    values = classes(40, 50)
    values[8:20, 120:130] = 60
    assert "50 lies in 40" in as_masks(values.astype(np.uint8)).note
    assert "no pixel is 0" in as_masks(CELLS + 1).note
    assert not as_masks(np.where(CELLS == 4, 0, CELLS)).note


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("ids", [(127, 130, 250), (140, 128, 255), (255, 254, 155)])
def test_cells_in_each_other_are_labels_though_their_ids_are_near_a_trimap(ids, dtype):
    """Two small cells that indent a large one, or the reverse."""
    labels = np.where(CELLS == 4, 3, 0)
    labels[70:82, 96:108], labels[70:82, 120:132] = 1, 2
    values = np.array([0, *ids])[labels].astype(dtype)
    masks = read_masks(values)
    assert areas(masks.cell) == sorted(np.bincount(labels.ravel())[1:].tolist())
    assert not masks.nucleus.any()


def test_a_trimap_of_a_nucleus_that_encloses_its_cytoplasm_is_noted():
    """A cell that is cut by the border of the image, with exchanged levels."""
    cut = np.s_[80:, 90:140]
    upright, exchanged = classes(128, 255)[cut], classes(255, 128)[cut]
    assert not read_masks(upright.astype(np.uint8)).note
    assert "may lie in it" in read_masks(exchanged.astype(np.uint8)).note


def test_pairs_keep_ids_that_agree_and_mend_those_that_do_not():
    masks = as_masks((CELLS * 60, NUCLEI * 60))
    assert masks.ids.tolist() == [60, 120, 180, 240]
    np.testing.assert_array_equal(masks.nucleus, NUCLEI)
    own_numbers = np.array([0, 9, 2, 4, 7])[NUCLEI]
    sticking_out = cv2.dilate((CELLS == 4).astype(np.uint8), np.ones((3, 3))) > 0
    for nuclei in (own_numbers, NUCLEI > 0, np.uint8(255) * (NUCLEI > 0)):
        np.testing.assert_array_equal(as_masks((CELLS, nuclei)).nucleus, NUCLEI)
    masks = as_masks((CELLS, np.where(sticking_out, 1, NUCLEI)))
    assert masks.n_cells == 4
    assert ((masks.nucleus == 4) == (CELLS == 4)).all()
    huge = CELLS.astype(np.uint64) + np.uint64(2**63) * (CELLS > 0)
    outside = NUCLEI.copy()
    outside[100:110, 2:12] = 1
    assert as_masks((huge, outside)).n_cells == 5
