"""
Labels that look wrong
======================

A twentieth of the labels are swapped; models trained on other patients and the nearest cells find
most of them. Green: a label that was swapped; red: one that was not.
"""

import tempfile

import matplotlib.pyplot as plt
import numpy as np

from hemafeat import datasets, evaluate, extract, images

kinds = ["lymphocyte", "monocyte", "neutrophil", "eosinophil"]
cells = datasets.drawn(tempfile.mkdtemp(), 120, kinds=kinds, size=120, random_state=5)
table = extract.table(cells, families="fast")
swapped = np.random.default_rng(0).choice(len(table), 6, replace=False)
true = table["label"].copy()
table.loc[swapped, "label"] = [kinds[kinds.index(k) - 1] for k in true[swapped]]

ranked = evaluate.suspected_labels(table)
fig, axes = plt.subplots(2, 4, figsize=(10, 5.6), layout="constrained")
for axis, (_, found) in zip(axes.flat, ranked.iterrows(), strict=False):
    axis.imshow(images.read(found["image"]))
    right = found["row"] in swapped
    axis.set_title(f"{found['label']}?\n{found['suggested']}", color="green" if right else "red")
    axis.axis("off")
