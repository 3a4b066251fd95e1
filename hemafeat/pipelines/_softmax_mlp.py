"""Small multilayer perceptron of a published system, trained with Adam."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import check_is_fitted, validate_data

from hemafeat._public import public


@public
class SoftmaxMLP(ClassifierMixin, BaseEstimator):
    """Multilayer perceptron with dropout and one output per class, also for two classes.

    Parameters
    ----------
    hidden : sequence of int
        Numbers of nodes of the hidden layers, which have a ReLU.
    dropout : float
        Share of the nodes of each hidden layer that are left out in a step of training, at random.
    l1, l2 : float
        Penalties of the absolute and of the squared weights of the layers, without their biases.
    learning_rate : float
        Learning rate of Adam [1]_.
    last_rate : float, optional
        Learning rate in the last epoch, to which it falls by the same factor in each. By default it
        stays as it is.
    batch_size : int
        Number of rows per step.
    epochs : int
        Number of passes over the rows, all of which are run.
    class_weight : {"balanced"}, dict or None
        Weights of the classes in the loss, the cross-entropy, as in scikit-learn.
    random_state : int
        Seed of the weights, of the order of the rows and of the dropout.

    Attributes
    ----------
    classes_ : ndarray
        The labels, sorted.
    kernels_, biases_ : list of ndarray
        Weights of the layers, (n_in, n_out) and (n_out,).
    n_parameters_ : int
        Number of weights.
    losses_ : list of float
        Mean loss of each epoch, without the penalties.

    Notes
    -----
    `sklearn.neural_network.MLPClassifier` has a single logistic output for two classes. The
    network of the report on lymphocytosis has two, which gives 78 parameters for three attributes
    and hidden layers of 8 and 4 nodes. Weights start uniformly within 1 / sqrt(n_in) of 0, as in
    PyTorch, which the report used.

    References
    ----------
    .. [1] D. Kingma and J. Ba, "Adam: A method for stochastic optimization", ICLR 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import pipelines
    >>> X = np.random.default_rng(0).normal(size=(60, 3))
    >>> model = pipelines.SoftmaxMLP().fit(X, X[:, 0] > 0)
    >>> model.n_parameters_, model.score(X, X[:, 0] > 0) > 0.9
    (78, True)
    """

    def __init__(
        self,
        hidden: Sequence[int] = (8, 4),
        *,
        dropout: float = 0.0,
        l1: float = 0.0,
        l2: float = 0.0,
        learning_rate: float = 0.01,
        last_rate: float | None = None,
        batch_size: int = 8,
        epochs: int = 100,
        class_weight: Any = None,
        random_state: int = 0,
    ) -> None:
        self.hidden = hidden
        self.dropout = dropout
        self.l1 = l1
        self.l2 = l2
        self.learning_rate = learning_rate
        self.last_rate = last_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.class_weight = class_weight
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Train the network.

        Parameters
        ----------
        X : (n_rows, n_columns) array
            Numbers without NaN.
        y : (n_rows,) array
            Labels.

        Returns
        -------
        SoftmaxMLP
            The same object.

        Raises
        ------
        ValueError
            If there is one class only, or `dropout` is not from 0 to below 1.
        """
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; expected a number from 0 to below 1")
        X, y = validate_data(self, X, y, dtype=np.float64)
        self.classes_, codes = np.unique(y, return_inverse=True)
        n, n_classes = len(X), len(self.classes_)
        if n_classes < 2:
            raise ValueError(f"the labels are of one class only: {self.classes_[0]}")
        weight = compute_class_weight(self.class_weight, classes=self.classes_, y=y)[codes]
        rng = np.random.default_rng(self.random_state)
        self.kernels_, self.biases_ = [], []
        for n_in, n_out in pairwise([X.shape[1], *self.hidden, n_classes]):
            limit = 1 / np.sqrt(n_in)
            self.kernels_.append(rng.uniform(-limit, limit, (n_in, n_out)))
            self.biases_.append(rng.uniform(-limit, limit, n_out))
        parameters = [*self.kernels_, *self.biases_]
        self.n_parameters_ = sum(array.size for array in parameters)
        first, second = ([np.zeros_like(array) for array in parameters] for _ in range(2))
        step, self.losses_ = 0, []
        rates = np.full(self.epochs, float(self.learning_rate))
        if self.last_rate is not None:
            rates = np.geomspace(self.learning_rate, self.last_rate, self.epochs)
        for rate_of_epoch in rates:
            order, losses = rng.permutation(n), []
            for start in range(0, n, self.batch_size):
                rows = order[start : start + self.batch_size]
                loss, gradients = self._gradients(X[rows], codes[rows], weight[rows], rng)
                losses.append(loss * len(rows))
                step += 1
                # Adam with its published constants; parameters are changed in place.
                rate = rate_of_epoch * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
                for array, gradient, m, v in zip(parameters, gradients, first, second, strict=True):
                    m += 0.1 * (gradient - m)
                    v += 0.001 * (gradient**2 - v)
                    array -= rate * m / (np.sqrt(v) + 1e-8)
            self.losses_.append(float(np.sum(losses) / n))
        return self

    def _layers(self, X: np.ndarray, rng: np.random.Generator | None = None) -> list[np.ndarray]:
        """Return the rows, the values of each hidden layer, and the logits.

        With `rng`, nodes are left out, and the others made larger by as much.
        """
        values = [X]
        for number, (kernel, bias) in enumerate(zip(self.kernels_, self.biases_, strict=True), 1):
            out = values[-1] @ kernel + bias
            if number < len(self.kernels_):
                out = np.maximum(out, 0)
                if rng is not None and self.dropout:
                    out *= (rng.random(out.shape) >= self.dropout) / (1 - self.dropout)
            values.append(out)
        return values

    def _gradients(
        self,
        X: np.ndarray,
        codes: np.ndarray,
        weight: np.ndarray,
        rng: np.random.Generator | None = None,
    ) -> tuple[float, list[np.ndarray]]:
        """Return the weighted mean loss of some rows and its gradients, kernels first.

        The gradients, but not the loss, are those with the penalties.
        """
        values = self._layers(X, rng)
        share = weight / weight.sum()
        change = softmax(values[-1], axis=1)
        rows = np.arange(len(X))
        loss = -share @ np.log(np.maximum(change[rows, codes], 1e-300))
        change[rows, codes] -= 1
        change *= share[:, None]
        kernels: list[np.ndarray] = []
        biases: list[np.ndarray] = []
        kept = 1 / (1 - self.dropout) if rng is not None else 1.0
        for number in reversed(range(len(self.kernels_))):
            kernel = self.kernels_[number]
            penalty = self.l1 * np.sign(kernel) + 2 * self.l2 * kernel
            kernels.insert(0, values[number].T @ change + penalty)
            biases.insert(0, change.sum(axis=0))
            change = kept * (change @ kernel.T) * (values[number] > 0)
        return float(loss), [*kernels, *biases]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class for each row.

        Parameters
        ----------
        X : (n_rows, n_columns) array
            Numbers without NaN.

        Returns
        -------
        (n_rows, n_classes) ndarray of float64
        """
        check_is_fitted(self, "kernels_")
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return np.asarray(softmax(self._layers(X)[-1], axis=1))

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable label of each row.

        Parameters
        ----------
        X : (n_rows, n_columns) array
            Numbers without NaN.

        Returns
        -------
        (n_rows,) ndarray
        """
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
