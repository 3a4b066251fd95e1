"""Published systems as data: the figures that were reported, and where each was measured."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
