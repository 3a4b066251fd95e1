"""Labels corrected by those of the most similar cells among the ones that are judged together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils.validation import check_is_fitted

from hemafeat._public import public

_AT_ONCE = 2000  # rows whose similarity to all others is held in memory


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
        What is known of the cells that are judged together. The cosine between two says how alike
        they are.
    labels : (n_cells,) array
        What a classifier says of them.
    k : int
        Neighbours that are counted, the cell itself among them.
    needed : int or mapping of label to int, optional
        How many of them must agree for a cell to change to their label; by default more than half
        of `k`. The source takes 4 of 7 for healthy and 5 of 7 for leukaemic cells.
    sweeps : int
        How often all cells are corrected at once; it ends before where none changes.

    Returns
    -------
    (n_cells,) ndarray
        Labels.

    Raises
    ------
    ValueError
        Vectors and labels of different number, NaN, or a number below 1.

    Notes
    -----
    **Transductive**: the result for one cell depends on the other cells at hand. Where those of one
    patient are alike this smooths over patients, so that a score obtained with it says nothing of a
    cell that comes alone. The source takes Fisher vectors of feature maps, refitted ten times, and
    repeats the whole with two networks; here the vectors are given.

    References
    ----------
    .. [1] Y. Pan et al., "Neighborhood-correction algorithm for classification of normal and
       malignant cells", C-NMC challenge of ISBI 2019; repository YongshengPan/ISBI-NMC.

    Examples
    --------
    >>> import numpy as np
    >>> near = np.array([[1, 0], [1, .1], [1, .2], [0, 1], [.1, 1], [.2, 1]])
    >>> print(*neighbourhood_correction(near, np.array(list("aabbbb")), k=3))
    a a a b b b
    """
    vectors, out = np.asarray(vectors, dtype=np.float64), np.array(labels)
    if len(vectors) != len(out):
        raise ValueError(f"{len(vectors)} vectors and {len(out)} labels")
    if np.isnan(vectors).any():
        raise ValueError("vectors hold NaN: fill what is missing first")
    if k < 1 or sweeps < 0:
        raise ValueError(f"k is at least 1 and sweeps not below 0; got {k} and {sweeps}")
    if not len(out):
        return out
    near = _nearest(vectors, min(k, len(out)))
    names, numbers = np.unique(out, return_inverse=True)
    half = near.shape[1] // 2 + 1
    if needed is None or isinstance(needed, Mapping):
        given = needed or {}
        least = np.array([given.get(name, half) for name in names.tolist()])
    else:
        least = np.full(len(names), needed)
    for _ in range(sweeps):
        counts = np.stack([(numbers[near] == n).sum(axis=1) for n in range(len(names))], axis=1)
        enough = np.where(counts >= least, counts, 0)
        best = enough.argmax(axis=1)
        # A draw with its own label changes nothing.
        own = enough[np.arange(len(out)), numbers]
        changed = np.where(enough.max(axis=1) > own, best, numbers)
        if (changed == numbers).all():
            break
        numbers = changed
    return names[numbers]


def _nearest(vectors: np.ndarray, k: int) -> np.ndarray:
    """(n, k) numbers of the most similar rows, each row itself among them."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(length > 0, length, 1.0)
    parts = []
    for start in range(0, len(unit), _AT_ONCE):
        alike = unit[start : start + _AT_ONCE] @ unit.T
        rows = np.arange(len(alike))
        alike[rows, rows + start] = np.inf  # also where a copy of the cell is as near
        parts.append(np.argsort(-alike, axis=1, kind="stable")[:, :k])
    return np.concatenate(parts)


@public
class NeighbourhoodCorrection(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """A classifier whose labels are corrected among the cells that are judged together.

    Parameters
    ----------
    estimator : classifier
        A pipeline, whose steps before the last give the vectors; or one with a method ``embed``,
        such as `NetworkClassifier`.
    k, needed, sweeps : object
        See `neighbourhood_correction`.

    Attributes
    ----------
    estimator_ : classifier
        Fitted.
    classes_ : ndarray
        The labels, sorted.

    Notes
    -----
    **Transductive**, see `neighbourhood_correction`: `hemafeat.evaluate.compare` says so wherever
    its scores stand. It has no probabilities.
    """

    transductive = True
    """What tells `evaluate.compare` that a verdict hangs on the other cells judged."""

    def __init__(self, estimator: Any, *, k: int = 7, needed: Any = None, sweeps: int = 5) -> None:
        self.estimator = estimator
        self.k = k
        self.needed = needed
        self.sweeps = sweeps

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the estimator; the correction itself learns nothing.

        Parameters
        ----------
        X : object
            What the estimator takes.
        y : (n_cells,) array
            Labels.

        Raises
        ------
        ValueError
            The estimator gives no vectors.
        """
        if not hasattr(self.estimator, "embed") and len(getattr(self.estimator, "steps", ())) < 2:
            raise ValueError(
                "neighbours are found by vectors: give a pipeline of several steps, or a "
                f"classifier with a method 'embed', not {type(self.estimator).__name__}"
            )
        self.estimator_ = clone(self.estimator).fit(X, y)
        self.classes_ = self.estimator_.classes_
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The corrected label of each cell, which depends on the others in `X`.

        Parameters
        ----------
        X : object
            What the estimator takes: all cells that are to be judged together.
        """
        check_is_fitted(self, "estimator_")
        embed = getattr(self.estimator_, "embed", None)
        vectors = embed(X) if embed is not None else self.estimator_[:-1].transform(X)
        return neighbourhood_correction(
            vectors,
            self.estimator_.predict(X),
            self.k,
            needed=self.needed,
            sweeps=self.sweeps,
        )

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import get_tags

        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags
