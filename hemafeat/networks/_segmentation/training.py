"""Train a network to outline cells: schedule, early stopping, checkpoints, curves."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from hemafeat.networks._keras import need_keras
from hemafeat.networks._onnx import export_onnx
from hemafeat.networks._saved import load_network
from hemafeat.networks._segmentation.fcn import fcn8s
from hemafeat.networks._segmentation.loss import pixel_counts, segmentation_loss
from hemafeat.networks._segmentation.samples import SegmentationSamples
from hemafeat.networks._segmentation.unet import OUTPUTS, unet
from hemafeat.segment import UNET_RADIUS, UNET_SIDE, UNET_WEIGHTS

if TYPE_CHECKING:
    import pandas as pd

STATE, CHECKPOINT, BEST = "state.json", "checkpoint-{epoch:04d}.keras", "network.keras"
HISTORY, CURVES, EXPORTED = "history.csv", "curves.png", "network.onnx"

SHIPPED = UNET_WEIGHTS.with_suffix(".keras")

NETWORKS: dict[str, Callable[[int], Any]] = {
    "unet": lambda random_state: unet(random_state=random_state),
    "fcn8s": lambda random_state: fcn8s(len(OUTPUTS), side=None, random_state=random_state),
}
"""What can be trained by name, from a seed."""


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
) -> pd.DataFrame:
    """Train a network that outlines cells on drawn cells and on any image table with masks.

    Parameters
    ----------
    images : DataFrame, optional
        Image table; rows without a mask are left out. Drawn fields only when not given.
    out : path
        Folder for ``network.keras`` (the weights of the best epoch), ``network.onnx`` (the same
        for `segment.unet`), ``history.csv``, ``curves.png`` and the checkpoint. A training that
        was cut off is taken up where the last full epoch ended; one that is done is not run again.
    network : {"unet", "fcn8s"} or callable
        What is trained: `unet`; `fcn8s`, of the French report, which needs an accelerator; or a
        function that makes a Keras model from a seed. The model takes (n, H, W, 3) densities and
        gives logits as `unet` does, for every height and width that is a multiple of 32.
    start : {"shipped"} or path, optional
        Where to begin: a ``network.keras`` of an earlier training of the same network, or
        ``"shipped"``, the U-Net that comes with the package. From random weights by default.
    validation : DataFrame, optional
        Image table the training is stopped by. Other drawn fields than those learned from are used
        beside it, in the share `drawn`.
    drawn : float, optional
        Share of drawn samples; 0.5 with a table and 1 without by default.
    epochs, steps, batch_size : int
        Most epochs, steps in each, samples in each step.
    n_validation : int
        Samples on which every epoch is judged, the same each time, not augmented.
    patience : int
        Epochs without a lower validation loss after which training stops.
    learning_rate, weight_decay : float
        Of the optimiser, AdamW. The rate rises over the first epoch and falls to a hundredth as a
        cosine over all of them.
    side : int
        Height and width of samples.
    random_state : int
        Seed of weights and samples.
    n_jobs : int
        Threads that make samples while the network learns.
    max_minutes : float, optional
        Stop after the epoch in which so many minutes have passed; called again, it goes on.
    progress : bool, optional
        Show a progress bar; default is when a person is watching the terminal.

    Returns
    -------
    DataFrame
        Per epoch ``epoch``, ``loss``, ``val_loss``, ``val_dice_cell``, ``val_dice_nucleus`` (over
        all pixels of the validation samples), ``learning_rate`` and ``seconds``.

    Raises
    ------
    ImportError
        Keras or onnx is not installed.
    ValueError
        An unknown network, a file to start from that is of another one, `out` holds a training of
        other settings, or there is nothing to learn from.
    FileNotFoundError
        There is no file to start from.
    """
    keras = need_keras("training a network")
    if isinstance(network, str) and network not in NETWORKS:
        raise ValueError(f"no network {network!r}; there are: {', '.join(NETWORKS)}")
    make = NETWORKS[network] if isinstance(network, str) else network
    from tqdm import tqdm

    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    learned = SegmentationSamples(images, drawn=drawn, side=side, random_state=random_state)
    judged = SegmentationSamples(
        validation,
        drawn=1.0 if validation is None else min(learned.drawn, 0.5),
        augment=False,
        side=side,
        random_state=random_state + 1,
    )
    settings = {
        "images": 0 if images is None else len(images),
        "drawn": learned.drawn,
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
    }
    state = _state(folder, settings)
    history: list[dict[str, float]] = state["history"]
    if state["done"]:
        return _table(history)
    if history:
        # The optimiser's state is in it too.
        model = keras.models.load_model(
            folder / state["checkpoint"], custom_objects={"packed_loss": packed_loss}
        )
    else:
        model = make(random_state)
        if start is not None:
            _begin_from(model, SHIPPED if start == "shipped" else Path(start))
        model.compile(
            optimizer=keras.optimizers.AdamW(
                learning_rate=learning_rate, weight_decay=weight_decay, clipnorm=1.0
            ),
            loss=packed_loss,
            jit_compile=False,
        )
    hidden = not (sys.stderr.isatty() if progress is None else progress)
    begun = time.monotonic()
    with (
        ThreadPoolExecutor(max(1, n_jobs)) as pool,
        tqdm(total=epochs * steps, initial=len(history) * steps, disable=hidden) as bar,
    ):
        ready = _Ahead(learned, batch_size, len(history) * steps, pool, max(2, 2 * n_jobs))
        held = judged.batch(range(n_validation), pool)
        for epoch in range(len(history), epochs):
            at, losses = time.monotonic(), []
            for step in range(epoch * steps, (epoch + 1) * steps):
                model.optimizer.learning_rate = _rate(learning_rate, step, steps, epochs)
                density, truth = ready.next()
                losses.append(float(model.train_on_batch(density, packed(truth))))
                bar.update()
            row = {
                "epoch": float(epoch),
                "loss": float(np.mean(losses)),
                **_judge(keras, model, held, batch_size),
                "learning_rate": _rate(learning_rate, (epoch + 1) * steps - 1, steps, epochs),
                "seconds": time.monotonic() - at,
            }
            history.append(row)
            bar.set_postfix({name: f"{row[name]:.3f}" for name in ("loss", "val_loss")})
            _keep(make, folder, model, state, patience, epochs)
            if state["done"] or (max_minutes and time.monotonic() - begun > 60 * max_minutes):
                break
        ready.stop()
    best = keras.models.load_model(folder / BEST)
    export_onnx(best, folder / EXPORTED, notes={"side": str(side), "radius": str(UNET_RADIUS)})
    return _table(history)


def _begin_from(model: Any, path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of weights to start from")
    given = load_network(path).get_weights()
    if [one.shape for one in given] != [one.shape for one in model.get_weights()]:
        raise ValueError(f"{path} holds another network than {model.name}")
    model.set_weights(given)


class _Ahead:
    """Batches in order, made by threads a few steps ahead."""

    def __init__(
        self,
        samples: SegmentationSamples,
        batch_size: int,
        step: int,
        pool: ThreadPoolExecutor,
        n: int,
    ) -> None:
        self.samples, self.batch_size, self.step, self.pool = samples, batch_size, step, pool
        self.waiting: list[Future[Any]] = []
        for _ in range(n):
            self._ask()

    def _ask(self) -> None:
        first = self.step * self.batch_size
        numbers = range(first, first + self.batch_size)
        self.waiting.append(self.pool.submit(self.samples.batch, numbers))
        self.step += 1

    def next(self) -> Any:
        given = self.waiting.pop(0).result()
        self._ask()
        return given

    def stop(self) -> None:
        for one in self.waiting:
            one.cancel()


def packed(truth: dict[str, np.ndarray]) -> np.ndarray:
    """Classes and depth as two channels of one target: what Keras compiles takes one."""
    return np.stack([truth["classes"].astype(np.float32), truth["depth"]], axis=-1)


def packed_loss(true: Any, logits: Any) -> Any:
    """`segmentation_loss` of a target from `packed`."""
    return segmentation_loss(logits, true[..., 0], true[..., 1])


def _judge(keras: Any, model: Any, held: Any, batch_size: int) -> dict[str, float]:
    density, truth = held
    lost, counts = [], np.zeros((2, 2))
    for first in range(0, len(density), batch_size):
        part = slice(first, first + batch_size)
        logits = model.predict_on_batch(density[part])
        each = segmentation_loss(logits, truth["classes"][part], truth["depth"][part])
        lost.append(keras.ops.convert_to_numpy(each))
        counts += pixel_counts(logits, truth["classes"][part])
    dice = counts[:, 0] / np.maximum(counts[:, 1], 1)
    return {
        "val_loss": float(np.concatenate(lost).mean()),
        "val_dice_cell": float(dice[0]),
        "val_dice_nucleus": float(dice[1]),
    }


def _rate(highest: float, step: int, steps: int, epochs: int) -> float:
    if step < steps:
        return highest * (step + 1) / steps
    part = (step - steps) / max(1, (epochs - 1) * steps)
    return highest * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * part)))


def _state(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    file = folder / STATE
    if not file.exists():
        return {"settings": settings, "history": [], "checkpoint": "", "done": False}
    state: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    for name, value in settings.items():
        if state["settings"].get(name) != value:
            raise ValueError(
                f"{folder} holds a training with {name} {state['settings'].get(name)!r}, not "
                f"{value!r}; name another folder or remove this one"
            )
    return state


def _keep(
    make: Callable[[int], Any],
    folder: Path,
    model: Any,
    state: dict[str, Any],
    patience: int,
    epochs: int,
) -> None:
    """The end of an epoch on disk; whatever moment it is killed at, one whole state is there."""
    history = state["history"]
    best, state["done"] = _judged([row["val_loss"] for row in history], patience, epochs)
    state["checkpoint"] = CHECKPOINT.format(epoch=len(history))
    model.save(folder / state["checkpoint"])
    if best == len(history) - 1:
        # Not compiled, it can be read without any name of this module.
        bare = make(0)
        bare.set_weights(model.get_weights())
        aside = folder / f".{uuid4().hex[:8]}.keras"
        bare.save(aside)
        aside.replace(folder / BEST)
    _table(history).to_csv(folder / HISTORY, index=False)
    _curves(history, folder / CURVES)
    aside = folder / f".{STATE}.part"
    aside.write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
    aside.replace(folder / STATE)
    # Those of a training killed on its way here are among them.
    for file in folder.glob(CHECKPOINT.format(epoch=0).replace("0000", "*")):
        if file.name != state["checkpoint"]:
            file.unlink()


def _judged(losses: list[float], patience: int, epochs: int) -> tuple[int, bool]:
    """The best epoch so far, from 0, and whether there are to be no more."""
    best = int(np.argmin(losses))
    return best, len(losses) >= epochs or len(losses) - 1 - best >= patience


def _table(history: list[dict[str, float]]) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(history)
    return table.astype({"epoch": int}) if len(table) else table


def _curves(history: list[dict[str, float]], path: Path) -> None:
    """Learning curves as a picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] + 1 for row in history]
    for name, label in (("loss", "learned from"), ("val_loss", "held back")):
        left.plot(epochs, [row[name] for row in history], label=label)
    left.set(xlabel="epoch", ylabel="loss", yscale="log")
    for name, label in (("val_dice_cell", "cell"), ("val_dice_nucleus", "nucleus")):
        right.plot(epochs, [1.0 - row[name] for row in history], label=label)
    right.set(xlabel="epoch", ylabel="1 - Dice, held back", yscale="log")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=110)
