"""Training of segmentation networks: schedule, early stopping, checkpoints and curves."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from hemafeat._files import write_whole
from hemafeat._machine import progress_bar
from hemafeat.networks._keras import need_keras
from hemafeat.networks._onnx import export_onnx
from hemafeat.networks._saved import load_network
from hemafeat.networks._segmentation.fcn import fcn8s
from hemafeat.networks._segmentation.loss import pixel_counts, segmentation_loss
from hemafeat.networks._segmentation.samples import SegmentationSamples
from hemafeat.networks._segmentation.unet import OUTPUTS, unet
from hemafeat.segment import UNET_SIDE, UNET_UM_PER_PX, UNET_WEIGHTS

if TYPE_CHECKING:
    import pandas as pd

STATE, CHECKPOINT, BEST = "state.json", "checkpoint-{epoch:04d}.keras", "network.keras"
HISTORY, CURVES, EXPORTED = "history.csv", "curves.png", "network.onnx"

SHIPPED = UNET_WEIGHTS.with_suffix(".keras")

NETWORKS: dict[str, Callable[[int], Any]] = {
    "unet": lambda random_state: unet(random_state=random_state),
    "fcn8s": lambda random_state: fcn8s(len(OUTPUTS), side=None, random_state=random_state),
}
"""Functions that build a network from a seed, by name."""


def train_segmenter(
    images: pd.DataFrame | None = None,
    *,
    out: str | os.PathLike[str],
    network: str | Callable[[int], Any] = "unet",
    start: str | os.PathLike[str] | None = None,
    validation: pd.DataFrame | None = None,
    drawn: float | None = None,
    epochs: int = 60,
    steps: int = 100,
    batch_size: int = 8,
    n_validation: int = 64,
    patience: int = 15,
    learning_rate: float = 2e-3,
    weight_decay: float = 1e-4,
    side: int = UNET_SIDE,
    random_state: int = 0,
    n_jobs: int = 1,
    max_minutes: float | None = None,
    progress: bool | None = None,
    mask_kind: str = "auto",
) -> pd.DataFrame:
    """Train a segmentation network on drawn images and on tables with masks.

    An interrupted training resumes after the last complete epoch. A finished one returns at once.

    Parameters
    ----------
    images : DataFrame, optional
        Image table; rows without a mask are ignored. By default all samples are drawn.
    out : path
        Folder for ``network.keras`` (the weights of the best epoch), ``network.onnx`` (the same
        for `segment.unet`), ``history.csv``, ``curves.png`` and the checkpoint.
    network : {"unet", "fcn8s"} or callable
        Network to train: `unet`; `fcn8s`, which needs an accelerator; or a function from a seed to
        a Keras model. The model takes (n, H, W, 3) densities and returns logits as `unet` does, for
        every height and width that is a multiple of 32.
    start : {"shipped"} or path, optional
        Weights to start from: a ``network.keras`` of the same network, whose last layer may differ,
        or ``"shipped"``, the U-Net that is included in the package. By default they are random.
    validation : DataFrame, optional
        Image table for early stopping. Drawn fields, other than those for training, are used as
        well, in the share `drawn`. By default only drawn fields are used.
    drawn : float, optional
        Share of drawn samples, 0 to 1. By default 0.5 with a table and 1 without.
    epochs, steps, batch_size : int
        Largest number of epochs, number of steps per epoch, number of samples per step.
    n_validation : int
        Number of samples with which every epoch is validated. They are the same each time and not
        augmented.
    patience : int
        Number of epochs without a lower validation loss after which training stops.
    learning_rate, weight_decay : float
        Parameters of the optimiser, AdamW. The rate rises over the first epoch and then falls to a
        hundredth along a cosine.
    side : int
        Height and width of samples, in px.
    random_state : int
        Seed of weights and samples.
    n_jobs : int
        Number of threads that make samples during training.
    max_minutes : float, optional
        Stop after the epoch in which this time has passed. Another call continues. By default there
        is no limit.
    progress : bool, optional
        Show a progress bar. By default it is shown on a terminal.
    mask_kind : {"auto", "trimap", "labels", "cells", "nuclei"}
        Meaning of the values of the masks, see `hemafeat.segment.read_masks`. By default it is
        inferred.

    Returns
    -------
    DataFrame
        For each epoch ``epoch``, ``loss``, ``val_loss``, ``val_dice_cell``, ``val_dice_nucleus``
        (over all pixels of the validation samples), ``learning_rate`` and ``seconds``.

    Raises
    ------
    ImportError
        Keras or onnx is not installed.
    ValueError
        The network is unknown, `start` holds another network, `out` holds a training with other
        parameters, or the table has no masks.
    FileNotFoundError
        The file `start` does not exist.

    Examples
    --------
    >>> from hemafeat import networks
    >>> history = networks.train_segmenter(
    ...     out="unet",
    ...     network=lambda seed: networks.unet((4, 8), random_state=seed),
    ...     epochs=1,
    ...     steps=1,
    ...     batch_size=1,
    ...     n_validation=1,
    ...     side=32,
    ... )
    >>> len(history), "val_dice_cell" in history
    (1, True)
    """
    keras = need_keras("training a network")
    if isinstance(network, str) and network not in NETWORKS:
        raise ValueError(f"no network {network!r}; there are: {', '.join(NETWORKS)}")
    make = NETWORKS[network] if isinstance(network, str) else network
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    training_samples = SegmentationSamples(
        images, drawn=drawn, side=side, random_state=random_state, mask_kind=mask_kind
    )
    validation_samples = SegmentationSamples(
        validation,
        drawn=1.0 if validation is None else min(training_samples.drawn, 0.5),
        augment=False,
        side=side,
        random_state=random_state + 1,
        mask_kind=mask_kind,
    )
    settings = {
        "images": 0 if images is None else len(images),
        "drawn": training_samples.drawn,
        "epochs": epochs,
        "steps": steps,
        "batch_size": batch_size,
        "n_validation": n_validation,
        "patience": patience,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "network": network if isinstance(network, str) else "a function",
        "side": side,
        "start": None if start is None else str(start),
        "random_state": random_state,
        # Trainings of earlier versions have no such key.
        **({} if mask_kind == "auto" else {"mask_kind": mask_kind}),
    }
    state = _read_state(folder, settings)
    history: list[dict[str, float]] = state["history"]
    if state["done"]:
        return _table(history)
    if history:
        # The checkpoint includes the state of the optimiser.
        model = keras.models.load_model(
            folder / state["checkpoint"], custom_objects={"packed_loss": packed_loss}
        )
    else:
        model = make(random_state)
        if start is not None:
            _load_weights(model, SHIPPED if start == "shipped" else Path(start))
        model.compile(
            optimizer=keras.optimizers.AdamW(
                learning_rate=learning_rate, weight_decay=weight_decay, clipnorm=1.0
            ),
            loss=packed_loss,
            jit_compile=False,
        )
    start_time = time.monotonic()
    with (
        ThreadPoolExecutor(max(1, n_jobs)) as pool,
        progress_bar(
            epochs * steps, "train", progress=progress, unit="step", initial=len(history) * steps
        ) as bar,
    ):
        batches = _Prefetch(
            training_samples, batch_size, len(history) * steps, pool, max(2, 2 * n_jobs)
        )
        validation_batch = validation_samples.batch(range(n_validation), pool)
        for epoch in range(len(history), epochs):
            epoch_start, losses = time.monotonic(), []
            for step in range(epoch * steps, (epoch + 1) * steps):
                model.optimizer.learning_rate = _rate(learning_rate, step, steps, epochs)
                density, truth = batches.next()
                losses.append(float(model.train_on_batch(density, pack(truth))))
                bar.update()
            row = {
                "epoch": float(epoch),
                "loss": float(np.mean(losses)),
                **_validate(keras, model, validation_batch, batch_size),
                "learning_rate": _rate(learning_rate, (epoch + 1) * steps - 1, steps, epochs),
                "seconds": time.monotonic() - epoch_start,
            }
            history.append(row)
            bar.set_postfix({name: f"{row[name]:.3f}" for name in ("loss", "val_loss")})
            _save_epoch(make, folder, model, state, patience, epochs)
            if state["done"] or (max_minutes and time.monotonic() - start_time > 60 * max_minutes):
                break
        batches.stop()
    best = keras.models.load_model(folder / BEST)
    notes = {"side": str(side), "um_per_px": str(UNET_UM_PER_PX)}
    export_onnx(best, folder / EXPORTED, blocks=True, notes=notes)
    return _table(history)


def _load_weights(model: Any, path: Path) -> None:
    """Copy the weights of a saved network of the same shape, but for its last layer.

    The last layer is copied as well if it has as many outputs.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: the file of weights to start from does not exist")
    pairs = [
        (layer, other)
        for layer, other in zip(
            *(
                [layer for layer in network.layers if layer.weights]
                for network in (model, load_network(path))
            ),
            strict=False,
        )
    ]
    n_layers = sum(bool(layer.weights) for layer in model.layers)
    same = [
        [w.shape for w in layer.weights] == [w.shape for w in other.weights]
        for layer, other in pairs
    ]
    if len(pairs) != n_layers or not all(same[:-1]):
        raise ValueError(f"{path} holds a network other than {model.name}")
    for (layer, other), is_same in zip(pairs, same, strict=True):
        if is_same:
            layer.set_weights(other.get_weights())


