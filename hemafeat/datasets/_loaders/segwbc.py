"""Loader of segmentation_WBC: single white cells with masks of nucleus and cytoplasm."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

import pandas as pd

from hemafeat.datasets._catalogue import wrong_folder
from hemafeat.datasets._finish import finish
from hemafeat.datasets._schema import FILE_COLUMNS, DatasetError, DatasetWarning, folder, text, walk
from hemafeat.datasets._table import MANIFEST, from_csv

SEGWBC_LABELS = {
    "1": "neutrophil",
    "2": "lymphocyte",
    "3": "monocyte",
    "4": "eosinophil",
    "5": "basophil",
}
"""Label of each number in the label files."""


def segwbc(root: str | os.PathLike[str]) -> pd.DataFrame:
    r"""List segmentation_WBC: 300 cells in two stains and 100 cells, with masks.

    Parameters
    ----------
    root : path
        Unpacked repository (``Dataset 1/001.bmp`` with its mask ``001.png`` beside it, and
        ``Class Labels of Dataset 1.csv``), one of its two data sets, or a folder with ``images``,
        ``masks`` and a ``manifest.csv``.

    Returns
    -------
    DataFrame
        An image table (see `as_table`); ``dataset`` is ``segwbc_d1`` or ``segwbc_d2``. Labels are
        those of the authors, not of an expert; patients are not identified. Values of masks above
        `TRIMAP_NUCLEUS` are nucleus, above `TRIMAP_CYTOPLASM` cytoplasm (masks of Dataset 2 are
        noisy). Images 112 and 139 of Dataset 1 are identical and share a ``group``.

    Warns
    -----
    DatasetWarning
        Issued if the file of labels is missing, and labels with it.

    Raises
    ------
    DatasetError
        Raised if there are no images, or if a file of labels is invalid.

    Notes
    -----
    Source: github.com/zxaoyou/segmentation_WBC, GPL-3.0. Neutrophils, lymphocytes, monocytes,
    eosinophils, basophils: 176, 53, 48, 22, 1 of 120 x 120 px in Dataset 1 and 33, 37, 15, 12, 3 of
    300 x 300 px in Dataset 2.

    References
    ----------
    .. [1] X. Zheng et al., "Fast and robust segmentation of white blood cell images by
       self-supervised learning", Micron 107, 55-71, 2018.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hemafeat import datasets
    >>> Path("Dataset 1").mkdir()
    >>> Path("Dataset 1/001.bmp").touch()  # an empty file in place of an image
    >>> Path("Class Labels of Dataset 1.csv").write_text("image ID,class label\n1,2\n") > 0
    True
    >>> datasets.segwbc(".")[["label", "dataset"]]
            label    dataset
    0  lymphocyte  segwbc_d1
    """
    root = folder(root)
    if (root / MANIFEST).is_file():
        table = from_csv(root / MANIFEST).drop(columns=[*FILE_COLUMNS, "sublabel"], errors="ignore")
        name = "segwbc_d2" if re.search(r"(d|dataset ?)2$", root.name.lower()) else "segwbc_d1"
        return table.assign(dataset=text([name] * len(table)))
    files = [file for file in walk(root, (".bmp",)) if re.fullmatch(r"\d{3}", file.stem)]
    if not files:
        raise wrong_folder("segwbc", root, f"'Dataset 1/001.bmp' and so on, or a {MANIFEST}")
    parts = []
    for parent in sorted({file.parent for file in files}):
        cells = [file for file in files if file.parent == parent]
        number = "2" if re.search(r"2\D*$", parent.name) else "1"
        raw = _labels(root, parent, number)
        unknown = sorted({value for value in raw.values() if value not in SEGWBC_LABELS})
        if unknown:
            raise DatasetError(
                f"{parent} has the class label {unknown[0]!r}; expected one of "
                f"{', '.join(SEGWBC_LABELS)}"
            )
        labels = [raw.get(file.stem.lstrip("0")) for file in cells]
        masks = [file.with_suffix(".png") for file in cells]
        parts.append(
            pd.DataFrame(
                {
                    "image": text(str(file) for file in cells),
                    "label": text(SEGWBC_LABELS[label] if label else None for label in labels),
                    "label_raw": text(labels),
                    "dataset": text(f"segwbc_d{number}" for _ in cells),
                    "mask": text(str(mask) if mask.is_file() else None for mask in masks),
                }
            )
        )
    return finish(pd.concat(parts, ignore_index=True), root)


def _labels(root: Path, parent: Path, number: str) -> dict[str, str]:
    """Read the class number of each image, by its number without leading zeros."""
    name = f"Class Labels of Dataset {number}.csv"
    paths = [folder / name for folder in (parent, parent.parent, root)]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        warnings.warn(
            f"'{name}' of {parent} does not exist, so its images have no label",
            DatasetWarning,
            stacklevel=3,
        )
        return {}
    # The two files have different headers ("class label" and "class"), so position counts.
    table = pd.read_csv(path, dtype=str, encoding="utf-8-sig").dropna(how="all")
    if table.shape[1] < 2:
        raise DatasetError(
            f"{path} has the columns {', '.join(table.columns)}; expected 'image ID' and 'class "
            "label'"
        )
    images, labels = table.iloc[:, 0].str.strip(), table.iloc[:, 1].str.strip()
    return {
        Path(image).stem.lstrip("0"): label
        for image, label in zip(images, labels, strict=True)
        if isinstance(image, str) and isinstance(label, str)
    }
