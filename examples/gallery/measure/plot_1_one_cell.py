"""
Measure one cell
================

An image goes in, and a row of columns with names, units and meanings comes out.
"""

import matplotlib.pyplot as plt

from hemafeat import datasets, extract, segment

image = datasets.draw_cell("neutrophil", random_state=3).image  # or: images.read("cell.jpg")
masks = segment.contours(image)

fig, axes = plt.subplots(1, 2, figsize=(7, 3.6), layout="constrained")
pictures = {"the image": image, "what is measured": segment.outline(image, masks)}
for axis, (title, picture) in zip(axes, pictures.items(), strict=True):
    axis.imshow(picture)
    axis.set_title(title)
    axis.axis("off")

# %%
# The table has one row per cell. With the side of a pixel, lengths are in um.

features = extract.measure(image, masks, um_per_px=0.1)
columns = [
    "nucleus__shape__area",
    "nucleus__shape__solidity",
    "cell__relation__nucleus_to_cell_area_ratio",
    "cytoplasm__density__mean__g",
]
described = extract.describe(features[columns]).set_index("column")
described.assign(value=features[columns].iloc[0])[["value", "unit", "meaning"]]
