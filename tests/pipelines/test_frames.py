"""Tables of other libraries are read by the names of their columns, at every door."""

from __future__ import annotations

import importlib

import numpy as np
import pandas as pd
import pyarrow
import pytest

from hemafeat import datasets, evaluate, extract, networks, pipelines, report

QUICK = {"n_splits": 2, "n_boot": 10, "importance": False}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"image": [f"{n}.png" for n in range(24)], "cell": 1})
    frame["patient"] = [f"P{n // 4}" for n in range(24)]
    frame["label"] = np.array(["a", "b"])[np.arange(24) // 4 % 2]
    for number, name in enumerate(["area", "perimeter_crofton", "solidity"]):
        shift = 3.0 * (number == 0) * (frame["label"] == "a")
        frame[f"cell__shape__{name}"] = rng.normal(size=24) + shift
    frame.loc[3, "cell__shape__solidity"] = np.nan
    frame["um_per_px"] = 0.1
    return frame


class Frame:
    """Frame of some library, which converts itself."""

    def __init__(self, frame):
        self.columns = list(frame.columns)
        self._frame = frame

    def to_pandas(self):
        return self._frame


class Lazy(Frame):
    """Frame that is computed first."""

    to_pandas = None

    def compute(self):
        return self._frame


class Arrow:
    """Frame that speaks the protocol of Arrow only."""

    def __init__(self, frame):
        self._table = pyarrow.Table.from_pandas(frame)
        self.column_names = self._table.column_names

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


def polars(frame):
    return pytest.importorskip("polars").from_pandas(frame)


def lazy_polars(frame):
    return polars(frame).lazy()


def dask(frame):
    pytest.importorskip("dask")
    return importlib.import_module("dask.dataframe").from_pandas(frame, npartitions=2)


KINDS = {
    "polars": polars,
    "lazy_polars": lazy_polars,
    "dask": dask,
    "pyarrow": pyarrow.Table.from_pandas,
    "batch": pyarrow.RecordBatch.from_pandas,
    "mapping": lambda frame: frame.to_dict("list"),
    "records": lambda frame: frame.to_dict("records"),
    "frame": Frame,
    "lazy": Lazy,
    "arrow": Arrow,
}


@pytest.mark.parametrize("kind", KINDS)
def test_columns_are_found_by_their_names(table, kind, tmp_path):
    """Give the columns in reverse, so that reading them by position would be noticed."""
    given = KINDS[kind](table[table.columns[::-1]])
    model = pipelines.logistic().fit(table, table["label"])
    expected = model.predict_proba(table)
    np.testing.assert_array_equal(model.predict_proba(given), expected)
    again = pipelines.logistic().fit(given, table["label"])
    np.testing.assert_allclose(again.predict_proba(table), expected, atol=1e-6)
    assert list(again[0].feature_names_in_) == extract.feature_columns(table)[::-1]
    loaded = pipelines.load(pipelines.save(again, tmp_path / "m.hemafeat"))
    np.testing.assert_array_equal(loaded.predict(given), model.predict(table))
    assert extract.units(given) == extract.units(table)
    assert extract.feature_columns(given) == extract.feature_columns(table)[::-1]
    assert datasets.as_table(given)["image"].tolist() == table["image"].tolist()
    assert networks.image_sources(given) == table["image"].tolist()
    assert pipelines.bags(given).index.tolist() == pipelines.bags(table).index.tolist()
    folds = pipelines.GroupedFolds(2, column="patient", random_state=0)
    for one, other in zip(
        folds.split(given, table["label"]), folds.split(table, table["label"]), strict=True
    ):
        np.testing.assert_array_equal(one[1], other[1])


def test_comparisons_and_pages(table, tmp_path):
    given = Frame(table)
    for level in ("cell", "patient"):
        models = ["logistic"] if level == "cell" else ["table_means"]
        options = QUICK if level == "cell" else {**QUICK, "rare": "error"}
        found = evaluate.compare(models, given, groups="patient", level=level, **options)
        expected = evaluate.compare(models, table, groups="patient", level=level, **options)
        pd.testing.assert_frame_equal(found.results, expected.results)
    extract.save(given, tmp_path / "t.parquet")
    assert extract.load(tmp_path / "t.parquet").shape == table.shape
    comparison = evaluate.compare(["logistic"], table, groups="patient", **QUICK)
    assert report.page(comparison, tmp_path / "page.html", table=given).is_file()


def test_labels_of_polars(table):
    frame = pytest.importorskip("polars").from_pandas(table)
    for name in ("svc", "xgboost"):
        model = pipelines.make(name).fit(frame, frame["label"])
        expected = pipelines.make(name).fit(table, table["label"]).predict_proba(table)
        np.testing.assert_allclose(model.predict_proba(frame), expected, atol=1e-6)


def test_a_frame_that_cannot_be_converted_is_named(table):
    class Broken(Frame):
        def to_pandas(self):
            raise RuntimeError("the server is away\ntraceback")

    model = pipelines.logistic().fit(table, table["label"])
    message = r"a \w+ Broken cannot be converted .*: the server is away$"
    for use in (model.predict, extract.units, datasets.as_table, pipelines.bags):
        with pytest.raises(ValueError, match=message):
            use(Broken(table))
    for use in (extract.units, pipelines.bags, lambda x: evaluate.compare(["svc"], x)):
        with pytest.raises(ValueError, match="needs a table with named columns, not a list"):
            use([1.0, 2.0])


TWICE = "several columns of one name: cell__shape__area, cell__shape__solidity; keep one"


@pytest.mark.parametrize(
    "use",
    [
        lambda t, m, loaded: pipelines.svc().fit(t, t["label"]),
        lambda t, m, loaded: m.predict(t),
        lambda t, m, loaded: m[0].transform(t),
        lambda t, m, loaded: loaded.predict(t),
        lambda t, m, loaded: evaluate.compare(["baseline"], t),
        lambda t, m, loaded: evaluate.compare(["baseline"], t, level="patient"),
        lambda t, m, loaded: pipelines.bags(t),
        lambda t, m, loaded: extract.units(t),
        lambda t, m, loaded: extract.save(t, "never.parquet"),
        lambda t, m, loaded: extract.CellFeatures(["shape"]).fit(t),
        lambda t, m, loaded: datasets.as_table(t),
    ],
)
def test_columns_given_twice_are_named(table, use, tmp_path):
    model = pipelines.logistic().fit(table, table["label"])
    loaded = pipelines.load(pipelines.save(model, tmp_path / "m.hemafeat"))
    twice = pd.concat([table, table[["cell__shape__area", "cell__shape__solidity"]]], axis=1)
    with pytest.raises(ValueError, match=TWICE):
        use(twice, model, loaded)


def test_names_asked_for_twice_are_named(table):
    names = ["cell__shape__area", "cell__shape__solidity", "cell__shape__area"]
    for use in (
        lambda: pipelines.FeatureColumns(names).fit(table),
        lambda: evaluate.compare(["baseline"], table, columns=names),
        lambda: pipelines.bags(table, columns=names),
    ):
        with pytest.raises(ValueError, match=r"named twice: cell__shape__area$"):
            use()
