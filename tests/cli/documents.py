"""Small HTTP services with /openapi.json."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def document(*paths: str, **extra: Any) -> dict[str, Any]:
    """An OpenAPI document with a GET for each path."""
    operation = {"responses": {"200": {"description": "fine"}}}
    return {"openapi": "3.1.0", "info": {}, "paths": {path: {"get": operation} for path in paths}, **extra}


class Service:
    """A service whose response can be changed."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b"{}"
        self.url = ""

    def offers(self, *paths: str) -> None:
        """Publish these paths."""
        self.status, self.body = 200, json.dumps(document(*paths)).encode()

    def answers(self, status: int, body: bytes = b"{}") -> None:
        """Set the response."""
        self.status, self.body = status, body


@contextmanager
def serving() -> Iterator[Service]:
    """Run one service on a port of this machine."""
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = service.body if self.path == "/openapi.json" else b'{"status": "healthy"}'
            self.send_response(service.status if self.path == "/openapi.json" else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        service.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()
