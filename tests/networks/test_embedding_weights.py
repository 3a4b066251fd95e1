"""Weights of embeddings: ImageNet, files and random ones, compared with Keras itself."""

from __future__ import annotations

import numpy as np
import pytest

from hemafeat import networks
from hemafeat.networks import _backbones
from hemafeat.networks._embedding import network as _embedding_network
from support import embedding_steps
from support.architecture_steps import without_weights
from support.embedding_steps import QUICK, SIDE, close, embedding

pytestmark = pytest.mark.networks

keras = embedding_steps.keras
no_network = embedding_steps.no_network


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.deep] if name in ("DINOv2L", "DINOv2G") else [])
        for name in _backbones.BACKBONES
    ],
)
def test_facts_of_the_backbones_are_those_of_keras(keras, name):
    """Check numbers of weights, from which the error message computes the size of the file."""
    kind = _backbones.BACKBONES[name]
    counts = []
    for top in (False, True):
        with without_weights(keras):
            model = _backbones.build_backbone(kind, keras.Input((kind.size, kind.size, 3)), top=top)
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
    """Use weights created by Keras, in the format of its downloads and in the current one."""
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
    image = keras.Input((SIDE, SIDE, 3))
    bare = _backbones.build_backbone(networks.backbone("MobileNet"), image, top=False)
    bare.save_weights(tmp_path / "bare.weights.h5")
    with pytest.raises(networks.WeightsError, match="does not hold the last layers of MobileNet"):
        embedding(weights=tmp_path / "bare.weights.h5", layer="conv_preds")
    (tmp_path / "bare.weights.h5").rename(tmp_path / "bare.h5")
    with pytest.raises(networks.WeightsError, match=r"rename it to bare\.weights\.h5"):
        embedding(weights=tmp_path / "bare.h5")


def test_a_network_saved_whole_is_taken_as_it_is(keras, tmp_path):
    """Use the scaling of the network, or that of its backbone if it has none."""
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
    with pytest.raises(ValueError, match="does not accept images of 32 px"):
        embedding("InceptionV3")


def test_imagenet_without_its_file_is_one_error(keras, tmp_path, monkeypatch):
    """Name the file, its size and its folder."""
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
    """Let Keras load a file made here in place of a download."""
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
    """Keras stores the deviation as the variance and corrects it for weights="imagenet" only."""
    from hemafeat.networks._layers import IMAGENET_MEAN, IMAGENET_STD

    image = keras.Input((SIDE, SIDE, 3))
    layer = keras.layers.Normalization(axis=-1, mean=None, variance=None)
    model = keras.Model(image, layer(image))
    layer.set_weights([np.array(IMAGENET_MEAN), np.array(IMAGENET_STD), np.array(0)])
    layer.finalize_state()
    pixels = np.random.default_rng(5).uniform(0, 1, (1, SIDE, SIDE, 3)).astype(np.float32)
    _backbones._correct_variance(model)
    expected = (pixels - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
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
