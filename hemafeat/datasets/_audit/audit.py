"""What a data set would let a model cheat with, before any model is trained."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemafeat._files import write_table
from hemafeat._public import public
from hemafeat.datasets._audit import checks
from hemafeat.datasets._copies.clusters import PAIR_COLUMNS, all_near_pairs, equal_sets, joined_sets
from hemafeat.datasets._copies.survey import survey
from hemafeat.datasets._table import as_table

SEVERITIES = (checks.SEVERE, checks.WARNING, checks.NOTE)

_TABLES = ("findings", "rows", "images", "duplicates", "near_duplicates", "batches", "classes")


@public
@dataclass(repr=False)
class Audit:
    """What was found in a data set; print it to read it.

    Attributes
    ----------
    findings : DataFrame
        One row per finding, the worst first: ``finding`` (its number), ``severity`` (``severe``,
        ``warning``, ``note``), ``kind``, ``message``, ``n_images``.
    rows : DataFrame
        The images each finding is about: ``finding, kind, row, image, label, patient, split``;
        ``row`` is the position in the table.
    images : DataFrame
        What was seen of every image: ``problem, format, suffix, jfif, bytes, width, height``,
        colour and grey of the background (0 to 255), ``contrast``, digests, and
        ``background_batch``, from 1 (0: unknown).
    duplicates : DataFrame
        ``cluster, row, image, label, patient, split, same``: images whose pixels are equal;
        ``same`` is ``bytes`` where the files are.
    near_duplicates : DataFrame
        One row per pair that shows one cell: ``a, b`` (rows), ``image_a, image_b, label_a, label_b,
        split_a, split_b, similarity, turn, mirrored, scale``.
    batches : DataFrame
        ``kind`` (``image_size``, ``background``), ``batch, label, n, share``.
    classes : DataFrame
        ``label, images, groups, patients`` of each class.
    table : DataFrame
        The image table that was looked at.
    """

    findings: pd.DataFrame
    rows: pd.DataFrame
    images: pd.DataFrame
    duplicates: pd.DataFrame
    near_duplicates: pd.DataFrame
    batches: pd.DataFrame
    classes: pd.DataFrame
    table: pd.DataFrame

    @property
    def severe(self) -> pd.DataFrame:
        """The findings that make scores meaningless until they are dealt with."""
        return self.findings[self.findings["severity"] == checks.SEVERE]

    def frame(self) -> pd.DataFrame:
        """The findings, as a table of their own."""
        return self.findings.copy()

    def of(self, kind: str) -> pd.DataFrame:
        """The images that findings of a kind are about: rows of ``rows``."""
        return self.rows[self.rows["kind"] == kind]

    def save(self, folder: str | os.PathLike[str], *, suffix: str = ".csv") -> Path:
        """Write each table as ``audit_NAME.csv`` (or ``.parquet``) into `folder`."""
        if suffix not in (".csv", ".parquet"):
            raise ValueError(f"suffix is {suffix!r}, expected '.csv' or '.parquet'")
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        for name in _TABLES:
            write_table(getattr(self, name), place / f"audit_{name}{suffix}")
        return place

    def __repr__(self) -> str:
        counts = self.findings["severity"].value_counts()
        said = ", ".join(f"{counts.get(name, 0)} {name}" for name in SEVERITIES)
        lines = [f"Audit of {len(self.table)} images: {said}"]
        for row in self.findings.itertuples(index=False):
            lines.append(f"  {row.severity:<8} {row.kind}: {row.message}")
        return "\n".join(lines)


def audit(
    images: Any,
    *,
    near: bool = True,
    turned: bool = True,
    n_jobs: int | None = None,
    random_state: int = 0,
    progress: bool | Callable[[int, int, str], None] | None = None,
) -> Audit:
    """Look for what makes the scores of a data set too good to be true.

    Parameters
    ----------
    images : DataFrame, path, sequence
        An image table, or what `as_table` makes one of.
    near : bool
        Also look for images that show the same cell without being equal.
    turned : bool
        Among these, also those turned by quarters or mirrored.
    n_jobs : int, optional
        Threads that read; by default as many as processors. The result does not depend on it.
    random_state : int
        Seed of the clusters of background colour.
    progress : bool or callable, optional
        True: a bar. A callable gets ``(done, total, what)``.

    Returns
    -------
    Audit

    Raises
    ------
    DatasetError
        As `as_table`. Images that cannot be read do not raise: they are a finding.

    Notes
    -----
    Found are: files that cannot be read, are of another format than their name says, or blank;
    equal and nearly equal images, also under two labels, of two patients, and on both sides of the
    official split; file names under two labels; sizes and background colours, and what they alone
    tell of the label (see below); classes by images and groups; patients of one class only, and on
    both sides of the split.

    What a batch tells is ``1 / k`` times the sum over batches of the largest ``P(batch | label)``
    among k labels: the balanced accuracy of the best guess from the batch alone. It is set against
    what 999 random assignments of labels (to groups, where each has one label) give.
    `hemafeat.evaluate.leak_probes` asks the same of file names, attributes and bag sizes by models
    on held-out groups.

    Examples
    --------
    >>> from hemafeat import datasets
    >>> found = datasets.audit("cells")  # doctest: +SKIP
    >>> print(found)  # doctest: +SKIP
    """
    table = as_table(images)
    seen, thumbnails = survey(table, n_jobs=n_jobs, progress=progress)
    equal = equal_sets(seen)
    pairs = _near(table, seen, thumbnails, equal, turned) if near else _near_frame(table, seen, [])
    sets = joined_sets(zip(pairs["a"], pairs["b"], strict=True), len(table))
    sized, size_shares = checks.sizes(table, seen)
    tinted, colour_shares, batch = checks.backgrounds(table, seen, random_state)
    seen["background_batch"] = batch + 1
    findings = [
        *checks.files(seen),
        *checks.copies(table, equal, seen, near=False),
        *checks.copies(table, sets, seen, near=True),
        *checks.names(table, seen),
        *checks.patients(table),
        *checks.labels(table),
        *sized,
        *tinted,
        *checks.together(seen),
    ]
    findings.sort(key=lambda found: SEVERITIES.index(found.severity))
    shares = [part for part in (size_shares, colour_shares) if len(part)]
    return Audit(
        findings=_findings(findings),
        rows=_rows(findings, table, seen),
        images=seen,
        duplicates=_duplicates(equal, table, seen),
        near_duplicates=pairs,
        batches=pd.concat(shares, ignore_index=True)
        if shares
        else pd.DataFrame(columns=["kind", "batch", "label", "n", "share"]),
        classes=_classes(table),
        table=table,
    )


def near_duplicates(
    images: Any,
    *,
    turned: bool = True,
    n_jobs: int | None = None,
    progress: bool | Callable[[int, int, str], None] | None = None,
) -> pd.DataFrame:
    """List the pairs of images that show one cell, equal or not.

    Parameters
    ----------
    images : DataFrame, path, sequence
        An image table, or what `as_table` makes one of.
    turned : bool
        Also those turned by quarters or mirrored.
    n_jobs : int, optional
        Threads that read.
    progress : bool or callable, optional
        As for `audit`.

    Returns
    -------
    DataFrame
        As `Audit.near_duplicates`, equal images included (each with the first of its like).
    """
    table = as_table(images)
    seen, thumbnails = survey(table, n_jobs=n_jobs, progress=progress)
    equal = equal_sets(seen)
    pairs = _near(table, seen, thumbnails, equal, turned)
    same = [(rows[0], row, 1.0, 0, False, 1.0) for rows in equal for row in rows[1:]]
    both = [*same, *pairs[PAIR_COLUMNS].itertuples(index=False, name=None)]
    return _near_frame(table, seen, sorted(both))


def _near(
    table: pd.DataFrame,
    seen: pd.DataFrame,
    thumbnails: np.ndarray,
    equal: list[list[int]],
    turned: bool,
) -> pd.DataFrame:
    pairs = all_near_pairs(table["image"], seen, thumbnails, equal, turned)
    return _near_frame(table, seen, list(pairs.itertuples(index=False, name=None)))


def _near_frame(table: pd.DataFrame, seen: pd.DataFrame, pairs: Iterable[Any]) -> pd.DataFrame:
    frame = pd.DataFrame(list(pairs), columns=PAIR_COLUMNS)
    for side in ("a", "b"):
        at = frame[side].astype(np.int64)
        frame[side] = at
        frame[f"image_{side}"] = seen["image"].to_numpy()[at]
        for column in ("label", "split"):
            frame[f"{column}_{side}"] = table[column].to_numpy()[at]
    return frame


def _findings(found: list[checks.Finding]) -> pd.DataFrame:
    rows = [
        (number, one.severity, one.kind, one.message, len(one.rows))
        for number, one in enumerate(found, start=1)
    ]
    return pd.DataFrame(rows, columns=["finding", "severity", "kind", "message", "n_images"])


def _rows(found: list[checks.Finding], table: pd.DataFrame, seen: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for number, one in enumerate(found, start=1):
        at = np.asarray(one.rows, dtype=np.int64)
        part = pd.DataFrame({"finding": number, "kind": one.kind, "row": at})
        part["image"] = seen["image"].to_numpy()[at]
        for column in ("label", "patient", "split"):
            part[column] = table[column].to_numpy()[at]
        parts.append(part)
    columns = ["finding", "kind", "row", "image", "label", "patient", "split"]
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=columns)


def _duplicates(equal: list[list[int]], table: pd.DataFrame, seen: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for number, cluster in enumerate(equal, start=1):
        digests = seen["digest"].iloc[cluster]
        same = "bytes" if digests.notna().all() and len(set(digests)) == 1 else "pixels"
        for row in cluster:
            described = (table[column].iloc[row] for column in ("label", "patient", "split"))
            rows.append((number, row, seen["image"].iloc[row], *described, same))
    columns = ["cluster", "row", "image", "label", "patient", "split", "same"]
    return pd.DataFrame(rows, columns=columns)


def _classes(table: pd.DataFrame) -> pd.DataFrame:
    by_class = table.groupby("label", sort=True)
    return pd.DataFrame(
        {
            "images": by_class.size(),
            "groups": by_class["group"].nunique(),
            "patients": by_class["patient"].nunique(),
        }
    ).reset_index()
