"""Training samples for networks that outline cells: drawn ones and those of tables with masks."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from hemafeat import datasets, images
from hemafeat._public import public
from hemafeat.networks._segmentation.augment import Scene, augmented
from hemafeat.segment import UNET_SIDE, read_masks, unet_input

if TYPE_CHECKING:
    import pandas as pd

FINER = 1.25
"""Size at which scenes are kept, over that of a network: they may be enlarged a little."""

WHITE = tuple(kind for kind in datasets.KINDS if kind != "platelet")

_UM_PER_PX = 0.15
_TABLE, _DRAWN = 1, 2


@public
@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What a network sees and what it should say.

    Attributes
    ----------
    density : (side, side, 3) ndarray of float32
        Optical density relative to the white of the image, times what gives its nuclei a mean of
        0.5 in green light; augmented, more or less than that.
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
    """An endless row of samples; number ``i`` depends on the seed and on ``i`` only.

    Parameters
    ----------
    images : DataFrame, optional
        An image table; rows without a mask are left out. Drawn fields only when not given.
    drawn : float, optional
        Share of samples drawn; 0.5 with a table and 1 without by default.
    augment : bool
        Turn, flip, resize, stain and light each sample anew. Without it sample ``i`` is the middle
        of the image (of one of its cells) at the size a network expects.
    side : int
        Height and width of samples.
    random_state : int
        Seed.

    Raises
    ------
    ValueError
        A share outside 0..1, or nothing but a table without masks to take samples from.

    Examples
    --------
    >>> sample = SegmentationSamples(side=96)[0]
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
            raise ValueError(f"drawn is {drawn}, expected a share between 0 and 1")
        if rows is None and self.drawn < 1.0:
            raise ValueError("without a table of images all samples are drawn")
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
            # Not augmented they are for scores: every image in turn.
            scene, other = self._scene(i % len(self._paths)), None
        density, cell, nucleus = augmented(scene, other, self.side, rng, plain=not self.augment)
        return _sample(density, cell, nucleus)

    def batch(
        self, numbers: Sequence[int], pool: ThreadPoolExecutor | None = None
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Samples by number, as arrays for `loss`: densities, and ``classes`` and ``depth``."""
        made = list((pool.map if pool else map)(self.__getitem__, numbers))
        return np.stack([one.density for one in made]), {
            "classes": np.stack([one.classes for one in made]),
            "depth": np.stack([one.depth for one in made]),
        }

    def _scene(self, row: int) -> Scene:
        pair = self._paths[row]
        if pair not in self._scenes:
            self._scenes[pair] = read_scene(*pair)
        return self._scenes[pair]


def drawn_scene(rng: np.random.Generator) -> Scene:
    """A drawn field with one white cell or some, many of them touching."""
    n = int(rng.choice([1, 2, 3, 4], p=[0.45, 0.3, 0.15, 0.1]))
    kinds = [str(kind) for kind in rng.choice(WHITE, size=n)]
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
            # No room for so many.
            kinds, shape = kinds[:-1] or kinds, (shape[0] + 60, shape[1] + 60)
    return scene(field.image, field.cell, field.nucleus)


def read_scene(image: Any, mask: Any) -> Scene:
    """An image and its masks, near the size a network expects."""
    masks = read_masks(mask)
    rgb = images.read(image)
    if masks.shape != rgb.shape[:2]:
        raise ValueError(f"{mask}: the mask is {masks.shape}, the image {rgb.shape[:2]}")
    return scene(rgb, masks.cell, masks.nucleus)


def scene(rgb: np.ndarray, cell: np.ndarray, nucleus: np.ndarray) -> Scene:
    """An image with label images, as `Scene`."""
    # Enlarging is left to augmentation, which resizes only once.
    return Scene(*unet_input(rgb, cell, nucleus, oversampling=FINER))


def depth_of(cell: np.ndarray) -> np.ndarray:
    """(H, W) float32: distance of each pixel of a cell to its outside over the largest one in it.

    The border of the image counts as outside.
    """
    depth = np.zeros(cell.shape, np.float32)
    for number in range(1, int(cell.max()) + 1):
        mask = (cell == number).astype(np.uint8)
        if not mask.any():
            continue
        reach = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        reach = reach[1:-1, 1:-1]
        depth += reach / reach.max()
    return depth


def _sample(density: np.ndarray, cell: np.ndarray, nucleus: np.ndarray) -> Sample:
    classes = (cell > 0).astype(np.uint8)
    classes[nucleus > 0] = 2
    return Sample(density, classes, depth_of(cell))


def sample_sheet(
    samples: SegmentationSamples, n: int = 32, *, across: int = 8, start: int = 0
) -> np.ndarray:
    """Samples to look at: each as light, with the borders of its classes, over its depth.

    Parameters
    ----------
    samples : SegmentationSamples
    n : int
        Number of samples.
    across : int
        Samples in a row.
    start : int
        Number of the first one.

    Returns
    -------
    (H, W, 3) ndarray of uint8
        RGB.
    """
    tiles = []
    for i in range(start, start + n):
        one = samples[i]
        light = np.clip(245.0 * 10.0**-one.density, 0, 255).astype(np.uint8)
        for level, colour in ((1, (0, 200, 0)), (2, (255, 230, 0))):
            part = (one.classes >= level).astype(np.uint8)
            lines, _ = cv2.findContours(part, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(light, lines, -1, colour, 1)
        depth = cv2.cvtColor((255 * one.depth).astype(np.uint8), cv2.COLOR_GRAY2RGB)
        tiles.append(np.vstack([light, depth]))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % across)
    return np.vstack([np.hstack(tiles[i : i + across]) for i in range(0, len(tiles), across)])
