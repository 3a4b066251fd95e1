"""Processes give the same table as threads, and one that dies costs no complete shard."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from hemafeat import extract
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
