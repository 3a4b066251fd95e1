"""Augmentation of training images of cells, and the views of an image that is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from itertools import product
from typing import Any

import cv2
import numpy as np

from hemafeat._public import public
from hemafeat._words import suggestion

FILLS = {"black": 0, "white": 255}

_FLIPS: dict[bool | str, np.ndarray] = {
    True: np.array([True, True]),
    False: np.array([False, False]),
    "horizontal": np.array([True, False]),
    "vertical": np.array([False, True]),
}
"""Whether images are mirrored left to right, and upside down, by the value of `flip`."""


@public
@dataclass(frozen=True)
class Augmentation:
    """Change training images at random, so that each step of training sees other versions.

    Attributes
    ----------
    flip : bool or {"horizontal", "vertical"}
        Mirror images left to right (``"horizontal"``), upside down (``"vertical"``) or both (True),
        with a probability of one half each.
    turn : float
        Largest angle of rotation in either direction, as a share of a full turn.
    move : float
        Largest horizontal and vertical shift, as a share of width and height.
    cut : (float, float)
        Smallest and largest side of one rectangle that is covered, as shares of width and height.
        (0, 0) covers nothing.
    fill : {"mean", "black", "white"} or int
        Colour of the rectangle: the mean colour of the image, or one grey level of 0 to 255.
    zoom : float
        Largest change of size: images are scaled by ``1 - zoom`` to ``1 + zoom`` about their
        centre, both sides alike.
    brightness : float
        Largest change of brightness: values are multiplied by ``1 - brightness`` to
        ``1 + brightness``, and clipped to 0 to 255.

    Raises
    ------
    ValueError
        A field has a value out of its range. The message names it.

    Notes
    -----
    The defaults are those of a report on C-NMC 2019 [1]_: flips, rotations of up to 0.3 of a full
    turn, shifts of up to a fifth, a random rectangle. The report does not give the size and the
    colour of the rectangle: 10 to 25 % of a side and the mean colour are guesses. Empty corners of
    a rotated, shifted or shrunken image are filled by reflection.

    Other reports [2]_ state 10 degrees, 10 % shift, 10 % zoom and horizontal flips:
    ``Augmentation(flip="horizontal", turn=10 / 360, move=0.1, zoom=0.1, cut=(0, 0))``.

    References
    ----------
    .. [1] Universidade Federal de Santa Catarina, report on the classification of leukaemia in
       microscope images (Portuguese), C-NMC 2019 data.
    .. [2] L. Bernard et al., "Blood cells" project report, DataScientest (repository
       lbernard9/bloodcells).

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import datasets, networks
    >>> images = datasets.draw_cell("neutrophil", random_state=0).image[None]
    >>> changed = networks.Augmentation()(images, np.random.default_rng(0))
    >>> changed.shape == images.shape, bool((changed == images).all())
    (True, False)
    """

    flip: bool | str = True
    turn: float = 0.3
    move: float = 0.2
    cut: tuple[float, float] = (0.1, 0.25)
    fill: str | int = "mean"
    zoom: float = 0.0
    brightness: float = 0.0

    def __post_init__(self) -> None:
        if not (isinstance(self.flip, bool | np.bool_) or self.flip in ("horizontal", "vertical")):
            raise ValueError(
                f"flip={self.flip!r}: expected True, False, 'horizontal' or 'vertical'"
            )
        for name, below in (("turn", np.inf), ("move", np.inf), ("zoom", 1), ("brightness", 1)):
            value = getattr(self, name)
            if not (_is_number(value) and 0 <= value < below):
                limit = "" if below == np.inf else " and below 1"
                raise ValueError(f"{name}={value!r}: expected a number of at least 0{limit}")
        try:
            least, most = self.cut
            sound = 0 <= least <= most <= 1
        except (TypeError, ValueError):
            sound = False
        if not sound:
            raise ValueError(
                f"cut={self.cut!r}: expected the smallest and the largest side of the rectangle, "
                "two shares of 0 to 1"
            )
        levels = isinstance(self.fill, int) and 0 <= self.fill <= 255
        if isinstance(self.fill, bool) or not (levels or self.fill in ("mean", *FILLS)):
            raise ValueError(
                f"fill={self.fill!r}: expected 'mean', 'black', 'white' or a level of 0 to 255"
            )

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
        # A stream of their own, so that the other changes are the same without these.
        more = rng.spawn(1)[0].uniform(-1, 1, (len(images), 2)) if self._scales else None
        for i, image in enumerate(images):
            zoom, light = (0.0, 0.0) if more is None else more[i]
            factors = 1 + self.zoom * float(zoom), 1 + self.brightness * float(light)
            out[i] = self._change(image, rng, *factors).reshape(image.shape)
        return out

    @property
    def _scales(self) -> bool:
        return bool(self.zoom or self.brightness)

    def _change(
        self, image: np.ndarray, rng: np.random.Generator, zoom: float, light: float
    ) -> np.ndarray:
        height, width = image.shape[:2]
        # The same number of draws, whatever is switched off, keeps the others the same.
        mirror = np.where((rng.random(2) < 0.5) & _FLIPS[self.flip], -1.0, 1.0)
        angle = 2 * np.pi * self.turn * rng.uniform(-1, 1)
        shift = self.move * rng.uniform(-1, 1, 2) * (width, height)
        sides = rng.uniform(*self.cut, 2) * (width, height)
        corner = rng.random(2)
        out = _turned(image, angle, zoom * mirror, shift)
        if light != 1:
            out = np.clip(np.rint(out * light), 0, 255).astype(np.uint8)
        wide, high = np.rint(sides).astype(int)
        if wide and high:
            left, top = (corner * (width - wide + 1, height - high + 1)).astype(int)
            colour = FILLS.get(str(self.fill), self.fill)
            if colour == "mean":
                colour = np.rint(out.mean(axis=(0, 1)))
            out[top : top + high, left : left + wide] = np.asarray(colour).astype(np.uint8)
        return out


def _turned(
    image: np.ndarray, angle: float, scale: np.ndarray, shift: np.ndarray | float = 0.0
) -> np.ndarray:
    """Scale an image about its centre, turn it by an angle in radians, and shift it by (x, y)."""
    height, width = image.shape[:2]
    cos, sin = np.cos(angle), np.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag(scale)
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    matrix = np.column_stack([linear, centre + shift - linear @ centre])
    return cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    ).reshape(image.shape)


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return number and bool(np.isfinite(value))


def augmentation_of(value: Any) -> Callable[[np.ndarray, np.random.Generator], np.ndarray] | None:
    """Return the changes of training images that the parameter `augment` of a network asks for.

    Parameters
    ----------
    value : bool, dict, Augmentation, callable or None
        True for the default `Augmentation`, False or None for no change, a dict of fields of
        `Augmentation`, or a callable ``(images, rng)``.

    Returns
    -------
    callable or None

    Raises
    ------
    ValueError
        It is anything else, or a field is unknown or out of its range.
    """
    if value is None or isinstance(value, bool | np.bool_):
        return Augmentation() if value else None
    if isinstance(value, dict):
        known = [field.name for field in fields(Augmentation)]
        for name in value:
            if name not in known:
                raise ValueError(f"augment: no field {name!r}; {suggestion(name, known)}")
        try:
            return Augmentation(**value)
        except ValueError as error:
            raise ValueError(f"augment: {error}") from None
    if callable(value) and not isinstance(value, type):
        return value
    raise ValueError(
        f"augment={value!r}: expected True, False, a dict of fields of networks.Augmentation, or "
        "a callable (images, rng) such as an Augmentation"
    )


Views = Callable[[np.ndarray], Any]


def _rotations(images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield eight rotations in steps of 45 degrees."""
    for step in range(8):
        yield _all_turned(images, step * 45.0)


