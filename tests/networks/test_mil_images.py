"""Networks on bags of images: one encoder for all cells, exact sums, recovered signals."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from hemafeat import datasets, images, networks, pipelines

pytestmark = pytest.mark.networks

POOLED = ("attention", "gated", "batch_weighted", "mean", "max")


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras", minversion="3", reason="the extra 'deep' is not installed")


def some_bags(sizes=(3, 11, 5), side=16, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (n, side, side, 3), dtype=np.uint8) for n in sizes]


@pytest.mark.parametrize("pooling", POOLED)
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_a_verdict_is_that_of_the_encoded_cells(keras, pooling, n_outputs):
    model = networks.mil_image_model((16, 16, 3), n_outputs, pooling, random_state=3)
    network = networks.ImageBagNetwork(model)
    found = some_bags()
    judged = network(found)
    # The network that is trained, which sees all bags at once, says the same.
    at_once = {k: np.asarray(v) for k, v in model(network.inputs(found), training=False).items()}
    for place, (bag, told) in enumerate(zip(found, judged, strict=True)):
        assert told["weights"].shape == (len(bag), n_outputs)
        by_hand = (told["weights"] * told["cell_logits"]).sum(axis=0)
        np.testing.assert_allclose(told["logit"], by_hand, atol=1e-5)
        np.testing.assert_allclose(at_once["logit"][place], told["logit"], atol=1e-4)
        padding = at_once["weights"][place, len(bag) :]
        assert np.abs(padding).max(initial=0) == 0
        # A cell is encoded by itself, whoever stands beside it.
        one = network.embed(bag[2:3])
        np.testing.assert_allclose(network.embed(bag)[2], one[0], atol=1e-4)


def test_a_step_holds_every_cell_once_and_as_many_images(keras):
    network = networks.ImageBagNetwork(networks.mil_image_model((16, 16, 3)), turned=False)
    found = some_bags()
    cells, place, mask = network.inputs(found, 12)
    assert cells.shape == (36, 16, 16, 3)
    for row, bag in enumerate(found):
        assert mask[row].sum() == len(bag)
        np.testing.assert_array_equal(cells[place[row, : len(bag)]], bag)
    # Only in training, and by the seed alone, is an image turned; no pixel is lost.
    turned = networks.ImageBagNetwork(network.model)
    np.testing.assert_array_equal(turned.inputs(found, 12)[0], cells)
    one, again = (turned.inputs(found, 12, np.random.default_rng(4))[0] for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert (one != cells).any()
    for image, other in zip(one, cells, strict=True):
        np.testing.assert_array_equal(np.sort(image, axis=None), np.sort(other, axis=None))
    kinds = [np.rot90(cells[0], k) for k in range(4)]
    kinds += [kind[:, ::-1] for kind in kinds]
    assert any((one[0] == kind).all() for kind in kinds)


def test_only_mirrored(keras):
    (image,) = some_bags((1,))[0]
    network = networks.ImageBagNetwork(networks.mil_image_model((16, 16, 3)), turned="flips")
    bag = np.repeat(image[None], 40, axis=0)
    changed = network.inputs([bag], 40, np.random.default_rng(0))[0]
    kinds = [image, image[::-1], image[:, ::-1], image[::-1, ::-1]]
    found = [[(one == kind).all() for kind in kinds] for one in changed]
    assert np.sum(found, axis=1).tolist() == [1] * 40
    assert np.any(found, axis=0).all()


def conv(keras, side=4):
    """Build an encoder without batch statistics, from images to 2 x 2 places of three maps."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((side, side, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(3, side // 2, strides=side // 2, activation="tanh"),
        ]
    )


