"""Draw the patients of a cohort: labels, shares of abnormal cells, bag sizes and attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

LABELS = ("reactive", "malignant")
"""Labels of a cohort; the second is the disease."""

ATTRIBUTES = ("sex", "dob", "lymphocyte_count")
"""Attributes of patients."""

_PLAN, _VERSION = 7, 1  # stream of random numbers, and its version
_REFERENCE_YEAR = 2020  # ages are as of the end of this year
_CONCENTRATION = 12.0  # of the beta distribution of the shares of abnormal cells
_SPELLINGS = ("M", "F", "m", "f")


@dataclass(frozen=True)
class CohortPlan:
    """Arguments of a drawn cohort; signals and leaks are 0 for none and 1 for strong ones."""

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
        """Raise a ValueError if a number is out of range."""
        if self.n_patients < 2:
            raise ValueError(f"n_patients is {self.n_patients}; expected at least 2")
        if not 0 < self.ill < 1:
            raise ValueError(f"ill is {self.ill}; expected a share between 0 and 1")
        for value in self.abnormal:
            if not 0 <= value <= 1:
                raise ValueError(f"abnormal is {self.abnormal}; expected two shares from 0 to 1")
        low, high = self.cells
        if not 1 <= low <= high:
            raise ValueError(f"cells is {self.cells}; expected least and most cells of a patient")
        for name in ("leak_size", "leak_format", "leak_stain"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 0 to 1")
        if self.attribute_signal < 0:
            raise ValueError(f"attribute_signal is {self.attribute_signal}; expected 0 or more")
        if not 0 <= self.test < 1:
            raise ValueError(f"test is {self.test}; expected a share from 0 to below 1")
        if self.random_state < 0:
            raise ValueError(f"random_state is {self.random_state}; expected at least 0")


def patients(plan: CohortPlan) -> pd.DataFrame:
    """Draw the patients of a cohort.

    Parameters
    ----------
    plan : CohortPlan
        Arguments of the cohort.

    Returns
    -------
    DataFrame
        One row per patient: ``patient``, ``label``, ``split``, ``n_cells``, ``abnormal_share``
        (the probability of an abnormal cell), ``sex``, ``dob``, ``lymphocyte_count``, ``born`` (the
        year) and ``stained`` (True if the smear is from the batch associated with the disease).
    """
    plan.check()
    rng = np.random.default_rng([plan.random_state, _PLAN, _VERSION])
    n = plan.n_patients
    n_ill = min(max(round(plan.ill * n), 1), n - 1)
    ill = rng.permutation(np.arange(n) < n_ill)
    table = pd.DataFrame({"patient": [f"P{i + 1}" for i in range(n)]})
    table["label"] = np.asarray(LABELS, dtype=object)[ill.astype(int)]
    table["split"] = np.where(_choose(ill, plan.test, rng), "test", "train").astype(object)
    table["n_cells"] = _sizes(ill, plan, rng)
    table["abnormal_share"] = _shares(ill, plan, rng)
    age = np.clip(rng.normal(64 + 10 * plan.attribute_signal * ill, 13), 18, 99)
    count = np.exp(rng.normal(1.9 + 0.5 * plan.attribute_signal * ill, 0.4))
    spelling = rng.choice(4, n, p=(0.46, 0.46, 0.04, 0.04))
    table["sex"] = np.asarray(_SPELLINGS, dtype=object)[spelling]
    born = _REFERENCE_YEAR - age.astype(int)
    table["dob"] = _dates(born, ill, plan.leak_format, rng)
    table["lymphocyte_count"] = np.round(count, 2)
    table["born"] = born
    # Without a leak, half of the patients of each label are from either batch.
    probability = 0.5 + plan.leak_stain * np.where(ill, 0.5, -0.5)
    table["stained"] = rng.random(n) < probability
    return table


def _choose(ill: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Choose the same share of patients of each label."""
    chosen = np.zeros(len(ill), dtype=bool)
    for value in (False, True):
        rows = rng.permutation(np.flatnonzero(ill == value))
        chosen[rows[: round(share * len(rows))]] = True
    return chosen


def _sizes(ill: np.ndarray, plan: CohortPlan, rng: np.random.Generator) -> np.ndarray:
    """Draw numbers of cells with a uniform logarithm; a leak separates the two labels."""
    u = rng.random(len(ill))
    # With a leak of 1, malignant patients have the upper half of the range, others the lower.
    u = (1 - plan.leak_size) * u + plan.leak_size * (u + ill) / 2
    low, high = plan.cells
    return np.round(low * (high / low) ** u).astype(int)


def _shares(ill: np.ndarray, plan: CohortPlan, rng: np.random.Generator) -> np.ndarray:
    mean = np.asarray(plan.abnormal, dtype=float)[ill.astype(int)]
    inside = (mean > 0) & (mean < 1)
    safe = np.where(inside, mean, 0.5)
    shares = rng.beta(_CONCENTRATION * safe, _CONCENTRATION * (1 - safe))
    return np.where(inside, shares, mean)


def _dates(born: np.ndarray, ill: np.ndarray, leak: float, rng: np.random.Generator) -> list[str]:
    """Draw dates ``M/D/YYYY`` or ``DD-MM-YYYY``; a leak makes the latter frequent if not ill."""
    dashed = rng.random(len(born)) < 0.2 + leak * np.where(ill, -0.2, 0.6)
    month, day = rng.integers(1, 13, len(born)), rng.integers(1, 29, len(born))
    return [
        f"{d:02d}-{m:02d}-{y}" if dash else f"{m}/{d}/{y}"
        for dash, d, m, y in zip(dashed, day, month, born, strict=True)
    ]


def true_kinds(n_cells: int, share: float, kinds: Sequence[str], rng: np.random.Generator) -> list:
    """Draw the kind of each cell of a patient; `kinds` are the normal and the abnormal one."""
    return [kinds[int(is_abnormal)] for is_abnormal in rng.random(n_cells) < share]
