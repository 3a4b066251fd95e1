"""
A segmenter of your own
=======================

Any function from an image to masks is a segmenter: it is scored beside the built-in ones, and
measured with.
"""

import tempfile

import matplotlib.pyplot as plt
from skimage import filters, measure

from hemafeat import datasets, images, segment


def otsu(image):
    """Take what is dark for nuclei, and what is coloured around them for cells."""
    green = image[..., 1]
    levels = filters.threshold_multiotsu(green, 3)
    cell = measure.label(green < levels[1])
    middle = cell[cell.shape[0] // 2, cell.shape[1] // 2]
    cell = (cell == middle) & (middle > 0)
    return segment.Masks(cell, cell & (green < levels[0]))


cells = datasets.drawn(tempfile.mkdtemp(), 12, size=200, random_state=4)
scores = segment.score_images(cells, "given", ["contours", otsu])
scores.summary[["segmenter", "found", "spurious", "nucleus_mean", "cell_mean"]].round(3)

# %%

fig, axes = plt.subplots(2, 5, figsize=(10, 4.4), layout="constrained")
for column, path in zip(axes.T, cells["image"], strict=False):
    image = images.read(path)
    for axis, segmenter in zip(column, (segment.contours, otsu), strict=True):
        axis.imshow(segment.outline(image, segmenter(image)))
        axis.set_title(segmenter.__name__, fontsize=9)
        axis.axis("off")
