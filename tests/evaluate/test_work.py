"""The work of a comparison: what is shared, bounded, kept and said, and that it changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import textwrap
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression

from hemafeat import _machine, datasets, evaluate, pipelines
from hemafeat._fits import Fits, families, sharing
from hemafeat.evaluate import CompareError, _fit
from hemafeat.evaluate._importance import MAX_REPEATS, MIN_ROWS, spend
from hemafeat.pipelines._patients import contributions
from hemafeat.pipelines._steps import support_vectors
from support.made_cells import QUICK, cells

DONE = Counter()


class Counting(ClassifierMixin, BaseEstimator):
    """The share of the classes; counts what is asked of it."""

    def __init__(self, shift=0.0, random_state=0):
        self.shift = shift
        self.random_state = random_state

    def fit(self, X, y):
        DONE["fits"] += 1
        self.classes_, n = np.unique(y, return_counts=True)
        self.shares_ = n / n.sum()
        return self

    def predict_proba(self, X):
        DONE["rows"] += len(X)
        return np.tile(self.shares_, (len(X), 1))

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


@pytest.fixture(autouse=True)
def nothing_done():
    DONE.clear()


def same(one, two):
    for name in ("results", "predictions", "differences", "importances", "errors"):
        first, second = (
            getattr(c, name).drop(columns="version", errors="ignore") for c in (one, two)
        )
        pd.testing.assert_frame_equal(first, second, check_exact=True)


@pytest.mark.parametrize(
    ("other", "fits"), [({}, 1), ({"shift": 1.0}, 2), ({"random_state": None}, 2)]
)
def test_equal_models_are_fitted_once(other, fits):
    models = {"one": Counting(), "two": Counting(**other)}
    evaluate.compare(models, cells(), n_splits=3, **QUICK)
    assert DONE["fits"] == 3 * fits
    # Without a seed two fits differ, even of the same parameters.
    DONE.clear()
    evaluate.compare({"one": Counting(**other), "two": Counting(**other)}, cells(), **QUICK)
    assert DONE["fits"] == 5 * (2 if other.get("random_state", 0) is None else 1)


def test_votes_of_one_classifier_fit_it_once():
    table = datasets.drawn_bags(24, cells=(4, 8), random_state=0)
    votes = {name: pipelines.CellVote(Counting(), name) for name in ("mean", "majority", "max")}
    options = {"n_splits": 2, "n_boot": 20, "verdicts": False, "importance": False}
    evaluate.compare_patients(votes, table, **options)
    assert DONE["fits"] == 2


def assert_as_alone(models, together):
    """Check that whatever is made only once has the result of each model alone."""
    for name, model in models.items():
        alone = evaluate.compare({name: model}, cells(), n_splits=2, **QUICK)
        mine = together.predictions.query("model == @name").reset_index(drop=True)
        theirs = alone.predictions.query("model == @name").reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, theirs, check_exact=True)


def test_members_of_an_ensemble_beside_it(monkeypatch):
    machine = support_vectors.SVC

    class CountingMachine(machine):
        def fit(self, *args, **params):
            DONE["fits"] += 1
            return super().fit(*args, **params)

    monkeypatch.setattr(support_vectors, "SVC", CountingMachine)
    few = {"n_rounds": 5, "n_trees": 5}
    models = {
        "soft_vote": pipelines.soft_vote(**few),
        "svc": pipelines.svc(),
        "xgboost": pipelines.xgboost(n_estimators=5),
        "random_forest": pipelines.random_forest(n_estimators=5),
    }
    together = evaluate.compare(models, cells(), n_splits=2, **QUICK)
    assert DONE["fits"] == 2
    assert_as_alone(models, together)
    assert families(list(models.values())) == [[0, 1, 2, 3]]
    assert families([pipelines.svc(), pipelines.xgboost()]) == [[0], [1]]


def test_the_members_of_a_vote_share_their_fits(monkeypatch):
    fit = LogisticRegression.fit

    def counting(self, *args, **params):
        DONE["fits"] += 1
        return fit(self, *args, **params)

    monkeypatch.setattr(LogisticRegression, "fit", counting)
    models = {"ldsvm": pipelines.ldsvm(), "logistic": pipelines.logistic()}
    together = evaluate.compare(models, cells(), n_splits=2, **QUICK)
    assert DONE["fits"] == 2
    assert_as_alone(models, together)


def peak_of(call):
    """Return the bytes that a call takes beyond what there is before it."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_table_of_a_vote_is_not_copied_by_each_step():
    """What is kept at a time: the cells as a table, and what the classifier is fitted to."""
    rng = np.random.default_rng(0)
    bags = [rng.normal(size=(200, 300)) for _ in range(20)]
    size = sum(bag.nbytes for bag in bags)
    vote = pipelines.CellVote(pipelines.logistic(max_iter=2).set_params(columns__columns="all"))
    vote = clone(vote).set_params(model__model=Counting())
    with sharing(Fits.of([vote])):
        assert peak_of(lambda: vote.fit(bags, ["a", "b"] * 10)) < 3 * size


