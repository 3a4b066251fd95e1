"""Published networks: numbers of parameters, training and saving."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from hemafeat import networks
from hemafeat._machine import how_to_install
from support.architecture_steps import (
    DEEP,
    SIDES,
    judged,
    some_images,
    train_save_and_read_back,
    without_weights,
)

pytestmark = pytest.mark.networks


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras", minversion="3", reason="the extra 'deep' is not installed")


def build_without_weights(keras, name, **given):
    with without_weights(keras):
        return networks.build(name, networks.ARCHITECTURES[name].n_classes, **given)


def n_trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_variables)


def test_the_table_needs_no_keras():
    code = """
import sys
sys.modules["keras"] = None
from hemafeat import networks
print(len(networks.architectures()))
try:
    networks.build("lenet5", 8)
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert int(done[0]) == len(networks.ARCHITECTURES)
    assert how_to_install("keras", "deep") in done[1]


def test_every_network_is_trained():
    assert set(SIDES) == set(networks.ARCHITECTURES)


def test_the_printed_numbers_of_the_reports_are_in_the_table():
    table = networks.architectures()
    printed = {
        "lenet5": 61_836,
        "mids_baseline": 49_741,
        "mids_final": 8_483_265,
        "lenet_8": 48_441_568,
        "lenet_10": 48_442_082,
        "lenet_4000": 7_880_288,
        "cnn1_gray": 65_030_088,
        "cnn1_rgb": 65_031_688,
        "vgg16_head": 15_898_184,
    }
    assert table.loc[list(printed), "n_parameters"].to_dict() == printed
    assert table.loc["mids_final", "n_trainable"] == 8_482_817
    certainties = {"stated", "read", "computed", "remembered", "guess"}
    assert set(table["certainty"]) <= certainties


@pytest.mark.parametrize("name", [n for n in networks.ARCHITECTURES if n != "xie_streams"])
def test_parameters_are_the_published_ones(keras, name):
    published = networks.ARCHITECTURES[name]
    model = build_without_weights(keras, name)
    assert model.output_shape[-1] in (published.n_classes, 1)
    assert model.input_shape[1:] == published.input_shape
    if published.n_parameters is not None:
        assert model.count_params() == published.n_parameters
    if published.n_trainable is not None:
        assert n_trainable(model) == published.n_trainable


@pytest.mark.parametrize(
    ("name", "statistics"),
    [
        ("resnet18", 9_600),
        ("resnet34", 17_024),
        ("resnet50", 53_120),
        ("resnet101", 105_344),
        ("resnet152", 151_424),
        ("resnext50", 68_224),
        ("resnext101", 202_880),
        ("vgg16_bn", 8_448),
        ("se_resnext50", 68_224),
    ],
)
def test_moving_statistics_make_the_difference_to_pytorch(keras, name, statistics):
    model = build_without_weights(keras, name)
    assert model.count_params() - n_trainable(model) == statistics
    assert f"{statistics:,}" in networks.ARCHITECTURES[name].note


def test_the_head_of_vgg16_alone(keras):
    model = build_without_weights(keras, "vgg16_head")
    head = [
        layer for layer in model.layers if layer.name.startswith("dense") or layer.name == "logit"
    ]
    assert sum(layer.count_params() for layer in head) == 1_183_496
    assert "1,183,496" in networks.ARCHITECTURES["vgg16_head"].note


def test_the_layers_of_the_cnn_4_8_16(keras):
    model = build_without_weights(keras, "cnn_4_8_16")
    assert model.get_layer("flatten").output.shape == (None, 12_544)
    counts = {layer.name: layer.count_params() for layer in model.layers if layer.count_params()}
    # 3 x 3 x channels x filters and a bias; four numbers per normalised channel.
    assert counts == {
        "conv_1": 112,
        "normal_1": 16,
        "conv_2": 296,
        "normal_2": 32,
        "conv_3": 1_168,
        "normal_3": 64,
        "dense_1": 12_544 * 128 + 128,
        "logit": 258,
    }
    assert model.count_params() - n_trainable(model) == 56


@pytest.mark.parametrize("name", [name for name in SIDES if name not in DEEP])
def test_trained_saved_and_read_back(keras, name, tmp_path):
    train_save_and_read_back(keras, name, tmp_path)


