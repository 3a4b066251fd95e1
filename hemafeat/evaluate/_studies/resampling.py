"""Scores of cells drawn with and without replacement before they are divided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hemafeat._public import brief, public, renamed_argument
from hemafeat.evaluate._compare import compare
from hemafeat.evaluate._comparison import Comparison
from hemafeat.evaluate._fit import Progress
from hemafeat.evaluate._protocols.protocols import as_protocol
from hemafeat.evaluate._protocols.splits import group_ids
from hemafeat.evaluate._rows import CompareError, drop_unlabelled
from hemafeat.evaluate._setup import Models
from hemafeat.evaluate._studies.paired import paired_differences

_GROUP = "__drawn_group"


@public
@brief
@dataclass
class Resampling:
    """Scores of models on cells drawn with and without replacement.

    Attributes
    ----------
    results : DataFrame
        As `Comparison.results`, with ``replacement`` (whether the cells were drawn with
        replacement) and ``copies``, the share of the cells scored that are trained on as well.
    differences : DataFrame
        ``model, metric, difference, low, high, protocol, seed, leaky``: the score with replacement
        minus that without, under each protocol.
    comparisons : dict of (bool, str) to Comparison
        By replacement and name of the protocol.
    per_class : int
        Number of cells drawn of each class.
    protocol : str
        Description of the study in one sentence.
    """

    results: pd.DataFrame
    differences: pd.DataFrame
    comparisons: dict[tuple[bool, str], Comparison]
    per_class: int
    protocol: str

    def summary(self, metric: str = "balanced_accuracy") -> pd.DataFrame:
        """Tabulate one metric.

        Parameters
        ----------
        metric : str, default="balanced_accuracy"
            One of the metrics of a comparison.

        Returns
        -------
        DataFrame
            ``model, replacement, protocol, copies, value, low, high``.
        """
        pooled = self.results["fold"] == "all"
        rows = self.results[pooled & (self.results["metric"] == metric)]
        names = ["model", "replacement", "protocol", "copies", "value", "low", "high"]
        return rows[names].reset_index(drop=True)


@renamed_argument("splits", "protocols")
def resampling(
    models: Models,
    table: pd.DataFrame,
    *,
    per_class: int | None = None,
    protocols: Sequence[str] = ("image-random", "grouped"),
    label: str = "label",
    groups: str | None = "group",
    n_boot: int = 1000,
    random_state: int = 0,
    n_jobs: int = 1,
    progress: bool | Progress | None = None,
    **options: Any,
) -> Resampling:
    """Measure how scores change if cells are drawn with replacement before they are divided.

    Parameters
    ----------
    models : None, str, list of str, or mapping of str to estimator
        As in `compare`.
    table : DataFrame
        As in `compare`.
    per_class : int, optional
        Number of cells to draw of each class, at most as many as the smallest class has. By default
        500, or that number if it is smaller.
    protocols : sequence of str, default=("image-random", "grouped")
        Protocols that have folds. Under one that ignores groups the copies of a cell fall on both
        sides; under one by groups they stay together.
    label, groups, n_boot, random_state, n_jobs, progress
        As in `compare`.
    **options
        Further arguments of `compare`: ``n_splits, columns, metadata, rare``.

    Returns
    -------
    Resampling

    Raises
    ------
    CompareError
        As in `compare`, and for a class with fewer than `per_class` cells.

    Notes
    -----
    If n cells of a class are drawn with replacement from N, a cell that is scored has a copy among
    the m trained on with probability ``1 - (1 - 1 / N) ** m``. Resampling belongs inside the fold,
    on training cells alone, where the pipelines of this package do it.

    Examples
    --------
    The feature holds no signal, but a cell resembles its own copy:

    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from hemafeat import evaluate
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame(
    ...     {"label": ["a", "b"] * 50, "cell__shape__area": rng.normal(size=100)}
    ... )
    >>> result = evaluate.resampling(
    ...     {"nearest": KNeighborsClassifier(1)}, table, n_splits=2, n_boot=20
    ... )
    >>> summary = result.summary().query("model == 'nearest'")
    >>> print(summary[["replacement", "protocol"]].to_string(index=False))
     replacement             protocol
           False         image-random
           False              grouped
            True image-random (leaky)
            True              grouped
    >>> [round(copies) for copies in 10 * summary["copies"]]
    [0, 0, 4, 0]
    """
    for name in protocols:
        if not as_protocol(name).folded:
            raise CompareError(f"resampling needs a protocol of folds, not {name!r}")
    cells, _ = drop_unlabelled(table, label)
    cells = cells.assign(**{_GROUP: group_ids(cells, groups).ids})
    truth = cells[label].astype(str).to_numpy(dtype=object).astype(str)
    classes, counts = np.unique(truth, return_counts=True)
    n = min(500, int(counts.min())) if per_class is None else per_class
    if not 2 <= n <= counts.min():
        raise CompareError(
            f"per_class={n}: without replacement, 2 to {counts.min()} cells of each class can be "
            f"drawn, the number of the smallest class ({str(classes[counts.argmin()])!r})"
        )
    comparisons: dict[tuple[bool, str], Comparison] = {}
    results = []
    for replacement in (False, True):
        rng = np.random.default_rng(random_state)
        rows = np.concatenate(
            [rng.choice(np.flatnonzero(truth == name), n, replace=replacement) for name in classes]
        )
        drawn = cells.iloc[rows]
        for name in protocols:
            comparison = compare(
                models,
                drawn,
                label=label,
                groups=_GROUP,
                protocol=name,
                n_boot=n_boot,
                random_state=random_state,
                importance=False,
                n_jobs=n_jobs,
                progress=progress,
                **options,
            )
            comparisons[replacement, name] = comparison
            results.append(
                comparison.results.assign(
                    replacement=replacement, copies=_share_of_copies(comparison, rows)
                )
            )
    differences = [
        paired_differences(
            [comparisons[True, name]], [comparisons[False, name]], n_boot, random_state
        ).assign(
            protocol=str(comparisons[True, name].results["protocol"].iloc[0]),
            seed=random_state,
            leaky=comparisons[True, name].leaky,
        )
        for name in protocols
    ]
    sentence = (
        f"{n} cells of each of {len(classes)} classes drawn before they are divided, without and "
        f"with replacement, seed {random_state}. "
        + " ".join(run.protocol for (replaced, _), run in comparisons.items() if replaced)
    )
    return Resampling(
        pd.concat(results, ignore_index=True),
        pd.concat(differences, ignore_index=True),
        comparisons,
        n,
        sentence,
    )


def _share_of_copies(comparison: Comparison, rows: np.ndarray) -> float:
    """Compute the share of the cells scored that are among those trained on, over all folds."""
    part = comparison.predictions[comparison.predictions["model"] == comparison.models[0]]
    cell = rows[part["row"].to_numpy()]
    fold = part["fold"].to_numpy()
    # The cells outside a fold are those that its models are trained on.
    copied = [np.isin(cell[fold == name], cell[fold != name]) for name in np.unique(fold)]
    return float(np.concatenate(copied).mean())
