"""Models in files: the loaded model is the saved one, and no other types are ever read."""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import FunctionTransformer

from hemafeat import pipelines
from hemafeat.pipelines import ModelError
from support.model_files import rewrite

SMALL = {
    "random_forest": {"n_estimators": 5},
    "xgboost": {"n_estimators": 5},
    "soft_vote": {"n_rounds": 5, "n_trees": 5},
}
UNITS = {"cell__shape__f0": "px", "cell__shape__f1": "px^2", "unused__shape__x": "px"}


@pytest.fixture(scope="module")
def table():
    X, y = make_classification(60, 6, n_informative=4, n_classes=3, random_state=0)
    frame = pd.DataFrame(X, columns=[f"cell__shape__f{j}" for j in range(6)])
    frame["nucleus__lbp__x"] = np.where(y == 2, np.nan, X[:, 0])
    frame["label"] = np.array(["a", "b", "c"])[y]
    return frame


@pytest.fixture
def saved(table, tmp_path):
    model = pipelines.logistic().fit(table, table["label"])
    return pipelines.save(model, tmp_path / "m.hemafeat", units=UNITS, note="fold 1")


@pytest.mark.parametrize("name", pipelines.names())
def test_round_trip(name, table, tmp_path):
    model = pipelines.make(name, **SMALL.get(name, {})).fit(table, table["label"])
    path = pipelines.save(model, tmp_path / "deep" / "m.hemafeat")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = pipelines.load(path)
    np.testing.assert_array_equal(loaded.predict_proba(table), model.predict_proba(table))
    np.testing.assert_array_equal(loaded.predict(table), model.predict(table))
    assert loaded.classes == ["a", "b", "c"]
    assert loaded.columns == [c for c in table if c != "label"]
    # A loaded model can be saved again and fitted again.
    again = pipelines.load(pipelines.save(loaded, tmp_path / "again.hemafeat"))
    np.testing.assert_array_equal(again.predict(table), model.predict(table))
    again.pipeline.fit(table, table["label"])
    assert [p.name for p in path.parent.iterdir()] == ["m.hemafeat"]


def test_resampling_and_search(table, tmp_path):
    pytest.importorskip("imblearn")
    vote = pipelines.ldsvm(smote=True, pca=True).fit(table, table["label"])
    loaded = pipelines.load(pipelines.save(vote, tmp_path / "a"))
    np.testing.assert_array_equal(loaded.predict(table), vote.predict(table))
    search = GridSearchCV(pipelines.svc(), {"model__C": [1.0, 10.0]}, cv=2)
    search.fit(table, table["label"])
    loaded = pipelines.load(pipelines.save(search, tmp_path / "b"))
    np.testing.assert_array_equal(loaded.predict(table), search.predict(table))


def test_manifest(saved):
    with zipfile.ZipFile(saved) as box:
        manifest = json.loads(box.read("manifest.json"))
    assert manifest["units"] == {"cell__shape__f0": "px", "cell__shape__f1": "px^2"}
    assert manifest["families"] == ["lbp", "shape"]
    assert {"hemafeat", "scikit-learn", "numpy"} <= set(manifest["versions"])
    assert pipelines.load(saved).note == "fold 1"


def test_table_must_fit(saved, table):
    model = pipelines.load(saved)
    extra = table.assign(quality__x=1.0)[sorted([*table.columns, "quality__x"])]
    np.testing.assert_array_equal(model.predict(extra), model.predict(table))
    with pytest.raises(
        ModelError, match=r"m\.hemafeat needs 2 columns .*: cell__shape__f0, nucleus"
    ):
        model.predict(table.drop(columns=["cell__shape__f0", "nucleus__lbp__x"]))
    with pytest.raises(ModelError, match="named columns"):
        model.predict(table.drop(columns="label").to_numpy())


def test_units_must_agree(saved, table):
    model = pipelines.load(saved)
    same = table.copy()
    same.attrs["units"] = {"cell__shape__f0": "px", "cell__shape__f2": "um"}
    assert len(model.predict(same)) == 60
    other = table.copy()
    other.attrs["units"] = {"cell__shape__f1": "um^2"}
    with pytest.raises(
        ModelError, match=r"cell__shape__f1 in 'px\^2', the table has it in 'um\^2'"
    ):
        model.predict(other)


class Evil:
    """Type that `load` must refuse."""

    ran = False

    def __init__(self):
        self.classes_ = ["a"]

    def __setstate__(self, state):
        Evil.ran = True


def test_unknown_type_is_refused_by_name(saved, tmp_path):
    crafted = rewrite(saved, tmp_path / "evil", **{"model.skops": skops.io.dumps(Evil())})
    with pytest.raises(ModelError, match=r"evil: refused.*[\w.]*test_persistence\.Evil"):
        pipelines.load(crafted)
    assert not Evil.ran


