"""Errors of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


class Usage(Exception):
    """The command cannot be meant like this (exit code 2)."""


class Failure(Exception):
    """The command was understood and did not succeed (exit code 1)."""
