"""Run a network over an image of any size, square by square, by OpenCV alone."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import cv2
import numpy as np

SIDE = 320
"""Side, in pixels of the network, of the largest square that it is run on at once. It learns from
smaller ones, but squares overlap, so that fewer and larger ones cost less."""

STEP = 16
"""Sides of the input of the network are multiples of this: it halves them four times."""

OTHER_STEP = 32
"""The same for files of weights of one's own, whose network may halve them five times."""

OVERLAP = 48
"""Least overlap, in pixels, of two neighbouring squares."""

OUTPUTS = 6
"""Number of logits of a pixel: background, red cell, platelet, cytoplasm, nucleus, and depth."""

_ELSEWHERE = b"\n\x08location"
"""Bytes by which an ONNX file names another file, which OpenCV would open."""

UNET_WEIGHTS = Path(__file__).parent / "weights" / "unet.onnx"
"""File of the weights of `unet` that come with the package; ``unet.keras`` lies beside it."""

VARIABLE = "HEMAFEAT_UNET"
"""Environment variable that names a file of weights."""

_local = threading.local()


def weights_file(weights: str | os.PathLike[str] | None = None) -> Path:
    """Return the file of weights to use.

    Parameters
    ----------
    weights : path, optional
        File to use. By default it is the one named by the environment variable ``HEMAFEAT_UNET``,
        else the one of the package.

    Returns
    -------
    Path
        An existing file.

    Raises
    ------
    FileNotFoundError
        The file does not exist; the message tells how to make or name one.
    """
    named = weights if weights is not None else os.environ.get(VARIABLE)
    path = Path(named) if named else UNET_WEIGHTS
    if path.is_file():
        return path
    if named:
        raise FileNotFoundError(f"{path}: file of U-Net weights (ONNX) not found")
    raise FileNotFoundError(
        "the weights of the U-Net are missing: pass weights=PATH (--segmenter unet:PATH), or set "
        f"{VARIABLE}=PATH, with the file network.onnx that hemafeat.networks.train_segmenter writes"
    )


def load_network(path: Path) -> cv2.dnn.Net:
    """Load the network of a file, once in each thread: a network keeps its last activations.

    Parameters
    ----------
    path : Path
        ONNX file.

    Returns
    -------
    cv2.dnn.Net

    Raises
    ------
    ValueError
        OpenCV cannot read the file as a network, or it keeps its weights in another file.
    """
    stat = path.stat()
    key = (str(path), stat.st_mtime_ns, stat.st_size)
    networks: dict[tuple[str, int, int], cv2.dnn.Net] = _local.__dict__.setdefault("networks", {})
    if key not in networks:
        data = np.fromfile(path, np.uint8)
        if _ELSEWHERE in data.tobytes():
            raise ValueError(f"{path} keeps its weights in another file, which is not read")
        try:
            networks[key] = cv2.dnn.readNetFromONNX(data)
        except cv2.error as error:
            raise ValueError(
                f"{path} is not an ONNX network that OpenCV can read: {error}"
            ) from None
    return networks[key]


def predict_logits(density: np.ndarray, path: Path) -> np.ndarray:
    """Run a network over an image.

    Parameters
    ----------
    density : (H, W, 3) ndarray of uint8
        Optical density, in steps of 1/100.
    path : Path
        ONNX file of the network.

    Returns
    -------
    (6, H, W) ndarray of float32
        Logits of background, red cell, platelet, cytoplasm, nucleus and depth.

    Raises
    ------
    ValueError
        The file is not a network, or the network has other inputs or outputs.

    Notes
    -----
    Where squares overlap, each is weighted by the distance of the pixel from its border. Beyond the
    image there is background.
    """
    height, width = density.shape[:2]
    rows, columns = _starts(height), _starts(width)
    if len(rows) * len(columns) == 1:
        return _run(density, path)
    total = np.zeros((OUTPUTS, height, width), np.float32)
    weight = np.zeros((height, width), np.float32)
    ramp = np.minimum(np.arange(1, SIDE + 1), np.arange(SIDE, 0, -1)).astype(np.float32)
    square_weight = np.minimum(ramp[:, None], ramp[None, :])
    for top in rows:
        for left in columns:
            part = np.s_[top : min(top + SIDE, height), left : min(left + SIDE, width)]
            h, w = part[0].stop - top, part[1].stop - left
            part_weight = square_weight[:h, :w]
            weight[part] += part_weight
            total[:, part[0], part[1]] += part_weight * _run(density[part], path)
    return total / weight


def _starts(length: int) -> list[int]:
    if length <= SIDE:
        return [0]
    n = -(-(length - OVERLAP) // (SIDE - OVERLAP))
    return [round(i * (length - SIDE) / (n - 1)) for i in range(n)]


def _run(density: np.ndarray, path: Path) -> np.ndarray:
    height, width = density.shape[:2]
    step = STEP if path == UNET_WEIGHTS else OTHER_STEP
    below, beside = -height % step, -width % step
    if below or beside:
        density = cv2.copyMakeBorder(density, 0, below, 0, beside, cv2.BORDER_CONSTANT, value=0)
    net = load_network(path)
    try:
        net.setInput(cv2.dnn.blobFromImage(density, 0.01))
        out = net.forward()
    except cv2.error as error:
        raise ValueError(f"{path} is a network for images of another kind: {error}") from None
    n, channels, h, w = expected = (1, OUTPUTS, height + below, width + beside)
    # Blocks of 2 x 2 pixels: see `hemafeat.networks.export_onnx`.
    if out.shape == (n, 4 * channels, h // 2, w // 2):
        blocks = out.reshape(channels, 2, 2, h // 2, w // 2)
        out = np.empty(expected, np.float32)
        for down, along in np.ndindex(2, 2):
            out[0, :, down::2, along::2] = blocks[:, down, along]
    if out.shape != expected:
        raise ValueError(f"the network {path} returned {out.shape}; expected {expected}")
    return np.asarray(out[0, :, :height, :width])
