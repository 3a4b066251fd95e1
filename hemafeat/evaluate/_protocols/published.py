"""Divisions into one training, validation and test part, such as those of published reports.

The order in which a report listed its files is not known, so that even with its seed the parts hold
other cells; their sizes and the way they are drawn are those of the report.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from hemafeat.evaluate._protocols.by_column import class_notes
from hemafeat.evaluate._protocols.splits import Folds, Sample, mark_leak, undivided
from hemafeat.evaluate._rows import CompareError


@dataclass(frozen=True)
class Holdout:
    """Division into a training, a validation and a test part.

    Attributes
    ----------
    name : str
        Name of the protocol.
    test, valid : float
        Share of all cells that is scored, and share of the rest on which models are validated.
    stratified : bool
        Keep the shares of the labels in all parts.
    seed : int, optional
        Seed of the report; by default that of the comparison.
    at_most : int, optional
        Greatest number of cells that are scored; the others of the part are validated on.
    per_class : int, optional
        Number of cells drawn of each class, with replacement, before the cells are divided.
    down : bool
        Round the number scored down, as Keras does, and not up, as scikit-learn does.
    whole_groups : bool
        Divide the groups, and not the cells; the shares are those of the groups.
    on_test : bool
        Validate models on the part that is scored, as some reports did.
    published : bool
        Whether a report divided its images so, without regard to patients or to the choice of
        models; such a division is always called leaky.
    """

    name: str
    test: float
    valid: float = 0.0
    stratified: bool = False
    seed: int | None = None
    at_most: int | None = None
    per_class: int | None = None
    down: bool = False
    whole_groups: bool = False
    on_test: bool = False
    published: bool = True

    def __call__(self, sample: Sample) -> Folds:
        """Divide the rows."""
        seed = sample.random_state if self.seed is None else self.seed
        truth = sample.truth
        if len(set(truth)) < 2:
            raise CompareError(f"protocol={self.name!r}: fewer than two classes to divide")
        if self.whole_groups:
            train, valid, test = _rows_of_groups(sample, self._divide(*_labels(sample), seed))
        else:
            train, valid, test = self._divide(self._draw(truth, seed), truth, seed)
        if len(set(truth[train])) < 2:
            raise CompareError(f"protocol={self.name!r}: fewer than two classes to train on")
        notes = class_notes(truth, [(train, test)], ["test"])
        parts = f"{len(train)} to train, "
        if len(valid):
            parts += f"{len(valid)} to validate, "
        sentence = f"one split of {sample.noun} drawn at random, {parts}{len(test)} to score"
        if self.whole_groups and sample.groups.noun != sample.noun:
            sentence = (
                f"one split of whole {sample.groups.noun} drawn at random, {sample.noun}: {parts}"
                f"{len(test)} to score"
            )
        if self.stratified:
            sentence += ", stratified by label"
        if self.per_class:
            copied = np.isin(test, train).mean()
            sentence = (
                f"{self.per_class} cells of each class drawn with replacement, then {sentence}; "
                f"{100 * copied:.0f} % of those scored have a copy among those trained on"
            )
        validation = [test if self.on_test else valid]
        if not len(validation[0]):
            validation = []
        plan = Folds(
            [(train, test)], ["test"], self.published, self.name, sentence, notes, validation
        )
        if self.on_test:
            text = f"models are validated on the {sample.noun} that are scored, which favours them"
            name = self.name if self.published else f"{self.name} (leaky)"
            return replace(plan, leaky=True, protocol=name, sentence=f"{sentence}: LEAKY, {text}")
        marked = mark_leak(plan, sample.groups)
        if marked.leaky:
            return marked
        return replace(marked, sentence=marked.sentence + undivided(sample))

    def _divide(
        self, units: np.ndarray, truth: np.ndarray, seed: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the units to train on, to validate on and to score; `truth` is of all units."""
        from sklearn.model_selection import train_test_split

        try:
            rest, test = train_test_split(
                units,
                test_size=int(self.test * len(units)) if self.down else self.test,
                random_state=seed,
                stratify=truth[units] if self.stratified else None,
            )
            train, valid = rest, test[:0]
            if self.valid:
                train, valid = train_test_split(
                    rest,
                    test_size=self.valid,
                    random_state=seed,
                    stratify=truth[rest] if self.stratified else None,
                )
        except ValueError as error:
            noun = "groups" if self.whole_groups else "cells"
            raise CompareError(
                f"protocol={self.name!r} cannot divide {len(units)} {noun}: {error}"
            ) from None
        if self.at_most is not None:
            valid, test = np.concatenate([valid, test[self.at_most :]]), test[: self.at_most]
        return train, valid, test

    def _draw(self, truth: np.ndarray, seed: int) -> np.ndarray:
        if not self.per_class:
            return np.arange(len(truth))
        rng = np.random.default_rng(seed)
        parts = [
            rng.choice(np.flatnonzero(truth == name), self.per_class, replace=True)
            for name in np.unique(truth)
        ]
        return np.concatenate(parts)


def holdout(sample: Sample) -> Folds:
    """Divide whole groups once: shares and seed are options of the protocol."""
    options = dict(sample.options)
    shares = {name: options.get(name, default) for name, default in (("test", 0.25), ("valid", 0))}
    on_test = shares["valid"] == "test"
    test, valid = (0.0 if share == "test" else share for share in shares.values())
    for name, share in (("test", test), ("valid", valid)):
        if not isinstance(share, int | float) or not 0 <= share < 1:
            raise CompareError(f"holdout: {name} is a share of the groups below 1, not {share!r}")
    if not 0 < test < 1 - valid:
        raise CompareError(f"holdout: test={test} and valid={valid} leave no groups to divide")
    division = Holdout(
        "holdout",
        test,
        valid / (1 - test),
        stratified=bool(options.get("stratified", True)),
        seed=options.get("seed"),
        whole_groups=True,
        on_test=on_test,
        published=False,
    )
    return division(sample)


def _labels(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the groups, and the most frequent label of each."""
    _, member = np.unique(sample.groups.ids, return_inverse=True)
    counts = pd.crosstab(member, sample.truth)
    labels = counts.columns.to_numpy(dtype=str)[counts.to_numpy().argmax(axis=1)]
    return np.arange(len(counts)), labels


def _rows_of_groups(
    sample: Sample, parts: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> tuple[np.ndarray, ...]:
    _, member = np.unique(sample.groups.ids, return_inverse=True)
    return tuple(np.flatnonzero(np.isin(member, part)) for part in parts)