class _Prefetch:
    """Make batches in threads a few steps ahead, and return them in order."""

    def __init__(
        self,
        samples: SegmentationSamples,
        batch_size: int,
        step: int,
        pool: ThreadPoolExecutor,
        n: int,
    ) -> None:
        self.samples, self.batch_size, self.step, self.pool = samples, batch_size, step, pool
        self.futures: list[Future[Any]] = []
        for _ in range(n):
            self._submit()

    def _submit(self) -> None:
        first = self.step * self.batch_size
        numbers = range(first, first + self.batch_size)
        self.futures.append(self.pool.submit(self.samples.batch, numbers))
        self.step += 1

    def next(self) -> Any:
        """Return the next batch."""
        batch = self.futures.pop(0).result()
        self._submit()
        return batch

    def stop(self) -> None:
        """Cancel batches that are not needed."""
        for future in self.futures:
            future.cancel()


def pack(truth: dict[str, np.ndarray]) -> np.ndarray:
    """Stack classes and depth as two channels, because Keras passes one target to a loss."""
    return np.stack([truth["classes"].astype(np.float32), truth["depth"]], axis=-1)


def packed_loss(true: Any, logits: Any) -> Any:
    """Compute `segmentation_loss` with a target of `pack`."""
    return segmentation_loss(logits, true[..., 0], true[..., 1])


