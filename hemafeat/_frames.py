"""Tables of any library as DataFrames of pandas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

IMAGE_COLUMNS = ("image", "path", "file", "filename")
"""Names of the column of images in a table, in order of precedence."""

_CONVERTERS = ("to_pandas", "toPandas", "compute", "collect", "df", "to_dataframe")
"""Methods by which polars and pyarrow, pyspark, dask, lazy frames of polars, DuckDB and xarray
hand over their tables."""

_COLUMNS = ("collect_schema", "columns", "column_names", "data_vars")
"""Attributes that tell a table from a series, which has the same methods of conversion."""

_MAX_STEPS = 3
"""Longest chain of such methods: a lazy frame is collected, then converted."""


def as_frame(X: Any, error: type[Exception] = ValueError) -> Any:
    """Return a table of any library as a DataFrame of pandas, and anything else as it is.

    Columns are then found by their names, whatever their order; scikit-learn's own conversion to
    an array would take them by their position.

    Parameters
    ----------
    X : object
        DataFrame of pandas, polars (also lazy), dask, pyspark, cuDF or Modin; Table of pyarrow;
        AnnData; mapping of names to columns; list of mappings (records); structured array; or any
        object with the Arrow or the DataFrame interchange protocol.
    error : type
        Exception to raise.

    Returns
    -------
    DataFrame or object
        The same object if it is a DataFrame of pandas, or no table, such as an array, a list of
        paths or a path.

    Raises
    ------
    error
        If the table cannot be converted, or two of its columns have one name.
    """
    if not isinstance(X, pd.DataFrame):
        if not _is_table(X):
            return X
        X = _converted(X, error)
    if not X.columns.is_unique:
        repeated = X.columns[X.columns.duplicated()].unique()
        raise error(
            f"the table has several columns of one name: {_shortlist(repeated)}; keep one of each "
            "(table.loc[:, ~table.columns.duplicated()])"
        )
    return X


def need_frame(X: Any, what: str, error: type[Exception] = ValueError) -> pd.DataFrame:
    """Return a table of any library as a DataFrame of pandas, see `as_frame`.

    Parameters
    ----------
    X : object
        The table.
    what : str
        Beginning of the message, such as ``"a comparison"``.
    error : type
        Exception to raise.

    Raises
    ------
    error
        If `X` is no table, cannot be converted, or has two columns of one name.
    """
    frame = as_frame(X, error)
    if not isinstance(frame, pd.DataFrame):
        raise error(f"{what} needs a table with named columns, not {_article(_kind(X))}")
    return frame


def with_image_column(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose column of images, by any of `IMAGE_COLUMNS`, is called ``image``."""
    names = [name for name in IMAGE_COLUMNS if name in frame.columns]
    if not names or names[0] == "image":
        return frame
    return frame.rename(columns={names[0]: "image"})


def _is_table(X: Any) -> bool:
    if isinstance(X, Mapping):
        return not hasattr(X, "toarray")  # a sparse matrix is a mapping, too
    if isinstance(X, list):
        return bool(X) and all(isinstance(row, Mapping) for row in X)
    if isinstance(X, (str, bytes, type)):
        return False
    if _is_anndata(X):
        return True
    names = getattr(getattr(X, "dtype", None), "names", None)
    if names:
        return True
    has_columns = any(_has(X, name) for name in _COLUMNS)
    converts = (*_CONVERTERS, "__arrow_c_stream__", "__dataframe__")
    return has_columns and any(_has(X, name) for name in converts)


def _has(X: Any, name: str) -> bool:
    try:
        return hasattr(X, name)
    except Exception:  # a lazy table may fail when it is asked for its columns
        return False


def _converted(X: Any, error: type[Exception]) -> pd.DataFrame:
    kind = _kind(X)
    try:
        frame = X
        for _ in range(_MAX_STEPS):
            frame = _step(frame)
            if isinstance(frame, pd.DataFrame):
                return frame
    except Exception as reason:  # each library has exceptions of its own
        first = (str(reason).strip() or type(reason).__name__).splitlines()[0][:200]
        raise error(
            f"{_article(kind)} cannot be converted to a DataFrame of pandas: {first}"
        ) from reason
    raise error(f"{_article(kind)} cannot be converted to a DataFrame of pandas")


def _is_anndata(X: Any) -> bool:
    return all(_has(X, name) for name in ("obs", "var", "obsm", "to_df"))


def _of_anndata(X: Any) -> pd.DataFrame:
    """Return the observations of an AnnData with its variables beside them."""
    obs = X.obs
    texts = {
        name: obs[name].astype(object)
        for name in obs.columns
        if isinstance(obs[name].dtype, pd.CategoricalDtype)
    }
    frame = pd.concat([obs.assign(**texts), X.to_df()], axis=1).reset_index(drop=True)
    if "unit" in X.var:
        frame.attrs["units"] = {str(k): str(v) for k, v in X.var["unit"].items() if v}
    return frame


def _step(X: Any) -> Any:
    """Convert a table once."""
    if _is_anndata(X):
        return _of_anndata(X)
    for name in _CONVERTERS:
        method = getattr(X, name, None)
        if callable(method):
            return method()
    if isinstance(X, (Mapping, list)) or getattr(getattr(X, "dtype", None), "names", None):
        return pd.DataFrame(X)
    if hasattr(X, "__arrow_c_stream__"):
        import pyarrow

        return pyarrow.table(X).to_pandas()
    return pd.api.interchange.from_dataframe(X)


def _kind(X: Any) -> str:
    module = type(X).__module__.split(".")[0].lstrip("_")
    name = type(X).__name__
    return name if module == "builtins" else f"{module} {name}"


def _article(noun: str) -> str:
    return f"an {noun}" if noun[:1].lower() in "aeiou" else f"a {noun}"


def _shortlist(names: Iterable[object], show: int = 5) -> str:
    words = [str(name) for name in names]
    rest = f" and {len(words) - show} more" if len(words) > show else ""
    return ", ".join(words[:show]) + rest
