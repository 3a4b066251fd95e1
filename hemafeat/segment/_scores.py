"""How well masks agree with the truth, and how well failures were foreseen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from hemafeat.segment._masks import MaskError, Masks

if TYPE_CHECKING:
    import pandas as pd

FOUND = 0.5
"""Least Dice of a true cell and a predicted one to call the cell found."""

FAILED = 0.8
"""Dice of the cell or the nucleus below which a segmentation has failed."""


def dice(predicted: np.ndarray, true: np.ndarray) -> float:
    """Sorensen-Dice coefficient, ``2 |A & B| / (|A| + |B|)``, of two masks.

    Parameters
    ----------
    predicted, true : (H, W) ndarray of bool or int
        Anything but 0 belongs to the mask.

    Returns
    -------
    float
        0 to 1; 1 where both are empty.

    Raises
    ------
    MaskError
        The masks differ in shape.
    """
    a, b = _pair(predicted, true)
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return 2.0 * np.count_nonzero(a & b) / total if total else 1.0


def iou(predicted: np.ndarray, true: np.ndarray) -> float:
    """Jaccard index of two masks, ``|A & B| / |A | B|``; 1 where both are empty.

    Parameters
    ----------
    predicted, true : (H, W) ndarray
        Masks; what is not 0 counts as inside.

    Returns
    -------
    float
        0 to 1.
    """
    a, b = _pair(predicted, true)
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def boundary_distance(predicted: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """How far apart the borders of two masks lie.

    Parameters
    ----------
    predicted, true : (H, W) ndarray of bool or int
        Anything but 0 belongs to the mask.

    Returns
    -------
    mean, hausdorff95 : float
        In pixels: the mean, and the 95th percentile, of the distances from each border pixel of
        either mask to the nearest border pixel of the other one. NaN where a mask is empty.
    """
    a, b = _pair(predicted, true)
    if not a.any() or not b.any():
        return float("nan"), float("nan")
    # Only the part of the image that holds a mask matters, and a margin of one pixel.
    rows, columns = np.flatnonzero((a | b).any(axis=1)), np.flatnonzero((a | b).any(axis=0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    borders = [_border(np.pad(mask[box], 1)) for mask in (a, b)]
    reach = [
        cv2.distanceTransform(1 - border, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for border in borders
    ]
    apart = np.concatenate([reach[1][borders[0] > 0], reach[0][borders[1] > 0]])
    return float(apart.mean()), float(np.percentile(apart, 95))


def score(predicted: Masks, true: Masks) -> pd.DataFrame:
    """Compare predicted cells with true ones.

    Each true cell is matched with the predicted cell that shares most pixels with it, in order of
    overlap and each predicted cell once. Where only the nucleus of a true cell is known, that is
    matched.

    Parameters
    ----------
    predicted, true : Masks
        Of the same image.

    Returns
    -------
    DataFrame
        One row per true cell: ``cell`` (its number), ``predicted`` (number of the match, 0 for
        none), ``found`` (the Dice of the match is at least 0.5), ``dice_cell``, ``dice_nucleus``,
        ``iou_cell``, ``iou_nucleus`` (NaN where the truth has no such mask), ``boundary_cell``,
        ``hausdorff95_cell``, ``boundary_nucleus``, ``hausdorff95_nucleus`` (px), ``failed`` (Dice
        of cell or nucleus below 0.8), and the match's ``suspected_failure`` and ``confidence``.
        ``attrs["n_spurious"]`` is the number of predicted cells that match no true one.

    Raises
    ------
    MaskError
        The masks differ in shape.
    """
    import pandas as pd

    if predicted.shape != true.shape:
        raise MaskError(f"predicted masks are {predicted.shape}, true ones {true.shape}")
    match = _matched(predicted, true)
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
    """How well `suspected_failure` foretells that Dice is below 0.8, over the cells found.

    Parameters
    ----------
    scores : DataFrame
        Rows of `score`, of any number of images.

    Returns
    -------
    dict of str to float
        ``n`` cells found, ``failed`` and ``flagged`` shares of them, ``precision`` (flagged cells
        that failed) and ``recall`` (failed cells that were flagged); NaN where there is none to
        count.
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
    if a.shape != b.shape:
        raise MaskError(f"predicted mask is {a.shape}, true one {b.shape}")
    return a, b


def _border(mask: np.ndarray) -> np.ndarray:
    inner = mask.astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return inner - cv2.erode(inner, cross)


def _matched(predicted: Masks, true: Masks) -> dict[int, int]:
    """True number to predicted number, best overlaps first."""
    a = np.where(predicted.cell > 0, predicted.cell, predicted.nucleus)
    b = np.where(true.cell > 0, true.cell, true.nucleus)
    width = predicted.n_cells + 1
    shared = np.bincount(
        (b.astype(np.int64) * width + a).ravel(), minlength=width * (true.n_cells + 1)
    )
    shared = shared.reshape(true.n_cells + 1, width)
    shared[0] = shared[:, 0] = 0
    match: dict[int, int] = {}
    taken: set[int] = set()
    for place in np.argsort(-shared, axis=None, kind="stable"):
        number, found = divmod(int(place), width)
        if shared[number, found] == 0:
            break
        if number not in match and found not in taken:
            match[number] = found
            taken.add(found)
    return match


def _row(number: int, found: int, predicted: Masks, true: Masks) -> dict[str, object]:
    row: dict[str, object] = {"cell": number, "predicted": found}
    nan = float("nan")
    for part in ("cell", "nucleus"):
        truth = getattr(true, part) == number
        known = bool(truth.any())
        guess = (getattr(predicted, part) == found) if found else np.zeros(truth.shape, bool)
        row[f"dice_{part}"] = dice(guess, truth) if known else nan
        row[f"iou_{part}"] = iou(guess, truth) if known else nan
        mean, worst = boundary_distance(guess, truth)
        row[f"boundary_{part}"], row[f"hausdorff95_{part}"] = mean, worst
    values = [row["dice_cell"], row["dice_nucleus"]]
    whole = values[0] if values[0] == values[0] else values[1]
    row["found"] = bool(found) and whole >= FOUND  # type: ignore[operator]
    row["failed"] = any(value < FAILED for value in values if value == value)  # type: ignore[operator]
    row["suspected_failure"] = bool(found) and bool(
        predicted.quality["suspected_failure"][found - 1]
    )
    row["confidence"] = float(predicted.quality["confidence"][found - 1]) if found else nan
    return row
