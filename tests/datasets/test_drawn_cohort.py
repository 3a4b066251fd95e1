"""Drawn cohorts: what was planted is there, and nothing else."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets
from hemafeat.datasets._drawn.cohort_plan import CohortPlan, patients

SMALL = {"n_patients": 6, "size": 64, "cells": (3, 6), "test": 0.34}


def plan(**changed):
    base = {
        "n_patients": 400,
        "ill": 0.5,
        "abnormal": (0.1, 0.4),
        "cells": (20, 100),
        "attribute_signal": 0.0,
        "leak_size": 0.0,
        "leak_format": 0.0,
        "leak_stain": 0.0,
        "test": 0.25,
        "random_state": 3,
    }
    return patients(CohortPlan(**(base | changed)))


def auroc(values, ill):
    above = values[ill][:, None] - values[~ill]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


FACTS = {
    "leak_size": lambda t: t["n_cells"],
    "leak_format": lambda t: -t["dob"].str.contains("-").astype(int),
    "leak_stain": lambda t: t["stained"].astype(int),
    "attribute_signal": lambda t: t["lymphocyte_count"],
}


@pytest.mark.parametrize("name", FACTS)
def test_only_what_was_planted_tells_the_label(name):
    for planted in (None, name):
        table = plan(**({} if planted is None else {planted: 1.0}))
        ill = (table["label"] == "malignant").to_numpy()
        measured = {key: auroc(fact(table).to_numpy(), ill) for key, fact in FACTS.items()}
        # With 200 patients per label, the area has a standard error of .029 by chance.
        assert all(abs(v - 0.5) < 0.09 for key, v in measured.items() if key != planted), measured
        assert planted is None or measured[planted] > 0.75


def test_shares_of_abnormal_cells_are_those_asked_for():
    table = plan()
    measured = table.groupby("label")["abnormal_share"].mean()
    assert measured["reactive"] == pytest.approx(0.1, abs=0.02)
    assert measured["malignant"] == pytest.approx(0.4, abs=0.03)
    assert set(plan(abnormal=(0.0, 1.0))["abnormal_share"]) == {0.0, 1.0}
    assert table.groupby("label")["split"].apply(lambda s: (s == "test").mean()).tolist() == [
        0.25,
        0.25,
    ]


def test_feature_tables_hold_what_was_planted():
    table = datasets.drawn_bags(60, n_features=5, n_informative=2, effect=3.0, random_state=2)
    names = list(table.filter(like="__f0"))
    table["sick"] = table["abnormal"].astype(float)
    own = table[[*names, "sick"]] - table.groupby("patient")[[*names, "sick"]].transform("mean")
    # Within patients, the regression coefficient of the abnormal cells is the effect.
    slope = own[names].mul(own["sick"], axis=0).sum() / (own["sick"] ** 2).sum()
    np.testing.assert_allclose(slope, [3.0, 3.0, 0.0, 0.0, 0.0], atol=0.15)
    table = table.drop(columns="sick")
    sizes = table["patient"].value_counts()
    assert sizes.between(20, 60).all()
    pd.testing.assert_frame_equal(
        table, datasets.drawn_bags(60, n_features=5, n_informative=2, effect=3.0, random_state=2)
    )


def test_the_folder_has_the_public_layout(tmp_path):
    table = datasets.drawn_cohort(tmp_path / "c", **SMALL)
    clinical = pd.read_csv(tmp_path / "c" / "clinical_annotation.csv")
    assert list(clinical.columns) == ["Unnamed: 0", "ID", "LABEL", "GENDER", "DOB", "LYMPH_COUNT"]
    assert len(clinical) == 6
    train = pd.read_csv(tmp_path / "c" / "trainset" / "trainset_true.csv")
    assert list(train.columns) == ["ID", "LABEL", "GENDER", "DOB", "LYMPH_COUNT"]
    assert set(train["LABEL"]) == {0, 1}
    test = pd.read_csv(tmp_path / "c" / "testset" / "testset_data.csv")
    assert set(test["LABEL"]) == {-1}
    for part, names in (("train", train["ID"]), ("test", test["ID"])):
        assert set(names) == set(table.loc[table["split"] == part, "patient"])
        for name in names:
            files = sorted((tmp_path / "c" / f"{part}set" / name).iterdir())
            assert [f.name for f in files] == [f"{i:06d}.jpg" for i in range(len(files))]
    truth = pd.read_csv(tmp_path / "c" / "truth.csv").set_index("patient")
    assert table["patient"].value_counts().to_dict() == truth["n_cells"].to_dict()
    assert set(train.set_index("ID")["LABEL"].map({0: "reactive", 1: "malignant"}).items()) <= set(
        truth["label"].items()
    )
    assert cv2.imread(table["image"].iloc[0]).shape == (64, 64, 3)


def test_a_patient_does_not_depend_on_the_others(tmp_path):
    few = {**SMALL, "test": 0.0, "n_patients": 2}
    first = datasets.drawn_cohort(tmp_path / "1", **few, n_jobs=1)
    second = datasets.drawn_cohort(tmp_path / "2", **few, n_jobs=3)
    for a, b in zip(first["image"], second["image"], strict=True):
        np.testing.assert_array_equal(cv2.imread(a), cv2.imread(b))
    pd.testing.assert_frame_equal(datasets.drawn_cohort(tmp_path / "1", **few), first)
    with pytest.raises(FileExistsError, match="n_patients"):
        datasets.drawn_cohort(tmp_path / "1", **{**few, "n_patients": 3})


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_patients": 1}, "n_patients"),
        ({"abnormal": (0.1, 1.4)}, "abnormal"),
        ({"cells": (5, 2)}, "cells"),
        ({"leak_size": 2}, "leak_size"),
        ({"ill": 0}, "ill"),
    ],
)
def test_numbers_out_of_range_are_refused(kwargs, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        datasets.drawn_bags(**kwargs)
    with pytest.raises(ValueError, match=message):
        datasets.drawn_cohort(tmp_path / "c", **kwargs)
    assert not (tmp_path / "c").exists()
