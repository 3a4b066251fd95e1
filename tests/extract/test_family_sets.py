"""Sets of columns, and the measured costs of families."""

from __future__ import annotations

import math
import pickle
import runpy
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest

from hemafeat import datasets, extract, segment
from hemafeat.extract._family import BUILT_IN, SETS, Facts, FamilyError, choose, column_facts
from hemafeat.extract._measure import measure_cells
from hemafeat.extract._stability import stability
from hemafeat.extract._table import compile as ahead

ROOT = Path(__file__).parents[2]
SMALLER = SETS[:2]
COLUMN = extract.Column("1", "one")


@pytest.fixture(scope="module")
def drawn():
    """Image of two cells, one of them without a nucleus, and what is measured of it."""
    cells = [
        datasets.draw_cell(kind, size=120, random_state=2) for kind in ("monocyte", "basophil")
    ]
    image = np.concatenate([cell.image for cell in cells], axis=1)
    outlines = np.concatenate([cells[0].cell, 2 * cells[1].cell], axis=1).astype(np.int32)
    nuclei = np.concatenate([cells[0].nucleus, 0 * cells[1].nucleus], axis=1).astype(np.int32)
    masks = segment.Masks(outlines, nuclei)
    return image, masks, extract.measure(image, masks, families="all")


def test_each_set_holds_the_smaller_ones() -> None:
    fast, default, everything = (extract.columns(name) for name in SETS[:3])
    assert 0 < len(fast) < len(default) < len(everything)
    assert set(fast) < set(default) < set(everything)


@pytest.mark.parametrize("set_name", SMALLER)
def test_a_set_has_the_order_of_all_columns(set_name) -> None:
    chosen = extract.columns(set_name)
    assert chosen == [name for name in extract.columns("all") if name in set(chosen)]
    assert chosen == extract.describe(set_name)["column"].tolist()


@pytest.mark.parametrize("name", BUILT_IN)
def test_columns_of_a_family_in_a_set_are_those_that_match_its_patterns(name) -> None:
    function = extract.families()[name]
    whole = column_facts(name, function)
    for set_name in SMALLER:
        part = choose(set_name).get(name)
        chosen = {} if part is None else column_facts(name, part)
        patterns = function.facts.patterns(set_name)
        assert bool(chosen) == bool(patterns)
        assert chosen.items() <= whole.items()
        assert len(chosen) == (part.facts.width if part else 0)
        for column in whole:
            mask, _, rest = column.split("__", 2)
            matches = any(fnmatchcase(f"{mask}__{rest}", pattern) for pattern in patterns)
            assert matches == (column in chosen)


def test_the_robust_columns_are_the_stable_ones_of_the_default_table() -> None:
    described = extract.describe("all").set_index("column")
    icc = described.filter(like="icc_")
    assert list(icc) == ["icc_stain", "icc_scale", "icc_jpeg", "icc_focus", "icc_mask"]
    assert (described["robust"] == (icc.min(axis=1, skipna=False) >= 0.75)).all()
    default = extract.columns("default")
    robust = extract.columns("robust")
    assert robust == [name for name in default if described.loc[name, "robust"]]
    assert 0.2 * len(default) < len(robust) < len(default)
    assert icc.loc[default].notna().mean().min() > 0.95
    # What the outlines alone decide depends on no stain, and colour in levels on little else.
    shape = described.index.str.contains("__shape__")
    assert icc.loc[shape, ["icc_stain", "icc_jpeg", "icc_focus"]].dropna().to_numpy().min() == 1
    assert icc.loc["nucleus__colour__mean__r", "icc_stain"] < 0.75


def test_the_table_of_stability_knows_every_column() -> None:
    assert list(stability()) == extract.columns("all")


@pytest.mark.parametrize(
    "selection", [*SMALLER, "robust", ["fast", "boundary"], ["rim", "default"]]
)
def test_a_set_measures_the_same_values(selection, drawn) -> None:
    image, masks, everything = drawn
    table = extract.measure(image, masks, families=selection)
    assert table.columns.tolist() == extract.columns(selection)
    assert table.to_numpy().tobytes() == everything[table.columns].to_numpy().tobytes()
    assert table.attrs["units"].items() <= everything.attrs["units"].items()


