"""Model stain, lamp, lens and camera, and render stain densities as an image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from hemafeat._public import public

AZURE, BLUE, EOSIN, HAEM = range(4)
"""Indices of density planes: azure (chromatin, azurophil granules), RNA, eosin, haemoglobin."""

BACKGROUNDS = ("cream", "white", "pink", "yellow", "black")
"""Colours of the background of drawn images."""

# White level, then optical density (R, G, B) of each absorber at unit density.
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
    """Colours of the absorbers in the smear of a patient.

    Attributes
    ----------
    background : {"cream", "white", "pink", "yellow", "black", "any"}
        Colour of the background. With ``"black"`` everything outside the cell is 0, as in images of
        segmented cells.
    white : (R, G, B)
        Grey levels (0 to 255) of the background.
    azure, blue, eosin, haemoglobin : (R, G, B)
        Decadic optical density of each absorber at unit density: chromatin and azurophil granules,
        RNA, eosin, haemoglobin. Densities of absorbers add (Beer-Lambert law).

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import datasets
    >>> datasets.Stain.preset("white").white
    (243, 241, 245)
    >>> stain = datasets.Stain.draw(np.random.default_rng(0), "white")
    >>> datasets.draw_cell("monocyte", size=64, stain=stain, random_state=0).stain.background
    'white'
    """

    background: str
    white: Triple
    azure: Triple
    blue: Triple
    eosin: Triple
    haemoglobin: Triple

    @classmethod
    def preset(cls, background: str) -> Stain:
        """Return the typical stain of a background, without variation between patients.

        Parameters
        ----------
        background : {"cream", "white", "pink", "yellow", "black"}
            Colour of the background.

        Returns
        -------
        Stain
            Typical stain.

        Raises
        ------
        ValueError
            Raised if the background is unknown.
        """
        if background not in _PRESETS:
            raise ValueError(
                f"unknown background {background!r}; available: {', '.join(BACKGROUNDS)}"
            )
        return cls(background, *_PRESETS[background])

    @classmethod
    def draw(cls, rng: np.random.Generator, background: str | None = None) -> Stain:
        """Draw the stain of a patient, whose strength, balance and hue vary about a preset.

        Parameters
        ----------
        rng : numpy.random.Generator
            Generator of the random numbers.
        background : str, optional
            Colour of the background; see `preset`. By default one of the four bright ones.

        Returns
        -------
        Stain
            Random stain.
        """
        if background is None:
            names = list(_WEIGHTS)
            background = names[int(rng.choice(len(names), p=list(_WEIGHTS.values())))]
        base = cls.preset(background)
        overall = np.exp(rng.normal(0.0, 0.09))
        spread = (("azure", 0.08), ("blue", 0.14), ("eosin", 0.16), ("haemoglobin", 0.18))
        absorbers: list[Triple] = []
        for name, sigma in spread:
            strength = overall * np.exp(rng.normal(0.0, sigma))
            hue = np.exp(rng.normal(0.0, 0.05, 3))
            absorbers.append(_triple(np.asarray(getattr(base, name)) * strength * hue))
        tint = np.clip(np.asarray(base.white) + rng.normal(0.0, 4.0, 3), 100.0, 255.0)
        return cls(background, _triple(tint), *absorbers)

    @classmethod
    def draw_wide(cls, rng: np.random.Generator) -> Stain:
        """Draw the stain of any laboratory: its dyes, its lamp, and how long it stains.

        Backgrounds are white, grey, blue, green or yellow; red cells pink, purple or blue-grey, and
        pale or dark.

        Parameters
        ----------
        rng : numpy.random.Generator
            Generator of the random numbers.

        Returns
        -------
        Stain
            Random stain, whose `background` is ``"any"``.

        Examples
        --------
        >>> import numpy as np
        >>> from hemafeat import datasets
        >>> datasets.Stain.draw_wide(np.random.default_rng(0)).background
        'any'
        """
        level = rng.choice([rng.uniform(225, 254), rng.uniform(120, 225)])
        hue = rng.uniform(0.0, 2 * np.pi) + np.arange(3) * (2 * np.pi / 3)
        tint = 1.0 + min(abs(rng.normal(0.0, 0.09)), 0.3) * np.cos(hue)
        overall = np.exp(rng.normal(0.0, 0.25))

        def absorber(strength: float, red: float, blue: float) -> Triple:
            vector = overall * np.exp(strength) * np.array([red, 1.0, blue])
            return _triple(vector * np.exp(rng.normal(0.0, 0.04, 3)))

        return cls(
            "any",
            _triple(np.clip(level * tint / tint.max(), 60.0, 254.0)),
            absorber(
                np.exp(rng.normal(-0.25, 0.3)), rng.uniform(0.42, 1.05), rng.uniform(0.1, 0.45)
            ),
            absorber(np.exp(rng.normal(-0.1, 0.35)), rng.uniform(0.7, 1.4), rng.uniform(0.15, 0.4)),
            absorber(np.exp(rng.normal(0.0, 0.35)), rng.uniform(0.15, 0.5), rng.uniform(0.3, 0.7)),
            absorber(np.exp(rng.normal(0.0, 0.5)), rng.uniform(0.05, 1.05), rng.uniform(0.3, 0.95)),
        )

    @property
    def vectors(self) -> np.ndarray:
        """Optical densities, (4, 3) float32: azure, blue, eosin and haemoglobin by R, G, B."""
        return np.array([self.azure, self.blue, self.eosin, self.haemoglobin], np.float32)


@public
@dataclass(frozen=True, slots=True)
class Light:
    """Properties of the lamp, lens and camera that take an image.

    Attributes
    ----------
    slope : float
        Relative change of brightness from the centre to the edge along `angle`.
    angle : float
        Direction of the slope, in rad.
    vignette : float
        Relative loss of brightness in the corners.
    blur_um : float
        Standard deviation of the point spread function, in um.
    glare : float
        Fraction of the white level that reaches the camera regardless of absorption.
    noise : float
        Standard deviation of the noise of the sensor, in grey levels.
    jpeg : int
        Quality (1 to 100) of JPEG compression; 0 for none.

    Examples
    --------
    >>> from hemafeat import datasets
    >>> light = datasets.Light(noise=0.0)
    >>> datasets.draw_cell("monocyte", size=64, light=light, random_state=0).light.noise
    0.0
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
        """Draw the properties of a microscope at random.

        Parameters
        ----------
        rng : numpy.random.Generator
            Generator of the random numbers.

        Returns
        -------
        Light
            Random properties.
        """
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
        """Draw the properties of another image of the same microscope: its focus and lamp vary.

        Parameters
        ----------
        rng : numpy.random.Generator
            Generator of the random numbers.

        Returns
        -------
        Light
            Properties of the other image.
        """
        return replace(
            self,
            slope=float(abs(self.slope + rng.normal(0.0, 0.012))),
            angle=float(self.angle + rng.normal(0.0, 0.4)),
            blur_um=float(np.clip(self.blur_um * np.exp(rng.normal(0.0, 0.15)), 0.045, 0.24)),
        )


