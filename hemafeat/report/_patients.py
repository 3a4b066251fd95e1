"""What the page of a comparison of patients shows beside the scores: who, and which cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hemafeat.report import _ranking as _choice
from hemafeat.report._galleries import Group, Pictures
from hemafeat.report._style import number
from hemafeat.report._tables import Entry, Table

if TYPE_CHECKING:
    pass

_WORDS = {
    "network": "weight times logit of the cell, by the network's attention; they sum to the "
    "patient's logit",
    "vote": "the cell's vote over the number of cells; they sum to the patient's probability",
    "linear": "the cell's part in the log-odds; with a constant they sum to the patient's log-odds",
    "left out": "log-odds of the patient with all cells less log-odds without this one",
}
_SHOWN = ("patient", "truth", "called", "n_cells")


def content(comparison: Any, pictures: Pictures) -> dict[str, Any]:
    """What changes on the page: wrongly judged patients, the cells that made verdicts, everybody.

    Parameters
    ----------
    comparison : PatientComparison
        From `hemafeat.evaluate.compare_patients`.
    pictures : Pictures
        Where the images of the verdicts come from.
    """
    best = _choice.best(comparison)
    rows = _judged(comparison, best)
    wrong = rows[rows["truth"] != rows["called"]]
    verdicts = comparison.verdicts
    shown = None
    if len(verdicts):
        shown = {
            "model": str(verdicts["model"].iloc[0]),
            "positive": str(verdicts["positive"].iloc[0]),
            "methods": [_WORDS[name] for name in dict.fromkeys(verdicts["method"])],
            "groups": _verdicts(comparison, rows, pictures),
            "table": _table(comparison, rows),
        }
    return {
        "unit": "patient",
        "facts": _facts(comparison, best),
        "mistakes": _wrong(comparison, wrong, pictures),
        "n_mistakes": len(wrong),
        "verdicts": shown,
        "everybody": _everybody(comparison, rows),
    }


def _facts(comparison: Any, best: str) -> list[tuple[str, str]]:
    rows, sizes = _choice.of_model(comparison, best), comparison.patients["n_cells"]
    return [
        (str(len(rows)), "patients judged"),
        (f"{sizes.sum():,}".replace(",", "\N{THIN SPACE}"), "cells"),
        (f"{sizes.min()}–{sizes.max()}", "cells of a patient"),
        (str(len(comparison.classes)), "classes"),
        (str(rows["fold"].nunique()), "folds"),
        (str(len(_choice.models(comparison))), "models"),
    ]


def _judged(comparison: Any, model: str) -> pd.DataFrame:
    rows = _choice.of_model(comparison, model)
    out = comparison.patients.set_index(comparison.patients["patient"].astype(str))
    rows = rows.set_index(rows["group"].astype(str))
    out = out.assign(
        truth=rows["truth"].astype(str)[out.index], called=rows["predicted"].astype(str)[out.index]
    )
    chance = _choice.probabilities(comparison, model)
    if chance is not None:
        for k, name in enumerate(comparison.classes):
            out[f"p__{name}"] = pd.Series(chance[:, k], rows.index)[out.index]
    return out


def _cells_of(comparison: Any, patient: str, n: int) -> pd.DataFrame:
    verdicts = comparison.verdicts
    return verdicts[verdicts["patient"].astype(str) == patient].sort_values("rank").head(n)


def _tiles(cells: pd.DataFrame, pictures: Pictures, alt: str) -> list[Any]:
    return [
        pictures.tile(
            str(row["image"]),
            int(row["cell"]),
            alt=f"{alt}, cell of rank {row['rank']}",
            title=_signed(row["contribution"]),
            lines=[],
            whole=False,
        )
        for row in cells.to_dict("records")
    ]


def _signed(value: Any) -> str:
    return number(value) if not value > 0 else f"+{number(value)}"


def _heading(row: pd.Series) -> str:
    return f"{row['patient']}: {row['truth']}, called {row['called']}"


def _verdicts(
    comparison: Any, rows: pd.DataFrame, pictures: Pictures, n_each: int = 4, n_cells: int = 6
) -> list[Group]:
    """Of each class a few patients, the surest first, with the cells that spoke most."""
    groups = []
    positive = f"p__{comparison.verdicts['positive'].iloc[0]}"
    for name in comparison.classes:
        part = rows[rows["truth"] == name]
        if positive in part:
            up = name == positive[3:]
            part = part.sort_values(positive, ascending=not up, kind="stable")
        for _, row in part.head(n_each).iterrows():
            cells = _cells_of(comparison, str(row["patient"]), n_cells)
            alt = f"patient {row['patient']}, {row['truth']}"
            groups.append(Group(_heading(row), _tiles(cells, pictures, alt), int(row["n_cells"])))
    return groups


def _wrong(comparison: Any, wrong: pd.DataFrame, pictures: Pictures) -> list[Group]:
    groups = []
    for _, row in wrong.head(12).iterrows():
        cells = _cells_of(comparison, str(row["patient"]), 4) if len(comparison.verdicts) else None
        alt = f"wrongly judged patient {row['patient']}"
        tiles = [] if cells is None else _tiles(cells, pictures, alt)
        groups.append(Group(_heading(row), tiles, int(row["n_cells"])))
    return groups


def _table(comparison: Any, rows: pd.DataFrame, n: int = 40) -> Table:
    """The cells that spoke most for the positive class, over all patients."""
    verdicts = comparison.verdicts.dropna(subset=["contribution"])
    top = verdicts.sort_values("contribution", ascending=False, kind="stable").head(n)
    lines = [
        [
            Entry(str(row["patient"])),
            Entry(str(rows["truth"].get(str(row["patient"]), ""))),
            Entry(str(row["image"]).replace("\\", "/").rsplit("/", 1)[-1]),
            Entry(str(row["cell"])),
            Entry(_signed(row["contribution"])),
        ]
        for row in top.to_dict("records")
    ]
    heads = ("Patient", "Truth", "Image", "Cell", "Contribution")
    return Table([Entry(name) for name in heads], lines, 3)


def _everybody(comparison: Any, rows: pd.DataFrame) -> Table:
    """Every patient, those judged wrongly marked."""
    chances = [name for name in map(str, rows.columns) if name.startswith("p__")]
    also = [n for n in comparison.patients.columns if n not in ("patient", "label", "n_cells")]
    head = [
        *(Entry(name) for name in ("Patient", "Truth", "Called")),
        *(Entry(str(name)) for name in also),
        Entry("Cells"),
        *(Entry(name[3:], "probability") for name in chances),
    ]
    lines = []
    for row in rows.to_dict("records"):
        wrong = row["truth"] != row["called"]
        lines.append(
            [
                Entry(str(row["patient"])),
                Entry(row["truth"]),
                Entry(row["called"], "wrong" if wrong else ""),
                *(Entry(_value(row[name])) for name in also),
                Entry(str(row["n_cells"])),
                *(Entry(number(row[name], 2)) for name in chances),
            ]
        )
    return Table(head, lines, 3 + len(also))


def _value(value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    return f"{value:g}" if isinstance(value, float) else str(value)
