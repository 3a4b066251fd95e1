"""Keras layers of hemafeat, registered with `keras.saving`.

Layers on images take values of 0 to 255. Only `StainDeconvolution` and `CellNormalisation` have
weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hemafeat.networks._keras import need_keras

need_keras("a layer of hemafeat.networks")  # the error names the extra

import keras  # noqa: E402

ops = keras.ops
_register = keras.saving.register_keras_serializable(package="hemafeat")

IMAGENET_BGR_MEAN = (103.939, 116.779, 123.68)
"""Mean of B, G and R of the ImageNet images, 0 to 255, as in Caffe."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of R, G and B of the ImageNet images, 0 to 1, as in PyTorch."""


@_register
class ScaledImage(keras.layers.Layer):
    """Scale an image of 0 to 255 as a network expects it.

    Parameters
    ----------
    mode : {"unit", "signed", "caffe", "torch"}
        Scale of the result: 0 to 1; -1 to 1; BGR minus the ImageNet mean; 0 to 1 minus the ImageNet
        mean, over its standard deviation.
    """

    def __init__(self, mode: str = "unit", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if mode not in ("unit", "signed", "caffe", "torch"):
            raise ValueError(f"no scale {mode!r}; there are: unit, signed, caffe, torch")
        self.mode = mode

    def call(self, images: Any) -> Any:
        """Scale (n, H, W, 3) images."""
        images = ops.cast(images, self.compute_dtype)
        if self.mode == "unit":
            return images / 255.0
        if self.mode == "signed":
            return images / 127.5 - 1.0
        if self.mode == "caffe":
            return ops.flip(images, axis=-1) - ops.cast(IMAGENET_BGR_MEAN, images.dtype)
        mean = ops.cast(IMAGENET_MEAN, images.dtype)
        return (images / 255.0 - mean) / ops.cast(IMAGENET_STD, images.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the parameters of the layer."""
        return {**super().get_config(), "mode": self.mode}


@_register
class OpticalDensity(keras.layers.Layer):
    """Compute the optical density ``-log((I + offset) / white)``, clipped at 0.

    Parameters
    ----------
    white : float
        Value of the empty background.
    offset : float
        Number added to the values, so that the density of black is finite.
    base : {"e", "10"}
        Base of the logarithm.
    black_is_white : bool
        Read values of 0 as `white`, as for a cell that was cut out on black. By default they are
        dark.
    """

    def __init__(
        self,
        white: float = 255.0,
        offset: float = 1.0,
        base: str = "e",
        black_is_white: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if base not in ("e", "10"):
            raise ValueError(f"the base of the logarithm is 'e' or '10', not {base!r}")
        self.white, self.offset, self.base = white, offset, base
        self.black_is_white = black_is_white

    def call(self, images: Any) -> Any:
        """Convert (n, H, W, 3) images to densities."""
        images = ops.cast(images, "float32")
        if self.black_is_white:
            images = ops.where(images > 0, images, self.white)
        density = -ops.log((images + self.offset) / self.white)
        return ops.maximum(density / np.log(10.0) if self.base == "10" else density, 0.0)

    def get_config(self) -> dict[str, Any]:
        """Return the parameters of the layer."""
        parameters = {
            "white": self.white,
            "offset": self.offset,
            "base": self.base,
            "black_is_white": self.black_is_white,
        }
        return {**super().get_config(), **parameters}


@_register
class StainDeconvolution(keras.layers.Layer):
    """Turn optical densities into quantities of three stains by a matrix that is learned.

    The nine weights are the inverse of the stain matrix, a 1 x 1 convolution without bias [1]_.

    Parameters
    ----------
    stains : (3, 3) array-like, optional
        Optical density in R, G, B of each stain, one stain per row, from which training starts. The
        rows are normalised to length 1. By default it is the identity, which leaves the densities
        as they are.

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
            raise ValueError(f"stains must have shape (3, 3), got {rows.shape}")
        self.stains = rows.tolist()
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if (lengths == 0).any() or abs(np.linalg.det(rows / lengths)) < 1e-6:
            raise ValueError("stains must differ in colour: their matrix has no inverse")
        self._inverse = np.linalg.inv(rows / lengths)

    def build(self, input_shape: Any) -> None:
        """Create the nine weights."""

        def start(shape: Any, dtype: Any = None) -> Any:
            return ops.convert_to_tensor(self._inverse, dtype=dtype)

        self.kernel = self.add_weight(shape=(3, 3), initializer=start, name="inverse_stains")

    def call(self, density: Any) -> Any:
        """Convert (n, H, W, 3) optical densities to quantities of the three stains."""
        return ops.matmul(density, self.kernel)

    def get_config(self) -> dict[str, Any]:
        """Return the parameters of the layer."""
        return {**super().get_config(), "stains": self.stains}


@_register
class CosineTransform(keras.layers.Layer):
    """Compute the orthonormal cosine transform (type II) of each channel.

    Parameters
    ----------
    block : int, optional
        Side of the blocks that are transformed separately, a divisor of height and width. By
        default the whole image is one block.
    log : bool
        Return ``log10(|X| + 1e-9)`` (default), not the coefficients X.
    """

    def __init__(self, block: int | None = None, log: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.block, self.log = block, log

    def build(self, input_shape: Any) -> None:
        """Compute the cosines."""
        bases = []
        for side in input_shape[1:3]:
            n = side if self.block is None else self.block
            if side % n:
                raise ValueError(f"blocks of {n} do not tile a side of {side}")
            index = np.arange(n)
            cosines = np.cos(np.pi * (2 * index[None] + 1) * index[:, None] / (2 * n))
            scale = np.full((n, 1), np.sqrt(2 / n))
            scale[0] = np.sqrt(1 / n)
            cosines *= scale
            # With the blocks on the diagonal, one product transforms all of them.
            bases.append(np.kron(np.eye(side // n), cosines).astype(np.float32))
        self._down, self._across = bases

    def call(self, images: Any) -> Any:
        """Transform (n, H, W, channels) images."""
        images = ops.cast(images, "float32")
        rows = ops.einsum("ij,njwc->niwc", ops.convert_to_tensor(self._down), images)
        values = ops.einsum("kw,niwc->nikc", ops.convert_to_tensor(self._across), rows)
        return ops.log10(ops.abs(values) + 1e-9) if self.log else values

    def get_config(self) -> dict[str, Any]:
        """Return the parameters of the layer."""
        return {**super().get_config(), "block": self.block, "log": self.log}


@_register
class BilinearPooling(keras.layers.Layer):
    """Average the products of each pair of maps over all places, as signed roots of length 1."""

    def call(self, maps: Any) -> Any:
        """Pool (n, H, W, channels) maps to (n, channels^2) numbers."""
        maps = ops.cast(maps, "float32")
        n_places = float(maps.shape[1] * maps.shape[2])
        products = ops.einsum("nhwi,nhwj->nij", maps, maps) / n_places
        products = ops.reshape(products, (-1, maps.shape[3] ** 2))
        # The root of 0 has no gradient.
        roots = ops.sign(products) * ops.sqrt(ops.abs(products) + 1e-9)
        return ops.normalize(roots, axis=-1)


@_register
class HueSaturationValue(keras.layers.Layer):
    """Convert RGB to hue, saturation and value, each from 0 to 255."""

    def call(self, images: Any) -> Any:
        """Convert (n, H, W, 3) images."""
        images = ops.cast(images, "float32")
        return keras.ops.image.rgb_to_hsv(images / 255.0, data_format="channels_last") * 255.0


@_register
class CellCrop(keras.layers.Layer):
    """Enlarge the bounding box of a cell on black background to the whole image.

    Parameters
    ----------
    threshold : float
        A pixel above it in any channel belongs to the cell. An image in which no pixel or every
        pixel does is left as it is.
    """

    def __init__(self, threshold: float = 8.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.threshold = threshold

    def call(self, images: Any) -> Any:
        """Enlarge the cells in (n, H, W, channels) images by bilinear interpolation."""
        images = ops.cast(images, "float32")
        height, width = images.shape[1:3]
        cell = ops.any(images > self.threshold, axis=-1)
        top, down = _span(ops.any(cell, axis=2), height)
        left, across = _span(ops.any(cell, axis=1), width)
        zero = ops.zeros_like(top)
        # Output pixel x is read at left + x * across, so that the corners of the box are kept.
        transforms = ops.stack([across, zero, left, zero, down, top, zero, zero], axis=1)
        return ops.image.affine_transform(
            images,
            transforms,
            interpolation="bilinear",
            fill_mode="nearest",
            data_format="channels_last",
        )

    def get_config(self) -> dict[str, Any]:
        """Return the parameters of the layer."""
        return {**super().get_config(), "threshold": self.threshold}


@_register
class BoxLoss(keras.layers.Layer):
    """Add the error of a predicted box of the cell to the loss, and pass values on unchanged.

    The true box is that of the pixels of the image that are not black, as a cell is that was cut
    out. An image in which every pixel or none is black adds nothing.

    Parameters
    ----------
    weight : float
        Factor of the error.
    threshold : float
        A pixel above it in any channel belongs to the cell.

    Notes
    -----
    The error is the smooth L1 loss of left, top, width and height, as shares of width and height of
    the image [1]_; it is added in training only.

    References
    ----------
    .. [1] R. Girshick, "Fast R-CNN", ICCV 2015.
    """

    def __init__(self, weight: float = 1.0, threshold: float = 8.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.weight, self.threshold = weight, threshold

    def call(self, values: Any, box: Any, images: Any, training: bool = False) -> Any:
        """Return `values`; `box` is (n, 4), and `images` (n, H, W, channels) of 0 to 255."""
        if training:
            true, known = self.boxes(images)
            error = ops.abs(ops.cast(box, "float32") - true)
            error = ops.where(error < 1.0, 0.5 * ops.square(error), error - 0.5)
            total = ops.sum(ops.sum(error, axis=1) * known) / ops.maximum(ops.sum(known), 1.0)
            self.add_loss(self.weight * total)
        return values

    def boxes(self, images: Any) -> tuple[Any, Any]:
        """Return left, top, width and height of each cell, (n, 4), and 1 where it is known."""
        images = ops.cast(images, "float32")
        height, width = images.shape[1:3]
        cell = ops.any(images > self.threshold, axis=-1)
        top, down = _span(ops.any(cell, axis=2), height)
        left, across = _span(ops.any(cell, axis=1), width)
        box = ops.stack(
            [
                left / width,
                top / height,
                (across * (width - 1) + 1) / width,
                (down * (height - 1) + 1) / height,
            ],
            axis=1,
        )
        known = ops.logical_and(ops.any(cell, axis=(1, 2)), ops.any(~cell, axis=(1, 2)))
        return box, ops.cast(known, "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the parameters of the layer."""
        return {**super().get_config(), "weight": self.weight, "threshold": self.threshold}


def _span(mask: Any, length: int) -> tuple[Any, Any]:
    """Return the first index that is set, and the step per pixel from it to the last one."""
    mask = ops.cast(mask, "int32")
    first = ops.cast(ops.argmax(mask, axis=1), "float32")
    last = length - 1.0 - ops.cast(ops.argmax(ops.flip(mask, axis=1), axis=1), "float32")
    return first, (last - first) / max(length - 1.0, 1.0)


@_register
class NeighbourNormalisation(keras.layers.Layer):
    """Divide by the activity of neighbouring channels, the local response normalisation of AlexNet.

    Parameters
    ----------
    size : int
        Number of channels that are summed, an odd number.
    k, alpha, beta : float
        Constants of ``x / (k + alpha * sum of squares) ** beta``.
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
        """Normalise (n, H, W, channels) values."""
        channels, reach = values.shape[-1], self.size // 2
        padded = ops.pad(ops.square(values), [[0, 0], [0, 0], [0, 0], [reach, reach]])
        total = padded[..., :channels]
        for step in range(1, self.size):
            total = total + padded[..., step : step + channels]
        return values / ops.power(self.k + self.alpha * total, self.beta)

    def get_config(self) -> dict[str, Any]:
        """Return the parameters of the layer."""
        parameters = {"size": self.size, "k": self.k, "alpha": self.alpha, "beta": self.beta}
        return {**super().get_config(), **parameters}


@_register
class CellNormalisation(keras.layers.Layer):
    """Apply batch normalisation to (n_bags, n_cells, n) values, without padded cells.

    Parameters
    ----------
    momentum : float
        Share of the moving mean and variance that is kept from one batch to the next.
    epsilon : float
        Number added to the variance.

    Notes
    -----
    `keras.layers.BatchNormalization` takes a mask as well, but drops the axis of a single channel,
    which fails on some backends. The weights are in its order: scale, shift, moving mean, moving
    variance.
    """

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum, self.epsilon = momentum, epsilon

    def build(self, input_shape: Any, *_: Any) -> None:
        """Create the four weights."""
        shape = (input_shape[-1],)
        self.gamma = self.add_weight(shape=shape, initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta")
        self.mean = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="mean")
        self.variance = self.add_weight(
            shape=shape, initializer="ones", trainable=False, name="variance"
        )

    def call(self, values: Any, present: Any, training: bool = False) -> Any:
        """Normalise `values`; `present` is (n_bags, n_cells, 1), 1 for a cell and 0 for padding."""
        if not training:
            mean, variance = self.mean, self.variance
        else:
            n = ops.maximum(ops.sum(present), 1.0)
            mean = ops.sum(values * present, axis=(0, 1)) / n
            variance = ops.sum(ops.square(values - mean) * present, axis=(0, 1)) / n
            keep = self.momentum
            self.mean.assign(keep * self.mean + (1 - keep) * mean)
            self.variance.assign(keep * self.variance + (1 - keep) * variance)
        return (values - mean) / ops.sqrt(variance + self.epsilon) * self.gamma + self.beta

    def get_config(self) -> dict[str, Any]:
        """Return the parameters of the layer."""
        return {**super().get_config(), "momentum": self.momentum, "epsilon": self.epsilon}
