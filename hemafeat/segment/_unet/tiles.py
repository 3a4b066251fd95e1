"""A network run over an image of any size, a square at a time, by OpenCV alone."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import cv2
import numpy as np

from hemafeat.segment._unet.scale import SIDE

SMALLER = (96, 128, 160)
"""Sides of squares for images that fit into less."""

OVERLAP = 48
"""Least pixels that two neighbouring squares share."""

BACKGROUND = (6.0, -6.0, -6.0, -6.0)
"""Scores where nothing was looked at."""

SHIPPED = Path(__file__).parent / "weights" / "unet.onnx"
PLACE = "HEMAFEAT_UNET"
"""Environment variable that names a file of weights."""

_local = threading.local()


def weights_file(weights: str | os.PathLike[str] | None = None) -> Path:
    """The file of weights: the one given, that of the environment, or the one of the package.

    Raises
    ------
    FileNotFoundError
        There is none; the message says how to make or name one.
    """
    named = weights if weights is not None else os.environ.get(PLACE)
    path = Path(named) if named else SHIPPED
    if path.is_file():
        return path
    if named:
        raise FileNotFoundError(f"{path}: no such file of weights of a U-Net (ONNX)")
    raise FileNotFoundError(
        "the U-Net has no weights: give weights=PATH (--segmenter unet:PATH), or set "
        f"{PLACE}=PATH, with the file network.onnx that hemafeat.networks.train_segmenter writes"
    )


def network(path: Path, side: int = SIDE) -> cv2.dnn.Net:
    """The network of a file, for squares of one size.

    Read once in each thread: it holds what it last worked on, and works anew for another size.

    Raises
    ------
    ValueError
        The file is no network, with its name.
    """
    stamp = path.stat()
    key = (str(path), stamp.st_mtime_ns, stamp.st_size, side)
    known: dict[tuple[str, int, int, int], cv2.dnn.Net] = _local.__dict__.setdefault("networks", {})
    if key not in known:
        try:
            known[key] = cv2.dnn.readNetFromONNX(np.fromfile(path, np.uint8))
        except cv2.error as error:
            raise ValueError(
                f"{path} is no network in ONNX that OpenCV can read: {error}"
            ) from None
    return known[key]


def scores(density: np.ndarray, path: Path, near: np.ndarray | None = None) -> np.ndarray:
    """Scores of every pixel.

    Parameters
    ----------
    density : (H, W, 3) ndarray of uint8
        Optical density, in steps of 1/100.
    path : Path
        Of the network.
    near : (h, w) ndarray of uint8, optional
        Not 0 where something may be, on an image of any size: squares without any of it are left
        out.

    Returns
    -------
    (4, H, W) ndarray of float32
        Logits of background, cytoplasm, nucleus and depth.

    Raises
    ------
    ValueError
        The file is no network, or one with other inputs or outputs.

    Notes
    -----
    Squares overlap; where they do, each counts by how far the pixel lies from its border. Beyond
    the image there is bare background.
    """
    height, width = density.shape[:2]
    rows, columns = _starts(height), _starts(width)
    if len(rows) * len(columns) == 1:
        return _square(density, path)[:, :height, :width]
    total = np.zeros((4, height, width), np.float32)
    weight = np.zeros((height, width), np.float32)
    ramp = np.minimum(np.arange(1, SIDE + 1), np.arange(SIDE, 0, -1)).astype(np.float32)
    worth = np.minimum(ramp[:, None], ramp[None, :])
    for top in rows:
        for left in columns:
            part = np.s_[top : min(top + SIDE, height), left : min(left + SIDE, width)]
            h, w = part[0].stop - top, part[1].stop - left
            there = worth[:h, :w]
            weight[part] += there
            if near is not None and not _any(near, part, height, width):
                total[:, part[0], part[1]] += (
                    there * np.array(BACKGROUND, np.float32)[:, None, None]
                )
                continue
            total[:, part[0], part[1]] += there * _square(density[part], path, SIDE)[:, :h, :w]
    return total / weight


def _starts(length: int) -> list[int]:
    if length <= SIDE:
        return [0]
    n = -(-(length - OVERLAP) // (SIDE - OVERLAP))
    return [round(i * (length - SIDE) / (n - 1)) for i in range(n)]


def _any(near: np.ndarray, part: tuple[slice, slice], height: int, width: int) -> bool:
    rows, columns = part
    h, w = near.shape
    box = near[
        rows.start * h // height : -(-rows.stop * h // height),
        columns.start * w // width : -(-columns.stop * w // width),
    ]
    return bool(box.any())


def _square(density: np.ndarray, path: Path, side: int | None = None) -> np.ndarray:
    height, width = density.shape[:2]
    if side is None:
        side = next((one for one in SMALLER if max(height, width) <= one), SIDE)
    if (height, width) != (side, side):
        density = cv2.copyMakeBorder(
            density, 0, side - height, 0, side - width, cv2.BORDER_CONSTANT, value=0
        )
    net = network(path, side)
    try:
        net.setInput(cv2.dnn.blobFromImage(density, 0.01))
        out = net.forward()
    except cv2.error as error:
        raise ValueError(f"{path} is a network of other images: {error}") from None
    if out.shape != (1, 4, side, side):
        raise ValueError(f"{path} gives {out.shape}, expected {(1, 4, side, side)}")
    return np.asarray(out[0])
