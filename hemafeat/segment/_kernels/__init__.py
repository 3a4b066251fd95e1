"""Compiled code only: arrays in, arrays out. Imports NumPy and numba, nothing else."""
