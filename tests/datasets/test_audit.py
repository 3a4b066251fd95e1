"""An audit finds every leak that is planted in a small data set, and none in a clean one."""

from __future__ import annotations

import inspect
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets, evaluate, extract
from hemafeat.cli._main import parser
from hemafeat.datasets import DatasetError
from hemafeat.datasets._audit.advice import ADVICE
from hemafeat.datasets._audit.audit import KINDS
from support.bad_files import encoded, write_bad_files
from support.leak_trees import cell, listed, tree, write


def kinds(audit, severity=None):
    result = audit.findings
    if severity is not None:
        result = result[result["severity"] == severity]
    return set(result["kind"])


def message(audit, kind, column="message"):
    return str(audit.findings.set_index("kind").loc[kind, column])


def stems(audit, kind):
    return {Path(image).stem for image in audit.of(kind)["image"]}


# --- Nothing planted --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_nothing_planted_nothing_severe(tmp_path, seed):
    audit = datasets.audit(tree(tmp_path, seed=seed))
    assert kinds(audit) <= {"patients", "balance", "background"}
    assert kinds(audit, "severe") == kinds(audit, "warning") == set()
    assert audit.duplicates.empty
    assert audit.near_duplicates.empty
    assert "0 severe, 0 warning" in repr(audit)


def test_every_kind_of_finding_has_advice_that_can_be_followed(tmp_path):
    endings = ("", "_label", "_split", "_patient")
    copies = {f"{name}{end}" for name in ("duplicate", "near_duplicate") for end in endings}
    assert set(ADVICE) == {*KINDS, *copies, "leak_probe"}
    options = {word for action in _options("compare") for word in action.option_strings}
    asked = {
        name
        for call in (evaluate.compare, extract.table, datasets.group_duplicates)
        for name in inspect.signature(call).parameters
    } | {"um_per_px"}
    for kind, text in ADVICE.items():
        assert set(re.findall(r"--[a-z-]+", text)) <= options, kind
        assert set(re.findall(r"(\w+)=", text)) <= asked, kind
        assert set(re.findall(r"drop\('(\w+)'\)", text)) <= {kind}, kind
        protocols = set(re.findall(r"protocol='([\w-]+)'", text))
        assert protocols <= set(evaluate.protocols()["name"]), kind
    audit = datasets.audit(tree(tmp_path))
    assert audit.findings["advice"].str.len().gt(10).all()
    assert "->" not in repr(audit), "notes ask for nothing"


def _options(command):
    (commands,) = (a.choices for a in parser()._actions if isinstance(a.choices, dict))
    return commands[command]._actions


# --- Files ------------------------------------------------------------------------------------


def test_every_kind_of_bad_file_is_counted(tmp_path):
    table = tree(tmp_path / "good", n=8)
    bad = write_bad_files(tmp_path / "bad")
    rows = [(str(tmp_path / "bad" / name), "blast") for name in bad]
    table = pd.concat([table, pd.DataFrame(rows, columns=["image", "label"])], ignore_index=True)
    audit = datasets.audit(table)
    assert {Path(image).name for image in audit.of("unreadable")["image"]} == set(bad)
    assert f"{len(bad)} images cannot be read" in message(audit, "unreadable")
    reasons = audit.images.set_index("image")["problem"]
    for name, words in bad.items():
        assert words in reasons[str(tmp_path / "bad" / name)]


