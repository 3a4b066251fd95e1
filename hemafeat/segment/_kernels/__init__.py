"""Compiled kernels of segmentation: arrays in, arrays out. They import NumPy and Numba only."""
