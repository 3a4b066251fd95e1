"""Grad-CAM compared with CAM, finite differences and networks with known weights."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from hemafeat import networks

pytestmark = pytest.mark.networks


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras", minversion="3", reason="the extra 'deep' is not installed")


def images(n=3, side=12, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3)).astype(np.uint8)


def cam_network(keras, end="softmax", n_classes=3):
    """Build a network for which CAM is defined: convolution, means of its maps, dense layer."""
    layers = keras.layers
    keras.utils.set_random_seed(4)
    start = [keras.Input((12, 12, 3)), layers.Rescaling(1 / 255)]
    body = [layers.Conv2D(5, 3, activation="relu", name="maps"), layers.GlobalAveragePooling2D()]
    if end == "layer":
        last = [layers.Dense(n_classes, name="logit"), layers.Softmax()]
    elif end == "activation":
        last = [layers.Dense(n_classes, name="logit"), layers.Activation("softmax")]
    else:
        last = [layers.Dense(n_classes, activation=end, name="logit")]
    return keras.Sequential([*start, *body, *last])


def by_hand(model, shown):
    """Compute the maps of the convolution in NumPy."""
    kernel, bias = model.get_layer("maps").get_weights()
    x = shown.astype(np.float64) / 255
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    return np.maximum(np.einsum("nhwcij,ijck->nhwk", windows, kernel) + bias, 0.0)


@pytest.mark.parametrize("end", ["softmax", "activation", "layer"])
def test_with_means_and_one_dense_layer_it_is_cam(keras, end):
    """Compare with CAM (Zhou et al. 2016), the maps weighted by the dense layer."""
    model, shown = cam_network(keras, end), images()
    weights = model.get_layer("logit").get_weights()[0]
    maps = by_hand(model, shown)
    for number in range(3):
        cam = np.maximum(maps @ weights[:, number], 0.0)
        cam /= np.maximum(cam.max(axis=(1, 2), keepdims=True), 1e-12)
        found = networks.grad_cam(model, shown, classes=number, resize=False)
        assert found.shape == (3, 10, 10)
        np.testing.assert_allclose(found, cam, atol=2e-5)


def test_the_predicted_class_is_taken_and_the_network_stays_as_it_was(keras):
    model, shown = cam_network(keras), images()
    before = keras.ops.convert_to_numpy(model(shown.astype(np.float32), training=False))
    found = networks.grad_cam(model, shown, batch_size=2)
    assert found.shape == (3, 12, 12)
    assert found.dtype == np.float32
    expected = networks.grad_cam(model, shown, classes=before.argmax(axis=1))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    after = keras.ops.convert_to_numpy(model(shown.astype(np.float32), training=False))
    np.testing.assert_array_equal(after, before)
    np.testing.assert_allclose(after.sum(axis=1), 1, rtol=1e-5)


def test_of_one_output_the_first_class_is_the_negative(keras):
    model, shown = cam_network(keras, "sigmoid", 1), images()
    weights = model.get_layer("logit").get_weights()[0][:, 0]
    maps = by_hand(model, shown)
    for number, sign in ((1, 1), (0, -1)):
        cam = np.maximum(sign * (maps @ weights), 0.0)
        top = cam.max(axis=(1, 2), keepdims=True)
        cam = np.where(top > 0, cam / np.maximum(top, 1e-12), 0.0)
        found = networks.grad_cam(model, shown, classes=number, resize=False)
        np.testing.assert_allclose(found, cam, atol=2e-5)


def test_a_layer_further_down_against_differences(keras):
    """Compare the weights of the first of two convolutions with finite differences."""
    layers = keras.layers
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(3, 3, activation="tanh", name="first"),
            layers.Conv2D(4, 3, activation="tanh", name="second"),
            layers.Flatten(),
            layers.Dense(2, activation="softmax", name="logit"),
        ]
    )
    shown = images(2, 8)
    first = keras.Model(model.inputs[0], model.get_layer("first").output)
    maps = keras.ops.convert_to_numpy(first(shown.astype(np.float32))).astype(np.float64)
    second, logit = (model.get_layer(name).get_weights() for name in ("second", "logit"))

    def score(maps):
        windows = np.lib.stride_tricks.sliding_window_view(maps, (3, 3), axis=(1, 2))
        x = np.tanh(np.einsum("nhwcij,ijck->nhwk", windows, second[0]) + second[1])
        return (x.reshape(len(x), -1) @ logit[0] + logit[1])[:, 1]

    step, slopes = 1e-5, np.empty((2, 3))
    for k in range(3):
        change = np.zeros_like(maps)
        change[..., k] = step
        # A step of a whole map gives the sum of its slopes: the mean times the number of places.
        slopes[:, k] = (score(maps + change) - score(maps - change)) / (2 * step) / 36
    expected = np.maximum(np.einsum("nhwk,nk->nhw", maps, slopes), 0.0)
    expected /= np.maximum(expected.max(axis=(1, 2), keepdims=True), 1e-12)
    found = networks.grad_cam(model, shown, classes=1, layer="first", resize=False)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_it_looks_into_models_inside(keras):
    plain = networks.build("lenet5", 3, random_state=2)
    shown = images(2, 32)
    inside = keras.Sequential([keras.Input((32, 32, 3)), plain])
    np.testing.assert_allclose(
        networks.grad_cam(inside, shown), networks.grad_cam(plain, shown), atol=1e-5
    )
    coloured = networks.image_network("lenet5", 3, colour="od_fixed", random_state=2)
    assert networks.grad_cam(coloured, shown, layer="conv_1", resize=False).shape == (2, 28, 28)


def test_the_map_lies_where_the_cell_is(keras):
    """The heat map of a network that weighs how dark a pixel is shows the dark square."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(1, 1, activation="relu", name="dark"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    kernel = np.full((1, 1, 3, 1), -1 / 3, np.float32)
    model.layers[0].set_weights([kernel, np.array([255.0], np.float32)])
    model.layers[2].set_weights([np.array([[0.0, 1.0]], np.float32), np.zeros(2, np.float32)])
    shown = np.full((1, 16, 16, 3), 255, np.uint8)
    shown[0, 4:9, 6:12] = 55
    heat = networks.grad_cam(model, shown, classes=1)[0]
    assert (heat[4:9, 6:12] == 1).all()
    assert heat.sum() == 30
    assert (networks.grad_cam(model, shown, classes=0) == 0).all()


