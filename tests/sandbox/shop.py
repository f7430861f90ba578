"""A project with services of its own for tests: small programs, and the platform that they form."""

from __future__ import annotations

import json
import sys
import urllib.request
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pytest_gaia.config.platform import Health, Platform, SandboxSettings, Service

if TYPE_CHECKING:
    from pathlib import Path

WEB = """
import json, os, subprocess, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        content = {"status": "ok", "pid": os.getpid(), "cwd": os.getcwd(), "env": dict(os.environ), "child": child.pid}
        self.send_response(200 if self.path in ("/health", "/ready") else 404)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_):
        pass

# What it has started must end with it.
child = subprocess.Popen(["sleep", "60"])
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

TCP = """
import socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(60)
"""

MIGRATE = """
import asyncio, os
import asyncpg

async def main():
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    await connection.execute("CREATE TABLE orders (id int)")
    with open("migrations.log", "a") as log:
        print(os.environ["DATABASE_URL"].rpartition("/")[2], file=log)

asyncio.run(main())
"""

PYTHON = sys.executable


def service(name: str, kind: Any = "http", depends_on: tuple[str, ...] = (), **settings: Any) -> Service:
    """Return a service that the sandbox runs."""
    settings["env"] = MappingProxyType(settings.get("env", {}))
    return Service(
        name,
        kind=kind,
        variable=name.upper().replace("-", "_"),
        depends_on=depends_on,
        healthy=Health(),
        sandbox=SandboxSettings(**settings),
        place="gaia.toml:7",
    )


def platform(*services: Service) -> Platform:
    """Return the platform of these services."""
    return Platform(MappingProxyType({each.name: each for each in services}), name="shop")


def web(folder: Path, name: str = "orders", depends_on: tuple[str, ...] = (), **settings: Any) -> Service:
    """Return an HTTP service, whose program is written into ``folder``."""
    (folder / "web.py").write_text(WEB)
    return service(name, depends_on=depends_on, command=(PYTHON, "web.py", "{port}"), **settings)


def ask(url: str, path: str = "/health") -> Any:
    """Return the JSON response of a service."""
    with urllib.request.urlopen(f"{url}{path}", timeout=5) as response:
        return json.load(response)
