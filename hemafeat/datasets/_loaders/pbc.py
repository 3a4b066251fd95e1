"""PBC: eight classes of normal peripheral blood cells (Acevedo et al. 2020)."""

from __future__ import annotations

import os
from collections import Counter
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
"""Name of each class folder, and the label it becomes."""


def pbc(
    root: str | os.PathLike[str],
    *,
    attributes: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
) -> pd.DataFrame:
    """List the PBC data set: 17,092 cells of 8 classes, CellaVision DM96.

    Parameters
    ----------
    root : path
        The folder unpacked, or any folder above the eight class folders (``basophil`` ...
        ``platelet``; any part of them will do).
    attributes : path or list of paths, optional
        The CSV files of the WBCAtt annotations [2]_ (column ``img_name``), or their folder: their
        columns join the table, missing for cells they do not list. ``wbcatt_split`` is their column
        ``split`` or, without one, how the file is called (``pbc_attr_v1_train.csv``).

    Returns
    -------
    DataFrame
        An image table (see `as_table`) with the attribute ``sublabel``: the prefix of the file
        name, which tells sub-types that the folder does not (``SNE`` segmented and ``BNE`` band
        neutrophil; ``MY`` myelocyte, ``MMY`` metamyelocyte, ``PMY`` promyelocyte). ``label`` spells
        ``ig`` out. The set names no patients, so ``group`` only keeps identical files together and
        no split of it is by patient; ``um_per_px`` is not published.

    Raises
    ------
    DatasetError
        No class folder with images is found, or `attributes` fit no image.

    Notes
    -----
    Source: Mendeley Data, doi:10.17632/snkd93bnjr.1; CC BY 4.0. Basophils 1,218, eosinophils 3,117,
    erythroblasts 1,551, immature granulocytes 2,895, lymphocytes 1,214, monocytes 1,420,
    neutrophils 3,329, platelets 2,348. Most images are 363 x 360 px; 448 others (369 x 366 and 360
    x 360 px) differ in brightness, which makes them a batch. 17 images are there twice, one pair
    under two labels, and one file lacks a JFIF header. The attributes of WBCAtt (MIT) are for
    10,298 cells of five classes.

    References
    ----------
    .. [1] A. Acevedo et al., "A dataset of microscopic peripheral blood cell images for development
       of automatic recognition systems", Data in Brief 30, 105474, 2020.
    .. [2] S. Tsutsui et al., "WBCAtt: a white blood cell dataset annotated with detailed
       morphological attributes", NeurIPS Datasets and Benchmarks, 2023.
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
        table = _join(table, files, _sources(attributes))
    return finish(table, str(root))


def _join(table: pd.DataFrame, files: list[Path], sources: list[Path]) -> pd.DataFrame:
    named = ", ".join(map(str, sources))
    marks = pd.concat([_marks(source) for source in sources], ignore_index=True)
    twice = [name for name, count in Counter(marks["img_name"]).items() if count > 1]
    if twice:
        raise DatasetError(f"{named} lists {twice[0]} more than once")
    table = table.assign(img_name=[file.name for file in files])
    if not table["img_name"].isin(marks["img_name"]).any():
        raise DatasetError(f"{named} lists none of the {len(table)} images found")
    return table.merge(marks, on="img_name", how="left", validate="m:1").drop(columns="img_name")


def _sources(given: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    paths = [Path(given)] if isinstance(given, (str, os.PathLike)) else [Path(p) for p in given]
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.glob("pbc_attr_*.csv")) if path.is_dir() else [path]
        if not inside:
            raise DatasetError(f"{path} holds no pbc_attr_*.csv, found {contents(path)}")
        found += inside
    return found


def _marks(source: Path) -> pd.DataFrame:
    try:
        marks = pd.read_csv(source, encoding="utf-8-sig", keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as problem:
        raise DatasetError(f"{source} cannot be read: {problem}") from None
    if "img_name" not in marks:
        raise DatasetError(
            f"{source} has no column 'img_name', found {', '.join(map(str, marks.columns))}"
        )
    part = source.stem.rsplit("_", 1)[-1].lower()
    if "split" not in marks and part in ("train", "val", "test"):
        marks["split"] = part
    # These repeat what the table has, or are the split of another task.
    return marks.drop(columns=["label", "path"], errors="ignore").rename(
        columns={"split": "wbcatt_split"}
    )
