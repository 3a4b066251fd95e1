"""Galleries of cells: wrong predictions, segmentations and suspected failures."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from hemafeat._frames import need_frame
from hemafeat._public import public
from hemafeat._words import plural
from hemafeat.images import read, tile_of
from hemafeat.report._ranking import predictions_of, probabilities

if TYPE_CHECKING:
    import pandas as pd

    from hemafeat.evaluate import Comparison
    from hemafeat.segment import Masks

SIDE = 224
"""Longer side of a picture in pixels: sharp at the 150 px shown, and about 10 kB as JPEG."""

WHOLE = 420
"""Greatest side of an image that is shown whole among segmentations, as a crop of one cell."""


@dataclass
class Tile:
    """Picture of a cell with the text below it.

    Attributes
    ----------
    alt, title : str
        Description for screen readers, and heading.
    lines : list of str
        Further text.
    path : str
        Name of the image.
    src, problem : str
        The picture as a ``data:`` address, and why it is missing or has no outlines; filled in by
        `Pictures.draw`.
    """

    alt: str
    title: str
    lines: list[str] = field(default_factory=list)
    path: str = ""
    src: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Group:
    """Tiles with a common heading, and the number of cells that they were chosen from."""

    heading: str
    tiles: list[Tile]
    total: int


class Pictures:
    """Pictures of cells, cut from the images of a comparison.

    Tiles are collected first and drawn together by `draw`, so that each image is read, and
    segmented if its masks are not at hand, only once.

    Parameters
    ----------
    names : list of str
        Names of the images in the tables.
    images : optional
        Source of the images, if it is not their names: arrays, crops of larger fields, masks in an
        image table.
    segmenter, masks, mask_kind
        As in `hemafeat.extract.table`.
    cells : DataFrame, optional
        Table that says where cells lie (``where__*``). A cell is then shown where it was measured,
        and without outlines if those at hand are others.
    """

    def __init__(
        self,
        names: list[str],
        images: Any,
        segmenter: Any,
        masks: Any,
        mask_kind: str = "auto",
        cells: pd.DataFrame | None = None,
    ) -> None:
        import pandas as pd

        from hemafeat import datasets, segment
        from hemafeat.extract import image_name

        if images is None:
            unique = list(dict.fromkeys(names))
            self._table = pd.DataFrame({"image": unique, "mask": pd.NA})
        else:
            self._table = datasets.as_table(images)
        self._rows = {image_name(image, k): k for k, image in enumerate(self._table["image"])}
        self._mask_source = segment.mask_source(masks, self._table)
        self._as_masks = partial(segment.as_masks, kind=mask_kind)
        self._segment = segment.segmenter(segmenter) if self._mask_source is None else None
        self._requests: dict[str, list[tuple[Tile, int | None, bool]]] = {}
        self._boxes = {} if cells is None else _boxes_of(cells)

    def tile(
        self, name: str, cell: int | None, alt: str, title: str, lines: list[str], whole: bool
    ) -> Tile:
        """Return a tile of one cell, of which the picture is filled in by `draw`.

        Parameters
        ----------
        name : str
            Name of the image.
        cell : int or None
            Number of the cell; None outlines all cells of the image.
        alt, title, lines
            As in `Tile`.
        whole : bool
            Show an image of a single cell in full.
        """
        tile = Tile(alt, title, lines, name)
        self._requests.setdefault(name, []).append((tile, cell, whole))
        return tile

    def draw(self) -> None:
        """Draw the pictures of all tiles, image by image."""
        for name, requests in self._requests.items():
            try:
                image, masks, problem = self.load(name)
            except Exception as error:
                # An image that has been removed since then must not prevent the page.
                for tile, _, _ in requests:
                    tile.problem = f"no picture: {_reason(error)}"
                continue
            for tile, cell, whole in requests:
                try:
                    shown, box, doubt = self.of_cell(name, cell, masks)
                    tile.src = jpeg(picture(image, shown, cell, box=box, whole=whole))
                    tile.problem = problem or doubt
                except Exception as error:
                    tile.problem = f"no picture: {_reason(error)}"
        self._requests = {}

    def load(self, name: str, *, outlined: bool = True) -> tuple[np.ndarray, Masks | None, str]:
        """Return an image, its masks or None, and why there are none.

        Parameters
        ----------
        name : str
            Name of the image in the tables.
        outlined : bool
            Whether its masks are wanted. Default True.

        Raises
        ------
        Exception
            If the image cannot be read.
        """
        if name not in self._rows:
            raise FileNotFoundError("the image is not among those given")
        row = self._rows[name]
        image = read(self._table["image"].iloc[row])
        if not outlined:
            return image, None, ""
        try:
            masks = self._masks(image, row)
        except Exception as error:  # a user's segmenter may raise anything
            return image, None, f"no outlines: {_reason(error)}"
        if masks.shape != image.shape[:2]:
            return image, None, "no outlines: the masks are of another size than the image"
        return image, masks, ""

    def of_cell(
        self, name: str, cell: int | None, masks: Masks | None
    ) -> tuple[Masks | None, Box | None, str]:
        """Return the masks of a cell if it was measured in them, its box, and why there are none.

        Parameters
        ----------
        name : str
            Name of the image.
        cell : int or None
            Number of the cell; None stands for all cells.
        masks : Masks or None
            What `load` returned for the image.
        """
        box = None if cell is None else self._boxes.get((name, cell))
        if masks is None or box is None or _is_measured(masks, cell or 1, box):
            return masks, box, ""
        return None, box, _OTHERS

    def _masks(self, image: np.ndarray, row: int) -> Masks:
        if self._mask_source is None:
            from hemafeat.segment import find_cells

            source = self._table["image"].iloc[row]
            return find_cells(self._segment, image, source)  # type: ignore[arg-type]
        (masks,) = self._mask_source(self._table.iloc[[row]], row)
        return self._as_masks(masks, shape=image.shape)


def _reason(error: Exception) -> str:
    """Return the first line of the message of an error."""
    reason = getattr(error, "reason", None) or str(error) or type(error).__name__
    return str(reason).splitlines()[0][:160]


def picture(
    image: np.ndarray,
    masks: Masks | None,
    cell: int | None = None,
    *,
    box: Box | None = None,
    whole: bool = False,
    side: int = SIDE,
) -> np.ndarray:
    """Cut a square view of one cell and draw its outlines.

    Parameters
    ----------
    image : (H, W, 3) ndarray of uint8
        RGB image.
    masks : Masks or None
        Masks to outline.
    cell : int, optional
        Number of the cell, 1..n_cells, on which the view is centred and which alone is outlined. By
        default all cells are outlined.
    box : (int, int, int, int), optional
        Top, bottom, left and right of the cell, where its mask is not known.
    whole : bool, default=False
        Show an image of a single cell in full.
    side : int
        Length of the longer side of the picture, in px.

    Returns
    -------
    (h, w, 3) ndarray of uint8
        A new picture.
    """
    from hemafeat.segment import Masks, outline

    height, width = image.shape[:2]
    whole = whole and max(height, width) <= WHOLE
    one_cell = masks is not None and cell is not None and 1 <= cell <= masks.n_cells
    top, bottom, left, right = square_view(image, masks, None if whole else cell, box)
    view = image[top:bottom, left:right]
    scale = side / max(view.shape[:2])
    size = (max(1, round(view.shape[1] * scale)), max(1, round(view.shape[0] * scale)))
    shown = cv2.resize(view, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    if masks is None or masks.n_cells == 0:
        return shown
    # Lines are drawn at half the size of the picture and enlarged. They are then two pixels wide
    # whatever the size of the cell, and visible after the browser has scaled the picture down.
    half = ((size[0] + 1) // 2, (size[1] + 1) // 2)
    parts = []
    for labels in (masks.cell, masks.nucleus):
        part = labels[top:bottom, left:right]
        if one_cell:
            part = np.where(part == cell, part, 0)
        small = cv2.resize(part.astype(np.float32), half, interpolation=cv2.INTER_NEAREST)
        parts.append(small.astype(np.int32))
    cell_part, nucleus_part = parts
    numbers = np.union1d(cell_part, nucleus_part)
    suspected = masks.quality["suspected_failure"][numbers[numbers > 0] - 1]
    plain = cv2.resize(shown, half, interpolation=cv2.INTER_AREA)
    drawn = outline(plain, Masks(cell_part, nucleus_part, {"suspected_failure": suspected}))
    lines = (drawn != plain).any(axis=2).astype(np.uint8)
    enlarged = [np.repeat(np.repeat(a, 2, axis=0), 2, axis=1) for a in (lines, drawn)]
    on_line = enlarged[0][: size[1], : size[0]] > 0
    shown[on_line] = enlarged[1][: size[1], : size[0]][on_line]
    return shown


Box = tuple[int, int, int, int]
"""Top, bottom, left and right of a cell in its image, or in the tile that it lies on, in px."""


def square_view(
    image: np.ndarray, masks: Masks | None, cell: int | None, box: Box | None = None
) -> Box:
    """Return the view of one cell, by its mask or else by its box, or of the image without it."""
    whole = 0, image.shape[0], 0, image.shape[1]
    if cell is None:
        return whole
    if masks is not None and 1 <= cell <= masks.n_cells:
        rows, columns = np.nonzero((masks.cell == cell) | (masks.nucleus == cell))
        if rows.size == 0:
            return whole
        box = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    return whole if box is None else _around(image, box)


def _around(image: np.ndarray, box: Box) -> Box:
    """Return a square around a box, moved inside the image."""
    spans = []
    side = round(1.35 * (max(box[1] - box[0], box[3] - box[2]) - 1) + 9)
    for first, end, length in ((*box[:2], image.shape[0]), (*box[2:], image.shape[1])):
        span = min(side, length)
        start = int(np.clip((first + end - span) // 2, 0, length - span))
        spans += [start, start + span]
    return spans[0], spans[1], spans[2], spans[3]


def jpeg(image: np.ndarray) -> str:
    """Encode an RGB image as a ``data:`` address."""
    encoded, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 84]
    )
    if not encoded:
        raise ValueError("the picture could not be encoded")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")


def mistakes(
    comparison: Comparison,
    model: str,
    pictures: Pictures,
    cells: pd.DataFrame | None = None,
    reasons: pd.DataFrame | None = None,
    *,
    n_pairs: int = 12,
    n_each: int = 4,
) -> tuple[list[Group], int]:
    """Collect the wrongly classified cells of one model, the most confident predictions first.

    Parameters
    ----------
    comparison : Comparison
        Result of `hemafeat.evaluate.compare`.
    model : str
        Name of the model.
    pictures : Pictures
        Source of the pictures.
    cells : DataFrame, optional
        Table of cells, whose columns ``quality__*`` say which outlines are suspected to be wrong.
    reasons : DataFrame, optional
        What `hemafeat.pipelines.explain` says of some of the cells.
    n_pairs, n_each : int
        Greatest number of pairs of (truth, predicted), and of cells of each.

    Returns
    -------
    groups : list of Group
        One per confused pair, in the order of its most confident mistake.
    total : int
        Number of wrongly classified cells.
    """
    rows = predictions_of(comparison, model).reset_index(drop=True)
    values = probabilities(comparison, model)
    index = {str(name): k for k, name in enumerate(comparison.classes)}
    predicted = [str(name) for name in rows["predicted"]]
    confidence = np.full(len(rows), np.nan)
    if values is not None:
        confidence = values[np.arange(len(rows)), [index[name] for name in predicted]]
    rows = rows.assign(confidence=confidence, truth=rows["truth"].astype(str), predicted=predicted)
    wrong = rows[rows["truth"] != rows["predicted"]].sort_values(
        ["confidence", "image", "cell"], ascending=[False, True, True], kind="stable"
    )
    lines = {} if cells is None else _suspects(cells)
    for row in [] if reasons is None else reasons.to_dict("records"):
        key = (str(row["image"]), _cell(row["cell"]))
        lines[key] = [*lines.get(key, []), str(row["reason"])]
    groups: list[Group] = []
    for (truth, prediction), confused in wrong.groupby(["truth", "predicted"], sort=False):
        if len(groups) == n_pairs:
            break
        shown = confused.head(n_each)
        tiles = [
            pictures.tile(
                str(image),
                _cell(cell),
                alt=f"cell of class {truth} predicted as {prediction}",
                title="" if np.isnan(probability) else f"probability {probability:.2f}",
                lines=lines.get((str(image), _cell(cell)), []),
                whole=False,
            )
            for image, cell, probability in zip(
                shown["image"], shown["cell"], shown["confidence"].to_numpy(np.float64), strict=True
            )
        ]
        groups.append(Group(f"{truth} → {prediction}", tiles, len(confused)))
    return groups, len(wrong)


def refused(
    comparison: Comparison, model: str, pictures: Pictures, *, n_each: int = 8
) -> list[Group]:
    """Collect the cells that a model refuses, by reason, those most unlike the others first.

    Parameters
    ----------
    comparison : Comparison
        Result of `hemafeat.evaluate.compare`.
    model : str
        Name of the model.
    pictures : Pictures
        Source of the pictures.
    n_each : int
        Greatest number of cells for each reason.

    Returns
    -------
    list of Group
        One per reason, the most frequent first.
    """
    rows = predictions_of(comparison, model)
    rows = rows[rows["refused"].notna() & (rows["refused"] != "")]
    rows = rows.sort_values(["anomaly", "image", "cell"], ascending=[False, True, True])
    groups = []
    for reason, part in rows.groupby("refused", sort=False):
        shown = part.head(n_each)
        tiles = [
            pictures.tile(
                str(image),
                _cell(cell),
                alt=f"refused cell of class {truth}: {reason}",
                title=str(truth),
                lines=[
                    "" if np.isnan(anomaly) else f"anomaly {anomaly:.2f}",
                    f"set: {of or 'none'}",
                ],
                whole=False,
            )
            for image, cell, truth, of, anomaly in zip(
                *(shown[name].tolist() for name in ("image", "cell", "truth", "set")),
                shown["anomaly"].to_numpy(np.float64),
                strict=True,
            )
        ]
        groups.append(Group(str(reason), tiles, len(part)))
    return sorted(groups, key=lambda group: -group.total)


def _suspects(cells: pd.DataFrame) -> dict[tuple[str, int | None], list[str]]:
    """Return a line of text for each cell whose outline is suspected to be wrong."""
    flag = cells.get("quality__suspected_failure")
    if flag is None:
        return {}
    return {
        (str(row["image"]), _cell(row["cell"])): [
            f"outline suspect: {row.get('quality__failure_reason') or 'suspected failure'}"
        ]
        for row in _records(cells[flag.astype("boolean").fillna(False).to_numpy(bool)])
    }


def segmentations(
    cells: pd.DataFrame, pictures: Pictures, *, n_each: int = 6, n_flagged: int = 60
) -> tuple[list[Group], Group]:
    """Collect some cells of each class, and those whose segmentation is suspected to be wrong.

    Parameters
    ----------
    cells : DataFrame
        Table with ``image``, ``cell`` and, if known, ``label`` and ``quality__*``.
    pictures : Pictures
        Source of the pictures.
    n_each, n_flagged : int
        Greatest number of cells of each class, and of suspected failures.

    Returns
    -------
    sample : list of Group
        One per class, its cells taken at even steps through the sorted image names.
    flagged : Group
        Cells with ``quality__suspected_failure``, the least confident first.
    """
    import pandas as pd

    cells = cells.sort_values(["image", "cell"], kind="stable").reset_index(drop=True)
    labels = cells["label"] if "label" in cells else pd.Series(pd.NA, cells.index)
    labels = labels.astype(object).where(labels.notna(), "unlabelled").astype(str)
    cells = cells.assign(_label=labels)
    sample = []
    for label, part in cells.groupby("_label", sort=True):
        steps = np.unique(np.linspace(0, len(part) - 1, min(n_each, len(part))).astype(int))
        tiles = [_outlined(row, pictures, str(label)) for row in _records(part.iloc[steps])]
        sample.append(Group(str(label), tiles, len(part)))
    flag = cells.get("quality__suspected_failure")
    if flag is None:
        return sample, Group("suspected failures", [], 0)
    suspect = cells[flag.astype("boolean").fillna(False).to_numpy(bool)]
    if "quality__confidence" in suspect:
        suspect = suspect.sort_values("quality__confidence", kind="stable")
    tiles = [
        _outlined(
            row, pictures, str(row["_label"]), str(row.get("quality__failure_reason") or ""), True
        )
        for row in _records(suspect.head(n_flagged))
    ]
    return sample, Group("suspected failures", tiles, len(suspect))


def _records(cells: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for record in cells[[name for name in cells if name in _SHOWN]].to_dict("records"):
        yield {str(name): value for name, value in record.items()}


_SHOWN = {"image", "cell", "_label", "quality__failure_reason"}


def _outlined(
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
    """Return the number of a cell, or None if it is missing."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


