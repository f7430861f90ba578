"""An expectation covers a failure only if selector, phase, kind and signature all match."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.plugin.conftest import add_suite
from tests.plugin.expectations import SHADOWED
from tests.slow import with_workers

if TYPE_CHECKING:
    from tests.plugin.conftest import ScriptedServer

EXPECTATION = f"""{SHADOWED}tests = ["suites/models/test_models.py::test_capabilities"]
match = {{ status = [404, 503] }}
"""

CHECK = """
def test_something_passes(): pass

async def test_capabilities(gateway):
    response = await gateway.get("/api/v0.2/models/capabilities")
    response.expect(200)
    assert response.json() == {"capabilities": ["chat"]}
"""

ROUTE = "/api/v0.2/models/capabilities"
TOML = '[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n[env.small]\n[env.small.tolerance]\nmax_expectation_age_days = 100000\n'


@pytest.fixture
def models(project: pytest.Pytester) -> pytest.Pytester:
    project.makefile(".toml", gaia=TOML)
    add_suite(project, "models", CHECK)
    add_expectation(project, "models-shadowed", EXPECTATION)
    return project


def add_expectation(project: pytest.Pytester, name: str, text: str) -> None:
    folder = project.path / "suites" / "expectations"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.toml").write_text(text)


def run(project: pytest.Pytester, server: ScriptedServer, *arguments: str) -> pytest.RunResult:
    return project.runpytest_subprocess("--gaia-env=small", f"--gaia-url=gateway={server.url}", *arguments)


def report(project: pytest.Pytester) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((project.path / "verdict.json").read_text())
    return document


@pytest.mark.parametrize("workers", [(), with_workers("-n", "2")], ids=["one", "workers"])
def test_what_the_expectation_says_is_accepted_everywhere(
    models: pytest.Pytester, server: ScriptedServer, workers: tuple[str, ...]
) -> None:
    server.answers[ROUTE] = [(404, {"detail": "Not Found"})]

    result = run(models, server, "-x", "--junitxml=junit.xml", "--gaia-verdict-file=verdict.json", *workers)

    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "*1 passed, 1 expected failure in*",
            "gaia: expected failures",
            "*1  ×  models-shadowed  GAIA-1  @models * days left  the route is shadowed",
            "gaia: 1 failure would block production",
            "gaia verdict: PROMOTE on small: 1 passed, 1 expected failure",
        ]
    )
    junit = (models.path / "junit.xml").read_text()
    assert 'failures="0"' in junit
    assert 'skipped="1"' in junit
    assert 'message="expected failure: the route is shadowed (expectation models-shadowed, GAIA-1, @models' in junit
    assert '<property name="gaia.rule.models-shadowed" value="1 ×' in junit
    document = report(models)
    assert (document["verdict"], document["exit_code"], document["excused"]) == ("PROMOTE", 0, 1)
    evaluated = {test["node"]: test for test in document["tests"]}["suites/models/test_models.py::test_capabilities"]
    assert (evaluated["outcome"], evaluated["gates"], evaluated["rules"]) == (
        "expected failure",
        False,
        ["models-shadowed"],
    )


@pytest.mark.parametrize("workers", [(), with_workers("-n", "2")], ids=["one", "workers"])
def test_a_gateway_without_the_route_does_not_show_that_chat_is_down(
    models: pytest.Pytester, server: ScriptedServer, workers: tuple[str, ...]
) -> None:
    add_expectation(models, "models-shadowed", f'{EXPECTATION}when = {{ capability = "!chat" }}\n')
    server.answers[ROUTE] = [(503, {"detail": "Service chat unavailable"})]

    result = run(models, server, "--gaia-verdict-file=verdict.json", *workers)

    assert result.ret == 1
    assert report(models)["unknown"] == ["asset", "auth", "chat", "nats", "postgres"]

    server.answers["/api/v0.2/health"] = [(503, {"detail": "Service chat unavailable"})]

    result = run(models, server, "--gaia-verdict-file=verdict.json", *workers)

    assert result.ret == 0
    assert report(models)["unknown"] == ["asset", "auth", "nats", "postgres"]


def test_another_status_is_not_accepted_and_the_failure_says_why(
    models: pytest.Pytester, server: ScriptedServer
) -> None:
    server.answers[ROUTE] = [(500, {"detail": "broken"})]

    result = run(models, server)

    assert result.ret == 1
    result.stdout.fnmatch_lines(["expectation models-shadowed did not match: status 500, expected 404|503"])
    result.stdout.fnmatch_lines(["gaia verdict: REJECT on small: 1 failed, 1 passed"])


def test_a_failed_assertion_is_not_accepted_by_a_status(models: pytest.Pytester, server: ScriptedServer) -> None:
    server.answers[ROUTE] = [(200, {"capabilities": []})]

    result = run(models, server)

    assert result.ret == 1
    result.stdout.fnmatch_lines(["expectation models-shadowed did not match: no status, expected 404|503"])


def test_an_unexpected_pass_is_drift(models: pytest.Pytester, server: ScriptedServer) -> None:
    server.answers[ROUTE] = [(200, {"capabilities": ["chat"]})]

    result = run(models, server)

    assert result.ret == 10
    result.stdout.fnmatch_lines(
        [
            "*test_capabilities: unexpected pass*",
            "gaia verdict: DRIFT on small: 1 test passed although models-shadowed*",
        ]
    )


def test_an_expectation_that_covers_nothing_is_drift_in_a_complete_run_only(
    models: pytest.Pytester, server: ScriptedServer
) -> None:
    server.answers[ROUTE] = [(404, {})]
    add_expectation(models, "long-gone", EXPECTATION.replace("::test_capabilities", "::test_removed"))

    assert run(models, server, "-m", "models").ret == 0
    result = run(models, server)

    assert result.ret == 10
    result.stdout.fnmatch_lines(["gaia verdict: DRIFT on small: expectation long-gone covers no test*"])


def test_an_expired_expectation_accepts_nothing_and_warns(models: pytest.Pytester, server: ScriptedServer) -> None:
    server.answers[ROUTE] = [(404, {})]
    add_expectation(models, "models-shadowed", EXPECTATION.replace("2099-01-01", "2026-11-02"))

    result = run(models, server)

    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*expectation models-shadowed expired on 2026-11-02 and has no effect; ask @models (GAIA-1)"]
    )


def test_runxfail_evaluates_without_accepting(models: pytest.Pytester, server: ScriptedServer) -> None:
    server.answers[ROUTE] = [(404, {})]

    assert run(models, server, "--runxfail").ret == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (("status =", "statuz ="), "*models-shadowed.toml:10:*statuz*did you mean status*"),
        (("owner", "owners"), "*models-shadowed.toml:*owners*did you mean owner*"),
        (('"small"', '"smal"'), "*models-shadowed.toml:*smal*did you mean small*"),
        (('"small"', '"production"'), "*models-shadowed.toml:*production*"),
        (('expect = "fail"', 'expect = "failing"'), "*models-shadowed.toml:*expect*failing*"),
        (("match = { status = [404, 503] }", ""), "*models-shadowed.toml:*match*"),
    ],
)
def test_a_wrong_expectation_ends_the_run_before_any_test(
    models: pytest.Pytester, server: ScriptedServer, wrong: tuple[str, str], message: str
) -> None:
    add_expectation(models, "models-shadowed", EXPECTATION.replace(*wrong))

    result = run(models, server)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])
    assert server.seen == []


def test_a_record_is_written_as_tests_end(models: pytest.Pytester, server: ScriptedServer) -> None:
    server.answers[ROUTE] = [(404, {"detail": "Not Found"})]

    run(models, server, "--gaia-report-log=run.jsonl")

    lines = [json.loads(line) for line in (models.path / "run.jsonl").read_text().splitlines()]
    assert [line["line"] for line in lines] == ["run", "test", "test", "end"]
    failed = next(line for line in lines if "capabilities" in line.get("node", ""))
    call = next(phase for phase in failed["phases"] if phase["when"] == "call")
    assert call["outcome"] == "failed"
    assert call["failure"] == call["failure"] | {"kind": "http", "status": 404, "route": ROUTE, "service": "gateway"}
    assert [(wire["method"], wire["status"]) for wire in failed["exchanges"]] == [("GET", 404)]


PARTS = """
def test_capabilities(subtests):
    for number in range(2):
        with subtests.test(number=number): ...
