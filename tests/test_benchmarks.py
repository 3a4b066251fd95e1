"""Every benchmark runs, at its smallest size; what it measures is not looked at here."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hemafeat import extract, pipelines

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_none_is_left_out() -> None:
    there = {path.stem for path in BENCHMARKS.glob("*.py")} - {"__main__"}
    there |= {path.parent.name for path in BENCHMARKS.glob("*/__main__.py")}
    named = {
        "attack",
        "attributes",
        "cross",
        "embedding",
        "families",
        "gpu",
        "install",
        "laboratories",
        "large_images",
        "models",
        "patients",
        "red_cells",
        "scale",
        "segmentation",
        "selective",
        "speed",
        "stability",
        "wrong_labels",
    }
    assert there == named | {
        *("networks", "pictures", "teaching_masks", "train_leukocytes", "train_segmenter"),
        "unchanged",
    }


def test_one_module_runs_recipes_and_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    main = runpy.run_path(str(BENCHMARKS / "__main__.py"))["main"]
    assert main(["list"]) == 0
    assert "ufsc2022" in capsys.readouterr().out
    assert main(["nothing"]) == 2
    said = capsys.readouterr()
    assert "there is no 'nothing'" in said.err
    assert "segmentation, selective, speed, stability, teaching_masks, train_leukocytes" in said.out
    with pytest.raises(SystemExit, match="expected 'cpu' or 'gpu'"):
        main(["--device", "tpu", "list"])


@pytest.mark.slow_without_jit
@pytest.mark.parametrize(("kind", "counted"), [("images", "refused"), ("masks", "refusals")])
def test_attack(kind: str, counted: str, capsys: pytest.CaptureFixture[str]) -> None:
    main = runpy.run_path(str(BENCHMARKS / "attack.py"))["main"]
    main([kind, "--minutes", "0.01", "--random-state", "3"])
    assert re.search(rf"[1-9][\d,]* {counted}", capsys.readouterr().out)


@pytest.mark.slow_without_jit
def test_large_images(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    main = runpy.run_path(str(BENCHMARKS / "large_images.py"))["main"]
    words = ["--areas", "1", "--field", "256", "--segmenter", "contours", "--families", "shape"]
    monkeypatch.setattr(sys, "argv", ["large_images.py", *words])
    main()
    assert re.search(r"\n +16 +1 ", capsys.readouterr().out)


@pytest.mark.parametrize("to", ["random", "similar"])
def test_wrong_labels(to: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"image": [f"{k}.png" for k in range(200)], "cell": 1})
    table["label"] = np.array(["a", "b", "c"])[np.arange(200) % 3]
    for k, label in enumerate("abc"):
        table[f"cell__shape__f{k}"] = rng.normal(size=200) + 6 * (table["label"] == label)
    table.to_csv(tmp_path / "cells.csv", index=False)
    main = runpy.run_path(str(BENCHMARKS / "wrong_labels.py"))["main"]
    main(
        [
            "--table",
            str(tmp_path / "cells.csv"),
            "--models",
            "logistic",
            "--repeats",
            "1",
            "--to",
            to,
        ]
    )
    said = capsys.readouterr().out
    assert "200 cells, 4 wrong labels" in said
    assert re.search(r"recall at precision .5 +1\.0", said)


@pytest.mark.slow_without_jit
def test_segmentation(tmp_path: Path) -> None:
    main = runpy.run_path(str(BENCHMARKS / "segmentation.py"))["main"]
    main(["--out", str(tmp_path / "out"), "--drawn", "1"])
    scores = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert {"drawn cream", "drawn black", "fields white"} <= set(scores["set"])
    assert scores["cell_mean"].notna().all()
    assert list((tmp_path / "out").glob("worst_*.png"))


@pytest.mark.slow_without_jit
def test_attributes(tmp_path: Path) -> None:
    main = runpy.run_path(str(BENCHMARKS / "attributes.py"))["main"]
    few = ["--drawn", "60", "--boot", "5", "--families", "shape", "density"]
    main(["--out", str(tmp_path), "--model", "logistic", *few])
    assert pd.read_csv(tmp_path / "attributes.csv")["macro_f1"].between(0, 1).all()


@pytest.mark.slow_without_jit
def test_cross(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main = runpy.run_path(str(BENCHMARKS / "cross.py"))["main"]
    few = ["--drawn", "16", "--families", "colour", "--boot", "5", "--stains", "grey-world"]
    main(["--out", str(tmp_path), "--model", "logistic", "--jobs", "1", *few])
    table = pd.read_csv(tmp_path / "cross.csv")
    assert len(table) == 6 * 4
    assert not table["leaky"].any()
    assert table.query("stain == 'grey-world'")["difference"].notna().all()
    assert "minus plain" in capsys.readouterr().out


@pytest.mark.slow_without_jit
def test_selective(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    main = runpy.run_path(str(BENCHMARKS / "selective.py"))["main"]
    few = ["--drawn", "40", "--families", "colour", "--boot", "5", "--coverage", "0.8"]
    main(["--out", str(tmp_path), "--models", "logistic", "--jobs", "1", "--align", *few])
    within, across, left_out = (
        pd.read_csv(tmp_path / f"{name}.csv") for name in ("within", "across", "left_out")
    )
    assert within["stated"].tolist() == [0.8]
    assert len(across) == 2 * 2
    assert len(left_out) == 4 + 1
    assert left_out["auc"].between(0, 1).all()
    of_sets = pd.read_csv(tmp_path / "laboratories.csv")
    assert len(of_sets) == 2 * 2
    assert set(of_sets["folds"]) == {"by group", "by dataset"}


@pytest.mark.slow_without_jit
def test_red_cells(tmp_path: Path) -> None:
    main = runpy.run_path(str(BENCHMARKS / "red_cells.py"))["main"]
    main(["--out", str(tmp_path), "--drawn", "4"])
    assert pd.read_csv(tmp_path / "red_cells.csv")["error"].item() < 0.03
    assert len(pd.read_csv(tmp_path / "images.csv")) == 4


@pytest.mark.slow_without_jit
def test_stability(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Outlines do not depend on colours; colours on the outline little, and on the stain much."""
    main = runpy.run_path(str(BENCHMARKS / "stability.py"))["main"]
    few = ["--cells", "16", "--families", "shape", "colour", "--jobs", "1"]
    main(["--out", str(tmp_path), *few])
    assert "default columns are robust" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "stability.csv").set_index("column")
    shape = table.filter(like="__shape__", axis=0)
    assert shape[["stain", "jpeg", "focus"]].min().min() == 1
    assert shape[["stain_shift", "jpeg_shift", "focus_shift"]].max().max() == 0
    area = table.loc["cell__shape__area"]
    assert area["mask_shift"] > 0
    assert area["scale"] > 0.98
    red = table.loc["cell__colour__mean__r"]
    assert red["stain"] < 0.9 * red["mask"]
    assert (tmp_path / "stability.png").stat().st_size > 10_000


