"""Read or draw the images of a recipe, and measure what its models read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemafeat import datasets, extract, pipelines
from hemafeat.recipes._recipe import Recipe, RecipeError

Folders = str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]] | None

TABLE = "table"
"""What a recipe has in place of a data set where its models read a CSV file, not images."""

N_IMAGES, N_PATIENTS = 80, 8
"""Number and patients of the images that are drawn where no data set is given."""

SIDES = {"cnmc": 450, "pbc": 360, "apl": 360, "lymphocytosis": 224}
"""Side of the drawn images in px, as in the data set, so that crops mean the same."""


def image_table(
    recipe: Recipe, data: Folders, scratch: Path, *, small: bool = False, random_state: int = 0
) -> pd.DataFrame:
    """List the images of a recipe.

    Parameters
    ----------
    recipe : Recipe
        The recipe.
    data : path, mapping of str to path, or None
        Folder of the data set, or a CSV file; for several sets a folder that has one of each name,
        or a mapping.
        None draws images in the layout of each set.
    scratch : Path
        Folder for drawn images.
    small : bool
        Keep few images, or draw few.
    random_state : int
        Seed of what is drawn.

    Returns
    -------
    DataFrame
        The image table, with a column ``label``.

    Raises
    ------
    RecipeError
        If a set has no folder, or nothing is left of it.
    """
    if recipe.data["sets"] == [TABLE]:
        return _measured_table(recipe, data, random_state)
    tables = []
    for entry in recipe.data["sets"]:
        name, options = (entry, {}) if isinstance(entry, str) else _named(entry)
        folder = _folder(recipe, data, name, scratch, small, random_state)
        tables.append(datasets.load(name, folder, **options))
    table = tables[0] if len(tables) == 1 else datasets.merge(tables)
    if "where" in recipe.data:
        table = table.query(recipe.data["where"])
    if "per_class" in recipe.data:
        table = _at_most(table, recipe.data["per_class"], random_state)
    table = table[table["label"].notna()].reset_index(drop=True)
    if small and data is not None:
        n_classes = table["label"].nunique()
        n_images = recipe.small.get("n_images", N_IMAGES)
        table = _at_most(table, max(2, n_images // max(1, n_classes)), random_state)
    if table["label"].nunique() < 2:
        raise RecipeError(f"{recipe.name}: fewer than two classes are left of {len(table)} images")
    return table


def _measured_table(recipe: Recipe, data: Folders, random_state: int) -> pd.DataFrame:
    """Read a table of numbers with a column ``label``, or draw one with a planted difference."""
    if data is None:
        rng = np.random.default_rng(random_state)
        label = np.repeat(["AML", "normal"], N_IMAGES // 2)
        values = rng.normal(size=(len(label), 50))
        values[label == "AML", :5] += 1.5
        table = pd.DataFrame(values, columns=[f"gene_{k:02d}" for k in range(values.shape[1])])
        table.insert(0, "label", label)
    else:
        path = Path(data[TABLE] if isinstance(data, Mapping) else data)
        try:
            table = pd.read_csv(path)
        except (OSError, UnicodeDecodeError, ValueError) as error:
            raise RecipeError(f"{recipe.name} needs a CSV file: {path}: {error}") from None
        if "label" not in table:
            raise RecipeError(f"{path} has no column 'label'")
    if "image" not in table:
        table.insert(0, "image", [f"row {number}" for number in range(len(table))])
    return table


def feature_columns(recipe: Recipe, table: pd.DataFrame) -> list[str]:
    """Return the names of the columns that the models of a recipe may read."""
    if recipe.data["sets"] == [TABLE]:
        return [str(name) for name in table.select_dtypes("number").columns]
    return extract.feature_columns(table)


def _named(entry: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    options = dict(entry)
    return options.pop("name"), options


def _folder(
    recipe: Recipe, data: Folders, name: str, scratch: Path, small: bool, random_state: int
) -> Path:
    if data is None:
        folder = scratch / name
        drawn = {**recipe.data.get("drawn", {}), **(recipe.small if small else {})}
        try:
            datasets.drawn_set(
                name,
                folder,
                drawn.get("n_images", N_IMAGES),
                n_patients=drawn.get("n_patients", N_PATIENTS),
                size=SIDES.get(name, 360),
                random_state=random_state,
            )
        except ValueError:
            raise RecipeError(
                f"{recipe.name} needs the data set {name}, of which no images can be drawn: pass "
                "its folder"
            ) from None
        return folder
    if isinstance(data, Mapping):
        if name not in data:
            raise RecipeError(f"{recipe.name} needs the data set {name}: pass {name}=FOLDER")
        return Path(data[name])
    folder = Path(data)
    if len(recipe.data["sets"]) > 1:
        if not (folder / name).is_dir():
            raise RecipeError(
                f"{recipe.name} needs the data set {name}, but {folder} has no such "
                f"folder: pass {name}=FOLDER for each set"
            )
        return folder / name
    return folder


def _at_most(table: pd.DataFrame, n: int, random_state: int) -> pd.DataFrame:
    """Keep at most `n` images of each class, drawn at random, in their order."""
    rng = np.random.default_rng(random_state)
    kept = []
    for _, rows in table.groupby("label", sort=True):
        places = rows.index.to_numpy()
        kept += list(rng.choice(places, min(n, len(places)), replace=False))
    return table.loc[sorted(kept)].reset_index(drop=True)


def with_features(
    recipe: Recipe,
    images: pd.DataFrame,
    models: Mapping[str, Any],
    out: Path,
    *,
    n_jobs: int | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Measure the cells if a model reads features; else return the images as they are.

    Parameters
    ----------
    recipe : Recipe
        The recipe, which may name families.
    images : DataFrame
        The image table.
    models : mapping of str to estimator
        The models that will be compared.
    out : Path
        Folder of the features; an interrupted run resumes there.
    n_jobs : int, optional
        Number of workers.
    progress : bool, optional
        Show a progress bar.

    Returns
    -------
    DataFrame
        One row per cell, or the image table.
    """
    if recipe.data["sets"] == [TABLE] or not any(
        "features" in pipelines.looks_at(model) for model in models.values()
    ):
        return images
    families = recipe.data.get("families", "default")
    extract.stream(images, out, families=families, n_jobs=n_jobs, progress=progress)
    return extract.load(out)
