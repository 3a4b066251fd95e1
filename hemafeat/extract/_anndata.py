"""Tables of cells as AnnData, which scanpy, squidpy and the other tools of scverse take."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hemafeat import __version__
from hemafeat._frames import as_frame, need_frame
from hemafeat._machine import how_to_install
from hemafeat.extract._attributes import storable
from hemafeat.extract._columns import describe, feature_columns
from hemafeat.extract._former import FORMULAS
from hemafeat.extract._measured import MEASURED, as_options
from hemafeat.extract._table.errors import errors
from hemafeat.images import read, stem_of
from hemafeat.segment import Masks, find_cells, segmenter as find_segmenter

if TYPE_CHECKING:
    from anndata import AnnData
    from spatialdata import SpatialData

_KEY = "hemafeat"
"""Entry of ``uns`` that holds what is known of a table and is no column."""

_CENTROID = ("where__x", "where__y")
"""Columns of the centroid of a cell in its image, in px."""


def to_anndata(table: pd.DataFrame) -> AnnData:
    """Return a table of cells as AnnData, for scanpy, squidpy and other tools of scverse.

    Parameters
    ----------
    table : DataFrame
        Table of cells as returned by `table` or `load`, of pandas or of any library that converts
        to it.

    Returns
    -------
    anndata.AnnData
        ``X`` (n_cells, n_features) float64 holds the features, with NaN where a value is
        undefined; ``obs`` all other columns, text as categories, under names such as
        ``image.png#1``; ``var`` the rows of `describe` with the units of the table;
        ``obsm["spatial"]`` (n_cells, 2) float64 the centroids in px, x before y, if the table has
        them; and ``uns["hemafeat"]`` how the cells were measured, and the table of errors.

    Raises
    ------
    ImportError
        The package anndata is not installed.
    ValueError
        The table is no table of cells.

    Notes
    -----
    `hemafeat.evaluate.compare` and the pipelines take an AnnData as they take a table, and `save`
    writes, `load` reads files ``.h5ad``.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cells = datasets.drawn("cells", 4, size=120, random_state=0)
    >>> adata = extract.to_anndata(extract.table(cells, families=["shape"]))
    >>> adata.shape, adata.var.loc["nucleus__shape__area", "unit"]
    ((4, 64), 'um^2')
    """
    anndata = need_anndata("extract.to_anndata")
    table = need_frame(table, "an AnnData")
    features = feature_columns(table)
    if not {"image", "cell"} <= set(table.columns) or not features:
        raise ValueError("an AnnData is made of a table of cells, with image, cell and features")
    obs = storable(table.drop(columns=features)).copy()
    obs.attrs = {}
    obs.index = _names(table)
    for name in obs.columns:
        if not pd.api.types.is_numeric_dtype(obs[name].dtype):
            # The missing value of text is not that of a category in every version of pandas.
            text = obs[name].astype(object).where(obs[name].notna(), None)
            obs[name] = pd.Categorical(text, categories=sorted(set(text.dropna().map(str))))
    var = describe(table).set_index("column").rename_axis(None)
    about: dict[str, Any] = {
        "version": __version__,
        "formulas": int(table.attrs.get("formulas", FORMULAS)),
        MEASURED: as_options(table.attrs.get(MEASURED)),
    }
    failures = errors(table).astype(str)
    if len(failures):
        about["errors"] = failures.set_axis(failures.index.astype(str), axis=0)
    adata = anndata.AnnData(
        table[features].to_numpy(np.float64, na_value=np.nan), obs=obs, var=var, uns={_KEY: about}
    )
    if set(_CENTROID) <= set(table.columns):
        adata.obsm["spatial"] = table[list(_CENTROID)].to_numpy(np.float64, na_value=np.nan)
    return adata


def to_spatialdata(
    table: pd.DataFrame,
    *,
    segmenter: str | Callable[[np.ndarray], Any] = "contours",
    masks: Sequence[Masks] | None = None,
) -> SpatialData:
    """Return a table of cells with its images and outlines as SpatialData.

    Parameters
    ----------
    table : DataFrame
        Table of cells whose column ``image`` leads to the images.
    segmenter : str or callable
        Segmenter with which the table was measured: a table holds no outlines, so that the images
        are segmented again.
    masks : sequence of Masks, optional
        Masks of the images, in the order in which these occur in the table, in place of a
        segmenter.

    Returns
    -------
    spatialdata.SpatialData
        ``images``, one for each image, with the channels r, g and b, under the name of its file;
        ``labels`` (``<name>_cells``) with the outlines; and the table ``cells``, the AnnData of
        `to_anndata`, each of whose rows is a label of one of them. Coordinates are px of the image.

    Raises
    ------
    ImportError
        The package spatialdata is not installed.
    hemafeat.images.ImageError
        An image cannot be read.
    ValueError
        The number of masks is not that of the images, or a mask lacks a cell of the table.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cells = datasets.drawn("cells", 2, size=120, random_state=0)
    >>> sdata = extract.to_spatialdata(extract.table(cells, families=["shape"]))
    >>> len(sdata.images), len(sdata.labels), sdata.tables["cells"].n_obs
    (2, 2, 2)
    """
    try:
        import spatialdata
        from spatialdata.models import Image2DModel, Labels2DModel, TableModel
    except ImportError as error:
        raise ImportError(
            f"extract.to_spatialdata needs spatialdata: {how_to_install('spatialdata')} ({error})"
        ) from None
    adata = to_anndata(table)
    paths = list(dict.fromkeys(table["image"].map(str)))
    if masks is not None and len(masks) != len(paths):
        raise ValueError(f"{len(masks)} masks were given for {len(paths)} images")
    find = find_segmenter(segmenter)
    names: dict[str, str] = {}
    pictures, labels = {}, {}
    for number, path in enumerate(paths):
        image = read(path)
        found = find_cells(find, image, path) if masks is None else masks[number]
        found.check_fit(image.shape)
        of_image = table.loc[(table["image"].map(str) == path).to_numpy(), "cell"]
        if of_image.max() > found.n_cells:
            raise ValueError(
                f"{path}: the masks hold {found.n_cells} cells, the table cell {of_image.max()}; "
                "give the segmenter or masks with which it was measured"
            )
        # Names of elements are letters, digits, "_", "-" and ".".
        stem = re.sub(r"[^A-Za-z0-9_.-]", "_", stem_of(path)).lstrip("_") or "image"
        name = stem if stem not in pictures else f"{stem}_{number}"
        names[path] = f"{name}_cells"
        pictures[name] = Image2DModel.parse(
            np.moveaxis(image, 2, 0), dims=("c", "y", "x"), c_coords=["r", "g", "b"]
        )
        labels[names[path]] = Labels2DModel.parse(found.cell, dims=("y", "x"))
    regions = table["image"].map(str).map(names)
    adata.obs["region"] = pd.Categorical(regions, categories=list(names.values()))
    adata.obs["instance_id"] = table["cell"].to_numpy(np.int64)
    cells = TableModel.parse(
        adata, region=list(names.values()), region_key="region", instance_key="instance_id"
    )
    return spatialdata.SpatialData(images=pictures, labels=labels, tables={"cells": cells})


def _names(table: pd.DataFrame) -> pd.Index:
    """Return a name for each cell: that of its image and its number."""
    names = table["image"].map(str) + "#" + table["cell"].map(str)
    if "redrawn" in table:
        names += table["redrawn"].map(lambda number: f"~{number}" if number else "")
    repeated = names.groupby(names).cumcount()
    return pd.Index([f"{name}-{n}" if n else name for name, n in zip(names, repeated, strict=True)])


def need_anndata(user: str) -> Any:
    """Return the module anndata.

    Raises
    ------
    ImportError
        It is not installed.
    """
    try:
        import anndata
    except ImportError as error:
        raise ImportError(
            f"{user} needs anndata: {how_to_install('anndata', 'anndata')} ({error})"
        ) from None
    return anndata


def write_h5ad(table: pd.DataFrame, path: Path) -> None:
    """Write a table of cells as a file of AnnData."""
    to_anndata(table).write_h5ad(path)


def read_h5ad(path: Path) -> pd.DataFrame:
    """Read a table of cells from a file of AnnData, with how it was measured and its errors."""
    adata = need_anndata(f"reading {path}").read_h5ad(path)
    table = as_frame(adata)
    about = adata.uns.get(_KEY, {})
    if how := as_options(about.get(MEASURED)):
        table.attrs[MEASURED] = how
    if (failures := about.get("errors")) is not None:
        table.attrs["errors"] = failures.astype(str).to_dict("records")
    table.attrs["formulas"] = int(about.get("formulas", FORMULAS))
    return table


def columns_of_h5ad(path: Path) -> list[str]:
    """Return the names of the columns of a table of cells in a file of AnnData."""
    adata = need_anndata(f"reading {path}").read_h5ad(path, backed="r")
    try:
        return [*map(str, adata.obs.columns), *map(str, adata.var_names)]
    finally:
        adata.file.close()
