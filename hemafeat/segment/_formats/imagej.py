"""Read the regions of interest of ImageJ and Fiji, by the library roifile."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from typing import Any

import numpy as np

from hemafeat._archives import check_sizes
from hemafeat._machine import how_to_install
from hemafeat.segment._formats.annotations import MAX_OUTLINES, make_outline
from hemafeat.segment._formats.polygons import Outline
from hemafeat.segment._masks import MaskError

MAX_BYTES = 2**26
"""Largest file that is read, and the most that an archive may inflate to; an outline takes 1 kB."""

_NO_AREA = ("LINE", "FREELINE", "POLYLINE", "ANGLE", "POINT", "NOROI")


def _roifile() -> Any:
    try:
        import roifile
    except ImportError:
        raise MaskError(
            "is a file of ImageJ, which the package roifile reads: "
            + how_to_install("roifile", "rois")
        ) from None
    return roifile


def read_rois(path: str) -> tuple[list[Outline], list[str]]:
    """Read the outlines in a ``.roi`` file, or in a ``.zip`` of them.

    Parameters
    ----------
    path : str
        File that ImageJ wrote (in its ROI Manager: More > Save).

    Returns
    -------
    outlines : list of Outline
        Areas; those whose name says so are nuclei.
    notes : list of str
        What was left out.

    Raises
    ------
    MaskError
        The package roifile is not installed, or the file is damaged or too large.
    """
    if os.stat(path).st_size > MAX_BYTES:
        raise MaskError(f"is larger than {MAX_BYTES >> 20} MiB")
    roifile = _roifile()
    outlines: list[Outline] = []
    n_skipped = 0
    for number, (name, data) in enumerate(_members(path), 1):
        try:
            roi = roifile.ImagejRoi.frombytes(data)
            rings = [np.asarray(ring, np.float64) for ring in roi.coordinates(multi=True)]
        # The library raises many kinds of exceptions for damaged files.
        except Exception as error:
            raise MaskError(f"holds a damaged region, {name[:60]} ({str(error)[:80]})") from None
        rings = [ring for ring in rings if ring.ndim == 2 and len(ring) > 2]
        if roi.roitype.name in _NO_AREA or not rings:
            n_skipped += 1
            continue
        words = [str(roi.name or ""), name]
        outlines.append(make_outline(rings, words, number))
    notes = [f"{n_skipped} regions without an area left out"] if n_skipped else []
    return outlines, notes


def _members(path: str) -> list[tuple[str, bytes]]:
    """Return name and bytes of each region."""
    with open(path, "rb") as file:
        data = file.read(MAX_BYTES)
    if data[:4] == b"Iout":
        return [(os.path.basename(path), data)]
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            check_sizes(archive, len(data))
            members = [m for m in archive.infolist() if m.filename.lower().endswith(".roi")]
            if not members:
                raise MaskError("holds no regions (.roi) of ImageJ")
            if len(members) > MAX_OUTLINES:
                raise MaskError(f"holds more than {MAX_OUTLINES} regions")
            return [(member.filename, archive.read(member)) for member in members]
    except MaskError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise MaskError(f"is not a file of ImageJ, or is damaged ({error})") from None
