"""Options of training and of prediction: rates, schedules, layers, views; published networks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hemafeat import networks, pipelines
from hemafeat.networks._classifier.augment import VIEWS
from hemafeat.networks._classifier.rates import optimizer_of, rate_factor
from hemafeat.networks._classifier.training import _Order
from support.architecture_steps import without_weights

pytestmark = pytest.mark.networks

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 16, 16, 3)).astype(np.uint8)
CODES = np.arange(12) % 2
HELD = np.arange(12) >= 8


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras", minversion="3", reason="the extra 'deep' is not installed")


def tiny(input_shape=(16, 16, 3), n_classes=2, seed=0):
    """Build a network of three layers with weights."""
    import keras

    keras.utils.set_random_seed(seed)
    image = keras.Input(input_shape)
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(3, 3, activation="relu", name="conv")(x)
    x = keras.layers.MaxPooling2D(4, name="pool")(x)
    x = keras.layers.Flatten(name="flat")(x)
    x = keras.layers.Dense(5, activation="relu", name="dense")(x)
    x = keras.layers.Dropout(0.1, name="drop")(x)
    x = keras.layers.Dense(n_classes, name="logit")(x)
    return keras.Model(image, keras.layers.Softmax(name="probability")(x))


def trained(model=None, **given):
    """Train for a few steps and return the network and its history."""
    model = tiny() if model is None else model
    settings = {"epochs": 1, "batch_size": 12, "optimizer": "sgd", "progress": False, **given}
    return model, networks.fit_images(model, IMAGES, CODES, **settings)


def moved(model, layer):
    """Return how far the kernel of a layer has moved from its start."""
    start = tiny().get_layer(layer).get_weights()[0]
    return float(np.linalg.norm(model.get_layer(layer).get_weights()[0] - start))


def test_schedules_are_those_of_the_reports():
    """LeukoNet's decay over 20 epochs, Prellberg's three steps, Pan's single one."""
    assert 1e-4 * rate_factor("exponential", 20, 0.1, 20) == pytest.approx(1e-5)
    assert 1e-4 * rate_factor("exponential", 10, 0.1, 20) == pytest.approx(10**-4.5)
    steps = [rate_factor("steps", epoch, 0.1, 2) for epoch in range(6)]
    np.testing.assert_allclose(steps, [1, 1, 0.1, 0.1, 0.01, 0.01])
    pan = [1e-3 * rate_factor("steps", epoch, 0.1, [10]) for epoch in (0, 9, 10, 29)]
    np.testing.assert_allclose(pan, [1e-3, 1e-3, 1e-4, 1e-4])
    assert rate_factor("constant", 50, 0.1, 1) == 1


def test_the_rate_of_each_epoch_follows_the_schedule(keras):
    _, history = trained(epochs=4, schedule="steps", slower_by=0.5, slower_after=2)
    np.testing.assert_allclose([e["learning_rate"] for e in history], [1e-3, 1e-3, 5e-4, 5e-4])
    _, history = trained(epochs=3, schedule="constant", learning_rate=0.1)
    np.testing.assert_allclose([e["learning_rate"] for e in history], 0.1)


@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 1e-2), ("adam", 1e-4)])
def test_groups_of_layers_have_their_own_rates(keras, optimizer, rate):
    """A rate ten times as high moves the weights of one step ten times as far, with Adam too."""
    given = {"optimizer": optimizer, "learning_rate": rate}
    plain, _ = trained(**given)
    grouped, _ = trained(layer_rates={"pool": 10 * rate, "logit": rate / 10}, **given)
    for layer, factor in (("conv", 1), ("dense", 10), ("logit", 0.1)):
        assert moved(grouped, layer) == pytest.approx(factor * moved(plain, layer), rel=0.02)
        assert moved(plain, layer) > 0


