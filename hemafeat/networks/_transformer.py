"""The vision transformers of DINOv2 as layers, which are registered with `keras.saving`."""

from __future__ import annotations

from typing import Any

import numpy as np

from hemafeat.networks._keras import need_keras

need_keras("a layer of hemafeat.networks")  # the error names the extra

import keras  # noqa: E402

ops = keras.ops
_register = keras.saving.register_keras_serializable(package="hemafeat")


@_register
class PatchTokens(keras.layers.Layer):
    """Put the patches of an image in a row behind a class token, and add their positions."""

    file_names = ("cls_token", "pos_embed")
    """Names of the weights in files of PyTorch."""

    def build(self, input_shape: Any) -> None:
        """Create the class token and the positions."""
        _, rows, columns, width = input_shape
        start = keras.initializers.TruncatedNormal(stddev=0.02)
        self.token = self.add_weight(shape=(1, 1, width), initializer=start, name="token")
        self.positions = self.add_weight(
            shape=(1, 1 + rows * columns, width), initializer=start, name="positions"
        )

    def call(self, patches: Any) -> Any:
        """Convert (n, rows, columns, width) patches to (n, 1 + rows * columns, width) tokens."""
        _, rows, columns, width = patches.shape
        patches = ops.reshape(patches, (-1, rows * columns, width))
        token = ops.zeros_like(patches[:, :1]) + self.token
        return ops.concatenate([token, patches], axis=1) + self.positions


@_register
class FirstToken(keras.layers.Layer):
    """Return the class token of (n, n_tokens, width) tokens."""

    def call(self, tokens: Any) -> Any:
        """Return (n, width)."""
        return tokens[:, 0]


@_register
class TransformerBlock(keras.layers.Layer):
    """Add attention and a small network to tokens, each normalised before and scaled after.

    Parameters
    ----------
    n_heads : int
        Number of heads of the attention.
    n_hidden : int
        Width of the small network.
    gated : bool
        The small network multiplies by a gate (SwiGLU). By default it has a GELU.
    """

    def __init__(self, n_heads: int, n_hidden: int, gated: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n_heads, self.n_hidden, self.gated = n_heads, n_hidden, gated
        first, second = ("w12", "w3") if gated else ("fc1", "fc2")
        self.file_names = (
            *("norm1.weight", "norm1.bias", "attn.qkv.weight", "attn.qkv.bias"),
            *("attn.proj.weight", "attn.proj.bias", "ls1.gamma", "norm2.weight", "norm2.bias"),
            *(f"mlp.{first}.weight", f"mlp.{first}.bias"),
            *(f"mlp.{second}.weight", f"mlp.{second}.bias", "ls2.gamma"),
        )

    def build(self, input_shape: Any) -> None:
        """Create the weights, in the order of `file_names`."""
        width, hidden = int(input_shape[-1]), self.n_hidden
        shapes = [
            *((width,), (width,), (width, 3 * width), (3 * width,)),
            *((width, width), (width,), (width,), (width,), (width,)),
            *((width, hidden * (2 if self.gated else 1)), (hidden * (2 if self.gated else 1),)),
            *((hidden, width), (width,), (width,)),
        ]
        self.parts = []
        for name, shape in zip(self.file_names, shapes, strict=True):
            start: Any = keras.initializers.TruncatedNormal(stddev=0.02)
            if len(shape) == 1:
                start = "ones" if name in ("norm1.weight", "norm2.weight") else "zeros"
            if name.endswith("gamma"):
                start = keras.initializers.Constant(1e-5)
            self.parts.append(
                self.add_weight(shape=shape, initializer=start, name=name.replace(".", "_"))
            )

    def call(self, tokens: Any) -> Any:
        """Convert (n, n_tokens, width) tokens."""
        (scale_1, shift_1, kernel_qkv, bias_qkv, kernel_out, bias_out, gamma_1,
         scale_2, shift_2, kernel_1, bias_1, kernel_2, bias_2, gamma_2) = self.parts  # fmt: skip
        n_tokens, width = tokens.shape[1:]
        side = width // self.n_heads
        qkv = ops.matmul(_normal(tokens, scale_1, shift_1), kernel_qkv) + bias_qkv
        qkv = ops.reshape(qkv, (-1, n_tokens, 3, self.n_heads, side))
        query, key, value = (ops.transpose(qkv[:, :, i], (0, 2, 1, 3)) for i in range(3))
        near = ops.softmax(ops.matmul(query * side**-0.5, ops.transpose(key, (0, 1, 3, 2))))
        seen = ops.transpose(ops.matmul(near, value), (0, 2, 1, 3))
        seen = ops.reshape(seen, (-1, n_tokens, width))
        tokens = tokens + (ops.matmul(seen, kernel_out) + bias_out) * gamma_1
        x = ops.matmul(_normal(tokens, scale_2, shift_2), kernel_1) + bias_1
        if self.gated:
            x = ops.silu(x[..., : self.n_hidden]) * x[..., self.n_hidden :]
        else:
            x = ops.gelu(x, approximate=False)
        return tokens + (ops.matmul(x, kernel_2) + bias_2) * gamma_2

    def get_config(self) -> dict[str, Any]:
        """Return the parameters of the layer."""
        parameters = {"n_heads": self.n_heads, "n_hidden": self.n_hidden, "gated": self.gated}
        return {**super().get_config(), **parameters}


def _normal(tokens: Any, scale: Any, shift: Any) -> Any:
    """Normalise each token."""
    mean = ops.mean(tokens, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(tokens - mean), axis=-1, keepdims=True)
    return (tokens - mean) * ops.rsqrt(variance + 1e-6) * scale + shift


def resized_positions(positions: np.ndarray, n_tokens: int) -> np.ndarray:
    """Resize the positions of a square grid of patches, as DINOv2 does.

    Parameters
    ----------
    positions : (1, 1 + side * side, width) ndarray
        Positions of the class token and of the patches.
    n_tokens : int
        Number of tokens of another square grid, with the class token.

    Returns
    -------
    (1, n_tokens, width) ndarray of float32
        Bicubic interpolation (a = -0.75, edges repeated), with the offset of .1 of DINOv2.
    """
    old, new = (round((n - 1) ** 0.5) for n in (positions.shape[1], n_tokens))
    step = old / (new + 0.1)
    matrix = np.zeros((new, old))
    for i in range(new):
        at = (i + 0.5) * step - 0.5
        for k in range(int(np.floor(at)) - 1, int(np.floor(at)) + 3):
            matrix[i, min(max(k, 0), old - 1)] += _cubic(abs(at - k))
    grid = positions[0, 1:].reshape(old, old, -1).astype(np.float64)
    grid = np.einsum("ij,kl,jlw->ikw", matrix, matrix, grid, optimize=True)
    whole = np.concatenate([positions[0, :1], grid.reshape(new * new, -1)])
    return whole[None].astype(np.float32)


def _cubic(t: float, a: float = -0.75) -> float:
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0
