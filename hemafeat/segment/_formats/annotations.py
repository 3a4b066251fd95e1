"""Read outlines from the JSON files of QuPath (GeoJSON), LabelMe and COCO."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from hemafeat.images import MAX_PIXELS, path_of, stem_of
from hemafeat.segment._formats.polygons import Outline
from hemafeat.segment._masks import MaskError

MAX_BYTES = 2**26
"""Largest JSON file that is read; an outline takes about 1 kB."""

MAX_OUTLINES = 2**16
"""Largest number of outlines of an image."""

MAX_RUNS = 2**17
"""Largest number of runs of pixels of an outline."""

_NUCLEUS = re.compile(r"(^|[^a-z])nucle(us|i)([^a-z]|$)", re.IGNORECASE)
_CYTOPLASM = re.compile(r"(^|[^a-z])cytoplasm([^a-z]|$)", re.IGNORECASE)

_COCO_IMAGE = re.compile(r"#image=coco,(\d+)$", re.ASCII)

Size = tuple[int, int] | None
"""Height and width of the image, where a file states it."""


def read_annotations(path: str) -> tuple[list[Outline], Size, list[str]]:
    """Read the outlines of one image.

    Parameters
    ----------
    path : str
        A ``.geojson`` or ``.json`` file; ``#image=coco,N`` selects image N of a file of COCO.

    Returns
    -------
    outlines : list of Outline
        Those of cells and of nuclei.
    size : tuple of int or None
        Height and width of the image that was outlined.
    notes : list of str
        What was left out.

    Raises
    ------
    MaskError
        The file is damaged, too large or of another kind.
    """
    chosen = _COCO_IMAGE.search(path)
    content = _load(path_of(path))
    try:
        if isinstance(content, dict) and "annotations" in content and "images" in content:
            return _coco(content, None if chosen is None else int(chosen[1]))
        if isinstance(content, dict) and isinstance(content.get("shapes"), list):
            return _labelme(content)
        if isinstance(content, dict) and content.get("type") == "Feature":
            content = [content]
        if isinstance(content, dict) and content.get("type") == "FeatureCollection":
            content = content.get("features")
        if isinstance(content, list) and all(isinstance(one, dict) for one in content):
            return _geojson(content)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, MaskError):
            raise
        raise MaskError(f"has outlines of an unknown form ({type(error).__name__})") from None
    raise MaskError("holds no outlines of QuPath (GeoJSON), LabelMe or COCO")


def coco_sources(path: str, images: list[Any]) -> list[Any]:
    """Return, for each image, the part of a file of COCO that outlines it, or a `MaskError`.

    Parameters
    ----------
    path : str
        File of COCO.
    images : list of path or array
        The images; they are found by the name of their file, and by the folders round it where
        several have that name.
    """
    content, reason = None, ""
    if path.lower().endswith(".json"):
        try:
            content = _load(path)
        except MaskError as error:
            reason = f" ({error})"
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise MaskError(
            f"{path} is one file for {len(images)} images, and is not one of COCO{reason}"
        )
    by_name: dict[str, list[tuple[int, tuple[str, ...]]]] = {}
    for number, entry in enumerate(content["images"]):
        name = str(entry.get("file_name", "")) if isinstance(entry, dict) else ""
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if parts:
            by_name.setdefault(stem_of(parts[-1]), []).append((number, parts))

    def source_of(image: Any) -> Any:
        if not isinstance(image, str | os.PathLike):
            return MaskError("an array has no name by which its outlines could be found")
        parts = PurePosixPath(os.fsdecode(image).replace("\\", "/")).parts
        found = by_name.get(stem_of(os.fsdecode(image)), [])
        shared = [_shared(parts, other) for _, other in found]
        best = [number for (number, _), n in zip(found, shared, strict=True) if n == max(shared)]
        if len(best) == 1:
            return f"{path}#image=coco,{best[0]}"
        what = f"{len(best)} images" if best else "no image"
        return MaskError(f"{what} of {path} is named {stem_of(os.fsdecode(image))}")

    return [source_of(image) for image in images]


def _shared(parts: tuple[str, ...], others: tuple[str, ...]) -> int:
    """Return how many of the last parts of two paths agree."""
    n = 0
    for one, other in zip(reversed(parts), reversed(others), strict=False):
        if one != other:
            break
        n += 1
    return n


def _load(path: str) -> Any:
    try:
        state = os.stat(path)
        if state.st_size > MAX_BYTES:
            raise MaskError(f"is larger than {MAX_BYTES >> 20} MiB")
        return _parsed(path, state.st_size, state.st_mtime_ns)
    except (OSError, MaskError):
        raise
    # RecursionError for brackets in brackets, ValueError for anything that is not JSON.
    except (RecursionError, ValueError) as error:
        raise MaskError(f"is not a JSON file ({str(error).splitlines()[0]})") from None


@lru_cache(maxsize=2)
def _parsed(path: str, _size: int, _changed: int) -> Any:
    """Read a file once, though a file of COCO is asked for by each of its images."""
    with open(path, "rb") as file:
        return json.loads(file.read(MAX_BYTES))


# --- QuPath -----------------------------------------------------------------------------------

_KINDS = ("cell", "detection", "annotation")
"""Types of objects of QuPath that may be cells."""

_FORMER_KINDS = {
    "PathCellObject": "cell",
    "PathDetectionObject": "detection",
    "PathAnnotationObject": "annotation",
}
"""How QuPath 0.2 wrote the types, as ids."""


def _geojson(features: list[dict[str, Any]]) -> tuple[list[Outline], Size, list[str]]:
    found: dict[str, list[Outline]] = {kind: [] for kind in _KINDS}
    skipped: Counter[str] = Counter()
    for number, feature in enumerate(_with_children(features), 1):
        if number > 2 * MAX_OUTLINES:
            raise MaskError(f"holds more than {2 * MAX_OUTLINES} objects")
        properties = feature.get("properties") or {}
        kind = str(
            properties.get("objectType")
            or properties.get("object_type")
            or _FORMER_KINDS.get(str(feature.get("id")), "annotation")
        )
        classes = properties.get("classification") or {}
        word = classes if isinstance(classes, str) else classes.get("name") or classes.get("names")
        words = [str(word or ""), str(properties.get("name") or "")]
        rings = _rings(feature.get("geometry"))
        if kind not in _KINDS or rings is None:
            skipped[kind if rings is not None else "point or line"] += 1
            continue
        found[kind].append(make_outline(rings, words, number))
        inner = _rings(feature.get("nucleusGeometry"))
        if inner:
            found[kind].append(Outline(inner, True, f"the nucleus of outline {number}"))
        _check_number(found[kind])
    detected = found["cell"] + found["detection"]
    drawn = found["annotation"]
    if detected and drawn:
        boxes = np.array([_box(one) for one in detected])
        drawn = [one for one in drawn if not _is_region(_box(one), boxes)]
    return detected + drawn, None, _left_out(skipped)


def _with_children(features: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield objects, each followed by those in it, which QuPath may export nested."""
    waiting = features[::-1]
    while waiting:
        feature = waiting.pop()
        yield feature
        inner = feature.get("childObjects") or (feature.get("properties") or {}).get("childObjects")
        waiting.extend(reversed(inner or []))


