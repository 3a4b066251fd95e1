"""Another image of the same cell for a classifier: mirrored, turned, moved, partly covered."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat._public import public


@public
@dataclass(frozen=True)
class Augmentation:
    """How training images are changed; each step of training sees another version.

    Attributes
    ----------
    flip : bool
        Mirrored left to right, and upside down, with probability one half each.
    turn : float
        Largest angle to either side, as a share of a full turn.
    move : float
        Largest shift across and down, as a share of width and height.
    cut : (float, float)
        Smallest and largest side of one rectangle that is covered with the mean colour of the
        image, as shares of width and height; (0, 0) covers nothing.

    Notes
    -----
    The numbers are those of a report on C-NMC 2019 [1]_: flips, turns of 0.3 of a circle to either
    side, shifts of a fifth, a random rectangle. How large the rectangle was and what filled it is
    not said: 10 to 25 % of a side and the mean colour are guesses. What a turned or moved image
    leaves open is filled by reflection.

    References
    ----------
    .. [1] Universidade Federal de Santa Catarina, report on the classification of leukaemia in
       microscope images (Portuguese), C-NMC 2019 data.
    """

    flip: bool = True
    turn: float = 0.3
    move: float = 0.2
    cut: tuple[float, float] = (0.1, 0.25)

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Change images.

        Parameters
        ----------
        images : (n, H, W, channels) ndarray of uint8
        rng : numpy.random.Generator

        Returns
        -------
        (n, H, W, channels) ndarray of uint8
            A copy.
        """
        out = np.empty_like(images)
        for place, image in enumerate(images):
            out[place] = self._one(image, rng).reshape(image.shape)
        return out

    def _one(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        height, width = image.shape[:2]
        # As many numbers are drawn for every image, whatever is switched off.
        mirror = np.where(rng.random(2) < 0.5, -1.0, 1.0) if self.flip else np.ones(2)
        angle = 2 * np.pi * self.turn * rng.uniform(-1, 1)
        shift = self.move * rng.uniform(-1, 1, 2) * (width, height)
        sides = rng.uniform(*self.cut, 2) * (width, height)
        corner = rng.random(2)
        cos, sin = np.cos(angle), np.sin(angle)
        linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag(mirror)
        middle = np.array([(width - 1) / 2, (height - 1) / 2])
        matrix = np.column_stack([linear, middle + shift - linear @ middle])
        out = cv2.warpAffine(
            image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        ).reshape(image.shape)
        wide, high = np.rint(sides).astype(int)
        if wide and high:
            left, top = (corner * (width - wide + 1, height - high + 1)).astype(int)
            colour = np.rint(out.mean(axis=(0, 1)))
            out[top : top + high, left : left + wide] = colour.astype(np.uint8)
        return out
