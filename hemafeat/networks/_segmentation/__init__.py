"""Networks that segment cells: architectures, training samples and training."""
