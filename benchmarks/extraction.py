"""Where the time of an extraction goes: decoding, segmentation and each family.

    python benchmarks/extraction.py --data FOLDER [--limit 400] [--jobs 2]

FOLDER is anything `hemafeat.datasets.as_table` takes; without it cells are drawn. The split is
taken on one thread, each image through every step in turn, and given as the median over images and
as a ratio to decoding the same file; the whole table is then made with 1 and with --jobs threads.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict

import cv2
import numpy as np
import pandas as pd

from hemafeat import datasets, extract, images, segment
from hemafeat.extract._family import chosen, column_facts
from hemafeat.extract._measure import image_quality, measure_cells


def split(listed: pd.DataFrame, families: str) -> pd.DataFrame:
    """Median milliseconds of each step, and its ratio to decoding."""
    which = chosen(families)
    contours = segment.segmenter("contours")
    seconds: dict[str, list[float]] = defaultdict(list)

    def timed(step: str, work):
        start = time.perf_counter()
        result = work()
        seconds[step].append(time.perf_counter() - start)
        return result

    warm = True
    for path in [listed["image"].iloc[0], *listed["image"]]:
        if warm:
            seconds.clear()
        data = np.fromfile(path, np.uint8)
        timed("cv2.imdecode alone", lambda data=data: cv2.imdecode(data, cv2.IMREAD_COLOR))
        image = timed("images.read", lambda path=path: images.read(path))
        masks = timed("segment.contours", lambda image=image: contours(image))
        if masks.n_cells == 0:
            continue
        prepared = extract.Prepared(image, masks)
        timed("quality record", lambda p=prepared, m=masks: image_quality(p, m))
        for name, function in which.items():
            timed(
                f"extract.{name}",
                lambda p=prepared, m=masks, n=name, f=function: measure_cells(p, m, {n: f}),
            )
        warm = False
    decode = np.median(seconds["cv2.imdecode alone"])
    rows = [
        {
            "step": step,
            "columns": len(column_facts(step[8:], which[step[8:]])) if step[8:] in which else "",
            "median_ms": 1e3 * np.median(values),
            "p95_ms": 1e3 * np.percentile(values, 95),
            "x_decode": np.median(values) / decode,
        }
        for step, values in seconds.items()
    ]
    whole = [r for r in rows if r["step"] != "cv2.imdecode alone"]
    rows.append(
        {
            "step": "all steps after each other",
            "columns": len(extract.columns(families)),
            "median_ms": sum(r["median_ms"] for r in whole),
            "p95_ms": float("nan"),
            "x_decode": sum(r["x_decode"] for r in whole),
        }
    )
    return pd.DataFrame(rows)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="folder, CSV or image list; drawn cells by default")
    parser.add_argument("--limit", type=int, default=400, help="images for the split (default 400)")
    parser.add_argument("--jobs", type=int, default=2, help="threads of the second whole run")
    parser.add_argument("--families", default="default")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        if args.data:
            listed = datasets.as_table(args.data)
        else:
            listed = datasets.drawn(f"{scratch}/drawn", n_images=args.limit, format="jpg")
        some = listed.sample(min(args.limit, len(listed)), random_state=0).reset_index(drop=True)
        cv2.setNumThreads(1)
        table = split(some, args.families)
        print(table.to_string(index=False, float_format=lambda v: f"{v:.3f}"))
        for jobs in (1, args.jobs):
            start = time.perf_counter()
            cells = extract.table(listed, n_jobs=jobs, families=args.families)
            seconds = time.perf_counter() - start
            print(
                f"{len(listed)} images, {jobs} thread(s): {seconds:.1f} s, "
                f"{1e3 * seconds / len(listed):.2f} ms an image, {len(cells)} cells, "
                f"{len(extract.errors(cells))} errors"
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
