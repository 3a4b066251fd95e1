"""
The table in other tools
========================

A table of hemafeat is an ordinary DataFrame: any library of plots, statistics or single cells
takes it.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hemafeat import datasets, extract

folder = Path(tempfile.mkdtemp())
kinds = ["lymphocyte", "monocyte", "neutrophil", "eosinophil"]
cells = datasets.drawn(folder / "cells", 80, kinds=kinds, size=160, random_state=1)
table = extract.table(cells, families="fast", out=folder / "cells.csv")
sorted(path.name for path in folder.glob("*.csv"))

# %%
# Beside the CSV file lies a dictionary of its columns. scikit-learn takes the columns of features
# as they are.

features = table[extract.feature_columns(table)]
place = make_pipeline(SimpleImputer(), StandardScaler(), PCA(2)).fit_transform(features)

plt.figure(figsize=(7, 5), layout="constrained")
for kind in kinds:
    plt.scatter(*place[table["label"] == kind].T, label=kind)
plt.legend()
plt.xlabel("first principal component")
plt.ylabel("second principal component")

# %%
# With ``pip install anndata``, scanpy and squidpy take it as well::
#
#     adata = extract.to_anndata(table)
#     adata.write_h5ad("cells.h5ad")
