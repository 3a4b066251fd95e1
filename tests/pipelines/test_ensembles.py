"""Ensembles, inner folds of whole groups, and labels corrected by those of similar cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.metrics import cohen_kappa_score
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold

from hemafeat import evaluate, pipelines, report
from hemafeat.pipelines import GroupedFolds, ModelError
from hemafeat.pipelines._steps.inner_folds import hold_back

N = 90


@pytest.fixture(scope="module")
def table():
    """Three classes in a few columns; groups of three cells that look alike."""
    rng = np.random.default_rng(0)
    label = np.array(["a", "b", "c"])[np.arange(N) // 3 % 3]
    centre = np.searchsorted(["a", "b", "c"], label)[:, None] * np.array([1.5, -1.0, 0.0])
    group = np.repeat(rng.normal(0, 0.7, (N // 3, 3)), 3, axis=0)
    values = centre + group + rng.normal(0, 0.3, (N, 3))
    frame = pd.DataFrame(values, columns=[f"cell__shape__f{j}" for j in range(3)])
    head = {"image": [f"{i:03d}.png" for i in range(N)], "cell": 1, "label": label}
    return pd.concat([pd.DataFrame({**head, "group": np.arange(N) // 3}), frame], axis=1)


class Seen(ClassifierMixin, BaseEstimator):
    """Classifier that records the tables on which it was fitted."""

    takes_groups = True
    fits: list[pd.DataFrame] = []  # noqa: RUF012 - shared by the clones on purpose

    def __init__(self, random_state=0):
        self.random_state = random_state

    def fit(self, X, y):
        Seen.fits.append(X)
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


class Images(Seen):
    reads_images = True


def test_inner_folds_never_split_a_group(table):
    groups = table["group"].to_numpy()
    folds = GroupedFolds(4, random_state=1)
    assert folds.get_n_splits(table) == 4
    n_tested = np.zeros(N, dtype=int)
    expected = StratifiedGroupKFold(4, shuffle=True, random_state=1).split(
        table, table["label"], groups
    )
    for (train, test), (_, other) in zip(folds.split(table, table["label"]), expected, strict=True):
        assert not set(groups[train]) & set(groups[test])
        np.testing.assert_array_equal(test, other)
        n_tested[test] += 1
    assert (n_tested == 1).all()
    assert len(list(GroupedFolds(5).split(table[:6], table["label"][:6]))) == 2
    with pytest.raises(ValueError, match="one group only"):
        list(folds.split(table[:3], table["label"][:3]))
    few = pd.DataFrame({"group": range(6)})
    assert len(list(GroupedFolds(5).split(few, list("aaabbb")))) == 3
    assert GroupedFolds(5).get_n_splits(few, list("aaabbb")) == 3
    assert hold_back(np.array([0, 0, 0, 1, 1, 1]), np.arange(6), 0.1, 0).sum() == 2
    with pytest.raises(ValueError, match="one of each class"):
        list(folds.split(few, list("abcdef")))
    with pytest.raises(ValueError, match="no column 'group'"):
        list(folds.split(table.drop(columns="group"), table["label"]))
    alone = clone(folds).set_params(alone=True)
    assert len(list(alone.split(np.zeros((12, 1)), [0, 1, 2] * 4))) == 4


def test_rows_without_a_group_are_groups_of_their_own():
    from hemafeat.pipelines._steps.inner_folds import groups_of

    result = groups_of(pd.DataFrame({"group": ["p", None, "p", None]}))
    assert result[0] == result[2]
    assert len(set(result)) == 3


def test_holding_back_leaves_rows_of_every_class(table):
    numbers = np.searchsorted(["a", "b", "c"], table["label"])
    groups = table["group"].to_numpy()
    selected = hold_back(numbers, groups, 0.2, 0)
    assert 0.1 < selected.mean() < 0.3
    assert not set(groups[selected]) & set(groups[~selected])
    assert set(numbers[~selected]) == {0, 1, 2}
    # Every class is one group: whatever is held back, one class has nothing left.
    assert not hold_back(numbers, numbers, 0.3, 0).any()
    assert not hold_back(numbers, groups, 0.0, 0).any()


def test_an_average_is_the_mean(table):
    vote = pipelines.average(["logistic", "svc"]).fit(table, table["label"])
    single = [
        pipelines.make(name).fit(table, table["label"]).predict_proba(table)
        for name in ("logistic", "svc")
    ]
    np.testing.assert_allclose(vote.predict_proba(table), np.mean(single, axis=0))
    weighted = pipelines.average(["logistic", "svc"], weights=[3, 1]).fit(table, table["label"])
    np.testing.assert_allclose(
        weighted.predict_proba(table), (3 * single[0] + single[1]) / 4, rtol=1e-12
    )
    with pytest.raises(ValueError, match="two members"):
        pipelines.average(["svc"])
    with pytest.raises(ValueError, match="not one"):
        pipelines.average("svc")


def test_a_stack_is_fitted_on_predictions_for_unseen_groups(table):
    Seen.fits = []
    members = {"seen": Seen(), "logistic": pipelines.logistic()}
    model = pipelines.stack(members, n_splits=3).fit(table, table["label"])
    whole, *inner = Seen.fits
    assert len(whole) == N
    assert len(inner) == 3
    for part in inner:
        left = table.drop(index=part.index)
        assert not set(part["group"]) & set(left["group"])
    assert (model.predict(table) == table["label"]).mean() > 0.7


def test_weights_are_kappas_of_inner_folds(table):
    members = [("good", pipelines.logistic()), ("poor", Seen())]
    model = pipelines.WeightedVote(members, n_splits=3).fit(table, table["label"])
    y = table["label"].to_numpy()
    predicted = np.empty(N, dtype=object)
    for train, test in GroupedFolds(3).split(table, y):
        part = pipelines.logistic().fit(table.iloc[train], y[train])
        predicted[test] = part.predict(table.iloc[test])
    assert model.scores_["good"] == pytest.approx(cohen_kappa_score(y, predicted.astype(str)))
    assert model.scores_["poor"] == 0
    np.testing.assert_allclose(model.weights_, [1, 0])
    alone = pipelines.logistic().fit(table, y)
    np.testing.assert_allclose(model.predict_proba(table), alone.predict_proba(table))
    both = [("a", Seen()), ("b", Seen())]
    equal = pipelines.WeightedVote(both, metric="balanced_accuracy").fit(table, y)
    np.testing.assert_allclose(equal.weights_, [0.5, 0.5])
    assert clone(model).get_params()["good__model__C"] == 0.1
    with pytest.raises(ValueError, match="choose from kappa"):
        pipelines.weighted_vote(["svc", "logistic"], metric="f1").fit(table, y)


def test_bagging_draws_whole_groups(table):
    Seen.fits = []
    y = table["label"]
    pipelines.GroupedBagging(Seen(), n_estimators=4, random_state=0).fit(table, y)
    assert len(Seen.fits) == 4
    for part in Seen.fits:
        times = part["image"].value_counts()
        of_group = table.set_index("image")["group"].loc[times.index]
        assert (
            times.groupby(of_group.to_numpy()).agg(["min", "max", "size"]).nunique(axis=1)
        ).max() <= 2
        assert (times.groupby(of_group.to_numpy()).size() == 3).all()
        assert 10 < len(set(part["group"])) < 30
    assert not Seen.fits[0].equals(Seen.fits[1])
    bag = pipelines.GroupedBagging(pipelines.random_forest(n_estimators=3), n_estimators=3)
    first, second = bag.fit(table, y), clone(bag).fit(table, y)
    np.testing.assert_array_equal(first.predict_proba(table), second.predict_proba(table))
    mean = np.mean([member.predict_proba(table) for member in first.estimators_], axis=0)
    np.testing.assert_allclose(first.predict_proba(table), mean)
    seeds = {member["model"].random_state for member in first.estimators_}
    assert len(seeds) == 3
    with pytest.raises(ValueError, match="too few groups"):
        bag.fit(table[:6], ["a"] * 3 + ["a"] * 3)


def test_a_search_inside_keeps_groups_together(table):
    search = GridSearchCV(pipelines.logistic(), {"model__C": [0.1, 1.0]}, cv=GroupedFolds(3))
    assert pipelines.looks_at(search) == {"features", "groups"}
    comparison = evaluate.compare(
        {"search": search}, table, n_splits=3, n_boot=20, importance=False
    )
    assert "search" in comparison.models


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (pipelines.svc(), {"features"}),
        (pipelines.grey_pixels(), {"images"}),
        (Images(), {"images", "groups"}),
        (pipelines.average([pipelines.svc(), Images()]), {"features", "images", "groups"}),
        (pipelines.stack(["svc", "logistic"]), {"features", "groups"}),
        (pipelines.GroupedBagging(Images()), {"images", "groups"}),
        (pipelines.NeighbourhoodCorrection(pipelines.svc()), {"features"}),
    ],
)
def test_ensembles_look_at_what_their_members_do(model, expected):
    assert pipelines.looks_at(model) == expected
    assert pipelines.is_transductive(model) == isinstance(model, pipelines.NeighbourhoodCorrection)


def test_a_comparison_gives_each_member_what_it_looks_at(table):
    Seen.fits = []
    mixed = pipelines.average({"svc": pipelines.svc(), "images": Images()})
    stacked = pipelines.stack(["logistic", "svc"], n_splits=2)
    models = {"mixed": mixed, "stacked": stacked}
    comparison = evaluate.compare(models, table, n_splits=3, n_boot=20)
    assert set(comparison.models) == {"mixed", "stacked", "baseline"}
    for part in Seen.fits:
        assert list(part.columns[:2]) == ["image", "group"]
        assert "cell__shape__f0" in part.columns
        assert "label" not in part.columns
    renamed = table.rename(columns=lambda name: name.replace("cell__shape__", ""))
    other = evaluate.compare(
        models, renamed, columns=["f0", "f1", "f2"], n_splits=3, n_boot=20, importance=False
    )
    pd.testing.assert_frame_equal(
        comparison.predictions[["model", "truth", "predicted"]],
        other.predictions[["model", "truth", "predicted"]],
    )


def test_ensembles_are_saved(table, tmp_path):
    y = table["label"]
    features = [name for name in table if "__" in name]
    for name, model in {
        "stack": pipelines.stack(["logistic", "svc"], n_splits=2),
        "vote": pipelines.weighted_vote(["logistic", "svc"], n_splits=2),
        "bag": pipelines.GroupedBagging(pipelines.logistic(), n_estimators=2),
        "near": pipelines.NeighbourhoodCorrection(pipelines.svc()),
    }.items():
        model.fit(table, y)
        loaded = pipelines.load(pipelines.save(model, tmp_path / f"{name}.hemafeat"))
        assert loaded.columns == features, name
        np.testing.assert_array_equal(loaded.predict(table), model.predict(table), name)
    nameless = pipelines.logistic().fit(table[features].to_numpy(), y)
    with pytest.raises(ModelError, match="without column names"):
        pipelines.save(nameless, tmp_path / "m")


def naive_correction(vectors, labels, k, needed, sweeps):
    """Correct the labels cell by cell, following the text of the source."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = list(labels)
    for _ in range(sweeps):
        new = list(labels)
        for i in range(len(labels)):
            order = sorted(range(len(labels)), key=lambda j: (j != i, -(unit[i] @ unit[j])))
            near = [labels[j] for j in order[:k]]
            for name in set(near) - {labels[i]}:
                if near.count(name) >= needed[name]:
                    new[i] = name
        labels = new
    return np.array(labels)


