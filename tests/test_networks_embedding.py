"""Embeddings: numbers against Keras itself, weights, streams, the cache, and where they go."""

from __future__ import annotations

import socket
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from hemafeat import datasets, extract, images, networks, pipelines
from hemafeat.networks import _backbones, _embedding_cache, _embedding_network, _runtimes

SIDE = 32
QUICK = {"size": SIDE, "cache": False, "n_jobs": 1, "progress": False}

# Stated in the documentation; measured on eight backbones: below 3e-6.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras", minversion="3", reason="the extra 'deep' is not installed")


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    return datasets.drawn(
        folder, 12, kinds=["lymphocyte", "neutrophil"], n_patients=6, size=96, random_state=0
    )


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """Nothing is fetched, nothing of the user's is read or written."""

    def refused(*_):
        raise OSError("the network is blocked")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("HEMAFEAT_CACHE", str(tmp_path / "cache"))


def embedding(backbone="MobileNet", weights=None, **given):
    step = networks.Embedding(backbone, weights, **{**QUICK, **given})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not pretrained")
        return step.fit()


def close(found, expected):
    """Within the tolerance, of the largest number."""
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()


def by_keras(keras, model, path):
    """What Keras itself makes of an image file, resized by nobody."""
    pixels = images.read(path).astype(np.float32)[None]
    return keras.ops.convert_to_numpy(model(pixels, training=False))[0]


def test_without_keras_the_message_says_what_to_install():
    code = """
import sys
sys.modules["keras"] = None
from hemafeat import networks, pipelines
model = pipelines.make("embedding:MobileNet+svc@random")
try:
    model[0].fit()
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8"
    )
    assert "hemafeat[deep]" in done.stdout


def test_an_unknown_backbone_names_all():
    with pytest.raises(ValueError, match=r"InceptionV3, VGG16, .*Xception"):
        networks.Embedding("AlexNet").fit()
    with pytest.raises(ValueError, match="MobileNet"):
        pipelines.make("embedding:AlexNet+svc")
    with pytest.raises(ValueError, match="no head"):
        pipelines.make("embedding:MobileNet+cnn")
    with pytest.raises(ValueError, match=r"BACKBONE\[/LAYER\]\+HEAD"):
        pipelines.make("embedding:MobileNet")


@pytest.mark.parametrize("name", list(_backbones.BACKBONES))
def test_facts_of_the_backbones_are_those_of_keras(keras, name):
    """Sizes of files follow from them, so that an error can name one offline."""
    kind = _backbones.BACKBONES[name]
    counts = []
    for top in (False, True):
        with keras.StatelessScope(initialize_variables=False):
            model = _backbones.built(kind, keras.Input((kind.size, kind.size, 3)), top)
        counts.append(model.count_params())
        if not top:
            assert model.layers[-1].output.shape[-1] == kind.width
    assert counts == [kind.n_parameters, kind.n_parameters_top]


@pytest.mark.parametrize("name", ["MobileNet", "VGG16", "DenseNet121"])
def test_pictures_are_scaled_as_keras_does(keras, name):
    kind = _backbones.BACKBONES[name]
    module = {"MobileNet": "mobilenet", "VGG16": "vgg16", "DenseNet121": "densenet"}[name]
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.float32)
    expected = getattr(keras.applications, module).preprocess_input(pixels.copy())
    from hemafeat.networks._layers import ScaledImage

    found = keras.ops.convert_to_numpy(ScaledImage(kind.scale)(pixels))
    np.testing.assert_allclose(found, np.asarray(expected), atol=2e-5)


@pytest.mark.parametrize("file", ["keras2.h5", "keras3.weights.h5"])
def test_the_vector_is_the_mean_of_the_last_maps_of_keras(keras, tmp_path, file):
    """With weights of Keras' own making, in the format of its downloads and in its present one."""
    keras.utils.set_random_seed(1)
    plain = keras.applications.MobileNet(
        include_top=False, weights=None, input_shape=(SIDE, SIDE, 3)
    )
    if file == "keras2.h5":
        import h5py
        from keras.src.legacy.saving import legacy_h5_format

        with h5py.File(tmp_path / file, "w") as to:
            legacy_h5_format.save_weights_to_hdf5_group(to, plain)
    else:
        plain.save_weights(tmp_path / file)
    pixels = np.random.default_rng(1).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
    scaled = keras.applications.mobilenet.preprocess_input(pixels.astype(np.float32))
    maps = keras.ops.convert_to_numpy(plain(scaled, training=False))
    step = embedding(weights=tmp_path / file)
    close(step.transform(list(pixels)), maps.mean(axis=(1, 2)))
    assert step.family_ == f"embedding_mobilenet_file{step.digest_[:8]}_{SIDE}px"
    assert str(tmp_path / file) in step.weights_


