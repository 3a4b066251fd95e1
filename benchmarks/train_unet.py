"""Train the U-Net of `hemafeat.segment.unet` on drawn cells and on fields of BCCD.

    python benchmarks/train_unet.py --data DIR --out DIR [--more FOLDER] [--minutes N] [--epochs N]

DIR holds `bccd` (images and masks, both under the MIT licence) and, to be scored on only,
`segwbc_d1`, which is under the GPL and never learned from. The same command runs on a CPU and on a
GPU, and takes up a training that was cut off. Of BCCD, blocks of fields that were photographed one
after the other are held back: by their loss the training is stopped, and they are scored on; the
second half of these blocks has no part in the stopping.

Written to --out: what `hemafeat.networks.train_unet` writes (`unet.onnx` among it), `samples.png`,
a sheet of what is learned from, and `scores.csv`: contours, U-Net, and the best of both, side by
side.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from hemafeat import datasets, images, networks, segment

BLOCK, OF = 15, 5
"""Fields in a block, and how many blocks there are to one that is held back."""


def split(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """BCCD to learn from, to stop by, and to score on."""
    ordered = table[table["mask"].notna()].sort_values("image", ignore_index=True)
    block = ordered.index // BLOCK
    held = block % OF == OF - 1
    second = (block // OF) % 2 == 1
    return ordered[~held], ordered[held & ~second], ordered[held & second]


def scored(name: str, table: pd.DataFrame, weights: Path) -> list[dict[str, object]]:
    """A row for each segmenter on the images of a table."""
    rows = []
    for how in ("contours", f"unet:{weights}", f"best:{weights}"):
        find = segment.segmenter(how)
        tables, spent, spurious = [], [], 0
        for row in table.itertuples():
            image, truth = images.read(row.image), segment.read_masks(row.mask)
            start = time.thread_time()
            masks = find(image)
            spent.append(time.thread_time() - start)
            one = segment.score(masks, truth)
            spurious += one.attrs["n_spurious"]
            tables.append(one)
        cells = pd.concat(tables, ignore_index=True)
        found = cells[cells["found"]]
        known = segment.failure_detection(cells)
        rows.append(
            {
                "set": name,
                "segmenter": how.partition(":")[0],
                "n": len(cells),
                "found": len(found),
                "spurious": spurious,
                "nucleus_mean": found["dice_nucleus"].mean(),
                "nucleus_p5": found["dice_nucleus"].quantile(0.05),
                "cell_mean": found["dice_cell"].mean(),
                "cell_p5": found["dice_cell"].quantile(0.05),
                **{key: known[key] for key in ("failed", "flagged", "precision", "recall")},
                "ms": 1000 * float(np.median(spent)),
            }
        )
    return rows


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of real cells")
    parser.add_argument("--out", required=True, help="folder of the training")
    parser.add_argument("--more", help="images without masks, anything datasets.as_table takes")
    parser.add_argument("--n-more", type=int, default=4000, help="how many of them, at most")
    parser.add_argument("--minutes", type=float, help="stop after so many; run again to go on")
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--side", type=int, default=128, help="height and width of samples")
    parser.add_argument("--patience", type=int, default=30)
    parser.add_argument("--drawn", type=float, default=0.5, help="share of drawn samples")
    parser.add_argument("--jobs", type=int, default=1, help="threads that make samples")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    data, out = Path(args.data), Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    learned, stopped, held = split(datasets.bccd(data / "bccd"))
    print(f"BCCD: {len(learned)} fields to learn from, {len(stopped)} to stop by, {len(held)} held")
    if args.more:
        listed = datasets.as_table(args.more)
        listed = listed.sample(min(len(listed), args.n_more), random_state=args.seed)
        more = networks.confident_masks(listed, out / "more")
        print(
            f"{args.more}: {len(more)} of {len(listed)} images outlined well enough to learn from"
        )
        # About as often as the others, of which there are many more.
        times = max(1, round(0.5 * len(more) / len(learned)))
        learned = pd.concat([learned] * times + [more], ignore_index=True)
    samples = networks.SegmentationSamples(
        learned, drawn=args.drawn, side=args.side, random_state=args.seed
    )
    sheet = cv2.cvtColor(networks.sample_sheet(samples, 32), cv2.COLOR_RGB2BGR)
    (out / "samples.png").write_bytes(cv2.imencode(".png", sheet)[1].tobytes())
    history = networks.train_unet(
        learned,
        out=out,
        validation=stopped,
        drawn=args.drawn,
        epochs=args.epochs,
        steps=args.steps,
        batch_size=args.batch,
        patience=args.patience,
        side=args.side,
        n_jobs=args.jobs,
        max_minutes=args.minutes,
        random_state=args.seed,
    )
    print(history.tail(5).round(4).to_string(index=False))
    weights = out / "unet.onnx"
    rows = scored("bccd held back", held, weights)
    if (data / "segwbc_d1").is_dir():
        rows += scored("segwbc_d1", datasets.segwbc(data / "segwbc_d1"), weights)
    scores = pd.DataFrame(rows)
    scores.to_csv(out / "scores.csv", index=False)
    print(scores.round(4).to_string(index=False))


if __name__ == "__main__":
    main()
