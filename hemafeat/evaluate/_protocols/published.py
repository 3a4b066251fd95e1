"""Divisions of images as published reports made them, without regard to patients; all leak.

The order in which a report listed its files is not known, so that even with its seed the parts hold
other cells; their sizes and the way they are drawn are those of the report.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hemafeat.evaluate._protocols.by_column import class_notes
from hemafeat.evaluate._protocols.splits import Folds, Sample, mark_leak
from hemafeat.evaluate._rows import CompareError


@dataclass(frozen=True)
class Holdout:
    """Division into a training, a validation and a test part.

    Attributes
    ----------
    name : str
        Name of the protocol.
    test, valid : float
        Share of all cells that is scored, and share of the rest that the report selected models
        on; the latter is not used here.
    stratified : bool
        Keep the shares of the labels in all parts.
    seed : int, optional
        Seed of the report; by default that of the comparison.
    at_most : int, optional
        Greatest number of cells that are scored.
    per_class : int, optional
        Number of cells drawn of each class, with replacement, before the cells are divided.
    down : bool
        Round the number scored down, as Keras does, and not up, as scikit-learn does.
    """

    name: str
    test: float
    valid: float = 0.0
    stratified: bool = False
    seed: int | None = None
    at_most: int | None = None
    per_class: int | None = None
    down: bool = False

    def __call__(self, sample: Sample) -> Folds:
        """Divide the rows."""
        from sklearn.model_selection import train_test_split

        seed = sample.random_state if self.seed is None else self.seed
        truth = sample.truth
        rows = self._draw(truth, seed)
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
                f"protocol={self.name!r} cannot divide {len(rows)} cells: {error}"
            ) from None
        test = test[: self.at_most]
        if len(set(truth[train])) < 2:
            raise CompareError(f"protocol={self.name!r}: fewer than two classes to train on")
        notes = class_notes(truth, [(train, test)], ["test"])
        unused = len(rows) - len(train) - len(test)
        if unused:
            notes.append(f"{unused} cells of the report's validation part are not used")
        sentence = (
            f"one split of cells drawn at random, {len(train)} to train, {len(test)} to score"
        )
        if self.stratified:
            sentence += ", stratified by label"
        if self.per_class:
            copied = np.isin(test, train).mean()
            sentence = (
                f"{self.per_class} cells of each class drawn with replacement, then {sentence}; "
                f"{100 * copied:.0f} % of those scored have a copy among those trained on"
            )
        plan = Folds([(train, test)], ["test"], True, self.name, sentence, notes)
        return mark_leak(plan, sample.groups)

    def _draw(self, truth: np.ndarray, seed: int) -> np.ndarray:
        if not self.per_class:
            return np.arange(len(truth))
        rng = np.random.default_rng(seed)
        parts = [
            rng.choice(np.flatnonzero(truth == name), self.per_class, replace=True)
            for name in np.unique(truth)
        ]
        return np.concatenate(parts)
