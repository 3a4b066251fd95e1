"""Compile kernels ahead of the first image, in several processes at once.

On a machine that has never measured, compilation takes up to a minute, one kernel after another:
numba lets one thread compile at a time. Processes share its cache on disk, so each takes some of
the families.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import subprocess
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread

import numpy as np

from hemafeat import datasets
from hemafeat._files import locked, write_whole
from hemafeat._machine import n_workers, steps_of
from hemafeat._public import public
from hemafeat._words import suggestion
from hemafeat.extract._columns import FamilyChoice
from hemafeat.extract._family import Family, choose, whole_family
from hemafeat.extract._measure import image_quality, measure_window
from hemafeat.extract._prepared import Prepared
from hemafeat.extract._table.image import Segmenter
from hemafeat.images import read
from hemafeat.segment import Masks, SegmenterError, contours, segmenter as find_segmenter

SWITCH = "HEMAFEAT_COMPILE_AHEAD"
"""Environment variable: 0 leaves each kernel to the first image that needs it."""

SEGMENTERS = ("contours", "unet", "best")
"""Segmenters of this package; others are compiled by their first image."""

WINDOW = "window"
"""Kernels that every family needs; they are compiled before all others."""

OUTLINES = ("shape", "lobes", "profile", "lobulation", "rim", "boundary", "tavakoli")
"""Families that share kernels of outlines, the one that compiles most of them first."""

OTHERS = ("lbp", "stain", "relation", "granules", "dct", "chromatin", "granulometry", "glcm")
"""Other families that take long, longest first."""

FEW = 4
"""Number of units that are left to the first image: to prepare would take longer than it saves."""

START = """\
import sys
sys.path[:] = sys.argv[1:]
from hemafeat.extract._table.compile import main
main()"""
"""Program of a process: it imports what this process does, wherever it was started. With ``-m`` it
would import the package in the current folder, such as a checkout, and compile that one."""

MAX_PROCESSES = 8
"""Most processes that compile; there is not enough for more."""


@public
@dataclass(frozen=True, slots=True)
class Compiled:
    """What `compile_kernels` did.

    Attributes
    ----------
    folder : Path
        Folder that holds the cache.
    new : tuple of str
        The segmenter, ``"window"`` (what all families share) and families that were compiled now.
    known : tuple of str
        Those that had been compiled before.
    failed : tuple of str
        Those whose process ended early.
    seconds : float
        Time it took.
    """

    folder: Path
    new: tuple[str, ...]
    known: tuple[str, ...]
    failed: tuple[str, ...]
    seconds: float


def compile_kernels(
    families: FamilyChoice = "default",
    *,
    segmenter: str = "contours",
    n_jobs: int | None = None,
    progress: bool | None = None,
) -> Compiled:
    """Compile the kernels of a segmenter and of families into the cache on disk.

    The first table on a machine does so by itself. This is for container images, continuous
    integration and clusters, where many processes start with the same cache.

    Parameters
    ----------
    families : {"fast", "default", "all", "robust"} or list of names
        Families to compile, as in `table`. Those of other packages are left out.
    segmenter : str
        Name of the segmenter.
    n_jobs : int, optional
        Number of processes with this one, at most eight; by default one for each processor.
    progress : bool, optional
        Show a progress bar, or only a line where the standard error stream is not a terminal. By
        default both; False shows neither.

    Returns
    -------
    Compiled
        What was compiled, and where the cache is.

    Raises
    ------
    OSError
        The cache cannot be written, or another process is compiling.
    RuntimeError
        Compilation is switched off by ``NUMBA_DISABLE_JIT``.
    FamilyError
        A family does not exist.
    hemafeat.segment.SegmenterError
        The segmenter does not exist.

    Examples
    --------
    >>> from hemafeat import extract
    >>> compiled = extract.compile_kernels(["gldm"], progress=False)
    >>> sorted((*compiled.new, *compiled.known)), compiled.failed
    (['contours', 'gldm', 'window'], ())
    """
    start = time.perf_counter()
    chosen = choose(families)
    if segmenter not in SEGMENTERS:
        raise SegmenterError(
            f"segmenter {segmenter!r}: {suggestion(segmenter, SEGMENTERS, 'choose from')}"
        )
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        raise RuntimeError("NUMBA_DISABLE_JIT is set, so that there is nothing to compile")
    record = _record_path()
    if record is None:
        raise OSError(
            "compiled kernels cannot be stored: neither the folder of the package nor the cache "
            "of the user is writable; set NUMBA_CACHE_DIR to a folder that is"
        )
    folder = _folder(record)
    wanted = os.environ.get("NUMBA_CACHE_DIR")
    if wanted and Path(wanted).resolve() != folder.resolve():
        raise OSError(f"NUMBA_CACHE_DIR: {wanted} is not a folder that can be written")
    units = _units(chosen, segmenter)
    left = _missing(units, _read_record(record))
    new = _compile_missing(record, units, n_workers(n_jobs), progress)
    return Compiled(
        folder,
        tuple(_family_of(unit) for unit in left if unit in new),
        tuple(_family_of(unit) for unit in units if unit not in left),
        tuple(_family_of(unit) for unit in left if unit not in new),
        time.perf_counter() - start,
    )


def compile_ahead(
    families: Mapping[str, Family], segment: Segmenter | None, n_jobs: int, progress: bool | None
) -> None:
    """Compile the kernels of a run that were not compiled on this machine before.

    Parameters
    ----------
    families : mapping of str to function
        Families to compile. Those of other packages are left to the first image.
    segment : callable or None
        Segmenter to compile, if it is `contours`.
    n_jobs : int
        Largest number of processes.
    progress : bool, optional
        Show a progress bar. By default it is shown only on a terminal, after a line that says what
        is waited for; False shows neither.
    """
    record = None if os.environ.get(SWITCH, "") == "0" else _record_path()
    if record is None:
        return
    units = _units(families, "contours" if segment is contours else None)
    if len(_missing(units, _read_record(record))) <= FEW:
        return
    try:
        _compile_missing(record, units, n_jobs, progress)
    except OSError:
        # The record cannot be written, or another process is compiling: the first image compiles.
        return


def _compile_missing(
    record: Path, units: Iterable[str], n_jobs: int, progress: bool | None
) -> set[str]:
    """Compile those units that the record does not list, add them to it, and return them."""
    compiled = _read_record(record)
    missing = _missing(units, compiled)
    if not missing:
        return set()
    record.parent.mkdir(parents=True, exist_ok=True)
    with locked(record.with_suffix(".lock"), "another process is compiling"):
        n = min(n_jobs, len(missing), MAX_PROCESSES)
        if progress is not False:
            processes = "1 process" if n == 1 else f"{n} processes"
            what = "1 unit" if len(missing) == 1 else f"{len(missing)} units"
            text = f"compiling {what} on {processes} (the first run only)"
            print(text, file=sys.stderr, flush=True)
        new: set[str] = set()
        try:
            for unit in _compile_in_processes(missing, n, progress):
                new.add(unit)
        finally:
            # Also after an interruption: what is compiled need not be compiled again.
            if new:
                text = json.dumps(sorted(compiled | new))
                write_whole(record, lambda aside: aside.write_text(text, encoding="utf-8"))
    return new


def _units(families: Mapping[str, Family], segmenter: str | None) -> list[str]:
    """Return what can be compiled ahead: the window, built-in families, and the segmenter.

    Families that share kernels are next to each other. What takes longest is at both ends. A part
    of a family that a set has may need fewer kernels: it is ``"shape of default"``.
    """
    built_in = choose("all")
    chosen = cache(choose)
    units = {}
    for name, function in families.items():
        if built_in.get(name) is whole_family(function):
            sets = () if function is built_in[name] else ("default", "fast", "robust")
            of = next((of for of in sets if chosen(of).get(name) is function), None)
            units[name] = name if of is None else f"{name} of {of}"
    first = [name for name in OUTLINES if name in units]
    last = [name for name in reversed(OTHERS) if name in units]
    rest = [name for name in units if name not in {*first, *last}]
    ordered = [units[name] for name in (*first, *rest, *last)]
    return [WINDOW, *ordered, *([] if segmenter is None else [segmenter])]


def _missing(units: Iterable[str], compiled: set[str]) -> list[str]:
    """Return the units that were not compiled, neither by themselves nor with their family."""
    return [unit for unit in units if not {unit, _family_of(unit)} & compiled]


def _family_of(unit: str) -> str:
    return unit.split()[0]


def _compile_in_processes(units: Sequence[str], n: int, progress: bool | None) -> Iterator[str]:
    """Compile `units` in this process and `n` - 1 others, and yield each when it is done.

    What this process compiles, it need not load. Half of the processes take the next unit from the
    front, and the others from the back, as two at neighbouring units would compile the same
    kernels.
    """
    waiting = deque(units)
    finished: SimpleQueue[str | None] = SimpleQueue()
    stopped = Event()
    processes: list[subprocess.Popen[str]] = []
    workers = [
        Thread(
            target=_feed,
            args=(waiting.popleft if k % 2 else waiting.pop, finished, processes, stopped),
            daemon=True,
        )
        for k in range(n - 1)
    ]
    # All but the segmenter starts after the window, which each process would else compile.
    n_started = n - 1 if WINDOW not in units else int(units[-1] in SEGMENTERS)
    n_running = 0
    try:
        with steps_of(
            len(units), "compiling", progress, unit="part", short=False, leave=False
        ) as advance:
            while waiting or n_running:
                for worker in workers[:n_started]:
                    if worker.ident is None and waiting:
                        worker.start()
                        n_running += 1
                with suppress(IndexError):
                    unit = waiting.popleft()
                    if _compile(unit):
                        finished.put(unit)
                n_started = n - 1
                while not finished.empty() or (n_running and not waiting):
                    done = finished.get()
                    n_running -= done is None
                    if done is not None:
                        advance(step=done)
                        yield done
    finally:
        # After an interruption nothing goes on compiling.
        waiting.clear()
        stopped.set()
        for process in processes:
            process.kill()


def _compile(unit: str) -> bool:
    """Compile a unit; return False if that fails, which loses only time."""
    # Collecting takes an eighth of the time of compiling, whose objects live on anyway; what does
    # not is collected after each unit, without a look at older objects.
    collecting = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _use(unit)
    except Exception:
        return False
    finally:
        gc.collect(1)
        if collecting:
            gc.enable()
    return True


def _feed(
    take: Callable[[], str],
    finished: SimpleQueue[str | None],
    processes: list[subprocess.Popen[str]],
    stopped: Event,
) -> None:
    """Give one unit after another to a process; stop if it fails, which loses only time."""
    try:
        unit = take()
        with subprocess.Popen(
            [sys.executable, "-c", START, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {SWITCH: "0", "OMP_NUM_THREADS": "1"},
        ) as process:
            processes.append(process)
            if stopped.is_set():
                process.kill()
            assert process.stdin is not None
            assert process.stdout is not None
            while True:
                process.stdin.write(unit + "\n")
                process.stdin.flush()
                if process.stdout.readline().strip() != unit:
                    break
                finished.put(unit)
                try:
                    unit = take()
                except IndexError:
                    break
            process.stdin.close()
    except (IndexError, OSError):
        # Nothing is left, or the process cannot be started.
        pass
    finally:
        finished.put(None)


def _record_path() -> Path | None:
    """Return the file that lists the units compiled by this version; None if there is no cache."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        return None
    # In a program frozen into one file, a new process would start that program.
    if not sys.executable or getattr(sys, "frozen", False):
        return None
    from numba.core.registry import cpu_target

    from hemafeat.extract._kernels.region.runs import find_runs

    folder = getattr(getattr(find_runs, "_cache", None), "cache_path", None)
    if folder is None:
        return None
    text = [
        version("numba"),
        sys.version,
        *map(str, cpu_target.target_context.codegen().magic_tuple()),
    ]
    root = Path(__file__).parents[2]
    for file in sorted(root.glob("*/_kernels/**/*.py")):
        state = file.stat()
        # Layers of container images keep whole seconds only.
        text.append(f"{file.relative_to(root)} {state.st_size} {int(state.st_mtime)}")
    tag = hashlib.sha256("\n".join(text).encode()).hexdigest()[:16]
    return Path(folder) / f"compiled-{tag}.json"


