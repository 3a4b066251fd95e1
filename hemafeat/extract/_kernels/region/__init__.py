"""Geometry of one region, shared by the kernels of families."""