# --- One cell ---------------------------------------------------------------------------------


@public
@dataclass(frozen=True, eq=False, repr=False)
class CellView:
    """One cell of a table, as `hemafeat.report.cell` returns it; notebooks show it.

    Attributes
    ----------
    name : str
        Image and number, ``cells/a.png#3``.
    row : Series
        Its row of the table.
    crop : (h, w, 3) ndarray of uint8
        The cell and its surroundings, in the pixels of the image.
    picture : (h, w, 3) ndarray of uint8
        The same, enlarged, with the outlines of cell and nucleus.
    problem : str
        Why there are no outlines; empty if there are.
    alike : str
        The cells with which it is compared: its class and their number.
    features : DataFrame
        One row per feature, the most unusual first: ``column, value, unit``; ``percentile`` among
        the cells of its class, and their ``median, p5, p95``; and ``distance``, the difference from
        the median in robust standard deviations.
    """

    name: str
    row: pd.Series
    crop: np.ndarray
    picture: np.ndarray
    problem: str
    alike: str
    features: pd.DataFrame

    def __repr__(self) -> str:
        return f"CellView({self.name}, against {self.alike})"

    def _repr_html_(self) -> str:
        from markupsafe import escape

        head = f"<p><b>{escape(self.name)}</b>, against {escape(self.alike)}</p>"
        problem = f"<p>{escape(self.problem)}</p>" if self.problem else ""
        shown = self.features.head(12).to_html(index=False, float_format="{:.4g}".format, border=0)
        return f'{head}<img src="{jpeg(self.picture)}" alt="{escape(self.name)}">{problem}{shown}'


