"""Images in, one row per cell out, whatever becomes of single images."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pandas as pd

from hemafeat import datasets
from hemafeat.extract._describe import Families, family_units
from hemafeat.extract._family import Family, FamilyError, chosen
from hemafeat.extract._given import MaskSource, mask_source
from hemafeat.extract._measure import central_cell, image_quality, measure_window, scales
from hemafeat.extract._prepared import Prepared
from hemafeat.extract._store import check_target, save
from hemafeat.images import ImageError, read
from hemafeat.segment import MaskError, Masks, segmenter as find_segmenter

Cells = Literal["auto", "all", "central"]

IDENTITY = ["image", "cell", "label", "label_raw", "patient", "group", "split", "dataset"]


@dataclass
class _Outcome:
    """What became of one image."""

    features: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    quality: dict[str, np.ndarray] = field(default_factory=dict)
    cell: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    errors: list[dict[str, str]] = field(default_factory=list)


def table(
    images: Any,
    *,
    segmenter: str | Callable[[np.ndarray], Any] = "contours",
    masks: Any = None,
    families: Families = "default",
    cells: Cells = "auto",
    um_per_px: float | None = None,
    n_jobs: int | None = None,
    out: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Measure every cell of every image.

    Parameters
    ----------
    images : folder, file, list of paths or arrays, or DataFrame
        Whatever `hemafeat.datasets.as_table` takes: a class-per-folder tree, a CSV with an
        ``image`` column, an image table, paths, (H, W, 3) arrays.
    segmenter : str or callable
        ``"contours"``, the name of a plugged-in segmenter, or any callable that takes an
        (H, W, 3) uint8 image and returns `Masks`.
    masks : None, "given", folder, or list, optional
        Masks to use in the place of a segmenter: ``"given"`` takes the files named in the ``mask``
        column of the image table, a folder is searched for a file of the same name (any suffix)
        and a list holds one path, array or `Masks` per image.
    families : {"default", "all"} or list of names or functions
        Which features.
    cells : {"auto", "all", "central"}
        ``"central"`` keeps the cell at the centre of each image, ``"all"`` keeps every cell.
        ``"auto"`` keeps the central one of a labelled image, since the label speaks of that cell,
        and all cells of an unlabelled one.
    um_per_px : float, optional
        Side of a pixel in um, for all images; default is the column of that name. With it lengths
        are in um, without it in px.
    n_jobs : int, optional
        Threads; all processors by default. The table does not depend on it.
    out : path, optional
        Where to write the result as well: a folder, or a ``.parquet`` or ``.csv`` file.
        `load` reads it back.
    progress : bool, optional
        Show a progress bar; default is when a person is watching the terminal.

    Returns
    -------
    DataFrame
        One row per cell, in the order of the images: ``image, cell`` (1..n), ``label, label_raw,
        patient, group, split, dataset, um_per_px`` and the attributes of the image, then
        ``quality__*`` (never fed to a model by default), then the features in the order of
        ``columns(families)``. ``attrs["units"]`` holds the units. What could not be measured is in
        ``errors(table)``.

    Raises
    ------
    hemafeat.datasets.DatasetError
        There are no images, or `images` is nothing of the above.
    FamilyError
        An unknown family.
    ValueError
        A scale that is not positive or known for some of the images only, masks that do not match
        the images in number, an unknown segmenter.
    FileExistsError
        `out` holds something else than an earlier result.
    """
    which = chosen(families)
    if not which:
        raise FamilyError("no family was chosen")
    if cells not in ("auto", "all", "central"):
        raise ValueError(f"cells is 'auto', 'all' or 'central', not {cells!r}")
    listed = datasets.as_table(images)
    scale = _scale(listed, um_per_px)
    source = mask_source(masks, listed)
    segment = find_segmenter(segmenter) if source is None else None
    if out is not None:
        check_target(out)

    def one(place: int) -> _Outcome:
        row = listed.iloc[place]
        central = cells == "central" or (cells == "auto" and bool(pd.notna(row["label"])))
        return _measure_image(row, place, segment, source, which, central)

    outcomes = list(_in_order(one, len(listed), n_jobs, progress))
    result = _assemble(listed, outcomes, which, scale)
    if out is not None:
        settings = {
            "families": sorted(which),
            "segmenter": "given masks" if source is not None else _name(segmenter),
            "cells": cells,
            "n_images": len(listed),
        }
        save(result, out, settings)
    return result


def _measure_image(
    row: pd.Series,
    place: int,
    segment: Callable[[np.ndarray], Masks] | None,
    source: MaskSource | None,
    which: dict[str, Family],
    central: bool,
) -> _Outcome:
    name = image_name(row["image"], place)
    stage = "read"
    try:
        image = read(row["image"])
        stage = "segment" if segment is not None else "mask"
        masks = segment(image) if segment is not None else source(row, place)  # type: ignore[misc]
        if masks.n_cells == 0:
            return _failed(name, stage, "NoCellFound", "no cell was found in the image")
        kept = central_cell(masks) if central and masks.n_cells > 1 else None
        stage = "extract"
        prepared, measured = Prepared(image, masks).window(masks, kept)
        quality = dict(masks.quality)
        if kept is not None:
            quality = {key: values[[kept]] for key, values in quality.items()}
        quality |= image_quality(prepared, measured, masks.n_cells)
        values, failures = measure_window(prepared, measured, which)
    except ImageError as error:
        return _failed(name, stage, "ImageError", getattr(error, "reason", str(error)))
    except MaskError as error:
        return _failed(name, stage, "MaskError", str(error))
    except Exception as error:
        return _failed(name, stage, type(error).__name__, str(error))
    outcome = _Outcome(
        values,
        quality,
        np.arange(1, measured.n_cells + 1) if kept is None else np.array([kept + 1]),
    )
    for family, failure in failures.items():
        outcome.errors.append(_error(name, f"extract:{family}", type(failure).__name__, failure))
    return outcome