def test_agreement_is_that_of_mcgraw_and_wong() -> None:
    """Six subjects of Shrout and Fleiss (1979), judges 1 and 3; sums of squares by hand."""
    agreement = runpy.run_path(str(BENCHMARKS / "stability.py"))["agreement"]
    a, b = np.array([9, 6, 8, 7, 10, 6.0]), np.array([5, 3, 6, 2, 6, 4.0])
    # Twice the rows, since few cells are refused; clipping at percentiles touches no value much.
    a, b = np.tile(a, 40), np.tile(b, 40)
    between = 2 * ((a + b) / 2).var() * len(a) / (len(a) - 1)
    judges = len(a) * ((a.mean() - b.mean()) ** 2) / 2
    rest = ((a - b) / np.sqrt(2)).var() * len(a) / (len(a) - 1)
    expected = (between - rest) / (between + rest + 2 * (judges - rest) / len(a))
    found = agreement(a[:, None], b[:, None])
    assert found == pytest.approx([expected], abs=1e-9)
    assert agreement(a[:, None], a[:, None]) == pytest.approx([1.0])
    assert np.isnan(agreement(np.ones((20, 1)), np.ones((20, 1)))).all()


def test_laboratories() -> None:
    """Of three drawn laboratories of one stain, another is found by every model that works."""
    module = runpy.run_path(str(BENCHMARKS / "laboratories.py"))
    columns, rng = extract.columns(), np.random.default_rng(0)
    centres = 3 * rng.normal(size=(len(module["TYPES"]), len(columns)))

    def laboratory(n: int, stain: float, copies: int) -> pd.DataFrame:
        codes = np.repeat(np.arange(len(centres)), n)
        values = centres[codes] + rng.normal(size=(len(codes), len(columns)))
        table = pd.DataFrame(values + stain, columns=columns).assign(
            label=np.array(module["TYPES"])[codes],
            image=[f"{i}.png" for i in range(len(codes))],
            group=None,
            redrawn=0,
        )
        return pd.concat([table, *[table.assign(redrawn=1)] * copies], ignore_index=True)

    tables = {
        (name, kind): laboratory(12, stain, 1)
        for name, stain in (("pbc_dev", 0.0), ("bccd", 1.0))
        for kind in ("um", "grid")
    }
    found = pd.DataFrame(module["rows"](tables, ["logistic"], 20))
    assert set(found["test"]) == {"bccd", "bccd, kept back"}
    # Vectors of a network are compared only where they were asked for.
    assert len(found) == 2 * 2 * sum("embedding" not in name for name in module["TRAINED"])
    whole = found[found["test"] == "bccd"].set_index("ingredient")
    assert (whole["cells"] == 60).all()  # copies are not scored
    assert whole.loc["grid + aligned", "balanced"] == 1
    assert (whole["low"] <= whole["balanced"]).all()


