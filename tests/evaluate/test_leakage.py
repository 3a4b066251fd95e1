"""The same models under two protocols: planted optimism is found, and none where nothing leaks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hemafeat import datasets, evaluate, extract, images
from hemafeat.evaluate import CompareError
from support.made_cells import cells, memorised


def gap(found, model="logistic", metric="balanced_accuracy"):
    here = found.differences.query("model == @model and metric == @metric")
    return here[["difference", "low", "high"]].to_numpy()[0]


def test_planted_optimism():
    found = evaluate.leakage(["logistic", "svc"], memorised(), n_boot=200)
    for model in ("logistic", "svc"):
        value, low, high = gap(found, model)
        # Lines cannot hold two dozen patients apart; support vectors can.
        assert low > (0.2 if model == "svc" else 0)
        assert low <= value <= high
    # Folds of whole patients are less even than those of images, with scikit-learn 1.6 most of all,
    # and a constant loses by that.
    _, low, high = gap(found, "baseline")
    assert low <= 0.1
    assert high >= 0
    # The difference is that of the two pooled scores, and its sign that of a leaky score.
    scores = {
        name: side.results.query("model == 'svc' and fold == 'all' and metric == 'accuracy'")
        for name, side in found.comparisons.items()
    }
    expected = scores["image-random"]["value"].item() - scores["grouped"]["value"].item()
    assert gap(found, "svc", "accuracy")[0] == pytest.approx(expected)
    assert not found.honest.leaky
    assert found.comparisons["image-random"].leaky
    assert set(found.results["leaky"]) == {True, False}
    assert found.differences["leaky"].all()
    assert set(found.differences["protocol"]) == {"image-random (leaky)"}
    assert "LEAKY, 24 of 24 patients are on both sides" in found.protocol
    text = found.summary()
    assert text.columns[-1] == "image-random (leaky) minus grouped"
    assert text.loc["svc"].iloc[-1].startswith("+0.")


def test_interval_by_hand():
    """The interval is that of drawing patients anew, both sides at once."""
    table = memorised(n=120, n_groups=12)
    found = evaluate.leakage("logistic", table, n_boot=400, n_splits=3)
    sides = []
    for name in ("image-random", "grouped"):
        part = found.comparisons[name].predictions.query("model == 'logistic'")
        sides.append(
            (part["truth"] == part["predicted"]).groupby(part["group"]).agg(["sum", "size"])
        )
    rng = np.random.default_rng(99)
    drawn = rng.multinomial(12, np.full(12, 1 / 12), size=4000)
    rates = [drawn @ side["sum"].to_numpy() / (drawn @ side["size"].to_numpy()) for side in sides]
    low, high = np.quantile(rates[0] - rates[1], [0.025, 0.975])
    value = gap(found, metric="accuracy")
    # Quantiles of 400 and 4,000 draws: a few points apart.
    assert value[1:] == pytest.approx([low, high], abs=0.05)


def test_no_optimism_where_nothing_leaks():
    """Patients carry nothing: what is on both sides does not matter."""
    table = cells(n=600, n_groups=60, signal=1.0)
    found = evaluate.leakage("logistic", table, n_boot=300, repeats=3)
    value, low, high = gap(found)
    assert low <= 0 <= high
    assert abs(value) < 0.03
    assert sorted(set(found.results["seed"])) == [0, 1, 2]
    assert set(found.differences["repeats"]) == {3}
    assert "means over 3 divisions" in found.protocol


def test_other_protocols():
    table = memorised()
    names = ("grouped", "image-random", "leaky-mids", "duplicates")
    found = evaluate.leakage("logistic", table, protocols=names, n_boot=50)
    assert list(found.comparisons) == list(names)
    assert len(found.differences) == 3 * 2 * 7
    assert found.differences.query("protocol == 'leaky-mids'")["leaky"].all()
    with pytest.raises(CompareError, match="two or more different protocols"):
        evaluate.leakage("logistic", table, protocols=["grouped"])
    with pytest.raises(CompareError, match="two or more different protocols"):
        evaluate.leakage("logistic", table, protocols=["grouped", "grouped"])
    with pytest.raises(CompareError, match="repeats"):
        evaluate.leakage("logistic", table, repeats=0)


@pytest.mark.slow_without_jit
def test_drawn_patients_in_the_layout_of_cnmc(tmp_path):
    """One kind of cell; half the patients are called ill, and only their stain tells who."""
    kinds = ["lymphocyte"]
    drawn = datasets.drawn(tmp_path / "drawn", 96, kinds=kinds, n_patients=12, size=96)
    names = sorted(set(drawn["patient"]))
    for place, (image, patient) in enumerate(zip(drawn["image"], drawn["patient"], strict=True)):
        ill = names.index(patient) % 2
        number = names.index(patient) + 1
        subject = f"{number}" if ill else f"H{number}"
        kind = "all" if ill else "hem"
        folder = tmp_path / "cnmc" / "C-NMC_training_data" / f"fold_{number % 3}" / kind
        folder.mkdir(parents=True, exist_ok=True)

        bgr = cv2.cvtColor(images.read(image), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / f"UID_{subject}_{place + 1}_1_{kind}.bmp"), bgr)
    listed = datasets.cnmc(tmp_path / "cnmc")
    assert listed["patient"].nunique() == len(names)
    table = extract.table(listed, families=["colour", "density"], n_jobs=1, progress=False)
    found = evaluate.leakage("logistic", table, n_boot=200, n_splits=3)
    _, low, _ = gap(found)
    assert low > 0.1
    honest = found.honest.results.query("model == 'logistic' and fold == 'all'")
    chance = honest.set_index("metric").loc["balanced_accuracy"]
    # Nothing but the patient tells: a new patient is a guess.
    assert chance["low"] < 0.5
