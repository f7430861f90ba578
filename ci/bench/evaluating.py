"""Measure the cost of expectations: 10,000 trivial tests with 1,000 of them, compared with plain pytest and xfail marks."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from ci.bench.processes import instructions_of, megabytes, usage_of

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES, TESTS, EXPECTATIONS = 100, 100, 1000

_TEST = """
import pytest

@pytest.mark.gaia(offline=True)
@pytest.mark.parametrize("number", range({tests}))
def test_trivial(number):
    pass
"""

_EXPECTATION = """
reason = "covers no failure, because the test passes"
issue = "BENCH-{number}"
owner = "@bench"
created = 2026-11-01
expires = 2099-01-01
environments = ["{environment}"]
tests = ["suites/suite{file:03}/test_trivial.py::test_trivial[{test}]"]
expect = "{expect}"
match = {{ status = 503 }}
"""

_XFAIL_MARKS = """
import pytest

def pytest_collection_modifyitems(items):
    for number, item in enumerate(items):
        if number % 10 == 0:
            item.add_marker(pytest.mark.xfail(reason="expected", strict=False))
"""


_CLOCK = """
import time
from pathlib import Path

import pytest

@pytest.hookimpl(trylast=True)
def pytest_collection_finish():
    Path("collected").write_text(str(time.process_time()))
"""


@dataclass
class Contender:
    """One way to run the same tests."""

    name: str
    arguments: tuple[str, ...]
    collections: list[float] = field(default_factory=list)
    """seconds of CPU time from the start of the process to the end of the collection"""
    runs: list[float] = field(default_factory=list)
    """seconds from there to the end of the process"""
    memory: list[float] = field(default_factory=list)
    """peak memory of the process, MB"""

    @property
    def run(self) -> float:
        """Seconds of the fastest run, without its collection."""
        return min(self.runs)

    @property
    def collection(self) -> float:
        """Seconds of the fastest collection."""
        return min(self.collections)

    def measure(self, project: Path) -> None:
        """Run it once."""
        usage = usage_of(project, *self.arguments, "-p", "clock")
        collected = float((project / "collected").read_text())
        self.collections.append(collected)
        self.runs.append(usage.ru_utime + usage.ru_stime - collected)
        self.memory.append(megabytes(usage))


@dataclass(frozen=True, slots=True)
class Counted:
    """Instructions of one way to run some tests."""

    collection: int
    run: int
    """after the collection"""


def rounds(count: int) -> dict[str, Contender]:
    """Run all contenders ``count`` times in turn, and return them by name. One runs twice, to measure the noise."""
    with _project(FILES, EXPECTATIONS) as (project, ways):
        contenders = [Contender(name, arguments) for name, arguments in ways.items()]
        contenders.append(Contender("plain pytest again", ways["plain pytest"]))
        for _ in range(count):
            for contender in contenders:
                contender.measure(project)
    return {contender.name: contender for contender in contenders}


def counted(share: float = 1.0) -> tuple[Counted, Counted]:
    """Return the instructions of plain pytest and of an evaluated run, for a ``share`` of the tests and expectations."""
    with _project(round(FILES * share), round(EXPECTATIONS * share)) as (project, ways):
        whole = [ways["plain pytest"], ways["judged"]]
        collecting = [(*arguments, "--collect-only") for arguments in whole]
        # In parallel: other processes do not change the count of instructions.
        with ThreadPoolExecutor(2) as pool:
            counts = list(pool.map(lambda arguments: instructions_of(project, *arguments), [*whole, *collecting]))
    plain, evaluated, plain_collection, evaluated_collection = counts
    return Counted(plain_collection, plain - plain_collection), Counted(
        evaluated_collection, evaluated - evaluated_collection
    )


@contextlib.contextmanager
def _project(files: int, expectations: int) -> Iterator[tuple[Path, dict[str, tuple[str, ...]]]]:
    """Yield a project with so many files and expectations, and the ways to run it: name → arguments."""
    with tempfile.TemporaryDirectory() as folder, healthy_server() as url:
        project = Path(folder)
        _write(project, files, expectations)
        plain = ("-p", "no:gaia")
        yield (
            project,
            {
                "plain pytest": plain,
                "xfail marks at collection": (*plain, "-p", "xfail_marks"),
                "judged": ("--gaia-env=bench", f"--gaia-url={url}"),
            },
        )


def _write(project: Path, files: int, expectations: int) -> None:
    (project / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = session\nmarkers = gaia\n")
    (project / "gaia.toml").write_text(
        '[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n'
        "[env.bench.tolerance]\nmax_expectation_age_days = 100000\n"
        "[env.other.tolerance]\nmax_expectation_age_days = 100000\n",
        encoding="utf-8",
    )
    (project / "xfail_marks.py").write_text(_XFAIL_MARKS)
    (project / "clock.py").write_text(_CLOCK)
    accepted = project / "suites" / "expectations"
    accepted.mkdir(parents=True)
    for number in range(files):
        folder = project / "suites" / f"suite{number:03}"
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        (folder / "test_trivial.py").write_text(_TEST.format(tests=TESTS))
    for number in range(expectations):
        # Every tenth expectation is for another environment, so that each test has to be matched against it.
        elsewhere = number % 10 == 0
        environment, expect = ("other", "fail") if elsewhere else ("bench", "flaky")
        text = _EXPECTATION.format(
            number=number, file=number % files, test=number // files, environment=environment, expect=expect
        )
        (accepted / f"rule-{number:04}.toml").write_text(text)


class _Healthy(BaseHTTPRequestHandler):
    """Responds to every request as a healthy gateway."""

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
        """Print nothing."""


@contextlib.contextmanager
def healthy_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Healthy)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
