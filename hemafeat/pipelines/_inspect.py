"""What a model looks at: features, images, groups; and whether it looks at the other cells too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

FEATURES, IMAGES, GROUPS = "features", "images", "groups"


def reads(model: Any) -> frozenset[str]:
    """What an unfitted model wants in its table.

    Parameters
    ----------
    model : estimator
        Whatever it holds is looked into: the first step of a pipeline, members of an ensemble, the
        estimator of a search, inner folds.

    Returns
    -------
    frozenset of str
        Of ``"features"``; ``"images"``, the column ``image``; ``"groups"``, the column ``group``.
    """
    found: set[str] = set()
    if hasattr(model, "steps"):
        found |= reads(model.steps[0][1])
        found |= {GROUPS} if any(map(_takes_groups, _members(model))) else set()
        return frozenset(found)
    if _takes_groups(model) or _takes_groups(getattr(model, "cv", None)):
        found.add(GROUPS)
    members = list(_members(model))
    if getattr(model, "reads_images", False):
        found.add(IMAGES)
    elif not members:
        found.add(FEATURES)
    for member in members:
        found |= reads(member)
    return frozenset(found)


def is_transductive(model: Any) -> bool:
    """Whether the verdict on a cell hangs on the other cells that are judged with it."""
    return bool(getattr(model, "transductive", False)) or any(
        is_transductive(member) for member in _members(model)
    )


def _takes_groups(part: Any) -> bool:
    return bool(getattr(part, "takes_groups", False))


def _members(model: Any) -> Iterator[Any]:
    """The estimators a model holds, unfitted."""
    for name in ("steps", "estimators"):
        for pair in getattr(model, name, None) or ():
            member = pair[1] if isinstance(pair, tuple) else pair
            if hasattr(member, "get_params"):
                yield member
    for name in ("estimator", "base_estimator"):
        member = getattr(model, name, None)
        if hasattr(member, "get_params"):
            yield member
