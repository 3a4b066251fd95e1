"""
A large image in tiles
======================

A slide that is too large to be read whole is cut into tiles that overlap; each cell is measured
once.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import tifffile

from hemafeat import datasets, extract

kinds = ["neutrophil", "lymphocyte", "monocyte", "eosinophil"] * 5
field = datasets.draw_field(kinds, shape=(1200, 1800), neighbours=0.2, random_state=2)
path = Path(tempfile.mkdtemp()) / "slide.ome.tif"
tifffile.imwrite(path, field.image, tile=(256, 256), photometric="rgb")

tiles = datasets.tiles(path, size=600, um_per_px=field.um_per_px)
table = extract.table(tiles, segmenter="unet", families=["shape"])
print(f"{len(tiles)} tiles, {len(table)} cells found of {len(kinds)} drawn")

# %%
# Positions (``where__*``) are those in the whole image.

plt.figure(figsize=(9, 6), layout="constrained")
plt.imshow(field.image)
area = table["nucleus__shape__area"]
plt.scatter(table["where__x"], table["where__y"], c=area, s=160, alpha=0.8)
plt.colorbar(label="area of the nucleus (um$^2$)", shrink=0.7)
plt.hlines([600], 0, 1800, "black", "dotted")
plt.vlines([600, 1200], 0, 1200, "black", "dotted")
plt.axis("off")
