"""Models of a patient's attributes alone, with the grids of a published report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.validation import check_is_fitted

from hemafeat._public import public
from hemafeat.pipelines._patients.attributes import DateFormat, PatientAttributes
from hemafeat.pipelines._steps.boosted import BoostedTrees
from hemafeat.pipelines._steps.missing import FillMissing
from hemafeat.pipelines._steps.support_vectors import SupportVectors

_C = [1e-6, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0]
_SMOOTH = ["lbfgs", "newton-cg", "sag", "saga"]


@public
class PenalisedLogistic(ClassifierMixin, BaseEstimator):
    """Logistic regression whose penalty has the same name in every scikit-learn.

    Parameters
    ----------
    penalised : {"l2", "l1", "elastic", "none"}
        What is added to the loss.
    C : float
        Inverse strength of it.
    share : float
        Of L1 in ``"elastic"``.
    solver : str
        As in `sklearn.linear_model.LogisticRegression`.
    class_weight : "balanced", dict or None
        As in scikit-learn.
    random_state : int
        Seed of the solvers that draw.
    """

    def __init__(
        self,
        penalised: str = "l2",
        C: float = 1.0,
        share: float = 0.5,
        solver: str = "lbfgs",
        class_weight: Any = "balanced",
        random_state: int = 0,
    ) -> None:
        self.penalised = penalised
        self.C = C
        self.share = share
        self.solver = solver
        self.class_weight = class_weight
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the regression."""
        shares = {"none": 0.0, "l2": 0.0, "l1": 1.0, "elastic": self.share}
        if self.penalised not in shares:
            raise ValueError(f"penalised={self.penalised!r}: there are {', '.join(shares)}")
        if LogisticRegression().penalty == "deprecated":
            C = np.inf if self.penalised == "none" else self.C
            given: dict[str, Any] = {"C": C, "l1_ratio": shares[self.penalised]}
        else:
            names = {"none": None, "l2": "l2", "l1": "l1", "elastic": "elasticnet"}
            given = {"C": self.C, "penalty": names[self.penalised]}
            if self.penalised == "elastic":
                given["l1_ratio"] = self.share
        self.model_ = LogisticRegression(
            solver=self.solver,
            class_weight=self.class_weight,
            max_iter=5000,
            random_state=self.random_state,
            **given,
        ).fit(X, y)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities, in the order of ``classes_``."""
        check_is_fitted(self, "model_")
        return np.asarray(self.model_.predict_proba(X))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each row."""
        check_is_fitted(self, "model_")
        return np.asarray(self.model_.predict(X))


def _model(name: str, random_state: int) -> Any:
    makers = {
        "logistic": lambda: PenalisedLogistic(random_state=random_state),
        "svc": lambda: SupportVectors(C=1.0),
        "tree": lambda: DecisionTreeClassifier(class_weight="balanced", random_state=random_state),
        "random_forest": lambda: RandomForestClassifier(
            20, class_weight="balanced", random_state=random_state
        ),
        "knn": lambda: KNeighborsClassifier(5),
        "xgboost": lambda: BoostedTrees(n_estimators=100, max_depth=2, random_state=random_state),
        "neural": lambda: MLPClassifier(
            (8, 4), learning_rate_init=0.01, batch_size=8, max_iter=100, random_state=random_state
        ),
    }
    if name not in makers:
        raise ValueError(f"no model of attributes {name!r}; there are: {', '.join(makers)}")
    return makers[name]()


_GRIDS: dict[str, list[dict[str, list[Any]]]] = {
    "logistic": [
        {"penalised": ["none"], "solver": _SMOOTH},
        {"penalised": ["l2"], "solver": [*_SMOOTH, "liblinear"], "C": _C},
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
    "neural": [{"learning_rate_init": [0.1, 0.01, 0.001]}],
}
_SHORT: dict[str, list[dict[str, list[Any]]]] = {
    "logistic": [{"C": _C}],
    "svc": [{"kernel": ["linear", "rbf"], "C": [0.1, 1.0, 10.0]}],
    "tree": [{"criterion": ["gini", "entropy"]}],
    "random_forest": [{"n_estimators": [20, 100], "min_samples_leaf": [1, 4]}],
    "knn": [{"n_neighbors": [3, 7, 15]}],
    "xgboost": [{"n_estimators": [50, 200]}],
    "neural": [{"learning_rate_init": [0.01, 0.001]}],
}

ATTRIBUTE_MODELS = tuple(_GRIDS)


def attributes_only(
    model: str = "logistic",
    *,
    grid: str | None = None,
    columns: Sequence[str] | None = None,
    year: int = 2024,
    n_splits: int = 5,
    random_state: int = 0,
) -> Any:
    """A model of a patient's attributes, cells unseen: what the label can be guessed from.

    Parameters
    ----------
    model : {"logistic", "svc", "tree", "random_forest", "knn", "xgboost", "neural"}
        Which model.
    grid : {"report", "short"}, optional
        Choose its parameters by cross-validation over the training patients, by balanced accuracy:
        ``"report"`` among the values of the report on lymphocytosis [1]_, ``"short"`` among a few.
        None: the best ones of that report, with a penalty for the logistic regression.
    columns : list of str, optional
        The attributes, see `PatientAttributes`.
    year : int
        The year that ages are counted to.
    n_splits : int
        Inner folds.
    random_state : int
        Seed.

    Returns
    -------
    sklearn.pipeline.Pipeline or sklearn.model_selection.GridSearchCV
        Steps ``attributes``, ``fill``, ``scale``, ``model``. Takes rows of `bags`, or any table
        with one row per patient.

    Raises
    ------
    ValueError
        No such model or grid.

    Notes
    -----
    The report chose among its values on the patients it then reported, did not scale, and did not
    weigh the classes. Here the choice is made inside the training patients, a row being a patient;
    columns are scaled, because its grid of penalties means nothing without; and classes weigh the
    same. k-nearest neighbours and boosted trees are not in the report.

    References
    ----------
    .. [1] B. Kabongo and J. C. Tonga, "Lymphocytosis classification", project report, ENS
       Paris-Saclay, 2024.
    """
    steps = [
        ("attributes", PatientAttributes(columns, year)),
        ("fill", FillMissing()),
        ("scale", StandardScaler()),
        ("model", _model(model, random_state)),
    ]
    pipeline = Pipeline(steps)
    if grid is None:
        return pipeline
    grids = {"report": _GRIDS, "short": _SHORT}
    if grid not in grids:
        raise ValueError(f"no grid {grid!r}; there are: report, short")
    space = [{f"model__{key}": v for key, v in part.items()} for part in grids[grid][model]]
    folds = StratifiedKFold(n_splits, shuffle=True, random_state=random_state)
    return GridSearchCV(pipeline, space, scoring="balanced_accuracy", cv=folds)


def date_format_only(*, columns: Sequence[str] | None = None) -> Pipeline:
    """A model of how dates of birth are written, not of when: a probe for a leak.

    Parameters
    ----------
    columns : list of str, optional
        Columns of dates as text; by default those that hold a date of birth.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``format``, ``model``.
    """
    steps = [("format", DateFormat(columns)), ("model", PenalisedLogistic())]
    return Pipeline(steps)
