"""The layout holds: doors are used, and no file imports itself by a detour."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import hemafeat

ROOT = Path(hemafeat.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file) for file in FILES}


def imports(file: Path) -> Iterator[str]:
    """Modules of hemafeat that a file imports when it runs, also inside its functions."""
    tree = ast.parse(file.read_text("utf-8"))
    only_typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in only_typing:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("hemafeat"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hemafeat"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else str(node.module)


def room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def test_no_room_imports_a_private_file_of_another():
    through_the_wall = [
        f"{module_of(file)} imports {target}"
        for file in FILES
        for target in imports(file)
        if room(target) != room(module_of(file))
        and target.count(".") > 1
        and target.split(".")[2].startswith("_")
    ]
    assert not through_the_wall, "\n".join(through_the_wall)


def test_no_import_runs_in_a_circle():
    arrows = {module_of(file): set(imports(file)) - {module_of(file)} for file in FILES}
    # The package itself only holds the version; rooms behind it are loaded when they are used.
    for targets in arrows.values():
        targets.discard("hemafeat")
    done: set[str] = set()

    def follow(module: str, way: tuple[str, ...]) -> None:
        if module in way:
            pytest.fail(" -> ".join([*way[way.index(module) :], module]))
        if module in done:
            return
        for target in sorted(arrows.get(module, ())):
            follow(target, (*way, module))
        done.add(module)

    for module in sorted(arrows):
        follow(module, ())


CATALOGUES = {"extract/_families", "extract/_kernels", "datasets/_loaders", "cli"}
"""Folders in which a file is an entry: a family, a kernel, a data set, a command."""


def test_folders_hold_few_files():
    folders = {file.parent for file in FILES} - {ROOT / name for name in CATALOGUES}
    sizes = {str(folder.relative_to(ROOT)): len(list(folder.glob("*.py"))) for folder in folders}
    assert {name: n for name, n in sizes.items() if n > 14} == {}
