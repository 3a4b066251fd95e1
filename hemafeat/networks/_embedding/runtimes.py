"""Runtimes of embedding networks: ONNX Runtime, OpenVINO, OpenCV and Keras."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from typing import Any

import numpy as np

from hemafeat._machine import how_to_install
from hemafeat.networks._embedding.network import EmbeddingNetwork, Source, network_of

RUNTIMES = ("onnxruntime", "openvino", "opencv", "keras")
"""Names of the runtimes, the fastest first (benchmarks/embedding.py).

In processor time on one thread OpenCV is faster than Keras on TensorFlow for MobileNet and slower
for InceptionV3. It comes first because Keras on JAX takes several times as long.
"""

_MODULES = {"openvino": "openvino", "onnxruntime": "onnxruntime", "opencv": "cv2"}

Run = Callable[[np.ndarray], np.ndarray]


class Runner:
    """Run an embedding network.

    Parameters
    ----------
    network : EmbeddingNetwork
        Network to run.
    runtime : str
        ``"auto"`` or one of `RUNTIMES`.
    n_threads : int
        Number of threads; Keras decides for itself.

    Attributes
    ----------
    runtime : str
        Name of the runtime that is used.
    side : int
        Side of the images, in px.
    width : int
        Length of the vectors.
    digest : str
        Digest of the weights.
    """

    def __init__(self, network: EmbeddingNetwork, runtime: str, n_threads: int) -> None:
        self.side, self.width, self.digest = network.side, network.width, network.digest
        self.runtime, self._run = _start(network, runtime, n_threads)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Compute the vectors of (n, side, side, 3) uint8 images, (n, width) float32."""
        if not len(images):
            return np.empty((0, self.width), np.float32)
        return np.asarray(self._run(images), np.float32).reshape(len(images), self.width)


@lru_cache(maxsize=4)
def load_runner(source: Source, runtime: str, n_threads: int) -> Runner:
    """Load the network of `source`, once per process.

    Parameters
    ----------
    source : Source
        Network, layer and weights.
    runtime : str
        ``"auto"`` or one of `RUNTIMES`.
    n_threads : int
        Number of threads; Keras decides for itself.

    Returns
    -------
    Runner

    Raises
    ------
    ImportError
        The runtime is not installed.
    ValueError
        The runtime is unknown or cannot run the network; see also `network_of`.
    """
    check_runtime(runtime)
    with warnings.catch_warnings():
        # Keras and its backends warn about each other's conversion to NumPy, once per array.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        return Runner(network_of(source), runtime, n_threads)


def check_runtime(runtime: str) -> None:
    """Raise an error if a runtime is unknown (ValueError) or not installed (ImportError)."""
    if runtime not in ("auto", *RUNTIMES):
        raise ValueError(f"no runtime {runtime!r}; there are: auto, {', '.join(RUNTIMES)}")
    for module in [_MODULES.get(runtime), "onnx" if runtime in _MODULES else None]:
        if module is not None and find_spec(module) is None:
            raise ImportError(
                f"runtime={runtime!r} needs the package {module}: {how_to_install(module)}"
            )


def _start(network: EmbeddingNetwork, runtime: str, n_threads: int) -> tuple[str, Run]:
    """Return the name of the runtime that is used and the function that runs the network."""
    if runtime == "keras":
        return "keras", _keras(network, n_threads)
    candidates = [runtime] if runtime != "auto" else list(RUNTIMES[:-1])
    installed = [name for name in candidates if find_spec(_MODULES[name]) is not None]
    if runtime == "auto" and (not installed or find_spec("onnx") is None):
        return "keras", _keras(network, n_threads)
    from hemafeat.networks._embedding.onnx import onnx_bytes

    try:
        data = onnx_bytes(network.model)
    except ValueError:
        if runtime != "auto":
            raise
        # ONNX export does not support custom layers.
        return "keras", _keras(network, n_threads)
    start = {"openvino": _openvino, "onnxruntime": _onnxruntime, "opencv": _opencv}
    return installed[0], start[installed[0]](data, n_threads)


def _channels_first(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)


def _keras(network: EmbeddingNetwork, n_threads: int) -> Run:
    model = network.model
    # Compilation by XLA takes longer than it saves.
    model.compile(jit_compile=False)
    lock = Lock()

    def run(images: np.ndarray) -> np.ndarray:
        with lock:
            batch = _pad_to_power_of_two(images).astype(np.float32)
            return np.asarray(model.predict_on_batch(batch))[: len(images)]

    return run


def _pad_to_power_of_two(images: np.ndarray) -> np.ndarray:
    """Pad a batch to a power of two, because a backend compiles every length anew."""
    length = 1 << (len(images) - 1).bit_length()
    if length == len(images):
        return images
    return np.concatenate([images, np.zeros((length - len(images), *images.shape[1:]), np.uint8)])


def _onnxruntime(data: bytes, n_threads: int) -> Run:
    onnxruntime: Any = import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(images: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(None, {name: _channels_first(images)})[0])

    return run


def _openvino(data: bytes, n_threads: int) -> Run:
    openvino: Any = import_module("openvino")
    core = openvino.Core()
    # On some processors the default precision is bfloat16.
    settings = {"INFERENCE_NUM_THREADS": n_threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(data), "CPU", settings)
    lock = Lock()
    request = compiled.create_infer_request()

    def run(images: np.ndarray) -> np.ndarray:
        with lock:
            return np.array(request.infer([_channels_first(images)])[0])

    return run


def _opencv(data: bytes, n_threads: int) -> Run:
    import cv2

    net = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
    lock = Lock()

    def run(images: np.ndarray) -> np.ndarray:
        with lock:
            # OpenCV would plan anew for each new length of a batch.
            vectors: list[Any] = []
            for image in _channels_first(images):
                net.setInput(image[None])
                vectors.append(net.forward().copy())
            return np.concatenate(vectors)

    return run
