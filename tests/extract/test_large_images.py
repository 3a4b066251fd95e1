"""Every cell of a large image is measured once, with the values it has in the whole image."""

import numpy as np
import pandas as pd
import pytest
import tifffile

from hemafeat import datasets, extract, images, report
from hemafeat.cli import main
from support.slides import (
    SHAPE,
    TILE,
    UM_PER_PX,
    dark_cells,
    draw_slide,
    unsteady_cells,
    write_slide,
)

pytestmark = pytest.mark.slow_without_jit

FAMILIES = ["shape", "colour"]
MEASURED = {"families": FAMILIES, "cells": "all", "n_jobs": 1, "progress": False}


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    """A drawn field, and the path of the slide that shows it."""
    drawn = draw_slide()
    path = tmp_path_factory.mktemp("slides") / "slide.ome.tif"
    write_slide(path, drawn.image, levels=2)
    return drawn, path


@pytest.fixture(scope="module")
def measured(slide):
    """Table of the cells of the tiles."""
    return extract.table(datasets.tiles(slide[1], **TILE), segmenter=dark_cells, **MEASURED)


def _points(table):
    return table[["where__x", "where__y"]].to_numpy(float)


def _in_one_order(table):
    return table.sort_values(["where__top", "where__left"], ignore_index=True)


def test_the_cores_cover_the_image_once(slide):
    covered = np.zeros(SHAPE, int)
    for name in datasets.tiles(slide[1], **TILE)["image"]:
        tile = images.tile_of(name)
        covered[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] += 1
        assert images.read(name).shape[0] <= tile.height + 2 * TILE["margin"]
    assert (covered == 1).all()


def test_each_cell_has_the_values_of_the_whole_image(slide, measured):
    drawn, _ = slide
    whole = extract.table([drawn.image], segmenter=dark_cells, um_per_px=UM_PER_PX, **MEASURED)
    assert len(whole) >= 30
    assert measured["image"].nunique() > 6
    a, b = _in_one_order(measured), _in_one_order(whole)
    where = [name for name in a if name.startswith("where__") and name != "where__mask_label"]
    pd.testing.assert_frame_equal(a[where], b[where])
    shape = [name for name in extract.feature_columns(whole) if "__shape__" in name]
    np.testing.assert_array_equal(a[shape], b[shape])
    assert extract.units(measured) == extract.units(whole)
    np.testing.assert_array_equal(a["quality__touches_border"], b["quality__touches_border"])


def test_no_cell_twice_and_none_lost_where_outlines_differ(slide):
    drawn, path = slide
    steady = dark_cells(drawn.image).positions()
    truth = np.column_stack([steady["x"], steady["y"]])
    on_seams = 0
    for size in (130, 150, 175, 210, 240, 275, 330):
        cut = datasets.tiles(path, size=size, margin=110)
        table = extract.table(cut, segmenter=unsteady_cells, **(MEASURED | {"families": ["shape"]}))
        distance = np.hypot(*(_points(table)[:, None] - truth).transpose(2, 0, 1))
        found = np.bincount(distance.argmin(axis=1), minlength=len(truth))
        assert found.tolist() == [1] * len(truth)
        tiles = [images.tile_of(name) for name in cut["image"]]
        for axis, starts in enumerate(({t.x for t in tiles}, {t.y for t in tiles})):
            on_seams += int((np.abs(truth[:, axis, None] - sorted(starts)).min(axis=1) < 4).sum())
    # Otherwise the test would show nothing.
    assert on_seams >= 8


