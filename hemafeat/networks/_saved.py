"""Networks from files, without running what a file brings along."""

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
"""Words of Keras for values that are no objects of a class."""

_CODE = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "__lambda__")
"""What holds code of its own. Keras refuses it too, unless a program has switched that off."""

_FUNCTIONS = (
    "activations", "constraints", "initializers", "losses", "metrics", "ops", "optimizers",
    "regularizers",
)  # fmt: skip
"""Parts of Keras whose functions a network may name."""


def load_network(path: str | os.PathLike[str]) -> Any:
    """Read a network that was saved as a ``.keras`` file.

    No code from the file is run: a file that names a class of another module than Keras and
    `hemafeat.networks`, or holds a layer made of code (``Lambda``), is refused before anything is
    built.

    Parameters
    ----------
    path : path-like
        Written by ``model.save("name.keras")``, with the layers of Keras and of this package.

    Returns
    -------
    keras.Model
        Not compiled.

    Raises
    ------
    ImportError
        Keras is not installed.
    ValueError
        No such file, not a ``.keras`` file, or one that names a class that is not built. Older
        formats, which can hold code, are not read.
    """
    keras = need_keras("a network on images")
    from hemafeat.networks import _layers  # noqa: F401 - makes its layers known to Keras

    path = Path(path)
    if path.suffix != ".keras":
        raise ValueError(f"{path}: networks are read from .keras files")
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    for entry in _entries(_config(path)):
        if not _known(entry):
            raise ValueError(
                f"{path}: refused, it names {_words(entry)}: of a file only what keras and "
                "hemafeat.networks define is built, and no layer made of code"
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
        raise ValueError(f"{path}: not a .keras file, or cut short ({error})") from None
    if isinstance(config, dict):
        # How it was trained, perhaps with a loss of one's own; it is not built.
        config.pop("compile_config", None)
    return config


def _entries(config: Any) -> Iterator[dict[str, Any]]:
    """Every part of a config that names a class or a function."""
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if "class_name" in part:
                yield part
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def _known(entry: dict[str, Any]) -> bool:
    name, module = entry["class_name"], entry.get("module")
    # A registered name goes before module and class.
    registered = entry.get("registered_name")
    if not isinstance(name, str) or name in _CODE:
        return False
    if module is None:
        return name in _PLAIN
    root, *inner = str(module).split(".")
    if name == "function":
        given = root == "builtins" or (root == "keras" and inner[:1] and inner[0] in _FUNCTIONS)
        return bool(given) and registered in (None, entry.get("config"))
    if root == "keras":
        return registered in (None, name)
    ours = root == "hemafeat" and inner[:1] == ["networks"]
    return ours and registered == f"hemafeat>{name}"


def _words(entry: dict[str, Any]) -> str:
    name = entry.get("config") if entry["class_name"] == "function" else entry["class_name"]
    registered = entry.get("registered_name")
    also = "" if registered in (None, name) else f" ({registered})"
    module = entry.get("module")
    return f"{name}{also}" if module is None else f"{module}.{name}{also}"