def test_a_column_is_the_same_in_every_set() -> None:
    described = {name: extract.describe(name).set_index("column") for name in SETS}
    for smaller, larger in (("fast", "default"), ("default", "all")):
        shared = described[smaller]
        assert shared.equals(described[larger].loc[shared.index])


def test_columns_that_experts_grade_are_in_the_default_table() -> None:
    designated = runpy.run_path(str(ROOT / "benchmarks" / "attributes.py"))["DESIGNATED"]
    assert set(designated.values()) <= set(extract.columns("default"))


def test_sets_and_names_may_be_mixed() -> None:
    names = list(choose(["dct_zigzag", "fast"]))
    assert set(names) == {*choose("fast"), "dct_zigzag"}
    assert names == list(choose(["fast", "dct_zigzag", "fast"]))


def test_a_family_that_is_named_gives_all_its_columns() -> None:
    for selection in (["rim"], ["rim", "default"], ["default", "rim"], [extract.rim, "default"]):
        assert choose(selection)["rim"] is extract.rim
    whole = set(extract.columns(["rim"]))
    assert whole - set(extract.columns("default"))
    assert whole <= set(extract.columns(["default", "rim"]))


def test_a_family_is_called_only_for_what_is_wanted(monkeypatch, drawn) -> None:
    image, masks, _ = drawn
    called = []

    @extract.family(
        {"one": COLUMN, "two": COLUMN},
        planes=("r", "od_g"),
        default=["cell__*__od_g", "nucleus__two__r"],
    )
    def extra(plane, labels, n_cells=None):
        """Two numbers."""
        called.append((plane.dtype, labels is masks.cell))
        return np.tile([1.0, 2.0], (n_cells, 1))

    every = extract.families()
    every["extra"] = extra
    monkeypatch.setattr("hemafeat.extract._family.families", lambda: every)
    part = choose("default")["extra"]
    prepared = extract.Prepared(image, masks)
    values, failures = measure_cells(prepared, masks, {"extra": part})
    assert not failures
    assert len(called) == 2
    names = ["nucleus__extra__two__r", "cell__extra__one__od_g", "cell__extra__two__od_g"]
    assert list(column_facts("extra", part)) == names
    assert values.tolist() == [[2.0, 1.0, 2.0]] * 2
    assert every.frame().loc["extra", ["columns", "default", "fast"]].tolist() == [12, 3, 0]


def test_a_part_of_a_family_can_be_sent_to_a_process() -> None:
    for name, part in choose("default").items():
        sent = pickle.loads(pickle.dumps(part))
        assert column_facts(name, sent) == column_facts(name, part)


def test_a_part_of_a_family_is_compiled_ahead(monkeypatch) -> None:
    used = []
    monkeypatch.setattr(ahead, "measure_window", lambda *given: used.append(given[2]))
    for selection in (*SETS, ["fast", "lbp"]):
        chosen = choose(selection)
        units = ahead._units(chosen, None)
        assert units[0] == "window"
        used.clear()
        for unit in units[1:]:
            ahead._use(unit)
        assert {name: part for given in used for name, part in given.items()} == chosen
    assert "relation of fast" in units
    assert "lbp" in units


def test_a_whole_family_that_is_compiled_has_its_parts() -> None:
    units = ["window", "shape of default", "lbp", "lobes of default", "lobes"]
    compiled = {"window", "shape", "lbp of default", "lobes of default"}
    assert ahead._missing(units, compiled) == ["lbp", "lobes"]


def test_a_family_that_may_leave_out_work_is_told_what_is_wanted() -> None:
    """Its part is a unit of its own of what is compiled ahead."""
    cell = datasets.draw_cell("neutrophil", random_state=0)
    masks = segment.Masks(cell.cell, cell.nucleus)
    part, whole = choose("default")["rim"], choose("all")["rim"]
    some, every = part(cell.image, masks), whole(cell.image, masks)
    left_out = [name not in part.options["wanted"] for name in extract.rim.facts.columns]
    assert [name for name in part.options["wanted"] if name.startswith("cytoplasm__")]
    assert np.isnan(some[:, left_out]).all()
    assert np.isfinite(every[:, left_out]).all()
    np.testing.assert_array_equal(some[:, ~np.array(left_out)], every[:, ~np.array(left_out)])
    assert ahead._units({"rim": part}, None) == ["window", "rim of default"]
    assert ahead._units({"rim": whole}, None) == ["window", "rim"]


