"""Reading of saved networks without running code from the file."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from hemafeat._archives import FREE_BYTES, MAX_RATIO, check_sizes
from hemafeat.networks._keras import need_keras

_PLAIN = (
    "__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__slice__", "__ellipsis__"
)  # fmt: skip
"""Class names by which Keras marks plain values."""

_LAYERS = frozenset(
    [
        "Activation",
        "ActivityRegularization",
        "Add",
        "AdditiveAttention",
        "AlphaDropout",
        "Attention",
        "Average",
        "AveragePooling1D",
        "AveragePooling2D",
        "AveragePooling3D",
        "BatchNormalization",
        "Bidirectional",
        "CategoryEncoding",
        "CenterCrop",
        "Concatenate",
        "Conv1D",
        "Conv1DTranspose",
        "Conv2D",
        "Conv2DTranspose",
        "Conv3D",
        "Conv3DTranspose",
        "ConvLSTM1D",
        "ConvLSTM2D",
        "Cropping1D",
        "Cropping2D",
        "Cropping3D",
        "Dense",
        "DepthwiseConv1D",
        "DepthwiseConv2D",
        "Dot",
        "Dropout",
        "ELU",
        "EinsumDense",
        "Embedding",
        "Flatten",
        "GRU",
        "GRUCell",
        "GaussianDropout",
        "GaussianNoise",
        "GlobalAveragePooling1D",
        "GlobalAveragePooling2D",
        "GlobalAveragePooling3D",
        "GlobalMaxPooling1D",
        "GlobalMaxPooling2D",
        "GlobalMaxPooling3D",
        "GroupNormalization",
        "GroupQueryAttention",
        "Identity",
        "InputLayer",
        "LSTM",
        "LSTMCell",
        "LayerNormalization",
        "LeakyReLU",
        "Masking",
        "MaxPooling1D",
        "MaxPooling2D",
        "MaxPooling3D",
        "Maximum",
        "Minimum",
        "MultiHeadAttention",
        "Multiply",
        "Normalization",
        "PReLU",
        "Permute",
        "RMSNormalization",
        "RNN",
        "RandomBrightness",
        "RandomContrast",
        "RandomCrop",
        "RandomFlip",
        "RandomRotation",
        "RandomTranslation",
        "RandomZoom",
        "ReLU",
        "RepeatVector",
        "Rescaling",
        "Reshape",
        "Resizing",
        "SeparableConv1D",
        "SeparableConv2D",
        "SimpleRNN",
        "SimpleRNNCell",
        "Softmax",
        "SpatialDropout1D",
        "SpatialDropout2D",
        "SpatialDropout3D",
        "SpectralNormalization",
        "StackedRNNCells",
        "Subtract",
        "TimeDistributed",
        "UnitNormalization",
        "UpSampling1D",
        "UpSampling2D",
        "UpSampling3D",
        "ZeroPadding1D",
        "ZeroPadding2D",
        "ZeroPadding3D",
    ]
)
"""Layers of Keras that compute with numbers only: none holds code or opens a file."""

_CLASSES: dict[str, frozenset[str]] = {
    "keras": frozenset(("DTypePolicy", "DTypePolicyMap", "Functional", "Model", "Sequential")),
    "keras.models": frozenset(("Model", "Sequential")),
    "keras.src.models.functional": frozenset(("Functional",)),
    "keras.layers": _LAYERS,
    "keras.initializers": frozenset(
        [
            "Constant",
            "GlorotNormal",
            "GlorotUniform",
            "HeNormal",
            "HeUniform",
            "Identity",
            "LecunNormal",
            "LecunUniform",
            "Ones",
            "Orthogonal",
            "RandomNormal",
            "RandomUniform",
            "TruncatedNormal",
            "VarianceScaling",
            "Zeros",
        ]
    ),
    "keras.regularizers": frozenset(("L1", "L1L2", "L2", "OrthogonalRegularizer")),
    "keras.constraints": frozenset(("MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm")),
    "keras.dtype_policies": frozenset(("DTypePolicy", "DTypePolicyMap")),
    "keras.src.applications.inception_resnet_v2": frozenset(("CustomScaleLayer",)),
    "keras.src.ops.core": frozenset(("Cast", "Slice", "StopGradient", "Unstack")),
}
"""Classes of Keras that may be built, by the module that a file names."""

_OPERATIONS = ("keras.src.ops.numpy", "keras.src.ops.nn", "keras.src.ops.image")
"""Modules of Keras all operations of which compute with numbers only."""

_FUNCTIONS = frozenset(
    [
        "celu",
        "elu",
        "exponential",
        "gelu",
        "glu",
        "hard_shrink",
        "hard_sigmoid",
        "hard_silu",
        "hard_swish",
        "hard_tanh",
        "leaky_relu",
        "linear",
        "log_sigmoid",
        "log_softmax",
        "mish",
        "relu",
        "relu6",
        "selu",
        "sigmoid",
        "silu",
        "soft_shrink",
        "softmax",
        "softplus",
        "softsign",
        "sparse_plus",
        "sparse_sigmoid",
        "sparsemax",
        "squareplus",
        "swish",
        "tanh",
        "tanh_shrink",
        "threshold",
    ]
)
"""Functions of Keras that a network may name: activations."""

_OF_FUNCTIONS = ("builtins", "keras.activations", "keras.ops", "keras.ops.nn")
"""Modules that a file names for them."""


def load_network(path: str | os.PathLike[str]) -> Any:
    """Read a network that was saved as a ``.keras`` file.

    No code from the file is run: a file that names anything but the layers and functions of Keras
    that compute with numbers, and the layers of `hemafeat.networks`, is refused before anything is
    built. So are a layer made of code (``Lambda``), a layer that opens files, and weights that lie
    in another file.

    Parameters
    ----------
    path : path-like
        File written by ``model.save("name.keras")``, with layers of Keras and of this package.

    Returns
    -------
    keras.Model
        The network, not compiled.

    Raises
    ------
    ImportError
        Keras is not installed.
    ValueError
        The file does not exist, is not a ``.keras`` file, or names a class that is refused. Older
        formats, which can hold code, are not read.

    Examples
    --------
    >>> from hemafeat import networks
    >>> networks.build("lenet5", 8).save("lenet5.keras")
    >>> networks.load_network("lenet5.keras").count_params()
    61836
    """
    keras = need_keras("a network on images")
    from hemafeat.networks import _layers, _transformer  # noqa: F401 - their layers are registered

    path = Path(path)
    if path.suffix != ".keras":
        raise ValueError(f"{path}: not a .keras file; networks are read from .keras files only")
    if not path.is_file():
        raise ValueError(f"{path}: the file does not exist")
    for entry in _entries(_config(path)):
        if not _is_trusted(entry):
            raise ValueError(
                f"{path}: refused, it names {_full_name(entry)}: only layers of keras and "
                "hemafeat.networks that compute with numbers are built from a file, and no layer "
                "made of code"
            )
    _check_archive(path)
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def _config(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as box:
            check_sizes(box, path.stat().st_size)
            config = json.loads(box.read("config.json"))
    except Exception as error:  # zipfile, zlib and json raise many kinds for damaged files
        raise ValueError(f"{path}: not a .keras file, or incomplete ({error})") from None
    if isinstance(config, dict):
        # Not needed, and it may name a custom loss.
        config.pop("compile_config", None)
    return config


def _entries(config: Any) -> Iterator[dict[str, Any]]:
    """Iterate over the parts of a config that name a class or a function."""
    stack = [config]
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            if "class_name" in part:
                yield part
            stack += part.values()
        elif isinstance(part, list):
            stack += part


def _is_trusted(entry: dict[str, Any]) -> bool:
    """Return whether an entry names a class or function that may be built."""
    name, module = entry["class_name"], entry.get("module")
    # Keras looks up a registered name before module and class.
    registered = entry.get("registered_name")
    if not isinstance(name, str):
        return False
    if module is None:
        return name in _PLAIN
    if name == "function":
        function = entry.get("config")
        known = module in _OF_FUNCTIONS and function in _FUNCTIONS
        return known and registered in (None, function)
    if not isinstance(module, str):
        return False
    if module in _OPERATIONS:
        return registered in (None, name) and _is_operation(module, name)
    if module in _CLASSES:
        return registered in (None, name) and name in _CLASSES[module]
    is_hemafeat = module.split(".")[:2] == ["hemafeat", "networks"]
    return is_hemafeat and registered == f"hemafeat>{name}"


def _is_operation(module: str, name: str) -> bool:
    keras = need_keras("a network on images")
    operation = getattr(import_module(module), name, None)
    return isinstance(operation, type) and issubclass(operation, keras.Operation)


def _check_archive(path: Path) -> None:
    """Raise a ValueError if the weights of a ``.keras`` file are not all in it."""
    h5py: Any = import_module("h5py")
    try:
        with zipfile.ZipFile(path) as box:
            for name in box.namelist():
                if name.endswith(".h5"):
                    with h5py.File(io.BytesIO(box.read(name)), "r") as file:
                        check_weights(file, path.stat().st_size)
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path}: refused, its weights are broken ({error})") from None


def check_weights(file: Any, packed: int) -> None:
    """Refuse HDF5 weights that lie in another file, or are far larger than the file.

    Parameters
    ----------
    file : h5py.File or h5py.Group
        The weights.
    packed : int
        Size of the file, in bytes.

    Raises
    ------
    ValueError
        If it holds links to other files, or data sets that are stored there, or if it would inflate
        to far more than its size.
    """
    h5py: Any = import_module("h5py")
    n_bytes, groups, visited = 0, [file], set[int]()
    while groups:
        group = groups.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, (h5py.ExternalLink, h5py.SoftLink)):
                raise ValueError(f"{name} is a link")
            item = group[name]
            if hash(item.id) in visited:
                continue
            visited.add(hash(item.id))
            if isinstance(item, h5py.Group):
                groups.append(item)
            elif isinstance(item, h5py.Dataset):
                if item.external or item.is_virtual:
                    raise ValueError(f"{name} lies in another file")
                n_bytes += item.nbytes
    if n_bytes > max(FREE_BYTES, MAX_RATIO * packed):
        raise ValueError(f"they would inflate to {n_bytes / 2**20:.0f} MiB")


def _full_name(entry: dict[str, Any]) -> str:
    """Return module, name and differing registered name of an entry."""
    name = entry.get("config") if entry["class_name"] == "function" else entry["class_name"]
    registered = entry.get("registered_name")
    suffix = "" if registered in (None, name) else f" ({registered})"
    module = entry.get("module")
    return f"{name}{suffix}" if module is None else f"{module}.{name}{suffix}"
