"""Masks in the files of other programs: Cellpose, QuPath, LabelMe, COCO and ImageJ."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from skimage.draw import polygon2mask

from hemafeat import datasets, extract
from hemafeat.segment import MaskError, Masks, as_masks, mask_source, read_masks, write_geojson
from hemafeat.segment._formats import polygons
from hemafeat.segment._formats.annotations import _unpacked
from hemafeat.segment._formats.polygons import Outline, fill, trace

SHAPE = (60, 80)
SQUARE = [[5, 5], [25, 5], [25, 25], [5, 25]]
INNER = [[10, 10], [20, 10], [20, 20], [10, 20]]
HUGE = [[0, 0], [80, 0], [80, 60], [0, 60]]
OTHER = [[50, 30], [70, 30], [70, 45], [50, 45]]


def sizes(labels: np.ndarray) -> list[int]:
    return np.bincount(labels.ravel(), minlength=1)[1:].tolist()


@pytest.fixture(scope="module")
def field() -> Masks:
    drawn = datasets.draw_field(["neutrophil", "monocyte", "lymphocyte"], random_state=0)
    return Masks(drawn.cell, drawn.nucleus)


# --- Outlines ---------------------------------------------------------------------------------


def test_filled_outlines_are_the_pixels_whose_centres_lie_inside():
    rng = np.random.default_rng(0)
    for _ in range(20):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 30))
        radii = rng.uniform(15, 40, 30)
        ring = np.stack([45 + radii * np.cos(angles), 30 + radii * np.sin(angles)], axis=1)
        expected = polygon2mask(SHAPE, ring[:, ::-1] - 0.5)  # its pixels have whole coordinates
        np.testing.assert_array_equal(fill([Outline([ring])], SHAPE) > 0, expected)


def test_traced_outlines_give_the_pixels_back():
    """Noise has holes, pieces in holes, and pixels that touch at a corner."""
    rng = np.random.default_rng(1)
    for _ in range(60):
        labels = 3 * (rng.random(rng.integers(1, 20, 2)) < rng.uniform(0.2, 0.9)).astype(int)
        pieces = trace(labels, 3)
        rings = [ring.astype(float) for piece in pieces for ring in piece]
        filled = fill([Outline(rings)], labels.shape) if rings else np.zeros_like(labels)
        np.testing.assert_array_equal(filled > 0, labels > 0)
        areas = [ring[:, 0] @ np.roll(ring[:, 1], -1) - ring[:, 1] @ np.roll(ring[:, 0], -1)
                 for ring in rings]  # fmt: skip
        assert sum(areas) / 2 == (labels > 0).sum()


# --- Cellpose ---------------------------------------------------------------------------------


class Attack:
    """Calls a function when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.mark}",)


def seg(masks: np.ndarray, **further) -> dict:
    """Make what Cellpose 4 saves, as `cellpose.io.masks_flows_to_seg` does."""
    return {
        "outlines": np.zeros(masks.shape, np.uint16),
        "masks": masks,
        "chan_choose": [0, 0],
        "ismanual": np.zeros(3, bool),
        "filename": "a.png",
        "flows": [np.zeros((4, 5, 3), np.uint8), [], np.zeros((2, 4, 5), np.float32)],
        "diameter": np.nan,
        "last": np.float64(3.0),
        **further,
    }


