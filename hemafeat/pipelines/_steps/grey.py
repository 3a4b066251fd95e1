"""Grey pixels of the image centre: the plainest baseline, from the image itself."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from hemafeat import images, networks
from hemafeat._public import public


@public
class GreyPixels(TransformerMixin, BaseEstimator):
    """Read images, cut out the centre, make it grey and lay the pixels out in a row.

    Parameters
    ----------
    crop : int
        Side of the square cut from the image centre, in px. A smaller image is padded with black.
    size : int, optional
        Side the square is then resized to (area averaging). None keeps it.

    Notes
    -----
    The crop is ``image[h//2 - crop//2 : h//2 + crop - crop//2]`` and the same across, grey is
    ``0.299 R + 0.587 G + 0.114 B`` rounded to uint8.
    """

    reads_images = True
    """What tells `evaluate.compare` to give this step the images, not the features."""

    def __init__(self, crop: int = 256, size: int | None = None) -> None:
        self.crop = crop
        self.size = size

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters; nothing is learnt.

        Raises
        ------
        ValueError
            A side below 1.
        """
        for name, side in (("crop", self.crop), ("size", self.size)):
            if side is not None and side < 1:
                raise ValueError(f"{name} is a side in pixels, at least 1; got {side}")
        self.side_ = self.crop if self.size is None else self.size
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Grey values of each image.

        Parameters
        ----------
        X : DataFrame with a column ``image``, or sequence
            Paths or (H, W, 3) uint8 arrays, one per row.

        Returns
        -------
        (n_images, side * side) ndarray of uint8
            Row by row from the top left.

        Raises
        ------
        hemafeat.images.ImageError
            An image cannot be read.
        """
        sources = networks.image_sources(X, "grey pixels are read")
        maker = networks.PictureMaker(
            "centre",
            (self.side_, self.side_),
            side=self.crop,
            colour="grey",
            interpolation="area",
            colour_first=True,
            border="black",
        )
        out = np.empty((len(sources), self.side_**2), dtype=np.uint8)
        for row, source in enumerate(sources):
            out[row] = maker.make(images.read(source)).ravel()
        return out

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """``grey__<row>__<column>`` of each pixel."""
        place = range(self.side_)
        return np.asarray([f"grey__{r}__{c}" for r in place for c in place], dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "side_")
