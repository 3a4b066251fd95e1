"""Faults at random lose nothing, and runs that are stopped leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support import fault_injector
from support.shard_work import noise


@pytest.mark.slow_without_jit
def test_faults_at_random() -> None:
    counts = fault_injector.run(5, random_state=0)
    assert all(counts[fault.__name__] for fault in fault_injector.FAULTS)
    assert counts["refused"]
    assert counts["mended"]


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.slow_without_jit
@pytest.mark.parametrize(
    ("stop", "processes"),
    # A terminal that is closed (SIGHUP) takes the way of SIGTERM; threads end with their process.
    [
        *(("SIGTERM", processes) for processes in (False, True)),
        *(("SIGINT", processes) for processes in (False, True)),
        ("SIGHUP", False),
        ("SIGKILL", True),
    ],
)
def test_a_stopped_command_leaves_no_worker_and_says_how_to_resume(
    stop: str, processes: bool, tmp_path: Path
) -> None:
    out, number = tmp_path / "out", getattr(signal, stop)
    if signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip("tests that run in the background inherit that the signal is ignored")
    noise(tmp_path / "images", 400)
    command = [sys.executable, "-X", "faulthandler", "-m", "hemafeat"]
    command += ["extract", str(tmp_path / "images"), "--quiet"]
    command += ["--out", str(out), "--families", "shape", "--jobs", "2", "--shard-size", "2"]
    child = subprocess.Popen(
        [*command, *(["--processes"] if processes else [])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while child.poll() is None and len(list(out.glob("cells/part-*"))) < 3:
        time.sleep(0.002)
    assert child.poll() is None, "it ended before it was stopped, or the test shows nothing"
    if stop == "SIGINT":  # a terminal interrupts the workers as well
        os.killpg(child.pid, number)
    else:
        child.send_signal(number)
    # The pipe ends when the last process that holds it does.
    output, text = child.communicate(timeout=60)
    assert output == ""
    if stop == "SIGKILL":
        assert child.returncode == -number
        return
    assert child.returncode == 128 + number, text  # what it printed, such as why it was aborted
    assert text == "hemafeat: error: stopped; run the same command again to resume\n"
    assert not list(out.rglob("*.part"))


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_signal_that_is_ignored_stays_so() -> None:
    code = (
        "import os, signal; from hemafeat.cli import main, _main\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "with _main._stopped_by_signals(): os.kill(os.getpid(), signal.SIGHUP)\n"
        "print('still here')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.stdout == "still here\n", ended.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_signal_that_turns_into_another_error_is_a_stop() -> None:
    # As where it arrives while a compiled package is imported.
    code = (
        "import os, signal; from hemafeat.cli import _main\n"
        "try:\n"
        "    with _main._stopped_by_signals():\n"
        "        try: os.kill(os.getpid(), signal.SIGTERM)\n"
        "        except BaseException: raise ImportError('partially initialized module')\n"
        "except _main.Stopped as stop: print(stop.number)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.stdout == f"{int(signal.SIGTERM)}\n", ended.stderr
