"""The image table: one row per image, and how one is made of whatever a caller has."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from hemafeat.datasets._finish import finish, image_column, image_type
from hemafeat.datasets._schema import (
    ALIASES,
    COLUMNS,
    TEXT,
    DatasetError,
    DatasetWarning,
    contents,
    folder,
    text,
    walk,
)
from hemafeat.images import EXTENSIONS, is_uri, path_of

MANIFEST = "manifest.csv"
"""A folder that holds this file, with a column of images, is the data set it lists."""


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
    column = pd.Series(items, dtype=image_type(items))
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
    table = table.rename(columns={image_column(table, str(path)): "image"})
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


# --- Checks -----------------------------------------------------------------------------------


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
        image_column(_read_file(path).head(0), str(path))
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


def from_uri(uri: str) -> pd.DataFrame:
    """List the images of a folder by its URI, or the one image it names.

    As in `from_folder`, hidden files and folders called ``masks`` are passed over, and the folder
    is the label where images lie in more than one. Identical files are not looked for, and masks
    are not matched: both would mean to read everything.

    Parameters
    ----------
    uri : str
        ``s3://bucket/folder``, ``gs://``, ``https://`` (where the server lists its folders),
        ``file://``, ``memory://`` ...: what fsspec and the packages beside it can open.

    Returns
    -------
    DataFrame
        An image table, sorted by path. Its images are URIs.

    Raises
    ------
    DatasetError
        Nothing is there, it cannot be listed, or it holds no image.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise DatasetError(
            f"{uri} is a URI, which needs fsspec: pip install 'hemafeat[cluster]'"
        ) from None
    try:
        system, root = url_to_fs(path_of(uri))
        if not system.isdir(root):
            if not system.exists(root):
                raise FileNotFoundError("it does not exist")
            return finish(pd.DataFrame({"image": text([uri])}), uri)
        found = sorted(path for path in system.find(root) if _is_image(path, root))
        names = [str(system.unstrip_protocol(path)) for path in found]
    # Each service has errors of its own.
    except Exception as problem:
        raise DatasetError(f"{uri} cannot be listed: {problem or type(problem).__name__}") from None
    if not names:
        raise DatasetError(f"{uri} holds no images")
    folders = [PurePosixPath(path).parent.name for path in found]
    several = len({PurePosixPath(path).parent for path in found}) > 1
    labels = folders if several else [None] * len(names)
    return finish(pd.DataFrame({"image": text(names), "label": text(labels)}), uri)


def _is_image(path: str, root: str) -> bool:
    inside = PurePosixPath(path[len(root) :]).parts
    passed_over = any(
        part.startswith((".", "__MACOSX")) or part.lower() == "masks" for part in inside
    )
    return path.lower().endswith(EXTENSIONS) and not passed_over