def _is_region(box: np.ndarray, boxes: np.ndarray) -> bool:
    """Return whether what was annotated is a region in which cells were detected, not a cell.

    It holds the boxes of several, or of one that is less than a quarter of it.
    """
    held = boxes[(boxes[:, :2] >= box[:2]).all(axis=1) & (boxes[:, 2:] <= box[2:]).all(axis=1)]
    sizes = (held[:, 2:] - held[:, :2]).prod(axis=1)
    return len(held) > 1 or bool((sizes < 0.25 * (box[2:] - box[:2]).prod()).any())


def _box(outline: Outline) -> np.ndarray:
    """Return left, top, right and bottom of an outline: (4,)."""
    corners = np.concatenate(outline.rings)
    return np.concatenate([corners.min(axis=0), corners.max(axis=0)])


def _left_out(skipped: Counter[str]) -> list[str]:
    return [f"{n} of the kind {kind!r} left out" for kind, n in skipped.items() if n]


def _check_number(outlines: list[Outline]) -> None:
    if len(outlines) > MAX_OUTLINES:
        raise MaskError(f"holds more than {MAX_OUTLINES} outlines of an image")


def _rings(geometry: Any) -> list[np.ndarray] | None:
    """Return the rings of a geometry of GeoJSON; None if it has no area."""
    if not geometry:
        return None
    kind, corners = geometry.get("type"), geometry.get("coordinates")
    if kind == "Polygon":
        return [_ring(ring) for ring in corners]
    if kind == "MultiPolygon":
        return [_ring(ring) for polygon in corners for ring in polygon]
    if kind == "GeometryCollection":
        parts = [_rings(part) for part in geometry["geometries"]]
        return [ring for part in parts if part for ring in part] or None
    return None


def _ring(corners: Any) -> np.ndarray:
    """Return corners as an array, without the last one if it repeats the first."""
    ring = np.asarray(corners, np.float64)
    if ring.ndim == 2 and ring.shape[1] > 2:
        ring = ring[:, :2]
    if len(ring) > 1 and (ring[0] == ring[-1]).all():
        ring = ring[:-1]
    return ring


def make_outline(rings: list[np.ndarray], words: list[str], number: int) -> Outline:
    """Make an outline, of a nucleus if a word says so."""
    nucleus = any(_NUCLEUS.search(word) for word in words)
    if not nucleus and any(_CYTOPLASM.search(word) for word in words):
        rings = rings[:1]  # with its nucleus it is the cell
    name = next(filter(None, reversed(words)), "")
    return Outline(rings, nucleus, f"outline {number}" + (f" ({name[:40]})" if name else ""))


