"""
A leaky split and an honest one
===============================

Cells of a patient resemble each other. Where they lie on both sides of a split, a model is
rewarded for knowing the patient: here, labels that no cell shows are "predicted".
"""

from hemafeat import datasets, evaluate, report

# Patients are ill or not; their cells do not show it (0.2 abnormal cells in both), but they look
# alike.
cells = datasets.drawn_bags(30, abnormal=(0.2, 0.2), patient_spread=1.0, random_state=0)
study = evaluate.leakage(
    ["svc"], cells, groups="patient", protocols=["grouped", "image-random"], n_splits=5, n_boot=200
)
report.figure_leakage(study)

# %%

study.summary()
