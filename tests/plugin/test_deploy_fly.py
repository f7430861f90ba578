"""A whole run with ``--gaia-deploy`` on Fly.io, as the fake fly replays it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.plugin.conftest import add_suite
from tests.plugin.deployer import CONFTEST
from tests.rollout.deploy_files import write_fly_files

if TYPE_CHECKING:
    from tests.fake_tools import FakeTools
    from tests.plugin.conftest import ScriptedServer

PROJECT = """
[gaia]
platform = "gaia"
suites = ["suites"]
deploy_files = "deploy"
[env.staging]
from = "fly"
[env.staging.tolerance]
min_tests = 1
[env.staging.deploy]
consecutive_successes = 1
deadline = {deadline}
"""
QUICK = "import pytest_gaia.deploy.fly.operations\n" + CONFTEST


@pytest.fixture
def staging(
    project: pytest.Pytester, server: ScriptedServer, fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    """A project with staging on Fly: auth and gateway, deployed once, healthy and responding."""
    write_fly_files(project.path / "deploy", "staging", "auth", "gateway")
    (project.path / "gaia.toml").write_text(PROJECT.format(deadline=20))
    project.makeconftest(QUICK)
    add_suite(project, "health", "def test_one(): pass\n")
    fake_tools.platform("staging", ("auth", "gateway"))
    for service in ("GATEWAY", "AUTH"):
        monkeypatch.setenv(f"GAIA_{service}_URL", server.url)
    return project


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return project.runpytest_subprocess("--gaia-env=staging", "-p", "no:xdist", *arguments)


def test_services_are_deployed_in_their_order_and_tested(staging: pytest.Pytester, fake_tools: FakeTools) -> None:
    result = run(staging, "--gaia-deploy")

    assert result.ret == 0
    deployed = [call.argv[call.argv.index("-a") + 1] for call in fake_tools.calls("fly", "deploy")]
    assert deployed == ["gaia-auth-staging", "gaia-gateway-staging"]
    result.stdout.fnmatch_lines(
        [
            "gaia: will deploy auth, gateway to staging with fly before the first test",
            "  auth: deployed",
            "  gateway: deployed",
            "gaia: staging: deployed by this run (fly)",
            "  auth     gaia-auth-staging     deployed  version 2  sha256:* 1 machine, 1 of 1 checks pass",
            "gaia verdict: PROMOTE on staging: 1 passed",
        ]
    )


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (
            "phantom",
            1,
            "gaia verdict: REJECT on staging: the deployment failed: auth (gaia-auth-staging): phantom: *",  # glossary: ok
        ),  # glossary: ok
        ("release-command-fails", 1, "gaia verdict: REJECT on staging: the deployment failed: auth *: failed: *"),
        ("unauthorised", 4, "ERROR: *"),
        ("not-logged-in", 4, "ERROR: *"),
    ],
)
def test_what_goes_wrong_with_the_first_service_ends_it(
    staging: pytest.Pytester, fake_tools: FakeTools, fault: str, code: int, said: str
) -> None:
    fake_tools.fault("*" if code == 4 else "gaia-auth-staging", fault)

    result = run(staging, "--gaia-deploy")

    assert result.ret == code
    result.stdout.fnmatch_lines([said])
    assert not [call for call in fake_tools.calls("fly", "deploy") if "gaia-gateway-staging" in call.argv]
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    if code == 1:
        result.stdout.fnmatch_lines(
            ["  not started: gateway", "  to continue: gaia deploy staging --services auth,gateway"]
        )


def test_a_tool_that_is_rate_limited_for_ever_is_no_fault_of_the_release(
    staging: pytest.Pytester, fake_tools: FakeTools
) -> None:
    (staging.path / "gaia.toml").write_text(PROJECT.format(deadline=3))
    fake_tools.fault("gaia-auth-staging", "rate-limited")

    result = run(staging, "--gaia-deploy")

    assert result.ret == 12
    result.stdout.fnmatch_lines(["gaia verdict: INFRA on staging: the deployment could not run: auth *"])


def test_without_the_tool_a_run_that_does_not_deploy_says_so_and_goes_on(
    staging: pytest.Pytester, fake_tools: FakeTools
) -> None:
    fake_tools.without("fly", "flyctl")

    looking = run(staging)
    deploying = run(staging, "--gaia-deploy")

    assert (looking.ret, deploying.ret) == (0, 4)
    looking.stdout.fnmatch_lines(
        ["gaia: note: deployed version unknown for auth, gateway: fly is not installed, or not on PATH*"]
    )
    deploying.stdout.fnmatch_lines(["ERROR: fly is not installed, or not on PATH*"])


def test_who_is_not_logged_in_can_test_and_cannot_deploy(staging: pytest.Pytester, fake_tools: FakeTools) -> None:
    fake_tools.fault("*", "not-logged-in")

    result = run(staging)

    assert result.ret == 0
    result.stdout.fnmatch_lines(["gaia: note: deployed version unknown for auth: *fly auth login*"])


def test_an_app_that_was_never_made_is_seen_to_be_missing(staging: pytest.Pytester, fake_tools: FakeTools) -> None:
    with fake_tools.state() as cloud:
        del cloud["apps"]["gaia-auth-staging"]

    result = run(staging)

    assert result.ret == 0
    result.stdout.fnmatch_lines(["  auth     gaia-auth-staging     not deployed"])


def test_somebody_who_deploys_during_the_run_spoils_it(staging: pytest.Pytester, fake_tools: FakeTools) -> None:
    path = staging.path / "suites" / "health" / "test_health.py"
    path.write_text(
        "import subprocess\n"
        "def test_one():\n"
        "    done = subprocess.run(['fly', 'deploy', '-a', 'gaia-auth-staging', '-c', 'deploy/fly.auth.staging.toml', '--yes'])\n"
        "    assert done.returncode == 0\n"
    )

    result = run(staging)

    assert result.ret == 11
    result.stdout.fnmatch_lines(
        [
            "gaia verdict: HOLD on staging: auth changed during the run: gaia-auth-staging has release 2, but had release 1 before*"
        ]
    )


def test_a_rehearsal_touches_nothing(staging: pytest.Pytester, fake_tools: FakeTools) -> None:
    result = run(staging, "--gaia-simulate")

    assert result.ret == 0
    assert fake_tools.calls("fly") == []
