"""One HTML file that holds a whole comparison and asks the network for nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemafeat.report import (
    _curves,
    _figures,
    _galleries,
    _patients,
    _ranking as _choice,
    _studies,
    _tables,
)
from hemafeat.report._audit import section
from hemafeat.report._html import Picture, template, write_page
from hemafeat.report._style import in_text, metric_name, number, svg

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
    title: str | None = None,
    command: str | None = None,
    date: str | None = None,
    audit: Audit | None = None,
    probes: Probes | None = None,
    studies: Sequence[Any] = (),
) -> Path:
    """Write a comparison as one self-contained HTML file.

    Parameters
    ----------
    comparison : Comparison
        From `hemafeat.evaluate.compare` or `hemafeat.evaluate.load`.
    out : path
        The file to write, or a folder, which then gets ``page.html``. Missing folders are made.
    table : DataFrame, optional
        The table of cells that was compared. With it the page shows segmentations of every class,
        the cells whose segmentation is suspected to have failed, and what could not be measured.
    images : optional
        The images the table was extracted from, when its ``image`` column does not lead back to
        them: arrays, crops, masks named by an image table.
    segmenter, masks : optional
        As they were given to `hemafeat.extract.table`; the outlines on the pictures are drawn with
        them.
    title : str, optional
        Heading of the page.
    command : str, optional
        The command that made the comparison, for the provenance.
    date : str, optional
        Shown as given. Without it the page holds no date: the same comparison gives the same bytes.
    audit : Audit, optional
        From `hemafeat.datasets.audit`: a section shows its findings.
    probes : Probes, optional
        From `hemafeat.evaluate.leak_probes`: the section shows them beside.
    studies : list, optional
        What `hemafeat.evaluate.leakage`, `learning_curve`, `class_drop` and `resampling` gave: each
        gets a section.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ValueError
        The comparison holds no results, an unknown segmenter, or a study of no known kind.
    OSError
        The file cannot be written. Images that cannot be read do not raise: the page says so in
        their place.
    """
    if comparison.results.empty:
        raise ValueError("the comparison holds no results")
    path = Path(out)
    if path.suffix.lower() not in (".html", ".htm"):
        path = path / "page.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = _content(comparison, table, images, segmenter, masks)
    content |= {
        "title": title or "Comparison of classifiers on blood-cell features",
        "command": command,
        "date": date,
        "audit": section(audit, probes),
        "studies": _studies.sections(studies),
    }
    write_page(path, template("_page.html.j2").render(content))
    return path


def _content(
    comparison: Comparison, table: pd.DataFrame | None, images: Any, segmenter: Any, masks: Any
) -> dict[str, Any]:
    from hemafeat import extract

    names = _choice.models(comparison)
    best = names[0]
    cells = table if table is not None else _cells(comparison, best)
    of_patients = _choice.judged(comparison) == "patient"
    if of_patients and table is None and len(comparison.verdicts):  # type: ignore[attr-defined]
        cells = comparison.verdicts[["image", "cell"]]  # type: ignore[attr-defined]
    pictures = _galleries.Pictures(
        [*map(str, cells["image"]), *map(str, comparison.predictions["image"])],
        images,
        segmenter,
        masks,
    )
    wrong, n_wrong = _galleries.mistakes(comparison, best, pictures)
    sample, flagged = _galleries.segmentations(cells, pictures)
    content = {
        "unit": "cell",
        "verdicts": None,
        "everybody": None,
        "facts": _facts(comparison, best),
        "leaky": bool(comparison.leaky),
        "protocol": comparison.protocol,
        "best": best,
        "main_metric": in_text(_choice.main_metric(comparison)),
        "results": _tables.results(comparison),
        "scores": _scores(comparison),
        "differences": _differences(comparison),
        "confusion": [_confusion(comparison, name, 0 if name == best else 1) for name in names],
        "per_class": [(name, _tables.per_class(comparison, name)) for name in names],
        "curves": _curve_pictures(comparison, best),
        "calibration": _calibration(comparison),
        "importance": _importance(comparison),
        "mistakes": wrong,
        "n_mistakes": n_wrong,
        "sample": sample,
        "flagged": flagged,
        "has_quality": "quality__suspected_failure" in cells,
        "errors": _tables.errors(
            None if table is None else extract.errors(table), comparison.errors
        ),
        "provenance": _provenance(comparison, table),
    }
    return content | _patients.content(comparison, pictures) if of_patients else content


def _cells(comparison: Comparison, model: str) -> pd.DataFrame:
    rows = _choice.of_model(comparison, model)
    return rows[["image", "cell", "truth"]].rename(columns={"truth": "label"})


def _facts(comparison: Comparison, best: str) -> list[tuple[str, str]]:
    rows = _choice.of_model(comparison, best)
    found = [
        (f"{len(rows):,}".replace(",", "\N{THIN SPACE}"), "cells tested"),
        (f"{rows['image'].nunique():,}".replace(",", "\N{THIN SPACE}"), "images"),
    ]
    if "group" in rows and rows["group"].notna().any():
        groups = rows["group"].nunique()
        found.append((f"{groups:,}".replace(",", "\N{THIN SPACE}"), "groups kept together"))
    found.append((str(len(comparison.classes)), "classes"))
    if "fold" in rows:
        found.append((str(rows["fold"].nunique()), "folds"))
    found.append((str(len(_choice.models(comparison))), "models"))
    return found


def _scores(comparison: Comparison) -> Picture:
    metric = _choice.main_metric(comparison)
    values = _choice.scores(comparison, metric)["value"]
    said = ", ".join(f"{name} {number(values.get(name))}" for name in _choice.models(comparison))
    figure = _figures.figure_scores(comparison)
    return Picture(svg(figure, "scores", f"Scores with intervals. {metric_name(metric)}: {said}"))


def _differences(comparison: Comparison) -> dict[str, Any] | None:
    if comparison.differences is None or comparison.differences.empty:
        return None
    metric, best = _figures.difference_metric(comparison), _choice.best(comparison)
    rows = _figures.differences_to(comparison, metric, best)
    if not rows:
        return None
    said = ", ".join(f"{name} {number(value)}" for name, _, value, _ in rows)
    alt = f"Difference in {metric_name(metric)} to {best}: {said}"
    return {
        "picture": Picture(svg(_figures.figure_differences(comparison), "differences", alt)),
        "table": _tables.differences(comparison),
        "metric": in_text(metric),
    }


def _confusion(comparison: Comparison, model: str, place: int) -> tuple[str, Picture]:
    counts = comparison.confusion(model).to_numpy()
    right = counts.trace() / max(counts.sum(), 1)
    alt = f"Confusion matrix of {model}: {100 * right:.0f} % of the cells are on the diagonal"
    name = f"confusion-{_choice.models(comparison).index(model)}"
    figure = _figures.figure_confusion(comparison, model, width=8.6 if place == 0 else 7.4)
    return model, Picture(svg(figure, name, alt))


def _curve_pictures(comparison: Comparison, best: str) -> dict[str, Any] | None:
    names = _curves.with_probabilities(comparison)
    if not names:
        return None
    shown = best if best in names else names[0]
    without = [name for name in _choice.models(comparison) if name not in names]
    figures = {
        "roc": (_curves.figure_roc(comparison), "ROC curves, mean over the classes"),
        "pr": (_curves.figure_precision_recall(comparison), "Precision-recall curves, mean"),
        "roc_classes": (_curves.figure_roc(comparison, shown), f"ROC of each class, {shown}"),
        "pr_classes": (
            _curves.figure_precision_recall(comparison, shown),
            f"Precision and recall of each class, {shown}",
        ),
    }
    drawn = {
        key: Picture(svg(figure, key.replace("_", "-"), alt))
        for key, (figure, alt) in figures.items()
    }
    return {**drawn, "model": shown, "without": without}


def _calibration(comparison: Comparison) -> Picture | None:
    names = _curves.with_probabilities(comparison)
    if not names:
        return None
    errors = {name: _curves.reliability(comparison, name)[3] for name in names}
    said = ", ".join(f"{name} {error:.3f}" for name, error in errors.items())
    figure = _curves.figure_calibration(comparison)
    return Picture(svg(figure, "calibration", f"Reliability. Expected calibration error: {said}"))


def _importance(comparison: Comparison) -> list[dict[str, Any]]:
    found = []
    for place, name in enumerate(_figures.importance_models(comparison)):
        n_top = 20 if place == 0 else 10
        top = _tables.top_columns(comparison, name, n_top)
        said = ", ".join(row[0].text for row in top.rows[:5]) or "no single column"
        figure = _figures.figure_importance(comparison, name, n_top)
        alt = f"Permutation importance for {name}; most important: {said}"
        found.append(
            {"model": name, "picture": Picture(svg(figure, f"imp-{place}", alt)), "table": top}
        )
    return found


def _provenance(comparison: Comparison, table: pd.DataFrame | None) -> list[tuple[str, str]]:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from hemafeat import __version__, extract, pipelines

    first = comparison.results.iloc[0]
    found = [
        ("Protocol", comparison.protocol),
        ("Data fingerprint", comparison.fingerprint),
        ("Seed", str(first["seed"])),
        ("Intervals", f"{comparison.n_boot} resamples of whole groups, 95 %"),
    ]
    found.append(("Compared with", _listed(comparison.versions)))
    if table is not None:
        features = extract.feature_columns(table)
        families = dict.fromkeys(column.split("__")[1] for column in features)
        found.append(("Cells in the table", str(len(table))))
        found.append(("Features", f"{len(features)} columns of {', '.join(families)}"))
        for what, n in pipelines.embeddings_of(features).items():
            found.append(("Embedding", f"{n} columns of {what}"))
    models = dict.fromkeys(map(str, comparison.results["model"]))
    found += [
        ("Embedding", text) for name in models if (text := pipelines.describe_embedding(name))
    ]
    here = {"hemafeat": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            here[name] = version(name)
        except PackageNotFoundError:  # the same library under the name of another wheel
            continue
    found.append(("Page made with", _listed(here)))
    return found


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
