"""Reading of saved networks without running code from the file."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hemafeat.networks._keras import need_keras

_PLAIN = (
    "__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__slice__", "__ellipsis__"
)  # fmt: skip
"""Class names by which Keras marks plain values."""

_CODE = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "__lambda__")
"""Classes that hold code. Keras refuses them as well, unless a program has switched that off."""

_FUNCTIONS = (
    "activations", "constraints", "initializers", "losses", "metrics", "ops", "optimizers",
    "regularizers",
)  # fmt: skip
"""Modules of Keras whose functions a network may name."""


def load_network(path: str | os.PathLike[str]) -> Any:
    """Read a network that was saved as a ``.keras`` file.

    No code from the file is run: a file that names a class of a module other than Keras and
    `hemafeat.networks`, or that holds a layer made of code (``Lambda``), is refused before anything
    is built.

    Parameters
    ----------
    path : path-like
        File written by ``model.save("name.keras")``, with layers of Keras and of this package.

    Returns
    -------
    keras.Model
        The network, not compiled.

    Raises
    ------
    ImportError
        Keras is not installed.
    ValueError
        The file does not exist, is not a ``.keras`` file, or names a class that is refused. Older
        formats, which can hold code, are not read.

    Examples
    --------
    >>> from hemafeat import networks
    >>> networks.build("lenet5", 8).save("lenet5.keras")
    >>> networks.load_network("lenet5.keras").count_params()
    61836
    """
    keras = need_keras("a network on images")
    from hemafeat.networks import _layers  # noqa: F401 - registers its layers

    path = Path(path)
    if path.suffix != ".keras":
        raise ValueError(f"{path}: not a .keras file; networks are read from .keras files only")
    if not path.is_file():
        raise ValueError(f"{path}: the file does not exist")
    for entry in _entries(_config(path)):
        if not _is_trusted(entry):
            raise ValueError(
                f"{path}: refused, it names {_full_name(entry)}: only classes and functions of "
                "keras and hemafeat.networks are built from a file, and no layer made of code"
            )
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def _config(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as box:
            config = json.loads(box.read("config.json"))
    except (
        zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError, NotImplementedError,
        RecursionError,
    ) as error:  # fmt: skip
        raise ValueError(f"{path}: not a .keras file, or incomplete ({error})") from None
    if isinstance(config, dict):
        # Not needed, and it may name a custom loss.
        config.pop("compile_config", None)
    return config


def _entries(config: Any) -> Iterator[dict[str, Any]]:
    """Iterate over the parts of a config that name a class or a function."""
    stack = [config]
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            if "class_name" in part:
                yield part
            stack += part.values()
        elif isinstance(part, list):
            stack += part


def _is_trusted(entry: dict[str, Any]) -> bool:
    """Return whether an entry names a class or function that may be built."""
    name, module = entry["class_name"], entry.get("module")
    # Keras looks up a registered name before module and class.
    registered = entry.get("registered_name")
    if not isinstance(name, str) or name in _CODE:
        return False
    if module is None:
        return name in _PLAIN
    root, *inner = str(module).split(".")
    if name == "function":
        allowed = root == "builtins" or (root == "keras" and inner[:1] and inner[0] in _FUNCTIONS)
        return bool(allowed) and registered in (None, entry.get("config"))
    if root == "keras":
        return registered in (None, name)
    is_hemafeat = root == "hemafeat" and inner[:1] == ["networks"]
    return is_hemafeat and registered == f"hemafeat>{name}"


def _full_name(entry: dict[str, Any]) -> str:
    """Return module, name and differing registered name of an entry."""
    name = entry.get("config") if entry["class_name"] == "function" else entry["class_name"]
    registered = entry.get("registered_name")
    suffix = "" if registered in (None, name) else f" ({registered})"
    module = entry.get("module")
    return f"{name}{suffix}" if module is None else f"{module}.{name}{suffix}"
