"""Train the network of `hemafeat.segment.unet` on drawn fields and on real cells.

    python benchmarks/teaching_masks.py --data DIR --out MASKS
    python benchmarks/train_segmenter.py --data DIR --teach MASKS --out DIR [--minutes N]
        [--epochs N] [--network unet|fcn8s] [--start shipped|FILE]

DIR contains the data sets that `teaching_masks.py` reads and, for scoring only, `segwbc_d1`, which
is under the GPL and never used for training. The same command runs on a CPU and on a GPU, and
resumes an interrupted training. A part of each data set is held back for scoring; the loss on
another part decides when training stops.

The output folder receives the files of `hemafeat.networks.train_segmenter` (`network.onnx` among
them), `samples.png`, a sheet of training samples, `scores.csv`, which compares `contours`, the
network and the best of both, also on cells touched by red cells, on crowded drawn fields and on
fields without white cells, and `card.md`, the model card. With --epochs 0 the network that --start
names is only scored.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from hemafeat import datasets, networks, segment
from hemafeat.segment import UNET_WEIGHTS, Masks

SHARES = {"bccd": 0.30, "chula_rbc": 0.20, "draaslan": 0.12, "pbc": 0.38}
"""Share of each source among the samples that are not drawn."""


def teaching_table(folder: Path, part: str) -> pd.DataFrame:
    """Read a part of the table of `teaching_masks.py`."""
    table = pd.read_csv(folder / "teaching.csv")
    return table[table["part"].eq(part)].reset_index(drop=True)


def balanced(table: pd.DataFrame) -> pd.DataFrame:
    """Repeat the rows of each source so that they have the shares of `SHARES`."""
    counts = table["source"].value_counts()
    total = max(n / SHARES[source] for source, n in counts.items())
    times = {source: max(1, round(SHARES[source] * total / n)) for source, n in counts.items()}
    return table.loc[table.index.repeat(table["source"].map(times))].reset_index(drop=True)


def crowded(background: str, n: int) -> list[datasets.DrawnField]:
    """Draw fields in which every white cell but the first one of a group touches another."""
    white = [kind for kind in datasets.KINDS if kind != "platelet"]
    fields = []
    for i in range(n):
        rng = np.random.default_rng([3, i])
        fields.append(
            datasets.draw_field(
                [str(kind) for kind in rng.choice(white, size=3)],
                stain=datasets.Stain.draw(rng, background),
                neighbours=0.9,
                touching=1.0,
                random_state=rng,
            )
        )
    return fields


def any_fields(n_cells: int, n: int) -> list[datasets.DrawnField]:
    """Draw fields as any laboratory may have taken them, with a clump of small blasts or none."""
    return [
        datasets.draw_any_field(
            ["lymphoblast"] * n_cells,
            um_per_px=0.63 if n_cells else 0.15,
            clump=n_cells > 0,
            spoiled=False,
            random_state=np.random.default_rng([4, i]),
        )
        for i in range(n)
    ]


def sets_to_score(
    data: Path, parts: dict[str, pd.DataFrame], n_drawn: int
) -> Iterator[tuple[str, pd.DataFrame, object]]:
    """Yield name, images and truth of what was not learned from."""
    for name, part in (("stopped by", "stop"), ("held back", "held")):
        for source, group in parts[part].groupby("source"):
            yield f"{source} {name}", group[["image", "mask"]], "given"
    if (data / "segwbc_d1").is_dir():
        yield "segwbc_d1", datasets.segwbc(data / "segwbc_d1"), "given"
    if not n_drawn:
        return
    drawn = {
        f"crowded {background}": crowded(background, n_drawn)
        for background in datasets.BACKGROUNDS
        if background != "black"
    }
    drawn["drawn, no white cell"] = any_fields(0, n_drawn)
    drawn["drawn, clumps of 25"] = any_fields(25, n_drawn)
    for name, fields in drawn.items():
        truth = [Masks(field.cell, field.nucleus) for field in fields]
        yield name, pd.DataFrame({"image": [field.image for field in fields]}), truth


def runtimes(weights: Path, repeats: int = 30) -> pd.DataFrame:
    """Measure the milliseconds of one thread for one square, for each installed runtime."""
    square = np.random.default_rng(0).random((1, 3, 192, 192), np.float32)
    net = cv2.dnn.readNetFromONNX(str(weights))

    def by_opencv() -> np.ndarray:
        net.setInput(square)
        return net.forward()

    runs = {"OpenCV": by_opencv}
    if find_spec("onnxruntime"):
        ort = import_module("onnxruntime")
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(str(weights), options)
        runs["ONNX Runtime"] = lambda: session.run(None, {"density": square})[0]
    expected = by_opencv()
    rows = []
    for name, run in runs.items():
        difference = float(np.abs(run() - expected).max())
        durations = []
        for _ in range(repeats):
            start = time.thread_time()
            run()
            durations.append(time.thread_time() - start)
        rows.append({"runtime": name, "ms": 1000 * min(durations), "differs_by": difference})
    return pd.DataFrame(rows)


def describe_training(
    args: argparse.Namespace, sources: list[str], history: pd.DataFrame
) -> list[str]:
    """Write the part of the model card on the training data, in Markdown."""
    best = history.loc[history["val_loss"].idxmin()]
    n_samples = len(history) * args.steps * args.batch
    start = f", starting from {Path(args.start).name}" if args.start else ""
    return [
        f"Trained on {n_samples:,} samples of {args.side} x {args.side} pixels{start}, "
        f"{args.drawn:.0%} of them drawn, the others from:",
        "",
        *[f"- {source}" for source in sources],
        "",
        f"The weights are those after epoch {int(best['epoch']) + 1} of {len(history)}, with the "
        f"lowest loss on the validation fields (Dice over all their pixels: cell "
        f"{best['val_dice_cell']:.3f}, nucleus {best['val_dice_nucleus']:.3f}).",
        "",
    ]


def describe_scores(scores: pd.DataFrame, timing: pd.DataFrame) -> list[str]:
    """Write the part of the model card on the scores, in Markdown."""
    lines = [
        "| images | segmenter | cells | found | spurious | nucleus | cell | ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in scores.itertuples():
        lines.append(
            f"| {row.set} | {row.segmenter.partition(':')[0]} | {row.cells} | {row.found} | "
            f"{row.spurious} | {row.nucleus_mean:.3f} ({row.nucleus_p5:.3f}) | "
            f"{row.cell_mean:.3f} ({row.cell_p5:.3f}) | {row.cpu_ms:.1f} |".replace("nan (nan)", "")
        )
    speeds = ", ".join(f"{row.runtime} {row.ms:.1f} ms" for row in timing.itertuples())
    return [
        *lines,
        "",
        "Mean Dice (5th percentile) over the cells found, without filtering by quality; spurious: "
        "outlines that are no cell found; milliseconds of processor time per image. One square of "
        f"192 x 192 pixels takes: {speeds}.",
        "",
    ]


def train(
    args: argparse.Namespace, training: pd.DataFrame, validation: pd.DataFrame, sources: list[str]
) -> list[str]:
    """Train the network; return the part of the model card on its training."""
    out = Path(args.out)
    samples = networks.SegmentationSamples(
        training, drawn=args.drawn, side=args.side, random_state=args.seed
    )
    sheet = cv2.cvtColor(networks.sample_sheet(samples, 32), cv2.COLOR_RGB2BGR)
    (out / "samples.png").write_bytes(cv2.imencode(".png", sheet)[1].tobytes())
    history = networks.train_segmenter(
        training,
        out=out,
        network=args.network,
        start=args.start,
        validation=validation,
        drawn=args.drawn,
        epochs=args.epochs,
        steps=args.steps,
        batch_size=args.batch,
        n_validation=128,
        patience=args.patience,
        learning_rate=args.learning_rate,
        side=args.side,
        n_jobs=args.jobs,
        max_minutes=args.minutes,
        random_state=args.seed,
    )
    print(history.tail(5).round(4).to_string(index=False))
    return describe_training(args, sources, history)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of data sets of real cells")
    parser.add_argument("--out", required=True, help="folder for the results of the training")
    parser.add_argument("--teach", required=True, help="folder that teaching_masks.py has written")
    parser.add_argument("--network", choices=["unet", "fcn8s"], default="unet")
    parser.add_argument(
        "--start", help="initial weights: shipped, or network.keras of an earlier training"
    )
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument(
        "--minutes", type=float, help="stop after this many minutes; run again to resume"
    )
    parser.add_argument("--epochs", type=int, default=150, help="0: only score --start")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--side", type=int, default=128, help="height and width of samples")
    parser.add_argument("--patience", type=int, default=30)
    parser.add_argument(
        "--drawn", type=float, default=0.4, help="share of drawn samples (default: 0.4)"
    )
    parser.add_argument("--jobs", type=int, default=1, help="number of threads that make samples")
    parser.add_argument(
        "--crowded", type=int, default=20, help="number of drawn fields of each kind; 0 for none"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    if not args.epochs and not args.start:
        parser.error("--epochs 0 scores the network that --start names: it needs one")
    cv2.setNumThreads(1)
    data, out = Path(args.data), Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    parts = {part: teaching_table(Path(args.teach), part) for part in ("teach", "stop", "held")}
    sources = [
        f"{source}: {len(group)} images, {parts['stop']['source'].eq(source).sum()} more for "
        f"validation, and {parts['held']['source'].eq(source).sum()} held back"
        for source, group in parts["teach"].groupby("source")
    ]
    training = balanced(parts["teach"])
    validation = parts["stop"].sample(frac=1.0, random_state=args.seed)
    print(*sources, sep="\n")
    if args.epochs:
        lines, weights = train(args, training, validation, sources), out / "network.onnx"
    elif args.start == "shipped":
        lines, weights = [], UNET_WEIGHTS
    else:
        lines, weights = [], Path(args.start).with_suffix(".onnx")
    segmenters = ["contours", f"unet:{weights}", f"best:{weights}"]
    summaries = []
    for name, listed, truth in sets_to_score(data, parts, args.crowded):
        found = segment.score_images(listed.assign(dataset=name), truth, segmenters)
        summaries.append(found.summary)
        print(found, end="\n\n", flush=True)
    scores = pd.concat(summaries, ignore_index=True)
    scores.to_csv(out / "scores.csv", index=False)
    timing = runtimes(weights)
    print(timing.round(6).to_string(index=False))
    lines += describe_scores(scores, timing)
    (out / "card.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
