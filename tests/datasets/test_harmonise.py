"""One name for one kind of cell: the published map, and what sets that differ become."""

from __future__ import annotations

import warnings

import pandas as pd
import pytest

from hemafeat import datasets
from hemafeat.datasets import DatasetError, DatasetWarning
from support import trees

# As published with MLL23: the shared name and the names in the three data sets.
PUBLISHED = """
neutrophil_segmented neutrophil_segmented NGS SNE
myeloblast myeloblast MYO -
lymphocyte lymphocyte LYT lymphocyte
eosinophil eosinophil EOS eosinophil
monocyte monocyte MON monocyte
erythroblast normoblast EBO erythroblast
neutrophil_band neutrophil_band NGB BNE
myelocyte myelocyte MYB MY
basophil basophil BAS basophil
metamyelocyte metamyelocyte MMZ MMY
promyelocyte promyelocyte PMO PMY
"""


def test_the_fine_map_is_the_published_one():
    rows = [line.split() for line in PUBLISHED.strip().splitlines()]
    for index, name in enumerate(("mll23", "aml_lmu", "pbc"), start=1):
        expected = {row[index]: row[0] for row in rows if row[index] != "-"}
        assert datasets.LABEL_MAPS["fine"][name] == expected
    names = {row[0] for row in rows}
    table = datasets.label_map("fine")
    assert set(table["label"]) == names
    assert list(table.columns) == ["dataset", "label_raw", "label"]


def test_the_coarse_names_are_those_of_pbc():
    table = datasets.label_map("coarse")
    names = {*datasets.label_map("coarse").query("dataset == 'bloodmnist'")["label"]}
    assert len(names) == 8
    assert set(table["label"]) == names | {"blast", "smudge cell"}
    # Each name has one shared name, and every data set with a fine map has a coarse map.
    assert not table.duplicated(["dataset", "label_raw"]).any()
    assert set(table["dataset"]) == set(datasets.label_map("fine")["dataset"])


def test_harmonise_sets_that_differ(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DatasetWarning)
        parts = [
            datasets.load(name, trees.TREES[name](tmp_path / name))
            for name in ("mll23", "aml_lmu", "pbc", "apl", "bccd", "segwbc", "raabin", "bloodmnist")
        ]
    table = pd.concat(parts, ignore_index=True)
    fine = datasets.harmonise(table, "fine")
    assert set(fine["label"]) <= set(datasets.label_map("fine")["label"])
    of = fine.groupby("dataset")["label"].agg(set).to_dict()
    assert of["mll23"] == {"basophil", "erythroblast", "neutrophil_band"}
    assert of["aml_lmu"] == {"myeloblast", "myelocyte", "lymphocyte"}
    assert of["pbc"] == {"neutrophil_segmented", "neutrophil_band", "myelocyte", "monocyte"}
    assert of["apl"] == {"lymphocyte", "promyelocyte", "myelocyte", "metamyelocyte"}
    coarse = datasets.harmonise(table, "coarse", drop=False)
    assert len(coarse) == len(table)
    of = coarse.groupby("dataset")["label"].agg(lambda labels: set(labels.dropna())).to_dict()
    assert of["mll23"] == {"basophil", "erythroblast", "neutrophil"}
    assert of["aml_lmu"] == {"blast", "immature granulocyte", "lymphocyte", "smudge cell"}
    assert of["pbc"] == {"neutrophil", "immature granulocyte", "platelet", "monocyte"}
    assert of["bccd"] == {"neutrophil", "eosinophil"}
    # A cell filed under two labels has no shared name.
    torn = coarse[coarse["label_raw"].str.contains(" or ", na=False)]
    assert torn["label"].isna().all()
    assert (coarse["label_raw"].fillna("") == table["label_raw"].fillna("")).all()


def test_harmonise_a_set_of_ones_own():
    own = pd.DataFrame(
        {"image": ["a.png", "b.png"], "label": ["Neutro", "Dust"], "dataset": ["mine", "mine"]}
    )
    table = datasets.as_table(own)
    with pytest.raises(DatasetError, match="no map for the data set 'mine'"):
        datasets.harmonise(table)
    shared = datasets.harmonise(table, maps={"mine": {"neutro": "neutrophil"}})
    assert list(shared["label"]) == ["neutrophil"]
    assert list(shared["label_raw"]) == ["Neutro"]
    with pytest.raises(DatasetError, match="none of the 2 cells"):
        datasets.harmonise(table, maps={"mine": {}})
    with pytest.raises(DatasetError, match="level is 'rough'"):
        datasets.harmonise(table, "rough")
    with pytest.raises(DatasetError, match="level is 'rough'"):
        datasets.label_map("rough")
