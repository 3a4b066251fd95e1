"""Words of messages: near misses, short lists, numbers of things, and plain values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

_NUMPY = re.compile(
    r"np\.(?:str_|bytes_|bool_?|float\d*|int\d*|uint\d*|longlong|datetime64)"
    r"\(((?:'[^']*'|\"[^\"]*\"|[^()'\"])*)\)"
)


def without_numpy(text: str) -> str:
    """Return a message, perhaps of another package, without NumPy around its values.

    Examples
    --------
    >>> without_numpy("one class only: np.str_('a')")
    "one class only: 'a'"
    """
    return _NUMPY.sub(r"\1", text)


def reason_of(problem: Exception, length: int | None = 300) -> str:
    r"""Return the message of an exception in one line, or its type if it has none.

    Parameters
    ----------
    problem : Exception
        What was raised.
    length : int or None
        Most characters of the message; None for all of it.

    Examples
    --------
    >>> reason_of(ValueError("a tag\n  is missing"))
    'a tag is missing'
    >>> reason_of(KeyError())
    'KeyError'
    """
    return " ".join(str(problem).split())[:length] or type(problem).__name__


def plural(n: int, noun: str) -> str:
    """Return a number with its noun: ``1 image``, ``2 images``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def nearest(name: object, known: Iterable[str]) -> str:
    """Return ``did you mean a or b?`` with the names most like `name`, or an empty text.

    Examples
    --------
    >>> nearest("logistik", ["svc", "logistic"])
    'did you mean logistic?'
    """
    by_folded = {str(candidate).casefold(): candidate for candidate in reversed(list(known))}
    near = difflib.get_close_matches(str(name).casefold(), list(by_folded), 3, 0.65)
    names = " or ".join(by_folded[folded] for folded in near)
    return f"did you mean {names}?" if names else ""


def suggestion(name: object, known: Iterable[str], lead: str = "there are:") -> str:
    """Return which names there are, and which of them may have been meant.

    Parameters
    ----------
    name : object
        Unknown name.
    known : iterable of str
        Names there are. Many of them are left out if one is like `name`.
    lead : str
        Words in front of the names.

    Examples
    --------
    >>> suggestion("logistik", ["svc", "logistic"])
    'there are: svc, logistic; did you mean logistic?'
    """
    names = list(known)
    if not names:
        return "there are none"
    hint, listed = nearest(name, names), f"{lead} {', '.join(names)}"
    if not hint:
        return listed
    return hint if len(listed) > 240 else f"{listed}; {hint}"


def no_column(name: object, columns: Iterable[object]) -> str:
    """Say that a table lacks a column, and which it has beside its features.

    Examples
    --------
    >>> no_column("klass", ["image", "label", "nucleus__shape__area"])
    "the table has no column 'klass'; it has image and label"
    >>> no_column("lable", ["image", "label"])
    "the table has no column 'lable'; did you mean label? It has image and label"
    """
    names = [str(column) for column in columns if "__" not in str(column)]
    listed = shortened(names, 16)
    if " and " not in listed:
        listed = " and ".join(listed.rsplit(", ", 1))
    hint = nearest(name, names)
    hint = f"{hint} It" if hint else "it"
    return f"the table has no column {plain(name)}; {hint} has {listed or 'no columns'}"


def shortened(names: Iterable[object], most: int = 8) -> str:
    """Return names separated by commas, the last of many as their number.

    Examples
    --------
    >>> shortened("abcde", 3)
    'a, b, c and 2 more'
    """
    words = [str(name) for name in names]
    rest = len(words) - most
    return ", ".join(words) if rest < 2 else f"{', '.join(words[:most])} and {rest} more"


def plain(value: Any) -> str:
    """Return the `repr` of a value as Python has it, not NumPy.

    Examples
    --------
    >>> import numpy as np
    >>> plain(np.float64(-1.0)), plain([np.str_("a")])
    ('-1.0', "['a']")
    """
    if hasattr(value, "tolist"):  # NumPy scalars and arrays, pandas columns
        value = value.tolist()
    if isinstance(value, (list, tuple, set, frozenset)):
        words = ", ".join(map(plain, value))
        if isinstance(value, list):
            return f"[{words}]"
        return (
            f"({words}{',' if len(value) == 1 else ''})"
            if isinstance(value, tuple)
            else (f"{{{words}}}")
        )
    if isinstance(value, dict):
        return "{" + ", ".join(f"{plain(k)}: {plain(v)}" for k, v in value.items()) + "}"
    return repr(value)
