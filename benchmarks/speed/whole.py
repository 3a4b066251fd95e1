"""Time all that `extract.table` does to an image: by step, by set, by number of threads."""

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


def time_threads(
    cells: list[Cell], folder: Path, n_images: int, families: str, jobs: int
) -> pd.DataFrame:
    """Time the whole table of copies of the images, with one thread and with several, in turns."""
    folder.mkdir()
    copies = [folder / f"{k:05d}{cells[k % len(cells)].path.suffix}" for k in range(n_images)]
    for k, copy in enumerate(copies):
        shutil.copyfile(cells[k % len(cells)].path, copy)
    seconds: dict[int, list[float]] = {1: [], jobs: []}
    for _ in range(3):
        for n in seconds:
            start = time.perf_counter()
            extract.table(copies, cells="central", n_jobs=n, families=families, progress=False)
            seconds[n].append(time.perf_counter() - start)
    return pd.DataFrame(
        {
            "threads": n,
            "images": len(copies),
            "best_s": min(times),
            "ms_an_image": 1e3 * min(times) / len(copies),
            "images_per_s": len(copies) / min(times),
            "x_one_thread": min(seconds[1]) / min(times),
        }
        for n, times in seconds.items()
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
