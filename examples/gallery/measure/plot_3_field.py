"""
Find the cells of a field
=========================

``contours`` needs no training; ``unet`` is a small network that comes with the package.
"""

import matplotlib.pyplot as plt

from hemafeat import datasets, segment

kinds = ["neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil"]
field = datasets.draw_field(kinds, neighbours=0.4, random_state=5)
found = {"contours": segment.contours(field.image), "unet": segment.unet(field.image)}

fig, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for axis, (name, masks) in zip(axes, found.items(), strict=True):
    axis.imshow(segment.outline(field.image, masks))
    axis.set_title(f"{name}: {masks.n_cells} cells")
    axis.axis("off")

# %%
# Where the truth is known, each true cell is scored.

truth = segment.Masks(field.cell, field.nucleus)
columns = ["cell", "found", "dice_cell", "dice_nucleus"]
segment.score(found["contours"], truth)[columns].round(3)

# %%

segment.score(found["unet"], truth)[columns].round(3)
