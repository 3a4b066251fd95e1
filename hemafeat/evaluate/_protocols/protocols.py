"""Table of the protocols, each with its reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from hemafeat._words import suggestion
from hemafeat.evaluate._protocols.by_column import (
    cross_dataset,
    leave_one_batch_out,
    leave_one_laboratory_out,
    official,
)
from hemafeat.evaluate._protocols.published import Holdout, holdout
from hemafeat.evaluate._protocols.splits import (
    Folds,
    Sample,
    by_copies,
    capped,
    grouped,
    image_random,
)
from hemafeat.evaluate._rows import CompareError


@dataclass(frozen=True)
class Protocol:
    """Way to divide cells, made by `protocol`.

    Attributes
    ----------
    name : str
        Name, as in `protocols`.
    leaky : bool
        Whether it ignores groups, so that one patient may be on both sides.
    does : str
        Description of the division.
    reason : str
        Why a score under it may be believed, or not.
    divide : callable
        Divides a `Sample` into `Folds`.
    source : str
        The report that used it, if it is taken from one.
    folded : bool
        Whether it makes folds, which need one group of every class each; a division along a column
        takes the groups as they are.
    groups : str, optional
        Column of groups that it requires.
    takes : tuple of str
        Names of its options, beside `CAPS`.
    patients : bool
        Whether it can divide patients where a row is a patient.
    options : mapping
        Values of its options.
    """

    name: str
    leaky: bool
    does: str
    reason: str
    divide: Callable[[Sample], Folds]
    source: str = ""
    folded: bool = False
    groups: str | None = None
    takes: tuple[str, ...] = ()
    patients: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def folds(self, sample: Sample) -> Folds:
        """Divide a sample by the options, with no more rows than they allow."""
        return capped(self.divide(sample), sample)


CAPS = ("n_train", "max_per_class")
"""Options of every protocol."""

_IMAGES = "cells of one patient, which share stain, smear and disease, are on both sides"

_TABLE = (
    Protocol(
        "grouped",
        False,
        "folds stratified by label that never divide a group (patient, else copies of an image)",
        "scores are those of a patient not seen before, if patients are known",
        grouped,
        folded=True,
        patients=True,
    ),
    Protocol(
        "patient",
        False,
        "the same by the column 'patient'; refused if a patient is not known",
        "scores are those of a patient not seen before",
        grouped,
        folded=True,
        groups="patient",
        patients=True,
    ),
    Protocol(
        "holdout",
        False,
        "25 % of the groups scored once by models of the others, stratified by label",
        "scores are those of a patient not seen before; they vary more than those of folds",
        holdout,
        takes=("test", "valid", "seed", "stratified"),
        patients=True,
    ),
    Protocol(
        "duplicates",
        True,
        "folds stratified by label that keep copies of an image together, and nothing else",
        "no copy is on both sides, but patients may be",
        by_copies,
        folded=True,
    ),
    Protocol(
        "leave-one-batch-out",
        False,
        "each batch (column 'batch', else 'dataset') scored by models of all others",
        "scores are those of a batch or scanner not seen before",
        leave_one_batch_out,
        takes=("column",),
    ),
    Protocol(
        "leave-one-laboratory-out",
        False,
        "each data set (column 'dataset') scored by models of all others",
        "scores are those of a laboratory, camera and annotator not seen before",
        leave_one_laboratory_out,
        takes=("column",),
    ),
    Protocol(
        "cross-dataset",
        False,
        "trained on one data set (or several), scored on another, on the classes both have",
        "scores are those of another laboratory, camera and annotator",
        cross_dataset,
        takes=("train", "test", "column"),
    ),
    Protocol(
        "official",
        False,
        "by the column 'split': train, val and test, or its folds in turn",
        "comparable with published scores; divided patients are counted",
        official,
        patients=True,
    ),
    Protocol(
        "image-random",
        True,
        "folds stratified by label that ignore groups",
        _IMAGES,
        image_random,
        folded=True,
    ),
    Protocol(
        "leaky-ufsc",
        True,
        "75 / 12.5 / 12.5 % of the images, stratified by label",
        _IMAGES,
        Holdout("leaky-ufsc", 0.125, 1 / 7, stratified=True),
        "UFSC leukaemia report, C-NMC 2019",
    ),
    Protocol(
        "leaky-mids",
        True,
        "60 / 20 / 20 % of the images, shuffled",
        _IMAGES,
        Holdout("leaky-mids", 0.2, 0.25),
        "MIDS 207 deck, C-NMC 2019",
    ),
    Protocol(
        "leaky-bernard",
        True,
        "20 % of the images scored, 20 % of the rest for validation, seed 123",
        _IMAGES,
        Holdout("leaky-bernard", 0.2, 0.2, seed=123),
        "DataScientest blood cell report, PBC",
    ),
    Protocol(
        "leaky-bernard-merged",
        True,
        "10 % of the images scored, 10 % of the rest for validation",
        _IMAGES + ", and the data set of a cell gives its class away",
        Holdout("leaky-bernard-merged", 0.1, 0.1),
        "DataScientest blood cell report, PBC and APL merged",
    ),
    Protocol(
        "leaky-bernard-copies",
        True,
        "500 images of each class drawn with replacement, then 80 / 20 %",
        "copies of one and the same image are on both sides",
        Holdout("leaky-bernard-copies", 0.2, per_class=500),
        "DataScientest blood cell report, forest and support vectors on pixels",
    ),
    Protocol(
        "leaky-hincapie",
        True,
        "80 / 20 % of the images, 160 cells of the latter scored and the others for validation",
        _IMAGES + "; 160 cells are too few to rank models",
        Holdout("leaky-hincapie", 0.2, at_most=160, down=True),
        "Hincapie report, PBC",
    ),
    Protocol(
        "leaky-lymphocytosis",
        True,
        "75 / 25 % of the patients, shuffled; models are chosen on the patients that are scored",
        "the best of many is chosen by the very scores that are reported",
        Holdout("leaky-lymphocytosis", 0.25, whole_groups=True, on_test=True),
        "ENS Paris-Saclay lymphocytosis report",
        groups="patient",
        patients=True,
    ),
)

PROTOCOLS: dict[str, Protocol] = {row.name: row for row in _TABLE}


def protocols() -> pd.DataFrame:
    """List the ways to divide cells into those trained on and those scored.

    Returns
    -------
    DataFrame
        One row per protocol: ``name``, ``leaky`` (it ignores groups), ``does``, ``reason`` (why a
        score under it may be believed, or not) and ``source``, the report that used it. Every
        comparison counts the groups on both sides, whatever its protocol; those of published
        reports are always called leaky.

    Examples
    --------
    >>> from hemafeat import evaluate
    >>> table = evaluate.protocols()
    >>> list(table.query("not leaky")["name"])
    ['grouped', 'patient', 'holdout', 'leave-one-batch-out', 'leave-one-laboratory-out', ...]
    """
    names = ["name", "leaky", "does", "reason", "source"]
    rows = [[getattr(row, name) for name in names] for row in _TABLE]
    return pd.DataFrame(rows, columns=names)


def protocol(name: str, **options: Any) -> Protocol:
    """Return a protocol with options.

    Parameters
    ----------
    name : str
        Name of a protocol, see `protocols`.
    **options
        ``column`` of ``"leave-one-batch-out"``, ``"leave-one-laboratory-out"`` and
        ``"cross-dataset"``: the column of the batches, laboratories or data sets. ``train`` and
        ``test`` of ``"cross-dataset"``: a data set, or a list of them, which are trained on
        together and scored one by one; by default each is trained on and every other scored in
        turn. ``test`` and ``valid`` of ``"holdout"``:
        shares of the groups that are scored (.25) and validated on (0); ``valid="test"`` validates
        models on the part that is scored, as some reports did, and is marked leaky. ``seed`` and
        ``stratified`` (True) of ``"holdout"``: seed, by default that of the comparison, and whether
        the parts have the same shares of the labels. Of every protocol: ``n_train``, the largest
        number of rows to train on, drawn at random and stratified by label; and ``max_per_class``,
        the largest number of rows of a class that are scored.

    Returns
    -------
    Protocol
        Argument `protocol` of `compare`.

    Raises
    ------
    CompareError
        If there is no such protocol, or it does not take an option.

    Examples
    --------
    >>> from hemafeat import evaluate
    >>> evaluate.protocol("cross-dataset", train="pbc", test="bccd").options
    {'train': 'pbc', 'test': 'bccd'}
    """
    if name not in PROTOCOLS:
        raise CompareError(f"no protocol {name!r}; {suggestion(name, PROTOCOLS)}")
    chosen = PROTOCOLS[name]
    values = {key: value for key, value in options.items() if value is not None}
    for key in values:
        if key not in (*chosen.takes, *CAPS):
            names = ", ".join(chosen.takes) or "none"
            raise CompareError(
                f"protocol {name!r} has no option {key!r}; its options: {names}; of every "
                f"protocol: {', '.join(CAPS)}"
            )
    return replace(chosen, options=values)


def as_protocol(protocol_or_name: str | Protocol) -> Protocol:
    """Return a protocol given by itself or by its name."""
    if isinstance(protocol_or_name, str):
        return protocol(protocol_or_name)
    return protocol_or_name
