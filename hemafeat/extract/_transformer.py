"""`table` as a scikit-learn transformer: images in, features of the central cell out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from hemafeat._public import public
from hemafeat.extract._columns import Families, columns
from hemafeat.extract._table.image import image_name
from hemafeat.extract._table.result import errors
from hemafeat.extract._table.table import table
from hemafeat.images import ImageError, normaliser, read


@public
class CellFeatures(TransformerMixin, BaseEstimator):
    """Features of the cell at the centre of each image.

    A pipeline needs as many rows out as images went in, so an image that cannot be read or shows
    no cell is a row of NaN, with a warning; the pipelines of this package impute inside the fold.

    Parameters
    ----------
    families : {"default", "all"} or list of names or functions
        Which features.
    segmenter : str or callable
        As in `table`.
    masks : None, "given", folder
        As in `table`; a list cannot follow the folds of a cross-validation and is refused.
    um_per_px : float, optional
        Side of a pixel in um.
    n_jobs : int, optional
        Threads; all processors by default.
    normalise : {"grey-world", "reinhard", "macenko"} or callable, optional
        As in `table`. Reinhard and Macenko by name take their target from the images given to
        `fit`, those of the training part.

    Attributes
    ----------
    n_features_out_ : int
        Number of columns.
    normalise_ : callable or None
        The normaliser, fitted.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from hemafeat import extract, pipelines
    >>> model = make_pipeline(extract.CellFeatures(), pipelines.random_forest())
    """

    def __init__(
        self,
        families: Families = "default",
        segmenter: str | Callable[[np.ndarray], Any] = "contours",
        masks: Any = None,
        um_per_px: float | None = None,
        n_jobs: int | None = None,
        normalise: str | Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.families = families
        self.segmenter = segmenter
        self.masks = masks
        self.um_per_px = um_per_px
        self.n_jobs = n_jobs
        self.normalise = normalise

    def fit(self, X: Any, y: Any = None) -> CellFeatures:
        """Check the settings and fit the normaliser; nothing else is learned from the images.

        Parameters
        ----------
        X : list of paths or arrays, (n,) object array, (n, H, W, 3) array, or image table
            The images.
        y : ignored
            Here for the conventions of scikit-learn.

        Returns
        -------
        CellFeatures
            Itself.
        """
        self.n_features_out_ = len(columns(self.families))
        self.normalise_ = self.normalise
        if isinstance(self.normalise, str):
            self.normalise_ = normaliser(self.normalise, _readable(_listed(X)[0]))
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Measure the images.

        Parameters
        ----------
        X : list of paths or arrays, (n,) object array, (n, H, W, 3) array, or image table
            The images.

        Returns
        -------
        (n_images, n_features) ndarray of float64
            A DataFrame after ``set_output(transform="pandas")``.
        """
        check_is_fitted(self)
        if self.masks is not None and not isinstance(self.masks, (str, os.PathLike)):
            raise ValueError('masks is None, "given" or a folder in a transformer')
        images, listed = _listed(X)
        # Resampling repeats images: each is measured once and its row copied.
        place: dict[str, int] = {}
        rows = [
            place.setdefault(image_name(image, n), len(place)) for n, image in enumerate(images)
        ]
        first = [rows.index(n) for n in range(len(place))]
        found = table(
            listed.iloc[first] if isinstance(listed, pd.DataFrame) else [images[n] for n in first],
            segmenter=self.segmenter,
            masks=self.masks,
            families=self.families,
            cells="central",
            um_per_px=self.um_per_px,
            normalise=self.normalise_,
            n_jobs=self.n_jobs,
            progress=False,
        )
        names = columns(self.families)
        values = np.full((len(place), len(names)), np.nan)
        order = {image_name(images[n], m): m for m, n in enumerate(first)}
        values[[order[name] for name in found["image"]]] = found[names].to_numpy()
        failures = errors(found)
        if len(failures):
            worst = failures.iloc[0]
            warnings.warn(
                f"{failures['image'].nunique()} of {len(place)} images could not be measured "
                f"whole; the first is {worst['image']}: {worst['message']}",
                stacklevel=2,
            )
        return values[rows]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """(n_features,) object array of column names."""
        return np.asarray(columns(self.families), dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.requires_fit = isinstance(self.normalise, str)
        return tags


def _readable(images: list[Any]) -> Iterator[np.ndarray]:
    """Those that can be read; the others are a row of NaN and a warning when they are measured."""
    for image in images:
        with suppress(ImageError):
            yield read(image)


def _listed(X: Any) -> tuple[list[Any], Any]:
    """The images of what scikit-learn passes on (arrays cut by a splitter), and their table."""
    if isinstance(X, pd.DataFrame):
        return list(X["image"]), X
    if isinstance(X, np.ndarray) and X.dtype.kind in "OUT":
        X = X.ravel()
    if isinstance(X, (str, os.PathLike)):
        X = [X]
    return list(X), None
