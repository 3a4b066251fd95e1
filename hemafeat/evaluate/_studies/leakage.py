"""The same models under an honest and a leaky protocol, and what the difference is worth."""

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
from hemafeat.evaluate._protocols.protocols import Protocol, protocol
from hemafeat.evaluate._protocols.splits import CompareError
from hemafeat.evaluate._setup import Models
from hemafeat.evaluate._studies.paired import gaps


@public
@dataclass
class Leakage:
    """Models under several protocols.

    Attributes
    ----------
    results : DataFrame
        As `Comparison.results`, of all protocols and seeds below each other.
    differences : DataFrame
        One row per model, metric and protocol but the first: ``model, metric, difference, low,
        high, protocol, minus, seed, repeats, leaky``: the score under `protocol` minus that under
        `minus`, the first; positive where it flatters (negative for errors and losses).
    comparisons : dict of str to Comparison
        By the names of the protocols; of the first seed.
    protocol : str
        How it was done.
    """

    results: pd.DataFrame
    differences: pd.DataFrame
    comparisons: dict[str, Comparison]
    protocol: str

    @property
    def honest(self) -> Comparison:
        """The comparison under the first protocol."""
        return next(iter(self.comparisons.values()))

    def summary(self, metric: str = "balanced_accuracy") -> pd.DataFrame:
        """One metric to print: a row per model, in the order compared.

        Parameters
        ----------
        metric : str
            One of the metrics of a comparison.

        Returns
        -------
        DataFrame of str
            A column per protocol, then the differences with their intervals.
        """
        out = pd.DataFrame(index=pd.Index(self.honest.models, name="model"))
        pooled = self.results[(self.results["fold"] == "all") & (self.results["metric"] == metric)]
        names = list(dict.fromkeys(pooled["protocol"]))
        for name in names:
            values = pooled[pooled["protocol"] == name].groupby("model")["value"].mean()
            out[name] = [_number(values.get(model, np.nan)) for model in out.index]
        here = self.differences[self.differences["metric"] == metric]
        for name in dict.fromkeys(here["protocol"]):
            part = here[here["protocol"] == name]
            rows = part.set_index("model")
            out[f"{name} minus {part['minus'].iloc[0]}"] = [
                _signed(*rows.loc[model, ["difference", "low", "high"]])
                if model in rows.index
                else ""
                for model in out.index
            ]
        return out


def leakage(
    models: Models,
    table: pd.DataFrame,
    *,
    protocols: Sequence[str | Protocol] = ("grouped", "image-random"),
    repeats: int = 1,
    n_boot: int = 1000,
    random_state: int = 0,
    n_jobs: int = 1,
    progress: bool | Progress | None = None,
    **options: Any,
) -> Leakage:
    """Measure how much a leaky protocol flatters.

    Parameters
    ----------
    models : None, str, list of str, or mapping of str to estimator
        As in `compare`.
    table : DataFrame
        As in `compare`.
    protocols : sequence of str or Protocol
        Two or more of `protocols`; all others are compared with the first, the honest one.
    repeats : int
        How often each is divided anew, with seeds one after the other. Scores are means over the
        repeats, so that the luck of one division weighs less.
    n_boot, random_state, n_jobs, progress
        As in `compare`.
    **options
        Of `compare`: ``label, groups, n_splits, columns, metadata, rare, importance``.

    Returns
    -------
    Leakage

    Raises
    ------
    CompareError
        As in `compare`, or fewer than two protocols.

    Notes
    -----
    Differences are resampled in pairs: one draw of whole groups serves both protocols, so that what
    both owe to the patients at hand cancels. Models are not fitted anew for a resample: the
    interval does not hold the luck of one division into folds. Where that luck is what matters
    (few cells, a difference near zero), raise `repeats`.

    Examples
    --------
    >>> from hemafeat import evaluate
    >>> found = evaluate.leakage(["svc"], table)  # doctest: +SKIP
    >>> found.summary()  # doctest: +SKIP
    """
    hows = [protocol(how) if isinstance(how, str) else how for how in protocols]
    names = [how.name for how in hows]
    if len(hows) < 2 or len(set(names)) < len(names):
        raise CompareError(f"leakage compares two or more different protocols; got {names}")
    if repeats < 1:
        raise CompareError(f"repeats is how often cells are divided, at least 1; got {repeats}")
    sides: dict[str, list[Comparison]] = {}
    for how in hows:
        sides[how.name] = [
            compare(
                models,
                table,
                split=how,
                n_boot=n_boot,
                random_state=random_state + again,
                n_jobs=n_jobs,
                progress=progress,
                **{"importance": False, **options},
            )
            for again in range(repeats)
        ]
    first, *others = sides
    rows = []
    for name in others:
        found = gaps(sides[name], sides[first], n_boot, random_state)
        rows.append(
            found.assign(
                protocol=_told(sides[name][0]),
                minus=_told(sides[first][0]),
                seed=random_state,
                repeats=repeats,
                leaky=sides[name][0].leaky,
            )
        )
    runs = [run for side in sides.values() for run in side]
    return Leakage(
        pd.concat([run.results for run in runs], ignore_index=True),
        pd.concat(rows, ignore_index=True),
        {name: side[0] for name, side in sides.items()},
        _sentence(sides, n_boot, repeats),
    )


def _told(comparison: Comparison) -> str:
    return str(comparison.results["protocol"].iloc[0])


def _sentence(sides: dict[str, list[Comparison]], n_boot: int, repeats: int) -> str:
    parts = [f"{_told(side[0])}: {side[0].protocol}" for side in sides.values()]
    words = f"Differences: paired bootstrap over groups ({n_boot} resamples)"
    if repeats > 1:
        words += f", means over {repeats} divisions"
    classes = {tuple(side[0].classes) for side in sides.values()}
    if len(classes) > 1:
        words += "; the protocols do not score the same classes"
    return " ".join([*parts, words + "."])


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"


def _signed(value: float, low: float, high: float) -> str:
    return "" if np.isnan(value) else f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
