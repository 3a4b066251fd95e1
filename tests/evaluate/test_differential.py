"""Differential counts: shares, intervals, rows without cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from hemafeat import evaluate


def table(*images):
    """Cells of images, each a dictionary of counts."""
    rows = [
        (f"{number}.png", name)
        for number, counts in enumerate(images)
        for name, n in counts.items()
        for _ in range(n)
    ]
    return pd.DataFrame(rows, columns=["image", "counted"])


def test_one_image_has_the_interval_of_wilson():
    counts = evaluate.differential(table({"a": 7, "b": 13, "not sure": 5, "platelet": 4}))
    counts = counts.set_index("class")
    wilson = binomtest(7, 20).proportion_ci(method="wilson")
    np.testing.assert_allclose(
        counts.loc["a", ["share", "low", "high"]].to_list(), [0.35, *wilson], rtol=1e-6
    )
    assert counts.loc["not sure", "share"] == pytest.approx(5 / 25)
    assert np.isnan(counts.loc["platelet", "share"])
    assert counts["n"].sum() == 29


def test_images_that_differ_widen_the_interval():
    mixed = table({"a": 10, "b": 10}, {"a": 10, "b": 10}, {"a": 10, "b": 10})
    apart = table({"a": 20}, {"b": 20}, {"a": 10, "b": 10})

    def width(cells):
        row = evaluate.differential(cells).set_index("class").loc["a"]
        assert row["share"] == 0.5
        return row["high"] - row["low"]

    wilson = binomtest(30, 60).proportion_ci(method="wilson")
    assert width(mixed) == pytest.approx(wilson.high - wilson.low)
    assert width(apart) > 2 * width(mixed)


def test_no_cell_of_a_class_and_no_cell_at_all():
    cells = table({"a": 9}, {"a": 1})
    cells["image"] = pd.Categorical(cells["image"], categories=["0.png", "1.png", "2.png"])
    counts = evaluate.differential(cells, "image", classes=["b"]).set_index(["image", "class"])
    assert counts.loc[("0.png", "b"), "n"] == 0
    assert counts.loc[("0.png", "b"), "high"] == pytest.approx(
        binomtest(0, 9).proportion_ci(method="wilson").high
    )
    assert counts.loc["2.png", "n"].tolist() == [0, 0, 0]
    assert counts.loc["2.png", "share"].isna().all()


def test_a_column_that_is_missing_is_named():
    with pytest.raises(ValueError, match="slide"):
        evaluate.differential(table({"a": 1}), "slide")