def test_headers_that_are_not_what_the_name_says(tmp_path):
    table = tree(tmp_path, n=8)
    jpeg = encoded(cell(900), "JPEG", quality=95)
    (tmp_path / "really_png.jpg").write_bytes(encoded(cell(901), "PNG"))
    # A JPEG without its APP0 segment is complete but has no JFIF header.
    assert jpeg[2:4] == b"\xff\xe0"
    (tmp_path / "bare.jpg").write_bytes(jpeg[:2] + jpeg[4 + int.from_bytes(jpeg[4:6]) :])
    (tmp_path / "plain.jpg").write_bytes(jpeg)
    for name in ("really_png.jpg", "bare.jpg", "plain.jpg"):
        table.loc[len(table)] = [str(tmp_path / name), "blast"]
    (tmp_path / "blank.png").write_bytes(encoded(np.full((40, 40, 3), 200, np.uint8), "PNG"))
    table.loc[len(table)] = [str(tmp_path / "blank.png"), "blast"]
    audit = datasets.audit(table, near=False)
    assert stems(audit, "header") == {"really_png"}
    assert "is a PNG" in message(audit, "header")
    assert stems(audit, "jfif") == {"bare"}
    assert stems(audit, "blank") == {"blank"}
    assert audit.images["problem"].isna().all()
    left = audit.drop("jfif", "blank")
    assert {Path(image).stem for image in set(table["image"]) - set(left["image"])} == {
        "bare",
        "blank",
    }
    assert list(left.index) == list(range(len(table) - 2))
    assert len(audit.drop()) == len(table)
    # Only the bytes of the files are read, and nothing else is searched.
    alone = datasets.audit(table, checks=["jfif"])
    assert kinds(alone) == {"jfif"}
    assert message(alone, "jfif") == message(audit, "jfif")
    assert alone.images["width"].isna().all()
    assert {
        Path(image).stem for image in set(table["image"]) - set(alone.drop("jfif")["image"])
    } == {"bare"}
    with pytest.raises(ValueError, match=r"'blank' was not checked.*checks=\['jfif'\]"):
        alone.drop("blank")
    for wrong in (lambda: datasets.audit(table, checks=["jpif"]), lambda: audit.drop("jpif")):
        with pytest.raises(ValueError, match="did you mean jfif"):
            wrong()


# --- Copies -----------------------------------------------------------------------------------


def test_a_copy_under_two_labels(tmp_path):
    table = tree(tmp_path)
    first = table.index[table["label"] == "blast"][0]
    shutil.copy(table["image"][first], tmp_path / "again.png")
    table.loc[len(table)] = [str(tmp_path / "again.png"), "normal"]
    with pytest.warns(datasets.DatasetWarning):
        audit = datasets.audit(table)
    assert kinds(audit, "severe") == {"duplicate_label"}
    assert stems(audit, "duplicate_label") == {"again", Path(table["image"][first]).stem}
    assert "(blast)" in message(audit, "duplicate_label")
    assert "(normal)" in message(audit, "duplicate_label")
    assert "-> look at them: one of the labels is wrong" in repr(audit)
    assert list(audit.duplicates["same"]) == ["bytes", "bytes"]
    with pytest.warns(datasets.DatasetWarning):
        alone = datasets.audit(table, checks=["duplicate"])
    assert kinds(alone) == {"duplicate", "duplicate_label"}
    for kind in ("duplicate", "duplicate_label"):
        assert len(alone.drop(kind)) == len(table) - 2
    assert alone.drop("duplicate_split").equals(alone.table)


def test_the_same_pixels_in_another_file_on_both_sides_of_a_split(tmp_path):
    table = tree(tmp_path).assign(split="train")
    image = cv2.imread(table["image"][3], cv2.IMREAD_COLOR)
    cv2.imwrite(str(tmp_path / "saved.bmp"), image)
    table.loc[len(table)] = [str(tmp_path / "saved.bmp"), table["label"][3], "test"]
    audit = datasets.audit(table)
    assert kinds(audit, "severe") == {"duplicate_split"}
    assert list(audit.duplicates["same"]) == ["pixels", "pixels"]
    # Their bytes differ, so their groups differ, and the finding says how to merge them.
    assert "group_duplicates(table, by='pixels')" in message(audit, "duplicate", "advice")
    joined = datasets.group_duplicates(audit.table, by="pixels")
    assert joined["group"].nunique() == len(table) - 1


CHANGES = {
    "turned": lambda image: np.rot90(image, 1),
    "mirrored": lambda image: image[:, ::-1],
    "turned and mirrored": lambda image: np.rot90(image[:, ::-1], 3),
    "brighter": lambda image: np.clip(image.astype(int) + 15, 0, 255).astype(np.uint8),
    "darker": lambda image: (image * 0.8).astype(np.uint8),
    "cropped": lambda image: image[6:-6, 6:-6],
    "smaller": lambda image: cv2.resize(image, (60, 60), interpolation=cv2.INTER_AREA),
}


