"""Draw the size, nucleus, chromatin, cytoplasm and granules of each type of cell at random.

Lengths are in um, densities are those of `Stain`. The ranges of similar types overlap on purpose: a
band neutrophil and a metamyelocyte, a large lymphocyte and a lymphoblast, or a young erythroblast
and a lymphocyte differ in several weak features, not in a single strong one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Rng = np.random.Generator


@dataclass(slots=True)
class Grain:
    """Properties of a type of granule."""

    sigma: float
    azure: float = 0.0
    eosin: float = 0.0
    number: int = 0
    spacing: float = 0.0  # if positive, granules fill the cytoplasm at this distance
    over_nucleus: bool = False


@dataclass(slots=True)
class Look:
    """Appearance of a cell."""

    radius: float
    stretch: float = 1.0
    rough: float = 0.025
    fringe: float = 0.0
    # Nucleus
    shape: Literal["none", "round", "lobed", "bent"] = "round"
    fraction: float = 0.5
    n_lobes: int = 1
    aspect: float = 1.3
    turn: float = 3.0
    flip: float = 0.0
    edge: float = 0.5
    off: float = 0.5
    # Chromatin
    density: float = 1.35
    opened: float = 1.0  # threshold, in standard deviations, above which chromatin is open
    contrast: float = 0.45
    grain: float = 0.55
    clump: float = 0.08
    n_nucleoli: int = 0
    # Cytoplasm
    azure: float = 0.05
    blue: float = 0.05
    eosin: float = 0.05
    haem: float = 0.0
    mottle: float = 0.15
    rim: float = 0.0
    hof: float = 0.0
    grains: list[Grain] = field(default_factory=list)
    n_vacuoles: int = 0
    vacuole: float = 0.45


def _neutrophil(rng: Rng) -> Look:
    band = rng.random() < 0.22
    n_lobes = 1 if band else int(rng.choice([2, 3, 4, 5], p=[0.2, 0.42, 0.3, 0.08]))
    toxic = rng.random() < 0.15
    strength = rng.uniform(0.3, 0.6) if toxic else rng.uniform(0.06, 0.24)
    return Look(
        radius=rng.normal(6.4, 0.5),
        stretch=1 + abs(rng.normal(0, 0.08)),
        rough=0.028,
        fringe=0.004,
        shape="bent" if band else "lobed",
        fraction=rng.uniform(0.33, 0.46),
        n_lobes=n_lobes,
        aspect=rng.uniform(4.0, 7.5) if band else rng.uniform(1.15, 1.75),
        turn=rng.uniform(2.6, 4.6),
        flip=rng.uniform(0.35, 0.65) if rng.random() < 0.3 else 0.0,
        edge=0.4,
        off=rng.uniform(0.1, 0.6),
        density=rng.normal(1.14, 0.08),
        opened=rng.uniform(0.75, 1.35),
        contrast=rng.uniform(0.58, 0.85),
        grain=rng.uniform(0.6, 0.85),
        clump=0.08,
        azure=rng.uniform(0.02, 0.07),
        blue=rng.uniform(0.01, 0.05),
        eosin=rng.uniform(0.05, 0.12),
        mottle=0.3,
        rim=0.08,
        grains=[
            Grain(0.10, azure=0.5 * strength, eosin=0.3 * strength, number=1100),
            Grain(0.14, azure=1.2 * strength, number=int(rng.integers(30, 200))),
        ],
        n_vacuoles=int(rng.integers(1, 4)) if rng.random() < 0.08 else 0,
    )


def _eosinophil(rng: Rng) -> Look:
    few = rng.random() < 0.12  # partly degranulated
    return Look(
        radius=rng.normal(6.8, 0.45),
        stretch=1 + abs(rng.normal(0, 0.08)),
        rough=0.028,
        fringe=0.008,
        shape="lobed",
        fraction=rng.uniform(0.28, 0.38),
        n_lobes=int(rng.choice([2, 3], p=[0.82, 0.18])),
        aspect=rng.uniform(1.1, 1.5),
        turn=rng.uniform(1.8, 3.6),
        edge=0.35,
        off=rng.uniform(0.4, 0.95),
        density=rng.normal(1.1, 0.08),
        opened=rng.uniform(0.65, 1.2),
        contrast=rng.uniform(0.58, 0.85),
        grain=rng.uniform(0.6, 0.85),
        azure=rng.uniform(0.01, 0.04),
        blue=rng.uniform(0.03, 0.08),
        eosin=rng.uniform(0.06, 0.12),
        mottle=0.2,
        grains=[
            Grain(
                rng.uniform(0.19, 0.25),
                azure=rng.uniform(0.01, 0.06),
                eosin=rng.uniform(0.2, 0.3) if few else rng.uniform(0.26, 0.42),
                spacing=rng.uniform(0.75, 1.0) if few else rng.uniform(0.55, 0.72),
            )
        ],
        n_vacuoles=int(rng.integers(1, 4)) if rng.random() < 0.2 else 0,
        vacuole=0.3,
    )


def _basophil(rng: Rng) -> Look:
    full = rng.random() < 0.7
    return Look(
        radius=rng.normal(6.0, 0.5),
        stretch=1 + abs(rng.normal(0, 0.1)),
        rough=0.035,
        fringe=0.018,
        shape="lobed" if rng.random() < 0.5 else "bent",
        fraction=rng.uniform(0.40, 0.58),
        n_lobes=2,
        aspect=rng.uniform(1.1, 1.6),
        turn=rng.uniform(0.6, 2.4),
        edge=0.6,
        off=rng.uniform(0.1, 0.6),
        density=rng.normal(0.6, 0.1),
        opened=1.0,
        contrast=0.5,
        grain=0.5,
        azure=rng.uniform(0.08, 0.2),
        blue=rng.uniform(0.0, 0.05),
        eosin=rng.uniform(0.03, 0.14),
        mottle=0.3,
        grains=[
            Grain(
                rng.uniform(0.16, 0.21),
                azure=rng.uniform(0.6, 1.0),
                spacing=rng.uniform(0.6, 0.76) if full else rng.uniform(0.8, 1.1),
                over_nucleus=True,
            ),
        ],
        n_vacuoles=int(rng.integers(1, 6)) if rng.random() < 0.3 else 0,
        vacuole=0.3,
    )


def _lymphocyte(rng: Rng) -> Look:
    large = rng.random() < 0.28
    return Look(
        radius=rng.normal(5.6, 0.4) if large else rng.normal(4.55, 0.35),
        stretch=1 + abs(rng.normal(0, 0.09)),
        rough=0.03,
        fringe=rng.uniform(0.0, 0.035),
        fraction=rng.uniform(0.52, 0.8) if large else rng.uniform(0.7, 0.93),
        edge=rng.uniform(0.3, 0.9),
        off=rng.uniform(0.4, 1.0),
        density=rng.normal(1.12, 0.1),
        opened=rng.uniform(0.8, 1.5),
        contrast=rng.uniform(0.4, 0.66),
        grain=rng.uniform(0.55, 0.85),
        clump=rng.uniform(0.08, 0.16),
        azure=rng.uniform(0.03, 0.08),
        blue=rng.uniform(0.12, 0.26) if large else rng.uniform(0.15, 0.34),
        eosin=0.02,
        mottle=0.25,
        rim=rng.uniform(0.1, 0.35),
        grains=[Grain(0.15, azure=0.55, number=int(rng.integers(4, 14)))]
        if large and rng.random() < 0.5
        else [],
    )


def _monocyte(rng: Rng) -> Look:
    return Look(
        radius=rng.normal(7.8, 0.7),
        stretch=1 + abs(rng.normal(0, 0.16)),
        rough=rng.uniform(0.035, 0.075),
        fringe=rng.uniform(0.006, 0.022),
        shape="bent",
        fraction=rng.uniform(0.38, 0.58),
        aspect=rng.uniform(1.4, 4.2),
        turn=rng.uniform(1.2, 3.8),
        flip=rng.uniform(0.35, 0.65) if rng.random() < 0.25 else 0.0,
        edge=rng.uniform(0.4, 0.9),
        off=rng.uniform(0.1, 0.7),
        density=rng.normal(1.0, 0.09),
        opened=rng.uniform(0.3, 0.8),
        contrast=rng.uniform(0.55, 0.8),
        grain=rng.uniform(0.55, 0.8),
        clump=0.07,
        azure=rng.uniform(0.04, 0.1),
        blue=rng.uniform(0.08, 0.18),
        eosin=rng.uniform(0.02, 0.05),
        mottle=0.35,
        rim=rng.uniform(0.05, 0.25),
        grains=[Grain(0.09, azure=rng.uniform(0.08, 0.2), number=int(rng.integers(500, 1300)))],
        n_vacuoles=int(rng.integers(1, 13)) if rng.random() < 0.55 else 0,
        vacuole=rng.uniform(0.3, 0.6),
    )


def _erythroblast(rng: Rng) -> Look:
    ripe = rng.beta(1.3, 0.9)  # from basophilic (0) to orthochromatic (1)
    return Look(
        radius=rng.normal(6.0 - 1.3 * ripe, 0.4),
        stretch=1 + abs(rng.normal(0, 0.12)),
        rough=rng.uniform(0.03, 0.06),
        fringe=rng.uniform(0.0, 0.015),
        fraction=np.clip(rng.normal(0.6 - 0.22 * ripe, 0.07), 0.25, 0.8),
        edge=0.25,
        off=rng.uniform(0.1, 1.0),
        density=1.08 + 0.3 * ripe + rng.normal(0, 0.08),
        opened=0.75 + 1.2 * ripe,
        contrast=np.clip(0.75 - 0.55 * ripe, 0.08, 0.7),
        grain=rng.uniform(0.85, 1.25),
        clump=0.14 * (1 - ripe),
        azure=rng.uniform(0.03, 0.09),
        blue=0.36 - 0.24 * ripe + rng.uniform(-0.05, 0.05),
        eosin=0.02,
        haem=0.05 + 0.13 * ripe,
        mottle=0.2,
        rim=0.15,
        hof=rng.uniform(0.0, 0.3),
    )


def _immature(rng: Rng) -> Look:
    bent = rng.random() < 0.42  # metamyelocyte, otherwise myelocyte or promyelocyte
    young = 0.0 if bent else rng.uniform(0.0, 1.0)
    strength = rng.uniform(0.1, 0.5) if bent else rng.uniform(0.2, 0.7)
    return Look(
        radius=rng.normal(7.3, 0.6),
        stretch=1 + abs(rng.normal(0, 0.12)),
        rough=0.035,
        fringe=0.006,
        shape="bent" if bent else "round",
        fraction=rng.uniform(0.36, 0.52) if bent else rng.uniform(0.42, 0.66),
        aspect=rng.uniform(1.6, 4.2),
        turn=rng.uniform(1.4, 3.2),
        edge=rng.uniform(0.4, 0.8),
        off=rng.uniform(0.5, 1.0),
        density=rng.normal(1.05 - 0.08 * young, 0.09),
        opened=rng.uniform(0.3, 0.9),
        contrast=rng.uniform(0.52, 0.8),
        grain=rng.uniform(0.6, 0.9),
        clump=0.08,
        n_nucleoli=int(rng.integers(1, 4)) if rng.random() < 0.2 + 0.6 * young else 0,
        azure=rng.uniform(0.05, 0.12),
        blue=rng.uniform(0.04, 0.12) + 0.14 * young,
        eosin=rng.uniform(0.02, 0.07),
        mottle=0.35,
        rim=0.1,
        grains=[
            Grain(0.12, azure=strength, number=int(rng.integers(150, 480))),
            Grain(0.10, azure=0.3 * strength, number=500),
        ],
        n_vacuoles=int(rng.integers(1, 4)) if rng.random() < 0.12 else 0,
    )


def _lymphoblast(rng: Rng) -> Look:
    return Look(
        radius=rng.normal(6.3, 0.75),
        stretch=1 + abs(rng.normal(0, 0.1)),
        rough=rng.uniform(0.03, 0.06),
        fringe=rng.uniform(0.0, 0.012),
        fraction=rng.uniform(0.68, 0.9),
        edge=rng.uniform(0.4, 1.0),
        off=rng.uniform(0.3, 1.0),
        density=rng.normal(0.98, 0.1),
        opened=rng.uniform(0.1, 0.7),
        contrast=rng.uniform(0.3, 0.55),
        grain=rng.uniform(0.42, 0.62),
        clump=0.05,
        n_nucleoli=int(rng.integers(1, 4)) if rng.random() < 0.75 else 0,
        azure=rng.uniform(0.04, 0.1),
        blue=rng.uniform(0.2, 0.4),
        eosin=0.01,
        mottle=0.2,
        rim=rng.uniform(0.0, 0.25),
        n_vacuoles=int(rng.integers(1, 6)) if rng.random() < 0.15 else 0,
        vacuole=0.3,
    )


def _platelet(rng: Rng) -> Look:
    giant = rng.random() < 0.2
    radius = rng.uniform(2.3, 3.4) if giant else rng.uniform(1.2, 2.3)
    return Look(
        radius=radius,
        stretch=1 + abs(rng.normal(0, 0.2)),
        rough=0.07,
        fringe=rng.uniform(0.01, 0.06),
        shape="none",
        azure=rng.uniform(0.08, 0.2),
        blue=rng.uniform(0.06, 0.16),
        eosin=0.02,
        mottle=0.4,
        rim=-0.5,
        grains=[
            Grain(
                0.13,
                azure=rng.uniform(0.35, 0.75),
                eosin=0.05,
                number=int(rng.uniform(7, 15) * radius**2),
            )
        ],
    )


LOOKS: dict[str, Callable[[Rng], Look]] = {
    "neutrophil": _neutrophil,
    "eosinophil": _eosinophil,
    "basophil": _basophil,
    "lymphocyte": _lymphocyte,
    "monocyte": _monocyte,
    "erythroblast": _erythroblast,
    "immature_granulocyte": _immature,
    "platelet": _platelet,
    "lymphoblast": _lymphoblast,
}

KINDS: tuple[str, ...] = tuple(LOOKS)
"""Types of cell that `draw_cell` accepts."""
