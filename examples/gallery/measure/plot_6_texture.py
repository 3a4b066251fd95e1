"""
The texture of a nucleus
========================

What co-occurrence matrices and local binary patterns see of chromatin.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from hemafeat import datasets, extract, images, segment

fig, axes = plt.subplots(2, 3, figsize=(9, 5.6), layout="constrained")
rows = {}
for row, kind in zip(axes, ("lymphocyte", "lymphoblast"), strict=True):
    cell = datasets.draw_cell(kind, random_state=6)
    masks = segment.Masks(cell.cell, cell.nucleus)
    prepared = extract.Prepared(cell.image, masks)
    levels = np.clip(32 * prepared.plane("od_g") / 1.5, 0, 31).astype(int)
    matrix = extract.glcm_matrix(levels, masks.nucleus, n_levels=32)[0].sum(axis=0)
    codes = np.where(masks.nucleus > 0, extract.lbp_codes(prepared.plane("grey")), np.nan)
    row[0].imshow(images.crop_centre(cell.image, 160))
    row[0].set_title(kind)
    row[1].imshow(images.crop_centre(codes, 160), cmap="viridis")
    row[1].set_title("local binary patterns")
    row[2].imshow(np.log1p(matrix), cmap="magma", origin="lower")
    row[2].set_title("pairs of grey levels")
    rows[kind] = extract.measure(cell.image, masks, families=["glcm", "chromatin"]).iloc[0]
    for axis in row[:2]:
        axis.axis("off")

# %%
# The columns say the same in numbers.

columns = [
    "nucleus__glcm__contrast_d1",
    "nucleus__glcm__contrast_d4",
    "nucleus__chromatin__heterogeneity",
]
pd.DataFrame(rows).T[columns].round(3)
