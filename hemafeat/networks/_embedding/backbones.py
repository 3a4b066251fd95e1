"""The backbones of keras.applications that embeddings are taken from, and their weights."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from hemafeat._public import public
from hemafeat.networks._keras import need_keras

TIMEOUT = 20.0
"""Seconds without an answer after which fetching weights is given up."""


@dataclass(frozen=True)
class Backbone:
    """A network of ``keras.applications``.

    Attributes
    ----------
    name : str
        Its name there.
    size : int
        Side of the images it was trained on, in px.
    scale : str or None
        What `ScaledImage` is to do to 0 to 255; None where the network scales its images itself.
    width : int
        Length of its default embedding, the mean of its last feature maps.
    file, file_top : str
        Keras' files of ImageNet weights, without and with the last layers.
    n_parameters, n_parameters_top : int
        Numbers in them, four bytes each.
    """

    name: str
    size: int
    scale: str | None
    width: int
    file: str
    file_top: str
    n_parameters: int
    n_parameters_top: int

    def megabytes(self, top: bool) -> int:
        """Size of a file of weights, rounded."""
        return round(4e-6 * (self.n_parameters_top if top else self.n_parameters))


_TF = "_weights_tf_dim_ordering_tf_kernels"

BACKBONES = {
    made.name: made
    for made in (
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
    )
}  # fmt: skip
"""Every backbone by name, in the order they are listed in messages."""


@public
class WeightsError(ValueError):
    """Weights that are not there, cannot be fetched, or do not fit the network."""


def backbone_named(name: str) -> Backbone:
    """The backbone called `name`, whatever the case of its letters.

    Raises
    ------
    ValueError
        There is none; names all of them.
    """
    known = {each.lower(): made for each, made in BACKBONES.items()}
    if str(name).lower() not in known:
        raise ValueError(f"no backbone {name!r}; there are: {', '.join(BACKBONES)}")
    return known[str(name).lower()]


def built(kind: Backbone, image: Any, top: bool, classes: int = 1000) -> Any:
    """The network on `image`, a tensor of (n, side, side, 3) of 0 to 255, without weights."""
    return _made(kind, image, top, None, classes)


def outline(kind: Backbone, size: int) -> tuple[list[str], int]:
    """Names of the layers up to the last maps, and number of their arrays; nothing is made."""
    keras = need_keras("an embedding")
    with keras.StatelessScope(initialize_variables=False):
        model = built(kind, keras.Input((size, size, 3)), False)
    return [layer.name for layer in model.layers], len(model.weights)


def _made(kind: Backbone, image: Any, top: bool, weights: str | None, classes: int = 1000) -> Any:
    keras = need_keras("an embedding")
    from hemafeat.networks._layers import ScaledImage

    scaled = image if kind.scale is None else ScaledImage(kind.scale, name="scale")(image)
    given: dict[str, Any] = {"include_top": top, "weights": weights, "input_tensor": scaled}
    if top:
        given["classes"] = classes
    if kind.name == "MobileNet":
        given["input_shape"] = tuple(image.shape[1:])
    return getattr(keras.applications, kind.name)(**given)


def with_imagenet(kind: Backbone, image: Any, top: bool) -> Any:
    """The network with Keras' own ImageNet weights, from its cache or fetched.

    Raises
    ------
    WeightsError
        The file is not there and cannot be fetched: says which, how large, and where to put it.
    """
    file = kind.file_top if top else kind.file
    place = keras_home() / "models" / file
    there = place.is_file()
    try:
        with _patience(), contextlib.redirect_stdout(sys.stderr):
            return _made(kind, image, top, "imagenet")
    except Exception as error:
        # Keras raises a bare Exception when it cannot fetch a file, h5py an OSError for half a one.
        fetch = "URL fetch failure" in str(error) or isinstance(error, (OSError, TimeoutError))
        if not fetch:
            raise
        why = "is damaged and" if there else "is not there and"
        raise WeightsError(
            f"{kind.name}: the file of ImageNet weights {file} (about {kind.megabytes(top)} MB) "
            f"{why} cannot be fetched. Put it at {place}, or give a file of your own as "
            "weights=PATH (--weights PATH), or weights=None for random ones"
        ) from None


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """A limit to how long a server may be silent; without it a blocked network is waited for."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def with_file(kind: Backbone, image: Any, path: Path, top: bool) -> Any:
    """The network with weights of an ``.h5`` file, made with or without its last layers.

    Raises
    ------
    WeightsError
        No such file, not a file of weights, not of this network, or without the layers needed.
    """
    shapes = _shapes(path)
    has_top = len(shapes) > outline(kind, int(image.shape[1]))[1]
    if top and not has_top:
        raise WeightsError(
            f"{path} holds no last layers of {kind.name} (it has {len(shapes)} arrays); a layer "
            "behind the feature maps needs a file with them"
        )
    # Its number of classes is the length of the last bias.
    classes = shapes[-1][-1] if has_top and shapes[-1] else 1000
    model = built(kind, image, has_top, classes=classes)
    try:
        model.load_weights(path)
    except Exception as error:  # Keras raises many kinds for what does not fit
        first = str(error).strip().splitlines()[0][:200]
        raise WeightsError(
            f"{path}: not weights of {kind.name} ({len(shapes)} arrays in the file, "
            f"{len(model.weights)} in the network): {first}"
        ) from None
    _corrected(model)
    return model


