"""Audit a data set for leaks and copies before any model is trained."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemafeat._files import write_table
from hemafeat._public import public
from hemafeat._words import suggestion
from hemafeat.datasets._audit import checks as _checks
from hemafeat.datasets._audit.advice import advise
from hemafeat.datasets._copies.clusters import equal_sets, find_all_near_pairs, linked_sets
from hemafeat.datasets._copies.near_duplicates import PAIR_COLUMNS
from hemafeat.datasets._copies.survey import survey_with_thumbnails
from hemafeat.datasets._scales import scale_table, scales
from hemafeat.datasets._table import as_table

SEVERITIES = (_checks.SEVERE, _checks.WARNING, _checks.NOTE)

_PROBED = {
    "image_size": ("image size",),
    "background": ("background colour", "background brightness"),
}
"""Kinds of findings that leak probes test as well, and the names of these probes."""

KINDS = {
    **dict.fromkeys(("unreadable", "blank", "duplicate", "near_duplicate"), True),
    **dict.fromkeys(("image_size", "background", "batch", "marks", "scale"), True),
    **dict.fromkeys(("header", "jfif", "name", "labels", "spelling", "balance"), False),
    **dict.fromkeys(("few_groups", "patients", "single_class"), False),
    **dict.fromkeys(("patient_split", "group_split"), False),
}
"""Kinds of findings, and whether the pixels of the images are needed for them. Those of copies also
have the endings ``_label``, ``_split`` and ``_patient``."""

_TABLES = (
    *("findings", "rows", "images", "duplicates", "near_duplicates", "batches", "classes"),
    "scales",
)


@public
@dataclass(repr=False)
class Audit:
    """Hold the findings of an audit, which ``print`` lists.

    Attributes
    ----------
    findings : DataFrame
        One row per finding, the most severe first: ``finding`` (its number), ``severity``
        (``severe``, ``warning`` or ``note``), ``kind``, ``message``, ``n_images``, and ``advice``,
        what to do about it.
    rows : DataFrame
        Images that each finding concerns: ``finding``, ``kind``, ``row`` (its position in the
        table), ``image``, ``label``, ``patient``, ``split``.
    images : DataFrame
        Result of `survey` and ``background_batch``, the number of the batch of background colour
        from 1, or 0 if it is unknown.
    duplicates : DataFrame
        Images of equal pixels: ``cluster`` (number of the set of copies), ``row``, ``image``,
        ``label``, ``patient``, ``split``, and ``same``: ``bytes`` if the files are equal too, else
        ``pixels``.
    near_duplicates : DataFrame
        One row per pair that shows one cell: ``a``, ``b`` (rows of the table), ``image_a``,
        ``image_b``, ``label_a``, ``label_b``, ``split_a``, ``split_b``, ``similarity`` (up to 1),
        ``mirrored`` and ``turn`` (a is mirrored left to right if so, then rotated ``turn`` times
        counter-clockwise by 90 degrees, to match b), and ``scale`` (share of the side of the larger
        image that the smaller one shows).
    batches : DataFrame
        Labels within batches: ``kind`` (``image_size`` or ``background``), ``batch``, ``label``,
        ``n``, ``share``.
    classes : DataFrame
        Numbers of ``images``, ``groups`` and ``patients`` of each ``label``.
    scales : DataFrame
        Scale of each data set by its red cells, beside the stated one; see `scales`.
    table : DataFrame
        The audited image table.
    """

    findings: pd.DataFrame
    rows: pd.DataFrame
    images: pd.DataFrame
    duplicates: pd.DataFrame
    near_duplicates: pd.DataFrame
    batches: pd.DataFrame
    classes: pd.DataFrame
    scales: pd.DataFrame
    table: pd.DataFrame
    _own: Sequence[_checks.Finding] = ()
    _checked: Sequence[str] | None = None

    @property
    def severe(self) -> pd.DataFrame:
        """Findings that invalidate scores until they are resolved."""
        return self.findings[self.findings["severity"] == _checks.SEVERE]

    def with_probes(self, probes: Any) -> Audit:
        """Return the audit with the findings of leak probes among its own.

        Parameters
        ----------
        probes : Probes
            Result of `hemafeat.evaluate.leak_probes` on this audit.

        Returns
        -------
        Audit
            Its findings include those of the probes, of the kind ``leak_probe``. A property that
            both test (image size, background) is one finding, with the score of the probe, which is
            that on held-out groups.

        Examples
        --------
        >>> from hemafeat import datasets, evaluate
        >>> table = datasets.drawn("cells", 20, kinds=["lymphocyte", "monocyte"], progress=False)
        >>> table["hospital"] = table["label"].map({"lymphocyte": "A", "monocyte": "B"})
        >>> audit = datasets.audit(table, near=False)
        >>> probes = evaluate.leak_probes(audit, groups="image", n_splits=2)
        >>> len(audit.severe), len(audit.with_probes(probes).severe)
        (0, 1)
        """
        results = {str(row["probe"]): row for row in probes.results.to_dict("records")}
        findings, tested = [], set()
        for finding in self._own:
            names = [name for name in _PROBED.get(finding.kind, ()) if name in results]
            if names:
                tested.update(names)
                best = max((results[name] for name in names), key=lambda row: row["value"])
                message = str(best["message"])
                message = f"{finding.description}. {message[:1].upper()}{message[1:]}"
                severity = str(best["severity"]) or _checks.NOTE
                finding = replace(finding, severity=severity, message=message)
            findings.append(finding)
        for row in probes.findings.to_dict("records"):
            if row["probe"] not in tested:
                findings.append(_checks.Finding(row["severity"], "leak_probe", row["message"]))
        findings.sort(key=_severity)
        rows = _row_table(findings, self.table, self.images)
        return replace(self, findings=_finding_table(findings), rows=rows)

    def frame(self) -> pd.DataFrame:
        """Return a copy of the findings."""
        return self.findings.copy()

    def of(self, kind: str) -> pd.DataFrame:
        """Return the rows of ``rows`` for findings of a kind."""
        return self.rows[self.rows["kind"] == kind]

    def drop(self, *kinds: str) -> pd.DataFrame:
        """Return the image table without the images that findings of these kinds concern.

        Parameters
        ----------
        *kinds : str
            Kinds of findings, such as ``"unreadable"`` or ``"jfif"``. Every copy of an image is
            left out for ``"duplicate"``; to keep copies together, see `group_duplicates`.

        Returns
        -------
        DataFrame
            Rows of `table` that are left, numbered from 0.

        Raises
        ------
        ValueError
            If there is no such kind, or it was not among the `checks` of the audit.

        Examples
        --------
        >>> import numpy as np
        >>> from hemafeat import datasets
        >>> cell = datasets.draw_cell("monocyte", random_state=0).image
        >>> table = datasets.as_table([cell, np.full_like(cell, 90)])
        >>> len(datasets.audit(table, checks=["blank"]).drop("blank"))
        1
        """
        for kind in kinds:
            _check_kind(kind)
            if self._checked is not None and _base(kind) not in map(_base, self._checked):
                raise ValueError(
                    f"{kind!r} was not checked; the audit was made with "
                    f"checks={list(self._checked)}"
                )
        names = [name for name in self.rows["kind"].unique() if _is_asked_for(name, kinds)]
        rows = self.rows.loc[self.rows["kind"].isin(names), "row"].to_numpy(np.int64)
        keep = np.ones(len(self.table), dtype=bool)
        keep[rows] = False
        return self.table[keep].reset_index(drop=True)

    def save(self, folder: str | os.PathLike[str], *, suffix: str = ".csv") -> Path:
        """Write each table to a file in a folder.

        Parameters
        ----------
        folder : path
            Folder to write to; it is created if it does not exist.
        suffix : {".csv", ".parquet"}
            Format of the files, which are named ``audit_NAME.csv`` or ``audit_NAME.parquet``.

        Returns
        -------
        Path
            The folder.
        """
        if suffix not in (".csv", ".parquet"):
            raise ValueError(f"suffix is {suffix!r}; expected '.csv' or '.parquet'")
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        for name in _TABLES:
            write_table(getattr(self, name), path / f"audit_{name}{suffix}")
        return path

    def __repr__(self) -> str:
        counts = self.findings["severity"].value_counts()
        summary = ", ".join(f"{counts.get(name, 0)} {name}" for name in SEVERITIES)
        lines = [f"Audit of {len(self.table)} images: {summary}"]
        for row in self.findings.itertuples(index=False):
            lines.append(f"  {row.severity:<8} {row.kind}: {row.message}")
            if row.severity != _checks.NOTE:
                lines.append(f"{'':11}-> {row.advice}")
        return "\n".join(lines)


def audit(
    images: Any,
    *,
    near: bool = True,
    turned: bool = True,
    checks: Iterable[str] | None = None,
    n_jobs: int | None = None,
    random_state: int = 0,
    progress: bool | Callable[[int, int, str], None] | None = None,
) -> Audit:
    """Audit a data set for anything that makes scores too high or invalid.

    Parameters
    ----------
    images : DataFrame, path, sequence
        An image table, or anything that `as_table` accepts.
    near : bool
        If True, also search for images that show the same cell without being equal.
    turned : bool
        If True, this search includes images rotated by multiples of 90 degrees and mirrored.
    checks : list of str, optional
        Kinds of findings to look for, such as ``["unreadable", "jfif"]``; nothing else is searched,
        and no image is decoded for kinds that only need the file or the table. By default all.
    n_jobs : int, optional
        Number of threads that read images. By default one per processor. The result does not
        depend on it.
    random_state : int
        Seed of the clustering of background colours.
    progress : bool or callable, optional
        True shows a progress bar. A callable is called with the numbers of images done and in
        total and an empty string. By default progress is not shown.

    Returns
    -------
    Audit
        Findings and the tables they are based on.

    Raises
    ------
    DatasetError
        Raised if `as_table` raises it. Images that cannot be read are a finding, not an error.
    ValueError
        Raised if there is no such kind in `checks`.

    Notes
    -----
    The audit reports: files that cannot be read, have a wrong suffix, or are blank; equal and
    nearly equal images, in particular with two labels, of two patients, or on both sides of the
    official split; file names under two labels; text, scale bars and pointers on images, and
    whether they give a class away; image sizes and background colours, and how well they predict
    the label; the scale of each data set by its red cells, and whether it contradicts the stated
    one; numbers of images and groups of each class; patients of a single class and patients
    on both sides of the split.

    The score of a batch is ``1 / k`` times the sum over batches of the largest
    ``P(batch | label)`` among k labels: the balanced accuracy of the best prediction from the batch
    alone. It is compared with 999 permutations of the labels (of groups, if each has one label).
    `hemafeat.evaluate.leak_probes` tests file names, attributes and bag sizes with models on
    held-out groups.

    Examples
    --------
    >>> from hemafeat import datasets
    >>> cell = datasets.draw_cell("monocyte", random_state=0).image
    >>> other = datasets.draw_cell("basophil", random_state=1).image
    >>> found = datasets.audit([cell, other, cell.copy()])
    >>> found.findings[["severity", "kind", "n_images"]]
      severity       kind  n_images
    0     note  duplicate         2
    1     note   patients         0
    2     note     labels         0
    3     note      scale         0
    """
    wanted = None if checks is None else list(dict.fromkeys(checks))
    for kind in wanted or ():
        _check_kind(kind)
    bases = set(KINDS) if wanted is None else {_base(kind) for kind in wanted}
    table = as_table(images)
    properties, thumbnails = survey_with_thumbnails(
        table, n_jobs=n_jobs, progress=progress, decode=any(KINDS[kind] for kind in bases)
    )
    equal = equal_sets(properties)
    pairs = (
        _near_pairs(table, properties, thumbnails, equal, turned)
        if near and "near_duplicate" in bases
        else _pair_table(table, properties, [])
    )
    sets = linked_sets(zip(pairs["a"], pairs["b"], strict=True), len(table))
    by_size, size_shares = _checks.check_sizes(table, properties)
    by_background, colour_shares, batch = _checks.check_backgrounds(table, properties, random_state)
    properties["background_batch"] = batch + 1
    by_red_cells = scales(table) if "scale" in bases else scale_table([])
    findings = [
        *_checks.check_files(properties),
        *_checks.check_copies(table, equal, properties, near=False),
        *_checks.check_copies(table, sets, properties, near=True),
        *_checks.check_names(table, properties),
        *_checks.check_patients(table),
        *_checks.check_labels(table),
        *by_size,
        *by_background,
        *_checks.check_joint_batch(properties),
        *_checks.check_marks(table, properties),
        *_checks.check_scales(table, by_red_cells),
    ]
    findings = [one for one in findings if wanted is None or _is_asked_for(one.kind, wanted)]
    findings.sort(key=_severity)
    shares = [part for part in (size_shares, colour_shares) if len(part)]
    return Audit(
        findings=_finding_table(findings),
        rows=_row_table(findings, table, properties),
        images=properties,
        duplicates=_duplicate_table(equal, table, properties),
        near_duplicates=pairs,
        batches=pd.concat(shares, ignore_index=True)
        if shares
        else pd.DataFrame(columns=["kind", "batch", "label", "n", "share"]),
        classes=_class_table(table),
        scales=by_red_cells,
        table=table,
        _own=tuple(findings),
        _checked=wanted,
    )


def _base(kind: str) -> str:
    """Return a kind without the ending that says what copies have in common, or not."""
    for base in ("near_duplicate", "duplicate"):
        if kind in {base, *(f"{base}_{ending}" for ending in ("label", "split", "patient"))}:
            return base
    return kind


def _check_kind(kind: str) -> None:
    if _base(kind) not in KINDS:
        raise ValueError(f"no finding is of the kind {kind!r}; {suggestion(kind, KINDS)}")


def _is_asked_for(kind: str, wanted: Sequence[str]) -> bool:
    return kind in wanted or _base(kind) in wanted


def _severity(finding: _checks.Finding) -> int:
    return SEVERITIES.index(finding.severity)


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
        An image table, or anything that `as_table` accepts.
    turned : bool
        If True, also list images rotated by multiples of 90 degrees or mirrored.
    n_jobs : int, optional
        Number of threads that read images. By default one per processor.
    progress : bool or callable, optional
        Progress bar or function that reports progress; see `audit`.

    Returns
    -------
    DataFrame
        One row per pair, with the columns of `Audit.near_duplicates`. Equal images are paired with
        the first of their copies.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import datasets
    >>> cells = [datasets.draw_cell("monocyte", random_state=k).image for k in range(3)]
    >>> cells.append(np.rot90(cells[1]).copy())
    >>> datasets.near_duplicates(cells)[["a", "b", "turn", "mirrored"]]
       a  b  turn  mirrored
    0  1  3     1     False
    """
    table = as_table(images)
    properties, thumbnails = survey_with_thumbnails(table, n_jobs=n_jobs, progress=progress)
    equal = equal_sets(properties)
    pairs = _near_pairs(table, properties, thumbnails, equal, turned)
    copies = [(rows[0], row, 1.0, 0, False, 1.0) for rows in equal for row in rows[1:]]
    near = pairs[PAIR_COLUMNS].itertuples(index=False, name=None)
    return _pair_table(table, properties, sorted([*copies, *near]))


