"""Models in files: the loaded model is the saved one, and no other types are ever read."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from hemafeat import datasets, extract, pipelines
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


def test_a_parameter_that_a_newer_scikit_learn_has_dropped_takes_its_default(table, tmp_path):
    model = pipelines.logistic(C=0.1).fit(table, table["label"])
    expected = model.predict_proba(table)
    del model[-1].tol, model[-1].verbose
    loaded = pipelines.load(pipelines.save(model, tmp_path / "m.hemafeat"))
    assert loaded.pipeline[-1].get_params() == pipelines.logistic(C=0.1)[-1].get_params()
    np.testing.assert_array_equal(loaded.predict_proba(table), expected)


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


@pytest.mark.parametrize("name", ["logistic", "random_forest", "svc", "xgboost", "ldsvm"])
@pytest.mark.parametrize(
    "labels",
    [[0, 1, 2], [3, 7, 40], [True, False, True], [1.0, 2.0, 5.0], [np.str_("x"), "y", "z"]],
    ids=["counted", "gaps", "bool", "float", "text"],
)
def test_labels_keep_their_type(name, labels, table, tmp_path):
    y = np.array([labels["abc".index(label)] for label in table["label"]])
    model = pipelines.make(name, **SMALL.get(name, {})).fit(table, y)
    loaded = pipelines.load(pipelines.save(model, tmp_path / "m.hemafeat"))
    expected = model.predict(table)
    assert loaded.predict(table).dtype == expected.dtype
    assert (loaded.predict(table) == expected).all()
    assert loaded.classes == model.classes_.tolist() == sorted(set(labels))
    assert loaded.score(table, y) == model.score(table, y)


def test_classes_of_the_manifest_must_be_those_of_the_model(saved, tmp_path):
    with zipfile.ZipFile(saved) as box:
        manifest = json.loads(box.read("manifest.json"))
    for classes in (["b", "a", "c"], ["a", "b"], ["a", "b", "d"], []):
        text = json.dumps({**manifest, "classes": classes})
        changed = rewrite(saved, tmp_path / "x", **{"manifest.json": text})
        with pytest.raises(ModelError, match="x: the classes of the manifest are not those of the"):
            pipelines.load(changed)


def zipped(data, name="schema.json", method=zipfile.ZIP_DEFLATED):
    """Return an archive with one member."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as box:
        box.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize("place", ["manifest.json", "model.skops", "inner", "innermost"])
def test_a_bomb_is_not_inflated(saved, place, tmp_path):
    """Only declared sizes are read: the memory needed stays below the size of the bomb."""
    import tracemalloc

    size = 200 * 2**20
    bomb = zipped(bytes(size), "0.npy")
    parts = {
        "manifest.json": {},
        "model.skops": {},
        "inner": {"model.skops": bomb},
        "innermost": {"model.skops": zipped(bomb)},
    }[place]
    crafted = rewrite(saved, tmp_path / "bomb", **parts)
    if place.startswith("m"):
        with zipfile.ZipFile(saved) as given, zipfile.ZipFile(crafted, "w") as box:
            for name in given.namelist():
                data = bytes(size) if name == place else given.read(name)
                box.writestr(name, data, zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=r"bomb: .*would inflate to 20\d MiB"):
            pipelines.load(crafted)
        assert tracemalloc.get_traced_memory()[1] < size / 4
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_is_refused(saved, method, tmp_path):
    """zipfile does not bound what these inflate to."""
    with zipfile.ZipFile(saved) as given, zipfile.ZipFile(tmp_path / "x", "w", method) as box:
        for name in given.namelist():
            box.writestr(name, given.read(name))
    with pytest.raises(ModelError, match=r"manifest\.json is compressed by an unknown method"):
        pipelines.load(tmp_path / "x")


def test_deep_json_is_an_error(saved, tmp_path):
    crafted = rewrite(saved, tmp_path / "deep", **{"manifest.json": "[" * 10**6})
    with pytest.raises(ModelError, match="deep: not a hemafeat model"):
        pipelines.load(crafted)