def test_a_file_with_the_last_layers_serves_for_maps_and_for_layers_behind_them(keras, tmp_path):
    keras.utils.set_random_seed(2)
    # Of four classes, as after fine-tuning.
    whole = keras.applications.MobileNet(weights=None, input_shape=(SIDE, SIDE, 3), classes=4)
    file = tmp_path / "top.weights.h5"
    whole.save_weights(file)
    pixels = np.random.default_rng(2).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
    scaled = keras.applications.mobilenet.preprocess_input(pixels.astype(np.float32))
    ends = {None: "conv_pw_13_relu", "conv_preds": "conv_preds"}
    outputs = [whole.get_layer(name).output for name in ends.values()]
    made = keras.Model(whole.inputs, outputs)(scaled, training=False)
    for layer, expected in zip(ends, made, strict=True):
        step = embedding(weights=file, layer=layer)
        assert step.n_features_out_ == (1024 if layer is None else 4)
        close(step.transform(list(pixels)), keras.ops.convert_to_numpy(expected).mean(axis=(1, 2)))
    with pytest.raises(networks.WeightsError, match="not weights of VGG16"):
        embedding("VGG16", weights=file)


def test_a_file_without_the_layer_asked_for_is_refused(keras, tmp_path):
    bare = _backbones.built(_backbones.BACKBONES["MobileNet"], keras.Input((SIDE, SIDE, 3)), False)
    bare.save_weights(tmp_path / "bare.weights.h5")
    with pytest.raises(networks.WeightsError, match="holds no last layers of MobileNet"):
        embedding(weights=tmp_path / "bare.weights.h5", layer="conv_preds")
    (tmp_path / "bare.weights.h5").rename(tmp_path / "bare.h5")
    with pytest.raises(networks.WeightsError, match=r"called bare\.weights\.h5"):
        embedding(weights=tmp_path / "bare.h5")


def test_a_network_saved_whole_is_taken_as_it_is(keras, tmp_path):
    """With the scaling it has inside, or that of its backbone where it has none."""
    model = networks.build("lenet5", 3)
    model.save(tmp_path / "lenet.keras")
    pixels = np.random.default_rng(3).integers(0, 256, (2, 32, 32, 3), np.uint8)
    dense = [layer.name for layer in model.layers if type(layer).__name__ == "Dense"]
    step = embedding(weights=tmp_path / "lenet.keras", layer=dense[0])
    part = keras.Model(model.inputs, model.get_layer(dense[0]).output)
    expected = part(pixels.astype(np.float32), training=False)
    close(step.transform(list(pixels)), keras.ops.convert_to_numpy(expected))

    bare = keras.Sequential(
        [
            keras.layers.Input((16, 16, 3)),
            keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="maps"),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    bare.save(tmp_path / "bare.keras")
    shown = pixels[:, :16, :16]
    expected = bare(shown.astype(np.float32) / 127.5 - 1)
    found = embedding(weights=tmp_path / "bare.keras").transform([*shown])
    close(found, keras.ops.convert_to_numpy(expected))


def test_an_unknown_layer_names_the_last_ones(keras):
    with pytest.raises(ValueError, match=r"no layer 'fc9'; .*predictions"):
        embedding(layer="fc9")
    with pytest.raises(ValueError, match="does not take images of 32 px"):
        embedding("InceptionV3")


def test_imagenet_without_its_file_is_one_error(keras, tmp_path, monkeypatch):
    """The file, its size, and where to put it."""
    monkeypatch.setattr(
        "keras.src.utils.file_utils.config.keras_home",
        lambda: str(tmp_path / "keras"),
        raising=True,
    )
    step = networks.Embedding("VGG16", **{**QUICK, "size": None})
    with pytest.raises(networks.WeightsError) as caught:
        step.fit()
    text = str(caught.value)
    assert "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5" in text
    assert "59 MB" in text
    assert str(tmp_path / "keras" / "models") in text
    assert "weights=PATH" in text
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    with pytest.raises(networks.WeightsError, match=r"kernels\.h5 \(about 553 MB\)"):
        networks.Embedding("VGG16", layer="fc1", **{**QUICK, "size": None}).fit()


def test_imagenet_is_read_from_the_cache_of_keras(keras, tmp_path, monkeypatch):
    """Its own loading, with a file made here in the place of the one it would fetch."""
    keras.utils.set_random_seed(4)
    plain = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(224, 224, 3))
    plain.save_weights(tmp_path / "mine.weights.h5")

    def there(name, origin, **_):
        assert name == _backbones.BACKBONES["MobileNet"].file
        return str(tmp_path / "mine.weights.h5")

    monkeypatch.setattr("keras.src.applications.mobilenet.file_utils.get_file", there)
    found = embedding(weights="imagenet", size=None)
    assert found.family_ == "embedding_mobilenet_imagenet"
    assert found.weights_.startswith("ImageNet weights")
    assert found.digest_ == _backbones.digest_of(plain)


