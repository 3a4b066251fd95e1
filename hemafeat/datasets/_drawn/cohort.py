"""Draw a cohort of patients with bags of cells into a folder, in the layout of a challenge."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from hemafeat.datasets._drawn.cohort_plan import (
    ATTRIBUTES,
    LABELS,
    CohortPlan,
    patients,
    true_kinds,
)
from hemafeat.datasets._drawn.dataset import drawing_threads, write_once
from hemafeat.datasets._drawn.field import VIEW_UM, check_kinds, draw_with
from hemafeat.datasets._drawn.scene import RedCells
from hemafeat.datasets._drawn.stain import Light, Stain
from hemafeat.datasets._schema import COLUMNS
from hemafeat.datasets._table import MANIFEST

_VERSION = 1  # to be increased whenever the same seed gives other pixels
_PATIENT, _IMAGE = 21, 22  # separate streams of random numbers
_BATCHES = ("cream", "pink")


def drawn_cohort(
    out: str | os.PathLike[str],
    n_patients: int = 24,
    *,
    ill: float = 0.6,
    abnormal: tuple[float, float] = (0.05, 0.5),
    cells: tuple[int, int] = (12, 30),
    kinds: tuple[str, str] = ("lymphocyte", "lymphoblast"),
    size: int = 224,
    attribute_signal: float = 0.0,
    leak_size: float = 0.0,
    leak_format: float = 0.0,
    leak_stain: float = 0.0,
    test: float = 0.0,
    random_state: int = 0,
    n_jobs: int | None = None,
) -> pd.DataFrame:
    """Draw a cohort of patients with bags of cells, attributes and known truth into a folder.

    Only the share of abnormal cells, and any leaks, distinguish malignant from reactive patients.
    With ``abnormal=(0.2, 0.2)`` and no leak the expected score of any model is chance. Each patient
    has an individual stain, microscope and red cells.

    The folder has the layout of the public lymphocytosis challenge: ``clinical_annotation.csv``,
    ``trainset/trainset_true.csv``, ``trainset/P1/000000.jpg`` ..., ``testset/testset_data.csv``
    (labels -1), ``testset/P2/`` ... and ``sample_submission.csv``. In addition it contains
    ``manifest.csv``, the image table, and ``truth.csv``, the parameters of the patients. It is
    written completely or not at all. If it already exists with the same arguments, it is read.

    Parameters
    ----------
    out : path
        Folder to write. It must not exist, be empty, or hold the same cohort.
    n_patients : int
        Number of patients, ``P1`` to ``P<n_patients>``.
    ill : float
        Share of patients labelled ``malignant``; the others are ``reactive``.
    abnormal : (float, float)
        Mean share of abnormal cells of reactive and of malignant patients.
    cells : (int, int)
        Smallest and largest number of images of a patient, with one cell each.
    kinds : (str, str)
        Types of the normal and the abnormal cells, from `KINDS`.
    size : int
        Side of the square images, in px.
    attribute_signal : float
        Strength of the association of age and lymphocyte count with the label. By default 0: none.
    leak_size, leak_format, leak_stain : float
        Strength, from 0 to 1, of the association of the label with the number of images, the format
        of the date of birth, and the background of the smear. By default 0: none.
    test : float
        Share of patients in ``testset``, whose ``split`` is ``test``.
    random_state : int
        Seed of the random numbers.
    n_jobs : int, optional
        Number of threads. By default one per processor.

    Returns
    -------
    DataFrame
        The image table, one row per image, with the attributes ``sex``, ``dob`` (text) and
        ``lymphocyte_count`` of the patient and ``abnormal``, the truth of the cell (``yes`` or
        ``no``).

    Raises
    ------
    FileExistsError
        Raised if `out` holds anything else, which is not changed.
    ValueError
        Raised if a kind is unknown or a number is out of range.

    Examples
    --------
    >>> from hemafeat import datasets
    >>> table = datasets.drawn_cohort("cohort", 4, cells=(2, 3), size=64)
    >>> table["patient"].nunique(), sorted(set(table["label"]))
    (4, ['malignant', 'reactive'])
    """
    plan = CohortPlan(
        n_patients,
        ill,
        (float(abnormal[0]), float(abnormal[1])),
        (int(cells[0]), int(cells[1])),
        attribute_signal,
        leak_size,
        leak_format,
        leak_stain,
        test,
        random_state,
    )
    plan.check()
    check_kinds(kinds)
    if size < 48:
        raise ValueError(f"size is {size}; expected at least 48")
    # Converted as by JSON, so that it can be compared with the record of a folder.
    settings: dict[str, Any] = json.loads(
        json.dumps({"cohort": _VERSION, **asdict(plan), "kinds": list(kinds), "size": int(size)})
    )
    return write_once(Path(out), settings, lambda part: _draw(part, plan, kinds, size, n_jobs))


def _draw(
    folder: Path, plan: CohortPlan, kinds: Sequence[str], size: int, n_jobs: int | None
) -> None:
    truth = patients(plan)
    rows = [{str(k): v for k, v in row.items()} for row in truth.to_dict("records")]
    with drawing_threads(n_jobs) as pool:
        bags = pool.map(
            lambda number: _draw_patient(folder, plan, rows[number], number, kinds, size),
            range(len(rows)),
        )
        images = pd.DataFrame([image for bag in bags for image in bag])
    images["label_raw"] = images["label"].map({name: str(k) for k, name in enumerate(LABELS)})
    images["group"] = images["patient"]
    images["dataset"] = "drawn_cohort"
    images["um_per_px"] = VIEW_UM / size
    images["mask"] = None
    images = images[[*COLUMNS, *ATTRIBUTES, "abnormal"]]
    _write(images, folder / MANIFEST)
    _write(truth, folder / "truth.csv")
    _write_layout(folder, truth)


def _draw_patient(
    folder: Path,
    plan: CohortPlan,
    row: dict[str, Any],
    number: int,
    kinds: Sequence[str],
    size: int,
) -> list[dict[str, Any]]:
    """Draw the images of a patient, independently of all other patients."""
    rng = np.random.default_rng([plan.random_state, _PATIENT, number])
    stain = Stain.draw(rng, _BATCHES[int(row["stained"])])
    light, red = Light.draw(rng), RedCells.draw(rng)
    parent = f"{row['split']}set/{row['patient']}"
    (folder / parent).mkdir(parents=True)
    images = []
    for i, kind in enumerate(true_kinds(row["n_cells"], row["abnormal_share"], kinds, rng)):
        image_rng = np.random.default_rng([plan.random_state, _IMAGE, number, i])
        cell = draw_with(image_rng, kind, size, stain, light.another(image_rng), red, None)
        bgr = cv2.cvtColor(cell.image, cv2.COLOR_RGB2BGR)
        name = f"{parent}/{i:06d}.jpg"
        data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        (folder / name).write_bytes(data.tobytes())
        values = {key: row[key] for key in ("label", "patient", "split", *ATTRIBUTES)}
        images.append({"image": name, **values, "abnormal": "yes" if kind == kinds[1] else "no"})
    return images


def _write_layout(folder: Path, truth: pd.DataFrame) -> None:
    """Write the tables of the public challenge, in which the label of test patients is -1."""
    table = pd.DataFrame(
        {
            "ID": truth["patient"],
            "LABEL": truth["label"].map({name: k for k, name in enumerate(LABELS)}),
            "GENDER": truth["sex"],
            "DOB": truth["dob"],
            "LYMPH_COUNT": truth["lymphocyte_count"],
        }
    )
    is_test = (truth["split"] == "test").to_numpy()
    table["LABEL"] = table["LABEL"].where(~is_test, -1)
    text = table.to_csv(encoding="utf-8", lineterminator="\n")
    (folder / "clinical_annotation.csv").write_text(text, encoding="utf-8", newline="")
    _write(table[~is_test], folder / "trainset" / "trainset_true.csv")
    if is_test.any():
        _write(table[is_test], folder / "testset" / "testset_data.csv")
        sample = table.loc[is_test, ["ID"]].assign(LABEL=0)
        _write(sample, folder / "sample_submission.csv")


def _write(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False, encoding="utf-8", lineterminator="\n")
