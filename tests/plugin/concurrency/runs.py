"""Runs of one project with different numbers of concurrent tests, and what is left of them to compare."""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import threading
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from tests.evident import give_evidence
from tests.forking.runs import run_pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NUMBERS = (1, 8)
"""concurrent tests of the two runs that are compared"""

SETTINGS = """
[tool.pytest]
addopts = ["-p", "no:anyio", "-p", "no:schemathesis", "-p", "no:hypothesispytest", "--strict-markers"]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "session"
asyncio_default_test_loop_scope = "session"
junit_logging = "all"
"""

GAIA = """
[gaia]
suites = ["suites"]
[services.shop]
health = "/health"
[env.small]
writes = true
[env.small.tolerance]
max_expectation_age_days = 100000
"""


class Server:
    """A real HTTP server that counts what it receives. It sends no response to ``/hang`` until it closes."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        """method and path of each request but ``/health``"""
        self.delay = 0.0
        """seconds until each response"""
        self.open = self.most_open = 0
        """requests without a response: now, and the most at any time"""
        self.status = 200
        self.headers: dict[str, str] = {}
        """headers of every response with another status than 200"""
        self._closed = threading.Event()
        self._counting = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.partition("?")[0]
                if path not in ("/health", "/openapi.json"):
                    server.seen.append(f"{self.command} {path}")
                    with server._counting:
                        server.open += 1
                        server.most_open = max(server.open, server.most_open)
                    server._closed.wait(3600 if path == "/hang" else server.delay)
                    with server._counting:
                        server.open -= 1
                status, body = server.response(path)
                data = json.dumps(body).encode()
                self.send_response_only(status)
                for name, value in (server.headers if status not in (200, 404) else {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - the names that http.server calls

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's own name
                """Keep the terminal quiet."""

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Clients that are interrupted close their connections."""

        self._server = Listener(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def response(self, path: str) -> tuple[int, Any]:
        """Return status and body."""
        if path == "/health":
            return 200, {"status": "healthy", "version": "0.2"}
        if path.startswith("/missing") or path == "/openapi.json":
            return 404, {"detail": "Not Found"}
        return self.status, {"path": path}

    @property
    def written(self) -> list[str]:
        """The requests that are not GET."""
        return [each for each in self.seen if not each.startswith("GET ")]

    def close(self) -> None:
        """End every request and the server."""
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()


def make_project(folder: Path, source: str, *, gaia: str = GAIA) -> Path:
    """Write a project with the suite ``small``, and return its folder."""
    suite = folder / "suites" / "small"
    suite.mkdir(parents=True)
    give_evidence(suite.parent)
    (folder / "pyproject.toml").write_text(SETTINGS)
    (folder / "gaia.toml").write_text(gaia)
    (suite / "test_small.py").write_text(source)
    return folder


def arguments(url: str, concurrency: int) -> list[str]:
    """Return the arguments of a run on the server with this URL."""
    return ["--gaia-env=small", f"--gaia-url=shop={url}", f"--gaia-concurrency={concurrency}"]


@dataclass
class Ended:
    """What is left of one run."""

    code: int
    output: str
    junit: list[dict[str, Any]] = field(default_factory=list)
    """what it reports of each test, in order, without times"""
    tests: list[dict[str, Any]] = field(default_factory=list)
    """lines of the results log, in order, without times"""
    verdict: dict[str, Any] = field(default_factory=dict)
    allure: list[dict[str, Any]] = field(default_factory=list)
    """results, in the order of their names and without times"""
    seconds: dict[str, float] = field(default_factory=dict)
    """duration of each call, by JUnit's name of the test"""
    allure_seconds: dict[str, float] = field(default_factory=dict)

    @property
    def lines(self) -> list[str]:
        """What it prints, without times, and without lines about the run as a whole."""
        printed = [_plain(each).rstrip() for each in self.output.splitlines()]
        return [each for each in printed if not each.startswith(("gaia: ", "===="))]


def run(folder: Path, url: str, concurrency: int, *more: str, verbose: str = "-v") -> Ended:
    """Run pytest in ``folder`` and read what it leaves."""
    for name in ("run.jsonl", "junit.xml", "verdict.json"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "allure", ignore_errors=True)
    files = ("--gaia-report-log=run.jsonl", "--junitxml=junit.xml", "--gaia-verdict-file=verdict.json")
    allure = ("--alluredir=allure",) if "allure" in more else ("-p", "no:allure_pytest")
    given = (*arguments(url, concurrency), *files, *allure, *(each for each in more if each != "allure"))
    done = run_pytest(folder, verbose, *given, variables=variables())
    return read(Ended(done.returncode, done.stdout + done.stderr), folder)


def variables() -> dict[str, str]:
    """Return the variables of a run: those of this process, without those of the run that it is part of."""
    prefixes = ("GAIA_", "GITHUB_", "PYTEST_")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)} | {"COLUMNS": "400"}


