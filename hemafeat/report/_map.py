"""Map of cells: a table of many columns drawn in two dimensions."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from hemafeat._frames import as_frame
from hemafeat._machine import how_to_install
from hemafeat.report._style import GRID, SERIES, count, shortened, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MAPS = {"tsne": "t-SNE", "pca": "Principal components", "umap": "UMAP"}
"""Names of the maps, and how a figure writes them."""

N_COMPONENTS = 50
"""Number of principal components to which rows are reduced before neighbours are sought."""

_N_NAMES = 12
"""Largest number of different numbers that are names of classes, not a measurement."""

_MARKERS = "osD^vP*X<>"


@styled
def figure_map(
    data: Any,
    *,
    colour: str | Sequence[Any] | np.ndarray | None = "label",
    vectors: Any = None,
    method: str = "tsne",
    n: int = 2000,
    random_state: int = 0,
) -> Figure:
    """Draw cells as points, so that those with similar features lie close together.

    Parameters
    ----------
    data : DataFrame or (n_cells, n_columns) array
        Table of cells, or a matrix with one row per cell.
    colour : str or sequence, optional
        Column of the table, or a value for each cell: names have a colour and a marker each, more
        than 12 different numbers a colour scale. By default the column ``label``, if there is one.
        None draws all points alike.
    vectors : transformer or (n_cells, n_columns) array, optional
        What a point is computed from: a matrix, such as embeddings; or a transformer with
        ``fit_transform`` that is given the rows to draw, such as `hemafeat.pipelines.GreyPixels` or
        `hemafeat.networks.Embedding`. By default the feature columns of the table, filled and
        standardised (`hemafeat.pipelines.FillMissing` and `ClippedScaler`), or the matrix as it is.
    method : {"tsne", "pca", "umap"}
        The map: t-distributed stochastic neighbour embedding [1]_, the first two principal
        components, or UMAP [2]_, which needs the package umap-learn.
    n : int
        Largest number of cells that are drawn. If there are more, `n` of them are drawn at random.
    random_state : int
        Seed of the cells that are drawn and of the map.

    Returns
    -------
    matplotlib.figure.Figure
        One panel. The numbers of its axes have a meaning for principal components only, whose
        shares of the variance are given.

    Raises
    ------
    ImportError
        If umap-learn is needed and not installed.
    ValueError
        If there is no such map or column, the numbers of rows differ, there are fewer than three
        cells, or no column of the table is a feature.

    Notes
    -----
    Distances between groups of a t-SNE or UMAP mean little, and their sizes nothing: a map is for
    finding mistakes and batches, not for judging a model. Rows of more than 50 columns are first
    reduced to 50 principal components, as is usual; a report that maps the 65,536 grey pixels of
    each cell without that step is the source of the view of grey pixels [3]_.

    References
    ----------
    .. [1] L. van der Maaten and G. Hinton, "Visualizing data using t-SNE", Journal of Machine
       Learning Research 9, 2008.
    .. [2] L. McInnes, J. Healy and J. Melville, "UMAP: Uniform manifold approximation and
       projection for dimension reduction", arXiv:1802.03426, 2018.
    .. [3] L. Bernard, "Blood cells" project report, DataScientest (repository
       lbernard9/bloodcells).

    Examples
    --------
    >>> from hemafeat import datasets, report
    >>> cells = datasets.drawn_bags(12, cells=(4, 8), random_state=0)
    >>> figure = report.figure_map(cells, method="pca")
    >>> figure.axes[0].get_xlabel().startswith("component 1")
    True
    """
    import pandas as pd

    check_method(method)
    data = as_frame(data)
    table = data if isinstance(data, pd.DataFrame) else None
    size = len(data)
    values, name = _colours(data if table is None else table, colour, size)
    if size < 3:
        raise ValueError(f"a map needs at least 3 cells, got {size}")
    rng = np.random.default_rng(random_state)
    rows = np.arange(size) if size <= n else np.sort(rng.choice(size, n, replace=False))
    matrix = _vectors(data, table, vectors, rows)
    points, labels = place(matrix, method, random_state)
    figure = Figure(figsize=(8.6, 6.2), layout="constrained")
    panel = figure.add_subplot()
    drawn = "" if len(rows) == size else f"{count(len(rows))} of "
    panel.set_title(
        f"{MAPS[method]} of {count(matrix.shape[1])} columns, {drawn}{count(size)} cells"
    )
    panel.set_xlabel(labels[0])
    panel.set_ylabel(labels[1])
    if method != "pca":
        panel.set_xticks([])
        panel.set_yticks([])
    _draw(figure, panel, points, None if values is None else values.iloc[rows], name)
    return figure


def check_method(method: str) -> None:
    """Raise an error for a map that does not exist, or whose package is not installed."""
    if method not in MAPS:
        raise ValueError(f"no map {method!r}; there are: {', '.join(MAPS)}")
    if method == "umap" and importlib.util.find_spec("umap") is None:
        raise ImportError(
            f"a map by UMAP needs umap-learn: {how_to_install('umap-learn', 'explore')}"
        )


def _colours(data: Any, colour: Any, size: int) -> tuple[pd.Series | None, str]:
    """Return the value of each cell that its colour shows, and the name of these values."""
    import pandas as pd

    if colour is None:
        return None, ""
    if isinstance(colour, str):
        if isinstance(data, pd.DataFrame) and colour in data:
            return data[colour].reset_index(drop=True), colour
        if colour == "label":
            return None, ""
        raise ValueError(f"colour={colour!r}: the table has no such column")
    values = pd.Series(list(colour))
    if len(values) != size:
        raise ValueError(f"{size} cells and {len(values)} colours")
    return values, ""


def _vectors(data: Any, table: pd.DataFrame | None, vectors: Any, rows: np.ndarray) -> np.ndarray:
    """Return a matrix of the rows to draw, without missing values."""
    from hemafeat import extract

    if vectors is None and table is not None:
        columns = extract.feature_columns(table)
        if not columns:
            raise ValueError(
                "the table has no feature columns: give vectors, a matrix or a transformer of "
                "images such as pipelines.GreyPixels()"
            )
        return vectors_of(table[columns].iloc[rows].to_numpy(np.float64))
    if hasattr(vectors, "fit_transform"):
        part = table.iloc[rows] if table is not None else [data[row] for row in rows]
        matrix = np.asarray(vectors.fit_transform(part), dtype=np.float64)
    else:
        matrix = np.asarray(data if vectors is None else vectors)
        if matrix.ndim != 2 or len(matrix) != len(data):
            raise ValueError(
                f"{len(data)} cells, and vectors of the shape {matrix.shape}: expected one row for "
                "each cell"
            )
        matrix = matrix[rows].astype(np.float64)
    if not np.isfinite(matrix).all():
        raise ValueError("the vectors hold missing or infinite values: fill them first")
    return matrix


def vectors_of(values: np.ndarray) -> np.ndarray:
    """Return columns of features filled and standardised."""
    from hemafeat import pipelines

    filled = pipelines.FillMissing(flags=False).fit_transform(values)
    return np.asarray(pipelines.ClippedScaler().fit_transform(filled))


def place(matrix: np.ndarray, method: str, random_state: int) -> tuple[np.ndarray, tuple[str, str]]:
    """Return the place of each row, (n, 2), and the labels of the axes."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    n_components = 2 if method == "pca" else N_COMPONENTS
    if method == "pca" or matrix.shape[1] > n_components:
        n_components = min(n_components, *matrix.shape)
        reduce = PCA(n_components, random_state=random_state)
        with np.errstate(invalid="ignore"):  # all rows may be equal
            matrix = reduce.fit_transform(matrix)
    if method == "pca":
        shares = [*np.nan_to_num(reduce.explained_variance_ratio_), 0.0]
        points = np.column_stack([matrix, np.zeros(len(matrix))])[:, :2]
        first, second = (f"component {k} ({100 * shares[k - 1]:.0f} %)" for k in (1, 2))
        return points, (first, second)
    # On one thread, the same seed gives the same map on any number of processors.
    with warnings.catch_warnings(), threadpool_limits(1):
        if method == "umap":
            import umap

            warnings.filterwarnings("ignore", message="n_jobs value")
            mapper = umap.UMAP(
                n_neighbors=min(15, len(matrix) - 1), random_state=random_state, n_jobs=1
            )
        else:
            perplexity = min(30.0, (len(matrix) - 1) / 3)
            mapper = TSNE(perplexity=perplexity, init="pca", random_state=random_state)
            if min(matrix.shape) < 2:
                mapper.set_params(init="random")
        return np.asarray(mapper.fit_transform(matrix)), ("", "")


