"""BloodMNIST: the PBC cells cut, made small and kept as arrays (MedMNIST v2)."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd

from hemafeat.datasets._finish import finish
from hemafeat.datasets._loaders.catalogue import wrong_folder
from hemafeat.datasets._loaders.pbc import PBC_LABELS
from hemafeat.datasets._schema import DatasetError, text, walk
from hemafeat.images._formats import Refused
from hemafeat.images._npz import array, layouts

BLOODMNIST_SIZES = (28, 64, 128, 224)
"""Sides of the images of the four files, px."""

_NAME = re.compile(r"bloodmnist(?:_(\d+))?")
_PARTS = ("train", "val", "test")


def bloodmnist(root: str | os.PathLike[str], *, size: int | None = None) -> pd.DataFrame:
    """List BloodMNIST: 17,092 cells of 8 classes in one file.

    Parameters
    ----------
    root : path
        ``bloodmnist.npz`` (28 px), ``bloodmnist_64.npz``, ``bloodmnist_128.npz`` or
        ``bloodmnist_224.npz``, or a folder that holds some of them.
    size : {28, 64, 128, 224}, optional
        Which of them, where there are several.

    Returns
    -------
    DataFrame
        An image table (see `as_table`) whose images are places in the file, such as
        ``bloodmnist.npz#image=train_images,17``; `hemafeat.images.read` reads one without the
        others. ``label`` is that of `pbc`, ``label_raw`` its number; ``split`` is ``train``,
        ``val`` or ``test``: by image, since no patient is named. Cells that became the same picture
        share a ``group``, which takes reading everything once.

    Raises
    ------
    DatasetError
        No such file, several and no `size`, or arrays that are not those of BloodMNIST.

    Notes
    -----
    Source: medmnist.com, CC BY 4.0; 11,959 cells to train, 1,712 to validate, 3,421 to test. The
    middle 200 x 200 px of a PBC image became 28 x 28 (or more): a pixel of the small file is 7 of
    the original. Metrics of the benchmark are accuracy and the macro one-against-rest AUC.

    References
    ----------
    .. [1] J. Yang et al., "MedMNIST v2: a large-scale lightweight benchmark for 2D and 3D
       biomedical image classification", Scientific Data 10, 41, 2023.
    .. [2] A. Acevedo et al., "A dataset of microscopic peripheral blood cell images for development
       of automatic recognition systems", Data in Brief 30, 105474, 2020.
    """
    path = _file(Path(root), size)
    try:
        found = layouts(path)
        parts = [part for part in _PARTS if f"{part}_images" in found]
        if not parts:
            raise wrong_folder("bloodmnist", path, "arrays train_images, train_labels and so on")
        tables = [_part(path, part, found[f"{part}_images"].shape, size) for part in parts]
    except Refused as problem:
        raise DatasetError(f"{path} {problem}") from None
    return finish(pd.concat(tables, ignore_index=True), str(path))


def _part(path: Path, part: str, shape: tuple[int, ...], size: int | None) -> pd.DataFrame:
    n = shape[0]
    if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
        raise DatasetError(
            f"{path}: {part}_images has shape {shape}, expected (cells, side, side, 3)"
        )
    if size is not None and shape[1] != size:
        raise DatasetError(f"{path} holds images of {shape[1]} px, not of {size}")
    numbers = array(path, f"{part}_labels").reshape(-1)
    if len(numbers) != n:
        raise DatasetError(f"{path}: {n} images and {len(numbers)} labels in {part}")
    names = list(PBC_LABELS.values())
    wrong = sorted({str(one) for one in numbers.tolist() if one not in range(len(names))})
    if wrong:
        raise DatasetError(
            f"{path}: {part}_labels holds {wrong[0]}, expected 0 to {len(names) - 1}"
        )
    return pd.DataFrame(
        {
            "image": text(f"{path}#image={part}_images,{index}" for index in range(n)),
            "label": text(names[int(one)] for one in numbers),
            "label_raw": text(str(int(one)) for one in numbers),
            "split": text([part] * n),
            "dataset": text(["bloodmnist"] * n),
        }
    )


def _file(root: Path, size: int | None) -> Path:
    if size is not None and size not in BLOODMNIST_SIZES:
        raise DatasetError(f"size is {size!r}, expected one of {BLOODMNIST_SIZES}")
    if not root.exists():
        raise DatasetError(f"{root} does not exist: expected bloodmnist.npz or its folder")
    if root.is_file():
        if root.suffix.lower() != ".npz":
            raise wrong_folder("bloodmnist", root, "bloodmnist.npz or its folder")
        return root
    files = {
        int(found.group(1) or 28): file
        for file in walk(root, (".npz",))
        if (found := _NAME.fullmatch(file.stem.lower()))
    }
    if size is not None:
        files = {side: file for side, file in files.items() if side == size}
    if not files:
        which = "bloodmnist.npz" if size in (None, 28) else f"bloodmnist_{size}.npz"
        raise wrong_folder("bloodmnist", root, which)
    if len(files) > 1:
        raise DatasetError(
            f"{root} holds {', '.join(files[side].name for side in sorted(files))}: give one of "
            "them, or size="
        )
    return next(iter(files.values()))
