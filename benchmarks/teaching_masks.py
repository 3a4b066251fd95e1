"""Make the table of images and masks that `train_segmenter.py` teaches a network from.

    python benchmarks/teaching_masks.py --data DIR --out DIR [--steps N]

DIR holds `bccd`, `pbc_dev`, `draaslan` and `chula_rbc`, of which those that are missing are left
out. The output folder receives `teaching.csv` (`image`, `mask`, `other`, `um_per_px`, `source`,
`part`), one mask and one image of what is known of the other pixels for each row, and a sheet of
outlines of each source. `part` is `teach`, `stop` (when training ends) or `held`.

BCCD has masks. Cells of PBC and of `draaslan` are outlined by the segmenters of the installed
version where these are confident and, for `draaslan`, agree with the box of the white cell; the
rest is unknown. The fields of `chula_rbc` have no white cell, but for four with one cut by the
border, which are left out.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from hemafeat import datasets, images, segment
from hemafeat.segment import Masks

PLATELET, NO_WHITE_CELL, UNKNOWN = 2, 5, 6

RED_CELL_UM = 7.2
"""Typical diameter of a red cell, in um."""

WITH_WHITE_CELLS = ("141", "171", "172", "186")
"""Fields of `chula_rbc` with white cells or erythroblasts."""

SURE = 0.9

LARGE_PLATELET = 900
"""Area of a platelet, in px of PBC, that few exceed."""

BLOCK, OF = 15, 5
"""Number of fields of BCCD in a block, and of blocks of which one is held back."""

Row = tuple[str, np.ndarray, Masks, np.ndarray, float, str]
"""Path, image, masks, classes of the other pixels, um per px, and part."""


def nothing(shape: tuple[int, int]) -> Masks:
    return Masks(np.zeros(shape, int), np.zeros(shape, int))


def density(image: np.ndarray) -> np.ndarray:
    """Compute the density of each channel relative to a bright level of the image."""
    pixels = np.maximum(image.reshape(-1, 3), 1)
    white = np.percentile(pixels[:: max(1, len(pixels) // 20000)], 90, axis=0)
    return -np.log10(np.maximum(image, 1) / white)


def split_bccd(table: pd.DataFrame) -> pd.DataFrame:
    """Hold back blocks of fields that were photographed one after the other."""
    ordered = table[table["mask"].notna()].sort_values("image", ignore_index=True)
    block = ordered.index // BLOCK
    held = block % OF == OF - 1
    second = (block // OF) % 2 == 1
    part = np.where(held, np.where(second, "held", "stop"), "teach")
    return ordered.assign(part=part)


def bccd(root: Path) -> Iterator[Row]:
    boxes = datasets.bccd_boxes(root)
    for row in split_bccd(datasets.bccd(root)).itertuples():
        image, masks = images.read(row.image), segment.read_masks(row.mask)
        other = np.full(masks.shape, NO_WHITE_CELL, np.uint8)
        of_field = boxes[boxes["image"].eq(row.image)]
        for box in of_field.itertuples():
            part = np.s_[max(0, box.ymin - 1) : box.ymax, max(0, box.xmin - 1) : box.xmax]
            if masks.cell[part].size == 0:
                continue
            if box.name == "WBC" and (masks.cell[part] > 0).mean() < 0.3:
                other[part] = UNKNOWN
            elif box.name == "Platelets":
                values = density(image)[part]
                violet = values[:, :, 1] - 1.3 * values[:, :, 2]
                other[part][(violet > 0.4 * violet.max()) & (values[:, :, 1] > 0.08)] = PLATELET
        red = of_field[of_field["name"].eq("RBC")]
        sides = (red["xmax"] - red["xmin"] + red["ymax"] - red["ymin"]) / 2
        um_per_px = RED_CELL_UM / sides.median() if len(sides) > 3 else 0.07
        yield row.image, image, masks, other, float(np.clip(um_per_px, 0.05, 0.1)), row.part


def chula(root: Path) -> Iterator[Row]:
    points = pd.read_csv(root / "points.csv")
    files = sorted(root.glob("images/*.jpg"), key=lambda file: int(re.sub(r"\D", "", file.stem)))
    for number, file in enumerate(file for file in files if file.stem not in WITH_WHITE_CELLS):
        image = images.read(file)
        shape = image.shape[:2]
        normal = points[points["path"].eq(f"images/{file.name}")]
        um_per_px = RED_CELL_UM / red_diameter(image, normal)
        # Fields with similar numbers are often of one smear.
        block = number // 5
        part = "held" if block % 3 == 2 else ("stop" if block % 6 == 3 else "teach")
        other = np.full(shape, NO_WHITE_CELL, np.uint8)
        yield str(file), image, nothing(shape), other, float(np.clip(um_per_px, 0.1, 0.22)), part


def red_diameter(image: np.ndarray, points: pd.DataFrame) -> float:
    """Measure the median diameter of the cells that lie at points, by a threshold."""
    dark = cv2.normalize(density(image).mean(axis=2), None, 0, 255, cv2.NORM_MINMAX)
    _, mask = cv2.threshold(dark.astype(np.uint8), 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    lines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    solid = [line for line in lines if cv2.contourArea(line) > 300]
    areas = [
        cv2.contourArea(line)
        for line in solid
        if cv2.contourArea(line) > 0.93 * cv2.contourArea(cv2.convexHull(line))
        and sum(
            cv2.pointPolygonTest(line, (float(x), float(y)), False) > 0
            for x, y in zip(points["x"], points["y"], strict=True)
        )
        == 1
    ]
    return float(2 * np.sqrt(np.median(areas) / np.pi)) if areas else 46.0


def draaslan(root: Path) -> Iterator[Row]:
    boxes = pd.read_csv(root / "boxes.csv")
    find = segment.segmenter("unet")
    files = sorted(root.glob("images/*.png"), key=lambda file: int(re.sub(r"\D", "", file.stem)))
    for number, file in enumerate(files):
        image = images.read(file)
        shape = image.shape[:2]
        of_field = boxes[boxes["path"].eq(f"images/{file.name}")]
        found = find(image)
        other = np.full(shape, NO_WHITE_CELL, np.uint8)
        kept = []
        for box in of_field[of_field["label"].eq("wbc")].itertuples():
            agreement, label = best_of(found, box)
            if agreement > 0.75:
                kept.append(label - 1)
            part = np.s_[
                max(0, int(box.ymin) - 3) : int(box.ymax) + 4,
                max(0, int(box.xmin) - 3) : int(box.xmax) + 4,
            ]
            other[part] = NO_WHITE_CELL if agreement > 0.75 else UNKNOWN
        masks = found.select(np.array(kept, np.intp)) if kept else nothing(shape)
        red = of_field[of_field["label"].eq("rbc")]
        sides = red["xmax"] - red["xmin"]
        part = "held" if number % 2 else ("stop" if number % 10 == 0 else "teach")
        yield str(file), image, masks, other, RED_CELL_UM / float(sides.median()), part


def best_of(masks: Masks, box: object) -> tuple[float, int]:
    """Return the largest intersection over union of a box and that of a cell, and its label."""
    best = (0.0, 0)
    for label in range(1, masks.n_cells + 1):
        x, y, w, h = cv2.boundingRect((masks.cell == label).astype(np.uint8))
        width = min(x + w, box.xmax) - max(x, box.xmin)
        height = min(y + h, box.ymax) - max(y, box.ymin)
        both = max(0.0, width) * max(0.0, height)
        union = w * h + (box.xmax - box.xmin) * (box.ymax - box.ymin) - both
        best = max(best, (both / union, label))
    return best


def pbc(root: Path, step: int) -> Iterator[Row]:
    finders = [segment.segmenter(name) for name in ("contours", "unet")]
    listed = datasets.pbc(root)
    order = listed.groupby("label").cumcount()
    for number, row in zip(order, listed.itertuples(), strict=True):
        if number % step:
            continue
        part = "held" if number % 4 == 3 else ("stop" if number % 40 == 0 else "teach")
        image = images.read(row.image)
        shape = image.shape[:2]
        other = np.full(shape, NO_WHITE_CELL, np.uint8)
        if row.label == "platelet":
            masks = finders[0](image)
            y, x = shape[0] // 2, shape[1] // 2
            counts = np.bincount(masks.cell[y - 20 : y + 20, x - 20 : x + 20].ravel())
            counts[0] = 0
            label = int(counts.argmax())
            area = np.count_nonzero(masks.cell == label)
            if not label or not 12**2 < area / np.pi < 45**2:
                continue
            other[masks.cell == label] = PLATELET
            if masks.n_cells > 1:
                other[(masks.cell > 0) & (masks.cell != label)] = UNKNOWN
            yield row.image, image, nothing(shape), other, 0.1, part
            continue
        for find in finders:
            masks = find(image)
            if is_sure(masks):
                mark_nuclei(image, masks, other)
                yield row.image, image, masks, other, 0.1, part
                break


def is_sure(masks: Masks) -> bool:
    """Return True if there are cells, each with a nucleus and an outline that can be trusted."""
    with_nucleus = np.unique(masks.nucleus[masks.nucleus > 0]).size == masks.n_cells
    return bool(masks.n_cells and with_nucleus and (masks.quality["confidence"] >= SURE).all())


def mark_nuclei(image: np.ndarray, masks: Masks, other: np.ndarray) -> None:
    """Mark what is as violet as the nuclei and no platelet, but outside the cells, as unknown."""
    values = density(image)
    violet = values[:, :, 1] + values[:, :, 0] - values[:, :, 2]
    level = float(violet[masks.nucleus > 0].mean())
    spots = ((violet > 0.6 * level) & (masks.cell == 0)).astype(np.uint8)
    spots = cv2.morphologyEx(spots, cv2.MORPH_OPEN, np.ones((9, 9), np.uint8))
    n, labels, stats, _ = cv2.connectedComponentsWithStats(spots)
    height, width = spots.shape
    for number in range(1, n):
        x, y, w, h, area = stats[number].tolist()
        inside = x > 0 and y > 0 and x + w < width and y + h < height
        if inside and area < LARGE_PLATELET:
            spots[labels == number] = 0
    near = cv2.dilate(spots, np.ones((25, 25), np.uint8)) > 0
    other[near & (masks.cell == 0)] = UNKNOWN


def overlay(image: np.ndarray, masks: Masks, other: np.ndarray, side: int = 240) -> np.ndarray:
    drawn = segment.outline(image, masks)
    for level, colour in ((PLATELET, (0, 200, 255)), (UNKNOWN, (120, 120, 120))):
        lines, _ = cv2.findContours(
            (other == level).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(drawn, lines, -1, colour, 2)
    scale = side / max(drawn.shape[:2])
    small = cv2.resize(drawn, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:side, :side]
    tile = np.full((side, side, 3), 128, np.uint8)
    tile[: small.shape[0], : small.shape[1]] = small
    return tile


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of data sets of real cells")
    parser.add_argument("--out", required=True, help="folder for masks, table and sheets")
    parser.add_argument("--step", type=int, default=1, help="use every n-th image of PBC")
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    data, out = Path(args.data), Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    sources = {
        "bccd": lambda: bccd(data / "bccd"),
        "chula_rbc": lambda: chula(data / "chula_rbc"),
        "draaslan": lambda: draaslan(data / "draaslan"),
        "pbc": lambda: pbc(data / "pbc_dev", args.step),
    }
    folders = {"pbc": "pbc_dev"}
    rows = []
    for source, read in sources.items():
        if not (data / folders.get(source, source)).is_dir():
            continue
        tiles = []
        for number, (path, image, masks, other, um_per_px, part) in enumerate(read()):
            row = {"image": path, "um_per_px": um_per_px, "source": source, "part": part}
            for name, pixels in (("mask", masks.trimap), ("other", other)):
                file = out / source / f"{number:05}_{name}.png"
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
                row[name] = str(file)
            rows.append(row)
            if len(tiles) < 100 and (source != "pbc" or number % 25 == 0):
                tiles.append(overlay(image, masks, other))
        tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 10)
        sheet = np.vstack([np.hstack(tiles[i : i + 10]) for i in range(0, len(tiles), 10)])
        data_of_sheet = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1]
        (out / f"{source}.png").write_bytes(data_of_sheet.tobytes())
    table = pd.DataFrame(rows)
    table.to_csv(out / "teaching.csv", index=False)
    print(table.value_counts(["source", "part"], sort=False).to_string())


if __name__ == "__main__":
    main()