# --- LabelMe ----------------------------------------------------------------------------------


def _labelme(content: dict[str, Any]) -> tuple[list[Outline], Size, list[str]]:
    size = _size(content.get("imageHeight"), content.get("imageWidth"))
    outlines: list[Outline] = []
    skipped: Counter[str] = Counter()
    for number, shape in enumerate(content["shapes"], 1):
        kind = str(shape.get("shape_type") or "polygon")
        points = np.asarray(shape.get("points", []), np.float64).reshape(-1, 2)
        if kind == "rectangle" and len(points) == 2:
            (x0, y0), (x1, y1) = points
            points = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
        elif kind == "circle" and len(points) == 2:
            angle = np.linspace(0, 2 * np.pi, 128, endpoint=False)
            radius = np.hypot(*(points[1] - points[0]))
            points = points[0] + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        elif kind != "polygon":
            skipped[kind] += 1
            continue
        outlines.append(make_outline([points], [str(shape.get("label") or "")], number))
        _check_number(outlines)
    return outlines, size, _left_out(skipped)


def _size(height: Any, width: Any) -> Size:
    """Return height and width if both are stated."""
    if height is None or width is None:
        return None
    return int(height), int(width)


# --- COCO -------------------------------------------------------------------------------------


def _coco(content: dict[str, Any], chosen: int | None) -> tuple[list[Outline], Size, list[str]]:
    images = content["images"]
    if chosen is None and len(images) != 1:
        raise MaskError(
            f"is a file of COCO for {len(images)} images: give it as the masks of all of them"
        )
    image = images[chosen or 0]
    size = _size(image.get("height"), image.get("width"))
    names = {entry["id"]: str(entry.get("name", "")) for entry in content.get("categories", [])}
    outlines: list[Outline] = []
    skipped: Counter[str] = Counter()
    n_runs = 0
    for number, entry in _of_images(content).get(image["id"], []):
        words = [names.get(entry.get("category_id"), "")]
        stored = entry.get("segmentation")
        if isinstance(stored, dict):
            outlines.append(_of_runs(stored, words, number))
            n_runs += len(outlines[-1].rings)
            if n_runs > 8 * MAX_RUNS:
                raise MaskError(f"has more than {8 * MAX_RUNS} runs of pixels in an image")
        elif stored:
            rings = [np.asarray(ring, np.float64).reshape(-1, 2) for ring in stored]
            outlines.append(make_outline(rings, words, number))
        else:
            skipped["box"] += 1
        _check_number(outlines)
    return outlines, size, _left_out(skipped)


def _of_images(content: dict[Any, Any]) -> dict[Any, list[tuple[int, dict[str, Any]]]]:
    """Return the annotations of each image with their numbers, found once for a file."""
    # No key of a JSON file is a number.
    if 0 not in content:
        found: dict[Any, list[tuple[int, dict[str, Any]]]] = {}
        for number, entry in enumerate(content["annotations"], 1):
            found.setdefault(entry.get("image_id"), []).append((number, entry))
        content[0] = found
    of_images: dict[Any, list[tuple[int, dict[str, Any]]]] = content[0]
    return of_images


def _of_runs(stored: dict[str, Any], words: list[str], number: int) -> Outline:
    """Return the outline of a mask that is stored as runs of pixels, column by column."""
    height, width = map(int, stored["size"])
    counts = stored["counts"]
    runs = np.asarray(_unpacked(counts) if isinstance(counts, str) else counts, np.int64)
    n_pixels = height * width
    fits = 0 < n_pixels <= MAX_PIXELS and runs.ndim == 1 and runs.size <= MAX_RUNS
    if not fits or (runs < 0).any() or (runs > n_pixels).any() or int(runs.sum()) != n_pixels:
        raise MaskError(f"outline {number} has runs that do not fill its {height} x {width} pixels")
    ends = np.cumsum(runs)
    rings: list[np.ndarray] = []
    for start, stop in zip(ends[:-1:2].tolist(), ends[1::2].tolist(), strict=True):
        # A run may go on in the next column.
        for column in range(start // height, -(-stop // height)):
            top = max(start - column * height, 0)
            bottom = min(stop - column * height, height)
            corners = [(column, top), (column + 1, top), (column + 1, bottom), (column, bottom)]
            rings.append(np.array(corners, np.float64))
    return make_outline(rings, words, number)


def _unpacked(text: str) -> list[int]:
    """Return the runs of a text of COCO: numbers of 5 bits a letter, from the third on relative."""
    runs: list[int] = []
    value = shift = 0
    for letter in text.encode("ascii"):
        part = letter - 48
        if not 0 <= part < 64 or shift > 60:
            raise MaskError("has damaged runs of pixels")
        value |= (part & 0x1F) << shift
        shift += 5
        if part & 0x20:
            continue
        if part & 0x10:
            value -= 1 << shift
        if len(runs) > 2:
            value += runs[-2]
        runs.append(value)
        value = shift = 0
    return runs
