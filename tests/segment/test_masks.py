"""The contract of `Masks`: its checks and how it renumbers labels."""

from __future__ import annotations

import numpy as np
import pytest

from hemafeat.segment import MaskError, Masks


def two_cells() -> tuple[np.ndarray, np.ndarray]:
    cell = np.zeros((12, 16), np.int32)
    nucleus = np.zeros_like(cell)
    cell[1:6, 1:6] = 7
    nucleus[2:4, 2:4] = 7
    cell[4:11, 8:15] = 3
    nucleus[6:9, 10:13] = 3
    return cell, nucleus


def test_labels_are_renumbered_in_ascending_order():
    masks = Masks(*two_cells())
    assert masks.n_cells == 2
    assert masks.ids.tolist() == [3, 7]
    assert np.array_equal(np.unique(masks.cell), [0, 1, 2])
    assert masks.cell[5, 9] == 1
    assert masks.nucleus[2, 2] == 2
    assert masks.cell.dtype == masks.nucleus.dtype == np.int32


def test_cells_alone():
    cell = np.zeros((6, 8), np.uint64)
    cell[1:5, 1:4] = 2**63 + 1
    masks = Masks(cell)
    assert (masks.n_cells, masks.nucleus.any(), masks.nucleus.dtype) == (1, False, np.int32)


def test_cytoplasm_is_cell_without_nucleus():
    cell, nucleus = two_cells()
    masks = Masks(cell, nucleus)
    assert np.array_equal(masks.cytoplasm > 0, (cell > 0) & (nucleus == 0))


def test_inputs_are_neither_modified_nor_shared():
    cell, nucleus = two_cells()
    cell[cell == 7], nucleus[nucleus == 7] = 2, 2
    cell[cell == 3], nucleus[nucleus == 3] = 1, 1
    before = cell.copy()
    masks = Masks(cell, nucleus)
    masks.cell[:] = 0
    assert np.array_equal(cell, before)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.float64, np.uint64])
def test_any_integer_dtype(dtype):
    cell, nucleus = two_cells()
    masks = Masks(cell.astype(dtype), nucleus.astype(dtype))
    assert masks.ids.tolist() == [3, 7]


def test_a_boolean_mask_is_one_cell():
    cell, nucleus = two_cells()
    masks = Masks(cell > 0, nucleus > 0)
    assert masks.n_cells == 1


def test_large_and_sparse_ids():
    cell, nucleus = two_cells()
    cell = np.where(cell == 7, 2**40, cell.astype(np.int64))
    nucleus = np.where(nucleus == 7, 2**40, nucleus.astype(np.int64))
    masks = Masks(cell, nucleus)
    assert masks.ids.tolist() == [3, 2**40]
    assert masks.cell.max() == 2


def test_a_cell_without_nucleus_and_a_nucleus_without_cell():
    cell, nucleus = two_cells()
    nucleus[nucleus == 7] = 0
    nucleus[0, 15] = 9
    masks = Masks(cell, nucleus)
    assert masks.ids.tolist() == [3, 7, 9]
    assert not (masks.nucleus == 2).any()
    assert not (masks.cell == 3).any()
    assert not (masks.cytoplasm == 3).any()


def test_no_cell_at_all():
    masks = Masks(np.zeros((3, 4), int), np.zeros((3, 4), int))
    assert masks.n_cells == 0
    assert masks.quality["confidence"].shape == (0,)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c, n: (c[:-1], n), "and the nucleus mask"),
        (lambda c, n: (c - 1, n), "negative"),
        (lambda c, n: (c + 0.5, n), "not whole numbers"),
        (lambda c, n: (np.where(c > 0, np.nan, 0.0), n), "not whole numbers"),
        (lambda c, n: (c[..., None], n), "expected"),
        (lambda c, n: (c[:0], n[:0]), "expected"),
        (lambda c, n: (c.astype(str), n), "expected integers"),
        (lambda c, n: (c, np.roll(n, 5, axis=1)), "outside its own cell"),
    ],
)
def test_contradictions_are_refused(change, reason):
    cell, nucleus = change(*two_cells())
    with pytest.raises(MaskError, match=reason):
        Masks(cell, nucleus)


def test_a_nucleus_in_another_cell_is_refused():
    cell, nucleus = two_cells()
    nucleus[6:9, 10:13] = 7
    with pytest.raises(MaskError, match="nucleus 7"):
        Masks(cell, nucleus)


