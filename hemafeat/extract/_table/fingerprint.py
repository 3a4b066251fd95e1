"""The fingerprint of a run: all that decides what its table holds, stored beside the result.

Two runs with the same fingerprint give the same table, as long as their files do not change. The
keys and digests are part of the format on disk.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
from collections.abc import Iterable
from functools import cache, partial
from typing import Any

import cv2
import numpy as np
import pandas as pd

from hemafeat import _machine
from hemafeat.extract._attributes import as_text
from hemafeat.extract._family import column_facts, whole_family
from hemafeat.extract._former import FORMULAS
from hemafeat.extract._table.run import Run
from hemafeat.images import NORMALISERS, normaliser
from hemafeat.segment import MaskError, Masks, contours

PACKAGES = ("numpy", "numba")
"""Packages that values may depend on, beside OpenCV, which has several names."""

PART_SIZE = 4096
"""Images whose names are hashed at a time."""

ARGUMENTS = {"resample": "to_um_per_px"}
"""Argument that a key stands for, where they differ."""

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")

DEFAULTS = {"mask_kind": "auto"}
"""Value of a key that is left out, if it is not None."""


def fingerprint(run: Run, shard_size: int) -> dict[str, Any]:
    """Return all that decides what the table of `run` holds, as JSON can store it."""
    return {
        "images": {
            "number": len(run),
            "first": run.part(0, 1).names[0],
            "columns": _column_digests(run),
        },
        "families": {
            name: _digest([str(column_facts(name, function)), *_source(whole_family(function))])
            for name, function in run.families.items()
        },
        "segmenter": _segmenter(run),
        "masks": _masks(run.settings["masks"]),
        **_kind_of_masks(run),
        "cells": run.settings["cells"],
        "um_per_px": run.settings["um_per_px"],
        **_changes_of_pixels(run),
        "shard_size": shard_size,
        "versions": versions(),
    }


def _kind_of_masks(run: Run) -> dict[str, Any]:
    """Return the kind of the masks, if it is stated: former results have no such key."""
    return {} if run.mask_kind == "auto" else {"mask_kind": run.mask_kind}


def _changes_of_pixels(run: Run) -> dict[str, Any]:
    """Return the settings that change pixels; their keys are left out where they are not used."""
    settings = {}
    if run.normalise is not None:
        # The repr of our own normalisers holds their whole state; of others the source is known.
        own = type(run.normalise).__module__.startswith("hemafeat.")
        words = [repr(run.normalise)] if own else [_name(run.normalise), *_source(run.normalise)]
        settings["normalise"] = " ".join(words)
    if run.settings["to_um_per_px"] is not None:
        settings["resample"] = run.settings["to_um_per_px"]
    return settings


def options(run: Run) -> dict[str, str]:
    """Return how a run measures, as `hemafeat.extract.measured` returns it."""
    segmenter = _segmenter(run)
    zoom = run.settings["to_um_per_px"]
    return {
        "cells": run.rule,
        "segmenter": "given masks" if segmenter is None else segmenter.split(" ")[0],
        "normalise": "none" if run.normalise is None else _normaliser_name(run.normalise),
        "to_um_per_px": "none" if zoom is None else str(float(zoom)),
    }


def _normaliser_name(function: Any) -> str:
    """Return the name of a normaliser that `normaliser` returns, or a description of another."""
    for name in NORMALISERS:
        plain = normaliser(name)
        if type(function) is type(plain):
            same = repr(function) == repr(plain)
            return name if same else f"{name} fitted to images {_digest([repr(function)])}"
    return _name(function)


@cache
def versions() -> dict[str, str]:
    """Return the versions of the packages that values depend on."""
    installed = _machine.versions(PACKAGES)
    # Not that of Python: a result may be resumed under another one.
    packages = {name: installed[name] for name in PACKAGES}
    ours = {"hemafeat": installed["hemafeat"], "formulas": str(FORMULAS)}
    return {**ours, "opencv": str(cv2.__version__), **packages}


def digest(stored: dict[str, Any]) -> str:
    """Return a short digest of a fingerprint."""
    return _digest([json.dumps(stored, sort_keys=True)])


def differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Describe how two fingerprints differ, one phrase for each difference."""
    phrases = []
    for key in dict.fromkeys([*then, *now]):
        old, new = (stored.get(key, DEFAULTS.get(key)) for stored in (then, now))
        if old == new:
            continue
        if key == "images":
            phrases.append(_image_difference(old or {}, new or {}))
        elif key == "families":
            phrases.append(_family_difference(old or {}, new or {}))
        elif key == "versions":
            pairs = [(name, (old or {}).get(name), value) for name, value in (new or {}).items()]
            phrases += [
                f"{name} was {was}, is {value}" for name, was, value in pairs if was != value
            ]
        else:
            phrases.append(f"{ARGUMENTS.get(key, key)} was {old}, is {new}")
    return phrases


