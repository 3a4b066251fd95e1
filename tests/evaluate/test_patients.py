"""Patients compared: scores by hand, baselines beside them, leaks seen, verdicts that add up."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from hemafeat import datasets, evaluate, pipelines, report
from hemafeat.evaluate._scores import from_confusion
from hemafeat.pipelines._patients import contributions
from reference import naive_patients


@pytest.fixture(scope="module")
def cells():
    return datasets.drawn_bags(
        40, cells=(8, 20), attribute_signal=0.5, leak_format=0.5, test=0.3, random_state=1
    )


@pytest.fixture(scope="module")
def found(cells):
    return evaluate.compare(
        ["table_means", "vote_mean"], cells, level="patient", n_splits=4, n_boot=100
    )


def test_the_error_of_the_printed_formula_is_not_repeated():
    """The report prints (TP / (TP + TN) + TN / (TP + TN)) / 2: one half, whatever is found."""
    tp, fn, tn, fp = 40, 10, 5, 15
    assert (tp / (tp + tn) + tn / (tp + tn)) / 2 == 0.5
    scores = from_confusion(np.array([[[tn, fp], [fn, tp]]], dtype=float))
    assert scores["balanced_accuracy"][0] == pytest.approx((40 / 50 + 5 / 20) / 2)
    truth = [1] * 50 + [0] * 20
    said = [1] * 40 + [0] * 10 + [0] * 5 + [1] * 15
    assert naive_patients.balanced_accuracy(truth, said) == pytest.approx(0.525)


def test_scores_are_those_of_the_predictions(found):
    pooled = found.results.query("fold == 'all'").set_index(["model", "metric"])["value"]
    for model, part in found.predictions.groupby("model"):
        assert len(part) == 40
        assert part["group"].is_unique
        wanted = naive_patients.balanced_accuracy(part["truth"], part["predicted"])
        assert pooled[model, "balanced_accuracy"] == pytest.approx(wanted)
        assert wanted == pytest.approx(balanced_accuracy_score(part["truth"], part["predicted"]))


def test_redrawn_copies_are_no_cells_of_a_patient(found, cells):
    copies = cells.assign(redrawn=1)
    table = pd.concat([cells.assign(redrawn=0), copies], ignore_index=True)
    again = evaluate.compare(
        ["table_means", "vote_mean"], table, level="patient", n_splits=4, n_boot=10
    )
    pd.testing.assert_frame_equal(again.predictions, found.predictions)
    assert f"{len(cells)} redrawn copies are left out" in again.errors["message"].tolist()


def test_baselines_stand_beside_every_result(found, cells):
    assert found.models == [
        *("table_means", "vote_mean", "baseline", "bag_size", "metadata", "date_format")
    ]
    assert not found.leaky
    assert "attributes: sex, dob, lymphocyte_count" in found.protocol
    assert "40 patients never on both sides" in found.protocol
    bare = cells.drop(columns=["sex", "dob", "lymphocyte_count"])
    other = evaluate.compare_patients("table_means", bare, n_splits=2, n_boot=10, verdicts=False)
    assert other.models == ["table_means", "baseline", "bag_size"]
    assert "no attributes" in other.protocol


def test_the_background_stands_beside_them_where_it_is_known():
    table = datasets.drawn_bags(60, cells=(4, 9), abnormal=(0.2, 0.2), random_state=2)
    rng = np.random.default_rng(0)
    ill = (table["label"] == "malignant").to_numpy()
    for channel, shift in zip("rgb", (0, 6, 0), strict=True):
        table[f"quality__white_{channel}"] = rng.normal(230, 4, len(table)) + shift * ill
    told = evaluate.compare_patients("table_means", table, n_boot=100, verdicts=False)
    assert told.models == [*("table_means", "baseline", "bag_size", "stain"), *told.models[4:]]
    pooled = told.results.query("fold == 'all' and metric == 'balanced_accuracy'")
    low = pooled.set_index("model")["low"]
    assert low["stain"] > 0.7
    assert low["table_means"] < 0.55
    same = table.assign(**{f"quality__white_{channel}": 255.0 for channel in "rgb"})
    told = evaluate.compare_patients("table_means", same, n_boot=5, n_splits=2, verdicts=False)
    assert "stain" not in told.models


def test_importances_name_what_the_model_leans_on():
    # Informative are f00 to f02; the lymphocyte count is the other thing to go by.
    table = datasets.drawn_bags(80, effect=3.0, attribute_signal=3.0, random_state=3)
    names = {f"cell__drawn__f{j:02d}": f"cell__{'ab'[j > 2]}__f{j:02d}" for j in range(12)}
    told = evaluate.compare_patients(
        "table_means", table.rename(columns=names), n_boot=5, metadata=["lymphocyte_count"]
    )
    found = told.importances.set_index("column")
    assert set(told.importances["model"]) == {"table_means"}
    assert set(found.query("kind == 'block'").index) == {"cell__a__*", "cell__b__*"}
    assert found.loc["cell__a__*", "importance"] > 0.2
    assert abs(found.loc["cell__b__*", "importance"]) < 0.06
    assert found.loc["lymphocyte_count", "importance"] == 0  # not looked at by this model
    again = evaluate.compare_patients(
        "weighted", table, n_boot=5, metadata=["lymphocyte_count"], verdicts=False
    )
    assert again.importances.set_index("column").loc["lymphocyte_count", "importance"] > 0.02
    bare = evaluate.compare_patients(
        "table_means", table, n_boot=5, n_splits=2, importance=False, verdicts=False
    )
    assert bare.importances.empty


def test_a_fold_is_what_its_training_patients_say(found, cells):
    part = found.predictions.query("model == 'table_means'").set_index("group")
    rows = pipelines.bags(cells)
    for fold, tested in part.groupby("fold"):
        train = rows.drop(index=tested.index)
        model = pipelines.make_patient("table_means").fit(train, train["label"])
        chance = model.predict_proba(rows.loc[tested.index])
        np.testing.assert_allclose(
            tested[[f"p__{name}" for name in model.classes_]], chance, rtol=1e-6, err_msg=fold
        )


def test_the_order_of_the_cells_does_not_matter(found, cells):
    mixed = cells.sample(frac=1.0, random_state=3)
    other = evaluate.compare(
        ["table_means", "vote_mean"], mixed, level="patient", n_splits=4, n_boot=100
    )
    assert other.fingerprint == found.fingerprint
    pd.testing.assert_frame_equal(other.results, found.results)
    pd.testing.assert_frame_equal(other.verdicts, found.verdicts)


def test_official_split_and_patients_without_a_label(cells):
    told = cells.assign(label=cells["label"].where(cells["split"] == "train"))
    found = evaluate.compare_patients(["table_means"], told, n_splits=2, n_boot=10, verdicts=False)
    lost = set(cells.loc[cells["split"] == "test", "patient"])
    assert set(found.errors["image"]) == lost
    found = evaluate.compare_patients(
        ["table_means"], cells, protocol="official", n_boot=10, verdicts=False
    )
    assert set(found.predictions["group"]) == lost
    assert set(found.patients["patient"]) == lost
    assert "patients to train" in found.protocol


def test_saved_and_read_again(found, tmp_path, cells):
    found.save(tmp_path)
    again = evaluate.load(tmp_path)
    assert isinstance(again, evaluate.PatientComparison)
    pd.testing.assert_frame_equal(again.verdicts, found.verdicts, check_dtype=False)
    pd.testing.assert_frame_equal(again.patients, found.patients, check_dtype=False)
    # A comparison of cells saved over it is not taken for one of patients.
    evaluate.compare("baseline", cells, n_splits=2, n_boot=5, importance=False).save(tmp_path)
    assert type(evaluate.load(tmp_path)) is evaluate.Comparison


def test_a_comparison_of_patients_of_format_1_is_read(found, tmp_path, cells):
    head = found.save(tmp_path) / "comparison.json"
    fields = json.loads(head.read_text("utf-8"))
    assert fields["unit"] == "patient"
    former = {k: v for k, v in fields.items() if k not in ("unit", "baselines")}
    head.write_text(json.dumps({**former, "format_version": 1}), encoding="utf-8")
    loaded = evaluate.load(tmp_path)
    assert isinstance(loaded, evaluate.PatientComparison)
    assert loaded.unit == "patient"
    assert loaded.baselines == found.baselines
    assert loaded.ranked() == found.ranked()
    # Left of another comparison, the tables of patients are of another fingerprint.
    head.write_text(
        json.dumps({**former, "format_version": 1, "fingerprint": "0" * 32}), encoding="utf-8"
    )
    assert type(evaluate.load(tmp_path)) is evaluate.Comparison


def test_what_looks_at_no_cell_is_a_baseline(found, cells):
    assert found.unit == "patient"
    assert found.baselines == ("baseline", "bag_size", "metadata", "date_format")
    other = evaluate.compare_patients(
        ["table_means", "attributes"], cells, n_splits=2, n_boot=10, verdicts=False
    )
    assert "attributes" in other.baselines
    assert other.ranked() == ["table_means"]


def test_a_leak_of_the_cohort_is_seen_in_its_baseline_only():
    for leak, name in (("leak_size", "bag_size"), ("leak_format", "date_format")):
        table = datasets.drawn_bags(
            80, cells=(4, 16), abnormal=(0.2, 0.2), random_state=2, **{leak: 0.8}
        )
        result = evaluate.compare_patients(["table_means"], table, n_boot=200, verdicts=False)
        pooled = result.results.query("fold == 'all' and metric == 'balanced_accuracy'")
        low = pooled.set_index("model")["low"]
        high = pooled.set_index("model")["high"]
        assert low.pop(name) > 0.6
        assert (low < 0.58).all(), (leak, low)
        assert high["table_means"] > 0.45


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": "image-random"}, "patients are divided by"),
        ({"models": ["svc"]}, "no model of patients 'svc'"),
        ({"label": "abnormal"}, "2 values of 'abnormal'"),
        ({"patient": "who"}, "no column 'who'"),
        ({"metadata": ["weight"]}, "no column 'weight'"),
        ({"metadata": ["label"]}, "not an attribute"),
        ({"positive": "ill"}, "positive='ill'"),
        ({"n_splits": 30}, "folds need 30 patients"),
    ],
)
def test_what_cannot_be_compared_is_said(cells, change, message):
    given = {"models": ["table_means"], "n_boot": 5, "n_splits": 2, **change}
    with pytest.raises(ValueError, match=message):
        evaluate.compare_patients(table=cells, **given)
    with pytest.raises(evaluate.CompareError, match="level="):
        evaluate.compare("svc", cells, level="image")


def test_a_rare_class_of_patients_is_refused_or_dropped(cells):
    rare = sorted(cells["patient"].unique())[:2]
    table = cells.assign(label=cells["label"].where(~cells["patient"].isin(rare), "rare"))
    quick = {"n_splits": 3, "n_boot": 10, "level": "patient", "importance": False}
    with pytest.raises(evaluate.CompareError, match=r"3 folds need 3 patients.*'rare' \(2\)"):
        evaluate.compare("table_means", table, **quick)
    kept = evaluate.compare("table_means", table, rare="drop", **quick)
    assert kept.classes == ["malignant", "reactive"]
    assert not set(rare) & set(kept.patients["patient"])
    assert "class 'rare' left out: 2 patients" in kept.errors["message"].iloc[0]
    without = evaluate.compare("table_means", table[~table["patient"].isin(rare)], **quick)
    assert kept.fingerprint == without.fingerprint
    pd.testing.assert_frame_equal(kept.results, without.results)
    pd.testing.assert_frame_equal(kept.verdicts, without.verdicts)


def test_groups_of_patients_are_the_patients(cells):
    quick = {"n_splits": 2, "n_boot": 10, "level": "patient", "importance": False}
    plain = evaluate.compare("table_means", cells, groups=None, **quick)
    named = evaluate.compare(
        "table_means", cells.rename(columns={"patient": "case"}), groups="case", **quick
    )
    pd.testing.assert_frame_equal(named.results, plain.results)
    with pytest.raises(evaluate.CompareError, match=r"compare_patients\(patient='hospital'\)"):
        evaluate.compare("table_means", cells.assign(hospital="A"), groups="hospital", **quick)
    number = cells["patient"].rank(method="dense").astype(int)
    grouped = evaluate.compare("table_means", cells.assign(group=number // 2), **quick)
    assert "hold several patients" in " ".join(grouped.errors["message"])
    assert "hold several patients" not in " ".join(plain.errors["message"])


def told(name, **params):
    table = datasets.drawn_bags(
        40, cells=(1, 20), abnormal=(0.0, 0.4), effect=4.0, random_state=4, **params
    )
    rows = pipelines.bags(table)
    model = pipelines.make_patient(name).fit(rows, rows["label"])
    return table, rows, model, pipelines.cell_contributions(model, rows)


def odds_without(model, bag, place):
    """Log-odds of the vote of all cells but one, from the probabilities of the cells."""
    (cells,) = model.cell_proba([pd.DataFrame(bag.features, columns=bag.columns)])
    n = len(cells)
    out = []
    for kept in [np.ones(n, bool), *~np.eye(n, dtype=bool)]:
        part = cells[kept]
        if model.aggregate == "majority":
            votes = np.sum(part.argmax(axis=1) == place)
            out.append(np.log((votes + 0.5) / (len(part) - votes + 0.5)))
            continue
        rule = {"mean": np.mean, "max": np.max, "min": np.min}[model.aggregate]
        chance = rule(part[:, 0])  # malignant, the positive class
        out.append(np.log(chance / (1 - chance)) * (1 if place == 0 else -1))
    return np.array(out)


@pytest.mark.parametrize("aggregate", ["mean", "majority", "min", "max"])
@pytest.mark.parametrize("positive", ["malignant", "reactive"])
def test_a_vote_without_a_cell_is_that_of_the_others(aggregate, positive):
    _, rows, model, _ = told(f"vote_{aggregate}")
    part = pipelines.cell_contributions(model, rows, positive=positive)
    assert set(part["method"]) == {"vote"}
    place = list(model.classes_).index(positive)
    for name, found in part.groupby("patient"):
        bag = rows["cells"][name]
        if len(bag) == 1:
            assert found["contribution"].isna().all()
            continue
        odds = odds_without(model, bag, place)
        np.testing.assert_allclose(found["contribution"], odds[0] - odds[1:], atol=1e-7)


@pytest.mark.parametrize("name", ["vote_mean", "table_svc", "table_xgboost", "table_logistic"])
def test_a_saturated_verdict_still_ranks_its_cells(name):
    """Probabilities that are 1 to the last digit, of cells that are not alike."""
    table = datasets.drawn_bags(30, cells=(4, 8), abnormal=(0.0, 0.6), effect=30.0, random_state=0)
    rows = pipelines.bags(table)
    model = pipelines.make_patient(name)
    if name != "table_xgboost":
        member = "model__model" if name == "vote_mean" else "model"
        model.set_params(**{f"{member}__C": 1e6})
    model.fit(rows, rows["label"])
    part = pipelines.cell_contributions(model, rows, positive="malignant")
    ill = rows.index[rows["label"] == "malignant"]
    assert np.isfinite(part["contribution"]).all()
    surest = [n for n in ill if model.predict_proba(rows.loc[[n]])[0, 0] > 1 - 1e-6]
    assert surest or name in ("table_svc", "table_xgboost")
    spread = part[part["patient"].isin(ill)].groupby("patient")["contribution"].agg(np.ptp)
    assert (spread > 0.001).mean() > 0.9


def test_cells_are_left_out_some_at_a_time(monkeypatch):
    _, rows, model, at_once = told("table_svc")
    monkeypatch.setattr(contributions, "_BYTES", 4 * rows["cells"].iloc[0].features.nbytes)
    in_parts = pipelines.cell_contributions(model, rows)
    pd.testing.assert_frame_equal(in_parts, at_once, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["stack", "weighted", "min", "max"])
def test_a_combination_that_attributes_decide_ranks_its_cells(name):
    table = datasets.drawn_bags(
        40, cells=(4, 8), abnormal=(0.0, 0.9), effect=8.0, attribute_signal=3.0, random_state=0
    )
    rows = pipelines.bags(table, attributes=["lymphocyte_count"])
    model = pipelines.make_patient(name).fit(rows, rows["label"])
    part = pipelines.cell_contributions(model, rows, positive="malignant")
    assert set(part["method"]) <= {"left out", "cells only"}
    spread = part.groupby("patient")["contribution"].agg(np.ptp)
    assert (spread > 0.001).mean() > 0.9
    abnormal = table["abnormal"].to_numpy()[part["row"]]
    ill = (table["label"] == "malignant").to_numpy()[part["row"]] & ~abnormal
    gap = part["contribution"][abnormal].mean() - part["contribution"][ill].mean()
    assert gap > 0


def test_cells_that_count_alike_and_suspect_outlines_are_named(tmp_path):
    table = datasets.drawn_bags(24, cells=(3, 4), abnormal=(0.0, 1.0), effect=40.0, random_state=0)
    table["quality__suspected_failure"] = table.index % 2 == 0
    table["quality__failure_reason"] = np.where(table.index % 2 == 0, "two nuclei", "")
    told = evaluate.compare_patients(
        "vote_majority", table, n_splits=2, n_boot=10, importance=False
    )
    verdicts = told.verdicts
    spread = verdicts.groupby("patient")["contribution"].agg(np.ptp)
    assert (spread == 0).all(), "no cell votes otherwise than the others"
    assert (verdicts["rank"] == 1).all()
    assert (verdicts["contribution"] != 0).all()
    flagged = verdicts["suspected_failure"] == "two nuclei"
    assert flagged.sum() == table["quality__suspected_failure"].sum()
    folder = told.save(tmp_path / "saved")
    page = report.page(evaluate.load(folder), tmp_path / "page.html").read_text("utf-8")
    assert "In 24 of 24 patients all cells count alike" in page
    assert "all cells count alike" in page.split("P1: ")[1][:80]
    assert page.count("outline suspect: two nuclei") > 8


def test_linear_parts_sum_to_the_log_odds():
    _, rows, model, part = told("table_means")
    place = list(model.classes_).index("malignant")
    chance = model.predict_proba(rows)[:, place]
    odds = np.log(chance / (1 - chance))
    linear = part[part["method"] == "linear"]
    assert linear["patient"].nunique() > 30
    total = linear.groupby("patient")["contribution"].sum()
    intercept = model[-1].model_.intercept_[0] * (1 if place == 1 else -1)
    wanted = pd.Series(odds, rows.index)[total.index] - intercept
    np.testing.assert_allclose(total, wanted, rtol=1e-9, atol=1e-10)


def test_a_cell_left_out_is_what_it_says():
    _, rows, model, part = told("fisher")
    place = list(model.classes_).index("malignant")
    name = rows.index[np.argmax([len(bag) for bag in rows["cells"]])]
    bag = rows["cells"][name]
    whole = pd.DataFrame(bag.features, columns=bag.columns)
    chance = model.predict_proba([whole, whole.drop(index=2)])[:, place]
    odds = np.log(chance / (1 - chance))
    found = part[part["patient"] == name]["contribution"].iloc[2]
    assert found == pytest.approx(odds[0] - odds[1], rel=1e-6)
    alone = [n for n, bag in rows["cells"].items() if len(bag) == 1]
    assert part[part["patient"].isin(alone)]["contribution"].isna().all()


@pytest.mark.parametrize("name", ["vote_mean", "table_means", "table_logistic"])
def test_abnormal_cells_make_the_verdict(name):
    from sklearn.metrics import roc_auc_score

    table, _, _, part = told(name, patient_spread=0.2)
    part = part.dropna()
    abnormal = table["abnormal"].to_numpy()[part["row"]]
    ill = (table["label"] == "malignant").to_numpy()[part["row"]]
    # Within a patient: a patient's own size decides how large a part can be.
    gap = part["contribution"] * part.groupby("patient")["row"].transform("size")
    assert roc_auc_score(abnormal[ill], gap[ill]) > 0.8


def attribute_cohort(kind, n=80, seed=0):
    """Cells that say nothing, and a count that decides by a threshold or a window of its log."""
    cells = datasets.drawn_bags(n, cells=(3, 6), abnormal=(0.2, 0.2), random_state=seed)
    rng = np.random.default_rng(seed)
    names = cells["patient"].unique()
    log_count = rng.normal(2, 2, len(names))
    ill = log_count > 2.2 if kind == "threshold" else np.abs(log_count - 2) < 1.3
    ill ^= rng.random(len(names)) < 0.05
    truth = pd.DataFrame(
        {"lymphocyte_count": np.exp(log_count), "label": np.where(ill, "malignant", "reactive")},
        index=names,
    )
    for name in truth:
        cells[name] = cells["patient"].map(truth[name])
    return cells.drop(columns=["sex", "dob"])


def test_a_choice_that_costs_nothing_is_not_said_to_cost(monkeypatch):
    cells = datasets.drawn_bags(12, cells=(2, 2), random_state=0)
    told = evaluate.compare_patients(
        ["table_means", "table_logistic"],
        cells,
        n_splits=2,
        n_boot=20,
        importance=False,
        verdicts=False,
    )
    assert "12 patients with 2 cells, 2 classes" in told.protocol
    score = told._score(told.ranked()[0])
    for elsewhere, words in (
        (
            score - 0.1,
            f"and its score is optimistic. Chosen on some of the patients .* {score:.3f}",
        ),
        (score, "difference is too small to be seen: chosen on some"),
        (score + 0.1, f"reaches {score + 0.1:.3f} on average, and {score:.3f} on all"),
        (np.nan, "it was chosen, and its score is optimistic.$"),
    ):
        monkeypatch.setattr(type(told), "_best_elsewhere", lambda *_, value=elsewhere: value)
        assert re.search(words, told.remarks()[-1]), told.remarks()


@pytest.mark.parametrize("kind", ["threshold", "window"])
def test_a_blind_baseline_finds_what_decides_and_it_is_said(kind, tmp_path):
    models = {
        "table_means": pipelines.make_patient("table_means"),
        "vote_mean": pipelines.make_patient("vote_mean"),
        "plain": pipelines.attributes_only(),
    }
    told = evaluate.compare_patients(
        models, attribute_cohort(kind), n_boot=100, importance=False, verdicts=False
    )
    pooled = told.results.query("fold == 'all' and metric == 'balanced_accuracy'")
    value = pooled.set_index("model")["value"]
    assert value["metadata"] > 0.85
    assert value["metadata"] > value["plain"] + 0.05, "a plain logistic regression does not find it"
    assert told.ranked(baselines=True)[0] == "metadata"
    assert told.rivals()[0] == "metadata"
    best = told.ranked()[0]
    blind, chosen = told.remarks()
    assert blind.startswith(f"Models that never see a cell are as good as {best}, the best of")
    assert f"metadata (attributes alone) with {value['metadata']:.3f} (difference +0." in blind
    assert "the best of 2 models" in chosen
    assert "it was chosen, and its score is optimistic" in chosen
    page = report.page(told, tmp_path / "page.html").read_text("utf-8")
    assert blind in html.unescape(page)
    assert chosen in html.unescape(page)
    rows = report.figure_differences(told).axes[0].get_yticklabels()
    shown = [label.get_text() for label in rows]
    assert shown == [name for name in told.ranked(baselines=True) if name != best]


def test_a_model_that_needs_the_cells_has_no_rivals():
    cells = datasets.drawn_bags(60, cells=(8, 12), abnormal=(0.0, 0.9), random_state=1)
    told = evaluate.compare_patients(
        "table_means", cells, n_boot=100, verdicts=False, importance=False
    )
    assert told.rivals() == []
    assert told.remarks() == [], "one model was not chosen, and nothing blind comes near"


def test_the_best_of_many_models_without_a_signal_is_known_to_be_chosen():
    """Guesses of 12 models: the best seems better than chance, and elsewhere it is not."""
    rng = np.random.default_rng(0)
    cells = datasets.drawn_bags(60, cells=(2, 3), random_state=1)
    told = evaluate.compare_patients("table_means", cells, n_boot=200, verdicts=False, n_splits=2)
    guesses = []
    first = told.predictions[told.predictions["model"] == "table_means"]
    for number in range(12):
        said = rng.choice(told.classes, len(first))
        guesses.append(first.assign(model=f"guess{number:02}", predicted=said))
    told.predictions = pd.concat(guesses, ignore_index=True)
    names = [f"guess{number:02}" for number in range(12)]
    scores = [balanced_accuracy_score(part["truth"], part["predicted"]) for part in guesses]
    assert max(scores) > 0.58
    told.results = pd.DataFrame(
        {"model": names, "fold": "all", "metric": "balanced_accuracy", "value": scores}
    )
    told.baselines = ()
    (text,) = told.remarks()
    elsewhere = float(text.split("reaches ")[1].split(" ")[0])
    assert elsewhere < 0.54
    assert f"instead of {max(scores):.3f}" in text


def test_models_that_read_no_features_need_none(tmp_path: Path) -> None:
    images = datasets.drawn_set("lymphocytosis", tmp_path / "cells", 56, n_patients=28, size=48)
    comparison = evaluate.compare_patients(
        ["attributes", "bag_size"], images, n_splits=2, n_boot=20, verdicts=False
    )
    assert set(comparison.models) >= {"attributes", "bag_size", "baseline", "metadata"}
    assert len(comparison.predictions.query("model == 'bag_size'")) == 28
    with pytest.raises(evaluate.CompareError, match="no feature columns"):
        evaluate.compare_patients(["attributes", "table_means"], images, n_splits=2)
