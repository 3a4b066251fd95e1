"""Networks as they are after training, without any."""

from __future__ import annotations

import numpy as np


def unsettled(model, spread, seed=0):
    """The model with statistics of normalisation that are not 0 and 1, but within `spread` of 1."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            low, high = 1 - spread, 1 + spread
            layer.set_weights([rng.uniform(low, high, w.shape) for w in layer.get_weights()])
    return model
