"""Training, validation and test parts; models kept; models that read images alone."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.metrics import f1_score, roc_auc_score

from hemafeat import datasets, evaluate, pipelines
from hemafeat._fits import shared
from hemafeat.evaluate import CompareError, _fit
from hemafeat.evaluate._protocols.protocols import PROTOCOLS
from hemafeat.evaluate._protocols.splits import Sample, group_ids
from support.made_cells import QUICK, cells

FITS = []
"""Rows trained on and rows validated on, of each fit of `Stopping`."""

THREE = ("train", "validation", "test")


class Stopping(ClassifierMixin, BaseEstimator):
    """Shares of the classes of the validation part, which tell what it was given."""

    takes_validation = True

    def __init__(self, random_state=0):
        self.random_state = random_state

    @shared
    def fit(self, X, y, validation=None):
        FITS.append((X.index, None if validation is None else validation[0].index))
        self.classes_ = np.unique(y)
        labels = y if validation is None else validation[1]
        self.shares_ = np.array([np.mean(labels == name) for name in self.classes_])
        return self

    def predict_proba(self, X):
        return np.tile(self.shares_, (len(X), 1))

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class Bright(ClassifierMixin, BaseEstimator):
    """Nearest mean brightness of the images of a class."""

    looks_at = frozenset({"images"})

    def _values(self, X):
        return np.array([cv2.imread(str(path)).mean() for path in X["image"]])

    def fit(self, X, y):
        FITS.append((X.index, None))
        self.classes_ = np.unique(y)
        values = self._values(X)
        self.means_ = np.array([values[y == name].mean() for name in self.classes_])
        return self

    def predict(self, X):
        return self.classes_[np.abs(self._values(X)[:, None] - self.means_).argmin(axis=1)]


class BrightPatient(Bright):
    """The same for all images of a patient."""

    def _values(self, X):
        return np.array(
            [
                np.mean([cv2.imread(path).mean() for path in bag.beside["image"]])
                for bag in X["cells"]
            ]
        )


@pytest.fixture(autouse=True)
def no_fits():
    FITS.clear()


def divided(table, protocol, groups="group", seed=0):
    """The plan of a protocol, with its options, for a table."""
    if isinstance(protocol, str):
        protocol = evaluate.protocol(protocol)
    features = table[[c for c in table if c.count("__") == 2]]
    truth = table["label"].to_numpy().astype(str)
    given = Sample(truth, group_ids(table, groups), table, features, 5, seed, protocol.options)
    return protocol.folds(given)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Images of two classes, dark and bright, four of each of six patients; one a copy."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(48):
        label = ("dark", "bright")[i % 2]
        image = rng.normal(80 if label == "dark" else 160, 12, (24, 24, 3)).clip(0, 255)
        path = folder / f"{i:02d}.png"
        cv2.imwrite(str(path), image.astype(np.uint8))
        rows.append({"image": str(path), "label": label, "patient": f"P{i % 12}"})
    copy = folder / "copy.png"
    copy.write_bytes((folder / "00.png").read_bytes())
    rows.append({"image": str(copy), "label": "dark", "patient": "P13"})
    return pd.DataFrame(rows).assign(um_per_px=[0.1] + [np.nan] * 48)


@pytest.mark.parametrize(
    ("name", "n", "sizes"),
    [
        # The sizes that the reports print, or that follow from their code.
        ("leaky-ufsc", 10661, (7995, 1333, 1333)),
        ("leaky-mids", 12528, (7516, 2506, 2506)),
        ("leaky-bernard", 17092, (10938, 2735, 3419)),
        ("leaky-bernard-merged", 31603, (25597, 2845, 3161)),
        ("leaky-hincapie", 17092, (13674, 3258, 160)),
    ],
)
def test_all_parts_of_the_reports(name, n, sizes):
    table = cells(n=n, n_groups=118)
    plan = divided(table, name)
    (parts,) = plan.parts()
    assert tuple(map(len, parts)) == sizes
    assert sorted(np.concatenate(parts)) == list(range(n))
    assert "{} to train, {} to validate, {} to score".format(*sizes) in plan.sentence
    assert not any("not used" in note for note in plan.notes)
    assert len(plan.pairs[0]) == 2
    if name == "leaky-ufsc":
        label = table["label"].to_numpy()
        for part in parts:
            np.testing.assert_allclose(
                pd.Series(label[part]).value_counts() / len(part), 1 / 3, atol=1e-3
            )


def test_a_part_to_validate_on_is_given_and_never_trained_on():
    table = cells(n=300)
    members = {"own": Stopping(), "logistic": pipelines.logistic()}
    models = {
        "alone": Stopping(),
        "mean": pipelines.average(members),
        "stack": pipelines.stack(members, n_splits=2),
        "bag": pipelines.GroupedBagging(Stopping(), n_estimators=1),
        "search": pipelines.ValidatedSearch(Stopping(), {"random_state": [0, 1]}),
    }
    found = evaluate.compare(models, table, protocol="leaky-ufsc", keep_models=True, **QUICK)
    ((train, valid, _),) = divided(table, "leaky-ufsc").parts()
    # Alone; inside the mean, by the numbers of the classes; inside the stack, whose rows have a
    # column of groups, and on its two inner folds; on the rows drawn; and the second candidate of
    # the search, of which the first, the best, is the model alone.
    assert len(FITS) == 1 + 1 + (1 + 2) + 1 + 1
    for trained, validated in FITS:
        assert set(trained) <= set(train)
        assert set(validated) == set(valid)
    shares = np.array([np.mean(table["label"].iloc[valid] == name) for name in "abc"])
    for name in ("alone", "mean"):
        model = found.fitted[name][0]
        model = model if name == "alone" else model.estimators_[0]
        np.testing.assert_allclose(model.shares_, shares)
    # Without such a part nothing is given.
    FITS.clear()
    evaluate.compare({"alone": Stopping()}, table, n_splits=2, **QUICK)
    assert [validated for _, validated in FITS] == [None, None]


def test_an_official_part_to_validate_on():
    table = cells(n=90)
    table["split"] = np.array(["train", "Validation", "test"])[np.arange(90) // 5 % 3]
    evaluate.compare({"m": Stopping()}, table, protocol="official", **QUICK)
    ((trained, validated),) = FITS
    assert set(table["split"].iloc[trained]) == {"train"}
    assert set(table["split"].iloc[validated]) == {"Validation"}
    # Without a test part the validation part is the one that is scored, and nothing stops on it.
    FITS.clear()
    table = table[table["split"] != "test"].reset_index(drop=True)
    found = evaluate.compare({"m": Stopping()}, table, protocol="official", **QUICK)
    assert set(found.predictions["fold"]) == {"validation"}
    assert FITS[0][1] is None
    assert set(found.part_scores["part"]) == {"test"}


def test_scores_of_the_parts(tmp_path):
    table = cells(n=240)
    options = {"protocol": "leaky-mids", **QUICK}
    found = evaluate.compare("logistic", table, parts=THREE, keep_models=True, **options)
    assert list(found.part_scores) == ["model", "part", "metric", "value", "low", "high", "n"]
    scores = found.part_scores.set_index(["model", "part", "metric"])
    ((model,), parts) = found.fitted["logistic"], divided(table, "leaky-mids").parts()[0]
    for name, rows in zip(THREE, parts, strict=True):
        truth = table["label"].iloc[rows]
        rows_of = table.iloc[rows]
        expected = {
            "weighted_f1": f1_score(truth, model.predict(rows_of), average="weighted"),
            "accuracy": np.mean(truth == model.predict(rows_of)),
            "auroc": roc_auc_score(truth, model.predict_proba(rows_of), multi_class="ovr"),
        }
        for metric, value in expected.items():
            row = scores.loc["logistic", name, metric]
            assert row["value"] == pytest.approx(value, abs=1e-12)
            assert row["n"] == len(rows)
            assert np.isnan(row["low"]) == (name == "train")
    pooled = found.results[found.results["fold"] == "all"].set_index(["model", "metric"])
    test = found.part_scores[found.part_scores["part"] == "test"].set_index(["model", "metric"])
    for column in ("value", "low", "high"):
        pd.testing.assert_series_equal(test[column], pooled[column].reindex(test.index))
    assert list(found.parts().loc["logistic"].index) == list(THREE)
    again = evaluate.load(found.save(tmp_path / "saved"))
    pd.testing.assert_frame_equal(again.part_scores, found.part_scores)
    assert not again.fitted
    # By default what was validated on is scored, and what was trained on is not.
    plain = evaluate.compare("logistic", table, **options)
    assert set(plain.part_scores["part"]) == {"validation", "test"}
    folds = evaluate.compare("logistic", table, n_splits=2, parts=THREE, **QUICK)
    assert folds.part_scores.groupby("part")["n"].first().to_dict() == {"test": 240, "train": 240}
    with pytest.raises(CompareError, match=r"no part 'val'.*validation"):
        evaluate.compare("logistic", table, parts=["val"], **QUICK)


@pytest.mark.parametrize("level", ["cell", "patient"])
def test_models_and_parts_of_an_interrupted_comparison(level, tmp_path, monkeypatch):
    table = datasets.drawn_bags(24, cells=(4, 8), random_state=0) if level == "patient" else cells()
    names = ["table_means"] if level == "patient" else ["logistic", "svc"]
    options = {"level": level, "n_splits": 2, "parts": THREE, "keep_models": True, **QUICK}
    undisturbed = evaluate.compare(names, table, **options)
    keep = tmp_path / "fits"

    def stop(done, total, step):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate.compare(names, table, progress=stop, keep=keep, **options)
    assert len(list(keep.glob("*.hemafeat"))) == 3
    run, ran = _fit.run, []
    monkeypatch.setattr(_fit, "run", lambda task, fits: ran.append(task) or run(task, fits))
    resumed = evaluate.compare(names, table, keep=keep, **options)
    assert len(ran) == 2 * len(undisturbed.models) - 3
    assert not keep.exists()
    pd.testing.assert_frame_equal(resumed.part_scores, undisturbed.part_scores)
    pd.testing.assert_frame_equal(resumed.searches, undisturbed.searches)
    assert {name: len(models) for name, models in resumed.fitted.items()} == dict.fromkeys(
        undisturbed.models, 2
    )
    if level == "cell":
        monkeypatch.undo()
        other = evaluate.compare(names, table, n_jobs=2, **options)
        pd.testing.assert_frame_equal(other.part_scores, undisturbed.part_scores)
        for comparison in (resumed, other):
            for mine, theirs in zip(
                comparison.fitted["svc"], undisturbed.fitted["svc"], strict=True
            ):
                np.testing.assert_array_equal(
                    mine.predict_proba(table), theirs.predict_proba(table)
                )


def test_caps():
    table = cells(n=600, n_groups=60)
    whole = divided(table, "leaky-ufsc")
    plan = divided(table, evaluate.protocol("leaky-ufsc", n_train=50, max_per_class=7))
    ((train, valid, test),) = plan.parts()
    assert set(train) <= set(whole.pairs[0][0])
    assert set(test) <= set(whole.pairs[0][1])
    np.testing.assert_array_equal(valid, whole.validation[0])
    label = table["label"].to_numpy()
    assert sorted(np.unique(label[train], return_counts=True)[1]) == [16, 17, 17]
    assert list(np.unique(label[test], return_counts=True)[1]) == [7, 7, 7]
    assert "of those to train 50 drawn" in plan.sentence
    assert "at most 7 of each class" in plan.sentence
    # A cap above what there is changes nothing, and the seed decides what is drawn.
    same = divided(table, evaluate.protocol("leaky-ufsc", n_train=10**6, max_per_class=10**6))
    np.testing.assert_array_equal(np.sort(same.pairs[0][0]), np.sort(whole.pairs[0][0]))
    assert same.sentence == whole.sentence
    folds = evaluate.protocol("grouped", n_train=9)
    assert all(len(train) == 9 for train, _ in divided(table, folds).pairs)
    assert len({tuple(divided(table, folds, seed=s).pairs[0][0]) for s in (0, 0, 1)}) == 2
    # The points of a learning curve are the same cells.
    curve = evaluate.learning_curve("logistic", table, sizes=[50], n_splits=2, n_boot=20)
    fifty = evaluate.protocol("grouped", n_train=50)
    capped = evaluate.compare("logistic", table, n_splits=2, protocol=fifty, **QUICK)
    value = capped.results.query("fold == 'all' and model == 'logistic' and metric == 'auroc'")
    assert curve.curve("logistic", "auroc")["value"].iloc[0] == value["value"].item()
    for options, words in (
        ({"n_train": 2}, "n_train=2: at least one"),
        ({"max_per_class": 0}, "at least 1"),
    ):
        with pytest.raises(CompareError, match=words):
            divided(table, evaluate.protocol("grouped", **options))


def test_a_hold_out_of_patients():
    table = cells(n=400, n_groups=40)
    table["label"] = np.where(table["patient"].str[1:].astype(int) % 4, "ill", "well")
    plan = divided(table, evaluate.protocol("holdout", seed=3))
    ((train, _, test),) = plan.parts()
    patients = [set(table["patient"].iloc[rows]) for rows in (train, test)]
    assert not plan.leaky
    assert [len(part) for part in patients] == [30, 10]
    assert not patients[0] & patients[1]
    ill = [
        table.iloc[rows].groupby("patient")["label"].first().eq("ill").mean()
        for rows in (train, test)
    ]
    np.testing.assert_allclose(ill, 0.75, atol=0.05)
    assert "whole patients" in plan.sentence
    other = divided(table, evaluate.protocol("holdout", seed=4)).pairs[0][1]
    assert set(other) != set(test)
    three = divided(table, evaluate.protocol("holdout", test=0.2, valid=0.1))
    ids = table["patient"].to_numpy()
    parts = [set(ids[rows]) for rows in three.parts()[0]]
    assert [len(part) for part in parts] == [28, 4, 8]
    assert not any("in the training and in the validation" in note for note in three.notes)
    for options, words in (
        ({"test": 1.5}, "test is a share"),
        ({"valid": "all"}, "valid is a share"),
        ({"test": 0.5, "valid": 0.5}, "leave no groups"),
    ):
        with pytest.raises(CompareError, match=words):
            divided(table, evaluate.protocol("holdout", **options))


def test_the_best_of_a_grid_on_the_part_that_is_scored():
    """As a report chose its models of attributes; it is called what it is."""
    table = datasets.drawn_bags(40, cells=(2, 3), random_state=0)
    models = {"tree": pipelines.attributes_only("tree", grid="report")}
    options = {"level": "patient", **QUICK}
    found = evaluate.compare(models, table, protocol="leaky-lymphocytosis", **options)
    assert found.leaky
    assert "30 to train, 10 to score" in found.protocol
    assert "validated on the patients that are scored" in found.protocol
    assert "parameters of tree selected on the validation part" in found.protocol
    chosen = found.searches.query("model == 'tree'")
    assert set(chosen["selected_on"]) == {"validation"}
    score = found.part_scores.set_index(["model", "part", "metric"])["value"]
    assert chosen["score"].iloc[0] == pytest.approx(score["tree", "test", "balanced_accuracy"])
    assert "estimator" in set(found.searches.query("model == 'metadata'")["parameter"])
    honest = evaluate.compare(models, table, protocol="holdout", **options)
    assert not honest.leaky
    assert set(honest.searches.query("model == 'tree'")["selected_on"]) == {"inner folds"}
    with pytest.raises(CompareError, match=r"holdout.*not by 'leaky-ufsc', which divides"):
        evaluate.compare(models, table, protocol="leaky-ufsc", **options)


def test_the_best_on_validation_is_trained_on_the_training_rows_alone():
    table = cells(n=240)
    search = pipelines.ValidatedSearch(
        pipelines.logistic(), {"model__C": [1e-6, 0.1, 10.0]}, scoring="accuracy"
    )
    found = evaluate.compare({"s": search}, table, protocol="leaky-mids", keep_models=True, **QUICK)
    ((train, valid, _),) = divided(table, "leaky-mids").parts()
    label = table["label"].to_numpy()
    scores = {}
    for C in (1e-6, 0.1, 10.0):
        model = pipelines.logistic(C=C).fit(table.iloc[train], label[train])
        scores[C] = np.mean(model.predict(table.iloc[valid]) == label[valid])
    (fitted,) = found.fitted["s"]
    best = fitted.best_params_["model__C"]
    assert scores[best] == max(scores.values()) == fitted.best_score_
    alone = pipelines.logistic(C=best).fit(table.iloc[train], label[train])
    np.testing.assert_allclose(fitted.predict_proba(table), alone.predict_proba(table))
    row = found.searches.iloc[0]
    assert (row["parameter"], row["value"], row["selected_on"]) == (
        "model__C",
        str(best),
        "validation",
    )


def test_images_need_no_features(images):
    options = {"groups": "patient", "n_splits": 3, **QUICK}
    models = {"bright": Bright()}
    found = evaluate.compare(models, images, **options)
    assert len(found.predictions.query("model == 'bright'")) == len(images)
    assert found.ranked() == ["bright"]
    assert found.importances.empty
    # The images are told apart by the names of their files, wherever these lie.
    moved = [path.replace(".png", "") for path in images["image"]]
    elsewhere = images.assign(image=[f"there/{path[-2:]}.png" for path in moved])
    assert evaluate.compare("baseline", elsewhere, **options).fingerprint != found.fingerprint
    elsewhere["image"] = "there/" + images["image"].str.split("/").str[-1]
    assert evaluate.compare("baseline", elsewhere, **options).fingerprint == found.fingerprint
    unscaled = images.drop(columns="um_per_px")
    for asked in ("logistic", {**models, "svc": pipelines.svc()}):
        with pytest.raises(CompareError, match="no feature columns"):
            evaluate.compare(asked, unscaled, **options)


def test_patients_of_images_need_no_features(images):
    table = images.iloc[:48].assign(age=40.0)
    models = {"bright": BrightPatient(), "attributes": pipelines.attributes_only("tree")}
    found = evaluate.compare(
        models, table.drop(columns="um_per_px"), level="patient", n_splits=2, n_boot=20
    )
    assert len(found.predictions.query("model == 'bright'")) == 12
    accuracy = found.results.query("model == 'bright' and fold == 'all' and metric == 'accuracy'")
    assert accuracy["value"].item() == 1
    with pytest.raises(CompareError, match="no feature columns"):
        evaluate.compare(
            "table_means", table.drop(columns="um_per_px"), level="patient", n_splits=2
        )


def test_copies_are_known_without_features(images):
    plan = divided(images, "duplicates", groups=None)
    assert "49 cells of 48 different images" in plan.sentence
    for _, test in plan.pairs:
        assert (0 in test) == (48 in test)


def test_models_of_images_beside_models_of_features(images):
    table = images.drop(columns="um_per_px").iloc[:48]
    table = table.assign(cell__shape__area=np.arange(48.0) % 2)
    # Two images of one patient, and so of one fold.
    table.loc[[3, 15], "cell__shape__area"] = np.nan
    models = {"bright": Bright(), "logistic": pipelines.logistic()}
    options = {"groups": "patient", "n_splits": 3}
    found = evaluate.compare(models, table, **options, **QUICK)
    rows = found.predictions.groupby("model")["row"].agg(set)
    assert rows["bright"] == rows["logistic"] == set(range(48)) - {3, 15}
    assert sum(len(trained) for trained, _ in FITS) == 2 * 48
    n = found.part_scores.groupby(["model", "part"])["n"].first()
    assert n["bright", "every image"] == 48
    assert n["bright", "test"] == n["logistic", "test"] == 46
    assert ("logistic", "every image") not in n
    (note,) = found.errors["message"]
    assert "no cell was measured in 2 of 48 images, from which only bright can learn" in note
    # Alone it is scored on every image, also where there is a column of features.
    alone = evaluate.compare({"bright": Bright()}, table, **options, **QUICK)
    assert len(alone.predictions.query("model == 'bright'")) == 48
    pooled = alone.results.query("model == 'bright' and fold == 'all'")
    value = pooled.set_index("metric")["value"]["accuracy"]
    scores = found.part_scores.set_index(["model", "part", "metric"])["value"]
    assert scores["bright", "every image", "accuracy"] == value
    curve = evaluate.learning_curve(models, table, **options, sizes=[8], n_boot=20)
    assert set(curve.models) == set(models)


@pytest.mark.networks
def test_a_network_is_trained_once_and_kept(images, tmp_path, monkeypatch):
    pytest.importorskip("keras", minversion="3", reason="the extra 'deep' is not installed")
    from hemafeat import networks

    options = {"size": 32, "epochs": 1, "batch_size": 16, "augment": False, "progress": False}
    rgb = pipelines.NetworkClassifier("lenet5", **options)
    hsv = clone(rgb).set_params(colour="hsv")
    models = {
        "mean": pipelines.average({"rgb": clone(rgb), "hsv": clone(hsv)}),
        "rgb": rgb,
        "hsv": hsv,
    }
    fit, held = networks.fit_images, []

    def counting(*args, **params):
        held.append(int(params["held_back"].sum()))
        return fit(*args, **params)

    monkeypatch.setattr(networks, "fit_images", counting)
    table = images.assign(split=np.array(["train", "train", "val", "test"])[np.arange(49) // 2 % 4])
    n_valid = int((table["split"] == "val").sum())

    def compared(progress=None):
        return evaluate.compare(
            models,
            table,
            groups="patient",
            protocol="official",
            parts=THREE,
            keep_models=True,
            keep=tmp_path / "fits",
            progress=progress,
            **QUICK,
        )

    def stop(done, total, step):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compared(stop)
    assert held == [n_valid, n_valid]
    found = compared()
    # The fits of images that have not changed are taken from the folder.
    assert held == [n_valid, n_valid]
    (fitted,) = found.fitted["rgb"]
    assert list(fitted.history_["val_loss"]) == [fitted.history_["val_loss"].iloc[0]]
    assert not fitted.held_back_.any()
    n = found.part_scores.groupby(["model", "part"])["n"].first()["rgb"]
    assert n.to_dict() == table["split"].replace("val", "validation").value_counts().to_dict()
    test = found.predictions.query("model == 'mean'")
    parts = dict(list(found.predictions.groupby("model")["p__dark"]))
    both = [parts[name].to_numpy() for name in ("rgb", "hsv")]
    np.testing.assert_allclose(test["p__dark"], np.mean(both, axis=0), atol=1e-6)


def test_the_table_of_protocols_says_which_divide_patients():
    assert [name for name, row in PROTOCOLS.items() if row.patients] == [
        *("grouped", "patient", "holdout", "official", "leaky-lymphocytosis")
    ]
