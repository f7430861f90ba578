"""`--gaia-deploy` deploys once, before the first test; what does not come to run is not tested."""

from __future__ import annotations

import fcntl
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.plugin.deployer import NEW, OLD, Deployer, deployer
from tests.slow import in_full, with_workers

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["deployer"]

WORKERS = [
    (),
    ("-n", "2"),
    in_full(("-n", "2", "--dist", "loadfile")),
    in_full(("-n", "2", "--dist", "loadgroup")),
    in_full(("-n", "2", "--dist", "worksteal")),
    in_full(("-n", "1", "--dist", "each")),
    in_full(("-p", "no:xdist")),
]
ways = pytest.mark.parametrize("way", WORKERS, ids=lambda way: " ".join(way) or "alone")
alone_and_not = pytest.mark.parametrize("way", [(), with_workers("-n", "2")], ids=["alone", "workers"])


@ways
def test_it_deploys_once_and_before_the_first_test(deployer: Deployer, way: Sequence[str]) -> None:
    result = deployer.run("--gaia-deploy", *way)

    assert result.ret == 0
    phases = deployer.phases
    assert phases.count("deploy") == 1
    assert phases.count("test") == 2
    assert phases.index("deploy") < phases.index("test")
    assert phases[0] == phases[-1] == "observe"
    result.stdout.fnmatch_lines(
        [
            "gaia: will deploy gateway to stage with command before the first test",
            "gaia: deploying gateway to stage with command",
            "  gateway: deployed",
            "gaia: stage: deployed by this run (command)",
            "  gateway  gateway  deployed  version 2  sha256:nnnnnnnnnnnn  1 machine, 1 of 1 checks pass",
            "gaia verdict: PROMOTE on stage: 2 passed",
        ]
    )
    assert result.stdout.str().count("deploying gateway") == 1
    deployment = deployer.verdict["deployment"]
    assert (deployment["hook"], deployment["by_this_run"]) == ("command", True)
    (gateway,) = deployment["services"]
    assert (gateway["outcome"], gateway["release"], gateway["images"]) == ("deployed", 2, [NEW])


@alone_and_not
def test_without_the_option_it_only_looks(deployer: Deployer, way: Sequence[str]) -> None:
    result = deployer.run(*way)

    assert result.ret == 0
    assert deployer.phases == ["observe", "test", "test", "observe"]
    result.stdout.fnmatch_lines(
        [
            "gaia: stage: deployed state (command)",
            "  gateway  gateway  healthy  version 1  sha256:000000000000  1 machine, 1 of 1 checks pass",
        ]
    )
    deployment = deployer.verdict["deployment"]
    assert deployment["services"][0]["images"] == [OLD]
    assert "by_this_run" not in deployment


def test_options_that_only_look_deploy_and_observe_nothing(deployer: Deployer) -> None:
    deployer.run("--collect-only")

    assert deployer.calls == []


@ways
def test_a_deployment_that_fails_rejects_and_no_test_runs(deployer: Deployer, way: Sequence[str]) -> None:
    deployer.tell("deploy", exit=3, message="no quota left")

    result = deployer.run("--gaia-deploy", *way)

    assert result.ret == 1
    assert deployer.phases.count("deploy") == 1
    assert "test" not in deployer.phases
    result.stdout.fnmatch_lines(
        [
            "  gateway: failed: *no quota left*",
            "gaia: the deployment of stage failed; no test ran.",
            "  gateway | deploy the gateway",
            "  to continue: gaia deploy stage --services gateway",
            "gaia verdict: REJECT on stage: the deployment failed: gateway (gateway): failed: *no quota left*",
        ]
    )
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    verdict = deployer.verdict
    assert (verdict["verdict"], verdict["exit_code"]) == ("REJECT", 1)
    assert verdict["deployment"]["services"][0]["outcome"] == "failed"


