"""A test that fails while others run is tried once more alone, for a hint in its report; it stays a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.cli.app import run as gaia
from pytest_gaia.plugin.checks.phases import PASSES_ALONE
from pytest_gaia.verdict.evidence import TestRecord
from pytest_gaia.verdict.results_log import read_run
from tests.cli.documents import document
from tests.plugin.conftest import add_suite
from tests.slow import in_full

if TYPE_CHECKING:
    from tests.plugin.conftest import ScriptedServer

HINT = PASSES_ALONE[1]
NODE = "suites/shared/test_shared.py::test_{}"
TESTS = """
import asyncio, pathlib
import pytest

@pytest.fixture(scope="session")
def guests():
    return []

@pytest.fixture
def name(request):
    with pathlib.Path("attempts").open("a") as file:
        print(request.node.name, file=file)
    return request.node.name

@pytest.fixture(scope="session")
def came():
    return asyncio.Event()

@pytest.fixture(scope="session")
def seen():
    return asyncio.Event()

async def visit(guests, name, gateway):
    (await gateway.get("/health")).expect(200)
    guests.append(name)
    print("visit of", name)
    try:
        assert guests == [name]
    finally:
        guests.remove(name)

{tests}
"""
DISTURBED = """
async def test_disturbed(guests, name, gateway, came, seen):
    # In the second attempt, the guest has come and gone.
    await asyncio.wait_for(came.wait(), 30)
    try:
        await visit(guests, name, gateway)
    finally:
        seen.set()
async def test_guest(guests, name, came, seen):
    guests.append(name)
    came.set()
    await asyncio.wait_for(seen.wait(), 30)
    guests.remove(name)
async def test_broken(name): assert not name
"""
PASSES_LATER = """
async def test_disturbed(guests, name):
    guests.append(name)
    assert len(guests) > 1
async def test_guest(name): pass
"""


def run(project: pytest.Pytester, server: ScriptedServer, *arguments: str) -> tuple[pytest.RunResult, list[str]]:
    """Run the tests; return the result, and the test of each attempt."""
    url = f"--gaia-url=gateway={server.url}"
    result = project.runpytest_subprocess(
        url, "--gaia-concurrency=3", "--gaia-report-log=log.jsonl", "--junitxml=junit.xml", *arguments
    )
    return result, (project.path / "attempts").read_text().split()


def records(project: pytest.Pytester) -> dict[str, TestRecord]:
    return {test.node.rpartition("_")[2]: test for test in read_run(project.path / "log.jsonl").tests}


def test_a_failure_that_others_cause_gets_a_hint_and_stays_a_failure(
    project: pytest.Pytester, server: ScriptedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    add_suite(project, "shared", TESTS.format(tests=DISTURBED))

    result, attempts = run(project, server)

    assert result.ret == 1
    result.assert_outcomes(passed=1, failed=2)
    assert sorted(attempts) == sorted(["test_disturbed", "test_guest", "test_broken", "test_disturbed", "test_broken"])
    disturbed, broken = result.stdout.str().partition("= FAILURES")[2].split("_ test_broken")
    assert HINT in disturbed
    assert disturbed.count("visit of") == disturbed.count('print("visit of"') + 1
    assert HINT not in broken
    found = records(project)
    assert [len(found[name].exchanges) for name in ("disturbed", "guest", "broken")] == [1, 0, 0]
    assert {(each.attempt, each.earlier) for each in found.values()} == {(1, ())}
    assert [found[name].in_flight for name in ("disturbed", "guest", "broken")] == [0, 1, 2]
    capsys.readouterr()
    gaia(["expectations", "explain", NODE.format("broken"), "-e", "sandbox", "--results", "log.jsonl"])
    assert "2 other tests ran when it started" in capsys.readouterr().out


@pytest.mark.slow("workers")
def test_a_worker_sends_the_hint_with_its_report(project: pytest.Pytester, server: ScriptedServer) -> None:
    add_suite(project, "shared", TESTS.format(tests=DISTURBED))

    result, _ = run(project, server, "-n1")

    result.assert_outcomes(passed=1, failed=2)
    assert result.stdout.str().count(HINT) == 1


def test_only_five_failures_are_tried_again(project: pytest.Pytester, server: ScriptedServer) -> None:
    many = '@pytest.mark.parametrize("n", range(8))\nasync def test_broken(name, n): assert not name'
    add_suite(project, "shared", TESTS.format(tests=many))

    result, attempts = run(project, server)

    result.assert_outcomes(failed=8)
    assert len(attempts) == 8 + 5
    assert HINT not in result.stdout.str()


def test_a_test_of_what_the_release_does_not_offer_is_not_tried_again(
    project: pytest.Pytester, server: ScriptedServer
) -> None:
    server.answers["/openapi.json"] = [(200, document("/api/v0.3/things"))]
    old = 'async def test_old(name, gateway): (await gateway.get("/api/v0.2/things")).expect(200)\n'
    add_suite(project, "shared", TESTS.format(tests=f"{old}async def test_guest(name): await asyncio.sleep(0.3)"))

    result, attempts = run(project, server)

    result.assert_outcomes(passed=1)
    assert attempts == ["test_old", "test_guest"]


@pytest.mark.parametrize("argument", ["-x", in_full("--reruns=1"), in_full("--gaia-concurrency=1")])
def test_no_test_is_tried_again(project: pytest.Pytester, server: ScriptedServer, argument: str) -> None:
    add_suite(project, "shared", TESTS.format(tests=PASSES_LATER))

    result, attempts = run(project, server, argument)

    assert attempts.count("test_disturbed") == 1 + argument.startswith("--reruns")
    assert HINT not in result.stdout.str()
