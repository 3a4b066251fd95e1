"""Networks in Keras 3: classifiers of images and of bags of cells, embeddings, segmenters.

The package itself imports without Keras. Building or running a network needs the extra ``deep``.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
