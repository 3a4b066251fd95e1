"""Loader of Raabin-WBC: five classes of white cells, with test cells of other microscopes."""

from __future__ import annotations

import os
import re

import pandas as pd

from hemafeat.datasets._finish import finish
from hemafeat.datasets._loaders.layout import class_table, folder_names
from hemafeat.datasets._schema import text

RAABIN_LABELS = {
    "Basophil": "basophil",
    "Eosinophil": "eosinophil",
    "Lymphocyte": "lymphocyte",
    "Monocyte": "monocyte",
    "Neutrophil": "neutrophil",
}
"""Label of each class folder."""

_PARTS = {"train": "train", "testa": "test", "testb": "test_b"}


def raabin(root: str | os.PathLike[str]) -> pd.DataFrame:
    """List Raabin-WBC: some 16,600 cropped cells of 5 classes on which two experts agreed.

    Parameters
    ----------
    root : path
        Folder with ``Train``, ``TestA`` and ``TestB``, of which some may be missing, each with
        folders ``Basophil`` ... ``Neutrophil``.

    Returns
    -------
    DataFrame
        An image table (see `as_table`). ``split`` is ``train``, ``test`` (``TestA``) or ``test_b``,
        according to the innermost such folder; ``test_b`` comes from another microscope and camera
        and lacks two classes. Patients are not identified, so a split by patient is impossible; the
        scale is not published.

    Warns
    -----
    DatasetWarning
        Issued if images in other folders are skipped.

    Raises
    ------
    DatasetError
        Raised if there is no class folder with images.

    Notes
    -----
    Source: raabindata.com/free-data, "Cropped double labeled" (two RAR archives and a ZIP); free to
    use, without a formal licence. 10,175 cells are for training. Augmented versions of these cells
    are in circulation and must not be used in a comparison.

    References
    ----------
    .. [1] Z. M. Kouzehkanan et al., "A large dataset of white blood cells containing cell locations
       and types, along with segmented nuclei and cytoplasm", Scientific Reports 12, 1123, 2022.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hemafeat import datasets
    >>> for name in ("Train/Basophil/1.jpg", "TestB/Monocyte/2.jpg"):  # in place of images
    ...     Path(name).parent.mkdir(parents=True)
    ...     Path(name).touch()
    >>> datasets.raabin(".")[["label", "split"]]
          label   split
    0  monocyte  test_b
    1  basophil   train
    """
    table, cells, root = class_table(
        "raabin",
        root,
        RAABIN_LABELS,
        "Train, TestA and TestB with class folders Basophil ... Neutrophil",
    )
    splits = []
    for cell in cells:
        words = [re.sub(r"[^a-z]", "", part.lower()) for part in folder_names(cell.file, root)]
        splits.append(next((_PARTS[word] for word in reversed(words) if word in _PARTS), None))
    table["split"] = text(splits)
    return finish(table, root)
