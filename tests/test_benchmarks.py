"""Every benchmark runs, at its smallest size; what it measures is not looked at here."""

from __future__ import annotations

import runpy
from pathlib import Path

import pandas as pd
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def smallest(tmp_path: Path) -> dict[str, list[str]]:
    return {
        "extraction.py": ["--limit", "2", "--jobs", "2"],
        "segmentation.py": ["--out", str(tmp_path / "out"), "--drawn", "1"],
    }


def test_none_is_left_out(smallest: dict[str, list[str]]) -> None:
    assert {path.name for path in BENCHMARKS.glob("*.py")} == set(smallest)


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("name", ["extraction.py", "segmentation.py"])
def test_runs(
    name: str,
    smallest: dict[str, list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    runpy.run_path(str(BENCHMARKS / name))["main"](smallest[name])
    printed = capsys.readouterr().out
    if name == "extraction.py":
        assert "segment.contours" in printed
        assert "extract.lbp" in printed
        assert "2 images, 2 thread(s)" in printed
    else:
        scores = pd.read_csv(tmp_path / "out" / "scores.csv")
        assert {"drawn cream", "drawn black", "fields white"} <= set(scores["set"])
        assert scores["cell_mean"].notna().all()
        assert list((tmp_path / "out").glob("worst_*.png"))
