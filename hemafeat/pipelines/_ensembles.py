"""Ensembles of classifiers on features or images: averages, stacks and weighted votes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score
from sklearn.model_selection import cross_val_predict

from hemafeat._public import public
from hemafeat.pipelines._catalogue import make
from hemafeat.pipelines._steps.inner_folds import GROUP, GroupedFolds
from hemafeat.pipelines._steps.pipeline import check_known

Members = Mapping[str, Any] | Iterable[Any]

METRICS = {"kappa": cohen_kappa_score, "balanced_accuracy": balanced_accuracy_score}
"""Scores by which a `WeightedVote` can weight its members."""


def _named_members(members: Members) -> list[tuple[str, Any]]:
    """Return name and estimator of each member; make those that are given by name only."""
    if isinstance(members, str):
        raise ValueError(f"members must be several models, not one: {members!r}")
    pairs: list[tuple[str, Any]] = []
    for item in members.items() if isinstance(members, Mapping) else members:
        if isinstance(item, str):
            pairs.append((item, make(item)))
        elif isinstance(item, tuple):
            pairs.append((str(item[0]), item[1]))
        else:
            pairs.append((f"{type(item).__name__.lower()}_{len(pairs) + 1}", item))
    if len(pairs) < 2:
        raise ValueError("an ensemble needs at least two members")
    return [(name.replace("__", "_"), member) for name, member in pairs]


def average(members: Members, *, weights: Any = None) -> VotingClassifier:
    """Average the probabilities of several classifiers.

    Parameters
    ----------
    members : list or mapping
        Names for `make`, classifiers, (name, classifier) pairs, or a mapping of name to classifier.
        Classifiers of features and of images can be mixed. (A report on C-NMC 2019 averages a
        network on RGB and one on HSV.)
    weights : sequence of float, optional
        Weights of the members; equal by default.

    Returns
    -------
    sklearn.ensemble.VotingClassifier
        Unfitted, with ``voting="soft"``.

    Raises
    ------
    ValueError
        If there are fewer than two members.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> [name for name, _ in pipelines.average(["svc", "xgboost"]).estimators]
    ['svc', 'xgboost']
    """
    return VotingClassifier(_named_members(members), voting="soft", weights=weights)


def stack(
    members: Members,
    *,
    final: Any = None,
    n_splits: int = 3,
    column: str = GROUP,
    alone: bool = False,
    random_state: int = 0,
) -> GroupedStack:
    """Stack several classifiers, with inner folds that never split a group.

    Parameters
    ----------
    members : list or mapping
        Classifiers, as in `average`.
    final : classifier, optional
        Classifier that is fitted on the probabilities that the members predict for the inner folds.
        By default a logistic regression with balanced classes.
    n_splits : int
        Number of inner folds. Each member is fitted once more for each of them.
    column : str
        Column of the table that names the groups.
    alone : bool
        Whether every row is a group of its own if the table has no such column, see
        `GroupedFolds`.
    random_state : int
        Seed of the folds.

    Returns
    -------
    GroupedStack
        Unfitted, a `sklearn.ensemble.StackingClassifier`.

    Raises
    ------
    ValueError
        If there are fewer than two members.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> model = pipelines.stack(["svc", "xgboost"], n_splits=5)
    >>> [name for name, _ in model.estimators], model.cv.n_splits
    (['svc', 'xgboost'], 5)
    """
    if final is None:
        final = LogisticRegression(class_weight="balanced", max_iter=500)
    folds = GroupedFolds(n_splits, column=column, alone=alone, random_state=random_state)
    return GroupedStack(_named_members(members), final, cv=folds, stack_method="predict_proba")


@public
class GroupedStack(StackingClassifier):
    """Stack of classifiers that says which inner fold cannot be learned from, see `stack`.

    Parameters
    ----------
    estimators : list of (str, classifier)
        The members.
    final_estimator : classifier, optional
        Classifier of their predictions.
    cv : GroupedFolds or object
        Inner folds.
    stack_method : str
        Method of the members that the final classifier learns from.
    n_jobs : int, optional
        Number of processes.
    passthrough : bool
        Whether the final classifier gets the columns as well.
    verbose : int
        Whether progress is printed.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> type(pipelines.stack(["svc", "xgboost"])).__name__
    'GroupedStack'
    """

    def fit(self, X: Any, y: Any, **fit_params: Any) -> Self:
        """Fit the members on all cells and on the inner folds, and the final classifier.

        Parameters
        ----------
        X : DataFrame
            Table that the members take, with the column of the groups.
        y : (n_cells,) array
            Labels.
        **fit_params
            Passed to the members.

        Returns
        -------
        GroupedStack
            The same object.

        Raises
        ------
        ValueError
            If a label is missing, the cells cannot be divided into inner folds, or a fold leaves
            one class only to learn from.
        """
        check_known(y)
        try:
            super().fit(X, y, **fit_params)
        except ValueError as error:
            raise _with_fold(error, self.cv, X, y) from error
        return self


def _with_fold(error: ValueError, folds: Any, X: Any, y: Any) -> ValueError:
    """Return an error that names the inner fold with one class only, or else the same error."""
    if not isinstance(folds, GroupedFolds):
        return error
    labels = np.asarray(y)
    try:
        parts = list(folds.split(X, labels))
    except ValueError:
        return error
    for number, (train, _) in enumerate(parts, 1):
        learned = np.unique(labels[train])
        if len(learned) == 1:
            return ValueError(
                f"inner fold {number} of {len(parts)} leaves only rows of {learned[0]!s} to learn "
                "from, since groups are not divided: use fewer inner folds (n_splits), or more "
                f"groups of the other labels. ({error})"
            )
    return error


@public
class WeightedVote(VotingClassifier):
    """Average of probabilities in which each member is weighted by its score on inner folds [1]_.

    Parameters
    ----------
    estimators : list of (str, classifier)
        The members.
    metric : {"kappa", "balanced_accuracy"}
        Score by which the members are weighted, less its chance level: 0 for Cohen's kappa, one
        over the number of classes for balanced accuracy. A member at or below chance has weight 0,
        unless all of them are.
    n_splits : int
        Number of inner folds, which never split a group.
    column : str
        Column of the table that names the groups.
    alone : bool
        Whether every row is a group of its own if the table has no such column, see
        `GroupedFolds`.
    random_state : int
        Seed of the folds.

    Attributes
    ----------
    scores_ : dict of str to float
        Score of each member over all inner folds together.
    weights_ : (n_members,) ndarray of float64
        Weights of the members, which sum to 1.
    classes_ : ndarray
        The labels, sorted.

    References
    ----------
    .. [1] C. Mondal et al., "Ensemble of convolutional neural networks to diagnose acute
       lymphoblastic leukemia from microscopic images", arXiv:2105.03995, 2021 (weights by kappa).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> label = np.repeat(["a", "b"], 6)
    >>> table = pd.DataFrame({"cell__shape__area": np.arange(12.0), "group": np.arange(12)})
    >>> members = [("svc", pipelines.svc()), ("baseline", pipelines.baseline())]
    >>> pipelines.WeightedVote(members, n_splits=2).fit(table, label).weights_.tolist()
    [1.0, 0.0]
    """

    # Parameters of VotingClassifier that are fixed here.
    voting = "soft"
    n_jobs = None
    flatten_transform = True
    verbose = False

    def __init__(
        self,
        estimators: Any,
        *,
        metric: str = "kappa",
        n_splits: int = 3,
        column: str = GROUP,
        alone: bool = False,
        random_state: int = 0,
    ) -> None:
        self.estimators = estimators
        self.metric = metric
        self.n_splits = n_splits
        self.column = column
        self.alone = alone
        self.random_state = random_state

    looks_at = frozenset({"groups"})

    @property
    def weights(self) -> Any:
        """Weights of the members as `sklearn.ensemble.VotingClassifier` reads them."""
        return getattr(self, "weights_", None)

    def fit(self, X: Any, y: Any) -> Self:
        """Score the members on inner folds, then fit them on all cells.

        Parameters
        ----------
        X : DataFrame
            Table that the members take, with the column of the groups.
        y : (n_cells,) array
            Labels.

        Returns
        -------
        WeightedVote
            The same object.

        Raises
        ------
        ValueError
            If there is no metric of that name, or the cells cannot be divided into inner folds.
        """
        if self.metric not in METRICS:
            raise ValueError(f"metric={self.metric!r}: choose from {', '.join(METRICS)}")
        y = np.asarray(y)
        folds = GroupedFolds(
            self.n_splits, column=self.column, alone=self.alone, random_state=self.random_state
        )
        chance = 1 / len(np.unique(y)) if self.metric == "balanced_accuracy" else 0.0
        scores = {}
        for name, member in self.estimators:
            try:
                predicted = cross_val_predict(clone(member), X, y, cv=folds)
            except ValueError as error:
                raise _with_fold(error, folds, X, y) from error
            scores[name] = float(METRICS[self.metric](y, predicted))
        self.scores_ = scores
        above = np.maximum(np.array(list(scores.values())) - chance, 0.0)
        self.weights_ = above / above.sum() if above.sum() else np.full(len(above), 1 / len(above))
        return super().fit(X, y)


def weighted_vote(
    members: Members, *, metric: str = "kappa", n_splits: int = 3, random_state: int = 0
) -> WeightedVote:
    """Average the probabilities of several classifiers, weighted by their scores on inner folds.

    Parameters
    ----------
    members : list or mapping
        Classifiers, as in `average`.
    metric : {"kappa", "balanced_accuracy"}
        Score by which the members are weighted, see `WeightedVote`.
    n_splits : int
        Number of inner folds.
    random_state : int
        Seed of the folds.

    Returns
    -------
    WeightedVote
        Unfitted.

    Raises
    ------
    ValueError
        If there are fewer than two members.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> vote = pipelines.weighted_vote(["svc", "xgboost"], metric="balanced_accuracy")
    >>> [name for name, _ in vote.estimators]
    ['svc', 'xgboost']
    """
    return WeightedVote(
        _named_members(members), metric=metric, n_splits=n_splits, random_state=random_state
    )
