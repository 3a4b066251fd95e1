"""A result in shards: one table, resumed, refused, never half-written."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow.dataset
import pyarrow.parquet
import pytest

from hemafeat import extract, segment
from hemafeat._files import locked
from support.shard_work import disc, noise, slow_disc

FAMILIES = ["shape"]


@pytest.fixture
def listed(tmp_path: Path) -> pd.DataFrame:
    return noise(tmp_path / "images", 30)


def streamed(images: object, out: Path, **given) -> extract.Extraction:
    settings = {"segmenter": disc, "families": FAMILIES, "shard_size": 8, "n_jobs": 2}
    return extract.stream(images, out, **{**settings, **given})


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a result but the lock."""
    found = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}
    found.pop(".lock")
    return {name: path.read_bytes() for name, path in sorted(found.items())}


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    pd.testing.assert_frame_equal(extract.errors(one), extract.errors(other))
    assert extract.units(one) == extract.units(other)


def test_the_table_is_that_of_memory(listed: pd.DataFrame, tmp_path: Path) -> None:
    expected = extract.table(listed, segmenter=disc, families=FAMILIES)
    found = streamed(listed, tmp_path / "out")
    assert (found.n_images, found.n_cells, found.n_errors, found.n_shards) == (30, 28, 2, 4)
    assert found.first_error() == extract.errors(expected).iloc[0].to_dict()
    same(found.load(), expected)
    assert list(extract.errors(expected)["image"]) == [listed["image"][5], listed["image"][9]]
    again = extract.table(
        listed, segmenter=disc, families=FAMILIES, out=tmp_path / "other", shard_size=5, n_jobs=1
    )
    same(again, expected)
    some = extract.load(tmp_path / "out", columns=["cell__shape__area", "image"])
    same(some, expected[["cell__shape__area", "image"]])


def test_any_reader_of_parquet_sees_one_table(listed: pd.DataFrame, tmp_path: Path) -> None:
    # A part where an attribute is missing throughout, one without a cell, whole numbers with gaps.
    listed["age"] = pd.array([None] * 8 + list(range(22)), "Int64")
    listed["note"] = [None] * 24 + ["x"] * 6
    for name in listed["image"][16:24]:
        Path(name).unlink(missing_ok=True)
    streamed(listed, tmp_path / "out")
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
    streamed(listed, tmp_path / "out")
    glob = str(tmp_path / "out" / "cells" / "*.parquet")
    area = extract.load(tmp_path / "out")["cell__shape__area"].sum()
    assert polars.scan_parquet(glob).collect()["cell__shape__area"].sum() == area
    query = f"select sum(cell__shape__area) from read_parquet('{glob}')"
    assert duckdb.sql(query).fetchall()[0][0] == area


def _moody(image: np.ndarray) -> segment.Masks:
    """A segmenter that says more of some cells than of others."""
    found = disc(image)
    bright = int(image[0, 0, 0])
    quality: dict[str, list] = {}
    if bright % 3 == 0:
        quality = {"round": [True], "votes": [bright]}
    elif bright % 3 == 1:
        quality = {"votes": [0.5], "remark": ["bright"]}
    return segment.Masks(found.cell, found.nucleus, quality)


def test_shards_that_differ_in_quality_columns_are_made_alike(
    listed: pd.DataFrame, tmp_path: Path
) -> None:
    whole = streamed(listed, tmp_path / "one", segmenter=_moody, shard_size=30).load()
    assert {"quality__round", "quality__votes", "quality__remark"} <= set(whole)
    for size in (1, 3, 8):
        found = streamed(listed, tmp_path / str(size), segmenter=_moody, shard_size=size)
        files = sorted((tmp_path / str(size) / "cells").iterdir())
        schemas = [pyarrow.parquet.read_schema(file) for file in files]
        assert all(schema == schemas[0] for schema in schemas)
        same(found.load()[extract.columns(FAMILIES)], whole[extract.columns(FAMILIES)])
        for name in ("quality__round", "quality__votes", "quality__remark"):
            values = found.load()[name]
            assert list(values.isna()) == list(whole[name].isna())
            assert list(values.dropna()) == list(whole[name].dropna())
        before = contents(tmp_path / str(size))
        assert streamed(listed, tmp_path / str(size), segmenter=_moody, shard_size=size).n_kept
        assert contents(tmp_path / str(size)) == before


