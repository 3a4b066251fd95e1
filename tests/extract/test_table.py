"""Every good image is measured by `extract.table`, and every bad one is a row of errors."""

from __future__ import annotations

import datetime
import decimal
import errno
import json
import os
import re
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from hemafeat import _machine, datasets, extract, segment
from hemafeat.extract import _former
from hemafeat.extract._table import result
from support.bad_files import write_bad_files, write_good_files
from support.shard_work import disc, noise


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
        for loaded in [table] if out is None else [table, extract.load(out)]:
            assert list(loaded["image"]) == expected
            failed = [Path(name).name for name in extract.errors(loaded)["image"]]
            assert sorted(failed) == ["%E4.png", "b.png"]
    again = extract.stream(folder, tmp_path / "out", **SHAPE)
    assert again.n_kept == 1


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text on other systems")
def test_targets_whose_names_are_not_utf_8(drawn: pd.DataFrame, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"Gr\xfcn")
    folder.mkdir()
    listed = drawn.head(3)
    expected = extract.table(listed, **SHAPE)
    for name in ("out", "o.csv", "o.parquet"):
        extract.table(listed, out=folder / name, **SHAPE)
        assert list(extract.load(folder / name)["image"]) == list(expected["image"])
    assert extract.stream(listed, folder / "out", shard_size=2, restart=True, **SHAPE).n_cells == 3
    assert extract.stream(listed, folder / "out", shard_size=2, **SHAPE).n_kept == 2
    features = extract.columns(["shape"])
    pd.testing.assert_frame_equal(extract.load(folder / "out")[features], expected[features])
    # An earlier file of ours is replaced; the list of images is read from such a folder, too.
    extract.table(listed, out=folder / "o.parquet", **SHAPE)
    listed.to_parquet(tmp_path / "list.parquet")
    (tmp_path / "list.parquet").rename(folder / "list.parquet")
    assert len(datasets.as_table(folder / "list.parquet")) == 3


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


def test_redrawn_copies_stand_beside_their_cells(drawn: pd.DataFrame, tmp_path: Path) -> None:
    cells = drawn.assign(patient=None, group=None)
    families = ["shape", "colour"]
    plain = extract.table(cells, families=families, n_jobs=1, progress=False)
    out = tmp_path / "cells.parquet"
    table = extract.table(
        cells, families=families, augment=2, random_state=5, n_jobs=2, progress=False, out=out
    )
    copies = [part.reset_index(drop=True) for _, part in table.groupby("redrawn")]
    assert [len(part) for part in copies] == [len(plain)] * 3
    names = extract.feature_columns(plain)
    shape = [name for name in names if "__shape__" in name]
    assert copies[0][names].equals(plain[names])
    for one in copies[1:]:
        # The same outlines in other colours, which differ from copy to copy.
        assert one[shape].equals(plain[shape])
        assert (one["cell__colour__mean__r"] != plain["cell__colour__mean__r"]).all()
        assert one[["image", "label"]].equals(plain[["image", "label"]])
        assert one["group"].equals(copies[0]["group"])
    assert not copies[1][names].equals(copies[2][names])
    assert table["group"].nunique() == len(plain)
    assert table.attrs["errors"] == plain.attrs["errors"]
    assert extract.measured(table) == extract.measured(plain)
    assert extract.load(out)["redrawn"].tolist() == table["redrawn"].tolist()
    other = extract.table(cells, families=families, augment=1, random_state=6, progress=False)
    assert other[names][len(plain) :].reset_index(drop=True).equals(copies[2][names])


def test_normalised_copies_are_redrawn_first(drawn: pd.DataFrame) -> None:
    """Grey-world takes the colour of the light away, also from copies in another light."""
    seen: list[np.ndarray] = []

    def watch(image: np.ndarray) -> np.ndarray:
        seen.append(image)
        return image

    extract.table(drawn[:2], families=["shape"], augment=1, normalise=watch, n_jobs=1)
    assert len(seen) == 4
    assert seen[0].shape == seen[2].shape
    assert not np.array_equal(seen[0], seen[2])


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
    with pytest.warns(UserWarning, match=f"{FORMER} is now {CURRENT}(;|$)") as warned:
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
    """Return a table with former names of all columns, of which the values tell them apart.

    Of a column that was renamed twice it is the first name.
    """
    names = list(
        {current: former for former, current in reversed(_former.RENAMED.items())}.values()
    )
    names.reverse()
    values = pd.DataFrame([np.arange(len(names), dtype=float)], columns=names)
    return pd.concat([pd.DataFrame({"image": ["a"], "cell": [1]}), values], axis=1)


