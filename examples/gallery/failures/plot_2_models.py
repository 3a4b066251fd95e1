"""
Where models go wrong
=====================

A model of one laboratory meets the cells of others: it is wrong more often, and should refuse
more.
"""

import tempfile

import matplotlib.pyplot as plt
import pandas as pd

from hemafeat import datasets, extract, pipelines

kinds = ["lymphocyte", "monocyte", "neutrophil", "eosinophil"]


def measured(background, seed):
    cells = datasets.drawn(
        tempfile.mkdtemp(), 100, kinds=kinds, size=120, background=background, random_state=seed
    )
    return extract.table(cells, families="fast")


home = measured("cream", 0)
model = pipelines.SelectiveClassifier(pipelines.logistic(), coverage=0.9, column="patient")
model.fit(home, home["label"])
rows = {}
for background in ("cream", "white", "pink", "yellow"):
    new = measured(background, 1)
    answers = model.answers(new)
    right = answers["predicted"].to_numpy() == new["label"].to_numpy()
    kept = answers["refused"].to_numpy() == ""
    rows[background] = {
        "right": (right & kept).mean(),
        "wrong": (~right & kept).mean(),
        "refused": 1 - kept.mean(),
    }

colours = ["#2a9d8f", "#c1121f", "#bbbbbb"]
pd.DataFrame(rows).T.plot.barh(stacked=True, color=colours, figsize=(7, 3))
plt.xlabel("share of the cells")
plt.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
plt.tight_layout()
