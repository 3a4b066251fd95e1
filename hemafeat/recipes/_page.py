"""Published figures against those that were reproduced, over several recipes, as one page."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hemafeat._files import write_whole
from hemafeat.recipes._recipe import VERSIONS, RecipeError
from hemafeat.recipes._run import RESULTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAIN = ("weighted_f1", "accuracy", "balanced_accuracy", "macro_f1")
"""Metrics of the overview: of each model the first that its report states, else the third."""

_TEST = ("test", "leaderboard", "validation")


def results_of(folder: str | os.PathLike[str]) -> pd.DataFrame:
    """Read the results of all recipes that were run into a folder.

    Parameters
    ----------
    folder : path
        The argument `out` of `run`.

    Returns
    -------
    DataFrame
        The tables ``results`` of each `Rerun`, one below the other.

    Raises
    ------
    RecipeError
        If there are none.
    """
    files = sorted(Path(folder).glob(f"*/{RESULTS}"))
    if not files:
        raise RecipeError(f"{folder} has no results of a recipe (*/{RESULTS})")
    return pd.concat([pd.read_csv(file) for file in files], ignore_index=True)


def overview(results: pd.DataFrame) -> pd.DataFrame:
    """Return one row per recipe and model: the figure of the report and those of each version.

    Parameters
    ----------
    results : DataFrame
        See `results_of`.

    Returns
    -------
    DataFrame
        ``recipe, model, metric, part, report``, and for each version that was run the value and
        its interval as ``<version>``, ``<version>_low`` and ``<version>_high``.
    """
    rows = []
    for (recipe, model), of_model in results.groupby(["recipe", "model"], sort=False):
        stated = of_model[of_model["published"].notna() & of_model["part"].isin(_TEST)]
        metric = next((m for m in MAIN if (stated["metric"] == m).any()), MAIN[2])
        stated = stated[stated["metric"] == metric]
        part = next((p for p in _TEST if (stated["part"] == p).any()), "test")
        figure = stated.loc[stated["part"] == part, "published"]
        row = {
            "recipe": recipe,
            "model": model,
            "metric": metric,
            "part": part,
            "report": float(figure.iloc[0]) if len(figure) else np.nan,
        }
        scored = of_model[(of_model["metric"] == metric) & (of_model["part"] == "test")]
        for version in VERSIONS:
            own = scored[scored["version"] == version]
            for column, name in (("value", ""), ("low", "_low"), ("high", "_high")):
                row[version + name] = float(own[column].iloc[0]) if len(own) else np.nan
        rows.append(row)
    return pd.DataFrame(rows)


def figure_reruns(table: pd.DataFrame) -> Figure:
    """Draw the figure of each report beside those that were reproduced.

    Parameters
    ----------
    table : DataFrame
        See `overview`.

    Returns
    -------
    matplotlib.figure.Figure
        A row for each model; the intervals are those of the reproduced figures.
    """
    from matplotlib.figure import Figure

    n = len(table)
    figure = Figure(figsize=(8.5, 0.9 + 0.34 * n), layout="constrained")
    axes = figure.subplots()
    rows = np.arange(n)
    for version, colour, shift in zip(VERSIONS, ("#c2410c", "#1d4ed8"), (-0.14, 0.14), strict=True):
        value = table[version].to_numpy(float)
        low = value - table[f"{version}_low"].to_numpy(float)
        high = table[f"{version}_high"].to_numpy(float) - value
        error = np.nan_to_num(np.clip([low, high], 0, None))
        label = "rerun as published" if version == "published" else "corrected"
        axes.errorbar(
            value, rows + shift, xerr=error, fmt="o", ms=4.5, lw=1.1, color=colour, label=label
        )
    axes.plot(table["report"], rows, "D", ms=6, mfc="none", color="black", label="in the report")
    axes.set_yticks(
        rows, [f"{r}: {m}" for r, m in zip(table["recipe"], table["model"], strict=True)]
    )
    axes.invert_yaxis()
    axes.set_xlabel("score (see the table for the metric)")
    axes.set_xlim(right=1.02)
    axes.grid(axis="x", color="#e5e7eb", lw=0.7)
    axes.set_axisbelow(True)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    return figure


def page(folder: str | os.PathLike[str], out: str | os.PathLike[str] | None = None) -> Path:
    """Write one page of all recipes that were run into a folder.

    Parameters
    ----------
    folder : path
        The argument `out` of `run`.
    out : path, optional
        File to write. By default ``reruns.html`` in the folder.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    RecipeError
        If no recipe was run into the folder.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    results = results_of(folder)
    table = overview(results)
    buffer = io.StringIO()
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "hemafeat"}):
        figure_reruns(table).savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    loaders = [PackageLoader("hemafeat.recipes", "."), PackageLoader("hemafeat.report", ".")]
    environment = Environment(
        loader=ChoiceLoader(loaders), autoescape=True, undefined=StrictUndefined
    )
    pages = {
        (recipe, version): f"{recipe}/{version}/page.html"
        for recipe in dict.fromkeys(results["recipe"])
        for version in VERSIONS
        if (Path(folder) / str(recipe) / version / "page.html").is_file()
    }
    text = environment.get_template("_page.html.j2").render(
        figure=svg[svg.index("<svg") :],
        rows=[_texts(row) for row in table.to_dict("records")],
        pages=pages,
        versions=VERSIONS,
        small=bool(results["small"].astype(str).str.lower().eq("true").any()),
    )
    path = Path(out) if out is not None else Path(folder) / "reruns.html"
    write_whole(path, lambda aside: aside.write_bytes(text.encode("utf-8", "replace")))
    return path


def _texts(row: dict[str, object]) -> dict[str, object]:
    def number(value: object) -> str:
        return "" if pd.isna(value) else f"{float(str(value)):.3f}"

    texts: dict[str, object] = {key: row[key] for key in ("recipe", "model", "metric", "part")}
    texts["metric"] = str(row["metric"]).replace("_", " ")
    texts["report"] = number(row["report"])
    for version in VERSIONS:
        interval = f" [{number(row[version + '_low'])}, {number(row[version + '_high'])}]"
        texts[version] = number(row[version]) + interval if not pd.isna(row[version]) else ""
    return texts
