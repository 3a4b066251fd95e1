"""Deep published networks: each is trained for two steps, saved and loaded."""

from __future__ import annotations

import pytest

from support.architecture_steps import DEEP, DEEPEST, train_save_and_read_back

pytestmark = pytest.mark.networks


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.deep] if name in DEEPEST else [])
        for name in sorted(DEEP)
    ],
)
def test_trained_saved_and_read_back(name, tmp_path):
    keras = pytest.importorskip("keras", minversion="3", reason="the extra 'deep' is not installed")
    train_save_and_read_back(keras, name, tmp_path)
