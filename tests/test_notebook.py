"""The notebook of the examples runs, and shows short texts, pictures and bars."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "first_look.ipynb"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What each cell of the notebook has shown: by kind, and the text of its streams."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    folder = tmp_path_factory.mktemp("notebook")
    shutil.copy(EXAMPLE, folder)
    notebook = nbformat.read(EXAMPLE, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(folder)}}
    ).execute()
    shown = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            kinds = {}
            for output in cell.outputs:
                kinds.update(output.get("data", {}))
                kinds["stream"] = kinds.get("stream", "") + output.get("text", "")
            shown.append(kinds)
    return shown


def picture(shown):
    data = np.frombuffer(base64.b64decode(shown["image/png"]), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


@pytest.mark.slow_without_jit
def test_pictures_are_shown(outputs):
    _, _, masks, overlay, _, figure = outputs
    assert masks["text/plain"] == "Masks(1 cells, 120 x 120)"
    drawn = picture(masks)
    assert drawn.shape == (120, 120, 3)
    # The ground, the cytoplasm and the nucleus.
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) == 3
    assert picture(overlay).shape == (120, 120, 3)
    # Black on white, not on the dark ground of a notebook.
    confusion = picture(figure)
    assert confusion.shape[1] > 300
    assert (confusion[0, 0] == 255).all()
    assert (confusion < 100).any()


@pytest.mark.slow_without_jit
def test_a_comparison_is_short(outputs):
    shown = outputs[4]
    lines = shown["text/plain"].splitlines()
    assert lines[0] == "Comparison of 2 models on 36 cells of 2 classes, best first"
    assert len(lines) == 4
    assert lines[2].startswith("logistic")
    assert "balanced accuracy" in lines[1]
    assert "<table" in shown["text/html"]
    assert "Grouped" in shown["text/html"] or "folds" in shown["text/html"]


@pytest.mark.slow_without_jit
def test_bars_are_shown(outputs):
    assert "extract: 100%" in outputs[0]["stream"]
