"""Results of a comparison, and their folder on disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemafeat._files import read_parquet, write_table, write_whole
from hemafeat._public import public
from hemafeat._resample import draw, interval
from hemafeat._words import plural
from hemafeat.evaluate._export import log_to_mlflow, write_csv
from hemafeat.evaluate._rows import EDITS, CompareError
from hemafeat.evaluate._scores import (
    LOWER_IS_BETTER,
    METRICS,
    answer_scores,
    arrays,
    resampled,
    scores,
)

BASELINES = {
    "baseline": "majority class",
    "metadata": "attributes alone",
    "attributes": "attributes alone",
    "bag_size": "number of cells alone",
    "stain": "white of the background alone",
    "date_format": "format of the dates alone",
}
"""What the models of this package that never look at a cell predict by, by their names."""

_TABLES = ("results", "predictions", "differences", "importances", "seconds", "errors")
_LATER_TABLES = ("part_scores", "searches")
"""Tables that comparisons of earlier versions lack."""

_PATIENT_TABLES = ("patients", "verdicts")
SHOWN = ("weighted_f1", "auroc", "accuracy", "balanced_accuracy")
"""Metrics of the table of parts."""

_IN_SHORT = ("balanced_accuracy", "macro_f1", "auroc", "accuracy")
"""Metrics that a comparison shows of itself."""

_NOT_KEPT = 0.02
"""Loss of coverage that is worth a remark."""

_HEAD = "comparison.json"
_FORMAT_VERSION = 2


@public
@dataclass(repr=False)
class Comparison:
    """Scores and predictions of models on held-out cells.

    Attributes
    ----------
    results : DataFrame
        One row per model, fold and metric: ``model, fold, metric, value, low, high, protocol, seed,
        leaky, fingerprint, version``. Fold ``"all"`` is the pooled score over all held-out
        predictions, with its interval; single folds have no interval (NaN).
    predictions : DataFrame
        One row per model and scored cell: ``model, row, image, cell, where__*, group, fold, truth,
        predicted, probability, suspected_failure`` and ``p__<class>`` for every class (NaN for a
        model without probabilities). `row` is the position in the table compared; where a cell
        lies and why its outline is suspected to be wrong (empty if it is not) are as in that table,
        if it tells; `probability` is that of the class predicted. A table of several data sets adds
        ``dataset``, and a `hemafeat.pipelines.SelectiveClassifier` ``set, coverage, anomaly,
        refused`` and ``uncalibrated__<class>``, which are missing for other models.
    differences : DataFrame
        One row per pair of models and metric: ``model_a, model_b, metric, difference, low, high``;
        the difference is a minus b, resampled in pairs.
    importances : DataFrame
        ``model, kind, column, mask, family, importance, sd``: loss of balanced accuracy on held-out
        cells when a block of columns (``kind="block"``, all of one mask and family) or a single
        column (``kind="column"``) is permuted.
    seconds : DataFrame
        ``model, fit, predict``: seconds over all folds.
    classes : list of str
        Class names, sorted.
    leaky : bool
        Whether cells of one group were on both sides.
    protocol : str
        Description of the comparison in one sentence.
    errors : DataFrame
        ``image, stage, error, message``: rows that were left out and why, remarks on the folds, and
        warnings of models.
    fingerprint : str
        Hash of the feature values, labels and groups compared.
    versions : dict of str to str
        Versions of Python and of the packages used.
    n_boot, random_state : int
        Number of resamples, and seed, of the intervals.
    transductive : list of str
        Names of the models whose prediction of a cell depends on the other cells scored with it,
        which makes them incomparable with the others without a remark.
    unit : {"cell", "patient"}
        What one prediction is about.
    baselines : tuple of str
        Names of the models that ignore the cells, such as the majority class or the
        metadata alone. If none is given, they are recognised by the names of this package.
    part_scores : DataFrame
        One row per model, part and metric: ``model, part, metric, value, low, high, n``, all folds
        together; `n` is the number of rows. Parts are ``"train"``, ``"validation"``, ``"test"``,
        which is as in `results`, and ``"every image"``: the test part of a model of images together
        with images in which no cell was measured, if others are models of features. What a model
        was trained on has no interval.
    searches : DataFrame
        What searches for parameters have chosen: ``model, fold, step, parameter, value, score,
        selected_on``. `step` is the place of the search in the model, empty for the model itself;
        `selected_on` is ``"validation"`` or ``"inner folds"``.
    fitted : dict of str to list of estimator
        The fitted models of each fold, in the order of the folds, with ``keep_models=True``. They
        are not saved.
    """

    results: pd.DataFrame
    predictions: pd.DataFrame
    differences: pd.DataFrame
    importances: pd.DataFrame
    seconds: pd.DataFrame
    errors: pd.DataFrame
    classes: list[str]
    leaky: bool
    protocol: str
    fingerprint: str
    versions: dict[str, str] = field(default_factory=dict)
    n_boot: int = 1000
    random_state: int = 0
    transductive: list[str] = field(default_factory=list)
    unit: str = "cell"
    baselines: tuple[str, ...] = ()
    part_scores: pd.DataFrame = field(default_factory=pd.DataFrame)
    searches: pd.DataFrame = field(default_factory=pd.DataFrame)
    fitted: dict[str, list[Any]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        names = self.baselines or [name for name in self.models if name in BASELINES]
        self.baselines = tuple(names)

    def _in_short(self) -> tuple[str, pd.DataFrame]:
        """Return a sentence and the scores that people look at first."""
        n_models, n_cells = len(self.models), self.predictions.groupby("model").size().max()
        of = "" if self.predictions.empty else f" on {n_cells} {self.unit}s"
        metrics = [name for name in _IN_SHORT if name in set(self.results["metric"])]
        table = self.summary()[metrics].replace("", "-")
        table = table.rename(columns=lambda name: name.replace("_", " ")).rename_axis(None)
        text = f"Comparison of {n_models} models{of} of {len(self.classes)} classes"
        return f"{text}, {'LEAKY: too good to be true' if self.leaky else 'best first'}", table

    def __repr__(self) -> str:
        if self.results.empty:
            return "Comparison without results"
        text, table = self._in_short()
        return f"{text}\n{table.to_string()}"

    def _repr_html_(self) -> str:
        """Show the scores, what was done, and what they do not show, in a notebook."""
        if self.results.empty:
            return f"<p>{self!r}</p>"
        text, table = self._in_short()
        paragraphs = [f"<b>{text}</b>", escape(self.protocol), *map(escape, self.remarks())]
        lines = "".join(f"<p style='max-width:70em'>{part}</p>" for part in paragraphs)
        return lines.replace("</p>", f"</p>{table.to_html()}", 1)

    @property
    def models(self) -> list[str]:
        """Names of the models, in the order compared."""
        return list(dict.fromkeys(self.results["model"]))

    @property
    def main_metric(self) -> str:
        """Metric by which models are ranked: balanced accuracy, or the first if it is missing."""
        names = list(dict.fromkeys(self.results["metric"]))
        return "balanced_accuracy" if "balanced_accuracy" in names or not names else names[0]

    def ranked(self, *, baselines: bool = False) -> list[str]:
        """List the models from best to worst by the main metric.

        Parameters
        ----------
        baselines : bool, default=False
            Include the models that ignore the cells, each at its place by score.

        Returns
        -------
        list of str
            Models with equal scores are in the order of their names; a model without a score is
            last.
        """
        metric = self.main_metric
        pooled = self.results[(self.results["fold"] == "all") & (self.results["metric"] == metric)]
        values = dict(zip(pooled["model"], pooled["value"].astype(float), strict=True))
        sign = 1.0 if metric in LOWER_IS_BETTER else -1.0

        def key(name: str) -> tuple[float, str]:
            value = values.get(name, np.nan)
            return (np.inf if np.isnan(value) else sign * value), name

        return sorted((n for n in self.models if baselines or n not in self.baselines), key=key)

    def rivals(self) -> list[str]:
        """List the models that ignore the cells and are as good as the best one that does not.

        Returns
        -------
        list of str
            Baselines of which the paired difference from the best model, in the main metric, has an
            interval that includes zero, or that score higher; the best first.
        """
        ranked = self.ranked()
        if not ranked:
            return []
        rivals = []
        for name in self.ranked(baselines=True):
            if name in self.baselines:
                value, low, high = self._difference(name, ranked[0])
                if not np.isnan(value) and (value >= 0 or low <= 0 <= high):
                    rivals.append(name)
        return rivals

    def _difference(self, first: str, second: str) -> tuple[float, float, float]:
        """Return how much better a model is than another, with the interval; NaN if not known."""
        rows = self.differences
        rows = rows[rows["metric"] == self.main_metric]
        sign = -1.0 if self.main_metric in LOWER_IS_BETTER else 1.0
        for a, b, factor in ((first, second, sign), (second, first, -sign)):
            row = rows[(rows["model_a"] == a) & (rows["model_b"] == b)]
            if len(row):
                numbers = row[["difference", "low", "high"]].to_numpy(np.float64)[0]
                value, *bounds = (float(factor * number) for number in numbers)
                return value, min(bounds), max(bounds)
        return np.nan, np.nan, np.nan

    def remarks(self) -> list[str]:
        """Say what the ranking of the models does not show.

        Returns
        -------
        list of str
            Sentences: which models that never see a cell are as good as the best one that does, and
            how optimistic the score of the best of several models is, which is estimated by
            choosing the best model on resamples of the groups and scoring it on the groups that
            were not drawn [1]_; which sets of classes do not hold the true class as often as
            stated; of what models warned; and what was edited by hand.

        References
        ----------
        .. [1] I. Tsamardinos et al., "Bootstrapping the out-of-sample predictions for efficient and
           accurate cross-validation", Machine Learning 107, 2018.

        Examples
        --------
        >>> from hemafeat import datasets, evaluate
        >>> cells = datasets.drawn_bags(24, cells=(4, 8), abnormal=(0.1, 0.1), random_state=0)
        >>> comparison = evaluate.compare_patients(
        ...     ["table_means"], cells, n_splits=2, n_boot=20, verdicts=False, importance=False
        ... )
        >>> comparison.remarks()[0]
        'Models that never see a cell are as good as table_means...'
        """
        ranked, rivals = self.ranked(), self.rivals()
        remarks = []
        if rivals:
            best, metric = ranked[0], self.main_metric.replace("_", " ")
            phrases = []
            for name in rivals:
                value, low, high = self._difference(name, best)
                kind = BASELINES.get(name)
                phrases.append(
                    f"{name}{f' ({kind})' if kind else ''} with {self._score(name):.3f} "
                    f"(difference {_signed(value)} [{_signed(low)}, {_signed(high)}])"
                )
            subject = (
                "Models that never see a cell are"
                if len(rivals) > 1
                else ("A model that never sees a cell is")
            )
            others = "" if len(ranked) == 1 else ", the best of those that do"
            remarks.append(
                f"{subject} as good as {best}{others}, which has a {metric} of "
                f"{self._score(best):.3f}: {'; '.join(phrases)}. These scores do not show that the "
                "cells add anything."
            )
        if len(ranked) > 1:
            noun = "patients" if self.unit == "patient" else "groups"
            elsewhere, shown = (
                f"{self._best_elsewhere(ranked):.3f}",
                f"{self._score(ranked[0]):.3f}",
            )
            estimate = (
                f"chosen on some of the {noun} and scored on others, the best model reaches "
                f"{elsewhere} on average"
            )
            if elsewhere == "nan":
                consequence = "and its score is optimistic."
            elif elsewhere < shown:
                consequence = (
                    f"and its score is optimistic. {estimate.capitalize()}, instead of {shown}."
                )
            else:
                consequence = (
                    "which makes a score optimistic. Here the difference is too small to be seen: "
                    f"{estimate}, and {shown} on all."
                )
            text = (
                f"{ranked[0]} is the best of {len(ranked)} models by the scores of the same "
                f"{self.unit}s that are shown for it: it was chosen, {consequence}"
            )
            remarks.append(text)
        for row in self.answers().to_dict("records"):
            if row["dataset"] == "all" and row["coverage_high"] < row["stated"] - _NOT_KEPT:
                remarks.append(
                    f"The sets of {row['model']} hold the true class of {row['coverage']:.3f} "
                    f"[{row['coverage_low']:.3f}, {row['coverage_high']:.3f}] of the "
                    f"{self.unit}s, not of {row['stated']:g} as stated: these are not like those "
                    f"trained on, and {row['unlike']:.3f} of them are refused for that reason."
                )
        warned = self.errors[self.errors["error"] == "UserWarning"]
        stages = warned["stage"].str.extract(r"^(?P<model>.+), fold (?P<fold>.+)$")
        for model, folds in stages.groupby("model", sort=False)["fold"]:
            remarks.append(
                f"{model} warned in {plural(folds.nunique(), 'fold')}: "
                f"{warned.loc[folds.index[0], 'message']}."
            )
        remarks += [
            f"{told[:1].upper()}{told[1:]}. If they were chosen by looking at predictions, scores "
            "on them are optimistic."
            for told in self.errors.loc[self.errors["stage"] == EDITS, "message"]
        ]
        return remarks

    def _score(self, model: str) -> float:
        rows = self.results
        rows = rows[(rows["fold"] == "all") & (rows["metric"] == self.main_metric)]
        return float(rows.loc[rows["model"] == model, "value"].iloc[0])

    def _best_elsewhere(self, models: list[str]) -> float:
        """Return the mean score of the model that is best on a resample, on the other groups."""
        if self.main_metric != "balanced_accuracy" or self.predictions.empty:
            return np.nan
        codes = {name: k for k, name in enumerate(self.classes)}
        n = len(self.classes)
        inside: list[np.ndarray] = []
        outside: list[np.ndarray] = []
        for name in models:
            part = self._predictions_of(name)
            truth, predicted = part["truth"].map(codes), part["predicted"].map(codes)
            if truth.isna().any() or predicted.isna().any():
                return np.nan
            counts, member = draw(part["group"].to_numpy(), min(self.n_boot, 200), 0)
            by_group = np.zeros((counts.shape[1], n * n))
            np.add.at(by_group, (member, (truth * n + predicted).to_numpy(dtype=int)), 1.0)
            for weights, found in ((counts, inside), (counts == 0, outside)):
                matrices = (weights.astype(np.float64) @ by_group).reshape(-1, n, n)
                recall = _class_scores(matrices)["recall"]
                valid = ~np.isnan(recall)
                total = np.where(valid, recall, 0.0).sum(axis=1)
                found.append(
                    np.divide(
                        total,
                        valid.sum(axis=1),
                        where=valid.any(axis=1),
                        out=np.full(len(total), np.nan),
                    )
                )
        best = np.argmax(np.nan_to_num(inside, nan=-1.0), axis=0)
        chosen = np.asarray(outside)[best, np.arange(len(best))]
        return float(np.nanmean(chosen)) if np.isfinite(chosen).any() else np.nan

    def summary(self) -> pd.DataFrame:
        """Tabulate the pooled scores, the best model first.

        Returns
        -------
        DataFrame of str
            Index `model`; a column per metric, such as ``"0.981 [0.976, 0.986]"``, the one by which
            models are ranked first, and the protocol.
        """
        pooled = self.results[self.results["fold"] == "all"]
        order = self.ranked(baselines=True)
        text = pooled.assign(
            text=[
                "" if np.isnan(v) else f"{v:.3f} [{low:.3f}, {high:.3f}]"
                for v, low, high in zip(pooled["value"], pooled["low"], pooled["high"], strict=True)
            ]
        )
        wide = text.pivot_table(index="model", columns="metric", values="text", aggfunc="first")
        # The first columns are those that a narrow print shows.
        names = [self.main_metric, *(name for name in METRICS if name != self.main_metric)]
        wide = wide.reindex(index=order, columns=names).rename_axis(columns=None)
        wide["protocol"] = pooled["protocol"].iloc[0] if len(pooled) else ""
        for name in self.transductive:
            wide.loc[wide.index == name, "protocol"] += ", transductive"
        return wide

    def parts(self, metrics: Sequence[str] = SHOWN) -> pd.DataFrame:
        """Tabulate the scores of all parts, the best model first.

        Parameters
        ----------
        metrics : list of str
            Metrics to show, by default weighted F1, AUC, accuracy and balanced accuracy.

        Returns
        -------
        DataFrame
            Index `model` and `part`; ``n`` and a column per metric.
        """
        rows = self.part_scores
        if rows.empty:
            return pd.DataFrame(columns=["n", *metrics])
        wide = rows.pivot_table(
            index=["model", "part", "n"], columns="metric", values="value", dropna=False, sort=False
        )
        wide = wide.dropna(how="all").reset_index("n").rename_axis(columns=None)
        order = {name: k for k, name in enumerate(self.ranked(baselines=True))}
        wide = wide.sort_index(
            level="model",
            key=lambda names: names.map(order.get),
            kind="stable",
            sort_remaining=False,
        )
        return wide[["n", *metrics]] if set(metrics) <= set(wide) else wide

    def per_dataset(self) -> pd.DataFrame:
        """Score the rows of each data set, such as those of a laboratory, by themselves.

        Returns
        -------
        DataFrame
            One row per model, data set and metric: ``model, dataset, metric, value, low, high, n``,
            the best model first. `n` is the number of rows. If rows are scored by models of several
            data sets in turn, `dataset` is the direction, such as ``"a to b"``. Empty if the table
            holds one data set only.

        Notes
        -----
        Means over classes are over those that the data set holds.
        """
        rows = []
        names = ["model", "dataset", "metric", "value", "low", "high", "n"]
        for model in self.ranked(baselines=True) if "dataset" in self.predictions else []:
            of_model = self._predictions_of(model)
            by = "fold" if of_model["row"].duplicated().any() else "dataset"
            for name, part in of_model.groupby(by):
                truth, predicted, probability, fold = arrays(part, self.classes)
                counts, member = draw(part["group"].to_numpy(), self.n_boot, self.random_state)
                everything = np.ones((1, len(part)))
                values = scores(truth, predicted, probability, everything, fold)
                resamples = resampled(truth, predicted, probability, fold, counts, member)
                for metric in METRICS:
                    value = float(values[metric][0])
                    bounds = interval(resamples[metric], value)
                    rows.append((model, str(name), metric, value, *bounds, len(part)))
        return pd.DataFrame(rows, columns=names)

    def answers(self) -> pd.DataFrame:
        """Tabulate how far the answers of models that refuse cells can be trusted.

        Returns
        -------
        DataFrame
            One row per `hemafeat.pipelines.SelectiveClassifier` and data set (``"all"`` is all
            rows), the best model first: ``model, dataset, n``; ``stated``, the coverage that was
            asked for; ``coverage``, the share of the rows whose set holds their class, and
            ``least_coverage``, that of the class with the lowest; ``set_size``, the mean number of
            classes in a set; ``refused``, the share of the rows that are refused, and ``unlike``,
            that as unlike the cells trained on; ``accuracy`` of all rows and of those ``answered``;
            ``error_before`` and ``error_after``, the calibration error without and with
            calibration. ``coverage``, ``refused``, ``accuracy`` and ``answered`` have intervals,
            ``<name>_low`` and ``<name>_high``.
        """
        rows = []
        refusing = self.predictions.get("refused")
        able = set() if refusing is None else set(self.predictions.loc[refusing.notna(), "model"])
        for model in [name for name in self.ranked(baselines=True) if name in able]:
            of_model = self._predictions_of(model)
            parts = [("all", of_model)]
            if "dataset" in of_model:
                by = "fold" if of_model["row"].duplicated().any() else "dataset"
                parts += [(str(name), part) for name, part in of_model.groupby(by)]
            for name, part in parts:
                found = answer_scores(part, self.classes, self.n_boot, self.random_state)
                rows.append({"model": model, "dataset": name, **found})
        return pd.DataFrame(rows)

    def confusion(self, model: str) -> pd.DataFrame:
        """Count rows by true and predicted class, over all folds.

        Parameters
        ----------
        model : str
            One of `models`.

        Returns
        -------
        DataFrame of int
            A row for each true and a column for each predicted class.
        """
        part = self._predictions_of(model)
        counts = pd.crosstab(part["truth"], part["predicted"])
        counts = counts.reindex(index=self.classes, columns=self.classes, fill_value=0)
        return counts.rename_axis(index="truth", columns="predicted").astype(int)

    def per_class(self, model: str) -> pd.DataFrame:
        """Compute precision, recall and F1 of each class over all folds, with intervals.

        Parameters
        ----------
        model : str
            One of `models`.

        Returns
        -------
        DataFrame
            Index `class`; ``precision, recall, f1`` with ``<name>_low`` and ``<name>_high``, and
            ``support``, the number of true cells. NaN if a quotient is 0 / 0.

        Notes
        -----
        A percentile interval is limited to the cells at hand: a class without an error has the
        interval ``[1, 1]``, whatever its size.
        """
        part = self._predictions_of(model)
        codes = {name: k for k, name in enumerate(self.classes)}
        n = len(self.classes)
        pairs = (part["truth"].map(codes) * n + part["predicted"].map(codes)).to_numpy(dtype=int)
        counts, member = draw(part["group"].to_numpy(), self.n_boot, self.random_state)
        # A resample is a weighted sum of the confusion matrices of the groups.
        by_group = np.zeros((counts.shape[1], n * n))
        np.add.at(by_group, (member, pairs), 1.0)
        weights = np.vstack([np.ones(counts.shape[1]), counts])
        scores = _class_scores((weights @ by_group).reshape(-1, n, n))
        out = pd.DataFrame(index=pd.Index(self.classes, name="class"))
        for name, values in scores.items():
            out[name] = values[0]
            bounds = [interval(values[1:, k], values[0, k]) for k in range(n)]
            out[f"{name}_low"] = [low for low, _ in bounds]
            out[f"{name}_high"] = [high for _, high in bounds]
        out["support"] = self.confusion(model).sum(axis=1).to_numpy()
        return out

    def _predictions_of(self, model: str) -> pd.DataFrame:
        if model not in self.models:
            raise CompareError(f"no model {model!r}; there are: {', '.join(self.models)}")
        return self.predictions[self.predictions["model"] == model]

    def save_csv(
        self, folder: str | os.PathLike[str], table: pd.DataFrame | None = None
    ) -> list[Path]:
        """Write the tables as CSV files, which any spreadsheet opens.

        Parameters
        ----------
        folder : path
            Created if it is missing. Gets ``results.csv``, ``part_scores.csv``,
            ``predictions.csv``, ``importances.csv``, where there is something in them
            ``searches.csv`` and ``verdicts.csv``, and ``columns.csv``, which says what each column
            of these files is.
        table : DataFrame, optional
            Table of cells that was compared. With it ``columns.csv`` also holds unit, meaning and
            formula of each feature.

        Returns
        -------
        list of Path
            The files.
        """
        return write_csv(self, Path(folder), table)

    def to_mlflow(
        self,
        uri: str | None = None,
        *,
        experiment: str = "hemafeat",
        files: Sequence[str | os.PathLike[str]] = (),
    ) -> str:
        """Log the comparison to MLflow: a run, and in it one for each model.

        Parameters
        ----------
        uri : str, optional
            Tracking server, such as ``"http://localhost:5000"`` or ``"sqlite:///mlflow.db"``. By
            default that of MLflow (``MLFLOW_TRACKING_URI``).
        experiment : str, default="hemafeat"
            Name of the experiment; created if it is new.
        files : sequence of path
            Further files to keep with the run, such as the page.

        Returns
        -------
        str
            Id of the run. The runs of the models hold the scores with both ends of their intervals
            (``balanced_accuracy.low``), those of the folds as steps
            (``balanced_accuracy.fold``) and the seconds; the run around them the CSV files of
            `save_csv`. All have the protocol and the tag ``leaky``.

        Raises
        ------
        ImportError
            The package mlflow is not installed.
        """
        return log_to_mlflow(self, uri, experiment, [Path(path) for path in files])

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write Parquet tables and one JSON file.

        Parameters
        ----------
        folder : path
            Created if it is missing. Files of an earlier comparison in it are replaced.

        Returns
        -------
        Path
            The folder.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        # The JSON file is removed first and written last: without it the folder is not a
        # comparison, so that an interrupted write cannot be read as a complete one.
        (folder / _HEAD).unlink(missing_ok=True)
        for name in (*_TABLES, *_LATER_TABLES):
            frame = getattr(self, name)
            write_table(frame, folder / f"{name}.parquet")
        head = {
            "format": "hemafeat comparison",
            "format_version": _FORMAT_VERSION,
            **{
                name: getattr(self, name)
                for name in (
                    "classes",
                    "leaky",
                    "protocol",
                    "fingerprint",
                    "versions",
                    "n_boot",
                    "random_state",
                    "transductive",
                    "unit",
                    "baselines",
                )
            },
        }
        head["sha256"] = _signature(head)
        text = json.dumps(head, indent=2, ensure_ascii=False) + "\n"
        write_whole(folder / _HEAD, lambda aside: aside.write_text(text, encoding="utf-8"))
        return folder


def _signed(value: float) -> str:
    """Return a number with its sign and three decimals, without a sign if that is zero."""
    text = f"{value:+.3f}"
    return text[1:] if float(text) == 0 else text


def _class_scores(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Compute scores of each class from confusion matrices (n_sets, n_classes, n_classes)."""
    hits = np.diagonal(counts, axis1=1, axis2=2)
    n_true, n_predicted = counts.sum(axis=2), counts.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "precision": hits / n_predicted,
            "recall": hits / n_true,
            "f1": 2 * hits / (n_true + n_predicted),
        }


