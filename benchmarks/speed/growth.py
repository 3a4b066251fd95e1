"""Time how the cost of an image grows with its size, and with the number of its cells."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import pandas as pd
from measure import DECODE
from peers import reason
from shape import PROPERTIES, nyxus_of
from timing import summary, time_in_turns

from hemafeat import datasets, extract, segment

SIDES = (128, 256, 512, 1024, 2048)
"""Sides of square images with one cell, in px. The cell covers the same share of each."""

CELLS = (1, 5, 20, 50, 100, 200)
"""Numbers of cells in images of the same size."""

SHAPE = (2048, 2048)
"""Height and width in px of the images with several cells."""

UM_PER_PX = 0.2
"""Scale of the images with several cells: 200 white cells fit, of about 65 px each."""

SETS = ("fast", "default", "all")


@dataclass(frozen=True, eq=False)
class Picture:
    """An image and its masks, of any number of cells."""

    rgb: np.ndarray
    masks: segment.Masks

    @cached_property
    def data(self) -> np.ndarray:
        """The image as JPEG."""
        bgr = cv2.cvtColor(self.rgb, cv2.COLOR_RGB2BGR)
        return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].ravel()

    @cached_property
    def grey(self) -> np.ndarray:
        """Grey levels: (H, W) uint8."""
        return cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY)

    @cached_property
    def labels(self) -> np.ndarray:
        """Numbers of the cells at the pixels of their nuclei: (H, W) int32."""
        return np.ascontiguousarray(self.masks.nucleus)


Prepare = Callable[[Picture], Callable[[], Any]]


def _hemafeat(families: str) -> Prepare:
    def prepare(picture: Picture) -> Callable[[], Any]:
        return lambda: extract.measure(picture.rgb, picture.masks, families=families)

    return prepare


def _contours(picture: Picture) -> Callable[[], Any]:
    return lambda: segment.contours(picture.rgb)


def _nyxus(picture: Picture) -> Callable[[], Any]:
    nyxus = nyxus_of("*ALL*")
    plane, labels = picture.grey.astype(np.uint32), picture.labels.astype(np.uint32)
    return lambda: nyxus.featurize(plane, labels, intensity_names=["i"], label_names=["l"])


def _cp_measure(picture: Picture) -> Callable[[], Any]:
    import cp_measure
    from cp_measure.bulk import get_core_measurements

    cp_measure.set_accelerator("numba")
    measures = get_core_measurements()
    plane = picture.grey / 255.0
    return lambda: [measure(picture.labels, plane) for measure in measures.values()]


def _scikit_image(picture: Picture) -> Callable[[], Any]:
    from skimage.measure import regionprops_table

    properties = (*PROPERTIES, "intensity_mean", "intensity_std")
    return lambda: regionprops_table(picture.labels, picture.grey, properties=properties)


def _radiomics(picture: Picture) -> Callable[[], Any]:
    import logging

    import SimpleITK as sitk
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    image = sitk.GetImageFromArray(picture.grey[None].astype(np.float64))
    labels = sitk.GetImageFromArray(picture.labels[None])
    numbers = [int(n) for n in np.unique(picture.labels) if n]
    extractor = RadiomicsFeatureExtractor(binCount=32, force2D=True)
    extractor.enableAllFeatures()
    extractor.enableFeatureClassByName("shape", False)
    extractor.enableFeatureClassByName("shape2D")
    return lambda: [extractor.execute(image, labels, label=n) for n in numbers]


TOOLS: dict[str, Prepare] = {
    "hemafeat contours": _contours,
    **{f"hemafeat {name}": _hemafeat(name) for name in SETS},
    "scikit-image regionprops": _scikit_image,
    "nyxus": _nyxus,
    "cp_measure numba": _cp_measure,
    "pyradiomics": _radiomics,
}
"""What is timed. All but hemafeat measure one mask (the nucleus) in one channel; of scikit-image
there are geometry, mean and deviation only. Masks are given to all but ``contours``."""


def report(rounds: int, budget: float) -> pd.DataFrame:
    """Print both tables, and return them as one."""
    sizes = {f"{side} px": _one_cell(side) for side in SIDES}
    numbers = {f"{n} cells": _several_cells(n) for n in CELLS}
    tables = []
    for title, pictures, growth in (
        ("One cell in an image of this side", sizes, np.square(np.array(SIDES, float))),
        (f"Cells in an image of {SHAPE[1]} x {SHAPE[0]} px", numbers, np.array(CELLS, float)),
    ):
        table = _time(pictures, rounds, budget)
        times = table.pivot_table(index="tool", columns="picture", values="ms")[list(pictures)]
        times = times.reindex([DECODE, *TOOLS]).dropna(how="all")
        times["growth"] = [_exponent(growth, row) for row in times.to_numpy()]
        print(f"\n{title}: median ms, and the growth\n")
        print(times.to_string(float_format="{:.2f}".format, na_rep="-"))
        failed = table[table["status"] != "measured"].drop_duplicates("tool")
        for row in failed.itertuples():
            print(f"{row.tool}: {row.status}")
        tables.append(table)
    print(
        "\ngrowth is the power of the number of pixels, or of cells, with which the time rises "
        "between the two largest: 1 means in proportion"
    )
    return pd.concat(tables, ignore_index=True)


def _one_cell(side: int) -> Picture:
    # The scale follows the size, so that the cell covers the same share of each image.
    cell = datasets.draw_cell("neutrophil", size=side, random_state=1)
    return Picture(cell.image, segment.Masks(cell.cell, cell.nucleus))


def _several_cells(n: int) -> Picture:
    kinds = ["neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil"]
    field = datasets.draw_field(
        [kinds[k % len(kinds)] for k in range(n)],
        shape=SHAPE,
        um_per_px=UM_PER_PX,
        neighbours=0.1,
        touching=0.0,
        random_state=1,
    )
    return Picture(field.image, segment.Masks(field.cell, field.nucleus))


def _time(pictures: dict[str, Picture], rounds: int, budget: float) -> pd.DataFrame:
    """Time all tools on all pictures in turns; one row for each pair."""
    status: dict[str, str] = {}
    visits: list[dict[Any, Callable[[], object]]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, picture in pictures.items():
            calls: dict[Any, Callable[[], object]] = {
                (DECODE, name): lambda p=picture: cv2.imdecode(p.data, cv2.IMREAD_COLOR)
            }
            for tool, prepare in TOOLS.items():
                if tool in status:
                    continue
                try:
                    call = prepare(picture)
                    call()
                except Exception as error:  # a tool that fails is a row of the table
                    status[tool] = reason(error)
                    continue
                calls[(tool, name)] = call
            visits.append(calls)
            if sys.stderr.isatty():
                sys.stderr.write(f"\r{name}".ljust(40) + "\r")
        times = time_in_turns(visits, rounds, budget)
    rows = []
    for name in pictures:
        decode = times[(DECODE, name)]
        for tool in (DECODE, *TOOLS):
            row = {"picture": name, "tool": tool, "status": status.get(tool, "measured")}
            if (tool, name) in times:
                row |= summary(times[(tool, name)], decode)
            rows.append(row)
    return pd.DataFrame(rows).drop_duplicates()


def _exponent(growth: np.ndarray, ms: np.ndarray) -> float:
    """Return the slope between the last two, both axes logarithmic."""
    if np.isnan(ms[-2:]).any():
        return float("nan")
    return float(np.diff(np.log(ms[-2:]))[0] / np.diff(np.log(growth[-2:]))[0])
