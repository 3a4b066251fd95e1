"""Keep what codecs say about damaged files off the standard error stream."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

_opencv = cv2.utils.logging
_lock = threading.Lock()
_inside = 0
_level = 0


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Silence OpenCV while a thread is inside: its level is one for the whole process."""
    global _inside, _level
    with _lock:
        _inside += 1
        if _inside == 1:
            _level = _opencv.setLogLevel(_opencv.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _opencv.setLogLevel(_level)


def quiet_libraries() -> None:
    """Silence tifffile and Pillow, unless their user set up a handler or a filter."""
    log = logging.getLogger("tifffile")
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    warnings.filterwarnings("ignore", module=r"PIL(\.|$)", append=True)
