"""Figures of heat maps over cells, and of learning curves."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hemafeat.networks._classifier.grad_cam import grad_cam
from hemafeat.networks._classifier.network import images_of, predict_images

MAX_CELLS = 64
"""Largest number of cells in one figure."""


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
    """Save a figure of cells, each beside a copy under its heat map.

    Parameters
    ----------
    model : keras.Model
        Network; see `grad_cam`.
    images : (n, H, W, channels) array, or sequence as in `fit_images`
        Cells, with values of 0 to 255; at most 64.
    out : path
        PNG file to write.
    classes : sequence of str
        Names of the classes, in the order of the outputs.
    truth : (n,) sequence, optional
        Labels of the cells. Cells with another prediction are marked.
    shown : int or (n,) array of int, optional
        Index of the class whose heat map is drawn. By default it is the predicted class.
    layer : str, optional
        Name of the layer whose maps are used; see `grad_cam`.
    columns : int
        Number of cells in a row of the figure.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    ValueError
        There are no cells or too many, or the numbers of cells and labels differ.

    Notes
    -----
    A heat map shows where the score comes from, not whether that is a good reason. It is as coarse
    as the maps of the layer.

    Examples
    --------
    >>> from hemafeat import datasets, networks
    >>> image = datasets.draw_cell("neutrophil", size=48, random_state=0).image
    >>> model = networks.build("lenet5", 2, input_shape=(48, 48, 3))
    >>> networks.grad_cam_sheet(model, image[None], "maps.png", classes=["a", "b"]).name
    'maps.png'
    """
    from matplotlib.figure import Figure

    n = len(images)
    if not 0 < n <= MAX_CELLS:
        raise ValueError(f"the figure shows 1 to {MAX_CELLS} cells, got {n}")
    if truth is not None and len(truth) != n:
        raise ValueError(f"{n} cells and {len(truth)} labels")
    probabilities = predict_images(model, images)
    if probabilities.shape[1] != len(classes):
        raise ValueError(
            f"the network has {probabilities.shape[1]} classes, but {len(classes)} names are given"
        )
    best = probabilities.argmax(axis=1)
    mapped = np.broadcast_to(best if shown is None else np.asarray(shown), (n,))
    maps = grad_cam(model, images, classes=mapped, layer=layer)
    columns = min(columns, n)
    rows = math.ceil(n / columns)
    figure = Figure(figsize=(2.9 * columns, 1.95 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for i, axes in enumerate(grid.ravel()):
        axes.set_axis_off()
        if i >= n:
            continue
        cell = np.asarray(images_of(images, np.array([i]))[0])
        axes.imshow(_with_heat_map(cell, maps[i]), interpolation="nearest")
        text = f"{classes[best[i]]} {probabilities[i, best[i]]:.2f}"
        if mapped[i] != best[i]:
            text += f"; map of {classes[mapped[i]]} {probabilities[i, mapped[i]]:.2f}"
        wrong = truth is not None and str(truth[i]) != str(classes[best[i]])
        if truth is not None:
            text = f"{truth[i]}\n{'judged' if wrong else 'as'} {text}"
        axes.set_title(text, fontsize=8, color="#b03000" if wrong else "black", loc="left")
    out = Path(out)
    figure.savefig(out, dpi=130)
    return out


def _with_heat_map(cell: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return a cell beside a copy under its heat map, (H, 2 W + gap, 3) uint8."""
    from matplotlib import colormaps

    cell = np.clip(cell, 0, 255).astype(np.float32)
    if cell.shape[2] == 1:
        cell = np.repeat(cell, 3, axis=2)
    colour = 255 * colormaps["inferno"](heat)[..., :3]
    # The map covers the cell in proportion to its strength.
    cover = 0.65 * heat[..., None]
    overlay = cell * (1 - cover) + colour * cover
    gap = np.full((cell.shape[0], max(1, cell.shape[1] // 40), 3), 255, np.float32)
    return np.concatenate([cell, gap, overlay], axis=1).astype(np.uint8)


def learning_curves(history: Any, out: str | os.PathLike[str]) -> Path:
    """Save a figure of loss, accuracy and learning rate over the epochs.

    Parameters
    ----------
    history : DataFrame or list of dict
        Result of `fit_images`, or ``history_`` of a fitted classifier.
    out : path
        Figure to write; the suffix decides the format.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    ValueError
        There is no epoch.

    Examples
    --------
    >>> from hemafeat import networks
    >>> history = [{"loss": 0.7, "accuracy": 0.5, "learning_rate": 1e-3}]
    >>> networks.learning_curves(history, "curves.png").name
    'curves.png'
    """
    import pandas as pd
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    table = pd.DataFrame(history)
    if not len(table):
        raise ValueError("the history has no epoch to draw")
    figure = Figure(figsize=(10.5, 3.2), layout="constrained")
    axes = figure.subplots(1, 3)
    epochs = range(1, len(table) + 1)

    def lines(column: int, names: Sequence[tuple[str, str]], label: str) -> None:
        for name, text in names:
            if name in table:
                axes[column].plot(epochs, table[name], marker=".", label=text)
        axes[column].set(xlabel="epoch", ylabel=label)

    held = "held back"
    lines(0, [("loss", "training"), ("val_loss", held)], "loss")
    shares = [("val_accuracy", held), ("val_balanced_accuracy", f"{held}, balanced")]
    lines(1, [("accuracy", "training"), *shares], "accuracy")
    axes[1].set_ylim(0, 1.02)
    lines(2, [("learning_rate", "rate")], "learning rate")
    axes[2].set_yscale("log")
    phases: list[float] = table["phase"].tolist() if "phase" in table else []
    for column, panel in enumerate(axes):
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.3)
        for epoch in range(1, len(phases)):
            if phases[epoch] != phases[epoch - 1]:
                panel.axvline(epoch + 0.5, color="0.5", linestyle=":")
        if column < 2:
            panel.legend(fontsize="small")
    if "val_loss" in table:
        axes[0].axvline(int(table["val_loss"].to_numpy().argmin()) + 1, color="0.7", zorder=0)
    out = Path(out)
    figure.savefig(out, dpi=110)
    return out
