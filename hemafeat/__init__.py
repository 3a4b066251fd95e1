"""Morphology features of blood cells, and an honest protocol to compare classifiers on them.

Each subpackage is imported on first use, so ``import hemafeat`` itself takes a few milliseconds.
"""

import lazy_loader as _lazy

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
