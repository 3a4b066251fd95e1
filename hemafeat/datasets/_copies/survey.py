"""Read every image of a table once and record its format, size and background."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd

from hemafeat._machine import n_workers, progress_bar
from hemafeat.datasets._copies.marks import marks_of
from hemafeat.datasets._copies.near_duplicates import SIDE, make_thumbnails
from hemafeat.images import MAX_PIXELS, ImageError, name_of, path_of, read

SURVEY = (
    "image",
    "problem",
    "format",
    "suffix",
    "jfif",
    "bytes",
    "width",
    "height",
    "background_r",
    "background_g",
    "background_b",
    "background",
    "contrast",
    "marks",
    "digest",
    "pixels",
)
"""Columns of a survey."""

_FORMATS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
_SUFFIXES = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "bmp": "BMP", "tif": "TIFF"}
_SUFFIXES |= {"tiff": "TIFF", "dib": "BMP", **dict.fromkeys(("jpe", "jfif", "jpg_large"), "JPEG")}
_CHUNK = 32
_MAX_BYTES = 16 * MAX_PIXELS
"""Larger files are not read at once; `hemafeat.images.read` says that they are too large."""

BACKGROUND = ["background_r", "background_g", "background_b"]

Progress = Callable[[int, int, str], None]


def survey(
    table: pd.DataFrame, *, n_jobs: int | None = None, progress: bool | Progress | None = None
) -> pd.DataFrame:
    """Record format, size and background of every image of a table.

    Parameters
    ----------
    table : DataFrame
        An image table; see `as_table`.
    n_jobs : int, optional
        Number of threads that read images. By default one per processor. The result does not
        depend on it.
    progress : bool or callable, optional
        True shows a progress bar. A callable is called with the numbers of images done and in
        total and an empty string. By default progress is not shown.

    Returns
    -------
    DataFrame
        One row per row of the table: ``image``, its name; ``problem``, the reason why it cannot be
        read, missing for readable images; ``format`` according to the first bytes, ``suffix`` the
        format according to the name; ``jfif``, True if a JPEG has a JFIF header; ``bytes``;
        ``width``, ``height`` in px; ``background_r``, ``background_g``, ``background_b``, the
        median colour of the brighter half of the pixels at the border (of all of them if they are
        dark), ``background``, its mean; ``contrast``, the standard deviation of grey values;
        ``marks``, what has been put on the image: ``drawing`` (text, an arrow), ``bar`` (a scale
        bar) and ``pointer``, separated by spaces, empty if there are none;
        ``digest`` of the file and ``pixels``, that of the decoded image.

    Examples
    --------
    >>> from hemafeat import datasets
    >>> table = datasets.drawn("cells", 2, size=64, background="white")
    >>> datasets.survey(table)[["format", "width", "height"]]
      format  width  height
    0    PNG   64.0    64.0
    1    PNG   64.0    64.0
    """
    return survey_with_thumbnails(table, n_jobs=n_jobs, progress=progress)[0]


def survey_with_thumbnails(
    table: pd.DataFrame,
    *,
    n_jobs: int | None = None,
    progress: bool | Progress | None = None,
    decode: bool = True,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Survey the images of a table and make their thumbnails.

    Parameters
    ----------
    table, n_jobs, progress
        Arguments of `survey`.
    decode : bool
        If False, only what the bytes of the files tell is recorded.

    Returns
    -------
    properties : DataFrame
        Result of `survey`.
    thumbnails : (n, 2, SIDE, SIDE) ndarray of uint8
        Result of `make_thumbnails` for each image; zeros for an image that cannot be read.
    """
    images = list(table["image"])
    n = len(images)
    chunks = [range(start, min(start + _CHUNK, n)) for start in range(0, n, _CHUNK)]
    thumbnails = np.zeros((n, 2, SIDE, SIDE), np.uint8)
    rows: list[dict[str, Any]] = []

    def survey_chunk(chunk: range) -> list[dict[str, Any]]:
        properties = []
        for index in chunk:
            row, small = _survey_image(images[index], decode)
            properties.append(row)
            if small is not None:
                thumbnails[index] = small
        return properties

    with (
        ThreadPoolExecutor(n_workers(n_jobs)) as pool,
        progress_bar(n, "audit", progress=progress is True) as bar,
    ):
        for chunk in pool.map(survey_chunk, chunks):
            rows += chunk
            bar.update(len(chunk))
            if callable(progress):
                progress(len(rows), n, "")
    frame = pd.DataFrame(rows, columns=list(SURVEY))
    numbers = ["bytes", "width", "height", "contrast", *BACKGROUND, "background"]
    frame[numbers] = frame[numbers].astype(np.float64)
    return frame, thumbnails


def _survey_image(image: Any, decode: bool = True) -> tuple[dict[str, Any], np.ndarray | None]:
    row: dict[str, Any] = dict.fromkeys(SURVEY)
    row["image"] = name = name_of(image)
    row["suffix"] = _SUFFIXES.get(_suffix(name)) if isinstance(image, str) else None
    source = image
    path = path_of(image) if isinstance(image, str) and not part_of(image) else ""
    if os.path.isfile(path) and os.path.getsize(path) <= _MAX_BYTES:
        # The file is read once for its header, its digest and its pixels.
        try:
            with open(path, "rb") as file:
                source = data = file.read()
        except OSError:
            data = b""
        row["bytes"] = len(data)
        row["format"] = next((name for magic, name in _FORMATS if data.startswith(magic)), None)
        row["digest"] = hashlib.sha256(data).hexdigest() if data else None
        if row["format"] == "JPEG":
            row["jfif"] = b"JFIF\0" in data[:64]
    if not decode:
        return row, None
    try:
        pixels = read(source)
    except ImageError as problem:
        row["problem"] = problem.reason
        return row, None
    row["height"], row["width"] = pixels.shape[:2]
    row["pixels"] = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    colour = background_colour(pixels)
    row.update(zip(BACKGROUND, map(float, colour), strict=True))
    row["background"] = float(colour.mean())
    small = make_thumbnails(pixels)
    row["contrast"] = float(small[0].std())
    row["marks"] = marks_of(pixels)
    return row, small


def background_colour(image: np.ndarray) -> np.ndarray:
    """Return the colour of the background at the border of an image: (3,) float64, 0 to 255.

    It is the median over the brighter half, by green, of every other pixel of a frame whose width
    is 4 % of the shorter side; cells cut by the border are darker than the background. If the frame
    is dark, all of its pixels count.
    """
    width = max(1, round(0.04 * min(image.shape[:2])))
    sides = (image[:width], image[-width:], image[:, :width], image[:, -width:])
    frame = np.concatenate([side[::2, ::2].reshape(-1, 3) for side in sides])
    green = frame[:, 1]
    middle = np.median(green)
    bright = frame[green >= middle] if middle > 64 else frame
    return np.median(bright, axis=0)


def _suffix(name: str) -> str:
    return path_of(name).rpartition(".")[2].lower()


def part_of(image: str) -> str:
    """Return the end of a name, ``#xywh=...`` or ``#image=...``, that names a part of a file."""
    stem, mark, part = image.rpartition("#")
    return mark + part if mark and path_of(image) == path_of(stem) else ""
