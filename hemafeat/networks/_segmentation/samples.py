"""Training samples for segmentation networks, from drawn images and from tables with masks."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pandas as pd
from scipy import ndimage

from hemafeat import datasets, images
from hemafeat._public import public
from hemafeat.networks._segmentation.augment import Scene, augment as augment_scene
from hemafeat.networks._segmentation.loss import (
    BACKGROUND,
    CYTOPLASM,
    NO_WHITE_CELL,
    NUCLEUS,
    PLATELET,
    RED_CELL,
    UNKNOWN,
)
from hemafeat.segment import MASK_KINDS, UNET_SIDE, MaskError, read_masks, unet_input

MARGIN = 1.25
"""Size of scenes relative to that of the network, because augmentation may enlarge them."""

WHITE_CELLS = tuple(kind for kind in datasets.KINDS if kind != "platelet")

SCALES = (0.11, 0.7)
"""Smallest and largest scale of drawn fields, in um per pixel."""

FINE = 0.2
"""Largest scale at which masks are drawn; a coarser image is enlarged to it, as for the network."""

OUTSIDE = {BACKGROUND, RED_CELL, PLATELET, NO_WHITE_CELL, UNKNOWN}
"""Classes of pixels outside the white cells."""

OUTLINED = (
    (RED_CELL, RED_CELL, (230, 60, 60)),
    (PLATELET, PLATELET, (0, 200, 255)),
    (UNKNOWN, UNKNOWN, (120, 120, 120)),
    (CYTOPLASM, NUCLEUS, (0, 200, 0)),
    (NUCLEUS, NUCLEUS, (255, 230, 0)),
)
"""First and last class of each outline on a sheet, and its colour."""

N_DRAWN = 2000
"""Number of different drawn fields; every sample of one is changed in another way."""


@public
@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Input and target of a segmentation network.

    Attributes
    ----------
    density : (side, side, 3) ndarray of float32
        Optical density relative to the white of the image.
    classes : (side, side) ndarray of uint8
        0 background, 1 red cell, 2 platelet, 3 cytoplasm, 4 nucleus; 5 any of the first three,
        where it is only known that there is no white cell; 6 unknown.
    depth : (side, side) ndarray of float32
        Distance to the outside of the cell over the largest one in it; 0 outside.
    """

    density: np.ndarray
    classes: np.ndarray
    depth: np.ndarray


