"""Masks of images on which a segmenter is confident."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets, networks, segment

pytestmark = pytest.mark.slow_without_jit


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return datasets.drawn(tmp_path_factory.mktemp("drawn"), n_images=12, random_state=0)


def test_only_what_the_segmenter_trusts_is_kept(drawn, tmp_path):
    known = {}

    def find(image):
        masks = segment.contours(image)
        confidence = np.full(masks.n_cells, 0.95 if len(known) % 2 else 0.4)
        known[len(known)] = masks
        return segment.Masks(masks.cell, masks.nucleus, {**masks.quality, "confidence": confidence})

    kept = networks.confident_masks(drawn, tmp_path / "out", segmenter=find)
    odd = [row for row in range(len(drawn)) if row % 2 and known[row].n_cells]
    odd = [row for row in odd if np.unique(known[row].nucleus).size == known[row].n_cells + 1]
    assert kept["image"].tolist() == drawn["image"].iloc[odd].tolist()
    assert len(kept) + sum(kept.attrs.values()) == len(drawn)
    for row, mask in zip(odd, kept["mask"], strict=True):
        read = segment.read_masks(mask)
        np.testing.assert_array_equal(read.nucleus > 0, known[row].nucleus > 0)
        np.testing.assert_array_equal(read.cell > 0, known[row].cell > 0)


def test_outlines_it_is_sure_of_are_nearly_the_truth(drawn, tmp_path):
    kept = networks.confident_masks(drawn, tmp_path / "out")
    truth = dict(zip(drawn["image"], drawn["mask"], strict=True))
    for image, mask in zip(kept["image"], kept["mask"], strict=True):
        score = segment.score(segment.read_masks(mask), segment.read_masks(truth[image]))
        assert score["dice_cell"].min() > 0.9


def test_threads_change_nothing(drawn, tmp_path):
    one = networks.confident_masks(drawn, tmp_path / "one")
    two = networks.confident_masks(drawn, tmp_path / "two", n_jobs=2)
    pd.testing.assert_series_equal(one["image"], two["image"])


def test_an_unreadable_image_is_left_out_and_none_at_all_is_an_error(drawn, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    bad = pd.DataFrame({"image": [str(tmp_path / "bad.png")]})
    both = pd.concat([bad, drawn], ignore_index=True)
    assert networks.confident_masks(both, tmp_path / "out").attrs["n_unread"] == 1
    with pytest.raises(ValueError, match="'n_unread': 1"):
        networks.confident_masks(bad, tmp_path / "out")
    with pytest.raises(ValueError, match="must be between 0 and 1"):
        networks.confident_masks(drawn, tmp_path / "out", least_confidence=2)
