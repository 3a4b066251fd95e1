"""Divide images into batches and test whether the batch predicts the label."""

from __future__ import annotations

import numpy as np
import pandas as pd

N_PERMUTATIONS = 999

_MAX_CLUSTERS = 6
_MIN_SILHOUETTE = 0.5
_SAMPLE_SIZE = 2000


def balanced_accuracy(batch: np.ndarray, label: np.ndarray) -> float:
    """Compute the best balanced accuracy of a prediction of the label from the batch alone.

    Parameters
    ----------
    batch, label : (n,) ndarray
        Batch and label of each image.

    Returns
    -------
    float
        ``1 / k * sum over batches of max over labels of P(batch | label)``, with k labels: 1 / k if
        the two are independent, 1 if the batch determines the label.
    """
    counts = pd.crosstab(batch, label).to_numpy(dtype=float)
    return float((counts / counts.sum(axis=0)).max(axis=1).sum() / counts.shape[1])


def permutation_test(
    batch: np.ndarray, label: np.ndarray, group: np.ndarray, random_state: int = 0
) -> tuple[float, float, float]:
    """Test whether the batch predicts the label, by permutation of the labels.

    Parameters
    ----------
    batch, label, group : (n,) ndarray
        Batch, label and group of each image.
    random_state : int
        Seed of the permutations.

    Returns
    -------
    score : float
        `balanced_accuracy` of the data.
    chance : float
        Its mean over permutations. If every group has a single label, labels are permuted between
        groups, since images of a patient share both slide and label; otherwise between images.
    p : float
        p value of the test.
    """
    columns = [pd.factorize(values, sort=True)[0] for values in (batch, label, group)]
    # Sorted, so that the result does not depend on the order of the images.
    batches, labels, groups = (column[np.lexsort(columns)] for column in columns)
    units = pd.DataFrame({"group": groups, "label": labels}).drop_duplicates()
    by_group = len(units) == groups.max() + 1
    unit_labels = units["label"].to_numpy() if by_group else labels
    unit = groups if by_group else np.arange(len(labels))
    score = balanced_accuracy(batches, labels)
    rng = np.random.default_rng(random_state)
    n_batches, n_labels = batches.max() + 1, labels.max() + 1
    scores = np.empty(N_PERMUTATIONS)
    for k in range(N_PERMUTATIONS):
        permuted = rng.permutation(unit_labels)[unit]
        counts = np.bincount(batches * n_labels + permuted, minlength=n_batches * n_labels)
        shares = counts.reshape(n_batches, n_labels) / np.bincount(permuted, minlength=n_labels)
        scores[k] = shares.max(axis=1).sum() / n_labels
    p = (1 + (scores >= score - 1e-12).sum()) / (1 + N_PERMUTATIONS)
    return score, float(scores.mean()), float(p)


def cluster(values: np.ndarray, random_state: int = 0) -> np.ndarray:
    """Divide points into well-separated clusters.

    Parameters
    ----------
    values : (n, k) ndarray of float64
        Points, without NaN.
    random_state : int
        Seed of k-means and of the sample on which it is fitted.

    Returns
    -------
    (n,) ndarray of int
        Number of the cluster of each point; 0 is the largest cluster. All zeros if no division into
        2 to 6 clusters has a mean silhouette of 0.5, the limit of a reasonable structure according
        to Kaufman and Rousseeuw.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    undivided = np.zeros(len(values), dtype=int)
    rng = np.random.default_rng(random_state)
    sample = values
    if len(values) > _SAMPLE_SIZE:
        sample = values[rng.choice(len(values), _SAMPLE_SIZE, replace=False)]
    # A spread of about one grey level is noise, even if it forms clusters.
    if len(values) < 8 or np.linalg.norm(sample.std(axis=0)) < 1.5:
        return undivided
    best_score, best = _MIN_SILHOUETTE, None
    for n in range(2, min(_MAX_CLUSTERS, len(np.unique(sample, axis=0)) - 1) + 1):
        model = KMeans(n, n_init=5, random_state=random_state).fit(sample)
        if np.bincount(model.labels_).min() < 2:
            continue
        score = silhouette_score(sample, model.labels_)
        if score > best_score:
            best_score, best = score, model
    if best is None:
        return undivided
    numbers = best.predict(values)
    order = np.argsort(-np.bincount(numbers, minlength=best.n_clusters), kind="stable")
    return np.argsort(order)[numbers]


def label_shares(batch: pd.Series, label: pd.Series, kind: str) -> pd.DataFrame:
    """Count the images of each label in each batch, the largest batch first."""
    names = batch.value_counts().index
    counts = pd.crosstab(batch, label).reindex(names).rename_axis(index="batch", columns=None)
    long = counts.reset_index().melt("batch", var_name="label", value_name="n")
    totals = long.groupby("batch", sort=False)["n"].transform("sum")
    long = long.assign(share=long["n"] / totals).assign(kind=kind)
    return long[["kind", "batch", "label", "n", "share"]]
