"""Networks on bags: one verdict on all cells of a patient."""
