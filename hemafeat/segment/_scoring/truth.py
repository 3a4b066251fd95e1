"""The truth of each image: masks, boxes or points of a table, or that there are no cells."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemafeat._csv import with_formulas
from hemafeat._files import read_parquet
from hemafeat._frames import IMAGE_COLUMNS, as_frame, with_image_column
from hemafeat._words import no_column, shortened
from hemafeat.datasets import KINDS
from hemafeat.images import path_of, stem_of
from hemafeat.segment._mask_files import mask_source
from hemafeat.segment._masks import MaskError

NONE = "none"
"""Truth of images that show no cells."""

_BOX, _POINT = ("xmin", "ymin", "xmax", "ymax"), ("x", "y")

_LABELS = ("label", "name", "class", "type", "category")
"""Names of the column that says what a box or point shows, in order of precedence."""

_WHITE = {
    *("wbc", "white", "white cell", "white blood cell", "leukocyte", "leucocyte"),
    *(kind for kind in KINDS if kind != "platelet"),
}
_OTHERS = {
    *("rbc", "red", "red cell", "red blood cell", "erythrocyte"),
    *("platelet", "plt", "thrombocyte", "artefact", "artifact", "background"),
}
_READERS = {
    ".csv": lambda path: _read_separated(path, ","),
    ".tsv": lambda path: _read_separated(path, "\t"),
    ".parquet": read_parquet,
}


@dataclass(frozen=True, eq=False, slots=True)
class Boxes:
    """The true cells of an image as (n, 4) boxes; those of points have no extent."""

    values: np.ndarray


def truths(truth: Any, table: pd.DataFrame, labels: Collection[str] | None) -> list[Any]:
    """Return the truth of each image of a table: a source of masks, boxes or a `MaskError`.

    Parameters
    ----------
    truth, labels
        As in `score_images`.
    table : DataFrame
        Image table.

    Raises
    ------
    MaskError
        A table of boxes cannot be read or understood, or no image has a truth.
    ValueError
        `truth` does not fit the images, or `labels` are given without a table of boxes.
    """
    if isinstance(truth, str) and truth == NONE:
        found = [Boxes(np.empty((0, 4)))] * len(table)
    elif (read := _objects(truth)) is not None:
        objects, name = read
        return _checked(_of_table(objects, name, list(table["image"]), labels), table)
    else:
        find = mask_source(truth, table)
        if find is None:
            raise ValueError("there is no truth: truth is None")
        found = list(find(table, 0))
    if labels is not None:
        raise ValueError("truth_labels needs a truth that is a table of boxes or points")
    return _checked(found, table)


def _checked(found: list[Any], table: pd.DataFrame) -> list[Any]:
    """Refuse a truth of none of the images."""
    if all(isinstance(item, MaskError) for item in found):
        first = table["image"].iloc[0]
        name = f"; the first is {first}" if isinstance(first, str) else ""
        raise MaskError(f"none of the {len(found)} images has a truth{name}: {found[0]}")
    return found


def _objects(truth: Any) -> tuple[pd.DataFrame, str] | None:
    """Return a table of boxes and its name; None if the truth is anything else."""
    if isinstance(truth, str | os.PathLike):
        path = Path(truth)
        reader = _READERS.get(path.suffix.lower())
        if reader is None or path.is_dir():
            return None
        if not path.is_file():
            raise MaskError(f"{path} does not exist")
        try:
            return reader(path), str(path)
        # pandas and pyarrow raise many kinds of exceptions for damaged files.
        except Exception as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise MaskError(f"{path} cannot be read as a table: {reason}") from None
    frame = as_frame(truth, MaskError)
    return (frame, "the truth") if isinstance(frame, pd.DataFrame) else None


def _read_separated(path: Path, separator: str) -> pd.DataFrame:
    options: dict[str, Any] = {"sep": separator, "encoding": "utf-8-sig", "keep_default_na": False}
    header = pd.read_csv(path, nrows=0, **options).columns
    as_text = {name: str for name in header if str(name).lower() in {*IMAGE_COLUMNS, *_LABELS}}
    return with_formulas(pd.read_csv(path, dtype=as_text, na_values=[""], **options))


def _of_table(
    objects: pd.DataFrame, name: str, images: Sequence[Any], labels: Collection[str] | None
) -> list[Any]:
    """Return the boxes of each image, or a `MaskError` if the table does not list it."""
    objects = with_image_column(objects.rename(columns=lambda column: str(column).lower()))
    if "image" not in objects:
        raise MaskError(f"{name}: {no_column('image', objects.columns)}")
    sides = next((names for names in (_BOX, _POINT) if set(names) <= set(objects.columns)), None)
    if sides is None:
        raise MaskError(
            f"{name} has neither boxes (columns xmin, ymin, xmax, ymax) nor points (x, y); its "
            f"columns are {shortened(objects.columns, 12)}. A table that names masks is a table of "
            "images, with truth='given'"
        )
    numbers = objects[list(sides)].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    empty = objects[list(sides)].isna().all(axis=1).to_numpy()
    wrong = ~np.isfinite(numbers).all(axis=1) & ~empty
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise MaskError(f"{name}: row {row + 1} has a coordinate that is not a number")
    wanted = _wanted(objects, name, labels) & ~empty
    boxes = numbers if sides is _BOX else np.hstack([numbers, numbers])
    paths = objects["image"].astype(str)
    # An image with red cells alone is listed, and has no white ones.
    listed = {
        str(path): Boxes(boxes[rows[wanted[rows]]])
        for path, rows in paths.groupby(paths).indices.items()
    }
    return _paired(listed, name, images)


def _wanted(objects: pd.DataFrame, name: str, labels: Collection[str] | None) -> np.ndarray:
    """Return which rows are cells that a segmenter should find."""
    column = next((label for label in _LABELS if label in objects), None)
    if column is None:
        if labels:
            raise MaskError(f"{name} has no column of labels ({', '.join(_LABELS)})")
        return np.full(len(objects), labels is None)
    values = objects[column].astype("string").str.strip().fillna("")
    folded = values.str.casefold()
    there = sorted(set(values) - {""})
    if labels is not None:
        missing = {label.casefold() for label in labels} - set(folded)
        if missing:
            raise MaskError(
                f"{name}: column {column!r} has no label {min(missing)!r}; it has "
                f"{shortened(there, 12)}"
            )
        return folded.isin({label.casefold() for label in labels}).to_numpy(bool)
    # Plurals: "platelets".
    known = folded.str.removesuffix("s").where(~folded.isin(_WHITE | _OTHERS), folded)
    unknown = sorted(set(values[~known.isin(_WHITE | _OTHERS) & (values != "")]))
    if unknown:
        raise MaskError(
            f"{name}: column {column!r} has the labels {shortened(there, 12)}; state which are "
            "white cells with truth_labels, or that none is"
        )
    return known.isin(_WHITE).to_numpy(bool)


def _paired(listed: dict[str, Boxes], name: str, images: Sequence[Any]) -> list[Any]:
    """Return the boxes of each image, found by its name without folders and suffix."""
    exact: dict[str, list[str]] = {}
    folded: dict[str, list[str]] = {}
    for path in listed:
        exact.setdefault(_stem(path), []).append(path)
        folded.setdefault(_stem(path).casefold(), []).append(path)
    stems = [_stem(image) if isinstance(image, str) else None for image in images]
    counts = Counter(stems)

    def of(image: Any, stem: str | None) -> Any:
        if stem is None:
            return MaskError(f"an array has no name by which {name} could list it")
        paths = exact.get(stem) or folded.get(stem.casefold(), [])
        if not paths:
            return MaskError(f"{name} does not list this image")
        shared = [_shared_parts(path, image) for path in paths]
        nearest = [path for path, n in zip(paths, shared, strict=True) if n == max(shared)]
        if len(nearest) > 1 or (counts[stem] > 1 and max(shared) == 0):
            return MaskError(
                f"images called {stem} cannot be told apart by their folders in {name}"
            )
        return listed[nearest[0]]

    return [of(image, stem) for image, stem in zip(images, stems, strict=True)]


def _stem(path: str) -> str:
    """Return the stem of a name in one of the two ways in which Unicode writes accents."""
    return unicodedata.normalize("NFC", stem_of(path_of(path)))


def _shared_parts(path: str, image: str) -> int:
    """Return how many of the innermost folders of two paths have the same names."""
    folders = [Path(path_of(one).replace("\\", "/")).parent.parts[::-1] for one in (path, image)]
    n = 0
    for first, second in zip(*folders, strict=False):
        if first.casefold() != second.casefold():
            break
        n += 1
    return n
