"""Classifiers of cells, as functions that return ordinary, unfitted scikit-learn estimators."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from hemafeat._machine import how_to_install
from hemafeat.pipelines._softmax_mlp import SoftmaxMLP
from hemafeat.pipelines._steps.best_of import BestOf, few_columns
from hemafeat.pipelines._steps.boosted import BoostedTrees
from hemafeat.pipelines._steps.columns import FeatureColumns
from hemafeat.pipelines._steps.grey import GreyPixels
from hemafeat.pipelines._steps.inner_folds import GROUP, GroupedFolds
from hemafeat.pipelines._steps.missing import FillMissing
from hemafeat.pipelines._steps.pipeline import CellPipeline
from hemafeat.pipelines._steps.scale import ClippedScaler
from hemafeat.pipelines._steps.support_vectors import SupportVectors
from hemafeat.pipelines._steps.whiten import PartialWhitening


def build(maker: Callable[..., Any], random_state: int | None = None, **params: Any) -> Any:
    """Return the model of a maker, which gets the seed if it has a parameter `random_state`."""
    if random_state is not None and "random_state" in inspect.signature(maker).parameters:
        params["random_state"] = random_state
    return maker(**params)


def _dense_steps() -> list[tuple[str, Any]]:
    """Return the steps for models that need every value, on one scale."""
    return [("fill", FillMissing()), ("scale", ClippedScaler())]


def baseline() -> CellPipeline:
    """Predict the most frequent class, with the shares of the classes as probabilities.

    Every other model is measured against this one.

    Returns
    -------
    CellPipeline
        Unfitted, with the steps ``columns`` and ``model``.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> table = pd.DataFrame({"cell__shape__area": [1.0, 2.0, 9.0]})
    >>> pipelines.baseline().fit(table, ["a", "a", "b"]).predict(table).tolist()
    ['a', 'a', 'a']
    """
    return CellPipeline(
        [("columns", FeatureColumns()), ("model", DummyClassifier(strategy="prior"))]
    )


def logistic(
    *, C: float = 0.1, class_weight: Any = "balanced", max_iter: int = 500
) -> CellPipeline:
    """Classify cells by multinomial logistic regression with an L2 penalty.

    Parameters
    ----------
    C : float
        Inverse strength of the penalty.
    class_weight : "balanced", dict or None
        Weights of the classes, as in scikit-learn.
    max_iter : int
        Largest number of iterations of the solver (L-BFGS).

    Returns
    -------
    CellPipeline
        Unfitted, with the steps ``columns``, ``fill``, ``scale`` and ``model``.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> table = pd.DataFrame({"cell__shape__area": [1.0, 2.0, 8.0, 9.0], "label": list("aabb")})
    >>> pipelines.logistic().fit(table, table["label"]).predict(table).tolist()
    ['a', 'a', 'b', 'b']
    """
    model = LogisticRegression(C=C, class_weight=class_weight, max_iter=max_iter)
    return CellPipeline([("columns", FeatureColumns()), *_dense_steps(), ("model", model)])


def random_forest(
    *,
    n_estimators: int = 200,
    max_features: Any = "sqrt",
    min_samples_leaf: int = 1,
    class_weight: Any = "balanced",
    n_jobs: int = 1,
    random_state: int = 0,
) -> CellPipeline:
    """Classify cells by a random forest.

    The method is that of [1]_.

    Parameters
    ----------
    n_estimators : int
        Number of trees.
    max_features : "sqrt", int or float
        Number or share of the columns that are tried at each split.
    min_samples_leaf : int
        Smallest number of cells in a leaf.
    class_weight : "balanced", dict or None
        Weights of the classes, as in scikit-learn.
    n_jobs : int
        Number of threads. The result does not depend on it.
    random_state : int
        Seed of the trees.

    Returns
    -------
    CellPipeline
        Unfitted, with the steps ``columns`` and ``model``.

    Notes
    -----
    Missing values are left to the trees. Filling them was no better (accuracy .951 against .947 on
    1,280 cells, a difference of 5).

    References
    ----------
    .. [1] L. Breiman, "Random Forests", Machine Learning 45, 5-32, 2001.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> table = pd.DataFrame({"cell__shape__area": [1.0, 2.0, 8.0, 9.0], "label": list("aabb")})
    >>> model = pipelines.random_forest(n_estimators=20).fit(table, table["label"])
    >>> model.predict(table).tolist()
    ['a', 'a', 'b', 'b']
    """
    model = RandomForestClassifier(
        n_estimators=n_estimators,
        max_features=max_features,
        min_samples_leaf=min_samples_leaf,
        class_weight=class_weight,
        n_jobs=n_jobs,
        random_state=random_state,
    )
    return CellPipeline([("columns", FeatureColumns()), ("model", model)])


def svc(
    *,
    C: float = 10.0,
    gamma: Any = "scale",
    class_weight: Any = "balanced",
    slope: float = 5.0,
    power: float = 0.25,
    widen: float = 5.0,
    plain: bool = False,
) -> CellPipeline:
    """Classify cells by a support-vector machine on partially whitened axes.

    The method is that of [1]_.

    Parameters
    ----------
    C : float
        Penalty of margin violations.
    gamma : {"scale", "auto"} or float
        Coefficient of the radial kernel.
    class_weight : "balanced", dict or None
        Weights of the classes, as in scikit-learn.
    slope : float
        Slope with which decision values become probabilities, see `SupportVectors`.
    power : float
        Exponent of the whitening, see `PartialWhitening`.
    widen : float
        Divisor of ``gamma="scale"``, see `SupportVectors`.
    plain : bool
        Whether the columns are standardised and nothing else, as publications mostly do [2]_:
        nothing is clipped or whitened, and `power` and `widen` are not used.

    Returns
    -------
    CellPipeline
        Unfitted, with the steps ``columns``, ``fill``, ``scale``, ``whiten`` (not if `plain`) and
        ``model``.

    Notes
    -----
    The settings were chosen on 3,200 cells of the PBC set. With 679 columns and 5 random folds,
    accuracy and log loss were .974 and .096 with plain standard scaling, .977 and .085 clipped at 3
    deviations, .977 and .083 to .086 with ranks (`QuantileTransformer`), which take two to three
    times as long. With 831 columns and two other draws of 5 grouped folds, accuracy was .981
    without whitening, .983 to .985 with a power of .15 to .25 and a kernel two to three times as
    wide, .982 to .984 with a power of .35; `C` between 5 and 30 changed no more than .002. With the
    545 columns of the default table, accuracy was .981 with a kernel twice as wide, .984 with one
    five times, .983 ten to thirty times as wide.

    A narrow kernel is what made this the worst model across laboratories: cells in another stain
    are far from all training cells, so that intercepts decide. With a kernel twice as wide, the
    largest kernel value of a cell and a support vector was .70 (median) in cells of PBC that were
    not trained on, .20 in those of BCCD and .11 in those of segmentation_WBC, 79 % of which fell
    into one class; five times as wide it is .87, .53 and .42. More in the guide, "Other
    laboratories".

    References
    ----------
    .. [1] C. Cortes and V. Vapnik, "Support-Vector Networks", Machine Learning 20, 273-297, 1995.
    .. [2] V. Singhal and P. Singh, "Local binary pattern for automatic detection of acute
       lymphoblastic leukemia", NCC 2014; the kernel and its search are not known, a radial one with
       `search_space` is a choice of this package.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> table = pd.DataFrame({"cell__shape__area": [1.0, 2.0, 8.0, 9.0], "label": list("aabb")})
    >>> model = pipelines.svc(C=3.0).fit(table, table["label"])
    >>> model.predict(table).tolist()
    ['a', 'a', 'b', 'b']
    """
    if plain:
        plain_model = SupportVectors(C=C, gamma=gamma, class_weight=class_weight, slope=slope)
        return CellPipeline(
            [
                ("columns", FeatureColumns()),
                ("fill", FillMissing()),
                ("scale", StandardScaler()),
                ("model", plain_model),
            ]
        )
    model = SupportVectors(C=C, gamma=gamma, class_weight=class_weight, slope=slope, widen=widen)
    whiten = ("whiten", PartialWhitening(power=power))
    return CellPipeline([("columns", FeatureColumns()), *_dense_steps(), whiten, ("model", model)])


def xgboost(
    *,
    n_estimators: int = 300,
    max_depth: int = 3,
    learning_rate: float = 0.1,
    class_weight: Any = "balanced",
    n_jobs: int = 1,
    random_state: int = 0,
    **params: Any,
) -> CellPipeline:
    """Classify cells by gradient-boosted trees, with XGBoost's histogram method.

    The method is that of [1]_.

    Parameters
    ----------
    n_estimators : int
        Number of rounds of boosting.
    max_depth : int
        Depth of the trees.
    learning_rate : float
        Shrinkage of each tree.
    class_weight : "balanced", dict or None
        Weights of the classes, as in scikit-learn.
    n_jobs : int
        Number of threads.
    random_state : int
        Seed of the trees.
    **params
        Further parameters of `BoostedTrees`.

    Returns
    -------
    CellPipeline
        Unfitted, with the steps ``columns`` and ``model``.

    Notes
    -----
    Missing values are left to the trees. Shallow trees on few columns each suit hundreds of
    correlated columns: on 3,200 cells of the PBC set, 679 columns, 2 of 5 random folds, depth 3
    with 15 % of the columns per tree reached an accuracy of .977 and a log loss of .073, with 30 %
    .975 and .076, depth 4 with half of the rows .971 and .079.

    References
    ----------
    .. [1] T. Chen and C. Guestrin, "XGBoost: A Scalable Tree Boosting System", KDD 2016.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> table = pd.DataFrame({"cell__shape__area": [1.0, 2.0, 3.0, 7.0, 8.0, 9.0]})
    >>> model = pipelines.xgboost(n_estimators=20, min_child_weight=0.1, subsample=1.0)
    >>> model.fit(table, list("aaabbb")).predict(table).tolist()
    ['a', 'a', 'a', 'b', 'b', 'b']
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
    return CellPipeline([("columns", FeatureColumns()), ("model", model)])


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
    """Combine a logistic regression, a decision tree and a support-vector machine (LDSVM).

    The method is that of [1]_.

    Parameters
    ----------
    voting : {"soft", "hard"}
        Whether the probabilities are averaged, or the predicted labels counted.
    smote : bool
        Whether synthetic cells (SMOTE) balance the classes of the training cells. Needs
        imbalanced-learn (extra ``balance``).
    pca : bool
        Whether the columns are first replaced by the principal components that hold 99 % of the
        variance.
    C_logistic : float
        Inverse strength of the penalty of the logistic regression.
    max_depth : int, optional
        Depth of the tree; unlimited by default.
    C_svm : float
        Penalty of margin violations of the support-vector machine.
    random_state : int
        Seed of the tree and of the synthetic cells.

    Returns
    -------
    CellPipeline
        Unfitted, with the steps ``columns``, ``fill``, ``scale``, then ``pca`` and ``smote`` if
        switched on, and ``model``. With ``smote=True`` it is a Pipeline of imbalanced-learn.

    Raises
    ------
    ImportError
        If ``smote=True`` and imbalanced-learn is not installed.

    Notes
    -----
    The published system was applied to gene-expression microarrays of leukaemia (GSE9476), never to
    images, so that no published score carries over to features of cells. Its abstract names the
    three members, k-fold cross-validation and a grid search, but not how the members are combined:
    the soft vote is a choice of this package. PCA and SMOTE are often attributed to it, which could
    not be confirmed, so they are off by default.

    References
    ----------
    .. [1] F. K. Karim et al., "LDSVM: Leukemia Cancer Classification Using Machine Learning",
       Computers, Materials & Continua 71(2), 2022.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> table = pd.DataFrame({"cell__shape__area": [1.0, 2.0, 8.0, 9.0], "label": list("aabb")})
    >>> model = pipelines.ldsvm().fit(table, table["label"])
    >>> [name for name, _ in model["model"].estimators]
    ['logistic', 'tree', 'svm']
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
    steps: list[tuple[str, Any]] = [("columns", FeatureColumns()), *_dense_steps()]
    if pca:
        steps.append(("pca", PCA(n_components=0.99, svd_solver="full")))
    vote = ("model", VotingClassifier(members, voting=voting))
    if not smote:
        return CellPipeline([*steps, vote])
    try:
        from imblearn.over_sampling import SMOTE
        from imblearn.pipeline import Pipeline as ResamplingPipeline
    except ImportError as error:
        raise ImportError(
            "ldsvm(smote=True) needs imbalanced-learn: "
            + how_to_install("imbalanced-learn", "balance")
        ) from error
    return ResamplingPipeline([*steps, ("smote", SMOTE(random_state=random_state)), vote])


def mlp(
    hidden: Sequence[int] = (2048, 2048, 2048),
    *,
    dropout: float = 0.5,
    l1: float = 1e-5,
    l2: float = 1e-5,
    learning_rate: float = 1e-4,
    last_rate: float | None = 1e-5,
    batch_size: int = 32,
    epochs: int = 40,
    class_weight: Any = "balanced",
    random_state: int = 0,
) -> CellPipeline:
    """Classify by a multilayer perceptron with dropout.

    The method is that of [1]_.

    Parameters
    ----------
    hidden : sequence of int
        Numbers of nodes of the hidden layers.
    dropout, l1, l2, learning_rate, last_rate, batch_size, epochs, class_weight
        As in `SoftmaxMLP`. Batch size, number of epochs and class weights are choices of this
        package.
    random_state : int
        Seed of the weights, of the order of the cells and of the dropout.

    Returns
    -------
    CellPipeline
        Unfitted, with the steps ``columns``, ``fill``, ``scale`` and ``model``.

    References
    ----------
    .. [1] J. E. M. de Oliveira and D. O. Dantas, code of the features and the network for C-NMC
       2019: three layers of 2,048 nodes on 1,387 columns.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> table = pd.DataFrame({"cell__shape__area": [1.0, 2.0, 8.0, 9.0], "label": list("aabb")})
    >>> model = pipelines.mlp((8,), dropout=0, learning_rate=0.01, epochs=100)
    >>> model.fit(table, table["label"]).predict(table).tolist()
    ['a', 'a', 'b', 'b']
    """
    network = SoftmaxMLP(
        hidden,
        dropout=dropout,
        l1=l1,
        l2=l2,
        learning_rate=learning_rate,
        last_rate=last_rate,
        batch_size=batch_size,
        epochs=epochs,
        class_weight=class_weight,
        random_state=random_state,
    )
    return CellPipeline([("columns", FeatureColumns()), *_dense_steps(), ("model", network)])


def soft_vote(
    *,
    C: float = 10.0,
    n_rounds: int = 300,
    n_trees: int = 200,
    n_jobs: int = 1,
    random_state: int = 0,
) -> CellPipeline:
    """Average the probabilities of `svc`, `xgboost` and `random_forest`.

    Parameters
    ----------
    C : float
        Penalty of margin violations of the support-vector machine.
    n_rounds : int
        Number of rounds of boosting.
    n_trees : int
        Number of trees of the forest.
    n_jobs : int
        Number of threads of the trees.
    random_state : int
        Seed of the trees.

    Returns
    -------
    CellPipeline
        Unfitted, with the steps ``columns`` and ``model``, whose members are ``svc``, ``xgboost``
        and ``random_forest``.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> [name for name, _ in pipelines.soft_vote()["model"].estimators]
    ['svc', 'xgboost', 'random_forest']
    """
    members: list[tuple[str, Pipeline]] = [
        ("svc", svc(C=C)),
        ("xgboost", xgboost(n_estimators=n_rounds, n_jobs=n_jobs, random_state=random_state)),
        (
            "random_forest",
            random_forest(n_estimators=n_trees, n_jobs=n_jobs, random_state=random_state),
        ),
    ]
    # Each member would otherwise select its columns again, from an array without names.
    members = [(name, CellPipeline(member.steps[1:])) for name, member in members]
    return CellPipeline(
        [("columns", FeatureColumns()), ("model", VotingClassifier(members, voting="soft"))]
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
"""Classifiers on features by name."""


def grey_pixels(
    *,
    crop: int = 256,
    size: int | None = None,
    outside: str = "keep",
    segmenter: Any = "contours",
    n_jobs: int = 1,
    random_state: int = 0,
) -> Pipeline:
    """Classify images by a random forest on the grey pixels of their centre.

    The method is that of [1]_.

    Parameters
    ----------
    crop : int
        Side of the square that is cut from the centre of the image, in px.
    size : int, optional
        Side to which the square is resized, in px; `crop` by default.
    outside, segmenter : str, or callable for `segmenter`
        What becomes of the pixels outside the cell, and what finds the cell, see `GreyPixels`.
    n_jobs : int
        Number of threads.
    random_state : int
        Seed of the trees.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Unfitted, with the steps ``pixels`` and ``model``. It takes a table with a column ``image``,
        or a list of paths or arrays.

    Notes
    -----
    The original drew 500 cells per class with replacement before it split them, so that about 19 %
    of its test cells were copies of training cells. Its accuracy of .84 (.82 in its own
    cross-validation, with the same leak) is therefore not a target. `evaluate.compare` scores the
    same model without the copies.

    References
    ----------
    .. [1] L. Bernard et al., "Blood cells" project report, DataScientest (repository
       lbernard9/bloodcells): centre crop of 256 px, grey, flattened, RandomForestClassifier().

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import pipelines
    >>> images = [np.full((40, 40, 3), level, np.uint8) for level in (60, 70, 200, 210)]
    >>> model = pipelines.grey_pixels(crop=32, size=8).fit(images, ["a", "a", "b", "b"])
    >>> model.predict(images).tolist()
    ['a', 'a', 'b', 'b']
    """
    model = RandomForestClassifier(n_jobs=n_jobs, random_state=random_state)
    pixels = GreyPixels(crop=crop, size=size, outside=outside, segmenter=segmenter)
    return Pipeline([("pixels", pixels), ("model", model)])


def grey_pixels_svc(
    *, crop: int = 256, size: int | None = None, n_splits: int = 5, n_jobs: int = 1
) -> GridSearchCV:
    """Classify images by a support-vector machine on grey pixels, with its grid search.

    The method is that of [1]_.

    Parameters
    ----------
    crop : int
        Side of the square that is cut from the centre of the image, in px.
    size : int, optional
        Side to which the square is resized, in px; `crop` by default.
    n_splits : int
        Number of inner folds of the search.
    n_jobs : int
        Number of processes of the search.

    Returns
    -------
    sklearn.model_selection.GridSearchCV
        Unfitted search over ``C`` of .1, 1 and 10 and a linear or radial kernel, by accuracy, of a
        pipeline with the steps ``pixels``, ``scale`` and ``model``. It takes a table with a column
        ``image``, or a list of paths or arrays. Inner folds do not split the groups of a column
        ``group``; the original did not know groups. There are no probabilities.

    Notes
    -----
    The original drew 500 cells per class with replacement before it split them, see `grey_pixels`;
    its accuracy was .80, with ``C=10`` and the radial kernel. Its 65,536 columns of 3,200 images
    take 1.7 GB as floats, in each process.

    References
    ----------
    .. [1] L. Bernard et al., "Blood cells" project report, DataScientest (repository
       lbernard9/bloodcells): StandardScaler and SVC on the pixels of `grey_pixels`.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import pipelines
    >>> images = [np.full((40, 40, 3), level, np.uint8) for level in (60, 70, 80, 200, 210, 220)]
    >>> model = pipelines.grey_pixels_svc(crop=32, size=8, n_splits=2)
    >>> model.fit(images, list("aaabbb")).predict(images).tolist()
    ['a', 'a', 'a', 'b', 'b', 'b']
    """
    steps = [
        ("pixels", GreyPixels(crop=crop, size=size)),
        ("scale", StandardScaler()),
        ("model", SVC()),
    ]
    return GridSearchCV(
        Pipeline(steps),
        {"model__C": [0.1, 1, 10], "model__kernel": ["linear", "rbf"]},
        cv=GroupedFolds(n_splits, alone=True),
        n_jobs=n_jobs,
    )


def metadata_only(
    *, n_estimators: int = 100, min_samples_leaf: int = 3, random_state: int = 0
) -> BestOf:
    """Classify cells by attributes alone, without looking at the image.

    Parameters
    ----------
    n_estimators : int
        Number of trees of the random forest.
    min_samples_leaf : int
        Smallest number of cells in a leaf.
    random_state : int
        Seed of the trees.

    Returns
    -------
    BestOf
        Unfitted. It takes a table of numbers and text; text is one-hot encoded. Of a threshold of
        one attribute, a logistic regression, one of the logarithms, boosted trees and the random
        forest, that with the best scores on inner folds is fitted. Cells that have the same entry
        in a column ``group``, such as the patient, are in the same inner fold; that column is not
        an attribute.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> table = pd.DataFrame({"age": [30.0, 71.0] * 10, "site": ["north", "south"] * 10})
    >>> model = pipelines.metadata_only(n_estimators=20).fit(table, ["a", "b"] * 10)
    >>> model.predict(table[:3]).tolist()
    ['a', 'b', 'a']
    """
    encode: Any = ColumnTransformer(
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
    members = [*few_columns(random_state), ("random_forest", model)]
    return BestOf(
        [(name, Pipeline([("encode", encode), ("model", member)])) for name, member in members],
        groups=GROUP,
        n_splits=3,
        random_state=random_state,
    )