def _flips_and_quarters(images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield four rotations in steps of 90 degrees, of the images and of their mirror images."""
    for mirrored, quarters in product((images, images[:, :, ::-1]), range(4)):
        if images.shape[1] == images.shape[2]:
            yield np.rot90(mirrored, quarters, axes=(1, 2))
        else:
            yield _all_turned(mirrored, -90.0 * quarters)


def _flips_and_turns(images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the views of `_flips_and_quarters`, each also turned by 10, 20, 30 and 60 degrees."""
    for view in _flips_and_quarters(images):
        for degrees in (0.0, 10.0, -10.0, 20.0, -20.0, 30.0, -30.0, 60.0, -60.0):
            yield _all_turned(view, degrees)


def _all_turned(images: np.ndarray, degrees: float) -> np.ndarray:
    if not degrees:
        return images
    one = np.ones(2)
    return np.stack([_turned(np.ascontiguousarray(i), np.deg2rad(degrees), one) for i in images])


VIEWS: dict[str, Views] = {
    "rotations_8": _rotations,
    "flips_rot90": _flips_and_quarters,
    "flips_rot90_turns": _flips_and_turns,
}
"""Views of images by name; see `predict_images`."""


def views_of(value: Any) -> Views | None:
    """Return the views that the parameter `views` of a network asks for.

    Raises
    ------
    ValueError
        There are no views of that name.
    """
    if value is None or (callable(value) and not isinstance(value, type)):
        return value
    if isinstance(value, str) and value in VIEWS:
        return VIEWS[value]
    raise ValueError(
        f"views={value!r}: expected None, {', '.join(map(repr, VIEWS))}, or a callable that "
        "returns the views of images"
    )
