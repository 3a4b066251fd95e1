"""Models of patients in files: the same predictions, and refusal of tables that do not fit."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets, pipelines
from hemafeat.pipelines import ModelError
from support.model_files import rewrite

WHITE = [f"quality__white_{channel}" for channel in "rgb"]
ATTRIBUTES = ["sex", "dob", "lymphocyte_count"]


@pytest.fixture(scope="module")
def cells():
    table = datasets.drawn_bags(
        24, cells=(4, 9), n_features=4, missing=0.02, attribute_signal=1.0, random_state=1
    )
    rng = np.random.default_rng(0)
    table = table.assign(**{name: rng.normal(230, 4, len(table)) for name in WHITE})
    return table.rename(columns={f"cell__drawn__f0{j}": f"cell__shape__f{j}" for j in range(4)})


@pytest.fixture(scope="module")
def rows(cells):
    return pipelines.bags(cells, attributes=ATTRIBUTES)


@pytest.fixture(scope="module")
def saved(rows, tmp_path_factory):
    model = pipelines.make_patient("stack").fit(rows, rows["label"])
    path = tmp_path_factory.mktemp("m") / "m.hemafeat"
    return pipelines.save(
        model, path, units={"cell__shape__f1": "px"}, note="n", measured={"cells": "central"}
    )


NAMES = [*pipelines.patient_names(attributes=True), "stain", "date_format"]


@pytest.mark.parametrize("name", NAMES)
def test_round_trip(name, cells, rows, tmp_path):
    model = pipelines.make_patient(name)
    if any("n_estimators" in key for key in model.get_params()):
        model.set_params(model__n_estimators=5)
    model.fit(rows, rows["label"])
    loaded = pipelines.load(pipelines.save(model, tmp_path / "m.hemafeat"))
    assert isinstance(loaded, pipelines.PatientModel)
    # In another order of the cells, and with columns that are not needed.
    verdicts = loaded.verdicts(cells.sample(frac=1, random_state=0).assign(other=1))
    assert verdicts["patient"].tolist() == rows.index.tolist()
    assert verdicts["n_cells"].tolist() == [len(bag) for bag in rows["cells"]]
    np.testing.assert_allclose(
        verdicts[[f"p__{name}" for name in loaded.classes]], model.predict_proba(rows), rtol=1e-12
    )
    np.testing.assert_array_equal(verdicts["predicted"], model.predict(rows))
    needed = [*loaded.columns, *loaded.attributes, *loaded.beside, "patient", "image", "cell"]
    np.testing.assert_array_equal(loaded.predict(cells[needed]), model.predict(rows))
    again = pipelines.load(pipelines.save(loaded, tmp_path / "again.hemafeat"))
    pd.testing.assert_frame_equal(again.verdicts(cells), loaded.verdicts(cells))


def test_manifest_of_a_model_of_patients(saved):
    with zipfile.ZipFile(saved) as box:
        manifest = json.loads(box.read("manifest.json"))
    assert manifest["patients"] == {
        "patient": "patient",
        "attributes": ATTRIBUTES,
        "beside": [],
        "measured": {"cells": "central"},
    }
    assert manifest["families"] == ["shape"]
    loaded = pipelines.load(saved)
    assert loaded.measured == {"cells": "central"}
    assert loaded.attributes == ATTRIBUTES


def test_cells_must_fit(saved, cells):
    model = pipelines.load(saved)
    for drop, message in (
        ("cell__shape__f2", "needs 1 column that the table lacks: cell__shape__f2"),
        ("dob", "classifies patients and needs dob"),
        ("patient", "classifies patients and needs patient"),
    ):
        with pytest.raises(ModelError, match=message):
            model.verdicts(cells.drop(columns=drop))
    other = cells.copy()
    other.attrs["units"] = {"cell__shape__f1": "um"}
    with pytest.raises(ModelError, match="in 'px', the table has it in 'um'"):
        model.verdicts(other)
    with pytest.raises(ModelError, match="no cell has a patient"):
        model.verdicts(cells.assign(patient=None))
    two = cells.assign(sex=["M", "f"] * (len(cells) // 2) + ["M"] * (len(cells) % 2))
    with pytest.raises(ModelError, match="2 values of 'sex'"):
        model.verdicts(two)
    # Cells without a patient are ignored, and so are missing values.
    some = cells.assign(patient=cells["patient"].where(cells["patient"] != "P3"), dob=None)
    verdicts = model.verdicts(some)
    assert set(verdicts["patient"]) == set(cells["patient"]) - {"P3"}
    assert verdicts.filter(like="p__").notna().all(axis=None)


def test_a_file_edited_by_hand_is_refused(saved, tmp_path):
    with zipfile.ZipFile(saved) as box:
        manifest = json.loads(box.read("manifest.json"))
    for change in ({"patients": None}, {"patients": {**manifest["patients"], "attributes": []}}):
        text = json.dumps({**manifest, **change})
        path = rewrite(saved, tmp_path / "x.hemafeat", **{"manifest.json": text})
        with pytest.raises(ModelError, match=r"x\.hemafeat"):
            pipelines.load(path)
