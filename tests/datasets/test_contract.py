"""Requirements on the loader of every public data set, checked on a small tree of its layout."""

from __future__ import annotations

import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets, images
from hemafeat.cli import _arguments
from hemafeat.datasets import DatasetError
from hemafeat.datasets._registry import DATASETS
from support.bad_files import encoded, picture
from support.image_trees import check
from support.trees import TREES, image

COUNTS = {
    "all_idb1": 3,
    "all_idb2": 3,
    "aml_hehr": 4,
    "aml_lmu": 5,
    "apl": 11,
    "bccd": 3,
    "bloodmnist": 15,
    "cnmc": 2,
    "lisc": 6,
    "lymphocytosis": 5,
    "mll23": 5,
    "pbc": 7,
    "raabin": 4,
    "segwbc": 4,
}
NAMES = sorted(TREES)


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


def load(name: str, root: Path) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", datasets.DatasetWarning)
        return datasets.load(name, root)


def test_every_data_set_has_a_tree_a_command_and_a_public_loader():
    names = set(datasets.LOADERS) - {"folder"}
    assert set(NAMES) == set(COUNTS) == names == set(_arguments.DATASETS)
    for name in names:
        assert datasets.LOADERS[name] is getattr(datasets, name)
    assert "lips" not in datasets.LOADERS


def test_the_guide_lists_every_data_set():
    page = (Path(__file__).parents[2] / "docs" / "guide" / "datasets.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) \| [^|]+ \| (named|not named) \|", page, re.M)
    entries = {name: entry for name, entry in DATASETS.items() if entry.loader}
    assert [name for name, _, _ in rows] == list(entries)
    for name, n_images, patients in rows:
        assert int(n_images.replace(",", "")) == entries[name].images
        assert ("not named" in entries[name].patients) == (patients == "not named")
        assert f"datasets.{name}(root" in page


def test_columns_types_and_images(name, tmp_path):
    table = load(name, TREES[name](tmp_path))
    check(table)
    assert len(table) == COUNTS[name]
    assert table["image"].is_unique
    assert table["dataset"].notna().all()
    assert table["label"].notna().any()
    assert table["label_raw"].notna().any()
    for path in table["image"]:
        pixels = images.read(path)
        assert pixels.ndim == 3
        assert pixels.dtype == np.uint8
    for column in table.columns[len(datasets.COLUMNS) :]:
        kind = table[column].dtype
        assert kind == np.float64 or pd.api.types.is_string_dtype(kind), column
    # All images of a patient are in one group.
    patients = table.dropna(subset=["patient"])
    assert len(patients.drop_duplicates(["patient", "group"])) == patients["patient"].nunique()


def test_any_folder_above_will_do(name, tmp_path):
    root = TREES[name](tmp_path / "a" / "b")
    inside, above = load(name, root), load(name, tmp_path)
    pd.testing.assert_frame_equal(inside.drop(columns="group"), above.drop(columns="group"))


def test_the_order_of_the_file_system_does_not_count(name, tmp_path, monkeypatch):
    root = TREES[name](tmp_path)
    expected = load(name, root)
    listed = __import__("os").walk

    def backwards(top, **options):
        for parent, folders, files in listed(top, **options):
            folders.reverse()
            yield parent, folders, files[::-1]

    monkeypatch.setattr("hemafeat.datasets._table.os.walk", backwards)
    pd.testing.assert_frame_equal(load(name, root), expected)


def test_a_wrong_folder_is_one_error_that_says_what_to_do(name, tmp_path):
    image(tmp_path / "wing" / "feather.png")
    with pytest.raises(DatasetError) as caught:
        datasets.load(name, tmp_path)
    message = str(caught.value)
    facts = datasets.catalogue().set_index("name").loc[name]
    for words in (str(tmp_path), "expected ", "found wing/", facts["where"], facts["licence"]):
        assert words in message
    assert facts["title"] in message
    if facts["download"]:
        assert f"hemafeat download {name}" in message
    with pytest.raises(DatasetError, match="does not exist"):
        datasets.load(name, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="an empty folder"):
        datasets.load(name, tmp_path / "empty")


def test_an_empty_file_is_listed_and_says_so_when_it_is_read(name, tmp_path):
    root = TREES[name](tmp_path)
    if name == "bloodmnist":
        root.write_bytes(b"")
        with pytest.raises(DatasetError, match=r"bloodmnist\.npz is not an archive of arrays"):
            load(name, root)
        return
    first = load(name, root)["image"].iloc[0]
    Path(first).write_bytes(b"")
    table = load(name, root)
    assert len(table) == COUNTS[name]
    assert first in set(table["image"])
    with pytest.raises(images.ImageError, match="is empty"):
        images.read(first)


def test_what_a_file_is_called_does_not_count(name, tmp_path):
    """A file named as JPEG, BMP or TIFF may be a PNG of another size."""
    if name == "bloodmnist":
        pytest.skip("its images have no names")
    root = TREES[name](tmp_path)
    first = load(name, root)["image"].iloc[0]
    Path(first).write_bytes(encoded(picture(31, 17), "PNG"))
    assert len(load(name, root)) == COUNTS[name]
    assert images.read(first).shape == (31, 17, 3)


def test_identical_images_share_a_group(name, tmp_path):
    root = TREES[name](tmp_path)
    if name == "bloodmnist":
        table = load(name, root)
        twins = datasets.duplicates(table)
        assert list(twins["image"].str.extract("#image=(.*)")[0]) == [
            "train_images,1",
            "test_images,1",
        ]
        assert table["group"].nunique() == len(table) - 1
        return
    table = load(name, root)
    rows = table[table["label"].notna()]
    first, last = rows["image"].iloc[0], rows["image"].iloc[-1]
    shutil.copy(first, last)
    groups = load(name, root).set_index("image")["group"]
    assert groups[first] == groups[last]


def test_a_table_survives_a_file(name, tmp_path):
    table = load(name, TREES[name](tmp_path))
    table.to_csv(tmp_path / "images.csv", index=False)
    again = datasets.as_table(tmp_path / "images.csv")
    columns = list(datasets.COLUMNS)
    pd.testing.assert_frame_equal(again[columns], table[columns])


def test_catalogue():
    table = datasets.catalogue()
    assert set(table["name"]) == set(NAMES) | {"wbcatt"}
    assert table["name"].is_unique
    assert table["images"].dtype == np.int64
    assert table["download"].dtype == bool
    assert table[["title", "licence", "where", "patients"]].notna().all(axis=None)
    assert table["where"].str.startswith("http").all()
    counts = table.set_index("name")["images"]
    # Numbers of the parts of each data set, as published.
    assert counts["bloodmnist"] == counts["pbc"] == 11959 + 1712 + 3421
    assert counts["cnmc"] == 7272 + 3389 + 1219 + 648 + 2586
    assert counts["lymphocytosis"] == 13453 + 3258
    assert counts["wbcatt"] == 6169 + 1030 + 3099
    assert counts["raabin"] == 10175 + 4339 + 2119
