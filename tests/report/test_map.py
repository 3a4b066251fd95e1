"""Maps of cells: what is drawn, of what, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from hemafeat import pipelines, report


@pytest.fixture(scope="module")
def table():
    """Three groups far apart, one of them without a label."""
    rng = np.random.default_rng(0)
    group = np.arange(60) % 3
    centres = 8.0 * rng.normal(size=(3, 6))
    values = centres[group] + rng.normal(size=(60, 6))
    cells = pd.DataFrame({f"cell__shape__f{k}": values[:, k] for k in range(6)})
    cells["label"] = np.array(["a", "b", None], dtype=object)[group]
    cells["batch"] = np.arange(60) * 0.5
    return cells


def drawn(figure):
    """Return the points of each name in the legend."""
    (panel,) = figure.axes[:1]
    return {
        part.get_label(): np.asarray(part.get_offsets())
        for part in panel.collections
        if len(part.get_offsets())
    }


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_groups_lie_apart(table, method):
    parts = drawn(report.figure_map(table, method=method))
    assert sorted(parts) == ["a (20)", "b (20)", "unknown (20)"]
    centres = np.array([points.mean(axis=0) for points in parts.values()])
    spread = max(np.linalg.norm(points - points.mean(axis=0)) for points in parts.values())
    between = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    assert between[~np.eye(3, dtype=bool)].min() > spread / np.sqrt(20)


def test_components_are_those_of_scikit_learn(table):
    from sklearn.decomposition import PCA

    matrix = table.filter(like="__").to_numpy()
    figure = report.figure_map(matrix, colour=None, method="pca")
    (points,) = drawn(figure).values()
    pca = PCA(2).fit(matrix)
    np.testing.assert_allclose(np.abs(points), np.abs(pca.transform(matrix)), atol=1e-6)
    share = 100 * pca.explained_variance_ratio_[0]
    assert figure.axes[0].get_xlabel() == f"component 1 ({share:.0f} %)"


def test_the_seed_chooses_the_cells(table):
    same, again, other = (
        np.concatenate(
            list(drawn(report.figure_map(table, n=15, method="pca", random_state=seed)).values())
        )
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(same, again)
    assert same.shape == (15, 2)
    assert not np.array_equal(same, other)
    title = report.figure_map(table, n=15, method="pca").axes[0].get_title("left")
    assert title == "Principal components of 6 columns, 15 of 60 cells"


def test_numbers_have_a_scale_and_few_numbers_names(table):
    figure = report.figure_map(table, colour="batch", method="pca")
    assert len(figure.axes) == 2
    assert figure.axes[1].get_ylabel() == "batch"
    values = np.sort(figure.axes[0].collections[0].get_array())
    np.testing.assert_array_equal(values, np.sort(table["batch"]))
    holes = table["batch"].where(table["batch"] > 5)
    legend = report.figure_map(table, colour=holes, method="pca").axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["unknown (11)"]
    few = drawn(report.figure_map(table, colour=np.arange(60) % 2, method="pca"))
    assert sorted(few) == ["0 (30)", "1 (30)"]


def test_many_names_are_told_apart(table):
    figure = report.figure_map(table, colour=[f"n{k % 20:02d}" for k in range(60)], method="pca")
    looks = set()
    for part in figure.axes[0].collections:
        (path,) = part.get_paths()
        looks.add((to_rgb(part.get_facecolor()[0]), path.vertices.tobytes()))
    assert len(looks) == 20


def test_images_are_made_into_vectors_of_the_drawn_rows_alone():
    images = [np.full((20, 20, 3), level, np.uint8) for level in range(0, 240, 12)]
    seen = []

    class Grey(pipelines.GreyPixels):
        def fit_transform(self, X, y=None):
            seen.append(len(X))
            return super().fit_transform(X)

    figure = report.figure_map(
        images, colour=None, vectors=Grey(crop=16, size=4), n=8, method="pca"
    )
    assert seen == [8]
    assert "of 16 columns" in figure.axes[0].get_title("left")


def test_a_few_cells_of_one_column():
    report.figure_map(np.arange(4.0)[:, None], colour=None)
    report.figure_map(np.ones((5, 3)), colour=None, method="pca")
    figure = report.figure_map(np.arange(4.0)[:, None], colour=None, method="pca")
    assert figure.axes[0].get_ylabel() == "component 2 (0 %)"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"method": "som"}, "there are: tsne, pca, umap"),
        ({"colour": "sort"}, "no such column"),
        ({"colour": [1, 2]}, "60 cells and 2 colours"),
        ({"vectors": np.zeros((3, 2))}, r"one row for each cell"),
        ({"vectors": np.full((60, 2), np.nan)}, "missing or infinite"),
    ],
)
def test_bad_requests_say_why(table, change, reason):
    with pytest.raises(ValueError, match=reason):
        report.figure_map(table, **change)


def test_tables_without_features_or_cells_are_refused(table):
    with pytest.raises(ValueError, match="at least 3 cells"):
        report.figure_map(table[:2])
    with pytest.raises(ValueError, match=r"pipelines\.GreyPixels"):
        report.figure_map(table[["label", "batch"]])


def test_a_map_that_needs_another_package_names_it(table, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'install .*"?umap-learn'):
        report.figure_map(table, method="umap")