def _failed(image: str, stage: str, error: str, message: str) -> _Outcome:
    return _Outcome(errors=[_error(image, stage, error, message)])


def _error(image: str, stage: str, error: str, message: object) -> dict[str, str]:
    return {"image": image, "stage": stage, "error": error, "message": str(message)}


def image_name(image: Any, place: int) -> str:
    """What an image is called in the tables: its path, or its place among arrays."""
    if isinstance(image, (str, Path)):
        return str(image)
    return f"array[{place}]"


def _name(segmenter: str | Callable[..., Any]) -> str:
    return segmenter if isinstance(segmenter, str) else getattr(segmenter, "__name__", "callable")


def _scale(listed: pd.DataFrame, um_per_px: float | None) -> np.ndarray | None:
    """(n_images,) um per pixel, or None where the scale is unknown."""
    if um_per_px is not None:
        if not (np.isfinite(um_per_px) and um_per_px > 0):
            raise ValueError(f"um_per_px must be positive, not {um_per_px}")
        return np.full(len(listed), float(um_per_px))
    known = pd.to_numeric(listed["um_per_px"], errors="coerce").to_numpy(
        np.float64, na_value=np.nan
    )
    if np.isnan(known).all():
        return None
    if np.isnan(known).any():
        raise ValueError(
            f"um_per_px is known for {int((~np.isnan(known)).sum())} of {len(listed)} images: "
            "one column cannot hold both px and um. Give um_per_px for all, or for none"
        )
    if not (known > 0).all():
        raise ValueError("um_per_px must be positive in every row of the image table")
    return known


def _in_order(
    one: Callable[[int], _Outcome], n_images: int, n_jobs: int | None, progress: bool | None
) -> Iterator[_Outcome]:
    """Outcomes in the order of the images; as many images in memory as threads can use."""
    from tqdm import tqdm

    workers = min(n_images, n_jobs if n_jobs and n_jobs > 0 else os.cpu_count() or 1)
    hidden = not (sys.stderr.isatty() if progress is None else progress)
    with (
        tqdm(total=n_images, unit="image", desc="extract", disable=hidden) as bar,
        _serial_opencv(),
        ThreadPoolExecutor(workers) as pool,
    ):
        waiting: deque[Future[_Outcome]] = deque()
        try:
            for place in range(n_images):
                waiting.append(pool.submit(one, place))
                if len(waiting) >= 4 * workers:
                    yield waiting.popleft().result()
                    bar.update()
            while waiting:
                yield waiting.popleft().result()
                bar.update()
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def _serial_opencv() -> Iterator[None]:
    """OpenCV on the calling thread: threads over images would otherwise each start a pool."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _assemble(
    listed: pd.DataFrame,
    outcomes: list[_Outcome],
    which: dict[str, Family],
    scale: np.ndarray | None,
) -> pd.DataFrame:
    measured = [(i, o) for i, o in enumerate(outcomes) if o.cell.size]
    counts = [len(o.cell) for _, o in measured]
    place = np.repeat([i for i, _ in measured], counts).astype(np.intp)
    units = family_units(which, scale is not None)
    names = list(units)
    values = (
        np.concatenate([o.features for _, o in measured]) if measured else np.empty((0, len(names)))
    )
    if scale is not None and len(values):
        # One factor per distinct scale: data sets mix at most a few.
        for um in np.unique(scale[place]):
            rows = scale[place] == um
            values[rows] *= scales(which, float(um))
    chosen_rows = listed.iloc[place].reset_index(drop=True)
    head: dict[str, Any] = {name: chosen_rows[name] for name in IDENTITY if name in chosen_rows}
    head["image"] = [image_name(listed["image"].iloc[i], int(i)) for i in place]
    head["cell"] = (
        np.concatenate([o.cell for _, o in measured]) if measured else np.empty(0, np.int64)
    )
    head["um_per_px"] = np.full(place.size, np.nan) if scale is None else scale[place]
    attributes = [c for c in listed.columns if c not in {*IDENTITY, "um_per_px", "mask"}]
    identity = pd.DataFrame({name: head[name] for name in [*IDENTITY, "um_per_px"]})
    keys = dict.fromkeys(key for _, o in measured for key in o.quality)
    quality = pd.DataFrame(
        {
            f"quality__{key}": np.concatenate(
                [
                    o.quality.get(key, np.full(n, np.nan))
                    for (_, o), n in zip(measured, counts, strict=True)
                ]
            )
            for key in keys
        },
        index=identity.index,
    )
    features = pd.DataFrame(values, columns=names, index=identity.index)
    result = pd.concat([identity, chosen_rows[attributes], quality, features], axis=1)
    result.attrs["units"] = units
    result.attrs["errors"] = [error for o in outcomes for error in o.errors]
    return result
