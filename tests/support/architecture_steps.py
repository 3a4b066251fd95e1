"""Helpers for tests of published networks."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np

from hemafeat import networks

# Small sides of images that the networks accept, so that a step takes seconds.
SIDES = {
    "lenet5": 32,
    "lenet5_224": 64,
    "alexnet": 67,
    "alexnet_grouped": 67,
    "sd_alexnet": 67,
    "sd_tcnn": 67,
    "tcnn": 67,
    "mids_baseline": 32,
    "mids_final": 32,
    "cnn1_gray": 24,
    "cnn1_rgb": 24,
    "lenet_4000": 24,
    "lenet_8": 24,
    "lenet_10": 24,
    "cnn_4_8_16": 16,
    "vgg16_head": 32,
    "vgg16_bn": 32,
    "alexnet_2014": 64,
    "resnet18": 32,
    "marzahl_resnet18": 32,
    "resnet34": 32,
    "resnet50": 32,
    "resnet101": 32,
    "resnet152": 32,
    "resnext50": 32,
    "resnext101": 32,
    "se_resnext50": 32,
    "efficientnet_lite0": 32,
    "sdct_auxnet": 32,
    "leukonet_like": 64,
    "leukonet_modified": 64,
    "kassani_pair": 64,
    "efficientnet_b1_head": 32,
    "inception_v3": 75,
    "inception_resnet_v2": 75,
    "xie_streams": 75,
}
# Compilation of a step of these networks takes longer than running it eagerly.
DEEP = {
    "alexnet",
    "alexnet_grouped",
    "sd_alexnet",
    "sd_tcnn",
    "tcnn",
    "vgg16_head",
    "vgg16_bn",
    "alexnet_2014",
    "resnet18",
    "marzahl_resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50",
    "resnext101",
    "se_resnext50",
    "efficientnet_lite0",
    "leukonet_like",
    "leukonet_modified",
    "kassani_pair",
    "efficientnet_b1_head",
    "inception_v3",
    "inception_resnet_v2",
    "xie_streams",
}
# Two steps of these take as long as those of all others together; tox -e networks-deep runs them.
DEEPEST = {
    "marzahl_resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50",
    "resnext101",
    "se_resnext50",
    "efficientnet_lite0",
    "efficientnet_b1_head",
    "inception_v3",
    "inception_resnet_v2",
    "xie_streams",
}


@contextmanager
def without_weights(keras):
    """Build networks without creating their weights, which are not needed to count them."""
    with keras.StatelessScope(initialize_variables=False):
        yield
    # Keras would create those of all such networks, gigabytes, when the next one is trained.
    keras.utils.clear_session(free_memory=False)


def judged(keras, model, images):
    """Predict without the compilation of ``predict``, which takes longer."""
    return keras.ops.convert_to_numpy(model(images, training=False))


def some_images(shape, n=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape)).astype(np.float32)


def train_save_and_read_back(keras, name, folder):
    """Check that two steps change the weights and that the saved network predicts the same."""
    channels = networks.ARCHITECTURES[name].input_shape[2]
    shape = (SIDES[name], SIDES[name], channels)
    model = networks.build(name, 3, input_shape=shape)
    images, y = some_images(shape), np.arange(8) % 3
    before = judged(keras, model, images)
    assert before.shape == (8, 3)
    np.testing.assert_allclose(before.sum(axis=1), 1.0, atol=1e-5)
    model.compile(
        optimizer=keras.optimizers.Adam(1e-4),
        loss="sparse_categorical_crossentropy",
        jit_compile=False,
        run_eagerly=name in DEEP,
    )
    to_numpy = keras.ops.convert_to_numpy
    start = [to_numpy(weight).copy() for weight in model.trainable_variables]
    losses = [float(np.asarray(model.train_on_batch(images, y))) for _ in range(2)]
    assert np.isfinite(losses).all()
    moved = [
        bool(np.any(to_numpy(weight) != old))
        for weight, old in zip(model.trainable_variables, start, strict=True)
    ]
    assert np.mean(moved) > 0.9
    after = judged(keras, model, images)
    # It need not differ from `before`: deep networks with first weights are certain of one class.
    assert np.isfinite(after).all()
    model.save(folder / "network.keras")
    again = networks.load_network(folder / "network.keras")
    for weight, same in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(weight), to_numpy(same))
    np.testing.assert_allclose(judged(keras, again, images), after, rtol=1e-5, atol=1e-6)
