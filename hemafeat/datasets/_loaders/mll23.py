"""MLL23: single cells of 18 classes from a leukaemia laboratory (2025)."""

from __future__ import annotations

import os

import pandas as pd

from hemafeat.datasets._loaders.layout import class_table, finished

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
"""Name of each class folder, and the label it becomes."""

MLL23_UM_PER_PX = 25 / 288
"""Every picture shows 25 x 25 um on 288 x 288 px."""


def mll23(root: str | os.PathLike[str]) -> pd.DataFrame:
    """List MLL23: 41,621 single cells of 18 classes, healthy and leukaemic.

    Parameters
    ----------
    root : path
        Any folder above the class folders (``basophil`` ... ``smudge_cell``); its record gives one
        ZIP for each.

    Returns
    -------
    DataFrame
        An image table (see `as_table`). ``label`` is the name of `harmonise`: the folder's, with
        ``normoblast`` as ``erythroblast``. ``um_per_px`` is 25 / 288. No patient is named, so no
        split is by patient.

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
    Source: Zenodo, record 14277609. The counts that come with it do not agree with each other
    (41,621 by its table, 41,906 by its readme); nothing here relies on them.

    References
    ----------
    .. [1] Marr lab and Munich Leukemia Laboratory, "MLL23", Scientific Data, 2025;
       doi:10.5281/zenodo.14277609.
    """
    table, _, root = class_table(
        "mll23",
        root,
        MLL23_LABELS,
        "class folders basophil, eosinophil ... smudge_cell with *.tif",
        MLL23_UM_PER_PX,
    )
    return finished(table, root)