@pytest.mark.filterwarnings("ignore:columns of:UserWarning")
def test_train_leukocytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model and its card are made of tables; cells of the set that is only scored are refused."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    main = runpy.run_path(str(BENCHMARKS / "train_leukocytes.py"))["main"]
    columns, rng = extract.columns(), np.random.default_rng(0)
    centres = 3 * rng.normal(size=(2, len(columns)))
    for name, moved in (("pbc_dev", 0.0), ("bccd", 0.5), ("segwbc_d1", 9.0)):
        codes = np.repeat([0, 1], 30)
        values = centres[codes] + rng.normal(size=(len(codes), len(columns))) + moved
        pd.DataFrame(values, columns=columns).assign(
            image=[f"{name}/{i:02}.png" for i in range(len(codes))],
            cell=1,
            label=np.array(["monocyte", "neutrophil"])[codes],
            group=[f"{name} {i}" for i in range(len(codes))],
        ).to_parquet(tmp_path / f"{name}.parquet")
    main(["--data", str(tmp_path), "--out", str(tmp_path)])
    model = pipelines.load(tmp_path / "leukocytes.hemafeat")
    assert model.classes == ["monocyte", "neutrophil"]
    card = (tmp_path / "leukocytes.md").read_text("utf-8")
    assert "**For research only.**" in card
    assert "| PBC, held-out groups | 60 | 1 | 1 |" in card
    assert re.search(r"segmentation_WBC, another laboratory \| 60 \|.* \| 1 \| 1 \|", card), card
    assert card in capsys.readouterr().out


def test_networks_embedding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main = runpy.run_path(str(BENCHMARKS / "embedding.py"))["main"]
    few = ["--backbones", "MobileNet", "--size", "32", "--batch", "2", "--rounds", "1"]
    main(["--out", str(tmp_path), *few])
    if importlib.util.find_spec("keras") is None:
        assert "Keras is not installed" in capsys.readouterr().out
        pytest.skip("the extra 'deep' is not installed: nothing was measured")
    table = pd.read_csv(tmp_path / "embedding.csv").set_index("way")
    assert {"keras", "keras predict", "onnxruntime", "openvino", "opencv"} == set(table.index)
    ran = table[table["why"].isna()]
    assert ran.loc[["keras", "keras predict"], "images_per_s"].gt(0).all()
    # Or it would compare two different things.
    assert ran["apart"].lt(1e-4).all()


@pytest.mark.slow_without_jit
def test_families(tmp_path: Path) -> None:
    main = runpy.run_path(str(BENCHMARKS / "families.py"))["main"]
    few = ["--drawn", "45", "--folds", "2", "--timed", "2", "--families", "shape", "density"]
    main(["--out", str(tmp_path), "--model", "logistic", "--no-path", *few])
    assert set(pd.read_csv(tmp_path / "families.csv")["family"]) == {"shape", "density"}
    sets = pd.read_csv(tmp_path / "sets.csv").set_index("set")
    assert sets.loc["default", "columns"] < sets.loc["former default", "columns"]
    assert re.fullmatch(r"\S+ \[\S+, \S+\]", sets.loc["all", "accuracy_less_default"])


def test_patients(capsys: pytest.CaptureFixture[str]) -> None:
    main = runpy.run_path(str(BENCHMARKS / "patients.py"))["main"]
    main(["--seeds", "2", "--patients", "16", "--models", "bag_size", "table_means"])
    assert "table_means" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_models(capsys: pytest.CaptureFixture[str]) -> None:
    main = runpy.run_path(str(BENCHMARKS / "models.py"))["main"]
    few = ["--cells", "120", "--columns", "30", "--patients", "12", "--folds", "2", "--jobs", "1"]
    main([*few, "--models", "table_means", "--level", "patient"])
    printed = capsys.readouterr().out
    assert "120 cells, 30 columns, 12 patients, 2 folds, 1 workers, patient level" in printed
    assert re.search(r"peak memory \d{2,} MB", printed)


