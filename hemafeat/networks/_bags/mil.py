"""Multiple-instance learning: one verdict on a bag of cells, and how much each cell counts in it.

Every network here has the same last step: a logit for each cell, a weight for each cell, weights
that sum to 1, and the bag's logit as the weighted sum. So the part of each cell in a verdict can be
read off exactly.
"""

from __future__ import annotations

from typing import Any

from hemafeat.networks._keras import need_keras

POOLINGS = ("attention", "gated", "batch_weighted", "mean", "max")
"""How the cells of a bag are weighed."""

_FAR = -1e9  # what a softmax turns into 0


def mil_model(
    n_features: int,
    n_outputs: int = 1,
    pooling: str = "attention",
    *,
    n_hidden: int = 32,
    n_attention: int = 16,
    dropout: float = 0.2,
    random_state: int = 0,
) -> Any:
    """A network that judges bags of feature vectors.

    Parameters
    ----------
    n_features : int
        Numbers per cell: features, or an embedding.
    n_outputs : int
        1 for two classes, else one per class.
    pooling : {"attention", "gated", "batch_weighted", "mean", "max"}
        See `pool`.
    n_hidden : int
        Size of the cells' embedding, one dense layer with ReLU.
    n_attention : int
        Size of the layer that attention is computed from.
    dropout : float
        Share of the embedding dropped in training.
    random_state : int
        Seed of weights and dropout.

    Returns
    -------
    keras.Model
        Inputs ``values`` (n_bags, n_cells, n_features) and ``mask`` (n_bags, n_cells), 1 for a cell
        and 0 for padding. Outputs by name: ``logit`` (n_bags, n_outputs), ``weights`` and
        ``cell_logits`` (n_bags, n_cells, n_outputs), with ``logit = sum(weights * cell_logits)``
        and weights that sum to 1 over the cells.

    Raises
    ------
    ImportError
        Keras is not installed.
    ValueError
        An unknown pooling.
    """
    keras = need_keras("a network of bags")
    layers, seeds = keras.layers, _seeds(random_state)
    values = keras.Input((None, n_features), name="values")
    mask = keras.Input((None,), name="mask")
    hidden = layers.Dense(
        n_hidden, activation="relu", kernel_initializer=_glorot(keras, seeds), name="embed"
    )(values)
    if dropout > 0:
        hidden = layers.Dropout(dropout, seed=next(seeds), name="dropout")(hidden)
    cell_logits = layers.Dense(
        n_outputs, kernel_initializer=_glorot(keras, seeds), name="cell_logit"
    )(hidden)
    logit, weights = pool(
        pooling, cell_logits, hidden, mask, n_attention=n_attention, random_state=random_state + 1
    )
    outputs = {"logit": logit, "weights": weights, "cell_logits": cell_logits}
    return keras.Model([values, mask], outputs, name=f"mil_{pooling}")


def pool(
    pooling: str,
    cell_logits: Any,
    hidden: Any,
    mask: Any,
    *,
    n_attention: int = 16,
    random_state: int = 0,
) -> tuple[Any, Any]:
    """Weigh the cells of each bag and sum their logits.

    Parameters
    ----------
    pooling : {"attention", "gated", "batch_weighted", "mean", "max"}
        ``"attention"``: softmax over the cells of ``w tanh(V h)`` [1]_; ``"gated"``: of
        ``w (tanh(V h) * sigmoid(U h))`` [1]_. ``"batch_weighted"``: sigmoid of the batch-normalised
        logits, over their sum [2]_. ``"mean"``; ``"max"``, the cell of the largest logit.
    cell_logits : (n_bags, n_cells, n_outputs) tensor
    hidden : (n_bags, n_cells, n_hidden) tensor
        What attention looks at.
    mask : (n_bags, n_cells) tensor
        1 for a cell and 0 for padding.
    n_attention : int
        Size of V and U.
    random_state : int
        Seed of the weights.

    Returns
    -------
    logit : (n_bags, n_outputs) tensor
    weights : (n_bags, n_cells, n_outputs) tensor

    Raises
    ------
    ValueError
        An unknown pooling.

    Notes
    -----
    ``"batch_weighted"`` is ``L = sum(a l) / sum(a)`` with ``a = sigmoid(beta + gamma (l - mu) /
    sqrt(var + eps))``, mean and variance of the logits of all cells of the batch. Inside `a` the
    logits are held fixed, so that ``dL/dl_i = a_i / sum(a)``. The report that describes it leaves
    out the normaliser, which its code has. Its batch normalisation keeps the statistics of nearly
    the last batch alone (momentum .95 in PyTorch); here a tenth of each batch is taken over.

    References
    ----------
    .. [1] M. Ilse, J. Tomczak and M. Welling, "Attention-based Deep Multiple Instance Learning",
       ICML 2018.
    .. [2] Project report on lymphocytosis classification, repository clemsgrs/lymphocytosis-mil,
       2021.
    """
    keras = need_keras("a network of bags")
    ops, layers, seeds = keras.ops, keras.layers, _seeds(random_state)
    there = ops.expand_dims(mask, -1)
    if pooling in ("attention", "gated"):
        looked = layers.Dense(
            n_attention, activation="tanh", kernel_initializer=_glorot(keras, seeds), name="look"
        )(hidden)
        if pooling == "gated":
            gate = layers.Dense(
                n_attention,
                activation="sigmoid",
                kernel_initializer=_glorot(keras, seeds),
                name="gate",
            )(hidden)
            looked = looked * gate
        score = layers.Dense(
            1, use_bias=False, kernel_initializer=_glorot(keras, seeds), name="score"
        )(looked)
        # Padding must not reach the softmax.
        weights = ops.softmax(score * there + (1.0 - there) * _FAR, axis=1)
        weights = weights * ops.ones_like(cell_logits)
    elif pooling == "batch_weighted":
        from hemafeat.networks._layers import CellNormalisation

        held = ops.stop_gradient(cell_logits)
        normal = CellNormalisation(momentum=0.9, epsilon=1e-5, name="normalise")(held, there)
        raised = ops.sigmoid(normal) * there
        weights = raised / ops.sum(raised, axis=1, keepdims=True)
    elif pooling == "mean":
        weights = there / ops.sum(there, axis=1, keepdims=True) * ops.ones_like(cell_logits)
    elif pooling == "max":
        far = cell_logits * there + (1.0 - there) * _FAR
        best = ops.cast(ops.equal(far, ops.max(far, axis=1, keepdims=True)), "float32")
        weights = best / ops.sum(best, axis=1, keepdims=True)
    else:
        raise ValueError(f"no pooling {pooling!r}; there are: {', '.join(POOLINGS)}")
    return ops.sum(weights * cell_logits, axis=1), weights


def _glorot(keras: Any, seeds: Any) -> Any:
    return keras.initializers.GlorotUniform(seed=next(seeds))


def _seeds(random_state: int) -> Any:
    """Seeds one after the other, far from those of the next `random_state`."""
    number = (random_state * 1009) % (2**31 - 2000)
    while True:
        number += 1
        yield number
