"""Cells of another laboratory moved onto those of the laboratory trained on."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from hemafeat import evaluate, pipelines

NAMES = [f"cell__shape__x{i}" for i in range(20)]
CENTRES = 1.5 * np.random.default_rng(7).normal(size=(3, 20))
STAIN = 4.0 * np.random.default_rng(8).normal(size=20)


def _cells(counts, seed):
    rng = np.random.default_rng(seed)
    codes = np.repeat(range(3), counts)
    values = CENTRES[codes] + rng.normal(size=(len(codes), 20))
    return pd.DataFrame(values, columns=NAMES), np.array(list("abc"))[codes]


@pytest.fixture(scope="module")
def fitted():
    table, labels = _cells((80, 80, 80), 0)
    return {
        name: pipelines.Aligned(pipelines.make(name), reach=100.0).fit(table, labels)
        for name in ("svc", "logistic")
    }


@pytest.mark.parametrize("name", ["svc", "logistic"])
@pytest.mark.parametrize("counts", [(40, 40, 40), (100, 10, 10), (5, 20, 95)])
def test_another_stain_costs_nothing_whatever_the_class_shares(fitted, name, counts):
    model = fitted[name]
    table, labels = _cells(counts, 1)
    at_home = (model.estimator_.predict(table) == labels).mean()
    lost = (model.estimator_.predict(table + STAIN) == labels).mean()
    found = (model.predict(table + STAIN) == labels).mean()
    assert found > at_home - 0.03
    if name == "svc":  # kernels lose most
        assert lost < at_home - 0.03


@pytest.mark.parametrize("counts", [(60, 0, 0), (0, 60, 60), (20, 30, 100)])
def test_cells_of_the_laboratory_trained_on_stay_where_they_are(fitted, counts):
    table, labels = _cells(counts, 2)
    model = fitted["logistic"]
    same = (model.predict(table) == model.estimator_.predict(table)).mean()
    assert same > 0.97
    assert (model.predict(table) == labels).mean() > 0.95


def test_the_spread_is_brought_to_that_of_the_training_cells():
    table, labels = _cells((200, 200, 200), 9)
    there, _ = _cells((150, 150, 150), 10)
    deviations = {}
    for spread in (0.0, 0.5, 1.0):
        model = pipelines.Aligned(pipelines.logistic(), reach=100.0, spread=spread)
        model.fit(table, labels)
        home = model.embed(table).std(axis=0)
        assert home == pytest.approx(model.estimator_[:3].transform(table).std(axis=0), rel=0.01)
        wide = model.embed(1.4 * (there - there.mean()) + there.mean() + STAIN / 8)
        deviations[spread] = float(np.median(wide.std(axis=0) / home))
    # Clipping at three deviations takes a little of the 1.4.
    assert deviations[0.0] > 1.25
    assert deviations[0.5] == pytest.approx(np.sqrt(deviations[0.0]), abs=0.04)
    assert deviations[1.0] == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize("n", [1, 5, 20])
def test_small_batches_of_one_class_are_not_moved_on_noise(fitted, n):
    model = fitted["svc"]
    table, labels = _cells((40, 40, 40), 11)
    at_home, aligned = 0, 0
    for code in range(3):
        for start in range(0, 40, n):
            rows = slice(40 * code + start, 40 * code + start + n)
            at_home += (model.estimator_.predict(table[rows]) == labels[rows]).sum()
            aligned += (model.predict(table[rows]) == labels[rows]).sum()
    assert aligned >= at_home - 1


def test_a_lone_cell_hardly_moves(fitted):
    table, _ = _cells((3, 3, 3), 3)
    model = fitted["svc"]
    for row in range(len(table)):
        one = table.iloc[[row]]
        assert model.predict(one) == model.estimator_.predict(one)


def test_cells_that_are_too_far_are_left_where_they_are(fitted):
    """With a warning that says what to do; a stain within reach is aligned without one."""
    table, labels = _cells((30, 30, 30), 6)
    model = pipelines.make("aligned:svc").fit(table, labels)
    for far, warned in ((STAIN, True), (STAIN / 4, False)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            probability = model.predict_proba(table + far)
        assert bool(caught) == warned
        same = np.array_equal(probability, model.estimator_.predict_proba(table + far))
        assert same == warned
        if warned:
            assert "not aligned: train on redrawn cells" in str(caught[0].message)


def test_probabilities_belong_to_the_labels(fitted):
    table, _ = _cells((20, 20, 20), 4)
    model = fitted["svc"]
    probability = model.predict_proba(table + STAIN)
    assert probability.sum(axis=1) == pytest.approx(1)
    assert np.array_equal(model.classes_[probability.argmax(axis=1)], model.predict(table + STAIN))


def test_scores_are_marked_and_models_are_kept(fitted, tmp_path):
    model = fitted["logistic"]
    assert pipelines.is_transductive(model)
    path = pipelines.save(model, tmp_path / "model.hemafeat")
    table, labels = _cells((30, 30, 30), 5)
    assert np.array_equal(pipelines.load(path).predict(table), model.predict(table))
    comparison = evaluate.compare(
        ["aligned:logistic", "logistic"], table.assign(label=labels), n_boot=10, n_splits=3,
        importance=False,
    )  # fmt: skip
    assert comparison.transductive == ["aligned:logistic"]


def test_models_without_a_scale_are_refused():
    with pytest.raises(ValueError, match="only svc, logistic, ldsvm and mlp can be aligned"):
        pipelines.make("aligned:random_forest")
    with pytest.raises(ValueError, match="there is no pipeline 'svm'"):
        pipelines.make("aligned:svm")
    table, labels = _cells((9, 9, 9), 6)
    with pytest.raises(ValueError, match="the model lacks: choose svc"):
        pipelines.Aligned(pipelines.random_forest()).fit(table, labels)
