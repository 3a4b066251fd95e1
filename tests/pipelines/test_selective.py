"""Classifiers that refuse cells: what is refused, and why; groups; files."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.svm import SVC

from hemafeat import evaluate, pipelines
from support.made_cells import QUICK, cells

FEATURES = ["nucleus__shape__area", "nucleus__shape__perimeter"]


def table_of(n=240, seed=0, groups=60):
    """Cells of three classes in a triangle; one in ten lies between two of them."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 3
    centre = np.array([[0.0, 0.0], [6.0, 0.0], [3.0, 5.0]])
    table = pd.DataFrame(centre[label] + rng.normal(0, 0.8, (n, 2)), columns=FEATURES)
    mixed = rng.uniform(size=n) < 0.1
    table.loc[mixed, FEATURES] = centre.mean(axis=0) + rng.normal(0, 1.0, (mixed.sum(), 2))
    table["label"] = np.array(["a", "b", "c"])[label]
    table["group"] = [f"P{k % groups}" for k in range(n)]
    return table


@pytest.fixture(scope="module")
def model():
    table = table_of()
    made = pipelines.SelectiveClassifier(pipelines.logistic(C=10.0), coverage=0.9)
    return made.fit(table, table["label"])


def test_what_is_refused(model):
    new = pd.DataFrame([[0.0, 0.0], [6.0, 0.0], [40.0, -30.0]], columns=FEATURES)
    answers = model.answers(new)
    assert answers["predicted"][:2].tolist() == ["a", "b"]
    assert answers["refused"][:2].tolist() == ["", ""]
    assert answers["set"][:2].tolist() == ["a", "b"]
    assert answers["refused"][2] == "unlike the cells trained on"
    assert (answers["anomaly"][:2] < 1).all()
    assert answers["anomaly"][2] > 1
    np.testing.assert_allclose(answers.filter(regex="^p__").sum(axis=1), 1)
    assert (answers["coverage"] == 0.9).all()
    # The text says what `predict_set` says.
    named = [" | ".join(model.classes_[row]) for row in model.predict_set(new)]
    assert answers["set"].tolist() == named
    np.testing.assert_array_equal(answers["anomaly"], model.anomaly(new))
    np.testing.assert_array_equal(answers["predicted"], model.predict(new))


def test_a_set_of_none_and_of_several():
    table = table_of()
    # A coverage that is hard to reach needs several classes, one that is easy leaves none.
    for coverage, reason in ((0.97, "more than one class is likely"), (0.6, "no class is likely")):
        made = pipelines.SelectiveClassifier(pipelines.logistic(C=10.0), coverage=coverage)
        made.fit(table, table["label"])
        answers = made.answers(table_of(seed=1))
        assert answers["refused"].str.startswith(reason).any()
        sizes = made.predict_set(table_of(seed=1)).sum(axis=1)
        stands = answers["refused"] == ""
        assert (sizes[answers["refused"] == made.SEVERAL] > 0).all()
        assert (sizes[answers["refused"] == made.NONE] == 0).all()
        assert (answers.loc[stands, "set"] == answers.loc[stands, "predicted"]).all()


def test_coverage_and_false_alarms_of_new_cells(model):
    new = table_of(n=3000, seed=5, groups=3000)
    sets = model.predict_set(new)
    codes = np.searchsorted(model.classes_, new["label"])
    # 80 cells of each class were held out, so that a threshold at .9 has a standard error of 3.4
    # points in one class and 2 on average.
    assert sets[np.arange(3000), codes].mean() == pytest.approx(0.9, abs=0.06)
    assert (model.anomaly(new) > 1).mean() < 0.05


class Spy(ClassifierMixin, BaseEstimator):
    """A classifier that notes which groups it was fitted to and asked for."""

    seen: ClassVar[list] = []

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.groups_ = set(X["group"])
        return self

    def predict_proba(self, X):
        type(self).seen.append((self.groups_, set(X["group"])))
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


def test_no_group_is_on_both_sides_of_an_inner_fold():
    table = table_of()
    Spy.seen = []
    pipelines.SelectiveClassifier(Spy(), n_splits=4).fit(table, table["label"])
    assert len(Spy.seen) == 4
    assert not any(fitted & asked for fitted, asked in Spy.seen)
    assert set.union(*(asked for _, asked in Spy.seen)) == set(table["group"])


