"""The first call on a machine: kernels without a cache, or with a cache shared by processes."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from hemafeat import extract, segment
from hemafeat.extract._table import compile as ahead

# Compiles quickly; every family uses `regions`.
MEASURE = """
import json, sys
import numpy as np
from hemafeat import extract
image = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
rows, columns = np.mgrid[:40, :40]
labels = (np.hypot(rows - 20, columns - 18) < 12).astype(np.int32)
codes = extract.lbp_codes(image[:, :, 0].copy(), 16, 2)
boxes = extract.Prepared(image).regions(labels, 1).boxes
from hemafeat.extract._kernels.region.runs import find_runs
cache = type(getattr(find_runs, "_cache", None)).__name__
json.dump({"codes": codes.tolist(), "boxes": boxes.tolist(), "cache": cache}, sys.stdout)
"""

UNUSED = {"glcm", "dct", "shape", "colour", "rays", "hull", "contour"}

compiled = pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"), reason="nothing is compiled"
)


def start(code: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    env = {name: value for name, value in os.environ.items() if name != "EAGER_IMPORT"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=env | environment,
    )


def result(process: subprocess.Popen[str]) -> dict | list:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return json.loads(out)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    """Return the result of a process that starts with an empty cache, and the cache it leaves."""
    cache = tmp_path_factory.mktemp("cache")
    return result(start(MEASURE, NUMBA_CACHE_DIR=str(cache))), cache


@compiled
def test_nowhere_to_write_a_cache(alone: tuple[dict, Path]) -> None:
    """Kernels are compiled in memory if neither package nor home is writable, as in a container.

    The locator of numba is patched, because permissions do not stop the superuser.
    """
    refuse = """
import numba.core.caching as caching
def refuse(self): raise OSError("read-only file system")
caching._CacheLocator.ensure_cache_path = refuse
"""
    output = result(start(refuse + MEASURE))
    assert alone[0]["cache"] == "FunctionCache"
    assert output == alone[0] | {"cache": "NullCache"}


@compiled
def test_a_cache_folder_that_cannot_be_made(alone: tuple[dict, Path], tmp_path: Path) -> None:
    """A wrong NUMBA_CACHE_DIR costs at most the cache: there is no folder below a file."""
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    output = result(start(MEASURE, NUMBA_CACHE_DIR=str(blocked / "cache")))
    assert output | {"cache": ""} == alone[0] | {"cache": ""}


@compiled
def test_two_processes_fill_one_cache_at_once(alone: tuple[dict, Path], tmp_path: Path) -> None:
    both = [start(MEASURE, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2)]
    assert [result(process) for process in both] == [alone[0]] * 2
    # The cache they leave is complete: a third process can use it.
    assert result(start(MEASURE, NUMBA_CACHE_DIR=str(tmp_path))) == alone[0]
    files = {path.name for path in tmp_path.rglob("*.nbi")}
    assert files == {path.name for path in alone[1].rglob("*.nbi")}


@compiled
def test_unused_kernels_are_not_compiled(alone: tuple[dict, Path]) -> None:
    modules = {path.name.split(".")[0] for path in alone[1].rglob("*.nbc")}
    assert {"runs", "lbp"} <= modules
    assert not modules & UNUSED


def test_unused_families_are_not_loaded() -> None:
    code = """
