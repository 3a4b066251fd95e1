"""The size of a pixel by the red cells, on discs of known size and on real fields."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from hemafeat import datasets, extract, images, segment

GREY, BLUE, YELLOW, WHITE = (150, 155, 150), (95, 125, 155), (235, 235, 150), (250, 250, 250)
STAINS = {
    "pink on white": (WHITE, (235, 160, 165), 0.5),
    "pale on grey": (GREY, (140, 130, 130), 0.6),
    "purple on blue": (BLUE, (100, 75, 130), 0.4),
    "tan on yellow": (YELLOW, (205, 180, 135), 0.3),
    "dark purple on grey": (GREY, (95, 65, 88), 0.0),
    "blue-grey on white": (WHITE, (165, 175, 195), 0.3),
}


def smear(
    um_per_px: float,
    stain: str = "pink on white",
    *,
    shape: tuple[int, int] = (480, 640),
    density: float = 0.25,
    stretch: float = 0.08,
    diameter: float = images.RED_CELL_UM,
    seed: int = 0,
) -> np.ndarray:
    """Draw red cells of a mean diameter in um: some overlap, and some are cut by the border."""
    rng = np.random.default_rng(seed)
    background, red, pallor = (np.array(value, float) for value in STAINS[stain])
    height, width = shape
    mean = diameter / um_per_px / 2
    cells = np.zeros(shape)
    rows, columns = np.mgrid[0:height, 0:width]
    for _ in range(round(density * height * width / (math.pi * mean**2))):
        radius = mean * math.exp(rng.normal(0, 0.04))
        long, turn = math.exp(abs(rng.normal(0, stretch)) / 2), rng.uniform(0, math.pi)
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        near = np.s_[max(0, int(y - 2 * radius)) : int(y + 2 * radius),
                     max(0, int(x - 2 * radius)) : int(x + 2 * radius)]  # fmt: skip
        u, v = columns[near] - x, rows[near] - y
        u, v = u * math.cos(turn) + v * math.sin(turn), v * math.cos(turn) - u * math.sin(turn)
        rho = np.hypot(u / long, v * long) / radius
        disc = np.clip((1 - rho) * radius + 0.5, 0, 1)
        cells[near] += disc * (1 - pallor * np.exp(-((rho / 0.45) ** 4)))
    cells = cv2.GaussianBlur(cells, (0, 0), 0.7)
    level = background * (red / background) ** cells[:, :, None]
    light = 1 - 0.25 * np.hypot(*np.mgrid[-0.5 : 0.5 : height * 1j, -0.5 : 0.5 : width * 1j])
    noisy = level * light[:, :, None] + rng.normal(0, 2, level.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def error(found: images.Scale, um_per_px: float) -> float:
    return abs(found.um_per_px / um_per_px - 1)


@pytest.mark.parametrize("stain", STAINS)
def test_red_cells_of_any_colour_on_any_background(stain: str) -> None:
    found = images.scale(smear(0.17, stain))
    assert error(found, 0.17) < 0.02
    assert found.n_cells >= 20
    assert 0.02 < found.spread < 0.07
    assert (found.n_images, found.reason) == (1, "")


@pytest.mark.parametrize("um_per_px", [0.06, 0.12, 0.25, 0.5])
def test_any_magnification(um_per_px: float) -> None:
    several = [smear(um_per_px, seed=seed) for seed in range(4 if um_per_px < 0.1 else 2)]
    assert error(images.scale(several), um_per_px) < 0.02


def test_marks_corners_platelets_and_white_cells_do_not_count() -> None:
    image = smear(0.15, density=0.2)
    rng = np.random.default_rng(1)
    for x, y in rng.uniform(20, 460, (60, 2)).astype(int).tolist():
        cv2.circle(image, (x, y), 8, (120, 60, 140), -1, cv2.LINE_AA)  # platelets of 2.4 um
    for x, y in ((150, 150), (420, 300), (520, 90)):
        cv2.circle(image, (x, y), 48, (190, 150, 200), -1, cv2.LINE_AA)
        cv2.circle(image, (x + 6, y), 30, (80, 30, 120), -1, cv2.LINE_AA)
    cv2.line(image, (500, 450), (600, 450), (0, 0, 0), 3)
    cv2.putText(image, "20 um", (510, 440), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 255, 0), 2)
    field = np.zeros(image.shape[:2], np.uint8)
    cv2.circle(field, (320, 240), 330, 1, -1)
    image[field == 0] = 4
    assert error(images.scale(image), 0.15) < 0.03


def test_every_image_of_a_set_counts() -> None:
    crops = [smear(0.15, seed=seed, shape=(160, 160), density=0.3) for seed in range(12)]
    alone = [images.scale(crop) for crop in crops]
    assert all("at least 6 are needed" in found.reason for found in alone)
    assert all(math.isnan(found.um_per_px) for found in alone)
    together = images.scale(crops)
    assert error(together, 0.15) < 0.03
    assert together.n_cells == sum(found.n_cells for found in alone)
    assert images.scale(crops, max_images=5).n_images == 5
    assert images.scale(crops, enough=8).n_images < 12


def test_two_magnifications_are_refused_and_named(tmp_path: Path) -> None:
    mixed = [smear(0.1 if seed % 3 else 0.2, seed=seed, density=0.2) for seed in range(9)]
    found = images.scale(mixed)
    assert found.reason == "the red cells of 3 of 9 images are of another size"
    paths = [tmp_path / f"{seed}.png" for seed in range(9)]
    for path, image in zip(paths, mixed, strict=True):
        cv2.imwrite(str(path), image[..., ::-1])
    named = images.scale(paths).reason
    assert {Path(name).name for name in named[named.index("(") + 1 : -1].split(", ")} == {
        "0.png", "3.png", "6.png"
    }  # fmt: skip


def test_a_large_field_is_looked_at_in_parts() -> None:
    tile = smear(0.25, shape=(600, 600), density=0.2)
    large = np.tile(tile, (5, 5, 1))
    assert error(images.scale(large), 0.25) < 0.02


@pytest.mark.parametrize(
    ("image", "reason"),
    {
        "blank": (np.full((200, 200, 3), 230, np.uint8), "no whole red cell"),
        "black": (np.zeros((200, 200, 3), np.uint8), "no whole red cell"),
        "noise": (np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8), "whole red"),
        "one pixel": (np.full((1, 1, 3), 90, np.uint8), "no whole red cell"),
        "one cell": (
            datasets.draw_cell("monocyte", neighbours=0.0, random_state=0).image,
            "whole red",
        ),
        "on black": (
            datasets.draw_cell(
                "monocyte", random_state=0, stain=datasets.Stain.preset("black")
            ).image,
            "whole red",
        ),
        "long cells": (
            [smear(0.2, stretch=2.0, seed=s) for s in range(3)],
            "not round and of one size",
        ),
    }.values(),
)
def test_refusals(image: np.ndarray, reason: str) -> None:
    found = images.scale(image)
    assert reason in found.reason
    assert math.isnan(found.um_per_px)


@pytest.mark.parametrize("gamma", [1.0, 0.5])
def test_blasts_alone_are_no_red_cells(gamma: float) -> None:
    """Also where they are stained faintly; a few red cells among them are enough."""
    for neighbours, n_cells in ((0.0, 0), (0.1, 6)):
        drawn = datasets.draw_field(
            ["lymphoblast"] * 16, um_per_px=0.2, neighbours=neighbours, random_state=1
        )
        found = images.scale((255 * (drawn.image / 255) ** gamma).astype(np.uint8))
        assert found.n_cells >= n_cells
        # Red cells of drawn patients are 7.3 um wide, with a deviation of 5 % between patients.
        assert error(found, 0.2) < 0.15 if n_cells else math.isnan(found.um_per_px)


def test_damaged_images_are_passed_over(tmp_path: Path) -> None:
    good = smear(0.17)
    (tmp_path / "bad.png").write_bytes(b"no image")
    bad = str(tmp_path / "bad.png")
    assert images.scale([bad, good]) == images.scale(good)
    assert images.scale([bad, bad]).reason == "no image can be read"
    with pytest.raises(images.ImageError, match=r"bad\.png"):
        images.scale(bad)


# --- By data set ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Two data sets of different magnification, in files; the images hold no white cell."""
    folder = tmp_path_factory.mktemp("smears")
    rows = []
    for name, um_per_px, stain in (("fine", 0.1, "pink on white"), ("coarse", 0.2, "pale on grey")):
        for seed in range(3):
            path = folder / f"{name}{seed}.png"
            cv2.imwrite(str(path), smear(um_per_px, stain, seed=seed)[..., ::-1])
            rows.append((str(path), name, um_per_px))
    return pd.DataFrame(rows, columns=["image", "dataset", "true"])


