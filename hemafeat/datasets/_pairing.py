"""Find the mask of an image by its name: in a folder of masks, and beside the images."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

from hemafeat.datasets._schema import DatasetError, walk
from hemafeat.images import EXTENSIONS, path_of, stem_of, tile_of

ENDINGS = (
    *("_cp_masks", "_masks", "_mask", "-masks", "-mask", "_labels", "_label", "-labels", "-label"),
    *("_segmentation", "_seg", "-seg", "_trimap", "_expert"),
)
"""What programs append to the name of an image to name its mask, in the order of preference."""

IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = (
    *("masks", "mask", "labels", "label", "gt", "groundtruth", "ground_truth", "ground truth"),
    *("segmentation", "segmentations", "annotation", "annotations", "trimap", "trimaps"),
)

_CELLS, _NUCLEI, _TRIMAPS = ("cell", "cells"), ("nucleus", "nuclei"), ("trimap", "trimaps")

# A note beside a mask is not a second mask.
_NOT_MASKS = re.compile(
    r".*\.(txt|md|xml|ya?ml|csv|tsv|parquet|xlsx?|html?|pdf|log|ini|db|py)$", re.IGNORECASE
)

_OUTLINES = (".geojson", ".roi", ".zip", ".json")
"""Suffixes of files of outlines, taken where there is no image of a mask, in this order."""

Mask = str | tuple[str, str]
"""Path of a mask, or the paths of cells and nuclei."""


def mask_finder(
    folder: str | os.PathLike[str], images: Iterable[object] = ()
) -> Callable[[object], Mask]:
    """Return a function that finds the mask of an image in a folder by its name.

    A mask is named like its image, with any suffix, upper or lower case, and may end in what
    programs append: ``_cp_masks``, ``_mask``, ``-mask``, ``_seg`` and the like. A file of outlines
    (``.geojson``, ``.json``, ``.roi``, ``.zip``) is taken if there is no image of a mask. Notes
    (``.txt``, ``.csv``, ``.xml`` ...) are not masks. Where several folders hold masks
    of one name, that in a folder with the name of the folder of the image is taken.

    Parameters
    ----------
    folder : path
        Folder of masks, with any folders inside. If these include ``cell`` and ``nucleus``, as
        ``hemafeat segment`` writes them, masks are pairs; else if they include ``trimap``, masks
        are those in it.
    images : iterable of paths, optional
        All images. One mask is not given to images of the same name in different folders.

    Returns
    -------
    callable
        ``find(image)`` returns the path of the mask, or those of cells and nuclei as a tuple. It
        raises a `DatasetError` if there is no mask, or more than one.

    Raises
    ------
    DatasetError
        `folder` is not a folder.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hemafeat import datasets
    >>> Path("masks").mkdir()
    >>> for name in ("7_mask.png", "7.txt"):
    ...     Path("masks", name).touch()
    >>> datasets.mask_finder("masks")("cells/7.jpg")
    'masks/7_mask.png'
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder of masks")
    images = list(images)
    inside = {entry.name.casefold(): entry for entry in folder.iterdir() if entry.is_dir()}
    cells, nuclei, trimaps = (
        next((inside[name] for name in names if name in inside), None)
        for names in (_CELLS, _NUCLEI, _TRIMAPS)
    )
    if cells is not None and nuclei is not None:
        find_cell, find_nucleus = _finder(cells, images), _finder(nuclei, images)
        return lambda image: (find_cell(image), find_nucleus(image))
    return _finder(folder if trimaps is None else trimaps, images)


def mask_names(images: Sequence[str]) -> list[str]:
    """Return the names under which the masks of images are written, so that they are found again.

    Parameters
    ----------
    images : sequence of str
        Paths of all images.

    Returns
    -------
    list of str
        Path of each mask below a folder of masks, with the suffix ``.png``. It mirrors the folders
        of the images. Where images differ in their suffix only, the name includes it. The tiles of
        a large image lie in a folder with its name.

    Examples
    --------
    >>> from hemafeat import datasets
    >>> datasets.mask_names(["cells/basophil/1.jpg", "cells/monocyte/1.jpg"])
    ['basophil/1.png', 'monocyte/1.png']
    """
    paths = [Path(os.path.abspath(_file_of(image))) for image in images]
    shared = os.path.commonpath([path.parent for path in paths])
    names = [path.relative_to(shared).with_suffix(".png").as_posix() for path in paths]
    if len(set(names)) == len(names):
        return names
    # cell.jpg and cell.png lie side by side, so the suffix is needed.
    return [f"{path.relative_to(shared).as_posix()}.png" for path in paths]