@pytest.mark.parametrize(
    "change", [np.uint16, np.int32, ">u2", np.asfortranarray, lambda x: x[None]]
)
def test_masks_of_cellpose_are_read_without_unpickling(tmp_path, monkeypatch, field, change):
    masks = change(field.cell) if callable(change) and not isinstance(change, type) else None
    masks = field.cell.astype(change) if masks is None else masks
    np.save(tmp_path / "a_seg.npy", seg(masks, path=Path("x"), attack=Attack(tmp_path / "mark")))

    def refuse(*_args, **_options):
        raise AssertionError("a file was unpickled")

    monkeypatch.setattr(pickle, "load", refuse)
    monkeypatch.setattr(pickle, "loads", refuse)
    read = read_masks(tmp_path / "a_seg.npy")
    np.testing.assert_array_equal(read.cell, field.cell)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"outlines": 3}, "has no masks"),
        ([1, 2], "has no masks"),
        (seg(np.zeros((3, 4, 5), np.uint16)), r"shape \(3, 4, 5\)"),
        (seg(np.zeros((4, 5))), "not whole numbers"),
        (seg(np.array([["a"]], dtype=object)), "has no masks"),
    ],
)
def test_other_files_of_cellpose_say_how_to_export(tmp_path, content, reason):
    np.save(tmp_path / "a_seg.npy", np.array(content, dtype=object), allow_pickle=True)
    with pytest.raises(MaskError, match=rf"a_seg\.npy: .*{reason}.*; export the masks") as caught:
        read_masks(tmp_path / "a_seg.npy")
    assert "\n" not in str(caught.value)


# --- GeoJSON of QuPath ------------------------------------------------------------------------


def feature(ring, kind="annotation", name=None, word=None, nucleus=None) -> dict:
    """Make a feature as QuPath 0.5 exports it."""
    properties = {"objectType": kind}
    properties |= {} if word is None else {"classification": {"name": word, "color": [1, 2, 3]}}
    properties |= {} if name is None else {"name": name}
    geometry = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    made = {"type": "Feature", "id": "0", "geometry": geometry, "properties": properties}
    if nucleus is not None:
        made["nucleusGeometry"] = {"type": "Polygon", "coordinates": [[*nucleus, nucleus[0]]]}
    return made


def written(path: Path, content) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def collection(*features) -> dict:
    return {"type": "FeatureCollection", "features": list(features)}


@pytest.mark.parametrize(
    "content",
    [
        collection(feature(SQUARE, "cell", nucleus=INNER), feature(OTHER, "cell")),
        [feature(SQUARE, word="WBC"), feature(INNER, word="Nucleus"), feature(OTHER)],
        [feature(INNER, name="nucleus 1"), feature(SQUARE, word="nucleated cell"), feature(OTHER)],
        # As QuPath 0.2 and 0.3 wrote it, and with the cells inside of their region.
        [
            feature(HUGE)
            | {
                "childObjects": [
                    feature(SQUARE, nucleus=INNER) | {"id": "PathCellObject", "properties": {}},
                    feature(OTHER) | {"properties": {"object_type": "detection"}},
                ]
            },
        ],
        # A region round detected cells, one cell added by hand, and a point.
        [
            feature(HUGE, word="Region"),
            feature(SQUARE, "detection"),
            feature(INNER, "detection", word="Nucleus"),
            feature(OTHER, "annotation"),
        ],
    ],
)
def test_objects_of_qupath(tmp_path, content):
    masks = read_masks(written(tmp_path / "a.geojson", content), shape=SHAPE)
    assert sorted(sizes(masks.cell)) == [300, 400]
    assert sum(sizes(masks.nucleus)) == 100
    assert ((masks.nucleus == 0) | (masks.nucleus == masks.cell)).all()
    assert masks.note == ""


def test_cytoplasm_with_a_hole_is_a_cell_with_its_nucleus(tmp_path):
    ring = feature(SQUARE, word="Cytoplasm")
    ring["geometry"]["coordinates"].append([*INNER[::-1], INNER[-1]])
    content = [ring, feature(INNER, word="Nucleus")]
    masks = read_masks(written(tmp_path / "a.geojson", content), shape=SHAPE)
    assert (sizes(masks.cell), sizes(masks.nucleus)) == ([400], [100])


def test_what_has_no_area_is_left_out_and_said(tmp_path):
    point = feature(SQUARE)
    point["geometry"] = {"type": "Point", "coordinates": [3, 4]}
    path = written(tmp_path / "a.geojson", [point, feature(SQUARE)])
    assert "1 of the kind 'point or line' left out" in as_masks(path, shape=SHAPE).note


