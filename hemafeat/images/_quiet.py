"""Keep what codecs say about damaged files off the standard error stream."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2

# OpenCV 4.13 moved the level of its log there.
_log = getattr(cv2.utils, "logging", cv2)
_SILENT = 0


class _Silence:
    """Silence of C libraries that lasts while at least one thread is decoding.

    libpng, libjpeg and libtiff print to the C variable ``stderr``. It is pointed elsewhere, and
    the file of the standard error stream is left alone: what Python prints still arrives.
    """

    def __init__(self) -> None:
        self.stderr, self.nowhere = _c_stderr()
        self.reset()

    def reset(self) -> None:
        """Begin anew, as in a process that was forked while a thread was decoding."""
        self.lock = threading.Lock()
        if getattr(self, "inside", 0):
            self._end()
        self.inside = 0

    def enter(self) -> None:
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                self.level = _log.setLogLevel(_SILENT)
                if self.stderr is not None:
                    self.former, self.stderr.value = self.stderr.value, self.nowhere

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self._end()

    def _end(self) -> None:
        _log.setLogLevel(self.level)
        if self.stderr is not None:
            self.stderr.value = self.former


def _c_stderr() -> tuple[Any, int | None]:
    """Return the C variable ``stderr`` and a stream to nowhere; (None, None) if it is constant."""
    name = {"linux": "stderr", "darwin": "__stderrp"}.get(sys.platform)
    try:
        c = ctypes.CDLL(None)
        # In other C libraries for Linux the variable cannot be written to.
        if name is None or (name == "stderr" and not hasattr(c, "gnu_get_libc_version")):
            return None, None
        c.fopen.restype = ctypes.c_void_p
        nowhere = c.fopen(os.devnull.encode(), b"w")
        return (ctypes.c_void_p.in_dll(c, name), nowhere) if nowhere else (None, None)
    except (OSError, ValueError, AttributeError, TypeError):
        return None, None


_silence = _Silence()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_silence.reset)


@contextmanager
def quiet_codecs() -> Iterator[None]:
    """Silence OpenCV and the C libraries of codecs while an image is decoded."""
    _silence.enter()
    try:
        yield
    finally:
        _silence.leave()


def quiet_libraries() -> None:
    """Silence tifffile and Pillow, unless their user set up a handler or a filter."""
    for name in ("tifffile", "PIL"):
        log = logging.getLogger(name)
        if not log.handlers:
            log.addHandler(logging.NullHandler())
    warnings.filterwarnings("ignore", module=r"PIL(\.|$)", append=True)
