"""Loader of LISC: smear fields of healthy subjects, one type of white cell each."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd

from hemafeat.datasets._catalogue import wrong_folder
from hemafeat.datasets._finish import finish
from hemafeat.datasets._loaders.layout import find_in_class_folders, folder_names
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
"""Label of each folder; fields of several types have none."""

_SUFFIXES = (".bmp", ".jpg", ".png")


def lisc(root: str | os.PathLike[str], *, masks: bool = False) -> pd.DataFrame:
    """List LISC: some 400 smear fields of 720 x 576 px, of 8 healthy subjects.

    Parameters
    ----------
    root : path
        Unpacked folder: ``Main Dataset/{Baso,eosi,lymp,mono,neut,mixt}/1.bmp``,
        ``Ground Truth Segmentation/{class}/areaforexpert1/1_expert.bmp`` and ``More Dataset without
        Ground Truth/alll``.
    masks : bool
        If True, the column ``mask`` lists the areas that an expert drew. Their grey values are not
        documented; inspect some before relying on them.

    Returns
    -------
    DataFrame
        An image table (see `as_table`). ``label`` is missing for fields of mixed types and for
        those without ground truth. Patients are not identified, so a split by patient is
        impossible; the scale is not published.

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
    Source: the site of its first author, for research and education; redistribution is not
    permitted. 250 of the fields have ground truth.

    References
    ----------
    .. [1] S. H. Rezatofighi and H. Soltanian-Zadeh, "Automatic recognition of five types of white
       blood cells in peripheral blood", Computerized Medical Imaging and Graphics 35, 333-343,
       2011.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hemafeat import datasets
    >>> Path("Main Dataset/Baso").mkdir(parents=True)
    >>> Path("Main Dataset/Baso/1.bmp").touch()  # an empty file in place of an image
    >>> datasets.lisc(".")["label"].tolist()
    ['basophil']
    """
    root = folder(root)
    expected = "Main Dataset/{Baso,eosi,lymp,mixt,mono,neut}/*.bmp"
    files = find_in_class_folders("lisc", root, LISC_LABELS, expected, _SUFFIXES)
    cells = [cell for cell in files if not _is_mask(cell.file, root)]
    if not cells:
        raise wrong_folder("lisc", root, expected)
    areas = _areas(root) if masks else {}
    table = pd.DataFrame(
        {
            "image": text(str(cell.file) for cell in cells),
            "label": text(LISC_LABELS[cell.class_name] for cell in cells),
            "label_raw": text(cell.folder for cell in cells),
            "dataset": text("lisc" for _ in cells),
            "mask": text(areas.get((cell.class_name, _number(cell.file))) for cell in cells),
        }
    )
    return finish(table, root)


def _is_mask(file: Path, root: Path) -> bool:
    # Fields without masks lie in "More Dataset without Ground Truth".
    return any(
        part.lower().startswith(("ground truth", "areafor")) for part in folder_names(file, root)
    )


def _areas(root: Path) -> dict[tuple[str, int | None], str]:
    """List the areas that the expert drew, by class and number of the field."""
    siblings = [
        path
        for path in sorted(root.resolve().parent.iterdir())
        if path.is_dir() and path.name.lower().startswith("ground truth")
    ]
    classes = {name.lower(): name for name in LISC_LABELS}
    areas = {}
    for parent in (*siblings, root):
        for file in walk(parent, _SUFFIXES):
            parts = [part.lower() for part in folder_names(file, parent)]
            names = [classes[part] for part in parts if part in classes]
            if names and _is_mask(file, parent):
                areas[(names[-1], _number(file))] = str(file)
    return areas


def _number(file: Path) -> int | None:
    match = re.match(r"\d+", file.stem)
    return int(match.group()) if match else None