def test_refusals():
    table = table_of()
    make = pipelines.SelectiveClassifier
    with pytest.raises(ValueError, match="no column 'group'"):
        make(pipelines.svc()).fit(table.drop(columns="group"), table["label"])
    make(pipelines.svc(), alone=True, n_splits=2).fit(table[FEATURES], table["label"])
    with pytest.raises(ValueError, match=r"coverage=95: a share between 0 and 1"):
        make(pipelines.svc(), coverage=95).fit(table, table["label"])
    with pytest.raises(ValueError, match="SVC has no probabilities"):
        make(SVC()).fit(table[FEATURES].assign(group=range(len(table))), table["label"])
    with pytest.raises(ValueError, match="labels are missing"):
        make(pipelines.svc()).fit(table, table["label"].where(table.index > 3))
    few = table_of(groups=7)
    with pytest.warns(UserWarning, match="from 19 groups on; there are 7"):
        make(pipelines.svc(), n_splits=3).fit(few, few["label"])


def test_arrays_and_other_libraries():
    table = table_of()
    made = pipelines.SelectiveClassifier(pipelines.svc(), n_splits=2, alone=True)
    of_array = clone(made).fit(table[FEATURES].to_numpy(), table["label"].to_numpy())
    of_table = clone(made).fit(table[FEATURES], table["label"])
    np.testing.assert_allclose(
        of_array.predict_proba(table[FEATURES].to_numpy()), of_table.predict_proba(table[FEATURES])
    )
    np.testing.assert_allclose(
        of_array.anomaly(table[FEATURES].to_numpy()), of_table.anomaly(table[FEATURES])
    )


def test_a_file_holds_all_of_it(model, tmp_path):
    pipelines.save(model, tmp_path / "m.hemafeat")
    again = pipelines.load(tmp_path / "m.hemafeat")
    new = table_of(seed=3)
    pd.testing.assert_frame_equal(again.answers(new), model.answers(new))
    assert again.columns == FEATURES
    plain = pipelines.logistic().fit(new, new["label"])
    pipelines.save(plain, tmp_path / "plain.hemafeat")
    with pytest.raises(pipelines.ModelError, match=r"plain\.hemafeat refuses no cells"):
        pipelines.load(tmp_path / "plain.hemafeat").answers(new)


def test_images_without_vectors_are_never_unlike(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 60, (40, 40, 3), dtype=np.uint8) + 150 * (k % 2) for k in range(24)]
    images = [image.astype(np.uint8) for image in images]
    forest = pipelines.grey_pixels(crop=32, size=4)
    made = pipelines.SelectiveClassifier(forest, n_splits=2, alone=True)
    made.fit(images, ["dark", "light"] * 12)
    # The pixels of its first step are its vectors.
    assert np.isfinite(made.anomaly(images)).all()
    vote = pipelines.average([forest, pipelines.grey_pixels(crop=16, size=4)])
    made = pipelines.SelectiveClassifier(vote, n_splits=2, alone=True)
    made.fit(images, ["dark", "light"] * 12)
    assert np.isnan(made.anomaly(images)).all()
    assert not (made.answers(images)["refused"] == made.UNLIKE).any()
    pipelines.save(made, tmp_path / "m.hemafeat")
    assert pipelines.load(tmp_path / "m.hemafeat").pipeline.limit_ == np.inf


def test_neighbours_by_definition():
    rng = np.random.default_rng(4)
    X = rng.normal(size=(600, 5)) * [1.0, 2.0, 1.0, 0.5, 1.5]
    y = np.repeat(["a", "b", "c"], 200)
    X[200:400, 0] += 6
    found = pipelines.ClassNeighbours(n_neighbors=2, n_components=3).fit(X, y)
    assert found.axes_.shape == (5, 3 + 2)
    Z = (X - X.mean(axis=0)) @ found.axes_
    within = np.concatenate([Z[y == name] - Z[y == name].mean(axis=0) for name in "abc"])
    # Whitened within the classes, up to the shrinkage of the covariance.
    assert np.diag(within.T @ within / 600) == pytest.approx(np.ones(5), abs=0.1)
    new = rng.normal(size=(4, 5)) * [[1.0], [1.0], [4.0], [4.0]]
    at = (new - X.mean(axis=0)) @ found.axes_
    expected = []
    for point in at:
        distance = np.sqrt(((Z - point) ** 2).sum(axis=1))
        nearest, second, _ = sorted(np.sort(distance[y == name])[:2].mean() for name in "abc")
        expected.append(-(nearest**2) / second)
    # Farther from the three principal axes than one in a hundred of the training cells.
    axes = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)[2][:3]
    rest = [np.linalg.norm(Y - Y @ axes.T @ axes, axis=1) for Y in (X - X.mean(0), new - X.mean(0))]
    limit = np.quantile(rest[0], 0.99)
    assert (rest[1] > limit).any()
    assert (rest[1] < limit).any()
    expected = expected * np.maximum(1, rest[1] / limit) ** 2
    # The points are kept in single precision.
    np.testing.assert_allclose(found.score_samples(new), expected, rtol=1e-4)
    with pytest.raises(ValueError, match="only one class"):
        pipelines.ClassNeighbours().fit(X, ["a"] * 600)