def render(
    planes: np.ndarray, stain: Stain, light: Light, um_per_px: float, rng: np.random.Generator
) -> np.ndarray:
    """Render stain densities as an image.

    Parameters
    ----------
    planes : (4, H, W) ndarray of float32
        Densities of the absorbers, in the order of `Stain.vectors`.
    stain : Stain
        Colours of the absorbers.
    light : Light
        Lamp, lens and camera.
    um_per_px : float
        Scale, in um per pixel.
    rng : numpy.random.Generator
        Generator of the noise.

    Returns
    -------
    (H, W, 3) ndarray of uint8
        RGB image.
    """
    height, width = planes.shape[1:]
    x = np.linspace(-1.0, 1.0, width, dtype=np.float32)
    y = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None]
    lamp = 1.0 + light.slope * (np.cos(light.angle) * x + np.sin(light.angle) * y)
    lamp -= 0.5 * light.vignette * (x * x + y * y)
    # Lamp and white level are added as densities, so that a single exponential suffices.
    lamp = np.log(lamp, dtype=np.float32)
    sigma = light.blur_um / um_per_px
    grey = rng.random((height, width), np.float32)
    coarse = rng.random((3, (height + 1) // 2, (width + 1) // 2), np.float32)
    # Uniform numbers have the standard deviation 1 / sqrt(12); half of the noise is grey.
    strength = light.noise * np.sqrt(12.0) * 0.71
    channels = []
    for channel, level in enumerate(stain.white):
        pixels = lamp + np.float32(np.log(level * (1.0 - light.glare)))
        for plane, density in zip(planes, stain.vectors[:, channel], strict=True):
            cv2.scaleAdd(plane, -np.log(10.0) * float(density), pixels, pixels)
        cv2.exp(pixels, pixels)
        # The lens blurs light, not density.
        if sigma > 0.2:
            cv2.GaussianBlur(pixels, (0, 0), sigma, pixels, borderType=cv2.BORDER_REFLECT)
        cv2.scaleAdd(grey, strength, pixels, pixels)
        cv2.scaleAdd(cv2.resize(coarse[channel], (width, height)), strength, pixels, pixels)
        channels.append(cv2.convertScaleAbs(pixels, beta=light.glare * level - strength))
    image = cv2.merge(channels)
    if light.jpeg:
        flag = [cv2.IMWRITE_JPEG_QUALITY, int(light.jpeg)]
        image = cv2.imdecode(cv2.imencode(".jpg", image, flag)[1], cv2.IMREAD_COLOR)
    return image


def _triple(values: np.ndarray) -> Triple:
    return float(values[0]), float(values[1]), float(values[2])
