"""How a training went, as a picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def learning_curves(history: Any, out: str | os.PathLike[str]) -> Path:
    """Draw loss, accuracy and rate of every epoch.

    Parameters
    ----------
    history : DataFrame or list of dict
        What `fit_images` gives, or ``history_`` of a fitted classifier.
    out : path
        A picture; the suffix says which kind.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        There is no epoch.
    """
    import pandas as pd
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    table = pd.DataFrame(history)
    if not len(table):
        raise ValueError("there is no epoch to draw")
    figure = Figure(figsize=(10.5, 3.2), layout="constrained")
    axes = figure.subplots(1, 3)
    epochs = range(1, len(table) + 1)

    def lines(place: int, names: Sequence[tuple[str, str]], label: str) -> None:
        for name, words in names:
            if name in table:
                axes[place].plot(epochs, table[name], marker=".", label=words)
        axes[place].set(xlabel="epoch", ylabel=label)

    held = "held back"
    lines(0, [("loss", "learned from"), ("val_loss", held)], "loss")
    shares = [("val_accuracy", held), ("val_balanced_accuracy", f"{held}, balanced")]
    lines(1, [("accuracy", "learned from"), *shares], "accuracy")
    axes[1].set_ylim(0, 1.02)
    lines(2, [("learning_rate", "rate")], "learning rate")
    axes[2].set_yscale("log")
    phases: list[float] = table["phase"].tolist() if "phase" in table else []
    for place, one in enumerate(axes):
        one.xaxis.set_major_locator(MaxNLocator(integer=True))
        one.grid(alpha=0.3)
        for epoch in range(1, len(phases)):
            if phases[epoch] != phases[epoch - 1]:
                one.axvline(epoch + 0.5, color="0.5", linestyle=":")
        if place < 2:
            one.legend(fontsize="small")
    if "val_loss" in table:
        axes[0].axvline(int(table["val_loss"].to_numpy().argmin()) + 1, color="0.7", zorder=0)
    out = Path(out)
    figure.savefig(out, dpi=110)
    return out
