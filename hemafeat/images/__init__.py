"""Any image file or array to (H, W, 3) uint8 RGB, or an `ImageError` that says why not."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
