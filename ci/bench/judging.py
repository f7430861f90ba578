"""What judging costs: 10,000 trivial tests under 1,000 rules, against plain pytest and against xfail marks."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from ci.bench.processes import megabytes, seconds_of, usage_of

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES, TESTS, RULES = 100, 100, 1000

_TEST = """
import pytest

@pytest.mark.parametrize("number", range({tests}))
def test_trivial(number):
    pass
"""

_RULE = """
why = "a rule that never matches, because the test passes"
issue = "BENCH-{number}"
owner = "@bench"
added = 2026-11-01
expires = 2099-01-01
environments = ["bench"]
tests = ["suites/suite{file:03}/test_trivial.py::test_trivial[{test}]"]
expect = "flaky"
match = {{ status = 503 }}
"""

_XFAIL_MARKS = """
import pytest

def pytest_collection_modifyitems(items):
    for number, item in enumerate(items):
        if number % 10 == 0:
            item.add_marker(pytest.mark.xfail(reason="expected", strict=False))
"""


@dataclass
class Contender:
    """One way to run the same tests."""

    name: str
    arguments: tuple[str, ...]
    runs: list[float] = field(default_factory=list)
    collections: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    """peak of the process, MB"""

    @property
    def run(self) -> float:
        """Seconds of the quickest run."""
        return min(self.runs)

    @property
    def collection(self) -> float:
        """Seconds of the quickest collection."""
        return min(self.collections)

    def measure(self, project: Path) -> None:
        """Run it once, and collect it once."""
        self.collections.append(seconds_of(project, *self.arguments, "--collect-only"))
        usage = usage_of(project, *self.arguments)
        self.runs.append(usage.ru_utime + usage.ru_stime)
        self.memory.append(megabytes(usage))


def rounds(count: int) -> dict[str, Contender]:
    """Run all contenders ``count`` times in turn; return them by name."""
    with tempfile.TemporaryDirectory() as folder, healthy_server() as url:
        project = Path(folder)
        _write(project)
        plain = ("-p", "no:gaia")
        contenders = [
            Contender("plain pytest", plain),
            Contender("xfail marks at collection", (*plain, "-p", "xfail_marks")),
            Contender("judged", ("--gaia-env=bench", f"--gaia-url={url}")),
        ]
        for _ in range(count):
            for contender in contenders:
                contender.measure(project)
    return {contender.name: contender for contender in contenders}


def _write(project: Path) -> None:
    (project / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = session\n")
    (project / "gaia.toml").write_text(
        '[gaia]\nsuites = ["suites"]\n[env.bench.tolerance]\nlongest_rule_days = 100000\n', encoding="utf-8"
    )
    (project / "xfail_marks.py").write_text(_XFAIL_MARKS)
    expectations = project / "suites" / "expectations"
    expectations.mkdir(parents=True)
    for number in range(FILES):
        folder = project / "suites" / f"suite{number:03}"
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        (folder / "test_trivial.py").write_text(_TEST.format(tests=TESTS))
    for number in range(RULES):
        text = _RULE.format(number=number, file=number % FILES, test=number // FILES)
        (expectations / f"rule-{number:04}.toml").write_text(text)


class _Healthy(BaseHTTPRequestHandler):
    """Answers everything as a healthy gateway does."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = b'{"status": "healthy", "version": "bench"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own name
        """Stay quiet."""


@contextlib.contextmanager
def healthy_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Healthy)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