def test_asked_again_it_measures_nothing(listed: pd.DataFrame, tmp_path: Path) -> None:
    first = streamed(listed, tmp_path / "out")
    before = contents(tmp_path / "out")

    def never(image: np.ndarray) -> segment.Masks:
        raise AssertionError("measured again")

    again = streamed(listed, tmp_path / "out", shard_size=None)
    assert again.n_kept == again.n_shards == first.n_shards
    assert (again.n_cells, again.n_errors) == (first.n_cells, first.n_errors)
    assert contents(tmp_path / "out") == before
    with pytest.raises(FileExistsError, match=r"segmenter was support\.shard_work\.disc"):
        streamed(listed, tmp_path / "out", segmenter=never)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"families": ["shape", "relation"]}, "families were shape, are shape, relation"),
        ({"cells": "all"}, "cells was auto, is all"),
        ({"um_per_px": 0.1}, "um_per_px was None, is 0.1"),
        ({"shard_size": 4}, "shard_size was 8, is 4"),
        ({"segmenter": slow_disc}, "segmenter was support.shard_work.disc"),
    ],
)
def test_other_settings_are_refused(
    change: dict, said: str, listed: pd.DataFrame, tmp_path: Path
) -> None:
    streamed(listed, tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(FileExistsError, match=said):
        streamed(listed, tmp_path / "out", **change)
    assert contents(tmp_path / "out") == before
    found = streamed(listed, tmp_path / "out", **change, restart=True)
    assert found.n_kept == 0
    streamed(listed, tmp_path / "expected", **change)
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")


def test_other_images_are_refused(listed: pd.DataFrame, tmp_path: Path) -> None:
    streamed(listed, tmp_path / "out")
    with pytest.raises(FileExistsError, match="there were 30 images, now there are 29"):
        streamed(listed.head(29), tmp_path / "out")
    with pytest.raises(FileExistsError, match="the first image was"):
        streamed(listed.iloc[::-1], tmp_path / "out")
    with pytest.raises(FileExistsError, match="the table of images differs in stain"):
        streamed(listed.assign(stain="other"), tmp_path / "out")
    arrays = [np.full((24, 24, 3), n, np.uint8) for n in (100, 120)]
    streamed(arrays, tmp_path / "arrays")
    with pytest.raises(FileExistsError, match="differs in image"):
        streamed([arrays[0], arrays[1] + 1], tmp_path / "arrays")


@pytest.mark.slow_without_jit
def test_a_segmenter_by_its_name_or_as_a_function(listed: pd.DataFrame, tmp_path: Path) -> None:
    first = streamed(listed, tmp_path / "out", segmenter="contours")
    again = streamed(listed, tmp_path / "out", segmenter=segment.contours)
    assert again.n_kept == first.n_shards


def test_a_family_whose_code_changed_is_refused(listed: pd.DataFrame, tmp_path: Path) -> None:
    declare = extract.family({"one": extract.Column("1", "one")}, masks=["cell"])

    @declare
    def extra(image, labels, n_cells=None):
        """One."""
        return np.ones((n_cells, 1))

    streamed(listed, tmp_path / "out", families=[extra])

    @declare
    def extra(image, labels, n_cells=None):
        """One."""
        return np.ones((n_cells, 1)) * 2

    with pytest.raises(FileExistsError, match="families have changed: extra"):
        streamed(listed, tmp_path / "out", families=[extra])


def test_other_versions_are_refused(listed: pd.DataFrame, tmp_path: Path) -> None:
    streamed(listed, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))
    manifest["asked"]["versions"]["opencv"] = "3.1"
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(FileExistsError, match=r"opencv was 3\.1, is "):
        streamed(listed, tmp_path / "out")


def test_what_is_not_a_result_is_left_alone(listed: pd.DataFrame, tmp_path: Path) -> None:
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter.tex").write_text("hello", "utf-8")
    for restart in (False, True):
        with pytest.raises(FileExistsError, match="does not hold an earlier result"):
            streamed(listed, out, restart=restart)
    assert (out / "chapter.tex").read_text("utf-8") == "hello"
    with pytest.raises(FileExistsError, match="is a file"):
        streamed(listed, out / "chapter.tex")


def test_a_table_saved_whole_is_not_continued(listed: pd.DataFrame, tmp_path: Path) -> None:
    whole = streamed(listed, tmp_path / "out").load()
    extract.save(whole.head(3), tmp_path / "out")
    same(extract.load(tmp_path / "out").head(3), extract.load(tmp_path / "out"))
    assert not list((tmp_path / "out" / "cells").iterdir())
    with pytest.raises(FileExistsError, match="saved as a whole"):
        streamed(listed, tmp_path / "out")
    same(streamed(listed, tmp_path / "out", restart=True).load(), whole)
    assert not (tmp_path / "out" / "cells.parquet").exists()


def test_an_image_that_changed_is_measured_again(listed: pd.DataFrame, tmp_path: Path) -> None:
    streamed(listed, tmp_path / "out")
    was = extract.load(tmp_path / "out")
    changed, gone, back = (Path(listed["image"][n]) for n in (20, 2, 9))
    for path, grey in ((changed, 90), (back, 91)):
        cv2.imwrite(str(path), np.full((24, 24, 3), grey, np.uint8))
    gone.unlink()
    told: list[str] = []
    found = streamed(listed, tmp_path / "out", notify=told.append)
    assert found.n_kept == 2
    assert told == [
        "Resuming: 2 of 4 shards are complete",
        "Images that were measured have changed since, and their shards are measured again "
        f"(2, the first is {back})",
        "Images that were measured no longer exist, and their rows are kept "
        f"(1, the first is {gone})",
    ]
    now = found.load()
    assert list(extract.errors(now)["image"]) == [listed["image"][5]]
    features = extract.columns(FAMILIES)
    rows = now.set_index("image")
    assert list(rows.loc[[str(changed), str(back)], "quality__focus"]) == [0, 0]
    assert rows.loc[str(gone), features].equals(was.set_index("image").loc[str(gone), features])
    with pytest.warns(UserWarning, match="no longer exist"):
        assert streamed(listed, tmp_path / "out").n_kept == 4


