"""What was asked of a run, in a form that can be kept beside its result and compared with it."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

from hemafeat import __version__
from hemafeat.extract._family import column_facts
from hemafeat.extract._table.run import Run
from hemafeat.segment import MaskError, Masks, contours

PACKAGES = ("numpy", "numba")
"""Packages a value may depend on, beside OpenCV, which has several names."""

PART = 4096


def asked(run: Run, shard_size: int) -> dict[str, Any]:
    """Everything that decides what the table of `run` holds, as JSON can hold it.

    Two runs of which this is the same give the same table, as long as no file of theirs changes.
    """
    return {
        "images": {
            "number": len(run),
            "first": run.part(0, 1).names[0],
            "columns": _column_digests(run),
        },
        "families": {
            name: _digest([str(column_facts(name, function)), *_code(function)])
            for name, function in run.work.families.items()
        },
        "segmenter": _segmenter(run),
        "masks": _masks(run.settings["masks"]),
        "cells": run.settings["cells"],
        "um_per_px": run.settings["um"],
        # Named only where used, so that a result of an earlier version can be gone on with.
        **_prepared(run),
        "shard_size": shard_size,
        "versions": versions(),
    }


def _prepared(run: Run) -> dict[str, Any]:
    """What is done to the pixels before they are measured."""
    found = {}
    normalise = run.work.normalise
    if normalise is not None:
        # Ours say their whole state; of another one only the source is known.
        own = type(normalise).__module__.startswith("hemafeat.")
        words = [repr(normalise)] if own else [_name(normalise), *_code(normalise)]
        found["normalise"] = " ".join(words)
    if run.settings["resample"] is not None:
        found["resample"] = run.settings["resample"]
    return found


@cache
def versions() -> dict[str, str]:
    """Versions of this package and of those its values depend on."""
    import cv2

    found = {"hemafeat": __version__, "opencv": str(cv2.__version__)}
    return found | {name: version(name) for name in PACKAGES}


def digest(settings: dict[str, Any]) -> str:
    """A short name for `asked`."""
    return _digest([json.dumps(settings, sort_keys=True)])


def differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between two results of `asked`, in words; empty where they are the same."""
    found = []
    for key in dict.fromkeys([*then, *now]):
        old, new = then.get(key), now.get(key)
        if old == new:
            continue
        if key == "images":
            found.append(_other_images(old or {}, new or {}))
        elif key == "families":
            found.append(_other_families(old or {}, new or {}))
        elif key == "versions":
            pairs = [(k, (old or {}).get(k), v) for k, v in (new or {}).items()]
            found += [f"{k} was {was}, is {now_is}" for k, was, now_is in pairs if was != now_is]
        else:
            found.append(f"{key} was {old}, is {new}")
    return found


def _other_images(then: dict[str, Any], now: dict[str, Any]) -> str:
    if then.get("number") != now.get("number"):
        return f"{then.get('number')} images were given, now {now.get('number')}"
    if then.get("first") != now.get("first"):
        return f"the first image was {then.get('first')}, is {now.get('first')}"
    old, new = then.get("columns", {}), now.get("columns", {})
    other = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    return f"the table of images differs in {', '.join(other)}"


def _other_families(then: dict[str, str], now: dict[str, str]) -> str:
    if then.keys() != now.keys():
        return f"families were {', '.join(then)}, are {', '.join(now)}"
    changed = [name for name in now if then[name] != now[name]]
    return f"families have changed: {', '.join(changed)}"


def _column_digests(run: Run) -> dict[str, str]:
    """Of the names of the images, whatever the table says of them, and pixels given as arrays."""
    found = {str(name): hashlib.sha256() for name in run.listed.columns}
    if run.masks is not None:
        found["masks"] = hashlib.sha256()
    for part in run.parts(PART):
        for name, column in part.listed.items():
            found[str(name)].update(_column_bytes(column))
        if part.masks is not None:
            found["masks"].update(_joined(map(_bytes, part.masks)))
    return {name: value.hexdigest()[:16] for name, value in found.items()}


def _column_bytes(column: pd.Series) -> bytes:
    if pd.api.types.is_string_dtype(column.dtype) and column.dtype != object:
        # As below, and much faster where there are millions.
        return _joined([_bytes("\x1e".join(column.fillna("\0")))])
    return _joined(map(_bytes, column.astype(object)))


def _joined(values: Iterable[bytes]) -> bytes:
    return b"\x1e".join([b"", *values])


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, Masks):
        return _bytes(value.cell) + _bytes(value.nucleus)
    if isinstance(value, (tuple, list)):
        return b"".join(map(_bytes, value))
    if isinstance(value, np.ndarray):
        header = f"{value.shape} {value.dtype}".encode()
        return hashlib.sha256(header + np.ascontiguousarray(value).tobytes()).digest()
    if isinstance(value, (bytes, os.PathLike)):
        return os.fsencode(value)
    if isinstance(value, MaskError):
        return str(value).encode()
    missing = pd.api.types.is_scalar(value) and pd.isna(value)
    return b"\0" if missing else repr(value).encode()


def _segmenter(run: Run) -> str | None:
    """By its name and, where it is not of this package, by its source."""
    segment = run.work.segment
    if segment is None or segment is contours:
        return None if segment is None else "contours"
    given, function = run.settings["segmenter"], getattr(segment, "function", segment)
    return " ".join([given if isinstance(given, str) else _name(function), *_code(function)])


def _name(thing: Any) -> str:
    kind = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{kind.__module__}.{kind.__qualname__}"


def _code(thing: Any) -> list[str]:
    if str(getattr(thing, "__module__", "")).startswith("hemafeat."):
        return []
    try:
        source = inspect.getsource(thing if hasattr(thing, "__qualname__") else type(thing))
    except (OSError, TypeError):
        return []
    return [_digest([source])]


def _masks(masks: Any) -> str | None:
    if masks is None:
        return None
    return os.fspath(masks) if isinstance(masks, (str, os.PathLike)) else "one for each image"


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\x1e".join(texts).encode()).hexdigest()[:16]
