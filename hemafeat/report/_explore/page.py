"""Self-contained HTML page on which the cells of a table are looked at."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hemafeat._frames import need_frame
from hemafeat._machine import n_workers, progress_bar, versions
from hemafeat._words import no_column, plural
from hemafeat.report import _galleries, _map
from hemafeat.report._explore import contents as _contents
from hemafeat.report._explore.columns import ALIKE, FAR, survey
from hemafeat.report._explore.pictures import Sheets, sheets
from hemafeat.report._html import render, target
from hemafeat.report._style import INK, MUTED, SERIES, count, listed

if TYPE_CHECKING:
    import pandas as pd

    from hemafeat.evaluate import Comparison

PACKAGES = ("numpy", "pandas", "scikit-learn", "opencv-python", "umap-learn")

COLOURS = [
    *(colour for colour, _ in SERIES if colour not in (INK, MUTED)),
    *("#d81b60", "#7cb342", "#00838f", "#5e35b1", "#ff8a65", "#90a4ae", "#c0ca33", "#6d4c41"),
]
"""Colours of the first classes: those of models on other pages that are not of text, and more."""

N_TYPICAL = 12
"""Number of typical, and of unusual, cells of each class that are shown."""


def explore(
    table: pd.DataFrame,
    out: str | os.PathLike[str],
    *,
    comparison: Comparison | None = None,
    suspected: bool | pd.DataFrame = True,
    label: str = "label",
    images: Any = None,
    segmenter: Any = None,
    masks: Any = None,
    mask_kind: str = "auto",
    pictures: bool = True,
    map: str = "auto",
    n_cells: int = 20_000,
    title: str | None = None,
    command: str | None = None,
    random_state: int = 0,
    n_jobs: int | None = None,
    notify: Callable[[str], object] | None = None,
) -> Path:
    """Write a page on which the cells of a table are looked at, as one HTML file.

    Cells are points, which can be coloured by label, prediction, patient, data set or any column,
    and placed by a map of all features or by any two columns. Pointing at one shows the cell with
    its outlines; selecting some shows their pictures, and the columns in which they differ from the
    rest. Further tabs show the columns before any model (values by class, missing values, columns
    that repeat each other, outlying cells), pictures of every class, and labels that look wrong.
    What is decided about cells, another label or to leave them out, is saved as a CSV file, which
    `hemafeat.datasets.edited` and ``hemafeat compare --edits`` apply.

    Parameters
    ----------
    table : DataFrame
        Table of cells, as returned by `hemafeat.extract.table`. Redrawn copies are left out.
    out : path
        File to write, or a folder for a file ``explore.html``. Missing folders are created.
    comparison : Comparison, optional
        A comparison of this table: the predictions of its best model are shown, and its
        probabilities tell which labels look wrong.
    suspected : bool or DataFrame, default=True
        Labels that look wrong: a result of `hemafeat.evaluate.suspected_labels`; True searches for
        them if there are two or more classes, which fits a model to five parts of the table; False
        leaves them out.
    label : str, default="label"
        Column of the labels. It may be missing.
    images, segmenter, masks, mask_kind : optional
        As in `page`: where the images are, and how their outlines are found. The segmenter is by
        default the one that the table was measured with.
    pictures : bool, default=True
        Show the cells. Without pictures no image is read.
    map : {"auto", "umap", "tsne", "pca"}
        Map of all features, beside their principal components, see `figure_map`. ``"auto"`` is
        UMAP if the package umap-learn is installed (extra ``explore``), and else the components.
    n_cells : int, default=20000
        Largest number of cells that are shown. If there are more, they are drawn at random.
    title, command : str, optional
        Heading of the page, and the command that made it.
    random_state : int, default=0
        Seed of the choice of cells, of the map and of the search for wrong labels.
    n_jobs : int, optional
        Number of threads that draw cells. By default one for each processor.
    notify : callable, optional
        Called with a sentence before each of the long steps.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ValueError
        If the table has no cells or no features, there is no such map, or the comparison is of
        another table.
    ImportError
        If umap-learn is needed and not installed.
    OSError
        If the file cannot be written. Images that cannot be read do not raise; the page says so.

    Notes
    -----
    A page of 20,000 cells takes about 50 MB: pictures of 64 pixels (112 for 2,500 cells or fewer),
    and the columns that differ most between the classes, as many as fit into four million numbers.

    Examples
    --------
    >>> from hemafeat import datasets, report
    >>> cells = datasets.drawn_bags(12, cells=(4, 8), random_state=0)
    >>> path = report.explore(cells, "look", map="pca", pictures=False, suspected=False)
    >>> path.as_posix()
    'look/explore.html'
    >>> "<canvas" in path.read_text(encoding="utf-8")
    True
    """
    say = notify or (lambda text: None)
    table = need_frame(table, "a page of cells")
    chosen = _checked_map(map)
    if "redrawn" in table:
        table = table[~(table["redrawn"].fillna(0) > 0).to_numpy(bool)]
    table = table.reset_index(drop=True)
    if "image" not in table:
        raise ValueError(no_column("image", table.columns))
    if not len(table):
        raise ValueError("the table has no cells")
    whole, table = table, _drawn(table, n_cells, random_state)
    found = _contents.contents(table, label)
    if not found.features:
        raise ValueError(
            "the table has no feature columns, such as those of extract.table (hemafeat extract)"
        )
    labels: list[str | None] = [None] * len(table)
    if label in table:
        labels = _contents.as_names(table[label])
    classes = sorted({name for name in labels if name is not None})
    if comparison is not None:
        model, named, best = _contents.predicted(table, comparison)
        found.names.insert(1, ("predicted", f"Predicted by {model}", named))
        right = [
            None if a is None or b is None else "right" if a == b else "wrong"
            for a, b in zip(named, labels, strict=True)
        ]
        found.names.insert(2, ("right", f"Right or wrong, {model}", right))
        found.numbers.insert(0, ("confidence", f"Probability given by {model}", best))
    doubts, remark = _doubts(whole, table, classes, comparison, suspected, label, random_state, say)
    if doubts is not None:
        score = np.full(len(table), np.nan)
        score[doubts["place"]] = doubts["score"]
        found.numbers.insert(0, ("doubt", "Evidence against the label", score))
    say(f"placing {plural(len(table), 'cell')} ...")
    values = table[found.features].to_numpy(np.float64, na_value=np.nan)
    matrix = _map.vectors_of(values)
    maps = [_map.place(matrix, "pca", random_state)]
    if chosen != "pca":
        maps.insert(0, _map.place(matrix, chosen, random_state))
    kinds = list(dict.fromkeys([chosen, "pca"]))
    known = survey(values, labels if classes else None)
    drawn, outlined = None, ""
    if pictures:
        segmenter, outlined = _how_outlined(table, segmenter, masks)
        say(f"drawing {plural(len(table), 'cell')} ...")
        drawn = _pictures(table, images, segmenter, masks, mask_kind, n_workers(n_jobs))
    data, blocks = _packed(
        table, found, label, labels, classes, doubts, maps, kinds, known, matrix, drawn
    )
    content = {
        "title": title or "Cells",
        "facts": _facts(table, found, classes),
        "notes": _notes(table, whole, found, drawn, outlined),
        "suspected": remark,
        "alike": f"{ALIKE:g}",
        "far": f"{FAR:g}",
        "data": data,
        "blocks": blocks,
        "script": files("hemafeat.report").joinpath("_explore/page.js").read_text("utf-8"),
        "command": command,
        "provenance": _provenance(whole, comparison),
    }
    return render(target(out, "explore.html"), "_explore/page.html.j2", content)


def _checked_map(name: str) -> str:
    if name == "auto":
        try:
            _map.check_method("umap")
        except ImportError:
            return "pca"
        return "umap"
    _map.check_method(name)
    return name


def _drawn(table: pd.DataFrame, n: int, random_state: int) -> pd.DataFrame:
    """Return the cells that are shown, those of an image next to each other."""
    rows = np.arange(len(table))
    if len(table) > n:
        rows = np.random.default_rng(random_state).choice(len(table), n, replace=False)
    numbers = _contents.keys(table)
    return table.iloc[sorted(rows.tolist(), key=numbers.__getitem__)]


def _doubts(
    whole: pd.DataFrame,
    table: pd.DataFrame,
    classes: list[str],
    comparison: Comparison | None,
    suspected: bool | pd.DataFrame,
    label: str,
    random_state: int,
    say: Callable[[str], object],
) -> tuple[pd.DataFrame | None, str]:
    """Return the labels that look wrong with the place of their cells, and what was done."""
    from hemafeat import evaluate

    if suspected is False:
        return None, "They were not searched for."
    if suspected is True and len(classes) < 2:
        return None, "There are no two classes."
    if suspected is True:
        say("searching for labels that look wrong ...")
        try:
            # The rows of a comparison are those of the whole table.
            where = whole if comparison is not None else table.reset_index(drop=True)
            found = evaluate.suspected_labels(
                where, comparison or "logistic", label=label, random_state=random_state
            )
        except evaluate.CompareError as error:
            return None, f"They could not be searched for: {error}."
    else:
        found = suspected
    place = {key: k for k, key in enumerate(_contents.keys(table))}
    places = [place.get(key, -1) for key in _contents.keys(found)]
    found = found.assign(place=places)
    return found[found["place"] >= 0], ""


def _how_outlined(table: pd.DataFrame, segmenter: Any, masks: Any) -> tuple[Any, str]:
    """Return the segmenter for the outlines, and a warning if the table had others."""
    from hemafeat import extract, segment

    if segmenter is not None or masks is not None:
        return segmenter or "contours", ""
    before = extract.measured(table).get("segmenter", "contours")
    try:
        segment.segmenter(before)
    except (ValueError, LookupError):  # masks, or a plug-in that is not installed
        return "contours", (
            f"The cells were measured with {before}, and are outlined here by contours, as far as "
            "these are the same. Give the masks (--masks) to see those that were measured."
        )
    return before, ""


def _pictures(
    table: pd.DataFrame, images: Any, segmenter: Any, masks: Any, mask_kind: str, n_jobs: int
) -> Sheets:
    """Draw the cells that are shown."""
    names = table["image"].map(str).tolist()
    source = _galleries.Pictures(names, images, segmenter, masks, mask_kind, cells=table)
    cells = [number for _, number in _contents.keys(table)]
    with progress_bar(len(names), "drawing", unit="cell") as bar:
        return sheets(names, cells, source, n_jobs=n_jobs, step=bar.update)


def _packed(
    table: pd.DataFrame,
    found: _contents.Contents,
    label: str,
    labels: list[str | None],
    classes: list[str],
    doubts: pd.DataFrame | None,
    maps: list[tuple[np.ndarray, tuple[str, str]]],
    kinds: list[str],
    known: Any,
    matrix: np.ndarray,
    drawn: Sheets | None,
) -> tuple[str, list[tuple[str, str]]]:
    """Return what the script of the page reads: a JSON text, and arrays as text."""
    from hemafeat import extract

    described = extract.describe().set_index("column")
    units = extract.units(table)
    numbers: list[dict[str, Any]] = []
    codes: list[np.ndarray] = []
    for key, name, values in found.numbers:
        span, packed = _contents.pack_numbers(values)
        numbers.append({"key": key, "title": name, "group": "", "unit": "", **span})
        codes.append(packed)
    first = len(numbers)
    for k, name in enumerate(found.features):
        span, packed = _contents.pack_numbers(table[name].to_numpy(np.float64, na_value=np.nan))
        told = described.loc[name] if name in described.index else None
        numbers.append(
            {
                "key": name,
                "title": name,
                "group": " ".join(name.split("__")[:2]),
                "unit": units.get(name, ""),
                "meaning": "" if told is None else f"{told['meaning']} ({told['formula']})",
                "missing": int(known.missing[k]),
                "outliers": int(known.outliers[k]),
                "between": _short(known.between[k]),
                "partner": int(known.partner[k]) + first if known.partner[k] >= 0 else -1,
                "correlation": _short(known.correlation[k]),
                **span,
            }
        )
        codes.append(packed)
    names = [
        {"key": key, "title": name, **_contents.pack_names(words, classes if key == label else ())}
        for key, name, words in found.names
    ]
    blocks = [("values", _contents.pack(np.stack(codes)))]
    places = []
    for kind, (points, axes) in zip(kinds, maps, strict=True):
        blocks.append((f"map-{kind}", _contents.pack(points.astype("<f4"))))
        places.append({"key": kind, "title": _map.MAPS[kind], "axes": axes})
    shown: dict[str, Any] = {"side": 0, "per_row": 1, "sheets": 0}
    if drawn is not None and drawn.shown.any():
        shown = {"side": drawn.side, "per_row": drawn.per_row, "sheets": len(drawn.sources)}
        blocks += [(f"sheet-{k}", source) for k, source in enumerate(drawn.sources)]
        blocks.append(("shown", _contents.pack(drawn.shown.astype("u1"))))
        blocks.append(("outlines", _contents.pack(np.frombuffer(drawn.outlines, dtype="u1"))))
    class_code = {name: k for k, name in enumerate(classes)}
    images = _contents.pack_images(table["image"].map(str).tolist())
    # Edits that a browser keeps are those of this table.
    key = hashlib.sha256(json.dumps([images, names[:1]]).encode()).hexdigest()
    data = {
        "key": key,
        "n": len(table),
        "label": label if label in table else None,
        "images": images,
        "cells": _contents.pack(np.array([c for _, c in _contents.keys(table)], dtype="<i4")),
        "names": names,
        "numbers": numbers,
        "first": first,
        "maps": places,
        "pictures": shown,
        "missing": 65535,
        "colours": COLOURS,
        "classes": classes,
        "galleries": _typical(matrix, labels, classes),
        "outlying": [
            [cell, _short(known.far[cell]), [c + first for c in why]]
            for cell, why in zip(known.outlying, known.reasons, strict=True)
        ],
        "alike": [[c + first for c in group] for group in known.groups[:30]],
        "n_alike": [len(known.groups), sum(map(len, known.groups))],
        "patterns": [
            [[c + first for c in columns[:4]], len(columns), len(cells), cells[:24]]
            for columns, cells in known.patterns[:8]
        ],
        "n_patterns": len(known.patterns),
        "doubts": []
        if doubts is None
        else [
            [
                int(row["place"]),
                class_code.get(str(row["suggested"]), -1),
                *(_short(row[name]) for name in ("p_label", "p_suggested")),
                *(_short(row[name]) for name in ("neighbours_label", "neighbours_suggested")),
                _short(row["score"]),
                int(row["suspected"]),
            ]
            for row in doubts.head(1000).to_dict("records")
        ],
    }
    # In a script element only these characters could end it.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return text, blocks


def _short(value: Any) -> float | None:
    value = float(value)
    return round(value, 4) if np.isfinite(value) else None


def _typical(
    matrix: np.ndarray, labels: list[str | None], classes: list[str]
) -> list[tuple[str, int, list[int], list[int]]]:
    """Return for each class its number of cells, those nearest its middle, and the farthest."""
    from sklearn.decomposition import PCA

    n_components = min(20, *matrix.shape)
    with np.errstate(invalid="ignore"):
        places = PCA(n_components, random_state=0).fit_transform(matrix)
    words = np.array(["" if name is None else name for name in labels], dtype=object)
    out = []
    for name in classes or [""]:
        rows = np.flatnonzero(words == name)
        middle = np.median(places[rows], axis=0)
        order = rows[np.argsort(((places[rows] - middle) ** 2).sum(axis=1), kind="stable")]
        half = min(N_TYPICAL, max(1, len(order) // 2))
        far = order[::-1][: half if len(order) > 1 else 0]
        out.append((name or "all cells", len(rows), order[:half].tolist(), far.tolist()))
    return out


def _facts(
    table: pd.DataFrame, found: _contents.Contents, classes: list[str]
) -> list[tuple[str, str]]:
    numbers = [(len(table), "cell"), (table["image"].nunique(), "image")]
    numbers += [(len(classes), "class")] if classes else []
    for column, noun in (("patient", "patient"), ("dataset", "data set")):
        n = table[column].nunique() if column in table else 0
        numbers += [(n, noun)] if n > 1 else []
    numbers.append((found.n_features, "feature"))
    plurals = {"class": "classes"}
    return [(count(n), noun if n == 1 else plurals.get(noun, f"{noun}s")) for n, noun in numbers]


def _notes(
    table: pd.DataFrame,
    whole: pd.DataFrame,
    found: _contents.Contents,
    drawn: Sheets | None,
    outlined: str,
) -> list[str]:
    notes = [outlined] if outlined else []
    if len(table) < len(whole):
        notes.append(f"{count(len(table))} of {count(len(whole))} cells, drawn at random.")
    if len(found.features) < found.n_features:
        notes.append(
            f"The page holds the {len(found.features)} of {found.n_features} features that differ "
            "most between the classes, and the map is made of these."
        )
    if drawn is not None and drawn.problems:
        first, n = drawn.problems[0], int((~drawn.shown).sum())
        without = f"{plural(n, 'cell')} without a picture: " if n else ""
        notes.append(f"{without}{first[:1].upper() if not n else first[:1]}{first[1:]}.")
    if told := whole.attrs.get("edits"):
        notes.append(f"{str(told)[:1].upper()}{str(told)[1:]}.")
    return notes


def _provenance(whole: pd.DataFrame, comparison: Comparison | None) -> list[tuple[str, str]]:
    from hemafeat import extract

    rows = [("Cells in the table", str(len(whole)))]
    rows += [(f"Measured: {name}", value) for name, value in extract.measured(whole).items()]
    if comparison is not None:
        rows.append(("Comparison", comparison.protocol))
        rows.append(("Its data fingerprint", comparison.fingerprint))
    return [*rows, ("Page made with", listed(versions(PACKAGES)))]
