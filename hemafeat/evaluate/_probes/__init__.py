"""Probes: models that look at something else than the cells, to find leaks."""
