"""Several classifiers as one: means, stacks and weighted votes of models on features or images."""

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

Members = Mapping[str, Any] | Iterable[Any]

METRICS = {"kappa": cohen_kappa_score, "balanced_accuracy": balanced_accuracy_score}
"""What a `WeightedVote` can weigh its members by."""


def _pairs(members: Members) -> list[tuple[str, Any]]:
    """(name, estimator) of each member; what is named only is made."""
    if isinstance(members, str):
        raise ValueError(f"members are several models, not one: {members!r}")
    found: list[tuple[str, Any]] = []
    for item in members.items() if isinstance(members, Mapping) else members:
        if isinstance(item, str):
            found.append((item, make(item)))
        elif isinstance(item, tuple):
            found.append((str(item[0]), item[1]))
        else:
            found.append((f"{type(item).__name__.lower()}_{len(found) + 1}", item))
    if len(found) < 2:
        raise ValueError("an ensemble has two members at least")
    return [(name.replace("__", "_"), member) for name, member in found]


def average(members: Members, *, weights: Any = None) -> VotingClassifier:
    """Mean of the members' probabilities.

    Parameters
    ----------
    members : list or mapping
        Names of `make`, classifiers, (name, classifier) pairs, or a mapping of these; on features
        and on images together if need be. A network on RGB and one on HSV are what a report on
        C-NMC 2019 averages.
    weights : sequence of float, optional
        Of the members.

    Returns
    -------
    sklearn.ensemble.VotingClassifier
        Unfitted, soft.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> [name for name, _ in pipelines.average(["svc", "xgboost"]).estimators]
    ['svc', 'xgboost']
    """
    return VotingClassifier(_pairs(members), voting="soft", weights=weights)


def stack(
    members: Members,
    *,
    final: Any = None,
    n_splits: int = 3,
    column: str = GROUP,
    alone: bool = False,
    random_state: int = 0,
) -> StackingClassifier:
    """A model of the members' probabilities on inner folds that never part a group.

    Parameters
    ----------
    members : list or mapping
        As in `average`.
    final : classifier, optional
        What learns from the probabilities; by default a logistic regression with balanced classes.
    n_splits : int
        Inner folds: each member is fitted once more for each of them.
    column : str
        Column of the table that says what must stay together.
    alone : bool
        See `GroupedFolds`.
    random_state : int
        Seed of the folds.

    Returns
    -------
    sklearn.ensemble.StackingClassifier
        Unfitted.
    """
    if final is None:
        final = LogisticRegression(class_weight="balanced", max_iter=500)
    folds = GroupedFolds(n_splits, column=column, alone=alone, random_state=random_state)
    return StackingClassifier(_pairs(members), final, cv=folds, stack_method="predict_proba")


@public
class WeightedVote(VotingClassifier):
    """Mean of probabilities, each member weighted by its score on inner folds [1]_.

    Parameters
    ----------
    estimators : list of (str, classifier)
        The members.
    metric : {"kappa", "balanced_accuracy"}
        What they are weighted by. Chance level counts nothing: kappa is 0 there, and balanced
        accuracy is taken above one over the number of classes. Members at or below it have no
        weight, unless all are.
    n_splits : int
        Inner folds, which never part a group.
    column : str
        Column of the table that says what must stay together.
    alone : bool
        See `GroupedFolds`.
    random_state : int
        Seed of the folds.

    Attributes
    ----------
    scores_ : dict of str to float
        The metric of each member over all inner folds together.
    weights_ : (n_members,) ndarray of float64
        They sum to 1.

    References
    ----------
    .. [1] C. Mondal et al., "Ensemble of convolutional neural networks to diagnose acute
       lymphoblastic leukemia from microscopic images", arXiv:2105.03995, 2021 (weights by kappa).
    """

    # Parameters of the vote that are not to be chosen here.
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
        """What the vote is weighted with."""
        return getattr(self, "weights_", None)

    def fit(self, X: Any, y: Any) -> Self:
        """Score the members on inner folds, then fit them on all cells.

        Parameters
        ----------
        X : DataFrame
            What the members take, with the column of the groups.
        y : (n_cells,) array
            Labels.

        Raises
        ------
        ValueError
            An unknown metric, or no inner folds.
        """
        if self.metric not in METRICS:
            raise ValueError(f"no metric {self.metric!r}; there are: {', '.join(METRICS)}")
        y = np.asarray(y)
        folds = GroupedFolds(
            self.n_splits, column=self.column, alone=self.alone, random_state=self.random_state
        )
        chance = 1 / len(np.unique(y)) if self.metric == "balanced_accuracy" else 0.0
        scores = {}
        for name, member in self.estimators:
            predicted = cross_val_predict(clone(member), X, y, cv=folds)
            scores[name] = float(METRICS[self.metric](y, predicted))
        self.scores_ = scores
        above = np.maximum(np.array(list(scores.values())) - chance, 0.0)
        self.weights_ = above / above.sum() if above.sum() else np.full(len(above), 1 / len(above))
        return super().fit(X, y)


def weighted_vote(
    members: Members, *, metric: str = "kappa", n_splits: int = 3, random_state: int = 0
) -> WeightedVote:
    """Mean of the members' probabilities, weighted by how they do on inner folds.

    Parameters
    ----------
    members : list or mapping
        As in `average`.
    metric : {"kappa", "balanced_accuracy"}
        See `WeightedVote`.
    n_splits : int
        Inner folds.
    random_state : int
        Seed of the folds.

    Returns
    -------
    WeightedVote
        Unfitted.
    """
    return WeightedVote(
        _pairs(members), metric=metric, n_splits=n_splits, random_state=random_state
    )