def test_nested_outlines_are_refused_and_never_two_cells(tmp_path):
    for order in ([SQUARE, INNER], [INNER, SQUARE]):
        path = written(tmp_path / "a.geojson", [feature(ring) for ring in order])
        with pytest.raises(MaskError, match=r"a\.geojson: outline \d lies in outline \d: name a n"):
            read_masks(path, shape=SHAPE)


def test_parts_of_a_nucleus_may_lie_in_each_other(tmp_path):
    part = [[12, 12], [18, 12], [18, 18], [12, 18]]
    nuclei = [feature(ring, name="nucleus") for ring in (part, INNER)]
    path = written(tmp_path / "a.geojson", [feature(SQUARE), *nuclei])
    assert sizes(read_masks(path, shape=SHAPE).nucleus) == [100]
    with pytest.raises(MaskError, match="remove what is no nucleus"):
        read_masks(written(path, nuclei), shape=SHAPE)


def test_outlines_need_the_size_of_the_image(tmp_path):
    path = written(tmp_path / "a.geojson", [feature(SQUARE)])
    with pytest.raises(MaskError, match="pass shape="):
        read_masks(path)
    with pytest.raises(MaskError, match="outside the image"):
        read_masks(path, shape=(4, 4))


def test_masks_to_qupath_and_back(tmp_path, field):
    write_geojson(field, tmp_path / "a.geojson")
    again = read_masks(tmp_path / "a.geojson", shape=field.shape)
    np.testing.assert_array_equal(again.cell, field.cell)
    np.testing.assert_array_equal(again.nucleus, field.nucleus)
    lone = Masks(np.zeros(SHAPE, int), np.pad(np.ones((9, 9), int), ((2, 49), (2, 69))))
    write_geojson(lone, tmp_path / "lone.geojson")
    again = read_masks(tmp_path / "lone.geojson", shape=SHAPE)
    assert (sizes(again.cell), sizes(again.nucleus)) == ([], [81])
    with pytest.raises(ValueError, match=r"does not end in \.geojson"):
        write_geojson(lone, tmp_path / "a.json")


# --- LabelMe and COCO -------------------------------------------------------------------------


def labelme(*shapes, **further) -> dict:
    rows = [
        {"label": label, "points": points, "shape_type": kind} for label, points, kind in shapes
    ]
    return {"version": "5", "shapes": rows, "imageHeight": 60, "imageWidth": 80, **further}


def test_polygons_of_labelme(tmp_path):
    content = labelme(
        ("wbc", SQUARE, "polygon"),
        ("nucleus", [[10, 10], [20, 20]], "rectangle"),
        ("wbc", [[60, 40], [60, 50]], "circle"),
        ("wbc", [[1, 1]], "point"),
    )
    masks = as_masks(written(tmp_path / "a.json", content))
    assert sizes(masks.cell)[0] == 400
    assert sizes(masks.cell)[1] == pytest.approx(np.pi * 100, rel=0.02)
    assert sizes(masks.nucleus) == [100]
    assert masks.note == "1 of the kind 'point' left out"
    with pytest.raises(MaskError, match=r"outlined image is 60 x 80 and the image 61 x 80"):
        as_masks(tmp_path / "a.json", shape=(61, 80))


def coco(*annotations, images=("a.png",)) -> dict:
    return {
        "images": [
            {"id": 10 + n, "file_name": name, "height": 60, "width": 80}
            for n, name in enumerate(images)
        ],
        "categories": [{"id": 1, "name": "wbc"}, {"id": 2, "name": "nucleus"}],
        "annotations": [
            {"id": n, "image_id": 10 + image, "category_id": category, "segmentation": drawn}
            for n, (image, category, drawn) in enumerate(annotations)
        ],
    }


def flat(ring) -> list[list[float]]:
    return [[number for corner in ring for number in corner]]


