"""Table of published figures."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pandas as pd

from hemafeat._words import suggestion

COLUMNS = (
    *("system", "cited_by", "data", "model", "metric", "label", "predicted", "part", "value"),
    *("split", "certainty", "source", "note"),
)
"""Columns of the table, in order."""


def published(system: str | None = None) -> pd.DataFrame:
    """List the figures that reports and publications give for their systems.

    Parameters
    ----------
    system : str, optional
        Name of a system, such as ``"ufsc2022"``. By default the figures of all systems.

    Returns
    -------
    DataFrame
        One row per figure, with text and one number:

        * ``system``: the report or publication, by name and year;
        * ``cited_by``: the report from which it is known, by name, or empty;
        * ``data``: name of the data set in `hemafeat.datasets`, or of one that is not there;
        * ``model``: which of its models, empty for a fact about the data;
        * ``metric``: a metric of `hemafeat.evaluate` where there is one (``weighted_f1``,
          ``auroc``), or a count such as ``n_images``, ``n_parameters`` and ``n_predicted``;
        * ``label``, ``predicted``: the true class, and the predicted one of a confusion matrix;
          empty for all classes together;
        * ``part``: ``train``, ``validation``, ``test``, ``leaderboard`` (of a challenge), ``all``,
          or another in words; empty if it is not stated;
        * ``value``: scores from 0 to 1, counts as they are;
        * ``split``: how the parts were made, with the name of the protocol that repeats it;
        * ``certainty``: ``stated`` in a report, ``read`` in a publication or repository,
          ``computed`` from what they state, or ``remembered`` and not read again;
        * ``source`` and ``note``.

    Raises
    ------
    ValueError
        There is no such system.

    Notes
    -----
    Most of these scores cannot be compared with each other: divisions, parts and metrics differ,
    and many divide images of the same patient. A figure that could not be confirmed is left out:
    of Arivuselvam and Sudha (2022), cited by a report, none was found, and Karim et al. (2022) have
    none in their abstract.

    Examples
    --------
    >>> from hemafeat import recipes
    >>> figures = recipes.published("ufsc2022").query("part == 'test' and metric == 'weighted_f1'")
    >>> figures.set_index("model")["value"].round(4).to_dict()
    {'main': 0.9132, 'hsv': 0.8603, 'ensemble': 0.9388}
    """
    systems, figures = _read("systems.csv"), _read("published.csv")
    if system is not None:
        if system not in set(systems["system"]):
            names = suggestion(system, systems["system"])
            raise ValueError(f"there is no published system {system!r}; {names}")
        figures = figures[figures["system"] == system].reset_index(drop=True)
    # What the figures of a system share is written once; a figure may say otherwise.
    shared = systems.set_index("system").loc[figures["system"]].reset_index(drop=True)
    for column in ("data", "split", "certainty", "source"):
        figures[column] = figures[column].where(figures[column] != "", shared[column])
    figures["cited_by"] = shared["cited_by"]
    figures["value"] = figures["value"].astype(float)
    return figures[list(COLUMNS)]


def _read(name: str) -> Any:
    """Read a table of text in which an empty field is an empty text."""
    with files("hemafeat.recipes").joinpath(name).open(encoding="utf-8") as file:
        return pd.read_csv(file, dtype=str, keep_default_na=False)
