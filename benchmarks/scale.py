"""Memory and rate over many images, and what follows for ten million.

    python benchmarks/scale.py [--images 2000] [--families default] [--jobs 2] [--out DIR]

Cells are drawn once and saved under as many names as are asked for, each file with bytes of its
own. ``hemafeat extract`` then measures them in a process whose memory is watched, is asked again
for what is there, and the table is loaded. At the end stands a plan for ten million cells, computed
from what was measured. Needs Linux or another system with ``ps``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
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
class Watched:
    """What a child process took."""

    seconds: float
    memory: list[tuple[float, float]]
    shards: list[tuple[float, float, int]]

    @property
    def peak(self) -> float:
        return max((mb for _, mb in self.memory), default=float("nan"))


LISTING = """
import time
import pandas as pd
from hemafeat import datasets
n = {n}
images = pd.DataFrame({{"image": [f"/data/slide_{{i // 1000:06}}/{{i:09}}.jpg" for i in range(n)]}})
kept = datasets.as_table(images)
time.sleep(0.3)
"""


def many(folder: Path, n_images: int) -> Path:
    """`n_images` files of drawn cells; no two of them are the same."""
    few = datasets.drawn(folder / "drawn", min(DRAWN, n_images), format="png", progress=False)
    target = folder / f"cells-{n_images}"
    target.mkdir(exist_ok=True)
    sources = [cv2.imread(path) for path in few["image"]]
    for number in range(n_images):
        path = target / f"{number:08}.jpg"
        if path.exists():
            continue
        image = sources[number % len(sources)].copy()
        # At the edge, far from the cell: the number, as dark and bright pixels.
        image[0, :32] = [[255 * int(digit)] for digit in f"{number:032b}"]
        path.write_bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
    return target


def watched(command: list[str], out: Path | None = None) -> Watched:
    """Run a command; sample its memory and count its shards until it ends."""
    began = time.perf_counter()
    found = Watched(0.0, [], [])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        while child.poll() is None:
            now = time.perf_counter() - began
            memory = resident(child.pid)
            if memory is not None:
                found.memory.append((now, memory))
            if out is not None:
                done = len(list(out.glob("cells/part-*.parquet")))
                found.shards.append((now, processor(child.pid), done))
            time.sleep(0.1)
        print(child.stdout.read().strip())
        if child.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {child.returncode}")
    found.seconds = time.perf_counter() - began
    return found


def listing(n_images: int) -> float:
    """Bytes of memory for each image of a long list while it is made."""
    few, many = n_images, min(50 * n_images, n_images + 400_000)
    peaks = [watched([sys.executable, "-c", LISTING.format(n=n)]).peak for n in (few, many)]
    return 1e6 * (peaks[1] - peaks[0]) / (many - few)


def resident(pid: int) -> float | None:
    """Resident memory of a process, MB."""
    status = Path(f"/proc/{pid}/status")
    try:
        if status.exists():
            lines = status.read_text().splitlines()
            return next(int(ln.split()[1]) / 1e3 for ln in lines if ln.startswith("VmRSS"))
        found = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True)
        return int(found.stdout) / 1e3
    except (OSError, ValueError, StopIteration):
        return None


def processor(pid: int) -> float:
    """Seconds of processor time a process has taken; NaN where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return float("nan")


def rate(run: Watched, shard_size: int) -> tuple[float, float]:
    """Milliseconds per image, by the clock and of the processor.

    Between the first shard and the last, so that the start does not count.
    """
    table = pd.DataFrame(run.shards, columns=["clock", "processor", "shards"])
    grown = table[table["shards"].diff().fillna(0) > 0]
    if len(grown) < 2:
        return float("nan"), float("nan")
    taken = 1e3 * (grown.iloc[-1] - grown.iloc[0])
    images = taken["shards"] / 1e3 * shard_size
    return taken["clock"] / images, taken["processor"] / images


def payload(cells: Path, families: list[str], shard_size: int) -> int:
    """Bytes that go to a worker for one shard."""
    import pickle

    from hemafeat.extract._table.run import Run
    from hemafeat.extract._table.shard import ShardMaker

    run = Run(cells, families=families)
    return len(pickle.dumps((ShardMaker.of(run, "0" * 16), run.part(0, shard_size))))


def scheduling(n_tasks: int) -> float:
    """Milliseconds of an empty task on a cluster of one worker; NaN without Dask."""
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


