"""Tables of cells with known truth, made on the spot."""

from __future__ import annotations

import numpy as np
import pandas as pd

QUICK = {"n_boot": 50, "importance": False}


def cells(n=150, n_groups=30, signal=1.5, seed=0, n_classes=3):
    """A table of cells of some patients; one column of the nucleus carries the class."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    patient = rng.permutation(np.arange(n) % n_groups)
    frame = pd.DataFrame(
        rng.normal(size=(n, 6)),
        columns=[
            *("nucleus__shape__area", "nucleus__shape__perimeter", "nucleus__lbp__a"),
            *("cell__shape__area", "cell__lbp__a", "cell__lbp__b"),
        ],
    )
    frame["nucleus__shape__area"] += signal * y
    frame.insert(0, "image", [f"c/{i:04d}.png" for i in range(n)])
    frame.insert(1, "cell", 1)
    frame.insert(2, "label", np.array(["a", "b", "c", "d"])[y])
    frame.insert(3, "patient", [f"P{p}" for p in patient])
    frame.insert(4, "group", frame["patient"])
    return frame


def memorised(n=240, n_groups=24, seed=1, spread=8.0):
    """Cells whose label follows the patient, and whose features give the patient away."""
    rng = np.random.default_rng(seed)
    table = cells(n=n, n_groups=n_groups, signal=0)
    kind = rng.permutation(np.arange(n_groups) % 3)
    number = table["patient"].str[1:].astype(int).to_numpy()
    table["label"] = np.array(["a", "b", "c"])[kind[number]]
    features = [name for name in table if name.count("__") == 2]
    table[features] += rng.normal(0, spread, (n_groups, 6))[number]
    return table
