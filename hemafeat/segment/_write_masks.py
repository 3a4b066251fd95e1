"""Write masks as pairs of label images, which `mask_source` finds again."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from hemafeat._files import write_whole
from hemafeat.segment._masks import Masks

_LARGEST = np.iinfo(np.uint16).max


def write_masks(masks: Masks, folder: str | os.PathLike[str], name: str) -> None:
    """Write the labels of cells and of nuclei as two 16-bit PNG files of the same numbers.

    This is what ``hemafeat segment`` writes; the folder is what ``masks=`` and ``--masks`` read.

    Parameters
    ----------
    masks : Masks
        Cells and nuclei. They are written with their `ids`, or if one is above 65,535 with the
        numbers 1 to n.
    folder : path
        Folder to write to: the files lie in its folders ``cell`` and ``nucleus``, which are made
        if they are missing, and replace files of the same name.
    name : str
        Path of the files below these folders, which ends with ``.png``, see
        `hemafeat.datasets.mask_names`.

    Raises
    ------
    ValueError
        There are more than 65,535 cells, or `name` has another suffix or leads out of `folder`.
    OSError
        A file cannot be written.

    Examples
    --------
    >>> from hemafeat import datasets, segment
    >>> drawn = datasets.draw_cell("neutrophil", random_state=0)
    >>> masks = segment.Masks(drawn.cell, drawn.nucleus)
    >>> segment.write_masks(masks, "masks", "neutrophil.png")
    >>> again = segment.read_masks("masks/cell/neutrophil.png", "masks/nucleus/neutrophil.png")
    >>> bool((again.cell == masks.cell).all() and (again.nucleus == masks.nucleus).all())
    True
    """
    below = Path(name)
    if below.suffix.lower() != ".png" or below.is_absolute() or ".." in below.parts:
        raise ValueError(f"{name!r} is no path of a .png file below a folder")
    if masks.n_cells > _LARGEST:
        raise ValueError(f"{masks.n_cells} cells do not fit into a 16-bit label image")
    ids = masks.ids
    if masks.n_cells and int(ids[-1]) > _LARGEST:
        ids = np.arange(1, masks.n_cells + 1)
    numbers = np.concatenate([[0], ids]).astype(np.uint16)
    for part, labels in (("cell", masks.cell), ("nucleus", masks.nucleus)):
        data = cv2.imencode(".png", numbers[labels])[1].tobytes()
        path = Path(folder, part, below)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda beside, data=data: beside.write_bytes(data))  # type: ignore[misc]
