"""Loaders of the public data sets, one file each."""
