"""Networks as scikit-learn classifiers: input, training, held-back images, saving."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone, is_classifier
from sklearn.model_selection import cross_val_score

from hemafeat import networks, pipelines
from hemafeat.images import ImageError
from hemafeat.networks._classifier.augment import augmentation_of
from hemafeat.pipelines import ModelError, NetworkClassifier

pytestmark = pytest.mark.networks

N = 60


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras", minversion="3", reason="the extra 'deep' is not installed")


def discs(n=N, side=32):
    """Draw small dark and large light discs on a noisy background."""
    rng = np.random.default_rng(0)
    images = rng.integers(170, 210, (n, side, side, 3)).astype(np.uint8)
    for place, image in enumerate(images):
        radius, colour = ((5, (60, 30, 110)), (10, (140, 120, 170)))[place % 2]
        cv2.circle(image, (side // 2, side // 2), radius, colour, -1)
    return images, np.array(["small", "large"])[np.arange(n) % 2]


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Write the discs to files, in groups of six."""
    folder = tmp_path_factory.mktemp("discs")
    images, labels = discs()
    for place, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{place:02d}.png")
    names = [str(folder / f"{place:02d}.png") for place in range(N)]
    return pd.DataFrame({"image": names, "label": labels, "group": np.arange(N) // 6})


def small(**given):
    """Make a classifier that is trained quickly, without augmentation."""
    settings = {"epochs": 6, "batch_size": 16, "augment": False, "learning_rate": 3e-3}
    return NetworkClassifier("lenet5", **{**settings, "progress": False, **given})


@pytest.fixture(scope="module")
def fitted(keras, cells):
    return small().fit(cells, cells["label"])


def test_it_is_an_ordinary_classifier(fitted, cells):
    assert is_classifier(fitted)
    assert not fitted.__sklearn_tags__().input_tags.two_d_array
    assert list(fitted.classes_) == ["large", "small"]
    chance = fitted.predict_proba(cells)
    assert chance.shape == (N, 2)
    np.testing.assert_allclose(chance.sum(axis=1), 1.0)
    assert (fitted.predict(cells) == cells["label"]).mean() == 1
    assert fitted.score(cells, cells["label"]) == 1
    again = clone(fitted)
    assert again.get_params() == fitted.get_params()
    assert not hasattr(again, "network_")


def test_tables_paths_and_arrays_agree(fitted, cells):
    expected = fitted.predict_proba(cells)
    images, _ = discs()
    for given in (list(cells["image"]), cells["image"].to_numpy()[:, None], images, list(images)):
        np.testing.assert_allclose(fitted.predict_proba(given), expected, rtol=1e-5)
    # One more image changes the filling of the last batch, and nothing else.
    np.testing.assert_allclose(fitted.predict_proba(images[:17]), expected[:17], rtol=1e-4)


def test_the_same_seed_gives_the_same_network(fitted, cells):
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002 - the state that must not be touched
    wanted = random.random(), np.random.random()  # noqa: NPY002
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    again = clone(fitted).fit(cells, cells["label"])
    assert (random.random(), np.random.random()) == wanted  # noqa: NPY002
    np.testing.assert_array_equal(again.predict_proba(cells), fitted.predict_proba(cells))
    pd.testing.assert_frame_equal(
        again.history_.drop(columns="seconds"), fitted.history_.drop(columns="seconds")
    )


def test_what_is_held_back_is_whole_groups(fitted, cells):
    back = fitted.held_back_
    assert 0 < back.sum() < N / 2
    groups = cells["group"].to_numpy()
    assert not set(groups[back]) & set(groups[~back])
    assert {"loss", "val_loss", "val_balanced_accuracy", "learning_rate"} <= set(fitted.history_)


def test_groups_given_to_fit_come_first(keras, cells):
    other = np.arange(N) % 6 // 2 + 3 * (np.arange(N) % 2)
    model = small(epochs=1).fit(cells, cells["label"], groups=other)
    back = model.held_back_
    assert back.any()
    assert not set(other[back]) & set(other[~back])
    whole = small(epochs=1, validation=0).fit(cells, cells["label"])
    assert not whole.held_back_.any()
    assert "val_loss" not in whole.history_


def test_it_slows_down_stops_and_keeps_the_best_epoch(keras, cells):
    """Stop early with a learning rate that is too high."""
    model = small(epochs=12, learning_rate=0.05, patience=3, slower_after=1, slower_by=0.5)
    history = model.fit(cells, cells["label"]).history_
    losses = history["val_loss"]
    assert len(history) == min(12, losses.argmin() + 4)
    if len(history) < 12:
        assert history["learning_rate"].iloc[-1] < 0.05
    back = cells[model.held_back_]
    chance = model.predict_proba(back)
    place = np.searchsorted(model.classes_, back["label"])
    share = np.bincount(np.searchsorted(model.classes_, cells["label"]))
    weight = (len(cells) / 2 / share)[place]
    chance = np.clip(chance[np.arange(len(back)), place], 1e-7, 1)
    loss = np.average(-np.log(chance), weights=weight)
    assert loss == pytest.approx(losses.min(), rel=1e-3)


def test_fine_tuning_begins_with_the_head(keras, cells):
    first = networks.build("lenet5", 2, random_state=0)
    model = small(epochs=2, head_epochs=1, last_layers=2, learning_rate=1e-2, validation=0)
    model.fit(cells, cells["label"])
    assert list(model.history_["phase"]) == [0, 1, 1]
    for layer in ("conv_1", "conv_2"):
        for one, two in zip(
            first.get_layer(layer).get_weights(),
            model.network_.get_layer(layer).get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(one, two)
    # The last two with weights are dense_2 and logit; dense_1 is of the head.
    assert model.trained_layers_ == ["dense_2", "logit"]
    for layer, moved in (("dense_1", True), ("dense_2", True), ("logit", True)):
        one, two = first.get_layer(layer).kernel, model.network_.get_layer(layer).kernel
        assert bool(np.any(np.asarray(one) != np.asarray(two))) == moved
    assert len(model.network_.trainable_variables) == len(first.trainable_variables)
    with pytest.raises(ValueError, match=r"last_layers=9: the network has \d layers with weights"):
        small(last_layers=9).fit(cells, cells["label"])


def test_layers_are_counted_as_people_count_them(keras):
    """VGG16 has thirteen convolutions; its head here four dense layers."""
    model = networks.build("vgg16_head", 3, input_shape=(32, 32, 3))
    assert len(networks.trained_layers(model)) == 17
    assert networks.trained_layers(model, 5) == [
        "block5_conv3", "dense_1", "dense_2", "dense_3", "logit"
    ]  # fmt: skip
    inner = keras.Sequential([keras.layers.Dense(4, name="inner"), keras.layers.Dropout(0.1)])
    image = keras.Input((4,))
    outer = keras.layers.Dense(2, name="outer")(inner(keras.layers.Normalization()(image)))
    assert networks.trained_layers(keras.Model(image, outer)) == ["inner", "outer"]


def test_an_augmentation_of_ones_own_is_used(keras, cells):
    """Nothing but what was asked for changes the images."""
    shown = []

    def whiten(images, rng):
        shown.append((images.shape, images.dtype, float(rng.random())))
        return np.full_like(images, 255)

    model = small(epochs=1, augment=whiten, validation=0)
    assert model.fit(cells, cells["label"]).augment is whiten
    assert len(shown) >= 4  # Keras reads ahead
    assert shown[0][:2] == ((16, 32, 32, 3), np.uint8)
    gentle = networks.Augmentation(flip=False, turn=0, move=0, cut=(0, 0))
    same = small(epochs=1, augment=gentle).fit(cells, cells["label"])
    plain = small(epochs=1, augment=False).fit(cells, cells["label"])
    np.testing.assert_array_equal(same.predict_proba(cells), plain.predict_proba(cells))
    for value, expected in ((True, networks.Augmentation()), (gentle, gentle), (None, None)):
        assert augmentation_of(value) == expected
    assert augmentation_of({"turn": 0.5}) == networks.Augmentation(turn=0.5)
    for value in ("ufsc", 3, {"spin": 1}, {"zoom": 1.5}, networks.Augmentation):
        with pytest.raises(ValueError, match=r"^augment"):
            small(augment=value).fit(cells, cells["label"])
    with pytest.raises(ValueError, match=r"images of \(16, 8, 8, 3\) for images of \(16, 3"):
        small(augment=lambda images, rng: images[:, :8, :8]).fit(cells, cells["label"])


def test_votes_of_a_network(keras, cells, tmp_path):
    """Patients are classified by the images of their cells, and whole patients are held back."""
    table = cells.assign(patient=[f"P{n // 6}" for n in range(N)])
    table["label"] = np.array(["small", "large"])[np.arange(N) // 6 % 2]
    table["image"] = table["image"].to_numpy()[np.argsort(np.arange(N) % 2, kind="stable")]
    table = table.assign(label=lambda t: ["small"] * 30 + ["large"] * 30)
    rows = pipelines.bags(table, columns=[])
    model = pipelines.CellVote(small(epochs=8), "min").fit(rows, rows["label"])
    assert sorted(pipelines.looks_at(model)) == ["images"]
    held = model.model_.held_back_.reshape(10, 6)
    assert (held.all(axis=1) == held.any(axis=1)).all()
    assert 0 < held.sum() < 60
    assert model.predict(rows).tolist() == rows["label"].tolist()
    loaded = pipelines.load(pipelines.save(model, tmp_path / "m.hemafeat"))
    assert loaded.predict(table).tolist() == model.predict(rows).tolist()
    assert (loaded.columns, loaded.beside) == ([], ["image"])
    # The same network under other rules, and the contributions of its cells.
    chances = np.reshape(model.model_.predict_proba(table)[:, 1], (10, 6))
    for rule, wanted in (
        ("min", chances.min(axis=1)),
        ("max", chances.max(axis=1)),
        ("mean", chances.mean(axis=1)),
        ("majority", (chances > 0.5).mean(axis=1)),
    ):
        model.aggregate = rule
        np.testing.assert_allclose(model.predict_proba(rows)[:, 1], wanted, atol=1e-6)
    part = pipelines.cell_contributions(model, rows)
    assert set(part["method"]) == {"vote"}
    assert len(part) == N
    named = pipelines.cell_vote("cnn_4_8_16", "min", labels="hard", oversample=True, size=32)
    assert (named.model.architecture, named.model.size, named.labels) == ("cnn_4_8_16", 32, "hard")
    with pytest.raises(ValueError, match="hold no images"):
        pipelines.CellVote(small()).fit([np.zeros((2, 1))] * 4, list("abab"))


def test_a_stack_names_the_inner_fold_it_cannot_learn_from(keras, cells):
    table = cells.iloc[:12].assign(group=["A"] * 6 + ["B"] * 6)
    label = ["ill"] * 6 + ["well"] * 6
    model = pipelines.stack({"one": small(epochs=1), "two": small(epochs=1)}, n_splits=2)
    with pytest.raises(ValueError, match=r"inner fold 1 of 2 leaves only rows of (ill|well) to"):
        model.fit(table, label)


@pytest.mark.parametrize("colour", ["hsv", "od_fixed"])
def test_other_colours_are_layers_of_the_network(keras, cells, colour):
    model = small(colour=colour, epochs=4).fit(cells, cells["label"])
    images, _ = discs()
    inner = model.network_.layers[-1]
    shown = images.astype(np.float32)
    if colour == "hsv":
        hsv = np.stack([cv2.cvtColor(i / np.float32(255), cv2.COLOR_RGB2HSV) for i in shown])
        shown = hsv * np.array([255 / 360, 255, 255], np.float32)
    else:
        shown = np.maximum(-np.log10((images + 1.0) / 255), 0) * 255 / np.log10(256)
    given = keras.ops.convert_to_numpy(inner(shown.astype(np.float32), training=False))
    np.testing.assert_allclose(model.predict_proba(images), given, atol=2e-3)
    assert model.embed(cells).shape == (N, 84)


def test_the_former_name_of_a_colour_still_works(keras):
    with pytest.warns(FutureWarning, match="'od' is now called 'od_fixed'"):
        former = networks.image_network("lenet5", 3, colour="od", random_state=2)
    current = networks.image_network("lenet5", 3, colour="od_fixed", random_state=2)
    shown = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(
        *(keras.ops.convert_to_numpy(network(shown)) for network in (former, current))
    )


def test_kept_with_pickle_and_in_a_model_file(fitted, cells, tmp_path):
    expected = fitted.predict_proba(cells)
    back = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_allclose(back.predict_proba(cells), expected, rtol=1e-5)
    pd.testing.assert_frame_equal(back.history_, fitted.history_)
    stored = pipelines.load(pipelines.save(fitted, tmp_path / "lenet.hemafeat", note="discs"))
    assert stored.columns == ["image"]
    assert stored.classes == ["large", "small"]
    np.testing.assert_allclose(stored.predict_proba(cells), expected, rtol=1e-5)
    assert (stored.predict(cells) == cells["label"]).all()


def two_maps(input_shape, n_classes):
    """Build a custom network."""
    import keras

    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3, strides=2, activation="relu"),
            keras.layers.GlobalMaxPooling2D(),
            keras.layers.Dense(n_classes, activation="softmax"),
        ]
    )


def test_a_function_and_a_file(keras, cells, tmp_path):
    model = small(size=(24, 28), learning_rate=0.02, epochs=12).set_params(architecture=two_maps)
    model.fit(cells, cells["label"])
    assert model.network_.input_shape == (None, 24, 28, 3)
    expected = model.predict_proba(cells)
    np.testing.assert_allclose(
        pickle.loads(pickle.dumps(model)).predict_proba(cells), expected, rtol=1e-5
    )
    with pytest.raises(ModelError, match="two_maps"):
        pipelines.save(model, tmp_path / "m.hemafeat")
    model.network_.save(tmp_path / "mine.keras")
    on = small(epochs=1, learning_rate=1e-9).set_params(architecture=str(tmp_path / "mine.keras"))
    on.fit(cells, cells["label"])
    np.testing.assert_allclose(on.predict_proba(cells), expected, atol=1e-4)
    with pytest.raises(ValueError, match="2 outputs, but there are 3 classes"):
        on.fit(cells, np.arange(N) % 3)
    with pytest.raises(ValueError, match="takes images of"):
        clone(on).set_params(size=40).fit(cells, cells["label"])


def test_one_output_for_two_classes(keras, cells):
    model = small(size=32, epochs=1).set_params(architecture="mids_final", learning_rate=1e-3)
    model.fit(cells, cells["label"])
    assert model.network_.output_shape == (None, 1)
    chance = model.predict_proba(cells)
    np.testing.assert_allclose(chance.sum(axis=1), 1.0)
    raw = keras.ops.convert_to_numpy(model.network_(discs()[0].astype(np.float32), training=False))
    np.testing.assert_allclose(chance[:, 1], raw[:, 0], rtol=1e-4, atol=1e-6)


def test_inside_cross_validation(keras, cells):
    images, labels = discs()
    scores = cross_val_score(
        small(epochs=1), images, labels, cv=2, scoring="balanced_accuracy", error_score="raise"
    )
    assert scores.shape == (2,)


def test_half_precision_is_for_accelerators_only(keras, cells, monkeypatch):
    from hemafeat.networks._classifier import network as _classifier_network

    policy = keras.config.dtype_policy().name
    plain = networks.image_network("lenet5", 2, mixed_precision=True)
    assert plain.get_layer("conv_1").compute_dtype == "float32" or (
        _classifier_network.has_accelerator()
    )
    monkeypatch.setattr(_classifier_network, "has_accelerator", lambda: True)
    mixed = networks.image_network("lenet5", 2, mixed_precision=True)
    assert keras.config.dtype_policy().name == policy
    assert mixed.get_layer("conv_1").compute_dtype == "float16"
    assert mixed.get_layer("probability").compute_dtype == "float32"
    with pytest.raises(ValueError, match="no network"):
        networks.image_network("lenet6", 2, mixed_precision=True)
    assert keras.config.dtype_policy().name == policy, "also after an error"


def test_names_of_the_catalogue(keras, cells):
    assert set(networks.ARCHITECTURES) < set(pipelines.names(deep=True))
    assert not set(networks.ARCHITECTURES) & set(pipelines.names())
    model = pipelines.make("mids_baseline", size=40, crop=30, epochs=1, progress=False)
    assert isinstance(model, NetworkClassifier)
    assert set(pipelines.search_space("lenet5")) <= set(model.get_params())
    model.fit(cells, cells["label"])
    assert model.network_.input_shape == (None, 40, 40, 3)


def test_names_need_no_keras(monkeypatch):
    import importlib.metadata

    code = """
import sys
from hemafeat import pipelines
assert "lenet5" in pipelines.names(deep=True)
assert "keras" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)

    def nothing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", nothing)
    with pytest.raises(ImportError, match=r'lenet5 .* install .*"?keras'):
        pipelines.make("lenet5")
    with pytest.raises(ValueError, match="no pipeline 'lenet6'"):
        pipelines.make("lenet6")


def test_options_of_the_command_line(keras):
    from argparse import Namespace

    from hemafeat.cli import _deep

    args = Namespace(epochs=2, image_size=40, seed=5, level="cell", weights=None)
    models = _deep.models(["svc", "lenet5"], args)
    network = models["lenet5"]
    assert (network.epochs, network.size, network.random_state) == (2, 40, 5)
    assert _deep.models(["svc"], args) == ["svc"]
    given = Namespace(epochs=None, image_size=None, seed=5, level="cell", weights="imagenet")
    assert _deep.models(["svc", "inception_v3"], given)["inception_v3"].weights == "imagenet"
    given.weights = "random"
    assert _deep.models(["inception_v3"], given) == ["inception_v3"]
    plain = Namespace(epochs=None, image_size=None, seed=5, level="cell", weights=None)
    assert _deep.models(["svc", "lenet5"], plain) == ["svc", "lenet5"]


@pytest.mark.parametrize(
    ("weights", "reason"),
    [("imagenet", "lenet5 has no ImageNet weights"), ("none.weights.h5", "does not exist")],
)
def test_weights_that_cannot_be_had_are_an_error_before_anything_is_measured(
    keras, cells, tmp_path, capsys, weights, reason
):
    from hemafeat.cli import main

    folder = str(Path(cells["image"][0]).parent)
    command = ["compare", folder, "--models", "lenet5", "--weights", weights]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_learning_curves_are_drawn(fitted, tmp_path):
    path = networks.learning_curves(fitted.history_, tmp_path / "curves.png")
    assert Image.open(path).size[0] > 600
    with pytest.raises(ValueError, match="no epoch"):
        networks.learning_curves([], tmp_path / "none.png")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"colour": "lab"}, "no colour 'lab'"),
        ({"crop": "nucleus"}, "crop='nucleus'"),
        ({"crop": 0}, "at least 1"),
        ({"validation": 1}, "validation is a share"),
        ({"weights": "imagenet"}, "no ImageNet weights"),
        ({"size": 8}, "too small"),
        ({"architecture": "lenet5000"}, "there are: lenet5"),
        ({"architecture": "not/there.keras"}, "does not exist"),
        ({"last_layers": 0}, "at least one layer"),
        ({"learning_rate": 1e30, "validation": 0}, "is not finite"),
    ],
)
def test_bad_requests_say_why(keras, cells, given, reason):
    with pytest.raises(ValueError, match=reason):
        small().set_params(**given).fit(cells, cells["label"])


def test_bad_images_and_labels_say_why(keras, cells, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not an image")
    images = [*cells["image"][1:], str(broken)]
    with pytest.raises(ImageError, match=r"broken\.png"):
        small().fit(images, cells["label"])
    with pytest.raises(ValueError, match="one class only"):
        small().fit(cells, ["a"] * N)
    with pytest.raises(ValueError, match="60 images and 59 labels"):
        small().fit(cells, cells["label"][1:])
    with pytest.raises(ValueError, match="'image' column"):
        small().fit(cells[["label"]], cells["label"])
    with pytest.raises(ValueError, match="60 cells and 3 groups"):
        small().fit(cells, cells["label"], groups=[1, 2, 3])