def test_a_tool_that_is_done_and_changed_nothing_is_not_believed(deployer: Deployer) -> None:
    deployer.tell("deploy", lazy=True)

    result = deployer.run("--gaia-deploy", f"--gaia-deploy-image=gateway=r/gateway@{NEW}", "-p", "no:xdist")

    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["gaia verdict: REJECT on stage: the deployment failed: gateway (gateway): phantom: *"]  # glossary: ok
    )  # glossary: ok


@alone_and_not
def test_a_tool_that_asks_to_be_asked_again_for_ever_is_no_fault_of_the_release(
    deployer: Deployer, way: Sequence[str]
) -> None:
    deployer.settings(deadline=1.5)
    deployer.tell("deploy", exit=75, message="rate limit reached")

    result = deployer.run("--gaia-deploy", *way)

    assert result.ret == 12
    assert "test" not in deployer.phases
    result.stdout.fnmatch_lines(["gaia verdict: INFRA on stage: the deployment could not run: *rate limit reached*"])


@alone_and_not
def test_what_is_deployed_and_does_not_answer_is_not_tested(deployer: Deployer, way: Sequence[str]) -> None:
    deployer.server.close()
    toml = deployer.project.path / "gaia.toml"
    toml.write_text(toml.read_text() + "[env.stage.timeouts]\nready = 1.0\n")

    result = deployer.run("--gaia-deploy", *way)

    assert result.ret == 12
    assert "test" not in deployer.phases
    result.stdout.fnmatch_lines(["  gateway: deployed", "gaia: stage is unreachable; no test ran."])
    assert deployer.verdict["deployment"]["services"][0]["outcome"] == "deployed"


def test_the_options_say_what_is_deployed(deployer: Deployer) -> None:
    image = f"--gaia-deploy-image=gateway=registry/gateway@{NEW}"

    result = deployer.run(
        "--gaia-deploy", "--gaia-deploy-services=gateway", image, "--gaia-deploy-region=fra", "-p", "no:xdist"
    )

    assert result.ret == 0
    (call,) = (call for call in deployer.calls if call["phase"] == "deploy")
    assert (call["image"], call["region"], call["rebuild"]) == (f"registry/gateway@{NEW}", "fra", False)
    assert call["directory"] == str(deployer.project.path)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--gaia-env=sandbox", "--gaia-deploy"), "sandbox runs on this machine"),
        (("--gaia-env=stage", "--gaia-simulate", "--gaia-deploy"), "nothing can be deployed to it"),
        (("--gaia-env=dev", "--gaia-deploy"), "dev has no deployment"),
        (("--gaia-url=http://127.0.0.1:1", "--gaia-deploy"), "adhoc has no deployment"),
        (("--gaia-env=stage", "--gaia-deploy", "--collect-only"), "--gaia-deploy cannot be combined with --collect-only"),
        (("--gaia-env=stage", "--gaia-deploy", "--setup-plan"), "gaia deploy stage --dry-run"),
        (("--gaia-env=stage", "--gaia-deploy", "-f"), "--gaia-deploy and --looponfail exclude each other"),
        (("--gaia-env=stage", "--gaia-deploy", "--gaia-deploy-services=gatway"), "did you mean gateway"),
        (("--gaia-env=stage", "--gaia-deploy", "--gaia-deploy-services=,"), "--gaia-deploy-services names no service"),
        (("--gaia-env=stage", "--gaia-deploy", "--gaia-deploy-image=x:1"), "has no service"),
        (("--gaia-env=stage", "--gaia-deploy-services=gateway"), "--gaia-deploy-services requires --gaia-deploy."),
        (("--gaia-env=stage", "--gaia-deploy-image=a=b"), "--gaia-deploy-image requires --gaia-deploy"),
        (("--gaia-env=stage", "--gaia-deploy-rebuild"), "--gaia-deploy-rebuild requires --gaia-deploy"),
    ],
)  # fmt: skip
def test_what_cannot_be_deployed_is_refused_before_anything_is_collected(
    deployer: Deployer, arguments: tuple[str, ...], complaint: str
) -> None:
    result = deployer.project.runpytest_subprocess(*arguments)

    assert result.ret == 4
    text = result.stdout.str() + result.stderr.str()
    assert complaint in text
    assert "collecting" not in text
    assert "Traceback" not in text
    assert deployer.calls == []


