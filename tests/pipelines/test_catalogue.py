"""One catalogue holds the models of cells and of patients, and models declare what they look at."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline

from hemafeat import datasets, extract, pipelines

EVERYTHING = {"attributes": True, "images": True, "deep": True}


def test_the_fronts_for_patients_read_the_same_catalogue():
    assert pipelines.patient_names() == pipelines.names(unit="patient")
    everything = pipelines.names(unit="patient", **EVERYTHING)
    assert pipelines.patient_names(**EVERYTHING) == everything
    assert len(set(everything)) == len(everything) == 29
    assert not {"stain", "date_format"} & set(everything)
    one, other = pipelines.make("stack", unit="patient"), pipelines.make_patient("stack")
    assert str(one) == str(other)
    with pytest.raises(ValueError, match="'cell' or 'patient'"):
        pipelines.names(unit="image")
    with pytest.raises(ValueError, match=r"no model of patients 'svc'; choose from .*table_svc"):
        pipelines.make("svc", unit="patient")


@pytest.mark.parametrize("unit", ["cell", "patient"])
def test_the_seed_reaches_whatever_is_random(unit):
    for name in pipelines.names(unit=unit, attributes=True):
        model = pipelines.make(name, unit=unit, random_state=7)
        estimators = [model] + [member for _, member in getattr(model, "models", ())]
        for estimator in estimators:
            params = estimator.get_params()
            seeds = {
                key: value for key, value in params.items() if key.split("__")[-1] == "random_state"
            }
            # Solvers that do not draw random numbers get no seed.
            random = {key for key, value in seeds.items() if value == 7}
            fixed = {
                "LogisticRegression", "PenalisedLogistic", "DummyClassifier", "PCA", "PatientTable"
            }  # fmt: skip
            for key in set(seeds) - random:
                holder = params[key.rpartition("__")[0]]
                assert type(holder).__name__ in fixed, (name, key)
    assert pipelines.make("random_forest")["model"].random_state == 0


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("baseline", set()),
        ("bag_size", set()),
        ("stain", {"white"}),
        ("date_format", {"attributes"}),
        ("metadata", {"attributes"}),
        ("attributes", {"attributes"}),
        ("weighted", {"features", "attributes"}),
        ("stack", {"features", "attributes"}),
        ("fisher", {"features"}),
        ("vote_max", {"features"}),
        ("attention", {"features"}),
        ("image_attention", {"images"}),
    ],
)
def test_models_of_patients_declare_what_they_look_at(name, parts):
    assert pipelines.looks_at(pipelines.make(name, unit="patient")) == parts


def test_exactly_the_models_listed_with_attributes_look_at_them():
    with_attributes = set(pipelines.patient_names(attributes=True)) - set(pipelines.patient_names())
    for name in pipelines.patient_names(**EVERYTHING):
        model = pipelines.make_patient(name)
        assert ("attributes" in pipelines.looks_at(model)) == (name in with_attributes), name


class Declares(TransformerMixin, BaseEstimator):
    """A step of somebody else's, which declares what it looks at."""

    looks_at = ("white", "groups")


class Former(ClassifierMixin, BaseEstimator):
    """A classifier written for version 0.1."""

    reads_images = True


def test_estimators_of_others():
    assert pipelines.looks_at(LogisticRegression()) == {"features"}
    assert pipelines.looks_at(Declares()) == {"white", "groups"}
    assert pipelines.looks_at(Former()) == {"images"}
    assert pipelines.looks_at(Pipeline([("a", Declares()), ("b", Former())])) == {"white", "groups"}
    union = FeatureUnion([("a", pipelines.GreyPixels()), ("b", pipelines.FeatureColumns())])
    assert pipelines.looks_at(Pipeline([("u", union), ("m", LogisticRegression())])) == {
        "features",
        "images",
    }
    search = GridSearchCV(pipelines.make_patient("stack"), {"C": [1.0, 2.0]})
    assert pipelines.looks_at(search) == {"features", "attributes"}


def test_baselines_that_suit_a_table_of_patients():
    cells = datasets.drawn_bags(6, random_state=0)
    white = {f"quality__white_{channel}": 240.0 for channel in "rgb"}
    names = pipelines.patient_baselines
    assert names(pipelines.bags(cells)) == ["baseline", "bag_size"]
    assert names(pipelines.bags(cells.assign(**white))) == ["baseline", "bag_size"]
    white["quality__white_g"] = np.linspace(220, 240, len(cells))
    rows = pipelines.bags(cells.assign(**white, split="train"), attributes=["sex", "split"])
    assert names(rows) == ["baseline", "bag_size", "stain", "metadata"]
    for name in names(rows):
        pipelines.make_patient(name).fit(rows.drop(columns="split"), rows["label"])