def test_each_data_set_has_its_own_scale(table: pd.DataFrame) -> None:
    found = datasets.scales(table)
    assert found["dataset"].tolist() == ["fine", "coarse"]
    np.testing.assert_allclose(found["um_per_px"], [0.1, 0.2], rtol=0.02)
    assert found["n_images"].tolist() == [3, 3]
    assert found["stated"].isna().all()
    assert found["problem"].tolist() == ["", ""]
    said: list[str] = []
    filled = datasets.with_scale(table, notify=said.append)
    np.testing.assert_allclose(filled["um_per_px"], table["true"], rtol=0.02)
    assert filled["um_per_px"].nunique() == 2
    assert [line.split(",")[0].split(" of ")[1] for line in said] == ["fine", "coarse"]
    assert all("red cells in 3 images (spread" in line for line in said)


def test_a_stated_scale_is_kept(table: pd.DataFrame) -> None:
    stated = table.assign(um_per_px=np.where(table["dataset"] == "fine", 0.1, np.nan))
    filled = datasets.with_scale(stated)
    assert filled.loc[filled["dataset"] == "fine", "um_per_px"].eq(0.1).all()
    np.testing.assert_allclose(filled["um_per_px"], table["true"], rtol=0.02)


def test_a_scale_that_contradicts_the_red_cells_is_told(table: pd.DataFrame) -> None:
    stated = datasets.scales(table.assign(um_per_px=table["true"] * [1, 1, 1, 10, 10, 10]))
    assert stated["problem"].iloc[0] == ""
    assert "makes the red cells of coarse 72 um wide" in stated["problem"].iloc[1]
    assert "6.5 to 8 um: by their size it is about 0.2" in stated["problem"].iloc[1]


