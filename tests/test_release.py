"""What installs and packages hemafeat agrees with pyproject.toml, and its commands run."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import textwrap
import tomllib
import zipfile
from pathlib import Path

import pytest

import hemafeat
from hemafeat import datasets, extract

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MODULE = ROOT / "examples" / "workflows" / "nextflow" / "hemafeat" / "extract"
CONDA = {"opencv-python": "py-opencv", "xgboost": "py-xgboost", "matplotlib": "matplotlib-base"}
"""Names on conda-forge that differ; py-opencv also has the metadata of opencv-python."""


def on_conda(requirement: str) -> str:
    """Return a requirement as a recipe has it."""
    name, versions = re.fullmatch(r"([\w-]+)(.*)", requirement).groups()
    if name == "opencv-python":  # the fourth number is that of the wheel
        versions = re.sub(r"(\d+\.\d+\.\d+)\.\d+", r"\1", versions)
    return f"{CONDA.get(name, name.replace('lazy-loader', 'lazy_loader'))} {versions}".strip()


def test_conda_recipe_has_the_dependencies():
    yaml = pytest.importorskip("yaml")
    recipe = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text("utf-8"))
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert recipe["context"] == {"version": hemafeat.__version__, "python_min": oldest}
    _, *needed = recipe["requirements"]["run"]
    assert sorted(needed) == sorted(map(on_conda, PROJECT["dependencies"]))
    (entry,) = recipe["build"]["python"]["entry_points"]
    assert entry == f"hemafeat = {PROJECT['scripts']['hemafeat']}"
    assert recipe["about"]["license"] == PROJECT["license"]
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["build-system"]["requires"]
    assert recipe["requirements"]["host"][2:] == [
        re.sub(r"(?=>=)", " ", requirement) for requirement in build
    ]
    (script,) = (test["script"] for test in recipe["tests"] if "script" in test)
    for command in script:
        _, *words = shlex.split(command)
        run = subprocess.run([sys.executable, "-m", "hemafeat", *words], capture_output=True)
        assert run.returncode == 0, command


def test_an_image_is_built_of_what_the_wheel_needs(tmp_path):
    """The build context of the Dockerfile: what .dockerignore leaves."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in lines
    for name in (line[1:] for line in lines if line.startswith("!")):
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, tmp_path / "src" / name, ignore=ignored)
        else:
            (tmp_path / "src").mkdir(exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / "src")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path / "src", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if name.startswith("hemafeat/")}
    whole = {
        p for p in (ROOT / "hemafeat").rglob("*") if p.is_file() and "__pycache__" not in p.parts
    }
    assert inside == {path.relative_to(ROOT).as_posix() for path in whole}


def test_dockerfile_agrees_with_the_project():
    text = (ROOT / "Dockerfile").read_text("utf-8")
    (python,) = re.findall(r"^ARG PYTHON=(.*)$", text, flags=re.MULTILINE)
    assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]
    (opencv,) = (line for line in PROJECT["dependencies"] if line.startswith("opencv-python"))
    assert f'"{opencv.replace("opencv-python", "opencv-python-headless")}"' in text
    assert re.search(r"^USER (?!0|root)", text, flags=re.MULTILINE)


def test_every_extra_is_documented():
    page = (ROOT / "docs" / "install.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)
    assert sorted(rows) == sorted(PROJECT["optional-dependencies"])


def test_every_extra_is_tried_on_every_python():
    tried = runpy.run_path(str(ROOT / "benchmarks" / "install.py"))
    assert {*tried["TRIED"], *tried["INSTALLED"]} == set(PROJECT["optional-dependencies"])
    assert tried["PYTHONS"][0] == PROJECT["requires-python"].removeprefix(">=")
    for name, code in tried["TRIED"].items():
        compile(tried["TABLE"] + code, name, "exec")
    compile(tried["DRAW"], "draw", "exec")


def test_the_changelog_begins_with_what_to_do():
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    known = {"What to do", "Added", "Changed", "Fixed", "Changed names", "Changed values"}
    versions = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    for version in versions:
        headings = re.findall(r"^### (.*)$", version, flags=re.MULTILINE)
        assert len(set(headings)) == len(headings)
        assert set(headings) <= known | {"Removed", "Deprecated", "Security"}
    assert versions[0].startswith("Unreleased")
    assert re.findall(r"^### (.*)$", versions[0], flags=re.MULTILINE)[0] == "What to do"


@pytest.fixture
def at_work(tmp_path, monkeypatch):
    """Two slides of drawn cells, and the command of this hemafeat."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    drawn = datasets.drawn(tmp_path / "drawn", 4, size=120, random_state=0)
    for number, path in enumerate(drawn["image"]):
        slide = tmp_path / "slides" / f"s{number % 2}"
        slide.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, slide)
    command = tmp_path / "bin" / "hemafeat"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m hemafeat \"$@\"\n", "utf-8")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def from_groovy(block: str, **values: str) -> str:
    """Return the shell of a block of a Nextflow module, with values for its variables."""

    def value(match: re.Match[str]) -> str:
        return values[match[1].replace(".", "_")]

    text = re.sub(r"(?<!\\)\$\{?(\w+(?:\.\w+)?)\}?", value, textwrap.dedent(block))
    return text.replace("\\$", "$").replace("\\\\", "\\")


def test_nextflow_module_names_what_it_gives():
    yaml = pytest.importorskip("yaml")
    meta = yaml.safe_load((MODULE / "meta.yml").read_text("utf-8"))
    text = (MODULE / "main.nf").read_text("utf-8")
    assert list(meta["output"]) == re.findall(r"emit: (\w+)", text)
    for needed in ("name", "description", "keywords", "authors", "tools"):  # of nf-core
        assert meta[needed]
    environment = yaml.safe_load((MODULE / "environment.yml").read_text("utf-8"))
    assert environment["dependencies"] == [f"conda-forge::hemafeat={hemafeat.__version__}"]


def test_nextflow_module_runs(at_work):
    text = (MODULE / "main.nf").read_text("utf-8")
    script, stub = (from_groovy(block, **VALUES) for block in text.split('"""')[1::2])
    assert f'container "hemafeat:{hemafeat.__version__}"' in text
    outputs = [one.replace("${prefix}", "s0") for one in re.findall(r'path\s*\(?"([^"]+)"', text)]
    for number, shell in enumerate((script, stub)):
        place = at_work / f"work{number}"
        place.mkdir()
        done = subprocess.run(
            ["bash", "-ue", "-c", shell], cwd=place, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert set(outputs) == {"s0.parquet", "s0.errors.parquet", "versions.yml"}
        assert all((place / name).is_file() for name in outputs)
        said = (place / "versions.yml").read_text("utf-8")
        assert said == f'"HEMAFEAT_EXTRACT":\n    hemafeat: {hemafeat.__version__}\n'
    assert len(extract.load(at_work / "work0" / "s0.parquet")) == 2


VALUES = {
    "images": "../slides/s0",
    "prefix": "s0",
    "args": "--families shape --um-per-px 0.3",
    "task_cpus": "1",
    "task_process": "HEMAFEAT_EXTRACT",
}


def test_snakemake_workflow_runs(at_work):
    pytest.importorskip("snakemake")
    snakefile = ROOT / "examples" / "workflows" / "Snakefile"
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--cores", "1"]
    settings = ["--config", "slides=slides/", "families=shape", "um_per_px=0.3"]
    done = subprocess.run([*command, *settings], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = extract.load("cells.parquet")
    assert table.groupby("dataset").size().to_dict() == {"s0": 2, "s1": 2}
    assert table.attrs["units"]["cell__shape__area"] == "um^2"