def test_trees_of_xgboost_that_point_outside_are_refused(table, tmp_path):
    """XGBoost follows the indices of nodes without checking them, and the process would end."""
    from hemafeat.pipelines._booster_file import check_booster

    model = pipelines.make("xgboost", n_estimators=3).fit(table, table["label"])["model"]
    state = model.__getstate__()
    sound, shape = state["booster_"], (model.n_features_in_, 3)
    check_booster(sound, *shape)

    def broken(data):
        with pytest.raises(ValueError, match="trees of XGBoost in it are broken"):
            check_booster(data, *shape)
        with pytest.raises(ValueError, match="trees of XGBoost in it are broken"):
            pipelines.BoostedTrees.__new__(pipelines.BoostedTrees).__setstate__(
                {**state, "booster_": data}
            )

    for name in ("left_children", "right_children", "parents", "split_indices"):
        head = name.encode() + b"[$l#L"
        start = sound.index(head) + len(head) + 8
        for wild in (b"\x7f\x00\x00\x00", b"\xff\xff\xff\x00"):
            broken(sound[:start] + wild + sound[start + 4 :])
    for name, value in (("num_feature", b"9"), ("num_class", b"9"), ("num_nodes", b"9999")):
        at = sound.index(name.encode()) + len(name) + 1 + 1 + 8 - 1
        length = int.from_bytes(sound[at - 7 : at + 1], "big")
        new = len(value).to_bytes(8, "big") + value
        broken(sound[: at - 7] + new + sound[at + 1 + length :])
    for cut in (0, 1, len(sound) // 2, len(sound) - 1):
        broken(sound[:cut])
    broken(sound + b"}")
    broken(sound.replace(b"gbtree", b"dart__"))
    rng = np.random.default_rng(0)
    for place in rng.integers(len(sound), size=300):
        flipped = bytearray(sound)
        flipped[place] ^= 1 << int(rng.integers(8))
        with contextlib.suppress(ValueError):
            check_booster(bytes(flipped), *shape)  # never another exception


@pytest.mark.parametrize("name", ["_n_support", "_dual_coef_", "support_vectors_", "_intercept_"])
def test_support_vectors_that_do_not_fit_are_refused(table, tmp_path, name):
    """libsvm trusts the lengths of its arrays."""
    model = pipelines.svc().fit(table, table["label"])
    svm = model["model"].svc_
    value = getattr(svm, name)
    wild = np.full_like(value, 10**6) if name == "_n_support" else value[..., :1]
    setattr(svm, name, wild)
    with pytest.raises(ModelError, match="support-vector machine in it is broken"):
        pipelines.save(model, tmp_path / "m")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibrated_classifiers_are_kept(table, method, tmp_path):
    model = CalibratedClassifierCV(pipelines.logistic(), cv=2, method=method)
    model.fit(table, table["label"])
    loaded = pipelines.load(pipelines.save(model, tmp_path / "m"))
    np.testing.assert_array_equal(loaded.predict_proba(table), model.predict_proba(table))
    assert loaded.columns == [c for c in table if c != "label"]


def wrapped(name):
    logistic = pipelines.logistic
    forest = pipelines.random_forest(n_estimators=3)
    return {
        "one against the rest": lambda: OneVsRestClassifier(logistic()),
        "vote": lambda: VotingClassifier([("a", logistic()), ("b", forest)], voting="soft"),
        "stack": lambda: StackingClassifier([("a", logistic()), ("b", forest)], cv=2),
        "threshold": lambda: FixedThresholdClassifier(logistic(), threshold=0.4, pos_label="a"),
        "tuned threshold": lambda: TunedThresholdClassifierCV(logistic(), cv=2),
        "other tuned threshold": lambda: TunedThresholdClassifierCV(
            logistic(), cv=2, scoring=make_scorer(f1_score, pos_label="a")
        ),
    }[name]()


@pytest.mark.parametrize(
    "name", ["one against the rest", "vote", "stack", "threshold", "tuned threshold"]
)
def test_wrappers_of_sklearn_are_kept(table, name, tmp_path):
    rows = table[table["label"] != "c"] if "threshold" in name else table
    y = rows["label"] == "a" if name == "tuned threshold" else rows["label"]
    model = wrapped(name).fit(rows, y)
    loaded = pipelines.load(pipelines.save(model, tmp_path / "m"))
    np.testing.assert_array_equal(loaded.predict(rows), model.predict(rows))
    assert loaded.columns == [c for c in table if c != "label"]


def test_a_threshold_tuned_by_a_function_of_ones_own_is_refused(table, tmp_path):
    rows = table[table["label"] != "c"]
    model = wrapped("other tuned threshold").fit(rows, rows["label"])
    with pytest.raises(ModelError, match="f1_score"):
        pipelines.save(model, tmp_path / "m")
    model = wrapped("tuned threshold").fit(rows, rows["label"] == "a")
    model._curve_scorer._score_func = np.negative
    with pytest.raises(ModelError, match="tuned by another score"):
        pipelines.save(model, tmp_path / "m")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("calibrated", [False, True])
def test_a_pipeline_from_images_is_kept(calibrated, tmp_path):
    """Steps of scikit-learn hold the type of the numbers they were fitted on."""
    cells = datasets.drawn(tmp_path / "cells", 6, size=120, random_state=0)
    paths = list(cells["image"])
    step = extract.CellFeatures(["shape"])
    model = make_pipeline(step, SimpleImputer(), StandardScaler(), LogisticRegression())
    if calibrated:
        model = CalibratedClassifierCV(model, cv=2)
    model.fit(paths, ["a", "b"] * 3)
    loaded = pipelines.load(pipelines.save(model, tmp_path / "m"))
    assert loaded.columns == ["image"]
    expected = model.predict_proba(paths)
    for images in (paths, cells[["image"]]):
        np.testing.assert_array_equal(loaded.predict_proba(images), expected)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("segmenter", np.negative),
        ("families", [np.negative]),
        ("normalise_", np.negative),
        ("masks", ["a.png"]),
    ],
)
def test_a_step_that_would_call_a_function_is_refused(table, attribute, value, tmp_path):
    """Functions of NumPy are types that skops reads."""
    step = extract.CellFeatures(["shape"])
    step.n_features_out_, step.normalise_, step.scaled_ = 64, None, False
    model = pipelines.logistic().fit(table, table["label"])
    model.steps[0] = ("cells", step)
    setattr(step, attribute, value)
    with pytest.raises(ModelError, match="of CellFeatures must be given by name"):
        pipelines.save(model, tmp_path / "m")


def test_the_model_of_the_package_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "leukocytes").write_text("a file of this name is not read")
    model = pipelines.load("leukocytes")
    assert {"basophil", "eosinophil", "lymphocyte", "monocyte", "neutrophil"} < set(model.classes)
    assert "research only" in model.note
    assert set(model.columns) <= set(extract.columns("default"))
    # Values that no cell has are refused.
    odd = model.answers(pd.DataFrame(1e3, index=range(2), columns=model.columns))
    assert (odd["refused"] == pipelines.SelectiveClassifier.UNLIKE).all()
    folder = Path(pipelines.__file__).parent / "_shipped"
    assert (folder / "leukocytes.hemafeat").stat().st_size < 8_000_000
    assert "**For research only.**" in (folder / "leukocytes.md").read_text("utf-8")
    with pytest.raises(ModelError, match="leukocytes: not a hemafeat model"):
        pipelines.load("./leukocytes")
