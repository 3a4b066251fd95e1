"""Leak probes: predictions of the label from everything but the cell."""
