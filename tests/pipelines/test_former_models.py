"""Models that version 0.1 saved can be loaded and give the predictions that they gave then.

They were fitted on drawn cells, patients and images, which are in the same folder with these
predictions. Together they hold every type of this package that a model may hold.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn

from hemafeat import pipelines

FOLDER = Path(__file__).parents[1] / "data" / "models_0_1"
NETWORKS = {"patients_attention", "images_network", "images_embedding", "images_attention"}

SAVED_WITH = (1, 9)
"""Version of scikit-learn with which the models were saved."""

RUNNING = tuple(int(part) for part in sklearn.__version__.split(".")[:2])


def input_table(name: str) -> pd.DataFrame:
    kind = name.split("_")[0]
    if kind != "images":
        return pd.read_parquet(FOLDER / f"{kind}_input.parquet")
    with np.load(FOLDER / "images_input.npz") as held:
        return pd.DataFrame({"image": list(held["images"]), "patient": held["patient"], "cell": 1})


def cases() -> list:
    names = sorted(path.stem for path in FOLDER.glob("*.hemafeat"))
    return [
        pytest.param(name, marks=pytest.mark.networks if name in NETWORKS else []) for name in names
    ]


@pytest.mark.parametrize("name", cases())
def test_predictions_are_unchanged(name):
    if name in NETWORKS:
        pytest.importorskip("keras", minversion="3", reason="the extra 'deep' is not installed")
    if name in ("cells_ldsvm", "cells_bagging"):
        pytest.importorskip("imblearn")
    if RUNNING < SAVED_WITH:
        pytest.skip("scikit-learn does not read estimators of a later version")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # another version of scikit-learn
        model = pipelines.load(FOLDER / f"{name}.hemafeat")
    table = input_table(name)
    expected = pd.read_csv(FOLDER / f"{name}_expected.csv", keep_default_na=False)
    if isinstance(model, pipelines.PatientModel):
        result = model.verdicts(table)
    else:
        result = pd.DataFrame({"predicted": model.predict(table)})
        if hasattr(model.pipeline, "predict_proba"):
            for index, label in enumerate(model.classes):
                result[f"p__{label}"] = model.predict_proba(table)[:, index]
    assert list(result["predicted"].astype(str)) == list(expected["predicted"].astype(str))
    chances = [column for column in result if column.startswith("p__")]
    # Other versions of scikit-learn, XGBoost and Keras add in another order.
    np.testing.assert_allclose(result[chances], expected[chances], atol=1e-5)


def test_classes_are_written_under_their_package(tmp_path):
    import zipfile

    model = pipelines.load(FOLDER / "cells_logistic.hemafeat")
    path = pipelines.save(model, tmp_path / "again.hemafeat")
    for file, private in ((FOLDER / "cells_logistic.hemafeat", True), (path, False)):
        with zipfile.ZipFile(file) as box, box.open("model.skops") as inner:
            schema = zipfile.ZipFile(inner).read("schema.json").decode()
        assert ("hemafeat.pipelines._" in schema) is private