def test_cells_at_the_border():
    cell, nucleus = two_cells()
    assert Masks(cell, nucleus).quality["touches_border"].tolist() == [False, False]
    cell[11, 9] = 3
    assert Masks(cell, nucleus).quality["touches_border"].tolist() == [True, False]


def test_quality_is_filled_in_and_checked():
    cell, nucleus = two_cells()
    masks = Masks(cell, nucleus, {"confidence": [0.2, 0.9], "sharpness": [1, 2]})
    assert masks.quality["confidence"].tolist() == [0.2, 0.9]
    assert masks.quality["sharpness"].tolist() == [1, 2]
    assert masks.quality["failure_reason"].tolist() == ["", ""]
    assert not masks.quality["suspected_failure"].any()
    with pytest.raises(MaskError, match="confidence"):
        Masks(cell, nucleus, {"confidence": [0.2]})


def test_select_keeps_order_and_quality():
    masks = Masks(*two_cells(), {"confidence": [0.2, 0.9]})
    swapped = masks.select([1, 0])
    assert swapped.quality["confidence"].tolist() == [0.9, 0.2]
    assert np.array_equal(swapped.cell == 1, masks.cell == 2)
    assert np.array_equal(swapped.nucleus == 2, masks.nucleus == 1)
    only = masks.select(np.array([False, True]))
    assert only.n_cells == 1
    assert np.array_equal(only.cell == 1, masks.cell == 2)


# --- Ids of any size and type ---------------------------------------------------------------------


@pytest.mark.parametrize("ids", [(2**63, 2**63 + 1), (2**53, 2**53 + 1), (1, 2**64 - 1)])
@pytest.mark.parametrize("nucleus_dtype", [np.uint64, np.int32])
def test_ids_of_64_bits_stay_apart(ids, nucleus_dtype):
    cell = np.zeros((12, 16), np.uint64)
    cell[1:6, 1:6], cell[4:11, 8:15] = ids
    nucleus = np.zeros((12, 16), nucleus_dtype)
    if nucleus_dtype == np.uint64:
        nucleus[2:4, 2:4], nucleus[6:9, 10:13] = ids
    masks = Masks(cell, nucleus)
    assert [int(number) for number in masks.ids] == list(ids)
    assert np.bincount(masks.cell.ravel())[1:].tolist() == [25, 49]
    assert masks.cell.max() == masks.n_cells == 2


def test_floats_that_cannot_number_cells_are_refused():
    cell, nucleus = two_cells()
    with pytest.raises(MaskError, match="floats above 2"):
        Masks(np.where(cell > 0, 2.0**53 + 2, 0.0), nucleus)
    with pytest.raises(MaskError, match="not whole numbers"):
        Masks(np.where(cell > 0, np.inf, 0.0), nucleus)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: np.asfortranarray(a),
        lambda a: a.astype(">i4"),
        lambda a: np.repeat(np.repeat(a, 2, 0), 2, 1)[::2, ::2],
        lambda a: a[::-1, ::-1][::-1, ::-1],
        lambda a: a.astype(">u8"),
    ],
)
def test_any_layout_of_memory(change):
    expected = Masks(*two_cells())
    cell, nucleus = map(change, two_cells())
    cell.flags.writeable = nucleus.flags.writeable = False
    masks = Masks(cell, nucleus)
    for name in ("cell", "nucleus", "cytoplasm"):
        labels = getattr(masks, name)
        np.testing.assert_array_equal(labels, getattr(expected, name))
        assert labels.dtype == np.int32
        assert labels.flags.c_contiguous
        assert labels.flags.writeable


def test_a_nucleus_under_another_number_than_its_cell_is_refused():
    cell, nucleus = two_cells()
    with pytest.raises(MaskError, match="nucleus 9 lies outside its own cell, in cell 7"):
        Masks(cell, np.where(nucleus == 7, 9, nucleus))
    with pytest.raises(MaskError, match="in cell 7"):
        Masks(cell, np.where(nucleus == 7, 1, 0))


def test_the_fit_of_an_image_is_checked():
    masks = Masks(*two_cells())
    masks.check_fit((12, 16, 3))
    with pytest.raises(MaskError, match=r"the mask is 12 x 16 and the image 24 x 32 \(height x w"):
        masks.check_fit((24, 32, 3))
    with pytest.raises(MaskError, match="height and width are swapped"):
        masks.check_fit((16, 12, 3))
    masks.cell[0, 0] = -1
    with pytest.raises(MaskError, match="changed after the masks were made"):
        masks.check_fit((12, 16, 3))
