"""Published figures against those that were reproduced, over several recipes, as one page."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hemafeat._files import write_whole
from hemafeat.recipes._recipe import VERSIONS, Recipe, RecipeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS = "rerun.csv"
"""File of the results of one recipe, in its folder."""

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

    Examples
    --------
    >>> from hemafeat import recipes
    >>> run = recipes.run("karim2022", small=True, only=["ldsvm"], out="reruns", n_boot=20)
    >>> sorted(set(recipes.results_of("reruns")["recipe"]))
    ['karim2022']
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

    Examples
    --------
    >>> from hemafeat import recipes
    >>> run = recipes.run("karim2022", small=True, only=["ldsvm"], out="reruns", n_boot=20)
    >>> recipes.overview(run.results)[["model", "metric"]].to_numpy().tolist()
    [['ldsvm', 'balanced_accuracy']]
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

    Examples
    --------
    >>> from hemafeat import recipes
    >>> run = recipes.run("karim2022", small=True, only=["ldsvm"], out="reruns", n_boot=20)
    >>> len(recipes.figure_reruns(recipes.overview(run.results)).axes)
    1
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
    several = len(set(table["recipe"])) > 1
    names = [f"{r}: {m}" for r, m in zip(table["recipe"], table["model"], strict=True)]
    axes.set_yticks(rows, names if several else list(table["model"]))
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

    Examples
    --------
    >>> from hemafeat import recipes
    >>> run = recipes.run("karim2022", small=True, only=["ldsvm"], out="reruns", n_boot=20)
    >>> recipes.page("reruns").name
    'reruns.html'
    """
    results = results_of(folder)
    table = overview(results)
    path = Path(out) if out is not None else Path(folder) / "reruns.html"
    pages = {
        str(name): f"{name}/page.html"
        for name in dict.fromkeys(results["recipe"])
        if (Path(folder) / str(name) / "page.html").is_file()
    }
    return _render(
        path,
        "_page.html.j2",
        figure=_svg(figure_reruns(table)),
        rows=[_texts(row) for row in table.to_dict("records")],
        pages=pages,
        versions=VERSIONS,
        small=bool(results["small"].astype(str).str.lower().eq("true").any()),
    )


def recipe_page(
    recipe: Recipe,
    results: pd.DataFrame,
    folder: Path,
    pictures: Sequence[tuple[str, str, Path]],
    map_file: Path | None,
) -> Path:
    """Write the page of one recipe.

    Parameters
    ----------
    recipe : Recipe
        The recipe.
    results : DataFrame
        See `Rerun`.
    folder : Path
        Folder of the run, with one of each version.
    pictures : sequence of (str, str, Path)
        Version, caption and file of pictures of training.
    map_file : Path or None
        Map of the cells.

    Returns
    -------
    Path
        The file.
    """
    rows = []
    for (model, part, metric), same in results.groupby(["model", "part", "metric"], sort=False):
        row: dict[str, object] = {"model": model, "part": part, "metric": metric, "report": np.nan}
        stated = same["published"].dropna()
        if len(stated):
            row["report"] = float(stated.iloc[0])
        for version in VERSIONS:
            own = same[same["version"] == version]
            for column, name in (("value", ""), ("low", "_low"), ("high", "_high")):
                row[version + name] = float(own[column].iloc[0]) if len(own) else np.nan
        rows.append(_texts({"recipe": recipe.name, **row}))
    protocols = dict(zip(results["version"], results["protocol"], strict=True))
    return _render(
        folder / "page.html",
        "_recipe.html.j2",
        recipe=recipe,
        figure=_svg(figure_reruns(overview(results))),
        rows=rows,
        versions=VERSIONS,
        protocols=protocols,
        pages={v: f"{v}/page.html" for v in protocols if (folder / v / "page.html").is_file()},
        quirks={key: quirk["text"] for key, quirk in recipe.quirks.items()},
        pictures=[(version, text, _embedded(file)) for version, text, file in pictures],
        map=None if map_file is None else _embedded(map_file),
        small=bool(results["small"].any()),
    )


def _render(path: Path, template: str, **content: Any) -> Path:
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    # The style is that of the pages of comparisons.
    loaders = [PackageLoader("hemafeat.recipes", "."), PackageLoader("hemafeat.report", ".")]
    environment = Environment(
        loader=ChoiceLoader(loaders), autoescape=True, undefined=StrictUndefined
    )
    text = environment.get_template(template).render(content)
    write_whole(path, lambda aside: aside.write_bytes(text.encode("utf-8", "replace")))
    return path


def _svg(figure: Figure) -> str:
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "hemafeat"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    # As wide as the page, whatever the number of rows.
    return text[text.index("<svg") :].replace("<svg ", '<svg style="width:100%;height:auto" ', 1)


def _embedded(file: Path) -> str:
    """Return a picture as an address that holds all of it."""
    kind = {".svg": "svg+xml", ".png": "png"}[file.suffix]
    return f"data:image/{kind};base64,{base64.b64encode(file.read_bytes()).decode('ascii')}"


def _texts(row: Mapping[Any, Any]) -> dict[str, Any]:
    def number(value: Any) -> str:
        return "" if pd.isna(value) else f"{float(value):.3f}"

    texts: dict[str, Any] = {key: row[key] for key in ("recipe", "model", "metric", "part")}
    texts["metric"] = str(row["metric"]).replace("_", " ")
    texts["report"] = number(row["report"])
    for version in VERSIONS:
        interval = f" [{number(row[version + '_low'])}, {number(row[version + '_high'])}]"
        texts[version] = number(row[version]) + interval if not pd.isna(row[version]) else ""
    return texts