@pytest.mark.slow_without_jit
def test_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    main = runpy.run_path(str(BENCHMARKS / "gpu.py"))["main"]
    main(["--device", "cpu", "--cells", "2", "--batches", "1", "--rounds", "1"])
    printed = capsys.readouterr().out
    there = importlib.util.find_spec("torch") is not None
    assert ("device cpu" if there else "PyTorch is not installed") in printed


@pytest.mark.slow_without_jit
def test_scale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main = runpy.run_path(str(BENCHMARKS / "scale.py"))["main"]
    few = ["--images", "12", "--shard-size", "4", "--families", "shape", "--tasks", "0"]
    main([*few, "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "plan for 10,000,000 cells" in printed
    assert "12 images, 12 cells" in printed


def speed(*arguments: str) -> str:
    """In a process of its own: it pins itself to one core."""
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "speed"), *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONUTF8": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


SMALLEST = ["--images", "1", "--rounds", "1", "--size", "96", "--budget", "0", "--table", "2"]


@pytest.mark.slow_without_jit
def test_speed_against_peers(tmp_path: Path) -> None:
    """scikit-image is there; a peer that is not there is named, with the reason."""
    groups = ["geometry", "glcm", "colour"]
    files = ["--out", str(tmp_path / "out.csv"), "--picture", str(tmp_path / "out.png")]
    printed = speed(*SMALLEST, "--only", *groups, "--peers", "scikit-image", "nyxus", *files)
    table = pd.read_csv(tmp_path / "out.csv")
    assert set(table["group"]) == {"decode", *groups}
    ours = table[table["ours"]]
    assert (ours["status"] == "measured").all()
    theirs = table[table["name"].str.startswith("scikit-image")]
    assert len(theirs) == len(groups)
    assert theirs["ms"].gt(0).all()
    # What is timed gives the same numbers, or the benchmark would compare two different things.
    assert theirs["agreement"].str.startswith("equal").all(), theirs["agreement"].tolist()
    nyxus = table.loc[table["name"].str.startswith("nyxus"), "status"]
    assert nyxus.isin(["measured", "not installed (no module nyxus)"]).all()
    assert all(word in printed for word in ("nyxus ALL_MORPHOLOGY", "cv2.imdecode"))
    assert (tmp_path / "out.png").stat().st_size > 5000


@pytest.mark.slow_without_jit
def test_speed_of_the_whole(tmp_path: Path) -> None:
    printed = speed(*SMALLEST, "--only", "whole", "--out", str(tmp_path / "out.json"))
    steps = pd.DataFrame(json.loads((tmp_path / "out.json").read_text("utf-8"))["steps"])
    assert {"cv2.imdecode", "segment.contours", "lbp", "dct_zigzag"} <= set(steps["step"])
    assert steps["decodes"].gt(0).all()
    assert "extract.table(families='default')" in printed


def test_train_segmenter_of_networks(tmp_path: Path) -> None:
    """On fields under a name of BCCD, drawn; the outlines after two steps are not looked at."""
    for package in ("keras", "onnx"):
        pytest.importorskip(package)
    from hemafeat import datasets, images

    whites = [one for one in datasets.BACKGROUNDS if one != "black"]
    main = runpy.run_path(str(BENCHMARKS / "train_segmenter.py"))["main"]
    field = datasets.draw_field(["lymphocyte"], shape=(96, 96), um_per_px=0.2, random_state=0)
    for part in ("images", "masks"):
        (tmp_path / "bccd" / part).mkdir(parents=True)
    rows = ["image,mask,label"]
    mask = np.where(field.nucleus > 0, 255, np.where(field.cell > 0, 128, 0)).astype(np.uint8)
    for number in range(150):  # the blocks held back are two of ten, of fifteen fields each
        rows.append(f"images/{number:03}.jpg,masks/{number:03}.png,LYMPHOCYTE")
        for name, pixels in (("images/{:03}.jpg", field.image), ("masks/{:03}.png", mask)):
            Image.fromarray(pixels).save(tmp_path / "bccd" / name.format(number))
    (tmp_path / "bccd" / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    sides = {"xmin": 1, "ymin": 1, "xmax": 96, "ymax": 96}
    box = "".join(f"<{side}>{at}</{side}>" for side, at in sides.items())
    (tmp_path / "bccd" / "140.xml").write_text(  # one field of the last block held back
        f"<annotation><object><name>RBC</name><bndbox>{box}</bndbox></object></annotation>"
    )
    teach = runpy.run_path(str(BENCHMARKS / "teaching_masks.py"))["main"]
    teach(["--data", str(tmp_path), "--out", str(tmp_path / "teach")])
    few = [
        "--teach",
        str(tmp_path / "teach"),
        "--epochs",
        "1",
        "--steps",
        "2",
        "--batch",
        "2",
        "--side",
        "64",
        "--crowded",
        "1",
    ]
    main(["--data", str(tmp_path), "--out", str(tmp_path / "out"), *few])
    scores = pd.read_csv(tmp_path / "out" / "scores.csv")
    sets = ["bccd stopped by", "bccd held back", *[f"crowded {one}" for one in whites]]
    sets += ["drawn, no white cell", "drawn, clumps of 25"]
    assert scores["set"].tolist() == [name for name in sets for _ in range(3)]
    named = scores["segmenter"].str.partition(":")[0]
    assert named.tolist() == ["contours", "unet", "best"] * len(sets)
    assert (scores["cells"] == np.repeat([15, 15] + [3] * len(whites) + [0, 25], 3)).all()
    assert (tmp_path / "out" / "network.onnx").stat().st_size > 100_000
    assert images.read(tmp_path / "out" / "samples.png").ndim == 3
    card = (tmp_path / "out" / "card.md").read_text("utf-8")
    assert "bccd: 120 images" in card
    assert card.count("| contours | 15 |") == 2
    # The same network, scored again.
    start = ["--epochs", "0", "--crowded", "0", "--start", str(tmp_path / "out" / "network.keras")]
    start += few[:2]
    main(["--data", str(tmp_path), "--out", str(tmp_path / "again"), *start])
    again = pd.read_csv(tmp_path / "again" / "scores.csv")
    counts = ["set", "cells", "found", "spurious", "nucleus_mean", "cell_mean"]
    pd.testing.assert_frame_equal(again[counts], scores[counts].head(len(again)))
    assert again["set"].unique().tolist() == sets[:2]
    assert "| contours | 15 |" in (tmp_path / "again" / "card.md").read_text("utf-8")


def test_networks(tmp_path: Path) -> None:
    """Features, random embeddings and a tiny LeNet, in two folds."""
    pytest.importorskip("keras")
    main = runpy.run_path(str(BENCHMARKS / "networks.py"))["main"]
    few = ["--drawn", "48", "--folds", "2", "--boot", "5", "--families", "density"]
    net = ["--weights", "random", "--heads", "svc", "--epochs", "1", "--size", "32"]
    main(["--out", str(tmp_path), *few, *net])
    table = pd.read_csv(tmp_path / "networks.csv")
    assert {"features + svc", "lenet5", "baseline"} <= set(table["model"])
    assert len(table) == 6
    assert table["accuracy"].between(0, 1).all()
    assert (tmp_path / "networks.png").stat().st_size > 5000


@pytest.mark.slow_without_jit
def test_unchanged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from hemafeat import datasets

    benchmark = runpy.run_path(str(BENCHMARKS / "unchanged.py"))
    listed = datasets.drawn(tmp_path / "cells", n_images=3, size=120, random_state=0)
    for name in ("before", "after"):
        record = benchmark["Record"](tmp_path / name)
        benchmark["measure_cells"](record, "drawn", listed, tmp_path / "cells", families=["shape"])
    compare = benchmark["compare_records"]
    assert compare(tmp_path / "before", tmp_path / "after", {})
    cells = tmp_path / "after" / "cells_drawn.parquet"
    table = pd.read_parquet(cells)
    column = "nucleus__shape__area"
    table.loc[1, column] = np.nextafter(table.loc[1, column], np.inf)
    table.rename(columns={"nucleus__shape__solidity": "new"}).to_parquet(cells)
    capsys.readouterr()
    assert not compare(tmp_path / "before", tmp_path / "after", {})
    printed = capsys.readouterr().out
    assert "1 differ" in printed
    assert "1 missing: nucleus__shape__solidity" in printed
    capsys.readouterr()
    compare(tmp_path / "before", tmp_path / "after", {"nucleus__shape__solidity": "new"})
    assert "missing" not in capsys.readouterr().out
