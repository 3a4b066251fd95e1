"""
Patients from their cells
=========================

A bag of cells gives one verdict per patient; scores count patients, and models that look at no
cell stand beside.
"""

from hemafeat import datasets, evaluate, report

cells = datasets.drawn_bags(40, cells=(20, 40), random_state=1)
models = ["vote_mean", "table_logistic"]
comparison = evaluate.compare(
    models, cells, level="patient", n_splits=4, n_boot=200, importance=False
)
report.figure_scores(comparison)

# %%

report.figure_roc(comparison)

# %%

comparison.summary()
