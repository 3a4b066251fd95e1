"""Errors of the command line, and the exit codes they lead to."""

from __future__ import annotations


class Usage(Exception):
    """Error in how a command was called (exit code 2)."""


class Failure(Exception):
    """Error of a command that was called correctly (exit code 1)."""
