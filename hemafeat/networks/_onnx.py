"""Convolutional networks of Keras as ONNX, for OpenCV and ONNX Runtime to run."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

OPSET = 13


def export_onnx(
    model: Any, path: str | os.PathLike[str], *, notes: dict[str, str] | None = None
) -> Path:
    """Write a network of convolutions as ONNX.

    Parameters
    ----------
    model : keras.Model
        One input (n, H, W, channels) and one output, made of Conv2D, DepthwiseConv2D,
        Conv2DTranspose, BatchNormalization, ReLU, MaxPooling2D, UpSampling2D (nearest),
        Concatenate, Add and Dropout.
    path : path
        File to write; it appears whole or not at all.
    notes : dict of str to str, optional
        What the file is to say about itself.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ImportError
        The package onnx is not installed.
    ValueError
        A layer that is none of these, by name.

    Notes
    -----
    Channels come first in the file, as ONNX has it: input ``density`` and output ``scores``
    are (n, channels, H, W).
    Strides must divide the height and width of the input. Normalisation is folded into the
    convolution before it. Keras' own export needs a package for each backend and leaves
    normalisation in the graph.
    """
    try:
        onnx: Any = import_module("onnx")
    except ImportError as error:
        raise ImportError(
            f"writing ONNX needs the package onnx: pip install onnx ({error})"
        ) from None
    graph = _Graph(onnx)
    for layer in model.layers:
        graph.add(layer)
    given, made = model.inputs[0], model.outputs[0]
    first = graph.helper.make_tensor_value_info(
        "density", onnx.TensorProto.FLOAT, _sizes(given.shape)
    )
    last = graph.helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, _sizes(made.shape))
    graph.node("Identity", [graph.names[id(made)]], "scores")
    whole = graph.helper.make_graph(graph.nodes, model.name, [first], [last], graph.weights)
    proto = graph.helper.make_model(
        whole, opset_imports=[graph.helper.make_opsetid("", OPSET)], producer_name="hemafeat"
    )
    proto.ir_version = 8
    for key, value in sorted((notes or {}).items()):
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(proto, full_check=True)
    path = Path(path)
    aside = path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")
    aside.write_bytes(proto.SerializeToString())
    aside.replace(path)
    return path


def _sizes(shape: Any) -> list[Any]:
    n, height, width, channels = shape
    return [n or "n", channels, height or "height", width or "width"]


class _Graph:
    """Nodes and weights so far, and the name of each Keras tensor among them."""

    def __init__(self, onnx: Any) -> None:
        self.helper, self.numpy = onnx.helper, onnx.numpy_helper
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.names: dict[int, str] = {}
        # Convolutions the result of which one layer alone reads: normalisation goes into them.
        self.open: dict[str, tuple[Any, np.ndarray, np.ndarray, int]] = {}

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
        made = self.helper.make_node(kind, inputs, [output], name=output, **attributes)
        self.nodes.append(made)
        return made

    def weight(self, name: str, values: np.ndarray) -> str:
        self.weights[:] = [one for one in self.weights if one.name != name]
        self.weights.append(self.numpy.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, layer: Any) -> None:
        kind = type(layer).__name__
        write = getattr(self, f"_{kind.lower()}", None)
        if write is None:
            raise ValueError(f"layer {layer.name!r} is a {kind}, which cannot be written as ONNX")
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        output = layer.output
        if kind == "InputLayer":
            self.names[id(output)] = "density"
            return
        given = [self.names[id(one)] for one in inputs]
        self.names[id(output)] = write(layer, given)

    def _inputlayer(self, layer: Any, given: list[str]) -> str:
        return "density"

    def _convolution(
        self,
        layer: Any,
        given: list[str],
        kernel: np.ndarray,
        n_out: int,
        out_axis: int,
        **more: Any,
    ) -> str:
        bias = _values(layer.bias) if layer.use_bias else np.zeros(n_out)
        bias = bias.astype(np.float32)
        kind = "ConvTranspose" if type(layer).__name__ == "Conv2DTranspose" else "Conv"
        inputs = [
            given[0],
            self.weight(f"{layer.name}.kernel", kernel),
            self.weight(f"{layer.name}.bias", bias),
        ]
        name = str(layer.name)
        # Not asked for by ONNX, but by OpenCV 4.
        shape = list(kernel.shape[2:])
        self.node(kind, inputs, name, kernel_shape=shape, strides=list(layer.strides), **more)
        self.open[name] = (layer, kernel, bias, out_axis)
        return self._activated(layer, name)

    def _activated(self, layer: Any, name: str) -> str:
        active = layer.activation.__name__
        if active == "linear":
            return name
        if active != "relu":
            raise ValueError(f"layer {layer.name!r}: activation {active!r} cannot be written")
        self.node("Relu", [name], f"{name}.relu")
        return f"{name}.relu"

    def _conv2d(self, layer: Any, given: list[str]) -> str:
        kernel = _values(layer.kernel).transpose(3, 2, 0, 1)
        return self._convolution(layer, given, kernel, kernel.shape[0], 0, **_same(layer))

    def _depthwiseconv2d(self, layer: Any, given: list[str]) -> str:
        kernel = _values(layer.kernel)
        if kernel.shape[3] != 1:
            raise ValueError(f"layer {layer.name!r}: a depth multiplier cannot be written")
        kernel = kernel.transpose(2, 3, 0, 1)
        n = kernel.shape[0]
        return self._convolution(layer, given, kernel, n, 0, group=n, **_same(layer))

    def _conv2dtranspose(self, layer: Any, given: list[str]) -> str:
        kernel = _values(layer.kernel).transpose(3, 2, 0, 1)
        size, step = layer.kernel_size[0], layer.strides[0]
        if layer.padding != "same" or (size - step) % 2:
            raise ValueError(f"layer {layer.name!r}: this padding cannot be written")
        pads = [(size - step) // 2] * 4
        return self._convolution(layer, given, kernel, kernel.shape[1], 1, pads=pads)

    def _batchnormalization(self, layer: Any, given: list[str]) -> str:
        scale = _values(layer.gamma) / np.sqrt(_values(layer.moving_variance) + layer.epsilon)
        shift = _values(layer.beta) - _values(layer.moving_mean) * scale
        if given[0] not in self.open:
            raise ValueError(f"layer {layer.name!r} does not follow a convolution")
        before, kernel, bias, axis = self.open.pop(given[0])
        along = [1] * kernel.ndim
        along[axis] = -1
        self.weight(f"{before.name}.kernel", (kernel * scale.reshape(along)).astype(np.float32))
        self.weight(f"{before.name}.bias", (bias * scale + shift).astype(np.float32))
        return given[0]

    def _relu(self, layer: Any, given: list[str]) -> str:
        self.node("Relu", given, str(layer.name))
        return str(layer.name)

    def _maxpooling2d(self, layer: Any, given: list[str]) -> str:
        size = list(layer.pool_size)
        self.node("MaxPool", given, str(layer.name), kernel_shape=size, strides=list(layer.strides))
        return str(layer.name)

    def _upsampling2d(self, layer: Any, given: list[str]) -> str:
        if layer.interpolation != "nearest":
            raise ValueError(f"layer {layer.name!r}: only nearest neighbours can be written")
        scales = np.array([1.0, 1.0, *layer.size], np.float32)
        inputs = [given[0], "", self.weight(f"{layer.name}.scales", scales)]
        self.node(
            "Resize",
            inputs,
            str(layer.name),
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        return str(layer.name)

    def _concatenate(self, layer: Any, given: list[str]) -> str:
        self.node("Concat", given, str(layer.name), axis=1)
        return str(layer.name)

    def _add(self, layer: Any, given: list[str]) -> str:
        self.node("Add", given, str(layer.name))
        return str(layer.name)

    def _dropout(self, layer: Any, given: list[str]) -> str:
        return given[0]


def _values(variable: Any) -> np.ndarray:
    from keras import ops

    return np.asarray(ops.convert_to_numpy(variable))


def _same(layer: Any) -> dict[str, Any]:
    size, dilation = layer.kernel_size, layer.dilation_rate
    # What lies beyond an image of a size the strides divide.
    reach = [
        max(0, d * (k - 1) + 1 - s) for k, d, s in zip(size, dilation, layer.strides, strict=True)
    ]
    before = [r // 2 if layer.padding == "same" else 0 for r in reach]
    after = [r - r // 2 if layer.padding == "same" else 0 for r in reach]
    return {"pads": before + after, "dilations": list(dilation)}
