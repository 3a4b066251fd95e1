"""Labels that look wrong: planted ones are found, and nothing is learnt from a cell's own label."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hemafeat import evaluate


def cells(n=240, seed=0):
    """Three classes with some overlap, in groups of two; eight of the labels are wrong."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) // 2 % 3
    centres = 1.4 * rng.normal(size=(3, 8))
    values = centres[truth] + rng.normal(size=(n, 8))
    table = pd.DataFrame({f"cell__shape__f{k}": values[:, k] for k in range(8)})
    table.insert(0, "image", [f"{k}.png" for k in range(n)])
    table.insert(1, "cell", 1)
    table.insert(2, "group", [f"g{k // 2}" for k in range(n)])
    wrong = rng.choice(n, 8, replace=False)
    labels = truth.copy()
    labels[wrong] = (labels[wrong] + 1) % 3
    table.insert(3, "label", np.array(["a", "b", "c"])[labels])
    return table, wrong, np.array(["a", "b", "c"])[truth]


@pytest.fixture(scope="module")
def planted():
    return cells()


@pytest.fixture(scope="module")
def found(planted):
    return evaluate.suspected_labels(planted[0])


def test_planted_labels_come_first(planted, found):
    table, wrong, truth = planted
    assert sorted(found["row"]) == list(range(len(table)))
    assert (found["score"].diff().dropna() <= 0).all()
    top = found.head(2 * len(wrong))
    assert np.isin(wrong, top["row"]).mean() >= 0.8
    right = top[np.isin(top["row"], wrong)]
    assert (right["suggested"].to_numpy() == truth[right["row"]]).mean() >= 0.8
    assert np.isin(wrong, found.loc[found["suspected"], "row"]).mean() >= 0.8
    assert found["suspected"].mean() < 0.15
    assert (found["label"].to_numpy() == table["label"].to_numpy()[found["row"]]).all()
    assert (found["suggested"] != found["label"]).all()


def test_the_score_is_the_pooled_evidence(found):
    for row in found.head(20).itertuples():
        of_label = (row.p_label + 0.001) * (row.neighbours_label + 0.05)
        of_other = (row.p_suggested + 0.001) * (row.neighbours_suggested + 0.05)
        assert row.score == pytest.approx(np.log(of_other / of_label))


def test_a_copy_does_not_confirm_its_own_label(planted):
    """Two equal cells with one wrong label are suspected if a group keeps them together."""
    table, wrong, _ = planted
    table = table.copy()
    copied = int(wrong[0])
    twin = copied ^ 1
    values = [name for name in table if "__" in name]
    table.loc[twin, [*values, "label"]] = table.loc[copied, [*values, "label"]]
    table["group"] = table["group"].mask(table.index == twin, f"g{copied // 2}")
    found = evaluate.suspected_labels(table, n_neighbours=1).set_index("row")
    assert (found.loc[[copied, twin], "neighbours_label"] == 0).all()
    assert found.loc[[copied, twin], "suspected"].all()


def test_a_comparison_of_the_table_is_used(planted, found):
    table = planted[0]
    comparison = evaluate.compare("logistic", table, rare="drop", n_boot=2, importance=False)
    pd.testing.assert_frame_equal(evaluate.suspected_labels(table, comparison), found)
    with pytest.raises(evaluate.CompareError, match="not one of this table"):
        evaluate.suspected_labels(table.head(50), comparison)
    shuffled = table.sample(frac=1, random_state=0).reset_index(drop=True)
    again = evaluate.suspected_labels(shuffled, comparison)
    assert again["image"].tolist() == found["image"].tolist()
    assert (shuffled["image"].iloc[again["row"]].tolist()) == again["image"].tolist()
    first = found.iloc[0]
    mended = table.assign(
        label=table["label"].mask(table.index == first["row"], first["suggested"])
    )
    after = evaluate.suspected_labels(mended, comparison).set_index("image").loc[first["image"]]
    assert after["label"] == first["suggested"]
    assert not after["suspected"]
    without = evaluate.suspected_labels(table.drop(columns=table.columns[4:]), comparison)
    assert without["neighbours_label"].isna().all()
    assert np.isin(planted[1], without["row"].head(16)).mean() >= 0.6


def test_a_model_without_probabilities_is_refused(planted):
    from sklearn.svm import LinearSVC

    with pytest.raises(evaluate.CompareError, match="gives probabilities"):
        evaluate.suspected_labels(planted[0], LinearSVC())
