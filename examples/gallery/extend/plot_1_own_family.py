"""
A feature of your own
=====================

A family is a plain function that declares its columns; it stands beside the built-in ones.
"""

import matplotlib.pyplot as plt
import numpy as np

from hemafeat import datasets, extract, segment
from hemafeat.extract import Column, family


@family(
    {"blue_share": Column("1", "share of pixels with B > R + 40", meaning="How blue it is.")},
    masks=("cytoplasm",),
)
def blueness(image, labels, n_cells=None):
    """Measure how blue the cytoplasm is."""
    blue = image[..., 2].astype(int) > image[..., 0].astype(int) + 40
    n = labels.max() if n_cells is None else n_cells
    shares = [blue[labels == i].mean() if (labels == i).any() else np.nan for i in range(1, n + 1)]
    return np.array(shares).reshape(-1, 1)


kinds = ["lymphocyte", "monocyte", "basophil", "eosinophil"]
stain = datasets.Stain.preset("white")
field = datasets.draw_field(kinds, shape=(400, 760), touching=0, stain=stain, random_state=3)
masks = segment.Masks(field.cell, field.nucleus)
table = extract.measure(field.image, masks, families=["shape", blueness])
column = "cytoplasm__blueness__blue_share"

plt.figure(figsize=(8, 5), layout="constrained")
texts = [f"{kind} {share:.2f}" for kind, share in zip(kinds, table[column], strict=True)]
plt.imshow(segment.outline(field.image, masks, texts=texts))
plt.axis("off")

# %%

extract.describe(table).set_index("column").loc[[column], ["unit", "formula", "meaning"]]