import json, sys
from hemafeat import extract
extract.lbp_codes
json.dump([name for name in sys.modules if name.startswith("hemafeat.extract._")], sys.stdout)
"""
    loaded = set(result(start(code)))
    assert "hemafeat.extract._families.lbp" in loaded
    for name in UNUSED:
        assert not loaded & {
            f"hemafeat.extract.{part}.{name}" for part in ("_families", "_kernels")
        }


AHEAD = """
import json, sys
from numba.core import event
from hemafeat import datasets, extract, segment
from hemafeat.extract._family import choose
from hemafeat.extract._table import compile as ahead
ahead.FEW = 0
families = choose(["gldm", "fast"])
families = {name: families[name] for name in ("gldm", "relation")}
ahead.compile_ahead(families, None, int(sys.argv[1]), False)
recorder = event.RecordingListener()
event.register("numba:compile", recorder)
cell = datasets.draw_cell("monocyte", random_state=3)
masks = segment.Masks(cell.cell, cell.nucleus)
from hemafeat.extract._measure import measure_window
prepared, inside = extract.Prepared(cell.image, masks).window(masks, None)
failures = measure_window(prepared, inside, families)[1]
missed = [entry.data["dispatcher"].py_func.__name__ for _, entry in recorder.buffer]
compiled = sorted(ahead._read_record(ahead._record_path()))
json.dump({"missed": missed, "failures": len(failures), "compiled": compiled}, sys.stdout)
"""


@compiled
@pytest.mark.parametrize("n_jobs", ["1", "2"])
def test_kernels_compiled_ahead_are_not_compiled_again(tmp_path, n_jobs):
    process = start(AHEAD, n_jobs, NUMBA_CACHE_DIR=str(tmp_path), HEMAFEAT_COMPILE_AHEAD="1")
    expected = {"missed": [], "failures": 0, "compiled": ["gldm", "relation of fast", "window"]}
    assert result(process) == expected


@compiled
def test_what_was_compiled_is_known_in_a_layer_of_an_image(monkeypatch):
    before = ahead._record_path()

    def of_layer(path: Path, **options: bool) -> os.stat_result:
        """A state of which the times have lost their fractions of a second."""
        return os.stat_result(os.stat(path, **options)[:10])

    monkeypatch.setattr(Path, "stat", of_layer)
    assert ahead._record_path() == before


def test_nothing_is_compiled_ahead_if_it_cannot_help(monkeypatch):
    started = []
    monkeypatch.setattr(ahead, "_compile_missing", lambda *settings: started.append(settings))
    monkeypatch.setattr(ahead, "_record_path", lambda: Path("no record"))
    monkeypatch.setenv(ahead.SWITCH, "0")
    ahead.compile_ahead(extract.families(), segment.contours, 2, False)
    monkeypatch.setenv(ahead.SWITCH, "1")
    few = {"shape": extract.shape}
    ahead.compile_ahead(few, segment.contours, 2, False)
    assert started == []
    ahead.compile_ahead(extract.families(), segment.contours, 2, False)
    assert len(started) == 1
    monkeypatch.undo()
    monkeypatch.setattr("sys.frozen", True, raising=False)
    assert ahead._record_path() is None
    monkeypatch.delattr("sys.frozen")
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert ahead._record_path() is None


def test_other_families_are_left_to_the_first_image():
    def own(image, labels, n_cells=None):
        return np.zeros((1, 1))

    assert {*ahead.OUTLINES, *ahead.OTHERS} <= set(extract.families())
    families = {"own": own, "shape": extract.shape}
    assert ahead._units(families, None) == ["window", "shape"]
    assert ahead._units({"lbp": extract.lbp}, "contours") == ["window", "lbp", "contours"]


@compiled
def test_processes_compile_the_package_of_their_parent(tmp_path: Path) -> None:
    """Another package of the same name in the current folder, as in a checkout, is not used."""
    checkout = tmp_path / "checkout" / "hemafeat"
    checkout.mkdir(parents=True)
    (checkout / "__init__.py").write_text("raise SystemExit(3)", encoding="utf-8")
    script = tmp_path / "script.py"
    script.write_text(
        "import time\n"
        "from hemafeat.extract._table import compile as ahead\n"
        "ahead._compile = lambda unit: time.sleep(1)\n"
        "print(list(ahead._compile_in_processes(['shape', 'intensity'], 2, False)))\n",
        encoding="utf-8",
    )
    process = subprocess.run(
        [sys.executable, str(script)],
        cwd=checkout.parent,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(extract.__file__).parents[2])},
        timeout=300,
        check=False,
    )
    assert process.stdout.strip() == "['intensity']", process.stderr


HANGING = """
import time
from hemafeat.extract._table import compile as ahead
ahead.START = "import time; time.sleep(600)"
ahead._compile = lambda unit: unit == "window" or time.sleep(600)
started = []
class Popen(ahead.subprocess.Popen):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        started.append(self)
        print("started", flush=True)
