"""Loader of BloodMNIST: PBC cells, cropped, downsampled and stored as arrays (MedMNIST v2)."""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from hemafeat.datasets._catalogue import wrong_folder
from hemafeat.datasets._finish import finish
from hemafeat.datasets._loaders.pbc import PBC_LABELS
from hemafeat.datasets._schema import DatasetError, text, walk
from hemafeat.images import ImageError, array_shapes

BLOODMNIST_SIZES = (28, 64, 128, 224)
"""Side of the images in each of the four files, in px."""

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
        Side of the images, in px, to choose a file if the folder holds several.

    Returns
    -------
    DataFrame
        An image table (see `as_table`) whose images are positions in the file, such as
        ``bloodmnist.npz#image=train_images,17``; `hemafeat.images.read` reads each separately.
        ``label`` is that of `pbc`, ``label_raw`` its number; ``split`` is ``train``, ``val`` or
        ``test``, by image, since patients are not identified. Cells with identical pixels share a
        ``group``; to find them, all images are read once.

    Raises
    ------
    DatasetError
        Raised if there is no such file, if there are several and `size` is not given, or if the
        arrays are not those of BloodMNIST.

    Notes
    -----
    Source: medmnist.com, CC BY 4.0; 11,959 training, 1,712 validation and 3,421 test cells. The
    central 200 x 200 px of a PBC image were resized to 28 x 28 px (or larger), so a pixel of the
    smallest file covers 7 pixels of the original. The benchmark reports accuracy and the macro
    average of the one-vs-rest AUC.

    References
    ----------
    .. [1] J. Yang et al., "MedMNIST v2: a large-scale lightweight benchmark for 2D and 3D
       biomedical image classification", Scientific Data 10, 41, 2023.
    .. [2] A. Acevedo et al., "A dataset of microscopic peripheral blood cell images for development
       of automatic recognition systems", Data in Brief 30, 105474, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import datasets
    >>> pixels = np.arange(2 * 28 * 28 * 3).reshape(2, 28, 28, 3).astype(np.uint8)
    >>> np.savez("bloodmnist.npz", train_images=pixels, train_labels=np.array([[6], [1]]))
    >>> datasets.bloodmnist(".")[["image", "label"]]
                                    image       label
    0  bloodmnist.npz#image=train_images,0  neutrophil
    1  bloodmnist.npz#image=train_images,1  eosinophil
    """
    path = _file(Path(root), size)
    try:
        shapes = array_shapes(path)
    except ImageError as problem:
        raise DatasetError(str(problem)) from None
    parts = [part for part in _PARTS if f"{part}_images" in shapes]
    if not parts:
        raise wrong_folder("bloodmnist", path, "arrays train_images, train_labels and so on")
    tables = [_part(path, part, shapes[f"{part}_images"], size) for part in parts]
    return finish(pd.concat(tables, ignore_index=True), path)


def _part(path: Path, part: str, shape: tuple[int, ...], size: int | None) -> pd.DataFrame:
    n = shape[0]
    if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
        raise DatasetError(
            f"{path}: {part}_images has shape {shape}, expected (cells, side, side, 3)"
        )
    if size is not None and shape[1] != size:
        raise DatasetError(f"{path} holds images of {shape[1]} px, not of {size}")
    numbers = _labels(path, part)
    if len(numbers) != n:
        raise DatasetError(f"{path} has {n} images but {len(numbers)} labels in {part}")
    names = list(PBC_LABELS.values())
    wrong = sorted({str(value) for value in numbers.tolist() if value not in range(len(names))})
    if wrong:
        raise DatasetError(
            f"{path}: {part}_labels holds {wrong[0]}, expected 0 to {len(names) - 1}"
        )
    return pd.DataFrame(
        {
            "image": text(f"{path}#image={part}_images,{index}" for index in range(n)),
            "label": text(names[int(number)] for number in numbers),
            "label_raw": text(str(int(number)) for number in numbers),
            "split": text([part] * n),
            "dataset": text(["bloodmnist"] * n),
        }
    )


def _labels(path: Path, part: str) -> np.ndarray:
    name = f"{part}_labels"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return np.asarray(arrays[name]).reshape(-1)
    except KeyError:
        raise DatasetError(f"{path} has no array {name!r}") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as problem:
        raise DatasetError(f"{path} is a damaged archive of arrays: {problem}") from None


def _file(root: Path, size: int | None) -> Path:
    if size is not None and size not in BLOODMNIST_SIZES:
        raise DatasetError(f"size is {size!r}, expected one of {BLOODMNIST_SIZES}")
    if not root.exists():
        raise DatasetError(f"{root} does not exist; expected bloodmnist.npz or its folder")
    if root.is_file():
        if root.suffix.lower() != ".npz":
            raise wrong_folder("bloodmnist", root, "bloodmnist.npz or its folder")
        return root
    files = {
        int(match.group(1) or 28): file
        for file in walk(root, (".npz",))
        if (match := _NAME.fullmatch(file.stem.lower()))
    }
    if size is not None:
        files = {side: file for side, file in files.items() if side == size}
    if not files:
        expected = "bloodmnist.npz" if size in (None, 28) else f"bloodmnist_{size}.npz"
        raise wrong_folder("bloodmnist", root, expected)
    if len(files) > 1:
        raise DatasetError(
            f"{root} holds {', '.join(files[side].name for side in sorted(files))}; choose one of "
            "them with size="
        )
    return next(iter(files.values()))
