"""Segmenters scored on many images: pairing with the truth, summaries, intervals and sheets."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from hemafeat import segment
from hemafeat.segment import MaskError, Masks, MaskWarning, SegmenterError, score_images
from hemafeat.segment._scoring import worst

SHAPE = (90, 120)


def disc(x: int, y: int, radius: int) -> np.ndarray:
    rows, columns = np.indices(SHAPE)
    return np.hypot(columns - x, rows - y) <= radius


def masks_of(*circles: tuple[int, int, int]) -> Masks:
    cell, nucleus = np.zeros(SHAPE, np.int32), np.zeros(SHAPE, np.int32)
    for number, (x, y, radius) in enumerate(circles, 1):
        cell[disc(x, y, radius)] = number
        nucleus[disc(x, y, radius // 2)] = number
    return Masks(cell, nucleus)


def picture(masks: Masks) -> np.ndarray:
    image = np.full((*SHAPE, 3), 230, np.uint8)
    image[masks.cell > 0] = (200, 150, 200)
    image[masks.nucleus > 0] = (100, 40, 140)
    return image


TRUTH = [
    masks_of((30, 30, 14), (90, 50, 12)),
    masks_of((50, 45, 20)),
    masks_of(),
    masks_of((20, 60, 10), (60, 60, 10), (100, 60, 10)),
]
IMAGES = [picture(masks) for masks in TRUTH]


def exact(image: np.ndarray) -> Masks:
    labels = cv2.connectedComponents((image[..., 1] < 200).astype(np.uint8))[1]
    return Masks(labels, np.where(image[..., 1] < 100, labels, 0))


def corner(image: np.ndarray) -> Masks:
    """Find all cells, and one in the corner that is not there, of which it is suspicious."""
    masks = exact(image)
    cell = masks.cell.copy()
    cell[:9, :9] = masks.n_cells + 1
    flags = [False] * masks.n_cells + [True]
    return Masks(cell, masks.nucleus, {"suspected_failure": flags})


def shrunk(image: np.ndarray) -> Masks:
    """Find nuclei in place of cells, and no cell in the lower third."""
    masks = exact(image)
    cell = masks.nucleus.copy()
    cell[55:] = 0
    return Masks(cell, cell)


def fails_on_many(image: np.ndarray) -> Masks:
    masks = exact(image)
    if masks.n_cells > 2:
        raise RuntimeError("too many cells")
    return masks


@pytest.fixture(scope="module")
def scores() -> segment.Scores:
    finders = {"exact": exact, "corner": corner, "shrunk": shrunk, "fails": fails_on_many}
    table = pd.DataFrame({"image": IMAGES, "label": list("abcd")})
    return score_images(table, TRUTH, finders, n_boot=200)


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "fields").mkdir()
    for name, image in zip("abcd", IMAGES, strict=True):
        cv2.imwrite(str(tmp_path / "fields" / f"{name}.png"), image[..., ::-1])
    return tmp_path


def write_masks(folder: Path, **pictures: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in pictures.items():
        cv2.imwrite(str(folder / f"{name}.png"), values)


def test_the_summary_by_hand(scores):
    table = scores.summary.set_index("segmenter")
    assert table["images"].tolist() == [4] * 4
    assert table["cells"].tolist() == [6] * 4
    assert table["found"].tolist() == [6, 6, 0, 3]
    assert table["missed"].tolist() == [0, 0, 6, 3]
    # The nuclei are outlines of Dice 0.4, three of them, that are no cell found.
    assert table["spurious"].tolist() == [0, 4, 3, 0]
    assert table["spurious_per_image"].tolist() == [0, 1, 0.75, 0]
    assert table["failures"].tolist() == [0, 4, 6, 3]
    assert table["flagged"].tolist() == [0, 4, 0, 0]
    assert table.loc["corner", ["precision", "recall", "recall_outlined"]].tolist() == [1, 1, 1]
    assert table.loc["shrunk", ["recall", "recall_outlined"]].tolist() == [0, 0]
    assert np.isnan(table.loc["fails", "recall_outlined"])
    assert table.loc["exact", ["nucleus_mean", "cell_mean", "cell_p5"]].tolist() == [1, 1, 1]
    assert table["ms"].gt(0).all()
    assert table.loc["exact", "ms_ratio"] == 1.0
    assert table.loc["corner", "ms_ratio"] == pytest.approx(
        table.loc["corner", "ms"] / table.loc["exact", "ms"]
    )


def test_each_true_cell_and_spurious_outline_has_a_row(scores):
    rows = scores.cells[scores.cells["segmenter"] == "corner"]
    assert len(rows) == 6 + 4
    spurious = rows[rows["cell"] == 0]
    assert spurious["image"].tolist() == [f"array[{i}]" for i in range(4)]
    assert spurious["label"].tolist() == list("abcd")
    assert spurious["suspected_failure"].all()
    assert spurious["failed"].all()
    assert rows[rows["cell"] > 0]["found"].all()
    missed = scores.cells[scores.cells["segmenter"] == "shrunk"]
    assert missed["dice_cell"].between(0, 0.45).all()


def test_cells_of_an_image_on_which_a_segmenter_fails_are_missed(scores):
    assert scores.errors.to_dict("records") == [
        {
            "image": "array[3]",
            "stage": "segment:fails",
            "error": "RuntimeError",
            "message": "too many cells",
        }
    ]
    rows = scores.images.set_index(["segmenter", "image"])
    assert rows.loc[("fails", "array[3]"), "missed"] == 3
    assert np.isnan(rows.loc[("fails", "array[3]"), "ms"])


def test_scores_of_an_image_are_those_of_score(scores):
    rows = scores.cells.query("segmenter == 'exact' and image == 'array[0]'")
    expected = segment.score(exact(IMAGES[0]), TRUTH[0])
    pd.testing.assert_frame_equal(rows[expected.columns].reset_index(drop=True), expected)


def test_intervals_resample_whole_groups():
    """Of two patients, one with good cells and one with bad ones, the interval spans both."""
    n = 12
    circles = [masks_of((40, 40, 16)) for _ in range(n)]
    images = [picture(one) for one in circles]
    truth = circles[: n // 2] + [masks_of((44, 40, 16))] * (n // 2)
    patients = ["p"] * (n // 2) + ["q"] * (n // 2)
    bounds = {}
    for name, group in (("image", range(n)), ("patient", patients)):
        table = pd.DataFrame({"image": images, "group": [str(one) for one in group]})
        row = score_images(table, truth, {"exact": exact}, n_boot=300).summary.iloc[0]
        bounds[name] = (row["cell_mean_low"], row["cell_mean_high"])
        assert bounds[name][0] <= row["cell_mean"] <= bounds[name][1]
    low, high = bounds["patient"]
    assert high == 1.0
    assert low == pytest.approx(segment.dice(circles[0].cell, truth[-1].cell))
    assert low < bounds["image"][0] < bounds["image"][1] < high
    again = score_images(table, truth, {"exact": exact}, n_boot=300, random_state=0).summary
    assert (again["cell_mean_low"][0], again["cell_mean_high"][0]) == bounds["patient"]
    alone = score_images(images[:1], truth[:1], {"exact": exact}).summary.iloc[0]
    assert alone["cell_mean"] == 1.0
    assert np.isnan(alone["cell_mean_low"])


def test_sets_are_scored_apart():
    table = pd.DataFrame({"image": IMAGES, "dataset": ["x", "y", "y", "x"]})
    scores = score_images(table, TRUTH, {"corner": corner, "exact": exact})
    assert scores.summary["set"].tolist() == ["x", "x", "y", "y"]
    assert scores.summary["segmenter"].tolist() == ["corner", "exact"] * 2
    assert scores.summary["cells"].tolist() == [5, 5, 1, 1]
    assert scores.summary["spurious"].tolist() == [2, 0, 2, 0]
    assert scores.summary["ms_ratio"][[0, 2]].tolist() == [1.0, 1.0]
    assert repr(scores).count("2 images") == 2


def test_times_of_a_segmenter():
    def waits(image):
        time.sleep(0.03)
        return exact(image)

    scores = score_images(IMAGES, TRUTH, {"exact": exact, "waits": waits}).summary
    assert scores["ms"][1] > 30
    assert scores["ms_median"][1] > 30
    # Waiting takes no processor.
    assert scores["cpu_ms"][1] < 25
    assert scores["ms_ratio"][1] == pytest.approx(scores["ms"][1] / scores["ms"][0])


def test_cells_at_the_border_are_left_out_if_asked():
    truth = masks_of((4, 40, 12), (70, 40, 12))
    image = picture(truth)
    for ignore, cells, spurious in ((False, 2, 1), (True, 1, 0)):
        scores = score_images([image], [truth], {"corner": corner}, ignore_border=ignore)
        assert scores.summary[["cells", "found", "spurious"]].iloc[0].tolist() == [
            cells,
            cells,
            spurious,
        ]
        assert len(scores.cells) == cells + spurious


def test_threads_do_not_change_the_scores(scores):
    table = pd.DataFrame({"image": IMAGES, "label": list("abcd")})
    finders = {"exact": exact, "corner": corner, "shrunk": shrunk, "fails": fails_on_many}
    other = score_images(table, TRUTH, finders, n_boot=200, n_jobs=3)
    times = ["ms", "ms_median", "ms_ratio", "cpu_ms"]
    for name in ("summary", "cells", "images"):
        one, two = (
            getattr(each, name).drop(columns=times, errors="ignore") for each in (scores, other)
        )
        pd.testing.assert_frame_equal(one, two)
    for name in scores.segmenters:
        assert np.array_equal(scores.sheet(name), other.sheet(name))


# --- The truth ------------------------------------------------------------------------------------


def test_masks_of_every_kind_are_found_by_name(folder):
    trimaps = {name: masks.trimap for name, masks in zip("abcd", TRUTH, strict=True)}
    cells = {name: masks.cell.astype(np.uint16) for name, masks in zip("abcd", TRUTH, strict=True)}
    nuclei = {n: masks.nucleus.astype(np.uint16) for n, masks in zip("abcd", TRUTH, strict=True)}
    write_masks(folder / "trimaps", **{f"{name}_mask": mask for name, mask in trimaps.items()})
    write_masks(folder / "both" / "cell", **cells)
    write_masks(folder / "both" / "nucleus", **nuclei)
    pair = (folder / "both" / "cell", folder / "both" / "nucleus")
    for truth in (folder / "trimaps", folder / "both", pair):
        row = score_images(folder / "fields", truth, {"exact": exact}).summary.iloc[0]
        assert row[["images", "cells", "found", "spurious"]].tolist() == [4, 6, 6, 0]
        assert row[["cell_mean", "nucleus_mean"]].tolist() == [1, 1]
    row = score_images(folder / "fields", pair[0], {"exact": exact}).summary.iloc[0]
    assert row["cell_mean"] == 1
    assert np.isnan(row["nucleus_mean"])


def test_an_empty_mask_says_that_there_are_no_cells(folder):
    write_masks(folder / "masks", **{name: np.zeros(SHAPE, np.uint8) for name in "abcd"})
    for truth in (folder / "masks", "none"):
        scores = score_images(folder / "fields", truth, {"exact": exact, "corner": corner})
        assert scores.summary["cells"].tolist() == [0, 0]
        assert scores.summary["spurious"].tolist() == [6, 10]
        assert scores.summary["found_share"].isna().all()
        assert len(scores.cells) == 16
        assert "nucleus" not in repr(scores).partition("Dice over")[0]
        assert scores.sheet("corner").shape[1] == worst.SIDE * worst.ACROSS


def test_nothing_found_where_nothing_is(folder):
    scores = score_images(folder / "fields" / "c.png", "none", {"exact": exact})
    assert scores.cells.empty
    assert scores.summary["spurious"].tolist() == [0]
    assert scores.sheet("exact").ndim == 3
    assert scores.save(folder / "out").is_dir()
    assert pd.read_csv(folder / "out" / "cells.csv").columns.tolist() == list(scores.cells.columns)


BOXES = """path,label,xmin,ymin,xmax,ymax
x/fields/a.png,WBC,16,16,45,45
x/fields/a.png,wbc,78,38,103,63
x/fields/b.png,rbc,5,5,12,12
x/fields/b.png,,5,60,12,70
x/fields/c.png,,,,,
"""


def test_boxes_of_a_table(folder):
    (folder / "boxes.csv").write_text(BOXES)
    scores = score_images(folder / "fields", folder / "boxes.csv", {"exact": exact})
    row = scores.summary.iloc[0]
    # Field b shows red cells only, c nothing at all; d is not listed.
    assert row[["images", "cells", "found", "spurious"]].tolist() == [3, 2, 2, 1]
    assert np.isnan(row["cell_mean"])
    assert scores.cells["dice_box"].dropna().gt(0.9).all()
    assert scores.errors["image"].tolist() == [str(folder / "fields" / "d.png")]
    assert "boxes.csv does not list this image" in scores.errors["message"][0]


def test_points_and_labels_of_a_table(folder):
    points = pd.DataFrame(
        {
            "file": ["a.jpg", "a.jpg", "b.jpg", "d.jpg"],
            "x": [30, 88, 50, 60],
            "y": [31, 50, 45, 60],
            "type": [7, 7, 7, 3],
        }
    )
    one = {"exact": exact}
    with pytest.raises(MaskError, match="labels 3, 7; state which are white cells"):
        score_images(folder / "fields", points, one)
    row = score_images(folder / "fields", points, one, truth_labels=["7"]).summary.iloc[0]
    assert row[["images", "cells", "found", "spurious"]].tolist() == [3, 3, 3, 3]
    row = score_images(folder / "fields", points, one, truth_labels=()).summary.iloc[0]
    assert row[["images", "cells", "spurious"]].tolist() == [3, 0, 6]
    with pytest.raises(MaskError, match="no label '9'; it has 3, 7"):
        score_images(folder / "fields", points, one, truth_labels=["9"])
    row = score_images(folder / "fields", points.drop(columns="type"), one).summary.iloc[0]
    assert row[["cells", "found", "spurious"]].tolist() == [4, 4, 2]


def test_names_of_a_table_differ_in_case_folder_and_suffix(folder):
    for name in ("A\u0308pfel", "B"):
        cv2.imwrite(str(folder / "fields" / f"{name}.PNG"), IMAGES[0][..., ::-1])
    names = ["D:\\fields\\\u00c4PFEL.jpg", "b.tif", "B.tif", "elsewhere/C.png"]
    table = pd.DataFrame({"image": names, "x": [30, 50, 30, 5], "y": [30, 45, 30, 5]})
    scores = score_images(folder / "fields", table, {"exact": exact})
    found = scores.images.set_index(scores.images["image"].str[-5:-4])["found"]
    assert found.to_dict() == {"l": 1, "B": 1, "b": 1, "c": 0}
    assert len(scores.errors) == 2


def test_images_of_one_name_in_several_folders(folder):
    boxes = pd.DataFrame(
        {"image": ["one/a.png", "two/a.png"], "x": [30, 50], "y": [30, 45], "label": "wbc"}
    )
    for name, image in (("one", IMAGES[0]), ("two", IMAGES[1]), ("three", IMAGES[3])):
        (folder / "sets" / name).mkdir(parents=True)
        cv2.imwrite(str(folder / "sets" / name / "a.png"), image[..., ::-1])
    scores = score_images(folder / "sets", boxes, {"exact": exact})
    assert scores.summary["found"].tolist() == [2]
    assert scores.summary["spurious"].tolist() == [1]
    assert "images called a cannot be told apart" in scores.errors["message"][0]
    with pytest.raises(MaskError, match=r"none of the 3 images has a truth.* cannot be told"):
        score_images(folder / "sets", boxes[:1].assign(image="a.png"), {"exact": exact})


def test_an_image_that_is_listed_without_coordinates_shows_no_cells(folder):
    points = pd.DataFrame({"image": ["a.png", "b.png"], "x": [30, np.nan], "y": [30, np.nan]})
    scores = score_images(folder / "fields", points, {"exact": exact})
    assert scores.images[["cells", "spurious"]].to_numpy().tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("image,left\na.png,3\n", "neither boxes .* nor points .*; its columns are image, left"),
        ("picture,x,y\na.png,3,4\n", "no column 'image'"),
        ("image,x,y\na.png,3,left\n", "row 1 has a coordinate that is not a number"),
        ("image,x,y\nq.png,3,4\n", "none of the 4 images has a truth; the first is .*a.png"),
        ("", "cannot be read as a table"),
    ],
)
def test_a_table_that_is_no_truth(folder, table, said):
    (folder / "boxes.csv").write_text(table)
    with pytest.raises(MaskError, match=said):
        score_images(folder / "fields", folder / "boxes.csv", {"exact": exact})


def test_a_truth_of_other_images_is_refused_before_the_work(folder):
    def never(image):
        pytest.fail("the work has begun")

    write_masks(folder / "masks", q=TRUTH[0].trimap)
    with pytest.raises(
        MaskError, match=r"none of the 4 images has a truth.* no mask in .* named a"
    ):
        score_images(folder / "fields", folder / "masks", never)
    with pytest.raises(ValueError, match="3 masks were given for 4 images"):
        score_images(IMAGES, TRUTH[:3], never)
    with pytest.raises(ValueError, match="truth_labels needs"):
        score_images(IMAGES, TRUTH, never, truth_labels=["wbc"])
    with pytest.raises(ValueError, match="truth is None"):
        score_images(IMAGES, None, never)


def test_images_and_masks_that_cannot_be_used_are_rows_of_errors(folder):
    (folder / "fields" / "e.png").write_bytes(b"no image")
    write_masks(
        folder / "masks",
        a=TRUTH[0].trimap,
        b=TRUTH[1].trimap[:50],
        e=TRUTH[0].trimap,
    )
    (folder / "masks" / "d.png").write_bytes(b"no mask")
    scores = score_images(folder / "fields", folder / "masks", {"exact": exact})
    assert scores.summary["images"].tolist() == [1]
    errors = scores.errors.assign(image=scores.errors["image"].str[-5:]).set_index("image")
    assert errors["stage"].to_dict() == {
        "b.png": "truth",
        "c.png": "truth",
        "d.png": "truth",
        "e.png": "read",
    }
    assert "50 x 120 and the image 90 x 120" in errors.loc["b.png", "message"]
    with pytest.raises(ValueError, match=r"no image could be scored: .*e\.png"):
        score_images(folder / "fields" / "e.png", [TRUTH[0]], {"exact": exact})


def test_masks_of_an_uncertain_kind_are_scored_with_a_warning(folder):
    values = np.where(disc(30, 30, 14), 1, np.where(disc(90, 50, 12), 1, 0)).astype(np.uint8)
    write_masks(folder / "masks", a=values)
    with pytest.warns(
        MaskWarning, match="masks that may mean something else: 1; the first is that of"
    ):
        scores = score_images(folder / "fields" / "a.png", folder / "masks", {"exact": exact})
    assert scores.summary["found"].tolist() == [2]
    assert scores.errors["error"].tolist() == ["MaskWarning"]


# --- Segmenters, sheets and files -----------------------------------------------------------------


def test_segmenters_are_named():
    scores = score_images(IMAGES[:1], TRUTH[:1], [exact, corner])
    assert scores.segmenters == ["exact", "corner"]
    with pytest.raises(ValueError, match="two segmenters are called exact"):
        score_images(IMAGES[:1], TRUTH[:1], [exact, exact])
    with pytest.raises(ValueError, match="no segmenter"):
        score_images(IMAGES[:1], TRUTH[:1], [])
    with pytest.raises(SegmenterError, match="did you mean contours"):
        score_images(IMAGES[:1], TRUTH[:1], "contour")
    for wrong in ({"min_dice": 1.5}, {"n_boot": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            score_images(IMAGES[:1], TRUTH[:1], exact, **wrong)


def has_colour(image: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((image == colour).all(axis=2).any())


def test_the_sheet_shows_the_worst_cells_of_each_kind(scores):
    # Missed cells with their outlines; nothing is spurious, or found.
    sheet = scores.sheet("fails")
    rows = 3 * worst.STRIP + 2 * (worst.STRIP + worst.SIDE)
    assert sheet.shape == (rows, worst.ACROSS * worst.SIDE, 3)
    missed = sheet[2 * worst.STRIP : 3 * worst.STRIP + worst.SIDE]
    assert has_colour(missed, worst.TRUE)
    assert not has_colour(missed, (0, 230, 0))
    # A suspected outline is red.
    spurious = scores.sheet("corner")[2 * worst.STRIP : 3 * worst.STRIP + worst.SIDE]
    assert has_colour(spurious, (255, 40, 40))
    with pytest.raises(KeyError):
        scores.sheet("unet")


def test_a_sheet_keeps_the_lowest_dice_and_spreads_over_images():
    kept = worst.Worst()
    drawn = []
    for place in range(100):
        for nth in (1, 2):
            key = (nth, place)
            kept.offer("spurious", key, lambda key=key: drawn.append(key) or np.zeros((2, 2, 3)))
    assert [key for key, _ in kept.kept["spurious"]] == [(1, i) for i in range(worst.SHOWN)]
    assert kept.counts["spurious"] == 200
    assert len(drawn) < 60  # the others were not drawn


@pytest.mark.parametrize(
    ("shape", "box", "expected"),
    [
        ((480, 640), (300, 200, 400, 260), (145, 265, 170)),
        ((480, 640), (0, 0, 20, 20), (0, 0, 72)),
        ((480, 640), (600, 440, 640, 480), (408, 568, 72)),
        ((60, 50), (10, 10, 40, 40), (0, -5, 60)),
    ],
)
def test_the_part_of_an_image_on_a_sheet(shape, box, expected):
    assert worst._window(shape, box) == expected


def test_files(scores, tmp_path):
    assert scores.save(tmp_path / "new" / "scores") == tmp_path / "new" / "scores"
    names = {path.name for path in (tmp_path / "new" / "scores").iterdir()}
    sheets = {f"worst_{name}.png" for name in scores.segmenters}
    assert names == {"scores.csv", "cells.csv", "images.csv", "errors.csv"} | sheets
    read = pd.read_csv(tmp_path / "new" / "scores" / "scores.csv")
    pd.testing.assert_frame_equal(read, scores.summary, check_dtype=False)
    sheet = cv2.imread(str(tmp_path / "new" / "scores" / "worst_exact.png"))[..., ::-1]
    assert np.array_equal(sheet, scores.sheet("exact"))


def test_names_of_sheets_are_names_of_files(tmp_path):
    names = ["unet:/a/net.onnx", "unet:/b/net.onnx", "unet:/b/new.onnx", "UNET_NEW.onnx", "../.."]
    scores = score_images(IMAGES[:1], TRUTH[:1], dict.fromkeys(names, exact), n_boot=1)
    scores.save(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [
        "worst_UNET_NEW.onnx_2.png",
        "worst_segmenter.png",
        "worst_unet_a_net.onnx.png",
        "worst_unet_b_net.onnx.png",
        "worst_unet_new.onnx.png",
    ]
    head = repr(scores).splitlines()[1].split()
    assert head == ["unet:/a/net.onnx", "unet:/b/net.onnx", "unet:new.onnx", *names[3:]]


def test_the_printed_table_names_every_number(scores):
    text = repr(scores)
    for word in ("4 images, 6 cells", "exact", "spurious", "1.00 [1.00, 1.00]", "ms per"):
        assert word in text
    assert "a Dice below 0.8" in text