ahead.subprocess.Popen = Popen
try:
    list(ahead._compile_in_processes(["window", "shape", "lobes", "lbp", "contours"], 3, False))
except KeyboardInterrupt:
    print(sorted(process.wait(60) for process in started), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the signal of Ctrl-C cannot be sent")
def test_an_interruption_ends_the_processes_that_compile():
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        pytest.skip("tests that run in the background inherit that the signal is ignored")
    process = start(HANGING)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["started\n"] * 2
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert out == f"{[-signal.SIGKILL] * 2}\n", err


def test_a_process_that_is_started_after_an_interruption_is_ended(monkeypatch):
    """It is started by another thread, perhaps while this one ends those that it knows."""
    started = []

    class Late(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            interrupted.wait(60)
            super().__init__(*args, **kwargs)
            started.append(self)

    interrupted = Event()
    monkeypatch.setattr(ahead, "START", "import time; time.sleep(600)")
    monkeypatch.setattr(ahead.subprocess, "Popen", Late)

    def interrupt(unit):
        raise KeyboardInterrupt

    monkeypatch.setattr(ahead, "_compile", interrupt)
    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        list(ahead._compile_in_processes(["shape", "lbp", "contours"], 2, False))
    interrupted.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
    assert [process.returncode for process in started] == [-signal.SIGKILL]


def test_a_process_that_fails_loses_only_its_unit(monkeypatch):
    """The others are compiled by the processes that are left, also if the window fails."""
    program = """
import sys
for line in sys.stdin:
    if line.strip() == {bad!r}:
        sys.exit(1)
    print(line.strip(), flush=True)
"""
    units = ["window", "shape", "lobes", "lbp", "contours"]
    for bad in units:
        monkeypatch.setattr(ahead, "START", program.format(bad=bad))
        monkeypatch.setattr(ahead, "_compile", lambda unit, bad=bad: unit != bad)
        for n in (1, 2, 3):
            done = list(ahead._compile_in_processes(units, n, False))
            assert sorted([*done, bad]) == sorted(units)


def test_compiling_says_nothing_and_leaves_the_collector_as_it_was(monkeypatch):
    def compiler(unit):
        assert not gc.isenabled()
        warnings.warn("of a drawn cell", stacklevel=1)
        raise ValueError

    monkeypatch.setattr(ahead, "_use", compiler)
    assert gc.isenabled()
    assert not ahead._compile("shape")
    assert gc.isenabled()


STRINGS = """
import json, sys
from hemafeat import datasets, extract, segment
cell = datasets.draw_cell("neutrophil", random_state=1)
masks = segment.Masks(cell.cell, cell.nucleus)
extract.measure(cell.image, masks, families="all")
strings, n_files = [], 0
for name, module in list(sys.modules.items()):
    if name.startswith("hemafeat.extract._kernels"):
        for function in vars(module).values():
            cache = getattr(getattr(function, "_cache", None), "_cache_file", None)
            if cache is not None and function.__module__ == name:
                for file in cache._load_index().values():
                    n_files += 1
                    with open(cache._data_path(file), "rb") as data:
                        if b"unicode" in data.read():
                            strings.append(f"{name}.{function.__name__}")
json.dump([sorted(set(strings)), n_files > 60], sys.stdout)
"""


@compiled
def test_no_kernel_of_features_holds_strings():
    """Numba's functions of strings take long to compile, in every process, and no one sees them.

    They come with the assignment of an array to a part of another, whose error they would write,
    and with the length of a tuple of names. The cache of this environment is read, so that not all
    kernels are compiled once more.
    """
    assert result(start(STRINGS)) == [[], True]
