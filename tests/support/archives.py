"""Write small archives and files."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path


def make_zip(entries: dict[str, bytes | str]) -> bytes:
    """Return the bytes of a ZIP archive with these entries."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in entries.items():
            archive.writestr(name, body)
    return stream.getvalue()


def write_file(path: Path, data: bytes) -> Path:
    """Write a file and return its path."""
    path.write_bytes(data)
    return path
