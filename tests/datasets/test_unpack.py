"""Archives are unpacked into one folder and nowhere else, or rejected completely."""

from __future__ import annotations

import gzip
import io
import shutil
import stat
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hemafeat import datasets
from hemafeat.datasets import DatasetError
from hemafeat.datasets._download import unpack as _unpack
from support import trees
from support.archives import make_zip, write_file


def _refused(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    archive = write_file(tmp_path / name, data)
    before = {file for file in tmp_path.parent.rglob("*") if "evil" in file.name}
    with pytest.raises(DatasetError, match=words):
        _unpack.unpack(archive, tmp_path / "out" / "deep")
    assert not (tmp_path / "out" / "deep").exists()
    assert not list((tmp_path / "out").iterdir())
    assert {file for file in tmp_path.parent.rglob("*") if "evil" in file.name} == before


@pytest.mark.parametrize(
    "name",
    [
        *("../evil.txt", "a/../../evil.txt", "/tmp/evil-absolute.txt", "..\\evil.txt"),
        *("C:\\evil.txt", "C:evil.txt", "\\\\host\\share\\evil.txt", "a/..", "//evil.txt"),
    ],
)
def test_names_that_lead_out_are_refused(tmp_path, name):
    _refused(tmp_path, "a.zip", make_zip({"fine.txt": "x", name: "x"}), "leads out of its folder")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    _refused(tmp_path, "b.tar", stream.getvalue(), "leads out of its folder")


def test_links_and_devices_are_refused(tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc")
        archive.writestr("link/evil.txt", "x")
    _refused(tmp_path, "a.zip", stream.getvalue(), "'link', a link")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w:gz") as archive:
            info = tarfile.TarInfo("thing")
            info.type, info.linkname = kind, "../../evil"
            archive.addfile(info)
        _refused(tmp_path, "b.tar.gz", stream.getvalue(), "'thing', a (link|device)")


def test_bombs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(_unpack, "FREE_BYTES", 100_000)
    _refused(tmp_path, "a.zip", make_zip({"zeros": bytes(10**7)}), r"would become 10 MB")
    monkeypatch.setattr(_unpack, "MAX_FILES", 3)
    _refused(tmp_path, "b.zip", make_zip({str(n): "x" for n in range(4)}), "holds 4 files")
    # An entry that is larger than stated.
    data = bytearray(make_zip({"a.txt": b"x" * 5000}))
    position = data.rindex(b"PK\x01\x02") + 24
    data[position : position + 4] = (10).to_bytes(4, "little")
    _refused(tmp_path, "c.zip", bytes(data), "damaged archive|larger than stated")


def test_damaged_archives(tmp_path):
    whole = make_zip({"a.txt": np.random.default_rng(0).bytes(5000)})
    flipped = bytearray(whole)
    flipped[1000] ^= 0xFF
    _refused(tmp_path, "a.zip", bytes(flipped), "damaged archive")
    _refused(tmp_path, "b.zip", whole[:2000], "damaged archive")
    _refused(tmp_path, "c.zip", b"<html>", "damaged archive")
    _refused(tmp_path, "d.tar.gz", b"<html>", "damaged archive")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.txt", "x")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.txt", "y")
    _refused(tmp_path, "e.zip", stream.getvalue(), "twice")


def _tar_gz(*headers: tuple[bytes, int, bytes]) -> bytes:
    """Return a TAR of entries (type, stated size, content); zeros follow up to the stated size."""
    stream = io.BytesIO()
    with gzip.open(stream, "wb", compresslevel=9) as file:
        for number, (kind, size, content) in enumerate(headers):
            info = tarfile.TarInfo(f"entry{number}")
            info.type, info.size = kind, size
            file.write(info.tobuf(tarfile.GNU_FORMAT) + content)
            missing = size + -size % 512 - len(content)
            for _ in range(0, missing, 2**20):
                file.write(bytes(min(2**20, missing)))
                missing -= 2**20
        file.write(bytes(1024))
    return stream.getvalue()


def test_a_name_of_gigabytes_is_not_read(tmp_path):
    for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE):
        data = _tar_gz((kind, 2**26, b"x"), (tarfile.REGTYPE, 1, b"x"))
        tracemalloc.start()
        _refused(tmp_path, "a.tgz", data, r"damaged archive: .*a name of 67,108,864 bytes")
        assert tracemalloc.get_traced_memory()[1] < 2**24
        tracemalloc.stop()


def test_tars_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(_unpack, "FREE_BYTES", 2**20)
    monkeypatch.setattr(_unpack, "MAX_RATIO", 10)
    many = _tar_gz(*[(tarfile.REGTYPE, 0, b"")] * 4000)
    _refused(tmp_path, "a.tgz", many, r"would become \d+ MB")
    large = _tar_gz((tarfile.REGTYPE, 2**26, b""))
    _refused(tmp_path, "b.tgz", large, r"would become \d+ MB|67 MB")
    monkeypatch.setattr(_unpack, "FREE_BYTES", 2**30)
    monkeypatch.setattr(_unpack, "MAX_FILES", 100)
    _refused(tmp_path, "c.tgz", many, "holds 101 files")


@pytest.mark.parametrize("seed", range(4))
def test_mutated_archives(tmp_path, seed):
    """Whatever is damaged, the archive is unpacked as a whole or refused with a `DatasetError`."""
    rng = np.random.default_rng(seed)
    body = {f"a/{number}.txt": bytes(rng.integers(0, 4, 300, np.uint8)) for number in range(4)}
    archives = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as archive:
            for name, content in body.items():
                archive.writestr(name, content)
        archives.append(("a.zip", stream.getvalue()))
    for mode in ("w:gz", "w:bz2", "w:xz", "w"):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode=mode) as archive:
            for name, content in body.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        archives.append(("a.tar" if mode == "w" else "a.tgz", stream.getvalue()))
    refused = 0
    for name, data in archives:
        for _ in range(25):
            damaged = bytearray(data)
            for at in rng.integers(0, len(data), rng.integers(1, 6)):
                damaged[at] = rng.integers(256)
            if rng.random() < 0.2:
                del damaged[rng.integers(len(damaged)) :]
            archive = write_file(tmp_path / name, bytes(damaged))
            try:
                _unpack.unpack(archive, tmp_path / "out" / "deep")
                shutil.rmtree(tmp_path / "out" / "deep")
            except DatasetError:
                refused += 1
            assert not list((tmp_path / "out").iterdir())
    assert refused > 80
    assert {file.name for file in tmp_path.iterdir()} == {"a.zip", "a.tar", "a.tgz", "out"}


def test_entries_that_contradict_each_other(tmp_path):
    _refused(tmp_path, "a.zip", make_zip({"a": "x", "a/b": "x"}), "cannot be unpacked|twice")
    _refused(tmp_path, "b.zip", make_zip({"a/b": "x", "a": "x"}), "cannot be unpacked|twice")
    _refused(tmp_path, "c.zip", make_zip({"n" * 300: "x"}), "cannot be unpacked: File name too")


def test_a_tar_is_unpacked(tmp_path):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        archive.add(trees.pbc(tmp_path / "made"), "pbc")
    _unpack.unpack(write_file(tmp_path / "a.tgz", stream.getvalue()), tmp_path / "out")
    assert len(datasets.pbc(tmp_path / "out")) == 7
    # An existing folder is replaced after the archive is unpacked.
    _unpack.unpack(write_file(tmp_path / "b.zip", make_zip({"a/b.txt": "x"})), tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"a"}