def cell(
    table: pd.DataFrame,
    name: str,
    *,
    images: Any = None,
    segmenter: str | Any = None,
    masks: Any = None,
    mask_kind: str = "auto",
) -> CellView:
    """Show one cell of a table: its picture with outlines, and its values against its class.

    Parameters
    ----------
    table : DataFrame
        Table of cells as returned by `hemafeat.extract.table` or `hemafeat.extract.load`, or
        predictions, which hold no features.
    name : str
        Image and number of the cell, ``cells/a.png#3``. The name of the file will do where no
        other image of the table has it, and the number may be left out for the only cell.
    images : optional
        The images that were measured, if the table does not name their files.
    segmenter, masks, mask_kind : optional
        Where the outlines come from, as in `hemafeat.extract.table`. By default the segmenter with
        which the table was measured; masks that were given must be given again.

    Returns
    -------
    CellView
        Without outlines where these are not known or not those that were measured; ``problem``
        says why.

    Raises
    ------
    LookupError
        The table has no such cell, or several; the message says which there are.
    OSError, hemafeat.images.ImageError
        The image cannot be read.

    Examples
    --------
    >>> from hemafeat import datasets, extract, report
    >>> images = datasets.drawn("cells", 8, size=120, random_state=0)
    >>> cells = extract.table(images, families=["shape"])
    >>> view = report.cell(cells, cells["image"].iloc[2])
    >>> view.crop.shape[2], view.problem
    (3, '')
    >>> list(view.features.columns[:4])
    ['column', 'value', 'unit', 'percentile']
    """
    from hemafeat import extract

    at = _row_of(need_frame(table, "a view of a cell"), name)
    row = table.iloc[at]
    measured = extract.measured(table).get("segmenter", "contours")
    missing = ""
    if masks is None and segmenter is None and measured == "given masks":
        missing = "no outlines: the cell was measured in given masks, which must be given again"
    pictures = Pictures(
        list(map(str, table["image"])),
        images,
        segmenter or ("contours" if missing else measured),
        masks,
        mask_kind,
        cells=table.iloc[[at]],
    )
    image, found, problem = pictures.load(str(row["image"]), outlined=not missing)
    number = _cell(row["cell"]) or 1
    found, box, doubt = pictures.of_cell(str(row["image"]), number, found)
    problem = missing or problem or doubt
    top, bottom, left, right = square_view(image, found, number, box)
    crop = image[top:bottom, left:right].copy()
    drawn = picture(*((crop, None) if found is None else (image, found, number)), side=2 * SIDE)
    alike, values = _against_class(table, at)
    return CellView(f"{row['image']}#{number}", row, crop, drawn, problem, alike, values)


