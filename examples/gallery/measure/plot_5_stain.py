"""
Stain and white balance
=======================

The same cell in the stain and light of four laboratories, as it is and normalised.
"""

import matplotlib.pyplot as plt
import pandas as pd

from hemafeat import datasets, extract, images, segment

normalisers = {"as it is": lambda image: image} | {
    name: images.normaliser(name) for name in ("grey-world", "reinhard")
}
rows = {}
fig, axes = plt.subplots(3, 4, figsize=(8, 6.4), layout="constrained")
for column, background in zip(axes.T, ("cream", "white", "pink", "yellow"), strict=True):
    stain = datasets.Stain.preset(background)
    cell = datasets.draw_cell("eosinophil", size=240, stain=stain, random_state=2)
    masks = segment.Masks(cell.cell, cell.nucleus)
    column[0].set_title(background)
    for axis, (name, normalise) in zip(column, normalisers.items(), strict=True):
        image = normalise(cell.image)
        features = extract.measure(image, masks, families=["colour", "density"])
        rows[name, background] = features.iloc[0]
        axis.imshow(image)
        axis.set(xticks=[], yticks=[])
for axis, name in zip(axes[:, 0], normalisers, strict=True):
    axis.set_ylabel(name)

# %%
# Density is measured against the white of the image, so that it changes less than a mean colour
# does.

columns = [
    "cytoplasm__colour__mean__r",
    "cytoplasm__colour__mean__b",
    "cytoplasm__density__mean__g",
]
pd.DataFrame(rows).T[columns].round(2)
