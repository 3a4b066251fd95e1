"""Open large images of any kind."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from hemafeat.images._formats import MAX_PIXELS, Unreadable
from hemafeat.images._large.slide import Slide
from hemafeat.images._names import only_image_errors, path_of

SLIDES = (
    *(".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".svslide", ".bif"),
)  # fmt: skip
"""Suffixes, in lower case, of the files of slide scanners."""

_TIFF = (".tif", ".tiff")

_local = threading.local()


def is_large(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is read in tiles: an image that is too large to be read whole.

    Parameters
    ----------
    path : path
        Local file or folder.

    Returns
    -------
    bool
        True for a TIFF file (OME-TIFF, BigTIFF) of more than `MAX_PIXELS` pixels, the folder of an
        OME-Zarr image, and the files of slide scanners. The content is not checked otherwise.

    Examples
    --------
    >>> from hemafeat import images
    >>> images.is_large("slide.svs"), images.is_large("cells/a.png")
    (True, False)
    """
    name = os.fsdecode(path)
    suffix = os.path.splitext(name)[1].lower()
    if suffix in SLIDES:
        return True
    if suffix == ".zarr":
        return Path(name).is_dir()
    if suffix not in _TIFF:
        return False
    from hemafeat.images._large.tiff import size_of

    width, height = size_of(name)
    return width * height > MAX_PIXELS


def open_slide(path: str | os.PathLike[str]) -> Slide:
    """Open a large image: a TIFF file, an OME-Zarr image, or the file of a slide scanner.

    Nothing of its picture is read yet. `read` reads tiles of it (`Tile`) and whole levels
    (``slide.svs#level=2``).

    Parameters
    ----------
    path : path
        Local file, or the folder of an OME-Zarr image. TIFF files are tiled or in strips, of 8 bits
        or of 16 of which the file states how many are used, grey or RGB, with levels in
        sub-directories (OME-TIFF) or in pages. OME-Zarr needs the package zarr, scanners
        (``.svs``, ``.ndpi``, ``.mrxs``) need OpenSlide (extra ``slides``).

    Returns
    -------
    Slide

    Raises
    ------
    ImageError
        Raised if the file is missing, damaged or truncated, holds anything else than one bright-
        field picture, or needs a package that is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> import tifffile
    >>> from hemafeat import images
    >>> glass = np.full((1024, 2048, 3), 235, np.uint8)
    >>> tifffile.imwrite("slide.ome.tif", glass, tile=(256, 256), photometric="rgb",
    ...                  metadata={"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25})
    >>> images.open_slide("slide.ome.tif").levels
    (Level(width=2048, height=1024, um_per_px=0.25),)
    """
    with only_image_errors(path):
        return find_slide(path_of(path))


def find_slide(path: str) -> Slide:
    """Open a large image, once in each thread while it is the last one; raise `Unreadable`."""
    try:
        state = os.stat(path)
    except OSError as problem:
        missing = isinstance(problem, FileNotFoundError)
        raise Unreadable("does not exist" if missing else f"cannot be read: {problem}") from None
    key = (path, state.st_mtime_ns, state.st_size)
    if getattr(_local, "key", None) != key:
        _local.key = None
        _local.slide = _open(path)
        _local.key = key
    slide: Slide = _local.slide
    return slide


def _open(path: str) -> Slide:
    suffix = os.path.splitext(path)[1].lower()
    if os.path.isdir(path):
        from hemafeat.images._large.zarr import ZarrSlide

        return ZarrSlide(path)
    if suffix in SLIDES:
        from hemafeat.images._large.openslide import ScannerSlide

        return ScannerSlide(path)
    from hemafeat.images._large.tiff import TiffSlide

    return TiffSlide(path)
