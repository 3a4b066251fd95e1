"""Loader of MLL23: single cells of 18 classes from a leukaemia laboratory."""

from __future__ import annotations

import os

import pandas as pd

from hemafeat.datasets._finish import finish
from hemafeat.datasets._loaders.layout import class_table

MLL23_LABELS = {
    name: name
    for name in (
        "basophil",
        "eosinophil",
        "hairy_cell",
        "lymphocyte",
        "lymphocyte_large_granular",
        "lymphocyte_neoplastic",
        "lymphocyte_reactive",
        "metamyelocyte",
        "monocyte",
        "myeloblast",
        "myelocyte",
        "neutrophil_band",
        "neutrophil_segmented",
        "normoblast",
        "plasma_cell",
        "promyelocyte",
        "promyelocyte_atypical",
        "smudge_cell",
    )
} | {"normoblast": "erythroblast"}
"""Label of each class folder."""

MLL23_UM_PER_PX = 25 / 288
"""Scale: every image shows 25 x 25 um on 288 x 288 px."""


def mll23(root: str | os.PathLike[str]) -> pd.DataFrame:
    """List MLL23: 41,621 single cells of 18 classes, healthy and leukaemic.

    Parameters
    ----------
    root : path
        Any folder above the class folders (``basophil`` ... ``smudge_cell``), each of which is a
        ZIP archive of the record.

    Returns
    -------
    DataFrame
        An image table (see `as_table`). ``label`` is spelt as in `harmonise`: the name of the
        folder, but ``erythroblast`` for ``normoblast``. ``um_per_px`` is 25 / 288. Patients are not
        identified, so a split by patient is impossible.

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
    Source: Zenodo, record 14277609. Its numbers of images contradict each other: 41,621 in its
    table, 41,906 in its readme.

    References
    ----------
    .. [1] Marr lab and Munich Leukemia Laboratory, "MLL23", Scientific Data, 2025;
       doi:10.5281/zenodo.14277609.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hemafeat import datasets
    >>> Path("normoblast").mkdir()
    >>> Path("normoblast/1.tif").touch()  # an empty file in place of an image
    >>> datasets.mll23(".")[["label", "label_raw", "um_per_px"]].round(4)
              label   label_raw  um_per_px
    0  erythroblast  normoblast     0.0868
    """
    table, _, root = class_table(
        "mll23",
        root,
        MLL23_LABELS,
        "class folders basophil, eosinophil ... smudge_cell with *.tif",
        MLL23_UM_PER_PX,
    )
    return finish(table, root)
