"""What is built is what is here: every file of the package in the wheel, and nothing else."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from configparser import ConfigParser
from email import message_from_bytes
from pathlib import Path

import pytest

from hemafeat import _machine

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    place = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel"]
    done = subprocess.run([*command, "-d", str(place)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def files(folder: str) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel_holds_the_package_and_nothing_else(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
        (named,) = (name for name in archive.namelist() if name.endswith("/entry_points.txt"))
        entries = ConfigParser()
        entries.read_string(archive.read(named).decode())
    assert inside == files("hemafeat")
    assert {"hemafeat/py.typed", "hemafeat/extract/__init__.pyi"} <= inside
    assert {
        f"hemafeat/segment/_unet/weights/unet.{kind}" for kind in ("onnx", "keras", "md")
    } <= inside
    assert {
        f"hemafeat/pipelines/_shipped/leukocytes.{kind}" for kind in ("hemafeat", "md")
    } <= inside
    assert entries["napari.manifest"]["hemafeat"] == "hemafeat._napari:napari.yaml"
    assert "hemafeat/_napari/napari.yaml" in inside
    assert any(name.endswith(".html.j2") for name in inside), "the template of the page"


def test_messages_name_the_packages_of_every_extra(built, monkeypatch):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (named,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = message_from_bytes(archive.read(named))
    monkeypatch.setattr(_machine, "requires", lambda name: metadata.get_all("Requires-Dist"))
    monkeypatch.setattr(_machine, "_installer", lambda: "pip install")
    for extra, wanted in project()["optional-dependencies"].items():
        said = shlex.split(_machine.how_to_install("missing", extra))[2:]
        assert {normal(line) for line in said} == {normal(line) for line in wanted}, extra
    everything = [path for room in ("hemafeat", "docs") for path in (ROOT / room).rglob("*")]
    for path in [*everything, ROOT / "README.md"]:
        if path.suffix in (".py", ".md", ".j2") and "generated" not in path.parts:
            assert "'hemafeat[" not in path.read_text("utf-8"), f"{path}: no index has hemafeat"


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def normal(requirement: str) -> tuple[str, frozenset[str]]:
    """Return the name of a requirement, and its versions in any order."""
    name, versions = re.fullmatch(r"([\w.\[\]-]+)(.*)", requirement.partition(";")[0]).groups()
    return name.lower(), frozenset(versions.strip().split(","))


def test_source_archive_can_run_its_own_tests(built):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        inside = {name.partition("/")[2] for name in tar.getnames()}
    wanted = files("hemafeat") | {p for p in files("tests") if p.endswith(".py")}
    wanted |= {"README.md", "CONTRIBUTING.md", "LICENSE", "pyproject.toml", "tox.ini", ".ci/run"}
    wanted |= {"Dockerfile", ".dockerignore", "recipe/recipe.yaml"}
    assert not wanted - inside
    folders = {name.partition("/")[0] for name in inside if "/" in name}
    assert folders == {"hemafeat", "tests", "benchmarks", "docs", "examples", "recipe", ".ci"}


def test_oldest_versions_tested_are_the_oldest_allowed():
    extras = project()["optional-dependencies"]
    asked = project()["dependencies"] + extras["balance"] + extras["cluster"]
    lowest = {re.sub(r">=([\d.]+).*", r"==\1", requirement) for requirement in asked}
    lines = (ROOT / "tests" / "oldest.txt").read_text("utf-8").splitlines()
    assert {line for line in lines if not line.startswith("#")} == lowest


@pytest.mark.parametrize("environment", ["networks", "networks-jax"])
def test_tox_names_every_file_with_tests_of_networks(environment):
    tox = ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    words = tox[f"testenv:{environment}"]["commands"].split()
    named = [ROOT / word for word in words if word.startswith("tests/")]
    marked = {
        file
        for file in (ROOT / "tests").rglob("test_*.py")
        if file != Path(__file__) and "mark.networks" in file.read_text("utf-8")
    }
    assert marked
    assert not {file for file in marked if not any(file.is_relative_to(one) for one in named)}


def test_the_readme_of_the_package_has_no_pictures(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (named,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        told = archive.read(named).decode()
    assert "## Families of features" in told
    assert "![" not in told
    assert (ROOT / "README.md").read_text("utf-8").count("![") == 4