FORMER = {
    f"nucleus__lobulation__roundness_at_{share}": f"nucleus__lobulation__circularity_d{share}"
    for share in (20, 50)
}


def test_a_model_with_former_columns_takes_a_table_with_current_names(tmp_path):
    cells = datasets.drawn_bags(12, n_features=3, random_state=0)
    cells = cells.rename(
        columns=dict(zip(["cell__drawn__f00", "cell__drawn__f01"], FORMER, strict=True))
    )
    current = cells.rename(columns=FORMER)
    units = dict.fromkeys(FORMER, "1")

    model = pipelines.logistic().fit(cells, cells["label"])
    loaded = pipelines.load(pipelines.save(model, tmp_path / "cells.hemafeat", units=units))
    assert loaded.columns[:2] == list(FORMER)
    np.testing.assert_array_equal(loaded.predict_proba(current), model.predict_proba(cells))
    np.testing.assert_array_equal(loaded.predict_proba(cells), model.predict_proba(cells))
    other = current.copy()
    other.attrs["units"] = {FORMER[name]: "px" for name in FORMER}
    with pytest.raises(pipelines.ModelError, match=r"roundness_at_20 in '1', the table .* 'px'"):
        loaded.predict(other)
    with pytest.raises(pipelines.ModelError, match="lacks: nucleus__lobulation__roundness_at_50"):
        loaded.predict(current.drop(columns=FORMER["nucleus__lobulation__roundness_at_50"]))

    rows = pipelines.bags(cells)
    model = pipelines.make_patient("table_means").fit(rows, rows["label"])
    loaded = pipelines.load(pipelines.save(model, tmp_path / "patients.hemafeat"))
    pd.testing.assert_frame_equal(loaded.verdicts(current), loaded.verdicts(cells))


def test_a_model_with_former_units_takes_a_table_with_current_ones(tmp_path):
    cells = datasets.drawn_bags(12, n_features=3, random_state=0)
    names = ["nucleus__colour__mean__r", "nucleus__glcm__joint_entropy_d1"]
    cells = cells.rename(
        columns=dict(zip(["cell__drawn__f00", "cell__drawn__f01"], names, strict=True))
    )
    model = pipelines.logistic().fit(cells, cells["label"])
    units = dict(zip(names, ["intensity", "1"], strict=True))
    loaded = pipelines.load(pipelines.save(model, tmp_path / "cells.hemafeat", units=units))
    assert extract.units(cells) == dict(zip(names, ["level", "bit"], strict=True))
    np.testing.assert_array_equal(loaded.predict_proba(cells), model.predict_proba(cells))


def test_a_union_of_cells_and_attributes_is_saved(tmp_path):
    cells = datasets.drawn_bags(12, n_features=3, random_state=0)
    rows = pipelines.bags(cells, attributes=["dob"])
    parts = [("cells", pipelines.PatientTable(["mean"])), ("age", pipelines.PatientAttributes())]
    model = Pipeline([("parts", FeatureUnion(parts)), ("model", LogisticRegression())])
    assert pipelines.looks_at(model) == {"features", "attributes"}
    model.fit(rows, rows["label"])
    loaded = pipelines.load(pipelines.save(model, tmp_path / "model.hemafeat"))
    assert (len(loaded.columns), loaded.attributes) == (3, ["dob"])
    np.testing.assert_array_equal(loaded.predict(cells), model.predict(rows))


def test_the_head_xgboost_has_the_defaults_of_xgboost():
    """Compare with XGBoost itself on a table that its own parameters classify otherwise."""
    from xgboost import XGBClassifier

    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 12)).astype(np.float32)
    y = (X[:, 0] + 0.5 * rng.normal(size=300) > 0.8).astype(int)
    head = pipelines.embedding(head="xgboost", weights=None)[-1]
    expected = XGBClassifier(tree_method="hist").fit(X, y).predict_proba(X)
    np.testing.assert_allclose(head.fit(X, y).predict_proba(X), expected, atol=1e-6)
    ours = pipelines.BoostedTrees().fit(X, y).predict_proba(X)
    assert np.abs(ours - expected).max() > 0.05
