"""Train the network of `hemafeat.segment.unet` on drawn cells and on fields of BCCD.

    python benchmarks/train_segmenter.py --data DIR --out DIR [--more FOLDER] [--minutes N]
        [--epochs N] [--network unet|fcn8s] [--start shipped|FILE]

DIR holds `bccd` (images and masks, both under the MIT licence) and, to be scored on only,
`segwbc_d1`, which is under the GPL and never learned from. The same command runs on a CPU and on a
GPU, and takes up a training that was cut off. Of BCCD, blocks of fields that were photographed one
after the other are held back: by their loss the training is stopped, and they are scored on; the
second half of these blocks has no part in the stopping.

Written to --out: what `hemafeat.networks.train_segmenter` writes (`network.onnx` among it),
`samples.png`, a sheet of what is learned from, and `scores.csv`: contours, the network, and the
best of both, side by side, also on cells that red cells touch and on drawn fields that are crowded;
and `card.md`, the same in words.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from hemafeat import datasets, images, networks, segment
from hemafeat.segment import Masks

BLOCK, OF = 15, 5
"""Fields in a block, and how many blocks there are to one that is held back."""


def split(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """BCCD to learn from, to stop by, and to score on."""
    ordered = table[table["mask"].notna()].sort_values("image", ignore_index=True)
    block = ordered.index // BLOCK
    held = block % OF == OF - 1
    second = (block // OF) % 2 == 1
    return ordered[~held], ordered[held & ~second], ordered[held & second]


def outlined(args: argparse.Namespace, out: Path, sources: list[str]) -> pd.DataFrame:
    """The images of --more that a segmenter is sure of; what they are is added to `sources`.

    Those that `contours` is not sure of are left to the network that --start names.
    """
    listed = datasets.as_table(args.more)
    # Whether a platelet is to be outlined is not for these to say.
    listed = listed[~listed["label"].astype("str").eq("platelet")]
    listed = listed.sample(min(len(listed), args.n_more), random_state=args.seed)
    name = Path(args.more).name
    tables = [networks.confident_masks(listed, out / "more")]
    sources.append(
        f"{len(tables[0])} of {len(listed)} images of {name}, outlined by `contours` where it is "
        "sure (nobody drew their masks)"
    )
    if args.start:
        how = "unet"
        if args.start != "shipped":
            how = f"unet:{Path(args.start).with_suffix('.onnx')}"
        rest = listed[~listed["image"].isin(tables[0]["image"])]
        tables.append(networks.confident_masks(rest, out / "rest", segmenter=how))
        sources.append(
            f"{len(tables[1])} of the {len(rest)} others, outlined by the network it began from "
            "where that is sure"
        )
    print(*sources[1:], sep="\n")
    return pd.concat(tables, ignore_index=True)


Fields = Iterable[tuple[np.ndarray, Masks, np.ndarray]]
"""Image, true masks, and of each true cell whether red cells touch it."""


def with_masks(table: pd.DataFrame, boxes: pd.DataFrame | None = None) -> Fields:
    """The images of a table; what is touched is told by boxes of red cells."""
    for row in table.itertuples():
        truth = segment.read_masks(row.mask)
        touched = np.zeros(truth.n_cells, bool)
        if boxes is not None:
            mine = boxes[boxes["image"].eq(row.image) & boxes["name"].eq("RBC")]
            touched = touched_by(truth, mine)
        yield images.read(row.image), truth, touched


def touched_by(truth: Masks, red: pd.DataFrame) -> np.ndarray:
    """Whether the ellipse inside any of the boxes lies on a cell or within two pixels of it."""
    on = np.zeros(truth.shape, np.uint8)
    for box in red.itertuples():
        centre = ((box.xmin + box.xmax) / 2 - 1, (box.ymin + box.ymax) / 2 - 1)
        sides = (box.xmax - box.xmin + 1, box.ymax - box.ymin + 1)
        cv2.ellipse(on, (centre, sides, 0), 1, cv2.FILLED)
    near = cv2.dilate(truth.cell.astype(np.uint16), np.ones((5, 5), np.uint8))
    return np.isin(np.arange(1, truth.n_cells + 1), near[on > 0])


def crowded(background: str, n: int) -> Fields:
    """Drawn fields in which every white cell but the first one of a group touches another."""
    white = [kind for kind in datasets.KINDS if kind != "platelet"]
    for i in range(n):
        rng = np.random.default_rng([3, i])
        field = datasets.draw_field(
            [str(kind) for kind in rng.choice(white, size=3)],
            stain=datasets.Stain.draw(rng, background),
            neighbours=0.9,
            touching=1.0,
            random_state=rng,
        )
        yield field.image, Masks(field.cell, field.nucleus), np.ones(3, bool)


def scored(name: str, fields: Fields, weights: Path) -> list[dict[str, object]]:
    """A row for each segmenter, and one more on those of the cells that are touched."""
    fields, rows, parts = list(fields), [], []
    for how in ("contours", f"unet:{weights}", f"best:{weights}"):
        find = segment.segmenter(how)
        tables, spent, spurious = [], [], 0
        for image, truth, touched in fields:
            start = time.thread_time()
            masks = find(image)
            spent.append(time.thread_time() - start)
            one = segment.score(masks, truth)
            spurious += one.attrs["n_spurious"]
            one["touched"] = touched
            tables.append(one)
        cells = pd.concat(tables, ignore_index=True)
        rows.append(row(name, how, cells) | {"spurious": spurious, "ms": middle(spent)})
        if 0 < cells["touched"].sum() < len(cells):
            parts.append(row(f"{name}, touched by red cells", how, cells[cells["touched"]]))
    return rows + parts


def middle(seconds: list[float]) -> float:
    return 1000 * float(np.median(seconds))


def row(name: str, how: str, cells: pd.DataFrame) -> dict[str, object]:
    found = cells[cells["found"]]
    known = segment.failure_detection(cells)
    return {
        "set": name,
        "segmenter": how.partition(":")[0],
        "n": len(cells),
        "found": len(found),
        "spurious": None,
        "nucleus_mean": found["dice_nucleus"].mean(),
        "nucleus_p5": found["dice_nucleus"].quantile(0.05),
        "cell_mean": found["dice_cell"].mean(),
        "cell_p5": found["dice_cell"].quantile(0.05),
        **{key: known[key] for key in ("failed", "flagged", "precision", "recall")},
    }


def runtimes(weights: Path, repeats: int = 30) -> pd.DataFrame:
    """Milliseconds of one thread for one square, by each runtime that is installed."""
    square = np.random.default_rng(0).random((1, 3, 192, 192), np.float32)
    net = cv2.dnn.readNetFromONNX(str(weights))

    def by_opencv() -> np.ndarray:
        net.setInput(square)
        return net.forward()

    ways = {"OpenCV": by_opencv}
    if find_spec("onnxruntime"):
        ort = import_module("onnxruntime")
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(str(weights), options)
        ways["ONNX Runtime"] = lambda: session.run(None, {"density": square})[0]
    want = by_opencv()
    rows = []
    for name, run in ways.items():
        apart = float(np.abs(run() - want).max())
        spent = []
        for _ in range(repeats):
            start = time.thread_time()
            run()
            spent.append(time.thread_time() - start)
        rows.append({"runtime": name, "ms": 1000 * min(spent), "differs_by": apart})
    return pd.DataFrame(rows)


def card(
    args: argparse.Namespace,
    sources: list[str],
    history: pd.DataFrame,
    scores: pd.DataFrame,
    timing: pd.DataFrame,
) -> str:
    """What a network was taught by and how well it does, as Markdown."""
    best = history.loc[history["val_loss"].idxmin()]
    seen = len(history) * args.steps * args.batch
    begun = f", beginning from {Path(args.start).name}" if args.start else ""
    lines = [
        f"Taught by {seen:,} samples of {args.side} x {args.side} pixels{begun}, {args.drawn:.0%} "
        "of them drawn, the others from:",
        "",
        *[f"- {source}" for source in sources],
        "",
        f"The weights are those after epoch {int(best['epoch']) + 1} of {len(history)}, with the "
        f"lowest loss on the fields it was stopped by (Dice over all their pixels: cell "
        f"{best['val_dice_cell']:.3f}, nucleus {best['val_dice_nucleus']:.3f}).",
        "",
        "| images | by | cells | found | extra | nucleus | cell | ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in scores.itertuples():
        every = np.isfinite(row.ms)
        lines.append(
            f"| {row.set} | {row.segmenter} | {row.n} | {row.found} | "
            f"{f'{row.spurious:.0f}' if every else ''} | "
            f"{row.nucleus_mean:.3f} ({row.nucleus_p5:.3f}) | "
            f"{row.cell_mean:.3f} ({row.cell_p5:.3f}) | {f'{row.ms:.1f}' if every else ''} |"
        )
    speeds = ", ".join(f"{row.runtime} {row.ms:.1f} ms" for row in timing.itertuples())
    lines += [
        "",
        "Mean Dice (5th percentile) over the cells found, none left out for its quality; extra: "
        "outlines of what is no cell; milliseconds of one thread an image. A square of 192 x 192 "
        f"pixels: {speeds}.",
        "",
    ]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of real cells")
    parser.add_argument("--out", required=True, help="folder of the training")
    parser.add_argument("--more", help="images without masks, anything datasets.as_table takes")
    parser.add_argument("--n-more", type=int, default=4000, help="how many of them, at most")
    parser.add_argument("--network", choices=["unet", "fcn8s"], default="unet")
    parser.add_argument("--start", help="shipped, or network.keras of an earlier training")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--minutes", type=float, help="stop after so many; run again to go on")
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--side", type=int, default=128, help="height and width of samples")
    parser.add_argument("--patience", type=int, default=30)
    parser.add_argument("--drawn", type=float, default=0.5, help="share of drawn samples")
    parser.add_argument("--jobs", type=int, default=1, help="threads that make samples")
    parser.add_argument("--crowded", type=int, default=20, help="drawn fields of each background")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    data, out = Path(args.data), Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    learned, stopped, held = split(datasets.bccd(data / "bccd"))
    sources = [
        f"{len(learned)} fields of BCCD with masks; it was stopped by {len(stopped)} more, and "
        f"{len(held)} are held back"
    ]
    print(sources[0])
    if args.more:
        more = outlined(args, out, sources)
        # Half as often as the others, of which there are many more.
        times = max(1, round(0.5 * len(more) / len(learned)))
        learned = pd.concat([learned] * times + [more], ignore_index=True)
    samples = networks.SegmentationSamples(
        learned, drawn=args.drawn, side=args.side, random_state=args.seed
    )
    sheet = cv2.cvtColor(networks.sample_sheet(samples, 32), cv2.COLOR_RGB2BGR)
    (out / "samples.png").write_bytes(cv2.imencode(".png", sheet)[1].tobytes())
    history = networks.train_segmenter(
        learned,
        out=out,
        network=args.network,
        start=args.start,
        validation=stopped,
        drawn=args.drawn,
        epochs=args.epochs,
        steps=args.steps,
        batch_size=args.batch,
        patience=args.patience,
        learning_rate=args.learning_rate,
        side=args.side,
        n_jobs=args.jobs,
        max_minutes=args.minutes,
        random_state=args.seed,
    )
    print(history.tail(5).round(4).to_string(index=False))
    weights = out / "network.onnx"
    boxes = datasets.bccd_boxes(data / "bccd")
    rows = scored("bccd stopped by", with_masks(stopped, boxes), weights)
    rows += scored("bccd held back", with_masks(held, boxes), weights)
    if (data / "segwbc_d1").is_dir():
        listed = datasets.segwbc(data / "segwbc_d1")
        rows += scored("segwbc_d1", with_masks(listed), weights)
        # Every fourth image was looked at when thresholds round the network were chosen.
        unseen = listed[np.arange(len(listed)) % 4 > 0]
        rows += scored("segwbc_d1, never looked at", with_masks(unseen), weights)
    for background in datasets.BACKGROUNDS:
        if background != "black":
            rows += scored(f"crowded {background}", crowded(background, args.crowded), weights)
    scores = pd.DataFrame(rows).astype({"spurious": float, "ms": float})
    scores.to_csv(out / "scores.csv", index=False)
    print(scores.round(4).to_string(index=False))
    timing = runtimes(weights)
    print(timing.round(6).to_string(index=False))
    (out / "card.md").write_text(card(args, sources, history, scores, timing), encoding="utf-8")


if __name__ == "__main__":
    main()
