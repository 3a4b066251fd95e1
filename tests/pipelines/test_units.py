"""Models keep the units they were fitted on, and refuse tables in others or in both."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from hemafeat import datasets, evaluate, extract, pipelines
from hemafeat.pipelines import ModelError

UNLIKE = r"nucleus__shape__area in 'px\^2', the table has it in 'um\^2'.*27 more.*without their sc"
BOTH = "um_per_px is known for 12 of 24 rows: one column cannot hold both px and um"
LABELS = np.array(list("ab") * 6)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "cells"
    return datasets.drawn(folder, 12, size=96, random_state=0).drop(columns="um_per_px")


@pytest.fixture(scope="module")
def px(images):
    table = extract.table(images, families=["shape"])
    return table.assign(label=LABELS, patient=[f"P{n // 2}" for n in range(12)])


@pytest.fixture(scope="module")
def um(images):
    table = extract.table(images, families=["shape"], um_per_px=0.1)
    return table.assign(label=LABELS, patient=[f"P{n // 2}" for n in range(12)])


def from_csv(table):
    """Return a table as a CSV file keeps it, without attributes."""
    return pd.read_csv(io.StringIO(table.to_csv(index=False)))


MODELS = {
    "svc": pipelines.svc(),
    "search": GridSearchCV(pipelines.logistic(), {"model__C": [1.0]}, cv=2),
    "stack": pipelines.stack(["logistic", "baseline"], n_splits=2, alone=True),
    "average": pipelines.average(["logistic", "baseline"]),
    "bagging": pipelines.GroupedBagging(pipelines.logistic(), n_estimators=2),
    "calibrated": CalibratedClassifierCV(pipelines.logistic(), cv=2),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_refuses_other_units_also_from_its_file(px, um, name, tmp_path):
    model = MODELS[name].fit(px, px["label"])
    loaded = pipelines.load(pipelines.save(model, tmp_path / "m.hemafeat"))
    for table in (px, from_csv(px)):
        assert loaded.predict(table).tolist() == model.predict(px).tolist()
    for table in (um, from_csv(um), um.drop(columns="um_per_px")):
        with pytest.raises(ValueError, match=UNLIKE):
            model.predict(table)
        with pytest.raises(ModelError, match=rf"m\.hemafeat: .*{UNLIKE}"):
            loaded.predict(table)


def test_the_reverse_says_to_give_the_scale(px, um):
    model = pipelines.logistic().fit(um, um["label"])
    with pytest.raises(ValueError, match=r"in 'um\^2', .* in 'px\^2'.*with their scale"):
        model.predict(px)


def test_a_table_that_says_nothing_of_its_scale_is_taken(px, um):
    model = pipelines.logistic().fit(px, px["label"])
    values = from_csv(um).drop(columns="um_per_px")
    assert len(model.predict(values)) == 12
    assert len(model.predict(um[extract.feature_columns(um)].to_numpy())) == 12
    assert model[0].units_["cell__shape__area"] == "px^2"
    assert pipelines.logistic().fit(values, LABELS)[0].units_ == {}
    assert extract.units(values)["cell__shape__area"] == "px^2"
    assert extract.units(values, assume_px=False) == {}


@pytest.mark.parametrize(
    "use",
    [
        extract.units,
        lambda table: extract.save(table, "never.parquet"),
        lambda table: pipelines.svc().fit(table, table["label"]),
        lambda table: pipelines.bags(table, label=None),
        lambda table: evaluate.compare(["baseline"], table),
        lambda table: evaluate.compare(["baseline"], table, level="patient"),
        lambda table: evaluate.leakage(["baseline"], table),
        lambda table: evaluate.learning_curve("baseline", table),
    ],
)
def test_px_and_um_never_meet_in_one_table(px, um, use, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    both = pd.concat([px, um], ignore_index=True)
    with pytest.raises(ValueError, match=BOTH):
        use(both)
    assert not list(tmp_path.iterdir())


def test_a_file_with_both_is_named(px, um, tmp_path):
    pd.concat([px, um]).to_csv(tmp_path / "both.csv", index=False)
    with pytest.raises(ValueError, match=rf"both\.csv: {BOTH}"):
        extract.load(tmp_path / "both.csv")


def test_a_fitted_model_refuses_both(px, um, tmp_path):
    both = pd.concat([um, px], ignore_index=True)
    model = pipelines.logistic().fit(px, px["label"])
    loaded = pipelines.load(pipelines.save(model, tmp_path / "m.hemafeat"))
    for use in (model.predict, loaded.predict, loaded.predict_proba):
        with pytest.raises(ValueError, match=BOTH):
            use(both)


@pytest.mark.parametrize(
    "model",
    [
        pipelines.patient_table("logistic", "means"),
        pipelines.CellVote(pipelines.logistic()),
    ],
)
def test_models_of_patients_keep_units_too(px, um, model, tmp_path):
    rows, others = pipelines.bags(px, label=None), pipelines.bags(um, label=None)
    labels = np.array(list("ab") * 3)
    model.fit(rows, labels)
    loaded = pipelines.load(pipelines.save(model, tmp_path / "m.hemafeat"))
    assert loaded.predict(px).tolist() == model.predict(rows).tolist()
    for use, table in ((model.predict, others), (loaded.predict, um), (loaded.verdicts, um)):
        with pytest.raises(ValueError, match=UNLIKE):
            use(table)
    with pytest.raises(ValueError, match="px"):
        model.predict(pd.concat([rows, others]))


def of_images(**params):
    step = extract.CellFeatures(["shape"], **params)
    model = LogisticRegression(max_iter=500)
    return Pipeline([("cells", step), ("fill", pipelines.FillMissing()), ("model", model)])


def test_images_of_known_and_unknown_scale(images, tmp_path):
    known, paths = images.assign(um_per_px=0.1), list(images["image"])
    mixed = known.assign(um_per_px=[np.nan] + [0.1] * 11)
    model = of_images().fit(known, LABELS)
    expected = model.predict_proba(known)
    loaded = pipelines.load(pipelines.save(model, tmp_path / "m.hemafeat"))
    assert loaded.columns == ["image"]
    np.testing.assert_array_equal(loaded.predict_proba(known), expected)
    renamed = known.rename(columns={"image": "path"})
    np.testing.assert_array_equal(loaded.predict_proba(renamed), expected)
    for use in (model.predict, loaded.pipeline.predict):
        for unknown in (images, paths):
            with pytest.raises(ValueError, match=r"known scale, in um.*give an image table"):
                use(unknown)
    with pytest.raises(ValueError, match="known scale, in um"):
        loaded.predict(images)
    for use in (model.predict, loaded.predict, lambda table: of_images().fit(table, LABELS)):
        with pytest.raises(ValueError, match="known for 11 of 12 rows"):
            use(mixed)
    with pytest.raises(ValueError, match=r"without a scale, in px.*leave um_per_px out"):
        of_images().fit(paths, LABELS).predict(known)
    plain = of_images().fit(paths, LABELS)
    loaded = pipelines.load(pipelines.save(plain, tmp_path / "px.hemafeat"))
    np.testing.assert_array_equal(loaded.predict_proba(paths), plain.predict_proba(paths))
    by_hand = of_images(um_per_px=0.1).fit(paths, LABELS)
    np.testing.assert_array_equal(by_hand.predict_proba(known), expected)


def test_units_that_contradict_the_model_are_not_saved(px, um, tmp_path):
    model = pipelines.logistic().fit(px, px["label"])
    with pytest.raises(ModelError, match=r"units do not fit the model.*'px\^2'.*'um\^2'"):
        pipelines.save(model, tmp_path / "m.hemafeat", units=extract.units(um))
    assert not list(tmp_path.iterdir())
    path = pipelines.save(model, tmp_path / "m.hemafeat", units=extract.units(px))
    with zipfile.ZipFile(path) as box:
        parts = {name: box.read(name) for name in box.namelist()}
    parts["manifest.json"] = parts["manifest.json"].replace(b'"px^2"', b'"um^2"')
    with zipfile.ZipFile(path, "w") as box:
        for name, data in parts.items():
            box.writestr(name, data)
    with pytest.raises(ModelError, match="units of the manifest are not those of the model"):
        pipelines.load(path)


def test_colours_have_no_scale(images):
    step = extract.CellFeatures(["colour"]).fit(images.assign(um_per_px=0.1))
    assert step.transform(list(images["image"][:2])).shape[0] == 2


def test_a_model_of_images_is_compared(images, px):
    table = px.assign(um_per_px=0.1)
    comparison = evaluate.compare(
        {"images": of_images()}, table, groups="patient", n_splits=2, n_boot=10
    )
    assert comparison.models == ["images", "baseline"]


@pytest.mark.parametrize("normalise", ["grey-world", "reinhard", "macenko"])
def test_a_fitted_normaliser_is_kept(images, normalise, tmp_path):
    model = of_images(normalise=normalise).fit(images, LABELS)
    loaded = pipelines.load(pipelines.save(model, tmp_path / "m.hemafeat"))
    np.testing.assert_array_equal(loaded.predict_proba(images), model.predict_proba(images))


def test_functions_of_a_step_are_not_kept(images, tmp_path):
    model = of_images().set_params(cells__families=[extract.shape]).fit(images, LABELS)
    with pytest.raises(ModelError, match="name families, segmenters and normalisers"):
        pipelines.save(model, tmp_path / "m.hemafeat")
