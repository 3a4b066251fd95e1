"""Cells drawn with and without replacement before they are divided: what copies fake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hemafeat._public import public
from hemafeat.evaluate._compare import compare
from hemafeat.evaluate._comparison import Comparison
from hemafeat.evaluate._fit import Progress
from hemafeat.evaluate._protocols.protocols import protocol
from hemafeat.evaluate._protocols.splits import CompareError, group_ids
from hemafeat.evaluate._rows import labelled
from hemafeat.evaluate._setup import Models
from hemafeat.evaluate._studies.paired import gaps

_GROUP = "__drawn_group"


@public
@dataclass
class Resampling:
    """Models on cells drawn with and without replacement.

    Attributes
    ----------
    results : DataFrame
        As `Comparison.results`, with ``replacement`` (how the cells were drawn) and ``copies``, the
        share of the cells scored that are trained on as well.
    differences : DataFrame
        ``model, metric, difference, low, high, protocol, seed, leaky``: drawn with replacement
        minus without, under each protocol.
    comparisons : dict of (bool, str) to Comparison
        By replacement and split.
    per_class : int
        Cells drawn of each class.
    protocol : str
        How it was done.
    """

    results: pd.DataFrame
    differences: pd.DataFrame
    comparisons: dict[tuple[bool, str], Comparison]
    per_class: int
    protocol: str

    def summary(self, metric: str = "balanced_accuracy") -> pd.DataFrame:
        """One metric to print: ``model, replacement, protocol, copies, value, low, high``."""
        found = self.results
        rows = found[(found["fold"] == "all") & (found["metric"] == metric)]
        names = ["model", "replacement", "protocol", "copies", "value", "low", "high"]
        return rows[names].reset_index(drop=True)


def resampling(
    models: Models,
    table: pd.DataFrame,
    *,
    per_class: int | None = None,
    splits: Sequence[str] = ("image-random", "grouped"),
    label: str = "label",
    groups: str | None = "group",
    n_boot: int = 1000,
    random_state: int = 0,
    n_jobs: int = 1,
    progress: bool | Progress | None = None,
    **options: Any,
) -> Resampling:
    """Show what drawing cells with replacement before dividing them does to a score.

    Parameters
    ----------
    models : None, str, list of str, or mapping of str to estimator
        As in `compare`.
    table : DataFrame
        As in `compare`.
    per_class : int, optional
        Cells to draw of each class: at most as many as the smallest has. Default: 500, or that.
    splits : sequence of str
        Protocols that have folds. Under one that ignores groups the copies of a cell fall on both
        sides; under one by groups they stay together.
    label, groups, n_boot, random_state, n_jobs, progress
        As in `compare`.
    **options
        Of `compare`: ``n_splits, columns, metadata, rare``.

    Returns
    -------
    Resampling

    Raises
    ------
    CompareError
        As in `compare`, or a class has fewer cells than `per_class`.

    Notes
    -----
    Of n cells of a class drawn with replacement from N, one that is scored has a copy among the m
    trained on with probability ``1 - (1 - 1 / N) ** m``. Resampling belongs inside the fold, on
    training cells alone, where the pipelines of this package do it.
    """
    for split in splits:
        if not protocol(split).folded:
            raise CompareError(f"resampling needs a protocol of folds, not {split!r}")
    known, _ = labelled(table, label)
    known = known.assign(**{_GROUP: group_ids(known, groups).ids})
    truth = known[label].astype(str).to_numpy(dtype=object).astype(str)
    names, counts = np.unique(truth, return_counts=True)
    n = min(500, int(counts.min())) if per_class is None else per_class
    if not 2 <= n <= counts.min():
        raise CompareError(
            f"per_class={n}: without replacement a class gives 2 to {counts.min()} cells here, the "
            f"number of its smallest class ({names[counts.argmin()]!r})"
        )
    comparisons: dict[tuple[bool, str], Comparison] = {}
    results = []
    for replacement in (False, True):
        rng = np.random.default_rng(random_state)
        rows = np.concatenate(
            [rng.choice(np.flatnonzero(truth == name), n, replace=replacement) for name in names]
        )
        drawn = known.iloc[rows]
        for split in splits:
            found = compare(
                models,
                drawn,
                label=label,
                groups=_GROUP,
                split=split,
                n_boot=n_boot,
                random_state=random_state,
                importance=False,
                n_jobs=n_jobs,
                progress=progress,
                **options,
            )
            comparisons[replacement, split] = found
            results.append(
                found.results.assign(replacement=replacement, copies=_copies(found, rows))
            )
    gap = [
        gaps([comparisons[True, s]], [comparisons[False, s]], n_boot, random_state).assign(
            protocol=str(comparisons[True, s].results["protocol"].iloc[0]),
            seed=random_state,
            leaky=comparisons[True, s].leaky,
        )
        for s in splits
    ]
    sentence = (
        f"{n} cells of each of {len(names)} classes drawn before they are divided, without and "
        f"with replacement, seed {random_state}. "
        + " ".join(found.protocol for (with_, _), found in comparisons.items() if with_)
    )
    return Resampling(
        pd.concat(results, ignore_index=True),
        pd.concat(gap, ignore_index=True),
        comparisons,
        n,
        sentence,
    )


def _copies(found: Comparison, rows: np.ndarray) -> float:
    """Share of the cells scored that stand among the cells trained on, over all folds."""
    part = found.predictions[found.predictions["model"] == found.models[0]]
    cell = rows[part["row"].to_numpy()]
    fold = part["fold"].to_numpy()
    # What is not in a fold is what it is trained on.
    twice = [np.isin(cell[fold == name], cell[fold != name]) for name in np.unique(fold)]
    return float(np.concatenate(twice).mean())
