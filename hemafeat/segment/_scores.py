"""Scores of masks against the truth, and of the detection of failed segmentations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from hemafeat.segment._masks import MaskError, Masks, misfit

if TYPE_CHECKING:
    import pandas as pd

MIN_DICE = 0.5
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


def score(predicted: Masks, true: Masks) -> pd.DataFrame:
    """Compare predicted cells with true ones.

    Each true cell is matched with the predicted cell that shares most pixels with it, in order of
    overlap, and each predicted cell is used once. If only the nucleus of a true cell is known, the
    nucleus is matched.

    Parameters
    ----------
    predicted, true : Masks
        Masks of the same image.

    Returns
    -------
    DataFrame
        One row per true cell: ``cell`` (its number), ``predicted`` (number of the match, 0 without
        one), ``found`` (the Dice of the match is at least 0.5), ``dice_cell``, ``dice_nucleus``,
        ``iou_cell``, ``iou_nucleus`` (NaN if the truth has no such mask), ``boundary_cell``,
        ``hausdorff95_cell``, ``boundary_nucleus``, ``hausdorff95_nucleus`` (px), ``failed`` (Dice
        of cell or nucleus below 0.8), and ``suspected_failure`` and ``confidence`` of the match.
        ``attrs["n_spurious"]`` is the number of predicted cells without a match.

    Raises
    ------
    MaskError
        The masks differ in shape.

    Examples
    --------
    >>> from hemafeat import datasets, segment
    >>> drawn = datasets.draw_cell("neutrophil", random_state=0)
    >>> true = segment.Masks(drawn.cell, drawn.nucleus)
    >>> table = segment.score(segment.contours(drawn.image), true)
    >>> table[["cell", "predicted", "found", "failed"]]
       cell  predicted  found  failed
    0     1          1   True   False
    """
    import pandas as pd

    if predicted.shape != true.shape:
        raise MaskError(misfit("predicted mask", predicted.shape, "true mask", true.shape))
    for masks in (predicted, true):
        masks.check_fit(true.shape)
    match = _match(predicted, true)
    rows = [
        _row(number, match.get(number, 0), predicted, true) for number in range(1, true.n_cells + 1)
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table.attrs["n_spurious"] = predicted.n_cells - len(match)
    return table


COLUMNS = (
    "cell",
    "predicted",
    "found",
    "dice_cell",
    "dice_nucleus",
    "iou_cell",
    "iou_nucleus",
    "boundary_cell",
    "hausdorff95_cell",
    "boundary_nucleus",
    "hausdorff95_nucleus",
    "failed",
    "suspected_failure",
    "confidence",
)


def failure_detection(scores: pd.DataFrame) -> dict[str, float]:
    """Rate `suspected_failure` as a predictor of a Dice below 0.8, over the cells found.

    Parameters
    ----------
    scores : DataFrame
        Rows of `score`, of any number of images.

    Returns
    -------
    dict of str to float
        ``n``, the number of cells found; ``failed`` and ``flagged``, shares of them; ``precision``,
        the share of the flagged cells that failed; and ``recall``, the share of the failed cells
        that were flagged. A share of nothing is NaN.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import segment
    >>> scores = pd.DataFrame({"found": True, "failed": [True, False, False, False],
    ...                        "suspected_failure": [True, True, False, False]})
    >>> detection = segment.failure_detection(scores)
    >>> float(detection["precision"]), float(detection["recall"])
    (0.5, 1.0)
    """
    found = scores[scores["found"].astype(bool)]
    failed = found["failed"].to_numpy(dtype=bool)
    flagged = found["suspected_failure"].to_numpy(dtype=bool)
    both = float(np.count_nonzero(failed & flagged))
    n = len(found)
    return {
        "n": float(n),
        "failed": failed.mean() if n else float("nan"),
        "flagged": flagged.mean() if n else float("nan"),
        "precision": both / flagged.sum() if flagged.any() else float("nan"),
        "recall": both / failed.sum() if failed.any() else float("nan"),
    }


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


def _match(predicted: Masks, true: Masks) -> dict[int, int]:
    """Map true to predicted numbers, largest overlaps first."""
    predicted_labels = np.where(predicted.cell > 0, predicted.cell, predicted.nucleus)
    true_labels = np.where(true.cell > 0, true.cell, true.nucleus)
    width = predicted.n_cells + 1
    overlap = np.bincount(
        (true_labels.astype(np.int64) * width + predicted_labels).ravel(),
        minlength=width * (true.n_cells + 1),
    )
    overlap = overlap.reshape(true.n_cells + 1, width)
    overlap[0] = overlap[:, 0] = 0
    match: dict[int, int] = {}
    used: set[int] = set()
    for index in np.argsort(-overlap, axis=None, kind="stable"):
        number, candidate = divmod(int(index), width)
        if overlap[number, candidate] == 0:
            break
        if number not in match and candidate not in used:
            match[number] = candidate
            used.add(candidate)
    return match


def _row(number: int, match: int, predicted: Masks, true: Masks) -> dict[str, object]:
    row: dict[str, object] = {"cell": number, "predicted": match}
    nan = float("nan")
    dices: list[float] = []
    for part in ("cell", "nucleus"):
        truth = getattr(true, part) == number
        guess = (getattr(predicted, part) == match) if match else np.zeros(truth.shape, bool)
        exists = bool(truth.any())
        if exists:
            dices.append(dice(guess, truth))
        row[f"dice_{part}"] = dices[-1] if exists else nan
        row[f"iou_{part}"] = iou(guess, truth) if exists else nan
        row[f"boundary_{part}"], row[f"hausdorff95_{part}"] = boundary_distance(guess, truth)
    # The first value is that of the cell, if the truth has one.
    row["found"] = bool(match) and dices[0] >= MIN_DICE
    row["failed"] = any(value < FAILED for value in dices)
    row["suspected_failure"] = bool(match) and bool(
        predicted.quality["suspected_failure"][match - 1]
    )
    row["confidence"] = float(predicted.quality["confidence"][match - 1]) if match else nan
    return row