def load(folder: str | os.PathLike[str]) -> Comparison:
    """Read a comparison from a folder.

    Parameters
    ----------
    folder : path
        Folder written by `Comparison.save`.

    Returns
    -------
    Comparison
        A `PatientComparison` if patients were compared.

    Raises
    ------
    CompareError
        If the folder does not hold a complete comparison.

    Examples
    --------
    >>> from hemafeat import datasets, evaluate
    >>> cells = datasets.drawn_bags(24, cells=(4, 8), random_state=0)
    >>> comparison = evaluate.compare(
    ...     "logistic", cells, groups="patient", n_splits=2, n_boot=20, importance=False
    ... )
    >>> folder = comparison.save("comparison")
    >>> evaluate.load(folder).fingerprint == comparison.fingerprint
    True
    """
    folder = Path(folder)
    try:
        head: dict[str, Any] = json.loads((folder / _HEAD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CompareError(f"{folder}: no comparison here ({_HEAD} is missing)") from None
    except (OSError, ValueError) as error:
        raise CompareError(f"{folder / _HEAD}: cannot be read: {error}") from None
    if not isinstance(head, dict) or head.get("format") != "hemafeat comparison":
        raise CompareError(f"{folder / _HEAD}: not a comparison")
    version = head.get("format_version")
    if version not in (1, _FORMAT_VERSION):
        raise CompareError(
            f"{folder / _HEAD}: format version {version}; this package reads 1 and "
            f"{_FORMAT_VERSION}"
        )
    # Earlier versions did not sign it.
    signed = head.pop("sha256", None)
    if version == _FORMAT_VERSION and signed not in (None, _signature(head)):
        raise CompareError(f"{folder / _HEAD}: damaged: it is not what was written; compare again")
    del head["format"], head["format_version"]
    if version == 1:
        head["unit"] = "patient" if _holds_patients(folder, head.get("fingerprint")) else "cell"
    of_patients = head.get("unit") == "patient"
    tables: dict[str, Any] = {}
    later = [name for name in _LATER_TABLES if (folder / f"{name}.parquet").is_file()]
    for name in (*_TABLES, *later, *(_PATIENT_TABLES if of_patients else ())):
        file = folder / f"{name}.parquet"
        try:
            tables[name] = read_parquet(file)
        except Exception as error:  # pyarrow raises many kinds
            raise CompareError(f"{file}: cannot be read: {error}; compare again") from None
    for name in _PATIENT_TABLES if of_patients else ():
        tables[name] = tables[name].drop(columns="fingerprint")
    try:
        return (PatientComparison if of_patients else Comparison)(**tables, **head)
    except TypeError as error:
        raise CompareError(f"{folder / _HEAD}: incomplete: {error}") from None


def _signature(head: dict[str, Any]) -> str:
    """Return a digest of the entries of the JSON file."""
    return hashlib.sha256(json.dumps(head, sort_keys=True).encode()).hexdigest()


def _holds_patients(folder: Path, fingerprint: Any) -> bool:
    """Check whether a folder of format 1, which has no unit, is a comparison of patients."""
    files = [folder / f"{name}.parquet" for name in _PATIENT_TABLES]
    if not all(file.is_file() for file in files):
        return False
    # Tables of another comparison that was saved here before have its fingerprint.
    return set(read_parquet(files[0])["fingerprint"]) == {fingerprint}


@public
@dataclass(repr=False)
class PatientComparison(Comparison):
    """Scores and predictions of models on held-out patients.

    Attributes
    ----------
    results, predictions, differences, importances, seconds, errors : DataFrame
        As in `Comparison`; ``image`` and ``group`` name the patient. Importances are those of the
        best model alone, measured on patients it was not trained on: of columns of cells, permuted
        among all cells, and of attributes, permuted among the patients.
    classes, leaky, protocol, fingerprint, versions, n_boot, random_state, transductive : object
        As in `Comparison`.
    unit, baselines, part_scores, searches, fitted : object
        As in `Comparison`; the unit is ``"patient"``.
    patients : DataFrame
        One row per patient scored: ``patient``, ``label``, ``n_cells`` and the attributes.
    verdicts : DataFrame
        Contributions of cells to the verdicts of the best model that looks at cells, trained
        without the patient. One row per cell of the patients scored: ``model, patient, image, cell,
        contribution, method`` (see `hemafeat.pipelines.cell_contributions`), ``positive``, the
        class to which cells contribute, and ``rank``, 1 for the greatest contribution; equal
        contributions have the same rank. ``suspected_failure`` says why the outline of the cell is
        suspected to be wrong (empty if it is not), if the table has these columns of quality.
    """

    unit: str = "patient"
    patients: pd.DataFrame = field(default_factory=pd.DataFrame)
    verdicts: pd.DataFrame = field(default_factory=pd.DataFrame)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write Parquet tables and one JSON file; see `Comparison.save`.

        Parameters
        ----------
        folder : path
            Created if it is missing.

        Returns
        -------
        Path
            The folder.
        """
        folder = super().save(folder)
        for name in _PATIENT_TABLES:
            write_table(
                getattr(self, name).assign(fingerprint=self.fingerprint), folder / f"{name}.parquet"
            )
        return folder