def _image_difference(then: dict[str, Any], now: dict[str, Any]) -> str:
    if then.get("number") != now.get("number"):
        return f"there were {then.get('number')} images, now there are {now.get('number')}"
    if then.get("first") != now.get("first"):
        return f"the first image was {then.get('first')}, is {now.get('first')}"
    old, new = then.get("columns", {}), now.get("columns", {})
    names = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    return f"the table of images differs in {', '.join(names)}"


def _family_difference(then: dict[str, str], now: dict[str, str]) -> str:
    if then.keys() != now.keys():
        added = [name for name in now if name not in then]
        gone = [name for name in then if name not in now]
        words = [f"{word} {', '.join(n)}" for word, n in (("with", added), ("without", gone)) if n]
        return f"families are now {' and '.join(words)}"
    names = [name for name in now if then[name] != now[name]]
    return f"families have changed: {', '.join(names)}"


def _column_digests(run: Run) -> dict[str, str]:
    """Return a digest of each column of the image table, and of masks given as arrays."""
    hashes = {str(name): hashlib.sha256() for name in run.image_table.columns}
    if run.masks is not None:
        hashes["masks"] = hashlib.sha256()
    for part in run.parts(PART_SIZE):
        for name, column in part.image_table.items():
            hashes[str(name)].update(_column_bytes(column))
        if part.masks is not None:
            hashes["masks"].update(_join(map(_bytes, part.masks)))
    return {name: value.hexdigest()[:16] for name, value in hashes.items()}


def _column_bytes(column: pd.Series) -> bytes:
    if pd.api.types.is_string_dtype(column.dtype) and column.dtype != object:
        # The same bytes as below, and much faster for millions of names.
        return _join([_bytes("\x1e".join(column.fillna("\0")))])
    return _join(map(_bytes, column.astype(object)))


def _join(values: Iterable[bytes]) -> bytes:
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
    if pd.api.types.is_scalar(value):
        return b"\0" if pd.isna(value) else repr(value).encode("utf-8", "surrogateescape")
    try:
        # The order in which a set shows its members is not that of the next process.
        return as_text(value).encode("utf-8", "surrogateescape")
    except TypeError:
        return repr(value).encode()


def _segmenter(run: Run) -> str | None:
    """Return the name of the segmenter and, if it is not of this package, its source."""
    if run.segment is None or run.segment is contours:
        return None if run.segment is None else "contours"
    given, function = run.settings["segmenter"], getattr(run.segment, "function", run.segment)
    return " ".join([given if isinstance(given, str) else _name(function), *_source(function)])


def _name(thing: Any) -> str:
    if isinstance(thing, partial):
        return _name(thing.func)
    owner = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{owner.__module__}.{owner.__qualname__}"


def _source(thing: Any) -> list[str]:
    """Return a digest of a function, or of an object and its parameters; none of our own."""
    if isinstance(thing, partial):
        return [*_source(thing.func), *_digests(_state(thing))]
    if str(getattr(thing, "__module__", "")).startswith("hemafeat."):
        return []
    is_function = hasattr(thing, "__qualname__")
    try:
        source = [inspect.getsource(thing if is_function else type(thing))]
    except (OSError, TypeError):
        source = []
    return _digests(source + ([] if is_function else _state(thing)))


def _state(thing: Any) -> list[str]:
    """Return the parameters of a callable object as text, the same in every process."""
    held: dict[Any, Any] = getattr(thing, "__dict__", {})
    if isinstance(thing, partial):
        held = {**dict(enumerate(thing.args)), **thing.keywords}
    # An object without a representation of its own is told by its address, which is another one in
    # the next process.
    return [_ADDRESS.sub("", f"{name} = {held[name]!r}") for name in sorted(held, key=str)]


def _digests(texts: list[str]) -> list[str]:
    return [_digest(texts)] if texts else []


def _masks(masks: Any) -> str | None:
    if masks is None:
        return None
    return os.fspath(masks) if isinstance(masks, (str, os.PathLike)) else "one for each image"


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\x1e".join(texts).encode()).hexdigest()[:16]
