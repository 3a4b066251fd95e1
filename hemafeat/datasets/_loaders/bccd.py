"""BCCD: smear fields with boxes of every cell, and masks of the white ones."""

from __future__ import annotations

import os
import re
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from hemafeat.datasets._catalogue import wrong_folder
from hemafeat.datasets._finish import finish
from hemafeat.datasets._schema import BOOKKEEPING, DatasetError, contents, folder, text, walk
from hemafeat.datasets._table import MANIFEST, from_csv


def bccd(root: str | os.PathLike[str]) -> pd.DataFrame:
    """List BCCD: 364 fields of 640 x 480 pixels with one or more white cells among red ones.

    Parameters
    ----------
    root : path
        The repository unpacked (``BCCD/JPEGImages``, ``BCCD/Annotations``, ``BCCD/ImageSets``; a
        file ``labels.csv`` with columns ``Image`` and ``Category`` gives types of the white cells)
        or a folder ``images`` with ``masks``, ``annotations`` and a ``manifest.csv``.

    Returns
    -------
    DataFrame
        An image table (see `as_table`). ``label`` is the type of the white cells of the field and
        missing where a field shows several types (no cell of it could be told its own) or none is
        given; ``label_raw`` is as written. Attributes ``n_wbc``, ``n_rbc``, ``n_platelets`` count
        the boxes, missing where a field has no annotation. Masks are of white cells only: grey
        above `TRIMAP_NUCLEUS` is nucleus, above `TRIMAP_CYTOPLASM` cytoplasm. ``split`` is that of
        ``ImageSets/Main``. No patient is named.

    Raises
    ------
    DatasetError
        No image, or an annotation that cannot be read.

    See Also
    --------
    bccd_boxes : The boxes themselves.

    Notes
    -----
    Source: github.com/Shenggan/BCCD_Dataset, MIT. The set of some 12,500 single-type images that
    goes around as "blood cell images" is made of these by augmentation, with copies of one cell in
    its training and its test part; it is not this set and has no loader.

    References
    ----------
    .. [1] S. Gan, BCCD Dataset, github.com/Shenggan/BCCD_Dataset, 2017.
    .. [2] P. P. Banik et al., "An automatic nucleus segmentation and CNN model based classification
       method of white blood cell", Expert Systems with Applications 149, 113211, 2020 (masks).
    """
    root = folder(root)
    if (root / MANIFEST).is_file():
        table = from_csv(root / MANIFEST).drop(columns=[*BOOKKEEPING, "sublabel"], errors="ignore")
        table["label_raw"] = table["label"]
    else:
        files = _fields(root)
        raw, split = _types(root), _splits(root)
        table = pd.DataFrame(
            {
                "image": text(str(file) for file in files),
                "label_raw": text(raw.get(_number(file)) for file in files),
                "split": text(split.get(file.stem) for file in files),
                "mask": text(_mask(file) for file in files),
            }
        )
    table["label"] = text(_single(value) for value in table["label_raw"])
    table["dataset"] = text("bccd" for _ in range(len(table)))
    boxes = _boxes(root)
    seen = pd.crosstab(boxes["stem"], boxes["name"])
    stems = [Path(image).stem for image in table["image"]]
    for column, name in (("n_wbc", "WBC"), ("n_rbc", "RBC"), ("n_platelets", "Platelets")):
        counts = seen[name] if name in seen else pd.Series(0, index=seen.index)
        table[column] = counts.reindex(stems).to_numpy("float64", na_value=float("nan"))
    return finish(table, str(root))


def bccd_boxes(root: str | os.PathLike[str]) -> pd.DataFrame:
    """Read the boxes of BCCD.

    Parameters
    ----------
    root : path
        As for `bccd`.

    Returns
    -------
    DataFrame
        One row per box: ``image`` (path), ``name`` (``RBC``, ``WBC`` or ``Platelets``), ``xmin``,
        ``ymin``, ``xmax``, ``ymax`` (int64, px, as annotated: from 1, both ends within the box;
        some are empty or end outside the image).

    Raises
    ------
    DatasetError
        No annotation is found, or one cannot be read.
    """
    root = folder(root)
    boxes = _boxes(root)
    if boxes.empty:
        raise DatasetError(f"{root}: expected VOC annotations (*.xml), found {contents(root)}")
    images = {file.stem: str(file) for file in walk(root, (".jpg", ".jpeg"))}
    boxes.insert(0, "image", text(images.get(stem) for stem in boxes["stem"]))
    return boxes.drop(columns="stem")


def _boxes(root: Path) -> pd.DataFrame:
    rows = []
    corners = ("xmin", "ymin", "xmax", "ymax")
    for file in walk(root, (".xml",)):
        try:
            tree = ElementTree.parse(file).getroot()
            if tree.tag != "annotation":
                continue
            for item in tree.iter("object"):
                box = {
                    corner: int(float(item.findtext(f"bndbox/{corner}") or ""))
                    for corner in corners
                }
                # The name of the file is right where the name written inside is not.
                rows.append(
                    {"stem": file.stem, "name": (item.findtext("name") or "").strip()} | box
                )
        except (ElementTree.ParseError, ValueError, OSError) as problem:
            raise DatasetError(f"{file} is no VOC annotation: {problem}") from None
    return pd.DataFrame(rows, columns=["stem", "name", *corners])


def _fields(root: Path) -> list[Path]:
    files = [
        file
        for file in walk(root, (".jpg", ".jpeg"))
        if file.parent.name.lower() in ("jpegimages", "images")
    ]
    if not files:
        raise wrong_folder("bccd", root, "a folder 'JPEGImages' (or 'images') of *.jpg")
    return files


def _number(file: Path) -> int | None:
    found = re.search(r"(\d+)$", file.stem)
    return int(found.group(1)) if found else None


def _types(root: Path) -> dict[int | None, str]:
    for file in walk(root, ("labels.csv",)):
        table = pd.read_csv(file, dtype=str, encoding="utf-8-sig")
        if {"Image", "Category"} <= set(table.columns):
            known = table[table["Image"].notna() & table["Category"].notna()]
            pairs = zip(known["Image"], known["Category"], strict=True)
            return {_number(Path(image)): category for image, category in pairs}
    return {}


def _splits(root: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in walk(root, (".txt",)):
        if file.parent.name == "Main" and file.stem in ("train", "val", "test"):
            for line in file.read_text(encoding="utf-8").splitlines():
                if line.strip():
                    found[line.split()[0]] = file.stem
    return found


def _mask(image: Path) -> str | None:
    mask = image.parent.parent / "masks" / f"{image.stem}.png"
    return str(mask) if mask.is_file() else None


def _single(raw: object) -> str | None:
    """The one type a field is said to show, or None."""
    if not isinstance(raw, str):
        return None
    types = {word.strip().lower() for word in raw.split(",") if word.strip()}
    return types.pop() if len(types) == 1 else None
