"""What loaders share: images in class folders, and facts about people as tables write them."""

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
from hemafeat.datasets._finish import finish
from hemafeat.datasets._schema import TEXT, DatasetError, DatasetWarning, folder, text, walk
from hemafeat.images import EXTENSIONS


class Classed(NamedTuple):
    """An image in a class folder: its file, the name as it is known and as the folder has it."""

    file: Path
    known: str
    written: str


def parts_of(file: Path, root: Path) -> list[str]:
    """Names of the folders that hold `file`, from `root`'s own to the innermost."""
    return [root.resolve().name, *file.relative_to(root).parts[:-1]]


def in_class_folders(
    name: str,
    root: Path,
    classes: Iterable[str],
    expected: str,
    suffixes: Sequence[str] = EXTENSIONS,
) -> list[Classed]:
    """Images below `root` whose innermost class folder is one of `classes`, in any case.

    Warns
    -----
    DatasetWarning
        Images are in no class folder; they are left out.

    Raises
    ------
    DatasetError
        None is in one.
    """
    known = {_plain(one): one for one in classes}
    found, left = [], []
    for file in walk(root, suffixes):
        for part in reversed(parts_of(file, root)):
            if _plain(part) in known:
                found.append(Classed(file, known[_plain(part)], part))
                break
        else:
            left.append(file)
    if not found:
        raise wrong_folder(name, root, expected)
    if left:
        warn_left_out(root, left, "in no class folder")
    return found


def class_table(
    name: str,
    root: str | os.PathLike[str],
    labels: Mapping[str, str | None],
    expected: str,
    um_per_px: float | None = None,
    suffixes: Sequence[str] = EXTENSIONS,
) -> tuple[pd.DataFrame, list[Classed], Path]:
    """The table of a data set whose folders are its classes, before `finish`."""
    root = folder(root)
    cells = in_class_folders(name, root, labels, expected, suffixes)
    table = pd.DataFrame(
        {
            "image": text(str(cell.file) for cell in cells),
            "label": text(labels[cell.known] for cell in cells),
            "label_raw": text(cell.written for cell in cells),
            "dataset": text(name for _ in cells),
        }
    )
    if um_per_px is not None:
        table["um_per_px"] = um_per_px
    return table, cells, root


def finished(table: pd.DataFrame, root: Path, attributes: Sequence[str] = ()) -> pd.DataFrame:
    """`finish`, then attributes that are text as such, so that each column has one type."""
    table = finish(table, str(root))
    for column in attributes:
        table[column] = table[column].astype(TEXT)
    return table


def warn_left_out(root: Path, files: Sequence[Path], why: str) -> None:
    """Say that images are left out."""
    first = files[0].relative_to(root).as_posix()
    warnings.warn(
        f"{root}: {len(files)} image(s) are {why} and left out, {first} for one",
        DatasetWarning,
        stacklevel=4,
    )


def table_of(path: Path) -> pd.DataFrame:
    """A CSV file whose fields a comma, a semicolon or a tab parts; all columns are text, stripped.

    Raises
    ------
    DatasetError
        It cannot be read.
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


def columns_of(path: Path, table: pd.DataFrame, wanted: Sequence[str]) -> dict[str, str]:
    """What the columns `wanted` are called in `table`, whatever their case.

    Raises
    ------
    DatasetError
        One is missing.
    """
    names = {_plain(column): column for column in table.columns}
    missing = [column for column in wanted if _plain(column) not in names]
    if missing:
        raise DatasetError(
            f"{path} has no column {missing[0]!r}: expected {', '.join(wanted)}, found "
            f"{', '.join(table.columns)}"
        )
    return {column: names[_plain(column)] for column in wanted}


def _plain(name: str) -> str:
    return " ".join(name.lower().split())


# --- People -----------------------------------------------------------------------------------

_SEXES = {"f": "female", "female": "female", "m": "male", "male": "male"}


def sex(value: Any) -> str | None:
    """``female`` or ``male``, however it is written; None for anything else."""
    return _SEXES.get(str(value).strip().lower())


def number(value: Any) -> float:
    """A number, with a point or a comma; NaN where there is none."""
    try:
        found = float(str(value).strip().replace(",", "."))
    except ValueError:
        return math.nan
    return found if math.isfinite(found) else math.nan


_DATES = (
    re.compile(r"(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})"),
    re.compile(r"(?P<day>\d{1,2})-(?P<month>\d{1,2})-(?P<year>\d{4})"),
    re.compile(r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"),
    re.compile(r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})"),
)


def birth_year(value: Any) -> float:
    """The year of a date in any of the formats in use; NaN where there is none.

    The year is all that is taken: it reads the same in every format, so that an age made of it
    cannot tell which one a date was written in.
    """
    written = str(value).strip().split(" ")[0].split("T")[0]
    for pattern in _DATES:
        found = pattern.fullmatch(written)
        # A month above 12 is a day: the two are often swapped, and the year is not.
        if found and {int(found["month"]), int(found["day"])} <= set(range(1, 32)):
            return float(found["year"])
    return math.nan
