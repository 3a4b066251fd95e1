"""Segment white cells and their nuclei, read and score masks, and draw their outlines."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
