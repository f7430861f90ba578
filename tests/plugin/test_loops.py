"""Clients work with any setting of event loops, or the error names the right settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.verdict.results_log import read_run
from tests.forking.runs import fork_runs_of
from tests.projects import ON_GAIA

if TYPE_CHECKING:
    from tests.plugin.conftest import ScriptedServer


@pytest.fixture(autouse=True)
def on_gaia(pytester: pytest.Pytester) -> None:
    """Give every project the services of the Gaia Platform."""
    pytester.makefile(".toml", gaia=ON_GAIA)


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
    fork_runs_of(pytester)
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


@pytest.mark.parametrize("arguments", [(), ("-k", "right")])
def test_asynchronous_tests_of_other_runners_are_left_to_them(
    pytester: pytest.Pytester, server: ScriptedServer, arguments: tuple[str, ...]
) -> None:
    pytester.makeini("[pytest]\nasyncio_mode = strict\nmarkers = own")
    pytester.makeconftest(
        """
        import asyncio
        import pytest

        @pytest.hookimpl(tryfirst=True)
        def pytest_pyfunc_call(pyfuncitem):
            if pyfuncitem.get_closest_marker("own"):
                asyncio.run(pyfuncitem.obj(None))
                return True
        """
    )
    pytester.makepyfile(
        """
        import unittest
        import pytest

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        # First, because anyio would make a fixture for it that is a coroutine function.
        @pytest.mark.anyio
        @pytest.mark.gaia(offline=True)
        async def test_anyio(gateway, anyio_backend_name):
            assert anyio_backend_name == "asyncio"

        @pytest.mark.gaia(offline=True)
        class TestCase(unittest.IsolatedAsyncioTestCase):
            @pytest.fixture(autouse=True)
            def client(self, gateway):
                self.gateway = gateway

            async def test_unittest(self):
                pass

        @pytest.mark.own
        @pytest.mark.gaia(offline=True)
        async def test_own(gateway):
            pass

        @pytest.mark.asyncio
        async def test_right(gateway):
            (await gateway.get("/health")).expect(200)

        async def test_nobody(gateway):
            pass
        """
    )

    result = pytester.runpytest_subprocess(f"--gaia-url={server.url}", *arguments)

    if arguments:
        result.assert_outcomes(passed=1, deselected=4)
        return
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(
        ["*_ test_nobody _*", "async def functions are not natively supported*", '*asyncio_mode = "auto"*']
    )


def test_a_client_in_the_loop_of_another_runner_fails_with_the_reason(
    pytester: pytest.Pytester, server: ScriptedServer
) -> None:
    pytester.makeini("[pytest]\nasyncio_mode = strict\nmarkers = other\naddopts = -p no:anyio")
    pytester.makeconftest(
        """
        import pytest

        @pytest.hookimpl(tryfirst=True)
        def pytest_pyfunc_call(pyfuncitem):
            if pyfuncitem.get_closest_marker("other"):
                # As trio does: no loop of asyncio runs.
                pyfuncitem.obj(pyfuncitem.funcargs["gateway"]).send(None)
                return True
        """
    )
    pytester.makepyfile(
        """
        import unittest
        import pytest

        class TestCase(unittest.IsolatedAsyncioTestCase):
            @pytest.fixture(autouse=True)
            def client(self, gateway):
                self.gateway = gateway

            async def test_unittest(self):
                await self.gateway.get("/foreign")

        @pytest.mark.other
        async def test_other(gateway):
            await gateway.get("/foreign")

        @pytest.mark.asyncio
        async def test_right(gateway):
            (await gateway.get("/health")).expect(200)
        """
    )

    result = pytester.runpytest_subprocess(f"--gaia-url={server.url}")

    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*belongs to another event loop.*",
            "*Tests of unittest.IsolatedAsyncioTestCase*have their own loops*",
            "*needs a running event loop of asyncio.*",
        ]
    )
    assert "GET /foreign" not in server.seen


def test_a_chosen_loop_and_a_factory_of_loops_stay(pytester: pytest.Pytester, server: ScriptedServer) -> None:
    pytester.makeconftest(
        """
        import asyncio

        class Loop(asyncio.SelectorEventLoop):
            pass

        def pytest_asyncio_loop_factories(config, item):
            return {"own": Loop, "other": asyncio.SelectorEventLoop}
        """
    )
    pytester.makepyfile(
        """
        import asyncio
        import pytest

        pytestmark = pytest.mark.gaia(offline=True)

        @pytest.mark.asyncio(loop_factories=["own"])
        async def test_factory(gateway):
            assert type(asyncio.get_running_loop()).__name__ == "Loop"

        @pytest.fixture
        def auth():
            return "a fixture of the project's own"

        loops = set()

        @pytest.mark.parametrize("n", [1, 2])
        @pytest.mark.asyncio(loop_factories=["other"])
        async def test_no_client(auth, n):
            assert asyncio.get_running_loop() not in loops
            loops.add(asyncio.get_running_loop())
        """
    )
    pytester.makeini("[pytest]\naddopts = -p no:anyio\nasyncio_mode = strict")

    pytester.runpytest_subprocess(f"--gaia-url={server.url}").assert_outcomes(passed=3)


@pytest.mark.parametrize(
    "source", [TWO_TESTS.format(marker=""), "def test_one(postgres): pass\ndef test_two(nats): pass"]
)
def test_without_pytest_asyncio_the_fixtures_name_it(
    pytester: pytest.Pytester, server: ScriptedServer, source: str
) -> None:
    pytester.makeini("[pytest]\naddopts = -p no:anyio -p no:asyncio")
    pytester.makepyfile(source)

    result = pytester.runpytest_subprocess(f"--gaia-url={server.url}")

    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*need pytest-asyncio, which is not loaded: remove -p no:asyncio*"] * 2)


LOOPS = """
    import pytest
    import pytest_asyncio

    @pytest_asyncio.fixture
    async def data(gateway):
        return (await gateway.get("/health")).status

    @pytest.mark.asyncio
    async def test_fixture_in_its_own_loop(data): ...

    @pytest.mark.asyncio
    async def test_http(gateway):
        (await gateway.get("/health")).expect(200)

    @pytest.mark.asyncio(loop_scope="module")
    async def test_http_elsewhere(gateway):
        await gateway.get("/health")

    @pytest.mark.asyncio
    async def test_http_again(gateway):
        (await gateway.get("/health")).expect(200)

    @pytest.mark.asyncio
    async def test_nats(nats):
        await nats.publish("gaia.test.x", {})

    @pytest.mark.asyncio(loop_scope="module")
    async def test_nats_elsewhere(nats):
        await nats.publish("gaia.test.x", {})

    @pytest.mark.asyncio(loop_scope="module")
    async def test_listening_elsewhere(nats):
        async with nats.subscribe("gaia.test.>"): ...

    @pytest.mark.asyncio
    async def test_nats_again(nats):
        await nats.publish("gaia.test.x", {})

    @pytest.mark.asyncio(loop_scope="module")
    async def test_postgres_elsewhere(postgres):
        await postgres.fetchval("SELECT 1")

    @pytest.mark.asyncio(loop_scope="module")
    async def test_fresh_elsewhere(postgres_fresh):
        await postgres_fresh.fetchval("SELECT 1")

    @pytest.mark.asyncio
    async def test_postgres_again(postgres):
        assert await postgres.fetchval("SELECT 1") == 1
