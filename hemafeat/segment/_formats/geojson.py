"""Write masks as GeoJSON, which QuPath opens as cells."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from hemafeat._files import write_whole
from hemafeat.segment._formats.polygons import trace
from hemafeat.segment._masks import Masks


def write_geojson(
    masks: Masks, path: str | os.PathLike[str], *, corner: tuple[int, int] = (0, 0)
) -> None:
    """Write the outlines of cells and nuclei as GeoJSON, which QuPath opens.

    Outlines run along the sides of pixels: `read_masks` gives the same masks back, as long as no
    outline was changed. In QuPath drag the file onto the image; to come back, choose File > Export
    objects as GeoJSON.

    Parameters
    ----------
    masks : Masks
        Cells and nuclei. The name of an outline is the number of its cell, 1 to n.
    path : path
        File to write, with the suffix ``.geojson``.
    corner : (int, int)
        Column and row of a larger image at which the masks lie; their outlines are written in its
        pixels. Default (0, 0).

    Raises
    ------
    ValueError
        The file has another suffix, by which it could not be read again.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> from hemafeat import datasets, segment
    >>> drawn = datasets.draw_cell("neutrophil", random_state=0)
    >>> masks = segment.Masks(drawn.cell, drawn.nucleus)
    >>> segment.write_geojson(masks, "neutrophil.geojson")
    >>> again = segment.read_masks("neutrophil.geojson", shape=masks.shape)
    >>> bool((again.cell == masks.cell).all() and (again.nucleus == masks.nucleus).all())
    True
    """
    if not os.fsdecode(path).lower().endswith(".geojson"):
        raise ValueError(f"{os.fspath(path)!r} does not end in .geojson")
    features = [_feature(masks, number, corner) for number in range(1, masks.n_cells + 1)]
    content = json.dumps({"type": "FeatureCollection", "features": features})
    write_whole(Path(path), lambda part: part.write_text(content, encoding="utf-8"))


def _feature(masks: Masks, number: int, corner: tuple[int, int]) -> dict[str, Any]:
    cell, nucleus = (_geometry(labels, number, corner) for labels in (masks.cell, masks.nucleus))
    properties: dict[str, Any] = {"objectType": "cell", "name": str(number)}
    feature = {"type": "Feature", "geometry": cell, "properties": properties}
    if cell is None:
        # Objects of the type cell have an outline of the cell.
        properties |= {"objectType": "detection", "classification": {"name": "Nucleus"}}
        feature["geometry"] = nucleus
    elif nucleus is not None:
        feature["nucleusGeometry"] = nucleus
    return feature


def _geometry(labels: np.ndarray, number: int, corner: tuple[int, int]) -> dict[str, Any] | None:
    """Return the outline of a label as a geometry of GeoJSON, whose rings repeat their start."""
    polygons = [
        [[*(ring + corner).tolist(), (ring[0] + corner).tolist()] for ring in rings]
        for rings in trace(labels, number)
    ]
    if not polygons:
        return None
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}
