"""Networks on bags: published formulas, gradients by hand, recovered signals."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import numpy as np
import pytest
from scipy.stats import t
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from hemafeat import datasets, evaluate, networks, pipelines
from hemafeat._machine import how_to_install
from reference import naive_patients

pytestmark = pytest.mark.networks


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras", minversion="3", reason="the extra 'deep' is not installed")


def some_bags(sizes=(3, 40, 7), n_features=5, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, n_features)).astype(np.float32) for n in sizes]


def test_without_keras_the_extra_is_named():
    code = """
import sys
sys.modules["keras"] = None
from hemafeat import networks, pipelines, datasets
patients = pipelines.bags(datasets.drawn_bags(6))
for make in (lambda: networks.mil_model(3),
             lambda: pipelines.MILClassifier().fit(patients, patients["label"])):
    try:
        make()
    except ImportError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(how_to_install("keras", "deep")) == 2


def test_padding_is_marked():
    found = some_bags()
    values, mask = networks.pad_bags(found)
    assert values.shape == (3, 64, 5)
    assert mask.sum(axis=1).tolist() == [3, 40, 7]
    np.testing.assert_array_equal(values[1, :40], found[1])
    assert not values[mask == 0].any()
    with pytest.warns(FutureWarning, match="'found' is now called 'bags'"):
        former, _ = networks.pad_bags(found=found)
    np.testing.assert_array_equal(former, values)


@pytest.mark.parametrize("pooling", networks.POOLINGS)
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_a_verdict_is_the_weighted_sum_of_its_cells(keras, pooling, n_outputs):
    model = networks.mil_model(5, n_outputs, pooling, random_state=3)
    network = networks.BagNetwork(model)
    found = some_bags()
    for bag, told in zip(found, network(found), strict=True):
        assert told["weights"].shape == (len(bag), n_outputs)
        np.testing.assert_allclose(told["weights"].sum(axis=0), 1.0, rtol=1e-5)
        by_hand = (told["weights"] * told["cell_logits"]).sum(axis=0)
        np.testing.assert_allclose(told["logit"], by_hand, atol=1e-5)
        # Alone, among others, or in another order of cells: float32 sums differ in the last bits.
        (alone,) = network([bag[::-1]])
        np.testing.assert_allclose(alone["logit"], told["logit"], atol=1e-5)
        np.testing.assert_allclose(alone["weights"][::-1], told["weights"], atol=1e-5)


@pytest.mark.parametrize("gated", [False, True])
def test_attention_is_that_of_the_paper(keras, gated):
    model = networks.mil_model(5, 1, "gated" if gated else "attention", n_hidden=6, n_attention=4)
    layers = {layer.name: [np.asarray(w) for w in layer.get_weights()] for layer in model.layers}
    for bag, told in zip(some_bags(), networks.BagNetwork(model)(some_bags()), strict=True):
        hidden = np.maximum(bag @ layers["embed"][0] + layers["embed"][1], 0)
        gate = layers["gate"] if gated else (None, None)
        wanted = naive_patients.attention(hidden, *layers["look"], layers["score"][0], *gate)
        np.testing.assert_allclose(told["weights"][:, 0], wanted, atol=1e-6)
        # z = sum a h, y = c z + b: the paper's order of sum and product.
        pooled = wanted @ hidden
        logit = pooled @ layers["cell_logit"][0] + layers["cell_logit"][1]
        np.testing.assert_allclose(told["logit"], logit, atol=1e-5)


def aggregation(keras, n_cells):
    """Build the pooling alone, from logits of cells to the logit of the bag."""
    logits = keras.Input((n_cells, 1))
    mask = keras.Input((n_cells,))
    logit, weights = networks.pool("batch_weighted", logits, logits, mask)
    return keras.Model([logits, mask], [logit, weights])