def test_few_of_many_stated_scales_are_checked(table: pd.DataFrame) -> None:
    each = table.assign(um_per_px=np.linspace(0.1, 0.2, 6), dataset="mixed")
    found = datasets.scales(each)
    assert len(found) == 4
    assert found["n_images"].eq(1).all()
    thousand = datasets.scales(table.assign(um_per_px=1000.0))
    assert "makes the red cells of fine 73,000 um wide" in thousand["problem"].iloc[0]


def test_a_data_set_without_red_cells_is_refused(table: pd.DataFrame) -> None:
    blank = np.full((100, 100, 3), 220, np.uint8)
    rows = [*table["image"], blank]
    mixed = pd.DataFrame({"image": rows, "dataset": [*table["dataset"], "blank"]})
    with pytest.raises(datasets.DatasetError, match="scale of blank cannot be estimated: no whole"):
        datasets.with_scale(mixed)
    with pytest.raises(datasets.DatasetError, match="the scale cannot be estimated"):
        datasets.with_scale([blank])


def test_the_audit_tells_the_scale(table: pd.DataFrame) -> None:
    wrong = table.assign(um_per_px=table["true"] * [1, 1, 1, 5, 5, 5])
    audit = datasets.audit(wrong, near=False, checks=["scale"])
    by_severity = audit.findings.set_index("severity")["message"]
    assert "0.1 is stated" in by_severity["note"]
    assert "makes the red cells of coarse 36 um wide" in by_severity["warning"]
    assert set(audit.of("scale")["row"]) == {3, 4, 5}
    assert audit.scales["dataset"].tolist() == ["fine", "coarse"]
    unread = datasets.audit(wrong, near=False, checks=["name"])
    assert unread.scales.empty


# --- In extraction ----------------------------------------------------------------------------


def one_disc(image: np.ndarray) -> segment.Masks:
    cell = np.zeros(image.shape[:2], np.int32)
    cv2.circle(cell, (60, 60), 50, 1, -1)
    return segment.Masks(cell, np.zeros_like(cell))


MEASURED = {"segmenter": one_disc, "families": ["shape"], "n_jobs": 1}