def _draw(
    figure: Figure, panel: Axes, points: np.ndarray, values: pd.Series | None, name: str
) -> None:
    """Draw the points with a legend of their names, or a scale of their numbers."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    style: dict[str, Any] = {"s": 18.0, "linewidths": 0.0, "alpha": 0.85}
    if values is None:
        panel.scatter(points[:, 0], points[:, 1], color=SERIES[0][0], **style)
        return
    missing = values.isna().to_numpy()
    if missing.any():
        panel.scatter(
            *points[missing].T.tolist(), color=GRID, label=f"unknown ({missing.sum()})", **style
        )
    known = values[~missing]
    if is_numeric_dtype(known) and not is_bool_dtype(known) and known.nunique() > _N_NAMES:
        across, up = points[~missing].T
        shown = panel.scatter(across, up, c=known.to_numpy(np.float64), cmap="viridis", **style)
        figure.colorbar(shown, ax=panel, label=shortened(name, 40), shrink=0.7)
        if missing.any():
            panel.legend(loc="upper left")
        return
    texts = known.astype(str)
    counts = texts.value_counts().sort_index()
    for k, (text, n_cells) in enumerate(counts.items()):
        # Ten colours; from the eleventh name on, the marker tells names of one colour apart.
        chosen = points[~missing][(texts == text).to_numpy()]
        panel.scatter(
            *chosen.T.tolist(),
            color=SERIES[k % len(SERIES)][0],
            marker=_MARKERS[(k + k // len(SERIES)) % len(_MARKERS)],
            label=f"{shortened(str(text))} ({n_cells})",
            **style,
        )
    panel.legend(
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        title=shortened(name, 40) or None,
        alignment="left",
        markerscale=1.6,
        title_fontsize=9,
    )
