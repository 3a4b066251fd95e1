"""Masks to learn from where nobody drew any: the outlines a segmenter is sure of."""

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
    """Outline images and keep those in which the segmenter is sure of every cell.

    What is kept can be given to `train_segmenter`; the network is then used on the rest.

    Parameters
    ----------
    images : DataFrame
        Image table, see `hemafeat.datasets.as_table`.
    out : path
        Folder for the trimaps, one PNG an image: 0 background, 128 cytoplasm, 255 nucleus. One that
        is there already is made anew.
    segmenter : str or callable
        See `hemafeat.segment.segmenter`.
    least_confidence : float
        Confidence that every cell of an image must reach. Every cell needs a nucleus as well.
    n_jobs : int
        Threads.
    progress : bool, optional
        Show a progress bar; default is when a person is watching the terminal.

    Returns
    -------
    DataFrame
        The rows kept, in their order, with their trimap as ``mask``. ``attrs`` says why the others
        were left out: ``n_unread``, ``n_empty`` (no cell) and ``n_unsure``.

    Raises
    ------
    ValueError
        `least_confidence` is outside 0..1, or no image is left.

    Notes
    -----
    The masks are as good as the segmenter is where it trusts itself, and no better: images it finds
    hard are missing from them [1]_.

    References
    ----------
    .. [1] D. Yarowsky, "Unsupervised word sense disambiguation rivaling supervised methods",
       ACL 1995, for learning from one's own most certain answers.
    """
    import pandas as pd
    from tqdm import tqdm

    if not 0.0 <= least_confidence <= 1.0:
        raise ValueError(f"least_confidence is {least_confidence}, expected 0 to 1")
    find = segment.segmenter(segmenter)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    listed = images.reset_index(drop=True)

    def one(row: int) -> str:
        try:
            image = hemafeat_images.read(listed["image"].iloc[row])
        except hemafeat_images.ImageError:
            return "n_unread"
        masks = find(image)
        if not masks.n_cells:
            return "n_empty"
        if not sure(masks, least_confidence):
            return "n_unsure"
        data = cv2.imencode(".png", masks.trimap)[1].tobytes()
        write_whole(folder / f"{row:07}.png", lambda part: part.write_bytes(data))
        return ""

    with ThreadPoolExecutor(max(1, n_jobs)) as pool:
        work = pool.map(one, range(len(listed)))
        hidden = None if progress is None else not progress
        said = list(tqdm(work, total=len(listed), unit="image", desc="outline", disable=hidden))
    kept = [row for row, reason in enumerate(said) if not reason]
    table = listed.iloc[kept].reset_index(drop=True)
    table["mask"] = pd.array([str(folder / f"{row:07}.png") for row in kept], dtype="str")
    table.attrs.update({name: said.count(name) for name in ("n_unread", "n_empty", "n_unsure")})
    if not len(table):
        raise ValueError(
            f"of {len(listed)} images none was outlined with a confidence of {least_confidence} "
            f"or more: {table.attrs}"
        )
    return table


def sure(masks: Masks, least: float) -> bool:
    """Whether every cell is trusted and has a nucleus."""
    with_nucleus = np.unique(masks.nucleus[masks.nucleus > 0]).size == masks.n_cells
    return with_nucleus and bool((masks.quality["confidence"] >= least).all())
