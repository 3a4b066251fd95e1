"""Time all that `extract.table` does to an image: by step, by set, by number of workers."""

from __future__ import annotations

import cProfile
import gc
import json
import os
import pstats
import shutil
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from cells import Cell
from numba.core.dispatcher import Dispatcher
from timing import summary, time_in_turns, without_collection

from hemafeat import extract, images, segment
from hemafeat.extract._family import SETS, Family, choose, column_facts
from hemafeat.extract._measure import image_quality, measure_window

COSTS = Path(extract.__file__).with_name("_costs.json")


def time_steps(cells: list[Cell], rounds: int) -> pd.DataFrame:
    """Return the median of each step in turn, and of each family alone.

    In turn, what families share counts for the first that computes it, and the families of all sets
    follow each other as in the table. Alone, all that a family needs counts for it.
    """
    families = choose("all")
    contours = segment.segmenter("contours")
    seconds: dict[str, list[float]] = defaultdict(list)

    def time_step(step: str, work):
        start = time.perf_counter()
        result = work()
        seconds[step].append(time.perf_counter() - start)
        return result

    def one_image(cell: Cell) -> None:
        time_step("cv2.imdecode", lambda: cv2.imdecode(cell.data, cv2.IMREAD_COLOR))
        image = time_step("images.read", lambda: images.read(cell.path))
        masks = time_step("segment.contours", lambda: contours(image))
        window = time_step("window", lambda: extract.Prepared(image, masks).window(masks, cell.row))
        time_step("quality record", lambda: image_quality(*window, masks.n_cells))
        for name, function in families.items():
            time_step(name, lambda n=name, f=function: measure_values(window, {n: f}))
        white = window[0].white()
        for name, function in families.items():
            fresh = extract.Prepared(image, masks, white).window(masks, cell.row)
            time_step(
                f"{name} alone", lambda n=name, f=function, w=fresh: measure_values(w, {n: f})
            )

    one_image(cells[0])
    seconds.clear()
    with without_collection():
        for _ in range(rounds):
            for cell in cells:
                one_image(cell)
    decode = float(np.median(seconds["cv2.imdecode"]))
    steps = [step for step in seconds if not step.endswith(" alone")]
    rows = []
    for step in steps:
        ms = 1e3 * np.array(seconds[step])
        row: dict[str, Any] = {"step": step, "columns": "", "set": ""}
        if step in families:
            row["columns"] = len(column_facts(step, families[step]))
            row["set"] = next(name for name in SETS if step in choose(name))
            row["alone_ms"] = 1e3 * float(np.median(seconds[f"{step} alone"]))
        row["ms"], (row["q1"], row["q3"]) = float(np.median(ms)), np.percentile(ms, [25, 75])
        row["decodes"] = row["ms"] / (1e3 * decode)
        rows.append(row)
    order = ["step", "set", "columns", "ms", "q1", "q3", "decodes", "alone_ms"]
    return pd.DataFrame(rows)[order]


def time_sets(cells: list[Cell], rounds: int) -> pd.DataFrame:
    """Time reading, segmenting and measuring an image by set of families, against decoding it."""
    names = [name for name in SETS if choose(name)]
    visits: list[dict] = []
    for cell in cells:
        calls: dict = {"decode": lambda c=cell: cv2.imdecode(c.data, cv2.IMREAD_COLOR)}
        for name in names:
            chosen = choose(name)
            calls[name] = lambda c=cell, w=chosen: measure_image(c, w)
        visits.append(calls)
    times = time_in_turns(visits, rounds, float("inf"))
    return pd.DataFrame(
        {
            "families": name,
            "columns": len(extract.columns(name)) if name in names else 0,
            **summary(times[name], times["decode"]),
        }
        for name in ["decode", *names]
    )


def measure_image(cell: Cell, families: dict[str, Family]) -> np.ndarray:
    """Read, segment and measure an image."""
    image = images.read(cell.path)
    masks = segment.segmenter("contours")(image)
    window = extract.Prepared(image, masks).window(masks, cell.row)
    image_quality(*window, masks.n_cells)
    return measure_values(window, families)


def measure_values(
    window: tuple[extract.Prepared, segment.Masks], families: dict[str, Family]
) -> np.ndarray:
    """Return the values; raise the error of a family, which would otherwise seem fast."""
    values, failures = measure_window(*window, families)
    for error in failures.values():
        raise error
    return values


