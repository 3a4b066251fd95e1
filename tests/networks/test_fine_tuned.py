"""Networks that are trained inside the fold, with a classical head; options on the command line."""

from __future__ import annotations

import copy
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.svm import SVC

from hemafeat import _fits, datasets, networks, pipelines, segment
from hemafeat.cli import main
from hemafeat.pipelines import FineTuned, NetworkClassifier, fine_tuned

pytestmark = pytest.mark.networks

N = 24
QUICK = {"epochs": 1, "batch_size": 12, "augment": False, "validation": 0, "progress": False}


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras", minversion="3", reason="the extra 'deep' is not installed")


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Draw small and large discs, in groups of four."""
    folder = tmp_path_factory.mktemp("discs")
    rng = np.random.default_rng(0)
    names = []
    for place in range(N):
        image = rng.integers(170, 210, (32, 32, 3)).astype(np.uint8)
        cv2.circle(image, (16, 16), (5, 10)[place % 2], (60, 30, 110), -1)
        names.append(str(folder / f"{place:02d}.png"))
        Image.fromarray(image).save(names[-1])
    label = np.array(["small", "large"])[np.arange(N) % 2]
    return pd.DataFrame({"image": names, "label": label, "group": np.arange(N) // 4})


@pytest.fixture(scope="module")
def fitted(keras, cells):
    model = fine_tuned("lenet5", SVC(C=100.0, random_state=0), "dense_1", **QUICK)
    return model.fit(cells, cells["label"])


def test_the_head_learns_from_a_layer_of_the_trained_network(fitted, cells):
    network = NetworkClassifier("lenet5", **QUICK).fit(cells, cells["label"])
    vectors = network.embed(cells, "dense_1")
    assert vectors.shape == (N, 120)
    np.testing.assert_allclose(fitted.embed(cells), vectors, rtol=1e-5)
    by_hand = SVC(C=100.0).fit(vectors, cells["label"])
    assert fitted.predict(cells).tolist() == by_hand.predict(vectors).tolist()
    assert fitted.network_.trained_layers_[-1] == "logit"
    assert len(fitted.network_.history_) == 1
    start = networks.build("lenet5", 2, random_state=0).get_layer("dense_1").get_weights()[0]
    assert (fitted.network_.network_.get_layer("dense_1").get_weights()[0] != start).any()


def test_it_is_kept_in_a_model_file(keras, cells, tmp_path):
    augment = networks.Augmentation(flip="horizontal", zoom=0.1)
    model = fine_tuned("lenet5", "xgboost", **{**QUICK, "augment": augment})
    model.fit(cells, cells["label"])
    stored = pipelines.load(pipelines.save(model, tmp_path / "m.hemafeat"))
    assert stored.columns == ["image"]
    np.testing.assert_allclose(stored.predict_proba(cells), model.predict_proba(cells), rtol=1e-5)
    assert stored.pipeline.network_.augment == augment


def test_views_and_background_of_a_classifier(fitted, cells):
    model = copy.copy(fitted.network_).set_params(views="flips_rot90", outside="black")
    model.set_params(segmenter=one_disc)
    shown = model.images(cells)
    assert (shown[:, :4] == 0).all()
    assert (shown[:, 14:18, 14:18] > 0).any(axis=-1).all()
    expected = networks.predict_images(model.network_, shown, views="flips_rot90")
    np.testing.assert_allclose(model.predict_proba(cells), expected, rtol=1e-5)
    single = networks.predict_images(model.network_, shown)
    assert np.abs(expected - single).max() > 1e-4


def one_disc(image):
    """Find the dark pixels as one cell."""
    cell = (image[..., 0] < 100).astype(np.int32)
    return segment.Masks(cell, np.zeros_like(cell))


def test_a_model_without_the_newer_options_predicts_as_before(fitted, cells):
    model = fitted.network_
    state = model.__getstate__()
    for name in ("outside", "views", "views_mean", "schedule", "keep_best", "oversample"):
        del state[name]
    former = NetworkClassifier.__new__(NetworkClassifier)
    former.__setstate__(state)
    np.testing.assert_allclose(former.predict_proba(cells), model.predict_proba(cells), rtol=1e-5)
    assert clone(former).get_params() == model.get_params()


def test_a_wrong_layer_is_an_error_before_the_training(keras, cells, monkeypatch):
    monkeypatch.setattr(networks, "fit_images", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(ValueError, match="layer: the network has no layer 'dense_9'; did you mean"):
        fine_tuned("lenet5", "svc", "dense_9", **QUICK).fit(cells, cells["label"])


def test_a_validation_part_reaches_the_network_only(cells):
    class Recorder(NetworkClassifier):
        def fit(self, X, y, groups=None, validation=None):
            self.validated_on = validation
            return self

        def embed(self, X, layer=None):
            return np.arange(2.0 * len(X)).reshape(-1, 2)

    given = (cells[:4], cells["label"][:4])
    assert FineTuned.takes_validation
    model = FineTuned(Recorder(), SVC())
    model.fit(cells[4:], cells["label"][4:], validation=given)
    assert model.network_.validated_on is given
    assert model.head_.shape_fit_ == (N - 4, 2)


def test_a_network_beside_its_head_is_trained_once(keras, cells, monkeypatch):
    calls = []
    fit_images = networks.fit_images
    monkeypatch.setattr(
        networks, "fit_images", lambda *a, **k: calls.append(1) or fit_images(*a, **k)
    )
    network = NetworkClassifier("lenet5", **QUICK)
    models = [network, fine_tuned(network, "svc"), fine_tuned(network, "logistic", "dense_1")]
    assert _fits.families(models) == [[0, 1, 2]]
    with _fits.sharing(_fits.Fits.of(models)):
        for model in map(clone, models):
            model.fit(cells, cells["label"])
        assert len(calls) == 1
        clone(network).fit(cells, cells["label"], groups=cells["group"].to_numpy() // 2)
    assert len(calls) == 2, "other groups are another fit"


def test_names_of_the_catalogue(keras):
    model = pipelines.make("fine_tuned:vgg16_head/dense_1+svc", epochs=3, random_state=4)
    assert (model.network.architecture, model.layer) == ("vgg16_head", "dense_1")
    assert (model.network.epochs, model.network.random_state) == (3, 4)
    assert list(model.head.named_steps) == ["fill", "scale", "whiten", "model"]
    model = pipelines.make("fine_tuned:keras:DenseNet121+xgboost")
    assert model.network.architecture == "keras:DenseNet121"
    assert model.head[-1].get_params()["class_weight"] is None
    model = pipelines.make("keras:DenseNet121", head=[256], random_state=2)
    assert (model.head, model.random_state) == ([256], 2)
    for name, given, reason in (
        ("keras:VGG99", {}, "no backbone 'VGG99'"),
        ("keras:VGG16", {"crops": 3}, "no option 'crops'; did you mean crop"),
        ("fine_tuned:lenet5", {}, r"fine_tuned:NETWORK\[/LAYER\]\+HEAD"),
        ("fine_tuned:lenet5+svm", {}, "no head 'svm'"),
        ("fine_tuned:lenet5+svc", {"epoch": 3}, "no option 'epoch'; did you mean epochs"),
    ):
        with pytest.raises(ValueError, match=reason):
            pipelines.make(name, **given)
    with pytest.raises(
        ValueError, match="head=5: expected a classifier, or one of the names xgboost"
    ):
        fine_tuned("lenet5", 5)
    with pytest.raises(ValueError, match="has its own options; got also epochs"):
        fine_tuned(NetworkClassifier(), "svc", epochs=3)


@pytest.fixture
def drawn(tmp_path):
    kinds = ["lymphocyte", "neutrophil"]
    datasets.drawn(tmp_path / "cells", 12, kinds=kinds, n_patients=6, size=48)
    return tmp_path / "cells"


def test_options_of_the_command_line(keras, drawn, tmp_path, capsys):
    names = ["lenet5", "fine_tuned:lenet5/dense_1+svc", "svc"]
    options = ["epochs=1", "learning_rate=1e-4", "batch_size=6", "last_layers=dense_1"]
    options += ["augment.zoom=0.1", "augment.cut=(0,0)", "optimizer=sgd", "optimizer.momentum=0.9"]
    options += ["svc.C=3", "validation=0", "head_epochs=0"]
    command = ["compare", str(drawn), "--models", *names, "--set", *options, "--out"]
    rest = ["--folds", "2", "--families", "shape", "--n-boot", "10", "--no-importance"]
    # A process of its own would load the backend of Keras again.
    assert main([*command, str(tmp_path / "out"), *rest, "--jobs", "1"]) == 0
    out, err = capsys.readouterr()
    assert "fine_tuned:lenet5/dense_1+svc" in out
    assert "lenet5: 3 of 5 layers with weights are trained, dense_1 to logit" in err
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    assert set(names) <= set(results["model"])


def settings(*words, names=("lenet5", "keras:VGG16", "svc"), **given):
    from argparse import Namespace

    from hemafeat.cli import _deep

    args = {"epochs": None, "image_size": None, "weights": None, "level": "cell", "seed": 0}
    return _deep.options(list(names), Namespace(options=list(words), **{**args, **given}))


def test_options_are_read_by_model_and_by_field():
    found = settings(
        "crop=256", "keras:VGG16.crop=cell", "keras:VGG16.head=[64, 32]", "svc.C=1e-2",
        "augment=true", "augment.flip=horizontal", "patience=none", "optimizer.momentum=.9",
        "lenet5.optimizer=sgd", epochs=3,
    )  # fmt: skip
    shared = {"augment": {"flip": "horizontal"}, "patience": None, "epochs": 3}
    assert found == {
        "lenet5": {"crop": 256, "optimizer": "sgd", **shared},
        "keras:VGG16": {
            "crop": "cell", "head": [64, 32], "optimizer": {"momentum": 0.9}, **shared
        },
        "svc": {"C": 0.01},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "names", "reason"),
    [
        (["crop"], ["lenet5"], "'crop' has no value"),
        (["crop=2"], ["svc"], "none of the models is a network; MODEL.crop=VALUE"),
        (["crop=2", "crop=3"], ["lenet5"], "crop is given twice"),
        (["epochs.first=2", "epochs=2"], ["lenet5"], "2 has no field 'first'"),
        (["crops=2"], ["lenet5"], "no option 'crops'; did you mean crop"),
        (["crop=nucleus"], ["lenet5"], "crop='nucleus'"),
        (["learning_rate=fast"], ["lenet5"], "learning_rate='fast': expected a number above 0"),
        (["augment.spin=1"], ["lenet5"], "augment: no field 'spin'"),
        (["optimizer=sgdd"], ["lenet5"], "optimizer='sgdd'"),
        (["last_layers=conv_9"], ["lenet5"], "no layer 'conv_9'"),
        (["svc.D=2"], ["svc"], "'D'"),
        (["weights=none.h5"], ["keras:MobileNet"], "none.h5: the file of weights does not exist"),
        (["epochs=1"], ["fine_tuned:lenet5/dense_9+svc"], "no layer 'dense_9'"),
    ],
)
def test_wrong_options_are_an_error_before_anything_is_measured(
    keras, drawn, tmp_path, capsys, words, names, reason
):
    out = tmp_path / "out"
    command = ["compare", str(drawn), "--models", *names, "--set", *words, "--out", str(out)]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert len(error.strip().splitlines()) <= 2
    assert not Path(out).exists()
