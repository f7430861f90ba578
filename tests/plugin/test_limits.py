"""A service that does not respond, or returns 429: the verdict, and the lines of the summary about it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.verdict.results_log import read_run
from tests.plugin.conftest import ScriptedServer, add_suite
from tests.plugin.expectations import SHADOWED

if TYPE_CHECKING:
    from collections.abc import Iterator

TOML = """
[gaia]
platform = "gaia"
suites = ["suites"]
[env.small]
[env.small.timeouts]
response = 1.0
[env.small.tolerance]
kind = "advisory"
max_expectation_age_days = 100000
"""
HANGS = """
import pytest
from pytest_gaia.errors import GaiaError, NotApplicable

async def test_loads_modules(gateway):
    await gateway.get("/health", timeout=30)

@pytest.mark.parametrize("number", range(9))
async def test_hangs(gateway, number):
    await gateway.get("/x")

async def test_hides_it(gateway):
    with pytest.raises(GaiaError):
        await gateway.get("/x")

async def test_skips(gateway):
    try:
        await gateway.get("/x")
    except GaiaError:
        pytest.skip("later")

async def test_does_not_apply(gateway):
    try:
        await gateway.get("/x")
    except GaiaError:
        raise NotApplicable("no x")

@pytest.mark.xfail
async def test_expects_it(gateway):
    await gateway.get("/x")

async def test_needs_nothing(): pass
"""
BUSY = """
import asyncio

async def test_sends_many(gateway):
    for response in await asyncio.gather(*(gateway.get("/x") for _ in range(4))):
        assert response.status

async def test_sends_one(gateway):
    assert (await gateway.get("/x")).status
"""


class HangingServer(ScriptedServer):
    """Responds to ``/health`` only."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = threading.Event()
        # Clients do not wait for their responses.
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]

    def next_answer(self, path: str) -> tuple[int, Any]:
        if path != "/health":
            self.ended.wait(30)
        return super().next_answer(path)

    def close(self) -> None:
        self.ended.set()
        super().close()


@pytest.fixture
def hanging() -> Iterator[HangingServer]:
    server = HangingServer()
    yield server
    server.close()


def arguments(server: ScriptedServer, *more: str) -> tuple[str, ...]:
    usual = "-p", "no:allure_pytest", "--gaia-env=small", "--gaia-concurrency=1"
    return *usual, f"--gaia-url=gateway={server.url}", *more


@pytest.mark.parametrize("options", [(), ("-q",), ("-n1",)], ids=["alone", "quiet", "worker"])
def test_a_service_that_does_not_respond_blocks_with_one_message(
    project: pytest.Pytester, hanging: HangingServer, options: tuple[str, ...]
) -> None:
    (project.path / "gaia.toml").write_text(TOML)
    add_suite(project, "small", HANGS)
    folder = project.path / "suites" / "expectations"
    folder.mkdir()
    (folder / "slow.toml").write_text(
        f'{SHADOWED}tests = ["small"]\nmatch = {{ message = ["did not respond", "not responded"] }}\n'
    )

    result = project.runpytest_subprocess(*arguments(hanging, "--gaia-report-log=run.jsonl", *options))

    message = (
        "gaia: 10 tests did not send a request to gateway, which has not responded to 3 requests in a row, 1 s each"
    )
    assert result.outlines.count(message) == 1
    text = result.stdout.str()
    assert text.count("not responded") == 1
    assert "gaia verdict: REJECT on small: 10 errors" in text
    result.assert_outcomes(passed=2)
    assert result.ret == 1
    assert hanging.seen.count("GET /x") == 3
    records = read_run(project.path / "run.jsonl").tests
    assert sum(bool(each.not_sent) for each in records) == 10


def test_an_exchange_with_a_busy_service_reduces_its_limit_and_the_summary_says_so(
    project: pytest.Pytester, server: ScriptedServer
) -> None:
    (project.path / "gaia.toml").write_text(TOML)
    add_suite(project, "small", BUSY)
    server.answers["/x"] = [(429, {}), (200, {})]

    for workers in (), ("-n1",):
        result = project.runpytest_subprocess(*arguments(server, "--gaia-concurrency=8", *workers))

        result.assert_outcomes(passed=2)
        line = "gaia: gateway returned 429: from then on, at most 4 instead of 8 requests to it were sent at a time"
        assert result.outlines.count(line) == 1
        server.answers["/x"] = [(429, {}), (200, {})]

    assert "returned 429" not in project.runpytest_subprocess(*arguments(server)).stdout.str()
