"""A result in shards is one table, is resumed or refused, and is never half-written."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow.dataset
import pyarrow.parquet
import pytest

from hemafeat import extract, segment
from hemafeat._files import locked
from hemafeat.extract._family import choose
from hemafeat.extract._table import result
from support.fault_injector import contents, flip_bit
from support.shard_work import disc, noise, slow_disc

FAMILIES = ["shape"]


@pytest.fixture
def listed(tmp_path: Path) -> pd.DataFrame:
    return noise(tmp_path / "images", 30)


def stream(images: object, out: Path, **kwargs) -> extract.Extraction:
    settings = {"segmenter": disc, "families": FAMILIES, "shard_size": 8, "n_jobs": 2}
    return extract.stream(images, out, **{**settings, **kwargs})


def write_manifest(folder: Path, manifest: dict) -> None:
    """Write a manifest of the first format, which is not signed."""
    entries = {key: value for key, value in manifest.items() if key not in ("format", "sha256")}
    (folder / "manifest.json").write_text(json.dumps(entries), "utf-8")


def assert_same(table: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(table, expected, check_exact=True)
    pd.testing.assert_frame_equal(extract.errors(table), extract.errors(expected))
    assert extract.units(table) == extract.units(expected)


def test_the_table_is_that_of_memory(listed: pd.DataFrame, tmp_path: Path) -> None:
    expected = extract.table(listed, segmenter=disc, families=FAMILIES)
    result = stream(listed, tmp_path / "out")
    assert (result.n_images, result.n_cells, result.n_errors, result.n_shards) == (30, 28, 2, 4)
    assert result.first_error() == extract.errors(expected).iloc[0].to_dict()
    assert_same(result.load(), expected)
    assert list(extract.errors(expected)["image"]) == [listed["image"][5], listed["image"][9]]
    again = extract.table(
        listed, segmenter=disc, families=FAMILIES, out=tmp_path / "other", shard_size=5, n_jobs=1
    )
    assert_same(again, expected)
    columns = extract.load(tmp_path / "out", columns=["cell__shape__area", "image"])
    assert_same(columns, expected[["cell__shape__area", "image"]])


def test_any_reader_of_parquet_sees_one_table(listed: pd.DataFrame, tmp_path: Path) -> None:
    # An attribute that is missing in a whole part, a part without cells, integers with gaps.
    listed["age"] = pd.array([None] * 8 + list(range(22)), "Int64")
    listed["note"] = [None] * 24 + ["x"] * 6
    for name in listed["image"][16:24]:
        Path(name).unlink(missing_ok=True)
    stream(listed, tmp_path / "out")
    files = sorted((tmp_path / "out" / "cells").iterdir())
    assert [file.name for file in files] == [f"part-{n:05}.parquet" for n in range(4)]
    schemas = [pyarrow.parquet.read_schema(file) for file in files]
    assert all(schema == schemas[0] for schema in schemas)
    assert str(schemas[0].field("age").type) == "int64"
    table = pd.read_parquet(tmp_path / "out" / "cells")
    assert len(table) == 20
    assert list(table.columns) == list(extract.load(tmp_path / "out").columns)
    assert table["image"].is_monotonic_increasing
    assert pyarrow.dataset.dataset(tmp_path / "out" / "cells").count_rows() == 20
    assert len(pd.read_parquet(tmp_path / "out" / "errors")) == 10


def test_polars_and_duckdb(listed: pd.DataFrame, tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    duckdb = pytest.importorskip("duckdb")
    stream(listed, tmp_path / "out")
    glob = str(tmp_path / "out" / "cells" / "*.parquet")
    area = extract.load(tmp_path / "out")["cell__shape__area"].sum()
    assert polars.scan_parquet(glob).collect()["cell__shape__area"].sum() == area
    query = f"select sum(cell__shape__area) from read_parquet('{glob}')"
    assert duckdb.sql(query).fetchall()[0][0] == area


def _varying(image: np.ndarray) -> segment.Masks:
    """Return a disc with quality columns that depend on the image."""
    masks = disc(image)
    bright = int(image[0, 0, 0])
    quality: dict[str, list] = {}
    if bright % 3 == 0:
        quality = {"round": [True], "votes": [bright]}
    elif bright % 3 == 1:
        quality = {"votes": [0.5], "remark": ["bright"]}
    return segment.Masks(masks.cell, masks.nucleus, quality)


def test_shards_that_differ_in_quality_columns_are_made_alike(
    listed: pd.DataFrame, tmp_path: Path
) -> None:
    whole = stream(listed, tmp_path / "one", segmenter=_varying, shard_size=30).load()
    assert {"quality__round", "quality__votes", "quality__remark"} <= set(whole)
    for size in (1, 3, 8):
        result = stream(listed, tmp_path / str(size), segmenter=_varying, shard_size=size)
        files = sorted((tmp_path / str(size) / "cells").iterdir())
        schemas = [pyarrow.parquet.read_schema(file) for file in files]
        assert all(schema == schemas[0] for schema in schemas)
        assert_same(result.load()[extract.columns(FAMILIES)], whole[extract.columns(FAMILIES)])
        for name in ("quality__round", "quality__votes", "quality__remark"):
            values = result.load()[name]
            assert list(values.isna()) == list(whole[name].isna())
            assert list(values.dropna()) == list(whole[name].dropna())
        before = contents(tmp_path / str(size))
        assert stream(listed, tmp_path / str(size), segmenter=_varying, shard_size=size).n_kept
        assert contents(tmp_path / str(size)) == before


def test_a_repeated_call_measures_nothing(listed: pd.DataFrame, tmp_path: Path) -> None:
    first = stream(listed, tmp_path / "out")
    before = contents(tmp_path / "out")

    def never(image: np.ndarray) -> segment.Masks:
        raise AssertionError("measured again")

    again = stream(listed, tmp_path / "out", shard_size=None)
    assert again.n_kept == again.n_shards == first.n_shards
    assert (again.n_cells, again.n_errors) == (first.n_cells, first.n_errors)
    assert contents(tmp_path / "out") == before
    with pytest.raises(FileExistsError, match=r"segmenter was support\.shard_work\.disc"):
        stream(listed, tmp_path / "out", segmenter=never)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"families": ["shape", "relation"]}, "families are now with relation"),
        ({"families": ["relation"]}, "families are now with relation and without shape"),
        ({"cells": "all"}, "cells was auto, is all"),
        ({"um_per_px": 0.1}, "um_per_px was None, is 0.1"),
        ({"shard_size": 4}, "shard_size was 8, is 4"),
        ({"segmenter": slow_disc}, "segmenter was support.shard_work.disc"),
    ],
)
def test_other_settings_are_refused(
    change: dict, message: str, listed: pd.DataFrame, tmp_path: Path
) -> None:
    stream(listed, tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(FileExistsError, match=message):
        stream(listed, tmp_path / "out", **change)
    assert contents(tmp_path / "out") == before
    result = stream(listed, tmp_path / "out", **change, restart=True)
    assert result.n_kept == 0
    stream(listed, tmp_path / "expected", **change)
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")


def test_other_columns_of_the_same_families_are_refused(
    listed: pd.DataFrame, tmp_path: Path
) -> None:
    stream(listed, tmp_path / "out", families="fast")
    whole = list(choose("fast"))
    with pytest.raises(FileExistsError, match=f"families have changed: {', '.join(whole)}"):
        stream(listed, tmp_path / "out", families=whole)
    assert stream(listed, tmp_path / "out", families=["fast"]).n_kept > 0


def test_other_images_are_refused(listed: pd.DataFrame, tmp_path: Path) -> None:
    stream(listed, tmp_path / "out")
    with pytest.raises(FileExistsError, match="there were 30 images, now there are 29"):
        stream(listed.head(29), tmp_path / "out")
    with pytest.raises(FileExistsError, match="the first image was"):
        stream(listed.iloc[::-1], tmp_path / "out")
    with pytest.raises(FileExistsError, match="the table of images differs in stain"):
        stream(listed.assign(stain="other"), tmp_path / "out")
    arrays = [np.full((24, 24, 3), n, np.uint8) for n in (100, 120)]
    stream(arrays, tmp_path / "arrays")
    with pytest.raises(FileExistsError, match="differs in image"):
        stream([arrays[0], arrays[1] + 1], tmp_path / "arrays")


@pytest.mark.slow_without_jit
def test_a_segmenter_by_its_name_or_as_a_function(listed: pd.DataFrame, tmp_path: Path) -> None:
    first = stream(listed, tmp_path / "out", segmenter="contours")
    again = stream(listed, tmp_path / "out", segmenter=segment.contours)
    assert again.n_kept == first.n_shards


class Disc:
    """A segmenter with a parameter, which holds an object without a representation as well."""

    def __init__(self, share: int) -> None:
        self.share, self.other = share, object()

    def __call__(self, image: np.ndarray) -> segment.Masks:
        return sized_disc(image, share=self.share)


def sized_disc(image: np.ndarray, share: int) -> segment.Masks:
    labels = np.zeros(image.shape[:2], np.int32)
    side = image.shape[0] // share
    labels[side:-side, side:-side] = 1
    return segment.Masks(labels, labels)


@pytest.mark.parametrize(
    "make", [Disc, lambda share: partial(sized_disc, share=share)], ids=["object", "partial"]
)
def test_a_segmenter_with_other_parameters_is_refused(make, listed, tmp_path: Path) -> None:
    first = stream(listed, tmp_path / "out", segmenter=make(3), n_jobs=1)
    assert stream(listed, tmp_path / "out", segmenter=make(3), n_jobs=1).n_kept == first.n_shards
    with pytest.raises(FileExistsError, match="segmenter was"):
        stream(listed, tmp_path / "out", segmenter=make(4), n_jobs=1)


def test_a_family_whose_code_changed_is_refused(listed: pd.DataFrame, tmp_path: Path) -> None:
    declare = extract.family({"one": extract.Column("1", "one")}, masks=["cell"])

    @declare
    def extra(image, labels, n_cells=None):
        """One."""
        return np.ones((n_cells, 1))

    stream(listed, tmp_path / "out", families=[extra])

    @declare
    def extra(image, labels, n_cells=None):
        """One."""
        return np.ones((n_cells, 1)) * 2

    with pytest.raises(FileExistsError, match="families have changed: extra"):
        stream(listed, tmp_path / "out", families=[extra])


def test_other_versions_are_refused(listed: pd.DataFrame, tmp_path: Path) -> None:
    stream(listed, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))
    manifest["asked"]["versions"]["opencv"] = "3.1"
    write_manifest(tmp_path / "out", manifest)
    with pytest.raises(FileExistsError, match=r"opencv was 3\.1, is "):
        stream(listed, tmp_path / "out")


def test_a_folder_that_is_not_a_result_is_left_alone(listed: pd.DataFrame, tmp_path: Path) -> None:
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter.tex").write_text("hello", "utf-8")
    for restart in (False, True):
        with pytest.raises(FileExistsError, match="does not hold an earlier result"):
            stream(listed, out, restart=restart)
    assert (out / "chapter.tex").read_text("utf-8") == "hello"
    with pytest.raises(FileExistsError, match="is a file"):
        stream(listed, out / "chapter.tex")


def test_a_table_that_was_saved_is_not_resumed(listed: pd.DataFrame, tmp_path: Path) -> None:
    whole = stream(listed, tmp_path / "out").load()
    extract.save(whole.head(3), tmp_path / "out")
    assert_same(extract.load(tmp_path / "out").head(3), extract.load(tmp_path / "out"))
    assert not list((tmp_path / "out" / "cells").iterdir())
    with pytest.raises(FileExistsError, match="saved as a whole"):
        stream(listed, tmp_path / "out")
    assert_same(stream(listed, tmp_path / "out", restart=True).load(), whole)
    assert not (tmp_path / "out" / "cells.parquet").exists()


def test_an_image_that_changed_is_measured_again(listed: pd.DataFrame, tmp_path: Path) -> None:
    stream(listed, tmp_path / "out")
    before = extract.load(tmp_path / "out")
    changed, gone, back = (Path(listed["image"][n]) for n in (20, 2, 9))
    for path, grey in ((changed, 90), (back, 91)):
        cv2.imwrite(str(path), np.full((24, 24, 3), grey, np.uint8))
    gone.unlink()
    messages: list[str] = []
    result = stream(listed, tmp_path / "out", notify=messages.append)
    assert result.n_kept == 2
    assert messages == [
        "Resuming: 2 of 4 shards are complete",
        "Images that were measured have changed since, and their shards are measured again "
        f"(2, the first is {back})",
        "Images that were measured no longer exist, and their rows are kept "
        f"(1, the first is {gone})",
    ]
    table = result.load()
    assert list(extract.errors(table)["image"]) == [listed["image"][5]]
    features = extract.columns(FAMILIES)
    rows = table.set_index("image")
    assert list(rows.loc[[str(changed), str(back)], "quality__focus"]) == [0, 0]
    assert rows.loc[str(gone), features].equals(before.set_index("image").loc[str(gone), features])
    with pytest.warns(UserWarning, match="no longer exist"):
        assert stream(listed, tmp_path / "out").n_kept == 4


@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "errors", "foreign", "swapped", "old"])
def test_a_damaged_shard_is_named_and_measured_again(
    damage: str, listed: pd.DataFrame, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    stream(listed, out)
    before = contents(out)
    shard = out / "cells" / "part-00001.parquet"
    named = shard
    if damage == "cut":
        shard.write_bytes(shard.read_bytes()[:-100])
    elif damage == "empty":
        shard.write_bytes(b"")
    elif damage == "gone":
        shard.unlink()
    elif damage == "errors":
        named = out / "errors" / shard.name
        named.unlink()
    elif damage == "swapped":
        shutil.copy(out / "cells" / "part-00002.parquet", shard)
    elif damage == "old":
        pd.read_parquet(shard).to_parquet(shard)
    else:
        stream(listed, tmp_path / "other", families=["relation"])
        shutil.copy(tmp_path / "other" / "cells" / shard.name, shard)
    with pytest.raises(ValueError, match=re.escape(str(named)) + ".*Repeat the same call"):
        extract.load(out)
    messages: list[str] = []
    assert stream(listed, out, notify=messages.append).n_kept == 3
    assert str(named) in messages[-1] or damage == "gone"
    assert contents(out) == before


def test_no_flipped_bit_is_read_as_a_value(listed: pd.DataFrame, tmp_path: Path) -> None:
    out, rng = tmp_path / "out", random.Random(0)
    expected = stream(listed, out).load()
    before = contents(out)
    extract.save(expected, tmp_path / "table.parquet")
    extract.save(expected, tmp_path / "saved")
    for name in (*before, "../table.parquet", "../saved/cells.parquet", "../saved/manifest.json"):
        path = out / name
        data = path.read_bytes()
        target = out if not name.startswith("../") else path
        target = path.parent if path.parent.name == "saved" else target
        for _ in range(30):
            flip_bit(path, rng)
            try:
                assert_same(extract.load(target), expected)
            except ValueError as error:
                if path.name not in str(error):
                    raise
            path.write_bytes(data)
    flip_bit(out / "errors" / "part-00001.parquet", rng)
    flip_bit(out / "manifest.json", rng)
    with pytest.warns(UserWarning, match="and 1 more files are not sound; what is damaged"):
        assert stream(listed, out).n_kept == 3
    assert contents(out) == before


def test_a_result_of_an_earlier_version_is_loaded(listed: pd.DataFrame, tmp_path: Path) -> None:
    # Neither seals nor a signature, and the version of no formula.
    out = tmp_path / "out"
    expected = stream(listed, out).load()
    for path in out.glob("*/*.parquet"):
        table = pyarrow.parquet.read_table(path)
        pyarrow.parquet.write_table(table.replace_schema_metadata(None), path)
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    write_manifest(out, {key: value for key, value in manifest.items() if key != "formulas"})
    assert_same(extract.load(out), expected)


STRAY = ["cells/part-00000 (1).parquet", "cells/._part-00000.parquet", "cells/part-00004.parquet"]
STRAY += ["cells/all.parquet", "cells/old/part-00000.parquet", "errors/all.parquet", "notes.txt"]


@pytest.mark.parametrize("name", STRAY)
def test_only_the_files_of_the_run_are_read(
    name: str, listed: pd.DataFrame, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    expected = stream(listed, out)
    table = expected.load()
    (out / name).parent.mkdir(exist_ok=True)
    table.to_parquet(out / name)
    assert_same(extract.load(out), table)
    again = stream(listed, out)
    assert (again.n_kept, again.n_cells, again.first_error()) == (4, 28, expected.first_error())
    assert_same(again.load(), table)
    assert (out / name).exists()
    if name != "cells/part-00004.parquet":  # the name of a part of a larger result
        stream(listed, out, restart=True)
        assert (out / name).exists()


BROKEN = {
    "zero": b"",
    "null": b"null",
    "list": b"[1, 2]",
    "number": b"7",
    "binary": b"\x00\xff\xfe\x80",
    "deep": b"[" * 100_000,
    "types": b'{"hemafeat": "0.1.0", "state": "complete", "shards": "four", "asked": 3}',
    "state": b'{"hemafeat": "0.1.0", "state": "done"}',
    "foreign": b'{"name": "an application", "icons": []}',
    "folder": None,
    "gone": None,
}


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_manifest(kind: str, restart: bool, listed: pd.DataFrame, tmp_path: Path) -> None:
    out, data = tmp_path / "out", BROKEN[kind]
    stream(listed, out)
    before = contents(out)
    (out / "manifest.json").unlink()
    if kind == "folder":
        (out / "manifest.json").mkdir()
    elif data is not None:
        (out / "manifest.json").write_bytes(data)
    with pytest.raises(ValueError, match=r"manifest\.json .*Repeat the same call"):
        extract.load(out)
    assert extract.is_result(out) == (kind != "gone")
    messages: list[str] = []
    # The size of the shards is known from the shards.
    result = stream(listed, out, restart=restart, shard_size=None, notify=messages.append)
    assert result.n_kept == (0 if restart else 4)
    assert restart or "manifest.json" in messages[-1]
    if not restart:
        assert contents(out) == before


def test_a_manifest_that_cannot_be_trusted_protects_other_results(
    listed: pd.DataFrame, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    stream(listed, out)
    manifest = out / "manifest.json"
    later = json.loads(manifest.read_text("utf-8")) | {"format": 3}
    later["sha256"] = result._signature(later)
    manifest.write_text(json.dumps(later), "utf-8")
    for read in (lambda: extract.load(out), lambda: stream(listed, out)):
        with pytest.raises((ValueError, FileExistsError), match="by a later version of hemafeat"):
            read()
    manifest.write_bytes(b"")
    before = contents(out)
    with pytest.raises(FileExistsError, match="was measured with other settings"):
        stream(listed, out, families=["relation"])
    assert contents(out) == before
    manifest.unlink()
    manifest.mkdir()
    (manifest / "thesis.tex").write_text("hello", "utf-8")
    with pytest.raises(FileExistsError, match="is a folder with files"):
        stream(listed, out, restart=True)
    assert (manifest / "thesis.tex").read_text("utf-8") == "hello"


@pytest.mark.parametrize("manifest", [None, b"", b"{}", b'{"name": "site"}'])
def test_a_folder_of_others_is_never_restarted(
    manifest: bytes | None, listed: pd.DataFrame, tmp_path: Path
) -> None:
    for name in ("cells/part-00000.parquet", "errors/part-00000.parquet", "cells/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pd.DataFrame({"a": [1]}).to_parquet(tmp_path / name)
    if manifest is not None:
        (tmp_path / "manifest.json").write_bytes(manifest)
    before = {path: path.read_bytes() for path in tmp_path.glob("*/*.*")}
    for restart in (False, True):
        with pytest.raises(FileExistsError, match="does not hold an earlier result"):
            stream(listed, tmp_path, restart=restart)
    assert {path: path.read_bytes() for path in before} == before
    assert not extract.is_result(tmp_path)


@pytest.mark.parametrize("name", ["cells", "errors"])
def test_a_file_in_place_of_a_folder_is_named(
    name: str, listed: pd.DataFrame, tmp_path: Path
) -> None:
    stream(listed, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / name)
    (tmp_path / "out" / name).write_text("mine")
    for restart in (False, True):
        with pytest.raises(FileExistsError, match=f"{name} is a file.*move it away"):
            stream(listed, tmp_path / "out", restart=restart)
    assert (tmp_path / "out" / name).read_text() == "mine"


def test_a_half_deleted_result_is_restarted(listed: pd.DataFrame, tmp_path: Path) -> None:
    out = tmp_path / "out"
    stream(listed, out)
    before = contents(out)
    for names in (["cells"], ["errors", "manifest.json"], ["cells", "errors", "manifest.json"]):
        for restart in (False, True):
            for name in names:
                shutil.rmtree(out / name, ignore_errors=True)
                (out / name).unlink(missing_ok=True)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                stream(listed, out, restart=restart)
            assert contents(out) == before


def test_an_incomplete_result_is_not_loaded(listed: pd.DataFrame, tmp_path: Path) -> None:
    calls: list[int] = []

    def interrupted(image: np.ndarray) -> segment.Masks:
        calls.append(1)
        if len(calls) == 20:
            raise KeyboardInterrupt
        return disc(image)

    with pytest.raises(KeyboardInterrupt):
        stream(listed, tmp_path / "out", segmenter=interrupted, n_jobs=1)
    with pytest.raises(ValueError, match="is not complete"):
        extract.load(tmp_path / "out")


def test_one_process_at_a_time(listed: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    taken = locked(tmp_path / "out" / ".lock", "taken")
    with taken, pytest.raises(OSError, match="another process is writing to"):
        stream(listed, tmp_path / "out")
    stream(listed, tmp_path / "out")


# --- A full disk ------------------------------------------------------------------------------


def test_a_full_disk_is_one_clear_error(
    listed: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, handles = os.fsync, []

    def full(handle: int) -> None:
        handles.append(handle)
        if len(handles) == 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"no space left to write to .* 2 of 4 shards are compl"):
            stream(listed, tmp_path / "out")
    assert not list(tmp_path.rglob("*.part"))
    assert stream(listed, tmp_path / "out").n_kept == 2
    stream(listed, tmp_path / "expected")
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 100 kB, which needs an administrator of Linux."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_real_disk_that_is_full(listed: pd.DataFrame, small_disk: Path, tmp_path: Path) -> None:
    out = small_disk / "out"
    with pytest.raises(OSError, match="no space left") as caught:
        stream(listed, out, shard_size=2)
    assert caught.value.errno == errno.ENOSPC
    assert not list(small_disk.rglob("*.part"))
    for path in (out / "cells").iterdir():
        assert len(pd.read_parquet(path)) <= 2, "whole"
    subprocess.run(["mount", "-o", "remount,size=10m", str(small_disk)], check=True)
    assert stream(listed, out, shard_size=2).n_kept > 0
    stream(listed, tmp_path / "expected", shard_size=2)
    assert contents(out) == contents(tmp_path / "expected")


# --- Killed -----------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.slow_without_jit
def test_a_run_killed_at_any_moment_ends_with_the_same_table(
    listed: pd.DataFrame, tmp_path: Path
) -> None:
    others = noise(tmp_path / "more", 50)
    table = tmp_path / "images.csv"
    pd.concat([listed, others]).to_csv(table, index=False)
    out, rng = tmp_path / "out", random.Random(4)
    n_shards = 20
    command = [sys.executable, "-m", "support.shard_work", str(table), str(out)]
    path = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
    reached = []
    for moment in ("manifest", "half", "shards", "half"):
        with subprocess.Popen(command, env=environment) as child:
            shards = len(list(out.glob("cells/part-*.parquet")))
            goal = shards + rng.randint(1, 4)
            while child.poll() is None:
                if moment == "manifest" and (out / "manifest.json").exists():
                    break
                if moment == "half" and list(out.glob("cells/.*.part")):
                    break
                if moment == "shards" and len(list(out.glob("cells/part-*.parquet"))) >= goal:
                    break
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.02))
            child.send_signal(signal.SIGKILL)
            child.wait()
        reached.append(len(list(out.glob("cells/part-*.parquet"))))
    assert reached == sorted(reached), "no complete shard is lost"
    assert 0 < reached[-1] < n_shards, "killed before the end, or the test shows nothing"
    subprocess.run(command, check=True, env=environment)
    settings = {"segmenter": slow_disc, "families": FAMILIES, "shard_size": 4}
    expected = extract.stream(table, tmp_path / "expected", **settings)
    assert expected.n_shards == n_shards
    assert contents(out) == contents(tmp_path / "expected")
    assert_same(extract.load(out), extract.table(table, segmenter=slow_disc, families=FAMILIES))
