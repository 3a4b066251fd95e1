"""
A model that can say no
=======================

A calibrated model refuses cells that are unlike those it was trained on, here two types it has
never seen.
"""

import tempfile

import matplotlib.pyplot as plt

from hemafeat import datasets, extract, pipelines

kinds = ["lymphocyte", "monocyte", "neutrophil", "eosinophil", "erythroblast", "platelet"]
cells = datasets.drawn(tempfile.mkdtemp(), 240, kinds=kinds, n_patients=24, size=120)
table = extract.table(cells, families="fast")
known = table[table["label"].isin(kinds[:4]) & (table["patient"] < "P19")]
new = table[table["patient"] >= "P19"]

model = pipelines.SelectiveClassifier(pipelines.logistic(), coverage=0.9, column="patient")
answers = model.fit(known, known["label"]).answers(new)
answers[["predicted", "anomaly", "refused"]].assign(label=new["label"]).head(4)

# %%
# What resembles a known type may pass the limit: a prediction is no proof that the type was known.

plt.figure(figsize=(7, 4), layout="constrained")
for place, kind in enumerate(kinds):
    anomaly = answers.loc[(new["label"] == kind).to_numpy(), "anomaly"]
    plt.scatter(anomaly, [place] * len(anomaly), alpha=0.6)
plt.axvline(1, color="black", linestyle="dotted", label="the limit: refused beyond it")
plt.yticks(range(6), [*kinds[:4], *(f"{kind} (unknown)" for kind in kinds[4:])])
plt.xlabel("how unlike the cells trained on")
plt.xscale("log")
plt.legend()
