"""Compiled code only: arrays in, arrays out. Imports NumPy, numba and math, nothing else."""
