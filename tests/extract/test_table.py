"""Every good image is measured by `extract.table`, and every bad one is a row of errors."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets, extract, segment
from hemafeat.extract import _columns
from support.bad_files import write_bad_files, write_good_files


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Eighteen drawn cells of three patients, small so that this also runs without the JIT."""
    out = tmp_path_factory.mktemp("drawn") / "cells"
    return datasets.drawn(out, n_images=18, n_patients=3, size=120, random_state=3)


FAST = ["shape", "density"]


def test_one_row_per_labelled_image(drawn: pd.DataFrame) -> None:
    table = extract.table(drawn, families=FAST, n_jobs=2)
    assert len(table) + len(extract.errors(table)) == len(drawn)
    assert list(table["image"]) == [p for p in drawn["image"] if p in set(table["image"])]
    assert extract.feature_columns(table) == extract.columns(FAST)
    assert {"label", "patient", "group", "dataset", "quality__confidence"} <= set(table)
    assert set(table.attrs["units"]) == set(extract.columns(FAST))


@pytest.mark.slow_without_jit
def test_workers_and_order_do_not_matter(drawn: pd.DataFrame) -> None:
    expected = extract.table(drawn, families=FAST, n_jobs=1)
    table = extract.table(drawn, families=FAST, n_jobs=4)
    pd.testing.assert_frame_equal(expected, table, check_exact=True)
    reversed_ = extract.table(drawn.iloc[::-1], families=FAST[::-1], n_jobs=3)
    pd.testing.assert_frame_equal(
        expected.sort_values("image", ignore_index=True),
        reversed_.sort_values("image", ignore_index=True),
        check_exact=True,
    )


def test_all_cells_of_an_unlabelled_image(drawn: pd.DataFrame) -> None:
    unlabelled = drawn.assign(label=pd.NA)
    table = extract.table(unlabelled, families=["shape"], masks="given", n_jobs=1)
    counts = table.groupby("image")["cell"].agg(["min", "max", "size"])
    assert (counts["min"] == 1).all()
    assert (counts["max"] == counts["size"]).all()


def test_two_cells_and_the_central_one() -> None:
    image = np.full((60, 100, 3), 235, np.uint8)
    cell = np.zeros((60, 100), np.int32)
    cv2.circle(cell, (20, 30), 12, 1, -1)
    cv2.circle(cell, (58, 30), 15, 2, -1)
    image[cell > 0] = (150, 120, 180)
    masks = segment.Masks(cell, np.zeros_like(cell))
    all_cells = extract.table([image], masks=[masks], families=["shape"], cells="all")
    central = extract.table([image], masks=[masks], families=["shape"], cells="central")
    assert list(all_cells["cell"]) == [1, 2]
    assert list(central["cell"]) == [2]
    assert central["cell__shape__area"].item() == np.count_nonzero(cell == 2)
    assert list(all_cells["image"]) == ["array[0]", "array[0]"]
    assert list(all_cells["quality__n_cells"]) == [2, 2]


def test_given_masks_in_every_form(drawn: pd.DataFrame, tmp_path: Path) -> None:
    sample = drawn.head(4)
    expected = extract.table(sample, masks="given", families=FAST)
    folder = extract.table(sample, masks=Path(sample["mask"].iloc[0]).parents[1], families=FAST)
    listed = extract.table(sample, masks=list(sample["mask"]), families=FAST)
    arrays = [segment.read_masks(path) for path in sample["mask"]]
    pairs = extract.table(sample, masks=[(m.cell, m.nucleus) for m in arrays], families=FAST)
    for table in (folder, listed, pairs):
        pd.testing.assert_frame_equal(
            expected[extract.columns(FAST)], table[extract.columns(FAST)], check_exact=True
        )


def test_every_good_file_is_measured_and_every_bad_one_named(tmp_path: Path) -> None:
    good = write_good_files(tmp_path)
    bad = write_bad_files(tmp_path)
    # A folder with the name of an image is searched for images, not read.
    bad = {name: reason for name, reason in bad.items() if not (tmp_path / name).is_dir()}
    assert len(bad) >= 20
    table = extract.table(tmp_path, families=["shape"], cells="central", n_jobs=2, segmenter=_disc)
    errors = extract.errors(table)
    assert {Path(p).name for p in table["image"]} == {Path(name).name for name in good}
    messages = {Path(row.image).name: row.message for row in errors.itertuples()}
    assert set(messages) == {Path(name).name for name in bad}
    for name, reason in bad.items():
        message = messages[Path(name).name]
        assert reason.lower() in message.lower(), (name, message)
    assert (errors["stage"] == "read").all()


