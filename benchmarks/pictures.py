"""Pictures of README.md and of the site: what goes in, and the outlines with the table.

    python benchmarks/pictures.py --data FOLDER --out docs/_static

FOLDER holds the PBC data set (Acevedo et al. 2020, CC BY 4.0). `page.png` beside them is the top of
the page that `hemafeat demo` writes, in a window of 1100 x 1000 px.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image

from hemafeat import datasets, extract, images, segment

CELLS = (
    *("SNE_588235", "EO_893211", "BA_206130", "LY_4757"),
    *("MO_683356", "MY_757669", "ERB_448433", "SNE_686557"),
)
COLUMNS = {
    "nucleus__shape__area": "{:.1f}",
    "nucleus__lobes__n_lobes": "{:.0f}",
    "cell__relation__nucleus_to_cell_area_ratio": "{:.2f}",
    "cytoplasm__density__mean__g": "{:.3f}",
}
N_ROWS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    listed = datasets.pbc(args.data)
    rows = [listed[listed["image"].str.contains(f"{name}\\.")].iloc[0] for name in CELLS]
    pictures = [images.read(row["image"]) for row in rows]
    masks = [segment.contours(picture) for picture in pictures]
    outlined = [segment.outline(*pair) for pair in zip(pictures, masks, strict=True)]
    table = extract.table(pd.DataFrame(rows), um_per_px=0.0975)
    save(sheet(pictures), args.out / "input.png")
    figure = sheet(outlined, bottom=1.7)
    values = [
        [row["label"], *(form.format(row[name]) for name, form in COLUMNS.items())]
        for _, row in table.head(N_ROWS).iterrows()
    ]
    units = extract.units(table)
    heads = ["label", *(f"{name}\n{units[name]}" for name in COLUMNS)]
    axis = figure.add_axes((0, 0, 1, 1.65 / figure.get_figheight()))
    axis.axis("off")
    drawn = axis.table(
        values, colLabels=heads, loc="center", colWidths=[0.12, 0.17, 0.19, 0.30, 0.22]
    )
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(8.5)
    for (line, _), cell in drawn.get_celld().items():
        cell.set_linewidth(0)
        cell.set_height(0.3 if line == 0 else 0.16)
        cell.set_facecolor("#e9eef5" if line == 0 else "white")
    save(figure, args.out / "outlines.png")


def sheet(pictures: list[np.ndarray], bottom: float = 0.0) -> plt.Figure:
    """Pictures in two rows, above `bottom` inches of white."""
    figure = plt.figure(figsize=(10, 5 + bottom), facecolor="white")
    whole = 5 + bottom
    for i, picture in enumerate(pictures):
        row, column = divmod(i, 4)
        axis = figure.add_axes((column / 4, 1 - (row + 1) * 2.5 / whole, 0.247, 2.47 / whole))
        axis.imshow(images.crop_centre(picture, 300))
        axis.axis("off")
    return figure


def save(figure: plt.Figure, path: Path) -> None:
    """Write a picture in 256 colours, which takes a third of the space."""
    figure.savefig(path, dpi=80)
    Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)


if __name__ == "__main__":
    main()
