"""Single cells of 100 patients with acute myeloid leukaemia and 100 without (Matek et al. 2019)."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from hemafeat.datasets._loaders.layout import class_table, finished
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
"""Name of each class folder, and the label it becomes. MYB is the myelocyte, MYO the myeloblast."""

_NOTHING = {"", "nan", "-", "none", "na"}


def aml_lmu(root: str | os.PathLike[str]) -> pd.DataFrame:
    """List AML-Cytomorphology_LMU: 18,365 single cells of 15 classes.

    Parameters
    ----------
    root : path
        The folder unpacked, or any folder above the class folders (``BAS`` ... ``PMO``), with
        ``annotations.dat`` beside or above them.

    Returns
    -------
    DataFrame
        An image table (see `as_table`). ``label`` is the name of `harmonise`, ``label_raw`` the
        three letters. Attributes ``second_label`` and ``third_label``: what the first and the
        second examiner who looked again saw, as a label; missing where nobody did, and everywhere
        without ``annotations.dat``. No patient is named, so no split is by patient.

    Raises
    ------
    DatasetError
        No class folder with images is found, or ``annotations.dat`` names a class that is none.

    Notes
    -----
    Source: The Cancer Imaging Archive, doi:10.7937/tcia.2019.36f5o9ld; CC BY 3.0. 100 patients with
    AML, 100 without. TIFFs of 400 x 400 px with an alpha channel that says nothing; they show some
    29 x 29 um, but the exact scale is not stated, so ``um_per_px`` is missing. Classes are uneven:
    8,484 segmented neutrophils, 11 atypical lymphocytes.

    References
    ----------
    .. [1] C. Matek et al., "Human-level recognition of blast cells in acute myeloid leukaemia with
       convolutional neural networks", Nature Machine Intelligence 1, 538-544, 2019.
    """
    table, cells, root = class_table(
        "aml_lmu", root, AML_LMU_LABELS, "class folders BAS, EBO ... PMO with *.tiff"
    )
    again = _annotations(root)
    for place, column in enumerate(("second_label", "third_label")):
        table[column] = text(
            again.get(cell.file.name.lower(), (None, None))[place] for cell in cells
        )
    return finished(table, root, ("second_label", "third_label"))


def _annotations(root: Path) -> dict[str, tuple[str | None, str | None]]:
    """File name in lower case to the labels of those who looked again."""
    files = walk(root, ("annotations.dat",)) or [root.parent / "annotations.dat"]
    if not files[0].is_file():
        return {}
    found = {}
    for line in files[0].read_text("utf-8-sig", errors="replace").splitlines():
        words = line.replace(",", " ").split()
        if not words or not words[0].lower().endswith((".tif", ".tiff")):
            continue
        again = [_label(word, files[0]) for word in (*words[2:4], "", "")][:2]
        found[words[0].replace("\\", "/").rsplit("/", 1)[-1].lower()] = (again[0], again[1])
    return found


def _label(word: str, path: Path) -> str | None:
    if word.lower() in _NOTHING:
        return None
    if word.upper() not in AML_LMU_LABELS:
        raise DatasetError(
            f"{path} names the class {word!r}; there are: {', '.join(AML_LMU_LABELS)}"
        )
    return AML_LMU_LABELS[word.upper()]
