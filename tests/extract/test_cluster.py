"""A Dask cluster, with a scheduler and workers in processes, gives the same table."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from hemafeat import extract
from hemafeat.extract._table.fingerprint import versions
from support.shard_work import DEADLY, Unloadable, deadly_disc, disc, noise, slow_disc

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")

pytestmark = [
    pytest.mark.slow_without_jit,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

TESTS = Path(__file__).parents[1]
FAMILIES = ["shape"]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a scheduler and two workers, each with a nanny that restarts it."""
    folder = tmp_path_factory.mktemp("cluster")
    settings = {
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
        "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
    }
    scheduler_file = folder / "scheduler.json"
    common = ["--no-dashboard", "--host", "127.0.0.1"]
    scheduler = ["dask_scheduler", *common, "--port", "0", "--scheduler-file", str(scheduler_file)]
    worker = ["dask_worker", *common, "--scheduler-file", str(scheduler_file), "--nthreads", "1"]
    with ExitStack() as stack:
        for words in (scheduler, [*worker, "--nworkers", "2", "--local-directory", str(folder)]):
            log = stack.enter_context(open(folder / f"{words[0]}.log", "wb"))
            command = [sys.executable, "-m", f"distributed.cli.{words[0]}", *words[1:]]
            child = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **settings}, cwd=folder
            )
            stack.callback(child.wait)
            stack.callback(child.terminate)
        deadline = time.monotonic() + 60
        while not scheduler_file.exists():
            assert time.monotonic() < deadline, (folder / "dask_scheduler.log").read_text()
            time.sleep(0.05)
        with distributed.Client(scheduler_file=str(scheduler_file), set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            yield client.scheduler.address


def assert_same(table: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(table, expected, check_exact=True)
    pd.testing.assert_frame_equal(extract.errors(table), extract.errors(expected))
    assert extract.units(table) == extract.units(expected)


def test_the_same_table_though_a_worker_is_killed(address: str, tmp_path: Path) -> None:
    listed = noise(tmp_path / "images", 240)
    listed["image"] = "file://" + listed["image"]
    settings = {"families": FAMILIES, "shard_size": 8, "segmenter": slow_disc}
    expected = extract.table(listed, families=FAMILIES, segmenter=slow_disc)
    assert len(expected) == 238
    out, killed = tmp_path / "out", []

    def kill() -> None:
        while len(list(out.glob("cells/*.parquet"))) < 4:
            time.sleep(0.002)
        with distributed.Client(address, set_as_default=False) as client:
            killed.append(client.run(os.getpid).popitem()[1])
        os.kill(killed[0], signal.SIGKILL)
        killed.append(len(list(out.glob("cells/*.parquet"))))

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    result = extract.stream(listed, out, scheduler=address, **settings)
    killer.join()
    assert 0 < killed[1] < result.n_shards == 30, "killed in the middle, or the test shows nothing"
    assert_same(result.load(), expected)
    assert not list(out.rglob("*.part"))
    assert extract.stream(listed, out, **settings).n_kept == 30, "threads measure the same"


def test_a_client_and_arrays_in_memory(address: str) -> None:
    random = np.random.default_rng(1)
    images = list(random.integers(60, 250, (10, 24, 24, 3), np.uint8))
    expected = extract.table(images, families=FAMILIES, segmenter=disc)
    with distributed.Client(address) as client:
        for scheduler in (client, "active"):
            result = extract.table(
                images, families=FAMILIES, segmenter=disc, scheduler=scheduler, shard_size=3
            )
            assert_same(result, expected)


def test_an_image_that_kills_every_worker(address: str, tmp_path: Path) -> None:
    listed = noise(tmp_path / "images", 40)
    deadly = np.full((24, 24, 3), DEADLY, np.uint8)
    cv2.imwrite(listed["image"][21], deadly)
    settings = {
        "families": FAMILIES,
        "shard_size": 8,
        "segmenter": deadly_disc,
        "scheduler": address,
    }
    result = extract.stream(listed, tmp_path / "out", **settings)
    errors = extract.errors(result.load())
    lost = errors[errors["stage"] == "worker"]
    assert list(lost["image"]) == list(listed["image"][16:24]), "its shard, and no other"
    assert set(lost["error"]) == {"KilledWorker"}
    assert (result.n_cells, result.n_errors) == (30, 10)
    # The shard is tried again, now that all its images can be measured.
    cv2.imwrite(listed["image"][21], deadly + 50)
    again = extract.stream(listed, tmp_path / "out", **settings)
    assert again.n_kept == 4
    settings["scheduler"] = None
    assert_same(again.load(), extract.stream(listed, tmp_path / "threads", **settings).load())


def test_workers_of_other_versions_are_refused(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = noise(tmp_path / "images", 12)
    other = {**versions(), "opencv": "3.1"}
    for answer, message in (
        (other, rf"worker tcp://w has other versions .*opencv 3\.1, not {cv2.__version__}"),
        (Exception("No module named 'hemafeat'"), "worker tcp://w cannot load hemafeat: No mod"),
    ):
        answers = {"tcp://v": versions(), "tcp://u": OSError("gone"), "tcp://w": answer}
        monkeypatch.setattr(distributed.Client, "run", lambda *_, a=answers, **__: a)
        with pytest.raises(RuntimeError, match=message):
            extract.stream(listed, tmp_path / "out", scheduler=address)


def test_an_error_of_a_worker_is_reported(address: str, tmp_path: Path) -> None:
    listed = noise(tmp_path / "images", 12)
    with pytest.raises(RuntimeError, match=r"could not measure shard 0: ValueError: on purpose"):
        extract.stream(listed, tmp_path / "out", segmenter=Unloadable(), scheduler=address)


def test_no_cluster(tmp_path: Path) -> None:
    listed = noise(tmp_path / "images", 12)
    with pytest.raises(RuntimeError, match=r"has no distributed\.Client"):
        extract.stream(listed, tmp_path / "out", scheduler="active")
    soon = dask.config.set({"distributed.comm.timeouts.connect": "1s"})
    with soon, pytest.raises(RuntimeError, match="no Dask scheduler answers at tcp://127"):
        extract.stream(listed, tmp_path / "out", scheduler="tcp://127.0.0.1:9")


def test_a_run_stops_if_every_shard_kills_its_worker(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hemafeat.extract._table.cluster.HOPELESS", 1)
    listed = noise(tmp_path / "images", 12)
    for name in listed["image"]:
        cv2.imwrite(name, np.full((24, 24, 3), DEADLY, np.uint8))
    with pytest.raises(RuntimeError, match="workers died over each of the first 1 shards"):
        extract.stream(listed, tmp_path / "out", segmenter=deadly_disc, scheduler=address)