def read(ended: Ended, folder: Path) -> Ended:
    """Read the files of a run."""
    if (folder / "junit.xml").exists():
        cases = list(ET.parse(folder / "junit.xml").iter("testcase"))
        ended.junit = [_without_times(case) for case in cases]
        ended.seconds = {str(case.get("name")): float(case.get("time", 0)) for case in cases}
    if (folder / "verdict.json").exists():
        ended.verdict = json.loads((folder / "verdict.json").read_text())
    ended.tests = [each for each in records(folder / "run.jsonl") if each["line"] == "test"]
    for path in (folder / "allure").glob("*-result.json"):
        result = json.loads(path.read_text())
        ended.allure_seconds[result["name"]] = (result["stop"] - result["start"]) / 1000
        ended.allure.append(_without_times_of_allure(result, folder / "allure"))
    ended.allure.sort(key=str)
    return ended


def records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a results log without times."""
    for line in path.read_text().splitlines() if path.exists() else ():
        found = json.loads(line)
        for phase in (*found.get("phases", ()), *found.get("earlier", ()), *found.get("exchanges", ())):
            for name in ("duration", "elapsed", "request_id"):
                phase.pop(name, None)
        for name in ("in_flight", "concurrent", "started_early", "began", "trace_id"):
            found.pop(name, None)
        # Sets; the line of the run has other things under these names.
        for name in ("markers", "services") if found["line"] == "test" else ():
            found.get(name, []).sort()
        yield json.loads(_plain(json.dumps(found)))


def difference(ours: Any, theirs: Any, path: str = "") -> str:
    """Return the first difference of two values from JSON; empty if they are equal."""
    if type(ours) is type(theirs) and isinstance(ours, dict | list | tuple) and len(ours) == len(theirs):
        keys = sorted({*ours, *theirs}) if isinstance(ours, dict) else range(len(ours))
        values = (
            (key, ours.get(key), theirs.get(key)) if isinstance(ours, dict) else (key, ours[key], theirs[key])
            for key in keys
        )
        return next(filter(None, (difference(a, b, f"{path}/{key}") for key, a, b in values)), "")
    if ours == theirs:
        return ""
    if isinstance(ours, str) and isinstance(theirs, str):
        return (
            path + "\n" + "\n".join(difflib.unified_diff(theirs.splitlines(), ours.splitlines(), "alone", "concurrent"))
        )
    if isinstance(ours, list) and isinstance(theirs, list):
        before, after = ([json.dumps(each) for each in side] for side in (theirs, ours))
        return path + "\n" + "\n".join(difflib.unified_diff(before, after, "alone", "concurrent", n=1))
    return f"{path}: {theirs!r} alone, {ours!r} concurrently"


def until(condition: Any, *, within: float = 30.0) -> None:
    """Wait until ``condition()`` is true."""
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, "it has not happened"
        time.sleep(0.01)


def _plain(text: str) -> str:
    """Return ``text`` without what differs between two runs."""
    text = re.sub(r"0x[0-9a-f]{6,}", "0x", text)
    # Request IDs, and trace IDs with or without the rest of traceparent.
    text = re.sub(
        r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|(00-)?\b[0-9a-f]{32}\b(-[0-9a-f]{16}-01)?", "ID", text
    )
    text = re.sub(r'"(start|stop)": [\d.]+', "", text)
    text = re.sub(r"\bpytest-\d+\b|popen-gw\d/|\bgw\d\b|Task-\d+|uuid=\S+", "", text)
    return re.sub(r"\d+ ms\b|\bin [\d.]+ s\b|\bin [\d.]+s\b", "", text)


def _without_times(case: ET.Element) -> dict[str, Any]:
    children = [(each.tag, dict(each.attrib), each.text or "", [dict(p.attrib) for p in each]) for each in case]
    return {"name": case.get("name"), "class": case.get("classname"), "rest": json.loads(_plain(json.dumps(children)))}


_OF_ONE_RUN = ("start", "stop", "uuid", "historyId", "source", "time")


def _without_times_of_allure(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        kept = {name: _without_times_of_allure(each, folder) for name, each in value.items() if name not in _OF_ONE_RUN}
        if "source" in value and "name" in value:
            kept["content"] = _plain((folder / value["source"]).read_text(errors="replace"))
        return kept
    if isinstance(value, list):
        return [
            _without_times_of_allure(each, folder)
            for each in value
            if not (isinstance(each, dict) and each.get("name") in ("host", "thread"))
        ]
    return _plain(value) if isinstance(value, str) else value