def test_optimisers_take_their_options(keras):
    for value in (
        {"name": "sgd", "momentum": 0.9},
        {"class_name": "SGD", "config": {"momentum": 0.9}},
        lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
    ):
        made = optimizer_of(value, 0.01)
        assert isinstance(made, keras.optimizers.SGD)
        assert (made.momentum, float(made.learning_rate)) == (0.9, pytest.approx(0.01))
    with pytest.raises(ValueError, match="layer_rates cannot be combined"):
        trained(optimizer={"name": "sgd", "weight_decay": 0.1}, layer_rates={"logit": 1e-2})


def test_early_stopping_and_the_best_epoch_can_be_switched_off(keras):
    given = {"epochs": 3, "learning_rate": 0.9, "schedule": "constant", "held_back": HELD}
    model, history = trained(patience=None, keep_best=False, **given)
    assert len(history) == 3
    losses = [epoch["val_loss"] for epoch in history]
    best, _ = trained(patience=None, **given)

    def loss(network):
        chance = networks.predict_images(network, IMAGES[HELD])[np.arange(4), CODES[HELD]]
        return float(-np.log(np.clip(chance, 1e-7, 1)).mean())

    assert loss(model) == pytest.approx(losses[-1], rel=1e-4)
    assert loss(best) == pytest.approx(min(losses), rel=1e-4)
    assert losses[-1] > min(losses) * 1.01
    _, short = trained(patience=0, keep_best=False, **given)
    assert len(short) < 3


def test_rare_classes_are_repeated():
    y = np.array([0] * 7 + [1] * 2 + [2] * 4 + [1] * 5)
    rows = np.arange(13)
    order = _Order(rows, y, np.random.default_rng(0))
    first, second = order.draw(), order.draw()
    assert order.n == len(first) == 21
    assert np.bincount(y[first]).tolist() == [7, 7, 7]
    assert set(first) == set(rows), "every image is shown, and none that is held back"
    assert first.tolist() != second.tolist()
    assert sorted(_Order(rows, None, np.random.default_rng(0)).draw()) == rows.tolist()


def test_weights_of_classes_are_equal_once_rare_ones_are_repeated(keras, monkeypatch):
    seen = []
    monkeypatch.setattr(
        networks, "fit_images", lambda *_, **given: seen.append(given["class_weight"]) or [{}]
    )
    for options in ({}, {"oversample": True}, {"oversample": True, "class_weight": {0: 1, 1: 3}}):
        model = pipelines.NetworkClassifier(tiny, size=16, validation=0, **options)
        model.fit(IMAGES, np.array([0] * 9 + [1] * 3))
    np.testing.assert_allclose(seen[0], [12 / 18, 2])
    assert seen[1] is None
    assert list(seen[2]) == [1, 3]


@pytest.fixture(scope="module")
def efficient(keras):
    with without_weights(keras):
        return networks.build("efficientnet_b1_head", 3, input_shape=(64, 64, 3), dropout=0.6)


def test_layers_of_the_reports_by_name(keras, efficient):
    """The blood-cell report frees the last 4 and 8 layers of VGG16 and the last 26 of B1."""
    with without_weights(keras):
        vgg = networks.build("vgg16_head", 8, input_shape=(64, 64, 3))

    def layers(model, first):
        names = [layer.name for layer in model.layers]
        head = names.index("mean")
        return networks.trained_layers(model, first), names[names.index(first) : head], names[head:]

    head = ["dense_1", "dense_2", "dense_3", "logit"]
    for first, n in (("block5_conv1", 4), ("block4_conv1", 8)):
        trained, backbone, _ = layers(vgg, first)
        assert len(backbone) == n
        assert trained == [name for name in backbone if "conv" in name] + head
    trained, backbone, behind = layers(efficient, "block7b_expand_conv")
    # Pooling, three dense layers with dropout and the classes; our softmax is a layer of its own.
    assert (len(backbone), len(behind) - 1) == (18, 8)
    assert len(trained) == 14
    with without_weights(keras):
        model = networks.build("keras:VGG16", 8)
    assert networks.trained_layers(model, "head") == ["logit"]
    with pytest.raises(ValueError, match=r"last_layers: .* no layer 'block5_conv9'; did you mean"):
        networks.trained_layers(model, "block5_conv9")
    with pytest.raises(ValueError, match="no layer from there on has weights"):
        networks.trained_layers(model, "probability")


