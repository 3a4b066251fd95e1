"""Run a local web server that can break connections and send wrong answers."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """Content and behaviour of the server.

    Attributes
    ----------
    files : dict of str to bytes
        Body of each path.
    cuts : list of int
        Number of bytes to send before the connection breaks, for each of the next answers.
    codes : list of int
        Status to send instead of the file, for each of the next answers.
    states : list of int
        ``Content-Length`` to send instead of the right one, for each of the next answers; -1 sends
        none.
    drip : float
        Seconds to wait after each byte; 0 sends all at once.
    ranges, tags : bool
        Whether range requests are supported, and whether answers have an ETag.
    shift : int
        Offset, in bytes, between the requested and the sent range.
    requests : list of (str, str)
        Path and ``Range`` of every request.
    url : str
        Address of the server.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    states: list[int] = field(default_factory=list)
    drip: float = 0.0
    ranges: bool = True
    tags: bool = True
    shift: int = 0
    requests: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def requested_ranges(self) -> list[str]:
        return [requested for _, requested in self.requests]


@contextmanager
def serving() -> Iterator[Served]:
    """Run a server on a free port of the loopback interface."""
    served = Served()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            requested = self.headers.get("Range", "")
            path = self.path.split("?")[0]
            served.requests.append((path, requested))
            body = served.files.get(path)
            code = served.codes.pop(0) if served.codes else 200 if body is not None else 404
            if code != 200:
                self.send_response(code)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            tag = f'"{hashlib.md5(body).hexdigest()}"'
            start, size = 0, len(body)
            same = self.headers.get("If-Range") in (None, tag)
            if requested and served.ranges and same:
                start = int(requested.removeprefix("bytes=").rstrip("-"))
                if start >= size:
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{size}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                start += served.shift
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            else:
                self.send_response(200)
            length = served.states.pop(0) if served.states else size - start
            if length >= 0:
                self.send_header("Content-Length", str(length))
            else:
                self.close_connection = True
            if served.tags:
                self.send_header("ETag", tag)
            self.end_headers()
            cut = served.cuts.pop(0) if served.cuts else size
            with suppress(OSError):
                self._send(body[start : start + cut])
            if length != size - start:
                self.close_connection = True
            if cut < size - start:
                self.wfile.flush()
                self.close_connection = True

        def _send(self, body: bytes) -> None:
            if not served.drip:
                self.wfile.write(body)
                return
            for position in range(len(body)):
                self.wfile.write(body[position : position + 1])
                self.wfile.flush()
                time.sleep(served.drip)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
