"""Self-contained HTML page of a comparison."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat._frames import need_frame
from hemafeat._machine import versions
from hemafeat._words import plural
from hemafeat.report import _curves, _figures, _galleries, _map, _patients, _studies, _tables
from hemafeat.report._audit.page import audit_section
from hemafeat.report._html import Picture, render, svg, target
from hemafeat.report._ranking import predictions_of, ranking, scores
from hemafeat.report._style import count, in_text, listed, metric_name, number

if TYPE_CHECKING:
    import pandas as pd

    from hemafeat.datasets import Audit
    from hemafeat.evaluate import Comparison, Probes

PACKAGES = ("numpy", "pandas", "scikit-learn", "matplotlib", "opencv-python")


def page(
    comparison: Comparison,
    out: str | os.PathLike[str],
    *,
    table: pd.DataFrame | None = None,
    images: Any = None,
    segmenter: Any = "contours",
    masks: Any = None,
    mask_kind: str = "auto",
    title: str | None = None,
    command: str | None = None,
    date: str | None = None,
    audit: Audit | None = None,
    probes: Probes | None = None,
    studies: Sequence[Any] = (),
    map: str | None = None,
    reasons: pd.DataFrame | None = None,
) -> Path:
    """Write a comparison as one self-contained HTML file.

    Parameters
    ----------
    comparison : Comparison
        Result of `hemafeat.evaluate.compare` or `hemafeat.evaluate.load`.
    out : path
        File to write, or a folder for a file ``page.html``. Missing folders are created.
    table : DataFrame, optional
        Table of cells that was compared. With it the page shows segmentations of every class, the
        cells whose segmentation is suspected to have failed, and what could not be measured.
    images : optional
        Images from which the table was extracted, if its ``image`` column does not lead to them:
        arrays, crops, masks in an image table.
    segmenter, masks, mask_kind : optional
        As they were passed to `hemafeat.extract.table`, for the outlines on the pictures. See
        Notes.
    title : str, optional
        Heading of the page.
    command : str, optional
        Command that made the comparison, shown under Provenance.
    date : str, optional
        Date, shown as it is. By default the page holds no date, so that the same comparison gives
        the same bytes.
    audit : Audit, optional
        Result of `hemafeat.datasets.audit`, shown in a section of its own.
    probes : Probes, optional
        Result of `hemafeat.evaluate.leak_probes`, shown in the same section.
    studies : list, optional
        Results of `hemafeat.evaluate.leakage`, `learning_curve`, `class_drop` and `resampling`,
        each shown in a section of its own.
    map : {"tsne", "pca", "umap"}, optional
        Draw a map of the features of the cells of `table`, see `figure_map`. By default none is
        drawn.

    reasons : DataFrame, optional
        What `hemafeat.pipelines.explain` says of wrongly classified cells, shown below their
        pictures.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ValueError
        If the comparison holds no results, for an unknown segmenter, kind of study or map, or if a
        map has no table.
    OSError
        If the file cannot be written. Images that cannot be read do not raise; the page says so in
        their place.

    Notes
    -----
    A table of cells holds no outlines. Those on the pictures come from `masks`, if they are given;
    otherwise the images of the cells shown are segmented again with `segmenter`, each once. The
    page shows about a hundred cells at most, whatever the size of the table.

    Examples
    --------
    >>> from hemafeat import datasets, evaluate, report
    >>> cells = datasets.drawn_bags(24, cells=(4, 8), random_state=0)
    >>> comparison = evaluate.compare(
    ...     "logistic", cells, groups="patient", n_splits=2, n_boot=20, importance=False
    ... )
    >>> path = report.page(comparison, "report", title="Drawn cells")
    >>> path.as_posix()
    'report/page.html'
    >>> "<h1>Drawn cells</h1>" in path.read_text(encoding="utf-8")
    True
    """
    if comparison.results.empty:
        raise ValueError("the comparison holds no results")
    if map is not None:
        _map.check_method(map)
        if table is None:
            raise ValueError("a map is drawn of the features of the cells: give the table")
    content = _content(comparison, table, images, segmenter, masks, mask_kind, reasons)
    section = audit_section(audit, probes)
    content |= {
        "beware": _beware(content, section),
        "title": title or "Comparison of classifiers on blood-cell features",
        "command": command,
        "date": date,
        "audit": section,
        "studies": _studies.sections(studies),
        "map": None if map is None else _map_picture(table, map),
    }
    return render(target(out, "page.html"), "_page.html.j2", content)


def _content(
    comparison: Comparison,
    table: pd.DataFrame | None,
    images: Any,
    segmenter: Any,
    masks: Any,
    mask_kind: str,
    reasons: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Return the values of the template that follow from the comparison and its table."""
    from hemafeat import extract

    models = ranking(comparison)
    by_score = comparison.ranked(baselines=True)
    best = models[0]
    table = None if table is None else need_frame(table, "a page")
    cells = _cells(comparison, best) if table is None else table
    pictures = _galleries.Pictures(
        [*map(str, cells["image"]), *map(str, comparison.predictions["image"])],
        images,
        segmenter,
        masks,
        mask_kind,
        cells=cells,
    )
    sample, flagged = _galleries.segmentations(cells, pictures)
    content: dict[str, Any] = {
        "unit": comparison.unit,
        "verdicts": None,
        "explained": False,
        "patients": None,
        "leaky": bool(comparison.leaky),
        "protocol": comparison.protocol,
        "which_cells": "" if table is None else _which_cells(table),
        "best": best,
        "main_metric": in_text(comparison.main_metric),
        "remarks": comparison.remarks(),
        "rivals": comparison.rivals(),
        "chosen_of": len(comparison.ranked()),
        "results": _tables.results(comparison, by_score),
        "parts": _tables.parts(comparison),
        "per_dataset": _tables.per_dataset(comparison),
        "every_image": "every image" in set(comparison.part_scores.get("part", ())),
        "searches": _tables.searches(comparison),
        "scores": _scores(comparison, by_score),
        "differences": _differences(comparison, best, by_score),
        "confusion": [_confusion(comparison, name, k) for k, name in enumerate(models)],
        "per_class": [(name, _tables.per_class(comparison, name)) for name in models],
        "curves": _curve_pictures(comparison, models),
        "calibration": _calibration(comparison, models),
        "answers": _tables.answers(comparison),
        "refused": [
            (name, _galleries.refused(comparison, name, pictures))
            for name in models
            if _curves.uncalibrated(comparison, name) is not None
        ],
        "importance": _importance(comparison, models),
        "distributions": None if table is None else _distributions(comparison, best, table),
        "suspected": _suspected(cells),
        "sample": sample,
        "flagged": flagged,
        "has_quality": "quality__suspected_failure" in cells,
        "errors": _tables.errors(
            None if table is None else extract.errors(table), comparison.errors
        ),
        "provenance": _provenance(comparison, table),
    }
    if comparison.unit == "patient":
        content |= _patients.content(comparison, models, pictures)
    else:
        wrong, n_wrong = _galleries.mistakes(comparison, best, pictures, cells, reasons)
        content |= {
            "facts": [*_facts(comparison, models), *_suspected_fact(cells)],
            "mistakes": wrong,
            "explained": reasons is not None and len(reasons) > 0,
            "n_mistakes": n_wrong,
        }
    pictures.draw()
    return content


