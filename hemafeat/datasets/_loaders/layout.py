"""Functions that several loaders share: class folders, text tables and attributes of patients."""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from hemafeat.datasets._catalogue import wrong_folder
from hemafeat.datasets._schema import DatasetError, DatasetWarning, folder, text, walk
from hemafeat.images import EXTENSIONS


class ClassImage(NamedTuple):
    """An image in a class folder.

    Attributes
    ----------
    file : Path
        Image file.
    class_name : str
        Name of the class, as the loader spells it.
    folder : str
        Name of the class folder, as it is spelt on disk.
    """

    file: Path
    class_name: str
    folder: str


def folder_names(file: Path, root: Path) -> list[str]:
    """Return the names of the folders that hold `file`, from `root` to the innermost."""
    return [root.resolve().name, *file.relative_to(root).parts[:-1]]


def find_in_class_folders(
    name: str,
    root: Path,
    classes: Iterable[str],
    expected: str,
    suffixes: Sequence[str] = EXTENSIONS,
) -> list[ClassImage]:
    """List the images below `root` whose innermost class folder is one of `classes`, in any case.

    Warns
    -----
    DatasetWarning
        Issued if images outside class folders are skipped.

    Raises
    ------
    DatasetError
        Raised if no image lies in a class folder.
    """
    class_names = {_fold(class_name): class_name for class_name in classes}
    cells, skipped = [], []
    for file in walk(root, suffixes):
        for part in reversed(folder_names(file, root)):
            if _fold(part) in class_names:
                cells.append(ClassImage(file, class_names[_fold(part)], part))
                break
        else:
            skipped.append(file)
    if not cells:
        raise wrong_folder(name, root, expected)
    if skipped:
        warn_skipped(root, skipped, "not in a class folder")
    return cells


def class_table(
    name: str,
    root: str | os.PathLike[str],
    labels: Mapping[str, str | None],
    expected: str,
    um_per_px: float | None = None,
    suffixes: Sequence[str] = EXTENSIONS,
) -> tuple[pd.DataFrame, list[ClassImage], Path]:
    """Make the table of a data set with one folder per class; `finish` completes it."""
    root = folder(root)
    cells = find_in_class_folders(name, root, labels, expected, suffixes)
    table = pd.DataFrame(
        {
            "image": text(str(cell.file) for cell in cells),
            "label": text(labels[cell.class_name] for cell in cells),
            "label_raw": text(cell.folder for cell in cells),
            "dataset": text(name for _ in cells),
        }
    )
    if um_per_px is not None:
        table["um_per_px"] = um_per_px
    return table, cells, root


def warn_skipped(root: Path, files: Sequence[Path], reason: str) -> None:
    """Warn that images are skipped; `reason` completes "images are ..."."""
    first = files[0].relative_to(root).as_posix()
    warnings.warn(
        f"{root}: {len(files)} image(s) are skipped because they are {reason}, for example {first}",
        DatasetWarning,
        stacklevel=4,
    )


def read_text_table(path: Path) -> pd.DataFrame:
    """Read a CSV file separated by commas, semicolons or tabs; all columns are stripped text.

    Raises
    ------
    DatasetError
        Raised if the file cannot be read.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as lines:
            head = lines.readline()
        table = pd.read_csv(
            path,
            sep=max(",;\t", key=head.count),
            dtype=str,
            encoding="utf-8-sig",
            encoding_errors="replace",
            skipinitialspace=True,
            keep_default_na=False,
        )
    except (OSError, ValueError) as problem:
        raise DatasetError(f"{path} cannot be read as a table: {problem}") from None
    table.columns = [str(column).strip() for column in table.columns]
    return table.apply(lambda column: column.str.strip())


def match_columns(path: Path, table: pd.DataFrame, columns: Sequence[str]) -> dict[str, str]:
    """Map each of `columns` to its name in `table`, regardless of case.

    Raises
    ------
    DatasetError
        Raised if a column is missing.
    """
    names = {_fold(column): column for column in table.columns}
    missing = [column for column in columns if _fold(column) not in names]
    if missing:
        raise DatasetError(
            f"{path} has no column {missing[0]!r}; expected {', '.join(columns)}, found "
            f"{', '.join(table.columns)}"
        )
    return {column: names[_fold(column)] for column in columns}


def _fold(name: str) -> str:
    return " ".join(name.lower().split())


# --- Attributes of patients -------------------------------------------------------------------

_SEXES = {"f": "female", "female": "female", "m": "male", "male": "male"}


def parse_sex(value: Any) -> str | None:
    """Return ``female`` or ``male``, or None for any other value."""
    return _SEXES.get(str(value).strip().lower())


def parse_number(value: Any) -> float:
    """Return a number with a decimal point or comma, or NaN for any other value."""
    try:
        parsed = float(str(value).strip().replace(",", "."))
    except ValueError:
        return math.nan
    return parsed if math.isfinite(parsed) else math.nan


_DATES = (
    re.compile(r"(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})"),
    re.compile(r"(?P<day>\d{1,2})-(?P<month>\d{1,2})-(?P<year>\d{4})"),
    re.compile(r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"),
    re.compile(r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})"),
)


def parse_birth_year(value: Any) -> float:
    """Return the year of a date in any of the supported formats, or NaN for any other value.

    Only the year is used: it is the same in every format, so that an age computed from it does not
    reveal the format of the date.
    """
    date = str(value).strip().split(" ")[0].split("T")[0]
    for pattern in _DATES:
        match = pattern.fullmatch(date)
        # Day and month are often swapped, so a month above 12 is accepted.
        if match and {int(match["month"]), int(match["day"])} <= set(range(1, 32)):
            return float(match["year"])
    return math.nan
