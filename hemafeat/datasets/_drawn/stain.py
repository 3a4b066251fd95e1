"""Stain and light of a drawn smear: from stain densities to the pixels a camera would give."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from hemafeat._public import public

AZURE, BLUE, EOSIN, HAEM = range(4)
"""Density planes: chromatin and azurophil purple, RNA blue, eosin, and haemoglobin."""

BACKGROUNDS = ("cream", "white", "pink", "yellow", "black")

# White level, then optical density in R, G, B of unit density of each stain.
_PRESETS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "cream": (
        (254, 229, 204),
        (0.53, 1.00, 0.16),
        (1.00, 1.00, 0.20),
        (0.35, 1.00, 0.52),
        (0.68, 1.00, 0.60),
    ),
    "white": (
        (243, 241, 245),
        (0.52, 1.00, 0.20),
        (1.05, 1.00, 0.22),
        (0.26, 1.00, 0.44),
        (0.62, 1.00, 0.62),
    ),
    "pink": (
        (246, 226, 229),
        (0.56, 1.00, 0.18),
        (0.95, 1.00, 0.20),
        (0.28, 1.00, 0.46),
        (0.55, 1.00, 0.66),
    ),
    "yellow": (
        (252, 244, 158),
        (0.42, 1.00, 0.24),
        (0.80, 1.00, 0.26),
        (0.30, 1.00, 0.46),
        (0.60, 1.00, 0.55),
    ),
    "black": (
        (206, 190, 196),
        (0.50, 1.00, 0.26),
        (0.95, 1.00, 0.26),
        (0.30, 1.00, 0.50),
        (0.62, 1.00, 0.60),
    ),
}
_WEIGHTS = {"cream": 0.40, "white": 0.25, "pink": 0.20, "yellow": 0.15}

Triple = tuple[float, float, float]


@public
@dataclass(frozen=True, slots=True)
class Stain:
    """How one patient's smear takes the stain.

    Attributes
    ----------
    background : {"cream", "white", "pink", "yellow", "black"}
        Colour of the empty field. With ``"black"`` everything outside the cell is 0, as in images
        of cells that were cut out.
    white : (R, G, B)
        Grey levels (0 to 255) of light through no cell.
    azure, blue, eosin, haemoglobin : (R, G, B)
        Decadic optical density of unit density of each absorber: chromatin and azurophil granules,
        RNA, eosin, haemoglobin. Densities of absorbers add (Beer-Lambert).
    """

    background: str
    white: Triple
    azure: Triple
    blue: Triple
    eosin: Triple
    haemoglobin: Triple

    @classmethod
    def preset(cls, background: str) -> Stain:
        """The typical stain of a background, without any patient's own deviation.

        Parameters
        ----------
        background : {"cream", "white", "pink", "yellow", "black"}

        Raises
        ------
        ValueError
            A background that is not one of these.
        """
        if background not in _PRESETS:
            raise ValueError(f"no background {background!r}; there are: {', '.join(BACKGROUNDS)}")
        return cls(background, *_PRESETS[background])

    @classmethod
    def draw(cls, rng: np.random.Generator, background: str | None = None) -> Stain:
        """One patient's stain: strength, balance and hue vary about a preset.

        Parameters
        ----------
        rng : numpy.random.Generator
        background : str, optional
            See `preset`; drawn from the four bright ones when not given.
        """
        if background is None:
            names = list(_WEIGHTS)
            background = names[int(rng.choice(len(names), p=list(_WEIGHTS.values())))]
        base = cls.preset(background)
        overall = np.exp(rng.normal(0.0, 0.09))
        spread = (("azure", 0.08), ("blue", 0.14), ("eosin", 0.16), ("haemoglobin", 0.18))
        changed: list[Triple] = []
        for name, sigma in spread:
            strength = overall * np.exp(rng.normal(0.0, sigma))
            hue = np.exp(rng.normal(0.0, 0.05, 3))
            changed.append(_triple(np.asarray(getattr(base, name)) * strength * hue))
        tint = np.clip(np.asarray(base.white) + rng.normal(0.0, 4.0, 3), 100.0, 255.0)
        return cls(background, _triple(tint), *changed)

    @property
    def vectors(self) -> np.ndarray:
        """(4, 3) float32: one row per absorber, in the order azure, blue, eosin, haemoglobin."""
        return np.array([self.azure, self.blue, self.eosin, self.haemoglobin], np.float32)


@public
@dataclass(frozen=True, slots=True)
class Light:
    """Lamp, lens and camera of one image.

    Attributes
    ----------
    slope : float
        Relative change of brightness from the centre to the edge along `angle`.
    angle : float
        Direction of the slope, rad.
    vignette : float
        Relative loss of brightness in the corners.
    blur_um : float
        Standard deviation of the point spread, micrometres.
    glare : float
        Fraction of the white that reaches the camera whatever is in the way.
    noise : float
        Standard deviation of the sensor's noise, grey levels.
    jpeg : int
        Quality (1 to 100) of one JPEG round trip, 0 for none.
    """

    slope: float = 0.0
    angle: float = 0.0
    vignette: float = 0.0
    blur_um: float = 0.085
    glare: float = 0.02
    noise: float = 1.0
    jpeg: int = 0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Light:
        """A microscope: uneven to a degree, sharp to a degree."""
        return cls(
            slope=float(abs(rng.normal(0.0, 0.03))),
            angle=float(rng.uniform(0.0, 2 * np.pi)),
            vignette=float(abs(rng.normal(0.0, 0.04))),
            blur_um=float(np.clip(0.085 * np.exp(rng.normal(0.0, 0.25)), 0.05, 0.2)),
            glare=float(rng.uniform(0.012, 0.035)),
            noise=float(rng.uniform(0.6, 1.8)),
            jpeg=int(rng.integers(86, 97)) if rng.random() < 0.4 else 0,
        )

    def another(self, rng: np.random.Generator) -> Light:
        """The next image of the same microscope: refocused, the lamp no longer quite centred."""
        return replace(
            self,
            slope=float(abs(self.slope + rng.normal(0.0, 0.012))),
            angle=float(self.angle + rng.normal(0.0, 0.4)),
            blur_um=float(np.clip(self.blur_um * np.exp(rng.normal(0.0, 0.15)), 0.045, 0.24)),
        )


def render(
    planes: np.ndarray, stain: Stain, light: Light, um_per_px: float, rng: np.random.Generator
) -> np.ndarray:
    """Pixels of stain densities.

    Parameters
    ----------
    planes : (4, H, W) ndarray of float32
        Densities in the order of `Stain.vectors`.
    stain : Stain
    light : Light
    um_per_px : float
    rng : numpy.random.Generator
        Of the noise.

    Returns
    -------
    (H, W, 3) ndarray of uint8
        RGB.
    """
    height, width = planes.shape[1:]
    x = np.linspace(-1.0, 1.0, width, dtype=np.float32)
    y = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None]
    lamp = 1.0 + light.slope * (np.cos(light.angle) * x + np.sin(light.angle) * y)
    lamp -= 0.5 * light.vignette * (x * x + y * y)
    # Lamp and white enter as densities too, so that one exponential does it all.
    lamp = np.log(lamp, dtype=np.float32)
    sigma = light.blur_um / um_per_px
    grey = rng.random((height, width), np.float32)
    coarse = rng.random((3, (height + 1) // 2, (width + 1) // 2), np.float32)
    # Uniform numbers have a spread of 1 / sqrt(12); half of the noise is the same in all channels.
    strength = light.noise * np.sqrt(12.0) * 0.71
    channels = []
    for channel, level in enumerate(stain.white):
        seen = lamp + np.float32(np.log(level * (1.0 - light.glare)))
        for plane, density in zip(planes, stain.vectors[:, channel], strict=True):
            cv2.scaleAdd(plane, -np.log(10.0) * float(density), seen, seen)
        cv2.exp(seen, seen)
        # Light, not density, is what the lens blurs.
        if sigma > 0.2:
            cv2.GaussianBlur(seen, (0, 0), sigma, seen, borderType=cv2.BORDER_REFLECT)
        cv2.scaleAdd(grey, strength, seen, seen)
        cv2.scaleAdd(cv2.resize(coarse[channel], (width, height)), strength, seen, seen)
        channels.append(cv2.convertScaleAbs(seen, beta=light.glare * level - strength))
    image = cv2.merge(channels)
    if light.jpeg:
        flag = [cv2.IMWRITE_JPEG_QUALITY, int(light.jpeg)]
        image = cv2.imdecode(cv2.imencode(".jpg", image, flag)[1], cv2.IMREAD_COLOR)
    return image


def _triple(values: np.ndarray) -> Triple:
    return float(values[0]), float(values[1]), float(values[2])