def test_a_model_that_could_not_be_loaded_is_not_saved(table, tmp_path):
    model = pipelines.logistic()
    model.steps.insert(1, ("odd", FunctionTransformer(odd_step)))
    model.fit(table, table["label"])
    with pytest.raises(ModelError, match="odd_step"):
        pipelines.save(model, tmp_path / "m")
    assert not list(tmp_path.iterdir())


def odd_step(X):
    return X


def test_pickle_is_refused(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ModelError, match=r"model\.pkl: not a hemafeat model.*never read"):
        pipelines.load(path)
    # Also as the inner part of a file.
    with zipfile.ZipFile(tmp_path / "z", "w") as box:
        manifest = {"format": "hemafeat model", "format_version": 1}
        box.writestr("manifest.json", json.dumps(manifest))
        box.writestr("model.skops", pickle.dumps(Evil()))
    with pytest.raises(ModelError, match="cannot be built"):
        pipelines.load(tmp_path / "z")
    assert not Evil.ran


def test_truncated_or_missing(saved, tmp_path):
    whole = saved.read_bytes()
    for share in (0, 0.3, 0.9, 0.999):
        cut = tmp_path / "cut"
        cut.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ModelError, match="cut: not a hemafeat model, or truncated"):
            pipelines.load(cut)
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    cut.write_bytes(damaged)
    with pytest.raises(ModelError, match="cut"):
        pipelines.load(cut)
    with pytest.raises(ModelError, match="No such file"):
        pipelines.load(tmp_path / "none")
    with pytest.raises(ModelError):
        pipelines.load(tmp_path)


def test_manifest_by_hand(saved, tmp_path):
    with zipfile.ZipFile(saved) as box:
        manifest = json.loads(box.read("manifest.json"))

    def changed(**keys):
        text = json.dumps({**manifest, **keys})
        return rewrite(saved, tmp_path / "x", **{"manifest.json": text})

    with pytest.raises(ModelError, match="not those of the model"):
        pipelines.load(changed(columns=manifest["columns"][::-1]))
    with pytest.raises(ModelError, match="format version 9"):
        pipelines.load(changed(format_version=9))
    with pytest.raises(ModelError, match="not a hemafeat model"):
        pipelines.load(changed(format="other"))
    with pytest.raises(ModelError, match="cannot be built"):
        pipelines.load(changed(units=3))
    with pytest.raises(ModelError, match="a part is missing"):
        pipelines.load(rewrite(saved, tmp_path / "x", **{"model.skops": None}))
    old = {**manifest["versions"], "scikit-learn": "1.0.2"}
    with pytest.warns(UserWarning, match=r"saved with scikit-learn 1\.0\.2"):
        pipelines.load(changed(versions=old))


@pytest.mark.parametrize("field", ["left_child", "feature"])
def test_tree_with_wild_nodes_is_refused(field, table, tmp_path):
    """scikit-learn follows the indices of nodes without checking them."""
    model = pipelines.make("random_forest", n_estimators=2).fit(table, table["label"])
    path = pipelines.save(model, tmp_path / "m")
    with zipfile.ZipFile(path) as box:
        inner = zipfile.ZipFile(io.BytesIO(box.read("model.skops")))
    out, hit = io.BytesIO(), 0
    with zipfile.ZipFile(out, "w") as box:
        for name in inner.namelist():
            data = inner.read(name)
            if name.endswith(".npy"):
                array = np.load(io.BytesIO(data))
                if array.dtype.names and field in array.dtype.names:
                    array[field][0] = 10_000
                    file = io.BytesIO()
                    np.save(file, array)
                    data, hit = file.getvalue(), hit + 1
            box.writestr(name, data)
    assert hit
    bad = rewrite(path, tmp_path / "bad", **{"model.skops": out.getvalue()})
    with pytest.raises(ModelError, match="decision tree in it is broken"):
        pipelines.load(bad)


def test_only_fitted_models_with_names(table, tmp_path):
    with pytest.raises(ModelError, match="not fitted"):
        pipelines.save(pipelines.svc(), tmp_path / "m")
    array = table.drop(columns=["label", "nucleus__lbp__x"]).to_numpy()
    with pytest.raises(ModelError, match="without column names"):
        pipelines.save(pipelines.svc().fit(array, table["label"]), tmp_path / "m")
    with pytest.raises(ModelError, match="without column names"):
        pipelines.save(LogisticRegression().fit(array, table["label"]), tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_plain_sklearn_model(table, tmp_path):
    columns = [f"cell__shape__f{j}" for j in range(6)]
    model = LogisticRegression().fit(table[columns], table["label"])
    loaded = pipelines.load(pipelines.save(model, tmp_path / "m"))
    np.testing.assert_array_equal(
        loaded.predict(table[columns[::-1]]), model.predict(table[columns])
    )
