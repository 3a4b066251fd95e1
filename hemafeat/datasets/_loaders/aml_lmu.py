"""Loader of AML-Cytomorphology_LMU: cells of patients with and without acute myeloid leukaemia."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from hemafeat.datasets._finish import finish
from hemafeat.datasets._loaders.layout import class_table
from hemafeat.datasets._schema import DatasetError, text, walk

AML_LMU_LABELS = {
    "BAS": "basophil",
    "EBO": "erythroblast",
    "EOS": "eosinophil",
    "KSC": "smudge_cell",
    "LYA": "lymphocyte_atypical",
    "LYT": "lymphocyte",
    "MMZ": "metamyelocyte",
    "MOB": "monoblast",
    "MON": "monocyte",
    "MYB": "myelocyte",
    "MYO": "myeloblast",
    "NGB": "neutrophil_band",
    "NGS": "neutrophil_segmented",
    "PMB": "promyelocyte_bilobed",
    "PMO": "promyelocyte",
}
"""Label of each class folder. MYB is the myelocyte, MYO the myeloblast."""

_MISSING = {"", "nan", "-", "none", "na"}


def aml_lmu(root: str | os.PathLike[str]) -> pd.DataFrame:
    """List AML-Cytomorphology_LMU: 18,365 single cells of 15 classes.

    Parameters
    ----------
    root : path
        Unpacked folder, or any folder above the class folders (``BAS`` ... ``PMO``), with
        ``annotations.dat`` beside or above them.

    Returns
    -------
    DataFrame
        An image table (see `as_table`). ``label`` is spelt as in `harmonise`, ``label_raw`` is the
        three-letter code. The attributes ``second_label`` and ``third_label`` are the labels of the
        two re-annotations, missing for cells that were not re-annotated and for all cells without
        ``annotations.dat``. Patients are not identified, so a split by patient is impossible.

    Raises
    ------
    DatasetError
        Raised if there is no class folder with images, or if ``annotations.dat`` names an unknown
        class.

    Notes
    -----
    Source: The Cancer Imaging Archive, doi:10.7937/tcia.2019.36f5o9ld; CC BY 3.0. 100 patients with
    AML, 100 without. TIFF files of 400 x 400 px with an uninformative alpha channel. They cover
    about 29 x 29 um, but the exact scale is not published, so ``um_per_px`` is missing. Classes are
    imbalanced: 8,484 segmented neutrophils, 11 atypical lymphocytes.

    References
    ----------
    .. [1] C. Matek et al., "Human-level recognition of blast cells in acute myeloid leukaemia with
       convolutional neural networks", Nature Machine Intelligence 1, 538-544, 2019.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hemafeat import datasets
    >>> Path("MYO").mkdir()
    >>> Path("MYO/MYO_0001.tiff").touch()  # an empty file in place of an image
    >>> datasets.aml_lmu(".")[["label", "label_raw"]]
            label label_raw
    0  myeloblast       MYO
    """
    table, cells, root = class_table(
        "aml_lmu", root, AML_LMU_LABELS, "class folders BAS, EBO ... PMO with *.tiff"
    )
    annotations = _annotations(root)
    for index, column in enumerate(("second_label", "third_label")):
        table[column] = text(
            annotations.get(cell.file.name.lower(), (None, None))[index] for cell in cells
        )
    return finish(table, root, ("second_label", "third_label"))


def _annotations(root: Path) -> dict[str, tuple[str | None, str | None]]:
    """Read the labels of the two re-annotations, by file name in lower case."""
    files = walk(root, ("annotations.dat",)) or [root.parent / "annotations.dat"]
    if not files[0].is_file():
        return {}
    annotations = {}
    for line in files[0].read_text("utf-8-sig", errors="replace").splitlines():
        words = line.replace(",", " ").split()
        if not words or not words[0].lower().endswith((".tif", ".tiff")):
            continue
        second, third = [_label(word, files[0]) for word in (*words[2:4], "", "")][:2]
        annotations[words[0].replace("\\", "/").rsplit("/", 1)[-1].lower()] = (second, third)
    return annotations


def _label(word: str, path: Path) -> str | None:
    if word.lower() in _MISSING:
        return None
    if word.upper() not in AML_LMU_LABELS:
        raise DatasetError(
            f"{path} names the unknown class {word!r}; expected one of {', '.join(AML_LMU_LABELS)}"
        )
    return AML_LMU_LABELS[word.upper()]
