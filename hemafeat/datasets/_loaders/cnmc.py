"""C-NMC 2019: leukaemic and normal lymphoid cells, cut out and laid on black, with patients."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from hemafeat.datasets._finish import finish
from hemafeat.datasets._loaders.catalogue import wrong_folder
from hemafeat.datasets._schema import DatasetError, folder, text, walk
from hemafeat.images._formats import bmp_size

CNMC_SIZE = 450
"""Height and width of every cell, px; larger pictures of the final phase hold it in the middle."""

_NAME = re.compile(r"UID_(H?\d+)_(\d+)_(\d+)_(all|hem)", re.IGNORECASE)
_CLASSES = {"1": "all", "0": "hem"}
_PHASES = {
    "train": "train",
    "prelim": "preliminary",
    "validation": "preliminary",
    "final": "final",
    "testing": "final",
}
"""Words in the names of folders, of the archive itself and of its mirrors."""

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
        The folder unpacked, or any part of it, however it is called and nested: training cells
        ``UID_{subject}_{image}_{cell}_{all|hem}.bmp``, numbered cells of the preliminary phase with
        the CSV that gives their true names, and numbered cells of the final phase.

    Returns
    -------
    DataFrame
        An image table (see `as_table`). ``label`` is ``all`` or ``hem``; ``patient`` the subject,
        in capitals (``H3`` and ``h3`` are one person), which is also the ``group``; ``split`` is
        ``train``, ``preliminary`` or ``final``, as the folders say, and the attribute ``fold`` the
        official fold of a training cell. Cells of the final phase have neither label nor patient.
        Every subject has one class only: who it is tells what it is, so nothing but a split by
        patient means anything.

        Some pictures of the final phase are 600 x 600: their ``image`` ends in
        ``#xywh=75,75,450,450``, which makes `hemafeat.images.read` return the middle 450 x 450 that
        the organisers prescribe (their 76:525 counts from one and includes both ends).

    Raises
    ------
    DatasetError
        No cell, preliminary cells without the CSV, a cell the CSV does not list, or a name that
        contradicts its folder.

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
    """
    root = folder(root)
    named = _preliminary(root)
    images, cells = [], []
    for file in walk(root, (".bmp",)):
        cell = _cell(file, root, named)
        if cell is not None:
            images.append(_windowed(file) if cell.split == "final" else str(file))
            cells.append(cell)
    if not cells:
        raise wrong_folder("cnmc", root, "files such as UID_1_1_1_all.bmp")
    table = pd.DataFrame({"image": text(images)})
    for column in _Cell._fields:
        table[column] = text(getattr(cell, column) for cell in cells)
    table["dataset"] = text("cnmc" for _ in cells)
    return finish(table, str(root))


def _cell(file: Path, root: Path, named: dict[str, tuple[str, str]]) -> _Cell | None:
    parts = [part.lower() for part in (root.name, *file.relative_to(root).parts[:-1])]
    found = _NAME.fullmatch(file.stem)
    if found:
        label = found.group(4).lower()
        if parts[-1] in ("all", "hem") and parts[-1] != label:
            raise DatasetError(f"{file} is called {label!r} and lies in the folder {parts[-1]!r}")
        fold = next((part[5:] for part in reversed(parts) if re.fullmatch(r"fold_\d", part)), None)
        split = _phase(parts) or ("train" if fold else None)
        return _Cell(label, found.group(4), found.group(1).upper(), split, fold)
    if not re.fullmatch(r"\d+", file.stem):
        return None
    if _phase(parts) == "final":
        return _Cell(None, None, None, "final", None)
    if not named:
        raise DatasetError(
            f"{file}: its true name, hence its patient, stands in a CSV with the columns "
            f"{','.join(_HEADER)} (C-NMC_test_prelim_phase_data_labels.csv), and none is below "
            f"{root}"
        )
    if file.name.lower() not in named:
        raise DatasetError(f"{file} is not among the {len(named)} images of the labels CSV")
    true_name, label_raw = named[file.name.lower()]
    found = _NAME.fullmatch(Path(true_name).stem)
    label = _CLASSES.get(label_raw)
    if found is None or label != found.group(4).lower():
        raise DatasetError(
            f"{file}: the labels CSV calls it {true_name!r} with label {label_raw!r}; expected "
            "UID_..._all.bmp with 1 or UID_..._hem.bmp with 0"
        )
    return _Cell(label, label_raw, found.group(1).upper(), "preliminary", None)


def _phase(parts: list[str]) -> str | None:
    """The phase that the innermost folder which names one names."""
    for part in reversed(parts):
        for word, phase in _PHASES.items():
            if word in part:
                return phase
    return None


def _preliminary(root: Path) -> dict[str, tuple[str, str]]:
    """New name, in lower case, to true name and label: from the CSV of the preliminary phase."""
    for file in walk(root, (".csv",)):
        with open(file, encoding="utf-8-sig", errors="replace") as lines:
            header = [word.strip().strip('"') for word in lines.readline().split(",")]
        if header == _HEADER:
            table = pd.read_csv(file, dtype=str, encoding="utf-8-sig", skipinitialspace=True)
            rows = table.dropna().itertuples(index=False, name=None)
            return {new.strip().lower(): (true.strip(), raw.strip()) for true, new, raw in rows}
    return {}


def _windowed(file: Path) -> str:
    """`file`, with the window of its middle where it is larger than a cell should be."""
    try:
        with open(file, "rb") as opened:
            start = opened.read(26)
    except OSError:
        return str(file)
    if start[:2] != b"BM" or len(start) < 26:
        return str(file)
    width, height = bmp_size(start)
    if width <= CNMC_SIZE or height <= CNMC_SIZE:
        return str(file)
    x, y = (width - CNMC_SIZE) // 2, (height - CNMC_SIZE) // 2
    return f"{file}#xywh={x},{y},{CNMC_SIZE},{CNMC_SIZE}"
