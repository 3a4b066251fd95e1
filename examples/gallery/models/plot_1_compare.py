"""
Compare models
==============

Models are scored on patients that they have not seen, with intervals, beside baselines.
"""

import tempfile

from hemafeat import datasets, evaluate, extract, report

kinds = ["lymphocyte", "monocyte", "neutrophil", "eosinophil"]
cells = datasets.drawn(tempfile.mkdtemp(), 120, kinds=kinds, size=120, random_state=0)
table = extract.table(cells, families="fast")
models = ["logistic", "svc", "random_forest"]
comparison = evaluate.compare(models, table, n_splits=3, n_boot=200, importance=False)
print(comparison.protocol)
report.figure_scores(comparison)

# %%
# Intervals of models on the same patients say little about their difference, which is resampled
# in pairs.

report.figure_differences(comparison)

# %%

report.figure_confusion(comparison)
