"""Models on held-out groups: scores with intervals, comparisons, predictions to look at."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