@pytest.mark.parametrize("sweeps", [0, 1, 5])
def test_correction_with_the_thresholds_of_the_source(sweeps):
    rng = np.random.default_rng(3)
    vectors = np.vstack([rng.normal(m, 0.5, (40, 4)) for m in ([2, 0, 0, 1], [0, 2, 1, 0])])
    labels = np.repeat(["all", "hem"], 40)
    odd = rng.permutation(80)[:16]
    labels[odd] = np.where(labels[odd] == "all", "hem", "all")
    needed = {"hem": 4, "all": 5}
    corrected = pipelines.neighbourhood_correction(vectors, labels, needed=needed, sweeps=sweeps)
    np.testing.assert_array_equal(corrected, naive_correction(vectors, labels, 7, needed, sweeps))
    if sweeps:
        truth = np.repeat(["all", "hem"], 40)
        assert (corrected == truth).mean() > (labels == truth).mean()


def test_correction_of_unusual_input():
    vectors = np.eye(3)
    same = pipelines.neighbourhood_correction(vectors, ["a", "b", "c"])
    assert same.tolist() == ["a", "b", "c"], "no majority among three that differ"
    assert pipelines.neighbourhood_correction(np.empty((0, 2)), []).size == 0
    copies = pipelines.neighbourhood_correction(np.ones((3, 2)), ["a", "b", "b"], k=3)
    assert copies.tolist() == ["b", "b", "b"]
    for given, reason in (
        ((vectors, ["a"]), "3 vectors and 1 labels"),
        ((vectors * np.nan, ["a", "b", "c"]), "hold NaN"),
        ((vectors, ["a", "b", "c"], 0), "k is at least 1"),
    ):
        with pytest.raises(ValueError, match=reason):
            pipelines.neighbourhood_correction(*given)
    with pytest.raises(ValueError, match="method 'embed'"):
        pipelines.NeighbourhoodCorrection(Seen()).fit(vectors, ["a", "b", "c"])


