"""Images with their masks and the rows of their cells, as layers of napari."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemafeat import datasets, extract, segment
from hemafeat._csv import with_formulas
from hemafeat._files import read_parquet
from hemafeat.images import Tile, path_of, read, stem_of, tile_of
from hemafeat.segment import Masks

LayerData = tuple[Any, dict[str, Any], str]
"""Data, arguments and type of a layer of napari."""

KEY = "hemafeat"
"""Entry of the metadata of a layer: its `Collection` (or None), its row there, and what it shows:
``"image"``, ``"cells"``, ``"nuclei"`` or ``"boxes"``."""

BOX = [f"where__{side}" for side in ("left", "top", "right", "bottom")]


class Collection:
    """Images, and what is known of their cells.

    Parameters
    ----------
    source : path
        A folder or table of images, as `hemafeat.datasets.as_table` takes it; the folder that
        ``hemafeat segment`` wrote; or a table of cells: a result of ``hemafeat extract``, the
        predictions of ``hemafeat predict``, ``quality.csv``.
    masks : path, optional
        Folder or file of masks. By default those that `source` holds or names.

    Attributes
    ----------
    table : DataFrame
        Image table.
    images : list of str
        Paths of the images.
    cells : DataFrame or None
        Table of cells, if `source` is or holds one.

    Raises
    ------
    ValueError, OSError
        `source` or `masks` cannot be read, or holds no images.
    """

    def __init__(
        self, source: str | os.PathLike[str], masks: str | os.PathLike[str] | None = None
    ) -> None:
        path = Path(source)
        found: Any = masks
        written = [(path / name).is_dir() for name in ("cell", "trimap")]
        if (path / "quality.csv").is_file() and any(written):
            # A folder of `hemafeat segment`.
            found = path if masks is None else masks
            source = path / "quality.csv"
        self.cells = _cells(Path(source))
        if self.cells is None:
            self.table = datasets.as_table(path)
        else:
            names = [name for name in ("image", "mask", "um_per_px") if name in self.cells]
            listed = self.cells[names].drop_duplicates("image", ignore_index=True)
            if any(written) and (path / "counts.csv").is_file():
                # Here are also the images in which no cell was found.
                counted = _read_csv(path / "counts.csv")[["image"]]
                # The tiles of a large image are counted together.
                tiles = [tile_of(str(name)) for name in listed["image"]]
                if any(tiles):
                    shown = {tile.path for tile in tiles if tile is not None}
                    counted = pd.concat([listed[["image"]], counted])
                    counted = counted[~counted["image"].isin(shown)].drop_duplicates()
                listed = counted.reset_index(drop=True)
            places = [_found(name, path) for name in map(str, listed["image"])]
            named = dict(zip(places, map(str, listed["image"]), strict=True))
            self.table = datasets.as_table(listed.assign(image=places))
            # A large image without cells is cut into tiles, which no table names.
            self._named = [named.get(image, image) for image in map(str, self.table["image"])]
        self.images = list(map(str, self.table["image"]))
        if masks is None and any(map(tile_of, self.images)):
            # The masks of tiles are not found by their names: the cells are shown as boxes.
            found = None
        if found is None and self.table["mask"].notna().any():
            found = "given"
        self._find = segment.mask_source(found, self.table)

    def _source(self, row: int) -> Any:
        """Return the source of the masks of an image: path, pair of paths, MaskError or None."""
        return None if self._find is None else self._find(self.table.iloc[[row]], row)[0]

    def place(self, row: int, folder: str | os.PathLike[str] | None) -> tuple[str, str]:
        """Return where masks of an image are written: folder and name of `segment.write_masks`.

        Parameters
        ----------
        row : int
            Row of the image.
        folder : path or None
            Folder of masks. By default that of the masks of the image, if these are such a pair of
            files; else the returned one is empty.

        Raises
        ------
        ValueError
            `folder` holds the masks of the image in another form.
        """
        source = self._source(row)
        parts = source if isinstance(source, tuple) else (source,)
        files = [Path(part) for part in parts if isinstance(part, (str, os.PathLike))]
        target = None if folder is None else Path(folder).resolve()
        for above in files[0].parents if len(files) == 2 else ():
            name = files[0].relative_to(above)
            if (
                above.name == "cell"
                and files[1] == above.parent / "nucleus" / name
                and name.suffix == ".png"
                and target in (None, above.parent.resolve())
            ):
                return str(above.parent), name.as_posix()
        if target is not None and any(file.resolve().is_relative_to(target) for file in files):
            raise ValueError(
                f"{folder} holds masks of another form, beside which pairs of files would hide "
                "them: choose another folder to save to"
            )
        return "" if folder is None else os.fspath(folder), datasets.mask_names(self.images)[row]

    def layers(self, row: int) -> list[LayerData]:
        """Return the layers of an image: its pixels, cells and nuclei, or boxes around the cells.

        Boxes are returned where a table says where its cells lie, and no masks are known.

        Raises
        ------
        ValueError, OSError
            The image or its mask cannot be read, or they differ in size.
        """
        image, tile = read(self.images[row]), tile_of(self.images[row])
        name = stem_of(self.images[row])
        own = {KEY: (self, row, "image")}
        found: list[LayerData] = [(image, {"name": name, "rgb": True, "metadata": own}, "image")]
        rows = self._rows(row)
        source = self._source(row)
        if isinstance(source, segment.MaskError):
            warnings.warn(str(source), segment.MaskWarning, stacklevel=2)
        elif source is not None:
            masks = segment.as_masks(source, shape=image.shape[:2])
            masks.check_fit(image.shape)
            if masks.note:
                warnings.warn(f"{name}: {masks.note}", segment.MaskWarning, stacklevel=2)
            known = _of_masks(rows, masks, tile)
            return found + label_layers(masks, name, known, owner=(self, row))
        if rows is not None and len(rows) and set(BOX) <= set(rows):
            if tile is not None:
                # The table has the positions in the whole image.
                corner = [tile.left, tile.top, tile.left, tile.top]
                rows = rows.assign(
                    **{side: rows[side] - at for side, at in zip(BOX, corner, strict=True)}
                )
            found.append(_boxes(rows, name, owner=(self, row)))
        return found

    def _rows(self, row: int) -> pd.DataFrame | None:
        """Return the rows of the cells of an image, without empty columns."""
        if self.cells is None:
            return None
        rows = self.cells[(self.cells["image"].map(str) == self._named[row]).to_numpy(bool)]
        return rows.drop(columns=["image", "mask"], errors="ignore").dropna(axis=1, how="all")


def _cells(path: Path) -> pd.DataFrame | None:
    """Return a table of cells, or None if a path is something else."""
    if extract.is_result(path):
        return extract.load(path)
    suffix = path.suffix.lower()
    if path.is_dir() or suffix not in (".csv", ".parquet"):
        return None
    table = _read_csv(path) if suffix == ".csv" else read_parquet(path)
    return table if {"image", "cell"} <= set(table) else None


def _read_csv(path: Path) -> pd.DataFrame:
    return with_formulas(pd.read_csv(path, dtype={"image": str}))


def _found(image: str, table: Path) -> str:
    """Return the path of an image, which may be relative to a folder above its table.

    napari may have been started in another folder than the command that wrote the table.
    """
    if "://" in image or os.path.isabs(image) or os.path.exists(path_of(image)):
        return image
    above = (parent / image for parent in table.absolute().parents)
    # Behind the file, the name of a tile says which part of it is meant.
    return next((str(path) for path in above if os.path.exists(path_of(str(path)))), image)


def _of_masks(rows: pd.DataFrame | None, masks: Masks, tile: Tile | None) -> pd.DataFrame | None:
    """Return the rows of the cells of masks, or None unless these are those that were measured."""
    names = ["where__mask_label", *BOX, "where__area_px"]
    if rows is None or not set(names) <= set(rows):
        return None
    position = masks.positions()
    position = position if tile is None else tile.on_slide(position)
    place = pd.DataFrame(position).add_prefix("where__")[names]
    # A table may hold the central cell only.
    known = place[place["where__mask_label"].isin(rows["where__mask_label"])]
    same = np.array_equal(rows[names].to_numpy(float), known.to_numpy(float))
    return rows.assign(index=place.loc[known.index, names[0]].to_numpy()) if same else None


Owner = tuple[Collection | None, int]


def label_layers(
    masks: Masks, name: str, features: pd.DataFrame | None = None, *, owner: Owner
) -> list[LayerData]:
    """Return the layers of cells and of nuclei of an image, with the same numbers.

    Parameters
    ----------
    masks : Masks
        Cells and nuclei.
    name : str
        Name of the layer of the image.
    features : DataFrame, optional
        One row per cell; the column ``index`` holds its number in the masks. By default the
        quality record of the masks.
    owner : tuple
        Collection of the image (or None) and its row there.
    """
    numbers = np.concatenate([[0], masks.ids])
    if numbers[-1] <= np.iinfo(np.int32).max:
        numbers = numbers.astype(np.int32)
    if features is None:
        features = pd.DataFrame({"index": masks.ids, **masks.quality})
    return [
        (
            numbers[labels],
            {
                "name": f"{name} {part}",
                "opacity": 0.4,
                "metadata": {KEY: (*owner, part)},
                **({"features": features} if part == "cells" else {}),
            },
            "labels",
        )
        for part, labels in (("cells", masks.cell), ("nuclei", masks.nucleus))
    ]


def _boxes(rows: pd.DataFrame, name: str, *, owner: Owner) -> LayerData:
    """Return the layer of the boxes around the cells of a table."""
    rows = rows.dropna(subset=BOX)
    # The middle of a pixel is at whole numbers, so that its sides lie half a pixel away.
    left, top, right, bottom = (rows[side].to_numpy(float) - 0.5 for side in BOX)
    corners = [(top, left), (top, right), (bottom, right), (bottom, left)]
    said = next((column for column in ("predicted", "label") if column in rows), None)
    text = "{cell}" if said is None else f"{{cell}} {{{said}}}"
    return (
        list(np.stack([np.stack(corner, axis=1) for corner in corners], axis=1)),
        {
            "name": f"{name} boxes",
            "metadata": {KEY: (*owner, "boxes")},
            "shape_type": "rectangle",
            "edge_color": "yellow",
            "face_color": "transparent",
            "features": rows.reset_index(drop=True),
            "text": {"string": text, "anchor": "upper_left", "color": "yellow"},
        },
        "shapes",
    )
