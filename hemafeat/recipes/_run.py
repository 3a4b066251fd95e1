"""Run a recipe: the published number beside the one that is reproduced."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hemafeat import evaluate, extract, report
from hemafeat._files import write_table, write_whole
from hemafeat._fits import check_weights
from hemafeat._public import public
from hemafeat.recipes._data import TABLE, Folders, feature_columns, image_table, with_features
from hemafeat.recipes._figures import cell_map, training_figures
from hemafeat.recipes._models import make_models, reads_outlines
from hemafeat.recipes._page import RESULTS, recipe_page
from hemafeat.recipes._recipe import (
    OUTLINES,
    VERSIONS,
    Recipe,
    RecipeError,
    recipe as read_recipe,
)
from hemafeat.recipes._studies import run_studies, trained_outlines

RECORD, PICTURES, MAP = "rerun.json", "pictures.json", "map.svg"
SHARED = ("protocol", "n_splits", "n_boot", "random_state", "n_jobs", "progress")
"""Options of a comparison that studies have as well."""

COLUMNS = (
    "recipe",
    "version",
    "model",
    "part",
    "metric",
    "published",
    "certainty",
    "value",
    "low",
    "high",
    "difference",
    "protocol",
    "leaky",
    "small",
)


@public
@dataclass(frozen=True)
class Rerun:
    """What running a recipe gave.

    Attributes
    ----------
    recipe : Recipe
        The recipe.
    results : DataFrame
        One row per version, model, part and metric: ``recipe, version, model, part, metric,
        published, certainty, value, low, high, difference, protocol, leaky, small``. `difference`
        is the value minus the published one. A published figure of a model that was run, for which
        there is no value, is a row of its own.
    comparisons : dict of str to Comparison
        The comparison of each version.
    folder : Path
        Where all of it is written.
    """

    recipe: Recipe
    results: pd.DataFrame
    comparisons: dict[str, evaluate.Comparison]
    folder: Path

    def summary(self) -> pd.DataFrame:
        """Tabulate the test scores: published, rerun as published, and corrected.

        Returns
        -------
        DataFrame
            One row per model and metric, with a column ``published`` and one for each version.
        """
        rows = self.results[self.results["part"].isin(["test", "leaderboard"])]
        wide = rows.pivot_table(
            index=["model", "metric"], columns="version", values="value", aggfunc="first"
        )
        figures = rows.groupby(["model", "metric"])["published"].first()
        wide.insert(0, "report", figures.reindex(wide.index))
        return wide.rename_axis(columns=None).reset_index()


def run(
    name: str | os.PathLike[str] | Recipe,
    data: Folders = None,
    out: str | os.PathLike[str] = "hemafeat-rerun",
    *,
    versions: Sequence[str] | None = None,
    only: Sequence[str] | None = None,
    small: bool = False,
    weights: str | os.PathLike[str] | None = None,
    n_splits: int | None = None,
    n_boot: int = 1000,
    random_state: int = 0,
    n_jobs: int = 1,
    progress: bool | None = None,
) -> Rerun:
    """Run a published system, and put its figures beside those that are reproduced.

    Parameters
    ----------
    name : str, path or Recipe
        Name of a recipe, see `names`, or a ``.toml`` file.
    data : path or mapping of str to path, optional
        Folder of the data set, or of each data set by name. By default cells are drawn in the
        layout of the set, with which every step runs, but no score means anything.
    out : path
        Folder to write; the recipe gets a folder of its own name in it. If it holds a finished run
        of the same arguments, that is read; an interrupted run resumes.
    versions : list of {"published", "corrected"}
        Whether the system is run as the report did, errors included, or as it should have been, or
        both, which is the default. The difference of the two is what the protocol of the report was
        worth.
    only : list of str, optional
        Models to run. By default all.
    small : bool
        Run on few images with small networks, to see that everything works.
    weights : path, optional
        Folder of the files of weights that the recipe names. By default those of Keras are used.
    n_splits : int, optional
        Number of folds of a protocol that has folds. By default 5, and 2 in a small run.
    n_boot : int
        Number of resamples for the intervals.
    random_state : int
        Seed of folds, models, intervals and drawn images.
    n_jobs : int
        Number of processes.
    progress : bool, optional
        As in `hemafeat.evaluate.compare`.

    Returns
    -------
    Rerun
        Results with the published figures, and the comparisons.

    Raises
    ------
    RecipeError
        If the recipe, a model or a version does not exist, or the data do not fit.
    hemafeat.evaluate.CompareError
        If a comparison fails.

    Examples
    --------
    >>> from hemafeat import recipes
    >>> rerun = recipes.run("bernard2021_pixels", small=True, only=["forest"], n_boot=20)
    >>> sorted(set(rerun.results["version"]))
    ['corrected', 'published']
    """
    chosen = name if isinstance(name, Recipe) else read_recipe(name)
    if versions is None:
        versions = [version for version in VERSIONS if version in chosen.protocols]
    unknown = [version for version in versions if version not in chosen.protocols]
    if unknown:
        raise RecipeError(
            f"{chosen.name} has no version {unknown[0]!r}; it has {', '.join(chosen.protocols)}"
        )
    small = small or data is None
    if n_splits is None:
        n_splits = 2 if small else 5
    folder = Path(out) / chosen.name
    folder.mkdir(parents=True, exist_ok=True)
    images = image_table(chosen, data, folder / "drawn", small=small, random_state=random_state)
    comparisons: dict[str, evaluate.Comparison] = {}
    rows = []
    if reads_outlines(chosen, only, small):
        outlines = trained_outlines(
            chosen,
            images,
            folder / OUTLINES,
            small=small,
            random_state=random_state,
            n_jobs=n_jobs,
            progress=progress,
        )
        rows.append(_rows_of_outlines(chosen, versions[0], outlines, small))
    for version in versions:
        comparison = _compare(
            chosen,
            version,
            images,
            folder,
            only=only,
            small=small,
            weights=weights,
            n_splits=n_splits,
            n_boot=n_boot,
            random_state=random_state,
            n_jobs=n_jobs,
            progress=progress,
        )
        comparisons[version] = comparison
        rows.append(_rows(chosen, version, comparison, small))
    results = pd.concat([part for part in rows if len(part)], ignore_index=True)
    write_table(results, folder / RESULTS)
    pictures = []
    for version in versions:
        shown = json.loads((folder / version / PICTURES).read_text(encoding="utf-8"))
        pictures += [(version, text, folder / version / name) for text, name in shown]
    map_file = folder / MAP
    if not map_file.is_file():
        measured = extract.load(folder / "features") if (folder / "features").is_dir() else images
        cell_map(measured, feature_columns(chosen, measured), map_file, random_state)
    recipe_page(chosen, results, folder, pictures, map_file if map_file.is_file() else None)
    return Rerun(chosen, results, comparisons, folder)


def _compare(
    chosen: Recipe,
    version: str,
    images: pd.DataFrame,
    folder: Path,
    *,
    only: Sequence[str] | None,
    small: bool,
    weights: str | os.PathLike[str] | None,
    n_splits: int,
    n_boot: int,
    random_state: int,
    n_jobs: int,
    progress: bool | None,
) -> evaluate.Comparison:
    """Compare the models of one version, or read a finished comparison of the same arguments."""
    place = folder / version
    settings = {
        "recipe": _digest(asdict(chosen)),
        "images": _digest([list(images["image"].map(str)), list(images["label"].map(str))]),
        "version": version,
        "only": None if only is None else list(only),
        "small": small,
        "weights": None if weights is None else str(weights),
        "n_splits": n_splits,
        "n_boot": n_boot,
        "random_state": random_state,
    }
    record = place / RECORD
    if record.is_file() and _read(record) == settings:
        return evaluate.load(place)
    (folder / MAP).unlink(missing_ok=True)  # it may be of other images
    made: dict[str, Any] = {
        "only": only,
        "small": small,
        "weights": weights,
        "trained": folder / OUTLINES,
        "random_state": random_state,
    }
    models = make_models(chosen, version, **made)
    try:
        check_weights(models)
    except ValueError as error:
        raise RecipeError(f"{chosen.name}: {error}") from None
    table = with_features(
        chosen, images, models, folder / "features", n_jobs=n_jobs, progress=progress
    )
    columns = feature_columns(chosen, table)
    models = make_models(chosen, version, columns, **made)
    options: dict[str, Any] = {
        "protocol": _protocol(chosen, version, small),
        "n_splits": n_splits,
        "rare": "drop",
        "n_boot": n_boot,
        "random_state": random_state,
        "n_jobs": n_jobs,
        "progress": progress,
        "keep": place / "fits",
        "importance": False,
        "parts": ("train", "validation", "test"),
        "keep_models": True,
    }
    if chosen.level == "patient":
        comparison: evaluate.Comparison = evaluate.compare_patients(
            models, table, metadata=chosen.data.get("metadata"), **options
        )
    else:
        if chosen.data["sets"] == [TABLE]:
            options["columns"] = columns
        comparison = evaluate.compare(
            models, table, metadata=chosen.data.get("metadata", ()), **options
        )
    comparison.save(place)
    shown = table if "cell" in table else None
    report.page(comparison, place / "page.html", table=shown, title=f"{chosen.title}, {version}")
    figures = place / "figures"
    pictures = [
        (text, file.relative_to(place).as_posix())
        for _, text, file in training_figures(comparison, figures)
    ]
    comparison.fitted = {}  # they may take gigabytes
    studies = run_studies(
        chosen,
        models,
        table,
        place / "studies",
        small=small,
        **{name: options[name] for name in SHARED},
    )
    pictures += [(text, file.relative_to(place).as_posix()) for text, file in studies]
    (place / PICTURES).write_text(json.dumps(pictures), encoding="utf-8")
    write_whole(
        record, lambda aside: aside.write_text(json.dumps(settings, indent=1), encoding="utf-8")
    )
    return comparison


def _protocol(chosen: Recipe, version: str, small: bool) -> Any:
    value = chosen.protocols[version]
    if small:
        value = chosen.small.get("protocols", {}).get(version, value)
    if isinstance(value, str):
        return value
    options = dict(value)
    return evaluate.protocol(options.pop("name"), **options)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(record: Path) -> Any:
    try:
        return json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _rows(
    chosen: Recipe, version: str, comparison: evaluate.Comparison, small: bool
) -> pd.DataFrame:
    """Return the scores of a version with the published figures beside them."""
    scores = comparison.part_scores
    scores = scores[scores["model"].isin(chosen.models)]
    figures = chosen.published()
    rows = []
    for model in dict.fromkeys(scores["model"]):
        of_report = figures[figures["model"] == chosen.models[model].get("figures", model)]
        of_model = scores[scores["model"] == model]
        keys = dict.fromkeys(
            [
                *zip(of_model["part"], of_model["metric"], strict=True),
                *_keys_of(of_report, set(scores["metric"])),
            ]
        )
        for part, metric in keys:
            value = of_model[(of_model["part"] == part) & (of_model["metric"] == metric)]
            figure = of_report[(of_report["part"] == part) & (of_report["metric"] == metric)]
            figure = figure[figure["label"] == ""]
            number = float(figure["value"].iloc[0]) if len(figure) else float("nan")
            own = value.iloc[0] if len(value) else {}
            rows.append(
                {
                    "recipe": chosen.name,
                    "version": version,
                    "model": model,
                    "part": part,
                    "metric": metric,
                    "published": number,
                    "certainty": str(figure["certainty"].iloc[0]) if len(figure) else "",
                    "value": float(own.get("value", float("nan"))),
                    "low": float(own.get("low", float("nan"))),
                    "high": float(own.get("high", float("nan"))),
                    "difference": float(own.get("value", float("nan"))) - number,
                    "protocol": comparison.protocol,
                    "leaky": comparison.leaky,
                    "small": small,
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows_of_outlines(
    chosen: Recipe, version: str, outlines: pd.DataFrame, small: bool
) -> pd.DataFrame:
    """Return the scores of networks that outline cells as rows of the results."""
    figures = chosen.published().set_index(["model", "part", "metric"])
    rows = outlines.assign(recipe=chosen.name, version=version, small=small, leaky=False)
    keys = [(row.model, row.part, row.metric) for row in outlines.itertuples()]
    stated = [figures.loc[[key]].iloc[0] if key in figures.index else None for key in keys]
    rows["published"] = [float("nan") if row is None else float(row["value"]) for row in stated]
    rows["certainty"] = ["" if row is None else str(row["certainty"]) for row in stated]
    rows["difference"] = rows["value"] - rows["published"]
    rows["protocol"] = "images with confident outlines that were held back"
    return rows.reindex(columns=COLUMNS)


def _keys_of(of_report: pd.DataFrame, metrics: set[str]) -> list[tuple[str, str]]:
    rows = of_report[(of_report["label"] == "") & of_report["metric"].isin(metrics)]
    return list(zip(rows["part"], rows["metric"], strict=True))
