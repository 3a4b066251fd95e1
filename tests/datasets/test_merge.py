"""Data sets put together: what their mixture gives away is measured and said."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mutual_info_score

from hemafeat import datasets
from hemafeat.datasets import DatasetError, DatasetWarning


def listed(labels, name=None, **columns):
    return pd.DataFrame(
        {"image": [f"{name}/{i}.png" for i in range(len(labels))], "label": labels, **columns}
    )


def quietly(*args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return datasets.merge(*args, **kwargs)


def test_figures_by_hand():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "dataset": rng.choice(["x", "y"], 500, p=[0.7, 0.3]),
            "label": rng.choice(list("abc"), 500),
        }
    )
    table.loc[table["dataset"] == "y", "label"] = rng.choice(
        list("abc"), (table["dataset"] == "y").sum(), p=[0.1, 0.2, 0.7]
    )
    result = datasets.confounding(table)
    counts = pd.crosstab(table["label"], table["dataset"])
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / 500
    chi = ((counts - expected) ** 2 / expected).to_numpy().sum()
    assert result.cramers_v == pytest.approx(np.sqrt(chi / 500 / 1))
    nats = mutual_info_score(table["label"], table["dataset"])
    assert result.mutual_information == pytest.approx(nats / np.log(2))
    share = table["label"].value_counts(normalize=True)
    assert result.label_entropy == pytest.approx(-(share * np.log2(share)).sum())
    # The best of all nine predictions from the data set alone.
    best = 0.0
    for x in "abc":
        for y in "abc":
            guess = table["dataset"].map({"x": x, "y": y})
            best = max(best, (guess == table["label"]).groupby(table["label"]).mean().mean())
    assert result.balanced_accuracy == pytest.approx(best)
    assert result.chance == pytest.approx(1 / 3)
    assert result.predicts
    assert result.counts.loc["a", "x"] == counts.loc["a", "x"]


def test_a_merge_that_gives_the_class_away():
    """Blasts and smudge cells come from a single hospital, as in the ten-class data set."""
    first = listed(["lymphocyte", "monocyte"] * 50, "pbc")
    second = listed(["lymphocyte", "blast", "smudge"] * 30, "apl")
    with pytest.warns(DatasetWarning, match=r"in a single data set: blast \(apl\), monocyte"):
        merged = datasets.merge({"pbc": first, "apl": second})
    result = datasets.confounding(merged)
    assert merged.attrs["confounding"] == result.sentence()
    assert result.alone == {"blast": "apl", "monocyte": "pbc", "smudge": "apl"}
    assert "predicts its label: balanced accuracy 0.50 where 0.25 is chance" in result.sentence()
    assert list(merged["dataset"].unique()) == ["pbc", "apl"]
    # After dropping or merging these classes there is no association.
    same = {"pbc": {"monocyte": None}, "apl": {"blast": None, "smudge": None}}
    quiet = quietly({"pbc": first, "apl": second}, labels=same)
    assert set(quiet["label"]) == {"lymphocyte"}
    assert len(quiet) == 80
    assert set(quiet["label_raw"]) == {"lymphocyte"}


def test_other_shares_are_told_and_equal_ones_are_not():
    first = listed(["a"] * 180 + ["b"] * 20, "one")
    second = listed(["a"] * 20 + ["b"] * 180, "two")
    with pytest.warns(DatasetWarning, match=r"balanced accuracy 0\.90 .* Cramer's V 0\.80"):
        datasets.merge({"one": first, "two": second})
    even = listed(["a", "b"] * 100, "three")
    result = quietly({"one": even, "two": even.assign(image=even["image"] + "x")})
    assert "hardly predicts" in result.attrs["confounding"]
    assert not datasets.confounding(result).predicts
    assert datasets.confounding(result).cramers_v == pytest.approx(0, abs=1e-12)
    # There is no warning without an association.
    rng = np.random.default_rng(1)
    noise = {name: listed(list(rng.choice(["a", "b", "c"], 60)), name) for name in "uvw"}
    quietly(noise)


def test_names_patients_and_labels():
    first = listed(["ig", "a"], "one", patient=["7", None], dataset="one")
    second = listed(["myelocyte", "a"], "two", patient=["7", "8"], dataset="two")
    merged = quietly([first, second], labels={"ig": "immature", "myelocyte": "immature"})
    assert list(merged["label"]) == ["immature", "a", "immature", "a"]
    assert list(merged["label_raw"]) == ["ig", "a", "myelocyte", "a"]
    assert list(merged["patient"].fillna("")) == ["one: 7", "", "two: 7", "two: 8"]
    assert merged["group"].notna().all()
    assert merged["group"].iloc[0] != merged["group"].iloc[2]
    # Tables of cells keep their features.
    cells = merged.iloc[:2].assign(cell=1, cell__shape__area=[1.0, 2.0])
    second = cells.assign(dataset="other", image=["x", "y"])
    both = quietly([cells, second])
    assert list(both["cell__shape__area"]) == [1.0, 2.0, 1.0, 2.0]
    cells.attrs = {"units": {"cell__shape__area": "px^2"}, "errors": [{"image": "p"}]}
    second.attrs = {"units": {"cell__shape__area": "px^2"}, "errors": [{"image": "q"}]}
    attrs = quietly([cells, second]).attrs
    assert attrs["units"] == {"cell__shape__area": "px^2"}
    assert [row["image"] for row in attrs["errors"]] == ["p", "q"]
    second.attrs = {"units": {"cell__shape__area": "um^2"}}
    with pytest.raises(DatasetError, match=r"px\^2 in one table and um\^2 in another"):
        datasets.merge([cells, second])


def test_shared_names():
    first = listed(["ig", "neutrophil"], "pbc", label_raw=["ig", "neutrophil"])
    second = listed(["Myelocyte", "Plasma cell"], "apl", label_raw=["Myelocyte", "Plasma cells"])
    with pytest.warns(DatasetWarning, match=r"neutrophil \(pbc\)"):
        merged = datasets.merge({"pbc": first, "apl": second.iloc[:1]}, labels="coarse")
    assert list(merged["label"]) == ["immature granulocyte", "neutrophil", "immature granulocyte"]


@pytest.mark.parametrize("second", ["y", None])
def test_a_key_does_not_replace_the_names_of_several_data_sets(second):
    merged = listed(["a", "a"], "x", dataset=["x", second], patient=["7", "7"])
    with pytest.raises(DatasetError, match=r"'all' would replace the names of 2 data sets .* x"):
        datasets.merge({"all": merged})
    renamed = datasets.merge({"all": merged.assign(dataset="x")})
    assert set(renamed["dataset"]) == {"all"}


def test_refusals():
    table = listed(["a", "b"], "x")
    with pytest.raises(DatasetError, match="has no name in its column 'dataset'"):
        datasets.merge([table])
    with pytest.raises(DatasetError, match="two data sets are called 'x'"):
        datasets.merge([table.assign(dataset="x"), table.assign(dataset="x")])
    with pytest.raises(DatasetError, match="all labels of 'x' map to None"):
        datasets.merge({"x": table, "y": listed(["c"], "y")}, labels={"a": None, "b": None})
    with pytest.raises(DatasetError, match="labels name the unknown data set 'z'; available: x"):
        datasets.merge({"x": table}, labels={"z": {"a": "b"}})
    with pytest.raises(DatasetError, match="at least one data set"):
        datasets.merge([])
    with pytest.raises(DatasetError, match="no column 'batch' with values"):
        datasets.confounding(table, by="batch")


def test_a_merged_table_takes_further_columns():
    """pandas would warn of a fragmented table, where the columns of the parts differ."""
    names = [f"cell__f__{k}" for k in range(150)]
    parts = []
    for name, columns in (("a", names), ("b", [*names[::2], *names[1::2], "other"])):
        more = listed(["x"] * 4, name, cell=1, dataset=name)
        single = [pd.DataFrame({column: [1.0] * 4}) for column in columns]
        parts.append(pd.concat([more, *single], axis=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.PerformanceWarning)
        warnings.simplefilter("ignore", datasets.DatasetWarning)
        merged = datasets.merge(parts)
        merged["further"] = 1
    assert len(merged) == 8
    options = {"cells": "central", "segmenter": "contours"}
    parts[0].attrs, parts[1].attrs = {"measured": options}, {"measured": {"cells": "central"}}
    assert quietly(parts).attrs["measured"] == {"cells": "central"}
    parts[1].attrs = {}
    assert "measured" not in quietly(parts).attrs
