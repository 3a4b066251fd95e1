"""Differences between the scores of the same models under honest and leaky protocols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hemafeat._public import brief, public
from hemafeat.evaluate._compare import compare
from hemafeat.evaluate._comparison import Comparison
from hemafeat.evaluate._fit import Progress
from hemafeat.evaluate._protocols.protocols import Protocol, as_protocol
from hemafeat.evaluate._rows import CompareError
from hemafeat.evaluate._setup import Models
from hemafeat.evaluate._studies.paired import paired_differences


@public
@brief
@dataclass
class Leakage:
    """Scores of models under several protocols.

    Attributes
    ----------
    results : DataFrame
        `Comparison.results` of all protocols and seeds.
    differences : DataFrame
        One row per model, metric and protocol but the first: ``model, metric, difference, low,
        high, protocol, minus, seed, repeats, leaky``. The difference is the score under `protocol`
        minus that under `minus`, the first protocol; it is positive (for errors and losses
        negative) if `protocol` is optimistic.
    comparisons : dict of str to Comparison
        Comparison of the first seed, by the name of the protocol.
    protocol : str
        Description of the study in one sentence.
    """

    results: pd.DataFrame
    differences: pd.DataFrame
    comparisons: dict[str, Comparison]
    protocol: str

    @property
    def honest(self) -> Comparison:
        """Comparison under the first protocol."""
        return next(iter(self.comparisons.values()))

    def summary(self, metric: str = "balanced_accuracy") -> pd.DataFrame:
        """Tabulate one metric, with a row per model in the order compared.

        Parameters
        ----------
        metric : str, default="balanced_accuracy"
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
            out[name] = [_format(values.get(model, np.nan)) for model in out.index]
        differences = self.differences[self.differences["metric"] == metric]
        for name in dict.fromkeys(differences["protocol"]):
            part = differences[differences["protocol"] == name]
            rows = part.set_index("model")
            out[f"{name} minus {part['minus'].iloc[0]}"] = [
                _format_difference(*rows.loc[model, ["difference", "low", "high"]])
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
    """Measure how much a leaky protocol overestimates scores.

    Parameters
    ----------
    models : None, str, list of str, or mapping of str to estimator
        As in `compare`.
    table : DataFrame
        As in `compare`.
    protocols : sequence of str or Protocol, default=("grouped", "image-random")
        Two or more of `protocols`. All others are compared with the first, the honest one.
    repeats : int, default=1
        Number of divisions under each protocol, with consecutive seeds. Scores are means over the
        repeats, so that they depend less on a single division.
    n_boot, random_state, n_jobs, progress
        As in `compare`.
    **options
        Further arguments of `compare`: ``label, groups, n_splits, columns, metadata, rare,
        importance``.

    Returns
    -------
    Leakage

    Raises
    ------
    CompareError
        As in `compare`, and for fewer than two protocols.

    Notes
    -----
    Differences are resampled in pairs: one draw of whole groups serves both protocols, so that the
    effect of the patients drawn cancels. Models are not fitted again for a resample: the interval
    does not reflect the division into folds. If that matters (few cells, a difference near zero),
    raise `repeats`.

    Examples
    --------
    Cells of a patient resemble each other, and all have the patient's label:

    >>> import numpy as np
    >>> import pandas as pd
    >>> from hemafeat import evaluate
    >>> rng = np.random.default_rng(0)
    >>> patient = np.repeat(np.arange(12), 8)
    >>> table = pd.DataFrame({"group": patient, "label": np.array(["ill", "well"])[patient % 2]})
    >>> for j in range(8):
    ...     table[f"cell__shape__f{j}"] = rng.normal(0, 3, 12)[patient] + rng.normal(size=96)
    >>> result = evaluate.leakage(["svc"], table, n_splits=2, n_boot=20)
    >>> list(result.summary().columns)
    ['grouped', 'image-random (leaky)', 'image-random (leaky) minus grouped']
    >>> difference = result.differences.query("model == 'svc' and metric == 'accuracy'")
    >>> bool(difference["difference"].item() > 0.2)
    True
    """
    chosen = [as_protocol(protocol) for protocol in protocols]
    names = [protocol.name for protocol in chosen]
    if len(chosen) < 2 or len(set(names)) < len(names):
        raise CompareError(f"leakage compares two or more different protocols, not {names}")
    if repeats < 1:
        raise CompareError(f"repeats is the number of divisions, at least 1; it is {repeats}")
    sides: dict[str, list[Comparison]] = {}
    for protocol in chosen:
        sides[protocol.name] = [
            compare(
                models,
                table,
                protocol=protocol,
                n_boot=n_boot,
                random_state=random_state + repeat,
                n_jobs=n_jobs,
                progress=progress,
                **{"importance": False, **options},
            )
            for repeat in range(repeats)
        ]
    first, *others = sides
    differences = [
        paired_differences(sides[name], sides[first], n_boot, random_state).assign(
            protocol=_protocol_of(sides[name][0]),
            minus=_protocol_of(sides[first][0]),
            seed=random_state,
            repeats=repeats,
            leaky=sides[name][0].leaky,
        )
        for name in others
    ]
    return Leakage(
        pd.concat([run.results for side in sides.values() for run in side], ignore_index=True),
        pd.concat(differences, ignore_index=True),
        {name: side[0] for name, side in sides.items()},
        _sentence(sides, n_boot, repeats),
    )


def _protocol_of(comparison: Comparison) -> str:
    """Return the short name of a protocol, marked if it leaked."""
    return str(comparison.results["protocol"].iloc[0])


def _sentence(sides: dict[str, list[Comparison]], n_boot: int, repeats: int) -> str:
    parts = [f"{_protocol_of(side[0])}: {side[0].protocol}" for side in sides.values()]
    text = f"Differences: paired bootstrap over groups ({n_boot} resamples)"
    if repeats > 1:
        text += f", means over {repeats} divisions"
    classes = {tuple(side[0].classes) for side in sides.values()}
    if len(classes) > 1:
        text += "; the protocols do not score the same classes"
    return " ".join([*parts, text + "."])


def _format(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"


def _format_difference(value: float, low: float, high: float) -> str:
    return "" if np.isnan(value) else f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
