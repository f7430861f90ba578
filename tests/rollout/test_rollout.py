"""Rollouts with the fake fly: the order, every outcome, and interruptions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.environment import DeploySettings
from pytest_gaia.errors import ConfigError
from pytest_gaia.rollout.course import roll_out
from pytest_gaia.rollout.journal import Journal
from pytest_gaia.rollout.model import RolloutResult
from pytest_gaia.rollout.plan import plan_rollout
from tests.config.reading import files_in
from tests.projects import gaia_environment
from tests.rollout.deploy_files import Clock, Listener, fly_hook, fly_rollout, image, write_fly_files

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.rollout.model import Rollout
    from tests.fake_tools import FakeTools


def deploy(rollout: Rollout, listener: Listener | None = None, clock: Clock | None = None) -> RolloutResult:
    return roll_out(rollout, fly_hook(), progress=listener or Listener(), pace=(clock or Clock()).pace())


def deployed_apps(tools: FakeTools) -> list[str]:
    return [call.argv[call.argv.index("-a") + 1] for call in tools.calls("fly", "deploy")]


def outcomes(result: RolloutResult) -> dict[str, str]:
    return {step.service: step.outcome for step in result.steps}


def journal(root: Path, environment: str = "staging") -> list[tuple[str, str, str]]:
    return [(each.event, each.service, each.outcome) for each in Journal(root, environment).entries()]


@pytest.mark.parametrize(("fault", "outcome"), [((), "deployed"), (("phantom",), "phantom")])
def test_a_worker_without_checks_is_evaluated_by_its_state(
    fake_tools: FakeTools, tmp_path: Path, fault: tuple[str, ...], outcome: str
) -> None:
    write_fly_files(tmp_path / "deploy", "staging", "auth")
    file = tmp_path / "deploy" / "fly.auth.staging.toml"
    text = file.read_text("utf-8").replace("[http_service]", '[http_service]\nprocesses = ["app"]')
    file.write_text(f'{text}[processes]\napp = "serve"\nworker = "work"\n', encoding="utf-8")
    fake_tools.app("gaia-auth-staging", file={"processes": {"app": "", "worker": ""}})
    fake_tools.fault("gaia-auth-staging", *fault)
    environment = gaia_environment("staging", deploy=DeploySettings("fly"))
    deployment = files_in(tmp_path / "deploy").deployment("staging", "fly")

    result = deploy(plan_rollout(environment, deployment, rootdir=tmp_path, images={"auth": image("auth", 1)}))

    assert outcomes(result) == {"auth": outcome}


def test_each_service_is_deployed_and_seen_to_run(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.platform("staging", ["auth", "gateway"])
    listener = Listener()

    result = deploy(fly_rollout(tmp_path, "auth", "gateway", auth=image("auth", 7)), listener)

    assert outcomes(result) == {"auth": "deployed", "gateway": "deployed"}
    assert (result.good, result.exit_code, result.go_on, result.problem) == (True, 0, "", "")
    assert deployed_apps(fake_tools) == ["gaia-auth-staging", "gaia-gateway-staging"]
    assert fake_tools.digests("gaia-auth-staging") == {f"sha256:{7:064x}"}
    assert result.steps[0].image == image("auth", 7)
    assert [step.version for step in result.steps] == [2, 2]
    assert [told for told in listener.told if "ended" in told] == ["auth ended: deployed", "gateway ended: deployed"]
    assert any("Updating existing machines" in line for line in listener.lines)
    assert journal(tmp_path) == [
        ("begin", "", ""),
        ("start", "auth", ""),
        ("end", "auth", "deployed"),
        ("start", "gateway", ""),
        ("end", "gateway", "deployed"),
        ("finish", "", "done"),
    ]


@pytest.mark.parametrize(
    ("faults", "outcome", "exit_code", "reason"),
    [
        (["phantom"], "phantom", 1, "the tool reported success, but"),
        (["split"], "split", 1, "2 different images run"),
        (["reverting:2"], "phantom", 1, "the tool reported success, but"),
        (["release-command-fails"], "failed", 1, "release command failed"),
        (["unhealthy"], "failed", 1, "health checks"),
        (["oom"], "failed", 1, "out of memory"),
        (["image-gone"], "failed", 1, "could not find image"),
        (["tool-error-after-success"], "deployed_with_tool_error", 0, "the wanted version runs everywhere, although"),
        (["lease-held:2"], "deployed", 0, ""),
        (["rate-limited:2@deploy"], "deployed", 0, ""),
        (["server-error:1"], "deployed", 0, ""),
        (["rate-limited@deploy"], "unavailable", 12, "the tool was not available within 20 s"),
        (["lease-held"], "unavailable", 12, "lease currently held"),
        (["server-error"], "unavailable", 12, "could not be observed in time"),
        (["chatter"], "deployed", 0, ""),
        (["suspended"], "deployed", 0, ""),
    ],
)
def test_what_is_observed_decides(
    fake_tools: FakeTools, tmp_path: Path, faults: list[str], outcome: str, exit_code: int, reason: str
) -> None:
    fake_tools.platform("staging", ["auth", "gateway"])
    fake_tools.fault("gaia-auth-staging", *faults)
    patience = 20.0 if outcome == "unavailable" else 600.0

    rollout = replace(fly_rollout(tmp_path, "auth", "gateway", auth=image("auth", 7)), deadline=patience)
    result = roll_out(rollout, fly_hook(), pace=Clock().pace(stretch=7.0))

    step = result.steps[0]
    assert (step.outcome, result.exit_code) == (outcome, exit_code)
    assert reason in step.reason
    assert bool(step.reason) == bool(reason)
    if exit_code:
        assert result.steps[1].outcome == "not begun"
        assert "gaia-gateway-staging" not in deployed_apps(fake_tools)
        assert result.go_on == f"gaia deploy staging --services auth,gateway --image auth={image('auth', 7)}"
        assert result.problem.startswith(f"auth (gaia-auth-staging): {outcome}: ")
    else:
        assert result.steps[1].good


def test_a_tool_that_holds_back_is_waited_for_longer_each_time(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.platform("staging", ["auth"])
    fake_tools.fault("gaia-auth-staging", "rate-limited:3@deploy")
    clock, listener = Clock(), Listener()

    result = deploy(fly_rollout(tmp_path, "auth"), listener, clock)

    assert (result.steps[0].outcome, result.steps[0].attempts) == ("deployed", 4)
    assert clock.waits[:3] == [1.0, 2.0, 4.0]
    assert any("rate limit exceeded" in told for told in listener.told)


def test_nothing_is_touched_where_one_app_is_unknown(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.platform("staging", ["auth"])

    with pytest.raises(ConfigError, match="gaia-gateway-staging"):
        deploy(fly_rollout(tmp_path, "auth", "gateway"))

    assert deployed_apps(fake_tools) == []
    assert journal(tmp_path) == []


@pytest.mark.parametrize(("fault", "message"), [("not-logged-in", "fly auth login"), ("unauthorised", "token")])
def test_nothing_is_touched_by_somebody_who_may_not(
    fake_tools: FakeTools, tmp_path: Path, fault: str, message: str
) -> None:
    fake_tools.platform("staging", ["auth"])
    fake_tools.fault("*", fault)

    with pytest.raises(ConfigError, match=message):
        deploy(fly_rollout(tmp_path, "auth"))

    assert journal(tmp_path) == []


def test_a_token_that_may_only_look_is_a_usage_error_and_no_interruption(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.platform("staging", ["auth"])
    fake_tools.fault("gaia-auth-staging", "unauthorised@deploy")

    with pytest.raises(ConfigError, match="token"):
        deploy(fly_rollout(tmp_path, "auth"))

    assert journal(tmp_path)[-2:] == [("end", "auth", "failed"), ("finish", "", "stopped")]


def test_a_usage_error_that_shows_half_way_says_how_far_it_came(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.platform("staging", ["auth", "gateway"])
    fake_tools.fault("gaia-gateway-staging", "unauthorised@deploy")

    result = deploy(fly_rollout(tmp_path, "auth", "gateway"))

    assert (outcomes(result), result.exit_code) == ({"auth": "deployed", "gateway": "failed"}, 1)
    assert result.go_on == "gaia deploy staging --services gateway"


def test_no_tool_is_a_usage_error(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.without("fly", "flyctl")

    with pytest.raises(ConfigError, match="fly is not installed"):
        deploy(fly_rollout(tmp_path, "auth"))


def test_what_runs_already_is_left_alone(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.platform("staging", ["auth", "gateway"])
    deploy(fly_rollout(tmp_path, "auth", auth=image("auth", 7)))

    result = deploy(fly_rollout(tmp_path, "auth", "gateway", auth=image("auth", 7)))

    assert outcomes(result) == {"auth": "unchanged", "gateway": "deployed"}
    assert deployed_apps(fake_tools) == ["gaia-auth-staging", "gaia-gateway-staging"]


@pytest.mark.parametrize("change", ["file", "rebuild", "region", "image", "health"])
def test_what_runs_otherwise_is_deployed_again(fake_tools: FakeTools, tmp_path: Path, change: str) -> None:
    fake_tools.platform("staging", ["auth"])
    rollout = fly_rollout(tmp_path, "auth", auth=image("auth", 7))
    deploy(rollout)
    if change == "file":
        with (tmp_path / "deploy" / "fly.auth.staging.toml").open("a") as file:
            file.write('[env]\nLOG_LEVEL = "debug"\n')
    elif change == "rebuild":
        rollout = replace(rollout, rebuild=True)
    elif change == "region":
        rollout = replace(rollout, region="fra")
    elif change == "image":
        rollout = fly_rollout(tmp_path, "auth", auth=image("auth", 8))
    else:
        with fake_tools.state() as cloud:
            for machine in cloud["apps"]["gaia-auth-staging"]["machines"]:
                machine["state"] = "stopped"

    deploy(rollout)

    assert len(deployed_apps(fake_tools)) == 2


def test_a_dry_run_gives_the_commands_and_leaves_everything_as_it_was(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.platform("staging", ["auth", "gateway"])
    rollout = replace(fly_rollout(tmp_path, "auth", "gateway", auth=image("auth", 7)), region="fra")

    result = roll_out(rollout, fly_hook(), dry_run=True)

    assert (outcomes(result), result.exit_code) == ({"auth": "planned", "gateway": "planned"}, 0)
    ((command,), _) = [step.commands for step in result.steps]
    assert command[:4] == ("fly", "deploy", "-a", "gaia-auth-staging")
    assert {"--image", image("auth", 7), "--primary-region", "fra", "--remote-only"} <= set(command)
    assert fake_tools.calls("fly") == []
    assert not (tmp_path / ".gaia").exists()


def test_the_commands_that_were_shown_are_those_that_run(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools.platform("staging", ["auth"])
    rollout = fly_rollout(tmp_path, "auth")

    planned = roll_out(rollout, fly_hook(), dry_run=True).steps[0].commands
    deploy(rollout)

    assert [("fly", *call.argv) for call in fake_tools.calls("fly", "deploy")] == list(planned)
