"""Readiness where there is a deployment: a sleeping service is started, and one good response is not enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.plugin.deployer import Deployer, deployer
from tests.plugin.test_deploy_fly import staging
from tests.slow import with_workers

if TYPE_CHECKING:
    from tests.fake_tools import FakeTools

__all__ = ["deployer", "staging"]


def answers(deployer: Deployer, count: int, *, ready: float = 20) -> None:
    """Require ``count`` good responses within ``ready`` seconds."""
    file = deployer.project.path / "gaia.toml"
    text = file.read_text().replace("consecutive_successes = 1", f"consecutive_successes = {count}")
    file.write_text(f"{text}[env.stage.timeouts]\nready = {ready}\n")


def says(status: str, version: str = "0.2") -> tuple[int, dict[str, str]]:
    return 200, {"status": status, "version": version}


def test_after_a_deployment_several_good_answers_in_a_row_are_asked_for(deployer: Deployer) -> None:
    answers(deployer, 3)
    deployer.server.answers["/health"] = [
        says("healthy", "0.2"),
        says("healthy", "0.3"),
        (503, {}),
        says("healthy", "0.3"),
    ]

    result = deployer.run("--gaia-deploy")

    assert result.ret == 0
    # Three before the row, three in it, and one at the end.
    assert deployer.server.seen.count("GET /health") == 7
    assert deployer.verdict["release"] == "0.3"


def test_without_a_deployment_they_are_asked_for_as_well(deployer: Deployer) -> None:
    answers(deployer, 2)

    assert deployer.run().ret == 0
    assert deployer.server.seen.count("GET /health") == 3


@pytest.mark.parametrize("way", [(), with_workers("-n", "2")], ids=["alone", "workers"])
def test_what_does_not_get_well_after_a_deployment_is_not_tested(deployer: Deployer, way: tuple[str, ...]) -> None:
    answers(deployer, 2, ready=1)
    deployer.server.answers["/health"] = [says("unhealthy")]

    result = deployer.run("--gaia-deploy", *way)

    assert result.ret == 12
    assert "test" not in deployer.phases
    result.stdout.fnmatch_lines(
        [
            "gaia: stage is not ready; no test ran.",
            "  gateway: http://* reports 'unhealthy' (0 of 2 consecutive successes)",
            "gaia verdict: INFRA on stage: gateway: reports 'unhealthy' (0 of 2 consecutive successes)",
        ]
    )


def test_without_a_deployment_what_is_not_well_is_tested(deployer: Deployer) -> None:
    answers(deployer, 2, ready=1)
    deployer.server.answers["/health"] = [says("unhealthy")]

    assert deployer.run().ret == 0


@pytest.mark.parametrize("status", [429, 503])
def test_a_service_that_stays_busy_after_a_deployment_is_infra_and_no_reject(deployer: Deployer, status: int) -> None:
    answers(deployer, 2, ready=1)
    deployer.server.answers["/health"] = [says("healthy"), (status, {})]

    result = deployer.run("--gaia-deploy")

    assert (result.ret, deployer.verdict["verdict"]) == (12, "INFRA")
    assert deployer.verdict["members"][0]["state"] == "unsettled"
    assert f"GET /health returned {status}" in deployer.verdict["reasons"][0]


def test_what_sleeps_on_fly_is_woken_before_it_is_waited_for(staging: pytest.Pytester, fake_tools: FakeTools) -> None:
    fake_tools.platform("staging", ("auth", "gateway"), state="suspended")

    result = staging.runpytest_subprocess("--gaia-env=staging", "-p", "no:xdist")

    assert result.ret == 0
    started = [call.argv[call.argv.index("-a") + 1] for call in fake_tools.calls("fly", "machine", "start")]
    assert started == ["gaia-auth-staging", "gaia-gateway-staging"]
    result.stdout.fnmatch_lines(
        [
            "gaia: auth is suspended; starting it",
            "gaia: gateway is suspended; starting it",
            "gaia: note: auth was suspended; started in * s",
            "gaia: note: gateway was suspended; started in * s",
            "gaia verdict: PROMOTE on staging: 1 passed",
        ]
    )


def test_what_does_not_wake_is_told_and_asked_all_the_same(staging: pytest.Pytester, fake_tools: FakeTools) -> None:
    fake_tools.platform("staging", ("auth", "gateway"), state="suspended")
    fake_tools.fault("gaia-auth-staging", "unauthorised@machine start")

    result = staging.runpytest_subprocess("--gaia-env=staging", "-p", "no:xdist")

    assert result.ret == 0
    result.stdout.fnmatch_lines(["gaia: note: auth was suspended and could not be started: *"])
