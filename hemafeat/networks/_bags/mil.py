"""Networks on bags of cells (multiple-instance learning).

There are two kinds of pooling. With those of `POOLINGS` each cell has a logit and a weight, the
weights sum to 1, and the logit of the bag is the weighted sum: the contribution of each cell to the
prediction can be read off exactly. With those of `VECTOR_POOLINGS` the embeddings of the cells
become one vector, which a small network classifies.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hemafeat.networks._keras import layer_seed, need_keras, seeds

POOLINGS = ("attention", "gated", "batch_weighted", "mean", "max")
"""Names of the poolings of logits; see `pool`."""

VECTOR_POOLINGS = ("vector_min", "vector_max", "vector_mean", "vector_sum", "self_attention")
"""Names of the poolings of embeddings; see `pool_vectors`."""

_MINUS_INFINITY = -1e9  # a softmax turns it into 0


def mil_model(
    n_features: int,
    n_outputs: int = 1,
    pooling: str = "attention",
    *,
    n_hidden: int | None = 32,
    n_attention: int = 16,
    n_dense: int = 32,
    dropout: float = 0.2,
    random_state: int = 0,
) -> Any:
    """Build a network that classifies bags of feature vectors.

    Parameters
    ----------
    n_features : int
        Number of features per cell, or length of an embedding.
    n_outputs : int
        Number of logits: 1 for two classes (default), else one per class.
    pooling : str
        Weighting of the logits of the cells of a bag, see `pool`: ``"attention"``, ``"gated"``,
        ``"batch_weighted"``, ``"mean"`` or ``"max"``. Or what makes one vector of their embeddings,
        see `pool_vectors`: ``"vector_min"``, ``"vector_max"``, ``"vector_mean"``,
        ``"vector_sum"`` or ``"self_attention"``.
    n_hidden : int, optional
        Size of the embedding of a cell: one dense layer with ReLU, or, before a pooling of
        embeddings, without, and with batch normalisation over the cells. With None the features
        are the embedding.
    n_attention : int
        Size of the layer from which attention is computed.
    n_dense : int
        Size of the layer with ReLU behind a pooling of embeddings.
    dropout : float
        Share of the embedding that is dropped in training.
    random_state : int
        Seed of weights and dropout.

    Returns
    -------
    keras.Model
        Inputs ``values`` (n_bags, n_cells, n_features) and ``mask`` (n_bags, n_cells), 1 for a cell
        and 0 for padding. Outputs by name: ``logit`` (n_bags, n_outputs), ``weights`` and
        ``cell_logits`` (n_bags, n_cells, n_outputs), with ``logit = sum(weights * cell_logits)``
        and weights that sum to 1 over the cells. With a pooling of embeddings, ``logit`` only.

    Raises
    ------
    ImportError
        Keras is not installed.
    ValueError
        The pooling is unknown.

    Notes
    -----
    The poolings of embeddings are those of a report on lymphocytosis [1]_: a linear layer to 128
    numbers (`n_hidden`), batch normalisation, pooling, and a perceptron 128-32-2 (`n_dense`,
    `n_outputs`). Its code normalised after a reshape that mixed the bags, which is not repeated
    here; the dropout is a choice of ours.

    References
    ----------
    .. [1] B. Kabongo and J. C. Tonga, "Lymphocytosis classification", project report, ENS
       Paris-Saclay, 2024.

    Examples
    --------
    >>> from hemafeat import networks
    >>> networks.mil_model(n_features=10).count_params()
    929
    >>> networks.mil_model(10, 2, "vector_max", n_hidden=128).output["logit"].shape
    (None, 2)
    """
    keras = need_keras("a network of bags")
    layers, layer_seeds = keras.layers, seeds(random_state)
    values = keras.Input((None, n_features), name="values")
    mask = keras.Input((None,), name="mask")
    of_vectors = pooling in VECTOR_POOLINGS
    hidden = values
    if n_hidden is not None:
        hidden = layers.Dense(
            n_hidden,
            activation=None if of_vectors else "relu",
            kernel_initializer=_glorot(keras, layer_seeds),
            name="embed",
        )(values)
    if n_hidden is not None and of_vectors:
        from hemafeat.networks._layers import CellNormalisation

        normal = CellNormalisation(momentum=0.9, epsilon=1e-5, name="normal")
        hidden = normal(hidden, keras.ops.expand_dims(mask, -1))
    if dropout > 0:
        hidden = layers.Dropout(dropout, seed=next(layer_seeds), name="dropout")(hidden)
    if of_vectors:
        pooled = pool_vectors(pooling, hidden, mask, random_state=random_state + 1)
        dense = layers.Dense(
            n_dense, activation="relu", kernel_initializer=_glorot(keras, layer_seeds), name="dense"
        )(pooled)
        logit = layers.Dense(
            n_outputs, kernel_initializer=_glorot(keras, layer_seeds), name="logit"
        )(dense)
        return keras.Model([values, mask], {"logit": logit}, name=f"mil_{pooling}")
    cell_logits = layers.Dense(
        n_outputs, kernel_initializer=_glorot(keras, layer_seeds), name="cell_logit"
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
    """Weight the cells of each bag and sum their logits.

    Parameters
    ----------
    pooling : {"attention", "gated", "batch_weighted", "mean", "max"}
        Weights of the cells. ``"attention"``: softmax over the cells of ``w tanh(V h)`` [1]_.
        ``"gated"``: softmax of ``w (tanh(V h) * sigmoid(U h))`` [1]_. ``"batch_weighted"``: sigmoid
        of the batch-normalised logits, over their sum [2]_. ``"mean"``: equal weights. ``"max"``:
        1 for the cell with the largest logit.
    cell_logits : (n_bags, n_cells, n_outputs) tensor
        Logits of the cells.
    hidden : (n_bags, n_cells, n_hidden) tensor
        Embeddings h of the cells, from which attention is computed.
    mask : (n_bags, n_cells) tensor
        1 for a cell and 0 for padding.
    n_attention : int
        Number of rows of V and U.
    random_state : int
        Seed of the weights of attention.

    Returns
    -------
    logit : (n_bags, n_outputs) tensor
        Weighted sum of the logits of the cells.
    weights : (n_bags, n_cells, n_outputs) tensor
        Weights of the cells, 0 for padding.

    Raises
    ------
    ValueError
        The pooling is unknown.

    Notes
    -----
    ``"batch_weighted"`` is ``L = sum(a l) / sum(a)`` with ``a = sigmoid(beta + gamma (l - mu) /
    sqrt(var + eps))``, mean and variance of the logits of all cells of the batch. Inside `a` the
    logits are constants, so that ``dL/dl_i = a_i / sum(a)``. The report that describes it leaves
    out the normaliser, which its code has. Its batch normalisation keeps the statistics of nearly
    the last batch alone (momentum .95 in PyTorch); here each batch contributes a tenth.

    References
    ----------
    .. [1] M. Ilse, J. Tomczak and M. Welling, "Attention-based Deep Multiple Instance Learning",
       ICML 2018.
    .. [2] Project report on lymphocytosis classification, repository clemsgrs/lymphocytosis-mil,
       2021.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import networks
    >>> cell_logits = np.array([[[1.0], [3.0], [0.0]]], np.float32)
    >>> mask = np.array([[1.0, 1.0, 0.0]], np.float32)
    >>> logit, weights = networks.pool("mean", cell_logits, cell_logits, mask)
    >>> np.asarray(logit).tolist(), np.asarray(weights).ravel().tolist()
    ([[2.0]], [0.5, 0.5, 0.0])
    """
    keras = need_keras("a network of bags")
    ops, layers, layer_seeds = keras.ops, keras.layers, seeds(random_state)
    # Padding gets a weight of 0.
    present = ops.expand_dims(mask, -1)
    if pooling in ("attention", "gated"):
        activation = layers.Dense(
            n_attention,
            activation="tanh",
            kernel_initializer=_glorot(keras, layer_seeds),
            name="look",
        )(hidden)
        if pooling == "gated":
            gate = layers.Dense(
                n_attention,
                activation="sigmoid",
                kernel_initializer=_glorot(keras, layer_seeds),
                name="gate",
            )(hidden)
            activation = activation * gate
        score = layers.Dense(
            1, use_bias=False, kernel_initializer=_glorot(keras, layer_seeds), name="score"
        )(activation)
        weights = ops.softmax(score * present + (1.0 - present) * _MINUS_INFINITY, axis=1)
        weights = weights * ops.ones_like(cell_logits)
    elif pooling == "batch_weighted":
        from hemafeat.networks._layers import CellNormalisation

        fixed = ops.stop_gradient(cell_logits)
        normal = CellNormalisation(momentum=0.9, epsilon=1e-5, name="normalise")(fixed, present)
        scores = ops.sigmoid(normal) * present
        weights = scores / ops.sum(scores, axis=1, keepdims=True)
    elif pooling == "mean":
        weights = present / ops.sum(present, axis=1, keepdims=True) * ops.ones_like(cell_logits)
    elif pooling == "max":
        masked = cell_logits * present + (1.0 - present) * _MINUS_INFINITY
        is_largest = ops.cast(ops.equal(masked, ops.max(masked, axis=1, keepdims=True)), "float32")
        weights = is_largest / ops.sum(is_largest, axis=1, keepdims=True)
    else:
        known = ", ".join((*POOLINGS, *VECTOR_POOLINGS))
        raise ValueError(f"no pooling {pooling!r} of logits; there are: {known}")
    return ops.sum(weights * cell_logits, axis=1), weights


def pool_vectors(
    pooling: str, vectors: Any, mask: Any, *, n_heads: int = 4, random_state: int = 0
) -> Any:
    """Make one vector of the embeddings of the cells of each bag.

    Parameters
    ----------
    pooling : {"vector_min", "vector_max", "vector_mean", "vector_sum", "self_attention"}
        Smallest, largest, mean or sum of each number over the cells; or the sum of the vectors
        after each has been replaced by what self-attention [1]_ makes of all of the bag.
    vectors : (n_bags, n_cells, n_numbers) tensor
        Embeddings of the cells.
    mask : (n_bags, n_cells) tensor
        1 for a cell and 0 for padding.
    n_heads : int
        Number of heads of the self-attention; each sees n_numbers / n_heads numbers.
    random_state : int
        Seed of the weights of the self-attention.

    Returns
    -------
    (n_bags, n_numbers) tensor

    Raises
    ------
    ValueError
        The pooling is unknown, or `n_heads` does not divide the length of the vectors.

    References
    ----------
    .. [1] A. Vaswani et al., "Attention is all you need", NeurIPS 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import networks
    >>> vectors = np.array([[[1.0, 5.0], [3.0, 2.0], [9.0, 9.0]]], np.float32)
    >>> mask = np.array([[1.0, 1.0, 0.0]], np.float32)
    >>> np.asarray(networks.pool_vectors("vector_max", vectors, mask)).tolist()
    [[3.0, 5.0]]
    """
    keras = need_keras("a network of bags")
    ops = keras.ops
    present = ops.expand_dims(mask, -1)
    if pooling == "vector_max":
        return ops.max(vectors * present + (1.0 - present) * _MINUS_INFINITY, axis=1)
    if pooling == "vector_min":
        return ops.min(vectors * present - (1.0 - present) * _MINUS_INFINITY, axis=1)
    if pooling == "self_attention":
        n_numbers = int(vectors.shape[-1])
        if n_numbers % n_heads:
            raise ValueError(f"{n_heads} heads do not divide vectors of {n_numbers} numbers")
        # One initialiser with a seed would give all kernels of the layer the same values.
        with layer_seed(random_state):
            attention = keras.layers.MultiHeadAttention(
                n_heads, n_numbers // n_heads, name="self_attention"
            )
            # A cell looks at all cells of its bag, but not at padding.
            vectors = attention(vectors, vectors, attention_mask=ops.expand_dims(mask, 1) > 0)
    elif pooling not in ("vector_mean", "vector_sum"):
        known = ", ".join(VECTOR_POOLINGS)
        raise ValueError(f"no pooling {pooling!r} of vectors; there are: {known}")
    total = ops.sum(vectors * present, axis=1)
    return total / ops.sum(present, axis=1) if pooling == "vector_mean" else total


def _glorot(keras: Any, layer_seeds: Iterator[int]) -> Any:
    return keras.initializers.GlorotUniform(seed=next(layer_seeds))
