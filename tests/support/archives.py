"""Small archives."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path


def zipped(entries: dict[str, bytes | str]) -> bytes:
    """The bytes of a ZIP with these entries."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in entries.items():
            archive.writestr(name, body)
    return stream.getvalue()


def written(path: Path, data: bytes) -> Path:
    """A file with these bytes."""
    path.write_bytes(data)
    return path
