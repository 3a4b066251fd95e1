"""Models of patients that look at no cell: the baselines that every other model must beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline

from hemafeat._public import public
from hemafeat.pipelines._patients.attributes import DateFormat, date_columns
from hemafeat.pipelines._patients.bags import CELLS, WHITE, as_bags
from hemafeat.pipelines._patients.table import PatientTable
from hemafeat.pipelines._steps.best_of import BestOf, few_columns
from hemafeat.pipelines._steps.missing import FillMissing
from hemafeat.pipelines._steps.penalised import PenalisedLogistic


def patient_baseline() -> Pipeline:
    """Predict the most frequent label, with the shares of the labels as probabilities.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Unfitted, with the steps ``count`` (which the model ignores) and ``model``. It takes rows
        of `bags`.

    Examples
    --------
    >>> from hemafeat import datasets, pipelines
    >>> rows = pipelines.bags(datasets.drawn_bags(9, ill=1 / 3, random_state=0))
    >>> model = pipelines.patient_baseline().fit(rows, rows["label"])
    >>> set(model.predict(rows).tolist())
    {'reactive'}
    """
    steps = [("count", PatientTable("count")), ("model", DummyClassifier(strategy="prior"))]
    return Pipeline(steps)


def bag_size_only(*, random_state: int = 0) -> Pipeline:
    """Classify patients by the number of their cells alone.

    Parameters
    ----------
    random_state : int
        Seed of the classifiers and of the inner folds.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Unfitted, with the steps ``count`` and ``model``, the `BestOf` a threshold, a logistic
        regression, one of the logarithm, and boosted trees. It takes rows of `bags`.

    Notes
    -----
    A model that does not beat this baseline may have learnt nothing but the number of cells. In
    the public lymphocytosis set the median number of images is 95 for malignant and 52 for
    reactive patients.

    Examples
    --------
    >>> from hemafeat import datasets, pipelines
    >>> rows = pipelines.bags(datasets.drawn_bags(30, leak_size=1.0, random_state=0))
    >>> model = pipelines.bag_size_only().fit(rows, rows["label"])
    >>> bool((model.predict(rows) == rows["label"]).mean() > 0.8)
    True
    """
    return Pipeline(
        [
            ("count", PatientTable("count")),
            ("model", BestOf(few_columns(random_state), random_state=random_state)),
        ]
    )


@public
class BackgroundMeans(TransformerMixin, BaseEstimator):
    """Describe each patient by the mean background white of the images, and nothing else.

    Examples
    --------
    >>> from hemafeat import datasets, pipelines
    >>> cells = datasets.drawn_bags(3, random_state=0)
    >>> cells = cells.assign(quality__white_r=240.0, quality__white_g=235.0, quality__white_b=230.0)
    >>> pipelines.BackgroundMeans().fit_transform(pipelines.bags(cells))[0].tolist()
    [240.0, 235.0, 230.0]
    """

    unit = "patient"
    looks_at = frozenset({"white"})
    columns_ = WHITE

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check that the bags hold the background white.

        Parameters
        ----------
        X : DataFrame
            Rows of `bags`.
        y : object
            Not used.

        Returns
        -------
        BackgroundMeans
            The same object.

        Raises
        ------
        ValueError
            If the bags do not hold it.
        """
        self.transform(X)
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the mean background white of each patient.

        Parameters
        ----------
        X : DataFrame
            Rows of `bags`.

        Returns
        -------
        (n_patients, 3) ndarray of float64
            Red, green and blue, 0 to 255. NaN if it is known for none of the cells.

        Raises
        ------
        ValueError
            If the bags do not hold it.
        """
        rows = []
        for bag in as_bags(X):
            missing = [name for name in WHITE if name not in bag.beside]
            if missing:
                raise ValueError(
                    f"the white of the background is not known: the table has no {missing[0]!r}"
                )
            white = np.array([bag.beside[name] for name in WHITE], dtype=np.float64)
            valid = ~np.isnan(white).any(axis=0)
            rows.append(white[:, valid].mean(axis=1) if valid.any() else np.full(3, np.nan))
        return np.array(rows)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the three columns.

        Parameters
        ----------
        input_features : object
            Not used.

        Returns
        -------
        (3,) ndarray of object
        """
        return np.asarray([f"{name}__mean" for name in WHITE], dtype=object)


