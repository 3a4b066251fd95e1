"""Score segmenters on images of which the cells are known."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import cv2
import numpy as np
import pandas as pd

from hemafeat._machine import n_workers, progress_bar
from hemafeat.datasets import as_table
from hemafeat.images import ImageError, name_of, read
from hemafeat.segment._mask_files import MaskWarning, as_masks
from hemafeat.segment._masks import MaskError, Masks, misfit
from hemafeat.segment._registry import Segmenter, segmenter
from hemafeat.segment._scores import (
    FAILED,
    as_boxes,
    as_frame,
    is_spurious,
    outcomes,
)
from hemafeat.segment._scoring.scores import PARTS, SET, Scores, summarise
from hemafeat.segment._scoring.truth import Boxes, truths
from hemafeat.segment._scoring.worst import Worst, picture

_FIRST = ("set", "segmenter", "image", "label")
_IMAGES = (*_FIRST, "group", "cells", "found", "missed", "spurious", "ms", "cpu_ms")


def score_images(
    images: Any,
    truth: Any = "given",
    segmenters: Any = "contours",
    *,
    mask_kind: str = "auto",
    truth_labels: Collection[str] | None = None,
    ignore_border: bool = False,
    min_dice: float = FAILED,
    n_boot: int = 1000,
    random_state: int = 0,
    n_jobs: int | None = 1,
    progress: bool | None = None,
) -> Scores:
    """Score segmenters on images of which the cells are known.

    All segmenters see the same images, each image one after the other.

    Parameters
    ----------
    images : DataFrame, path, sequence
        An image table, or anything that `hemafeat.datasets.as_table` accepts.
    truth : "given", "none", path, pair of paths, DataFrame or sequence
        ``"given"`` uses the masks named in the column ``mask`` of the images; a folder, the files
        in it that are named like the images (see `hemafeat.datasets.mask_finder`); a pair of
        folders, those of cells and of nuclei; a sequence, its items, one per image, as `read_masks`
        accepts them. A table, or a CSV, TSV or Parquet file, lists boxes (``xmin, ymin, xmax,
        ymax``) or points (``x, y``) in px, by which detection alone is scored, with a column
        ``image`` (or ``path``, ``file``, ``filename``); an image that is listed without coordinates
        shows no cells. ``"none"`` says that no image shows any.
    segmenters : str, callable, sequence of these, or mapping
        Segmenters, by the names and in the forms that `segmenter` accepts. A mapping gives them
        names of its own.
    mask_kind : str
        Meaning of the values of the masks, see `read_masks`. By default it is inferred.
    truth_labels : sequence of str, optional
        Labels (column ``label``, ``name``, ``class``, ``type`` or ``category``) of the boxes or
        points that are white cells; an empty one if none is. By default ``wbc``, ``leukocyte`` and
        the like and the names of `hemafeat.datasets.KINDS` are, and ``rbc``, ``platelet`` and the
        like are not.
    ignore_border : bool
        Leave out cells that are cut by the border of the image, and spurious outlines there: many
        truths do not show them. Default False.
    min_dice : float
        Dice of cell or nucleus below which an outline has failed. Default 0.8.
    n_boot : int
        Number of resamples of the intervals. Default 1000.
    random_state : int
        Seed of the resamples, and of the choice among cells that are equally bad.
    n_jobs : int, optional
        Number of threads over images; None for one per processor. Default 1: with more,
        milliseconds are those of a machine under load.
    progress : bool, optional
        Whether to show a progress bar. By default it is shown only on a terminal.

    Returns
    -------
    Scores
        Tables, and sheets of the worst cells.

    Raises
    ------
    MaskError
        No image has a truth; the message says why the first one has none.
    SegmenterError
        A segmenter is unknown or cannot be loaded.
    ValueError
        An argument is out of range, no image could be scored, or as `as_table` and `mask_source`
        raise it.

    Warns
    -----
    MaskWarning
        Values of masks may mean something else than they were taken for; see `read_masks`.

    See Also
    --------
    score : Compare the masks of one image with true ones.

    Examples
    --------
    >>> from hemafeat import datasets, segment
    >>> table = datasets.drawn("cells", 4, kinds=["monocyte"], size=120, random_state=0)
    >>> scores = segment.score_images(table, segmenters=["contours", "sobel_watershed"])
    >>> scores.summary[["set", "segmenter", "images", "cells", "found", "spurious"]]
         set        segmenter  images  cells  found  spurious
    0  drawn         contours       4      4      4         0
    1  drawn  sobel_watershed       4      4      4         0
    >>> scores.sheet("contours").shape[2]
    3
    """
    if not 0.0 <= min_dice <= 1.0:
        raise ValueError(f"min_dice is {min_dice}; expected 0 to 1")
    if n_boot < 1:
        raise ValueError(f"n_boot is {n_boot}; expected at least 1")
    finders = _named(segmenters)
    table = as_table(images)
    items = truths(truth, table, truth_labels)
    order = np.random.default_rng(random_state).permutation(len(table))
    worst = {name: Worst() for name in finders}
    facts = {
        "set": table["dataset"].fillna(SET).to_list(),
        "label": table["label"].fillna("").to_list(),
        "group": table["group"].to_list(),
    }

    settings = _Settings(mask_kind, ignore_border, min_dice)

    def score_one(row: int) -> _Outcome:
        given = {name: values[row] for name, values in facts.items()}
        image = table["image"].iloc[row]
        name = name_of(image) if isinstance(image, str) else f"array[{row}]"
        one = _Image(image, name, given, int(order[row]))
        return _score(one, items[row], finders, worst, settings)

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        done: list[_Outcome] = []
        with (
            ThreadPoolExecutor(n_workers(n_jobs)) as pool,
            progress_bar(len(table), "score", progress=progress) as bar,
        ):
            _warm_up(table["image"], finders)
            for outcome in pool.map(score_one, range(len(table))):
                done.append(outcome)
                bar.update()
    finally:
        cv2.setNumThreads(threads)
    errors = [row for outcome in done for row in outcome.errors]
    scored = [row for outcome in done for row in outcome.images]
    if not scored:
        raise ValueError(f"no image could be scored: {errors[0]['image']}: {errors[0]['message']}")
    uncertain = [row for row in errors if row["error"] == MaskWarning.__name__]
    if uncertain:
        warnings.warn(
            f"masks that may mean something else: {len(uncertain)}; the first is that of "
            f"{uncertain[0]['image']}: {uncertain[0]['message']}",
            MaskWarning,
            stacklevel=2,
        )
    by_image = pd.DataFrame(scored, columns=list(_IMAGES))
    cells = as_frame([row for outcome in done for row in outcome.cells], _FIRST)
    cells, by_image = (_in_order(part, list(finders)) for part in (cells, by_image))
    return Scores(
        summarise(by_image, cells, n_boot, random_state),
        cells,
        by_image,
        pd.DataFrame(errors, columns=["image", "stage", "error", "message"]),
        min_dice,
        worst,
    )


# --- An image -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Settings:
    mask_kind: str
    ignore_border: bool
    min_dice: float


@dataclass(slots=True)
class _Image:
    """An image to score: its source, its name, its set, label and group, and its place in ties."""

    source: Any
    name: str
    facts: dict[str, Any]
    place: int


@dataclass(slots=True)
class _Outcome:
    """Rows of an image in the tables of images, of cells and of errors."""

    images: list[dict[str, Any]] = field(default_factory=list)
    cells: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)

    def add_error(self, image: _Image, stage: str, error: Exception) -> None:
        # The text of an ImageError begins with the image, which has a column of its own.
        message = error.reason if isinstance(error, ImageError) else str(error)
        row = {"image": image.name, "stage": stage, "error": type(error).__name__}
        self.errors.append(row | {"message": message})


def _score(
    one: _Image,
    item: Any,
    finders: Mapping[str, Segmenter],
    worst: Mapping[str, Worst],
    settings: _Settings,
) -> _Outcome:
    """Score each segmenter on an image; an error of any kind becomes a row of errors."""
    outcome = _Outcome()
    stage = "read"
    try:
        image = read(one.source)
        stage = "truth"
        true = _truth(item, settings.mask_kind, image)
    except Exception as error:  # one bad image must not stop the run
        outcome.add_error(one, stage, error)
        return outcome
    if isinstance(true, Masks) and true.note:
        outcome.add_error(one, stage, MaskWarning(true.note))
    for name, find in finders.items():
        seconds = cpu_seconds = float("nan")
        try:
            start, cpu_start = time.perf_counter(), time.thread_time()
            masks = find(image)
            seconds, cpu_seconds = time.perf_counter() - start, time.thread_time() - cpu_start
        except Exception as error:  # a plug-in may raise any
            outcome.add_error(one, f"segment:{name}", error)
            nothing = np.zeros(image.shape[:2], np.int32)
            masks = Masks(nothing, nothing)
        rows = outcomes(masks, true, settings.min_dice)
        if settings.ignore_border:
            rows = [row for row in rows if not row["touches_border"]]
        _offer(worst[name], rows, one, image, masks, true)
        n_true, n_found = sum(row["cell"] > 0 for row in rows), sum(row["found"] for row in rows)
        facts = {**one.facts, "segmenter": name, "image": one.name}
        outcome.images.append(
            {
                **facts,
                "cells": n_true,
                "found": n_found,
                "missed": n_true - n_found,
                "spurious": sum(map(is_spurious, rows)),
                "ms": 1000.0 * seconds,
                "cpu_ms": 1000.0 * cpu_seconds,
            }
        )
        outcome.cells += [facts | row for row in rows]
    return outcome


def _truth(item: Any, mask_kind: str, image: np.ndarray) -> Masks | np.ndarray:
    if isinstance(item, Boxes):
        return as_boxes(item.values, image.shape[:2])
    true = as_masks(item, mask_kind, image.shape)
    if true.shape != image.shape[:2]:
        raise MaskError(misfit("mask", true.shape, "image", image.shape))
    return true


def _offer(
    worst: Worst,
    rows: list[dict[str, Any]],
    one: _Image,
    image: np.ndarray,
    masks: Masks,
    true: Masks | np.ndarray,
) -> None:
    """Offer the cells of an image to the sheet of a segmenter."""
    counts = dict.fromkeys(worst.counts, 0)
    for row in rows:
        kind = "lowest" if row["found"] else "missed" if row["cell"] else "spurious"
        counts[kind] += 1
        # Of cells that are equally bad those of all images come first, not all of one image.
        key: tuple[float, ...] = (counts[kind], one.place)
        if kind == "lowest":
            key = (min(_dices(row).values(), default=1.0), *key)
        worst.offer(kind, key, partial(_draw, row, one, image, masks, true))


def _dices(row: dict[str, Any]) -> dict[str, float]:
    """Return the Dice of the parts of a cell that have one."""
    values = {part: row.get(f"dice_{part}", np.nan) for part in (*PARTS, "box")}
    return {part: value for part, value in values.items() if not np.isnan(value)}


def _draw(
    row: dict[str, Any],
    one: _Image,
    image: np.ndarray,
    masks: Masks,
    true: Masks | np.ndarray,
) -> np.ndarray:
    shown, number = (true, row["cell"]) if row["cell"] else (masks, row["predicted"])
    if isinstance(shown, Masks):
        inside = (shown.cell == number) | (shown.nucleus == number)
        y, x = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        box: Sequence[float] = (x[0], y[0], x[-1] + 1, y[-1] + 1)
    else:
        box = shown[number - 1]
    words = [f"{part} {value:.2f}" for part, value in _dices(row).items()]
    if row["suspected_failure"]:
        words.append("suspected")
    return picture(image, masks, true, box, (re.split(r"[\\/]", one.name)[-1], ", ".join(words)))


# --- All images -----------------------------------------------------------------------------------


def _named(segmenters: Any) -> dict[str, Segmenter]:
    """Return the segmenters by name."""
    if isinstance(segmenters, Mapping):
        named = [(str(name), find) for name, find in segmenters.items()]
    else:
        one = isinstance(segmenters, str) or callable(segmenters)
        listed: Iterable[Any] = [segmenters] if one else segmenters
        named = [(_name(find), find) for find in listed]
    if not named:
        raise ValueError("no segmenter was given")
    names = [name for name, _ in named]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise ValueError(f"two segmenters are called {repeated}; name them with a mapping")
    return {name: segmenter(find) for name, find in named}


def _name(find: Any) -> str:
    return find if isinstance(find, str) else getattr(find, "__name__", type(find).__name__)


def _warm_up(images: Iterable[Any], finders: Mapping[str, Segmenter]) -> None:
    """Let what is compiled or loaded at the first use be so before times are measured."""
    for source in images:
        try:
            image = read(source)
        except Exception:  # it becomes a row of errors later
            continue
        for find in finders.values():
            try:
                find(image)
            except Exception:
                continue
        return


def _in_order(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Sort rows by set and segmenter, in the order in which these appear."""
    sets = pd.Categorical(table["set"], table["set"].unique())
    keys = pd.DataFrame({"set": sets, "by": pd.Categorical(table["segmenter"], names)})
    return table.loc[keys.sort_values(["set", "by"], kind="stable").index].reset_index(drop=True)
