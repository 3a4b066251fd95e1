"""
A feature by class
==================

A folder of images becomes a table, and a column of it a plot.
"""

import tempfile

import matplotlib.pyplot as plt

from hemafeat import datasets, extract

folder = tempfile.mkdtemp()
cells = datasets.drawn(folder, 90, size=160, n_patients=6, random_state=0)  # or: a folder of yours
table = extract.table(cells, families=["shape", "relation", "lobes"], um_per_px=36 / 160)
print(len(table), "cells,", len(extract.errors(table)), "errors")

# %%

columns = ["cell__relation__nucleus_to_cell_area_ratio", "nucleus__shape__area"]
units = extract.units(table)
fig, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
for axis, column in zip(axes, columns, strict=True):
    groups = dict(list(table.groupby("label")[column]))
    axis.boxplot([g.dropna() for g in groups.values()], tick_labels=list(groups), vert=False)
    axis.set_xlabel(f"{column}\n({units[column]})")
    axis.spines[["top", "right"]].set_visible(False)
