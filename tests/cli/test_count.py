"""``hemafeat count``: tables, overlays and page of a few drawn fields."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets, evaluate, pipelines, report, segment
from hemafeat.cli import main


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """Three fields of two slides, one without a white cell, and a file that is no image."""
    place = tmp_path_factory.mktemp("count")
    for name, kinds, seed in (
        ("one/a", ["neutrophil", "lymphocyte"], 0),
        ("one/b", ["monocyte", "neutrophil"], 1),
        ("two/c", [], 2),
    ):
        field = datasets.draw_field(kinds, shape=(480, 640), random_state=seed)
        path = place / "fields" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), field.image[..., ::-1])
    (place / "fields" / "two" / "broken.png").write_bytes(b"no image")
    words = ["count", str(place / "fields"), "--out", str(place / "out"), "--jobs", "1"]
    words += ["--um-per-px", str(field.um_per_px), "--segmenter", "contours", "-q"]
    assert main(words) == 0
    return place, words


def test_every_cell_is_a_type_or_not_sure(counted):
    place, _ = counted
    cells = pd.read_csv(place / "out" / "cells.csv", keep_default_na=False)
    known = {*pipelines.load("leukocytes").classes, evaluate.NOT_SURE, "platelet"}
    assert len(cells) >= 4
    assert set(cells["counted"]) <= known
    unsure = cells["counted"] == evaluate.NOT_SURE
    assert (cells.loc[unsure, "reason"] != "").all()
    assert (cells.loc[~unsure, "reason"] == "").all()
    assert set(cells["slide"]) <= {"one", "two"}


def test_counts_add_up(counted):
    place, _ = counted
    counts = pd.read_csv(place / "out" / "counts.csv")
    cells = pd.read_csv(place / "out" / "cells.csv")
    assert counts.groupby("per")["n"].sum().to_dict() == {"image": len(cells), "slide": len(cells)}
    images = counts.loc[counts["per"] == "image", "name"]
    # The field without a white cell is counted, the broken one is not.
    assert images.nunique() == 3
    known = counts.dropna(subset="share")
    assert known["share"].between(known["low"], known["high"]).all()


def test_an_unreadable_image_is_a_row_of_errors(counted):
    place, _ = counted
    errors = pd.read_csv(place / "out" / "errors.csv")
    assert errors["image"].str.endswith("broken.png").tolist() == [True]
    assert errors["stage"].tolist() == ["read"]


def test_overlays_are_numbered(counted):
    place, _ = counted
    drawn = cv2.imread(str(place / "out" / "overlay" / "one" / "a.png"))
    assert drawn.shape == (480, 640, 3)
    assert (drawn != cv2.imread(str(place / "fields" / "one" / "a.png"))).any()
    assert not (place / "out" / "overlay" / "two" / "c.png").exists() or (
        "two/c.png" in (place / "out" / "cells.csv").read_text()
    )


def test_the_page_says_research_only(counted):
    place, _ = counted
    page = (place / "out" / "count.html").read_text("utf-8")
    assert "<strong>Research only</strong>" in page
    # The slide without a white cell has no figure of shares, which would be empty.
    assert page.count("No white cell was found.") == 1
    assert "without a share: erythroblasts, platelets." in page
    assert page.count("no diagnosis") >= 2
    assert not re.search(r'(?:src|href)="https?:', page)


def test_the_page_warns_of_many_cells_that_are_not_sure(tmp_path):
    def page(n_unsure):
        cells = pd.DataFrame({"image": "a.png", "counted": ["monocyte"] * 6}, index=range(6))
        cells.loc[: n_unsure - 1, "counted"] = evaluate.NOT_SURE
        cells["reason"] = np.where(cells["counted"] == evaluate.NOT_SURE, "odd <cell>", "")
        counts = evaluate.differential(cells, "image")
        return report.count_page(counts, cells, tmp_path / "p.html").read_text("utf-8")

    assert "Not to be believed" not in page(1)
    assert "33 % of the cells are not sure" in page(2)
    assert "odd &lt;cell&gt;" in page(2)


def test_an_earlier_count_is_kept(counted, capsys):
    place, words = counted
    before = (place / "out" / "count.html").read_bytes()
    assert main(words) == 2
    assert "--restart" in capsys.readouterr().err
    assert (place / "out" / "count.html").read_bytes() == before


def test_a_scale_that_is_not_known_is_asked_for(tmp_path, capsys):
    # Bare glass, without red cells.
    cv2.imwrite(str(tmp_path / "a.png"), np.full((300, 300, 3), 235, np.uint8))
    assert main(["count", str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]) == 2
    line = capsys.readouterr().err
    assert "Pass --um-per-px X" in line
    assert not (tmp_path / "out").exists()


def test_texts_are_drawn_beside_cells():
    drawn = datasets.draw_cell("lymphocyte", random_state=0)
    masks = segment.Masks(drawn.cell, drawn.nucleus)
    plain = segment.outline(drawn.image, masks)
    named = segment.outline(drawn.image, masks, texts=["1 lymphocyte"])
    assert (plain != named).any(axis=2).sum() > 100
    with pytest.raises(ValueError, match="2 texts for 1 cells"):
        segment.outline(drawn.image, masks, texts=["a", "b"])


def test_fields_without_a_white_cell_are_counted(tmp_path, capsys):
    field = datasets.draw_field([], shape=(300, 400), random_state=2)
    cv2.imwrite(str(tmp_path / "a.png"), field.image[..., ::-1])
    words = ["count", str(tmp_path / "a.png"), "--um-per-px", "0.1", "--out", str(tmp_path / "out")]
    # A segmenter that takes no cell for a white one.
    assert main([*words, "--segmenter", "unet", "-q"]) == 0
    assert "1 image, 0 cells, 0 not sure, 0 errors" in capsys.readouterr().out
    counts = pd.read_csv(tmp_path / "out" / "counts.csv")
    assert counts["n"].sum() == 0
    assert counts["share"].isna().all()
    assert set(counts["per"]) == {"slide", "image"}
    (tmp_path / "b.png").write_bytes(b"no image")
    words[1] = str(tmp_path / "b.png")
    assert main([*words, "--restart", "-q"]) == 1
    assert "no image could be counted" in capsys.readouterr().err
