"""``hemafeat describe``: describe the columns of the table."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from hemafeat.cli import _arguments, _inputs
from hemafeat.cli._errors import Usage

if TYPE_CHECKING:
    import pandas as pd

DESCRIPTION = """\
Describe the columns of the table: unit, formula, what the number means for a cell, and who
defined it. Columns are named mask__family__feature or mask__family__feature__plane. Words that are
no part of a name are looked for in formulas and meanings, and the best matches come first."""

EXAMPLES = """\
  hemafeat describe                               the default columns, one line each
  hemafeat describe nucleus__shape__area          one column, in full
  hemafeat describe 'nucleus__*__mean*'           columns that match a pattern
  hemafeat describe glcm                          a family, a mask, or a part of a name
  hemafeat describe 'nucleus to cytoplasm ratio'  columns that have to do with these words
  hemafeat describe --families all --format csv > columns.csv
  hemafeat describe --format md shape             a table for a document"""

_NC = re.compile(r"\bn\W*c\b|\bnucle(o|ar|us)\W*(to|over)?\W*cytoplasm(ic)?\b|\bkaryoplasmic\b")
"""Ways to write of the ratio of nucleus to cytoplasm."""

_SYNONYMS = {
    re.compile(r"\bhow many\b"): "number of",
    re.compile(r"\b(hyper|hypo)?segmented\b"): "lobes",
    re.compile(r"\b(cleaved|cleft)\b"): "indentation",
    re.compile(r"\bnucleol(us|i|ar)\b"): "pale spot",
}
"""Words of haematologists for which the descriptions have others."""

_FILLERS = re.compile(r"\b(an?|and|by|for|how|in|is|it|its|not|of|on|or|per|that|the|to|with)\b")

_WEIGHTS = {"column": 4, "meaning": 2, "formula": 1, "source": 1}
"""Columns of the description in which words are looked for, with the weight of a match."""


def add(commands: Any) -> None:
    """Add the command."""
    parser = _arguments.add_command(
        commands,
        "describe",
        run,
        "describe columns: unit, formula, meaning, source",
        DESCRIPTION,
        EXAMPLES,
    )
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="a column, a family, a mask, a pattern, or words"
    )
    parser.add_argument(
        "--families",
        nargs="+",
        metavar="NAME",
        help="families to search: default, all, robust, or names; all by default if NAME is given",
    )
    parser.add_argument(
        "--format",
        choices=("text", "csv", "md"),
        default="text",
        help="format to print; default: text",
    )


def run(args: argparse.Namespace) -> None:
    """Print the columns."""
    from hemafeat import extract

    if args.families is None:
        args.families = ["all" if args.name else "default"]
    columns = extract.describe(_inputs.families(args))
    if args.name:
        columns = _matching(columns, args.name)
    if args.format == "csv":
        sys.stdout.write(columns.to_csv(index=False, lineterminator="\n"))
    elif args.format == "md":
        print(_markdown(columns))
    elif len(columns) == 1:
        print(_in_full(columns.iloc[0]))
    else:
        print(_one_line_each(columns))


def _matching(columns: pd.DataFrame, name: str) -> pd.DataFrame:
    from hemafeat import extract

    names = columns["column"]
    name = name.strip()
    (current,) = extract.current_names([name])
    if current != name:
        print(f"{name} is now called {current}", file=sys.stderr)
        name = current
    exact = (names == name) | (columns["family"] == name) | (columns["mask"] == name)
    if exact.any():
        return columns[exact]
    begins = re.compile(rf"(^|_){re.escape(name)}")
    searches = [names.map(lambda column: fnmatchcase(column, name) or bool(begins.search(column)))]
    # Who writes "nc" does not mean "variance".
    if not _NC.fullmatch(name.lower()):
        searches.append(names.str.contains(name, regex=False))
    for matches in searches:
        if matches.any():
            return columns[matches.astype(bool)]
    matching = columns.iloc[:0] if "__" in name or "*" in name else _with_words(columns, name)
    if matching.empty:
        similar = difflib.get_close_matches(name, list(names), 3, 0.5)
        hint = f"; did you mean {', '.join(similar)}?" if similar else "; see hemafeat describe"
        raise Usage(f"there is no column, family or mask {name!r}{hint}")
    return matching


def _words(text: str) -> list[str]:
    text = _NC.sub(" nc ", text.lower().replace("_", " "))
    for words, others in _SYNONYMS.items():
        text = words.sub(others, text)
    return re.findall(r"[a-z0-9]+", _FILLERS.sub(" ", text))


def _alike(word: str, other: str) -> bool:
    """Return whether two words have the same stem, such as nuclear and nucleus."""
    short = min(len(word), len(other), 5)
    return word == other or (short > 3 and word[:short] == other[:short])


def _with_words(columns: pd.DataFrame, text: str) -> pd.DataFrame:
    """Return the columns in which most of the words occur, the best match first."""
    import numpy as np

    wanted = list(dict.fromkeys(_words(text)))
    scores = np.zeros((len(columns), len(wanted)))
    for field, weight in _WEIGHTS.items():
        vocabulary: dict[str, list[bool]] = {}
        for row, field_text in enumerate(columns[field]):
            for word in _words(field_text):
                if word not in vocabulary:
                    vocabulary[word] = [_alike(part, word) for part in wanted]
                scores[row] = np.maximum(scores[row], weight * np.array(vocabulary[word]))
    n_found, score = (scores > 0).sum(axis=1), scores.sum(axis=1)
    best = int(n_found.max(initial=0))
    # A single word of many says little; half of them must occur.
    if 2 * best < len(wanted) or best == 0:
        return columns.iloc[:0]
    order = np.lexsort((-score, -n_found))
    return columns.iloc[order[n_found[order] == best]]


def _in_full(row: pd.Series) -> str:
    labels = (
        "mask",
        "family",
        "feature",
        "plane",
        "unit",
        "formula",
        "meaning",
        "source",
        "reference",
    )
    lines = [str(row["column"])]
    lines += [f"  {label:<10}{row[label]}" for label in labels if str(row[label])]
    known = row.filter(like="icc_").dropna()
    if len(known):
        found = ", ".join(
            f"{icc:.2f} {str(name).removeprefix('icc_')}" for name, icc in known.items()
        )
        lines.append(f"  {'stability':<10}ICC {found}")
    return "\n".join(lines)


def _one_line_each(columns: pd.DataFrame) -> str:
    name_width = max(map(len, columns["column"]))
    unit_width = max(map(len, columns["unit"]))
    return "\n".join(
        f"{name:<{name_width}}  {unit:<{unit_width}}  {meaning or formula}".rstrip()
        for name, unit, formula, meaning in zip(
            columns["column"], columns["unit"], columns["formula"], columns["meaning"], strict=True
        )
    )


def _markdown(columns: pd.DataFrame) -> str:
    keys = ("unit", "formula", "meaning", "source")
    lines = ["| column | unit | formula | meaning | source |", "|---|---|---|---|---|"]
    for record in columns.to_dict("records"):
        cells = [str(record[key]).replace("|", "\\|") for key in keys]
        lines.append(f"| `{record['column']}` | {' | '.join(cells)} |")
    return "\n".join(lines)