"""


def test_a_client_in_another_loop_fails_at_once_and_the_next_test_passes(project: pytest.Pytester) -> None:
    project.makefile(".toml", gaia=ON_GAIA)
    project.makepyprojecttoml('[tool.pytest]\naddopts = ["-p", "no:anyio"]\nasyncio_mode = "strict"\n')
    project.makepyfile(LOOPS)

    result = project.runpytest_subprocess("--gaia-env=sandbox", "--gaia-report-log=run.jsonl")

    # One loop of a module is as wrong as one of a function: clients live in the session's.
    failed = {}
    for test in read_run(project.path / "run.jsonl").tests:
        for phase in test.phases:
            if phase.failure is not None:
                failed[test.node.rpartition("::")[2]] = (phase.when, phase.failure.kind)
                assert "belongs to another event loop" in phase.failure.message
                assert test.exchanges == ()
    assert failed == {
        "test_fixture_in_its_own_loop": ("setup", "error"),
        "test_http_elsewhere": ("call", "error"),
        "test_nats_elsewhere": ("call", "error"),
        "test_listening_elsewhere": ("call", "error"),
        "test_postgres_elsewhere": ("call", "error"),
        "test_fresh_elsewhere": ("call", "error"),
    }
    result.assert_outcomes(passed=5, failed=5, errors=1)
