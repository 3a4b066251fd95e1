"""Labels are measured only on an image that they fit, whichever way they come in."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hemafeat import datasets, extract, images, segment
from hemafeat.extract import CellFeatures, Prepared
from hemafeat.segment import MaskError, Masks
from support.hostile_masks import run

DRAWN = datasets.draw_cell("neutrophil", size=120, random_state=0)
IMAGE, CELL, NUCLEUS = DRAWN.image, DRAWN.cell, DRAWN.nucleus
OTHER_SIZES = {
    "double": np.kron(CELL, np.ones((2, 2), np.int32)),
    "half": CELL[::2, ::2],
    "row less": CELL[:-1],
    "padded": np.pad(CELL, ((0, 136), (0, 136))),
    "twenty times": np.kron(CELL, np.ones((20, 20), np.uint8)),
    "turned": np.pad(CELL, ((0, 0), (0, 8))).T,
}
FAMILIES = extract.families()


def both(labels) -> Masks:
    return Masks(labels, np.zeros_like(labels))


def message(labels) -> str:
    height, width = labels.shape
    return f"the mask is {height} x {width} and the image 120 x 120 (height x width)"


@pytest.mark.parametrize("size", OTHER_SIZES)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_refuses_labels_of_another_size(name, size):
    function, labels = FAMILIES[name], OTHER_SIZES[size]
    given = labels if function.facts.per_mask else both(labels)
    for image in (IMAGE, Prepared(IMAGE), Prepared(IMAGE, Masks(CELL, NUCLEUS))):
        with pytest.raises(MaskError) as error:
            function(image, given)
        assert str(error.value) == message(labels)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_takes_labels_of_any_type(name):
    function = FAMILIES[name]
    masks = Masks(CELL, NUCLEUS)
    read_only = NUCLEUS.copy()
    read_only.flags.writeable = False
    forms = [
        *(NUCLEUS.astype(kind) for kind in ("u8", ">i4", "f4", "?")),
        *(np.asfortranarray(NUCLEUS), np.kron(NUCLEUS, np.ones((2, 2), int))[::2, ::2]),
        *(read_only, NUCLEUS.tolist()),
    ]
    if not function.facts.per_mask:
        expected = function(IMAGE, masks)
        np.testing.assert_array_equal(function(IMAGE, Masks(CELL, forms[1])), expected)
        with pytest.raises(MaskError, match="expected Masks of cells and nuclei, not ndarray"):
            function(IMAGE, CELL)
        with pytest.raises(MaskError, match="n_cells is 0, but the largest label is 1"):
            function(IMAGE, masks, 0)
        assert function(IMAGE, both(0 * CELL)).shape == (0, len(function.facts.columns))
        return
    expected = function(IMAGE, NUCLEUS)
    for labels in forms:
        np.testing.assert_array_equal(function(IMAGE, labels), expected)
    more = function(IMAGE, NUCLEUS, np.int64(3))
    np.testing.assert_array_equal(more[:1], expected)
    assert more.shape == (3, expected.shape[1])
    assert function(IMAGE, 0 * CELL).shape == (0, expected.shape[1])
    for labels, n_cells, said in [
        (NUCLEUS * 5, 3, "n_cells is 3, but the largest label is 5"),
        (NUCLEUS, 1.5, "n_cells is 1.5, expected a whole number"),
        (NUCLEUS, 10**12, "n_cells is 1000000000000, but the image has 14400 pixels"),
        (-NUCLEUS, None, "negative"),
        (NUCLEUS * 0.5, None, "not whole numbers"),
        (
            NUCLEUS * np.int64(2**40),
            None,
            "a label is 1099511627776, but",
        ),
        (NUCLEUS.astype("u8") << np.uint64(63), None, "a label is 9223372036854775808"),
        (NUCLEUS[None], None, r"has shape \(1, 120, 120\)"),
        (masks, None, "expected one label image, such as masks.nucleus, not Masks"),
    ]:
        with pytest.raises(MaskError, match=said):
            function(IMAGE, labels, n_cells)


@pytest.mark.parametrize("size", OTHER_SIZES)
def test_every_other_way_in_refuses_labels_of_another_size(size):
    labels = OTHER_SIZES[size]
    prepared = Prepared(IMAGE)
    calls = [
        lambda: Prepared(IMAGE, both(labels)),
        lambda: extract.measure(IMAGE, both(labels)),
        lambda: extract.measure(prepared, both(labels)),
        lambda: prepared.window(both(labels)),
        lambda: prepared.regions(labels, 1),
        lambda: prepared.pixel_levels(labels, 1),
        lambda: prepared.histograms(labels, 1),
        lambda: prepared.shared("x", labels, 1, lambda regions: regions.area),
        lambda: prepared.white(labels),
        lambda: prepared.density_lut(labels),
        lambda: prepared.plane("od_g", labels),
        lambda: prepared.levels("od_g", 32, labels),
        lambda: extract.background_white(IMAGE, labels),
        lambda: extract.glcm_matrix(IMAGE[:, :, 1] // 16, labels, n_levels=16),
        lambda: segment.score(both(labels), Masks(CELL, NUCLEUS)),
        lambda: segment.dice(labels, CELL),
        lambda: segment.outline(IMAGE, both(labels)),
    ]
    for call in calls:
        with pytest.raises(MaskError, match=r"120 x 120"):
            call()


def test_masks_that_were_changed_are_refused():
    for value in (2, -1, 2**30):
        masks = Masks(CELL, NUCLEUS)
        masks.cell[3, 4] = value
        for call in (
            lambda masks=masks: extract.measure(IMAGE, masks),
            lambda masks=masks: extract.relation(IMAGE, masks),
            lambda masks=masks: Prepared(IMAGE, masks),
        ):
            with pytest.raises(MaskError, match="changed after the masks were made"):
                call()
    with pytest.raises(IndexError, match="there is no cell of row 1"):
        Prepared(IMAGE).window(Masks(CELL, NUCLEUS), 1)


def test_labels_of_a_window_stay_the_objects_by_which_families_share():
    window, masks = Prepared(IMAGE, Masks(CELL, NUCLEUS)).window(Masks(CELL, NUCLEUS))
    for labels in (masks.cell, masks.nucleus, masks.cytoplasm):
        assert window.checked_labels(labels, 1)[0] is labels
    assert window.parts(window.checked_labels(masks.cell, 1)[0], 1) is not None


def test_no_cell_is_a_table_without_rows():
    empty = both(0 * CELL)
    table = extract.measure(IMAGE, empty, families="all")
    assert table.shape == (0, len(extract.columns("all")))
    assert list(table.columns) == extract.columns("all")


def files(folder: Path) -> pd.DataFrame:
    """Write four cells; the mask of the second is of another size, and the third is a row less."""
    rows = []
    for n in range(4):
        mask = [CELL, OTHER_SIZES["double"], OTHER_SIZES["row less"], CELL][n]
        paths = folder / "cells" / f"{n}.png", folder / "labels" / f"{n}.png"
        for path, array in zip(paths, (IMAGE, mask.astype(np.uint8)), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
        rows.append(tuple(map(str, paths)))
    return pd.DataFrame(rows, columns=["image", "mask"])


def check(errors: pd.DataFrame) -> None:
    assert errors["stage"].tolist() == ["mask", "mask"]
    assert errors["message"].tolist() == [
        message(OTHER_SIZES["double"]),
        message(OTHER_SIZES["row less"]),
    ]


@pytest.mark.parametrize("families", [["shape"], "default"])
def test_a_batch_keeps_the_other_cells(tmp_path, families):
    listed = files(tmp_path)
    arrays = [segment.read_masks(mask) for mask in listed["mask"]]
    for masks in ("given", tmp_path / "labels", list(listed["mask"]), arrays):
        table = extract.table(listed, masks=masks, families=families, n_jobs=2)
        assert table["image"].tolist() == [listed["image"][0], listed["image"][3]]
        check(extract.errors(table))
    resampled = extract.table(
        listed, masks="given", families=families, um_per_px=0.1, to_um_per_px=0.2
    )
    check(extract.errors(resampled))
    with pytest.warns(UserWarning, match="the mask is 240 x 240 and the image 120 x 120"):
        values = CellFeatures(families, masks="given").fit(listed).transform(listed)
    assert np.isnan(values).all(axis=1).tolist() == [False, True, True, False]


def test_processes_keep_the_other_cells(tmp_path):
    result = extract.stream(
        files(tmp_path),
        tmp_path / "out",
        masks="given",
        families=["shape"],
        processes=True,
        n_jobs=2,
        shard_size=2,
    )
    table = result.load()
    assert len(table) == 2
    check(extract.errors(table))


def test_the_command_line_keeps_the_other_cells(tmp_path, capsys):
    from hemafeat.cli import main

    files(tmp_path)
    words = ["extract", str(tmp_path / "cells"), "--masks", str(tmp_path / "labels")]
    assert main([*words, "--out", str(tmp_path / "out"), "--families", "shape"]) == 0
    assert "4 images, 2 cells, 64 features, 2 errors" in capsys.readouterr().out
    check(extract.errors(extract.load(tmp_path / "out")))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_an_image_turned_by_its_metadata(tmp_path, orientation, suffix):
    path = tmp_path / f"a{suffix}"
    stored = Image.fromarray(IMAGE[8:])
    exif = stored.getexif()
    exif[0x0112] = orientation
    stored.save(
        path, exif=exif, **({"tiffinfo": {0x0112: orientation}} if suffix == ".tif" else {})
    )
    assert images.orientation(path) == orientation
    table = extract.table([path], masks=[CELL[8:]], families=["shape"])
    errors = extract.errors(table)
    if orientation < 5:
        assert len(table) == 1
        return
    assert errors["stage"].tolist() == ["mask"]
    assert "the mask is 112 x 120 and the image 120 x 112 (height x width)" in errors["message"][0]
    assert f"(EXIF orientation {orientation}) turn it" in errors["message"][0]
    turned = np.rot90(CELL[8:], -1 if orientation == 6 else 1)
    assert extract.errors(extract.table([path], masks=[turned], families=["shape"])).empty


def test_a_normaliser_that_changes_the_size(tmp_path):
    table = extract.table(
        [IMAGE], masks=[CELL], families=["shape"], normalise=lambda image: image[:-1]
    )
    assert extract.errors(table)["stage"].tolist() == ["normalise"]


def test_the_kind_of_masks_can_be_stated(tmp_path):
    values = np.where(NUCLEUS > 0, 2, CELL).astype(np.uint8)
    listed = pd.DataFrame({"image": [str(tmp_path / "a.png")], "mask": [str(tmp_path / "m.png")]})
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    Image.fromarray(values).save(tmp_path / "m.png")
    options = {"masks": "given", "families": ["shape"]}
    with pytest.warns(segment.MaskWarning, match=r"1 mask may mean .*m?a\.png: 1 and 2 were taken"):
        table = extract.table(listed, **options)
    assert extract.errors(table)["error"].tolist() == ["MaskWarning"]
    with pytest.warns(segment.MaskWarning, match="1 and 2 were taken"):
        extract.stream(listed, tmp_path / "out", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stated = extract.table(listed, mask_kind="trimap", **options)
        labels = extract.table(listed, mask_kind="labels", **options)
        step = CellFeatures(["shape"], masks="given", mask_kind="trimap").fit(listed)
        row = step.transform(listed)
        result = extract.stream(listed, tmp_path / "stated", mask_kind="trimap", **options)
    assert extract.errors(stated).empty
    features = extract.columns(["shape"])
    for other in (table, result.load()):
        pd.testing.assert_frame_equal(other[features], stated[features], check_exact=True)
    np.testing.assert_array_equal(row, stated[features])
    assert stated["cell__shape__area"].tolist() == [float((CELL > 0).sum())]
    assert len(labels) == 2
    with pytest.raises(FileExistsError, match="mask_kind was trimap, is auto"):
        extract.stream(listed, tmp_path / "stated", **options)
    with pytest.raises(ValueError, match="mask_kind is 'trimaps', not one of auto, trimap"):
        extract.table(listed, mask_kind="trimaps", **options)


@pytest.mark.parametrize("target", [None, "cells.csv", "folder"])
def test_masks_without_a_nucleus_are_reported(tmp_path, target):
    cells = [datasets.draw_cell(kind, random_state=0) for kind in ("monocyte", "lymphocyte")]
    images = [cell.image for cell in cells]
    options = {"families": ["shape"], "n_jobs": 1, "out": target and tmp_path / target}
    with pytest.warns(segment.MaskWarning, match="the masks hold no nuclei") as warned:
        table = extract.table(images, masks=[cell.cell for cell in cells], **options)
    assert len(warned) == 1
    assert warned[0].filename == __file__
    assert table.filter(like="nucleus__").isna().all(axis=None)
    # One nucleus shows that the masks are not of cells alone; found cells are nobody's masks.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pairs = [(cells[0].cell, cells[0].nucleus), cells[1].cell]
        extract.table(images, masks=pairs, families=["shape"], n_jobs=1)
        extract.table([images[0][:20, :20], *images], families=["shape"], n_jobs=1)


@pytest.mark.slow_without_jit
def test_hostile_masks():
    """Some of each kind; ``benchmarks/attack.py`` runs many more."""
    counts = run(6, random_state=0, segmenters=False)
    assert not counts["failures"]
    assert counts["masks"] >= 13
    assert counts["refusals"] > 100