def test_a_tile_is_an_image_of_the_slide(slide, measured):
    _, path = slide
    assert set(measured["group"]) == {str(path)}
    assert measured["um_per_px"].to_numpy() == pytest.approx(UM_PER_PX)
    assert extract.errors(measured).empty
    counts = extract.counts(measured)
    assert counts[["image", "n_cells"]].to_numpy().tolist() == [[str(path), len(measured)]]
    row = measured.iloc[len(measured) // 2]
    view = report.cell(measured, f"{row['image']}#{row['cell']}", segmenter=dark_cells)
    assert view.problem == ""
    centre = slide[0].image[int(row["where__y"]), int(row["where__x"])]
    assert (view.crop == centre).all(axis=2).any()


def test_levels(slide):
    table = datasets.as_table(f"{slide[1]}#level=1")
    assert table["um_per_px"].tolist() == pytest.approx([2 * UM_PER_PX])
    assert table["group"].tolist() == [str(slide[1])]
    assert images.read(table["image"].iloc[0]).shape == (450, 650, 3)
    with pytest.raises(datasets.DatasetError, match="levels 0 to 1, not 2"):
        datasets.as_table(f"{slide[1]}#level=2")
    with pytest.raises(datasets.DatasetError, match="at least 1"):
        datasets.tiles(slide[1], size=0)


def test_empty_glass_is_not_segmented(tmp_path):
    drawn = draw_slide()
    glass = np.full((900, 2600, 3), 236, np.uint8)
    glass += np.random.default_rng(0).integers(0, 6, glass.shape, np.uint8)
    glass[:, :1300] = drawn.image
    path = tmp_path / "slide.ome.tif"
    write_slide(path, glass)
    seen = []

    def counted(image):
        seen.append(image.shape)
        return dark_cells(image)

    table = extract.table(datasets.tiles(path, **TILE), segmenter=counted, **MEASURED)
    assert len(table) == dark_cells(drawn.image).n_cells
    assert len(seen) < 0.7 * len(datasets.tiles(path, **TILE))
    assert extract.errors(table).empty


def test_large_files_of_a_folder_are_cut_and_a_broken_one_is_one_error(tmp_path, slide):
    large = tmp_path / "a_slide.tif"
    side = 8320
    glass = np.full((256, 256), 240, np.uint8)
    tiles = (glass for _ in range((-(-side // 256)) ** 2))
    tifffile.imwrite(
        large, tiles, shape=(side, side), dtype=np.uint8, tile=(256, 256), compression="zlib",
        resolution=(40000, 40000), resolutionunit="CENTIMETER",
    )  # fmt: skip
    (tmp_path / "b_slide.svs").write_bytes(b"not a slide")
    tifffile.imwrite(tmp_path / "c_field.tif", slide[0].image, photometric="rgb")
    assert images.is_large(large)
    assert not images.is_large(tmp_path / "c_field.tif")
    table = datasets.as_table(tmp_path)
    assert len(table) == 36 + 2
    assert table["um_per_px"].iloc[0] == 0.25
    again = datasets.as_table(table)
    pd.testing.assert_frame_equal(again, table)
    names = [*table["image"].iloc[:2], *table["image"].iloc[-2:]]
    cells = extract.table(names, segmenter=dark_cells, **MEASURED)
    errors = extract.errors(cells)
    assert errors["stage"].tolist() == ["read"]
    assert "OpenSlide" in errors["message"].iloc[0]
    assert len(cells) == dark_cells(slide[0].image).n_cells


def test_central_cells_and_masks_are_refused(slide):
    tiles = datasets.tiles(slide[1], **TILE)
    with pytest.raises(ValueError, match="no central cell"):
        extract.table(tiles, cells="central", families=FAMILIES)
    with pytest.raises(ValueError, match="masks of large images"):
        extract.table(tiles, masks=[None] * len(tiles), families=FAMILIES)
    mixed = pd.concat([tiles, datasets.as_table([str(slide[1])])]).assign(label="control")
    with pytest.raises(ValueError, match="pass cells='all'"):
        extract.table(mixed, families=FAMILIES, um_per_px=UM_PER_PX)
    labelled = extract.table(
        tiles.assign(label="control"), segmenter=dark_cells, **(MEASURED | {"cells": "auto"})
    )
    assert len(labelled) == dark_cells(slide[0].image).n_cells
    assert set(labelled["label"]) == {"control"}


def test_an_interrupted_run_resumes(slide, measured, tmp_path):
    tiles = datasets.tiles(slide[1], **TILE)
    options = {"segmenter": dark_cells, **MEASURED, "shard_size": 4}
    extract.table(tiles, out=tmp_path / "out", **options)
    parts = sorted((tmp_path / "out" / "cells").iterdir())
    assert len(parts) == 3
    parts[1].unlink()
    again = extract.table(tiles, out=tmp_path / "out", **options)
    pd.testing.assert_frame_equal(again, measured, check_exact=True)


def test_commands(slide, tmp_path, capsys):
    _, path = slide
    name = f"{path}#level=0"
    main(
        [
            "segment",
            name,
            "--out",
            str(tmp_path / "masks"),
            "--overlay",
            "--geojson",
            "--method",
            "best",
            "-q",
        ]
    )
    assert "1 image in 1 tile," in capsys.readouterr().out
    quality = pd.read_csv(tmp_path / "masks" / "quality.csv")
    assert (tmp_path / "masks" / "overlay" / "level0_x0_y0.png").is_file()
    main(
        [
            "extract",
            name,
            "--out",
            str(tmp_path / "cells.csv"),
            "--segmenter",
            "best",
            "--families",
            "shape",
            "-q",
        ]
    )
    cells = extract.load(tmp_path / "cells.csv")
    assert len(cells) == len(quality) > 20
    np.testing.assert_allclose(quality["where__x"], cells["where__x"])
    main(["count", name, "--out", str(tmp_path / "count"), "-q"])
    assert "1 image in 1 tile," in capsys.readouterr().out
    counts = pd.read_csv(tmp_path / "count" / "counts.csv")
    assert set(counts["name"]) == {str(path)}
    for said in (f"{path}#level=7", f"{tmp_path}/absent.svs"):
        assert main(["extract", said, "--out", str(tmp_path / "no")]) == 2
        line = capsys.readouterr().err.strip()
        assert "\n" not in line
        assert ("levels 0 to 1, not 7" in line) or ("no such file" in line)


def test_a_slide_without_cells_is_named_once(slide, tmp_path, capsys):
    """`segment` has one row for it, not one for each tile, and counts 0 cells."""
    glass = tmp_path / "glass.ome.tif"
    write_slide(glass, np.full((900, 2600, 3), 236, np.uint8))
    names = [f"{slide[1]}#level=0", f"{glass}#level=0"]
    out = tmp_path / "masks"
    main(["segment", *names, "--out", str(out), "--method", "best", "-q"])
    assert "1 error" in capsys.readouterr().out
    errors = pd.read_csv(out / "errors.csv")
    assert errors[["image", "stage", "error"]].to_numpy().tolist() == [
        [str(glass), "segment", "NoCellFound"]
    ]
    counts = pd.read_csv(out / "counts.csv").set_index("image")["n_cells"]
    assert counts[str(glass)] == 0 < counts[str(slide[1])]
    assert main(["extract", names[1], "--out", str(tmp_path / "t.csv"), "-q"]) == 1
    # The name of the file is no argument of Python, to be written as an option.
    assert f"{glass}#level=0: no cell was found" in capsys.readouterr().err
