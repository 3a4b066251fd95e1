"""Who is in a drawn cohort: verdict, share of abnormal cells, bag size, attributes, leaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

LABELS = ("reactive", "malignant")
"""Labels of a drawn cohort; the second is the disease."""

ATTRIBUTES = ("sex", "dob", "lymphocyte_count")
"""What is known of a patient beside the cells."""

_PLAN, _EDITION = 7, 1  # a stream of random numbers of its own, and its edition
_TODAY = 2020  # ages are as of the end of this year
_CLOSENESS = 12.0  # how alike the shares of two patients of one label are
_SPELLINGS = ("M", "F", "m", "f")


@dataclass(frozen=True)
class CohortPlan:
    """What was asked for; every leak and signal is 0 for none and 1 for a strong one."""

    n_patients: int
    ill: float
    abnormal: tuple[float, float]
    cells: tuple[int, int]
    attribute_signal: float
    leak_size: float
    leak_format: float
    leak_stain: float
    test: float
    random_state: int

    def check(self) -> None:
        """Raise ValueError for a number out of range."""
        if self.n_patients < 2:
            raise ValueError(f"n_patients is {self.n_patients}, expected at least 2")
        if not 0 < self.ill < 1:
            raise ValueError(f"ill is {self.ill}, expected a share between 0 and 1")
        for value in self.abnormal:
            if not 0 <= value <= 1:
                raise ValueError(f"abnormal is {self.abnormal}, expected two shares from 0 to 1")
        low, high = self.cells
        if not 1 <= low <= high:
            raise ValueError(f"cells is {self.cells}, expected least and most cells of a patient")
        for name in ("leak_size", "leak_format", "leak_stain"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 to 1")
        if self.attribute_signal < 0:
            raise ValueError(f"attribute_signal is {self.attribute_signal}, expected 0 or more")
        if not 0 <= self.test < 1:
            raise ValueError(f"test is {self.test}, expected a share from 0 to below 1")
        if self.random_state < 0:
            raise ValueError(f"random_state is {self.random_state}, expected at least 0")


def patients(plan: CohortPlan) -> pd.DataFrame:
    """Everybody in the cohort.

    Returns
    -------
    DataFrame
        One row per patient: ``patient``, ``label``, ``split``, ``n_cells``, ``abnormal_share``
        (what the cells are drawn with), ``sex``, ``dob``, ``lymphocyte_count``, ``born`` (the year)
        and ``stained`` (whether the smear is of the batch that goes with the disease).
    """
    plan.check()
    rng = np.random.default_rng([plan.random_state, _PLAN, _EDITION])
    n = plan.n_patients
    n_ill = min(max(round(plan.ill * n), 1), n - 1)
    ill = rng.permutation(np.arange(n) < n_ill)
    out = pd.DataFrame({"patient": [f"P{i + 1}" for i in range(n)]})
    out["label"] = np.asarray(LABELS, dtype=object)[ill.astype(int)]
    out["split"] = np.where(_chosen(ill, plan.test, rng), "test", "train").astype(object)
    out["n_cells"] = _sizes(ill, plan, rng)
    out["abnormal_share"] = _shares(ill, plan, rng)
    age = np.clip(rng.normal(64 + 10 * plan.attribute_signal * ill, 13), 18, 99)
    count = np.exp(rng.normal(1.9 + 0.5 * plan.attribute_signal * ill, 0.4))
    out["sex"] = np.asarray(_SPELLINGS, dtype=object)[rng.choice(4, n, p=(0.46, 0.46, 0.04, 0.04))]
    born = _TODAY - age.astype(int)
    out["dob"] = _dates(born, ill, plan.leak_format, rng)
    out["lymphocyte_count"] = np.round(count, 2)
    out["born"] = born
    # Without a leak half of the patients of either label are of one batch.
    odds = 0.5 + plan.leak_stain * np.where(ill, 0.5, -0.5)
    out["stained"] = rng.random(n) < odds
    return out


def _chosen(ill: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """So many of each label for the test part."""
    out = np.zeros(len(ill), dtype=bool)
    for value in (False, True):
        rows = rng.permutation(np.flatnonzero(ill == value))
        out[rows[: round(share * len(rows))]] = True
    return out


def _sizes(ill: np.ndarray, plan: CohortPlan, rng: np.random.Generator) -> np.ndarray:
    """Numbers of cells, evenly spread in the logarithm; the leak parts the two labels."""
    u = rng.random(len(ill))
    # With a leak of 1 the ill have the upper half of the numbers and the others the lower.
    u = (1 - plan.leak_size) * u + plan.leak_size * (u + ill) / 2
    low, high = plan.cells
    return np.round(low * (high / low) ** u).astype(int)


def _shares(ill: np.ndarray, plan: CohortPlan, rng: np.random.Generator) -> np.ndarray:
    mean = np.asarray(plan.abnormal, dtype=float)[ill.astype(int)]
    inside = (mean > 0) & (mean < 1)
    safe = np.where(inside, mean, 0.5)
    drawn = rng.beta(_CLOSENESS * safe, _CLOSENESS * (1 - safe))
    return np.where(inside, drawn, mean)


def _dates(born: np.ndarray, ill: np.ndarray, leak: float, rng: np.random.Generator) -> list[str]:
    """``M/D/YYYY``, or ``DD-MM-YYYY`` for some, with a leak for those who are not ill."""
    dashed = rng.random(len(born)) < 0.2 + leak * np.where(ill, -0.2, 0.6)
    month, day = rng.integers(1, 13, len(born)), rng.integers(1, 29, len(born))
    return [
        f"{d:02d}-{m:02d}-{y}" if dash else f"{m}/{d}/{y}"
        for dash, d, m, y in zip(dashed, day, month, born, strict=True)
    ]


def true_kinds(n_cells: int, share: float, kinds: Sequence[str], rng: np.random.Generator) -> list:
    """The kind of each cell of a patient: `kinds` are the ordinary and the abnormal one."""
    return [kinds[int(one)] for one in rng.random(n_cells) < share]
