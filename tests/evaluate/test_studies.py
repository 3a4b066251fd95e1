"""Left-out classes, growing training parts, cells drawn twice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hemafeat import evaluate
from hemafeat.evaluate import CompareError
from hemafeat.evaluate._setup import set_up
from hemafeat.evaluate._studies.learning_curve import _order, _prefix, _sizes
from support.made_cells import QUICK, cells, memorised

# Class drop


def test_a_dropped_class_goes_to_its_neighbour():
    """On one axis a < b < c < d: a goes to b, d to c, and b to either side."""
    table = cells(n=400, n_groups=40, signal=4.0, n_classes=4)
    found = evaluate.class_drop(["logistic"], table, n_boot=100)
    assert found.models == ["logistic"]
    shares = found.shares("logistic")
    assert shares.loc["a", "b"] > 0.9
    assert shares.loc["d", "c"] > 0.9
    assert shares.loc["b", ["a", "c"]].sum() > 0.9
    assert np.isnan(shares.loc["c", "c"])
    assert shares.sum(axis=1).to_numpy() == pytest.approx(1)
    pooled = found.results[found.results["fold"] == "all"]
    assert (pooled["low"] <= pooled["share"] + 1e-12).all()
    assert (pooled["share"] <= pooled["high"] + 1e-12).all()
    assert (pooled.groupby("dropped")["cells"].sum() == 100).all()
    single = found.results[found.results["fold"] != "all"]
    assert (single.groupby("dropped")["cells"].sum() == 100).all()
    # Every dropped cell once, by a model that did not see its patient.
    assert sorted(found.predictions["row"]) == list(range(400))
    assert not found.leaky
    assert set(found.results["protocol"]) == {"grouped"}
    assert found.predictions["confidence"].between(0.3, 1).all()


def test_dropped_classes_chosen():
    table = cells(n=200, n_groups=20, n_classes=4)
    found = evaluate.class_drop("logistic", table, dropped="b", protocol="image-random", n_boot=20)
    assert set(found.results["dropped"]) == {"b"}
    assert found.leaky
    assert found.results["leaky"].all()
    assert set(found.results["protocol"]) == {"image-random (leaky)"}
    with pytest.raises(CompareError, match="no class 'z'; there are: a, b, c, d"):
        evaluate.class_drop("logistic", table, dropped="z")
    with pytest.raises(CompareError, match="needs three classes"):
        evaluate.class_drop("logistic", cells(n_classes=2))
    with pytest.raises(CompareError, match="no model 'svc'"):
        found.shares("svc")


# Learning curves


def test_learning_curve_rises_and_ends_at_the_comparison():
    table = cells(n=600, n_groups=60, signal=1.2)
    found = evaluate.learning_curve(["logistic"], table, sizes=[9, 60, 240], n_boot=50)
    curve = found.curve("logistic")
    assert list(curve["size"]) == [9, 60, 240, 480]
    assert list(curve["n_train"]) == [9, 60, 240, 480]
    assert curve["value"].iloc[-1] > curve["value"].iloc[0] + 0.1
    assert (curve["low"] <= curve["value"]).all()
    assert (curve["value"] <= curve["high"]).all()
    whole = evaluate.compare("logistic", table, **QUICK).results
    last = found.results[found.results["size"] == 480]
    keys = ["fold", "metric", "value", "low", "high"]
    one, other = (frame.loc[frame["model"] == "logistic", keys] for frame in (whole, last))
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True))
    assert set(found.results["protocol"]) == {"grouped"}
    assert "nested parts of the training cells" in found.protocol


def test_learning_curve_by_patients():
    table = cells(n=300, n_groups=30)
    found = evaluate.learning_curve("logistic", table, by="groups", sizes=[40, 120], n_boot=20)
    curve = found.curve("logistic")
    # Ten cells a patient.
    assert list(curve["n_groups"]) == [4, 12, 24]
    assert list(curve["n_train"]) == [40, 120, 240]
    ready = set_up("logistic", table)
    train, _ = ready.plan.pairs[0]
    order = _order(ready, train, "groups", (0, 0))
    part = _prefix(order, 35)
    names = set(ready.groups.ids[part])
    assert set(np.flatnonzero(np.isin(ready.groups.ids, list(names)))) == set(part)
    # Patients of one class each: no part is without a class, however small it was asked for.
    alone = set_up("logistic", memorised(n=120, n_groups=24), n_splits=3)
    order = _order(alone, alone.plan.pairs[0][0], "groups", (0, 0))
    assert set(alone.truth[_prefix(order, 1)]) == {"a", "b", "c"}
    assert sorted(order[0]) == sorted(alone.plan.pairs[0][0])


def test_parts_are_nested_and_stratified():
    table = cells(n=300, n_groups=30)
    # 194 a, 100 b, 6 c
    table["label"] = np.where(np.arange(300) % 3 == 1, "b", "a")
    table.loc[[0, 50, 102, 150, 201, 252], "label"] = "c"
    ready = set_up("logistic", table, protocol="image-random", n_splits=2)
    train, _ = ready.plan.pairs[0]
    order = _order(ready, train, "cells", (0, 0))
    truth = ready.truth
    assert sorted(order[0]) == sorted(train)
    assert set(truth[_prefix(order, 3)]) == {"a", "b", "c"}
    share = (truth[train] == "b").mean()
    half = _prefix(order, 75)
    assert (truth[half] == "b").mean() == pytest.approx(share, abs=0.03)
    assert set(_prefix(order, 20)) < set(half)


def test_sizes():
    assert _sizes(None, 13000, 8) == [500, 1000, 2000, 4000, 8000]
    assert _sizes(None, 800, 8) == [100, 200, 400]
    assert _sizes([5, 900, 100], 500, 3) == [5, 100]
    for bad in ([], [2]):
        with pytest.raises(CompareError, match="at least one per class"):
            _sizes(bad, 500, 3)
    with pytest.raises(CompareError, match="give 'cells' or 'groups'"):
        evaluate.learning_curve("logistic", cells(), by="images")


# Resampling


def test_what_copies_fake():
    """No signal and no patients: only a model that meets its training cells again can score."""
    from sklearn.neighbors import KNeighborsClassifier

    table = cells(n=300, n_groups=300, signal=0.0)
    one = {"nearest": KNeighborsClassifier(1)}
    found = evaluate.resampling(one, table, n_boot=100)
    assert found.per_class == 100
    rows = (
        found.summary("accuracy").query("model == 'nearest'").set_index(["replacement", "protocol"])
    )
    honest = [(False, "image-random"), (False, "grouped"), (True, "grouped")]
    for key in honest:
        assert rows.loc[key, "copies"] == 0
        assert abs(rows.loc[key, "value"] - 1 / 3) < 0.12
    fake = rows.loc[(True, "image-random (leaky)")]
    # 80 draws of a class of 100 cells.
    assert fake["copies"] == pytest.approx(1 - (1 - 1 / 100) ** 80, abs=0.06)
    # Those with a copy are right, the others a guess.
    assert fake["value"] == pytest.approx(fake["copies"] + (1 - fake["copies"]) / 3, abs=0.08)
    gap = found.differences.query("model == 'nearest' and metric == 'accuracy'").set_index(
        "protocol"
    )
    assert gap.loc["image-random (leaky)", "low"] > 0.2
    assert gap.loc["grouped", "low"] < 0 < gap.loc["grouped", "high"] + 0.1
    assert "without and with replacement" in found.protocol


def test_resampling_refuses():
    with pytest.raises(CompareError, match=r"per_class=51.*smallest class"):
        evaluate.resampling("logistic", cells(), per_class=51)
    with pytest.raises(CompareError, match="a protocol of folds, not 'leaky-mids'"):
        evaluate.resampling("logistic", cells(), protocols=["leaky-mids"])
