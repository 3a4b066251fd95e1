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
import json, sys, time
start = time.perf_counter()
from hemafeat import extract
import hemafeat.extract._table.table
from numba.core import event
recorder = event.RecordingListener()
event.register("numba:compile", recorder)
loaded = time.perf_counter()
extract.table([sys.argv[1]], families=sys.argv[2], n_jobs=int(sys.argv[3]), progress=False)
first = time.perf_counter()
extract.table([sys.argv[1]], families=sys.argv[2], n_jobs=1, progress=False)
again = time.perf_counter()
own, stack, before = {}, [], None
for now, entry in recorder.buffer:
    if stack:
        own[stack[-1]] = own.get(stack[-1], 0.0) + now - before
    if entry.is_start:
        stack.append(entry.data["dispatcher"].py_func.__module__)
    else:
        stack.pop()
    before = now
print(json.dumps({"import": loaded - start, "first": first - loaded, "second": again - first,
                  "modules": own}))
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


def child(code: str, cache: Path, *arguments: str) -> dict:
    """Run `code` in an interpreter with only `cache`, and return the JSON it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"NUMBA_CACHE_DIR": str(cache)},
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def first_table(image: Path, cache: Path, families: str = "default", n_jobs: int = 1) -> dict:
    """Measure the seconds to import, of a first and a second table of one image, and by module.

    With more than one job the first table is compiled ahead, by as many processes.
    """
    return child(FIRST_TABLE, cache, str(image), families, str(n_jobs))


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


def report(only: Iterable[str] | None = None) -> None:
    """Print all times; with `only`, those of the families named there."""
    from hemafeat import datasets, extract

    names = list(only) if only else list(extract.families())
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        image = Path(datasets.drawn(scratch / "drawn", n_images=1, format="jpg")["image"].iloc[0])
        if not only:
            cold = first_table(image, scratch / "all")
            warm = first_table(image, scratch / "all")
            print("seconds                        empty cache   full cache")
            for step, words in (
                ("import", "import of hemafeat.extract"),
                ("first", "first table of one image"),
                ("second", "second table of one image"),
            ):
                print(f"{words:<30} {cold[step]:11.2f} {warm[step]:12.2f}")
            n = os.cpu_count() or 1
            ahead = first_table(image, scratch / "ahead", n_jobs=n)
            print(f"first table, compiled ahead by {min(n, 8)} processes {ahead['first']:.2f}")
            print("\nseconds of compilation, by module, without what it calls in others")
            for module, seconds in sorted(cold["modules"].items(), key=lambda pair: -pair[1]):
                print(f"{module:<44} {seconds:6.2f}")
        print("\nseconds of a family's first call    compiled   loaded")
        for name, (compiled, loaded) in each_family(image, scratch / "each", names).items():
            print(f"{name:<34} {compiled:9.2f} {loaded:8.2f}", flush=True)
