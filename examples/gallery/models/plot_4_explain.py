"""
Why this cell
=============

Shapley values say which features of a cell spoke for the class that a model gave it.
"""

import tempfile

import matplotlib.pyplot as plt

from hemafeat import datasets, extract, images, pipelines

kinds = ["lymphocyte", "monocyte", "neutrophil"]
cells = datasets.drawn(tempfile.mkdtemp(), 90, kinds=kinds, size=160, random_state=3)
table = extract.table(cells, families=["shape", "relation", "lobes", "density"])
train, new = table.iloc[:-3], table.iloc[-3:]
model = pipelines.logistic().fit(train, train["label"])
reasons = pipelines.explain(model, new, train)

fig, axes = plt.subplots(3, 2, figsize=(10, 6), width_ratios=[1, 4], layout="constrained")
for row, (left, right) in enumerate(axes):
    told = reasons[reasons["row"] == row]
    left.imshow(images.read(new["image"].iloc[row]))
    right.set_title(f"{told['predicted'].iloc[0]}, labelled {new['label'].iloc[row]}", loc="left")
    right.text(0, 0.5, "\n\n".join(told["reason"]), va="center")
    for axis in (left, right):
        axis.axis("off")
