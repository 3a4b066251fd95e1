"""Classifiers that look at all cells they predict together: neighbours, other laboratories."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.decomposition import PCA
from sklearn.utils.validation import check_is_fitted

from hemafeat._public import public

_N_ROWS = 2000  # number of rows whose similarity to all others is held in memory


def neighbourhood_correction(
    vectors: np.ndarray,
    labels: np.ndarray,
    k: int = 7,
    *,
    needed: int | Mapping[Any, int] | None = None,
    sweeps: int = 5,
) -> np.ndarray:
    """Give each cell the label that most of its nearest neighbours have [1]_.

    Parameters
    ----------
    vectors : (n_cells, n_numbers) array
        Description of the cells that are predicted together. The similarity of two cells is the
        cosine between their vectors.
    labels : (n_cells,) array
        Labels that a classifier predicts for them.
    k : int
        Number of neighbours, including the cell itself.
    needed : int or mapping of label to int, optional
        Number of neighbours that must have a label for a cell to change to it. By default more than
        half of `k`. The source uses 4 of 7 for healthy and 5 of 7 for leukaemic cells.
    sweeps : int
        Largest number of times that all cells are corrected; fewer if no label changes any more.

    Returns
    -------
    (n_cells,) ndarray
        Corrected labels.

    Raises
    ------
    ValueError
        If vectors and labels differ in number, a vector holds NaN, `k` is below 1 or `sweeps`
        below 0.

    Notes
    -----
    **Transductive**: the label of a cell depends on the other cells. If the cells of a patient are
    alike, the labels are smoothed over patients, so that a score says nothing about a cell on its
    own. The source uses Fisher vectors of feature maps, refitted ten times, and repeats this with
    two networks; here any vectors can be given.

    References
    ----------
    .. [1] Y. Pan et al., "Neighborhood-correction algorithm for classification of normal and
       malignant cells", C-NMC challenge of ISBI 2019; repository YongshengPan/ISBI-NMC.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> vectors = [[1, 0], [1, 0.1], [1, 0.2], [0, 1], [0.1, 1], [0.2, 1]]
    >>> print(*pipelines.neighbourhood_correction(vectors, list("aabbbb"), k=3))
    a a a b b b
    """
    vectors, out = np.asarray(vectors, dtype=np.float64), np.array(labels)
    if len(vectors) != len(out):
        raise ValueError(f"{len(vectors)} vectors and {len(out)} labels")
    if np.isnan(vectors).any():
        raise ValueError("vectors hold NaN: fill the missing values first")
    if k < 1 or sweeps < 0:
        raise ValueError(f"k is at least 1 and sweeps at least 0; got {k} and {sweeps}")
    if not len(out):
        return out
    neighbours = _nearest(vectors, min(k, len(out)))
    names, codes = np.unique(out, return_inverse=True)
    majority = neighbours.shape[1] // 2 + 1
    if needed is None or isinstance(needed, Mapping):
        by_name = needed or {}
        threshold = np.array([by_name.get(name, majority) for name in names.tolist()])
    else:
        threshold = np.full(len(names), needed)
    for _ in range(sweeps):
        counts = np.stack(
            [(codes[neighbours] == code).sum(axis=1) for code in range(len(names))], axis=1
        )
        votes = np.where(counts >= threshold, counts, 0)
        # In a tie a cell keeps its own label.
        own = votes[np.arange(len(out)), codes]
        corrected = np.where(votes.max(axis=1) > own, votes.argmax(axis=1), codes)
        if (corrected == codes).all():
            break
        codes = corrected
    return names[codes]


def _nearest(vectors: np.ndarray, k: int) -> np.ndarray:
    """Return the numbers of the k most similar rows of each row, including itself: (n, k)."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(length > 0, length, 1.0)
    parts = []
    for start in range(0, len(unit), _N_ROWS):
        similarity = unit[start : start + _N_ROWS] @ unit.T
        rows = np.arange(len(similarity))
        similarity[rows, rows + start] = np.inf  # even if a copy of the cell is as similar
        parts.append(np.argsort(-similarity, axis=1, kind="stable")[:, :k])
    return np.concatenate(parts)


