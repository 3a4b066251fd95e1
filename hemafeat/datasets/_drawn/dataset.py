"""Draw a data set of single cells with exact masks into a folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import cv2
import numpy as np
import pandas as pd

from hemafeat._machine import n_workers, progress_bar
from hemafeat.datasets._drawn.cell_types import KINDS
from hemafeat.datasets._drawn.field import VIEW_UM, DrawnCell, check_kinds, draw_with
from hemafeat.datasets._drawn.scene import RedCells
from hemafeat.datasets._drawn.stain import BACKGROUNDS, Light, Stain
from hemafeat.datasets._schema import COLUMNS
from hemafeat.datasets._table import MANIFEST, from_csv

RECORD = "drawn.json"
_VERSION = 1  # to be increased whenever the same seed gives other pixels
_PATIENT, _IMAGE = 1, 2  # separate streams of random numbers


@dataclass(frozen=True, slots=True)
class Patient:
    """What the images of a patient have in common."""

    name: str
    stain: Stain
    light: Light
    red: RedCells
    share: dict[str, float]


def drawn(
    out: str | os.PathLike[str],
    n_images: int = 450,
    *,
    kinds: Sequence[str] = KINDS,
    n_patients: int = 15,
    size: int = 360,
    random_state: int = 0,
    background: str | None = None,
    format: str = "png",
    n_jobs: int | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Draw a data set of single cells with exact masks into a folder.

    Each patient has an individual stain, microscope and red cells, and individual frequencies of
    cell types; the stain does not predict the cell type. Image ``i`` depends on `random_state` and
    ``i`` (and on `kinds`, `n_patients`, `size` and `background`), not on the number of images or
    threads. Between versions of OpenCV, outlines and granules may shift by a pixel.

    The folder contains ``images/<kind>/<patient>_<number>.png``; trimaps of the same name in
    ``masks/`` (0 background, 128 cytoplasm, 255 nucleus); ``manifest.csv``, the image table with
    relative paths; and ``drawn.json``, the arguments. It is written completely or not at all. If it
    already exists with the same arguments, it is read.

    Parameters
    ----------
    out : path
        Folder to write. It must not exist, be empty, or hold the same data set.
    n_images : int
        Number of images. Kinds alternate, so that their numbers are equal.
    kinds : sequence of str
        Types of cell to draw, from `KINDS`. By default all.
    n_patients : int
        Number of patients, ``P01`` to ``P<n_patients>``. With few images some may not occur.
    size : int
        Side of the square images, in px. An image shows 36 x 36 um.
    random_state : int
        Seed of the random numbers.
    background : {"cream", "white", "pink", "yellow", "black"}, optional
        Background of all images. By default each patient has one of the four bright backgrounds.
        With ``"black"`` everything outside the cell is 0.
    format : {"png", "jpg"}
        File format of the images. JPEG (quality 95) takes less space but is lossy. Masks are always
        PNG.
    n_jobs : int, optional
        Number of threads. By default one per processor.
    progress : bool, optional
        Whether to show a progress bar. By default it is shown only on a terminal.

    Returns
    -------
    DataFrame
        The image table, one row per image: ``image``, ``label``, ``label_raw``, ``patient``,
        ``group`` (the patient), ``split`` (missing), ``dataset`` (``"drawn"``), ``um_per_px``,
        ``mask``.

    Raises
    ------
    FileExistsError
        Raised if `out` holds anything else, which is not changed.
    ValueError
        Raised if a kind, background or format is unknown, or a number is out of range.

    Examples
    --------
    >>> from hemafeat import datasets
    >>> table = datasets.drawn("cells", 4, kinds=["monocyte", "basophil"], size=64)
    >>> table[["image", "label", "um_per_px"]]
                                   image     label  um_per_px
    0  cells/images/monocyte/P..._00000.png  monocyte     0.5625
    1  cells/images/basophil/P..._00001.png  basophil     0.5625
    2  cells/images/monocyte/P..._00002.png  monocyte     0.5625
    3  cells/images/basophil/P..._00003.png  basophil     0.5625
    """
    settings = {
        "drawing": _VERSION,
        "n_images": int(n_images),
        "kinds": list(kinds),
        "n_patients": int(n_patients),
        "size": int(size),
        "random_state": int(random_state),
        "background": background,
        "format": format,
    }
    _check(settings)
    return write_once(Path(out), settings, lambda part: _draw(part, settings, n_jobs, progress))


def _check(settings: dict[str, Any]) -> None:
    kinds, background = settings["kinds"], settings["background"]
    if not kinds:
        raise ValueError("kinds is empty; expected at least one type of cell")
    check_kinds(kinds)
    if len(set(kinds)) < len(kinds):
        raise ValueError(f"kinds has repeated values: {', '.join(kinds)}")
    for name, least in (("n_images", 1), ("n_patients", 1), ("size", 48), ("random_state", 0)):
        if settings[name] < least:
            raise ValueError(f"{name} is {settings[name]}; expected at least {least}")
    if background is not None and background not in BACKGROUNDS:
        raise ValueError(f"unknown background {background!r}; available: {', '.join(BACKGROUNDS)}")
    if settings["format"] not in ("png", "jpg"):
        raise ValueError(f"format is {settings['format']!r}; expected 'png' or 'jpg'")


