"""The contracts as checks, for the families and segmenters of this package and of others."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from hemafeat.extract._columns import length_power
from hemafeat.extract._family import MASKS, Facts, Family, column_facts
from hemafeat.extract._measure import measure_cells
from hemafeat.extract._prepared import PLANES, Prepared
from hemafeat.segment import Masks, segmenter as find_segmenter

WHITE = (241.0, 236.0, 229.0)


def check_family(function: Family, *, name: str | None = None) -> None:
    """Check that `function` keeps the contract of a family.

    It is measured on a made-up field of four cells, one of them without a nucleus. Checked are:
    the declaration (masks, planes, a formula for every column), the shape and dtype of the result,
    NaN for a cell that has no pixel in a mask, that inputs are not written to, that calls repeat,
    that neither the numbering of cells nor other cells nor the pixels of the background matter
    (for ``white=True``: not beyond the white level), that masks of a few pixels do no harm, and
    that the function can be sent to another process.

    Parameters
    ----------
    function : callable
        Decorated with `hemafeat.extract.family`.
    name : str, optional
        The name it is registered under; default is its own.

    Raises
    ------
    AssertionError
        Says which clause is broken and by which column.
    """
    facts = getattr(function, "facts", None)
    assert isinstance(facts, Facts), f"{function!r} is not decorated with extract.family"
    name = name or function.__name__
    _check_declaration(function, facts, name)
    assert pickle.loads(pickle.dumps(function)) is function, f"{name}: cannot be pickled by name"

    image, masks = _field()
    before = image.copy(), masks.cell.copy(), masks.nucleus.copy()
    reference = _run(function, name, image, masks)
    after = image, masks.cell, masks.nucleus
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True)), (
        f"{name}: writes to its inputs"
    )
    _same(reference, _run(function, name, image, masks), function, name, "two calls differ")

    missing = [
        place
        for place, (mask, _, _) in enumerate(column_facts(name, function).values())
        if mask == "nucleus"
    ]
    if facts.per_mask and missing:
        assert np.isnan(reference[-1, missing]).all(), (
            f"{name}: a cell without a nucleus must be NaN in every nucleus column"
        )

    order = np.array([2, 0, 3, 1])
    turned = _run(function, name, image, masks.select(order))
    _same(reference[order], turned, function, name, "the numbering of the cells matters")

    for row in range(masks.n_cells):
        alone = _run(function, name, image, masks.select([row]))
        _same(reference[[row]], alone, function, name, "another cell matters")

    outside = masks.cell == 0
    rng = np.random.default_rng(1)
    other = image.copy()
    other[outside] = rng.integers(0, 256, (int(outside.sum()), 3), dtype=np.uint8)
    _same(reference, _run(function, name, other, masks), function, name, "background matters")

    _check_tiny(function, name, image)


def check_segmenter(which: str | Callable[[np.ndarray], Any]) -> None:
    """Check that a segmenter keeps its contract.

    Parameters
    ----------
    which : str or callable
        A name known to `hemafeat.segment.segmenter`, or a callable.

    Raises
    ------
    AssertionError
        It writes to the image, does not repeat, or returns masks of another shape.
    """
    segment = find_segmenter(which)
    image, _ = _field()
    empty = np.full((40, 50, 3), 235, np.uint8)
    for given in (image, empty):
        before = given.copy()
        first, second = segment(given), segment(given)
        assert np.array_equal(given, before), "the segmenter writes to the image"
        assert isinstance(first, Masks), f"the segmenter returned {type(first).__name__}, not Masks"
        assert first.shape == given.shape[:2], (
            f"the masks are {first.shape} for an image of {given.shape[:2]}"
        )
        assert np.array_equal(first.cell, second.cell), "two calls give different cells"
        assert np.array_equal(first.nucleus, second.nucleus), "two calls give different nuclei"


def _check_declaration(function: Family, facts: Facts, name: str) -> None:
    assert facts.columns, f"{name}: declares no columns"
    assert facts.masks, f"{name}: declares no masks"
    assert set(facts.masks) <= set(MASKS), f"{name}: unknown mask in {facts.masks}"
    unknown = set(facts.planes) - set(PLANES)
    assert not unknown, f"{name}: unknown planes {sorted(unknown)}"
    for feature, column in facts.columns.items():
        parts = feature.split("__")
        named = all(parts) and len(parts) <= 2
        assert named, f"{name}: {feature!r} breaks mask__family__feature"
        assert feature == feature.lower(), f"{name}: column {feature!r} is not in lower case"
        assert column.unit.strip(), f"{name}: {feature} has no unit"
        assert column.formula.strip(), f"{name}: {feature} has no formula"
        length_power(column.unit)
    assert function.__doc__, f"{name}: has no docstring"


def _run(function: Family, name: str, image: np.ndarray, masks: Masks) -> np.ndarray:
    # A fixed white: what the background does beyond it must not matter.
    values, failures = measure_cells(Prepared(image, masks, white=WHITE), masks, {name: function})
    for error in failures.values():
        raise AssertionError(f"{name}: raised {type(error).__name__}: {error}") from error
    assert values.dtype == np.float64, f"{name}: returns {values.dtype}, not float64"
    return values


def _same(
    expected: np.ndarray, found: np.ndarray, function: Family, name: str, clause: str
) -> None:
    equal = (expected == found) | (np.isnan(expected) & np.isnan(found))
    if not equal.all():
        row, place = (int(i) for i in np.argwhere(~equal)[0])
        column = list(column_facts(name, function))[place]
        raise AssertionError(
            f"{name}: {clause}: {column} of cell {row + 1} is {found[row, place]!r}, "
            f"was {expected[row, place]!r}"
        )


def _check_tiny(function: Family, name: str, image: np.ndarray) -> None:
    cell = np.zeros(image.shape[:2], np.int32)
    nucleus = np.zeros_like(cell)
    cell[5, 5] = 1
    cell[10:12, 10:13] = 2
    nucleus[10, 10:13] = 2
    cell[0, :] = 3
    nucleus[0, :7] = 3
    nucleus[20:23, 30] = cell[20:23, 30] = 4
    values = _run(function, name, image, Masks(cell, nucleus))
    assert not np.isinf(values).any(), f"{name}: infinite for a mask of a few pixels"


def _field() -> tuple[np.ndarray, Masks]:
    """Four noisy ellipses with nuclei, the last one without."""
    rng = np.random.default_rng(0)
    height, width = 72, 84
    rows, cols = np.mgrid[:height, :width]
    image = rng.normal(230, 4, (height, width, 3))
    cell = np.zeros((height, width), np.int32)
    nucleus = np.zeros_like(cell)
    places = [(20, 22, 14, 17), (20, 60, 15, 15), (53, 24, 13, 18), (54, 62, 12, 14)]
    for label, (row, col, tall, wide) in enumerate(places, start=1):
        inside = ((rows - row) / tall) ** 2 + ((cols - col) / wide) ** 2 <= 1
        core = ((rows - row - 1) / (tall * 0.55)) ** 2 + ((cols - col + 2) / (wide * 0.5)) ** 2 <= 1
        cell[inside] = label
        image[inside] = rng.normal((205, 170, 190), 9, (int(inside.sum()), 3))
        if label < len(places):
            nucleus[core] = label
            image[core] = rng.normal((105, 60, 135), 16, (int(core.sum()), 3))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), Masks(cell, nucleus)
