"""Loader of C-NMC 2019: leukaemic and normal lymphoid cells on a black background."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from PIL import Image

from hemafeat.datasets._catalogue import wrong_folder
from hemafeat.datasets._finish import finish
from hemafeat.datasets._schema import DatasetError, folder, text, walk

CNMC_SIZE = 450
"""Height and width of every cell, in px; larger images of the final phase have it at the centre."""

_NAME = re.compile(r"UID_(H?\d+)_(\d+)_(\d+)_(all|hem)", re.IGNORECASE)
_CLASSES = {"1": "all", "0": "hem"}
_PHASES = {
    "train": "train",
    "prelim": "preliminary",
    "validation": "preliminary",
    "final": "final",
    "testing": "final",
}
"""Phase by words in folder names of the archive and its mirrors."""

_HEADER = ["Patient_ID", "new_names", "labels"]


class _Cell(NamedTuple):
    label: str | None
    label_raw: str | None
    patient: str | None
    split: str | None
    fold: str | None


def cnmc(root: str | os.PathLike[str]) -> pd.DataFrame:
    """List C-NMC 2019: 15,114 cells of 118 subjects, acute lymphoblastic leukaemia or normal.

    Parameters
    ----------
    root : path
        Unpacked folder, or any part of it, with any names and nesting of folders: training cells
        ``UID_{subject}_{image}_{cell}_{all|hem}.bmp``, numbered cells of the preliminary phase with
        the CSV file of their original names, and numbered cells of the final phase.

    Returns
    -------
    DataFrame
        An image table (see `as_table`). ``label`` is ``all`` or ``hem``; ``patient`` the subject,
        in capitals (``H3`` and ``h3`` are one person), which is also the ``group``; ``split`` is
        ``train``, ``preliminary`` or ``final``, according to the folders, and the attribute
        ``fold`` the official fold of a training cell. Cells of the final phase have neither label
        nor patient. All cells of a subject have the same class, so only a split by patient gives a
        meaningful score.

        Some images of the final phase are 600 x 600 px. Their ``image`` ends in
        ``#xywh=75,75,450,450``, so that `hemafeat.images.read` returns the central 450 x 450 px
        that the organisers prescribe (their 76:525 counts from one and includes both ends).

    Raises
    ------
    DatasetError
        Raised if there is no cell, if the CSV file of the preliminary cells is missing or does not
        list one of them, or if a file name contradicts its folder.

    Notes
    -----
    Source: The Cancer Imaging Archive, doi:10.7937/tcia.2019.dc64i46r; CC BY 3.0. Leukaemic and
    normal cells: 2,397 and 1,130, 2,418 and 1,163, 2,457 and 1,096 in the three folds, of 47 and 26
    subjects; 1,219 and 648 in the preliminary phase, of 13 and 15 other subjects; 2,586 in the
    final phase, unlabelled. The challenge scores by weighted F1.

    References
    ----------
    .. [1] A. Gupta and R. Gupta (eds.), "ISBI 2019 C-NMC Challenge: Classification in Cancer Cell
       Imaging", Springer, 2019; doi:10.7937/tcia.2019.dc64i46r.

    Examples
    --------
    >>> from pathlib import Path
    >>> import cv2
    >>> from hemafeat import datasets
    >>> Path("fold_0/all").mkdir(parents=True)
    >>> cell = datasets.draw_cell("lymphoblast", random_state=0)
    >>> cv2.imwrite("fold_0/all/UID_11_2_1_all.bmp", cell.image)
    True
    >>> datasets.cnmc(".")[["label", "patient", "split", "fold"]]
      label patient  split fold
    0   all      11  train    0
    """
    root = folder(root)
    original_names = _original_names(root)
    images, cells = [], []
    for file in walk(root, (".bmp",)):
        cell = _cell(file, root, original_names)
        if cell is not None:
            images.append(_crop_to_centre(file) if cell.split == "final" else str(file))
            cells.append(cell)
    if not cells:
        raise wrong_folder("cnmc", root, "files such as UID_1_1_1_all.bmp")
    table = pd.DataFrame({"image": text(images)})
    for column in _Cell._fields:
        table[column] = text(getattr(cell, column) for cell in cells)
    table["dataset"] = text("cnmc" for _ in cells)
    return finish(table, root)


def _cell(file: Path, root: Path, original_names: dict[str, tuple[str, str]]) -> _Cell | None:
    parts = [part.lower() for part in (root.name, *file.relative_to(root).parts[:-1])]
    match = _NAME.fullmatch(file.stem)
    if match:
        label = match.group(4).lower()
        if parts[-1] in ("all", "hem") and parts[-1] != label:
            raise DatasetError(f"{file} is named {label!r} but lies in the folder {parts[-1]!r}")
        fold = next((part[5:] for part in reversed(parts) if re.fullmatch(r"fold_\d", part)), None)
        split = _phase(parts) or ("train" if fold else None)
        return _Cell(label, match.group(4), match.group(1).upper(), split, fold)
    if not re.fullmatch(r"\d+", file.stem):
        return None
    if _phase(parts) == "final":
        return _Cell(None, None, None, "final", None)
    if not original_names:
        raise DatasetError(
            f"the patient of {file} is unknown: expected a CSV file with the columns "
            f"{','.join(_HEADER)} (C-NMC_test_prelim_phase_data_labels.csv) below {root}"
        )
    if file.name.lower() not in original_names:
        raise DatasetError(f"{file} is not among the {len(original_names)} images of the CSV file")
    original_name, label_raw = original_names[file.name.lower()]
    match = _NAME.fullmatch(Path(original_name).stem)
    label = _CLASSES.get(label_raw)
    if match is None or label != match.group(4).lower():
        raise DatasetError(
            f"{file}: the CSV file lists the name {original_name!r} with label {label_raw!r}; "
            "expected UID_..._all.bmp with 1 or UID_..._hem.bmp with 0"
        )
    return _Cell(label, label_raw, match.group(1).upper(), "preliminary", None)


def _phase(parts: list[str]) -> str | None:
    """Return the phase according to the innermost folder that names one."""
    for part in reversed(parts):
        for word, phase in _PHASES.items():
            if word in part:
                return phase
    return None


def _original_names(root: Path) -> dict[str, tuple[str, str]]:
    """Read original name and label of each preliminary image, by its file name in lower case."""
    for file in walk(root, (".csv",)):
        with open(file, encoding="utf-8-sig", errors="replace") as lines:
            header = [word.strip().strip('"') for word in lines.readline().split(",")]
        if header == _HEADER:
            table = pd.read_csv(file, dtype=str, encoding="utf-8-sig", skipinitialspace=True)
            rows = table.dropna().itertuples(index=False, name=None)
            return {new.strip().lower(): (name.strip(), raw.strip()) for name, new, raw in rows}
    return {}


def _crop_to_centre(file: Path) -> str:
    """Return the name of an image, with the window of its centre if it is larger than a cell."""
    try:
        with Image.open(file) as image:
            width, height = image.size
    except (OSError, Image.DecompressionBombError):
        return str(file)  # reported when the image is read
    if width <= CNMC_SIZE or height <= CNMC_SIZE:
        return str(file)
    x, y = (width - CNMC_SIZE) // 2, (height - CNMC_SIZE) // 2
    return f"{file}#xywh={x},{y},{CNMC_SIZE},{CNMC_SIZE}"
