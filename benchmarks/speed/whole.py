"""The whole way of an image, as `extract.table` goes it: by step, by set, by number of threads."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from cells import Cell
from timing import in_turns, no_collection, summary

from hemafeat import extract, images, segment
from hemafeat.extract._family import SETS, Family, choose, column_facts
from hemafeat.extract._measure import image_quality, measure_window

COSTS = Path(extract.__file__).with_name("_costs.json")


def split(cells: list[Cell], rounds: int) -> pd.DataFrame:
    """Median of each step in turn, and of each family alone.

    In turn, what families share is charged to the first that asks for it, and the families of all
    sets follow each other as in the table. Alone, a family pays for all it needs itself.
    """
    which = choose("all")
    contours = segment.segmenter("contours")
    seconds: dict[str, list[float]] = defaultdict(list)

    def timed(step: str, work):
        start = time.perf_counter()
        result = work()
        seconds[step].append(time.perf_counter() - start)
        return result

    def one_image(cell: Cell) -> None:
        timed("cv2.imdecode", lambda: cv2.imdecode(cell.data, cv2.IMREAD_COLOR))
        image = timed("images.read", lambda: images.read(cell.path))
        masks = timed("segment.contours", lambda: contours(image))
        window = timed("window", lambda: extract.Prepared(image, masks).window(masks, cell.kept))
        timed("quality record", lambda: image_quality(*window, masks.n_cells))
        for name, function in which.items():
            timed(name, lambda n=name, f=function: measured(window, {n: f}))
        white = window[0].white()
        for name, function in which.items():
            fresh = extract.Prepared(image, masks, white).window(masks, cell.kept)
            timed(f"{name} alone", lambda n=name, f=function, w=fresh: measured(w, {n: f}))

    one_image(cells[0])
    seconds.clear()
    with no_collection():
        for _ in range(rounds):
            for cell in cells:
                one_image(cell)
    decode = float(np.median(seconds["cv2.imdecode"]))
    steps = [step for step in seconds if not step.endswith(" alone")]
    rows = []
    for step in steps:
        ms = 1e3 * np.array(seconds[step])
        row: dict[str, Any] = {"step": step, "columns": "", "set": ""}
        if step in which:
            row["columns"] = len(column_facts(step, which[step]))
            row["set"] = next(name for name in SETS if step in choose(name))
            row["alone_ms"] = 1e3 * float(np.median(seconds[f"{step} alone"]))
        row["ms"], (row["q1"], row["q3"]) = float(np.median(ms)), np.percentile(ms, [25, 75])
        row["decodes"] = row["ms"] / (1e3 * decode)
        rows.append(row)
    order = ["step", "set", "columns", "ms", "q1", "q3", "decodes", "alone_ms"]
    return pd.DataFrame(rows)[order]


def sets(cells: list[Cell], rounds: int) -> pd.DataFrame:
    """Reading, segmenting and measuring an image, for each set of families, against decoding it."""
    names = [name for name in SETS if choose(name)]
    visits: list[dict] = []
    for cell in cells:
        calls: dict = {"decode": lambda c=cell: cv2.imdecode(c.data, cv2.IMREAD_COLOR)}
        for name in names:
            which = choose(name)
            calls[name] = lambda c=cell, w=which: all_in(c, w)
        visits.append(calls)
    times = in_turns(visits, rounds, float("inf"))
    return pd.DataFrame(
        {
            "families": name,
            "columns": len(extract.columns(name)) if name in names else 0,
            **summary(times[name], times["decode"]),
        }
        for name in ["decode", *names]
    )


def all_in(cell: Cell, which: dict[str, Family]) -> np.ndarray:
    """From the file of an image to the numbers of its cell."""
    image = images.read(cell.path)
    masks = segment.segmenter("contours")(image)
    window = extract.Prepared(image, masks).window(masks, cell.kept)
    image_quality(*window, masks.n_cells)
    return measured(window, which)


def measured(
    window: tuple[extract.Prepared, segment.Masks], which: dict[str, Family]
) -> np.ndarray:
    """The numbers; a family that fails would otherwise be timed as if it were quick."""
    values, failures = measure_window(*window, which)
    for error in failures.values():
        raise error
    return values


def threads(
    cells: list[Cell], folder: Path, n_images: int, families: str, jobs: int
) -> pd.DataFrame:
    """The whole table of copies of the images, with one thread and with several, in turns."""
    folder.mkdir()
    many = [folder / f"{k:05d}{cells[k % len(cells)].path.suffix}" for k in range(n_images)]
    for k, copy in enumerate(many):
        shutil.copyfile(cells[k % len(cells)].path, copy)
    seconds: dict[int, list[float]] = {1: [], jobs: []}
    for _ in range(3):
        for n in seconds:
            start = time.perf_counter()
            extract.table(many, cells="central", n_jobs=n, families=families, progress=False)
            seconds[n].append(time.perf_counter() - start)
    return pd.DataFrame(
        {
            "threads": n,
            "images": len(many),
            "best_s": min(taken),
            "ms_an_image": 1e3 * min(taken) / len(many),
            "images_per_s": len(many) / min(taken),
            "x_one_thread": min(seconds[1]) / min(taken),
        }
        for n, taken in seconds.items()
    )


def write_costs(steps: pd.DataFrame, image: str, target: Path = COSTS) -> None:
    """What `extract.families()` shows: measured costs, in turn, by family."""
    decode = float(steps.loc[steps["step"] == "cv2.imdecode", "ms"].iloc[0])
    families = {
        row.step: {
            "ms": round(row.ms, 3),
            "decodes": round(row.decodes, 2),
            "alone_ms": round(row.alone_ms, 3),
        }
        for row in steps.itertuples()
        if row.set
    }
    found = {"image": image, "decode_ms": round(decode, 3), "families": families}
    part = target.with_suffix(".part")
    part.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    os.replace(part, target)