def plan(found: dict[str, float]) -> pd.DataFrame:
    """What ten million cells take, by number of threads, from what was measured here."""
    size, shards = found["shard_size"], CELLS / found["shard_size"]
    rows = []
    for threads in THREADS:
        seconds = CELLS * found["cpu_ms"] / 1e3 / threads
        per_second = shards / seconds
        rows.append(
            {
                "threads": threads,
                "hours": seconds / 3600,
                "shards_a_second": per_second,
                "MB_a_second": per_second * found["bytes_a_row"] * size / 1e6,
                "scheduler_share": per_second * found["task_ms"] / 1e3,
            }
        )
    return pd.DataFrame(rows)


def report(found: dict[str, float], run: Watched) -> str:
    """Everything, to print."""
    lines = ["memory while it ran:"]
    stamps = np.linspace(0, len(run.memory) - 1, min(9, len(run.memory))).astype(int)[1:]
    shards = np.array(run.shards)
    for at in stamps:
        now, memory = run.memory[at]
        done = int(shards[np.searchsorted(shards[:, 0], now, side="right") - 1, 2])
        images = min(done * found["shard_size"], found["images"])
        lines.append(f"  {now:7.1f} s  {images:9,.0f} images  {memory:7.0f} MB")
    lines += ["", "measured:"]
    lines += [
        f"  {name:<18} {value:,.0f}" if value >= 100 else f"  {name:<18} {value:.3g}"
        for name, value in found.items()
    ]
    n_shards = CELLS / found["shard_size"]
    lines += [
        "",
        f"plan for {CELLS:,} cells, one in each image:",
        f"  on disk            {CELLS * found['bytes_a_row'] / 1e9:,.0f} GB",
        f"  shards             {n_shards:,.0f} of {found['shard_size']:.0f} images",
        f"  list of images     {CELLS * found['list_bytes'] / 1e9:,.1f} GB in the client",
        f"  asked again        {n_shards * found['look_ms'] / 6e4:,.1f} min to look at all",
        plan(found).to_string(index=False, float_format=lambda v: f"{v:.3g}"),
    ]
    return "\n".join(lines)


def written(text: str, page: Path) -> None:
    """Put `text` between the marks of a page."""
    before, rest = page.read_text("utf-8").split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}```text\n{text}\n```\n{END}{after}", "utf-8")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=2000, help="how many (default 2000)")
    parser.add_argument("--families", nargs="+", default=["default"])
    parser.add_argument("--jobs", type=int, default=2, help="threads (default 2)")
    parser.add_argument("--shard-size", type=int, default=512)
    parser.add_argument("--tasks", type=int, default=1000, help="empty tasks to time Dask with")
    parser.add_argument("--out", type=Path, help="keep images and table there")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put it there between marks too")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.out or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        cells, out = many(folder, args.images), folder / "features"
        extraction = [sys.executable, "-m", "hemafeat", "extract", str(cells), "--out", str(out)]
        extraction += ["--cells", "central", "--shard-size", str(args.shard_size), "--quiet"]
        extraction += ["--jobs", str(args.jobs), "--families", *args.families]
        shutil.rmtree(out, ignore_errors=True)
        run = watched(extraction, out)
        loading = watched([sys.executable, "-c", LOADING, str(out)])
        files = sorted((out / "cells").iterdir())
        rows = sum(pyarrow.parquet.read_metadata(file).num_rows for file in files)
        listed = datasets.as_table(cells)
        for _ in range(2):  # the first time loads what is needed
            began = time.perf_counter()
            again = extract.stream(listed, out, families=args.families, cells="central")
        look = 1e3 * (time.perf_counter() - began) / again.n_kept
        clock, cpu = rate(run, args.shard_size)
        found = {
            "images": args.images,
            "columns": len(extract.columns(args.families)),
            "threads": args.jobs,
            "clock_ms": clock,
            "cpu_ms": cpu,
            "peak_MB": run.peak,
            "load_peak_MB": loading.peak,
            "shard_size": args.shard_size,
            "shards": len(files),
            "shard_MB": float(np.mean([file.stat().st_size for file in files])) / 1e6,
            "bytes_a_row": sum(file.stat().st_size for file in files) / rows,
            "look_ms": look,
            "list_bytes": listing(args.images),
            "task_kB": payload(cells, args.families, args.shard_size) / 1e3,
            "task_ms": scheduling(args.tasks) if args.tasks else float("nan"),
        }
        command = f"python benchmarks/scale.py --images {args.images} --jobs {args.jobs}"
        command += f" --families {' '.join(args.families)}"
        text = f"$ {command}\n{report(found, run)}"
        print(f"\n{text}")
        if args.write is not None:
            written(text, args.write)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
