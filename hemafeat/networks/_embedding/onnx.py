"""Conversion of backbones to ONNX, for runtimes that are faster than Keras."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from hemafeat.networks._onnx import Graph, values_of

IMAGE, EMBEDDING = "image", "embedding"


def onnx_bytes(model: Any) -> bytes:
    """Convert a network that ends in a vector to ONNX.

    Parameters
    ----------
    model : keras.Model
        Network with one input (n, H, W, channels) of a fixed size and one output (n, width).

    Returns
    -------
    bytes
        Content of an ONNX file. Input ``image`` is (n, channels, H, W) float32 of 0 to 255, output
        ``embedding`` is (n, width).

    Raises
    ------
    ImportError
        The package onnx is not installed.
    ValueError
        The network has a layer that cannot be written; the message names it.

    Notes
    -----
    Keras' own export needs a package for each backend. This one reads layers and weights only, so
    that the result is the same on every backend.
    """
    onnx: Any = import_module("onnx")
    graph = _BackboneGraph(onnx)
    source, target = model.inputs[0], model.outputs[0]
    graph.names[id(source)] = IMAGE
    try:
        graph.add_layers(model)
    except (AttributeError, KeyError) as error:  # a layer that is used twice or of another kind
        raise ValueError(f"{model.name} cannot be written as ONNX ({error!r})") from error
    graph.node("Identity", [graph.names[id(target)]], EMBEDDING)
    n, height, width, channels = source.shape
    kind = onnx.TensorProto.FLOAT
    first = graph.helper.make_tensor_value_info(IMAGE, kind, [n or "n", channels, height, width])
    last = graph.helper.make_tensor_value_info(EMBEDDING, kind, [n or "n", target.shape[-1]])
    proto = graph.proto(model.name, first, last)
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


class _BackboneGraph(Graph):
    """Graph that can hold the layers of backbones as well."""

    def add_layers(self, model: Any) -> None:
        """Write all layers of a model whose input has been written."""
        for layer in model.layers:
            if type(layer).__name__ != "InputLayer":
                self.add(layer)

    def add(self, layer: Any) -> None:
        """Write a layer or a nested model."""
        if not hasattr(layer, "layers"):
            super().add(layer)
            return
        # The tensors inside a nested model are not those it is connected to.
        node = layer._inbound_nodes[-1]
        self.names[id(layer.inputs[0])] = self.names[id(node.input_tensors[0])]
        self.add_layers(layer)
        self.names[id(node.outputs[0])] = self.names[id(layer.outputs[0])]

    def _scaledimage(self, layer: Any, inputs: list[str]) -> str:
        from hemafeat.networks._layers import IMAGENET_BGR_MEAN, IMAGENET_MEAN, IMAGENET_STD

        if layer.mode == "caffe":
            return self._affine(layer.name, inputs, np.eye(3)[::-1], -np.asarray(IMAGENET_BGR_MEAN))
        if layer.mode == "torch":
            deviation = np.asarray(IMAGENET_STD)
            scale = np.diag(1.0 / (255.0 * deviation))
            return self._affine(layer.name, inputs, scale, -np.asarray(IMAGENET_MEAN) / deviation)
        by, shift = (1 / 255.0, 0.0) if layer.mode == "unit" else (1 / 127.5, -1.0)
        return self._affine(layer.name, inputs, np.eye(3) * by, np.full(3, shift))

    def _affine(self, name: str, inputs: list[str], matrix: np.ndarray, shift: np.ndarray) -> str:
        """Add a 1 x 1 convolution over the channels."""
        kernel = matrix.astype(np.float32).reshape(*matrix.shape, 1, 1)
        inputs = [
            inputs[0],
            self.weight(f"{name}.kernel", kernel),
            self.weight(f"{name}.bias", shift.astype(np.float32)),
        ]
        # OpenCV 4 needs the shape of the kernel.
        self.node("Conv", inputs, name, kernel_shape=[1, 1])
        return name

    def _rescaling(self, layer: Any, inputs: list[str]) -> str:
        channels = layer.output.shape[-1]
        scale = np.broadcast_to(np.asarray(layer.scale, np.float64), channels)
        offset = np.broadcast_to(np.asarray(layer.offset, np.float64), channels)
        return self._affine(layer.name, inputs, np.diag(scale), offset)

    def _normalization(self, layer: Any, inputs: list[str]) -> str:
        if layer.invert:
            raise ValueError(f"layer {layer.name!r}: inverted normalisation cannot be written")
        mean, variance = (values_of(v).ravel() for v in (layer.mean, layer.variance))
        scale = 1.0 / np.maximum(np.sqrt(variance), 1e-7)
        channels = layer.output.shape[-1]
        scale, mean = np.broadcast_to(scale, channels), np.broadcast_to(mean, channels)
        return self._affine(layer.name, inputs, np.diag(scale), -mean * scale)

    def _window(self, layer: Any) -> dict[str, Any]:
        """Return the attributes of a sliding window."""
        kernel = getattr(layer, "kernel_size", None) or layer.pool_size
        strides = list(layer.strides)
        dilation = list(getattr(layer, "dilation_rate", (1, 1)))
        attributes: dict[str, Any] = {"kernel_shape": list(kernel), "strides": strides}
        if dilation != [1, 1]:
            attributes["dilations"] = dilation
        if layer.padding == "same":
            # TensorFlow puts the odd pixel of padding at the right and at the bottom.
            before, after = [], []
            for side, k, s, d in zip(
                layer.input.shape[1:3], kernel, strides, dilation, strict=True
            ):
                span = (k - 1) * d + 1
                total = max((-(-side // s) - 1) * s + span - side, 0)
                before.append(total // 2)
                after.append(total - total // 2)
            attributes["pads"] = before + after
        return attributes

    def _conv2d(self, layer: Any, inputs: list[str]) -> str:
        kernel = values_of(layer.kernel).transpose(3, 2, 0, 1)
        window = self._window(layer)
        if layer.groups != 1:
            window["group"] = layer.groups
        return self._add_convolution(layer, inputs, kernel, window)

    def _depthwiseconv2d(self, layer: Any, inputs: list[str]) -> str:
        window = self._window(layer)
        kernel = _depthwise(layer, values_of(layer.kernel))
        return self._add_convolution(layer, inputs, kernel, {**window, "group": kernel.shape[0]})

    def _separableconv2d(self, layer: Any, inputs: list[str]) -> str:
        window = self._window(layer)
        kernel = _depthwise(layer, values_of(layer.depthwise_kernel))
        name = f"{layer.name}.depthwise"
        inputs = [inputs[0], self.weight(f"{name}.kernel", kernel)]
        self.node("Conv", inputs, name, group=kernel.shape[0], **window)
        pointwise = values_of(layer.pointwise_kernel).transpose(3, 2, 0, 1)
        return self._add_convolution(layer, [name], pointwise, {"kernel_shape": [1, 1]})

    def _add_convolution(
        self, layer: Any, inputs: list[str], kernel: np.ndarray, window: dict[str, Any]
    ) -> str:
        n_out = kernel.shape[0]
        bias = values_of(layer.bias) if layer.use_bias else np.zeros(n_out, np.float32)
        name = str(layer.name)
        inputs = [
            inputs[0],
            self.weight(f"{name}.kernel", kernel),
            self.weight(f"{name}.bias", bias),
        ]
        self.node("Conv", inputs, name, **window)
        if layer.activation.__name__ == "linear" and len(layer._outbound_nodes) == 1:
            self.foldable[name] = (layer, kernel, bias, 0)
        return self._add_activation(layer, name)

    def _batchnormalization(self, layer: Any, inputs: list[str]) -> str:
        mean, variance = values_of(layer.moving_mean), values_of(layer.moving_variance)
        scale = 1.0 / np.sqrt(variance + layer.epsilon)
        if layer.scale:
            scale = scale * values_of(layer.gamma)
        shift = -mean * scale
        if layer.center:
            shift = shift + values_of(layer.beta)
        if inputs[0] in self.foldable:
            before, kernel, bias, _ = self.foldable.pop(inputs[0])
            folded = kernel * scale.reshape(-1, 1, 1, 1)
            self.weight(f"{before.name}.kernel", folded.astype(np.float32))
            self.weight(f"{before.name}.bias", (bias * scale + shift).astype(np.float32))
            return inputs[0]
        name = str(layer.name)
        shape = (1, -1, 1, 1) if len(layer.output.shape) == 4 else (1, -1)
        by = self.weight(f"{name}.scale", scale.reshape(shape).astype(np.float32))
        to = self.weight(f"{name}.shift", shift.reshape(shape).astype(np.float32))
        self.node("Mul", [inputs[0], by], f"{name}.scaled")
        self.node("Add", [f"{name}.scaled", to], name)
        return name

    def _add_activation(self, layer: Any, name: str, kind: str | None = None) -> str:
        """Apply the activation of `layer` to the tensor called `name`."""
        kind = layer.activation.__name__ if kind is None else kind
        out = f"{name}.{kind}"
        if kind == "linear":
            return name
        if kind in ("relu", "sigmoid"):
            self.node(kind.capitalize(), [name], out)
        elif kind in ("silu", "swish"):
            self.node("Sigmoid", [name], f"{name}.gate")
            self.node("Mul", [name, f"{name}.gate"], out)
        elif kind == "relu6":
            bounds = [self.weight(f"{out}.{v}", np.array(v, np.float32)) for v in (0, 6)]
            self.node("Clip", [name, *bounds], out)
        elif kind == "softmax":
            self.node("Softmax", [name], out, axis=1)
        else:
            raise ValueError(f"layer {layer.name!r}: activation {kind!r} cannot be written")
        return out

    def _activation(self, layer: Any, inputs: list[str]) -> str:
        return self._add_activation(layer, self._copy(layer, inputs[0]))

    def _copy(self, layer: Any, name: str) -> str:
        """Copy a tensor under the name of `layer`, so that names derived from it are unique."""
        self.node("Identity", [name], str(layer.name))
        return str(layer.name)

    def _relu(self, layer: Any, inputs: list[str]) -> str:
        if layer.negative_slope or layer.threshold or layer.max_value not in (None, 6):
            raise ValueError(f"layer {layer.name!r}: this ReLU cannot be written")
        return self._add_activation(
            layer, self._copy(layer, inputs[0]), "relu" if layer.max_value is None else "relu6"
        )

    def _maxpooling2d(self, layer: Any, inputs: list[str]) -> str:
        window = self._window(layer)
        self.node("MaxPool", inputs, str(layer.name), **window)
        return str(layer.name)

    def _averagepooling2d(self, layer: Any, inputs: list[str]) -> str:
        window = self._window(layer)
        # Keras does not count pixels outside the image.
        self.node("AveragePool", inputs, str(layer.name), count_include_pad=0, **window)
        return str(layer.name)

    def _globalaveragepooling2d(self, layer: Any, inputs: list[str]) -> str:
        name = str(layer.name)
        if layer.keepdims:
            self.node("GlobalAveragePool", inputs, name)
            return name
        self.node("GlobalAveragePool", inputs, f"{name}.maps")
        self.node("Flatten", [f"{name}.maps"], name, axis=1)
        return name

    def _zeropadding2d(self, layer: Any, inputs: list[str]) -> str:
        (top, bottom), (left, right) = layer.padding
        pads = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
        inputs = [inputs[0], self.weight(f"{layer.name}.pads", pads)]
        self.node("Pad", inputs, str(layer.name), mode="constant")
        return str(layer.name)

    def _multiply(self, layer: Any, inputs: list[str]) -> str:
        self.node("Mul", inputs, str(layer.name))
        return str(layer.name)

    def _customscalelayer(self, layer: Any, inputs: list[str]) -> str:
        # InceptionResNetV2 adds a share of the second input to the first one.
        name = str(layer.name)
        by = self.weight(f"{name}.share", np.array(layer.scale, np.float32))
        self.node("Mul", [inputs[1], by], f"{name}.scaled")
        self.node("Add", [inputs[0], f"{name}.scaled"], name)
        return name

    def _reshape(self, layer: Any, inputs: list[str]) -> str:
        name, before, after = str(layer.name), layer.input.shape, layer.output.shape
        if len(after) == 4 and after[1:3] == (1, 1):
            sizes = [0, after[3], 1, 1]
        elif len(after) == 2 and (len(before) == 2 or before[1:3] == (1, 1)):
            sizes = [0, after[1]]
        else:
            raise ValueError(f"layer {name!r}: this reshape cannot be written")
        inputs = [inputs[0], self.weight(f"{name}.sizes", np.array(sizes, np.int64))]
        self.node("Reshape", inputs, name)
        return name

    def _flatten(self, layer: Any, inputs: list[str]) -> str:
        name, source = str(layer.name), inputs[0]
        if len(layer.input.shape) == 4:
            # Keras flattens in the order row, column, channel.
            self.node("Transpose", inputs, f"{name}.last", perm=[0, 2, 3, 1])
            source = f"{name}.last"
        self.node("Flatten", [source], name, axis=1)
        return name

    def _dense(self, layer: Any, inputs: list[str]) -> str:
        if len(layer.input.shape) != 2:
            raise ValueError(f"layer {layer.name!r}: a dense layer on maps cannot be written")
        name = str(layer.name)
        inputs = [inputs[0], self.weight(f"{name}.kernel", values_of(layer.kernel))]
        if layer.use_bias:
            inputs.append(self.weight(f"{name}.bias", values_of(layer.bias)))
        self.node("Gemm", inputs, name)
        return self._add_activation(layer, name)


def _depthwise(layer: Any, kernel: np.ndarray) -> np.ndarray:
    if kernel.shape[3] != 1:
        raise ValueError(f"layer {layer.name!r}: a depth multiplier cannot be written")
    return kernel.transpose(2, 3, 0, 1)
