"""Tables of cells as AnnData and in CSV files with a list of their columns."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets, evaluate, extract, images, pipelines, segment


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    cells = datasets.drawn(folder / "cells", 12, size=120, random_state=0)
    (folder / "broken.png").write_bytes(b"no image")
    broken = cells.iloc[:1].assign(image=str(folder / "broken.png"), label=pd.NA, patient="P")
    listed = pd.concat([cells.assign(age=range(12)), broken], ignore_index=True)
    # A cell without a label, and one with a value that is not defined.
    listed.loc[3, "label"] = pd.NA
    table = extract.table(listed, families=["shape", "relation"])
    table.loc[2, "nucleus__shape__area"] = np.nan
    return table


def test_describe_takes_a_table(table):
    mixed = table.assign(cell__embedding__x=1.0)
    described = extract.describe(mixed).set_index("column")
    assert list(described.index) == extract.feature_columns(mixed)
    assert described.loc["nucleus__shape__area", "unit"] == "um^2"
    plain = extract.describe("all").set_index("column")
    for name in ("meaning", "formula", "source", "reference", "robust"):
        assert (
            described.loc["nucleus__shape__area", name] == plain.loc["nucleus__shape__area", name]
        )
    unknown = described.loc["cell__embedding__x"]
    assert (unknown["family"], unknown["unit"], unknown["formula"]) == ("embedding", "", "")
    assert list(extract.describe(mixed).columns) == list(extract.describe("all").columns)


def test_csv_has_a_list_of_its_columns(table, tmp_path):
    extract.save(table, tmp_path / "t.csv")
    listed = pd.read_csv(tmp_path / "t.columns.csv").fillna("").set_index("column")
    assert list(listed.index) == [
        *(name for name in table if name not in extract.feature_columns(table)),
        *extract.feature_columns(table),
    ]
    assert listed.loc["nucleus__shape__area", "unit"] == "um^2"
    assert "pixels" in listed.loc["nucleus__shape__area", "formula"]
    assert listed.loc["age", "meaning"] == "attribute of the image"
    assert all(listed["meaning"] != "") or all(listed.loc[listed["meaning"] == "", "formula"] != "")
    assert not extract.is_result(tmp_path / "t.columns.csv")
    extract.save(table, tmp_path / "t.csv")  # replaced
    (tmp_path / "u.columns.csv").write_text("a,b\n1,2\n")
    with pytest.raises(FileExistsError, match=r"u\.columns\.csv exists and is not a list of col"):
        extract.save(table, tmp_path / "u.csv")
    assert not (tmp_path / "u.csv").exists()


def test_anndata_missing_is_one_line(table, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(ImportError, match=r'install .*"?anndata'):
        extract.to_anndata(table)
    with pytest.raises(ImportError, match=r'install .*"?anndata'):
        extract.table(list(table["image"]), families=["shape"], out=tmp_path / "t.h5ad")
    assert not list(tmp_path.iterdir())


def test_to_anndata(table):
    pytest.importorskip("anndata")
    adata = extract.to_anndata(table)
    names = extract.feature_columns(table)
    np.testing.assert_array_equal(adata.X, table[names].to_numpy())
    assert list(adata.var_names) == names
    assert adata.var.loc["nucleus__shape__area", "unit"] == "um^2"
    assert adata.obs_names[0] == f"{table['image'].iloc[0]}#1"
    assert adata.obs_names.is_unique
    assert adata.obs["label"].isna().tolist() == table["label"].isna().tolist()
    assert adata.obs["age"].tolist() == table["age"].tolist()
    assert adata.uns["hemafeat"]["measured"]["cells"] == "central"
    np.testing.assert_array_equal(adata.obsm["spatial"], table[["where__x", "where__y"]])
    # A table of an earlier version does not say where its cells lie.
    former = table.drop(columns=[name for name in table if name.startswith("where__")])
    assert "spatial" not in extract.to_anndata(former).obsm
    with pytest.raises(ValueError, match="a table of cells"):
        extract.to_anndata(pd.DataFrame({"image": ["a"], "cell": [1]}))


def test_h5ad_there_and_back(table, tmp_path):
    anndata = pytest.importorskip("anndata")
    path = tmp_path / "t.h5ad"
    extract.save(table, path)
    assert [p.name for p in tmp_path.iterdir()] == ["t.h5ad"]
    assert extract.is_result(path)
    back = extract.load(path)
    pd.testing.assert_frame_equal(
        back, table, check_dtype=False, check_column_type=False, check_categorical=False
    )
    assert extract.units(back) == extract.units(table)
    assert extract.errors(back).astype(str).equals(extract.errors(table).astype(str))
    assert len(extract.errors(back)) == 1
    assert extract.measured(back) == extract.measured(table)
    assert extract.load(path, columns=["cell", "nucleus__shape__area"]).shape == (12, 2)
    anndata.AnnData(np.zeros((2, 2))).write_h5ad(tmp_path / "other.h5ad")
    with pytest.raises(ValueError, match="not a table of cells"):
        extract.load(tmp_path / "other.h5ad")
    (tmp_path / "cut.h5ad").write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"cut\.h5ad cannot be read"):
        extract.load(tmp_path / "cut.h5ad")


def test_models_take_an_anndata(table):
    pytest.importorskip("anndata")
    labelled = table[table["label"].notna()].assign(label=["a", "b"] * 5 + ["a"])
    adata = extract.to_anndata(labelled)
    model = pipelines.logistic().fit(labelled, labelled["label"])
    other = pipelines.logistic().fit(adata, adata.obs["label"])
    np.testing.assert_array_equal(model.predict_proba(labelled), other.predict_proba(adata))
    options = {"n_splits": 2, "n_boot": 5, "importance": False, "groups": "image"}
    found = evaluate.compare("logistic", adata, **options)
    expected = evaluate.compare("logistic", labelled, **options)
    assert found.results["value"].tolist() == expected.results["value"].tolist()


def test_scanpy_takes_it(table):
    """Scale, embed and test features with scanpy; the first step of its users."""
    sc = pytest.importorskip("scanpy")
    adata = extract.to_anndata(table)
    adata = adata[:, ~np.isnan(adata.X).any(axis=0)].copy()
    sc.pp.scale(adata)
    sc.pp.pca(adata, n_comps=3)
    assert adata.obsm["X_pca"].shape == (12, 3)


def test_spatialdata_points_from_rows_to_outlines(table, tmp_path):
    pytest.importorskip("spatialdata")
    some = table.iloc[:3]
    sdata = extract.to_spatialdata(some)
    cells = sdata.tables["cells"]
    assert len(sdata.images) == len(sdata.labels) == 3
    for n, row in enumerate(cells.obs.itertuples()):
        outline = sdata.labels[row.region].to_numpy() == row.instance_id
        # In um^2.
        area = some["cell__shape__area"].iloc[n] / some["um_per_px"].iloc[n] ** 2
        assert outline.sum() == pytest.approx(area)
    name = next(iter(sdata.images))
    image = images.read(some["image"].iloc[0])
    np.testing.assert_array_equal(np.moveaxis(sdata.images[name].to_numpy(), 0, 2), image)
    sdata.write(tmp_path / "cells.zarr")
    found = [segment.contours(images.read(path)) for path in some["image"]]
    given = extract.to_spatialdata(some, masks=found)
    assert list(given.labels) == list(sdata.labels)
    with pytest.raises(ValueError, match="1 masks were given for 3 images"):
        extract.to_spatialdata(some, masks=found[:1])
    with pytest.raises(ValueError, match="the masks hold 1 cells, the table cell 2"):
        extract.to_spatialdata(some.assign(cell=2), masks=found)
