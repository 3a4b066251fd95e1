"""The image table: one row per image, and how one is made of whatever a caller has."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemafeat._public import public
from hemafeat.images import EXTENSIONS, is_uri, path_of

COLUMNS = (
    "image",
    "label",
    "label_raw",
    "patient",
    "group",
    "split",
    "dataset",
    "um_per_px",
    "mask",
)
"""Columns every image table has, in this order; what follows them are attributes."""

ALIASES = ("image", "path", "file", "filename")
"""Names under which a file may list its images, the first one found counting."""

MANIFEST = "manifest.csv"
"""A folder that holds this file, with a column of images, is the data set it lists."""

TRIMAP_CYTOPLASM = 60
TRIMAP_NUCLEUS = 200
"""Greys above which a pixel of a trimap mask is cell, and nucleus.

One pair serves every mask known here. Clean ones are 0 / 128 / 255 (segmentation_WBC Dataset 1,
drawn cells) or 0 / 155 / 255 (BCCD). Noisy ones (37 of BCCD, Dataset 2) have greys in between: on
the 37, areas change by less than 0.5 % against the pair 50 / 205.
"""

BOOKKEEPING = ["width", "height", "sha256"]
"""Columns of a manifest that describe the files and say nothing about the cells."""

TEXT: Any = "str" if int(pd.__version__.split(".")[0]) >= 3 else object


@public
class DatasetError(ValueError):
    """A data set that is not what it should be; says what was expected and what was found."""


@public
class DatasetWarning(UserWarning):
    """Something in a data set that a user should know of and that stops nothing."""


def as_table(images: Any) -> pd.DataFrame:
    """Make an image table of whatever names images.

    Parameters
    ----------
    images : path, array, sequence of these, or DataFrame
        - a folder: see `from_folder`; one that holds a ``manifest.csv`` is what that lists;
        - a CSV or Parquet file: see `from_csv`;
        - a folder or an image by its URI (``s3://bucket/cells``), listed through fsspec;
        - one image, as a path, URI or array, or a sequence of them;
        - a DataFrame with a column ``image`` (or ``path``, ``file``, ``filename``): paths in it
          are taken as they stand.

    Returns
    -------
    DataFrame
        One row per image, columns `COLUMNS`, then the attributes. Missing values are NA. ``group``
        is never missing: see `group_duplicates`. ``um_per_px`` is float64, the others are text;
        ``image`` holds objects where arrays were given.

    Raises
    ------
    DatasetError
        Nothing there, no column of images, an image listed twice, or a value that makes no sense.
    """
    if isinstance(images, pd.DataFrame):
        return finish(images.copy(), "the table")
    if is_uri(images):
        from hemafeat.datasets._remote import from_uri

        return from_uri(images)
    if isinstance(images, str | os.PathLike):
        path = Path(images)
        if path.is_dir():
            if _lists_images(path / MANIFEST):
                return from_csv(path / MANIFEST)
            return from_folder(path)
        if path.suffix.lower() in _READERS:
            return from_csv(path)
        if not Path(path_of(path)).exists():
            raise DatasetError(f"{path} does not exist: expected a folder, a table or an image")
        return finish(pd.DataFrame({"image": [str(path)]}), str(path))
    if isinstance(images, np.ndarray) and images.dtype.kind in "buif":
        # Four axes are a stack; images of one size are commonly kept so.
        images = list(images) if images.ndim == 4 else [images]
    if isinstance(images, bytes | bytearray):
        images = [images]
    if isinstance(images, Mapping) or not isinstance(images, Iterable):
        raise DatasetError(
            f"cannot make an image table of a {type(images).__name__}: expected a folder, a CSV or "
            "Parquet file, paths, arrays or a DataFrame"
        )
    items = [str(item) if isinstance(item, os.PathLike) else item for item in images]
    column = pd.Series(items, dtype=_image_type(items))
    return finish(pd.DataFrame({"image": column}), "the list of images")


def from_folder(root: str | os.PathLike[str]) -> pd.DataFrame:
    """List the images of a folder and of all folders inside it.

    Every file with the suffix of an image (`hemafeat.images.EXTENSIONS`, any case) is listed, also
    one that cannot be read: reading it will say so. Hidden files and folders are passed over.

    Parameters
    ----------
    root : path
        The folder. Where more than one folder inside it directly holds images, the name of that
        folder is the label of the image. Files below a folder called ``masks`` are no images: one
        is the mask of the image that has its place below a folder ``images`` beside it, whatever
        the suffix.

    Returns
    -------
    DataFrame
        An image table, sorted by path. Identical files share a ``group``.

    Raises
    ------
    DatasetError
        Not a folder, or no image in it.
    """
    root = folder(root)
    files = walk(root)
    if not files:
        raise DatasetError(f"{root} holds no images: found {contents(root)}")
    several = len({file.parent for file in files}) > 1
    labels = [file.parent.name if several else None for file in files]
    table = pd.DataFrame(
        {
            "image": text(str(file) for file in files),
            "label": text(labels),
            "mask": text(_mask_beside(file, root) for file in files),
        }
    )
    return finish(table, str(root))


def from_csv(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read an image table from a CSV, TSV or Parquet file.

    Parameters
    ----------
    path : path
        A file with a column ``image`` (or ``path``, ``file``, ``filename``). Paths of images and
        masks are relative to the folder of this file, or absolute, or URIs. Columns of the image
        table are taken as such (see `COLUMNS`), any other as an attribute. Empty fields are
        missing; the word "NA" is a word. Text is UTF-8.

    Returns
    -------
    DataFrame
        An image table, in the order of the file.

    Raises
    ------
    DatasetError
        Missing or unreadable file, no column of images, no row, an image listed twice, or a value
        that makes no sense.
    """
    path = Path(path)
    table = _read_file(path)
    table = table.rename(columns={_image_column(table, str(path)): "image"})
    if not _is_text(table["image"]):
        raise DatasetError(f"{path}: its column of images holds {table['image'].dtype}, not paths")
    for column in ("image", "mask"):
        if column in table:
            table[column] = text(
                None if pd.isna(name) else _beside(path, str(name)) for name in table[column]
            )
    table = finish(table, str(path))
    if not any(is_uri(name) or os.path.exists(path_of(name)) for name in table["image"]):
        raise DatasetError(
            f"{path} lists {len(table)} images and none of them exists; the first is looked for at "
            f"{table['image'].iloc[0]}"
        )
    return table


# --- What loaders share -----------------------------------------------------------------------


def text(values: Iterable[Any]) -> pd.Series:
    """A column of text in which None and NaN are missing."""
    listed = [np.nan if value is None or value is pd.NA else value for value in values]
    return pd.Series(listed, dtype=TEXT)


def folder(root: str | os.PathLike[str]) -> Path:
    """`root` as a path, or a `DatasetError` that says that it is no folder."""
    root = Path(root)
    if not root.exists():
        raise DatasetError(f"{root} does not exist: expected a folder of images")
    if not root.is_dir():
        raise DatasetError(f"{root} is a file: expected a folder of images")
    return root


def walk(root: Path, suffixes: Sequence[str] = EXTENSIONS, masks: bool = False) -> list[Path]:
    """Files below `root` with one of `suffixes`, sorted by path, whatever the file system's order.

    Hidden entries and, unless `masks`, everything below a folder ``masks`` are left out. Linked
    folders are followed, each once.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for place, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith((".", "__MACOSX")) and (masks or name.lower() != "masks")
        )
        found += [
            Path(place, name)
            for name in files
            if not name.startswith(".") and name.lower().endswith(tuple(suffixes))
        ]
    return sorted(found, key=lambda file: file.relative_to(root).as_posix())


def contents(root: Path, limit: int = 8) -> str:
    """What a folder holds, for a message."""
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in root.iterdir())
    if not names:
        return "an empty folder"
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


# --- Checks -----------------------------------------------------------------------------------


def finish(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Complete an image table: every column in its type and order, checked, groups filled in."""
    from hemafeat.datasets._duplicates import group_duplicates

    table = table.rename(columns={_image_column(table, where): "image"}).reset_index(drop=True)
    if table.empty:
        raise DatasetError(f"{where} lists no images")
    missing = np.flatnonzero([_is_missing(image) for image in table["image"]])
    if missing.size:
        raise DatasetError(f"{where}: no image is named in row {missing[0] + 1}")
    table["image"] = _images(table["image"])
    _check_once(table["image"], where)
    for column in COLUMNS[1:]:
        given = table[column] if column in table else pd.Series([None] * len(table), dtype=object)
        table[column] = _scale(given, where) if column == "um_per_px" else _as_text(given)
    if table["label_raw"].isna().all():
        table["label_raw"] = table["label"]
    attributes = [column for column in table.columns if column not in COLUMNS]
    table = table[[*COLUMNS, *attributes]]
    return group_duplicates(table) if table["group"].isna().any() else table


def _image_column(table: pd.DataFrame, where: str) -> str:
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise DatasetError(f"{where} has two columns called {twice[0]!r}")
    for name in ALIASES:
        if name in table.columns:
            return name
    columns = ", ".join(map(str, table.columns)) or "none"
    raise DatasetError(f"{where} has no column 'image' (or {', '.join(ALIASES[1:])}): {columns}")


def _is_missing(image: Any) -> bool:
    if image is None or image is pd.NA or (isinstance(image, float) and np.isnan(image)):
        return True
    return isinstance(image, str) and not image.strip()


def _image_type(items: Sequence[Any]) -> Any:
    return TEXT if all(isinstance(item, str) for item in items) else object


def _images(column: pd.Series) -> pd.Series:
    items = [str(item) if isinstance(item, os.PathLike) else item for item in column]
    return pd.Series(items, dtype=_image_type(items))


def _check_once(images: pd.Series, where: str) -> None:
    names = pd.Series([image for image in images if isinstance(image, str)], dtype=TEXT)
    twice = names[names.duplicated()]
    if len(twice):
        raise DatasetError(
            f"{where} lists {len(twice)} image(s) more than once, {twice.iloc[0]} for one"
        )


def _scale(column: pd.Series, where: str) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce").astype(np.float64)
    wrong = (numbers.isna() & column.notna()) | (numbers <= 0) | np.isinf(numbers)
    if wrong.any():
        value = column[wrong].iloc[0]
        raise DatasetError(f"{where}: um_per_px is {value!r}, expected micrometres above 0")
    return numbers


def _as_text(column: pd.Series) -> pd.Series:
    return text(None if pd.isna(value) else _word(value) for value in column)


def _word(value: Any) -> str | None:
    # A column of ids with gaps is read as floats: patient 7 must not become "7.0".
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None


def _is_text(column: pd.Series) -> bool:
    return column.dtype == object or pd.api.types.is_string_dtype(column.dtype)


# --- Files ------------------------------------------------------------------------------------


def _read_file(path: Path) -> pd.DataFrame:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DatasetError(f"{path} is not a table: expected {', '.join(_READERS)}")
    if not path.is_file():
        raise DatasetError(f"{path} does not exist" if not path.exists() else f"{path} is a folder")
    try:
        return reader(path)
    except DatasetError:
        raise
    # pandas and pyarrow raise a dozen kinds for files that are not what they say.
    except Exception as problem:
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise DatasetError(f"{path} cannot be read as a table: {reason}") from None


def _read_separated(path: Path, separator: str) -> pd.DataFrame:
    options: dict[str, Any] = {
        "sep": separator,
        "encoding": "utf-8-sig",
        "keep_default_na": False,
        "na_values": [""],
    }
    header = pd.read_csv(path, nrows=0, **options).columns
    as_text = {name: TEXT for name in header if name in {*COLUMNS, *ALIASES} - {"um_per_px"}}
    return pd.read_csv(path, dtype=as_text, **options)


_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": lambda path: _read_separated(path, ","),
    ".tsv": lambda path: _read_separated(path, "\t"),
    ".parquet": pd.read_parquet,
}


def _beside(table: Path, name: str) -> str:
    if is_uri(name):
        return name
    place = table.parent / name
    if "\\" in name and not place.exists():
        # Written on Windows, read elsewhere.
        place = table.parent / name.replace("\\", "/")
    return str(place)


def _lists_images(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        _image_column(_read_file(path).head(0), str(path))
    except DatasetError as problem:
        warnings.warn(f"{problem}; the folder is searched instead", DatasetWarning, stacklevel=3)
        return False
    return True


def _mask_beside(image: Path, root: Path) -> str | None:
    parts = list(image.relative_to(root).parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place].lower() == "images":
            other = Path(root, *parts[:place], "masks", *parts[place + 1 : -1])
            for suffix in (".png", ".bmp", ".tif", ".tiff"):
                if (other / (image.stem + suffix)).is_file():
                    return str(other / (image.stem + suffix))
    if root.name.lower() == "images":
        return _mask_beside(image, root.parent)
    return None
