"""The service of the projects in which ways are tried: a real HTTP server that counts requests."""

from __future__ import annotations

import atexit
import functools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Service:
    """A server on loopback. ``/missing…`` is 404; every other path responds with 200 and a small JSON body.

    With ``missing=False``, nothing is missing.
    """

    def __init__(self, *, missing: bool = True) -> None:
        self.requests: list[str] = []
        """method and path of each request but the health checks, as received"""
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def respond(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.partition("?")[0]
                if path not in ("/health", "/openapi.json"):
                    service.requests.append(f"{service.method(self)} {self.path}")
                unknown = path == "/openapi.json" or (missing and path.startswith("/missing"))
                data = json.dumps({"detail": "Not Found"} if unknown else BODY).encode()
                self.send_response_only(404 if unknown else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):
                    return self.respond
                raise AttributeError(name)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own name
                """Print nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Clients close connections at any time."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @staticmethod
    def method(request: BaseHTTPRequestHandler) -> str:
        """Return what the request does: a header or a query may replace its method, as frameworks allow."""
        for name in ("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"):
            if request.headers.get(name):
                return request.headers[name]
        return request.path.partition("_method=")[2].partition("&")[0] or request.command

    @property
    def written(self) -> list[str]:
        """The requests that write."""
        return [each for each in self.requests if each.split(" ")[0] not in ("GET", "HEAD", "OPTIONS")]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


BODY = {"status": "healthy", "version": "1", "items": [], "name": "lamp"}
"""of every response but 404"""


@functools.cache
def database_and_broker() -> dict[str, str]:
    """Start PostgreSQL and NATS for the rest of this process, and return their URLs."""
    from pytest_gaia.config.layers import shipped_file
    from pytest_gaia.run.sandbox import Sandbox

    sandbox = Sandbox.start(shipped_file("gaia").platform)
    atexit.register(sandbox.stop)
    sandbox.ready()
    stack = sandbox.stack("ways")
    return {"database": stack.dsn, "nats": stack.nats}