def test_batch_weights_are_normalised_over_the_cells_of_the_batch(keras):
    model = aggregation(keras, 6)
    normal = model.get_layer("normalise")
    normal.set_weights([np.array([1.7]), np.array([0.3]), np.zeros(1), np.ones(1)])
    rng = np.random.default_rng(1)
    logits = rng.normal(2.0, 3.0, (2, 6, 1)).astype(np.float32)
    mask = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]], dtype=np.float32)
    logit, weights = (np.asarray(x) for x in model([logits, mask], training=True))
    cells = logits[..., 0][mask == 1]
    scaled = (logits[..., 0] - cells.mean()) / np.sqrt(cells.var() + 1e-5)
    a = mask / (1 + np.exp(-(0.3 + 1.7 * scaled)))
    np.testing.assert_allclose(weights[..., 0], a / a.sum(axis=1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(
        logit[:, 0], (a * logits[..., 0]).sum(axis=1) / a.sum(axis=1), atol=1e-4
    )


def test_gradient_of_the_aggregation_is_the_weight(keras):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("gradients are asked of TensorFlow")
    import tensorflow as tf

    model = aggregation(keras, 6)
    rng = np.random.default_rng(2)
    logits = tf.constant(rng.normal(0.0, 2.0, (1, 6, 1)).astype(np.float32))
    mask = tf.constant([[1, 1, 1, 1, 0, 0]], dtype=tf.float32)
    for training in (True, False):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            logit, weights = model([logits, mask], training=training)
            total = tf.reduce_sum(logit)
        # dL/dl_i = a_i / sum(a): the weights do not pass a gradient on.
        np.testing.assert_allclose(tape.gradient(total, logits).numpy(), weights.numpy(), atol=1e-6)
        assert weights.numpy()[0, 4:].max() == 0


@pytest.mark.parametrize("pooling", networks.VECTOR_POOLINGS)
def test_vectors_are_pooled_without_padding(keras, pooling):
    values, mask = keras.Input((None, 8)), keras.Input((None,))
    model = keras.Model([values, mask], networks.pool_vectors(pooling, values, mask))
    found = some_bags((3, 40, 7), n_features=8)
    padded, present = networks.pad_bags(found)
    together = np.asarray(model([padded + 5.0 * (1 - present[..., None]), present]))
    for bag, vector in zip(found, together, strict=True):
        if pooling == "self_attention":
            weights = model.get_layer("self_attention").get_weights()
            wanted = naive_patients.self_attention(bag, *weights)
        else:
            wanted = getattr(bag, pooling.removeprefix("vector_"))(axis=0)
        np.testing.assert_allclose(vector, wanted, atol=2e-4)
    if pooling == "self_attention":
        assert model.count_params() == 4 * (8 * 8 + 8)
        # Queries and keys do not start as copies of each other.
        assert np.abs(weights[0] - weights[2]).max() > 0.01
        with pytest.raises(ValueError, match="4 heads do not divide vectors of 6 numbers"):
            networks.pool_vectors(pooling, np.zeros((1, 2, 6)), np.ones((1, 2)))


def test_the_perceptron_behind_pooled_vectors_is_that_of_the_report(keras):
    model = networks.mil_model(512, 2, "self_attention", n_hidden=128)
    counts = {layer.name: layer.count_params() for layer in model.layers if layer.count_params()}
    assert counts == {
        "embed": 512 * 128 + 128,
        "normal": 4 * 128,
        "self_attention": 4 * (128 * 128 + 128),
        "dense": 128 * 32 + 32,
        "logit": 32 * 2 + 2,
    }
    assert model.get_layer("embed").activation.__name__ == "linear"
    with pytest.raises(ValueError, match="no pooling 'x' of logits"):
        networks.mil_model(3, 1, "x")
    with pytest.raises(ValueError, match="no pooling 'max' of vectors"):
        networks.pool_vectors("max", np.zeros((1, 2, 8)), np.ones((1, 2)))


def drawn(n, seed, **params):
    table = datasets.drawn_bags(n, cells=(15, 45), random_state=seed, **params)
    return pipelines.bags(table)


def scores(pooling, seeds, **params):
    found = []
    for seed in seeds:
        train, test = drawn(60, 2 * seed, **params), drawn(120, 2 * seed + 1, **params)
        pair = []
        for model in (
            pipelines.MILClassifier(pooling, epochs=40, patience=10, random_state=seed),
            pipelines.bag_size_only(),
        ):
            chance = model.fit(train, train["label"]).predict_proba(test)
            place = list(model.classes_).index("malignant")
            pair.append(roc_auc_score(test["label"] == "malignant", chance[:, place]))
        found.append(pair)
    return np.array(found)


@pytest.mark.parametrize("pooling", networks.POOLINGS)
def test_a_planted_signal_is_recovered_above_the_bag_size(keras, pooling):
    # Few features and no abnormal cell in the others, so that one cell may be enough ("max").
    params = {"abnormal": (0.0, 0.4), "effect": 4.0, "patient_spread": 0.2, "n_features": 4}
    found = scores(pooling, range(3), **params)
    gain = found[:, 0] - found[:, 1]
    half = t.ppf(0.975, 2) * gain.std(ddof=1) / np.sqrt(3)
    assert gain.mean() - half > 0.05, found


@pytest.mark.parametrize("pooling", networks.VECTOR_POOLINGS)
def test_a_planted_signal_is_found_in_pooled_vectors(keras, pooling):
    params = {"abnormal": (0.0, 0.4), "effect": 4.0, "patient_spread": 0.2, "n_features": 4}
    train, test = drawn(60, 0, **params), drawn(60, 1, **params)
    model = pipelines.MILClassifier(pooling, epochs=40, patience=10, monitor="balanced_accuracy")
    model.fit(train, train["label"])
    chance = model.predict_proba(test)
    np.testing.assert_allclose(chance.sum(axis=1), 1.0, rtol=1e-6)
    place = list(model.classes_).index("malignant")
    assert roc_auc_score(test["label"] == "malignant", chance[:, place]) > 0.8
    assert model.judged(test)[0]["logit"].shape == (2,)
    # Each cell is left out in turn.
    part = pipelines.cell_contributions(model, test[:1], positive="malignant")
    assert set(part["method"]) == {"left out"}
    bag = test["cells"].iloc[0]
    odds = [
        np.log(p[0, place] / p[0, 1 - place])
        for p in (model.predict_proba([b]) for b in (bag, bag.cells(np.arange(1, len(bag)))))
    ]
    assert part["contribution"].iloc[0] == pytest.approx(odds[0] - odds[1], abs=1e-4)


def test_a_validation_part_is_scored_and_not_learnt_from(keras):
    train, valid = drawn(20, 1), drawn(12, 2)
    part = (valid, valid["label"])
    model = pipelines.MILClassifier("mean", epochs=4, patience=10)
    assert model.takes_validation
    model.fit(train, train["label"], validation=part)
    history = model.history_
    assert list(history) == ["loss", "val_loss", "val_balanced_accuracy", "seconds"]
    best = model.network_.best
    assert best == history["val_loss"].to_numpy().argmin()
    # The weights are those of the best epoch, and the scores those of the part.
    chance = model.predict_proba(valid)
    place = list(model.classes_).index("malignant")
    truth = (valid["label"] == "malignant").to_numpy()
    recalls = [(chance[truth == ill, place] > 0.5).mean() for ill in (True, False)]
    recalls[1] = 1 - recalls[1]
    assert history["val_balanced_accuracy"].iloc[best] == pytest.approx(np.mean(recalls))
    # Labels of the part that are exchanged change no step of the training.
    other = np.where(truth, "reactive", "malignant")
    again = clone(model).fit(train, train["label"], validation=(valid, other))
    np.testing.assert_array_equal(again.history_["loss"], history["loss"])
    with pytest.raises(ValueError, match="has no label 'x' of the validation part"):
        clone(model).fit(train, train["label"], validation=(valid, ["x"] * 12))
    with pytest.raises(ValueError, match="monitor='auroc'"):
        clone(model).set_params(monitor="auroc").fit(train, train["label"])


def test_a_network_beside_its_combinations_is_fitted_once(keras, monkeypatch):
    n_fits, fit = [0], networks.fit_bags

    def counting(*args, **params):
        n_fits[0] += 1
        return fit(*args, **params)

    monkeypatch.setattr(networks, "fit_bags", counting)
    mil = pipelines.MILClassifier("mean", epochs=1)
    pair = [("attributes", pipelines.attributes_only()), ("cells", mil)]
    models = {
        "mil": mil,
        "weighted": pipelines.DecisionRule(pair),
        "min": pipelines.DecisionRule(pair, "min", labels="hard"),
    }
    table = datasets.drawn_bags(20, cells=(3, 6), random_state=0)
    few = {"n_splits": 2, "n_boot": 10, "importance": False, "verdicts": False}
    evaluate.compare_patients(models, table, **few)
    assert n_fits == [2]


def test_class_weights_by_label(keras):
    train = drawn(20, 1)
    chances = []
    for weight in ({"malignant": 20.0, "reactive": 1.0}, {"malignant": 1.0, "reactive": 20.0}):
        model = pipelines.MILClassifier("mean", epochs=5, class_weight=weight, validation=0.0)
        chance = model.fit(train, train["label"]).predict_proba(train)
        chances.append(chance[:, list(model.classes_).index("malignant")].mean())
    assert chances[0] > chances[1] + 0.1


def test_without_a_signal_it_lies_at_chance(keras):
    found = scores("attention", range(3), abnormal=(0.2, 0.2))
    assert abs(found[:, 0].mean() - 0.5) < 0.1, found


def test_attention_finds_the_abnormal_cells(keras):
    params = {"abnormal": (0.0, 0.3), "effect": 4.0, "patient_spread": 0.2, "n_features": 4}
    cells = datasets.drawn_bags(80, random_state=5, **params)
    patients = pipelines.bags(cells)
    model = pipelines.MILClassifier("gated", epochs=60).fit(patients, patients["label"])
    other = datasets.drawn_bags(40, random_state=6, **params)
    judged = pipelines.bags(other)
    weight = np.concatenate([told["weights"][:, 0] for told in model.judged(judged)])
    rows = np.concatenate([bag.rows for bag in judged["cells"]])
    ill = (other["label"] == "malignant").to_numpy()[rows]
    abnormal = other["abnormal"].to_numpy()[rows]
    assert roc_auc_score(abnormal[ill], weight[ill]) > 0.8


def test_the_same_seed_gives_the_same_network(keras):
    patients = drawn(30, 1, missing=0.05)
    model = pipelines.MILClassifier("gated", epochs=5)
    one = model.fit(patients, patients["label"]).predict_proba(patients)
    again = clone(model).fit(patients, patients["label"]).predict_proba(patients)
    other = clone(model).set_params(random_state=1).fit(patients, patients["label"])
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, other.predict_proba(patients))


def test_training_stops_and_keeps_the_best(keras):
    patients = drawn(40, 1, abnormal=(0.2, 0.2))
    model = pipelines.MILClassifier(epochs=200, patience=5).fit(patients, patients["label"])
    history = model.network_.history
    held = [told["held_back"] for told in history]
    assert len(history) < 200
    assert held[model.network_.best] <= min(held) + 1e-4
    assert len(history) - 1 - model.network_.best == 5
    without = clone(model).set_params(validation=0.0, epochs=3).fit(patients, patients["label"])
    assert [set(told) for told in without.network_.history] == [{"loss", "seconds"}] * 3


def test_three_classes(keras):
    patients = drawn(60, 1, effect=5.0, abnormal=(0.0, 0.5))
    label = patients["label"].to_numpy(dtype=object, copy=True)
    big = np.array([bag.features[:, 5].mean() > 0.2 for bag in patients["cells"]])
    label[big] = "other"
    model = pipelines.MILClassifier("mean", epochs=60, validation=0.0).fit(patients, label)
    chance = model.predict_proba(patients)
    np.testing.assert_allclose(chance.sum(axis=1), 1.0, rtol=1e-6)
    assert (model.predict(patients) == label).mean() > 0.8
    assert model.judged(patients)[0]["weights"].shape[1] == 3


def test_saved_as_numbers_and_read_again(keras, tmp_path):
    cells = datasets.drawn_bags(16, cells=(3, 9), missing=0.05, random_state=1)
    patients = pipelines.bags(cells)
    model = pipelines.MILClassifier("batch_weighted", epochs=3).fit(patients, patients["label"])
    path = pipelines.save(model, tmp_path / "m.hemafeat")
    with zipfile.ZipFile(path) as box:
        # No code, no file of Keras: parameters and weights, in the one format for all models.
        assert sorted(box.namelist()) == ["manifest.json", "model.skops"]
    found = pipelines.load(path).verdicts(cells)[[f"p__{name}" for name in model.classes_]]
    np.testing.assert_allclose(found, model.predict_proba(patients), rtol=1e-6)


def test_steps_of_the_perceptron_of_attributes_are_those_of_keras(keras):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    y = np.where(x[:, 0] + 0.3 * rng.normal(size=40) > 0.5, "ill", "well")
    start = pipelines.SoftmaxMLP(epochs=0).fit(x, y)
    layers = [keras.layers.Dense(n, "relu") for n in (8, 4)]
    twin = keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(2, "softmax")])
    twin.set_weights(
        [one for pair in zip(start.kernels_, start.biases_, strict=True) for one in pair]
    )
    twin.compile(
        keras.optimizers.Adam(0.01, epsilon=1e-8), "sparse_categorical_crossentropy",
        jit_compile=False,
    )  # fmt: skip
    losses = [float(twin.train_on_batch(x, np.searchsorted(start.classes_, y))) for _ in range(20)]
    # All rows in one batch, so that their order does not matter.
    ours = pipelines.SoftmaxMLP(epochs=20, batch_size=len(x)).fit(x, y)
    np.testing.assert_allclose(ours.losses_, losses, rtol=1e-4)
    np.testing.assert_allclose(ours.predict_proba(x), np.asarray(twin(x)), atol=1e-4)