def stain_only(*, random_state: int = 0) -> Pipeline:
    """Classify patients by the mean background white of their images alone.

    Parameters
    ----------
    random_state : int
        Seed of the classifiers and of the inner folds.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Unfitted, with the steps ``white``, ``fill`` and ``model``, the `BestOf` a threshold of one
        channel, a logistic regression, one of the logarithms, and boosted trees. It takes rows of
        `bags` of a table with the columns ``quality__white_r``, ``_g`` and ``_b``, which
        `extract.table` writes.

    Notes
    -----
    If the smears of ill patients were stained or photographed separately, this baseline is above
    chance, and so is any model that sees colour or density.

    Examples
    --------
    >>> from hemafeat import pipelines
    >>> list(pipelines.stain_only().named_steps)
    ['white', 'fill', 'model']
    """
    return Pipeline(
        [
            ("white", BackgroundMeans()),
            ("fill", FillMissing()),
            ("model", BestOf(few_columns(random_state), random_state=random_state)),
        ]
    )


def date_format_only(*, columns: Sequence[str] | None = None) -> Pipeline:
    """Classify patients by the format in which dates of birth are written: a probe for a leak.

    Parameters
    ----------
    columns : list of str, optional
        Columns of dates as text. By default the columns that hold a date of birth.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Unfitted, with the steps ``format`` and ``model``, a logistic regression. It takes rows of
        `bags`, or any table with one row per patient.

    Examples
    --------
    >>> import pandas as pd
    >>> from hemafeat import pipelines
    >>> rows = pd.DataFrame({"dob": ["3/25/1950", "4/30/1961", "25-03-1955", "30-04-1962"]})
    >>> model = pipelines.date_format_only().fit(rows, ["ill", "ill", "well", "well"])
    >>> model.predict(pd.DataFrame({"dob": ["1/31/1990"]})).tolist()
    ['ill']
    """
    return Pipeline([("format", DateFormat(columns)), ("model", PenalisedLogistic())])


def patient_baselines(patients: pd.DataFrame) -> list[str]:
    """Return the names of the baselines that can be fitted to a table of patients.

    Parameters
    ----------
    patients : DataFrame
        Rows of `bags`. All columns except ``cells``, ``label`` and ``split`` are attributes.

    Returns
    -------
    list of str
        Names for `make` with ``unit="patient"``: ``"baseline"`` and ``"bag_size"``; ``"stain"`` if
        the background white is known and not constant; ``"metadata"`` if there are attributes; and
        ``"date_format"`` if one of these is a date of birth as text.

    Examples
    --------
    >>> from hemafeat import datasets, pipelines
    >>> cells = datasets.drawn_bags(6, random_state=0)
    >>> pipelines.patient_baselines(pipelines.bags(cells))
    ['baseline', 'bag_size']
    >>> pipelines.patient_baselines(pipelines.bags(cells, attributes=["sex", "dob"]))
    ['baseline', 'bag_size', 'metadata', 'date_format']
    """
    attributes = patients.drop(columns=[CELLS, "label", "split"], errors="ignore")
    names = ["baseline", "bag_size"]
    if _background_varies(patients):
        names.append("stain")
    if attributes.shape[1]:
        names.append("metadata")
    if date_columns(attributes):
        names.append("date_format")
    return names


def _background_varies(patients: pd.DataFrame) -> bool:
    bags = patients[CELLS].tolist()
    if not all(set(WHITE) <= set(bag.beside) for bag in bags):
        return False
    white = np.concatenate([[bag.beside[name] for name in WHITE] for bag in bags], axis=1)
    return bool(np.nanmax(white, initial=0) > np.nanmin(white, initial=255))
