"""Redraw an image as another laboratory might have taken it, to train models that travel."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from hemafeat._public import public
from hemafeat.images._stain import Macenko, _keep_black, _white

_STAINS = np.asarray(Macenko.vectors)
_STAINS = _STAINS / np.linalg.norm(_STAINS, axis=1, keepdims=True)


def _with_residual(stains: np.ndarray) -> np.ndarray:
    """Return the unit vectors of two stains, and of what is perpendicular to both: (3, 3)."""
    third = np.cross(stains[0], stains[1])
    return np.vstack([stains, third / np.linalg.norm(third)])


@public
@dataclass(frozen=True)
class StainJitter:
    """Redraw an image as another laboratory might have taken it, at random.

    The amounts of azure and eosin, their colours, the light, the tone curve, the exposure, the
    sharpness and the compression of the image are changed; its outlines stay where they are. A
    model that is trained on cells measured so learns what does not depend on the laboratory; see
    ``extract.table(augment=)``.

    Parameters
    ----------
    random_state : int
        Seed. What becomes of an image depends on the seed and its pixels, not on other images.
    strength : float
        Factor of the changes of stain and tone curve; 0 leaves both as they are.
    blur : float
        Largest standard deviation of the Gaussian blur of every second image, in px; 0 for none.
    quality : int
        Lowest JPEG quality of every second image, the highest being 97; 100 for no compression.

    Notes
    -----
    The density ``ln((W + 1) / (I + 1))``, with W the white level of `Macenko`, is divided
    into azure and eosin (the colours of `Macenko`) and the rest. Standard deviations at strength 1:
    .3 and .35 in the logarithms of the amounts of azure and eosin, .06 in each component of their
    colours, .15 in the logarithm of the exponent of the tone curve. The white of the new image is
    uniform in 200 to 255 (blue 110 to 255), times an exposure of .95 to 1.05, above which it is
    clipped. These ranges were set by eye, before any score, so that the lights and stains of PBC,
    BCCD and segmentation_WBC are among them.

    Examples
    --------
    >>> from hemafeat import datasets, images
    >>> cell = datasets.draw_cell("monocyte", random_state=0).image
    >>> redrawn = images.StainJitter(random_state=1)(cell)
    >>> redrawn.shape == cell.shape, bool((redrawn == cell).all())
    (True, False)
    """

    random_state: int = 0
    strength: float = 1.0
    blur: float = 1.3
    quality: int = 50
    name: ClassVar[str] = "stain-jitter"

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Redraw an (H, W, 3) uint8 RGB image."""
        rng = np.random.default_rng(
            [self.random_state, zlib.crc32(np.ascontiguousarray(image[::8, ::8]).tobytes())]
        )
        white = _white(image)
        amounts = np.exp(self.strength * rng.normal(0.0, (0.3, 0.35)))
        stains = np.maximum(_STAINS + 0.06 * self.strength * rng.normal(size=(2, 3)), 0.02)
        stains /= np.linalg.norm(stains, axis=1, keepdims=True)
        new_white = rng.uniform((200.0, 200.0, 110.0), 255.0) * rng.uniform(0.95, 1.05)
        tone = np.exp(self.strength * rng.normal(0.0, 0.15))
        blurred, sigma = rng.random() < 0.5, rng.uniform(0.25, 1.0) * self.blur
        compressed, quality = rng.random() < 0.5, rng.uniform(min(self.quality, 98), 98)
        # Unmixing, scaling of the amounts and mixing in other colours combine to one matrix.
        unmix = np.linalg.inv(_with_residual(_STAINS)) * (*amounts, 1.0)
        matrix = tone * (unmix @ _with_residual(stains))
        levels = np.arange(256)[:, None]
        density = cv2.LUT(image, np.log((white + 1) / (levels + 1)).astype(np.float32)[None])
        light = np.exp(-cv2.transform(density, matrix.T.astype(np.float32)))
        # The camera clips what the optics have blurred.
        light = np.clip((new_white.astype(np.float32) + 1) * light - 1, 0, 255)
        if blurred and sigma > 0:
            light = cv2.GaussianBlur(light, (0, 0), float(sigma))
        redrawn = np.rint(light).astype(np.uint8)
        if compressed and self.quality < 100:
            options = [cv2.IMWRITE_JPEG_QUALITY, int(quality)]
            _, data = cv2.imencode(".jpg", redrawn[..., ::-1], options)
            redrawn = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]
        return _keep_black(image, np.ascontiguousarray(redrawn))