def _file_of(image: str) -> str:
    """Return `image`, or a file name in the folder of a large image for one of its tiles."""
    tile = tile_of(image)
    if tile is None:
        return image
    return os.path.join(tile.path, f"level{tile.level}_x{tile.x}_y{tile.y}.png")


def _finder(folder: Path, images: list[object]) -> Callable[[object], str]:
    folders: dict[str, set[str]] = {}
    own: set[str] = set()
    for image in images:
        if isinstance(image, str | os.PathLike):
            file = path_of(image)
            own.add(os.path.abspath(file))
            folders.setdefault(_plain(stem_of(file)), set()).add(os.path.dirname(file))
    by_name: dict[str, list[Path]] = {}
    for path in walk(folder, ("",), masks=True):
        # Masks may lie among the images, of which none is its own mask.
        if not _NOT_MASKS.match(path.name) and os.path.abspath(path) not in own:
            by_name.setdefault(_plain(stem_of(path)).casefold(), []).append(path)

    def candidates(name: str) -> list[Path]:
        paths = by_name.get(name.casefold(), [])
        for suffixes in ((*EXTENSIONS, ".npy"), *((suffix,) for suffix in _OUTLINES)):
            if chosen := [path for path in paths if path.suffix.lower() in suffixes]:
                paths = chosen
                break
        # On a disk that tells cases apart, A.png and a.png may be two images.
        return [path for path in paths if _plain(stem_of(path)) == name] or paths

    def find(image: object) -> str:
        if not isinstance(image, str | os.PathLike):
            raise DatasetError("an array has no name by which a mask could be found")
        path = path_of(image)
        stem = _plain(stem_of(path))
        name = _plain(stem_of(f"{path}.x"))
        names = (name, stem, *(stem + ending for ending in ENDINGS))
        found = list(filter(candidates, names))
        # Outlines count where no name is that of an image of a mask.
        found.sort(key=lambda one: candidates(one)[0].suffix.lower() in _OUTLINES)
        named = found[0] if found else None
        if named is None:
            raise DatasetError(
                f"no mask in {folder} is named {stem} (or {stem}_mask, {stem}_cp_masks ...)"
            )
        paths = candidates(named)
        n_folders = len(folders.get(stem, ()))
        if len(paths) == 1 and n_folders <= 1:
            return str(paths[0])
        shared = [_shared_folders(path, image) for path in paths]
        nearest = [path for path, n in zip(paths, shared, strict=True) if n == max(shared)]
        if len(nearest) > 1:
            listed = ", ".join(str(path.relative_to(folder)) for path in paths[:4])
            raise DatasetError(f"{len(paths)} masks in {folder} are named {stem}: {listed}")
        if n_folders > 1 and max(shared) == 0 and named != name:
            raise DatasetError(
                f"images in {n_folders} folders are named {stem}, and {nearest[0]} is not in a "
                "folder of the same name as one of these"
            )
        return str(nearest[0])

    return find


def pair_masks(
    files: list[Path], root: Path
) -> tuple[list[Path], list[str | None], list[str | None]]:
    """Tell the images of a folder from masks that lie among them or beside them.

    Parameters
    ----------
    files : list of Path
        Files below `root` with the suffix of an image.
    root : Path
        Folder that was searched.

    Returns
    -------
    images : list of Path
        The files without masks: those in a folder of masks beside a folder of images, those that
        are named like an image in the same folder and a usual ending of masks, and those in folders
        of cells and nuclei side by side (and of overlays and trimaps beside these).
    masks, nuclei : list of str or None
        The mask of each image, if there is one, and that of its nuclei, if it is a file of its own.
    """
    pairs = _pairs(files)
    files = [file for file in files if not any(file.is_relative_to(folder) for folder in pairs)]
    of_pairs = {folder.parent for folder in pairs}
    stems = {(file.parent, _plain(stem_of(file))) for file in files}
    beside: dict[tuple[Path, str], str] = {}
    images = []
    for file in files:
        owner = _owner(file, stems)
        if owner is not None:
            beside.setdefault(owner, str(file))
        elif not _among_masks(file, root):
            images.append(file)
    folders = [_folder_of_masks(image, root) or _nearest(image, of_pairs) for image in images]
    # Images of one name in folders that have masks of their own, such as train and test, differ.
    served: dict[Path, list[Path]] = {}
    for image, folder in zip(images, folders, strict=True):
        if folder is not None:
            served.setdefault(folder, []).append(image)
    finders = {folder: mask_finder(folder, among) for folder, among in served.items()}
    masks: list[str | None] = []
    nuclei: list[str | None] = []
    for image, folder in zip(images, folders, strict=True):
        mask: Mask | None = beside.get((image.parent, _plain(stem_of(image))))
        if mask is None and folder is not None:
            try:
                mask = finders[folder](image)
            except DatasetError:
                mask = None
        masks.append(mask[0] if isinstance(mask, tuple) else mask)
        nuclei.append(mask[1] if isinstance(mask, tuple) else None)
    return images, masks, nuclei


