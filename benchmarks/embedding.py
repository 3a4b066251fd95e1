"""Compare the speed of the runtimes of embeddings, in images per second.

    python benchmarks/embedding.py --out DIR
    python benchmarks/embedding.py --backbones MobileNet InceptionV3 --threads 1 --batch 8

Each network gets random weights, on which its speed does not depend, and the same uint8 images. The
runtimes take turns for several rounds, so that other load on the machine affects all of them; the
best round counts. `keras predict` is ``model.predict``, `keras` the compiled call that hemafeat
uses; the others run the ONNX file that hemafeat writes. `why` is the reason why a runtime cannot be
used, and `apart` the largest difference to Keras, as a share of the largest number.

Reading, resizing and the cache are not included. Written to --out: `embedding.csv`.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def load_runtimes(
    network: Any, n_threads: int
) -> dict[str, Callable[[np.ndarray], np.ndarray] | str]:
    """Return functions that run the network, or reasons why they cannot, by name; Keras first."""
    from hemafeat.networks._embedding import runtimes as _runtimes

    def predict(images: np.ndarray) -> np.ndarray:
        return np.asarray(
            network.model.predict(images.astype(np.float32), batch_size=len(images), verbose=0)
        )

    runs: dict[str, Callable[[np.ndarray], np.ndarray] | str] = {}
    for name in reversed(_runtimes.RUNTIMES):
        try:
            _runtimes.check_runtime(name)
            runs[name] = _runtimes.Runner(network, name, n_threads)
        except (ImportError, ValueError) as error:
            runs[name] = str(error)
    runs["keras predict"] = predict
    return runs


def measure(
    backbone: str, size: int | None, batch: int, rounds: int, n_threads: int
) -> list[dict[str, object]]:
    """Return one row per runtime."""
    from hemafeat.networks._embedding.network import network_of, source_of

    network = network_of(source_of(backbone, None, None, size, 0))
    shape = (batch, network.side, network.side, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    runs = load_runtimes(network, n_threads)
    expected: np.ndarray | None = None
    rows: dict[str, dict[str, object]] = {}
    for name, run in runs.items():
        rows[name] = {"backbone": backbone, "side": network.side, "way": name, "batch": batch}
        rows[name] |= {
            "threads": n_threads,
            "images_per_s": np.nan,
            "apart": np.nan,
            "why": None,
        }
        if isinstance(run, str):
            rows[name]["why"] = run
            continue
        vectors = run(pixels)
        expected = vectors if expected is None else expected
        rows[name]["apart"] = float(np.abs(vectors - expected).max() / np.abs(expected).max())
    best: dict[str, float] = {}
    for _ in range(rounds):
        for name, run in runs.items():
            if not isinstance(run, str):
                start = time.perf_counter()
                run(pixels)
                best[name] = min(best.get(name, np.inf), time.perf_counter() - start)
    for name, seconds in best.items():
        rows[name]["images_per_s"] = batch / seconds
    return list(rows.values())


def main(argv: list[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbones", nargs="+", default=["MobileNet", "InceptionV3"])
    parser.add_argument("--size", type=int, help="side of the images; default: that of the network")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="not for OpenCV and Keras")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(argv)
    if importlib.util.find_spec("keras") is None:
        print("Keras is not installed; it comes with the extra deep")
        return
    import cv2

    n_threads = cv2.getNumThreads()
    cv2.setNumThreads(args.threads)
    try:
        rows = [
            row
            for name in args.backbones
            for row in measure(name, args.size, args.batch, args.rounds, args.threads)
        ]
    finally:
        cv2.setNumThreads(n_threads)
    table = pd.DataFrame(rows)
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{os.cpu_count()} processors{load}")
    print(table.to_string(index=False, float_format="{:.3g}".format))
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(args.out / "embedding.csv", index=False)


if __name__ == "__main__":
    main()
