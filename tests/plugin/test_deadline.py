"""A run with ``--gaia-deadline`` ends in time, whatever it waits for, and leaves complete files."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from pytest_gaia.verdict.results_log import read_run
from tests.plugin.conftest import ScriptedServer, add_suite
from tests.slow import in_full, with_workers

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 3
REASON = f"the deadline of {SECONDS} s passed"
LONG = 60.0
"""seconds; a run that waits for it fails its test"""
CHECKS = """
import asyncio, pathlib, threading, pytest

@pytest.fixture(scope="session")
async def closed():
    yield
    await asyncio.sleep(0)
    pathlib.Path("closed").touch()

def test_before(closed): pass

{body}

def test_after(): pass
"""
WAYS = {
    "a coroutine": "async def test_hang(): await asyncio.sleep(600)",
    "a function": "def test_hang(): threading.Event().wait(600)",
    "a loop": in_full("def test_hang():\n    while True: pass"),
    "a fixture": in_full(
        "@pytest.fixture\nasync def slow(): await asyncio.sleep(600)\ndef test_hang(slow): pass",
    ),
    "a test that passes when it is cancelled": """
async def test_hang():
    try: await asyncio.sleep(600)
    except asyncio.CancelledError: pass
""",
    "a test that fails when it is cancelled": in_full("""
async def test_hang():
    try: await asyncio.sleep(600)
    except asyncio.CancelledError: assert False
"""),
    "a test that ignores interruptions": in_full("""
async def test_hang():
    for _ in range(3):
        try: await asyncio.sleep(600)
        except BaseException: pass
"""),
    "a finalizer that hangs, too": in_full("""
@pytest.fixture
def hanging():
    yield
    threading.Event().wait(600)
def test_hang(hanging): threading.Event().wait(600)
"""),
}


class Silent(ScriptedServer):
    """A server that responds to ``healthy`` health checks, and then to none."""

    healthy = 0

    def next_answer(self, path: str) -> tuple[int, Any]:
        if path == "/health":
            self.healthy -= 1
            if self.healthy < 0:
                threading.Event().wait(LONG)
        return super().next_answer(path)


@pytest.fixture
def silent() -> Iterator[Silent]:
    server = Silent()
    yield server
    server.close()


def run(project: pytest.Pytester, url: str, *arguments: str) -> tuple[pytest.RunResult, dict[str, Any]]:
    """Run the tests with the deadline; return the result and the verdict file."""
    result = project.runpytest_subprocess(
        f"--gaia-url=gateway={url}",
        f"--gaia-deadline={SECONDS}",
        "--gaia-concurrency=1",
        "--gaia-verdict-file=verdict.json",
        "--gaia-report-log=results.jsonl",
        "--junitxml=junit.xml",
        *arguments,
        timeout=LONG,
    )
    return result, json.loads((project.path / "verdict.json").read_text())


def reasons(project: pytest.Pytester) -> dict[str, str]:
    """Return test → why it has no result."""
    recorded = read_run(project.path / "results.jsonl")
    assert recorded.end is not None
    assert recorded.end.deadline == SECONDS
    return {test.node.partition("::")[2]: test.message for test in recorded.tests}


@pytest.mark.parametrize("body", WAYS.values(), ids=WAYS)
def test_a_test_that_hangs_is_incomplete(project: pytest.Pytester, server: ScriptedServer, body: str) -> None:
    add_suite(project, "health", CHECKS.format(body=body))

    result, verdict = run(project, server.url)

    assert (result.ret, verdict["verdict"]) == (2, "HOLD")
    assert verdict["reasons"] == [f"{REASON} (--gaia-deadline)", "2 tests did not complete"]
    assert reasons(project) == {
        "test_before": "",
        "test_hang": f"{REASON} while it ran",
        "test_after": f"{REASON} before it started",
    }
    assert len(ET.parse(project.path / "junit.xml").findall(".//testcase/error")) == 2
    assert (project.path / "closed").exists()
    result.stdout.fnmatch_lines([f"*! Interrupted: {REASON} (--gaia-deadline) !*"])
    assert result.errlines == []


def test_tests_that_run_early_are_incomplete(project: pytest.Pytester, server: ScriptedServer) -> None:
    hang = "@pytest.mark.parametrize('n', range(9))\nasync def test_hang(n): await asyncio.sleep(600)"
    add_suite(project, "health", CHECKS.format(body=hang))

    result, verdict = run(project, server.url, "--gaia-concurrency=4")

    assert (result.ret, verdict["verdict"]) == (2, "HOLD")
    found = reasons(project)
    assert [found[f"test_hang[{n}]"] for n in range(4)] == [f"{REASON} while it ran"] * 4
    assert {*found.values()} == {f"{REASON} while it ran", f"{REASON} before it started"}
    assert result.errlines == []


@pytest.mark.slow("workers")
def test_workers_end_and_are_not_reported_as_crashed(project: pytest.Pytester, server: ScriptedServer) -> None:
    add_suite(project, "health", CHECKS.format(body=WAYS["a coroutine"]).replace("test_after()", "test_after(closed)"))

    result, verdict = run(project, server.url, "-n2", "--gaia-deadline=8")

    assert (result.ret, verdict["verdict"]) == (2, "HOLD")
    assert verdict["reasons"] == ["the deadline of 8 s passed (--gaia-deadline)", "1 test did not complete"]
    result.assert_outcomes(passed=2)
    assert (project.path / "closed").exists()
    assert result.errlines == []


@pytest.mark.parametrize("workers", [(), with_workers("-n2")], ids=["one", "workers"])
def test_the_wait_for_readiness_ends(project: pytest.Pytester, silent: Silent, workers: tuple[str, ...]) -> None:
    add_suite(project, "health", "def test_it(): pass")

    result, verdict = run(project, silent.url, *workers)

    assert (result.ret, verdict["verdict"]) == (2, "HOLD")
    assert verdict["reasons"][0] == f"{REASON} (--gaia-deadline)"
    result.assert_outcomes()


@pytest.mark.slow("processes")
def test_the_final_check_ends(project: pytest.Pytester, silent: Silent) -> None:
    add_suite(project, "health", "def test_it(): pass")
    silent.healthy = 1

    result, verdict = run(project, silent.url)

    assert (result.ret, verdict["verdict"]) == (2, "HOLD")
    assert verdict["reasons"][:2] == [
        f"{REASON} (--gaia-deadline)",
        "the final check of the environment was interrupted",
    ]
    result.assert_outcomes(passed=1)


def test_a_run_that_ends_in_time_is_not_changed(project: pytest.Pytester, server: ScriptedServer) -> None:
    add_suite(project, "health", CHECKS.format(body="def test_hang(): pass"))

    result, verdict = run(project, server.url, "--gaia-deadline=600")

    assert (result.ret, verdict["verdict"]) == (0, "PROMOTE")
    assert (project.path / "closed").exists()


@pytest.mark.parametrize("value", ["0", "-1", "nan", "soon", ""])
def test_a_wrong_number_is_a_usage_error(project: pytest.Pytester, server: ScriptedServer, value: str) -> None:
    result = project.runpytest_subprocess(f"--gaia-url=gateway={server.url}", f"--gaia-deadline={value}")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    expected = f"ERROR: --gaia-deadline={value}: not a number of seconds above 0, such as 600."
    assert [line for line in result.errlines if line] == [expected]