def _shapes(path: Path) -> list[tuple[int, ...]]:
    """Shapes of the weights in a file, those of layers in their order where it is kept."""
    h5py: Any = import_module("h5py")
    if not path.is_file():
        raise WeightsError(f"no file of weights: {path}")
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            if "layer_names" in root.attrs:
                return [
                    tuple(root[_text(layer)][_text(name)].shape)
                    for layer in root.attrs["layer_names"]
                    for name in root[_text(layer)].attrs["weight_names"]
                ]
            if not path.name.endswith(".weights.h5"):
                raise WeightsError(
                    f"{path}: a file that save_weights of Keras 3 wrote has to be called "
                    f"{path.stem}.weights.h5 to be read"
                )
            found: list[tuple[int, ...]] = []

            def note(name: str, item: Any) -> None:
                kept = not name.startswith("optimizer") and "seed_generator" not in name
                if isinstance(item, h5py.Dataset) and kept:
                    found.append(tuple(item.shape))

            file.visititems(note)
            # Names are visited in alphabetic order: the last layer is the widest of the dense ones
            # or, in MobileNet, a convolution; its bias is the vector that comes up once.
            return sorted(found, key=lambda shape: _lone(shape, found))
    except (OSError, KeyError) as error:
        raise WeightsError(f"{path}: not a file of weights ({error})") from None


def _lone(shape: tuple[int, ...], among: list[tuple[int, ...]]) -> bool:
    """Whether `shape` is a vector without a match: the bias of the last layer."""
    return len(shape) == 1 and any(
        len(other) > 1 and other[-1] == shape[0] and among.count(shape) == 1 for other in among
    )


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _corrected(model: Any) -> None:
    """Undo what Keras' EfficientNet files have as the variance: it is the deviation.

    Keras mends it by a layer that it adds for ``weights="imagenet"`` alone, so that the same file
    given by its path is scaled wrongly.
    """
    from hemafeat.networks._layers import _TORCH_STD

    for layer in model.layers:
        if type(layer).__name__ == "Normalization":
            variance = np.asarray(layer.variance).ravel()
            if variance.shape == (3,) and np.allclose(variance, _TORCH_STD, atol=2e-3):
                mean, variance_now, count = layer.get_weights()
                layer.set_weights([mean, variance_now**2, count])
                layer.finalize_state()


def randomised(model: Any, random_state: int) -> None:
    """Give every layer random weights that keep the spread of values: He's [1]_, by NumPy.

    Kernels are normal with variance 2 / fan-in, batch normalisation does nothing, biases are 0. The
    same numbers come of a seed on every backend and version of Keras.

    References
    ----------
    .. [1] K. He et al., "Delving deep into rectifiers", ICCV 2015.
    """
    rng = np.random.default_rng(random_state)
    for layer in model.layers:
        kind = type(layer).__name__
        if kind in ("BatchNormalization", "Normalization"):
            continue  # Keras starts them as the identity
        fresh = []
        for weight in layer.weights:
            shape = tuple(weight.shape)
            if len(shape) < 2:
                fresh.append(np.zeros(shape, np.float32))
                continue
            depthwise = "depthwise" in weight.name or kind == "DepthwiseConv2D"
            fan_in = np.prod(shape[:2]) if depthwise else np.prod(shape[:-1])
            # In the order of NumPy's own generator, float32 from float64: the same everywhere.
            drawn = rng.standard_normal(shape) * np.sqrt(2.0 / float(fan_in))
            fresh.append(drawn.astype(np.float32))
        if fresh:
            layer.set_weights(fresh)


def digest_of(model: Any) -> str:
    """16 hexadecimal digits that say which weights a network has."""
    found = hashlib.blake2b(digest_size=8)
    for layer in model.layers:
        for weight in layer.get_weights():
            values = np.ascontiguousarray(weight)
            found.update(f"{values.shape} {values.dtype}".encode())
            found.update(values.tobytes())
    return found.hexdigest()


def keras_home() -> Path:
    """Where Keras keeps the files it fetches."""
    given = os.environ.get("KERAS_HOME")
    return Path(given) if given else Path.home() / ".keras"
