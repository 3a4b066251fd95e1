"""Fixtures every test file may use."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

# Each test compiles what it needs: a few kernels, not those of all families.
os.environ.setdefault("HEMAFEAT_COMPILE_AHEAD", "0")


def pytest_collection_finish() -> None:
    """Take what importing has made out of garbage collection, which else looks through it again.

    The compilation of kernels and networks makes millions of objects, and a tenth of its time went
    to looking for cycles among modules and syntax trees that stay.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _data_root() -> Path | None:
    for place in (os.environ.get("HEMAFEAT_DATA"), Path(__file__).parents[2] / "shared" / "data"):
        if place and (Path(place) / "segwbc_d1").is_dir():
            return Path(place)
    return None


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real cells, or a visible skip."""
    root = _data_root()
    if root is None:
        pytest.skip("real cells: neither HEMAFEAT_DATA nor ../shared/data holds them")
    return root
