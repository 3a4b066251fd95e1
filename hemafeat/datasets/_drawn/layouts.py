"""Draw cells into a folder in the layout of a public data set, so that its loader reads them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd

from hemafeat._words import suggestion
from hemafeat.datasets._drawn.cohort import drawn_cohort
from hemafeat.datasets._drawn.dataset import draw_patient, drawing_threads, write_files_once
from hemafeat.datasets._drawn.field import draw_with
from hemafeat.datasets._registry import load

_VERSION = 1  # to be increased whenever the same seed gives other pixels
_IMAGE = 31  # stream of random numbers


class _Image(NamedTuple):
    """A file to draw: its name, its type of cell and the number of its patient."""

    name: str
    kind: str
    patient: int


class _Layout(NamedTuple):
    background: str | None
    images: Callable[[int, int], Iterator[_Image]]
    tables: Callable[[Path, int, int], None] = lambda folder, n_images, n_patients: None


_PRELIMINARY = "C-NMC_test_prelim_phase_data"


def _cnmc_cells(n_images: int, n_patients: int) -> Iterator[tuple[_Image, str]]:
    """Yield each image with its original name; the subjects of a quarter are preliminary."""
    n_preliminary = 0
    for i in range(n_images):
        # Every other subject is ill, and all cells of a subject have the same class, as in the set.
        patient = i % n_patients
        label, prefix = ("all", "") if patient % 2 == 0 else ("hem", "H")
        kind = "lymphoblast" if label == "all" else "lymphocyte"
        original = f"UID_{prefix}{patient + 1}_{i // n_patients + 1}_1_{label}.bmp"
        fold = patient // 2 % 4
        name = f"fold_{fold}/{label}/{original}"
        if fold == 3:
            n_preliminary += 1
            name = f"{_PRELIMINARY}/{n_preliminary}.bmp"
        yield _Image(name, kind, patient), original


def _cnmc_images(n_images: int, n_patients: int) -> Iterator[_Image]:
    return (image for image, _ in _cnmc_cells(n_images, n_patients))


def _cnmc_tables(folder: Path, n_images: int, n_patients: int) -> None:
    rows = ["Patient_ID,new_names,labels"]
    for image, original in _cnmc_cells(n_images, n_patients):
        if image.name.startswith(_PRELIMINARY):
            label = "1" if original.endswith("_all.bmp") else "0"
            rows.append(f"{original},{Path(image.name).name},{label}")
    if len(rows) > 1:
        file = folder / f"{_PRELIMINARY}_labels.csv"
        file.write_text("\n".join(rows) + "\n", encoding="utf-8")


_PBC_FOLDERS = {
    "basophil": ("BA", "basophil"),
    "eosinophil": ("EO", "eosinophil"),
    "erythroblast": ("ERB", "erythroblast"),
    "ig": ("MY", "immature_granulocyte"),
    "lymphocyte": ("LY", "lymphocyte"),
    "monocyte": ("MO", "monocyte"),
    "neutrophil": ("SNE", "neutrophil"),
    "platelet": ("PLATELET", "platelet"),
}


def _pbc_images(n_images: int, n_patients: int) -> Iterator[_Image]:
    folders = list(_PBC_FOLDERS)
    for i in range(n_images):
        folder = folders[i % len(folders)]
        prefix, kind = _PBC_FOLDERS[folder]
        yield _Image(f"{folder}/{prefix}_{100000 + i}.jpg", kind, i // len(folders) % n_patients)


_APL_FOLDERS = {
    "Lymphocyte": "lymphocyte",
    "Blast, no lineage spec": "lymphoblast",
    "Smudge cells": "monocyte",
    "Segmented neutrophils": "neutrophil",
    "Monocyte": "monocyte",
    "Myelocyte": "immature_granulocyte",
    "Erythroblast": "erythroblast",
    "Eosinophils": "eosinophil",
    "Giant thrombocyte": "platelet",
    "Basophil": "basophil",
}


def _apl_images(n_images: int, n_patients: int) -> Iterator[_Image]:
    folders = list(_APL_FOLDERS)
    for i in range(n_images):
        folder, patient = folders[i % len(folders)], i // len(folders) % n_patients
        name = f"Patient_{patient:02d}/Signed slides/{folder}/SNE_{i:05d}.jpg"
        yield _Image(name, _APL_FOLDERS[folder], patient)


def _apl_tables(folder: Path, n_images: int, n_patients: int) -> None:
    rows = ["Patient_ID,Diagnosis,Cohort,Age at Diagnosis,Gender"]
    for patient in range(n_patients):
        diagnosis = "APL" if patient % 3 == 0 else "AML"
        cohort = "Validation" if patient % 4 == 3 else "Discovery"
        sex = "F" if patient % 2 else "M"
        rows.append(f"Patient_{patient:02d},{diagnosis},{cohort},{40 + patient % 40},{sex}")
    (folder / "master.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


_LAYOUTS = {
    "cnmc": _Layout("black", _cnmc_images, _cnmc_tables),
    "pbc": _Layout("pink", _pbc_images),
    "apl": _Layout("cream", _apl_images, _apl_tables),
}


def drawn_set(
    name: str,
    out: str | os.PathLike[str],
    n_images: int = 80,
    *,
    n_patients: int = 8,
    size: int = 128,
    random_state: int = 0,
    n_jobs: int | None = None,
) -> pd.DataFrame:
    """Draw cells into a folder as a public data set is laid out, and list them with its loader.

    It stands in for a data set that is not at hand, in tests and for a first run of a recipe: the
    folders, file names and tables are those of the set, so that its loader, its labels and its
    protocols are used. The cells are drawn, so that no score says anything about the real set.

    Parameters
    ----------
    name : {"cnmc", "pbc", "apl", "lymphocytosis"}
        Data set whose layout is written. ``"cnmc"`` has the three folds of the training part and
        the preliminary part, on a black background, and one class for all cells of a subject;
        ``"apl"`` one folder for each
        merged label, where smudge cells are drawn as monocytes; ``"lymphocytosis"`` is a
        `drawn_cohort` in which age and count tell something about the label.
    out : path
        Folder to write. It must not exist, be empty, or hold the same cells.
    n_images : int
        Number of images, spread evenly over patients and classes.
    n_patients : int
        Number of patients or subjects.
    size : int
        Side of the square images, in px.
    random_state : int
        Seed of the random numbers.
    n_jobs : int, optional
        Number of threads. By default one per processor.

    Returns
    -------
    DataFrame
        The image table of the loader of the set.

    Raises
    ------
    FileExistsError
        Raised if `out` holds anything else, which is not changed.
    ValueError
        Raised if no such layout is known.

    Examples
    --------
    >>> from hemafeat import datasets
    >>> table = datasets.drawn_set("cnmc", "cells", 8, n_patients=4, size=64)
    >>> sorted(set(table["label"])), table["patient"].nunique()
    (['all', 'hem'], 4)
    """
    folder = Path(out)
    if name == "lymphocytosis":
        mean = max(2, n_images // n_patients)
        drawn_cohort(
            folder,
            n_patients,
            cells=(max(1, mean - 1), mean + 1),
            size=size,
            attribute_signal=0.5,
            random_state=random_state,
            n_jobs=n_jobs,
        )
        return load(name, folder)
    if name not in _LAYOUTS:
        known = (*_LAYOUTS, "lymphocytosis")
        raise ValueError(
            f"no layout of a data set {name!r}; {suggestion(name, known, 'choose from')}"
        )
    settings: dict[str, Any] = {
        "layout": _VERSION,
        "set": name,
        "n_images": int(n_images),
        "n_patients": int(n_patients),
        "size": int(size),
        "random_state": int(random_state),
    }
    write_files_once(folder, settings, lambda part: _draw(part, settings, n_jobs))
    return load(name, folder)


def _draw(folder: Path, settings: dict[str, Any], n_jobs: int | None) -> None:
    layout = _LAYOUTS[settings["set"]]
    seed, n_patients = settings["random_state"], settings["n_patients"]
    patients = [draw_patient(seed, number, layout.background) for number in range(n_patients)]
    images = list(layout.images(settings["n_images"], n_patients))

    def write_image(i: int) -> None:
        rng = np.random.default_rng([seed, _IMAGE, i])
        patient = patients[images[i].patient]
        light = patient.light.another(rng)
        cell = draw_with(
            rng, images[i].kind, settings["size"], patient.stain, light, patient.red, None
        )
        path = folder / images[i].name
        quality = [cv2.IMWRITE_JPEG_QUALITY, 95] if path.suffix == ".jpg" else []
        bgr = cv2.cvtColor(cell.image, cv2.COLOR_RGB2BGR)
        path.write_bytes(cv2.imencode(path.suffix, bgr, quality)[1].tobytes())

    for image in images:
        (folder / image.name).parent.mkdir(parents=True, exist_ok=True)
    with drawing_threads(n_jobs) as pool:
        for _ in pool.map(write_image, range(len(images))):
            pass
    layout.tables(folder, settings["n_images"], n_patients)
