"""Models of patients: votes, rules and stacks computed by hand, and signals in drawn cohorts."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict

from hemafeat import datasets, pipelines

ATTRIBUTES = ["sex", "dob", "lymphocyte_count"]
SHARED = ("table_logistic", "table_random_forest", "table_svc", "table_means", "prototypes")
VOTES = ("vote_mean", "vote_majority")
NAMES = (*SHARED, "fisher", "table_xgboost", *VOTES)


@cache
def drawn(n, seed, **params):
    table = datasets.drawn_bags(n, cells=(15, 45), random_state=seed, **params)
    return pipelines.bags(table, attributes=ATTRIBUTES)


def quick(name, seed=0):
    """Make a model with few trees."""
    model = pipelines.make_patient(name, random_state=seed)
    few = {"model__n_estimators": 40} if hasattr(model, "steps") else {}
    return model.set_params(**few) if few.keys() <= model.get_params().keys() else model


def auroc(name, seeds, n=50, **params):
    """Return the area under the ROC curve on other patients for each seed."""
    result = []
    for seed in seeds:
        train, test = drawn(n, 2 * seed, **params), drawn(120, 2 * seed + 1, **params)
        model = quick(name, seed).fit(train, train["label"])
        position = list(model.classes_).index("malignant")
        result.append(
            roc_auc_score(test["label"] == "malignant", model.predict_proba(test)[:, position])
        )
    return np.array(result)


def half_width(values):
    """Return the half width of the 95 % interval of the mean over seeds (Student)."""
    from scipy.stats import t

    return t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))


@pytest.fixture(scope="module")
def baseline():
    return auroc("bag_size", range(3))


@pytest.mark.parametrize("name", NAMES)
def test_a_planted_signal_is_recovered_above_the_bag_size(name, baseline):
    gain = auroc(name, range(3)) - baseline
    assert gain.mean() - half_width(gain) > 0.05, (name, gain)


def test_one_abnormal_cell_is_enough_for_the_largest_probability():
    params = {"abnormal": (0.0, 0.4), "effect": 4.0, "patient_spread": 0.2, "n_features": 4}
    gain = auroc("vote_max", range(3), **params) - auroc("bag_size", range(3), **params)
    assert gain.mean() - half_width(gain) > 0.05, gain


@pytest.mark.parametrize("name", [*SHARED[:2], "fisher", "vote_mean", "bag_size"])
def test_scores_without_a_signal_are_at_chance(name):
    result = auroc(name, range(3), abnormal=(0.2, 0.2))
    # 120 patients: an area of chance has a standard error of .053, of three .031.
    assert abs(result.mean() - 0.5) < 0.1, result


def test_a_leak_of_the_bag_size_is_found_by_its_baseline_and_by_counts():
    params = {"abnormal": (0.2, 0.2), "leak_size": 0.7}
    assert auroc("bag_size", range(3), **params).min() > 0.75
    train, test = drawn(50, 0, **params), drawn(160, 1, **params)
    result = {}
    for statistic in ("mean", "count"):
        model = pipelines.patient_table("random_forest", "means")
        model.set_params(table__statistics=[statistic]).fit(train, train["label"])
        position = list(model.classes_).index("malignant")
        result[statistic] = roc_auc_score(
            test["label"] == "malignant", model.predict_proba(test)[:, position]
        )
    assert result["count"] > 0.75
    assert abs(result["mean"] - 0.5) < 0.12


@pytest.mark.parametrize("aggregate", ["mean", "majority", "min", "max"])
def test_votes_are_as_counted_by_hand(aggregate):
    train, test = drawn(20, 1), drawn(12, 2)
    model = pipelines.cell_vote("logistic", aggregate, positive="malignant")
    result = model.fit(train, train["label"]).predict_proba(test)
    position = list(model.classes_).index("malignant")
    by_hand = []
    for bag in test["cells"]:
        chance = [
            model.model_.predict_proba(pd.DataFrame([row], columns=bag.columns))[0, position]
            for row in bag.features
        ]
        by_hand.append(
            {
                "mean": np.mean(chance),
                "majority": np.mean([c > 0.5 for c in chance]),
                "min": min(chance),
                "max": max(chance),
            }[aggregate]
        )
    np.testing.assert_allclose(result[:, position], by_hand, rtol=1e-9)
    np.testing.assert_allclose(result.sum(axis=1), 1.0)
    other = clone(model).set_params(positive="reactive").fit(train, train["label"])
    if aggregate == "min":  # the smallest probability of one class is the largest of the other
        swapped = clone(other).set_params(aggregate="max").fit(train, train["label"])
        np.testing.assert_allclose(swapped.predict_proba(test)[:, position], result[:, position])


@pytest.mark.parametrize("aggregate", ["mean", "majority", "min", "max"])
def test_votes_on_labels_are_labels(aggregate):
    train, test = drawn(20, 1), drawn(40, 2)
    model = pipelines.cell_vote("logistic", aggregate, labels="hard", positive="malignant")
    model.fit(train, train["label"])
    place = list(model.classes_).index("malignant")
    votes = [cells.argmax(axis=1) == place for cells in model.cell_proba(test)]
    rule = {"min": np.all, "max": np.any}.get(aggregate, lambda one: one.mean() > 0.5)
    wanted = np.array([rule(one) for one in votes])
    np.testing.assert_array_equal(model.predict_proba(test)[:, place], wanted.astype(float))
    np.testing.assert_array_equal(model.predict(test) == "malignant", wanted)
    # A tie of the cells is negative, whichever class is named first.
    tie = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert model.vote(tie).tolist() == ([0.0, 1.0] if aggregate != "max" else [1.0, 0.0])
    part = pipelines.cell_contributions(model, test[:2], positive="malignant")
    soft = clone(model).set_params(labels="soft").fit(train, train["label"])
    if aggregate != "mean":
        same = pipelines.cell_contributions(soft, test[:2], positive="malignant")
        pd.testing.assert_frame_equal(part, same)
    with pytest.raises(ValueError, match="labels='both'"):
        clone(model).set_params(labels="both").fit(train, train["label"])


class Recorder(ClassifierMixin, BaseEstimator):
    """A classifier that keeps what it is fitted on."""

    takes_validation = True

    def fit(self, X, y, validation=None):
        self.classes_ = np.unique(y)
        self.seen_ = X, np.asarray(y), validation
        return self

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


def test_cells_of_the_rarer_class_are_repeated():
    train = drawn(20, 1)
    label = np.where(np.arange(20) < 4, "a", "b")
    model = pipelines.CellVote(Recorder(), oversample=True).fit(train, label)
    cells, labels, _ = model.model_.seen_
    sizes = np.array([len(bag) for bag in train["cells"]])
    n_rare, n = sizes[:4].sum(), sizes.sum()
    assert (labels == "a").sum() == (labels == "b").sum() == n - n_rare
    # All cells are there once; then those of the rare class, each as often as the others.
    np.testing.assert_array_equal(cells[:n], np.vstack([bag.features for bag in train["cells"]]))
    assert (labels[n:] == "a").all()
    times = cells[labels == "a"].value_counts()
    assert set(times) <= {(n - n_rare) // n_rare, -(-(n - n_rare) // n_rare)}
    again = clone(model).fit(train, label).model_.seen_[0]
    pd.testing.assert_frame_equal(again, cells)
    other = clone(model).set_params(random_state=1).fit(train, label).model_.seen_[0]
    assert not other.equals(cells)
    assert len(clone(model).set_params(oversample=False).fit(train, label).model_.seen_[1]) == n


def test_a_validation_part_reaches_the_models_that_take_it():
    train, valid = drawn(20, 1), drawn(8, 2)
    part = (valid, valid["label"])
    vote = pipelines.CellVote(Recorder(), "mean")
    rule = pipelines.DecisionRule([("cells", vote), ("other", pipelines.attributes_only())])
    assert vote.takes_validation
    assert rule.takes_validation
    fitted = rule.fit(train, train["label"], validation=part).models_[0][1]
    cells, labels = fitted.model_.seen_[2]
    sizes = [len(bag) for bag in valid["cells"]]
    np.testing.assert_array_equal(labels, np.repeat(valid["label"].to_numpy(), sizes))
    np.testing.assert_array_equal(cells, np.vstack([bag.features for bag in valid["cells"]]))
    plain = pipelines.cell_vote()
    assert not plain.takes_validation
    with pytest.raises(ValueError, match="CellPipeline takes no validation part"):
        plain.fit(train, train["label"], validation=part)


def combined_models():
    return [
        ("cells", pipelines.patient_table("logistic", "means")),
        ("attributes", pipelines.attributes_only()),
    ]


@pytest.mark.parametrize("rule", ["weighted", "min", "max"])
def test_rules_are_those_of_the_formula(rule):
    train, test = drawn(40, 1, attribute_signal=1.0), drawn(20, 2, attribute_signal=1.0)
    weights = [0.3, 0.7] if rule == "weighted" else None
    model = pipelines.DecisionRule(combined_models(), rule, weights, "malignant").fit(
        train, train["label"]
    )
    a, b = (
        clone(m).fit(train, train["label"]).predict_proba(test)[:, 0] for _, m in combined_models()
    )
    assert list(model.classes_) == ["malignant", "reactive"]
    expected = {"weighted": 0.3 * a + 0.7 * b, "min": np.minimum(a, b), "max": np.maximum(a, b)}
    np.testing.assert_allclose(model.predict_proba(test)[:, 0], expected[rule])
    hard = (model.predict(test) == "malignant") == (expected[rule] >= 0.5)
    assert hard.all()


def test_min_is_both_and_max_is_either():
    train, test = drawn(40, 1, attribute_signal=1.0), drawn(60, 2, attribute_signal=1.0)
    votes = [
        clone(m).fit(train, train["label"]).predict(test) == "malignant"
        for _, m in combined_models()
    ]
    for rule, expected in (("min", votes[0] & votes[1]), ("max", votes[0] | votes[1])):
        model = pipelines.DecisionRule(combined_models(), rule, positive="malignant")
        result = model.fit(train, train["label"]).predict(test) == "malignant"
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(("rule", "weights"), [("weighted", w) for w in (None, [0.3, 0.7])] + [
    ("min", None), ("max", None)
])  # fmt: skip
def test_rules_on_labels_are_those_of_the_report(rule, weights):
    train, test = drawn(40, 1, attribute_signal=1.0), drawn(60, 2, attribute_signal=1.0)
    votes = np.array(
        [
            clone(m).fit(train, train["label"]).predict(test) == "malignant"
            for _, m in combined_models()
        ]
    )
    # Equal weights: above one half only if both say so. Others: the model with the larger one.
    wanted = {"max": votes.any(axis=0), "min": votes.all(axis=0)}.get(
        rule, votes[1] if weights else votes.all(axis=0)
    )
    assert 0 < wanted.sum() < 60
    for positive in ("malignant", None):
        model = pipelines.DecisionRule(combined_models(), rule, weights, positive, labels="hard")
        model.fit(train, train["label"])
        np.testing.assert_array_equal(model.predict(test) == "malignant", wanted)
        assert set(model.predict_proba(test).ravel()) == {0.0, 1.0}
    with pytest.raises(ValueError, match="labels='hard' is for two classes"):
        pipelines.DecisionRule(combined_models(), labels="hard").fit(
            train, np.resize(["a", "b", "c"], len(train))
        )


def test_a_stack_is_fitted_on_predictions_for_unseen_patients():
    train = drawn(40, 1, attribute_signal=1.0)
    model = pipelines.PatientStack(combined_models(), n_splits=4).fit(train, train["label"])
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    for column, (_, member) in enumerate(combined_models()):
        chance = cross_val_predict(member, train, train["label"], cv=folds, method="predict_proba")
        chance = np.clip(chance, 0.01, 0.99)
        odds = np.log(chance[:, 1] / chance[:, 0])
        np.testing.assert_allclose(model.out_of_fold_[:, column], odds, rtol=1e-9)


def test_a_stack_of_cells_and_attributes_beats_either():
    gains = []
    for seed in range(3):
        params = {"attribute_signal": 0.8, "abnormal": (0.05, 0.25)}
        train, test = drawn(60, seed, **params), drawn(120, seed + 50, **params)
        ill = test["label"] == "malignant"
        models = [*(m for _, m in combined_models()), pipelines.PatientStack(combined_models())]
        # The first class is the ill one.
        scores = [
            roc_auc_score(ill, m.fit(train, train["label"]).predict_proba(test)[:, 0])
            for m in models
        ]
        gains.append(scores[2] - np.array(scores[:2]))
    assert (np.mean(gains, axis=0) > 0).all(), gains


def test_models_work_with_the_tools_of_scikit_learn():
    train = drawn(30, 1)
    search = GridSearchCV(
        pipelines.patient_table(),
        {"table__statistics": [["mean"], ["mean", "sd"]], "model__C": [0.01, 1.0]},
        cv=3,
    )
    search.fit(train, train["label"])
    assert set(search.predict(train)) <= {"reactive", "malignant"}
    names = search.best_estimator_[:-1].get_feature_names_out()
    assert "cell__drawn__f00__mean" in names


@pytest.mark.parametrize(
    "name", [n for n in pipelines.patient_names(attributes=True) if n != "attributes"]
)
def test_predictions_do_not_depend_on_the_order_of_cells(name):
    cells = datasets.drawn_bags(24, cells=(5, 20), missing=0.05, random_state=3)
    mixed = cells.sample(frac=1.0, random_state=7)
    verdicts = []
    for table in (cells, mixed):
        patients = pipelines.bags(table, attributes=ATTRIBUTES)
        model = quick(name).fit(patients, patients["label"])
        verdicts.append(model.predict_proba(patients))
    np.testing.assert_allclose(verdicts[0], verdicts[1], atol=2e-3)


def test_unknown_names_are_refused():
    train = drawn(6, 1)
    for make, message in (
        (lambda: pipelines.make_patient("x"), "no model of patients 'x'"),
        (lambda: pipelines.patient_table("x"), "no model 'x'"),
        (lambda: pipelines.patient_table(statistics="x"), "no set 'x'"),
        (lambda: pipelines.attributes_only("x"), "no model of attributes 'x'"),
        (lambda: pipelines.attributes_only(grid="x"), "no grid 'x'"),
        (lambda: pipelines.cell_vote("svc", epochs=1), "'svc' takes no epochs"),
        (lambda: pipelines.cell_vote("svm"), "no pipeline 'svm'"),
        (lambda: pipelines.cell_vote(aggregate="x").fit(train, train["label"]), "aggregate='x'"),
        (lambda: pipelines.DecisionRule([], "x").fit(train, train["label"]), "rule='x'"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
