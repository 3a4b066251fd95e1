"""Extract features inside scikit-learn: images in, features of the central cell out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from hemafeat._frames import IMAGE_COLUMNS, as_frame, with_image_column
from hemafeat._public import public
from hemafeat.extract._columns import FamilyChoice, columns, is_scaled, length_powers
from hemafeat.extract._family import SETS, choose, families as all_families
from hemafeat.extract._former import FORMER_SETS
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
    families : {"fast", "default", "all", "robust"} or list of names or functions
        Feature families, as in `table`.
    segmenter : str or callable
        As in `table`.
    masks : None, "given", folder, pair of folders
        As in `table`. A list cannot follow the folds of a cross-validation and is refused.
    um_per_px : float or "auto", optional
        Side of a pixel in um. By default that of the image table, if images are given as one.
        ``"auto"`` estimates it in each call, from the images of that call.
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
    columns_ : list of str
        Their names. They stay the same if a later version has other columns in a set.
    scaled_ : bool
        Whether the columns are in um, because the scale of the images given to `fit` is known.
        Images of another kind are refused.
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

    looks_at = frozenset({"images"})

    def __init__(
        self,
        families: FamilyChoice = "default",
        segmenter: str | Callable[[np.ndarray], Any] = "contours",
        masks: Any = None,
        um_per_px: float | Literal["auto"] | None = None,
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
            Images, as in `table`. An (H, W, 3) array is one image.
        y : ignored
            Present for the conventions of scikit-learn.

        Returns
        -------
        CellFeatures
            The transformer itself.

        Raises
        ------
        ValueError
            If a table has no column of images, or the scale of some images only is known.
        """
        images, image_table = _images_and_table(X)
        self.columns_ = columns(self.families)
        self.n_features_out_ = len(self.columns_)
        self.scaled_ = self._is_scaled(image_table)
        self.normalise_ = self.normalise
        if isinstance(self.normalise, str):
            self.normalise_ = normaliser(self.normalise, _readable(images))
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Measure the images.

        Parameters
        ----------
        X : list of paths or arrays, (n,) object array, (n, H, W, 3) array, or image table
            Images, as in `table`. An (H, W, 3) array is one image.

        Returns
        -------
        (n_images, n_features) ndarray of float64
            A DataFrame after ``set_output(transform="pandas")``.

        Raises
        ------
        ValueError
            If a table has no column of images, the columns would be in px and those of `fit` in
            um, or the reverse, or this version has not all columns of `fit`.
        """
        check_is_fitted(self)
        names, families = self._names_and_families()
        several = isinstance(self.masks, (tuple, list))
        paths = self.masks if several else [self.masks]
        if self.masks is not None and not (
            all(isinstance(path, (str, os.PathLike)) for path in paths)
            and (not several or (len(paths) == 2 and all(map(os.path.isdir, paths))))
        ):
            raise ValueError('masks is None, "given", a folder or two folders in a transformer')
        images, image_table = _images_and_table(X)
        self._check_scale(self._is_scaled(image_table))
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
            families=families,
            cells="central",
            um_per_px=self.um_per_px,
            normalise=self.normalise_,
            n_jobs=self.n_jobs,
            progress=False,
        )
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

    def _names_and_families(self) -> tuple[list[str], FamilyChoice]:
        """Return the columns that `fit` determined, and families that give them.

        Steps fitted by earlier versions hold only the number of their columns.
        """
        current = columns(self.families)
        names = getattr(self, "columns_", current)
        if len(names) == self.n_features_out_ and names == current:
            return current, self.families
        given = [self.families] if isinstance(self.families, str) else list(self.families)
        if not hasattr(self, "columns_"):
            former: dict[Any, tuple[Any, ...]] = {**FORMER_SETS}
            names = columns([f for item in given for f in former.get(item, (item,))])
        known = all_families()
        choice = [item for item in given if item not in SETS]
        choice += [f for f in dict.fromkeys(name.split("__")[1] for name in names) if f in known]
        if len(names) != self.n_features_out_ or not set(names) <= set(columns(choice)):
            raise ValueError(
                f"families={self.families!r} were {self.n_features_out_} columns when the step was "
                f"fitted, and are {len(current)} now: fit it again"
            )
        return names, choice

    def _is_scaled(self, image_table: pd.DataFrame | None) -> bool:
        """Return whether the columns are in um."""
        if self.um_per_px is not None:
            return True
        return image_table is not None and bool(is_scaled(image_table))

    def _check_scale(self, scaled: bool) -> None:
        """Refuse images whose columns would be in other units than those of `fit`."""
        fitted = getattr(self, "scaled_", scaled)
        if fitted == scaled or not length_powers(choose(self.families)).any():
            return
        if fitted:
            raise ValueError(
                "the step was fitted on images of known scale, in um, and the scale of these "
                "images is not known: give an image table with their um_per_px, or set um_per_px "
                "of CellFeatures"
            )
        raise ValueError(
            "the step was fitted on images without a scale, in px, and the scale of these images "
            "is known: leave um_per_px out, or fit it on images with their scale"
        )

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns: (n_features,) object array."""
        fitted = hasattr(self, "n_features_out_")
        names = self._names_and_families()[0] if fitted else columns(self.families)
        return np.asarray(names, dtype=object)

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
    X = as_frame(X)
    if isinstance(X, pd.DataFrame):
        X = with_image_column(X)
        if "image" not in X.columns:
            names = ", ".join(map(str, X.columns[:5])) or "none"
            raise ValueError(
                f"the table has no column {' or '.join(map(repr, IMAGE_COLUMNS))} of images; its "
                f"first columns: {names}"
            )
        return list(X["image"]), X
    if isinstance(X, np.ndarray) and X.dtype.kind in "OUT":
        X = X.ravel()
    one_array = isinstance(X, np.ndarray) and X.dtype.kind in "buif" and X.ndim != 4
    if one_array or isinstance(X, (str, bytes, bytearray, os.PathLike)):
        X = [X]
    return list(X), None
