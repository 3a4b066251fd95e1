"""Processes give the same table as threads, and one that dies costs no complete shard."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from hemafeat import extract
from hemafeat.extract._table import threads as _threads
from hemafeat.extract._table.run import Run
from hemafeat.extract._table.shard import ShardMaker
from support.shard_work import DEADLY, deadly_disc, disc, noise

FAMILIES = ["shape"]


def test_the_table_is_that_of_threads(tmp_path: Path) -> None:
    listed = noise(tmp_path / "images", 40)
    expected = extract.table(listed, segmenter=disc, families=FAMILIES, n_jobs=2)
    settings = {"segmenter": disc, "families": FAMILIES, "n_jobs": 2, "processes": True}
    for table in (
        extract.table(listed, **settings),
        extract.table(listed, **settings, out=tmp_path / "out", shard_size=16),
    ):
        pd.testing.assert_frame_equal(table, expected, check_exact=True)
        pd.testing.assert_frame_equal(extract.errors(table), extract.errors(expected))


def test_a_killed_process_is_one_error_and_the_next_call_resumes(tmp_path: Path) -> None:
    listed = noise(tmp_path / "images", 40)
    last = listed["image"].iloc[-1]
    data = Path(last).read_bytes()
    cv2.imwrite(last, np.full((24, 24, 3), DEADLY, np.uint8))
    settings = {"families": FAMILIES, "n_jobs": 2, "shard_size": 4, "segmenter": deadly_disc}
    with pytest.raises(RuntimeError, match="was killed"):
        extract.stream(listed, tmp_path / "out", **settings, processes=True)
    assert not list((tmp_path / "out").rglob("*.part"))
    Path(last).write_bytes(data)
    result = extract.stream(listed, tmp_path / "out", **settings)
    assert 0 < result.n_kept < result.n_shards
    expected = extract.table(listed, segmenter=deadly_disc, families=FAMILIES)
    pd.testing.assert_frame_equal(result.load(), expected, check_exact=True)


def decision(images, n_jobs: int = 2, **settings) -> bool:
    """Return whether processes would measure all of these images."""
    run = Run(images, families=FAMILIES, n_jobs=n_jobs, **settings)
    return _threads.uses_processes(run, ShardMaker.of(run), len(run))


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """List 10 images, from which processes pay off on a machine with a cache and memory."""
    monkeypatch.setattr(_threads, "PROCESSES_FROM", 10)
    monkeypatch.setattr(_threads, "free_memory", lambda: 1e9)
    monkeypatch.setattr(_threads, "find_runs", _Cached())
    monkeypatch.setattr(sys, "platform", "linux")
    return noise(tmp_path / "images", 10)


class _Cached:
    class _cache:
        cache_path = "cache"


def test_what_is_sent_is_packed_once_to_see_that_it_can_be(few, monkeypatch):
    packed = []
    monkeypatch.setattr(_threads, "_is_importable", lambda maker: packed.append(maker) or True)
    table = extract.table(few, segmenter=disc, families=FAMILIES, n_jobs=2)
    assert len(packed) == 1
    assert len(table)


def test_processes_are_used_where_they_pay_off(few, monkeypatch):
    assert decision(few)
    assert decision(few, processes=True)
    assert decision(few.iloc[:9], processes=True)
    assert decision(few, segmenter=disc)
    assert not decision(few.iloc[:9])
    assert not decision(few, processes=False)
    assert not decision(few, n_jobs=1)
    assert not decision(few, n_jobs=1, processes=True)
    # What is in memory would have to be sent.
    arrays = [np.zeros((20, 20, 3), np.uint8)] * 10
    assert not decision(arrays)
    assert not decision(few, masks=[np.ones((20, 20), int)] * 10)


def test_threads_are_used_where_processes_could_not_start_or_would_not_help(few, monkeypatch):
    here = lambda image: None  # noqa: E731  (it has no name to import it by)
    assert not decision(few, segmenter=here)
    disc_of_script = type(disc)(disc.__code__, globals(), "disc")
    disc_of_script.__module__ = "__main__"
    monkeypatch.setattr(sys.modules["__main__"], "disc", disc_of_script, raising=False)
    assert not decision(few, segmenter=disc_of_script)
    for name, value in (
        ("free_memory", lambda: 0.7e9),
        ("find_runs", None),
        ("parent_process", lambda: 1),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(_threads, name, value)
            assert not decision(few)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not decision(few)


def test_processes_do_not_run_the_script_of_the_caller(tmp_path: Path) -> None:
    noise(tmp_path / "images", 10)
    script = tmp_path / "script.py"
    script.write_text(
        """
import sys
from hemafeat import extract
from support.shard_work import disc
print("started", flush=True)
settings = {"segmenter": disc, "families": ["shape"], "n_jobs": 2}
a, b = (extract.table(sys.argv[1], **settings, processes=how) for how in (True, False))
assert a.equals(b) and len(a) > 0
assert sys.modules["__main__"].__file__ == sys.argv[0]
""",
        "utf-8",
    )
    run = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "images")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("started") == 1
