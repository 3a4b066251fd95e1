"""Patients judged by the background of their smear: what stain and camera alone tell."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline

from hemafeat._public import public
from hemafeat.pipelines._patients.attribute_models import PenalisedLogistic
from hemafeat.pipelines._patients.bags import CELLS, WHITE, as_bags
from hemafeat.pipelines._steps.missing import FillMissing
from hemafeat.pipelines._steps.scale import ClippedScaler


@public
class BackgroundMeans(TransformerMixin, BaseEstimator):
    """Mean white of the background of each patient's images, and nothing of the cells."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check that the white is known.

        Raises
        ------
        ValueError
            The bags do not hold it.
        """
        self.transform(X)
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> np.ndarray:
        """(n_patients, 3) ndarray of float64: red, green and blue, 0 to 255; NaN if unknown."""
        rows = []
        for bag in as_bags(X):
            missing = [name for name in WHITE if name not in bag.beside]
            if missing:
                raise ValueError(
                    f"the white of the background is not known: the table has no {missing[0]!r}"
                )
            white = np.array([bag.beside[name] for name in WHITE], dtype=np.float64)
            known = ~np.isnan(white).any(axis=0)
            rows.append(white[:, known].mean(axis=1) if known.any() else np.full(3, np.nan))
        return np.array(rows)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the three columns."""
        return np.asarray([f"{name}__mean" for name in WHITE], dtype=object)


def stain_only() -> Pipeline:
    """Logistic regression on the mean white of the background: what is known of a smear unread.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``white``, ``fill``, ``scale``, ``model``. Takes rows of `bags` made of a table of
        `extract.table`, which has the columns ``quality__white_r``, ``_g`` and ``_b``.

    Notes
    -----
    Where smears of the ill were stained or photographed apart from the others, this is above
    chance, and so is any model that sees colour or density.
    """
    steps = [
        ("white", BackgroundMeans()),
        ("fill", FillMissing()),
        ("scale", ClippedScaler()),
        ("model", PenalisedLogistic()),
    ]
    return Pipeline(steps)


def knows_background(patients: pd.DataFrame) -> bool:
    """Whether rows of `bags` hold the white of the background, and it differs."""
    bags = patients[CELLS].tolist()
    if not all(set(WHITE) <= set(bag.beside) for bag in bags):
        return False
    white = np.concatenate([[bag.beside[name] for name in WHITE] for bag in bags], axis=1)
    return bool(np.nanmax(white, initial=0) > np.nanmin(white, initial=255))
