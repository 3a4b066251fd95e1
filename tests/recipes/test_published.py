"""The table of published figures agrees with itself and with what the library knows."""

from __future__ import annotations

import numpy as np
import pytest

from hemafeat import evaluate, networks, recipes

KEY = ["system", "data", "split", "model", "metric", "label", "predicted", "part"]


@pytest.fixture(scope="module")
def table():
    return recipes.published()


def test_every_figure_says_where_it_is_from(table):
    assert not table.duplicated(KEY).any()
    assert np.isfinite(table["value"]).all()
    for column in ("system", "data", "metric", "split", "source"):
        assert (table[column] != "").all(), column
    assert set(table["certainty"]) == {"stated", "read", "computed", "remembered"}
    assert set(table["cited_by"]) - {""} < set(table["system"])
    scores = table[~table["metric"].str.startswith(("n_", "training", "best"))]
    scores = scores[~scores["model"].str.startswith(("table 1", "text"))]
    scores = scores[scores["metric"] != "support"]
    assert scores["value"].between(0, 1).all()


def test_parts_have_few_names(table):
    parts = {"", "all", "train", "validation", "test", "leaderboard", "table", "cross-validation"}
    assert set(table["part"]) == parts


def test_protocols_that_are_named_exist(table):
    named = set(table["split"].str.extract(r"\((leaky-[a-z-]+)\)")[0].dropna())
    known = set(evaluate.protocols()["name"])
    assert named
    assert named <= known
    assert {name for name in known if name.startswith("leaky-")} == named


def test_numbers_of_parameters_are_those_of_the_networks(table):
    counts = table[table["metric"] == "n_parameters"].set_index("model")["value"]
    both = sorted(set(counts.index) & set(networks.ARCHITECTURES))
    assert len(both) >= 7
    for name in both:
        assert counts[name] == networks.ARCHITECTURES[name].n_parameters


def test_confusion_matrices_have_the_printed_recalls(table):
    """Rows of a matrix sum to the support of the class, and its diagonal gives the recall."""
    matrices = table[(table["metric"] == "n_predicted") & (table["data"] != "apl")]
    n_checked = 0
    for (_, model), cells in matrices.groupby(["data", "model"]):
        report = table[(table["model"] == model) & (table["label"] != "")]
        recalls = report[report["metric"] == "recall"].set_index("label")["value"]
        support = report[report["metric"] == "support"].set_index("label")["value"]
        # In one report the columns are exchanged, so that its matrix has the printed precisions.
        exchanged = "exchanged" in " ".join(report["note"])
        for label, row in cells.groupby("predicted" if exchanged else "label"):
            if label not in recalls:
                continue
            total = row["value"].sum()
            hits = row.loc[row["label"] == row["predicted"], "value"].sum()
            assert total == support[label], (model, label)
            assert hits / total == pytest.approx(recalls[label], abs=0.00501), (model, label)
            n_checked += 1
    assert n_checked > 40


def test_tables_of_classes_agree_with_their_sums(table):
    """Supports of the classes sum to the part, and the F1 follows from precision and recall."""
    copied = table["note"].str.contains("copying error")
    wide = table[~copied & table["metric"].isin(["precision", "recall", "f1", "support"])]
    wide = wide[wide["label"] != ""].pivot_table(
        index=["system", "data", "model", "part", "label"], columns="metric", values="value"
    )
    wide = wide.dropna()
    product = 2 * wide["precision"] * wide["recall"] / (wide["precision"] + wide["recall"])
    assert np.abs(product - wide["f1"]).max() < 0.015
    totals = wide["support"].groupby(["system", "data", "model", "part"]).sum()
    counts = table[table["metric"] == "n_images"].set_index(["system", "data", "model", "part"])
    for key, total in totals.items():
        assert total == counts.loc[[key], "value"].iloc[0], key


def test_sizes_of_parts_sum_to_the_whole(table):
    sizes = table[(table["metric"] == "n_images") & (table["model"] == "") & (table["label"] == "")]
    for system, whole in (("ufsc2022", 10661), ("mids2024", 12528)):
        parts = sizes[sizes["system"] == system].set_index("part")["value"]
        assert parts["all"] == whole == parts.drop("all").sum()


def test_one_system_and_unknown_ones():
    assert set(recipes.published("pan2019")["system"]) == {"pan2019"}
    assert recipes.published("karim2022").empty, "its abstract gives no figure"
    with pytest.raises(ValueError, match="did you mean ufsc2022"):
        recipes.published("ufsc2021")
