"""Pictures of what a recipe trained: learning curves, heat maps, and a map of the cells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemafeat import evaluate, extract, networks, pipelines, report

N_CELLS = 16
"""Cells whose heat map is drawn: those that were judged wrongly first."""

N_MAPPED = 1500
"""Most cells on the map."""


def training_figures(
    comparison: evaluate.Comparison, folder: Path
) -> Iterator[tuple[str, str, Path]]:
    """Draw the training of each network, and where it looks.

    Parameters
    ----------
    comparison : Comparison
        With the fitted models.
    folder : Path
        Folder for the figures.

    Yields
    ------
    (str, str, Path)
        Model, caption and file. Nothing is drawn of models without a training history.
    """
    folds = list(dict.fromkeys(comparison.predictions["fold"]))
    for name, models in comparison.fitted.items():
        model, fold = models[-1], folds[-1]
        if not hasattr(model, "history_"):
            continue
        folder.mkdir(parents=True, exist_ok=True)
        curves = networks.learning_curves(model.history_, folder / f"{name}_training.svg")
        yield name, f"training of {name}, fold {fold}", curves
        cells = _wrong_first(comparison, name, fold)
        if not (hasattr(model, "network_") and hasattr(model, "images")) or cells.empty:
            continue  # such as a network of bags
        try:
            sheet = networks.grad_cam_sheet(
                model.network_,
                model.images(cells[["image"]]),
                folder / f"{name}_heat.png",
                classes=[str(label) for label in model.classes_],
                truth=list(cells["truth"]),
            )
        except ValueError:  # a network without a convolution, or with one output for two classes
            continue
        yield name, f"where the score of {name} comes from, wrong cells first", sheet


def _wrong_first(comparison: evaluate.Comparison, name: str, fold: Any) -> pd.DataFrame:
    rows = comparison.predictions
    rows = rows[(rows["model"] == name) & (rows["fold"] == fold)]
    wrong = (rows["truth"] != rows["predicted"]).to_numpy()
    return rows.iloc[np.argsort(~wrong, kind="stable")].head(N_CELLS)


def cell_map(table: pd.DataFrame, columns: list[str], out: Path, random_state: int) -> Path | None:
    """Draw a map of the cells by their features, or by the grey pixels of the images.

    Parameters
    ----------
    table : DataFrame
        Cells with features, or images.
    columns : list of str
        Columns of features; if there are none, the grey pixels are used.
    out : Path
        File to write.
    random_state : int
        Seed of the map and of the cells that are drawn.

    Returns
    -------
    Path or None
        `out`, or None if there are too few cells for a map.
    """
    if len(table) < 10:
        return None
    vectors: Any = pipelines.GreyPixels(256, 64)
    if columns and columns == extract.feature_columns(table):
        vectors = None
    elif columns:
        vectors = table[columns].to_numpy(float)
    figure = report.figure_map(table, vectors=vectors, n=N_MAPPED, random_state=random_state)
    figure.savefig(out, metadata={"Date": None})
    return out
