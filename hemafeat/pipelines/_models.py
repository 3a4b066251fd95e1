"""The pipelines: functions that return ordinary, unfitted scikit-learn estimators."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from hemafeat.pipelines._steps.boosted import BoostedTrees
from hemafeat.pipelines._steps.columns import FeatureColumns
from hemafeat.pipelines._steps.missing import FillMissing
from hemafeat.pipelines._steps.scale import ClippedScaler
from hemafeat.pipelines._steps.support_vectors import SupportVectors
from hemafeat.pipelines._steps.whiten import PartialWhitening


def build(maker: Callable[..., Any], random_state: int | None = None, **params: Any) -> Any:
    """Return the model of a maker, which gets the seed if it has a parameter `random_state`."""
    if random_state is not None and "random_state" in inspect.signature(maker).parameters:
        params["random_state"] = random_state
    return maker(**params)


def _dense() -> list[tuple[str, Any]]:
    """Steps for models that need every value, on one scale."""
    return [("fill", FillMissing()), ("scale", ClippedScaler())]


def baseline() -> Pipeline:
    """Always the most frequent class, with the class shares as probabilities.

    What every other model is measured against.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``columns``, ``model``.
    """
    return Pipeline([("columns", FeatureColumns()), ("model", DummyClassifier(strategy="prior"))])


def logistic(*, C: float = 0.1, class_weight: Any = "balanced", max_iter: int = 500) -> Pipeline:
    """Multinomial logistic regression with an L2 penalty.

    Parameters
    ----------
    C : float
        Inverse strength of the penalty.
    class_weight : "balanced", dict or None
        As in scikit-learn.
    max_iter : int
        Most iterations of the solver (L-BFGS).

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``columns``, ``fill``, ``scale``, ``model``.
    """
    model = LogisticRegression(C=C, class_weight=class_weight, max_iter=max_iter)
    return Pipeline([("columns", FeatureColumns()), *_dense(), ("model", model)])


def random_forest(
    *,
    n_estimators: int = 200,
    max_features: Any = "sqrt",
    min_samples_leaf: int = 1,
    class_weight: Any = "balanced",
    n_jobs: int = 1,
    random_state: int = 0,
) -> Pipeline:
    """Random forest [1]_.

    Parameters
    ----------
    n_estimators : int
        Trees.
    max_features : "sqrt", int or float
        Columns looked at per split.
    min_samples_leaf : int
        Least cells in a leaf.
    class_weight : "balanced", dict or None
        As in scikit-learn.
    n_jobs : int
        Threads; the result does not depend on it.
    random_state : int
        Seed.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``columns``, ``model``.

    Notes
    -----
    Missing values are left to the trees; filled ones did no better (.951 against .947 accuracy on
    1,280 cells, a difference of 5).

    References
    ----------
    .. [1] L. Breiman, "Random Forests", Machine Learning 45, 5-32, 2001.
    """
    model = RandomForestClassifier(
        n_estimators=n_estimators,
        max_features=max_features,
        min_samples_leaf=min_samples_leaf,
        class_weight=class_weight,
        n_jobs=n_jobs,
        random_state=random_state,
    )
    return Pipeline([("columns", FeatureColumns()), ("model", model)])


def svc(
    *,
    C: float = 10.0,
    gamma: Any = "scale",
    class_weight: Any = "balanced",
    slope: float = 5.0,
    power: float = 0.25,
    widen: float = 2.0,
) -> Pipeline:
    """Support vectors with a radial kernel [1]_, on axes that repeat each other less.

    Parameters
    ----------
    C : float
        Penalty on margin violations.
    gamma : {"scale", "auto"} or float
        Width of the kernel.
    class_weight : "balanced", dict or None
        As in scikit-learn.
    slope : float
        Steepness of the probabilities, see `SupportVectors`.
    power : float
        See `PartialWhitening`.
    widen : float
        See `SupportVectors`.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``columns``, ``fill``, ``scale``, ``whiten``, ``model``.

    Notes
    -----
    Chosen on 3,200 cells of the PBC set. 679 columns, 5 random folds: accuracy and log loss were
    .974 and .096 with plain standard scaling, .977 and .085 clipped at 3 deviations, .977 and .083
    to .086 with ranks (`QuantileTransformer`), which take two to three times as long. 831 columns,
    two other draws of 5 grouped folds: .981 without whitening, .983 to .985 with a power of .15 to
    .25 and a kernel twice to three times as wide, .982 to .984 with a power of .35; `C` between 5
    and 30 made no difference beyond .002.

    References
    ----------
    .. [1] C. Cortes and V. Vapnik, "Support-Vector Networks", Machine Learning 20, 273-297, 1995.
    """
    model = SupportVectors(C=C, gamma=gamma, class_weight=class_weight, slope=slope, widen=widen)
    whiten = ("whiten", PartialWhitening(power=power))
    return Pipeline([("columns", FeatureColumns()), *_dense(), whiten, ("model", model)])


def xgboost(
    *,
    n_estimators: int = 300,
    max_depth: int = 3,
    learning_rate: float = 0.1,
    class_weight: Any = "balanced",
    n_jobs: int = 1,
    random_state: int = 0,
    **params: Any,
) -> Pipeline:
    """Gradient-boosted trees, XGBoost's histogram method [1]_.

    Parameters
    ----------
    n_estimators, max_depth, learning_rate : int, int, float
        Rounds, depth of a tree, shrinkage.
    class_weight : "balanced", dict or None
        As in scikit-learn.
    n_jobs : int
        Threads.
    random_state : int
        Seed.
    **params
        Further parameters of `BoostedTrees`.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``columns``, ``model``.

    Notes
    -----
    Missing values are left to the trees. Few columns per tree and shallow trees suit hundreds of
    correlated columns: on 3,200 cells of the PBC set, 679 columns, 2 of 5 random folds, depth 3
    with 15 % of the columns per tree reached .977 accuracy and a log loss of .073, with 30 % .975
    and .076, depth 4 with half of the rows .971 and .079.

    References
    ----------
    .. [1] T. Chen and C. Guestrin, "XGBoost: A Scalable Tree Boosting System", KDD 2016.
    """
    model = BoostedTrees(
        n_estimators=n_estimators,
        max_depth=max_depth,
        learning_rate=learning_rate,
        class_weight=class_weight,
        n_jobs=n_jobs,
        random_state=random_state,
        **params,
    )
    return Pipeline([("columns", FeatureColumns()), ("model", model)])


def ldsvm(
    *,
    voting: str = "soft",
    smote: bool = False,
    pca: bool = False,
    C_logistic: float = 0.1,
    max_depth: int | None = None,
    C_svm: float = 10.0,
    random_state: int = 0,
) -> Pipeline:
    """Vote of a logistic regression, a decision tree and a support-vector machine (LDSVM [1]_).

    Parameters
    ----------
    voting : {"soft", "hard"}
        Mean of the probabilities, or one vote each.
    smote : bool
        Even out the classes with synthetic cells (SMOTE), inside the fold. Needs the extra
        ``balance``.
    pca : bool
        Rotate to the principal components that hold 99 % of the variance first.
    C_logistic, max_depth, C_svm : float, int or None, float
        Penalty, depth and penalty of the three members.
    random_state : int
        Seed.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``columns``, ``fill``, ``scale``, then ``pca`` and ``smote`` when asked for, and
        ``model``. With ``smote=True`` it is a Pipeline of imbalanced-learn.

    Raises
    ------
    ImportError
        ``smote=True`` without imbalanced-learn.

    Notes
    -----
    The published system was applied to gene-expression microarrays of leukaemia (GSE9476). It was
    never applied to images, and no published score carries over to cell features. Its abstract
    names the three members, k-fold cross-validation and a grid search. How the members are combined
    is not stated: the soft vote is this package's choice. PCA and SMOTE are often attributed to it
    but could not be confirmed, so they are switches, off by default.

    References
    ----------
    .. [1] F. K. Karim et al., "LDSVM: Leukemia Cancer Classification Using Machine Learning",
       Computers, Materials & Continua 71(2), 2022.
    """
    members = [
        (
            "logistic",
            LogisticRegression(C=C_logistic, class_weight="balanced", max_iter=500),
        ),
        (
            "tree",
            DecisionTreeClassifier(
                max_depth=max_depth, class_weight="balanced", random_state=random_state
            ),
        ),
        ("svm", SupportVectors(C=C_svm)),
    ]
    steps: list[tuple[str, Any]] = [("columns", FeatureColumns()), *_dense()]
    if pca:
        steps.append(("pca", PCA(n_components=0.99, svd_solver="full")))
    vote = ("model", VotingClassifier(members, voting=voting))
    if not smote:
        return Pipeline([*steps, vote])
    try:
        from imblearn.over_sampling import SMOTE
        from imblearn.pipeline import Pipeline as ResamplingPipeline
    except ImportError as error:
        raise ImportError(
            "ldsvm(smote=True) needs imbalanced-learn: pip install 'hemafeat[balance]'"
        ) from error
    return ResamplingPipeline([*steps, ("smote", SMOTE(random_state=random_state)), vote])


def soft_vote(
    *,
    C: float = 10.0,
    n_rounds: int = 300,
    n_trees: int = 200,
    n_jobs: int = 1,
    random_state: int = 0,
) -> Pipeline:
    """Mean of the probabilities of `svc`, `xgboost` and `random_forest`.

    Parameters
    ----------
    C : float
        Penalty of the support vectors.
    n_rounds : int
        Rounds of boosting.
    n_trees : int
        Trees of the forest.
    n_jobs : int
        Threads of the trees.
    random_state : int
        Seed.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``columns``, ``model``; the members are ``svc``, ``xgboost``, ``random_forest``.
    """
    members = [
        ("svc", svc(C=C)),
        ("xgboost", xgboost(n_estimators=n_rounds, n_jobs=n_jobs, random_state=random_state)),
        (
            "random_forest",
            random_forest(n_estimators=n_trees, n_jobs=n_jobs, random_state=random_state),
        ),
    ]
    # Each member would otherwise select its columns once more, from an array without names.
    parts = [(name, Pipeline(member.steps[1:])) for name, member in members]
    return Pipeline(
        [("columns", FeatureColumns()), ("model", VotingClassifier(parts, voting="soft"))]
    )


ON_FEATURES: dict[str, Callable[..., Pipeline]] = {
    "baseline": baseline,
    "logistic": logistic,
    "random_forest": random_forest,
    "svc": svc,
    "xgboost": xgboost,
    "ldsvm": ldsvm,
    "soft_vote": soft_vote,
}
"""Pipelines on features by name."""


def grey_pixels(
    *, crop: int = 256, size: int | None = None, n_jobs: int = 1, random_state: int = 0
) -> Pipeline:
    """Random forest on the grey pixels of the image centre [1]_: takes images, not features.

    Parameters
    ----------
    crop : int
        Side of the square cut from the image centre, in px.
    size : int, optional
        Side it is resized to; None keeps it.
    n_jobs : int
        Threads.
    random_state : int
        Seed.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``pixels``, ``model``. `fit` takes a table with a column ``image``, or a list of paths
        or arrays.

    Notes
    -----
    The original drew 500 cells per class with replacement before it split them, so that about 19 %
    of its test cells were copies of training cells; its accuracy of .84 (.82 in its own
    cross-validation, with the same leak) is therefore not a target. Under `evaluate.compare` the
    same model is scored without the copies.

    References
    ----------
    .. [1] L. Bernard et al., "Blood cells" project report, DataScientest (repository
       lbernard9/bloodcells): centre crop of 256 px, grey, flattened, RandomForestClassifier().
    """
    from hemafeat.pipelines._steps.grey import GreyPixels

    model = RandomForestClassifier(n_jobs=n_jobs, random_state=random_state)
    return Pipeline([("pixels", GreyPixels(crop=crop, size=size)), ("model", model)])


def metadata_only(
    *, n_estimators: int = 100, min_samples_leaf: int = 3, random_state: int = 0
) -> Pipeline:
    """Random forest on attribute columns: what the label can be guessed from without the image.

    Parameters
    ----------
    n_estimators : int
        Trees.
    min_samples_leaf : int
        Least cells in a leaf.
    random_state : int
        Seed.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``encode``, ``model``; takes a table of numbers and words. Words are one-hot coded.
    """
    encode = ColumnTransformer(
        [
            ("numbers", FillMissing(), make_column_selector(dtype_include="number")),
            (
                "words",
                OneHotEncoder(handle_unknown="ignore", sparse_output=False),
                make_column_selector(dtype_exclude="number"),
            ),
        ],
        verbose_feature_names_out=False,
    )
    model: Any = RandomForestClassifier(
        n_estimators=n_estimators,
        min_samples_leaf=min_samples_leaf,
        class_weight="balanced",
        random_state=random_state,
    )
    return Pipeline([("encode", encode), ("model", model)])
