"""Self-training: masks of images on which a segmenter is confident."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from hemafeat import images as hemafeat_images, segment
from hemafeat._files import write_whole
from hemafeat._machine import progress_bar

if TYPE_CHECKING:
    import pandas as pd

    from hemafeat.segment import Masks


def confident_masks(
    images: pd.DataFrame,
    out: str | os.PathLike[str],
    *,
    segmenter: str | Callable[[np.ndarray], Any] = "contours",
    least_confidence: float = 0.9,
    n_jobs: int = 1,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Segment images and keep those in which the segmenter is confident about every cell.

    The result can be passed to `train_segmenter`; the network is then used for the other images.

    Parameters
    ----------
    images : DataFrame
        Image table; see `hemafeat.datasets.as_table`.
    out : path
        Folder for the trimaps, one PNG per image: 0 background, 128 cytoplasm, 255 nucleus.
        Existing files are replaced.
    segmenter : str or callable
        Segmenter; see `hemafeat.segment.segmenter`.
    least_confidence : float
        Confidence that every cell of an image must reach, 0 to 1. Every cell needs a nucleus as
        well.
    n_jobs : int
        Number of threads.
    progress : bool, optional
        Show a progress bar. By default it is shown on a terminal.

    Returns
    -------
    DataFrame
        The rows that are kept, in their order, with the trimap as ``mask``. ``attrs`` counts the
        other images by reason: ``n_unread``, ``n_empty`` (no cell) and ``n_unsure``.

    Raises
    ------
    ValueError
        `least_confidence` is not between 0 and 1, or no image is kept.

    Notes
    -----
    Images that are hard for the segmenter are missing from the result [1]_.

    References
    ----------
    .. [1] D. Yarowsky, "Unsupervised word sense disambiguation rivaling supervised methods",
       ACL 1995, for training on the own most confident predictions.

    Examples
    --------
    >>> from hemafeat import datasets, networks
    >>> images = datasets.drawn("cells", 4, kinds=["neutrophil"], size=96, random_state=0)
    >>> table = networks.confident_masks(images, "masks", least_confidence=0.1)
    >>> bool(table["mask"].notna().all())
    True
    """
    import pandas as pd

    if not 0.0 <= least_confidence <= 1.0:
        raise ValueError(f"least_confidence must be between 0 and 1, got {least_confidence}")
    find = segment.segmenter(segmenter)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    listed = images.reset_index(drop=True)

    def segment_row(row: int) -> str:
        """Write the trimap of an image, or return the reason why it is left out."""
        try:
            image = hemafeat_images.read(listed["image"].iloc[row])
        except hemafeat_images.ImageError:
            return "n_unread"
        masks = find(image)
        if not masks.n_cells:
            return "n_empty"
        if not _is_confident(masks, least_confidence):
            return "n_unsure"
        data = cv2.imencode(".png", masks.trimap)[1].tobytes()
        write_whole(folder / f"{row:07}.png", lambda part: part.write_bytes(data))
        return ""

    reasons = []
    with (
        ThreadPoolExecutor(max(1, n_jobs)) as pool,
        progress_bar(len(listed), "segment", progress=progress) as bar,
    ):
        for reason in pool.map(segment_row, range(len(listed))):
            reasons.append(reason)
            bar.update()
    kept = [row for row, reason in enumerate(reasons) if not reason]
    table = listed.iloc[kept].reset_index(drop=True)
    table["mask"] = pd.array([str(folder / f"{row:07}.png") for row in kept], dtype="str")
    table.attrs.update({name: reasons.count(name) for name in ("n_unread", "n_empty", "n_unsure")})
    if not len(table):
        raise ValueError(
            f"none of the {len(listed)} images was segmented with a confidence of "
            f"{least_confidence} or more: {table.attrs}"
        )
    return table


def _is_confident(masks: Masks, least: float) -> bool:
    """Return whether every cell reaches a confidence and has a nucleus."""
    with_nucleus = np.unique(masks.nucleus[masks.nucleus > 0]).size == masks.n_cells
    return with_nucleus and bool((masks.quality["confidence"] >= least).all())