def test_features_by_an_estimated_scale(table: pd.DataFrame, tmp_path: Path) -> None:
    filled = datasets.with_scale(table)
    by_hand = extract.table(filled, **MEASURED)
    for result in (
        extract.table(table, um_per_px="auto", **MEASURED),
        extract.stream(table, tmp_path / "out", um_per_px="auto", **MEASURED).load(),
    ):
        pd.testing.assert_frame_equal(result, by_hand)
    assert extract.units(by_hand)["cell__shape__area"] == "um^2"
    step = extract.CellFeatures(["shape"], one_disc, um_per_px="auto", n_jobs=1)
    np.testing.assert_array_equal(
        step.fit_transform(table), by_hand[extract.columns(["shape"])].to_numpy()
    )
    again = extract.stream(table, tmp_path / "out", um_per_px="auto", **MEASURED)
    assert (again.n_kept, again.n_shards) == (1, 1)
    with pytest.raises(datasets.DatasetError, match="cannot be estimated"):
        extract.table([np.full((120, 120, 3), 220, np.uint8)], um_per_px="auto", **MEASURED)


def test_one_image_by_its_own_red_cells() -> None:
    image = smear(0.17)
    masks = one_disc(image)
    px, um = (
        extract.measure(image, masks, families=["shape"], um_per_px=scale)["cell__shape__area"]
        for scale in (None, "auto")
    )
    assert math.isclose(math.sqrt(um.item() / px.item()), images.scale(image).um_per_px)
    blank = np.full_like(image, 220)
    with pytest.raises(ValueError, match="um_per_px='auto': no whole red cell"):
        extract.measure(blank, masks, families=["shape"], um_per_px="auto")


def test_a_wrong_scale_is_warned_of_before_cells_are_measured(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    words = "makes the red cells of fine 36 um wide"
    wrong = table.assign(um_per_px=[0.5, 0.5, 0.5, 0.2, 0.2, 0.2])
    for measure in (
        lambda: extract.table(wrong, **MEASURED),
        lambda: extract.stream(wrong, tmp_path / "out", **MEASURED),
    ):
        with pytest.warns(datasets.DatasetWarning, match=words) as caught:
            measure()
        assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extract.stream(wrong, tmp_path / "out", **MEASURED)  # complete: nothing is read
        extract.table(table.assign(um_per_px=table["true"] * 1.2), **MEASURED)


def test_a_cell_that_no_scale_explains_is_an_error(tmp_path: Path) -> None:
    blank = np.full((120, 120, 3), 220, np.uint8)
    words = "a cell is 112 um wide with um_per_px = 1.12, and white cells are 7 to 25 um"
    first = r"2 images, the first is array\[0\]: "
    with pytest.warns(datasets.DatasetWarning, match=first + words):
        measured = extract.table([blank, blank + 1], um_per_px=1.12, **MEASURED)
    errors = extract.errors(measured)
    assert errors["error"].tolist() == ["ScaleWarning"] * 2
    assert errors["message"].str.startswith(words).all()
    assert len(measured) == 2
    with pytest.warns(datasets.DatasetWarning, match="1 image, the first is"):
        extract.stream([blank], tmp_path / "out", um_per_px=1.12, **MEASURED)
    with pytest.warns(datasets.DatasetWarning, match=words):
        extract.measure(blank, one_disc(blank), families=["shape"], um_per_px=1.12)


# --- Real fields ------------------------------------------------------------------------------


def some(folder: Path, n: int) -> list[str]:
    files = sorted(map(str, folder.rglob("*.*g")))
    return files[:: len(files) // n]


@pytest.mark.parametrize(
    ("place", "um_per_px"),
    # Chula: the scale bars; the others: 7.2 um and the median of red cells measured by hand.
    [("chula_rbc/images", 0.1923), ("draaslan/images", 0.1346), ("pbc_dev/images", 0.0985)],
)
def test_real_fields(real_data: Path, place: str, um_per_px: float) -> None:
    if not (real_data / place).is_dir():
        pytest.skip(f"{place} is not there")
    assert error(images.scale(some(real_data / place, 30)), um_per_px) < 0.05


def test_crops_without_red_cells_are_refused(real_data: Path) -> None:
    if not (real_data / "cnmc_sample").is_dir():
        pytest.skip("cnmc_sample is not there")
    found = images.scale(sorted((real_data / "cnmc_sample").glob("*.bmp")))
    assert found.reason
