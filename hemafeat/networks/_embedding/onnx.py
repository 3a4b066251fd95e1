"""The networks of keras.applications as ONNX, for quicker runtimes than Keras."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from hemafeat.networks._onnx import OPSET, _Graph, _values

IMAGE, EMBEDDING = "image", "embedding"


def onnx_bytes(model: Any) -> bytes:
    """A network that ends in a vector, as ONNX.

    Parameters
    ----------
    model : keras.Model
        One input (n, H, W, channels) of a fixed size and one output (n, width).

    Returns
    -------
    bytes
        Input ``image`` is (n, channels, H, W) float32 of 0 to 255, output ``embedding`` (n, width).

    Raises
    ------
    ImportError
        The package onnx is not installed.
    ValueError
        A layer that cannot be written, by name.

    Notes
    -----
    Keras' own export asks TensorFlow or PyTorch for their graphs and needs a package for each; this
    reads layers and weights only, and so is the same on every backend.
    """
    onnx: Any = import_module("onnx")
    graph = _Backbone(onnx)
    given, made = model.inputs[0], model.outputs[0]
    graph.names[id(given)] = IMAGE
    try:
        graph.model(model)
    except (AttributeError, KeyError) as error:  # a layer that is used twice, or of no known kind
        raise ValueError(f"{model.name} cannot be written as ONNX ({error!r})") from error
    graph.node("Identity", [graph.names[id(made)]], EMBEDDING)
    n, height, width, channels = given.shape
    kind = onnx.TensorProto.FLOAT
    first = graph.helper.make_tensor_value_info(IMAGE, kind, [n or "n", channels, height, width])
    last = graph.helper.make_tensor_value_info(EMBEDDING, kind, [n or "n", made.shape[-1]])
    whole = graph.helper.make_graph(graph.nodes, model.name, [first], [last], graph.weights)
    proto = graph.helper.make_model(
        whole, opset_imports=[graph.helper.make_opsetid("", OPSET)], producer_name="hemafeat"
    )
    proto.ir_version = 8
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


class _Backbone(_Graph):
    """Adds the layers that classifiers have beside those of a U-Net."""

    def model(self, model: Any) -> None:
        """Every layer of `model`, its input known already."""
        for layer in model.layers:
            if type(layer).__name__ != "InputLayer":
                self.add(layer)

    def weight(self, name: str, values: np.ndarray) -> str:
        # Not looked for among all: there are a thousand. Normalisation replaces by `folded`.
        known = {one.name for one in self.weights[-4:]}
        if name in known:
            return super().weight(name, values)
        self.weights.append(self.numpy.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, layer: Any) -> None:
        if not hasattr(layer, "layers"):
            super().add(layer)
            return
        # A network within: its own input and output are not those of the place it stands at.
        place = layer._inbound_nodes[-1]
        self.names[id(layer.inputs[0])] = self.names[id(place.input_tensors[0])]
        self.model(layer)
        self.names[id(place.outputs[0])] = self.names[id(layer.outputs[0])]

    def _scaledimage(self, layer: Any, given: list[str]) -> str:
        from hemafeat.networks._layers import _CAFFE, _TORCH_MEAN, _TORCH_STD

        if layer.mode == "caffe":
            return self._affine(layer.name, given, np.eye(3)[::-1], -np.asarray(_CAFFE))
        if layer.mode == "torch":
            deviation = np.asarray(_TORCH_STD)
            scale = np.diag(1.0 / (255.0 * deviation))
            return self._affine(layer.name, given, scale, -np.asarray(_TORCH_MEAN) / deviation)
        by, shift = (1 / 255.0, 0.0) if layer.mode == "unit" else (1 / 127.5, -1.0)
        return self._affine(layer.name, given, np.eye(3) * by, np.full(3, shift))

    def _affine(self, name: str, given: list[str], matrix: np.ndarray, shift: np.ndarray) -> str:
        """A convolution of 1 x 1 over the channels."""
        kernel = matrix.astype(np.float32).reshape(*matrix.shape, 1, 1)
        inputs = [
            given[0],
            self.weight(f"{name}.kernel", kernel),
            self.weight(f"{name}.bias", shift.astype(np.float32)),
        ]
        # OpenCV 4 asks for the shape of the kernel.
        self.node("Conv", inputs, name, kernel_shape=[1, 1])
        return name

    def _rescaling(self, layer: Any, given: list[str]) -> str:
        channels = layer.output.shape[-1]
        scale = np.broadcast_to(np.asarray(layer.scale, np.float64), channels)
        offset = np.broadcast_to(np.asarray(layer.offset, np.float64), channels)
        return self._affine(layer.name, given, np.diag(scale), offset)

    def _normalization(self, layer: Any, given: list[str]) -> str:
        if layer.invert:
            raise ValueError(f"layer {layer.name!r}: inverted normalisation cannot be written")
        mean, variance = (_values(v).ravel() for v in (layer.mean, layer.variance))
        scale = 1.0 / np.maximum(np.sqrt(variance), 1e-7)
        channels = layer.output.shape[-1]
        scale, mean = np.broadcast_to(scale, channels), np.broadcast_to(mean, channels)
        return self._affine(layer.name, given, np.diag(scale), -mean * scale)

    def _padded(self, layer: Any, given: list[str]) -> tuple[list[str], dict[str, Any]]:
        """Input and attributes of a sliding window."""
        kernel = getattr(layer, "kernel_size", None) or layer.pool_size
        strides = list(layer.strides)
        dilation = list(getattr(layer, "dilation_rate", (1, 1)))
        found: dict[str, Any] = {"kernel_shape": list(kernel), "strides": strides}
        if dilation != [1, 1]:
            found["dilations"] = dilation
        if layer.padding == "same":
            # As TensorFlow pads: what is odd goes to the right and below.
            before, after = [], []
            for side, k, s, d in zip(
                layer.input.shape[1:3], kernel, strides, dilation, strict=True
            ):
                span = (k - 1) * d + 1
                total = max((-(-side // s) - 1) * s + span - side, 0)
                before.append(total // 2)
                after.append(total - total // 2)
            found["pads"] = before + after
        return given, found

    def _conv2d(self, layer: Any, given: list[str]) -> str:
        kernel = _values(layer.kernel).transpose(3, 2, 0, 1)
        given, window = self._padded(layer, given)
        if layer.groups != 1:
            window["group"] = layer.groups
        return self._convolution_of(layer, given, kernel, window)

    def _depthwiseconv2d(self, layer: Any, given: list[str]) -> str:
        given, window = self._padded(layer, given)
        kernel = _depthwise(layer, _values(layer.kernel))
        return self._convolution_of(layer, given, kernel, {**window, "group": kernel.shape[0]})

    def _separableconv2d(self, layer: Any, given: list[str]) -> str:
        given, window = self._padded(layer, given)
        kernel = _depthwise(layer, _values(layer.depthwise_kernel))
        name = f"{layer.name}.depthwise"
        inputs = [given[0], self.weight(f"{name}.kernel", kernel)]
        self.node("Conv", inputs, name, group=kernel.shape[0], **window)
        pointwise = _values(layer.pointwise_kernel).transpose(3, 2, 0, 1)
        return self._convolution_of(layer, [name], pointwise, {"kernel_shape": [1, 1]})

    def _convolution_of(
        self, layer: Any, given: list[str], kernel: np.ndarray, window: dict[str, Any]
    ) -> str:
        n_out = kernel.shape[0]
        bias = _values(layer.bias) if layer.use_bias else np.zeros(n_out, np.float32)
        name = str(layer.name)
        inputs = [
            given[0],
            self.weight(f"{name}.kernel", kernel),
            self.weight(f"{name}.bias", bias),
        ]
        self.node("Conv", inputs, name, **window)
        if layer.activation.__name__ == "linear" and len(layer._outbound_nodes) == 1:
            self.open[name] = (layer, kernel, bias, 0)
        return self._active(layer, name)

    def _batchnormalization(self, layer: Any, given: list[str]) -> str:
        mean, variance = _values(layer.moving_mean), _values(layer.moving_variance)
        scale = 1.0 / np.sqrt(variance + layer.epsilon)
        if layer.scale:
            scale = scale * _values(layer.gamma)
        shift = -mean * scale
        if layer.center:
            shift = shift + _values(layer.beta)
        if given[0] in self.open:
            before, kernel, bias, _ = self.open.pop(given[0])
            folded = kernel * scale.reshape(-1, 1, 1, 1)
            self._replace(f"{before.name}.kernel", folded.astype(np.float32))
            self._replace(f"{before.name}.bias", (bias * scale + shift).astype(np.float32))
            return given[0]
        name = str(layer.name)
        shape = (1, -1, 1, 1) if len(layer.output.shape) == 4 else (1, -1)
        by = self.weight(f"{name}.scale", scale.reshape(shape).astype(np.float32))
        to = self.weight(f"{name}.shift", shift.reshape(shape).astype(np.float32))
        self.node("Mul", [given[0], by], f"{name}.scaled")
        self.node("Add", [f"{name}.scaled", to], name)
        return name

    def _replace(self, name: str, values: np.ndarray) -> None:
        # What is folded was written a moment ago.
        for place in range(len(self.weights) - 1, -1, -1):
            if self.weights[place].name == name:
                self.weights[place] = self.numpy.from_array(np.ascontiguousarray(values), name)
                return

    def _active(self, layer: Any, name: str, kind: str | None = None) -> str:
        """The activation of `layer` applied to what is called `name`."""
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

    def _activation(self, layer: Any, given: list[str]) -> str:
        return self._active(layer, self._as(layer, given[0]))

    def _as(self, layer: Any, given: str) -> str:
        """`given` under the name of `layer`, so that what is made of it has a name of its own."""
        self.node("Identity", [given], str(layer.name))
        return str(layer.name)

    def _relu(self, layer: Any, given: list[str]) -> str:
        if layer.negative_slope or layer.threshold or layer.max_value not in (None, 6):
            raise ValueError(f"layer {layer.name!r}: this ReLU cannot be written")
        return self._active(
            layer, self._as(layer, given[0]), "relu" if layer.max_value is None else "relu6"
        )

    def _maxpooling2d(self, layer: Any, given: list[str]) -> str:
        given, window = self._padded(layer, given)
        self.node("MaxPool", given, str(layer.name), **window)
        return str(layer.name)

    def _averagepooling2d(self, layer: Any, given: list[str]) -> str:
        given, window = self._padded(layer, given)
        # What lies outside the image is not counted, as in Keras.
        self.node("AveragePool", given, str(layer.name), count_include_pad=0, **window)
        return str(layer.name)

    def _globalaveragepooling2d(self, layer: Any, given: list[str]) -> str:
        name = str(layer.name)
        if layer.keepdims:
            self.node("GlobalAveragePool", given, name)
            return name
        self.node("GlobalAveragePool", given, f"{name}.maps")
        self.node("Flatten", [f"{name}.maps"], name, axis=1)
        return name

    def _zeropadding2d(self, layer: Any, given: list[str]) -> str:
        (top, bottom), (left, right) = layer.padding
        pads = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
        inputs = [given[0], self.weight(f"{layer.name}.pads", pads)]
        self.node("Pad", inputs, str(layer.name), mode="constant")
        return str(layer.name)

    def _multiply(self, layer: Any, given: list[str]) -> str:
        self.node("Mul", given, str(layer.name))
        return str(layer.name)

    def _customscalelayer(self, layer: Any, given: list[str]) -> str:
        # Of InceptionResNetV2: the first input and a share of the second.
        name = str(layer.name)
        by = self.weight(f"{name}.share", np.array(layer.scale, np.float32))
        self.node("Mul", [given[1], by], f"{name}.scaled")
        self.node("Add", [given[0], f"{name}.scaled"], name)
        return name

    def _reshape(self, layer: Any, given: list[str]) -> str:
        name, before, after = str(layer.name), layer.input.shape, layer.output.shape
        if len(after) == 4 and after[1:3] == (1, 1):
            sizes = [0, after[3], 1, 1]
        elif len(after) == 2 and (len(before) == 2 or before[1:3] == (1, 1)):
            sizes = [0, after[1]]
        else:
            raise ValueError(f"layer {name!r}: this reshape cannot be written")
        inputs = [given[0], self.weight(f"{name}.sizes", np.array(sizes, np.int64))]
        self.node("Reshape", inputs, name)
        return name

    def _flatten(self, layer: Any, given: list[str]) -> str:
        name, source = str(layer.name), given[0]
        if len(layer.input.shape) == 4:
            # Keras lays out row, column, channel.
            self.node("Transpose", given, f"{name}.last", perm=[0, 2, 3, 1])
            source = f"{name}.last"
        self.node("Flatten", [source], name, axis=1)
        return name

    def _dense(self, layer: Any, given: list[str]) -> str:
        if len(layer.input.shape) != 2:
            raise ValueError(f"layer {layer.name!r}: a dense layer on maps cannot be written")
        name = str(layer.name)
        inputs = [given[0], self.weight(f"{name}.kernel", _values(layer.kernel))]
        if layer.use_bias:
            inputs.append(self.weight(f"{name}.bias", _values(layer.bias)))
        self.node("Gemm", inputs, name)
        return self._active(layer, name)


def _depthwise(layer: Any, kernel: np.ndarray) -> np.ndarray:
    if kernel.shape[3] != 1:
        raise ValueError(f"layer {layer.name!r}: a depth multiplier cannot be written")
    return kernel.transpose(2, 3, 0, 1)
