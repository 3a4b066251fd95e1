"""Measure how far each feature column moves when the same cell is imaged or outlined otherwise.

    python benchmarks/stability.py --data DATA --out DIR            # table and picture
    python benchmarks/stability.py --data DATA --out DIR --ship     # also the table of the package

Cells of pbc_dev (outlines by `segment.contours`), bccd (masks that come with it) and drawn cells
are measured as they are, and changed in one way at a time: another stain (`images.StainJitter`
without blur and compression, twice), another scale (0.7 times the pixels, um per pixel known), JPEG
of quality 60, focus (Gaussian blur of 1 px), and masks of nucleus and cell a pixel larger or
smaller.
For each column `stability.csv` holds, by kind of change,

- the intraclass correlation ICC(A,1) of the two values of a cell: 1 if cells are told apart by the
  column as if nothing had changed, 0 if not at all; and
- ``shift``: the median change in robust standard deviations (1.4826 MAD) between cells.

Both are means over the sets, and over the changes of a kind. `robust` columns are those of the
default set whose ICC is 0.75 or more (good, by Koo and Li 2016) under each kind of change.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

import hemafeat
from hemafeat import datasets, extract, images, segment

UM_PER_PX = {"pbc_dev": 0.0975, "bccd": 0.0765, "drawn": 0.1}
"""Size of a pixel by the red cells (`datasets.scales`); of drawn cells as drawn."""

SHIPPED = Path(hemafeat.__file__).parent / "extract" / "_stability.csv"
MARGIN = 24

Cell = tuple[np.ndarray, segment.Masks]
Change = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""``image, cell, nucleus`` to the same, changed."""


def stained(seed: int) -> Change:
    jitter = images.StainJitter(seed, blur=0.0, quality=100)
    return lambda image, cell, nucleus: (jitter(image), cell, nucleus)


def smaller(image: np.ndarray, cell: np.ndarray, nucleus: np.ndarray) -> tuple[np.ndarray, ...]:
    size = round(image.shape[1] * 0.7), round(image.shape[0] * 0.7)
    masks = (cv2.resize(m, size, interpolation=cv2.INTER_NEAREST_EXACT) for m in (cell, nucleus))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), *masks


def compressed(image: np.ndarray, cell: np.ndarray, nucleus: np.ndarray) -> tuple[np.ndarray, ...]:
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]), cell, nucleus


def blurred(image: np.ndarray, cell: np.ndarray, nucleus: np.ndarray) -> tuple[np.ndarray, ...]:
    return cv2.GaussianBlur(image, (0, 0), 1.0), cell, nucleus


def outlined(change: Callable[..., np.ndarray]) -> Change:
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return lambda image, cell, nucleus: (image, change(cell, cross), change(nucleus, cross))


CHANGES: dict[str, list[Change]] = {
    "stain": [stained(1), stained(2)],
    "scale": [smaller],
    "jpeg": [compressed],
    "focus": [blurred],
    "mask": [outlined(cv2.dilate), outlined(cv2.erode)],
}


