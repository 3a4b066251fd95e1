"""Training samples for segmentation networks, from drawn images and from tables with masks."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from scipy import ndimage

from hemafeat import datasets, images
from hemafeat._public import public
from hemafeat.networks._segmentation.augment import Scene, augment as augment_scene
from hemafeat.segment import UNET_SIDE, MaskError, read_masks, unet_input

if TYPE_CHECKING:
    import pandas as pd

MARGIN = 1.25
"""Size of scenes relative to that of the network, because augmentation may enlarge them."""

WHITE_CELLS = tuple(kind for kind in datasets.KINDS if kind != "platelet")

_UM_PER_PX = 0.15


@public
@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Input and target of a segmentation network.

    Attributes
    ----------
    density : (side, side, 3) ndarray of float32
        Optical density relative to the white of the image, scaled so that nuclei have a mean of 0.5
        in green light; augmentation changes that.
    classes : (side, side) ndarray of uint8
        0 background, 1 cytoplasm, 2 nucleus.
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
        Image table; rows without a mask are ignored. By default all samples are drawn fields.
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

    Raises
    ------
    ValueError
        `drawn` is not between 0 and 1, or the table has no masks.

    Examples
    --------
    >>> from hemafeat import networks
    >>> sample = networks.SegmentationSamples(side=96)[0]
    >>> sample.density.shape, int(sample.classes.max())
    ((96, 96, 3), 2)
    """

    def __init__(
        self,
        images: pd.DataFrame | None = None,
        *,
        drawn: float | None = None,
        augment: bool = True,
        side: int = UNET_SIDE,
        random_state: int = 0,
    ) -> None:
        rows = None if images is None else images[images["mask"].notna()]
        if rows is not None and not len(rows):
            raise ValueError("the table of images has no masks")
        self.drawn = (1.0 if rows is None else 0.5) if drawn is None else float(drawn)
        if not 0.0 <= self.drawn <= 1.0:
            raise ValueError(f"drawn must be a share between 0 and 1, got {drawn}")
        if rows is None and self.drawn < 1.0:
            raise ValueError("without a table of images all samples are drawn: drawn must be 1")
        self.augment, self.side, self.random_state = augment, side, random_state
        self._paths = [] if rows is None else list(zip(rows["image"], rows["mask"], strict=True))
        self._scenes: dict[tuple[Any, Any], Scene] = {}

    def __getitem__(self, i: int) -> Sample:
        rng = np.random.default_rng([self.random_state, i])
        if rng.random() < self.drawn:
            scene, other = drawn_scene(rng), None
        elif self.augment:
            scene, other = (self._scene(int(rng.integers(len(self._paths)))) for _ in range(2))
        else:
            # Samples without augmentation are for scores, so each image is used in turn.
            scene, other = self._scene(i % len(self._paths)), None
        density, cell, nucleus = augment_scene(scene, other, self.side, rng, plain=not self.augment)
        return _sample(density, cell, nucleus)

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
        pair = self._paths[row]
        if pair not in self._scenes:
            self._scenes[pair] = read_scene(*pair)
        return self._scenes[pair]


def drawn_scene(rng: np.random.Generator) -> Scene:
    """Draw a field with one to four white cells, many of which touch each other."""
    n = int(rng.choice([1, 2, 3, 4], p=[0.45, 0.3, 0.15, 0.1]))
    kinds = [str(kind) for kind in rng.choice(WHITE_CELLS, size=n)]
    shape = (240, 240) if n < 3 else (300, 300)
    seed = int(rng.integers(2**31))
    while True:
        try:
            field = datasets.draw_field(
                kinds,
                shape=shape,
                um_per_px=_UM_PER_PX * float(np.exp(rng.uniform(-0.15, 0.15))),
                neighbours=float(rng.uniform(0.1, 0.8)),
                touching=0.5,
                random_state=seed,
            )
            break
        except ValueError:
            # There was no space for all cells.
            kinds, shape = kinds[:-1] or kinds, (shape[0] + 60, shape[1] + 60)
    return make_scene(field.image, field.cell, field.nucleus)


def read_scene(image: Any, mask: Any) -> Scene:
    """Read an image and its masks as a scene."""
    masks = read_masks(mask)
    rgb = images.read(image)
    try:
        masks.check_fit(rgb.shape)
    except MaskError as error:
        raise MaskError(f"{images.name_of(mask)}: {error}") from None
    return make_scene(rgb, masks.cell, masks.nucleus)


def make_scene(rgb: np.ndarray, cell: np.ndarray, nucleus: np.ndarray) -> Scene:
    """Convert an image with label images to a scene, near the size that the network expects."""
    # Images are not enlarged here: augmentation resizes anyway.
    return Scene(*unet_input(rgb, cell, nucleus, oversampling=MARGIN))


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


def _sample(density: np.ndarray, cell: np.ndarray, nucleus: np.ndarray) -> Sample:
    classes = (cell > 0).astype(np.uint8)
    classes[nucleus > 0] = 2
    return Sample(density, classes, depth_of(cell))


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
        for level, colour in ((1, (0, 200, 0)), (2, (255, 230, 0))):
            part = (sample.classes >= level).astype(np.uint8)
            lines, _ = cv2.findContours(part, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(light, lines, -1, colour, 1)
        depth = cv2.cvtColor((255 * sample.depth).astype(np.uint8), cv2.COLOR_GRAY2RGB)
        tiles.append(np.vstack([light, depth]))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % across)
    return np.vstack([np.hstack(tiles[i : i + across]) for i in range(0, len(tiles), across)])
