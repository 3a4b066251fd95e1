"""Export of convolutional Keras networks to ONNX, which OpenCV and ONNX Runtime run."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from hemafeat._files import write_whole

OPSET = 13


def export_onnx(
    model: Any, path: str | os.PathLike[str], *, notes: dict[str, str] | None = None
) -> Path:
    """Write a convolutional network as an ONNX file.

    Parameters
    ----------
    model : keras.Model
        Network with one input (n, H, W, channels) and one output, made of Conv2D, DepthwiseConv2D,
        Conv2DTranspose, BatchNormalization, ReLU, MaxPooling2D, UpSampling2D (nearest),
        Concatenate, Add and Dropout.
    path : path
        File to write. It is complete or does not appear at all.
    notes : dict of str to str, optional
        Metadata stored in the file. By default there are none.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ImportError
        The package onnx is not installed.
    ValueError
        The network has a layer that cannot be written; the message names it.

    Notes
    -----
    Channels come first in the file, as is usual in ONNX: input ``density`` and output ``scores``
    are (n, channels, H, W). Strides must divide the height and width of the input. Normalisation
    is folded into the convolution before it. Keras' own export needs a package for each backend
    and leaves normalisation in the graph.

    Examples
    --------
    >>> from hemafeat import networks
    >>> networks.export_onnx(networks.unet((8, 16)), "unet.onnx").name
    'unet.onnx'
    """
    try:
        onnx: Any = import_module("onnx")
    except ImportError as error:
        raise ImportError(
            f"writing ONNX needs the package onnx: pip install onnx ({error})"
        ) from None
    graph = Graph(onnx)
    for layer in model.layers:
        graph.add(layer)
    tensors = []
    for name, tensor in (("density", model.inputs[0]), ("scores", model.outputs[0])):
        n, height, width, channels = tensor.shape
        sizes = [n or "n", channels, height or "height", width or "width"]
        tensors.append(graph.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sizes))
    graph.node("Identity", [graph.names[id(model.outputs[0])]], "scores")
    proto = graph.proto(model.name, *tensors)
    for key, value in sorted((notes or {}).items()):
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(proto, full_check=True)
    path = Path(path)
    data = proto.SerializeToString()
    write_whole(path, lambda part: part.write_bytes(data))
    return path


class Graph:
    """Nodes and weights of an ONNX graph, to which Keras layers are added one by one.

    A method ``_kind`` in lower case writes layers of the Keras class ``Kind``. It takes the layer
    and the names of its inputs and returns the name of its output.
    """

    def __init__(self, onnx: Any) -> None:
        self.helper, self.numpy = onnx.helper, onnx.numpy_helper
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self._index: dict[str, int] = {}
        self.names: dict[int, str] = {}
        # Convolutions into which a following normalisation can be folded.
        self.foldable: dict[str, tuple[Any, np.ndarray, np.ndarray, int]] = {}

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
        """Append a node that is called like its output."""
        node = self.helper.make_node(kind, inputs, [output], name=output, **attributes)
        self.nodes.append(node)
        return node

    def weight(self, name: str, values: np.ndarray) -> str:
        """Store an array under `name`, in place of an earlier one of that name; return the name."""
        array = self.numpy.from_array(np.ascontiguousarray(values), name)
        if name in self._index:
            self.weights[self._index[name]] = array
        else:
            self._index[name] = len(self.weights)
            self.weights.append(array)
        return name

    def proto(self, name: str, source: Any, target: Any) -> Any:
        """Build the ONNX model from the information on its input and output."""
        graph = self.helper.make_graph(self.nodes, name, [source], [target], self.weights)
        opsets = [self.helper.make_opsetid("", OPSET)]
        proto = self.helper.make_model(graph, opset_imports=opsets, producer_name="hemafeat")
        proto.ir_version = 8
        return proto

    def add(self, layer: Any) -> None:
        """Write a layer whose inputs have been written."""
        kind = type(layer).__name__
        if kind == "InputLayer":
            self.names[id(layer.output)] = "density"
            return
        write = getattr(self, f"_{kind.lower()}", None)
        if write is None:
            raise ValueError(f"layer {layer.name!r} is a {kind}, which cannot be written as ONNX")
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        names = [self.names[id(tensor)] for tensor in inputs]
        self.names[id(layer.output)] = write(layer, names)

    def _convolution(
        self,
        layer: Any,
        inputs: list[str],
        kernel: np.ndarray,
        n_out: int,
        out_axis: int,
        **attributes: Any,
    ) -> str:
        bias = values_of(layer.bias) if layer.use_bias else np.zeros(n_out)
        bias = bias.astype(np.float32)
        kind = "ConvTranspose" if type(layer).__name__ == "Conv2DTranspose" else "Conv"
        inputs = [
            inputs[0],
            self.weight(f"{layer.name}.kernel", kernel),
            self.weight(f"{layer.name}.bias", bias),
        ]
        name = str(layer.name)
        # ONNX does not need the shape of the kernel, but OpenCV 4 does.
        shape = list(kernel.shape[2:])
        self.node(kind, inputs, name, kernel_shape=shape, strides=list(layer.strides), **attributes)
        self.foldable[name] = (layer, kernel, bias, out_axis)
        return self._add_activation(layer, name)

    def _add_activation(self, layer: Any, name: str) -> str:
        active = layer.activation.__name__
        if active == "linear":
            return name
        if active != "relu":
            raise ValueError(f"layer {layer.name!r}: activation {active!r} cannot be written")
        self.node("Relu", [name], f"{name}.relu")
        return f"{name}.relu"

    def _conv2d(self, layer: Any, inputs: list[str]) -> str:
        kernel = values_of(layer.kernel).transpose(3, 2, 0, 1)
        return self._convolution(layer, inputs, kernel, kernel.shape[0], 0, **_window(layer))

    def _depthwiseconv2d(self, layer: Any, inputs: list[str]) -> str:
        kernel = values_of(layer.kernel)
        if kernel.shape[3] != 1:
            raise ValueError(f"layer {layer.name!r}: a depth multiplier cannot be written")
        kernel = kernel.transpose(2, 3, 0, 1)
        n = kernel.shape[0]
        return self._convolution(layer, inputs, kernel, n, 0, group=n, **_window(layer))

    def _conv2dtranspose(self, layer: Any, inputs: list[str]) -> str:
        kernel = values_of(layer.kernel).transpose(3, 2, 0, 1)
        size, step = layer.kernel_size[0], layer.strides[0]
        if layer.padding != "same" or (size - step) % 2:
            raise ValueError(f"layer {layer.name!r}: this padding cannot be written")
        pads = [(size - step) // 2] * 4
        return self._convolution(layer, inputs, kernel, kernel.shape[1], 1, pads=pads)

    def _batchnormalization(self, layer: Any, inputs: list[str]) -> str:
        scale = values_of(layer.gamma) / np.sqrt(values_of(layer.moving_variance) + layer.epsilon)
        shift = values_of(layer.beta) - values_of(layer.moving_mean) * scale
        if inputs[0] not in self.foldable:
            raise ValueError(f"layer {layer.name!r} does not follow a convolution")
        before, kernel, bias, axis = self.foldable.pop(inputs[0])
        along = [1] * kernel.ndim
        along[axis] = -1
        self.weight(f"{before.name}.kernel", (kernel * scale.reshape(along)).astype(np.float32))
        self.weight(f"{before.name}.bias", (bias * scale + shift).astype(np.float32))
        return inputs[0]

    def _relu(self, layer: Any, inputs: list[str]) -> str:
        self.node("Relu", inputs, str(layer.name))
        return str(layer.name)

    def _maxpooling2d(self, layer: Any, inputs: list[str]) -> str:
        window = {"kernel_shape": list(layer.pool_size), "strides": list(layer.strides)}
        self.node("MaxPool", inputs, str(layer.name), **window)
        return str(layer.name)

    def _upsampling2d(self, layer: Any, inputs: list[str]) -> str:
        if layer.interpolation != "nearest":
            raise ValueError(f"layer {layer.name!r}: only nearest neighbours can be written")
        scales = np.array([1.0, 1.0, *layer.size], np.float32)
        arguments = [inputs[0], "", self.weight(f"{layer.name}.scales", scales)]
        self.node(
            "Resize",
            arguments,
            str(layer.name),
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        return str(layer.name)

    def _concatenate(self, layer: Any, inputs: list[str]) -> str:
        self.node("Concat", inputs, str(layer.name), axis=1)
        return str(layer.name)

    def _add(self, layer: Any, inputs: list[str]) -> str:
        self.node("Add", inputs, str(layer.name))
        return str(layer.name)

    def _dropout(self, layer: Any, inputs: list[str]) -> str:
        return inputs[0]


def values_of(variable: Any) -> np.ndarray:
    """Return the values of a Keras variable as an array."""
    from keras import ops

    return np.asarray(ops.convert_to_numpy(variable))


def _window(layer: Any) -> dict[str, Any]:
    """Return padding and dilation of a convolution."""
    size, dilation = layer.kernel_size, layer.dilation_rate
    # The strides divide the size of the image.
    reach = [
        max(0, d * (k - 1) + 1 - s) for k, d, s in zip(size, dilation, layer.strides, strict=True)
    ]
    before = [r // 2 if layer.padding == "same" else 0 for r in reach]
    after = [r - r // 2 if layer.padding == "same" else 0 for r in reach]
    return {"pads": before + after, "dilations": list(dilation)}
