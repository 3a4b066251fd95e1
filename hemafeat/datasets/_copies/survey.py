"""One pass over the files of a table: what each is, how large, on what background."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd

from hemafeat.datasets._copies.near_duplicates import SIDE, thumbnails_of
from hemafeat.images import ImageError, name_of, path_of, read

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
_SUFFIXES["tiff"] = "TIFF"
_PART = 32

Progress = Callable[[int, int, str], None]


def survey(
    table: pd.DataFrame, *, n_jobs: int | None = None, progress: bool | Progress | None = None
) -> tuple[pd.DataFrame, np.ndarray]:
    """Look at every image of a table once.

    Parameters
    ----------
    table : DataFrame
        An image table.
    n_jobs : int, optional
        Threads; by default as many as processors. The result does not depend on it.
    progress : bool or callable, optional
        True: a bar. A callable gets ``(done, total, what)``.

    Returns
    -------
    found : DataFrame
        One row per row of the table, columns `SURVEY`: ``problem``, why it cannot be read (missing
        where it can); ``format`` by its first bytes, ``suffix`` the format its name promises;
        ``jfif``, whether a JPEG has a JFIF header; ``bytes``; ``width, height`` px;
        ``background_r, _g, _b``, medians of the brighter half of the outermost pixels (of
        all, where they are dark), ``background`` their mean; ``contrast``, standard deviation of
        grey; ``digest`` of the file and ``pixels`` of what it shows, text.
    thumbnails : (n, 2, SIDE, SIDE) ndarray of uint8
        See `thumbnails_of`; zeros for an image that cannot be read.
    """
    images = list(table["image"])
    parts = [range(s, min(s + _PART, len(images))) for s in range(0, len(images), _PART)]
    thumbnails = np.zeros((len(images), 2, SIDE, SIDE), np.uint8)
    rows: list[dict[str, Any]] = []
    report = _reporter(progress, len(images))

    def look(part: range) -> list[dict[str, Any]]:
        found = []
        for place in part:
            row, small = _look(images[place])
            found.append(row)
            if small is not None:
                thumbnails[place] = small
        return found

    with ThreadPoolExecutor(n_jobs or _processors()) as pool:
        for found in pool.map(look, parts):
            rows += found
            report(len(rows), len(images), "")
    frame = pd.DataFrame(rows, columns=list(SURVEY))
    numbers = ["bytes", "width", "height", "contrast", *BACKGROUND, "background"]
    frame[numbers] = frame[numbers].astype(np.float64)
    return frame, thumbnails


BACKGROUND = ["background_r", "background_g", "background_b"]


def _look(image: Any) -> tuple[dict[str, Any], np.ndarray | None]:
    row: dict[str, Any] = dict.fromkeys(SURVEY)
    row["image"] = name = name_of(image)
    row["suffix"] = _SUFFIXES.get(_suffix(name)) if isinstance(image, str) else None
    source = image
    if isinstance(image, str) and os.path.isfile(image):
        # Read once: for its header, its digest and its pixels.
        try:
            with open(image, "rb") as file:
                source = data = file.read()
        except OSError:
            data = b""
        row["bytes"] = len(data)
        row["format"] = next((k for magic, k in _FORMATS if data.startswith(magic)), None)
        row["digest"] = hashlib.sha256(data).hexdigest() if data else None
        if row["format"] == "JPEG":
            row["jfif"] = b"JFIF\0" in data[:64]
    try:
        pixels = read(source)
    except ImageError as problem:
        row["problem"] = problem.reason
        return row, None
    row["height"], row["width"] = pixels.shape[:2]
    row["pixels"] = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    colour = background(pixels)
    row.update(zip(BACKGROUND, map(float, colour), strict=True))
    row["background"] = float(colour.mean())
    small = thumbnails_of(pixels)
    row["contrast"] = float(small[0].std())
    return row, small


def background(image: np.ndarray) -> np.ndarray:
    """Colour of what surrounds a cell: (3,) float64, 0 to 255.

    The median of the brighter half, by green, of a frame of 4 % of the shorter side, every other
    pixel: cells that the edge cuts are darker than the empty field. On a dark ground the median of
    all of the frame.
    """
    edge = max(1, round(0.04 * min(image.shape[:2])))
    sides = (image[:edge], image[-edge:], image[:, :edge], image[:, -edge:])
    frame = np.concatenate([side[::2, ::2].reshape(-1, 3) for side in sides])
    green = frame[:, 1]
    middle = np.median(green)
    bright = frame[green >= middle] if middle > 64 else frame
    return np.median(bright, axis=0)


def stem_of(name: str) -> str:
    """The name of an image without folders and suffix."""
    base = re.split(r"[\\/]", path_of(name))[-1]
    return base.rpartition(".")[0] or base


def _suffix(name: str) -> str:
    return path_of(name).rpartition(".")[2].lower()


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _reporter(progress: bool | Progress | None, total: int) -> Progress:
    if callable(progress):
        return progress
    if not progress:
        return lambda done, total, what: None
    from tqdm.auto import tqdm

    bar = tqdm(total=total, desc="audit", unit="image")

    def show(done: int, total: int, what: str) -> None:
        bar.update(done - bar.n)
        if done == total:
            bar.close()

    return show