def test_a_threshold_matched_to_the_prior_gives_each_class_its_share(table):
    two = table[table["label"] != sorted(set(table["label"]))[-1]]
    rng = np.random.default_rng(0)
    y = np.where(rng.random(len(two)) < 0.7, "all", "hem")
    near = pipelines.NeighbourhoodCorrection(pipelines.logistic(), sweeps=0, match_prior=True)
    near.fit(two, y)
    share = (y == "all").mean()
    np.testing.assert_allclose(near.prior_, [share, 1 - share])
    some = two.iloc[:41]
    labels = near.predict(some)
    # As in the source: the sorted score at round(n * share) is the last of the first class.
    scores = near.estimator_.predict_proba(some)[:, 1]
    threshold = np.sort(scores)[round(41 * share) - 1]
    np.testing.assert_array_equal(labels, np.where(scores > threshold, "hem", "all"))
    assert (labels == "all").sum() == round(41 * share)
    corrected = pipelines.NeighbourhoodCorrection(
        pipelines.logistic(), sweeps=1, match_prior=True
    ).fit(two, y)
    vectors = corrected.estimator_[:-1].transform(some)
    expected = pipelines.neighbourhood_correction(vectors, labels, sweeps=1)
    np.testing.assert_array_equal(corrected.predict(some), expected)
    with pytest.raises(ValueError, match=r"there are \d classes, not 2"):
        near.fit(table, np.arange(len(table)) % 3)


def test_transductive_scores_are_marked(table, tmp_path):
    near = pipelines.NeighbourhoodCorrection(pipelines.logistic())
    models = {"logistic": pipelines.logistic(), "near": near}
    comparison = evaluate.compare(models, table, n_splits=3, n_boot=20, importance=False)
    assert comparison.transductive == ["near"]
    assert "TRANSDUCTIVE: near saw the cells scored together" in comparison.protocol
    protocols = comparison.summary()["protocol"]
    assert protocols["near"] == "grouped, transductive"
    assert protocols["logistic"] == "grouped"
    assert evaluate.load(comparison.save(tmp_path / "out")).transductive == ["near"]
    page = report.page(comparison, tmp_path / "page.html").read_text("utf-8")
    assert "transductive: saw the tested cells together" in page
    plain = evaluate.compare("logistic", table, n_splits=3, n_boot=20, importance=False)
    assert plain.transductive == []
    assert "TRANSDUCTIVE" not in plain.protocol
