"""Export of convolutional Keras networks to ONNX, which OpenCV and ONNX Runtime run."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from hemafeat._files import write_whole
from hemafeat._machine import how_to_install

OPSET = 13


def export_onnx(
    model: Any,
    path: str | os.PathLike[str],
    *,
    blocks: bool = False,
    notes: dict[str, str] | None = None,
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
    blocks : bool
        If True, the pixels of a last Conv2DTranspose whose kernel is as large as its stride s are
        left in blocks: the output is (n, channels * s * s, H / s, W / s), from which ONNX's
        DepthToSpace (mode CRD) makes an image. `hemafeat.segment.unet` does so itself, and OpenCV
        needs a fraction of the time for such a layer. Default False.
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
    is folded into the convolution before it, and a convolution of an image whose kernel is a
    multiple of its stride is written as one of blocks of pixels, which OpenCV runs faster. Keras'
    own export needs a package for each backend and leaves normalisation in the graph.

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
            f"writing ONNX needs the package onnx: {how_to_install('onnx')} ({error})"
        ) from None
    last = model.layers[-1]
    is_blocks = (
        blocks
        and type(last).__name__ == "Conv2DTranspose"
        and tuple(last.kernel_size) == tuple(last.strides)
    )
    graph = Graph(onnx, last.name if is_blocks else "")
    for layer in model.layers:
        graph.add(layer)
    tensors = []
    for name, tensor in (("density", model.inputs[0]), ("scores", model.outputs[0])):
        n, height, width, channels = tensor.shape
        sizes = [n or "n", channels, height or "height", width or "width"]
        if is_blocks and name == "scores":
            step = last.strides[0]
            sizes = [n or "n", channels * step * step, "rows", "columns"]
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
    and the names of its inputs and returns the name of its output. The pixels of the transposed
    convolution called `in_blocks` are left in blocks.
    """

    def __init__(self, onnx: Any, in_blocks: str = "") -> None:
        self.helper, self.numpy = onnx.helper, onnx.numpy_helper
        self.in_blocks = in_blocks
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
        bias: np.ndarray,
        out_axis: int = 0,
        kind: str = "Conv",
        **attributes: Any,
    ) -> str:
        inputs = [
            inputs[0],
            self.weight(f"{layer.name}.kernel", kernel),
            self.weight(f"{layer.name}.bias", bias),
        ]
        name = str(layer.name)
        # ONNX does not need the shape of the kernel, but OpenCV 4 does.
        self.node(kind, inputs, name, kernel_shape=list(kernel.shape[2:]), **attributes)
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
        n, channels, size, width = kernel.shape
        window = _window(layer)
        step = layer.strides[0]
        if (
            channels == 3
            and layer.padding == "same"
            and size == width > step > 1
            and window["strides"] == [step, step]
            and window["dilations"] == [1, 1]
            and size % step == 0
        ):
            blocks = size // step
            inputs = [self._blocks_of(inputs[0], channels, step, window["pads"])]
            kernel = kernel.reshape(n, channels, blocks, step, blocks, step)
            kernel = kernel.transpose(0, 1, 3, 5, 2, 4).reshape(n, -1, blocks, blocks)
            window |= {"pads": [0] * 4, "strides": [1, 1]}
        return self._convolution(layer, inputs, kernel, _bias(layer, n), **window)

    def _blocks_of(self, name: str, channels: int, step: int, pads: list[int]) -> str:
        """Move the pixels of each block of `step` x `step` into channels; return the output."""
        # OpenCV reads SpaceToDepth only for images of one size, a convolution for any.
        n = channels * step * step
        kernel = np.eye(n, dtype=np.float32).reshape(n, channels, step, step)
        output = f"{name}.blocks"
        self.node(
            "Conv",
            [name, self.weight(f"{output}.kernel", kernel)],
            output,
            kernel_shape=[step, step],
            strides=[step, step],
            pads=pads,
        )
        return output

    def _depthwiseconv2d(self, layer: Any, inputs: list[str]) -> str:
        kernel = values_of(layer.kernel)
        if kernel.shape[3] != 1:
            raise ValueError(f"layer {layer.name!r}: a depth multiplier cannot be written")
        kernel = kernel.transpose(2, 3, 0, 1)
        n = kernel.shape[0]
        return self._convolution(layer, inputs, kernel, _bias(layer, n), group=n, **_window(layer))

    def _conv2dtranspose(self, layer: Any, inputs: list[str]) -> str:
        kernel = values_of(layer.kernel).transpose(3, 2, 0, 1)
        size, step = layer.kernel_size[0], layer.strides[0]
        if layer.padding != "same" or (size - step) % 2:
            raise ValueError(f"layer {layer.name!r}: this padding cannot be written")
        bias = _bias(layer, kernel.shape[1])
        if layer.name == self.in_blocks:
            kernel = kernel.reshape(len(kernel), -1, 1, 1).swapaxes(0, 1)
            return self._convolution(layer, inputs, kernel, bias.repeat(step * step))
        pads = [(size - step) // 2] * 4
        return self._convolution(
            layer, inputs, kernel, bias, 1, "ConvTranspose", strides=list(layer.strides), pads=pads
        )

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


def _bias(layer: Any, n: int) -> np.ndarray:
    """Return the bias of the `n` channels of a convolution: 0 if it has none."""
    return values_of(layer.bias).astype(np.float32) if layer.use_bias else np.zeros(n, np.float32)


def _window(layer: Any) -> dict[str, Any]:
    """Return stride, padding and dilation of a convolution."""
    size, dilation = layer.kernel_size, layer.dilation_rate
    # The strides divide the size of the image.
    reach = [
        max(0, d * (k - 1) + 1 - s) for k, d, s in zip(size, dilation, layer.strides, strict=True)
    ]
    before = [r // 2 if layer.padding == "same" else 0 for r in reach]
    after = [r - r // 2 if layer.padding == "same" else 0 for r in reach]
    return {"strides": list(layer.strides), "pads": before + after, "dilations": list(dilation)}
