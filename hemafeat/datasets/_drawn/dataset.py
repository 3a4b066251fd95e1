"""A folder of drawn cells with exact masks, as a data set."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import cv2
import numpy as np
import pandas as pd

from hemafeat.datasets._drawn.cell_types import KINDS
from hemafeat.datasets._drawn.field import VIEW_UM, DrawnCell, check_kinds, draw_with
from hemafeat.datasets._drawn.scene import RedCells
from hemafeat.datasets._drawn.stain import BACKGROUNDS, Light, Stain
from hemafeat.datasets._schema import COLUMNS
from hemafeat.datasets._table import MANIFEST, from_csv

RECORD = "drawn.json"
_DRAWING = 1  # raised whenever the same seed comes to give other pixels
_PATIENT, _IMAGE = 1, 2  # separate streams of random numbers


@dataclass(frozen=True, slots=True)
class _Patient:
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
    """Draw a data set of single cells into a folder, with exact masks.

    Each patient has a stain, a microscope and red cells of their own, and more of some kinds of
    cell than of others; what the stain looks like says nothing about the kind. Image ``i`` depends
    on `random_state` and ``i`` (and on `kinds`, `n_patients`, `size` and `background`), not on how
    many images or workers there are. Between versions of OpenCV
    outlines, and the grains thrown inside them, may shift by a pixel or so.

    The folder holds ``images/<kind>/<patient>_<number>.png``, trimaps of the same name in
    ``masks/`` (0 background, 128 cytoplasm, 255 nucleus), ``manifest.csv``, the image table with
    paths relative to the folder, and ``drawn.json``, what was asked for. It appears whole or not at
    all; asked for the same again, it is read, not drawn.

    Parameters
    ----------
    out : path
        Folder to write. It may exist when it is empty or holds this very data set.
    n_images : int
        Number of images; the kinds take turns, so they are equally many.
    kinds : sequence of str
        Kinds to draw, from `KINDS`.
    n_patients : int
        Number of patients, ``P01`` to ``P<n_patients>``. With few images not all of them appear.
    size : int
        Side of the square images, px; a view is 36 micrometres wide.
    random_state : int
        Seed.
    background : {"cream", "white", "pink", "yellow", "black"}, optional
        One background for all patients; by default each patient has one of the four bright ones.
        ``"black"``: everything outside the cell is 0.
    format : {"png", "jpg"}
        How images are stored; JPEG (quality 95) takes a fraction of the space and is not lossless.
        Masks are always PNG.
    n_jobs : int, optional
        Threads; default is one per processor.
    progress : bool, optional
        Show a progress bar; default is when a person is watching the terminal.

    Returns
    -------
    DataFrame
        The image table, one row per image: ``image``, ``label``, ``label_raw``, ``patient``,
        ``group`` (the patient), ``split`` (missing), ``dataset`` (``"drawn"``), ``um_per_px``,
        ``mask``.

    Raises
    ------
    FileExistsError
        `out` holds something else; it is left untouched.
    ValueError
        Unknown kind, background or format, or a number out of range.

    Examples
    --------
    >>> from hemafeat import datasets
    >>> cells = datasets.drawn("cells", n_images=18, size=120)  # doctest: +SKIP
    >>> cells.label.value_counts().max()  # doctest: +SKIP
    2
    """
    wanted = {
        "drawing": _DRAWING,
        "n_images": int(n_images),
        "kinds": list(kinds),
        "n_patients": int(n_patients),
        "size": int(size),
        "random_state": int(random_state),
        "background": background,
        "format": format,
    }
    _check(wanted)
    folder = Path(out)
    if _there_already(folder, wanted):
        return from_csv(folder / MANIFEST)
    aside = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}.part")
    aside.mkdir(parents=True)
    try:
        _draw_all(aside, wanted, n_jobs, progress)
        (aside / RECORD).write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")
        if folder.is_dir():
            folder.rmdir()
        aside.replace(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return from_csv(folder / MANIFEST)


def _check(wanted: dict[str, Any]) -> None:
    if not wanted["kinds"]:
        raise ValueError("kinds is empty: there is nothing to draw")
    check_kinds(wanted["kinds"])
    if len(set(wanted["kinds"])) < len(wanted["kinds"]):
        raise ValueError(f"kinds names one kind twice: {', '.join(wanted['kinds'])}")
    for name, least in (("n_images", 1), ("n_patients", 1), ("size", 48), ("random_state", 0)):
        if wanted[name] < least:
            raise ValueError(f"{name} is {wanted[name]}, expected at least {least}")
    if wanted["background"] is not None and wanted["background"] not in BACKGROUNDS:
        raise ValueError(
            f"no background {wanted['background']!r}; there are: {', '.join(BACKGROUNDS)}"
        )
    if wanted["format"] not in ("png", "jpg"):
        raise ValueError(f"format is {wanted['format']!r}, expected 'png' or 'jpg'")


def _there_already(folder: Path, wanted: dict[str, Any]) -> bool:
    """Whether `folder` holds what is wanted; an error if it holds anything else."""
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; drawn cells need a folder")
    if not any(folder.iterdir()):
        return False
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise FileExistsError(
            f"{folder} is not empty and holds no drawn cells; name another folder"
        ) from None
    if not isinstance(found, dict):
        found = {}
    other = [name for name in wanted if found.get(name) != wanted[name]]
    if other:
        name = other[0]
        raise FileExistsError(
            f"{folder} holds other drawn cells ({name} is {found.get(name)!r} there, "
            f"{wanted[name]!r} was asked for); name another folder or remove this one"
        )
    return True


def _patient(wanted: dict[str, Any], number: int) -> _Patient:
    rng = np.random.default_rng([wanted["random_state"], _PATIENT, number])
    width = max(2, len(str(wanted["n_patients"])))
    # A share of every kind there is, so that leaving one out changes nothing else of the patient.
    share = dict(zip(KINDS, rng.gamma(1.5, size=len(KINDS)) + 0.05, strict=True))
    return _Patient(
        name=f"P{number + 1:0{width}d}",
        stain=Stain.draw(rng, wanted["background"]),
        light=Light.draw(rng),
        red=RedCells.draw(rng),
        share=share,
    )


def _cell(wanted: dict[str, Any], patients: Sequence[_Patient], i: int) -> tuple[str, DrawnCell]:
    """Patient and cell of image `i`."""
    rng = np.random.default_rng([wanted["random_state"], _IMAGE, i])
    kind = wanted["kinds"][i % len(wanted["kinds"])]
    shares = np.array([patient.share[kind] for patient in patients])
    patient = patients[int(rng.choice(len(patients), p=shares / shares.sum()))]
    light = patient.light.another(rng)
    return patient.name, draw_with(
        rng, kind, wanted["size"], patient.stain, light, patient.red, None
    )


def _draw_all(
    folder: Path, wanted: dict[str, Any], n_jobs: int | None, progress: bool | None
) -> None:
    from tqdm import tqdm

    patients = [_patient(wanted, number) for number in range(wanted["n_patients"])]
    end = wanted["format"]
    for kind in wanted["kinds"]:
        for part in ("images", "masks"):
            (folder / part / kind).mkdir(parents=True)

    def one(i: int) -> dict[str, Any]:
        name, cell = _cell(wanted, patients, i)
        image = f"images/{cell.kind}/{name}_{i:05d}.{end}"
        mask = f"masks/{cell.kind}/{name}_{i:05d}.png"
        trimap = np.where(cell.nucleus > 0, 255, np.where(cell.cell > 0, 128, 0)).astype(np.uint8)
        quality = [cv2.IMWRITE_JPEG_QUALITY, 95] if end == "jpg" else []
        bgr = cv2.cvtColor(cell.image, cv2.COLOR_RGB2BGR)
        (folder / image).write_bytes(cv2.imencode(f".{end}", bgr, quality)[1].tobytes())
        (folder / mask).write_bytes(cv2.imencode(".png", trimap)[1].tobytes())
        return {"image": image, "label": cell.kind, "patient": name, "mask": mask}

    workers = n_jobs if n_jobs and n_jobs > 0 else os.cpu_count() or 1
    hidden = not (sys.stderr.isatty() if progress is None else progress)
    before = cv2.getNumThreads()
    # Threads over images: OpenCV's own would only get in their way.
    cv2.setNumThreads(1)
    try:
        with (
            tqdm(total=wanted["n_images"], unit="image", desc="draw", disable=hidden) as bar,
            ThreadPoolExecutor(workers) as pool,
        ):
            rows = []
            try:
                for row in pool.map(one, range(wanted["n_images"])):
                    rows.append(row)
                    bar.update()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        cv2.setNumThreads(before)
    table = pd.DataFrame(rows, columns=COLUMNS)
    table["label_raw"] = table["label"]
    table["group"] = table["patient"]
    table["dataset"] = "drawn"
    table["um_per_px"] = VIEW_UM / wanted["size"]
    table.to_csv(folder / MANIFEST, index=False, encoding="utf-8", lineterminator="\n")
