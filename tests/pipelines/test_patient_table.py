"""Patient tables agree with pandas, and with the published formula of the Fisher vector."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from skimage.feature import fisher_vector
from sklearn.base import clone
from sklearn.mixture import GaussianMixture

from hemafeat import datasets, pipelines
from hemafeat.pipelines._patients import encodings
from hemafeat.pipelines._patients.encodings import fisher_gradient, improve
from hemafeat.pipelines._patients.table import STATISTICS
from reference import naive_patients

COLUMNS = ["cell__drawn__f00", "cell__drawn__f01", "cell__drawn__f02"]


@pytest.fixture(scope="module")
def cells():
    """Draw patients of 2 to 25 cells with missing values, one of them without any in a column."""
    table = datasets.drawn_bags(
        14, cells=(2, 25), n_features=3, n_informative=1, missing=0.15, random_state=4
    )
    table.loc[table["patient"] == "P3", COLUMNS[1]] = np.nan
    return table


def patient_table(cells, *names, **params):
    table = pipelines.PatientTable(list(names), **params).set_output(transform="pandas")
    out = table.fit_transform(pipelines.bags(cells))
    out.index = sorted(cells["patient"].unique())
    return out


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("mean", lambda x: x.mean()),
        ("sd", lambda x: x.std()),
        ("p10", lambda x: x.quantile(0.1)),
        ("p50", lambda x: x.median()),
        ("p90", lambda x: x.quantile(0.9)),
        ("min", lambda x: x.min()),
        ("max", lambda x: x.max()),
        ("sum", lambda x: x.sum(min_count=1)),
        ("top_k", lambda x: x.nlargest(4).mean()),
        ("trimmed_mean", lambda x: stats.trim_mean(x.dropna(), 0.2) if x.count() else np.nan),
    ],
)
def test_statistics_agree_with_pandas_and_scipy(cells, name, how):
    result = patient_table(cells, name, k=4, trim=0.2)
    expected = cells.groupby("patient")[COLUMNS].agg(how)
    assert list(result.columns) == [f"{column}__{name}" for column in COLUMNS]
    assert result.isna().to_numpy().any(), "a column without any value has no statistics"
    np.testing.assert_allclose(result.to_numpy(), expected.to_numpy(), rtol=1e-12, atol=1e-13)


def test_count_is_the_number_of_cells(cells):
    result = patient_table(cells, "count")["bag__count"]
    assert result.to_dict() == cells["patient"].value_counts().to_dict()


def test_the_fisher_vector_follows_the_published_formula():
    rng = np.random.default_rng(3)
    mixture = GaussianMixture(3, covariance_type="diag", random_state=0)
    mixture.fit(rng.normal(size=(200, 2)) + rng.integers(0, 3, (200, 1)))
    few = rng.normal(size=(17, 2))
    expected = naive_patients.fisher_vector(
        few, mixture.weights_, mixture.means_, mixture.covariances_
    )
    np.testing.assert_allclose(fisher_gradient(few, mixture), expected, rtol=1e-9, atol=1e-12)
    # scikit-image gives the negative for the deviations, and the same length 1 of roots.
    theirs = fisher_vector(few, mixture, improved=True, alpha=0.5)
    np.testing.assert_allclose(np.abs(improve(expected)), np.abs(theirs), rtol=1e-9)
    assert not improve(np.zeros(4)).any()


def test_fisher_vector_of_the_mixture_itself_is_small():
    rng = np.random.default_rng(5)
    cells = rng.normal(size=(4000, 2)) + 3 * rng.integers(0, 2, (4000, 1))
    mixture = GaussianMixture(2, covariance_type="diag", random_state=0, tol=1e-8).fit(cells)
    # At the maximum of the likelihood its gradient is 0.
    assert np.abs(fisher_gradient(cells, mixture)).max() < 1e-3


def test_prototypes_are_shares_of_the_nearest_centre(cells):
    model = pipelines.PatientTable("prototypes", n_prototypes=4, n_components=2)
    patients = pipelines.bags(cells)
    result = model.fit_transform(patients)
    words = model.words_["prototypes"]
    for row, bag in zip(result, patients["cells"], strict=True):
        away = words.axes_.transform(bag.features)[:, None] - words.kmeans_.cluster_centers_
        nearest = (away**2).sum(axis=2).argmin(axis=1)
        np.testing.assert_allclose(row, np.bincount(nearest, minlength=4) / len(bag))


@pytest.mark.parametrize("name", ["prototypes", "fisher"])
def test_cells_are_placed_some_at_a_time(cells, name, monkeypatch):
    params = {"n_prototypes": 4, "n_mixtures": 2, "n_each": 8, "n_components": 3}
    at_once = patient_table(cells, name, **params)
    monkeypatch.setattr(encodings, "_AT_ONCE", 10)
    in_parts = patient_table(cells, name, **params)
    np.testing.assert_allclose(in_parts.to_numpy(), at_once.to_numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_the_order_of_the_cells_does_not_matter(cells, statistic):
    mixed = cells.sample(frac=1.0, random_state=1)
    params = {"n_prototypes": 4, "n_mixtures": 2, "n_each": 8}
    first, second = (patient_table(part, statistic, **params) for part in (cells, mixed))
    np.testing.assert_allclose(first.to_numpy(), second.to_numpy(), rtol=1e-9, atol=1e-12)


def test_vocabularies_see_the_training_patients_only(cells):
    patients = pipelines.bags(cells)
    both = ["prototypes", "fisher"]
    model = pipelines.PatientTable(both, n_prototypes=3, n_mixtures=2).fit(patients[:9])
    first = model.transform(patients[:9])
    model.transform(patients[9:])
    np.testing.assert_array_equal(model.transform(patients[:9]), first)
    again = clone(model).fit(patients[:9].iloc[:9])
    np.testing.assert_array_equal(again.transform(patients), model.transform(patients))


def test_three_ways_to_give_the_cells(cells):
    patients = pipelines.bags(cells)
    model = pipelines.PatientTable(["mean", "max"]).fit(patients)
    expected = model.transform(patients)
    np.testing.assert_array_equal(model.transform(cells), expected)
    arrays = [part[COLUMNS] for _, part in cells.groupby("patient")]
    np.testing.assert_array_equal(
        pipelines.PatientTable(["mean", "max"]).fit_transform(arrays), expected
    )
    shuffled = cells[["patient", *reversed(COLUMNS)]]
    np.testing.assert_array_equal(model.transform(shuffled), expected)


def test_bags_join_a_table_of_attributes(cells):
    clinical = pd.DataFrame({"patient": ["P2", "P1"], "age": [50, 60]})
    out = pipelines.bags(cells, attributes=clinical)
    assert out.loc["P1", "age"] == 60
    assert out["age"].isna().sum() == 12
    assert out.loc["P1", "label"] == cells.set_index("patient")["label"]["P1"].iloc[0]
    rows = out["cells"]["P5"].rows
    assert (cells["patient"].iloc[rows] == "P5").all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign(patient=None), "have no patient"),
        (lambda t: t.assign(label=np.arange(len(t)) % 2), r"2 values of 'label'"),
        (lambda t: t.drop(columns=COLUMNS), "mask__family__feature"),
        (lambda t: t.assign(cell__drawn__f00=np.inf), "infinite values in cell__drawn__f00"),
        (lambda t: t.assign(cell__drawn__f00="x"), "not numbers: cell__drawn__f00"),
        (lambda t: t.drop(columns="patient"), "no column 'patient'"),
    ],
)
def test_tables_that_cannot_be_gathered_are_refused(cells, change, message):
    with pytest.raises(ValueError, match=message):
        pipelines.bags(change(cells))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"statistics": ["median"]}, "no statistic"),
        ({"statistics": ["mean"], "trim": 0.5}, "trim"),
        ({"statistics": ["top_k"], "k": 0}, "k=0"),
        ({"statistics": ["prototypes"], "n_prototypes": 10_000}, "words cannot be learnt"),
    ],
)
def test_wrong_parameters_are_refused(cells, params, message):
    with pytest.raises(ValueError, match=message):
        pipelines.PatientTable(**params).fit(pipelines.bags(cells))
