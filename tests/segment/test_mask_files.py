"""Masks from files, arrays and image tables, segmenters by name, and outlines."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from hemafeat import datasets, images, segment
from hemafeat.segment import (
    MaskError,
    Masks,
    MaskWarning,
    SegmenterError,
    as_masks,
    mask_source,
    read_masks,
    segmenter,
)
from hemafeat.segment._registry import _entries

SHAPE = (60, 80)


def trimap() -> np.ndarray:
    """Make a trimap of two cells of 400 and 300 px with nuclei of 100 and 25 px."""
    image = np.zeros(SHAPE, np.uint8)
    image[5:25, 5:25] = 128
    image[10:20, 10:20] = 255
    image[30:45, 50:70] = 128
    image[35:40, 55:60] = 255
    return image


def sizes(labels: np.ndarray) -> list[int]:
    return np.bincount(labels.ravel())[1:].tolist()


@pytest.mark.parametrize("suffix", [".png", ".npy", ".tif", ".bmp"])
def test_a_trimap_file(tmp_path, suffix):
    path = tmp_path / f"cell{suffix}"
    if suffix == ".npy":
        np.save(path, trimap())
    else:
        cv2.imwrite(str(path), trimap())
    for source in (path, str(path)):
        masks = read_masks(source)
        assert sizes(masks.cell) == [400, 300]
        assert sizes(masks.nucleus) == [100, 25]


def test_noise_around_the_three_levels_does_not_matter(tmp_path):
    rng = np.random.default_rng(0)
    clean = trimap()
    noisy = np.clip(clean.astype(int) + rng.integers(-25, 26, SHAPE), 0, 255).astype(np.uint8)
    path = tmp_path / "noisy.png"
    cv2.imwrite(str(path), cv2.merge([noisy, noisy, noisy]))
    masks = read_masks(path)
    assert np.array_equal(masks.cell > 0, clean > 0)
    assert np.array_equal(masks.nucleus > 0, clean == 255)


def test_specks_are_not_cells():
    image = trimap()
    image[0, 79] = 128
    image[59, 0] = 255
    assert read_masks(image).n_cells == 2


def test_labels_keep_their_ids_and_may_be_in_pieces():
    labels = np.zeros(SHAPE, np.uint16)
    labels[2:8, 2:8], labels[2:8, 20:28], labels[40:50, 40:50] = 5, 5, 9
    masks = read_masks(labels)
    assert masks.ids.tolist() == [5, 9]
    assert sizes(masks.cell) == [84, 100]
    assert not masks.nucleus.any()


def test_many_labels_are_not_taken_for_a_trimap():
    labels = np.arange(1, 241, dtype=np.uint8).reshape(12, 20).repeat(5, 0).repeat(4, 1)
    assert read_masks(labels).n_cells == 240


@pytest.mark.parametrize("mask", [trimap() > 0, np.uint8(255) * (trimap() > 0)])
def test_a_binary_mask_is_cells_without_nuclei(mask):
    masks = read_masks(mask)
    assert sizes(masks.cell) == [400, 300]
    assert not masks.nucleus.any()
    nuclei = read_masks(mask, kind="nuclei")
    assert sizes(nuclei.nucleus) == [400, 300]
    assert not nuclei.cell.any()


def test_cells_and_nuclei_from_two_files(tmp_path):
    whole, inner = tmp_path / "cell.png", tmp_path / "nucleus.png"
    cv2.imwrite(str(whole), np.uint8(255) * (trimap() > 0))
    cv2.imwrite(str(inner), np.uint8(255) * (trimap() == 255))
    for masks in (read_masks(whole, inner), read_masks((whole, inner))):
        assert sizes(masks.cell) == [400, 300]
        assert sizes(masks.nucleus) == [100, 25]


def test_nuclei_take_the_id_of_their_cell_and_are_cut_to_it():
    cell = np.zeros(SHAPE, int)
    cell[5:25, 5:25], cell[30:50, 40:70] = 4, 2
    nucleus = np.zeros(SHAPE, int)
    nucleus[10:20, 10:30], nucleus[35:40, 45:60] = 1, 2
    nucleus[52:58, 2:8] = 3
    masks = read_masks(cell, nucleus)
    assert masks.ids.tolist() == [2, 4, 5]
    assert sizes(masks.nucleus) == [75, 150, 36]
    assert not (masks.cell == 3).any()


def test_masks_are_returned_unchanged():
    masks = Masks(trimap() > 0, trimap() == 255)
    assert read_masks(masks) is masks


def test_errors_name_the_file(tmp_path):
    missing = tmp_path / "missing.png"
    with pytest.raises(MaskError, match=r"missing\.png: does not exist"):
        read_masks(missing)
    with pytest.raises(MaskError, match=r"missing\.npy: does not exist"):
        read_masks(tmp_path / "missing.npy")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and nothing else")
    with pytest.raises(MaskError, match=r"broken\.png: "):
        read_masks(broken)
    objects = tmp_path / "objects.npy"
    np.save(objects, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(MaskError, match=r"objects\.npy: "):
        read_masks(objects)
    whole = tmp_path / "whole.npy"
    np.save(whole, trimap())
    data = whole.read_bytes()
    for damaged in (b"", data[:4], data[:60], data[:-1], b"\x93NUMPY\x09\x09" + data[8:], data[1:]):
        whole.write_bytes(damaged)
        with pytest.raises(MaskError, match=r"whole\.npy: is .*damaged"):
            read_masks(whole)
    whole.write_bytes(data.replace(b"(60, 80), }       ", b"(600000, 80000), }"))
    with pytest.raises(MaskError, match=r"whole\.npy: holds 600000 x 80000 pixels, more than"):
        read_masks(whole)
    deep = tmp_path / "deep.npy"
    np.save(deep, np.zeros((2, 3, 4)))
    with pytest.raises(MaskError, match=r"deep\.npy: has shape \(2, 3, 4\)"):
        read_masks(deep)
    np.save(tmp_path / "half.npy", np.full((4, 4), 0.5))
    with pytest.raises(MaskError, match="not whole numbers"):
        read_masks(tmp_path / "half.npy")
    coloured = tmp_path / "coloured.png"
    cv2.imwrite(str(coloured), np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    with pytest.raises(MaskError, match=r"coloured\.png"):
        read_masks(coloured)
    with pytest.raises(MaskError, match=r"the cell mask is 60 x 80 and the nucleus mask 60 x 79"):
        read_masks(trimap(), trimap()[:, 1:])
    with pytest.raises(ValueError, match="kind"):
        read_masks(trimap(), kind="trimaps")


# --- Masks of the images of a table ---------------------------------------------------------------


def test_masks_of_a_table_in_every_form(tmp_path):
    table = datasets.drawn(tmp_path / "cells", n_images=3, random_state=0)
    expected = [read_masks(path) for path in table["mask"]]
    folder = Path(table["mask"].iloc[0]).parents[1]
    for masks in ("given", folder, expected, list(table["mask"])):
        find = mask_source(masks, table)
        for item, truth in zip(find(table.iloc[1:], 1), expected[1:], strict=True):
            np.testing.assert_array_equal(as_masks(item).cell, truth.cell)
    assert mask_source(None, table) is None


def test_missing_masks_of_a_table(tmp_path):
    table = datasets.drawn(tmp_path / "cells", n_images=2, random_state=0)
    with pytest.raises(ValueError, match="1 masks were given for 2 images"):
        mask_source([None], table)
    with pytest.raises(ValueError, match="nowhere is not a folder of masks"):
        mask_source(tmp_path / "nowhere", table)
    table.loc[1, "mask"] = None
    missing = mask_source("given", table)(table, 0)[1]
    with pytest.raises(MaskError, match="names no mask for this image"):
        as_masks(missing)
    with pytest.raises(ValueError, match='the column "mask" of the image table is empty'):
        mask_source("given", table.assign(mask=None))


def test_masks_of_one_image_and_nuclei_alone(tmp_path):
    table = datasets.drawn(tmp_path / "cells", n_images=2, random_state=0)
    cell = read_masks(table["mask"].iloc[0])
    for part in ("cell", "nucleus"):
        (tmp_path / part).mkdir()
        for image in table["image"]:
            stem = Path(image).stem
            cv2.imwrite(str(tmp_path / part / f"{stem}.png"), getattr(cell, part).astype("u2"))
    stem = Path(table["image"].iloc[0]).stem
    files = tuple(str(tmp_path / part / f"{stem}.png") for part in ("cell", "nucleus"))
    one = table.iloc[:1]
    (pair,) = mask_source(files, one)(one, 0)
    (alone,) = mask_source(files[0], one)(one, 0)
    np.testing.assert_array_equal(as_masks(pair).nucleus, cell.nucleus)
    np.testing.assert_array_equal(as_masks(alone).cell, cell.cell)
    assert not as_masks(alone).nucleus.any()
    with pytest.raises(MaskError, match="is one file for 2 images"):
        mask_source(files[0], table)
    with pytest.warns(MaskWarning, match="holds cells only.*; nucleus lies beside it: give"):
        mask_source(tmp_path / "cell", table)
    with pytest.warns(MaskWarning, match="holds nuclei only, so that columns of the cell and the"):
        of_nuclei = mask_source(tmp_path / "nucleus", table)(table, 0)[0]
    for source in (of_nuclei, mask_source((None, tmp_path / "nucleus"), table)(table, 0)[0]):
        masks = as_masks(source)
        np.testing.assert_array_equal(masks.nucleus, cell.nucleus)
        assert not masks.cell.any()


def test_touching_nuclei_that_are_numbered_stay_apart():
    nuclei = np.zeros(SHAPE, np.uint16)
    nuclei[5:15, 5:15], nuclei[5:15, 15:25], nuclei[30:40, 30:40] = 4, 7, 9
    for masks in (as_masks((None, nuclei)), read_masks(nuclei, kind="nuclei")):
        assert sizes(masks.nucleus) == [100, 100, 100]
        assert masks.ids.tolist() == [4, 7, 9]


def test_nuclei_in_a_column_of_their_own(tmp_path):
    cell, nucleus = tmp_path / "c.png", tmp_path / "n.png"
    cv2.imwrite(str(cell), np.uint8(255) * (trimap() > 0))
    cv2.imwrite(str(nucleus), np.uint8(255) * (trimap() == 255))
    table = datasets.as_table(
        {
            "image": ["a.png", "b.png", "d.png", "e.png"],
            "mask": [str(cell), str(cell), None, None],
            "nucleus_mask": [str(nucleus), None, str(nucleus), None],
        }
    )
    *found, missing = mask_source("given", table)(table, 0)
    parts = [(as_masks(item).cell.any(), as_masks(item).nucleus.any()) for item in found]
    assert parts == [(True, True), (True, False), (False, True)]
    with pytest.raises(MaskError, match="names no mask"):
        as_masks(missing)


def test_a_pair_is_read_as_read_masks_does():
    cell, nucleus = trimap() > 0, trimap() == 255
    assert as_masks((cell, nucleus)).n_cells == read_masks(cell, nucleus).n_cells == 2
    assert as_masks(trimap()).n_cells == 2
    with pytest.raises(MaskError, match="the nucleus mask"):
        as_masks((cell, nucleus[1:]))


# --- Segmenters by name ---------------------------------------------------------------------------


def whole_image(image):
    labels = np.ones(image.shape[:2], int)
    return labels, np.zeros_like(labels)


def wrong_shape(image):
    return Masks(np.ones((3, 3), int), np.zeros((3, 3), int))


def not_masks(image):
    return np.ones(image.shape[:2])


def contradicting(image):
    return np.zeros(image.shape[:2], int), np.ones((2, 2), int)


def test_names_and_callables():
    image = np.full((20, 30, 3), 240, np.uint8)
    assert segmenter("contours") is segment.contours
    assert segmenter(segment.contours) is segment.contours
    checked = segmenter(whole_image)
    assert checked(image).n_cells == 1
    assert segmenter(checked) is checked
    assert pickle.loads(pickle.dumps(checked))(image).n_cells == 1


def test_an_unknown_name_is_answered_by_the_known_ones():
    with pytest.raises(
        SegmenterError, match="unknown segmenter 'contour'; choose one of: contours"
    ):
        segmenter("contour")
    with pytest.raises(SegmenterError, match="not int"):
        segmenter(3)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (wrong_shape, "'wrong_shape': the mask is 3 x 3 and the image 20 x 30"),
        (not_masks, "'not_masks' returned ndarray"),
        (contradicting, "'contradicting': the cell mask is"),
    ],
)
def test_results_that_are_not_masks_of_the_image_are_refused(function, reason):
    with pytest.raises(SegmenterError, match=reason):
        segmenter(function)(np.zeros((20, 30, 3), np.uint8))


def test_entries_segmenters(monkeypatch):
    from importlib.metadata import EntryPoint

    entries = [
        EntryPoint("halves", "tests_no_such_module:halves", "hemafeat.segmenters"),
        EntryPoint("whole", f"{__name__}:whole_image", "hemafeat.segmenters"),
        EntryPoint("number", f"{__name__}:SHAPE", "hemafeat.segmenters"),
    ]
    monkeypatch.setattr("hemafeat.segment._registry.entry_points", lambda group: entries)
    _entries.cache_clear()
    try:
        assert segmenter("whole")(np.zeros((4, 4, 3), np.uint8)).n_cells == 1
        with pytest.raises(SegmenterError, match=r"unet, .*, halves, number, whole"):
            segmenter("thirds")
        with pytest.raises(SegmenterError, match=r"'halves' .* cannot be loaded"):
            segmenter("halves")
        with pytest.raises(SegmenterError, match=r"'number' .* is not callable"):
            segmenter("number")
    finally:
        _entries.cache_clear()


def test_outlines_lie_on_the_borders_only():
    masks = read_masks(trimap())
    for level in (20, 240):
        image = np.full((*SHAPE, 3), level, np.uint8)
        drawn = segment.outline(image, masks)
        assert (image == level).all()
        assert tuple(drawn[5, 5]) == (0, 230, 0)
        assert tuple(drawn[10, 10]) == (255, 230, 0)
        # Away from any border the image is unchanged.
        assert tuple(drawn[7, 7]) == tuple(drawn[15, 15]) == tuple(drawn[55, 5]) == (level,) * 3
    suspected = Masks(masks.cell, masks.nucleus, {"suspected_failure": [True, False]})
    drawn = segment.outline(image, suspected)
    assert tuple(drawn[5, 5]) == (255, 40, 40)
    assert tuple(drawn[30, 50]) == (0, 230, 0)
    with pytest.raises(MaskError, match="the image"):
        segment.outline(image[1:], masks)


def test_a_trimap_can_be_read_again():
    masks = segment.read_masks(trimap(), kind="trimap")
    assert masks.trimap.dtype == np.uint8
    assert set(np.unique(masks.trimap)) == {0, 128, 255}
    again = segment.read_masks(masks.trimap, kind="trimap")
    np.testing.assert_array_equal(again.cell, masks.cell)
    np.testing.assert_array_equal(again.nucleus, masks.nucleus)


def test_numbers_of_cells_are_written_as_they_are(tmp_path):
    cell = np.zeros((20, 30), np.int64)
    cell[2:8, 2:8], cell[10:18, 12:20] = 7, 4
    segment.write_masks(segment.Masks(cell), tmp_path, "deep/a.png")
    assert (images.read_labels(tmp_path / "cell" / "deep" / "a.png") == cell).all()
    assert not images.read_labels(tmp_path / "nucleus" / "deep" / "a.png").any()
    cell[cell == 7] = 70_000
    segment.write_masks(segment.Masks(cell), tmp_path, "b.png")
    assert np.unique(images.read_labels(tmp_path / "cell" / "b.png")).tolist() == [0, 1, 2]
    for name in ("a.tif", "../a.png", str(tmp_path / "a.png")):
        with pytest.raises(ValueError, match=r"no path of a \.png file"):
            segment.write_masks(segment.Masks(cell), tmp_path, name)
