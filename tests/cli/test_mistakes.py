"""Typical mistakes with every command: one short plain line, before anything is measured."""

from __future__ import annotations

import argparse
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets, evaluate, extract, pipelines
from hemafeat.cli import main
from hemafeat.cli._main import parser
from hemafeat.cli._messages import LONGEST, one_line

PYTHON = re.compile(
    r"\bnp\.|Traceback|\b(?:n_splits|n_boot|random_state|n_jobs|shard_size|mask_kind)\b"
    r"|(?<![\w'-])(?:um_per_px|rare|protocol|groups|metadata|label|level|restart)="
)
"""What a line of the command line must not hold."""


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with what the mistakes are made of."""
    place = tmp_path_factory.mktemp("mistakes")
    names = ["a0", "a1", "a2", "b0", "b1", "b2"]
    cells = [datasets.draw_cell("monocyte", random_state=k).image for k in range(6)]
    for name, image in zip(names, cells, strict=True):
        for folder in ("two", "one") if name[0] == "a" else ("two",):
            path = place / folder / name[0] / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, image)
        path = place / "flat" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        _write(path, image)
    (place / "empty").mkdir()
    (place / "mine").mkdir()
    (place / "mine" / "thesis.txt").write_text("precious")
    (place / "file.txt").write_text("text")
    (place / "no_model").write_bytes(b"\x80\x04")
    table = extract.table(str(place / "two"), families=["shape"])
    table.to_csv(place / "cells.csv", index=False)
    further = pd.DataFrame({f"attribute_number_{k}": [k] * len(table) for k in range(900)})
    wide = pd.concat([table, further], axis=1)
    wide.to_csv(place / "wide.csv", index=False)
    pd.DataFrame({"picture": ["a.png"]}).to_csv(place / "no_image.csv", index=False)
    other = table.drop(columns=extract.feature_columns(table)).assign(cell__colour__mean__r=1.0)
    other.to_csv(place / "other.csv", index=False)
    listed = datasets.as_table(str(place / "two"))
    listed.assign(um_per_px=0.1).to_csv(place / "scaled.csv", index=False)
    model = pipelines.logistic()
    features = extract.feature_columns(table)
    # A frame of its own says nothing of units, so that the file may say what it likes.
    model.fit(pd.DataFrame(table[features].to_dict("list")), table["label"])
    pipelines.save(model, place / "px.hemafeat", units=extract.units(table))
    in_um = {name: unit.replace("px", "um") for name, unit in extract.units(table).items()}
    pipelines.save(model, place / "um.hemafeat", units=in_um)
    drawn = datasets.drawn_bags(8, cells=(2, 3), n_features=3, random_state=0)
    bags = pipelines.bags(
        drawn.rename(columns=dict(zip(drawn.columns[-3:], features, strict=False)))
    )
    patients = pipelines.make_patient("table_means").fit(bags, bags["label"])
    pipelines.save(patients, place / "patients.hemafeat")
    for name in ("earlier", "earlier_audit", "earlier_masks", "earlier_scores"):
        (place / name).mkdir()
    (place / "earlier_scores" / "scores.csv").write_text("set")
    (place / "earlier" / "comparison.json").write_text("{}")
    (place / "earlier_audit" / "audit_findings.csv").write_text("finding")
    (place / "earlier_masks" / "quality.csv").write_text("image")
    return place


def _write(path: Path, image: np.ndarray) -> None:
    import cv2

    cv2.imwrite(str(path), image[..., ::-1])


MISTAKES = [
    # a word of each command, then what the line says
    ("extrct two --out x", "did you mean extract?"),
    ("extract two --out x --familes shape", "did you mean --families?"),
    ("compare two --fold_s 3", "did you mean --folds?"),
    ("compare two --level pateint", "did you mean patient?"),
    ("extract two --out x --dataset pcb", "did you mean pbc?"),
    ("extract two --out x --families shpae", "did you mean shape?"),
    ("extract two --out x --segmenter contour", "did you mean contours?"),
    ("compile --segmenter contour", "did you mean contours?"),
    ("rerun runn ufsc2022", "did you mean run?"),
    ("rerun run ufsc2023", "did you mean ufsc2022?"),
    ("rerun run ufsc2022 --as publishd", "did you mean published?"),
    ("rerun run ufsc2022 --only mian", "its models are main, hsv, ensemble"),
    ("rerun run ufsc2022 --data two other", "NAME=DIR for each data set"),
    ("compile --families shpae", "did you mean shape?"),
    ("compile --jobs none", "--jobs"),
    ("segment two --out x --segmenter contour", "did you mean contours?"),
    ("score two --truth none --segmenter contours unett", "did you mean unet?"),
    ("compare two --models logistik", "did you mean logistic?"),
    ("compare two --level patient --models atention", "--models: there is no model of patients"),
    ("compare two --models magic", "choose from: "),
    ("compare two --protocol groupped", "did you mean grouped?"),
    ("compare two --leakage image-randon", "did you mean image-random?"),
    ("count nosuch --out x", "nosuch: no such file or folder"),
    ("count flat", "the following arguments are required: --out"),
    ("count flat --out x --model nosuch", "the model of the package is leukocytes"),
    ("count flat --out x --model px.hemafeat", "refuses no cells"),
    ("count flat --out x --model patients.hemafeat", "refuses no cells"),
    ("count flat --out x --model no_model", "not a hemafeat model"),
    ("count flat --out x --um-per-px -1", "-1.0 is not a positive number"),
    ("count flat --out x --um-per-px soon", "'soon' is not a number"),
    ("count flat --out x --segmenter contour", "did you mean contours?"),
    ("count flat --out x --um-per-px 0.1 --by patiet", "did you mean patient?"),
    ("count flat --out x --um-per-px 0.1 --by image", "name a slide or patient"),
    ("count flat --out mine --um-per-px 0.1", "does not hold an earlier count"),
    ("count flat --out file.txt", "file.txt is a file"),
    ("count flat --out flat", "is read by this command"),
    ("download bloodmist", "did you mean bloodmnist?"),
    ("describe nucleus__shape__are_", "did you mean nucleus__shape__area"),
    # inputs
    *((f"{command} nosuch", "nosuch: no such file or folder") for command in ("audit", "compare")),
    ("extract nosuch --out x", "nosuch: no such file or folder"),
    ("segment nosuch --out x", "nosuch: no such file or folder"),
    ("score nosuch --truth none", "nosuch: no such file or folder"),
    ("score two", "the following arguments are required: --truth"),
    ("score two --truth nosuch", "--truth: nosuch: no such file or folder"),
    ("score two --truth given", "come without masks"),
    ("score two --truth file.txt", "a mask for each of the 6 images"),
    ("score two --truth one mine two", "one folder, two (cells and nuclei)"),
    ("score two --truth mine", "none of the 6 images has a truth; the first is"),
    ("score two --truth cells.csv", "cells.csv has neither boxes"),
    ("score two --truth none --truth-labels wbc", "--truth-labels needs"),
    ("score two --truth none --segmenter contours contours", "contours is named twice"),
    ("score two --truth none --mask-kind trimap", "--mask-kind has no effect"),
    ("score two --truth none --restart", "--restart needs --out"),
    ("predict px.hemafeat nosuch --out x.csv", "nosuch: no such file or folder"),
    ("merge nosuch cells.csv --out x", "nosuch: no such file or folder"),
    ("cell nosuch a.png#1", "nosuch: no such file or folder"),
    ("cell two a.png#1", "two is not a table of measured cells"),
    ("cell cells.csv nosuch.png#1", "no image of the table is named nosuch.png"),
    ("cell cells.csv a.png#1 --out x.gif", "--out: x.gif should end in .png or .jpg"),
    ("merge two cells.csv --out x", "two is not a table of measured cells"),
    ("merge cells.csv cells.csv --out x", "name them by hemafeat merge --names"),
    ("merge cells.csv cells.csv --names a --out x", "--names: 1 name for 2 tables"),
    ("merge cells.csv cells.csv --names a b --out mine", "mine is not empty and does not hold"),
    ("merge cells.csv cells.csv --names a b --out cells.csv", "is read by this command"),
    ("merge cells.csv --out x --labels corse", "did you mean coarse?"),
    ("report nosuch", "nosuch: no such folder"),
    ("explore nosuch", "nosuch: no such file or folder"),
    ("explore two", "two is not a table of measured cells: measure it by hemafeat extract"),
    ("explore cells.csv --comparison nosuch", "--comparison: nosuch: no such folder"),
    ("explore cells.csv --comparison empty", "no comparison here"),
    ("explore cells.csv --out page.csv", "page.csv should end in .html"),
    ("explore cells.csv --map som", "invalid choice: 'som'"),
    ("explore cells.csv --label klass", "--label: the table has no column 'klass'"),
    ("explore cells.csv --n-cells 0", "above 0"),
    ("explore cells.csv --edits nosuch.csv", "--edits: nosuch.csv: no such file"),
    ("explore cells.csv --edits file.txt", "--edits: file.txt is not a table"),
    ("explore cells.csv --edits no_image.csv", "a list of edits needs the column 'image'"),
    ("compare cells.csv --folds 3 --edits nosuch.csv", "--edits: nosuch.csv: no such file"),
    ("compare cells.csv --folds 3 --edits cells.csv", "needs the column 'edit'; it has image"),
    *((f"{command} empty", "empty holds no images") for command in ("audit", "compare")),
    ("extract empty --out x", "empty holds no images"),
    ("segment empty --out x", "empty holds no images"),
    ("report empty", "no comparison here"),
    ("extract no_image.csv --out x", "no column 'image'"),
    ("extract two one --out x", "give one folder"),
    ("extract two --out x --masks nosuch", "nosuch is not a folder"),
    ("extract two --out x --nuclei nosuch", "--nuclei: nosuch is not a folder"),
    ("extract two --out x --masks given --nuclei two", "--masks: given is not a folder"),
    ("predict nosuch two --out x.csv", "nosuch: no such file"),
    ("predict no_model two --out x.csv", "not a hemafeat model"),
    # labels and columns
    ("compare one", "one has one class sub-folder, 'a'; two or more are needed"),
    ("compare flat", "flat has no class sub-folders"),
    ("compare two", "lower --folds to 3, drop or merge these classes, or pass --rare drop"),
    ("compare cells.csv", "lower --folds to 3"),
    ("compare two --label klass", "--label: the table has no column 'klass'; it has image"),
    ("compare two --label lable", "did you mean label"),
    ("compare cells.csv --label lable", "did you mean label"),
    ("compare wide.csv --label klass", "and 8"),
    ("compare cells.csv --label dataset", "no cell has a label in column 'dataset'"),
    ("compare two --group hospital", "--group: the table has no column 'hospital'; it has"),
    ("compare two --metadata age", "--metadata: the table has no column 'age'"),
    ("compare two --level patient --patient person", "--patient: the table has no column 'person'"),
    ("audit two --group hospital", "--group: the table has no column 'hospital'; it has"),
    ("compare two --pixels --cells all --folds 3", "leave out --cells all or --pixels"),
    ("predict px.hemafeat two --out x.csv --um-per-px 0.1", "leave out --um-per-px"),
    ("predict px.hemafeat scaled.csv --out x.csv", "leave out the column um_per_px"),
    ("predict um.hemafeat two --out x.csv", "pass --um-per-px"),
    ("predict px.hemafeat other.csv --out x.csv", "measured with the family shape has them"),
    ("compare two --protocol official", "column 'split', which holds no values"),
    ("compare two --protocol patient", "column 'patient', which holds no values"),
    ("compare two --protocol cross-dataset", "column 'dataset', which holds"),
    ("compare two --protocol leave-one-batch-out --batch slide", "no column 'slide'; it has"),
    ("compare two --protocol cross-dataset --batch label --train c", "there is no 'c' in column"),
    ("compare two --level patient --patient image --positive c", "--positive: no class 'c'"),
    ("compare two --models baseline --save-model m", "none of the models compared looks"),
    ("compare two --folds 3 --positive a", "--positive needs --level patient"),
    ("compare two --folds 3 --patient image", "--patient needs --level patient"),
    ("compare two --folds 3 --train a", "--train needs --protocol cross-dataset"),
    ("compare two --folds 3 --batch label", "cross-dataset or leave-one-batch-out"),
    ("compare two --folds 3 --epochs 3", "--epochs needs a network"),
    ("compare two --folds 3 --selective 95", "'95' is not a share between 0 and 1"),
    ("compare two --level patient --selective", "--selective cannot be combined with --level"),
    ("compare two --folds 3 --protocol holdout --test .2 .3", "one share of the groups"),
    ("compare two --folds 3 --weights nosuch.h5", "--weights needs --embedding"),
    ("compare two --folds 3 --streams hsv_cell", "--streams needs --embedding"),
    ("compare two --level patient", "no cell has a patient in column 'patient'"),
    # measured already, or not measurable like this
    ("compare cells.csv --cells all", "--cells has no effect: cells.csv is already a table"),
    ("compare cells.csv --um-per-px 0.1 --families lbp", "--families, --um-per-px have no effect"),
    ("predict px.hemafeat cells.csv --out x.csv --segmenter unet", "--segmenter has no effect"),
    ("predict px.hemafeat two --out x.csv --families lbp", "px.hemafeat needs the families shape"),
    ("predict patients.hemafeat two --out x.csv", "column 'patient' names none"),
    *(
        (f"{command} two --masks given", "come without masks")
        for command in ("compare --folds 3", "extract --out x")
    ),
    (
        "compare two --folds 3 --to-um-per-px 0.1",
        "is unknown: pass --um-per-px",
    ),
    ("extract two --out x --to-um-per-px 0.1", "is unknown: pass --um-per-px"),
    # numbers
    *(
        (f"{command} --seed -1", "not a whole number from 0 to")
        for command in ("compare two", "audit two", "demo")
    ),
    ("compare two --models aligned:xgboost", "only svc, logistic, ldsvm and mlp can be aligned"),
    ("compare two --models aligned:svm", "there is no pipeline 'svm'"),
    ("extract two --out x --label klass", "label and patient name columns of a table"),
    ("extract scaled.csv --out x --label klass", "--label klass: the table has no column 'klass'"),
    (
        "extract two --dataset pbc --out x --patient p",
        "name columns of a CSV file, not of a --dataset",
    ),
    ("compare two --level patient --explain", "--explain is of single cells"),
    (
        "predict patients.hemafeat two --out x.csv --explain cells.csv",
        "no features of single cells",
    ),
    ("predict px.hemafeat two --out x.csv --explain two", "two is not a table of hemafeat extract"),
    ("extract two --out x --augment 2", "give a .parquet or .csv file as --out"),
    ("extract two --out x.csv --augment 0", "argument --augment"),
    ("extract two --out x --um-per-px -1", "-1.0 is not a positive number"),
    ("extract two --out x --um-per-px abc", "'abc' is not a number"),
    ("extract two --out x --to-um-per-px auto", "'auto' is not a number"),
    ("compare cells.csv --um-per-px auto", "--um-per-px has no effect"),
    ("predict px.hemafeat two --out x.csv --um-per-px auto", "leave out --um-per-px"),
    ("extract two --out x --jobs 0", "above 0"),
    ("score two --truth none --min-dice 80", "80.0 is not a number from 0 to 1"),
    ("score two --truth none --min-dice x", "'x' is not a number"),
    ("compare two --folds 1", "at least 2 folds"),
    ("compare two --folds x", "not a whole number"),
    ("compare two --n-boot 0", "above 0"),
    ("audit two --folds 1", "at least 2 folds"),
    ("demo --images 3", "too few"),
    ("download bloodmnist --size 3 --to two -q", "choose from 28, 64"),
    # outputs
    *((f"{command} two --out file.txt", "file.txt is a file") for command in ("audit", "segment")),
    ("compare two --out file.txt", "file.txt is a file"),
    ("demo --out file.txt", "file.txt is a file"),
    ("audit two --out file.txt/x", "file.txt is not a folder"),
    ("segment two --out file.txt/x", "file.txt is not a folder"),
    ("compare two --out file.txt/x/y", "file.txt is not a folder"),
    ("demo --out file.txt/x", "file.txt is not a folder"),
    ("compare two --out result.xlsx", "result.xlsx names a file"),
    ("segment two --out masks.png", "masks.png names a file"),
    ("audit two --out audit.html", "audit.html names a file"),
    ("segment two --out mine", "mine is not empty"),
    ("audit two --out mine", "mine is not empty"),
    ("segment two --out two --restart", "two is read by this command"),
    ("score two --truth one --out one", "one is read by this command"),
    ("score two --truth none --out mine", "mine is not empty"),
    ("score two --truth none --out file.txt", "file.txt is a file"),
    ("score two --truth none --out earlier_scores", "--restart to replace it"),
    ("compare two --out earlier", "earlier holds an earlier comparison"),
    ("audit two --out earlier_audit", "--restart to replace it"),
    ("segment two --out earlier_masks", "earlier_masks holds masks already"),
    ("compare two --folds 3 --save-model px.hemafeat", "px.hemafeat exists"),
    ("compare two --folds 3 --save-model mine", "mine is a folder"),
    ("compare two --folds 3 --save-model file.txt/x", "file.txt is not a folder"),
    ("compare two --folds 3 --save-model a.pkl", "a.pkl names a file of another kind"),
    ("predict px.hemafeat two --out x.txt", "should end in .csv or .parquet"),
    ("predict px.hemafeat two --out mine", "should end in .csv or .parquet"),
    ("predict px.hemafeat two --out nosuch/x.csv", "the folder nosuch does not exist"),
    ("predict px.hemafeat cells.csv --out cells.csv", "cells.csv is read by this command"),
    ("extract two --out nosuch/x.csv", "the folder nosuch does not exist"),
    ("report earlier --map tsne", "--map needs --table"),
    ("report earlier --map som --table cells.csv", "invalid choice: 'som'"),
    ("report earlier --out page.csv", "page.csv should end in .html"),
    ("report earlier --out file.txt/page.html", "file.txt is not a folder"),
]


@pytest.mark.parametrize(("typed", "said"), MISTAKES, ids=[typed for typed, _ in MISTAKES])
def test_a_mistake_is_one_plain_line_before_the_work(here, typed, said, capsys, monkeypatch):
    def work(*args, **kwargs):
        pytest.fail("the work has begun")

    monkeypatch.chdir(here)
    for room, name in (
        (extract, "table"),
        (extract, "stream"),
        (datasets, "audit"),
        (datasets, "drawn"),
        (evaluate, "compare"),
        (evaluate, "compare_patients"),
    ):
        monkeypatch.setattr(room, name, work)
    before = sorted(here.rglob("*"))
    assert main(typed.split()) in (1, 2)
    captured = capsys.readouterr()
    assert captured.out == ""
    line = captured.err.removesuffix("\n")
    assert "\n" not in line
    assert line.startswith("hemafeat: error: ")
    assert said in line
    assert len(line) < 600
    assert not PYTHON.search(line), line
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["compare", ""], "INPUT"),
        (["audit", "two", ""], "IMAGES"),
        (["extract", "two", "--out", ""], "--out"),
        (["segment", "two", "--out= "], "--out"),
        (["score", "two", "--truth", ""], "--truth"),
        (["describe", ""], "NAME"),
    ],
)
def test_an_unset_variable_of_the_shell_is_not_the_current_folder(
    here, words, name, capsys, monkeypatch
):
    monkeypatch.chdir(here)
    before = sorted(here.rglob("*"))
    assert main(words) == 2
    assert f"error: {name}: the argument is empty" in capsys.readouterr().err
    assert sorted(here.rglob("*")) == before


def test_every_command_that_takes_arguments_is_tried():
    tried = {typed.split()[0] for typed, _ in MISTAKES}
    commands = next(
        action.choices
        for action in parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    assert set(commands) - {"families", "datasets"} <= tried


@pytest.mark.parametrize(
    ("python", "line"),
    [
        ("lower n_splits to 3, or pass rare='drop'", "lower --folds to 3, or pass --rare drop"),
        ("um_per_px is np.float64(-1.0)", "um_per_px is -1.0"),
        ("in column 'label': [np.str_('a'), np.str_('b')]", "in column 'label': ['a', 'b']"),
        ("um_per_px was None, is 0.5; jobs", "--um-per-px was not given, is 0.5; jobs"),
        ("pass restart=True (--restart)", "pass --restart"),
        ("protocol='patient': unknown", "--protocol patient: unknown"),
        ("the file n_splits_1.png, and 'n_splits'", "the file n_splits_1.png, and 'n_splits'"),
        ("http://x/y?label=1", "http://x/y?label=1"),
    ],
)
def test_python_is_put_into_the_words_of_the_command_line(python, line):
    assert one_line(python) == line


def test_long_messages_end_with_a_count():
    names = [f"nucleus__glcm__contrast_{k}" for k in range(400)]
    line = one_line(f"needs 400 columns that the table lacks: {', '.join(names)}; measure them")
    assert len(line) < LONGEST
    assert "nucleus__glcm__contrast_5 and 394 more; measure them" in line
    assert len(one_line("x" * 8000)) <= LONGEST


def test_a_warning_is_one_line_once(capsys, monkeypatch):
    def warn():
        for _ in range(3):
            warnings.warn("scales\nn_jobs differ", UserWarning, stacklevel=2)
            warnings.warn("scales\nn_jobs differ", FutureWarning, stacklevel=2)
        return "families"

    monkeypatch.setattr(extract, "families", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["families"]) == 0
    assert capsys.readouterr().err == "hemafeat: warning: scales --jobs differ\n"


def test_earlier_results_are_kept(here, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = pd.read_csv(here / "cells.csv")
    pd.concat([table, table.assign(image=table["image"] + "x")]).to_csv("cells.csv", index=False)
    words = [
        "compare",
        "cells.csv",
        "--models",
        "logistic",
        "--n-boot",
        "5",
        "--no-importance",
        "--jobs",
        "1",
    ]
    words += ["--save-model", "new/best.hemafeat", "--out", "result"]
    assert main([*words, "--folds", "3"]) == 0
    page = (tmp_path / "result" / "page.html").read_bytes()
    model = (tmp_path / "new" / "best.hemafeat").read_bytes()
    capsys.readouterr()
    assert main([*words, "--folds", "2"]) == 2
    assert "(--folds was 3, is 2); choose another folder, or pass --restart" in (
        capsys.readouterr().err
    )
    assert main([*words, "--folds", "3"]) == 2
    assert "an earlier comparison of the same settings" in capsys.readouterr().err
    assert (tmp_path / "result" / "page.html").read_bytes() == page
    assert main([*words, "--folds", "2", "--out", "other"]) == 2
    assert "best.hemafeat exists" in capsys.readouterr().err
    assert (tmp_path / "new" / "best.hemafeat").read_bytes() == model
    (tmp_path / "result" / "leakage.csv").write_text("of an earlier comparison")
    assert main([*words, "--folds", "2", "--restart"]) == 0
    assert not (tmp_path / "result" / "leakage.csv").exists()
    assert evaluate.load(tmp_path / "result").results["fold"].nunique() == 3


def test_an_audit_of_other_settings_is_kept(here, tmp_path, capsys):
    words = ["audit", str(here / "two"), "--out", str(tmp_path / "out"), "--no-near", "-q"]
    assert main([*words, "--no-probes"]) == 0
    assert main([*words, "--no-probes"]) == 0
    before = (tmp_path / "out" / "audit.html").read_bytes()
    capsys.readouterr()
    assert main([*words, "--seed", "3"]) == 2
    error = capsys.readouterr().err
    assert "--seed was 0, is 3" in error
    assert "--no-probes was given, is not given" in error
    assert (tmp_path / "out" / "audit.html").read_bytes() == before
    assert main([*words, "--seed", "3", "--restart"]) == 0


def _raised(call):
    with pytest.raises(ValueError, match=r"\w") as caught:
        call()
    return str(caught.value)


def test_messages_have_no_numpy_around_values():
    """Labels and names come from arrays, whose values say ``np.str_`` of themselves."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(12, 2)), columns=["cell__f__a", "cell__f__b"])
    table["image"] = [f"{k}.png" for k in range(12)]
    table["label"] = np.repeat(np.array(["a", "b"]), 6)
    parts = table.assign(split=["train"] * 6 + ["test"] * 6)
    sets = table.assign(dataset=np.array([3] * 12))
    cross = evaluate.protocol("cross-dataset", train=np.int64(3), test=np.int64(4))
    one_class = np.array(["a"] * 12)
    messages = [
        _raised(lambda: evaluate.compare(["logistic"], table.assign(label=one_class))),
        _raised(lambda: evaluate.compare(["logistic"], parts, protocol="official")),
        _raised(lambda: evaluate.compare(["logistic"], sets, protocol=cross)),
        _raised(lambda: evaluate.compare(["logistic"], table, n_splits=np.int64(1))),
        _raised(lambda: evaluate.compare(["logistic"], table, label=np.str_("klass"))),
    ]
    assert not [message for message in messages if "np." in message]
    assert "did you mean" in _raised(lambda: evaluate.compare(["logistic"], table, label="lable"))
