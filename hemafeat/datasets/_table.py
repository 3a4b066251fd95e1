"""Make image tables, with one row per image, from folders, files, URIs and arrays."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from hemafeat._csv import with_formulas
from hemafeat._files import read_parquet
from hemafeat._frames import as_frame
from hemafeat._words import no_column
from hemafeat.datasets._finish import finish, image_column, image_type
from hemafeat.datasets._pairing import pair_masks
from hemafeat.datasets._schema import (
    ALIASES,
    COLUMNS,
    NUCLEUS_MASK,
    TEXT,
    DatasetError,
    DatasetWarning,
    contents,
    folder,
    is_skipped_folder,
    text,
    walk,
    warn_left_out,
)
from hemafeat.datasets._tiles import with_tiles
from hemafeat.images import (
    EXTENSIONS,
    ImageError,
    file_system,
    is_large,
    is_uri,
    name_of,
    path_of,
)

MANIFEST = "manifest.csv"
"""Name of the file that lists the images of a folder, if it has a column of images."""


_LABELS = {
    *("class", "classes", "cls", "klass", "target", "y", "labels", "category", "diagnosis"),
    *("type", "cell_type", "celltype", "cell type"),
}
_PATIENTS = {
    *("pat", "patients", "patient_id", "patientid", "patient id", "pid", "subject", "subject_id"),
    *("case", "case_id", "donor", "donor_id"),
}
"""Names, in lower case, under which columns of other tables often hold labels and patients."""


def as_table(images: Any, *, label: str | None = None, patient: str | None = None) -> pd.DataFrame:
    """Make an image table from a folder, a file, paths, arrays or a data frame.

    Parameters
    ----------
    images : path, array, sequence of these, or DataFrame
        - a folder: see `from_folder`; if it holds a ``manifest.csv`` with a column of images, the
          images listed there;
        - a CSV or Parquet file: see `from_csv`;
        - the URI of a folder or an image (``s3://bucket/cells``), listed through fsspec;
        - an image, as a path, URI or array, or a sequence of images;
        - a large image (`hemafeat.images.is_large`) in any of these places, or a level of it
          (``slide.svs#level=1``), which becomes a row for each of its tiles, see `tiles`;
        - a DataFrame with a column ``image`` (or ``path``, ``file``, ``filename``), whose paths are
          used as they are; also one of polars, a Table of pyarrow, a mapping of names to columns,
          or a list of records.
    label, patient : str, optional
        Names of the columns of a DataFrame or file that hold labels and patients, if these are not
        called ``label`` and ``patient``.

    Returns
    -------
    DataFrame
        One row per image, with the columns `COLUMNS` followed by the attributes. Missing values are
        NA; ``group`` is never missing, see `group_duplicates`. ``um_per_px`` is float64, the other
        columns are text; ``image`` has the dtype object if it holds arrays.

    Raises
    ------
    DatasetError
        Raised if there are no images or no column of images, if an image is listed twice, if a
        value is invalid, or if there is no column `label` or `patient`.

    Warns
    -----
    DatasetWarning
        Issued if there is no column ``label`` or ``patient``, but one of a name such as ``class``
        or ``patient_id``.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import datasets
    >>> cells = [datasets.draw_cell(kind, random_state=0).image for kind in datasets.KINDS[:2]]
    >>> table = datasets.as_table(cells)
    >>> table.shape
    (2, 9)
    >>> datasets.as_table([f"{i}.png" for i in range(3)])["group"].tolist()
    ['0.png', '1.png', '2.png']
    >>> listed = {"file": ["7.png", "8.png"], "cls": ["monocyte", "basophil"]}
    >>> datasets.as_table(listed, label="cls")["label"].tolist()
    ['monocyte', 'basophil']
    """
    return with_tiles(_listed(images, label, patient))


def _listed(images: Any, label: str | None, patient: str | None) -> pd.DataFrame:
    """Make an image table in which large images are one row each."""
    images = as_frame(images, DatasetError)
    if isinstance(images, pd.DataFrame):
        return finish(_named(images, "the table", label, patient).copy(), "the table")
    is_file = isinstance(images, str | os.PathLike) and not is_uri(images)
    if (label or patient) and not (
        is_file
        and (Path(images).suffix.lower() in _READERS or _lists_images(Path(images) / MANIFEST))
    ):
        raise DatasetError("label and patient name columns of a table, and the images are none")
    if is_uri(images):
        return from_uri(images)
    if isinstance(images, str | os.PathLike):
        path = Path(images)
        if path.is_dir() and not is_large(path):
            if _lists_images(path / MANIFEST):
                return from_csv(path / MANIFEST, label=label, patient=patient)
            return from_folder(path)
        if path.suffix.lower() in _READERS:
            return from_csv(path, label=label, patient=patient)
        if not Path(path_of(path)).exists():
            raise DatasetError(f"{path} does not exist; expected a folder, a table or an image")
        return finish(pd.DataFrame({"image": text([str(path)])}), path)
    if isinstance(images, np.ndarray) and images.dtype.kind in "buif":
        # An array of four axes is a stack of images.
        images = list(images) if images.ndim == 4 else [images]
    if isinstance(images, bytes | bytearray):
        images = [images]
    if not isinstance(images, Iterable):
        raise DatasetError(
            f"cannot make an image table from a {type(images).__name__}; expected a folder, a CSV "
            "or Parquet file, paths, arrays or a DataFrame"
        )
    items = [name_of(item) if isinstance(item, str | os.PathLike) else item for item in images]
    column = pd.Series(items, dtype=image_type(items))
    return finish(pd.DataFrame({"image": column}), "the list of images")


def _named(
    table: pd.DataFrame, source: object, label: str | None, patient: str | None
) -> pd.DataFrame:
    """Return a table whose columns of labels and patients have these names."""
    for name, given, others in (("label", label, _LABELS), ("patient", patient, _PATIENTS)):
        if given is None:
            alike = [c for c in table.columns if isinstance(c, str) and c.strip().lower() in others]
            if name not in table.columns and alike:
                warnings.warn(
                    f"{source} has no column {name!r}, and {alike[0]!r} is taken for an attribute; "
                    f"if it holds the {name}s, pass {name}={alike[0]!r}",
                    DatasetWarning,
                    stacklevel=4,
                )
        elif given not in table.columns:
            raise DatasetError(f"{name}={given!r}: {no_column(given, table.columns)}")
        elif given != name and name in table.columns:
            raise DatasetError(
                f"{name}={given!r}: {source} has a column {name!r} beside it; rename or remove it"
            )
        else:
            table = table.rename(columns={given: name})
    return table


def from_folder(root: str | os.PathLike[str]) -> pd.DataFrame:
    """List the images of a folder and of all folders inside it.

    Every file with the suffix of an image (`hemafeat.images.EXTENSIONS`, in any case) is listed,
    including files that cannot be read; these raise an error when they are read. Hidden files and
    folders are skipped, and so are folders of systems (``__MACOSX``, ``@eaDir``).

    Parameters
    ----------
    root : path
        Folder of images. If images lie in more than one folder, the name of its folder is the label
        of an image. Files in a folder ``masks`` (or ``mask``, ``labels``, ``ground_truth``,
        ``gt``, ``segmentation``, ``annotations`` or the like) beside a folder ``images`` (or
        ``image``) are not images but their masks, and so are those in any folder ``masks``, and
        files named like an image in the same folder with the ending ``_mask``, ``_cp_masks`` or the
        like; see `mask_finder`. Folders ``cell`` and ``nucleus`` side by side whose files have the
        same names, as ``hemafeat segment`` writes them, are pairs of masks.

    Returns
    -------
    DataFrame
        An image table, sorted by path. Identical files share a ``group``. Where masks are pairs,
        the column ``mask`` names the cells, and a further one, ``nucleus_mask``, the nuclei.

    Raises
    ------
    DatasetError
        Raised if `root` is not a folder, or holds no images or only masks.

    Warns
    -----
    DatasetWarning
        Issued with the numbers of files of other suffixes that may be images (``.heic``, ``.czi``).

    Examples
    --------
    >>> from pathlib import Path
    >>> import cv2
    >>> from hemafeat import datasets
    >>> for kind in ("monocyte", "basophil"):
    ...     Path("cells", kind).mkdir(parents=True)
    ...     cell = datasets.draw_cell(kind, random_state=0)
    ...     _ = cv2.imwrite(f"cells/{kind}/1.png", cell.image[:, :, ::-1])
    >>> datasets.from_folder("cells")[["image", "label"]]
                      image     label
    0  cells/basophil/1.png  basophil
    1  cells/monocyte/1.png  monocyte
    """
    root = folder(root)
    others: list[str] = []
    listed = walk(root, others=others)
    files, masks, nuclei = pair_masks(listed, root)
    if listed and not files:
        raise DatasetError(f"{root} holds masks, not images: give the folder of their images")
    if not files:
        raise DatasetError(f"{root} holds no images; found {contents(root)}")
    warn_left_out(root, others)
    several = len({file.parent for file in files}) > 1
    labels = [file.parent.name if several else None for file in files]
    table = pd.DataFrame(
        {
            "image": text(str(file) for file in files),
            "label": text(labels),
            "mask": text(masks),
        }
    )
    if any(nuclei):
        table[NUCLEUS_MASK] = text(nuclei)
    return finish(table, root)


def from_csv(
    path: str | os.PathLike[str], *, label: str | None = None, patient: str | None = None
) -> pd.DataFrame:
    r"""Read an image table from a CSV, TSV or Parquet file.

    Parameters
    ----------
    path : path
        File with a column ``image`` (or ``path``, ``file``, ``filename``), in UTF-8; masks in
        columns ``mask`` and, if nuclei have files of their own, ``nucleus_mask``. Paths of images
        and masks are relative to the folder of this file, absolute, or URIs. Columns named
        in `COLUMNS` are columns of the image table, others are attributes. Empty fields are
        missing values; the text "NA" is not.
    label, patient : str, optional
        Names of the columns of labels and patients, as in `as_table`.

    Returns
    -------
    DataFrame
        An image table, in the order of the file.

    Raises
    ------
    DatasetError
        Raised if the file is missing or unreadable, if it has no column of images or no rows, if
        an image is listed twice, or if a value is invalid.

    Examples
    --------
    >>> from pathlib import Path
    >>> import cv2
    >>> from hemafeat import datasets
    >>> cv2.imwrite("7.png", datasets.draw_cell("monocyte", random_state=0).image)
    True
    >>> Path("cells.csv").write_text("image,patient,age\n7.png,P1,52\n") > 0
    True
    >>> datasets.from_csv("cells.csv")[["image", "patient", "group", "age"]]
       image patient group  age
    0  7.png      P1    P1   52
    """
    path = Path(path)
    table = _named(read_file(path), path, label, patient)
    table = table.rename(columns={image_column(table, path): "image"})
    dtype = table["image"].dtype
    if not (pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype)):
        raise DatasetError(f"the column of images of {path} holds {dtype}, not paths")
    for column in ("image", "mask", NUCLEUS_MASK):
        if column in table:
            table[column] = text(
                None if pd.isna(name) else _beside(path, str(name)) for name in table[column]
            )
    table = finish(table, path)
    if not any(is_uri(name) or os.path.exists(path_of(name)) for name in table["image"]):
        n, first = len(table), table["image"].iloc[0]
        listed = f"none of the {n} images listed in {path} exists; the first is expected at {first}"
        alone = f"the only image listed in {path} does not exist: {first}"
        raise DatasetError(alone if n == 1 else listed)
    return table


# --- Files ------------------------------------------------------------------------------------


def read_file(path: Path) -> pd.DataFrame:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DatasetError(f"{path} is not a table; expected {', '.join(_READERS)}")
    if not path.is_file():
        raise DatasetError(f"{path} does not exist" if not path.exists() else f"{path} is a folder")
    try:
        return reader(path)
    except DatasetError:
        raise
    # pandas and pyarrow raise many kinds of exceptions for damaged files.
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
    return with_formulas(pd.read_csv(path, dtype=as_text, **options))


_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": lambda path: _read_separated(path, ","),
    ".tsv": lambda path: _read_separated(path, "\t"),
    ".parquet": read_parquet,
}


def _beside(table: Path, name: str) -> str:
    if is_uri(name):
        return name
    path = table.parent / name
    if "\\" in name and not path.exists():
        # Written on Windows, read elsewhere.
        path = table.parent / name.replace("\\", "/")
    return str(path)


def _lists_images(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        image_column(read_file(path).head(0), path)
    except DatasetError as problem:
        warnings.warn(f"{problem}; searching the folder instead", DatasetWarning, stacklevel=3)
        return False
    return True


def from_uri(uri: str) -> pd.DataFrame:
    """List the images of the folder at a URI, or the single image at it.

    As in `from_folder`, hidden files and folders called ``masks`` are skipped, and the name of its
    folder is the label of an image if images lie in more than one folder. Identical files are not
    searched for and masks are not matched, since both would require reading every file.

    Parameters
    ----------
    uri : str
        ``s3://bucket/folder``, ``gs://``, ``az://``, ``abfs://``, ``https://`` (if the server
        lists its folders), ``file://`` or ``memory://``. Other protocols and chains of URIs are
        refused: fsspec knows some that run code.

    Returns
    -------
    DataFrame
        An image table, sorted by path. Its images are URIs.

    Raises
    ------
    DatasetError
        Raised if the URI does not exist, cannot be listed, or has no images.
    """
    try:
        system, root = file_system(path_of(uri))
    except ImageError as problem:
        raise DatasetError(str(problem)) from None
    try:
        if not system.isdir(root):
            if not system.exists(root):
                raise FileNotFoundError("it does not exist")
            return finish(pd.DataFrame({"image": text([uri])}), uri)
        found = sorted(path for path in system.find(root) if _is_listed(path, root))
        paths = [path for path in found if path.lower().endswith(EXTENSIONS)]
        names = [str(system.unstrip_protocol(path)) for path in paths]
    # Each service behind fsspec raises exceptions of its own.
    except Exception as problem:
        raise DatasetError(f"{uri} cannot be listed: {problem or type(problem).__name__}") from None
    if not names:
        raise DatasetError(f"{uri} holds no images")
    warn_left_out(uri, (path for path in found if not path.lower().endswith(EXTENSIONS)))
    folders = [PurePosixPath(path).parent.name for path in paths]
    several = len({PurePosixPath(path).parent for path in paths}) > 1
    labels = folders if several else [None] * len(names)
    return finish(pd.DataFrame({"image": text(names), "label": text(labels)}), uri)


def _is_listed(path: str, root: str) -> bool:
    *folders, name = PurePosixPath(path[len(root) :].strip("/")).parts
    return not name.startswith(".") and not any(is_skipped_folder(part) for part in folders)
