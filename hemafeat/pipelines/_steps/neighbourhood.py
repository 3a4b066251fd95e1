"""Correction of predicted labels by those of the most similar cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
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
