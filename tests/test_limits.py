"""Limits and promises: each names tests that exist, and the bounds are those of the code."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hemafeat import datasets, extract, images, report, segment
from hemafeat._archives import FREE_BYTES, MAX_RATIO
from hemafeat._scale import LARGEST, SMALLEST, WIDEST
from hemafeat.datasets._download.unpack import MAX_RATIO as MAX_GROWTH
from hemafeat.datasets._tiles import SIZE
from hemafeat.evaluate._importance import BUDGET
from hemafeat.extract._labels import MOST_CELLS
from hemafeat.extract._table.threads import PROCESSES_FROM

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "limits.md").read_text("utf-8")


def test_every_promise_names_tests_that_exist():
    tables = re.findall(r"^\|.* kept by \|\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    rows = [line for table in tables for line in table.splitlines()]
    assert len(tables) == 5
    assert len(rows) > 30
    for row in rows:
        named = re.findall(r"`([^`]+)`", row.rsplit(" | ", 1)[1])
        assert named, row
        for name in named:
            assert name.startswith("tests/"), row
            assert "def test_" in (ROOT / name).read_text("utf-8"), row


@pytest.mark.parametrize(
    ("words", "bound"),
    [
        ("{} x {} px, checked", (images.MAX_PIXELS**0.5,) * 2),
        ("tiles of {} px", (SIZE,)),
        ("| {}, or as many as it has pixels", (MOST_CELLS,)),
        ("more than {} um is an error", (WIDEST,)),
        ("below {} and above {} um", (SMALLEST, LARGEST)),
        ("inflate to {} MiB, or {} times", (FREE_BYTES / 2**20, MAX_RATIO)),
        ("grow to {} times its size", (MAX_GROWTH,)),
        ("| {} for each model", (BUDGET,)),
        ("from {} images", (PROCESSES_FROM,)),
        (
            "| {}, drawn at random",
            (inspect.signature(report.explore).parameters["n_cells"].default,),
        ),
    ],
)
def test_the_bounds_are_those_of_the_code(words, bound):
    pattern = re.escape(words).replace(r"\{\}", r"([\d.,]*\d)")
    (found,) = re.findall(pattern, PAGE)
    stated = [found] if isinstance(found, str) else list(found)
    assert [float(number.replace(",", "")) for number in stated] == [float(n) for n in bound]


def test_more_cells_than_an_image_may_have_are_refused():
    labels = np.zeros((20, 20), np.int64)
    labels[5:9, 5:9] = MOST_CELLS + 1
    with pytest.raises(segment.MaskError, match="65536"):
        extract.shape(np.zeros((20, 20, 3), np.uint8), labels)


MEASURE = """
import locale, sys
from hemafeat import extract
locale.setlocale(locale.LC_ALL, "")
extract.table(sys.argv[1], masks=sys.argv[2], families=["relation"], out=sys.argv[3], n_jobs=1)
"""


@pytest.mark.slow_without_jit
@pytest.mark.skipif(os.name == "nt", reason="file names are Unicode whatever the locale")
def test_the_locale_changes_no_byte(tmp_path):
    import cv2

    cell = datasets.draw_cell("monocyte", size=120, random_state=0)
    for place, array in (("cells/Größe", cell.image), ("masks/cell", cell.cell)):
        (tmp_path / place).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / place / "é.png"), array.astype(np.uint8))
    cv2.imwrite(str(tmp_path / "é.png"), cell.nucleus.astype(np.uint8))
    (tmp_path / "masks" / "nucleus").mkdir()
    (tmp_path / "é.png").rename(tmp_path / "masks" / "nucleus" / "é.png")
    written = []
    for name in ("C", "C.UTF-8"):
        command = [sys.executable, "-c", MEASURE, "cells", "masks", f"{name}.csv"]
        done = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, "LC_ALL": name}, capture_output=True
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        written.append((tmp_path / f"{name}.csv").read_bytes())
    assert written[0] == written[1]
    assert "Größe" in written[0].decode()
    assert len(extract.errors(extract.load(tmp_path / "C.csv"))) == 0
