"""Folders that are not on this machine: whatever fsspec can list."""

from __future__ import annotations

from pathlib import PurePosixPath

import pandas as pd

from hemafeat.datasets._table import DatasetError, finish, text
from hemafeat.images import EXTENSIONS, path_of


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