@pytest.mark.parametrize("default", [["*__on"], ["*__one", "two__*"], "cell"])
def test_a_pattern_without_a_column_is_refused(default) -> None:
    with pytest.raises(FamilyError, match="matches no column; the first is 'nucleus__one'"):
        extract.family({"one": COLUMN}, default=default)


@pytest.mark.parametrize(
    ("settings", "sets"),
    [
        ({}, ["one", "two"]),
        ({"fast": True}, ["one", "two"]),
        ({"default": "*__one", "fast": True}, ["one"]),
        ({"fast": "*__two"}, ["one", "two"]),
        ({"default": False, "fast": ["*__two"]}, ["two"]),
    ],
)
def test_the_fast_set_is_a_part_of_the_default_set(settings, sets) -> None:
    facts = _declared(**settings)
    assert facts.only(facts.patterns("default")).kept_names() == [f"cell__{name}" for name in sets]
    fast = [] if not settings else ["two"] if settings["fast"] is not True else sets
    assert facts.only(facts.patterns("fast")).kept_names() == [f"cell__{name}" for name in fast]


def test_a_fast_column_outside_the_default_set_is_refused() -> None:
    with pytest.raises(FamilyError, match="'cell__two' matches `fast`, but is not in the default"):
        _declared(default="*__one", fast="*__two")


def _declared(**settings) -> Facts:
    def numbers(image, labels, n_cells=None):
        """Two numbers."""

    columns = {"one": COLUMN, "two": COLUMN}
    return extract.family(columns, masks=("cell",), **settings)(numbers).facts


def test_the_error_of_an_unknown_family_lists_the_families() -> None:
    with pytest.raises(FamilyError, match=r"no family 'slow'.*shape.*fast, default, all"):
        choose("slow")


def test_every_family_of_this_package_has_a_measured_cost() -> None:
    frame = extract.families().frame()
    assert list(frame["columns"]) == [len(extract.columns([name])) for name in frame.index]
    assert [frame[name].sum() for name in SMALLER] == [len(extract.columns(n)) for n in SMALLER]
    built_in = frame[[not math.isnan(ms) for ms in frame["ms"]]]
    assert set(extract.columns("all")) == {
        column for name in built_in.index for column in extract.columns([name])
    }
    assert (built_in["ms"] > 0).all()
    assert (built_in["decodes"] > 0).all()


def test_the_representation_is_a_table() -> None:
    text = repr(extract.families())
    assert "decodes" in text
    assert all(name in text for name in extract.families())
    assert "<table" in extract.families()._repr_html_()


def test_a_transformer_keeps_its_columns(monkeypatch, drawn) -> None:
    image = drawn[0][:, :120]
    step = extract.CellFeatures("fast", n_jobs=1).fit([image])
    names, values = step.get_feature_names_out().tolist(), step.transform([image])
    assert names == extract.columns("fast")
    # As if a later version had other columns in the set.
    step.columns_ = ["cell__shape__area", "nucleus__boundary__bending_energy"]
    step.n_features_out_ = 2
    both = extract.CellFeatures(["shape", "boundary"], n_jobs=1).set_output(transform="pandas")
    expected = both.fit_transform([image])[step.columns_].to_numpy()
    assert step.get_feature_names_out().tolist() == step.columns_
    np.testing.assert_array_equal(step.transform([image]), expected)
    step.columns_ = ["cell__gone__area", "nucleus__shape__area"]
    with pytest.raises(ValueError, match=r"were 2 columns when the step was fitted.*fit it again"):
        step.transform([image])
    np.testing.assert_array_equal(step.fit([image]).transform([image]), values)


def test_a_transformer_of_an_earlier_version_keeps_its_columns(drawn) -> None:
    image = drawn[0][:, :120]
    step = extract.CellFeatures(["fast"], n_jobs=1).fit([image])
    del step.columns_
    step.n_features_out_ = 582
    former = ["shape", "colour", "density", "intensity", "glcm", "gldm"]
    assert step.get_feature_names_out().tolist() == extract.columns(former)
    expected = extract.CellFeatures(former, n_jobs=1).fit_transform([image])
    np.testing.assert_array_equal(step.transform([image]), expected)
