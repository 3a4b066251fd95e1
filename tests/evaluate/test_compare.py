"""A comparison: what comes out, and what does not matter to it."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from hemafeat import evaluate, pipelines
from hemafeat.evaluate import CompareError
from hemafeat.evaluate._importance import blocks, candidates, separation
from hemafeat.evaluate._rows import fingerprint
from hemafeat.evaluate._scores import METRICS
from support.made_cells import QUICK, cells, memorised


@pytest.fixture(scope="module")
def compared():
    return evaluate.compare(["logistic", "svc"], cells(), n_boot=200)


def test_what_comes_out(compared):
    assert compared.models == ["logistic", "svc", "baseline"]
    assert compared.classes == ["a", "b", "c"]
    assert compared.protocol == (
        "5 folds, stratified by label, 30 patients never on both sides; intervals: 95 % percentile "
        "bootstrap over patients (200 resamples), seed 0; 150 cells, 3 classes."
    )
    results = compared.results
    assert len(results) == 3 * 6 * len(METRICS)
    pooled = results[results["fold"] == "all"]
    assert (pooled["low"] <= pooled["value"]).all()
    assert (pooled["value"] <= pooled["high"]).all() or set(
        pooled[pooled["value"] > pooled["high"]]["metric"]
    ) <= {"calibration_error"}
    own = compared.predictions.query("model == 'svc'")
    value = pooled.set_index(["model", "metric"]).loc[("svc", "accuracy"), "value"]
    assert value == pytest.approx((own["truth"] == own["predicted"]).mean())
    assert sorted(own["row"]) == list(range(150))
    assert list(own.columns[-3:]) == ["p__a", "p__b", "p__c"]
    fold = results.query("model == 'svc' and fold == '2' and metric == 'macro_f1'")["value"].item()
    two = own[own["fold"] == "2"]
    expected = metrics.f1_score(two["truth"], two["predicted"], average="macro")
    assert fold == pytest.approx(expected)
    base = pooled.set_index(["model", "metric"])["value"]["baseline"]
    assert base["auroc"] == 0.5
    assert base["balanced_accuracy"] < 0.45
    assert base["accuracy"] < value
    assert list(compared.seconds.columns) == ["model", "fit", "predict"]
    assert not compared.leaky


def test_a_comparison_prints_its_scores(compared):
    lines = repr(compared).splitlines()
    n = len(compared.models)
    assert lines[0] == f"Comparison of {n} models on 150 cells of 3 classes, best first"
    assert len(lines) == n + 2
    assert lines[2].split()[0] == compared.ranked()[0]
    text = compared._repr_html_()
    assert compared.protocol.split(";")[0] in text
    leaky = dataclasses.replace(compared, leaky=True, protocol="<b>")
    assert "LEAKY" in repr(leaky)
    assert "&lt;b&gt;" in leaky._repr_html_()


def test_summary_confusion_per_class(compared):
    summary = compared.summary()
    assert summary.columns[0] == "balanced_accuracy"
    assert sorted(summary.columns[:-1]) == sorted(METRICS)
    assert summary.columns[-1] == "protocol"
    assert summary.index[-1] == "baseline"
    assert " [" in summary.loc["svc", "accuracy"]
    own = compared.predictions.query("model == 'svc'")
    counts = compared.confusion("svc")
    expected = metrics.confusion_matrix(own["truth"], own["predicted"], labels=compared.classes)
    np.testing.assert_array_equal(counts, expected)
    report = compared.per_class("svc")
    p, r, f, n = metrics.precision_recall_fscore_support(own["truth"], own["predicted"])
    np.testing.assert_allclose(report[["precision", "recall", "f1", "support"]], np.c_[p, r, f, n])
    assert (report["recall_low"] <= report["recall"]).all()
    assert (report["recall"] <= report["recall_high"]).all()
    with pytest.raises(CompareError, match="no model 'forest'; there are: logistic"):
        compared.per_class("forest")


def test_differences_are_paired():
    """Two copies of one model differ by nothing, though their own intervals are wide."""
    same = {"one": pipelines.logistic(), "two": pipelines.logistic()}
    found = evaluate.compare(same, cells(signal=0.7), **QUICK)
    pair = found.differences.query("model_a == 'one' and model_b == 'two'")
    assert (pair[["difference", "low", "high"]].to_numpy() == 0).all()
    own = found.results.query("model == 'one' and fold == 'all' and metric == 'accuracy'")
    assert own["high"].item() - own["low"].item() > 0.05
    against = found.differences.query("model_b == 'baseline' and metric == 'accuracy'")
    assert (against["low"] > 0).all()


def test_no_signal_lands_at_chance():
    found = evaluate.compare(["logistic", "svc"], cells(n=300, n_groups=60, signal=0.0), n_boot=300)
    pooled = found.results.query("fold == 'all' and metric == 'balanced_accuracy'")
    assert (pooled["low"] < 1 / 3).all()
    assert pooled["value"].between(0.22, 0.45).all()
    area = found.results.query("fold == 'all' and metric == 'auroc'")
    assert area["value"].between(0.4, 0.6).all()


def test_patients_memorised_score_only_when_leaky():
    """The label follows the patient and the features give the patient away, nothing else."""
    table = memorised()

    def accuracy(split):
        found = evaluate.compare("svc", table, protocol=split, **QUICK)
        own = found.results.query("model == 'svc' and fold == 'all' and metric == 'accuracy'")
        return own["value"].item()

    assert accuracy("image-random") > 0.9
    assert accuracy("grouped") < 0.6


def test_metadata_stands_beside_the_models():
    rng = np.random.default_rng(0)
    table = cells(signal=0)
    table["count"] = (table["label"] == "c") * 5.0 + rng.normal(size=150)
    table["sex"] = rng.choice(["f", "m"], 150)
    found = evaluate.compare("logistic", table, metadata=["count", "sex"], **QUICK)
    assert found.models == ["logistic", "baseline", "metadata"]
    score = found.results.query("fold == 'all' and metric == 'auroc'").set_index("model")["value"]
    assert score["metadata"] > 0.7
    assert score["logistic"] < 0.6
    with pytest.raises(CompareError, match="lacks the metadata columns: age"):
        evaluate.compare("logistic", table, metadata=["age"], **QUICK)


def test_order_of_rows_and_workers_do_not_matter(compared):
    shuffled = cells().sample(frac=1, random_state=0)
    again = evaluate.compare(["logistic", "svc"], shuffled, n_boot=200, n_jobs=2)
    pd.testing.assert_frame_equal(again.results, compared.results)
    pd.testing.assert_frame_equal(again.importances, compared.importances)
    drop = ["row"]
    pd.testing.assert_frame_equal(
        again.predictions.drop(columns=drop), compared.predictions.drop(columns=drop)
    )
    own = again.predictions.query("model == 'svc'")
    assert (shuffled["image"].to_numpy()[own["row"]] == own["image"]).all()
    # In memory there are no names to go by; the values decide.
    arrays = cells().assign(image=[np.zeros((2, 2, 3), np.uint8)] * 150)
    one = evaluate.compare("svc", arrays, **QUICK)
    two = evaluate.compare("svc", arrays.sample(frac=1, random_state=1), **QUICK)
    pd.testing.assert_frame_equal(one.results, two.results)


def test_fingerprint():
    table = cells()
    features = table[[c for c in table if c.count("__") == 2]]
    truth, groups = table["label"].to_numpy(), table["group"].to_numpy()
    first = fingerprint(features, truth, groups)
    order = np.random.default_rng(0).permutation(150)
    mixed = features.iloc[order, ::-1]
    assert fingerprint(mixed, truth[order], groups[order]) == first
    assert fingerprint(features * 1.0000001, truth, groups) != first
    assert fingerprint(features, truth[::-1], groups) != first
    assert fingerprint(features, truth, groups[::-1]) != first


def test_importances_find_the_column(compared):
    found = compared.importances.query("model == 'logistic'").set_index("column")
    assert found.loc["nucleus__shape__*", "importance"] > 0.2
    assert found.loc["nucleus__shape__area", "importance"] > 0.2
    others = found.drop(["nucleus__shape__*", "nucleus__shape__area"])["importance"]
    assert others.abs().max() < 0.1
    assert set(compared.importances["model"]) == {"logistic", "svc"}
    assert found.loc["cell__lbp__*", "kind"] == "block"
    assert found.loc["cell__lbp__*", "family"] == "lbp"


def test_candidates_one_per_block():
    table = cells()
    features = table[[c for c in table if c.count("__") == 2]].copy()
    features.loc[::2, "nucleus__shape__area"] = np.nan
    truth = table["label"].to_numpy()
    chosen = candidates(features, truth)
    assert len(chosen) == len(blocks(features.columns)) == 4
    assert chosen[0] == "nucleus__shape__area"
    # Eta squared by its definition, on the column without gaps.
    values = features["cell__lbp__a"]
    means = values.groupby(truth).transform("mean")
    expected = ((means - values.mean()) ** 2).sum() / ((values - values.mean()) ** 2).sum()
    place = list(features.columns).index("cell__lbp__a")
    assert separation(features.to_numpy(), truth)[place] == pytest.approx(expected)


def test_rows_without_label_are_left_out():
    table = cells()
    table.loc[3, "label"] = None
    found = evaluate.compare("logistic", table, **QUICK)
    assert list(found.errors["image"]) == ["c/0003.png"]
    assert 3 not in set(found.predictions["row"])
    with pytest.raises(CompareError, match="no row has a value in column 'label'"):
        evaluate.compare("logistic", table.assign(label=None), **QUICK)


class Broken(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        raise RuntimeError("no luck")

    def predict(self, X):
        return X


class Loud(LogisticRegression):
    def fit(self, X, y):
        import warnings

        warnings.warn("mind the gap", stacklevel=2)
        return super().fit(X, y)


def test_redrawn_copies_are_trained_on_and_never_scored():
    """Copies are noise here: a score that counted them would be far from that of the cells."""
    rng = np.random.default_rng(0)
    label = np.tile(["a", "b"], 40)
    cells = pd.DataFrame(
        {
            "image": [f"{i}.png" for i in range(80)],
            "group": np.arange(80) // 2,
            "label": label,
            "redrawn": 0,
            "cell__shape__area": (label == "b") + 0.1 * rng.normal(size=80),
        }
    )
    copies = cells.assign(redrawn=1, cell__shape__area=rng.normal(size=80))
    table = pd.concat([cells, copies], ignore_index=True)
    for protocol in ("grouped", "image-random"):
        compared = evaluate.compare(
            "logistic", table, protocol=protocol, n_splits=4, n_boot=10, importance=False
        )
        scored = compared.predictions.query("model == 'logistic'")
        assert len(scored) == 80
        assert (scored["truth"] == scored["predicted"]).mean() > 0.9
    assert "80 redrawn copies" in compared.errors["message"].str.cat()


def test_models_of_ones_own():
    table = cells()
    plain = {"lr": LogisticRegression(), "margin": LinearSVC(), "loud": Loud()}
    found = evaluate.compare(plain, table, **QUICK)
    pooled = found.results.query("fold == 'all'").set_index(["model", "metric"])["value"]
    assert pooled["lr", "accuracy"] > 0.6
    assert np.isnan(pooled["margin", "auroc"])
    assert found.summary().loc["margin", "auroc"] == ""
    assert list(found.errors["error"]) == ["UserWarning"] * 5
    assert found.errors["stage"].iloc[0] == "loud, fold 1"
    message = found.errors["message"].iloc[0]
    assert f"loud warned in 5 folds: {message}." in found.remarks()
    with pytest.raises(CompareError, match="'bad' failed on fold 1: RuntimeError: no luck"):
        evaluate.compare({"bad": Broken()}, table, **QUICK)
    with pytest.raises(CompareError, match="'x' is not a scikit-learn estimator"):
        evaluate.compare({"x": 3}, table, **QUICK)
    with pytest.raises(CompareError, match="no pipeline 'svm'"):
        evaluate.compare(["svm"], table, **QUICK)


def test_other_column_names():
    table = cells().rename(columns=lambda c: c.replace("__", "_"))
    with pytest.raises(CompareError, match="no feature columns"):
        evaluate.compare("svc", table, **QUICK)
    wanted = ["nucleus_shape_area", "cell_lbp_a"]
    found = evaluate.compare(["svc", "logistic"], table, columns=wanted, **QUICK)
    assert found.models == ["svc", "logistic", "baseline"]
    with pytest.raises(CompareError, match="infinite values in feature columns"):
        evaluate.compare("svc", table.assign(cell_lbp_a=np.inf), columns=wanted, **QUICK)
    with pytest.raises(CompareError, match="not numbers"):
        evaluate.compare("svc", table.assign(cell_lbp_a="x"), columns=wanted, **QUICK)
    with pytest.raises(CompareError, match="lacks 1 columns: q"):
        evaluate.compare("svc", table, columns=["q"], **QUICK)


def test_progress():
    said = []
    evaluate.compare("logistic", cells(), progress=lambda *step: said.append(step), **QUICK)
    assert said[0] == (0, 10, "")
    assert said[-1] == (10, 10, "baseline, fold 5")


def test_save_and_load(compared, tmp_path):
    folder = compared.save(tmp_path / "deep" / "c")
    back = evaluate.load(folder)
    for name in ("results", "predictions", "differences", "importances", "seconds", "errors"):
        pd.testing.assert_frame_equal(getattr(back, name), getattr(compared, name))
    assert back.protocol == compared.protocol
    assert back.versions == compared.versions
    pd.testing.assert_frame_equal(back.per_class("svc"), compared.per_class("svc"))
    compared.save(folder)
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]
    (folder / "predictions.parquet").write_bytes(b"PAR1")
    with pytest.raises(CompareError, match=r"predictions\.parquet: cannot be read"):
        evaluate.load(folder)
    (folder / "comparison.json").unlink()
    with pytest.raises(CompareError, match="no comparison here"):
        evaluate.load(folder)
    (folder / "comparison.json").write_text('{"format": "x"}', encoding="utf-8")
    with pytest.raises(CompareError, match="not a comparison"):
        evaluate.load(folder)


def test_a_flipped_bit_of_a_comparison_is_noticed(compared, tmp_path):
    rng = np.random.default_rng(0)
    refused = []
    folder = compared.save(tmp_path)
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        for position in rng.integers(8 * len(data), size=20):
            hurt = bytearray(data)
            hurt[position // 8] ^= 1 << position % 8
            path.write_bytes(hurt)
            try:
                back = evaluate.load(folder)
            except CompareError as error:
                refused.append(path.name in str(error))
            else:  # a flipped bit of the seal itself
                pd.testing.assert_frame_equal(back.predictions, compared.predictions)
                assert (back.protocol, back.classes) == (compared.protocol, compared.classes)
        path.write_bytes(data)
    assert len(refused) > 120
    assert all(refused)


def test_models_are_ranked_with_and_without_baselines(compared):
    assert compared.unit == "cell"
    assert compared.baselines == ("baseline",)
    assert compared.main_metric == "balanced_accuracy"
    value = compared.results.query("fold == 'all' and metric == 'balanced_accuracy'")
    value = value.set_index("model")["value"]
    assert sorted(compared.ranked()) == ["logistic", "svc"]
    assert value[compared.ranked()].is_monotonic_decreasing
    assert compared.ranked(baselines=True) == [*compared.ranked(), "baseline"]
    assert list(compared.summary().index) == compared.ranked(baselines=True)
    same = {"b": pipelines.logistic(), "a": pipelines.logistic()}
    assert evaluate.compare(same, cells(), **QUICK).ranked() == ["a", "b"]


def test_a_comparison_of_format_1_is_read(compared, tmp_path):
    folder = compared.save(tmp_path)
    head = json.loads((folder / "comparison.json").read_text("utf-8"))
    assert head.pop("unit") == "cell"
    assert head.pop("baselines") == ["baseline"]
    head["format_version"] = 1
    (folder / "comparison.json").write_text(json.dumps(head), encoding="utf-8")
    loaded = evaluate.load(folder)
    assert loaded.unit == "cell"
    assert loaded.baselines == ("baseline",)
    (folder / "comparison.json").write_text(
        json.dumps({**head, "format_version": 3}), encoding="utf-8"
    )
    with pytest.raises(CompareError, match="format version 3; this package reads 1 and 2"):
        evaluate.load(folder)


def test_the_former_name_of_protocol_works_with_a_warning():
    with pytest.warns(FutureWarning, match="'split' is now called 'protocol'"):
        found = evaluate.compare("logistic", cells(), split="image-random", **QUICK)
    assert found.leaky


def test_the_rule_of_the_cells_is_in_the_protocol():
    table = cells()
    table.attrs["measured"] = {"cells": "all"}
    result = evaluate.compare("logistic", table, n_boot=5, n_splits=2, importance=False)
    assert "every cell of an image" in result.protocol
    former = table.assign(quality__n_cells=2)
    former.attrs = {}
    former.loc[:1, ["image", "label"]] = ["field.png", None]
    result = evaluate.compare("logistic", former, n_boot=5, n_splits=2, importance=False)
    assert "the central cell of labelled images, every cell of the others" in result.protocol
    assert result.errors["message"].str.contains("another rule than unlabelled").any()


def test_a_blind_baseline_of_cells_finds_a_threshold():
    """An attribute of the patient that decides; trees that know each patient do not."""
    rng = np.random.default_rng(0)
    names = [f"P{n}" for n in range(60)]
    count = pd.Series(np.exp(rng.normal(2, 2, 60)), names)
    table = pd.DataFrame({"patient": np.repeat(names, 4)})
    table["group"] = table["patient"]
    table["count"] = table["patient"].map(count)
    table["label"] = np.where(table["count"] > 9, "ill", "well")
    table["cell__shape__area"] = rng.normal(size=240)
    result = evaluate.compare(
        "logistic", table, metadata=["count"], n_boot=50, n_splits=3, importance=False
    )
    pooled = result.results.query("fold == 'all' and metric == 'balanced_accuracy'")
    assert pooled.set_index("model")["value"]["metadata"] > 0.9
    assert result.rivals()[0] == "metadata"
    assert "metadata (attributes alone)" in result.remarks()[0]
    with pytest.raises(CompareError, match="names the groups"):
        evaluate.compare("logistic", table, metadata=["group"])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("cell__shape__area", "holds 240 different values in 240 rows"),
        ("same", "fewer than two classes in column 'same': x$"),
        ("klass", "no column 'klass'; it has patient and same"),
    ],
)
def test_a_wrong_column_of_labels_is_said(column, message):
    table = pd.DataFrame({"patient": [f"P{n}" for n in range(240)], "same": "x"})
    table["cell__shape__area"] = np.arange(240.0)
    with pytest.raises(CompareError, match=message):
        evaluate.compare("logistic", table, label=column, groups="patient")
