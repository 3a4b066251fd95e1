"""The scores of segmenters: a summary with intervals, tables, and files."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from hemafeat._files import write_table, write_whole
from hemafeat._public import public
from hemafeat._resample import draw, interval
from hemafeat.segment._scores import failure_detection
from hemafeat.segment._scoring.worst import Worst

PARTS = ("nucleus", "cell")

SET = "images"
"""Name of the set of images of which the table names no data set."""


@public
@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of segmenters, as `score_images` returns them.

    Attributes
    ----------
    summary : DataFrame
        One row per set (column ``dataset`` of the images) and segmenter:

        ``images``, ``cells``
            Number of images scored, and of true cells in them.
        ``found``, ``missed``, ``spurious``
            Number of true cells with and without an outline of Dice 0.5 or more (of boxes, the Dice
            of the boxes; of points, an outline around them), and of outlines that are no cell
            found. ``found_share`` and ``spurious_per_image`` have intervals.
        ``nucleus_mean``, ``nucleus_p5``, ``cell_mean``, ``cell_p5``
            Mean and 5th percentile of the Dice over the cells found. Means have intervals.
        ``nucleus_boundary``, ``nucleus_hausdorff95``, ``cell_boundary``, ``cell_hausdorff95``
            Means of the distances of the borders, and of their 95th percentiles (px), over the
            cells found.
        ``failures``, ``flagged``, ``precision``, ``recall``, ``recall_outlined``
            Number of failures and of suspected ones, and how well these agree; see
            `failure_detection`.
        ``ms``, ``ms_median``, ``ms_ratio``, ``cpu_ms``
            Milliseconds per image, mean and median; the mean over that of the first segmenter; and
            the mean of the time that the calling thread had a processor, which hardly depends on
            what else the machine does, but leaves out other threads, processes and accelerators.

        ``_low`` and ``_high`` are the ends of 95 % intervals, of a bootstrap of whole groups: of
        patients, where the images name them, else of images.
    cells : DataFrame
        One row per set, segmenter and true cell, with the columns of `score`, followed by one for
        each spurious outline, whose ``cell`` is 0.
    images : DataFrame
        One row per image and segmenter: its numbers of cells, ``ms`` and ``cpu_ms``.
    errors : DataFrame
        What could not be read, scored or segmented: ``image, stage, error, message``. A segmenter
        that fails on an image has missed the cells there.
    min_dice : float
        Dice below which an outline has failed.
    """

    summary: pd.DataFrame
    cells: pd.DataFrame
    images: pd.DataFrame
    errors: pd.DataFrame
    min_dice: float
    _worst: dict[str, Worst] = field(repr=False)

    @property
    def segmenters(self) -> list[str]:
        """Names of the segmenters, in the order in which they were given."""
        return list(self._worst)

    def sheet(self, segmenter: str) -> np.ndarray:
        """Draw the worst cells of a segmenter: missed, spurious, and of the lowest Dice.

        Parameters
        ----------
        segmenter : str
            Name of the segmenter.

        Returns
        -------
        (H, W, 3) ndarray of uint8
            RGB image. Cells found are green (red if a failure is suspected) and their nuclei
            yellow; true outlines are light blue and dashed.

        Raises
        ------
        KeyError
            The segmenter was not scored.
        """
        return self._worst[segmenter].sheet(f"the worst cells of {segmenter}")

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the tables and sheets into a folder.

        Parameters
        ----------
        folder : path
            Folder to write to; it is created if it does not exist. It receives ``scores.csv`` (the
            summary), ``cells.csv``, ``images.csv``, ``errors.csv`` and ``worst_SEGMENTER.png``.

        Returns
        -------
        Path
            The folder.
        """
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        for name, table in (("scores", self.summary), ("cells", self.cells)):
            write_table(table, path / f"{name}.csv")
        write_table(self.images.drop(columns="group"), path / "images.csv")
        write_table(self.errors, path / "errors.csv")
        for name, file in _file_names(self.segmenters).items():
            sheet = cv2.cvtColor(self.sheet(name), cv2.COLOR_RGB2BGR)
            data = cv2.imencode(".png", sheet)[1].tobytes()
            write_whole(path / f"worst_{file}.png", partial(Path.write_bytes, data=data))
        return path

    def __repr__(self) -> str:
        parts = []
        for name, rows in self.summary.groupby("set", sort=False):
            first = rows.iloc[0]
            counts = f"{first['images']} images, {first['cells']} cells"
            title = counts if name == SET else f"{name}: {counts}"
            short = _short(self.segmenters)
            table = pd.DataFrame(
                {short[row["segmenter"]]: _words(row) for _, row in rows.iterrows()}
            )
            table = table[~(table == "").all(axis=1)]
            with pd.option_context("display.width", None, "display.max_columns", None):
                parts.append(f"{title}\n{table.to_string(justify='right')}")
        parts.append(
            "Dice over the cells found (Dice 0.5 or more), intervals of 95 %; spurious: outlines "
            "that are no cell found;\nfailures: missed, spurious, or a Dice below "
            f"{self.min_dice:g}"
        )
        return "\n\n".join(parts)


def summarise(
    images: pd.DataFrame, cells: pd.DataFrame, n_boot: int, random_state: int
) -> pd.DataFrame:
    """Return one row per set and segmenter, see `Scores.summary`."""
    rows: list[dict[str, Any]] = []
    for (of_set, name), part in images.groupby(["set", "segmenter"], sort=False):
        mine = cells[(cells["set"] == of_set) & (cells["segmenter"] == name)]
        first = next((row for row in rows if row["set"] == of_set), None)
        row: dict[str, Any] = {"set": of_set, "segmenter": name}
        row |= _numbers(part, mine, n_boot, random_state)
        row["ms_ratio"] = row["ms"] / (row if first is None else first)["ms"]
        rows.append(row)
    return pd.DataFrame(rows)


def _numbers(
    images: pd.DataFrame, cells: pd.DataFrame, n_boot: int, random_state: int
) -> dict[str, Any]:
    counts, member = draw(images["group"].to_numpy(), n_boot, random_state)
    found = cells[cells["found"]]

    def with_interval(name: str, over: np.ndarray, under: np.ndarray) -> dict[str, float]:
        """Return a ratio of sums over images, and its interval over resampled groups."""
        sums = [np.bincount(member, part, counts.shape[1]) for part in (over, under)]
        with np.errstate(invalid="ignore", divide="ignore"):
            value = float(np.float64(sums[0].sum()) / sums[1].sum())
            values = (counts @ sums[0]) / (counts @ sums[1])
        # Of one group nothing can be said about others.
        low, high = interval(values, value) if counts.shape[1] > 1 else (np.nan, np.nan)
        return {name: value, f"{name}_low": low, f"{name}_high": high}

    names = ["cells", "found", "missed", "spurious"]
    numbers = images[names]
    row: dict[str, Any] = {"images": len(images)}
    row |= {name: int(numbers[name].sum()) for name in names}
    row |= with_interval("found_share", numbers["found"].to_numpy(), numbers["cells"].to_numpy())
    row |= with_interval("spurious_per_image", numbers["spurious"].to_numpy(), np.ones(len(images)))
    at = pd.Series(np.arange(len(images)), index=images["image"])
    for part in PARTS:
        dices = found[f"dice_{part}"].dropna()
        rows = at.reindex(found.loc[dices.index, "image"]).to_numpy(np.intp)
        sums = np.bincount(rows, dices, len(images)), np.bincount(rows, minlength=len(images))
        row |= with_interval(f"{part}_mean", *sums)
        row[f"{part}_p5"] = dices.quantile(0.05)
    for part in PARTS:
        for name in ("boundary", "hausdorff95"):
            row[f"{part}_{name}"] = found[f"{name}_{part}"].mean()
    detection = failure_detection(cells)
    row["failures"] = int(cells["failed"].sum())
    row["flagged"] = int(cells["suspected_failure"].sum())
    row |= {name: detection[name] for name in ("precision", "recall", "recall_outlined")}
    times = {name: images[name].mean() for name in ("ms", "cpu_ms")}
    return row | times | {"ms_median": images["ms"].median()}


# --- Words and files ------------------------------------------------------------------------------


def _words(row: pd.Series) -> dict[str, str]:
    """Return the numbers of a row of the summary as lines of a table."""

    def number(name: str, digits: int = 3) -> str:
        return "" if pd.isna(row[name]) else f"{row[name]:.{digits}f}"

    def ends(name: str, digits: int = 3) -> str:
        low, high = number(f"{name}_low", digits), number(f"{name}_high", digits)
        return f" [{low}, {high}]" if low else ""

    def share(name: str) -> str:
        return "" if pd.isna(row[name]) else f"{row[name]:.0%}"

    words = {
        "found": f"{row['found']}",
        "  share of the cells": number("found_share") + ends("found_share"),
        "missed": f"{row['missed']}",
        "spurious": f"{row['spurious']}",
        "  per image": number("spurious_per_image", 2) + ends("spurious_per_image", 2),
    }
    for part in PARTS:
        words |= {
            f"{part}: mean Dice": number(f"{part}_mean") + ends(f"{part}_mean"),
            f"  5th percentile, {part}": number(f"{part}_p5"),
            f"  border, {part}: mean distance, px": number(f"{part}_boundary", 2),
            f"  border, {part}: 95th percentile, px": number(f"{part}_hausdorff95", 2),
        }
    return words | {
        "failures": f"{row['failures']}",
        "suspected failures": f"{row['flagged']}",
        "  real ones among them (precision)": share("precision"),
        "  of all failures (recall)": share("recall"),
        "  of failures with an outline": share("recall_outlined"),
        "ms per image": number("ms", 1),
        "  relative to the first": number("ms_ratio", 2),
        "  on the processor": number("cpu_ms", 1),
    }


def _short(names: Sequence[str]) -> dict[str, str]:
    """Return names of segmenters without the folders of their weights, where these still differ."""
    short = [re.sub(r":.*[\\/]", ":", name) for name in names]
    return {
        name: brief if short.count(brief) == 1 else name
        for name, brief in zip(names, short, strict=True)
    }


def _file_names(names: Sequence[str]) -> dict[str, str]:
    """Return names of segmenters as parts of file names, which differ whatever their case."""
    files: dict[str, str] = {}
    for name, brief in _short(names).items():
        plain = re.sub(r"[^\w.-]+", "_", brief).strip("_.")[-80:] or "segmenter"
        number, file = 2, plain
        while file.casefold() in map(str.casefold, files.values()):
            file, number = f"{plain}_{number}", number + 1
        files[name] = file
    return files
