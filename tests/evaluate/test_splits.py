"""The protocols: no group on both sides, and whatever leaks is called so."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hemafeat import evaluate
from hemafeat.evaluate import CompareError
from hemafeat.evaluate._protocols.protocols import PROTOCOLS
from hemafeat.evaluate._protocols.splits import Sample, copy_clusters, group_ids
from support.made_cells import QUICK, cells

LEAKY = [name for name in PROTOCOLS if name.startswith("leaky-")]


def divided(table, name="grouped", groups="group", seed=0, n_splits=5, **options):
    """The plan of a protocol for a table."""
    features = table[[c for c in table if c.count("__") == 2]]
    truth = table["label"].to_numpy().astype(str)
    given = Sample(truth, group_ids(table, groups), table, features, n_splits, seed, options)
    return PROTOCOLS[name].divide(given)


def test_no_group_on_both_sides():
    table = cells(n=200, n_groups=23)
    plan = divided(table, seed=3)
    ids = group_ids(table, "group").ids
    truth = table["label"].to_numpy()
    assert not plan.leaky
    seen = np.concatenate([test for _, test in plan.pairs])
    assert sorted(seen) == list(range(200))
    for train, test in plan.pairs:
        assert not set(ids[train]) & set(ids[test])
        assert set(truth[train]) == {"a", "b", "c"}
    assert plan.sentence == "5 folds, stratified by label, 23 patients never on both sides"


def test_random_split_is_marked_leaky():
    table = cells()
    plan = divided(table, "image-random")
    assert plan.leaky
    assert plan.protocol == "image-random (leaky)"
    assert "LEAKY, 30 of 30 patients are on both sides" in plan.sentence
    alone = divided(table, "image-random", groups=None)
    assert not alone.leaky
    assert alone.protocol == "image-random"
    found = evaluate.compare("logistic", table, protocol="image-random", **QUICK)
    assert found.leaky
    assert set(found.results["protocol"]) == {"image-random (leaky)"}
    assert set(found.summary()["protocol"]) == {"image-random (leaky)"}
    assert found.results["leaky"].all()


def test_groups_that_are_not_known():
    table = cells()
    unknown = group_ids(table.assign(group=pd.NA, patient=pd.NA), "group")
    assert unknown.n == 150
    assert "patients are unknown" in unknown.note
    # Cells of one image stay together even then.
    fields = table.assign(image=[f"{i // 5}.png" for i in range(150)])
    assert group_ids(fields, None).n == 30
    part = table.copy()
    part.loc[:9, "group"] = None
    some = group_ids(part, "group")
    assert "10 cells of unknown group stand alone" in some.note
    found = evaluate.compare("logistic", table.assign(group=pd.NA), **QUICK)
    assert "patients are unknown and may be on both sides" in found.protocol
    # Groups of identical files say nothing of patients.
    twins = table.assign(group=[f"g{i}" for i in range(150)], patient=pd.NA)
    assert "patients are unknown" in group_ids(twins, "group").note
    assert group_ids(twins, "group").noun == "groups"


def test_too_few_groups_of_a_class():
    table = cells()
    table.loc[table["label"] == "c", "group"] = "one"
    with pytest.raises(CompareError, match=r"5 folds need 5 groups of every class.*'c' \(1\)"):
        evaluate.compare("logistic", table, **QUICK)
    found = evaluate.compare("logistic", table, rare="drop", **QUICK)
    assert found.classes == ["a", "b"]
    assert "class 'c' left out: 50 cells" in found.errors["message"].iloc[0]
    table.loc[table.index[table["label"] == "c"][:20], "group"] = "two"
    with pytest.raises(CompareError, match="lower n_splits to 2"):
        evaluate.compare("logistic", table, **QUICK)


def test_official_split():
    table = cells()
    part = np.where(np.arange(150) < 90, "Train", np.where(np.arange(150) < 110, "val", "test"))
    found = evaluate.compare("logistic", table.assign(split=part), protocol="official", **QUICK)
    assert set(found.predictions["fold"]) == {"test"}
    assert len(found.predictions) == 2 * 40
    # The patients of this table are not divided by its made-up split.
    assert found.leaky
    assert "90 cells to train, 20 to validate, 40 to score" in found.protocol
    assert "in the training and in the validation part" in found.errors["message"].iloc[0]
    by_patient = np.where(table["patient"].isin([f"P{i}" for i in range(10)]), "test", "train")
    assert not evaluate.compare(
        "logistic", table.assign(split=by_patient), protocol="official", **QUICK
    ).leaky
    three = table["patient"].str[1:].astype(int) % 3
    found = evaluate.compare(
        "logistic", table.assign(split=[f"fold_{i}" for i in three]), protocol="official", **QUICK
    )
    assert "each of 3 in turn" in found.protocol
    for bad in (None, "train", "only"):
        with pytest.raises(CompareError, match="official"):
            evaluate.compare("logistic", table.assign(split=bad), protocol="official", **QUICK)
    lonely = np.where(table["label"] == "c", "test", by_patient)
    found = evaluate.compare("logistic", table.assign(split=lonely), protocol="official", **QUICK)
    assert "classes that the training part lacks: c" in " ".join(found.errors["message"])
    assert (found.predictions.query("model == 'logistic'")["p__c"] == 0).all()


def test_table_of_protocols():
    table = evaluate.protocols().set_index("name")
    assert list(table.columns) == ["leaky", "does", "reason", "source"]
    assert table.loc[LEAKY, "leaky"].all()
    assert (table.loc[LEAKY, "source"] != "").all()
    assert not table.loc[["grouped", "patient", "cross-dataset", "official"], "leaky"].any()
    with pytest.raises(CompareError, match="no protocol 'kfold'; there are: grouped, patient"):
        evaluate.compare("logistic", cells(), protocol="kfold", **QUICK)
    with pytest.raises(CompareError, match="'grouped' has no option 'train'; its options: none"):
        evaluate.protocol("grouped", train="x")


def test_by_patient_refuses_what_it_does_not_know():
    table = cells()
    # One group of copies ties two patients together: by patient they are apart again.
    tied = table.assign(group=table["patient"].replace("P1", "P0"))
    found = evaluate.compare("logistic", tied, protocol="patient", **QUICK)
    assert "30 patients never on both sides" in found.protocol
    assert "29 groups" in evaluate.compare("logistic", tied, **QUICK).protocol
    table.loc[:4, "patient"] = None
    with pytest.raises(CompareError, match="the patient of 5 of 150 cells is not known"):
        evaluate.compare("logistic", table, protocol="patient", **QUICK)
    with pytest.raises(CompareError, match="the patient of 150 of 150 cells"):
        evaluate.compare("logistic", table.drop(columns="patient"), protocol="patient", **QUICK)


def test_copies_stay_together():
    table = cells(n=90, n_groups=90)
    twin = table.iloc[:20].assign(image=[f"copy/{i}.png" for i in range(20)], patient="other")
    both = pd.concat([table, twin], ignore_index=True).drop(columns="group")
    plan = divided(both, "duplicates", groups="patient")
    for train, test in plan.pairs:
        for i in range(20):
            assert (i in test) == (90 + i in test)
            assert (i in train) == (90 + i in train)
    # The copies are said to be of another patient, who then stands on both sides.
    assert plan.leaky
    assert "different images" in plan.sentence
    assert not divided(table.drop(columns=["group", "patient"]), "duplicates", None).leaky


def test_copies_through_a_shared_image():
    """Two fields of two cells; a cell of one is a copy of a cell of the other: one cluster."""
    table = cells(n=9, n_groups=9)
    table["image"] = ["x", "x", "y", "y", "z", "u", "v", "w", "q"]
    features = table[[c for c in table if c.count("__") == 2]].copy()
    features.iloc[2] = features.iloc[1]
    features.iloc[5:7] = np.nan
    found = copy_clusters(
        Sample(table["label"].to_numpy(), group_ids(table, None), table, features)
    )
    assert len(set(found[:4])) == 1
    # Rows without any value are not taken for copies of each other.
    assert len(set(found)) == 6


def test_leave_one_batch_out():
    table = cells(n=240, n_groups=40)
    number = table["patient"].str[1:].astype(int)
    table["batch"] = np.where(number < 12, "x", np.where(number < 25, "y", "z"))
    plan = divided(table, "leave-one-batch-out")
    assert plan.names == ["x", "y", "z"]
    assert not plan.leaky
    batch = table["batch"].to_numpy()
    for name, (train, test) in zip(plan.names, plan.pairs, strict=True):
        assert set(batch[test]) == {name}
        assert name not in batch[train]
        assert len(train) + len(test) == 240
    # A patient of two batches does not train for the batch where it is scored.
    table.loc[number == 30, "batch"] = ["x", "z"] * 3
    again = divided(table, "leave-one-batch-out")
    ids = table["patient"].to_numpy()
    assert not again.leaky
    for train, test in again.pairs:
        assert not set(ids[train]) & set(ids[test])
    assert "batch 'x': 3 cells of patients that are scored do not train" in again.notes
    table.loc[table["label"] == "c", "batch"] = "z"
    rare = divided(table, "leave-one-batch-out")
    assert any("classes that no other batch has are not scored: c" in note for note in rare.notes)
    found = evaluate.compare(
        "logistic",
        table.rename(columns={"batch": "scanner"}),
        protocol=evaluate.protocol("leave-one-batch-out", column="scanner"),
        **QUICK,
    )
    assert set(found.results["protocol"]) == {"leave-one-batch-out"}
    assert "(column scanner)" in found.protocol
    with pytest.raises(CompareError, match="one batch only: 'q'"):
        divided(table.assign(batch="q"), "leave-one-batch-out")
    with pytest.raises(CompareError, match="needs a column 'dataset'"):
        divided(table.drop(columns="batch"), "leave-one-batch-out")


def test_cross_dataset():
    one = cells(n=120, n_groups=20).assign(dataset="one", um_per_px=0.1)
    two = cells(n=120, n_groups=20, seed=3, n_classes=4).assign(dataset="two", um_per_px=0.2)
    two["image"] = "two/" + two["image"]
    two["patient"] = two["group"] = "two " + two["patient"]
    both = pd.concat([one, two], ignore_index=True)
    plan = divided(both, "cross-dataset")
    assert plan.names == ["one to two", "two to one"]
    assert not plan.leaky
    label = both["label"].to_numpy()
    for (train, test), sides in zip(plan.pairs, (("one", "two"), ("two", "one")), strict=True):
        assert (set(both["dataset"][train]), set(both["dataset"][test])) == ({sides[0]}, {sides[1]})
        assert set(label[train]) == set(label[test]) == {"a", "b", "c"}
    assert "one to two: classes of two only are not used: d" in plan.notes
    assert any("a pixel is 0.1 um and 0.2 um; lengths are in um" in note for note in plan.notes)
    there = evaluate.protocol("cross-dataset", train="two", test="one")
    found = evaluate.compare("logistic", both, protocol=there, **QUICK)
    assert set(found.predictions["fold"]) == {"two to one"}
    assert found.classes == ["a", "b", "c"]
    unknown = divided(both.assign(um_per_px=np.nan), "cross-dataset")
    assert any("the scale of one and two is not known" in note for note in unknown.notes)
    # An image that is in both sets does not train for itself.
    both.loc[120, "group"] = both.loc[0, "group"]
    again = divided(both, "cross-dataset")
    assert not again.leaky
    assert any("that are scored do not train" in note for note in again.notes)
    for options, words in (
        ({"train": "three"}, "no data set 'three' in column 'dataset': one, two"),
        ({"train": "one", "test": "one"}, "cannot be both sides"),
    ):
        with pytest.raises(CompareError, match=words):
            divided(both, "cross-dataset", **options)
    with pytest.raises(CompareError, match="0 cells of 0 classes are left to train"):
        divided(both.assign(label=both["dataset"] + both["label"]), "cross-dataset")


def three_sets():
    """A table of three laboratories, whose third has a class of its own."""
    parts = []
    for seed, name in enumerate(("one", "two", "three")):
        part = cells(n=60, n_groups=20, seed=seed, n_classes=4 if name == "three" else 3)
        part = part.assign(dataset=name, image=name + "/" + part["image"])
        part["patient"] = part["group"] = name + " " + part["patient"]
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def test_several_data_sets_on_either_side():
    table = three_sets()
    dataset = table["dataset"].to_numpy()
    plan = divided(table, "cross-dataset", train=["one", "two"], test=["three"])
    assert plan.names == ["one + two to three"]
    ((train, test),) = plan.pairs
    assert (set(dataset[train]), set(dataset[test])) == ({"one", "two"}, {"three"})
    assert any("classes of three only are not used: d" in note for note in plan.notes)
    plan = divided(table, "cross-dataset", train="one", test=["two", "three"])
    assert plan.names == ["one to two", "one to three"]
    assert divided(table, "cross-dataset", train=["one", "two"]).names == ["one + two to three"]
    assert divided(table, "cross-dataset", test="two").names == ["one to two", "three to two"]
    with pytest.raises(CompareError, match="'two' cannot be both sides"):
        divided(table, "cross-dataset", train=["one", "two"], test=["two", "three"])
    with pytest.raises(CompareError, match="no data set 'four'"):
        divided(table, "cross-dataset", train=["one", "four"])


def test_leave_one_laboratory_out():
    table = three_sets().assign(batch="same")
    plan = divided(table, "leave-one-laboratory-out")
    assert plan.names == ["one", "three", "two"]
    dataset = table["dataset"].to_numpy()
    for name, (train, test) in zip(plan.names, plan.pairs, strict=True):
        assert set(dataset[test]) == {name}
        assert set(dataset[train]) == {"one", "two", "three"} - {name}
    assert any("classes that no other laboratory has are not scored: d" in n for n in plan.notes)
    with pytest.raises(CompareError, match="one laboratory only: 'same'"):
        divided(table.assign(dataset="same"), "leave-one-laboratory-out")


def test_scores_of_each_laboratory():
    table = three_sets()
    found = evaluate.compare("logistic", table, protocol="leave-one-laboratory-out", **QUICK)
    rows = found.per_dataset()
    assert set(rows["dataset"]) == {"one", "two", "three"}
    assert rows["model"].iloc[0] == "logistic"
    assert (rows.dropna().eval("low <= value <= high")).all()
    # The same as the score of the fold, which is the laboratory.
    folds = found.results.set_index(["model", "fold", "metric"])["value"]
    for row in rows.itertuples():
        if row.metric not in ("balanced_accuracy", "accuracy"):
            continue
        assert row.value == pytest.approx(folds[row.model, row.dataset, row.metric])
    # Folds that mix the laboratories are taken apart again.
    mixed = evaluate.compare("logistic", table, **QUICK | {"n_splits": 3, "rare": "drop"})
    of = mixed.predictions.query("model == 'logistic' and dataset == 'one'")
    row = mixed.per_dataset().query("model == 'logistic' and dataset == 'one'").set_index("metric")
    assert row.loc["accuracy", "n"] == len(of) == 60
    assert row.loc["accuracy", "value"] == (of["truth"] == of["predicted"]).mean()
    # A row that is scored twice is told by its direction.
    cross = evaluate.compare("logistic", table, protocol="cross-dataset", **QUICK)
    assert "one to two" in set(cross.per_dataset()["dataset"])
    one = table[table["dataset"] == "one"]
    assert evaluate.compare("logistic", one, **QUICK).per_dataset().empty


@pytest.mark.parametrize(
    ("name", "n", "sizes"),
    [
        # The sizes that the reports print.
        ("leaky-ufsc", 10661, (7995, 1333)),
        ("leaky-mids", 12528, (7516, 2506)),
        ("leaky-bernard", 17092, (10938, 3419)),
        ("leaky-hincapie", 17092, (13674, 160)),
    ],
)
def test_sizes_of_the_reports(name, n, sizes):
    table = cells(n=n, n_groups=118)
    plan = divided(table, name)
    ((train, test),) = plan.pairs
    assert (len(train), len(test)) == sizes
    assert not set(train) & set(test)
    assert plan.leaky
    both = len(set(table["patient"].iloc[train]) & set(table["patient"].iloc[test]))
    assert both > 80
    assert f"LEAKY, {both} of 118 patients are on both sides" in plan.sentence


def test_copies_of_a_report():
    table = cells(n=6000, n_groups=600)
    plan = divided(table, "leaky-bernard-copies", groups=None)
    ((train, test),) = plan.pairs
    assert (len(train), len(test)) == (1200, 300)
    share = np.isin(test, train).mean()
    # 400 draws of a class of 2,000 leave a given cell out with probability (1 - 1 / 2000) ** 400;
    # 300 cells scored, so that 3 standard errors are 7 points.
    assert share == pytest.approx(1 - (1 - 1 / 2000) ** 400, abs=0.07)
    assert f"{100 * share:.0f} % of those scored have a copy" in plan.sentence
    found = evaluate.compare("logistic", cells(), protocol="leaky-bernard-copies", **QUICK)
    assert len(found.predictions) == 2 * 300


@pytest.mark.parametrize("name", LEAKY)
def test_reports_are_leaky_by_name(name):
    """Also where no patient is known to be divided."""
    plan = divided(cells(n=600), name, groups=None)
    assert plan.leaky
    assert plan.protocol == name
    assert "LEAKY" in plan.sentence
    with pytest.raises(CompareError, match=rf"{name}.*(cannot divide 1 cells|fewer than two)"):
        divided(cells(n=1), name, groups=None)
