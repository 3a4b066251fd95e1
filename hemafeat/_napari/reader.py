"""What napari opens by itself: folders and tables, and a drawn field."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hemafeat._napari.collection import LayerData

KINDS = ("neutrophil", "lymphocyte", "monocyte", "eosinophil", "platelet")
"""Types of the cells of the drawn field."""


def get_reader(path: Any) -> Callable[[Any], list[LayerData]] | None:
    """Return the function that opens a folder or table, or None for a list of paths."""
    return _open if isinstance(path, (str, os.PathLike)) else None


def _open(path: str) -> list[LayerData]:
    from hemafeat._napari.collection import Collection

    collection = Collection(path)
    if len(collection.images) > 1:
        warnings.warn(
            f"{path} has {len(collection.images)} images, of which the first is shown; the panel "
            "Correct and measure cells shows the others",
            UserWarning,
            stacklevel=2,
        )
    return collection.layers(0)


def drawn_field() -> list[LayerData]:
    """Return a drawn field of blood cells as the layer of an image."""
    from hemafeat.datasets import draw_field

    field = draw_field(KINDS, random_state=0)
    return [(field.image, {"name": "drawn field", "rgb": True}, "image")]
