"""Inputs of leak probes: properties of images, files and patients that are not the cell."""

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
"""Greatest number of words that are told apart."""

_NUMERIC = 0.95
"""Share of numbers from which a column is taken for numeric."""

_NAMES_UNREAD = "no model reads file names"

_DATE = re.compile(r"\s*\d{1,4}[./ -]\d{1,2}[./ -]\d{1,4}(?:[ T].*)?$")


@dataclass(frozen=True)
class Probe:
    """Numbers that are not measured on the cell.

    Attributes
    ----------
    name, kind : str
        Name in the table of results, and subject: ``file``, ``image``, ``patient``, ``column``.
    inputs : (n, k) DataFrame of float64
        NaN if unknown.
    caveat : str
        How it can depend on the cell after all; empty if it cannot.
    of_name : bool
        True if the inputs are taken from the name of the file, which no model reads.
    """

    name: str
    kind: str
    inputs: pd.DataFrame
    caveat: str = ""
    of_name: bool = False


def probes(table: pd.DataFrame, survey: pd.DataFrame, label: str) -> list[Probe]:
    """Return the probes of a table that are not constant.

    Parameters
    ----------
    table : DataFrame
        Image table.
    survey : DataFrame
        Survey of its images, row by row.
    label : str
        Column to predict, which is not a probe.

    Returns
    -------
    list of Probe
    """
    table, survey = table.reset_index(drop=True), survey.reset_index(drop=True)
    candidates = [
        *_name_probes(survey),
        *_file_probes(survey),
        *_bag_probes(table),
        *(probe for column in _attributes(table, label) for probe in column_probes(table[column])),
    ]
    return [probe for probe in candidates if _varies(probe.inputs)]


def _varies(inputs: pd.DataFrame) -> bool:
    return any(len(values.unique()) > 1 for _, values in inputs.items())


def _name_probes(survey: pd.DataFrame) -> Iterator[Probe]:
    for name, inputs in _name_inputs(survey):
        yield Probe(f"file name: {name}", "file", inputs, _NAMES_UNREAD, of_name=True)


def _name_inputs(survey: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    stems = pd.Series([stem_of(name) for name in survey["image"]], dtype=object)
    words = stems.str.replace(r"\d+", "#", regex=True)
    yield "words", _categories(words)
    digits = stems.str.findall(r"\d+")
    # Later numbers are those of images and cells, earlier ones of patients and slides.
    numbers = {
        f"number {k + 1}": [float(parts[k]) if len(parts) > k else np.nan for parts in digits]
        for k in range(min(4, max(map(len, digits), default=0)))
    }
    if numbers:
        yield "number", pd.DataFrame(numbers)
    length = pd.DataFrame({"length": stems.str.len(), "digits": stems.str.count(r"\d")})
    yield "length", length.astype(float)
    if len(set(stems)) > 1:
        rank = pd.DataFrame({"rank": stems.rank(method="average")})
        yield "order", rank


def _file_probes(survey: pd.DataFrame) -> Iterator[Probe]:
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


def _bag_probes(table: pd.DataFrame) -> Iterator[Probe]:
    patient = table["patient"]
    if patient.notna().any():
        size = patient.map(patient.value_counts()).astype(float)
        yield Probe("bag size", "patient", pd.DataFrame({"images": size}))


def _attributes(table: pd.DataFrame, label: str) -> list[str]:
    """Return the columns that are neither labels, nor ids, nor features."""
    ids = set(datasets.COLUMNS) - {"split", "dataset", "um_per_px", "mask"}
    excluded = {label, "label", "label_raw", "cell", *FILE_COLUMNS, *ids}
    return [
        column
        for column in map(str, table.columns)
        if column not in excluded and "__" not in column
    ]


def column_probes(column: pd.Series) -> Iterator[Probe]:
    """Return the probes of one attribute: missing values, format and value."""
    name = str(column.name)
    missing = column.isna()
    if missing.any() and not missing.all():
        yield Probe(f"missing: {name}", "column", pd.DataFrame({"missing": missing.astype(float)}))
    if name in ("mask", "nucleus_mask"):
        return
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    if column.dtype == bool or numbers.notna().sum() >= _NUMERIC * (~missing).sum() > 0:
        yield Probe(name, "column", pd.DataFrame({name: numbers}))
        return
    words = column.astype("string").str.strip()
    dates = words.str.match(_DATE).fillna(False)
    plain = words.str.casefold()
    # The format is a probe of its own for dates, and for words in several spellings.
    if dates.sum() >= 0.5 * (~missing).sum() or plain.nunique() < words.nunique():
        yield Probe(
            f"format: {name}", "column", _categories(words.map(_format_of, na_action="ignore"))
        )
    if dates.sum() >= 0.5 * (~missing).sum():
        year = words.str.extract(r"(\d{4})", expand=False)
        yield Probe(name, "column", pd.DataFrame({"year": pd.to_numeric(year).astype(float)}))
    elif plain.nunique() <= max(_CATEGORIES, 0.2 * len(plain)):
        yield Probe(name, "column", _categories(plain))
    else:
        length = plain.str.len().astype(float)
        yield Probe(f"length: {name}", "column", pd.DataFrame({"length": length}))


def _format_of(word: str) -> str:
    """Return the format of a word: equal for ``3/1/50`` and ``12/10/50``, not for ``12-03-50``."""
    word = re.sub(r"\d{4,}", "YYYY", word)
    word = re.sub(r"\d+", "0", word)
    if _DATE.match(word.replace("YYYY", "1950")):
        return word
    word = re.sub(r"[A-ZÀ-Þ]+", "A", word)
    return re.sub(r"[a-zß-ÿ]+", "a", word)


def _categories(words: pd.Series) -> pd.DataFrame:
    """Encode the most frequent words as columns of 0 and 1."""
    text = words.astype("string").fillna("missing")
    counts = text.value_counts()
    frequent = sorted(counts.index, key=lambda word: (-counts[word], word))[:_CATEGORIES]
    return pd.DataFrame({word: (text == word).to_numpy(dtype=float) for word in frequent})
