"""Scores of predictions, computed from sums so that a bootstrap can reweight the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from hemafeat._resample import draw, interval
from hemafeat.pipelines import SelectiveClassifier

_BLOCK = 4_000_000
"""Number of row weights held at once; bounds the memory and does not change the result."""


def arrays(
    predictions: pd.DataFrame, classes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]:
    """Return truth, prediction, probabilities and fold of one model's rows for `scores`."""
    codes = {name: k for k, name in enumerate(classes)}
    truth, predicted = (
        predictions[name].map(codes).to_numpy(dtype=int) for name in ("truth", "predicted")
    )
    values = predictions[[f"p__{name}" for name in classes]].to_numpy(dtype=np.float64)
    probability = None if np.isnan(values).any() else values
    folds = predictions["fold"].to_numpy()
    return truth, predicted, probability, np.searchsorted(np.unique(folds), folds)


def resampled(
    truth: np.ndarray,
    predicted: np.ndarray,
    probability: np.ndarray | None,
    fold: np.ndarray | None,
    counts: np.ndarray,
    member: np.ndarray,
) -> dict[str, np.ndarray]:
    """Compute every metric on every resample.

    Parameters
    ----------
    truth, predicted, probability, fold
        As in `scores`.
    counts, member
        As returned by `draw`.

    Returns
    -------
    dict of str to (n_boot,) ndarray

    Notes
    -----
    A resample may lack a class, above all one of a few groups. A mean over the other classes would
    be that of another problem: without the hardest class it would lie above the score of all rows.
    Such a class therefore keeps the value it has on all rows. The calibration error of a resample
    exceeds that of all rows, because repeated rows agree with each other; the mean excess is
    subtracted.
    """
    parts = [
        scores(truth, predicted, probability, weights, fold, keep_classes=True)
        for weights in _row_weights(counts, member)
    ]
    values = {name: np.concatenate([part[name] for part in parts]) for name in METRICS}
    if probability is not None:
        errors = values["calibration_error"]
        plain = calibration_error(truth, probability, np.ones((1, len(truth))))
        values["calibration_error"] = np.maximum(0.0, errors - np.nanmean(errors) + plain)
    return values


def _row_weights(counts: np.ndarray, member: np.ndarray) -> Iterator[np.ndarray]:
    step = max(1, _BLOCK // max(1, len(member)))
    for start in range(0, len(counts), step):
        yield counts[start : start + step][:, member].astype(np.float64)


METRICS = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "weighted_f1",
    "auroc",
    "log_loss",
    "calibration_error",
)

LOWER_IS_BETTER = frozenset({"log_loss", "calibration_error"})

N_BINS = 15
"""Number of bins of equal width of the calibration error."""


def scores(
    truth: np.ndarray,
    predicted: np.ndarray,
    probability: np.ndarray | None,
    weights: np.ndarray,
    fold: np.ndarray | None = None,
    *,
    keep_classes: bool = False,
) -> dict[str, np.ndarray]:
    """Compute every metric for each set of row weights.

    Parameters
    ----------
    truth, predicted : (n_rows,) ndarray of int
        Class numbers 0..k-1.
    probability : (n_rows, k) ndarray of float64 or None
        Probability of each class. With None the metrics that need it are NaN.
    weights : (n_sets, n_rows) ndarray
        How often each row counts in each set; all ones is the plain score.
    fold : (n_rows,) ndarray of int, optional
        The fold in which each row was predicted, for `auroc`.
    keep_classes : bool
        If True, a class without a true row in a set has the value of all rows in the means over
        classes. If False, it is left out of them.

    Returns
    -------
    dict of str to (n_sets,) ndarray
        By the names of `METRICS`.

    Notes
    -----
    By default a class without a true row in a set is left out of the means over classes, as in
    `sklearn.metrics.balanced_accuracy_score`; a fold may lack a class.

    * ``balanced_accuracy``: mean recall of the classes.
    * ``macro_f1``, ``weighted_f1``: mean F1 of the classes, plain or weighted by true rows.
    * ``auroc``: mean over classes of the area under the ROC curve, one class against the rest. Only
      rows of the same fold are ranked against each other: the models of two folds need not be
      calibrated alike, and the class shares of their training parts differ, which would put an
      uninformative model below .5 if folds were ranked together.
    * ``log_loss``: mean negative natural logarithm of the probability of the true class, clipped
      to ``[eps, 1 - eps]`` of float64 as in scikit-learn.
    * ``calibration_error``: expected calibration error [1]_ of the top label, 15 bins of equal
      width. Small samples bias it upwards, and so does resampling.

    References
    ----------
    .. [1] C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    """
    weights = np.asarray(weights, dtype=np.float64)
    n_classes = int(max(truth.max(), predicted.max())) + 1
    if probability is not None:
        n_classes = max(n_classes, probability.shape[1])
    pairs = truth * n_classes + predicted
    counts = sums(weights, pairs, n_classes**2).reshape(-1, n_classes, n_classes)
    everything = np.ones((1, len(truth)))
    whole = sums(everything, pairs, n_classes**2).reshape(n_classes, n_classes)
    values = from_confusion(counts, whole if keep_classes else None)
    if probability is None:
        nan = np.full(len(weights), np.nan)
        return {**values, "auroc": nan, "log_loss": nan, "calibration_error": nan}
    total = weights.sum(axis=1)
    values["auroc"] = auroc(truth, probability, weights, fold, keep_classes=keep_classes)
    rows = np.arange(len(truth))
    eps = np.finfo(np.float64).eps
    values["log_loss"] = weights @ -np.log(np.clip(probability[rows, truth], eps, 1 - eps)) / total
    values["calibration_error"] = calibration_error(truth, probability, weights)
    return {name: values[name] for name in METRICS}