def test_a_left_out_class_and_cells_between_are_odd():
    rng = np.random.default_rng(6)
    X = np.concatenate([rng.normal(0, 1, (80, 6)) + 5 * np.eye(6)[k] for k in range(3)])
    detector = pipelines.ClassNeighbours().fit(X, np.repeat(["a", "b", "c"], 80))
    usual = detector.score_samples(rng.normal(0, 1, (50, 6)) + 5 * np.eye(6)[0])
    new = detector.score_samples(rng.normal(0, 1, (50, 6)) + 5 * np.eye(6)[3])
    between = detector.score_samples(rng.normal(0, 1, (50, 6)) + 2.5 * np.eye(6)[0])
    assert np.mean(usual[:, None] > new) > 0.95
    assert np.mean(usual[:, None] > between) > 0.6
    # Another laboratory: a little of everything, in columns that did not vary.
    wide = np.hstack([X, rng.normal(0, 0.1, (240, 60))])
    detector = pipelines.ClassNeighbours(n_components=6).fit(wide, np.repeat(["a", "b", "c"], 80))
    there = wide[:50] + np.r_[np.zeros(6), np.full(60, 0.3)]
    assert np.mean(detector.score_samples(wide)[:, None] > detector.score_samples(there)) > 0.95


def test_in_a_comparison(tmp_path):
    table = cells(n=240, n_groups=60, signal=2.5)
    models = {
        "svc": pipelines.SelectiveClassifier(pipelines.svc(), n_splits=3),
        "logistic": pipelines.logistic(),
    }
    found = evaluate.compare(
        models, table, n_splits=3, n_boot=50, importance=3000, keep=tmp_path / "fits"
    )
    rows = found.predictions.set_index("model")
    added = ["set", "coverage", "anomaly", "refused", *(f"uncalibrated__{c}" for c in "abc")]
    assert rows.loc["svc", added].notna().all(axis=None)
    assert rows.loc["logistic", added].isna().all(axis=None)
    probability = rows.loc["svc", ["p__a", "p__b", "p__c"]].to_numpy()
    assert (np.array(list("abc"))[probability.argmax(axis=1)] == rows.loc["svc", "predicted"]).all()
    assert set(found.importances["model"]) == {"svc", "logistic"}
    answers = found.answers()
    assert answers["model"].tolist() == ["svc"]
    (row,) = answers.to_dict("records")
    of = rows.loc["svc"]
    inside = [t in s.split(" | ") for t, s in zip(of["truth"], of["set"], strict=True)]
    assert row["coverage"] == pytest.approx(np.mean(inside))
    assert row["coverage_low"] <= row["coverage"] <= row["coverage_high"]
    stands = of[of["refused"] == ""]
    assert row["answered"] == pytest.approx((stands["truth"] == stands["predicted"]).mean())
    assert row["refused"] == pytest.approx(1 - len(stands) / len(of))
    assert not [remark for remark in found.remarks() if remark.startswith("The sets of")]
    wrong = found.predictions.copy()
    wrong.loc[wrong["model"] == "svc", "set"] = "a"
    remarks = dataclasses.replace(found, predictions=wrong).remarks()
    (remark,) = [remark for remark in remarks if remark.startswith("The sets of")]
    assert "svc hold the true class of 0.333 [" in remark
    found.save(tmp_path / "saved")
    pd.testing.assert_frame_equal(evaluate.load(tmp_path / "saved").answers(), answers)
    plain = evaluate.compare("logistic", table, n_splits=3, **QUICK)
    assert plain.answers().empty


def test_interrupted_comparisons_keep_the_answers(tmp_path):
    from hemafeat.evaluate._compare import set_up
    from hemafeat.evaluate._fit import run_all
    from hemafeat.evaluate._kept import KeptFits

    table = cells(n=90, n_groups=45, signal=2.5)
    made = {"svc": pipelines.SelectiveClassifier(pipelines.svc(), n_splits=2)}
    tasks = set_up(made, table, n_splits=2).tasks()
    kept = KeptFits(tmp_path, tasks)
    outcomes = run_all(tasks, 1, None, {}, kept.write)
    again = KeptFits(tmp_path, tasks).read(tasks)
    assert len(again) == len(tasks)
    assert outcomes[0].answers is not None
    pd.testing.assert_frame_equal(again[0].answers, outcomes[0].answers)
    assert again[2].answers is None


