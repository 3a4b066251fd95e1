"""Downloads from a local server: interrupted, changed, wrong and malicious."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import numpy as np
import pytest

from hemafeat import datasets
from hemafeat.cli import main
from hemafeat.datasets import DatasetError
from hemafeat.datasets._download import fetch as _fetch, unpack as _unpack
from hemafeat.datasets._registry import DATASETS, Remote
from support import trees
from support.archives import make_zip, write_file
from support.cutting_server import Served, serving

BODY = np.random.default_rng(0).bytes(3_000_000)
MD5 = f"md5:{hashlib.md5(BODY).hexdigest()}"
SHA = f"sha256:{hashlib.sha256(BODY).hexdigest()}"


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(_fetch, "PAUSE", 0.0)
    with serving() as served:
        yield served


def offer(monkeypatch, server: Served, name: str, files: dict[str, bytes], **checksums) -> None:
    """Replace the files of data set `name` by files of the server, with these checksums."""
    server.files = {f"/{file}": body for file, body in files.items()}
    remotes = tuple(
        Remote(f"{server.url}/{file}", file, checksums.get(file.split(".")[0])) for file in files
    )
    monkeypatch.setitem(DATASETS, name, DATASETS[name]._replace(files=remotes, record=""))


def left_in(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if not file.name.endswith(".lock")}


def zip_folder(folder: Path) -> bytes:
    return make_zip(
        {
            file.relative_to(folder.parent).as_posix(): file.read_bytes()
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }
    )


# --- One file ---------------------------------------------------------------------------------


def test_fetch(server, tmp_path):
    server.files = {"/a.bin": BODY}
    path, checksum = _fetch.fetch(f"{server.url}/a.bin?download=1", tmp_path / "a.bin", MD5)
    assert path.read_bytes() == BODY
    assert checksum == SHA
    assert left_in(tmp_path) == {"a.bin"}
    # A valid file is not requested again.
    _fetch.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", MD5)
    assert len(server.requests) == 1
    path.write_bytes(b"bad")
    _fetch.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", SHA)
    assert path.read_bytes() == BODY


def test_a_connection_cut_in_the_middle_goes_on(server, tmp_path):
    server.files = {"/a.bin": BODY}
    server.cuts = [1_500_000, 0, 700_000]
    path, _ = _fetch.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", MD5)
    assert path.read_bytes() == BODY
    starts = [int(requested[6:-1]) for requested in server.requested_ranges() if requested]
    assert len(starts) == 3
    # Only the data in transit when the connection broke are sent twice.
    assert starts == sorted(starts)
    assert 0 < starts[0] <= 1_500_000
    assert starts[2] > starts[1]
    assert left_in(tmp_path) == {"a.bin"}


def test_a_later_call_continues(server, tmp_path, monkeypatch):
    monkeypatch.setattr(_fetch, "ATTEMPTS", 1)
    server.files = {"/a.bin": BODY}
    server.cuts = [2_000_000]
    with pytest.raises(DatasetError, match=r"cannot be downloaded.*MB received are kept"):
        _fetch.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", MD5)
    assert not (tmp_path / "a.bin").exists()
    kept = (tmp_path / ".a.bin.part").stat().st_size
    assert kept > 0
    path, _ = _fetch.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", MD5)
    assert server.requested_ranges() == ["", f"bytes={kept}-"]
    assert path.read_bytes() == BODY


def test_a_file_that_changed_on_the_server_is_begun_anew(server, tmp_path, monkeypatch):
    monkeypatch.setattr(_fetch, "ATTEMPTS", 1)
    server.files = {"/a.bin": BODY}
    server.cuts = [2_000_000]
    with pytest.raises(DatasetError):
        _fetch.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", None)
    server.files = {"/a.bin": BODY[::-1]}
    path, _ = _fetch.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", None)
    assert path.read_bytes() == BODY[::-1]


@pytest.mark.parametrize("checksum", [None, MD5])
def test_without_a_tag_only_a_checksum_lets_it_go_on(server, tmp_path, checksum):
    server.files, server.tags = {"/a.bin": BODY}, False
    server.cuts = [1_500_000]
    path, _ = _fetch.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", checksum)
    assert path.read_bytes() == BODY
    assert bool(server.requested_ranges()[1]) == (checksum is not None)


def test_servers_without_parts_or_with_wrong_ones(server, tmp_path):
    server.files, server.ranges = {"/a.bin": BODY}, False
    server.cuts = [1_500_000]
    assert _fetch.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", MD5)[0].read_bytes() == BODY
    server.ranges, server.shift = True, 5
    server.cuts = [1_500_000]
    assert _fetch.fetch(f"{server.url}/a.bin", tmp_path / "b.bin", MD5)[0].read_bytes() == BODY


def test_a_part_that_is_whole_already(server, tmp_path):
    server.files = {"/a.bin": BODY}
    url = f"{server.url}/a.bin"
    (tmp_path / ".a.bin.part").write_bytes(BODY)
    tag = f'"{MD5[4:]}"'
    (tmp_path / ".a.bin.part.json").write_text(json.dumps({"url": url, "same": tag}))
    assert _fetch.fetch(url, tmp_path / "a.bin", MD5)[0].read_bytes() == BODY
    assert server.requested_ranges() == [f"bytes={len(BODY)}-"]
    # A partial file longer than the file belongs to another file.
    (tmp_path / ".b.bin.part").write_bytes(BODY + b"more")
    (tmp_path / ".b.bin.part.json").write_text(json.dumps({"url": url, "same": tag}))
    assert _fetch.fetch(url, tmp_path / "b.bin", MD5)[0].read_bytes() == BODY


def test_a_wrong_file_does_not_stay(server, tmp_path):
    server.files = {"/a.bin": b"an error page"}
    with pytest.raises(DatasetError, match=r"not the expected file.*It was deleted"):
        _fetch.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", MD5)
    assert left_in(tmp_path) == set()
    server.files = {"/a.bin": BODY}
    assert _fetch.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", MD5)[0].read_bytes() == BODY


def test_busy_servers_are_asked_again_and_missing_files_are_not(server, tmp_path):
    server.files = {"/a.bin": BODY}
    server.codes = [503, 429, 500]
    _fetch.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", MD5)
    assert len(server.requests) == 4
    with pytest.raises(DatasetError, match="404"):
        _fetch.fetch(f"{server.url}/b.bin", tmp_path / "b.bin", MD5)
    assert len(server.requests) == 5
    server.codes = [503] * 9
    with pytest.raises(DatasetError, match="503"):
        _fetch.fetch(f"{server.url}/a.bin", tmp_path / "c.bin", MD5)
    assert len(server.requests) == 5 + _fetch.ATTEMPTS


def test_nobody_there(tmp_path, monkeypatch):
    monkeypatch.setattr(_fetch, "PAUSE", 0.0)
    with serving() as gone:
        url = gone.url
    with pytest.raises(DatasetError, match=r"cannot be downloaded.*0\.0 MB"):
        _fetch.fetch(f"{url}/a.bin", tmp_path / "a.bin", MD5)


# --- A data set -------------------------------------------------------------------------------


def test_download_and_load(server, tmp_path, monkeypatch):
    data = zip_folder(trees.pbc(tmp_path / "made"))
    offer(monkeypatch, server, "pbc", {"PBC_dataset_normal_DIB.zip": data})
    server.cuts = [500]
    folder = datasets.download("pbc", tmp_path / "pbc")
    assert folder == tmp_path / "pbc"
    table = datasets.load("pbc", folder)
    assert len(table) == 7
    assert left_in(folder) == {"PBC_dataset_normal_DIB", "hemafeat-download.json"}
    assert not list(folder.rglob("__MACOSX"))
    entry = json.loads((folder / "hemafeat-download.json").read_text())["files"]
    record = entry["PBC_dataset_normal_DIB.zip"]
    assert record["sha256"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert record["bytes"] == len(data)
    assert record["checked_against"] == "nothing: first download"
    n_requests = len(server.requests)
    datasets.download("pbc", folder)
    assert len(server.requests) == n_requests


def test_a_later_download_must_be_the_first_one(server, tmp_path, monkeypatch):
    """Without a published checksum the first download sets it."""
    offer(monkeypatch, server, "wbcatt", {"a.csv": b"img_name\n"})
    folder = datasets.download("wbcatt", tmp_path / "w")
    (folder / "a.csv").unlink()
    server.files["/a.csv"] = b"img_name,more\n"
    with pytest.raises(DatasetError, match="not the expected file"):
        datasets.download("wbcatt", folder)
    assert not (folder / "a.csv").exists()
    server.files["/a.csv"] = b"img_name\n"
    datasets.download("wbcatt", folder)
    assert (folder / "a.csv").read_bytes() == b"img_name\n"


WRONG = {
    "page": b"<!DOCTYPE html><html>please log in</html>",
    "page_late": b"\n  <html><body>504</body></html>",
    "empty": b"",
    "text": b"not found",
    "null": bytes(5000),
}


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("body", [*WRONG, "cut", "half_state"])
@pytest.mark.parametrize(
    ("name", "file"),
    [("pbc", "pbc.zip"), ("bloodmnist", "bloodmnist.npz"), ("wbcatt", "a.csv")],
)
def test_a_wrong_body_does_not_spoil_the_next(
    server, tmp_path, monkeypatch, name, file, body, keep
):
    """Without a published checksum nothing is recorded of a body that cannot be read."""
    whole = {
        "pbc": lambda: zip_folder(trees.pbc(tmp_path / "made")),
        "bloodmnist": lambda: trees.bloodmnist(tmp_path / "m", 28).read_bytes(),
        "wbcatt": lambda: b"img_name\n",
    }[name]()
    if name == "wbcatt" and body in ("text", "null", "cut", "half_state"):
        pytest.skip("text has no end that could be missing")
    offer(monkeypatch, server, name, {file: whole})
    if body == "half_state":
        server.states = [len(whole) // 2]
    elif body == "cut":
        server.files[f"/{file}"] = whole[: len(whole) // 2]
    else:
        server.files[f"/{file}"] = WRONG[body]
    to = tmp_path / "to"
    for _ in range(1 if body == "half_state" else 2):
        with pytest.raises(DatasetError, match=r"It was deleted; try again$"):
            datasets.download(name, to, keep_archives=keep)
        assert left_in(to) == {"hemafeat-download.json"}
        assert "sha256" not in (to / "hemafeat-download.json").read_text()
    server.files[f"/{file}"] = whole
    datasets.download(name, to, keep_archives=keep)
    record = json.loads((to / "hemafeat-download.json").read_text())["files"][file]
    assert record["sha256"] == f"sha256:{hashlib.sha256(whole).hexdigest()}"


def test_a_body_of_unknown_length(server, tmp_path, monkeypatch):
    data = zip_folder(trees.pbc(tmp_path / "made"))
    offer(monkeypatch, server, "pbc", {"pbc.zip": data})
    server.states, server.cuts = [-1, -1], [len(data) // 2]
    with pytest.raises(DatasetError, match=r"damaged archive.*try again"):
        datasets.download("pbc", tmp_path / "to")
    datasets.download("pbc", tmp_path / "to")
    assert len(datasets.pbc(tmp_path / "to")) == 7


def test_a_foreign_archive_is_not_deleted(server, tmp_path, monkeypatch):
    offer(monkeypatch, server, "pbc", {"pbc.zip": b"unused"})
    write_file(tmp_path / "pbc.zip", b"not an archive")
    with pytest.raises(DatasetError, match=r"damaged archive.*Delete .*pbc\.zip to download it"):
        datasets.download("pbc", tmp_path)
    assert (tmp_path / "pbc.zip").read_bytes() == b"not an archive"
    assert server.requests == []


def test_a_file_that_changed_since_the_first_download(server, tmp_path, monkeypatch):
    offer(monkeypatch, server, "wbcatt", {"a.csv": b"img_name\n"})
    datasets.download("wbcatt", tmp_path)
    (tmp_path / "a.csv").unlink()
    server.files["/a.csv"] = b"img_name,more\n"
    for _ in range(2):
        with pytest.raises(DatasetError, match=r"accept the file that is there now, delete .*json"):
            datasets.download("wbcatt", tmp_path)
    (tmp_path / "hemafeat-download.json").unlink()
    datasets.download("wbcatt", tmp_path)
    assert (tmp_path / "a.csv").read_bytes() == b"img_name,more\n"


def test_a_range_that_nobody_asked_for(server, tmp_path):
    server.files = {"/a.bin": BODY}
    server.codes = [416]
    with pytest.raises(DatasetError, match=r"cannot be downloaded: 416"):
        _fetch.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", None)
    assert left_in(tmp_path) == set()
    assert _fetch.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", None)[1] == SHA


@pytest.mark.parametrize("drip", [0.02, 5.0])
def test_a_server_that_is_stuck_or_drips(server, tmp_path, monkeypatch, drip):
    monkeypatch.setattr(_fetch, "TIMEOUT", 0.2)
    monkeypatch.setattr(_fetch, "ATTEMPTS", 2)
    server.files, server.drip = {"/a.bin": BODY}, drip
    start = time.monotonic()
    with pytest.raises(DatasetError, match=r"cannot be downloaded.*next attempt resumes"):
        _fetch.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", None)
    assert time.monotonic() - start < 4
    server.drip = 0
    assert _fetch.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", None)[1] == SHA


def test_lengths_without_a_meaning(server, tmp_path):
    server.files = {"/a.bin": BODY}
    server.states = [10**18]
    with pytest.raises(DatasetError, match=r"needs [\d.]+ GB, but only"):
        _fetch.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", None)
    assert _fetch.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", None)[1] == SHA


def test_bloodmnist_of_a_size(server, tmp_path, monkeypatch):
    small, large = (trees.bloodmnist(tmp_path / str(size), size).read_bytes() for size in (28, 64))
    checksums = {
        "bloodmnist": f"md5:{hashlib.md5(small).hexdigest()}",
        "bloodmnist_64": f"md5:{hashlib.md5(large).hexdigest()}",
    }
    files = {"bloodmnist.npz": small, "bloodmnist_64.npz": large}
    offer(monkeypatch, server, "bloodmnist", files, **checksums)
    folder = datasets.download("bloodmnist", tmp_path / "b")
    assert left_in(folder) == {"bloodmnist.npz", "hemafeat-download.json"}
    assert len(datasets.load("bloodmnist", folder)) == 15
    datasets.download("bloodmnist", folder, size=64)
    assert (folder / "bloodmnist_64.npz").read_bytes() == large
    with pytest.raises(DatasetError, match="size is 32"):
        datasets.download("bloodmnist", folder, size=32)
    with pytest.raises(DatasetError, match="size is for bloodmnist"):
        datasets.download("pbc", tmp_path / "p", size=64)


def test_an_interrupted_unpacking_is_done_again(server, tmp_path, monkeypatch):
    data = zip_folder(trees.pbc(tmp_path / "made"))
    offer(monkeypatch, server, "pbc", {"pbc.zip": data})
    with monkeypatch.context() as stop:
        stop.setattr(_unpack.os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            _unpack.unpack(write_file(tmp_path / "x.zip", data), tmp_path / "x")
    assert not (tmp_path / "x").exists()
    folder = datasets.download("pbc", tmp_path / "pbc", keep_archives=True)
    record = json.loads((folder / "hemafeat-download.json").read_text())
    del record["files"]["pbc.zip"]["done"]
    (folder / "hemafeat-download.json").write_text(json.dumps(record))
    (folder / "pbc" / "half.jpg").write_bytes(b"")
    n_requests = len(server.requests)
    datasets.download("pbc", folder)
    # The archive existed and was valid; its folder was missing.
    assert len(server.requests) == n_requests
    assert left_in(folder / "pbc") == {"PBC_dataset_normal_DIB"}


def test_a_record_that_lists_its_files(server, tmp_path, monkeypatch):
    root = trees.mll23(tmp_path / "made")
    archives = {f"{label}.zip": zip_folder(root / label) for label in ("basophil", "hairy_cell")}
    server.files = {f"/files/{name}": data for name, data in archives.items()}

    def tell(**changes) -> None:
        entries = [
            {
                "key": name,
                "checksum": f"md5:{hashlib.md5(data).hexdigest()}",
                "links": {"self": f"{server.url}/files/{name}"},
            }
            | changes
            for name, data in archives.items()
        ]
        server.files["/record"] = json.dumps({"files": entries}).encode()

    tell()
    source = DATASETS["mll23"]._replace(record=f"{server.url}/record")
    monkeypatch.setitem(DATASETS, "mll23", source)
    folder = datasets.download("mll23", tmp_path / "m")
    assert sorted(datasets.load("mll23", folder)["label"]) == ["basophil", "hairy_cell"]
    n_requests = len(server.requests)
    datasets.download("mll23", folder)
    assert len(server.requests) == n_requests
    for changes, words in (
        ({"key": "../evil.zip"}, "unsafe name '../evil.zip'"),
        ({"key": "a\\b.zip"}, "unsafe name"),
        ({"checksum": "none"}, "lists no checksum"),
        ({"checksum": "md5:" + "0" * 32}, "not the expected file"),
    ):
        tell(**changes)
        with pytest.raises(DatasetError, match=words.replace("\\", "\\\\")):
            datasets.download("mll23", tmp_path / "n")
    server.files["/record"] = b"<html>"
    with pytest.raises(DatasetError, match="does not list its files"):
        datasets.download("mll23", tmp_path / "n")


def test_what_somebody_else_put_there_is_spared(server, tmp_path, monkeypatch):
    data = zip_folder(trees.pbc(tmp_path / "made"))
    offer(monkeypatch, server, "pbc", {"pbc.zip": data})
    own = tmp_path / "p" / "pbc" / "notes.txt"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    with pytest.raises(DatasetError, match=r"pbc already exists and was not downloaded"):
        datasets.download("pbc", tmp_path / "p")
    assert own.read_text() == "mine"
    assert server.requests == []
    # An archive downloaded by hand is used and kept.
    write_file(tmp_path / "pbc.zip", data)
    datasets.download("pbc", tmp_path)
    assert server.requests == []
    assert (tmp_path / "pbc.zip").exists()
    assert len(datasets.pbc(tmp_path / "pbc")) == 7


def test_a_plain_file_is_checked_each_time(server, tmp_path, monkeypatch):
    offer(monkeypatch, server, "wbcatt", {"a.csv": BODY}, a=MD5)
    write_file(tmp_path / "a.csv", b"another")
    with pytest.raises(DatasetError, match="was not downloaded"):
        datasets.download("wbcatt", tmp_path)
    # A valid file is accepted regardless of its origin.
    write_file(tmp_path / "a.csv", BODY)
    datasets.download("wbcatt", tmp_path)
    assert server.requests == []
    write_file(tmp_path / "a.csv", b"damaged since")
    datasets.download("wbcatt", tmp_path)
    assert (tmp_path / "a.csv").read_bytes() == BODY


def test_what_cannot_be_downloaded_says_what_to_do(tmp_path):
    for row in datasets.catalogue().itertuples():
        if not row.download:
            with pytest.raises(DatasetError, match=r"By hand: ") as caught:
                datasets.download(row.name, tmp_path / "x")
            assert row.where in str(caught.value)
    assert not (tmp_path / "x").exists()
    with pytest.raises(DatasetError, match="unknown data set 'lips'"):
        datasets.download("lips", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="is a file; expected a folder"):
        datasets.download("pbc", tmp_path / "file")


def test_a_folder_of_another_set_is_left_alone(server, tmp_path, monkeypatch):
    offer(monkeypatch, server, "wbcatt", {"a.csv": b"img_name\n"})
    datasets.download("wbcatt", tmp_path)
    with pytest.raises(DatasetError, match="holds wbcatt; choose another folder for pbc"):
        datasets.download("pbc", tmp_path)
    (tmp_path / "hemafeat-download.json").write_text("{")
    with pytest.raises(DatasetError, match="is damaged; delete it"):
        datasets.download("wbcatt", tmp_path)


# --- From the command line --------------------------------------------------------------------


def test_commands(server, tmp_path, monkeypatch, capsys):
    data = zip_folder(trees.pbc(tmp_path / "made"))
    offer(monkeypatch, server, "pbc", {"pbc.zip": data})
    monkeypatch.chdir(tmp_path)
    assert main(["download", "pbc"]) == 0
    out, err = capsys.readouterr()
    assert out == "pbc\n"
    assert "CC BY 4.0" in err
    assert len(datasets.pbc(tmp_path / "pbc")) == 7
    assert main(["download", "pbc", "--to", "elsewhere", "--quiet", "--keep-archives"]) == 0
    assert capsys.readouterr() == ("elsewhere\n", "")
    assert (tmp_path / "elsewhere" / "pbc.zip").is_file()
    assert main(["download", "apl"]) == 1
    assert "By hand: log in at Kaggle" in capsys.readouterr().err
    assert main(["download", "lips"]) == 2
    assert "no data set 'lips'; choose from: all_idb1" in capsys.readouterr().err
    server.files.clear()
    assert main(["download", "pbc", "--to", "third"]) == 1
    assert "404" in capsys.readouterr().err


def test_the_list(capsys):
    assert main(["datasets"]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert len(lines) == 1 + len(datasets.catalogue())
    assert next(line for line in lines if line.startswith("mll23")).split()[1:3] == ["41,621", "18"]
    assert main(["datasets", "--format", "csv"]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("name,title,images,classes")


@pytest.mark.parametrize("command", ["download", "datasets"])
def test_help(command, capsys):
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"hemafeat {command}" in text.split("\nexamples:\n")[1]
    assert max(map(len, text.splitlines())) <= 100