def write_once(
    folder: Path, settings: dict[str, Any], draw: Callable[[Path], None]
) -> pd.DataFrame:
    """Draw into a folder, completely or not at all, or read it if it has the same settings."""
    write_files_once(folder, settings, draw)
    return from_csv(folder / MANIFEST)


def write_files_once(folder: Path, settings: dict[str, Any], draw: Callable[[Path], None]) -> None:
    """Draw into a folder, completely or not at all, unless it has the same settings."""
    if not _has_settings(folder, settings):
        part = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}.part")
        part.mkdir(parents=True)
        try:
            draw(part)
            (part / RECORD).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
            if folder.is_dir():
                folder.rmdir()
            part.replace(folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise


def _has_settings(folder: Path, settings: dict[str, Any]) -> bool:
    """Return True if `folder` was drawn with these settings; raise if it holds anything else."""
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; expected a folder")
    if not any(folder.iterdir()):
        return False
    try:
        recorded = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise FileExistsError(
            f"{folder} is not empty and does not hold drawn cells; choose another folder"
        ) from None
    if not isinstance(recorded, dict):
        recorded = {}
    for name, value in settings.items():
        if recorded.get(name) != value:
            raise FileExistsError(
                f"{folder} holds other drawn cells ({name} is {recorded.get(name)!r}, not "
                f"{value!r}); choose another folder or remove this one"
            )
    return True


@contextmanager
def drawing_threads(n_jobs: int | None) -> Iterator[ThreadPoolExecutor]:
    """Open a pool of threads, each of which uses OpenCV without further threads."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(n_workers(n_jobs)) as pool:
            try:
                yield pool
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        cv2.setNumThreads(before)


def draw_patient(random_state: int, number: int, background: str | None, name: str = "") -> Patient:
    """Draw the stain, microscope, red cells and frequencies of cell types of a patient."""
    rng = np.random.default_rng([random_state, _PATIENT, number])
    # Shares of all kinds are drawn, so that the selection of kinds changes nothing else.
    share = dict(zip(KINDS, rng.gamma(1.5, size=len(KINDS)) + 0.05, strict=True))
    return Patient(
        name=name,
        stain=Stain.draw(rng, background),
        light=Light.draw(rng),
        red=RedCells.draw(rng),
        share=share,
    )


def _draw_image(
    settings: dict[str, Any], patients: Sequence[Patient], i: int
) -> tuple[str, DrawnCell]:
    """Draw image `i` and return the name of its patient and the cell."""
    rng = np.random.default_rng([settings["random_state"], _IMAGE, i])
    kind = settings["kinds"][i % len(settings["kinds"])]
    shares = np.array([patient.share[kind] for patient in patients])
    patient = patients[int(rng.choice(len(patients), p=shares / shares.sum()))]
    light = patient.light.another(rng)
    return patient.name, draw_with(
        rng, kind, settings["size"], patient.stain, light, patient.red, None
    )


def _draw(
    folder: Path, settings: dict[str, Any], n_jobs: int | None, progress: bool | None
) -> None:
    n_patients = settings["n_patients"]
    width = max(2, len(str(n_patients)))
    patients = [
        draw_patient(settings["random_state"], i, settings["background"], f"P{i + 1:0{width}d}")
        for i in range(n_patients)
    ]
    suffix = settings["format"]
    for kind in settings["kinds"]:
        for part in ("images", "masks"):
            (folder / part / kind).mkdir(parents=True)

    def write_image(i: int) -> dict[str, Any]:
        name, cell = _draw_image(settings, patients, i)
        image = f"images/{cell.kind}/{name}_{i:05d}.{suffix}"
        mask = f"masks/{cell.kind}/{name}_{i:05d}.png"
        trimap = np.where(cell.nucleus > 0, 255, np.where(cell.cell > 0, 128, 0)).astype(np.uint8)
        quality = [cv2.IMWRITE_JPEG_QUALITY, 95] if suffix == "jpg" else []
        bgr = cv2.cvtColor(cell.image, cv2.COLOR_RGB2BGR)
        (folder / image).write_bytes(cv2.imencode(f".{suffix}", bgr, quality)[1].tobytes())
        (folder / mask).write_bytes(cv2.imencode(".png", trimap)[1].tobytes())
        return {"image": image, "label": cell.kind, "patient": name, "mask": mask}

    n = settings["n_images"]
    rows = []
    with progress_bar(n, "draw", progress=progress) as bar, drawing_threads(n_jobs) as pool:
        for row in pool.map(write_image, range(n)):
            rows.append(row)
            bar.update()
    table = pd.DataFrame(rows, columns=COLUMNS)
    table["label_raw"] = table["label"]
    table["group"] = table["patient"]
    table["dataset"] = "drawn"
    table["um_per_px"] = VIEW_UM / settings["size"]
    table.to_csv(folder / MANIFEST, index=False, encoding="utf-8", lineterminator="\n")
