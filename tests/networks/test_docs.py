"""The code of the guide on networks runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.networks

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "networks.md"


def test_networks_of_the_page_run(tmp_path, monkeypatch):
    pytest.importorskip("keras", minversion="3", reason="the extra 'deep' is not installed")
    from hemafeat import datasets

    monkeypatch.chdir(tmp_path)
    kinds = ["lymphocyte", "neutrophil"]
    datasets.drawn("cells", 24, kinds=kinds, n_patients=6, size=96, random_state=0)
    text = PAGE.read_text("utf-8")
    blocks = re.findall(r"^```py(?:thon)?\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert {"curves.png", "where.png"} <= {path.name for path in tmp_path.iterdir()}
    assert names["maps"].shape == (4, 32, 32)