def _row_of(table: pd.DataFrame, name: str) -> int:
    """Return the position of the row of a cell that is named ``IMAGE#NUMBER``."""
    image, mark, number = name.rpartition("#")
    if not mark or not number.isdecimal():
        image, number = name, ""
    names = table["image"].map(str)
    known = names.unique().tolist()
    chosen = [one for one in known if one == image] or [
        one for one in known if one.replace("\\", "/").endswith(f"/{image}")
    ]
    if not chosen:
        first = f"; the first is {known[0]}" if known else ", which has no cells"
        raise LookupError(f"no image of the table is named {image}{first}")
    if len(chosen) > 1:
        raise LookupError(
            f"{len(chosen)} images of the table are named {image}: {', '.join(chosen[:4])}"
        )
    rows = np.flatnonzero(names == chosen[0])
    # Predictions have a row for each model.
    cells = list(dict.fromkeys(table["cell"].iloc[rows].astype(int).tolist()))
    if not number and len(cells) > 1:
        shown = ", ".join(map(str, cells[:20])) + (" ..." if len(cells) > 20 else "")
        raise LookupError(f"{image} has {len(cells)} cells, name one: {image}#{cells[0]} ({shown})")
    if number and int(number) not in cells:
        shown = ", ".join(map(str, cells[:20])) + (" ..." if len(cells) > 20 else "")
        raise LookupError(f"{image} has no cell {int(number)} in the table, which holds: {shown}")
    chosen_cell = int(number) if number else cells[0]
    return int(rows[(table["cell"].iloc[rows].astype(int) == chosen_cell).to_numpy().argmax()])


