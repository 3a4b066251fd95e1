"""Kernels compiled ahead of the first image, by several processes at once.

A machine that has never measured compiles for a minute or two, one kernel after another: numba lets
one thread compile at a time. Processes share its cache on disk, so each takes some of the families.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from hemafeat._files import locked, write_whole

if TYPE_CHECKING:
    from hemafeat.extract._table.image import Work

SWITCH = "HEMAFEAT_COMPILE_AHEAD"
"""Environment variable: 0 leaves each kernel to the first image that needs it."""

SEGMENTER = "contours"

WINDOW = "window"
"""What every family stands on; nothing else is begun before it is compiled."""

SLOW_FIRST = ("shape", "lobes", "lbp", "profile", "stain", "boundary", "colour", "granules")

FEW = 4
"""Families up to which starting processes does not pay."""

MOST = 8
"""Processes at most: there is not enough to compile for more."""


def compile_ahead(work: Work, n_jobs: int, progress: bool | None) -> None:
    """Compile what `work` needs, if it was not compiled on this machine before.

    Parameters
    ----------
    work : Work
        Its built-in families and segmenter are compiled; plug-ins are left to the first image.
    n_jobs : int
        Processes at most.
    progress : bool, optional
        As of `hemafeat.extract.table`.
    """
    place = _record()
    if place is None:
        return
    there = _read(place)
    units = [name for name in _units(work) if name not in there]
    n = min(n_jobs, len(units), MOST)
    if len(units) <= FEW or n < 2:
        return
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with locked(place.with_suffix(".lock"), "another process is compiling"):
            done = _by_processes(units, n, progress)
            if done:
                text = json.dumps(sorted(there | done))
                write_whole(place, lambda aside: aside.write_text(text, encoding="utf-8"))
    except OSError:
        # Without a place for the record, or while another process is at it: the first image will.
        return


def _units(work: Work) -> list[str]:
    from hemafeat.extract._family import chosen
    from hemafeat.segment import contours

    ours = chosen("all")
    names = [name for name, function in work.families.items() if ours.get(name) is function]
    first = [name for name in SLOW_FIRST if name in names]
    rest = [name for name in names if name not in first]
    return [SEGMENTER] * (work.segment is contours) + [WINDOW, *first, *rest]


def _by_processes(units: list[str], n: int, progress: bool | None) -> set[str]:
    """Units that were compiled, by `n` processes that each take the next one when they are idle."""
    from tqdm import tqdm

    waiting: SimpleQueue[str] = SimpleQueue()
    for unit in units:
        waiting.put(unit)
    finished: SimpleQueue[str | None] = SimpleQueue()
    hidden = not (sys.stderr.isatty() if progress is None else progress)
    workers = [Thread(target=_feed, args=(waiting, finished), daemon=True) for _ in range(n)]
    done: set[str] = set()
    text = "compiling (the first run only)"
    with tqdm(total=len(units), unit="family", desc=text, disable=hidden, leave=False) as bar:
        # The others would compile what all need a second time.
        workers[0].start()
        if n > 1 and units[0] == SEGMENTER:
            workers[1].start()
        ended = 0
        while ended < sum(worker.ident is not None for worker in workers):
            name = finished.get()
            if name is None:
                ended += 1
                continue
            done.add(name)
            bar.update()
            if name == WINDOW:
                for worker in workers:
                    if worker.ident is None:
                        worker.start()
    return done


def _feed(waiting: SimpleQueue[str], finished: SimpleQueue[str | None]) -> None:
    """One process, told of one unit after another; ends where it fails: nothing is lost by it."""
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "hemafeat.extract._table.compile"],
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


def _record() -> Path | None:
    """Where it is kept what was compiled by this version; None where nothing is to be done."""
    if os.environ.get(SWITCH, "") == "0" or os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        return None
    # In a program frozen into one file it is this program that would be started.
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


def _read(place: Path) -> set[str]:
    try:
        return set(json.loads(place.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return set()


def _compilers() -> dict[str, Callable[[], object]]:
    """What compiles each unit: it is used once, on a drawn cell, by the way of every image."""
    from hemafeat import datasets
    from hemafeat.extract._family import chosen
    from hemafeat.extract._measure import image_quality, measure_window
    from hemafeat.extract._prepared import Prepared
    from hemafeat.images import read
    from hemafeat.segment import Masks, contours

    drawn = datasets.draw_cell("neutrophil", random_state=1)
    field = datasets.draw_field(["neutrophil", "lymphocyte"], random_state=1)
    pixels = read(drawn.image)
    masks = Masks(drawn.cell, drawn.nucleus)

    def segmenter() -> None:
        for image in (pixels, read(field.image)):
            contours(image)

    def window() -> tuple[Prepared, Masks]:
        prepared, measured = Prepared(pixels, masks).window(masks, None)
        image_quality(prepared, measured, masks.n_cells)
        return prepared, measured

    def of_family(name: str) -> Callable[[], object]:
        return lambda: measure_window(*window(), {name: chosen([name])[name]})

    return {
        SEGMENTER: segmenter,
        WINDOW: window,
        **{name: of_family(name) for name in chosen("all")},
    }


def main() -> None:
    """Compile each unit named on a line of the standard input, and name it when it is done."""
    compilers = _compilers()
    for line in sys.stdin:
        compilers[line.strip()]()
        print(line.strip(), flush=True)


if __name__ == "__main__":
    main()
