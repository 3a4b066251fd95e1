"""Optimisers, schedules of the learning rate, and rates of groups of layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hemafeat.networks._keras import need_keras

SCHEDULES = ("plateau", "exponential", "steps", "constant")
"""Ways in which the learning rate falls; see `fit_images`."""


def optimizer_of(optimizer: Any, learning_rate: float) -> Any:
    """Create an optimiser of Keras from a name, a dict or a function.

    Parameters
    ----------
    optimizer : str, dict or callable
        Name of an optimiser of Keras; a dict of its ``name`` and its options, or of ``class_name``
        and ``config``; or a function from the learning rate to an optimiser.
    learning_rate : float
        Learning rate.

    Returns
    -------
    keras.optimizers.Optimizer

    Raises
    ------
    ValueError
        There is no such optimiser, or it has no such option.
    """
    keras = need_keras("a network on images")
    if callable(optimizer):
        return optimizer(learning_rate)
    given: dict[str, Any] = {"name": optimizer} if isinstance(optimizer, str) else dict(optimizer)
    if "class_name" in given:
        name, options = given.pop("class_name"), dict(given.pop("config", {}))
    else:
        name, options = given.pop("name", "adam"), given
    try:
        return keras.optimizers.get(
            {"class_name": str(name), "config": {"learning_rate": learning_rate, **options}}
        )
    except (TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise ValueError(f"optimizer={optimizer!r}: {reason}") from None


def rate_factor(schedule: str, epoch: int, by: float, after: int | Sequence[int]) -> float:
    """Return the factor of the initial learning rate in an epoch, counted from 0.

    Parameters
    ----------
    schedule : {"exponential", "steps", "constant"}
        Schedule; see `fit_images`.
    epoch : int
        Number of the epoch.
    by : float
        Factor.
    after : int or sequence of int
        Number of epochs, or the epochs at which the rate changes.

    Returns
    -------
    float
    """
    if schedule == "constant":
        return 1.0
    if isinstance(after, Sequence):
        return float(by ** sum(epoch >= change for change in after))
    return float(by ** (epoch / after if schedule == "exponential" else epoch // after))


def schedule_callback(
    schedule: str, learning_rate: float, by: float, after: Any, monitor: str
) -> Any:
    """Create the callback that changes the learning rate in the course of training."""
    callbacks = need_keras("a network on images").callbacks
    if schedule == "plateau":
        return callbacks.ReduceLROnPlateau(monitor=monitor, factor=by, patience=after, min_lr=0)
    return callbacks.LearningRateScheduler(
        lambda epoch: learning_rate * rate_factor(schedule, epoch, by, after)
    )


def factors_of(
    layers: Sequence[Any], names: Sequence[str], rates: Mapping[str, float], learning_rate: float
) -> dict[int, float]:
    """Return the factor of the learning rate of each layer, by its identity.

    Parameters
    ----------
    layers : sequence of keras.Layer
        All layers of the network, in order.
    names : sequence of str
        Names of these layers.
    rates : mapping of str to float
        Learning rate of each group of layers, by the name of its first layer.
    learning_rate : float
        Rate of the layers before the first group.

    Returns
    -------
    dict of int to float

    Raises
    ------
    ValueError
        The network has no layer of a name.
    """
    for name in rates:
        if name not in names:
            raise ValueError(f"layer_rates: {no_layer(name, names)}")
    rate, factors = learning_rate, {}
    for layer, name in zip(layers, names, strict=True):
        rate = rates.get(name, rate)
        factors[id(layer)] = rate / learning_rate
    return factors


def no_layer(name: str, names: Sequence[str]) -> str:
    """Say that a network has no layer of a name, and which it has."""
    from hemafeat._words import nearest

    listed = ", ".join(names if len(names) <= 12 else [*names[:3], "...", *names[-8:]])
    return f"the network has no layer {name!r}; " + (nearest(name, names) or f"it has: {listed}")


def scale_rates(optimizer: Any, factor: Callable[[int], float]) -> None:
    """Multiply the learning rate of each weight of a built optimiser by a factor.

    Parameters
    ----------
    optimizer : keras.optimizers.Optimizer
        Optimiser, which is changed.
    factor : callable
        From the index of a trainable variable to its factor.

    Raises
    ------
    ValueError
        The optimiser decays weights, which Keras does at one rate, or the backend is PyTorch, on
        which Keras updates all weights at once.
    """
    if getattr(optimizer, "weight_decay", None):
        raise ValueError("layer_rates cannot be combined with an optimiser that decays weights")
    if need_keras("a network on images").backend.backend() == "torch":
        raise ValueError("layer_rates need Keras on TensorFlow or JAX, not on PyTorch")
    update = optimizer.update_step

    def update_step(gradient: Any, variable: Any, learning_rate: Any) -> Any:
        # Scaling the gradient instead would change nothing with Adam.
        index = optimizer._get_variable_index(variable)
        return update(gradient, variable, learning_rate * factor(index))

    optimizer.update_step = update_step