_SIDES = ("top", "bottom", "left", "right")
_BOX = [f"where__{side}" for side in _SIDES]

_OTHERS = "no outlines: they are not those in which the cell was measured"


def _boxes_of(cells: pd.DataFrame) -> dict[tuple[str, int | None], Box]:
    """Return the box of each cell of a table, by image and number, in px of its image or tile.

    None for tables of earlier versions, which do not say where cells lie.
    """
    if not {"image", "cell", *_BOX} <= set(cells):
        return {}
    known = cells[cells[_BOX].notna().all(axis=1)]
    found: dict[tuple[str, int | None], Box] = {}
    for name, number, *sides in known[["image", "cell", *_BOX]].itertuples(index=False):
        top, bottom, left, right = map(int, sides)
        if (tile := tile_of(str(name))) is not None:
            top, bottom = top - tile.top, bottom - tile.top
            left, right = left - tile.left, right - tile.left
        found[str(name), _cell(number)] = top, bottom, left, right
    return found


def _is_measured(masks: Masks, number: int, box: Box) -> bool:
    """Return whether masks hold the cell where the table says that it lies."""
    if number > masks.n_cells:
        return False
    place = masks.positions([number - 1])
    return all(int(place[side][0]) == at for side, at in zip(_SIDES, box, strict=True))


