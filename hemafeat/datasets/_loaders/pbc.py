"""Loader of PBC: eight classes of normal peripheral blood cells."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from hemafeat.datasets._catalogue import wrong_folder
from hemafeat.datasets._finish import finish
from hemafeat.datasets._schema import DatasetError, contents, folder, text, walk

PBC_LABELS = {
    "basophil": "basophil",
    "eosinophil": "eosinophil",
    "erythroblast": "erythroblast",
    "ig": "immature granulocyte",
    "lymphocyte": "lymphocyte",
    "monocyte": "monocyte",
    "neutrophil": "neutrophil",
    "platelet": "platelet",
}
"""Label of each class folder."""


def pbc(
    root: str | os.PathLike[str],
    *,
    attributes: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
) -> pd.DataFrame:
    """List the PBC data set: 17,092 cells of 8 classes, CellaVision DM96.

    Parameters
    ----------
    root : path
        Unpacked folder, or any folder above the eight class folders (``basophil`` ...
        ``platelet``), of which some may be missing.
    attributes : path or list of paths, optional
        CSV files of the WBCAtt annotations [2]_ (column ``img_name``), or their folder. Their
        columns are added to the table, with missing values for cells they do not list.
        ``wbcatt_split`` is their column ``split`` or, without one, the part named by the file
        (``pbc_attr_v1_train.csv``).

    Returns
    -------
    DataFrame
        An image table (see `as_table`) with the attribute ``sublabel``: the prefix of the file
        name, which distinguishes subtypes (``SNE`` segmented and ``BNE`` band neutrophil; ``MY``
        myelocyte, ``MMY`` metamyelocyte, ``PMY`` promyelocyte). ``label`` is ``immature
        granulocyte`` for the folder ``ig``. Patients are not identified, so ``group`` only keeps
        identical files together, and a split by patient is impossible; the scale is not published.

    Raises
    ------
    DatasetError
        Raised if there is no class folder with images, or if `attributes` list none of the images.

    Notes
    -----
    Source: Mendeley Data, doi:10.17632/snkd93bnjr.1; CC BY 4.0. Basophils 1,218, eosinophils 3,117,
    erythroblasts 1,551, immature granulocytes 2,895, lymphocytes 1,214, monocytes 1,420,
    neutrophils 3,329, platelets 2,348. Most images are 363 x 360 px; 448 images (369 x 366 and 360
    x 360 px) differ in brightness and form a batch. 17 images occur twice, one pair under two
    labels, and one file lacks a JFIF header. The attributes of WBCAtt (MIT) cover 10,298 cells of
    five classes.

    References
    ----------
    .. [1] A. Acevedo et al., "A dataset of microscopic peripheral blood cell images for development
       of automatic recognition systems", Data in Brief 30, 105474, 2020.
    .. [2] S. Tsutsui et al., "WBCAtt: a white blood cell dataset annotated with detailed
       morphological attributes", NeurIPS Datasets and Benchmarks, 2023.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hemafeat import datasets
    >>> Path("PBC/ig").mkdir(parents=True)
    >>> Path("PBC/ig/MMY_1.jpg").touch()  # an empty file in place of an image
    >>> datasets.pbc("PBC")[["label", "sublabel"]]
                      label sublabel
    0  immature granulocyte      MMY
    """
    root = folder(root)
    files = [file for file in walk(root) if file.parent.name.lower() in PBC_LABELS]
    if not files:
        raise wrong_folder("pbc", root, f"class folders {', '.join(PBC_LABELS)} with images")
    raw = [file.parent.name.lower() for file in files]
    table = pd.DataFrame(
        {
            "image": text(str(file) for file in files),
            "label": text(PBC_LABELS[name] for name in raw),
            "label_raw": text(file.parent.name for file in files),
            "dataset": text("pbc" for _ in files),
            "sublabel": text(
                file.stem.split("_")[0].upper() if "_" in file.stem else None for file in files
            ),
        }
    )
    if attributes is not None:
        table = _add_attributes(table, files, _attribute_files(attributes))
    return finish(table, root)


def _add_attributes(table: pd.DataFrame, images: list[Path], files: list[Path]) -> pd.DataFrame:
    source = ", ".join(map(str, files))
    attributes = pd.concat([_read_attributes(file) for file in files], ignore_index=True)
    names = attributes["img_name"]
    if not names.is_unique:
        raise DatasetError(f"{source} lists {names[names.duplicated()].iloc[0]} more than once")
    table = table.assign(img_name=[image.name for image in images])
    if not table["img_name"].isin(names).any():
        raise DatasetError(f"{source} lists none of the {len(table)} images")
    table = table.merge(attributes, on="img_name", how="left", validate="m:1")
    return table.drop(columns="img_name")


def _attribute_files(
    attributes: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
) -> list[Path]:
    if isinstance(attributes, (str, os.PathLike)):
        attributes = [attributes]
    files: list[Path] = []
    for path in map(Path, attributes):
        inside = sorted(path.glob("pbc_attr_*.csv")) if path.is_dir() else [path]
        if not inside:
            raise DatasetError(f"{path} has no pbc_attr_*.csv; found {contents(path)}")
        files += inside
    return files


def _read_attributes(file: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(file, encoding="utf-8-sig", keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as problem:
        raise DatasetError(f"{file} cannot be read: {problem}") from None
    if "img_name" not in table:
        columns = ", ".join(map(str, table.columns))
        raise DatasetError(f"{file} has no column 'img_name'; its columns are {columns}")
    part = file.stem.rsplit("_", 1)[-1].lower()
    if "split" not in table and part in ("train", "val", "test"):
        table["split"] = part
    # The image table has its own columns of this name.
    return table.drop(columns=["label", "path"], errors="ignore").rename(
        columns={"split": "wbcatt_split"}
    )
