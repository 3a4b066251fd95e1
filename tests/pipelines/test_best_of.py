"""A classifier chosen within the training rows: by group, never by the rows predicted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from hemafeat import datasets, pipelines
from hemafeat.pipelines._steps.best_of import few_columns

RNG = np.random.default_rng(0)
X = np.exp(RNG.normal(0, 2, (150, 1)))
LOG = np.log(X[:, 0])


@pytest.mark.parametrize(
    ("truth", "name"),
    [
        (LOG > 1.5, "threshold"),
        (RNG.random(150) < 1 / (1 + np.exp(-3 * LOG)), ("threshold", "log_logistic")),
        (np.abs(LOG) < 1, "boosted_trees"),
    ],
)
def test_the_member_that_fits_the_dependence_is_chosen(truth, name):
    model = pipelines.BestOf(few_columns()).fit(X, truth)
    assert model.chosen_ in name
    assert model.scores_[model.chosen_] == max(model.scores_.values())


def test_the_choice_is_not_optimistic():
    """On labels without any dependence, the chosen classifier is at chance."""
    scores = []
    for seed in range(6):
        y = np.random.default_rng(seed).permutation(np.repeat(["a", "b"], 75))
        model = pipelines.BestOf(few_columns(), n_splits=3)
        scores.append(cross_val_score(model, X, y, scoring="balanced_accuracy", cv=3).mean())
    assert abs(np.mean(scores) - 0.5) < 0.05


class Recall(ClassifierMixin, BaseEstimator):
    """Remember the group of every row by its value, as trees do with attributes of a patient."""

    def fit(self, X, y):
        assert list(X) == ["age"], "the column of the groups is not passed on"
        self.near_ = KNeighborsClassifier(1).fit(X, y)
        self.classes_ = self.near_.classes_
        return self

    def predict(self, X):
        return self.near_.predict(X)


def test_groups_are_not_split_and_not_seen():
    rng = np.random.default_rng(1)
    group = np.repeat([f"P{n}" for n in range(40)], 5)
    frame = pd.DataFrame({"age": np.repeat(rng.normal(size=40), 5), "group": group})
    y = np.repeat(rng.permutation(np.repeat(["a", "b"], 20)), 5)
    members = [("dummy", DummyClassifier()), ("recall", Recall())]
    together = pipelines.BestOf(members, groups="group").fit(frame, y)
    assert together.scores_["recall"] < 0.75
    apart = pipelines.BestOf(members).fit(frame[["age"]], y)
    assert apart.scores_["recall"] == 1.0
    assert together.predict(frame).shape == (200,)
    assert pipelines.looks_at(pipelines.metadata_only()) == {"features", "groups"}


def test_what_cannot_be_compared_is_the_first():
    model = pipelines.BestOf(few_columns()).fit(X[:5], list("aaaab"))
    assert (model.chosen_, model.scores_) == ("threshold", {})
    assert clone(model).get_params()["n_splits"] == 5


def test_logarithms_of_any_column():
    values = np.array([[0.001, -5.0, 0.0], [0.1, 0.0, 0.0], [10.0, 5.0, 0.0]])
    step = pipelines.LogScale().fit(values)
    found = step.transform(values)
    np.testing.assert_allclose(found[:, 0], np.log(values[:, 0]))
    np.testing.assert_allclose(found[:, 1], np.arcsinh([-1, 0, 1]))
    assert not found[:, 2].any()
    assert step.transform([[0.0, 0.0, 0.0]])[0, 0] == pytest.approx(np.log(0.0005))


@pytest.mark.parametrize("name", ["metadata", "bag_size"])
def test_blind_baselines_are_stored(name, tmp_path):
    cells = datasets.drawn_bags(16, random_state=0)
    rows = pipelines.bags(cells, attributes=["sex", "dob", "lymphocyte_count"])
    model = pipelines.make_patient(name).fit(rows, rows["label"])
    loaded = pipelines.load(pipelines.save(model, tmp_path / "m.hemafeat"))
    np.testing.assert_array_equal(loaded.pipeline.predict(rows), model.predict(rows))
