"""Documents cannot drift: their code runs, their tables are renewed, no public name is missing."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.util
import inspect
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GUIDE = sorted(page.relative_to(ROOT).as_posix() for page in (DOCS / "guide").glob("*.md"))
PAGES = [
    *("README.md", "docs/quickstart.md", "docs/add_a_family.md", "docs/add_a_segmenter.md"),
    *("docs/add_a_data_set.md", *GUIDE),
]
ROOMS = [
    *("images", "datasets", "segment", "extract", "networks", "pipelines"),
    *("evaluate", "report", "recipes", "testing"),
]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="session")
def few_cells(tmp_path_factory):
    """Drawn cells of three kinds and six patients, where the documents say `cells`."""
    from hemafeat import datasets

    folder = tmp_path_factory.mktemp("docs") / "cells"
    kinds = ["lymphocyte", "monocyte", "neutrophil"]
    datasets.drawn(folder, 30, kinds=kinds, n_patients=6, size=160, random_state=0)
    return folder


@pytest.fixture
def at_work(few_cells, tmp_path, monkeypatch):
    """A working folder in which `cells` is there, and stays there whatever a page draws."""
    from hemafeat import datasets

    drawn = datasets.drawn

    def small(out, n_images=30, **given):
        if str(out) == "cells":  # what the page asks for, at the size of a test
            return datasets.from_csv(Path(out) / "manifest.csv")
        return drawn(out, n_images, size=120, **given)

    (tmp_path / "cells").symlink_to(few_cells, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "drawn", small)
    return tmp_path


NEEDED = {"docs/guide/tools.md": ("polars", "anndata")}
"""Optional packages that the code of a page needs."""


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_python_of_the_page_runs(page, at_work, monkeypatch):
    for package in NEEDED.get(page, ()):
        pytest.importorskip(package)
    module = types.ModuleType("page")  # functions of a page are found by name, as those of a file
    monkeypatch.setitem(sys.modules, "page", module)
    with contextlib.redirect_stdout(io.StringIO()):
        for block in blocks(page, "python"):
            exec(compile(block, page, "exec"), vars(module))


@pytest.mark.slow_without_jit
def test_the_readme_shows_what_its_code_prints():
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(blocks("README.md", "python")[0], {})
    assert out.getvalue() == blocks("README.md", "text")[0]


def commands(page: str) -> list[list[str]]:
    lines = "".join(blocks(page, "sh")).splitlines()
    found = [shlex.split(line, comments=True) for line in lines if line.startswith("hemafeat ")]
    return [words[1:] for words in found if words[1:] != ["demo"]]


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)])
def test_commands_of_the_page_run(page, at_work, capsys):
    from hemafeat.cli import main

    for words in commands(page):
        try:
            status = main(words)
        except SystemExit as end:  # --help
            status = end.code or 0
        out, err = capsys.readouterr()
        assert status == 0, f"{shlex.join(words)}\n{out}{err}"


def generator(file="_generate.py"):
    spec = importlib.util.spec_from_file_location(Path(file).stem, DOCS / file)
    if str(DOCS) not in sys.path:
        sys.path.append(str(DOCS))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_table_of_families_in_the_readme_is_current():
    text = (ROOT / "README.md").read_text("utf-8")
    assert text == generator().readme(text), "renew it: python docs/_generate.py"


def test_the_guide_says_of_every_family_why_it_is_in_the_default_table():
    from hemafeat import extract

    text = (DOCS / "guide" / "extract.md").read_text("utf-8")
    rows = re.findall(r"^\| (`[^|]*) \| (.+) \|$", text.split("| Family |")[1], re.MULTILINE)
    reasons = {name: why for names, why in rows for name in re.findall(r"`(\w+)`", names)}
    numbers = extract.families().frame().dropna(subset="ms")["default"]
    assert sorted(reasons) == sorted(numbers.index)
    for name, why in reasons.items():
        assert why.startswith("Not in it: ") == (numbers[name] == 0), name


def test_every_column_is_explained():
    from hemafeat import extract

    described = extract.describe("all")
    assert described["column"].is_unique
    searched = json.loads(generator().column_script().split("=", 1)[1].strip("; \n"))
    for family, part in described.groupby("family"):
        page = generator().family_page(family)
        missing = [name for name in part["feature"].unique() if f">`{name}` |" not in page]
        assert not missing, f"{family}: {missing}"
        assert "| Formula | Meaning |" in page, family
        columns = {name for row in searched[family] for name in row[-1].split()}
        assert columns == set(part["column"])


def test_what_all_formulas_share_is_said_once():
    tail = generator().common_tail
    assert tail(["a; x; y", "b; c; x; y"]) == "; x; y"
    assert tail(["a; x", "b; y"]) == tail(["a; x"]) == tail(["a", "a; x"]) == ""


def test_a_search_for_a_ratio_finds_its_family():
    # A main entry of the index comes before every page that only holds the words.
    assert "```{index} ! single: nucleus cytoplasm ratio\n" in generator().family_page("relation")
    assert set(generator().SYNONYMS) <= set(generator().built_in())


def test_every_family_is_in_the_overview():
    page = generator().overview()
    names = re.findall(r":link: /generated/features/(\w+)", page)
    assert names == list(generator().built_in())
    assert names.index("granulometry") < names.index("lbp")
    assert page.index("card} granulometry") < page.index("## Codes") < page.index("card} lbp")


def test_every_family_has_a_drawing():
    drawings = generator("_drawings.py")
    assert set(drawings.DRAWINGS) == set(generator().built_in())
    for name, drawing in drawings.DRAWINGS.items():
        assert re.fullmatch(r"[A-Z].*\.", drawing.caption), name
        assert len(drawing.alt.split()) > 5, name


def test_a_drawing_is_small():
    from PIL import Image

    picture = generator("_drawings.py").picture("granules")  # the largest
    assert Image.open(io.BytesIO(picture)).size == (640, 240)
    assert len(picture) < 30_000


def public_names() -> set[str]:
    """What stands in the stubs, and in ``__all__`` of rooms that are one file."""
    found = set()
    for room in ROOMS:
        module = importlib.import_module(f"hemafeat.{room}")
        names = getattr(module, "__all__", None) or [
            name
            for name, thing in vars(module).items()
            if getattr(thing, "__module__", "") == module.__name__ and not name.startswith("_")
        ]
        found |= {f"hemafeat.{room}.{name}" for name in names}
    return found


NODE = """
const {reader, matches} = require(process.argv[1]);
const {patterns, queries, text} = JSON.parse(require("fs").readFileSync(0, "utf8"));
const read = reader(patterns);
console.log(JSON.stringify(queries.map((query) => matches(read, query, text))));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_the_catalogue_is_filtered_as_describe_searches():
    from hemafeat import extract

    described = extract.describe("all").set_index("column")
    ratio = described.loc["cell__relation__nucleus_to_cytoplasm_area_ratio"]
    given = {
        "patterns": generator().words(),
        "queries": [
            *("nucleus to cytoplasm ratio", "N:C", "nuclear-cytoplasmic ratio", "", "N/C ratio"),
            *("area of cytoplasm", "nucleus_to_cyto"),
            *("lobes", "nucleoli", "granules of the cytoplasm"),
        ],
        "text": f"relation {ratio['feature']} {ratio['formula']} {ratio['meaning']}",
    }
    done = subprocess.run(
        ["node", "-e", NODE, str(DOCS / "_static" / "filter.js")],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == 7 * [True] + 3 * [False]


def test_every_public_name_is_in_the_reference():
    listed, room = set(), ""
    for line in (DOCS / "api.rst").read_text("utf-8").splitlines():
        if line.startswith(".. currentmodule:: "):
            room = line.split()[-1]
        elif re.fullmatch(r"   [A-Za-z]\w*", line):
            listed.add(f"{room}.{line.strip()}")
    assert listed == public_names()


@pytest.mark.parametrize("name", sorted(public_names()))
def test_every_public_name_says_what_it_is(name):
    room, _, short = name.rpartition(".")
    thing = getattr(importlib.import_module(room), short)
    if not (inspect.isroutine(thing) or inspect.isclass(thing)):
        return  # a constant; the reference shows the string under it
    text = inspect.getdoc(thing)
    assert text, f"{name} has no docstring"
    assert text.splitlines()[0].endswith("."), "the first line is a sentence"
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return
    asked = [
        parameter.name
        for parameter in inspect.signature(thing).parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_POSITIONAL
        and not parameter.name.startswith("_")
    ]
    told = documented(text, attributes=bool(asked))
    # What a lone parameter is may stand in the sentence; more than one need a section.
    if told or len(asked) > 1:
        if dataclasses.is_dataclass(thing):
            # Attributes: in any order, computed ones among them.
            told = [field for field in asked if field in told]
        assert told == asked, f"{name}: documented are {told}"


def documented(text: str, attributes: bool) -> list[str]:
    """Names under Parameters, else (of a dataclass) under Attributes, in a numpydoc docstring."""
    for section in ("Parameters", "Attributes") if attributes else ("Parameters",):
        found = re.search(rf"^{section}\n-+\n(.*?)(?=^\w[^\n]*\n---|\Z)", text, re.M | re.S)
        if found:
            lines = re.findall(r"^(\S.*?)(?: :.*)?$", found.group(1), re.M)
            return [name.strip().lstrip("*") for line in lines for name in line.split(",")]
    return []


WRITTEN = [
    page
    for page in sorted(DOCS.rglob("*.md"))
    if not {"_build", "generated", "gallery"} & set(page.relative_to(DOCS).parts)
]


def test_pages_are_in_the_index():
    listed = {"index"}
    for page in WRITTEN:
        for tree in re.findall(r"^```{toctree}\n(.*?)^```", page.read_text("utf-8"), re.M | re.S):
            names = [line for line in tree.splitlines() if line and not line.startswith(":")]
            listed |= {(page.parent / name).relative_to(DOCS).as_posix() for name in names}
    pages = {page.relative_to(DOCS).with_suffix("").as_posix() for page in WRITTEN}
    assert pages - listed == set()


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_a_page_is_plain_markdown(page):
    text = page.read_text("utf-8")
    assert re.findall(r"{[a-z:-]+}`[^`]*`", text) == [], "a role; write the name as code"
    assert re.findall(r"\[\]\([^)]*\)", text) == [], "a link without words"
    directives = set(re.findall(r"^[`:]{3,}{([a-z-]+)}", text, re.M))
    if page != DOCS / "index.md":  # the first page of the site is not read elsewhere
        assert directives <= {"toctree"}, "readable on the site alone"
    unbuilt = re.sub(r"<!--.*?-->|```{toctree}.*?```", "", text, flags=re.DOTALL)
    assert re.search(r"^# ", unbuilt, re.M), "no heading"
    assert len(unbuilt.split()) > 12, "nothing to read where nobody builds it"
    for target in re.findall(r"\]\((?![a-z]+:|#)([^)#\s]+)", unbuilt):
        assert (page.parent / target).exists(), f"a link to {target}"


def test_files_that_the_site_shows_are_there():
    shown = [
        (page, target)
        for page in WRITTEN
        for target in re.findall(r"<!-- site: (\S+) -->", page.read_text("utf-8"))
        if target != "end" and "generated/" not in target
    ]
    assert len(shown) > 5
    for page, target in shown:
        name, _, part = target.partition("#")
        text = (page.parent / name).read_text("utf-8")
        assert not part or f"<!-- {part}: begin -->" in text, f"{page}: {target}"


def test_names_of_other_projects_exist():
    for inventory in sorted((DOCS / "_inventories").glob("*.txt")):
        head, *lines = inventory.read_text("utf-8").splitlines()
        assert head == "# Sphinx inventory version 1"
        for line in lines[2:]:
            name, kind, page = line.split()
            module, _, last = name.rpartition(".")
            thing = getattr(importlib.import_module(module), last)
            assert kind == ("class" if inspect.isclass(thing) else "function"), name
            assert page.endswith((f"/{name}.html", f"/{last.lower()}.html")), name


def test_table_of_commands_is_current():
    text = (DOCS / "guide" / "command_line.md").read_text("utf-8")
    assert text == generator().command_table(text), "renew it: python docs/_generate.py"


def test_links_of_the_front_pages_lead_somewhere():
    for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        text = (ROOT / page).read_text("utf-8")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (ROOT / target).exists(), f"{page} links to {target}"


def test_one_version_of_ruff():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (pinned,) = (p for p in project["dependency-groups"]["lint"] if p.startswith("ruff"))
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    assert set(re.findall(r"ruff==[\d.]+", hooks)) == {pinned}


def test_version_is_the_same_everywhere():
    import hemafeat

    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {hemafeat.__version__}\n" in citation
    assert f"\n## {hemafeat.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_integration_runs_the_command_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    (pattern,) = re.findall(r"grep -m1 -E '([^']+)'", script)
    text = (ROOT / "README.md").read_text("utf-8")
    matching = [line for line in text.splitlines() if re.search(pattern, line)]
    assert len(matching) == 1, "the command stands once in the README, on a line of its own"
    assert matching[0] in "".join(blocks("README.md", "sh"))
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)


def test_stubs_name_what_pyproject_promises():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    module, function = project["scripts"]["hemafeat"].split(":")
    assert callable(getattr(importlib.import_module(module), function))
    running = ".".join(map(str, sys.version_info[:2]))
    assert f"Programming Language :: Python :: {running}" in project["classifiers"]
