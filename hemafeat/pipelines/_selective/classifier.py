"""Classifier with calibrated probabilities that refuses cells it cannot classify."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from hemafeat import extract
from hemafeat._fits import fit_once
from hemafeat._frames import as_frame
from hemafeat._public import public
from hemafeat.pipelines._inspect import FEATURES, ModelError, looks_at, needs
from hemafeat.pipelines._selective.conformal import (
    class_thresholds,
    enough,
    odd_thresholds,
    rough_threshold,
    temperature,
    threshold,
    with_temperature,
)
from hemafeat.pipelines._selective.novelty import ClassNeighbours
from hemafeat.pipelines._steps.inner_folds import GROUP, GroupedFolds, groups_of
from hemafeat.pipelines._steps.missing import FillMissing
from hemafeat.pipelines._steps.pipeline import check_known
from hemafeat.pipelines._steps.scale import ClippedScaler


@public
class SelectiveClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Classifier with calibrated probabilities that refuses cells it cannot classify.

    A cell is refused if it is unlike the cells trained on, or if the set of the classes that are
    likely enough is not the most probable one alone. The sets hold the true class of a stated share
    of the cells of each class, of patients (or other groups) that were not trained on.

    Parameters
    ----------
    estimator : classifier
        Classifier of cells with probabilities, such as ``pipelines.svc()``.
    coverage : float
        Share of the cells whose set holds their class.
    false_alarms : float
        Share of the cells like those trained on that are refused as unlike them.
    n_splits : int
        Number of inner folds, which never split a group. The estimator is fitted once more for
        each of them.
    column : str
        Column of the table that names the groups.
    alone : bool
        Whether every row is a group of its own if the table has no such column, see
        `GroupedFolds`.
    random_state : int
        Seed of the folds.

    Attributes
    ----------
    UNLIKE, SEVERAL, NONE : str
        Why a cell is refused; the first that applies.
    SEPARATOR : str
        What stands between the classes of a set, as text.
    estimator_ : classifier
        The classifier, fitted to all cells.
    classes_ : ndarray
        The labels, sorted.
    temperature_ : float
        Divisor of the logarithms of its probabilities: above 1 if it was overconfident, 1 if that
        could not be told from a calibrated one.
    thresholds_ : (n_classes,) ndarray of float64
        A class is in the set of a cell if 1 minus its probability is not above its threshold, or
        not above that of cells as odd as this one.
    edges_, least_ : ndarray of float64
        Oddness from which on a cell has another least threshold, and these thresholds, one more,
        the first of which is 0.
    detector_ : sklearn.pipeline.Pipeline or None
        What finds cells unlike those trained on, see `ClassNeighbours`. None for a classifier of
        images that computes no vectors: it refuses no cell for that reason.
    limit_ : float
        Oddness above which a cell is unlike the cells trained on.

    Warns
    -----
    UserWarning
        In `fit`, if the groups are too few to state the coverage for new groups: that of
        the held-out groups themselves is then used.

    Notes
    -----
    Probabilities, sets and limits are learned from cells of inner folds, which are predicted by
    models that were not trained on their groups; the classifier itself is then fitted to all cells.
    Calibration is by one temperature [1]_, if the held-out cells show that it is needed. A set
    holds each class whose calibrated probability is at least that of all but a share of 1 minus
    `coverage` of the held-out cells of that class (least ambiguous sets, by class [2]_); groups
    have the same weight, whatever their number of cells [3]_. A class of few groups (fewer than 95
    for a coverage of .95) has the threshold of all classes together. The odder half of the
    held-out cells, and the oddest fifth, twentieth and hundredth, have thresholds of their own,
    if larger, so that the coverage holds for them too, and does not fail at once where more of the
    cells are odd; the other half sets the thresholds of the classes.

    The coverage holds for cells of new groups of the same source. In another laboratory, whose
    cells look different, it does not: there, see how many cells are refused as unlike. An
    estimator that moves all cells of a laboratory together, such as `Aligned` trained on redrawn
    cells, brings it much nearer: the inner folds are moved as well, and cells are compared by what
    its method ``embed`` returns.

    References
    ----------
    .. [1] C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    .. [2] M. Sadinle, J. Lei, L. Wasserman, "Least Ambiguous Set-Valued Classifiers with Bounded
       Error Levels", JASA 114, 2019.
    .. [3] Y. Lee, R. F. Barber, R. Willett, "Distribution-free inference with hierarchical data",
       arXiv:2306.06342, 2023.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> area = np.r_[np.linspace(10, 20, 60), np.linspace(30, 40, 60)]
    >>> table = pd.DataFrame({"cell__shape__area": area, "group": np.arange(120)})
    >>> model = pipelines.SelectiveClassifier(pipelines.logistic(), coverage=0.9)
    >>> model = model.fit(table, np.repeat(["small", "large"], 60))
    >>> new = pd.DataFrame({"cell__shape__area": [15.0, 35.0, 90.0]})
    >>> model.answers(new)[["predicted", "set", "refused"]]
      predicted    set                      refused
    0     small  small
    1     large  large
    2     large  large  unlike the cells trained on
    """

    looks_at = frozenset({"groups"})

    UNLIKE = "unlike the cells trained on"
    SEVERAL = "more than one class is likely"
    NONE = "no class is likely enough"
    SEPARATOR = " | "

    def __init__(
        self,
        estimator: Any,
        *,
        coverage: float = 0.95,
        false_alarms: float = 0.01,
        n_splits: int = 5,
        column: str = GROUP,
        alone: bool = False,
        random_state: int = 0,
    ) -> None:
        self.estimator = estimator
        self.coverage = coverage
        self.false_alarms = false_alarms
        self.n_splits = n_splits
        self.column = column
        self.alone = alone
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the classifier, and learn from held-out cells how far it can be trusted.

        Parameters
        ----------
        X : DataFrame
            Table that the estimator takes, with the column of the groups.
        y : (n_cells,) array
            Labels.

        Returns
        -------
        SelectiveClassifier
            The same object.

        Raises
        ------
        ValueError
            If a label is missing, coverage or false alarms are no shares, the estimator has no
            probabilities or classifies patients, or the cells cannot be divided into inner folds.
        """
        for name in ("coverage", "false_alarms"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)!r}: a share between 0 and 1")
        check_known(y)
        X, y = as_frame(X), np.asarray(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        folds = GroupedFolds(
            self.n_splits, column=self.column, alone=self.alone, random_state=self.random_state
        )
        parts = list(folds.split(X, y))
        groups = groups_of(X, column=self.column)
        self.estimator_ = fit_once(clone(self.estimator), X, y)
        if not hasattr(self.estimator_, "predict_proba"):
            raise ValueError(f"{_name(self.estimator)} has no probabilities to be calibrated")
        self.columns_ = self._features(X)
        self.detector_ = self._fitted_detector(self.estimator_, X, y)
        probability = np.zeros((len(y), len(self.classes_)))
        oddness = np.zeros(len(y))
        for train, test in parts:
            seen, unseen = _rows_of(X, train), _rows_of(X, test)
            member = fit_once(clone(self.estimator), seen, y[train])
            known = np.searchsorted(self.classes_, member.classes_)
            probability[np.ix_(test, known)] = member.predict_proba(unseen)
            oddness[test] = self._oddness(
                self._fitted_detector(member, seen, y[train]), member, unseen
            )
        self.temperature_ = temperature(probability, codes)
        calibrated = with_temperature(probability, self.temperature_)
        scores = 1 - calibrated[np.arange(len(y)), codes]
        self.edges_, self.least_ = odd_thresholds(scores, oddness, groups, self.coverage)
        # Odd cells have the coverage by themselves, and are not among those that set the others.
        usual = oddness <= self.edges_[0] if len(self.edges_) else np.ones(len(y), bool)
        self.thresholds_ = class_thresholds(
            scores[usual], codes[usual], groups[usual], len(self.classes_), self.coverage
        )
        self.limit_ = np.inf
        if self.detector_ is not None:
            self.limit_ = threshold(oddness, groups, 1 - self.false_alarms)
            if not np.isfinite(self.limit_):
                self.limit_ = rough_threshold(oddness, groups, 1 - self.false_alarms)
        n_groups, needed = len(np.unique(groups)), enough(self.coverage)
        if n_groups < needed:
            warnings.warn(
                f"a coverage of {self.coverage:g} of new groups can be stated from {needed} groups "
                f"on; there are {n_groups}, and the sets are only as good as these",
                stacklevel=2,
            )
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the calibrated probability of each class.

        Parameters
        ----------
        X : object
            Cells, in the form that the estimator takes.

        Returns
        -------
        (n_cells, n_classes) ndarray of float64
            In the order of `classes_`; each row sums to 1.
        """
        check_is_fitted(self, "estimator_")
        return with_temperature(self._uncalibrated(X), self.temperature_)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each cell, also of those that are refused.

        Parameters
        ----------
        X : object
            Cells, in the form that the estimator takes.

        Returns
        -------
        (n_cells,) ndarray
        """
        labels: np.ndarray = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return labels

    def predict_set(self, X: Any) -> np.ndarray:
        """Return which classes are likely enough.

        Parameters
        ----------
        X : object
            Cells, in the form that the estimator takes.

        Returns
        -------
        (n_cells, n_classes) ndarray of bool
            In the order of `classes_`. A row may hold no class.
        """
        check_is_fitted(self, "estimator_")
        return self._sets(self.predict_proba(X), self._oddness_of(X))

    def anomaly(self, X: Any) -> np.ndarray:
        """Return how unlike the cells trained on each cell is.

        Parameters
        ----------
        X : object
            Cells, in the form that the estimator takes.

        Returns
        -------
        (n_cells,) ndarray of float64
            Oddness over its limit: a cell above 1 is refused. NaN without a detector.
        """
        check_is_fitted(self, "estimator_")
        if self.detector_ is None:
            return np.full(len(X), np.nan)
        return self._oddness_of(X) / self.limit_

    def answers(self, X: Any) -> pd.DataFrame:
        """Tabulate all that is said of each cell.

        Parameters
        ----------
        X : object
            Cells, in the form that the estimator takes.

        Returns
        -------
        DataFrame
            One row per cell: ``predicted``, the most probable class; ``set``, the classes that are
            likely enough, as text; ``coverage``, with which they hold the true class; ``anomaly``,
            see the method; ``refused``, the reason, empty if the prediction stands; ``p__<class>``,
            the calibrated probabilities, and ``uncalibrated__<class>``, those of the estimator.
        """
        check_is_fitted(self, "estimator_")
        before = self._uncalibrated(X)
        probability = with_temperature(before, self.temperature_)
        oddness = self._oddness_of(X)
        sets = self._sets(probability, oddness)
        anomaly = np.full(len(X), np.nan) if self.detector_ is None else oddness / self.limit_
        n, top = sets.sum(axis=1), probability.argmax(axis=1)
        # Thresholds differ by class: the one class of a set need not be the most probable one.
        several = (n > 1) | ((n == 1) & ~sets[np.arange(len(sets)), top])
        named = np.array([str(name) for name in self.classes_], dtype=object)
        unlike = np.nan_to_num(anomaly) > 1
        columns: dict[str, Any] = {
            "predicted": self.classes_[top],
            "set": [self.SEPARATOR.join(named[row]) for row in sets],
            "coverage": self.coverage,
            "anomaly": anomaly,
            "refused": np.select(
                [unlike, several, n == 0], [self.UNLIKE, self.SEVERAL, self.NONE], ""
            ),
        }
        for prefix, values in (("p", probability), ("uncalibrated", before)):
            columns |= {f"{prefix}__{name}": values[:, k] for k, name in enumerate(named)}
        return pd.DataFrame(columns)

    def _uncalibrated(self, X: Any) -> np.ndarray:
        return np.asarray(self.estimator_.predict_proba(X), dtype=np.float64)

    def _sets(self, probability: np.ndarray, oddness: np.ndarray) -> np.ndarray:
        limits = np.maximum(self.thresholds_, self._least(oddness)[:, None])
        inside: np.ndarray = 1 - probability <= limits
        return inside

    def _least(self, oddness: np.ndarray) -> np.ndarray:
        """Return the least threshold of each cell."""
        least: np.ndarray = self.least_[np.digitize(oddness, self.edges_, right=True)]
        return least

    def _oddness_of(self, X: Any) -> np.ndarray:
        return self._oddness(self.detector_, self.estimator_, as_frame(X))

    def _features(self, X: Any) -> list[str] | None:
        """Return the feature columns that the estimator takes; None for arrays and images."""
        if FEATURES not in looks_at(self.estimator_):
            return None
        try:
            needed = needs(self.estimator_)
        except ModelError:  # not fitted on columns, as far as it says
            return extract.feature_columns(X) if isinstance(X, pd.DataFrame) else None
        if needed.unit == "patient":
            raise ValueError(f"{_name(self.estimator)} classifies patients, not cells")
        return [name for name in needed.columns if name != "image"]

    def _vectors(self, model: Any, X: Any) -> Any:
        """Return the numbers by which cells are compared; None if there are none."""
        if hasattr(model, "embed"):
            return model.embed(X)
        if FEATURES in looks_at(model):
            return X if self.columns_ is None else X[self.columns_].to_numpy(np.float64)
        return model[:-1].transform(X) if len(getattr(model, "steps", ())) > 1 else None

    def _fitted_detector(self, model: Any, X: Any, y: np.ndarray) -> Pipeline | None:
        vectors = self._vectors(model, X)
        if vectors is None:
            return None
        steps = [("fill", FillMissing()), ("scale", ClippedScaler()), ("model", ClassNeighbours())]
        return Pipeline(steps).fit(vectors, y)

    def _oddness(self, detector: Pipeline | None, model: Any, X: Any) -> np.ndarray:
        if detector is None:
            return np.zeros(len(X))
        return -np.asarray(detector.score_samples(self._vectors(model, X)))

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import get_tags

        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags


def _rows_of(X: Any, numbers: np.ndarray) -> Any:
    """Return rows of a table, an array or a list of images."""
    if isinstance(X, pd.DataFrame):
        return X.iloc[numbers]
    return X[numbers] if isinstance(X, np.ndarray) else [X[number] for number in numbers]


def _name(model: Any) -> str:
    return type(model.steps[-1][1] if getattr(model, "steps", None) else model).__name__
