"""Measure named features of each cell in images: tables, families of features, their columns."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
