"""Segmenters and images that child processes and workers of tests import."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from hemafeat import segment

DEADLY = 7
"""Grey level of the first pixel of an image that kills the process."""


def disc(image: np.ndarray) -> segment.Masks:
    """Return a cell and a nucleus in the middle of any image."""
    height, width = image.shape[:2]
    cell, nucleus = np.zeros((2, height, width), np.int32)
    cv2.circle(cell, (width // 2, height // 2), height // 3, 1, -1)
    cv2.circle(nucleus, (width // 2, height // 2), height // 5, 1, -1)
    return segment.Masks(cell, nucleus)


def slow_disc(image: np.ndarray) -> segment.Masks:
    """Return `disc` after a while, so that the process can be killed meanwhile."""
    time.sleep(0.01)
    return disc(image)


def deadly_disc(image: np.ndarray) -> segment.Masks:
    """Return `slow_disc`, or kill the process for an image that begins with `DEADLY`."""
    if (image[0, 0] == DEADLY).all():
        os.kill(os.getpid(), signal.SIGKILL)
    return slow_disc(image)


class Unloadable:
    """Segmenter that can be pickled but not loaded."""

    def __call__(self, image: np.ndarray) -> segment.Masks:
        return disc(image)

    def __reduce__(self) -> tuple:
        return _fail, ()


def _fail() -> None:
    raise ValueError("on purpose")


def noise(folder: Path, n_images: int, size: int = 24) -> pd.DataFrame:
    """Write images of noise, one of them broken and one missing."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = []
    for number in range(n_images):
        names.append(str(folder / f"{number:03}.png"))
        cv2.imwrite(names[-1], rng.integers(60, 250, (size, size, 3), np.uint8))
    Path(names[5]).write_bytes(b"no image")
    Path(names[9]).unlink()
    return pd.DataFrame({"image": names, "stain": [f"s{n % 3}" for n in range(n_images)]})


if __name__ == "__main__":  # images table, folder
    from hemafeat import extract
    from support import shard_work

    fsync = os.fsync

    def slow_fsync(handle: int) -> None:
        time.sleep(0.01)  # so that a file that is not yet renamed exists for a while
        fsync(handle)

    os.fsync = slow_fsync
    # The name by which other processes import it.
    segmenter = shard_work.slow_disc
    extract.stream(
        sys.argv[1], sys.argv[2], segmenter=segmenter, families=["shape"], shard_size=4, n_jobs=2
    )
