"""Compare texture features on an accelerator and on one core of the processor.

    python benchmarks/gpu.py [--data FOLDER] [--device cuda] [--batches 1 16 64 256]

Needs PyTorch, which no extra of hemafeat installs. The steps timed per batch of cells, each until
the queue of the device is empty, are: images and masks to the device; optical density, 32 levels
and the co-occurrence counts of nucleus and cytoplasm at 4 angles and 3 distances, as one histogram
over all cells; local binary patterns (8 points, radius 1) with their histograms; the counts back.
The kernels of hemafeat do the same on one core. Counts must agree exactly, or nothing is printed.

Decoding and segmentation run on the processor in both cases. On a machine without an accelerator
(--device cpu) it only checks that both agree.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pandas as pd

from hemafeat import datasets, extract, images, segment
from hemafeat.extract import central_cell

LEVELS = 32
DISTANCES = (1, 2, 4)
STEPS = ((0, 1), (1, 1), (1, 0), (1, -1))
"""Row and column step of each angle: 0, 45, 90, 135 degrees."""

SIDE = 384


class Cell:
    """One cell in a frame of fixed size: levels 0..31 of nucleus (1) and cytoplasm (2)."""

    def __init__(self, path: str) -> None:
        image = images.read(path)
        masks = segment.contours(image)
        prepared, window_masks = extract.Prepared(image, masks).window(masks, central_cell(masks))
        tall, wide = window_masks.shape
        self.rgb = np.zeros((SIDE, SIDE, 3), np.uint8)
        self.rgb[:tall, :wide] = prepared.rgb
        self.mask = np.zeros((SIDE, SIDE), np.uint8)
        self.mask[:tall, :wide] = window_masks.nucleus + 2 * window_masks.cytoplasm
        self.table = prepared.density_lut()[1]
        self.masks = window_masks
        self.prepared = prepared


def on_processor(cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    """Count directed co-occurrences (2, 3, 4, 32, 32) and patterns (2, 256) of a cell."""
    levels = cell.prepared.levels("od_g", LEVELS)
    counts = np.stack(
        [
            np.stack(
                [
                    extract.glcm_matrix(levels, mask, n_levels=LEVELS, distance=d, n_cells=1)[0]
                    for d in DISTANCES
                ]
            )
            for mask in (cell.masks.nucleus, cell.masks.cytoplasm)
        ]
    )
    codes = extract.lbp_codes(cell.prepared.plane("g"), 8, 1, method="default")
    patterns = np.stack(
        [
            np.bincount(codes[mask > 0].astype(np.int64), minlength=256)
            for mask in (cell.masks.nucleus, cell.masks.cytoplasm)
        ]
    )
    return counts, patterns


def co_occurrence(torch: Any, rgb: Any, mask: Any, table: Any) -> Any:
    """Count symmetric co-occurrences of a batch on its device: (n, 2, 3, 4, 32, 32)."""
    n = rgb.shape[0]
    green = rgb[..., 1].long().reshape(n, -1)
    density = torch.gather(table, 1, green).reshape(n, SIDE, SIDE)
    level = torch.clamp((density * (LEVELS / 1.5)).floor(), 0, LEVELS - 1).long()
    cell = torch.arange(n, device=rgb.device)[:, None, None]
    far = max(DISTANCES)
    part_of = mask.long()
    padded = torch.nn.functional.pad(part_of, (far, far, far, far))
    around = torch.nn.functional.pad(level, (far, far, far, far))
    counts = torch.zeros(n * 2 * 12 * LEVELS * LEVELS, dtype=torch.int64, device=rgb.device)
    for d, distance in enumerate(DISTANCES):
        for a, (down, right) in enumerate(STEPS):
            rows = slice(far + down * distance, far + down * distance + SIDE)
            columns = slice(far + right * distance, far + right * distance + SIDE)
            both = (padded[:, rows, columns] == part_of) & (part_of > 0)
            part = ((cell * 2 + part_of - 1) * 12 + d * 4 + a) * LEVELS * LEVELS
            code = part + level * LEVELS + around[:, rows, columns]
            counts += torch.bincount(code[both], minlength=counts.numel())
    counts = counts.reshape(n, 2, 3, 4, LEVELS, LEVELS)
    return counts + counts.transpose(-1, -2)


def patterns(torch: Any, rgb: Any, mask: Any) -> Any:
    """Count the patterns of 8 points on a circle of radius 1: (n, 2, 256)."""
    n = rgb.shape[0]
    plane = torch.nn.functional.pad(rgb[..., 1].long(), (1, 1, 1, 1))
    middle = plane[:, 1:-1, 1:-1]
    code = torch.zeros_like(middle)
    # Whole numbers throughout, positions in steps of 1e-5: equal is equal, as in lbp_codes.
    unit = 100_000
    for point in range(8):
        down = round(-np.sin(2 * np.pi * point / 8) * unit)
        right = round(np.cos(2 * np.pi * point / 8) * unit)
        top, left = down // unit, right // unit
        low, side = down - top * unit, right - left * unit
        value = torch.zeros_like(middle)
        for row, column, weight in (
            (top, left, (unit - low) * (unit - side)),
            (top, left + 1, (unit - low) * side),
            (top + 1, left, low * (unit - side)),
            (top + 1, left + 1, low * side),
        ):
            if weight:
                value += weight * plane[:, 1 + row : 1 + row + SIDE, 1 + column : 1 + column + SIDE]
        code += (value >= middle * unit * unit).long() << point
    cell = torch.arange(n, device=rgb.device)[:, None, None]
    part_of = mask.long()
    index = (cell * 2 + part_of - 1) * 256 + code
    return torch.bincount(index[part_of > 0], minlength=n * 512).reshape(n, 2, 256)


def time_rounds(
    work: Callable[[], Any], drain: Callable[[], None], rounds: int
) -> tuple[float, Any]:
    """Return the median ms after one warm-up round, and the last result."""
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        result = work()
        drain()
        seconds.append(time.perf_counter() - start)
    return 1e3 * float(np.median(seconds[1:])), result


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="folder of cells; drawn cells by default")
    parser.add_argument("--device", help="cuda, mps, xpu or cpu; by default the accelerator")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 64, 256])
    parser.add_argument("--cells", type=int, default=64, help="number of cells (default 64)")
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args(argv)
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed: nothing was measured")
        return 0
    available = torch.accelerator.is_available()
    accelerator = torch.accelerator.current_accelerator() if available else None
    device = torch.device(args.device or (accelerator.type if accelerator else "cpu"))
    drain = (lambda: None) if device.type == "cpu" else torch.accelerator.synchronize
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as scratch:
        if args.data:
            image_table = datasets.as_table(args.data)
            image_table = image_table.sample(min(args.cells, len(image_table)), random_state=0)
        else:
            image_table = datasets.drawn(f"{scratch}/drawn", n_images=args.cells, random_state=0)
        cells = [Cell(path) for path in image_table["image"]]
        seconds, start = [], 0.0
        for cell in [cells[0], *cells]:
            cell.prepared = extract.Prepared(cell.prepared.rgb, cell.masks, cell.prepared.white())
            start = time.perf_counter()
            expected = on_processor(cell)
            seconds.append(time.perf_counter() - start)
        processor = 1e3 * float(np.median(seconds[1:]))
    rows = []
    for size in args.batches:
        batch = [cells[i % len(cells)] for i in range(size)]
        rgb, mask = (np.stack([getattr(c, name) for c in batch]) for name in ("rgb", "mask"))
        table = np.stack([c.table for c in batch])

        def upload(rgb=rgb, mask=mask, table=table) -> list[Any]:
            return [torch.from_numpy(a).to(device) for a in (rgb, mask, table)]

        up, (on_rgb, on_mask, on_table) = time_rounds(upload, drain, args.rounds)
        pairs, counts = time_rounds(
            lambda r=on_rgb, m=on_mask, t=on_table: co_occurrence(torch, r, m, t),
            drain,
            args.rounds,
        )
        local, histograms = time_rounds(
            lambda r=on_rgb, m=on_mask: patterns(torch, r, m), drain, args.rounds
        )
        down, back = time_rounds(
            lambda c=counts, h=histograms: (c.cpu().numpy(), h.cpu().numpy()), drain, args.rounds
        )
        expected = on_processor(batch[-1])
        if not np.array_equal(back[0][-1], expected[0]):
            raise SystemExit("the co-occurrence counts of accelerator and processor differ")
        if not np.array_equal(back[1][-1], expected[1]):
            raise SystemExit("the local binary patterns of accelerator and processor differ")
        steps = {"up": up, "co_occurrence": pairs, "patterns": local, "back": down}
        row = {name: ms / size for name, ms in steps.items()}
        rows.append({"batch": size, **row, "sum": sum(row.values()), "one_core": processor})
    print(f"ms a cell; device {device}; counts and patterns agree exactly")
    print(pd.DataFrame(rows).round(4).to_string(index=False))
    if device.type == "cpu":
        print("no accelerator: the times above are those of the processor")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