def test_a_frozen_backbone(keras):
    model, history = trained(last_layers="head", head_epochs=3, epochs=2, learning_rate=0.1)
    assert [epoch["phase"] for epoch in history] == [0, 0]
    assert moved(model, "conv") == 0
    assert moved(model, "dense") > 0


def test_plain_networks_of_keras(keras):
    """With 1,000 classes and no further layers they have as many weights as those of Keras."""
    for name in ("DenseNet121", "ResNet50", "Xception", "MobileNet"):
        with without_weights(keras):
            model = networks.build(f"keras:{name}", 1000)
        assert model.count_params() == networks.backbone(name).n_parameters_top
        assert model.input_shape[1] == networks.backbone(name).size
    with without_weights(keras):
        plain = networks.build("keras:VGG16", 8)
        headed = networks.build("keras:vgg16", 8, head=[1024, 512, 256], dropout=0.2)
    assert plain.count_params() == 14_714_688 + 512 * 8 + 8
    assert headed.count_params() == 15_898_184, "as published for the blood-cell report"
    assert [layer.name for layer in plain.layers[-3:]] == ["mean", "logit", "probability"]
    rates = [layer.rate for layer in headed.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [0.2] * 3


def test_dropout_of_published_networks(keras, efficient):
    model = networks.build("lenet5", 3, dropout=0.25)
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [0.25]
    drops = [layer for layer in efficient.layers if isinstance(layer, keras.layers.Dropout)]
    changed = [layer.name for layer in drops if layer.rate == 0.6]
    assert changed == ["dropout_1", "dropout_2", "dropout_3"]
    assert len(drops) > 3, "those of the backbone keep their rates"


@pytest.mark.parametrize(
    ("name", "given", "reason"),
    [
        ("keras:VGG99", {}, "no backbone 'VGG99'; there are: InceptionV3"),
        ("keras:VGG16", {"head": 5}, "head=5: expected a list"),
        ("keras:VGG16", {"head": [0]}, "head="),
        ("lenet5", {"head": [8]}, "lenet5 has the head of its publication"),
        ("lenet5", {"dropout": 1.0}, r"dropout=1\.0"),
        ("vgg16_head", {"dropout": 0.5, "input_shape": (32, 32, 3)}, "vgg16_head has no dropout"),
    ],
)
def test_heads_that_cannot_be_had(keras, name, given, reason):
    with pytest.raises(ValueError, match=reason):
        networks.build(name, 2, **given)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"epochs": 2.5}, r"epochs=2\.5"),
        ({"patience": "never"}, "patience='never'"),
        ({"keep_best": 1}, "keep_best=1"),
        ({"batch_size": True}, "batch_size=True"),
        ({"learning_rate": 0}, "learning_rate=0: expected a number above 0"),
        ({"learning_rate": math.nan}, "learning_rate=nan"),
        ({"optimizer": "adamm"}, "optimizer='adamm'"),
        ({"optimizer": {"name": "sgd", "momentm": 0.9}}, "optimizer=.*momentm"),
        ({"optimizer": 3}, "optimizer=3"),
        ({"schedule": "cosine"}, "schedule='cosine': choose from plateau"),
        ({"slower_by": 2}, "slower_by=2"),
        ({"slower_after": [3]}, r"slower_after=\[3\]"),
        ({"schedule": "steps", "slower_after": ["a"]}, "slower_after=.*or a list of epochs"),
        ({"layer_rates": [1]}, "layer_rates="),
        ({"layer_rates": {"logit": -1}}, "layer_rates: logit=-1"),
        ({"last_layers": 1.5}, r"last_layers=1\.5"),
        ({"augment": "much"}, "augment='much'"),
        ({"views": "all"}, "views='all'"),
        ({"views_mean": "median"}, "views_mean='median'"),
        ({"learning_rat": 1}, "no option 'learning_rat'; did you mean learning_rate"),
    ],
)
def test_wrong_options_are_named(keras, given, reason):
    with pytest.raises(ValueError, match=reason):
        networks.check_options(**given)


