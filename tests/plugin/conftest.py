"""A scripted HTTP server, and a project to run pytest in."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from tests.evident import give_evidence
from tests.forking.runs import fork_runs_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = """
[tool.pytest]
addopts = ["-p", "no:anyio", "-p", "no:schemathesis", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--strict-markers"]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "session"
asyncio_default_test_loop_scope = "session"
filterwarnings = ["error"]
"""
"""``pyproject.toml`` of a project to run pytest in"""


class ScriptedServer:
    """A real HTTP server on loopback. ``answers`` maps a path to (status, body) pairs; the last pair stays."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, Any]]] = {"/health": [(200, {"status": "healthy", "version": "0.2"})]}
        self.headers: dict[str, str] = {}
        """headers of every response"""
        self.seen: list[str] = []
        self.identities: set[str | None] = set()
        """what requests said of who sent them"""
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                script.seen.append(f"{self.command} {self.path}")
                credentials = ("X-API-Key", "Authorization", "X-Token")
                script.identities.add(next(filter(None, map(self.headers.get, credentials)), None))
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, body = script.next_answer(self.path)
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                for name, value in script.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the names that http.server calls

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's own name
                """Keep the terminal quiet."""

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            # By default, the seventh of many clients at once is only accepted when it asks again, after a second.
            request_queue_size = 256

        self.server = Listener(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def next_answer(self, path: str) -> tuple[int, Any]:
        answers = self.answers.get(path, [(404, {"detail": "Not Found"})])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A server that reports healthy until a test scripts something else."""
    scripted = ScriptedServer()
    yield scripted
    scripted.close()


@pytest.fixture
def project(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> pytest.Pytester:
    """An empty project with session loops and a suites folder, and no variables of Gaia or CI around it.

    Its runs in processes fork (see ``tests.forking``), but for those of tests with the mark ``own_interpreter``.
    """
    import os

    # What CI sets would make every run inside of a test write annotations, and into CI's own summary.
    for name in [name for name in os.environ if name.startswith(("GAIA_", "GITHUB_", "PYTEST_ADDOPTS"))]:
        monkeypatch.delenv(name)
    # So wide that no sentence is broken; how they are broken is tested where they are laid out.
    monkeypatch.setenv("COLUMNS", "400")
    # With it, what a run leaves in a buffer when its process is ended would not be missed.
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    pytester.makepyprojecttoml(SETTINGS)
    pytester.makefile(".toml", gaia='[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n')
    give_evidence(pytester.mkdir("suites"))
    if not request.node.get_closest_marker("own_interpreter"):
        fork_runs_of(pytester)
    return pytester


def add_suite(project: pytest.Pytester, name: str, source: str) -> None:
    """Write ``suites/<name>/test_<name>.py``."""
    folder = project.path / "suites" / name
    folder.mkdir()
    (folder / f"test_{name}.py").write_text(source)
