"""Files that are whole or absent: written aside, then renamed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, then rename it: nobody ever sees half a file."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(aside)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write `frame` as CSV (UTF-8) or Parquet, by the suffix of `path`."""
    if path.suffix.lower() == ".csv":
        write_whole(path, lambda aside: frame.to_csv(aside, index=False, encoding="utf-8"))
    else:
        write_whole(path, lambda aside: frame.to_parquet(aside, index=False))
