"""Computation of embeddings: runtimes, batches and the cache."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from hemafeat import images
from hemafeat.networks._embedding import (
    cache as _embedding_cache,
    network as _embedding_network,
    runtimes as _runtimes,
)
from support import embedding_steps
from support.embedding_steps import SIDE, close, embedding
from support.unsettled import unsettled

pytestmark = pytest.mark.networks

cells = embedding_steps.cells
keras = embedding_steps.keras
no_network = embedding_steps.no_network


@pytest.mark.parametrize("runtime", _runtimes.RUNTIMES)
def test_runtimes_agree(keras, cells, runtime):
    if runtime != "keras":
        pytest.importorskip("onnx")
        pytest.importorskip(_runtimes._MODULES[runtime])
    source = _embedding_network.source_of("MobileNet", None, None, SIDE, 0)
    network = _embedding_network.network_of(source)
    unsettled(network.model, 0.2)
    pixels = np.random.default_rng(6).integers(0, 256, (5, SIDE, SIDE, 3), np.uint8)
    expected = keras.ops.convert_to_numpy(network.model(pixels.astype(np.float32)))
    run = _runtimes.Runner(network, runtime, 1)
    assert run.runtime == runtime
    for length in (5, 1):
        close(run(pixels[:length]), expected[:length])
    assert run(pixels[:0]).shape == (0, 1024)


def every_layer(keras):
    """Build a small network with every kind of layer of the eight backbones."""
    from hemafeat.networks._layers import ScaledImage

    layers = keras.layers
    image = keras.Input((33, 33, 3))
    x = ScaledImage("torch")(ScaledImage("caffe")(image))
    x = layers.Rescaling(1 / 3, offset=0.1)(x)
    x = layers.Normalization(axis=-1, mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0])(x)
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(scale=False)(x)
    x = layers.Activation("relu")(x)
    x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = layers.DepthwiseConv2D(3, strides=2, padding="valid", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU(6.0)(x)
    x = layers.SeparableConv2D(8, 3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    low = layers.AveragePooling2D(3, strides=1, padding="same")(x)
    high = layers.MaxPooling2D(3, strides=1, padding="same")(x)
    # Read twice, so that normalisation must not go into the convolution before it.
    twice = layers.Conv2D(8, (1, 7), padding="same")(layers.Concatenate()([low, high]))
    normal = layers.BatchNormalization()(twice)
    x = layers.Add()([twice, normal])
    gate = layers.GlobalAveragePooling2D()(x)
    gate = layers.Reshape((1, 1, 8))(gate)
    gate = layers.Conv2D(8, 1, activation="sigmoid")(gate)
    x = layers.Multiply()([x, layers.Activation("silu")(gate)])
    x = layers.MaxPooling2D(2)(layers.Dropout(0.3)(x))
    inner = keras.Input(x.shape[1:])
    x = keras.Model(inner, layers.Conv2D(4, 2, activation="relu")(inner))(x)
    x = layers.Dense(5, activation="relu")(layers.Flatten()(x))
    x = layers.BatchNormalization()(x)
    model = unsettled(keras.Model(image, layers.Dense(6, activation="softmax")(x)), 1)
    return _embedding_network.EmbeddingNetwork(model, 33, 6, "")


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "opencv"])
def test_every_layer_of_the_backbones_is_written(keras, runtime):
    pytest.importorskip("onnx")
    pytest.importorskip(_runtimes._MODULES[runtime])
    keras.utils.set_random_seed(3)
    network = every_layer(keras)
    pixels = np.random.default_rng(9).integers(0, 256, (4, 33, 33, 3), np.uint8)
    expected = keras.ops.convert_to_numpy(network.model(pixels.astype(np.float32)))
    assert expected.std() > 1e-3
    close(_runtimes.Runner(network, runtime, 1)(pixels), expected)


def test_what_cannot_be_written_runs_in_keras(keras):
    image = keras.Input((16, 16, 3))
    whole = keras.layers.GlobalAveragePooling2D()(keras.layers.GaussianNoise(0.1)(image))
    network = _embedding_network.EmbeddingNetwork(keras.Model(image, whole), 16, 3, "")
    assert _runtimes.Runner(network, "auto", 1).runtime == "keras"
    pytest.importorskip("onnx")
    with pytest.raises(ValueError, match="GaussianNoise, which cannot be written"):
        _runtimes.Runner(network, "opencv", 1)


def test_a_runtime_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(_runtimes, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="openvino"):
        _runtimes.check_runtime("openvino")
    with pytest.raises(ValueError, match="auto, onnxruntime"):
        _runtimes.check_runtime("torchscript")


def test_batches_and_the_cache_change_nothing(keras, cells, tmp_path):
    expected = embedding(batch_size=1).transform(cells)
    kept = tmp_path / "vectors"
    for batch_size in (5, 16):
        step = embedding(batch_size=batch_size, cache=kept)
        close(step.transform(cells), expected)
        assert np.array_equal(step.transform(cells), step.transform(cells))
    files = sorted(kept.rglob("*.vec"))
    assert len(files) == len(cells)
    assert not list(kept.rglob("*.part"))


def test_what_is_cached_is_not_computed(keras, cells, tmp_path, monkeypatch):
    step = embedding(cache=tmp_path)
    first = step.transform(cells)
    monkeypatch.setattr(_runtimes.Runner, "__call__", None)
    assert np.array_equal(step.transform(cells), first)
    for other in ({"random_state": 1}, {"streams": "hsv"}, {"layer": "conv_pw_6_relu"}):
        with pytest.raises(TypeError, match="not callable"):
            embedding(cache=tmp_path, **other).transform(cells)


def test_a_broken_file_of_the_cache_is_made_anew(keras, cells, tmp_path):
    # One by one: in a batch of another length a backend may round the last digit otherwise.
    step = embedding(cache=tmp_path, batch_size=1)
    expected = step.transform(cells)
    short, flipped, *_ = sorted(tmp_path.rglob("*.vec"))
    whole = short.read_bytes(), flipped.read_bytes()
    short.write_bytes(whole[0][:100])
    flipped.write_bytes(whole[1][:-1] + bytes([whole[1][-1] ^ 1]))
    assert np.array_equal(step.transform(cells), expected)
    assert (short.read_bytes(), flipped.read_bytes()) == whole


def test_the_cache_keeps_its_limit_and_what_was_used_last(tmp_path):
    cache = _embedding_cache.Cache(tmp_path, 250, "network", limit_mb=1)
    vector = np.ones(250, np.float32)
    names = [cache.name(np.full((2, 2, 3), n, np.int64)) for n in range(1200)]
    import os

    for place, name in enumerate(names):
        path = cache._path(name)
        path.parent.mkdir(exist_ok=True)
        values = vector.tobytes()
        path.write_bytes(_embedding_cache._checksum(name, values) + values)
        os.utime(path, ns=(place * 10**9, place * 10**9))
    assert cache.get(names[0]) is not None  # used now
    cache.put(names[1], vector)
    cache.trim()
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.vec")) <= 10**6
    assert cache.get(names[0]) is not None
    assert cache.get(names[1]) is not None
    assert cache.get(names[2]) is None
    assert cache.get(names[-1]) is not None


def test_a_cache_that_cannot_be_written_costs_nothing_but_itself(keras, cells, tmp_path):
    (tmp_path / "file").write_text("in the way")
    step = embedding(cache=tmp_path / "file")
    assert np.isfinite(step.transform(cells.head(2))).all()


def test_two_processes_share_a_cache(tmp_path):
    """Write the same vectors in two processes; both read complete ones."""
    code = f"""
