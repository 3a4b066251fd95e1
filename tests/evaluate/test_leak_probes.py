"""Each leak that is planted is found by the probe of that name, and only by it."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets, evaluate, report
from hemafeat.cli import main
from hemafeat.images import read
from support.leak_trees import listed, tree, write

FEW = {"n_boot": 100, "n_permutations": 400}


def told(found):
    rows = found.results
    return set(rows.loc[rows["severity"] == "severe", "probe"]) - {"all of these together"}


def told_by(table, **options):
    return told(evaluate.leak_probes(table, **FEW, **options))


# --- Nothing planted --------------------------------------------------------------------------


def test_nothing_planted_every_probe_lies_on_chance():
    values = []
    for seed in range(5):
        found = evaluate.leak_probes(listed(60, seed), n_splits=3, **FEW)
        assert told(found) == set()
        assert not (found.results["severity"] == "warning").any()
        values.append(found.results.set_index("probe")["value"])
    means = pd.concat(values, axis=1).mean(axis=1)
    # A score on 60 patients has a standard deviation of .065, the mean of five a little under .03.
    assert means.between(0.39, 0.61).all(), means
    expected = {"file name: number", "file name: order", "bag size", "age", "sex", "born"}
    assert expected <= set(means.index)


# --- Planted ----------------------------------------------------------------------------------


def test_file_names_that_give_the_label_away_are_a_note():
    """No model reads them; an alarm would hide the leaks that a model can exploit."""
    rng = np.random.default_rng(0)
    table = listed()
    table["image"] = [f"x/{k}_{rng.integers(10**6, 10**7)}.png" for k in table["label"].str[0]]
    assert names_told_by(table) == {"file name: words", "file name: order"}
    table = listed().sort_values("label", kind="stable")
    table["image"] = [f"x/{place:05d}.png" for place in range(len(table))]
    assert names_told_by(table) == {"file name: number", "file name: order"}


def names_told_by(table):
    found = evaluate.leak_probes(table, **FEW)
    assert found.severe.empty
    rows = found.results[found.results["value"] > 0.9]
    assert set(rows["severity"]) == {"note"}
    assert rows["message"].str.endswith("no model reads file names").all()
    assert rows["message"].str.contains(" predicts the label").all()
    assert (found.results.set_index("probe").loc["all of these together", "severity"]) == ""
    return set(rows["probe"])


def test_sizes_that_give_the_label_away(tmp_path):
    table = tree(tmp_path, height=lambda _, label: 52 if label == "blast" else 48)
    audit = datasets.audit(table, near=False)
    assert "image size" in told_by(audit)
    assert told_by(audit) <= {"image size", "file size"}


def test_backgrounds_that_give_the_label_away(tmp_path):
    ground = {"blast": (190, 205, 240), "normal": (228, 214, 232)}
    found = evaluate.leak_probes(tree(tmp_path, ground=lambda _, k: ground[k]), **FEW)
    assert "background colour" in told(found)
    assert "neighbouring cells" in found.results.set_index("probe")["message"]["background colour"]


def test_bag_sizes_that_give_the_label_away():
    rng = np.random.default_rng(1)
    sizes = {"reactive": (3, 6), "malignant": (8, 14)}
    found = evaluate.leak_probes(listed(sizes=lambda k: int(rng.integers(*sizes[k]))), **FEW)
    assert told(found) == {"bag size"}
    row = found.results.set_index("probe").loc["bag size"]
    assert (row["level"], row["n"], row["n_groups"]) == ("patient", 40, 40)


def test_a_missing_value_that_gives_the_label_away():
    table = listed()
    table.loc[table["label"] == "reactive", "age"] = np.nan
    assert "missing: age" in told_by(table)
    assert told_by(table) <= {"missing: age", "age"}


def test_the_way_a_date_is_written_gives_the_label_away():
    table = listed()
    dashed = table["born"].str.replace("/", "-")
    table["born"] = dashed.where(table["label"] == "reactive", table["born"])
    assert told_by(table) == {"format: born"}


def test_a_column_that_gives_the_label_away():
    table = listed()
    table["count"] = np.where(table["label"] == "reactive", 5.0, 9.0) + np.arange(len(table)) % 2
    table["hospital"] = np.where(table["label"] == "reactive", "east", "west")
    assert told_by(table) == {"count", "hospital"}
    table["sex"] = np.where(table["label"] == "reactive", table["sex"].str.lower(), table["sex"])
    assert told_by(table) == {"count", "hospital", "format: sex"}


# --- How it is scored -------------------------------------------------------------------------


def test_the_score_is_that_of_the_tree_on_the_folds_of_the_protocol():
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.default_rng(0)
    label = rng.choice(["a", "b", "c"], 200)
    value = rng.normal(size=200) + (label == "a")
    images = [f"x/{place:04d}.png" for place in range(200)]
    table = pd.DataFrame({"image": images, "label": label, "value": value})
    found = evaluate.leak_probes(table, **FEW).results.set_index("probe")
    tree_ = DecisionTreeClassifier(
        min_samples_leaf=2, max_leaf_nodes=32, class_weight="balanced", random_state=0
    )
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    called = cross_val_predict(tree_, value[:, None], label, cv=folds)
    assert found["value"]["value"] == pytest.approx(balanced_accuracy_score(label, called))
    assert found["low"]["value"] < found["value"]["value"] < found["high"]["value"]
    assert found["value"]["majority class"] == pytest.approx(1 / 3)
    # Holm: the smallest of m p-values is multiplied by m, and the order stays.
    alone = found[found["kind"] != "baseline"].sort_values("p")
    assert alone["p_holm"].iloc[0] == pytest.approx(min(1, alone["p"].iloc[0] * len(alone)))
    assert alone["p_holm"].is_monotonic_increasing


def test_a_patient_is_never_on_both_sides():
    """A number that names the patient tells nothing of the next one."""
    table = listed(40)
    number = table["patient"].str[1:].astype(int)
    table["slide"] = (number * 7919) % 4001
    assert "slide" not in told_by(table)
    # By images it would tell all: this is the leak that groups are there against.
    loose = evaluate.leak_probes(table.drop(columns="patient"), groups=None, **FEW)
    assert loose.results.set_index("probe")["value"]["slide"] > 0.9


def test_the_result_depends_on_neither_order_nor_index():
    table = listed(24)
    one = evaluate.leak_probes(table, **FEW).results
    other = evaluate.leak_probes(table.sample(frac=1, random_state=3), **FEW).results
    pd.testing.assert_frame_equal(one, other)


def test_what_cannot_be_probed():
    table = listed(12)
    with pytest.raises(evaluate.CompareError, match="no column 'diagnosis'"):
        evaluate.leak_probes(table, label="diagnosis")
    with pytest.raises(evaluate.CompareError, match="nothing to predict"):
        evaluate.leak_probes(table.assign(label=np.nan))
    with pytest.raises(evaluate.CompareError, match="fewer than two classes"):
        evaluate.leak_probes(table.assign(label="one"))
    rare = table.assign(label=table["label"].where(table["patient"] != "P3", "rare"))
    assert evaluate.leak_probes(rare, n_splits=3, **FEW).left_out == ["rare (1 group)"]


# --- Page and command -------------------------------------------------------------------------


def test_the_command_writes_tables_and_a_page_that_asks_for_nothing(tmp_path, capsys):
    table = tree(tmp_path / "cells", n=40, height=lambda _, k: 52 if k == "blast" else 48)
    table.to_csv(tmp_path / "cells.csv", index=False)
    out = tmp_path / "out"
    words = ["audit", str(tmp_path / "cells.csv"), "--out", str(out), "--quiet", "--jobs", "1"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "severe   image_size" in said
    assert main([*words, "--strict"]) == 1
    page = (out / "audit.html").read_text("utf-8")
    n_severe = int(re.search(r"(\d+) severe, \d+ warning", said)[1])
    assert n_severe == said.count("\n  severe ") >= 2
    assert f"{n_severe} severe findings: see" in capsys.readouterr().err
    assert f"<strong>{n_severe} severe</strong>" in page
    written = pd.read_csv(out / "audit_findings.csv")
    assert (written["severity"] == "severe").sum() == n_severe
    lines = said.split("Leak probes.")[0]
    assert len(written) == lines.count("\n  ") - lines.count("\n           -> ")
    assert lines.count("-> ") == (written["severity"] != "note").sum()
    assert page.count("What to do: ") == len(written)
    assert not re.findall(r"(?:https?:)?//[a-z]", page)
    assert page.count("<svg") == 2
    assert "Image size alone predicts the label" in page
    assert len(pd.read_csv(out / "leak_probes.csv")) == page.count("per image") + page.count(
        "per patient"
    )
    assert len(pd.read_csv(out / "audit_images.csv")) == 40


def test_a_property_has_one_figure(tmp_path):
    """Batches by quintiles and a tree on the colour would give two scores of the background."""
    ground = {"blast": (190, 205, 240), "normal": (228, 214, 232)}
    audit = datasets.audit(tree(tmp_path, ground=lambda _, k: ground[k]), near=False)
    assert audit.findings["kind"].tolist().count("background") == 1
    probes = evaluate.leak_probes(audit, **FEW)
    both = audit.with_probes(probes)
    assert both.with_probes(probes).findings.equals(both.findings)
    text = both.findings.set_index("kind")["message"]["background"]
    best = probes.results[probes.results["probe"].str.startswith("background")]["value"].max()
    assert re.findall(r"balanced accuracy (\d\.\d+)", text) == [f"{best:.3f}"]
    about = both.findings["message"].str.contains("background", case=False)
    assert both.findings.loc[about, "kind"].tolist() == ["background"]
    numbers = both.rows.groupby("finding")["kind"].first()
    assert numbers.equals(both.findings.set_index("finding")["kind"][numbers.index])
    assert repr(both).startswith(f"Audit of {len(both.table)} images: {len(both.severe)} severe")


def test_all_together_count_only_if_they_say_more():
    rows = pd.DataFrame(
        {"probe": ["a", "together"], "kind": ["column", "all"], "severity": ["warning", "severe"]}
    )
    assert evaluate.Probes(rows, "", []).severe["probe"].tolist() == ["together"]
    rows["severity"] = "severe"
    assert evaluate.Probes(rows, "", []).severe["probe"].tolist() == ["a"]


def test_a_set_without_labels_is_audited_without_probes(tmp_path, capsys):
    tree(tmp_path / "cells", n=8)
    out = tmp_path / "out"
    assert main(["audit", str(tmp_path / "cells"), "--out", str(out), "--strict"]) == 0
    captured = capsys.readouterr()
    assert "no leak probes" in captured.err
    assert not (out / "leak_probes.csv").exists()
    assert "Leak probes" not in (out / "audit.html").read_text("utf-8")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    assert main(["audit", str(tmp_path / "cells"), "--out", str(tmp_path / "full")]) == 2
    assert "does not hold an earlier audit" in capsys.readouterr().err


def test_copies_stand_side_by_side_on_the_page(tmp_path):
    table = tree(tmp_path, n=10)
    image = datasets.audit(table, near=False)  # Looked at before there are copies.
    assert report.audit_page(image, tmp_path / "none").name == "audit.html"
    assert "Copies" not in (tmp_path / "none" / "audit.html").read_text("utf-8")
    copy = write(tmp_path / "mirrored.png", read(table["image"][0])[:, ::-1].copy())
    table.loc[len(table)] = [copy, table["label"][0]]
    audit = datasets.audit(table)
    path = report.audit_page(audit, tmp_path / "page.html", title="Cells & <copies>")
    page = path.read_text("utf-8")
    assert page.count("data:image/jpeg") == 2
    assert "Cells &amp; &lt;copies&gt;" in page
    assert "mirrored" in page
    (tmp_path / "mirrored.png").unlink()
    assert "no picture" in report.audit_page(audit, path).read_text("utf-8")
    assert (
        report.audit_page(audit, tmp_path / "b.html").read_bytes()
        == path.read_text("utf-8")
        .replace("Cells &amp; &lt;copies&gt;", "Audit of a data set")
        .encode()
    )


def test_figures_hold_every_probe_and_batch(tmp_path):
    audit = datasets.audit(tree(tmp_path, n=30, height=lambda place, _: 48 + place % 3))
    found = evaluate.leak_probes(audit, **FEW)
    names = [label.get_text() for label in report.figure_probes(found).axes[0].get_yticklabels()]
    assert names == list(found.results["probe"])
    panels = report.figure_batches(audit).axes
    assert len(panels) == 2
    for panel in panels:
        widths = pd.Series([bar.get_width() for bar in panel.patches])
        rows = [round(bar.get_y(), 3) for bar in panel.patches]
        np.testing.assert_allclose(widths.groupby(rows).sum(), 1)
    empty = datasets.audit(listed(6))
    with pytest.raises(ValueError, match="no batches"):
        report.figure_batches(empty)
