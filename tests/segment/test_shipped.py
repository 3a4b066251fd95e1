"""The weights that come with the package: complete, run by OpenCV alone, and accurate."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets, images, segment
from hemafeat.segment import Masks
from hemafeat.segment._unet import tiles as _tiles

KERAS = _tiles.UNET_WEIGHTS.with_suffix(".keras")
CARD = _tiles.UNET_WEIGHTS.with_suffix(".md")

pytestmark = pytest.mark.slow_without_jit


@pytest.fixture(autouse=True)
def _shipped(monkeypatch):
    monkeypatch.delenv(_tiles.VARIABLE, raising=False)


def scores_of_each(fields):
    """Score each segmenter, with one row per true cell."""
    scores = {}
    for how in ("contours", "unet", "best"):
        find = segment.segmenter(how)
        scores[how] = pd.concat([segment.score(find(image), truth) for image, truth in fields])
    return scores


def test_the_weights_are_small_and_have_a_card():
    assert _tiles.UNET_WEIGHTS.stat().st_size < 2e6
    assert KERAS.stat().st_size < 2e6
    card = CARD.read_text("utf-8")
    for word in ("BCCD", "MIT", "CC BY 4.0", "segwbc_d1", "train_segmenter"):
        assert word in card


@pytest.mark.parametrize("kind", ["neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil"])
def test_drawn_cells_of_every_kind_are_outlined(kind):
    drawn = datasets.draw_cell(kind, random_state=20)
    scores = segment.score(segment.unet(drawn.image), Masks(drawn.cell, drawn.nucleus))
    assert scores["dice_cell"].min() > 0.95
    assert scores["dice_nucleus"].min() > 0.9
    assert scores.attrs["n_spurious"] == 0


@pytest.mark.parametrize("strength", [0.4, 1.8])
def test_the_strength_of_the_stain_hardly_matters(strength):
    for kind in ("neutrophil", "monocyte"):
        image = datasets.draw_cell(kind, random_state=21).image
        # Densities times `strength`, by Beer and Lambert.
        other = np.rint(255 * (image / 255) ** strength).astype(np.uint8)
        score = segment.score(segment.unet(other), segment.unet(image))
        assert score["dice_cell"].min() > 0.99
        assert score["dice_nucleus"].min() > 0.95


def test_crowded_cells_are_separated_better_than_by_contours():
    fields = []
    for seed in range(6):
        field = datasets.draw_field(
            ["neutrophil", "lymphocyte", "monocyte"],
            neighbours=0.9,
            touching=1.0,
            random_state=seed,
        )
        fields.append((field.image, Masks(field.cell, field.nucleus)))
    n_found = {how: scores["found"].sum() for how, scores in scores_of_each(fields).items()}
    assert n_found["unet"] >= 15
    assert n_found["unet"] > n_found["contours"] + 2
    assert n_found["best"] >= n_found["contours"]


def test_nothing_is_found_in_fields_without_white_cells():
    fields = [datasets.draw_field([], neighbours=0.5, random_state=k).image for k in range(3)]
    fields += [datasets.draw_any_field([], random_state=k).image for k in range(3)]
    for find in (segment.unet, segment.best):
        kinds = [kind for image in fields for kind in find(image).quality["kind"]]
        assert kinds.count("white cell") <= 1
    for level in (0, 128, 255):
        assert segment.unet(np.full((90, 120, 3), level, np.uint8)).n_cells == 0


def test_neither_keras_nor_onnx_runtime_is_needed(tmp_path):
    listed = datasets.drawn(tmp_path / "cells", n_images=3, random_state=0)
    code = """
import sys
for name in ("keras", "tensorflow", "jax", "torch", "onnx", "onnxruntime", "sklearn"):
    sys.modules[name] = None
from hemafeat.cli import main
sys.exit(main(sys.argv[1:]))
"""
    out = tmp_path / "masks"
    command = ["segment", str(tmp_path / "cells"), "--method", "unet", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert len(list(out.rglob("*.png"))) >= len(listed)


def test_nearly_all_real_cells_of_another_laboratory_are_found(real_data):
    listed = datasets.segwbc(real_data / "segwbc_d1").iloc[::6]
    fields = [(images.read(row.image), segment.read_masks(row.mask)) for row in listed.itertuples()]
    scores = scores_of_each(fields)
    found = scores["unet"][scores["unet"]["found"]]
    assert len(found) >= 0.98 * len(listed)
    assert found["dice_cell"].mean() > 0.97
    assert found["dice_nucleus"].mean() > 0.94
    best = scores["best"]
    assert best["found"].mean() > 0.98
    assert best["dice_cell"].mean() > 0.96


def test_real_fields_held_back_are_outlined_as_well_as_by_contours(real_data):
    listed = datasets.bccd(real_data / "bccd")
    listed = listed[listed["mask"].notna()].sort_values("image", ignore_index=True)
    held = listed[listed.index // 15 % 10 == 9].iloc[::3]
    fields = [(images.read(row.image), segment.read_masks(row.mask)) for row in held.itertuples()]
    scores = scores_of_each(fields)
    for part in ("cell", "nucleus"):
        means = {
            how: table[f"dice_{part}"].where(table["found"], 0).mean()
            for how, table in scores.items()
        }
        assert means["unet"] > means["contours"] - 0.01
        assert means["unet"] > 0.94
