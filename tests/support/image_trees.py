"""Write small folders of images and check image tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from hemafeat import datasets
from support.bad_files import encoded, picture


def put(root: Path, *names: str) -> list[str]:
    """Write a different small image under each name and return the paths as text."""
    paths = []
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # The pixels depend on the name only.
        seed = sum(ord(character) * 31**index for index, character in enumerate(name))
        path.write_bytes(encoded(picture(8, 8, seed=seed), "PNG"))
        paths.append(str(path))
    return paths


def check(table: pd.DataFrame) -> None:
    """Check columns, types and groups of an image table."""
    assert tuple(table.columns[: len(datasets.COLUMNS)]) == datasets.COLUMNS
    assert isinstance(table.index, pd.RangeIndex)
    assert table["um_per_px"].dtype == np.float64
    assert table["group"].notna().all()
    for column in set(datasets.COLUMNS) - {"image", "um_per_px"}:
        assert all(isinstance(value, str) for value in table[column].dropna()), column
