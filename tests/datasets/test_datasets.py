"""Image tables from folders, files, lists and arrays, their checks and their groups."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets, images
from hemafeat.datasets import DatasetError, DatasetWarning
from support.bad_files import encoded, picture, write_bad_files
from support.image_trees import check, put

# --- Folders ----------------------------------------------------------------------------------


def test_a_folder_for_each_class(tmp_path):
    put(tmp_path, "monocyte/b.png", "monocyte/a.JPG", "basophil/c.tif", "basophil/deep/d.bmp")
    (tmp_path / "monocyte" / "notes.txt").write_text("no image")
    (tmp_path / "Thumbs.db").write_bytes(b"\xd0\xcf")
    table = datasets.from_folder(tmp_path)
    check(table)
    names = [Path(image).relative_to(tmp_path).as_posix() for image in table["image"]]
    assert names == ["basophil/c.tif", "basophil/deep/d.bmp", "monocyte/a.JPG", "monocyte/b.png"]
    assert list(table["label"]) == ["basophil", "deep", "monocyte", "monocyte"]
    assert list(table["label_raw"]) == list(table["label"])
    assert table[["patient", "split", "dataset", "um_per_px", "mask"]].isna().all(axis=None)


def test_a_flat_folder_has_no_labels(tmp_path):
    put(tmp_path, "cells/a.png", "cells/b.png")
    for root in (tmp_path, tmp_path / "cells", str(tmp_path)):
        table = datasets.as_table(root)
        check(table)
        assert len(table) == 2
        assert table["label"].isna().all()


def test_hidden_entries_are_passed_over(tmp_path):
    put(tmp_path, "a/1.png", "b/2.png", "b/._2.png", ".cache/3.png", "__MACOSX/b/2.png")
    (tmp_path / "a" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    assert [Path(image).name for image in datasets.from_folder(tmp_path)["image"]] == [
        "1.png",
        "2.png",
    ]


@pytest.mark.parametrize(
    "folder",
    [
        *("@eaDir", "a/@eaDir/1.png", "__MACOSX", "__macosx/a", ".ipynb_checkpoints", "#recycle"),
        *("$RECYCLE.BIN", "System Volume Information", ".Trashes", "@Recycle", "lost+found"),
    ],
)
def test_folders_of_systems_hold_no_images(tmp_path, folder):
    put(tmp_path, "a/1.png", "b/2.png", "b/._2.png", f"{folder}/SYNOPHOTO_THUMB_M.jpg")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = datasets.from_folder(tmp_path)
    assert list(table["label"]) == ["a", "b"]


def test_every_suffix_of_a_jpeg(tmp_path):
    for suffix in ("jpg", "JPEG", "jpe", "jfif", "JFIF", "jpg_large"):
        (tmp_path / f"{suffix}.{suffix}").write_bytes(encoded(picture(), "JPEG"))
    (tmp_path / "c.dib").write_bytes(encoded(picture(), "BMP"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = datasets.as_table(tmp_path)
    assert len(table) == 7
    survey = datasets.survey(table)
    assert survey["problem"].isna().all()
    assert list(survey["suffix"]) == list(survey["format"])


def test_what_is_left_out_is_said(tmp_path):
    put(tmp_path, "a/1.png", "b/2.png")
    harmless = ["notes.txt", "labels.csv", "a/1.json", "README", "b/LICENSE", "Thumbs.db", "m.md"]
    harmless += [".DS_Store", "desktop.ini", "a/1_seg.npy", "masks/1.npy", "page.html", "b.XML"]
    for name in harmless:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        datasets.as_table(tmp_path)
    for name in ("3.heic", "a/4.HEIC", "b/5.heic", "6.czi", "b/7.czi", "8.webp", "b/IM0001"):
        (tmp_path / name).write_bytes(b"x")
    words = r"3 \.heic, 2 \.czi, 1 \(without a suffix\), 1 \.webp files were left out; listed are"
    with pytest.warns(DatasetWarning, match=words):
        assert len(datasets.as_table(tmp_path)) == 2
    for name in ("3.heic", "a/4.HEIC", "b/5.heic", "6.czi", "b/7.czi", "b/IM0001"):
        (tmp_path / name).unlink()
    with pytest.warns(DatasetWarning, match=r"1 \.webp file was left out"):
        datasets.as_table(tmp_path)


# --- Names that are not UTF-8 -----------------------------------------------------------------


@pytest.fixture
def odd_folder(tmp_path):
    """Return a folder with names as archives of other systems leave them."""
    root = os.path.join(os.fsencode(tmp_path), b"Pr\xe4parate")
    names = [b"Gr\xfcn/1.png", b"Gr\xfcn/Zelle_\xe4.png", b"mono/Zelle_\xe4.png", b"mono/2.png"]
    # What the name above is written as may itself be the name of a file.
    names += [b"mono/Zelle_%E4.png", b"mono/50%_\xff.png", b"mono/f%C3%BCr.png"]
    try:
        for number, name in enumerate(names):
            path = os.path.join(root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(encoded(picture(seed=number), "PNG"))
    except OSError:
        pytest.skip("this file system has no such names")
    return os.fsdecode(root), [os.path.join(root, name) for name in names]


def test_names_that_are_not_utf_8(odd_folder, tmp_path):
    root, files = odd_folder
    table = datasets.as_table(root)
    check(table)
    assert set(table["label"]) == {"Gr%FCn", "mono"}
    assert table["image"].is_unique
    found = {Path(images.path_of(name)).read_bytes() for name in table["image"]}
    assert found == {Path(os.fsdecode(file)).read_bytes() for file in files}
    for name in table["image"]:
        name.encode()
        np.testing.assert_array_equal(images.read(name), images.read(images.path_of(name)))
        assert images.read(f"{name}#xywh=0,0,4,5").shape == (5, 4, 3)
    # Names come back from every kind of file.
    for suffix in (".csv", ".parquet"):
        path = tmp_path / f"t{suffix}"
        table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path)
        assert list(datasets.as_table(path)["image"]) == list(table["image"])
    given = [os.fsdecode(file) for file in files]
    for items in (
        given,
        [Path(name) for name in given],
        pd.DataFrame({"image": given}, dtype=object),
    ):
        listed = datasets.as_table(items)
        assert set(listed["image"]) == set(table["image"])
    assert images.name_of(given[1]).endswith("Pr%E4parate/Gr%FCn/Zelle_%E4.png")
    assert images.stem_of(given[1]) == "Zelle_%E4"
    with pytest.raises(images.ImageError) as caught:
        images.read(given[1] + "x")
    str(caught.value).encode()
    assert datasets.survey(table)["problem"].isna().all()
    datasets.audit(table, n_jobs=1)


@pytest.mark.parametrize("masks", ["masks", "Labels", "GT", "ground_truth", "segmentations"])
def test_masks_beside_images_of_the_same_names_in_several_parts(tmp_path, masks):
    for number, part in enumerate(("train", "test", "a/b")):
        for folder, seed in (("images", number), (masks, 10 + number)):
            (tmp_path / part / folder).mkdir(parents=True)
            data = encoded(picture(seed=seed), "PNG")
            (tmp_path / part / folder / "0001.png").write_bytes(data)
    table = datasets.from_folder(tmp_path)
    assert [Path(name).parent.name for name in table["image"]] == ["images"] * 3
    for image, mask in zip(table["image"], table["mask"], strict=True):
        assert Path(mask) == Path(image).parent.parent / masks / "0001.png"


def test_masks_are_found_whatever_the_folders_above_are_called(odd_folder, tmp_path):
    root, _ = odd_folder
    for number, folder in enumerate((root, tmp_path / "plain")):
        images_folder = Path(folder) / "images"
        images_folder.mkdir(parents=True)
        for name in ("50% HCl%20a.png", os.fsdecode(b"Zelle_\xe4.png")):
            (images_folder / name).write_bytes(encoded(picture(seed=number), "PNG"))
    # A program that knows the names of a table only writes the masks by these names.
    for masks in (tmp_path / "masks", tmp_path / os.fsdecode(b"Masken_\xe4")):
        masks.mkdir()
        for name in ("50% HCl%20a.png", "Zelle_%E4.png"):
            (masks / name).touch()
        for folder in (root, tmp_path / "plain"):
            listed = datasets.as_table(Path(folder) / "images")["image"]
            find = datasets.mask_finder(masks, listed)
            assert {Path(find(name)).name for name in listed} == {
                "50% HCl%20a.png",
                "Zelle_%E4.png",
            }


def test_other_surrogates_are_no_trouble(tmp_path):
    table = datasets.as_table(["a\ud800.png", "b.png"])
    assert list(table["image"]) == ["a%ED%A0%80.png", "b.png"]
    with pytest.raises(images.ImageError, match=r"a%ED%A0%80\.png is not a valid path"):
        images.read("a\ud800.png")


def test_what_is_no_folder_of_images(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a")
    path = put(tmp_path, "a.png")[0]
    for root, words in {
        tmp_path / "empty": "holds no images; found an empty folder",
        tmp_path / "texts": r"holds no images; found a\.txt",
        tmp_path / "nowhere": "does not exist",
        path: "is a file; expected a folder",
    }.items():
        with pytest.raises(DatasetError, match=words):
            datasets.from_folder(root)


def test_unreadable_files_are_listed(tmp_path):
    bad = write_bad_files(tmp_path / "bad")
    os.symlink(tmp_path / "gone.png", tmp_path / "bad" / "dangling.png")
    table = datasets.from_folder(tmp_path)
    files = {Path(image).name for image in table["image"]}
    # The folder among them is not listed; damaged files are, and fail when they are read.
    assert files == (set(bad) - {"folder.jpg"}) | {"dangling.png"}
    assert table["group"].nunique() == len(table)


def test_linked_folders_are_followed_once(tmp_path):
    put(tmp_path, "store/monocyte/a.png", "set/basophil/b.png")
    os.symlink(tmp_path / "store" / "monocyte", tmp_path / "set" / "monocyte")
    os.symlink(tmp_path / "set", tmp_path / "set" / "basophil" / "round")
    table = datasets.from_folder(tmp_path / "set")
    assert list(table["label"]) == ["basophil", "monocyte"]


def test_masks_beside_images(tmp_path):
    put(tmp_path, "images/x/1.png", "images/y/2.png", "masks/x/1.png", "masks/y/3.png")
    table = datasets.from_folder(tmp_path)
    assert len(table) == 2
    assert table["mask"].iloc[0] == str(tmp_path / "masks" / "x" / "1.png")
    assert pd.isna(table["mask"].iloc[1])
    again = datasets.from_folder(tmp_path / "images")
    assert again["mask"].iloc[0] == str(tmp_path / "masks" / "x" / "1.png")


def test_the_order_is_that_of_the_names(tmp_path, monkeypatch):
    put(tmp_path, *(f"{label}/{number}.png" for label in "ba" for number in (10, 9, 1)))
    forward = datasets.from_folder(tmp_path)
    walk = os.walk

    def backward(*args, **kwargs):
        for parent, folders, files in walk(*args, **kwargs):
            folders.reverse()
            yield parent, folders, files[::-1]

    monkeypatch.setattr(os, "walk", backward)
    pd.testing.assert_frame_equal(datasets.from_folder(tmp_path), forward)


# --- Files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["frame", "polars", "file"])
def test_labels_and_patients_under_other_names(kind, tmp_path):
    put(tmp_path, "a.png", "b.png")
    images = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    given = pd.DataFrame({"path": images, "Class": ["x", "y"], "pat": ["1", "1"], "age": [3, 4]})
    source = given
    if kind == "polars":
        source = pytest.importorskip("polars").from_dict(given.to_dict("list"))
    if kind == "file":
        source = tmp_path / "t.csv"
        given.to_csv(source, index=False)
    with pytest.warns(DatasetWarning) as said:
        table = datasets.as_table(source)
    assert [str(w.message).partition("has ")[2] for w in said] == [
        "no column 'label', and 'Class' is taken for an attribute; if it holds the labels, pass "
        "label='Class'",
        "no column 'patient', and 'pat' is taken for an attribute; if it holds the patients, pass "
        "patient='pat'",
    ]
    assert table["label"].isna().all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = datasets.as_table(source, label="Class", patient="pat")
        check(table)
        assert table["label"].tolist() == table["label_raw"].tolist() == ["x", "y"]
        # Cells of one patient are one group.
        assert table["patient"].tolist() == table["group"].tolist() == ["1", "1"]
        assert table.columns[-1] == "age"
        assert datasets.as_table(source, label="age", patient="pat")["label"].tolist() == ["3", "4"]
    with pytest.raises(DatasetError, match=r"label='klass': .*did you mean Class"):
        datasets.as_table(source, label="klass")
    with pytest.raises(DatasetError, match="has a column 'label' beside it"):
        datasets.as_table(given.assign(label="z"), label="Class")
    with pytest.raises(DatasetError, match="columns of a table, and the images are none"):
        datasets.as_table(images, label="Class")


def test_csv(tmp_path):
    put(tmp_path, "sub/a.png", "sub/b.png", "mask.png")
    text = (
        "\ufefffilename,label,patient,um_per_px,mask,age,note\n"
        'sub/a.png,"NA",007,0.1,mask.png,41,Größe\n'
        "sub/b.png,,8,,,,\n"
    )
    (tmp_path / "cells.csv").write_text(text, encoding="utf-8")
    table = datasets.from_csv(tmp_path / "cells.csv")
    check(table)
    assert list(table["image"]) == [str(tmp_path / "sub" / name) for name in ("a.png", "b.png")]
    assert table["label"].iloc[0] == "NA"
    assert pd.isna(table["label"].iloc[1])
    assert list(table["patient"]) == ["007", "8"]
    assert list(table["group"]) == ["007", "8"]
    assert table["um_per_px"].iloc[0] == 0.1
    assert table["mask"].iloc[0] == str(tmp_path / "mask.png")
    assert table["age"].iloc[0] == 41
    assert table["note"].iloc[0] == "Größe"
    pd.testing.assert_frame_equal(datasets.as_table(str(tmp_path / "cells.csv")), table)
    pd.testing.assert_frame_equal(datasets.as_table(table), table)


def test_tsv_and_parquet(tmp_path):
    put(tmp_path, "a.png", "b.png")
    frame = pd.DataFrame({"image": ["a.png", "b.png"], "label": ["x", "y"], "patient": [1.0, None]})
    frame.to_csv(tmp_path / "cells.tsv", sep="\t", index=False)
    frame.to_parquet(tmp_path / "cells.parquet")
    for name in ("cells.tsv", "cells.parquet"):
        table = datasets.from_csv(tmp_path / name)
        check(table)
        assert list(table["label"]) == ["x", "y"]
    # Text is kept; an id in Parquet is a float if some ids are missing.
    assert datasets.from_csv(tmp_path / "cells.tsv")["patient"].iloc[0] == "1.0"
    assert datasets.from_csv(tmp_path / "cells.parquet")["patient"].iloc[0] == "1"


def test_a_manifest_is_the_data_set(tmp_path):
    put(tmp_path, "images/a.png", "images/b.png", "masks/a.png", "extra/c.png")
    (tmp_path / "manifest.csv").write_text(
        "path,label,sublabel,group,mask\nimages/b.png,ig,MY,g1,\nimages/a.png,ig,,,masks/a.png\n",
        encoding="utf-8",
    )
    table = datasets.as_table(tmp_path)
    check(table)
    assert [Path(image).name for image in table["image"]] == ["b.png", "a.png"]
    assert table["group"].iloc[0] == "g1"
    assert table["group"].iloc[1] == table["image"].iloc[1]
    assert table["sublabel"].iloc[0] == "MY"
    assert len(datasets.from_folder(tmp_path)) == 3


def test_a_manifest_of_something_else_is_no_manifest(tmp_path):
    put(tmp_path, "a.png")
    (tmp_path / "manifest.csv").write_text("version,author\n1,x\n", encoding="utf-8")
    with pytest.warns(DatasetWarning, match="no column 'image'"):
        assert len(datasets.as_table(tmp_path)) == 1


def test_paths_written_on_windows(tmp_path):
    put(tmp_path, "sub/a.png")
    (tmp_path / "cells.csv").write_text("image\nsub\\a.png\n", encoding="utf-8")
    assert Path(datasets.from_csv(tmp_path / "cells.csv")["image"].iloc[0]).exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read as a table"),
        ("image,label\n", "lists no images"),
        ("label,name\nx,y\n", "no column 'image' .*: label, name"),
        ("image\nnone.png\nnothing.png\n", "none of the 2 images listed in"),
        ("image\na.png\na.png\n", "more than once"),
        ("image,label\na.png,x\n,y\n", "names no image in row 2"),
        ("image,um_per_px\na.png,0\n", "um_per_px = 0; expected a number"),
        ("image,um_per_px\na.png,fine\n", "um_per_px = fine; expected"),
        ("image,label\na.png,x,y,z\nb.png,1,2,3,4,5\n", "cannot be read as a table"),
    ],
)
def test_csv_files_that_are_refused(tmp_path, text, words):
    put(tmp_path, "a.png")
    (tmp_path / "cells.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=words) as caught:
        datasets.from_csv(tmp_path / "cells.csv")
    assert "cells.csv" in str(caught.value)


def test_other_files_that_are_refused(tmp_path):
    (tmp_path / "latin.csv").write_bytes("image\ngröße.png\n".encode("latin-1"))
    (tmp_path / "cells.parquet").write_bytes(b"PAR1 not really")
    (tmp_path / "cells.xlsx").write_bytes(b"PK")
    (tmp_path / "folder.csv").mkdir()
    for name, words in {
        "latin.csv": "cannot be read as a table",
        "cells.parquet": "cannot be read as a table",
        "cells.xlsx": "is not a table",
        "folder.csv": "is a folder",
        "none.csv": "does not exist",
    }.items():
        with pytest.raises(DatasetError, match=words):
            datasets.from_csv(tmp_path / name)


# --- What is in memory ------------------------------------------------------------------------


def test_paths_and_arrays(tmp_path):
    first, second = put(tmp_path, "a.png", "b.png")
    image = picture(8, 8)
    for source, expected in [
        (first, [first]),
        (Path(first), [first]),
        ([Path(second), first], [second, first]),
        ((path for path in (first, second)), [first, second]),
        (pd.Series([first, second]), [first, second]),
        (np.array([first, second]), [first, second]),
    ]:
        table = datasets.as_table(source)
        check(table)
        assert list(table["image"]) == expected
    for arrays in ([image, first], image, np.stack([image, image[::-1]]), encoded(image, "PNG")):
        table = datasets.as_table(arrays)
        check(table)
        assert table["image"].dtype == object
    assert len(datasets.as_table(image)) == 1
    assert len(datasets.as_table(np.stack([image, image[::-1]]))) == 2


def test_data_frames():
    source = pd.DataFrame(
        {"path": ["x.png", "y.png"], "patient": [1, 2], "label": ["a", None], "age": [3, 4]},
        index=[5, 9],
    )
    before = source.copy()
    table = datasets.as_table(source)
    check(table)
    assert list(table["image"]) == ["x.png", "y.png"]
    assert list(table["patient"]) == ["1", "2"]
    assert list(table["group"]) == ["1", "2"]
    assert list(table["age"]) == [3, 4]
    pd.testing.assert_frame_equal(source, before)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ([], "lists no images"),
        (pd.DataFrame({"image": []}), "lists no images"),
        (pd.DataFrame({"label": ["a"]}), "no column 'image'"),
        (
            pd.DataFrame([["a", "b"]], columns=["image", "image"]),
            "several columns of one name: image",
        ),
        (["a.png", None], "names no image in row 2"),
        (["a.png", "a.png"], "more than once"),
        (7, "cannot make an image table from a int"),
        (None, "cannot make an image table from a NoneType"),
        ({"a.png": 1}, "a dict cannot be converted to a DataFrame"),
        ("nowhere/at/all.png", "does not exist"),
    ],
)
def test_what_no_table_can_be_made_of(source, words):
    with pytest.raises(DatasetError, match=words):
        datasets.as_table(source)


# --- Duplicates -------------------------------------------------------------------------------


def copies(tmp_path: Path) -> Path:
    put(tmp_path, "x/1.png", "x/2.png", "y/3.png", "y/4.png")
    shutil.copy(tmp_path / "x" / "1.png", tmp_path / "x" / "5.png")
    shutil.copy(tmp_path / "x" / "2.png", tmp_path / "y" / "6.png")
    return tmp_path


def test_identical_files_share_a_group(tmp_path):
    with pytest.warns(DatasetWarning, match=r"1 image\(s\) have two labels") as caught:
        table = datasets.from_folder(copies(tmp_path))
    assert "2.png (x)" in str(caught[0].message)
    assert "6.png (y)" in str(caught[0].message)
    names = [Path(image).stem for image in table["image"]]
    groups = dict(zip(names, (Path(group).stem for group in table["group"]), strict=True))
    assert groups == {"1": "1", "2": "2", "3": "3", "4": "4", "5": "1", "6": "2"}
    repeated = datasets.duplicates(table)
    assert list(repeated["cluster"]) == [1, 1, 2, 2]
    assert [Path(image).stem for image in repeated["image"]] == ["1", "5", "2", "6"]
    assert list(repeated["conflict"]) == [False, False, True, True]


def test_empty_files_are_not_one_image(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    table = datasets.from_folder(tmp_path)
    assert table["group"].nunique() == 2
    assert datasets.duplicates(table).empty


def test_groups_do_not_depend_on_order_or_labels(tmp_path):
    root = copies(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DatasetWarning)
        table = datasets.from_folder(root)
        mixed = table.sample(frac=1, random_state=1).reset_index(drop=True)
        again = datasets.group_duplicates(mixed.assign(group=None))
    expected = table.set_index("image")["group"]
    assert dict(zip(again["image"], again["group"], strict=True)) == expected.to_dict()


def test_a_cluster_joins_patients(tmp_path):
    put(tmp_path, "1.png", "2.png", "3.png", "4.png")
    shutil.copy(tmp_path / "1.png", tmp_path / "5.png")
    frame = pd.DataFrame(
        {
            "image": [str(tmp_path / f"{number}.png") for number in range(1, 6)],
            "patient": ["p2", "p3", None, "p1", "p1"],
        }
    )
    table = datasets.as_table(frame)
    # Image 1 of p2 is image 5 of p1: neither may be tested on the other.
    assert list(table["group"].iloc[[0, 1, 3, 4]]) == ["p1", "p3", "p1", "p1"]
    assert table["group"].iloc[2] == frame["image"].iloc[2]
    assert list(table["patient"].iloc[[0, 3]]) == ["p2", "p1"]


def test_pixels_find_what_bytes_do_not(tmp_path):
    image = picture(8, 8)
    (tmp_path / "a.png").write_bytes(encoded(image, "PNG"))
    (tmp_path / "b.bmp").write_bytes(encoded(image, "BMP"))
    (tmp_path / "c.png").write_bytes(b"broken")
    table = datasets.from_folder(tmp_path)
    assert datasets.duplicates(table).empty
    assert len(datasets.duplicates(table, by="pixels")) == 2
    grouped = datasets.group_duplicates(table.assign(group=None), by="pixels")
    assert grouped["group"].nunique() == 2
    with pytest.raises(DatasetError, match="by is 'names'"):
        datasets.duplicates(table, by="names")


def test_arrays_are_told_apart():
    image = picture(8, 8)
    table = datasets.as_table([image, image[::-1], image.copy(), image.astype(np.uint16)])
    assert table["group"].nunique() == 3
    assert table["group"].iloc[0] == table["group"].iloc[2]


def test_windows_of_one_file_are_two_images(tmp_path):
    path = put(tmp_path, "a.png")[0]
    table = datasets.as_table([path + "#xywh=0,0,4,4", path + "#xywh=4,4,4,4"])
    assert table["group"].nunique() == 2
