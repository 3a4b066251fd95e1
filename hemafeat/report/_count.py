"""Self-contained HTML page of a differential count."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
from matplotlib.figure import Figure

from hemafeat._machine import versions
from hemafeat.evaluate import NOT_SURE
from hemafeat.images import read
from hemafeat.report import _tables
from hemafeat.report._galleries import jpeg
from hemafeat.report._html import Picture, render, svg, target
from hemafeat.report._style import (
    BLUE,
    MUTED,
    count,
    draw_interval,
    listed,
    style_rows,
    styled,
    write_beside,
)
from hemafeat.report._tables import Entry, Table

if TYPE_CHECKING:
    import pandas as pd

RESEARCH = (
    "For research only: a count by software that no one has validated for your laboratory. It is "
    "no diagnosis and no medical device; do not use it for the care of anyone."
)

DOUBTFUL = 0.25
"""Share of the cells that are not sure from which the page warns of the counts."""

FIELDS, SLIDES = 24, 12
"""Greatest numbers of images, and of slides, that are shown."""

SIDE = 640
"""Longer side of a picture, in pixels."""


def count_page(
    counts: pd.DataFrame,
    cells: pd.DataFrame,
    out: str | os.PathLike[str],
    *,
    per_image: pd.DataFrame | None = None,
    overlays: Mapping[str, str | os.PathLike[str]] | None = None,
    errors: pd.DataFrame | None = None,
    title: str = "Count of white cells",
    model: str = "",
    um_per_px: Sequence[float] = (),
    command: str | None = None,
) -> Path:
    """Write a differential count as one self-contained HTML file.

    Parameters
    ----------
    counts : DataFrame
        Result of `hemafeat.evaluate.differential`, by slide or patient.
    cells : DataFrame
        The cells: ``image``, ``counted`` and ``reason``.
    out : path
        File to write, or a folder for a file ``count.html``. Missing folders are created.
    per_image : DataFrame, optional
        The same counts by image.
    overlays : mapping of str to path, optional
        File of the picture of each image, with its outlines.
    errors : DataFrame, optional
        What could not be counted.
    title : str
        Heading of the page.
    model : str
        The model that classified the cells, shown under Provenance.
    um_per_px : sequence of float
        The scales that were used, likewise.
    command : str, optional
        Command that made the count, likewise.

    Returns
    -------
    Path
        The file written. It says that the count is for research only.

    Raises
    ------
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import evaluate, report
    >>> cells = pd.DataFrame({"image": ["a.png", "a.png"], "counted": ["monocyte", "not sure"]})
    >>> cells["reason"] = ["", "no class is likely enough"]
    >>> counts = evaluate.differential(cells, "image")
    >>> path = report.count_page(counts, cells, "count.html")
    >>> "Research only" in path.read_text(encoding="utf-8")
    True
    """
    by = str(counts.columns[0])
    groups = [(str(name), rows) for name, rows in counts.groupby(by, sort=False, observed=True)]
    slides = [
        (name, _table(rows), _picture(name, rows, number))
        for number, (name, rows) in enumerate(groups[:SLIDES])
    ]
    unsure = cells.loc[cells["counted"].astype(str) == NOT_SURE, "reason"].value_counts()
    reasons = Table(
        [Entry("Why"), Entry("Cells")],
        [[Entry(str(reason)), Entry(count(int(n)))] for reason, n in unsure.items()],
    )
    fields = dict(overlays or {})
    n_images = cells["image"].nunique() if per_image is None else per_image["image"].nunique()
    content = {
        "title": title,
        "research": RESEARCH,
        "facts": [
            (count(int(n_images)), "images"),
            (count(len(groups)), by if len(groups) == 1 else f"{by}s"),
            (count(len(cells)), "cells"),
            (count(int(unsure.sum())), "not sure"),
            (count(0 if errors is None else len(errors)), "errors"),
        ],
        "doubt": _doubt(int(unsure.sum()), len(cells)),
        "apart": _apart(counts),
        "slides": slides,
        "n_slides": len(groups),
        "images": Table([], []) if per_image is None else _wide(per_image),
        "reasons": reasons,
        "fields": [(name, _source(path)) for name, path in list(fields.items())[:FIELDS]],
        "n_fields": len(fields),
        "errors": _tables.errors(errors),
        "provenance": [
            ("Model", model or "not named"),
            ("Scale", ", ".join(f"{value:.4g}" for value in um_per_px) + " um per px")
            if len(um_per_px)
            else ("Scale", "unknown"),
            ("Page made with", listed(versions(()))),
        ],
        "command": command,
    }
    return render(target(out, "count.html"), "_count.html.j2", content)


def _doubt(n_unsure: int, n_cells: int) -> str:
    if n_unsure <= DOUBTFUL * n_cells:
        return ""
    return (
        f"{100 * n_unsure / n_cells:.0f} % of the cells are not sure. The model does not know "
        "cells like these, and may be wrong about the others too: believe no share."
    )


def _table(rows: pd.DataFrame) -> Table:
    lines = [
        [
            Entry(str(row["class"])),
            Entry(count(int(row["n"]))),
            Entry("–")
            if row["share"] != row["share"]
            else Entry(f"{100 * row['share']:.1f} %", _bounds(row)),
        ]
        for row in rows.to_dict("records")
    ]
    muted = {k for k, n in enumerate(rows["n"]) if n == 0}
    return Table([Entry("Class"), Entry("Cells"), Entry("Share")], lines, 1, muted)


def _bounds(row: Mapping[Any, Any]) -> str:
    return f"{100 * row['low']:.1f} to {100 * row['high']:.1f} %"


def _wide(per_image: pd.DataFrame) -> Table:
    classes = list(dict.fromkeys(per_image["class"]))
    wide = per_image.pivot_table(index="image", columns="class", values="n", observed=True)
    lines = [
        [Entry(str(name)), *(Entry(count(int(n))) for n in row)]
        for name, row in zip(wide.index, wide[classes].to_numpy(), strict=True)
    ]
    return Table([Entry("Image"), *(Entry(str(name)) for name in classes)], lines)


def _apart(counts: pd.DataFrame) -> str:
    by = counts.columns[0]
    known = counts[counts["class"].astype(str) != NOT_SURE]
    # Where nothing was classified, no class has a share.
    known = known[known.groupby(by, observed=True)["share"].transform("count") > 0]
    names = known.groupby("class", sort=False, observed=True)["share"].count()
    apart = [f"{name}s" for name in names.index[names == 0]]
    return f"Counted apart, without a share: {', '.join(apart)}." if apart else ""


def _picture(name: str, rows: pd.DataFrame, number: int) -> Picture | None:
    found = rows[rows["share"].notna()]
    if found.empty:
        return None
    alt = ", ".join(f"{r['class']} {100 * r['share']:.0f} %" for r in found.to_dict("records"))
    return Picture(svg(_figure(found), f"slide{number}", f"Shares in {name}: {alt}"))


@styled
def _figure(rows: pd.DataFrame) -> Figure:
    """Draw the share of each class with its interval."""
    figure = Figure(figsize=(7, 0.9 + 0.28 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for y, row in enumerate(rows.to_dict("records")):
        known = row["class"] != NOT_SURE
        colour = BLUE if known else MUTED
        draw_interval(axes, y, row["low"], row["share"], row["high"], colour, filled=known)
        write_beside(axes, y, f"{100 * row['share']:.1f} %")
    axes.set_yticks(range(len(rows)), [str(name) for name in rows["class"]])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("share of the classified white cells")
    style_rows(axes)
    return figure


def _source(path: str | os.PathLike[str]) -> str:
    image = read(path)
    scale = SIDE / max(image.shape[:2])
    if scale < 1:
        size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return jpeg(image)
