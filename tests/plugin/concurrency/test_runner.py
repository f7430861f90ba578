"""Concurrent tests in one process: started early, and reported in order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.plugin.concurrency import private

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugin.conftest import ScriptedServer

TESTS = """
    import asyncio, logging, sys, warnings

    import pytest

    @pytest.fixture(scope="session")
    async def meeting():
        return asyncio.Barrier(3)

    @pytest.fixture
    def number(request):
        print("number", request.node.name)
        return request.node.name

    @pytest.mark.parametrize("turn", range(3))
    async def test_meets_the_others(meeting, turn, number):
        print("before", turn)
        logging.getLogger("tests").warning("log %s", turn)
        print("error", turn, file=sys.stderr)
        await asyncio.wait_for(meeting.wait(), 20)
        print("after", turn)
        assert number == f"test_meets_the_others[{turn}]"
        assert turn == 0
"""


@pytest.fixture
def concurrent(pytester: pytest.Pytester, server: ScriptedServer) -> Any:
    """Return a function that runs tests of the project, up to three at a time."""

    def run(*arguments: str, tests: str = TESTS) -> pytest.RunResult:
        pytester.makepyfile(tests)
        return pytester.runpytest_subprocess(f"--gaia-url={server.url}", "--gaia-concurrency=3", "-v", *arguments)

    return run


def test_tests_run_together_and_each_report_has_its_own_output(project: pytest.Pytester, concurrent: Any) -> None:
    result = concurrent()

    result.assert_outcomes(passed=1, failed=2)
    text = result.stdout.str()
    _, first, second = text.partition("= FAILURES")[2].split("___ test_meets_the_others")
    for turn, report in ((1, first), (2, second)):
        lines = [line for line in report.splitlines() if "[" not in line or line.startswith("number")]
        sections = [line.strip("- ") for line in lines if line.startswith("---")]
        assert sections == [
            "Captured stdout setup",
            "Captured stdout call",
            "Captured stderr call",
            "Captured log call",
        ]
        printed = [line for line in lines if line.startswith(("number", "before", "after", "error"))]
        assert printed == [
            f"number test_meets_the_others[{turn}]",
            f"before {turn}",
            f"after {turn}",
            f"error {turn}",
        ]


UNUSUAL_OUTPUT = """
    import asyncio, sys

    import pytest

    @pytest.mark.parametrize("turn", range(8))
    async def test_prints(turn):
        await asyncio.sleep(0.01 * turn)
        await asyncio.to_thread(print, "thread", turn)
        sys.stdout.buffer.write(b"bytes %d\\n" % turn)
        assert False
"""


@pytest.mark.parametrize("capture", ["fd", "sys"])
def test_threads_and_bytes_are_in_the_output_of_their_test(
    project: pytest.Pytester, concurrent: Any, capture: str
) -> None:
    result = concurrent(f"--capture={capture}", tests=UNUSUAL_OUTPUT)

    result.assert_outcomes(failed=8)
    reports = result.stdout.str().partition("= FAILURES")[2].split("___ test_prints")[1:]
    printed = [[line for line in each.splitlines() if line.startswith(("thread", "bytes"))] for each in reports]
    assert printed == [[f"thread {turn}", f"bytes {turn}"] for turn in range(8)]


IGNORES_ITS_END = """
    import asyncio

    async def test_fails():
        await asyncio.sleep(0.05)
        assert False

    async def test_ignores_that_it_is_cancelled():
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass
"""


def test_the_run_ends_although_a_test_ignores_that_it_is_cancelled(project: pytest.Pytester, concurrent: Any) -> None:
    result = concurrent("-x", tests=IGNORES_ITS_END)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["gaia: 1 test had begun when the run ended, and did not count: *"])


ALLURE = """
    import asyncio

    import allure
    import pytest

    @pytest.fixture
    async def prepared():
        with allure.step("prepare"):
            await asyncio.sleep(0)

    async def part(name):
        with allure.step(f"part {name}"):
            await asyncio.sleep(0)
            allure.attach("content", name=f"part {name}")

    @pytest.mark.parametrize("turn", range(4))
    async def test_adds_to_its_result(turn, prepared):
        allure.dynamic.title(f"title {turn}")
        allure.dynamic.label("turn", str(turn))
        with allure.step(f"step {turn}"):
            await asyncio.sleep(0.05)
            with allure.step(f"inner {turn}"):
                await asyncio.sleep(0.05)
        await asyncio.gather(part(turn), part(turn))
        allure.attach("content", name=f"last {turn}")
        assert turn != 2
"""


def test_what_a_test_adds_to_allure_is_in_its_own_result(project: pytest.Pytester, concurrent: Any) -> None:
    found = []
    for number in (1, 3):
        folder = project.path / f"results{number}"
        concurrent("--alluredir", str(folder), f"--gaia-concurrency={number}", tests=ALLURE)
        found.append(_described(folder))

    alone, together = found
    assert len(alone) == 4
    assert together == alone


def _described(folder: Path) -> list[tuple[Any, ...]]:
    files = {kind: [json.loads(each.read_text()) for each in folder.glob(f"*-{kind}.json")] for kind in KINDS}
    return sorted(
        (
            result["name"],
            result["status"],
            result["stop"] - result["start"] >= 90,
            _steps(result),
            [each["value"] for each in result["labels"] if each["name"] == "turn"],
            sorted(
                (fixture["name"], str(_steps(fixture)))
                for container in files["container"]
                if result["uuid"] in container.get("children", ())
                for fixture in (*container.get("befores", ()), *container.get("afters", ()))
            ),
        )
        for result in files["result"]
    )


def _steps(item: dict[str, Any]) -> tuple[object, ...]:
    attached = [each["name"] for each in item.get("attachments", ()) if "." not in each["name"]]
    return (attached, *((each["name"], each["status"], _steps(each)) for each in item.get("steps", ())))


KINDS = ("result", "container")


def test_without_an_expected_structure_tests_run_one_after_another(project: pytest.Pytester, concurrent: Any) -> None:
    project.makeconftest(
        """
        from pytest_gaia.plugin.concurrency import private

        private._state_is_as_expected = lambda: False
        """
    )
    result = concurrent(tests="async def test_one(): pass")

    result.stdout.fnmatch_lines(
        [
            f"gaia: tests are not concurrent: this version of Gaia does not know its state of set-ups of pytest {pytest.__version__}"
        ]
    )
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("option", ["--pdb", "--trace", "--setup-show"])
def test_an_interactive_option_turns_concurrency_off(project: pytest.Pytester, concurrent: Any, option: str) -> None:
    result = concurrent(option, tests="def test_one(): pass")

    result.stdout.fnmatch_lines([f"gaia: tests are not concurrent: {option} shows one test at a time"])


@pytest.mark.own_interpreter
@pytest.mark.parametrize(("number", "imported"), [(1, False), (2, True)])
def test_a_run_with_one_test_at_a_time_does_not_import_the_runner(
    project: pytest.Pytester, concurrent: Any, number: int, imported: bool
) -> None:
    loaded = "import sys\n\ndef test_one():\n    assert ('pytest_gaia.plugin.concurrency' in sys.modules) is %s"

    concurrent(f"--gaia-concurrency={number}", tests=loaded % imported).assert_outcomes(passed=1)


def test_the_installed_packages_are_as_expected(pytestconfig: pytest.Config) -> None:
    assert private.unexpected(pytestconfig) is None