@public
class SegmentationSamples:
    """An endless sequence of samples, in which sample ``i`` depends on the seed and on ``i`` only.

    Parameters
    ----------
    images : DataFrame, optional
        Image table; rows without a mask are ignored. A mask without any cell says that there is no
        white cell. The optional column ``other`` names images of one channel that tell more about
        the pixels outside the cells: see `Sample.classes`. By default all samples are drawn fields.
    drawn : float, optional
        Share of samples that are drawn, 0 to 1. By default 0.5 with a table and 1 without.
    augment : bool
        Change orientation, size, stain and light of each sample at random (default). Otherwise
        sample ``i`` is the centre of an image, or of one of its cells, at the size that the network
        expects.
    side : int
        Height and width of samples, in px.
    random_state : int
        Seed of the samples.
    mask_kind : {"auto", "trimap", "labels", "cells", "nuclei"}
        Meaning of the values of the masks, see `hemafeat.segment.read_masks`. By default it is
        inferred.

    Raises
    ------
    ValueError
        `drawn` is not between 0 and 1, `mask_kind` is unknown, or the table has no masks.

    Examples
    --------
    >>> from hemafeat import networks
    >>> sample = networks.SegmentationSamples(side=96)[0]
    >>> sample.density.shape, int(sample.classes.max())
    ((96, 96, 3), 4)
    """

    def __init__(
        self,
        images: pd.DataFrame | None = None,
        *,
        drawn: float | None = None,
        augment: bool = True,
        side: int = UNET_SIDE,
        random_state: int = 0,
        mask_kind: str = "auto",
    ) -> None:
        if mask_kind not in MASK_KINDS:
            raise ValueError(f"mask_kind is {mask_kind!r}, not one of {', '.join(MASK_KINDS)}")
        rows = None if images is None else images[images["mask"].notna()]
        if rows is not None and not len(rows):
            raise ValueError("the table of images has no masks")
        self.drawn = (1.0 if rows is None else 0.5) if drawn is None else float(drawn)
        if not 0.0 <= self.drawn <= 1.0:
            raise ValueError(f"drawn must be a share between 0 and 1, got {drawn}")
        if rows is None and self.drawn < 1.0:
            raise ValueError("without a table of images all samples are drawn: drawn must be 1")
        self.augment, self.side, self.random_state = augment, side, random_state
        self.mask_kind = mask_kind
        self._rows: list[tuple[Any, ...]] = []
        if rows is not None:
            rows = rows.reindex(columns=["image", "mask", "nucleus_mask", "other", "um_per_px"])
            for row in rows.itertuples(index=False, name=None):
                image, mask, nuclei, *further = (None if pd.isna(one) else one for one in row)
                self._rows.append((image, mask if nuclei is None else (mask, nuclei), *further))
        self._scenes: dict[tuple[Any, ...], Scene] = {}
        self._drawn: dict[int, Scene] = {}

    def __getitem__(self, i: int) -> Sample:
        rng = np.random.default_rng([self.random_state, i])
        if rng.random() < self.drawn:
            scene, other = self._drawn_scene(int(rng.integers(N_DRAWN))), None
        elif self.augment:
            scene, other = (self._scene(int(rng.integers(len(self._rows)))) for _ in range(2))
        else:
            # Samples without augmentation are for scores, so each image is used in turn.
            scene, other = self._scene(i % len(self._rows)), None
        density, cell, classes = augment_scene(scene, other, self.side, rng, plain=not self.augment)
        return Sample(density, classes, depth_of(cell))

    def batch(
        self, numbers: Sequence[int], pool: ThreadPoolExecutor | None = None
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return several samples as arrays: densities, and a dict of ``classes`` and ``depth``."""
        samples = list((pool.map if pool else map)(self.__getitem__, numbers))
        return np.stack([sample.density for sample in samples]), {
            "classes": np.stack([sample.classes for sample in samples]),
            "depth": np.stack([sample.depth for sample in samples]),
        }

    def _scene(self, row: int) -> Scene:
        key = self._rows[row]
        if key not in self._scenes:
            self._scenes[key] = read_scene(*key, mask_kind=self.mask_kind)
        return self._scenes[key]

    def _drawn_scene(self, number: int) -> Scene:
        if number not in self._drawn:
            self._drawn[number] = drawn_scene(np.random.default_rng([self.random_state, 1, number]))
        return self._drawn[number]


def drawn_scene(rng: np.random.Generator) -> Scene:
    """Draw a field with no white cell, with some of which many touch, or with a clump of them."""
    kind = str(rng.choice(["none", "few", "clump"], p=[0.25, 0.45, 0.3]))
    n = {"none": 0, "few": int(rng.integers(1, 5)), "clump": int(rng.integers(4, 26))}[kind]
    kinds = [str(kind) for kind in rng.choice(WHITE_CELLS, size=n)]
    if kind == "clump":
        kinds = [str(rng.choice(["lymphoblast", "lymphoblast", kinds[0]]))] * n
    scale = float(np.exp(rng.uniform(*np.log(SCALES))))
    um_per_px = min(scale, FINE)
    view = 60.0 if n < 3 else 45.0 + 10.0 * np.sqrt(n)
    seed = int(rng.integers(2**31))
    usual = rng.random() < 0.25 and kind == "few"
    while True:
        side = max(48, round(view / um_per_px))
        try:
            if usual:
                field = datasets.draw_field(
                    kinds,
                    shape=(side, side),
                    um_per_px=um_per_px,
                    neighbours=float(rng.uniform(0.1, 0.8)),
                    touching=0.5,
                    random_state=seed,
                )
            else:
                field = datasets.draw_any_field(
                    kinds,
                    shape=(side, side),
                    um_per_px=um_per_px,
                    clump=kind == "clump",
                    random_state=seed,
                )
            break
        except ValueError:
            # There was no space for all cells.
            kinds, view = kinds[:-1] or kinds, view + 10.0
    image = field.image
    if scale > FINE:
        coarse = (max(8, round(side * FINE / scale)),) * 2
        image = cv2.resize(image, coarse, interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
    other = np.full(field.cell.shape, BACKGROUND, np.uint8)
    other[field.red > 0] = RED_CELL
    other[field.platelet > 0] = PLATELET
    other[field.smudge] = UNKNOWN
    return make_scene(image, field.cell, field.nucleus, other, um_per_px)


def read_scene(
    image: Any,
    mask: Any,
    other: Any = None,
    um_per_px: float | None = None,
    *,
    mask_kind: str = "auto",
) -> Scene:
    """Read an image, its masks and what is known of its other pixels as a scene."""
    rgb = images.read(image)
    masks = read_masks(mask, kind=mask_kind, shape=rgb.shape[:2])
    try:
        masks.check_fit(rgb.shape)
    except MaskError as error:
        raise MaskError(f"{images.name_of(mask)}: {error}") from None
    if other is None:
        classes = np.full(masks.shape, NO_WHITE_CELL, np.uint8)
    else:
        classes = images.read(other)[:, :, 0]
        if classes.shape != masks.shape or not set(np.unique(classes)) <= OUTSIDE:
            raise ValueError(
                f"{images.name_of(other)}: expected {masks.shape} classes, each of "
                f"{sorted(OUTSIDE)}, for the pixels outside the cells"
            )
    return make_scene(rgb, masks.cell, masks.nucleus, classes, um_per_px)


def make_scene(
    rgb: np.ndarray,
    cell: np.ndarray,
    nucleus: np.ndarray,
    other: np.ndarray,
    um_per_px: float | None = None,
) -> Scene:
    """Convert an image with label images to a scene, near the size that the network expects."""
    # Images are not enlarged here: augmentation resizes anyway.
    density, cell, nucleus, zoom = unet_input(
        rgb, cell, nucleus, um_per_px=um_per_px, oversampling=MARGIN
    )
    other = cv2.resize(other, density.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return Scene(density, cell, nucleus, other, zoom)


def depth_of(cell: np.ndarray) -> np.ndarray:
    """Compute the depth inside cells, (H, W) float32.

    It is the distance of a pixel to the outside of its cell over the largest such distance. The
    border of the image counts as outside.
    """
    depth = np.zeros(cell.shape, np.float32)
    for number in range(1, int(cell.max()) + 1):
        left, top, width, height = cv2.boundingRect((cell == number).astype(np.uint8))
        if width == 0:
            continue
        box = np.s_[top : top + height, left : left + width]
        # OpenCV's exact transform is not the same to the last bit in every process.
        distance = ndimage.distance_transform_edt(np.pad(cell[box] == number, 1))[1:-1, 1:-1]
        depth[box] += (distance / distance.max()).astype(np.float32)
    return depth


def sample_sheet(
    samples: SegmentationSamples, n: int = 32, *, across: int = 8, start: int = 0
) -> np.ndarray:
    """Draw samples as one image, each with the outlines of its classes above its depth.

    Parameters
    ----------
    samples : SegmentationSamples
        Samples to draw.
    n : int
        Number of samples.
    across : int
        Number of samples in a row.
    start : int
        Index of the first sample.

    Returns
    -------
    (H, W, 3) ndarray of uint8
        RGB image.

    Examples
    --------
    >>> from hemafeat import networks
    >>> samples = networks.SegmentationSamples(side=64)
    >>> networks.sample_sheet(samples, 2, across=2).shape
    (128, 128, 3)
    """
    tiles = []
    for i in range(start, start + n):
        sample = samples[i]
        light = np.clip(245.0 * 10.0**-sample.density, 0, 255).astype(np.uint8)
        for first, last, colour in OUTLINED:
            part = ((sample.classes >= first) & (sample.classes <= last)).astype(np.uint8)
            lines, _ = cv2.findContours(part, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(light, lines, -1, colour, 1)
        depth = cv2.cvtColor((255 * sample.depth).astype(np.uint8), cv2.COLOR_GRAY2RGB)
        tiles.append(np.vstack([light, depth]))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % across)
    return np.vstack([np.hstack(tiles[i : i + across]) for i in range(0, len(tiles), across)])