def _disc(image: np.ndarray) -> segment.Masks:
    cell = np.zeros(image.shape[:2], np.int32)
    height, width = cell.shape
    cv2.circle(cell, (width // 2, height // 2), max(1, min(height, width) // 3), 1, -1)
    return segment.Masks(cell, np.zeros_like(cell))


def _broken(image: np.ndarray) -> segment.Masks:
    raise RuntimeError("no weights")


def test_failures_keep_their_stage(drawn: pd.DataFrame) -> None:
    sample = drawn.head(2)
    empty = np.full((50, 50, 3), 240, np.uint8)
    assert list(extract.errors(extract.table([empty]))["error"]) == ["NoCellFound"]
    failed = extract.errors(extract.table(sample, segmenter=_broken))
    assert list(failed["stage"]) == ["segment", "segment"]
    assert list(failed["message"]) == ["no weights", "no weights"]

    @extract.family({"one": extract.Column("1", "one")}, masks=["cell"])
    def failing(image: np.ndarray, labels: np.ndarray, n_cells: int | None = None) -> np.ndarray:
        """Raise an error."""
        raise ZeroDivisionError("on purpose")

    table = extract.table(sample, families=["shape", failing], masks="given")
    assert len(table) == 2
    assert table["cell__failing__one"].isna().all()
    assert table["cell__shape__area"].notna().all()
    assert list(extract.errors(table)["stage"]) == ["extract:failing"] * 2


def test_scale(drawn: pd.DataFrame) -> None:
    pixels = extract.table(drawn.assign(um_per_px=np.nan), families=["shape"], masks="given")
    half = extract.table(drawn, families=["shape"], masks="given", um_per_px=0.5)
    area = "cell__shape__area"
    np.testing.assert_allclose(half[area], pixels[area] * 0.25)
    assert (pixels.attrs["units"][area], half.attrs["units"][area]) == ("px^2", "um^2")
    mixed = drawn.assign(um_per_px=[0.1] * (len(drawn) - 1) + [np.nan])
    with pytest.raises(ValueError, match="known for 17 of 18"):
        extract.table(mixed, families=["shape"])
    with pytest.raises(ValueError, match="positive"):
        extract.table(drawn, um_per_px=-1)


SHAPE = {"families": ["shape"], "n_jobs": 1}


@pytest.mark.parametrize("value", [100, 2.5, 0.01, np.float64(1e-3)])
def test_a_scale_that_no_microscope_has(drawn: pd.DataFrame, tmp_path: Path, value: float) -> None:
    few = drawn.head(2)
    cell = datasets.draw_cell("monocyte", random_state=0)
    masks = segment.Masks(cell.cell, cell.nucleus)
    words = rf"= {value:g} makes a cell of 100 px [\d,.e-]+ um wide, and white cells are 7 to 25 um"
    for measure in (
        lambda: extract.table(few, um_per_px=value, **SHAPE),
        lambda: extract.table(few.assign(um_per_px=value), **SHAPE),
        lambda: extract.stream(few, tmp_path / "out", um_per_px=value, **SHAPE),
        lambda: extract.CellFeatures(um_per_px=value, **SHAPE).fit_transform(few),
        lambda: extract.measure(cell.image, masks, um_per_px=value, families=["shape"]),
    ):
        with pytest.warns(datasets.DatasetWarning, match=words):
            measure()
    with pytest.warns(datasets.DatasetWarning, match=rf"to_um_per_px = {value:g} makes"):
        extract.table(few, um_per_px=value, to_um_per_px=value, **SHAPE)


@pytest.mark.parametrize("value", [0.03, 0.1, np.float32(0.5), 1, 1.5])
def test_scales_of_microscopes(drawn: pd.DataFrame, value: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = extract.table(drawn.head(2), um_per_px=value, **SHAPE)
    assert table["um_per_px"].tolist() == [float(value)] * 2


@pytest.mark.parametrize("value", ["0.1", "abc", -1, np.float64(-1), 0, np.inf, np.nan, True, [1]])
def test_what_is_no_scale(drawn: pd.DataFrame, value: object) -> None:
    cell = datasets.draw_cell("monocyte", random_state=0)
    masks = segment.Masks(cell.cell, cell.nucleus)
    for name, measure in {
        "um_per_px": lambda: extract.table(drawn, um_per_px=value),
        "to_um_per_px": lambda: extract.table(drawn, to_um_per_px=value),
        "um_per_px ": lambda: extract.measure(cell.image, masks, um_per_px=value),
    }.items():
        with pytest.raises(ValueError, match=rf"^{name.strip()} must be (a )?positive") as caught:
            measure()
        assert "np." not in str(caught.value)


def test_an_image_is_not_resized_to_gigapixels(drawn: pd.DataFrame) -> None:
    with pytest.warns(datasets.DatasetWarning):
        table = extract.table(drawn.head(1), um_per_px=100, to_um_per_px=0.1, **SHAPE)
    assert extract.errors(table)["message"].str.contains("check the um per pixel").all()


FORMULAS = ["=1+1", "+a", "-b", "@c", "\tx", "'=1", "''@1", "'x", "-5", "+1.5", "-", "a=b", "1e5-"]


def test_text_is_no_formula_in_a_csv(tmp_path: Path) -> None:
    """A spreadsheet would run a cell that begins with ``=``; what is read back is what it was."""
    image = datasets.draw_cell("monocyte", random_state=0, size=120).image
    names = []
    for number, text in enumerate(FORMULAS):
        name = f"{text}{number}.png".replace("\t", "@")
        cv2.imwrite(str(tmp_path / name), image[:, :, ::-1])
        names.append(name)
    listed = pd.DataFrame({"image": [*names, "=missing.png"], "patient": [*FORMULAS, "=p"]})
    listed["=SUM(A1)"] = listed["note"] = listed["patient"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        table = extract.table(listed, out="out.csv", **SHAPE)
    assert len(extract.errors(table)) == 1
    loaded = extract.load(tmp_path / "out.csv")
    for column in ("image", "patient", "=SUM(A1)", "note"):
        assert list(loaded[column]) == list(table[column])
    assert extract.errors(loaded).equals(extract.errors(table))
    for file in ("out.csv", "out.errors.csv"):
        cells = pd.read_csv(tmp_path / file, dtype=str, header=None, keep_default_na=False)
        dangerous = cells.apply(lambda column: column.str.match(r"[=@\t\r]|[+-](?![0-9.e-]+$)"))
        assert not dangerous.to_numpy().any()
    assert list(datasets.from_csv(tmp_path / "out.csv")["patient"]) == list(table["patient"])


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text on other systems")
def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    image = datasets.draw_cell("monocyte", random_state=0, size=120).image
    root = os.fsencode(tmp_path) + b"/Gr\xfcn"
    os.mkdir(root)
    data = cv2.imencode(".png", image[:, :, ::-1])[1].tobytes()
    for name, content in {b"Zelle_\xe4.png": data, b"b.png": data[:-50], b"\xe4.png": b""}.items():
        Path(os.fsdecode(root + b"/" + name)).write_bytes(content)
    folder = os.fsdecode(root)
    expected = [f"{tmp_path}/Gr%FCn/Zelle_%E4.png"]
    for out in (None, tmp_path / "out", tmp_path / "o.csv", tmp_path / "o.parquet"):
        table = extract.table(folder, out=out, **SHAPE)
        for result in [table] if out is None else [table, extract.load(out)]:
            assert list(result["image"]) == expected
            failed = [Path(name).name for name in extract.errors(result)["image"]]
            assert sorted(failed) == ["%E4.png", "b.png"]
    again = extract.stream(folder, tmp_path / "out", **SHAPE)
    assert again.n_kept == 1


@pytest.mark.parametrize("target", ["result", "cells.parquet", "cells.csv"])
def test_round_trip(drawn: pd.DataFrame, tmp_path: Path, target: str) -> None:
    listed = pd.concat([drawn.head(3), drawn.head(1).assign(image="missing.png")])
    table = extract.table(listed, families=FAST, out=tmp_path / target, masks=None)
    loaded = extract.load(tmp_path / target)
    features = extract.columns(FAST)
    pd.testing.assert_frame_equal(table[features], loaded[features], check_exact=True)
    assert list(table.columns) == list(loaded.columns)
    assert extract.units(loaded) == extract.units(table)
    pd.testing.assert_frame_equal(extract.errors(table), extract.errors(loaded), check_dtype=False)
    assert not list(tmp_path.rglob("*.part"))


def test_refuses_to_mix(drawn: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("hello", encoding="utf-8")
    with pytest.raises(FileExistsError, match="not hold an earlier result"):
        extract.table(drawn, out=tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        extract.table(drawn, out=tmp_path / "no" / "cells.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(ValueError, match="not a table of cells"):
        extract.load(tmp_path / "other.csv")


def test_bad_arguments(drawn: pd.DataFrame) -> None:
    with pytest.raises(extract.FamilyError, match="no family 'shap'; did you mean shape"):
        extract.table(drawn, families=["shap"])
    with pytest.raises(extract.FamilyError, match="no family was chosen"):
        extract.table(drawn, families=[])
    with pytest.raises(ValueError, match="cells is"):
        extract.table(drawn, cells="middle")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 masks were given for 18 images"):
        extract.table(drawn, masks=[drawn["mask"].iloc[0]])


FORMER = "nucleus__tavakoli__circularity"
CURRENT = "nucleus__tavakoli__circularity_inverse"


@pytest.mark.parametrize("target", ["result", "shards", "cells.parquet", "cells.csv"])
def test_former_names_of_columns_are_replaced(tmp_path: Path, target: str) -> None:
    path = tmp_path / target
    table = pd.DataFrame({"image": ["a", "b"], "cell": 1, FORMER: [1.5, 2.0], "age": [3, 4]})
    table.attrs["units"] = {FORMER: "1"}
    extract.save(table, tmp_path / "result" if target == "shards" else path)
    if target == "shards":
        (path / "cells").mkdir(parents=True)
        (tmp_path / "result" / "cells.parquet").rename(path / "cells" / "part-00000.parquet")
        manifest = {"state": "complete", "units": {FORMER: "1"}}
        (path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.warns(UserWarning, match=f"{FORMER} is now {CURRENT}$") as warned:
        loaded = extract.load(path)
    assert len(warned) == 1
    assert list(loaded.columns) == ["image", "cell", CURRENT, "age"]
    assert list(loaded[CURRENT]) == [1.5, 2.0]
    assert extract.units(loaded) == {CURRENT: "1"}
    for columns in (["age", CURRENT], ["age", FORMER]):
        with pytest.warns(UserWarning, match="were renamed"):
            sample = extract.load(path, columns=columns)
        assert list(sample.columns) == ["age", CURRENT]
        assert extract.units(sample) == {CURRENT: "1"}


def former_table() -> pd.DataFrame:
    """Return a table with all former names, of which the values tell the columns apart."""
    names = list(_columns.RENAMED)
    values = pd.DataFrame([np.arange(len(names), dtype=float)], columns=names)
    return pd.concat([pd.DataFrame({"image": ["a"], "cell": [1]}), values], axis=1)


def test_a_warning_lists_a_few_of_many_renamed_columns(tmp_path: Path) -> None:
    extract.save(former_table(), tmp_path / "cells.parquet")
    with pytest.warns(UserWarning, match=r" is now .* and \d{3} more, see extract.cur") as warned:
        loaded = extract.load(tmp_path / "cells.parquet")
    assert len(warned) == 1
    assert len(str(warned[0].message)) < 1000
    assert list(loaded)[2:] == list(_columns.RENAMED.values())
    assert list(loaded.iloc[0, 2:]) == list(range(len(_columns.RENAMED)))


@pytest.mark.parametrize(
    ("column", "former", "current"),
    [
        ("nucleus__colour__mean__r", "intensity", "level"),
        ("nucleus__glcm__joint_entropy_range_d2", "1", "bit"),
        ("cell__lbp__entropy_p8", "1", "bit"),
        ("cell__dct__spectral_centroid", "1", "half-cycles per box"),
        ("cell__intensity__energy__od_b", "OD^2", "OD^2 px^2"),
        ("cell__intensity__energy__b", "OD^2", "OD^2 px^2"),
        ("cell__intensity__variance__od_b", "OD^2", "OD^2"),
    ],
)
def test_former_units_are_replaced(column: str, former: str, current: str) -> None:
    assert extract.current_units({column: former, "x": "1"}) == {column: current, "x": "1"}
    now = _columns.RENAMED.get(column, column)
    assert extract.units(pd.DataFrame({now: [1.0]})) == {now: current}
    stored = pd.DataFrame({now: [1.0]})
    stored.attrs["units"] = {now: former}
    assert extract.units(stored) == {now: current}


def test_former_energies_are_in_px_whatever_the_scale(tmp_path: Path) -> None:
    names = ["cell__intensity__energy__g", "cell__shape__area"]
    table = pd.DataFrame(
        {"image": ["a"], "cell": 1, "um_per_px": 0.1, names[0]: 9.0, names[1]: 1.0}
    )
    table.attrs["units"] = dict(zip(names, ["OD^2", "um^2"], strict=True))
    for target in ("result", "cells.csv"):
        extract.save(table, tmp_path / target)
        with pytest.warns(UserWarning, match="were renamed"):
            loaded = extract.load(tmp_path / target)
        expected = {"cell__intensity__energy__od_g": "OD^2 px^2", "cell__shape__area": "um^2"}
        assert extract.units(loaded) == expected


def test_a_former_name_reads_a_current_table(tmp_path: Path) -> None:
    table = pd.DataFrame({"image": ["a"], "cell": 1, CURRENT: [1.5]})
    extract.save(table, tmp_path / "cells.csv")
    with pytest.warns(UserWarning, match=f"{FORMER} is now {CURRENT}"):
        assert list(extract.load(tmp_path / "cells.csv", columns=[FORMER]).columns) == [CURRENT]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert CURRENT in extract.load(tmp_path / "cells.csv")
    both = table.assign(**{FORMER: 2.0})
    extract.save(both, tmp_path / "both.csv")
    assert list(extract.load(tmp_path / "both.csv").columns) == list(both.columns)


def test_former_names_have_current_columns() -> None:
    names = list(_columns.RENAMED)
    assert set(extract.current_names(names)) <= set(extract.columns("all"))
    assert not set(names) & set(extract.columns("all"))
    assert extract.current_names(["image", "no__such__column"]) == ["image", "no__such__column"]


def test_the_former_name_of_an_argument(drawn: pd.DataFrame, tmp_path: Path) -> None:
    sample = drawn.head(2)
    expected = extract.table(sample, families=["shape"], masks="given", to_um_per_px=0.2)
    with pytest.warns(FutureWarning, match="'resample' is now called 'to_um_per_px'"):
        table = extract.table(sample, families=["shape"], masks="given", resample=0.2)
    pd.testing.assert_frame_equal(table, expected, check_exact=True)
    with pytest.warns(FutureWarning, match="'resample' is now called 'to_um_per_px'"):
        extract.stream(sample, tmp_path / "out", families=["shape"], masks="given", resample=0.2)
    # The key of the manifest is that of earlier versions, which both read.
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))
    assert manifest["asked"]["resample"] == 0.2


@pytest.mark.slow_without_jit
def test_transformer(drawn: pd.DataFrame) -> None:
    from sklearn.base import clone
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.tree import DecisionTreeClassifier

    step = extract.CellFeatures(families=FAST, n_jobs=1)
    assert clone(step).get_params() == step.get_params()
    paths = list(drawn["image"])
    expected = extract.table(drawn, families=FAST, cells="central", um_per_px=None)
    values = clone(step).set_output(transform="pandas").fit_transform([*paths[:5], paths[0]])
    assert list(values.columns) == extract.columns(FAST) == list(step.get_feature_names_out())
    np.testing.assert_array_equal(values.iloc[0], values.iloc[5])
    pixels = extract.table(paths[:5], families=FAST, cells="central")
    np.testing.assert_array_equal(values.to_numpy()[:5], pixels[extract.columns(FAST)])
    assert len(expected)

    model = make_pipeline(step, DecisionTreeClassifier(random_state=0))
    scores = cross_val_score(model, np.array(paths, dtype=object), drawn["label"], cv=2)
    assert np.isfinite(scores).all()

    images = np.stack([cv2.imread(p)[:, :, ::-1] for p in paths[:3]])
    np.testing.assert_array_equal(step.fit(images).transform(images), values.to_numpy()[:3])
    for one, count in ((images[0], 1), (images[0, :, :, 0], 1), (images[:1], 1), (images, 3)):
        assert step.transform(one).shape[0] == count == len(extract.table(one, families=FAST))
    by_path = pd.DataFrame({"path": paths[:2], "note": "x"})
    np.testing.assert_array_equal(step.transform(by_path), values.to_numpy()[:2])
    with pytest.raises(ValueError, match=r"no column 'image' or 'path'.*first columns: picture"):
        step.transform(pd.DataFrame({"picture": paths}))
    with pytest.warns(UserWarning, match="1 of 2 images could not be measured"):
        rows = step.transform([paths[0], "missing.png"])
    assert np.isnan(rows[1]).all()
    assert not np.isnan(rows[0]).all()


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of classes, each with one smear field of four cells."""
    root = tmp_path_factory.mktemp("fields")
    for seed, kind in enumerate(("monocyte", "lymphocyte")):
        (root / kind).mkdir()
        field = datasets.draw_field(
            [kind] * 4, shape=(280, 400), um_per_px=0.2, neighbours=0.0, random_state=seed
        )
        cv2.imwrite(str(root / kind / "1.png"), field.image[:, :, ::-1])
    return root


def test_fields_in_folders_of_classes_are_not_reduced_silently(
    fields: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from hemafeat.cli import main

    shape = {"families": ["shape"], "n_jobs": 1}
    with pytest.warns(UserWarning, match="only the central cell of each image was kept") as caught:
        table = extract.table(fields, **shape)
    assert caught[0].filename == __file__
    n_left_out = int(table["quality__n_cells"].sum()) - 2
    assert f"2 cells, and {n_left_out} others were left out" in str(caught[0].message)
    with pytest.warns(UserWarning, match=f"{n_left_out} others") as caught:
        assert extract.stream(fields, tmp_path / "s", **shape).n_left_out == n_left_out
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for out in ("r", "t.parquet"):
            words = ["extract", fields, "--out", tmp_path / out, "--families", "shape", "-j", 1]
            assert main([str(word) for word in words]) == 0
            assert f"{n_left_out} other cells were left out" in capsys.readouterr().out
        # Nothing to say where somebody chose, or where nothing is left out.
        extract.table(fields, cells="central", **shape)
        assert len(extract.table(fields, cells="all", **shape)) == n_left_out + 2


def test_one_rule_for_all_images_of_a_table_which_holds_it(fields: Path, tmp_path: Path) -> None:
    files = sorted(map(str, fields.rglob("*.png")))
    some = pd.DataFrame({"image": files, "label": ["lymphocyte", None]})
    shape = {"families": ["shape"], "n_jobs": 1}
    expected = {"central": (some, [1, 1]), "all": (some.drop(columns="label"), None)}
    for rule, (images, counts) in expected.items():
        for out in (None, tmp_path / f"{rule}.parquet", tmp_path / rule):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                table = extract.table(images, out=out, **shape)
            found = table.groupby("image").size().tolist()
            assert found == counts if counts else min(found) > 1
            again = table if out is None else extract.load(out)
            how = {"segmenter": "contours", "normalise": "none", "to_um_per_px": "none"}
            assert extract.measured(again) == {"cells": rule, **how}
            extract.save(again, tmp_path / "saved")
            assert extract.measured(extract.load(tmp_path / "saved")) == {"cells": rule, **how}
        # Without the options, the rows tell.
        table.to_csv(tmp_path / "bare.csv", index=False)
        assert extract.measured(extract.load(tmp_path / "bare.csv")) == {"cells": rule}
    former = pd.concat([extract.load(tmp_path / "all"), extract.load(tmp_path / "central")])
    former = former[former["image"].ne(files[0]) | former["label"].notna()]
    former = former[former["image"].ne(files[1]) | former["label"].isna()]
    former = former.drop_duplicates(["image", "cell"]).assign(patient=None)
    assert extract.measured(former) == {"cells": "auto"}
