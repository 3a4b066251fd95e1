"""Shape and relation against their naive twins on noise, lines, single pixels and cut masks.

These show differences that the smooth cells of test_families.py cannot: 4- or 8-connectivity, and
which edge of the hull closes a bay.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from hemafeat import extract
from hemafeat.segment import Masks
from reference import naive

WHITE = np.array([240.0, 235.0, 230.0])


def rough(seed: int) -> tuple[np.ndarray, Masks]:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 24, 2))
    kind = seed % 3
    if kind == 0:
        cell = rng.random(shape) < rng.uniform(0.1, 0.95)
    elif kind == 1:
        field = ndimage.gaussian_filter(rng.normal(size=shape), rng.uniform(0.5, 3))
        cell = field > np.quantile(field, rng.uniform(0.1, 0.8))
    else:
        top, bottom = sorted(rng.integers(0, shape[0] + 1, 2))
        left, right = sorted(rng.integers(0, shape[1] + 1, 2))
        cell = np.zeros(shape, bool)
        cell[top:bottom, left:right] = True
    cell[rng.integers(shape[0]), rng.integers(shape[1])] = True
    nucleus = cell & (rng.random(shape) < 0.6) if seed % 2 else ndimage.binary_erosion(cell)
    image = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    return image, Masks(cell, nucleus)


@pytest.mark.parametrize("seed", range(60))
def test_agrees_with_naive_twin(seed: int) -> None:
    image, masks = rough(seed)
    values = extract.shape(image, masks.cell)
    expected = naive.shape(image, masks.cell, 1)
    for column, name in enumerate(extract.shape.facts.columns):
        # At most some hundred pixels, summed in another order.
        np.testing.assert_allclose(
            values[:, column], expected[:, column], rtol=1e-9, atol=1e-9, err_msg=name
        )
    values = extract.relation(extract.Prepared(image, masks, WHITE), masks)
    expected = naive.relation(image, masks.cell, masks.nucleus, 1, WHITE)
    for column, name in enumerate(extract.relation.facts.columns):
        np.testing.assert_allclose(
            values[:, column], expected[:, column], rtol=1e-9, atol=1e-9, err_msg=name
        )
