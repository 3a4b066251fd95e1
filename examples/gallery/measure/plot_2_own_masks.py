"""
Your own masks
==============

Masks of any program take the place of the segmenter: label images, or outlines as GeoJSON.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

from hemafeat import datasets, extract, segment

kinds = ["monocyte", "neutrophil", "eosinophil", "lymphocyte"]
field = datasets.draw_field(kinds, shape=(360, 540), random_state=4)
masks = segment.read_masks(field.cell, field.nucleus)  # or: segment.read_masks("cells.png", ...)

plt.figure(figsize=(7, 4.6), layout="constrained")
plt.imshow(segment.outline(field.image, masks))
plt.axis("off")

# %%
# Row i is the i-th cell of the mask.

columns = ["nucleus__shape__area", "nucleus__shape__solidity", "cell__shape__area"]
extract.measure(field.image, masks, families=["shape"])[columns].assign(drawn=field.kinds)

# %%
# QuPath reads and writes outlines as GeoJSON. Corrected there, they come back in the same way.

path = Path(tempfile.mkdtemp()) / "field.geojson"
segment.write_geojson(masks, path)
again = segment.read_masks(path, shape=field.image.shape[:2])
print(again.n_cells, "cells;", (again.cell != masks.cell).sum(), "pixels differ")