def test_leaving_out_cells_takes_no_memory_for_each_of_them(monkeypatch):
    monkeypatch.setattr(contributions, "_BYTES", 2e6)
    table = datasets.drawn_bags(8, cells=(150, 160), n_features=60, random_state=0)
    rows = pipelines.bags(table)
    model = pipelines.make_patient("table_svc").fit(rows, rows["label"])
    whole = 150 * rows["cells"].iloc[0].features.nbytes
    assert peak_of(lambda: pipelines.cell_contributions(model, rows[:1])) < whole / 2


@pytest.mark.slow_without_jit
def test_processes_do_not_matter_to_patients():
    table = datasets.drawn_bags(24, cells=(4, 8), attribute_signal=0.5, random_state=0)
    names = ["table_logistic", "vote_mean", "vote_max", "stack", "fisher"]
    one, two = (
        evaluate.compare_patients(names, table, n_splits=2, n_boot=20, n_jobs=n) for n in (1, 2)
    )
    same(one, two)
    pd.testing.assert_frame_equal(one.verdicts, two.verdicts, check_exact=True)


@pytest.mark.skipif(os.name == "nt", reason="a file that is mapped cannot be removed")
def test_processes_share_the_cells_with_this_one(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    rows = pipelines.bags(datasets.drawn_bags(24, cells=(4, 8), random_state=0))
    before = [bag.features.copy() for bag in rows["cells"]]
    truth = rows.pop("label").to_numpy(dtype=str)
    model = pipelines.make_patient("table_means")
    folds = np.split(np.arange(24), 2)
    tasks = [
        _fit.Task(
            "m", str(k), model, rows, truth, folds[1 - k], folds[k], np.unique(truth), {}, [0]
        )
        for k in range(2)
    ]
    _fit.run_all(tasks, 2, None)
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert str(tmp_path) in maps.read_text()
    for bag, values in zip(rows["cells"], before, strict=True):
        assert not bag.features.flags.writeable
        np.testing.assert_array_equal(bag.features, values)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("n_columns", [10, 300])
def test_importance_keeps_its_budget(n_columns):
    table = cells(n=600)
    more = np.random.default_rng(0).normal(size=(600, n_columns))
    names = [f"cell__f{j % 60}__c{j}" for j in range(n_columns)]
    table = pd.concat([table, pd.DataFrame(more, columns=names)], axis=1)
    spent = {}
    for budget in (0, 40, 3000, 20_000):
        DONE.clear()
        found = evaluate.compare(
            {"m": Counting()}, table, n_splits=2, n_boot=20, importance=budget
        ).importances
        spent[budget] = DONE["rows"]
        assert found.empty == (budget < 2 * MIN_ROWS)
    plain = spent.pop(0)
    assert all(rows - plain <= budget for budget, rows in spent.items())
    assert spent[20_000] > spent[3000] > plain
    with pytest.raises(CompareError, match="not negative"):
        evaluate.compare({"m": Counting()}, table, importance=-1)


def test_the_uncertain_is_repeated_first():
    asked = []

    def losses_of(names, repeat):
        asked.append(list(names))
        return [0.1 if name == "sure" else [0.0, 0.4, 0.1][repeat] for name in names]

    found = spend(["sure", "unsure"], 10, 1000, losses_of)
    assert asked == [["sure", "unsure"], ["sure", "unsure"], ["unsure"]]
    assert len(asked) == MAX_REPEATS
    assert found == {"sure": pytest.approx(0.1), "unsure": pytest.approx(0.5 / 3)}
    # One prediction of all rows is that of the rows as they are.
    assert list(spend(["a", "b", "c"], 10, 30, lambda names, repeat: [0.0] * len(names))) == [
        *("a", "b")
    ]


class Stop(Exception):
    pass


@pytest.mark.parametrize("level", ["cell", "patient"])
def test_an_interrupted_comparison_goes_on(level, tmp_path, monkeypatch):
    table = datasets.drawn_bags(24, cells=(4, 8), random_state=0) if level == "patient" else cells()
    names = ["table_means", "vote_mean"] if level == "patient" else ["logistic", "svc"]
    options = {"level": level, "n_splits": 3, "n_boot": 20}
    undisturbed = evaluate.compare(names, table, **options)
    keep = tmp_path / "fits"

    def stop(done, total, step):
        if done == 4:
            raise Stop

    with pytest.raises(Stop):
        evaluate.compare(names, table, progress=stop, keep=keep, **options)
    kept = sorted(keep.iterdir())
    assert len(kept) == 4
    kept[0].write_text(kept[0].read_text("utf-8")[:50])
    run = _fit.run
    ran = []
    monkeypatch.setattr(_fit, "run", lambda task, fits: ran.append(task) or run(task, fits))
    # Other folds are other fits.
    evaluate.compare(names, table, keep=keep, **{**options, "random_state": 1})
    n_all = len(ran)
    assert len(list(keep.iterdir())) == 4
    ran.clear()
    same(evaluate.compare(names, table, keep=keep, **options), undisturbed)
    # One of the four was damaged.
    assert len(ran) == n_all - 3
    assert not keep.exists()


def test_a_killed_comparison_goes_on(tmp_path):
    table = tmp_path / "cells.parquet"
    cells().to_parquet(table)
    script = textwrap.dedent(
        f"""
        import os, signal, sys
        import pandas as pd
        from hemafeat import evaluate
        def kill(done, total, step):
            if done == 3:
                os.kill(os.getpid(), signal.SIGKILL)
        evaluate.compare(
            "svc", pd.read_parquet({str(table)!r}), n_boot=20, importance=False,
            keep={str(tmp_path / "fits")!r}, progress=kill,
        )
        """
    )
    if sys.platform == "win32":
        pytest.skip("no SIGKILL")
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    assert len(list(Path(tmp_path / "fits").iterdir())) == 3
    said = []
    evaluate.compare(
        "svc",
        pd.read_parquet(table),
        keep=tmp_path / "fits",
        progress=lambda *step: said.append(step[0]),
        **{**QUICK, "n_boot": 20},
    )
    assert said == list(range(3, 11))


def test_models_of_ones_own_are_not_kept(tmp_path):
    def stop(done, total, step):
        if done == 4:
            raise Stop

    with pytest.raises(Stop):
        evaluate.compare({"m": Counting()}, cells(), keep=tmp_path / "f", progress=stop, **QUICK)
    kept = [json.loads(path.read_text("utf-8")) for path in (tmp_path / "f").iterdir()]
    assert {entries["model"] for entries in kept} == {"baseline"}


def test_a_log_gets_lines(capsys, monkeypatch):
    evaluate.compare("logistic", cells(), progress=True, **QUICK)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("compare: 10 of 10 fits (baseline, fold 5), ")
    monkeypatch.setattr(_machine, "LINE_EVERY", 0.0)
    monkeypatch.setattr(_machine, "RARER", 1e9)
    evaluate.compare("logistic", cells(), progress=True, **QUICK)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("compare: 1 of 10 fits (logistic, fold 1), ")
    assert lines[0].endswith(" left")
    evaluate.compare("logistic", cells(), **QUICK)
    assert capsys.readouterr().err == ""


def test_times_in_words():
    words = [_machine.duration(s) for s in (0.2, 42, 420, 4800)]
    assert words == ["0 s", "42 s", "7 min", "1 h 20 min"]