@pytest.mark.parametrize("change", [*CHANGES, "jpeg"])
def test_a_near_copy_on_both_sides_of_a_split(tmp_path, change):
    table = tree(tmp_path, n=20, height=lambda index, label: 48).assign(split="train")
    image = cell(5000, 120, 120)
    write(tmp_path / "original.png", image)
    if change == "jpeg":
        (tmp_path / "copy.jpg").write_bytes(encoded(image, "JPEG", quality=40))
        copy = str(tmp_path / "copy.jpg")
    else:
        copy = write(tmp_path / "copy.png", np.ascontiguousarray(CHANGES[change](image)))
    label = table["label"][0]
    table.loc[len(table)] = [str(tmp_path / "original.png"), label, "train"]
    table.loc[len(table)] = [copy, label, "test"]
    audit = datasets.audit(table)
    assert kinds(audit, "severe") == {"near_duplicate_split"}
    (pair,) = audit.near_duplicates.to_dict("records")
    assert {Path(pair["image_a"]).stem, Path(pair["image_b"]).stem} == {"original", "copy"}
    assert bool(pair["mirrored"] or pair["turn"]) == ("turned" in change or "mirrored" in change)
    assert (pair["scale"] < 1) == (change == "cropped")
    groups = datasets.group_duplicates(audit.table.assign(group=np.nan), by="near")["group"]
    assert groups.iloc[-1] == groups.iloc[-2]
    assert groups.nunique() == len(table) - 1


def test_copies_cut_off_centre_are_found_by_their_cell(tmp_path):
    kinds = ["lymphocyte", "neutrophil", "monocyte"]
    listed = datasets.drawn(tmp_path / "drawn", 9, kinds=kinds, size=160, random_state=0, n_jobs=1)
    for index in (1, 7):
        image = cv2.cvtColor(cv2.imread(listed["image"][index]), cv2.COLOR_BGR2RGB)
        moved = np.ascontiguousarray(image[20:, :144])
        write(tmp_path / f"{index}.png", moved if index == 1 else np.rot90(moved))
    paths = [*listed["image"], str(tmp_path / "1.png"), str(tmp_path / "7.png")]
    result = datasets.near_duplicates(paths)
    names = {frozenset((Path(r.image_a).stem, Path(r.image_b).stem)) for r in result.itertuples()}
    expected = {frozenset((Path(listed["image"][index]).stem, str(index))) for index in (1, 7)}
    assert names == expected


def test_turned_copies_only_where_asked_for(tmp_path):
    image = cell(5000, 96, 96)
    table = tree(tmp_path, n=10)["image"].tolist()
    table += [write(tmp_path / "a.png", image), write(tmp_path / "b.png", image[::-1])]
    assert len(datasets.near_duplicates(table)) == 1
    assert datasets.near_duplicates(table, turned=False).empty


def test_cells_laid_on_black_are_not_all_alike(tmp_path):
    y, x = np.mgrid[:100, :100]
    outline = np.hypot(y - 50, x - 50) < 34
    paths = [
        write(tmp_path / f"{seed}.png", cell(seed, 100, 100, (120, 80, 150)) * outline[..., None])
        for seed in range(30)
    ]
    turned = cv2.cvtColor(cv2.imread(paths[7]), cv2.COLOR_BGR2RGB)[::-1]
    paths.append(write(tmp_path / "turned.png", turned))
    result = datasets.near_duplicates(paths)
    assert [(Path(r.image_a).stem, Path(r.image_b).stem) for r in result.itertuples()] == [
        ("7", "turned")
    ]


