"""Models of patients: bags of cells, attributes, and classifiers of them."""
