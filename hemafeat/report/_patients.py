"""Sections of the page of a comparison of patients: patients, and cells behind the verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hemafeat.report._galleries import Group, Pictures, Tile
from hemafeat.report._ranking import predictions_of, probabilities
from hemafeat.report._style import count, number
from hemafeat.report._tables import Entry, Table

_METHODS = {
    "network": "weight times logit of the cell, by the network's attention; they sum to the "
    "patient's logit",
    "vote": "log-odds of the vote of all cells minus those of the vote without this one",
    "linear": "the cell's part in the log-odds; with a constant they sum to the patient's log-odds",
    "left out": "log-odds of the patient with all cells minus log-odds without this one",
    "cells only": "the same of the model of the cells alone, where attributes decide the verdict",
}

_ALIKE = "all cells count alike"
"""Note on a patient whose cells have the same contribution."""


def content(comparison: Any, models: Sequence[str], pictures: Pictures) -> dict[str, Any]:
    """Return the values of the template that differ from those of a comparison of cells.

    Parameters
    ----------
    comparison : PatientComparison
        Result of `hemafeat.evaluate.compare_patients`.
    models : sequence of str
        Models, the best first.
    pictures : Pictures
        Source of the pictures.
    """
    patients = _predicted(comparison, models[0])
    wrong = patients[patients["truth"] != patients["predicted"]]
    table = comparison.verdicts
    verdicts = None
    if len(table):
        verdicts = {
            "model": str(table["model"].iloc[0]),
            "positive": str(table["positive"].iloc[0]),
            "methods": [_METHODS[name] for name in dict.fromkeys(table["method"])],
            "n_alike": len(_alike(comparison)),
            "n_suspect": int(
                (table.get("suspected_failure", pd.Series("")).fillna("") != "").sum()
            ),
            "n_patients": len(patients),
            "groups": _verdict_groups(comparison, patients, pictures),
            "table": _top_cells(comparison, patients),
        }
    return {
        "facts": _facts(comparison, models),
        "mistakes": _wrong_groups(comparison, wrong, pictures),
        "n_mistakes": len(wrong),
        "verdicts": verdicts,
        "patients": _patient_table(comparison, patients),
    }


def _facts(comparison: Any, models: Sequence[str]) -> list[tuple[str, str]]:
    rows, sizes = predictions_of(comparison, models[0]), comparison.patients["n_cells"]
    return [
        (str(len(rows)), "patients tested"),
        (count(sizes.sum()), "cells"),
        ("–".join(dict.fromkeys([str(sizes.min()), str(sizes.max())])), "cells per patient"),
        (str(len(comparison.classes)), "classes"),
        (str(rows["fold"].nunique()), "folds"),
        (str(len(models)), "models"),
    ]


def _predicted(comparison: Any, model: str) -> pd.DataFrame:
    """Return the patients with truth, prediction and probabilities of one model."""
    rows = predictions_of(comparison, model)
    rows = rows.set_index(rows["group"].astype(str))
    out = comparison.patients.set_index(comparison.patients["patient"].astype(str))
    out = out.assign(
        truth=rows["truth"].astype(str)[out.index],
        predicted=rows["predicted"].astype(str)[out.index],
    )
    values = probabilities(comparison, model)
    if values is not None:
        for k, name in enumerate(comparison.classes):
            out[f"p__{name}"] = pd.Series(values[:, k], rows.index)[out.index]
    return out


def _cells_of(comparison: Any, patient: str, n: int) -> pd.DataFrame:
    """Return the `n` cells of a patient that contribute most."""
    verdicts = comparison.verdicts
    return verdicts[verdicts["patient"].astype(str) == patient].sort_values("rank").head(n)


def _tiles(cells: pd.DataFrame, pictures: Pictures, alt: str) -> list[Tile]:
    return [
        pictures.tile(
            str(row["image"]),
            int(row["cell"]),
            alt=f"{alt}, cell of rank {row['rank']}",
            title=_signed(row["contribution"]),
            lines=_doubts(row),
            whole=False,
        )
        for row in cells.to_dict("records")
    ]


def _doubts(row: dict[Any, Any]) -> list[str]:
    """Return a line on a cell whose outline may be wrong; no line for the others."""
    reason = row.get("suspected_failure")
    return [f"outline suspect: {reason}"] if isinstance(reason, str) and reason else []


def _alike(comparison: Any) -> set[str]:
    """Return the patients with several cells whose contributions are all printed alike."""
    verdicts = comparison.verdicts.dropna(subset=["contribution"])
    # Adding 0 turns -0 into 0.
    printed = verdicts["contribution"].round(3) + 0.0
    groups = printed.groupby(verdicts["patient"].astype(str))
    counts = groups.agg(["size", "nunique"])
    return set(counts.index[(counts["size"] > 1) & (counts["nunique"] == 1)])


def _signed(value: Any) -> str:
    return number(value) if not value > 0 else f"+{number(value)}"


def _heading(row: pd.Series) -> str:
    return f"{row['patient']}: {row['truth']}, predicted {row['predicted']}"


def _verdict_groups(
    comparison: Any, patients: pd.DataFrame, pictures: Pictures, n_each: int = 4, n_cells: int = 6
) -> list[Group]:
    """Collect the cells behind the verdicts of a few patients of each class.

    The patients with the most confident verdicts are taken.
    """
    groups = []
    positive = str(comparison.verdicts["positive"].iloc[0])
    column = f"p__{positive}"
    alike = _alike(comparison)
    for name in comparison.classes:
        part = patients[patients["truth"] == name]
        if column in part:
            part = part.sort_values(column, ascending=name != positive, kind="stable")
        for _, row in part.head(n_each).iterrows():
            patient = str(row["patient"])
            cells = _cells_of(comparison, patient, n_cells)
            alt = f"patient {patient}, {row['truth']}"
            heading = _heading(row)
            if patient in alike:
                heading += f"; {_ALIKE}"
            groups.append(Group(heading, _tiles(cells, pictures, alt), int(row["n_cells"])))
    return groups


def _wrong_groups(comparison: Any, wrong: pd.DataFrame, pictures: Pictures) -> list[Group]:
    """Collect the cells behind wrong verdicts."""
    groups = []
    alike = _alike(comparison) if len(comparison.verdicts) else set()
    for _, row in wrong.head(12).iterrows():
        tiles: list[Tile] = []
        heading = _heading(row)
        if len(comparison.verdicts):
            patient = str(row["patient"])
            cells = _cells_of(comparison, patient, 4)
            tiles = _tiles(cells, pictures, f"wrongly classified patient {patient}")
            if patient in alike:
                heading += f"; {_ALIKE}"
        groups.append(Group(heading, tiles, int(row["n_cells"])))
    return groups


def _top_cells(comparison: Any, patients: pd.DataFrame, n: int = 40) -> Table:
    """Tabulate the cells of all patients that contribute most to the positive class."""
    verdicts = comparison.verdicts.dropna(subset=["contribution"])
    top = verdicts.sort_values("contribution", ascending=False, kind="stable").head(n)
    rows = [
        [
            Entry(str(row["patient"])),
            Entry(str(patients["truth"].get(str(row["patient"]), ""))),
            Entry(str(row["image"]).replace("\\", "/").rsplit("/", 1)[-1]),
            Entry(str(row["cell"])),
            Entry("; ".join(_doubts(row)) or "–"),
            Entry(_signed(row["contribution"])),
        ]
        for row in top.to_dict("records")
    ]
    heads = ("Patient", "Truth", "Image", "Cell", "Outline", "Contribution")
    return Table([Entry(name) for name in heads], rows, 5)


def _patient_table(comparison: Any, patients: pd.DataFrame) -> Table:
    """Tabulate all patients, with wrong verdicts marked."""
    probability_columns = [name for name in map(str, patients.columns) if name.startswith("p__")]
    attributes = [
        n for n in comparison.patients.columns if n not in ("patient", "label", "n_cells")
    ]
    head = [
        *(Entry(name) for name in ("Patient", "Truth", "Predicted")),
        *(Entry(str(name)) for name in attributes),
        Entry("Cells"),
        *(Entry(name[3:], "probability") for name in probability_columns),
    ]
    rows = []
    for row in patients.to_dict("records"):
        wrong = row["truth"] != row["predicted"]
        rows.append(
            [
                Entry(str(row["patient"])),
                Entry(row["truth"]),
                Entry(row["predicted"], "wrong" if wrong else ""),
                *(Entry(_text(row[name])) for name in attributes),
                Entry(str(row["n_cells"])),
                *(Entry(number(row[name], 2)) for name in probability_columns),
            ]
        )
    return Table(head, rows, 3 + len(attributes))


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    return f"{value:g}" if isinstance(value, float) else str(value)