def test_the_description_of_an_image_stays_when_it_is_turned():
    from hemafeat.datasets._copies.near_duplicates import descriptor, thumbnail

    small = thumbnail(cell(3, 90, 90))
    views = [np.rot90(view, turn) for view in (small, small[:, ::-1]) for turn in range(4)]
    views.append(np.clip(small * 0.5 + 20, 0, 255))
    numbers = descriptor(np.stack(views).astype(np.float32))
    np.testing.assert_allclose(numbers, np.tile(numbers[0], (9, 1)), atol=1e-5)
    # The coefficients of orders 2 and 1 by the definition of the cosine transform.
    index = np.arange(64)
    waves = {u: np.cos(np.pi * (2 * index + 1) * u / 128) * np.sqrt(2 / 64) for u in range(12)}
    waves[0] = np.full(64, np.sqrt(1 / 64))
    low = {(u, v): waves[u] @ small.astype(float) @ waves[v] for u in range(12) for v in range(12)}
    low[0, 0] = 0.0
    energy = np.sqrt(sum(value**2 for value in low.values()))
    pairs = [(u, v) for u in range(6) for v in range(u + 1) if 0 < u + v <= 6]
    at = sum(2 if u != v else 1 for u, v in pairs[: pairs.index((2, 1))])
    expected = sorted((abs(low[2, 1]), abs(low[1, 2])), reverse=True)
    np.testing.assert_allclose(numbers[0, at : at + 2], np.array(expected) / energy, rtol=1e-4)


# --- Batches ----------------------------------------------------------------------------------


def test_sizes_that_give_the_label_away(tmp_path):
    audit = datasets.audit(tree(tmp_path, height=lambda _, label: 52 if label == "blast" else 48))
    assert kinds(audit, "severe") == {"image_size"}
    assert "balanced accuracy 1.000" in message(audit, "image_size")
    shares = audit.batches[audit.batches["kind"] == "image_size"].set_index(["batch", "label"])
    assert shares["share"]["48 x 52", "blast"] == 1


def test_backgrounds_that_give_the_label_away(tmp_path):
    blue = (190, 205, 240)
    ground = {"blast": blue, "normal": (228, 214, 232)}
    audit = datasets.audit(tree(tmp_path, ground=lambda _, label: ground[label]))
    assert kinds(audit, "severe") == {"background"}
    assert "2 batches of background colour" in message(audit, "background")
    assert set(audit.images["background_batch"]) == {1, 2}


def test_batches_that_know_no_label_are_a_note(tmp_path):
    audit = datasets.audit(tree(tmp_path, height=lambda index, _: 48 + 4 * (index % 3 == 0)))
    assert kinds(audit, "severe") == set()
    assert "do not predict the label" in message(audit, "image_size")


MARKS = {
    "black text": lambda image: put_text(image, (0, 0, 0)),
    "yellow text": lambda image: put_text(image, (255, 255, 0)),
    "scale bar": lambda image: cv2.line(image, (20, 340), (110, 340), (20, 20, 20), 1),
    "upright bar": lambda image: cv2.line(image, (14, 90), (14, 200), (90, 30, 30), 2),
    "thick bar": lambda image: cv2.rectangle(image, (250, 330), (340, 340), (0, 0, 0), -1),
    "arrow": lambda image: cv2.arrowedLine(image, (20, 20), (90, 90), (0, 255, 0), 3),
}


def put_text(image, colour):
    return cv2.putText(image, "20 um", (10, 345), cv2.FONT_HERSHEY_SIMPLEX, 0.8, colour, 2)


@pytest.fixture(scope="module")
def plain_cells():
    names = ["lymphocyte", "monocyte", "neutrophil", "basophil"]
    cells = [datasets.draw_cell(names[k % 4], random_state=k) for k in range(20)]
    return [cv2.resize(drawn.image, (360, 360)) for drawn in cells]


@pytest.mark.parametrize("mark", MARKS)
def test_marks_on_images_are_found_and_cells_are_not(plain_cells, mark):
    draw = MARKS[mark]
    audit = datasets.audit([draw(image.copy()) for image in plain_cells[:4]], near=False)
    assert (audit.images["marks"] != "").all()
    assert message(audit, "marks").startswith("4 images with ")
    assert "marks" not in kinds(datasets.audit(plain_cells[:4], near=False))


def test_the_needle_of_an_eyepiece_is_found():
    field = np.full((360, 480, 3), (205, 210, 200), np.uint8)
    for x in (80, 200, 320):
        cv2.circle(field, (x, 120), 40, (190, 130, 140), -1)
    shade = np.zeros(field.shape[:2], np.float32)
    cv2.line(shade, (450, 359), (400, 180), 1, 10)
    shade = cv2.GaussianBlur(shade, (0, 0), 2)[..., None]
    with_needle = (field * (1 - 0.6 * shade)).astype(np.uint8)
    found = datasets.survey(datasets.as_table([field, with_needle]))
    assert found["marks"].tolist() == ["", "pointer"]


