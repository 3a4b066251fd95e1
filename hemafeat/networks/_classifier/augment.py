"""Augmentation of training images of cells."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hemafeat._public import public


@public
@dataclass(frozen=True)
class Augmentation:
    """Change training images at random, so that each step of training sees other versions.

    Attributes
    ----------
    flip : bool
        Mirror images left to right, and upside down, with a probability of one half each.
    turn : float
        Largest angle of rotation in either direction, as a share of a full turn.
    move : float
        Largest horizontal and vertical shift, as a share of width and height.
    cut : (float, float)
        Smallest and largest side of one rectangle that is covered with the mean colour of the
        image, as shares of width and height. (0, 0) covers nothing.

    Notes
    -----
    The defaults are those of a report on C-NMC 2019 [1]_: flips, rotations of up to 0.3 of a full
    turn, shifts of up to a fifth, a random rectangle. The report does not give the size and the
    colour of the rectangle: 10 to 25 % of a side and the mean colour are guesses. Empty corners of
    a rotated or shifted image are filled by reflection.

    References
    ----------
    .. [1] Universidade Federal de Santa Catarina, report on the classification of leukaemia in
       microscope images (Portuguese), C-NMC 2019 data.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import datasets, networks
    >>> images = datasets.draw_cell("neutrophil", random_state=0).image[None]
    >>> changed = networks.Augmentation()(images, np.random.default_rng(0))
    >>> changed.shape == images.shape, bool((changed == images).all())
    (True, False)
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
            Images, which are left as they are.
        rng : numpy.random.Generator
            Source of the random changes.

        Returns
        -------
        (n, H, W, channels) ndarray of uint8
            Changed copies.
        """
        out = np.empty_like(images)
        for i, image in enumerate(images):
            out[i] = self._change(image, rng).reshape(image.shape)
        return out

    def _change(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        height, width = image.shape[:2]
        # The same number of draws, whatever is switched off, keeps the others the same.
        mirror = np.where(rng.random(2) < 0.5, -1.0, 1.0) if self.flip else np.ones(2)
        angle = 2 * np.pi * self.turn * rng.uniform(-1, 1)
        shift = self.move * rng.uniform(-1, 1, 2) * (width, height)
        sides = rng.uniform(*self.cut, 2) * (width, height)
        corner = rng.random(2)
        cos, sin = np.cos(angle), np.sin(angle)
        linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag(mirror)
        centre = np.array([(width - 1) / 2, (height - 1) / 2])
        matrix = np.column_stack([linear, centre + shift - linear @ centre])
        out = cv2.warpAffine(
            image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        ).reshape(image.shape)
        wide, high = np.rint(sides).astype(int)
        if wide and high:
            left, top = (corner * (width - wide + 1, height - high + 1)).astype(int)
            colour = np.rint(out.mean(axis=(0, 1)))
            out[top : top + high, left : left + wide] = colour.astype(np.uint8)
        return out
