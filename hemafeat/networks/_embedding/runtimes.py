"""What runs an embedding network: Keras, ONNX Runtime, OpenVINO or OpenCV."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from typing import Any

import numpy as np

from hemafeat.networks._embedding.network import EmbeddingNetwork, Source, network_of

RUNTIMES = ("onnxruntime", "openvino", "opencv", "keras")
"""What ``runtime`` may be beside ``"auto"``, quickest first (benchmarks/embedding.py).

By processor time on one thread OpenCV and Keras on TensorFlow have no order: MobileNet takes less
by the one, InceptionV3 by the other. OpenCV goes first because Keras on JAX takes several times as
much.
"""

_MODULES = {"openvino": "openvino", "onnxruntime": "onnxruntime", "opencv": "cv2"}

Run = Callable[[np.ndarray], np.ndarray]


class Ready:
    """A network ready to run.

    Attributes
    ----------
    runtime : str
        Which of `RUNTIMES` it is.
    side, width : int
        Of its images and its vectors.
    digest : str
        Of its weights.
    """

    def __init__(self, network: EmbeddingNetwork, runtime: str, n_threads: int) -> None:
        self.side, self.width, self.digest = network.side, network.width, network.digest
        self.runtime, self._run = _started(network, runtime, n_threads)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(n, width) float32 of (n, side, side, 3) uint8 images."""
        if not len(images):
            return np.empty((0, self.width), np.float32)
        return np.asarray(self._run(images), np.float32).reshape(len(images), self.width)


@lru_cache(maxsize=4)
def ready(source: Source, runtime: str, n_threads: int) -> Ready:
    """The network of `source`, built once per process.

    Parameters
    ----------
    source : Source
    runtime : str
        ``"auto"`` or one of `RUNTIMES`.
    n_threads : int
        Of this process, for the runtime; Keras takes what its backend takes.

    Raises
    ------
    ImportError
        The runtime is not installed.
    ValueError
        An unknown runtime, or a network that it cannot run; see also `network_of`.
    """
    check_runtime(runtime)
    with warnings.catch_warnings():
        # Keras and its backends warn of each other's ways to NumPy, once per array.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        return Ready(network_of(source), runtime, n_threads)


def check_runtime(runtime: str) -> None:
    """Refuse a runtime that is unknown or not installed."""
    if runtime not in ("auto", *RUNTIMES):
        raise ValueError(f"no runtime {runtime!r}; there are: auto, {', '.join(RUNTIMES)}")
    for module in [_MODULES.get(runtime), "onnx" if runtime in _MODULES else None]:
        if module is not None and find_spec(module) is None:
            raise ImportError(
                f"runtime={runtime!r} needs the package {module}: pip install {module}"
            )


def threads(n_jobs: int | None) -> int:
    """Processors this process may use, or `n_jobs` where it is given."""
    if n_jobs is not None and n_jobs > 0:
        return n_jobs
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _started(network: EmbeddingNetwork, runtime: str, n_threads: int) -> tuple[str, Run]:
    if runtime == "keras":
        return "keras", _keras(network, n_threads)
    wanted = [runtime] if runtime != "auto" else list(RUNTIMES[:-1])
    there = [name for name in wanted if find_spec(_MODULES[name]) is not None]
    if runtime == "auto" and (not there or find_spec("onnx") is None):
        return "keras", _keras(network, n_threads)
    from hemafeat.networks._embedding.onnx import onnx_bytes

    try:
        raw = onnx_bytes(network.model)
    except ValueError:
        if runtime != "auto":
            raise
        # A layer of somebody's own.
        return "keras", _keras(network, n_threads)
    start = {"openvino": _openvino, "onnxruntime": _onnxruntime, "opencv": _opencv}
    return there[0], start[there[0]](raw, n_threads)


def _channels_first(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)


def _keras(network: EmbeddingNetwork, n_threads: int) -> Run:
    model = network.model
    # Compiling by XLA takes longer than it saves.
    model.compile(jit_compile=False)
    lock = Lock()

    def run(images: np.ndarray) -> np.ndarray:
        with lock:
            return np.asarray(model.predict_on_batch(_evened(images).astype(np.float32)))[
                : len(images)
            ]

    return run


def _evened(images: np.ndarray) -> np.ndarray:
    """Made up to a power of two: a backend compiles for every length it is given."""
    length = 1 << (len(images) - 1).bit_length()
    if length == len(images):
        return images
    return np.concatenate([images, np.zeros((length - len(images), *images.shape[1:]), np.uint8)])


def _onnxruntime(raw: bytes, n_threads: int) -> Run:
    onnxruntime: Any = import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(images: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(None, {name: _channels_first(images)})[0])

    return run


def _openvino(raw: bytes, n_threads: int) -> Run:
    openvino: Any = import_module("openvino")
    core = openvino.Core()
    # Full precision: on some processors it would compute in bfloat16 of its own accord.
    settings = {"INFERENCE_NUM_THREADS": n_threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(raw), "CPU", settings)
    lock = Lock()
    request = compiled.create_infer_request()

    def run(images: np.ndarray) -> np.ndarray:
        with lock:
            return np.array(request.infer([_channels_first(images)])[0])

    return run


def _opencv(raw: bytes, n_threads: int) -> Run:
    import cv2

    net = cv2.dnn.readNetFromONNX(np.frombuffer(raw, np.uint8))
    lock = Lock()

    def run(images: np.ndarray) -> np.ndarray:
        with lock:
            # One by one: with a new length it would plan anew.
            found: list[Any] = []
            for image in _channels_first(images):
                net.setInput(image[None])
                found.append(net.forward().copy())
            return np.concatenate(found)

    return run
