"""Measure memory and time of large images, and whether each cell is found once.

    python benchmarks/large_images.py --areas 1 2 4

A slide is made of drawn fields of other stains, as a tiled OME-TIFF, and measured in a process of
its own. Peak memory must not grow with the area. ``--seams N`` draws N fields and compares the
cells of small tiles with those of the whole image.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from hemafeat import datasets, extract, images, segment

SIDE = 256
UM_PER_PX = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--areas", type=int, nargs="+", default=[1, 2, 4], metavar="N")
    parser.add_argument("--field", type=int, default=2048, metavar="PX", help="side of a field")
    parser.add_argument("--segmenter", default="best")
    parser.add_argument("--families", nargs="+", default=["shape", "colour"])
    parser.add_argument("--seams", type=int, default=0, metavar="N")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(Path(args.measure), args)
    elif args.seams:
        seams(args)
    else:
        memory(args)


def memory(args: argparse.Namespace) -> None:
    """Print peak memory and time of slides of several areas; the unit is 16 fields."""
    print("fields  megapixels  file_mb  tiles  cells  seconds  peak_mb")
    with tempfile.TemporaryDirectory() as folder:
        fields = [_field(seed, args.field) for seed in range(4)]
        for area in args.areas:
            path = Path(folder, "slide.ome.tif")
            _write(path, fields, 4, 4 * area)
            words = ["--segmenter", args.segmenter, "--families", *args.families]
            command = [sys.executable, __file__, "--measure", str(path)]
            done = subprocess.run([*command, *words], capture_output=True, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            megapixels = 16 * area * args.field**2 / 1e6
            size = path.stat().st_size / 1e6
            print(
                f"{16 * area:6d}  {megapixels:10.0f}  {size:7.0f}  {found['tiles']:5d}  "
                f"{found['cells']:5d}  {found['seconds']:7.1f}  {found['peak']:7.0f}",
                flush=True,
            )


def measure(path: Path, args: argparse.Namespace) -> None:
    """Measure one slide into a folder, and print what it took."""
    tiles = datasets.tiles(path)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result = extract.stream(
            tiles,
            Path(folder, "cells"),
            segmenter=args.segmenter,
            families=args.families,
            n_jobs=1,
            shard_size=8,
            progress=False,
        )
        n_cells = result.n_cells
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = time.perf_counter() - start
    print(json.dumps({"tiles": len(tiles), "cells": n_cells, "seconds": seconds, "peak": peak}))


def seams(args: argparse.Namespace) -> None:
    """Print how many cells of the whole image the tiles hold twice, lack, or have besides."""
    find = segment.segmenter(args.segmenter)
    total = np.zeros(6, int)
    print("field  whole  tiled  twice  lacking  besides  lacking_at_seams")
    for seed in range(args.seams):
        rng = np.random.default_rng(seed)
        kinds = rng.choice(datasets.KINDS, 40).tolist()
        draw = datasets.draw_any_field if seed % 2 else datasets.draw_field
        spoiled = {"spoiled": False} if seed % 2 else {}
        drawn = draw(kinds, shape=(1800, 2600), um_per_px=0.15, random_state=seed, **spoiled)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "slide.tif")
            tifffile.imwrite(path, drawn.image, tile=(256, 256), photometric="rgb")
            tiles = datasets.tiles(path, size=500, um_per_px=0.15)
            parts = []
            for name in tiles["image"]:
                found = segment.find_cells(find, images.read(name), name).positions()
                found = images.tile_of(name).on_slide(found)
                parts.append(np.column_stack([found["x"], found["y"]]))
        tiled = np.concatenate(parts)
        whole = find(drawn.image).positions()
        points = np.column_stack([whole["x"], whole["y"]])
        if not len(points) or not len(tiled):
            print(f"{seed:5d}  {len(points):5d}  {len(tiled):5d}")
            continue
        within = np.hypot(*(tiled[:, None] - tiled).transpose(2, 0, 1)) < 8
        between = np.hypot(*(points[:, None] - tiled).transpose(2, 0, 1)) < 8
        lacking = points[~between.any(axis=1)]
        edges = [images.tile_of(name) for name in tiles["image"]]
        at_x = np.abs(lacking[:, :1] - sorted({t.x for t in edges} - {0})).min(axis=1, initial=99)
        at_y = np.abs(lacking[:, 1:] - sorted({t.y for t in edges} - {0})).min(axis=1, initial=99)
        counts = np.array(
            [
                *(len(points), len(tiled), (within.sum() - len(tiled)) // 2),
                *(len(lacking), (~between.any(axis=0)).sum(), (np.minimum(at_x, at_y) < 10).sum()),
            ]
        )
        total += counts
        print(f"{seed:5d}  " + "  ".join(f"{n:5d}" for n in counts), flush=True)
    print("  all  " + "  ".join(f"{n:5d}" for n in total))


def _field(seed: int, side: int) -> np.ndarray:
    kinds = np.random.default_rng(seed).choice(datasets.KINDS, max(1, side**2 // 200_000)).tolist()
    return datasets.draw_field(
        kinds, shape=(side, side), um_per_px=UM_PER_PX, random_state=seed
    ).image


def _write(path: Path, fields: list[np.ndarray], rows: int, columns: int) -> None:
    """Write a slide of fields side by side, tile by tile."""
    side = len(fields[0])
    shape = (rows * side, columns * side, 3)
    corners = itertools.product(range(0, shape[0], SIDE), range(0, shape[1], SIDE))

    def tiles() -> Iterator[np.ndarray]:
        for y, x in corners:
            field = fields[(y // side + x // side) % len(fields)]
            yield field[y % side : y % side + SIDE, x % side : x % side + SIDE]

    sizes = {f"PhysicalSize{axis}": UM_PER_PX for axis in "XY"}
    with tifffile.TiffWriter(path, ome=True, bigtiff=True) as file:
        file.write(
            tiles(),
            shape=shape,
            dtype=np.uint8,
            tile=(SIDE, SIDE),
            photometric="rgb",
            metadata={"axes": "YXS"} | sizes,
        )


if __name__ == "__main__":
    main()
