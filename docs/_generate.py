"""What the documents say about families and columns, written from what the families declare.

``python docs/_generate.py`` renews the tables in README.md and of the commands; the pages of
``docs/generated`` are written before each build.
"""

from __future__ import annotations

import contextlib
import html
import io
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import _drawings

from hemafeat import extract

README = Path(__file__).parents[1] / "README.md"
COMMANDS = Path(__file__).parent / "guide" / "command_line.md"
BEGIN, END = "<!-- families: begin -->\n", "<!-- families: end -->\n"


def family_table() -> str:
    """One row per built-in family, as Markdown."""
    rows = []
    frame = extract.families().frame()
    for name, function in extract.families().items():
        facts = function.facts
        if not function.__module__.startswith("hemafeat."):
            continue
        rows.append(
            (
                f"`{name}`",
                _escape(function.__doc__.strip().splitlines()[0].rstrip(".")),
                ", ".join(facts.masks) if facts.per_mask else "all together",
                *(frame.loc[name, key] or "" for key in ("columns", "default", "fast")),
            )
        )
    heads = ("Family", "What it measures", "Masks", "Columns", "Default", "Fast")
    return _table(heads, rows)


def readme(text: str) -> str:
    """`text` of the README with the table of families renewed."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + "\n" + family_table() + "\n" + END + after


CODES = ("lbp", "lbp256", "dct_zigzag", "gabor", "zernike")
"""Families of which a single column says little: their columns code a texture or shape together."""


def words() -> list[tuple[str, str]]:
    """Patterns of words and what stands for them, as ``hemafeat describe`` reads them."""
    from hemafeat.cli import _describe

    return [
        (_describe._NC.pattern, " nc "),
        *((pattern.pattern, other) for pattern, other in _describe._SYNONYMS.items()),
        (_describe._FILLERS.pattern, " "),
    ]


SYNONYMS = {
    "relation": (
        "nucleus cytoplasm ratio",
        "nucleus to cytoplasm ratio",
        "nuclear cytoplasmic ratio",
        "nucleus to cell ratio",
        "N:C ratio",
    ),
    "lobes": ("lobes of the nucleus", "segmented nucleus", "lobe count"),
    "lobulation": ("lobulation of the nucleus",),
    "granules": ("granules of the cytoplasm", "granularity", "vacuoles"),
    "chromatin": ("chromatin pattern", "nucleoli"),
    "stain": ("basophilia", "eosinophilia"),
    "rim": ("rim of cytoplasm", "projections of the cell"),
    "shape": ("circularity", "roundness", "indentation of the nucleus"),
    "glcm": ("co-occurrence matrix", "Haralick features"),
    "lbp": ("local binary patterns",),
    "gabor": ("Gabor filters",),
    "zernike": ("Zernike moments",),
}
"""What people look for, and the family that has it: entries of the index, which a search reads."""


def built_in() -> dict[str, Any]:
    """The families of the package, those of codes last."""
    families = {
        name: function
        for name, function in extract.families().items()
        if function.__module__.startswith("hemafeat.")
    }
    return {name: families[name] for name in sorted(families, key=lambda name: name in CODES)}


def described(name: str) -> Any:
    """The features of a family: one row for all its masks and planes."""
    columns = extract.describe([name])
    # Columns differ by mask and plane too; what one of each is holds for the others.
    keys = ["feature"] if extract.families()[name].facts.planes else None
    first = columns.drop_duplicates(keys or ["feature", "unit", "formula", "source"])
    listed = columns.groupby("feature")["column"].agg(" ".join)
    return first.assign(columns=first["feature"].map(listed))


def family_page(name: str) -> str:
    """The page of a family: what it measures, and every feature with formula and meaning."""
    function = built_in()[name]
    facts = function.facts
    drawing = _drawings.DRAWINGS[name]
    columns = extract.columns([name])
    features = described(name)
    tail = common_tail(features["formula"].tolist())
    rows = []
    seen = set()
    for r in features.itertuples():
        anchor = "" if r.feature in seen else f'<a id="feature-{r.feature}"></a>'
        seen.add(r.feature)
        formula = r.formula.removesuffix(tail)
        texts = (_escape(r.meaning), _escape(r.source))
        rows.append((f"{anchor}`{r.feature}`", f"`{r.unit}`", f"`{formula}`", *texts))
    heads = ["Feature", "Unit", "Formula", "Meaning", "Source"]
    sources = features["source"].unique()
    if len(sources) == 1:
        heads, rows = heads[:-1], [row[:-1] for row in rows]
    masks = ", ".join(facts.masks) if facts.per_mask else "all masks in one call"
    parts = [
        f"# {name}\n",
        *("```{index} ! single: " + entry + "\n```\n" for entry in SYNONYMS.get(name, ())),
        function.__doc__.strip().splitlines()[0] + "\n",
        f"![{drawing.alt}](../drawings/{name}.png)\n",
        f"{drawing.caption}\n",
        f"- Measured on: {masks}",
        *([f"- Planes: {', '.join(facts.planes)}"] if facts.planes else []),
        f"- Columns: {len(columns)}, from `{columns[0]}` to `{columns[-1]}`",
        f"- In the default table: {_in_default(name, facts)}",
        *([f"- In every formula: {_escape(tail.removeprefix('; '))}"] if tail else []),
        *([f"- Source: {_escape(sources[0])}"] if len(sources) == 1 and sources[0] else []),
        *([f"- Reference: {_escape(facts.reference)}"] if facts.reference else []),
        f"- In Python: `extract.{name}`\n",
        "[All families](../../features.md) and what their formulas share.\n",
        ":::{div} features",
        _table(heads, rows) + ":::\n",
    ]
    return "\n".join(parts)


GRID = ":::::{grid} 1 2 3 3\n:gutter: 2\n"


def common_tail(formulas: list[str]) -> str:
    """What all formulas end with from a semicolon on: said once, above the table."""
    tails = [["; " + part for part in formula.split("; ")[1:]] for formula in formulas]
    shared: list[str] = []
    for parts in zip(*(reversed(tail) for tail in tails), strict=False):
        if len(set(parts)) > 1:
            break
        shared.insert(0, parts[0])
    return "".join(shared) if len(formulas) > 1 else ""


def overview() -> str:
    """All families, each with its page, and a field that finds their features."""
    patterns = html.escape(json.dumps(words()), quote=True)
    parts = [
        '<script defer src="_static/columns.js"></script>\n'
        "<p><label>Find features by words: "
        '<input id="feature-filter" type="search" size="28" '
        f'placeholder="nucleus to cytoplasm ratio" data-words="{patterns}"></label> '
        '<output></output></p>\n<ul id="feature-results"></ul>\n',
        "[columns.csv](columns.csv) lists every column.\n",
        GRID,
    ]
    numbers = extract.families().frame()
    for name, function in built_in().items():
        if name == CODES[0]:
            parts += [
                ":::::\n\n## Codes\n",
                "The columns of the following families are the entries of codes. Many numbers "
                "together describe a texture or an outline for a model; a single one says hardly "
                "anything to a reader, and its meaning is what the group stands for.\n",
                GRID,
            ]
        number, default = numbers.loc[name, ["columns", "default"]]
        parts += [
            f"::::{{grid-item-card}} {name}",
            f":link: /generated/features/{name}\n:link-type: doc",
            f":img-top: generated/drawings/{name}.png\n:img-alt: {_drawings.DRAWINGS[name].alt}",
            f"\n{_escape(function.__doc__.strip().splitlines()[0])}\n",
            f":::{{card-footer}}\n{number} columns, {default or 'none'} by default\n:::\n::::\n",
        ]
    pages = "\n".join(f"generated/features/{name}" for name in built_in())
    parts += [":::::\n", f"```{{toctree}}\n:hidden:\n\n{pages}\n```\n"]
    return "\n".join(parts)


def column_script() -> str:
    """What the field above the families searches, as a script: a page opened from disk reads it."""
    keys = ["feature", "unit", "formula", "meaning", "source", "columns"]
    listed = {name: described(name)[keys].to_numpy().tolist() for name in built_in()}
    return f"const FEATURES = {json.dumps(listed)};\n"


def _in_default(name: str, facts: Any) -> str:
    """Say which columns of a family are in the default table."""
    number = extract.families().frame().loc[name, "default"]
    if number in (0, len(extract.columns([name]))):
        return "all" if number else "none"
    return f"{number}, those called {', '.join(f'`{pattern}`' for pattern in facts.default)}"


def help_of(*words: str) -> str:
    """What a command says of itself."""
    from hemafeat.cli import main

    os.environ["COLUMNS"] = "90"  # argparse wraps to the terminal otherwise
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main([*words, "--help"])
    return out.getvalue().strip()


def commands() -> dict[str, str]:
    """What each command does, in the order of the overview."""
    listed = help_of().split("commands:")[1].split("examples:")[0]
    return dict(re.findall(r"^    (\w+) {2,}(.+)$", listed, flags=re.MULTILINE))


def command_table(text: str) -> str:
    """`text` of the page of the command line with the table of commands renewed."""
    rows = [(f"`hemafeat {name}`", does) for name, does in commands().items()]
    start, end = text.index("| command |"), text.index("<!-- site: end -->")
    return text[:start] + _table(("command", "what it does"), rows) + text[end:]


def command_reference() -> str:
    """What every command says of itself, as Markdown."""
    parts = [f"```text\n{help_of()}\n```\n"]
    parts += [f"## {name}\n\n```text\n{help_of(name)}\n```\n" for name in commands()]
    return "\n".join(parts)


def write_pages(folder: Path) -> None:
    """The generated pages, and all columns as CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "families.md").write_text(overview(), encoding="utf-8")
    for part in ("features", "static"):
        (folder / part).mkdir(exist_ok=True)
    _drawings.write(folder / "drawings")
    for name in built_in():
        (folder / "features" / f"{name}.md").write_text(family_page(name), encoding="utf-8")
    (folder / "static" / "columns.js").write_text(column_script(), encoding="utf-8")
    (folder / "commands.md").write_text(command_reference(), encoding="utf-8")
    extract.describe("all").to_csv(folder / "columns.csv", index=False, encoding="utf-8")


def _table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads)]
    lines += [[str(cell).replace("|", r"\|") for cell in row] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _escape(text: str) -> str:
    return re.sub(r"([*_<>\[\]])", r"\\\1", text)


if __name__ == "__main__":
    README.write_text(readme(README.read_text("utf-8")), encoding="utf-8")
    COMMANDS.write_text(command_table(COMMANDS.read_text("utf-8")), encoding="utf-8")
