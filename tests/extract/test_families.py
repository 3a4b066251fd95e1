"""Every family keeps the contract and agrees with its plain-NumPy twin."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest

from hemafeat import datasets, extract, testing
from hemafeat.extract._columns import in_um, length_power
from hemafeat.extract._family import BUILT_IN, column_facts
from hemafeat.extract._measure import measure_cells
from hemafeat.segment import Masks
from reference import naive

FAMILIES = {name: f for name, f in extract.families().items() if name in BUILT_IN}


def blobs(seed: int, shape: tuple[int, int] = (58, 66)) -> tuple[np.ndarray, Masks]:
    """Draw irregular cells with nuclei, except for the third."""
    rng = np.random.default_rng(seed)
    height, width = shape
    image = rng.integers(180, 256, (height, width, 3)).astype(np.uint8)
    cell = np.zeros(shape, np.int32)
    nucleus = np.zeros(shape, np.int32)
    rows, cols = np.mgrid[:height, :width]
    for label, (row, col) in enumerate([(15, 16), (17, 48), (42, 30)], start=1):
        angle = np.arctan2(rows - row, cols - col)
        distance = np.hypot(rows - row, cols - col)
        edge = 11 + 2.5 * np.sin(label * angle + rng.uniform(0, 6)) + rng.uniform(-1, 1)
        inside = distance <= edge
        core = distance <= edge * 0.62 + np.cos(3 * angle)
        cell[inside] = label
        image[inside] = rng.integers(90, 230, (int(inside.sum()), 3))
        if label < 3:
            nucleus[core & inside] = label
            image[core & inside] = rng.integers(10, 150, (int((core & inside).sum()), 3))
    return image, Masks(cell, nucleus)


@pytest.mark.parametrize("name", FAMILIES)
def test_contract(name: str) -> None:
    testing.check_family(FAMILIES[name], name=name)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", FAMILIES)
def test_agrees_with_naive_twin(name: str, seed: int) -> None:
    function = FAMILIES[name]
    image, masks = blobs(seed)
    white = extract.background_white(image, masks.cell)
    prepared = extract.Prepared(image, masks)
    values, failures = measure_cells(prepared, masks, {name: function})
    assert not failures
    twin = getattr(naive, name)
    if function.facts.per_mask:
        expected = np.concatenate(
            [
                twin(image, getattr(masks, mask), masks.n_cells, white)
                if function.facts.white
                else twin(image, getattr(masks, mask), masks.n_cells)
                for mask in function.facts.masks
            ],
            axis=1,
        )
    else:
        expected = (
            twin(image, masks.cell, masks.nucleus, masks.n_cells, white)
            if function.facts.white
            else twin(image, masks.cell, masks.nucleus, masks.n_cells)
        )
    columns = list(column_facts(name, function))
    assert expected.shape == values.shape
    for index, column in enumerate(columns):
        # Sums of at most a few thousand values, up to 255^4 in the fourth moments, in another
        # order: 1e-9 relative is some thousand rounding errors; 1e-9 absolute covers values that
        # cancel to zero.
        np.testing.assert_allclose(
            values[:, index], expected[:, index], rtol=1e-9, atol=1e-9, err_msg=column
        )


@pytest.mark.parametrize("name", FAMILIES)
def test_lone_call_equals_table(name: str) -> None:
    """`extract.lbp(image, masks.nucleus)` returns the values of the table."""
    function = FAMILIES[name]
    if not function.facts.per_mask or function.facts.white:
        pytest.skip("needs the masks or the white of the whole image")
    image, masks = blobs(3)
    table = extract.measure(image, masks, families=[name])
    mask = function.facts.masks[-1]
    alone = function(image, getattr(masks, mask), masks.n_cells)
    # Sums over the whole cell may be computed from its parts, so that only rounding differs.
    np.testing.assert_allclose(
        alone,
        table[[c for c in table if c.startswith(f"{mask}__")]].to_numpy(),
        rtol=1e-11,
        atol=1e-11,
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_translation_is_exact(name: str) -> None:
    image, masks = blobs(4)
    pad = ((5, 9), (7, 2))
    moved = np.pad(image, (*pad, (0, 0)), mode="edge")
    moved_masks = Masks(np.pad(masks.cell, pad), np.pad(masks.nucleus, pad))
    white = (240.0, 235.0, 230.0)
    first, _ = measure_cells(extract.Prepared(image, masks, white), masks, {name: FAMILIES[name]})
    second, _ = measure_cells(
        extract.Prepared(moved, moved_masks, white), moved_masks, {name: FAMILIES[name]}
    )
    np.testing.assert_allclose(first, second, rtol=1e-10, atol=1e-10)


TURNS = {
    "quarter turn": np.rot90,
    "half turn": lambda a: np.rot90(a, 2),
    "left to right": np.fliplr,
    "top to bottom": np.flipud,
    "transpose": lambda a: np.swapaxes(a, 0, 1),
}

TURNING = {
    r"boundary__hu_7_signed_log": "the seventh moment tells a shape from its mirror image",
    r"lbp__u2_(?!00|57|58)": "a code says on which side of a pixel it is brighter",
    r"lbp256__code_(?!000|255)": "a code says on which side of a pixel it is brighter",
    r"gabor__\w+_(000|030|060|090|120|150)": "a filter has a direction",
    r"dct_zigzag__": "a coefficient has rows and columns",
}
"""Columns that depend on how the cell lies, and why; no others do."""


def single_cell(seed: int) -> tuple[np.ndarray, Masks]:
    """Draw a cell whose box is an odd or even number of pixels high and wide."""
    kind = ("neutrophil", "monocyte", "eosinophil", "lymphocyte")[seed]
    drawn = datasets.draw_cell(kind, size=200 + seed, random_state=seed)
    cell, nucleus = drawn.cell.copy(), drawn.nucleus.copy()
    rows, columns = (np.flatnonzero((cell > 0).any(axis=axis))[0] for axis in (1, 0))
    for mask in (cell, nucleus):
        mask[: rows + seed % 2 + 2] = mask[:, : columns + seed // 2 + 2] = 0
    return np.asarray(drawn.image), Masks(cell, nucleus)


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", FAMILIES)
def test_turned_and_mirrored_cells_have_the_same_values(name: str, seed: int) -> None:
    family, white = {name: FAMILIES[name]}, (240.0, 235.0, 230.0)
    image, masks = single_cell(seed)
    expected, _ = measure_cells(extract.Prepared(image, masks, white), masks, family)
    for turn, change in TURNS.items():
        turned = np.ascontiguousarray(change(image))
        again = Masks(change(masks.cell), change(masks.nucleus))
        values, _ = measure_cells(extract.Prepared(turned, again, white), again, family)
        for column, value, other in zip(
            column_facts(name, FAMILIES[name]), expected[0], values[0], strict=True
        ):
            if not any(re.search(pattern, column) for pattern in TURNING):
                # The same numbers, added up in another order.
                assert other == pytest.approx(value, rel=1e-9, abs=1e-10, nan_ok=True), (
                    f"{column}, {turn}"
                )


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("pattern", TURNING)
def test_no_column_is_excepted_for_nothing(pattern: str) -> None:
    name = pattern.split("__", maxsplit=1)[0]
    family, white = {name: FAMILIES[name]}, (240.0, 235.0, 230.0)
    columns = list(column_facts(name, FAMILIES[name]))
    changed = set()
    for seed in range(4):
        image, masks = single_cell(seed)
        expected, _ = measure_cells(extract.Prepared(image, masks, white), masks, family)
        turned = np.ascontiguousarray(np.swapaxes(image, 0, 1))
        again = Masks(masks.cell.T, masks.nucleus.T)
        values, _ = measure_cells(extract.Prepared(turned, again, white), again, family)
        moved = ~np.isclose(values[0], expected[0], rtol=1e-9, atol=1e-10, equal_nan=True)
        changed |= {column for column, differs in zip(columns, moved, strict=True) if differs}
        if any(re.search(pattern, column) for column in changed):
            return
    raise AssertionError(f"{pattern} is the same in a turned image")


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("name", FAMILIES)
def test_another_cell_far_away_changes_nothing(name: str) -> None:
    family, white = {name: FAMILIES[name]}, (240.0, 235.0, 230.0)
    image, masks = single_cell(0)
    alone, _ = measure_cells(extract.Prepared(image, masks, white), masks, family)
    both = Masks(*(np.hstack([a, 2 * a[::-1]]) for a in (masks.cell, masks.nucleus)))
    image = np.hstack([image, image[::-1]])
    values, _ = measure_cells(extract.Prepared(image, both, white), both, family)
    np.testing.assert_array_equal(values[:1], alone)


@pytest.mark.parametrize("name", FAMILIES)
def test_documented(name: str) -> None:
    function = FAMILIES[name]
    text = inspect.getdoc(function) or ""
    for section in ("Parameters", "Returns", "References"):
        assert section in text, f"{name} has no section {section}"
    assert function.facts.reference
    for feature, column in function.facts.columns.items():
        assert column.source, f"{name}: {feature} has no source"


@pytest.mark.parametrize("name", FAMILIES)
def test_each_column_says_what_it_means(name: str) -> None:
    """One sentence each, which is not the formula and not the same for the whole family."""
    described = extract.describe([name])
    for row in described.itertuples():
        assert re.fullmatch(r"[A-Z].{20,200}[^.]\.", row.meaning), f"{row.column}: {row.meaning!r}"
        assert row.formula not in row.meaning, row.column
        assert row.meaning.rstrip(".").lower() != row.formula.lower(), row.column
        assert row.unit, row.column
        assert len(row.formula) > 4, row.column
    assert described["meaning"].nunique() > 1


def test_units_say_what_is_counted() -> None:
    """Entropies are in bits, and sums over pixels grow with the area of a pixel."""
    described = extract.describe("all").set_index("column")
    entropies = described.index.str.contains("entropy")
    assert (described.loc[entropies, "unit"] == "bit").all()
    assert entropies.sum() == 49
    sums = described["formula"].str.match(r"sum (of x\^2 )?over the pixels")
    assert described.loc[sums, "unit"].str.endswith(" px^2").all()
    assert sums.sum() == 27
    assert set(described.query("feature == 'spectral_centroid'")["unit"]) == {"half-cycles per box"}


def test_a_name_holds_the_mask_that_is_measured() -> None:
    for name, family in FAMILIES.items():
        for column, (mask, _, _) in column_facts(name, family).items():
            words = column.split("__")[2].split("_")
            if "to" in words or {"nucleus", "cytoplasm"} <= set(words):
                # A ratio or a difference of two masks.
                continue
            assert not ({"nucleus", "cytoplasm"} - {mask}) & set(words), column


def test_the_grey_plane_is_that_of_the_formula() -> None:
    """The weights are those of OpenCV, of which every version must give the same numbers."""
    levels = np.arange(0, 256, 5)
    image = np.stack(np.meshgrid(levels, levels, levels), axis=3).reshape(-1, 52, 3)
    image = np.ascontiguousarray(image.astype(np.uint8))
    red, green, blue = np.moveaxis(image.astype(int), 2, 0)
    expected = (9798 * red + 19235 * green + 3735 * blue + 2**14) // 2**15
    np.testing.assert_array_equal(extract.Prepared(image).plane("grey"), expected)
    for family in ("lbp", "lbp256", "dct", "dct_zigzag"):
        coded = extract.describe([family])["formula"]
        assert coded.str.contains("9798 R + 19235 G + 3735 B", regex=False).mean() > 0.9


@pytest.mark.slow_without_jit
def test_units_follow_the_scale() -> None:
    """Doubling um per pixel multiplies each column by 2 to the power of its length unit."""
    image, masks = blobs(5)
    fine = extract.measure(image, masks, um_per_px=0.1)
    coarse = extract.measure(image, masks, um_per_px=0.2)
    pixels = extract.measure(image, masks).attrs["units"]
    for column in fine:
        power = length_power(pixels[column])
        np.testing.assert_allclose(coarse[column], fine[column] * 2.0**power, rtol=1e-12)
    assert fine.attrs["units"]["nucleus__shape__area"] == "um^2"


@pytest.mark.parametrize(
    ("unit", "power", "um"),
    [
        ("1", 0, "1"),
        ("px", 1, "um"),
        ("px^2", 2, "um^2"),
        ("OD px^2", 2, "OD um^2"),
        ("px^-1", -1, "um^-1"),
        ("OD", 0, "OD"),
    ],
)
def test_unit_grammar(unit: str, power: int, um: str) -> None:
    assert length_power(unit) == power
    assert in_um(unit) == um


def test_at_least_two_hundred_columns() -> None:
    described = extract.describe()
    assert len(described) >= 200
    assert described["column"].is_unique
    assert list(described["column"]) == extract.columns()
    assert set(described["mask"]) == {"nucleus", "cytoplasm", "cell"}
    assert (described[["unit", "formula", "source", "reference"]] != "").all(axis=None)


@pytest.mark.slow_without_jit
def test_columns_with_other_values_are_named_and_no_more() -> None:
    """The white of the background is measured otherwise; what it moves has other values."""
    names = extract.columns("all")
    changed = set(extract.changed_columns(names, 1))
    moved = set()
    for kind in ("neutrophil", "eosinophil", "monocyte"):
        cell = datasets.draw_cell(kind, random_state=0)
        masks = Masks(cell.cell, cell.nucleus)
        white = np.asarray(extract.background_white(cell.image, masks.cell), float)
        tables = [
            extract.measure(extract.Prepared(cell.image, white=white - step), masks, families="all")
            for step in (np.zeros(3), np.array([3, 1, 8]))
        ]
        for table in tables[1:]:
            same = np.isclose(table, tables[0], rtol=1e-9, atol=1e-12, equal_nan=True).all(axis=0)
            moved |= {name for name, is_same in zip(names, same, strict=True) if not is_same}
    assert moved - changed == set()
    # All values of these families are computed as before.
    by_white = ("density", "density_natural", "intensity", "zernike", "relation")
    kept = ("shape", "colour", "lbp", "gabor")
    for name in changed - moved:
        assert name.split("__")[1] not in (*by_white, *kept), name
    assert not any(name.split("__")[1] in kept for name in changed)
