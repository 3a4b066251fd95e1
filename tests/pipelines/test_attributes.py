"""Attributes of patients: parsing of dates and sexes, and selection on training patients only."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_score

from hemafeat import datasets, pipelines
from hemafeat.pipelines import PenalisedLogistic
from hemafeat.pipelines._patients.attribute_models import _REPORT

ATTRIBUTES = ["sex", "dob", "lymphocyte_count"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3/25/1950", date(1950, 3, 25)),
        ("25/3/1950", date(1950, 3, 25)),
        ("25-03-1950", date(1950, 3, 25)),
        ("1950-03-25", date(1950, 3, 25)),
        ("1950-03-25T10:00:00", date(1950, 3, 25)),
        ("25.3.1950", date(1950, 3, 25)),
        (" 25 3 1950 ", date(1950, 3, 25)),
        ("19500325", date(1950, 3, 25)),
        (pd.Timestamp("1950-03-25"), date(1950, 3, 25)),
        (date(1950, 3, 25), date(1950, 3, 25)),
        ("4/5/1950", date(1950, 4, 5)),  # as in the United States
        ("04-05-1950", date(1950, 5, 4)),
        ("29/2/1952", date(1952, 2, 29)),
    ],
)
def test_dates_are_parsed_in_every_format(text, expected):
    (row,) = pipelines.read_dates([text]).itertuples()
    assert (row.year, row.month, row.day) == (expected.year, expected.month, expected.day)
    assert not row.problem


@pytest.mark.parametrize(
    "text", ["29/2/1951", "31-04-1950", "25/3/50", "in 1950", "13/13/1950", "1950/1/2/3"]
)
def test_unreadable_dates_are_reported(text):
    (row,) = pipelines.read_dates([text]).itertuples()
    assert row.problem
    assert text in row.problem
    assert np.isnan(row.year)


def test_ambiguous_dates_are_decided_by_others_or_reported():
    read = pipelines.read_dates
    # The day comes first with slashes here: 25/3 says so.
    assert read(["4/5/1950", "25/3/1950"])["month"].tolist() == [5, 3]
    assert not read(["4/5/1950", "25/3/1950"])["ambiguous"].any()
    # Dates with another separator do not decide, and neither do contradictory dates.
    assert read(["4/5/1950", "25-03-1950"])["ambiguous"].tolist() == [True, False]
    dates = read(["4/5/1950", "25/3/1950", "3/25/1950"])
    assert dates["ambiguous"].tolist() == [True, False, False]
    assert dates["month"].tolist() == [4, 3, 3]
    assert not read(["5/5/1950"])["ambiguous"].any()
    assert not read(["4/5/1950"], {"/": "day first"})["ambiguous"].any()
    assert read(["1950"])[["year", "format"]].to_numpy().tolist() == [[1950, "y"]]
    missing = read([None, np.nan, "", pd.NaT])
    assert missing["year"].isna().all()
    assert not missing["problem"].any()


def test_drawn_dates_are_parsed():
    table = pipelines.bags(
        datasets.drawn_bags(150, leak_format=0.5, random_state=1), attributes=ATTRIBUTES
    )
    from hemafeat.datasets._drawn.cohort_plan import CohortPlan, patients

    plan = CohortPlan(150, 0.5, (0.05, 0.4), (20, 60), 0.0, 0.0, 0.5, 0.0, 0.0, 1)
    truth = patients(plan).set_index("patient")["born"]
    read = pipelines.read_dates(table["dob"])
    assert (read["year"] == truth[table.index]).all()
    assert set(read["format"]) == {"a/b/y", "a-b-y"}


def test_attributes_become_numbers():
    table = pd.DataFrame(
        {
            "sex": ["M", "f", " male ", "W", None],
            "DOB": ["3/25/1950", "1-2-1960", "", "2000", None],
            "count": ["5.5", 3, None, 1, 2],
            "site": ["a", "b", "a", None, "a"],
        }
    )
    model = pipelines.PatientAttributes(year=2020).set_output(transform="pandas")
    out = model.fit_transform(table)
    assert list(out.columns) == ["sex", "age", "count", "site=a", "site=b"]
    np.testing.assert_array_equal(out["sex"], [1, 0, 1, 0, np.nan])
    np.testing.assert_array_equal(out["age"], [70, 60, np.nan, 20, np.nan])
    np.testing.assert_array_equal(out["count"], [5.5, 3, np.nan, 1, 2])
    np.testing.assert_array_equal(out["site=b"], [0, 1, 0, 0, 0])
    with pytest.warns(UserWarning, match=r"'sex': 1 values .* 'x' is not a known sex"):
        model.transform(table.assign(sex="x"))
    with pytest.raises(ValueError, match="lacks the attributes site"):
        model.transform(table.drop(columns="site"))
    with pytest.raises(ValueError, match="no attributes"):
        pipelines.PatientAttributes().fit(pd.DataFrame({"label": ["a"]}))


def test_attributes_do_not_reveal_the_format_of_dates():
    table = pd.DataFrame({"dob": ["4/5/1950", "04-05-1950", "1950-05-04"]})
    out = pipelines.PatientAttributes(year=2020).fit_transform(table)
    assert out.tolist() == [[70.0]] * 3


@pytest.fixture(scope="module")
def cohort():
    """Attributes with a signal, 60 training patients and 200 test patients."""
    cohorts = [
        pipelines.bags(
            datasets.drawn_bags(n, cells=(1, 2), attribute_signal=1.5, random_state=seed),
            attributes=ATTRIBUTES,
        )
        for n, seed in ((60, 1), (200, 2))
    ]
    return cohorts[0], cohorts[1]


@pytest.mark.parametrize("name", _REPORT)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_every_model_of_attributes_finds_the_signal(cohort, name):
    train, test = cohort
    model = pipelines.attributes_only(name).fit(train, train["label"])
    # Age and count apart by .77 and 1.9 deviations: the best rule has a balanced accuracy of .84.
    assert balanced_accuracy_score(test["label"], model.predict(test)) > 0.7


@pytest.mark.parametrize("name", ["logistic", "tree"])
def test_selection_sees_training_patients_only(cohort, name):
    train, _ = cohort
    search = pipelines.attributes_only(name, grid="short", n_splits=3).fit(train, train["label"])
    inner = StratifiedKFold(3, shuffle=True, random_state=0)
    again = clone(search.best_estimator_)
    expected = cross_val_score(
        again, train, train["label"], cv=inner, scoring="balanced_accuracy"
    ).mean()
    assert search.best_score_ == pytest.approx(expected)


def test_the_network_of_the_report_has_78_parameters(cohort):
    train, _ = cohort
    search = pipelines.attributes_only("neural", grid="report", n_splits=2)
    search.set_params(estimator__model__epochs=5).fit(train, train["label"])
    network = search.best_estimator_["model"]
    assert [kernel.shape for kernel in network.kernels_] == [(3, 8), (8, 4), (4, 2)]
    assert network.n_parameters_ == 78
    assert search.param_grid == [{"model__learning_rate": [0.1, 0.01, 0.001]}]
    assert (network.batch_size, pipelines.SoftmaxMLP().epochs) == (8, 100)


def some_rows(n=40, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    return x, np.where(x[:, 0] + 0.3 * rng.normal(size=n) > 0.5, "ill", "well")


def test_gradients_of_the_softmax_network_are_those_of_its_loss():
    x, y = some_rows(12)
    model = pipelines.SoftmaxMLP(epochs=1, class_weight="balanced").fit(x, y)
    codes = np.searchsorted(model.classes_, y)
    weight = np.where(y == "ill", 3.0, 1.0)
    loss, gradients = model._gradients(x, codes, weight)
    chance = model.predict_proba(x)[np.arange(12), codes]
    assert loss == pytest.approx(np.average(-np.log(chance), weights=weight))
    for array, gradient in zip([*model.kernels_, *model.biases_], gradients, strict=True):
        for place in np.ndindex(array.shape):
            sides = []
            for step in (1e-6, -2e-6):
                array[place] += step
                sides.append(model._gradients(x, codes, weight)[0])
            array[place] += 1e-6
            assert gradient[place] == pytest.approx((sides[0] - sides[1]) / 2e-6, abs=1e-7)


def test_gradients_with_dropout_and_penalties_are_those_of_the_penalised_loss():
    x, y = some_rows(12)
    model = pipelines.SoftmaxMLP((6, 5), dropout=0.4, l1=0.02, l2=0.03, epochs=1).fit(x, y)
    codes, weight = np.searchsorted(model.classes_, y), np.ones(12)

    def loss():
        value, _ = model._gradients(x, codes, weight, np.random.default_rng(3))
        absolute = sum(np.abs(kernel).sum() for kernel in model.kernels_)
        return value + 0.02 * absolute + 0.03 * sum((k**2).sum() for k in model.kernels_)

    _, gradients = model._gradients(x, codes, weight, np.random.default_rng(3))
    for array, gradient in zip([*model.kernels_, *model.biases_], gradients, strict=True):
        for place in np.ndindex(array.shape):
            before = array[place]
            sides = []
            for step in (1e-6, -1e-6):
                array[place] = before + step
                sides.append(loss())
            array[place] = before
            assert gradient[place] == pytest.approx((sides[0] - sides[1]) / 2e-6, abs=1e-6)


def test_a_penalty_makes_the_weights_of_the_softmax_network_smaller_and_the_rate_falls():
    x, y = some_rows(60)
    plain = pipelines.SoftmaxMLP((16,), epochs=30).fit(x, y)
    small = pipelines.SoftmaxMLP((16,), l2=0.05, epochs=30).fit(x, y)
    assert np.abs(small.kernels_[0]).sum() < 0.7 * np.abs(plain.kernels_[0]).sum()
    # With a rate that falls to next to nothing the last epochs change next to nothing.
    late = [
        pipelines.SoftmaxMLP(last_rate=1e-9, epochs=n, batch_size=60).fit(x, y).losses_[-1]
        for n in (30, 40)
    ]
    assert late[0] == pytest.approx(late[1], abs=0.05)
    with pytest.raises(ValueError, match="dropout is 1"):
        pipelines.SoftmaxMLP(dropout=1).fit(x, y)


def test_the_softmax_network_is_an_ordinary_classifier(tmp_path):
    x, y = some_rows(60)
    model = pipelines.SoftmaxMLP(epochs=30)
    chance = model.fit(x, y).predict_proba(x)
    np.testing.assert_allclose(chance.sum(axis=1), 1.0)
    np.testing.assert_array_equal(clone(model).fit(x, y).predict_proba(x), chance)
    other = clone(model).set_params(random_state=1).fit(x, y)
    assert not np.allclose(other.predict_proba(x), chance)
    # A heavier class is predicted more often.
    shares = [
        (clone(model).set_params(class_weight=weight).fit(x, y).predict(x) == "ill").mean()
        for weight in ({"ill": 0.05, "well": 1.0}, None, {"ill": 20.0, "well": 1.0})
    ]
    assert shares[0] < shares[1] < shares[2]
    three = np.where(x[:, 1] > 0.8, "other", y)
    assert clone(model).fit(x, three).n_parameters_ == 78 + 5
    with pytest.raises(ValueError, match="one class only: ill"):
        model.fit(x, ["ill"] * 60)
    table = pd.DataFrame({"sex": ["m", "f"] * 30, "count": x[:, 0], "label": y})
    whole = pipelines.attributes_only("neural", columns=["sex", "count"]).fit(table, y)
    loaded = pipelines.load(pipelines.save(whole, tmp_path / "m.hemafeat")).pipeline
    np.testing.assert_array_equal(loaded.predict_proba(table), whole.predict_proba(table))


def test_grid_of_the_report():
    sizes = {
        name: sum(np.prod([len(v) for v in part.values()]) for part in grid)
        for name, grid in _REPORT.items()
    }
    # 4 without penalty, 5 x 7 with L2, 2 x 7 with L1, 7 x 6 mixed; 7 + 28 + 28; 3 x 2; 3 x 7.
    assert (sizes["logistic"], sizes["svc"], sizes["tree"], sizes["random_forest"]) == (
        95,
        63,
        6,
        21,
    )
    assert pipelines.attributes_only("tree", grid="report").param_grid[0].keys() == {
        "model__criterion",
        "model__splitter",
    }


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"penalised": "l2", "C": 0.3}, {"C": 0.3}),
        ({"penalised": "none"}, {"C": np.inf}),
        ({"penalised": "l2", "C": 0.3, "solver": "liblinear"}, {"C": 0.3, "solver": "liblinear"}),
    ],
)
def test_penalties_are_those_of_scikit_learn(ours, theirs):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    y = (x[:, 0] + rng.normal(size=60) > 0).astype(int)
    model = PenalisedLogistic(**ours).fit(x, y)
    reference = LogisticRegression(class_weight="balanced", max_iter=5000, random_state=0, **theirs)
    expected = reference.fit(x, y).predict_proba(x)
    np.testing.assert_allclose(model.predict_proba(x), expected, atol=1e-9)
    strong = PenalisedLogistic("l1", C=0.01, solver="liblinear").fit(x, y)
    assert (strong.model_.coef_ == 0).any(), "an L1 penalty sets coefficients to 0"


def test_the_format_of_dates_is_found_as_a_leak():
    for leak, low, high in ((0.0, 0.35, 0.62), (1.0, 0.8, 1.0)):
        table = pipelines.bags(
            datasets.drawn_bags(120, cells=(1, 1), leak_format=leak, random_state=3),
            attributes=ATTRIBUTES,
        )
        train, test = table.iloc[::2], table.iloc[1::2]
        probe = pipelines.date_format_only().fit(train, train["label"])
        score = balanced_accuracy_score(test["label"], probe.predict(test))
        assert low <= score <= high, (leak, score)
        honest = pipelines.attributes_only().fit(train, train["label"])
        assert balanced_accuracy_score(test["label"], honest.predict(test)) < 0.65


def test_a_search_has_fewer_folds_where_a_class_has_few_patients():
    rows = pipelines.bags(datasets.drawn_bags(24, random_state=0), attributes=["sex", "dob"])
    labels = rows["label"].to_numpy()
    names = np.unique(labels)
    kept = [np.flatnonzero(labels == name)[:n] for name, n in zip(names, (3, 8), strict=True)]
    few = rows.iloc[np.concatenate(kept)]
    model = pipelines.attributes_only("logistic", grid="short").fit(few, few["label"])
    assert model.n_splits_ == 3
    assert model.cv.n_splits == 5
    fewer = rows.iloc[np.concatenate([kept[0][:1], kept[1]])]
    with pytest.raises(ValueError, match=f"two rows of every class; {names[0]} has one"):
        pipelines.attributes_only("logistic", grid="short").fit(fewer, fewer["label"])
