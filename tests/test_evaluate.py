"""The protocol: no group on both sides, scores as scikit-learn has them, intervals that cover."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from hemafeat import evaluate, pipelines
from hemafeat.evaluate import CompareError
from hemafeat.evaluate._bootstrap import draw, interval, resampled
from hemafeat.evaluate._fingerprint import fingerprint
from hemafeat.evaluate._importance import blocks, candidates, separation
from hemafeat.evaluate._scores import METRICS, scores
from hemafeat.evaluate._splits import folds, group_ids

QUICK = {"n_boot": 50, "importance": False}


def cells(n=150, n_groups=30, signal=1.5, seed=0, n_classes=3):
    """A table of cells of some patients; one column of the nucleus carries the class."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    patient = rng.permutation(np.arange(n) % n_groups)
    frame = pd.DataFrame(
        rng.normal(size=(n, 6)),
        columns=[
            *("nucleus__shape__area", "nucleus__shape__perimeter", "nucleus__lbp__a"),
            *("cell__shape__area", "cell__lbp__a", "cell__lbp__b"),
        ],
    )
    frame["nucleus__shape__area"] += signal * y
    frame.insert(0, "image", [f"c/{i:04d}.png" for i in range(n)])
    frame.insert(1, "cell", 1)
    frame.insert(2, "label", np.array(["a", "b", "c", "d"])[y])
    frame.insert(3, "patient", [f"P{p}" for p in patient])
    frame.insert(4, "group", frame["patient"])
    return frame


@pytest.fixture(scope="module")
def compared():
    return evaluate.compare(["logistic", "svc"], cells(), n_boot=200)


# Scores


@pytest.mark.parametrize("seed", [0, 1])
def test_scores_match_sklearn(seed):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, 200)
    # Rounded, so that there are ties.
    chances = np.round(rng.dirichlet(np.ones(4), 200), 2) + 0.01
    chances[np.arange(200), truth] += 0.2
    chances /= chances.sum(axis=1, keepdims=True)
    predicted = chances.argmax(axis=1)
    found = {k: v[0] for k, v in scores(truth, predicted, chances, np.ones((1, 200))).items()}
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert found["balanced_accuracy"] == pytest.approx(
        metrics.balanced_accuracy_score(truth, predicted)
    )
    for name in ("macro", "weighted"):
        expected = metrics.f1_score(truth, predicted, average=name)
        assert found[f"{name}_f1"] == pytest.approx(expected)
    expected = metrics.roc_auc_score(truth, chances, multi_class="ovr", average="macro")
    assert found["auroc"] == pytest.approx(expected, rel=1e-12)
    assert found["log_loss"] == pytest.approx(metrics.log_loss(truth, chances))


def test_calibration_error_by_its_definition():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 200)
    chances = rng.dirichlet(np.ones(4), 200)
    chances[0] = [1, 0, 0, 0]
    predicted, top = chances.argmax(axis=1), chances.max(axis=1)
    naive = 0.0
    for low in np.arange(15) / 15:
        inside = (top > low) & (top <= low + 1 / 15 + 1e-12)
        if inside.any():
            gap = abs((predicted == truth)[inside].mean() - top[inside].mean())
            naive += inside.mean() * gap
    found = scores(truth, predicted, chances, np.ones((1, 200)))
    assert found["calibration_error"][0] == pytest.approx(naive)


def test_weights_are_repeated_rows():
    """A row that counts twice gives the same scores as the row written twice."""
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 3, 60)
    chances = rng.dirichlet(np.ones(3), 60)
    predicted = chances.argmax(axis=1)
    fold = rng.integers(0, 2, 60)
    weights = rng.integers(0, 4, (5, 60))
    found = scores(truth, predicted, chances, weights, fold)
    for place, times in enumerate(weights):
        rows = np.repeat(np.arange(60), times)
        one = np.ones((1, len(rows)))
        plain = scores(truth[rows], predicted[rows], chances[rows], one, fold[rows])
        for name in METRICS:
            assert found[name][place] == pytest.approx(plain[name][0], rel=1e-12), name


