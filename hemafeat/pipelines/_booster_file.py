"""Check of the trees of XGBoost in a model file, which XGBoost itself follows blindly."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

_NUMBERS = {
    b"i": "i1", b"U": "u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8"
}  # fmt: skip
"""Types of numbers in UBJSON, by their marker."""

_MAX_DEPTH = 20
_ROOT = 2**31 - 1
"""Parent of the root of a tree."""

_OF_NODES = (
    "base_weights", "default_left", "left_children", "loss_changes", "parents", "right_children",
    "split_conditions", "split_indices", "split_type", "sum_hessian",
)  # fmt: skip
_OF_CATEGORIES = ("categories", "categories_nodes", "categories_segments", "categories_sizes")


def check_booster(data: bytes, n_features: int, n_classes: int) -> None:
    """Raise an error if trees of XGBoost are not sound.

    A crafted file, or one with a flipped bit, would otherwise let XGBoost read foreign memory, and
    the process would end.

    Parameters
    ----------
    data : bytes
        Booster in the format ``ubj``, as `xgboost.Booster.save_raw` writes it.
    n_features, n_classes : int
        Number of columns and of classes of the classifier.

    Raises
    ------
    ValueError
        If a part is missing or has other bounds.
    """
    try:
        _check(_Reader(data).whole(), n_features, n_classes)
    except (KeyError, TypeError, IndexError, AttributeError, struct.error, ValueError) as error:
        raise ValueError(f"the trees of XGBoost in it are broken ({error})") from None


def _check(whole: dict[str, Any], n_features: int, n_classes: int) -> None:
    learner = whole["learner"]
    params, booster = learner["learner_model_param"], learner["gradient_booster"]
    n_groups = 1 if n_classes == 2 else n_classes
    objective = "binary:logistic" if n_groups == 1 else "multi:softprob"
    _need(learner["objective"]["name"] == objective, "objective")
    _need(booster["name"] == "gbtree", "booster")
    _need(int(params["num_feature"]) == n_features, "number of columns")
    _need(int(params["num_class"]) == (0 if n_groups == 1 else n_groups), "number of classes")
    _need(int(params.get("num_target", "1")) == 1, "number of targets")
    scores = [float(text) for text in params["base_score"].strip("[]").split(",")]
    _need(len(scores) in (1, n_groups) and bool(np.isfinite(scores).all()), "base score")
    of_softmax = learner["objective"].get("softmax_multiclass_param", {"num_class": n_groups})
    _need(int(of_softmax["num_class"]) == n_groups, "number of classes")
    for name in ("feature_names", "feature_types"):
        _need(len(learner.get(name, [])) == 0, name)
    model = booster["model"]
    trees = model["trees"]
    _need(isinstance(trees, list), "trees")
    n_trees = len(trees)
    counts = model["gbtree_model_param"]
    _need(int(counts["num_trees"]) == n_trees, "number of trees")
    _need(int(counts.get("num_parallel_tree", "1")) == 1, "number of parallel trees")
    info = _integers(model["tree_info"], "groups of trees")
    _need(len(info) == n_trees and bool(((info >= 0) & (info < n_groups)).all()), "groups of trees")
    rounds = _integers(model.get("iteration_indptr", range(0, n_trees + 1, n_groups)), "rounds")
    _need(
        len(rounds) > 0
        and rounds[0] == 0
        and rounds[-1] == n_trees
        and bool((np.diff(rounds) == n_groups).all()),
        "rounds",
    )
    for tree in trees:
        _check_tree(tree, n_features)
    _check_categories(model.get("cats"))


def _check_tree(tree: dict[str, Any], n_features: int) -> None:
    params = tree["tree_param"]
    n = int(params["num_nodes"])
    _need(n > 0, "number of nodes")
    _need(int(params["num_feature"]) == n_features, "number of columns")
    _need(int(params.get("num_deleted", "0")) == 0, "deleted nodes")
    _need(int(params.get("size_leaf_vector", "1")) in (0, 1), "leaves")
    _need(all(len(tree[name]) == n for name in _OF_NODES), "number of nodes")
    _need(all(len(tree[name]) == 0 for name in _OF_CATEGORIES), "categories")
    _need(not np.any(_integers(tree["split_type"], "splits")), "splits")
    default = _integers(tree["default_left"], "default directions")
    _need(bool(((default == 0) | (default == 1)).all()), "default directions")
    node = np.arange(n)
    left = _integers(tree["left_children"], "children")
    right = _integers(tree["right_children"], "children")
    parents = _integers(tree["parents"], "parents")
    column = _integers(tree["split_indices"], "columns")
    inner = left != -1
    # Children are stored after their parent, which also excludes cycles.
    _need(
        np.array_equal(inner, right != -1)
        and all(
            bool(((child[inner] > node[inner]) & (child[inner] < n)).all())
            for child in (left, right)
        ),
        "children",
    )
    expected = np.full(n, -1)
    expected[0] = _ROOT
    expected[left[inner]] = node[inner]
    expected[right[inner]] = node[inner]
    _need(np.array_equal(parents, expected), "parents")
    _need(bool(((column >= 0) & (column < n_features)).all()), "columns")
    for name in ("base_weights", "split_conditions", "sum_hessian", "loss_changes"):
        _need(np.asarray(tree[name]).dtype.kind == "f", name)


def _check_categories(cats: Any) -> None:
    """Refuse categories of columns, which the classifiers of this package never have."""
    if cats is not None:
        _need(all(len(cats.get(name, [])) == 0 for name in ("enc", "feature_segments")), "cats")


def _integers(values: Any, what: str) -> np.ndarray:
    array = np.asarray(values, dtype=None if len(values) else np.int64)
    _need(array.ndim == 1 and array.dtype.kind in "iu", what)
    return array.astype(np.int64)


def _need(sound: Any, what: str) -> None:
    if not sound:
        raise ValueError(what)


class _Reader:
    """Reader of UBJSON, as far as XGBoost writes it; anything else is an error."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def whole(self) -> dict[str, Any]:
        value = self._value(self._bytes(1), 0)
        _need(isinstance(value, dict) and self.at == len(self.data), "end")
        return dict(value)

    def _bytes(self, n: int) -> bytes:
        _need(0 <= n <= len(self.data) - self.at, "length")
        part = self.data[self.at : self.at + n]
        self.at += n
        return part

    def _number(self, marker: bytes) -> Any:
        kind = np.dtype(_NUMBERS[marker])
        return np.frombuffer(self._bytes(kind.itemsize), kind)[0].item()

    def _length(self) -> int:
        marker = self._bytes(1)
        _need(marker in b"iUIlL", "length")
        return int(self._number(marker))

    def _text(self) -> str:
        return self._bytes(self._length()).decode("utf-8")

    def _value(self, marker: bytes, depth: int) -> Any:
        _need(depth <= _MAX_DEPTH, "depth")
        if marker == b"{":
            return self._object(depth)
        if marker == b"[":
            return self._array(depth)
        if marker == b"S":
            return self._text()
        if marker in b"TF":
            return marker == b"T"
        return self._number(marker)

    def _object(self, depth: int) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        while self._next() != b"}":
            name = self._text()
            _need(name not in parts, f"{name!r} twice")
            parts[name] = self._value(self._bytes(1), depth + 1)
        self.at += 1
        return parts

    def _array(self, depth: int) -> Any:
        kind = None
        if self._next() == b"$":
            self.at += 1
            kind = np.dtype(_NUMBERS[self._bytes(1)])
            _need(self._next() == b"#", "length")
        if self._next() == b"#":
            self.at += 1
            n = self._length()
            if kind is not None:
                return np.frombuffer(self._bytes(n * kind.itemsize), kind)
            _need(n <= len(self.data) - self.at, "length")
            return [self._value(self._bytes(1), depth + 1) for _ in range(n)]
        values = []
        while self._next() != b"]":
            values.append(self._value(self._bytes(1), depth + 1))
        self.at += 1
        return values

    def _next(self) -> bytes:
        _need(self.at < len(self.data), "end")
        return self.data[self.at : self.at + 1]