def test_a_warning_lists_a_few_of_many_renamed_columns(tmp_path: Path) -> None:
    extract.save(former_table(), tmp_path / "cells.parquet")
    with pytest.warns(UserWarning, match=r" is now .* and \d{3} more, see extract.cur") as warned:
        loaded = extract.load(tmp_path / "cells.parquet")
    assert len(warned) == 1
    assert len(str(warned[0].message)) < 1000
    assert list(loaded)[2:] == extract.current_names(list(former_table())[2:])
    assert set(loaded.columns[2:]) == set(_former.RENAMED.values())
    assert list(loaded.iloc[0, 2:]) == list(range(len(loaded.columns) - 2))


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
    now = _former.RENAMED.get(column, column)
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
    names = list(_former.RENAMED)
    assert set(extract.current_names(names)) <= set(extract.columns("all"))
    assert not set(names) & set(extract.columns("all"))
    for share in (20, 80):
        for name in ("roundness_at_", "circularity_at_"):
            (current,) = extract.current_names([f"nucleus__lobulation__{name}{share}"])
            assert current == f"nucleus__lobulation__circularity_d{share}"
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


def test_one_field_among_crops_is_not_reduced_silently(tmp_path: Path) -> None:
    crops = [datasets.draw_cell(kind, size=90, random_state=0) for kind in datasets.KINDS[:6]]
    field = datasets.draw_field(["lymphocyte"] * 6, shape=(280, 400), random_state=0)
    drawn = [*crops, field]
    images = pd.DataFrame({"image": [one.image for one in drawn], "label": [*"abababa"]})
    options = {
        "masks": [segment.Masks(one.cell, one.nucleus) for one in drawn],
        "families": ["shape"],
        "n_jobs": 1,
    }
    words = r"7 cells, and 5 others were left out \(1 image shows 5 cells or more\)"
    with pytest.warns(UserWarning, match=words):
        extract.table(images, **options)
    with pytest.warns(UserWarning, match=words):
        extract.stream(images, tmp_path / "s", **options)


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


# --- What a table of images may hold, and where its cells go ----------------------------------

TARGETS = ("folder", "cells.parquet", "cells.csv")


def small(**attributes: object) -> pd.DataFrame:
    """Return an image table of four images with attributes."""
    rng = np.random.default_rng(0)
    images = [rng.integers(60, 250, (24, 24, 3), np.uint8) for _ in range(4)]
    table = pd.DataFrame({"image": pd.Series(images, dtype=object)})
    for name, values in attributes.items():
        table[name] = pd.Series(values, dtype=object) if isinstance(values, list) else values
    return table


def measure(images: object, **options: object) -> pd.DataFrame:
    return extract.table(images, segmenter=_disc, families=["relation"], n_jobs=1, **options)


@pytest.mark.parametrize(
    "name",
    [
        *("cell", "Cell", " cell", "quality__n_cells", "Quality__X", "nucleus__shape__area"),
        *("cell__mine__a__b", "Label", "MASK ", "um_per_px ", "Image"),
    ],
)
def test_columns_with_names_of_the_result_are_refused(name: str, tmp_path: Path) -> None:
    def never(image: np.ndarray) -> segment.Masks:
        raise AssertionError("measured")

    for options in ({}, {"out": tmp_path / "folder"}, {"out": tmp_path / "cells.csv"}):
        with pytest.raises(datasets.DatasetError, match=f"table of cells: {name!r}"):
            extract.table(small(**{name: [1, 2, 3, 4]}), segmenter=never, **options)
    assert not list(tmp_path.iterdir())