def test_bad_requests_say_why(keras):
    model, shown = cam_network(keras), images()
    with pytest.raises(ValueError, match="convolutions are: maps"):
        networks.grad_cam(model, shown, layer="conv")
    with pytest.raises(ValueError, match="not feature maps"):
        networks.grad_cam(model, shown, layer="logit")
    with pytest.raises(ValueError, match="from 0 to 2"):
        networks.grad_cam(model, shown, classes=3)
    shared = keras.layers.Conv2D(3, 1, name="twice")
    x = given = keras.Input((12, 12, 3))
    x = keras.layers.GlobalMaxPooling2D()(shared(shared(x)))
    twice = keras.Model(given, keras.layers.Dense(2, activation="softmax")(x))
    with pytest.raises(ValueError, match="used 2 times"):
        networks.grad_cam(twice, shown)
    flat = keras.Sequential([keras.Input((12, 12, 3)), keras.layers.Flatten()])
    with pytest.raises(ValueError, match="no convolution"):
        networks.grad_cam(flat, shown)
    assert networks.grad_cam(model, shown[:0]).shape == (0, 12, 12)


def test_a_sheet_of_cells(keras, tmp_path):
    model, shown = cam_network(keras), images(5, 12)
    names = ["a", "b", "c"]
    out = networks.grad_cam_sheet(
        model, shown, tmp_path / "sheet.png", classes=names, truth=list("abcab"), columns=3
    )
    with Image.open(out) as sheet:
        assert sheet.format == "PNG"
        assert sheet.size[0] > sheet.size[1] > 300
    for given, reason in (
        ({"classes": names[:2]}, "3 classes, but 2 names"),
        ({"classes": names, "truth": ["a"]}, "5 cells and 1 labels"),
    ):
        with pytest.raises(ValueError, match=reason):
            networks.grad_cam_sheet(model, shown, tmp_path / "x.png", **given)
    with pytest.raises(ValueError, match="1 to 64 cells, got 0"):
        networks.grad_cam_sheet(model, shown[:0], tmp_path / "x.png", classes=names)
