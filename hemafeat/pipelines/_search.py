"""Search for parameters on the validation part of a protocol, or else on inner folds."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from hemafeat._fits import validating
from hemafeat._frames import as_frame
from hemafeat._public import public


@public
class ValidatedSearch(GridSearchCV):
    """Grid search that selects on the validation part of a protocol if there is one.

    Reports often try a grid of parameters and keep what scores best on a validation part. In a
    comparison under a protocol with such a part (see `hemafeat.evaluate.protocols`), every
    candidate is fitted to the training rows and scored on the validation part, and the best one is
    trained on the training rows alone. Under other protocols, and outside of comparisons, it is a
    `sklearn.model_selection.GridSearchCV`.

    Parameters
    ----------
    estimator : estimator
        Classifier whose parameters are searched.
    param_grid : dict or list of dict
        Values to try, see `GridSearchCV`, as for all further parameters.
    scoring : str or callable, optional
        Score by which candidates are ranked, such as ``"balanced_accuracy"``.
    n_jobs : int, optional
        Number of processes.
    refit, cv, verbose, pre_dispatch, error_score, return_train_score
        As in `GridSearchCV`; `cv` is not used with a validation part. A `StratifiedKFold` has fewer
        folds where a class has fewer rows.

    Attributes
    ----------
    best_params_ : dict
        The parameters selected.
    best_score_ : float
        Their score on the validation part, or mean over the inner folds.
    best_estimator_ : estimator
        The classifier fitted to the training rows with these parameters.
    cv_results_ : dict
        Scores of all candidates.
    selected_on_ : {"validation", "inner folds"}
        The rows on which the parameters were selected.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> table = pd.DataFrame({"cell__shape__area": np.arange(12.0)})
    >>> label = np.repeat(["small", "large"], 6)
    >>> search = pipelines.ValidatedSearch(pipelines.logistic(), {"model__C": [1e-6, 1.0]})
    >>> search = search.fit(table[::2], label[::2], validation=(table[1::2], label[1::2]))
    >>> search.selected_on_, len(search.cv_results_["params"])
    ('validation', 2)
    """

    takes_validation = True
    cv: Any

    def fit(
        self, X: Any, y: Any = None, validation: tuple[Any, Any] | None = None, **params: Any
    ) -> Self:
        """Select parameters and fit the classifier with them.

        Parameters
        ----------
        X : DataFrame or array
            Training rows.
        y : (n_rows,) array
            Labels.
        validation : (X, y), optional
            Rows and labels to select on. By default inner folds of the training rows.
        **params
            Passed to the classifier.

        Returns
        -------
        ValidatedSearch
            The same object.

        Raises
        ------
        ValueError
            If there is neither a validation part nor a class of two rows for each inner fold.
        """
        if validation is None:
            self.selected_on_ = "inner folds"
            cv = self.cv
            try:
                self.cv = _fewer_folds(cv, y)
                return super().fit(X, y, **params)
            finally:
                self.cv = cv
        X, further = as_frame(X), as_frame(validation[0])
        labels = [np.asarray(y), np.asarray(validation[1])]
        frames = isinstance(X, pd.DataFrame)
        rows = pd.concat([X, further]) if frames else np.concatenate([X, further])
        n = len(labels[0])
        search = GridSearchCV(
            self.estimator,
            self.param_grid,
            scoring=self.scoring,
            n_jobs=self.n_jobs,
            refit=False,
            cv=[(np.arange(n), n + np.arange(len(labels[1])))],
            error_score=self.error_score,
            return_train_score=self.return_train_score,
        )
        with validating(validation):
            search.fit(rows, np.concatenate(labels), **params)
        fitted = {name: value for name, value in vars(search).items() if name.endswith("_")}
        self.__dict__.update(fitted)
        self.selected_on_ = "validation"
        best = clone(self.estimator).set_params(**clone(self.best_params_, safe=False))
        with validating(validation):
            self.best_estimator_ = best.fit(X, y, **params)
        return self


def _fewer_folds(cv: Any, y: Any) -> Any:
    """Return folds of which there are no more than rows of the rarest class."""
    if not isinstance(cv, StratifiedKFold) or y is None:
        return cv
    names, counts = np.unique(np.asarray(y), return_counts=True)
    rarest = int(counts.argmin())
    if counts[rarest] < 2:
        raise ValueError(
            f"a search on inner folds needs two rows of every class; {names[rarest]!s} has one"
        )
    n_splits = min(cv.n_splits, int(counts[rarest]))
    return StratifiedKFold(n_splits, shuffle=cv.shuffle, random_state=cv.random_state)
