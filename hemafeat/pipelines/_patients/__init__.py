"""Models of patients: from bags of cells and attributes to one verdict."""
