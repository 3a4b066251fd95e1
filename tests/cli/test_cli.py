from __future__ import annotations

import io
import re
import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest

from hemafeat import extract, pipelines
from hemafeat.cli import main

COMMANDS = [
    "demo",
    "audit",
    "cell",
    "compare",
    "compile",
    "count",
    "datasets",
    "describe",
    "download",
    "explore",
    "extract",
    "families",
    "merge",
    "predict",
    "report",
    "score",
    "segment",
]


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """A folder of two classes, five patients' worth of small smears each, and one broken file."""
    from hemafeat import datasets

    place = tmp_path_factory.mktemp("drawn") / "cells"
    datasets.drawn(place, 24, kinds=["lymphocyte", "neutrophil"], n_patients=6, size=130, n_jobs=2)
    return place


@pytest.fixture(scope="module")
def features(cells, tmp_path_factory):
    out = tmp_path_factory.mktemp("table") / "features"
    assert main(["extract", str(cells), "--out", str(out), "--families", "shape", "colour"]) == 0
    return out


def one_line(capsys):
    """The single line an error takes."""
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("hemafeat: error: ")
    return lines[0].removeprefix("hemafeat: error: ")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_a_description_and_examples(command, capsys):
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "\nexamples:\n" in text
    examples = text.split("\nexamples:\n")[1]
    assert f"hemafeat {command}" in examples
    assert max(map(len, examples.splitlines())) <= 90
    assert len(text.split("\n\n")[1]) > 60


def test_version_and_help_of_the_whole(capsys):
    from hemafeat import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"hemafeat {__version__}\n"
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {command} " in text for command in COMMANDS)