def test_class_missing_from_a_fold():
    truth = np.array([0, 0, 1, 1])
    predicted = np.array([0, 2, 1, 1])
    chances = np.array([[0.8, 0.1, 0.1], [0.3, 0.1, 0.6], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1]])
    found = {k: v[0] for k, v in scores(truth, predicted, chances, np.ones((1, 4))).items()}
    assert found["balanced_accuracy"] == 0.75
    expected = metrics.f1_score(truth, predicted, labels=[0, 1], average="macro")
    assert found["macro_f1"] == pytest.approx(expected)
    assert found["auroc"] == 1.0
    assert np.isfinite(found["log_loss"])


def test_auroc_ranks_within_folds():
    """Two folds, each in perfect order, on scales that do not compare."""
    truth = np.array([0, 1, 0, 1])
    chances = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]])
    one = np.ones((1, 4))
    fold = np.array([0, 0, 1, 1])
    assert scores(truth, truth, chances, one, fold)["auroc"][0] == 1.0
    assert scores(truth, truth, chances, one)["auroc"][0] == 0.75


def test_no_probabilities_no_such_scores():
    found = scores(np.array([0, 1]), np.array([0, 1]), None, np.ones((1, 2)))
    assert found["accuracy"][0] == 1
    assert np.isnan(found["auroc"][0])


# Bootstrap


def test_bootstrap_draws_whole_groups():
    ids = np.array(["x", "y", "x", "z"])
    counts, member = draw(ids, 400, random_state=0)
    assert (counts.sum(axis=1) == 3).all()
    assert member[0] == member[2]
    assert counts.mean() == pytest.approx(1)
    again, _ = draw(ids, 400, random_state=0)
    np.testing.assert_array_equal(counts, again)
    assert (draw(ids, 400, random_state=1)[0] != counts).any()


def test_interval_covers_the_truth():
    """Cells of one patient share their luck; only resampling patients gives honest intervals."""
    rng = np.random.default_rng(0)
    n_groups, per_group, true = 40, 10, 0.8
    covered = {"groups": 0, "rows": 0}
    for _ in range(120):
        # Half the patients are easy, half are hard: .8 correct on average.
        skill = np.where(rng.random(n_groups) < 0.5, 0.98, 0.62)
        right = rng.random((n_groups, per_group)) < skill[:, None]
        truth = np.zeros(n_groups * per_group, dtype=int)
        predicted = np.where(right.ravel(), 0, 1)
        ids = np.repeat(np.arange(n_groups), per_group)
        for name, which in (("groups", ids), ("rows", np.arange(len(ids)))):
            counts, member = draw(which, 100, random_state=1)
            values = resampled(truth, predicted, None, None, counts, member)["accuracy"]
            low, high = interval(values)
            covered[name] += low <= true <= high
    # 95 % wanted; 3 standard errors of 120 trials are 6 points.
    assert covered["groups"] / 120 > 0.89
    assert covered["rows"] / 120 < 0.80


def test_interval_of_nothing():
    assert np.isnan(interval(np.array([np.nan, np.nan]))).all()


# Splits


def test_no_group_on_both_sides():
    table = cells(n=200, n_groups=23)
    groups = group_ids(table, "group")
    truth = table["label"].to_numpy().astype(str)
    plan = folds(truth, groups, n_splits=5, random_state=3)
    assert not plan.leaky
    seen = np.concatenate([test for _, test in plan.pairs])
    assert sorted(seen) == list(range(200))
    for train, test in plan.pairs:
        assert not set(groups.ids[train]) & set(groups.ids[test])
        assert set(truth[train]) == {"a", "b", "c"}
    assert plan.sentence == "5 folds, stratified by label, 23 patients never on both sides"


def test_random_split_is_marked_leaky():
    table = cells()
    truth = table["label"].to_numpy().astype(str)
    plan = folds(truth, group_ids(table, "group"), split="image-random")
    assert plan.leaky
    assert plan.protocol == "image-random (leaky)"
    assert "LEAKY, 30 of 30 patients are on both sides" in plan.sentence
    alone = folds(truth, group_ids(table, None), split="image-random")
    assert not alone.leaky
    assert alone.protocol == "image-random"
    found = evaluate.compare("logistic", table, split="image-random", **QUICK)
    assert found.leaky
    assert set(found.results["protocol"]) == {"image-random (leaky)"}
    assert set(found.summary()["protocol"]) == {"image-random (leaky)"}