def test_a_table_of_cells_is_not_a_table_of_images(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.png" for n in range(2)]
    for path, image in zip(paths, small()["image"], strict=False):
        cv2.imwrite(str(path), image)
    cells = measure(paths, out=tmp_path / "cells.parquet")
    for images in (cells, tmp_path / "cells.parquet"):
        with pytest.raises(datasets.DatasetError, match="give the images, not their table"):
            measure(images)


def test_names_of_columns_become_text(tmp_path: Path) -> None:
    images = small()
    images[0], images[("a", "b")] = 1.5, 2
    for target in TARGETS:
        measure(images, out=tmp_path / target)
        assert {"0", "('a', 'b')"} <= set(extract.load(tmp_path / target))
    images["0"] = 3
    with pytest.raises(datasets.DatasetError, match="two columns called '0'"):
        measure(images)


class Worded:
    def __str__(self) -> str:
        return "worded"


MOMENT = datetime.datetime(2024, 1, 2, 3, 4)
PLUS_TWO = datetime.timezone(datetime.timedelta(hours=2))

AS_TEXT = {
    "numbers and words": ([1, "a", None, 2.5], ["1", "a", None, "2.5"]),
    "booleans and numbers": ([True, 1, None, 0.5], ["True", "1", None, "0.5"]),
    "paths": ([Path("a/b")] * 4, ["a/b"] * 4),
    "complex": ([1 + 2j, None, 3j, 1], ["(1+2j)", None, "3j", "1"]),
    "lists": ([[1, 2], [], None, [np.nan]], ["[1, 2]", "[]", None, "[nan]"]),
    "arrays": (
        [np.arange(2), np.eye(2), None, np.array(5)],
        ["[0, 1]", "[[1.0, 0.0], [0.0, 1.0]]", None, "5"],
    ),
    "long arrays": ([np.arange(2000)] * 4, [str(list(range(2000)))] * 4),
    "dicts": ([{"a": np.float64(1)}, {}, None, {}], ["{'a': 1.0}", "{}", None, "{}"]),
    "tuples": ([(1, 2), (1,), (), None], ["(1, 2)", "(1,)", "()", None]),
    "sets": ([{"b", "a", "c"}, set(), None, {1}], ["{'a', 'b', 'c'}", "set()", None, "{1}"]),
    "huge": ([2**70, 1, None, -(2**66)], [str(2**70), "1", None, str(-(2**66))]),
    "large with gaps": ([2**60 + 1, None, 1, 2], [str(2**60 + 1), None, "1", "2"]),
    "durations": (
        pd.to_timedelta([1, None, 2, 3], unit="s"),
        ["0 days 00:00:01", None, "0 days 00:00:02", "0 days 00:00:03"],
    ),
    "periods": (
        pd.period_range("2024-01", periods=4, freq="M"),
        ["2024-01", "2024-02", "2024-03", "2024-04"],
    ),
    "intervals": (
        pd.Categorical(pd.arrays.IntervalArray.from_breaks([0, 1, 2, 3, 4])),
        ["(0, 1]", "(1, 2]", "(2, 3]", "(3, 4]"],
    ),
    "zones": (
        pd.date_range("2024-01-01", periods=4, freq="h", tz="Etc/GMT-1"),
        [f"2024-01-01 0{hour}:00:00+01:00" for hour in range(4)],
    ),
    "some zones": (
        [MOMENT, MOMENT.replace(tzinfo=PLUS_TWO), None, MOMENT],
        ["2024-01-02 03:04:00", "2024-01-02 03:04:00+02:00", None, "2024-01-02 03:04:00"],
    ),
    "days and moments": (
        [MOMENT.date(), MOMENT, None, MOMENT],
        ["2024-01-02", "2024-01-02 03:04:00", None, "2024-01-02 03:04:00"],
    ),
    "decimals": (
        [decimal.Decimal("1.10"), None, None, decimal.Decimal("2.0")],
        ["1.10", None, None, "2.0"],
    ),
    "bytes": ([b"a\xff", None, b"b", b""], ["b'a\\xff'", None, "b'b'", "b''"]),
    "objects": ([Worded(), None, Worded(), 1], ["worded", None, "worded", "1"]),
    "not UTF-8": (["a\udcff", "b", None, "c"], ["a\\udcff", "b", None, "c"]),
}
"""Values of an attribute, and the text as which any target holds them."""


@pytest.mark.parametrize("kind", AS_TEXT)
def test_attributes_that_are_stored_as_text(kind: str, tmp_path: Path) -> None:
    values, expected = AS_TEXT[kind]
    images = small()
    images["x"] = pd.Series(values, dtype=object) if isinstance(values, list) else values
    in_memory = measure(images)["x"]
    assert [type(value) for value in in_memory] == [type(value) for value in images["x"]]
    for target in TARGETS:
        measure(images, out=tmp_path / target)
        if target == "cells.csv":
            loaded = pd.read_csv(tmp_path / target, dtype=str, keep_default_na=False)["x"]
            assert list(loaded) == ["" if text is None else text for text in expected]
        else:
            loaded = extract.load(tmp_path / target)["x"]
            assert [None if pd.isna(text) else text for text in loaded] == expected
    # The same call finds the same table of images.
    options = {"segmenter": _disc, "families": ["relation"]}
    assert extract.stream(images, tmp_path / "folder", **options).n_kept == 1


@pytest.mark.parametrize(
    "values",
    [
        pd.array([1, None, 2, 3], "Int64"),
        pd.array([True, None, False, True], "boolean"),
        [True, None, False, True],
        [1, 2.5, None, pd.NA],
        pd.Categorical(["a", None, "b", "a"]),
        pd.arrays.SparseArray([1, 0, 0, 2]),
        np.array([1, 2, 3, 4], np.float16),
        np.array([2**63 + 5] * 4, np.uint64),
        pd.date_range("2024-01-01", periods=4),
        [MOMENT.date()] * 4,
        [None] * 4,
    ],
    ids=repr,
)
def test_attributes_that_are_stored_as_they_are(values: object, tmp_path: Path) -> None:
    images = small(x=values)
    for target in TARGETS[:2]:
        measure(images, out=tmp_path / target)
        loaded = extract.load(tmp_path / target)["x"]
        assert list(loaded.isna()) == list(images["x"].isna())
        assert list(loaded.dropna()) == list(images["x"].dropna())


class Wordless:
    pass


class Mute:
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "value",
    [Wordless(), Mute(), len.__call__, [Wordless()]],
    ids=["plain", "mute", "method", "list"],
)
@pytest.mark.parametrize("target", TARGETS)
def test_attributes_without_a_text_are_refused_before_the_run(
    target: str, value: object, tmp_path: Path
) -> None:
    def never(image: np.ndarray) -> segment.Masks:
        raise AssertionError("measured")

    images = small(x=[1, value, 2, 3])
    with pytest.raises(datasets.DatasetError, match=r"column 'x' holds a .*cannot be stored"):
        extract.table(images, segmenter=never, out=tmp_path / target)
    assert not list(tmp_path.iterdir())
    assert measure(images)["x"].iloc[1] is value


