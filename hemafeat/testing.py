"""Check that families and segmenters, of this package or another one, keep their contracts."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from hemafeat import extract
from hemafeat.segment import Masks, segmenter as find_segmenter

WHITE = (241.0, 236.0, 229.0)


def check_family(function: Callable[..., Any], *, name: str | None = None) -> None:
    """Check that a function keeps the contract of a family.

    It is called on an artificial field of four cells, one of them without a nucleus. The checks
    are: the declaration (masks, planes, a formula for every column), the shape of the result, NaN
    for a cell that has no pixel in a mask, that inputs are not written to, that a second call gives
    the same values, that neither the numbering of cells nor other cells nor the pixels of the
    background matter (for ``white=True``: apart from the white level), that masks of a few pixels
    give no infinite value, and that the function can be sent to another process.

    Parameters
    ----------
    function : callable
        Function decorated with `hemafeat.extract.family`.
    name : str, optional
        Name under which the family is registered. By default the name of the function.

    Raises
    ------
    AssertionError
        The contract is broken; the message says which clause, and by which column.

    Examples
    --------
    >>> from hemafeat import extract, testing
    >>> testing.check_family(extract.shape)

    No message means that the contract is kept.
    """
    facts = getattr(function, "facts", None)
    assert facts is not None, f"{function!r} is not decorated with extract.family"
    name = name or function.__name__
    _check_declaration(function, facts, name)
    assert pickle.loads(pickle.dumps(function)) is function, f"{name}: cannot be pickled by name"

    image, masks = _field()
    before = image.copy(), masks.cell.copy(), masks.nucleus.copy()
    expected = _measure(function, name, image, masks)
    after = image, masks.cell, masks.nucleus
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True)), (
        f"{name}: writes to its inputs"
    )
    _check_equal(expected, _measure(function, name, image, masks), name, "two calls differ")

    of_nucleus = [column for column in expected.columns if column.startswith("nucleus__")]
    if facts.per_mask:
        assert expected[of_nucleus].iloc[-1].isna().all(), (
            f"{name}: a cell without a nucleus must be NaN in every nucleus column"
        )

    order = np.array([2, 0, 3, 1])
    permuted = _measure(function, name, image, masks.select(order))
    _check_equal(expected.iloc[order], permuted, name, "the numbering of the cells matters")

    for row in range(masks.n_cells):
        alone = _measure(function, name, image, masks.select([row]))
        _check_equal(expected.iloc[[row]], alone, name, "another cell matters")

    background = masks.cell == 0
    rng = np.random.default_rng(1)
    other = image.copy()
    other[background] = rng.integers(0, 256, (int(background.sum()), 3), dtype=np.uint8)
    values = _measure(function, name, other, masks)
    _check_equal(expected, values, name, "the background matters")

    values = _measure(function, name, image, _tiny_masks(image.shape[:2]))
    assert not np.isinf(values).any(axis=None), f"{name}: infinite for a mask of a few pixels"


def check_segmenter(which: str | Callable[[np.ndarray], Any]) -> None:
    """Check that a segmenter keeps its contract.

    Parameters
    ----------
    which : str or callable
        A name that `hemafeat.segment.segmenter` accepts, or a callable.

    Raises
    ------
    AssertionError
        The segmenter writes to the image, gives other masks in a second call, or returns masks of
        another shape.

    Examples
    --------
    >>> from hemafeat import testing
    >>> testing.check_segmenter("contours")
    """
    segment = find_segmenter(which)
    cells, _ = _field()
    empty = np.full((40, 50, 3), 235, np.uint8)
    for image in (cells, empty):
        before = image.copy()
        first, second = segment(image), segment(image)
        assert np.array_equal(image, before), "the segmenter writes to the image"
        assert isinstance(first, Masks), f"the segmenter returned {type(first).__name__}, not Masks"
        assert first.shape == image.shape[:2], (
            f"the masks are {first.shape} for an image of {image.shape[:2]}"
        )
        assert np.array_equal(first.cell, second.cell), "two calls give different cells"
        assert np.array_equal(first.nucleus, second.nucleus), "two calls give different nuclei"


def _check_declaration(function: Callable[..., Any], facts: Any, name: str) -> None:
    assert facts.columns, f"{name}: declares no columns"
    assert facts.masks, f"{name}: declares no masks"
    assert set(facts.masks) <= set(extract.MASKS), f"{name}: unknown mask in {facts.masks}"
    unknown = set(facts.planes) - set(extract.PLANES)
    assert not unknown, f"{name}: unknown planes {sorted(unknown)}"
    for feature, column in facts.columns.items():
        parts = feature.split("__")
        if not facts.per_mask and parts[0] in extract.MASKS:
            parts = parts[1:]
        valid = all(parts) and 1 <= len(parts) <= 2
        assert valid, f"{name}: {feature!r} breaks mask__family__feature"
        assert feature == feature.lower(), f"{name}: column {feature!r} is not in lower case"
        assert column.unit.strip(), f"{name}: {feature} has no unit"
        assert column.formula.strip(), f"{name}: {feature} has no formula"
    assert function.__doc__, f"{name}: has no docstring"


def _measure(
    function: Callable[..., Any], name: str, image: np.ndarray, masks: Masks
) -> pd.DataFrame:
    # A fixed white: apart from it, the background must not matter.
    prepared = extract.Prepared(image, masks, white=WHITE)
    try:
        return extract.measure(prepared, masks, families=[function])
    except Exception as error:
        raise AssertionError(f"{name}: raised {type(error).__name__}: {error}") from error


def _check_equal(expected: pd.DataFrame, values: pd.DataFrame, name: str, clause: str) -> None:
    a, b = expected.to_numpy(), values.to_numpy()
    equal = (a == b) | (np.isnan(a) & np.isnan(b))
    if not equal.all():
        row, position = (int(i) for i in np.argwhere(~equal)[0])
        raise AssertionError(
            f"{name}: {clause}: {expected.columns[position]} of cell {row + 1} is "
            f"{b[row, position]!r}, was {a[row, position]!r}"
        )


def _tiny_masks(shape: tuple[int, ...]) -> Masks:
    """Return four cells of a few pixels, or in a line."""
    cell = np.zeros(shape, np.int32)
    nucleus = np.zeros_like(cell)
    cell[5, 5] = 1
    cell[10:12, 10:13] = 2
    nucleus[10, 10:13] = 2
    cell[0, :] = 3
    nucleus[0, :7] = 3
    nucleus[20:23, 30] = cell[20:23, 30] = 4
    return Masks(cell, nucleus)


def _field() -> tuple[np.ndarray, Masks]:
    """Return four noisy ellipses with nuclei, the last one without."""
    rng = np.random.default_rng(0)
    height, width = 72, 84
    rows, cols = np.mgrid[:height, :width]
    image = rng.normal(230, 4, (height, width, 3))
    cell = np.zeros((height, width), np.int32)
    nucleus = np.zeros_like(cell)
    ellipses = [(20, 22, 14, 17), (20, 60, 15, 15), (53, 24, 13, 18), (54, 62, 12, 14)]
    for label, (row, col, tall, wide) in enumerate(ellipses, start=1):
        inside = ((rows - row) / tall) ** 2 + ((cols - col) / wide) ** 2 <= 1
        core = ((rows - row - 1) / (tall * 0.55)) ** 2 + ((cols - col + 2) / (wide * 0.5)) ** 2 <= 1
        cell[inside] = label
        image[inside] = rng.normal((205, 170, 190), 9, (int(inside.sum()), 3))
        if label < len(ellipses):
            nucleus[core] = label
            image[core] = rng.normal((105, 60, 135), 16, (int(core.sum()), 3))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), Masks(cell, nucleus)
