"""Services with scripted faults: a real HTTP server with scripted responses, and a listener with its own protocol."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from pytest_gaia.observation.watching import look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pytest_gaia.config.environment import Environment
    from pytest_gaia.expectations.subjects import Observed
    from pytest_gaia.observation.readiness import ServiceState


@dataclass(frozen=True)
class Says:
    """One response to ``GET /health``."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    first: Callable[[], object] | None = None
    """called between request and response"""


def observe(environment: Environment, states: Sequence[ServiceState]) -> Observed:
    """Observe which services respond, without requests for OpenAPI documents."""
    platform = environment.platform
    services = {name: replace(service, openapi=None) for name, service in platform.services.items()}
    observed = look(replace(environment, platform=replace(platform, services=services)), tuple(states)).observed
    assert observed is not None
    return observed


def healthy(version: str = "0.2") -> Says:
    return Says(body={"status": "healthy", "version": version})


def says(status: str, version: str = "0.2") -> Says:
    return Says(body={"status": status, "version": version})


class ScriptedService:
    """An HTTP service that sends ``responses`` in order and then repeats the last one."""

    def __init__(self, *responses: Says) -> None:
        self.responses = list(responses)
        self.asked = 0
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                scripted.asked += 1
                response = scripted.responses.pop(0) if len(scripted.responses) > 1 else scripted.responses[0]
                if response.first is not None:
                    response.first()
                data = json.dumps(response.body).encode()
                self.send_response(response.status)
                for name, value in {**response.headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                # The client may have closed the connection.
                with suppress(OSError):
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's own name
                """Keep the terminal quiet."""

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            # By default, the seventh of many clients at once is only accepted when it asks again, after a second.
            request_queue_size = 256

        self.server = Listener(("127.0.0.1", 0), Handler)
        self.port = int(self.server.server_port)
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def scripted_services() -> Iterator[Callable[..., ScriptedService]]:
    """Yield a function that starts a service with its responses; all services stop at the end of the block."""
    started: list[ScriptedService] = []

    def start(*responses: Says) -> ScriptedService:
        started.append(ScriptedService(*responses))
        return started[-1]

    yield start
    for each in started:
        each.close()


@contextmanager
def listener(scripted: Callable[[socket.socket], None]) -> Iterator[int]:
    """Pass every connection to a port to ``scripted``, each on its own thread; yield the port."""
    server = socket.create_server(("127.0.0.1", 0))

    def handle(connection: socket.socket) -> None:
        with connection:
            scripted(connection)

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=handle, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield int(server.getsockname()[1])
    finally:
        # Wakes the thread in accept, which close alone does not.
        server.shutdown(socket.SHUT_RDWR)
        server.close()
