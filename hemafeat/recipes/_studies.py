"""Studies of a recipe: questions that a report asks beside the comparison of its models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hemafeat import evaluate, images as hemafeat_images, networks, report, segment
from hemafeat._files import write_table
from hemafeat.recipes._recipe import OUTLINES, Recipe, RecipeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HELD_BACK = 0.2
"""Share of the groups with confident outlines on which these networks are scored."""

Pictures = list[tuple[str, Path]]


def run_studies(
    chosen: Recipe,
    models: Mapping[str, Any],
    table: pd.DataFrame,
    folder: Path,
    *,
    small: bool,
    protocol: Any,
    n_splits: int,
    n_boot: int,
    random_state: int,
    n_jobs: int,
    progress: bool | None,
) -> Pictures:
    """Run the studies of a recipe whose models are there.

    Parameters
    ----------
    chosen : Recipe
        The recipe.
    models : mapping of str to estimator
        Unfitted models.
    table : DataFrame
        What they read.
    folder : Path
        Folder for ``STUDY.csv`` and ``STUDY.svg``.
    small : bool
        Change the studies as the recipe says for a small run.
    protocol, n_splits, n_boot, random_state, n_jobs, progress
        As in `hemafeat.evaluate.compare`.

    Returns
    -------
    list of (str, Path)
        Caption and file of each figure.
    """
    pictures: Pictures = []
    for name, entry in chosen.studies.items():
        options = {**entry, **(chosen.small.get("studies", {}).get(name, {}) if small else {})}
        kind = options.pop("study")
        wanted = options.pop("models", list(models))
        figures = options.pop("figures", None)
        if kind == OUTLINES or not set(wanted) <= set(models):
            continue
        study = getattr(evaluate, kind)(
            {model: models[model] for model in wanted},
            table,
            protocol=protocol,
            n_splits=n_splits,
            n_boot=n_boot,
            random_state=random_state,
            n_jobs=n_jobs,
            progress=progress,
            rare="drop",
            **options,
        )
        folder.mkdir(parents=True, exist_ok=True)
        write_table(study.results, folder / f"{name}.csv")
        figure: Figure = getattr(report, f"figure_{kind}")(study)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        caption = f"{name.replace('_', ' ')}: {_CAPTIONS[kind]}"
        pictures.append((caption + _stated(chosen, figures), folder / f"{name}.svg"))
    return pictures


_CAPTIONS = {
    "class_drop": "what the cells of classes are taken for that were left out of training",
    "learning_curve": "scores by the number of cells to learn from",
}


def _stated(chosen: Recipe, model: str | None) -> str:
    """Return in words what the report counted of a class that was left out."""
    rows = chosen.published()
    rows = rows[(rows["model"] == model) & (rows["metric"] == "n_predicted")]
    if rows.empty:
        return ""
    rows = rows.sort_values("value", ascending=False)
    shares = [
        f"{name} {share:.0%}"
        for name, share in zip(rows["predicted"], rows["value"] / rows["value"].sum(), strict=True)
    ]
    return f" (in the report {', '.join(shares)})"


def trained_outlines(
    chosen: Recipe,
    table: pd.DataFrame,
    folder: Path,
    *,
    small: bool,
    random_state: int,
    n_jobs: int,
    progress: bool | None,
) -> pd.DataFrame:
    """Train networks to outline cells, from the outlines of which an algorithm is confident.

    A model of the recipe reads their outlines with ``segmenter = "trained:NETWORK"``. Finished ones
    are read.

    Parameters
    ----------
    chosen : Recipe
        The recipe.
    table : DataFrame
        The image table.
    folder : Path
        Folder for the networks, each in one of its own.
    small : bool
        Change the study as the recipe says for a small run.
    random_state : int
        Seed of what is drawn.
    n_jobs : int
        Number of threads.
    progress : bool, optional
        Show progress bars.

    Returns
    -------
    DataFrame
        ``model, part, metric, value`` of each network on images that it was not trained on: share
        of the pixels that are judged as by the algorithm, and Dice of the cell. Empty if the recipe
        trains none.

    Raises
    ------
    RecipeError
        If there are too few confident outlines.
    """
    rows: list[dict[str, Any]] = []
    for name, entry in chosen.studies.items():
        options = {**entry, **(chosen.small.get("studies", {}).get(name, {}) if small else {})}
        if options.pop("study") != OUTLINES:
            continue
        segmenter = options.pop("segmenter", "contours")
        least = options.pop("least_confidence", 0.9)
        listed = table.sample(frac=1, random_state=random_state)
        try:
            confident = networks.confident_masks(
                listed,
                folder / "masks",
                segmenter=segmenter,
                least_confidence=least,
                n_jobs=n_jobs,
                progress=progress,
            )
        except ValueError as error:
            raise RecipeError(f"{chosen.name}: studies.{name}: {error}") from None
        confident = confident.head(options.pop("n_images", len(confident)))
        train, held_back = _parts(confident, random_state)
        for network in options.pop("networks", ["unet"]):
            networks.train_segmenter(
                train,
                out=folder / network,
                network=network,
                validation=held_back,
                drawn=0.0,
                random_state=random_state,
                n_jobs=n_jobs,
                progress=progress,
                **options,
            )
            for metric, value in _agreement(held_back, folder / network).items():
                rows.append(
                    {"model": network, "part": "validation", "metric": metric, "value": value}
                )
    return pd.DataFrame(rows, columns=["model", "part", "metric", "value"])


def _parts(confident: pd.DataFrame, random_state: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divide images into two parts by their groups."""
    groups = confident["group"].astype(str).to_numpy()
    names = np.random.default_rng(random_state).permutation(np.unique(groups))
    held_back = np.isin(groups, names[: max(1, round(HELD_BACK * len(names)))])
    return confident[~held_back], confident[held_back]


def _agreement(table: pd.DataFrame, place: Path) -> dict[str, float]:
    find = segment.segmenter(f"unet:{place / 'network.onnx'}")
    same, n_pixels, dices = 0, 0, []
    for row in table.itertuples():
        expected = segment.read_masks(row.mask).cell > 0
        found = find(hemafeat_images.read(row.image)).cell > 0
        same += int((expected == found).sum())
        n_pixels += expected.size
        dices.append(segment.dice(found, expected))
    return {"pixel_accuracy": same / n_pixels, "dice": float(np.mean(dices))}
