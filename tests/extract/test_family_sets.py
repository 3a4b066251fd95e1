"""Sets of families, and their measured costs."""

from __future__ import annotations

import math

import pytest

from hemafeat import extract
from hemafeat.extract._family import SETS, FamilyError, choose


def test_each_set_holds_the_smaller_ones() -> None:
    fast, default, everything = (extract.columns(name) for name in SETS)
    assert 0 < len(fast) < len(default) < len(everything)
    assert set(fast) < set(default) < set(everything)


def test_a_column_is_the_same_in_every_set() -> None:
    described = {name: extract.describe(name).set_index("column") for name in SETS}
    for smaller, larger in (("fast", "default"), ("default", "all")):
        shared = described[smaller]
        assert shared.equals(described[larger].loc[shared.index])


def test_sets_and_names_may_be_mixed() -> None:
    names = list(choose(["dct_zigzag", "fast"]))
    assert set(names) == {*choose("fast"), "dct_zigzag"}
    assert names == list(choose(["fast", "dct_zigzag", "fast"]))


def test_the_error_of_an_unknown_family_lists_the_families() -> None:
    with pytest.raises(FamilyError, match=r"no family 'slow'.*shape.*fast, default, all"):
        choose("slow")


def test_every_family_of_this_package_has_a_measured_cost() -> None:
    frame = extract.families().frame()
    assert list(frame["columns"]) == [len(extract.columns([name])) for name in frame.index]
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