def sums(weights: np.ndarray, codes: np.ndarray, n_codes: int) -> np.ndarray:
    """Sum the weights of the rows of each code.

    Parameters
    ----------
    weights : (n_sets, n_rows) ndarray
    codes : (n_rows,) ndarray of int
    n_codes : int

    Returns
    -------
    (n_sets, n_codes) ndarray
    """
    one_hot = np.zeros((len(codes), n_codes))
    one_hot[np.arange(len(codes)), codes] = 1.0
    return weights @ one_hot


def from_confusion(counts: np.ndarray, whole: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Compute the metrics that follow from confusion matrices.

    Parameters
    ----------
    counts : (n_sets, n_classes, n_classes) ndarray
        True class first.
    whole : (n_classes, n_classes) ndarray, optional
        Confusion matrix of all rows, from which a class without a true row in a set takes its
        recall and F1. Without it the class is left out of the means over classes.

    Returns
    -------
    dict of str to (n_sets,) ndarray
    """
    hits = np.diagonal(counts, axis1=1, axis2=2)
    n_true = counts.sum(axis=2)
    n_predicted = counts.sum(axis=1)
    total = n_true.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = hits / n_true
        f1 = np.where(n_true > 0, 2 * hits / (n_true + n_predicted), np.nan)
        weighted_f1 = np.nansum(f1 * n_true, axis=1) / total
        if whole is not None:
            n_rows, n_right = whole.sum(axis=1), np.diagonal(whole)
            f1_of_all = np.where(n_rows > 0, 2 * n_right / (n_rows + whole.sum(axis=0)), np.nan)
            recall = np.where(n_true > 0, recall, n_right / n_rows)
            f1 = np.where(n_true > 0, f1, f1_of_all)
        return {
            "accuracy": hits.sum(axis=1) / total,
            "balanced_accuracy": _mean(recall),
            "macro_f1": _mean(f1),
            "weighted_f1": weighted_f1,
        }


def balanced_accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Compute the balanced accuracy of predicted labels."""
    names, codes = np.unique(np.concatenate([truth, predicted.astype(str)]), return_inverse=True)
    k = len(names)
    pairs = codes[: len(truth)] * k + codes[len(truth) :]
    counts = sums(np.ones((1, len(truth))), pairs, k * k).reshape(1, k, k)
    return float(from_confusion(counts)["balanced_accuracy"][0])


def _mean(values: np.ndarray) -> np.ndarray:
    """Average each row without NaN."""
    finite = ~np.isnan(values)
    return np.where(finite, values, 0.0).sum(axis=1) / finite.sum(axis=1)


def auroc(
    truth: np.ndarray,
    probability: np.ndarray,
    weights: np.ndarray,
    fold: np.ndarray | None = None,
    *,
    keep_classes: bool = False,
) -> np.ndarray:
    """Compute the macro area under the ROC curve, one class against the rest, within folds.

    With `keep_classes` a class without a pair to compare in a set has the area of all rows.
    """
    fold = np.zeros(len(truth), dtype=int) if fold is None else fold
    if keep_classes:
        weights = np.vstack([weights, np.ones(len(truth))])
    by_row = np.ascontiguousarray(weights.T)
    areas = np.full((len(weights), probability.shape[1]), np.nan)
    parts = [np.flatnonzero(fold == name) for name in np.unique(fold)]
    for k in range(probability.shape[1]):
        ordered = np.zeros(len(weights))
        total = np.zeros(len(weights))
        for rows in parts:
            ordered_in_fold, total_in_fold = _ordered_pairs(
                truth[rows] == k, probability[rows, k], by_row[rows]
            )
            ordered += ordered_in_fold
            total += total_in_fold
        np.divide(ordered, total, out=areas[:, k], where=total > 0)
    if keep_classes:
        areas = np.where(np.isnan(areas), areas[-1], areas)[:-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        return _mean(areas)


def _ordered_pairs(
    positive: np.ndarray, score: np.ndarray, by_row: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sum the weights of the pairs in the right order (a tie counts half), and of all pairs."""
    order = np.argsort(score[~positive], kind="stable")
    negatives = score[~positive][order]
    # Weight of the negatives below each rank, for each set.
    below = np.zeros((len(negatives) + 1, by_row.shape[1]))
    np.cumsum(by_row[~positive][order], axis=0, out=below[1:])
    less = np.searchsorted(negatives, score[positive], side="left")
    up_to = np.searchsorted(negatives, score[positive], side="right")
    weight = by_row[positive]
    ordered = (weight * (below[less] + below[up_to])).sum(axis=0) / 2
    return ordered, weight.sum(axis=0) * below[-1]


def calibration_error(
    truth: np.ndarray, probability: np.ndarray, weights: np.ndarray, n_bins: int = N_BINS
) -> np.ndarray:
    """Compute the expected calibration error of the top label for each set of row weights."""
    top = probability.argmax(axis=1)
    confidence = probability[np.arange(len(truth)), top]
    # Bins are (a, b], so that a confidence of exactly 1 falls into the last one.
    bins = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
    gaps = np.zeros((len(truth), n_bins))
    gaps[np.arange(len(truth)), bins] = (top == truth) - confidence
    return np.abs(weights @ gaps).sum(axis=1) / weights.sum(axis=1)


def answer_scores(
    predictions: pd.DataFrame, classes: Sequence[str], n_boot: int, random_state: int
) -> dict[str, float]:
    """Score the rows of one model that refuses cells; see `Comparison.answers`."""
    truth, predicted, probability, _ = arrays(predictions, classes)
    assert probability is not None
    separator = SelectiveClassifier.SEPARATOR
    names = [f"uncalibrated__{name}" for name in classes]
    before = predictions[names].to_numpy(dtype=np.float64)
    within = np.array(
        [
            name in set(str(names).split(separator))
            for name, names in zip(predictions["truth"], predictions["set"], strict=True)
        ]
    )
    refused = (predictions["refused"] != "").to_numpy()
    right = truth == predicted
    counts, member = draw(predictions["group"].to_numpy(), n_boot, random_state)
    weights = counts[:, member].astype(np.float64)
    ones = np.ones((1, len(truth)))
    found: dict[str, float] = {"n": len(truth), "stated": float(predictions["coverage"].iloc[0])}
    for name, hits, of in (
        ("coverage", within, np.ones(len(truth))),
        ("refused", refused, np.ones(len(truth))),
        ("accuracy", right, np.ones(len(truth))),
        ("answered", right & ~refused, (~refused).astype(np.float64)),
    ):
        with np.errstate(invalid="ignore", divide="ignore"):
            value = float((hits.sum() / of.sum()) if of.sum() else np.nan)
            low, high = interval(weights @ hits / (weights @ of), value)
        found |= {name: value, f"{name}_low": low, f"{name}_high": high}
    by_class = [within[truth == k].mean() for k in np.unique(truth)]
    sizes = predictions["set"].map(lambda text: len(str(text).split(separator)))
    return {
        **found,
        "least_coverage": float(min(by_class)),
        "set_size": float(np.where(predictions["set"] == "", 0, sizes).mean()),
        "unlike": float((predictions["refused"] == SelectiveClassifier.UNLIKE).mean()),
        "error_before": float(calibration_error(truth, before, ones)[0]),
        "error_after": float(calibration_error(truth, probability, ones)[0]),
    }