def _folder(record: Path) -> Path:
    """Return the folder of the whole cache, of which each folder of kernels has a part."""
    package = Path(__file__).parents[2]
    return package if package in record.parents else record.parent.parent


def _read_record(record: Path) -> set[str]:
    try:
        return set(json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return set()


@cache
def _drawn() -> tuple[np.ndarray, Masks, np.ndarray]:
    """Draw what is measured: a cell with its masks, and a field."""
    drawn = datasets.draw_cell("neutrophil", random_state=1)
    field = datasets.draw_field(["neutrophil", "lymphocyte"], random_state=1)
    return read(drawn.image), Masks(drawn.cell, drawn.nucleus), read(field.image)


def _use(unit: str) -> None:
    """Use all kernels of a unit as for any image."""
    image, masks, field = _drawn()
    if unit in SEGMENTERS:
        for pixels in (image, field):
            find_segmenter(unit)(pixels)
        return
    prepared, window_masks = Prepared(image, masks).window(masks, None)
    if unit == WINDOW:
        image_quality(prepared, window_masks, masks.n_cells)
        return
    name, _, of = unit.partition(" of ")
    measure_window(prepared, window_masks, {name: choose(of or [name])[name]})


def main() -> None:
    """Compile each unit named on a line of the standard input, and print its name when done."""
    names: SimpleQueue[str] = SimpleQueue()
    Thread(target=_read_names, args=(names,), daemon=True).start()
    while _compile(name := names.get()):
        print(name, flush=True)


def _read_names(names: SimpleQueue[str]) -> None:
    """Pass on the lines of the standard input; its end, also by a killed parent, ends all."""
    for line in sys.stdin:
        names.put(line.strip())
    os._exit(0)