@pytest.mark.parametrize("pooling", ["batch_weighted", "max", "attention"])
def test_places_have_logits_that_sum_to_that_of_the_patient(keras, pooling):
    given = {"places": True, "n_hidden": None, "dropout": 0.0}
    model = networks.mil_image_model((4, 4, 3), 1, pooling, encoder=conv(keras), **given)
    network = networks.ImageBagNetwork(model)
    found = some_bags((3, 5), side=4)
    kernel, bias = model.get_layer(f"mil_{pooling}").get_layer("cell_logit").get_weights()
    assert kernel.shape == (3, 1)  # a convolution of 1 x 1
    at_once = model(network.inputs(found), training=False)
    for place, (bag, told) in enumerate(zip(found, network(found), strict=True)):
        maps = network.embed(bag)
        assert maps.shape == (len(bag), 2, 2, 3)
        np.testing.assert_allclose(told["place_logits"], maps @ kernel + bias, atol=1e-5)
        assert told["place_weights"].sum() == pytest.approx(1)
        assert told["logit"] == pytest.approx(
            (told["place_weights"] * told["place_logits"]).sum(), abs=1e-5
        )
        # Each image has the parts of its places.
        assert told["weights"].shape == told["cell_logits"].shape == (len(bag), 1)
        parts = (told["place_weights"] * told["place_logits"]).sum(axis=(1, 2))
        np.testing.assert_allclose(told["weights"] * told["cell_logits"], parts, atol=1e-6)
        np.testing.assert_allclose(at_once["logit"][place], told["logit"], atol=1e-5)


def gradients(keras, inputs, build):
    import tensorflow as tf

    trained = build()
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(trained(inputs, training=True))
    names = [weight.path for weight in trained.trainable_variables]
    return dict(zip(names, tape.gradient(total, trained.trainable_variables), strict=True))