@pytest.mark.parametrize(
    "name",
    [
        *("t.xlsx", "t.csv.gz", "t.feather", "t.JSON", "t.tsv", "t.h5", "t.7z", "t.pq", ".csv"),
        *("s3://bucket/features", "memory://t.parquet/x"),
    ],
)
def test_other_kinds_of_targets_are_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def never(image: np.ndarray) -> segment.Masks:
        raise AssertionError("measured")

    cells = measure(small())
    for write in (
        lambda: extract.table(small(), segmenter=never, out=name),
        lambda: extract.stream(small(), name, segmenter=never),
        lambda: extract.save(cells, name),
    ):
        with pytest.raises(ValueError, match=r"written as \.csv or \.parquet|local files"):
            write()
    assert not list(tmp_path.iterdir())


def test_folders_may_have_dots(tmp_path: Path) -> None:
    for name in ("v1.2", "features.v2", "run_0.5", ".hidden", f"{'long' * 60}", "data.d/"):
        measure(small(), out=f"{tmp_path}/{name}")
        assert (tmp_path / name / "cells").is_dir()
    with pytest.raises(ValueError, match=r"written by extract\.table\(out=\)"):
        extract.stream(small(), tmp_path / "cells.csv")


def test_a_file_of_others_is_not_replaced(tmp_path: Path) -> None:
    listed = tmp_path / "images.csv"
    listed.write_text("image,label\n0.png,a\n", encoding="utf-8")
    (tmp_path / "t.errors.csv").write_text("n,error\n1,0.5\n", encoding="utf-8")
    (tmp_path / "notes.parquet").write_bytes(b"no table")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for name in ("images.csv", "t.csv", "notes.parquet"):
        with pytest.raises(FileExistsError, match="so it is not replaced"):
            measure(small(), out=tmp_path / name)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    # A table of cells is, also a damaged one.
    out = tmp_path / "cells.parquet"
    expected = measure(small(), out=out)
    out.write_bytes(out.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"cells\.parquet"):
        extract.load(out)
    measure(small(), out=out)
    pd.testing.assert_frame_equal(extract.load(out)[["cell"]], expected[["cell"]])


