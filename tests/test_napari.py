"""The plug-in of napari: what it opens, and the way of a mask that is corrected there."""

from __future__ import annotations

import os
import time

import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets, extract, images, segment
from hemafeat._napari.collection import KEY, Collection
from hemafeat.cli import main
from support.slides import TILE, draw_slide, write_slide

KINDS = ["neutrophil", "lymphocyte", "monocyte"]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A working folder with two fields, and what `hemafeat segment` and `extract` made of them."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "fields").mkdir()
    for seed in (0, 1):
        field = datasets.draw_field(KINDS, shape=(360, 480), touching=0, random_state=seed)
        name = folder / "fields" / f"f{seed}.png"
        name.write_bytes(_png(field.image))
    before = os.getcwd()
    os.chdir(folder)
    try:
        assert not main(["segment", "fields", "--out", "masks"])
        of_masks = ["extract", "fields", "--masks", "masks", "--families", "shape"]
        assert not main([*of_masks, "--out", "cells.csv"])
    finally:
        os.chdir(before)
    return folder


def _png(image):
    import cv2

    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def labels_of(folder, name):
    return [images.read_labels(folder / part / f"{name}.png") for part in ("cell", "nucleus")]


def by_part(layers):
    return {meta["metadata"][KEY][2]: (data, meta) for data, meta, _ in layers}


# Without napari: what it is given