def test_gradients_pass_through_the_drawn_images_alone(keras):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("gradients are asked of TensorFlow")
    given = {"places": True, "n_hidden": None, "dropout": 0.0}
    model = networks.mil_image_model((4, 4, 3), 1, "batch_weighted", encoder=conv(keras), **given)
    network = networks.ImageBagNetwork(model, turned=False, n_gradient=3)
    found = some_bags((3, 5), side=4)
    statistics = model.get_weights()

    def build():
        model.set_weights(statistics)
        return network.training_network((2, 2), 5)

    build()
    moving, fixed, place, mask = network.training_inputs(found, 5, np.random.default_rng(0))
    assert (len(moving), len(fixed)) == (3, 7)
    # Every image of a bag is in one of the two, at the place that its bag says.
    both = np.concatenate([moving, fixed])
    for row, bag in enumerate(found):
        np.testing.assert_array_equal(both[place[row, : 4 * len(bag) : 4] // 4], bag)
    some = gradients(keras, [moving, fixed, place, mask], build)
    # The same images, the others of which are drawn: place 4 p + k becomes 4 (p - 3) + k.
    shifted = ((place // 4 - 3) % 10) * 4 + place % 4
    others = gradients(keras, [fixed, moving, shifted.astype(np.int32), mask], build)
    network.n_gradient = None
    cells = [np.concatenate([moving, fixed]), place, mask]
    whole = gradients(keras, cells, build)
    kernels = [name for name in whole if "conv2d" in name]
    assert len(kernels) == 2
    for name in kernels:
        assert np.abs(some[name]).max() > 0
        assert np.abs(others[name]).max() > 0
        np.testing.assert_allclose(some[name] + others[name], whole[name], atol=1e-6)
    # The logit of a place: dL/dl = a / sum(a) for those drawn; through the maps by the chain rule.
    import tensorflow as tf

    build()
    weights = np.asarray(model(cells, training=True)["weights"])[..., 0]
    head = model.get_layer("mil_batch_weighted").get_layer("cell_logit").get_weights()[0]
    share = np.zeros(40)
    for row in range(2):
        np.add.at(share, place[row], weights[row])
    with tf.GradientTape() as tape:
        maps = tf.reshape(model.get_layer("encoder")(moving.astype(np.float32)), (-1, 3))
        by_hand = tf.reduce_sum(share[:12].astype(np.float32) * (maps @ head)[:, 0])
    variables = model.get_layer("encoder").trainable_variables
    for name, gradient in zip(kernels, tape.gradient(by_hand, variables), strict=True):
        np.testing.assert_allclose(some[name], gradient, atol=1e-6)


def test_the_number_of_images_with_gradients(keras):
    model = networks.mil_image_model((4, 4, 3), 1, "mean", encoder=conv(keras), places=True)
    found = some_bags((3, 5), side=4)
    for n, sizes in ((None, (10,)), (10, (10,)), (9, (8, 2)), (1, (1, 9))):
        network = networks.ImageBagNetwork(model, n_gradient=n)
        trained = network.training_network((2, 2), 5)
        inputs = network.training_inputs(found, 5, np.random.default_rng(0))
        assert tuple(map(len, inputs[:-2])) == sizes
        assert trained(inputs, training=True).shape == (2, 1)
    for wrong in ({"n_gradient": 0}, {"turned": "up"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            networks.ImageBagNetwork(model, **wrong)


def test_a_frozen_encoder_keeps_its_weights(keras):
    found, label = cohort(8, 0)
    model = small("vector_max", encoder="cnn_4_8_16", frozen=True, epochs=1, validation=0.0)
    start = networks.mil_image_model((16, 16, 3), 2, encoder="cnn_4_8_16").get_layer("encoder")
    after = model.fit(found, label).network_.encoder
    for one, other in zip(start.get_weights(), after.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert model.history_["loss"].notna().all()


def test_encoders(keras):
    flat = networks.mil_image_model((16, 16, 3), encoder="cnn_4_8_16/flatten")
    assert flat.get_layer("encoder").outputs[0].shape == (None, 2 * 2 * 16)
    for given, shape in (({}, (None, 1024)), ({"places": True}, (None, 1, 1, 1024))):
        keras_model = networks.mil_image_model((32, 32, 3), encoder="keras:MobileNet", **given)
        assert keras_model.get_layer("encoder").outputs[0].shape == shape
    report = networks.mil_image_model(
        (112, 112, 3), 1, "batch_weighted", encoder="resnet18", places=True, n_hidden=None
    )
    assert report.get_layer("encoder").outputs[0].shape == (None, 4, 4, 512)
    head = report.get_layer("mil_batch_weighted")
    assert head.get_layer("cell_logit").count_params() == 513
    for name, shape in (("small", (4, 4, 64)), ("cnn_4_8_16", (2, 2, 16))):
        maps = networks.mil_image_model((16, 16, 3), encoder=name, places=True)
        assert maps.get_layer("encoder").outputs[0].shape == (None, *shape)
    lenet = networks.mil_image_model((32, 32, 3), encoder="lenet5")
    assert lenet.get_layer("encoder").outputs[0].shape == (None, 84)
    same = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Activation("relu")])
    own = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    assert networks.mil_image_model((8, 8, 3), encoder=own).get_layer("encoder").count_params() == 0
    for wrong, message in (
        ({"encoder": "lenet"}, "no encoder 'lenet'"),
        ({"pooling": "median"}, "no pooling 'median'"),
        ({"input_shape": (4, 4, 3)}, "too small"),
        ({"weights": "imagenet"}, "need an encoder that is named"),
        ({"encoder": same}, "the encoder must be a Keras model"),
        ({"encoder": own, "places": True}, "the encoder must be a Keras model from images to maps"),
        ({"encoder": "lenet5/x", "input_shape": (32, 32, 3)}, "lenet5 has no layer 'x'"),
    ):
        with pytest.raises(ValueError, match=message):
            networks.mil_image_model(**wrong)


def cohort(n, seed, *, abnormal=(0.0, 0.5), cells=(6, 16), side=16):
    """Draw bags of dark discs on noise, larger in abnormal cells; sizes of bags are random."""
    rng = np.random.default_rng(seed)
    ill = rng.permutation(np.arange(n) < n // 2)
    grid = np.hypot(*(np.mgrid[:side, :side] - (side - 1) / 2))
    found = []
    for sick in ill:
        count = int(rng.integers(*cells))
        large = rng.random(count) < abnormal[int(sick)]
        radius = np.where(large, 0.4, 0.22) * side * rng.uniform(0.9, 1.1, count)
        bag = rng.normal(190, 12, (count, side, side, 3)) + rng.normal(0, 8, (1, 1, 1, 3))
        bag[grid[None] < radius[:, None, None]] -= 80
        found.append(np.clip(bag, 0, 255).astype(np.uint8))
    return found, np.where(ill, "malignant", "reactive")


def small(pooling, **params):
    given = {"size": 16, "epochs": 20, "patience": 6, "max_cells": 12, "learning_rate": 3e-3}
    return pipelines.MILImageClassifier(pooling, **{**given, **params})


def auroc(model, found, label):
    place = list(model.classes_).index("malignant")
    return roc_auc_score(label == "malignant", model.predict_proba(found)[:, place])


@pytest.mark.parametrize(("pooling", "seeds"), [(one, 1 + (one == "gated")) for one in POOLED])
def test_a_planted_signal_is_recovered_above_the_bag_size(keras, pooling, seeds):
    # benchmarks/patients.py has them all with intervals over seeds.
    for seed in range(seeds):
        train, test = cohort(32, 2 * seed), cohort(60, 2 * seed + 1)
        model = small(pooling, random_state=seed).fit(*train)
        sizes = [[np.zeros((len(bag), 1)) for bag in found] for found, _ in (train, test)]
        baseline = pipelines.bag_size_only().fit(sizes[0], train[1])
        beside = auroc(baseline, sizes[1], test[1])
        assert auroc(model, *test) > max(beside, 0.5) + 0.2


@pytest.mark.parametrize(
    ("pooling", "params"),
    [
        ("batch_weighted", {"places": True, "n_hidden": None, "n_gradient_images": 48}),
        ("vector_mean", {"bag_size": 6, "bag_vote": "majority"}),
    ],
)
def test_a_planted_signal_is_recovered_in_places_and_in_fixed_bags(keras, pooling, params):
    train, test = cohort(32, 0), cohort(60, 1)
    model = small(pooling, turned="flips", **params).fit(*train)
    assert auroc(model, *test) > 0.8


def test_without_a_signal_it_lies_at_chance(keras):
    nothing = {"abnormal": (0.2, 0.2)}
    found = [
        auroc(
            small("attention", random_state=seed, epochs=6).fit(*cohort(32, 2 * seed, **nothing)),
            *cohort(80, 2 * seed + 1, **nothing),
        )
        for seed in range(2)
    ]
    assert abs(np.mean(found) - 0.5) < 0.12, found


def test_kept_as_numbers_and_the_same_again(keras, tmp_path):
    found, label = cohort(16, 1)
    model = small("gated", epochs=2, max_cells=4, validation=0.0).fit(found, label)
    wanted = model.predict_proba(found)
    read = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(read.predict_proba(found), wanted)
    saved = pipelines.load(pipelines.save(model, tmp_path / "m.hemafeat"))
    assert (saved.columns, saved.beside) == ([], ["image"])
    np.testing.assert_array_equal(saved.pipeline.predict_proba(found), wanted)
    assert read.network_.history == model.network_.history
    again = clone(model).fit(found, label)
    np.testing.assert_array_equal(again.predict_proba(found), wanted)
    other = clone(model).set_params(random_state=1).fit(found, label)
    assert not np.allclose(other.predict_proba(found), wanted)
    # Read for each step instead of once: the same network.
    apart = clone(model).set_params(in_memory=0.0).fit(found, label)
    np.testing.assert_array_equal(apart.predict_proba(found), wanted)


@pytest.mark.parametrize("pooling", ["mean", "vector_max"])
def test_bags_of_fixed_size(keras, pooling, tmp_path):
    found, label = cohort(12, 3, cells=(2, 9))
    model = small(pooling, bag_size=4, epochs=2, learning_rate=1e-3, validation=0.25)
    model.fit(found, label)
    n = np.array([len(bag) for bag in found])
    for size, rows in zip(n, map(model._rows, found), strict=True):
        assert [len(part) for part in rows] == [4] * -(-size // 4)
        assert set(np.concatenate(rows)) == set(range(size))
    # Files are taken in the order of their names.
    assert model._rows([f"{name}.png" for name in "dacb"])[0].tolist() == [1, 3, 2, 0]
    by_hand = []
    for bag in found:
        parts = [bag[rows] for rows in model._rows(bag)]
        one = clone(model).set_params(bag_size=None)
        one.network_, one.classes_, one.place_ = model.network_, model.classes_, model.place_
        by_hand.append(one.predict_proba(parts))
    rules = {
        "mean": lambda part: part.mean(axis=0),
        "majority": lambda part: np.eye(2)[part.argmax(axis=1)].mean(axis=0),
        "min": lambda part: [part[:, 0].min(), 1 - part[:, 0].min()],
        "max": lambda part: [part[:, 0].max(), 1 - part[:, 0].max()],
    }
    assert model.classes_.tolist() == ["malignant", "reactive"]
    for name, rule in rules.items():
        wanted = [rule(part) for part in by_hand]
        chance = model.set_params(bag_vote=name).predict_proba(found)
        np.testing.assert_allclose(chance, wanted, atol=1e-5)
    parts = model.contributions(found, 0)
    assert [len(part) for part in parts] == n.tolist()
    if pooling == "mean":
        sums = [part.sum() for part in parts]
        logits = [told["logit"][0] for told in model.judged(found)]
        np.testing.assert_allclose(sums, logits, atol=1e-5)
    loaded = pipelines.load(pipelines.save(model, tmp_path / "m.hemafeat")).pipeline
    np.testing.assert_array_equal(loaded.predict_proba(found), chance)
    for wrong in ({"bag_size": 0}, {"bag_vote": "median"}):
        message = "bag_size=0" if "bag_size" in wrong else "'median'"
        with pytest.raises(ValueError, match=message):
            clone(model).set_params(**wrong).fit(found, label)


def test_a_saved_network_needs_no_file_of_initial_weights(keras, tmp_path):
    found, label = cohort(8, 1)
    path = tmp_path / "initial.weights.h5"
    networks.build("cnn_4_8_16", 2, input_shape=(16, 16, 3), random_state=5).save_weights(path)
    model = small("batch_weighted", encoder="cnn_4_8_16", weights=str(path), places=True)
    model.set_params(n_hidden=None, n_gradient_images=8, batch_size=4, epochs=1, validation=0.25)
    model.fit(found, label)
    saved = pipelines.save(model, tmp_path / "m.hemafeat")
    clone(model).check_weights()
    path.unlink()
    with pytest.raises(
        ValueError, match=r"initial\.weights\.h5: the file of weights does not exist"
    ):
        clone(model).check_weights()
    loaded = pipelines.load(saved).pipeline
    np.testing.assert_array_equal(loaded.predict_proba(found), model.predict_proba(found))
    assert loaded.judged(found[:1])[0]["place_logits"].shape[1:] == (2, 2, 1)


def test_images_of_a_validation_part(keras):
    train, valid = cohort(10, 1), cohort(6, 2)
    model = small("mean", bag_size=3, epochs=2, monitor="balanced_accuracy")
    model.fit(*train, validation=valid)
    assert set(model.history_) == {"loss", "val_loss", "val_balanced_accuracy", "seconds"}
    assert (model.history_["seconds"] > 0).all()
    assert model.history_["val_balanced_accuracy"].max() == pytest.approx(
        model.history_["val_balanced_accuracy"].iloc[model.network_.best]
    )


def test_from_a_folder_of_patients(keras, tmp_path):
    table = datasets.drawn_cohort(
        tmp_path / "c", 8, size=64, cells=(3, 6), abnormal=(0.0, 0.9), random_state=1, n_jobs=1
    )
    rows = pipelines.bags(table, columns=[])
    model = pipelines.make_patient("image_attention").set_params(size=32, epochs=2)
    model.fit(rows, rows["label"])
    part = pipelines.cell_contributions(model, rows, positive="malignant")
    assert set(part["method"]) == {"network"}
    assert len(part) == len(table)
    logit = [told["logit"][0] for told in model.judged(rows)]
    total = part.groupby("patient")["contribution"].sum()[rows.index]
    np.testing.assert_allclose(total, logit, atol=1e-5)
    chance = model.predict_proba(rows)[:, list(model.classes_).index("malignant")]
    np.testing.assert_allclose(chance, 1 / (1 + np.exp(-np.array(logit))), rtol=1e-6)
    # A table of images is taken as it is, whatever the order of its rows.
    again = model.predict_proba(table.sample(frac=1, random_state=0))
    np.testing.assert_allclose(again, model.predict_proba(rows), atol=1e-6)


def test_what_holds_no_images_is_refused():
    cells = datasets.drawn_bags(4)
    rows = pipelines.bags(cells.drop(columns="image"))
    model = pipelines.MILImageClassifier()
    with pytest.raises(ValueError, match="hold no images"):
        model.fit(rows, rows["label"])
    with pytest.raises(ValueError, match="a table with a column 'image'"):
        model.fit(pd.DataFrame({"patient": ["a"]}), ["x"])
    twice = cells.assign(image=cells["image"].iloc[0])
    with pytest.raises(ValueError, match="whole images"):
        model.fit(pipelines.bags(twice), rows["label"])
    with pytest.raises(images.ImageError):
        model.fit([["no/such.png"], ["nor/this.png"]], ["a", "b"])