def _which_cells(table: pd.DataFrame) -> str:
    """Return in a sentence which cells of the images a table holds; empty if that is not known."""
    from hemafeat import extract

    rule, found = extract.measured(table).get("cells"), table.get("quality__n_cells")
    if rule == "all":
        kept = "Every cell of each image counts"
    elif rule == "central" and found is not None:
        n_others = int(found.sum()) - len(table)
        others = f", not the {plural(n_others, 'other cell')} found there" if n_others else ""
        kept = f"Of each image only the cell at its centre counts{others}"
    else:
        return ""
    return f"{kept}; the rule is the same for images with and without a label, and for new images."


_MANY = 0.05
"""Share of suspected outlines from which the head of the page warns of them."""


def _suspected(cells: pd.DataFrame) -> tuple[int, int]:
    """Return the number of cells whose outline is suspected to be wrong, and of those checked."""
    column = cells.get("quality__suspected_failure")
    if column is None:
        return 0, 0
    flags = column.astype("boolean")
    return int(flags.fillna(False).sum()), int(flags.notna().sum())


def _suspected_fact(cells: pd.DataFrame) -> list[tuple[str, str]]:
    n, n_checked = _suspected(cells)
    return [(f"{100 * n / n_checked:.1f} %", "outlines suspected")] if n_checked else []


