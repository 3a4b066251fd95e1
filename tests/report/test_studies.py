"""Studies on the page: every picture, every number, and the word leaky where it belongs."""

from __future__ import annotations

import dataclasses
import re

import pytest

from hemafeat import evaluate, report
from support.made_cells import QUICK, cells, memorised


@pytest.fixture(scope="module")
def studies():
    table, few = memorised(), {"n_boot": 30}
    return [
        evaluate.leakage("logistic", table, protocols=["grouped", "image-random"], **few),
        evaluate.learning_curve(["logistic", "svc"], table, **few),
        evaluate.class_drop("logistic", table, **few),
        evaluate.resampling("logistic", table, **few),
    ]


@pytest.fixture(scope="module")
def page(studies, tmp_path_factory):
    found = evaluate.compare("logistic", memorised(), **QUICK)
    out = tmp_path_factory.mktemp("page") / "page.html"
    return report.page(found, out, studies=studies).read_text("utf-8")


def section(page, heading):
    found = re.search(rf"<section[^>]*><h2>{heading}.*?</section>", page, re.DOTALL)
    assert found, heading
    return found.group(0)


def test_sections(page, studies):
    for heading in (
        "With and without leakage",
        "Learning curve",
        "Left-out classes",
        "Cells drawn",
    ):
        part = section(page, heading)
        assert '<svg class="figure"' in part
        assert "<table>" in part
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_leaky_scores_are_called_so(page, studies):
    part = section(page, "With and without leakage")
    assert "includes leaky scores" in part
    assert "LEAKY, 24 of 24 patients are on both sides" in part
    gap = studies[0].differences.query("model == 'logistic' and metric == 'balanced_accuracy'")
    assert f"{gap['difference'].item():.3f}" in part
    assert "includes leaky scores" in section(page, "Cells drawn")
    assert "includes leaky scores" not in section(page, "Learning curve")


def test_numbers_of_the_tables(page, studies):
    curve = studies[1].curve("svc")
    part = section(page, "Learning curve")
    for value in curve["value"]:
        assert f"{value:.3f}" in part
    shares = studies[2].shares("logistic")
    top = shares.loc["a"].idxmax()
    assert f"{top} {100 * shares.loc['a', top]:.0f} %" in section(page, "Left-out classes")


def test_figures(studies):
    leakage, curve, drop, copies = studies
    assert len(report.figure_leakage(leakage).axes) == 2
    lines = report.figure_learning_curve(curve, "accuracy").axes[0].lines
    assert list(lines[1].get_ydata()) == list(curve.curve("svc", "accuracy")["value"])
    texts = [text.get_text() for text in report.figure_class_drop(drop).axes[0].texts]
    assert f"{100 * drop.shares('logistic').loc['a', 'b']:.0f}%" in texts
    labels = [
        label.get_text() for label in report.figure_resampling(copies).axes[0].get_yticklabels()
    ]
    assert "logistic: with replacement, image-random (leaky)" in labels
    assert len(labels) == 4


def test_sizes_that_are_almost_the_same_have_one_label(studies):
    curve = studies[1]
    results = curve.results.copy()
    sizes = sorted(results["n_train"].unique())
    results.loc[results["n_train"] == sizes[-2], "n_train"] = sizes[-1] / 1.02
    axes = report.figure_learning_curve(dataclasses.replace(curve, results=results)).axes[0]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == [f"{size:.0f}" for size in [*sizes[:-2], sizes[-1]]]


def test_what_is_no_study(tmp_path):
    found = evaluate.compare("logistic", cells(), **QUICK)
    with pytest.raises(ValueError, match=r"studies are Leakage.*not dict"):
        report.page(found, tmp_path, studies=[{}])
