"""Read images by URI through fsspec."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets, extract, images
from hemafeat.cli import main
from support.shard_work import disc

fsspec = pytest.importorskip("fsspec")


def encoded(grey: int = 90, suffix: str = ".png") -> bytes:
    image = np.full((20, 30, 3), grey, np.uint8)
    image[5:15, 5:20] = (200, 30, grey)
    return cv2.imencode(suffix, image)[1].tobytes()


@pytest.fixture
def bucket():
    """Create a folder in the memory of fsspec with images and other files."""
    system = fsspec.filesystem("memory")
    system.mkdir("/cells/empty")
    names = ["b/2.png", "a/1.PNG", "a/notes.txt", "a/.hidden.png", "masks/1.png", "b/deep/3.jpg"]
    for grey, name in enumerate(names):
        system.pipe_file(f"/cells/{name}", encoded(90 + grey))
    yield "memory://cells"
    system.rm("/cells", recursive=True)


def test_what_is_a_uri() -> None:
    for name in ("s3://bucket/a.png", "https://host/a.png", "zip://a.png::s3://b/c.zip"):
        assert images.is_uri(name)
    for name in (
        "a.png",
        "/a/b.png",
        "C:\\a.png",
        "C:/a.png",
        "a:b.png",
        Path("s3://a"),
        b"s3://a",
    ):
        assert not images.is_uri(name)


def test_read(bucket: str, tmp_path: Path) -> None:
    expected = images.read(encoded(90))
    np.testing.assert_array_equal(images.read(f"{bucket}/b/2.png"), expected)
    part = images.read(f"{bucket}/b/2.png#xywh=5,5,10,8")
    np.testing.assert_array_equal(part, expected[5:13, 5:15])
    (tmp_path / "a b.png").write_bytes(encoded(90))
    np.testing.assert_array_equal(images.read(f"file://{tmp_path}/a b.png"), expected)
    local = f"file://localhost{tmp_path}/a b.png#xywh=5,5,10,8"
    np.testing.assert_array_equal(images.read(local), part)


RUNS_CODE = "{% set x = cycler.__init__.__globals__.os.system('echo > CREATED') %}"


@pytest.mark.parametrize(
    "uri",
    [
        *("reference://a.png::file://TMP/refs.json", "reference://a.png::TMP/refs.json"),
        *("zip://in/1.png::TMP/cells.zip", "simplecache::file://TMP/a.png", "filecache::s3://b/a"),
        *(
            "file://TMP/a.png::reference",
            "file://TMP/a.png::zip",
            "memory://a.png::file://TMP/a.png",
        ),
        *("reference://TMP/refs.json", "zip://TMP/cells.zip", "sftp://host/a.png", "data://a.png"),
        *(
            "github://o:r@main/a.png",
            "hf://datasets/o/r/a.png",
            "smb://h/a.png",
            "FILE://TMP/a.png",
        ),
        *(
            "blockcache::memory://cells/b/2.png",
            "dir::file://TMP/a.png",
            "jlab://h/a",
            "git://a/b.png",
        ),
    ],
)
def test_other_protocols_and_chains_are_refused(uri: str, tmp_path: Path, capsys) -> None:
    """fsspec would open them; of ``reference://`` it renders templates as code."""
    references = {
        "version": 1,
        "templates": {"f": RUNS_CODE},
        "gen": [{"key": "a.png", "url": "{{f}}", "dimensions": {"i": {"stop": 1}}}],
        "refs": {"a.png": "base64:aGVsbG8="},
    }
    (tmp_path / "refs.json").write_text(json.dumps(references), encoding="utf-8")
    (tmp_path / "a.png").write_bytes(encoded(90))
    with zipfile.ZipFile(tmp_path / "cells.zip", "w") as archive:
        archive.writestr("in/1.png", encoded(90))
    uri = uri.replace("TMP", str(tmp_path))
    for read in (images.read, images.read_labels, images.file_system):
        with pytest.raises(images.ImageError, match=r"protocols are file, http|chain of URIs"):
            read(uri)
    with pytest.raises(datasets.DatasetError, match=r"protocols are file, http|chain of URIs"):
        datasets.as_table(uri)
    # The name may stand in a table, as an image or as a mask.
    listed = pd.DataFrame({"image": [uri, str(tmp_path / "a.png")]})
    table = extract.table(listed, segmenter=disc, families=["shape"])
    assert list(table["image"]) == [str(tmp_path / "a.png")]
    assert list(extract.errors(table)["image"]) == [uri]
    listed["mask"] = listed["image"].to_numpy()[::-1]
    masked = extract.table(listed, masks="given", families=["shape"])
    assert uri in " ".join(extract.errors(masked)["message"])
    assert main(["extract", uri, "--out", str(tmp_path / "out")]) in (1, 2)
    assert "not read" in capsys.readouterr().err
    assert not list(tmp_path.rglob("CREATED"))


