"""List, download, draw, merge and audit data sets, which are tables of one row per image."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
