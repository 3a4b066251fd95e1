"""Batches of images, and whether the batch an image is of tells its label."""

from __future__ import annotations

import numpy as np
import pandas as pd

N_PERMUTATIONS = 999

_MOST = 6
_SEPARATED = 0.5
_SAMPLE = 2000


def told(batch: np.ndarray, label: np.ndarray) -> float:
    """Balanced accuracy of naming, for each batch, the label it makes likeliest.

    Parameters
    ----------
    batch, label : (n,) ndarray
        Batch and label of each image.

    Returns
    -------
    float
        ``1 / k * sum over batches of max over labels of P(batch | label)``: 1 / k where the batch
        says nothing, 1 where it says all.
    """
    counts = pd.crosstab(batch, label).to_numpy(dtype=float)
    return float((counts / counts.sum(axis=0)).max(axis=1).sum() / counts.shape[1])


def chance(
    batch: np.ndarray, label: np.ndarray, group: np.ndarray, random_state: int = 0
) -> tuple[float, float, float]:
    """What a batch tells of the label, beside what batches of the same sizes tell by luck.

    Parameters
    ----------
    batch, label, group : (n,) ndarray
        Batch, label and group of each image.
    random_state : int
        Seed.

    Returns
    -------
    told, by_luck, p : float
        `told`; its mean when labels are dealt out anew; and how often luck tells as much. Where
        every group has one label, groups are dealt labels, else images are: images of one patient
        share slide and label both.
    """
    columns = [pd.factorize(values, sort=True)[0] for values in (batch, label, group)]
    # Sorted, the result does not depend on the order of the images.
    batches, labels, groups = (column[np.lexsort(columns)] for column in columns)
    units = pd.DataFrame({"group": groups, "label": labels}).drop_duplicates()
    whole = len(units) == groups.max() + 1
    of_unit = units["label"].to_numpy() if whole else labels
    member = groups if whole else np.arange(len(labels))
    found = told(batches, labels)
    rng = np.random.default_rng(random_state)
    n_batches, n_labels = batches.max() + 1, labels.max() + 1
    luck = np.empty(N_PERMUTATIONS)
    for turn in range(N_PERMUTATIONS):
        dealt = rng.permutation(of_unit)[member]
        counts = np.bincount(batches * n_labels + dealt, minlength=n_batches * n_labels)
        shares = counts.reshape(n_batches, n_labels) / np.bincount(dealt, minlength=n_labels)
        luck[turn] = shares.max(axis=1).sum() / n_labels
    p = (1 + (luck >= found - 1e-12).sum()) / (1 + N_PERMUTATIONS)
    return found, float(luck.mean()), float(p)


def clusters(values: np.ndarray, random_state: int = 0) -> np.ndarray:
    """Divide points into clusters that stand apart.

    Parameters
    ----------
    values : (n, k) ndarray of float64
        Points, without NaN.
    random_state : int
        Seed.

    Returns
    -------
    (n,) ndarray of int
        0 is the largest cluster. All zeros where no division into 2 to 6 clusters has a mean
        silhouette of 0.5 (what Kaufman and Rousseeuw call a reasonable structure).
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    one = np.zeros(len(values), dtype=int)
    rng = np.random.default_rng(random_state)
    sample = values
    if len(values) > _SAMPLE:
        sample = values[rng.choice(len(values), _SAMPLE, replace=False)]
    # Less than a grey of spread is noise, however well it divides.
    if len(values) < 8 or np.linalg.norm(sample.std(axis=0)) < 1.5:
        return one
    best, chosen = _SEPARATED, None
    for n in range(2, min(_MOST, len(np.unique(sample, axis=0)) - 1) + 1):
        model = KMeans(n, n_init=5, random_state=random_state).fit(sample)
        if np.bincount(model.labels_).min() < 2:
            continue
        score = silhouette_score(sample, model.labels_)
        if score > best:
            best, chosen = score, model
    if chosen is None:
        return one
    found = chosen.predict(values)
    order = np.argsort(-np.bincount(found, minlength=chosen.n_clusters), kind="stable")
    return np.argsort(order)[found]


def counted(batch: pd.Series, label: pd.Series, kind: str) -> pd.DataFrame:
    """``kind, batch, label, n, share``: images of each label in each batch, largest batch first."""
    names = batch.value_counts().index
    counts = pd.crosstab(batch, label).reindex(names).rename_axis(index="batch", columns=None)
    long = counts.reset_index().melt("batch", var_name="label", value_name="n")
    totals = long.groupby("batch", sort=False)["n"].transform("sum")
    long = long.assign(share=long["n"] / totals).assign(kind=kind)
    return long[["kind", "batch", "label", "n", "share"]]