def _against_class(table: pd.DataFrame, at: int) -> tuple[str, pd.DataFrame]:
    """Return the class of a cell in words, and its values among those of the class."""
    import pandas as pd

    from hemafeat import extract

    columns, units = extract.feature_columns(table), extract.units(table)
    labels = table["label"] if "label" in table else pd.Series(pd.NA, table.index)
    label = labels.iloc[at]
    same = np.ones(len(table), bool) if pd.isna(label) else (labels == label).to_numpy(bool)
    among = table.loc[same, columns].to_numpy(np.float64)
    value = table[columns].iloc[at].to_numpy(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # columns without any value
        p5, q1, median, q3, p95 = (
            np.nanpercentile(among, [5, 25, 50, 75, 95], axis=0)
            if columns
            else np.empty((5, 0))  # predictions
        )
        known = np.isfinite(among).sum(axis=0)
        rank = (among < value).sum(axis=0) + 0.5 * (among == value).sum(axis=0)
        spread = (q3 - q1) / 1.349  # of a normal distribution, its standard deviation
        distance = np.where(spread > 0, (value - median) / spread, np.nan)
        percentile = np.where(np.isfinite(value), 100 * rank / known, np.nan)
    values = pd.DataFrame(
        {
            "column": columns,
            "value": value,
            "unit": [units.get(name, "") for name in columns],
            "percentile": percentile,
            "median": median,
            "p5": p5,
            "p95": p95,
            "distance": distance,
        }
    )
    order = values["distance"].abs().sort_values(ascending=False, kind="stable").index
    noun = "cell" if pd.isna(label) else f"{label} cell"
    return plural(int(same.sum()), noun), values.loc[order].reset_index(drop=True)
