"""Time the first call, with kernels compiled into an empty cache or loaded from a full one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

FIRST_TABLE = """
import json, os, sys, time
start, spent = time.perf_counter(), sum(os.times()[:4])
import hemafeat
from hemafeat import extract
extract.table
loaded = time.perf_counter()
import hemafeat.extract._table.table
from numba.core import event
recorder = event.RecordingListener()
event.register("numba:compile", recorder)
begun = time.perf_counter()
extract.table([sys.argv[1]], families=sys.argv[2], n_jobs=int(sys.argv[3]), progress=False)
first = time.perf_counter()
# That of the processes that compile is counted when they have ended.
spent = sum(os.times()[:4]) - spent
extract.table([sys.argv[1]], families=sys.argv[2], n_jobs=1, progress=False)
again = time.perf_counter() - first
own, stack, before = {}, [], None
for now, entry in recorder.buffer:
    if stack:
        own[stack[-1]] = own.get(stack[-1], 0.0) + now - before
    if entry.is_start:
        stack.append(entry.data["dispatcher"].py_func.__module__)
    else:
        stack.pop()
    before = now
print(json.dumps({"import": loaded - start, "first": first - begun, "second": again,
                  "processor": spent, "modules": own, "package": hemafeat.__file__,
                  "version": hemafeat.__version__}))
"""

ONE_FAMILY = """
import json, sys, time
from hemafeat import extract, images, segment
from hemafeat.extract._family import choose
from hemafeat.extract._measure import image_quality, measure_window
image = images.read(sys.argv[1])
masks = segment.segmenter("contours")(image)
prepared, inside = extract.Prepared(image, masks).window(masks, 0)
image_quality(prepared, inside)
seconds = {}
for name, family in choose(sys.argv[2:]).items():
    start = time.perf_counter()
    failures = measure_window(prepared, inside, {name: family})[1]
    seconds[name] = time.perf_counter() - start
    assert not failures, failures
print(json.dumps(seconds))
"""


def child(code: str, cache: Path, *arguments: str, ahead: bool = True) -> dict:
    """Run `code` in an interpreter with only `cache`, and return the JSON it prints.

    It imports what this process does, and not a checkout that is the current folder.
    """
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\nsys.path[:] = {sys.path[1:]!r}\n{code}", *arguments],
        capture_output=True,
        text=True,
        env=os.environ
        | {"NUMBA_CACHE_DIR": str(cache), "HEMAFEAT_COMPILE_AHEAD": "1" if ahead else "0"},
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def first_table(
    image: Path, cache: Path, families: str = "default", n_jobs: int = 1, ahead: bool = True
) -> dict:
    """Measure the seconds to import, of a first and a second table of one image, and by module.

    Kernels are compiled ahead by `n_jobs` processes, or else by the process that measures.
    """
    return child(FIRST_TABLE, cache, str(image), families, str(n_jobs), ahead=ahead)


def each_family(image: Path, scratch: Path, names: Iterable[str]) -> dict[str, tuple[float, float]]:
    """Measure the seconds of the first call of each family alone, compiled and loaded.

    Reading, segmentation and quality columns are compiled before and not counted.
    """
    common = scratch / "common"
    child(ONE_FAMILY, common, str(image))
    seconds = {}
    for name in names:
        cache = scratch / name
        shutil.copytree(common, cache)
        compiled = child(ONE_FAMILY, cache, str(image), name)[name]
        loaded = child(ONE_FAMILY, cache, str(image), name)[name]
        seconds[name] = compiled, loaded
        shutil.rmtree(cache)
    return seconds


def report_tables(image: Path, scratch: Path) -> None:
    """Print the times of first tables, and where those of one process go."""
    warm_up = first_table(image, scratch / "default-2", "default", 2)
    print(f"hemafeat {warm_up['version']} in {Path(warm_up['package']).parent}")
    print(f"{os.cpu_count()} processors; processor seconds are those of all processes together")
    print("\nfirst table of one image              wall   processor")
    rows = [("default", 2, warm_up)]
    for families, n in (("default", 1), ("fast", 2), ("fast", 1)):
        rows.append((families, n, first_table(image, scratch / f"{families}-{n}", families, n)))
    for families, n, row in rows:
        words = f"{families}, compiled by {n} process{'es' * (n > 1)}"
        print(f"{words:<34} {row['first']:7.1f} {row['processor']:11.1f}", flush=True)
    for families in ("default", "fast"):
        row = first_table(image, scratch / f"{families}-2", families)
        print(f"{families + ', loaded from the cache':<34} {row['first']:7.1f} ", end="")
        print(f"{row['processor']:11.1f}")
    print(f"\nimport of hemafeat.extract: {row['import']:.2f} s")
    print(f"second table of one image, fast: {row['second']:.3f} s")
    cold = first_table(image, scratch / "alone", ahead=False)
    print("\nseconds of compilation in the process that measures, by module, without what it calls")
    for module, seconds in sorted(cold["modules"].items(), key=lambda pair: -pair[1]):
        print(f"{module:<44} {seconds:6.2f}")


def report(only: Iterable[str] | None = None) -> None:
    """Print all times; with `only`, those of the families named there."""
    from hemafeat import datasets, extract

    names = list(only) if only else list(extract.families())
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        image = Path(datasets.drawn(scratch / "drawn", n_images=1, format="jpg")["image"].iloc[0])
        if not only:
            report_tables(image, scratch)
        print("\nseconds of a family's first call    compiled   loaded")
        for name, (compiled, loaded) in each_family(image, scratch / "each", names).items():
            print(f"{name:<34} {compiled:9.2f} {loaded:8.2f}", flush=True)