def test_a_file_of_efficientnet_is_scaled_as_imagenet_is(keras, tmp_path):
    """Keras files the deviation as the variance, and mends it for weights="imagenet" alone."""
    from hemafeat.networks._layers import _TORCH_MEAN, _TORCH_STD

    image = keras.Input((SIDE, SIDE, 3))
    layer = keras.layers.Normalization(axis=-1, mean=None, variance=None)
    model = keras.Model(image, layer(image))
    layer.set_weights([np.array(_TORCH_MEAN), np.array(_TORCH_STD), np.array(0)])
    layer.finalize_state()
    pixels = np.random.default_rng(5).uniform(0, 1, (1, SIDE, SIDE, 3)).astype(np.float32)
    _backbones._corrected(model)
    expected = (pixels - np.array(_TORCH_MEAN)) / np.array(_TORCH_STD)
    found = keras.ops.convert_to_numpy(model(pixels))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("broken", ["absent.h5", "text.h5", "wrong.txt"])
def test_a_file_that_is_none_is_named(keras, tmp_path, broken):
    if broken != "absent.h5":
        (tmp_path / broken).write_text("no weights")
    with pytest.raises(networks.WeightsError, match=broken):
        embedding(weights=tmp_path / broken)


def test_random_weights_say_so_and_follow_their_seed(keras):
    with pytest.warns(UserWarning, match=r"MobileNet: random weights \(seed 3\), not pretrained"):
        step = networks.Embedding("MobileNet", None, random_state=3, **QUICK).fit()
    assert step.family_ == f"embedding_mobilenet_random3_{SIDE}px"
    assert step.get_feature_names_out()[7] == f"cell__embedding_mobilenet_random3_{SIDE}px__0007"
    assert embedding(random_state=3).digest_ == step.digest_
    assert embedding(random_state=4).digest_ != step.digest_
    # The same on every backend and version: He's weights by NumPy.
    assert embedding(random_state=0).digest_ == "b4b31bb1360ce0ae"


def test_kernels_are_as_wide_as_he_wants(keras):
    source = _embedding_network.source_of("MobileNet", None, None, SIDE, 0)
    model = _embedding_network.network_of(source).model
    pointwise = model.get_layer("conv_pw_12").get_weights()[0]
    assert pointwise.std() == pytest.approx(np.sqrt(2 / 512), rel=0.01)
    depthwise = model.get_layer("conv_dw_12").get_weights()[0]
    assert depthwise.std() == pytest.approx(np.sqrt(2 / 9), rel=0.05)


