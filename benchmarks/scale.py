"""Measure memory and speed over many images, and compute a plan for ten million.

    python benchmarks/scale.py [--images 2000] [--families default] [--jobs 2] [--out DIR]

    python benchmarks/scale.py --field 8000    # memory of one large field, nothing else

Cells are drawn once and saved as the given number of files, no two of them with the same bytes.
``hemafeat extract`` measures them in a process whose memory is monitored and is then repeated on
the complete result, and the table is loaded. At the end a plan for ten million cells is computed
from these figures. Needs Linux or another system with ``ps``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet

from hemafeat import datasets, extract

DRAWN = 500
CELLS = 10_000_000
THREADS = (16, 64, 256)
BEGIN, END = "<!-- scale: begin -->\n", "<!-- scale: end -->\n"

LOADING = """
import sys, time
from hemafeat import extract
import pandas, pyarrow.dataset
began = time.perf_counter()
shape = extract.load(sys.argv[1]).shape
print(f"loaded {shape} in {time.perf_counter() - began:.1f} s")
"""


@dataclass
class Usage:
    """Time, memory and progress of a child process and its workers."""

    seconds: float
    memory: list[tuple[float, float]]
    shards: list[tuple[float, float, int]]

    @property
    def peak(self) -> float:
        return max((mb for _, mb in self.memory), default=float("nan"))


FIELD = """
import sys, cv2
cv2.setNumThreads(1)
from hemafeat import extract
warm, field, segmenter = sys.argv[1:]
options = {"segmenter": segmenter, "cells": "all", "n_jobs": 1, "progress": False}
extract.table([warm], **options)
table = extract.table([field], **options)
assert not len(extract.errors(table)), extract.errors(table)
print(f"{len(table)} cells")
"""

LISTING = """
import time
import pandas as pd
from hemafeat import datasets
n = {n}
images = pd.DataFrame({{"image": [f"/data/slide_{{i // 1000:06}}/{{i:09}}.jpg" for i in range(n)]}})
kept = datasets.as_table(images)
time.sleep(0.3)
"""


def draw_many(folder: Path, n_images: int) -> Path:
    """Write `n_images` files of drawn cells, no two of them the same."""
    drawn = datasets.drawn(folder / "drawn", min(DRAWN, n_images), format="png", progress=False)
    target = folder / f"cells-{n_images}"
    target.mkdir(exist_ok=True)
    sources = [cv2.imread(path) for path in drawn["image"]]
    for number in range(n_images):
        path = target / f"{number:08}.jpg"
        if path.exists():
            continue
        image = sources[number % len(sources)].copy()
        # The number as dark and bright pixels, at the edge and far from the cell.
        image[0, :32] = [[255 * int(digit)] for digit in f"{number:032b}"]
        path.write_bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
    return target


def monitor(command: list[str], out: Path | None = None) -> Usage:
    """Run a command, and sample its memory and the number of its shards until it ends."""
    began = time.perf_counter()
    usage = Usage(0.0, [], [])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        while child.poll() is None:
            now = time.perf_counter() - began
            memory = resident(child.pid)
            if memory is not None:
                usage.memory.append((now, memory))
            if out is not None:
                done = len(list(out.glob("cells/part-*.parquet")))
                usage.shards.append((now, processor(child.pid), done))
            time.sleep(0.1)
        print(child.stdout.read().strip())
        if child.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {child.returncode}")
    usage.seconds = time.perf_counter() - began
    return usage


def measure_field(folder: Path, side: int) -> pd.DataFrame:
    """Measure the peak memory of one field of `side` x `side` pixels, tiled from drawn ones."""
    kinds = ["neutrophil", "lymphocyte", "monocyte"]
    tiles = [datasets.draw_field(kinds, shape=(500, 500), random_state=k).image for k in range(4)]
    rng = np.random.default_rng(0)
    n = -(-side // 500)
    rows = [np.hstack([tiles[k] for k in rng.integers(4, size=n)]) for _ in range(n)]
    field = np.vstack(rows)[:side, :side]
    for name, image in (("warm", tiles[0]), ("field", field)):
        cv2.imwrite(str(folder / f"{name}.png"), image[:, :, ::-1])
    paths = [str(folder / f"{name}.png") for name in ("warm", "field")]
    figures = []
    for segmenter in ("contours", "unet"):
        peaks = []
        # The first of two runs shows what the libraries and kernels need.
        for field_path in (paths[0], paths[1]):
            run = monitor([sys.executable, "-c", FIELD, paths[0], field_path, segmenter])
            peaks.append(run.peak)
        figures.append(
            {
                "segmenter": segmenter,
                "pixels_MB": field.nbytes / 1e6,
                "libraries_MB": peaks[0],
                "peak_MB": peaks[1],
                "x_pixels": (peaks[1] - peaks[0]) / (field.nbytes / 1e6),
            }
        )
    return pd.DataFrame(figures)


def list_bytes(n_images: int) -> float:
    """Measure the bytes of memory per image that building a long list needs."""
    sizes = n_images, min(50 * n_images, n_images + 400_000)
    peaks = [monitor([sys.executable, "-c", LISTING.format(n=n)]).peak for n in sizes]
    return 1e6 * (peaks[1] - peaks[0]) / (sizes[1] - sizes[0])


def family(pid: int) -> list[int]:
    """Return a process and all its descendants; on systems without ``/proc`` the process alone."""
    found = [pid]
    for number in found:
        for children in Path(f"/proc/{number}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, children.read_text().split())
    return found


def resident(pid: int) -> float | None:
    """Return the resident memory of a process and its workers in MB; shared pages count once."""
    try:
        if not Path("/proc/self/smaps_rollup").exists():
            command = ["ps", "-o", "rss=", "-p", str(pid)]
            return int(subprocess.run(command, capture_output=True, text=True).stdout) / 1e3
        total = 0
        for number in family(pid):
            text = Path(f"/proc/{number}/smaps_rollup").read_text()
            total += int(text.partition("\nPss:")[2].split()[0])
        return total / 1e3
    except (OSError, ValueError, IndexError):
        return None  # one of them has just ended


def processor(pid: int) -> float:
    """Return the processor time of a process and its workers in s; NaN if it is not reported."""
    try:
        total = 0
        for number in family(pid):
            fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return float("nan")


def growth(run: Usage, shard_size: int) -> float:
    """Return the bytes by which memory grows with each image, over the last three quarters."""
    clock, memory = np.array(run.memory).T
    shards = np.array(run.shards)
    done = shards[np.searchsorted(shards[:, 0], clock, side="right") - 1, 2] * shard_size
    late = done >= done.max() / 4
    if done[late].min() == done.max():
        return float("nan")
    return float(1e6 * np.polyfit(done[late], memory[late], 1)[0])


def rate(run: Usage, shard_size: int) -> tuple[float, float]:
    """Return the elapsed time and the processor time per image, in ms.

    They are measured from the first shard to the last, so that the start does not count.
    """
    table = pd.DataFrame(run.shards, columns=["clock", "processor", "shards"])
    grown = table[table["shards"].diff().fillna(0) > 0]
    if len(grown) < 2:
        return float("nan"), float("nan")
    taken = 1e3 * (grown.iloc[-1] - grown.iloc[0])
    images = taken["shards"] / 1e3 * shard_size
    return taken["clock"] / images, taken["processor"] / images


def payload(cells: Path, families: list[str], shard_size: int) -> int:
    """Return the bytes that are sent to a worker for one shard."""
    import pickle

    from hemafeat.extract._table.run import Run
    from hemafeat.extract._table.shard import ShardMaker

    run = Run(cells, families=families)
    return len(pickle.dumps((ShardMaker.of(run, "0" * 16), run.part(0, shard_size))))


def scheduling(n_tasks: int) -> float:
    """Measure the ms of an empty task on a cluster of one worker; NaN without Dask."""
    try:
        import distributed
    except ImportError:
        return float("nan")
    settings: dict[str, Any] = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(**settings, processes=True) as cluster,
        distributed.Client(cluster) as client,
    ):
        distributed.wait(client.map(abs, range(50), pure=False))
        began = time.perf_counter()
        distributed.wait(client.map(abs, range(n_tasks), pure=False))
        return 1e3 * (time.perf_counter() - began) / n_tasks


def plan(figures: dict[str, float]) -> pd.DataFrame:
    """Compute what ten million cells take, by number of threads, from the measured figures."""
    size, shards = figures["shard_size"], CELLS / figures["shard_size"]
    rows = []
    for threads in THREADS:
        seconds = CELLS * figures["cpu_ms"] / 1e3 / threads
        per_second = shards / seconds
        rows.append(
            {
                "threads": threads,
                "hours": seconds / 3600,
                "shards_a_second": per_second,
                "MB_a_second": per_second * figures["bytes_a_row"] * size / 1e6,
                "scheduler_share": per_second * figures["task_ms"] / 1e3,
            }
        )
    return pd.DataFrame(rows)


def report(figures: dict[str, float], run: Usage) -> str:
    """Format all figures as text."""
    lines = ["memory during the run:"]
    stamps = np.linspace(0, len(run.memory) - 1, min(9, len(run.memory))).astype(int)[1:]
    shards = np.array(run.shards)
    for at in stamps:
        now, memory = run.memory[at]
        done = int(shards[np.searchsorted(shards[:, 0], now, side="right") - 1, 2])
        images = min(done * figures["shard_size"], figures["images"])
        lines.append(f"  {now:7.1f} s  {images:9,.0f} images  {memory:7.0f} MB")
    lines += ["", "measured:"]
    lines += [
        f"  {name:<18} {value:,.0f}" if value >= 100 else f"  {name:<18} {value:.3g}"
        for name, value in figures.items()
    ]
    n_shards = CELLS / figures["shard_size"]
    lines += [
        "",
        f"plan for {CELLS:,} cells, one in each image:",
        f"  on disk            {CELLS * figures['bytes_a_row'] / 1e9:,.0f} GB",
        f"  shards             {n_shards:,.0f} of {figures['shard_size']:.0f} images",
        f"  list of images     {CELLS * figures['list_bytes'] / 1e9:,.1f} GB in the client",
        f"  repeated call      {n_shards * figures['look_ms'] / 6e4:,.1f} min to check all shards",
        plan(figures).to_string(index=False, float_format=lambda v: f"{v:.3g}"),
    ]
    return "\n".join(lines)


def write_between_marks(text: str, page: Path) -> None:
    """Write `text` between the marks of a page."""
    before, rest = page.read_text("utf-8").split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}```text\n{text}\n```\n{END}{after}", "utf-8")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=2000, help="number of images (default 2000)")
    parser.add_argument("--families", nargs="+", default=["default"])
    parser.add_argument("--jobs", type=int, default=2, help="threads or processes (default 2)")
    parser.add_argument("--processes", action=argparse.BooleanOptionalAction, help="which of them")
    parser.add_argument("--shard-size", type=int, default=512)
    parser.add_argument("--tasks", type=int, default=1000, help="empty tasks to time Dask with")
    parser.add_argument("--out", type=Path, help="folder to keep images and table in")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="page to write them to")
    parser.add_argument("--field", type=int, metavar="SIDE", help="measure one field, then stop")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.out or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if args.field:
            print(measure_field(folder, args.field).round(1).to_string(index=False))
            return 0
        cells, out = draw_many(folder, args.images), folder / "features"
        extraction = [sys.executable, "-m", "hemafeat", "extract", str(cells), "--out", str(out)]
        extraction += ["--cells", "central", "--shard-size", str(args.shard_size), "--quiet"]
        extraction += ["--jobs", str(args.jobs), "--families", *args.families]
        if args.processes is not None:
            extraction.append("--processes" if args.processes else "--no-processes")
        shutil.rmtree(out, ignore_errors=True)
        run = monitor(extraction, out)
        loading = monitor([sys.executable, "-c", LOADING, str(out)])
        files = sorted((out / "cells").iterdir())
        rows = sum(pyarrow.parquet.read_metadata(file).num_rows for file in files)
        image_table = datasets.as_table(cells)
        for _ in range(2):  # the first call loads modules
            began = time.perf_counter()
            again = extract.stream(image_table, out, families=args.families, cells="central")
        look = 1e3 * (time.perf_counter() - began) / again.n_kept
        clock, cpu = rate(run, args.shard_size)
        figures = {
            "images": args.images,
            "columns": len(extract.columns(args.families)),
            "workers": args.jobs,
            "clock_ms": clock,
            "cpu_ms": cpu,
            "peak_MB": run.peak,
            "growth_B": growth(run, args.shard_size),
            "load_peak_MB": loading.peak,
            "shard_size": args.shard_size,
            "shards": len(files),
            "shard_MB": float(np.mean([file.stat().st_size for file in files])) / 1e6,
            "bytes_a_row": sum(file.stat().st_size for file in files) / rows,
            "look_ms": look,
            "list_bytes": list_bytes(args.images),
            "task_kB": payload(cells, args.families, args.shard_size) / 1e3,
            "task_ms": scheduling(args.tasks) if args.tasks else float("nan"),
        }
        command = f"python benchmarks/scale.py --images {args.images} --jobs {args.jobs}"
        command += f" --families {' '.join(args.families)}"
        if args.processes is not None:
            command += " --processes" if args.processes else " --no-processes"
        text = f"$ {command}\n{report(figures, run)}"
        print(f"\n{text}")
        if args.write is not None:
            write_between_marks(text, args.write)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
