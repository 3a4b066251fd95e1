"""Bounds on what ZIP archives of models may hold, checked before anything is inflated."""

from __future__ import annotations

import io
import zipfile

FREE_BYTES = 2**26
"""Size, in bytes, to which an archive of any size may inflate."""

MAX_RATIO = 50
"""Largest ratio of inflated to packed size of larger archives; models reach about 10."""

_MAX_DEPTH = 3
"""Deepest nesting of archives in archives: arrays in a pipeline in a model."""

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Methods of compression whose inflation zipfile bounds by the declared size."""


def check_sizes(archive: zipfile.ZipFile, packed: int, depth: int = 0) -> None:
    """Refuse an archive that would inflate to far more than its size, also one within another.

    Parameters
    ----------
    archive : zipfile.ZipFile
        The archive; only the heads of its members, and archives in it, are read.
    packed : int
        Size of the whole file, in bytes.
    depth : int
        Number of archives round this one.

    Raises
    ------
    ValueError
        If it inflates to more than `MAX_RATIO` times its size (and `FREE_BYTES`), is compressed by
        an unusual method, or holds too many archives in each other.
    """
    members = archive.infolist()
    inflated = sum(member.file_size for member in members)
    if inflated > max(FREE_BYTES, MAX_RATIO * packed):
        raise ValueError(
            f"it would inflate to {inflated / 2**20:.0f} MiB, {inflated / max(packed, 1):.0f} "
            "times its size"
        )
    for member in members:
        if member.compress_type not in _METHODS:
            raise ValueError(f"{member.filename} is compressed by an unknown method")
        with archive.open(member) as file:
            is_archive = file.read(4) == b"PK\x03\x04"
        if is_archive:
            if depth == _MAX_DEPTH:
                raise ValueError("it holds too many archives in each other")
            with zipfile.ZipFile(io.BytesIO(archive.read(member))) as inner:
                check_sizes(inner, packed, depth + 1)
