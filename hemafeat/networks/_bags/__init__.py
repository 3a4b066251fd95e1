"""Networks on bags of cells: one prediction for all cells of a patient."""