def test_groups_that_are_not_known():
    table = cells()
    unknown = group_ids(table.assign(group=pd.NA, patient=pd.NA), "group")
    assert unknown.n == 150
    assert "patients are unknown" in unknown.note
    # Cells of one image stay together even then.
    fields = table.assign(image=[f"{i // 5}.png" for i in range(150)])
    assert group_ids(fields, None).n == 30
    part = table.copy()
    part.loc[:9, "group"] = None
    some = group_ids(part, "group")
    assert "10 cells of unknown group stand alone" in some.note
    found = evaluate.compare("logistic", table.assign(group=pd.NA), **QUICK)
    assert "patients are unknown and may be on both sides" in found.protocol
    # Groups of identical files say nothing of patients.
    twins = table.assign(group=[f"g{i}" for i in range(150)], patient=pd.NA)
    assert "patients are unknown" in group_ids(twins, "group").note
    assert group_ids(twins, "group").noun == "groups"


def test_too_few_groups_of_a_class():
    table = cells()
    table.loc[table["label"] == "c", "group"] = "one"
    with pytest.raises(CompareError, match=r"5 folds need 5 groups of every class.*'c' \(1\)"):
        evaluate.compare("logistic", table, **QUICK)
    found = evaluate.compare("logistic", table, rare="drop", **QUICK)
    assert found.classes == ["a", "b"]
    assert "class 'c' left out: 50 cells" in found.errors["message"].iloc[0]
    table.loc[table.index[table["label"] == "c"][:20], "group"] = "two"
    with pytest.raises(CompareError, match="lower n_splits to 2"):
        evaluate.compare("logistic", table, **QUICK)


def test_official_split():
    table = cells()
    part = np.where(np.arange(150) < 90, "Train", np.where(np.arange(150) < 110, "val", "test"))
    found = evaluate.compare("logistic", table.assign(split=part), split="official", **QUICK)
    assert set(found.predictions["fold"]) == {"test"}
    assert len(found.predictions) == 2 * 40
    # The patients of this table are not divided by its made-up split.
    assert found.leaky
    assert "20 cells of other parts" in found.errors["message"].iloc[0]
    by_patient = np.where(table["patient"].isin([f"P{i}" for i in range(10)]), "test", "train")
    assert not evaluate.compare(
        "logistic", table.assign(split=by_patient), split="official", **QUICK
    ).leaky
    three = table["patient"].str[1:].astype(int) % 3
    found = evaluate.compare(
        "logistic", table.assign(split=[f"fold_{i}" for i in three]), split="official", **QUICK
    )
    assert "each of 3 in turn" in found.protocol
    for bad in (None, "train", "only"):
        with pytest.raises(CompareError, match="official"):
            evaluate.compare("logistic", table.assign(split=bad), split="official", **QUICK)
    lonely = np.where(table["label"] == "c", "test", by_patient)
    found = evaluate.compare("logistic", table.assign(split=lonely), split="official", **QUICK)
    assert "classes that training has not: c" in " ".join(found.errors["message"])
    assert (found.predictions.query("model == 'logistic'")["p__c"] == 0).all()


# Compare


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


def test_summary_confusion_per_class(compared):
    summary = compared.summary()
    assert list(summary.columns) == [*METRICS, "protocol"]
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
    rng = np.random.default_rng(1)
    table = cells(n=240, n_groups=24, signal=0)
    kind = rng.permutation(np.arange(24) % 3)
    number = table["patient"].str[1:].astype(int).to_numpy()
    table["label"] = np.array(["a", "b", "c"])[kind[number]]
    features = [c for c in table if c.count("__") == 2]
    table[features] += rng.normal(0, 8, (24, 6))[number]

    def accuracy(split):
        found = evaluate.compare("svc", table, split=split, **QUICK)
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
    with pytest.raises(CompareError, match="'bad' failed on fold 1: RuntimeError: no luck"):
        evaluate.compare({"bad": Broken()}, table, **QUICK)
    with pytest.raises(CompareError, match="'x' is no scikit-learn estimator"):
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
