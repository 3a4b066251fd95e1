"""A model of what is known beside the image: age, counts, site."""

from __future__ import annotations

from typing import Any

from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from hemafeat.pipelines._missing import FillMissing


def metadata_only(
    *, n_estimators: int = 100, min_samples_leaf: int = 3, random_state: int = 0
) -> Pipeline:
    """Random forest on attribute columns: what the label can be guessed from without the image.

    Parameters
    ----------
    n_estimators : int
        Trees.
    min_samples_leaf : int
        Least cells in a leaf.
    random_state : int
        Seed.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``encode``, ``model``; takes a table of numbers and words. Words are one-hot coded.
    """
    encode = ColumnTransformer(
        [
            ("numbers", FillMissing(), make_column_selector(dtype_include="number")),
            (
                "words",
                OneHotEncoder(handle_unknown="ignore", sparse_output=False),
                make_column_selector(dtype_exclude="number"),
            ),
        ],
        verbose_feature_names_out=False,
    )
    model: Any = RandomForestClassifier(
        n_estimators=n_estimators,
        min_samples_leaf=min_samples_leaf,
        class_weight="balanced",
        random_state=random_state,
    )
    return Pipeline([("encode", encode), ("model", model)])