@pytest.mark.parametrize("name", ["mids_baseline", "mids_final"])
def test_two_classes_of_the_mids_networks_share_a_sigmoid(keras, name):
    model = networks.build(name, 2, input_shape=(32, 32, 3))
    given = judged(keras, model, some_images((32, 32, 3)))
    assert given.shape == (8, 1)
    assert ((given >= 0) & (given <= 1)).all()


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "mids_final"])
def test_weights_depend_on_the_seed_alone(keras, name):
    import random

    shape = (32, 32, 3)
    random.seed(5)
    expected = random.random()
    random.seed(5)
    one, same, other = (
        networks.build(name, 3, input_shape=shape, random_state=seed) for seed in (1, 1, 2)
    )
    assert random.random() == expected, "the caller's random numbers are not touched"
    for left, right in zip(one.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)
    kernels = [
        (left, right)
        for left, right in zip(one.get_weights(), other.get_weights(), strict=True)
        if left.ndim > 1
    ]
    assert all((left != right).any() for left, right in kernels)


def test_weights_from_a_file(keras, tmp_path):
    path = tmp_path / "lenet.weights.h5"
    first = networks.build("lenet5", 4, random_state=3)
    first.save_weights(path)
    images = some_images((32, 32, 3))
    second = networks.build("lenet5", 4, weights=str(path), random_state=8)
    np.testing.assert_allclose(
        judged(keras, second, images), judged(keras, first, images), rtol=1e-6
    )


@pytest.mark.parametrize(("name", "given", "n_classes"), [("lenet5", 10, 2), ("mids_final", 2, 5)])
def test_weights_of_other_classes_leave_out_the_last_layer(keras, tmp_path, name, given, n_classes):
    """The second one has a sigmoid, and other layers of the same length."""
    path, shape = str(tmp_path / "net.weights.h5"), (32, 32, 3)
    first = networks.build(name, given, input_shape=shape)
    first.save_weights(path)
    n_outputs = first.output_shape[-1]
    with pytest.warns(UserWarning, match=rf"last layer: it has {n_outputs} outputs .*{n_classes}$"):
        model = networks.build(name, n_classes, input_shape=shape, weights=path, random_state=8)
    fresh = networks.build(name, n_classes, input_shape=shape, random_state=8)
    for layer in model.layers:
        source = fresh if layer.name == "logit" else first
        for found, expected in zip(
            layer.get_weights(), source.get_layer(layer.name).get_weights(), strict=True
        ):
            if not np.array_equal(found, expected):
                assert "seed" in str(layer.weights), layer.name


def test_weights_that_do_not_fit_are_refused(keras, tmp_path):
    path = tmp_path / "net.weights.h5"
    networks.build("mids_baseline", 2).save_weights(path)
    with pytest.raises(ValueError, match=r"net\.weights\.h5: not weights of lenet5"):
        networks.build("lenet5", 10, weights=str(path))
    (tmp_path / "text.weights.h5").write_text("no weights")
    with pytest.raises(ValueError, match=r"text\.weights\.h5: not a file of weights"):
        networks.build("lenet5", 2, weights=str(tmp_path / "text.weights.h5"))


def test_weights_with_the_last_layers_serve_a_backbone(keras, tmp_path):
    """Files of MobileNet-like networks hold the last layers or not; both give the same maps."""
    from hemafeat.networks import _backbones
    from hemafeat.networks._architectures.parts import feature_maps

    kind = _backbones.backbone("MobileNet")
    image = keras.Input((32, 32, 3))
    whole = _backbones.build_backbone(kind, image, top=True, classes=5)
    whole.save_weights(tmp_path / "top.weights.h5")
    bare = feature_maps("MobileNet", image, str(tmp_path / "top.weights.h5"))
    assert len(bare.output.shape) == 4
    np.testing.assert_array_equal(bare.get_weights()[0], whole.get_weights()[0])


def test_efficientnet_is_scaled_alike_in_both_places(keras, tmp_path):
    """Files of Keras hold the deviation where the variance belongs, with the last layers or not."""
    from hemafeat.networks import _backbones
    from hemafeat.networks._layers import IMAGENET_MEAN, IMAGENET_STD

    kind = _backbones.backbone("EfficientNetB1")
    plain = _backbones.build_backbone(kind, keras.Input((32, 32, 3)), top=True, classes=5)
    scale = next(one for one in plain.layers if type(one).__name__ == "Normalization")
    scale.set_weights([np.array(IMAGENET_MEAN), np.array(IMAGENET_STD), np.array(0)])
    plain.save_weights(tmp_path / "b1.weights.h5")
    path = str(tmp_path / "b1.weights.h5")
    trained = networks.build("efficientnet_b1_head", 2, input_shape=(32, 32, 3), weights=path)
    frozen = _backbones.with_file(kind, keras.Input((32, 32, 3)), tmp_path / "b1.weights.h5", False)
    for model in (trained, frozen):
        layer = next(one for one in model.layers if type(one).__name__ == "Normalization")
        variance = keras.ops.convert_to_numpy(layer.variance).ravel()
        np.testing.assert_allclose(variance, np.square(IMAGENET_STD), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "n_classes", "given", "reason"),
    [
        ("lenet6", 8, {}, "there are: lenet5"),
        ("lenet5", 1, {}, "at least 2 classes"),
        ("lenet5", 8, {"weights": "imagenet"}, "no ImageNet weights"),
        ("lenet5", 8, {"weights": "not/there.h5"}, "not/there.h5"),
        ("vgg16_head", 8, {"weights": "not/there.h5"}, "not/there.h5"),
        ("lenet5", 8, {"input_shape": (8, 8, 3)}, "too small"),
    ],
)
def test_bad_requests_say_why(keras, name, n_classes, given, reason):
    with pytest.raises(ValueError, match=reason):
        networks.build(name, n_classes, **given)


