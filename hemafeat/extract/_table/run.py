"""The images of a run, cut into parts, and the rows that the cells of a part become."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from hemafeat import datasets
from hemafeat.extract._columns import Families, family_units
from hemafeat.extract._family import FamilyError, chosen
from hemafeat.extract._measure import scales
from hemafeat.extract._table.image import Error, Outcome, Work, image_name
from hemafeat.images import normaliser
from hemafeat.segment import mask_source, segmenter as find_segmenter

Cells = Literal["auto", "all", "central"]

Normaliser = Callable[[np.ndarray], np.ndarray]
"""``image -> image``, both (H, W, 3) uint8 RGB."""

IDENTITY = ["image", "cell", "label", "label_raw", "patient", "group", "split", "dataset"]


@dataclass(frozen=True)
class Part:
    """Images that follow each other in the list, and what is known of each.

    Attributes
    ----------
    number : int
        Which part of the list, from 0 on.
    start : int
        Place of its first image in the list.
    listed : DataFrame
        Its rows of the image table.
    central : (n,) ndarray of bool
        Of which images only the cell at the centre is kept.
    masks : list, optional
        A mask for each, where masks are given.
    scale : (n,) ndarray of float64, optional
        um per pixel as measured, where it is known.
    zoom : (n,) ndarray of float64, optional
        Pixels measured per pixel of the image, where images are resampled.
    """

    number: int
    start: int
    listed: pd.DataFrame
    central: np.ndarray
    masks: list[Any] | None
    scale: np.ndarray | None
    zoom: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.listed)

    @cached_property
    def images(self) -> list[Any]:
        """Path or array of each."""
        return list(self.listed["image"])

    @cached_property
    def names(self) -> list[str]:
        """What each is called in the tables."""
        return [image_name(image, self.start + n) for n, image in enumerate(self.images)]

    def measure(self, work: Work, first: int, stop: int) -> list[Outcome]:
        """Measure the images from `first` to `stop`, one after the other."""
        masks = self.masks or [None] * len(self)
        zoom = np.ones(len(self)) if self.zoom is None else self.zoom
        return [
            work.measure(
                self.images[n], self.start + n, masks[n], bool(self.central[n]), float(zoom[n])
            )
            for n in range(first, stop)
        ]


class Run:
    """What is measured and how: the images of a run, and the work done to each.

    The parameters are those of `table`.
    """

    def __init__(
        self,
        images: Any,
        segmenter: str | Callable[[np.ndarray], Any] = "contours",
        masks: Any = None,
        families: Families = "default",
        cells: Cells = "auto",
        um_per_px: float | None = None,
        normalise: str | Normaliser | None = None,
        resample: float | None = None,
    ) -> None:
        which = chosen(families)
        if not which:
            raise FamilyError("no family was chosen")
        if cells not in ("auto", "all", "central"):
            raise ValueError(f"cells is 'auto', 'all' or 'central', not {cells!r}")
        self.listed = datasets.as_table(images)
        self.scale = _scale(self.listed, um_per_px)
        self.zoom = None
        if resample is not None:
            self.scale, self.zoom = _resampled(self.scale, resample)
        self.masks = mask_source(masks, self.listed)
        self.work = Work(
            which,
            find_segmenter(segmenter) if self.masks is None else None,
            normaliser(normalise) if isinstance(normalise, str) else normalise,
        )
        self.central = (
            self.listed["label"].notna().to_numpy(bool)
            if cells == "auto"
            else np.full(len(self), cells == "central")
        )
        self.settings = {
            "segmenter": segmenter,
            "masks": masks,
            "cells": cells,
            "um": um_per_px,
            "resample": resample,
        }

    def __len__(self) -> int:
        return len(self.listed)

    @property
    def units(self) -> dict[str, str]:
        """Unit of each feature column, in the order of the table."""
        return family_units(self.work.families, self.scale is not None)

    @property
    def attributes(self) -> list[str]:
        """Columns of the image table that are passed on as they are."""
        return [c for c in self.listed.columns if c not in {*IDENTITY, "um_per_px", "mask"}]

    def part(self, number: int, size: int) -> Part:
        """Part `number` of the parts of `size` images."""
        start = number * size
        stop = min(start + size, len(self))
        rows = self.listed.iloc[np.arange(start, stop)].reset_index(drop=True)
        return Part(
            number,
            start,
            rows,
            self.central[start:stop],
            None if self.masks is None else self.masks(rows, start),
            None if self.scale is None else self.scale[start:stop],
            None if self.zoom is None else self.zoom[start:stop],
        )

    def parts(self, size: int) -> Iterator[Part]:
        """All parts of `size` images, each made when it is asked for."""
        return (self.part(number, size) for number in range(-(-len(self) // size)))


def _scale(listed: pd.DataFrame, um_per_px: float | None) -> np.ndarray | None:
    """(n_images,) um per pixel, or None where the scale is unknown."""
    if um_per_px is not None:
        if not (np.isfinite(um_per_px) and um_per_px > 0):
            raise ValueError(f"um_per_px must be positive, not {um_per_px}")
        return np.full(len(listed), float(um_per_px))
    known = pd.to_numeric(listed["um_per_px"], errors="coerce").to_numpy(
        np.float64, na_value=np.nan
    )
    if np.isnan(known).all():
        return None
    if np.isnan(known).any():
        raise ValueError(
            f"um_per_px is known for {int((~np.isnan(known)).sum())} of {len(listed)} images: "
            "one column cannot hold both px and um. Give um_per_px for all, or for none"
        )
    if not (known > 0).all():
        raise ValueError("um_per_px must be positive in every row of the image table")
    return known


def _resampled(scale: np.ndarray | None, resample: float) -> tuple[np.ndarray, np.ndarray]:
    """The one scale that all images are brought to, and how many pixels become of one of each."""
    if not (np.isfinite(resample) and resample > 0):
        raise ValueError(f"resample must be positive, in um per pixel, not {resample}")
    if scale is None:
        raise ValueError("resample needs the scale of every image (um_per_px); it is not known")
    return np.full(len(scale), float(resample)), scale / resample


@dataclass
class Rows:
    """The rows of the table that a part became.

    Attributes
    ----------
    head : DataFrame
        Everything before the features, one row per cell.
    names : list of str
        Names of the features.
    features : (n_cells, n_features) ndarray of float64
        The features, in um where the scale is known.
    errors : list of dict
        Rows of the table of errors.
    """

    head: pd.DataFrame
    names: list[str]
    features: np.ndarray
    errors: list[Error]

    def frame(self, units: dict[str, str]) -> pd.DataFrame:
        """The rows as one table, with its units and errors."""
        features = pd.DataFrame(self.features, columns=self.names, index=self.head.index)
        table = pd.concat([self.head, features], axis=1)
        table.attrs["units"] = units
        table.attrs["errors"] = self.errors
        return table


def assemble(work: Work, part: Part, outcomes: list[Outcome]) -> Rows:
    """The rows of a part, in the order of its images."""
    measured = [(n, outcome) for n, outcome in enumerate(outcomes) if outcome.cell.size]
    counts = [len(outcome.cell) for _, outcome in measured]
    place = np.repeat([n for n, _ in measured], counts).astype(np.intp)
    names = list(family_units(work.families, part.scale is not None))
    values = np.empty((0, len(names)))
    number = np.empty(0, np.int64)
    if measured:
        values = np.concatenate([outcome.features for _, outcome in measured])
        number = np.concatenate([outcome.cell for _, outcome in measured])
    if part.scale is not None:
        # One factor per distinct scale: data sets mix at most a few.
        for um in np.unique(part.scale[place]):
            rows = part.scale[place] == um
            values[rows] *= scales(work.families, float(um))
    listed = part.listed.iloc[place].reset_index(drop=True)
    head = listed.drop(columns=["um_per_px", "mask"])
    head["image"] = [part.names[n] for n in place]
    head["cell"] = number
    attributes = [name for name in head.columns if name not in IDENTITY]
    head["um_per_px"] = np.nan if part.scale is None else part.scale[place]
    head = head[[*IDENTITY, "um_per_px", *attributes]]
    keys = dict.fromkeys(key for _, outcome in measured for key in outcome.quality)
    quality = pd.DataFrame(
        {
            f"quality__{key}": _joined(
                [outcome.quality.get(key) for _, outcome in measured], counts
            )
            for key in keys
        },
        index=head.index,
    )
    errors = [error for outcome in outcomes for error in outcome.errors]
    return Rows(pd.concat([head, quality], axis=1), names, values, errors)


def _joined(blocks: list[np.ndarray | None], counts: list[int]) -> np.ndarray:
    """One column of blocks; what some segmentations say nothing of is missing, not false or 0."""
    known = np.result_type(*[block.dtype for block in blocks if block is not None])
    missing: Any = np.nan if known.kind == "f" else None
    return np.concatenate(
        [
            np.full(n, missing, known if known.kind == "f" else object) if block is None else block
            for block, n in zip(blocks, counts, strict=True)
        ]
    )
