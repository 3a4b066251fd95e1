"""Layers that the reports' networks need beside those of Keras.

All take images of 0 to 255 and hold no weights but `StainDeconvolution`. They are known to
`keras.saving`, so that a saved network is read back without naming them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hemafeat.networks._keras import need_keras

need_keras("a layer on images")  # names the extra where it is missing

import keras  # noqa: E402

ops = keras.ops
_known = keras.saving.register_keras_serializable(package="hemafeat")

_CAFFE = (103.939, 116.779, 123.68)
_TORCH_MEAN, _TORCH_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@_known
class ScaledImage(keras.layers.Layer):
    """Bring an image of 0 to 255 to the scale a network was trained on.

    Parameters
    ----------
    mode : {"unit", "signed", "caffe", "torch"}
        0 to 1; -1 to 1; BGR less the ImageNet mean; 0 to 1 less the ImageNet mean over its
        standard deviation.
    """

    def __init__(self, mode: str = "unit", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if mode not in ("unit", "signed", "caffe", "torch"):
            raise ValueError(f"no scale {mode!r}; there are: unit, signed, caffe, torch")
        self.mode = mode

    def call(self, images: Any) -> Any:
        """From (n, H, W, 3) to the same shape."""
        images = ops.cast(images, self.compute_dtype)
        if self.mode == "unit":
            return images / 255.0
        if self.mode == "signed":
            return images / 127.5 - 1.0
        if self.mode == "caffe":
            return ops.flip(images, axis=-1) - ops.cast(_CAFFE, images.dtype)
        mean, deviation = ops.cast(_TORCH_MEAN, images.dtype), ops.cast(_TORCH_STD, images.dtype)
        return (images / 255.0 - mean) / deviation

    def get_config(self) -> dict[str, Any]:
        """What it was made with."""
        return {**super().get_config(), "mode": self.mode}


@_known
class OpticalDensity(keras.layers.Layer):
    """Optical density ``-log((I + offset) / white)``, between 0 and that of black.

    Parameters
    ----------
    white : float
        Value of the empty background.
    offset : float
        Added to the values, so that black has a density.
    base : {"e", "10"}
        Natural or decadic logarithm.
    """

    def __init__(
        self, white: float = 255.0, offset: float = 1.0, base: str = "e", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if base not in ("e", "10"):
            raise ValueError(f"the logarithm is of base 'e' or '10', not {base!r}")
        self.white, self.offset, self.base = white, offset, base

    def call(self, images: Any) -> Any:
        """From (n, H, W, 3) of 0 to 255 to densities of the same shape."""
        images = ops.cast(images, "float32")
        density = -ops.log((images + self.offset) / self.white)
        return ops.maximum(density / np.log(10.0) if self.base == "10" else density, 0.0)

    def get_config(self) -> dict[str, Any]:
        """What it was made with."""
        given = {"white": self.white, "offset": self.offset, "base": self.base}
        return {**super().get_config(), **given}


@_known
class StainDeconvolution(keras.layers.Layer):
    """Quantities of three stains from optical densities, by a matrix that is learned.

    Nine weights: the inverse of the stain matrix, as a convolution of 1 x 1 without bias [1]_.

    Parameters
    ----------
    stains : (3, 3) array-like, optional
        Optical density in R, G, B of each stain, one per row, from which training starts; rows are
        brought to length 1. The identity by default, which leaves the densities as they are.

    Notes
    -----
    ``Q = OD @ inv(stains)`` per pixel: with the rows of Ruifrok and Johnston's matrix the classic
    colour deconvolution. The abstract of [1]_ gives the nine parameters, the start from one cell
    image and the learning; the algebra is the classic one.

    References
    ----------
    .. [1] R. Duggal, A. Gupta, R. Gupta and P. Mallick, "SD-Layer: Stain deconvolutional layer for
       CNNs in medical microscopic imaging", MICCAI 2017.
    """

    def __init__(self, stains: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        rows = np.eye(3) if stains is None else np.asarray(stains, dtype=np.float64)
        if rows.shape != (3, 3):
            raise ValueError(f"stains are 3 rows of 3 optical densities, got shape {rows.shape}")
        self.stains = rows.tolist()
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if (lengths == 0).any() or abs(np.linalg.det(rows / lengths)) < 1e-6:
            raise ValueError("stains must differ in colour: their matrix has no inverse")
        self._inverse = np.linalg.inv(rows / lengths)

    def build(self, input_shape: Any) -> None:
        """Make the nine weights."""

        def start(shape: Any, dtype: Any = None) -> Any:
            return ops.convert_to_tensor(self._inverse, dtype=dtype)

        self.kernel = self.add_weight(shape=(3, 3), initializer=start, name="inverse_stains")

    def call(self, density: Any) -> Any:
        """From (n, H, W, 3) optical densities to quantities of the three stains."""
        return ops.matmul(density, self.kernel)

    def get_config(self) -> dict[str, Any]:
        """What it was made with."""
        return {**super().get_config(), "stains": self.stains}


@_known
class CosineTransform(keras.layers.Layer):
    """Orthonormal cosine transform (type II) of each channel, as decadic log-magnitude.

    Parameters
    ----------
    block : int, optional
        Side of the blocks that are transformed one by one, a divisor of height and width. The whole
        image by default.
    log : bool
        ``log10(|X| + 1e-9)`` instead of the coefficients.
    """

    def __init__(self, block: int | None = None, log: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.block, self.log = block, log

    def build(self, input_shape: Any) -> None:
        """Lay out the cosines."""
        bases = []
        for side in input_shape[1:3]:
            n = side if self.block is None else self.block
            if side % n:
                raise ValueError(f"blocks of {n} do not tile a side of {side}")
            place = np.arange(n)
            cosines = np.cos(np.pi * (2 * place[None] + 1) * place[:, None] / (2 * n))
            scale = np.full((n, 1), np.sqrt(2 / n))
            scale[0] = np.sqrt(1 / n)
            cosines *= scale
            # Blocks along the diagonal: one product transforms all of them.
            bases.append(np.kron(np.eye(side // n), cosines).astype(np.float32))
        self._down, self._across = bases

    def call(self, images: Any) -> Any:
        """From (n, H, W, channels) to the same shape."""
        images = ops.cast(images, "float32")
        rows = ops.einsum("ij,njwc->niwc", ops.convert_to_tensor(self._down), images)
        found = ops.einsum("kw,niwc->nikc", ops.convert_to_tensor(self._across), rows)
        return ops.log10(ops.abs(found) + 1e-9) if self.log else found

    def get_config(self) -> dict[str, Any]:
        """What it was made with."""
        return {**super().get_config(), "block": self.block, "log": self.log}


@_known
class HueSaturationValue(keras.layers.Layer):
    """RGB of 0 to 255 to hue, saturation and value, each of 0 to 255."""

    def call(self, images: Any) -> Any:
        """From (n, H, W, 3) to the same shape."""
        images = ops.cast(images, "float32")
        return keras.ops.image.rgb_to_hsv(images / 255.0, data_format="channels_last") * 255.0


@_known
class CellCrop(keras.layers.Layer):
    """Enlarge the box round a cell on black background to the whole image.

    Parameters
    ----------
    threshold : float
        A pixel above it, in any channel, belongs to the cell. Where none or every one does, the
        image stays as it is.
    """

    def __init__(self, threshold: float = 8.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.threshold = threshold

    def call(self, images: Any) -> Any:
        """From (n, H, W, channels) to the same shape, by bilinear interpolation."""
        images = ops.cast(images, "float32")
        height, width = images.shape[1:3]
        cell = ops.any(images > self.threshold, axis=-1)
        top, down = _span(ops.any(cell, axis=2), height)
        left, across = _span(ops.any(cell, axis=1), width)
        nought = ops.zeros_like(top)
        # Output pixel x is read at left + x * across, so that the corners of the box are kept.
        moves = ops.stack([across, nought, left, nought, down, top, nought, nought], axis=1)
        return ops.image.affine_transform(
            images,
            moves,
            interpolation="bilinear",
            fill_mode="nearest",
            data_format="channels_last",
        )

    def get_config(self) -> dict[str, Any]:
        """What it was made with."""
        return {**super().get_config(), "threshold": self.threshold}


def _span(there: Any, length: int) -> tuple[Any, Any]:
    """First place that is set, and steps per pixel that lead from it to the last one."""
    there = ops.cast(there, "int32")
    first = ops.cast(ops.argmax(there, axis=1), "float32")
    last = length - 1.0 - ops.cast(ops.argmax(ops.flip(there, axis=1), axis=1), "float32")
    return first, (last - first) / max(length - 1.0, 1.0)


@_known
class NeighbourNormalisation(keras.layers.Layer):
    """Divide by the activity of neighbouring channels, as AlexNet does.

    Parameters
    ----------
    size : int
        Channels summed over, an odd number.
    k, alpha, beta : float
        ``x / (k + alpha * sum of squares) ** beta``.
    """

    def __init__(
        self,
        size: int = 5,
        k: float = 2.0,
        alpha: float = 1e-4,
        beta: float = 0.75,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.size, self.k, self.alpha, self.beta = size, k, alpha, beta

    def call(self, values: Any) -> Any:
        """From (n, H, W, channels) to the same shape."""
        channels, reach = values.shape[-1], self.size // 2
        padded = ops.pad(ops.square(values), [[0, 0], [0, 0], [0, 0], [reach, reach]])
        total = padded[..., :channels]
        for step in range(1, self.size):
            total = total + padded[..., step : step + channels]
        return values / ops.power(self.k + self.alpha * total, self.beta)

    def get_config(self) -> dict[str, Any]:
        """What it was made with."""
        given = {"size": self.size, "k": self.k, "alpha": self.alpha, "beta": self.beta}
        return {**super().get_config(), **given}


need_keras("a network of bags")  # names the extra where it is missing

import keras  # noqa: E402

ops = keras.ops


@keras.saving.register_keras_serializable(package="hemafeat")
class CellNormalisation(keras.layers.Layer):
    """Batch normalisation of (n_bags, n_cells, n) values, over the cells that are there.

    Parameters
    ----------
    momentum : float
        Share of the moving mean and variance that a batch leaves as it is.
    epsilon : float
        Added to the variance.

    Notes
    -----
    `keras.layers.BatchNormalization` takes a mask too, but loses the axis of one channel where
    there is only one, which not every backend forgives. Weights are in its order: scale, shift,
    moving mean, moving variance.
    """

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum, self.epsilon = momentum, epsilon

    def build(self, input_shape: Any, *_: Any) -> None:
        """Make the four weights."""
        shape = (input_shape[-1],)
        self.gamma = self.add_weight(shape=shape, initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta")
        self.mean = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="mean")
        self.variance = self.add_weight(
            shape=shape, initializer="ones", trainable=False, name="variance"
        )

    def call(self, values: Any, there: Any, training: bool = False) -> Any:
        """Normalise `values`; `there` is (n_bags, n_cells, 1), 1 for a cell and 0 for padding."""
        if not training:
            mean, variance = self.mean, self.variance
        else:
            n = ops.maximum(ops.sum(there), 1.0)
            mean = ops.sum(values * there, axis=(0, 1)) / n
            variance = ops.sum(ops.square(values - mean) * there, axis=(0, 1)) / n
            keep = self.momentum
            self.mean.assign(keep * self.mean + (1 - keep) * mean)
            self.variance.assign(keep * self.variance + (1 - keep) * variance)
        return (values - mean) / ops.sqrt(variance + self.epsilon) * self.gamma + self.beta

    def get_config(self) -> dict[str, Any]:
        """What it was made with."""
        return {**super().get_config(), "momentum": self.momentum, "epsilon": self.epsilon}
