"""Pipeline of the catalogue, which refuses weights and labels that its model cannot learn from."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import Bunch

from hemafeat._fits import fit_once, is_sharing
from hemafeat._public import public
from hemafeat.pipelines._steps.boosted import BoostedTrees
from hemafeat.pipelines._steps.missing import FillMissing
from hemafeat.pipelines._steps.scale import ClippedScaler
from hemafeat.pipelines._steps.support_vectors import SupportVectors, checked_weights

_WITHOUT_A_CLASS = (BoostedTrees, DummyClassifier, SupportVectors)
"""Classifiers that learn from the other classes if all rows of one class have the weight 0."""

_ONE_CLASS = (DummyClassifier, RandomForestClassifier)
"""Classifiers that learn from one class alone."""


def check_known(y: Any) -> None:
    """Raise an error if a label is missing; NumPy would make it the class "nan" of a list of text.

    Parameters
    ----------
    y : (n_cells,) array
        Labels.

    Raises
    ------
    ValueError
        If a label is None, NaN or NA.
    """
    labels = np.asarray(y, dtype=object)
    missing = pd.isna(labels)
    if labels.ndim == 1 and np.any(missing):
        raise ValueError(
            f"{np.count_nonzero(missing)} of {labels.size} labels are missing: leave their rows out"
        )


@public
class CellPipeline(Pipeline):
    """Pipeline that refuses weights and labels that its classifier cannot learn from.

    Weights that are negative or missing, and balanced classes of which one has the weight 0, would
    otherwise give a model that is silently wrong, or an error from the depths.

    Parameters
    ----------
    steps : list of (str, estimator)
        Names and steps, the last of which is the classifier.
    memory : str or object, optional
        Cache of the fitted steps, as in `sklearn.pipeline.Pipeline`.
    verbose : bool
        Whether the time of each step is printed.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> type(pipelines.logistic()).__name__
    'CellPipeline'
    """

    transform_input = None  # a parameter of later versions of Pipeline, fixed here

    def __init__(self, steps: list[Any], *, memory: Any = None, verbose: bool = False) -> None:
        self.steps = steps
        self.memory = memory
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Fit the steps.

        Parameters
        ----------
        X : DataFrame or array
            Cells.
        y : (n_cells,) array
            Labels.
        **params
            Parameters of the steps, such as ``model__sample_weight``.

        Returns
        -------
        CellPipeline
            The same object.

        Raises
        ------
        ValueError
            If a label is missing, a weight is negative or missing, or a class that the classifier
            needs has no row of positive weight.
        """
        model = self.steps[-1][1]
        check_known(y)
        labels = np.asarray(y)
        if labels.ndim == 1 and labels.size and not isinstance(model, _ONE_CLASS):
            first = labels[0]
            if bool(np.all(labels == first)):
                raise ValueError(f"there is only one class in the training rows: {first}")
        for name, value in params.items():
            if name.endswith("sample_weight") and value is not None:
                weights = checked_weights(value, len(labels))
                lost = sorted(set(labels.tolist()) - set(labels[weights > 0].tolist()), key=str)
                if lost and not isinstance(model, _WITHOUT_A_CLASS):
                    raise ValueError(
                        f"no row of class {lost[0]} has a positive weight: leave its rows out"
                    )
        if params or not is_sharing() or not all(hasattr(step, "fit") for _, step in self.steps):
            super().fit(X, y, **params)
            return self
        filled = False
        for _, step in self.steps[:-1]:
            if filled and type(step) is ClippedScaler and isinstance(X, np.ndarray):
                # Nobody else has what `FillMissing` returned.
                X = step.fit(X, y).overwrite(X)
            else:
                X = step.fit_transform(X, y)
            filled = type(step) is FillMissing
        fit_once(model, X, y, partial(_fit_vote, model) if _is_vote(model) else None)
        return self


def _is_vote(model: Any) -> bool:
    return type(model) is VotingClassifier and all(hasattr(m, "fit") for _, m in model.estimators)


def _fit_vote(vote: VotingClassifier, X: Any, y: Any) -> None:
    """Fit a vote as its own `fit` does, but let its members share their fits."""
    vote.le_ = LabelEncoder().fit(y)
    vote.classes_ = vote.le_.classes_
    codes = vote.le_.transform(y)
    vote.estimators_ = [fit_once(clone(member), X, codes) for _, member in vote.estimators]
    names = [name for name, _ in vote.estimators]
    vote.named_estimators_ = Bunch(**dict(zip(names, vote.estimators_, strict=True)))
