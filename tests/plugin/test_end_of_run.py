"""The environment is looked at again after the last test: a suite that ran on two releases proves nothing of either."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.observation.scripted import Says, ScriptedService, healthy
from tests.plugin.conftest import ScriptedServer, add_suite
from tests.slow import with_workers

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKS = "def test_one(): pass\ndef test_two(): pass\n"
IMPATIENT = (
    '[gaia]\nsuites = ["suites"]\nplatform = "gaia"\n[env.here]\nservices = ["gateway"]\n'
    "[env.here.timeouts]\nready = 1.0\n"
)
WORKERS = pytest.mark.parametrize("workers", [(), with_workers("-n", "2")], ids=["one", "workers"])


def says(status: str, version: str = "0.2") -> tuple[int, dict[str, str]]:
    return 200, {"status": status, "version": version}


def run(project: pytest.Pytester, server: ScriptedServer, *arguments: str) -> tuple[pytest.RunResult, dict[str, Any]]:
    """Run the checks against ``server``; give the result and the verdict file."""
    project.makefile(".toml", gaia=IMPATIENT)
    url = f"--gaia-url=gateway={server.url}"
    result = project.runpytest_subprocess("--gaia-env=here", url, "--gaia-verdict-file=v.json", *arguments)
    return result, json.loads((project.path / "v.json").read_text())


@WORKERS
def test_another_release_at_the_end_holds(
    project: pytest.Pytester, server: ScriptedServer, workers: tuple[str, ...]
) -> None:
    add_suite(project, "health", CHECKS)
    server.answers["/health"] = [says("healthy", "0.2"), says("healthy", "0.3")]

    result, verdict = run(project, server, *workers)

    assert (result.ret, verdict["verdict"]) == (11, "HOLD")
    assert verdict["reasons"] == ["gateway is version 0.3 at the end, it was 0.2"]
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["gaia verdict: HOLD on here: gateway is version 0.3 at the end, it was 0.2, 2 passed"])


@WORKERS
def test_a_gateway_that_is_gone_at_the_end_makes_it_infra(
    project: pytest.Pytester, server: ScriptedServer, workers: tuple[str, ...]
) -> None:
    add_suite(project, "health", "def test_one(): pass\ndef test_two(): assert False\n")
    server.answers["/health"] = [says("healthy"), (503, {})]

    result, verdict = run(project, server, *workers)

    assert (result.ret, verdict["verdict"]) == (12, "INFRA")
    assert verdict["reasons"] == [
        "gateway responded before the first test and no longer does: GET /health returned 503"
    ]
    result.assert_outcomes(passed=1, failed=1)


def test_a_gateway_that_got_worse_holds(project: pytest.Pytester, server: ScriptedServer) -> None:
    add_suite(project, "health", CHECKS)
    server.answers["/health"] = [says("healthy"), says("unhealthy")]

    _, verdict = run(project, server)

    assert verdict["verdict"] == "HOLD"
    assert "gateway was ready before the first test and is unhealthy at the end" in verdict["reasons"][0]


def test_a_failure_is_worth_more_than_another_release(project: pytest.Pytester, server: ScriptedServer) -> None:
    add_suite(project, "health", "def test_one(): assert False\n")
    server.answers["/health"] = [says("healthy", "0.2"), says("healthy", "0.3")]

    assert run(project, server)[1]["verdict"] == "REJECT"


@pytest.fixture
def chat() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()
    yield scripted
    scripted.close()


def test_what_is_not_required_and_gone_is_only_told(
    project: pytest.Pytester, server: ScriptedServer, chat: ScriptedServer
) -> None:
    add_suite(project, "health", CHECKS)
    chat.answers["/health"] = [says("healthy"), (503, {})]

    result, verdict = run(project, server, f"--gaia-url=chat={chat.url}")

    assert (result.ret, verdict["verdict"]) == (0, "PROMOTE")
    result.stdout.fnmatch_lines(["gaia: chat responded before the first test and no longer does: *503"])


@pytest.mark.parametrize(
    "body",
    ["import pytest\ndef test_one(): pytest.exit('enough')", "def test_one(): raise KeyboardInterrupt"],
    ids=["exit", "ctrl-c"],
)
def test_a_run_that_was_cut_short_does_not_wait_for_it(
    project: pytest.Pytester, server: ScriptedServer, body: str
) -> None:
    add_suite(project, "health", body)

    run(project, server)

    assert server.seen.count("GET /health") == 1


def test_ctrl_c_at_the_last_look_holds(project: pytest.Pytester) -> None:
    add_suite(project, "health", CHECKS)
    project.makefile(".toml", gaia=IMPATIENT.replace("1.0", "60.0"))
    runs: list[subprocess.Popen[str]] = []

    def interrupt() -> None:
        runs[0].send_signal(signal.SIGINT)
        threading.Event().wait(10)

    # Readiness, two probes of services behind the gateway, and the OpenAPI document; the next request is that of the end.
    gateway = ScriptedService(*(healthy() for _ in range(4)), Says(first=interrupt))
    command = [sys.executable, "-m", "pytest", "--gaia-env=here", f"--gaia-url=gateway={gateway.url}"]
    runs.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=project.path))
    out, err = runs[0].communicate(timeout=60)
    gateway.close()

    assert (runs[0].returncode, err) == (11, "")
    assert "gaia verdict: HOLD on here: the final check of the environment was interrupted, 2 passed" in out


def test_a_run_without_an_environment_asks_no_more(project: pytest.Pytester, server: ScriptedServer) -> None:
    add_suite(project, "health", CHECKS)
    server.answers["/health"] = [(429, {})]

    result, verdict = run(project, server)

    assert (result.ret, verdict["verdict"]) == (12, "INFRA")
    assert verdict["reasons"] == ["gateway: GET /health returned 429"]
    assert verdict["members"][0]["state"] == "unreachable"
    assert verdict["members"][0]["detail"] == "GET /health returned 429"


def test_the_first_answer_is_kept_apart_from_what_the_checks_measure(
    project: pytest.Pytester, server: ScriptedServer
) -> None:
    add_suite(project, "health", "async def test_one(gateway):\n    await gateway.get('/health')\n")
    server.answers["/health"] = [(503, {}), says("healthy")]

    result, verdict = run(project, server, "--gaia-report-log=run.jsonl")

    assert result.ret == 0
    lines = [json.loads(line) for line in (project.path / "run.jsonl").read_text().splitlines()]
    gateway = next(one for one in lines[0]["members"] if one["member"] == "gateway")
    assert (gateway["state"], gateway["version"]) == ("started", "0.2")
    assert gateway["cold_start_ms"] > 0
    assert verdict["members"][0] == gateway
    # The check's own request, and nothing of readiness: that asked three times.
    assert [exchange["route"] for exchange in lines[1]["exchanges"]] == ["/health"]
    assert server.seen.count("GET /health") == 4