def test_one_file_of_coco_for_all_images(tmp_path):
    names = ("train/a.png", "test/a.png", "b.png")
    content = coco(
        (0, 1, flat(SQUARE)), (1, 1, flat(OTHER)), (2, 2, flat(INNER)), (2, 1, flat(SQUARE)),
        images=names,
    )  # fmt: skip
    path = str(written(tmp_path / "all.json", content))
    images = datasets.as_table([f"/x/{name}" for name in (*names, "c.png")])
    *found, missing = mask_source(path, images)(images, 0)
    masks = [as_masks(item, shape=SHAPE) for item in found]
    assert [sizes(one.cell) for one in masks] == [[400], [300], [400]]
    assert [sum(sizes(one.nucleus)) for one in masks] == [0, 0, 100]
    with pytest.raises(MaskError, match=r"no image of .*all\.json is named c"):
        as_masks(missing)
    with pytest.raises(MaskError, match="is a file of COCO for 3 images"):
        read_masks(path)


def test_runs_of_coco():
    """The example of the specification: runs 6 1 40 4 5 4 5 4 21, for a mask of 10 x 9."""
    assert _unpacked("61X13mN000`0") == [6, 1, 40, 4, 5, 4, 5, 4, 21]


def test_masks_of_runs(tmp_path):
    mask = np.zeros(SHAPE, np.uint8)
    mask[5:25, 5:25] = 1
    edges = np.flatnonzero(np.diff(np.pad(mask.T.ravel(), 1)))
    counts = np.diff([0, *edges, mask.size]).tolist()
    content = coco((0, 1, {"size": list(SHAPE), "counts": counts}))
    masks = read_masks(written(tmp_path / "a.json", content))
    np.testing.assert_array_equal(masks.cell, mask)


# --- ImageJ -----------------------------------------------------------------------------------


def roi(ring, name: str) -> bytes:
    roifile = pytest.importorskip("roifile")
    return roifile.ImagejRoi.frompoints(np.array(ring), name=name).tobytes()


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name.replace("_", "."), data)
    return path


def test_regions_of_imagej(tmp_path):
    roifile = pytest.importorskip("roifile")
    line = roifile.ImagejRoi.frompoints(np.array(OTHER), name="line")
    line.roitype = roifile.ROI_TYPE.POLYLINE
    path = archive(
        tmp_path / "a.zip",
        a_roi=roi(SQUARE, "cell 1"),
        b_roi=roi(INNER, "nucleus 1"),
        c_roi=roi(np.array(OTHER) + 0.25, "cell 2"),
        d_roi=line.tobytes(),
    )
    masks = as_masks(path, shape=SHAPE)
    assert (sizes(masks.cell), sum(sizes(masks.nucleus))) == ([400, 300], 100)
    assert masks.note == "1 regions without an area left out"
    (tmp_path / "b.roi").write_bytes(roi(SQUARE, "x"))
    assert sizes(read_masks(tmp_path / "b.roi", shape=SHAPE).cell) == [400]


# --- Bad files --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.json", "[" * 100_000, "not a JSON file"),
        ("a.json", "{", "not a JSON file"),
        ("a.json", "3", "no outlines of QuPath"),
        ("a.json", "[1]", "no outlines of QuPath"),
        ("a.json", b"\xff\xfe\x00", "not a JSON file"),
        ("a.json", "[" + "9" * 5000 + "]", "not a JSON file"),
        ("a.json", {"shapes": [3]}, "unknown form"),
        ("a.json", labelme(("a", [[1, 2], [3]], "polygon")), "unknown form"),
        ("a.json", labelme(("a", [[0, 0], [0, float("nan")], [9, 9]], "polygon")), "not numbers"),
        ("a.json", labelme(("a", [[0, 0], [0, 1e300], [9, 9]], "polygon")), "too large"),
        ("a.json", labelme(imageHeight=1e9, imageWidth=1e9), "states an image of"),
        ("a.json", labelme(imageHeight=float("inf")), "unknown form"),
        ("a.json", labelme(("a", [[0, 0], [80, 60], [0, 60]] * 60_000, "polygon")), "too many"),
        ("a.json", coco((0, 1, {"size": [60, 80], "counts": [4800, 1]})), "do not fill"),
        ("a.json", coco((0, 1, {"size": [2**31, 2**31], "counts": [2**62]})), "do not fill"),
        ("a.json", coco((0, 1, {"size": [60, 80], "counts": [2**70]})), "unknown form"),
        ("a.json", coco((0, 1, {"size": [60, 80], "counts": "\x7f" * 30})), "damaged runs"),
        ("a.json", coco(images=()), "COCO for 0 images"),
        ("a.geojson", collection(3), "unknown form|no outlines"),
        ("a.geojson", {"type": "FeatureCollection"}, "no outlines"),
        ("a.geojson", [feature(HUGE[:1])], "fewer than three corners"),
        ("a.geojson", [{"geometry": {"type": "Polygon", "coordinates": 3}}], "unknown form|three"),
        ("a.zip", b"PK\x03\x04 and no more", "not a file of ImageJ"),
        ("a.roi", b"Iout", "damaged region"),
        ("a.roi", b"\x00" * 90, "not a file of ImageJ"),
    ],
)
def test_bad_files_are_one_line_that_names_them(tmp_path, name, content, reason):
    if name.endswith((".zip", ".roi")):
        pytest.importorskip("roifile")
    path = tmp_path / name
    if isinstance(content, dict | list):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(MaskError, match=reason) as caught:
        read_masks(path, shape=None if "Height" in str(content) else SHAPE)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.__cause__ is None