def _beware(content: dict[str, Any], section: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Return what makes the scores doubtful, each with the section that says more."""
    found = [] if section is None else [(text, "audit") for text in section["alarms"]]
    if content["rivals"]:
        found.append((content["remarks"][0], "results"))
    n, n_checked = content["suspected"]
    if n_checked and n >= _MANY * n_checked:
        text = (
            f"The outlines of {count(n)} of {count(n_checked)} cells ({100 * n / n_checked:.0f} %) "
            "are suspected to be wrong, and so is what was measured in them."
        )
        found.append((text, "suspected"))
    return found


def _distributions(comparison: Comparison, best: str, table: pd.DataFrame) -> Picture | None:
    names = _figures.importance_models(comparison, [best])
    columns = _figures.shown_columns(comparison, names[0] if names else "", table)
    labels: Any = "label"
    if comparison.unit == "cell":
        # The classes compared, which may be those of another column.
        rows = predictions_of(comparison, best)
        keys = zip(rows["image"].map(str), rows["cell"], strict=True)
        truth = dict(zip(keys, rows["truth"], strict=True))
        cells = table.get("cell", [1] * len(table))
        keys = zip(table["image"].map(str), cells, strict=True)
        labels = [truth.get(key) for key in keys]
        known = any(value is not None for value in labels)
    else:
        known = "label" in table and bool(table["label"].notna().any())
    if not columns or not known:
        return None
    figure = _figures.figure_distributions(table, columns, label=labels)
    alt = f"Box plots of each class: {', '.join(columns)}"
    return Picture(svg(figure, "distributions", alt))


def _map_picture(table: pd.DataFrame | None, method: str) -> Picture:
    figure = _map.figure_map(need_frame(table, "a map"), method=method)
    return Picture(svg(figure, "map", f"Map of the cells. {figure.axes[0].get_title('left')}"))


def _cells(comparison: Comparison, model: str) -> pd.DataFrame:
    """Return the cells of a comparison, if the table that was compared is not at hand."""
    if comparison.unit == "patient" and len(comparison.verdicts):  # type: ignore[attr-defined]
        return comparison.verdicts[["image", "cell"]]  # type: ignore[attr-defined]
    rows = predictions_of(comparison, model)
    where = list(rows.filter(regex="^where__"))
    return rows[["image", "cell", "truth", *where]].rename(columns={"truth": "label"})


def _facts(comparison: Comparison, models: Sequence[str]) -> list[tuple[str, str]]:
    rows = predictions_of(comparison, models[0])
    facts = [
        (count(len(rows)), "cells tested"),
        (count(rows["image"].nunique()), "images"),
    ]
    if "group" in rows and rows["group"].notna().any():
        facts.append((count(rows["group"].nunique()), "groups kept together"))
    facts.append((str(len(comparison.classes)), "classes"))
    if "fold" in rows:
        facts.append((str(rows["fold"].nunique()), "folds"))
    return [*facts, (str(len(models)), "models")]


def _scores(comparison: Comparison, models: Sequence[str]) -> Picture:
    metric = comparison.main_metric
    values = scores(comparison, metric)["value"]
    text = ", ".join(f"{name} {number(values.get(name))}" for name in models)
    figure = _figures.figure_scores(comparison, models=models)
    return Picture(svg(figure, "scores", f"Scores with intervals. {metric_name(metric)}: {text}"))


def _differences(comparison: Comparison, best: str, models: Sequence[str]) -> dict[str, Any] | None:
    if comparison.differences is None or comparison.differences.empty:
        return None
    metric = _figures.difference_metric(comparison)
    rows = _figures.differences_to(comparison, metric, best, models)
    if not rows:
        return None
    text = ", ".join(f"{name} {number(value)}" for name, _, value, _ in rows)
    alt = f"Difference from {best} in {in_text(metric)}: {text}"
    figure = _figures.figure_differences(comparison, metric, best, models=models)
    return {
        "picture": Picture(svg(figure, "differences", alt)),
        "table": _tables.differences(comparison, models),
        "metric": in_text(metric),
    }


def _confusion(comparison: Comparison, model: str, rank: int) -> tuple[str, Picture]:
    counts = comparison.confusion(model).to_numpy()
    correct = counts.trace() / max(counts.sum(), 1)
    alt = (
        f"Confusion matrix of {model}: {100 * correct:.0f} % of the {comparison.unit}s are on the "
        "diagonal"
    )
    figure = _figures.figure_confusion(comparison, model, width=8.6 if rank == 0 else 7.4)
    return model, Picture(svg(figure, f"confusion-{rank}", alt))


def _curve_pictures(comparison: Comparison, models: Sequence[str]) -> dict[str, Any] | None:
    names = _curves.with_probabilities(comparison, models)
    if not names:
        return None
    shown = names[0]
    figures = {
        "roc": (
            _curves.figure_roc(comparison, models=names),
            "ROC curves, mean over the classes",
        ),
        "pr": (
            _curves.figure_precision_recall(comparison, models=names),
            "Precision-recall curves, mean over the classes",
        ),
        "roc_classes": (
            _curves.figure_roc(comparison, shown, models=names),
            f"ROC curve of each class, {shown}",
        ),
        "pr_classes": (
            _curves.figure_precision_recall(comparison, shown, models=names),
            f"Precision-recall curve of each class, {shown}",
        ),
    }
    pictures = {
        key: Picture(svg(figure, key.replace("_", "-"), alt))
        for key, (figure, alt) in figures.items()
    }
    without = [name for name in models if name not in names]
    return {**pictures, "model": shown, "without": without}


def _calibration(comparison: Comparison, models: Sequence[str]) -> Picture | None:
    names = _curves.with_probabilities(comparison, models)
    if not names:
        return None
    errors = {name: _curves.reliability(comparison, name)[3] for name in names}
    text = ", ".join(f"{name} {error:.3f}" for name, error in errors.items())
    figure = _curves.figure_calibration(comparison, models=names)
    return Picture(svg(figure, "calibration", f"Reliability. Expected calibration error: {text}"))


def _importance(comparison: Comparison, models: Sequence[str]) -> list[dict[str, Any]]:
    parts = []
    for k, name in enumerate(_figures.importance_models(comparison, models)):
        n_top = 20 if k == 0 else 10
        top = _tables.top_columns(comparison, name, n_top)
        text = ", ".join(row[0].text for row in top.rows[:5]) or "no single column"
        figure = _figures.figure_importance(comparison, name, n_top)
        alt = f"Permutation importance for {name}; most important: {text}"
        picture = Picture(svg(figure, f"imp-{k}", alt))
        remark = _figures.ties(comparison, name)
        parts.append({"model": name, "picture": picture, "table": top, "ties": remark})
    return parts


def _provenance(comparison: Comparison, table: pd.DataFrame | None) -> list[tuple[str, str]]:
    from hemafeat import extract, pipelines

    rows = [
        ("Protocol", comparison.protocol),
        ("Data fingerprint", comparison.fingerprint),
        ("Seed", str(comparison.results["seed"].iloc[0])),
        ("Intervals", f"{comparison.n_boot} resamples of whole groups, 95 %"),
        ("Compared with", listed(comparison.versions)),
    ]
    if table is not None:
        features = extract.feature_columns(table)
        families = dict.fromkeys(column.split("__")[1] for column in features)
        rows.append(("Cells in the table", str(len(table))))
        rows.append(("Features", f"{len(features)} columns of {', '.join(families)}"))
        for name, n in pipelines.embeddings_of(features).items():
            rows.append(("Embedding", f"{n} columns of {name}"))
    models = dict.fromkeys(map(str, comparison.results["model"]))
    rows += [("Embedding", text) for name in models if (text := pipelines.describe_embedding(name))]
    return [*rows, ("Page made with", listed(versions(PACKAGES)))]
