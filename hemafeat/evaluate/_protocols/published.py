"""Splits as published reports made them: of images, whoever they show. All of them leak.

The files of a report were listed in an order that is not known, so that even with its seed the
parts hold other cells; their sizes and the way they are drawn are those of the report.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hemafeat.evaluate._protocols.by_column import unseen
from hemafeat.evaluate._protocols.splits import Cells, CompareError, Folds, marked


@dataclass(frozen=True)
class Holdout:
    """One part to train on, one to choose by, one to score.

    Attributes
    ----------
    name : str
        Of the protocol.
    test, valid : float
        Share of all cells that is scored, and share of the rest that the report chose models by;
        the latter is not used here.
    stratified : bool
        By label.
    seed : int, optional
        Of the report; by default that of the comparison.
    at_most : int, optional
        Cells that are scored at most.
    per_class : int, optional
        Cells drawn of each class, with replacement, before the cells are divided.
    down : bool
        The number scored is rounded down, as Keras does, and not up, as scikit-learn does.
    """

    name: str
    test: float
    valid: float = 0.0
    stratified: bool = False
    seed: int | None = None
    at_most: int | None = None
    per_class: int | None = None
    down: bool = False

    def __call__(self, cells: Cells) -> Folds:
        """Divide the rows."""
        from sklearn.model_selection import train_test_split

        seed = cells.random_state if self.seed is None else self.seed
        truth = cells.truth
        rows = self._drawn(truth, seed)
        try:
            rest, test = train_test_split(
                rows,
                test_size=int(self.test * len(rows)) if self.down else self.test,
                random_state=seed,
                stratify=truth[rows] if self.stratified else None,
            )
            train = rest
            if self.valid:
                train, _ = train_test_split(
                    rest,
                    test_size=self.valid,
                    random_state=seed,
                    stratify=truth[rest] if self.stratified else None,
                )
        except ValueError as error:
            raise CompareError(
                f"split={self.name!r} cannot divide {len(rows)} cells: {error}"
            ) from None
        test = test[: self.at_most]
        if len(set(truth[train])) < 2:
            raise CompareError(f"split={self.name!r}: fewer than two classes to train on")
        notes = unseen(truth, [(train, test)], ["test"])
        unused = len(rows) - len(train) - len(test)
        if unused:
            notes.append(f"{unused} cells of the report's validation part are not used")
        words = f"one split of cells drawn at random, {len(train)} to train, {len(test)} to score"
        if self.stratified:
            words += ", stratified by label"
        if self.per_class:
            twice = np.isin(test, train).mean()
            words = (
                f"{self.per_class} cells of each class drawn with replacement, then {words}; "
                f"{100 * twice:.0f} % of those scored have a copy among those trained on"
            )
        return marked(Folds([(train, test)], ["test"], True, self.name, words, notes), cells.groups)

    def _drawn(self, truth: np.ndarray, seed: int) -> np.ndarray:
        if not self.per_class:
            return np.arange(len(truth))
        rng = np.random.default_rng(seed)
        parts = [
            rng.choice(np.flatnonzero(truth == name), self.per_class, replace=True)
            for name in np.unique(truth)
        ]
        return np.concatenate(parts)
