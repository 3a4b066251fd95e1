"""Models of the attributes of patients, with the search grids of a published report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from hemafeat.pipelines._patients.attributes import PatientAttributes
from hemafeat.pipelines._search import ValidatedSearch
from hemafeat.pipelines._softmax_mlp import SoftmaxMLP
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
