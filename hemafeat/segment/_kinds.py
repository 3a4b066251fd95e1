"""Names of the kinds of masks, which the command line reads without loading NumPy."""

MASK_KINDS = ("auto", "trimap", "labels", "cells", "nuclei")
"""Kinds of masks that `read_masks` can be told to read."""
