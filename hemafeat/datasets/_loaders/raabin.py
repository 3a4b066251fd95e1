"""Raabin-WBC: five classes of white cells, with test cells of other microscopes."""

from __future__ import annotations

import os
import re

import pandas as pd

from hemafeat.datasets._loaders.layout import class_table, finished, parts_of
from hemafeat.datasets._schema import text

RAABIN_LABELS = {
    "Basophil": "basophil",
    "Eosinophil": "eosinophil",
    "Lymphocyte": "lymphocyte",
    "Monocyte": "monocyte",
    "Neutrophil": "neutrophil",
}
"""Name of each class folder, and the label it becomes."""

_PARTS = {"train": "train", "testa": "test", "testb": "test_b"}


def raabin(root: str | os.PathLike[str]) -> pd.DataFrame:
    """List Raabin-WBC, the cropped cells that two experts agreed on: some 16,600 of 5 classes.

    Parameters
    ----------
    root : path
        The folder with ``Train``, ``TestA`` and ``TestB`` (any part of them will do), which hold
        ``Basophil`` ... ``Neutrophil``.

    Returns
    -------
    DataFrame
        An image table (see `as_table`). ``split`` is ``train``, ``test`` (``TestA``) or ``test_b``,
        as the innermost folder that says so; ``test_b`` comes from another microscope and camera
        and lacks two classes. No patient is named, so no split is by patient; the scale is not
        published.

    Warns
    -----
    DatasetWarning
        Images lie in other folders and are left out.

    Raises
    ------
    DatasetError
        No class folder with images is found.

    Notes
    -----
    Source: raabindata.com/free-data, "Cropped double labeled" (two RAR archives and a ZIP); free to
    use, without a formal licence. 10,175 cells are for training. Augmented copies of them go
    around: those have no place in a comparison.

    References
    ----------
    .. [1] Z. M. Kouzehkanan et al., "A large dataset of white blood cells containing cell locations
       and types, along with segmented nuclei and cytoplasm", Scientific Reports 12, 1123, 2022.
    """
    table, cells, root = class_table(
        "raabin",
        root,
        RAABIN_LABELS,
        "Train, TestA and TestB with class folders Basophil ... Neutrophil",
    )
    splits = []
    for cell in cells:
        words = [re.sub(r"[^a-z]", "", part.lower()) for part in parts_of(cell.file, root)]
        splits.append(next((_PARTS[word] for word in reversed(words) if word in _PARTS), None))
    table["split"] = text(splits)
    return finished(table, root)
