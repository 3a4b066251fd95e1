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


def test_encoders(keras):
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
