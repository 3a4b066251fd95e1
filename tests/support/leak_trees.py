"""Make small data sets without leaks, into which tests plant leaks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

GROUND = (228, 214, 232)


def cell(seed: int, height: int = 48, width: int = 48, ground: tuple = GROUND) -> np.ndarray:
    """Return an image, (H, W, 3) uint8, of a cell with random structure and a noisy background."""
    rng = np.random.default_rng(seed)
    rough = rng.uniform(-60, 60, (9, 9)).astype(np.float32)
    structure = cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[:height, :width]
    angle = np.arctan2(y - height / 2, x - width / 2)
    reach = 0.32 * min(height, width) * (1 + 0.2 * np.cos(3 * angle + rng.uniform(0, 6)))
    disc = np.hypot(y - height / 2, x - width / 2) < reach
    inside = np.array((120, 80, 150)) + structure[..., None]
    image = np.where(disc[..., None], inside, np.array(ground)) + rng.normal(
        0, 2, (height, width, 1)
    )
    return np.clip(image, 0, 255).astype(np.uint8)


def write(path: Path, image: np.ndarray) -> str:
    """Save an RGB image, create its folders if necessary, and return the path as text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return str(path)


def tree(root: Path, n: int = 80, seed: int = 0, **look: object) -> pd.DataFrame:
    """Write `n` cells of two classes and list them; nothing but the cell depends on the label.

    `look` may contain functions of (index, label) for ``height``, ``ground`` and ``name``.
    """
    rng = np.random.default_rng(seed)
    label = np.array(["blast", "normal"])[rng.permutation(np.arange(n) % 2)]
    rows = []
    for index in range(n):
        of = {key: give(index, label[index]) for key, give in look.items()}  # type: ignore[operator]
        image = cell(1000 * seed + index, of.get("height", 48), 48, of.get("ground", GROUND))
        name = of.get("name", f"cell_{int(rng.integers(10**6, 10**7))}")
        rows.append((write(root / f"{name}.png", image), label[index]))
    return pd.DataFrame(rows, columns=["image", "label"])


def listed(n_patients: int = 40, seed: int = 0, sizes: object = None) -> pd.DataFrame:
    """List images that need not exist, of patients of one class; no attribute predicts it."""
    rng = np.random.default_rng(seed)
    label = np.array(["malignant", "reactive"])[rng.permutation(np.arange(n_patients) % 2)]
    rows = []
    for patient in range(n_patients):
        n = int(rng.integers(3, 9)) if sizes is None else sizes(label[patient])  # type: ignore
        day, month, year = rng.integers(1, 28), rng.integers(1, 12), rng.integers(1930, 1990)
        shared = {
            "label": label[patient],
            "patient": f"P{patient}",
            "age": float(rng.integers(30, 90)),
            "sex": "MF"[int(rng.integers(2))],
            "born": f"{day}/{month}/{year}",
        }
        for _ in range(n):
            rows.append({"image": f"nowhere/{int(rng.integers(10**6, 10**7))}.png", **shared})
    return pd.DataFrame(rows).drop_duplicates("image")
