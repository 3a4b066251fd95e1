"""Edits of a person: labels that are changed, cells that are left out, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets, evaluate


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    cells = pd.DataFrame({"image": [f"d\\{k // 2}.png" for k in range(40)], "cell": [1, 2] * 20})
    cells["label"] = ["a", "a", "b", "b"] * 10
    cells["cell__shape__area"] = rng.normal(5, 1, 40) + 9 * (cells["label"] == "a")
    cells.attrs["measured"] = {"cells": "all"}
    return cells


def edits(*rows, columns=("image", "cell", "edit", "label", "was")):
    return pd.DataFrame(rows, columns=list(columns))


def test_a_file_changes_labels_and_leaves_cells_out(table, tmp_path):
    rows = edits(("d/0.png", 2, "relabel", "=c", "a"), ("d/3.png", 1, "exclude", "", "b"))
    text = rows.to_csv(index=False).replace("=c", "'=c")
    (tmp_path / "edits.csv").write_text(text, encoding="utf-8")
    changed = datasets.edited(table, tmp_path / "edits.csv")
    assert changed.index.tolist() == [k for k in range(40) if k != 6]
    assert changed.loc[1, "label"] == "=c"
    assert changed["label"].drop(1).equals(table["label"].drop([1, 6]))
    assert table.loc[1, "label"] == "a"
    assert changed.attrs["measured"] == {"cells": "all"}
    assert changed.attrs["edits"] == "1 label changed and 1 cell left out by hand (edits.csv)"
    # Applied again, the label is as it should be, but the cell is gone.
    assert datasets.edited(changed, rows.head(1)).equals(changed)
    with pytest.raises(datasets.DatasetError, match="1 of 1 edits are not about this table"):
        datasets.edited(changed, rows.tail(1))


def test_images_and_numbers_are_relabelled_too():
    images = pd.DataFrame({"image": ["x.png", "y.png"], "label": [1, 2]})
    rows = edits(("y.png", "relabel", "1", 2.0), columns=("image", "edit", "label", "was"))
    assert datasets.edited(images, rows)["label"].tolist() == [1, 1]
    of_categories = images.assign(label=images["label"].astype(str).astype("category"))
    rows["label"] = "3"
    assert datasets.edited(of_categories, rows)["label"].tolist() == ["1", "3"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("d/0.png", 3, "relabel", "b", "a"), "such as that of cell 3 of d/0.png"),
        (("d/99.png", 1, "exclude", "", ""), "such as that of cell 1 of d/99.png"),
        (("d/0.png", 1, "relabel", "c", "b"), "was 'b' when its label was changed to 'c'"),
        (("d/0.png", 1, "relabel", "", "a"), "no new label"),
        (("d/0.png", 1, "relable", "b", "a"), "did you mean relabel?"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused(table, row, message):
    with pytest.raises(datasets.DatasetError) as caught:
        datasets.edited(table, edits(row))
    assert message in str(caught.value)


def test_lists_that_are_none_are_refused(table, tmp_path):
    with pytest.raises(datasets.DatasetError, match="needs the column 'edit'"):
        datasets.edited(table, pd.DataFrame({"image": ["d/0.png"]}))
    row = ("d/0.png", 1, "exclude", "", "")
    with pytest.raises(datasets.DatasetError, match="two edits are about the same cell"):
        datasets.edited(table, edits(row, row))
    with pytest.raises(datasets.DatasetError, match="need the column 'cell'"):
        datasets.edited(table, edits(row).drop(columns="cell"))
    with pytest.raises(datasets.DatasetError, match="no column 'klass'"):
        datasets.edited(table, edits(("d/0.png", 1, "relabel", "b", "a")), label="klass")
    with pytest.raises(datasets.DatasetError, match="does not exist"):
        datasets.edited(table, tmp_path / "none.csv")


def test_a_comparison_says_what_was_edited(table):
    changed = datasets.edited(table, edits(("d/0.png", 1, "exclude", "", "a")))
    comparison = evaluate.compare(
        "logistic", changed, groups=None, n_splits=2, n_boot=5, importance=False
    )
    assert "d/0.png" not in set(comparison.predictions.query("cell == 1")["image"])
    assert any("1 cell left out by hand. If they were" in text for text in comparison.remarks())
    assert (comparison.errors["stage"] == "edits").sum() == 1