def test_help_loads_no_heavy_package():
    code = (
        "import sys; from hemafeat.cli import main; main(['compare', '--help']); "
        "print(sorted({'numpy', 'pandas', 'sklearn', 'cv2', 'numba', 'matplotlib'} & "
        "set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_no_command_prints_the_help_and_is_bad_usage(capsys):
    assert main([]) == 2
    assert "commands:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dance"], "invalid choice: 'dance'"),
        (["extract"], "required"),
        (["extract", "nowhere/", "--out", "x"], "nowhere/: no such file or folder"),
        (["extract", "nowhere/", "--out", "x", "--jobs", "0"], "above 0"),
        (["extract", ".", "--out", "x", "--families", "magic"], "no family 'magic'"),
        (["extract", ".", "--out", "x", "--segmenter", "magic"], "magic"),
        (["extract", ".", "--out", "x", "--masks", "nowhere"], "nowhere is not a folder"),
        (["extract", ".", "--out", "x", "--um-per-px", "-1"], "is not a positive number"),
        (["extract", ".", "--out", "nowhere/x.csv"], "the folder nowhere does not exist"),
        (["segment", ".", "--out", "x", "--method", "magic"], "magic"),
        (["compare", "nowhere/"], "nowhere/: no such file or folder"),
        (["compare", ".", "--models", "oracle"], "there is no model 'oracle'"),
        (["compare", ".", "--folds", "1"], "at least 2 folds"),
        (["report", "nowhere/"], "nowhere: no such folder"),
        (["predict", "nowhere.hemafeat", ".", "--out", "x.csv"], "no such file"),
        (["predict", "nowhere.hemafeat", ".", "--out", "x.txt"], ".csv or .parquet"),
        (["describe", "nucleus__shape__are_"], "did you mean nucleus__shape__area"),
        (["demo", "--images", "12"], "too few"),
    ],
)
def test_bad_usage_is_one_line_and_code_2(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert said in one_line(capsys)
    assert not list(tmp_path.iterdir())


def test_a_run_that_failed_is_one_line_and_code_1(capsys, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    out = tmp_path / "out.csv"
    assert main(["extract", str(tmp_path), "--out", str(out)]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("hemafeat: error: no cell was measured: ")
    assert "broken.png" in captured.err
    assert captured.err.count("\n") == 1
    (tmp_path / "no_masks").mkdir()
    words = ["extract", str(tmp_path), "--masks", str(tmp_path / "no_masks"), "--out"]
    for name in ("masked.csv", "masked.parquet", "masked"):
        assert main([*words, str(tmp_path / name)]) == 1
        assert capsys.readouterr().err.startswith("hemafeat: error: no cell was measured: ")
    (tmp_path / "model").write_bytes(b"\x80\x04")
    assert main(["predict", str(tmp_path / "model"), str(tmp_path), "--out", str(out)]) == 1
    assert "not a hemafeat model" in one_line(capsys)


def test_a_traceback_only_when_asked_for(capsys, tmp_path, monkeypatch):
    (tmp_path / "model").write_bytes(b"\x80\x04")
    words = ["predict", str(tmp_path / "model"), str(tmp_path), "--out", str(tmp_path / "x.csv")]
    assert main([*words, "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("HEMAFEAT_TRACEBACK", "1")
    assert main(words) == 1
    assert "Traceback" in capsys.readouterr().err


def test_extract_goes_on_past_bad_images_and_says_so(cells, tmp_path, capsys):
    images = sorted((cells / "images").rglob("*.png"))[:2]
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    out = tmp_path / "cells.csv"
    words = ["extract", *map(str, images), str(bad), "--out", str(out), "--families", "shape"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert text.startswith("3 images, ")
    assert "1 error" in text
    assert "bad.jpg" in text
    assert text.splitlines()[-1] == str(out)
    table = pd.read_csv(out)
    assert set(table["image"]) == {str(path) for path in images}
    assert [path.name for path in tmp_path.glob("*.csv")] != []
    errors = pd.read_csv(tmp_path / "cells.errors.csv")
    assert errors["image"].tolist() == [str(bad)]


def test_extract_redraws_cells_and_compare_does_not_score_them(cells, tmp_path, capsys):
    out = tmp_path / "cells.parquet"
    words = ["extract", str(cells), "--out", str(out), "--families", "shape", "colour", "--quiet"]
    assert main([*words, "--augment", "1"]) == 0
    said = capsys.readouterr().out
    table = extract.load(out)
    assert f"{len(table) // 2} cells, each also redrawn 1 time" in said
    words = ["compare", str(out), "--out", str(tmp_path / "compared"), "--folds", "3", "--quiet"]
    assert main([*words, "--models", "aligned:logistic", "--n-boot", "10"]) == 0
    said = capsys.readouterr().out
    assert f"{len(table) // 2} cells" in said
    assert "aligned:logistic" in said


def test_extract_goes_on_with_a_folder_and_refuses_another(cells, tmp_path, capsys):
    out = tmp_path / "features"
    words = ["extract", str(cells / "images"), "--out", str(out), "--families", "shape"]
    assert main([*words, "--shard-size", "4"]) == 0
    first = extract.load(out)
    removed = sorted((out / "cells").iterdir())[1]
    removed.unlink()
    capsys.readouterr()
    assert main(words) == 0
    said = capsys.readouterr()
    n_shards = len(list((out / "cells").iterdir()))
    assert said.err == f"Resuming: {n_shards - 1} of {n_shards} shards are complete\n"
    assert said.out.splitlines()[-1] == str(out)
    assert extract.load(out).equals(first)

    assert main([*words, "--um-per-px", "0.3"]) == 2
    assert "--um-per-px was not given, is 0.3" in (error := one_line(capsys))
    assert "--restart" in error
    assert main([*words, "--um-per-px", "0.3", "--restart", "--quiet"]) == 0
    assert extract.units(extract.load(out))["nucleus__shape__area"] == "um^2"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["t.xlsx", "t.csv.gz", "t.feather", "t.json"])
def test_a_kind_of_file_that_is_not_written_is_a_wrong_argument(name, cells, tmp_path, capsys):
    words = ["extract", str(cells / "images"), "--out", str(tmp_path / name)]
    assert main(words) == 2
    error = one_line(capsys)
    assert "written as .csv or .parquet, those of cells also as .h5ad, or into a folder" in error
    assert ("Excel opens .csv" in error) == name.endswith(".xlsx")
    assert not list(tmp_path.iterdir())


def test_what_is_not_complete_is_not_compared(cells, tmp_path, capsys):
    out = tmp_path / "features"
    words = ["extract", str(cells / "images"), "--out", str(out), "--families", "shape"]
    assert main(words) == 0
    manifest = out / "manifest.json"
    manifest.write_text(manifest.read_text("utf-8").replace('"complete"', '"running"'), "utf-8")
    capsys.readouterr()
    assert main(["compare", str(out), "--out", str(tmp_path / "result")]) == 1
    assert "is not complete" in one_line(capsys)


def test_a_scale_changes_the_unit(features, cells, tmp_path, capsys):

    out = tmp_path / "scaled.parquet"
    words = ["extract", str(cells / "images"), "--out", str(out), "--families", "shape"]
    assert main([*words, "--um-per-px", "0.3", "--quiet"]) == 0
    column = "nucleus__shape__area"
    assert extract.units(extract.load(out))[column] == "um^2"
    assert capsys.readouterr().err == ""


def test_the_scale_is_that_of_the_red_cells(cells, tmp_path, capsys):
    words = ["extract", "--families", "shape", "--um-per-px", "auto", "--out"]
    for out in (tmp_path / "cells.parquet", tmp_path / "folder"):
        assert main([*words, str(out), str(cells / "images")]) == 0
        printed = capsys.readouterr().err
        assert re.search(
            r"^scale: 0\.2\d+ um per px, by \d+ red cells in \d+ images \(spread", printed
        )
        scale = extract.load(out)["um_per_px"]
        assert scale.between(0.25, 0.31).all()
        assert (scale == scale.iloc[0]).all()
    blank = tmp_path / "blank.png"
    cv2.imwrite(str(blank), np.full((60, 60, 3), 220, np.uint8))
    assert main([*words, str(tmp_path / "none"), str(blank)]) == 2
    assert "--um-per-px auto: the scale cannot be estimated: no whole" in one_line(capsys)
    assert not (tmp_path / "none").exists()


def test_segment_writes_labels_that_can_be_read_back(cells, tmp_path, capsys):
    from hemafeat import images, segment

    out = tmp_path / "masks"
    words = ["segment", str(cells / "images"), "--out", str(out), "--overlay", "--geojson"]
    assert main(words) == 0
    quality = pd.read_csv(out / "quality.csv")
    source = sorted((cells / "images").rglob("*.png"))[0]
    relative = source.relative_to(cells / "images")
    label = images.read_labels(out / "cell" / relative)
    nucleus = images.read_labels(out / "nucleus" / relative)
    expected = segment.contours(images.read(source))
    assert np.array_equal(label, expected.cell)
    assert np.array_equal(nucleus, expected.nucleus)
    assert cv2.imread(str(out / "cell" / relative), cv2.IMREAD_UNCHANGED).dtype == np.uint16
    rows = quality[quality["image"] == source.as_posix()]
    assert rows["cell_area_px"].tolist() == np.bincount(label.ravel())[1:].tolist()
    overlay = images.read(out / "overlay" / relative)
    assert np.array_equal(overlay, segment.outline(images.read(source), expected))
    assert main(["segment", str(cells / "images"), "--out", str(tmp_path / "t"), "--trimap"]) == 0
    trimap = images.read_labels(tmp_path / "t" / "trimap" / relative)
    assert np.array_equal(trimap == 255, nucleus > 0)
    assert np.array_equal(trimap > 0, label > 0)
    capsys.readouterr()
    tables = {}
    pair = (out / "cell", "--nuclei", out / "nucleus")
    given = (out, out / "geojson", pair, tmp_path / "t", tmp_path / "t" / "trimap", None)
    for masks in given:
        words = ["extract", str(cells / "images"), "--out", str(tmp_path / "x.csv")]
        of_masks = masks if isinstance(masks, tuple) else (masks,)
        words += [] if masks is None else ["--masks", *map(str, of_masks)]
        assert main([*words, "--families", "shape"]) == 0
        tables[masks] = extract.load(tmp_path / "x.csv")
    shown = extract.columns(["shape"])
    for masks, table in tables.items():
        assert tables[None][shown].equals(table[shown]), masks
    place = list(quality.filter(regex="^where__"))
    assert len(place) == 8
    assert np.allclose(tables[None][place], quality[place])
    counts = pd.read_csv(out / "counts.csv")
    assert counts["n_cells"].tolist() == [1] * len(tables[None])


def test_the_kind_of_masks_on_the_command_line(tmp_path, capsys):
    from hemafeat import datasets

    cell = datasets.draw_cell("neutrophil", size=120, random_state=0)
    for folder, picture in (
        ("in", cell.image[:, :, ::-1]),
        ("masks", cell.cell + (cell.nucleus > 0)),
    ):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "a.png"), picture.astype(np.uint8))
    words = ["extract", str(tmp_path / "in"), "--families", "shape", "--out"]
    masks = ["--masks", str(tmp_path / "masks")]
    for n, (kind, counts) in enumerate(
        {"auto": "1 cell, 64 features, 1 error", "trimap": "1 cell, 64 features, 0 error"}.items()
    ):
        assert main([*words, str(tmp_path / f"{n}"), *masks, "--mask-kind", kind]) == 0
        captured = capsys.readouterr()
        assert counts in captured.out
        assert ("1 and 2 were taken for cytoplasm and nucleus" in captured.err) == (kind == "auto")
    assert main([*words, str(tmp_path / "x"), "--mask-kind", "labels"]) == 2
    assert one_line(capsys) == "--mask-kind needs --masks"


def test_compare_then_predict_then_report(features, tmp_path, capsys):

    out, model = tmp_path / "result", tmp_path / "best.hemafeat"
    words = ["compare", str(features), "--out", str(out), "--models", "logistic", "--folds", "3"]
    words += ["--n-boot", "20", "--save-model", str(model), "--jobs", "1", "--no-importance"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[-1] == str(out / "page.html")
    assert "balanced accuracy" in text
    assert "never on both sides" in text
    assert (out / "page.html").stat().st_size > 50_000
    assert set(pd.read_csv(out / "results.csv")["model"]) == {"logistic", "baseline"}

    predictions = tmp_path / "predictions.csv"
    assert main(["predict", str(model), str(features), "--out", str(predictions)]) == 0
    found = pd.read_csv(predictions)
    assert list(found["image"]) == list(extract.load(features)["image"])
    chances = found.filter(like="p__")
    assert chances.columns.tolist() == ["p__lymphocyte", "p__neutrophil"]
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    assert (chances.idxmax(axis=1).str[3:] == found["predicted"]).all()
    capsys.readouterr()

    other = tmp_path / "other.csv"
    extract.load(features).drop(columns="nucleus__shape__area").to_csv(other, index=False)
    assert main(["predict", str(model), str(other), "--out", str(tmp_path / "x.csv")]) == 1
    assert "nucleus__shape__area" in one_line(capsys)
    assert not (tmp_path / "x.csv").exists()

    page = tmp_path / "map.html"
    words = ["report", str(out), "--table", str(features), "--out", str(page), "--map", "pca"]
    assert main(words) == 0
    assert "Map of the cells. Principal components of" in page.read_text("utf-8")
    capsys.readouterr()

    page = tmp_path / "again.html"
    assert main(["report", str(out), "--table", str(features), "--out", str(page)]) == 0
    assert capsys.readouterr().out.strip() == str(page)
    same = (out / "page.html").read_text("utf-8").split("<dt>Command")[0]
    assert page.read_text("utf-8").split("</dl>")[0].startswith(same.rstrip()[:-200])


def test_what_is_decided_on_the_page_of_cells_is_compared(features, tmp_path, capsys):
    """Explore, decide, compare with the edits, explore again with both."""
    page, result = tmp_path / "look.html", tmp_path / "result"
    look = ["explore", str(features), "--out", str(page), "--map", "pca", "-q"]
    assert main([*look, "--no-suspected"]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    assert page.stat().st_size > 50_000
    table = extract.load(features)
    other = {"lymphocyte": "neutrophil", "neutrophil": "lymphocyte"}
    edits = table[["image", "cell"]].head(2).assign(edit=["relabel", "exclude"])
    edits["label"] = [other[table["label"].iloc[0]], ""]
    edits.to_csv(tmp_path / "edits.csv", index=False)
    edited = ["--edits", str(tmp_path / "edits.csv")]
    words = ["compare", str(features), "--models", "logistic", "--folds", "3", "--n-boot", "20"]
    assert main([*words, "--no-importance", "--out", str(result), "-q", *edited]) == 0
    told = "1 label changed and 1 cell left out by hand (edits.csv)"
    assert told in " ".join(capsys.readouterr().out.split())
    assert told in (result / "page.html").read_text("utf-8")
    assert main([*look, "--comparison", str(result), "--no-pictures", *edited]) == 0
    text = page.read_text("utf-8")
    assert told in text
    assert "Predicted by logistic" in text
    assert f'"n":{len(table) - 1},' in text


def test_an_interrupted_compare_goes_on(cells, tmp_path, capsys, monkeypatch):
    out = tmp_path / "result"
    words = ["compare", str(cells), "--out", str(out), "--models", "logistic", "--folds", "3"]
    words += ["--n-boot", "20", "--jobs", "1", "--no-importance", "--families", "shape"]
    n_kept, stream = [], extract.stream

    def counted(*args, **options):
        result = stream(*args, **options)
        n_kept.append((result.n_kept, result.n_shards))
        return result

    monkeypatch.setattr(extract, "stream", counted)
    with monkeypatch.context() as broken:
        broken.setattr("hemafeat.evaluate._compare.score_tables", lambda *args: 1 / 0)
        assert main(words) == 1
    assert sorted(path.name for path in out.iterdir()) == ["features", "fits"]
    assert len(list((out / "fits").iterdir())) == 6
    capsys.readouterr()
    assert main(words) == 0
    captured = capsys.readouterr()
    assert n_kept == [(0, 1), (1, 1)]
    assert not (out / "fits").exists()
    assert (out / "page.html").exists()
    assert len(extract.load(out / "features")) == 24
    # Lines for a log, since this is no terminal; none if nothing was fitted.
    assert "compare: " not in captured.err
    assert main([*words, "--restart"]) == 0
    assert "compare: 6 of 6 fits (" in capsys.readouterr().err
    assert main([*words, "--restart", "--quiet", "--families", "density"]) == 0
    assert capsys.readouterr().err == ""
    assert n_kept[2:] == [(0, 1), (0, 1)]


def test_predict_measures_columns_that_are_not_in_the_default_table(cells, tmp_path, capsys):
    table = extract.table(cells, families=["boundary"])
    columns = extract.feature_columns(table)
    assert not set(columns) & set(extract.columns())
    fitted = pipelines.logistic().fit(table, table["label"])
    model = str(pipelines.save(fitted, tmp_path / "m.hemafeat"))
    out = tmp_path / "predictions.csv"
    assert main(["predict", model, str(cells), "--out", str(out)]) == 0
    found = pd.read_csv(out).dropna(subset="predicted")
    assert found["predicted"].tolist() == fitted.predict(table).tolist()
    capsys.readouterr()
    other = tmp_path / "default.csv"
    extract.table(cells, families="fast").to_csv(other, index=False)
    assert main(["predict", model, str(other), "--out", str(tmp_path / "x.csv")]) == 1
    assert one_line(capsys).endswith("a table measured with the family boundary has them")


def test_compare_refuses_what_it_cannot_mean(features, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", str(features), "--group", "hospital"]) == 2
    assert "no column 'hospital'" in one_line(capsys)
    assert main(["compare", str(features), "--metadata", "age"]) == 2
    assert "no column 'age'" in one_line(capsys)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    assert main(["compare", str(features), "--out", "mine"]) == 2
    assert "not empty" in one_line(capsys)
    assert main(["demo", "--out", "mine"]) == 2
    assert "not empty" in one_line(capsys)
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "thesis.txt"]


def test_families_and_their_cost(capsys):
    assert main(["families"]) == 0
    shown = capsys.readouterr().out
    assert "glcm" in shown
    assert "decodes" in shown
    assert main(["families", "--format", "csv"]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out)).set_index("family")
    assert list(table.index) == list(extract.families())
    assert table.loc["lbp", "columns"] == len(extract.columns(["lbp"]))


def test_describe_in_every_format(capsys):
    assert main(["describe", "nucleus__shape__area"]) == 0
    text = capsys.readouterr().out
    assert "px^2" in text
    assert "formula" in text
    assert main(["describe", "--families", "shape", "--format", "csv"]) == 0
    frame = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert frame["column"].tolist() == extract.columns(["shape"])
    assert main(["describe", "shape", "--format", "md"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2 + len(frame)
    assert main(["describe", "nucleus__shape__feret*"]) == 0
    assert all(line.startswith("nucleus__shape__") for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    "words",
    [
        "nucleus to cytoplasm ratio",
        "nuclear-to-cytoplasmic ratio",
        "Nuclear/cytoplasmic ratio",
        "N:C",
        "n/c ratio",
        "nc",
        "nucleocytoplasmic",
        "nucleo-cytoplasmic ratio",
        "ratio of nucleus over cytoplasm",
    ],
)
def test_describe_finds_a_column_by_the_words_of_a_haematologist(words, capsys):
    assert main(["describe", words]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert "__relation__nucleus_to_c" in first.split()[0]


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("nucleoli", "__chromatin__pale_spot_"),
        ("how many lobes", "__n_lobes"),
        ("hypersegmented", "__lobe"),
        ("cleaved nucleus", "__shape__indentation_"),
    ],
)
def test_describe_knows_further_words(words, first, capsys):
    assert main(["describe", words]) == 0
    assert first in capsys.readouterr().out.splitlines()[0]


def test_describe_searches_formulas_and_meanings(capsys):
    def described(*words: str) -> pd.DataFrame:
        assert main(["describe", *words, "--format", "csv"]) == 0
        return pd.read_csv(io.StringIO(capsys.readouterr().out))

    by_meaning = described("basophilic cytoplasm")
    assert "cytoplasm__stain__azure_mean" in list(by_meaning["column"][:3])
    assert set(described("light of green, 10th percentile")["feature"]) >= {"percentile_10"}
    # Columns with more of the words, and with words in their names, come first.
    assert described("entropy red light")["column"][0] == "nucleus__intensity__entropy__od_r"
    assert set(described("nc_ratio")["family"]) == {"relation"}
    assert main(["describe", "zebra crossing ahead"]) == 2
    assert "there is no column" in capsys.readouterr().err


def test_describe_takes_a_former_name(capsys):
    assert main(["describe", "cell__stain__nucleus_azure_mean"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "nucleus__stain__azure_mean"
    assert err == "cell__stain__nucleus_azure_mean is now called nucleus__stain__azure_mean\n"


def test_describe_shows_what_a_column_means(capsys):
    (meaning,) = extract.describe(["stain"]).query("feature == 'macenko_angle'")["meaning"]
    for words in (["cell__stain__macenko_angle"], ["macenko_a"], ["stain", "--format", "md"]):
        assert main(["describe", *words]) == 0
        assert meaning in capsys.readouterr().out


def test_the_demo_end_to_end(tmp_path, capsys, monkeypatch):
    """Small cells and two models, or it would take minutes; the path is the whole one."""
    from hemafeat import datasets, pipelines
    from hemafeat.cli import _demo

    drawn = datasets.drawn

    def small(*args, **options):
        return drawn(*args, size=110, kinds=["lymphocyte", "neutrophil"], **options)

    monkeypatch.setattr(datasets, "drawn", small)
    monkeypatch.setattr(pipelines, "names", lambda **which: ["baseline", "logistic"])
    monkeypatch.setattr(_demo, "LEAST", 20)
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--images", "24", "--jobs", "1"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1] == str(out / "page.html")
    assert captured.out.startswith("24 images, ")
    assert "Traceback" not in captured.err
    assert re.findall(r"^\d/\d", captured.err, re.M) == [f"{n}/5" for n in range(1, 6)]
    ends = re.findall(r"^ {5}(.*\d s)$", captured.err, re.M)
    assert len(ends) == 5, captured.err
    # One cell is measured before all others are drawn, so that there is a result within seconds.
    assert re.match(r"a neutrophil: cell \d+ um\^2, nucleus [\d.]+ um\^2, ", ends[0])
    made = {path.name for path in out.iterdir()}
    assert made == {"drawn", "features", "comparison", "model.hemafeat", "page.html"}
    first = (out / "page.html").read_bytes()
    assert main(["demo", "--out", str(out), "--images", "24", "--jobs", "2", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    again = (out / "page.html").read_bytes()
    assert _without_seconds(again) == _without_seconds(first)
    assert main(["demo", "--out", str(out), "--images", "36"]) == 2
    assert "other settings" in capsys.readouterr().err


def _without_seconds(page):
    """A page without the last two columns of its first table: how long models took."""
    return re.sub(rb"<td>[\d.]+</td><td>[\d.]+</td></tr>", b"", page)


def test_missing_graphics_libraries_are_explained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a slim container, where OpenCV's wheel does not find libGL."""

    def broken(*args: object, **kwargs: object) -> None:
        raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")

    monkeypatch.setattr("hemafeat.extract.describe", broken)
    assert main(["describe"]) == 1
    error = capsys.readouterr().err
    assert "opencv-python-headless" in error
    assert error.count("\n") == 1


@pytest.fixture
def compile_nothing(monkeypatch, tmp_path):
    """Compilation that only says which units it would compile, and fails for those in the list."""
    from hemafeat.extract._table import compile as ahead

    asked, failing = [], []

    def pretend(units, n, progress):
        asked.append((list(units), n))
        yield from (unit for unit in units if unit not in failing)

    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(ahead, "_record_path", lambda: tmp_path / "cache" / "part" / "record.json")
    monkeypatch.setattr(ahead, "_compile_in_processes", pretend)
    return asked, failing


def test_compile_says_what_it_compiled_and_what_was_compiled_before(
    compile_nothing, capsys, tmp_path
):
    asked, _ = compile_nothing
    assert main(["compile", "--families", "shape", "--jobs", "3", "--segmenter", "unet"]) == 0
    captured = capsys.readouterr()
    assert captured.err == "compiling 3 units on 3 processes (the first run only)\n"
    assert captured.out.startswith("3 units compiled in ")
    assert captured.out.endswith(f", 0 compiled before\n{tmp_path / 'cache'}\n")
    assert main(["compile", "--families", "shape,lbp", "--segmenter", "unet", "-q", "-j", "3"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith("1 unit compiled in ")
    assert ", 3 compiled before\n" in captured.out
    assert asked == [(["window", "shape", "unet"], 3), (["lbp"], 1)]


def test_compile_fails_if_a_unit_is_not_compiled(compile_nothing, capsys):
    asked, failing = compile_nothing
    failing.append("lobes")
    assert main(["compile", "--families", "shape", "lobes", "-q"]) == 1
    assert "error: not compiled: lobes; a process ended early" in capsys.readouterr().err
    # What was compiled is not compiled again.
    failing.clear()
    assert main(["compile", "--families", "shape", "lobes", "-q"]) == 0
    assert [units for units, _ in asked][1] == ["lobes"]


def test_compile_without_a_cache_that_can_be_written(
    compile_nothing, capsys, monkeypatch, tmp_path
):
    from hemafeat.extract._table import compile as ahead

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert main(["compile"]) == 1
    assert "is not a folder that can be written" in one_line(capsys)
    monkeypatch.setattr(ahead, "_record_path", lambda: None)
    assert main(["compile"]) == 1
    assert "set NUMBA_CACHE_DIR to a folder that is" in one_line(capsys)
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert main(["compile"]) == 1
    assert "NUMBA_DISABLE_JIT is set" in one_line(capsys)


@pytest.mark.parametrize("words", [["--families", "shap"], ["--segmenter", "unt"]])
def test_compile_refuses_unknown_names(words, capsys):
    assert main(["compile", *words]) == 2
    assert "did you mean" in one_line(capsys) or words[1] == "shap"
