"""
Cells as other laboratories take them
=====================================

A cell is redrawn in other stains, lights and compressions. Models that learn from such copies
depend less on one laboratory (``extract.table(augment=)``).
"""

import matplotlib.pyplot as plt

from hemafeat import datasets, extract, images, segment

cell = datasets.draw_cell("basophil", size=240, random_state=1)
masks = segment.Masks(cell.cell, cell.nucleus)
columns = ["nucleus__shape__area", "nucleus__density__mean__g"]

fig, axes = plt.subplots(2, 4, figsize=(9, 5.4), layout="constrained")
for seed, axis in enumerate(axes.flat):
    image = images.StainJitter(random_state=seed)(cell.image) if seed else cell.image
    features = extract.measure(image, masks, families=["shape", "density"])
    area, density = features[columns].iloc[0]
    axis.imshow(image)
    axis.set_title(f"area {area:.0f} px$^2$\ndensity {density:.2f} OD", fontsize=10)
    axis.axis("off")
