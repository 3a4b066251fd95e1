"""Every pipeline is an ordinary scikit-learn estimator, and passes the same tests."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GroupKFold, RandomizedSearchCV, cross_validate
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from hemafeat import pipelines

NAMES = pipelines.names()
SMALL = {
    "random_forest": {"n_estimators": 20},
    "xgboost": {"n_estimators": 10},
    "soft_vote": {"n_rounds": 10, "n_trees": 10},
}


def small(name):
    """Make a pipeline with few trees."""
    return pipelines.make(name, **SMALL.get(name, {}))


@pytest.fixture(scope="module")
def table():
    """Make three types of cells; platelets have no nucleus, one column is constant, one empty."""
    X, y = make_classification(120, 18, n_informative=8, n_classes=3, class_sep=2.5, random_state=3)
    names = [f"{m}__shape__f{j}" for m in ("nucleus", "cytoplasm", "cell") for j in range(6)]
    frame = pd.DataFrame(X, columns=names)
    kinds = np.array(["lymphocyte", "monocyte", "platelet"])[y]
    frame.loc[kinds == "platelet", names[:6]] = np.nan
    frame["cell__colour__constant"] = 7.0
    frame["cell__colour__empty"] = np.nan
    frame.insert(0, "image", [f"{i:03d}.png" for i in range(120)])
    frame.insert(1, "label", kinds)
    frame.insert(2, "group", np.arange(120) // 4)
    frame.insert(3, "quality__focus", y * 100.0)
    return frame


def test_names_and_make():
    assert NAMES[0] == "baseline"
    assert {"logistic", "random_forest", "svc", "xgboost", "ldsvm", "soft_vote"} <= set(NAMES)
    with pytest.raises(ValueError, match=r"no pipeline 'svm'.*svc"):
        pipelines.make("svm")
    with pytest.raises(ValueError, match="no pipeline"):
        pipelines.search_space("svm")


@pytest.mark.parametrize("name", NAMES)
def test_fits_the_whole_table(name, table):
    model = small(name)
    copy = clone(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(table, table["label"])
        predicted = model.predict(table)
        chances = model.predict_proba(table)
    assert not hasattr(copy, "classes_")
    assert list(model.classes_) == ["lymphocyte", "monocyte", "platelet"]
    assert set(predicted) <= set(model.classes_)
    assert chances.shape == (120, 3)
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-12)
    if name != "baseline":
        assert (predicted == table["label"]).mean() > 0.9
        np.testing.assert_array_equal(predicted, model.classes_[chances.argmax(axis=1)])


@pytest.mark.parametrize("name", NAMES)
def test_sees_features_only(name, table):
    """A quality column reveals the label; changing it must not change any prediction."""
    model = small(name).fit(table, table["label"])
    features = [c for c in table if c.count("__") == 2]
    assert list(model[0].feature_names_in_) == features
    other = table[[*features[::-1], "quality__focus"]].assign(quality__focus=0.0, extra="x")
    np.testing.assert_array_equal(model.predict_proba(other), model.predict_proba(table))
    np.testing.assert_array_equal(
        small(name).fit(table[features], table["label"]).predict_proba(table),
        model.predict_proba(table),
    )


@pytest.mark.parametrize("name", NAMES)
def test_same_input_same_output(name, table):
    first, second = (small(name).fit(table, table["label"]) for _ in range(2))
    np.testing.assert_array_equal(first.predict_proba(table), second.predict_proba(table))


@pytest.mark.parametrize("name", ["random_forest", "xgboost"])
def test_threads_do_not_change_it(name, table):
    single = small(name).fit(table, table["label"])
    threaded = small(name).set_params(model__n_jobs=2).fit(table, table["label"])
    np.testing.assert_array_equal(single.predict_proba(table), threaded.predict_proba(table))


@pytest.mark.parametrize("name", NAMES)
def test_search_space_fits(name, table):
    search = RandomizedSearchCV(
        small(name),
        pipelines.search_space(name),
        n_iter=1,
        cv=2,
        random_state=1,
        error_score="raise",
    )
    trees = [key for key in search.param_distributions if key.endswith("n_estimators")]
    for key in trees:
        search.param_distributions[key] = [5]
    search.fit(table, table["label"])
    assert set(search.best_params_) == set(pipelines.search_space(name))
    for key, values in pipelines.search_space(name).items():
        for value in values:
            clone(search.estimator).set_params(**{key: value})


@pytest.mark.parametrize("name", ["logistic", "svc", "xgboost"])
def test_cross_validate_with_groups(name, table):
    found = cross_validate(
        small(name),
        table,
        table["label"],
        groups=table["group"],
        cv=GroupKFold(3),
        error_score="raise",
    )
    assert found["test_score"].mean() > 0.7


@pytest.mark.parametrize("name", ["logistic", "svc", "ldsvm"])
def test_names_of_the_steps_and_set_output(name, table):
    model = small(name).set_output(transform="pandas").fit(table, table["label"])
    for last in range(1, len(model)):
        out = model[:last].transform(table)
        assert list(out.columns) == list(model[:last].get_feature_names_out())
    out = model[:3].transform(table)
    assert list(model.named_steps)[:3] == ["columns", "fill", "scale"]
    assert "missing__nucleus__shape__f0" in out
    assert "cell__colour__constant" not in out
    assert not out.isna().any(axis=None)


def test_ldsvm_switches(table):
    hard = pipelines.ldsvm(voting="hard").fit(table, table["label"])
    assert (hard.predict(table) == table["label"]).mean() > 0.9
    assert not hasattr(hard, "predict_proba")
    assert "pca" in pipelines.ldsvm(pca=True).named_steps
    pytest.importorskip("imblearn")
    few = table.drop(table.index[table["label"] == "monocyte"][:30])
    even = pipelines.ldsvm(smote=True, pca=True).fit(few, few["label"])
    assert (even.predict(few) == few["label"]).mean() > 0.9
    # The synthetic cells are made in fit only.
    assert len(even.predict(few)) == len(few)


def test_smote_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "imblearn.over_sampling", None)
    with pytest.raises(ImportError, match=r'install .*"?imbalanced-learn'):
        pipelines.ldsvm(smote=True)


def test_missing_and_wrong_columns(table):
    model = pipelines.logistic().fit(table, table["label"])
    with pytest.raises(ValueError, match="lacks 2 columns: cell__shape__f0, cell__shape__f1"):
        model.predict(table.drop(columns=["cell__shape__f0", "cell__shape__f1"]))
    with pytest.raises(ValueError, match="infinite values in cell__shape__f0"):
        model.predict(table.assign(cell__shape__f0=np.inf))
    with pytest.raises(ValueError, match="not numbers: cell__shape__f0"):
        model.predict(table.assign(cell__shape__f0="x"))
    with pytest.raises(ValueError, match="columns='all'"):
        pipelines.logistic().fit(table[["quality__focus"]], table["label"])
    other = table[["quality__focus"]]
    assert pipelines.svc().set_params(columns__columns="all").fit(other, table["label"])


def test_nullable_columns(table):
    """A table with nullable types holds NA instead of NaN."""
    features = [c for c in table if c.count("__") == 2]
    nullable = table[features].astype("Float64")
    assert nullable["nucleus__shape__f0"].isna().any()
    a = pipelines.svc().fit(table, table["label"]).predict_proba(table)
    b = pipelines.svc().fit(nullable, table["label"]).predict_proba(nullable)
    np.testing.assert_array_equal(a, b)


def test_fill_missing_is_the_median_with_shared_flags():
    nan = np.nan
    X = np.array([[1, 5, nan, nan, 2], [3, 5, 4, 6, nan], [8, 5, 2, 1, 0], [2, 5, nan, nan, 9]])
    out = pipelines.FillMissing().fit(X).transform(X)
    expected = SimpleImputer(strategy="median").fit_transform(X)[:, [0, 2, 3, 4]]
    np.testing.assert_array_equal(out[:, :4], expected)
    # Columns 2 and 3 are missing together: one flag; column 4: another; column 1 never varies.
    np.testing.assert_array_equal(out[:, 4:], [[1, 0], [0, 1], [0, 0], [1, 0]])
    new = pipelines.FillMissing(flags=False).fit(X).transform(np.full((1, 5), nan))
    np.testing.assert_array_equal(new, [[2.5, 3, 3.5, 2]])


def test_many_columns_are_filled_and_scaled_as_few():
    rng = np.random.default_rng(0)
    X = rng.lognormal(size=(40, 201)) + 100
    X[:, ::7] = 3.0
    X[::3, 10:20] = X[::3, 150:160] = np.nan
    X[::4, 200] = np.nan
    for order in "CF":
        values = np.array(X, order=order)
        filler = pipelines.FillMissing()
        filled = filler.fit_transform(values)
        varies = [j for j in range(201) if j % 7]
        expected = SimpleImputer(strategy="median").fit_transform(X)[:, varies]
        np.testing.assert_array_equal(filled[:, :-2], expected)
        # Columns that are missing in the same rows share a flag, however far they are apart.
        assert filler.flagged_.tolist() == [10, 200]
        np.testing.assert_array_equal(filled[:, -2:], np.isnan(X[:, [10, 200]]))
        np.testing.assert_array_equal(values, X)
        scaler = pipelines.ClippedScaler(limit=2).fit(filled)
        theirs = StandardScaler().fit_transform(filled).clip(-2, 2)
        before = filled.copy()
        np.testing.assert_allclose(scaler.transform(filled), theirs, atol=1e-12)
        np.testing.assert_array_equal(filled, before)
        assert scaler.overwrite(filled) is filled
        np.testing.assert_array_equal(filled, scaler.transform(before))


def test_a_whole_table_is_selected_without_a_copy_and_cannot_be_written_to():
    table = pd.DataFrame(np.arange(12.0).reshape(4, 3), columns=[f"cell__a__{j}" for j in range(3)])
    step = pipelines.FeatureColumns().fit(table)
    values = step.transform(table)
    assert np.shares_memory(values, table.to_numpy())
    assert not values.flags.writeable
    other = step.transform(table[table.columns[::-1]])
    np.testing.assert_array_equal(other, values)


def test_fill_missing_without_any_value():
    out = pipelines.FillMissing().fit(np.full((3, 2), np.nan)).transform(np.full((2, 2), np.nan))
    np.testing.assert_array_equal(out, np.zeros((2, 1)))


def test_clipped_scaler_is_the_standard_scaler_within_its_limit():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(5, 2, 50), rng.lognormal(0, 3, 50), np.full(50, 0.1)])
    ours = pipelines.ClippedScaler(limit=2).fit(X).transform(X)
    np.testing.assert_allclose(ours, StandardScaler().fit_transform(X).clip(-2, 2), atol=1e-12)
    assert ours.max() == 2


@pytest.mark.parametrize("power", [0.0, 0.25, 1.0])
def test_partial_whitening_scales_the_principal_axes(power):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 6)) @ rng.normal(size=(6, 9))
    ours = pipelines.PartialWhitening(power=power, n_components=5).fit(X)
    axes = PCA(5, svd_solver="full").fit(X)
    variance = axes.explained_variance_
    np.testing.assert_allclose(
        ours.transform(X), axes.transform(X) / variance ** (power / 2), rtol=1e-9
    )
    np.testing.assert_allclose(
        np.cov(ours.transform(X).T), np.diag(variance ** (1 - power)), atol=1e-9
    )


def test_partial_whitening_leaves_out_axes_without_variance():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3)) @ rng.normal(size=(3, 9))
    assert pipelines.PartialWhitening().fit_transform(X).shape == (80, 3)
    alike = np.ones((5, 4))
    assert np.isfinite(pipelines.PartialWhitening().fit_transform(alike)).all()


def test_a_plain_machine_is_that_of_scikit_learn(table):
    """Standardised columns and a radial kernel, nothing else."""
    features = table.filter(like="cell__shape__")
    X, y = features.assign(label=table["label"]), table["label"]
    plain = pipelines.svc(plain=True, C=1.0, class_weight=None).fit(X, y)
    assert list(plain.named_steps) == ["columns", "fill", "scale", "model"]
    scaled = StandardScaler().fit_transform(
        SimpleImputer(strategy="median").fit_transform(features)
    )
    machine = SVC(C=1.0, decision_function_shape="ovo").fit(scaled, y)
    np.testing.assert_allclose(
        plain["model"].svc_.decision_function(scaled), machine.decision_function(scaled), atol=1e-8
    )
    assert (plain.predict(X) == machine.predict(scaled)).mean() > 0.95


def test_support_vectors_may_be_wider():
    X, y = make_classification(120, 8, n_informative=6, n_classes=3, random_state=0)
    ours = pipelines.SupportVectors(widen=4.0).fit(X, y)
    same = pipelines.SupportVectors(gamma=0.25 / (8 * X.var())).fit(X, y)
    np.testing.assert_array_equal(ours.predict_proba(X), same.predict_proba(X))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_support_vectors_agree_with_sklearn(n_classes):
    """The machine is the same: labels agree wherever one class clearly wins against all others."""
    X, y = make_classification(
        200, 8, n_informative=6, n_classes=n_classes, class_sep=1.5, random_state=0
    )
    ours = pipelines.SupportVectors(C=10).fit(X, y)
    theirs = SVC(C=10, class_weight="balanced", decision_function_shape="ovo").fit(X, y)
    chances = ours.predict_proba(X)
    if n_classes == 2:
        np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
        # For two classes the probability is the logistic function of the decision value.
        d = theirs.decision_function(X)
        np.testing.assert_allclose(chances[:, 1], 1 / (1 + np.exp(-ours.slope * d)), rtol=1e-9)
    else:
        clear = chances.max(axis=1) > 0.8
        assert clear.mean() > 0.5
        np.testing.assert_array_equal(ours.predict(X)[clear], theirs.predict(X)[clear])


def test_boosted_trees_match_xgboost():
    import xgboost

    X, y = make_classification(150, 6, n_informative=5, n_redundant=0, n_classes=3, random_state=0)
    names = np.array(["b", "c", "a"])
    params = {"n_estimators": 8, "max_depth": 3, "learning_rate": 0.3}
    shared = {"subsample": 1.0, "colsample_bytree": 1.0, "max_bin": 256}
    ours = pipelines.BoostedTrees(**params, **shared, class_weight=None).fit(X, names[y])
    codes = np.searchsorted(["a", "b", "c"], names[y])
    theirs = xgboost.XGBClassifier(**params, **shared, tree_method="hist", random_state=0)
    theirs.fit(X.astype(np.float32), codes)
    np.testing.assert_allclose(
        ours.predict_proba(X), theirs.predict_proba(X.astype(np.float32)), rtol=1e-6
    )
    assert ours.feature_importances_.sum() == pytest.approx(1)


def test_boosted_trees_balance_inside_fit():
    rng = np.random.default_rng(0)
    y = np.repeat(["common", "rare"], [190, 10])
    X = rng.normal(size=(200, 2)) + (y == "rare")[:, None] * 1.0
    plain = pipelines.BoostedTrees(n_estimators=20, max_depth=2, class_weight=None).fit(X, y)
    even = pipelines.BoostedTrees(n_estimators=20, max_depth=2).fit(X, y)
    assert (even.predict(X) == "rare").sum() > (plain.predict(X) == "rare").sum()
    with pytest.raises(ValueError, match="only one class"):
        pipelines.BoostedTrees().fit(X, np.full(200, "rare"))


def test_metadata_only_reads_numbers_and_words():
    age = np.tile([30.0, np.nan, 70.0, 71.0], 20)
    frame = pd.DataFrame({"age": age, "sex": np.tile(["f", "m", "m", "f"], 20)})
    y = np.tile(["a", "a", "b", "b"], 20)
    model = pipelines.metadata_only(n_estimators=20).fit(frame, y)
    assert (model.predict(frame) == y).all()
    assert model.predict(frame.assign(sex="unknown")).shape == (80,)


def _known_failures(estimator):
    if isinstance(estimator, pipelines.SupportVectors):
        why = "gamma='scale' is the variance of the rows, not of the weighted rows"
        return {"check_sample_weight_equivalence_on_dense_data": why}
    return {}


@parametrize_with_checks(
    [
        pipelines.FillMissing(),
        pipelines.ClippedScaler(),
        pipelines.PartialWhitening(),
        pipelines.FeatureColumns(columns="all"),
        pipelines.SupportVectors(class_weight=None),
        pipelines.BoostedTrees(n_estimators=5, class_weight=None, subsample=1, colsample_bytree=1),
    ],
    expected_failed_checks=_known_failures,
)
def test_sklearn_checks(estimator, check):
    check(estimator)


def weighted_cells():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(60, 4)), columns=[f"cell__shape__f{j}" for j in range(4)])
    table.iloc[:, 0] += np.repeat([0.0, 3.0, 6.0], 20)
    return table, np.repeat(list("abc"), 20)


@pytest.mark.parametrize("name", pipelines.names())
def test_a_class_of_weight_zero_is_left_out_or_named(name):
    """Neither an error from the depths nor predictions of the class that weighs nothing."""
    table, label = weighted_cells()
    weights = np.where(label == "c", 0.0, 1.0)
    model = pipelines.make(name)
    if name in ("baseline", "svc", "xgboost"):
        model.fit(table, label, model__sample_weight=weights)
        assert model.classes_.tolist() == ["a", "b", "c"]
        chance = model.predict_proba(table)
        assert (chance[:, 2] < chance[:, :2].max(axis=1)).all()
        assert set(model.predict(table)) <= {"a", "b"}
    else:
        with pytest.raises(ValueError, match="no row of class c has a positive weight"):
            model.fit(table, label, model__sample_weight=weights)


@pytest.mark.parametrize("name", [*pipelines.names(), "stack"])
@pytest.mark.parametrize(
    "of",
    [
        list,
        lambda y: pd.Series(y, dtype=object),
        lambda y: pd.Series(y, dtype="string"),
        lambda y: [None if label is np.nan else label for label in y],
        lambda y: pd.Series([{"a": 1, "b": 2}.get(label) for label in y], dtype="Int64"),
    ],
)
def test_labels_that_are_missing_are_refused(name, of):
    table, label = weighted_cells()
    label = [np.nan if name == "c" else str(name) for name in label]
    model = pipelines.stack(["logistic", "svc"]) if name == "stack" else pipelines.make(name)
    with pytest.raises(ValueError, match="20 of 60 labels are missing: leave their rows out"):
        model.fit(table, of(label))


def test_support_vectors_of_the_classes_that_weigh_something():
    table, label = weighted_cells()
    rest = label != "b"
    weights = rest.astype(float)
    model = pipelines.SupportVectors().fit(table.to_numpy(), label, sample_weight=weights)
    alone = pipelines.SupportVectors().fit(table[rest].to_numpy(), label[rest])
    chance = model.predict_proba(table.to_numpy())
    np.testing.assert_allclose(chance[:, [0, 2]], alone.predict_proba(table.to_numpy()))
    assert (chance[:, 1] == 0).all()


@pytest.mark.parametrize("name", pipelines.names())
@pytest.mark.parametrize(
    ("weight", "reason"),
    [(np.nan, "missing or infinite"), (-1.0, "negative"), (np.inf, "missing or infinite")],
)
def test_weights_that_are_none_are_refused(name, weight, reason):
    table, label = weighted_cells()
    weights = np.where(np.arange(60) == 7, weight, 1.0)
    with pytest.raises(ValueError, match=f"sample_weight holds {reason}"):
        pipelines.make(name).fit(table, label, model__sample_weight=weights)


@pytest.mark.parametrize("name", pipelines.names())
@pytest.mark.parametrize("case", ["constant", "missing", "one of each", "one class", "one row"])
def test_poor_tables(name, case):
    """Either the model is fitted, without a warning, or one sentence says why not."""
    table, label = weighted_cells()
    table, label = {
        "constant": (table * 0 + 1, label),
        "missing": (table * np.nan, label),
        "one of each": (table[::20], label[::20]),
        "one class": (table[:20], label[:20]),
        "one row": (table[:1], label[:1]),
    }[case]
    model = pipelines.make(name)
    if (
        case.startswith("one ")
        and case != "one of each"
        and name not in ("baseline", "random_forest")
    ):
        with pytest.raises(ValueError, match=r"there is only one class in the training rows: a$"):
            model.fit(table, label)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chance = model.fit(table, label).predict_proba(table)
    np.testing.assert_allclose(chance.sum(axis=1), 1.0)
