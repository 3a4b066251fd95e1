"""Drawn cells: exact masks, the same cell for the same seed, and types that can be told apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets, images
from hemafeat.datasets import KINDS, DrawnCell, Light, Stain
from hemafeat.datasets._drawn import any_field

SIZE = 144
N_EACH = 16


@pytest.fixture(scope="module")
def cells() -> dict[str, list[DrawnCell]]:
    """Draw `N_EACH` cells of every kind; the i-th of each kind has the stain of patient i."""
    stains = [Stain.draw(np.random.default_rng([7, i])) for i in range(N_EACH)]
    return {
        kind: [
            datasets.draw_cell(kind, size=SIZE, stain=stain, random_state=100 * index + i)
            for i, stain in enumerate(stains)
        ]
        for index, kind in enumerate(KINDS)
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    out = tmp_path_factory.mktemp("drawn") / "cells"
    return out, datasets.drawn(out, 45, size=96, n_patients=5, random_state=3, n_jobs=2)


def _mean(cells: list[DrawnCell], value: Callable[[DrawnCell], float]) -> float:
    return float(np.mean([value(cell) for cell in cells]))


def _density(cell: DrawnCell, mask: np.ndarray) -> np.ndarray:
    """Return the mean optical density, (3,), relative to the white of the stain."""
    white = np.asarray(cell.stain.white)
    return np.log10((white + 1) / (cell.image[mask].astype(float) + 1)).mean(0)


def _cytoplasm(cell: DrawnCell) -> np.ndarray:
    return _density(cell, (cell.cell > 0) & (cell.nucleus == 0))


def _area(cell: DrawnCell) -> float:
    return float((cell.cell > 0).sum()) * cell.um_per_px**2


def _ratio(cell: DrawnCell) -> float:
    return float((cell.nucleus > 0).sum() / (cell.cell > 0).sum())


def _solidity(mask: np.ndarray) -> float:
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(np.concatenate(outlines))
    return float(mask.sum() / cv2.contourArea(hull))


@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_consistent(cells: dict[str, list[DrawnCell]], kind: str) -> None:
    for cell in cells[kind]:
        assert cell.image.shape == (SIZE, SIZE, 3)
        assert cell.image.dtype == np.uint8
        assert cell.cell.dtype == cell.nucleus.dtype == np.int32
        assert set(np.unique(cell.cell)) == {0, 1}
        assert (cell.cell[cell.nucleus > 0] == 1).all()
        assert cv2.connectedComponents((cell.cell > 0).astype(np.uint8))[0] == 2
        edge = [cell.cell[0], cell.cell[-1], cell.cell[:, 0], cell.cell[:, -1]]
        assert not np.concatenate(edge).any()
        if kind == "platelet":
            assert not cell.nucleus.any()
            assert cell.n_lobes == 0
        else:
            assert 0.1 < _ratio(cell) < 0.99
            assert 1 <= cell.n_lobes <= 5


def test_masks_lie_where_the_stain_is() -> None:
    """Without blur and neighbours, the pixels that differ from the background are the mask."""
    light = Light(blur_um=0.0, noise=0.0, glare=0.0)
    for kind in ("neutrophil", "lymphocyte", "eosinophil", "erythroblast"):
        for seed in range(3):
            cell = datasets.draw_cell(
                kind, stain=Stain.preset("white"), light=light, neighbours=0, random_state=seed
            )
            # Plasma is paler, and precipitate is a separate region.
            differs = (cell.image.astype(int).sum(2) < 729 - 60).astype(np.uint8)
            _, blobs = cv2.connectedComponents(differs)
            own = blobs[np.nonzero(cell.nucleus)][0]
            visible, true = blobs == own, cell.cell > 0
            assert 2 * (visible & true).sum() / (visible.sum() + true.sum()) > 0.96, (kind, seed)


def test_densities_add_and_absorb_by_beer_lambert() -> None:
    from hemafeat.datasets._drawn.stain import render

    rng = np.random.default_rng(0)
    planes = rng.uniform(0, 0.6, (4, 20, 30)).astype(np.float32)
    stain = Stain.draw(rng)
    light = Light(blur_um=0.0, noise=0.0, glare=0.0)
    image = render(planes, stain, light, 0.1, rng)
    density = np.einsum("khw,kc->hwc", planes.astype(float), stain.vectors.astype(float))
    assert np.abs(image - np.asarray(stain.white) * 10.0**-density).max() <= 0.51


def test_same_seed_same_bytes() -> None:
    for kind in KINDS:
        first = datasets.draw_cell(kind, size=96, random_state=5)
        again = datasets.draw_cell(kind, size=96, random_state=5)
        second = datasets.draw_cell(kind, size=96, random_state=6)
        assert (first.image == again.image).all()
        assert (first.nucleus == again.nucleus).all()
        assert not (first.image == second.image).all()


def test_truths_of_the_types(cells: dict[str, list[DrawnCell]]) -> None:
    """The features by which haematologists distinguish types can be measured."""
    ratio = {kind: _mean(cells[kind], _ratio) for kind in KINDS if kind != "platelet"}
    assert ratio["lymphocyte"] > ratio["neutrophil"] + 0.25
    assert ratio["lymphoblast"] > ratio["immature_granulocyte"] + 0.15

    area = {kind: _mean(cells[kind], _area) for kind in KINDS}
    assert max(area, key=lambda kind: area[kind]) == "monocyte"
    assert min(area, key=lambda kind: area[kind]) == "platelet"
    assert area["lymphoblast"] > 1.3 * area["lymphocyte"]

    lobes = {kind: _mean(cells[kind], lambda cell: cell.n_lobes) for kind in KINDS}
    assert lobes["neutrophil"] > lobes["eosinophil"] > lobes["monocyte"] == 1

    # Eosin absorbs green and blue light, RNA absorbs red light.
    def red_to_green(cell: DrawnCell) -> float:
        r, g, _ = _cytoplasm(cell)
        return float(r / g)

    hue = {kind: _mean(cells[kind], red_to_green) for kind in KINDS}
    assert min(hue, key=lambda kind: hue[kind]) in ("eosinophil", "neutrophil")
    assert hue["eosinophil"] < hue["lymphocyte"] - 0.15
    assert hue["lymphoblast"] > hue["immature_granulocyte"]
    dark = {kind: _mean(cells[kind], lambda cell: float(_cytoplasm(cell)[1])) for kind in KINDS}
    assert dark["basophil"] > dark["eosinophil"] > dark["neutrophil"]

    solid = {
        kind: _mean(cells[kind], lambda cell: _solidity(cell.nucleus > 0))
        for kind in ("neutrophil", "monocyte", "lymphocyte")
    }
    assert solid["lymphocyte"] > solid["monocyte"] > solid["neutrophil"]

    def nucleus_green(cell: DrawnCell) -> float:
        return float(_density(cell, cell.nucleus > 0)[1])

    assert _mean(cells["erythroblast"], nucleus_green) > _mean(cells["monocyte"], nucleus_green)
    assert sum(cell.n_vacuoles > 0 for cell in cells["monocyte"]) >= 3
    assert sum(cell.n_nucleoli > 0 for cell in cells["lymphoblast"]) >= 6
    assert min(cell.n_granules for cell in cells["eosinophil"]) > 80


def test_red_cells_touch_some_white_cells_and_not_others(
    cells: dict[str, list[DrawnCell]],
) -> None:
    touched = [cell.n_touching > 0 for kind in KINDS for cell in cells[kind]]
    assert 0.3 < np.mean(touched) < 0.9
    assert all(cell.n_red >= cell.n_touching for kind in KINDS for cell in cells[kind])
    isolated = datasets.draw_cell("monocyte", size=96, neighbours=0, random_state=1)
    assert isolated.n_red == isolated.n_touching == 0


def test_stain_says_nothing_about_the_kind(tmp_path: Path) -> None:
    """Across patients, the background predicts the kind no better than chance."""
    table = datasets.drawn(tmp_path / "d", 216, size=48, n_patients=20, random_state=1)
    ground = []
    for image, mask in zip(table["image"], table["mask"], strict=True):
        outside = images.read_labels(mask) == 0
        ground.append(np.percentile(images.read(image)[outside], [50, 95], axis=0).ravel())
    points = np.array(ground)
    label, patient = (table[name].to_numpy(dtype=object) for name in ("label", "patient"))
    away = np.linalg.norm(points[:, None] - points, axis=2)
    away[patient[:, None] == patient] = np.inf
    assert np.mean(label[away.argmin(1)] == label) < 0.2  # chance is 1 / 9


def test_patients_have_stains_of_their_own() -> None:
    stains = [Stain.draw(np.random.default_rng(i)) for i in range(40)]
    assert len({stain.white for stain in stains}) == 40
    assert {stain.background for stain in stains} == {"cream", "white", "pink", "yellow"}


def test_black_is_zero_outside(tmp_path: Path) -> None:
    table = datasets.drawn(tmp_path / "d", 9, size=96, background="black", format="png")
    for image, mask in zip(table["image"], table["mask"], strict=True):
        pixels, trimap = images.read(image), images.read_labels(mask)
        assert not pixels[trimap == 0].any()
        assert pixels[trimap > 0].max(-1).min() > 0


def test_field_of_touching_cells() -> None:
    kinds = ["neutrophil", "lymphocyte", "platelet", "monocyte", "eosinophil"]
    field = datasets.draw_field(kinds, touching=1.0, random_state=2)
    assert field.image.shape == (480, 640, 3)
    assert field.kinds == tuple(kinds)
    assert set(np.unique(field.cell)) == {0, 1, 2, 3, 4, 5}
    assert set(np.unique(field.nucleus)) == {0, 1, 2, 4, 5}
    inside = field.nucleus > 0
    assert (field.nucleus[inside] == field.cell[inside]).all()
    together = cv2.connectedComponents((field.cell > 0).astype(np.uint8))[0] - 1
    assert together < len(kinds)
    apart = datasets.draw_field(kinds, touching=0.0, random_state=2)
    assert cv2.connectedComponents((apart.cell > 0).astype(np.uint8))[0] - 1 == len(kinds)
    empty = datasets.draw_field([], shape=(80, 120), random_state=0)
    assert not empty.cell.any()
    assert empty.n_red > 0


def test_labels_of_red_cells_and_platelets_lie_where_they_are_drawn() -> None:
    field = datasets.draw_field(["lymphocyte"], neighbours=0.4, random_state=2)
    layers = np.stack([field.cell > 0, field.red > 0, field.platelet > 0])
    assert layers.sum(axis=0).max() == 1
    assert 0.9 * field.n_red < len(np.unique(field.red)) - 1 <= field.n_red
    grey = field.image.mean(axis=2)
    empty = grey[~layers.any(axis=0)]
    for layer in layers:
        assert np.median(grey[layer]) < np.percentile(empty, 10)


@pytest.mark.parametrize("um_per_px", [0.12, 0.5])
def test_any_field_has_true_masks_at_every_scale(um_per_px: float) -> None:
    shape = (round(60 / um_per_px), round(80 / um_per_px))
    radii = []
    for seed in range(6):
        field = datasets.draw_any_field(
            ["lymphoblast"] * 3,
            shape=shape,
            um_per_px=um_per_px,
            spoiled=False,
            random_state=seed,
        )
        assert field.image.shape == (*shape, 3)
        assert set(np.unique(field.cell)) == {0, 1, 2, 3}
        assert not (field.nucleus[field.cell == 0] > 0).any()
        areas = np.bincount(field.cell.ravel())[1:]
        radii += (um_per_px * np.sqrt(areas / np.pi)).tolist()
    assert 5.3 < np.median(radii) < 7.3


def test_a_clump_is_one_region_of_all_its_cells() -> None:
    field = datasets.draw_any_field(
        ["lymphoblast"] * 12, um_per_px=0.25, clump=True, spoiled=False, random_state=3
    )
    assert set(np.unique(field.cell)) == set(range(13))
    assert cv2.connectedComponents((field.cell > 0).astype(np.uint8))[0] == 2
    areas = np.bincount(field.cell.ravel())[1:]
    assert areas.min() > 0.5 * np.median(areas)


def test_any_field_depends_on_its_seed_and_varies_with_it() -> None:
    one, two, other = (datasets.draw_any_field(random_state=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one.image, two.image)
    assert not np.array_equal(one.image, other.image)
    whites = np.array([Stain.draw_wide(np.random.default_rng(i)).white for i in range(60)])
    reds = np.array([Stain.draw_wide(np.random.default_rng(i)).haemoglobin for i in range(60)])
    assert whites.max(axis=1).min() < 140 < 240 < whites.max(axis=1).max()
    hue = reds[:, 0] / reds[:, 1]
    assert hue.min() < 0.2 < 0.8 < hue.max()


def test_what_is_hidden_by_a_surround_is_dark() -> None:
    kinds = set()
    for seed in range(10):
        image = np.full((120, 160, 3), 220, np.uint8)
        hidden = np.zeros((120, 160), np.uint8)
        any_field._add_surround(np.random.default_rng(seed), image, hidden)
        assert (image[hidden > 0].max(axis=-1) < 140).all()
        assert (image[hidden == 0].min(axis=-1) > 90).all()
        kinds.add(bool(hidden.any()))
    assert True in kinds


def test_any_field_refuses_what_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="unknown kind"):
        datasets.draw_any_field(["red"])
    with pytest.raises(ValueError, match="positive scale"):
        datasets.draw_any_field(um_per_px=0.0)
    with pytest.raises(ValueError, match="does not fit"):
        datasets.draw_any_field(["monocyte"], shape=(60, 60), clump=True)
    with pytest.raises(ValueError, match="no room for cell"):
        datasets.draw_any_field(["monocyte"] * 9, shape=(200, 200), clump=True, random_state=0)


def test_table_and_folder(folder: tuple[Path, pd.DataFrame]) -> None:
    out, table = folder
    assert list(table.columns[:9]) == list(datasets.COLUMNS)
    assert table["label"].value_counts().to_dict() == dict.fromkeys(KINDS, 5)
    assert (table["label"] == table["label_raw"]).all()
    assert (table["patient"] == table["group"]).all()
    assert set(table["patient"]) == {f"P0{i}" for i in range(1, 6)}
    assert (pd.crosstab(table["patient"], table["label"]) > 0).sum(axis=1).min() > 1
    assert table["split"].isna().all()
    assert set(table["dataset"]) == {"drawn"}
    assert table["um_per_px"].to_numpy() == pytest.approx(36 / 96)
    for row in table.itertuples():
        assert Path(row.image).parent == out / "images" / row.label
        trimap = images.read_labels(row.mask)
        assert images.read(row.image).shape == (96, 96, 3)
        assert set(np.unique(trimap)) <= {0, 128, 255}
        assert (trimap == 255).any() == (row.label != "platelet")
    assert {path.name for path in out.iterdir()} == {
        "images",
        "masks",
        "manifest.csv",
        "drawn.json",
    }
    assert [path.name for path in out.parent.iterdir()] == ["cells"]  # nothing left aside
    pd.testing.assert_frame_equal(datasets.as_table(out), table)


def _bytes(table: pd.DataFrame) -> dict[str, bytes]:
    paths = [Path(path) for column in ("image", "mask") for path in table[column]]
    return {f"{path.parent.parent.name}/{path.name}": path.read_bytes() for path in paths}


def test_image_depends_on_seed_and_number_only(
    folder: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    whole = _bytes(folder[1])
    few = datasets.drawn(tmp_path / "few", 14, size=96, n_patients=5, random_state=3, n_jobs=1)
    fewer = _bytes(few)
    assert len(fewer) == 28
    assert all(whole[name] == data for name, data in fewer.items())
    second = datasets.drawn(tmp_path / "other", 14, size=96, n_patients=5, random_state=4)
    assert all(whole.get(name) != data for name, data in _bytes(second).items() if "images" in name)


def test_asked_again_it_is_read(tmp_path: Path) -> None:
    out = tmp_path / "d"
    out.mkdir()
    first = datasets.drawn(out, 3, size=48, format="jpg")
    assert all(name.endswith(".jpg") for name in first["image"])
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    again = datasets.drawn(out, 3, size=48, format="jpg")
    pd.testing.assert_frame_equal(first, again)
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*")}


def test_refuses_an_occupied_folder(tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "notes.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(FileExistsError, match="mine is not empty and does not hold drawn"):
        datasets.drawn(out, 3, size=48)
    assert [path.name for path in out.iterdir()] == ["notes.txt"]

    datasets.drawn(tmp_path / "d", 3, size=48)
    with pytest.raises(FileExistsError, match="n_images is 3, not 4"):
        datasets.drawn(tmp_path / "d", 4, size=48)
    (tmp_path / "d" / "drawn.json").write_text(json.dumps([1]), encoding="utf-8")
    with pytest.raises(FileExistsError, match="other drawn cells"):
        datasets.drawn(tmp_path / "d", 3, size=48)
    with pytest.raises(FileExistsError, match="is a file"):
        datasets.drawn(out / "notes.txt", 3, size=48)


def test_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hemafeat.datasets._drawn import dataset as _drawn

    def broken(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(_drawn, "draw_with", broken)
    with pytest.raises(OSError, match="disk full"):
        datasets.drawn(tmp_path / "d", 30, size=48)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"kinds": ["neutrophil", "thrombocyte"]}, "unknown kind thrombocyte"),
        ({"kinds": []}, "kinds is empty"),
        ({"kinds": ["platelet", "platelet"]}, "repeated values"),
        ({"n_images": 0}, "n_images is 0"),
        ({"size": 20}, "size is 20"),
        ({"background": "blue"}, "unknown background 'blue'"),
        ({"format": "tif"}, "format is 'tif'"),
    ],
)
def test_bad_arguments(tmp_path: Path, wrong: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        datasets.drawn(tmp_path / "d", **wrong)
    assert not (tmp_path / "d").exists()


def test_bad_cells_and_fields() -> None:
    with pytest.raises(ValueError, match="unknown kind blast"):
        datasets.draw_cell("blast")
    with pytest.raises(ValueError, match="at least 48"):
        datasets.draw_cell("platelet", size=10)
    with pytest.raises(ValueError, match="neighbours is 2"):
        datasets.draw_cell("platelet", neighbours=2)
    with pytest.raises(ValueError, match="does not fit"):
        datasets.draw_field(["monocyte"], shape=(60, 60))
    with pytest.raises(ValueError, match="no room for cell"):
        datasets.draw_field(["monocyte"] * 40)


def test_drawn_images_are_short_in_print_and_pictures_in_notebooks():
    cell = datasets.draw_cell("monocyte", size=80, random_state=0)
    assert repr(cell).startswith("DrawnCell(image=<array 80 x 80 x 3>, cell=<array 80 x 80>")
    assert "kind='monocyte'" in repr(cell)
    field = datasets.draw_field(["monocyte"], shape=(300, 400), random_state=0)
    assert len(repr(field)) < 1000
    for drawn in (cell, field):
        data = np.frombuffer(drawn._repr_png_(), np.uint8)
        np.testing.assert_array_equal(cv2.imdecode(data, 1)[..., ::-1], drawn.image)