def time_workers(
    cells: list[Cell], folder: Path, n_images: int, families: str, jobs: int
) -> pd.DataFrame:
    """Time the whole table of copies of the images, by threads and by processes, in turns."""
    folder.mkdir()
    copies = [folder / f"{k:05d}{cells[k % len(cells)].path.suffix}" for k in range(n_images)]
    for k, copy in enumerate(copies):
        shutil.copyfile(cells[k % len(cells)].path, copy)
    few = copies[: min(2 * jobs, max(1, n_images // 2))]
    settings = ((1, False), (jobs, False), (jobs, True))
    seconds: dict[tuple[int, bool, int], list[tuple[float, float]]] = defaultdict(list)
    options: dict[str, Any] = {"cells": "central", "families": families, "progress": False}
    for _ in range(3):
        for n, processes in settings:
            for paths in (few, copies):
                start, busy = time.perf_counter(), processor_seconds()
                extract.table(paths, n_jobs=n, processes=processes, **options)
                taken = time.perf_counter() - start, processor_seconds() - busy
                seconds[n, processes, len(paths)].append(taken)
    rows = []
    for n, processes in settings:
        # What a few images take is the start.
        start, busy = min(seconds[n, processes, len(few)])
        all_s, all_busy = min(seconds[n, processes, len(copies)])
        rows.append(
            {
                "workers": f"{n} {'processes' if processes else 'threads' if n > 1 else 'thread'}",
                "images": len(copies),
                "start_s": start,
                "ms_an_image": 1e3 * (all_s - start) / (len(copies) - len(few)),
                "processor_ms": 1e3 * (all_busy - busy) / (len(copies) - len(few)),
            }
        )
    table = pd.DataFrame(rows)
    table["x_one_thread"] = table["ms_an_image"].iloc[0] / table["ms_an_image"]
    # Images from which the start is made up for by the time of each image.
    gain = table["ms_an_image"].iloc[1] - table["ms_an_image"]
    lost = 1e3 * (table["start_s"] - table["start_s"].iloc[1])
    table["pays_from_images"] = (lost / gain).where((gain > 0) & (lost > 0))
    return table


def processor_seconds() -> float:
    """Return the processor time of this process and of those it has waited for."""
    return sum(os.times()[:4])


def time_interpreter(cells: list[Cell], rounds: int, families: str) -> pd.DataFrame:
    """Return the processor time of an image that the interpreter needs, which threads share.

    Kernels and functions of OpenCV run without the lock of the interpreter. What an image takes
    beyond them is Python and NumPy: the part in which one thread has to wait for another.
    """
    chosen = choose(families)
    dispatchers = [one for one in gc.get_objects() if isinstance(one, Dispatcher)]
    kernels = {
        (code.co_filename, code.co_firstlineno, code.co_name)
        for code in (one.py_func.__code__ for one in dispatchers)
    }
    rows = []
    for cell in cells:
        whole, free = [], []
        for _ in range(rounds):
            start = time.thread_time()
            measure_image(cell, chosen)
            whole.append(time.thread_time() - start)
            profile = cProfile.Profile(time.thread_time)
            profile.runcall(measure_image, cell, chosen)
            entries = pstats.Stats(profile).stats.items()  # type: ignore[attr-defined]
            free.append(
                sum(
                    own
                    for (file, line, name), (_, _, own, _, _) in entries
                    if (file, line, name) in kernels
                    or (file == "~" and hasattr(cv2, name.strip("<>")))
                )
            )
        rows.append((min(whole), min(free)))
    whole_ms, free_ms = 1e3 * np.median(rows, axis=0)
    shared = whole_ms - free_ms
    return pd.DataFrame(
        {
            "families": [families],
            "processor_ms": [whole_ms],
            "kernels_and_opencv_ms": [free_ms],
            "interpreter_ms": [shared],
            "interpreter_share": [shared / whole_ms],
        }
    )


def write_costs(steps: pd.DataFrame, image: str, target: Path = COSTS) -> None:
    """Write the costs that `extract.families()` shows."""
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
    costs = {"image": image, "decode_ms": round(decode, 3), "families": families}
    part = target.with_suffix(".part")
    part.write_text(json.dumps(costs, indent=1) + "\n", encoding="utf-8")
    os.replace(part, target)
