"""What an import loads, and that every name a stub promises can be had."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import hemafeat
from hemafeat import _machine
from hemafeat._machine import how_to_install

HEAVY = ["keras", "tensorflow", "sklearn", "numba", "pandas", "cv2", "xgboost", "matplotlib"]
ROOT = Path(hemafeat.__file__).parent


def loaded_by(code: str, **environment: str) -> set[str]:
    """Modules in memory after `code` ran in an interpreter of its own."""
    code += "\nimport json, sys\njson.dump(sorted(sys.modules), sys.stdout)"
    return set(json.loads(in_fresh_python(code, **environment)))


def in_fresh_python(code: str, **environment: str) -> str:
    env = {name: value for name, value in os.environ.items() if name != "EAGER_IMPORT"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**env, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def stubs() -> dict[str, list[str]]:
    """Package to the names its stub promises, read from the stub itself."""
    found = {}
    for stub in sorted(ROOT.rglob("__init__.pyi")):
        package = ".".join(["hemafeat", *stub.parent.relative_to(ROOT).parts])
        found[package] = [
            alias.asname or alias.name
            for node in ast.parse(stub.read_text("utf-8")).body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        ]
    return found


def test_the_package_loads_next_to_nothing():
    before = loaded_by("import lazy_loader")
    after = loaded_by("import hemafeat")
    assert not after & set(HEAVY)
    assert {name for name in after - before if name.startswith("hemafeat")} == {"hemafeat"}


def test_rooms_do_not_load_what_only_their_use_needs():
    loaded = loaded_by("from hemafeat import extract, pipelines")
    assert not loaded & {"sklearn", "keras", "numba", "xgboost", "tensorflow", "matplotlib", "cv2"}
    assert not loaded & {"pandas", "scipy", "skimage"}


HELP = """
import contextlib, io
from hemafeat.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(["--help"])
"""


def test_command_line_help_loads_no_heavy_package():
    assert not loaded_by(HELP) & set(HEAVY)


def test_every_room_is_named_by_the_package():
    rooms = {m.name for m in pkgutil.iter_modules([str(ROOT)]) if not m.name.startswith("_")}
    assert set(stubs()["hemafeat"]) | {"cli"} == rooms


NAMES = """
import importlib, sys
for package, names in promised.items():
    # As in a process of its own; only packages of others are loaded once for all.
    for name in [name for name in sys.modules if name.split(".")[0] == "hemafeat"]:
        del sys.modules[name]
    room = importlib.import_module(package)
    missing = [name for name in names if not hasattr(room, name)]
    assert not missing, f"{package}: {missing}"
"""


def test_every_promised_name_is_there():
    promised = stubs()
    assert len(promised) > 8
    assert all(promised.values()), "a stub names nothing"
    in_fresh_python(f"promised = {promised!r}\n{NAMES}")


def test_everything_imports_eagerly():
    in_fresh_python(f"{WALK}\nassert n > 30, n", EAGER_IMPORT="1")


OPTIONAL = [
    *("keras", "tensorflow", "imblearn", "dask", "distributed", "fsspec", "napari", "magicgui"),
]
WALK = """
import importlib, pkgutil, hemafeat
n = 0
for module in pkgutil.walk_packages(hemafeat.__path__, "hemafeat."):
    try:
        importlib.import_module(module.name)
    except ImportError as error:  # layers of Keras cannot even be defined without it
        name = module.name.removeprefix("hemafeat.networks.")
        if name not in ("_layers", "_transformer") or "needs Keras 3" not in str(error):
            raise
    n += 1
"""


def test_everything_imports_without_the_optional_packages():
    blocked = f"import sys\nfor name in {OPTIONAL!r}: sys.modules[name] = None\n"
    in_fresh_python(blocked + WALK, EAGER_IMPORT="1")


def test_a_missing_optional_package_is_named():
    code = """
import sys
sys.modules["imblearn"] = None
from hemafeat import pipelines
try:
    pipelines.ldsvm(smote=True)
except ImportError as error:
    print(error)
"""
    assert how_to_install("imbalanced-learn", "balance") in in_fresh_python(code)


def test_the_command_to_install_reaches_this_environment(monkeypatch):
    monkeypatch.setattr(_machine, "requires", lambda name: ["shap>=0.46; extra == 'shap'"])
    monkeypatch.setattr(sys, "executable", "/with space/bin/python")
    monkeypatch.setattr(shutil, "which", lambda name: "/with space/bin/pip")
    assert how_to_install("shap", "shap") == 'pip install "shap>=0.46"'
    assert how_to_install("shap") == "pip install shap"
    assert how_to_install("roifile", "rois") == "pip install roifile", "an extra it lacks"
    monkeypatch.setattr(shutil, "which", lambda name: "/elsewhere/bin/pip")
    monkeypatch.setattr(_machine, "find_spec", lambda name: object())
    assert how_to_install("shap") == '"/with space/bin/python" -m pip install shap'
    monkeypatch.setattr(_machine, "find_spec", lambda name: None)
    assert how_to_install("shap") == 'uv pip install --python "/with space/bin/python" shap'


def test_modules_carry_type_information():
    assert (ROOT / "py.typed").is_file()
    assert importlib.util.find_spec("hemafeat").origin == str(ROOT / "__init__.py")