"""


@pytest.mark.parametrize("workers", [(), with_workers("-n", "1")], ids=["one", "workers"])
def test_a_pass_against_an_expectation_is_shown_by_its_name_once(
    models: pytest.Pytester, server: ScriptedServer, workers: tuple[str, ...]
) -> None:
    (models.path / "suites" / "models" / "test_models.py").write_text(PARTS)

    result = run(models, server, "-v", "--junitxml=junit.xml", *workers)

    assert result.ret == 10
    assert sum("UNEXPECTED PASS" in line for line in result.outlines) == 1
    junit = (models.path / "junit.xml").read_text()
    assert junit.count('<failure type="unexpected pass"') == 1
    assert junit.count("expectation models-shadowed, GAIA-1") == 1


IN_TASKS = """
import asyncio

def test_something_passes(): pass

async def test_capabilities(gateway):
    async def expect(response):
        response.expect(200)

    # Both have responded before one fails: a group cancels the tasks that still wait.
    responses = [await gateway.get(path) for path in ("/api/v0.2/models/capabilities", "/another")]
    async with asyncio.TaskGroup() as tasks:
        for response in responses:
            tasks.create_task(expect(response))
"""


@pytest.mark.parametrize(("another", "exit_code"), [(404, 0), (500, 1)])
def test_a_group_of_failures_is_accepted_only_if_the_expectation_fits_each(
    models: pytest.Pytester, server: ScriptedServer, another: int, exit_code: int
) -> None:
    (models.path / "suites" / "models" / "test_models.py").write_text(IN_TASKS)
    add_expectation(models, "models-shadowed", EXPECTATION.replace("[404, 503]", "404"))
    server.answers[ROUTE] = [(404, {"detail": "Not Found"})]
    server.answers["/another"] = [(another, {})]

    result = run(models, server)

    assert result.ret == exit_code
