"""One cell of a table: its picture, where it lies, and its values against its class."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets, extract, report, segment
from hemafeat.cli import main
from hemafeat.images import read
from hemafeat.report._page import _which_cells


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    """Two fields of several cells, one of which has the name of another in its folder."""
    root = tmp_path_factory.mktemp("fields")
    for seed, folder in enumerate(("a", "b")):
        (root / folder).mkdir()
        drawn = datasets.draw_field(
            ["monocyte"] * 4, shape=(280, 400), um_per_px=0.2, neighbours=0.0, random_state=seed
        )
        cv2.imwrite(str(root / folder / f"{folder}.png"), drawn.image[:, :, ::-1])
    cv2.imwrite(str(root / "b" / "a.png"), drawn.image[::-1, :, ::-1])
    return root


@pytest.fixture(scope="module")
def table(fields):
    out = fields.parent / "features"
    options = {"families": ["shape"], "cells": "all", "n_jobs": 1, "progress": False}
    return extract.table(fields, out=out, **options)


def test_the_row_of_a_cell_leads_to_its_pixels(table):
    for _, row in table.iterrows():
        masks = segment.contours(read(row["image"]))
        rows, columns = np.nonzero(masks.cell == row["cell"])
        assert row["where__mask_label"] == masks.ids[row["cell"] - 1]
        box = row[["where__left", "where__top", "where__right", "where__bottom"]].tolist()
        edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert box == [int(edge) for edge in edges]
        assert row["where__area_px"] == rows.size
        assert row[["where__x", "where__y"]].tolist() == pytest.approx(
            [columns.mean(), rows.mean()]
        )


def test_a_cell_and_its_values_against_its_class(table):
    view = report.cell(table, "b/b.png#2")
    assert view.name.endswith("b/b.png#2")
    assert view.problem == ""
    assert view.alike == f"{(table['label'] == 'b').sum()} b cells"
    image = read(view.row["image"])
    height, width = view.crop.shape[:2]
    found = any(
        np.array_equal(image[top : top + height, left : left + width], view.crop)
        for top in range(int(view.row["where__top"]) + 1)
        for left in range(int(view.row["where__left"]) + 1)
    )
    assert found
    assert (view.picture == (0, 230, 0)).all(axis=2).any()
    assert (np.diff(view.features["distance"].abs().dropna()) <= 0).all()
    shown = view.features.set_index("column").loc["cell__shape__area"]
    areas = table.loc[table["label"] == "b", "cell__shape__area"]
    value = view.row["cell__shape__area"]
    assert shown["value"] == value
    assert shown["median"] == areas.median()
    assert shown["percentile"] == 100 * ((areas < value).sum() + 0.5) / len(areas)
    assert "data:image/jpeg" in view._repr_html_()
    assert len(repr(view)) < 200


def test_cells_that_are_not_there(table):
    for name, words in (
        ("a.png#1", "2 images of the table are named a.png"),
        ("c.png", "no image of the table is named c.png; the first is "),
        ("b.png", "cells, name one: b.png#1"),
        ("b.png#99", "b.png has no cell 99 in the table, which holds: 1, 2"),
    ):
        with pytest.raises(LookupError, match=words):
            report.cell(table, name)


def test_outlines_are_those_that_were_measured_or_none(table, fields):
    moved = table.copy()
    moved["where__left"] += 3
    view = report.cell(moved, "b.png#1")
    assert "not those in which the cell was measured" in view.problem
    masks = [segment.contours(read(image)) for image in dict.fromkeys(table["image"])]
    images = list(dict.fromkeys(table["image"]))
    given = extract.table(images, masks=masks, families=["shape"], n_jobs=1)
    assert "must be given again" in report.cell(given, "b.png#1").problem
    assert report.cell(given, "b.png#1", images=images, masks=masks).problem == ""
    # Tables of earlier versions do not say where their cells lie.
    former = table.drop(columns=[name for name in table if name.startswith("where__")])
    former.attrs = table.attrs
    assert np.array_equal(report.cell(former, "b.png#1").crop, report.cell(table, "b.png#1").crop)


def test_a_cell_on_the_command_line(table, fields, tmp_path, capsys):
    features, out = str(fields.parent / "features"), tmp_path / "cell.png"
    words = ["cell", features, "b.png#1", "--columns", "cell__shape__a*", "-n", "3"]
    assert main([*words, "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("b.png#1: b")
    assert lines[1].startswith("centre at x ")
    assert sum(line.startswith("cell__shape__a") for line in lines) == 3
    assert cv2.imread(str(out)).shape[2] == 3
    for bad, words in (
        (["b.png"], "name one: b.png#1"),
        (["b.png#1", "--columns", "x*"], "no column of the table matches x*"),
        (["b.png#1", "--out", "x.gif"], "should end in .png or .jpg"),
    ):
        assert main(["cell", features, *bad]) == 2
        assert words in capsys.readouterr().err


def test_a_row_of_predictions_leads_to_its_cell(table, fields, tmp_path, capsys):
    folder = tmp_path / "result"
    words = ["compare", str(fields.parent / "features"), "--models", "logistic", "--folds", "2"]
    options = ["--label", "label", "--no-importance", "--protocol", "image-random"]
    assert main([*words, *options, "--out", str(folder)]) == 0, capsys.readouterr().err
    row = pd.read_csv(folder / "predictions.csv").iloc[0]
    measured = table[(table["image"] == row["image"]) & (table["cell"] == row["cell"])].iloc[0]
    where = [name for name in table if name.startswith("where__")]
    assert row[where].tolist() == measured[where].tolist()
    capsys.readouterr()
    name, out = f"{row['image']}#{row['cell']}", tmp_path / "cell.png"
    assert main(["cell", str(folder / "predictions.csv"), name, "--out", str(out)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == f"{name}: {row['truth']}"
    assert shown[2].startswith(f"logistic: {row['predicted']}, probability 0.")
    assert shown[3].startswith("baseline: ")
    view = report.cell(table, name)
    assert np.array_equal(cv2.imread(str(out))[:, :, ::-1], view.picture)
    assert main(["cell", str(folder), name]) == 2
    assert f"name {folder / 'predictions.csv'}" in capsys.readouterr().err


def test_pages_show_a_cell_where_it_was_measured(table):
    """Other outlines than those measured, with other numbers, must not show another cell."""
    from hemafeat.report._galleries import Pictures, square_view

    row = table.iloc[-1]
    image, name = read(row["image"]), row["image"]
    masks = segment.contours(image)
    others = segment.Masks(np.where(masks.cell > 0, masks.n_cells + 1 - masks.cell, 0))
    source = Pictures([name], None, "contours", None, cells=table)
    own, box, doubt = source.of_cell(name, row["cell"], masks)
    assert (own is masks, doubt) == (True, "")
    found, same, doubt = source.of_cell(name, row["cell"], others)
    assert found is None
    assert same == box
    assert "not those in which the cell was measured" in doubt
    view = square_view(image, masks, row["cell"])
    assert view == square_view(image, None, row["cell"], box)
    assert view != square_view(image, others, row["cell"])


def test_counts_of_images(table, fields, tmp_path):
    counts = extract.counts(table)
    assert counts["image"].is_unique
    assert counts["n_cells"].tolist() == table["image"].value_counts(sort=False).tolist()
    flags = table.groupby("image", sort=False)["quality__touches_border"].sum()
    assert counts["n_touching_border"].tolist() == flags.tolist()
    cv2.imwrite(str(tmp_path / "empty.png"), np.full((60, 60, 3), 235, np.uint8))
    images = [table["image"].iloc[0], str(tmp_path / "empty.png"), str(tmp_path / "absent.png")]
    of_all = extract.counts(extract.table(images, families=["shape"], n_jobs=1))
    assert [Path(name).name for name in of_all["image"]] == ["a.png", "empty.png", "absent.png"]
    assert of_all["n_cells"].fillna(-1).tolist() == [counts["n_cells"].iloc[0], 0, -1]


def test_the_page_says_which_cells_count(table, fields):
    assert _which_cells(table).startswith("Every cell of each image counts; the rule is the same")
    central = extract.table(fields, families=["shape"], cells="central", n_jobs=1)
    n_others = int(central["quality__n_cells"].sum()) - len(central)
    words = f"at its centre counts, not the {n_others} other cells found there; the rule"
    assert words in _which_cells(central)
    central.attrs = {}
    assert _which_cells(central.drop(columns="quality__n_cells")) == ""
