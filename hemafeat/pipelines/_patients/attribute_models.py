"""Models of the attributes of patients, with the search grids of a published report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import check_is_fitted, validate_data

from hemafeat._public import public
from hemafeat.pipelines._patients.attributes import PatientAttributes
from hemafeat.pipelines._search import ValidatedSearch
from hemafeat.pipelines._steps.best_of import BestOf, few_columns
from hemafeat.pipelines._steps.boosted import BoostedTrees
from hemafeat.pipelines._steps.missing import FillMissing
from hemafeat.pipelines._steps.penalised import PenalisedLogistic
from hemafeat.pipelines._steps.support_vectors import SupportVectors

_C = [1e-6, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0]
_SOLVERS = ["lbfgs", "newton-cg", "sag", "saga"]

Grid = list[dict[str, list[Any]]]


def _classifiers(random_state: int) -> dict[str, Callable[[], Any]]:
    """Return the functions that make the classifiers, by name."""
    return {
        "logistic": lambda: PenalisedLogistic(random_state=random_state),
        "svc": lambda: SupportVectors(C=1.0),
        "tree": lambda: DecisionTreeClassifier(class_weight="balanced", random_state=random_state),
        "random_forest": lambda: RandomForestClassifier(
            20, class_weight="balanced", random_state=random_state
        ),
        "knn": lambda: KNeighborsClassifier(5),
        "xgboost": lambda: BoostedTrees(n_estimators=100, max_depth=2, random_state=random_state),
        "neural": lambda: SoftmaxMLP(class_weight="balanced", random_state=random_state),
    }


_REPORT: dict[str, Grid] = {
    "logistic": [
        {"penalised": ["none"], "solver": _SOLVERS},
        {"penalised": ["l2"], "solver": [*_SOLVERS, "liblinear"], "C": _C},
        {"penalised": ["l1"], "solver": ["liblinear", "saga"], "C": _C},
        {
            "penalised": ["elastic"],
            "solver": ["saga"],
            "C": _C,
            "share": [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1],
        },
    ],
    "svc": [
        {"kernel": ["linear"], "C": _C},
        {"kernel": ["rbf", "sigmoid"], "C": _C, "gamma": ["scale", "auto"]},
        {"kernel": ["poly"], "C": _C, "gamma": ["scale", "auto"], "degree": [2, 3]},
    ],
    "tree": [{"criterion": ["gini", "entropy", "log_loss"], "splitter": ["best", "random"]}],
    "random_forest": [
        {
            "criterion": ["gini", "entropy", "log_loss"],
            "n_estimators": [5, 10, 20, 30, 50, 100, 200],
        }
    ],
    "knn": [{"n_neighbors": [1, 3, 5, 7, 9, 15], "weights": ["uniform", "distance"]}],
    "xgboost": [{"n_estimators": [50, 100, 200], "max_depth": [1, 2, 3]}],
    "neural": [{"learning_rate": [0.1, 0.01, 0.001]}],
}
_SHORT: dict[str, Grid] = {
    "logistic": [{"C": _C}],
    "svc": [{"kernel": ["linear", "rbf"], "C": [0.1, 1.0, 10.0]}],
    "tree": [{"criterion": ["gini", "entropy"]}],
    "random_forest": [{"n_estimators": [20, 100], "min_samples_leaf": [1, 4]}],
    "knn": [{"n_neighbors": [3, 7, 15]}],
    "xgboost": [{"n_estimators": [50, 200]}],
    "neural": [{"learning_rate": [0.01, 0.001]}],
}

_GRIDS = {"report": _REPORT, "short": _SHORT}


def attributes_only(
    model: str = "logistic",
    *,
    grid: str | None = None,
    columns: Sequence[str] | None = None,
    year: int = 2024,
    n_splits: int = 5,
    random_state: int = 0,
) -> Any:
    """Classify patients by their attributes alone, without looking at the cells.

    Parameters
    ----------
    model : {"logistic", "svc", "tree", "random_forest", "knn", "xgboost", "neural", "best"}
        Classifier of the attributes. ``"best"``, the baseline ``"metadata"`` of comparisons, is the
        `BestOf` a threshold of one attribute, a logistic regression, one of the logarithms, and
        boosted trees, chosen on the training patients.
    grid : {"report", "short"}, optional
        Search grid for the parameters of the classifier, by balanced accuracy on inner folds of the
        training patients, or on the validation part of a protocol that has one: ``"report"`` holds
        the values of the report on lymphocytosis [1]_, ``"short"`` a few of them. By default there
        is no search, and the parameters are the best ones of that report, with a penalty for the
        logistic regression.
    columns : list of str, optional
        Attributes to use, see `PatientAttributes`. By default all columns except ``cells`` and
        ``label``.
    year : int
        Year in which ages are counted.
    n_splits : int
        Number of folds of the search or choice.
    random_state : int
        Seed of the classifier and of the folds.

    Returns
    -------
    sklearn.pipeline.Pipeline or ValidatedSearch
        Unfitted, with the steps ``attributes``, ``fill``, ``scale`` (not with ``"best"``, which
        scales where it is needed) and ``model``. It takes rows of `bags`, or any table with one row
        per patient.

    Raises
    ------
    ValueError
        If there is no classifier or grid of that name.

    Notes
    -----
    The report selected its parameters on the patients whose scores it reported, did not scale the
    columns, and did not weight the classes. Here the selection sees training patients only, a row
    being a patient, unless the protocol has a validation part (see `ValidatedSearch`; that of
    ``"leaky-lymphocytosis"`` is the part that is scored, as in the report); columns are scaled,
    without which its grid of penalties means nothing; and the classes weigh the same.
    ``set_params(scale="passthrough", model__class_weight=None)`` undoes both. k-nearest neighbours
    and boosted trees are not in the report. ``"neural"`` is its network, a `SoftmaxMLP`, of 78
    parameters for three attributes.

    References
    ----------
    .. [1] B. Kabongo and J. C. Tonga, "Lymphocytosis classification", project report, ENS
       Paris-Saclay, 2024.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> rows = pd.DataFrame({"dob": ["1940", "1951", "1989", "1995"], "sex": ["F", "M", "f", "m"]})
    >>> model = pipelines.attributes_only().fit(rows, ["ill", "ill", "well", "well"])
    >>> model.predict(pd.DataFrame({"dob": ["1945"], "sex": ["M"]})).tolist()
    ['ill']
    """
    classifiers = _classifiers(random_state)
    steps: list[tuple[str, Any]] = [
        ("attributes", PatientAttributes(columns, year)),
        ("fill", FillMissing()),
    ]
    if model == "best":
        if grid is not None:
            raise ValueError("model='best' has no grid")
        choice = BestOf(few_columns(random_state), n_splits=n_splits, random_state=random_state)
        return Pipeline([*steps, ("model", choice)])
    if model not in classifiers:
        raise ValueError(
            f"there is no model of attributes {model!r}; choose from {', '.join(classifiers)}, best"
        )
    pipeline = Pipeline([*steps, ("scale", StandardScaler()), ("model", classifiers[model]())])
    if grid is None:
        return pipeline
    if grid not in _GRIDS:
        raise ValueError(f"there is no grid {grid!r}; choose from {', '.join(_GRIDS)}")
    space = [
        {f"model__{key}": values for key, values in part.items()} for part in _GRIDS[grid][model]
    ]
    folds = StratifiedKFold(n_splits, shuffle=True, random_state=random_state)
    return ValidatedSearch(pipeline, space, scoring="balanced_accuracy", cv=folds)


@public
class SoftmaxMLP(ClassifierMixin, BaseEstimator):
    """Small multilayer perceptron with one output per class, also for two classes.

    Parameters
    ----------
    hidden : sequence of int
        Numbers of nodes of the hidden layers, which have a ReLU.
    learning_rate : float
        Learning rate of Adam [1]_.
    batch_size : int
        Number of rows per step.
    epochs : int
        Number of passes over the rows, all of which are run.
    class_weight : {"balanced"}, dict or None
        Weights of the classes in the loss, the cross-entropy, as in scikit-learn.
    random_state : int
        Seed of the weights and of the order of the rows.

    Attributes
    ----------
    classes_ : ndarray
        The labels, sorted.
    kernels_, biases_ : list of ndarray
        Weights of the layers, (n_in, n_out) and (n_out,).
    n_parameters_ : int
        Number of weights.
    losses_ : list of float
        Mean loss of each epoch.

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
        learning_rate: float = 0.01,
        batch_size: int = 8,
        epochs: int = 100,
        class_weight: Any = None,
        random_state: int = 0,
    ) -> None:
        self.hidden = hidden
        self.learning_rate = learning_rate
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
            If there is one class only.
        """
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
        for _ in range(self.epochs):
            order, losses = rng.permutation(n), []
            for start in range(0, n, self.batch_size):
                rows = order[start : start + self.batch_size]
                loss, gradients = self._gradients(X[rows], codes[rows], weight[rows])
                losses.append(loss * len(rows))
                step += 1
                # Adam with its published constants; parameters are changed in place.
                rate = self.learning_rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
                for array, gradient, m, v in zip(parameters, gradients, first, second, strict=True):
                    m += 0.1 * (gradient - m)
                    v += 0.001 * (gradient**2 - v)
                    array -= rate * m / (np.sqrt(v) + 1e-8)
            self.losses_.append(float(np.sum(losses) / n))
        return self

    def _layers(self, X: np.ndarray) -> list[np.ndarray]:
        """Return the rows, the values of each hidden layer, and the logits."""
        values = [X]
        for number, (kernel, bias) in enumerate(zip(self.kernels_, self.biases_, strict=True), 1):
            out = values[-1] @ kernel + bias
            values.append(out if number == len(self.kernels_) else np.maximum(out, 0))
        return values

    def _gradients(
        self, X: np.ndarray, codes: np.ndarray, weight: np.ndarray
    ) -> tuple[float, list[np.ndarray]]:
        """Return the weighted mean loss of some rows and its gradients, kernels first."""
        values = self._layers(X)
        share = weight / weight.sum()
        change = softmax(values[-1], axis=1)
        rows = np.arange(len(X))
        loss = -share @ np.log(np.maximum(change[rows, codes], 1e-300))
        change[rows, codes] -= 1
        change *= share[:, None]
        kernels: list[np.ndarray] = []
        biases: list[np.ndarray] = []
        for number in reversed(range(len(self.kernels_))):
            kernels.insert(0, values[number].T @ change)
            biases.insert(0, change.sum(axis=0))
            change = change @ self.kernels_[number].T * (values[number] > 0)
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