def test_many_large_outlines_are_refused(monkeypatch):
    """Slivers across the image, which are cheap to store and take long to fill."""
    monkeypatch.setattr(polygons, "MAX_COVER", 1e-3)  # of 2 ** 20 pixels
    slivers = [np.array([[0, y], [80, y + 20], [80, y + 22.0]]) for y in range(0, 40, 4)]
    with pytest.raises(MaskError, match="too many or too large"):
        fill([Outline([ring]) for ring in slivers], SHAPE)


def test_an_outline_of_no_pixel_is_refused(tmp_path):
    path = written(tmp_path / "a.geojson", [feature([[5, 5], [5.1, 5], [5.1, 5.1]])])
    with pytest.raises(MaskError, match="outline 1 covers no pixel"):
        read_masks(path, shape=SHAPE)


def test_archives_that_inflate_are_refused(tmp_path):
    pytest.importorskip("roifile")
    path = archive(tmp_path / "a.zip", a_roi=b"Iout" + b"\0" * 2**27)
    with pytest.raises(MaskError, match="would inflate to"):
        read_masks(path, shape=SHAPE)
    assert path.stat().st_size < 2**20


def test_any_byte_changed_is_read_or_refused(tmp_path, field):
    rng = np.random.default_rng(0)
    small = field.cell[:40, :40]
    buffer = io.BytesIO()
    np.save(buffer, seg(small.astype(np.uint16)))
    files = {
        "a_seg.npy": buffer.getvalue(),
        "a.geojson": json.dumps([feature(SQUARE), feature(OTHER, "cell")]).encode(),
        "a.json": json.dumps(coco((0, 1, flat(SQUARE)), (0, 2, flat(INNER)))).encode(),
    }
    for name, data in files.items():
        for at in rng.integers(0, len(data), 120).tolist():
            damaged = bytearray(data)
            damaged[at] = int(rng.integers(256))
            (tmp_path / name).write_bytes(damaged)
            with contextlib.suppress(MaskError):
                masks = as_masks(str(tmp_path / name), shape=None if "npy" in name else SHAPE)
                assert masks.cell.shape == ((40, 40) if "npy" in name else SHAPE)


# --- In a table -------------------------------------------------------------------------------


def test_a_folder_of_outlines_is_measured_as_the_masks_are(tmp_path, field):
    drawn = datasets.draw_field(["neutrophil", "monocyte", "lymphocyte"], random_state=0)
    import cv2

    cv2.imwrite(str(tmp_path / "f.png"), drawn.image[:, :, ::-1])
    (tmp_path / "outlines").mkdir()
    write_geojson(field, tmp_path / "outlines" / "f.geojson")
    options = {"families": ["shape"], "progress": False}
    images = [str(tmp_path / "f.png")]
    one = extract.table(images, masks=[field], **options)
    other = extract.table(images, masks=tmp_path / "outlines", **options)
    assert extract.errors(other).empty
    assert one.equals(other)