def _pairs(files: list[Path]) -> set[Path]:
    """Return the folders of cells and of nuclei side by side, and those that belong to them.

    Their files have the same names, as those of ``hemafeat segment`` have.
    """
    names: dict[Path, set[str]] = {}
    for file in files:
        for folder in file.parents:
            if folder.name.casefold() in (*_CELLS, *_NUCLEI):
                names.setdefault(folder, set()).add(file.relative_to(folder).as_posix())
    found: set[Path] = set()
    for nuclei in (folder for folder in names if folder.name.casefold() in _NUCLEI):
        for cells in (folder for folder in names if folder.name.casefold() in _CELLS):
            if cells.parent == nuclei.parent and names[cells] == names[nuclei]:
                beside = (nuclei.parent / name for name in ("overlay", *_TRIMAPS))
                found |= {cells, nuclei, *beside}
    return found


def _nearest(image: Path, folders: set[Path]) -> Path | None:
    """Return the innermost of some folders that hold an image."""
    return next((parent for parent in image.parents if parent in folders), None)


def _owner(file: Path, stems: set[tuple[Path, str]]) -> tuple[Path, str] | None:
    """Return folder and stem of the image whose mask a file is, by its name."""
    stem = _plain(stem_of(file))
    for ending in ENDINGS:
        if stem.lower().endswith(ending) and (file.parent, stem[: -len(ending)]) in stems:
            return file.parent, stem[: -len(ending)]
    return None


def _among_masks(file: Path, root: Path) -> bool:
    folders = [file.parent, *file.parent.parents]
    inside = folders[: len(folders) if root not in folders else folders.index(root)]
    return any(
        folder.name.lower() in MASK_FOLDERS and _beside(folder.parent, IMAGE_FOLDERS) is not None
        for folder in inside
    )


def _folder_of_masks(image: Path, root: Path) -> Path | None:
    """Return the folder of masks of an image, from its own folder outwards.

    It lies beside a folder of images, or is called ``masks`` and lies in a folder that holds the
    image; folders of other names there may be classes.
    """
    for folder in [image.parent, *image.parent.parents]:
        masks = _beside(folder, MASK_FOLDERS[:1])
        if masks is None and folder.name.lower() in IMAGE_FOLDERS:
            masks = _beside(folder.parent, MASK_FOLDERS)
        if masks is not None or folder == root:
            return masks
    return None


@cache
def _folders(parent: Path, _changed: int) -> dict[str, Path]:
    return {entry.name.lower(): entry for entry in sorted(parent.iterdir()) if entry.is_dir()}


def _beside(parent: Path, names: Iterable[str]) -> Path | None:
    folders = _folders(parent, os.stat(parent).st_mtime_ns)
    return next((folders[name] for name in names if name in folders), None)


def _shared_folders(mask: Path, image: str | os.PathLike[str]) -> int:
    """Return how many of the innermost folders of a mask and an image have the same names."""
    n = 0
    parents = reversed(Path(path_of(image)).parent.parts)
    for first, second in zip(reversed(mask.parent.parts), parents, strict=False):
        if _plain(first).casefold() != _plain(second).casefold():
            break
        n += 1
    return n


def _plain(name: str) -> str:
    """Return a name in one of the two ways in which Unicode writes accents."""
    return unicodedata.normalize("NFC", name)
