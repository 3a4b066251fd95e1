"""LISC: smear fields of healthy people, one white cell type each (Rezatofighi et al. 2011)."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd

from hemafeat.datasets._catalogue import wrong_folder
from hemafeat.datasets._loaders.layout import finished, in_class_folders, parts_of
from hemafeat.datasets._schema import folder, text, walk

LISC_LABELS: dict[str, str | None] = {
    "Baso": "basophil",
    "eosi": "eosinophil",
    "lymp": "lymphocyte",
    "mono": "monocyte",
    "neut": "neutrophil",
    "mixt": None,
    "alll": None,
}
"""Name of each folder, and the label it becomes; fields of several types have none."""

_SUFFIXES = (".bmp", ".jpg", ".png")


def lisc(root: str | os.PathLike[str], *, masks: bool = False) -> pd.DataFrame:
    """List LISC: some 400 smear fields of 720 x 576 px, of 8 healthy people.

    Parameters
    ----------
    root : path
        The folder unpacked: ``Main Dataset/{Baso,eosi,lymp,mono,neut,mixt}/1.bmp``,
        ``Ground Truth Segmentation/{class}/areaforexpert1/1_expert.bmp`` and ``More Dataset without
        Ground Truth/alll``.
    masks : bool
        Whether the areas the expert drew are the column ``mask``. Their greys are not documented:
        look at some before you rely on them.

    Returns
    -------
    DataFrame
        An image table (see `as_table`). ``label`` is missing for fields of mixed types and for
        those without ground truth. No patient is named, so no split is by patient; the scale is not
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
    Source: the site of its first author, for research and education; it may not be passed on. 250
    of the fields have ground truth.

    References
    ----------
    .. [1] S. H. Rezatofighi and H. Soltanian-Zadeh, "Automatic recognition of five types of white
       blood cells in peripheral blood", Computerized Medical Imaging and Graphics 35, 333-343,
       2011.
    """
    root = folder(root)
    expected = "Main Dataset/{Baso,eosi,lymp,mixt,mono,neut}/*.bmp"
    found = in_class_folders("lisc", root, LISC_LABELS, expected, _SUFFIXES)
    cells = [cell for cell in found if not _is_truth(cell.file, root)]
    if not cells:
        raise wrong_folder("lisc", root, expected)
    areas = _areas(root) if masks else {}
    table = pd.DataFrame(
        {
            "image": text(str(cell.file) for cell in cells),
            "label": text(LISC_LABELS[cell.known] for cell in cells),
            "label_raw": text(cell.written for cell in cells),
            "dataset": text("lisc" for _ in cells),
            "mask": text(areas.get((cell.known, _number(cell.file))) for cell in cells),
        }
    )
    return finished(table, root)


def _is_truth(file: Path, root: Path) -> bool:
    # The folder of fields without any is called "More Dataset without Ground Truth".
    return any(
        part.lower().startswith(("ground truth", "areafor")) for part in parts_of(file, root)
    )


def _areas(root: Path) -> dict[tuple[str, int | None], str]:
    """Class and number of a field to the area the expert drew."""
    beside = [
        place
        for place in sorted(root.resolve().parent.iterdir())
        if place.is_dir() and place.name.lower().startswith("ground truth")
    ]
    known = {name.lower(): name for name in LISC_LABELS}
    areas = {}
    for above in (*beside, root):
        for file in walk(above, _SUFFIXES):
            classes = [part.lower() for part in parts_of(file, above) if part.lower() in known]
            if classes and _is_truth(file, above):
                areas[(known[classes[-1]], _number(file))] = str(file)
    return areas


def _number(file: Path) -> int | None:
    found = re.match(r"\d+", file.stem)
    return int(found.group()) if found else None
