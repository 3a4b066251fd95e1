"""Scores of masks against the truth, and of the detection of failed segmentations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from hemafeat.segment._masks import MaskError, Masks, misfit

if TYPE_CHECKING:
    import pandas as pd

FOUND = 0.5
"""Least Dice of a true cell and a predicted one from which the cell is found."""

FAILED = 0.8
"""Dice of the cell or the nucleus below which a segmentation has failed."""


def dice(predicted: np.ndarray, true: np.ndarray) -> float:
    """Compute the Sorensen-Dice coefficient of two masks, ``2 |A & B| / (|A| + |B|)``.

    Parameters
    ----------
    predicted, true : (H, W) ndarray of bool or int
        Masks; not 0 inside.

    Returns
    -------
    float
        0 to 1; 1 if both masks are empty.

    Raises
    ------
    MaskError
        The masks differ in shape.

    Examples
    --------
    >>> from hemafeat import segment
    >>> segment.dice([[1, 1], [0, 0]], [[1, 0], [1, 0]])
    0.5
    """
    a, b = _pair(predicted, true)
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return float(2.0 * np.count_nonzero(a & b) / total) if total else 1.0


def iou(predicted: np.ndarray, true: np.ndarray) -> float:
    """Compute the Jaccard index (intersection over union) of two masks, ``|A & B| / |A | B|``.

    Parameters
    ----------
    predicted, true : (H, W) ndarray of bool or int
        Masks; not 0 inside.

    Returns
    -------
    float
        0 to 1; 1 if both masks are empty.

    Raises
    ------
    MaskError
        The masks differ in shape.

    Examples
    --------
    >>> from hemafeat import segment
    >>> segment.iou([[1, 1], [1, 0]], [[1, 1], [0, 1]])
    0.5
    """
    a, b = _pair(predicted, true)
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 1.0


def boundary_distance(predicted: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Compute the distances between the borders of two masks.

    Parameters
    ----------
    predicted, true : (H, W) ndarray of bool or int
        Masks; not 0 inside.

    Returns
    -------
    mean, hausdorff95 : float
        Mean and 95th percentile, in pixels, of the distances from each border pixel of either mask
        to the nearest border pixel of the other one; NaN if a mask is empty.

    Raises
    ------
    MaskError
        The masks differ in shape.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import segment
    >>> true = np.zeros((20, 20), bool)
    >>> true[5:12, 5:12] = True
    >>> segment.boundary_distance(np.roll(true, 0), true)
    (0.0, 0.0)
    >>> mean, hausdorff95 = segment.boundary_distance(np.roll(true, 3, axis=1), true)
    >>> hausdorff95
    3.0
    """
    a, b = _pair(predicted, true)
    if not a.any() or not b.any():
        return float("nan"), float("nan")
    # Only the box around both masks matters, with a margin of one pixel.
    rows, columns = np.flatnonzero((a | b).any(axis=1)), np.flatnonzero((a | b).any(axis=0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    borders = [_border(np.pad(mask[box], 1)) for mask in (a, b)]
    distances = [
        cv2.distanceTransform(1 - border, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for border in borders
    ]
    values = np.concatenate([distances[1][borders[0] > 0], distances[0][borders[1] > 0]])
    return float(values.mean()), float(np.percentile(values, 95))


def score(predicted: Masks, true: Masks | np.ndarray, *, min_dice: float = FAILED) -> pd.DataFrame:
    """Compare predicted cells with true ones.

    Each true cell is matched with the predicted cell that shares most pixels with it, in order of
    overlap, and each predicted cell is used once. If only the nucleus of a true cell is known, the
    nucleus is matched.

    Parameters
    ----------
    predicted : Masks
        Masks of an image.
    true : Masks, (n, 4) or (n, 2) ndarray of float
        True masks of the same image; or boxes ``xmin, ymin, xmax, ymax`` around its cells, or
        points ``x, y`` in them (px), by which detection alone is scored. A box without extent is a
        point. An array without rows says that the image shows no cells.
    min_dice : float
        Least Dice of the cell and of the nucleus of an outline that has not failed. Default 0.8.

    Returns
    -------
    DataFrame
        One row per true cell: ``cell`` (its number), ``predicted`` (number of the match, 0 without
        one), ``found`` (the Dice of the match is at least 0.5), ``dice_cell``, ``dice_nucleus``,
        ``dice_box`` (of the box around the match and the true box), ``iou_cell``, ``iou_nucleus``
        (NaN if the truth has no such mask), ``boundary_cell``, ``hausdorff95_cell``,
        ``boundary_nucleus``, ``hausdorff95_nucleus`` (px), ``failed`` (not found, or a Dice of cell
        or nucleus below `min_dice`), ``touches_border`` (the true cell is cut by the border of the
        image), and ``suspected_failure``, ``failure_reason`` and ``confidence`` of the match. A
        point is found by the outline it lies in. ``attrs["n_spurious"]`` is the number of predicted
        cells that are not a cell that was found, without those of which the segmenter says that
        they are platelets (``kind`` in their quality).

    Raises
    ------
    MaskError
        The masks differ in shape, or a box or point lies outside the image.

    See Also
    --------
    score_images : Score segmenters on many images.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import datasets, segment
    >>> drawn = datasets.draw_cell("neutrophil", random_state=0)
    >>> masks = segment.contours(drawn.image)
    >>> true = segment.Masks(drawn.cell, drawn.nucleus)
    >>> table = segment.score(masks, true)
    >>> table[["cell", "predicted", "found", "failed"]]
       cell  predicted  found  failed
    0     1          1   True   False
    >>> segment.score(masks, np.empty((0, 4))).attrs["n_spurious"]
    1
    """
    rows = outcomes(predicted, true, min_dice)
    table = as_frame([row for row in rows if row["cell"]])
    table.attrs["n_spurious"] = sum(map(is_spurious, rows))
    return table


def outcomes(
    predicted: Masks, true: Masks | np.ndarray, min_dice: float = FAILED
) -> list[dict[str, Any]]:
    """Return the rows of `score`, and after them one for each further outline, as cell 0."""
    if isinstance(true, Masks):
        if predicted.shape != true.shape:
            raise MaskError(misfit("predicted mask", predicted.shape, "true mask", true.shape))
        true.check_fit(true.shape)
    predicted.check_fit(predicted.shape)
    own = _boxes(predicted)
    if isinstance(true, Masks):
        boxes = _boxes(true)
        match = _assign(_overlaps(predicted, true))
        rows = [
            _row_of_masks(number, match.get(number, 0), predicted, true, (own, boxes), min_dice)
            for number in range(1, true.n_cells + 1)
        ]
    else:
        boxes = as_boxes(true, predicted.shape)
        agreement = _agreement(predicted, own, boxes)
        match = _assign(agreement)
        rows = [
            _row_of_box(number, match.get(number, 0), agreement, is_point)
            for number, is_point in enumerate(_are_points(boxes), start=1)
        ]
    rows += [
        {"cell": 0, "predicted": number, "found": False, "failed": True}
        for number in range(1, predicted.n_cells + 1)
        if number not in match.values() and not _is_platelet(predicted, number)
    ]
    cut, own_cut = (_are_cut(sides, predicted.shape) for sides in (boxes, own))
    own_cut |= np.asarray(predicted.quality["touches_border"], bool)
    for row in rows:
        if row["predicted"] and not row["found"] and _is_platelet(predicted, row["predicted"]):
            row["predicted"] = 0
        row["touches_border"] = bool(
            cut[row["cell"] - 1] if row["cell"] else own_cut[row["predicted"] - 1]
        )
        row |= _flags(predicted, row["predicted"])
    return rows


def is_spurious(row: dict[str, Any]) -> bool:
    """Return whether a row of `outcomes` has an outline that is not a cell that was found."""
    return bool(row["predicted"]) and not row["found"]


def as_frame(rows: list[dict[str, Any]], first: tuple[str, ...] = ()) -> pd.DataFrame:
    """Return rows of `outcomes` as a table, in which other columns may come first."""
    import pandas as pd

    return pd.DataFrame(rows, columns=[*first, *COLUMNS]).astype(_DTYPES)


COLUMNS = (
    "cell",
    "predicted",
    "found",
    "dice_cell",
    "dice_nucleus",
    "dice_box",
    "iou_cell",
    "iou_nucleus",
    "boundary_cell",
    "hausdorff95_cell",
    "boundary_nucleus",
    "hausdorff95_nucleus",
    "failed",
    "touches_border",
    "suspected_failure",
    "failure_reason",
    "confidence",
)

_DTYPES = {
    **dict.fromkeys(("cell", "predicted"), "int64"),
    **dict.fromkeys(("found", "failed", "touches_border", "suspected_failure"), "bool"),
    **{name: "float64" for name in COLUMNS if name.startswith(("dice", "iou", "boun", "haus"))},
    "confidence": "float64",
}


def failure_detection(scores: pd.DataFrame) -> dict[str, float]:
    """Rate `suspected_failure` as a predictor of failures.

    A failure is a cell that was missed, an outline that is no true cell, or one whose Dice is too
    low: the column ``failed``. A cell that was missed without any outline cannot be flagged.

    Parameters
    ----------
    scores : DataFrame
        ``Scores.cells`` of `score_images`, or rows of `score`, of any number of images.

    Returns
    -------
    dict of str to float
        ``n``, the number of rows; ``failed`` and ``flagged``, shares of them; ``precision``, the
        share of the flagged rows that failed; ``recall``, the share of the failures that were
        flagged; and ``recall_outlined``, the same among failures with an outline. A share of
        nothing is NaN.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import segment
    >>> scores = pd.DataFrame({"predicted": [1, 2, 3, 0], "failed": [True, False, False, True],
    ...                        "suspected_failure": [True, True, False, False]})
    >>> detection = segment.failure_detection(scores)
    >>> float(detection["precision"]), float(detection["recall"])
    (0.5, 0.5)
    >>> float(detection["recall_outlined"])
    1.0
    """
    failed = scores["failed"].to_numpy(dtype=bool)
    flagged = scores["suspected_failure"].to_numpy(dtype=bool)
    outlined = scores["predicted"].to_numpy() > 0

    def share(part: np.ndarray, of: np.ndarray) -> float:
        return float(np.mean(part[of])) if of.any() else float("nan")

    everything = np.ones(len(scores), bool)
    return {
        "n": float(len(scores)),
        "failed": share(failed, everything),
        "flagged": share(flagged, everything),
        "precision": share(failed, flagged),
        "recall": share(flagged, failed),
        "recall_outlined": share(flagged, failed & outlined),
    }


def as_boxes(objects: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return boxes or points as (n, 4) boxes within an image of `shape`, or raise a `MaskError`.

    The edges of a box are those of its first pixels and behind its last ones.
    """
    boxes = np.asarray(objects, dtype=np.float64)
    if boxes.ndim != 2 or boxes.shape[1] not in (2, 4):
        raise MaskError(
            f"the truth has shape {boxes.shape}; expected masks, (n, 4) boxes or (n, 2) points"
        )
    if boxes.shape[1] == 2:
        boxes = np.hstack([boxes, boxes])
    if not np.isfinite(boxes).all():
        raise MaskError("a true box or point has a coordinate that is not a number")
    if (boxes[:, :2] > boxes[:, 2:]).any():
        raise MaskError("a true box ends before it begins (expected xmin, ymin, xmax, ymax)")
    height, width = shape
    # One pixel more: some count from 1.
    outside = (boxes[:, :2] > (width, height)).any(axis=1) | (boxes[:, 2:] < 0).any(axis=1)
    if outside.any():
        x, y = boxes[outside][0, :2]
        raise MaskError(
            f"a true cell at x = {x:g}, y = {y:g} lies outside the image, which is {width} wide "
            f"and {height} high"
        )
    return np.clip(boxes, 0, (width, height, width, height))


def _pair(predicted: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(predicted) != 0, np.asarray(true) != 0
    for name, mask in (("predicted", a), ("true", b)):
        if mask.ndim != 2:
            raise MaskError(f"the {name} mask has shape {mask.shape}, expected (height, width)")
    if a.shape != b.shape:
        raise MaskError(misfit("predicted mask", a.shape, "true mask", b.shape))
    return a, b


def _border(mask: np.ndarray) -> np.ndarray:
    inner = mask.astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return inner - cv2.erode(inner, cross)


def _overlaps(predicted: Masks, true: Masks) -> np.ndarray:
    """Count the pixels that true and predicted cells share: (n_true, n_predicted)."""
    first, second = _labels(true), _labels(predicted)
    both = (first > 0) & (second > 0)
    width = predicted.n_cells + 1
    flat = first[both].astype(np.int64) * width + second[both]
    counts = np.bincount(flat, minlength=width * (true.n_cells + 1))
    return counts.reshape(-1, width)[1:, 1:]


def _labels(masks: Masks) -> np.ndarray:
    """Return the labels of cells, and of nuclei where only these are known."""
    return np.where(masks.cell > 0, masks.cell, masks.nucleus)


def _boxes(masks: Masks) -> np.ndarray:
    """Return the box around each cell, (n_cells, 4); zeros for one without pixels."""
    from scipy import ndimage

    found = ndimage.find_objects(_labels(masks), max_label=masks.n_cells)
    corners = [
        (0, 0, 0, 0) if at is None else (at[1].start, at[0].start, at[1].stop, at[0].stop)
        for at in found
    ]
    return np.array(corners, np.int64).reshape(-1, 4)


def _are_points(boxes: np.ndarray) -> np.ndarray:
    return np.asarray((boxes[:, :2] == boxes[:, 2:]).all(axis=1))


def _are_cut(boxes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return which boxes reach the border of the image, to a pixel."""
    height, width = shape
    cut = (boxes[:, :2] < 1) | (boxes[:, 2:] > (width - 1, height - 1))
    return np.asarray(cut.any(axis=1))


def _agreement(predicted: Masks, own: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Rate predicted cells as matches of true boxes, 0 to 1: (n_true, n_predicted).

    It is the Dice of their boxes, `own` being those of the predicted cells, and for a point at
    least 0.5 if it lies in the outline.
    """
    low = np.maximum(boxes[:, None, :2], own[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], own[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=2)
    areas = [np.prod(sides[:, 2:] - sides[:, :2], axis=1) for sides in (boxes, own)]
    agreement = 2.0 * shared / np.maximum(areas[0][:, None] + areas[1][None], 1e-9)
    centres = (own[:, :2] + own[:, 2:]) / 2
    labels = _labels(predicted)
    height, width = labels.shape
    for row in np.flatnonzero(_are_points(boxes)):
        x, y = boxes[row, :2]
        number = labels[min(int(y), height - 1), min(int(x), width - 1)]
        agreement[row] = 0.0
        if number:
            # Of several points in one outline the most central one is that of its cell.
            distance = float(np.hypot(*(centres[number - 1] - (x, y))))
            agreement[row, number - 1] = FOUND + (1.0 - FOUND) / (1.0 + distance)
    return agreement


def _assign(agreement: np.ndarray) -> dict[int, int]:
    """Map true to predicted numbers, from 1 on, by the largest values first."""
    match: dict[int, int] = {}
    used: set[int] = set()
    for index in np.argsort(-agreement, axis=None, kind="stable"):
        row, column = divmod(int(index), agreement.shape[1])
        if agreement[row, column] <= 0:
            break
        if row + 1 not in match and column + 1 not in used:
            match[row + 1] = column + 1
            used.add(column + 1)
    return match


def _row_of_masks(
    number: int,
    match: int,
    predicted: Masks,
    true: Masks,
    boxes: tuple[np.ndarray, np.ndarray],
    min_dice: float,
) -> dict[str, Any]:
    row: dict[str, Any] = {"cell": number, "predicted": match}
    dices: list[float] = []
    # Only the part of the image with both cells matters.
    both = np.vstack([boxes[1][number - 1], boxes[0][match - 1] if match else boxes[1][number - 1]])
    (left, top), (right, bottom) = both[:, :2].min(axis=0), both[:, 2:].max(axis=0)
    window = np.s_[top:bottom, left:right]
    for part in ("cell", "nucleus"):
        truth = getattr(true, part)[window] == number
        if not truth.any():
            continue
        guess = (getattr(predicted, part)[window] == match) & (match > 0)
        dices.append(dice(guess, truth))
        row[f"dice_{part}"] = dices[-1]
        row[f"iou_{part}"] = iou(guess, truth)
        row[f"boundary_{part}"], row[f"hausdorff95_{part}"] = boundary_distance(guess, truth)
    # The first value is that of the cell, if the truth has one.
    row["found"] = bool(match) and dices[0] >= FOUND
    row["failed"] = not row["found"] or min(dices) < min_dice
    return row


def _row_of_box(number: int, match: int, agreement: np.ndarray, is_point: bool) -> dict[str, Any]:
    value = float(agreement[number - 1, match - 1]) if match else 0.0
    found = value >= FOUND
    return {
        "cell": number,
        "predicted": match,
        "found": found,
        "dice_box": float("nan") if is_point else value,
        "failed": not found,
    }


def _flags(predicted: Masks, number: int) -> dict[str, Any]:
    """Return what the segmenter says of an outline; nothing of outline 0, which there is not."""
    if not number:
        return {"suspected_failure": False, "failure_reason": "", "confidence": float("nan")}
    quality = {name: values[number - 1] for name, values in predicted.quality.items()}
    return {
        "suspected_failure": bool(quality["suspected_failure"]),
        "failure_reason": str(quality["failure_reason"]),
        "confidence": float(quality["confidence"]),
    }


def _is_platelet(predicted: Masks, number: int) -> bool:
    kinds = predicted.quality.get("kind")
    return kinds is not None and str(kinds[number - 1]) == "platelet"
