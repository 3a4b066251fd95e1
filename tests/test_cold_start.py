"""The first call on a machine: kernels without a place for their cache, and a cache for two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# What compiles in little time; every family goes through `regions`.
MEASURE = """
import json, sys
import numpy as np
from hemafeat import extract
image = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
rows, columns = np.mgrid[:40, :40]
labels = (np.hypot(rows - 20, columns - 18) < 12).astype(np.int32)
codes = extract.lbp_codes(image[:, :, 0].copy(), 16, 2)
boxes = extract.Prepared(image).regions(labels, 1).boxes
from hemafeat.extract._kernels.regions import find_runs
cache = type(getattr(find_runs, "_cache", None)).__name__
json.dump({"codes": codes.tolist(), "boxes": boxes.tolist(), "cache": cache}, sys.stdout)
"""

NOT_ASKED_FOR = {"glcm", "dct", "shape", "colour", "rays", "hull", "contour"}

compiled = pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"), reason="nothing is compiled"
)


def started(code: str, **environment: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if name != "EAGER_IMPORT"}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=kept | environment,
    )


def result(process: subprocess.Popen[str]) -> dict | list:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return json.loads(out)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    """What one process gives that finds an empty cache, and the cache it leaves."""
    cache = tmp_path_factory.mktemp("cache")
    return result(started(MEASURE, NUMBA_CACHE_DIR=str(cache))), cache


@compiled
def test_nowhere_to_write_a_cache(alone: tuple[dict, Path]) -> None:
    """Neither package nor home can be written, as in a container: kernels are compiled in memory.

    numba is told so for every folder it asks about: permissions do not stop the superuser.
    """
    refuse = """
import numba.core.caching as caching
def refuse(self): raise OSError("read-only file system")
caching._CacheLocator.ensure_cache_path = refuse
"""
    found = result(started(refuse + MEASURE))
    assert alone[0]["cache"] == "FunctionCache"
    assert found == alone[0] | {"cache": "NullCache"}


@compiled
def test_a_cache_folder_that_cannot_be_made(alone: tuple[dict, Path], tmp_path: Path) -> None:
    """A wrong NUMBA_CACHE_DIR costs at most the cache. (Nobody makes a folder below a file.)"""
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    found = result(started(MEASURE, NUMBA_CACHE_DIR=str(blocked / "cache")))
    assert found | {"cache": ""} == alone[0] | {"cache": ""}


@compiled
def test_two_processes_fill_one_cache_at_once(alone: tuple[dict, Path], tmp_path: Path) -> None:
    both = [started(MEASURE, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2)]
    assert [result(process) for process in both] == [alone[0]] * 2
    # What they left is whole: a third one can use it.
    assert result(started(MEASURE, NUMBA_CACHE_DIR=str(tmp_path))) == alone[0]
    left = {path.name for path in tmp_path.rglob("*.nbi")}
    assert left == {path.name for path in alone[1].rglob("*.nbi")}


@compiled
def test_kernels_nobody_asked_for_are_not_compiled(alone: tuple[dict, Path]) -> None:
    modules = {path.name.split(".")[0] for path in alone[1].rglob("*.nbc")}
    assert {"regions", "lbp"} <= modules
    assert not modules & NOT_ASKED_FOR


def test_families_nobody_asked_for_are_not_loaded() -> None:
    code = """
import json, sys
from hemafeat import extract
extract.lbp_codes
json.dump([name for name in sys.modules if name.startswith("hemafeat.extract._")], sys.stdout)
"""
    loaded = set(result(started(code)))
    assert "hemafeat.extract._lbp" in loaded
    for name in NOT_ASKED_FOR:
        assert not loaded & {f"hemafeat.extract._{name}", f"hemafeat.extract._kernels.{name}"}