@pytest.mark.parametrize("name", ["cells.csv", "cells.parquet", "folder"])
@pytest.mark.parametrize("fails", [1, 2, 3])
def test_a_table_and_its_errors_are_replaced_together_or_not_at_all(
    name: str, fails: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / name
    old, new = measure([*small()["image"], "no.png"]), measure(small())
    extract.save(old, out)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    fsync, calls = os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) == fails:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    if fails > len(before):
        extract.save(new, out)
        return
    with pytest.raises(OSError, match=re.escape(str(out.parent))) as caught:
        extract.save(new, out)
    assert ".part" not in str(caught.value)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert len(extract.errors(extract.load(out))) == 1
    # Neither does a table that cannot be renamed lose its errors.
    monkeypatch.undo()
    replace = os.replace

    def locked(source: Path, target: Path) -> None:
        if Path(target).stem == "cells":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", locked)
    with pytest.raises(PermissionError, match="cells"):
        extract.save(new, out)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_targets_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")

    def never(image: np.ndarray) -> segment.Masks:
        raise AssertionError("measured")

    for out in ("file", "file/cells.csv", "file/folder", "a" * 300, f"{'b' * 252}.csv"):
        with pytest.raises(OSError, match=re.escape(str(tmp_path / out.split("/")[0]))):
            extract.table(small(), segmenter=never, out=tmp_path / out)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("target", ["saved", "cells.parquet", "folder"])
def test_columns_with_other_values_since_are_named(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / target
    with monkeypatch.context() as former:
        former.setattr(_former, "FORMULAS", 1)
        former.setattr(result, "FORMULAS", 1)
        former.setattr("hemafeat.extract._table.table.FORMULAS", 1)
        if target == "folder":
            measure(small(), out=path)
        else:
            extract.save(measure(small()), path)
    monkeypatch.setattr(_former, "CHANGED", {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = extract.load(path)
    column = "cell__relation__nucleus_to_cell_area_ratio"
    assert column in table
    monkeypatch.setitem(_former.CHANGED, "*__relation__nucleus_to_*", 2)
    with pytest.warns(UserWarning, match=f"other values in tables measured since .*{column}"):
        table = extract.load(path)
    # A table that is written again is not newer for that.
    again = tmp_path / "again.parquet"
    for merged in (table, datasets.merge([table.assign(dataset="a", label="x", group="g")])):
        extract.save(merged, again)
        with pytest.warns(UserWarning, match="other values"):
            extract.load(again)
    table.head(1).to_parquet(again)
    with pytest.warns(UserWarning, match="other values"):
        extract.load(again)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extract.load(path, columns=["image", "cell"])
        extract.save(measure(small()), again)
        extract.load(again)
        measure(small()).to_parquet(again)
        extract.load(again)
        pd.read_parquet(again).to_parquet(again)
        extract.load(again)


def test_a_log_gets_lines_of_a_long_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = noise(tmp_path / "images", 40)
    settings = {"segmenter": disc, "families": ["shape"], "n_jobs": 1}
    extract.table(listed, **settings, progress=True)
    assert capsys.readouterr().err == ""  # it takes less than the pause between two lines
    monkeypatch.setattr(_machine, "LINE_EVERY", 0.0)
    monkeypatch.setattr(_machine, "RARER", 1e9)
    for out in (None, tmp_path / "out"):
        extract.table(listed, **settings, progress=True, out=out)
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) >= 4
        assert lines[0].startswith("extract: 10 of 40 images, ")
        assert lines[0].endswith(" left")
        assert lines[-1].startswith("extract: 40 of 40 images, ")
        for progress in (None, False):
            extract.table(listed, **settings, progress=progress)
            assert capsys.readouterr().err == ""
