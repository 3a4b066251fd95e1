"""Pictures of cells for the page: what went wrong, and what was measured."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from hemafeat.images import read
from hemafeat.report import _ranking as _choice

if TYPE_CHECKING:
    import pandas as pd

    from hemafeat.evaluate import Comparison
    from hemafeat.segment import Masks

SIDE = 224
"""Side of a picture in pixels: sharp at the 150 px it is shown at, and about 10 kB as JPEG."""

WHOLE = 420
"""An image no larger than this is a single-cell crop and is shown whole among segmentations."""


@dataclass(frozen=True)
class Tile:
    """One picture with what is written under it."""

    alt: str
    title: str
    lines: list[str] = field(default_factory=list)
    path: str = ""
    src: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Group:
    """Tiles that belong together, and how many more there are."""

    heading: str
    tiles: list[Tile]
    total: int


class Pictures:
    """Reads the images of a comparison again, with their masks.

    Parameters
    ----------
    names : list of str
        Images, as the tables name them.
    images : optional
        What the table was extracted from, where the names alone do not say it (arrays, crops of
        larger fields, masks given by the image table).
    segmenter, masks
        As in `hemafeat.extract.table`.
    """

    def __init__(self, names: list[str], images: Any, segmenter: Any, masks: Any) -> None:
        import pandas as pd

        from hemafeat import datasets, segment
        from hemafeat.extract._table.image import image_name

        if images is None:
            unique = list(dict.fromkeys(names))
            self._listed = pd.DataFrame({"image": unique, "mask": pd.NA})
        else:
            self._listed = datasets.as_table(images)
        found = [image_name(image, place) for place, image in enumerate(self._listed["image"])]
        self._place = {name: place for place, name in enumerate(found)}
        self._given = segment.mask_source(masks, self._listed)
        self._segment = segment.segmenter(segmenter) if self._given is None else None
        self._last: tuple[str, np.ndarray, Masks | None, str] | None = None

    def get(self, name: str) -> tuple[np.ndarray, Masks | None, str]:
        """Image, its masks or None, and why there are none.

        Raises
        ------
        Exception
            Whatever reading the image raises.
        """
        if self._last is None or self._last[0] != name:
            if name not in self._place:
                raise FileNotFoundError("the image is not among those given")
            place = self._place[name]
            image = read(self._listed["image"].iloc[place])
            masks, why = None, ""
            try:
                masks = self._masks(image, place)
                if masks.shape != image.shape[:2]:
                    masks, why = None, "the masks are of another size than the image"
            except Exception as error:
                # A user's segmenter may raise anything; the picture is shown without outlines.
                masks, why = None, f"no outlines: {_reason(error)}"
            self._last = (name, image, masks, why)
        return self._last[1:]

    def _masks(self, image: np.ndarray, place: int) -> Masks:
        from hemafeat.segment import as_masks

        if self._given is None:
            return self._segment(image)  # type: ignore[misc]
        (given,) = self._given(self._listed.iloc[[place]], place)
        return as_masks(given)

    def tile(
        self, name: str, cell: int | None, alt: str, title: str, lines: list[str], whole: bool
    ) -> Tile:
        """The picture of one cell; a tile that says why, where there is none."""
        try:
            image, masks, why = self.get(name)
            src = jpeg(picture(image, masks, cell, whole=whole))
        except Exception as error:
            # The page is about the comparison; an image gone since then must not cost it.
            return Tile(alt, title, lines, name, "", f"no picture: {_reason(error)}")
        return Tile(alt, title, lines, name, src, why)


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or str(error) or type(error).__name__
    return str(reason).splitlines()[0][:160]


def picture(
    image: np.ndarray, masks: Masks | None, cell: int | None = None, *, whole: bool = False
) -> np.ndarray:
    """A square view of one cell with its outlines drawn.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB.
    masks : Masks or None
        Outlines are drawn where there are any.
    cell : int, optional
        1..n_cells: the view is centred on this cell, and only it is outlined. Without it every
        cell is.
    whole : bool
        Show an image of a single-cell crop in full.

    Returns
    -------
    (h, w, 3) ndarray of uint8
        The longer side is `SIDE`.
    """
    from hemafeat.segment import Masks, outline

    height, width = image.shape[:2]
    top, bottom, left, right = 0, height, 0, width
    whole = whole and max(height, width) <= WHOLE
    known = masks is not None and cell is not None and 1 <= cell <= masks.n_cells
    if known and not whole:
        top, bottom, left, right = _view(masks.cell, masks.nucleus, int(cell))  # type: ignore
    view = image[top:bottom, left:right]
    scale = SIDE / max(view.shape[:2])
    size = (max(1, round(view.shape[1] * scale)), max(1, round(view.shape[0] * scale)))
    shown = cv2.resize(view, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    if masks is None or masks.n_cells == 0:
        return shown
    # The lines are drawn at half the size of the picture and enlarged: two pixels wide whatever the
    # size of the cell, which is what can be seen once the browser has made the picture smaller.
    half = ((size[0] + 1) // 2, (size[1] + 1) // 2)
    parts = []
    for labels in (masks.cell, masks.nucleus):
        part = labels[top:bottom, left:right]
        if known:
            part = np.where(part == cell, part, 0)
        small = cv2.resize(part.astype(np.float32), half, interpolation=cv2.INTER_NEAREST)
        parts.append(small.astype(np.int32))
    cell_part, nucleus_part = parts
    left_over = np.union1d(cell_part, nucleus_part)
    suspected = masks.quality["suspected_failure"][left_over[left_over > 0] - 1]
    plain = cv2.resize(shown, half, interpolation=cv2.INTER_AREA)
    drawn = outline(plain, Masks(cell_part, nucleus_part, {"suspected_failure": suspected}))
    lines = (drawn != plain).any(axis=2).astype(np.uint8)
    double = [np.repeat(np.repeat(a, 2, axis=0), 2, axis=1) for a in (lines, drawn)]
    on = double[0][: size[1], : size[0]] > 0
    shown[on] = double[1][: size[1], : size[0]][on]
    return shown


def _view(cell: np.ndarray, nucleus: np.ndarray, number: int) -> tuple[int, int, int, int]:
    """Rows and columns of a square around one cell, moved inside the image."""
    rows, columns = np.nonzero((cell == number) | (nucleus == number))
    if rows.size == 0:
        return 0, cell.shape[0], 0, cell.shape[1]
    spans = []
    side = round(1.35 * max(np.ptp(rows), np.ptp(columns)) + 9)
    for found, length in ((rows, cell.shape[0]), (columns, cell.shape[1])):
        span = min(side, length)
        start = int(np.clip((found.min() + found.max() + 1 - span) // 2, 0, length - span))
        spans += [start, start + span]
    return spans[0], spans[1], spans[2], spans[3]


def jpeg(image: np.ndarray) -> str:
    """An RGB image as a ``data:`` address."""
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 84]
    )
    if not done:
        raise ValueError("the picture could not be encoded")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")


def mistakes(
    comparison: Comparison,
    model: str,
    pictures: Pictures,
    *,
    n_pairs: int = 12,
    n_each: int = 4,
) -> tuple[list[Group], int]:
    """The wrongly classified cells of one model, those it was surest of first.

    Parameters
    ----------
    comparison : Comparison
        From `hemafeat.evaluate.compare`.
    model : str
        Which model.
    pictures : Pictures
        Where the images come from.
    n_pairs, n_each : int
        How many pairs of (truth, predicted), and how many cells of each at most.

    Returns
    -------
    groups : list of Group
        One per confused pair, in the order of its surest mistake.
    total : int
        Number of wrongly classified cells.
    """
    rows = _choice.of_model(comparison, model).reset_index(drop=True)
    chances = _choice.probabilities(comparison, model)
    place = {str(name): index for index, name in enumerate(comparison.classes)}
    predicted = [str(name) for name in rows["predicted"]]
    sure = np.full(len(rows), np.nan)
    if chances is not None:
        sure = chances[np.arange(len(rows)), [place[name] for name in predicted]]
    rows = rows.assign(sure=sure, truth=rows["truth"].astype(str), predicted=predicted)
    wrong = rows[rows["truth"] != rows["predicted"]].sort_values(
        ["sure", "image", "cell"], ascending=[False, True, True], kind="stable"
    )
    groups: list[Group] = []
    for (truth, called), found in wrong.groupby(["truth", "predicted"], sort=False):
        if len(groups) == n_pairs:
            break
        few = found.head(n_each)
        tiles = [
            pictures.tile(
                str(image),
                _cell(cell),
                alt=f"cell of class {truth} called {called}",
                title="" if np.isnan(chance) else f"probability {chance:.2f}",
                lines=[],
                whole=False,
            )
            for image, cell, chance in zip(
                few["image"], few["cell"], few["sure"].to_numpy(np.float64), strict=True
            )
        ]
        groups.append(Group(f"{truth} → {called}", tiles, len(found)))
    return groups, len(wrong)


def segmentations(
    cells: pd.DataFrame, pictures: Pictures, *, n_each: int = 6, n_flagged: int = 60
) -> tuple[list[Group], Group]:
    """What was measured: some cells of each class, and those suspected to be wrong.

    Parameters
    ----------
    cells : DataFrame
        A table of cells, or any with ``image``, ``cell`` and perhaps ``label`` and ``quality__*``.
    pictures : Pictures
        Where the images come from.
    n_each, n_flagged : int
        At most so many of each class, and of those flagged.

    Returns
    -------
    sample : list of Group
        One per class, its cells taken at even steps through the sorted image names.
    flagged : Group
        Cells with ``quality__suspected_failure``, those with the least confidence first.
    """
    import pandas as pd

    cells = cells.sort_values(["image", "cell"], kind="stable").reset_index(drop=True)
    labels = cells["label"] if "label" in cells else pd.Series(pd.NA, cells.index)
    labels = labels.astype(object).where(labels.notna(), "unlabelled").astype(str)
    cells = cells.assign(_label=labels)
    sample = []
    for label, found in cells.groupby("_label", sort=True):
        steps = np.unique(np.linspace(0, len(found) - 1, min(n_each, len(found))).astype(int))
        tiles = [_segmented(row, pictures, str(label)) for row in _rows(found.iloc[steps])]
        sample.append(Group(str(label), tiles, len(found)))
    flag = cells.get("quality__suspected_failure")
    if flag is None:
        return sample, Group("suspected failures", [], 0)
    suspect = cells[flag.astype("boolean").fillna(False).to_numpy(bool)]
    if "quality__confidence" in suspect:
        suspect = suspect.sort_values("quality__confidence", kind="stable")
    tiles = [
        _segmented(
            row, pictures, str(row["_label"]), str(row.get("quality__failure_reason") or ""), True
        )
        for row in _rows(suspect.head(n_flagged))
    ]
    return sample, Group("suspected failures", tiles, len(suspect))


def _rows(cells: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for record in cells[[name for name in cells if name in _SHOWN]].to_dict("records"):
        yield {str(name): value for name, value in record.items()}


_SHOWN = {"image", "cell", "_label", "quality__failure_reason"}


def _segmented(
    row: dict[str, Any], pictures: Pictures, label: str, reason: str = "", flagged: bool = False
) -> Tile:
    return pictures.tile(
        str(row["image"]),
        _cell(row["cell"]),
        alt=f"{label} with the outlines of cell and nucleus"
        + (f", suspected failure: {reason}" if reason else ""),
        title=label if flagged else "",
        lines=[reason] if reason else [],
        whole=True,
    )


def _cell(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def short(path: str) -> str:
    """The file name of an image, without its folders."""
    return os.path.basename(path.replace("\\", "/")) or path