def unsettled(model, seed=0):
    """The model with statistics of normalisation that are not 0 and 1, as after training."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.set_weights([rng.uniform(0.8, 1.2, w.shape) for w in layer.get_weights()])
    return model


@pytest.mark.parametrize("runtime", _runtimes.RUNTIMES)
def test_runtimes_agree(keras, cells, runtime):
    if runtime != "keras":
        pytest.importorskip("onnx")
        pytest.importorskip(_runtimes._MODULES[runtime])
    source = _embedding_network.source_of("MobileNet", None, None, SIDE, 0)
    network = _embedding_network.network_of(source)
    unsettled(network.model)
    pixels = np.random.default_rng(6).integers(0, 256, (5, SIDE, SIDE, 3), np.uint8)
    expected = keras.ops.convert_to_numpy(network.model(pixels.astype(np.float32)))
    run = _runtimes.Ready(network, runtime, 1)
    assert run.runtime == runtime
    for length in (5, 1):
        close(run(pixels[:length]), expected[:length])
    assert run(pixels[:0]).shape == (0, 1024)


def every_layer(keras):
    """A small network with every layer of the eight backbones, each as they use it."""
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
    close(_runtimes.Ready(network, runtime, 1)(pixels), expected)


def test_what_cannot_be_written_runs_in_keras(keras):
    image = keras.Input((16, 16, 3))
    whole = keras.layers.GlobalAveragePooling2D()(keras.layers.GaussianNoise(0.1)(image))
    network = _embedding_network.EmbeddingNetwork(keras.Model(image, whole), 16, 3, "")
    assert _runtimes.Ready(network, "auto", 1).runtime == "keras"
    pytest.importorskip("onnx")
    with pytest.raises(ValueError, match="GaussianNoise, which cannot be written"):
        _runtimes.Ready(network, "opencv", 1)


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
    monkeypatch.setattr(_runtimes.Ready, "__call__", None)
    assert np.array_equal(step.transform(cells), first)
    for other in ({"random_state": 1}, {"streams": "hsv"}, {"layer": "conv_pw_6_relu"}):
        with pytest.raises(TypeError, match="not callable"):
            embedding(cache=tmp_path, **other).transform(cells)


def test_a_broken_file_of_the_cache_is_made_anew(keras, cells, tmp_path):
    step = embedding(cache=tmp_path)
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
        path.write_bytes(_embedding_cache._mark(name, values) + values)
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
    """Both write the same vectors at once; each finds whole ones."""
    code = f"""