def test_names_of_layers_are_checked_with_the_network(keras):
    model = tiny()
    networks.check_options(model, layer_rates={"pool": 1e-3}, last_layers="dense", layer="flat")
    for given in ({"layer_rates": {"pol": 1}}, {"last_layers": "pol"}, {"layer": "pol"}):
        with pytest.raises(ValueError, match=f"{next(iter(given))}: .* no layer 'pol'"):
            networks.check_options(model, **given)


def test_views_are_turned_and_mirrored_images():
    image = IMAGES[:2]
    turned = list(VIEWS["rotations_8"](image))
    assert len(turned) == 8
    np.testing.assert_array_equal(turned[0], image)
    for step, n in ((2, 3), (4, 2), (6, 1)):
        assert np.abs(turned[step].astype(int) - np.rot90(image, n, axes=(1, 2))).max() <= 1
    views = {view.tobytes() for view in VIEWS["flips_rot90"](image)}
    assert len(views) == 8
    for one in (image[:, ::-1], image[:, :, ::-1], image.transpose(0, 2, 1, 3)):
        assert np.ascontiguousarray(one).tobytes() in views
    assert len(list(VIEWS["flips_rot90_turns"](image))) == 72
    oblong = np.concatenate([image, image], axis=1)
    assert {view.shape for view in VIEWS["flips_rot90"](oblong)} == {oblong.shape}


def test_predictions_are_averaged_over_views(keras):
    model = tiny()
    parts = [networks.predict_images(model, view) for view in VIEWS["flips_rot90"](IMAGES)]
    mean = networks.predict_images(model, IMAGES, batch_size=5, views="flips_rot90")
    np.testing.assert_allclose(mean, np.mean(parts, axis=0), rtol=1e-5)
    assert np.abs(mean - parts[0]).max() > 1e-3
    both = networks.predict_images(model, IMAGES, views=lambda images: [images, images[:, ::-1]])
    np.testing.assert_allclose(both[:3].sum(axis=1), 1)
    with pytest.raises(ValueError, match="a view has the shape"):
        networks.predict_images(model, IMAGES, views=lambda images: [images[:, :4]])


def test_the_geometric_mean_is_the_mean_of_scores_before_the_sigmoid(keras):
    image = keras.Input((16, 16, 3))
    x = keras.layers.Dense(1, name="logit")(keras.layers.Flatten()(image / 255.0))
    model = keras.Model(image, keras.layers.Activation("sigmoid")(x))
    scores = keras.Model(image, x)
    views = list(VIEWS["rotations_8"](IMAGES))
    mean = np.mean([scores.predict_on_batch(v.astype(np.float32))[:, 0] for v in views], axis=0)
    found = networks.predict_images(model, IMAGES, views="rotations_8", views_mean="geometric")
    np.testing.assert_allclose(found[:, 1], 1 / (1 + np.exp(-mean)), rtol=1e-4)


def test_embeddings_of_a_layer(keras):
    model = tiny()
    for layer, width in (("conv", 3), ("flat", 27), ("dense", 5), (None, 5)):
        assert networks.embed_images(model, IMAGES, layer=layer).shape == (12, width)
    maps = keras.Model(model.inputs, model.get_layer("conv").output)
    expected = maps.predict_on_batch(IMAGES.astype(np.float32)).mean(axis=(1, 2))
    np.testing.assert_allclose(
        networks.embed_images(model, IMAGES, layer="conv"), expected, rtol=1e-5
    )
