"""What can be known of an image without looking at the cell: the inputs of leak probes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hemafeat import datasets
from hemafeat.datasets import FILE_COLUMNS
from hemafeat.images import stem_of

_CATEGORIES = 30
_NUMERIC = 0.95
_DATE = re.compile(r"\s*\d{1,4}[./ -]\d{1,2}[./ -]\d{1,4}(?:[ T].*)?$")


@dataclass(frozen=True)
class Probe:
    """Numbers that tell nothing of the cell.

    Attributes
    ----------
    name, kind : str
        As the table calls it, and what it is of: ``file``, ``image``, ``patient``, ``column``.
    inputs : (n, k) DataFrame of float64
        NaN where unknown.
    may : str
        How it can be related to the cell after all; empty where it cannot.
    """

    name: str
    kind: str
    inputs: pd.DataFrame
    may: str = ""


def probes(table: pd.DataFrame, survey: pd.DataFrame, label: str) -> list[Probe]:
    """Every probe of a table that varies.

    Parameters
    ----------
    table : DataFrame
        An image table.
    survey : DataFrame
        Of its images, row for row.
    label : str
        The column that is to be told.
    """
    table, survey = table.reset_index(drop=True), survey.reset_index(drop=True)
    found = [
        *_names(survey),
        *_files(survey),
        *_bags(table),
        *(probe for column in _columns(table, label) for probe in of_column(table[column])),
    ]
    return [probe for probe in found if _varies(probe.inputs)]


def _varies(inputs: pd.DataFrame) -> bool:
    return any(len(values.unique()) > 1 for _, values in inputs.items())


def _names(survey: pd.DataFrame) -> Iterator[Probe]:
    stems = pd.Series([stem_of(name) for name in survey["image"]], dtype=object)
    words = stems.str.replace(r"\d+", "#", regex=True)
    yield Probe("file name: words", "file", _categories(words))
    digits = stems.str.findall(r"\d+")
    # Later numbers are those of images and cells, earlier ones of patients and slides.
    numbers = {
        f"number {k + 1}": [float(found[k]) if len(found) > k else np.nan for found in digits]
        for k in range(min(4, max(map(len, digits), default=0)))
    }
    if numbers:
        yield Probe("file name: number", "file", pd.DataFrame(numbers))
    length = pd.DataFrame({"length": stems.str.len(), "digits": stems.str.count(r"\d")})
    yield Probe("file name: length", "file", length.astype(float))
    place = pd.DataFrame({"place": stems.rank(method="average")})
    if len(set(stems)) > 1:
        yield Probe("file name: order", "file", place)


def _files(survey: pd.DataFrame) -> Iterator[Probe]:
    size = survey[["width", "height"]].astype(float)
    yield Probe("image size", "image", size, "images may be cut to fit the cell")
    yield Probe(
        "file size",
        "file",
        survey[["bytes"]].astype(float),
        "a cell rich in detail makes a larger compressed file",
    )
    words = survey["format"].astype("string").fillna("none")
    words = words + survey["jfif"].map({True: " JFIF", False: " without JFIF"}).fillna("")
    yield Probe("file format", "file", _categories(words))
    neighbours = "neighbouring cells may reach into the frame it is measured on"
    yield Probe(
        "background colour",
        "image",
        survey.filter(regex="^background_[rgb]$").astype(float),
        neighbours,
    )
    yield Probe("background brightness", "image", survey[["background"]].astype(float), neighbours)


def _bags(table: pd.DataFrame) -> Iterator[Probe]:
    patient = table["patient"]
    if patient.notna().any():
        size = patient.map(patient.value_counts()).astype(float)
        yield Probe("bag size", "patient", pd.DataFrame({"images": size}))


def _columns(table: pd.DataFrame, label: str) -> list[str]:
    own = set(datasets.COLUMNS) - {"split", "dataset", "um_per_px", "mask"}
    left_out = {label, "label", "label_raw", "cell", *FILE_COLUMNS, *own}
    return [
        column
        for column in map(str, table.columns)
        if column not in left_out and "__" not in column
    ]


def of_column(column: pd.Series) -> Iterator[Probe]:
    """The probes of one attribute: whether it is there, how it is written, what it says."""
    name = str(column.name)
    missing = column.isna()
    if missing.any() and not missing.all():
        yield Probe(f"missing: {name}", "column", pd.DataFrame({"missing": missing.astype(float)}))
    if name == "mask":
        return
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    if column.dtype == bool or numbers.notna().sum() >= _NUMERIC * (~missing).sum() > 0:
        yield Probe(name, "column", pd.DataFrame({name: numbers}))
        return
    words = column.astype("string").str.strip()
    dates = words.str.match(_DATE).fillna(False)
    plain = words.str.casefold()
    # How a word is written counts where the same word is written in several ways.
    if dates.sum() >= 0.5 * (~missing).sum() or plain.nunique() < words.nunique():
        yield Probe(f"format: {name}", "column", _categories(words.map(_shape, na_action="ignore")))
    if dates.sum() >= 0.5 * (~missing).sum():
        year = words.str.extract(r"(\d{4})", expand=False)
        yield Probe(name, "column", pd.DataFrame({"year": pd.to_numeric(year).astype(float)}))
    elif plain.nunique() <= max(_CATEGORIES, 0.2 * len(plain)):
        yield Probe(name, "column", _categories(plain))
    else:
        length = plain.str.len().astype(float)
        yield Probe(f"length: {name}", "column", pd.DataFrame({"length": length}))


def _shape(word: str) -> str:
    """How a word is written: the same for ``3/1/50`` and ``12/10/50``, not for ``12-03-50``."""
    word = re.sub(r"\d{4,}", "YYYY", word)
    word = re.sub(r"\d+", "0", word)
    if _DATE.match(word.replace("YYYY", "1950")):
        return word
    word = re.sub(r"[A-ZÀ-Þ]+", "A", word)
    return re.sub(r"[a-zß-ÿ]+", "a", word)


def _categories(words: pd.Series) -> pd.DataFrame:
    """A column of 0 and 1 for each frequent word, by name; the rest are zeros."""
    text = words.astype("string").fillna("missing")
    counts = text.value_counts()
    kept = sorted(counts.index, key=lambda word: (-counts[word], word))[:_CATEGORIES]
    return pd.DataFrame({word: (text == word).to_numpy(dtype=float) for word in kept})