def _near_pairs(
    table: pd.DataFrame,
    properties: pd.DataFrame,
    thumbnails: np.ndarray,
    equal: list[list[int]],
    turned: bool,
) -> pd.DataFrame:
    pairs = find_all_near_pairs(table["image"], properties, thumbnails, equal, turned)
    return _pair_table(table, properties, pairs.itertuples(index=False, name=None))


def _pair_table(
    table: pd.DataFrame, properties: pd.DataFrame, pairs: Iterable[Any]
) -> pd.DataFrame:
    frame = pd.DataFrame(list(pairs), columns=PAIR_COLUMNS)
    for side in ("a", "b"):
        rows = frame[side].astype(np.int64)
        frame[side] = rows
        frame[f"image_{side}"] = properties["image"].to_numpy()[rows]
        for column in ("label", "split"):
            frame[f"{column}_{side}"] = table[column].to_numpy()[rows]
    return frame


def _finding_table(findings: list[_checks.Finding]) -> pd.DataFrame:
    rows = [
        (
            *(number, finding.severity, finding.kind, finding.message, len(finding.rows)),
            advise(finding.kind, finding.severity),
        )
        for number, finding in enumerate(findings, start=1)
    ]
    columns = ["finding", "severity", "kind", "message", "n_images", "advice"]
    return pd.DataFrame(rows, columns=columns)


