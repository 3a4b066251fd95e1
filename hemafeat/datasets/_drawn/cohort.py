"""A folder of patients with a bag of drawn cells each, in the layout of a public challenge."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

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
from hemafeat.datasets._drawn.dataset import RECORD, _there_already
from hemafeat.datasets._drawn.field import VIEW_UM, check_kinds, draw_with
from hemafeat.datasets._drawn.scene import RedCells
from hemafeat.datasets._drawn.stain import Light, Stain
from hemafeat.datasets._schema import COLUMNS
from hemafeat.datasets._table import MANIFEST, from_csv

_DRAWING = 1  # raised whenever the same seed comes to give other pixels
_PATIENT, _IMAGE = 21, 22
_BATCHES = ("cream", "pink")
_COLUMNS = ("ID", "LABEL", "GENDER", "DOB", "LYMPH_COUNT")


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
    """Draw a cohort into a folder: patients with bags of cells, attributes, and a known truth.

    The share of abnormal cells tells the ill from the others; that, and the leaks asked for. With
    ``abnormal=(0.2, 0.2)`` and no leak nothing does, and an honest score lies at chance. Each
    patient has a stain, a microscope and red cells of their own.

    The folder has the layout of the public lymphocytosis challenge: ``clinical_annotation.csv``,
    ``trainset/trainset_true.csv``, ``trainset/P1/000000.jpg`` ..., ``testset/testset_data.csv``
    (labels -1), ``testset/P2/`` ... and ``sample_submission.csv``. Beside it stand
    ``manifest.csv``, the image table, and ``truth.csv``, what the patients were drawn with. It
    appears whole or not at all; asked for the same again, it is read, not drawn.

    Parameters
    ----------
    out : path
        Folder to write. It may exist when it is empty or holds this very cohort.
    n_patients : int
        Patients, ``P1`` to ``P<n_patients>``.
    ill : float
        Share of the patients labelled ``malignant``; the others are ``reactive``.
    abnormal : (float, float)
        Mean share of abnormal cells among the reactive and the malignant.
    cells : (int, int)
        Least and most images of a patient, one cell each.
    kinds : (str, str)
        The ordinary and the abnormal cell, from `KINDS`.
    size : int
        Side of the square images, px.
    attribute_signal : float
        How much sicker the ill look in age and lymphocyte count; 0 for not at all.
    leak_size, leak_format, leak_stain : float
        From 0 to 1: how much the number of images, the way the date of birth is written, and the
        background of the smear go with the label.
    test : float
        Share of the patients in ``testset``; their ``split`` is ``test``.
    random_state : int
        Seed.
    n_jobs : int, optional
        Threads; default is one per processor.

    Returns
    -------
    DataFrame
        The image table, one row per image, with the attributes ``sex``, ``dob`` (text) and
        ``lymphocyte_count`` of the patient and ``abnormal``, the truth of the cell (``yes`` or
        ``no``).

    Raises
    ------
    FileExistsError
        `out` holds something else; it is left untouched.
    ValueError
        An unknown kind, or a number out of range.

    Examples
    --------
    >>> from hemafeat import datasets
    >>> images = datasets.drawn_cohort("cohort", 8, size=120)  # doctest: +SKIP
    >>> images.patient.nunique()  # doctest: +SKIP
    8
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
        raise ValueError(f"size is {size}, expected at least 48")
    # Through JSON once, so that it equals what is read from the folder.
    asked: dict[str, Any] = json.loads(
        json.dumps({"cohort": _DRAWING, **asdict(plan), "kinds": list(kinds), "size": int(size)})
    )
    folder = Path(out)
    if not _there_already(folder, asked):
        aside = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}.part")
        aside.mkdir(parents=True)
        try:
            _draw(aside, plan, kinds, size, n_jobs)
            (aside / RECORD).write_text(json.dumps(asked, indent=1) + "\n", encoding="utf-8")
            if folder.is_dir():
                folder.rmdir()
            aside.replace(folder)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
    return from_csv(folder / MANIFEST)


def _draw(
    folder: Path, plan: CohortPlan, kinds: Sequence[str], size: int, n_jobs: int | None
) -> None:
    who = patients(plan)
    rows = [{str(k): v for k, v in row.items()} for row in who.to_dict("records")]
    workers = n_jobs if n_jobs and n_jobs > 0 else os.cpu_count() or 1
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(workers) as pool:
            drawn = pool.map(
                lambda number: _one(folder, plan, rows[number], number, kinds, size),
                range(len(rows)),
            )
            images = pd.DataFrame([image for part in drawn for image in part])
    finally:
        cv2.setNumThreads(before)
    images["label_raw"] = images["label"].map({name: str(k) for k, name in enumerate(LABELS)})
    images["group"] = images["patient"]
    images["dataset"] = "drawn_cohort"
    images["um_per_px"] = VIEW_UM / size
    images["mask"] = None
    images = images[[*COLUMNS, *ATTRIBUTES, "abnormal"]]
    _write(images, folder / MANIFEST)
    _write(who, folder / "truth.csv")
    _write_layout(folder, who)


def _one(
    folder: Path,
    plan: CohortPlan,
    row: dict[str, Any],
    number: int,
    kinds: Sequence[str],
    size: int,
) -> list[dict[str, Any]]:
    """The images of one patient; they depend on nobody else."""
    rng = np.random.default_rng([plan.random_state, _PATIENT, number])
    stain = Stain.draw(rng, _BATCHES[int(row["stained"])])
    light, red = Light.draw(rng), RedCells.draw(rng)
    place = f"{row['split']}set/{row['patient']}"
    (folder / place).mkdir(parents=True)
    out = []
    for i, kind in enumerate(true_kinds(row["n_cells"], row["abnormal_share"], kinds, rng)):
        own = np.random.default_rng([plan.random_state, _IMAGE, number, i])
        cell = draw_with(own, kind, size, stain, light.another(own), red, None)
        bgr = cv2.cvtColor(cell.image, cv2.COLOR_RGB2BGR)
        name = f"{place}/{i:06d}.jpg"
        data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        (folder / name).write_bytes(data.tobytes())
        known = {key: row[key] for key in ("label", "patient", "split", *ATTRIBUTES)}
        out.append({"image": name, **known, "abnormal": "yes" if kind == kinds[1] else "no"})
    return out


def _write_layout(folder: Path, who: pd.DataFrame) -> None:
    """The tables of the public challenge; those of the test part have the label -1."""
    table = pd.DataFrame(
        {
            "ID": who["patient"],
            "LABEL": who["label"].map({name: k for k, name in enumerate(LABELS)}),
            "GENDER": who["sex"],
            "DOB": who["dob"],
            "LYMPH_COUNT": who["lymphocyte_count"],
        }
    )[list(_COLUMNS)]
    tested = (who["split"] == "test").to_numpy()
    hidden = table.assign(LABEL=table["LABEL"].where(~tested, -1))
    text = hidden.to_csv(encoding="utf-8", lineterminator="\n")
    (folder / "clinical_annotation.csv").write_text(text, encoding="utf-8", newline="")
    _write(hidden[~tested], folder / "trainset" / "trainset_true.csv")
    if tested.any():
        _write(hidden[tested], folder / "testset" / "testset_data.csv")
        sample = hidden.loc[tested, ["ID"]].assign(LABEL=0)
        _write(sample, folder / "sample_submission.csv")


def _write(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False, encoding="utf-8", lineterminator="\n")