def _validate(keras: Any, model: Any, batch: Any, batch_size: int) -> dict[str, float]:
    """Compute loss and Dice of the validation samples."""
    density, truth = batch
    losses, counts = [], np.zeros((2, 2))
    for first in range(0, len(density), batch_size):
        part = slice(first, first + batch_size)
        logits = model.predict_on_batch(density[part])
        loss = segmentation_loss(logits, truth["classes"][part], truth["depth"][part])
        losses.append(keras.ops.convert_to_numpy(loss))
        counts += pixel_counts(logits, truth["classes"][part])
    dice = counts[:, 0] / np.maximum(counts[:, 1], 1)
    return {
        "val_loss": float(np.concatenate(losses).mean()),
        "val_dice_cell": float(dice[0]),
        "val_dice_nucleus": float(dice[1]),
    }


def _rate(highest: float, step: int, steps: int, epochs: int) -> float:
    """Return the learning rate of a step."""
    if step < steps:
        return highest * (step + 1) / steps
    part = (step - steps) / max(1, (epochs - 1) * steps)
    return highest * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * part)))


def _read_state(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Read the state of an earlier training with the same settings, or return a new one."""
    file = folder / STATE
    if not file.exists():
        return {"settings": settings, "history": [], "checkpoint": "", "done": False}
    state: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    for name, value in settings.items():
        if state["settings"].get(name) != value:
            raise ValueError(
                f"{folder} holds a training with {name} {state['settings'].get(name)!r}, not "
                f"{value!r}; use another folder or remove this one"
            )
    return state


def _save_epoch(
    make: Callable[[int], Any],
    folder: Path,
    model: Any,
    state: dict[str, Any],
    patience: int,
    epochs: int,
) -> None:
    """Save an epoch so that a complete state is on disk at any moment of an interruption."""
    history = state["history"]
    best, state["done"] = _best_epoch([row["val_loss"] for row in history], patience, epochs)
    state["checkpoint"] = CHECKPOINT.format(epoch=len(history))
    model.save(folder / state["checkpoint"])
    if best == len(history) - 1:
        # A network that is not compiled can be read without the loss of this module.
        uncompiled = make(0)
        uncompiled.set_weights(model.get_weights())
        part = folder / f".{uuid4().hex[:8]}.keras"
        uncompiled.save(part)
        part.replace(folder / BEST)
    _table(history).to_csv(folder / HISTORY, index=False)
    _curves(history, folder / CURVES)
    text = json.dumps(state, indent=1) + "\n"
    write_whole(folder / STATE, lambda part: part.write_text(text, encoding="utf-8"))
    # An interrupted training may have left further checkpoints.
    for file in folder.glob(CHECKPOINT.format(epoch=0).replace("0000", "*")):
        if file.name != state["checkpoint"]:
            file.unlink()


def _best_epoch(losses: list[float], patience: int, epochs: int) -> tuple[int, bool]:
    """Return the index of the best epoch, and whether training is finished."""
    best = int(np.argmin(losses))
    return best, len(losses) >= epochs or len(losses) - 1 - best >= patience


def _table(history: list[dict[str, float]]) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(history)
    return table.astype({"epoch": int}) if len(table) else table


def _curves(history: list[dict[str, float]], path: Path) -> None:
    """Save a figure of the learning curves."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] + 1 for row in history]
    for name, label in (("loss", "training"), ("val_loss", "held back")):
        left.plot(epochs, [row[name] for row in history], label=label)
    left.set(xlabel="epoch", ylabel="loss", yscale="log")
    for name, label in (("val_dice_cell", "cell"), ("val_dice_nucleus", "nucleus")):
        right.plot(epochs, [1.0 - row[name] for row in history], label=label)
    right.set(xlabel="epoch", ylabel="1 - Dice, held back", yscale="log")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=110)
