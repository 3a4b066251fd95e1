"""A web server on this machine that can break off, lie and forget, as real ones do."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """What the server gives out, and how.

    Attributes
    ----------
    files : dict of str to bytes
        Path below the root, and the body.
    cuts : list of int
        For the next answers: how many bytes of the body to send before the connection breaks.
    codes : list of int
        For the next answers: a status to send in place of the file.
    ranges, tags : bool
        Whether parts are served, and whether answers carry an ETag.
    shift : int
        How many bytes later than asked for a part begins.
    asked : list of (str, str)
        Path and ``Range`` of every request.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    ranges: bool = True
    tags: bool = True
    shift: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def ranges_asked(self) -> list[str]:
        return [asked for _, asked in self.asked]


@contextmanager
def serving() -> Iterator[Served]:
    """A server on a free port of the loopback interface."""
    served = Served()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            path = self.path.split("?")[0]
            served.asked.append((path, asked))
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
            if asked and served.ranges and same:
                start = int(asked.removeprefix("bytes=").rstrip("-"))
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
            self.send_header("Content-Length", str(size - start))
            if served.tags:
                self.send_header("ETag", tag)
            self.end_headers()
            cut = served.cuts.pop(0) if served.cuts else size
            self.wfile.write(body[start : start + cut])
            if cut < size - start:
                self.wfile.flush()
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
