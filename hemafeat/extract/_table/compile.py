"""Compile kernels ahead of the first image, in several processes at once.

On a machine that has never measured, compilation takes a minute or two, one kernel after another:
numba lets one thread compile at a time. Processes share its cache on disk, so each takes some of
the families.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

from hemafeat import datasets
from hemafeat._files import locked, write_whole
from hemafeat._machine import progress_bar
from hemafeat.extract._family import Family, choose
from hemafeat.extract._measure import image_quality, measure_window
from hemafeat.extract._prepared import Prepared
from hemafeat.extract._table.image import Segmenter
from hemafeat.images import read
from hemafeat.segment import Masks, contours

SWITCH = "HEMAFEAT_COMPILE_AHEAD"
"""Environment variable: 0 leaves each kernel to the first image that needs it."""

SEGMENTER = "contours"

WINDOW = "window"
"""Kernels that every family needs; they are compiled before all others."""

SLOW_FIRST = ("shape", "lobes", "lbp", "profile", "stain", "boundary", "colour", "granules")

FEW = 4
"""Number of units up to which starting processes takes longer than it saves."""

START = """\
import sys
sys.path[:] = sys.argv[1:]
from hemafeat.extract._table.compile import main
main()"""
"""Program of a process: it imports what this process does, wherever it was started. With ``-m`` it
would import the package in the current folder, such as a checkout, and compile that one."""

MAX_PROCESSES = 8
"""Most processes that are started; there is not enough to compile for more."""


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
        Show a progress bar. By default it is shown only on a terminal.
    """
    record = _record_path()
    if record is None:
        return
    compiled = _read_record(record)
    units = [unit for unit in _units(families, segment) if unit not in compiled]
    n_processes = min(n_jobs, len(units), MAX_PROCESSES)
    if len(units) <= FEW or n_processes < 2:
        return
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        with locked(record.with_suffix(".lock"), "another process is compiling"):
            new = _compile_in_processes(units, n_processes, progress)
            if new:
                text = json.dumps(sorted(compiled | new))
                write_whole(record, lambda aside: aside.write_text(text, encoding="utf-8"))
    except OSError:
        # The record cannot be written, or another process is compiling: the first image compiles.
        return


def _units(families: Mapping[str, Family], segment: Segmenter | None) -> list[str]:
    """Return what can be compiled ahead: the segmenter, the window, and built-in families."""
    built_in = choose("all")
    names = [
        name
        for name, function in families.items()
        if built_in.get(name) is getattr(function, "function", function)
    ]
    first = [name for name in SLOW_FIRST if name in names]
    rest = [name for name in names if name not in first]
    return [SEGMENTER] * (segment is contours) + [WINDOW, *first, *rest]


def _compile_in_processes(units: list[str], n: int, progress: bool | None) -> set[str]:
    """Compile `units` in `n` processes that each take the next one, and return those compiled."""
    waiting: SimpleQueue[str] = SimpleQueue()
    for unit in units:
        waiting.put(unit)
    finished: SimpleQueue[str | None] = SimpleQueue()
    workers = [Thread(target=_feed, args=(waiting, finished), daemon=True) for _ in range(n)]
    compiled: set[str] = set()
    bar = progress_bar(
        len(units), "compiling (the first run only)", progress=progress, unit="family", leave=False
    )
    with bar:
        # The others start after the window, which each would else compile for itself.
        workers[0].start()
        if n > 1 and units[0] == SEGMENTER:
            workers[1].start()
        n_ended = 0
        while n_ended < sum(worker.ident is not None for worker in workers):
            done = finished.get()
            if done is None:
                n_ended += 1
                continue
            compiled.add(done)
            bar.update()
            if done == WINDOW:
                for worker in workers:
                    if worker.ident is None:
                        worker.start()
    return compiled


def _feed(waiting: SimpleQueue[str], finished: SimpleQueue[str | None]) -> None:
    """Give one unit after another to a process; stop if it fails, which loses only time."""
    try:
        with subprocess.Popen(
            [sys.executable, "-c", START, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {SWITCH: "0", "OMP_NUM_THREADS": "1"},
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            while True:
                unit = waiting.get_nowait()
                process.stdin.write(unit + "\n")
                process.stdin.flush()
                if process.stdout.readline().strip() != unit:
                    break
                finished.put(unit)
            process.stdin.close()
    except (Empty, OSError):
        pass
    finally:
        finished.put(None)


def _record_path() -> Path | None:
    """Return the file that lists the units compiled by this version; None to compile nothing."""
    if os.environ.get(SWITCH, "") == "0" or os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
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
        text.append(f"{file.relative_to(root)} {state.st_size} {state.st_mtime_ns}")
    tag = hashlib.sha256("\n".join(text).encode()).hexdigest()[:16]
    return Path(folder) / f"compiled-{tag}.json"


def _read_record(record: Path) -> set[str]:
    try:
        return set(json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return set()


def _compilers() -> dict[str, Callable[[], object]]:
    """Return a function for each unit that uses it once, on a drawn cell, as for any image."""
    drawn = datasets.draw_cell("neutrophil", random_state=1)
    field = datasets.draw_field(["neutrophil", "lymphocyte"], random_state=1)
    pixels = read(drawn.image)
    masks = Masks(drawn.cell, drawn.nucleus)

    def segmenter() -> None:
        for image in (pixels, read(field.image)):
            contours(image)

    def window() -> tuple[Prepared, Masks]:
        prepared, window_masks = Prepared(pixels, masks).window(masks, None)
        image_quality(prepared, window_masks, masks.n_cells)
        return prepared, window_masks

    def compiler(name: str) -> Callable[[], object]:
        return lambda: measure_window(*window(), choose([name]))

    return {
        SEGMENTER: segmenter,
        WINDOW: window,
        **{name: compiler(name) for name in choose("all")},
    }


def main() -> None:
    """Compile each unit named on a line of the standard input, and print its name when done."""
    names: SimpleQueue[str] = SimpleQueue()
    Thread(target=_read_names, args=(names,), daemon=True).start()
    compilers = _compilers()
    while True:
        name = names.get()
        compilers[name]()
        print(name, flush=True)


def _read_names(names: SimpleQueue[str]) -> None:
    """Pass on the lines of the standard input; its end, also by a killed parent, ends all."""
    for line in sys.stdin:
        names.put(line.strip())
    os._exit(0)