def test_a_set_of_another_class_than_the_most_probable_is_refused(model, monkeypatch):
    new = pd.DataFrame([[0.0, 0.0]], columns=FEATURES)
    monkeypatch.setattr(model, "_uncalibrated", lambda X: np.array([[0.5, 0.4, 0.1]]))
    monkeypatch.setattr(model, "temperature_", 1.0)
    monkeypatch.setattr(model, "thresholds_", np.array([0.4, 0.7, 0.4]))
    answers = model.answers(new)
    assert (answers["predicted"][0], answers["set"][0]) == ("a", "b")
    assert answers["refused"][0] == model.SEVERAL


def test_cells_of_another_laboratory_are_compared_where_they_are_moved_to(tmp_path):
    rng = np.random.default_rng(3)
    names = [f"cell__shape__x{k}" for k in range(20)]
    centres = 1.5 * np.random.default_rng(7).normal(size=(3, 20))

    def laboratory(n, shift, factor=1.0):
        codes = np.arange(n) % 3
        values = centres[codes] + rng.normal(size=(n, 20))
        table = pd.DataFrame(factor * values + shift, columns=names)
        return table.assign(group=np.arange(n)), np.array(list("abc"))[codes]

    home, labels = laboratory(300, 0.0)
    there, truth = laboratory(240, 3.0 * np.random.default_rng(8).normal(size=20), 1.3)
    aligned = pipelines.Aligned(pipelines.logistic(), reach=100.0)
    made = pipelines.SelectiveClassifier(aligned, coverage=0.9, n_splits=3).fit(home, labels)
    assert pipelines.is_transductive(made)
    # The estimator tells the detector where it moved the cells.
    vectors = made.estimator_.embed(there)
    np.testing.assert_array_equal(
        made.anomaly(there), -made.detector_.score_samples(vectors) / made.limit_
    )
    plain = pipelines.SelectiveClassifier(pipelines.logistic(), coverage=0.9, n_splits=3)
    plain.fit(home, labels)

    def found(model):
        answers = model.answers(there)
        inside = [t in s.split(" | ") for t, s in zip(truth, answers["set"], strict=True)]
        return np.mean(inside), (answers["refused"] == model.UNLIKE).mean()

    assert found(plain)[1] > 0.9
    coverage, unlike = found(made)
    assert coverage > 0.85
    assert unlike < 0.1
    pipelines.save(made, tmp_path / "m.hemafeat")
    again = pipelines.load(tmp_path / "m.hemafeat")
    pd.testing.assert_frame_equal(again.answers(there), made.answers(there))


def test_odd_cells_get_larger_sets():
    table = table_of(n=2400, groups=2400)
    made = pipelines.SelectiveClassifier(pipelines.logistic(C=10.0), coverage=0.9, n_splits=2)
    made.fit(table, table["label"])
    assert len(made.edges_) == 4
    assert (np.diff(made.least_) >= 0).all()
    new = table_of(n=2400, seed=5)
    oddness = made.anomaly(new) * made.limit_
    limits = np.maximum(
        made.thresholds_, made.least_[np.searchsorted(made.edges_, oddness)][:, None]
    )
    np.testing.assert_array_equal(made.predict_set(new), 1 - made.predict_proba(new) <= limits)
    odd = oddness > made.edges_[2]
    inside = made.predict_set(new)[np.arange(2400), np.searchsorted(made.classes_, new["label"])]
    assert 0.02 < odd.mean() < 0.1
    # Without their own thresholds these cells, which lie between classes, are not covered.
    assert inside[odd].mean() > 0.8
    without = 1 - made.predict_proba(new) <= made.thresholds_
    assert without[odd, np.searchsorted(made.classes_, new["label"])[odd]].mean() < 0.8


@pytest.mark.networks
def test_a_network_compares_cells_by_its_embedding(tmp_path):
    pytest.importorskip("keras")
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 60, (40, 40, 3)) + 150 * (k % 2) for k in range(16)]
    images = [image.astype(np.uint8) for image in images]
    network = pipelines.make("lenet5", epochs=1, size=32)
    made = pipelines.SelectiveClassifier(network, coverage=0.8, n_splits=2, alone=True)
    made.fit(images, ["dark", "light"] * 8)
    vectors = made.estimator_.embed(images)
    expected = -made.detector_.score_samples(vectors) / made.limit_
    np.testing.assert_allclose(made.anomaly(images), expected, rtol=1e-5)
    pipelines.save(made, tmp_path / "m.hemafeat")
    again = pipelines.load(tmp_path / "m.hemafeat").pipeline
    np.testing.assert_allclose(again.predict_proba(images), made.predict_proba(images), atol=1e-5)
