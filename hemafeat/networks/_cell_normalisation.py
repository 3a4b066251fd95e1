"""Batch normalisation over the cells of all bags, padding left out."""

from __future__ import annotations

from typing import Any

from hemafeat.networks._keras import need_keras

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
