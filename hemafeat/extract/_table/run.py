"""Check the settings of a run once, and cut its images into parts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from hemafeat import datasets
from hemafeat._machine import n_workers
from hemafeat._scale import check_scale, doubt_scale
from hemafeat.extract._attributes import OWN, check_names
from hemafeat.extract._columns import FamilyChoice, family_units
from hemafeat.extract._family import FamilyError, choose
from hemafeat.extract._table.image import Normaliser
from hemafeat.extract._table.part import Part
from hemafeat.images import normaliser, tile_of
from hemafeat.segment import MASK_KINDS, mask_source, segmenter as find_segmenter

if TYPE_CHECKING:
    from distributed import Client

Cells = Literal["auto", "all", "central"]

_LOOKED_AT = {"max_images": 24, "enough": 36}
"""How many images and red cells of a data set are compared with the stated scale."""


class Run:
    """The images of a run, what is measured of them, and on what machine.

    `table` and `stream` build one and hand it on. The parameters are theirs.

    Attributes
    ----------
    image_table : DataFrame
        One row per image.
    families : dict of str to function
        Families to measure, in the order of the table.
    segment : callable or None
        ``image -> Masks``; None if masks are given.
    masks : callable or None
        Rows of the image table to their masks, if masks are given.
    mask_kind : str
        Meaning of the values of the masks.
    normalise : callable or None
        ``image -> image``.
    central : (n_images,) ndarray of bool
        Whether only the cell at the centre of an image is kept: the same for all images.
    rule : {"all", "central"}
        Which cells are kept, also where ``"auto"`` was given.
    scale : (n_images,) ndarray of float64 or None
        um per pixel of the images that are measured.
    stated : (n_images,) ndarray of float64 or None
        um per pixel of the images as they are read.
    zoom : (n_images,) ndarray of float64 or None
        Factor by which each image is resized before it is measured.
    settings : dict
        What the caller gave and the other attributes do not tell.
    n_jobs : int
        Threads or processes.
    shard_size : int or None
        Images in a shard.
    processes, scheduler, progress
        As given.
    """

    def __init__(
        self,
        images: Any,
        *,
        segmenter: str | Callable[[np.ndarray], Any] = "contours",
        masks: Any = None,
        mask_kind: str = "auto",
        families: FamilyChoice = "default",
        cells: Cells = "auto",
        um_per_px: float | Literal["auto"] | None = None,
        normalise: str | Normaliser | None = None,
        to_um_per_px: float | None = None,
        n_jobs: int | None = None,
        shard_size: int | None = None,
        processes: bool | None = None,
        scheduler: str | Client | None = None,
        progress: bool | None = None,
    ) -> None:
        if shard_size is not None and shard_size < 1:
            raise ValueError(f"shard_size is {shard_size}, expected at least 1")
        self.families = choose(families)
        if not self.families:
            raise FamilyError("no family was chosen")
        if cells not in ("auto", "all", "central"):
            raise ValueError(f"cells is 'auto', 'all' or 'central', not {cells!r}")
        self.image_table = check_names(datasets.as_table(images))
        if um_per_px == "auto":
            # From here on as if the table had stated it.
            self.image_table, um_per_px = datasets.with_scale(self.image_table), None
        self.scale = self.stated = _scale(self.image_table, um_per_px)
        self.zoom = None
        if to_um_per_px is not None:
            self.scale, self.zoom = _scale_and_zoom(self.scale, to_um_per_px)
        if mask_kind not in MASK_KINDS:
            raise ValueError(f"mask_kind is {mask_kind!r}, not one of {', '.join(MASK_KINDS)}")
        self.masks = mask_source(masks, self.image_table)
        self.mask_kind = mask_kind
        in_tiles = [tile_of(image) is not None for image in self.image_table["image"]]
        if self.masks is not None and any(in_tiles):
            raise ValueError("masks of large images are not read: give a segmenter")
        self.segment = find_segmenter(segmenter) if self.masks is None else None
        self.normalise = normaliser(normalise) if isinstance(normalise, str) else normalise
        self.rule: str = cells
        if cells == "auto":
            # One rule for all images: a cohort in which some patients have no label would
            # otherwise be measured in two ways.
            self.rule = "central" if self.image_table["label"].notna().any() else "all"
        if any(in_tiles):
            # A label may be that of a whole slide, and no cell is the one at its centre.
            if cells == "central" or (self.rule == "central" and not all(in_tiles)):
                raise ValueError(
                    "cells: large images are measured with all their cells, other images here with "
                    "the central one; pass cells='all', or measure them apart"
                    if cells == "auto"
                    else "cells='central': a large image has no central cell"
                )
            self.rule = "all"
        self.central = np.full(len(self), self.rule == "central")
        self.settings = {
            "segmenter": segmenter,
            "masks": masks,
            "mask_kind": mask_kind,
            "cells": cells,
            "um_per_px": um_per_px,
            "to_um_per_px": to_um_per_px,
        }
        self.n_jobs = n_workers(n_jobs)
        self.shard_size = shard_size
        self.processes = processes
        self.scheduler = scheduler
        self.progress = progress

    def __len__(self) -> int:
        return len(self.image_table)

    @property
    def units(self) -> dict[str, str]:
        """Unit of each feature column, in the order of the table."""
        return family_units(self.families, self.scale is not None)

    @property
    def attributes(self) -> list[str]:
        """Columns of the image table that are passed on as they are."""
        return [name for name in self.image_table.columns if name not in OWN]

    def part(self, number: int, size: int) -> Part:
        """Return part `number` of the parts of `size` images."""
        start = number * size
        stop = min(start + size, len(self))
        rows = self.image_table.iloc[np.arange(start, stop)].reset_index(drop=True)
        return Part(
            number,
            start,
            rows,
            self.central[start:stop],
            None if self.masks is None else self.masks(rows, start),
            None if self.scale is None else self.scale[start:stop],
            None if self.zoom is None else self.zoom[start:stop],
        )

    def n_parts(self, size: int) -> int:
        """Return the number of parts of `size` images; the last one may be shorter."""
        return -(-len(self) // size)

    def parts(self, size: int) -> Iterator[Part]:
        """Yield all parts of `size` images; each is made when it is needed."""
        return (self.part(number, size) for number in range(self.n_parts(size)))


def _scale(image_table: pd.DataFrame, um_per_px: float | None) -> np.ndarray | None:
    """Return the um per pixel of each image, or None if the scale is unknown."""
    if um_per_px is not None:
        scale = np.full(len(image_table), check_scale(um_per_px))
    else:
        scale = pd.to_numeric(image_table["um_per_px"], errors="coerce").to_numpy(
            np.float64, na_value=np.nan
        )
    if np.isnan(scale).all():
        return None
    if np.isnan(scale).any():
        raise ValueError(
            f"um_per_px is known for {int((~np.isnan(scale)).sum())} of {len(image_table)} images: "
            "one column cannot hold both px and um. Give um_per_px for all, or for none"
        )
    if not (scale > 0).all():
        raise ValueError("um_per_px must be positive in every row of the image table")
    _warn(next(filter(None, map(doubt_scale, np.unique(scale).tolist())), None))
    return scale


def warn_of_scale(run: Run, stacklevel: int) -> None:
    """Warn of each data set whose red cells contradict the stated scale; a few images are read."""
    if run.stated is None:
        return
    found = datasets.scales(run.image_table.assign(um_per_px=run.stated), **_LOOKED_AT)
    for problem in found.loc[found["um_per_px"].notna() & (found["problem"] != ""), "problem"]:
        warnings.warn(problem, datasets.DatasetWarning, stacklevel=stacklevel)


def _warn(doubt: str | None) -> None:
    if doubt is not None:
        warnings.warn(doubt, datasets.DatasetWarning, stacklevel=6)


def _scale_and_zoom(scale: np.ndarray | None, to_um_per_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the scale that all images are brought to, and the zoom factor of each."""
    to_um_per_px = check_scale(to_um_per_px, "to_um_per_px")
    _warn(doubt_scale(to_um_per_px, "to_um_per_px"))
    if scale is None:
        raise ValueError("to_um_per_px needs the scale of every image (um_per_px)")
    return np.full(len(scale), to_um_per_px), scale / to_um_per_px
