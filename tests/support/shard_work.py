"""What child processes and workers of the tests of shards need to import."""

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
"""Grey of the first pixel of an image that takes the process down with it."""


def disc(image: np.ndarray) -> segment.Masks:
    """A cell and a nucleus in the middle of any image, without looking for them."""
    height, width = image.shape[:2]
    cell, nucleus = np.zeros((2, height, width), np.int32)
    cv2.circle(cell, (width // 2, height // 2), height // 3, 1, -1)
    cv2.circle(nucleus, (width // 2, height // 2), height // 5, 1, -1)
    return segment.Masks(cell, nucleus)


def slow_disc(image: np.ndarray) -> segment.Masks:
    """`disc`, with time enough to be killed in."""
    time.sleep(0.01)
    return disc(image)


def deadly_disc(image: np.ndarray) -> segment.Masks:
    """`slow_disc`, but for one image that no process survives."""
    if (image[0, 0] == DEADLY).all():
        os.kill(os.getpid(), signal.SIGKILL)
    return slow_disc(image)


def noise(folder: Path, n_images: int, size: int = 24) -> pd.DataFrame:
    """Distinct images without meaning, one of them broken and one not there."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    names = []
    for number in range(n_images):
        names.append(str(folder / f"{number:03}.png"))
        cv2.imwrite(names[-1], random.integers(60, 250, (size, size, 3), np.uint8))
    Path(names[5]).write_bytes(b"no image")
    Path(names[9]).unlink()
    return pd.DataFrame({"image": names, "stain": [f"s{n % 3}" for n in range(n_images)]})


if __name__ == "__main__":  # images table, folder
    from hemafeat import extract
    from support import shard_work

    synced = os.fsync

    def slowly(handle: int) -> None:
        time.sleep(0.01)  # a file that is written and not yet renamed is there for a while
        synced(handle)

    os.fsync = slowly
    # By the name other processes know it by.
    how = shard_work.slow_disc
    extract.stream(
        sys.argv[1], sys.argv[2], segmenter=how, families=["shape"], shard_size=4, n_jobs=2
    )