import numpy as np
from pathlib import Path
from hemafeat.networks._embedding_cache import Cache
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
    """However many images there are: an image is read when its batch is filled."""
    read, alive = images.read, []
    seen = []

    def counted(source, **given):
        alive.append(len(seen))
        return read(source, **given)

    real = _runtimes.Ready.__call__
    monkeypatch.setattr(
        _runtimes.Ready, "__call__", lambda net, x: (seen.extend(range(len(x))), real(net, x))[1]
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
    real, lengths = _runtimes.Ready.__call__, []
    monkeypatch.setattr(
        _runtimes.Ready, "__call__", lambda net, x: (lengths.append(len(x)), real(net, x))[1]
    )
    drawn = np.random.default_rng(8).integers(0, len(cells), 40)
    close(step.transform(cells["image"].to_numpy()[drawn][:, None]), expected[drawn])
    assert sum(lengths) == len(set(drawn))


def test_an_image_that_cannot_be_read_is_named_or_a_row_of_nan(keras, cells, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    sources = [cells["image"].iloc[0], str(tmp_path / "bad.png")]
    with pytest.raises(images.ImageError, match=r"bad\.png"):
        embedding().transform(sources)
    with pytest.warns(UserWarning, match=r"1 of 2 rows .*bad\.png"):
        found = embedding(on_error="nan").transform(sources)
    assert np.isnan(found).all(axis=1).tolist() == [False, True]
    white = np.full((64, 64, 3), 255, np.uint8)
    with pytest.raises(images.ImageError, match=r"array\[0\].*no cell was found"):
        embedding(streams="rgb_cell").transform([white])


def test_a_saved_model_predicts_the_same_and_refuses_other_weights(keras, cells, tmp_path):
    model = pipelines.embedding(
        backbone="MobileNet", head="svc", weights=None, size=SIDE, settings={"cache": False}
    )
    with pytest.warns(UserWarning, match="not pretrained"):
        model.fit(cells, cells["label"])
    expected = model.predict(cells)
    pipelines.save(model, tmp_path / "one.hemafeat")
    loaded = pipelines.load(tmp_path / "one.hemafeat")
    assert loaded.columns == ["image"]
    assert loaded.pipeline[0].weights_ == "random weights (seed 0), not pretrained"
    assert (loaded.predict(cells) == expected).all()
    loaded.pipeline.set_params(embedding__random_state=1)
    with pytest.raises(networks.WeightsError, match="fitted with weights b4b31bb1360ce0ae"):
        loaded.predict(cells)
    assert (tmp_path / "one.hemafeat").stat().st_size < 10**6  # the network is not in it


@pytest.mark.parametrize("head", ["xgboost", "logistic", "random_forest", "knn", "ldsvm"])
def test_every_head_fits_and_says_how_sure_it_is(keras, cells, head):
    given = {"n_neighbors": 3} if head == "knn" else {}
    model = pipelines.embedding(
        backbone="MobileNet", head=head, weights=None, size=SIDE, settings={"cache": False}, **given
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(cells, cells["label"])
    chances = model.predict_proba(cells)
    assert chances.shape == (len(cells), 2)
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-6)


STREAMS = ["rgb", "rgb_cell", "hsv_centre", "od", "masked_cell"]


def test_a_family_gives_the_numbers_of_the_step(keras, cells):
    step = embedding(streams=STREAMS)
    family = networks.embedding_family("MobileNet", None, streams=STREAMS, **QUICK)
    table = extract.table(cells, families=["shape", family], n_jobs=2, progress=False)
    names = list(step.get_feature_names_out())
    assert names == extract.columns([family])
    assert extract.feature_columns(table)[-len(names) :] == names
    assert names[1024] == f"cell__embedding_mobilenet_random0_{SIDE}px__0000__rgb_cell"
    close(table[names].to_numpy(), step.transform(cells))
    joined = step.join(extract.table(cells, families=["shape"], n_jobs=1, progress=False))
    close(joined[names].to_numpy(), step.transform(cells))
    assert set(extract.units(joined)) == set(extract.units(table))
    said = pipelines.embeddings_of(table.columns)
    words = "MobileNet, random weights (seed 0), not pretrained"
    assert said == {f"{words}: cell__embedding_mobilenet_random0_{SIDE}px__*": len(names)}
    formula = extract.describe([family])["formula"]
    assert formula.str.contains("not pretrained").all()


def test_each_cell_of_an_image_has_an_embedding_of_its_own(keras, cells):
    one, other = (images.read(path) for path in cells["image"][:2])
    field = np.concatenate([one, other], axis=1)
    table = extract.table(
        [field], families=[networks.embedding_family("MobileNet", None, **QUICK)],
        cells="all", n_jobs=1, progress=False,
    )  # fmt: skip
    names = extract.feature_columns(table)
    assert len(table) >= 2
    assert table[names].drop_duplicates().shape[0] == len(table)
    head = table[["image", "cell"]].assign(image=[field] * len(table))
    close(embedding(streams="rgb_cell").transform(head), table[names].to_numpy())


def test_streams_show_what_they_say(cells):
    """Against the picture made by hand."""
    import cv2

    from hemafeat.extract._measure import central_cell
    from hemafeat.extract._prepared import Prepared
    from hemafeat.networks._embedding_inputs import Shown, streams_of
    from hemafeat.segment import contours

    image = images.read(cells["image"].iloc[0])
    masks = contours(image)
    number = central_cell(masks) + 1
    window = Prepared(image, masks).window(masks, number - 1)
    rows, columns = np.nonzero(masks.cell == number)
    size = max(np.ptp(rows), np.ptp(columns)) + 1
    shown = Shown(streams_of(["masked", "rgb_cell", "hsv", "od", "rgb_centre"]), 96, 40, 0.25)
    masked, cell, hsv, density, centre = shown.pictures(*window)
    by_hand = image.copy()
    by_hand[masks.cell != number] = 255
    assert np.array_equal(masked, by_hand)
    assert np.array_equal(hsv, cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL))
    dark = np.unravel_index(image[..., 1].argmin(), image.shape[:2])
    white = Prepared(image, masks).white()
    expected = np.log10((white + 1) / (image[dark].astype(float) + 1)) / 1.5 * 255
    np.testing.assert_allclose(density[dark], np.clip(expected, 0, 255), atol=0.51)
    side = size + 2 * round(0.25 * size)
    middle = [(int(v.min()) + int(v.max()) + 1 - side) // 2 for v in (rows, columns)]
    padded = np.pad(image, ((200, 200), (200, 200), (0, 0)), mode="edge")
    top, left = middle[0] + 200, middle[1] + 200
    square = padded[top : top + side, left : left + side]
    how = cv2.INTER_AREA if side > 96 else cv2.INTER_LINEAR
    assert np.array_equal(cell, cv2.resize(square, (96, 96), interpolation=how))
    part = image[28:68, 28:68]
    assert np.array_equal(centre, cv2.resize(part, (96, 96), interpolation=cv2.INTER_LINEAR))
    with pytest.raises(ValueError, match="no stream 'grey'"):
        streams_of("grey")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("embedding_inceptionv3_imagenet", ("InceptionV3", None, "imagenet", None)),
        ("embedding_vgg16_fc1_random0", ("VGG16", "fc1", "random0", None)),
        ("embedding_mobilenet_conv_pw_6_relu_file1a2b3c4d_96px",
         ("MobileNet", "conv_pw_6_relu", "file1a2b3c4d", 96)),
    ],
)  # fmt: skip
def test_the_name_of_an_embedding_says_its_weights(name, words):
    from hemafeat.networks._embedding_words import EmbeddingName, read_name

    assert read_name(name) == EmbeddingName(*words)
    assert read_name("shape") is None
    assert read_name("embedding_alexnet_imagenet") is None


