"""A server of a weights file on this machine that misbehaves on demand, and models that are fetched from it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from inference_core.models.registry import get_spec

BODY = bytes(range(256)) * 8000
BODY_BYTES = len(BODY)


class Handler(BaseHTTPRequestHandler):
    """`Server` says what it answers; without any change it serves `BODY` with ranges, a length and an ETag."""

    def do_GET(self):
        server = self.server
        server.requests.append(self.headers.get("Range"))
        if server.status != 200:
            self.send_error(server.status)
            return
        if server.redirect:
            self.send_response(302)
            self.send_header("Location", server.redirect)
            self.end_headers()
            return
        start = self._start()
        if start >= len(server.body):
            self.send_error(416)
            return
        self._send_headers(start)
        self._send_body(start)

    def _send_headers(self, start):
        server = self.server
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}")
        if server.tells_length:
            self.send_header("Content-Length", server.length or str(len(server.body) - start))
        for name, value in (("ETag", server.etag), ("Last-Modified", server.modified)):
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    def _send_body(self, start):
        server = self.server
        try:
            self.wfile.write(server.body[start : server.cut])
            while server.endless:
                self.wfile.write(server.body)
                server.sent += len(server.body)
        except OSError:  # the reader has seen enough
            self.close_connection = True

    def _start(self):
        wanted, condition = self.headers.get("Range"), self.headers.get("If-Range")
        if not wanted or not self.server.ranges:
            return 0
        if condition is not None and self.server.heeds_conditions and condition not in (
            self.server.etag, self.server.modified,
        ):  # fmt: skip
            return 0
        return int(wanted.removeprefix("bytes=").rstrip("-"))

    def log_message(self, *_args):
        pass


@contextmanager
def serving() -> Iterator[ThreadingHTTPServer]:
    """The server at work; what it does is set on it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.body, server.etag, server.cut, server.status, server.redirect = BODY, '"v1"', None, 200, None
    server.ranges, server.tells_length, server.requests = True, True, []
    server.modified, server.length, server.heeds_conditions = None, None, False
    server.endless, server.sent = False, 0
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.endless = False
        server.shutdown()
        server.server_close()
        thread.join()


def spec_at(url, *, sha256=None, size=BODY_BYTES):
    """A model whose weights are at an address."""
    spec = get_spec("sam_med3d")
    return replace(spec, checkpoint=replace(spec.checkpoint, url=url, sha256=sha256, size_bytes=size))
