"""Networks that outline cells: architecture, samples, training."""
