"""
Cells that touch red cells
==========================

The outline of a cell must not follow the red cells beside it.
"""

import matplotlib.pyplot as plt

from hemafeat import datasets, segment

fig, axes = plt.subplots(2, 4, figsize=(10, 5.2), layout="constrained")
for column, neighbours in zip(axes.T, (0.0, 0.3, 0.6, 1.0), strict=True):
    cell = datasets.draw_cell("monocyte", size=240, neighbours=neighbours, random_state=8)
    truth = segment.Masks(cell.cell, cell.nucleus)
    for axis, segmenter in zip(column, (segment.contours, segment.unet), strict=True):
        masks = segmenter(cell.image)
        score = segment.score(masks, truth)["dice_cell"].max()
        axis.imshow(segment.outline(cell.image, masks))
        axis.set_title(f"{segmenter.__name__}: Dice {score:.3f}", fontsize=10)
        axis.axis("off")
