"""segmentation_WBC: single white cells with masks of nucleus and cytoplasm (Zheng et al. 2018)."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

import pandas as pd

from hemafeat.datasets._catalogue import wrong_folder
from hemafeat.datasets._finish import finish
from hemafeat.datasets._schema import BOOKKEEPING, DatasetError, DatasetWarning, folder, text, walk
from hemafeat.datasets._table import MANIFEST, from_csv

SEGWBC_LABELS = {
    "1": "neutrophil",
    "2": "lymphocyte",
    "3": "monocyte",
    "4": "eosinophil",
    "5": "basophil",
}
"""The numbers of the label files, and what they stand for."""


def segwbc(root: str | os.PathLike[str]) -> pd.DataFrame:
    """List segmentation_WBC: 300 cells in two stains and 100 cells, with masks.

    Parameters
    ----------
    root : path
        The repository unpacked (``Dataset 1/001.bmp`` with its mask ``001.png`` beside it, and
        ``Class Labels of Dataset 1.csv``), one of its two data sets, or a folder ``images`` and
        ``masks`` with a ``manifest.csv``.

    Returns
    -------
    DataFrame
        An image table (see `as_table`); ``dataset`` is ``segwbc_d1`` or ``segwbc_d2``. Labels were
        given by the authors and not checked by an expert; no patient is named. Masks: grey above
        `TRIMAP_NUCLEUS` is nucleus, above `TRIMAP_CYTOPLASM` cytoplasm (those of Dataset 2 are
        noisy). Images 112 and 139 of Dataset 1 are one image and share a ``group``.

    Warns
    -----
    DatasetWarning
        The labels of a data set are not there: its labels are missing.

    Raises
    ------
    DatasetError
        No image, or a label file that does not fit.

    Notes
    -----
    Source: github.com/zxaoyou/segmentation_WBC, GPL-3.0. Neutrophils, lymphocytes, monocytes,
    eosinophils, basophils: 176, 53, 48, 22, 1 of 120 x 120 px in Dataset 1 and 33, 37, 15, 12, 3 of
    300 x 300 px in Dataset 2.

    References
    ----------
    .. [1] X. Zheng et al., "Fast and robust segmentation of white blood cell images by
       self-supervised learning", Micron 107, 55-71, 2018.
    """
    root = folder(root)
    if (root / MANIFEST).is_file():
        table = from_csv(root / MANIFEST).drop(columns=[*BOOKKEEPING, "sublabel"], errors="ignore")
        name = "segwbc_d2" if re.search(r"(d|dataset ?)2$", root.name.lower()) else "segwbc_d1"
        return table.assign(dataset=text([name] * len(table)))
    files = [file for file in walk(root, (".bmp",)) if re.fullmatch(r"\d{3}", file.stem)]
    if not files:
        raise wrong_folder("segwbc", root, f"'Dataset 1/001.bmp' and so on, or a {MANIFEST}")
    parts = []
    for place in sorted({file.parent for file in files}):
        cells = [file for file in files if file.parent == place]
        number = "2" if re.search(r"2\D*$", place.name) else "1"
        raw = _labels(root, place, number)
        unknown = sorted({value for value in raw.values() if value not in SEGWBC_LABELS})
        if unknown:
            raise DatasetError(
                f"{place}: class label {unknown[0]!r}, expected {', '.join(SEGWBC_LABELS)}"
            )
        labels = [raw.get(file.stem.lstrip("0")) for file in cells]
        masks = [file.with_suffix(".png") for file in cells]
        parts.append(
            pd.DataFrame(
                {
                    "image": text(str(file) for file in cells),
                    "label": text(SEGWBC_LABELS[one] if one else None for one in labels),
                    "label_raw": text(labels),
                    "dataset": text(f"segwbc_d{number}" for _ in cells),
                    "mask": text(str(mask) if mask.is_file() else None for mask in masks),
                }
            )
        )
    return finish(pd.concat(parts, ignore_index=True), str(root))


def _labels(root: Path, place: Path, number: str) -> dict[str, str]:
    """Image number without leading zeros to class number, from the label file of one data set."""
    name = f"Class Labels of Dataset {number}.csv"
    found = [spot / name for spot in (place, place.parent, root) if (spot / name).is_file()]
    if not found:
        warnings.warn(
            f"{place}: '{name}' is not there, so its images have no label",
            DatasetWarning,
            stacklevel=3,
        )
        return {}
    # Headers differ between the two files ("class label" and "class"): columns go by position.
    table = pd.read_csv(found[0], dtype=str, encoding="utf-8-sig").dropna(how="all")
    if table.shape[1] < 2:
        raise DatasetError(
            f"{found[0]}: expected columns 'image ID' and 'class label', found "
            f"{', '.join(table.columns)}"
        )
    images, labels = table.iloc[:, 0].str.strip(), table.iloc[:, 1].str.strip()
    return {
        Path(image).stem.lstrip("0"): label
        for image, label in zip(images, labels, strict=True)
        if isinstance(image, str) and isinstance(label, str)
    }