def test_the_folder_of_masks_knows_its_images_from_any_working_folder(work, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    collection = Collection(work / "masks")
    assert collection.images == [str(work / "fields" / f"f{n}.png") for n in (0, 1)]
    layers = by_part(collection.layers(1))
    cell, nucleus = labels_of(work / "masks", "f1")
    assert (layers["image"][0] == images.read(work / "fields" / "f1.png")).all()
    assert (layers["cells"][0] == cell).all()
    assert (layers["nuclei"][0] == nucleus).all()
    features = layers["cells"][1]["features"]
    assert features["index"].tolist() == np.unique(cell[cell > 0]).tolist()
    area = [int((cell == number).sum()) for number in features["index"]]
    assert features["cell_area_px"].tolist() == area


def test_a_table_is_shown_as_boxes_or_on_the_masks_it_was_measured_in(work, tmp_path):
    table = pd.read_csv(work / "cells.csv")
    of_first = table[table["image"] == table["image"].iloc[0]]
    boxes, meta = by_part(Collection(work / "cells.csv").layers(0))["boxes"]
    assert len(boxes) == len(of_first)
    assert meta["features"]["cell__shape__area"].tolist() == of_first["cell__shape__area"].tolist()
    left, top = boxes[0].min(axis=0)[::-1] + 0.5
    assert (left, top) == tuple(of_first[["where__left", "where__top"]].iloc[0])

    on_masks = by_part(Collection(work / "cells.csv", work / "masks").layers(0))["cells"][1]
    assert (
        on_masks["features"]["cell__shape__area"].tolist()
        == meta["features"]["cell__shape__area"].tolist()
    )

    # Of masks that were changed since, the values would be wrong.
    cell, nucleus = labels_of(work / "masks", "f0")
    number = cell.max()
    segment.write_masks(
        segment.Masks(np.where(cell == number, 0, cell), np.where(nucleus == number, 0, nucleus)),
        tmp_path,
        "f0.png",
    )
    changed = by_part(Collection(work / "cells.csv", tmp_path).layers(0))["cells"][1]
    assert "cell__shape__area" not in changed["features"]
    assert len(changed["features"]) == number - 1


def test_tiles_of_a_large_image_are_shown_with_their_cells(tmp_path, monkeypatch):
    drawn = draw_slide()
    write_slide(tmp_path / "slide.ome.tif", drawn.image)
    write_slide(tmp_path / "glass.ome.tif", np.full((700, 900, 3), 236, np.uint8))
    monkeypatch.chdir(tmp_path)
    tiles = [datasets.tiles(name, **TILE) for name in ("slide.ome.tif", "glass.ome.tif")]
    pd.concat(tiles)[["image"]].to_csv("tiles.csv", index=False)
    assert not main(["segment", "tiles.csv", "--out", "masks"])
    monkeypatch.chdir(tmp_path.parent)
    table = pd.read_csv(tmp_path / "masks" / "quality.csv")
    alone = Collection(tmp_path / "masks" / "quality.csv")
    masked = Collection(tmp_path / "masks")
    n_tiles = table["image"].nunique()
    # The last is the glass, of which the table of counts has one row.
    assert (len(alone.images), len(masked.images)) == (n_tiles, n_tiles + 1)
    for row, (_, cells) in enumerate(table.groupby("image", sort=False)):
        shown = by_part(alone.layers(row))
        tile = images.tile_of(alone.images[row])
        corners = np.array([box.min(axis=0)[::-1] + 0.5 for box in shown["boxes"][0]])
        on_slide = corners + np.array([tile.left, tile.top])
        assert np.array_equal(on_slide, cells[["where__left", "where__top"]])
        assert len(by_part(masked.layers(row))["boxes"][0]) == len(cells)
    assert set(by_part(masked.layers(n_tiles))) == {"image"}


def test_a_folder_of_trimaps_is_opened_and_never_written_over(work, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not main(["segment", str(work / "fields"), "--out", "masks", "--trimap"])
    collection = Collection("masks")
    assert len(collection.images) == 2
    layers = by_part(collection.layers(0))
    # Their cells are numbered in another order.
    assert ((layers["cells"][0] > 0) == (labels_of(work / "masks", "f0")[0] > 0)).all()
    assert collection.place(0, None) == ("", "f0.png")
    assert collection.place(0, "corrected") == ("corrected", "f0.png")
    with pytest.raises(ValueError, match="masks holds masks of another form"):
        collection.place(0, "masks")


def test_predictions_are_written_beside_their_boxes(work, tmp_path):
    table = pd.read_csv(work / "masks" / "quality.csv").assign(predicted="monocyte")
    table["image"] = [str(work / name) for name in table["image"]]
    table.to_csv(tmp_path / "predictions.csv", index=False)
    meta = by_part(Collection(tmp_path / "predictions.csv").layers(0))["boxes"][1]
    assert meta["text"]["string"] == "{cell} {predicted}"
    assert set(meta["features"]["predicted"]) == {"monocyte"}


def test_masks_go_back_to_the_pair_of_files_they_came_from(work, tmp_path):
    collection = Collection(work / "masks")
    assert collection.place(0, None) == (str(work / "masks"), "f0.png")
    assert collection.place(0, work / "masks") == (str(work / "masks"), "f0.png")
    assert collection.place(0, tmp_path) == (str(tmp_path), "f0.png")
    without = Collection(work / "fields")
    assert without.place(1, None) == ("", "f1.png")
    # A folder of images in which `hemafeat segment` was run on one of its parts.
    part = Collection(work, work / "masks")
    row = part.images.index(str(work / "fields" / "f1.png"))
    assert part.place(row, work / "masks") == (str(work / "masks"), "f1.png")


# With napari, without a screen


@pytest.fixture
def app(tmp_path, monkeypatch):
    pytest.importorskip("napari")
    from qtpy.QtWidgets import QApplication

    if not {"DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"} & set(os.environ):
        monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.setenv("NAPARI_CONFIG", str(tmp_path / "settings.yaml"))
    return QApplication.instance() or QApplication([])


@pytest.fixture
def said(app):
    """What napari was asked to tell, as pairs of severity and text."""
    from napari.utils.notifications import notification_manager

    told = []

    def keep(note):
        told.append((str(note.severity), note.message))

    notification_manager.notification_ready.connect(keep)
    yield told
    notification_manager.notification_ready.disconnect(keep)


@pytest.fixture
def viewer(app):
    """All of a viewer of napari but its window, which needs OpenGL."""
    from napari.components import ViewerModel
    from npe2 import PluginManager

    PluginManager.instance().discover()
    return ViewerModel()


@pytest.fixture
def panel(viewer):
    from hemafeat._napari.panel import Panel

    return Panel(viewer).widget


def press(app, panel, name):
    panel[name].changed.emit(True)
    end = time.monotonic() + 300
    while not panel[name].enabled and time.monotonic() < end:
        app.processEvents()
        time.sleep(0.005)
    assert panel[name].enabled
    app.processEvents()


def test_the_manifest_is_valid_and_its_commands_exist(app):
    npe2 = pytest.importorskip("npe2")
    manifest = npe2.PluginManifest.from_distribution("hemafeat")
    manifest.validate_imports()
    assert {one.command for one in manifest.contributions.readers} == {"hemafeat.reader"}


def test_napari_opens_a_folder_and_a_drawn_field(viewer, work):
    with pytest.warns(UserWarning, match="2 images, of which the first"):
        opened = viewer.open(str(work / "masks"), plugin="hemafeat")
    assert [layer.name for layer in opened] == ["f0", "f0 cells", "f0 nuclei"]
    cells = opened[1]
    number = int(cells.data.max())
    y, x = np.argwhere(cells.data == number)[0]
    assert "cell_area_px" in cells.get_status((y, x))["value"]
    (drawn,) = viewer.open_sample("hemafeat", "drawn_field")
    assert drawn.rgb
    assert drawn.data.shape[2] == 3


def test_a_corrected_mask_is_written_back_and_measured_by_the_command_line(
    app, said, viewer, panel, work, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    field = images.read(work / "fields" / "f0.png")
    (tmp_path / "fields").mkdir()
    for name in ("f0", "f1"):
        (tmp_path / "fields" / f"{name}.png").write_bytes(
            (work / "fields" / f"{name}.png").read_bytes()
        )
    assert not main(["segment", "fields", "--out", "masks"])
    before = labels_of(tmp_path / "masks", "f0")[0]

    panel["images"].value = tmp_path / "masks"
    press(app, panel, "open")
    assert panel["shown"].value == 0
    cells, nuclei = panel["cells"].value, panel["nuclei"].value
    assert (cells.name, nuclei.name) == ("f0 cells", "f0 nuclei")

    # Erase a cell, and paint another one by hand, with a nucleus of any number that sticks out.
    gone = int(before.max())
    for layer in (cells, nuclei):
        layer.data_setitem(np.nonzero(layer.data == gone), 0)
    free = np.argwhere(before[20:-20, 20:-20] == 0)[0] + 20
    new = gone + 5
    cells.selected_label, cells.brush_size = new, 15
    cells.paint(free, new)
    nuclei.brush_size = 7
    nuclei.paint(free + np.array([0, 6]), 99)

    panel["shown"].value = 1
    assert panel["shown"].value == 0
    assert "f0 cells and f0 nuclei changed: save" in said[-1][1]
    assert cells in viewer.layers

    panel["features"].value = "fast"
    press(app, panel, "measure")
    press(app, panel, "save")
    assert said[-1][1].endswith(f"saved: {tmp_path / 'masks' / 'cell' / 'f0.png'}")

    cell, nucleus = labels_of(tmp_path / "masks", "f0")
    assert set(np.unique(cell)) == {*np.unique(before), new} - {gone}
    assert (cell == cells.data).all()
    inside = (nuclei.data == 99) & (cells.data == new)
    assert ((nucleus == new) == inside).all()
    assert 0 < inside.sum() < (nuclei.data == 99).sum()

    fast = ["--families", "fast", "--quiet"]
    assert not main(["extract", "fields", "--masks", "masks", *fast, "--out", "cells.parquet"])
    table = extract.load("cells.parquet")
    of_f0 = table[table["image"].str.endswith("f0.png")]
    assert cells.features["index"].tolist() == of_f0["where__mask_label"].tolist()
    for name in extract.feature_columns(table):
        if name in cells.features:
            assert np.array_equal(
                cells.features[name].to_numpy(float), of_f0[name].to_numpy(float), equal_nan=True
            ), name
        else:
            assert of_f0[name].isna().all(), name
    assert new in cells.features["index"].tolist()
    assert field.shape[:2] == cell.shape

    # Saved, the next image may be shown.
    panel["shown"].value = 1
    assert [layer.name for layer in viewer.layers] == ["f1", "f1 cells", "f1 nuclei"]
    assert panel["cells"].value.name == "f1 cells"
    panel["shown"].value = 0
    assert (panel["cells"].value.data == cell).all()
    assert (panel["nuclei"].value.data == nucleus).all()


def test_cells_are_found_in_any_image_of_the_viewer(app, said, viewer, panel, tmp_path):
    field = datasets.draw_field(KINDS, shape=(360, 480), touching=0, random_state=0)
    press(app, panel, "find")
    assert said[-1][1] == "choose the layer of an image"
    viewer.add_image(field.image, rgb=True, name="mine")
    press(app, panel, "measure")
    assert "find cells first" in said[-1][1]
    press(app, panel, "find")
    masks = segment.contours(field.image)
    assert (panel["cells"].value.data == masks.cell).all()
    assert (panel["nuclei"].value.data == masks.nucleus).all()
    panel["um_per_px"].value = 0.1
    press(app, panel, "measure")
    features = panel["cells"].value.features
    area = [(masks.cell == number).sum() for number in features["index"]]
    assert features["cell__shape__area"].tolist() == pytest.approx(np.multiply(area, 0.01))
    press(app, panel, "save")
    assert said[-1][1] == "choose a folder of masks to save to"
    panel["masks"].value = tmp_path / "new"
    press(app, panel, "save")
    assert (labels_of(tmp_path / "new", "mine")[0] == masks.cell).all()


def test_images_without_cells_are_among_those_to_correct(app, said, panel, tmp_path):
    (tmp_path / "fields").mkdir()
    field = datasets.draw_field(KINDS, shape=(360, 480), touching=0, random_state=0).image
    for name, image in (("a", np.full_like(field, 230)), ("b", field)):
        (tmp_path / "fields" / f"{name}.png").write_bytes(_png(image))
    assert not main(["segment", str(tmp_path / "fields"), "--out", str(tmp_path / "masks")])
    panel["images"].value = tmp_path / "masks"
    press(app, panel, "open")
    panel["shown"].value = 1
    assert panel["cells"].value.name == "a cells"
    press(app, panel, "measure")
    assert said[-1] == ("error", "no cell was found in the image")


def test_one_number_in_two_places_and_layers_of_other_images_are_told(app, said, viewer, panel):
    field = datasets.draw_field(KINDS, shape=(360, 480), touching=0, random_state=0)
    viewer.add_image(field.image, rgb=True, name="mine")
    labels = np.zeros((360, 480), np.int32)
    labels[10:40, 10:40] = labels[100:130, 100:130] = 3
    labels[40:60, 40:60] = 8
    panel["cells"].value = viewer.add_labels(labels, name="painted")
    panel["masks"].value = os.devnull
    press(app, panel, "save")
    assert any("in pieces: 3;" in text for _, text in said)
    assert said[-1][0] == "error"
    panel["cells"].value = viewer.add_labels(labels[:-1], name="smaller")
    press(app, panel, "measure")
    assert "359 x 480" in said[-1][1]


def test_labels_of_one_image_are_not_saved_as_those_of_another(
    app, said, viewer, panel, work, tmp_path
):
    for _ in range(2):
        with pytest.warns(UserWarning, match="2 images"):
            viewer.open(str(work / "masks"), plugin="hemafeat")
    # Two readings are two collections; layers of the first stay until they are removed.
    assert panel["cells"].value is viewer.layers[-2]
    panel["cells"].value = viewer.layers[1]
    panel["masks"].value = tmp_path
    press(app, panel, "save")
    assert "belongs to another image" in said[-1][1]
    assert not any(tmp_path.glob("**/*.png"))


def test_a_folder_without_images_is_told(app, said, panel, tmp_path):
    (tmp_path / "empty").mkdir()
    panel["images"].value = tmp_path / "empty"
    press(app, panel, "open")
    assert said[-1][0] == "error"
    assert "holds no images" in said[-1][1]


def has_opengl():
    from qtpy.QtGui import QOpenGLContext

    return QOpenGLContext().create()


def test_the_panel_docks_in_the_window(app, work):
    if not has_opengl():
        pytest.skip("the window of napari needs OpenGL, which this screen does not have")
    import napari

    viewer = napari.Viewer(show=False)
    try:
        _, panel = viewer.window.add_plugin_dock_widget("hemafeat", "Correct and measure cells")
        panel["images"].value = work / "masks"
        press(app, panel, "open")
        assert panel["cells"].value.name == "f0 cells"
    finally:
        viewer.close()
