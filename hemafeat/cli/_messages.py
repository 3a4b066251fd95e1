"""Messages as the command line says them: one short line, options instead of arguments."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from hemafeat._words import nearest, suggestion, without_numpy

LONGEST = 560
"""Greatest number of characters of a message."""

_OPTIONS = {"n_splits": "folds", "groups": "group", "random_state": "seed", "n_jobs": "jobs"}
"""Arguments of Python whose options are called otherwise."""

_SAME = (
    *("n_boot", "label", "patient", "metadata", "positive", "level", "protocol", "rare"),
    *("cells", "families", "segmenter", "masks", "mask_kind", "um_per_px", "to_um_per_px"),
    *("normalise", "shard_size", "restart", "processes", "scheduler", "train", "test", "weights"),
    *("streams", "epochs", "keep_dates", "truth", "truth_labels", "min_dice"),
)
_OPTIONS |= {name: name.replace("_", "-") for name in _SAME}

_BARE = (
    *("n_splits", "n_boot", "random_state", "n_jobs", "to_um_per_px", "shard_size", "mask_kind"),
    *("truth_labels", "min_dice"),
)
"""Arguments that are no words of other meaning, so that their mere name becomes the option."""

_VALUE = r"'[^']*'|\"[^\"]*\"|[-\w.]+"


def one_line(text: str) -> str:
    """Return an error or a warning of Python as a line of the command line.

    Parameters
    ----------
    text : str
        Message, of any length.

    Returns
    -------
    str
        Message in one line of at most `LONGEST` characters. Names of arguments are replaced by
        those of options, values have no NumPy around them, and long lists end with a count.
    """
    text = without_numpy(" ".join(text.split()))
    names = "|".join(_OPTIONS)
    text = re.sub(rf"(?<![-\w'\"?&#])({names})=({_VALUE})", _as_option, text)
    text = re.sub(
        rf"(?<![-\w'\"])({names}) was (\S+), is (\S+?)(?=[,;:.]?(\s|$))", _as_difference, text
    )
    text = re.sub(
        rf"(?<![-\w'\"])({'|'.join(_BARE)})(?![\w'\"=])", lambda m: "--" + _OPTIONS[m[1]], text
    )
    text = re.sub(r"(--[-\w]+) \(\1\)", r"\1", text)
    if len(text) > LONGEST:
        text = re.sub(r"(?:[^\s,;:]+(?: \(\d+\))?, ){8,}[^\s,;:]+", _first_few, text)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 160]} ... {text[-150:]}"
    return text


def _as_option(match: re.Match[str]) -> str:
    option, value = "--" + _OPTIONS[match[1]], match[2].strip("'\"")
    if option == "--weights" and value == "None":
        value = "random"
    return option if value == "True" else f"{option} {value}"


def _as_difference(match: re.Match[str]) -> str:
    was, now = ("not given" if value == "None" else value for value in (match[2], match[3]))
    return f"--{_OPTIONS[match[1]]} was {was}, is {now}"


def _first_few(match: re.Match[str]) -> str:
    words = match[0].split(", ")
    return f"{', '.join(words[:6])} and {len(words) - 6} more"


def usage(message: str, options: list[str]) -> str:
    """Return an error of the parser, with what was probably meant.

    Parameters
    ----------
    message : str
        Error of `argparse`.
    options : list of str
        Options there are.
    """
    choice = re.match(r"(.*invalid choice: )('?)(.*?)\2 \(choose from (.*)\)$", message, re.DOTALL)
    if choice:
        lead, _, value, listed = choice.groups()
        known = [word.strip().strip("'\"") for word in listed.split(",")]
        return f"{lead}'{value}'; {suggestion(value, known, 'choose from')}"
    unknown = re.match(r"unrecognized arguments: (--[\w-]+)", message)
    if unknown:
        hint = nearest(unknown[1], options)
        return f"{message}; {hint}" if hint else message
    return message


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Print each warning as one line, once, without the line of code it comes from."""
    printed: set[str] = set()

    def show(message: Warning | str, *where: object, **further: object) -> None:
        line = one_line(str(message))
        if line not in printed:
            printed.add(line)
            print(f"hemafeat: warning: {line}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