import numpy as np
from pathlib import Path
from hemafeat.networks._embedding.cache import Cache
cache = Cache(Path({str(tmp_path)!r}), 64, "network")
for again in range(3):
    for n in range(60):
        name = cache.name(np.full((2, 2, 3), n, np.uint8))
        found = cache.get(name)
        assert found is None or (found == n).all(), found
        cache.put(name, np.full(64, n, np.float32))
"""
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [one.wait(120) for one in both] == [0, 0]
    cache = _embedding_cache.Cache(tmp_path, 64, "network")
    for n in range(60):
        found = cache.get(cache.name(np.full((2, 2, 3), n, np.uint8)))
        assert (found == n).all()


def test_one_batch_is_in_memory(keras, tmp_path, monkeypatch):
    """Read an image only when its batch is filled, however many there are."""
    read, alive = images.read, []
    seen = []

    def counted(source, **given):
        alive.append(len(seen))
        return read(source, **given)

    real = _runtimes.Runner.__call__
    monkeypatch.setattr(
        _runtimes.Runner, "__call__", lambda net, x: (seen.extend(range(len(x))), real(net, x))[1]
    )
    monkeypatch.setattr(images, "read", counted)
    pixels = np.random.default_rng(7).integers(0, 256, (10, 40, 40, 3), np.uint8)
    embedding(batch_size=4).transform(list(pixels))
    # Images embedded when each was read: never more than a batch behind.
    assert alive == [0, 0, 0, 0, 4, 4, 4, 4, 8, 8]
    assert len(seen) == 10


def test_images_that_come_up_again_are_embedded_once(keras, cells, monkeypatch):
    step = embedding()
    expected = step.transform(cells)
    real, lengths = _runtimes.Runner.__call__, []
    monkeypatch.setattr(
        _runtimes.Runner, "__call__", lambda net, x: (lengths.append(len(x)), real(net, x))[1]
    )
    drawn = np.random.default_rng(8).integers(0, len(cells), 40)
    close(step.transform(cells["image"].to_numpy()[drawn][:, None]), expected[drawn])
    assert sum(lengths) == len(set(drawn))