def _row_table(
    findings: list[_checks.Finding], table: pd.DataFrame, properties: pd.DataFrame
) -> pd.DataFrame:
    parts = []
    for number, finding in enumerate(findings, start=1):
        rows = np.asarray(finding.rows, dtype=np.int64)
        part = pd.DataFrame({"finding": number, "kind": finding.kind, "row": rows})
        part["image"] = properties["image"].to_numpy()[rows]
        for column in ("label", "patient", "split"):
            part[column] = table[column].to_numpy()[rows]
        parts.append(part)
    columns = ["finding", "kind", "row", "image", "label", "patient", "split"]
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _duplicate_table(
    equal: list[list[int]], table: pd.DataFrame, properties: pd.DataFrame
) -> pd.DataFrame:
    rows = []
    for number, cluster in enumerate(equal, start=1):
        digests = properties["digest"].iloc[cluster]
        same = "bytes" if digests.notna().all() and len(set(digests)) == 1 else "pixels"
        for row in cluster:
            values = (table[column].iloc[row] for column in ("label", "patient", "split"))
            rows.append((number, row, properties["image"].iloc[row], *values, same))
    columns = ["cluster", "row", "image", "label", "patient", "split", "same"]
    return pd.DataFrame(rows, columns=columns)


def _class_table(table: pd.DataFrame) -> pd.DataFrame:
    by_class = table.groupby("label", sort=True)
    return pd.DataFrame(
        {
            "images": by_class.size(),
            "groups": by_class["group"].nunique(),
            "patients": by_class["patient"].nunique(),
        }
    ).reset_index()