def real_cells(data: Path, name: str, n: int, seed: int) -> list[Cell]:
    """Return about `n` cells of a real set, as many of each class, cut out with their masks."""
    table = {"pbc_dev": datasets.pbc, "bccd": datasets.bccd}[name](data / name)
    if name == "bccd":
        table = table[(table["n_wbc"] == 1) & table["label"].notna()]
    per_class = -(-n // table["label"].nunique())
    table = table.sample(frac=1, random_state=seed).groupby("label").head(per_class)
    cells = []
    for row in table.itertuples():
        image = images.read(row.image)
        masks = segment.contours(image) if name == "pbc_dev" else segment.read_masks(row.mask)
        if masks.n_cells:
            cells.append(cut_out(image, masks, extract.central_cell(masks) + 1))
    return cells


def drawn_cells(n: int, seed: int) -> list[Cell]:
    kinds = datasets.KINDS
    drawn = [datasets.draw_cell(kinds[i % len(kinds)], random_state=seed + i) for i in range(n)]
    return [cut_out(c.image, segment.Masks(c.cell, c.nucleus), 1) for c in drawn]


def cut_out(image: np.ndarray, masks: segment.Masks, number: int) -> Cell:
    """Return one cell in its surroundings; the rest of the image keeps its background."""
    cell, nucleus = ((m == number).astype(np.uint8) for m in (masks.cell, masks.nucleus))
    rows, columns = np.nonzero(cell)
    box = tuple(
        slice(max(0, int(at.min()) - MARGIN), int(at.max()) + MARGIN + 1) for at in (rows, columns)
    )
    return np.ascontiguousarray(image[box]), as_masks(cell[box], nucleus[box])


def as_masks(cell: np.ndarray, nucleus: np.ndarray) -> segment.Masks:
    return segment.Masks(cell.astype(np.int32), (nucleus & cell).astype(np.int32))


def measured(
    cells: Sequence[Cell],
    change: Change | None,
    um: float,
    families: Sequence[str],
    jobs: int | None,
) -> np.ndarray:
    """Return the features of cells: (n_cells, n_columns); NaN where a cell was lost."""
    changed = [
        (image, masks)
        if change is None
        else (lambda new: (new[0], as_masks(*new[1:])))(
            change(image, masks.cell.astype(np.uint8), masks.nucleus.astype(np.uint8))
        )
        for image, masks in cells
    ]
    scale = um / 0.7 if change is smaller else um
    table = extract.table(
        [image for image, _ in changed],
        masks=[masks for _, masks in changed],
        families=families,
        cells="all",
        um_per_px=scale,
        n_jobs=jobs,
        progress=False,
    )
    names = extract.feature_columns(table)
    if len(table) != len(cells):
        raise RuntimeError(f"{len(cells)} cells, but {len(table)} rows")
    return table[names].to_numpy(float)


def agreement(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return ICC(A,1) of two measurements of each column; NaN for a column that is constant.

    Two-way, single measurement, absolute agreement (McGraw and Wong, 1996). Values are clipped at
    the 1st and 99th percentile, since one cell with a huge value would otherwise decide.
    """
    both = np.stack([a, b])
    known = np.isfinite(both).all(axis=0)
    both = np.where(known, both, np.nan)
    low, high = np.nanpercentile(both, [1, 99], axis=(0, 1))
    both = np.clip(both, low, high)
    n = known.sum(axis=0).astype(float)
    row, column = np.nanmean(both, axis=0), np.nanmean(both, axis=1)
    grand = np.nanmean(row, axis=0)
    between = 2 * np.nansum((row - grand) ** 2, axis=0) / (n - 1)
    judges = n * np.nansum((column - grand) ** 2, axis=0)
    rest = np.nansum((both - row[None] - column[:, None] + grand) ** 2, axis=(0, 1)) / (n - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        icc = (between - rest) / (between + rest + 2 * (judges - rest) / n)
    return np.where((n >= 10) & (high > low), icc, np.nan)


def shift(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the absolute median change in robust standard deviations between cells."""
    spread = 1.4826 * np.nanmedian(np.abs(a - np.nanmedian(a, axis=0)), axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 0, np.abs(np.nanmedian(b - a, axis=0)) / spread, np.nan)


def stability(
    sets: dict[str, list[Cell]], families: Sequence[str], jobs: int | None
) -> pd.DataFrame:
    """Return the table: one row per column."""
    names = extract.columns(families)
    table = pd.DataFrame({"column": names})
    found: dict[str, list[np.ndarray]] = {}
    for set_name, cells in sets.items():
        plain = measured(cells, None, UM_PER_PX[set_name], families, jobs)
        for kind, changes in CHANGES.items():
            for change in changes:
                other = measured(cells, change, UM_PER_PX[set_name], families, jobs)
                found.setdefault(kind, []).append(agreement(plain, other))
                found.setdefault(f"{kind}_shift", []).append(shift(plain, other))
            print(f"{set_name} ({len(cells)} cells): {kind}, median ICC "
                  f"{np.nanmedian(found[kind][-1]):.3f}", flush=True)  # fmt: skip
    for kind in (*CHANGES, *(f"{kind}_shift" for kind in CHANGES)):
        # Mean over what could be measured; a column without any value stays NaN.
        table[kind] = np.nanmean(np.array(found[kind]), axis=0).round(2)
    return table


def picture(table: pd.DataFrame, path: Path) -> None:
    """Draw the ICC of each default column, by family and kind of change."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    facts = extract.describe("default")
    shown = facts[["column", "family"]].merge(table, on="column")
    figure, axes = pyplot.subplots(1, len(CHANGES), figsize=(12, 6), sharey=True)
    families = list(dict.fromkeys(shown["family"]))
    for axis, kind in zip(axes, CHANGES, strict=True):
        for place, family in enumerate(families):
            values = shown.loc[shown["family"] == family, kind].clip(lower=0).to_numpy()
            jitter = np.linspace(-0.3, 0.3, len(values))
            axis.plot(values, place + jitter, ".", ms=3, alpha=0.5, color="#35618f")
            axis.plot([np.nanmedian(values)], [place], "|", ms=14, color="black")
        axis.axvline(0.75, color="#b03030", lw=1)
        axis.set(title=kind, xlim=(0, 1.02), xticks=(0, 0.5, 1), xlabel="ICC(A,1)")
        axis.margins(y=0.01)
    axes[0].set_yticks(range(len(families)), families)
    axes[0].invert_yaxis()
    figure.suptitle("Agreement of a column with itself under each kind of change (line: 0.75)")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument("--data", metavar="DIR", help="folder of real sets; drawn cells without it")
    parser.add_argument("--cells", type=int, default=100, help="cells of each set")
    parser.add_argument("--families", nargs="+", default=["all"], metavar="NAME")
    parser.add_argument("--ship", action="store_true", help="replace the table of the package")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=None)
    args = parser.parse_args(arguments)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    sets = {"drawn": drawn_cells(args.cells, args.seed)}
    for name in ("pbc_dev", "bccd"):
        if args.data and (Path(args.data) / name).is_dir():
            sets[name] = real_cells(Path(args.data), name, args.cells, args.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = stability(sets, args.families, args.jobs)
    table.to_csv(out / "stability.csv", index=False)
    if args.ship:
        table.to_csv(SHIPPED, index=False)
    picture(table, out / "stability.png")
    lowest = table[list(CHANGES)].min(axis=1, skipna=False)
    default = table["column"].isin(extract.columns("default"))
    print(f"{int((default & (lowest >= 0.75)).sum())} of {int(default.sum())} default columns are "
          f"robust; {int((lowest >= 0.75).sum())} of {len(table)} of all")  # fmt: skip
    worst = table[default & ~(lowest >= 0.75)]
    print(worst[list(CHANGES)].fillna(2).idxmin(axis=1).value_counts().to_string())


if __name__ == "__main__":
    main()