def test_marks_that_give_a_class_away_are_severe_else_a_note(plain_cells):
    labels = ["lymphocyte", "monocyte", "neutrophil", "basophil"]
    table = pd.DataFrame(
        {
            "image": [f"{k:02d}.png" for k in range(20)],
            "label": [labels[k % 4] for k in range(20)],
        }
    )
    table = datasets.as_table(table)

    def audited(marked):
        images = list(plain_cells)
        for k in marked:
            images[k] = put_text(images[k].copy(), (0, 0, 0))
        return datasets.audit(table.assign(image=images), near=False)

    of_one_class = audited([k for k in range(20) if labels[k % 4] == "neutrophil"])
    assert "marks" in kinds(of_one_class, "severe")
    assert "100 % of neutrophil and 0 % of the others" in message(of_one_class, "marks")
    assert len(of_one_class.of("marks")) == 5
    assert "marks" in kinds(audited([0, 1, 2, 3, 4, 5, 6, 7]), "note")
    assert "marks" in kinds(audited([3]), "note")


@pytest.mark.parametrize(("name", "most"), [("pbc_dev", 1), ("bccd", 1), ("segwbc_d1", 2)])
def test_few_real_cells_are_taken_for_marks(real_data, name, most):
    folder = real_data / name / "images"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found = datasets.survey(datasets.as_table([str(path) for path in files[:: len(files) // 50]]))
    assert (found["marks"] != "").sum() <= most


def test_scale_bars_of_real_fields_are_found(real_data):
    files = sorted((real_data / "chula_rbc" / "images").glob("*.jpg"))[::6]
    found = datasets.survey(datasets.as_table([str(path) for path in files]))
    assert (found["marks"] != "").mean() > 0.7


def test_what_a_batch_tells_is_the_balanced_accuracy_of_the_best_guess():
    from sklearn.metrics import balanced_accuracy_score

    from hemafeat.datasets._audit.batches import balanced_accuracy

    rng = np.random.default_rng(0)
    label = rng.choice(["a", "b", "c"], 300, p=[0.6, 0.3, 0.1])
    batch = np.where(rng.random(300) < 0.4, label, rng.choice(["x", "y"], 300))
    guess = {}
    for name in set(batch):
        inside = {k: np.mean(batch[label == k] == name) for k in "abc"}
        guess[name] = max(inside, key=inside.get)
    expected = balanced_accuracy_score(label, [guess[name] for name in batch])
    assert balanced_accuracy(batch, label) == pytest.approx(expected)


def test_patients_who_share_slide_and_label_are_no_proof():
    """With one colour per patient, images seem to predict the label, but patients do not."""
    from hemafeat.datasets._audit.batches import permutation_test

    patient = np.repeat(np.arange(10), 30)
    label = np.array(list("ababababab"))[patient]
    assert permutation_test(patient, label, patient)[2] > 0.5
    assert permutation_test(patient, label, np.arange(300))[2] < 0.01


# --- Patients and labels ----------------------------------------------------------------------


def test_patients_on_both_sides_and_of_one_class():
    table = listed()
    audit = datasets.audit(table.assign(split=np.where(table["patient"] < "P2", "train", "test")))
    assert "patient_split" not in kinds(audit)
    assert "each of the 40 patients has a single class" in message(audit, "single_class")
    split = np.where(np.arange(len(table)) % 2, "train", "test")
    audit = datasets.audit(table.assign(split=split))
    assert kinds(audit, "severe") == {"patient_split"}
    assert "40 patients on both sides" in message(audit, "patient_split")
    assert len(audit.of("patient_split")) == len(table)


def test_labels_spelled_twice_rare_or_missing():
    table = listed()
    table.loc[table.index[:3], "label"] = "Reactive "
    table.loc[table.index[3], "label"] = "rare"
    table.loc[table.index[4:6], "label"] = np.nan
    audit = datasets.audit(table)
    assert "'Reactive' and 'reactive'" in message(audit, "spelling")
    assert "rare (1)" in message(audit, "few_groups")
    assert len(audit.of("labels")) == 2
    counted = audit.classes.set_index("label")
    assert counted["images"].to_dict() == table["label"].str.strip().value_counts().to_dict()


def test_one_file_name_under_two_labels(tmp_path):
    rows = [(write(tmp_path / k / "SNE_12.png", cell(i)), k) for i, k in enumerate(("a", "b"))]
    rows += [(write(tmp_path / k / "13.png", cell(i + 5)), k) for i, k in enumerate(("a", "b"))]
    audit = datasets.audit(pd.DataFrame(rows, columns=["image", "label"]))
    assert set(audit.of("name")["image"]) == {rows[0][0], rows[1][0]}


# --- The result -------------------------------------------------------------------------------


def test_neither_order_nor_threads_change_what_is_found(tmp_path):
    table = tree(tmp_path, n=30, height=lambda index, label: 48 + 2 * (label == "blast"))
    shutil.copy(table["image"][0], tmp_path / "copy.png")
    table.loc[len(table)] = [str(tmp_path / "copy.png"), table["label"][0]]
    first = datasets.audit(table, n_jobs=1)
    second = datasets.audit(table.sample(frac=1, random_state=1), n_jobs=4)
    order = second.images["image"].map({name: i for i, name in enumerate(first.images["image"])})
    columns = [name for name in first.images if name != "row"]
    pd.testing.assert_frame_equal(
        first.images[columns],
        second.images[columns].iloc[np.argsort(order)].reset_index(drop=True),
    )
    assert set(first.findings["kind"]) == set(second.findings["kind"])
    assert message(first, "image_size") == message(second, "image_size")


def test_an_audit_is_saved_as_tables(tmp_path):
    audit = datasets.audit(tree(tmp_path / "cells", n=10))
    for suffix, read in ((".csv", pd.read_csv), (".parquet", pd.read_parquet)):
        audit.save(tmp_path / "out", suffix=suffix)
        again = read(tmp_path / "out" / f"audit_findings{suffix}")
        assert list(again["message"]) == list(audit.frame()["message"])
        assert len(read(tmp_path / "out" / f"audit_images{suffix}")) == 10
    with pytest.raises(ValueError, match=r"expected '\.csv' or '\.parquet'"):
        audit.save(tmp_path, suffix=".xls")


def test_an_audit_of_arrays_and_of_nothing(tmp_path):
    audit = datasets.audit([cell(1), cell(2), np.rot90(cell(1)).copy()])
    assert len(audit.near_duplicates) == 1
    with pytest.raises(DatasetError, match="does not exist"):
        datasets.audit(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="'bytes', 'pixels' or 'near'"):
        datasets.group_duplicates(datasets.as_table([cell(1)]), by="luck")


# --- Real cells -------------------------------------------------------------------------------


@pytest.mark.realdata
def test_segmentation_wbc_holds_one_image_twice_and_twelve_cells_again(real_data):
    audit = datasets.audit(real_data / "segwbc_d1")
    assert {Path(name).stem for name in audit.duplicates["image"]} == {"112", "139"}
    near = audit.near_duplicates
    result = {(Path(a).stem, Path(b).stem) for a, b in zip(near.image_a, near.image_b, strict=True)}
    # Visually confirmed: each pair is a cell that was cropped or photographed twice.
    expected = "019-075 021-082 030-086 051-073 054-091 056-092 060-090 070-072 071-084 157-158"
    expected += " 166-171 167-169"
    assert result == {tuple(pair.split("-")) for pair in expected.split()}
    assert "2 batches of background colour" in message(audit, "background")


@pytest.mark.realdata
def test_the_odd_sizes_of_pbc_are_a_batch_of_their_own(real_data):
    table = datasets.as_table(real_data / "pbc_dev")
    odd = (table["width"] != 360) | (table["height"] != 363)
    rest = table[~odd].iloc[::8]
    audit = datasets.audit(pd.concat([table[odd], rest]), near=False)
    assert odd.sum() == 91
    assert "360 x 363" in message(audit, "image_size")
    assert "predict" in message(audit, "image_size")
    assert "do not predict" not in message(audit, "image_size")
    assert "91 of the 91 images of an unusual size" in message(audit, "batch")
