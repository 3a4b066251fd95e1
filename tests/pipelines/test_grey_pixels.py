"""The grey-pixel baseline: crop, conversion to grey, storage, and comparison with features."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone

from hemafeat import evaluate, images, pipelines
from hemafeat.evaluate import CompareError


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Write images of dark and light discs on a noisy background."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(40):
        image = rng.integers(150, 200, (70, 64, 3), dtype=np.uint8)
        kind = ("dark", "light")[i % 2]
        level = {"dark": (60, 40, 90), "light": (140, 120, 160)}[kind]
        cv2.circle(image, (32, 35), 14, level, -1)
        path = folder / f"{i:02d}.png"
        Image.fromarray(image).save(path)
        rows.append({"image": str(path), "label": kind, "group": f"g{i // 2}"})
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("crop", "height", "width"), [(32, 70, 64), (33, 70, 64), (31, 61, 63)])
def test_centre_crop_and_grey(crop, height, width):
    image = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    out = pipelines.GreyPixels(crop=crop).fit([image]).transform([image])
    top, left = height // 2 - crop // 2, width // 2 - crop // 2
    part = image[top : top + crop, left : left + crop].astype(float)
    grey = part @ [0.299, 0.587, 0.114]
    assert out.dtype == np.uint8
    assert out.shape == (1, crop * crop)
    # Integer weights of the library round within one grey level.
    assert np.abs(out.reshape(crop, crop) - grey).max() < 1


def test_small_images_are_padded():
    image = np.full((10, 20, 3), 200, np.uint8)
    out = pipelines.GreyPixels(crop=16).fit_transform([image]).reshape(16, 16)
    assert (out[3:13] == 200).all()
    assert (out[:3] == 0).all()
    assert (out[13:] == 0).all()


def test_resized_keeps_the_mean():
    image = np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    full = pipelines.GreyPixels(crop=64).fit_transform([image])
    half = pipelines.GreyPixels(crop=64, size=16).fit_transform([image])
    assert half.shape == (1, 256)
    assert half.mean() == pytest.approx(full.mean(), abs=0.5)


def test_paths_arrays_and_tables_agree(pictures):
    step = pipelines.GreyPixels(crop=20)
    paths = list(pictures["image"][:3])
    arrays = [images.read(path) for path in paths]
    expected = step.fit_transform(paths)
    np.testing.assert_array_equal(step.fit_transform(arrays), expected)
    np.testing.assert_array_equal(step.fit_transform(pictures[:3]), expected)
    np.testing.assert_array_equal(step.fit_transform(pictures["image"][:3]), expected)
    assert len(step.get_feature_names_out()) == 400
    named = clone(step).set_output(transform="pandas").fit_transform(pictures[:3])
    assert named.columns[21] == "grey__1__1"


def test_wrong_input(tmp_path):
    with pytest.raises(ValueError, match="crop is a side in pixels"):
        pipelines.GreyPixels(crop=0).fit([])
    with pytest.raises(ValueError, match="'image' column"):
        pipelines.GreyPixels().fit([]).transform(pd.DataFrame({"a": [1]}))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not an image")
    with pytest.raises(images.ImageError, match=r"broken\.png"):
        pipelines.GreyPixels().fit([]).transform([str(broken)])


def test_pipeline_and_storage(pictures, tmp_path):
    model = pipelines.grey_pixels(crop=24, size=12).set_params(model__n_estimators=10)
    model.fit(pictures[:30], pictures["label"][:30])
    assert (model.predict(pictures[30:]) == pictures["label"][30:]).all()
    loaded = pipelines.load(pipelines.save(model, tmp_path / "grey.hemafeat"))
    assert loaded.columns == ["image"]
    np.testing.assert_array_equal(loaded.predict_proba(pictures), model.predict_proba(pictures))
    assert set(pipelines.search_space("grey_pixels")) <= set(model.get_params())
    assert "grey_pixels" not in pipelines.names()


def test_the_search_of_the_report(pictures, tmp_path):
    model = pipelines.make("grey_pixels_svc", crop=24, size=12, n_splits=2)
    assert model.param_grid == {"model__C": [0.1, 1, 10], "model__kernel": ["linear", "rbf"]}
    assert pipelines.looks_at(model) == {"images", "groups"}
    table = pictures.assign(group=np.arange(len(pictures)) // 2)
    model.fit(table[:30], table["label"][:30])
    assert (model.predict(table[30:]) == table["label"][30:]).all()
    loaded = pipelines.load(pipelines.save(model, tmp_path / "search.hemafeat"))
    np.testing.assert_array_equal(loaded.predict(table), model.predict(table))
    for train, test in model.cv.split(table[:30], table["label"][:30]):
        assert not set(table["group"].iloc[train]) & set(table["group"].iloc[test])


def test_beside_feature_models(pictures):
    """The features are noise and the pixels are not: each model must get its own input."""
    rng = np.random.default_rng(0)
    table = pictures.assign(cell=1, cell__shape__area=rng.normal(size=40))
    grey = pipelines.grey_pixels(crop=24, size=12).set_params(model__n_estimators=10)
    models = {"logistic": pipelines.logistic(), "grey": grey}
    comparison = evaluate.compare(models, table, n_boot=20)
    score = comparison.results.query("fold == 'all' and metric == 'accuracy'").set_index("model")[
        "value"
    ]
    assert score["grey"] == 1
    assert score["logistic"] < 0.8
    assert set(comparison.importances["model"]) == {"logistic"}
    fields = pd.concat([table, table.assign(cell=2)])
    with pytest.raises(CompareError, match="'grey' looks at whole images"):
        evaluate.compare({"grey": grey}, fields, n_boot=20)
