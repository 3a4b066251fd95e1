"""Tables to files, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hemafeat.cli._errors import Usage

if TYPE_CHECKING:
    from hemafeat.evaluate import Comparison

SUFFIXES = (".csv", ".parquet")


def table_file(text: str, option: str = "--out") -> Path:
    """A file a table can be written to.

    Raises
    ------
    Usage
        Another suffix than ``.csv`` or ``.parquet``, a folder, or no folder to put it in.
    """
    path = Path(text)
    if path.suffix.lower() not in SUFFIXES:
        raise Usage(f"{option}: {path} should end in .csv or .parquet")
    if path.is_dir():
        raise Usage(f"{option}: {path} is a folder")
    return in_folder(path, option)


def in_folder(path: Path, option: str) -> Path:
    """`path`, whose folder is known to exist."""
    if not path.parent.is_dir():
        raise Usage(f"{option}: there is no folder {path.parent}")
    return path


def scores(comparison: Comparison) -> str:
    """The protocol and the scores with intervals, to print."""
    import pandas as pd

    summary = comparison.summary()
    shown = [name for name in ("balanced_accuracy", "macro_f1", "auroc") if name in summary]
    seconds = comparison.seconds.set_index("model")["fit"].reindex(summary.index)
    text = summary[shown].replace("", "-").rename(columns=lambda name: name.replace("_", " "))
    text["fit, s"] = [f"{value:.1f}" for value in seconds]
    with pd.option_context("display.width", None, "display.max_columns", None):
        lines = text.rename_axis(None).to_string()
    warning = (
        "LEAKY SPLIT: the same group is on both sides, these scores are too good to be true.\n"
        if comparison.leaky
        else ""
    )
    return f"{warning}{comparison.protocol}\n\n{lines}\n"


def best_model(comparison: Comparison) -> str:
    """The best model that can be made by its name: what a user would go on with."""
    from hemafeat import pipelines

    ranked = [str(name) for name in comparison.summary().index]
    fit = [name for name in ranked if name not in ("baseline", "metadata", "grey_pixels")]
    names = pipelines.names(deep=True)
    known = [name for name in fit if name in names or name.startswith("embedding:")]
    return (known or ranked)[0]