def test_only_keras_files_are_read(keras, tmp_path):
    for name, reason in (("network.h5", ".keras files"), ("network.keras", "does not exist")):
        with pytest.raises(ValueError, match=reason):
            networks.load_network(tmp_path / name)


def test_imagenet_without_a_network_names_the_file(keras, monkeypatch):
    def offline(**given):
        raise Exception("URL fetch failure on https://example.org/x.h5: None")

    monkeypatch.setattr(keras.applications, "VGG16", offline)
    with pytest.raises(
        ValueError, match=r"vgg16_weights_tf_dim_ordering_tf_kernels_notop\.h5.*models"
    ):
        networks.build("vgg16_head", 8, weights="imagenet")


def test_three_streams_see_the_image_the_cell_and_hsv(keras, monkeypatch, tmp_path):
    """Check the streams of Xie et al. with small networks; the real one takes 40 s to build."""
    from hemafeat.networks._architectures import branches as _branches

    def small(kind, image, weights, name=None):
        assert kind == "InceptionResNetV2"
        return keras.Model(image, keras.layers.Conv2D(4, 3, name="maps")(image / 255.0))

    monkeypatch.setattr(_branches, "feature_maps", small)
    model = networks.build("xie_streams", 2, input_shape=(24, 24, 3))
    images = some_images((24, 24, 3))
    given = judged(keras, model, images)
    model.save(tmp_path / "network.keras")
    again = networks.load_network(tmp_path / "network.keras")
    np.testing.assert_allclose(judged(keras, again, images), given, rtol=1e-5)
    streams = [layer for layer in model.layers if layer.name.startswith("stream_")]
    assert [layer.name for layer in streams] == ["stream_image", "stream_crop", "stream_hsv"]
    assert sum(layer.count_params() for layer in streams) == 3 * (3 * 9 * 4 + 4)


def test_the_box_of_the_cell_is_learned(keras):
    """Boxes are learned beside classes that say nothing, by the ordinary training."""
    from hemafeat.networks._layers import BoxLoss

    rng = np.random.default_rng(0)
    images = np.zeros((32, 32, 32, 3), np.uint8)
    for image, (top, left) in zip(images, rng.integers(0, 20, (32, 2)), strict=True):
        image[top : top + 12, left : left + 12] = 180
    layers = keras.layers
    entry = keras.Input((32, 32, 3))
    x = layers.Flatten()(layers.AveragePooling2D(4)(layers.Rescaling(1 / 255)(entry)))
    box = layers.Dense(4, activation="sigmoid", kernel_initializer="zeros", name="box")(x)
    x = BoxLoss()(x, box, entry)
    model = keras.Model(entry, layers.Dense(2, activation="softmax")(x))
    boxes = keras.Model(model.input, model.get_layer("box").output)
    true = keras.ops.convert_to_numpy(BoxLoss().boxes(images)[0])

    def error():
        return np.abs(judged(keras, boxes, images.astype(np.float32)) - true).mean()

    before = error()
    networks.fit_images(
        model,
        images,
        np.arange(32) % 2,
        epochs=30,
        batch_size=32,
        learning_rate=0.03,
        progress=False,
    )
    assert error() < 0.5 * before


def test_the_published_network_has_a_box_beside_its_classes(keras):
    model = build_without_weights(keras, "marzahl_resnet18")
    plain = build_without_weights(keras, "resnet18", input_shape=(450, 450, 3))
    assert model.get_layer("box").output.shape == (None, 4)
    # A class has 512 weights and a bias; the box has four outputs on the same means.
    assert model.count_params() - plain.count_params() == 4 * 513 - 998 * 513
