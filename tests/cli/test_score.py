"""``hemafeat score``: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets, segment
from hemafeat.cli import main
from hemafeat.segment import _registry


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Drawn cells with masks, in the folders images and masks."""
    place = tmp_path_factory.mktemp("drawn") / "cells"
    datasets.drawn(place, 6, kinds=["lymphocyte", "neutrophil"], n_patients=3, size=120, n_jobs=1)
    return place


def test_segmenters_are_compared_and_kept(cells, tmp_path, capsys):
    out = tmp_path / "scores"
    words = ["score", str(cells / "images"), "--truth", str(cells / "masks")]
    words += ["--segmenter", "contours", "sobel_watershed", "--n-boot", "20", "-q"]
    assert main([*words, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("6 images, 6 cells")
    assert printed.endswith(f"{out}\n")
    names = {path.name for path in out.iterdir()}
    sheets = {"worst_contours.png", "worst_sobel_watershed.png"}
    tables = {"scores.csv", "cells.csv", "images.csv", "errors.csv", "settings.json"}
    assert names == sheets | tables
    summary = pd.read_csv(out / "scores.csv").set_index("segmenter")
    assert summary.loc["contours", "found"] == 6
    assert summary.loc["contours", "cell_mean"] > 0.95
    assert summary.loc["sobel_watershed", "nucleus_mean"] == 0  # it finds none
    table = datasets.as_table(cells)
    expected = segment.score_images(table, "given", ["contours", "sobel_watershed"], n_boot=20)
    same = ["found", "spurious", "cell_mean", "cell_p5", "nucleus_mean", "cell_boundary"]
    assert np.allclose(summary[same], expected.summary[same])
    # The same settings may be scored again; others replace the result only if that is meant.
    assert main([*words, "--out", str(out)]) == 0
    words[words.index("sobel_watershed")] = "sobel_watershed:inverted"
    capsys.readouterr()
    assert main([*words, "--out", str(out)]) == 2
    assert "--restart to replace it" in capsys.readouterr().err
    assert main([*words, "--out", str(out), "--restart"]) == 0
    assert {path.name for path in out.glob("*.png")} == {
        "worst_contours.png",
        "worst_sobel_watershed_inverted.png",
    }


def test_tables_are_printed_alone(cells, tmp_path, capsys):
    (tmp_path / "broken.png").write_bytes(b"no image")
    listed = datasets.as_table(cells)
    images = [*listed["image"][:2], str(tmp_path / "broken.png")]
    words = ["score", *images, "--truth", "none", "--n-boot", "5"]
    assert main([*words, "--format", "csv"]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert len(lines) == 2
    row = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
    assert (row["images"], row["cells"], row["spurious"]) == ("2", "0", "2")
    assert "1 image with errors; the first is" in printed.err
    assert main([*words, "--format", "json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["spurious_per_image"] == 1
    assert record["cell_mean"] is None


def test_boxes_and_a_mask_for_each_image(cells, tmp_path, capsys):
    listed = datasets.as_table(cells)
    boxes = pd.DataFrame({"path": listed["image"], "x": 60, "y": 60, "label": "wbc"})
    boxes.to_csv(tmp_path / "points.csv", index=False)
    words = ["score", str(cells), "--format", "json", "--n-boot", "5", "--truth"]
    assert main([*words, str(tmp_path / "points.csv")]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["set"], record["found"], record["spurious"]) == ("drawn", 6, 0)
    labels = ["--truth-labels", "none"]
    assert main([*words, str(tmp_path / "points.csv"), *labels]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["cells"], record["spurious"]) == (0, 6)
    assert main([*words, "given"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["cell_mean"] > 0.95
    words[1:2] = listed["image"][:2]
    assert main([*words, *listed["mask"][:2]]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["found"] == 2


def test_nothing_that_fits_is_a_failure(cells, tmp_path, capsys):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "other.png").touch()
    out = tmp_path / "out"
    words = ["score", str(cells / "images"), "--truth", str(tmp_path / "masks"), "--out", str(out)]
    assert main(words) == 1
    printed = capsys.readouterr()
    assert "none of the 6 images has a truth; the first is" in printed.err
    assert printed.out == ""
    assert not out.exists()


def test_a_segmenter_that_never_works_is_a_failure_beside_the_scores_of_others(
    cells, capsys, monkeypatch
):
    def broken(image):
        raise RuntimeError("no licence")

    entry = SimpleNamespace(load=lambda: broken, value="theirs:broken")
    monkeypatch.setattr(_registry, "_entries", lambda: {"broken": entry})
    words = ["score", str(cells), "--truth", "given", "--segmenter", "contours", "broken"]
    assert main([*words, "--format", "csv", "-q"]) == 1
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 3
    assert printed.err.endswith("hemafeat: error: broken failed on every image: no licence\n")