@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "errors", "foreign"])
def test_a_damaged_shard_is_measured_again(
    damage: str, listed: pd.DataFrame, tmp_path: Path
) -> None:
    streamed(listed, tmp_path / "out")
    before = contents(tmp_path / "out")
    shard = tmp_path / "out" / "cells" / "part-00001.parquet"
    if damage == "cut":
        shard.write_bytes(shard.read_bytes()[:-100])
    elif damage == "empty":
        shard.write_bytes(b"")
    elif damage == "gone":
        shard.unlink()
    elif damage == "errors":
        (tmp_path / "out" / "errors" / shard.name).unlink()
    else:
        streamed(listed, tmp_path / "other", families=["relation"])
        shutil.copy(tmp_path / "other" / "cells" / shard.name, shard)
    assert streamed(listed, tmp_path / "out").n_kept == 3
    assert contents(tmp_path / "out") == before


def test_an_unfinished_result_is_not_taken_for_a_whole_one(
    listed: pd.DataFrame, tmp_path: Path
) -> None:
    calls: list[int] = []

    def interrupted(image: np.ndarray) -> segment.Masks:
        calls.append(1)
        if len(calls) == 20:
            raise KeyboardInterrupt
        return disc(image)

    with pytest.raises(KeyboardInterrupt):
        streamed(listed, tmp_path / "out", segmenter=interrupted, n_jobs=1)
    with pytest.raises(ValueError, match="is not complete"):
        extract.load(tmp_path / "out")


def test_one_process_at_a_time(listed: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    taken = locked(tmp_path / "out" / ".lock", "taken")
    with taken, pytest.raises(OSError, match="another process is writing to"):
        streamed(listed, tmp_path / "out")
    streamed(listed, tmp_path / "out")


# --- A full disk ------------------------------------------------------------------------------


def test_a_full_disk_is_one_clear_error(
    listed: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, written = os.fsync, []

    def full(handle: int) -> None:
        written.append(handle)
        if len(written) == 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        synced(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"no space left to write to .* 2 of 4 shards are compl"):
            streamed(listed, tmp_path / "out")
    assert not list(tmp_path.rglob("*.part"))
    assert streamed(listed, tmp_path / "out").n_kept == 2
    streamed(listed, tmp_path / "expected")
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 kB, which only an administrator of Linux can make."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_really_full(listed: pd.DataFrame, small_disk: Path, tmp_path: Path) -> None:
    out = small_disk / "out"
    with pytest.raises(OSError, match="no space left") as caught:
        streamed(listed, out, shard_size=2)
    assert caught.value.errno == errno.ENOSPC
    assert not list(small_disk.rglob("*.part"))
    for path in (out / "cells").iterdir():
        assert len(pd.read_parquet(path)) <= 2, "whole"
    subprocess.run(["mount", "-o", "remount,size=10m", str(small_disk)], check=True)
    assert streamed(listed, out, shard_size=2).n_kept > 0
    streamed(listed, tmp_path / "expected", shard_size=2)
    assert contents(out) == contents(tmp_path / "expected")


# --- Killed -----------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.slow_without_jit
def test_killed_at_any_moment_it_ends_with_the_same_table(
    listed: pd.DataFrame, tmp_path: Path
) -> None:
    more = noise(tmp_path / "more", 50)
    table = tmp_path / "images.csv"
    pd.concat([listed, more]).to_csv(table, index=False)
    out, moments = tmp_path / "out", random.Random(4)
    whole = 20
    command = [sys.executable, "-m", "support.shard_work", str(table), str(out)]
    places = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)}
    reached = []
    for wanted in ("manifest", "half", "shards", "half"):
        with subprocess.Popen(command, env=environment) as child:
            shards = len(list(out.glob("cells/part-*.parquet")))
            goal = shards + moments.randint(1, 4)
            while child.poll() is None:
                if wanted == "manifest" and (out / "manifest.json").exists():
                    break
                if wanted == "half" and list(out.glob("cells/.*.part")):
                    break
                if wanted == "shards" and len(list(out.glob("cells/part-*.parquet"))) >= goal:
                    break
                time.sleep(0.001)
            time.sleep(moments.uniform(0, 0.02))
            child.send_signal(signal.SIGKILL)
            child.wait()
        reached.append(len(list(out.glob("cells/part-*.parquet"))))
    assert reached == sorted(reached), "nothing that was there is lost"
    assert 0 < reached[-1] < whole, "killed before the end, or this shows nothing"
    subprocess.run(command, check=True, env=environment)
    settings = {"segmenter": slow_disc, "families": FAMILIES, "shard_size": 4}
    expected = extract.stream(table, tmp_path / "expected", **settings)
    assert expected.n_shards == whole
    assert contents(out) == contents(tmp_path / "expected")
    same(extract.load(out), extract.table(table, segmenter=slow_disc, families=FAMILIES))
