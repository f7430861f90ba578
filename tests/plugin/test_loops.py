"""Clients work in a project whatever it says about event loops, or the project is told what to set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import ScriptedServer

TWO_TESTS = """
    import pytest

    {marker}
    async def test_one(gateway):
        (await gateway.get("/health")).expect(200)

    {marker}
    async def test_two(gateway):
        (await gateway.get("/health")).expect(200)
"""


def run(
    pytester: pytest.Pytester, server: ScriptedServer, ini: str, marker: str = "", *arguments: str
) -> pytest.RunResult:
    pytester.makeini(f"[pytest]\naddopts = -p no:anyio\n{ini}")
    pytester.makepyfile(TWO_TESTS.format(marker=marker))
    return pytester.runpytest_subprocess(f"--gaia-url={server.url}", *arguments)


@pytest.mark.parametrize(
    ("ini", "marker"),
    [
        ("asyncio_mode = auto", ""),
        ("asyncio_mode = auto\nasyncio_default_fixture_loop_scope = function", ""),
        ("asyncio_mode = strict", "@pytest.mark.asyncio"),
        ("asyncio_mode = strict", '@pytest.mark.asyncio(loop_scope="session")'),
    ],
)
def test_a_session_client_serves_every_test(
    pytester: pytest.Pytester, server: ScriptedServer, ini: str, marker: str
) -> None:
    run(pytester, server, ini, marker).assert_outcomes(passed=2)


def test_an_unmarked_test_in_strict_mode_is_told_what_to_set(pytester: pytest.Pytester, server: ScriptedServer) -> None:
    result = run(pytester, server, "asyncio_mode = strict")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(['*::test_one is asynchronous, and nothing runs it*asyncio_mode = "auto"*'])
