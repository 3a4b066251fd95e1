"""Loader of BCCD: smear fields with boxes of all cells and masks of the white cells."""

from __future__ import annotations

import os
import re
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from hemafeat.datasets._catalogue import wrong_folder
from hemafeat.datasets._finish import finish
from hemafeat.datasets._schema import FILE_COLUMNS, DatasetError, contents, folder, text, walk
from hemafeat.datasets._table import MANIFEST, from_csv


def bccd(root: str | os.PathLike[str]) -> pd.DataFrame:
    r"""List BCCD: 364 fields of 640 x 480 pixels with one or more white cells among red ones.

    Parameters
    ----------
    root : path
        Unpacked repository (``BCCD/JPEGImages``, ``BCCD/Annotations``, ``BCCD/ImageSets``; a
        file ``labels.csv`` with columns ``Image`` and ``Category`` holds the types of the white
        cells), or a folder with ``images``, ``masks``, ``annotations`` and a ``manifest.csv``.

    Returns
    -------
    DataFrame
        An image table (see `as_table`). ``label`` is the type of the white cells of the field, and
        missing if a field shows several types, since they cannot be assigned to cells, or if none
        is listed; ``label_raw`` is the listed text. The attributes ``n_wbc``, ``n_rbc`` and
        ``n_platelets`` are the numbers of boxes, missing for a field without annotation. Masks show
        white cells only: values above `TRIMAP_NUCLEUS` are nucleus, above `TRIMAP_CYTOPLASM`
        cytoplasm. ``split`` is that of ``ImageSets/Main``. Patients are not identified.

    Raises
    ------
    DatasetError
        Raised if there are no images, or if an annotation cannot be read.

    See Also
    --------
    bccd_boxes : Read the boxes.

    Notes
    -----
    Source: github.com/Shenggan/BCCD_Dataset, MIT. A set of some 12,500 images of single types,
    distributed as "blood cell images", is an augmentation of this one, with copies of the same cell
    in its training and test parts; it has no loader.

    References
    ----------
    .. [1] S. Gan, BCCD Dataset, github.com/Shenggan/BCCD_Dataset, 2017.
    .. [2] P. P. Banik et al., "An automatic nucleus segmentation and CNN model based classification
       method of white blood cell", Expert Systems with Applications 149, 113211, 2020 (masks).

    Examples
    --------
    >>> from pathlib import Path
    >>> from hemafeat import datasets
    >>> Path("BCCD/JPEGImages").mkdir(parents=True)
    >>> Path("BCCD/JPEGImages/BloodImage_00001.jpg").touch()  # in place of an image
    >>> Path("labels.csv").write_text("Image,Category\n1,NEUTROPHIL\n") > 0
    True
    >>> datasets.bccd(".")["label"].tolist()
    ['neutrophil']
    """
    root = folder(root)
    if (root / MANIFEST).is_file():
        table = from_csv(root / MANIFEST).drop(columns=[*FILE_COLUMNS, "sublabel"], errors="ignore")
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
    counts = pd.crosstab(boxes["stem"], boxes["name"])
    stems = [Path(image).stem for image in table["image"]]
    for column, name in (("n_wbc", "WBC"), ("n_rbc", "RBC"), ("n_platelets", "Platelets")):
        n_boxes = counts[name] if name in counts else pd.Series(0, index=counts.index)
        table[column] = n_boxes.reindex(stems).to_numpy("float64", na_value=float("nan"))
    return finish(table, root)


def bccd_boxes(root: str | os.PathLike[str]) -> pd.DataFrame:
    """Read the boxes of BCCD.

    Parameters
    ----------
    root : path
        Folder of the data set, as for `bccd`.

    Returns
    -------
    DataFrame
        One row per box: ``image`` (path), ``name`` (``RBC``, ``WBC`` or ``Platelets``), ``xmin``,
        ``ymin``, ``xmax``, ``ymax`` (int64, px, as annotated: counted from 1 and inclusive; some
        boxes are empty or end outside the image).

    Raises
    ------
    DatasetError
        Raised if there are no annotations, or if one cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hemafeat import datasets
    >>> box = "<bndbox><xmin>9</xmin><ymin>5</ymin><xmax>40</xmax><ymax>38</ymax></bndbox>"
    >>> xml = f"<annotation><object><name>WBC</name>{box}</object></annotation>"
    >>> Path("BloodImage_00001.jpg").touch()
    >>> Path("BloodImage_00001.xml").write_text(xml) > 0
    True
    >>> datasets.bccd_boxes(".").drop(columns="image")
      name  xmin  ymin  xmax  ymax
    0  WBC     9     5    40    38
    """
    root = folder(root)
    boxes = _boxes(root)
    if boxes.empty:
        raise DatasetError(f"{root} has no VOC annotations (*.xml); found {contents(root)}")
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
                # The file name is reliable; the name stated in the annotation is sometimes wrong.
                rows.append(
                    {"stem": file.stem, "name": (item.findtext("name") or "").strip()} | box
                )
        except (ElementTree.ParseError, ValueError, OSError) as problem:
            raise DatasetError(f"{file} is not a VOC annotation: {problem}") from None
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
    match = re.search(r"(\d+)$", file.stem)
    return int(match.group(1)) if match else None


def _types(root: Path) -> dict[int | None, str]:
    for file in walk(root, ("labels.csv",)):
        table = pd.read_csv(file, dtype=str, encoding="utf-8-sig")
        if {"Image", "Category"} <= set(table.columns):
            rows = table[["Image", "Category"]].dropna().itertuples(index=False, name=None)
            return {_number(Path(image)): category for image, category in rows}
    return {}


def _splits(root: Path) -> dict[str, str]:
    splits: dict[str, str] = {}
    for file in walk(root, (".txt",)):
        if file.parent.name == "Main" and file.stem in ("train", "val", "test"):
            for line in file.read_text(encoding="utf-8").splitlines():
                if line.strip():
                    splits[line.split()[0]] = file.stem
    return splits


def _mask(image: Path) -> str | None:
    mask = image.parent.parent / "masks" / f"{image.stem}.png"
    return str(mask) if mask.is_file() else None


def _single(raw: object) -> str | None:
    """Return the type of a field, or None if it shows several types or none is listed."""
    if not isinstance(raw, str):
        return None
    types = {word.strip().lower() for word in raw.split(",") if word.strip()}
    return types.pop() if len(types) == 1 else None