@alone_and_not
def test_nothing_is_deployed_for_tests_that_cannot_be_collected(deployer: Deployer, way: Sequence[str]) -> None:
    broken = deployer.project.path / "suites" / "health" / "test_broken.py"
    broken.write_text("import no_such_module\n")

    result = deployer.run("--gaia-deploy", *way)

    assert result.ret in (1, 2)
    assert set(deployer.phases) == set()
    if way:
        result.stdout.fnmatch_lines(["gaia: *test_broken.py could not be collected; nothing was deployed, and no *"])
        assert deployer.verdict["verdict"] == "REJECT"


@alone_and_not
def test_nothing_is_deployed_for_no_tests(deployer: Deployer, way: Sequence[str]) -> None:
    result = deployer.run("--gaia-deploy", "-k", "nothing_like_that", *way)

    assert result.ret == 11
    assert deployer.calls == []
    result.stdout.fnmatch_lines(["gaia verdict: HOLD on stage: no test was selected*"])


@alone_and_not
def test_a_usage_error_that_shows_only_then_is_no_verdict(deployer: Deployer, way: Sequence[str]) -> None:
    (deployer.folder / "deploy").chmod(0o644)

    result = deployer.run("--gaia-deploy", *way)

    assert result.ret == 4
    result.stdout.fnmatch_lines(["ERROR: */ci/deploy cannot be run: *chmod +x*"])
    assert "gaia verdict" not in result.stdout.str()
    assert "test" not in deployer.phases
    assert (deployer.project.path / "verdict.json").read_bytes() == b""


def test_two_at_once_are_one_too_many(deployer: Deployer) -> None:
    deployer.run("--gaia-deploy", "-p", "no:xdist")
    folder = deployer.project.path / ".gaia" / "deployments"
    (lock,) = (path for path in folder.iterdir() if "lock" in path.name)
    (deployer.folder / "calls").unlink()

    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        result = deployer.run("--gaia-deploy", "-p", "no:xdist")

    assert result.ret == 13
    assert deployer.calls == []
    result.stdout.fnmatch_lines(["ERROR: *stage*"])


def test_the_record_holds_the_deployment_and_is_evaluated_again_alike(deployer: Deployer) -> None:
    deployer.tell("deploy", exit=3, message="no quota left")
    record = deployer.project.path / "run.jsonl"

    deployer.run("--gaia-deploy", f"--gaia-report-log={record}", "-p", "no:xdist")

    first, *_, last = (json.loads(line) for line in record.read_text().splitlines())
    assert first["deployment"]["services"][0]["outcome"] == "failed"
    assert last["undeployed"].startswith("the deployment failed: gateway")
    again = deployer.project.run(Path(sys.executable).with_name("gaia"), "replay", record, "--json")
    assert again.ret == 1
    assert json.loads(again.stdout.str())["deployment"] == deployer.verdict["deployment"]


def test_the_tools_lines_are_kept_where_much_is_asked_for(deployer: Deployer) -> None:
    quiet = deployer.run("--gaia-deploy", "-p", "no:xdist")
    much = deployer.run("--gaia-deploy", "-v", "-p", "no:xdist")

    assert "gateway | deploy the gateway" not in quiet.stdout.str()
    much.stdout.fnmatch_lines(["  gateway | deploy the gateway"])


def test_nothing_is_deployed_where_readiness_could_reach_nothing_afterwards(
    deployer: Deployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    settings = deployer.project.path / "gaia.toml"
    settings.write_text(settings.read_text().replace("http://", "https://"))

    result = deployer.run("--gaia-deploy")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*SSL_CERT_FILE: no such file /nowhere/ca.pem*"])
    assert "deploy" not in deployer.phases
