"""Processors, processes that measure, progress bars, and packages: versions, how to install."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from multiprocessing import parent_process
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm


def n_workers(n_jobs: int | None = None) -> int:
    """Return the number of workers to start.

    Parameters
    ----------
    n_jobs : int, optional
        Number asked for. None, 0 or a negative number stands for all processors that this process
        may use.

    Returns
    -------
    int
        At least 1.
    """
    if n_jobs is not None and n_jobs > 0:
        return n_jobs
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory() -> float:
    """Return the bytes of memory that are free for new processes; infinity if it is not known."""
    free = float("inf")
    with suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = 1024.0 * next(int(ln.split()[1]) for ln in lines if ln.startswith("MemAvailable"))
    # A container may have less.
    group = Path("/sys/fs/cgroup")
    with suppress(OSError, ValueError):
        limit, used = (float((group / f"memory.{name}").read_text()) for name in ("max", "current"))
        free = min(free, limit - used)
    return free


def give_back_memory() -> None:
    """Give memory that is not used any more back to the system, where the C library keeps it."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def start_worker() -> None:
    """Prepare a process that measures: it ends with its parent, however that ends.

    It is here, where little is imported, so that it runs early.
    """
    Thread(target=_end_with_parent, daemon=True).start()
    # An interruption from the terminal reaches all processes; the parent ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import cv2

    # Each thread over images would else start a pool.
    cv2.setNumThreads(1)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def progress_bar(
    total: int | None,
    desc: str,
    *,
    progress: bool | None = None,
    unit: str = "image",
    **kwargs: Any,
) -> tqdm:
    """Open a progress bar on the standard error stream.

    Parameters
    ----------
    total : int or None
        Number of steps; None if it is not known.
    desc : str
        Word in front of the bar.
    progress : bool, optional
        Whether to show the bar. By default it is shown on a terminal and in a notebook.
    unit : str
        What one step is.
    **kwargs
        Passed to `tqdm.tqdm`.

    Returns
    -------
    tqdm
        A context manager; ``update(n)`` moves it.
    """
    from tqdm import tqdm

    shown = shows_bars() if progress is None else progress
    return tqdm(total=total, desc=desc, unit=unit, disable=not shown, **kwargs)


def shows_bars() -> bool:
    """Return whether the standard error stream is a terminal or the output of a notebook."""
    return sys.stderr.isatty() or type(sys.stderr).__module__.startswith("ipykernel.")


LINE_EVERY = 5.0
"""Least time in seconds between two lines of progress in a log."""

RARER = 20
"""Lines that a long run writes at most in the time it has taken so far; one a minute at least."""


@contextmanager
def steps_of(
    total: int,
    desc: str,
    progress: bool | Callable[[int, int, str], object] | None,
    *,
    unit: str = "image",
    initial: int = 0,
    short: bool = True,
    **kwargs: Any,
) -> Iterator[Callable[..., None]]:
    """Report long steps: on a bar, in lines of a log, or to a function.

    Parameters
    ----------
    total : int
        Number of steps.
    desc : str
        Word in front of the bar or line.
    progress : bool or callable, optional
        True shows a bar on a terminal or in a notebook, and elsewhere, as in the log of a job, a
        line for a finished step, at most one in `LINE_EVERY` seconds, in a long run one a
        minute, and always the last. A callable is called with ``(done, total, step)``. False
        reports nothing, and None shows a bar on a terminal and in a notebook only.
    unit : str
        What one step is.
    initial : int
        Number of steps that an earlier run has made.
    short : bool
        Whether a run of less than `LINE_EVERY` seconds gets a line.
    **kwargs
        Passed to `tqdm.tqdm`.

    Yields
    ------
    callable
        To be called with the number of steps that are done, 1 by default, and the name of the last.
    """
    report = progress if callable(progress) else None
    lines = progress is True and not shows_bars()
    began = last = time.monotonic()
    done = initial
    if report is not None:
        report(initial, total, "")
    shown = None if progress is None else progress is True and not lines
    with progress_bar(total, desc, progress=shown, unit=unit, initial=initial, **kwargs) as bar:

        def advance(n: int = 1, step: str = "") -> None:
            nonlocal done, last
            done += n
            bar.set_postfix_str(step, refresh=False)
            bar.update(n)
            if report is not None:
                report(done, total, step)
            now = time.monotonic()
            pause = max(LINE_EVERY, min(60.0, (now - began) / RARER))
            ended = done == total and (short or now - began >= LINE_EVERY)
            if lines and n and (ended or now - last >= pause):
                last = now
                rest = (now - began) * (total - done) / (done - initial)
                left = f", about {duration(rest)} left" if done < total else ""
                name = f" ({step})" if step else ""
                print(
                    f"{desc}: {done} of {total} {unit}s{name}, {duration(now - began)}{left}",
                    file=sys.stderr,
                    flush=True,
                )

        yield advance


def duration(seconds: float) -> str:
    """Return a time in words: ``42 s``, ``7 min``, ``1 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of hemafeat, of Python and of those packages that are installed.

    Parameters
    ----------
    packages : iterable of str
        Names of distributions. One that is not installed is left out.

    Returns
    -------
    dict of str to str
        ``"hemafeat"`` and ``"python"`` first, then `packages` in the order given.
    """
    from hemafeat import __version__

    versions = {"hemafeat": __version__, "python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def how_to_install(package: str, extra: str | None = None) -> str:
    """Return the command that installs an optional package into the environment of this process.

    It can be copied as it is: it names packages and not ``hemafeat[extra]``, which no index may
    have, and it reaches the environment whether or not that is activated or has pip.

    Parameters
    ----------
    package : str
        Package that is missing.
    extra : str, optional
        Extra of hemafeat that holds it; all packages of the extra are named.
    """
    packages = [package]
    if extra is not None:
        with suppress(PackageNotFoundError):
            marked = [line.partition(";") for line in requires("hemafeat") or ()]
            of_extra = [name for name, _, marker in marked if f"extra == '{extra}'" in marker]
            packages = of_extra or packages
    return " ".join([_installer(), *map(_quoted, packages)])


def _installer() -> str:
    found = shutil.which("pip")
    if found is not None and Path(found).parent == Path(sys.executable).parent:
        return "pip install"
    python = _quoted(sys.executable or "python")
    if find_spec("pip") is not None:
        return f"{python} -m pip install"
    return f"uv pip install --python {python}"


def _quoted(word: str) -> str:
    """Quote a word for the shells of Unix and of Windows, if it needs that."""
    return f'"{word}"' if set(word) & set(" <>[];") else word
