"""Processors, processes that measure, progress bars and versions of packages."""

from __future__ import annotations

import os
import platform
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
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
        Whether to show the bar. By default it is shown only on a terminal.
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

    shown = sys.stderr.isatty() if progress is None else progress
    return tqdm(total=total, desc=desc, unit=unit, disable=not shown, **kwargs)


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
