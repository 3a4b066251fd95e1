"""Every way to divide cells into those trained on and those scored, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from hemafeat.evaluate._protocols.by_column import cross_dataset, leave_one_batch_out, official
from hemafeat.evaluate._protocols.published import Holdout
from hemafeat.evaluate._protocols.splits import (
    Cells,
    CompareError,
    Folds,
    by_copies,
    grouped,
    image_random,
)


@dataclass(frozen=True)
class Protocol:
    """A way to divide cells; made by `protocol`.

    Attributes
    ----------
    name : str
        As in `protocols`.
    leaky : bool
        It does not look at groups, so that one patient may stand on both sides.
    does : str
        What it does.
    reason : str
        Why a score under it may be believed, or not.
    source : str
        The report it is taken from, where it is.
    options : mapping
        What it was given.
    """

    name: str
    leaky: bool
    does: str
    reason: str
    divide: Callable[[Cells], Folds]
    source: str = ""
    # Folds need a group of every class each; a part along a column takes what there is.
    folded: bool = False
    # The column of groups it insists on.
    groups: str | None = None
    takes: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


_IMAGES = "cells of one patient, which share stain, smear and disease, are on both sides"

_TABLE = (
    Protocol(
        "grouped",
        False,
        "folds stratified by label that never divide a group (patient, else copies of an image)",
        "scores are those of a patient not seen before, where patients are known",
        grouped,
        folded=True,
    ),
    Protocol(
        "patient",
        False,
        "the same by the column 'patient'; refused where a patient is not known",
        "scores are those of a patient not seen before",
        grouped,
        folded=True,
        groups="patient",
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
        "scores are those of a batch, scanner or laboratory not seen before",
        leave_one_batch_out,
        takes=("column",),
    ),
    Protocol(
        "cross-dataset",
        False,
        "trained on one data set, scored on another, on the classes both have",
        "scores are those of another laboratory, camera and hand that labelled",
        cross_dataset,
        takes=("train", "test", "column"),
    ),
    Protocol(
        "official",
        False,
        "as the column 'split' says: train against test, or its folds in turn",
        "comparable with published scores; whether it divides patients is counted",
        official,
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
        "20 % of the images scored, 20 % of the rest to choose by, seed 123",
        _IMAGES,
        Holdout("leaky-bernard", 0.2, 0.2, seed=123),
        "DataScientest blood cell report, PBC",
    ),
    Protocol(
        "leaky-bernard-merged",
        True,
        "10 % of the images scored, 10 % of the rest to choose by",
        _IMAGES + ", and what data set a cell is from gives its class away",
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
        "80 / 20 % of the images, and 160 cells of the latter scored",
        _IMAGES + "; 160 cells are too few to rank models",
        Holdout("leaky-hincapie", 0.2, at_most=160, down=True),
        "Hincapie report, PBC",
    ),
)

PROTOCOLS: dict[str, Protocol] = {found.name: found for found in _TABLE}


def protocols() -> pd.DataFrame:
    """List the ways to divide cells into those trained on and those scored.

    Returns
    -------
    DataFrame
        One row per protocol: ``name``, ``leaky`` (it does not look at groups), ``does``, ``reason``
        (why a score under it may be believed, or not) and ``source``, the report that used it.
        Whether a protocol did leak is counted in every comparison; the reports' own are called
        leaky wherever they are used.

    Examples
    --------
    >>> from hemafeat import evaluate
    >>> table = evaluate.protocols()
    >>> list(table.query("not leaky")["name"])
    ['grouped', 'patient', 'leave-one-batch-out', 'cross-dataset', 'official']
    """
    names = ["name", "leaky", "does", "reason", "source"]
    rows = [[getattr(found, name) for name in names] for found in _TABLE]
    return pd.DataFrame(rows, columns=names)


def protocol(name: str, **options: Any) -> Protocol:
    """A way to divide cells, with what it is to be given.

    Parameters
    ----------
    name : str
        A row of `protocols`.
    **options
        ``column`` of ``"leave-one-batch-out"`` and ``"cross-dataset"``: what tells batches or data
        sets apart. ``train`` and ``test`` of ``"cross-dataset"``: names of data sets; without them
        each is trained on and every other scored in turn.

    Returns
    -------
    Protocol
        To be given to `compare` as `split`.

    Raises
    ------
    CompareError
        No such protocol, or an option it does not take.

    Examples
    --------
    >>> from hemafeat import evaluate
    >>> there = evaluate.protocol("cross-dataset", train="pbc", test="bccd")
    >>> found = evaluate.compare("svc", table, split=there)  # doctest: +SKIP
    """
    if name not in PROTOCOLS:
        raise CompareError(f"no split {name!r}; there are: {', '.join(PROTOCOLS)}")
    found = PROTOCOLS[name]
    given = {key: value for key, value in options.items() if value is not None}
    for key in given:
        if key not in found.takes:
            known = ", ".join(found.takes) or "none"
            raise CompareError(f"split {name!r} has no option {key!r}; its options: {known}")
    return replace(found, options=given)
