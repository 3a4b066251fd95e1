"""Grey pixels of the centre of an image as features."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from hemafeat import networks
from hemafeat._public import public


@public
class GreyPixels(TransformerMixin, BaseEstimator):
    """Describe an image by the grey pixels of its centre.

    Parameters
    ----------
    crop : int
        Side of the square that is cut from the centre of the image, in px. A smaller image is
        padded with black.
    size : int, optional
        Side to which the square is resized by area averaging, in px; `crop` by default.
    outside : {"keep", "black", "white", "mean"}
        Pixels outside the central cell, which `segmenter` finds: as they are, black, white, or
        their mean colour. An image in which no cell is found stays as it is.
    segmenter : str or callable
        Segmenter for `outside`, see `hemafeat.segment.segmenter`.

    Notes
    -----
    The rows of the square are ``image[h//2 - crop//2 : h//2 + crop - crop//2]``, and likewise its
    columns. Grey is ``0.299 R + 0.587 G + 0.114 B``, rounded to uint8.

    Examples
    --------
    >>> import numpy as np
    >>> from hemafeat import pipelines
    >>> image = np.full((5, 5, 3), (200, 100, 50), np.uint8)
    >>> pipelines.GreyPixels(crop=2).fit_transform([image]).tolist()
    [[124, 124, 124, 124]]
    """

    looks_at = frozenset({"images"})

    def __init__(
        self,
        crop: int = 256,
        size: int | None = None,
        *,
        outside: str = "keep",
        segmenter: Any = "contours",
    ) -> None:
        self.crop = crop
        self.size = size
        self.outside = outside
        self.segmenter = segmenter

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters.

        Parameters
        ----------
        X, y : object
            Not used.

        Returns
        -------
        GreyPixels
            The same object.

        Raises
        ------
        ValueError
            If a side is below 1, or `outside` is not known.
        """
        for name, side in (("crop", self.crop), ("size", self.size)):
            if side is not None and side < 1:
                raise ValueError(f"{name} is a side in pixels of at least 1; got {side}")
        self.side_ = self.crop if self.size is None else self.size
        self._maker()  # raises an error for an unknown `outside`
        return self

    def _maker(self) -> networks.PictureMaker:
        return networks.PictureMaker(
            "centre",
            (self.side_, self.side_),
            side=self.crop,
            colour="grey",
            interpolation="area",
            colour_first=True,
            border="black",
            outside=self.outside,
        )

    def transform(self, X: Any) -> np.ndarray:
        """Return the grey values of each image.

        Parameters
        ----------
        X : DataFrame with a column ``image``, or sequence
            Paths or (H, W, 3) uint8 arrays, one per row.

        Returns
        -------
        (n_images, side * side) ndarray of uint8
            Pixels row by row from the top left.

        Raises
        ------
        hemafeat.images.ImageError
            If an image cannot be read.
        """
        sources = networks.image_sources(X, "grey pixels are read")
        pictures = networks.Pictures(sources, self._maker(), segmenter=self.segmenter)
        out = np.empty((len(sources), self.side_**2), dtype=np.uint8)
        for row in range(len(sources)):
            out[row] = pictures[[row]].ravel()
        return out

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the name ``grey__<row>__<column>`` of each pixel.

        Parameters
        ----------
        input_features : object
            Not used.

        Returns
        -------
        (side * side,) ndarray of object
        """
        side = range(self.side_)
        return np.asarray(
            [f"grey__{row}__{column}" for row in side for column in side], dtype=object
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Models of version 0.1 keep every pixel.
        super().__setstate__({"outside": "keep", "segmenter": "contours", **state})

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "side_")
