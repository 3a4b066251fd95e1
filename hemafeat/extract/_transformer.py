"""Extract features inside scikit-learn: images in, features of the central cell out."""

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
from hemafeat.extract._columns import FamilyChoice, columns
from hemafeat.extract._table.errors import errors, image_name
from hemafeat.extract._table.table import table
from hemafeat.images import ImageError, normaliser, read


@public
class CellFeatures(TransformerMixin, BaseEstimator):
    """Transformer of images into the features of the cell at the centre of each.

    A pipeline needs as many rows out as images went in, so an image that cannot be read or shows
    no cell is a row of NaN, with a warning; the pipelines of this package impute inside the fold.

    Parameters
    ----------
    families : {"fast", "default", "all"} or list of names or functions
        Feature families, as in `table`.
    segmenter : str or callable
        As in `table`.
    masks : None, "given", folder, pair of folders
        As in `table`. A list cannot follow the folds of a cross-validation and is refused.
    um_per_px : float, optional
        Side of a pixel in um. By default that of the image table, if images are given as one.
    n_jobs : int, optional
        Number of threads; all processors by default.
    normalise : {"grey-world", "reinhard", "macenko"} or callable, optional
        As in `table`. Reinhard and Macenko by name take their target from the images given to
        `fit`, which are those of the training part.
    mask_kind : {"auto", "trimap", "labels", "cells", "nuclei"}
        As in `table`.

    Attributes
    ----------
    n_features_out_ : int
        Number of columns.
    normalise_ : callable or None
        The fitted normaliser.

    Examples
    --------
    >>> from hemafeat import datasets, extract
    >>> cells = datasets.drawn("cells", 3, size=120, random_state=0)
    >>> step = extract.CellFeatures(families=["shape"]).set_output(transform="pandas")
    >>> step.fit_transform(cells).shape
    (3, 64)
    """

    def __init__(
        self,
        families: FamilyChoice = "default",
        segmenter: str | Callable[[np.ndarray], Any] = "contours",
        masks: Any = None,
        um_per_px: float | None = None,
        n_jobs: int | None = None,
        normalise: str | Callable[[np.ndarray], np.ndarray] | None = None,
        mask_kind: str = "auto",
    ) -> None:
        self.families = families
        self.segmenter = segmenter
        self.masks = masks
        self.um_per_px = um_per_px
        self.n_jobs = n_jobs
        self.normalise = normalise
        self.mask_kind = mask_kind

    def fit(self, X: Any, y: Any = None) -> CellFeatures:
        """Check the settings and fit the normaliser; nothing else is learned from the images.

        Parameters
        ----------
        X : list of paths or arrays, (n,) object array, (n, H, W, 3) array, or image table
            Images.
        y : ignored
            Present for the conventions of scikit-learn.

        Returns
        -------
        CellFeatures
            The transformer itself.
        """
        self.n_features_out_ = len(columns(self.families))
        self.normalise_ = self.normalise
        if isinstance(self.normalise, str):
            images, _ = _images_and_table(X)
            self.normalise_ = normaliser(self.normalise, _readable(images))
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Measure the images.

        Parameters
        ----------
        X : list of paths or arrays, (n,) object array, (n, H, W, 3) array, or image table
            Images.

        Returns
        -------
        (n_images, n_features) ndarray of float64
            A DataFrame after ``set_output(transform="pandas")``.
        """
        check_is_fitted(self)
        several = isinstance(self.masks, (tuple, list))
        paths = self.masks if several else [self.masks]
        if self.masks is not None and not (
            all(isinstance(path, (str, os.PathLike)) for path in paths)
            and (not several or (len(paths) == 2 and all(map(os.path.isdir, paths))))
        ):
            raise ValueError('masks is None, "given", a folder or two folders in a transformer')
        images, image_table = _images_and_table(X)
        # Bootstrap samples repeat images: each is measured once and its row copied.
        number_of: dict[str, int] = {}
        numbers = [
            number_of.setdefault(image_name(image, n), len(number_of))
            for n, image in enumerate(images)
        ]
        first = [numbers.index(n) for n in range(len(number_of))]
        cells = table(
            [images[n] for n in first] if image_table is None else image_table.iloc[first],
            segmenter=self.segmenter,
            masks=self.masks,
            mask_kind=self.mask_kind,
            families=self.families,
            cells="central",
            um_per_px=self.um_per_px,
            normalise=self.normalise_,
            n_jobs=self.n_jobs,
            progress=False,
        )
        names = columns(self.families)
        values = np.full((len(first), len(names)), np.nan)
        # `table` names arrays by their position among the images it was given.
        row_of = {image_name(images[n], row): row for row, n in enumerate(first)}
        values[[row_of[name] for name in cells["image"]]] = cells[names].to_numpy()
        failures = errors(cells)
        if len(failures):
            example = failures.iloc[0]
            warnings.warn(
                f"{failures['image'].nunique()} of {len(first)} images could not be measured "
                f"completely; the first is {example['image']}: {example['message']}",
                stacklevel=2,
            )
        return values[numbers]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns: (n_features,) object array."""
        return np.asarray(columns(self.families), dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.requires_fit = isinstance(self.normalise, str)
        return tags


def _readable(images: list[Any]) -> Iterator[np.ndarray]:
    """Read the images that can be read; the others become rows of NaN in `transform`."""
    for image in images:
        with suppress(ImageError):
            yield read(image)


def _images_and_table(X: Any) -> tuple[list[Any], pd.DataFrame | None]:
    """Return the images that scikit-learn passes on, and their table if `X` is one."""
    if isinstance(X, pd.DataFrame):
        return list(X["image"]), X
    if isinstance(X, np.ndarray) and X.dtype.kind in "OUT":
        X = X.ravel()
    if isinstance(X, (str, os.PathLike)):
        X = [X]
    return list(X), None
