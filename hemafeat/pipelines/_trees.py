"""Trees read from a file are checked: scikit-learn follows their indices without looking."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def check_trees(model: Any) -> None:
    """Refuse trees whose nodes point outside the tree or outside the columns.

    A tree made by hand could otherwise read memory that is not its own, or never end.

    Parameters
    ----------
    model : object
        An estimator, with whatever it holds.

    Raises
    ------
    ValueError
        A tree is broken.
    """
    for tree, n_features in _trees(model, None, set()):
        node = np.arange(tree.node_count)
        left, right, feature = tree.children_left, tree.children_right, tree.feature
        inner = left != -1
        # Children are stored after their parent, which also rules out rings.
        sound = (
            tree.node_count > 0
            and np.array_equal(inner, right != -1)
            and all(
                (child[inner] > node[inner]).all() and (child[inner] < tree.node_count).all()
                for child in (left, right)
            )
            and (feature[inner] >= 0).all()
            and (feature[inner] < tree.n_features).all()
            and all(tree.n_features == n for n in n_features)
        )
        if not sound:
            raise ValueError("a decision tree in it is broken")


def _trees(item: Any, forest: int | None, seen: set[int]) -> Iterator[tuple[Any, list[int]]]:
    """Every tree below an object, with the numbers of columns its holders let through."""
    from sklearn.ensemble._forest import BaseForest
    from sklearn.tree import BaseDecisionTree

    if id(item) in seen or isinstance(item, (str, bytes, int, float, type(None))):
        return
    if type(item).__module__.startswith(("hemafeat.networks", "keras")):
        return  # built by this package from numbers, and no place for a tree
    seen.add(id(item))
    if isinstance(item, dict):
        below: Any = item.values()
    elif isinstance(item, (list, tuple)) or (isinstance(item, np.ndarray) and item.dtype == object):
        below = np.asarray(item, dtype=object).ravel() if isinstance(item, np.ndarray) else item
    else:
        below = list(getattr(item, "__dict__", {}).values())
    if isinstance(item, BaseDecisionTree) and hasattr(item, "tree_"):
        own = [int(item.n_features_in_)]
        yield item.tree_, own if forest is None else [*own, forest]
    if isinstance(item, BaseForest) and hasattr(item, "n_features_in_"):
        forest = int(item.n_features_in_)
    for part in below:
        yield from _trees(part, forest, seen)