@public
class NeighbourhoodCorrection(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Classifier whose labels are corrected by those of the most similar cells.

    Parameters
    ----------
    estimator : classifier
        Pipeline, whose steps before the last compute the vectors; or a classifier with a method
        ``embed``, such as `NetworkClassifier`.
    k : int
        Number of neighbours, see `neighbourhood_correction`.
    needed : int or mapping of label to int, optional
        Number of neighbours that must agree, see `neighbourhood_correction`. By default more than
        half of `k`.
    sweeps : int
        Largest number of corrections, see `neighbourhood_correction`. With 0 there are none, so
        that the labels are those of `match_prior` alone.
    match_prior : bool
        Whether the labels before the correction are chosen so that each of two classes has its
        share of the training cells, by the order of their probabilities, as in [1]_. By default
        they are those that the estimator predicts.

    Attributes
    ----------
    estimator_ : classifier
        The fitted classifier.
    classes_ : ndarray
        The labels, sorted.
    prior_ : ndarray of float64
        Share of each class in the training cells.

    Notes
    -----
    **Transductive**, see `neighbourhood_correction`: `hemafeat.evaluate.compare` marks its scores.
    There are no probabilities. A threshold that is matched to the prior is transductive as well,
    and wrong wherever the classes of the cells to predict have other shares.

    References
    ----------
    .. [1] Y. Pan et al., "Neighborhood-correction algorithm for classification of normal and
       malignant cells", C-NMC challenge of ISBI 2019; repository YongshengPan/ISBI-NMC.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> table = pd.DataFrame({"cell__shape__area": [1.0, 2.0, 8.0, 9.0], "label": list("aabb")})
    >>> model = pipelines.NeighbourhoodCorrection(pipelines.svc(), k=1)
    >>> model.fit(table, table["label"]).predict(table).tolist()
    ['a', 'a', 'b', 'b']
    """

    transductive = True

    def __init__(
        self,
        estimator: Any,
        *,
        k: int = 7,
        needed: Any = None,
        sweeps: int = 5,
        match_prior: bool = False,
    ) -> None:
        self.estimator = estimator
        self.k = k
        self.needed = needed
        self.sweeps = sweeps
        self.match_prior = match_prior

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the estimator.

        Parameters
        ----------
        X : object
            Cells, in the form that the estimator takes.
        y : (n_cells,) array
            Labels.

        Returns
        -------
        NeighbourhoodCorrection
            The same object.

        Raises
        ------
        ValueError
            If the estimator computes no vectors, or `match_prior` is given more than two classes.
        """
        if not hasattr(self.estimator, "embed") and len(getattr(self.estimator, "steps", ())) < 2:
            raise ValueError(
                "neighbours are found by vectors: give a pipeline of several steps, or a "
                f"classifier with a method 'embed', not {type(self.estimator).__name__}"
            )
        self.estimator_ = clone(self.estimator).fit(X, y)
        self.classes_ = self.estimator_.classes_
        if self.match_prior and len(self.classes_) != 2:
            raise ValueError(
                f"match_prior orders the cells by one probability: there are {len(self.classes_)} "
                "classes, not 2"
            )
        self.prior_ = (np.asarray(y)[:, None] == self.classes_).mean(axis=0)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the corrected label of each cell, which depends on the other cells.

        Parameters
        ----------
        X : object
            All cells that are predicted together, in the form that the estimator takes.

        Returns
        -------
        (n_cells,) ndarray
        """
        check_is_fitted(self, "estimator_")
        embed = getattr(self.estimator_, "embed", None)
        vectors = embed(X) if embed is not None else self.estimator_[:-1].transform(X)
        # Models saved before the option existed do not have it.
        if getattr(self, "match_prior", False):
            labels = self._matched(self.estimator_.predict_proba(X)[:, 1])
        else:
            labels = self.estimator_.predict(X)
        return neighbourhood_correction(
            vectors,
            labels,
            self.k,
            needed=self.needed,
            sweeps=self.sweeps,
        )

    def _matched(self, probability: np.ndarray) -> np.ndarray:
        """Give the least likely cells the first label, in its share of the training cells."""
        n_first = int(np.floor(self.prior_[0] * len(probability) + 0.5))
        order = np.argsort(probability, kind="stable")
        codes = np.ones(len(probability), dtype=int)
        codes[order[:n_first]] = 0
        return self.classes_[codes]

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import get_tags

        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags


_SCALE = "scale"
"""Step of a pipeline after which all columns are on one scale."""

_OF_SPREAD = 5.0
"""How many times as many cells a change of the spread is held against, which is less sure."""


@public
class Aligned(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Classifier that first moves the cells of another laboratory onto those it was trained on.

    Another stain, camera or smear moves every column by about the same amount in all cells. The
    cells to predict are moved back by one number per column, such that their mean is that of the
    training cells with the same shares of the classes, and their spread in each column is brought
    towards that of these. The shares are not known: they are
    estimated from the predicted probabilities, and predictions and shares follow from each other
    until they agree (an expectation maximisation). It is begun at the shares predicted without a
    move, and at equal shares; of the two outcomes that is kept whose cells are more likely under
    Gaussian classes with a common covariance. If they are not so much more likely than where they
    were that the move is worth its number of parameters (the Bayesian information criterion), the
    cells stay: those of the laboratory trained on, whatever their classes, and a few that come
    alone. Nothing is moved, with a warning, where the cells are too far from
    those trained on for the shares to be found.

    Parameters
    ----------
    estimator : Pipeline
        Pipeline with a step ``scale``, such as `svc` and `logistic`, that gives probabilities. The
        cells are moved after that step.
    n_iter : int
        Number of times that shares and predictions are computed from each other.
    n_components : int
        Number of principal components in which the likelihood is computed.
    weight : float
        Number of cells that a move is held against: of n cells, the share n / (n + weight) of it is
        made, so that a cell that comes alone hardly moves.
    spread : float
        How far the deviation of each column is brought to that of the training cells: 0 not at all,
        1 wholly, and in between by the logarithm.
    reach : float
        Largest distance that is aligned: the median squared distance of a cell from the nearest
        class, in multiples of that of the training cells.

    Attributes
    ----------
    estimator_ : Pipeline
        The fitted pipeline.
    classes_ : ndarray
        The labels, sorted.
    means_ : (n_classes, n_columns) ndarray of float64
        Mean of each class in the training cells, after the step ``scale``.
    squares_ : (n_classes, n_columns) ndarray of float64
        Mean square of each class there.
    axes_ : (n_columns, n_components) ndarray of float64
        Axes in which the classes have the unit covariance.
    distance_ : float
        Median squared distance of a training cell from the nearest class on these axes.

    Notes
    -----
    **Transductive**: rows that are predicted in one call count as one laboratory, so that the
    prediction for a cell depends on the others. `hemafeat.evaluate.compare` marks its scores. Call
    it once for each laboratory. Ranks, or mean and deviation of each laboratory by itself, take
    other shares of the classes for another stain; this does not. The default `reach` lies between
    models of PBC trained on redrawn cells or `robust` columns, for which cells of BCCD and
    segmentation_WBC were 2.3 to 3.5 times as far as those trained on, and models trained on
    neither, for which they were 5.0 and 5.7 times as far, and shares of one class of .9 were found
    in BCCD where there was .1.

    References
    ----------
    .. [1] M. Saerens, P. Latinne and C. Decaestecker, "Adjusting the outputs of a classifier to new
       a priori probabilities: a simple procedure", Neural Computation 14(1), 2002, for the shares.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> rng = np.random.default_rng(0)
    >>> label = np.repeat(["a", "b"], 50)
    >>> values = rng.normal(size=(100, 40)) + (label == "b")[:, None]
    >>> table = pd.DataFrame(values, columns=[f"cell__shape__x{i}" for i in range(40)])
    >>> model = pipelines.Aligned(pipelines.logistic()).fit(table, label)
    >>> moved = table + 1.5  # the same cells in another laboratory
    >>> bool((model.predict(moved) == label).mean() > 0.95)
    True
    >>> float((model.estimator_.predict(moved) == label).mean())
    0.5
    """

    transductive = True

    def __init__(
        self,
        estimator: Any,
        *,
        n_iter: int = 8,
        n_components: int = 50,
        weight: float = 10.0,
        spread: float = 0.5,
        reach: float = 4.0,
    ) -> None:
        self.estimator = estimator
        self.n_iter = n_iter
        self.n_components = n_components
        self.weight = weight
        self.spread = spread
        self.reach = reach

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the pipeline, and compute the means of the classes.

        Parameters
        ----------
        X : object
            Cells, in the form that the pipeline takes.
        y : (n_cells,) array
            Labels.

        Returns
        -------
        Aligned
            The same object.

        Raises
        ------
        ValueError
            If the pipeline has no step ``scale``.
        """
        if _SCALE not in getattr(self.estimator, "named_steps", ()):
            raise ValueError(
                f"cells are aligned after a step {_SCALE!r}, which the model lacks: choose svc, "
                f"logistic, or a pipeline with that step, not {type(self.estimator).__name__}"
            )
        self.estimator_ = clone(self.estimator).fit(X, y)
        self.classes_ = self.estimator_.classes_
        values, _ = self._halves(X)
        codes = np.searchsorted(self.classes_, np.asarray(y))
        self.means_ = np.array(
            [values[codes == code].mean(axis=0) for code in range(len(self.classes_))]
        )
        self.squares_ = np.array(
            [np.square(values[codes == code]).mean(axis=0) for code in range(len(self.classes_))]
        )
        n = max(1, min(self.n_components, values.shape[1], len(values) - len(self.classes_)))
        # Small tables have fewer axes than the covariance needs cells to be invertible.
        axes = PCA(n, svd_solver="full").fit(values).components_.T
        within = (values - self.means_[codes]) @ axes
        covariance = within.T @ within / len(values)
        covariance += 1e-3 * np.trace(covariance) / n * np.eye(n) + 1e-12 * np.eye(n)
        self.axes_ = axes @ np.linalg.cholesky(np.linalg.inv(covariance))
        self.distance_ = float(np.median(self._distances(values).min(axis=1)))
        return self

    def embed(self, X: Any) -> np.ndarray:
        """Return the values of the cells after the step ``scale``, moved onto those trained on.

        `SelectiveClassifier` compares cells by them.

        Parameters
        ----------
        X : object
            All cells of one laboratory, in the form that the pipeline takes.

        Returns
        -------
        (n_cells, n_columns) ndarray of float64

        Warns
        -----
        UserWarning
            The cells are beyond `reach`, and stay where they are.
        """
        return self._moved(X)[0]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, which depends on the other cells.

        Parameters
        ----------
        X : object
            All cells of one laboratory, in the form that the pipeline takes.

        Returns
        -------
        (n_cells, n_classes) ndarray of float64
            In the order of `classes_`.

        Warns
        -----
        UserWarning
            The cells are beyond `reach`, and are predicted where they are.
        """
        return self._moved(X)[1]

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable label of each cell, which depends on the other cells.

        Parameters
        ----------
        X : object
            All cells of one laboratory, in the form that the pipeline takes.

        Returns
        -------
        (n_cells,) ndarray
        """
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _halves(self, X: Any) -> tuple[np.ndarray, Any]:
        """Return the values after the step ``scale``, and the function that classifies them."""
        split = list(self.estimator_.named_steps).index(_SCALE) + 1
        values = np.asarray(self.estimator_[:split].transform(X), dtype=np.float64)
        return values, self.estimator_[split:].predict_proba

    def _distances(self, values: np.ndarray) -> np.ndarray:
        """Return the squared distance of each cell from each class: (n_cells, n_classes)."""
        from_classes = (values @ self.axes_)[:, None] - self.means_ @ self.axes_
        return np.asarray(np.square(from_classes).sum(axis=2))

    def _moved(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the moved values of the cells, and their probabilities."""
        check_is_fitted(self, "estimator_")
        values, classify = self._halves(X)
        n_classes = len(self.classes_)
        plain = np.asarray(classify(values))
        times = float(np.median(self._distances(values).min(axis=1))) / max(self.distance_, 1e-300)
        if times > self.reach:
            warnings.warn(
                f"the cells are {times:.1f} times as far from the classes as those trained on, "
                "and are not aligned: train on redrawn cells (augment=2) or on robust columns",
                UserWarning,
                stacklevel=3,
            )
            return values, plain
        found = [
            self._from(values, classify, shares)
            for shares in (plain.mean(axis=0), np.full(n_classes, 1 / n_classes))
        ]
        likelihood, moved, probability = max(found, key=lambda one: one[0])
        n, n_axes = len(values), self.axes_.shape[1]
        needed = self._likelihood(values) + n_axes * np.log(n + 1) / (2 * n)
        return (moved, probability) if likelihood > needed else (values, plain)

    def _likelihood(self, values: np.ndarray) -> float:
        """Return the mean log likelihood of cells where they are, with the shares that fit best."""
        density = -0.5 * self._distances(values)
        shares = np.full(density.shape[1], 1 / density.shape[1])
        for _ in range(self.n_iter):
            each = density + np.log(shares + 1e-6)
            total = logsumexp(each, axis=1, keepdims=True)
            shares = np.exp(each - total).mean(axis=0)
        return float(total.mean())

    def _from(
        self, values: np.ndarray, classify: Any, shares: np.ndarray
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Begin at shares of the classes; return mean log likelihood, moved values, probability."""
        n, centre, variance = len(values), values.mean(axis=0), values.var(axis=0)
        held = _OF_SPREAD * self.weight
        for _ in range(self.n_iter):
            mean = shares @ self.means_
            wanted = shares @ self.squares_ - mean**2
            ratio = (n * wanted + held) / (n * variance + held)
            target = centre + n / (n + self.weight) * (mean - centre)
            moved = (values - centre) * ratio ** (self.spread / 2) + target
            probability = classify(moved)
            # Half a step, since the shares would swing.
            shares = (shares + probability.mean(axis=0)) / 2
        density = -0.5 * self._distances(moved) + np.log(shares + 1e-6)
        return float(logsumexp(density, axis=1).mean()), moved, probability

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import get_tags

        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags
