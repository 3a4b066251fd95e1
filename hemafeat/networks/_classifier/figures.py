"""Heat maps laid over the cells they are of, with what the network says, as one picture."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hemafeat.networks._classifier.grad_cam import grad_cam
from hemafeat.networks._classifier.network import images_of, predict_images

MOST = 64
"""Cells on one sheet."""


def grad_cam_sheet(
    model: Any,
    images: Any,
    out: str | os.PathLike[str],
    *,
    classes: Sequence[str],
    truth: Sequence[Any] | None = None,
    shown: Any = None,
    layer: str | None = None,
    columns: int = 4,
) -> Path:
    """Write a picture of cells, each beside itself under its heat map.

    Parameters
    ----------
    model : keras.Model
        See `grad_cam`.
    images : (n, H, W, channels) array, or sequence as in `fit_images`
        Cells, of 0 to 255; at most 64.
    out : path
        The picture, a PNG file.
    classes : sequence of str
        Names of the classes, in the order of the outputs.
    truth : (n,) sequence, optional
        Labels of the cells; those that were judged otherwise are marked.
    shown : int or (n,) array of int, optional
        Number of the class whose heat map is drawn; by default the one predicted.
    layer : str, optional
        See `grad_cam`.
    columns : int
        Cells beside each other.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        No cell or too many, or labels of another number.

    Notes
    -----
    A heat map says where the score comes from, not whether that is a good reason. It is as coarse
    as the maps of the layer.
    """
    from matplotlib.figure import Figure

    n = len(images)
    if not 0 < n <= MOST:
        raise ValueError(f"a sheet shows 1 to {MOST} cells, not {n}")
    if truth is not None and len(truth) != n:
        raise ValueError(f"{n} cells and {len(truth)} labels")
    chance = predict_images(model, images)
    if chance.shape[1] != len(classes):
        raise ValueError(f"the network tells {chance.shape[1]} classes apart, not {len(classes)}")
    best = chance.argmax(axis=1)
    drawn = np.broadcast_to(best if shown is None else np.asarray(shown), (n,))
    maps = grad_cam(model, images, classes=drawn, layer=layer)
    columns = min(columns, n)
    rows = math.ceil(n / columns)
    figure = Figure(figsize=(2.9 * columns, 1.95 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for place, axes in enumerate(grid.ravel()):
        axes.set_axis_off()
        if place >= n:
            continue
        cell = np.asarray(images_of(images, np.array([place]))[0])
        axes.imshow(_beside(cell, maps[place]), interpolation="nearest")
        text = f"{classes[best[place]]} {chance[place, best[place]]:.2f}"
        if drawn[place] != best[place]:
            text += f"; map of {classes[drawn[place]]} {chance[place, drawn[place]]:.2f}"
        wrong = truth is not None and str(truth[place]) != str(classes[best[place]])
        if truth is not None:
            text = f"{truth[place]}\n{'judged' if wrong else 'as'} {text}"
        axes.set_title(text, fontsize=8, color="#b03000" if wrong else "black", loc="left")
    out = Path(out)
    figure.savefig(out, dpi=130)
    return out


def _beside(cell: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The cell, and right of it the same under its heat map: (H, 2 W + gap, 3) uint8."""
    from matplotlib import colormaps

    cell = np.clip(cell, 0, 255).astype(np.float32)
    if cell.shape[2] == 1:
        cell = np.repeat(cell, 3, axis=2)
    colour = 255 * colormaps["inferno"](heat)[..., :3]
    # The stronger, the less of the cell is seen: what does not matter stays as it is.
    cover = 0.65 * heat[..., None]
    under = cell * (1 - cover) + colour * cover
    gap = np.full((cell.shape[0], max(1, cell.shape[1] // 40), 3), 255, np.float32)
    return np.concatenate([cell, gap, under], axis=1).astype(np.uint8)


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