def test_on_the_command_line(keras, cells, tmp_path, capsys, monkeypatch):
    """Columns and a model in one comparison; the page says which weights; predict goes on."""
    from hemafeat.cli import main

    folder = Path(cells["image"].iloc[0]).parents[1]
    listed = cells[["image", "label", "patient", "group"]]
    listed.to_csv(tmp_path / "cells.csv", index=False)
    assert folder.is_dir()
    features, page = str(tmp_path / "features"), str(tmp_path / "out")
    asked = ["--embedding", "MobileNet", "--weights", "random", "--jobs", "1", "-q"]
    assert main(["extract", str(tmp_path / "cells.csv"), "--out", features, "--families", "shape",
                 *asked]) == 0  # fmt: skip
    assert main(["compare", features, "--models", "logistic", "embedding:MobileNet+logistic",
                 "--weights", "random", "--folds", "2", "--resamples", "20", "--no-importance",
                 "--out", page, "--save-model", str(tmp_path / "m.hemafeat"),
                 "--jobs", "1", "-q"]) == 0  # fmt: skip
    text = (tmp_path / "out" / "page.html").read_text("utf-8")
    assert "1024 columns of MobileNet, random weights (seed 0), not pretrained" in text
    assert "embedding:MobileNet+logistic@random: MobileNet, random weights, not pretrained" in text
    assert main(["predict", str(tmp_path / "m.hemafeat"), str(tmp_path / "cells.csv"), "--out",
                 str(tmp_path / "p.csv"), "--jobs", "1", "-q"]) == 0  # fmt: skip
    capsys.readouterr()
    assert main(["extract", str(tmp_path / "cells.csv"), "--out", str(tmp_path / "x.csv"),
                 "--embedding", "MobileNet", "--weights", "absent.h5"]) == 2  # fmt: skip
    assert "no file absent.h5" in capsys.readouterr().err


def test_a_model_on_embedded_columns_asks_for_its_weights(keras, cells, tmp_path, capsys):
    """A file is referred to by its digest: predict needs it, and no other."""
    from hemafeat.cli import main

    kind = _backbones.BACKBONES["MobileNet"]
    model = _backbones.built(kind, keras.Input((224, 224, 3)), False)
    _backbones.randomised(model, 5)
    model.save_weights(tmp_path / "five.weights.h5")
    _backbones.randomised(model, 6)
    model.save_weights(tmp_path / "six.weights.h5")
    cells[["image", "label"]].head(6).to_csv(tmp_path / "few.csv", index=False)
    family = networks.embedding_family("MobileNet", tmp_path / "five.weights.h5", cache=False)
    table = extract.table(cells, families=[family], n_jobs=1, progress=False)
    fitted = pipelines.logistic().fit(table, table["label"])
    pipelines.save(fitted, tmp_path / "m.hemafeat")
    predict = ["predict", str(tmp_path / "m.hemafeat"), str(tmp_path / "few.csv"), "--out",
               str(tmp_path / "p.csv"), "--jobs", "1", "-q"]  # fmt: skip
    assert main(predict) == 1
    assert "give its weights by --weights FILE" in capsys.readouterr().err
    assert main([*predict, "--weights", str(tmp_path / "six.weights.h5")]) == 1
    assert "but these weights are" in capsys.readouterr().err
    assert main([*predict, "--weights", str(tmp_path / "five.weights.h5")]) == 0