def test_what_cannot_be_read_is_said(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(images.ImageError, match=r"memory://cells/no\.png does not exist"):
        images.read("memory://cells/no.png")
    with pytest.raises(images.ImageError, match=r"protocol 'nosuch', which is not read"):
        images.read("nosuch://cells/no.png")
    fsspec.filesystem("memory").pipe_file("/cells/text.png", b"hello hello")
    with pytest.raises(images.ImageError, match="is not a JPEG, PNG"):
        images.read("memory://cells/text.png")
    fsspec.filesystem("memory").pipe_file("/cells/large.png", bytes(2**20 + 20))
    with pytest.raises(images.ImageError, match="is a file of 1 MB, too large"):
        images.read("memory://cells/large.png", max_pixels=1)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(images.ImageError, match=r'install .*"?fsspec'):
        images.read(f"{bucket}/b/2.png")


def test_a_folder_is_listed(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = datasets.as_table(bucket)
    assert list(listed["image"]) == [
        "memory:///cells/a/1.PNG",
        "memory:///cells/b/2.png",
        "memory:///cells/b/deep/3.jpg",
    ]
    assert list(listed["label"]) == ["a", "b", "deep"]
    table = datasets.as_table(f"{bucket}/b/2.png#xywh=1,1,5,5")
    assert (len(table), table["label"].isna().all()) == (1, True)
    assert datasets.as_table(f"{bucket}/a")["label"].isna().all()
    for uri, message in (
        ("memory://nothing/here/", "cannot be listed: it does not exist"),
        ("memory://cells/empty", "holds no images"),
        ("nosuch://bucket", "protocol 'nosuch', which is not read"),
    ):
        with pytest.raises(datasets.DatasetError, match=message):
            datasets.as_table(uri)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(datasets.DatasetError, match=r'install .*"?fsspec'):
        datasets.as_table(bucket)


def test_measured_by_uri_as_by_path(bucket: str, tmp_path: Path) -> None:
    system = fsspec.filesystem("memory")
    for name in ("a/1.PNG", "b/2.png", "b/deep/3.jpg"):
        (tmp_path / "cells" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cells" / name).write_bytes(system.cat_file(f"/cells/{name}"))
    settings = {"segmenter": disc, "families": ["shape", "colour"]}
    by_path = extract.table(tmp_path / "cells", **settings)
    by_uri = extract.table(bucket, out=tmp_path / "out", **settings)
    names = ["label", "cell", *extract.columns(["shape", "colour"])]
    assert len(by_uri) == 3
    np.testing.assert_array_equal(by_uri[names[2:]], by_path[names[2:]])
    assert by_uri[names[:2]].equals(by_path[names[:2]])
    assert extract.stream(bucket, tmp_path / "out", **settings).n_kept == 1


def test_a_table_may_name_uris(bucket: str, tmp_path: Path, capsys) -> None:
    table = tmp_path / "images.csv"
    table.write_text(f"image,mask\n{bucket}/b/2.png,\nlocal.png,\n", encoding="utf-8")
    assert list(datasets.as_table(table)["image"]) == [
        f"{bucket}/b/2.png",
        str(tmp_path / "local.png"),
    ]
    out = tmp_path / "out"
    words = ["extract", f"{bucket}/b", "--out", str(out), "--families", "shape", "--cells", "all"]
    main(words)
    printed = capsys.readouterr()
    assert "2 images" in printed.out, printed.err
